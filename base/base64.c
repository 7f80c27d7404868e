/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64: see base/text.h.
 *
 * Licenses are mostly base64, and a scan reads hundreds of thousands of them.
 * Sixteen digits at a time are decoded by what processors of the last fifteen
 * years have, else four by tables; what is no digit is looked at by itself.
 */
#include <string.h>

#include "base/text.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* What each byte is in base64: its six bits, or one of these. */
#define BASE64_BAD (-1)
#define BASE64_SPACE (-2)
#define BASE64_PAD (-3)

static gint8 base64_values[256];
/* The same where it stands in a group of four digits. */
static guint32 base64_groups[4][256];
#define BASE64_NO_DIGIT ((guint32) 1 << 31)

static void
fill_base64_values (void)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static const char spaces[] = " \t\r\n";

  memset (base64_values, BASE64_BAD, sizeof base64_values);
  for (gsize i = 0; i < sizeof digits - 1; i++)
    base64_values[(guchar) digits[i]] = (gint8) i;
  for (gsize i = 0; i < sizeof spaces - 1; i++)
    base64_values[(guchar) spaces[i]] = BASE64_SPACE;
  base64_values['='] = BASE64_PAD;
  for (guint place = 0; place < 4; place++)
    for (guint i = 0; i < 256; i++)
      base64_groups[place][i] = base64_values[i] < 0 ? BASE64_NO_DIGIT : (guint32) base64_values[i] << (18 - 6 * place);
}

#ifdef __x86_64__

static gboolean wide;

/*
 * As decode_groups() below, of at most `groups` groups; the number that were
 * decoded. Writes up to four bytes behind them, which are in the room of the
 * next two groups.
 *
 * The upper half of a byte tells which piece of the alphabet it can be in,
 * `+` and `/`, the digits of numbers, or letters, and with it how far its value
 * is from its code; `/` alone is not as far as `+`. Whether the byte is there
 * at all, the lower half tells: one bit for each upper half it goes with.
 */
