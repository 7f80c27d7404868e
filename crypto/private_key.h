/* SPDX-License-Identifier: Apache-2.0 */
/* RSA private keys: only the key agent and unit tests ever hold one. */
#pragma once

#include <glib.h>

#include "crypto/digest.h"
#include "crypto/secret.h"

typedef struct _TpdPrivateKey TpdPrivateKey;

/* Components as big-endian byte strings, any may carry leading zeros. */
typedef struct {
  const guint8 *n, *e, *d, *p, *q;
  gsize n_len, e_len, d_len, p_len, q_len;
} TpdPrivateKeyParts;

/*
 * Builds a key in secure memory and checks it: n = p*q, e odd, and
 * d*e = 1 mod lcm(p-1, q-1). dp, dq and qInv are computed, never taken from
 * input; `d` may be NULL, then it is computed too. 1024 to 4096 bits.
 * Errors: TPD_ERROR_KEY_DAMAGED. (transfer full)
 */
TpdPrivateKey *tpd_private_key_new (const TpdPrivateKeyParts *parts, GError **error);
/*
 * From a CAPI PRIVATEKEYBLOB (docs/formats.md, "TPD"): exact length, KEYX or
 * SIGN, the 12-byte strong-name prefix tolerated. Every number of the blob is
 * checked. Errors: TPD_ERROR_KEY_FILE when it is no such blob at all,
 * TPD_ERROR_KEY_DAMAGED when the numbers do not fit together.
 */
TpdPrivateKey *tpd_private_key_from_capi_blob (const guint8 *blob, gsize len, GError **error);

TpdPrivateKey *tpd_private_key_ref (TpdPrivateKey *key);
void tpd_private_key_unref (TpdPrivateKey *key);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdPrivateKey, tpd_private_key_unref)

const TpdPublicKey *tpd_private_key_public (const TpdPrivateKey *key);

/*
 * The raw RSA operation, blinded: `out` = `in`^d mod n, both exactly as long
 * as the modulus, big-endian. FALSE if in >= n or OpenSSL fails. Thread-safe.
 */
gboolean tpd_private_key_raw (TpdPrivateKey *key, const guint8 *in, gsize len, guint8 *out);

#define TPD_PRIVATE_KEY_MANY 32

/*
 * The same for `n` blocks, at most TPD_PRIVATE_KEY_MANY, all as long as the
 * modulus: several at once where processor and key allow it (crypto/rsa_wide.h).
 * Gives a bit, 1 << i, for each `out[i]` that was calculated; the others are
 * zeros. Thread-safe.
 */
guint tpd_private_key_raw_many (TpdPrivateKey *key, const guint8 *const *in, guint8 *const *out, guint n);
