/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of mail: code pages, bodies as UTF-8, and names of attachments that are
 * fit for a file. The code pages that nearly all mail uses are decoded here,
 * the rest by iconv, so that these come out the same whatever conversion
 * modules a machine has.
 */
#include <errno.h>
#include <string.h>

#include "format/mail.h"

#define CP_UTF16LE 1200
#define CP_UTF16BE 1201
#define CP_WINDOWS_LATIN 1252
#define CP_ASCII 20127
#define CP_LATIN1 28591
#define CP_UTF8 65001
#define REPLACEMENT 0xfffd
#define EXTENSION_MAX 24
/* Numbers that are tried to tell equal names apart, and where those begin that are tried next. */
#define NEAR_TRIES 16
#define FAR_NUMBER 100000

/* --- Code pages ------------------------------------------------------- */

static const struct {
  guint code_page;
  const char *mime;
  const char *iconv; /* NULL: as in MIME */
} charsets[] = {
  { 437, "ibm437", NULL },
  { 850, "ibm850", NULL },
  { 852, "ibm852", NULL },
  { 855, "ibm855", NULL },
  { 857, "ibm857", NULL },
  { 858, "ibm00858", "cp858" },
  { 860, "ibm860", NULL },
  { 861, "ibm861", NULL },
  { 862, "ibm862", NULL },
  { 863, "ibm863", NULL },
  { 865, "ibm865", NULL },
  { 866, "ibm866", NULL },
  { 869, "ibm869", NULL },
  { 874, "windows-874", "cp874" },
  { 932, "shift_jis", "cp932" },
  { 936, "gbk", "gbk" },
  { 949, "ks_c_5601-1987", "cp949" },
  { 950, "big5", "cp950" },
  { CP_UTF16LE, "utf-16le", NULL },
  { CP_UTF16BE, "utf-16be", NULL },
  { 1250, "windows-1250", NULL },
  { 1251, "windows-1251", NULL },
  { CP_WINDOWS_LATIN, "windows-1252", NULL },
  { 1253, "windows-1253", NULL },
  { 1254, "windows-1254", NULL },
  { 1255, "windows-1255", NULL },
  { 1256, "windows-1256", NULL },
  { 1257, "windows-1257", NULL },
  { 1258, "windows-1258", NULL },
  { 10000, "macintosh", NULL },
  { CP_ASCII, "us-ascii", NULL },
  { 20866, "koi8-r", NULL },
  { 20932, "euc-jp", NULL },
  { 20936, "gb2312", NULL },
  { 21866, "koi8-u", NULL },
  { CP_LATIN1, "iso-8859-1", NULL },
  { 28592, "iso-8859-2", NULL },
  { 28593, "iso-8859-3", NULL },
  { 28594, "iso-8859-4", NULL },
  { 28595, "iso-8859-5", NULL },
  { 28596, "iso-8859-6", NULL },
  { 28597, "iso-8859-7", NULL },
  { 28598, "iso-8859-8", NULL },
  { 28599, "iso-8859-9", NULL },
  { 28603, "iso-8859-13", NULL },
  { 28605, "iso-8859-15", NULL },
  { 38598, "iso-8859-8-i", "iso-8859-8" },
  { 50220, "iso-2022-jp", NULL },
  { 50221, "iso-2022-jp", NULL },
  { 50222, "iso-2022-jp", NULL },
  { 50225, "iso-2022-kr", NULL },
  { 51932, "euc-jp", NULL },
  { 51936, "gb2312", NULL },
  { 51949, "euc-kr", NULL },
  { 54936, "gb18030", NULL },
  { 65000, "utf-7", NULL },
  { CP_UTF8, "utf-8", NULL },
};

const char *
tpd_mail_charset (guint code_page)
{
  for (gsize i = 0; i < G_N_ELEMENTS (charsets); i++)
    if (charsets[i].code_page == code_page)
      return charsets[i].mime;
  return NULL;
}

static GIConv
open_iconv (guint code_page)
{
  for (gsize i = 0; i < G_N_ELEMENTS (charsets); i++)
    if (charsets[i].code_page == code_page)
      return g_iconv_open ("UTF-8", charsets[i].iconv != NULL ? charsets[i].iconv : charsets[i].mime);
  return (GIConv) -1;
}

