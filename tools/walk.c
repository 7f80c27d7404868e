/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree walked by several threads: see walk.h.
 *
 * Directories to be read wait on one stack as paths, so that no descriptor is
 * held for them and nothing but the stack grows; it spills to disk. A thread
 * takes the directory pushed last, which keeps the walk near the leaves, the
 * stack short, and the directories on the way to it the same as for the one
 * before. It reads it in pieces; a piece that is full is handed to a thread that
 * waits for work, or worked on at once when none does.
 *
 * `outstanding` counts what must still come to an end: directories on the
 * stack and in the hands of a thread, and chunks handed over. When it is zero
 * the walk has ended. The lock guards the stack, the handed-over chunks and
 * the counters; it is not held across a system call, but for a spill.
 */
#include "tools/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "tools/spill.h"

#define DIRENT_BUFFER (32 * 1024)
#define STACK_BYTES (8 * 1024 * 1024)
/* Deeper than anything but an attack on those who store paths. */
#define PATH_BYTES_MAX (32 * 1024)

/* Entries of one chunk; `names` holds the bytes that `entries` point to. */
typedef struct {
  TpdWalkChunk chunk;
  GArray *entries; /* of TpdWalkEntry; `name` is set when the chunk is closed */
  GArray *offsets; /* of gsize, into `names` */
  GByteArray *names;
} Piece;

struct _TpdWalk {
  int root_fd;
  guint64 root_dev;
  TpdWalkOptions options;
  const TpdWalkClass *klass;
  gpointer data;
  GPtrArray *threads; /* of GThread */
  gint cancelled;     /* atomic */

  GMutex lock;
  GCond work, ended;
  TpdSpill *stack; /* under lock, as all below */
  GQueue pieces;   /* of Piece, handed over */
  guint waiting;   /* threads without work */
  guint64 outstanding;
  TpdWalkStats stats;
  GError *error; /* why it was given up */
};

/* One thread. */
typedef struct {
  TpdWalk *walk;
  gpointer user;
  char *buffer; /* DIRENT_BUFFER */
  TpdWalkTrail *trail;
  Piece *piece; /* being filled */
  GPtrArray *subdirs;
} Worker;

/* --- Pieces ----------------------------------------------------------- */

static Piece *
piece_new (void)
{
  Piece *piece = g_new0 (Piece, 1);

  piece->entries = g_array_new (FALSE, FALSE, sizeof (TpdWalkEntry));
  piece->offsets = g_array_new (FALSE, FALSE, sizeof (gsize));
  piece->names = g_byte_array_new ();
  return piece;
}

static void
piece_free (gpointer data)
{
  Piece *piece = data;

  g_array_unref (piece->entries);
  g_array_unref (piece->offsets);
  g_byte_array_unref (piece->names);
  g_free (piece);
}

static void
piece_add (Piece *piece, const char *name, guint8 type)
{
  TpdWalkEntry entry = { NULL, type };
  gsize offset = piece->names->len;

  g_array_append_val (piece->entries, entry);
  g_array_append_val (piece->offsets, offset);
  g_byte_array_append (piece->names, (const guint8 *) name, (guint) strlen (name) + 1);
}

/* No more names come: now they have their place. */
static void
piece_close (Piece *piece, TpdWalkDir *dir, gboolean whole)
{
  for (guint i = 0; i < piece->entries->len; i++)
    g_array_index (piece->entries, TpdWalkEntry, i).name =
        (const char *) piece->names->data + g_array_index (piece->offsets, gsize, i);
  piece->chunk = (TpdWalkChunk){
    .dir = dir,
    .entries = (const TpdWalkEntry *) (const void *) piece->entries->data,
    .n = piece->entries->len,
    .whole = whole,
  };
}

static void
piece_clear (Piece *piece)
{
  g_array_set_size (piece->entries, 0);
  g_array_set_size (piece->offsets, 0);
  g_byte_array_set_size (piece->names, 0);
}

/* --- Directories ------------------------------------------------------ */

