/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clear documents around encrypted PDF files: the wrapper of version 2 with
 * everything its embedded file may say, and the appended cover of version 1.
 */
#include <glib.h>

#include "pdf-maker.h"

typedef struct {
  gint64 size; /* /Size; 0: the true one, -1: none */
  gboolean no_md5, wrong_md5;
  gboolean name_tree;  /* /Names instead of /AF */
  gboolean stored;     /* not deflated */
  gboolean cut;        /* the deflated data lacks its end */
  gboolean in_stream;  /* catalog and file specification in an object stream */
  const char *subtype; /* NULL: ours */
  const char *root;    /* the catalog; NULL: as `name_tree` says */
  const char *file;    /* the file specification, likewise */
  const char *sixth;   /* object 6 */
  guint wrong;         /* the table has a wrong offset for this object */
} WrapperSpec;

static void
add_object (GString *out, guint64 *offs, guint num, const char *text)
{
  offs[num] = out->len;
  g_string_append_printf (out, "%u 0 obj\n%s\nendobj\n", num, text);
}

static void
add_data (GString *out, guint64 *offs, guint num, const char *keys, GBytes *data)
{
  offs[num] = out->len;
  g_string_append_printf (out, "%u 0 obj\n<<%s/Length %" G_GSIZE_FORMAT ">>\nstream\n", num, keys,
                          g_bytes_get_size (data));
  g_string_append_len (out, g_bytes_get_data (data, NULL), (gssize) g_bytes_get_size (data));
  g_string_append (out, "\nendstream\nendobj\n");
}

static char *
make_params (const WrapperSpec *spec, GBytes *payload)
{
  g_autoptr (GChecksum) md5 = g_checksum_new (G_CHECKSUM_MD5);
  g_autoptr (GString) params = g_string_new ("/Params<<");

  g_checksum_update (md5, g_bytes_get_data (payload, NULL), (gssize) g_bytes_get_size (payload));
  if (spec->wrong_md5)
    g_checksum_reset (md5);
  if (spec->size >= 0)
    g_string_append_printf (params, "/Size %" G_GINT64_FORMAT,
                            spec->size > 0 ? spec->size : (gint64) g_bytes_get_size (payload));
  if (!spec->no_md5)
    g_string_append_printf (params, "/CheckSum<%s>", g_checksum_get_string (md5));
  g_string_append (params, ">>");
  return g_string_free (g_steal_pointer (&params), FALSE);
}

/* A cross-reference stream in which objects 1 and 2 are in the object stream 4. */
static void
add_xref_stream (GString *out, guint64 *offs)
{
  guint64 place = out->len;

  offs[6] = place;
  g_string_append (out, "6 0 obj\n<</Type/XRef/W[1 4 1]/Size 7/Root 1 0 R/Length 42>>\nstream\n");
  for (guint i = 0; i < 7; i++)
    {
      gboolean inside = i == 1 || i == 2;
      guint64 value = inside ? 4 : offs[i];

      g_string_append_c (out, inside ? 2 : value > 0 ? 1 : 0);
      for (int shift = 24; shift >= 0; shift -= 8)
        g_string_append_c (out, (char) (value >> shift));
      g_string_append_c (out, inside ? (char) (i - 1) : 0);
    }
  g_string_append_printf (out, "\nendstream\nendobj\nstartxref\n%" G_GUINT64_FORMAT "\n%%%%EOF\n", place);
}

static void
add_table (GString *out, const guint64 *offs, guint wrong)
{
  guint64 place = out->len;

  g_string_append (out, "xref\n0 7\n0000000000 65535 f \n");
  for (guint i = 1; i < 7; i++)
    g_string_append_printf (out, "%010" G_GUINT64_FORMAT " 00000 %c \n", offs[i] + (i == wrong ? 5 : 0),
                            offs[i] > 0 ? 'n' : 'f');
  g_string_append_printf (out, "trailer\n<</Size 7/Root 1 0 R>>\nstartxref\n%" G_GUINT64_FORMAT "\n%%%%EOF\n", place);
}

