/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of a copy: see copy.h. One walk reads directories, whole ones,
 * because names depend on all entries, and hands each entry to the workers. So
 * a directory with many files is worked on by all of them. Names of files that
 * have several come again in rounds of their own (copy_links.h).
 *
 * The lock guards the queue of tasks, the finished items and the counts;
 * each kind of waiting has a condition of its own.
 */
#include "tools/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "tools/copy_finish.h"
#include "tools/copy_names.h"
#include "tools/copy_temp.h"
#include "tools/tee.h"

#define WAIT_US (100 * 1000)
#define SPILL_BYTES (16 * 1024 * 1024)

/* --- Directories and tasks --------------------------------------------- */

TpdCopyDir *
tpd_copy_dir_ref (TpdCopyDir *dir)
{
  g_atomic_int_inc (&dir->ref_count);
  return dir;
}

void
tpd_copy_dir_unref (TpdCopyDir *dir)
{
  if (dir == NULL || !g_atomic_int_dec_and_test (&dir->ref_count))
    return;
  if (dir->target_fd >= 0 && dir->target_fd != dir->source_fd)
    close (dir->target_fd);
  if (dir->source_fd >= 0)
    close (dir->source_fd);
  g_free (dir->path);
  g_free (dir);
}

void
tpd_copy_task_free (TpdCopyTask *task)
{
  if (task == NULL)
    return;
  tpd_copy_dir_unref (task->dir);
  g_free (task->name);
  g_free (task->shown);
  g_free (task->path);
  g_free (task->copy);
  g_free (task);
}

void
tpd_copy_task_keep_name (TpdCopyTask *task)
{
  g_free (task->shown);
  g_free (task->copy);
  task->shown = g_strdup (task->name);
  task->copy = g_strdup (task->path);
}

static char *
join (const char *dir, const char *name)
{
  return dir[0] != '\0' ? g_strconcat (dir, "/", name, NULL) : g_strdup (name);
}

static TpdCopyTask *
task_new (TpdCopyDir *dir, const char *name, const char *shown, guint8 type)
{
  TpdCopyTask *task = g_new0 (TpdCopyTask, 1);

  task->dir = tpd_copy_dir_ref (dir);
  task->name = g_strdup (name);
  task->shown = g_strdup (shown);
  task->path = join (dir->path, name);
  task->copy = join (dir->path, shown);
  task->type = type;
  return task;
}

void
tpd_copy_stop (TpdCopy *copy, GError *error)
{
  g_mutex_lock (&copy->lock);
  if (copy->error == NULL)
    copy->error = g_steal_pointer (&error);
  g_atomic_int_set (&copy->stop, 1);
  g_cond_broadcast (&copy->work);
  g_cond_broadcast (&copy->room);
  g_mutex_unlock (&copy->lock);
  g_clear_error (&error);
}

gboolean
tpd_copy_is_stopped (TpdCopy *copy)
{
  return g_atomic_int_get (&copy->stop) != 0;
}

/* --- The walk ---------------------------------------------------------- */

static void
push_task (TpdCopy *copy, TpdCopyTask *task)
{
  g_mutex_lock (&copy->lock);
  while (copy->tasks.length >= copy->max_tasks && !tpd_copy_is_stopped (copy))
    g_cond_wait (&copy->room, &copy->lock);
  g_queue_push_tail (&copy->tasks, task);
  if (copy->idle > 0)
    g_cond_signal (&copy->work);
  g_mutex_unlock (&copy->lock);
}

