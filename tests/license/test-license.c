/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing licenses: everything that can be told without a key, against the
 * manifest of the fixtures, which were written by another implementation.
 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "helper.h"
#include "license/license.h"

/* A license the manifest describes; doctype.txt.pfile is there to be refused. */
static gboolean
is_readable (JsonObject *entry)
{
  return strcmp (json_word (entry, "kind"), "pfile") == 0 && json_object_has_member (entry, "licence")
         && !json_object_get_null_member (entry, "licence") && strstr (json_word (entry, "path"), "doctype") == NULL;
}

static JsonObject *
find_entry (const char *part)
{
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      if (strstr (json_word (entry, "path"), part) != NULL)
        return entry;
    }
  g_error ("no fixture named like %s", part);
}

/* --- The manifest ----------------------------------------------------- */

static void
assert_names (JsonObject *entry, GPtrArray *names)
{
  JsonObject *expected = json_object_get_object_member (entry, "template_names");

  g_assert_cmpuint (names->len, ==, json_object_get_size (expected));
  for (guint i = 0; i < names->len; i++)
    {
      const TpdDescriptorName *name = g_ptr_array_index (names, i);
      g_autofree char *lcid = g_strdup_printf ("%u", name->lcid);

      g_assert_cmpstr (name->name, ==, json_word (expected, lcid));
      g_assert_nonnull (name->description);
    }
}

static void
assert_urls (JsonObject *entry, char **urls)
{
  JsonArray *expected = json_object_get_array_member (entry, "urls");

  g_assert_cmpuint (g_strv_length (urls), ==, json_array_get_length (expected));
  for (guint i = 0; urls[i] != NULL; i++)
    g_assert_cmpstr (urls[i], ==, json_array_get_string_element (expected, i));
}

static void
assert_storage (JsonObject *entry, const TpdLicense *license)
{
  JsonObject *stored = json_object_get_object_member (entry, "licence");
  g_autofree char *encoding = g_strdup (json_word (stored, "encoding"));
  const char *documents = json_word (stored, "documents");

  if (g_str_has_suffix (encoding, "-nul"))
    encoding[strlen (encoding) - 4] = '\0';
  g_assert_cmpstr (license->encoding, ==,
                   strcmp (encoding, "utf8") == 0       ? "utf-8"
                   : strcmp (encoding, "utf8-bom") == 0 ? "utf-8-bom"
                                                        : "utf-16le");
  if (strcmp (documents, "pl") == 0)
    g_assert_cmpuint (license->n_documents, ==, 1);
  else if (strcmp (documents, "clc") == 0)
    g_assert_cmpuint (license->n_documents, ==, 2);
  else
    g_assert_cmpuint (license->n_documents, >, 2);
  g_assert_cmpuint (g_strv_length (license->document_types), ==, license->n_documents);
  g_assert_cmpstr (license->document_types[0], ==, "Microsoft Rights Label");
  if (license->n_documents > 1)
    g_assert_cmpstr (license->document_types[1], ==, "LICENSE (Client-Licensor-Certificate)");
  g_assert_cmpint (license->chain_linked, ==, license->n_documents > 1);
}

