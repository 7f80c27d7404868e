/* SPDX-License-Identifier: Apache-2.0 */
/* Office documents and XPS packages: every fixture gives its bytes or its
 * verdict; containers made by hand show what is tolerated and what is not. */
#include <glib.h>

#include "../license/helper.h"
#include "cfb-image.h"
#include "format/dataspaces.h"
#include "format/document.h"
#include "support.h"

static FixtureKeys keys;

static gboolean
is_ours (JsonObject *entry)
{
  return g_str_equal (json_word (entry, "kind"), "office-ooxml")
         || g_str_equal (json_word (entry, "kind"), "office-legacy") || g_str_equal (json_word (entry, "kind"), "xps");
}

static TpdSource *
share_open (JsonObject *entry)
{
  g_autofree char *share = fixture_path ("share");
  g_autofree char *path = g_build_filename (share, json_word (entry, "path"), NULL);

  return source_open (path);
}

/* Probe and open; `*verdict` is that of the step that failed. */
static TpdDocument *
document_open (TpdSource *source, TpdVerdict *verdict)
{
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  g_autoptr (GError) error = NULL;
  TpdDocument *document = NULL;

  *verdict = probe->verdict;
  if (probe->verdict != TPD_VERDICT_OK)
    return NULL;
  document = tpd_document_open (source, probe, keys.keyring, keys.unwrapper, NULL, NULL, &error);
  if (document == NULL)
    *verdict = tpd_verdict_from_error (error);
  return document;
}

/* --- Fixtures ----------------------------------------------------------- */

static gboolean
is_expected_error (JsonObject *entry, const char *word)
{
  JsonNode *more = json_object_get_member (entry, "error_alt");

  if (g_str_equal (json_word (entry, "error"), word))
    return TRUE;
  if (more == NULL || !JSON_NODE_HOLDS_ARRAY (more))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (json_node_get_array (more)); i++)
    if (g_str_equal (json_array_get_string_element (json_node_get_array (more), i), word))
      return TRUE;
  return FALSE;
}

static void
test_fixtures (void)
{
  JsonArray *files = fixture_files ();
  guint opened = 0, refused = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GBytes) plain = NULL;
      g_autofree char *sha256 = NULL;
      TpdVerdict verdict;

      if (!is_ours (entry))
        continue;
      g_test_message ("%s", json_word (entry, "path"));
      source = share_open (entry);
      document = document_open (source, &verdict);
      if (!json_object_get_boolean_member (entry, "open"))
        {
          g_assert_null (document);
          g_assert_true (is_expected_error (entry, tpd_verdict_word (verdict)));
          refused++;
          continue;
        }
      g_assert_cmpstr (tpd_verdict_word (verdict), ==, "ok");
      plain = document_read_all (document, NULL);
      sha256 = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, plain);
      g_assert_cmpstr (sha256, ==, json_word (entry, "plain_sha256"));
      g_assert_true (g_str_has_suffix (document->cipher, "ecb") == g_str_equal (json_word (entry, "cipher"), "ECB"));
      opened++;
    }
  g_assert_cmpuint (opened, ==, 52);
  g_assert_cmpuint (refused, ==, 8);
}

static void
test_probe (void)
{
  JsonArray *files = fixture_files ();
  guint most = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      const char *kind = json_word (entry, "kind");
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;
      TpdBudget budget;

      if (!is_ours (entry) || !json_object_get_boolean_member (entry, "open"))
        continue;
      source = share_open (entry);
      tpd_budget_init_probe (&budget);
      probe = tpd_probe (source, &budget);
      most = MAX (most, budget.used_reads);
      g_assert_cmpstr (tpd_kind_word (probe->kind), ==,
                       g_str_equal (kind, "xps")             ? "xps"
                       : g_str_equal (kind, "office-legacy") ? "ole"
                                                             : "ooxml");
      g_assert_cmpint (probe->size_class, ==, TPD_SIZE_EXACT);
      g_assert_cmpuint (probe->plain_size, ==, (guint64) json_object_get_int_member (entry, "plain_size"));
      g_assert_null (probe->extension);
      if (json_object_has_member (entry, "container") && json_object_get_object_member (entry, "container") != NULL
          && json_object_has_member (json_object_get_object_member (entry, "container"), "label_info"))
        g_assert_nonnull (strstr (probe->metadata, "labelList"));
      else
        g_assert_null (probe->metadata);
    }
  g_test_message ("at most %u reads", most);
  g_assert_cmpuint (most, <=, 8);
}

