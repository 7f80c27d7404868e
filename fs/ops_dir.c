/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OPENDIR, READDIR, READDIRPLUS and RELEASEDIR.
 *
 * A directory handle keeps its descriptor and, from the first READDIR on, what
 * it read: a listing and a view, immutable. Offsets are indices into the
 * listing: offset n means "entry n comes next", whatever the source's own
 * cookies are, so rewinddir(3) and seekdir(3) work at once and for any number
 * of threads. Reading from the start again takes a new listing, as POSIX has
 * it.
 *
 * READDIRPLUS sends attributes along for callers who will ask for them
 * (fs/walkers.h), where they are known or can be found out within a few
 * milliseconds for the whole reply, in parallel (fs/listers.h); the rest goes
 * out with node id 0, which tells the kernel to ask when it needs them; what
 * takes decoding always does. A size that is not certain is never sent, because
 * the kernel would cut the file there.
 *
 * While such a reply is taken in, the next two are worked on already (`ahead`);
 * what they found counts for a moment only, and dates from when they were begun.
 * At the end of a directory, those are the first ones of the directory which is
 * likely to be opened next (fs/ahead.h): they are sent if no name of that
 * directory has changed meanwhile.
 */
#include "fs/ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/batch.h"
#include "fs/status.h"

/* Replies that are worked on before they are asked for. */
#define AHEAD_MAX 2
#define MAX_REPLY (1024 * 1024)
/* Larger directories, in bytes, are not read before they are asked for. */
#define AHEAD_MAX_DIRECTORY (4 * 1024 * 1024)

typedef struct {
  TpdBatchDir base;
  GMutex lock;
  TpdContents *contents; /* under lock, as all below; NULL before the first READDIR */
  GQueue ahead;          /* of TpdBatch: likely to be asked for next, in this order */
  guint depth;           /* how many of them there should be */
  gint64 sent;           /* when the last reply was made; 0: none was */
  guint64 last_child;    /* of the directories that were listed */
} OpenDir;

/* Of a directory that may be prepared: what the one before it was read with. */
typedef struct {
  TpdFs *fs;
  gsize size;
} Manner;

/* What to answer from. The lock is held while the source is read: requests
 * for one handle would otherwise all read it. */
static int
contents_get (TpdFs *fs, OpenDir *dir, gboolean anew, TpdContents **out)
{
  int errnum = 0;

  g_mutex_lock (&dir->lock);
  if (anew)
    g_clear_pointer (&dir->contents, tpd_contents_unref);
  if (dir->contents == NULL)
    errnum = tpd_contents_read (fs, dir->base.node, dir->base.fd, &dir->contents);
  if (errnum == 0)
    {
      *out = dir->contents;
      g_atomic_int_inc (&dir->contents->ref_count);
    }
  g_mutex_unlock (&dir->lock);
  return errnum;
}

/* Whether a listing that was read before the directory was opened is what would
 * be read now. A change that came right after another one may not show. */
static gboolean
is_current (const TpdBatch *batch, int fd)
{
  const TpdStamp *then = tpd_listing_stamp (batch->contents->listing);
  struct stat st;
  TpdStamp now;

  if (fstat (fd, &st) != 0)
    return FALSE;
  tpd_stamp_from_stat (&now, &st);
  return tpd_stamp_same_content (&now, then)
         && g_get_real_time () - then->ctime_ns / 1000 > TPD_RACY_US + TPD_BATCH_MAX_AGE_US;
}

static void
set_contents (OpenDir *dir, TpdContents *contents)
{
  TpdContents *old;

  g_atomic_int_inc (&contents->ref_count);
  g_mutex_lock (&dir->lock);
  old = dir->contents;
  dir->contents = contents;
  g_mutex_unlock (&dir->lock);
  if (old != NULL)
    tpd_contents_unref (old);
}

static void
drop_ahead (OpenDir *dir)
{
  TpdBatch *batch;
  GQueue old;

  g_mutex_lock (&dir->lock);
  old = dir->ahead;
  g_queue_init (&dir->ahead);
  g_mutex_unlock (&dir->lock);
  while ((batch = g_queue_pop_tail (&old)) != NULL)
    tpd_batch_drop (batch);
}

