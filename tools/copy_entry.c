/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry of a directory: whether it is to be copied, and how. A file with
 * several names is copied once (copy_links.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/error.h"
#include "tools/copy_temp.h"

/* As in a scan: below this, file systems may keep the content in the inode. */
#define STUB_MIN_SIZE 4096
#define FUSE_MAGIC 0x65735546

/* --- Files ------------------------------------------------------------- */

static gboolean
is_stub (const TpdCopy *copy, const TpdCopyTask *task, const struct stat *st)
{
  struct statfs fs;

  return st->st_blocks == 0 && st->st_size > STUB_MIN_SIZE && !copy->options->tree.recall
         && fstatfs (task->dir->source_fd, &fs) == 0 && (guint32) fs.f_type != FUSE_MAGIC;
}

/* Copies what is neither finished nor a link to another copy. */
static void
run_new (TpdCopyWorker *worker, TpdCopyTask *task, const struct stat *st, gboolean is_first)
{
  g_autoptr (GError) error = NULL;

  if (!is_stub (worker->copy, task, st))
    {
      tpd_copy_regular (worker, task, st, is_first);
      return;
    }
  g_set_error_literal (&error, TPD_ERROR, TPD_ERROR_OFFLINE,
                       "its content is not stored here but on another medium (offline); --recall reads it");
  tpd_copy_miss_error (worker->copy, task->path, error);
  tpd_copy_task_free (task);
}

/* --- Files with several names ------------------------------------------ */

typedef enum { LINKED, NOT_LINKED, CANNOT_LINK } Linked;

/* `other` has the copy `ino`. */
static Linked
make_link (TpdCopyFile *file, const char *other, guint64 ino, GError **error)
{
  const char *name;
  struct stat st;
  int fd = tpd_walk_open_parent (tpd_copy_root_of_copies (file->copy), other, &name);
  int errnum = fd < 0 ? errno : 0;

  file->temp = tpd_copy_temp_name (file->copy);
  if (fd >= 0
      && (linkat (fd, name, file->task->dir->target_fd, file->temp, 0) != 0
          || fstatat (file->task->dir->target_fd, file->temp, &st, AT_SYMLINK_NOFOLLOW) != 0))
    errnum = errno;
  if (fd >= 0)
    close (fd);
  if (errnum == 0 && st.st_ino == ino)
    return LINKED;
  if (errnum == 0)
    g_set_error (error, TPD_ERROR, TPD_ERROR_STALE, "the copy of its other name, %s, was replaced", other);
  else if (errnum == EMLINK || errnum == EXDEV)
    g_clear_pointer (&file->temp, g_free);
  else
    tpd_error_set_errno (error, errnum, "cannot link the copy to that of its other name, %s", other);
  return errnum == EMLINK || errnum == EXDEV ? CANNOT_LINK : NOT_LINKED;
}

/* Another name for the copy that `done` tells of. */
static void
run_link (TpdCopyWorker *worker, TpdCopyTask *task, const struct stat *st, const TpdJournalEntry *done)
{
  TpdCopy *copy = worker->copy;
  TpdCopyFile file = { .worker = worker, .copy = copy, .task = task, .st = *st, .fd = -1, .temp_fd = -1 };
  g_autoptr (GError) error = NULL;
  g_autofree char *text = tpd_journal_read (copy->journal, done, &error);
  g_autoptr (TpdManifestRecord) record = text != NULL ? tpd_manifest_record_parse (text, done->len, &error) : NULL;
  gsize len = 0;
  const char *rest = record != NULL ? tpd_manifest_rest (text, done->len, &len) : NULL;
  Linked linked = NOT_LINKED;

  tpd_stamp_from_stat (&file.stamp, st);
  if (rest != NULL && len > 1 && record->copy != NULL)
    linked = make_link (&file, record->copy, done->mark.copy_ino, &error);
  else if (error == NULL)
    g_set_error_literal (&error, TPD_ERROR, TPD_ERROR_DAMAGED, "the journal is damaged");
  if (linked == CANNOT_LINK)
    {
      /* Other names can then be links to this one. */
      tpd_copy_regular (worker, task, st, TRUE);
      return;
    }
  file.again = (done->mark.validator & TPD_COPY_AGAIN) != 0;
  if (file.again && linked == LINKED && g_strcmp0 (record->copy, record->path) == 0)
    {
      /* What is protected still has no plaintext's name: as in leave_unreadable(). */
      tpd_copy_task_keep_name (task);
    }
  if (linked == LINKED)
    {
      g_autofree char *tail = g_strndup (rest, len - 1);

      tpd_copy_miss_other (copy, task, record, tail);
      tpd_copy_submit_file (&file, TPD_COPY_LINK, g_steal_pointer (&tail), done->mark.copy_size, done->mark.copy_ino,
                            NULL);
    }
  else
    tpd_copy_miss_file (&file, error);
  tpd_copy_drop_temp (&file);
  tpd_copy_task_free (file.task);
}

static void
run_one_of_several (TpdCopyWorker *worker, TpdCopyTask *task, const struct stat *st, const TpdStamp *stamp)
{
  TpdCopy *copy = worker->copy;
  TpdJournalEntry done;
  TpdCopyLinkState state = tpd_copy_links_take (copy->links, stamp, &done);

  if (state == TPD_COPY_LINK_FIRST && tpd_copy_find_other (worker, task, stamp, &done))
    {
      tpd_copy_links_finish (copy->links, stamp, &done);
      state = TPD_COPY_LINK_DONE;
    }
  if (state == TPD_COPY_LINK_DONE)
    run_link (worker, task, st, &done);
  else if (state == TPD_COPY_LINK_FIRST)
    run_new (worker, task, st, TRUE);
  else
    {
      tpd_copy_links_defer (copy->links, task->path, task->shown);
      tpd_copy_task_free (task);
    }
}

static void
run_regular (TpdCopyWorker *worker, TpdCopyTask *task, const struct stat *st)
{
  TpdCopy *copy = worker->copy;
  TpdStamp stamp;

  tpd_stamp_from_stat (&stamp, st);
  if (tpd_copy_skip_finished (copy, task, &stamp))
    tpd_copy_task_free (task);
  else if (st->st_nlink > 1 && !copy->options->dry_run)
    run_one_of_several (worker, task, st, &stamp);
  else
    run_new (worker, task, st, FALSE);
}

/* --- Symbolic links ---------------------------------------------------- */

static void
make_symlink (TpdCopyWorker *worker, TpdCopyTask *task, const struct stat *st, const char *target, gssize len)
{
  TpdCopy *copy = worker->copy;
  TpdCopyFile file = { .worker = worker, .copy = copy, .task = task, .fd = -1, .temp_fd = -1 };
  g_autoptr (GPtrArray) lost = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  struct stat made;

  tpd_stamp_from_stat (&file.stamp, st);
  file.temp = tpd_copy_temp_name (copy);
  if (symlinkat (target, task->dir->target_fd, file.temp) != 0
      || fstatat (task->dir->target_fd, file.temp, &made, AT_SYMLINK_NOFOLLOW) != 0)
    {
      tpd_error_set_errno (&error, errno, "cannot make the symbolic link");
      tpd_copy_miss_file (&file, error);
    }
  else
    {
      tpd_target_set_link_attributes (task->dir->target_fd, file.temp, st, lost);
      if (lost->len > 0)
        tpd_copy_count (copy, lost, 1);
      tpd_copy_submit_file (&file, TPD_COPY_SYMLINK, tpd_copy_tail_symlink (target, lost), (guint64) len, made.st_ino,
                            NULL);
    }
  tpd_copy_drop_temp (&file);
  tpd_copy_task_free (file.task);
}

static void
run_symlink (TpdCopyWorker *worker, TpdCopyTask *task, const struct stat *st)
{
  TpdCopy *copy = worker->copy;
  g_autofree char *target = g_malloc0 (PATH_MAX + 1);
  g_autoptr (GError) error = NULL;
  gssize len;
  TpdStamp stamp;

  tpd_stamp_from_stat (&stamp, st);
  if (copy->in_place || copy->options->only_protected)
    tpd_copy_count (copy, left, 1);
  else if (copy->options->dry_run)
    tpd_copy_count (copy, symlinks, 1);
  else if (!tpd_copy_skip_finished (copy, task, &stamp))
    {
      len = readlinkat (task->dir->source_fd, task->name, target, PATH_MAX);
      if (len >= 0)
        {
          make_symlink (worker, task, st, target, len);
          return;
        }
      tpd_error_set_errno (&error, errno, "cannot read the symbolic link");
      tpd_copy_miss_error (copy, task->path, error);
    }
  tpd_copy_task_free (task);
}

/* --- Entries ----------------------------------------------------------- */

/* Names of one file stay together; the number of an inode is the same on
 * every machine that mounts the share, its device is not. */
static gboolean
is_in_shard (const TpdCopy *copy, const TpdCopyTask *task, const struct stat *st)
{
  guint8 digest[TPD_SHA256_SIZE];
  guint64 number;

  if (copy->options->shards <= 1)
    return TRUE;
  if (S_ISREG (st->st_mode) && st->st_nlink > 1)
    {
      guint64 ino = GUINT64_TO_BE (st->st_ino);

      tpd_sha256 (&ino, sizeof ino, digest);
    }
  else
    tpd_sha256 (task->path, strlen (task->path), digest);
  memcpy (&number, digest, sizeof number);
  return GUINT64_FROM_BE (number) % copy->options->shards == copy->options->shard - 1;
}

/* It, or a directory above it. */
static gboolean
is_held (const TpdCopy *copy, const char *path)
{
  g_autofree char *part = NULL;

  if (copy->options->hold == NULL || g_hash_table_size (copy->options->hold) == 0)
    return FALSE;
  part = g_strdup (path);
  for (;;)
    {
      char *slash;

      if (g_hash_table_contains (copy->options->hold, part))
        return TRUE;
      slash = strrchr (part, '/');
      if (slash == NULL)
        return FALSE;
      *slash = '\0';
    }
}

static void
run (TpdCopyWorker *worker, TpdCopyTask *task, const struct stat *st)
{
  TpdCopy *copy = worker->copy;

  if (is_held (copy, task->path) || is_held (copy, task->copy))
    {
      tpd_copy_miss_reason (copy, task->path, "held", "it is on the list of --hold");
      tpd_copy_count (copy, held, 1);
    }
  else if (S_ISREG (st->st_mode))
    {
      run_regular (worker, task, st);
      return;
    }
  else if (S_ISLNK (st->st_mode))
    {
      run_symlink (worker, task, st);
      return;
    }
  else if (!S_ISDIR (st->st_mode))
    {
      tpd_copy_miss_reason (copy, task->path, "special-file", "it is a device, a socket or a named pipe");
      tpd_copy_count (copy, special, 1);
    }
  tpd_copy_task_free (task);
}

void
tpd_copy_task_run (TpdCopyWorker *worker, TpdCopyTask *task)
{
  TpdCopy *copy = worker->copy;
  struct stat st;

  if (fstatat (task->dir->source_fd, task->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
    {
      if (copy->options->tree.one_file_system && st.st_dev != copy->source_dev)
        {
          if (is_in_shard (copy, task, &st))
            tpd_copy_miss_reason (copy, task->path, "other-file-system", "it is on another file system");
        }
      else if (is_in_shard (copy, task, &st))
        {
          run (worker, task, &st);
          return;
        }
    }
  else if (errno != ENOENT)
    {
      g_autoptr (GError) error = NULL;

      tpd_error_set_errno (&error, errno, "cannot look at the file");
      tpd_copy_miss_error (copy, task->path, error);
    }
  tpd_copy_task_free (task);
}
