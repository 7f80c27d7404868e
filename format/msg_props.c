/* SPDX-License-Identifier: Apache-2.0 */
/* Properties of Outlook items: see format/msg_props.h. */
#include "format/msg_props.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/mail.h"

#define ENTRY_SIZE 16
/* Readable and writable. */
#define ENTRY_FLAGS 6
#define DEFAULT_CODE_PAGE 1252

/* --- The table --------------------------------------------------------- */

void
tpd_msg_table_init (TpdMsgTable *table)
{
  memset (table->header, 0, sizeof table->header);
  table->list = g_array_new (FALSE, FALSE, sizeof (TpdMsgProperty));
}

void
tpd_msg_table_clear (TpdMsgTable *table)
{
  g_clear_pointer (&table->list, g_array_unref);
}

gboolean
tpd_msg_table_read (TpdMsgTable *table, TpdCfb *cfb, const TpdCfbEntry *storage, gboolean item, GError **error)
{
  const TpdCfbEntry *entry;
  g_autoptr (GBytes) data = NULL;
  gsize header_size = TPD_MSG_HEADER_PART, len = 0;
  const guint8 *header;
  TpdBytes bytes = tpd_bytes (NULL, 0);

  tpd_msg_table_clear (table);
  tpd_msg_table_init (table);
  if (!tpd_cfb_find (cfb, storage, TPD_MSG_PROPERTIES, &entry, error))
    return FALSE;
  if (entry != NULL && entry->type == TPD_CFB_STREAM)
    {
      data = tpd_cfb_stream_read (cfb, entry, TPD_MSG_MAX_TABLE, error);
      if (data == NULL)
        return FALSE;
      len = g_bytes_get_size (data);
      bytes = tpd_bytes (g_bytes_get_data (data, NULL), len);
    }
  if (item)
    header_size =
        len % ENTRY_SIZE == TPD_MSG_HEADER_EMBEDDED % ENTRY_SIZE ? TPD_MSG_HEADER_EMBEDDED : TPD_MSG_HEADER_ITEM;
  if (!tpd_bytes_take (&bytes, header_size, &header))
    {
      if (!item)
        return TRUE;
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                           "The Outlook item is damaged: its table of properties is missing or cut off.");
      return FALSE;
    }
  memcpy (table->header, header, header_size);
  while (tpd_bytes_left (&bytes) >= ENTRY_SIZE)
    {
      TpdMsgProperty property;

      if (!tpd_bytes_take_u32le (&bytes, &property.tag) || !tpd_bytes_take_u32le (&bytes, &property.flags)
          || !tpd_bytes_take_u64le (&bytes, &property.value))
        break;
      g_array_append_val (table->list, property);
    }
  return TRUE;
}

const TpdMsgProperty *
tpd_msg_table_find (const TpdMsgTable *table, guint32 tag)
{
  for (guint i = 0; i < table->list->len; i++)
    {
      const TpdMsgProperty *property = &g_array_index (table->list, TpdMsgProperty, i);

      if (property->tag == tag)
        return property;
    }
  return NULL;
}

gboolean
tpd_msg_table_has_id (const TpdMsgTable *table, guint16 id)
{
  for (guint i = 0; i < table->list->len; i++)
    if (TPD_MSG_ID (g_array_index (table->list, TpdMsgProperty, i).tag) == id)
      return TRUE;
  return FALSE;
}

guint64
tpd_msg_table_get (const TpdMsgTable *table, guint32 tag, guint64 otherwise)
{
  const TpdMsgProperty *property = tpd_msg_table_find (table, tag);

  if (property == NULL)
    return otherwise;
  if (TPD_MSG_TYPE (tag) == TPD_MSG_LONG)
    return property->value & 0xffffffffu;
  return TPD_MSG_TYPE (tag) == TPD_MSG_BOOLEAN ? property->value & 0xffffu : property->value;
}

void
tpd_msg_table_remove (TpdMsgTable *table, guint16 id)
{
  guint kept = 0;

  for (guint i = 0; i < table->list->len; i++)
    {
      TpdMsgProperty property = g_array_index (table->list, TpdMsgProperty, i);

      if (TPD_MSG_ID (property.tag) != id)
        g_array_index (table->list, TpdMsgProperty, kept++) = property;
    }
  g_array_set_size (table->list, kept);
}

void
tpd_msg_table_set (TpdMsgTable *table, guint32 tag, guint64 value)
{
  TpdMsgProperty property = { tag, ENTRY_FLAGS, value };

  tpd_msg_table_remove (table, TPD_MSG_ID (tag));
  g_array_append_val (table->list, property);
}

