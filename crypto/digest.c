/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests and RSA public keys, see crypto/digest.h.
 *
 * A signature is checked with the bare public operation on big numbers and a
 * comparison of the whole EMSA-PKCS1-v1_5 encoding (RFC 8017, 8.2.2): OpenSSL's
 * own verification refuses SHA-1 where the system's policy does, and comparing
 * encodings leaves nothing to parse, hence nothing to forge by loose parsing.
 */
#include "crypto/digest.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "crypto/provider.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BIGNUM, BN_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BN_CTX, BN_CTX_free)

#define RSA_MIN_BITS 512

/* DER of DigestInfo up to the digest, RFC 8017 9.2 note 1. */
static const guint8 sha1_info[] = { 0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e,
                                    0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14 };
static const guint8 sha256_info[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };

static void
digest_once (EVP_MD **md, const char *name, const void *data, gsize len, guint8 *out)
{
  if (g_once_init_enter (md))
    {
      EVP_MD *fetched = EVP_MD_fetch (tpd_openssl_context (), name, NULL);

      if (fetched == NULL)
        g_error ("OpenSSL has no %s", name);
      g_once_init_leave (md, fetched);
    }
  if (EVP_Digest (data != NULL ? data : "", len, out, NULL, *md, NULL) != 1)
    g_error ("OpenSSL failed at %s", name);
}

void
tpd_sha1 (const void *data, gsize len, guint8 out[TPD_SHA1_SIZE])
{
  static EVP_MD *md;

  digest_once (&md, "SHA1", data, len, out);
}

void
tpd_sha256 (const void *data, gsize len, guint8 out[TPD_SHA256_SIZE])
{
  static EVP_MD *md;

  digest_once (&md, "SHA256", data, len, out);
}

gboolean
tpd_fingerprint_equal (const TpdFingerprint *a, const TpdFingerprint *b)
{
  return memcmp (a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* `modulus` in big-endian order without leading zeros, already copied. */
static gboolean
public_key_finish (TpdPublicKey *key, gsize len, guint32 exponent)
{
  key->len = (guint) len;
  key->exponent = exponent;
  key->bits = (guint) (len - 1) * 8 + g_bit_storage (key->modulus[0]);
  if (key->bits < RSA_MIN_BITS || (key->modulus[len - 1] & 1) == 0)
    return FALSE;
  tpd_sha256 (key->modulus, len, key->fingerprint.bytes);
  return TRUE;
}

gboolean
tpd_public_key_from_le (TpdPublicKey *out, const guint8 *modulus, gsize len, guint32 exponent)
{
  memset (out, 0, sizeof *out);
  while (len > 0 && modulus[len - 1] == 0)
    len--;
  if (len == 0 || len > sizeof out->modulus)
    return FALSE;
  for (gsize i = 0; i < len; i++)
    out->modulus[i] = modulus[len - 1 - i];
  return public_key_finish (out, len, exponent);
}

gboolean
tpd_public_key_from_be (TpdPublicKey *out, const guint8 *modulus, gsize len, guint32 exponent)
{
  gsize zeros = 0;

  memset (out, 0, sizeof *out);
  while (zeros < len && modulus[zeros] == 0)
    zeros++;
  len -= zeros;
  if (len == 0 || len > sizeof out->modulus)
    return FALSE;
  memcpy (out->modulus, modulus + zeros, len);
  return public_key_finish (out, len, exponent);
}

/* `out` = `in`^e mod n, both as long as the modulus; FALSE if in >= n. */
static gboolean
public_operation (const TpdPublicKey *key, const guint8 *in, guint8 *out)
{
  g_autoptr (BN_CTX) context = BN_CTX_new_ex (tpd_openssl_context ());
  g_autoptr (BIGNUM) n = BN_bin2bn (key->modulus, (int) key->len, NULL);
  g_autoptr (BIGNUM) s = BN_bin2bn (in, (int) key->len, NULL);
  g_autoptr (BIGNUM) e = BN_new ();
  g_autoptr (BIGNUM) m = BN_new ();

  return context != NULL && n != NULL && s != NULL && e != NULL && m != NULL && BN_set_word (e, key->exponent) == 1
         && BN_cmp (s, n) < 0 && BN_mod_exp (m, s, e, n, context) == 1
         && BN_bn2binpad (m, out, (int) key->len) == (int) key->len;
}

gboolean
tpd_public_key_verify (const TpdPublicKey *key, const guint8 *digest, gsize digest_len, const guint8 *signature,
                       gsize signature_len)
{
  guint8 expected[TPD_RSA_MAX_BYTES], actual[TPD_RSA_MAX_BYTES];
  const guint8 *info;
  gsize info_len, filler;
  gboolean ok;

  if (digest_len == TPD_SHA1_SIZE)
    {
      info = sha1_info;
      info_len = sizeof sha1_info;
    }
  else if (digest_len == TPD_SHA256_SIZE)
    {
      info = sha256_info;
      info_len = sizeof sha256_info;
    }
  else
    return FALSE;

  /* An exponent of 1 would make every padded digest its own signature. */
  if (key->bits < RSA_MIN_BITS || key->len > sizeof expected || signature_len != key->len || key->exponent < 3
      || key->exponent % 2 == 0)
    return FALSE;

  filler = key->len - 3 - info_len - digest_len;
  expected[0] = 0;
  expected[1] = 1;
  memset (expected + 2, 0xff, filler);
  expected[2 + filler] = 0;
  memcpy (expected + 3 + filler, info, info_len);
  memcpy (expected + 3 + filler + info_len, digest, digest_len);

  ERR_set_mark ();
  ok = public_operation (key, signature, actual);
  ERR_pop_to_mark ();
  return ok && memcmp (actual, expected, key->len) == 0;
}
