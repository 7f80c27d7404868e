/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES by VAES instructions: see crypto/aes_wide.h.
 *
 * Decrypting is the larger half of what a read of a protected file costs above
 * a plain one. OpenSSL's own code decrypts a block an instruction; a processor
 * with VAES does two in the same time, or four where its registers are that wide,
 * and eight instructions in flight hide how long each takes. Nothing here depends
 * on key or data but through these instructions, which take the same time for all:
 * no tables, no branches.
 *
 * The round keys are those of FIPS 197, 5.2; for decryption those of the
 * equivalent inverse cipher, 5.3.5, which is what AESDEC computes.
 */
#include "crypto/aes_wide.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>

#define TARGET __attribute__ ((target ("avx2,aes,vaes")))
#define TARGET_FOUR __attribute__ ((target ("avx512f,aes,vaes")))
#define BLOCK 16
#define MAX_ROUNDS 14
/* What eight instructions decrypt. */
#define TWO_WIDE (16 * BLOCK)
#define FOUR_WIDE (32 * BLOCK)

#define EIGHT(WORK) \
  WORK (0);         \
  WORK (1);         \
  WORK (2);         \
  WORK (3);         \
  WORK (4);         \
  WORK (5);         \
  WORK (6);         \
  WORK (7)

typedef struct {
  guint32 rounds;
  guint32 width; /* blocks an instruction: 2 or 4 */
  guint8 encrypt[MAX_ROUNDS + 1][BLOCK];
  guint8 decrypt[MAX_ROUNDS + 1][BLOCK];
} Expanded;

static guint limit = TPD_AES_WIDE_MAX; /* atomic */

static guint
ask_processor (void)
{
  unsigned a, b, c, d;

  /* The first also asks whether the system saves the registers. */
  if (!__builtin_cpu_supports ("avx2") || __get_cpuid (1, &a, &b, &c, &d) == 0 || (c & bit_AES) == 0
      || __get_cpuid_count (7, 0, &a, &b, &c, &d) == 0 || (c & bit_VAES) == 0)
    return 0;
  return __builtin_cpu_supports ("avx512f") ? 4 : 2;
}

/* How many blocks an instruction takes; 0: there is none. Asked once: in a virtual
 * machine the host answers, and takes 10 us for it. */
static guint
available_width (void)
{
  static gint known; /* atomic: 1 more than the answer */
  gint answer = g_atomic_int_get (&known);

  if (answer == 0)
    {
      answer = 1 + (gint) ask_processor ();
      g_atomic_int_set (&known, answer);
    }
  return MIN ((guint) answer - 1, __atomic_load_n (&limit, __ATOMIC_RELAXED));
}

guint
tpd_aes_wide_set_limit (guint blocks)
{
  __atomic_store_n (&limit, blocks, __ATOMIC_RELAXED);
  return available_width ();
}

TARGET static inline __m128i
load (const guint8 *from)
{
  return _mm_loadu_si128 ((const __m128i *) (const void *) from);
}

TARGET static inline void
store (guint8 *to, __m128i block)
{
  _mm_storeu_si128 ((__m128i *) (void *) to, block);
}

TARGET static inline __m256i
load_two (const guint8 *from)
{
  return _mm256_loadu_si256 ((const __m256i *) (const void *) from);
}

TARGET static inline void
store_two (guint8 *to, __m256i blocks)
{
  _mm256_storeu_si256 ((__m256i *) (void *) to, blocks);
}

/* The S-box on each byte of a word. */
TARGET static guint32
sub_word (guint32 word)
{
  return (guint32) _mm_cvtsi128_si32 (_mm_aeskeygenassist_si128 (_mm_set1_epi32 ((int) word), 0));
}

/* FIPS 197, 5.2; words as they lie in memory, so that rotation goes right. */
TARGET static void
expand (Expanded *expanded, const guint8 *key, guint n_key)
{
  guint32 words[(MAX_ROUNDS + 1) * 4];
  guint32 constant = 1;
  guint n_words;

  expanded->rounds = n_key + 6;
  n_words = (expanded->rounds + 1) * 4;
  memcpy (words, key, n_key * 4);
  for (guint i = n_key; i < n_words; i++)
    {
      guint32 word = words[i - 1];

      if (i % n_key == 0)
        {
          word = sub_word (word >> 8 | word << 24) ^ constant;
          constant = (constant << 1) ^ ((constant >> 7) * 0x11b);
        }
      else if (n_key > 6 && i % n_key == 4)
        word = sub_word (word);
      words[i] = words[i - n_key] ^ word;
    }
  memcpy (expanded->encrypt, words, n_words * 4);
  tpd_wipe (words, sizeof words);

  for (guint i = 0; i <= expanded->rounds; i++)
    {
      __m128i round = load (expanded->encrypt[expanded->rounds - i]);

      store (expanded->decrypt[i], i == 0 || i == expanded->rounds ? round : _mm_aesimc_si128 (round));
    }
}

