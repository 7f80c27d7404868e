/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA-2048 on eight blocks at once: see crypto/rsa_wide.h.
 *
 * Opening many small documents is RSA and little else. One operation cannot
 * fill a processor, for each product waits for the one before; eight in the
 * eight lanes of a register can, and no lane knows of the others.
 *
 * The arithmetic is that of crypto/lanes.h:
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

#include "crypto/lanes.h"
#include "crypto/provider.h"
#include "crypto/secret.h"

static gboolean forbidden; /* atomic */

void
tpd_rsa_wide_set_allowed (gboolean allowed)
{
  __atomic_store_n (&forbidden, !allowed, __ATOMIC_RELAXED);
}

#if TPD_LANES_POSSIBLE

#define PRIME_BITS 1024
#define PRIME_BYTES (PRIME_BITS / 8)

/* Of a private exponent, at a time: 16 powers are 20 KiB, which stays in the
 * processor's nearest cache while all of it is read for each step. */
#define WINDOW_BITS 4
#define N_POWERS (1 << WINDOW_BITS)

/* So many batches may use the squares of one random number; then a new one. */
#define BATCHES_PER_BLINDING 256

struct _TpdRsaWide {
  TpdLanesModulus p, q, n;
  guint8 dp[PRIME_BYTES], dq[PRIME_BYTES]; /* big-endian */
  guint64 qinv[TPD_WHOLE_DIGITS];          /* * R mod p */
  guint32 exponent;
  BIGNUM *big_n, *big_e;
  GMutex lock; /* protects those below */
  guint batches;
  guint64 blind[TPD_WHOLE_DIGITS][TPD_N_LANES];   /* r^e * R mod n */
  guint64 unblind[TPD_WHOLE_DIGITS][TPD_N_LANES]; /* r^-1 * R mod n */
};

/* What one batch works on: in secret memory, so that nothing is on the stack but
 * what the compiler puts there, which is wiped. */
typedef struct {
  union {
    TpdLanes powers[N_POWERS][TPD_PRIME_DIGITS];
    struct {
      TpdLanes base[TPD_WHOLE_DIGITS], x[TPD_WHOLE_DIGITS];
      TpdLanes less[TPD_WHOLE_DIGITS];
    };
  };
  TpdLanes factor[TPD_PRIME_DIGITS];
  TpdLanes block[TPD_WHOLE_DIGITS];
  TpdLanes unblind[TPD_WHOLE_DIGITS];
  TpdLanes result[TPD_WHOLE_DIGITS];
  TpdLanes u[TPD_PRIME_DIGITS], v[TPD_PRIME_DIGITS];
} Work;

/* Multiplying spills digits of its factors and of the modulus, which may be a
 * prime: compilers make frames of 2 to 8 KiB for it. */
#define STACK_WIPED (16 * 1024)

#define WORK_ALIGN 64
#define WORK_SIZE (sizeof (Work) + WORK_ALIGN)

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BIGNUM, BN_clear_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (BN_CTX, BN_CTX_free)

G_STATIC_ASSERT (TPD_RSA_WIDE_BLOCKS == TPD_N_LANES);

/* out = powers[index], having read them all. */
TPD_LANES_TARGET static void
pick (TpdLanes *out, TpdLanes (*powers)[TPD_PRIME_DIGITS], guint index)
{
  const TpdLanes wanted = tpd_lanes_everywhere (index);

  for (guint i = 0; i < TPD_PRIME_DIGITS; i++)
    out[i] = powers[0][i];
  for (guint power = 1; power < N_POWERS; power++)
    {
      const __mmask8 take = _mm512_cmpeq_epi64_mask (wanted, tpd_lanes_everywhere (power));

      for (guint i = 0; i < TPD_PRIME_DIGITS; i++)
        out[i] = _mm512_mask_mov_epi64 (out[i], take, powers[power][i]);
    }
}

/* x = (block mod m)^exponent mod m, below m. */
TPD_LANES_TARGET static void
power_of_block (Work *work, TpdLanes *x, const guint8 *exponent, const TpdLanesModulus *m)
{
  TpdLanes (*powers)[TPD_PRIME_DIGITS] = work->powers;
  TpdLanes *factor = work->factor;

  /* block = upper * R + lower; each product is below 2m, and so is below R with
   * all that is left of the other. */
  tpd_lanes_multiply_prime_by (x, work->block, m->r2, m);
  tpd_lanes_multiply_prime_by (powers[1], work->block + TPD_PRIME_DIGITS, m->r3, m);
  for (guint i = 0; i < TPD_PRIME_DIGITS; i++)
    powers[1][i] = _mm512_add_epi64 (powers[1][i], x[i]);
  tpd_lanes_carry (powers[1], TPD_PRIME_DIGITS);

  for (guint i = 0; i < TPD_PRIME_DIGITS; i++)
    powers[0][i] = tpd_lanes_everywhere (m->one[i]);
  for (guint power = 2; power < N_POWERS; power++)
    tpd_lanes_multiply_prime (powers[power], powers[power - 1], powers[1], m);

  for (guint i = 0; i < 2 * PRIME_BYTES; i++)
    {
      pick (factor, powers, i % 2 == 0 ? exponent[i / 2] >> WINDOW_BITS : exponent[i / 2] & (N_POWERS - 1));
      if (i == 0)
        {
          memcpy (x, factor, sizeof work->factor);
          continue;
        }
      for (guint square = 0; square < WINDOW_BITS; square++)
        tpd_lanes_multiply_prime (x, x, x, m);
      tpd_lanes_multiply_prime (x, x, factor, m);
    }
  tpd_lanes_multiply_prime_by (x, x, tpd_digits_one, m);
  tpd_lanes_reduce (x, work->less, m, TPD_PRIME_DIGITS);
}

