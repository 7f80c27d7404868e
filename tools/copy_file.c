/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A regular file of a directory: a finished temporary file beside the place of
 * its copy, and the record that goes with it; or a line that says why there is
 * none.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "format/opaque.h"
#include "tools/copy_archive.h"
#include "tools/copy_names.h"
#include "tools/copy_temp.h"
#include "tools/tee.h"

/* --- Kinds of copies --------------------------------------------------- */

static gboolean
decrypt (TpdCopyFile *file, TpdSource *tee, TpdFileFacts *facts, GError **error)
{
  g_autoptr (GPtrArray) lost = g_ptr_array_new_with_free_func (g_free);
  guint8 plain[TPD_SHA256_SIZE], source[TPD_SHA256_SIZE];
  struct stat made;

  if (!tpd_copy_make_temp (file, error)
      || !tpd_copy_document (facts->document, file->temp_fd, file->worker->block, plain, error)
      || !tpd_tee_finish (tee, file->worker->block, TPD_COPY_BLOCK, source, error)
      || !tpd_copy_is_unchanged (file, error)
      || !tpd_copy_finish_temp (file, facts->document->plain_size, lost, &made, error))
    return FALSE;
  facts->plain_sha256 = tpd_hex (plain, sizeof plain);
  facts->source_sha256 = tpd_hex (source, sizeof source);
  facts->verdict = TPD_VERDICT_OK;
  file->proven = facts->document->proof == TPD_PROOF_PROVEN;
  tpd_copy_submit_file (file, TPD_COPY_DECRYPTED, tpd_copy_tail_facts (facts, lost), facts->document->plain_size,
                        made.st_ino, plain);
  return TRUE;
}

/* The bytes as they are. `facts`: of a protected file that is not opened. */
static gboolean
copy_bytes (TpdCopyFile *file, TpdCopyWhat what, TpdFileFacts *facts, const char *note, GError **error)
{
  g_autoptr (GPtrArray) lost = g_ptr_array_new_with_free_func (g_free);
  guint8 digest[TPD_SHA256_SIZE];
  g_autofree char *hex = NULL;
  struct stat made;
  char *tail;

  if (!tpd_copy_make_temp (file, error)
      || !tpd_copy_plain (file->fd, file->stamp.size, file->temp_fd, file->worker->block, digest, error)
      || !tpd_copy_is_unchanged (file, error) || !tpd_copy_finish_temp (file, file->stamp.size, lost, &made, error))
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
  tpd_copy_submit_file (file, what, tail, file->stamp.size, made.st_ino, digest);
  return TRUE;
}

/* Another name for the file itself. FALSE without error: it has to be copied. */
static gboolean
link_plain (TpdCopyFile *file, GError **error)
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
  tpd_copy_submit_file (file, TPD_COPY_PLAIN, tpd_copy_tail_plain (size, hex, file->note, lost), size, st.st_ino,
                        digest);
  return TRUE;
}

static void
count_dry (TpdCopyFile *file, const TpdFileFacts *facts, TpdCopyWhat what)
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
copy_plain (TpdCopyFile *file, TpdCopyWhat what)
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
  tpd_copy_miss_file (file, error);
}

static gboolean
can_be_raw (const TpdCopy *copy, const TpdFileFacts *facts)
{
  return copy->options->copy_unreadable && !copy->in_place && facts->verdict != TPD_VERDICT_IO_ERROR;
}

/* A protected file that does not open. */
static void
leave_unreadable (TpdCopyFile *file, TpdFileFacts *facts)
{
  g_autoptr (GError) error = NULL;

  tpd_copy_miss_facts (file->copy, file->task->path, facts);
  file->task->missed = TRUE;
  if (!can_be_raw (file->copy, facts))
    return;
  if (file->copy->options->dry_run)
    {
      count_dry (file, facts, TPD_COPY_RAW);
      return;
    }
  /* Under its own name, which no other may have (format/names.h). */
  tpd_copy_task_keep_name (file->task);
  file->again = TRUE;
  if (!copy_bytes (file, TPD_COPY_RAW, facts, NULL, &error))
    tpd_copy_miss_file (file, error);
}

static TpdFileFactsFlags
facts_flags (const TpdCopy *copy)
{
  return copy->options->dry_run ? TPD_FILE_FACTS_LAZY : TPD_FILE_FACTS_DEFAULT;
}