static void
assert_as_manifest (JsonObject *entry, const TpdLicense *license)
{
  g_autofree char *fingerprint = tpd_hex (license->server_key.fingerprint.bytes, TPD_SHA256_SIZE);
  gboolean mode1 = json_object_get_int_member (entry, "crypto_mode") == 1;
  const char *tenant = json_word (entry, "tenant_id");

  g_assert_cmpstr (license->content_id, ==, json_word (entry, "content_id"));
  g_assert_cmpstr (license->policy_id, ==, json_object_get_string_member_with_default (entry, "policy_id", NULL));
  g_assert_cmpstr (license->rms_owner, ==, json_word (entry, "owner"));
  g_assert_cmpstr (license->author, ==, json_word (entry, "author"));
  g_assert_cmpstr (license->issuer_type, ==, "Group-Identity");
  g_assert_cmpstr (license->issued, ==, json_word (entry, "issued"));
  g_assert_cmpstr (license->tenant_id, ==, *tenant == '\0' ? NULL : tenant);
  g_assert_cmpstr (license->server_guid, ==, json_word (entry, "key_guid"));
  g_assert_cmpstr (fingerprint, ==, json_word (entry, "key_fingerprint"));
  g_assert_cmpint (license->seal_type, ==, mode1 ? TPD_SEAL_V1 : TPD_SEAL_V2);
  g_assert_cmpuint (license->server_key.bits, ==, mode1 ? 1024 : 2048);
  g_assert_cmpuint (license->sealed_len, >, license->server_key.len);
  g_assert_true (g_str_has_prefix (license->principals, "<ISSUEDPRINCIPALS"));
  g_assert_true (g_str_has_suffix (license->principals, "</ISSUEDPRINCIPALS>"));
  g_assert_cmpuint (strlen (license->principals), ==, license->principals_len);
  g_assert_cmpuint (license->erd_len % 16, ==, 0);
  g_assert_cmpuint (license->erd_len, >, 0);
  assert_names (entry, license->names);
  assert_urls (entry, license->urls);
  assert_storage (entry, license);

  if (strcmp (json_word (entry, "signature"), "bad") == 0)
    {
      g_assert_cmpint (license->signature, ==, TPD_SIGNATURE_BAD);
      g_assert_cmpuint (g_strv_length (license->warnings), ==, 1);
    }
  else
    {
      g_assert_cmpstr (json_word (entry, "signature"), ==, "good");
      g_assert_cmpint (license->signature, ==, TPD_SIGNATURE_GOOD);
      g_assert_cmpuint (g_strv_length (license->warnings), ==, 0);
    }
  g_assert_cmpint (license->double_key, ==, strstr (json_word (entry, "path"), "double key") != NULL);
}

static void
test_every_clear_field_is_as_the_manifest_says (void)
{
  JsonArray *files = fixture_files ();
  guint n = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (TpdLicense) license = NULL;

      if (!is_readable (entry))
        continue;
      g_test_message ("%s", json_word (entry, "path"));
      bytes = fixture_license (entry);
      license = parse_good (bytes, json_word (entry, "path"));
      assert_as_manifest (entry, license);
      n++;
    }
  g_assert_cmpuint (n, ==, 73);
}

static void
test_what_cannot_be_read_is_refused (void)
{
  static const struct {
    const char *part;
    int code;
  } cases[] = {
    { "/doctype.txt", TPD_ERROR_DAMAGED },
    { "cut in licence", TPD_ERROR_DAMAGED },
    { "garbage licence", TPD_ERROR_DAMAGED },
    { "json licence", TPD_ERROR_UNSUPPORTED },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GBytes) bytes = fixture_license (find_entry (cases[i].part));
      g_autoptr (GError) error = NULL;

      g_assert_nonnull (bytes);
      g_assert_null (tpd_license_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &error));
      g_assert_error (error, TPD_ERROR, cases[i].code);
    }
}

/* --- Single promises, on licenses made here --------------------------- */

#define KEY                                                                                                         \
  "<PUBLICKEY><ALGORITHM>RSA</ALGORITHM><PARAMETER name=\"public-exponent\"><VALUE encoding=\"integer32\">65537"    \
  "</VALUE></PARAMETER><PARAMETER name=\"modulus\"><VALUE encoding=\"base64\" size=\"1024\">"                       \
  "IyhOevmJ6nmxz+ZWsgMJCWRJqnel4HYf2gQwe8jIJ9BLkC79LxQiR0mSIf+lokSxJ9NFjoy/1rK+uFP3eq7IH+wO6rpH7Qk0fuS1KAo6HklgULC" \
  "A7rxEH3ysEDNBkf38xnunpNErFSnG2sY4YZXfs/sKOUheWxZO8ig55HKG3No=</VALUE></PARAMETER></PUBLICKEY>"
