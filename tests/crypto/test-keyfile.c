/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key files in every wrapping: what opens gives the fingerprint that the
 * fixtures tell, what cannot give a key says why, and no damage to a file ends
 * in a crash or in another key.
 */
#include "crypto/keyfile.h"

#include "key-fixtures.h"
#include "key-vectors.h"

#define ONPREM "758cc2dd6a10a77c06da2a3da5d63e22694daa355f7ec1e78de6b8e1a859197c"
#define MODE1 "67a01db17769c2b34bab87b2934e816419a7695fcd04f613ed7781acf8419b42"

static GBytes *
vector (const char *base64)
{
  gsize len;
  guint8 *data = g_base64_decode (base64, &len);

  return g_bytes_new_take (data, len);
}

static GPtrArray *
read_key (GBytes *file, TestPassword *password, GError **error)
{
  return tpd_key_file_read ("a file", g_bytes_get_data (file, NULL), g_bytes_get_size (file),
                            password->text != NULL ? test_password : NULL, password, error);
}

static void
assert_opens (GBytes *file, const char *password_text, guint asked, const char *origin, const char *fingerprint)
{
  TestPassword password = { password_text, 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_key (file, &password, &error);
  const TpdLoadedKey *loaded;

  g_assert_no_error (error);
  g_assert_cmpuint (keys->len, ==, 1);
  loaded = key_at (keys, 0);
  g_assert_cmpint (loaded->info->state, ==, TPD_KEY_HELD);
  g_assert_cmpstr (loaded->info->origin, ==, origin);
  g_assert_cmpstr (loaded->info->name, ==, "a file");
  g_assert_null (loaded->info->guid);
  assert_fingerprint (&loaded->info->public_key, fingerprint);
  assert_fingerprint (tpd_private_key_public (loaded->key), fingerprint);
  g_assert_cmpuint (password.asked, ==, asked);
}

static void
assert_refused (GBytes *file, const char *password_text, TpdError code, const char *words)
{
  TestPassword password = { password_text, 0 };
  g_autoptr (GError) error = NULL;

  g_assert_null (read_key (file, &password, &error));
  g_assert_error (error, TPD_ERROR, (int) code);
  assert_sentence (error, "a file");
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

static void
assert_text_refused (const char *text, TpdError code, const char *words)
{
  g_autoptr (GBytes) file = g_bytes_new_static (text, strlen (text));

  assert_refused (file, "x", code, words);
}

/* Every file of README.json's "keys", with its password and no other. */
static void
test_fixtures_open (void)
{
  static const struct {
    const char *format, *origin;
  } origins[] = {
    { "pkcs1-pem", "pem" },      { "pkcs8-pem", "pem" },           { "pkcs8-der", "der" },
    { "pkcs12", "pkcs12" },      { "capi-blob", "capi" },          { "pvk", "pvk" },
    { "bcrypt-blob", "bcrypt" }, { "rsakeyvalue", "rsakeyvalue" }, { "jwk", "jwk" },
  };
  g_autoptr (JsonArray) list = key_fixture_list ("keys");

  g_assert_cmpuint (json_array_get_length (list), ==, 17);
  for (guint i = 0; i < json_array_get_length (list); i++)
    {
      JsonObject *entry = json_array_get_object_element (list, i);
      const char *name = json_object_get_string_member (entry, "file");
      const char *format = json_object_get_string_member (entry, "format"), *origin = NULL;
      const char *password = json_object_get_string_member_with_default (entry, "password", NULL);
      g_autoptr (GBytes) file = key_fixture (name);

      g_test_message ("%s", name);
      for (guint k = 0; k < G_N_ELEMENTS (origins); k++)
        if (strcmp (origins[k].format, format) == 0)
          origin = origins[k].origin;
      g_assert_nonnull (origin);
      assert_opens (file, password != NULL ? password : "never asked", password != NULL ? 1 : 0, origin,
                    json_object_get_string_member (entry, "fingerprint"));
      if (password != NULL)
        {
          assert_refused (file, "not it", TPD_ERROR_PASSWORD, "password");
          assert_refused (file, NULL, TPD_ERROR_PASSWORD, "password");
        }
    }
}

/* RC4 as published, in place. */
static void
arcfour (const guint8 key[16], guint8 *data, gsize len)
{
  guint8 state[256], i = 0, j = 0, swap;

  for (guint k = 0; k < 256; k++)
    state[k] = (guint8) k;
  for (guint k = 0; k < 256; k++)
    {
      j = (guint8) (j + state[k] + key[k % 16]);
      swap = state[k], state[k] = state[j], state[j] = swap;
    }
  j = 0;
  for (gsize k = 0; k < len; k++)
    {
      j = (guint8) (j + state[++i]);
      swap = state[i], state[i] = state[j], state[j] = swap;
      data[k] ^= state[(guint8) (state[i] + state[j])];
    }
}

/* An encrypted PVK around a blob of the fixtures, its key the digest of the
 * password alone, of which `strength` bytes are used. */
static GBytes *
pvk_without_salt (const char *password, gsize strength)
{
  static const guint8 head[] = { 0x1e, 0xf1, 0xb5, 0xb0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0 };
  g_autoptr (GBytes) blob = key_fixture ("alt/onprem.capi-keyx.bin");
  g_autoptr (GChecksum) sha1 = g_checksum_new (G_CHECKSUM_SHA1);
  const gsize len = g_bytes_get_size (blob);
  const guint8 size[] = { (guint8) len, (guint8) (len >> 8), 0, 0 };
  GByteArray *file = g_byte_array_new ();
  guint8 digest[20];
  gsize digest_len = sizeof digest;

  g_checksum_update (sha1, (const guchar *) password, (gssize) strlen (password));
  g_checksum_get_digest (sha1, digest, &digest_len);
  memset (digest + strength, 0, sizeof digest - strength);
  g_byte_array_append (file, head, sizeof head);
  g_byte_array_append (file, size, sizeof size);
  g_byte_array_append (file, g_bytes_get_data (blob, NULL), (guint) len);
  arcfour (digest, file->data + sizeof head + sizeof size + 8, len - 8);
  return g_byte_array_free_to_bytes (file);
}

static void
test_pvk_without_salt (void)
{
  static const gsize strengths[] = { 16, 5 };

  for (guint i = 0; i < G_N_ELEMENTS (strengths); i++)
    {
      g_autoptr (GBytes) file = pvk_without_salt ("Secret1", strengths[i]);

      assert_opens (file, "Secret1", 1, "pvk", ONPREM);
      assert_refused (file, "not it", TPD_ERROR_PASSWORD, "password");
      assert_refused (file, "", TPD_ERROR_PASSWORD, "password");
    }
}

/* `text` with all `what` replaced, of which there are some. */
static char *
replaced (const char *text, const char *what, const char *with)
{
  g_auto (GStrv) pieces = g_strsplit (text, what, -1);

  g_assert_cmpuint (g_strv_length (pieces), >, 1);
  return g_strjoinv (with, pieces);
}

static char *
fixture_text (const char *name)
{
  g_autoptr (GBytes) file = key_fixture (name);

  return g_strndup (g_bytes_get_data (file, NULL), g_bytes_get_size (file));
}

static void
assert_text_opens (const char *text, const char *origin)
{
  g_autoptr (GBytes) file = g_bytes_new_static (text, strlen (text));

  assert_opens (file, "never asked", 0, origin, ONPREM);
}

static void
test_rsakeyvalue_with_white_space (void)
{
  static const char *const names[] = { "Modulus", "Exponent", "D", "P", "Q" };
  g_autofree char *text = fixture_text ("alt/onprem.rsakeyvalue.xml");
  g_autofree char *hidden = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *start = g_strdup_printf ("<%s>", names[i]), *end = g_strdup_printf ("</%s>", names[i]);
      g_autofree char *loose_start = g_strdup_printf ("<%s \r\n>\n  ", names[i]);
      g_autofree char *loose_end = g_strdup_printf ("\n</%s\t>\n", names[i]);
      g_autofree char *once = replaced (text, start, loose_start);
      char *twice = replaced (once, end, loose_end);

      g_free (text);
      text = twice;
    }
  assert_text_opens (text, "rsakeyvalue");
  hidden = replaced (text, "<Modulus", "<XModulus");
  assert_text_refused (hidden, TPD_ERROR_KEY_FILE, "incomplete");
}

/* The numbers of a JWK in the base64 that is not that of JOSE. */
static char *
jwk_in_standard_base64 (gboolean padded)
{
  g_autofree char *text = fixture_text ("alt/onprem.jwk.json");
  g_autoptr (JsonParser) parser = json_parser_new ();
  GString *out = g_string_new ("{\"kty\":\"RSA\"");
  JsonObject *object;
  g_autoptr (GList) members = NULL;

  g_assert_true (json_parser_load_from_data (parser, text, -1, NULL));
  object = json_node_get_object (json_parser_get_root (parser));
  members = json_object_get_members (object);
  for (GList *l = members; l != NULL; l = l->next)
    {
      g_autofree char *value = g_strdup (json_object_get_string_member (object, l->data));

      if (strcmp (l->data, "kty") == 0)
        continue;
      g_strdelimit (value, "-", '+');
      g_strdelimit (value, "_", '/');
      g_string_append_printf (out, ",\"%s\":\"%s%s\"", (const char *) l->data, value,
                              !padded || strlen (value) % 4 == 0 ? ""
                              : strlen (value) % 4 == 2          ? "=="
                                                                 : "=");
    }
  g_string_append (out, "}");
  return g_string_free (out, FALSE);
}

static void
test_jwk_in_other_base64 (void)
{
  g_autofree char *padded = jwk_in_standard_base64 (TRUE), *bare = jwk_in_standard_base64 (FALSE);
  g_autofree char *too_much = NULL, *inside = NULL;

  g_assert_true (strchr (padded, '=') != NULL && strpbrk (padded, "+/") != NULL);
  assert_text_opens (padded, "jwk");
  assert_text_opens (bare, "jwk");
  too_much = replaced (padded, "=\"", "==\"");
  assert_text_refused (too_much, TPD_ERROR_KEY_FILE, "file: ");
  inside = replaced (bare, "\"n\":\"", "\"n\":\"=");
  assert_text_refused (inside, TPD_ERROR_KEY_FILE, "file: ");
}

static void
test_jwk_of_key_vault (void)
{
  g_autofree char *text = fixture_text ("alt/onprem.jwk.json");
  g_autofree char *wrapped =
      g_strconcat ("{\"attributes\": {\"enabled\": true, \"x\": [1, {}]}, \"key\": ", text, ", \"tags\": null}", NULL);
  g_autofree char *deeper = g_strconcat ("{\"key\": {\"key\": ", text, "}}", NULL);
  g_autofree char *list = g_strconcat ("{\"key\": [", text, "]}", NULL);

  assert_text_opens (wrapped, "jwk");
  assert_text_refused (deeper, TPD_ERROR_KEY_FILE, "holds no key");
  assert_text_refused (list, TPD_ERROR_KEY_FILE, "holds no key");
  assert_text_refused ("{\"key\":\"kty\"}", TPD_ERROR_KEY_FILE, "holds no key");
  assert_text_refused ("{\"key\":{\"kty\":\"RSA-HSM\",\"n\":\"AQAB\",\"e\":\"AQAB\"}}", TPD_ERROR_KEY_UNUSABLE, "HSM");
  assert_text_refused ("{\"key\":{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}}", TPD_ERROR_KEY_UNUSABLE,
                       "private key too");
}

static void
test_tpd_is_recognised (void)
{
  TestPassword password = { "Correct-Horse-7", 0 };
  g_autoptr (GBytes) file = key_fixture ("variants/mixed-kdf.xml");
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = read_key (file, &password, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (key_at (keys, 0)->info->origin, ==, "tpd");
  g_assert_cmpstr (key_at (keys, 0)->info->guid, ==, "04f83314-0efd-4d98-b609-17c4b389b980");
}

static void
test_old_ciphers (void)
{
  static const struct {
    const char *base64, *origin;
  } cases[] = {
    { rc2_p12, "pkcs12" }, { windows_p12, "pkcs12" }, { rc4_p12, "pkcs12" }, { dek_des, "pem" },
    { dek_des3, "pem" },   { dek_aes128, "pem" },     { pbes1_der, "der" },  { scrypt_der, "der" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GBytes) file = vector (cases[i].base64);

      g_test_message ("%u", i);
      assert_opens (file, VECTOR_PASSWORD, 1, cases[i].origin, MODE1);
      assert_refused (file, "not it", TPD_ERROR_PASSWORD, "password");
    }
}

static void
test_without_legacy_provider (void)
{
  if (g_test_subprocess ())
    {
      g_autoptr (GBytes) rc2 = vector (rc2_p12);
      g_autoptr (GBytes) windows = vector (windows_p12);
      g_autoptr (GBytes) des = vector (dek_des);

      g_setenv ("OPENSSL_MODULES", "/nonexistent", TRUE);
      assert_refused (rc2, VECTOR_PASSWORD, TPD_ERROR_KEY_FILE, "openssl-provider-legacy");
      assert_refused (des, VECTOR_PASSWORD, TPD_ERROR_KEY_FILE, "openssl-provider-legacy");
      /* Only its certificates need the old cipher. */
      assert_opens (windows, VECTOR_PASSWORD, 1, "pkcs12", MODE1);
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_passed ();
}

static void
test_pkcs12_without_password (void)
{
  g_autoptr (GBytes) empty = vector (empty_p12);
  g_autoptr (GBytes) plain = vector (plain_p12);

  assert_opens (empty, "never asked", 0, "pkcs12", MODE1);
  assert_opens (plain, "whatever", 1, "pkcs12", MODE1);
}

static void
test_pem_of_4096_bits (void)
{
  g_autoptr (GBytes) file = vector (rsa4096_pem);

  assert_opens (file, "never asked", 0, "pem", RSA4096_FINGERPRINT);
}

static void
test_pem_of_several_keys (void)
{
  g_autoptr (GBytes) one = key_fixture ("alt/onprem.pkcs8-encrypted.pem");
  g_autoptr (GBytes) two = vector (certificate_pem);
  g_autoptr (GBytes) three = vector (dek_aes128);
  g_autoptr (GByteArray) all = g_byte_array_new ();
  g_autoptr (GBytes) file = NULL;
  g_autoptr (GPtrArray) keys = NULL;
  g_autoptr (GError) error = NULL;
  TestPassword password = { VECTOR_PASSWORD, 0 };

  g_byte_array_append (all, (const guint8 *) "Bag Attributes: <none>\n", 23);
  g_byte_array_append (all, g_bytes_get_data (one, NULL), (guint) g_bytes_get_size (one));
  g_byte_array_append (all, g_bytes_get_data (two, NULL), (guint) g_bytes_get_size (two));
  g_byte_array_append (all, g_bytes_get_data (three, NULL), (guint) g_bytes_get_size (three));
  file = g_byte_array_free_to_bytes (g_steal_pointer (&all));
  keys = read_key (file, &password, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (keys->len, ==, 2);
  assert_fingerprint (&key_at (keys, 0)->info->public_key, ONPREM);
  assert_fingerprint (&key_at (keys, 1)->info->public_key, MODE1);
  g_assert_cmpuint (password.asked, ==, 1);
}

/* Notepad saves "Unicode" when asked to. */
static void
test_text_in_utf16 (void)
{
  static const char *const files[] = { "alt/mode1.pkcs1.pem", "alt/onprem.rsakeyvalue.xml", "alt/onprem.jwk.json" };
  static const char *const origins[] = { "pem", "rsakeyvalue", "jwk" };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autoptr (GBytes) utf8 = key_fixture (files[i]);
      g_autoptr (GBytes) file = NULL;
      gsize len;
      char *utf16 = g_convert (g_bytes_get_data (utf8, NULL), (gssize) g_bytes_get_size (utf8), "UTF-16", "UTF-8", NULL,
                               &len, NULL);

      g_assert_cmpmem (utf16, 2, "\xff\xfe", 2);
      file = g_bytes_new_take (utf16, len);
      assert_opens (file, "never asked", 0, origins[i], i == 0 ? MODE1 : ONPREM);
    }
}

static void
test_cost_is_bounded (void)
{
  g_autoptr (GBytes) file = vector (slow_der);

  assert_refused (file, VECTOR_PASSWORD, TPD_ERROR_KEY_FILE, "rounds");
}

static void
test_other_algorithms_are_named (void)
{
  g_autoptr (GBytes) pem = vector (ec_pem);
  g_autoptr (GBytes) pkcs8 = vector (ec_pkcs8_pem);
  g_autoptr (GBytes) der = vector (ec_der);

  assert_refused (pem, "x", TPD_ERROR_KEY_UNUSABLE, "EC PRIVATE KEY");
  assert_refused (pkcs8, "x", TPD_ERROR_KEY_UNUSABLE, "id-ecPublicKey");
  assert_refused (der, "x", TPD_ERROR_KEY_UNUSABLE, "elliptic");
  assert_text_refused ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
                       TPD_ERROR_KEY_UNUSABLE, "ssh-keygen");
  assert_text_refused ("{\"kty\":\"EC\",\"crv\":\"P-256\",\"d\":\"AA\"}", TPD_ERROR_KEY_UNUSABLE, "RSA");
}

static void
test_public_parts_are_named (void)
{
  static const char *const vectors[] = { public_der, rsa_public_der, certificate_der, certificate_pem };
  static const guint8 capi[] = { 6, 2, 0, 0, 0, 0xa4, 0, 0, 'R', 'S', 'A', '1', 0, 4, 0, 0, 1, 0, 1, 0 };
  static const guint8 bcrypt[24] = "RSA1";
  g_autoptr (GBytes) capi_file = g_bytes_new_static (capi, sizeof capi);
  g_autoptr (GBytes) bcrypt_file = g_bytes_new_static (bcrypt, sizeof bcrypt);
  g_autoptr (GBytes) p12 = vector (cert_only_p12);

  for (guint i = 0; i < G_N_ELEMENTS (vectors); i++)
    {
      g_autoptr (GBytes) file = vector (vectors[i]);
      assert_refused (file, "x", TPD_ERROR_KEY_UNUSABLE, "private key too");
    }
  assert_refused (p12, VECTOR_PASSWORD, TPD_ERROR_KEY_UNUSABLE, "private key too");
  assert_refused (capi_file, "x", TPD_ERROR_KEY_UNUSABLE, "private key too");
  assert_refused (bcrypt_file, "x", TPD_ERROR_KEY_UNUSABLE, "private key too");
  assert_text_refused ("<RSAKeyValue><Modulus>AQAB</Modulus><Exponent>AQAB</Exponent></RSAKeyValue>",
                       TPD_ERROR_KEY_UNUSABLE, "private key too");
  assert_text_refused ("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"key_ops\":[\"encrypt\",{\"a\":[\"]\"]}]}",
                       TPD_ERROR_KEY_UNUSABLE, "private key too");
}

static void
test_artefacts_are_named (void)
{
  static const char tud[] = "\1\2\0\0\xff<\0X\0r\0M\0L\0 \0v\0e\0r\0s\0i\0o\0n\0";
  g_autoptr (GBytes) tud_file = g_bytes_new_static (tud, sizeof tud);

  assert_text_refused ("{\"schema_version\": \"1.0.0\", \"header\": {\"kid\": \"https://v.vault.azure.net/keys/k/1\", "
                       "\"alg\": \"dir\", \"enc\": \"CKM_RSA_AES_KEY_WRAP\"}, \"ciphertext\": \"AAAA\"}",
                       TPD_ERROR_KEY_UNUSABLE, ".byok");
  assert_text_refused ("JkF6dXJlS2V5VmF1bHRLZXlCYWNrdXBWMS5taWNyb3NvZnQuY29tZXlK", TPD_ERROR_KEY_UNUSABLE, "Key Vault");
  assert_text_refused ("{\"value\":\"JkF6dXJlS2V5VmF1bHRLZXlCYWNrdXBWMS5taWNyb3NvZnQuY29tZXlK\"}",
                       TPD_ERROR_KEY_UNUSABLE, "Key Vault");
  assert_text_refused ("&AzureKeyVaultKeyBackupV1.microsoft.comeyJ", TPD_ERROR_KEY_UNUSABLE, "Key Vault");
  assert_text_refused ("<?xml version=\"1.0\"?>\n<x:EncryptedData xmlns:x=\"http://www.w3.org/2001/04/xmlenc#\">"
                       "<x:CipherData/></x:EncryptedData>",
                       TPD_ERROR_KEY_UNUSABLE, "AadrmTpd.exe -key");
  assert_text_refused ("<Package><X509SKI>AAAA</X509SKI></Package>", TPD_ERROR_KEY_UNUSABLE, "AadrmTpd.exe -key");
  assert_text_refused ("{ // comment\n \"TestKeys\": [ { \"PrivatePem\": \"MII\" } ] }", TPD_ERROR_KEY_UNUSABLE,
                       "double key");
  assert_text_refused ("<XrML version=\"1.2\"><BODY/></XrML>", TPD_ERROR_KEY_UNUSABLE, "trusted publishing domain");
  assert_refused (tud_file, "x", TPD_ERROR_KEY_UNUSABLE, "trusted user domain");
}

static void
test_no_key_file (void)
{
  static const char *const texts[] = {
    "",
    "secret",
    "0",
    "<html></html>",
    "{",
    "{}",
    "{\"a\":1,}",
    "{\"a\":\"b\"} x",
    "-----BEGIN PRIVATE KEY-----\n",
    "-----BEGIN RSA PRIVATE KEY-----\n!!!!\n-----END RSA PRIVATE KEY-----\n",
    "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: x\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    "<RSAKeyValue><Modulus>AQAB</Modulus><Exponent>AQAB</Exponent><D>AQAB</D></RSAKeyValue>",
    "<RSAKeyValue></RSAKeyValue>",
  };
  g_autofree guint8 *large = g_malloc0 (2 * 1024 * 1024);
  g_autoptr (GBytes) file = g_bytes_new_static (large, 2 * 1024 * 1024);

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_test_message ("%s", texts[i]);
      assert_text_refused (texts[i], TPD_ERROR_KEY_FILE, "file: ");
    }
  assert_refused (file, "x", TPD_ERROR_KEY_FILE, "too large");
}

/* Damaged copies are refused, or the damage is where nothing of the key is. */
static void
check_damaged (const guint8 *data, gsize len, const char *password_text, const char *fingerprint)
{
  TestPassword password = { password_text, 0 };
  g_autofree guint8 *copy = g_memdup2 (data, MAX (len, 1)); /* so that ASan sees the end */
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) keys = tpd_key_file_read ("a file", copy, len, test_password, &password, &error);

  g_assert_cmpuint (password.asked, <=, 1);
  if (keys == NULL)
    {
      assert_sentence (error, "a file");
      return;
    }
  g_assert_no_error (error);
  for (guint i = 0; i < keys->len; i++)
    assert_fingerprint (&key_at (keys, i)->info->public_key, fingerprint);
}

