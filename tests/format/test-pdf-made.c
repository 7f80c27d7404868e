/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PDF files of every shape, encrypted by the test: the decrypted file has the
 * objects of its plain twin, passes qpdf without a warning and keeps its size.
 */
#include <glib.h>

#include "format/pdf_private.h"
#include "pdf-maker.h"

static TpdDocument *
open_made (GBytes *file, const Spec *spec, guint16 word, TpdIvChoice iv, GError **error)
{
  g_autoptr (TpdSource) source = tpd_source_new_bytes (file);
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  TpdContentKey key = maker_content_key (spec, word);
  TpdOpenOptions options = { iv };
  TpdDocument *document;

  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
  g_assert_cmpint (probe->kind, ==, TPD_KIND_PDF);
  g_assert_cmpint (probe->size_class, ==, TPD_SIZE_EXACT);
  document = tpd_document_new (source, probe, NULL, &key, &options, NULL, error);
  if (document != NULL)
    g_assert_cmpuint (document->plain_size, ==, probe->plain_size);
  tpd_secret_unref (key.key);
  return document;
}

/* Opens the encrypted file of `spec` and holds it against the plain one. (transfer full) */
static TpdDocument *
check_made (const Spec *spec)
{
  g_autoptr (GBytes) encrypted = make_pdf (spec, TRUE);
  g_autoptr (GBytes) plain = make_pdf (spec, FALSE);
  g_autoptr (GBytes) result = NULL;
  g_autoptr (GError) error = NULL;
  TpdDocument *document = open_made (encrypted, spec, maker_word (spec), TPD_IV_AUTO, &error);
  gsize junk = spec->junk != NULL ? strlen (spec->junk) : 0;

  g_assert_no_error (error);
  g_assert_cmpuint (document->plain_size, ==, g_bytes_get_size (encrypted) - junk);
  g_assert_cmpint (document->proof, ==, TPD_PROOF_PLAUSIBLE);
  result = document_read_all (document, NULL);
  compare_bytes (result, plain, FALSE);
  return document;
}

static gboolean
has_word (char **words, const char *word)
{
  return words != NULL && g_strv_contains ((const char *const *) words, word);
}

static void
test_layouts (void)
{
  static const Layout layouts[] = { LAYOUT_TABLE, LAYOUT_STREAM, LAYOUT_HYBRID, LAYOUT_UPDATED };

  for (guint i = 0; i < G_N_ELEMENTS (layouts); i++)
    {
      Spec spec = { .layout = layouts[i], .mode = TPD_CIPHER_CBC4K };
      g_autoptr (TpdDocument) document = check_made (&spec);

      g_assert_null (document->warnings);
      g_assert_null (document->fallbacks);
    }
}

/* A section of more bytes than a probe inflates otherwise. */
static void
test_large_section (void)
{
  Spec spec = { .layout = LAYOUT_STREAM, .mode = TPD_CIPHER_CBC4K, .free_rows = TPD_PROBE_MAX_BYTES / 5 };
  g_autoptr (TpdDocument) document = check_made (&spec);
  Spec other = spec;
  g_autoptr (GBytes) file = NULL;
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdProbe) probe = NULL;

  g_assert_null (document->warnings);
  other.filter = "Standard";
  file = make_pdf (&other, TRUE);
  source = tpd_source_new_bytes (file);
  probe = tpd_probe (source, NULL);
  g_assert_cmpint (probe->kind, ==, TPD_KIND_PLAIN);
  g_assert_true (probe->other_crypt);
}

/* The bytes at the first `from` become those of `to`. */
static TpdProbe *
probe_altered (const Spec *spec, const char *from, const char *to, gsize len)
{
  g_autoptr (GBytes) file = make_pdf (spec, TRUE);
  gsize size;
  g_autofree guint8 *data = NULL;
  g_autoptr (TpdSource) source = NULL;
  guint8 *at;

  size = g_bytes_get_size (file);
  data = g_memdup2 (g_bytes_get_data (file, NULL), size);
  at = memmem (data, size, from, strlen (from));
  g_assert_nonnull (at);
  memcpy (at, to, len);
  source = source_from (data, size);
  return tpd_probe (source, NULL);
}

