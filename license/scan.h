/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking for words in the text of a license, bounded by its length. Cost is
 * that of memchr() up to the hit, under a sanitizer too, where memmem() is
 * checked against the whole rest of the text at each call. Private to license/.
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
