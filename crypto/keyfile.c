/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognises a key file by its content and hands it to the reader of its
 * wrapping; says what an artefact is that can never give a key, for people who
 * saved the wrong file must learn it while the right one still exists.
 */
#include "crypto/keyfile.h"

#include <string.h>

#include "base/error.h"
#include "crypto/key_text.h"
#include "crypto/keyfile_private.h"
#include "crypto/token_key.h"

#define CAPI_HEADER_LEN 12
#define STRONG_NAME_PREFIX_LEN 12

void
tpd_loaded_key_free (TpdLoadedKey *loaded)
{
  if (loaded == NULL)
    return;
  tpd_key_info_free (loaded->info);
  tpd_private_key_unref (loaded->key);
  tpd_token_key_unref (loaded->token);
  g_free (loaded);
}

const TpdPublicKey *
tpd_loaded_key_held (const TpdLoadedKey *loaded)
{
  if (loaded->key != NULL)
    return tpd_private_key_public (loaded->key);
  return loaded->token != NULL ? tpd_token_key_operation (loaded->token)->public_key : NULL;
}

const TpdSecret *
tpd_key_reader_password (TpdKeyReader *reader, GError **error)
{
  if (reader->password == NULL && reader->ask == NULL)
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_PASSWORD, "This key file needs a password");
  else if (reader->password == NULL)
    reader->password = reader->ask (reader->user_data, error);
  return reader->password;
}

static char **
empty_list (void)
{
  return g_new0 (char *, 1);
}

gboolean
tpd_key_reader_add (TpdKeyReader *reader, TpdPrivateKey *key, const char *origin, GError **error)
{
  TpdLoadedKey *loaded;
  TpdKeyInfo *info;

  if (key == NULL)
    return FALSE;
  if (reader->keys->len == TPD_KEY_FILE_KEYS_MAX)
    {
      tpd_private_key_unref (key);
      g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE, "The key file holds more than %d keys", TPD_KEY_FILE_KEYS_MAX);
      return FALSE;
    }
  info = g_new0 (TpdKeyInfo, 1);
  info->state = TPD_KEY_HELD;
  info->public_key = *tpd_private_key_public (key);
  info->name = g_strdup (reader->name);
  info->origin = g_strdup (origin);
  info->urls = empty_list ();
  info->certificates = empty_list ();
  info->templates = empty_list ();
  info->warnings = empty_list ();
  loaded = g_new0 (TpdLoadedKey, 1);
  loaded->info = info;
  loaded->key = key;
  g_ptr_array_add (reader->keys, loaded);
  return TRUE;
}

gboolean
tpd_key_reader_add_parts (TpdKeyReader *reader, const TpdPrivateKeyParts *parts, const char *origin, GError **error)
{
  return tpd_key_reader_add (reader, tpd_private_key_new (parts, error), origin, error);
}

static gboolean
unusable (GError **error, const char *sentence)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE, sentence);
  return FALSE;
}

gboolean
tpd_key_reader_public_only (GError **error)
{
  return unusable (error, "The file holds certificates or public keys only, which decrypt nothing. Export the private "
                          "key too");
}

/* A CAPI blob, private or public, by its header. */
static gboolean
is_capi (const guint8 *data, gsize len)
{
  return len >= CAPI_HEADER_LEN && (data[0] == 0x07 || data[0] == 0x06) && data[1] == 0x02 && data[2] == 0
         && data[3] == 0 && data[4] == 0 && (data[5] == 0xa4 || data[5] == 0x24) && memcmp (data + 8, "RSA", 3) == 0;
}

static gboolean
read_xml (TpdKeyReader *reader, const TpdSecret *text, const char *root, GError **error)
{
  if (strcmp (root, "RSAKeyValue") == 0)
    return tpd_key_read_rsakeyvalue (reader, text, error);
  if (tpd_key_text_find (text, 0, "EncryptedData") >= 0 || tpd_key_text_find (text, 0, "EncryptedKey") >= 0
      || tpd_key_text_find (text, 0, "X509SKI") >= 0)
    return unusable (error, "This is the package in which Azure delivers a key, still sealed for the transport. Run "
                            "\"AadrmTpd.exe -key PrivateKey-GUID.txt -target TPD-GUID.xml\" on Windows first and load "
                            "the ExportedTPD-GUID.xml that it writes, with the password from Password-GUID.txt");
  if (strcmp (root, "XrML") == 0)
    return unusable (error, "This is a license or certificate in XrML and holds no private key. Export the trusted "
                            "publishing domain of the server");
  g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE, "This XML file is no key file (its root is %s)", root);
  return FALSE;
}

