/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named properties of Outlook items: see format/msg_names.h. A name is kept as
 * its key: GUID, kind and number or text, so that names of different files can
 * be compared.
 */
#include "format/msg_names.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/rtf.h"

#define GUID_STREAM "__substg1.0_00020102"
#define ENTRY_STREAM "__substg1.0_00030102"
#define STRING_STREAM "__substg1.0_00040102"
#define GUID_SIZE 16
#define ENTRY_SIZE 8
#define MAX_NAME_BYTES 1024
/* A GUID, an entry and a text of each name, at most. */
#define MAX_GUIDS (TPD_MSG_MAX_NAMES * GUID_SIZE)
#define MAX_ENTRIES (TPD_MSG_MAX_NAMES * ENTRY_SIZE)
#define MAX_STRINGS (8 * 1024 * 1024)
#define N_BUCKETS 0x1f
#define FIRST_BUCKET 0x1000

#define GUID_INDEX_MAPI 1
#define GUID_INDEX_PUBLIC_STRINGS 2
#define GUID_INDEX_FIRST 3

static const guint8 guid_mapi[GUID_SIZE] = { 0x28, 0x03, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46 };
static const guint8 guid_public_strings[GUID_SIZE] = { 0x29, 0x03, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46 };
static const guint8 guid_internet_headers[GUID_SIZE] = {
  0x86, 0x03, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46
};

/* Keys: GUID, a byte that is 1 for texts, then the number (4 bytes) or the
 * text in UTF-16LE. */
#define KEY_PREFIX (GUID_SIZE + 1)

struct _TpdMsgNames {
  GPtrArray *keys;   /* of GBytes by index, id - 0x8000; NULL where there is none */
  GHashTable *index; /* key -> index + 1; of equal keys the first */
  gboolean changed;
};

static void
free_key (gpointer key)
{
  if (key != NULL)
    g_bytes_unref (key);
}

TpdMsgNames *
tpd_msg_names_new (void)
{
  TpdMsgNames *names = g_new0 (TpdMsgNames, 1);

  names->keys = g_ptr_array_new_with_free_func (free_key);
  names->index = g_hash_table_new (g_bytes_hash, g_bytes_equal);
  return names;
}

void
tpd_msg_names_free (TpdMsgNames *names)
{
  if (names == NULL)
    return;
  g_hash_table_unref (names->index);
  g_ptr_array_unref (names->keys);
  g_free (names);
}

/* Takes `key`. */
static void
set_key (TpdMsgNames *names, guint index, GBytes *key)
{
  if (index >= names->keys->len)
    g_ptr_array_set_size (names->keys, (gint) index + 1);
  if (g_ptr_array_index (names->keys, index) != NULL || g_hash_table_contains (names->index, key))
    {
      g_bytes_unref (key);
      return;
    }
  g_ptr_array_index (names->keys, index) = key;
  g_hash_table_insert (names->index, key, GUINT_TO_POINTER (index + 1));
}

/* --- Reading ------------------------------------------------------------ */

static GBytes *
read_stream (TpdCfb *cfb, const TpdCfbEntry *storage, const char *name, gsize max, GError **error)
{
  const TpdCfbEntry *entry;

  if (!tpd_cfb_find (cfb, storage, name, &entry, error))
    return NULL;
  if (entry == NULL || entry->type != TPD_CFB_STREAM)
    return g_bytes_new (NULL, 0);
  return tpd_cfb_stream_read (cfb, entry, max, error);
}

static TpdBytes
view (GBytes *bytes)
{
  gsize len;
  const guint8 *data = g_bytes_get_data (bytes, &len);

  return tpd_bytes (data, len);
}

static gboolean
find_guid (const TpdBytes *guids, guint index, const guint8 **guid)
{
  TpdBytes slice;

  if (index == GUID_INDEX_MAPI)
    *guid = guid_mapi;
  else if (index == GUID_INDEX_PUBLIC_STRINGS)
    *guid = guid_public_strings;
  else if (index >= GUID_INDEX_FIRST
           && tpd_bytes_slice (guids, (guint64) (index - GUID_INDEX_FIRST) * GUID_SIZE, GUID_SIZE, &slice))
    *guid = slice.data;
  else
    return FALSE;
  return TRUE;
}

static GBytes *
make_key (const guint8 *guid, gboolean is_text, const guint8 *rest, gsize len)
{
  guint8 *key = g_malloc (KEY_PREFIX + len);

  memcpy (key, guid, GUID_SIZE);
  key[GUID_SIZE] = is_text;
  memcpy (key + KEY_PREFIX, rest, len);
  return g_bytes_new_take (key, KEY_PREFIX + len);
}