TpdSecret *
tpd_aes_wide_new (const guint8 *key, gsize key_len)
{
  guint width = available_width ();
  TpdSecret *secret;
  Expanded *expanded;

  g_return_val_if_fail (key_len == 16 || key_len == 24 || key_len == 32, NULL);
  if (width < 2)
    return NULL;
  secret = tpd_secret_new (NULL, sizeof (Expanded));
  expanded = (Expanded *) (void *) secret->data;
  expand (expanded, key, (guint) key_len / 4);
  expanded->width = width;
  return secret;
}

static const Expanded *
expanded_of (const TpdSecret *secret)
{
  return (const Expanded *) (const void *) secret->data;
}

TARGET static inline __m128i
decrypt_one (const Expanded *expanded, __m128i block)
{
  block = _mm_xor_si128 (block, load (expanded->decrypt[0]));
  for (guint i = 1; i < expanded->rounds; i++)
    block = _mm_aesdec_si128 (block, load (expanded->decrypt[i]));
  return _mm_aesdeclast_si128 (block, load (expanded->decrypt[expanded->rounds]));
}

/* --- Two blocks an instruction ------------------------------------------ */

/* 16 blocks, all but the exclusive or with what CBC chains. */
TARGET static inline __attribute__ ((always_inline)) void
decrypt_twos (const Expanded *expanded, __m256i x[8])
{
  __m256i key = _mm256_broadcastsi128_si256 (load (expanded->decrypt[0]));

#define WORK(i) x[i] = _mm256_xor_si256 (x[i], key)
  EIGHT (WORK);
#undef WORK
  for (guint round = 1; round < expanded->rounds; round++)
    {
      key = _mm256_broadcastsi128_si256 (load (expanded->decrypt[round]));
#define WORK(i) x[i] = _mm256_aesdec_epi128 (x[i], key)
      EIGHT (WORK);
#undef WORK
    }
  key = _mm256_broadcastsi128_si256 (load (expanded->decrypt[expanded->rounds]));
#define WORK(i) x[i] = _mm256_aesdeclast_epi128 (x[i], key)
  EIGHT (WORK);
#undef WORK
}

TARGET static void
ecb_twos (const Expanded *expanded, guint8 *data, gsize len)
{
  for (; len >= TWO_WIDE; data += TWO_WIDE, len -= TWO_WIDE)
    {
      __m256i x[8];

#define WORK(i) x[i] = load_two (data + 2 * BLOCK * (i))
      EIGHT (WORK);
#undef WORK
      decrypt_twos (expanded, x);
#define WORK(i) store_two (data + 2 * BLOCK * (i), x[i])
      EIGHT (WORK);
#undef WORK
    }
  for (; len >= BLOCK; data += BLOCK, len -= BLOCK)
    store (data, decrypt_one (expanded, load (data)));
}

TARGET static void
cbc_twos (const Expanded *expanded, guint8 *data, gsize len, __m128i previous)
{
  for (; len >= TWO_WIDE; data += TWO_WIDE, len -= TWO_WIDE)
    {
      __m256i x[8], first;
      __m128i last = load (data + TWO_WIDE - BLOCK);

#define WORK(i) x[i] = load_two (data + 2 * BLOCK * (i))
      EIGHT (WORK);
#undef WORK
      first = _mm256_inserti128_si256 (_mm256_castsi128_si256 (previous), load (data), 1);
      decrypt_twos (expanded, x);
      /* From the end: each needs the ciphertext of the block before it. */
#define WORK(i)                            \
  store_two (data + 2 * BLOCK * (7 - (i)), \
             _mm256_xor_si256 (x[7 - (i)], 7 - (i) == 0 ? first : load_two (data + 2 * BLOCK * (7 - (i)) - BLOCK)))
      EIGHT (WORK);
#undef WORK
      previous = last;
    }
  for (; len >= BLOCK; data += BLOCK, len -= BLOCK)
    {
      __m128i block = load (data);

      store (data, _mm_xor_si128 (decrypt_one (expanded, block), previous));
      previous = block;
    }
}

/* --- Four, and what is left by twos --------------------------------------- */

TARGET_FOUR static inline __m512i
load_four (const guint8 *from)
{
  return _mm512_loadu_si512 ((const void *) from);
}

TARGET_FOUR static inline void
store_four (guint8 *to, __m512i blocks)
{
  _mm512_storeu_si512 ((void *) to, blocks);
}

TARGET_FOUR static inline __m512i
round_key_four (const guint8 *key)
{
  return _mm512_broadcast_i32x4 (_mm_loadu_si128 ((const __m128i *) (const void *) key));
}

/* 32 blocks, as above. */
TARGET_FOUR static inline __attribute__ ((always_inline)) void
decrypt_fours (const Expanded *expanded, __m512i x[8])
{
  __m512i key = round_key_four (expanded->decrypt[0]);

#define WORK(i) x[i] = _mm512_xor_si512 (x[i], key)
  EIGHT (WORK);
#undef WORK
  for (guint round = 1; round < expanded->rounds; round++)
    {
      key = round_key_four (expanded->decrypt[round]);
#define WORK(i) x[i] = _mm512_aesdec_epi128 (x[i], key)
      EIGHT (WORK);
#undef WORK
    }
  key = round_key_four (expanded->decrypt[expanded->rounds]);
#define WORK(i) x[i] = _mm512_aesdeclast_epi128 (x[i], key)
  EIGHT (WORK);
#undef WORK
}

