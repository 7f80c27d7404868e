/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA-2048 on eight blocks at once: see crypto/rsa_wide.h.
 *
 * Opening many small documents is RSA and little else. One operation cannot
 * fill a processor, for each product waits for the one before; eight in the
 * eight lanes of a register can, and no lane knows of the others.
 *
 * A number is a row of digits of 52 bits, least first, as VPMADD52 multiplies
 * them; a `Lanes` holds one digit of eight numbers. Products are Montgomery's:
 * multiply (a, b) = a * b / R mod m, R being 2^1040 for the primes (20 digits)
 * and 2^2080 for the modulus (40). R is 2^16 times the modulus and more, so that
 * factors need not be below it: with a * b up to R * m the result is below 2m.
 * Only what is compared or given out is brought below m by reduce().
 *
 *   x = block * r^e mod n                               blinded
 *   u = x^dP mod p,  v = x^dQ mod q
 *   y = v + q * ((u - v) * qInv mod p)                  RFC 8017, 5.1.2
 *   result = y * r^-1 mod n
 *   result^e mod n = block ?                            or it is not given out
 *
 * Constant time: loops and addresses depend on sizes and on the public exponent
 * only; what is looked up by bits of a private exponent is picked from the whole
 * table by masks. VPMADD52 takes the same time for all operands.
 */
#include "crypto/rsa_wide.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "crypto/provider.h"
#include "crypto/secret.h"

static gboolean forbidden; /* atomic */

void
tpd_rsa_wide_set_allowed (gboolean allowed)
{
  __atomic_store_n (&forbidden, !allowed, __ATOMIC_RELAXED);
}

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define TARGET __attribute__ ((target ("avx512f,avx512ifma")))
#define DIGIT_BITS 52
#define DIGIT_MASK ((G_GUINT64_CONSTANT (1) << DIGIT_BITS) - 1)
#define PRIME_DIGITS 20
#define DIGITS (2 * PRIME_DIGITS)
#define PRIME_BITS 1024
#define PRIME_BYTES (PRIME_BITS / 8)
#define N_LANES TPD_RSA_WIDE_BLOCKS

/* Of a private exponent, at a time: 16 powers are 20 KiB, which stays in the
 * processor's nearest cache while all of it is read for each step. */
#define WINDOW_BITS 4
#define N_POWERS (1 << WINDOW_BITS)

/* So many batches may use the squares of one random number; then a new one. */
#define BATCHES_PER_BLINDING 256

typedef __m512i Lanes;

/* Of the primes, 20 digits count; of the modulus, 40. */
typedef struct {
  guint64 value[DIGITS];
  guint64 minus_inverse; /* -1 / value mod 2^52 */
  guint64 one[DIGITS];   /* R mod value */
  guint64 r2[DIGITS];    /* R^2 mod value */
  guint64 r3[DIGITS];    /* R^3 mod value */
} Modulus;

struct _TpdRsaWide {
  Modulus p, q, n;
  guint8 dp[PRIME_BYTES], dq[PRIME_BYTES]; /* big-endian */
  guint64 qinv[DIGITS];                    /* * R mod p */
  guint32 exponent;
  BIGNUM *big_n, *big_e;
  GMutex lock; /* protects those below */
  guint batches;
  guint64 blind[DIGITS][N_LANES];   /* r^e * R mod n */
  guint64 unblind[DIGITS][N_LANES]; /* r^-1 * R mod n */
};

/* What one batch works on: in secret memory, so that nothing is on the stack but
 * what the compiler puts there, which is wiped. */
typedef struct {
  union {
    Lanes powers[N_POWERS][PRIME_DIGITS];
    struct {
      Lanes base[DIGITS], x[DIGITS];
      Lanes less[DIGITS];
    };
  };
  Lanes factor[PRIME_DIGITS];
  Lanes block[DIGITS];
  Lanes unblind[DIGITS];
  Lanes result[DIGITS];
  Lanes u[PRIME_DIGITS], v[PRIME_DIGITS];
} Work;

static const guint64 number_one[DIGITS] = { 1 };

/* multiply() spills digits of its factors and of the modulus, which may be a
 * prime: compilers make frames of 2 to 8 KiB for it. */
#define STACK_WIPED (16 * 1024)

#define WORK_ALIGN 64
#define WORK_SIZE (sizeof (Work) + WORK_ALIGN)

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BIGNUM, BN_clear_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BN_CTX, BN_CTX_free)

/* --- Arithmetic in lanes ------------------------------------------------ */

