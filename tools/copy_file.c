/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry of a directory: a finished temporary file beside the place of its
 * copy, and the record that goes with it; or a line that says why there is
 * none. A file with several names is copied once (copy_links.h).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "tools/copy_archive.h"
#include "tools/copy_names.h"
#include "tools/copy_private.h"
#include "tools/tee.h"

/* As in a scan: below this, file systems may keep the content in the inode. */
#define STUB_MIN_SIZE 4096
#define FUSE_MAGIC 0x65735546

/* A file at hand. */
typedef struct {
  TpdCopyWorker *worker;
  TpdCopy *copy;
  TpdCopyTask *task; /* NULL once it was handed on */
  TpdStamp stamp;
  struct stat st;
  int fd;
  int temp_fd;
  char *temp;
  gboolean is_first; /* of several names */
  gboolean proven;
  gboolean again;  /* the next run is to do it again: something was left out */
  guint64 members; /* decrypted in an archive */
  char *note;      /* what is to be said of a plain file */
} File;

/* --- Temporary files --------------------------------------------------- */

static gboolean
make_temp (File *file, GError **error)
{
  file->temp = tpd_copy_temp_name (file->copy);
  file->temp_fd = tpd_target_make_file (file->task->dir->target_fd, file->temp);
  if (file->temp_fd >= 0)
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot make a file beside the copy");
  g_clear_pointer (&file->temp, g_free);
  return FALSE;
}

static void
drop_temp (File *file)
{
  if (file->temp_fd >= 0)
    close (file->temp_fd);
  file->temp_fd = -1;
  if (file->temp != NULL && file->task != NULL)
    (void) unlinkat (file->task->dir->target_fd, file->temp, 0);
  g_clear_pointer (&file->temp, g_free);
}

/* Hands the finished file over. */
static void
submit (File *file, TpdCopyWhat what, char *tail, guint64 size, guint64 ino, const guint8 *sha256)
{
  TpdCopyItem *item = g_new0 (TpdCopyItem, 1);

  item->what = what;
  item->temp = g_steal_pointer (&file->temp);
  item->tail = tail;
  item->source = file->stamp;
  item->mark =
      (TpdJournalMark){ tpd_copy_validator (file->copy, &file->stamp, file->task->copy), ino, size, file->stamp.ino };
  /* Then no run finds it finished. */
  if (file->again)
    item->mark.validator ^= 1;
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

/* The file is complete: it gets its attributes, its size is what it should be,
 * and it is closed. `lost` is what could not be kept. */
static gboolean
finish_temp (File *file, guint64 size, GPtrArray *lost, struct stat *made, GError **error)
{
  if (fstat (file->temp_fd, made) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot look at the copy");
      return FALSE;
    }
  tpd_target_set_attributes (file->temp_fd, made, file->task->dir->has_default_acl, file->fd, &file->st, lost);
  if (lost->len > 0)
    tpd_copy_count (file->copy, lost, 1);
  if (tpd_target_close_file (g_steal_fd (&file->temp_fd)) != 0)
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

static gboolean
is_unchanged (File *file, GError **error)
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

/* --- Kinds of copies --------------------------------------------------- */

static void
miss (File *file, const GError *error)
{
  drop_temp (file);
  tpd_copy_miss_error (file->copy, file->task->path, error);
}

static gboolean
decrypt (File *file, TpdSource *tee, TpdFileFacts *facts, GError **error)
{
  g_autoptr (GPtrArray) lost = g_ptr_array_new_with_free_func (g_free);
  guint8 plain[TPD_SHA256_SIZE], source[TPD_SHA256_SIZE];
  struct stat made;

  if (!make_temp (file, error) || !tpd_copy_document (facts->document, file->temp_fd, file->worker->block, plain, error)
      || !tpd_tee_finish (tee, file->worker->block, TPD_COPY_BLOCK, source, error) || !is_unchanged (file, error)
      || !finish_temp (file, facts->document->plain_size, lost, &made, error))
    return FALSE;
  facts->plain_sha256 = tpd_hex (plain, sizeof plain);
  facts->source_sha256 = tpd_hex (source, sizeof source);
  facts->verdict = TPD_VERDICT_OK;
  file->proven = facts->document->proof == TPD_PROOF_PROVEN;
  submit (file, TPD_COPY_DECRYPTED, tpd_copy_tail_facts (facts, lost), facts->document->plain_size, made.st_ino, plain);
  return TRUE;
}

/* The bytes as they are. `facts`: of a protected file that is not opened. */
static gboolean
copy_bytes (File *file, TpdCopyWhat what, TpdFileFacts *facts, const char *note, GError **error)
{
  g_autoptr (GPtrArray) lost = g_ptr_array_new_with_free_func (g_free);
  guint8 digest[TPD_SHA256_SIZE];
  g_autofree char *hex = NULL;
  struct stat made;
  char *tail;

  if (!make_temp (file, error)
      || !tpd_copy_plain (file->fd, file->stamp.size, file->temp_fd, file->worker->block, digest, error)
      || !is_unchanged (file, error) || !finish_temp (file, file->stamp.size, lost, &made, error))
    return FALSE;
  hex = tpd_hex (digest, sizeof digest);
  if (facts != NULL)
    {
      facts->source_sha256 = g_strdup (hex);
      facts->plain_sha256 = g_strdup (hex);
      facts->plain_size_known = TRUE;
      facts->plain_size = file->stamp.size;
      tail = tpd_copy_tail_facts (facts, lost);
    }
  else
    tail = tpd_copy_tail_plain (file->stamp.size, hex, note, lost);
  submit (file, what, tail, file->stamp.size, made.st_ino, digest);
  return TRUE;
}

/* Another name for the file itself. FALSE without error: it has to be copied. */
static gboolean
link_plain (File *file, GError **error)
{
  g_autoptr (GPtrArray) lost = g_ptr_array_new ();
  guint8 digest[TPD_SHA256_SIZE];
  g_autofree char *hex = NULL;
  guint64 size;
  struct stat st;

  file->temp = tpd_copy_temp_name (file->copy);
  if (linkat (file->task->dir->source_fd, file->task->name, file->task->dir->target_fd, file->temp, 0) != 0)
    {
      g_clear_pointer (&file->temp, g_free);
      return FALSE;
    }
  if (fstatat (file->task->dir->target_fd, file->temp, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_ino != file->stamp.ino)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_STALE, "the file was replaced while it was linked");
      return FALSE;
    }
  /* Linking has changed its ctime. */
  file->stamp.ctime_ns = 0;
  if (!tpd_copy_hash (file->fd, file->worker->block, &size, digest, error))
    return FALSE;
  if (size != file->stamp.size)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_STALE, "the file was changed while it was read");
      return FALSE;
    }
  hex = tpd_hex (digest, sizeof digest);
  submit (file, TPD_COPY_PLAIN, tpd_copy_tail_plain (size, hex, file->note, lost), size, st.st_ino, digest);
  return TRUE;
}