#define BITS                                                      \
  "<ENABLINGBITS type=\"sealed-key\"><VALUE encoding=\"base64\" " \
  "size=\"128\">AAECAwQFBgcICQoLDA0ODw==</VALUE></ENABLINGBITS>"
#define SERVER "<PRINCIPAL internal-id=\"1\">" KEY BITS "</PRINCIPAL>"
#define LABEL(inside) "<XrML><BODY type=\"Microsoft Rights Label\">" inside "</BODY></XrML>"
#define PRINCIPALS(inside) "<ISSUEDPRINCIPALS>" inside "</ISSUEDPRINCIPALS>"
#define OK LABEL (PRINCIPALS (SERVER))

static TpdLicense *
parse_text (const char *text, GError **error)
{
  return tpd_license_parse ((const guint8 *) text, strlen (text), error);
}

static TpdLicense *
parse_ok (const char *text)
{
  g_autoptr (GError) error = NULL;
  TpdLicense *license = parse_text (text, &error);

  g_assert_no_error (error);
  return license;
}

static void
assert_damaged (const char *text, const char *sentence)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (parse_text (text, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
  if (strstr (error->message, sentence) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, sentence);
}

static gboolean
has_warning (const TpdLicense *license, const char *part)
{
  for (char **w = license->warnings; *w != NULL; w++)
    if (strstr (*w, part) != NULL)
      return TRUE;
  return FALSE;
}

static void
test_only_server_key_and_bits_are_needed (void)
{
  g_autoptr (TpdLicense) license = parse_ok (OK);
  g_autoptr (TpdLicense) unnumbered = parse_ok (LABEL (PRINCIPALS ("<PRINCIPAL>" KEY BITS "</PRINCIPAL>")));
  g_autofree char *fingerprint = tpd_hex (license->server_key.fingerprint.bytes, TPD_SHA256_SIZE);

  /* `partner foreign1` of the manifest is sealed to this key. */
  g_assert_cmpstr (fingerprint, ==, json_word (find_entry ("partner foreign1"), "key_fingerprint"));
  g_assert_cmpuint (license->sealed_len, ==, 16);
  g_assert_null (license->content_id);
  g_assert_null (license->policy_id);
  g_assert_null (license->issued);
  g_assert_null (license->rms_owner);
  g_assert_null (license->server_guid);
  g_assert_null (license->erd);
  g_assert_null (license->urls[0]);
  g_assert_null (tpd_license_name (license, 1033));
  g_assert_cmpint (license->signature, ==, TPD_SIGNATURE_NONE);
  g_assert_true (has_warning (license, "not signed"));
  g_assert_cmpuint (unnumbered->sealed_len, ==, 16);
}

static void
test_padding_of_base64_may_be_missing (void)
{
  g_auto (GStrv) pieces = g_strsplit (OK, "=</VALUE>", -1);
  g_autofree char *fewer = g_strjoinv ("</VALUE>", pieces);
  g_auto (GStrv) again = g_strsplit (fewer, "=</VALUE>", -1);
  g_autofree char *none = g_strjoinv ("</VALUE>", again);
  g_autoptr (TpdLicense) license = parse_ok (none);
  g_autofree char *fingerprint = tpd_hex (license->server_key.fingerprint.bytes, TPD_SHA256_SIZE);
  static const guint8 sealed[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

  g_assert_cmpuint (strlen (none), ==, strlen (OK) - 3);
  g_assert_cmpstr (fingerprint, ==, json_word (find_entry ("partner foreign1"), "key_fingerprint"));
  g_assert_cmpmem (license->sealed, license->sealed_len, sealed, sizeof sealed);
  /* One of the two that are due is damage. */
  assert_damaged (fewer, "not valid base64");
}

static void
test_missing_necessary_things_are_damaged (void)
{
  assert_damaged (LABEL (""), "exactly one server");
  assert_damaged (LABEL (PRINCIPALS ("")), "exactly one server");
  assert_damaged (LABEL (PRINCIPALS (SERVER SERVER)), "exactly one server");
  assert_damaged (LABEL (PRINCIPALS (SERVER) PRINCIPALS (SERVER)), "exactly one server");
  assert_damaged (LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\"2\">" KEY BITS "</PRINCIPAL>")), "exactly one server");
  assert_damaged (LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\"1\">" BITS "</PRINCIPAL>")), "public key");
  assert_damaged (LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\"1\"><PUBLICKEY/>" BITS "</PRINCIPAL>")), "no modulus");
  assert_damaged (LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\"1\">" KEY "</PRINCIPAL>")), "no sealed content key");
  assert_damaged (LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\"1\">" KEY
                                     "<ENABLINGBITS><VALUE>AA=A</VALUE></ENABLINGBITS></PRINCIPAL>")),
                  "not valid base64");
  assert_damaged ("<XrML><BODY type=\"LICENSE\"></BODY></XrML>", "none of the XrML documents");
  assert_damaged ("<XrML><BODY type=\"Microsoft Rights Label\"></BODY>", "no complete XrML document");
  assert_damaged ("<XrML><BODY></XrML>" OK, "not well-formed");
}

