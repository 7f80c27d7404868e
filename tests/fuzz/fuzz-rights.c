/* SPDX-License-Identifier: Apache-2.0 */
/* The rights data of a license, as they are once decrypted: the input is
 * encrypted first, with a key that the license then names. */
#include <openssl/evp.h>
#include <string.h>

#include "fuzz.h"
#include "license/rights.h"

#define BLOCK 16

static guint8 *
encrypt (const guint8 *key, const uint8_t *data, size_t size, gsize *len)
{
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new ();
  g_autofree guint8 *padded = g_malloc0 (size + BLOCK);
  g_autofree guint8 *out = NULL;
  int n = 0;

  *len = (size + BLOCK - 1) / BLOCK * BLOCK;
  out = g_malloc (*len);
  memcpy (padded, data, size);
  g_assert (EVP_EncryptInit_ex (context, EVP_aes_128_ecb (), NULL, key, NULL) == 1);
  g_assert (EVP_CIPHER_CTX_set_padding (context, 0) == 1);
  g_assert (EVP_EncryptUpdate (context, out, &n, padded, (int) *len) == 1 && (gsize) n == *len);
  EVP_CIPHER_CTX_free (context);
  return g_steal_pointer (&out);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const guint8 bytes[BLOCK] = { 1, 2, 3 };
  g_autoptr (TpdSecret) secret = tpd_secret_new (bytes, sizeof bytes);
  TpdContentKey key = { .key = secret, .mode_word = TPD_MODE_WORD_ECB, .ref_count = 1 };
  TpdLicense license = { .ref_count = 1 };
  g_autofree guint8 *erd = NULL;
  g_autoptr (GError) error = NULL;
  TpdRights *rights;

  if (size == 0 || size > 1024 * 1024)
    return 0;
  erd = encrypt (bytes, data, size, &license.erd_len);
  license.erd = erd;
  rights = tpd_rights_decode (&license, &key, &error);
  g_assert ((rights == NULL) == (error != NULL));
  if (rights != NULL)
    {
      g_assert (rights->entries != NULL && rights->cipher != NULL);
      (void) tpd_time_passed (rights->expires, 1700000000);
      tpd_rights_free (rights);
    }
  return 0;
}
