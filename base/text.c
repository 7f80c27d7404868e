/* SPDX-License-Identifier: Apache-2.0 */
/* Base64, GUIDs, hex and display text: see base/text.h. */
#include "base/text.h"

#include <string.h>

/* What each byte is in base64: its six bits, or one of these. Licenses are
 * mostly base64, and a scan reads hundreds of thousands. */
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

/* Whole groups of four digits from `*at` on, as far as `max` bytes hold them;
 * leaves the rest. */
static void
decode_groups (const char *text, gsize text_len, gsize max, guint8 *out, gsize *n, gsize *at)
{
  gsize groups = MIN ((text_len - *at) / 4, (max - *n) / 3), left = groups;
  const guint8 *in = (const guint8 *) text + *at;

  for (out += *n; left > 0; left--, in += 4, out += 3)
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
      g_once_init_leave (&filled, 1);
    }
}

guint8 *
tpd_base64_decode (const char *text, gsize text_len, gsize max, gsize *out_len)
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
  if (pads > 2 || (digits + pads) % 4 != 0 || digits % 4 == 1)
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

gsize
tpd_base64_step (TpdBase64 *state, const char *text, gsize len, guint8 *out)
{
  gsize n = 0;

  need_base64_values ();
  for (gsize i = 0; i < len; i++)
    {
      int value;

      if (state->digits == 0)
        {
          decode_groups (text, len, G_MAXSIZE, out, &n, &i);
          if (i == len)
            break;
        }
      value = base64_values[(guchar) text[i]];
      if (value < 0 && value != BASE64_PAD)
        continue;
      state->last[0] = state->last[1];
      state->last[1] = text[i];
      state->group = state->group << 6 | (guint32) MAX (value, 0);
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