/* Microsoft's name for it is in clear in the export, in UTF-16 or in UTF-8. */
static gboolean
has_xrml (const guint8 *data, gsize len)
{
  static const char wide[] = "<\0X\0r\0M\0L";

  return memmem (data, len, "<XrML", 5) != NULL || memmem (data, len, wide, sizeof wide - 1) != NULL;
}

static gboolean
read_text (TpdKeyReader *reader, const char *peek, const guint8 *data, gsize len, GError **error)
{
  g_autofree char *root = tpd_key_text_xml_root (peek);
  g_autoptr (TpdSecret) text = NULL;
  char first = peek[strspn (peek, " \t\r\n")];

  if (first == '<' || first == '{' || strstr (peek, "-----BEGIN ") != NULL)
    {
      text = tpd_key_text_new (data, len);
      if (text != NULL && root != NULL)
        return read_xml (reader, text, root, error);
      if (text != NULL && first == '{')
        return tpd_key_read_json (reader, text, error);
      if (text != NULL && strstr (peek, "-----BEGIN ") != NULL)
        return tpd_key_read_pem (reader, text, error);
    }
  if (g_str_has_prefix (peek, TPD_KEY_VAULT_BACKUP) || g_str_has_prefix (peek, "&AzureKeyVau"))
    return unusable (error, "This is a backup of Azure Key Vault, sealed to Azure: it can only be restored there. Use "
                            "the original that was imported into the vault");
  if (has_xrml (data, len))
    return unusable (error, "This is the export of a trusted user domain or another file of certificates: it holds no "
                            "private key. Export the trusted publishing domain of the server");
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE,
                       "This is no key file, or it is damaged: known are trusted publishing domains (XML), PEM, DER, "
                       "PKCS#12, PVK, CAPI and BCRYPT blobs, RSAKeyValue and JWK");
  return FALSE;
}

static gboolean
read_any (TpdKeyReader *reader, const guint8 *data, gsize len, GError **error)
{
  g_autoptr (TpdSecret) peek = NULL;

  if (len == 0 || len > TPD_KEY_FILE_MAX)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE,
                           len == 0 ? "The key file is empty" : "The file is too large for a key file");
      return FALSE;
    }
  if (is_capi (data, len))
    return tpd_key_read_capi (reader, data, len, "capi", error);
  if (len > STRONG_NAME_PREFIX_LEN && is_capi (data + STRONG_NAME_PREFIX_LEN, len - STRONG_NAME_PREFIX_LEN))
    return tpd_key_read_capi (reader, data + STRONG_NAME_PREFIX_LEN, len - STRONG_NAME_PREFIX_LEN, "capi", error);
  if (len >= 4 && memcmp (data, "\x1e\xf1\xb5\xb0", 4) == 0)
    return tpd_key_read_pvk (reader, data, len, error);
  if (len >= 4 && memcmp (data, "RSA", 3) == 0 && data[3] >= '1' && data[3] <= '3')
    return tpd_key_read_bcrypt (reader, data, len, error);
  if (len >= 2 && data[0] == 0x30 && (data[1] >= 0x80 || data[1] + 2u == len))
    return tpd_key_read_der (reader, data, len, error);
  peek = tpd_key_text_peek (data, len, TPD_KEY_PEEK);
  return read_text (reader, (const char *) peek->data, data, len, error);
}

GPtrArray *
tpd_key_file_read (const char *name, const guint8 *data, gsize len, TpdPasswordFunc password, gpointer user_data,
                   GError **error)
{
  g_autoptr (GPtrArray) keys = NULL;
  TpdKeyReader reader = { .name = name, .ask = password, .user_data = user_data };
  gboolean ok;

  if (tpd_tpd_file_detect (data, len))
    return tpd_tpd_file_read (name, data, len, password, user_data, error);
  keys = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_loaded_key_free);
  reader.keys = keys;
  ok = read_any (&reader, data, len, error);
  g_clear_pointer (&reader.password, tpd_secret_unref);
  if (!ok)
    {
      g_prefix_error (error, "%s: ", name);
      return NULL;
    }
  return g_steal_pointer (&keys);
}