TARGET static inline Lanes
everywhere (guint64 digit)
{
  return _mm512_set1_epi64 ((long long) digit);
}

TARGET static inline Lanes
low (Lanes sum, Lanes a, Lanes b)
{
  return _mm512_madd52lo_epu64 (sum, a, b);
}

TARGET static inline Lanes
high (Lanes sum, Lanes a, Lanes b)
{
  return _mm512_madd52hi_epu64 (sum, a, b);
}

/* Carries what is above 52 bits, or borrows what is below zero, along the row. */
TARGET static inline __attribute__ ((always_inline)) void
carry_along (Lanes *x, const guint n)
{
  Lanes carry = _mm512_setzero_si512 ();

  for (guint i = 0; i < n; i++)
    {
      Lanes digit = _mm512_add_epi64 (x[i], carry);

      x[i] = _mm512_and_si512 (digit, everywhere (DIGIT_MASK));
      carry = _mm512_srai_epi64 (digit, DIGIT_BITS);
    }
}

/*
 * out = a * b / R mod m; `out` may be `a` or `b`. Row by row: the next digit of
 * b times a, and as much of m as makes the lowest digit zero, which is then
 * dropped. A sum takes 4 products a row, 160 in all: less than 2^60. Without `b`
 * it is the same number in all lanes, of `digits`.
 */
TARGET static inline __attribute__ ((always_inline)) void
multiply (Lanes *out, const Lanes *a, const Lanes *b, const guint64 *digits, const Modulus *m, const guint n)
{
  const Lanes zero = _mm512_setzero_si512 (), minus_inverse = everywhere (m->minus_inverse);
  const Lanes first = everywhere (m->value[0]);
  Lanes sum[DIGITS];

#pragma GCC unroll 40
  for (guint i = 0; i < n; i++)
    sum[i] = zero;
  for (guint row = 0; row < n; row++)
    {
      Lanes digit = b != NULL ? b[row] : everywhere (digits[row]);
      Lanes lowest = low (sum[0], a[0], digit);
      Lanes times = low (zero, lowest, minus_inverse);
      Lanes carry = _mm512_srli_epi64 (low (lowest, first, times), DIGIT_BITS);

      sum[0] = high (high (_mm512_add_epi64 (sum[1], carry), a[0], digit), first, times);
#pragma GCC unroll 40
      for (guint i = 1; i < n; i++)
        {
          Lanes of_a = a[i], of_m = everywhere (m->value[i]);

          sum[i - 1] = low (low (sum[i - 1], of_a, digit), of_m, times);
          sum[i] = high (high (i + 1 < n ? sum[i + 1] : zero, of_a, digit), of_m, times);
        }
    }
#pragma GCC unroll 40
  for (guint i = 0; i < n; i++)
    out[i] = sum[i];
  carry_along (out, n);
}

TARGET static __attribute__ ((noinline)) void
multiply_prime (Lanes *out, const Lanes *a, const Lanes *b, const Modulus *m)
{
  multiply (out, a, b, NULL, m, PRIME_DIGITS);
}

TARGET static __attribute__ ((noinline)) void
multiply_prime_by (Lanes *out, const Lanes *a, const guint64 *digits, const Modulus *m)
{
  multiply (out, a, NULL, digits, m, PRIME_DIGITS);
}

TARGET static __attribute__ ((noinline)) void
multiply_whole (Lanes *out, const Lanes *a, const Lanes *b, const Modulus *m)
{
  multiply (out, a, b, NULL, m, DIGITS);
}

TARGET static __attribute__ ((noinline)) void
multiply_whole_by (Lanes *out, const Lanes *a, const guint64 *digits, const Modulus *m)
{
  multiply (out, a, NULL, digits, m, DIGITS);
}

/* From below 2m to below m. Overwrites the powers. */
TARGET static void
reduce (Work *work, Lanes *x, const Modulus *m, guint n)
{
  Lanes *less = work->less, borrow = _mm512_setzero_si512 ();
  __mmask8 was_below;

  for (guint i = 0; i < n; i++)
    {
      Lanes digit = _mm512_add_epi64 (_mm512_sub_epi64 (x[i], everywhere (m->value[i])), borrow);

      less[i] = _mm512_and_si512 (digit, everywhere (DIGIT_MASK));
      borrow = _mm512_srai_epi64 (digit, DIGIT_BITS);
    }
  was_below = _mm512_cmplt_epi64_mask (borrow, _mm512_setzero_si512 ());
  for (guint i = 0; i < n; i++)
    x[i] = _mm512_mask_mov_epi64 (less[i], was_below, x[i]);
}