/* What was begun ahead, if it is what is asked for now. */
static TpdBatch *
take_ahead (OpenDir *dir, const TpdBatchReply *reply, off_t off)
{
  TpdBatch *batch;

  g_mutex_lock (&dir->lock);
  batch = g_queue_pop_head (&dir->ahead);
  g_mutex_unlock (&dir->lock);
  if (batch == NULL)
    return NULL;
  if (reply->plus && batch->start == off && batch->size == reply->size && tpd_batch_is_recent (batch)
      && (off > 0 || is_current (batch, dir->base.fd)))
    {
      if (off == 0)
        set_contents (dir, batch->contents);
      return batch;
    }
  drop_ahead (dir);
  tpd_batch_drop (batch);
  return NULL;
}

/* Begins replies behind `batch`. With time-outs of 0 nothing may be older than
 * the question. */
static void
look_ahead (OpenDir *dir, const TpdBatch *batch, const TpdBatchReply *reply)
{
  if (!batch->all || dir->base.fs->timeout == 0)
    return;
  g_mutex_lock (&dir->lock);
  while (dir->ahead.length < dir->depth)
    {
      const TpdBatch *last = dir->ahead.length > 0 ? g_queue_peek_tail (&dir->ahead) : batch;

      if (tpd_batch_is_last (last))
        break;
      g_atomic_int_inc (&last->contents->ref_count);
      g_queue_push_tail (&dir->ahead, tpd_batch_begin (&dir->base, last->contents, reply, TRUE, last->end, TRUE));
    }
  g_mutex_unlock (&dir->lock);
}

/* Who comes back late would find what was done ahead too old. */
static void
set_depth (OpenDir *dir, gint64 now)
{
  g_mutex_lock (&dir->lock);
  if (dir->sent != 0)
    dir->depth = (guint) CLAMP (TPD_BATCH_MAX_AGE_US / MAX (now - dir->sent, 1), 0, AHEAD_MAX);
  g_mutex_unlock (&dir->lock);
}

static void
note_sent (OpenDir *dir)
{
  g_mutex_lock (&dir->lock);
  dir->sent = g_get_monotonic_time ();
  g_mutex_unlock (&dir->lock);
}

/* Notes in which order the directories come that `batch` names. */
static void
note_order (OpenDir *dir, const TpdBatch *batch)
{
  TpdAhead *ahead = dir->base.fs->ahead;

  g_mutex_lock (&dir->lock);
  if (batch->start == 0)
    {
      dir->last_child = 0;
      tpd_ahead_note (ahead, dir->base.node->id, 0, 0);
    }
  for (guint i = 0; i < batch->items->len; i++)
    {
      const TpdBatchItem *item = &g_array_index (batch->items, TpdBatchItem, i);

      if (item->gone || item->param.ino == 0 || !S_ISDIR (item->param.attr.st_mode))
        continue;
      tpd_ahead_note (ahead, dir->base.node->id, dir->last_child, item->param.ino);
      dir->last_child = item->param.ino;
    }
  if (dir->last_child != 0)
    tpd_ahead_note (ahead, dir->base.node->id, dir->last_child, 0);
  g_mutex_unlock (&dir->lock);
}

/* The entries from `off` on, as far as they fit. */
static int
get_batch (TpdFs *fs, OpenDir *dir, const TpdBatchReply *reply, off_t off, TpdBatch **out)
{
  const gint64 asked = g_get_monotonic_time ();
  TpdBatch *batch = take_ahead (dir, reply, off);

  set_depth (dir, asked);
  if (batch == NULL)
    {
      TpdContents *contents;
      gboolean all =
          reply->plus && tpd_walkers_want_attributes (fs->walkers, fuse_req_ctx (reply->req)->pid, dir->base.node->id);
      int errnum = contents_get (fs, dir, off == 0, &contents);

      if (errnum != 0)
        return errnum;
      batch = tpd_batch_begin (&dir->base, contents, reply, all, off, FALSE);
    }
  tpd_batch_finish (batch, asked);
  if (batch->all && tpd_batch_is_last (batch))
    __atomic_store_n (&dir->base.node->listed, TRUE, __ATOMIC_RELAXED);
  look_ahead (dir, batch, reply);
  note_sent (dir);
  *out = batch;
  return 0;
}

