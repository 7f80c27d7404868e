/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fs/known.h.
 *
 * The rows of a directory are read at once where many of its files are asked
 * for, and alone where few are: how many rows may be read grows with the number
 * of questions, so that neither one file in a huge directory nor a walk of it
 * costs more than is its due. Pages are immutable; those used last are kept, up
 * to MAX_ROWS rows, and not for long, because a scan may be writing.
 *
 * One mutex guards the map; it is not held while the index is read. A directory
 * that is being read is marked as busy, and only who wants the same one waits.
 */
#include "fs/known.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "fs/fs.h"
#include "fs/hinted.h"

#define CONNECTIONS 2
/* About ten megabytes. */
#define MAX_ROWS (128 * 1024)
#define MAX_DIRS 4096
#define TRUSTED_US (60 * G_USEC_PER_SEC)
/* Rows are read alone until so many were asked for, then up to ROWS_A_QUESTION
 * for each of them at once; if there are more, GROWTH times later again. */
#define FIRST_READ 2
#define ROWS_A_QUESTION 128
#define GROWTH 16

/* A directory of the mount. */
typedef struct {
  guint64 node;
  gint64 born_us;
  gint64 id; /* in the index; 0: unknown there */
  gboolean found;
  gboolean busy;     /* somebody reads its rows, or looks for it */
  gboolean is_wrong; /* what the index says of it */
  guint asked, next_read;
  TpdIndexPage *page; /* NULL: not read */
  GList link;
} Dir;

struct _TpdKnown {
  TpdIndexHints *index; /* NULL: none */
  const char *state;    /* atomic */
  char *why;

  GMutex lock;
  GCond done;
  GHashTable *dirs; /* &Dir.node -> Dir, under lock */
  GQueue lru;       /* most recent first, under lock */
  guint rows;       /* of all pages, under lock */
  gboolean told;    /* that it is wrong, under lock */
};

static void
dir_free (gpointer data)
{
  Dir *dir = data;

  g_clear_pointer (&dir->page, tpd_index_page_unref);
  g_free (dir);
}

/* --- Opening ---------------------------------------------------------- */

static TpdIndexHints *
open_index (const TpdFs *fs, TpdKnown *known)
{
  const TpdFsOptions *options = fs->options;
  g_autoptr (GError) error = NULL;
  TpdIndexHints *index;

  if (options->no_index || options->probe == TPD_PROBE_NEVER)
    {
      known->state = "off";
      return NULL;
    }
  index = tpd_index_hints_open (options->index, fs->source, fs->keyring, CONNECTIONS, &error);
  if (index != NULL)
    return index;
  known->why = g_strdup (error->message);
  known->state = tpd_error_get_errno (error) == ENOENT ? "none" : "failed";
  if (options->index == NULL && tpd_error_get_errno (error) == ENOENT)
    tpd_debug ("there is no index of tpd scan: files are looked into when they are listed");
  else
    tpd_warning ("the index is not used, and files are looked into when they are listed: %s", error->message);
  return NULL;
}

TpdKnown *
tpd_known_open (const TpdFs *fs)
{
  TpdKnown *known = g_new0 (TpdKnown, 1);

  known->state = "on";
  g_mutex_init (&known->lock);
  g_cond_init (&known->done);
  g_queue_init (&known->lru);
  known->dirs = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, dir_free);
  known->index = open_index (fs, known);
  if (known->index != NULL)
    tpd_debug ("reading the index %s", tpd_index_hints_path (known->index));
  return known;
}

void
tpd_known_free (TpdKnown *known)
{
  g_hash_table_unref (known->dirs);
  g_clear_pointer (&known->index, tpd_index_hints_free);
  g_mutex_clear (&known->lock);
  g_cond_clear (&known->done);
  g_free (known->why);
  g_free (known);
}

void
tpd_known_reach (const TpdKnown *known, TpdConfinement *reach)
{
  if (known != NULL && known->index != NULL)
    tpd_index_hints_reach (known->index, reach);
}

const char *
tpd_known_state (TpdKnown *known, char **path, char **why)
{
  const char *state;

  *path = *why = NULL;
  if (known == NULL)
    return "off";
  g_mutex_lock (&known->lock);
  state = known->state;
  *why = g_strdup (known->why);
  if (known->index != NULL)
    *path = g_strdup (tpd_index_hints_path (known->index));
  g_mutex_unlock (&known->lock);
  return state;
}