/* A protected file that is attached to an ordinary one, without compression, is no
 * part of that one's structure. */
static void
test_attached (void)
{
  const Spec spec = { .layout = LAYOUT_TABLE, .mode = TPD_CIPHER_CBC4K, .encrypt_key = "Enxrypt" };
  g_autoptr (GBytes) inner = make_pdf (&spec, TRUE);
  g_autoptr (GString) file = g_string_new ("%PDF-1.7\n");
  gsize size, offsets[4];
  const char *data = g_bytes_get_data (inner, &size);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdProbe) probe = NULL;

  offsets[1] = file->len;
  g_string_append (file, "1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n");
  offsets[2] = file->len;
  g_string_append (file, "2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\n");
  offsets[3] = file->len;
  g_string_append_printf (file, "3 0 obj\n<</Length %" G_GSIZE_FORMAT ">>\nstream\n", size);
  g_string_append_len (file, data, (gssize) size);
  g_string_append (file, "\nendstream\nendobj\n");
  size = file->len;
  g_string_append (file, "xref\n0 4\n0000000000 65535 f \n");
  for (guint i = 1; i < G_N_ELEMENTS (offsets); i++)
    g_string_append_printf (file, "%010u 00000 n \n", (guint) offsets[i]);
  g_string_append_printf (file, "trailer\n<</Size 4/Root 1 0 R>>\nstartxref\n%" G_GSIZE_FORMAT "\n%%%%EOF\n", size);
  source = source_from ((const guint8 *) file->str, file->len);
  probe = tpd_probe (source, NULL);
  g_assert_cmpstr (tpd_verdict_word (probe->verdict), ==, "not-protected");
}

/* What is left of the protection is enough not to call the file plain. */
static void
test_dictionary_lost (void)
{
  static const Layout layouts[] = { LAYOUT_TABLE, LAYOUT_STREAM, LAYOUT_HYBRID, LAYOUT_UPDATED };
  static const char zeros[60] = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (layouts); i++)
    {
      Spec spec = { .layout = layouts[i], .mode = TPD_CIPHER_CBC4K };
      Spec renamed = { .layout = layouts[i], .mode = TPD_CIPHER_CBC4K, .encrypt_key = "Enxrypt" };
      Spec other = { .layout = layouts[i], .mode = TPD_CIPHER_CBC4K, .filter = "Standard", .license = "none" };
      g_autoptr (TpdProbe) start = probe_altered (&spec, "8 0 obj\n<<", zeros, sizeof zeros);
      g_autoptr (TpdProbe) name = probe_altered (&renamed, "%PDF", "%PDF", 4);
      g_autoptr (TpdProbe) password = probe_altered (&other, "8 0 obj\n<<", "9 9", 3);

      /* Another word of the handler is left, for opening to fail on. */
      g_assert_cmpint (start->verdict, !=, TPD_VERDICT_NOT_PROTECTED);
      g_assert_cmpint (start->kind, ==, TPD_KIND_PDF);
      g_assert_cmpstr (tpd_verdict_word (name->verdict), ==, "damaged");
      g_assert_cmpint (name->kind, ==, TPD_KIND_PDF);
      g_assert_true (password->kind == TPD_KIND_PDF || password->other_crypt);
    }
}

/* An older revision is in the file too: it is decrypted as well. */
static void
test_old_revision (void)
{
  Spec spec = { .layout = LAYOUT_UPDATED, .mode = TPD_CIPHER_CBC4K };
  g_autoptr (TpdDocument) document = check_made (&spec);
  g_autoptr (GBytes) bytes = document_read_all (document, NULL);
  gsize len;
  const char *data = g_bytes_get_data (bytes, &len);

  g_assert_nonnull (memmem (data, len, "(A title)", 9));
  g_assert_nonnull (memmem (data, len, "(A newer title)", 15));
}