static GBytes *
make_wrapper (const WrapperSpec *spec, GBytes *payload)
{
  GString *out = g_string_new ("%PDF-2.0\n");
  guint64 offs[7] = { 0 };
  g_autofree char *params = make_params (spec, payload);
  g_autofree char *keys = g_strconcat ("/Type/EmbeddedFile", spec->stored ? "" : "/Filter/FlateDecode", params, NULL);
  g_autoptr (GBytes) packed = spec->stored
                                  ? g_bytes_ref (payload)
                                  : deflate_bytes (g_bytes_get_data (payload, NULL), g_bytes_get_size (payload), 15);
  g_autoptr (GBytes) cut = g_bytes_new_from_bytes (packed, 0, g_bytes_get_size (packed) - (spec->cut ? 500 : 0));
  const char *root = spec->root != NULL ? spec->root
                     : spec->name_tree
                         ? "<</Type/Catalog/Pages 5 0 R/Names<</EmbeddedFiles<</Kids[<</X 1>>]/Names[(a)2 0 R]>>>>>>"
                         : "<</Type/Catalog/Pages 5 0 R/AF[2 0 R]>>";
  g_autofree char *file = g_strdup_printf ("<</Type/Filespec/F(x)/EP<</Type/EncryptedPayload/Subtype/%s/Version 2>>"
                                           "/EF<</F 3 0 R>>>>",
                                           spec->subtype != NULL ? spec->subtype : "MicrosoftIRMServices");

  add_data (out, offs, 3, keys, cut);
  add_object (out, offs, 5, "<</Type/Pages/Kids[]/Count 0>>");
  if (spec->in_stream)
    {
      g_autofree char *head = g_strdup_printf ("1 0 2 %u ", (guint) strlen (root) + 1);
      g_autofree char *text = g_strdup_printf ("%s%s %s", head, root, file);
      g_autofree char *stream_keys =
          g_strdup_printf ("/Type/ObjStm/N 2/First %u/Filter/FlateDecode", (guint) strlen (head));
      g_autoptr (GBytes) data = deflate_bytes (text, strlen (text), 15);

      add_data (out, offs, 4, stream_keys, data);
      add_xref_stream (out, offs);
    }
  else
    {
      add_object (out, offs, 1, root);
      add_object (out, offs, 2, spec->file != NULL ? spec->file : file);
      if (spec->sixth != NULL)
        add_object (out, offs, 6, spec->sixth);
      add_table (out, offs, spec->wrong);
    }
  return g_string_free_to_bytes (out);
}

static TpdDocument *
open_file (GBytes *file, const Spec *spec, const TpdProbe *probe, GError **error)
{
  g_autoptr (TpdSource) source = tpd_source_new_bytes (file);
  TpdContentKey key = maker_content_key (spec, maker_word (spec));
  TpdDocument *document = tpd_document_new (source, probe, NULL, &key, NULL, NULL, error);

  tpd_secret_unref (key.key);
  return document;
}

static TpdProbe *
probe_file (GBytes *file)
{
  g_autoptr (TpdSource) source = tpd_source_new_bytes (file);
  FaultSource *counter = fault_source_new (source, FAULT_NONE, 0);
  TpdProbe *probe = tpd_probe (&counter->base, NULL);

  g_assert_cmpint (counter->reads, <=, TPD_PROBE_MAX_READS);
  tpd_source_unref (&counter->base);
  return probe;
}

/* An encrypted document with a license too large to be inflated by a probe. */
static GBytes *
make_large (Spec *spec)
{
  static char *noise;

  if (noise == NULL)
    {
      g_autofree guint8 *bytes = make_noise (900000, 1);
      noise = g_base64_encode (bytes, 900000);
    }
  *spec = (Spec){ .mode = TPD_CIPHER_CBC4K, .license = noise };
  return make_pdf (spec, TRUE);
}

