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
#define BASE64_MAX_DEPTH 2

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

/* Nearly all of a license is ASCII: the next piece of little-endian UTF-16, if
 * all of it is; NULL if it is not, or the text is shorter. */
static const guint8 *
take_ascii (TpdBytes *bytes, gboolean be)
{
  const guint8 *piece = bytes->data + bytes->pos;
  guint16 all = 0;

  if (be || tpd_bytes_left (bytes) < 2 * TPD_SCAN_PIECE)
    return NULL;
  for (gsize i = 0; i < TPD_SCAN_PIECE; i++)
    {
      guint16 unit;

      memcpy (&unit, piece + 2 * i, sizeof unit);
      all |= unit;
    }
  if (GUINT16_FROM_LE (all) >= 0x80)
    return NULL;
  bytes->pos += 2 * TPD_SCAN_PIECE;
  return piece;
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
  for (;;)
    if (take_ascii (&bytes, be) != NULL)
      len += TPD_SCAN_PIECE;
    else if (take_utf16 (&bytes, be, &c, &bad))
      len += utf8_length (c);
    else
      break;
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
  for (;;)
    {
      const guint8 *piece = take_ascii (&again, be);

      if (piece != NULL)
        {
          for (gsize i = 0; i < TPD_SCAN_PIECE; i++)
            out[at + i] = (char) piece[2 * i];
          at += TPD_SCAN_PIECE;
        }
      else if (take_utf16 (&again, be, &c, &bad))
        at += (gsize) g_unichar_to_utf8 (c, out + at);
      else
        break;
    }
  out[at] = '\0';
  *out_len = at;
  return out;
}

/* --- Escaped text ----------------------------------------------------- */

/* Whether `word` stands at `at`, and white space or `>` behind it. */
static gboolean
is_tag (const char *text, gsize len, gsize at, const char *word)
{
  gsize behind = at + strlen (word);

  return tpd_scan_at (text, len, at, word) && behind < len
         && (tpd_is_space ((guchar) text[behind]) || text[behind] == '>');
}