TARGET_FOUR static void
ecb_fours (const Expanded *expanded, guint8 *data, gsize len)
{
  for (; len >= FOUR_WIDE; data += FOUR_WIDE, len -= FOUR_WIDE)
    {
      __m512i x[8];

#define WORK(i) x[i] = load_four (data + 4 * BLOCK * (i))
      EIGHT (WORK);
#undef WORK
      decrypt_fours (expanded, x);
#define WORK(i) store_four (data + 4 * BLOCK * (i), x[i])
      EIGHT (WORK);
#undef WORK
    }
  ecb_twos (expanded, data, len);
}

TARGET_FOUR static void
cbc_fours (const Expanded *expanded, guint8 *data, gsize len, __m128i iv)
{
  /* The block before is its last one. */
  __m512i previous = _mm512_broadcast_i32x4 (iv);

  for (; len >= FOUR_WIDE; data += FOUR_WIDE, len -= FOUR_WIDE)
    {
      __m512i x[8], first, last = load_four (data + FOUR_WIDE - 4 * BLOCK);

#define WORK(i) x[i] = load_four (data + 4 * BLOCK * (i))
      EIGHT (WORK);
#undef WORK
      first = _mm512_alignr_epi64 (x[0], previous, 6);
      decrypt_fours (expanded, x);
#define WORK(i)                             \
  store_four (data + 4 * BLOCK * (7 - (i)), \
              _mm512_xor_si512 (x[7 - (i)], 7 - (i) == 0 ? first : load_four (data + 4 * BLOCK * (7 - (i)) - BLOCK)))
      EIGHT (WORK);
#undef WORK
      previous = last;
    }
  cbc_twos (expanded, data, len, _mm512_extracti32x4_epi32 (previous, 3));
}

/* --- Either ---------------------------------------------------------------- */

void
tpd_aes_wide_ecb_decrypt (const TpdSecret *secret, guint8 *data, gsize len)
{
  const Expanded *expanded = expanded_of (secret);

  if (expanded->width == 4)
    ecb_fours (expanded, data, len);
  else
    ecb_twos (expanded, data, len);
}

TARGET void
tpd_aes_wide_cbc_decrypt (const TpdSecret *secret, guint8 *data, gsize len, const guint8 iv[16])
{
  const Expanded *expanded = expanded_of (secret);

  if (expanded->width == 4)
    cbc_fours (expanded, data, len, load (iv));
  else
    cbc_twos (expanded, data, len, load (iv));
}

TARGET void
tpd_aes_wide_ecb_encrypt (const TpdSecret *secret, guint8 *data, gsize len)
{
  const Expanded *expanded = expanded_of (secret);

  for (; len >= 8 * BLOCK; data += 8 * BLOCK, len -= 8 * BLOCK)
    {
      __m128i x[8], key = load (expanded->encrypt[0]);

#define WORK(i) x[i] = _mm_xor_si128 (load (data + BLOCK * (i)), key)
      EIGHT (WORK);
#undef WORK
      for (guint round = 1; round < expanded->rounds; round++)
        {
          key = load (expanded->encrypt[round]);
#define WORK(i) x[i] = _mm_aesenc_si128 (x[i], key)
          EIGHT (WORK);
#undef WORK
        }
      key = load (expanded->encrypt[expanded->rounds]);
#define WORK(i) store (data + BLOCK * (i), _mm_aesenclast_si128 (x[i], key))
      EIGHT (WORK);
#undef WORK
    }
  for (; len >= BLOCK; data += BLOCK, len -= BLOCK)
    {
      __m128i x = _mm_xor_si128 (load (data), load (expanded->encrypt[0]));

      for (guint round = 1; round < expanded->rounds; round++)
        x = _mm_aesenc_si128 (x, load (expanded->encrypt[round]));
      store (data, _mm_aesenclast_si128 (x, load (expanded->encrypt[expanded->rounds])));
    }
}

#else

guint
tpd_aes_wide_set_limit (guint blocks)
{
  return 0;
}

TpdSecret *
tpd_aes_wide_new (const guint8 *key, gsize key_len)
{
  return NULL;
}

void
tpd_aes_wide_ecb_decrypt (const TpdSecret *expanded, guint8 *data, gsize len)
{
  g_assert_not_reached ();
}

void
tpd_aes_wide_cbc_decrypt (const TpdSecret *expanded, guint8 *data, gsize len, const guint8 iv[16])
{
  g_assert_not_reached ();
}

void
tpd_aes_wide_ecb_encrypt (const TpdSecret *expanded, guint8 *data, gsize len)
{
  g_assert_not_reached ();
}

#endif
