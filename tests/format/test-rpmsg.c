/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises about message.rpmsg: the sample mails come apart into the bodies
 * and attachments that the manifest names; what is broken is refused within
 * its bounds; attachments that are protected open with the mail.
 */
#include "mail-support.h"

static Protector protector;

/* --- The sample share ------------------------------------------------- */

static char *
body_as_utf8 (const TpdMailContent *content)
{
  switch (content->body_format)
    {
    case TPD_BODY_PLAIN:
      return tpd_mail_body_text (content);
    case TPD_BODY_HTML:
      return tpd_mail_body_html (content);
    case TPD_BODY_RTF:
      break;
    }
  return g_strndup (g_bytes_get_data (content->rtf, NULL), g_bytes_get_size (content->rtf));
}

static void
check_attachment (JsonObject *expected, const TpdMailAttachment *attachment)
{
  g_autoptr (GBytes) bytes = source_read_all (attachment->source);
  g_autofree char *sum = sha256_hex (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  JsonObject *inner =
      json_object_has_member (expected, "protected") ? json_object_get_object_member (expected, "protected") : NULL;

  if (strcmp (json_word (expected, "method"), "message") == 0)
    {
      g_assert_cmpint (attachment->method, ==, TPD_ATTACH_MESSAGE);
      g_assert_cmpstr (attachment->display_name, ==, json_word (expected, "name"));
      g_assert_true (g_str_has_suffix (attachment->name, ".msg"));
      return;
    }
  g_assert_cmpint (attachment->method, ==, TPD_ATTACH_FILE);
  g_assert_cmpstr (attachment->name, ==, json_word (inner != NULL ? inner : expected, inner ? "plain_name" : "name"));
  g_assert_cmpstr (sum, ==, json_word (inner != NULL ? inner : expected, inner ? "plain_sha256" : "sha256"));
  g_assert_cmpint (attachment->hidden, ==, json_object_get_boolean_member (expected, "inline"));
  g_assert_cmpint (attachment->nested, ==, inner != NULL ? TPD_VERDICT_OK : TPD_VERDICT_NOT_PROTECTED);
}

static void
check_message (JsonObject *message, const TpdMailContent *content)
{
  static const char *const words[] = { "", "plain", "html", "rtf" };
  JsonArray *attachments = json_object_get_array_member (message, "attachments");
  g_autofree char *body = body_as_utf8 (content);
  g_autofree char *sum = sha256_hex (body, strlen (body));

  g_assert_cmpstr (words[content->body_format], ==, json_word (message, "body_format"));
  g_assert_cmpuint (content->code_page, ==, (guint) json_object_get_int_member (message, "code_page"));
  g_assert_cmpstr (sum, ==, json_word (message, "body_sha256"));
  g_assert_cmpuint (content->attachments->len, ==, json_array_get_length (attachments));
  for (guint i = 0; i < content->attachments->len; i++)
    check_attachment (json_array_get_object_element (attachments, i), g_ptr_array_index (content->attachments, i));
}

static void
test_share (void)
{
  JsonArray *files = fixture_files ();
  guint n = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;
      g_autoptr (TpdMailContent) content = NULL;
      g_autoptr (TpdContentKey) key = NULL;
      g_autoptr (GBytes) license = NULL;
      g_autoptr (GError) error = NULL;
      TpdOpenOptions options = { .keyring = protector.keys.keyring, .unwrapper = protector.keys.unwrapper };

      if (strcmp (json_word (entry, "kind"), "rpmsg") != 0 || !json_object_get_boolean_member (entry, "open"))
        continue;
      g_test_message ("%s", json_word (entry, "path"));
      source = sample_source (json_word (entry, "path"));
      probe = tpd_probe (source, NULL);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
      g_assert_cmpint (probe->kind, ==, TPD_KIND_RPMSG);
      g_assert_cmpint (probe->size_class, ==, TPD_SIZE_NEEDS_DECODING);
      g_assert_cmpstr (probe->extension, ==, ".eml");
      license = tpd_probe_read_license (probe, source, &error);
      g_assert_no_error (error);
      key = unwrap_sample (&protector.keys, license);
      content = tpd_rpmsg_decode (source, key, &options, NULL, &error);
      g_assert_no_error (error);
      check_message (json_object_get_object_member (entry, "message"), content);
      g_assert_true (g_str_has_prefix (content->cipher, "aes-"));
      g_assert_cmpint (content->proof, >=, TPD_PROOF_PLAUSIBLE);
      g_assert_cmpuint (content->warnings->len, ==, 0);
      n++;
    }
  g_assert_cmpuint (n, ==, 5);
}