static void
test_modes (void)
{
  static const struct {
    TpdCipherMode mode;
    TpdIvRule rule;
    const char *fallback;
  } cases[] = {
    { TPD_CIPHER_CBC4K, TPD_IV_INDEX, NULL },
    { TPD_CIPHER_ECB, TPD_IV_INDEX, NULL },
    { TPD_CIPHER_CBC512, TPD_IV_OFFSET, NULL },
    { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_INDEX, "iv-index" },
    { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_OFFSET, "iv-offset" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (gsize key_len = 16; key_len <= 32; key_len += 16)
      {
        Spec spec = { .mode = cases[i].mode, .rule = cases[i].rule, .key_len = key_len };
        g_autoptr (TpdDocument) document = check_made (&spec);

        g_assert_cmpstr (document->cipher, ==, tpd_cipher_name (cases[i].mode, key_len));
        if (cases[i].fallback != NULL)
          g_assert_true (has_word (document->fallbacks, cases[i].fallback));
        else
          g_assert_null (document->fallbacks);
      }
}

/* The license's word is left only when nothing fits it and another mode does. */
static void
test_wrong_word (void)
{
  static const struct {
    TpdCipherMode mode;
    guint16 word;
    const char *fallback;
  } cases[] = {
    { TPD_CIPHER_CBC4K, TPD_MODE_WORD_ECB, "mode-cbc4k" },
    { TPD_CIPHER_ECB, TPD_MODE_WORD_CBC4K, "mode-ecb" },
    { TPD_CIPHER_CBC4K, 0x1234, "mode-cbc4k" },
    { TPD_CIPHER_CBC512, TPD_MODE_WORD_ECB, "mode-cbc512" },
    { TPD_CIPHER_CBC4K_NOPAD, 0x1234, "mode-cbc4k-nopad" },
    { TPD_CIPHER_CBC4K, 0xfdff, "mode-word-swapped" },
  };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (cases); i++)
    {
      const guint n = i / 2;
      Spec spec = { .mode = cases[n].mode, .rule = cases[n].mode == TPD_CIPHER_CBC512 ? TPD_IV_OFFSET : TPD_IV_INDEX };
      g_autoptr (GBytes) encrypted = NULL, plain = NULL;
      g_autoptr (GBytes) result = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdDocument) document = NULL;

      /* What proves the mode may come late. */
      spec.many_strings = i % 2 * 5000;
      encrypted = make_pdf (&spec, TRUE);
      plain = make_pdf (&spec, FALSE);
      document = open_made (encrypted, &spec, cases[n].word, TPD_IV_AUTO, &error);
      g_assert_no_error (error);
      g_assert_true (has_word (document->fallbacks, cases[n].fallback));
      result = document_read_all (document, NULL);
      compare_bytes (result, plain, FALSE);
    }
}

