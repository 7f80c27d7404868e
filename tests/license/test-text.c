/* SPDX-License-Identifier: Apache-2.0 */
/* How stored bytes become license text, and the text single documents. */
#include <glib.h>
#include <string.h>

#include "base/error.h"
#include "license/text.h"

#define SAMPLE "<XrML version=\"1.2\" xmlns=\"\"><BODY type=\"x\">Tsch\xc3\xbc\xc3\x9f \xf0\x9d\x84\x9e</BODY></XrML>"

/* The sample as UTF-16, by GLib's converter. */
static GByteArray *
utf16 (const char *text, const char *charset, const char *bom, gsize bom_len)
{
  GByteArray *out = g_byte_array_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *wide = NULL;
  gsize len;

  wide = g_convert (text, -1, charset, "UTF-8", NULL, &len, &error);
  g_assert_no_error (error);
  g_byte_array_append (out, (const guint8 *) bom, (guint) bom_len);
  g_byte_array_append (out, (const guint8 *) wide, (guint) len);
  return out;
}

static void
assert_decodes (const void *data, gsize len, const char *encoding, gboolean base64, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdLicenseText) text = tpd_license_text_decode (data, len, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (text->text, ==, expected);
  g_assert_cmpuint (text->len, ==, strlen (expected));
  g_assert_cmpstr (text->encoding, ==, encoding);
  g_assert_cmpint (text->base64, ==, base64);
}

static void
assert_refused (const void *data, gsize len, int code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdLicenseText) text = tpd_license_text_decode (data, len, &error);

  g_assert_null (text);
  g_assert_error (error, TPD_ERROR, code);
}

static void
test_utf8 (void)
{
  static const char declared[] = "<?xml version=\"1.0\"?>" SAMPLE;
  static const char terminated[] = "\xef\xbb\xbf" SAMPLE "\r\n\0\0\0";

  assert_decodes (SAMPLE, strlen (SAMPLE), "utf-8", FALSE, SAMPLE);
  assert_decodes ("\n\t " SAMPLE, strlen (SAMPLE) + 3, "utf-8", FALSE, "\n\t " SAMPLE);
  assert_decodes (declared, strlen (declared), "utf-8", FALSE, declared);
  assert_decodes (terminated, sizeof terminated, "utf-8-bom", FALSE, SAMPLE);
}

/* Whole characters and broken ones anywhere: GLib says which texts are good. */
static void
test_utf8_that_is_none_is_refused (void)
{
  static const char *const pieces[] = {
    "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x80", "\xc3", "\xe2\x82", "\xf0\x9f\x98",
    "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\x01"
  };
  guint n_good = 0, n_bad = 0;

  for (guint round = 0; round < 20000; round++)
    {
      const guint n_pieces = round % 2 == 0 ? 3 : G_N_ELEMENTS (pieces);
      g_autoptr (GString) bytes = g_string_new ("<XrML>");
      g_autoptr (TpdLicenseText) text = NULL;
      g_autoptr (GError) error = NULL;
      gboolean good;

      for (guint i = 0; i < 4; i++)
        {
          for (int n = g_test_rand_int_range (0, 150); n > 0; n--)
            g_string_append_c (bytes, 'a');
          g_string_append (bytes, pieces[g_test_rand_int_range (0, (gint32) n_pieces)]);
        }
      if (round % 3 == 0)
        g_string_append (bytes, "</XrML>");
      good = g_utf8_validate_len (bytes->str, bytes->len, NULL);
      text = tpd_license_text_decode ((const guint8 *) bytes->str, bytes->len, &error);
      g_assert_true ((text != NULL) == good);
      if (good)
        g_assert_cmpmem (text->text, text->len, bytes->str, bytes->len);
      else
        g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
      n_good += good;
      n_bad += !good;
    }
  g_assert_cmpuint (MIN (n_good, n_bad), >, 1000);
}

static void
test_utf8_of_even_length_is_not_utf16 (void)
{
  g_autofree char *even = g_strconcat (SAMPLE, strlen (SAMPLE) % 2 == 0 ? "" : " <a/>", NULL);

  g_assert_cmpuint (strlen (even) % 2, ==, 0);
  assert_decodes (even, strlen (even), "utf-8", FALSE, even);
}

