/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Originals of a copy in place. Each has a second name, in the directory of
 * originals, before its own is given to the plaintext or removed.
 *
 * Where both have the same name they change places, so that what somebody put
 * there in the last moment is not overwritten: it is found under the name of
 * the other then, and put back. That name is not one of temporary files, which
 * a run removes when it finds those of one before it: what stands there after
 * a crash is looked at first.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "tools/copy_private.h"

static gboolean
is_original (const struct stat *st, const TpdStamp *stamp)
{
  TpdStamp now;

  /* Links change the ctime. */
  tpd_stamp_from_stat (&now, st);
  return S_ISREG (st->st_mode) && now.ino == stamp->ino && now.dev == stamp->dev && now.size == stamp->size
         && now.mtime_ns == stamp->mtime_ns;
}

static gboolean
set_changed (GError **error)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_STALE,
                       "the file was changed while its plaintext was made; the next run reads it again");
  return FALSE;
}

/* --- Kept -------------------------------------------------------------- */

void
tpd_copy_save_original (TpdCopy *copy, TpdCopyItem *item)
{
  const TpdCopyTask *task = item->task;
  int fd = tpd_target_make_dir (copy->originals_fd, task->dir->path);
  struct stat st;

  if (fd < 0)
    {
      tpd_error_set_errno (&item->error, errno, "cannot make the directory of its original");
      return;
    }
  if (linkat (task->dir->source_fd, task->name, fd, task->name, 0) != 0 && errno != EEXIST)
    tpd_error_set_errno (&item->error, errno, "cannot link the original into the directory of originals");
  else if (fstatat (fd, task->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    tpd_error_set_errno (&item->error, errno, "cannot look at the original");
  else if (!is_original (&st, &item->source))
    g_set_error (&item->error, TPD_ERROR, TPD_ERROR_ERRNO + EEXIST,
                 "the directory of originals has another file of this name: %s", task->path);
  else if (tpd_target_lacks_syncfs (fd) && tpd_target_sync (fd) != 0)
    tpd_error_set_errno (&item->error, errno, "cannot write the directory of originals to disk");
  close (fd);
}

/* --- Replaced ---------------------------------------------------------- */

static gboolean
set_rename_error (GError **error)
{
  tpd_error_set_errno (error, errno, "cannot put the copy in the place of the original");
  return FALSE;
}

/* The copy has the name of the original, and the other way round. */
static gboolean
end_exchange (TpdCopyItem *item, GError **error)
{
  const TpdCopyTask *task = item->task;
  int fd = task->dir->target_fd;
  struct stat st;

  if (fstatat (fd, item->temp, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_original (&st, &item->source))
    return unlinkat (fd, item->temp, 0) == 0 || set_rename_error (error);
  if (renameat2 (fd, item->temp, fd, task->name, RENAME_EXCHANGE) == 0)
    return set_changed (error);
  g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + errno,
               "the file was changed while its plaintext was made, and cannot be put back: it is kept beside it as %s",
               item->temp);
  return FALSE;
}

gboolean
tpd_copy_take_place (TpdCopyItem *item, GError **error)
{
  const TpdCopyTask *task = item->task;
  g_autofree char *swap = g_strconcat (TPD_TARGET_SWAP, item->temp + sizeof TPD_TARGET_TEMP - 1, NULL);
  int fd = task->dir->target_fd;
  struct stat st;

  if (fstatat (fd, task->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return set_rename_error (error);
  if (!is_original (&st, &item->source))
    return set_changed (error);
  if (renameat (fd, item->temp, fd, swap) != 0)
    return set_rename_error (error);
  g_free (item->temp);
  item->temp = g_steal_pointer (&swap);
  if (renameat2 (fd, item->temp, fd, task->name, RENAME_EXCHANGE) == 0)
    return end_exchange (item, error);
  if (errno != EINVAL && errno != ENOSYS)
    return set_rename_error (error);
  return renameat (fd, item->temp, fd, task->name) == 0 || set_rename_error (error);
}

/* --- Removed ----------------------------------------------------------- */

static gboolean
remove_source (const TpdCopyTask *task, const TpdStamp *source, GError **error)
{
  struct stat st;

  if (fstatat (task->dir->source_fd, task->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return errno == ENOENT;
  if (!is_original (&st, source))
    return set_changed (error);
  if (unlinkat (task->dir->source_fd, task->name, 0) == 0)
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot remove the protected file, whose plaintext is beside it");
  return FALSE;
}

void
tpd_copy_remove_source (TpdCopyItem *item)
{
  if (item->error == NULL && strcmp (item->task->name, item->task->shown) != 0)
    (void) remove_source (item->task, &item->source, &item->error);
}

void
tpd_copy_remove_original (TpdCopy *copy, const TpdCopyItem *item)
{
  int fd = tpd_target_make_dir (copy->originals_fd, item->task->dir->path);
  struct stat st;

  if (fd < 0)
    return;
  if (fstatat (fd, item->task->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_original (&st, &item->source)
      && unlinkat (fd, item->task->name, 0) == 0)
    tpd_copy_count (copy, removed, 1);
  close (fd);
}

/* --- After a crash ----------------------------------------------------- */

static gboolean
is_same_file (const struct stat *a, const struct stat *b)
{
  return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* The plaintext of the path in `entry`, if it is in `task`'s directory still. */
static gboolean
find_copy (TpdCopy *copy, const TpdCopyTask *task, const TpdJournalEntry *entry, struct stat *st)
{
  g_autofree char *text = tpd_journal_read (copy->journal, entry, NULL);
  g_autoptr (TpdManifestRecord) record = NULL;
  g_autofree char *name = NULL;

  if (text != NULL)
    record = tpd_manifest_record_parse (text, entry->len, NULL);
  if (record == NULL || record->copy == NULL)
    return FALSE;
  name = g_path_get_basename (record->copy);
  return fstatat (task->dir->target_fd, name, st, AT_SYMLINK_NOFOLLOW) == 0 && tpd_journal_mark_fits (&entry->mark, st);
}

gboolean
tpd_copy_finish_original (TpdCopy *copy, const TpdCopyTask *task, const TpdJournalEntry *entry, GError **error)
{
  struct stat copy_st, source_st, original_st;
  gboolean good = FALSE;
  int fd;

  if (!find_copy (copy, task, entry, &copy_st)
      || fstatat (task->dir->source_fd, task->name, &source_st, AT_SYMLINK_NOFOLLOW) != 0
      || is_same_file (&source_st, &copy_st))
    return FALSE;
  fd = tpd_walk_open_dir (copy->originals_fd, task->dir->path);
  if (fd >= 0 && fstatat (fd, task->name, &original_st, AT_SYMLINK_NOFOLLOW) == 0
      && is_same_file (&original_st, &source_st))
    {
      TpdStamp stamp;

      tpd_stamp_from_stat (&stamp, &source_st);
      good = remove_source (task, &stamp, error);
    }
  if (fd >= 0)
    close (fd);
  return good;
}

/* Whether the file has a name in the directory of originals. */
static gboolean
is_saved (TpdCopy *copy, const char *path, const struct stat *wanted)
{
  int fd = tpd_walk_open_dir (copy->originals_fd, path);
  DIR *stream = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;
  struct stat st;
  gboolean found = FALSE;

  if (stream == NULL)
    {
      if (fd >= 0)
        close (fd);
      return FALSE;
    }
  while (!found && (entry = readdir (stream)) != NULL)
    found = fstatat (fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_same_file (&st, wanted);
  closedir (stream);
  return found;
}

void
tpd_copy_end_swap (TpdCopy *copy, const TpdCopyDir *dir, const char *name)
{
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  struct stat st;

  if (fstatat (dir->target_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
    return;
  if (tpd_journal_knows_file (copy->journal, &st) || is_saved (copy, dir->path, &st))
    {
      (void) unlinkat (dir->target_fd, name, 0);
      return;
    }
  path = dir->path[0] != '\0' ? g_strconcat (dir->path, "/", name, NULL) : g_strdup (name);
  g_set_error_literal (
      &error, TPD_ERROR, TPD_ERROR_ERRNO + EEXIST,
      "somebody put this file in the place of an original when a run before this one ended early: give "
      "it a name of its own");
  tpd_copy_miss_error (copy, path, error);
}
