/* SPDX-License-Identifier: Apache-2.0 */
/* A file at hand, and the temporary file that is to be its copy: see copy_temp.h. */
#include "tools/copy_temp.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

gboolean
tpd_copy_make_temp (TpdCopyFile *file, GError **error)
{
  file->temp = tpd_copy_temp_name (file->copy);
  file->temp_fd = tpd_target_make_file (file->task->dir->target_fd, file->temp);
  if (file->temp_fd >= 0)
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot make a file beside the copy");
  g_clear_pointer (&file->temp, g_free);
  return FALSE;
}

void
tpd_copy_drop_temp (TpdCopyFile *file)
{
  if (file->temp_fd >= 0)
    close (file->temp_fd);
  file->temp_fd = -1;
  if (file->temp != NULL && file->task != NULL)
    (void) unlinkat (file->task->dir->target_fd, file->temp, 0);
  g_clear_pointer (&file->temp, g_free);
}

void
tpd_copy_submit_file (TpdCopyFile *file, TpdCopyWhat what, char *tail, guint64 size, guint64 ino, const guint8 *sha256)
{
  TpdCopyItem *item = g_new0 (TpdCopyItem, 1);

  item->what = what;
  item->temp = g_steal_pointer (&file->temp);
  item->tail = tail;
  item->source = file->stamp;
  item->mark =
      (TpdJournalMark){ tpd_copy_validator (file->copy, &file->stamp, file->task->copy), ino, size, file->stamp.ino };
  if (file->again)
    item->mark.validator |= TPD_COPY_AGAIN;
  item->members = file->members;
  if (sha256 != NULL)
    memcpy (item->sha256, sha256, TPD_SHA256_SIZE);
  item->is_first = file->is_first;
  item->proven = file->proven;
  item->task = g_steal_pointer (&file->task);
  if (file->temp_fd >= 0)
    close (file->temp_fd);
  file->temp_fd = -1;
  item->check = sha256 != NULL && what != TPD_COPY_LINK && (file->copy->in_place || file->copy->options->check);
  tpd_copy_submit (file->copy, item);
}

gboolean
tpd_copy_finish_temp (TpdCopyFile *file, guint64 size, GPtrArray *lost, struct stat *made, GError **error)
{
  if (fstat (file->temp_fd, made) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot look at the copy");
      return FALSE;
    }
  tpd_target_set_attributes (file->temp_fd, made, file->task->dir->has_default_acl, file->fd, &file->st, lost);
  if (lost->len > 0)
    tpd_copy_count (file->copy, lost, 1);
  if (tpd_target_close_file (g_steal_fd (&file->temp_fd), file->task->dir->lacks_syncfs) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot write the copy");
      return FALSE;
    }
  if ((guint64) made->st_size == size)
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + EIO,
               "the copy has %" G_GINT64_FORMAT " bytes instead of %" G_GUINT64_FORMAT, (gint64) made->st_size, size);
  return FALSE;
}

gboolean
tpd_copy_is_unchanged (TpdCopyFile *file, GError **error)
{
  struct stat st;
  TpdStamp now;

  if (fstat (file->fd, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot look at the file");
      return FALSE;
    }
  tpd_stamp_from_stat (&now, &st);
  if (tpd_stamp_same_content (&now, &file->stamp))
    return TRUE;
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_STALE,
                       "the file was changed while it was read; the next run reads it again");
  return FALSE;
}

void
tpd_copy_miss_file (TpdCopyFile *file, const GError *error)
{
  tpd_copy_drop_temp (file);
  tpd_copy_miss_task (file->copy, file->task, error);
}