static void
test_utf16 (void)
{
  static const struct {
    const char *charset, *bom;
    gsize bom_len;
    const char *encoding;
  } cases[] = {
    { "UTF-16LE", "", 0, "utf-16le" },
    { "UTF-16LE", "\xff\xfe", 2, "utf-16le-bom" },
    { "UTF-16BE", "", 0, "utf-16be" },
    { "UTF-16BE", "\xfe\xff", 2, "utf-16be" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GByteArray) wide = utf16 (SAMPLE, cases[i].charset, cases[i].bom, cases[i].bom_len);

      assert_decodes (wide->data, wide->len, cases[i].encoding, FALSE, SAMPLE);
      g_byte_array_append (wide, (const guint8 *) "\0\0", 2);
      assert_decodes (wide->data, wide->len, cases[i].encoding, FALSE, SAMPLE);
    }
}

/* Base64 of a license in any of its forms, and of that; the text in between
 * may be in UTF-16 and have a mark, too. */
static void
test_base64_is_undone_twice (void)
{
  g_autoptr (GByteArray) wide = utf16 (SAMPLE, "UTF-16LE", "", 0);
  g_autofree char *once = g_base64_encode ((const guchar *) SAMPLE, strlen (SAMPLE));
  g_autofree char *once_wide = g_base64_encode (wide->data, wide->len);
  g_autofree char *twice = g_base64_encode ((const guchar *) once, strlen (once));
  g_autofree char *thrice = g_base64_encode ((const guchar *) twice, strlen (twice));
  g_autofree char *broken = g_strndup (once_wide, 76);
  g_autofree char *wrapped = g_strconcat (broken, "\r\n", once_wide + 76, "\r\n", NULL);
  g_autofree char *bare = g_strndup (once, strcspn (once, "="));

  assert_decodes (once, strlen (once), "utf-8", TRUE, SAMPLE);
  assert_decodes (once_wide, strlen (once_wide), "utf-16le", TRUE, SAMPLE);
  assert_decodes (wrapped, strlen (wrapped), "utf-16le", TRUE, SAMPLE);
  assert_decodes (twice, strlen (twice), "utf-8", TRUE, SAMPLE);
  assert_refused (thrice, strlen (thrice), TPD_ERROR_DAMAGED);
  g_assert_cmpuint (strlen (bare), <, strlen (once));
  assert_decodes (bare, strlen (bare), "utf-8", TRUE, SAMPLE);
}

static void
test_base64_text_in_any_encoding (void)
{
  static const struct {
    const char *charset, *bom;
    gsize bom_len;
  } cases[] = {
    { "UTF-8", "\xef\xbb\xbf", 3 }, { "UTF-16LE", "\xff\xfe", 2 }, { "UTF-16LE", "", 0 },
    { "UTF-16BE", "\xfe\xff", 2 },  { "UTF-16BE", "", 0 },
  };
  g_autoptr (GByteArray) marked = utf16 (SAMPLE, "UTF-16LE", "\xff\xfe", 2);
  g_autofree char *once = g_base64_encode (marked->data, marked->len);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GByteArray) stored = utf16 (once, cases[i].charset, cases[i].bom, cases[i].bom_len);
      g_autofree char *again = g_base64_encode (stored->data, stored->len);

      g_test_message ("%u", i);
      assert_decodes (stored->data, stored->len, "utf-16le-bom", TRUE, SAMPLE);
      g_byte_array_append (stored, (const guint8 *) "\0\0", 2);
      assert_decodes (stored->data, stored->len, "utf-16le-bom", TRUE, SAMPLE);
      assert_decodes (again, strlen (again), "utf-16le-bom", TRUE, SAMPLE);
    }
}

static void
test_json_is_unsupported (void)
{
  static const char json[] = "{\"pld\": \"{}\", \"sig\": {}}";
  g_autoptr (GByteArray) wide = utf16 (json, "UTF-16LE", "\xff\xfe", 2);
  g_autofree char *bom = g_strconcat ("\xef\xbb\xbf \n", json, NULL);

  assert_refused (json, strlen (json), TPD_ERROR_UNSUPPORTED);
  assert_refused (bom, strlen (bom), TPD_ERROR_UNSUPPORTED);
  assert_refused (wide->data, wide->len, TPD_ERROR_UNSUPPORTED);
}