static int
fill_reply (TpdFs *fs, OpenDir *dir, TpdBatchReply *reply, off_t off, TpdBatch **out)
{
  for (;;)
    {
      TpdBatch *batch;
      int errnum = get_batch (fs, dir, reply, off, &batch);

      if (errnum != 0)
        return errnum;
      if (reply->plus)
        note_order (dir, batch);
      tpd_batch_add (batch, reply);
      /* An empty reply is the end: where all have gone, others may follow. */
      if (reply->used > 0 || batch->end == batch->start)
        {
          *out = batch;
          return 0;
        }
      off = batch->end;
      tpd_batch_drop (batch);
    }
}

/* Takes `fd`, of fstat `st`, and `node`. */
static OpenDir *
open_dir_new (TpdFs *fs, TpdNode *node, int fd, const struct stat *st)
{
  OpenDir *dir = g_new0 (OpenDir, 1);

  dir->base = (TpdBatchDir){ .fs = fs, .node = node, .fd = fd };
  dir->depth = 1;
  g_mutex_init (&dir->lock);
  tpd_devices_get (fs->devices, st->st_dev, fd, ".", &dir->base.device);
  return dir;
}

void
tpd_op_drop_directory (gpointer data)
{
  OpenDir *dir = data;

  drop_ahead (dir);
  g_clear_pointer (&dir->contents, tpd_contents_unref);
  g_mutex_clear (&dir->lock);
  close (dir->base.fd);
  tpd_node_unref (dir->base.fs->inodes, dir->base.node);
  g_free (dir);
}

/* Opens the directory and begins its first reply; TpdAheadPrepare. */
static gpointer
prepare (gpointer data, guint64 id)
{
  const Manner *manner = data;
  TpdFs *fs = manner->fs;
  const TpdBatchReply reply = { .size = manner->size, .plus = TRUE };
  TpdNode *node = tpd_inodes_get (fs->inodes, id);
  TpdContents *contents;
  struct stat st;
  OpenDir *dir;
  int fd;

  if (node == NULL)
    return NULL;
  if (node->type != S_IFDIR >> 12 || tpd_dirs_open (fs->dirs, node, O_RDONLY | O_DIRECTORY, &fd, &st) != 0)
    {
      tpd_node_unref (fs->inodes, node);
      return NULL;
    }
  dir = open_dir_new (fs, node, fd, &st);
  if (st.st_size <= AHEAD_MAX_DIRECTORY && tpd_contents_read (fs, node, fd, &contents) == 0)
    {
      TpdBatch *first = tpd_batch_begin (&dir->base, contents, &reply, TRUE, 0, TRUE);

      dir->depth = AHEAD_MAX;
      g_queue_push_tail (&dir->ahead, first);
      look_ahead (dir, first, &reply);
    }
  return dir;
}

/* Whether directories are named behind `batch`. */
static gboolean
has_directories_behind (const TpdBatch *batch)
{
  const guint n = tpd_listing_length (batch->contents->listing);

  for (guint64 i = (guint64) batch->end; i < n; i++)
    {
      TpdListingEntry entry;

      tpd_listing_get (batch->contents->listing, (guint) i, &entry);
      if (entry.type == DT_DIR || entry.type == DT_UNKNOWN)
        return TRUE;
    }
  return FALSE;
}

/* Which directory to prepare now that `batch` is sent; 0: none. It is time for
 * that when all of this one is begun, and what comes next when no directory can
 * come before it. */