/* The verdict that probe or open give. */
static TpdVerdict
verdict_of (TpdSource *source)
{
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  g_autoptr (TpdDocument) document = NULL;
  g_autoptr (GError) error = NULL;

  document = tpd_document_open (source, probe, protector.keys.keyring, protector.keys.unwrapper, NULL, NULL, &error);
  return document != NULL ? TPD_VERDICT_OK : tpd_verdict_from_error (error);
}

static void
test_refusals (void)
{
  JsonArray *files = fixture_files ();
  guint n = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autoptr (TpdSource) source = NULL;

      if (strcmp (json_word (entry, "kind"), "rpmsg") != 0 || json_object_get_boolean_member (entry, "open"))
        continue;
      source = sample_source (json_word (entry, "path"));
      g_assert_cmpstr (tpd_verdict_word (verdict_of (source)), ==, json_word (entry, "error"));
      n++;
    }
  g_assert_cmpuint (n, ==, 2);
}

/* --- Framing ---------------------------------------------------------- */

/* From memory and as from a file, which must come to the same. */
static TpdSource *
inflate_bytes (const guint8 *data, gsize len, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdSource) memory = source_from (data, len);
  g_autoptr (TpdSource) file = file_from (data, len);
  g_autoptr (GError) own = NULL;
  TpdSource *inflated = tpd_rpmsg_inflate (file, budget, &own);
  g_autoptr (TpdSource) same = tpd_rpmsg_inflate (memory, budget, NULL);

  g_assert_true ((inflated == NULL) == (same == NULL));
  if (inflated != NULL)
    {
      g_autoptr (GBytes) a = source_read_all (inflated);
      g_autoptr (GBytes) b = source_read_all (same);

      g_assert_true (g_bytes_equal (a, b));
    }
  if (own != NULL)
    g_propagate_error (error, g_steal_pointer (&own));
  return inflated;
}

static void
assert_damaged (const guint8 *data, gsize len)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (inflate_bytes (data, len, NULL, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
}

static void
test_framing_blocks (void)
{
  static const gsize blocks[] = { 1, 100, 4096, 65536, 200000 };
  const gsize len = 300001;
  g_autofree guint8 *text = make_text (len);

  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    {
      gsize n = blocks[i] == 1 ? 500 : len;
      g_autoptr (GBytes) framed = frame (text, n, blocks[i]);
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdSource) source =
          inflate_bytes (g_bytes_get_data (framed, NULL), g_bytes_get_size (framed), NULL, &error);
      g_autoptr (GBytes) result = NULL;

      g_assert_no_error (error);
      result = source_read_all (source);
      g_assert_cmpmem (g_bytes_get_data (result, NULL), g_bytes_get_size (result), text, n);
    }
}

/* Any tail that is missing is damage, wherever the cut is. */
static void
test_framing_cut (void)
{
  g_autofree guint8 *noise = make_noise (9000, 1);
  g_autoptr (GBytes) framed = frame (noise, 9000, 4096);
  const guint8 *data = g_bytes_get_data (framed, NULL);
  gsize len = g_bytes_get_size (framed), ends = 0;

  for (gsize n = 0; n < len; n++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdSource) source = inflate_bytes (data, n, NULL, &error);

      /* A cut between two blocks cannot be told from the end. */
      if (source != NULL)
        ends++;
      else
        g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
    }
  g_assert_cmpuint (ends, ==, 2);
}

static void
test_framing_lies (void)
{
  static const struct {
    guint at;
    guint32 value;
  } lies[] = {
    { 8, 0x0fa1 },      { 8, 0 },  { 12, 0 },        { 12, 4095 },       { 12, 4097 }, { 12, 0x100001 },
    { 12, 0xffffffff }, { 16, 0 }, { 16, 0x100001 }, { 16, 0xffffffff }, { 16, 100 },  { 20, 0xffffffff },
  };
  g_autofree guint8 *noise = make_noise (9000, 2);
  g_autoptr (GBytes) framed = frame (noise, 9000, 4096);

  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (framed, NULL), g_bytes_get_size (framed));

      put_u32 (copy + lies[i].at, lies[i].value);
      assert_damaged (copy, g_bytes_get_size (framed));
    }
  assert_damaged (rpmsg_magic, sizeof rpmsg_magic);
}