static void
dir_unref (Worker *worker, TpdWalkDir *dir)
{
  TpdWalk *walk = worker->walk;

  if (!g_atomic_int_dec_and_test (&dir->ref_count))
    return;
  if (!dir->whole && walk->klass->end != NULL)
    walk->klass->end (walk->data, worker->user, dir);
  close (dir->fd);
  g_free (dir->path);
  g_free (dir);
}

static gboolean
is_snapshot (const char *name)
{
  return strcmp (name, ".snapshot") == 0 || strcmp (name, "~snapshot") == 0 || strcmp (name, ".zfs") == 0;
}

/* Notes the directory `name` in `dir` for later, if it is to be entered. */
static void
note_subdir (Worker *worker, const TpdWalkDir *dir, const char *name)
{
  TpdWalk *walk = worker->walk;
  guint64 *skipped = NULL;

  if (!walk->options.snapshots && is_snapshot (name))
    skipped = &walk->stats.snapshots;
  else if (walk->options.filter != NULL && !tpd_filter_has_dir (walk->options.filter, dir->path, name))
    skipped = &walk->stats.excluded;
  if (skipped != NULL)
    {
      g_mutex_lock (&walk->lock);
      (*skipped)++;
      g_mutex_unlock (&walk->lock);
      return;
    }
  g_ptr_array_add (worker->subdirs, dir->path[0] == '\0' ? g_strdup (name) : g_strconcat (dir->path, "/", name, NULL));
}

static void
push_subdirs (Worker *worker)
{
  TpdWalk *walk = worker->walk;

  if (worker->subdirs->len == 0)
    return;
  g_mutex_lock (&walk->lock);
  for (guint i = 0; i < worker->subdirs->len; i++)
    tpd_spill_push (walk->stack, g_ptr_array_index (worker->subdirs, i));
  walk->outstanding += worker->subdirs->len;
  g_cond_broadcast (&walk->work);
  g_mutex_unlock (&walk->lock);
  g_ptr_array_set_size (worker->subdirs, 0);
}

