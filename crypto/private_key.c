/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA private keys, see crypto/private_key.h.
 *
 * Whatever file a key comes from, its numbers meet here and pass the same
 * checks. The numbers live in OpenSSL's secure heap while they are checked;
 * the key that OpenSSL makes of them is OpenSSL's own, and immutable; most of
 * it is in ordinary memory, which the key agent therefore locks as a whole
 * (crypto/secret.c says why it is not done otherwise). It is shared by all
 * threads: an EVP_PKEY_CTX is in the hands of one at a time, and OpenSSL guards
 * the blinding of the key by its own lock. Several blocks at once go to
 * crypto/rsa_wide.h, and to OpenSSL whenever that cannot or does not do it.
 */
#include "crypto/private_key.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/provider.h"
#include "crypto/rsa_wide.h"

#define KEY_MIN_BITS 1024
#define KEY_MAX_BITS 4096

/* PRIVATEKEYBLOB of wincrypt.h, docs/formats.md "TPD". */
#define CAPI_HEADER_LEN 20
#define CAPI_PRIVATE 0x07
#define CAPI_PUBLIC 0x06
#define CAPI_ALG_KEYX 0xa400
#define CAPI_ALG_SIGN 0x2400
#define CAPI_MAGIC_PRIVATE 0x32415352 /* "RSA2" */
#define CAPI_MAGIC_PUBLIC 0x31415352  /* "RSA1" */
#define STRONG_NAME_PREFIX_LEN 12

/* More are made, and freed, when more threads are at work. */
#define MAX_IDLE 64

/* Fewer blocks are done one by one as fast. */
#define WIDE_WORTH 4

struct _TpdPrivateKey {
  TpdPublicKey public_key;
  EVP_PKEY *pkey;
  GMutex lock; /* protects those below */
  guint n_idle;
  EVP_PKEY_CTX *idle[MAX_IDLE]; /* ready for an operation, used by nobody */
  gboolean asked_wide;          /* `wide` is what it will be */
  TpdRsaWide *wide;             /* NULL where that is not possible */
  int ref_count;                /* atomic */
};

/* All numbers in secure memory; `d` and those after it may be NULL until
 * numbers_complete() computes them. */
typedef struct {
  BIGNUM *n, *e, *p, *q, *d;
  BIGNUM *dp, *dq, *qinv;
} Numbers;

static void
numbers_clear (Numbers *numbers)
{
  BN_clear_free (numbers->n);
  BN_clear_free (numbers->e);
  BN_clear_free (numbers->p);
  BN_clear_free (numbers->q);
  BN_clear_free (numbers->d);
  BN_clear_free (numbers->dp);
  BN_clear_free (numbers->dq);
  BN_clear_free (numbers->qinv);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Numbers, numbers_clear)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BIGNUM, BN_clear_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BN_CTX, BN_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (EVP_PKEY_CTX, EVP_PKEY_CTX_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)

static gboolean
damaged (GError **error, const char *why)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_DAMAGED, "The private key is damaged: %s", why);
  return FALSE;
}

static gboolean
openssl_failed (GError **error)
{
  return damaged (error, "OpenSSL cannot calculate with its numbers");
}

static BIGNUM *
secret_number (void)
{
  BIGNUM *number = BN_secure_new ();

  if (number != NULL)
    BN_set_flags (number, BN_FLG_CONSTTIME);
  return number;
}

static BIGNUM *
number_from_be (const guint8 *data, gsize len)
{
  BIGNUM *number = secret_number ();

  if (number == NULL || len > 2 * TPD_RSA_MAX_BYTES || BN_bin2bn (data, (int) len, number) == NULL)
    g_clear_pointer (&number, BN_clear_free);
  return number;
}

static BIGNUM *
number_take_le (TpdBytes *bytes, gsize len)
{
  BIGNUM *number = secret_number ();
  const guint8 *data;

  if (number == NULL || !tpd_bytes_take (bytes, len, &data) || BN_lebin2bn (data, (int) len, number) == NULL)
    g_clear_pointer (&number, BN_clear_free);
  return number;
}