static void
test_forms (void)
{
  static const WrapperSpec wrappers[] = {
    { 0 }, { .name_tree = TRUE }, { .stored = TRUE }, { .in_stream = TRUE }, { .subtype = "microsoftirmservices" },
  };
  Spec spec = { .mode = TPD_CIPHER_CBC4K };
  g_autoptr (GBytes) payload = make_pdf (&spec, TRUE);
  g_autoptr (GBytes) plain = make_pdf (&spec, FALSE);

  for (guint i = 0; i < G_N_ELEMENTS (wrappers); i++)
    {
      g_autoptr (GBytes) file = make_wrapper (&wrappers[i], payload);
      g_autoptr (TpdProbe) probe = probe_file (file);
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GBytes) result = NULL;
      g_autoptr (GError) error = NULL;

      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
      g_assert_cmpuint (probe->version_major, ==, 2);
      g_assert_cmpint (probe->size_class, ==, TPD_SIZE_EXACT);
      g_assert_cmpuint (probe->plain_size, ==, g_bytes_get_size (payload));
      g_assert_null (probe->warnings);
      document = open_file (file, &spec, probe, &error);
      g_assert_no_error (error);
      g_assert_cmpint (document->proof, ==, TPD_PROOF_PROVEN);
      g_assert_cmpuint (document->plain_size, ==, probe->plain_size);
      result = document_read_all (document, NULL);
      compare_bytes (result, plain, FALSE);
    }
}

#define CATALOG "<</Type/Catalog/Pages 5 0 R"
#define OURS "/EP<</Type/EncryptedPayload/Subtype/MicrosoftIRMServices/Version 2>>"

/* What leads to the payload in a less usual way, or is broken: it opens, and
 * only what nobody could find is a size before. */
static void
test_ways (void)
{
  static const struct {
    WrapperSpec wrapper;
    gboolean broken;
  } cases[] = {
    { { .root = CATALOG "/AF 6 0 R>>", .sixth = "[2 0 R]" } },
    { { .root = CATALOG "/AF 2 0 R>>" } },
    { { .root = CATALOG "/AF[6 0 R]/Names<</EmbeddedFiles<</Names[(a)2 0 R]>>>>>>", .sixth = "<</Type/Filespec>>" } },
    { { .root = CATALOG "/AF[9 0 R]/Names<</EmbeddedFiles<</Names[(a)2 0 R]>>>>>>" } },
    { { .root = CATALOG "/Names<</EmbeddedFiles<</Kids[5 0 R 6 0 R]>>>>>>", .sixth = "<</Names[(m)2 0 R]>>" } },
    { { .root = CATALOG "/Names<</EmbeddedFiles<</Kids[4 0 R 1 0 R 6 0 R]>>>>>>", .sixth = "<</Names[(m)2 0 R]>>" } },
    { { .file = "<</Type/Filespec" OURS "/EF<</UF 3 0 R>>>>" } },
    { { .file = "<</Type/Filespec" OURS "/EF<</Unix 3 0 R>>>>" } },
    { { .file = "<</Type/Filespec" OURS "/EF 6 0 R>>", .sixth = "<</F 3 0 R>>" } },
    { { .file = "<</Type/Filespec/EP 6 0 R/EF<</F 3 0 R>>>>",
        .sixth = "<</Type/EncryptedPayload/Subtype/MicrosoftIRMServices>>" } },
    { { .file = "<</Type/Filespec/EP<</Subtype 6 0 R>>/EF<</F 3 0 R>>>>", .sixth = "/MicrosoftIRMServices" } },
    { { .file = "<</Type/Filespec/EP<<>>/EF<</F 3 0 R>>>>" } },
    { { .file = "<</Type/Filespec/AFRelationship/EncryptedPayload/EF<</F 3 0 R>>>>" } },
    { { .wrong = 1 }, TRUE },
    { { .wrong = 2 }, TRUE },
    { { .wrong = 3 }, TRUE },
    { { .wrong = 1, .stored = TRUE }, TRUE },
    { { .wrong = 6, .root = CATALOG "/Names 6 0 R>>", .sixth = "<</EmbeddedFiles<</Names[(a)2 0 R]>>>>" }, TRUE },
    { { .root = "<</Type/Catalog/Pages 5 0 R/Names<</EmbeddedFiles<</Kids[6 0 R]>>>>>>",
        .sixth = "<</Names[(m)2 0 R]>>",
        .wrong = 6 },
      TRUE },
  };
  Spec spec = { .mode = TPD_CIPHER_CBC4K };
  g_autoptr (GBytes) payload = make_pdf (&spec, TRUE);
  g_autoptr (GBytes) plain = make_pdf (&spec, FALSE);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GBytes) file = make_wrapper (&cases[i].wrapper, payload);
      g_autoptr (TpdProbe) probe = probe_file (file);
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GBytes) result = NULL;
      g_autoptr (GError) error = NULL;

      g_test_message ("%u", i);
      g_assert_cmpint (probe->kind, ==, TPD_KIND_PDF);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
      g_assert_cmpint (probe->size_class, ==, cases[i].broken ? TPD_SIZE_NEEDS_DECODING : TPD_SIZE_EXACT);
      document = open_file (file, &spec, probe, &error);
      g_assert_no_error (error);
      result = document_read_all (document, NULL);
      compare_bytes (result, plain, FALSE);
    }
}

