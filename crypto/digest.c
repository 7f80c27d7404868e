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

#define RSA_MIN_BITS 512

/* DER of DigestInfo up to the digest, RFC 8017 9.2 note 1. */
static const guint8 sha1_info[] = { 0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e,
                                    0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14 };
static const guint8 sha256_info[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };

static const EVP_MD *
fetch (EVP_MD **md, const char *name)
{
  if (g_once_init_enter (md))
    {
      EVP_MD *fetched = EVP_MD_fetch (tpd_openssl_context (), name, NULL);

      if (fetched == NULL)
        g_error ("OpenSSL has no %s", name);
      g_once_init_leave (md, fetched);
    }
  return *md;
}

static const EVP_MD *
digest_of_size (gsize size)
{
  static EVP_MD *sha1, *sha256;

  return size == TPD_SHA1_SIZE ? fetch (&sha1, "SHA1") : fetch (&sha256, "SHA256");
}

static void
digest_once (gsize size, const void *data, gsize len, guint8 *out)
{
  if (EVP_Digest (data != NULL ? data : "", len, out, NULL, digest_of_size (size), NULL) != 1)
    g_error ("OpenSSL failed at a digest");
}

void
tpd_sha1 (const void *data, gsize len, guint8 out[TPD_SHA1_SIZE])
{
  digest_once (TPD_SHA1_SIZE, data, len, out);
}

void
tpd_sha256 (const void *data, gsize len, guint8 out[TPD_SHA256_SIZE])
{
  digest_once (TPD_SHA256_SIZE, data, len, out);
}

TpdDigest *
tpd_digest_new (gsize size)
{
  EVP_MD_CTX *context;

  g_return_val_if_fail (size == TPD_SHA1_SIZE || size == TPD_SHA256_SIZE, NULL);
  context = EVP_MD_CTX_new ();
  if (context == NULL || EVP_DigestInit_ex2 (context, digest_of_size (size), NULL) != 1)
    g_error ("OpenSSL failed at a digest");
  return (TpdDigest *) context;
}

void
tpd_digest_update (TpdDigest *digest, const void *data, gsize len)
{
  if (EVP_DigestUpdate ((EVP_MD_CTX *) digest, data, len) != 1)
    g_error ("OpenSSL failed at a digest");
}

void
tpd_digest_finish (TpdDigest *digest, guint8 *out)
{
  if (EVP_DigestFinal_ex ((EVP_MD_CTX *) digest, out, NULL) != 1)
    g_error ("OpenSSL failed at a digest");
  EVP_MD_CTX_free ((EVP_MD_CTX *) digest);
}

gboolean
tpd_fingerprint_equal (const TpdFingerprint *a, const TpdFingerprint *b)
{
  return memcmp (a->bytes, b->bytes, sizeof a->bytes) == 0;
}

guint
tpd_fingerprint_hash (gconstpointer fingerprint)
{
  guint hash;

  memcpy (&hash, ((const TpdFingerprint *) fingerprint)->bytes, sizeof hash);
  return hash;
}

gboolean
tpd_fingerprint_same (gconstpointer a, gconstpointer b)
{
  return tpd_fingerprint_equal (a, b);
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

/* --- Signatures -------------------------------------------------------- */

/* What each thread keeps of the moduli it met last: a share has few signers. */
#define PREPARED_SLOTS 32

typedef struct {
  guint len;
  guint8 modulus[TPD_RSA_MAX_BYTES];
  BIGNUM *n;
  BN_MONT_CTX *montgomery;
} Prepared;

typedef struct {
  BN_CTX *context;
  Prepared slots[PREPARED_SLOTS];
} Scratch;

static void
prepared_clear (Prepared *prepared)
{
  BN_MONT_CTX_free (prepared->montgomery);
  BN_free (prepared->n);
  memset (prepared, 0, sizeof *prepared);
}

static void
scratch_free (gpointer data)
{
  Scratch *scratch = data;

  for (guint i = 0; i < PREPARED_SLOTS; i++)
    prepared_clear (&scratch->slots[i]);
  BN_CTX_free (scratch->context);
  g_free (scratch);
}

static GPrivate scratches = G_PRIVATE_INIT (scratch_free);

static Scratch *
get_scratch (void)
{
  Scratch *scratch = g_private_get (&scratches);

  if (scratch == NULL)
    {
      scratch = g_new0 (Scratch, 1);
      scratch->context = BN_CTX_new_ex (tpd_openssl_context ());
      g_private_set (&scratches, scratch);
    }
  return scratch;
}

/* The slot of the modulus of `key`, made now if need be; NULL if it cannot. */
static const Prepared *
prepare (Scratch *scratch, const TpdPublicKey *key)
{
  Prepared *prepared = &scratch->slots[key->fingerprint.bytes[0] % PREPARED_SLOTS];

  if (prepared->len == key->len && memcmp (prepared->modulus, key->modulus, key->len) == 0)
    return prepared;
  prepared_clear (prepared);
  prepared->n = BN_bin2bn (key->modulus, (int) key->len, NULL);
  prepared->montgomery = BN_MONT_CTX_new ();
  /* Fails for an even modulus. */
  if (prepared->n == NULL || prepared->montgomery == NULL
      || BN_MONT_CTX_set (prepared->montgomery, prepared->n, scratch->context) != 1)
    {
      prepared_clear (prepared);
      return NULL;
    }
  memcpy (prepared->modulus, key->modulus, key->len);
  prepared->len = key->len;
  return prepared;
}

/* `out` = `in`^e mod n, both as long as the modulus; FALSE if in >= n. */
static gboolean
public_operation (const TpdPublicKey *key, const guint8 *in, guint8 *out)
{
  Scratch *scratch = get_scratch ();
  const Prepared *prepared = scratch->context != NULL ? prepare (scratch, key) : NULL;
  g_autoptr (BIGNUM) s = BN_bin2bn (in, (int) key->len, NULL);
  g_autoptr (BIGNUM) e = BN_new ();
  g_autoptr (BIGNUM) m = BN_new ();

  return prepared != NULL && s != NULL && e != NULL && m != NULL && BN_set_word (e, key->exponent) == 1
         && BN_cmp (s, prepared->n) < 0
         && BN_mod_exp_mont (m, s, e, prepared->n, scratch->context, prepared->montgomery) == 1
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