/*
 * Checks the numbers that came from input and computes the others. RFC 8017
 * 3.2; the exponent must fit the 32 bits that XrML and CAPI give it.
 */
static gboolean
numbers_complete (Numbers *k, GError **error)
{
  g_autoptr (BN_CTX) context = BN_CTX_secure_new_ex (tpd_openssl_context ());
  g_autoptr (BIGNUM) p1 = secret_number ();
  g_autoptr (BIGNUM) q1 = secret_number ();
  g_autoptr (BIGNUM) lcm = secret_number ();
  g_autoptr (BIGNUM) t = secret_number ();

  if (context == NULL || p1 == NULL || q1 == NULL || lcm == NULL || t == NULL)
    return openssl_failed (error);
  if (BN_num_bits (k->n) < KEY_MIN_BITS || BN_num_bits (k->n) > KEY_MAX_BITS)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_DAMAGED,
                   "The private key has %d bits; RMS keys have %d to %d, usually 2048", BN_num_bits (k->n),
                   KEY_MIN_BITS, KEY_MAX_BITS);
      return FALSE;
    }
  if (!BN_is_odd (k->e) || BN_is_one (k->e) || BN_num_bits (k->e) > 32)
    return damaged (error, "its public exponent is impossible");
  if (!BN_is_odd (k->p) || !BN_is_odd (k->q) || BN_is_one (k->p) || BN_is_one (k->q) || BN_cmp (k->p, k->q) == 0)
    return damaged (error, "its primes are impossible");
  if (BN_mul (t, k->p, k->q, context) != 1)
    return openssl_failed (error);
  if (BN_cmp (t, k->n) != 0)
    return damaged (error, "its modulus is not the product of its primes");

  if (BN_sub (p1, k->p, BN_value_one ()) != 1 || BN_sub (q1, k->q, BN_value_one ()) != 1
      || BN_gcd (t, p1, q1, context) != 1 || BN_div (lcm, NULL, p1, t, context) != 1
      || BN_mul (lcm, lcm, q1, context) != 1)
    return openssl_failed (error);
  if (k->d == NULL)
    {
      k->d = secret_number ();
      if (k->d == NULL || BN_mod_inverse (k->d, k->e, lcm, context) == NULL)
        return damaged (error, "its public exponent does not fit its primes");
    }
  if (BN_cmp (k->d, k->n) >= 0 || BN_mod_mul (t, k->d, k->e, lcm, context) != 1 || !BN_is_one (t))
    return damaged (error, "its private exponent does not belong to its public exponent");

  k->dp = secret_number ();
  k->dq = secret_number ();
  k->qinv = secret_number ();
  if (k->dp == NULL || k->dq == NULL || k->qinv == NULL || BN_nnmod (k->dp, k->d, p1, context) != 1
      || BN_nnmod (k->dq, k->d, q1, context) != 1)
    return openssl_failed (error);
  if (BN_mod_inverse (k->qinv, k->q, k->p, context) == NULL)
    return damaged (error, "its primes are not prime to each other");
  return TRUE;
}