static void
test_invalid_encoding_is_damaged (void)
{
  static const guint8 high_alone[] = { '<', 0, 'X', 0, 0x00, 0xd8, 'a', 0 };
  static const guint8 high_at_end[] = { '<', 0, 'X', 0, 0x00, 0xd8 };
  static const guint8 low_alone[] = { '<', 0, 'X', 0, 0x00, 0xdc, 'a', 0 };
  static const guint8 odd[] = { '<', 0, 'X', 0, 'a' };
  static const guint8 nul[] = { '<', 0, 'X', 0, 0, 0, 'a', 0 };

  assert_refused (high_alone, sizeof high_alone, TPD_ERROR_DAMAGED);
  assert_refused (high_at_end, sizeof high_at_end, TPD_ERROR_DAMAGED);
  assert_refused (low_alone, sizeof low_alone, TPD_ERROR_DAMAGED);
  assert_refused (odd, sizeof odd, TPD_ERROR_DAMAGED);
  assert_refused (nul, sizeof nul, TPD_ERROR_DAMAGED);
  assert_refused ("<XrML>\xc0\xaf</XrML>", 15, TPD_ERROR_DAMAGED);
  assert_refused ("<XrML>\xed\xa0\x80</XrML>", 16, TPD_ERROR_DAMAGED);
  assert_refused ("<XrML>\0</XrML>", 14, TPD_ERROR_DAMAGED);
}

static void
test_what_is_no_license_is_damaged (void)
{
  static const guint8 noise[] = { 0x59, 0x86, 0x0c, 0x52, 0xfb, 0x84, 0x04, 0x23 };

  assert_refused (NULL, 0, TPD_ERROR_DAMAGED);
  assert_refused ("\0\0\0\0", 4, TPD_ERROR_DAMAGED);
  assert_refused ("   ", 3, TPD_ERROR_DAMAGED);
  assert_refused ("PK\3\4 hello", 10, TPD_ERROR_DAMAGED);
  assert_refused (noise, sizeof noise, TPD_ERROR_DAMAGED);
}

static void
test_too_long_is_damaged (void)
{
  gsize len = TPD_LICENSE_TEXT_MAX + 1;
  g_autofree char *text = g_malloc (4 * (gsize) TPD_LICENSE_TEXT_MAX + 1);

  memset (text, 'a', 4 * (gsize) TPD_LICENSE_TEXT_MAX + 1);
  memcpy (text, "<XrML>", 6);
  assert_refused (text, len, TPD_ERROR_DAMAGED);
  assert_refused (text, 4 * (gsize) TPD_LICENSE_TEXT_MAX + 1, TPD_ERROR_DAMAGED);
  /* 'a' twice as one UTF-16 unit is three bytes of UTF-8: it grows. */
  memcpy (text, "<\0X\0", 4);
  assert_refused (text, len, TPD_ERROR_DAMAGED);
}

static void
test_soap_is_unescaped_once (void)
{
  static const char escaped[] = "<Certificate>&lt;XrML a=&quot;1&quot;&gt;&lt;BODY type='&#x41;'&gt;A&amp;amp;B&amp;lt;"
                                "&#xD;&#10;&bogus;&#x110000;&lt;/BODY&gt;&lt;/XrML&gt;</Certificate>";
  static const char plain[] = "<Certificate><XrML a=\"1\"><BODY type='A'>A&amp;B&lt;"
                              "\r\n&bogus;&#x110000;</BODY></XrML></Certificate>";
  static const char nested[] =
      "<CertificateChain><Certificate>" SAMPLE "</Certificate><Certificate><XrML>&lt;XrML</XrML>"
      "</Certificate></CertificateChain>";
  g_autoptr (GArray) slices = NULL;

  assert_decodes (escaped, strlen (escaped), "utf-8", FALSE, plain);
  assert_decodes (nested, strlen (nested), "utf-8", FALSE, nested);
  slices = tpd_license_split (nested, strlen (nested));
  g_assert_cmpuint (slices->len, ==, 2);
}