static void
test_oddities_are_warnings (void)
{
  g_autoptr (TpdLicense) license = parse_ok (
      LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\" 1 \">" KEY
                         "<ENABLINGBITS type=\"sealed-key-v3\"><VALUE size=\"8\">AAEC</VALUE></ENABLINGBITS>"
                         "</PRINCIPAL>") "<AUTHENTICATEDDATA id=\"Encrypted-Rights-Data\">!</AUTHENTICATEDDATA>"
                                         "<ISSUER><PUBLICKEY/></ISSUER>"));

  g_assert_cmpint (license->seal_type, ==, TPD_SEAL_UNKNOWN);
  g_assert_cmpstr (license->seal_type_name, ==, "sealed-key-v3");
  g_assert_null (license->erd);
  g_assert_true (has_warning (license, "another length"));
  g_assert_true (has_warning (license, "sealed in a way that is not known"));
  g_assert_true (has_warning (license, "rights data are not valid base64"));
  g_assert_true (has_warning (license, "issuer is not usable"));
}

static void
test_first_rights_label_is_taken (void)
{
  g_autoptr (TpdLicense) license =
      parse_ok ("<XrML><BODY type=\"LICENSE\"><WORK><OBJECT><ID>no</ID></OBJECT></WORK></BODY></XrML>"
                "<XrML><BODY type=\"Microsoft Rights Label\"><WORK><OBJECT><ID>yes</ID></OBJECT></WORK>" PRINCIPALS (
                    SERVER) "</BODY></XrML>" LABEL ("<WORK><OBJECT><ID>late</ID></OBJECT></WORK>" PRINCIPALS (SERVER)));

  g_assert_cmpstr (license->content_id, ==, "yes");
  g_assert_cmpuint (license->n_documents, ==, 3);
  g_assert_cmpuint (g_strv_length (license->document_types), ==, 3);
}

static void
test_application_data (void)
{
  g_autoptr (TpdLicense) license = parse_ok (LABEL (
      PRINCIPALS (SERVER) "<AUTHENTICATEDDATA id=\"APPSPECIFIC\" name=\"A\">True</AUTHENTICATEDDATA>"
                          "<AUTHENTICATEDDATA id=\"LABEL\" name=\"ID\">{a}&amp;</AUTHENTICATEDDATA>"
                          "<AUTHENTICATEDDATA id=\"LICENSEMETADATA\" name=\"MS.Content.Name\">C:\\a/DoubleKey.txt"
                          "</AUTHENTICATEDDATA>"
                          "<AUTHENTICATEDDATA id=\"LABEL\" name=\"TenantId\">t</AUTHENTICATEDDATA>"));
  const TpdAppData *item;

  g_assert_cmpuint (license->app_data->len, ==, 4);
  item = g_ptr_array_index (license->app_data, 0);
  g_assert_cmpstr (item->id, ==, "APPSPECIFIC");
  g_assert_cmpstr (item->name, ==, "A");
  g_assert_cmpstr (item->value, ==, "True");
  item = g_ptr_array_index (license->app_data, 1);
  g_assert_cmpstr (item->id, ==, "LABEL");
  g_assert_cmpstr (item->name, ==, "ID");
  g_assert_cmpstr (item->value, ==, "{a}&");
  g_assert_cmpstr (license->original_name, ==, "DoubleKey.txt");
  g_assert_false (license->double_key);
}