static EVP_PKEY *
pkey_from_numbers (const Numbers *k)
{
  g_autoptr (OSSL_PARAM_BLD) builder = OSSL_PARAM_BLD_new ();
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_name (tpd_openssl_context (), "RSA", NULL);
  OSSL_PARAM *params;
  EVP_PKEY *pkey = NULL;

  if (builder == NULL || context == NULL || OSSL_PARAM_BLD_push_BN (builder, OSSL_PKEY_PARAM_RSA_N, k->n) != 1
      || OSSL_PARAM_BLD_push_BN (builder, OSSL_PKEY_PARAM_RSA_E, k->e) != 1
      || OSSL_PARAM_BLD_push_BN (builder, OSSL_PKEY_PARAM_RSA_D, k->d) != 1
      || OSSL_PARAM_BLD_push_BN (builder, OSSL_PKEY_PARAM_RSA_FACTOR1, k->p) != 1
      || OSSL_PARAM_BLD_push_BN (builder, OSSL_PKEY_PARAM_RSA_FACTOR2, k->q) != 1
      || OSSL_PARAM_BLD_push_BN (builder, OSSL_PKEY_PARAM_RSA_EXPONENT1, k->dp) != 1
      || OSSL_PARAM_BLD_push_BN (builder, OSSL_PKEY_PARAM_RSA_EXPONENT2, k->dq) != 1
      || OSSL_PARAM_BLD_push_BN (builder, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, k->qinv) != 1)
    return NULL;
  /* Numbers in secure memory give parameters in secure memory, which
   * OSSL_PARAM_free() wipes. */
  params = OSSL_PARAM_BLD_to_param (builder);
  if (params == NULL || EVP_PKEY_fromdata_init (context) != 1
      || EVP_PKEY_fromdata (context, &pkey, EVP_PKEY_KEYPAIR, params) != 1)
    pkey = NULL;
  OSSL_PARAM_free (params);
  return pkey;
}

/* 2^e, decrypted, must be 2: numbers that pass every equation although a
 * "prime" is composite do not pass this. */
static gboolean
key_works (TpdPrivateKey *key, const Numbers *k)
{
  g_autoptr (BN_CTX) context = BN_CTX_new_ex (tpd_openssl_context ());
  g_autoptr (BIGNUM) two = BN_new ();
  g_autoptr (BIGNUM) sealed = BN_new ();
  guint8 in[TPD_RSA_MAX_BYTES], out[TPD_RSA_MAX_BYTES], expected[TPD_RSA_MAX_BYTES] = { 0 };
  gsize len = key->public_key.len;

  expected[len - 1] = 2;
  return context != NULL && two != NULL && sealed != NULL && BN_set_word (two, 2) == 1
         && BN_mod_exp (sealed, two, k->e, k->n, context) == 1 && BN_bn2binpad (sealed, in, (int) len) == (int) len
         && tpd_private_key_raw (key, in, len, out) && memcmp (out, expected, len) == 0;
}

static TpdPrivateKey *
key_from_numbers (const Numbers *k, GError **error)
{
  g_autoptr (TpdPrivateKey) key = g_new0 (TpdPrivateKey, 1);
  guint8 modulus[TPD_RSA_MAX_BYTES];
  int len = BN_num_bytes (k->n);

  key->ref_count = 1;
  g_mutex_init (&key->lock);
  if (BN_bn2binpad (k->n, modulus, len) != len
      || !tpd_public_key_from_be (&key->public_key, modulus, (gsize) len, (guint32) BN_get_word (k->e)))
    {
      damaged (error, "its modulus is impossible");
      return NULL;
    }
  key->pkey = pkey_from_numbers (k);
  if (key->pkey == NULL)
    {
      openssl_failed (error);
      return NULL;
    }
  if (!key_works (key, k))
    {
      damaged (error, "it does not decrypt what its public part encrypts");
      return NULL;
    }
  return g_steal_pointer (&key);
}

TpdPrivateKey *
tpd_private_key_new (const TpdPrivateKeyParts *parts, GError **error)
{
  g_auto (Numbers) k = { 0 };
  TpdPrivateKey *key = NULL;

  ERR_set_mark ();
  k.n = number_from_be (parts->n, parts->n_len);
  k.e = number_from_be (parts->e, parts->e_len);
  k.p = number_from_be (parts->p, parts->p_len);
  k.q = number_from_be (parts->q, parts->q_len);
  if (parts->d != NULL)
    k.d = number_from_be (parts->d, parts->d_len);
  if (k.n == NULL || k.e == NULL || k.p == NULL || k.q == NULL || (parts->d != NULL && k.d == NULL))
    damaged (error, "one of its numbers is far too long");
  else if (numbers_complete (&k, error))
    key = key_from_numbers (&k, error);
  ERR_pop_to_mark ();
  return key;
}

static gboolean
no_capi_blob (GError **error, const char *why)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE, "This is no CAPI private key blob: %s", why);
  return FALSE;
}

