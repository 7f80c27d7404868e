/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpd verify: are the copies what the manifest says? Every file is read and
 * hashed; with --against it is decrypted once more and compared. Only what was
 * written is judged: files that came later are nobody's fault.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "crypto/secret.h"
#include "tools/common.h"
#include "tools/copy_data.h"
#include "tools/copy_zip.h"
#include "tools/facts.h"
#include "tools/progress.h"
#include "tools/state.h"
#include "tools/target.h"
#include "tools/tee.h"
#include "tools/walk.h"

#define MAX_QUEUE 1024

static const TpdCommandHelp help = {
  "DST",
  "Reads the copies that tpd materialize wrote to DST and compares them with its\n"
  "manifest.",
};

typedef struct {
  char *against, *digest;
  gboolean merge;
  guint jobs;
  TpdState *state;
  int copies_fd, against_fd;
  TpdScratchPool *scratch;
} Arguments;

typedef struct {
  const Arguments *arguments;
  const TpdCommon *common;
  const TpdSession *session;
  TpdProgress progress;

  GMutex lock;
  GCond changed;
  GQueue lines; /* of char *, under lock, as all below */
  gboolean read;
  guint64 good, bytes, missing, changed_files, failed;
} Verify;

typedef struct {
  Verify *verify;
  guint8 *block;
} Worker;

static void
arguments_clear (Arguments *arguments)
{
  g_clear_pointer (&arguments->state, tpd_state_free);
  tpd_scratch_pool_free (arguments->scratch);
  if (arguments->copies_fd >= 0)
    close (arguments->copies_fd);
  if (arguments->against_fd >= 0)
    close (arguments->against_fd);
  g_free (arguments->against);
  g_free (arguments->digest);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Arguments, arguments_clear)

/* --- One file ---------------------------------------------------------- */

typedef enum {
  GOOD,
  MISSING,
  CHANGED,
  FAILED,
} Result;

static const char *const result_words[] = { "ok", "missing", "changed", "failed" };

static Result
result_of_errno (int errnum, char **message)
{
  if (errnum == ENOENT || errnum == ENOTDIR)
    {
      *message = g_strdup ("it is not there");
      return MISSING;
    }
  if (errnum == ELOOP || errnum == EINVAL)
    {
      *message = g_strdup ("it is no longer what was written");
      return CHANGED;
    }
  *message = g_strdup_printf ("cannot read it: %s", g_strerror (errnum));
  return FAILED;
}

static Result
check_link (const TpdManifestRecord *record, int dir_fd, const char *name, char **message)
{
  g_autofree char *target = g_malloc0 (PATH_MAX + 1);
  gssize n = readlinkat (dir_fd, name, target, PATH_MAX);

  if (n < 0)
    return result_of_errno (errno, message);
  if (g_strcmp0 (target, record->target) == 0)
    return GOOD;
  *message = g_strdup ("the symbolic link leads elsewhere");
  return CHANGED;
}

static Result
check_bytes (Worker *worker, const TpdManifestRecord *record, int fd, char **message)
{
  g_autoptr (GError) error = NULL;
  guint8 digest[TPD_SHA256_SIZE];
  g_autofree char *hex = NULL;
  guint64 size;

  if (!tpd_copy_hash (fd, worker->block, &size, digest, &error))
    {
      *message = g_strdup (error->message);
      return FAILED;
    }
  tpd_progress_add (&worker->verify->progress, 0, size);
  hex = tpd_hex (digest, sizeof digest);
  if (size != record->plain_size)
    *message = g_strdup_printf ("it has %" G_GUINT64_FORMAT " bytes, but %" G_GUINT64_FORMAT " were written", size,
                                record->plain_size);
  else if (g_strcmp0 (hex, record->plain_sha256) != 0)
    *message = g_strdup ("it has other bytes than were written");
  return *message == NULL ? GOOD : CHANGED;
}