/* out = powers[index], having read them all. */
TARGET static void
pick (Lanes *out, Lanes (*powers)[PRIME_DIGITS], guint index)
{
  const Lanes wanted = everywhere (index);

  for (guint i = 0; i < PRIME_DIGITS; i++)
    out[i] = powers[0][i];
  for (guint power = 1; power < N_POWERS; power++)
    {
      const __mmask8 take = _mm512_cmpeq_epi64_mask (wanted, everywhere (power));

      for (guint i = 0; i < PRIME_DIGITS; i++)
        out[i] = _mm512_mask_mov_epi64 (out[i], take, powers[power][i]);
    }
}

/* x = (block mod m)^exponent mod m, below m. */
TARGET static void
power_of_block (Work *work, Lanes *x, const guint8 *exponent, const Modulus *m)
{
  Lanes (*powers)[PRIME_DIGITS] = work->powers;
  Lanes *factor = work->factor;

  /* block = upper * R + lower; each product is below 2m, and so is below R with
   * all that is left of the other. */
  multiply_prime_by (x, work->block, m->r2, m);
  multiply_prime_by (powers[1], work->block + PRIME_DIGITS, m->r3, m);
  for (guint i = 0; i < PRIME_DIGITS; i++)
    powers[1][i] = _mm512_add_epi64 (powers[1][i], x[i]);
  carry_along (powers[1], PRIME_DIGITS);

  for (guint i = 0; i < PRIME_DIGITS; i++)
    powers[0][i] = everywhere (m->one[i]);
  for (guint power = 2; power < N_POWERS; power++)
    multiply_prime (powers[power], powers[power - 1], powers[1], m);

  for (guint i = 0; i < 2 * PRIME_BYTES; i++)
    {
      pick (factor, powers, i % 2 == 0 ? exponent[i / 2] >> WINDOW_BITS : exponent[i / 2] & (N_POWERS - 1));
      if (i == 0)
        {
          memcpy (x, factor, sizeof work->factor);
          continue;
        }
      for (guint square = 0; square < WINDOW_BITS; square++)
        multiply_prime (x, x, x, m);
      multiply_prime (x, x, factor, m);
    }
  multiply_prime_by (x, x, number_one, m);
  reduce (work, x, m, PRIME_DIGITS);
}

/* result = v + q * ((u - v) * qInv mod p), which is below n. */
TARGET static void
join (const TpdRsaWide *wide, Work *work)
{
  Lanes *u = work->u, *v = work->v, *sum = work->result;

  /* v < q < 2p, so that nothing becomes negative. */
  for (guint i = 0; i < PRIME_DIGITS; i++)
    u[i] = _mm512_sub_epi64 (_mm512_add_epi64 (u[i], everywhere (2 * wide->p.value[i])), v[i]);
  carry_along (u, PRIME_DIGITS);
  multiply_prime_by (u, u, wide->qinv, &wide->p);
  reduce (work, u, &wide->p, PRIME_DIGITS);

  for (guint i = 0; i < DIGITS; i++)
    sum[i] = i < PRIME_DIGITS ? v[i] : _mm512_setzero_si512 ();
  for (guint i = 0; i < PRIME_DIGITS; i++)
    for (guint k = 0; k < PRIME_DIGITS; k++)
      {
        Lanes of_q = everywhere (wide->q.value[k]);

        sum[i + k] = low (sum[i + k], u[i], of_q);
        sum[i + k + 1] = high (sum[i + k + 1], u[i], of_q);
      }
  carry_along (sum, DIGITS);
}

/* A bit for each lane where result^exponent mod n is the block. */
TARGET static guint
prove (const TpdRsaWide *wide, Work *work)
{
  Lanes *base = work->base, *x = work->x, differ = _mm512_setzero_si512 ();
  int top = g_bit_nth_msf (wide->exponent, -1);

  multiply_whole_by (base, work->result, wide->n.r2, &wide->n);
  memcpy (x, base, sizeof work->x);
  for (int bit = top - 1; bit >= 0; bit--)
    {
      multiply_whole (x, x, x, &wide->n);
      if (wide->exponent >> bit & 1)
        multiply_whole (x, x, base, &wide->n);
    }
  multiply_whole_by (x, x, number_one, &wide->n);
  reduce (work, x, &wide->n, DIGITS);
  for (guint i = 0; i < DIGITS; i++)
    differ = _mm512_or_si512 (differ, _mm512_xor_si512 (x[i], work->block[i]));
  return _mm512_testn_epi64_mask (differ, differ);
}