/* Compound files of others, and those that other formats will open. */
static void
test_not_ours (void)
{
  JsonArray *files = fixture_files ();
  guint n = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      const char *kind = json_word (entry, "kind");
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;
      guint8 head[8];

      if (!g_str_equal (kind, "plain") && !g_str_equal (kind, "msg"))
        continue;
      source = share_open (entry);
      if (tpd_source_pread (source, head, sizeof head, 0, NULL) < 8 || !tpd_cfb_magic (head, sizeof head))
        continue;
      probe = tpd_probe (source, NULL);
      g_assert_cmpint (probe->kind, !=, TPD_KIND_OOXML);
      g_assert_cmpint (probe->kind, !=, TPD_KIND_OLE);
      g_assert_cmpint (probe->kind, !=, TPD_KIND_XPS);
      if (g_str_equal (kind, "plain"))
        g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
      n++;
    }
  g_assert_cmpuint (n, >=, 6);
}

static void
test_random_access (void)
{
  JsonArray *files = fixture_files ();
  g_autoptr (GRand) random = g_rand_new_with_seed (3);

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GBytes) whole = NULL;
      const guint8 *expected;
      gsize size;
      TpdVerdict verdict;

      if (!is_ours (entry) || !json_object_get_boolean_member (entry, "open"))
        continue;
      source = share_open (entry);
      document = document_open (source, &verdict);
      whole = document_read_all (document, NULL);
      expected = g_bytes_get_data (whole, &size);
      for (guint round = 0; round < 200; round++)
        {
          guint8 buf[9000];
          gsize off = (gsize) g_rand_int_range (random, 0, (gint32) size + 20);
          gsize len = (gsize) g_rand_int_range (random, 0, sizeof buf);
          gssize got = tpd_document_pread (document, buf, len, off, NULL);

          g_assert_cmpint (got, ==, off >= size ? 0 : (gssize) MIN (len, size - off));
          if (got > 0)
            g_assert_cmpmem (buf, (gsize) got, expected + off, (gsize) got);
        }
    }
}

static JsonObject *
find_entry (const char *path)
{
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      if (g_str_equal (json_word (entry, "path"), path))
        return entry;
    }
  g_assert_not_reached ();
}

/* What is left of a file opens with the true bytes, or is refused. */
static void
test_truncated (void)
{
  static const char *const paths[] = { "Verträge/2012/budget v2-37.docx",
                                       "Legal/2016/List of suppliers & prices-213.doc" };

  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      JsonObject *entry = find_entry (paths[i]);
      g_autoptr (TpdSource) file = share_open (entry);
      g_autoptr (GBytes) whole = tpd_source_read_bytes (file, 0, file->size, NULL);

      for (gsize cut = 512; cut < file->size; cut += 512)
        {
          g_autoptr (GBytes) part = g_bytes_new_from_bytes (whole, 0, cut);
          g_autoptr (TpdSource) source = tpd_source_new_bytes (part);
          TpdVerdict verdict;
          g_autoptr (TpdDocument) document = document_open (source, &verdict);

          if (document != NULL)
            {
              g_autoptr (GBytes) plain = document_read_all (document, NULL);
              g_autofree char *sha256 = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, plain);
              g_assert_cmpstr (sha256, ==, json_word (entry, "plain_sha256"));
            }
          else
            g_assert_true (verdict == TPD_VERDICT_DAMAGED || verdict == TPD_VERDICT_NOT_PROTECTED);
        }
    }
}

