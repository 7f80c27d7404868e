/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding detection and splitting of license chains. Containers store the
 * text as UTF-8 or UTF-16, with and without a byte order mark; length parity,
 * which other readers go by, misreads UTF-8 of even length (docs/formats.md).
 * Every step is one pass over the text.
 */
#include "license/text.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "license/scan.h"

/* UTF-16 in base64 with line breaks. */
#define STORED_MAX ((gsize) 4 * TPD_LICENSE_TEXT_MAX)

typedef enum {
  FORM_UTF8,
  FORM_UTF8_BOM,
  FORM_UTF16LE,
  FORM_UTF16LE_BOM,
  FORM_UTF16BE,
  FORM_JSON,
  FORM_OTHER,
} Form;

static const char *const form_names[] = { "utf-8", "utf-8-bom", "utf-16le", "utf-16le-bom", "utf-16be" };

void
tpd_license_text_free (TpdLicenseText *text)
{
  if (text == NULL)
    return;
  g_free (text->text);
  g_free (text);
}

static gboolean
damaged (GError **error, const char *message)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, message);
  return FALSE;
}

/* --- Detection -------------------------------------------------------- */

/* The first unit of text that is no white space, 0 if there is none.
 * `width` is 1, or 2 with the order of `be`. */
static guint
first_unit (TpdBytes bytes, guint width, gboolean be, guint *next)
{
  guint found = 0;

  *next = 0;
  for (;;)
    {
      guint8 a, b = 0;
      guint unit;

      if (!tpd_bytes_take_u8 (&bytes, &a) || (width == 2 && !tpd_bytes_take_u8 (&bytes, &b)))
        return found;
      unit = width == 1 ? a : be ? (guint) a << 8 | b : (guint) b << 8 | a;
      if (found != 0)
        {
          *next = unit;
          return found;
        }
      if (!tpd_is_space (unit))
        {
          if (unit == 0)
            return 0;
          found = unit;
        }
    }
}

/* Also moves `bytes` behind a byte order mark. */
static Form
detect (TpdBytes *bytes)
{
  Form form = FORM_OTHER;
  guint unit, next;

  if (tpd_bytes_left (bytes) >= 3 && memcmp (bytes->data, "\xef\xbb\xbf", 3) == 0)
    {
      tpd_bytes_slice (bytes, 3, bytes->len - 3, bytes);
      form = FORM_UTF8_BOM;
    }
  else if (tpd_bytes_left (bytes) >= 2 && memcmp (bytes->data, "\xff\xfe", 2) == 0)
    {
      tpd_bytes_slice (bytes, 2, bytes->len - 2, bytes);
      form = FORM_UTF16LE_BOM;
    }
  else if (tpd_bytes_left (bytes) >= 2 && memcmp (bytes->data, "\xfe\xff", 2) == 0)
    {
      tpd_bytes_slice (bytes, 2, bytes->len - 2, bytes);
      form = FORM_UTF16BE;
    }

  if (form == FORM_OTHER || form == FORM_UTF16LE_BOM)
    {
      unit = first_unit (*bytes, 2, FALSE, &next);
      if (unit == '{')
        return FORM_JSON;
      if (unit == '<' && form == FORM_OTHER)
        return FORM_UTF16LE;
    }
  if (form == FORM_OTHER || form == FORM_UTF16BE)
    {
      unit = first_unit (*bytes, 2, TRUE, &next);
      if (unit == '{')
        return FORM_JSON;
      if (unit == '<' && form == FORM_OTHER)
        return FORM_UTF16BE;
    }
  if (form == FORM_OTHER || form == FORM_UTF8_BOM)
    {
      unit = first_unit (*bytes, 1, FALSE, &next);
      if (unit == '{')
        return FORM_JSON;
      if (unit == '<' && form == FORM_OTHER && next < 0x80
          && (g_ascii_isalpha ((char) next) || next == '?' || next == '!'))
        return FORM_UTF8;
    }
  return form;
}

/* --- Conversion ------------------------------------------------------- */