gboolean
tpd_known_is_on (const TpdKnown *known)
{
  return known != NULL && known->index != NULL && __atomic_load_n (&known->state, __ATOMIC_RELAXED)[1] == 'n';
}

/* A file that is locked is asked again; one that is not sound is not. */
static void
note_failure (TpdKnown *known, const GError *error)
{
  gboolean first = FALSE;

  if (tpd_error_get_errno (error) == EBUSY)
    return;
  g_mutex_lock (&known->lock);
  if (known->why == NULL)
    {
      first = TRUE;
      known->why = g_strdup (error->message);
      __atomic_store_n (&known->state, "failed", __ATOMIC_RELAXED);
    }
  g_mutex_unlock (&known->lock);
  if (first)
    tpd_warning ("the index is not used any more, and files are looked into when they are listed: %s", error->message);
}

/* --- Directories ------------------------------------------------------ */

/* Under the lock: makes room, but not of what is being read. */
static void
trim (TpdKnown *known)
{
  for (GList *at = known->lru.tail, *before; at != NULL; at = before)
    {
      Dir *dir = at->data;

      before = at->prev;
      if (known->rows <= MAX_ROWS && known->lru.length <= MAX_DIRS)
        break;
      if (dir->busy || at == known->lru.head)
        continue;
      g_queue_unlink (&known->lru, at);
      if (dir->page != NULL)
        known->rows -= tpd_index_page_length (dir->page);
      g_hash_table_remove (known->dirs, &dir->node);
    }
}

/* Under the lock. */
static void
renew (TpdKnown *known, Dir *dir, gint64 now)
{
  if (dir->page != NULL)
    known->rows -= tpd_index_page_length (dir->page);
  g_clear_pointer (&dir->page, tpd_index_page_unref);
  dir->born_us = now;
  dir->found = FALSE;
  dir->asked = 0;
  dir->next_read = FIRST_READ;
}

/* Under the lock: the directory, not busy. */
static Dir *
get_dir (TpdKnown *known, guint64 node)
{
  gint64 now = g_get_monotonic_time ();
  Dir *dir;

  while ((dir = g_hash_table_lookup (known->dirs, &node)) != NULL && dir->busy)
    g_cond_wait (&known->done, &known->lock);
  if (dir == NULL)
    {
      dir = g_new0 (Dir, 1);
      dir->node = node;
      dir->link.data = dir;
      g_hash_table_insert (known->dirs, &dir->node, dir);
      g_queue_push_head_link (&known->lru, &dir->link);
      renew (known, dir, now);
      trim (known);
    }
  else if (known->lru.head != &dir->link)
    {
      g_queue_unlink (&known->lru, &dir->link);
      g_queue_push_head_link (&known->lru, &dir->link);
    }
  if (now - dir->born_us > TRUSTED_US)
    renew (known, dir, now);
  return dir;
}

/* The way by which the directory was last seen; what is there now may be
 * another, and then validators tell. */
static gboolean
find_in_index (TpdFs *fs, guint64 node_id, gint64 *id, GError **error)
{
  TpdNode *node = tpd_inodes_get (fs->inodes, node_id);
  g_autofree char *path = NULL;

  *id = 0;
  if (node == NULL)
    return TRUE;
  path = tpd_node_path (fs->inodes, node);
  tpd_node_unref (fs->inodes, node);
  return tpd_index_hints_find_dir (fs->known->index, node_id == TPD_NODE_ROOT ? "" : path, id, error);
}

/* Under the lock, which is given up meanwhile: looks for `dir` in the index, and
 * reads its rows if it is time for that. */
static gboolean
read_dir (TpdFs *fs, Dir *dir, GError **error)
{
  TpdKnown *known = fs->known;
  g_autoptr (TpdIndexPage) page = NULL;
  gboolean found = dir->found, good = TRUE, read = dir->asked >= dir->next_read;
  guint max = MIN (dir->next_read * ROWS_A_QUESTION, MAX_ROWS);
  gint64 id = dir->id;

  dir->busy = TRUE;
  g_mutex_unlock (&known->lock);
  if (!found)
    good = find_in_index (fs, dir->node, &id, error);
  if (good && id != 0 && read)
    good = tpd_index_hints_read (known->index, id, max, &page, error);
  g_mutex_lock (&known->lock);
  if (good)
    {
      dir->found = TRUE;
      dir->id = id;
    }
  if (good && read)
    dir->next_read = max < MAX_ROWS ? dir->next_read * GROWTH : G_MAXUINT;
  if (page != NULL)
    {
      known->rows += tpd_index_page_length (page);
      dir->page = g_steal_pointer (&page);
      trim (known);
    }
  dir->busy = FALSE;
  g_cond_broadcast (&known->done);
  return good;
}

