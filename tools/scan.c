/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work of `tpd scan`: see scan.h. The walk's threads compare names with
 * the index and look into files (scan_look.c).
 *
 * A directory's news go to the writer as one batch a chunk, an empty one too:
 * it says that the directory was visited. When the index turns out to be
 * damaged the walk is stopped, the file set aside, and the scan done again.
 */
#include "tools/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/error.h"
#include "tools/scan_private.h"

/* Entries of a directory worked on at a time. */
#define CHUNK_ENTRIES 4096
#define WAIT_US (100 * 1000)
/* Names of owners and templates that a thread keeps to itself. */
#define OWN_NAMES 2000
/* Files that a thread looks at before it tells the progress, which all share. */
#define OWN_FILES 16

/* The first error counts. Takes over `error`. */
static void
note_error (TpdScanShared *shared, GError *error)
{
  g_mutex_lock (&shared->lock);
  if (shared->error == NULL)
    shared->error = g_steal_pointer (&error);
  g_mutex_unlock (&shared->lock);
  g_clear_error (&error);
}

void
tpd_scan_stop (TpdScanShared *shared, GError *error)
{
  note_error (shared, error);
  tpd_walk_cancel (shared->walk);
}

static gboolean
find_row (TpdScanWorker *worker, const char *name, const TpdIndexRow **row)
{
  GError *error = NULL;

  if (tpd_index_reader_lookup (worker->reader, name, row, &error))
    return TRUE;
  tpd_scan_stop (worker->shared, error);
  return FALSE;
}

/* --- Names ------------------------------------------------------------- */

/* Whether opening a file of the directory at hand recalls nothing from anywhere. */
static gboolean
is_local (TpdScanWorker *worker)
{
  struct statfs fs;

  if (worker->local_dev != worker->dir->dev)
    {
      worker->is_local = fstatfs (worker->dir->fd, &fs) == 0
                         && ((guint32) fs.f_type == EXT4_SUPER_MAGIC || (guint32) fs.f_type == BTRFS_SUPER_MAGIC
                             || (guint32) fs.f_type == TMPFS_MAGIC);
      worker->local_dev = worker->dir->dev;
    }
  return worker->is_local;
}

/* lstat. What the index does not know has to be opened anyhow: then one look at
 * the open file is enough. */
static int
stat_name (TpdScanWorker *worker, const char *name, gboolean is_known)
{
  worker->fd = is_known || !is_local (worker) ? -1 : tpd_scan_open (worker, name);
  if (worker->fd >= 0)
    return fstat (worker->fd, &worker->st);
  return fstatat (worker->dir->fd, name, &worker->st, AT_SYMLINK_NOFOLLOW);
}

static void
tell_progress (TpdScanWorker *worker)
{
  tpd_progress_add (worker->shared->progress, worker->files, worker->bytes);
  worker->files = worker->bytes = 0;
}

static void
look_at_name (TpdScanWorker *worker, const char *name, const TpdIndexRow *known)
{
  TpdScanShared *shared = worker->shared;

  if (stat_name (worker, name, known != NULL) != 0)
    {
      TpdIndexRow row = { .name = name };

      /* Gone meanwhile: that is no failure. */
      if (errno == ENOENT)
        return;
      tpd_scan_put_errno (worker, &row, errno, NULL);
      return;
    }
  if (shared->options->tree.one_file_system && worker->st.st_dev != shared->root_dev)
    {
      worker->tally.foreign++;
      return;
    }
  if (S_ISLNK (worker->st.st_mode))
    worker->tally.symlinks++;
  else if (S_ISREG (worker->st.st_mode))
    {
      tpd_scan_look (worker, name, &worker->st, known);
      worker->files++;
      worker->bytes += (guint64) worker->st.st_size;
      if (worker->files == OWN_FILES)
        tell_progress (worker);
    }
  else if (!S_ISDIR (worker->st.st_mode))
    worker->tally.others++;
}