/* Each read in turn fails or comes short: an error, never other bytes. */
static void
test_read_errors (gconstpointer fault)
{
  JsonObject *entry = find_entry ("Verträge/2012/budget v2-37.docx");
  g_autoptr (TpdSource) file = share_open (entry);
  guint failures = 0;

  for (int at = 0;; at++)
    {
      FaultSource *faulty = fault_source_new (file, (Fault) GPOINTER_TO_INT (fault), at);
      g_autoptr (TpdSource) source = &faulty->base;
      TpdVerdict verdict;
      g_autoptr (TpdDocument) document = document_open (source, &verdict);
      g_autoptr (GBytes) plain = document != NULL ? document_read_all (document, NULL) : NULL;

      if (plain != NULL)
        {
          g_autofree char *sha256 = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, plain);
          g_assert_cmpstr (sha256, ==, json_word (entry, "plain_sha256"));
        }
      else
        {
          failures++;
          if (document == NULL && (Fault) GPOINTER_TO_INT (fault) == FAULT_EIO)
            g_assert_cmpstr (tpd_verdict_word (verdict), ==, "io-error");
        }
      if (faulty->reads <= at)
        break;
    }
  g_assert_cmpuint (failures, >, 5);
}

/* A lost directory is refused only where a sign of protection is left. */
static void
test_directory_lost (void)
{
  static const struct {
    const char *path;
    TpdVerdict verdict;
  } cases[] = {
    { "Verträge/2012/budget v2-37.docx", TPD_VERDICT_DAMAGED },
    { "営業部/2024 Q1/Q3 report (final) 4.doc", TPD_VERDICT_NOT_PROTECTED },
    { "HR Department/2024 Q1/password protected.docx", TPD_VERDICT_NOT_PROTECTED },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TpdSource) file = share_open (find_entry (cases[i].path));
      g_autofree guint8 *data = g_malloc (file->size);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;

      g_assert_true (tpd_source_read_exact (file, data, file->size, 0, NULL));
      put_u32 (data + 48, 0x00ffffff);
      source = source_from (data, file->size);
      probe = tpd_probe (source, NULL);
      g_assert_cmpstr (tpd_verdict_word (probe->verdict), ==, tpd_verdict_word (cases[i].verdict));
    }
}

/* The same of large files, wherever the transform stands. */
static void
test_directory_lost_large (void)
{
  static const guint64 tails[] = { 0, 3 * 1024 * 1024, 20 * 1024 * 1024 };
  g_autoptr (TpdSource) file = share_open (find_entry ("Verträge/2012/budget v2-37.docx"));

  for (guint i = 0; i < G_N_ELEMENTS (tails); i++)
    for (guint behind = 0; behind < 2; behind++)
      {
        gsize size = (gsize) (file->size + tails[i]), at = behind ? (gsize) tails[i] : 0;
        g_autofree guint8 *data = make_noise (size, 5);
        g_autoptr (TpdSource) source = NULL;
        g_autoptr (TpdProbe) probe = NULL;

        g_assert_true (tpd_source_read_exact (file, data + at, file->size, 0, NULL));
        g_assert_true (tpd_source_read_exact (file, data, 512, 0, NULL));
        put_u32 (data + 48, 0x00ffffff);
        source = source_from (data, size);
        probe = tpd_probe (source, NULL);
        g_assert_cmpstr (tpd_verdict_word (probe->verdict), ==, "damaged");
        g_assert_cmpint (probe->kind, ==, TPD_KIND_OOXML);
      }
}

/* --- Containers made by hand -------------------------------------------- */

static void
add_u32 (GByteArray *to, guint32 value)
{
  guint8 raw[4];

  put_u32 (raw, value);
  g_byte_array_append (to, raw, 4);
}

/* UNICODE-LP-P4 */
static void
add_text (GByteArray *to, const char *text)
{
  glong units;
  g_autofree gunichar2 *utf16 = g_utf8_to_utf16 (text, -1, NULL, &units, NULL);

  add_u32 (to, (guint32) units * 2);
  for (glong i = 0; i < units + units % 2; i++)
    {
      guint8 raw[2];
      put_u16 (raw, i < units ? utf16[i] : 0);
      g_byte_array_append (to, raw, 2);
    }
}

#define DRM_ID "{C73DFACD-061F-43B0-8B64-0C620D2A8B50}"
#define COMPRESSION_ID "{86DE7F2B-DDCE-486d-B016-405BBE82B8BC}"