static void
store_u32 (guint8 *at, guint32 value)
{
  for (guint i = 0; i < 4; i++)
    at[i] = (guint8) (value >> 8 * i);
}

void
tpd_msg_table_set_counts (TpdMsgTable *table, guint32 recipients, guint32 attachments)
{
  store_u32 (table->header + 8, recipients);
  store_u32 (table->header + 12, attachments);
  store_u32 (table->header + 16, recipients);
  store_u32 (table->header + 20, attachments);
}

static int
compare_properties (gconstpointer a, gconstpointer b)
{
  guint32 x = ((const TpdMsgProperty *) a)->tag, y = ((const TpdMsgProperty *) b)->tag;

  return x < y ? -1 : x > y;
}

gboolean
tpd_msg_table_write (TpdMsgTable *table, gsize header_size, TpdCfbWriter *writer, guint32 storage, GError **error)
{
  gsize len = header_size + (gsize) table->list->len * ENTRY_SIZE;
  g_autofree guint8 *data = g_malloc (len);

  g_array_sort (table->list, compare_properties);
  memcpy (data, table->header, header_size);
  for (guint i = 0; i < table->list->len; i++)
    {
      const TpdMsgProperty *property = &g_array_index (table->list, TpdMsgProperty, i);
      guint8 *at = data + header_size + (gsize) i * ENTRY_SIZE;

      store_u32 (at, property->tag);
      store_u32 (at + 4, property->flags);
      store_u32 (at + 8, (guint32) property->value);
      store_u32 (at + 12, (guint32) (property->value >> 32));
    }
  return tpd_cfb_writer_add_bytes (writer, storage, TPD_MSG_PROPERTIES, data, len, error);
}

guint
tpd_msg_code_page (const TpdMsgTable *item)
{
  guint64 internet = tpd_msg_table_get (item, TPD_MSG_TAG (TPD_MSG_INTERNET_CODE_PAGE, TPD_MSG_LONG), 0);
  guint64 page = tpd_msg_table_get (item, TPD_MSG_TAG (TPD_MSG_MESSAGE_CODE_PAGE, TPD_MSG_LONG), internet);

  return page != 0 ? (guint) page : DEFAULT_CODE_PAGE;
}

gboolean
tpd_msg_is_unicode (const TpdMsgTable *item)
{
  if (tpd_msg_table_get (item, TPD_MSG_TAG (TPD_MSG_STORE_SUPPORT, TPD_MSG_LONG), 0) & TPD_MSG_STORE_UNICODE)
    return TRUE;
  for (guint i = 0; i < item->list->len; i++)
    if (TPD_MSG_TYPE (g_array_index (item->list, TpdMsgProperty, i).tag) == TPD_MSG_UNICODE)
      return TRUE;
  return FALSE;
}

/* --- Values in streams -------------------------------------------------- */

void
tpd_msg_stream_name (guint32 tag, char name[TPD_MSG_STREAM_NAME_SIZE])
{
  g_snprintf (name, TPD_MSG_STREAM_NAME_SIZE, TPD_MSG_SUBSTG "%08X", tag);
}

guint16
tpd_msg_stream_id (const char *name)
{
  const gsize prefix = strlen (TPD_MSG_SUBSTG);
  guint id = 0;

  if (g_ascii_strncasecmp (name, TPD_MSG_SUBSTG, prefix) != 0)
    return 0;
  for (gsize i = prefix; i < prefix + 4; i++)
    {
      int digit = g_ascii_xdigit_value (name[i]);

      if (digit < 0)
        return 0;
      id = id << 4 | (guint) digit;
    }
  return (guint16) id;
}

/* UTF-16LE up to a NUL as UTF-8. (transfer full) */
static char *
utf16_to_utf8 (const guint8 *data, gsize len)
{
  TpdBytes bytes = tpd_bytes (data, len);
  GString *text = g_string_sized_new (len / 2);
  guint16 unit, low;

  while (tpd_bytes_take_u16le (&bytes, &unit) && unit != 0)
    {
      gunichar c = unit;
      TpdBytes ahead = bytes;

      if (c >= 0xd800 && c < 0xdc00 && tpd_bytes_take_u16le (&ahead, &low) && low >= 0xdc00 && low < 0xe000)
        {
          c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00u);
          bytes = ahead;
        }
      else if (c >= 0xd800 && c < 0xe000)
        c = 0xfffd;
      g_string_append_unichar (text, c);
    }
  return g_string_free (text, FALSE);
}