static void
scan_name (TpdScanWorker *worker, const char *name)
{
  const TpdIndexRow *known = NULL;

  if (!find_row (worker, name, &known))
    return;
  if (known != NULL)
    worker->matched++;
  if (!tpd_filter_has_file (&worker->shared->options->tree.filter, worker->dir->path, name))
    {
      worker->tally.excluded++;
      return;
    }
  worker->fd = -1;
  look_at_name (worker, name, known);
  if (worker->fd >= 0)
    close (worker->fd);
  worker->fd = -1;
}

/* --- What is gone ------------------------------------------------------ */

static void
remove_name (gpointer data, const char *name)
{
  TpdScanWorker *worker = data;

  tpd_index_batch_remove (worker->batch, name);
}

static void
remove_if_gone (gpointer data, const char *name)
{
  TpdScanWorker *worker = data;
  struct stat st;

  if (fstatat (worker->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ? errno == ENOENT : !S_ISREG (st.st_mode))
    tpd_index_batch_remove (worker->batch, name);
}

static void
remove_all_gone (TpdScanWorker *worker)
{
  GError *error = NULL;

  if (!tpd_index_reader_each_name (worker->reader, remove_if_gone, worker, &error))
    tpd_scan_stop (worker->shared, error);
}

/* --- Chunks ------------------------------------------------------------ */

static gboolean
open_batch (TpdScanWorker *worker, const TpdWalkDir *dir)
{
  GError *error = NULL;

  if (worker->reader == NULL)
    return FALSE;
  if (!tpd_index_reader_enter (worker->reader, dir->path, &error))
    {
      tpd_scan_stop (worker->shared, error);
      return FALSE;
    }
  worker->dir = dir;
  worker->matched = 0;
  worker->batch = tpd_index_batch_new (dir->path, tpd_index_reader_dir_id (worker->reader));
  if (tpd_index_reader_dir_error (worker->reader) != NULL)
    tpd_index_batch_set_error (worker->batch, NULL);
  return TRUE;
}

static void
close_batch (TpdScanWorker *worker)
{
  TpdScanShared *shared = worker->shared;

  if (!tpd_index_writer_submit (shared->writer, g_steal_pointer (&worker->batch)))
    tpd_walk_cancel (shared->walk);
}

static void
give_tally (TpdScanWorker *worker)
{
  TpdScanShared *shared = worker->shared;

  g_mutex_lock (&shared->lock);
  tpd_tally_merge (shared->tally, &worker->tally);
  g_mutex_unlock (&shared->lock);
  tpd_tally_clear (&worker->tally);
  tpd_tally_init (&worker->tally);
}

static void
scan_chunk (gpointer data, gpointer thread, const TpdWalkChunk *chunk)
{
  TpdScanWorker *worker = thread;
  TpdScanShared *shared = worker->shared;

  if (!open_batch (worker, chunk->dir))
    return;
  for (guint i = 0; i < chunk->n && !tpd_walk_is_cancelled (shared->walk); i++)
    {
      const TpdWalkEntry *entry = &chunk->entries[i];

      switch (entry->type)
        {
        case DT_REG:
          scan_name (worker, entry->name);
          break;
        case DT_LNK:
          worker->tally.symlinks++;
          break;
        case DT_DIR:
          break;
        default:
          worker->tally.others++;
          break;
        }
    }
  if (!chunk->whole)
    __atomic_sub_fetch (&chunk->dir->user, (gint64) worker->matched, __ATOMIC_RELAXED);
  else if (!tpd_walk_is_cancelled (shared->walk) && !tpd_index_reader_each_unseen (worker->reader, remove_name, worker))
    remove_all_gone (worker);
  close_batch (worker);
  tell_progress (worker);
  if (tpd_tally_n_names (&worker->tally) > OWN_NAMES)
    give_tally (worker);
}

/* A large directory: `user` counts the rows that nobody asked for yet. */
static void
begin_dir (gpointer data, gpointer thread, TpdWalkDir *dir)
{
  TpdScanWorker *worker = thread;
  GError *error = NULL;
  guint64 count = 0;

  if (worker->reader == NULL)
    return;
  if (!tpd_index_reader_enter (worker->reader, dir->path, &error)
      || !tpd_index_reader_count (worker->reader, &count, &error))
    tpd_scan_stop (worker->shared, error);
  dir->user = (gint64) count;
}

static void
end_dir (gpointer data, gpointer thread, TpdWalkDir *dir)
{
  TpdScanWorker *worker = thread;

  if (__atomic_load_n (&dir->user, __ATOMIC_RELAXED) <= 0 || tpd_walk_is_cancelled (worker->shared->walk)
      || !open_batch (worker, dir))
    return;
  remove_all_gone (worker);
  close_batch (worker);
}

static void
dir_failed (gpointer data, gpointer thread, const char *path, int errnum)
{
  TpdScanWorker *worker = thread;
  g_autoptr (GError) error = NULL;
  g_autofree char *shown = tpd_record_path (worker->shared->options->root, path, NULL);

  tpd_error_set_errno (&error, errnum, "cannot read the directory");
  tpd_progress_tell (worker->shared->progress, TPD_LOG_WARNING, "%s: io-error: %s", shown, error->message);
  worker->tally.failed_dirs++;
  worker->batch = tpd_index_batch_new (path, 0);
  tpd_index_batch_set_error (worker->batch, error->message);
  close_batch (worker);
}

/* --- Threads ----------------------------------------------------------- */

static gpointer
worker_new (gpointer data)
{
  TpdScanShared *shared = data;
  TpdScanWorker *worker = g_new0 (TpdScanWorker, 1);
  GError *error = NULL;

  worker->shared = shared;
  worker->fd = -1;
  tpd_tally_init (&worker->tally);
  worker->reader = tpd_index_reader_new (shared->index, &error);
  if (worker->reader == NULL)
    tpd_scan_stop (shared, error);
  return worker;
}

static void
worker_free (gpointer data, gpointer thread)
{
  TpdScanWorker *worker = thread;

  give_tally (worker);
  tpd_tally_clear (&worker->tally);
  tpd_index_reader_free (worker->reader);
  g_free (worker);
}

static const TpdWalkClass walk_class = {
  .thread_new = worker_new,
  .thread_free = worker_free,
  .begin = begin_dir,
  .end = end_dir,
  .chunk = scan_chunk,
  .failed = dir_failed,
};

/* TRUE when the walk went through. */
static gboolean
walk (TpdScanShared *shared, TpdWalkStats *stats)
{
  const TpdScanOptions *options = shared->options;
  const TpdWalkOptions walk_options = {
    .jobs = options->jobs,
    .one_file_system = options->tree.one_file_system,
    .snapshots = options->tree.snapshots,
    .filter = &options->tree.filter,
    .chunk_entries = CHUNK_ENTRIES,
  };
  GError *error = NULL;
  gboolean cancelled;

  shared->walk = tpd_walk_new (shared->root_fd, &walk_options, &walk_class, shared);
  tpd_walk_start (shared->walk);
  while (!tpd_walk_wait (shared->walk, WAIT_US))
    {
      tpd_progress_draw (shared->progress);
      if (tpd_interrupted ())
        tpd_walk_cancel (shared->walk);
    }
  cancelled = tpd_walk_is_cancelled (shared->walk);
  if (!tpd_walk_finish (shared->walk, stats, &error))
    note_error (shared, error);
  tpd_progress_hide (shared->progress);
  return !cancelled;
}

static gboolean
dir_is_gone (gpointer data, const char *dir)
{
  TpdScanShared *shared = data;
  struct stat st;

  if (fstatat (shared->root_fd, dir[0] != '\0' ? dir : ".", &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT || errno == ENOTDIR;
  return !S_ISDIR (st.st_mode);
}

static gboolean
read_expected (TpdScanShared *shared, GError **error)
{
  g_autoptr (TpdIndexReader) reader = tpd_index_reader_new (shared->index, error);
  TpdIndexScan last;

  if (reader == NULL || !tpd_index_reader_scan (reader, &last, error))
    return FALSE;
  shared->progress->expected = last.files;
  return TRUE;
}

static gboolean
finish (TpdScanShared *shared, TpdScan *scan, gboolean complete, GError **error)
{
  const TpdIndexFinish end = {
    .complete = complete,
    .files = scan->tally.all.files,
    .bytes = scan->tally.all.bytes,
    .is_gone = dir_is_gone,
    .data = shared,
    .keyring = shared->session->keyring,
  };
  GError *own = NULL;

  if (!tpd_index_writer_finish (shared->writer, &end, &own))
    note_error (shared, own);
  if (shared->error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&shared->error));
  return FALSE;
}

static gboolean
scan_once (TpdScanShared *shared, TpdScan *scan, GError **error)
{
  gboolean complete;

  tpd_tally_clear (&scan->tally);
  tpd_tally_init (&scan->tally);
  shared->tally = &scan->tally;
  g_clear_pointer (&scan->writer, tpd_index_writer_free);
  g_clear_pointer (&scan->index, tpd_index_free);
  scan->index = tpd_index_open (shared->options->index_path, shared->options->root, error);
  if (scan->index == NULL)
    return FALSE;
  shared->index = scan->index;
  if (!read_expected (shared, error))
    return FALSE;
  scan->writer = tpd_index_writer_start (scan->index, error);
  if (scan->writer == NULL)
    return FALSE;
  shared->writer = scan->writer;
  complete = walk (shared, &scan->walked);
  scan->interrupted = !complete && tpd_interrupted ();
  return finish (shared, scan, complete, error);
}

/* Once more, with a new index, when the old one turns out to be damaged. */
static gboolean
scan_twice (TpdScanShared *shared, TpdScan *scan, GError **error)
{
  g_autoptr (GError) wrong = NULL;

  if (scan_once (shared, scan, &wrong))
    return TRUE;
  if (!g_error_matches (wrong, TPD_ERROR, TPD_ERROR_DAMAGED) || scan->index == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&wrong));
      return FALSE;
    }
  g_clear_pointer (&scan->writer, tpd_index_writer_free);
  if (!tpd_index_set_aside (scan->index, wrong->message, error))
    return FALSE;
  return scan_once (shared, scan, error);
}