/* Temporary files that a run before this left. */
static void
remove_stale (TpdCopy *copy, const TpdCopyDir *dir)
{
  int fd;
  DIR *stream;
  struct dirent *entry;

  if (copy->journal == NULL || !tpd_journal_is_resumed (copy->journal))
    return;
  fd = openat (dir->target_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  stream = fd >= 0 ? fdopendir (fd) : NULL;
  if (stream == NULL)
    {
      if (fd >= 0)
        close (fd);
      return;
    }
  while ((entry = readdir (stream)) != NULL)
    if (tpd_journal_is_stale (copy->journal, TPD_TARGET_TEMP, entry->d_name))
      (void) unlinkat (dir->target_fd, entry->d_name, 0);
    else if (copy->in_place && tpd_journal_is_stale (copy->journal, TPD_TARGET_SWAP, entry->d_name))
      tpd_copy_end_swap (copy, dir, entry->d_name);
  closedir (stream);
}

static void
miss_errno (TpdCopy *copy, const char *path, int errnum, const char *what)
{
  g_autoptr (GError) error = NULL;

  tpd_error_set_errno (&error, errnum, "%s", what);
  tpd_copy_miss_error (copy, path, error);
}

/* NULL: told. */
static TpdCopyDir *
open_dir (TpdCopy *copy, const TpdWalkDir *from)
{
  TpdCopyDir *dir = g_new0 (TpdCopyDir, 1);

  dir->ref_count = 1;
  dir->path = g_strdup (from->path);
  dir->source_fd = fcntl (from->fd, F_DUPFD_CLOEXEC, 3);
  dir->target_fd = dir->source_fd;
  if (dir->source_fd >= 0 && !copy->in_place && !copy->options->dry_run)
    dir->target_fd = tpd_target_make_dir (copy->target_fd, from->path);
  if (dir->source_fd >= 0 && dir->target_fd >= 0)
    {
      /* In place others may give it one meanwhile. */
      dir->has_default_acl = copy->in_place || tpd_target_has_default_acl (dir->target_fd);
      dir->lacks_syncfs = tpd_target_lacks_syncfs (dir->target_fd);
      return dir;
    }
  miss_errno (copy, from->path[0] != '\0' ? from->path : ".", errno, "cannot make the directory of the copies");
  tpd_copy_dir_unref (dir);
  return NULL;
}

static gboolean
is_reserved (const TpdCopy *copy, const TpdCopyDir *dir, const char *name)
{
  return !copy->in_place && dir->path[0] == '\0' && strcmp (name, TPD_TARGET_STATE) == 0;
}

static gboolean
is_stale (const TpdCopy *copy, const char *name)
{
  return copy->in_place && copy->journal != NULL
         && (tpd_journal_is_stale (copy->journal, TPD_TARGET_TEMP, name)
             || tpd_journal_is_stale (copy->journal, TPD_TARGET_SWAP, name));
}

static void
note_dir (TpdCopy *copy, const char *path)
{
  g_mutex_lock (&copy->lock);
  copy->counts.dirs++;
  if (!copy->in_place && !copy->options->dry_run && path[0] != '\0')
    tpd_spill_push (copy->dirs, path);
  g_mutex_unlock (&copy->lock);
}

static void
walk_chunk (gpointer data, gpointer thread, const TpdWalkChunk *chunk)
{
  TpdCopy *copy = data;
  TpdNameEntry *names;
  TpdCopyDir *dir;

  /* The state of an earlier copy is no part of this one. */
  if (!copy->in_place && strcmp (chunk->dir->path, TPD_TARGET_STATE) == 0)
    {
      tpd_copy_miss_reason (copy, chunk->dir->path, "reserved", "this name is that of the state of a copy");
      return;
    }
  dir = open_dir (copy, chunk->dir);
  if (dir == NULL)
    return;
  note_dir (copy, dir->path);
  remove_stale (copy, dir);
  names = tpd_copy_names_new (chunk, &copy->options->names);
  for (guint i = 0; i < chunk->n && !tpd_copy_is_stopped (copy); i++)
    {
      const TpdWalkEntry *entry = &chunk->entries[i];

      if (entry->type == DT_DIR || is_reserved (copy, dir, entry->name)
          || !tpd_filter_has_file (&copy->options->tree.filter, dir->path, entry->name) || is_stale (copy, entry->name))
        continue;
      push_task (copy, task_new (dir, entry->name, names[i].shown, entry->type));
    }
  tpd_copy_names_free (names, chunk->n);
  tpd_copy_dir_unref (dir);
}

static void
walk_failed (gpointer data, gpointer thread, const char *path, int errnum)
{
  TpdCopy *copy = data;

  miss_errno (copy, path[0] != '\0' ? path : ".", errnum, "cannot read the directory");
  tpd_copy_count (copy, failed_dirs, 1);
}

static gboolean
tells_of_all (const TpdCopy *copy)
{
  return copy->options->shards <= 1 || copy->options->shard == 1;
}

/* One part tells of what belongs to none. */
static void
walk_foreign (gpointer data, gpointer thread, const char *path)
{
  TpdCopy *copy = data;

  if (tells_of_all (copy))
    tpd_copy_miss_reason (copy, path, "other-file-system", "it is on another file system and was not entered");
}

static gpointer
walk_thread_new (gpointer data)
{
  return NULL;
}

static void
walk_thread_free (gpointer data, gpointer thread)
{
}

static const TpdWalkClass walk_class = {
  .thread_new = walk_thread_new,
  .thread_free = walk_thread_free,
  .chunk = walk_chunk,
  .failed = walk_failed,
  .foreign = walk_foreign,
};

/* --- Workers ----------------------------------------------------------- */

/* At most `max`, and no more than the share of one worker; 0 at the end. */
static guint
take_tasks (TpdCopy *copy, TpdCopyTask **tasks, guint max)
{
  guint before, n = 0;

  g_mutex_lock (&copy->lock);
  copy->idle++;
  while (!tpd_copy_is_stopped (copy) && copy->tasks.length == 0 && !copy->fed)
    g_cond_wait (&copy->work, &copy->lock);
  copy->idle--;
  before = copy->tasks.length;
  max = MIN (max, before / copy->options->jobs + 1);
  if (!tpd_copy_is_stopped (copy))
    while (n < max && (tasks[n] = g_queue_pop_head (&copy->tasks)) != NULL)
      n++;
  /* Not for each: the walk is quick to fill what it finds empty. */
  if (copy->tasks.length == 0 || (before > copy->max_tasks / 2 && copy->tasks.length <= copy->max_tasks / 2))
    g_cond_broadcast (&copy->room);
  g_mutex_unlock (&copy->lock);
  return n;
}

static gpointer
work (gpointer data)
{
  TpdCopy *copy = data;
  TpdCopyWorker worker = { .copy = copy,
                           .block = g_malloc (TPD_COPY_BLOCK),
                           .small = g_malloc ((gsize) copy->together * TPD_TEE_SMALL),
                           .waiting = g_new (TpdCopyFile, copy->together) };
  TpdCopyTask *tasks[TPD_UNWRAP_MANY];
  guint n;

  while ((n = take_tasks (copy, tasks, copy->together)) > 0)
    {
      for (guint i = 0; i < n; i++)
        if (tpd_copy_is_stopped (copy))
          tpd_copy_task_free (tasks[i]);
        else
          tpd_copy_task_run (&worker, tasks[i]);
      tpd_copy_end_waiting (&worker);
    }
  tpd_wipe (worker.block, TPD_COPY_BLOCK);
  tpd_wipe (worker.small, (gsize) copy->together * TPD_TEE_SMALL);
  g_free (worker.block);
  g_free (worker.small);
  g_free (worker.waiting);
  return NULL;
}

/* Lets the walk run to its end, or stops it. */
static void
watch_walk (TpdCopy *copy)
{
  while (!tpd_walk_wait (copy->walk, WAIT_US))
    {
      tpd_progress_draw (copy->progress);
      if (tpd_interrupted ())
        tpd_copy_stop (copy, NULL);
      if (tpd_copy_is_stopped (copy))
        tpd_walk_cancel (copy->walk);
    }
}

static gboolean
wait_for_tasks (TpdCopy *copy)
{
  gboolean done;

  g_mutex_lock (&copy->lock);
  done = copy->tasks.length == 0 || tpd_copy_is_stopped (copy);
  if (!done)
    g_cond_wait_until (&copy->room, &copy->lock, g_get_monotonic_time () + WAIT_US);
  g_mutex_unlock (&copy->lock);
  return done;
}

/* No more tasks come: waits until none is left in the queue. */
static void
end_tasks (TpdCopy *copy)
{
  while (!wait_for_tasks (copy))
    {
      tpd_progress_draw (copy->progress);
      if (tpd_interrupted ())
        tpd_copy_stop (copy, NULL);
    }
  g_mutex_lock (&copy->lock);
  copy->fed = TRUE;
  g_cond_broadcast (&copy->work);
  g_mutex_unlock (&copy->lock);
}

static GThread *
start_commit (TpdCopy *copy)
{
  if (copy->options->dry_run)
    return NULL;
  copy->workers_done = FALSE;
  return g_thread_new ("commit", tpd_copy_commit_thread, copy);
}

static void
end_commit (TpdCopy *copy, GThread *thread)
{
  if (thread == NULL)
    return;
  g_mutex_lock (&copy->lock);
  copy->workers_done = TRUE;
  g_cond_broadcast (&copy->batch);
  g_mutex_unlock (&copy->lock);
  g_thread_join (thread);
}

/* Workers and committer at work on the tasks that `feed` pushes. */
static void
run_round (TpdCopy *copy, void (*feed) (TpdCopy *copy))
{
  g_autoptr (GPtrArray) workers = g_ptr_array_new ();
  GThread *committer = start_commit (copy);

  copy->fed = FALSE;
  for (guint i = 0; i < copy->options->jobs; i++)
    g_ptr_array_add (workers, g_thread_new ("copy", work, copy));
  feed (copy);
  end_tasks (copy);
  for (guint i = 0; i < workers->len; i++)
    g_thread_join (g_ptr_array_index (workers, i));
  end_commit (copy, committer);
}

static void
feed_tree (TpdCopy *copy)
{
  const TpdCopyOptions *options = copy->options;
  const TpdWalkOptions walk_options = {
    .jobs = MIN (options->jobs, 4),
    .one_file_system = options->tree.one_file_system,
    .snapshots = options->tree.snapshots,
    .filter = &options->tree.filter,
  };
  TpdWalkStats stats = { 0 };
  GError *error = NULL;

  copy->walk = tpd_walk_new (copy->source_fd, &walk_options, &walk_class, copy);
  tpd_walk_start (copy->walk);
  watch_walk (copy);
  if (!tpd_walk_finish (copy->walk, &stats, &error))
    tpd_copy_stop (copy, error);
  copy->walk = NULL;
  if (!tells_of_all (copy))
    return;
  tpd_copy_count (copy, excluded_dirs, stats.excluded);
  tpd_copy_count (copy, snapshot_dirs, stats.snapshots);
  tpd_copy_count (copy, foreign_dirs, stats.other_fs);
}

/* The directory of `path`; `*last` is the one before it, and kept. */
static TpdCopyDir *
open_dir_again (TpdCopy *copy, const char *path, TpdCopyDir **last)
{
  const char *slash = strrchr (path, '/');
  g_autofree char *name = slash != NULL ? g_strndup (path, (gsize) (slash - path)) : g_strdup ("");
  TpdWalkDir from = { .path = name };

  if (*last != NULL && strcmp ((*last)->path, name) == 0)
    return *last;
  g_clear_pointer (last, tpd_copy_dir_unref);
  from.fd = tpd_walk_open_dir (copy->source_fd, name);
  if (from.fd < 0)
    miss_errno (copy, path, errno, "cannot open its directory");
  else
    {
      *last = open_dir (copy, &from);
      close (from.fd);
    }
  return *last;
}

/* Names that waited for another of the same file. */
static void
feed_links (TpdCopy *copy)
{
  TpdCopyDir *dir = NULL;
  GError *error = NULL;
  char *path, *shown;

  while (!tpd_copy_is_stopped (copy) && tpd_copy_links_pop (copy->links, &path, &shown, &error))
    {
      const char *slash = strrchr (path, '/');

      if (open_dir_again (copy, path, &dir) != NULL)
        push_task (copy, task_new (dir, slash != NULL ? slash + 1 : path, shown, DT_REG));
      if (tpd_interrupted ())
        tpd_copy_stop (copy, NULL);
      g_free (path);
      g_free (shown);
    }
  tpd_copy_dir_unref (dir);
  if (error != NULL)
    tpd_copy_stop (copy, error);
}

gboolean
tpd_copy_run (TpdCopy *copy, const TpdSession *session, TpdProgress *progress, TpdCopyResult *result, GError **error)
{
  gboolean good;

  copy->session = session;
  copy->progress = progress;
  copy->started = g_get_real_time () / G_USEC_PER_SEC;
  copy->links = tpd_copy_links_new ();
  copy->items = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_copy_item_free);
  copy->dirs = tpd_spill_new (SPILL_BYTES);
  if (!tpd_copy_begin_state (copy, error))
    return FALSE;
  run_round (copy, feed_tree);
  while (!tpd_copy_is_stopped (copy) && tpd_copy_links_next_round (copy->links))
    run_round (copy, feed_links);
  result->interrupted = tpd_copy_is_stopped (copy) && copy->error == NULL;
  good = result->interrupted || tpd_copy_finish (copy, result, error);
  tpd_copy_tell_no_room (copy, good && !result->interrupted);
  tpd_progress_hide (progress);
  result->counts = copy->counts;
  result->missing = copy->n_missing;
  return good;
}
