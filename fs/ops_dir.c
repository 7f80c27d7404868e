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
 */
#include "fs/ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/attr.h"
#include "fs/listers.h"
#include "fs/status.h"

#define PROBE_TIME_US 20000
#define MAX_REPLY (1024 * 1024)
/* What was found out ahead is not sent when it is older. */
#define AHEAD_MAX_US 100000

/* Counted; shared by the requests that are answered from it. */
typedef struct {
  int ref_count; /* atomic */
  TpdListing *listing;
  TpdView *view;     /* NULL: names as in the source */
  char *status_name; /* the root only: what a `.tpdfs` of the source is shown as */
} Contents;

typedef struct _Batch Batch;

typedef struct {
  TpdNode *node; /* counted reference */
  int fd;        /* not O_PATH */
  TpdDevice device;
  GMutex lock;
  Contents *contents; /* under lock; NULL before the first READDIR */
  Batch *ahead;       /* under lock: likely to be asked for next; may be NULL */
} OpenDir;

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
  Contents *contents; /* counted reference */
  GArray *items;      /* of Item */
  off_t start, end;   /* offsets: of the reply, and of what comes after it */
  gsize size;         /* of the reply */
  gboolean all;       /* attributes of all entries are wanted */
  gboolean indexed;   /* the index may know what is in a file */
  gboolean early;     /* begun before it was asked for */
  gint64 begun;
  TpdListersJob *job;
};

static void
contents_unref (Contents *contents)
{
  if (!g_atomic_int_dec_and_test (&contents->ref_count))
    return;
  g_clear_pointer (&contents->view, tpd_view_unref);
  g_clear_pointer (&contents->listing, tpd_listing_unref);
  g_free (contents->status_name);
  g_free (contents);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Contents, contents_unref)

static int
contents_read (TpdFs *fs, OpenDir *dir, Contents **out)
{
  g_autoptr (Contents) contents = g_new0 (Contents, 1);
  int errnum;

  contents->ref_count = 1;
  tpd_fs_count (fs, TPD_COUNT_LISTINGS, 1);
  errnum = tpd_listing_read (dir->fd, &contents->listing);
  if (errnum == 0 && fs->views != NULL && !tpd_attr_is_beyond (fs, dir->node->stamp.dev))
    errnum = tpd_views_get (fs->views, dir->node->id, dir->fd, contents->listing, &contents->view);
  if (errnum != 0)
    return errnum;
  if (dir->node->id == TPD_NODE_ROOT)
    contents->status_name = tpd_attr_shown_status_name (fs);
  *out = g_steal_pointer (&contents);
  return 0;
}

/* What to answer from. The lock is held while the source is read: requests
 * for one handle would otherwise all read it. */
static int
contents_get (TpdFs *fs, OpenDir *dir, gboolean anew, Contents **out)
{
  int errnum = 0;

  g_mutex_lock (&dir->lock);
  if (anew)
    g_clear_pointer (&dir->contents, contents_unref);
  if (dir->contents == NULL)
    errnum = contents_read (fs, dir, &dir->contents);
  if (errnum == 0)
    {
      *out = dir->contents;
      g_atomic_int_inc (&dir->contents->ref_count);
    }
  g_mutex_unlock (&dir->lock);
  return errnum;
}

static gboolean
is_dots (const char *name)
{
  return strcmp (name, ".") == 0 || strcmp (name, "..") == 0;
}

/* Snapshots show the whole tree once more for each of them. */
static gboolean
is_snapshot_directory (const TpdListingEntry *entry)
{
  static const char *const names[] = { ".snapshot", "~snapshot", ".zfs" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (entry->name, names[i]) == 0)
      return entry->type == DT_DIR || entry->type == DT_UNKNOWN;
  return FALSE;
}