/* result = v + q * ((u - v) * qInv mod p), which is below n. */
TPD_LANES_TARGET static void
join (const TpdRsaWide *wide, Work *work)
{
  TpdLanes *u = work->u, *v = work->v, *sum = work->result;

  /* v < q < 2p, so that nothing becomes negative. */
  for (guint i = 0; i < TPD_PRIME_DIGITS; i++)
    u[i] = _mm512_sub_epi64 (_mm512_add_epi64 (u[i], tpd_lanes_everywhere (2 * wide->p.value[i])), v[i]);
  tpd_lanes_carry (u, TPD_PRIME_DIGITS);
  tpd_lanes_multiply_prime_by (u, u, wide->qinv, &wide->p);
  tpd_lanes_reduce (u, work->less, &wide->p, TPD_PRIME_DIGITS);

  for (guint i = 0; i < TPD_WHOLE_DIGITS; i++)
    sum[i] = i < TPD_PRIME_DIGITS ? v[i] : _mm512_setzero_si512 ();
  for (guint i = 0; i < TPD_PRIME_DIGITS; i++)
    for (guint k = 0; k < TPD_PRIME_DIGITS; k++)
      {
        TpdLanes of_q = tpd_lanes_everywhere (wide->q.value[k]);

        sum[i + k] = tpd_lanes_low (sum[i + k], u[i], of_q);
        sum[i + k + 1] = tpd_lanes_high (sum[i + k + 1], u[i], of_q);
      }
  tpd_lanes_carry (sum, TPD_WHOLE_DIGITS);
}

/* A bit for each lane where result^exponent mod n is the block. */
TPD_LANES_TARGET static guint
prove (const TpdRsaWide *wide, Work *work)
{
  TpdLanes *base = work->base, *x = work->x, differ = _mm512_setzero_si512 ();
  int top = g_bit_nth_msf (wide->exponent, -1);

  tpd_lanes_multiply_whole_by (base, work->result, wide->n.r2, &wide->n);
  memcpy (x, base, sizeof work->x);
  for (int bit = top - 1; bit >= 0; bit--)
    {
      tpd_lanes_multiply_whole (x, x, x, &wide->n);
      if (wide->exponent >> bit & 1)
        tpd_lanes_multiply_whole (x, x, base, &wide->n);
    }
  tpd_lanes_multiply_whole_by (x, x, tpd_digits_one, &wide->n);
  tpd_lanes_reduce (x, work->less, &wide->n, TPD_WHOLE_DIGITS);
  for (guint i = 0; i < TPD_WHOLE_DIGITS; i++)
    differ = _mm512_or_si512 (differ, _mm512_xor_si512 (x[i], work->block[i]));
  return _mm512_testn_epi64_mask (differ, differ);
}

/* --- Blinding ----------------------------------------------------------- */

/* A random number of one lane. */
static gboolean
blind_lane (TpdRsaWide *wide, guint lane, BN_CTX *context)
{
  g_autoptr (BIGNUM) random = BN_secure_new ();
  g_autoptr (BIGNUM) number = BN_secure_new ();
  guint64 blind[TPD_WHOLE_DIGITS], unblind[TPD_WHOLE_DIGITS];
  gboolean ok;

  if (random == NULL || number == NULL)
    return FALSE;
  BN_set_flags (random, BN_FLG_CONSTTIME);
  ok = BN_priv_rand_range_ex (random, wide->big_n, 0, context) == 1
       && BN_mod_inverse (number, random, wide->big_n, context) != NULL
       && tpd_digits_from_shifted (number, TPD_WHOLE_DIGITS * TPD_DIGIT_BITS, wide->big_n, context, unblind,
                                   TPD_WHOLE_DIGITS)
       && BN_mod_exp (number, random, wide->big_e, wide->big_n, context) == 1
       && tpd_digits_from_shifted (number, TPD_WHOLE_DIGITS * TPD_DIGIT_BITS, wide->big_n, context, blind,
                                   TPD_WHOLE_DIGITS);
  for (guint i = 0; ok && i < TPD_WHOLE_DIGITS; i++)
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
  for (guint lane = 0; ok && lane < TPD_N_LANES; lane++)
    ok = blind_lane (wide, lane, context);
  ERR_pop_to_mark ();
  return ok;
}

