/* SPDX-License-Identifier: Apache-2.0 */
/* Password-based encryption of key files: see crypto/keyfile_pbe.h. */
#include "crypto/keyfile_pbe.h"

#include <string.h>

#include <openssl/asn1.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include "base/bytes.h"
#include "base/error.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_CIPHER, EVP_CIPHER_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_MD, EVP_MD_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)

static gboolean have_legacy; /* set before tpd_pbe_context() returns */

OSSL_LIB_CTX *
tpd_pbe_context (void)
{
  static OSSL_LIB_CTX *context; /* atomic, by g_once */

  if (g_once_init_enter (&context))
    {
      OSSL_LIB_CTX *made = OSSL_LIB_CTX_new ();

      if (made == NULL || OSSL_PROVIDER_load (made, "default") == NULL)
        g_error ("OpenSSL's default provider cannot be loaded");
      ERR_set_mark ();
      have_legacy = OSSL_PROVIDER_load (made, "legacy") != NULL;
      ERR_pop_to_mark ();
      g_once_init_leave (&context, made);
    }
  return context;
}

static void
set_unknown_cipher (GError **error)
{
  if (have_legacy)
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE,
                         "It is encrypted in a way that OpenSSL does not know. Export the key again with AES");
  else
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE,
                         "It is encrypted with an old cipher (RC2, RC4 or DES) that needs OpenSSL's legacy provider, "
                         "which is not installed. Install the Debian package openssl-provider-legacy, on Debian 12 "
                         "libssl3, or export the key again with AES");
}

static void
set_wrong_password (GError **error)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_PASSWORD,
                       "The password does not open this key file, or the file is damaged: check that the password "
                       "belongs to this file; in PowerShell \"$\" in double quotes is replaced");
}

/* Whether the OpenSSL errors since the mark say that a cipher or digest is
 * missing, rather than that the decryption failed. */
static gboolean
errors_say_unsupported (void)
{
  unsigned long code;

  while ((code = ERR_get_error ()) != 0)
    {
      int reason = ERR_GET_REASON (code);

      if (reason == ERR_R_UNSUPPORTED
          || (ERR_GET_LIB (code) == ERR_LIB_EVP
              && (reason == EVP_R_UNKNOWN_PBE_ALGORITHM || reason == EVP_R_UNKNOWN_CIPHER
                  || reason == EVP_R_UNSUPPORTED_CIPHER || reason == EVP_R_UNSUPPORTED_ALGORITHM
                  || reason == EVP_R_UNSUPPORTED_PRF || reason == EVP_R_UNKNOWN_DIGEST
                  || reason == EVP_R_UNSUPPORTED_KEY_DERIVATION_FUNCTION)))
        return TRUE;
    }
  return FALSE;
}

/*
 * Walks the parameters, stepping into what is constructed, and adds up every
 * INTEGER: rounds of PBKDF2 and PKCS#12, beside which the others are small. Of
 * scrypt (RFC 7914 7) they multiply. A file asks for an hour of work with one
 * of them, or with many derivations.
 */
static gboolean
cost_is_bounded (const X509_ALGOR *algorithm, guint64 *spent)
{
  /* 1.3.6.1.4.1.11591.4.11 */
  static const guint8 scrypt[] = { 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x04, 0x0b };
  gboolean multiply = FALSE;
  guint64 cost = 0;
  const void *value;
  int type;
  TpdBytes b;

  X509_ALGOR_get0 (NULL, &type, &value, algorithm);
  if (type != V_ASN1_SEQUENCE)
    return type == V_ASN1_UNDEF || type == V_ASN1_NULL;
  b = tpd_bytes (ASN1_STRING_get0_data (value), (gsize) ASN1_STRING_length (value));
  while (tpd_bytes_left (&b) > 0)
    {
      guint8 tag, first;
      gsize len;
      const guint8 *content;

      if (!tpd_bytes_take_u8 (&b, &tag) || !tpd_bytes_take_u8 (&b, &first))
        return FALSE;
      len = first & 0x7f;
      if ((first & 0x80) != 0)
        {
          const guint8 *digits;
          gsize n = len;

          if (n == 0 || n > 3 || !tpd_bytes_take (&b, n, &digits))
            return FALSE;
          len = 0;
          for (gsize i = 0; i < n; i++)
            len = len << 8 | digits[i];
        }
      if ((tag & V_ASN1_CONSTRUCTED) != 0)
        continue;
      if (!tpd_bytes_take (&b, len, &content))
        return FALSE;
      if (tag == V_ASN1_OBJECT && len == sizeof scrypt && memcmp (content, scrypt, len) == 0)
        {
          multiply = TRUE;
          cost = MAX (cost, 1);
        }
      if (tag == V_ASN1_INTEGER)
        {
          guint32 number = 0;

          if (len == 0 || len > 4 || (content[0] & 0x80) != 0)
            return FALSE;
          for (gsize i = 0; i < len; i++)
            number = number << 8 | content[i];
          cost = multiply ? cost * number : cost + number;
          if (cost > TPD_PBE_COST_MAX)
            return FALSE;
        }
    }
  return tpd_pbe_spend (spent, cost);
}