/* A stream that says it is at its end must be. */
static void
test_framing_after_end (void)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  guint8 packed[64];
  uLongf n = sizeof packed;

  g_assert_cmpint (compress (packed, &n, (const guint8 *) "hello", 5), ==, Z_OK);
  g_byte_array_append (out, rpmsg_magic, 8);
  frame_header (out, 0x0fa0, 5, (guint32) n);
  g_byte_array_append (out, packed, (guint) n);
  {
    g_autoptr (TpdSource) source = inflate_bytes (out->data, out->len, NULL, NULL);
    g_assert_nonnull (source);
    g_assert_cmpuint (source->size, ==, 5);
  }
  frame_header (out, 0x0fa0, 5, (guint32) n);
  g_byte_array_append (out, packed, (guint) n);
  assert_damaged (out->data, out->len);
}

/* One block that says it inflates to `inflated` bytes. */
static GBytes *
one_block (const guint8 *packed, gsize len, guint32 inflated)
{
  GByteArray *out = g_byte_array_new ();

  g_byte_array_append (out, rpmsg_magic, 8);
  frame_header (out, 0x0fa0, inflated, (guint32) len);
  g_byte_array_append (out, packed, (guint) len);
  return g_byte_array_free_to_bytes (out);
}

static gboolean
inflates (const guint8 *packed, gsize len, guint32 inflated)
{
  g_autoptr (GBytes) framed = one_block (packed, len, inflated);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) source =
      inflate_bytes (g_bytes_get_data (framed, NULL), g_bytes_get_size (framed), NULL, &error);

  if (source == NULL)
    g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
  return source != NULL;
}

/* RFC 1950: the two bytes before a stream, and the checksum behind one that
 * ends, which may be cut off there as anywhere else it may not. */
static void
test_framing_zlib (void)
{
  /* "a", by hand: stored in a last block. */
  static const guint8 good[] = { 0x78, 0x01, 0x01, 0x01, 0x00, 0xfe, 0xff, 'a', 0x00, 0x62, 0x00, 0x62 };
  static const guint8 heads[][2] = {
    { 0x78, 0x02 }, /* the check does not fit */
    { 0x79, 0x18 }, /* not deflate */
    { 0x88, 0x1c }, /* a window of 64 KiB */
    { 0x78, 0x20 }, /* a dictionary is wanted */
  };
  guint8 copy[sizeof good + 1];

  g_assert_true (inflates (good, sizeof good, 1));
  for (gsize len = 1; len < sizeof good; len++)
    g_assert_cmpint (inflates (good, len, 1), ==, len >= 8);
  g_assert_false (inflates (good, sizeof good, 2));
  for (guint i = 0; i < G_N_ELEMENTS (heads); i++)
    {
      g_assert_cmpint ((heads[i][0] << 8 | heads[i][1]) % 31 == 0, ==, i > 0);
      memcpy (copy, good, sizeof good);
      memcpy (copy, heads[i], 2);
      g_assert_false (inflates (copy, sizeof good, 1));
    }
  for (guint i = 8; i < sizeof good; i++)
    {
      memcpy (copy, good, sizeof good);
      copy[i] ^= 1;
      g_assert_false (inflates (copy, sizeof good, 1));
    }
  memcpy (copy, good, sizeof good);
  copy[sizeof good] = 0;
  g_assert_false (inflates (copy, sizeof copy, 1));
}

/* The checksum is that of all blocks, however much that is. */
static void
test_framing_checksum (void)
{
  static const gsize sizes[] = { 70000, 600000 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree guint8 *noise = make_noise (sizes[i], 5);
      uLongf n = compressBound (sizes[i]);
      g_autofree guint8 *packed = g_malloc (n);

      g_assert_cmpint (compress (packed, &n, noise, sizes[i]), ==, Z_OK);
      g_assert_true (inflates (packed, n, (guint32) sizes[i]));
      packed[n - 1] ^= 0x80;
      g_assert_false (inflates (packed, n, (guint32) sizes[i]));
    }
}