/* The page on which the file would be, NULL: there is none. */
static gboolean
get_page (TpdFs *fs, guint64 node, const char *name, TpdIndexPage **page, GError **error)
{
  TpdKnown *known = fs->known;
  gboolean good = TRUE;
  gint64 id = 0;
  Dir *dir;

  *page = NULL;
  g_mutex_lock (&known->lock);
  dir = get_dir (known, node);
  dir->asked++;
  if (!dir->is_wrong && dir->page == NULL && (!dir->found || (dir->id != 0 && dir->asked >= dir->next_read)))
    good = read_dir (fs, dir, error);
  if (good && !dir->is_wrong && dir->page != NULL)
    *page = tpd_index_page_ref (dir->page);
  else if (good && !dir->is_wrong)
    id = dir->id;
  g_mutex_unlock (&known->lock);
  if (good && id != 0)
    good = tpd_index_hints_read_one (known->index, id, name, page, error);
  return good;
}

/* The hint for the file, with the page that it is on. */
static const TpdIndexHint *
find (TpdFs *fs, guint64 dir, const char *name, const TpdStamp *stamp, TpdIndexPage **page)
{
  g_autoptr (GError) error = NULL;

  *page = NULL;
  if (!tpd_known_is_on (fs->known))
    return NULL;
  if (!get_page (fs, dir, name, page, &error))
    note_failure (fs->known, error);
  return *page != NULL ? tpd_index_page_find (*page, stamp) : NULL;
}

/* --- Asking ----------------------------------------------------------- */

gboolean
tpd_known_facts (TpdFs *fs, guint64 dir, const char *name, const struct stat *st, TpdFacts *facts)
{
  g_autoptr (TpdIndexPage) page = NULL;
  const TpdIndexHint *hint;
  TpdStamp stamp;

  tpd_stamp_from_stat (&stamp, st);
  hint = find (fs, dir, name, &stamp, &page);
  if (hint == NULL || !tpd_hinted_facts (fs->options, hint, &stamp, facts))
    return FALSE;
  tpd_fs_count (fs, TPD_COUNT_INDEX_HITS, 1);
  return TRUE;
}

gboolean
tpd_known_name (TpdFs *fs, guint64 dir, const char *name, const struct stat *st, gboolean *plain, char **extension)
{
  g_autoptr (TpdIndexPage) page = NULL;
  const TpdIndexHint *hint;
  TpdStamp stamp;

  tpd_stamp_from_stat (&stamp, st);
  hint = find (fs, dir, name, &stamp, &page);
  if (hint == NULL || !tpd_hinted_name (fs->options, hint, &stamp, name, plain))
    return FALSE;
  *extension = g_strdup (hint->extension);
  tpd_fs_count (fs, TPD_COUNT_INDEX_HITS, 1);
  return TRUE;
}

void
tpd_known_is_wrong (TpdFs *fs, TpdNode *node)
{
  TpdKnown *known = fs->known;
  TpdNode *parent = NULL;
  g_autofree char *name = NULL, *path = NULL;
  gboolean first;
  guint64 id;

  tpd_fs_count (fs, TPD_COUNT_INDEX_WRONG, 1);
  if (!tpd_node_way (node, &parent, &name))
    return;
  id = parent->id;
  tpd_node_unref (fs->inodes, parent);
  g_mutex_lock (&known->lock);
  get_dir (known, id)->is_wrong = TRUE;
  first = !known->told;
  known->told = TRUE;
  g_mutex_unlock (&known->lock);
  if (fs->views != NULL)
    tpd_views_drop (fs->views, id);
  path = tpd_node_path (fs->inodes, node);
  tpd_log (first ? TPD_LOG_WARNING : TPD_LOG_DEBUG,
           "%s is not what the index says, which is not believed any more about that folder; remove the index and have"
           " tpd scan make it anew",
           path);
}
