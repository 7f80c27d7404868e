/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trusted publishing domains: the files of the fixtures, and files made here
 * from them, which differ in one thing. What is made here is sealed with the
 * key that the published vector gives for the password "password".
 */
#include <openssl/evp.h>

#include "crypto/keyfile.h"
#include "crypto/tpd_file_private.h"
#include "key-fixtures.h"

#define PASSWORD "password"
#define CLOUD_GUID "04f83314-0efd-4d98-b609-17c4b389b980"

/* .NET's own results, which an independent calculation confirmed. */
static void
test_derivations (void)
{
  static const struct {
    const char *password, *kdf2, *kdf1;
  } cases[] = {
    { "password", "e201065d0554652615c320c00a1d5bc8", "3a175af6d49704536b9df8ff67bdc1df" },
    { "Pa$$w0rd", "86084d8f165645dde017d7767252ef2d", "222450906e5cc7d33720d0808b527432" },
    { "P@ssw0rd-\xc3\xa4\xc3\x9f\xe2\x82\xac", "2a694bae652c5c78de7f10a617f924dc", "5d4b102662686ab5c6ee977d87b27850" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TpdSecret) password = tpd_secret_new (cases[i].password, strlen (cases[i].password));
      g_autoptr (TpdSecret) two = tpd_file_derive_key (2, password);
      g_autoptr (TpdSecret) one = tpd_file_derive_key (1, password);
      g_autofree char *two_hex = tpd_hex (two->data, two->len);
      g_autofree char *one_hex = tpd_hex (one->data, one->len);

      g_assert_cmpstr (two_hex, ==, cases[i].kdf2);
      g_assert_cmpstr (one_hex, ==, cases[i].kdf1);
    }
}

static GPtrArray *
read_tpd (GBytes *file, TestPassword *password, GError **error)
{
  g_assert_true (tpd_tpd_file_detect (g_bytes_get_data (file, NULL), g_bytes_get_size (file)));
  return tpd_tpd_file_read ("a.xml", g_bytes_get_data (file, NULL), g_bytes_get_size (file), test_password, password,
                            error);
}

