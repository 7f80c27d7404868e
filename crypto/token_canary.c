/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks whose message we know: see crypto/token_canary.h. */
#include "crypto/token_canary.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "crypto/provider.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BIGNUM, BN_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_PKEY_CTX, EVP_PKEY_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)

static EVP_PKEY *
pkey_from_public (const TpdPublicKey *key)
{
  g_autoptr (OSSL_PARAM_BLD) builder = OSSL_PARAM_BLD_new ();
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (tpd_openssl_context (), "RSA", NULL);
  g_autoptr (BIGNUM) n = BN_bin2bn (key->modulus, (int) key->len, NULL);
  OSSL_PARAM *params = NULL;
  EVP_PKEY *pkey = NULL;

  if (builder != NULL && context != NULL && n != NULL && OSSL_PARAM_BLD_push_BN (builder, OSSL_PKEY_PARAM_RSA_N, n) == 1
      && OSSL_PARAM_BLD_push_ulong (builder, OSSL_PKEY_PARAM_RSA_E, key->exponent) == 1)
    params = OSSL_PARAM_BLD_to_param (builder);
  if (params == NULL || EVP_PKEY_fromdata_init (context) != 1
      || EVP_PKEY_fromdata (context, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
    pkey = NULL;
  OSSL_PARAM_free (params);
  return pkey;
}

static gboolean
encrypt (EVP_PKEY *pkey, TpdPadding padding, const TpdCanary *canary, guint8 *out, gsize len)
{
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (tpd_openssl_context (), pkey, NULL);
  const char *digest = padding == TPD_PADDING_OAEP_SHA256 ? "SHA256" : "SHA1";
  size_t out_len = len;

  if (context == NULL || EVP_PKEY_encrypt_init (context) != 1
      || EVP_PKEY_CTX_set_rsa_padding (context,
                                       padding == TPD_PADDING_PKCS1 ? RSA_PKCS1_PADDING : RSA_PKCS1_OAEP_PADDING)
             != 1)
    return FALSE;
  if (padding != TPD_PADDING_PKCS1
      && (EVP_PKEY_CTX_set_rsa_oaep_md_name (context, digest, NULL) != 1
          || EVP_PKEY_CTX_set_rsa_mgf1_md_name (context, digest, NULL) != 1))
    return FALSE;
  return EVP_PKEY_encrypt (context, out, &out_len, canary->message, sizeof canary->message) == 1 && out_len == len;
}

void
tpd_canary_make (TpdCanary *canary, const TpdPublicKey *key)
{
  g_autoptr (EVP_PKEY) pkey = NULL;

  memset (canary, 0, sizeof *canary);
  memcpy (canary->message, "does it decrypt?", TPD_CANARY_LEN);
  ERR_set_mark ();
  pkey = pkey_from_public (key);
  for (TpdPadding padding = 0; padding < TPD_N_PADDINGS; padding++)
    canary->made[padding] = pkey != NULL && encrypt (pkey, padding, canary, canary->blocks[padding], key->len);
  ERR_pop_to_mark ();
}

gboolean
tpd_canary_is (const TpdCanary *canary, const guint8 *message, gsize len)
{
  return len == sizeof canary->message && memcmp (message, canary->message, len) == 0;
}
