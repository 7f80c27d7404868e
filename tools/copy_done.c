/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What earlier runs finished. It is believed while source and copy are the
 * files that they knew. A new name of a file that has a finished one becomes a
 * link to its copy, whichever of the two is met first: the journal is asked for
 * the inode.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "tools/copy_names.h"
#include "tools/copy_private.h"

guint64
tpd_copy_validator (const TpdCopy *copy, const TpdStamp *stamp, const char *name)
{
  g_autofree char *text = NULL;
  guint8 digest[TPD_SHA256_SIZE];
  guint64 result;

  text = g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " %" G_GINT64_FORMAT
                          " %" G_GINT64_FORMAT " %u %u %u %s",
                          copy->options_hash, stamp->ino, stamp->size, stamp->mtime_ns, stamp->ctime_ns, stamp->mode,
                          stamp->uid, stamp->gid, name);
  tpd_sha256 (text, strlen (text), digest);
  memcpy (&result, digest, sizeof result);
  return GUINT64_FROM_BE (result) & ~TPD_COPY_AGAIN;
}

/* --- The name itself --------------------------------------------------- */

/* Whether the copy `name` was made of the file as it is now. */
static gboolean
is_of_this_file (const TpdCopy *copy, const TpdStamp *stamp, const char *name, const TpdJournalMark *mark)
{
  TpdStamp without_ctime = *stamp;

  if (mark->validator == tpd_copy_validator (copy, stamp, name))
    return TRUE;
  without_ctime.ctime_ns = 0; /* linked plain files */
  return copy->options->link_plain && mark->copy_ino == stamp->ino
         && mark->validator == tpd_copy_validator (copy, &without_ctime, name);
}

static gboolean
copy_is_there (int dir_fd, const char *name, const TpdJournalMark *mark)
{
  struct stat st;

  return fstatat (dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && tpd_journal_mark_fits (mark, &st)
         && (S_ISREG (st.st_mode) || S_ISLNK (st.st_mode));
}

static gboolean
is_finished_in_place (TpdCopy *copy, const TpdCopyTask *task, const TpdStamp *stamp, GError **error)
{
  TpdJournalEntry entry;

  /* It is a copy that we made, under whatever name its source had. */
  if (tpd_journal_has_made (copy->journal, task->path, stamp))
    return TRUE;
  if (!tpd_journal_find (copy->journal, task->path, &entry) || entry.mark.source_ino != stamp->ino)
    return FALSE;
  return tpd_copy_finish_original (copy, task, &entry, error);
}

static gboolean
is_finished (TpdCopy *copy, const TpdCopyTask *task, const TpdStamp *stamp, GError **error)
{
  TpdJournalEntry entry;

  if (copy->journal == NULL || !tpd_journal_is_resumed (copy->journal))
    return FALSE;
  if (copy->in_place)
    return is_finished_in_place (copy, task, stamp, error);
  if (!tpd_journal_find (copy->journal, task->path, &entry) || !is_of_this_file (copy, stamp, task->copy, &entry.mark)
      || !copy_is_there (task->dir->target_fd, task->shown, &entry.mark))
    return FALSE;
  tpd_journal_set_present (copy->journal, task->path);
  return TRUE;
}

gboolean
tpd_copy_skip_finished (TpdCopy *copy, const TpdCopyTask *task, const TpdStamp *stamp)
{
  g_autoptr (GError) error = NULL;

  if (is_finished (copy, task, stamp, &error))
    {
      tpd_copy_count (copy, finished, 1);
      tpd_progress_add (copy->progress, 1, 0);
      return TRUE;
    }
  if (error == NULL)
    return FALSE;
  tpd_copy_miss_error (copy, task->path, error);
  return TRUE;
}

/* --- Another name of the same file ------------------------------------- */

typedef struct {
  TpdCopyWorker *worker;
  const TpdCopyTask *task;
  const TpdStamp *stamp;
  TpdJournalEntry *found;
  gboolean is_hashed; /* `hex` is that of the file */
  char *hex;
} Search;

gboolean
tpd_copy_stat_beneath (int root_fd, const char *path, struct stat *st)
{
  const char *name;
  int fd = tpd_walk_open_parent (root_fd, path, &name);
  gboolean good = fd >= 0 && fstatat (fd, name, st, AT_SYMLINK_NOFOLLOW) == 0;

  if (fd >= 0)
    close (fd);
  return good;
}

/* In place the other name has its plaintext already, and what was there has
 * lost a name since: only the content can tell. */
static gboolean
has_same_content (Search *search, const char *sha256)
{
  TpdCopyWorker *worker = search->worker;
  guint8 digest[TPD_SHA256_SIZE];
  guint64 size;
  int fd;

  if (!search->is_hashed)
    {
      search->is_hashed = TRUE;
      fd = tpd_copy_open_source (search->task->dir->source_fd, search->task->name);
      if (fd >= 0 && tpd_copy_hash (fd, worker->block, &size, digest, NULL))
        search->hex = tpd_hex (digest, sizeof digest);
      if (fd >= 0)
        close (fd);
    }
  return search->hex != NULL && g_strcmp0 (search->hex, sha256) == 0;
}

static gboolean
try_other (gpointer data, const TpdJournalEntry *entry, const char *text)
{
  Search *search = data;
  const TpdCopy *copy = search->worker->copy;
  const TpdStamp *stamp = search->stamp;
  g_autoptr (TpdManifestRecord) record = tpd_manifest_record_parse (text, entry->len, NULL);
  struct stat st;

  if (record == NULL || record->copy == NULL || tpd_copy_is_stopped (search->worker->copy))
    return FALSE;
  if (!copy->in_place
      && (!is_of_this_file (copy, stamp, record->copy, &entry->mark)
          || !tpd_copy_stat_beneath (copy->source_fd, record->path, &st) || st.st_dev != stamp->dev
          || st.st_ino != stamp->ino))
    return FALSE;
  if (!tpd_copy_stat_beneath (tpd_copy_root_of_copies (copy), record->copy, &st) || !S_ISREG (st.st_mode)
      || !tpd_journal_mark_fits (&entry->mark, &st))
    return FALSE;
  if (copy->in_place && (st.st_dev != stamp->dev || !has_same_content (search, record->source_sha256)))
    return FALSE;
  *search->found = *entry;
  return TRUE;
}

gboolean
tpd_copy_find_other (TpdCopyWorker *worker, const TpdCopyTask *task, const TpdStamp *stamp, TpdJournalEntry *found)
{
  Search search = { worker, task, stamp, found, FALSE, NULL };
  gboolean good;

  if (!tpd_journal_is_resumed (worker->copy->journal))
    return FALSE;
  good = tpd_journal_find_source (worker->copy->journal, stamp->ino, try_other, &search);
  g_free (search.hex);
  return good;
}