TpdMsgNames *
tpd_msg_names_read (TpdCfb *cfb, const TpdCfbEntry *item, GError **error)
{
  g_autoptr (TpdMsgNames) names = tpd_msg_names_new ();
  g_autoptr (GBytes) guid_bytes = NULL, entry_bytes = NULL, string_bytes = NULL;
  const TpdCfbEntry *storage;
  TpdBytes guids, entries, strings;
  const guint8 *raw;

  if (!tpd_cfb_find (cfb, item, TPD_MSG_NAMEID, &storage, error))
    return NULL;
  if (storage == NULL || storage->type != TPD_CFB_STORAGE)
    return g_steal_pointer (&names);
  if ((guid_bytes = read_stream (cfb, storage, GUID_STREAM, MAX_GUIDS, error)) == NULL
      || (entry_bytes = read_stream (cfb, storage, ENTRY_STREAM, MAX_ENTRIES, error)) == NULL
      || (string_bytes = read_stream (cfb, storage, STRING_STREAM, MAX_STRINGS, error)) == NULL)
    return NULL;
  guids = view (guid_bytes);
  entries = view (entry_bytes);
  strings = view (string_bytes);
  while (tpd_bytes_take (&entries, ENTRY_SIZE, &raw))
    {
      TpdBytes entry = tpd_bytes (raw, ENTRY_SIZE), text;
      guint32 name, len;
      guint16 kind, index;
      const guint8 *guid;

      tpd_bytes_take_u32le (&entry, &name);
      tpd_bytes_take_u16le (&entry, &kind);
      tpd_bytes_take_u16le (&entry, &index);
      if (index >= TPD_MSG_MAX_NAMES || !find_guid (&guids, kind >> 1, &guid))
        continue;
      if ((kind & 1) == 0)
        set_key (names, index, make_key (guid, FALSE, raw, 4));
      else if (tpd_bytes_seek (&strings, name) && tpd_bytes_take_u32le (&strings, &len) && len <= MAX_NAME_BYTES
               && tpd_bytes_slice (&strings, strings.pos, len & ~1u, &text))
        set_key (names, index, make_key (guid, TRUE, text.data, text.len));
    }
  return g_steal_pointer (&names);
}

guint16
tpd_msg_names_content_class (const TpdMsgNames *names)
{
  static const char wanted[] = "content-class";
  const gsize n = sizeof wanted - 1;

  for (guint i = 0; i < names->keys->len; i++)
    {
      TpdBytes key;
      gboolean same;

      if (g_ptr_array_index (names->keys, i) == NULL)
        continue;
      key = view (g_ptr_array_index (names->keys, i));
      same = key.len == KEY_PREFIX + 2 * n && memcmp (key.data, guid_internet_headers, GUID_SIZE) == 0
             && key.data[GUID_SIZE] == 1;
      for (gsize j = 0; same && j < n; j++)
        same =
            g_ascii_tolower ((char) key.data[KEY_PREFIX + 2 * j]) == wanted[j] && key.data[KEY_PREFIX + 2 * j + 1] == 0;
      if (same)
        return (guint16) (TPD_MSG_FIRST_NAMED + i);
    }
  return 0;
}

/* --- Merging ------------------------------------------------------------ */

GArray *
tpd_msg_names_merge (TpdMsgNames *names, const TpdMsgNames *from, GError **error)
{
  g_autoptr (GArray) map = g_array_new (FALSE, TRUE, sizeof (guint16));

  g_array_set_size (map, from->keys->len);
  for (guint i = 0; i < from->keys->len; i++)
    {
      GBytes *key = g_ptr_array_index (from->keys, i);
      guint index;

      if (key == NULL)
        continue;
      index = GPOINTER_TO_UINT (g_hash_table_lookup (names->index, key));
      if (index == 0)
        {
          index = names->keys->len + 1;
          if (index > TPD_MSG_MAX_NAMES)
            {
              g_set_error_literal (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                                   "The mail has more named properties than an Outlook item can hold.");
              return NULL;
            }
          set_key (names, index - 1, g_bytes_ref (key));
          names->changed = TRUE;
        }
      g_array_index (map, guint16, i) = (guint16) (TPD_MSG_FIRST_NAMED + index - 1);
    }
  return g_steal_pointer (&map);
}

gboolean
tpd_msg_names_changed (const TpdMsgNames *names)
{
  return names->changed;
}

/* --- Writing ------------------------------------------------------------ */

