/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finished files get their names, many at a time:
 *
 *   1  in place: the originals are linked into their directory
 *   2  the journal says which file is to get which name
 *   3  syncfs: files, originals and journal are on disk
 *   4  copies that are to be checked are read again from there
 *   5  each file gets its name
 *   6  syncfs: the names are on disk
 *   7  in place: a protected file whose plaintext has another name is removed
 *
 * A crash before 5 leaves temporary files, which the next run removes; one
 * behind it leaves a file under its name whose inode number the journal knows.
 * A name never stands for half a file, and no original is without a second
 * name until its plaintext is on disk. A file that was not made by us is not
 * replaced, but for the original in place, which must be what was read.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "tools/copy_private.h"

#define BATCH_BYTES (G_GUINT64_CONSTANT (512) * 1024 * 1024)
#define BATCH_US (2 * G_USEC_PER_SEC)
#define MAX_DEVICES 16

void
tpd_copy_item_free (TpdCopyItem *item)
{
  if (item == NULL)
    return;
  tpd_copy_task_free (item->task);
  g_clear_error (&item->error);
  g_free (item->temp);
  g_free (item->tail);
  g_free (item);
}

char *
tpd_copy_temp_name (TpdCopy *copy)
{
  return g_strdup_printf (TPD_TARGET_TEMP "%s-%u", tpd_journal_token (copy->journal),
                          (guint) g_atomic_int_add (&copy->temps, 1));
}

void
tpd_copy_submit (TpdCopy *copy, TpdCopyItem *item)
{
  g_mutex_lock (&copy->lock);
  while (copy->items->len >= 2 * copy->batch_files || copy->item_bytes >= 2 * BATCH_BYTES)
    g_cond_wait (&copy->space, &copy->lock);
  if (copy->items->len == 0)
    copy->oldest = g_get_monotonic_time ();
  copy->item_bytes += item->mark.copy_size;
  g_ptr_array_add (copy->items, item);
  if (copy->items->len == 1 || copy->items->len == copy->batch_files || copy->item_bytes >= BATCH_BYTES)
    g_cond_signal (&copy->batch);
  g_mutex_unlock (&copy->lock);
}

/* --- 2, 3, 6: journal and disk ----------------------------------------- */

static void
fail_all (GPtrArray *items, const GError *error)
{
  for (guint i = 0; i < items->len; i++)
    {
      TpdCopyItem *item = g_ptr_array_index (items, i);

      if (item->error == NULL)
        item->error = g_error_copy (error);
    }
}

/* The finished file as the journal will know it. */
static gboolean
mark_file (TpdCopyItem *item, GError **error)
{
  struct stat st;
  TpdStamp made;

  if (fstatat (item->task->dir->target_fd, item->temp, &st, AT_SYMLINK_NOFOLLOW) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot look at the copy");
      return FALSE;
    }
  tpd_stamp_from_stat (&made, &st);
  item->mark.copy_mtime_ns = made.mtime_ns;
  if (made.ino == item->mark.copy_ino && made.size == item->mark.copy_size)
    return TRUE;
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_STALE, "the copy was replaced before it had its name");
  return FALSE;
}

static void
write_journal (TpdCopy *copy, GPtrArray *items)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < items->len; i++)
    {
      TpdCopyItem *item = g_ptr_array_index (items, i);
      g_autofree char *record = NULL;

      if (item->error != NULL || !mark_file (item, &item->error))
        continue;
      record = tpd_copy_record (item->task->path, item->task->copy, item->tail);
      tpd_journal_add (copy->journal, &item->mark, record);
    }
  if (!tpd_journal_write (copy->journal, &error))
    fail_all (items, error);
}

/* All file systems that the items lie on, and the state. */
static gboolean
sync_all (TpdCopy *copy, GPtrArray *items, GError **error)
{
  dev_t devices[MAX_DEVICES];
  guint n = 0;
  const TpdCopyDir *last = NULL;
  struct stat st;

  if (fstat (copy->state_fd, &st) == 0)
    devices[n++] = st.st_dev;
  if (tpd_target_sync (copy->state_fd) != 0 || tpd_journal_sync (copy->journal) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot write to disk");
      return FALSE;
    }
  for (guint i = 0; i < items->len; i++)
    {
      const TpdCopyItem *item = g_ptr_array_index (items, i);
      gboolean known = FALSE;

      if (item->task->dir == last || fstat (item->task->dir->target_fd, &st) != 0)
        continue;
      last = item->task->dir;
      for (guint j = 0; j < n; j++)
        known = known || devices[j] == st.st_dev;
      if (known && !last->lacks_syncfs)
        continue;
      if (!known && n < MAX_DEVICES)
        devices[n++] = st.st_dev;
      if (tpd_target_sync (last->target_fd) != 0)
        {
          tpd_error_set_errno (error, errno, "cannot write to disk");
          return FALSE;
        }
    }
  return TRUE;
}