/* How a container is made; zero means as usual. */
typedef struct {
  const char *what;
  const char *stream, *space, *transform; /* names */
  const char *map_stream;                 /* as the map spells it */
  const char *map_first;                  /* the map has another entry, in front: this stream */
  const char *id;
  const char *second_id; /* another transform behind the first */
  guint surplus;         /* bytes between identifier and name */
  gboolean length_lies;  /* TransformLength points before the end of the identifier */
  guint reader_version;
  guint extension; /* extensibility header */
  gboolean license_empty;
  guint license_cut; /* the license is said to be so much longer */
  gboolean no_map, bad_map, storage_map, no_definition, no_primary;
  gboolean no_spaces, no_transforms; /* they are called something else */
  gboolean another;                  /* there is a stream "Another" */
  gboolean warned;
  gboolean zero;      /* stated plain size is 0, else: */
  gint64 length;      /* stated plain size */
  gsize content_size; /* only so much of the content */
  gsize label;        /* bytes of label information */

  GBytes *cipher; /* what stands behind the size */

  TpdVerdict verdict;
  TpdKind kind;
} Make;

static void
make_primary (const Make *make, const char *id, GByteArray *out)
{
  guint header;

  add_u32 (out, 0);
  add_u32 (out, 1);
  add_text (out, id);
  for (guint i = 0; i < make->surplus; i++)
    g_byte_array_append (out, (const guint8 *) "\xee", 1);
  header = make->length_lies ? 0x20 : out->len;
  put_u32 (out->data, header);
  add_text (out, "Microsoft.Metadata.DRMTransform");
  for (guint i = 0; i < 3; i++)
    add_u32 (out, make->reader_version != 0 ? make->reader_version : 1);
  add_u32 (out, make->extension != 0 ? make->extension : 4);
  for (guint i = 4; i < make->extension; i++)
    g_byte_array_append (out, (const guint8 *) "\xdd", 1);
  add_u32 (out, make->license_empty ? 0 : 12 + make->license_cut);
  g_byte_array_append (out, (const guint8 *) "<XrML/>     ", 12);
}

static void
add_map_entry (GByteArray *out, gboolean below, const char *stream, const char *space)
{
  guint start = out->len;

  add_u32 (out, 0);
  add_u32 (out, below ? 2 : 1);
  if (below)
    {
      add_u32 (out, 1);
      add_text (out, "\006DATASPACES");
    }
  add_u32 (out, 0);
  add_text (out, stream);
  add_text (out, space);
  put_u32 (out->data + start, out->len - start);
}

static void
make_map (const Make *make, const char *stream, const char *space, GByteArray *out)
{
  add_u32 (out, 8);
  add_u32 (out, make->bad_map ? 1000000 : make->map_first != NULL ? 2 : 1);
  if (make->map_first != NULL)
    add_map_entry (out, FALSE, make->map_first, space);
  add_map_entry (out, make->storage_map, make->map_stream != NULL ? make->map_stream : stream, space);
}