static void
test_split_gives_offsets (void)
{
  static const char chain[] = "<?xml version=\"1.0\"?><XrML a=\"1\"><BODY type=\"a\">1</BODY><S/></XrML>\r\n"
                              "<XrMLx></XrMLx><XrML>\n<BODY\n>2</BODY ></XrML ><XrML><B/></XrML><XrML>";
  static const char *const documents[] = { "<XrML a=\"1\"><BODY type=\"a\">1</BODY><S/></XrML>",
                                           "<XrML>\n<BODY\n>2</BODY ></XrML >", "<XrML><B/></XrML>" };
  static const char *const bodies[] = { "<BODY type=\"a\">1</BODY>", "<BODY\n>2</BODY >", "" };
  g_autoptr (GArray) slices = tpd_license_split (chain, strlen (chain));

  g_assert_cmpuint (slices->len, ==, 3);
  for (guint i = 0; i < slices->len; i++)
    {
      const TpdXrmlSlice *slice = &g_array_index (slices, TpdXrmlSlice, i);

      g_assert_cmpmem (chain + slice->start, slice->len, documents[i], strlen (documents[i]));
      g_assert_cmpmem (chain + slice->body_start, slice->body_len, bodies[i], strlen (bodies[i]));
    }
}

static GString *
repeated (const char *word, guint n)
{
  GString *all = g_string_sized_new (strlen (word) * n + 64);

  for (guint i = 0; i < n; i++)
    g_string_append (all, word);
  return all;
}

/* Each would take minutes if any of it were quadratic. */
static void
test_split_is_linear (void)
{
  static const struct {
    const char *word, *tail;
    guint expected;
  } cases[] = {
    { "<XrML ", "", 0 },
    { "<XrML ", "</XrML>", 1 },
    { "<XrML>", "", 0 },
    { "<XrML></XrML>", "", TPD_LICENSE_DOCUMENTS_MAX },
    { "<XrML><BODY></XrML>", "", TPD_LICENSE_DOCUMENTS_MAX },
    { "<XrML><BODY ", "</XrML>", 1 },
    { "</XrML>", "", 0 },
    { "<XrMLXrML", "</XrML>", 0 },
  };
  gint64 start = g_get_monotonic_time ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      GString *text = repeated (cases[i].word, 1000000);
      g_autoptr (GArray) slices = NULL;

      g_string_append (text, cases[i].tail);
      slices = tpd_license_split (text->str, text->len);
      g_assert_cmpuint (slices->len, ==, cases[i].expected);
      g_string_free (text, TRUE);
    }
  g_assert_cmpint (g_get_monotonic_time () - start, <, 20 * G_USEC_PER_SEC);
}

static void
test_unescape_is_linear (void)
{
  GString *text = repeated ("&amp;&#x1;&#99999", 900000);
  gint64 start = g_get_monotonic_time ();
  g_autoptr (TpdLicenseText) decoded = NULL;

  g_string_prepend (text, "<a>&lt;XrML");
  decoded = tpd_license_text_decode ((const guint8 *) text->str, text->len, NULL);
  g_assert_nonnull (decoded);
  g_assert_true (g_str_has_prefix (decoded->text, "<a><XrML&\x01&#99999&"));
  g_assert_cmpint (g_get_monotonic_time () - start, <, 10 * G_USEC_PER_SEC);
  g_string_free (text, TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/license-text/utf8", test_utf8);
  g_test_add_func ("/license-text/utf8-that-is-none-is-refused", test_utf8_that_is_none_is_refused);
  g_test_add_func ("/license-text/utf8-of-even-length-is-not-utf16", test_utf8_of_even_length_is_not_utf16);
  g_test_add_func ("/license-text/utf16", test_utf16);
  g_test_add_func ("/license-text/base64-is-undone-twice", test_base64_is_undone_twice);
  g_test_add_func ("/license-text/base64-text-in-any-encoding", test_base64_text_in_any_encoding);
  g_test_add_func ("/license-text/json-is-unsupported", test_json_is_unsupported);
  g_test_add_func ("/license-text/invalid-encoding-is-damaged", test_invalid_encoding_is_damaged);
  g_test_add_func ("/license-text/what-is-no-license-is-damaged", test_what_is_no_license_is_damaged);
  g_test_add_func ("/license-text/too-long-is-damaged", test_too_long_is_damaged);
  g_test_add_func ("/license-text/soap-is-unescaped-once", test_soap_is_unescaped_once);
  g_test_add_func ("/license-text/split-gives-offsets", test_split_gives_offsets);
  g_test_add_func ("/license-text/split-is-linear", test_split_is_linear);
  g_test_add_func ("/license-text/unescape-is-linear", test_unescape_is_linear);
  return g_test_run ();
}