static Result
check_copy (Worker *worker, const TpdManifestRecord *record, char **message)
{
  const char *name;
  int dir_fd = tpd_walk_open_parent (worker->verify->arguments->copies_fd, record->copy, &name);
  Result result;
  int fd;

  if (dir_fd < 0)
    return result_of_errno (errno, message);
  if (strcmp (record->kind, "symlink") == 0)
    result = check_link (record, dir_fd, name, message);
  else
    {
      fd = tpd_target_open_file (dir_fd, name);
      result = fd >= 0 ? check_bytes (worker, record, fd, message) : result_of_errno (errno, message);
      if (fd >= 0)
        close (fd);
    }
  close (dir_fd);
  return result;
}

/* --- Against the source ------------------------------------------------ */

static gboolean
hash_document (Worker *worker, TpdDocument *document, char **hex, GError **error)
{
  TpdDigest *sum = tpd_digest_new (TPD_SHA256_SIZE);
  guint8 digest[TPD_SHA256_SIZE];
  guint64 off = 0;
  gssize n;

  while ((n = tpd_document_pread (document, worker->block, TPD_COPY_BLOCK, off, error)) > 0)
    {
      tpd_digest_update (sum, worker->block, (gsize) n);
      off += (guint64) n;
    }
  tpd_digest_finish (sum, digest);
  *hex = tpd_hex (digest, sizeof digest);
  return n == 0;
}

static gboolean
hash_piece (gpointer data, const void *bytes, gsize len, GError **error)
{
  tpd_digest_update (data, bytes, len);
  return TRUE;
}

/* An archive that was written anew is written once more, to nowhere. */
static gboolean
hash_archive (Worker *worker, const TpdManifestRecord *record, TpdSource *source, char **hex, GError **error)
{
  const Verify *verify = worker->verify;
  const TpdNameRules names = { record->pext, verify->common->open.mail };
  const TpdZipCopyOptions options = {
    .session = verify->session,
    .open = &verify->common->open,
    .names = &names,
    .scratch = verify->arguments->scratch,
    .keep = record->keep,
    .path = record->path,
    .block = worker->block,
  };
  g_auto (TpdZipCopyResult) result = { 0 };
  TpdDigest *sum = tpd_digest_new (TPD_SHA256_SIZE);
  guint8 digest[TPD_SHA256_SIZE];
  gboolean good = tpd_zip_copy (source, &options, hash_piece, sum, &result, error);

  tpd_digest_finish (sum, digest);
  *hex = tpd_hex (digest, sizeof digest);
  return good;
}

/* What the source gives today: the digests of its bytes and its plaintext. */
static gboolean
read_source (Worker *worker, const TpdManifestRecord *record, TpdSource *source, const TpdStamp *stamp,
             char **source_hex, char **plain_hex, GError **error)
{
  Verify *verify = worker->verify;
  g_autoptr (TpdSource) tee = tpd_tee_new (source, NULL);
  g_autoptr (TpdFileFacts) facts = NULL;
  guint8 digest[TPD_SHA256_SIZE];

  if (record->archive)
    {
      if (!hash_archive (worker, record, tee, plain_hex, error))
        return FALSE;
    }
  else if (record->decrypted)
    {
      facts = tpd_file_facts_gather_source (record->path, tee, stamp, tpd_probe (tee, NULL), verify->session,
                                            &verify->common->open, TPD_FILE_FACTS_DEFAULT);
      if (facts->document == NULL)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "its source does not open now: %s: %s",
                       tpd_verdict_word (facts->verdict), facts->message != NULL ? facts->message : "");
          return FALSE;
        }
      if (!hash_document (worker, facts->document, plain_hex, error))
        return FALSE;
    }
  if (!tpd_tee_finish (tee, worker->block, TPD_COPY_BLOCK, digest, error)
      || !tpd_input_check_unchanged (source, stamp, error))
    return FALSE;
  *source_hex = tpd_hex (digest, sizeof digest);
  if (*plain_hex == NULL)
    *plain_hex = g_strdup (*source_hex);
  return TRUE;
}