/* The name to list the entry under, NULL to leave it out. */
static const char *
shown_name (TpdFs *fs, const OpenDir *dir, const Contents *contents, const TpdListingEntry *entry)
{
  if (is_dots (entry->name))
    return entry->name;
  if (tpd_attr_is_beyond (fs, dir->node->stamp.dev))
    return NULL;
  if (!fs->options->snapshots && is_snapshot_directory (entry))
    return NULL;
  if (contents->status_name != NULL && strcmp (entry->name, TPD_STATUS_NAME) == 0)
    return contents->status_name;
  return contents->view != NULL ? tpd_view_shown (contents->view, entry->name) : entry->name;
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
 * its attributes by name before. -EAGAIN: that does not do for this one. */
static int
open_first (Batch *batch, const Item *item, struct stat *st)
{
  const TpdFs *fs = batch->fs;
  int fd;

  if (!item->fresh || batch->indexed || fs->options->probe == TPD_PROBE_NEVER
      || tpd_inodes_knows (fs->inodes, batch->dir->node->stamp.dev, item->ino))
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
      item.name = shown_name (batch->fs, dir, batch->contents, &entry);
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
      item.sized = reply->plus && !is_dots (item.name) && (batch->all || entry.type == DT_DIR);
      item.fresh = entry.type == DT_REG;
      item.ino = entry.ino;
      g_array_append_val (batch->items, item);
    }
}

/* Begins to work on the reply from `start` on; takes `contents`. */
static Batch *
batch_begin (TpdFs *fs, OpenDir *dir, Contents *contents, const Reply *reply, gboolean all, off_t start)
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
  contents_unref (batch->contents);
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
  if (reply->plus && batch->start == off && off > 0 && batch->size == reply->size
      && g_get_monotonic_time () - batch->begun < AHEAD_MAX_US)
    return batch;
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

/* The entries from `off` on, as far as they fit. */
static int
get_batch (TpdFs *fs, OpenDir *dir, const Reply *reply, off_t off, Batch **out)
{
  Batch *batch = take_ahead (dir, reply, off);

  if (batch == NULL)
    {
      Contents *contents;
      gboolean all =
          reply->plus && tpd_walkers_want_attributes (fs->walkers, fuse_req_ctx (reply->req)->pid, dir->node->id);
      int errnum = contents_get (fs, dir, off == 0, &contents);

      if (errnum != 0)
        return errnum;
      batch = batch_begin (fs, dir, contents, reply, all, off);
    }
  if (batch->job != NULL)
    tpd_listers_finish (g_steal_pointer (&batch->job));
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

void
tpd_op_opendir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  TpdFs *fs = tpd_fs_of (req);
  TpdNode *node;
  OpenDir *dir;
  struct stat st;
  int fd, errnum;

  if (tpd_status_is (ino))
    {
      fuse_reply_open (req, fi);
      return;
    }
  node = tpd_inodes_get (fs->inodes, ino);
  errnum = node != NULL ? tpd_dirs_open (fs->dirs, node, O_RDONLY | O_DIRECTORY, &fd, &st) : ESTALE;
  if (errnum != 0)
    {
      tpd_node_unref (fs->inodes, node);
      fuse_reply_err (req, errnum);
      return;
    }
  dir = g_new0 (OpenDir, 1);
  dir->node = node;
  dir->fd = fd;
  g_mutex_init (&dir->lock);
  tpd_devices_get (fs->devices, st.st_dev, fd, ".", &dir->device);
  fi->fh = (guintptr) dir;
  fi->cache_readdir = fi->keep_cache = fs->options->cache == TPD_CACHE_ALWAYS;
  if (fuse_reply_open (req, fi) != 0)
    {
      g_mutex_clear (&dir->lock);
      close (fd);
      g_free (dir);
      tpd_node_unref (fs->inodes, node);
    }
}

void
tpd_op_releasedir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  TpdFs *fs = tpd_fs_of (req);
  OpenDir *dir = (OpenDir *) (guintptr) fi->fh;

  if (!tpd_status_is (ino))
    {
      g_clear_pointer (&dir->ahead, batch_drop);
      g_clear_pointer (&dir->contents, contents_unref);
      g_mutex_clear (&dir->lock);
      close (dir->fd);
      tpd_node_unref (fs->inodes, dir->node);
      g_free (dir);
    }
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
  Reply reply = { .req = req, .plus = plus };
  Batch *batch = NULL;
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
  /* Sent, unless the caller was interrupted. */
  if (fuse_reply_buf (req, reply.buffer, reply.used) == 0)
    g_clear_pointer (&batch, batch_free);
  g_clear_pointer (&batch, batch_drop);
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