static void
test_signs_of_double_key (void)
{
  static const char *const data[] = {
    "name=\"Microsoft.DoubleKeyUri\">x",
    "name=\"x\">https://dke.example/k/1/decrypt",
    "name=\"x\">{\"kid\":\"a\"}",
    "name=\"kid\">x",
  };
  static const char *const innocent[] = { "name=\"x\">https://a.example/decrypted", "name=\"kidney\">kid" };

  for (guint i = 0; i < G_N_ELEMENTS (data); i++)
    {
      g_autofree char *text = g_strdup_printf (
          LABEL (PRINCIPALS (SERVER) "<AUTHENTICATEDDATA id=\"APPSPECIFIC\" %s</AUTHENTICATEDDATA>"), data[i]);
      g_autoptr (TpdLicense) license = parse_ok (text);
      g_assert_true (license->double_key);
    }
  for (guint i = 0; i < G_N_ELEMENTS (innocent); i++)
    {
      g_autofree char *text = g_strdup_printf (
          LABEL (PRINCIPALS (SERVER) "<AUTHENTICATEDDATA id=\"APPSPECIFIC\" %s</AUTHENTICATEDDATA>"), innocent[i]);
      g_autoptr (TpdLicense) license = parse_ok (text);
      g_assert_false (license->double_key);
    }
}

static void
test_name_falls_back_to_english_then_first (void)
{
  g_autoptr (TpdLicense) license = parse_ok (
      LABEL (PRINCIPALS (SERVER) "<DESCRIPTOR><OBJECT><NAME>LCID 1041:NAME j:DESCRIPTION;LCID 1033:NAME e:DESCRIPTION ;"
                                 "LCID 1031:NAME d:DESCRIPTION x;</NAME></OBJECT></DESCRIPTOR>"));

  g_assert_cmpstr (tpd_license_name (license, 1031), ==, "d");
  g_assert_cmpstr (tpd_license_name (license, 1036), ==, "e");
}

/* --- Matching without a key ------------------------------------------- */

static TpdKeyInfo *
make_key (const TpdLicense *license, const char *guid, gboolean same_modulus, TpdKeyState state)
{
  TpdKeyInfo *info = g_new0 (TpdKeyInfo, 1);

  info->state = state;
  info->public_key = license->server_key;
  if (!same_modulus)
    info->public_key.fingerprint.bytes[0] ^= 1;
  info->guid = g_strdup (guid);
  info->name = g_strdup ("a key");
  info->csp_name = g_strdup ("nCipher");
  info->key_container = g_strdup ("container 7");
  return info;
}

static char *
match_message (const TpdLicense *license, TpdKeyInfo *info)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdKeyring) keyring = NULL;
  GPtrArray *keys = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_key_info_free);

  if (info != NULL)
    g_ptr_array_add (keys, info);
  keyring = tpd_keyring_new (keys);
  g_assert_null (tpd_license_match_key (license, keyring, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_NO_KEY);
  return g_strdup (error->message);
}