static void
append_u32 (GByteArray *to, guint32 value)
{
  guint8 raw[4] = { (guint8) value, (guint8) (value >> 8), (guint8) (value >> 16), (guint8) (value >> 24) };

  g_byte_array_append (to, raw, sizeof raw);
}

/* The number of `guid`, which is added to `guids` where it is new. */
static guint
guid_index (GByteArray *guids, GHashTable *known, const guint8 *guid)
{
  guint index;
  GBytes *key;

  if (memcmp (guid, guid_mapi, GUID_SIZE) == 0)
    return GUID_INDEX_MAPI;
  if (memcmp (guid, guid_public_strings, GUID_SIZE) == 0)
    return GUID_INDEX_PUBLIC_STRINGS;
  key = g_bytes_new (guid, GUID_SIZE);
  index = GPOINTER_TO_UINT (g_hash_table_lookup (known, key));
  if (index != 0)
    {
      g_bytes_unref (key);
      return index;
    }
  index = guids->len / GUID_SIZE + GUID_INDEX_FIRST;
  g_byte_array_append (guids, guid, GUID_SIZE);
  g_hash_table_insert (known, key, GUINT_TO_POINTER (index));
  return index;
}

static gboolean
add_array (TpdCfbWriter *writer, guint32 storage, const char *name, const GByteArray *data, GError **error)
{
  return tpd_cfb_writer_add_bytes (writer, storage, name, data->data, data->len, error);
}

gboolean
tpd_msg_names_write (const TpdMsgNames *names, TpdCfbWriter *writer, guint32 item, GError **error)
{
  g_autoptr (GByteArray) guids = g_byte_array_new (), entries = g_byte_array_new (), strings = g_byte_array_new ();
  g_autoptr (GHashTable) known =
      g_hash_table_new_full (g_bytes_hash, g_bytes_equal, (GDestroyNotify) g_bytes_unref, NULL);
  g_autoptr (GPtrArray) buckets = g_ptr_array_new_with_free_func ((GDestroyNotify) g_byte_array_unref);
  guint32 storage;

  for (guint i = 0; i < N_BUCKETS; i++)
    g_ptr_array_add (buckets, g_byte_array_new ());
  for (guint i = 0; i < names->keys->len; i++)
    {
      /* An id without a name keeps its place, under a number nobody uses. */
      guint32 number = 0, hash = 0, kind = GUID_INDEX_PUBLIC_STRINGS << 1 | i << 16;
      GByteArray *bucket;

      if (g_ptr_array_index (names->keys, i) != NULL)
        {
          TpdBytes key = view (g_ptr_array_index (names->keys, i));
          gboolean is_text = key.data[GUID_SIZE];

          kind = guid_index (guids, known, key.data) << 1 | is_text | i << 16;
          tpd_bytes_skip (&key, KEY_PREFIX);
          if (is_text)
            {
              number = strings->len;
              hash = tpd_rtf_crc (key.data + KEY_PREFIX, key.len - KEY_PREFIX);
              append_u32 (strings, (guint32) (key.len - KEY_PREFIX));
              g_byte_array_append (strings, key.data + KEY_PREFIX, (guint) (key.len - KEY_PREFIX));
              if (strings->len % 4 != 0)
                g_byte_array_append (strings, (const guint8 *) "\0\0", 2);
            }
          else
            {
              tpd_bytes_take_u32le (&key, &number);
              hash = number;
            }
        }
      append_u32 (entries, number);
      append_u32 (entries, kind);
      if (g_ptr_array_index (names->keys, i) == NULL)
        continue;
      /* [MS-OXMSG] 2.2.3.2.2.1 */
      bucket = g_ptr_array_index (buckets, (hash ^ (kind & 0xffffu)) % N_BUCKETS);
      append_u32 (bucket, hash);
      append_u32 (bucket, kind);
    }
  if (!tpd_cfb_writer_add_storage (writer, item, TPD_MSG_NAMEID, &storage, error)
      || !add_array (writer, storage, GUID_STREAM, guids, error)
      || !add_array (writer, storage, ENTRY_STREAM, entries, error)
      || !add_array (writer, storage, STRING_STREAM, strings, error))
    return FALSE;
  for (guint i = 0; i < N_BUCKETS; i++)
    {
      const GByteArray *bucket = g_ptr_array_index (buckets, i);
      char name[TPD_MSG_STREAM_NAME_SIZE];

      tpd_msg_stream_name (TPD_MSG_TAG (FIRST_BUCKET + i, TPD_MSG_BINARY), name);
      if (bucket->len > 0 && !add_array (writer, storage, name, bucket, error))
        return FALSE;
    }
  return TRUE;
}
