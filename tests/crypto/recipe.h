/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENABLINGBITS that OpenSSL seals here for a key of its own: recipes of which a
 * test changes a field to see what happens.
 */
#pragma once

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

#include "crypto/enablingbits.h"

static EVP_PKEY *own;
static TpdPrivateKey *own_key;

static inline void
make_own_key (void)
{
  static const char *const names[] = { OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D,
                                       OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2 };
  guint8 bytes[5][128];
  gsize lens[5];
  g_autoptr (GError) error = NULL;

  own = EVP_RSA_gen (1024);
  g_assert_nonnull (own);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      BIGNUM *number = NULL;
      g_assert_true (EVP_PKEY_get_bn_param (own, names[i], &number));
      lens[i] = (gsize) BN_bn2bin (number, bytes[i]);
      BN_clear_free (number);
    }
  const TpdPrivateKeyParts parts = {
    .n = bytes[0],
    .e = bytes[1],
    .d = bytes[2],
    .p = bytes[3],
    .q = bytes[4],
    .n_len = lens[0],
    .e_len = lens[1],
    .d_len = lens[2],
    .p_len = lens[3],
    .q_len = lens[4],
  };
  own_key = tpd_private_key_new (&parts, &error);
  g_assert_no_error (error);
}

/* What is to be sealed; tests change a field and look. */
typedef struct {
  int padding; /* RSA_PKCS1_PADDING, RSA_PKCS1_OAEP_PADDING */
  gboolean sha256;
  guint8 message[128]; /* session key header and key */
  gsize message_len;
  guint8 body[4096 + 16]; /* enabling header, content key header, key, hash, fill */
  gsize body_len;
  gboolean reversed;
  TpdSealType type;
  const char *principals;
} Recipe;

static const guint8 content_key[32] = "the content key of this test....";
static const guint8 session_key[32] = "its session key, also 32 bytes..";

static inline gsize
put (guint8 *out, const void *data, gsize len)
{
  memcpy (out, data, len);
  return len;
}

/* [MS-RMPR] 2.2.9.1.13.1, an AES key. */
static inline gsize
put_key (guint8 *out, const guint8 *key, guint8 len, guint16 mode)
{
  const guint8 header[] = { (guint8) (12 + len), 0, mode & 0xff, mode >> 8, len, 0, 16, 0, 2, 0x10, 0, 0 };
  gsize n = put (out, header, sizeof header);
  return n + put (out + n, key, len);
}

static inline void
put_body (Recipe *r, guint8 version, guint8 key_len, const guint8 *hash)
{
  const guint8 hash_len = version == 1 ? 20 : 32;
  const guint8 header[16] = { version, 0, 0, 0, (guint8) (12 + key_len + hash_len) };
  gsize n = put (r->body, header, sizeof header);
  n += put_key (r->body + n, content_key, key_len, 0xfffd);
  memset (r->body + n, 0x5a, hash_len);
  if (hash)
    memcpy (r->body + n, hash, hash_len);
  n += hash_len;
  r->body_len = (n + 15) / 16 * 16;
}

static inline Recipe
recipe (guint8 version)
{
  Recipe r = { .padding = version == 1 ? RSA_PKCS1_PADDING : RSA_PKCS1_OAEP_PADDING,
               .type = version == 1 ? TPD_SEAL_V1 : TPD_SEAL_V2,
               .principals = "" };
  r.message_len = put_key (r.message, session_key, 16, 0xffff);
  put_body (&r, version, 32, NULL);
  return r;
}

static inline void
encrypt_body (const Recipe *r, guint8 *out)
{
  const gsize key_len = r->message[0] - 12u;
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new ();
  int len = 0;
  const EVP_CIPHER *cipher = key_len == 32   ? EVP_aes_256_ecb ()
                             : key_len == 24 ? EVP_aes_192_ecb ()
                                             : EVP_aes_128_ecb ();
  g_assert_true (EVP_EncryptInit_ex (context, cipher, NULL, session_key, NULL));
  EVP_CIPHER_CTX_set_padding (context, 0);
  g_assert_true (EVP_EncryptUpdate (context, out, &len, r->body, (int) (r->body_len / 16 * 16)));
  EVP_CIPHER_CTX_free (context);
}

static inline gsize
seal (const Recipe *r, guint8 *out)
{
  gsize len = 128;
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new (own, NULL);
  const EVP_MD *md = r->sha256 ? EVP_sha256 () : EVP_sha1 ();
  g_assert_cmpint (EVP_PKEY_encrypt_init (context), ==, 1);
  g_assert_cmpint (EVP_PKEY_CTX_set_rsa_padding (context, r->padding), ==, 1);
  if (r->padding == RSA_PKCS1_OAEP_PADDING)
    {
      g_assert_cmpint (EVP_PKEY_CTX_set_rsa_oaep_md (context, md), ==, 1);
      g_assert_cmpint (EVP_PKEY_CTX_set_rsa_mgf1_md (context, md), ==, 1);
    }
  g_assert_cmpint (EVP_PKEY_encrypt (context, out, &len, r->message, r->message_len), ==, 1);
  g_assert_cmpuint (len, ==, 128);
  EVP_PKEY_CTX_free (context);
  for (guint i = 0; r->reversed && i < 64; i++)
    {
      guint8 byte = out[i];
      out[i] = out[127 - i];
      out[127 - i] = byte;
    }
  encrypt_body (r, out + 128);
  return 128 + r->body_len;
}