static void
count_dry (File *file, const TpdFileFacts *facts, TpdCopyWhat what)
{
  TpdCopy *copy = file->copy;
  g_autoptr (GPtrArray) lost = g_ptr_array_new ();
  g_autofree char *tail = NULL;
  g_autofree char *record = NULL;

  if (facts != NULL)
    tail = tpd_copy_tail_facts (facts, lost);
  else
    tail = tpd_copy_tail_plain (file->stamp.size, NULL, file->note, lost);
  record = tpd_copy_record (file->task->path, file->task->copy, tail);
  tpd_copy_print (copy, record);
  g_mutex_lock (&copy->lock);
  if (what == TPD_COPY_DECRYPTED)
    copy->counts.decrypted++;
  else if (what == TPD_COPY_RAW)
    copy->counts.raw++;
  else if (what == TPD_COPY_ARCHIVE)
    copy->counts.archives++;
  else
    copy->counts.plain++;
  copy->counts.bytes += facts != NULL && facts->plain_size_known ? facts->plain_size : file->stamp.size;
  g_mutex_unlock (&copy->lock);
  tpd_progress_add (copy->progress, 1, file->stamp.size);
}

/* A file that is not protected, or is to stay so. */
static void
copy_plain (File *file, TpdSource *source, TpdCopyWhat what)
{
  TpdCopy *copy = file->copy;
  g_autoptr (GError) error = NULL;
  const char *note = what == TPD_COPY_RAW ? "left protected, as --mail source asks" : file->note;

  if (copy->in_place || (copy->options->only_protected && what == TPD_COPY_PLAIN))
    {
      tpd_copy_count (copy, left, 1);
      return;
    }
  if (copy->options->dry_run)
    {
      count_dry (file, NULL, what);
      return;
    }
  if (copy->options->link_plain && what == TPD_COPY_PLAIN && link_plain (file, &error))
    return;
  if (error == NULL && copy_bytes (file, what, NULL, note, &error))
    return;
  miss (file, error);
}

static gboolean
can_be_raw (const TpdCopy *copy, const TpdFileFacts *facts)
{
  return copy->options->copy_unreadable && !copy->in_place && facts->verdict != TPD_VERDICT_IO_ERROR;
}