static GBytes *
make_container (const Make *make)
{
  const char *stream = make->stream != NULL ? make->stream : "EncryptedPackage";
  const char *space = make->space != NULL ? make->space : "DRMEncryptedDataSpace";
  const char *transform = make->transform != NULL ? make->transform : "DRMEncryptedTransform";
  gsize body = make->cipher != NULL ? g_bytes_get_size (make->cipher) : 5008, content_size;
  g_autoptr (Image) image = image_new (3);
  g_autoptr (GByteArray) map = g_byte_array_new ();
  g_autoptr (GByteArray) definition = g_byte_array_new ();
  g_autoptr (GByteArray) primary = g_byte_array_new ();
  g_autoptr (GByteArray) second = g_byte_array_new ();
  g_autofree guint8 *content = make_noise (body + 8, 1);
  g_autofree guint8 *label = make_text (make->label);

  if (make->cipher != NULL && body > 0)
    memcpy (content + 8, g_bytes_get_data (make->cipher, NULL), body);
  put_u64 (content, make->zero ? 0 : make->length != 0 ? (guint64) make->length : 5000);
  content_size = make->content_size != 0 ? make->content_size - 1 : body + 8;
  make_map (make, stream, space, map);
  add_u32 (definition, 8);
  add_u32 (definition, make->second_id != NULL ? 2 : 1);
  add_text (definition, transform);
  if (make->second_id != NULL)
    add_text (definition, "Second");
  make_primary (make, make->id != NULL ? make->id : DRM_ID, primary);
  make_primary (make, make->second_id != NULL ? make->second_id : "", second);

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  image_add_entry (image, make->no_spaces ? "DataSpaces" : "\006DataSpaces", 1, NO_ENTRY,
                   make->storage_map ? NO_ENTRY : 2, 3, 0, 0);
  if (make->storage_map)
    image_add_entry (image, "unused", 1, NO_ENTRY, NO_ENTRY, NO_ENTRY, 0, 0);
  else
    image_add_stream (image, stream, NO_ENTRY, make->another ? 12 : NO_ENTRY, content, content_size);
  image_add_stream (image, make->no_map ? "Map" : "DataSpaceMap", NO_ENTRY, 4, map->data, map->len);
  image_add_entry (image, "DataSpaceInfo", 1, NO_ENTRY, 5, 6, 0, 0);
  image_add_entry (image, make->no_transforms ? "Transforms" : "TransformInfo", 1, NO_ENTRY,
                   make->storage_map ? 12 : NO_ENTRY, 7, 0, 0);
  image_add_stream (image, make->no_definition ? "other" : space, NO_ENTRY, NO_ENTRY, definition->data,
                    definition->len);
  image_add_entry (image, transform, 1, NO_ENTRY, 9, 8, 0, 0);
  image_add_stream (image, make->no_primary ? "Primary" : "\006Primary", NO_ENTRY, NO_ENTRY, primary->data,
                    primary->len);
  image_add_entry (image, "Second", 1, NO_ENTRY, make->label != 0 ? 11 : NO_ENTRY, 10, 0, 0);
  image_add_stream (image, "\006Primary", NO_ENTRY, NO_ENTRY, second->data, second->len);
  image_add_stream (image, "LabelInfo", NO_ENTRY, NO_ENTRY, label, make->label);
  if (make->storage_map)
    image_add_stream (image, stream, NO_ENTRY, NO_ENTRY, content, content_size);
  if (make->another)
    image_add_stream (image, "Another", NO_ENTRY, NO_ENTRY, content, 4);
  return image_finish (image);
}