static guint64
next_directory (OpenDir *dir, const TpdBatch *batch)
{
  TpdFs *fs = dir->base.fs;
  const TpdBatch *last;
  gboolean is_time;

  if (!batch->all || fs->timeout == 0)
    return 0;
  g_mutex_lock (&dir->lock);
  last = g_queue_peek_tail (&dir->ahead);
  is_time = tpd_batch_is_last (batch) || (dir->depth > 1 && last != NULL && tpd_batch_is_last (last));
  g_mutex_unlock (&dir->lock);
  return is_time && !has_directories_behind (batch) ? tpd_ahead_guess (fs->ahead, dir->base.node->id) : 0;
}

static int
open_directory (TpdFs *fs, fuse_ino_t ino, OpenDir **out)
{
  TpdNode *node = tpd_inodes_get (fs->inodes, ino);
  struct stat st;
  int fd, errnum;

  errnum = node != NULL ? tpd_dirs_open (fs->dirs, node, O_RDONLY | O_DIRECTORY, &fd, &st) : ESTALE;
  if (errnum == 0)
    *out = open_dir_new (fs, node, fd, &st);
  else
    tpd_node_unref (fs->inodes, node);
  return errnum;
}

void
tpd_op_opendir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  TpdFs *fs = tpd_fs_of (req);
  OpenDir *dir = NULL;
  int errnum = 0;

  if (tpd_status_is (ino))
    {
      fuse_reply_open (req, fi);
      return;
    }
  dir = tpd_ahead_take (fs->ahead, fuse_req_ctx (req)->pid, ino);
  if (dir == NULL)
    errnum = open_directory (fs, ino, &dir);
  if (errnum != 0)
    {
      fuse_reply_err (req, errnum);
      return;
    }
  fi->fh = (guintptr) dir;
  fi->cache_readdir = fi->keep_cache = fs->options->cache == TPD_CACHE_ALWAYS;
  if (fuse_reply_open (req, fi) != 0)
    tpd_op_drop_directory (dir);
}

void
tpd_op_releasedir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  if (!tpd_status_is (ino))
    tpd_op_drop_directory ((OpenDir *) (guintptr) fi->fh);
  fuse_reply_err (req, 0);
}

static void
fill_status (TpdBatchReply *reply, off_t off)
{
  struct fuse_entry_param param = { 0 };
  const char *name;

  for (guint i = (guint) MIN (off, 64); (name = tpd_status_name (i, &param.attr)) != NULL; i++)
    if (!tpd_batch_add_entry (reply, name, &param, (off_t) i + 1))
      break;
}

static void
read_directory (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, gboolean plus)
{
  TpdFs *fs = tpd_fs_of (req);
  g_autofree char *buffer = NULL;
  const pid_t pid = fuse_req_ctx (req)->pid;
  OpenDir *dir = (OpenDir *) (guintptr) fi->fh;
  TpdBatchReply reply = { .req = req, .plus = plus };
  TpdBatch *batch = NULL;
  guint64 next;
  int errnum = 0;

  reply.size = MIN (size, MAX_REPLY);
  reply.buffer = buffer = g_malloc (reply.size);
  if (tpd_status_is (ino))
    fill_status (&reply, off);
  else if (off >= 0)
    errnum = fill_reply (fs, dir, &reply, off, &batch);
  if (errnum != 0)
    {
      fuse_reply_err (req, errnum);
      return;
    }
  next = batch != NULL ? next_directory (dir, batch) : 0;
  /* Sent, unless the caller was interrupted. From then on the handle may go. */
  if (fuse_reply_buf (req, reply.buffer, reply.used) == 0)
    g_clear_pointer (&batch, tpd_batch_free);
  g_clear_pointer (&batch, tpd_batch_drop);
  if (next != 0)
    {
      Manner manner = { .fs = fs, .size = reply.size };

      tpd_ahead_expect (fs->ahead, pid, next, prepare, &manner);
    }
}

void
tpd_op_readdir (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  read_directory (req, ino, size, off, fi, FALSE);
}

void
tpd_op_readdirplus (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  read_directory (req, ino, size, off, fi, TRUE);
}
