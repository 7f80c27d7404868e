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
 * While such a reply is taken in, the next one is worked on already (`ahead`);
 * what it found counts for a moment only, and dates from when it was begun.
 * With the last one of a directory, that is the first one of the directory
 * which is likely to be opened next (fs/ahead.h): it is sent if no name of that
 * directory has changed meanwhile.
 */
#include "fs/ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/attr.h"
#include "fs/contents.h"
#include "fs/listers.h"
#include "fs/status.h"

#define PROBE_TIME_US 20000
#define MAX_REPLY (1024 * 1024)
/* What was found out ahead is not sent when it is older. */
#define AHEAD_MAX_US 100000
/* Larger directories, in bytes, are not read before they are asked for. */
#define AHEAD_MAX_DIRECTORY (4 * 1024 * 1024)

typedef struct _Batch Batch;

typedef struct {
  TpdFs *fs;
  TpdNode *node; /* counted reference */
  int fd;        /* not O_PATH */
  TpdDevice device;
  GMutex lock;
  TpdContents *contents; /* under lock; NULL before the first READDIR */
  Batch *ahead;          /* under lock: likely to be asked for next; may be NULL */
  guint64 last_child;    /* under lock: of the directories that were listed */
} OpenDir;

/* Of a directory that may be prepared: what the one before it was read with. */
typedef struct {
  TpdFs *fs;
  gsize size;
} Manner;

typedef struct {
  fuse_req_t req;
  char *buffer;
  gsize size, used;
  gboolean plus;
} Reply;

/* One entry of a reply. */
typedef struct {
  const char *name, *source;
  guint64 ino; /* in the source */
  off_t next;
  gboolean sized; /* attributes are wanted */
  gboolean fresh; /* a regular file that may be new to us: opened first */
  gboolean gone;  /* from the source, meanwhile */
  struct fuse_entry_param param;
} Item;

/* The entries of one reply. The kernel's count of each node among them has
 * gone up, as if it was sent. */
struct _Batch {
  TpdFs *fs;
  OpenDir *dir;
  TpdContents *contents; /* counted reference */
  GArray *items;         /* of Item */
  off_t start, end;      /* offsets: of the reply, and of what comes after it */
  gsize size;            /* of the reply */
  gboolean all;          /* attributes of all entries are wanted */
  gboolean indexed;      /* the index may know what is in a file */
  gboolean early;        /* begun before it was asked for */
  gint64 begun;
  TpdListersJob *job;
};

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
    errnum = tpd_contents_read (fs, dir->node, dir->fd, &dir->contents);
  if (errnum == 0)
    {
      *out = dir->contents;
      g_atomic_int_inc (&dir->contents->ref_count);
    }
  g_mutex_unlock (&dir->lock);
  return errnum;
}

/* Adds an entry; FALSE when it does not fit. */
static gboolean
add (Reply *reply, const char *name, const struct fuse_entry_param *entry, off_t next)
{
  char *at = reply->buffer + reply->used;
  gsize left = reply->size - reply->used, len;

  if (reply->plus)
    len = fuse_add_direntry_plus (reply->req, at, left, name, entry, next);
  else
    len = fuse_add_direntry (reply->req, at, left, name, &entry->attr, next);
  if (len > left)
    return FALSE;
  reply->used += len;
  return TRUE;
}

static gsize
length_of (const Reply *reply, const char *name)
{
  return reply->plus ? fuse_add_direntry_plus (reply->req, NULL, 0, name, NULL, 0)
                     : fuse_add_direntry (reply->req, NULL, 0, name, NULL, 0);
}

/* A file that has to be looked into is opened at once, which saves asking for
 * its attributes by name before. In a directory that was never listed so, all
 * are. -EAGAIN: that does not do for this one. */
static int
open_first (Batch *batch, const Item *item, struct stat *st)
{
  const TpdFs *fs = batch->fs;
  const TpdNode *node = batch->dir->node;
  int fd;

  if (!item->fresh || batch->indexed || fs->options->probe == TPD_PROBE_NEVER
      || (__atomic_load_n (&node->listed, __ATOMIC_RELAXED)
          && tpd_inodes_knows (fs->inodes, node->stamp.dev, item->ino)))
    return -EAGAIN;
  fd = tpd_open_regular (batch->dir->fd, item->source, st);
  return fd >= 0 ? fd : -EAGAIN;
}