static const Make makes[] = {
  { .what = "the usual" },
  { .what = "identifier in lower case", .id = "{c73dfacd-061f-43b0-8b64-0c620d2a8b50}" },
  { .what = "map in other case", .map_stream = "ENCRYPTEDpackage" },
  { .what = "surplus in the transform header", .surplus = 16 },
  { .what = "longer extensibility header", .extension = 20 },
  { .what = "stream below a storage", .storage_map = TRUE },
  { .what = "own names", .stream = "Part", .space = "Space", .transform = "Transform" },
  { .what = "no content at all", .content_size = 1 },
  { .what = "label", .label = 1000 },
  { .what = "label too large", .label = TPD_LABEL_INFO_MAX + 1 },
  { .what = "exactly as long as stated", .length = 5008 },

  { .what = "binary",
    .stream = "\tDRMContent",
    .space = "\tDRMDataSpace",
    .transform = "\tDRMTransform",
    .kind = TPD_KIND_OLE },
  { .what = "package of .NET",
    .space = "RMEncryptionNoCompression",
    .transform = "EncryptionTransform",
    .kind = TPD_KIND_XPS },
  { .what = "old package of .NET",
    .space = "127637873429774043",
    .transform = "EncryptionTransform",
    .kind = TPD_KIND_XPS },

  { .what = "password encryption",
    .id = "{FF9A3F03-56EF-4613-BDD5-5A41C1D07246}",
    .transform = "StrongEncryptionTransform",
    .verdict = TPD_VERDICT_NOT_PROTECTED },
  { .what = "no description under another name",
    .transform = "StrongEncryptionTransform",
    .no_primary = TRUE,
    .verdict = TPD_VERDICT_NOT_PROTECTED },

  { .what = "map to nothing, then to the stream", .map_first = "Nothing" },
  { .what = "map to a storage, then to the stream", .map_first = "\006DataSpaces" },
  { .what = "map to the stream twice", .map_first = "ENCRYPTEDPackage" },
  { .what = "map to the stream and to nothing", .map_first = "EncryptedPackage", .map_stream = "Nothing" },
  { .what = "map to nothing, then to a stream of its own name", .map_first = "Nothing", .stream = "Part" },

  { .what = "map to another stream, then to the usual one", .map_first = "Another", .another = TRUE, .warned = TRUE },

  { .what = "no map", .no_map = TRUE, .warned = TRUE },
  { .what = "map with a million entries", .bad_map = TRUE, .warned = TRUE },
  { .what = "map to nothing", .map_stream = "Nothing", .warned = TRUE },
  { .what = "map to a storage", .map_stream = "\006DataSpaces", .warned = TRUE },
  { .what = "no definition", .no_definition = TRUE, .warned = TRUE },
  { .what = "binary without a map",
    .stream = "\tDRMContent",
    .space = "\tDRMDataSpace",
    .transform = "\tDRMTransform",
    .no_map = TRUE,
    .warned = TRUE,
    .kind = TPD_KIND_OLE },
  { .what = "no map to a stream of its own name", .stream = "Part", .no_map = TRUE, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "map to nothing, the stream has its own name",
    .stream = "Part",
    .map_stream = "Nothing",
    .verdict = TPD_VERDICT_DAMAGED },
  { .what = "two transforms that it can be", .second_id = DRM_ID, .no_map = TRUE, .verdict = TPD_VERDICT_DAMAGED },

  /* Protected all the same, and nothing left of the license. */
  { .what = "no data spaces", .no_spaces = TRUE, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "no transforms", .no_transforms = TRUE, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "no transforms in a binary file",
    .stream = "\tDRMContent",
    .no_transforms = TRUE,
    .kind = TPD_KIND_OLE,
    .verdict = TPD_VERDICT_DAMAGED },
  { .what = "no transforms for viewers",
    .stream = "\tDRMViewerContent",
    .no_transforms = TRUE,
    .kind = TPD_KIND_OLE,
    .verdict = TPD_VERDICT_DAMAGED },
  { .what = "a transform of its own name without description",
    .transform = "Transform",
    .no_primary = TRUE,
    .verdict = TPD_VERDICT_DAMAGED },
  { .what = "no data spaces, and a stream of any name",
    .stream = "Part",
    .no_spaces = TRUE,
    .verdict = TPD_VERDICT_NOT_PROTECTED },

  { .what = "no description", .no_primary = TRUE, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "transform length too short", .length_lies = TRUE, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "transform length too long", .surplus = 8000, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "extensibility header too short", .extension = 3, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "extensibility header too long", .extension = 5000, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "no license", .license_empty = TRUE, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "license cut by a byte", .license_cut = 1, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "license of 4 GiB", .license_cut = 0xfffffff0, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "content of 4 bytes", .content_size = 5, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "one byte more stated than there", .length = 5009, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "2^63 bytes stated", .length = G_MININT64, .verdict = TPD_VERDICT_DAMAGED },
  { .what = "-1 bytes stated", .length = -1, .verdict = TPD_VERDICT_DAMAGED },

  { .what = "another transform behind",
    .second_id = "{00000000-0000-0000-0000-000000000000}",
    .verdict = TPD_VERDICT_UNSUPPORTED },
  { .what = "compression behind", .second_id = COMPRESSION_ID, .verdict = TPD_VERDICT_UNSUPPORTED },
  { .what = "viewer copy only",
    .stream = "\tDRMViewerContent",
    .space = "\tDRMDataSpace",
    .transform = "\tDRMTransform",
    .kind = TPD_KIND_OLE,
    .verdict = TPD_VERDICT_UNSUPPORTED },
  { .what = "version 2 of the transform", .reader_version = 2, .verdict = TPD_VERDICT_UNSUPPORTED },
};

static void
test_made (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (makes); i++)
    {
      const Make *make = &makes[i];
      g_autoptr (GBytes) bytes = make_container (make);
      g_autoptr (TpdSource) source = tpd_source_new_bytes (bytes);
      g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
      g_autoptr (GBytes) license = NULL;
      TpdKind kind = make->kind != TPD_KIND_PLAIN ? make->kind : TPD_KIND_OOXML;

      g_test_message ("%s: %s", make->what, probe->message != NULL ? probe->message : "");
      g_assert_cmpstr (tpd_verdict_word (probe->verdict), ==, tpd_verdict_word (make->verdict));
      if (make->verdict == TPD_VERDICT_NOT_PROTECTED)
        kind = TPD_KIND_PLAIN;
      g_assert_cmpstr (tpd_kind_word (probe->kind), ==, tpd_kind_word (kind));
      g_assert_true (make->verdict == TPD_VERDICT_OK || make->verdict == TPD_VERDICT_NOT_PROTECTED
                     || probe->message != NULL);
      if (make->verdict != TPD_VERDICT_OK)
        continue;
      license = tpd_probe_read_license (probe, source, NULL);
      g_assert_cmpmem (g_bytes_get_data (license, NULL), g_bytes_get_size (license), "<XrML/>     ", 12);
      g_assert_cmpuint (probe->plain_size, ==, make->content_size != 0 ? 0 : make->length != 0 ? make->length : 5000);
      g_assert_true ((probe->metadata != NULL) == (make->label == 1000));
      g_assert_true ((probe->warnings != NULL) == (make->label > 1000 || make->warned));
    }
}

