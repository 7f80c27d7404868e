/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judging places by what noise is not. A wrong hypothesis makes the first block of
 * a segment the true one XOR a value that nobody can tell from chance: each block of
 * 16 bytes is as likely as any other, 2^-128. What models of real content give it
 * beyond that are bits of evidence: zeros or ones, ASCII, and the bytes that lie
 * around the place, which are sure. The last knows no language and no encoding:
 * text of all kinds repeats the bytes of its surroundings, and compressed data does
 * not.
 *
 * Each model is a probability distribution, so noise reaches t bits with a chance of
 * 2^-t at most. The best of them is taken, and of each place as much is left out as
 * there are places: in all, noise reaches t bits with a chance below 2^(4-t).
 */
#include <string.h>

#include "crypto/secret.h"
#include "format/proof_private.h"

#define MAX_PLACES 512
/* Bytes that are looked at before and behind a place. */
#define AROUND 240

typedef struct {
  guint8 data[AROUND + PROOF_DOUBTFUL + AROUND];
  gsize before, len; /* of the place; of all */
} Window;

/* All zeros or ones but for some bytes, or ASCII. */
static guint
simple_bits (const guint8 data[PROOF_DOUBTFUL])
{
  /* log2 of the ways to choose n of 16 places, rounded up. */
  static const guint8 choices[PROOF_DOUBTFUL + 1] = { 0, 4, 7, 10, 11, 13, 13, 14, 14, 14, 13, 13, 11, 10, 7, 4, 0 };
  guint zeros = 0, ones = 0, text = 0, same;

  for (guint i = 0; i < PROOF_DOUBTFUL; i++)
    {
      zeros += data[i] == 0;
      ones += data[i] == 0xff;
      text += (data[i] >= 0x20 && data[i] < 0x7f) || data[i] == '\r' || data[i] == '\n' || data[i] == '\t';
    }
  same = MAX (zeros, ones);
  return MAX (text == PROOF_DOUBTFUL ? 22 : 0, same >= 3 ? 8 * same - choices[same] - 1 : 0);
}

/* How much likelier the block is than noise among bytes like those around it:
 * counts with half a one more for each value (Krichevsky and Trofimov). */
static guint
likeness_bits (const Window *window)
{
  guint16 counts[256] = { 0 };
  const gsize n = window->len - PROOF_DOUBTFUL;
  double ratio = 1;
  guint bits = 0;

  for (gsize i = 0; i < window->len; i++)
    if (i < window->before || i >= window->before + PROOF_DOUBTFUL)
      counts[window->data[i]]++;
  for (gsize i = window->before; i < window->before + PROOF_DOUBTFUL; i++)
    ratio *= 256.0 * (2 * counts[window->data[i]] + 1) / (double) (2 * n + 256);
  for (; ratio >= 2; ratio /= 2)
    bits++;
  return bits;
}

static gboolean
read_window (TpdSource *plain, gsize segment, guint64 off, Window *window, GError **error)
{
  const guint64 before = MIN ((guint64) MIN ((gsize) AROUND, segment - PROOF_DOUBTFUL), off);
  const guint64 behind =
      MIN ((guint64) MIN ((gsize) AROUND, segment - PROOF_DOUBTFUL), plain->size - off - PROOF_DOUBTFUL);

  window->before = (gsize) before;
  window->len = (gsize) (before + PROOF_DOUBTFUL + behind);
  return tpd_source_read_exact (plain, window->data, window->len, off - before, error);
}

gboolean
proof_judge_places (TpdSource *plain, gsize segment, ProofSkip skip, gpointer data, guint *bits, GError **error)
{
  const guint64 n = (plain->size - 1) / segment;
  const guint64 step = n / MAX_PLACES + 1;
  const guint penalty = g_bit_storage (n / step);
  gboolean good = TRUE;
  Window window;

  for (guint64 i = 1; good && i <= n; i += step)
    {
      const guint64 off = i * segment;
      guint found;

      if (plain->size - off < PROOF_DOUBTFUL)
        break;
      if (!proof_is_doubtful (segment, off) || (skip != NULL && skip (data, off)))
        continue;
      good = read_window (plain, segment, off, &window, error);
      if (!good)
        break;
      found = MAX (simple_bits (window.data + window.before), likeness_bits (&window));
      if (found > penalty)
        *bits += found - penalty;
    }
  tpd_wipe (&window, sizeof window);
  return good;
}