/* What inflates a thousandfold ends at the budget of the file it lies in. */
static void
test_framing_bomb (void)
{
  const gsize len = 128 * 1024 * 1024;
  g_autofree guint8 *zeros = g_malloc0 (len);
  g_autoptr (GBytes) framed = frame (zeros, len, 1024 * 1024);
  g_autoptr (TpdSource) source = tpd_source_new_bytes (framed);
  g_autoptr (GError) error = NULL;
  TpdBudget budget;

  g_assert_cmpuint (g_bytes_get_size (framed), <, 256 * 1024);
  tpd_budget_init_decode (&budget, source->size);
  g_assert_null (tpd_rpmsg_inflate (source, &budget, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
  budget.cancelled = 1;
  g_clear_error (&error);
  g_assert_null (tpd_rpmsg_inflate (source, &budget, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_CANCELLED);
}

/* --- Probe ------------------------------------------------------------ */

static void
test_probe_start (void)
{
  g_autofree guint8 *text = make_text (5000);
  g_autoptr (GBytes) framed = frame (text, 5000, 4096);
  g_autoptr (TpdSource) no_compound = tpd_source_new_bytes (framed);
  g_autoptr (TpdSource) bare = source_from (rpmsg_magic, sizeof rpmsg_magic);
  g_autoptr (TpdSource) sample = sample_source (SAMPLE_LICENSE);
  FaultSource *counted = fault_source_new (sample, FAULT_NONE, 0);
  g_autoptr (TpdProbe) a = tpd_probe (no_compound, NULL);
  g_autoptr (TpdProbe) b = tpd_probe (bare, NULL);
  g_autoptr (TpdProbe) c = tpd_probe (&counted->base, NULL);

  g_assert_cmpint (a->kind, ==, TPD_KIND_RPMSG);
  g_assert_cmpint (a->verdict, ==, TPD_VERDICT_DAMAGED);
  g_assert_cmpint (b->verdict, ==, TPD_VERDICT_DAMAGED);
  g_assert_cmpint (c->verdict, ==, TPD_VERDICT_OK);
  g_assert_cmpint (counted->reads, <=, 2);
  tpd_source_unref (&counted->base);
}

/* Every read that fails gives its errno, none gives a document. */
static void
test_read_faults (void)
{
  g_autoptr (TpdSource) sample = sample_source (SAMPLE_LICENSE);
  g_autoptr (TpdProbe) probe = tpd_probe (sample, NULL);
  gboolean opened = FALSE;

  for (int at = 0; !opened; at++)
    {
      FaultSource *faulty = fault_source_new (sample, FAULT_EIO, at);
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdDocument) document = tpd_document_open (&faulty->base, probe, protector.keys.keyring,
                                                            protector.keys.unwrapper, NULL, NULL, &error);

      opened = faulty->reads <= at;
      if (opened)
        g_assert_no_error (error);
      else
        g_assert_cmpint (tpd_error_get_errno (error), ==, EIO);
      tpd_source_unref (&faulty->base);
      g_assert_cmpint (at, <, 100);
    }
}

/* --- Protected inside protected --------------------------------------- */

static TpdDocument *
open_made (GBytes *rpmsg, gboolean with_keys, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdSource) source = tpd_source_new_bytes (rpmsg);
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  TpdOpenOptions options = { .keyring = with_keys ? protector.keys.keyring : NULL,
                             .unwrapper = with_keys ? protector.keys.unwrapper : NULL };

  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
  return tpd_document_new (source, probe, NULL, protector.key, &options, budget, error);
}

/* How often a nested mail starts in `document`: each is base64 in the one
 * around it. */
static guint
count_layers (TpdDocument *document)
{
  g_autoptr (GBytes) bytes = document_read_all (document, NULL);
  g_autofree char *text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));

  for (guint layers = 0;; layers++)
    {
      const char *start = strstr (text, "Content-Disposition: attachment");
      char *inner;
      gsize len;

      start = start != NULL ? strstr (start, "\r\n\r\n") : NULL;
      if (start == NULL)
        return layers;
      inner = g_strndup (start + 4, (gsize) (strstr (start + 4, "\r\n--=_") - start - 4));
      g_free (text);
      text = (char *) g_base64_decode (inner, &len);
      g_free (inner);
      text = g_realloc (text, len + 1);
      text[len] = '\0';
      if (len > 8 && memcmp (text, rpmsg_magic, 8) == 0)
        return layers + 1000;
    }
}

/* One more protected mail around the one in `*rpmsg`. */
static void
attach (GBytes **rpmsg)
{
  MadeMail *mail = mail_new (TPD_BODY_HTML, 65001, "<p>layer</p>", 12);
  g_autoptr (GBytes) compound = NULL;

  mail_add_file (mail, "message.rpmsg", "", FALSE, g_bytes_get_data (*rpmsg, NULL), g_bytes_get_size (*rpmsg));
  compound = mail_finish (mail, -1);
  g_bytes_unref (*rpmsg);
  *rpmsg = protect (&protector, compound);
}