static void
test_no_key_says_which_key_is_wanted (void)
{
  JsonObject *entry = find_entry ("partner lost");
  g_autoptr (GBytes) bytes = fixture_license (entry);
  g_autoptr (TpdLicense) license = parse_good (bytes, "partner lost");
  const char *url = json_array_get_string_element (json_object_get_array_member (entry, "urls"), 0);
  g_autofree char *none = match_message (license, NULL);
  g_autofree char *namesake = match_message (license, make_key (license, license->server_guid, FALSE, TPD_KEY_HELD));
  g_autofree char *other = match_message (license, make_key (license, "x", FALSE, TPD_KEY_HELD));
  g_autofree char *keyless = match_message (license, make_key (license, "x", TRUE, TPD_KEY_KEYLESS));
  g_autoptr (GError) error = NULL;

  g_assert_null (tpd_license_match_key (license, NULL, &error));
  g_assert_cmpstr (error->message, ==, none);
  g_assert_nonnull (strstr (none, json_word (entry, "key_guid")));
  g_assert_nonnull (strstr (none, "2048 bits"));
  g_assert_nonnull (strstr (none, json_word (entry, "key_fingerprint")));
  g_assert_nonnull (strstr (none, json_word (entry, "tenant_id")));
  g_assert_nonnull (strstr (none, url));
  g_assert_null (strstr (none, "same GUID"));
  g_assert_nonnull (strstr (namesake, "same GUID"));
  g_assert_cmpstr (other, ==, none);
  g_assert_nonnull (strstr (keyless, "not the private key"));
  g_assert_nonnull (strstr (keyless, "nCipher"));
  g_assert_nonnull (strstr (keyless, "container 7"));
}

static void
test_key_is_matched_by_modulus (void)
{
  g_autoptr (TpdLicense) license = parse_ok (OK);
  GPtrArray *keys = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_key_info_free);
  g_autoptr (TpdKeyring) keyring = NULL;
  g_autoptr (GError) error = NULL;

  g_ptr_array_add (keys, make_key (license, "x", TRUE, TPD_KEY_KEYLESS));
  g_ptr_array_add (keys, make_key (license, "other", TRUE, TPD_KEY_HELD));
  keyring = tpd_keyring_new (keys);
  g_assert_true (tpd_license_match_key (license, keyring, &error) == g_ptr_array_index (keys, 1));
  g_assert_no_error (error);
}

static void
test_messages_escape_what_the_license_says (void)
{
  g_autoptr (TpdLicense) license = parse_ok (
      LABEL (PRINCIPALS ("<PRINCIPAL internal-id=\"1\"><OBJECT><ID>a&#10;b</ID></OBJECT>" KEY BITS "</PRINCIPAL>")));
  g_autofree char *message = match_message (license, NULL);

  g_assert_nonnull (strstr (message, "a\\x0ab"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/license/every-clear-field-is-as-the-manifest-says",
                   test_every_clear_field_is_as_the_manifest_says);
  g_test_add_func ("/license/what-cannot-be-read-is-refused", test_what_cannot_be_read_is_refused);
  g_test_add_func ("/license/only-server-key-and-bits-are-needed", test_only_server_key_and_bits_are_needed);
  g_test_add_func ("/license/padding-of-base64-may-be-missing", test_padding_of_base64_may_be_missing);
  g_test_add_func ("/license/missing-necessary-things-are-damaged", test_missing_necessary_things_are_damaged);
  g_test_add_func ("/license/oddities-are-warnings", test_oddities_are_warnings);
  g_test_add_func ("/license/first-rights-label-is-taken", test_first_rights_label_is_taken);
  g_test_add_func ("/license/application-data", test_application_data);
  g_test_add_func ("/license/signs-of-double-key", test_signs_of_double_key);
  g_test_add_func ("/license/name-falls-back-to-english-then-first", test_name_falls_back_to_english_then_first);
  g_test_add_func ("/license/no-key-says-which-key-is-wanted", test_no_key_says_which_key_is_wanted);
  g_test_add_func ("/license/key-is-matched-by-modulus", test_key_is_matched_by_modulus);
  g_test_add_func ("/license/messages-escape-what-the-license-says", test_messages_escape_what_the_license_says);
  return g_test_run ();
}