static void
append_character (GString *out, gunichar c, guint *bad)
{
  if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
    {
      c = REPLACEMENT;
      (*bad)++;
    }
  g_string_append_unichar (out, c);
}

static void
decode_utf16 (const guint8 *data, gsize len, gboolean big_endian, GString *out, guint *bad)
{
  guint high = big_endian ? 0 : 1;

  for (gsize i = 0; i + 1 < len; i += 2)
    {
      gunichar c = (gunichar) data[i + high] << 8 | data[i + 1 - high];

      if (c >= 0xd800 && c <= 0xdbff && i + 3 < len)
        {
          gunichar low = (gunichar) data[i + 2 + high] << 8 | data[i + 3 - high];

          if (low >= 0xdc00 && low <= 0xdfff)
            {
              c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
              i += 2;
            }
        }
      append_character (out, c, bad);
    }
  if (len % 2 != 0)
    append_character (out, 0, bad);
}

static void
decode_latin (const guint8 *data, gsize len, guint code_page, GString *out, guint *bad)
{
  /* windows-1252, 0x80 to 0x9f; 0 is not assigned. */
  static const guint16 windows[32] = {
    0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178,
  };

  for (gsize i = 0; i < len; i++)
    {
      gunichar c = data[i];

      if (code_page == CP_WINDOWS_LATIN && c >= 0x80 && c < 0xa0)
        c = windows[c - 0x80];
      else if (code_page == CP_ASCII && c >= 0x80)
        c = 0;
      append_character (out, c, bad);
    }
}

static void
decode_utf8 (const guint8 *data, gsize len, GString *out, guint *bad)
{
  const char *at = (const char *) data;
  const char *stop;

  while (len > 0)
    {
      g_utf8_validate_len (at, len, &stop);
      g_string_append_len (out, at, stop - at);
      len -= (gsize) (stop - at);
      at = stop;
      if (len > 0)
        {
          append_character (out, 0, bad);
          at++;
          len--;
        }
    }
}

static void
decode_iconv (GIConv cd, const guint8 *data, gsize len, GString *out, guint *bad)
{
  char *in = (char *) data;
  gsize left = len;

  for (;;)
    {
      char buf[4096];
      char *to = buf;
      gsize room = sizeof buf;
      gsize result = g_iconv (cd, left > 0 ? &in : NULL, &left, &to, &room);
      int failure = errno;

      /* A NUL that came out of the conversion must not end the text. */
      decode_utf8 ((const guint8 *) buf, sizeof buf - room, out, bad);
      if (result != (gsize) -1 && left == 0)
        break;
      if (result != (gsize) -1 || failure == E2BIG)
        continue;
      append_character (out, 0, bad);
      if (failure != EILSEQ || left <= 1)
        break;
      in++;
      left--;
    }
}

/* How many places could not be read goes to `*bad`. */
static char *
decode (const guint8 *data, gsize len, guint code_page, guint *bad)
{
  GString *out = g_string_new (NULL);
  GIConv cd;

  *bad = 0;
  switch (code_page)
    {
    case CP_UTF16LE:
    case CP_UTF16BE:
      if (len >= 2 && data[0] == (code_page == CP_UTF16LE ? 0xff : 0xfe)
          && data[1] == (code_page == CP_UTF16LE ? 0xfe : 0xff))
        {
          data += 2;
          len -= 2;
        }
      while (len >= 2 && data[len - 1] == 0 && data[len - 2] == 0)
        len -= 2;
      decode_utf16 (data, len, code_page == CP_UTF16BE, out, bad);
      return g_string_free (out, FALSE);
    default:
      break;
    }
  while (len > 0 && data[len - 1] == 0)
    len--;
  switch (code_page)
    {
    case CP_UTF8:
      if (len >= 3 && memcmp (data, "\xef\xbb\xbf", 3) == 0)
        decode_utf8 (data + 3, len - 3, out, bad);
      else
        decode_utf8 (data, len, out, bad);
      break;
    case CP_WINDOWS_LATIN:
    case CP_ASCII:
    case CP_LATIN1:
      decode_latin (data, len, code_page, out, bad);
      break;
    default:
      cd = open_iconv (code_page);
      if (cd != (GIConv) -1)
        {
          decode_iconv (cd, data, len, out, bad);
          g_iconv_close (cd);
        }
      else if (g_utf8_validate_len ((const char *) data, len, NULL))
        decode_utf8 (data, len, out, bad);
      else
        decode_latin (data, len, CP_WINDOWS_LATIN, out, bad);
      break;
    }
  return g_string_free (out, FALSE);
}