static GBytes *
nest (guint layers)
{
  MadeMail *innermost = mail_new (TPD_BODY_HTML, 65001, "<p>core</p>", 11);
  g_autoptr (GBytes) plain = mail_finish (innermost, -1);
  g_autoptr (GBytes) rpmsg = protect (&protector, plain);

  for (guint i = 0; i < layers; i++)
    attach (&rpmsg);
  return g_steal_pointer (&rpmsg);
}

/* The size says where the mail ends; what lies behind it in the stream is no damage.
 * Nor is a first block that is shorter than what it starts with. */
static void
test_longer (void)
{
  static const gsize surpluses[] = { 0, 7, 16, 512, 1536, 4096, 5000 };
  static const gsize blocks[] = { 4096, 1, 3, 7, 8 };
  MadeMail *mail = mail_new (TPD_BODY_HTML, 65001, "<p>core</p>", 11);
  g_autoptr (GBytes) plain = mail_finish (mail, -1);
  g_autoptr (GBytes) usual = NULL;

  g_assert_cmpuint (g_bytes_get_size (plain), ==, 2560);
  for (guint i = 0; i < G_N_ELEMENTS (surpluses) * G_N_ELEMENTS (blocks); i++)
    {
      gsize surplus = surpluses[i / G_N_ELEMENTS (blocks)];
      g_autoptr (GBytes) rpmsg = protect_longer (&protector, plain, surplus, blocks[i % G_N_ELEMENTS (blocks)]);
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdDocument) document = open_made (rpmsg, TRUE, NULL, &error);
      g_autoptr (GBytes) bytes = NULL;

      g_assert_no_error (error);
      g_assert_cmpint (document->proof, ==, TPD_PROOF_PLAUSIBLE);
      g_assert_cmpint (has_warning (document, "The content is "), ==, surplus >= 16);
      bytes = document_read_all (document, NULL);
      if (usual == NULL)
        usual = g_bytes_ref (bytes);
      g_assert_true (g_bytes_equal (bytes, usual));
      g_assert_nonnull (g_strstr_len (g_bytes_get_data (bytes, NULL), (gssize) g_bytes_get_size (bytes), "<p>core"));
    }
}

static void
test_nested_depth (void)
{
  g_autoptr (GBytes) four = nest (4);
  g_autoptr (GBytes) six = nest (6);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdDocument) a = open_made (four, FALSE, NULL, &error);
  g_autoptr (TpdDocument) b = open_made (six, FALSE, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (count_layers (a), ==, 4);
  g_assert_null (a->warnings);
  /* All of them are under the license of the mail. */
  g_assert_false (a->other_keys);
  /* The fifth is still protected, and said to be. */
  g_assert_cmpuint (count_layers (b), ==, 1004);
  g_assert_nonnull (b->warnings);
  g_assert_nonnull (strstr (b->warnings[0], "nested-too-deep"));
}

static GBytes *
mail_with (const char *sample)
{
  g_autoptr (TpdSource) source = sample_source (sample);
  g_autoptr (GBytes) bytes = source_read_all (source);
  g_autofree char *name = g_path_get_basename (sample);
  MadeMail *mail = mail_new (TPD_BODY_HTML, 65001, "<p>see attached</p>", 19);
  g_autoptr (GBytes) compound = NULL;

  mail_add_file (mail, name, "", FALSE, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  compound = mail_finish (mail, -1);
  return protect (&protector, compound);
}

/* A sample of another license, by kind and failure. */
static JsonObject *
pick (const char *kind, const char *failure)
{
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      const char *path = json_word (entry, "path");

      if (strcmp (json_word (entry, "kind"), kind) == 0 && strcmp (json_word (entry, "error"), failure) == 0
          && json_object_get_int_member (entry, "size") < 200000
          && (*failure != '\0' || json_object_get_int_member (entry, "plain_size") > 1000)
          && (g_str_has_suffix (path, ".txt.pfile") || g_str_has_suffix (path, ".docx")))
        return entry;
    }
  g_error ("no %s with '%s'", kind, failure);
  return NULL;
}

