/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for words in the text of a license or the head of a file, bounded by
 * its length. Cost is that of memchr() up to the hit, under a sanitizer too, where
 * memmem() is checked against the whole rest of the text at each call.
 */
#pragma once

#include <glib.h>
#include <string.h>

/* White space of XML. */
static inline gboolean
tpd_is_space (guint c)
{
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What a text holds beside printable ASCII and white space of XML. */
#define TPD_SCAN_HIGH 1    /* bytes from 0x80 on; perhaps, where CONTROL is set */
#define TPD_SCAN_CONTROL 2 /* control characters below 0x20, NUL among them */

/* Pieces of this many characters are handled as vectors, also by compilers that
 * make vectors only of loops whose length they know. */
#define TPD_SCAN_PIECE 64

static inline gboolean
tpd_scan_has_control (const char *text, gsize len)
{
  for (gsize i = 0; i < len; i++)
    if ((guchar) text[i] < 0x20 && !tpd_is_space ((guchar) text[i]))
      return TRUE;
  return FALSE;
}

static inline guint
tpd_scan_kinds (const char *text, gsize len)
{
  guint8 high = 0;
  gsize at = 0;

  for (; len - at >= TPD_SCAN_PIECE; at += TPD_SCAN_PIECE)
    {
      guint8 low = 0;

      for (gsize i = 0; i < TPD_SCAN_PIECE; i++)
        {
          guint8 c = (guint8) text[at + i], d = (guint8) (c - 0x20);

          high |= c;
          low |= (guint8) (d & ~c); /* its top bit: what is below 0x20 */
        }
      if (low >= 0x80 && tpd_scan_has_control (text + at, TPD_SCAN_PIECE))
        return TPD_SCAN_CONTROL | TPD_SCAN_HIGH;
    }
  for (gsize i = at; i < len; i++)
    high |= (guint8) text[i];
  return (high >= 0x80 ? TPD_SCAN_HIGH : 0) | (tpd_scan_has_control (text + at, len - at) ? TPD_SCAN_CONTROL : 0);
}

/* Whether `word` stands at `at`. */
static inline gboolean
tpd_scan_at (const char *text, gsize len, gsize at, const char *word)
{
  gsize n = strlen (word);
  return at <= len && n <= len - at && memcmp (text + at, word, n) == 0;
}

/* Moves `*at` to the next `word`, a short one; FALSE leaves it alone. */
static inline gboolean
tpd_scan_find (const char *text, gsize len, gsize *at, const char *word)
{
  for (gsize i = *at; i < len; i++)
    {
      const char *hit = memchr (text + i, word[0], len - i);

      if (hit == NULL)
        return FALSE;
      i = (gsize) (hit - text);
      if (tpd_scan_at (text, len, i, word))
        {
          *at = i;
          return TRUE;
        }
    }
  return FALSE;
}

/* Moves `*at` to the next `<` that `mark` follows, a character rarer than `<` in
 * licenses; FALSE leaves it alone. */
static inline gboolean
tpd_scan_markup (const char *text, gsize len, gsize *at, char mark)
{
  for (gsize i = *at + 1; i < len; i++)
    {
      const char *hit = memchr (text + i, mark, len - i);

      if (hit == NULL)
        return FALSE;
      i = (gsize) (hit - text);
      if (text[i - 1] == '<')
        {
          *at = i - 1;
          return TRUE;
        }
    }
  return FALSE;
}
