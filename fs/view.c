/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views of directories: see fs/view.h.
 *
 * A view is immutable but for the time it was last confirmed. It stands as
 * long as the directory's own stamp and the stamps of its candidates do. A
 * directory that was changed so recently that the clock of the file system
 * could hide another change is not trusted for long.
 *
 * The cache is an LRU under one mutex, which is never held while the source
 * is read. Threads that want the same view wait for the one that builds it.
 */
#include "fs/view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Candidates kept in all; each view counts as a few more. */
#define MAX_COST (128 * 1024)
#define VIEW_COST 4

/* One candidate. */
typedef struct {
  char *source;
  char *shown;     /* NULL: the source name */
  char *extension; /* as the look told */
  gboolean plain;  /* likewise: is to be shown under its plain name */
  TpdStamp stamp;
} Item;

struct _TpdView {
  int ref_count; /* atomic */
  guint64 id;
  TpdStamp dir;
  gboolean racy;
  gint64 confirmed_us; /* under TpdViews.lock */
  GPtrArray *items;    /* of Item */
  GHashTable *by_source, *by_shown;
  GList link; /* in TpdViews.lru */
};

struct _TpdViews {
  const TpdNameRules *rules;
  TpdViewLook look;
  gpointer data;
  gint64 ttl_us;

  GMutex lock;
  GCond built;
  GHashTable *views;    /* &TpdView.id -> TpdView, under lock */
  GHashTable *building; /* set of guint64 *, under lock */
  GQueue lru;           /* most recent first, under lock */
  guint cost;           /* of all, under lock */
};

static void
item_free (gpointer data)
{
  Item *item = data;

  g_free (item->source);
  g_free (item->shown);
  g_free (item->extension);
  g_free (item);
}

TpdView *
tpd_view_ref (TpdView *view)
{
  g_atomic_int_inc (&view->ref_count);
  return view;
}

void
tpd_view_unref (TpdView *view)
{
  if (!g_atomic_int_dec_and_test (&view->ref_count))
    return;
  g_hash_table_unref (view->by_source);
  g_hash_table_unref (view->by_shown);
  g_ptr_array_unref (view->items);
  g_free (view);
}

TpdViews *
tpd_views_new (const TpdNameRules *rules, TpdViewLook look, gpointer data, gint64 ttl_us)
{
  TpdViews *views = g_new0 (TpdViews, 1);

  views->rules = rules;
  views->look = look;
  views->data = data;
  views->ttl_us = ttl_us;
  g_mutex_init (&views->lock);
  g_cond_init (&views->built);
  g_queue_init (&views->lru);
  views->views = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, (GDestroyNotify) tpd_view_unref);
  views->building = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  return views;
}

void
tpd_views_free (TpdViews *views)
{
  g_hash_table_unref (views->views);
  g_hash_table_unref (views->building);
  g_cond_clear (&views->built);
  g_mutex_clear (&views->lock);
  g_free (views);
}

static guint
view_cost (const TpdView *view)
{
  return view->items->len + VIEW_COST;
}

/* Under the lock; the cache's reference becomes the caller's. */
static TpdView *
cache_take (TpdViews *views, guint64 id)
{
  TpdView *view = g_hash_table_lookup (views->views, &id);

  if (view == NULL)
    return NULL;
  g_hash_table_steal (views->views, &id);
  g_queue_unlink (&views->lru, &view->link);
  views->cost -= view_cost (view);
  return view;
}

void
tpd_views_drop (TpdViews *views, guint64 id)
{
  TpdView *view;

  g_mutex_lock (&views->lock);
  view = cache_take (views, id);
  g_mutex_unlock (&views->lock);
  if (view != NULL)
    tpd_view_unref (view);
}