static TpdMailContent *
decode_with (JsonObject *sample, gboolean with_keys)
{
  g_autoptr (GBytes) rpmsg = mail_with (json_word (sample, "path"));
  g_autoptr (TpdSource) source = tpd_source_new_bytes (rpmsg);
  g_autoptr (GError) error = NULL;
  TpdOpenOptions options = { .keyring = with_keys ? protector.keys.keyring : NULL,
                             .unwrapper = with_keys ? protector.keys.unwrapper : NULL };
  TpdMailContent *content = tpd_rpmsg_decode (source, protector.key, &options, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (content->attachments->len, ==, 1);
  return content;
}

/* With the key the attachment is the plaintext under its plain name, without
 * it is what it was, and the mail says so. */
static void
check_own_license (JsonObject *sample, gboolean with_keys, gboolean opens)
{
  g_autoptr (TpdMailContent) content = decode_with (sample, with_keys);
  const TpdMailAttachment *attachment = g_ptr_array_index (content->attachments, 0);
  g_autoptr (GBytes) bytes = source_read_all (attachment->source);
  g_autofree char *sum = sha256_hex (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_autofree char *name = g_path_get_basename (json_word (sample, opens ? "plain_name" : "path"));

  g_assert_cmpstr (attachment->name, ==, name);
  g_assert_cmpstr (sum, ==, json_word (sample, opens ? "plain_sha256" : "sha256"));
  g_assert_cmpint (attachment->nested, ==, opens ? TPD_VERDICT_OK : TPD_VERDICT_NO_KEY);
  g_assert_true (content->other_keys);
  if (!opens)
    g_assert_true (g_str_has_prefix (g_ptr_array_index (content->warnings, 0), "nested-no-key: "));
}

static void
test_nested_own_license (void)
{
  check_own_license (pick ("office-ooxml", ""), TRUE, TRUE);
  check_own_license (pick ("office-ooxml", ""), FALSE, FALSE);
  check_own_license (pick ("pfile", ""), TRUE, TRUE);
  check_own_license (pick ("pfile", ""), FALSE, FALSE);
  check_own_license (pick ("pfile", "no-key"), TRUE, FALSE);
}

/* Also when it lies in a mail within the mail. */
static void
test_nested_other_keys (void)
{
  for (guint layers = 0; layers < 2; layers++)
    {
      g_autoptr (GBytes) rpmsg = mail_with (json_word (pick ("pfile", ""), "path"));
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdDocument) document = NULL;

      if (layers > 0)
        attach (&rpmsg);
      document = open_made (rpmsg, TRUE, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (document->other_keys);
    }
}

/* One budget for all layers: what is left by the outer ones bounds the inner. */
static void
test_nested_budget (void)
{
  g_autoptr (GBytes) two = nest (2);
  g_autoptr (GError) error = NULL;
  TpdBudget budget = { .max_bytes = G_MAXUINT64 / 2 };
  g_autoptr (TpdDocument) document = open_made (two, FALSE, &budget, &error);

  g_assert_no_error (error);
  for (guint64 limit = 1000; limit < budget.used_bytes; limit += 20000)
    {
      TpdBudget small = { .max_bytes = limit };

      g_clear_error (&error);
      g_assert_null (open_made (two, FALSE, &small, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
    }
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  protector_init (&protector);
  g_test_add_func ("/rpmsg/share/bodies-and-attachments", test_share);
  g_test_add_func ("/rpmsg/share/refusals", test_refusals);
  g_test_add_func ("/rpmsg/framing/any-block-size", test_framing_blocks);
  g_test_add_func ("/rpmsg/framing/cut-is-damage", test_framing_cut);
  g_test_add_func ("/rpmsg/framing/lies-are-damage", test_framing_lies);
  g_test_add_func ("/rpmsg/framing/nothing-after-the-end", test_framing_after_end);
  g_test_add_func ("/rpmsg/framing/zlib-wrapper", test_framing_zlib);
  g_test_add_func ("/rpmsg/framing/checksum", test_framing_checksum);
  g_test_add_func ("/rpmsg/framing/bomb-meets-budget", test_framing_bomb);
  g_test_add_func ("/rpmsg/probe/start-is-checked", test_probe_start);
  g_test_add_func ("/rpmsg/read-errors-pass-through", test_read_faults);
  g_test_add_func ("/rpmsg/longer-than-the-mail", test_longer);
  g_test_add_func ("/mail/nested/depth", test_nested_depth);
  g_test_add_func ("/mail/nested/own-license", test_nested_own_license);
  g_test_add_func ("/mail/nested/other-keys", test_nested_other_keys);
  g_test_add_func ("/mail/nested/one-budget", test_nested_budget);
  result = g_test_run ();
  protector_clear (&protector);
  return result;
}