static void
damage_everywhere (GBytes *file, const char *password, const char *fingerprint, gsize truncate_step, gsize flip_step)
{
  gsize len;
  const guint8 *data = g_bytes_get_data (file, &len);
  g_autofree guint8 *copy = g_memdup2 (data, len);

  for (gsize n = 0; n < len; n += truncate_step)
    check_damaged (data, n, password, fingerprint);
  for (gsize i = 0; i < len; i += flip_step)
    {
      copy[i] ^= (guint8) (1 << (i % 8));
      check_damaged (copy, len, password, fingerprint);
      copy[i] = data[i];
    }
}

static void
test_damage_never_crashes (void)
{
  static const char *const rare[] = { rc2_p12, rc4_p12, empty_p12, plain_p12, dek_des, dek_aes128, pbes1_der };
  g_autoptr (JsonArray) list = key_fixture_list ("keys");

  for (guint i = 0; i < json_array_get_length (list); i++)
    {
      JsonObject *entry = json_array_get_object_element (list, i);
      const char *password = json_object_get_string_member_with_default (entry, "password", "x");
      const char *format = json_object_get_string_member (entry, "format");
      g_autoptr (GBytes) file = key_fixture (json_object_get_string_member (entry, "file"));
      /* A derivation of many rounds for each try. */
      gboolean slow = strcmp (format, "pkcs12") == 0;

      damage_everywhere (file, password, json_object_get_string_member (entry, "fingerprint"), slow ? 61 : 7,
                         slow ? 23 : 3);
    }
  for (guint i = 0; i < G_N_ELEMENTS (rare); i++)
    {
      g_autoptr (GBytes) file = vector (rare[i]);

      damage_everywhere (file, VECTOR_PASSWORD, MODE1, 17, 5);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  tpd_secret_init (64 * 1024);
  g_test_add_func ("/keyfile/fixtures-open-with-their-password", test_fixtures_open);
  g_test_add_func ("/keyfile/pvk-without-salt", test_pvk_without_salt);
  g_test_add_func ("/keyfile/rsakeyvalue-with-white-space", test_rsakeyvalue_with_white_space);
  g_test_add_func ("/keyfile/jwk-in-other-base64", test_jwk_in_other_base64);
  g_test_add_func ("/keyfile/jwk-of-key-vault", test_jwk_of_key_vault);
  g_test_add_func ("/keyfile/tpd-is-recognised", test_tpd_is_recognised);
  g_test_add_func ("/keyfile/old-ciphers-open", test_old_ciphers);
  g_test_add_func ("/keyfile/missing-legacy-provider-is-named", test_without_legacy_provider);
  g_test_add_func ("/keyfile/pkcs12-without-password", test_pkcs12_without_password);
  g_test_add_func ("/keyfile/pem-of-4096-bits", test_pem_of_4096_bits);
  g_test_add_func ("/keyfile/pem-of-several-keys-asks-once", test_pem_of_several_keys);
  g_test_add_func ("/keyfile/text-in-utf16", test_text_in_utf16);
  g_test_add_func ("/keyfile/cost-of-derivation-is-bounded", test_cost_is_bounded);
  g_test_add_func ("/keyfile/other-algorithms-are-named", test_other_algorithms_are_named);
  g_test_add_func ("/keyfile/public-parts-are-named", test_public_parts_are_named);
  g_test_add_func ("/keyfile/unusable-artefacts-are-named", test_artefacts_are_named);
  g_test_add_func ("/keyfile/no-key-file-is-refused", test_no_key_file);
  g_test_add_func ("/keyfile/damage-never-crashes-or-changes-the-key", test_damage_never_crashes);
  return g_test_run ();
}
