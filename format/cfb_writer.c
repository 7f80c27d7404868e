/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compound files: the tree that is to be written. The bytes are made in
 * cfb_layout.c.
 */
#include "format/cfb_writer.h"

#include <string.h>

#include "base/error.h"
#include "format/cfb_writer_private.h"

TpdCfbWriter *
tpd_cfb_writer_new (guint version)
{
  TpdCfbWriter *writer = g_new0 (TpdCfbWriter, 1);
  CfbNode *root = g_new0 (CfbNode, 1);

  writer->version = version == 4 ? 4 : 3;
  writer->nodes = g_ptr_array_new ();
  root->type = TPD_CFB_ROOT;
  root->children = g_array_new (FALSE, FALSE, sizeof (guint32));
  for (const char *p = "Root Entry"; *p != '\0'; p++)
    root->name[root->n_units++] = (guint8) *p;
  g_ptr_array_add (writer->nodes, root);
  return writer;
}

void
tpd_cfb_writer_free (TpdCfbWriter *writer)
{
  if (writer == NULL)
    return;
  for (guint i = 0; i < writer->nodes->len; i++)
    {
      CfbNode *node = cfb_writer_node (writer, i);

      if (node->source != NULL)
        tpd_source_unref (node->source);
      if (node->children != NULL)
        g_array_unref (node->children);
      g_free (node);
    }
  g_ptr_array_unref (writer->nodes);
  g_free (writer);
}

void
tpd_cfb_writer_set_clsid (TpdCfbWriter *writer, guint32 storage, const guint8 clsid[16])
{
  memcpy (cfb_writer_node (writer, storage)->clsid, clsid, 16);
}

/* [MS-CFB] 2.6.1 */
static gboolean
set_name (CfbNode *node, const char *name, GError **error)
{
  glong units = 0;
  g_autofree gunichar2 *utf16 = g_utf8_to_utf16 (name, -1, NULL, &units, NULL);

  if (utf16 == NULL || units < 1 || units > CFB_NAME_UNITS || strpbrk (name, "/\\:!") != NULL)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "A compound file cannot hold an entry of the name that one of its parts has.");
      return FALSE;
    }
  for (glong i = 0; i < units; i++)
    node->name[i] = utf16[i];
  node->n_units = (guint8) units;
  return TRUE;
}

/* Adds an empty node below `parent`; NULL with error. */
static CfbNode *
add_node (TpdCfbWriter *writer, guint32 parent, const char *name, TpdCfbType type, guint32 *id, GError **error)
{
  CfbNode *above = cfb_writer_node (writer, parent);
  g_autofree CfbNode *node = NULL;

  g_return_val_if_fail (above->children != NULL, NULL);
  *id = writer->nodes->len;
  if (*id >= TPD_CFB_MAX_ENTRIES)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE, "The compound file would have more than %d entries.",
                   TPD_CFB_MAX_ENTRIES);
      return NULL;
    }
  node = g_new0 (CfbNode, 1);
  node->type = type;
  node->depth = (guint8) (above->depth + 1);
  if (type == TPD_CFB_STORAGE && node->depth >= TPD_CFB_MAX_DEPTH)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                   "The storages of the compound file would be nested more than %d deep.", TPD_CFB_MAX_DEPTH);
      return NULL;
    }
  if (!set_name (node, name, error))
    return NULL;
  if (type == TPD_CFB_STORAGE)
    node->children = g_array_new (FALSE, FALSE, sizeof (guint32));
  g_ptr_array_add (writer->nodes, node);
  g_array_append_val (above->children, *id);
  return g_steal_pointer (&node);
}

gboolean
tpd_cfb_writer_add_storage (TpdCfbWriter *writer, guint32 parent, const char *name, guint32 *storage, GError **error)
{
  return add_node (writer, parent, name, TPD_CFB_STORAGE, storage, error) != NULL;
}

gboolean
tpd_cfb_writer_add_stream (TpdCfbWriter *writer, guint32 parent, const char *name, TpdSource *source, GError **error)
{
  guint32 id;
  CfbNode *node = add_node (writer, parent, name, TPD_CFB_STREAM, &id, error);

  if (node == NULL)
    return FALSE;
  node->source = tpd_source_ref (source);
  return TRUE;
}

gboolean
tpd_cfb_writer_add_bytes (TpdCfbWriter *writer, guint32 parent, const char *name, const void *data, gsize len,
                          GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, len);
  g_autoptr (TpdSource) source = tpd_source_new_bytes (bytes);

  return tpd_cfb_writer_add_stream (writer, parent, name, source, error);
}

gboolean
tpd_cfb_writer_copy_stream (TpdCfbWriter *writer, guint32 parent, TpdCfb *cfb, const TpdCfbEntry *entry, GError **error)
{
  g_autoptr (TpdSource) source = tpd_cfb_stream_new (cfb, entry, error);

  return source != NULL && tpd_cfb_writer_add_stream (writer, parent, entry->name, source, error);
}

/* A storage that is still to be copied. */
typedef struct {
  const TpdCfbEntry *from;
  guint32 to;
} Pending;

gboolean
tpd_cfb_writer_copy_storage (TpdCfbWriter *writer, guint32 storage, TpdCfb *cfb, const TpdCfbEntry *from,
                             GError **error)
{
  g_autoptr (GArray) stack = g_array_new (FALSE, FALSE, sizeof (Pending));
  Pending now = { from, storage };

  g_array_append_val (stack, now);
  while (stack->len > 0)
    {
      const GPtrArray *list;
      CfbNode *node;

      now = g_array_index (stack, Pending, stack->len - 1);
      g_array_set_size (stack, stack->len - 1);
      node = cfb_writer_node (writer, now.to);
      memcpy (node->clsid, now.from->clsid, sizeof node->clsid);
      node->state = now.from->state;
      list = tpd_cfb_children (cfb, now.from, error);
      if (list == NULL)
        return FALSE;
      for (guint i = 0; i < list->len; i++)
        {
          const TpdCfbEntry *entry = g_ptr_array_index (list, i);
          Pending next = { entry, 0 };

          if (entry->type == TPD_CFB_STREAM)
            {
              if (!tpd_cfb_writer_copy_stream (writer, now.to, cfb, entry, error))
                return FALSE;
              continue;
            }
          if (!tpd_cfb_writer_add_storage (writer, now.to, entry->name, &next.to, error))
            return FALSE;
          g_array_append_val (stack, next);
        }
    }
  return TRUE;
}