/* Under the lock. Views that had to go are put on `*dropped`. */
static void
cache_put (TpdViews *views, TpdView *view, GSList **dropped)
{
  TpdView *old = cache_take (views, view->id);

  if (old != NULL)
    *dropped = g_slist_prepend (*dropped, old);
  g_hash_table_insert (views->views, &view->id, tpd_view_ref (view));
  view->link.data = view;
  g_queue_push_head_link (&views->lru, &view->link);
  views->cost += view_cost (view);
  while (views->cost > MAX_COST && views->lru.length > 1)
    {
      TpdView *oldest = views->lru.tail->data;

      *dropped = g_slist_prepend (*dropped, cache_take (views, oldest->id));
    }
}

/* Whether all candidates still are what they were when looked at. */
static gboolean
items_stand (const TpdView *view, int dirfd)
{
  for (guint i = 0; i < view->items->len; i++)
    {
      const Item *item = view->items->pdata[i];
      struct stat st;
      TpdStamp stamp;

      if (fstatat (dirfd, item->source, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return FALSE;
      tpd_stamp_from_stat (&stamp, &st);
      if (!tpd_stamp_same_content (&stamp, &item->stamp))
        return FALSE;
    }
  return TRUE;
}

static Item *
item_new (TpdViews *views, guint64 id, const TpdView *old, int dirfd, const char *name)
{
  const Item *before = old != NULL ? g_hash_table_lookup (old->by_source, name) : NULL;
  struct stat st;
  TpdStamp stamp;
  Item *item;

  if (fstatat (dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG (st.st_mode))
    return NULL;
  tpd_stamp_from_stat (&stamp, &st);
  item = g_new0 (Item, 1);
  item->source = g_strdup (name);
  if (before != NULL && tpd_stamp_same_content (&before->stamp, &stamp))
    {
      item->plain = before->plain;
      item->extension = g_strdup (before->extension);
    }
  else
    {
      item->plain = views->look (views->data, id, dirfd, name, &st, &item->extension);
      tpd_stamp_from_stat (&stamp, &st);
    }
  item->stamp = stamp;
  return item;
}

/* Fills the shown names of `view` from all names of the directory. */
static void
resolve_names (TpdViews *views, TpdView *view, const TpdListing *listing)
{
  guint n = tpd_listing_length (listing), n_names = 0;
  g_autofree TpdNameEntry *names = g_new0 (TpdNameEntry, n);

  for (guint i = 0; i < n; i++)
    {
      TpdListingEntry entry;
      const Item *item;

      tpd_listing_get (listing, i, &entry);
      if (strcmp (entry.name, ".") == 0 || strcmp (entry.name, "..") == 0)
        continue;
      item = g_hash_table_lookup (view->by_source, entry.name);
      names[n_names].source = entry.name;
      if (item != NULL && item->plain)
        {
          names[n_names].plain = tpd_name_plain (entry.name, item->extension, views->rules);
          names[n_names].extension = item->extension;
        }
      n_names++;
    }
  tpd_names_resolve (names, n_names);
  for (guint i = 0; i < n_names; i++)
    {
      Item *item = names[i].plain != NULL ? g_hash_table_lookup (view->by_source, names[i].source) : NULL;

      if (item != NULL && strcmp (names[i].shown, item->source) != 0 && item->shown == NULL)
        {
          item->shown = g_strdup (names[i].shown);
          g_hash_table_insert (view->by_shown, item->shown, item);
        }
      g_free ((char *) names[i].plain);
      g_free (names[i].shown);
    }
}

static int
read_listing (int dirfd, TpdListing **out)
{
  int fd = openat (dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
  int errnum;

  if (fd < 0 && errno == EPERM)
    fd = openat (dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return errno;
  errnum = tpd_listing_read (fd, out);
  close (fd);
  return errnum;
}

/* `dir` is the directory's stamp from before its names are or were read. */
static int
view_build (TpdViews *views, guint64 id, int dirfd, TpdListing *given, const TpdView *old, const TpdStamp *dir,
            TpdView **out)
{
  g_autoptr (TpdListing) listing = given != NULL ? tpd_listing_ref (given) : NULL;
  g_autoptr (TpdView) view = NULL;
  gboolean any = FALSE;
  int errnum = listing == NULL ? read_listing (dirfd, &listing) : 0;

  if (errnum != 0)
    return errnum;
  view = g_new0 (TpdView, 1);
  view->ref_count = 1;
  view->id = id;
  view->dir = *dir;
  view->racy = g_get_real_time () - dir->ctime_ns / 1000 < TPD_RACY_US;
  view->confirmed_us = g_get_monotonic_time ();
  view->items = g_ptr_array_new_with_free_func (item_free);
  view->by_source = g_hash_table_new (g_str_hash, g_str_equal);
  view->by_shown = g_hash_table_new (g_str_hash, g_str_equal);
  for (guint i = 0; i < tpd_listing_length (listing); i++)
    {
      TpdListingEntry entry;
      Item *item;

      tpd_listing_get (listing, i, &entry);
      if ((entry.type != DT_REG && entry.type != DT_UNKNOWN) || !tpd_name_is_candidate (entry.name, views->rules)
          || g_hash_table_contains (view->by_source, entry.name))
        continue;
      item = item_new (views, id, old, dirfd, entry.name);
      if (item == NULL)
        continue;
      g_ptr_array_add (view->items, item);
      g_hash_table_insert (view->by_source, item->source, item);
      any = any || item->plain;
    }
  if (any)
    resolve_names (views, view, listing);
  *out = g_steal_pointer (&view);
  return 0;
}

static gboolean
view_is_fresh (const TpdView *view, gint64 ttl_us, gint64 now)
{
  gint64 age = now - view->confirmed_us;

  return age < ttl_us && !(view->racy && age >= TPD_RACY_US);
}

int
tpd_views_get (TpdViews *views, guint64 id, int dirfd, TpdListing *listing, TpdView **out)
{
  g_autoptr (TpdView) old = NULL;
  GSList *dropped = NULL;
  struct stat st;
  TpdStamp dir;
  int errnum = 0;
  guint64 *key;

  if (listing != NULL)
    dir = *tpd_listing_stamp (listing);
  else if (fstat (dirfd, &st) == 0)
    tpd_stamp_from_stat (&dir, &st);
  else
    return errno;

  g_mutex_lock (&views->lock);
  while (g_hash_table_contains (views->building, &id))
    g_cond_wait (&views->built, &views->lock);
  old = g_hash_table_lookup (views->views, &id);
  if (old != NULL)
    tpd_view_ref (old);
  if (old != NULL && tpd_stamp_same_content (&old->dir, &dir)
      && view_is_fresh (old, views->ttl_us, g_get_monotonic_time ()))
    {
      g_queue_unlink (&views->lru, &old->link);
      g_queue_push_head_link (&views->lru, &old->link);
      g_mutex_unlock (&views->lock);
      *out = g_steal_pointer (&old);
      return 0;
    }
  key = g_new (guint64, 1);
  *key = id;
  g_hash_table_add (views->building, key);
  g_mutex_unlock (&views->lock);

  gint64 now = g_get_monotonic_time ();
  if (old != NULL && !old->racy && tpd_stamp_same_content (&old->dir, &dir) && items_stand (old, dirfd))
    *out = tpd_view_ref (old);
  else
    errnum = view_build (views, id, dirfd, listing, old, &dir, out);

  g_mutex_lock (&views->lock);
  if (errnum == 0)
    {
      (*out)->confirmed_us = now;
      cache_put (views, *out, &dropped);
    }
  g_hash_table_remove (views->building, &id);
  g_cond_broadcast (&views->built);
  g_mutex_unlock (&views->lock);
  g_slist_free_full (dropped, (GDestroyNotify) tpd_view_unref);
  return errnum;
}

const char *
tpd_view_shown (const TpdView *view, const char *source)
{
  const Item *item = g_hash_table_size (view->by_shown) > 0 ? g_hash_table_lookup (view->by_source, source) : NULL;

  return item != NULL && item->shown != NULL ? item->shown : source;
}

const char *
tpd_view_source (const TpdView *view, const char *shown, TpdStamp *stamp)
{
  const Item *item = g_hash_table_lookup (view->by_shown, shown);

  if (item == NULL)
    return NULL;
  *stamp = item->stamp;
  return item->source;
}