static gsize
utf8_length (gunichar c)
{
  return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

/* The next character; FALSE at the end, or with `*bad` set on a surrogate
 * without its other half. */
static gboolean
take_utf16 (TpdBytes *bytes, gboolean be, gunichar *out, gboolean *bad)
{
  guint16 high, low;

  *bad = FALSE;
  if (!tpd_bytes_take_u16le (bytes, &high))
    return FALSE;
  high = be ? GUINT16_SWAP_LE_BE (high) : high;
  *out = high;
  if (high < 0xd800 || high > 0xdfff)
    return TRUE;
  *bad = TRUE;
  if (high > 0xdbff || !tpd_bytes_take_u16le (bytes, &low))
    return FALSE;
  low = be ? GUINT16_SWAP_LE_BE (low) : low;
  if (low < 0xdc00 || low > 0xdfff)
    return FALSE;
  *bad = FALSE;
  *out = 0x10000 + ((gunichar) (high - 0xd800) << 10) + (low - 0xdc00u);
  return TRUE;
}

/* As UTF-8, or NULL; counts first, so that the allocation is bounded by text. */
static char *
utf16_to_utf8 (TpdBytes bytes, gboolean be, gsize *out_len, GError **error)
{
  TpdBytes again = bytes;
  gunichar c;
  gboolean bad;
  gsize len = 0, at = 0;
  char *out;

  /* A terminator cut to one byte is met; any other odd byte is damage. */
  if (bytes.len % 2 != 0 && bytes.data[bytes.len - 1] != 0)
    {
      damaged (error, "the license is UTF-16 of an odd length");
      return NULL;
    }
  while (take_utf16 (&bytes, be, &c, &bad))
    len += utf8_length (c);
  if (bad)
    {
      damaged (error, "the license is not valid UTF-16");
      return NULL;
    }
  if (len > TPD_LICENSE_TEXT_MAX)
    {
      damaged (error, "the license is longer than 16 MiB");
      return NULL;
    }
  out = g_malloc (len + 1);
  while (take_utf16 (&again, be, &c, &bad))
    at += (gsize) g_unichar_to_utf8 (c, out + at);
  out[at] = '\0';
  *out_len = at;
  return out;
}

/* --- Escaped text ----------------------------------------------------- */

/* Moves `*at` to the next `word` that white space or `>` follows. */
static gboolean
find_tag (const char *text, gsize len, gsize *at, const char *word)
{
  for (; tpd_scan_find (text, len, at, word); *at += 1)
    {
      gsize behind = *at + strlen (word);
      if (behind < len && (tpd_is_space ((guchar) text[behind]) || text[behind] == '>'))
        return TRUE;
    }
  return FALSE;
}

/* Finds an end tag from `*at` on and moves `*at` behind it. */
static gboolean
find_end_tag (const char *text, gsize len, gsize *at, const char *word)
{
  if (!find_tag (text, len, at, word))
    return FALSE;
  *at += strlen (word);
  while (*at < len && tpd_is_space ((guchar) text[*at]))
    (*at)++;
  /* `</XrML x>`: no XML, but it ends here all the same. */
  if (*at < len && text[*at] == '>')
    (*at)++;
  return TRUE;
}

/* The character a reference such as "&lt;" or "&#xD;" stands for, 0 if it is
 * none; `*used` is its length. */
static gunichar
read_reference (const char *text, gsize len, gsize *used)
{
  static const struct {
    const char *name;
    char c;
  } names[] = { { "&lt;", '<' }, { "&gt;", '>' }, { "&amp;", '&' }, { "&quot;", '"' }, { "&apos;", '\'' } };
  gboolean hex;
  guint32 value = 0;
  gsize at;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      *used = strlen (names[i].name);
      if (len >= *used && memcmp (text, names[i].name, *used) == 0)
        return (guchar) names[i].c;
    }
  if (len < 4 || text[1] != '#')
    return 0;
  hex = text[2] == 'x';
  at = hex ? 3 : 2;
  for (; at < len && at < 12 && text[at] != ';'; at++)
    {
      int digit = hex ? g_ascii_xdigit_value (text[at]) : g_ascii_digit_value (text[at]);

      if (digit < 0 || value > 0x110000)
        return 0;
      value = value * (hex ? 16 : 10) + (guint32) digit;
    }
  if (at >= len || text[at] != ';' || !g_unichar_validate (value))
    return 0;
  *used = at + 1;
  return value;
}

/* Undoes one level of XML escaping in place; the text never grows. */
static gsize
unescape (char *text, gsize len)
{
  gsize out = 0;

  for (gsize at = 0; at < len;)
    {
      gsize used;
      gunichar c = text[at] == '&' ? read_reference (text + at, len - at, &used) : 0;

      if (c == 0)
        {
          text[out++] = text[at++];
          continue;
        }
      at += used;
      out += (gsize) g_unichar_to_utf8 (c, text + out);
    }
  text[out] = '\0';
  return out;
}

/* --- Decoding --------------------------------------------------------- */

