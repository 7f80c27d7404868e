/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outlook items inside others: MAPIMessage storages of a protected mail made
 * into files, and files put into the attachments of an item.
 *
 * In a file, the top item has the only map of named properties, and items
 * inside have a shorter head of their table. What a protected mail holds is
 * seen in both forms ([MS-OXORMMS] leaves it open), so both are read.
 */
#include "format/msg_item.h"

#include <string.h>

#include "base/error.h"
#include "format/mail.h"

const guint8 tpd_msg_clsid[16] = { 0x0b, 0x0d, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46 };

/* --- Storages as files -------------------------------------------------- */

/* Small files are kept on the heap: a mail may have thousands of them, and a
 * process only so many descriptors. */
#define SMALL_FILE (4 * 1024 * 1024)

static TpdSource *
finish (TpdCfbWriter *writer, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdSink) sink = tpd_sink_new (budget, error);
  g_autofree guint8 *data = NULL;
  g_autoptr (GBytes) bytes = NULL;
  gsize size;

  if (sink == NULL || !tpd_cfb_writer_finish (writer, sink, error))
    return NULL;
  if (tpd_sink_size (sink) > SMALL_FILE)
    return tpd_sink_to_source (g_steal_pointer (&sink), error);
  size = (gsize) tpd_sink_size (sink);
  data = g_malloc (size);
  if (!tpd_sink_pread (sink, data, size, 0, error))
    return NULL;
  bytes = g_bytes_new_take (g_steal_pointer (&data), size);
  return tpd_source_new_bytes (bytes);
}

TpdSource *
tpd_cfb_from_storage (TpdCfb *cfb, const TpdCfbEntry *storage, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);

  if (!tpd_cfb_writer_copy_storage (writer, TPD_CFB_WRITER_ROOT, cfb, storage, error))
    return NULL;
  return finish (writer, budget, error);
}

static gboolean
copy_child (TpdCfbWriter *writer, guint32 parent, TpdCfb *cfb, const TpdCfbEntry *entry, GError **error)
{
  guint32 storage;

  if (entry->type == TPD_CFB_STREAM)
    return tpd_cfb_writer_copy_stream (writer, parent, cfb, entry, error);
  return tpd_cfb_writer_add_storage (writer, parent, entry->name, &storage, error)
         && tpd_cfb_writer_copy_storage (writer, storage, cfb, entry, error);
}

TpdSource *
tpd_msg_from_storage (TpdCfb *cfb, const TpdCfbEntry *storage, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_auto (TpdMsgTable) table = { 0 };
  const GPtrArray *list;
  gboolean has_names = FALSE;

  if (!tpd_msg_table_read (&table, cfb, storage, TRUE, error)
      || (list = tpd_cfb_children (cfb, storage, error)) == NULL)
    return NULL;
  tpd_cfb_writer_set_clsid (writer, TPD_CFB_WRITER_ROOT, tpd_msg_clsid);
  for (guint i = 0; i < list->len; i++)
    {
      const TpdCfbEntry *entry = g_ptr_array_index (list, i);

      has_names |= tpd_cfb_name_equal (entry->name, TPD_MSG_NAMEID);
      if (!tpd_cfb_name_equal (entry->name, TPD_MSG_PROPERTIES)
          && !copy_child (writer, TPD_CFB_WRITER_ROOT, cfb, entry, error))
        return NULL;
    }
  if (!has_names)
    {
      g_autoptr (TpdMsgNames) none = tpd_msg_names_new ();

      if (!tpd_msg_names_write (none, writer, TPD_CFB_WRITER_ROOT, error))
        return NULL;
    }
  if (!tpd_msg_table_write (&table, TPD_MSG_HEADER_ITEM, writer, TPD_CFB_WRITER_ROOT, error))
    return NULL;
  return finish (writer, budget, error);
}

/* --- Files inside items ------------------------------------------------- */

typedef enum { PART_ITEM, PART_SUB } PartKind;

/* An object that is still to be copied. */
typedef struct {
  const TpdCfbEntry *from;
  guint32 to;
  PartKind kind;
  const GArray *map; /* of the ids of its named properties; owned by Embedding */
} Part;

typedef struct {
  TpdCfb *cfb;
  TpdCfbWriter *writer;
  TpdMsgNames *names;
  GPtrArray *maps; /* of GArray */
  GArray *parts;   /* of Part */
} Embedding;

/* 0: the property has no name and is left out. */
static guint16
map_id (const GArray *map, guint16 id)
{
  guint index = id - TPD_MSG_FIRST_NAMED;

  if (id < TPD_MSG_FIRST_NAMED)
    return id;
  return map != NULL && index < map->len ? g_array_index (map, guint16, index) : 0;
}

/* An item that brings its own map is read with that. */
static gboolean
take_names (Embedding *self, Part *part, GError **error)
{
  g_autoptr (TpdMsgNames) names = NULL;
  const TpdCfbEntry *storage;
  GArray *map;

  if (!tpd_cfb_find (self->cfb, part->from, TPD_MSG_NAMEID, &storage, error))
    return FALSE;
  if (storage == NULL)
    return TRUE;
  names = tpd_msg_names_read (self->cfb, part->from, error);
  if (names == NULL || (map = tpd_msg_names_merge (self->names, names, error)) == NULL)
    return FALSE;
  g_ptr_array_add (self->maps, map);
  part->map = map;
  return TRUE;
}