TPD_LANES_TARGET static void
load_rows (TpdLanes *out, guint64 (*rows)[TPD_N_LANES])
{
  for (guint i = 0; i < TPD_WHOLE_DIGITS; i++)
    out[i] = _mm512_loadu_si512 (rows[i]);
}

TPD_LANES_TARGET static void
store_rows (guint64 (*rows)[TPD_N_LANES], const TpdLanes *in)
{
  for (guint i = 0; i < TPD_WHOLE_DIGITS; i++)
    _mm512_storeu_si512 (rows[i], in[i]);
}

/* Gives the factors of this batch: those of the last one squared, or new ones. */
TPD_LANES_TARGET static gboolean
take_blinding (TpdRsaWide *wide, TpdLanes *blind, TpdLanes *unblind)
{
  gboolean ok = TRUE;

  g_mutex_lock (&wide->lock);
  if (wide->batches == 0)
    ok = blind_anew (wide);
  load_rows (blind, wide->blind);
  load_rows (unblind, wide->unblind);
  if (ok && wide->batches++ > 0)
    {
      tpd_lanes_multiply_whole (blind, blind, blind, &wide->n);
      tpd_lanes_multiply_whole (unblind, unblind, unblind, &wide->n);
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
  return tpd_lanes_modulus_init (&wide->p, p, TPD_PRIME_DIGITS, context)
         && tpd_lanes_modulus_init (&wide->q, q, TPD_PRIME_DIGITS, context)
         && tpd_lanes_modulus_init (&wide->n, wide->big_n, TPD_WHOLE_DIGITS, context)
         && tpd_digits_from_shifted (qinv, TPD_PRIME_DIGITS * TPD_DIGIT_BITS, p, context, wide->qinv, TPD_PRIME_DIGITS)
         && BN_bn2binpad (dp, wide->dp, sizeof wide->dp) == (int) sizeof wide->dp
         && BN_bn2binpad (dq, wide->dq, sizeof wide->dq) == (int) sizeof wide->dq;
}

TpdRsaWide *
tpd_rsa_wide_new (EVP_PKEY *pkey)
{
  g_autoptr (TpdRsaWide) wide = NULL;

  if (__atomic_load_n (&forbidden, __ATOMIC_RELAXED) || !tpd_lanes_available ())
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
TPD_LANES_TARGET static void
load_blocks (TpdLanes *out, const guint8 *const *in, guint n)
{
  guint64 rows[TPD_WHOLE_DIGITS][TPD_N_LANES] = { { 0 } };
  guint64 digits[TPD_WHOLE_DIGITS];

  for (guint lane = 0; lane < n; lane++)
    {
      tpd_digits_from_be (in[lane], TPD_RSA_WIDE_BYTES, digits, TPD_WHOLE_DIGITS);
      for (guint i = 0; i < TPD_WHOLE_DIGITS; i++)
        rows[i][lane] = digits[i];
    }
  load_rows (out, rows);
}

/* Of those that `good` names; zeros for the others. */
TPD_LANES_TARGET static void
store_blocks (const TpdLanes *in, guint8 *const *out, guint n, guint good)
{
  guint64 rows[TPD_WHOLE_DIGITS][TPD_N_LANES], digits[TPD_WHOLE_DIGITS];

  store_rows (rows, in);
  for (guint lane = 0; lane < n; lane++)
    {
      const guint64 mask = 0 - (guint64) (good >> lane & 1);

      for (guint i = 0; i < TPD_WHOLE_DIGITS; i++)
        digits[i] = rows[i][lane] & mask;
      tpd_digits_to_be (digits, out[lane], TPD_RSA_WIDE_BYTES);
    }
  tpd_wipe (rows, sizeof rows);
  tpd_wipe (digits, sizeof digits);
}

TPD_LANES_TARGET static __attribute__ ((noinline)) guint
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
  tpd_lanes_multiply_whole (work->block, work->block, work->result, &wide->n);
  tpd_lanes_reduce (work->block, work->less, &wide->n, TPD_WHOLE_DIGITS);
  power_of_block (work, work->u, wide->dp, &wide->p);
  power_of_block (work, work->v, wide->dq, &wide->q);
  join (wide, work);
  tpd_lanes_multiply_whole (work->result, work->result, work->unblind, &wide->n);
  tpd_lanes_reduce (work->result, work->less, &wide->n, TPD_WHOLE_DIGITS);
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

  g_assert (n > 0 && n <= TPD_N_LANES);
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