/* With what was said to its request, if it awaited a key. */
static void
end_protected (TpdCopyFile *file, const TpdUnwrapReply *reply)
{
  TpdCopy *copy = file->copy;
  TpdFileFacts *facts = file->facts;
  g_autoptr (GError) error = NULL;

  tpd_file_facts_end (facts, copy->session, &copy->options->open, facts_flags (copy), reply);
  if (copy->options->dry_run && (facts->verdict == TPD_VERDICT_KEY_HELD || facts->document != NULL))
    count_dry (file, facts, TPD_COPY_DECRYPTED);
  else if (facts->document == NULL)
    leave_unreadable (file, facts);
  else if (!decrypt (file, file->tee, facts, &error))
    tpd_copy_miss_file (file, error);
}

/* Takes over `probe`. A small file that awaits its key is left to wait for it. */
static void
begin_protected (TpdCopyFile *file, TpdProbe *probe)
{
  TpdCopy *copy = file->copy;
  g_auto (TpdUnwrapReply) reply = { 0 };

  file->facts = tpd_file_facts_begin (file->task->path, file->tee, &file->stamp, probe, copy->session,
                                      &copy->options->open, facts_flags (copy), &file->request);
  if (file->facts->awaits_key && file->stamp.size <= TPD_TEE_SMALL)
    return;
  if (file->facts->awaits_key)
    tpd_unwrapper_unwrap (copy->session->unwrapper, &file->request, &reply);
  end_protected (file, &reply);
}

/* --- Archives ---------------------------------------------------------- */

static void
write_archive (TpdCopyFile *file, TpdSource *tee, const TpdContainerLook *look)
{
  g_autoptr (GPtrArray) lost = g_ptr_array_new_with_free_func (g_free);
  g_auto (TpdZipCopyResult) result = { 0 };
  guint8 plain[TPD_SHA256_SIZE], source[TPD_SHA256_SIZE];
  g_autoptr (GError) error = NULL;
  struct stat made;
  char *tail;

  if (!tpd_copy_make_temp (file, &error)
      || !tpd_copy_archive (file->worker, file->task, tee, file->temp_fd, plain, &result, &error)
      || !tpd_tee_finish (tee, file->worker->block, TPD_COPY_BLOCK, source, &error)
      || !tpd_copy_is_unchanged (file, &error))
    {
      tpd_copy_miss_file (file, error);
      return;
    }
  /* In place nothing is left out: an archive is done as a whole or not. */
  if (file->copy->in_place && result.shut > 0)
    return;
  if (!tpd_copy_finish_temp (file, result.size, lost, &made, &error))
    {
      tpd_copy_miss_file (file, error);
      return;
    }
  tail = tpd_copy_archive_tail (file->copy, &result, look, file->stamp.size, source, plain, lost);
  file->proven = result.proven;
  file->again = result.shut > 0;
  file->members = result.decrypted;
  tpd_copy_submit_file (file, TPD_COPY_ARCHIVE, tail, result.size, made.st_ino, plain);
}

static void
count_dry_archive (TpdCopyFile *file, const TpdCopyDryArchive *dry)
{
  if (file->copy->in_place && dry->shut > 0)
    return;
  count_dry (file, NULL, TPD_COPY_ARCHIVE);
  tpd_copy_count (file->copy, members, dry->opening);
}

/* A plain file that may be an archive. FALSE: it is to be copied as it is. */
static gboolean
copy_archive (TpdCopyFile *file, TpdSource *source, TpdSource *tee, const TpdProbe *probe)
{
  TpdCopy *copy = file->copy;
  g_autoptr (GError) error = NULL;
  TpdCopyDryArchive dry = { 0 };
  TpdContainerLook look;

  if (!tpd_copy_archive_look (copy, file->task, source, probe, &look, &dry, &error))
    {
      if (copy->options->containers)
        {
          tpd_copy_miss_file (file, error);
          return TRUE;
        }
      /* It need not be looked into to be copied. */
      look.complete = FALSE;
    }
  if (!look.complete)
    tpd_copy_count (copy, partly, 1);
  if (look.protected == 0 || !copy->options->containers)
    {
      file->note = tpd_copy_archive_note (&look);
      if (look.protected > 0)
        {
          tpd_copy_count (copy, shut_archives, 1);
          tpd_copy_count (copy, shut_members, look.protected);
        }
      return FALSE;
    }
  if (copy->options->dry_run)
    count_dry_archive (file, &dry);
  else
    write_archive (file, tee, &look);
  return TRUE;
}