/* --- Numbers from and to bytes ------------------------------------------ */

static void
digits_from_be (const guint8 *bytes, gsize len, guint64 *digits, guint n)
{
  guint64 pending = 0;
  guint bits = 0, at = 0;

  for (gsize i = len; i-- > 0 && at < n;)
    {
      pending |= (guint64) bytes[i] << bits;
      bits += 8;
      if (bits < DIGIT_BITS)
        continue;
      digits[at++] = pending & DIGIT_MASK;
      pending >>= DIGIT_BITS;
      bits -= DIGIT_BITS;
    }
  for (; at < n; at++, pending = 0)
    digits[at] = pending;
}

static void
digits_to_be (const guint64 *digits, guint8 *bytes, gsize len)
{
  guint64 pending = 0;
  guint bits = 0;

  for (gsize i = len; i-- > 0;)
    {
      if (bits < 8)
        {
          const guint64 digit = *digits++;

          bytes[i] = (guint8) (pending | digit << bits);
          pending = digit >> (8 - bits);
          bits += DIGIT_BITS - 8;
          continue;
        }
      bytes[i] = (guint8) pending;
      pending >>= 8;
      bits -= 8;
    }
}

/* FALSE for what does not fit. */
static gboolean
digits_from_number (const BIGNUM *number, guint64 *digits, guint n)
{
  guint8 bytes[TPD_RSA_WIDE_BYTES];
  gboolean ok = BN_bn2binpad (number, bytes, sizeof bytes) == (int) sizeof bytes;

  if (ok)
    digits_from_be (bytes, sizeof bytes, digits, n);
  tpd_wipe (bytes, sizeof bytes);
  return ok;
}

/* digits = number * 2^shift mod m. */
static gboolean
digits_from_shifted (const BIGNUM *number, int shift, const BIGNUM *m, BN_CTX *context, guint64 *digits, guint n)
{
  g_autoptr (BIGNUM) shifted = BN_secure_new ();

  return shifted != NULL && BN_lshift (shifted, number, shift) == 1 && BN_nnmod (shifted, shifted, m, context) == 1
         && digits_from_number (shifted, digits, n);
}

static gboolean
modulus_init (Modulus *modulus, const BIGNUM *value, guint n, BN_CTX *context)
{
  const int r_bits = (int) n * DIGIT_BITS;
  guint64 inverse;

  if (!digits_from_number (value, modulus->value, n)
      || !digits_from_shifted (BN_value_one (), r_bits, value, context, modulus->one, n)
      || !digits_from_shifted (BN_value_one (), 2 * r_bits, value, context, modulus->r2, n)
      || !digits_from_shifted (BN_value_one (), 3 * r_bits, value, context, modulus->r3, n))
    return FALSE;
  /* Newton: each step doubles the bits that are right, the first 3 of an odd
   * number's inverse being the number's own. */
  inverse = modulus->value[0];
  for (guint i = 0; i < 5; i++)
    inverse *= 2 - modulus->value[0] * inverse;
  modulus->minus_inverse = (0 - inverse) & DIGIT_MASK;
  return TRUE;
}

/* --- Blinding ----------------------------------------------------------- */

/* A random number of one lane. */
static gboolean
blind_lane (TpdRsaWide *wide, guint lane, BN_CTX *context)
{
  g_autoptr (BIGNUM) random = BN_secure_new ();
  g_autoptr (BIGNUM) number = BN_secure_new ();
  guint64 blind[DIGITS], unblind[DIGITS];
  gboolean ok;

  if (random == NULL || number == NULL)
    return FALSE;
  BN_set_flags (random, BN_FLG_CONSTTIME);
  ok = BN_priv_rand_range_ex (random, wide->big_n, 0, context) == 1
       && BN_mod_inverse (number, random, wide->big_n, context) != NULL
       && digits_from_shifted (number, DIGITS * DIGIT_BITS, wide->big_n, context, unblind, DIGITS)
       && BN_mod_exp (number, random, wide->big_e, wide->big_n, context) == 1
       && digits_from_shifted (number, DIGITS * DIGIT_BITS, wide->big_n, context, blind, DIGITS);
  for (guint i = 0; ok && i < DIGITS; i++)
    {
      wide->blind[i][lane] = blind[i];
      wide->unblind[i][lane] = unblind[i];
    }
  tpd_wipe (blind, sizeof blind);
  tpd_wipe (unblind, sizeof unblind);
  return ok;
}