/* --- 4: checks --------------------------------------------------------- */

static gboolean
check_item (TpdCopyItem *item, guint8 *block, GError **error)
{
  guint8 digest[TPD_SHA256_SIZE];
  guint64 size;
  gboolean good;
  int fd = tpd_target_open_file (item->task->dir->target_fd, item->temp);

  if (fd < 0)
    {
      tpd_error_set_errno (error, errno, "cannot read the copy again");
      return FALSE;
    }
  /* It is on disk: what is read comes from there. */
  (void) posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED);
  good = tpd_copy_hash (fd, block, &size, digest, error);
  close (fd);
  if (!good)
    return FALSE;
  if (size == item->mark.copy_size && memcmp (digest, item->sha256, sizeof digest) == 0)
    return TRUE;
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_ERRNO + EIO,
                       "the copy reads back with other bytes than were written: the disk or its memory is faulty");
  return FALSE;
}

/* --- 5: names ---------------------------------------------------------- */

static gboolean
set_rename_error (GError **error)
{
  tpd_error_set_errno (error, errno, "cannot give the copy its name");
  return FALSE;
}

static gboolean
has_same_bytes (TpdCopy *copy, const TpdCopyItem *item, const struct stat *st, guint8 *block)
{
  guint8 digest[TPD_SHA256_SIZE];
  guint64 size = 0;
  gboolean good;
  int fd;

  if (!S_ISREG (st->st_mode) || item->what == TPD_COPY_SYMLINK || (guint64) st->st_size != item->mark.copy_size)
    return FALSE;
  if (item->what == TPD_COPY_LINK)
    return st->st_ino == item->mark.copy_ino;
  fd = tpd_target_open_file (item->task->dir->target_fd, item->task->shown);
  if (fd < 0)
    return FALSE;
  good = tpd_copy_hash (fd, block, &size, digest, NULL) && size == item->mark.copy_size
         && memcmp (digest, item->sha256, sizeof digest) == 0;
  close (fd);
  return good;
}

static gboolean
has_same_target (const TpdCopyItem *item, const struct stat *st)
{
  char ours[PATH_MAX], theirs[PATH_MAX];
  int fd = item->task->dir->target_fd;
  gssize n, m;

  if (item->what != TPD_COPY_SYMLINK || !S_ISLNK (st->st_mode))
    return FALSE;
  n = readlinkat (fd, item->temp, ours, sizeof ours);
  m = readlinkat (fd, item->task->shown, theirs, sizeof theirs);
  return n >= 0 && n == m && memcmp (ours, theirs, (gsize) n) == 0;
}

