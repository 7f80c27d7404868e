/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 of two texts side by side: see crypto/sha_wide.h.
 *
 * FIPS 180-4, 6.2. An instruction does two rounds and takes as long as two
 * instructions could be begun in: the other text fills the gap. The registers hold
 * the eight words as the instructions want them, A B E F and C D G H, the highest
 * first.
 */
#include "crypto/sha_wide.h"

#include <string.h>

#include "crypto/secret.h"

#define BLOCK 64
#define LENGTH_SIZE 8 /* of the length in bits at the end */

/* --- Blocks ----------------------------------------------------------------- */

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>

#define TARGET __attribute__ ((target ("sha,sse4.1")))
#define INLINE static inline __attribute__ ((always_inline, target ("sha,sse4.1")))

static const guint32 constants[64] __attribute__ ((aligned (16))) = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
  0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
  0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
  0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
  0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
  0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
  0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
  0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* A text in registers: its words, and the last sixteen of the schedule. */
typedef struct {
  __m128i abef, cdgh;
  __m128i schedule[4];
} Lane;

INLINE __m128i
load (const void *from)
{
  return _mm_loadu_si128 (from);
}

INLINE void
lane_load (Lane *lane, const guint32 words[8])
{
  __m128i badc = _mm_shuffle_epi32 (load (words), 0xb1), hgfe = _mm_shuffle_epi32 (load (words + 4), 0x1b);

  lane->abef = _mm_alignr_epi8 (badc, hgfe, 8);
  lane->cdgh = _mm_blend_epi16 (hgfe, badc, 0xf0);
}

INLINE void
lane_store (const Lane *lane, guint32 words[8])
{
  __m128i feba = _mm_shuffle_epi32 (lane->abef, 0x1b), dchg = _mm_shuffle_epi32 (lane->cdgh, 0xb1);

  _mm_storeu_si128 ((void *) words, _mm_blend_epi16 (feba, dchg, 0xf0));
  _mm_storeu_si128 ((void *) (words + 4), _mm_alignr_epi8 (dchg, feba, 8));
}