static TpdError
error_of (const char *expect)
{
  static const struct {
    const char *word;
    TpdError code;
  } codes[] = {
    { "wrong-password", TPD_ERROR_PASSWORD },
    { "key-mismatch", TPD_ERROR_KEY_MISMATCH },
    { "key-damaged", TPD_ERROR_KEY_DAMAGED },
    { "damaged", TPD_ERROR_KEY_FILE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (codes); i++)
    if (strcmp (codes[i].word, expect) == 0)
      return codes[i].code;
  g_error ("unknown class %s", expect);
}

static void
check_opened (JsonObject *entry, const TpdLoadedKey *loaded)
{
  const TpdKeyInfo *info = loaded->info;
  JsonArray *templates = json_object_get_array_member (entry, "templates");
  gboolean keyless = json_object_get_boolean_member (entry, "keyless");

  g_assert_cmpint (info->state, ==, keyless ? TPD_KEY_KEYLESS : TPD_KEY_HELD);
  g_assert_true ((loaded->key == NULL) == keyless);
  g_assert_cmpstr (info->guid, ==, json_object_get_string_member (entry, "guid"));
  g_assert_cmpstr (info->origin, ==, "tpd");
  g_assert_cmpstr (info->licensor_name, ==, json_object_get_string_member (entry, "slc_name"));
  g_assert_cmpuint (info->public_key.bits, ==, (guint) json_object_get_int_member (entry, "bits"));
  g_assert_cmpuint (info->kdf, ==, (guint) json_object_get_int_member (entry, "kdf"));
  assert_fingerprint (&info->public_key, json_object_get_string_member (entry, "fingerprint"));
  if (loaded->key != NULL)
    assert_fingerprint (tpd_private_key_public (loaded->key), json_object_get_string_member (entry, "fingerprint"));

  g_assert_cmpuint (g_strv_length (info->templates), ==, json_array_get_length (templates));
  for (guint i = 0; i < json_array_get_length (templates); i++)
    {
      const char *guid = json_object_get_string_member (json_array_get_object_element (templates, i), "guid");
      g_assert_nonnull (strstr (info->templates[i], guid));
    }
  g_assert_cmpuint (g_strv_length (info->certificates), >, 0);
  for (guint i = 0; info->certificates[i] != NULL; i++)
    g_assert_true (g_str_has_prefix (info->certificates[i], "<XrML"));
  g_assert_nonnull (strstr (info->certificates[0], info->guid));
  g_assert_cmpuint (g_strv_length (info->urls), ==, 1);
}

/* Every file of README.json: opens as it says, or is refused as it says. */
static void
test_fixtures (void)
{
  g_autoptr (JsonArray) list = key_fixture_list ("tpds");

  g_assert_cmpuint (json_array_get_length (list), ==, 19);
  for (guint i = 0; i < json_array_get_length (list); i++)
    {
      JsonObject *entry = json_array_get_object_element (list, i);
      const char *name = json_object_get_string_member (entry, "file");
      const char *expect = json_object_get_string_member (entry, "expect");
      TestPassword password = { json_object_get_string_member (entry, "password"), 0 };
      g_autoptr (GBytes) file = key_fixture (name);
      g_autoptr (GError) error = NULL;
      g_autoptr (GPtrArray) keys = read_tpd (file, &password, &error);

      g_test_message ("%s: %s", name, error != NULL ? error->message : "opens");
      if (strcmp (expect, "ok") == 0)
        {
          g_assert_no_error (error);
          g_assert_cmpuint (keys->len, ==, 1);
          check_opened (entry, key_at (keys, 0));
        }
      else
        {
          g_assert_null (keys);
          g_assert_error (error, TPD_ERROR, (int) error_of (expect));
          assert_sentence (error, "a.xml");
        }
      /* Nobody is asked for a password that cannot help. */
      g_assert_cmpuint (password.asked, ==, strcmp (expect, "damaged") == 0 ? 0 : 1);
    }
}

static void
test_wrong_password_names_powershell (void)
{
  TestPassword password = { "Pa", 0 };
  g_autoptr (GBytes) file = key_fixture ("tpd-cloud-archived.xml");
  g_autoptr (GError) error = NULL;

  g_assert_null (read_tpd (file, &password, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_PASSWORD);
  g_assert_nonnull (strstr (error->message, "PowerShell"));
  g_assert_nonnull (strstr (error->message, "\"$\""));
}

static void
test_password_in_other_normal_form (void)
{
  TestPassword password = { "P@ssw0rd-a\xcc\x88\xc3\x9f\xe2\x82\xac", 0 };
  g_autoptr (GBytes) file = key_fixture ("variants/kdf1-2048.xml");
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_tpd (file, &password, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (keys->len, ==, 1);
  g_assert_cmpuint (password.asked, ==, 1);
}

static void
test_licensor (void)
{
  TestPassword password = { "Correct-Horse-7", 0 };
  g_autoptr (GBytes) file = key_fixture ("tpd-cloud.xml");
  g_autoptr (GPtrArray) keys = read_tpd (file, &password, NULL);
  const TpdKeyInfo *info = key_at (keys, 0)->info;

  g_assert_cmpstr (info->tenant_id, ==, "a9c8bf07-6964-41d3-9102-698aa282106f");
  g_assert_cmpstr (info->urls[0], ==, "https://99dc6834-fe7d-4d02-b4b1-37964d8faac3.rms.eu.aadrm.com/_wmcs");
  g_assert_cmpuint (g_strv_length (info->certificates), ==, 4);
  g_assert_null (info->csp_name);
  g_assert_cmpuint (g_strv_length (info->warnings), ==, 0);
}

static void
test_keyless_tells_where_the_key_is (void)
{
  TestPassword password = { "k\xe2\x82\xacy & co \xf0\x9f\x94\x91", 0 };
  g_autoptr (GBytes) file = key_fixture ("tpd-hsm-keyless.xml");
  g_autoptr (GPtrArray) keys = read_tpd (file, &password, NULL);
  const TpdKeyInfo *info = key_at (keys, 0)->info;

  g_assert_cmpstr (info->csp_name, ==, "nCipher Enhanced Cryptographic Provider");
  g_assert_cmpstr (info->key_container, ==, "rms-contoso");
  g_assert_cmpuint (g_strv_length (info->warnings), ==, 1);
  g_assert_nonnull (strstr (info->warnings[0], "rms-contoso"));
}

static void
test_weak_derivation_is_told (void)
{
  TestPassword password = { "tpd export 2011", 0 };
  g_autoptr (GBytes) file = key_fixture ("tpd-mode1-v1compatible.xml");
  g_autoptr (GPtrArray) keys = read_tpd (file, &password, NULL);

  g_assert_nonnull (strstr (key_at (keys, 0)->info->warnings[0], "RMS 1.0"));
}

/* --- Files made here ---------------------------------------------------- */

/* AES-128-CBC with the KDF-2 key of "password", in base64. */
static char *
seal (const void *data, gsize len)
{
  static const guint8 key[16] = { 0xe2, 0x01, 0x06, 0x5d, 0x05, 0x54, 0x65, 0x26,
                                  0x15, 0xc3, 0x20, 0xc0, 0x0a, 0x1d, 0x5b, 0xc8 };
  static const guint8 iv[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new ();
  g_autofree guint8 *out = g_malloc (len + 32);
  int n, last;

  g_assert_cmpint (EVP_EncryptInit_ex (context, EVP_aes_128_cbc (), NULL, key, iv), ==, 1);
  g_assert_cmpint (EVP_EncryptUpdate (context, out, &n, data, (int) len), ==, 1);
  g_assert_cmpint (EVP_EncryptFinal_ex (context, out + n, &last), ==, 1);
  EVP_CIPHER_CTX_free (context);
  return g_base64_encode (out, (gsize) (n + last));
}

/* The description and the key blob of variants/no-templates.xml, in clear. */
typedef struct {
  char *inner;
  GBytes *blob;
} Clear;

static Clear clear;

static void
clear_init (void)
{
  static const char password_text[] = "P@ssw0rd-\xc3\xa4\xc3\x9f\xe2\x82\xac";
  g_autoptr (GBytes) file = key_fixture ("variants/no-templates.xml");
  g_autoptr (GPtrArray) items = tpd_file_parse_outer (g_bytes_get_data (file, NULL), g_bytes_get_size (file), NULL);
  const TpdFileItem *item = g_ptr_array_index (items, 0);
  g_autoptr (TpdSecret) password = tpd_secret_new (password_text, strlen (password_text));
  g_autoptr (TpdSecret) key = tpd_file_derive_key (2, password);
  g_autoptr (TpdSecret) info = tpd_file_unseal (key, item->info, item->info_len);
  g_autoptr (TpdSecret) blob = tpd_file_unseal (key, item->key, item->key_len);

  clear.inner = g_strndup ((const char *) info->data, info->len);
  clear.blob = g_bytes_new (blob->data, blob->len);
}

static char *
replace (const char *text, const char *what, const char *with)
{
  g_auto (GStrv) parts = g_strsplit (text, what, -1);

  g_assert_cmpuint (g_strv_length (parts), >, 1);
  return g_strjoinv (with, parts);
}

static char *
item_text (const void *inner, gsize inner_len, GBytes *blob)
{
  g_autofree char *info = seal (inner, inner_len);
  g_autofree char *key = blob != NULL ? seal (g_bytes_get_data (blob, NULL), g_bytes_get_size (blob)) : NULL;

  return g_strdup_printf ("<anyType xsi:type=\"EncryptedTrustedDocDomain\"><m_strTrustedDocDomainInfo>%s"
                          "</m_strTrustedDocDomainInfo><m_strKeyData>%s</m_strKeyData></anyType>",
                          info, key != NULL ? key : "");
}

static GPtrArray *
read_items (const char *items, GError **error)
{
  TestPassword password = { PASSWORD, 0 };
  g_autofree char *text =
      g_strdup_printf ("<?xml version=\"1.0\"?><ArrayOfAnyType "
                       "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">%s</ArrayOfAnyType>",
                       items);
  g_autoptr (GBytes) file = g_bytes_new_static (text, strlen (text));

  return read_tpd (file, &password, error);
}

static GPtrArray *
read_inner (const char *inner, GBytes *blob, GError **error)
{
  g_autofree char *item = item_text (inner, strlen (inner), blob);

  return read_items (item, error);
}

static void
assert_inner_refused (const char *inner, GBytes *blob, TpdError code, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (read_inner (inner, blob, &error));
  g_assert_error (error, TPD_ERROR, (int) code);
  assert_sentence (error, "a.xml");
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

static void
test_several_items (void)
{
  g_autofree char *one = item_text (clear.inner, strlen (clear.inner), clear.blob);
  g_autofree char *two = item_text (clear.inner, strlen (clear.inner), NULL);
  g_autofree char *both = g_strconcat ("<anyType xsi:type=\"Other\"/>", one, two, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_items (both, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (keys->len, ==, 2);
  g_assert_cmpint (key_at (keys, 0)->info->state, ==, TPD_KEY_HELD);
  g_assert_cmpint (key_at (keys, 1)->info->state, ==, TPD_KEY_KEYLESS);
}

/* Order, prefixes, unknown elements and comments do not matter. */
static void
test_loose_xml (void)
{
  g_autofree char *a = replace (clear.inner, "<m_ttdki>", "<new>1</new><!-- c --><m_ttdki><strNew>x</strNew>");
  g_autofree char *b = replace (a, "<strIDType>MS-GUID</strIDType>", "");
  g_autofree char *c = replace (b, "xsi:type=\"TrustedDocDomain\"",
                                "xsi:type=\"p:TrustedDocDomain\" xmlns:p=\"urn:p\" xmlns:q=\"urn:q\"");
  g_autofree char *d = replace (c, "m_strLicensorCertChain>", "q:m_strLicensorCertChain>");
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_inner (d, clear.blob, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (key_at (keys, 0)->info->guid, ==, CLOUD_GUID);
}

static void
test_inner_in_utf16 (void)
{
  g_autofree char *declared =
      replace (clear.inner, "<?xml version=\"1.0\"?>", "<?xml version=\"1.0\" encoding=\"utf-16\"?>");
  gsize len;
  g_autofree char *utf16 = g_convert (declared, -1, "UTF-16", "UTF-8", NULL, &len, NULL);
  g_autofree char *item = item_text (utf16, len, clear.blob);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_items (item, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (key_at (keys, 0)->info->guid, ==, CLOUD_GUID);
}

/* Text that was written with the NUL at its end. */
static void
test_terminated_text (void)
{
  g_autofree char *item = item_text (clear.inner, strlen (clear.inner) + 1, clear.blob);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_items (item, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (key_at (keys, 0)->info->guid, ==, CLOUD_GUID);
}

static void
test_guid_mismatch_is_a_warning (void)
{
  g_autofree char *other =
      replace (clear.inner, "<strID>{" CLOUD_GUID "}", "<strID>{11111111-2222-3333-4444-555555555555}");
  g_autofree char *upper =
      replace (clear.inner, "<strID>{" CLOUD_GUID "}", "<strID>04F83314-0EFD-4D98-B609-17C4B389B980");
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_inner (other, clear.blob, &error);
  g_autoptr (GPtrArray) same = NULL;

  g_assert_no_error (error);
  g_assert_cmpstr (key_at (keys, 0)->info->guid, ==, "11111111-2222-3333-4444-555555555555");
  g_assert_cmpuint (g_strv_length (key_at (keys, 0)->info->warnings), ==, 1);
  g_assert_nonnull (strstr (key_at (keys, 0)->info->warnings[0], CLOUD_GUID));
  same = read_inner (upper, clear.blob, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_strv_length (key_at (same, 0)->info->warnings), ==, 0);
}

static void
test_distribution_points (void)
{
  static const char point[] =
      "&lt;DISTRIBUTIONPOINT&gt;&lt;OBJECT type=\"x\"&gt;&lt;ADDRESS type=\"URL\"&gt;https://in.example/"
      "_wmcs/licensing&lt;/ADDRESS&gt;&lt;/OBJECT&gt;&lt;/DISTRIBUTIONPOINT&gt;";
  g_autofree char *points = g_strconcat (point, point, "&lt;ISSUEDPRINCIPALS&gt;", NULL);
  g_autofree char *inner = replace (clear.inner, "&lt;ISSUEDPRINCIPALS&gt;", points);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_inner (inner, clear.blob, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (g_strv_length (key_at (keys, 0)->info->urls), ==, 2);
  g_assert_cmpstr (key_at (keys, 0)->info->urls[1], ==, "https://in.example/_wmcs/licensing");
}

static void
test_unsafe_xml_is_refused (void)
{
  g_autofree char *doctype = replace (clear.inner, "<?xml version=\"1.0\"?>", "<!DOCTYPE a [<!ENTITY b \"c\">]>");
  g_autofree char *slc_doctype =
      replace (clear.inner, "&lt;XrML", "&lt;!DOCTYPE a [&lt;!ENTITY b \"c\"&gt;]&gt;&lt;XrML");
  g_autofree char *entity = replace (clear.inner, "<strIDType>", "<strIDType>&unknown;");
  g_autofree char *many = g_strnfill (2 * 1024 * 1024, 'x');
  g_autoptr (GString) attributes = g_string_new ("<m_ttdki ");
  g_autoptr (GString) elements = g_string_new ("<m_ttdki>");
  g_autoptr (GString) deep = g_string_new ("<m_ttdki>");
  g_autofree char *with_attributes = NULL, *with_elements = NULL, *with_depth = NULL, *slc_large = NULL;

  for (guint i = 0; i < 1000; i++)
    g_string_append_printf (attributes, "a%u=\"\" ", i);
  g_string_append (attributes, ">");
  for (guint i = 0; i < 200000; i++)
    g_string_append (elements, "<a/>");
  for (guint i = 0; i < 50000; i++)
    g_string_append (deep, "<a>");
  with_attributes = replace (clear.inner, "<m_ttdki>", attributes->str);
  with_elements = replace (clear.inner, "<m_ttdki>", elements->str);
  with_depth = replace (clear.inner, "<m_ttdki>", deep->str);
  slc_large = replace (clear.inner, "&lt;/XrML&gt;", many);

  assert_inner_refused (doctype, clear.blob, TPD_ERROR_KEY_FILE, "DOCTYPE");
  assert_inner_refused (slc_doctype, clear.blob, TPD_ERROR_KEY_FILE, "DOCTYPE");
  assert_inner_refused (entity, clear.blob, TPD_ERROR_KEY_FILE, "well-formed");
  assert_inner_refused (with_attributes, clear.blob, TPD_ERROR_KEY_FILE, "tags");
  assert_inner_refused (with_elements, clear.blob, TPD_ERROR_KEY_FILE, "tags");
  assert_inner_refused (with_depth, clear.blob, TPD_ERROR_KEY_FILE, "well-formed");
  assert_inner_refused (slc_large, clear.blob, TPD_ERROR_KEY_FILE, "1 MiB");
}

/* More than libxml2 takes as one text without being asked to. */
static void
test_large_template (void)
{
  g_autofree char *fill = g_strnfill (11 * 1024 * 1024, 'x');
  g_autofree char *templates = g_strconcat ("</m_strLicensorCertChain><m_astrRightsTemplates><string>", fill,
                                            "</string></m_astrRightsTemplates>", NULL);
  g_autofree char *inner = replace (clear.inner, "</m_strLicensorCertChain>", templates);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_inner (inner, clear.blob, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (strlen (key_at (keys, 0)->info->templates[0]), ==, strlen (fill));
}

static void
test_broken_certificates (void)
{
  const char *chain = strstr (clear.inner, "<m_strLicensorCertChain>");
  const char *end = strstr (clear.inner, "</m_strLicensorCertChain>");
  g_autofree char *before = g_strndup (clear.inner, (gsize) (chain - clear.inner));
  g_autofree char *none = g_strconcat (before, end + strlen ("</m_strLicensorCertChain>"), NULL);
  g_autofree char *no_key = replace (clear.inner, "name=\"modulus\"", "name=\"other\"");
  g_autofree char *no_xrml = replace (clear.inner, "&lt;XrML", "&lt;XrML&gt;&lt;/a&gt;");
  g_autofree char *exponent = replace (clear.inner, "&gt;65537&lt;", "&gt;3&lt;");

  assert_inner_refused (none, clear.blob, TPD_ERROR_KEY_FILE, "no licensor certificate");
  assert_inner_refused (no_key, clear.blob, TPD_ERROR_KEY_FILE, "RSA key");
  assert_inner_refused (no_xrml, clear.blob, TPD_ERROR_KEY_FILE, "well-formed");
  assert_inner_refused (exponent, clear.blob, TPD_ERROR_KEY_MISMATCH, "licensor certificate");
}

/* It is 65537 then, and still compared with that of the private key. */
static void
test_certificate_without_exponent (void)
{
  g_autofree char *none = replace (clear.inner, "name=\"public-exponent\"", "name=\"other\"");
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_inner (none, clear.blob, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (keys->len, ==, 1);
  g_assert_cmpstr (key_at (keys, 0)->info->guid, ==, CLOUD_GUID);
  g_assert_cmpuint (key_at (keys, 0)->info->public_key.exponent, ==, 65537);
}

/* However much stands before the root, it is a domain. */
static void
test_long_comment_before_the_root (void)
{
  g_autofree char *words = g_strnfill (60000, 'x');
  g_autofree char *item = item_text (clear.inner, strlen (clear.inner), clear.blob);
  g_autofree char *text =
      g_strdup_printf ("<?xml version=\"1.0\"?><!-- %s --><ArrayOfAnyType "
                       "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">%s</ArrayOfAnyType>",
                       words, item);
  TestPassword password = { PASSWORD, 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys =
      tpd_key_file_read ("a.xml", (const guint8 *) text, strlen (text), test_password, &password, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (keys->len, ==, 1);
  g_assert_cmpstr (key_at (keys, 0)->info->guid, ==, CLOUD_GUID);
}

static void
test_other_documents (void)
{
  assert_inner_refused ("<ArrayOfAnyType/>", clear.blob, TPD_ERROR_KEY_FILE, "no domain");
  assert_inner_refused ("<html></html>", clear.blob, TPD_ERROR_KEY_FILE, "no domain");
  assert_inner_refused ("not xml at all", clear.blob, TPD_ERROR_PASSWORD, "password");
}

/* The key in the description, in plain base64, however it is written. */
static void
test_inner_key (void)
{
  g_autofree char *base64 = g_base64_encode (g_bytes_get_data (clear.blob, NULL), g_bytes_get_size (clear.blob));
  g_autofree char *element =
      g_strdup_printf ("<strEncryptedPrivateKey />  <strEncryptedPrivateKey xml:space='preserve'>\r\n"
                       " %s </strEncryptedPrivateKey></m_ttdki>",
                       base64);
  g_autofree char *good = replace (clear.inner, "</m_ttdki>", element);
  g_autofree char *bad =
      replace (clear.inner, "</m_ttdki>", "<strEncryptedPrivateKey>AAAA</strEncryptedPrivateKey></m_ttdki>");
  g_autofree char *cdata = replace (clear.inner, "</m_ttdki>",
                                    "<strEncryptedPrivateKey><![CDATA[AAAA]]></strEncryptedPrivateKey></m_ttdki>");
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_inner (good, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpint (key_at (keys, 0)->info->state, ==, TPD_KEY_HELD);
  assert_inner_refused (bad, NULL, TPD_ERROR_KEY_DAMAGED, "private key");
  assert_inner_refused (cdata, NULL, TPD_ERROR_KEY_DAMAGED, "private key");
}

/* --- Damage ------------------------------------------------------------- */

/* Damaged copies are refused, or the damage is where nothing of the key is. */
static void
check_damaged (const guint8 *data, gsize len, const char *expected)
{
  TestPassword password = { "P@ssw0rd-\xc3\xa4\xc3\x9f\xe2\x82\xac", 0 };
  g_autofree guint8 *copy = g_memdup2 (data, MAX (len, 1)); /* so that ASan sees the end */
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = tpd_tpd_file_read ("a.xml", copy, len, test_password, &password, &error);

  g_assert_cmpuint (password.asked, <=, 1);
  if (keys == NULL)
    {
      assert_sentence (error, "a.xml");
      return;
    }
  g_assert_no_error (error);
  if (key_at (keys, 0)->key != NULL)
    assert_fingerprint (tpd_private_key_public (key_at (keys, 0)->key), expected);
}

static void
test_truncation (void)
{
  g_autoptr (GBytes) file = key_fixture ("variants/no-templates.xml");
  const guint8 *data = g_bytes_get_data (file, NULL);

  for (gsize n = 0; n < g_bytes_get_size (file); n++)
    {
      TestPassword password = { "x", 0 };
      g_autofree guint8 *copy = g_memdup2 (data, MAX (n, 1));
      g_autoptr (GError) error = NULL;

      /* Only white space follows the root. */
      if (n >= g_bytes_get_size (file) - 2)
        break;
      g_assert_null (tpd_tpd_file_read ("a.xml", copy, n, test_password, &password, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE);
      g_assert_cmpuint (password.asked, ==, 0);
    }
}

static void
test_flipped_bits (void)
{
  static const char fingerprint[] = "abcedc14003e621e5b67be7a245f6f4f09bb9428fc464517aac737d0df1812e9";
  g_autoptr (GBytes) file = key_fixture ("variants/no-templates.xml");
  gsize len = g_bytes_get_size (file);
  g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (file, NULL), len);

  for (gsize i = 0; i < len; i += 3)
    {
      guint8 kept = data[i];

      data[i] ^= (guint8) (1 << (i % 8));
      check_damaged (data, len, fingerprint);
      data[i] = kept;
    }
}

/* Bits flipped in the description after it was opened, as an attacker can who
 * knows the password. */
static void
test_flipped_inner_bits (void)
{
  gsize len = strlen (clear.inner);
  g_autofree char *inner = g_strdup (clear.inner);

  for (gsize i = 0; i < len; i += 5)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GPtrArray) keys = NULL;
      char kept = inner[i];

      inner[i] ^= (char) (1 << (i % 7));
      keys = inner[i] != '\0' ? read_inner (inner, clear.blob, &error) : NULL;
      if (keys != NULL)
        assert_fingerprint (&key_at (keys, 0)->info->public_key,
                            "abcedc14003e621e5b67be7a245f6f4f09bb9428fc464517aac737d0df1812e9");
      inner[i] = kept;
    }
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  tpd_secret_init (64 * 1024);
  clear_init ();
  g_test_add_func ("/tpd-file/derivations-match-published-vectors", test_derivations);
  g_test_add_func ("/tpd-file/fixtures-open-or-are-refused", test_fixtures);
  g_test_add_func ("/tpd-file/wrong-password-names-powershell", test_wrong_password_names_powershell);
  g_test_add_func ("/tpd-file/password-in-other-normal-form", test_password_in_other_normal_form);
  g_test_add_func ("/tpd-file/licensor-is-described", test_licensor);
  g_test_add_func ("/tpd-file/keyless-tells-where-the-key-is", test_keyless_tells_where_the_key_is);
  g_test_add_func ("/tpd-file/weak-derivation-is-told", test_weak_derivation_is_told);
  g_test_add_func ("/tpd-file/several-items", test_several_items);
  g_test_add_func ("/tpd-file/order-and-unknown-elements-do-not-matter", test_loose_xml);
  g_test_add_func ("/tpd-file/inner-document-in-utf16", test_inner_in_utf16);
  g_test_add_func ("/tpd-file/terminated-text", test_terminated_text);
  g_test_add_func ("/tpd-file/guid-mismatch-is-a-warning", test_guid_mismatch_is_a_warning);
  g_test_add_func ("/tpd-file/distribution-points-are-listed-once", test_distribution_points);
  g_test_add_func ("/tpd-file/unsafe-xml-is-refused", test_unsafe_xml_is_refused);
  g_test_add_func ("/tpd-file/large-template", test_large_template);
  g_test_add_func ("/tpd-file/broken-certificates-are-refused", test_broken_certificates);
  g_test_add_func ("/tpd-file/other-documents-are-refused", test_other_documents);
  g_test_add_func ("/tpd-file/key-in-the-description", test_inner_key);
  g_test_add_func ("/tpd-file/truncation-is-refused-before-the-password", test_truncation);
  g_test_add_func ("/tpd-file/flipped-bits-never-crash", test_flipped_bits);
  g_test_add_func ("/tpd-file/certificate-without-exponent", test_certificate_without_exponent);
  g_test_add_func ("/tpd-file/long-comment-before-the-root", test_long_comment_before_the_root);
  g_test_add_func ("/tpd-file/flipped-inner-bits-never-crash", test_flipped_inner_bits);
  status = g_test_run ();
  g_free (clear.inner);
  g_bytes_unref (clear.blob);
  return status;
}