/* Fills in attributes as far as they are to be had in time; TpdListersWork. */
static void
fill_plus (gpointer data, guint number)
{
  Batch *batch = data;
  Item *item = &g_array_index (batch->items, Item, number);
  OpenDir *dir = batch->dir;
  struct fuse_entry_param full;
  struct stat st;
  gboolean late;
  int errnum, fd;

  if (!item->sized)
    return;
  late = g_get_monotonic_time () >= batch->begun + PROBE_TIME_US;
  fd = late ? -EAGAIN : open_first (batch, item, &st);
  if (fd < 0 && fstatat (dir->fd, item->source, &st, AT_SYMLINK_NOFOLLOW) != 0)
    {
      item->gone = errno == ENOENT;
      return;
    }
  if (fd >= 0)
    errnum = tpd_attr_entry_opened (batch->fs, dir->node, dir->fd, item->source, fd, &st, &full);
  else
    errnum = tpd_attr_entry_sized (batch->fs, dir->node, dir->fd, item->source, &st, late, &full);
  item->gone = errnum == ENOENT;
  if (errnum == 0)
    item->param = full;
}

/* What of the contents fits from the start on. */
static void
choose (Batch *batch, const Reply *reply)
{
  OpenDir *dir = batch->dir;
  guint n = tpd_listing_length (batch->contents->listing);
  gsize used = 0;

  for (guint64 i = (guint64) batch->start; i < n; i++)
    {
      TpdListingEntry entry;
      Item item = { 0 };

      tpd_listing_get (batch->contents->listing, (guint) i, &entry);
      item.name = tpd_contents_shown (batch->fs, dir->node, batch->contents, &entry);
      if (item.name == NULL)
        continue;
      used += length_of (reply, item.name);
      if (used > batch->size)
        break;
      item.source = entry.name;
      item.next = batch->end = (off_t) i + 1;
      item.param.attr.st_ino = tpd_device_ino (&dir->device, entry.ino);
      item.param.attr.st_mode = (mode_t) DTTOIF (entry.type);
      /* Directories are about to be entered, and cost no look. */
      item.sized = reply->plus && !tpd_is_dots (item.name) && (batch->all || entry.type == DT_DIR);
      item.fresh = entry.type == DT_REG;
      item.ino = entry.ino;
      g_array_append_val (batch->items, item);
    }
}

/* Begins to work on the reply from `start` on; takes `contents`. */
static Batch *
batch_begin (TpdFs *fs, OpenDir *dir, TpdContents *contents, const Reply *reply, gboolean all, off_t start)
{
  Batch *batch = g_new0 (Batch, 1);

  batch->fs = fs;
  batch->dir = dir;
  batch->contents = contents;
  batch->items = g_array_new (FALSE, FALSE, sizeof (Item));
  batch->start = batch->end = start;
  batch->size = reply->size;
  batch->all = all;
  batch->indexed = tpd_known_is_on (fs->known);
  batch->begun = g_get_monotonic_time ();
  choose (batch, reply);
  if (reply->plus)
    batch->job = tpd_listers_begin (fs->listers, fill_plus, batch, batch->items->len);
  return batch;
}

static void
batch_free (Batch *batch)
{
  g_array_unref (batch->items);
  tpd_contents_unref (batch->contents);
  g_free (batch);
}

/* It is not sent: the kernel counts nothing. */
static void
batch_drop (Batch *batch)
{
  if (batch->job != NULL)
    tpd_listers_cancel (batch->job);
  for (guint i = 0; i < batch->items->len; i++)
    {
      const Item *item = &g_array_index (batch->items, Item, i);

      if (item->param.ino != 0)
        tpd_inodes_forget (batch->fs->inodes, item->param.ino, 1);
    }
  batch_free (batch);
}

/* Whether a listing that was read before the directory was opened is what would
 * be read now. A change that came right after another one may not show. */