static guint8
type_of (int fd, const char *name)
{
  struct stat st;

  if (fstatat (fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return DT_REG; /* who opens it will see what is wrong */
  return (guint8) IFTODT (st.st_mode);
}

/* The piece that is full goes to a thread that waits, or is worked on here. */
static void
give_piece (Worker *worker, TpdWalkDir *dir, gboolean whole)
{
  TpdWalk *walk = worker->walk;
  Piece *piece = worker->piece;
  gboolean handed_over = FALSE;

  piece_close (piece, dir, whole);
  push_subdirs (worker);
  if (!whole)
    {
      g_mutex_lock (&walk->lock);
      handed_over = walk->waiting > walk->pieces.length;
      if (handed_over)
        {
          g_atomic_int_inc (&dir->ref_count);
          g_queue_push_tail (&walk->pieces, piece);
          walk->outstanding++;
          g_cond_signal (&walk->work);
        }
      g_mutex_unlock (&walk->lock);
    }
  if (handed_over)
    worker->piece = piece_new ();
  else
    {
      walk->klass->chunk (walk->data, worker->user, &piece->chunk);
      piece_clear (piece);
    }
}

static void
add_entry (Worker *worker, TpdWalkDir *dir, const struct dirent64 *dirent)
{
  TpdWalk *walk = worker->walk;
  const char *name = dirent->d_name;
  guint8 type = dirent->d_type;

  if (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))
    return;
  if (type == DT_UNKNOWN)
    type = type_of (dir->fd, name);
  if (walk->options.chunk_entries > 0 && worker->piece->entries->len >= walk->options.chunk_entries)
    {
      if (dir->whole && walk->klass->begin != NULL)
        walk->klass->begin (walk->data, worker->user, dir);
      dir->whole = FALSE;
      give_piece (worker, dir, FALSE);
    }
  if (type == DT_DIR)
    note_subdir (worker, dir, name);
  piece_add (worker->piece, name, type);
}

/* 0, or the errno that reading ended with. */
static int
read_entries (Worker *worker, TpdWalkDir *dir)
{
  for (;;)
    {
      gssize n;

      if (tpd_walk_is_cancelled (worker->walk))
        return ECANCELED;
      n = getdents64 (dir->fd, worker->buffer, DIRENT_BUFFER);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return n == 0 ? 0 : errno;
      for (gssize at = 0; at < n;)
        {
          const struct dirent64 *dirent = (const void *) (worker->buffer + at);

          add_entry (worker, dir, dirent);
          at += dirent->d_reclen;
        }
    }
}

static TpdWalkDir *
open_dir (Worker *worker, const char *path, int *errnum)
{
  TpdWalk *walk = worker->walk;
  TpdWalkDir *dir;
  struct stat st;
  int fd = -1;

  *errnum = ENAMETOOLONG;
  if (strlen (path) <= PATH_BYTES_MAX)
    {
      fd = tpd_walk_trail_open_dir (worker->trail, path);
      *errnum = errno;
    }
  if (fd < 0)
    return NULL;
  if (fstat (fd, &st) != 0)
    {
      *errnum = errno;
      close (fd);
      return NULL;
    }
  *errnum = 0;
  g_mutex_lock (&walk->lock);
  if (walk->options.one_file_system && st.st_dev != walk->root_dev)
    walk->stats.other_fs++;
  else
    {
      walk->stats.dirs++;
      *errnum = -1;
    }
  g_mutex_unlock (&walk->lock);
  if (*errnum == 0)
    {
      close (fd);
      return NULL;
    }
  dir = g_new0 (TpdWalkDir, 1);
  dir->fd = fd;
  dir->path = g_strdup (path);
  dir->dev = st.st_dev;
  dir->ref_count = 1;
  dir->whole = TRUE;
  return dir;
}

static void
read_dir (Worker *worker, const char *path)
{
  TpdWalk *walk = worker->walk;
  int errnum;
  TpdWalkDir *dir = open_dir (worker, path, &errnum);

  if (dir == NULL)
    {
      /* One that has gone meanwhile is no failure. */
      if (errnum != 0 && errnum != ENOENT)
        walk->klass->failed (walk->data, worker->user, path, errnum);
      else if (errnum == 0 && walk->klass->foreign != NULL)
        walk->klass->foreign (walk->data, worker->user, path);
      return;
    }
  errnum = read_entries (worker, dir);
  if (errnum == 0)
    give_piece (worker, dir, dir->whole);
  else
    {
      /* What was read of it stands, but it is not all. */
      dir->whole = TRUE;
      push_subdirs (worker);
      piece_clear (worker->piece);
      if (errnum != ECANCELED)
        walk->klass->failed (walk->data, worker->user, path, errnum);
    }
  dir_unref (worker, dir);
}

/* --- Threads ---------------------------------------------------------- */

/* The next thing to do: a chunk, or else a directory. FALSE: nothing is left. */
static gboolean
take_work (TpdWalk *walk, Piece **piece, char **path)
{
  *piece = NULL;
  *path = NULL;
  g_mutex_lock (&walk->lock);
  for (;;)
    {
      if (walk->outstanding == 0 || tpd_walk_is_cancelled (walk))
        break;
      *piece = g_queue_pop_head (&walk->pieces);
      if (*piece != NULL)
        break;
      *path = tpd_spill_pop (walk->stack, &walk->error);
      if (*path != NULL)
        break;
      if (walk->error != NULL)
        {
          g_atomic_int_set (&walk->cancelled, 1);
          g_cond_broadcast (&walk->work);
          g_cond_broadcast (&walk->ended);
          break;
        }
      walk->waiting++;
      g_cond_wait (&walk->work, &walk->lock);
      walk->waiting--;
    }
  g_mutex_unlock (&walk->lock);
  return *piece != NULL || *path != NULL;
}

static void
work_done (TpdWalk *walk)
{
  g_mutex_lock (&walk->lock);
  if (--walk->outstanding == 0)
    {
      g_cond_broadcast (&walk->work);
      g_cond_broadcast (&walk->ended);
    }
  g_mutex_unlock (&walk->lock);
}

static gpointer
run (gpointer data)
{
  TpdWalk *walk = data;
  Worker worker = { .walk = walk };
  Piece *piece;
  char *path;

  worker.user = walk->klass->thread_new (walk->data);
  worker.buffer = g_malloc (DIRENT_BUFFER);
  worker.trail = tpd_walk_trail_new (walk->root_fd);
  worker.piece = piece_new ();
  worker.subdirs = g_ptr_array_new_with_free_func (g_free);
  while (take_work (walk, &piece, &path))
    {
      if (piece != NULL)
        {
          walk->klass->chunk (walk->data, worker.user, &piece->chunk);
          dir_unref (&worker, piece->chunk.dir);
          piece_free (piece);
        }
      else
        read_dir (&worker, path);
      g_free (path);
      work_done (walk);
    }
  g_ptr_array_unref (worker.subdirs);
  piece_free (worker.piece);
  tpd_walk_trail_free (worker.trail);
  g_free (worker.buffer);
  walk->klass->thread_free (walk->data, worker.user);
  return NULL;
}

TpdWalk *
tpd_walk_new (int root_fd, const TpdWalkOptions *options, const TpdWalkClass *klass, gpointer data)
{
  TpdWalk *walk = g_new0 (TpdWalk, 1);
  struct stat st;

  walk->root_fd = root_fd;
  if (fstat (root_fd, &st) == 0)
    walk->root_dev = st.st_dev;
  walk->options = *options;
  walk->klass = klass;
  walk->data = data;
  g_mutex_init (&walk->lock);
  g_cond_init (&walk->work);
  g_cond_init (&walk->ended);
  g_queue_init (&walk->pieces);
  walk->stack = tpd_spill_new (STACK_BYTES);
  tpd_spill_push (walk->stack, "");
  walk->outstanding = 1;
  walk->threads = g_ptr_array_new ();
  return walk;
}

void
tpd_walk_start (TpdWalk *walk)
{
  for (guint i = 0; i < MAX (walk->options.jobs, 1); i++)
    g_ptr_array_add (walk->threads, g_thread_new ("walk", run, walk));
}

gboolean
tpd_walk_wait (TpdWalk *walk, gint64 timeout_us)
{
  gint64 until = g_get_monotonic_time () + timeout_us;
  gboolean done;

  g_mutex_lock (&walk->lock);
  while (walk->outstanding > 0 && !tpd_walk_is_cancelled (walk) && g_cond_wait_until (&walk->ended, &walk->lock, until))
    ;
  done = walk->outstanding == 0 || tpd_walk_is_cancelled (walk);
  g_mutex_unlock (&walk->lock);
  return done;
}

void
tpd_walk_cancel (TpdWalk *walk)
{
  g_atomic_int_set (&walk->cancelled, 1);
  g_mutex_lock (&walk->lock);
  g_cond_broadcast (&walk->work);
  g_cond_broadcast (&walk->ended);
  g_mutex_unlock (&walk->lock);
}

gboolean
tpd_walk_is_cancelled (const TpdWalk *walk)
{
  return g_atomic_int_get (&walk->cancelled) != 0;
}

gboolean
tpd_walk_finish (TpdWalk *walk, TpdWalkStats *stats, GError **error)
{
  gboolean good = TRUE;
  Piece *piece;

  for (guint i = 0; i < walk->threads->len; i++)
    g_thread_join (g_ptr_array_index (walk->threads, i));
  /* Left over after a cancel: their directories end without being told. */
  while ((piece = g_queue_pop_head (&walk->pieces)) != NULL)
    {
      TpdWalkDir *dir = piece->chunk.dir;

      if (g_atomic_int_dec_and_test (&dir->ref_count))
        {
          close (dir->fd);
          g_free (dir->path);
          g_free (dir);
        }
      piece_free (piece);
    }
  if (stats != NULL)
    *stats = walk->stats;
  if (walk->error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&walk->error));
      good = FALSE;
    }
  g_ptr_array_unref (walk->threads);
  tpd_spill_free (walk->stack);
  g_mutex_clear (&walk->lock);
  g_cond_clear (&walk->work);
  g_cond_clear (&walk->ended);
  g_free (walk);
  return good;
}
