/* SPDX-License-Identifier: Apache-2.0 */
/* GUIDs, numbers, hex and display text: see base/text.h. */
#include "base/text.h"

#include <string.h>

gboolean
tpd_guid_parse (const char *text, char out[TPD_GUID_SIZE])
{
  gboolean braces;

  if (text == NULL)
    return FALSE;
  while (g_ascii_isspace (*text))
    text++;
  braces = *text == '{';
  if (braces)
    text++;
  for (int i = 0; i < 36; i++)
    {
      gboolean dash = i == 8 || i == 13 || i == 18 || i == 23;
      if (dash ? text[i] != '-' : !g_ascii_isxdigit (text[i]))
        return FALSE;
      out[i] = g_ascii_tolower (text[i]);
    }
  out[36] = '\0';
  text += 36;
  if (braces && *text++ != '}')
    return FALSE;
  while (g_ascii_isspace (*text))
    text++;
  return *text == '\0';
}

gboolean
tpd_number_parse (const char *text, guint base, guint64 min, guint64 max, guint64 *out)
{
  guint64 number = 0;

  if (*text == '\0')
    return FALSE;
  for (; *text != '\0'; text++)
    {
      int digit = g_ascii_xdigit_value (*text);

      if (digit < 0 || (guint) digit >= base || number > (G_MAXUINT64 - (guint) digit) / base)
        return FALSE;
      number = number * base + (guint) digit;
    }
  if (number < min || number > max)
    return FALSE;
  *out = number;
  return TRUE;
}

char *
tpd_hex (const guint8 *data, gsize len)
{
  static const char digits[] = "0123456789abcdef";
  char *out = g_malloc (len * 2 + 1);

  for (gsize i = 0; i < len; i++)
    {
      out[2 * i] = digits[data[i] >> 4];
      out[2 * i + 1] = digits[data[i] & 0xf];
    }
  out[2 * len] = '\0';
  return out;
}

static gboolean
is_hidden_or_control (gunichar c)
{
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e)
         || (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f || c == 0x061c || c == 0xfeff;
}

char *
tpd_display (const char *text)
{
  GString *out = g_string_new (NULL);

  while (*text != '\0')
    {
      gunichar c = g_utf8_get_char_validated (text, -1);

      if (c == (gunichar) -1 || c == (gunichar) -2)
        {
          g_string_append_printf (out, "\\x%02x", (guint8) *text);
          text++;
          continue;
        }
      if (is_hidden_or_control (c))
        {
          if (c < 0x100)
            g_string_append_printf (out, "\\x%02x", c);
          else
            g_string_append_printf (out, "\\u{%04x}", c);
        }
      else
        g_string_append_unichar (out, c);
      text = g_utf8_next_char (text);
    }
  return g_string_free (out, FALSE);
}