/* Four rounds, the `i`th of sixteen times. */
INLINE void
four_rounds (Lane *lane, const guint8 *block, int i)
{
  const __m128i order = _mm_set_epi64x (0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i *w = lane->schedule, x;

  if (i < 4)
    w[i] = _mm_shuffle_epi8 (load (block + 16 * i), order);
  else
    {
      x = _mm_sha256msg1_epu32 (w[i & 3], w[(i + 1) & 3]);
      x = _mm_add_epi32 (x, _mm_alignr_epi8 (w[(i + 3) & 3], w[(i + 2) & 3], 4));
      w[i & 3] = _mm_sha256msg2_epu32 (x, w[(i + 3) & 3]);
    }
  x = _mm_add_epi32 (w[i & 3], load (constants + 4 * i));
  lane->cdgh = _mm_sha256rnds2_epu32 (lane->cdgh, lane->abef, x);
  lane->abef = _mm_sha256rnds2_epu32 (lane->abef, lane->cdgh, _mm_shuffle_epi32 (x, 0x0e));
}

INLINE void
lane_add (Lane *lane, const Lane *before)
{
  lane->abef = _mm_add_epi32 (lane->abef, before->abef);
  lane->cdgh = _mm_add_epi32 (lane->cdgh, before->cdgh);
}

TARGET static void
one (guint32 words[8], const guint8 *data, gsize blocks)
{
  Lane lane;

  lane_load (&lane, words);
  for (; blocks > 0; blocks--, data += BLOCK)
    {
      const Lane before = lane;

#pragma GCC unroll 16
      for (int i = 0; i < 16; i++)
        four_rounds (&lane, data, i);
      lane_add (&lane, &before);
    }
  lane_store (&lane, words);
}

TARGET static void
two (guint32 a_words[8], const guint8 *a_data, guint32 b_words[8], const guint8 *b_data, gsize blocks)
{
  Lane a, b;

  lane_load (&a, a_words);
  lane_load (&b, b_words);
  for (; blocks > 0; blocks--, a_data += BLOCK, b_data += BLOCK)
    {
      const Lane a_before = a, b_before = b;

#pragma GCC unroll 16
      for (int i = 0; i < 16; i++)
        {
          four_rounds (&a, a_data, i);
          four_rounds (&b, b_data, i);
        }
      lane_add (&a, &a_before);
      lane_add (&b, &b_before);
    }
  lane_store (&a, a_words);
  lane_store (&b, b_words);
}

static gboolean
ask_processor (void)
{
  unsigned a, b, c, d;

  return __builtin_cpu_supports ("sse4.1") && __get_cpuid_count (7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0;
}

#else

static void
one (guint32 words[8], const guint8 *data, gsize blocks)
{
  g_assert_not_reached ();
}

static void
two (guint32 a_words[8], const guint8 *a_data, guint32 b_words[8], const guint8 *b_data, gsize blocks)
{
  g_assert_not_reached ();
}

static gboolean
ask_processor (void)
{
  return FALSE;
}

#endif

static gint forbidden; /* atomic */

/* Asked once: in a virtual machine the host answers, and takes its time. */
static gboolean
is_wide (void)
{
  static gint known; /* atomic: 1 more than the answer */
  gint answer = g_atomic_int_get (&known);

  if (answer == 0)
    {
      answer = 1 + ask_processor ();
      g_atomic_int_set (&known, answer);
    }
  return answer == 2 && g_atomic_int_get (&forbidden) == 0;
}

gboolean
tpd_sha_pair_allow (gboolean wide)
{
  g_atomic_int_set (&forbidden, !wide);
  return is_wide ();
}

/* --- Texts ------------------------------------------------------------------ */

typedef struct {
  guint32 words[8];
  guint64 len;
  guint8 rest[BLOCK]; /* what is behind the last whole block: len % BLOCK bytes */
} Text;

struct _TpdShaPair {
  TpdDigest *digests[2]; /* OpenSSL's, or NULL */
  Text texts[2];
};

static void
text_init (Text *text)
{
  static const guint32 first[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

  memcpy (text->words, first, sizeof first);
}

static void
text_update (Text *text, const guint8 *data, gsize len)
{
  gsize used = text->len % BLOCK;

  text->len += len;
  if (used > 0)
    {
      gsize n = MIN (len, BLOCK - used);

      memcpy (text->rest + used, data, n);
      if (used + n < BLOCK)
        return;
      one (text->words, text->rest, 1);
      data += n;
      len -= n;
    }
  one (text->words, data, len / BLOCK);
  memcpy (text->rest, data + len / BLOCK * BLOCK, len % BLOCK);
}

static void
text_finish (Text *text, guint8 out[TPD_SHA256_SIZE])
{
  const guint64 bits = GUINT64_TO_BE (text->len * 8);
  gsize used = text->len % BLOCK;

  text->rest[used++] = 0x80;
  memset (text->rest + used, 0, BLOCK - used);
  if (used > BLOCK - LENGTH_SIZE)
    {
      one (text->words, text->rest, 1);
      memset (text->rest, 0, BLOCK);
    }
  memcpy (text->rest + BLOCK - LENGTH_SIZE, &bits, LENGTH_SIZE);
  one (text->words, text->rest, 1);
  for (guint i = 0; i < 8; i++)
    {
      const guint32 word = GUINT32_TO_BE (text->words[i]);

      memcpy (out + 4 * i, &word, sizeof word);
    }
}

TpdShaPair *
tpd_sha_pair_new (void)
{
  TpdShaPair *pair = g_new0 (TpdShaPair, 1);
  const gboolean wide = is_wide ();

  for (guint i = 0; i < 2; i++)
    if (wide)
      text_init (&pair->texts[i]);
    else
      pair->digests[i] = tpd_digest_new (TPD_SHA256_SIZE);
  return pair;
}

void
tpd_sha_pair_update (TpdShaPair *pair, const void *a, gsize a_len, const void *b, gsize b_len)
{
  Text *left = &pair->texts[0], *right = &pair->texts[1];
  const gsize both = left->len % BLOCK == 0 && right->len % BLOCK == 0 ? MIN (a_len, b_len) / BLOCK : 0;

  if (pair->digests[0] != NULL)
    {
      if (a_len > 0)
        tpd_digest_update (pair->digests[0], a, a_len);
      if (b_len > 0)
        tpd_digest_update (pair->digests[1], b, b_len);
      return;
    }
  two (left->words, a, right->words, b, both);
  left->len += both * BLOCK;
  right->len += both * BLOCK;
  if (a_len > both * BLOCK)
    text_update (left, (const guint8 *) a + both * BLOCK, a_len - both * BLOCK);
  if (b_len > both * BLOCK)
    text_update (right, (const guint8 *) b + both * BLOCK, b_len - both * BLOCK);
}

void
tpd_sha_pair_finish (TpdShaPair *pair, guint8 a[TPD_SHA256_SIZE], guint8 b[TPD_SHA256_SIZE])
{
  guint8 *const outs[2] = { a, b };

  for (guint i = 0; i < 2; i++)
    if (pair->digests[i] != NULL)
      tpd_digest_finish (pair->digests[i], outs[i]);
    else
      text_finish (&pair->texts[i], outs[i]);
  tpd_wipe (pair, sizeof *pair);
  g_free (pair);
}