static void
test_wrong_key (void)
{
  Spec spec = { .mode = TPD_CIPHER_CBC4K, .key_len = 16 }, other = { .mode = TPD_CIPHER_CBC4K, .key_len = 32 };
  g_autoptr (GBytes) encrypted = make_pdf (&spec, TRUE);
  g_autoptr (GError) error = NULL;

  g_assert_null (open_made (encrypted, &other, TPD_MODE_WORD_CBC4K, TPD_IV_AUTO, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
  g_clear_error (&error);
  g_assert_null (open_made (encrypted, &other, 0x1234, TPD_IV_AUTO, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED);
}

/* What is in clear stays, without a warning where the format says so. */
static void
test_clear_parts (void)
{
  Spec metadata = { .mode = TPD_CIPHER_CBC4K, .clear_metadata = TRUE };
  Spec string = { .mode = TPD_CIPHER_CBC4K, .clear_string = TRUE };
  g_autoptr (TpdDocument) one = check_made (&metadata);
  g_autoptr (TpdDocument) two = check_made (&string);

  g_assert_null (one->warnings);
  g_assert_cmpuint (g_strv_length (two->warnings), ==, 1);
  g_assert_true (g_str_has_prefix (two->warnings[0], "2 strings"));
}

static void
test_shared_length (void)
{
  Spec spec = { .mode = TPD_CIPHER_CBC4K, .shared_length = TRUE };
  g_autoptr (TpdDocument) document = check_made (&spec);

  g_assert_null (document->warnings);
}

/* Bytes in front of the header shift the offsets, and are not part of the document. */
static void
test_junk (void)
{
  Spec spec = { .mode = TPD_CIPHER_CBC4K, .junk = "% a comment of some mail gateway\n\n" };
  g_autoptr (TpdDocument) document = check_made (&spec);

  g_assert_null (document->warnings);
}

/* A string that is longer in plain than encrypted moves its object to the license's place. */
static void
test_moved (void)
{
  static const Layout layouts[] = { LAYOUT_TABLE, LAYOUT_STREAM, LAYOUT_HYBRID };
  g_autofree char *title = g_strnfill (300, '\\');

  for (guint i = 0; i < G_N_ELEMENTS (layouts); i++)
    {
      Spec spec = { .layout = layouts[i], .mode = TPD_CIPHER_CBC4K, .title = title, .license_len = 3000 };
      g_autoptr (TpdDocument) document = check_made (&spec);

      g_assert_null (document->warnings);
    }
}

/* The same where the encryption dictionary is part of the trailer, or the license an object of its own. */
static void
test_moved_elsewhere (void)
{
  static const Layout layouts[] = { LAYOUT_TABLE, LAYOUT_STREAM, LAYOUT_HYBRID, LAYOUT_UPDATED };
  g_autofree char *title = g_strnfill (300, '\\');

  for (guint i = 0; i < G_N_ELEMENTS (layouts) * 3; i++)
    for (guint fits = 0; fits < 2; fits++)
      {
        Spec spec = { .layout = layouts[i / 3],
                      .mode = TPD_CIPHER_CBC4K,
                      .title = fits ? NULL : title,
                      .license_len = 3000,
                      .direct = i % 3 != 1,
                      .license_apart = i % 3 != 0 };
        g_autoptr (TpdDocument) document = check_made (&spec);
        g_autoptr (GBytes) bytes = document_read_all (document, NULL);
        gsize len;
        const char *data = g_bytes_get_data (bytes, &len);

        /* The title is that of an older revision, which must not come back. */
        if (spec.layout == LAYOUT_UPDATED && !fits)
          g_assert_nonnull (strstr (document->warnings[0], "1 strings of older versions"));
        else
          g_assert_null (document->warnings);
        g_assert_null (memmem (data, len, "MicrosoftIRM", 12));
      }
}

/* Parentheses with a partner need no escape, which is why this fits. */
static void
test_tight (void)
{
  g_autoptr (GString) title = g_string_new (NULL);
  Spec spec = { .mode = TPD_CIPHER_CBC4K };
  g_autoptr (TpdDocument) document = NULL;

  for (guint i = 0; i < 60; i++)
    g_string_append (title, "(a)");
  spec.title = title->str;
  document = check_made (&spec);
}

/* No room at all: refused with its reason, never cut or shifted. */
static void
test_no_room (void)
{
  g_autofree char *title = g_strnfill (3000, '\\');
  Spec spec = { .mode = TPD_CIPHER_CBC4K, .title = title };
  g_autoptr (GBytes) encrypted = make_pdf (&spec, TRUE);
  g_autoptr (GError) error = NULL;

  g_assert_null (open_made (encrypted, &spec, TPD_MODE_WORD_CBC4K, TPD_IV_AUTO, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED);
}

/* A file whose end or offsets are wrong is searched for its objects. */
static void
test_broken_xref (void)
{
  static const char *const from[] = { "startxref", "xref\n0", "00000 n ", "trailer" };
  static const char *const to[] = { "startxxxx", "xxxx\n0", "0000x n ", "trailer" };

  for (guint i = 0; i < G_N_ELEMENTS (from); i++)
    {
      Spec spec = { .mode = TPD_CIPHER_CBC4K };
      g_autoptr (GBytes) made = make_pdf (&spec, TRUE);
      g_autoptr (GBytes) plain = make_pdf (&spec, FALSE);
      gsize len = g_bytes_get_size (made);
      g_autofree char *data = g_memdup2 (g_bytes_get_data (made, NULL), len);
      g_autoptr (GBytes) broken = NULL, result = NULL;
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GError) error = NULL;
      char *place = memmem (data, len, from[i], strlen (from[i]));

      g_assert_nonnull (place);
      memcpy (place, to[i], strlen (to[i]));
      /* The last case: an entry that leads somewhere else. */
      if (i == 3)
        memcpy (strstr (memmem (data, len, "xref\n0", 6), "0000000015"), "0000000027", 10);
      broken = g_bytes_new (data, len);
      document = open_made (broken, &spec, TPD_MODE_WORD_CBC4K, TPD_IV_AUTO, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (document->plain_size, ==, len);
      g_assert_cmpuint (g_strv_length (document->warnings), ==, 1);
      result = document_read_all (document, NULL);
      compare_bytes (result, plain, TRUE);
    }
}

/* qpdf linearises the file while its strings and streams are ciphertext already. */
static void
test_linearised (void)
{
  Spec spec = { .mode = TPD_CIPHER_CBC4K, .clear_id = TRUE, .no_crypt_filter = TRUE, .encrypt_key = "Encrypx" };
  g_autoptr (GBytes) made = make_pdf (&spec, TRUE);
  g_autoptr (GBytes) plain = make_pdf (&spec, FALSE);
  g_autofree char *in = scratch_file (g_bytes_get_data (made, NULL), g_bytes_get_size (made));
  g_autofree char *out = g_strconcat (in, ".lin", NULL);
  const char *argv[] = { "qpdf", "--linearize", "--stream-data=preserve", "--object-streams=disable", "--static-id", in,
                         out,    NULL };
  const char *check[] = { "qpdf", "--check-linearization", out, NULL };
  g_autofree char *data = NULL, *told = NULL, *said = NULL;
  g_autoptr (GBytes) encrypted = NULL, result = NULL;
  g_autoptr (TpdDocument) document = NULL;
  g_autoptr (GError) error = NULL;
  gsize len;
  int status, n = 0;

  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &said, &told, &status, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (told, ==, "");
  g_assert_cmpint (status, ==, 0);
  g_assert_true (g_file_get_contents (out, &data, &len, NULL));
  for (char *p = data; (p = memmem (p, len - (gsize) (p - data), "/Encrypx", 8)) != NULL; p += 8, n++)
    memcpy (p, "/Encrypt", 8);
  g_assert_cmpint (n, >=, 1);
  encrypted = g_bytes_new (data, len);
  document = open_made (encrypted, &spec, TPD_MODE_WORD_CBC4K, TPD_IV_AUTO, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (document->plain_size, ==, len);
  result = document_read_all (document, NULL);
  g_file_set_contents (out, g_bytes_get_data (result, NULL), (gssize) len, NULL);
  g_clear_pointer (&told, g_free);
  g_clear_pointer (&said, g_free);
  g_spawn_sync (NULL, (char **) check, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &said, &told, &status, NULL);
  g_assert_cmpstr (told, ==, "");
  g_assert_cmpint (status, ==, 0);
  compare_bytes (result, plain, FALSE);
  g_unlink (in);
  g_unlink (out);
}

/* A damaged stream is refused: better nothing than something else. */
static void
test_damaged_stream (void)
{
  Spec spec = { .mode = TPD_CIPHER_CBC4K };
  g_autoptr (GBytes) made = make_pdf (&spec, TRUE);
  gsize len = g_bytes_get_size (made);
  g_autofree char *data = g_memdup2 (g_bytes_get_data (made, NULL), len);
  g_autoptr (GBytes) damaged = NULL;
  g_autoptr (GError) error = NULL;
  char *place = memmem (data, len, "4 0 obj", 7);

  place = (char *) memmem (place, 200, "stream\r\n", 8) + 8;
  *place ^= 1;
  damaged = g_bytes_new (data, len);
  g_assert_null (open_made (damaged, &spec, TPD_MODE_WORD_CBC4K, TPD_IV_AUTO, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
  g_assert_nonnull (strstr (error->message, "object 4"));
}

/* --- Licenses ------------------------------------------------------------- */

static void
check_license (const char *stored, const char *expected)
{
  Spec spec = { .mode = TPD_CIPHER_CBC4K, .license = stored };
  g_autoptr (GBytes) file = make_pdf (&spec, TRUE);
  g_autoptr (TpdSource) source = tpd_source_new_bytes (file);
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) license = NULL;

  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
  license = tpd_probe_read_license (probe, source, &error);
  if (expected == NULL)
    {
      g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
      return;
    }
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (license, NULL), g_bytes_get_size (license), expected, strlen (expected));
}

static void
test_licenses (void)
{
  static const char text[] = MAKER_LICENSE;
  static const int windows[] = { 15, -15 };

  check_license (MAKER_LICENSE, text);
  check_license ("\\357\\273\\277<XrML \\\r\nversion=\"1.2\">f\\151ller</XrML>", text);
  for (guint i = 0; i < G_N_ELEMENTS (windows); i++)
    {
      g_autoptr (GBytes) packed = deflate_bytes (text, strlen (text), windows[i]);
      g_autofree char *base64 = g_base64_encode (g_bytes_get_data (packed, NULL), g_bytes_get_size (packed));
      g_autofree char *spaced = g_strdup_printf (" %.10s\n\t%s\r\n ", base64, base64 + 10);

      check_license (base64, text);
      check_license (spaced, text);
    }
  check_license ("bm90IGRlZmxhdGVk", NULL);
  check_license ("***", NULL);
}

/* 16 MiB is more than any license; this inflates to 64. */
static void
test_license_bomb (void)
{
  g_autofree char *zeros = g_malloc0 (64 * 1024 * 1024);
  g_autoptr (GBytes) packed = deflate_bytes (zeros, 64 * 1024 * 1024, 15);
  g_autofree char *base64 = g_base64_encode (g_bytes_get_data (packed, NULL), g_bytes_get_size (packed));

  check_license (base64, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pdf/layout/each-keeps-size-and-objects", test_layouts);
  g_test_add_func ("/pdf/made/large-section", test_large_section);
  g_test_add_func ("/pdf/made/dictionary-lost", test_dictionary_lost);
  g_test_add_func ("/pdf/made/attached", test_attached);
  g_test_add_func ("/pdf/layout/older-revision-is-decrypted", test_old_revision);
  g_test_add_func ("/pdf/layout/linearised-stays-so", test_linearised);
  g_test_add_func ("/pdf/layout/broken-xref-is-rebuilt", test_broken_xref);
  g_test_add_func ("/pdf/layout/junk-in-front", test_junk);
  g_test_add_func ("/pdf/mode/each-mode-and-key-length", test_modes);
  g_test_add_func ("/pdf/mode/word-is-left-when-disproved", test_wrong_word);
  g_test_add_func ("/pdf/mode/wrong-key-is-refused", test_wrong_key);
  g_test_add_func ("/pdf/items/clear-ones-stay", test_clear_parts);
  g_test_add_func ("/pdf/items/damaged-stream-is-refused", test_damaged_stream);
  g_test_add_func ("/pdf/patch/shared-length", test_shared_length);
  g_test_add_func ("/pdf/patch/long-string-moves", test_moved);
  g_test_add_func ("/pdf/patch/long-string-moves-elsewhere", test_moved_elsewhere);
  g_test_add_func ("/pdf/patch/balanced-parentheses", test_tight);
  g_test_add_func ("/pdf/patch/no-room-is-refused", test_no_room);
  g_test_add_func ("/pdf/license/each-packing", test_licenses);
  g_test_add_func ("/pdf/license/bomb-is-refused", test_license_bomb);
  return g_test_run ();
}