/* Without NUL, as text is; eight characters at a time. */
static gboolean
is_ascii (const guint8 *data, gsize len)
{
  const guint64 ones = G_GUINT64_CONSTANT (0x0101010101010101), tops = ones << 7;
  gsize at = 0;

  for (; len - at >= 8; at += 8)
    {
      guint64 word;

      memcpy (&word, data + at, 8);
      /* A top bit that is set, or that borrowing from a zero byte sets. */
      if (((word | (word - ones)) & tops) != 0)
        return FALSE;
    }
  for (; at < len; at++)
    if (data[at] == 0 || data[at] >= 0x80)
      return FALSE;
  return TRUE;
}

static gboolean
decode_xml (TpdLicenseText *text, TpdBytes bytes, Form form, GError **error)
{
  gsize at = 0, escaped = 0;

  if (form == FORM_UTF8 || form == FORM_UTF8_BOM)
    {
      while (bytes.len > 0 && (bytes.data[bytes.len - 1] == 0 || tpd_is_space (bytes.data[bytes.len - 1])))
        bytes.len--;
      if (bytes.len > TPD_LICENSE_TEXT_MAX)
        return damaged (error, "the license is longer than 16 MiB");
      if (!is_ascii (bytes.data, bytes.len) && !g_utf8_validate_len ((const char *) bytes.data, bytes.len, NULL))
        return damaged (error, "the license is not valid UTF-8");
      text->text = g_strndup ((const char *) bytes.data, bytes.len);
      text->len = bytes.len;
    }
  else
    {
      text->text = utf16_to_utf8 (bytes, form == FORM_UTF16BE, &text->len, error);
      if (text->text == NULL)
        return FALSE;
      while (text->len > 0 && (text->text[text->len - 1] == '\0' || tpd_is_space ((guchar) text->text[text->len - 1])))
        text->len--;
      text->text[text->len] = '\0';
      if (memchr (text->text, '\0', text->len) != NULL)
        return damaged (error, "the license text holds a NUL");
    }
  text->encoding = form_names[form];

  /* SOAP messages carry certificates as escaped text. */
  if (!find_tag (text->text, text->len, &at, "<XrML") && tpd_scan_find (text->text, text->len, &escaped, "&lt;XrML"))
    text->len = unescape (text->text, text->len);
  return TRUE;
}

TpdLicenseText *
tpd_license_text_decode (const guint8 *data, gsize len, GError **error)
{
  g_autoptr (TpdLicenseText) text = g_new0 (TpdLicenseText, 1);
  g_autofree guint8 *decoded = NULL;
  TpdBytes bytes = tpd_bytes (data, len);
  Form form;

  if (len > STORED_MAX)
    {
      damaged (error, "the license is longer than 16 MiB");
      return NULL;
    }
  form = detect (&bytes);
  if (form == FORM_OTHER)
    {
      gsize decoded_len, stored = len;

      while (stored > 0 && data[stored - 1] == 0)
        stored--;
      decoded = stored == 0 ? NULL : tpd_base64_decode ((const char *) data, stored, STORED_MAX, &decoded_len);
      if (decoded != NULL)
        {
          bytes = tpd_bytes (decoded, decoded_len);
          form = detect (&bytes);
          text->base64 = TRUE;
        }
    }
  if (form == FORM_JSON)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                           "a JSON publishing license: this format is not supported, only XrML");
      return NULL;
    }
  if (form == FORM_OTHER)
    {
      damaged (error, len == 0 ? "there is no publishing license" : "the publishing license is neither XrML nor JSON");
      return NULL;
    }
  if (!decode_xml (text, bytes, form, error))
    return NULL;
  return g_steal_pointer (&text);
}

/* --- Splitting -------------------------------------------------------- */

GArray *
tpd_license_split (const char *text, gsize len)
{
  GArray *slices = g_array_new (FALSE, TRUE, sizeof (TpdXrmlSlice));
  gsize at = 0;

  while (slices->len < TPD_LICENSE_DOCUMENTS_MAX && find_tag (text, len, &at, "<XrML"))
    {
      TpdXrmlSlice slice = { .start = at };
      gsize end = at, body = at, body_end;

      if (!find_end_tag (text, len, &end, "</XrML"))
        break;
      slice.len = end - at;
      if (find_tag (text, end, &body, "<BODY"))
        {
          body_end = body;
          if (find_end_tag (text, end, &body_end, "</BODY"))
            {
              slice.body_start = body;
              slice.body_len = body_end - body;
            }
        }
      g_array_append_val (slices, slice);
      at = end;
    }
  return slices;
}