/* Many files stand in front of the payload: it shows by its name, and is found. */
static void
test_many_files (void)
{
  g_autoptr (GString) root = g_string_new (CATALOG "/AF[");
  WrapperSpec wrapper = { .sixth = "<</Type/Filespec/F(a)>>" };
  Spec spec = { .mode = TPD_CIPHER_CBC4K };
  g_autoptr (GBytes) payload = make_pdf (&spec, TRUE), file = NULL;
  g_autoptr (TpdProbe) probe = NULL;
  g_autoptr (TpdDocument) document = NULL;

  for (guint i = 0; i < 1000; i++)
    g_string_append (root, "6 0 R ");
  g_string_append (root, "2 0 R]>>");
  wrapper.root = root->str;
  file = make_wrapper (&wrapper, payload);
  probe = probe_file (file);
  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
  g_assert_cmpint (probe->kind, ==, TPD_KIND_PDF);
  document = open_file (file, &spec, probe, NULL);
  g_assert_nonnull (document);
  g_assert_cmpuint (document->plain_size, ==, g_bytes_get_size (payload));
}

/* Plain files with embedded files, also such as cannot be followed, stay plain. */
static void
test_plain_files (void)
{
  static const WrapperSpec wrappers[] = {
    { .file = "<</Type/Filespec/F(a)/EF<</F 3 0 R>>>>" },
    { .file = "<</Type/Filespec/F(a)/EF<</F 3 0 R>>>>", .name_tree = TRUE },
    { .file = "<</Type/Filespec/AFRelationship/Data/F(a)/EF<</F 3 0 R>>>>", .wrong = 2 },
    { .file = "<</Type/Filespec/F(a)/EF<</F 3 0 R>>>>", .wrong = 1 },
    { .root = "<</Type/Catalog/Pages 5 0 R/Names<</EmbeddedFiles<</Kids[6 0 R]>>>>>>", .sixth = "<</Kids[6 0 R]>>" },
    { .root = "null" },
  };
  g_autoptr (GBytes) payload = g_bytes_new ("an attachment", 13);

  for (guint i = 0; i < G_N_ELEMENTS (wrappers); i++)
    {
      WrapperSpec wrapper = wrappers[i];
      g_autoptr (GBytes) file = NULL;
      g_autoptr (TpdProbe) probe = NULL;

      wrapper.subtype = "Other";
      if (wrapper.file == NULL)
        wrapper.file = "<</Type/Filespec>>";
      file = make_wrapper (&wrapper, payload);
      probe = probe_file (file);
      g_test_message ("%u", i);
      g_assert_cmpint (probe->kind, ==, TPD_KIND_PLAIN);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
      g_assert_false (probe->other_crypt);
    }
}