TpdScan *
tpd_scan_run (const TpdScanOptions *options, const TpdSession *session, TpdProgress *progress, GError **error)
{
  g_autoptr (TpdScan) scan = g_new0 (TpdScan, 1);
  TpdScanShared shared = { .options = options, .session = session, .progress = progress };
  struct stat st;
  gboolean good;

  scan->started = g_get_real_time () / G_USEC_PER_SEC;
  shared.root_fd = open (options->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (shared.root_fd < 0 || fstat (shared.root_fd, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot open %s", options->root);
      if (shared.root_fd >= 0)
        close (shared.root_fd);
      return NULL;
    }
  shared.root_dev = st.st_dev;
  g_mutex_init (&shared.lock);
  shared.links = tpd_links_new ();
  good = scan_twice (&shared, scan, error);
  tpd_links_free (shared.links);
  g_clear_error (&shared.error);
  g_mutex_clear (&shared.lock);
  close (shared.root_fd);
  scan->finished = g_get_real_time () / G_USEC_PER_SEC;
  return good ? g_steal_pointer (&scan) : NULL;
}

void
tpd_scan_free (TpdScan *scan)
{
  if (scan == NULL)
    return;
  tpd_tally_clear (&scan->tally);
  tpd_index_writer_free (scan->writer);
  tpd_index_free (scan->index);
  g_free (scan);
}
