/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The short way to a license's key: it finds the key that the manifest names in
 * every license of the fixtures, and whatever could be read in two ways is left
 * to the parser.
 */
#include <string.h>

#include "base/text.h"
#include "helper.h"

#define PARAMETERS                                                                                                  \
  "<PARAMETER name=\"public-exponent\"><VALUE encoding=\"integer32\">65537</VALUE></PARAMETER>"                     \
  "<PARAMETER name='modulus'><VALUE encoding=\"base64\" size=\"1024\">"                                             \
  "IyhOevmJ6nmxz+ZWsgMJCWRJqnel4HYf2gQwe8jIJ9BLkC79LxQiR0mSIf+lokSxJ9NFjoy/1rK+uFP3eq7IH+wO6rpH7Qk0fuS1KAo6HklgULC" \
  "A7rxEH3ysEDNBkf38xnunpNErFSnG2sY4YZXfs/sKOUheWxZO8ig55HKG3No=</VALUE></PARAMETER>"
#define KEY "<PUBLICKEY><ALGORITHM>RSA</ALGORITHM>" PARAMETERS "</PUBLICKEY>"
#define OTHER_KEY                                                                                                \
  "<PUBLICKEY><ALGORITHM>RSA</ALGORITHM><PARAMETER name='modulus'><VALUE encoding=\"base64\">"                   \
  "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA=</VALUE></PARAMETER>" \
  "</PUBLICKEY>"
#define BITS \
  "<ENABLINGBITS type=\"sealed-key\"><VALUE encoding=\"base64\">AAECAwQFBgcICQoLDA0ODw==</VALUE></ENABLINGBITS>"
#define SERVER "<PRINCIPAL internal-id=\"1\">" KEY BITS "</PRINCIPAL>"
#define LABEL(inside) "<XrML xmlns=''>\n<BODY type=\"Microsoft Rights Label\">" inside "</BODY></XrML>"
#define PRINCIPALS(inside) "<ISSUEDPRINCIPALS>" inside "</ISSUEDPRINCIPALS>"

static gboolean
peek (const char *text, TpdPublicKey *key)
{
  return tpd_license_peek_key ((const guint8 *) text, strlen (text), key);
}

static void
test_finds_the_key_that_the_manifest_names (void)
{
  JsonArray *files = fixture_files ();
  guint n = 0, found = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      const char *expected = json_word (entry, "key_fingerprint");
      g_autoptr (GBytes) bytes = NULL;
      TpdPublicKey key;

      if (strcmp (json_word (entry, "kind"), "pfile") != 0 || *expected == '\0')
        continue;
      bytes = fixture_license (entry);
      n++;
      if (bytes != NULL && tpd_license_peek_key (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &key))
        {
          g_autofree char *fingerprint = tpd_hex (key.fingerprint.bytes, TPD_SHA256_SIZE);

          g_assert_cmpstr (fingerprint, ==, expected);
          found++;
        }
    }
  /* Those of unusual form may go the long way; they are few. */
  g_assert_cmpuint (n, >=, 73);
  g_assert_cmpuint (found * 10, >=, n * 9);
}

static void
test_usual_forms (void)
{
  static const char *const good[] = {
    LABEL (PRINCIPALS (SERVER)),
    LABEL (PRINCIPALS ("<PRINCIPAL >" KEY BITS "<X/></PRINCIPAL>")),
    "\xef\xbb\xbf<?xml version=\"1.0\"?>\n" LABEL (PRINCIPALS (SERVER)) "<XrML><BODY>",
    LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\" 1\">" KEY BITS "</PRINCIPAL>")),
    LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\"2\">" OTHER_KEY BITS "</PRINCIPAL>" SERVER)),
    /* The first counts, as for the parser. */
    LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\"1\">" KEY OTHER_KEY BITS "</PRINCIPAL>")),
    LABEL ("<ISSUER>" KEY "</ISSUER>" PRINCIPALS (SERVER) "<A b = \"c\"/>"),
  };
  TpdPublicKey key;

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr (TpdLicense) license = tpd_license_parse_brief ((const guint8 *) good[i], strlen (good[i]), NULL);

      g_assert_true (peek (good[i], &key));
      g_assert_cmpuint (key.bits, ==, 1024);
      g_assert_nonnull (license);
      g_assert_true (tpd_fingerprint_equal (&license->server_key.fingerprint, &key.fingerprint));
    }
}

static void
test_what_may_mean_another_key_is_left_to_the_parser (void)
{
  static const char *const texts[] = {
    "",
    "{}",
    LABEL (""),
    LABEL (PRINCIPALS ("")),
    LABEL (PRINCIPALS (SERVER SERVER)),
    LABEL (PRINCIPALS (SERVER) PRINCIPALS (SERVER)),
    LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\"2\">" KEY BITS "</PRINCIPAL>")),
    LABEL (PRINCIPALS ("<PRINCIPAL><PUBLICKEY><PARAMETER name=\"mod&#117;lus\"/>" PARAMETERS "</PUBLICKEY>" BITS
                       "</PRINCIPAL>")),
    LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\"1\">" KEY "</PRINCIPAL>")),
    LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\"1\">" KEY "<ENABLINGBITS><VALUE>AA=A</VALUE></ENABLINGBITS>"
                       "</PRINCIPAL>")),
    LABEL (PRINCIPALS ("<!-- -->" SERVER)),
    LABEL (PRINCIPALS ("<x:PRINCIPAL internal-id=\"1\"></x:PRINCIPAL>" SERVER)),
    LABEL (PRINCIPALS (SERVER "<a></b>")),
    LABEL (PRINCIPALS (SERVER "<a b=\"<\"/>")),
    LABEL ("<![CDATA[" PRINCIPALS (SERVER) "]]>"),
    "<XrML><BODY type=\"LICENSE\">" PRINCIPALS (SERVER) "</BODY></XrML>",
    "<XrML><BODY type=\"LICENSE\" type=\"Microsoft Rights Label\">" PRINCIPALS (SERVER) "</BODY></XrML>",
    "<XrML><BODY type=\"Microsoft Rights Label\">" PRINCIPALS (SERVER) "</BODY>",
    "<!DOCTYPE XrML>" LABEL (PRINCIPALS (SERVER)),
  };
  TpdPublicKey key;

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    if (peek (texts[i], &key))
      g_error ("not left to the parser: %s", texts[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/license/peek/finds-the-key-that-the-manifest-names", test_finds_the_key_that_the_manifest_names);
  g_test_add_func ("/license/peek/usual-forms", test_usual_forms);
  g_test_add_func ("/license/peek/what-may-mean-another-key-is-left-to-the-parser",
                   test_what_may_mean_another_key_is_left_to_the_parser);
  return g_test_run ();
}
