/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encryption of a trusted publishing domain (docs/formats.md, "TPD"): two
 * ways from password to key, both without salt, and AES-128-CBC with a fixed
 * IV and no MAC. Callers must therefore judge by content.
 */
#include <openssl/err.h>
#include <openssl/evp.h>

#include "crypto/password.h"
#include "crypto/provider.h"
#include "crypto/tpd_file_private.h"

#define KDF1_ROUNDS 100

G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_CIPHER, EVP_CIPHER_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_CIPHER_CTX, EVP_CIPHER_CTX_free)

TpdSecret *
tpd_file_derive_key (guint kdf, const TpdSecret *password)
{
  g_autoptr (TpdSecret) digest = NULL;

  if (kdf == 1)
    {
      /* .NET PasswordDeriveBytes with its defaults, first block only. */
      digest = tpd_secret_new (NULL, TPD_SHA1_SIZE);
      tpd_sha1 (password->data, password->len, digest->data);
      for (int i = 1; i < KDF1_ROUNDS; i++)
        tpd_sha1 (digest->data, TPD_SHA1_SIZE, digest->data);
    }
  else
    {
      g_autoptr (TpdSecret) utf16 = tpd_password_utf16 (password);

      if (utf16 == NULL)
        return NULL;
      digest = tpd_secret_new (NULL, TPD_SHA256_SIZE);
      tpd_sha256 (utf16->data, utf16->len, digest->data);
    }
  return tpd_secret_new (digest->data, TPD_FILE_KEY_SIZE);
}

TpdSecret *
tpd_file_unseal (const TpdSecret *key, const guint8 *data, gsize len)
{
  static const guint8 iv[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
  g_autoptr (EVP_CIPHER) cipher = NULL;
  g_autoptr (EVP_CIPHER_CTX) context = EVP_CIPHER_CTX_new ();
  g_autoptr (TpdSecret) plain = NULL;
  int n = 0, last = 0;
  gboolean ok;

  if (len == 0 || len % 16 != 0 || len > TPD_FILE_MAX || key->len != TPD_FILE_KEY_SIZE)
    return NULL;
  plain = tpd_secret_new (NULL, len);
  ERR_set_mark ();
  cipher = EVP_CIPHER_fetch (tpd_openssl_context (), "AES-128-CBC", NULL);
  ok = context != NULL && cipher != NULL && EVP_DecryptInit_ex2 (context, cipher, key->data, iv, NULL) == 1
       && EVP_DecryptUpdate (context, plain->data, &n, data, (int) len) == 1
       && EVP_DecryptFinal_ex (context, plain->data + n, &last) == 1;
  ERR_pop_to_mark ();
  if (!ok)
    return NULL;
  plain->len = (gsize) n + (gsize) last;
  plain->data[plain->len] = '\0';
  return g_steal_pointer (&plain);
}