/* What has the name already: ours, or no different. */
static gboolean
may_replace (TpdCopy *copy, const TpdCopyItem *item, guint8 *block)
{
  struct stat st;
  TpdStamp now;

  if (fstatat (item->task->dir->target_fd, item->task->shown, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT;
  tpd_stamp_from_stat (&now, &st);
  return tpd_journal_has_made (copy->journal, item->task->copy, &now) || has_same_bytes (copy, item, &st, block)
         || has_same_target (item, &st);
}

/* A file system may not know the flag: then there is a moment in between. */
static int
rename_to_free (int fd, const char *temp, const char *name)
{
  struct stat st;

  if (renameat2 (fd, temp, fd, name, RENAME_NOREPLACE) == 0)
    return 0;
  if (errno != EINVAL && errno != ENOSYS)
    return -1;
  if (fstatat (fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    {
      errno = EEXIST;
      return -1;
    }
  return errno == ENOENT ? renameat (fd, temp, fd, name) : -1;
}

static gboolean
give_name (TpdCopy *copy, TpdCopyItem *item, guint8 *block, GError **error)
{
  const TpdCopyTask *task = item->task;
  int fd = task->dir->target_fd;

  if (rename_to_free (fd, item->temp, task->shown) == 0)
    return TRUE;
  if (errno != EEXIST)
    return set_rename_error (error);
  if (!may_replace (copy, item, block))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + EEXIST,
                   "there is another file with the name of its copy, %s, that this tool did not write, or that was "
                   "changed since; move it away",
                   task->copy);
      return FALSE;
    }
  if (renameat (fd, item->temp, fd, task->shown) != 0)
    return set_rename_error (error);
  /* Between two names of one file, rename() does nothing. */
  (void) unlinkat (fd, item->temp, 0);
  return TRUE;
}

static void
give_names (TpdCopy *copy, GPtrArray *items, guint8 *block)
{
  for (guint i = 0; i < items->len; i++)
    {
      TpdCopyItem *item = g_ptr_array_index (items, i);

      if (item->error != NULL)
        continue;
      if (item->check && !check_item (item, block, &item->error))
        continue;
      if (copy->in_place && strcmp (item->task->name, item->task->shown) == 0)
        (void) tpd_copy_take_place (item, &item->error);
      else
        (void) give_name (copy, item, block, &item->error);
    }
}

/* --- A batch ----------------------------------------------------------- */

static void
count_item (TpdCopy *copy, const TpdCopyItem *item)
{
  TpdCopyCounts *counts = &copy->counts;
  guint64 *const members[] = {
    [TPD_COPY_DECRYPTED] = &counts->decrypted,
    [TPD_COPY_PLAIN] = &counts->plain,
    [TPD_COPY_RAW] = &counts->raw,
    [TPD_COPY_SYMLINK] = &counts->symlinks,
    [TPD_COPY_LINK] = &counts->links,
    [TPD_COPY_ARCHIVE] = &counts->archives,
  };

  g_mutex_lock (&copy->lock);
  (*members[item->what])++;
  counts->members += item->members;
  if (item->what != TPD_COPY_LINK && item->what != TPD_COPY_SYMLINK)
    counts->bytes += item->mark.copy_size;
  g_mutex_unlock (&copy->lock);
}

/* Nothing but the file that we made: what failed may have been done. */
static void
remove_temp (const TpdCopyItem *item)
{
  int fd = item->task->dir->target_fd;
  struct stat st;

  if (fstatat (fd, item->temp, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == item->mark.copy_ino)
    (void) unlinkat (fd, item->temp, 0);
}

static void
end_item (TpdCopy *copy, TpdCopyItem *item)
{
  g_autofree char *record = NULL;
  TpdJournalEntry done;

  if (item->error != NULL)
    {
      remove_temp (item);
      tpd_copy_miss_task (copy, item->task, item->error);
      return;
    }
  tpd_journal_set_present (copy->journal, item->task->path);
  if (item->is_first && tpd_journal_find (copy->journal, item->task->path, &done))
    tpd_copy_links_finish (copy->links, &item->source, &done);
  if (copy->in_place && copy->options->remove_originals && item->proven && item->check)
    tpd_copy_remove_original (copy, item);
  count_item (copy, item);
  if (copy->options->json)
    {
      record = tpd_copy_record (item->task->path, item->task->copy, item->tail);
      tpd_copy_print (copy, record);
    }
  tpd_progress_add (copy->progress, 1, item->what == TPD_COPY_LINK ? 0 : item->source.size);
}

static void
commit (TpdCopy *copy, GPtrArray *items, guint8 *block)
{
  g_autoptr (GError) error = NULL;

  for (guint i = 0; copy->in_place && i < items->len; i++)
    tpd_copy_save_original (copy, g_ptr_array_index (items, i));
  write_journal (copy, items);
  if (!sync_all (copy, items, &error))
    fail_all (items, error);
  give_names (copy, items, block);
  g_clear_error (&error);
  if (!sync_all (copy, items, &error))
    {
      /* Nobody can say now what is on the disk. */
      fail_all (items, error);
      tpd_copy_stop (copy, g_steal_pointer (&error));
    }
  for (guint i = 0; copy->in_place && i < items->len; i++)
    tpd_copy_remove_source (g_ptr_array_index (items, i));
  for (guint i = 0; i < items->len; i++)
    end_item (copy, g_ptr_array_index (items, i));
}

/* With the lock held: waits until there is a batch. FALSE: all is done. */
static gboolean
wait_for_batch (TpdCopy *copy)
{
  for (;;)
    {
      gint64 until = copy->oldest + BATCH_US;

      if (copy->workers_done)
        return copy->items->len > 0;
      if (copy->items->len >= copy->batch_files || copy->item_bytes >= BATCH_BYTES
          || (copy->items->len > 0 && g_get_monotonic_time () >= until))
        return TRUE;
      if (copy->items->len > 0)
        g_cond_wait_until (&copy->batch, &copy->lock, until);
      else
        g_cond_wait (&copy->batch, &copy->lock);
    }
}

gpointer
tpd_copy_commit_thread (gpointer data)
{
  TpdCopy *copy = data;
  g_autofree guint8 *block = g_malloc (TPD_COPY_BLOCK);

  g_mutex_lock (&copy->lock);
  while (wait_for_batch (copy))
    {
      g_autoptr (GPtrArray) items = copy->items;

      copy->items = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_copy_item_free);
      copy->item_bytes = 0;
      g_cond_broadcast (&copy->space);
      g_mutex_unlock (&copy->lock);
      commit (copy, items, block);
      g_mutex_lock (&copy->lock);
    }
  g_mutex_unlock (&copy->lock);
  tpd_wipe (block, TPD_COPY_BLOCK);
  return NULL;
}