static Result
compare_source (Worker *worker, const TpdManifestRecord *record, int fd, char **message)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) source = NULL;
  g_autofree char *source_hex = NULL, *plain_hex = NULL;
  struct stat st;
  TpdStamp stamp;

  if (fstat (fd, &st) != 0)
    st.st_mode = 0;
  tpd_stamp_from_stat (&stamp, &st);
  source = tpd_source_new_fd (fd, &error);
  if (source == NULL || !read_source (worker, record, source, &stamp, &source_hex, &plain_hex, &error))
    {
      *message = g_strdup (error->message);
      return FAILED;
    }
  if (g_strcmp0 (source_hex, record->source_sha256) != 0)
    *message = g_strdup ("its source has been changed since");
  else if (g_strcmp0 (plain_hex, record->plain_sha256) != 0)
    *message = g_strdup ("decrypted again, its source gives other bytes than were written");
  return *message == NULL ? GOOD : CHANGED;
}

static Result
check_source (Worker *worker, const TpdManifestRecord *record, char **message)
{
  const char *name;
  int dir_fd, fd;

  if (worker->verify->arguments->against_fd < 0 || strcmp (record->kind, "symlink") == 0)
    return GOOD;
  dir_fd = tpd_walk_open_parent (worker->verify->arguments->against_fd, record->path, &name);
  fd = dir_fd >= 0 ? tpd_target_open_file (dir_fd, name) : -1;
  if (fd < 0)
    *message = g_strdup_printf ("its source, %s, cannot be read: %s", record->path, g_strerror (errno));
  if (dir_fd >= 0)
    close (dir_fd);
  return fd >= 0 ? compare_source (worker, record, fd, message) : FAILED;
}

/* --- Threads ----------------------------------------------------------- */

static void
tell (Worker *worker, const char *path, const char *copy, Result result, const char *message)
{
  Verify *verify = worker->verify;
  g_auto (TpdJson) json = { 0 };

  tpd_progress_add (&verify->progress, 1, 0);
  g_mutex_lock (&verify->lock);
  verify->good += result == GOOD;
  verify->missing += result == MISSING;
  verify->changed_files += result == CHANGED;
  verify->failed += result == FAILED;
  if (verify->common->json)
    {
      tpd_json_init (&json);
      tpd_json_begin_object (&json, NULL);
      tpd_manifest_put_path (&json, path);
      if (copy != NULL)
        tpd_manifest_put_copy (&json, copy);
      tpd_json_string (&json, "result", result_words[result]);
      tpd_json_string (&json, "message", message);
      tpd_json_end_object (&json);
      tpd_json_print (&json);
    }
  g_mutex_unlock (&verify->lock);
  if (result != GOOD)
    tpd_progress_tell (&verify->progress, TPD_LOG_ERROR, "%s: %s: %s", copy != NULL ? copy : path, result_words[result],
                       message);
}

static void
check_line (Worker *worker, const char *line)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdManifestRecord) record = tpd_manifest_record_parse (line, strlen (line), &error);
  g_autofree char *message = NULL;
  Result result;

  if (record == NULL || record->copy == NULL)
    {
      tell (worker, "?", NULL, FAILED, error != NULL ? error->message : "a line of the manifest names no copy");
      return;
    }
  result = check_copy (worker, record, &message);
  if (result == GOOD)
    result = check_source (worker, record, &message);
  tell (worker, record->path, record->copy, result, message);
}