/* Moves `*at` to the next such word. */
static gboolean
find_tag (const char *text, gsize len, gsize *at, const char *word)
{
  for (; tpd_scan_find (text, len, at, word); *at += 1)
    if (is_tag (text, len, *at, word))
      return TRUE;
  return FALSE;
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

/* As g_utf8_validate_len(), which takes its time: only pieces that are not all
 * ASCII, up to where ASCII begins again, are looked at by it. */
static gboolean
is_utf8 (const char *text, gsize len)
{
  const guint kinds = tpd_scan_kinds (text, len);
  gsize at = 0, end;

  if ((kinds & TPD_SCAN_CONTROL) != 0)
    return g_utf8_validate_len (text, len, NULL);
  for (; kinds != 0 && at < len; at = end)
    {
      end = at + MIN ((gsize) TPD_SCAN_PIECE, len - at);
      if (tpd_scan_kinds (text + at, end - at) == 0)
        continue;
      while (end < len && (guchar) text[end] >= 0x80)
        end++;
      if (!g_utf8_validate_len (text + at, end - at, NULL))
        return FALSE;
    }
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
      if (!is_utf8 ((const char *) bytes.data, bytes.len))
        return damaged (error, "the license is not valid UTF-8");
      text->text = g_malloc (bytes.len + 1);
      memcpy (text->text, bytes.data, bytes.len);
      text->text[bytes.len] = '\0';
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

/* Whether the first character of the text, which detect() found to be of that
 * form, is that of XML. */
static gboolean
begins_as_xml (TpdBytes bytes, Form form)
{
  guint next;

  switch (form)
    {
    case FORM_UTF8_BOM:
      return first_unit (bytes, 1, FALSE, &next) == '<';
    case FORM_UTF16LE_BOM:
      return first_unit (bytes, 2, FALSE, &next) == '<';
    case FORM_UTF16BE:
      return first_unit (bytes, 2, TRUE, &next) == '<';
    default:
      return form != FORM_OTHER;
    }
}

/* The bytes that `bytes`, text of any encoding, stands for in base64; NULL if it
 * is no such text. */
static guint8 *
undo_base64 (TpdBytes bytes, Form form, gsize *len)
{
  const gboolean unmarked = form == FORM_OTHER && bytes.len >= 2 && (bytes.data[0] == 0) != (bytes.data[1] == 0);
  g_autofree char *wide = NULL;
  gsize wide_len;

  if (form == FORM_UTF16LE_BOM || form == FORM_UTF16BE || unmarked)
    {
      wide = utf16_to_utf8 (bytes, form == FORM_UTF16BE || (unmarked && bytes.data[0] == 0), &wide_len, NULL);
      if (wide == NULL)
        return NULL;
      bytes = tpd_bytes (wide, wide_len);
    }
  while (bytes.len > 0 && bytes.data[bytes.len - 1] == 0)
    bytes.len--;
  return bytes.len == 0 ? NULL : tpd_base64_decode_bare ((const char *) bytes.data, bytes.len, STORED_MAX, len);
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
  for (guint depth = 0; depth < BASE64_MAX_DEPTH && form != FORM_JSON && !begins_as_xml (bytes, form); depth++)
    {
      gsize inner_len;
      guint8 *inner = undo_base64 (bytes, form, &inner_len);

      if (inner == NULL)
        break;
      g_free (decoded);
      decoded = inner;
      bytes = tpd_bytes (decoded, inner_len);
      form = detect (&bytes);
      text->base64 = TRUE;
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

/* Behind the end tag that begins with the `n` characters at `at`. */
static gsize
behind_end_tag (const char *text, gsize len, gsize at, gsize n)
{
  at += n;
  while (at < len && tpd_is_space ((guchar) text[at]))
    at++;
  /* `</XrML x>`: no XML, but it ends here all the same. */
  return at < len && text[at] == '>' ? at + 1 : at;
}

/* Fills the rest of `slice` from its start on; FALSE: it has no end. */
static gboolean
find_parts (const char *text, gsize len, TpdXrmlSlice *slice)
{
  static const char end[] = "</XrML", body[] = "<BODY", body_end[] = "</BODY";
  gsize at = slice->start + 1;
  const char *tag;

  for (; (tag = memchr (text + at, '<', len - at)) != NULL; at++)
    {
      at = (gsize) (tag - text);
      switch (at + 1 < len ? text[at + 1] : '\0')
        {
        case '!':
        case '?':
          slice->has_markup = TRUE;
          break;
        case 'B':
          if (!tpd_scan_at (text, len, at, body))
            break;
          slice->n_bodies++;
          if (slice->body_start == 0 && is_tag (text, len, at, body))
            slice->body_start = at;
          break;
        case '/':
          if (is_tag (text, len, at, end))
            {
              slice->len = behind_end_tag (text, len, at, strlen (end)) - slice->start;
              if (slice->body_len == 0)
                slice->body_start = 0;
              return TRUE;
            }
          if (slice->body_start != 0 && slice->body_len == 0 && is_tag (text, len, at, body_end))
            slice->body_len = behind_end_tag (text, len, at, strlen (body_end)) - slice->body_start;
          break;
        default:
          break;
        }
    }
  return FALSE;
}

GArray *
tpd_license_split (const char *text, gsize len)
{
  GArray *slices = g_array_new (FALSE, TRUE, sizeof (TpdXrmlSlice));
  gsize at = 0;

  while (slices->len < TPD_LICENSE_DOCUMENTS_MAX && find_tag (text, len, &at, "<XrML"))
    {
      TpdXrmlSlice slice = { .start = at };

      if (!find_parts (text, len, &slice))
        break;
      g_array_append_val (slices, slice);
      at = slice.start + slice.len;
    }
  return slices;
}