static gboolean
blind_anew (TpdRsaWide *wide)
{
  g_autoptr (BN_CTX) context = BN_CTX_secure_new_ex (tpd_openssl_context ());
  gboolean ok = context != NULL;

  ERR_set_mark ();
  for (guint lane = 0; ok && lane < N_LANES; lane++)
    ok = blind_lane (wide, lane, context);
  ERR_pop_to_mark ();
  return ok;
}

TARGET static void
load_rows (Lanes *out, guint64 (*rows)[N_LANES])
{
  for (guint i = 0; i < DIGITS; i++)
    out[i] = _mm512_loadu_si512 (rows[i]);
}

TARGET static void
store_rows (guint64 (*rows)[N_LANES], const Lanes *in)
{
  for (guint i = 0; i < DIGITS; i++)
    _mm512_storeu_si512 (rows[i], in[i]);
}

/* Gives the factors of this batch: those of the last one squared, or new ones. */
TARGET static gboolean
take_blinding (TpdRsaWide *wide, Lanes *blind, Lanes *unblind)
{
  gboolean ok = TRUE;

  g_mutex_lock (&wide->lock);
  if (wide->batches == 0)
    ok = blind_anew (wide);
  load_rows (blind, wide->blind);
  load_rows (unblind, wide->unblind);
  if (ok && wide->batches++ > 0)
    {
      multiply_whole (blind, blind, blind, &wide->n);
      multiply_whole (unblind, unblind, unblind, &wide->n);
      store_rows (wide->blind, blind);
      store_rows (wide->unblind, unblind);
    }
  wide->batches %= BATCHES_PER_BLINDING;
  g_mutex_unlock (&wide->lock);
  return ok;
}

/* Of what was not proven, a blinding whose halves do not belong together may be
 * the cause: the next batch takes a new one. */
static void
forget_blinding (TpdRsaWide *wide)
{
  g_mutex_lock (&wide->lock);
  wide->batches = 0;
  g_mutex_unlock (&wide->lock);
}

/* --- Whole -------------------------------------------------------------- */

static gboolean
is_available (void)
{
  /* Also asks whether the system saves the registers. */
  return __builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512ifma");
}

static BIGNUM *
number_of (EVP_PKEY *pkey, const char *name)
{
  BIGNUM *number = NULL;

  if (EVP_PKEY_get_bn_param (pkey, name, &number) != 1)
    return NULL;
  BN_set_flags (number, BN_FLG_CONSTTIME);
  return number;
}

static gboolean
init (TpdRsaWide *wide, EVP_PKEY *pkey)
{
  g_autoptr (BN_CTX) context = BN_CTX_secure_new_ex (tpd_openssl_context ());
  g_autoptr (BIGNUM) p = number_of (pkey, OSSL_PKEY_PARAM_RSA_FACTOR1);
  g_autoptr (BIGNUM) q = number_of (pkey, OSSL_PKEY_PARAM_RSA_FACTOR2);
  g_autoptr (BIGNUM) dp = number_of (pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1);
  g_autoptr (BIGNUM) dq = number_of (pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2);
  g_autoptr (BIGNUM) qinv = number_of (pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1);

  wide->big_n = number_of (pkey, OSSL_PKEY_PARAM_RSA_N);
  wide->big_e = number_of (pkey, OSSL_PKEY_PARAM_RSA_E);
  if (context == NULL || wide->big_n == NULL || wide->big_e == NULL || p == NULL || q == NULL || dp == NULL
      || dq == NULL || qinv == NULL)
    return FALSE;
  if (BN_num_bits (wide->big_n) != 8 * TPD_RSA_WIDE_BYTES || BN_num_bits (p) != PRIME_BITS
      || BN_num_bits (q) != PRIME_BITS || !BN_is_odd (p) || !BN_is_odd (q) || BN_num_bits (wide->big_e) > 32
      || BN_is_zero (wide->big_e))
    return FALSE;
  wide->exponent = (guint32) BN_get_word (wide->big_e);
  return modulus_init (&wide->p, p, PRIME_DIGITS, context) && modulus_init (&wide->q, q, PRIME_DIGITS, context)
         && modulus_init (&wide->n, wide->big_n, DIGITS, context)
         && digits_from_shifted (qinv, PRIME_DIGITS * DIGIT_BITS, p, context, wide->qinv, PRIME_DIGITS)
         && BN_bn2binpad (dp, wide->dp, sizeof wide->dp) == (int) sizeof wide->dp
         && BN_bn2binpad (dq, wide->dq, sizeof wide->dq) == (int) sizeof wide->dq;
}