static gpointer
work (gpointer data)
{
  Verify *verify = data;
  Worker worker = { verify, g_malloc (TPD_COPY_BLOCK) };

  for (;;)
    {
      g_autofree char *line = NULL;

      g_mutex_lock (&verify->lock);
      while ((line = g_queue_pop_head (&verify->lines)) == NULL && !verify->read)
        g_cond_wait (&verify->changed, &verify->lock);
      g_cond_broadcast (&verify->changed);
      g_mutex_unlock (&verify->lock);
      if (line == NULL)
        break;
      check_line (&worker, line);
    }
  tpd_wipe (worker.block, TPD_COPY_BLOCK);
  g_free (worker.block);
  return NULL;
}

static gboolean
push_line (gpointer data, const char *line, gsize len, guint64 offset, GError **error)
{
  Verify *verify = data;

  tpd_progress_draw (&verify->progress);
  g_mutex_lock (&verify->lock);
  while (verify->lines.length >= MAX_QUEUE)
    g_cond_wait (&verify->changed, &verify->lock);
  g_queue_push_tail (&verify->lines, g_strndup (line, len));
  g_cond_broadcast (&verify->changed);
  g_mutex_unlock (&verify->lock);
  return TRUE;
}

/* --- Manifests --------------------------------------------------------- */

static gboolean
push_manifest (Verify *verify, const char *name, GError **error)
{
  const Arguments *arguments = verify->arguments;
  guint8 *block = g_malloc (TPD_COPY_BLOCK), digest[TPD_SHA256_SIZE];
  int fd = tpd_state_open_manifest (arguments->state, name, error);
  g_autofree char *hex = NULL;
  guint64 size;
  gboolean good = fd >= 0 && tpd_copy_hash (fd, block, &size, digest, error);

  g_free (block);
  if (good)
    {
      hex = tpd_hex (digest, sizeof digest);
      if (!verify->common->json && !verify->common->quiet)
        printf ("SHA-256 of %s: %s\n", name, hex);
      good = arguments->digest == NULL || g_ascii_strcasecmp (arguments->digest, hex) == 0;
      if (!good)
        g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                     "the manifest is not the one of --manifest-sha256: its SHA-256 is %s", hex);
    }
  good = good && tpd_manifest_each (fd, push_line, verify, error);
  if (fd >= 0)
    close (fd);
  return good;
}

static gboolean
push_all (Verify *verify, GError **error)
{
  const TpdState *state = verify->arguments->state;
  gboolean good = TRUE;

  for (guint i = 0; good && i < state->names->len; i++)
    good = push_manifest (verify, g_ptr_array_index (state->names, i), error);
  return good;
}

static void
tell_totals (const Verify *verify)
{
  const guint64 numbers[] = { verify->good, verify->missing, verify->changed_files, verify->failed };
  static const char *const words[] = { "As written:", "Missing:", "Changed:", "Failed:" };

  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      g_autofree char *number = tpd_progress_number (numbers[i]);

      if (i == 0 || numbers[i] > 0)
        printf ("%-12s %s\n", words[i], number);
    }
}

/* Of these nothing is said above: nothing was written. */
static gboolean
tell_not_copied (const Verify *verify)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *number = NULL;
  guint64 n;

  if (!tpd_state_count_missing (verify->arguments->state, &n, &error))
    {
      tpd_error ("%s", error->message);
      return FALSE;
    }
  number = tpd_progress_number (n);
  if (n > 0)
    printf ("%s in the source had no plaintext copy when this was made: see MISSING.jsonl\n", number);
  return TRUE;
}

