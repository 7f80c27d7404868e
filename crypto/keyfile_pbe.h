/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Password-based encryption of PEM, PKCS#8 and PKCS#12 files. Ciphers that
 * OpenSSL has moved to its legacy provider (RC2, RC4, DES) are still met in
 * key files of that age; that provider is loaded into a library context of its
 * own, so that nothing else can ever use it.
 */
#pragma once

#include <glib.h>
#include <openssl/types.h>

#include "crypto/secret.h"

/* More rounds, in all derivations of a file together, than any exporter asks
 * for: some seconds of work. */
#define TPD_PBE_COST_MAX 10000000

/* Made on first use, never freed. */
OSSL_LIB_CTX *tpd_pbe_context (void);

/* Adds `cost` to `*spent`; FALSE if that is more than TPD_PBE_COST_MAX. */
static inline gboolean
tpd_pbe_spend (guint64 *spent, guint64 cost)
{
  if (cost > TPD_PBE_COST_MAX || *spent > TPD_PBE_COST_MAX - cost)
    return FALSE;
  *spent += cost;
  return TRUE;
}

/*
 * Opens `data` by an AlgorithmIdentifier of PKCS#5 or PKCS#12. `password` may
 * be NULL, which PKCS#12 tells from the empty one. `*spent` is the cost of the
 * file so far. TPD_ERROR_PASSWORD when it does not open; TPD_ERROR_KEY_FILE
 * for a cost beyond reason, or when OpenSSL does not know the cipher, with the
 * remedy. (transfer full)
 */
TpdSecret *tpd_pbe_open (const X509_ALGOR *algorithm, const guint8 *data, gsize len, const TpdSecret *password,
                         guint64 *spent, GError **error);

/*
 * Opens the body of a PEM block encrypted the way of RFC 1421, with the
 * DEK-Info cipher name and IV in hex. Errors as above. (transfer full)
 */
TpdSecret *tpd_pbe_open_dek (const char *cipher_name, const char *iv_hex, const guint8 *data, gsize len,
                             const TpdSecret *password, GError **error);
