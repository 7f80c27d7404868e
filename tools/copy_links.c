/* SPDX-License-Identifier: Apache-2.0 */
/* Files with several names: see copy_links.h. */
#include "tools/copy_links.h"

#include <string.h>

#include "base/hash.h"
#include "tools/spill.h"

#define SPILL_BYTES (16 * 1024 * 1024)
/* Rounds in which one name at a time is tried. */
#define MAX_ROUNDS 4
/* In no path. */
#define SEPARATOR "//"

typedef struct {
  guint64 dev, ino; /* first: the key of the table */
  guint round;      /* in which a name was taken last */
  guint taken;
  gboolean is_done;
  TpdJournalEntry done;
} Entry;

struct _TpdCopyLinks {
  GMutex lock;
  GHashTable *entries; /* set of Entry, under lock, as all below */
  guint round;
  guint64 waiting; /* names in `later` */
  TpdSpill *now, *later;
};

static guint
entry_hash (gconstpointer data)
{
  const Entry *entry = data;

  return (guint) tpd_hash_file (entry->dev, entry->ino);
}

static gboolean
entry_equal (gconstpointer a, gconstpointer b)
{
  const Entry *x = a, *y = b;

  return x->dev == y->dev && x->ino == y->ino;
}

TpdCopyLinks *
tpd_copy_links_new (void)
{
  TpdCopyLinks *links = g_new0 (TpdCopyLinks, 1);

  g_mutex_init (&links->lock);
  links->entries = g_hash_table_new_full (entry_hash, entry_equal, g_free, NULL);
  links->now = tpd_spill_new (SPILL_BYTES);
  links->later = tpd_spill_new (SPILL_BYTES);
  return links;
}

void
tpd_copy_links_free (TpdCopyLinks *links)
{
  if (links == NULL)
    return;
  tpd_spill_free (links->now);
  tpd_spill_free (links->later);
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

/* Whether the name at hand is the one to be copied. */
static gboolean
may_take (TpdCopyLinks *links, Entry *entry)
{
  if (entry->taken > 0 && entry->taken < MAX_ROUNDS && entry->round == links->round)
    return FALSE;
  entry->round = links->round;
  entry->taken = MIN (entry->taken + 1, MAX_ROUNDS);
  return TRUE;
}

TpdCopyLinkState
tpd_copy_links_take (TpdCopyLinks *links, const TpdStamp *stamp, TpdJournalEntry *done)
{
  TpdCopyLinkState state = TPD_COPY_LINK_LATER;
  Entry *entry;

  g_mutex_lock (&links->lock);
  entry = lookup (links, stamp);
  if (entry == NULL)
    {
      entry = g_new0 (Entry, 1);
      entry->dev = stamp->dev;
      entry->ino = stamp->ino;
      g_hash_table_add (links->entries, entry);
    }
  if (entry->is_done)
    {
      *done = entry->done;
      state = TPD_COPY_LINK_DONE;
    }
  else if (may_take (links, entry))
    state = TPD_COPY_LINK_FIRST;
  g_mutex_unlock (&links->lock);
  return state;
}

void
tpd_copy_links_finish (TpdCopyLinks *links, const TpdStamp *stamp, const TpdJournalEntry *done)
{
  Entry *entry;

  g_mutex_lock (&links->lock);
  entry = lookup (links, stamp);
  if (entry != NULL)
    {
      entry->done = *done;
      entry->is_done = TRUE;
    }
  g_mutex_unlock (&links->lock);
}

void
tpd_copy_links_defer (TpdCopyLinks *links, const char *path, const char *shown)
{
  g_autofree char *text = g_strconcat (path, SEPARATOR, shown, NULL);

  g_mutex_lock (&links->lock);
  tpd_spill_push (links->later, text);
  links->waiting++;
  g_mutex_unlock (&links->lock);
}

gboolean
tpd_copy_links_next_round (TpdCopyLinks *links)
{
  TpdSpill *empty;
  gboolean any;

  g_mutex_lock (&links->lock);
  empty = links->now;
  links->now = links->later;
  links->later = empty;
  links->round++;
  any = links->waiting > 0;
  links->waiting = 0;
  g_mutex_unlock (&links->lock);
  return any;
}

gboolean
tpd_copy_links_pop (TpdCopyLinks *links, char **path, char **shown, GError **error)
{
  g_autofree char *text = NULL;
  const char *end;

  g_mutex_lock (&links->lock);
  text = tpd_spill_pop (links->now, error);
  g_mutex_unlock (&links->lock);
  if (text == NULL)
    return FALSE;
  end = strstr (text, SEPARATOR);
  *path = g_strndup (text, (gsize) (end - text));
  *shown = g_strdup (end + strlen (SEPARATOR));
  return TRUE;
}