static TpdExit
verify_all (Verify *verify)
{
  g_autoptr (GPtrArray) threads = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  const TpdState *state = verify->arguments->state;
  gboolean good;

  for (guint i = 0; i < verify->common->jobs; i++)
    g_ptr_array_add (threads, g_thread_new ("verify", work, verify));
  good = push_all (verify, &error);
  g_mutex_lock (&verify->lock);
  verify->read = TRUE;
  g_cond_broadcast (&verify->changed);
  g_mutex_unlock (&verify->lock);
  for (guint i = 0; i < threads->len; i++)
    g_thread_join (g_ptr_array_index (threads, i));
  tpd_progress_hide (&verify->progress);
  if (!good)
    tpd_error ("%s", error->message);
  if (state->n_missing > 0)
    tpd_error ("%u of %u parts have no manifest yet", state->n_missing, state->shards);
  if (!verify->common->json && !verify->common->quiet)
    {
      tell_totals (verify);
      good = tell_not_copied (verify) && good;
    }
  good = good && state->n_missing == 0 && verify->missing + verify->changed_files + verify->failed == 0;
  return good ? TPD_EXIT_OK : TPD_EXIT_FAILED;
}

static TpdExit
verify (const Arguments *arguments, const TpdCommon *common, const TpdSession *session)
{
  Verify job = { .arguments = arguments, .common = common, .session = session };
  TpdExit status;

  tpd_progress_init (&job.progress, "verify", common->quiet);
  g_mutex_init (&job.lock);
  g_cond_init (&job.changed);
  g_queue_init (&job.lines);
  status = verify_all (&job);
  g_queue_clear_full (&job.lines, g_free);
  g_cond_clear (&job.changed);
  g_mutex_clear (&job.lock);
  tpd_progress_clear (&job.progress);
  return tpd_output_finish (status);
}

static int
open_dir (const char *path, GError **error)
{
  int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    tpd_error_set_errno (error, errno, "cannot open %s", path);
  return fd;
}

/* Joining is done here, while this process may still write. */
static gboolean
open_all (TpdConfinement *reach, gpointer data, GError **error)
{
  Arguments *arguments = data;

  arguments->copies_fd = open_dir (tpd_state_copies (arguments->state), error);
  if (arguments->copies_fd < 0)
    return FALSE;
  tpd_confinement_read (reach, tpd_state_copies (arguments->state));
  if (arguments->against == NULL)
    return TRUE;
  arguments->scratch = tpd_scratch_pool_new (2 * arguments->jobs);
  arguments->against_fd = open_dir (arguments->against, error);
  if (arguments->against_fd >= 0)
    tpd_confinement_read (reach, arguments->against);
  return arguments->against_fd >= 0;
}

TpdExit
tpd_cmd_verify (int argc, char **argv)
{
  g_auto (TpdCommon) common = { 0 };
  g_auto (TpdSession) session = { 0 };
  g_auto (Arguments) arguments = { .copies_fd = -1, .against_fd = -1 };
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = {
    { "against", 0, 0, G_OPTION_ARG_FILENAME, &arguments.against, "Also decrypt the files in SRC again, and compare",
      "SRC" },
    { "merge", 0, 0, G_OPTION_ARG_NONE, &arguments.merge, "Join the manifests of all parts first", NULL },
    { "manifest-sha256", 0, 0, G_OPTION_ARG_STRING, &arguments.digest, "Refuse a manifest with another SHA-256",
      "HEX" },
    { NULL },
  };
  const TpdCommonFlags flags = TPD_COMMON_KEYS | TPD_COMMON_JSON | TPD_COMMON_OPEN | TPD_COMMON_DIR | TPD_COMMON_JOBS;
  TpdExit status;

  if (!tpd_common_parse (&common, flags, &help, entries, argc, argv, &status))
    return status;
  arguments.state = tpd_state_open (common.files[0], arguments.merge, &error);
  if (arguments.state == NULL)
    {
      tpd_error ("%s", error->message);
      return g_error_matches (error, TPD_ERROR, TPD_ERROR_USAGE) ? TPD_EXIT_USAGE : TPD_EXIT_FAILED;
    }
  arguments.jobs = common.jobs;
  common.reach = open_all;
  common.reach_data = &arguments;
  common.no_default_keys = arguments.against == NULL;
  if (!tpd_session_start (&session, &common, TPD_AGENT_DEFAULT, &status))
    return status;
  return verify (&arguments, &common, &session);
}
