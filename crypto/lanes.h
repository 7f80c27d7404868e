/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large numbers, eight at once, in the lanes of AVX-512 registers: what
 * crypto/rsa_wide.c calculates with. Everything takes the same time for all
 * numbers of a size, and reads the same addresses.
 *
 * A number is a row of digits of 52 bits, least first, as VPMADD52 multiplies
 * them; a TpdLanes holds one digit of eight numbers. Products are Montgomery's:
 * a * b / R mod m, R being 2^1040 for numbers of a prime's size (20 digits) and
 * 2^2080 for those of a modulus (40). R is 2^16 times the modulus and more, so that
 * factors need not be below it: with a * b up to R * m the result is below 2m.
 * Only what is compared or given out is brought below m by tpd_lanes_reduce().
 */
#pragma once

#include <glib.h>
#include <openssl/types.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define TPD_LANES_POSSIBLE 1
#else
#define TPD_LANES_POSSIBLE 0
#endif

#if TPD_LANES_POSSIBLE

#include <immintrin.h>

/* Of each function that has a TpdLanes in its hands. */
#define TPD_LANES_TARGET __attribute__ ((target ("avx512f,avx512ifma")))

#define TPD_N_LANES 8
#define TPD_DIGIT_BITS 52
#define TPD_DIGIT_MASK ((G_GUINT64_CONSTANT (1) << TPD_DIGIT_BITS) - 1)
#define TPD_PRIME_DIGITS 20
#define TPD_WHOLE_DIGITS (2 * TPD_PRIME_DIGITS)
#define TPD_WHOLE_BYTES 256

typedef __m512i TpdLanes;

/* Whether processor and system can; to be asked before anything else. */
gboolean tpd_lanes_available (void);

TPD_LANES_TARGET static inline TpdLanes
tpd_lanes_everywhere (guint64 digit)
{
  return _mm512_set1_epi64 ((long long) digit);
}

/* sum + the lower and the upper 52 bits of a * b. */
TPD_LANES_TARGET static inline TpdLanes
tpd_lanes_low (TpdLanes sum, TpdLanes a, TpdLanes b)
{
  return _mm512_madd52lo_epu64 (sum, a, b);
}

TPD_LANES_TARGET static inline TpdLanes
tpd_lanes_high (TpdLanes sum, TpdLanes a, TpdLanes b)
{
  return _mm512_madd52hi_epu64 (sum, a, b);
}

/* --- Digits -------------------------------------------------------------- */

/* The number 1. */
extern const guint64 tpd_digits_one[TPD_WHOLE_DIGITS];

/* `n` digits of a big-endian number; what is above them is left out. */
void tpd_digits_from_be (const guint8 *bytes, gsize len, guint64 *digits, guint n);
void tpd_digits_to_be (const guint64 *digits, guint8 *bytes, gsize len);
/* number * 2^shift mod m. FALSE when memory is out. */
gboolean tpd_digits_from_shifted (const BIGNUM *number, int shift, const BIGNUM *m, BN_CTX *context, guint64 *digits,
                                  guint n);

/* What is calculated modulo: odd, of TPD_PRIME_DIGITS or TPD_WHOLE_DIGITS. */
typedef struct {
  guint64 value[TPD_WHOLE_DIGITS];
  guint64 minus_inverse;         /* -1 / value mod 2^52 */
  guint64 one[TPD_WHOLE_DIGITS]; /* R mod value */
  guint64 r2[TPD_WHOLE_DIGITS];  /* R^2 mod value */
  guint64 r3[TPD_WHOLE_DIGITS];  /* R^3 mod value */
} TpdLanesModulus;

/* FALSE when memory is out or `value` too large. */
gboolean tpd_lanes_modulus_init (TpdLanesModulus *modulus, const BIGNUM *value, guint n, BN_CTX *context);

/* --- Arithmetic ---------------------------------------------------------- */

/* out = a * b / R mod m; `out` may be `a` or `b`. With `digits`, these in all
 * lanes instead of `b`. */
void tpd_lanes_multiply_prime (TpdLanes *out, const TpdLanes *a, const TpdLanes *b, const TpdLanesModulus *m);
void tpd_lanes_multiply_prime_by (TpdLanes *out, const TpdLanes *a, const guint64 *digits, const TpdLanesModulus *m);
void tpd_lanes_multiply_whole (TpdLanes *out, const TpdLanes *a, const TpdLanes *b, const TpdLanesModulus *m);
void tpd_lanes_multiply_whole_by (TpdLanes *out, const TpdLanes *a, const guint64 *digits, const TpdLanesModulus *m);

/* Carries what is above 52 bits, or borrows what is below zero, along the row. */
void tpd_lanes_carry (TpdLanes *x, guint n);

/* From below 2m to below m. `scratch` is for as many digits. */
void tpd_lanes_reduce (TpdLanes *x, TpdLanes *scratch, const TpdLanesModulus *m, guint n);

#endif