static gboolean
is_current (const Batch *batch, int fd)
{
  const TpdStamp *then = tpd_listing_stamp (batch->contents->listing);
  struct stat st;
  TpdStamp now;

  if (fstat (fd, &st) != 0)
    return FALSE;
  tpd_stamp_from_stat (&now, &st);
  return tpd_stamp_same_content (&now, then) && g_get_real_time () - then->ctime_ns / 1000 > TPD_RACY_US + AHEAD_MAX_US;
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

/* What was begun ahead, if it is what is asked for now. */
static Batch *
take_ahead (OpenDir *dir, const Reply *reply, off_t off)
{
  Batch *batch;

  g_mutex_lock (&dir->lock);
  batch = g_steal_pointer (&dir->ahead);
  g_mutex_unlock (&dir->lock);
  if (batch == NULL)
    return NULL;
  if (reply->plus && batch->start == off && batch->size == reply->size
      && g_get_monotonic_time () - batch->begun < AHEAD_MAX_US && (off > 0 || is_current (batch, dir->fd)))
    {
      if (off == 0)
        set_contents (dir, batch->contents);
      return batch;
    }
  batch_drop (batch);
  return NULL;
}

/* Begins the reply behind `batch`. With time-outs of 0 nothing may be older
 * than the question. */
static void
look_ahead (Batch *batch, const Reply *reply)
{
  OpenDir *dir = batch->dir;
  Batch *ahead, *old;

  if (!batch->all || batch->fs->timeout == 0 || batch->end == batch->start
      || (guint64) batch->end >= tpd_listing_length (batch->contents->listing))
    return;
  g_atomic_int_inc (&batch->contents->ref_count);
  ahead = batch_begin (batch->fs, dir, batch->contents, reply, TRUE, batch->end);
  ahead->early = TRUE;
  g_mutex_lock (&dir->lock);
  old = dir->ahead;
  dir->ahead = ahead;
  g_mutex_unlock (&dir->lock);
  if (old != NULL)
    batch_drop (old);
}

/* Whether the kernel may have been told of another version since. */
static gboolean
is_outdated (TpdFs *fs, const struct fuse_entry_param *param)
{
  TpdNode *node = tpd_inodes_get (fs->inodes, param->ino);
  TpdStamp sent, published;
  TpdFacts facts;

  if (node == NULL)
    return TRUE;
  tpd_node_get_published (node, &published, &facts);
  tpd_node_unref (fs->inodes, node);
  tpd_stamp_from_stat (&sent, &param->attr);
  return sent.mtime_ns != published.mtime_ns || sent.ctime_ns != published.ctime_ns
         || (S_ISREG (param->attr.st_mode) && sent.size != facts.size);
}

/* Adds what there still is. */
static void
add_items (Batch *batch, Reply *reply)
{
  double age = (double) (g_get_monotonic_time () - batch->begun) / G_USEC_PER_SEC;

  for (guint i = 0; i < batch->items->len; i++)
    {
      Item *item = &g_array_index (batch->items, Item, i);
      struct fuse_entry_param *param = &item->param;

      if (item->gone)
        continue;
      if (batch->early && param->ino != 0 && is_outdated (batch->fs, param))
        {
          tpd_inodes_forget (batch->fs->inodes, param->ino, 1);
          param->ino = 0;
        }
      param->attr_timeout = MAX (param->attr_timeout - age, 0);
      add (reply, item->name, param, item->next);
    }
}

/* Notes in which order the directories come that `batch` names. */
static void
note_order (Batch *batch)
{
  OpenDir *dir = batch->dir;
  TpdAhead *ahead = batch->fs->ahead;

  g_mutex_lock (&dir->lock);
  if (batch->start == 0)
    {
      dir->last_child = 0;
      tpd_ahead_note (ahead, dir->node->id, 0, 0);
    }
  for (guint i = 0; i < batch->items->len; i++)
    {
      const Item *item = &g_array_index (batch->items, Item, i);

      if (item->gone || item->param.ino == 0 || !S_ISDIR (item->param.attr.st_mode))
        continue;
      tpd_ahead_note (ahead, dir->node->id, dir->last_child, item->param.ino);
      dir->last_child = item->param.ino;
    }
  if (dir->last_child != 0)
    tpd_ahead_note (ahead, dir->node->id, dir->last_child, 0);
  g_mutex_unlock (&dir->lock);
}

/* The entries from `off` on, as far as they fit. */
static int
get_batch (TpdFs *fs, OpenDir *dir, const Reply *reply, off_t off, Batch **out)
{
  Batch *batch = take_ahead (dir, reply, off);

  if (batch == NULL)
    {
      TpdContents *contents;
      gboolean all =
          reply->plus && tpd_walkers_want_attributes (fs->walkers, fuse_req_ctx (reply->req)->pid, dir->node->id);
      int errnum = contents_get (fs, dir, off == 0, &contents);

      if (errnum != 0)
        return errnum;
      batch = batch_begin (fs, dir, contents, reply, all, off);
    }
  if (batch->job != NULL)
    tpd_listers_finish (g_steal_pointer (&batch->job));
  if (batch->all && (guint64) batch->end >= tpd_listing_length (batch->contents->listing))
    __atomic_store_n (&dir->node->listed, TRUE, __ATOMIC_RELAXED);
  look_ahead (batch, reply);
  *out = batch;
  return 0;
}

static int
fill_reply (TpdFs *fs, OpenDir *dir, Reply *reply, off_t off, Batch **out)
{
  for (;;)
    {
      Batch *batch;
      int errnum = get_batch (fs, dir, reply, off, &batch);

      if (errnum != 0)
        return errnum;
      if (reply->plus)
        note_order (batch);
      add_items (batch, reply);
      /* An empty reply is the end: where all have gone, others may follow. */
      if (reply->used > 0 || batch->end == batch->start)
        {
          *out = batch;
          return 0;
        }
      off = batch->end;
      batch_drop (batch);
    }
}

/* Takes `fd`, of fstat `st`, and `node`. */
static OpenDir *
open_dir_new (TpdFs *fs, TpdNode *node, int fd, const struct stat *st)
{
  OpenDir *dir = g_new0 (OpenDir, 1);

  dir->fs = fs;
  dir->node = node;
  dir->fd = fd;
  g_mutex_init (&dir->lock);
  tpd_devices_get (fs->devices, st->st_dev, fd, ".", &dir->device);
  return dir;
}

void
tpd_op_drop_directory (gpointer data)
{
  OpenDir *dir = data;

  g_clear_pointer (&dir->ahead, batch_drop);
  g_clear_pointer (&dir->contents, tpd_contents_unref);
  g_mutex_clear (&dir->lock);
  close (dir->fd);
  tpd_node_unref (dir->fs->inodes, dir->node);
  g_free (dir);
}

/* Opens the directory and begins its first reply; TpdAheadPrepare. */
static gpointer
prepare (gpointer data, guint64 id)
{
  const Manner *manner = data;
  TpdFs *fs = manner->fs;
  const Reply reply = { .size = manner->size, .plus = TRUE };
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
  if (st.st_size <= AHEAD_MAX_DIRECTORY && tpd_contents_read (fs, dir->node, dir->fd, &contents) == 0)
    {
      dir->ahead = batch_begin (fs, dir, contents, &reply, TRUE, 0);
      dir->ahead->early = TRUE;
    }
  return dir;
}

/* Which directory to prepare now that `batch` is sent; 0: none. */
static guint64
next_directory (const Batch *batch)
{
  if (!batch->all || batch->fs->timeout == 0
      || (batch->items->len > 0 && (guint64) batch->end < tpd_listing_length (batch->contents->listing)))
    return 0;
  return tpd_ahead_guess (batch->fs->ahead, batch->dir->node->id);
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
fill_status (Reply *reply, off_t off)
{
  struct fuse_entry_param param = { 0 };
  const char *name;

  for (guint i = (guint) MIN (off, 64); (name = tpd_status_name (i, &param.attr)) != NULL; i++)
    if (!add (reply, name, &param, (off_t) i + 1))
      break;
}

static void
read_directory (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, gboolean plus)
{
  TpdFs *fs = tpd_fs_of (req);
  g_autofree char *buffer = NULL;
  const pid_t pid = fuse_req_ctx (req)->pid;
  Reply reply = { .req = req, .plus = plus };
  Batch *batch = NULL;
  guint64 next;
  int errnum = 0;

  reply.size = MIN (size, MAX_REPLY);
  reply.buffer = buffer = g_malloc (reply.size);
  if (tpd_status_is (ino))
    fill_status (&reply, off);
  else if (off >= 0)
    errnum = fill_reply (fs, (OpenDir *) (guintptr) fi->fh, &reply, off, &batch);
  if (errnum != 0)
    {
      fuse_reply_err (req, errnum);
      return;
    }
  next = batch != NULL ? next_directory (batch) : 0;
  /* Sent, unless the caller was interrupted. From then on the handle may go. */
  if (fuse_reply_buf (req, reply.buffer, reply.used) == 0)
    g_clear_pointer (&batch, batch_free);
  g_clear_pointer (&batch, batch_drop);
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
