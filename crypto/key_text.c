/* SPDX-License-Identifier: Apache-2.0 */
/* Encodings and base64 of key files: see crypto/key_text.h. */
#include "crypto/key_text.h"

#include <string.h>

#include "base/bytes.h"

typedef enum {
  ENCODING_UTF8,
  ENCODING_UTF16LE,
  ENCODING_UTF16BE,
} Encoding;

/* The encoding, and in `*mark` the length of the byte-order mark. */
static Encoding
detect_encoding (const guint8 *data, gsize len, gsize *mark)
{
  *mark = 0;
  if (len >= 3 && data[0] == 0xef && data[1] == 0xbb && data[2] == 0xbf)
    {
      *mark = 3;
      return ENCODING_UTF8;
    }
  if (len >= 2 && data[0] == 0xff && data[1] == 0xfe)
    {
      *mark = 2;
      return ENCODING_UTF16LE;
    }
  if (len >= 2 && data[0] == 0xfe && data[1] == 0xff)
    {
      *mark = 2;
      return ENCODING_UTF16BE;
    }
  if (len >= 4 && data[0] == '<' && data[1] == 0 && data[3] == 0)
    return ENCODING_UTF16LE;
  return ENCODING_UTF8;
}

static guint16
unit_at (const guint8 *data, gsize i, Encoding encoding)
{
  guint8 first = data[2 * i], second = data[2 * i + 1];

  return encoding == ENCODING_UTF16LE ? (guint16) (first | second << 8) : (guint16) (first << 8 | second);
}

gboolean
tpd_key_text_convert (const guint8 *data, gsize len, guint8 *out, gsize *out_len)
{
  gsize mark, n = 0;
  Encoding encoding = detect_encoding (data, len, &mark);

  data += mark;
  len -= mark;
  /* Text stored as a C string, with its end. */
  for (gsize width = encoding == ENCODING_UTF8 ? 1 : 2; len >= width && data[len - 1] == 0 && data[len - width] == 0;)
    len -= width;
  if (encoding == ENCODING_UTF8)
    {
      if (!g_utf8_validate_len ((const char *) data, len, NULL))
        return FALSE;
      if (out != NULL)
        memcpy (out, data, len);
      *out_len = len;
      return TRUE;
    }
  if (len % 2 != 0)
    return FALSE;
  for (gsize i = 0; i < len / 2; i++)
    {
      gunichar c = unit_at (data, i, encoding);
      char utf8[6];
      int size;

      if (c == 0 || (c >= 0xdc00 && c <= 0xdfff))
        return FALSE;
      if (c >= 0xd800 && c <= 0xdbff)
        {
          guint16 low = ++i < len / 2 ? unit_at (data, i, encoding) : 0;
          if (low < 0xdc00 || low > 0xdfff)
            return FALSE;
          c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00u);
        }
      size = g_unichar_to_utf8 (c, utf8);
      if (out != NULL)
        memcpy (out + n, utf8, (gsize) size);
      n += (gsize) size;
    }
  *out_len = n;
  return TRUE;
}

TpdSecret *
tpd_key_text_new (const guint8 *data, gsize len)
{
  TpdSecret *text;
  gsize text_len;

  if (!tpd_key_text_convert (data, len, NULL, &text_len))
    return NULL;
  text = tpd_secret_new (NULL, text_len);
  if (text_len > 0)
    tpd_key_text_convert (data, len, text->data, &text_len);
  return text;
}

TpdSecret *
tpd_key_text_peek (const guint8 *data, gsize len, gsize n)
{
  gsize mark;
  Encoding encoding = detect_encoding (data, len, &mark);
  gsize width = encoding == ENCODING_UTF8 ? 1 : 2;
  TpdSecret *out;

  data += mark;
  n = MIN (len - mark, n) / width;
  out = tpd_secret_new (NULL, n);
  for (gsize i = 0; i < n; i++)
    {
      guint16 c = width == 1 ? data[i] : unit_at (data, i, encoding);
      out->data[i] = c > 0 && c < 0x80 ? (guint8) c : '?';
    }
  return out;
}

static int
base64_value (char c, TpdBase64Kind kind)
{
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  if (c == '+' || (c == '-' && kind == TPD_BASE64_URL))
    return 62;
  if (c == '/' || (c == '_' && kind == TPD_BASE64_URL))
    return 63;
  return -1;
}

TpdSecret *
tpd_secret_from_base64 (const char *text, gsize len, TpdBase64Kind kind)
{
  g_autoptr (TpdSecret) out = tpd_secret_new (NULL, len / 4 * 3 + 3);
  gsize n = 0, digits = 0, pads = 0;
  guint32 group = 0;
  gboolean ok = TRUE;

  for (gsize i = 0; i < len && ok; i++)
    {
      int value = base64_value (text[i], kind);

      if (value >= 0 && pads == 0)
        {
          group = group << 6 | (guint32) value;
          if (++digits % 4 == 0)
            {
              out->data[n++] = (guint8) (group >> 16);
              out->data[n++] = (guint8) (group >> 8);
              out->data[n++] = (guint8) group;
              group = 0;
            }
        }
      else if (text[i] == '=')
        pads++;
      else
        ok = kind == TPD_BASE64_STANDARD && strchr (" \t\r\n", text[i]) != NULL && text[i] != '\0';
    }
  if (digits % 4 == 2)
    {
      ok = ok && (group & 0xf) == 0;
      out->data[n++] = (guint8) (group >> 4);
    }
  else if (digits % 4 == 3)
    {
      ok = ok && (group & 0x3) == 0;
      out->data[n++] = (guint8) (group >> 10);
      out->data[n++] = (guint8) (group >> 2);
    }
  tpd_wipe (&group, sizeof group);
  if (!ok || digits % 4 == 1 || pads > 2 || ((kind == TPD_BASE64_STANDARD || pads > 0) && (digits + pads) % 4 != 0))
    return NULL;
  out->data[n] = '\0';
  out->len = n;
  return g_steal_pointer (&out);
}

gssize
tpd_key_text_find (const TpdSecret *text, gsize from, const char *needle)
{
  const guint8 *hit;

  if (from > text->len)
    return -1;
  hit = memmem (text->data + from, text->len - from, needle, strlen (needle));
  return hit != NULL ? hit - text->data : -1;
}

/* Behind the construct that begins at `text` with "<?" or "<!", or NULL. */
static const char *
skip_misc (const char *text)
{
  const char *end;
  int depth = 0;

  if (g_str_has_prefix (text, "<!--"))
    {
      end = strstr (text + 4, "-->");
      return end != NULL ? end + 3 : NULL;
    }
  if (g_str_has_prefix (text, "<?"))
    {
      end = strstr (text + 2, "?>");
      return end != NULL ? end + 2 : NULL;
    }
  for (; *text != '\0'; text++)
    {
      if (*text == '[')
        depth++;
      else if (*text == ']')
        depth--;
      else if (*text == '>' && depth <= 0)
        return text + 1;
    }
  return NULL;
}

char *
tpd_key_text_xml_root (const char *text)
{
  gsize len;

  while (text != NULL)
    {
      while (g_ascii_isspace (*text))
        text++;
      if (text[0] != '<')
        return NULL;
      if (text[1] != '?' && text[1] != '!')
        break;
      text = skip_misc (text);
    }
  if (text == NULL)
    return NULL;
  text++;
  len = strcspn (text, " \t\r\n/>:");
  if (text[len] == ':')
    {
      text += len + 1;
      len = strcspn (text, " \t\r\n/>:");
    }
  return len > 0 ? g_strndup (text, len) : NULL;
}