/* Without a checksum, or with another, nothing is proven; the second is told. */
static void
test_checksum (void)
{
  WrapperSpec none = { .no_md5 = TRUE }, wrong = { .wrong_md5 = TRUE };
  Spec spec = { .mode = TPD_CIPHER_CBC4K };
  g_autoptr (GBytes) payload = make_pdf (&spec, TRUE);
  g_autoptr (GBytes) file = make_wrapper (&none, payload), other = make_wrapper (&wrong, payload);
  g_autoptr (TpdProbe) probe = probe_file (file), other_probe = probe_file (other);
  g_autoptr (TpdDocument) document = open_file (file, &spec, probe, NULL);
  g_autoptr (TpdDocument) second = open_file (other, &spec, other_probe, NULL);

  g_assert_cmpint (document->proof, ==, TPD_PROOF_PLAUSIBLE);
  g_assert_null (document->warnings);
  g_assert_cmpint (second->proof, ==, TPD_PROOF_PLAUSIBLE);
  g_assert_cmpuint (g_strv_length (second->warnings), ==, 1);
  g_assert_nonnull (strstr (second->warnings[0], "checksum"));
}

/* A small payload is measured, whatever is said of its size. */
static void
test_small_size (void)
{
  static const gint64 sizes[] = { -1, 17, 100000000 };
  Spec spec = { .mode = TPD_CIPHER_CBC4K };
  g_autoptr (GBytes) payload = make_pdf (&spec, TRUE);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      WrapperSpec wrapper = { .size = sizes[i] };
      g_autoptr (GBytes) file = make_wrapper (&wrapper, payload);
      g_autoptr (TpdProbe) probe = probe_file (file);
      g_autoptr (TpdDocument) document = open_file (file, &spec, probe, NULL);

      g_assert_cmpint (probe->size_class, ==, TPD_SIZE_EXACT);
      g_assert_cmpuint (probe->plain_size, ==, g_bytes_get_size (payload));
      g_assert_cmpint (probe->warnings != NULL, ==, sizes[i] > 0);
      g_assert_nonnull (document);
    }
}

/* A large one is believed when that can be, and what was published is checked. */
static void
test_large_size (void)
{
  Spec spec;
  g_autoptr (GBytes) payload = make_large (&spec);
  gint64 true_size = (gint64) g_bytes_get_size (payload);
  const struct {
    gint64 size;
    TpdSizeClass size_class;
    gboolean opens;
  } cases[] = {
    { 0, TPD_SIZE_EXACT, TRUE },
    { -1, TPD_SIZE_NEEDS_DECODING, TRUE },
    { 17, TPD_SIZE_NEEDS_DECODING, TRUE },
    { G_MAXINT64, TPD_SIZE_NEEDS_DECODING, TRUE },
    { true_size + 1, TPD_SIZE_EXACT, FALSE },
  };

  g_assert_cmpint (true_size, >, TPD_PROBE_MAX_BYTES);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      WrapperSpec wrapper = { .size = cases[i].size };
      g_autoptr (GBytes) file = make_wrapper (&wrapper, payload);
      g_autoptr (TpdProbe) probe = probe_file (file);
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdDocument) document = open_file (file, &spec, probe, &error);

      g_assert_cmpint (probe->size_class, ==, cases[i].size_class);
      if (!cases[i].opens)
        {
          g_assert_null (document);
          g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
          continue;
        }
      g_assert_no_error (error);
      g_assert_cmpuint (document->plain_size, ==, (guint64) true_size);
    }
}

