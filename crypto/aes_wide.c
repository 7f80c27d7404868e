/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES by VAES instructions: see crypto/aes_wide.h.
 *
 * Decrypting is the larger half of what a read of a protected file costs above
 * a plain one. OpenSSL's own code decrypts a block an instruction; a processor
 * with VAES does two in the same time, and sixteen blocks in flight hide how long
 * each takes. Nothing here depends on key or data but through these instructions,
 * which take the same time for all: no tables, no branches.
 *
 * The round keys are those of FIPS 197, 5.2; for decryption those of the
 * equivalent inverse cipher, 5.3.5, which is what AESDEC computes.
 */
#include "crypto/aes_wide.h"

#include <string.h>

static gboolean forbidden; /* atomic */

void
tpd_aes_wide_set_allowed (gboolean allowed)
{
  __atomic_store_n (&forbidden, !allowed, __ATOMIC_RELAXED);
}

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>

#define TARGET __attribute__ ((target ("avx2,aes,vaes")))
#define BLOCK 16
#define MAX_ROUNDS 14
#define WIDE (16 * BLOCK)

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
  guint8 encrypt[MAX_ROUNDS + 1][BLOCK];
  guint8 decrypt[MAX_ROUNDS + 1][BLOCK];
} Expanded;

static gboolean
ask_processor (void)
{
  unsigned a, b, c, d;

  /* The first also asks whether the system saves the registers. */
  return __builtin_cpu_supports ("avx2") && __get_cpuid (1, &a, &b, &c, &d) != 0 && (c & bit_AES) != 0
         && __get_cpuid_count (7, 0, &a, &b, &c, &d) != 0 && (c & bit_VAES) != 0;
}

/* Asked once: in a virtual machine the host answers, and takes 10 us for it. */
static gboolean
is_available (void)
{
  static gint known; /* atomic: 1 yes, 2 no */
  gint answer = g_atomic_int_get (&known);

  if (answer == 0)
    {
      answer = ask_processor () ? 1 : 2;
      g_atomic_int_set (&known, answer);
    }
  return answer == 1;
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
  TpdSecret *secret;

  g_return_val_if_fail (key_len == 16 || key_len == 24 || key_len == 32, NULL);
  if (__atomic_load_n (&forbidden, __ATOMIC_RELAXED) || !is_available ())
    return NULL;
  secret = tpd_secret_new (NULL, sizeof (Expanded));
  expand ((Expanded *) (void *) secret->data, key, (guint) key_len / 4);
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

/* 16 blocks, all but the exclusive or with what CBC chains. */
TARGET static inline __attribute__ ((always_inline)) void
decrypt_wide (const Expanded *expanded, __m256i x[8])
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

TARGET void
tpd_aes_wide_ecb_decrypt (const TpdSecret *secret, guint8 *data, gsize len)
{
  const Expanded *expanded = expanded_of (secret);

  for (; len >= WIDE; data += WIDE, len -= WIDE)
    {
      __m256i x[8];

#define WORK(i) x[i] = load_two (data + 2 * BLOCK * (i))
      EIGHT (WORK);
#undef WORK
      decrypt_wide (expanded, x);
#define WORK(i) store_two (data + 2 * BLOCK * (i), x[i])
      EIGHT (WORK);
#undef WORK
    }
  for (; len >= BLOCK; data += BLOCK, len -= BLOCK)
    store (data, decrypt_one (expanded, load (data)));
}

TARGET void
tpd_aes_wide_cbc_decrypt (const TpdSecret *secret, guint8 *data, gsize len, const guint8 iv[16])
{
  const Expanded *expanded = expanded_of (secret);
  __m128i previous = load (iv);

  for (; len >= WIDE; data += WIDE, len -= WIDE)
    {
      __m256i x[8], first;
      __m128i last = load (data + WIDE - BLOCK);

#define WORK(i) x[i] = load_two (data + 2 * BLOCK * (i))
      EIGHT (WORK);
#undef WORK
      first = _mm256_inserti128_si256 (_mm256_castsi128_si256 (previous), load (data), 1);
      decrypt_wide (expanded, x);
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

TARGET void
tpd_aes_wide_encrypt_block (const TpdSecret *secret, guint8 block[16])
{
  const Expanded *expanded = expanded_of (secret);
  __m128i x = _mm_xor_si128 (load (block), load (expanded->encrypt[0]));

  for (guint i = 1; i < expanded->rounds; i++)
    x = _mm_aesenc_si128 (x, load (expanded->encrypt[i]));
  store (block, _mm_aesenclast_si128 (x, load (expanded->encrypt[expanded->rounds])));
}

#else

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
tpd_aes_wide_encrypt_block (const TpdSecret *expanded, guint8 block[16])
{
  g_assert_not_reached ();
}

#endif
