/* SPDX-License-Identifier: Apache-2.0 */
/* Files with several names: see copy_links.h. */
#include "tools/copy_links.h"

typedef struct {
  guint64 dev, ino; /* first: the key of the table */
  TpdCopyLinkInfo info;
} Entry;

struct _TpdCopyLinks {
  GMutex lock;
  GHashTable *entries; /* set of Entry, under lock */
  GQueue later;        /* of tasks, under lock */
  GDestroyNotify free_task;
};

static guint
entry_hash (gconstpointer data)
{
  const Entry *entry = data;

  return (guint) ((entry->ino * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15) + entry->dev) >> 32);
}

static gboolean
entry_equal (gconstpointer a, gconstpointer b)
{
  const Entry *x = a, *y = b;

  return x->dev == y->dev && x->ino == y->ino;
}

void
tpd_copy_link_info_clear (TpdCopyLinkInfo *info)
{
  g_clear_pointer (&info->copy, g_free);
  g_clear_pointer (&info->tail, g_free);
}

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  tpd_copy_link_info_clear (&entry->info);
  g_free (entry);
}

TpdCopyLinks *
tpd_copy_links_new (GDestroyNotify free_task)
{
  TpdCopyLinks *links = g_new0 (TpdCopyLinks, 1);

  g_mutex_init (&links->lock);
  g_queue_init (&links->later);
  links->entries = g_hash_table_new_full (entry_hash, entry_equal, entry_free, NULL);
  links->free_task = free_task;
  return links;
}

void
tpd_copy_links_free (TpdCopyLinks *links)
{
  if (links == NULL)
    return;
  g_queue_clear_full (&links->later, links->free_task);
  g_hash_table_unref (links->entries);
  g_mutex_clear (&links->lock);
  g_free (links);
}

static Entry *
lookup (TpdCopyLinks *links, const TpdStamp *stamp)
{
  const Entry wanted = { .dev = stamp->dev, .ino = stamp->ino };

  return g_hash_table_lookup (links->entries, &wanted);
}

TpdCopyLinkState
tpd_copy_links_take (TpdCopyLinks *links, const TpdStamp *stamp, gpointer task)
{
  TpdCopyLinkState state = TPD_COPY_LINK_LATER;

  g_mutex_lock (&links->lock);
  if (lookup (links, stamp) != NULL)
    g_queue_push_tail (&links->later, task);
  else
    {
      Entry *entry = g_new0 (Entry, 1);

      entry->dev = stamp->dev;
      entry->ino = stamp->ino;
      g_hash_table_add (links->entries, entry);
      state = TPD_COPY_LINK_FIRST;
    }
  g_mutex_unlock (&links->lock);
  return state;
}

void
tpd_copy_links_finish (TpdCopyLinks *links, const TpdStamp *stamp, const TpdCopyLinkInfo *info)
{
  Entry *entry;

  g_mutex_lock (&links->lock);
  entry = lookup (links, stamp);
  if (entry != NULL && entry->info.copy == NULL)
    entry->info = (TpdCopyLinkInfo){ g_strdup (info->copy), g_strdup (info->tail), info->copy_ino, info->copy_size };
  g_mutex_unlock (&links->lock);
}

gboolean
tpd_copy_links_get (TpdCopyLinks *links, const TpdStamp *stamp, TpdCopyLinkInfo *info)
{
  const Entry *entry;
  gboolean found;

  *info = (TpdCopyLinkInfo){ NULL };
  g_mutex_lock (&links->lock);
  entry = lookup (links, stamp);
  found = entry != NULL && entry->info.copy != NULL;
  if (found)
    *info = (TpdCopyLinkInfo){ g_strdup (entry->info.copy), g_strdup (entry->info.tail), entry->info.copy_ino,
                               entry->info.copy_size };
  g_mutex_unlock (&links->lock);
  return found;
}

gpointer
tpd_copy_links_pop (TpdCopyLinks *links)
{
  gpointer task;

  g_mutex_lock (&links->lock);
  task = g_queue_pop_head (&links->later);
  g_mutex_unlock (&links->lock);
  return task;
}