/* Bodies may be longer than any cipher mode makes them. */
static void
test_surplus (void)
{
  static const struct {
    guint16 word;
    TpdCipherMode mode;
    gboolean whole;
    gsize len;
  } cases[] = {
    { TPD_MODE_WORD_ECB, TPD_CIPHER_ECB, FALSE, 5003 },
    { TPD_MODE_WORD_ECB, TPD_CIPHER_ECB, FALSE, 5008 },
    { TPD_MODE_WORD_CBC4K, TPD_CIPHER_ECB, FALSE, 5003 },
    { TPD_MODE_WORD_CBC4K_NOPAD, TPD_CIPHER_CBC4K_NOPAD, FALSE, 1003 },
    { TPD_MODE_WORD_CBC4K_NOPAD, TPD_CIPHER_CBC4K_NOPAD, TRUE, 1003 },
    { TPD_MODE_WORD_CBC4K_NOPAD, TPD_CIPHER_CBC4K_NOPAD, TRUE, 0 },
    { TPD_MODE_WORD_CBC512, TPD_CIPHER_CBC512, FALSE, 5003 },
    { TPD_MODE_WORD_CBC4K, TPD_CIPHER_CBC4K, FALSE, 5003 },
  };
  static const gsize surpluses[] = { 0, 7, 16, 32, 100, 112, 3184, 5000, 20000 };
  static const guint8 key[32] = "0123456789abcdef0123456789abcde";

  for (guint i = 0; i < G_N_ELEMENTS (cases) * G_N_ELEMENTS (surpluses) * 2; i++)
    {
      gsize surplus = surpluses[i / 2 % G_N_ELEMENTS (surpluses)], key_len = i % 2 == 0 ? 16 : 32;
      guint n = i / 2 / G_N_ELEMENTS (surpluses);
      TpdIvRule rule = cases[n].mode == TPD_CIPHER_CBC512 ? TPD_IV_OFFSET : TPD_IV_INDEX;
      g_autofree guint8 *text = make_text (cases[n].len);
      g_autofree guint8 *noise = make_noise (surplus, 1);
      g_autoptr (GBytes) body = encrypt_body (key, key_len, cases[n].mode, rule, cases[n].whole, text, cases[n].len);
      g_autoptr (GByteArray) cipher = g_byte_array_new ();
      g_autoptr (GBytes) all = NULL;
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (GBytes) plain = NULL;
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GError) error = NULL;
      TpdContentKey content_key = { .ref_count = 1 };

      if (surplus == 3184 && cases[n].mode != TPD_CIPHER_ECB)
        continue; /* a whole segment has a meaning in CBC */
      content_key.key = tpd_secret_new (key, key_len);
      content_key.mode_word = cases[n].word;
      g_byte_array_append (cipher, g_bytes_get_data (body, NULL), (guint) g_bytes_get_size (body));
      if (surplus > 0)
        g_byte_array_append (cipher, noise, (guint) surplus);
      all = g_bytes_new (cipher->data, cipher->len);
      bytes = make_container (&(Make){ .cipher = all, .length = (gint64) cases[n].len, .zero = cases[n].len == 0 });
      source = tpd_source_new_bytes (bytes);
      probe = tpd_probe (source, NULL);
      document = tpd_document_new (source, probe, NULL, &content_key, NULL, NULL, &error);
      g_assert_no_error (error);
      g_test_message ("%s of %" G_GSIZE_FORMAT " bytes, %" G_GSIZE_FORMAT " more", document->cipher, cases[n].len,
                      surplus);
      plain = document_read_all (document, NULL);
      g_assert_cmpmem (g_bytes_get_data (plain, NULL), g_bytes_get_size (plain), text, cases[n].len);
      if (surplus >= 5000)
        g_assert_nonnull (strstr (document->warnings[0], "longer than its size needs"));
      g_clear_pointer (&document, tpd_document_unref);
      tpd_secret_unref (content_key.key);
    }
}