gboolean
tpd_msg_read_text (TpdCfb *cfb, const TpdCfbEntry *storage, guint16 id, guint code_page, gsize max, char **text,
                   GError **error)
{
  static const guint16 types[] = { TPD_MSG_UNICODE, TPD_MSG_STRING8 };
  char name[TPD_MSG_STREAM_NAME_SIZE];
  const TpdCfbEntry *entry = NULL;
  g_autoptr (GBytes) data = NULL;
  gsize len;
  const guint8 *bytes;
  guint i;

  *text = NULL;
  for (i = 0; i < G_N_ELEMENTS (types); i++)
    {
      tpd_msg_stream_name (TPD_MSG_TAG (id, types[i]), name);
      if (!tpd_cfb_find (cfb, storage, name, &entry, error))
        return FALSE;
      if (entry != NULL && entry->type == TPD_CFB_STREAM && entry->size > 0 && entry->size <= max)
        break;
    }
  if (i == G_N_ELEMENTS (types))
    return TRUE;
  data = tpd_cfb_stream_read (cfb, entry, max, error);
  if (data == NULL)
    return FALSE;
  bytes = g_bytes_get_data (data, &len);
  *text = types[i] == TPD_MSG_UNICODE ? utf16_to_utf8 (bytes, len) : tpd_mail_decode (bytes, len, code_page);
  if (**text == '\0')
    g_clear_pointer (text, g_free);
  return TRUE;
}

/* --- Writing an object -------------------------------------------------- */

/* A value in a stream; `extra` is what its size in the table counts more. */
static gboolean
put_value (TpdMsgObject *object, guint32 tag, TpdSource *source, guint extra, GError **error)
{
  char name[TPD_MSG_STREAM_NAME_SIZE];

  if (source->size > G_MAXUINT32 - extra)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                           "A part of the mail has more than 4 GiB, which an Outlook item cannot hold.");
      return FALSE;
    }
  tpd_msg_stream_name (tag, name);
  tpd_msg_table_set (&object->table, tag, source->size + extra);
  return tpd_cfb_writer_add_stream (object->writer, object->storage, name, source, error);
}

static gboolean
put_memory (TpdMsgObject *object, guint32 tag, GBytes *bytes, guint extra, GError **error)
{
  g_autoptr (TpdSource) source = tpd_source_new_bytes (bytes);

  return put_value (object, tag, source, extra, error);
}

/* `text` in the code page of the object; NULL if that has not all of it. */
static GBytes *
encode_8bit (const TpdMsgObject *object, const char *text)
{
  const char *charset = tpd_mail_charset (object->code_page);
  g_autofree char *encoded = NULL;
  gsize len = 0;

  if (charset == NULL)
    return NULL;
  encoded = g_convert (text, -1, charset, "UTF-8", NULL, &len, NULL);
  /* A wide code page is none of 8 bits. */
  if (encoded == NULL || memchr (encoded, 0, len) != NULL)
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&encoded), len);
}

gboolean
tpd_msg_put_text (TpdMsgObject *object, guint16 id, const char *text, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  gunichar2 *units;
  glong n = 0;

  if (text == NULL)
    return TRUE;
  if (!object->unicode)
    {
      bytes = encode_8bit (object, text);
      if (bytes != NULL)
        return put_memory (object, TPD_MSG_TAG (id, TPD_MSG_STRING8), bytes, 1, error);
    }
  units = g_utf8_to_utf16 (text, -1, NULL, &n, NULL);
  g_return_val_if_fail (units != NULL, FALSE);
  for (glong i = 0; i < n; i++)
    units[i] = GUINT16_TO_LE (units[i]);
  bytes = g_bytes_new_take (units, (gsize) n * 2);
  return put_memory (object, TPD_MSG_TAG (id, TPD_MSG_UNICODE), bytes, 2, error);
}

gboolean
tpd_msg_put_source (TpdMsgObject *object, guint16 id, TpdSource *source, GError **error)
{
  return put_value (object, TPD_MSG_TAG (id, TPD_MSG_BINARY), source, 0, error);
}

gboolean
tpd_msg_put_bytes (TpdMsgObject *object, guint16 id, const void *data, gsize len, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, len);

  return put_memory (object, TPD_MSG_TAG (id, TPD_MSG_BINARY), bytes, 0, error);
}