/* A protected file that does not open. */
static void
leave_unreadable (File *file, TpdFileFacts *facts)
{
  g_autoptr (GError) error = NULL;

  tpd_copy_miss_facts (file->copy, file->task->path, facts);
  if (!can_be_raw (file->copy, facts))
    return;
  if (file->copy->options->dry_run)
    {
      count_dry (file, facts, TPD_COPY_RAW);
      return;
    }
  /* Under its own name, which no other may have (format/names.h). */
  g_free (file->task->shown);
  g_free (file->task->copy);
  file->task->shown = g_strdup (file->task->name);
  file->task->copy = g_strdup (file->task->path);
  if (!copy_bytes (file, TPD_COPY_RAW, facts, NULL, &error))
    miss (file, error);
}

static void
copy_protected (File *file, TpdSource *tee, TpdProbe *probe)
{
  TpdCopy *copy = file->copy;
  const TpdFileFactsFlags flags = copy->options->dry_run ? TPD_FILE_FACTS_LAZY : TPD_FILE_FACTS_DEFAULT;
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdFileFacts) facts = NULL;

  facts = tpd_file_facts_gather_source (file->task->path, tee, &file->stamp, probe, copy->session, &copy->options->open,
                                        flags);
  if (copy->options->dry_run && (facts->verdict == TPD_VERDICT_KEY_HELD || facts->document != NULL))
    count_dry (file, facts, TPD_COPY_DECRYPTED);
  else if (facts->document == NULL)
    leave_unreadable (file, facts);
  else if (!decrypt (file, tee, facts, &error))
    miss (file, error);
}

/* --- Archives ---------------------------------------------------------- */

static void
write_archive (File *file, TpdSource *tee)
{
  g_autoptr (GPtrArray) lost = g_ptr_array_new_with_free_func (g_free);
  g_auto (TpdZipCopyResult) result = { 0 };
  guint8 plain[TPD_SHA256_SIZE], source[TPD_SHA256_SIZE];
  g_autoptr (GError) error = NULL;
  struct stat made;
  char *tail;

  if (!make_temp (file, &error)
      || !tpd_copy_archive (file->worker, file->task, tee, file->temp_fd, plain, &result, &error)
      || !tpd_tee_finish (tee, file->worker->block, TPD_COPY_BLOCK, source, &error) || !is_unchanged (file, &error))
    {
      miss (file, error);
      return;
    }
  /* In place nothing is left out: an archive is done as a whole or not. */
  if (file->copy->in_place && result.shut > 0)
    return;
  if (!finish_temp (file, result.size, lost, &made, &error))
    {
      miss (file, error);
      return;
    }
  tail = tpd_copy_archive_tail (file->copy, &result, file->stamp.size, source, plain, lost);
  file->proven = result.proven;
  file->again = result.shut > 0;
  file->members = result.decrypted;
  submit (file, TPD_COPY_ARCHIVE, tail, result.size, made.st_ino, plain);
}

/* A plain file that may be an archive. FALSE: it is to be copied as it is. */
static gboolean
copy_archive (File *file, TpdSource *source, TpdSource *tee, const TpdProbe *probe)
{
  TpdCopy *copy = file->copy;
  g_autoptr (GError) error = NULL;
  guint64 protected = 0;

  if (!tpd_zip_copy_count (source, probe, copy->scratch, &protected, &error))
    {
      miss (file, error);
      return TRUE;
    }
  if (protected == 0)
    return FALSE;
  if (!copy->options->containers)
    {
      file->note = tpd_copy_archive_note (protected);
      tpd_copy_count (copy, shut_archives, 1);
      tpd_copy_count (copy, shut_members, protected);
      return FALSE;
    }
  if (copy->options->dry_run)
    count_dry (file, NULL, TPD_COPY_ARCHIVE);
  else
    write_archive (file, tee);
  return TRUE;
}

static void
copy_content (File *file, TpdSource *source)
{
  TpdCopy *copy = file->copy;
  g_autoptr (TpdSource) tee = tpd_tee_new (source, file->worker->small);
  TpdProbe *probe = tpd_probe (tee, NULL);

  if (probe->verdict == TPD_VERDICT_NOT_PROTECTED)
    {
      if (!copy_archive (file, source, tee, probe))
        copy_plain (file, source, TPD_COPY_PLAIN);
    }
  else if (copy->options->open.mail == TPD_MAIL_SOURCE && tpd_kind_is_mail (probe->kind))
    copy_plain (file, source, TPD_COPY_RAW);
  else
    {
      copy_protected (file, tee, g_steal_pointer (&probe));
      return;
    }
  tpd_probe_free (probe);
}

/* --- Files ------------------------------------------------------------- */

