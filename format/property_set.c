/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Custom properties: see property_set.h. The stream has a header and one or two
 * sets; a set has a table of numbers and offsets. Property 0 is the dictionary,
 * which gives names to numbers, property 1 the code page of its texts.
 */
#include "format/property_set.h"

#include <string.h>

#include "base/bytes.h"
#include "format/mail.h"

/* Work is bounded by their product. */
#define MAX_PROPERTIES 4096
#define MAX_FOUND 512
#define MAX_NAME_BYTES 512
#define MAX_VALUE_BYTES 4096

#define ID_DICTIONARY 0
#define ID_CODE_PAGE 1

#define CODE_PAGE_UTF16 1200
#define CODE_PAGE_DEFAULT 1252

/* [MS-OLEPS] 2.15 */
#define VT_I2 0x0002
#define VT_BOOL 0x000b
#define VT_LPSTR 0x001e
#define VT_LPWSTR 0x001f

/* FMTID_UserDefinedProperties, [MS-OLEPS] 2.25.1 */
static const guint8 user_defined[16] = { 0x05, 0xd5, 0xcd, 0xd5, 0x9c, 0x2e, 0x1b, 0x10,
                                         0x93, 0x97, 0x08, 0x00, 0x2b, 0x2c, 0xf9, 0xae };

/* One set. */
typedef struct {
  TpdBytes bytes; /* from its Size on: what offsets count from */
  guint32 n;      /* of properties, all in the view */
  guint code_page;
} Set;

/* --- The set ------------------------------------------------------------ */

/* [MS-OLEPS] 2.21: a stream has one set or two. */
static gboolean
find_set (TpdBytes *stream, TpdBytes *set)
{
  guint16 byte_order;
  guint32 n, offset;
  const guint8 *id;

  if (!tpd_bytes_take_u16le (stream, &byte_order) || byte_order != 0xfffe || !tpd_bytes_seek (stream, 24)
      || !tpd_bytes_take_u32le (stream, &n) || n < 1 || n > 2)
    return FALSE;
  while (n-- > 0)
    {
      if (!tpd_bytes_take (stream, sizeof user_defined, &id) || !tpd_bytes_take_u32le (stream, &offset))
        return FALSE;
      if (memcmp (id, user_defined, sizeof user_defined) == 0)
        return offset < stream->len && tpd_bytes_slice (stream, offset, stream->len - offset, set);
    }
  return FALSE;
}

/* Points `*at` at the value of the property `id`. The first counts. */
static gboolean
find_property (const Set *set, guint32 id, TpdBytes *at)
{
  TpdBytes table = set->bytes;

  tpd_bytes_seek (&table, 8);
  for (guint32 i = 0; i < set->n; i++)
    {
      guint32 number, offset;

      if (!tpd_bytes_take_u32le (&table, &number) || !tpd_bytes_take_u32le (&table, &offset))
        return FALSE;
      if (number == id)
        {
          *at = set->bytes;
          return tpd_bytes_seek (at, offset);
        }
    }
  return FALSE;
}

static guint
read_code_page (const Set *set)
{
  TpdBytes at;
  guint32 type;
  guint16 page;

  if (!find_property (set, ID_CODE_PAGE, &at) || !tpd_bytes_take_u32le (&at, &type) || (type & 0xffff) != VT_I2
      || !tpd_bytes_take_u16le (&at, &page))
    return CODE_PAGE_DEFAULT;
  return page;
}

static gboolean
open_set (Set *set, TpdBytes *stream)
{
  guint32 size, n;

  if (!find_set (stream, &set->bytes) || !tpd_bytes_take_u32le (&set->bytes, &size)
      || !tpd_bytes_take_u32le (&set->bytes, &n) || n > MAX_PROPERTIES || n > tpd_bytes_left (&set->bytes) / 8)
    return FALSE;
  set->n = n;
  set->code_page = read_code_page (set);
  return TRUE;
}

/* --- Texts -------------------------------------------------------------- */

/* What lies behind the first NUL is padding. (transfer full) */
static char *
decode (const guint8 *data, gsize len, guint code_page)
{
  gsize end = 0;

  if (code_page == CODE_PAGE_UTF16)
    while (end + 1 < len && (data[end] != 0 || data[end + 1] != 0))
      end += 2;
  else
    while (end < len && data[end] != 0)
      end++;
  return tpd_mail_decode (data, end, code_page);
}

/* Its length in `code_page` is in characters for UTF-16, else in bytes. */
static gboolean
take_text (TpdBytes *at, guint code_page, guint32 unit, gsize max, char **text)
{
  guint32 n;
  const guint8 *data;

  *text = NULL;
  if (!tpd_bytes_take_u32le (at, &n) || !tpd_bytes_take (at, (guint64) n * unit, &data))
    return FALSE;
  if ((guint64) n * unit <= max)
    *text = decode (data, (gsize) n * unit, code_page);
  return TRUE;
}

/* NULL: of no type that is wanted, or broken. (transfer full) */
static char *
read_value (const Set *set, guint32 id)
{
  TpdBytes at;
  guint32 type;
  guint16 truth;
  char *text = NULL;

  if (!find_property (set, id, &at) || !tpd_bytes_take_u32le (&at, &type))
    return NULL;
  switch (type & 0xffff)
    {
    case VT_LPSTR:
      take_text (&at, set->code_page, 1, MAX_VALUE_BYTES, &text);
      return text;
    case VT_LPWSTR:
      take_text (&at, CODE_PAGE_UTF16, 2, MAX_VALUE_BYTES, &text);
      return text;
    case VT_BOOL:
      return tpd_bytes_take_u16le (&at, &truth) ? g_strdup (truth != 0 ? "true" : "false") : NULL;
    default:
      return NULL;
    }
}

/* --- Names -------------------------------------------------------------- */

/* [MS-OLEPS] 2.16: names in UTF-16 are padded to four bytes, others are not. */
static gboolean
take_name (TpdBytes *at, guint code_page, guint32 *id, char **name)
{
  const gboolean wide = code_page == CODE_PAGE_UTF16;
  const gsize start = at->pos;

  *name = NULL;
  if (!tpd_bytes_take_u32le (at, id) || !take_text (at, code_page, wide ? 2 : 1, MAX_NAME_BYTES, name))
    return FALSE;
  if (wide && (at->pos - start) % 4 != 0)
    tpd_bytes_skip (at, 2);
  return TRUE;
}

GPtrArray *
tpd_property_set_custom (const guint8 *data, gsize len, const char *prefix)
{
  GPtrArray *found = g_ptr_array_new_with_free_func (g_free);
  TpdBytes stream = tpd_bytes (data, len), names;
  Set set;
  guint32 n;
  guint left = MAX_FOUND;

  if (len > TPD_PROPERTY_SET_MAX || !open_set (&set, &stream) || !find_property (&set, ID_DICTIONARY, &names)
      || !tpd_bytes_take_u32le (&names, &n))
    return found;
  for (guint32 i = 0; i < MIN (n, MAX_PROPERTIES) && left > 0; i++)
    {
      g_autofree char *name = NULL, *value = NULL;
      guint32 id;

      if (!take_name (&names, set.code_page, &id, &name))
        break;
      if (name == NULL || g_ascii_strncasecmp (name, prefix, strlen (prefix)) != 0)
        continue;
      left--;
      value = read_value (&set, id);
      if (value == NULL)
        continue;
      g_ptr_array_add (found, g_steal_pointer (&name));
      g_ptr_array_add (found, g_steal_pointer (&value));
    }
  return found;
}