/* Bytes of the containers turned at random: any verdict, no crash. */
static void
test_noise (void)
{
  g_autoptr (GBytes) good = make_container (&makes[0]);
  g_autoptr (GRand) random = g_rand_new_with_seed (2);

  for (guint round = 0; round < 20000; round++)
    {
      g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (good, NULL), g_bytes_get_size (good));
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;

      for (guint n = 0; n < 1 + round % 5; n++)
        data[g_rand_int_range (random, 0, (gint32) g_bytes_get_size (good))] = (guint8) g_rand_int (random);
      source = source_from (data, g_bytes_get_size (good));
      probe = tpd_probe (source, NULL);
      g_assert_true (probe->verdict == TPD_VERDICT_OK || probe->verdict == TPD_VERDICT_NOT_PROTECTED
                     || probe->message != NULL);
      if (probe->verdict == TPD_VERDICT_OK)
        {
          g_autoptr (GBytes) license = tpd_probe_read_license (probe, source, NULL);
          g_assert_nonnull (license);
        }
    }
}

/* --- Files nobody here wrote -------------------------------------------- */

static void
test_real (void)
{
  static const struct {
    const char *name;
    TpdKind kind;
    guint64 plain_size;
  } cases[] = {
    { "testWORD_protected_drm.doc", TPD_KIND_OLE, 13824 },
    { "EncryptedPackageWithProperties.xps", TPD_KIND_XPS, 0 },
    { "EncryptedPackageWithoutProperties.xps", TPD_KIND_XPS, 0 },
  };
  const char *root = g_getenv ("TPD_REAL_FILES");

  if (root == NULL || !g_file_test (root, G_FILE_TEST_IS_DIR))
    {
      g_test_skip ("TPD_REAL_FILES is not set");
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_build_filename (root, "office", cases[i].name, NULL);
      g_autoptr (TpdSource) source = source_open (path);
      g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
      g_autoptr (GBytes) license = NULL;

      g_test_message ("%s: %s, %" G_GUINT64_FORMAT, cases[i].name, tpd_verdict_word (probe->verdict),
                      probe->plain_size);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
      g_assert_cmpint (probe->kind, ==, cases[i].kind);
      if (cases[i].plain_size != 0)
        g_assert_cmpuint (probe->plain_size, ==, cases[i].plain_size);
      license = tpd_probe_read_license (probe, source, NULL);
      g_assert_cmpuint (g_bytes_get_size (license), >, 20);
      if (cases[i].kind == TPD_KIND_OLE)
        {
          TpdVerdict verdict;
          g_assert_null (document_open (source, &verdict));
          g_assert_cmpint (verdict, ==, TPD_VERDICT_NO_KEY);
        }
    }
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  fixture_keys_load (&keys);
  g_test_add_func ("/office/fixtures/bytes-or-verdict", test_fixtures);
  g_test_add_func ("/office/fixtures/probe-says-kind-and-size", test_probe);
  g_test_add_func ("/office/fixtures/other-compound-files-are-not-ours", test_not_ours);
  g_test_add_func ("/office/fixtures/random-access-is-exact", test_random_access);
  g_test_add_func ("/office/truncated-never-gives-other-bytes", test_truncated);
  g_test_add_data_func ("/office/failing-reads-are-errors", GINT_TO_POINTER (FAULT_EIO), test_read_errors);
  g_test_add_data_func ("/office/short-reads-are-errors", GINT_TO_POINTER (FAULT_SHORT), test_read_errors);
  g_test_add_func ("/office/lost-directory/signs", test_directory_lost);
  g_test_add_func ("/office/lost-directory/large", test_directory_lost_large);
  g_test_add_func ("/office/made/verdicts", test_made);
  g_test_add_func ("/office/made/surplus-behind-the-content", test_surplus);
  g_test_add_func ("/office/made/noise", test_noise);
  g_test_add_func ("/office/real-files", test_real);
  status = g_test_run ();
  fixture_keys_clear (&keys);
  return status;
}