/* A plain mail with a protected one in it is copied as it is, and that is said. */
static void
note_mail (TpdCopyFile *file, TpdProbe *probe)
{
  TpdOpaque opaque;

  if (file->note != NULL || !tpd_opaque_searches (probe) || !tpd_opaque_look (file->source, probe, &opaque, NULL)
      || (opaque != TPD_OPAQUE_MAIL && opaque != TPD_OPAQUE_MBOX))
    return;
  tpd_opaque_warn (probe, opaque);
  file->note = g_strdup (probe->warnings[0]);
}

static void
copy_content (TpdCopyFile *file)
{
  TpdCopy *copy = file->copy;
  TpdProbe *probe;

  file->tee = tpd_tee_new (file->source, file->worker->small + (gsize) file->worker->n_waiting * TPD_TEE_SMALL);
  probe = tpd_probe (file->tee, NULL);
  if (probe->verdict == TPD_VERDICT_NOT_PROTECTED)
    {
      if (!copy_archive (file, file->source, file->tee, probe))
        {
          note_mail (file, probe);
          copy_plain (file, TPD_COPY_PLAIN);
        }
    }
  else if (copy->options->open.mail == TPD_MAIL_SOURCE && tpd_kind_is_mail (probe->kind))
    copy_plain (file, TPD_COPY_RAW);
  else
    {
      begin_protected (file, probe);
      return;
    }
  tpd_probe_free (probe);
}

/* --- Files ------------------------------------------------------------- */

static void
open_file (TpdCopyFile *file, const struct stat *before)
{
  g_autoptr (GError) error = NULL;

  file->fd = tpd_copy_open_source (file->task->dir->source_fd, file->task->name);
  if (file->fd >= 0 && fstat (file->fd, &file->st) == 0)
    file->source = tpd_source_new_file (file->fd, &file->st);
  if (file->source == NULL)
    {
      tpd_error_set_errno (&error, errno, "cannot open the file");
      tpd_copy_miss_error (file->copy, file->task->path, error);
      if (file->fd >= 0)
        close (file->fd);
    }
  else if (!S_ISREG (file->st.st_mode) || file->st.st_ino != before->st_ino)
    {
      g_set_error_literal (&error, TPD_ERROR, TPD_ERROR_STALE, "the file was replaced; the next run reads it");
      tpd_copy_miss_error (file->copy, file->task->path, error);
    }
  else
    {
      tpd_stamp_from_stat (&file->stamp, &file->st);
      copy_content (file);
    }
}

static void
close_file (TpdCopyFile *file)
{
  tpd_copy_drop_temp (file);
  g_clear_pointer (&file->facts, tpd_file_facts_free);
  g_clear_pointer (&file->tee, tpd_source_unref);
  g_clear_pointer (&file->source, tpd_source_unref);
  g_free (file->note);
  tpd_copy_task_free (file->task);
}

void
tpd_copy_regular (TpdCopyWorker *worker, TpdCopyTask *task, const struct stat *before, gboolean is_first)
{
  TpdCopyFile file = { .worker = worker, .copy = worker->copy, .task = task, .temp_fd = -1, .is_first = is_first };

  open_file (&file, before);
  if (file.facts != NULL && file.facts->awaits_key)
    worker->waiting[worker->n_waiting++] = file;
  else
    close_file (&file);
}

void
tpd_copy_end_waiting (TpdCopyWorker *worker)
{
  TpdUnwrapRequest requests[TPD_UNWRAP_MANY];
  TpdUnwrapReply replies[TPD_UNWRAP_MANY];

  for (guint i = 0; i < worker->n_waiting; i++)
    requests[i] = worker->waiting[i].request;
  tpd_unwrapper_unwrap_many (worker->copy->session->unwrapper, requests, worker->n_waiting, replies);
  for (guint i = 0; i < worker->n_waiting; i++)
    {
      end_protected (&worker->waiting[i], &replies[i]);
      tpd_unwrap_reply_clear (&replies[i]);
      close_file (&worker->waiting[i]);
    }
  worker->n_waiting = 0;
}