static gboolean
copy_table (Embedding *self, const Part *part, GError **error)
{
  g_auto (TpdMsgTable) table = { 0 };
  guint kept = 0;

  if (!tpd_msg_table_read (&table, self->cfb, part->from, part->kind == PART_ITEM, error))
    return FALSE;
  for (guint i = 0; i < table.list->len; i++)
    {
      TpdMsgProperty property = g_array_index (table.list, TpdMsgProperty, i);
      guint16 id = map_id (part->map, TPD_MSG_ID (property.tag));

      if (id == 0)
        continue;
      property.tag = TPD_MSG_TAG (id, TPD_MSG_TYPE (property.tag));
      g_array_index (table.list, TpdMsgProperty, kept++) = property;
    }
  g_array_set_size (table.list, kept);
  return tpd_msg_table_write (&table, part->kind == PART_ITEM ? TPD_MSG_HEADER_EMBEDDED : TPD_MSG_HEADER_PART,
                              self->writer, part->to, error);
}

static gboolean
copy_stream (Embedding *self, const Part *part, const TpdCfbEntry *entry, GError **error)
{
  guint16 id = tpd_msg_stream_id (entry->name), mapped = map_id (part->map, id);
  g_autoptr (TpdSource) source = NULL;
  g_autofree char *name = NULL;

  if (tpd_cfb_name_equal (entry->name, TPD_MSG_PROPERTIES) || (id != 0 && mapped == 0))
    return TRUE;
  if (id == mapped)
    return tpd_cfb_writer_copy_stream (self->writer, part->to, self->cfb, entry, error);
  source = tpd_cfb_stream_new (self->cfb, entry, error);
  if (source == NULL)
    return FALSE;
  name = g_strdup_printf (TPD_MSG_SUBSTG "%04X%s", mapped, entry->name + strlen (TPD_MSG_SUBSTG) + 4);
  return tpd_cfb_writer_add_stream (self->writer, part->to, name, source, error);
}

/* Whether a storage is an object with properties, and which. */
static gboolean
classify (Embedding *self, const Part *part, const TpdCfbEntry *entry, gboolean *is_object, PartKind *kind,
          GError **error)
{
  const TpdCfbEntry *table;

  *is_object = TRUE;
  *kind = PART_SUB;
  if (part->kind == PART_ITEM
      && (g_ascii_strncasecmp (entry->name, TPD_MSG_ATTACH, strlen (TPD_MSG_ATTACH)) == 0
          || g_ascii_strncasecmp (entry->name, TPD_MSG_RECIP, strlen (TPD_MSG_RECIP)) == 0))
    return TRUE;
  *kind = PART_ITEM;
  *is_object = FALSE;
  if (part->kind != PART_SUB || tpd_msg_stream_id (entry->name) != TPD_MSG_ATTACH_DATA)
    return TRUE;
  if (!tpd_cfb_find (self->cfb, entry, TPD_MSG_PROPERTIES, &table, error))
    return FALSE;
  *is_object = table != NULL;
  return TRUE;
}

static gboolean
copy_part (Embedding *self, Part *part, GError **error)
{
  const GPtrArray *list;

  if ((part->kind == PART_ITEM && !take_names (self, part, error)) || !copy_table (self, part, error)
      || (list = tpd_cfb_children (self->cfb, part->from, error)) == NULL)
    return FALSE;
  for (guint i = 0; i < list->len; i++)
    {
      const TpdCfbEntry *entry = g_ptr_array_index (list, i);
      Part next = { .from = entry, .map = part->map };
      gboolean is_object;

      if (entry->type == TPD_CFB_STREAM)
        {
          if (!copy_stream (self, part, entry, error))
            return FALSE;
          continue;
        }
      if (part->kind == PART_ITEM && tpd_cfb_name_equal (entry->name, TPD_MSG_NAMEID))
        continue;
      if (!classify (self, part, entry, &is_object, &next.kind, error))
        return FALSE;
      if (!is_object)
        {
          if (!copy_child (self->writer, part->to, self->cfb, entry, error))
            return FALSE;
          continue;
        }
      if (!tpd_cfb_writer_add_storage (self->writer, part->to, entry->name, &next.to, error))
        return FALSE;
      g_array_append_val (self->parts, next);
    }
  return TRUE;
}

gboolean
tpd_msg_embed (TpdCfbWriter *writer, guint32 storage, TpdSource *msg, TpdMsgNames *names, GError **error)
{
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (msg, error);
  g_autoptr (GPtrArray) maps = g_ptr_array_new_with_free_func ((GDestroyNotify) g_array_unref);
  g_autoptr (GArray) parts = g_array_new (FALSE, FALSE, sizeof (Part));
  Embedding self = { cfb, writer, names, maps, parts };
  Part part = { .to = storage, .kind = PART_ITEM };

  if (cfb == NULL)
    return FALSE;
  part.from = tpd_cfb_root (cfb);
  g_array_append_val (parts, part);
  while (parts->len > 0)
    {
      part = g_array_index (parts, Part, parts->len - 1);
      g_array_set_size (parts, parts->len - 1);
      if (!copy_part (&self, &part, error))
        return FALSE;
    }
  return TRUE;
}
