/* SPDX-License-Identifier: Apache-2.0 */
/* Digests and public-key checks; keeps <openssl/> inside crypto/. */
#pragma once

#include <glib.h>

#define TPD_SHA1_SIZE 20
#define TPD_SHA256_SIZE 32

void tpd_sha1 (const void *data, gsize len, guint8 out[TPD_SHA1_SIZE]);
void tpd_sha256 (const void *data, gsize len, guint8 out[TPD_SHA256_SIZE]);

/* The same of what comes in pieces; `size` is TPD_SHA1_SIZE or TPD_SHA256_SIZE. */
typedef struct _TpdDigest TpdDigest;
TpdDigest *tpd_digest_new (gsize size);
void tpd_digest_update (TpdDigest *digest, const void *data, gsize len);
/* Writes `size` bytes and frees `digest`. */
void tpd_digest_finish (TpdDigest *digest, guint8 *out);

/* SHA-256 of a key's modulus as big-endian bytes: how keys are matched. */
typedef struct {
  guint8 bytes[TPD_SHA256_SIZE];
} TpdFingerprint;

gboolean tpd_fingerprint_equal (const TpdFingerprint *a, const TpdFingerprint *b);
/* For hash tables with TpdFingerprint as keys. */
guint tpd_fingerprint_hash (gconstpointer fingerprint);
gboolean tpd_fingerprint_same (gconstpointer a, gconstpointer b);

/* An RSA public key as licenses carry it; plain data, copy freely. */
#define TPD_RSA_MAX_BYTES 512
typedef struct {
  guint bits;                        /* of the modulus */
  guint len;                         /* bytes in `modulus` */
  guint8 modulus[TPD_RSA_MAX_BYTES]; /* big-endian, first byte non-zero */
  guint32 exponent;
  TpdFingerprint fingerprint;
} TpdPublicKey;

/*
 * Fills `out` from a modulus in little-endian order (PUBLICKEY of XrML) or
 * big-endian order. FALSE if it is not between 512 and 4096 bits or even.
 */
gboolean tpd_public_key_from_le (TpdPublicKey *out, const guint8 *modulus, gsize len, guint32 exponent);
gboolean tpd_public_key_from_be (TpdPublicKey *out, const guint8 *modulus, gsize len, guint32 exponent);

/*
 * Whether `signature` (big-endian) is the RSA PKCS#1 v1.5 signature of
 * `digest` (20 bytes: SHA-1, 32: SHA-256), DigestInfo with NULL parameters.
 * Works whatever the system's policy says of SHA-1 or short keys.
 */
gboolean tpd_public_key_verify (const TpdPublicKey *key, const guint8 *digest, gsize digest_len,
                                const guint8 *signature, gsize signature_len);