/* Moves `bytes` behind the header and gives the size of the modulus. */
static gboolean
capi_take_header (TpdBytes *bytes, guint32 *modulus_len, guint32 *exponent, GError **error)
{
  guint8 type, version;
  guint16 reserved;
  guint32 algorithm, magic, bits;

  if (!tpd_bytes_take_u8 (bytes, &type) || !tpd_bytes_take_u8 (bytes, &version)
      || !tpd_bytes_take_u16le (bytes, &reserved) || !tpd_bytes_take_u32le (bytes, &algorithm)
      || !tpd_bytes_take_u32le (bytes, &magic) || !tpd_bytes_take_u32le (bytes, &bits)
      || !tpd_bytes_take_u32le (bytes, exponent))
    return no_capi_blob (error, "it is too short");
  if (type == CAPI_PUBLIC && magic == CAPI_MAGIC_PUBLIC)
    return no_capi_blob (error, "it holds the public key only");
  if (type != CAPI_PRIVATE || magic != CAPI_MAGIC_PRIVATE
      || ((algorithm & 0xffff) != CAPI_ALG_KEYX && (algorithm & 0xffff) != CAPI_ALG_SIGN))
    return no_capi_blob (error, "its header is a different one");
  /* 4.5 times the modulus follow; bits are bounded before any arithmetic. */
  if (bits % 16 != 0 || bits > KEY_MAX_BITS || tpd_bytes_left (bytes) != (gsize) bits / 16 * 9)
    return no_capi_blob (error, "its length does not fit the size of the key that its header tells");
  *modulus_len = bits / 8;
  return TRUE;
}

TpdPrivateKey *
tpd_private_key_from_capi_blob (const guint8 *blob, gsize len, GError **error)
{
  g_auto (Numbers) k = { 0 };
  g_autoptr (BIGNUM) dp = NULL;
  g_autoptr (BIGNUM) dq = NULL;
  g_autoptr (BIGNUM) qinv = NULL;
  TpdBytes bytes = tpd_bytes (blob, len), inner;
  TpdPrivateKey *key = NULL;
  guint32 size, exponent;

  if (!capi_take_header (&bytes, &size, &exponent, error))
    {
      /* Public-key files of .NET strong names begin with 12 bytes of their own. */
      if (len < STRONG_NAME_PREFIX_LEN
          || !tpd_bytes_slice (&bytes, STRONG_NAME_PREFIX_LEN, len - STRONG_NAME_PREFIX_LEN, &inner)
          || !capi_take_header (&inner, &size, &exponent, NULL))
        return NULL;
      g_clear_error (error);
      bytes = inner;
    }

  ERR_set_mark ();
  k.n = number_take_le (&bytes, size);
  k.p = number_take_le (&bytes, size / 2);
  k.q = number_take_le (&bytes, size / 2);
  dp = number_take_le (&bytes, size / 2);
  dq = number_take_le (&bytes, size / 2);
  qinv = number_take_le (&bytes, size / 2);
  k.d = number_take_le (&bytes, size);
  k.e = secret_number ();
  if (k.n == NULL || k.p == NULL || k.q == NULL || dp == NULL || dq == NULL || qinv == NULL || k.d == NULL
      || k.e == NULL || BN_set_word (k.e, exponent) != 1)
    openssl_failed (error);
  else if (numbers_complete (&k, error))
    {
      if (BN_cmp (dp, k.dp) != 0 || BN_cmp (dq, k.dq) != 0 || BN_cmp (qinv, k.qinv) != 0)
        damaged (error, "its CRT exponents or its coefficient do not belong to its primes");
      else
        key = key_from_numbers (&k, error);
    }
  ERR_pop_to_mark ();
  return key;
}

TpdPrivateKey *
tpd_private_key_ref (TpdPrivateKey *key)
{
  g_atomic_int_inc (&key->ref_count);
  return key;
}

