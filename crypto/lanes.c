/* SPDX-License-Identifier: Apache-2.0 */
/* Large numbers, eight at once: see crypto/lanes.h. */
#include "crypto/lanes.h"

#if TPD_LANES_POSSIBLE

#include <openssl/bn.h>

#include "crypto/secret.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (BIGNUM, BN_clear_free)

const guint64 tpd_digits_one[TPD_WHOLE_DIGITS] = { 1 };

gboolean
tpd_lanes_available (void)
{
  /* Also asks whether the system saves the registers. */
  return __builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512ifma");
}

/* --- Arithmetic ---------------------------------------------------------- */

/* Carries what is above 52 bits, or borrows what is below zero, along the row. */
TPD_LANES_TARGET static inline __attribute__ ((always_inline)) void
carry_along (TpdLanes *x, const guint n)
{
  TpdLanes carry = _mm512_setzero_si512 ();

  for (guint i = 0; i < n; i++)
    {
      TpdLanes digit = _mm512_add_epi64 (x[i], carry);

      x[i] = _mm512_and_si512 (digit, tpd_lanes_everywhere (TPD_DIGIT_MASK));
      carry = _mm512_srai_epi64 (digit, TPD_DIGIT_BITS);
    }
}

/*
 * Row by row: the next digit of
 * b times a, and as much of m as makes the lowest digit zero, which is then
 * dropped. A sum takes 4 products a row, 160 in all: less than 2^60. Without `b`
 * it is the same number in all lanes, of `digits`.
 */
TPD_LANES_TARGET static inline __attribute__ ((always_inline)) void
multiply (TpdLanes *out, const TpdLanes *a, const TpdLanes *b, const guint64 *digits, const TpdLanesModulus *m,
          const guint n)
{
  const TpdLanes zero = _mm512_setzero_si512 (), minus_inverse = tpd_lanes_everywhere (m->minus_inverse);
  const TpdLanes first = tpd_lanes_everywhere (m->value[0]);
  TpdLanes sum[TPD_WHOLE_DIGITS];

#pragma GCC unroll 40
  for (guint i = 0; i < n; i++)
    sum[i] = zero;
  for (guint row = 0; row < n; row++)
    {
      TpdLanes digit = b != NULL ? b[row] : tpd_lanes_everywhere (digits[row]);
      TpdLanes lowest = tpd_lanes_low (sum[0], a[0], digit);
      TpdLanes times = tpd_lanes_low (zero, lowest, minus_inverse);
      TpdLanes carry = _mm512_srli_epi64 (tpd_lanes_low (lowest, first, times), TPD_DIGIT_BITS);

      sum[0] = tpd_lanes_high (tpd_lanes_high (_mm512_add_epi64 (sum[1], carry), a[0], digit), first, times);
#pragma GCC unroll 40
      for (guint i = 1; i < n; i++)
        {
          TpdLanes of_a = a[i], of_m = tpd_lanes_everywhere (m->value[i]);

          sum[i - 1] = tpd_lanes_low (tpd_lanes_low (sum[i - 1], of_a, digit), of_m, times);
          sum[i] = tpd_lanes_high (tpd_lanes_high (i + 1 < n ? sum[i + 1] : zero, of_a, digit), of_m, times);
        }
    }
#pragma GCC unroll 40
  for (guint i = 0; i < n; i++)
    out[i] = sum[i];
  carry_along (out, n);
}

TPD_LANES_TARGET void
tpd_lanes_multiply_prime (TpdLanes *out, const TpdLanes *a, const TpdLanes *b, const TpdLanesModulus *m)
{
  multiply (out, a, b, NULL, m, TPD_PRIME_DIGITS);
}

TPD_LANES_TARGET void
tpd_lanes_multiply_prime_by (TpdLanes *out, const TpdLanes *a, const guint64 *digits, const TpdLanesModulus *m)
{
  multiply (out, a, NULL, digits, m, TPD_PRIME_DIGITS);
}

TPD_LANES_TARGET void
tpd_lanes_multiply_whole (TpdLanes *out, const TpdLanes *a, const TpdLanes *b, const TpdLanesModulus *m)
{
  multiply (out, a, b, NULL, m, TPD_WHOLE_DIGITS);
}