TpdSecret *
tpd_pbe_open (const X509_ALGOR *algorithm, const guint8 *data, gsize len, const TpdSecret *password, guint64 *spent,
              GError **error)
{
  OSSL_LIB_CTX *context = tpd_pbe_context ();
  TpdSecret *plain = NULL;
  unsigned char *out = NULL;
  int out_len = 0;

  if (!cost_is_bounded (algorithm, spent) || len > G_MAXINT / 2)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE,
                           "Its encryption asks for more rounds than any exporter does: it is damaged");
      return NULL;
    }
  ERR_clear_error ();
  if (PKCS12_pbe_crypt_ex (algorithm, password != NULL ? (const char *) password->data : NULL,
                           password != NULL ? (int) password->len : 0, data, (int) len, &out, &out_len, 0, context,
                           NULL)
          != NULL
      && out_len >= 0)
    {
      plain = tpd_secret_new (out, (gsize) out_len);
      OPENSSL_clear_free (out, (size_t) out_len);
    }
  else if (errors_say_unsupported ())
    set_unknown_cipher (error);
  else
    set_wrong_password (error);
  ERR_clear_error ();
  return plain;
}

static gboolean
hex_to_iv (const char *hex, guint8 *iv, gsize len)
{
  if (strlen (hex) != 2 * len)
    return FALSE;
  for (gsize i = 0; i < len; i++)
    {
      int high = g_ascii_xdigit_value (hex[2 * i]), low = g_ascii_xdigit_value (hex[2 * i + 1]);

      if (high < 0 || low < 0)
        return FALSE;
      iv[i] = (guint8) (high << 4 | low);
    }
  return TRUE;
}

TpdSecret *
tpd_pbe_open_dek (const char *cipher_name, const char *iv_hex, const guint8 *data, gsize len, const TpdSecret *password,
                  GError **error)
{
  OSSL_LIB_CTX *context = tpd_pbe_context ();
  g_autoptr (EVP_CIPHER) cipher = NULL;
  g_autoptr (EVP_MD) md5 = NULL;
  g_autoptr (EVP_CIPHER_CTX) decryption = EVP_CIPHER_CTX_new ();
  g_autoptr (TpdSecret) key = tpd_secret_new (NULL, EVP_MAX_KEY_LENGTH);
  g_autoptr (TpdSecret) plain = tpd_secret_new (NULL, len + EVP_MAX_BLOCK_LENGTH);
  guint8 iv[EVP_MAX_IV_LENGTH];
  int n = 0, last = 0;
  gboolean ok;

  ERR_set_mark ();
  cipher = EVP_CIPHER_fetch (context, cipher_name, NULL);
  md5 = EVP_MD_fetch (context, "MD5", NULL);
  if (cipher == NULL || md5 == NULL || decryption == NULL)
    {
      ERR_pop_to_mark ();
      set_unknown_cipher (error);
      return NULL;
    }
  if (EVP_CIPHER_get_iv_length (cipher) < PKCS5_SALT_LEN
      || !hex_to_iv (iv_hex, iv, (gsize) EVP_CIPHER_get_iv_length (cipher)) || len > G_MAXINT / 2)
    {
      ERR_pop_to_mark ();
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE, "Its DEK-Info line is damaged");
      return NULL;
    }
  ok = EVP_BytesToKey (cipher, md5, iv, password->data, (int) password->len, 1, key->data, NULL) > 0
       && EVP_DecryptInit_ex2 (decryption, cipher, key->data, iv, NULL) == 1
       && EVP_DecryptUpdate (decryption, plain->data, &n, data, (int) len) == 1
       && EVP_DecryptFinal_ex (decryption, plain->data + n, &last) == 1;
  ERR_pop_to_mark ();
  if (!ok)
    {
      set_wrong_password (error);
      return NULL;
    }
  plain->len = (gsize) n + (gsize) last;
  return g_steal_pointer (&plain);
}