char *
tpd_mail_decode (const guint8 *data, gsize len, guint code_page)
{
  guint bad;

  return decode (data, len, code_page, &bad);
}

/* Whether a high byte of zero shows in what would be UTF-16LE: no other text
 * holds NUL. */
static gboolean
shows_utf16 (const guint8 *data, gsize len)
{
  for (gsize i = 1; i < len; i += 2)
    if (data[i] == 0 && data[i - 1] != 0)
      return TRUE;
  return FALSE;
}

/*
 * Exchange writes plain bodies in UTF-16LE whatever the code page is; others
 * follow the code page. Where the bytes do not tell (no NUL, no mark), the code
 * page is believed unless it fails at many of them and UTF-16LE at none.
 */
char *
tpd_mail_decode_plain (const guint8 *data, gsize len, guint code_page)
{
  g_autofree char *text = NULL;
  g_autofree char *wide = NULL;
  guint bad;

  if (len >= 2 && data[0] == 0xff && data[1] == 0xfe)
    return tpd_mail_decode (data, len, CP_UTF16LE);
  if (len >= 3 && memcmp (data, "\xef\xbb\xbf", 3) == 0)
    return tpd_mail_decode (data, len, CP_UTF8);
  if (shows_utf16 (data, len) && code_page != CP_UTF16BE)
    return tpd_mail_decode (data, len, CP_UTF16LE);
  text = decode (data, len, code_page, &bad);
  if ((gsize) bad * 8 < len || len % 2 != 0)
    return g_steal_pointer (&text);
  wide = decode (data, len, CP_UTF16LE, &bad);
  return bad == 0 ? g_steal_pointer (&wide) : g_steal_pointer (&text);
}

/* --- Bodies ----------------------------------------------------------- */

char *
tpd_mail_body_text (const TpdMailContent *content)
{
  gsize len;
  const guint8 *data;

  if (content->body_format != TPD_BODY_PLAIN || content->body == NULL)
    return NULL;
  data = g_bytes_get_data (content->body, &len);
  return tpd_mail_decode_plain (data, len, content->code_page);
}

char *
tpd_mail_body_html (const TpdMailContent *content)
{
  GBytes *html = content->body_format == TPD_BODY_PLAIN ? content->as_html : content->body;
  const guint8 *data;
  gsize len;

  if (html == NULL)
    return NULL;
  data = g_bytes_get_data (html, &len);
  /* The HTML version of plain text is met both ways, as the text is. */
  if (content->body_format == TPD_BODY_PLAIN)
    return tpd_mail_decode_plain (data, len, content->code_page);
  if (len >= 2 && data[0] == 0xff && data[1] == 0xfe)
    return tpd_mail_decode (data, len, CP_UTF16LE);
  return tpd_mail_decode (data, len, content->code_page);
}

/* --- Names of attachments ---------------------------------------------- */