TPD_LANES_TARGET void
tpd_lanes_multiply_whole_by (TpdLanes *out, const TpdLanes *a, const guint64 *digits, const TpdLanesModulus *m)
{
  multiply (out, a, NULL, digits, m, TPD_WHOLE_DIGITS);
}

TPD_LANES_TARGET void
tpd_lanes_carry (TpdLanes *x, guint n)
{
  carry_along (x, n);
}

TPD_LANES_TARGET void
tpd_lanes_reduce (TpdLanes *x, TpdLanes *scratch, const TpdLanesModulus *m, guint n)
{
  TpdLanes borrow = _mm512_setzero_si512 ();
  __mmask8 was_below;

  for (guint i = 0; i < n; i++)
    {
      TpdLanes digit = _mm512_add_epi64 (_mm512_sub_epi64 (x[i], tpd_lanes_everywhere (m->value[i])), borrow);

      scratch[i] = _mm512_and_si512 (digit, tpd_lanes_everywhere (TPD_DIGIT_MASK));
      borrow = _mm512_srai_epi64 (digit, TPD_DIGIT_BITS);
    }
  was_below = _mm512_cmplt_epi64_mask (borrow, _mm512_setzero_si512 ());
  for (guint i = 0; i < n; i++)
    x[i] = _mm512_mask_mov_epi64 (scratch[i], was_below, x[i]);
}

/* --- Digits -------------------------------------------------------------- */

void
tpd_digits_from_be (const guint8 *bytes, gsize len, guint64 *digits, guint n)
{
  guint64 pending = 0;
  guint bits = 0, at = 0;

  for (gsize i = len; i-- > 0 && at < n;)
    {
      pending |= (guint64) bytes[i] << bits;
      bits += 8;
      if (bits < TPD_DIGIT_BITS)
        continue;
      digits[at++] = pending & TPD_DIGIT_MASK;
      pending >>= TPD_DIGIT_BITS;
      bits -= TPD_DIGIT_BITS;
    }
  for (; at < n; at++, pending = 0)
    digits[at] = pending;
}

void
tpd_digits_to_be (const guint64 *digits, guint8 *bytes, gsize len)
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
          bits += TPD_DIGIT_BITS - 8;
          continue;
        }
      bytes[i] = (guint8) pending;
      pending >>= 8;
      bits -= 8;
    }
}

/* FALSE for what does not fit. */
static gboolean
from_number (const BIGNUM *number, guint64 *digits, guint n)
{
  guint8 bytes[TPD_WHOLE_BYTES];
  gboolean ok = BN_bn2binpad (number, bytes, sizeof bytes) == (int) sizeof bytes;

  if (ok)
    tpd_digits_from_be (bytes, sizeof bytes, digits, n);
  tpd_wipe (bytes, sizeof bytes);
  return ok;
}

gboolean
tpd_digits_from_shifted (const BIGNUM *number, int shift, const BIGNUM *m, BN_CTX *context, guint64 *digits, guint n)
{
  g_autoptr (BIGNUM) shifted = BN_secure_new ();

  return shifted != NULL && BN_lshift (shifted, number, shift) == 1 && BN_nnmod (shifted, shifted, m, context) == 1
         && from_number (shifted, digits, n);
}

gboolean
tpd_lanes_modulus_init (TpdLanesModulus *modulus, const BIGNUM *value, guint n, BN_CTX *context)
{
  const int r_bits = (int) n * TPD_DIGIT_BITS;
  guint64 inverse;

  if (!from_number (value, modulus->value, n)
      || !tpd_digits_from_shifted (BN_value_one (), r_bits, value, context, modulus->one, n)
      || !tpd_digits_from_shifted (BN_value_one (), 2 * r_bits, value, context, modulus->r2, n)
      || !tpd_digits_from_shifted (BN_value_one (), 3 * r_bits, value, context, modulus->r3, n))
    return FALSE;
  /* Newton: each step doubles the bits that are right, the first 3 of an odd
   * number's inverse being the number's own. */
  inverse = modulus->value[0];
  for (guint i = 0; i < 5; i++)
    inverse *= 2 - modulus->value[0] * inverse;
  modulus->minus_inverse = (0 - inverse) & TPD_DIGIT_MASK;
  return TRUE;
}

#endif