static gboolean
is_stub (const TpdCopy *copy, const TpdCopyTask *task, const struct stat *st)
{
  struct statfs fs;

  return st->st_blocks == 0 && st->st_size > STUB_MIN_SIZE && !copy->options->recall
         && fstatfs (task->dir->source_fd, &fs) == 0 && (guint32) fs.f_type != FUSE_MAGIC;
}

/* Copies the regular file of `task`, which is taken over. */
static void
copy_regular (TpdCopyWorker *worker, TpdCopyTask *task, const struct stat *before, gboolean is_first)
{
  File file = { .worker = worker, .copy = worker->copy, .task = task, .temp_fd = -1, .is_first = is_first };
  g_autoptr (TpdSource) source = NULL; /* owns file.fd */
  g_autoptr (GError) error = NULL;

  file.fd = tpd_copy_open_source (task->dir->source_fd, task->name);
  if (file.fd >= 0 && fstat (file.fd, &file.st) == 0)
    source = tpd_source_new_file (file.fd, &file.st);
  if (source == NULL)
    {
      tpd_error_set_errno (&error, errno, "cannot open the file");
      tpd_copy_miss_error (file.copy, task->path, error);
      if (file.fd >= 0)
        close (file.fd);
    }
  else if (!S_ISREG (file.st.st_mode) || file.st.st_ino != before->st_ino)
    {
      g_set_error_literal (&error, TPD_ERROR, TPD_ERROR_STALE, "the file was replaced; the next run reads it");
      tpd_copy_miss_error (file.copy, task->path, error);
    }
  else
    {
      tpd_stamp_from_stat (&file.stamp, &file.st);
      copy_content (&file, source);
    }
  drop_temp (&file);
  g_free (file.note);
  tpd_copy_task_free (file.task);
}

/* Copies what is neither finished nor a link to another copy. */
static void
run_new (TpdCopyWorker *worker, TpdCopyTask *task, const struct stat *st, gboolean is_first)
{
  g_autoptr (GError) error = NULL;

  if (!is_stub (worker->copy, task, st))
    {
      copy_regular (worker, task, st, is_first);
      return;
    }
  g_set_error_literal (&error, TPD_ERROR, TPD_ERROR_OFFLINE,
                       "its content is not stored here but on another medium (offline); --recall reads it");
  tpd_copy_miss_error (worker->copy, task->path, error);
  tpd_copy_task_free (task);
}

/* --- Files with several names ------------------------------------------ */

static int
open_dir_of (const TpdCopy *copy, const char *path, const char **name)
{
  const char *slash = strrchr (path, '/');
  g_autofree char *dir = slash != NULL ? g_strndup (path, (gsize) (slash - path)) : g_strdup ("");

  *name = slash != NULL ? slash + 1 : path;
  return tpd_walk_open_dir (copy->in_place ? copy->source_fd : copy->target_fd, dir);
}

typedef enum { LINKED, NOT_LINKED, CANNOT_LINK } Linked;

/* `other` has the copy `ino`. */
static Linked
make_link (File *file, const char *other, guint64 ino, GError **error)
{
  const char *name;
  struct stat st;
  int fd = open_dir_of (file->copy, other, &name);
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
  File file = { .worker = worker, .copy = copy, .task = task, .st = *st, .fd = -1, .temp_fd = -1 };
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
      copy_regular (worker, task, st, TRUE);
      return;
    }
  if (linked == LINKED)
    submit (&file, TPD_COPY_LINK, g_strndup (rest, len - 1), done->mark.copy_size, done->mark.copy_ino, NULL);
  else
    miss (&file, error);
  drop_temp (&file);
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
  File file = { .worker = worker, .copy = copy, .task = task, .fd = -1, .temp_fd = -1 };
  g_autoptr (GPtrArray) lost = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  struct stat made;

  tpd_stamp_from_stat (&file.stamp, st);
  file.temp = tpd_copy_temp_name (copy);
  if (symlinkat (target, task->dir->target_fd, file.temp) != 0
      || fstatat (task->dir->target_fd, file.temp, &made, AT_SYMLINK_NOFOLLOW) != 0)
    {
      tpd_error_set_errno (&error, errno, "cannot make the symbolic link");
      miss (&file, error);
    }
  else
    {
      tpd_target_set_link_attributes (task->dir->target_fd, file.temp, st, lost);
      if (lost->len > 0)
        tpd_copy_count (copy, lost, 1);
      submit (&file, TPD_COPY_SYMLINK, tpd_copy_tail_symlink (target, lost), (guint64) len, made.st_ino, NULL);
    }
  drop_temp (&file);
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
      if (is_in_shard (copy, task, &st) && !(copy->options->one_file_system && st.st_dev != copy->source_dev))
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
