/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which text of a license the hash inside its ENABLINGBITS was made of: a
 * diagnostic, see crypto/seal_hash.h. Works on the surface text, as the hash
 * does; an XML parser would have normalised it away.
 */
#include "crypto/seal_hash.h"

#include <string.h>

/* A part of the text; `start` == `end` == length when there is none. */
typedef struct {
  gsize start, end;
} Span;

static gsize
find (const char *text, gsize len, gsize from, const char *what)
{
  const char *hit = from < len ? memmem (text + from, len - from, what, strlen (what)) : NULL;
  return hit ? (gsize) (hit - text) : len;
}

/* The start tag of element `name` from `from` on, with its brackets. */
static Span
find_tag (const char *text, gsize len, gsize from, const char *name)
{
  g_autofree char *open = g_strconcat ("<", name, NULL);
  const gsize open_len = strlen (open);

  for (gsize at = find (text, len, from, open); at < len; at = find (text, len, at + open_len, open))
    {
      char next = at + open_len < len ? text[at + open_len] : '\0';
      if (next == '>' || next == '/' || g_ascii_isspace (next))
        {
          gsize close = find (text, len, at, ">");
          return close < len ? (Span){ at, close + 1 } : (Span){ len, len };
        }
    }
  return (Span){ len, len };
}

/* The whole element. */
static Span
find_element (const char *text, gsize len, gsize from, const char *name)
{
  Span tag = find_tag (text, len, from, name);
  if (tag.start == len || text[tag.end - 2] == '/')
    return tag;

  g_autofree char *close = g_strconcat ("</", name, NULL);
  gsize at = find (text, len, tag.end, close);
  gsize end = find (text, len, at, ">");
  return end < len ? (Span){ tag.start, end + 1 } : (Span){ len, len };
}

static GString *
without (const char *text, gsize len, const char *name)
{
  GString *out = g_string_sized_new (len);
  gsize from = 0;

  while (from < len)
    {
      Span element = find_element (text, len, from, name);
      g_string_append_len (out, text + from, (gssize) (element.start - from));
      from = element.end;
    }
  return out;
}

static GString *
candidate (TpdHashRule rule, const char *text, gsize len)
{
  if (rule == TPD_HASH_RULE_A)
    return without (text, len, "ENABLINGBITS");
  if (rule == TPD_HASH_RULE_B)
    {
      GString *cut = without (text, len, "ENABLINGBITS");
      GString *out = without (cut->str, cut->len, "SECURITYLEVEL");
      g_string_free (cut, TRUE);
      return out;
    }
  if (rule == TPD_HASH_RULE_C)
    {
      Span principal = find_tag (text, len, 0, "PRINCIPAL");
      Span bits = find_tag (text, len, principal.end, "ENABLINGBITS");
      return g_string_new_len (text + principal.end, (gssize) (bits.start - principal.end));
    }
  Span object = find_element (text, len, 0, "OBJECT");
  Span key = find_element (text, len, 0, "PUBLICKEY");
  GString *out = g_string_new_len (text + object.start, (gssize) (object.end - object.start));
  return g_string_append_len (out, text + key.start, (gssize) (key.end - key.start));
}

/* `text` is valid UTF-8, none of whose characters becomes longer than twice
 * what it was. (transfer full) */
static guint8 *
utf16_from_utf8 (const GString *text, gsize *len)
{
  const char *p = text->str, *end = text->str + text->len;
  guint8 *out = g_malloc (text->len * 2 + 1);
  gsize at = 0;

  while (p < end)
    {
      gunichar c = (guchar) *p < 0x80 ? (guchar) *p : g_utf8_get_char (p);

      p = c < 0x80 ? p + 1 : g_utf8_next_char (p);
      if (c >= 0x10000)
        {
          gunichar high = 0xd800 + ((c - 0x10000) >> 10);

          out[at++] = high & 0xff;
          out[at++] = (guint8) (high >> 8);
          c = 0xdc00 + (c & 0x3ff);
        }
      out[at++] = c & 0xff;
      out[at++] = (guint8) (c >> 8);
    }
  *len = at;
  return out;
}

static gboolean
matches (const void *text, gsize len, const guint8 *hash, gsize hash_len)
{
  guint8 digest[TPD_SHA256_SIZE];

  if (hash_len == TPD_SHA1_SIZE)
    tpd_sha1 (text, len, digest);
  else
    tpd_sha256 (text, len, digest);
  return memcmp (digest, hash, hash_len) == 0;
}

TpdHashRule
tpd_seal_hash_match (const char *principals, gsize len, const guint8 *hash, gsize hash_len, gboolean *utf16)
{
  if ((hash_len != TPD_SHA1_SIZE && hash_len != TPD_SHA256_SIZE) || len == 0 || len > TPD_PRINCIPALS_MAX
      || !g_utf8_validate (principals, (gssize) len, NULL))
    return TPD_HASH_RULE_NONE;

  for (TpdHashRule rule = TPD_HASH_RULE_A; rule <= TPD_HASH_RULE_D; rule++)
    {
      GString *text = candidate (rule, principals, len);
      gsize wide_len = 0;
      guint8 *wide = utf16_from_utf8 (text, &wide_len);
      gboolean is_wide = matches (wide, wide_len, hash, hash_len);
      gboolean is_narrow = !is_wide && matches (text->str, text->len, hash, hash_len);
      g_free (wide);
      g_string_free (text, TRUE);
      if (is_wide || is_narrow)
        {
          *utf16 = is_wide;
          return rule;
        }
    }
  return TPD_HASH_RULE_NONE;
}