static void
test_cut_payload (void)
{
  WrapperSpec wrapper = { .cut = TRUE };
  Spec spec = { .mode = TPD_CIPHER_CBC4K }, large_spec;
  g_autoptr (GBytes) payload = make_pdf (&spec, TRUE), large = make_large (&large_spec);
  g_autoptr (GBytes) file = make_wrapper (&wrapper, payload), other = make_wrapper (&wrapper, large);
  g_autoptr (TpdProbe) probe = probe_file (file), other_probe = probe_file (other);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (probe->kind, ==, TPD_KIND_PDF);
  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_DAMAGED);
  g_assert_cmpint (other_probe->verdict, ==, TPD_VERDICT_OK);
  g_assert_null (open_file (other, &large_spec, other_probe, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
}

/* What inflates to more than the budget is refused before it is there. */
static void
test_bomb (void)
{
  const gsize len = 192 * 1024 * 1024;
  WrapperSpec wrapper = { .size = -1 };
  Spec spec = { .mode = TPD_CIPHER_CBC4K };
  g_autoptr (GBytes) zeros = g_bytes_new_take (g_malloc0 (len), len);
  g_autoptr (GBytes) file = make_wrapper (&wrapper, zeros);
  g_autoptr (TpdProbe) probe = probe_file (file);
  g_autoptr (TpdSource) source = tpd_source_new_bytes (file);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
  g_assert_cmpint (probe->size_class, ==, TPD_SIZE_NEEDS_DECODING);
  g_assert_null (open_file (file, &spec, probe, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
  g_clear_error (&error);
  g_assert_null (tpd_probe_read_license (probe, source, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
}

static void
test_not_protected_inside (void)
{
  WrapperSpec wrapper = { 0 };
  Spec spec = { .mode = TPD_CIPHER_CBC4K };
  g_autoptr (GBytes) plain = make_pdf (&spec, FALSE);
  g_autoptr (GBytes) file = make_wrapper (&wrapper, plain);
  g_autoptr (TpdProbe) probe = probe_file (file);
  g_autoptr (GError) error = NULL;

  g_assert_null (open_file (file, &spec, probe, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
}

static void
test_foreign (void)
{
  static const struct {
    const char *subtype;
    TpdVerdict verdict;
  } cases[] = {
    { "FoxitIRMServices", TPD_VERDICT_UNSUPPORTED },
    { "SomethingElse", TPD_VERDICT_NOT_PROTECTED },
  };
  static const struct {
    const char *filter;
    TpdVerdict verdict;
  } filters[] = {
    { "FoxitIRMServices", TPD_VERDICT_UNSUPPORTED },
    { "Standard", TPD_VERDICT_NOT_PROTECTED },
    { "Adobe.PubSec", TPD_VERDICT_NOT_PROTECTED },
  };
  Spec spec = { .mode = TPD_CIPHER_CBC4K };
  g_autoptr (GBytes) payload = make_pdf (&spec, TRUE);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      WrapperSpec wrapper = { .subtype = cases[i].subtype };
      g_autoptr (GBytes) file = make_wrapper (&wrapper, payload);
      g_autoptr (TpdProbe) probe = probe_file (file);

      g_assert_cmpint (probe->verdict, ==, cases[i].verdict);
      /* What another handler encrypted is plain to us, and opaque. */
      g_assert_true (probe->other_crypt == (cases[i].verdict == TPD_VERDICT_NOT_PROTECTED));
    }
  for (guint i = 0; i < G_N_ELEMENTS (filters); i++)
    {
      Spec other = { .mode = TPD_CIPHER_CBC4K, .filter = filters[i].filter };
      g_autoptr (GBytes) file = make_pdf (&other, TRUE);
      g_autoptr (TpdProbe) probe = probe_file (file);

      g_assert_cmpint (probe->verdict, ==, filters[i].verdict);
      g_assert_cmpint (probe->kind, ==, filters[i].verdict == TPD_VERDICT_UNSUPPORTED ? TPD_KIND_PDF : TPD_KIND_PLAIN);
    }
}

/* --- Version 1 with a cover ------------------------------------------------ */

static GBytes *
make_cover (GBytes *payload, const char *type, gint64 offset)
{
  GString *out = g_string_new_len (g_bytes_get_data (payload, NULL), (gssize) g_bytes_get_size (payload));
  guint64 offs[3], place;

  g_string_append (out, "%PDF-1.7\n");
  add_object (out, offs, 1, "<</Type/Catalog/Pages 2 0 R>>");
  add_object (out, offs, 2, "<</Type/Pages/Kids[]/Count 0>>");
  place = out->len;
  g_string_append_printf (out,
                          "xref\n0 3\n0000000000 65535 f \n%010" G_GUINT64_FORMAT " 00000 n \n%010" G_GUINT64_FORMAT
                          " 00000 n \ntrailer\n<</Size 3/Root 1 0 R/Wrapper<</Type/%s>>/WrapperOffset %" G_GINT64_FORMAT
                          ">>\nstartxref\n%" G_GUINT64_FORMAT "\n%%%%EOF\n",
                          offs[1], offs[2], type, offset, place);
  return g_string_free_to_bytes (out);
}

static void
test_cover (void)
{
  Spec spec = { .mode = TPD_CIPHER_CBC4K };
  g_autoptr (GBytes) payload = make_pdf (&spec, TRUE), plain = make_pdf (&spec, FALSE);
  gint64 size = (gint64) g_bytes_get_size (payload);
  const struct {
    const char *type;
    gint64 offset;
    TpdVerdict verdict;
  } cases[] = {
    { "MicrosoftIRMServices", size, TPD_VERDICT_OK },    { "MicrosoftIRMServices", 0, TPD_VERDICT_DAMAGED },
    { "MicrosoftIRMServices", -5, TPD_VERDICT_DAMAGED }, { "MicrosoftIRMServices", 1000000000000, TPD_VERDICT_DAMAGED },
    { "FoxitRMSV2", size, TPD_VERDICT_UNSUPPORTED },     { "Unheard", size, TPD_VERDICT_DAMAGED },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GBytes) file = make_cover (payload, cases[i].type, cases[i].offset);
      g_autoptr (TpdProbe) probe = probe_file (file);
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GBytes) result = NULL;

      g_assert_cmpint (probe->verdict, ==, cases[i].verdict);
      if (probe->verdict != TPD_VERDICT_OK)
        continue;
      g_assert_cmpuint (probe->plain_size, ==, (guint64) size);
      document = open_file (file, &spec, probe, NULL);
      result = document_read_all (document, NULL);
      compare_bytes (result, plain, FALSE);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pdf/wrapper/each-form", test_forms);
  g_test_add_func ("/pdf/wrapper/each-way-to-the-payload", test_ways);
  g_test_add_func ("/pdf/wrapper/many-files", test_many_files);
  g_test_add_func ("/pdf/wrapper/plain-files-stay-plain", test_plain_files);
  g_test_add_func ("/pdf/wrapper/checksum", test_checksum);
  g_test_add_func ("/pdf/wrapper/small-payload-is-measured", test_small_size);
  g_test_add_func ("/pdf/wrapper/large-size-is-checked-at-open", test_large_size);
  g_test_add_func ("/pdf/wrapper/cut-payload-is-damaged", test_cut_payload);
  g_test_add_func ("/pdf/wrapper/bomb-is-too-large", test_bomb);
  g_test_add_func ("/pdf/wrapper/payload-must-be-protected", test_not_protected_inside);
  g_test_add_func ("/pdf/wrapper/foreign-vendors", test_foreign);
  g_test_add_func ("/pdf/cover/offset-and-type", test_cover);
  return g_test_run ();
}