static gboolean
is_bidi (gunichar c)
{
  return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Where the extension of `name` starts, its length if there is none. */
static gsize
extension_at (const char *name)
{
  gsize len = strlen (name);
  const char *dot = strrchr (name, '.');

  if (dot == NULL || dot == name || len - (gsize) (dot - name) > EXTENSION_MAX)
    return len;
  return (gsize) (dot - name);
}

/* `name` of at most `max` bytes, its extension kept and `mark` put before it. */
static char *
shorten (const char *name, const char *mark, gsize max)
{
  gsize stem = extension_at (name);
  const char *extension = name + stem;
  gsize rest = strlen (extension) + strlen (mark);

  if (stem + rest > max)
    {
      stem = max - rest;
      while (stem > 0 && ((guchar) name[stem] & 0xc0) == 0x80)
        stem--;
    }
  return g_strdup_printf ("%.*s%s%s", (int) stem, name, mark, extension);
}

char *
tpd_mail_safe_name (const char *stored, const char *fallback)
{
  g_autofree char *valid = g_utf8_make_valid (stored != NULL ? stored : "", -1);
  g_autoptr (GString) out = g_string_new (NULL);
  gsize start = 0;

  for (const char *p = valid; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);
      GUnicodeType type = g_unichar_type (c);

      if (is_bidi (c) || c == 0xfeff)
        continue;
      if (c == '/' || c == '\\' || type == G_UNICODE_CONTROL || type == G_UNICODE_LINE_SEPARATOR
          || type == G_UNICODE_PARAGRAPH_SEPARATOR)
        c = '_';
      if (c == '.' && out->len > 0 && out->str[out->len - 1] == '.')
        continue;
      g_string_append_unichar (out, c);
    }
  while (out->len > 0 && strchr (". ", out->str[out->len - 1]) != NULL)
    g_string_truncate (out, out->len - 1);
  while (start < out->len && strchr (". ", out->str[start]) != NULL)
    start++;
  if (start == out->len)
    return g_strdup (fallback);
  return shorten (out->str + start, "", TPD_MAIL_NAME_MAX);
}

static const char *
stored_name (const TpdMailAttachment *attachment)
{
  const char *const names[] = { attachment->long_name, attachment->display_name, attachment->short_name };
  /* An item or object has a title rather than a file name. */
  guint first = attachment->method == TPD_ATTACH_FILE ? 0 : 1;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      const char *name = names[(first + i) % G_N_ELEMENTS (names)];
      if (name != NULL)
        return name;
    }
  return NULL;
}

static gboolean
has_suffix_folded (const char *name, const char *suffix)
{
  gsize len = strlen (name), suffix_len = strlen (suffix);

  return len >= suffix_len && g_ascii_strcasecmp (name + len - suffix_len, suffix) == 0;
}

static char *
first_name (const TpdMailAttachment *attachment)
{
  static const char *const endings[] = { "", ".msg", ".bin" };
  static const char *const fallbacks[] = { "attachment", "message", "object" };
  const char *ending = endings[attachment->method];
  g_autofree char *name = tpd_mail_safe_name (stored_name (attachment), fallbacks[attachment->method]);
  g_autofree char *full = NULL;

  if (attachment->method == TPD_ATTACH_FILE && extension_at (name) == strlen (name) && attachment->extension != NULL)
    ending = attachment->extension;
  if (*ending == '\0' || has_suffix_folded (name, ending))
    return g_steal_pointer (&name);
  full = g_strconcat (name, *ending == '.' ? "" : ".", ending, NULL);
  return tpd_mail_safe_name (full, name);
}

void
tpd_mail_name_attachments (TpdMailContent *content)
{
  /* Folded name -> the number that its next bearer tries. */
  g_autoptr (GHashTable) taken = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  /* What is tried when names that were made alike took those near: each number once. */
  guint far = FAR_NUMBER;

  for (guint i = 0; i < content->attachments->len; i++)
    {
      TpdMailAttachment *attachment = g_ptr_array_index (content->attachments, i);
      g_autofree char *base = attachment->name != NULL ? g_steal_pointer (&attachment->name) : first_name (attachment);
      g_autofree char *base_key = g_utf8_casefold (base, -1);
      guint number = GPOINTER_TO_UINT (g_hash_table_lookup (taken, base_key));
      g_autofree char *name = g_strdup (base);
      g_autofree char *key = g_strdup (base_key);

      for (guint tries = 0; g_hash_table_contains (taken, key); tries++)
        {
          g_autofree char *mark = g_strdup_printf (" (%u)", tries < NEAR_TRIES ? number++ : far++);

          g_free (name);
          name = shorten (base, mark, TPD_MAIL_NAME_MAX);
          g_free (key);
          key = g_utf8_casefold (name, -1);
        }
      g_hash_table_insert (taken, g_steal_pointer (&base_key), GUINT_TO_POINTER (MAX (number, 2)));
      if (!g_hash_table_contains (taken, key))
        g_hash_table_insert (taken, g_steal_pointer (&key), GUINT_TO_POINTER (2));
      attachment->name = g_steal_pointer (&name);
    }
}
