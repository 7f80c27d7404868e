/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files with several names: see links.h. An entry without a link is in the
 * hands of a thread; the others wait for it to be filled or removed.
 */
#include "tools/links.h"

#include <string.h>

#include "base/hash.h"
#include "format/source.h"

#define MAX_BYTES (16 * 1024 * 1024)

typedef struct {
  TpdStamp stamp; /* first: it is the key of the table */
  TpdLink *link;  /* NULL: being looked into */
  gsize bytes;
} Entry;

struct _TpdLinks {
  GMutex lock;
  GCond filled;
  GHashTable *entries; /* set of Entry, under lock, as all below */
  GQueue order;        /* filled ones, oldest first */
  gsize bytes;
  guint64 numbers;
  guint waiting; /* threads */
};

static guint
entry_hash (gconstpointer data)
{
  const Entry *entry = data;

  return (guint) tpd_hash_file (entry->stamp.dev, entry->stamp.ino);
}

static gboolean
entry_equal (gconstpointer a, gconstpointer b)
{
  return tpd_stamp_same_content (&((const Entry *) a)->stamp, &((const Entry *) b)->stamp);
}

void
tpd_link_unref (TpdLink *link)
{
  if (link == NULL || !g_atomic_int_dec_and_test (&link->ref_count))
    return;
  tpd_index_document_free (link->document);
  g_free (link->extension);
  g_free (link);
}

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  tpd_link_unref (entry->link);
  g_free (entry);
}

TpdLinks *
tpd_links_new (void)
{
  TpdLinks *links = g_new0 (TpdLinks, 1);

  g_mutex_init (&links->lock);
  g_cond_init (&links->filled);
  g_queue_init (&links->order);
  links->entries = g_hash_table_new_full (entry_hash, entry_equal, entry_free, NULL);
  return links;
}

void
tpd_links_free (TpdLinks *links)
{
  if (links == NULL)
    return;
  g_queue_clear (&links->order);
  g_hash_table_unref (links->entries);
  g_cond_clear (&links->filled);
  g_mutex_clear (&links->lock);
  g_free (links);
}

TpdLink *
tpd_links_take (TpdLinks *links, const TpdStamp *stamp)
{
  TpdLink *link = NULL;
  Entry *entry;

  g_mutex_lock (&links->lock);
  links->waiting++;
  while ((entry = g_hash_table_lookup (links->entries, stamp)) != NULL && entry->link == NULL)
    g_cond_wait (&links->filled, &links->lock);
  links->waiting--;
  if (entry != NULL)
    {
      link = entry->link;
      g_atomic_int_inc (&link->ref_count);
    }
  else
    {
      entry = g_new0 (Entry, 1);
      entry->stamp = *stamp;
      g_hash_table_add (links->entries, entry);
    }
  g_mutex_unlock (&links->lock);
  return link;
}

static TpdLink *
link_new (const TpdIndexRow *row, const TpdIndexDocument *document)
{
  TpdLink *link = g_new0 (TpdLink, 1);

  link->ref_count = 1;
  link->extension = g_strdup (row->extension);
  link->row = *row;
  link->row.name = NULL;
  link->row.extension = link->extension;
  if (document != NULL)
    link->document = tpd_index_document_copy (document);
  return link;
}

/* With the lock held: forgets the oldest until the rest fits. */
static void
make_room (TpdLinks *links)
{
  while (links->bytes > MAX_BYTES && !g_queue_is_empty (&links->order))
    {
      Entry *oldest = g_queue_pop_head (&links->order);

      links->bytes -= oldest->bytes;
      g_hash_table_remove (links->entries, oldest);
    }
}

guint64
tpd_links_put (TpdLinks *links, const TpdStamp *stamp, const TpdIndexRow *row, const TpdIndexDocument *document)
{
  TpdLink *link = row != NULL ? link_new (row, document) : NULL;
  guint64 number = 0;
  Entry *entry;

  g_mutex_lock (&links->lock);
  entry = g_hash_table_lookup (links->entries, stamp);
  if (link == NULL)
    g_hash_table_remove (links->entries, stamp);
  else
    {
      number = ++links->numbers;
      link->number = number;
      entry->link = link;
      entry->bytes = sizeof *entry + sizeof *link;
      if (document != NULL)
        entry->bytes += sizeof *document + (document->json != NULL ? strlen (document->json) : 0);
      links->bytes += entry->bytes;
      g_queue_push_tail (&links->order, entry);
      make_room (links);
    }
  /* It is a system call. */
  if (links->waiting > 0)
    g_cond_broadcast (&links->filled);
  g_mutex_unlock (&links->lock);
  return number;
}