TpdRsaWide *
tpd_rsa_wide_new (EVP_PKEY *pkey)
{
  g_autoptr (TpdRsaWide) wide = NULL;

  if (__atomic_load_n (&forbidden, __ATOMIC_RELAXED) || !is_available ())
    return NULL;
  wide = tpd_secret_alloc (sizeof *wide);
  g_mutex_init (&wide->lock);
  return init (wide, pkey) ? g_steal_pointer (&wide) : NULL;
}

void
tpd_rsa_wide_free (TpdRsaWide *wide)
{
  if (wide == NULL)
    return;
  BN_free (wide->big_n);
  BN_free (wide->big_e);
  g_mutex_clear (&wide->lock);
  tpd_secret_free (wide, sizeof *wide);
}

/* The blocks, a lane each; those that are missing are zero. */
TARGET static void
load_blocks (Lanes *out, const guint8 *const *in, guint n)
{
  guint64 rows[DIGITS][N_LANES] = { { 0 } };
  guint64 digits[DIGITS];

  for (guint lane = 0; lane < n; lane++)
    {
      digits_from_be (in[lane], TPD_RSA_WIDE_BYTES, digits, DIGITS);
      for (guint i = 0; i < DIGITS; i++)
        rows[i][lane] = digits[i];
    }
  load_rows (out, rows);
}

/* Of those that `good` names; zeros for the others. */
TARGET static void
store_blocks (const Lanes *in, guint8 *const *out, guint n, guint good)
{
  guint64 rows[DIGITS][N_LANES], digits[DIGITS];

  store_rows (rows, in);
  for (guint lane = 0; lane < n; lane++)
    {
      const guint64 mask = 0 - (guint64) (good >> lane & 1);

      for (guint i = 0; i < DIGITS; i++)
        digits[i] = rows[i][lane] & mask;
      digits_to_be (digits, out[lane], TPD_RSA_WIDE_BYTES);
    }
  tpd_wipe (rows, sizeof rows);
  tpd_wipe (digits, sizeof digits);
}

TARGET static __attribute__ ((noinline)) guint
private_in (TpdRsaWide *wide, Work *work, const guint8 *const *in, guint8 *const *out, guint n)
{
  const guint all = (1u << n) - 1;
  guint good;

  if (!take_blinding (wide, work->result, work->unblind))
    {
      store_blocks (work->result, out, n, 0);
      return 0;
    }
  load_blocks (work->block, in, n);
  multiply_whole (work->block, work->block, work->result, &wide->n);
  reduce (work, work->block, &wide->n, DIGITS);
  power_of_block (work, work->u, wide->dp, &wide->p);
  power_of_block (work, work->v, wide->dq, &wide->q);
  join (wide, work);
  multiply_whole (work->result, work->result, work->unblind, &wide->n);
  reduce (work, work->result, &wide->n, DIGITS);
  load_blocks (work->block, in, n);
  good = prove (wide, work) & all;
  store_blocks (work->result, out, n, good);
  if (good != all)
    forget_blinding (wide);
  return good;
}

/* What private_in() and all that it calls may have used. */
static __attribute__ ((noinline)) void
wipe_stack (void)
{
  guint8 used[STACK_WIPED];

  tpd_wipe (used, sizeof used);
}

guint
tpd_rsa_wide_private (TpdRsaWide *wide, const guint8 *const *in, guint8 *const *out, guint n)
{
  guint8 *memory = tpd_secret_alloc (WORK_SIZE);
  Work *work = (Work *) (gpointer) (memory + (WORK_ALIGN - (gsize) memory % WORK_ALIGN));
  guint good;

  g_assert (n > 0 && n <= N_LANES);
  good = private_in (wide, work, in, out, n);
  wipe_stack ();
  tpd_secret_free (memory, WORK_SIZE);
  return good;
}

#else

TpdRsaWide *
tpd_rsa_wide_new (EVP_PKEY *pkey)
{
  return NULL;
}

void
tpd_rsa_wide_free (TpdRsaWide *wide)
{
}

guint
tpd_rsa_wide_private (TpdRsaWide *wide, const guint8 *const *in, guint8 *const *out, guint n)
{
  g_assert_not_reached ();
}

#endif