void
tpd_private_key_unref (TpdPrivateKey *key)
{
  if (key == NULL || !g_atomic_int_dec_and_test (&key->ref_count))
    return;
  while (key->n_idle > 0)
    EVP_PKEY_CTX_free (key->idle[--key->n_idle]);
  tpd_rsa_wide_free (key->wide);
  EVP_PKEY_free (key->pkey);
  g_mutex_clear (&key->lock);
  g_free (key);
}

const TpdPublicKey *
tpd_private_key_public (const TpdPrivateKey *key)
{
  return &key->public_key;
}

static EVP_PKEY_CTX *
context_new (TpdPrivateKey *key)
{
  g_autoptr (EVP_PKEY_CTX) context = EVP_PKEY_CTX_new_from_pkey (tpd_openssl_context (), key->pkey, NULL);

  if (context == NULL || EVP_PKEY_decrypt_init (context) != 1
      || EVP_PKEY_CTX_set_rsa_padding (context, RSA_NO_PADDING) != 1)
    return NULL;
  return g_steal_pointer (&context);
}

/* NULL when memory is out. */
static EVP_PKEY_CTX *
context_take (TpdPrivateKey *key)
{
  EVP_PKEY_CTX *context = NULL;

  g_mutex_lock (&key->lock);
  if (key->n_idle > 0)
    context = key->idle[--key->n_idle];
  g_mutex_unlock (&key->lock);
  return context != NULL ? context : context_new (key);
}

static void
context_give_back (TpdPrivateKey *key, EVP_PKEY_CTX *context)
{
  g_mutex_lock (&key->lock);
  if (key->n_idle < MAX_IDLE)
    key->idle[key->n_idle++] = g_steal_pointer (&context);
  g_mutex_unlock (&key->lock);
  EVP_PKEY_CTX_free (context);
}

gboolean
tpd_private_key_raw (TpdPrivateKey *key, const guint8 *in, gsize len, guint8 *out)
{
  EVP_PKEY_CTX *context;
  size_t out_len = len;
  gboolean ok;

  if (len != key->public_key.len)
    return FALSE;
  ERR_set_mark ();
  context = context_take (key);
  ok = context != NULL && EVP_PKEY_decrypt (context, out, &out_len, in, len) == 1 && out_len == len;
  if (ok)
    context_give_back (key, g_steal_pointer (&context));
  EVP_PKEY_CTX_free (context);
  ERR_pop_to_mark ();
  if (!ok)
    tpd_wipe (out, len);
  return ok;
}

/* Made when it is first needed: many keys never see two blocks at once. */
static TpdRsaWide *
wide_of (TpdPrivateKey *key)
{
  TpdRsaWide *wide;

  g_mutex_lock (&key->lock);
  if (!key->asked_wide)
    {
      ERR_set_mark ();
      key->wide = tpd_rsa_wide_new (key->pkey);
      ERR_pop_to_mark ();
      key->asked_wide = TRUE;
    }
  wide = key->wide;
  g_mutex_unlock (&key->lock);
  return wide;
}

/* At most TPD_RSA_WIDE_BLOCKS; a bit for each that is done. */
static guint
raw_together (TpdPrivateKey *key, const guint8 *const *in, guint8 *const *out, guint n)
{
  TpdRsaWide *wide = n >= WIDE_WORTH && key->public_key.len == TPD_RSA_WIDE_BYTES ? wide_of (key) : NULL;

  return wide != NULL ? tpd_rsa_wide_private (wide, in, out, n) : 0;
}

guint
tpd_private_key_raw_many (TpdPrivateKey *key, const guint8 *const *in, guint8 *const *out, guint n)
{
  guint all_done = 0;

  g_assert (n <= TPD_PRIVATE_KEY_MANY);
  for (guint from = 0; from < n; from += TPD_RSA_WIDE_BLOCKS)
    {
      const guint left = MIN (n - from, TPD_RSA_WIDE_BLOCKS);
      guint done = raw_together (key, in + from, out + from, left);

      for (guint i = 0; i < left; i++)
        if (!(done >> i & 1) && tpd_private_key_raw (key, in[from + i], key->public_key.len, out[from + i]))
          done |= 1u << i;
      all_done |= done << from;
    }
  return all_done;
}
