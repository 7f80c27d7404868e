/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of one reply: see fs/batch.h. */
#include "fs/batch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "fs/attr.h"

/* How long a reply may take for the attributes in it. */
#define PROBE_TIME_US 20000

gboolean
tpd_batch_add_entry (TpdBatchReply *reply, const char *name, const struct fuse_entry_param *entry, off_t next)
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
length_of (const TpdBatchReply *reply, const char *name)
{
  return reply->plus ? fuse_add_direntry_plus (reply->req, NULL, 0, name, NULL, 0)
                     : fuse_add_direntry (reply->req, NULL, 0, name, NULL, 0);
}

/* Who asked waits, but not for everything; what nobody asked for is of no use when
 * it is old. */
static gboolean
is_late (TpdBatch *batch)
{
  gint64 now = g_get_monotonic_time (), asked = __atomic_load_n (&batch->asked, __ATOMIC_RELAXED), begun = 0;

  if (__atomic_compare_exchange_n (&batch->begun, &begun, now, FALSE, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    begun = now;
  return asked != 0 ? now >= asked + PROBE_TIME_US : now >= begun + TPD_BATCH_MAX_AGE_US;
}

/* A file that has to be looked into is opened at once, which saves asking for
 * its attributes by name before. In a directory that was never listed so, all
 * are. -EAGAIN: that does not do for this one. */
static int
open_first (TpdBatch *batch, const TpdBatchItem *item, struct stat *st)
{
  const TpdFs *fs = batch->dir->fs;
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
  TpdBatch *batch = data;
  TpdBatchItem *item = &g_array_index (batch->items, TpdBatchItem, number);
  const TpdBatchDir *dir = batch->dir;
  struct fuse_entry_param full;
  struct stat st;
  gboolean late;
  int errnum, fd;

  if (!item->sized)
    return;
  late = is_late (batch);
  fd = late ? -EAGAIN : open_first (batch, item, &st);
  if (fd < 0 && fstatat (dir->fd, item->source, &st, AT_SYMLINK_NOFOLLOW) != 0)
    {
      item->gone = errno == ENOENT;
      return;
    }
  if (fd >= 0)
    errnum = tpd_attr_entry_opened (batch->dir->fs, dir->node, dir->fd, item->source, fd, &st, &full);
  else
    errnum = tpd_attr_entry_sized (batch->dir->fs, dir->node, dir->fd, item->source, &st, late, &full);
  item->gone = errnum == ENOENT;
  if (errnum == 0)
    item->param = full;
}

/* What of the contents fits from the start on. */
static void
choose (TpdBatch *batch, const TpdBatchReply *reply)
{
  const TpdBatchDir *dir = batch->dir;
  guint n = tpd_listing_length (batch->contents->listing);
  gsize used = 0;

  for (guint64 i = (guint64) batch->start; i < n; i++)
    {
      TpdListingEntry entry;
      TpdBatchItem item = { 0 };

      tpd_listing_get (batch->contents->listing, (guint) i, &entry);
      item.name = tpd_contents_shown (batch->dir->fs, dir->node, batch->contents, &entry);
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

TpdBatch *
tpd_batch_begin (TpdBatchDir *dir, TpdContents *contents, const TpdBatchReply *reply, gboolean all, off_t start,
                 gboolean early)
{
  TpdBatch *batch = g_new0 (TpdBatch, 1);

  batch->dir = dir;
  batch->contents = contents;
  batch->items = g_array_new (FALSE, FALSE, sizeof (TpdBatchItem));
  batch->start = batch->end = start;
  batch->size = reply->size;
  batch->all = all;
  batch->early = early;
  batch->indexed = tpd_known_is_on (dir->fs->known);
  batch->made = g_get_monotonic_time ();
  choose (batch, reply);
  if (reply->plus)
    batch->job = tpd_listers_begin (dir->fs->listers, fill_plus, batch, batch->items->len);
  return batch;
}

void
tpd_batch_finish (TpdBatch *batch, gint64 asked)
{
  __atomic_store_n (&batch->asked, asked, __ATOMIC_RELAXED);
  if (batch->job != NULL)
    tpd_listers_finish (g_steal_pointer (&batch->job));
}

void
tpd_batch_free (TpdBatch *batch)
{
  g_array_unref (batch->items);
  tpd_contents_unref (batch->contents);
  g_free (batch);
}

void
tpd_batch_drop (TpdBatch *batch)
{
  if (batch->job != NULL)
    tpd_listers_cancel (batch->job);
  for (guint i = 0; i < batch->items->len; i++)
    {
      const TpdBatchItem *item = &g_array_index (batch->items, TpdBatchItem, i);

      if (item->param.ino != 0)
        tpd_inodes_forget (batch->dir->fs->inodes, item->param.ino, 1);
    }
  tpd_batch_free (batch);
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

void
tpd_batch_add (TpdBatch *batch, TpdBatchReply *reply)
{
  const gint64 begun = __atomic_load_n (&batch->begun, __ATOMIC_RELAXED);
  const double age = begun != 0 ? (double) (g_get_monotonic_time () - begun) / G_USEC_PER_SEC : 0;

  for (guint i = 0; i < batch->items->len; i++)
    {
      TpdBatchItem *item = &g_array_index (batch->items, TpdBatchItem, i);
      struct fuse_entry_param *param = &item->param;

      if (item->gone)
        continue;
      if (batch->early && param->ino != 0 && is_outdated (batch->dir->fs, param))
        {
          tpd_inodes_forget (batch->dir->fs->inodes, param->ino, 1);
          param->ino = 0;
        }
      param->attr_timeout = MAX (param->attr_timeout - age, 0);
      tpd_batch_add_entry (reply, item->name, param, item->next);
    }
}

gboolean
tpd_batch_is_last (const TpdBatch *batch)
{
  return batch->end == batch->start || (guint64) batch->end >= tpd_listing_length (batch->contents->listing);
}

gboolean
tpd_batch_is_recent (const TpdBatch *batch)
{
  const gint64 now = g_get_monotonic_time (), begun = __atomic_load_n (&batch->begun, __ATOMIC_RELAXED);

  return (begun == 0 || now - begun < TPD_BATCH_MAX_AGE_US)
         && (batch->start > 0 || now - batch->made < TPD_BATCH_MAX_AGE_US);
}