__attribute__ ((target ("ssse3"))) static gsize
decode_wide (const guint8 *in, gsize groups, guint8 *out)
{
  const __m128i half = _mm_set1_epi8 (0x0f), slash = _mm_set1_epi8 ('/');
  const __m128i distance =
      _mm_setr_epi8 (0, 0, 62 - '+', 52 - '0', -'A', -'A', 26 - 'a', 26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0);
  const __m128i upper_bit = _mm_setr_epi8 (0, 0, 1, 2, 4, 8, 16, 32, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m128i upper_bits = _mm_setr_epi8 (2 + 8 + 32, 62, 62, 62, 62, 62, 62, 62, 62, 62, 4 + 8 + 16 + 32, 1 + 4 + 16,
                                            4 + 16, 4 + 16, 4 + 16, 1 + 4 + 16);
  const __m128i order = _mm_setr_epi8 (2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
  gsize done = 0;

  for (; groups - done >= 6; done += 4, in += 16, out += 12)
    {
      __m128i text = _mm_loadu_si128 ((const __m128i *) (const void *) in);
      __m128i upper = _mm_and_si128 (_mm_srli_epi16 (text, 4), half);
      __m128i lower = _mm_and_si128 (text, half);
      __m128i fits = _mm_and_si128 (_mm_shuffle_epi8 (upper_bits, lower), _mm_shuffle_epi8 (upper_bit, upper));
      __m128i values = _mm_add_epi8 (text, _mm_shuffle_epi8 (distance, upper));

      if (_mm_movemask_epi8 (_mm_cmpeq_epi8 (fits, _mm_setzero_si128 ())) != 0)
        break;
      values = _mm_add_epi8 (values, _mm_and_si128 (_mm_cmpeq_epi8 (text, slash), _mm_set1_epi8 ('+' + 1 - '/')));
      /* Two values of six bits to one of twelve, two of those to one of 24. */
      values = _mm_maddubs_epi16 (values, _mm_set1_epi16 (1 << 8 | 1 << 6));
      values = _mm_madd_epi16 (values, _mm_set1_epi32 (1 << 16 | 1 << 12));
      _mm_storeu_si128 ((__m128i *) (void *) out, _mm_shuffle_epi8 (values, order));
    }
  return done;
}

#endif

/* Whole groups of four digits from `*at` on, as far as `max` bytes hold them;
 * leaves the rest. */
static void
decode_groups (const char *text, gsize text_len, gsize max, guint8 *out, gsize *n, gsize *at)
{
  gsize groups = MIN ((text_len - *at) / 4, (max - *n) / 3), left = groups;
  const guint8 *in = (const guint8 *) text + *at;

  out += *n;
#ifdef __x86_64__
  if (wide)
    {
      gsize done = decode_wide (in, groups, out);

      left -= done;
      in += 4 * done;
      out += 3 * done;
    }
#endif
  for (; left > 0; left--, in += 4, out += 3)
    {
      guint32 group =
          base64_groups[0][in[0]] | base64_groups[1][in[1]] | base64_groups[2][in[2]] | base64_groups[3][in[3]];

      if (group >= BASE64_NO_DIGIT)
        break;
      out[0] = (guint8) (group >> 16);
      out[1] = (guint8) (group >> 8);
      out[2] = (guint8) group;
    }
  *n += (groups - left) * 3;
  *at += (groups - left) * 4;
}

static void
need_base64_values (void)
{
  static gsize filled;

  if (g_once_init_enter (&filled))
    {
      fill_base64_values ();
#ifdef __x86_64__
      wide = __builtin_cpu_supports ("ssse3");
#endif
      g_once_init_leave (&filled, 1);
    }
}

/* `bare`: the padding may be missing altogether. */
static guint8 *
decode (const char *text, gsize text_len, gsize max, gboolean bare, gsize *out_len)
{
  g_autofree guint8 *out = NULL;
  gsize n = 0, digits = 0, pads = 0;
  guint32 group = 0;

  need_base64_values ();
  if (text_len / 4 > G_MAXSIZE / 3 - 1)
    return NULL;
  out = g_try_malloc (MIN (text_len / 4 * 3 + 3, max) + 1);
  if (out == NULL)
    return NULL;
  for (gsize i = 0; i < text_len; i++)
    {
      int value;

      if (digits % 4 == 0 && pads == 0)
        {
          decode_groups (text, text_len, max, out, &n, &i);
          if (i == text_len)
            break;
        }
      value = base64_values[(guchar) text[i]];
      if (value == BASE64_SPACE)
        continue;
      if (value == BASE64_PAD)
        {
          pads++;
          continue;
        }
      if (value < 0 || pads > 0)
        return NULL;
      group = group << 6 | (guint32) value;
      digits++;
      if (digits % 4 == 0)
        {
          if (max - n < 3)
            return NULL;
          out[n++] = (guint8) (group >> 16);
          out[n++] = (guint8) (group >> 8);
          out[n++] = (guint8) group;
          group = 0;
        }
    }
  if (pads > 2 || digits % 4 == 1 || ((pads > 0 || !bare) && (digits + pads) % 4 != 0))
    return NULL;
  if (digits % 4 == 2)
    {
      if ((group & 0xf) != 0 || max - n < 1)
        return NULL;
      out[n++] = (guint8) (group >> 4);
    }
  else if (digits % 4 == 3)
    {
      if ((group & 0x3) != 0 || max - n < 2)
        return NULL;
      out[n++] = (guint8) (group >> 10);
      out[n++] = (guint8) (group >> 2);
    }
  *out_len = n;
  return g_steal_pointer (&out);
}

guint8 *
tpd_base64_decode (const char *text, gsize text_len, gsize max, gsize *out_len)
{
  return decode (text, text_len, max, FALSE, out_len);
}

guint8 *
tpd_base64_decode_bare (const char *text, gsize text_len, gsize max, gsize *out_len)
{
  return decode (text, text_len, max, TRUE, out_len);
}

static gboolean
is_skipped (char c)
{
  gint8 value = base64_values[(guchar) c];

  return value < 0 && value != BASE64_PAD;
}

gsize
tpd_base64_step (TpdBase64 *state, const char *text, gsize len, guint8 *out)
{
  gsize n = 0;

  need_base64_values ();
  for (gsize i = 0; i < len; i++)
    {
      gboolean skipped;

      do
        {
          if (state->digits == 0)
            decode_groups (text, len, G_MAXSIZE, out, &n, &i);
          skipped = FALSE;
          for (; i < len && is_skipped (text[i]); i++)
            skipped = TRUE;
      } while (skipped && state->digits == 0);
      if (i == len)
        break;
      state->last[0] = state->last[1];
      state->last[1] = text[i];
      state->group = state->group << 6 | (guint32) MAX (base64_values[(guchar) text[i]], 0);
      if (++state->digits < 4)
        continue;
      out[n++] = (guint8) (state->group >> 16);
      if (state->last[0] != '=')
        out[n++] = (guint8) (state->group >> 8);
      if (state->last[1] != '=')
        out[n++] = (guint8) state->group;
      state->digits = 0;
    }
  return n;
}
