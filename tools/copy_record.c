/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of a copy: lines of the manifest and of MISSING.jsonl. They hold
 * nothing that differs between two runs over the same files, so that manifests
 * can be compared. The last member is an array: a line of the journal that was
 * torn cannot pass for a whole one.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "tools/copy_private.h"
#include "tools/report.h"

/* Warnings on standard error; MISSING.jsonl has all. */
#define MAX_TOLD 1000

/* An object in which the members to come are written. */
static void
begin_tail (TpdJson *json)
{
  tpd_json_init (json);
  tpd_json_begin_object (json, NULL);
}

/* ",member..." without the braces. */
static char *
end_tail (TpdJson *json)
{
  json->text->str[0] = ',';
  return g_string_free (g_steal_pointer (&json->text), FALSE);
}

static void
put_head (TpdJson *json, const char *kind, gboolean is_protected, TpdVerdict verdict, const char *message)
{
  tpd_json_uint (json, "schema", TPD_REPORT_SCHEMA);
  tpd_json_string (json, "tool_version", TPDFS_VERSION);
  tpd_json_uint (json, "decoder_version", TPD_DECODER_VERSION);
  tpd_json_string (json, "kind", kind);
  tpd_json_boolean (json, "protected", is_protected);
  tpd_json_string (json, "verdict", tpd_verdict_word (verdict));
  tpd_json_string (json, "message", message);
}

static void
put_facts (TpdJson *json, const TpdFileFacts *facts)
{
  put_head (json, facts->kind, facts->is_protected, facts->verdict, facts->message);
  if (facts->plain_size_known)
    tpd_json_uint (json, "plain_size", facts->plain_size);
  else
    tpd_json_null (json, "plain_size");
  tpd_json_uint (json, "source_size", facts->source_size);
  tpd_report_json_tail (json, facts);
}

char *
tpd_copy_tail_facts (const TpdFileFacts *facts, const GPtrArray *lost)
{
  g_auto (TpdJson) json = { 0 };

  begin_tail (&json);
  put_facts (&json, facts);
  tpd_json_string_array (&json, "attributes_lost", lost);
  return end_tail (&json);
}

char *
tpd_copy_tail_plain (guint64 size, const char *sha256, const char *note, const GPtrArray *lost)
{
  g_auto (TpdJson) json = { 0 };

  begin_tail (&json);
  put_head (&json, tpd_kind_word (TPD_KIND_PLAIN), FALSE, TPD_VERDICT_NOT_PROTECTED, note);
  tpd_json_uint (&json, "plain_size", size);
  tpd_json_uint (&json, "source_size", size);
  tpd_json_string (&json, "source_sha256", sha256);
  tpd_json_string (&json, "plain_sha256", sha256);
  tpd_json_string_array (&json, "attributes_lost", lost);
  return end_tail (&json);
}

char *
tpd_copy_tail_archive (const TpdCopyArchive *archive, const GPtrArray *lost)
{
  g_autofree char *pext = archive->pext != NULL ? g_strjoinv (",", (char **) archive->pext) : NULL;
  g_auto (TpdJson) json = { 0 };

  begin_tail (&json);
  put_head (&json, tpd_kind_word (TPD_KIND_ZIP), TRUE, TPD_VERDICT_OK, archive->message);
  tpd_json_uint (&json, "plain_size", archive->plain_size);
  tpd_json_uint (&json, "source_size", archive->source_size);
  tpd_json_string (&json, "proof", archive->proof);
  tpd_json_string (&json, "source_sha256", archive->source_sha256);
  tpd_json_string (&json, "plain_sha256", archive->plain_sha256);
  /* What its bytes depend on besides the source and the keys. */
  tpd_json_string (&json, "unreadable", archive->keep ? "copy" : "skip");
  tpd_json_string (&json, "pext", pext);
  tpd_json_begin_array (&json, "members");
  g_string_append (json.text, archive->members);
  tpd_json_end_array (&json);
  tpd_json_string_array (&json, "attributes_lost", lost);
  return end_tail (&json);
}

char *
tpd_copy_tail_symlink (const char *target, const GPtrArray *lost)
{
  g_auto (TpdJson) json = { 0 };

  begin_tail (&json);
  put_head (&json, "symlink", FALSE, TPD_VERDICT_NOT_PROTECTED, NULL);
  tpd_json_string (&json, "target", target);
  if (!g_utf8_validate (target, -1, NULL))
    {
      g_autofree char *base64 = g_base64_encode ((const guchar *) target, strlen (target));
      tpd_json_string (&json, "target_b64", base64);
    }
  tpd_json_string_array (&json, "attributes_lost", lost);
  return end_tail (&json);
}

char *
tpd_copy_record (const char *path, const char *copy, const char *tail)
{
  g_auto (TpdJson) json = { 0 };

  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_manifest_put_path (&json, path);
  if (copy != NULL)
    tpd_manifest_put_copy (&json, copy);
  g_string_append (json.text, tail);
  g_string_append_c (json.text, '}');
  return g_string_free (g_steal_pointer (&json.text), FALSE);
}

/* --- What is missing --------------------------------------------------- */

static void
write_missing (TpdCopy *copy, const char *record)
{
  g_autofree char *line = g_strconcat (record, "\n", NULL);
  GError *error = NULL;

  copy->n_missing++;
  if (copy->missing_fd < 0 || tpd_write_all (copy->missing_fd, line, strlen (line)))
    return;
  tpd_error_set_errno (&error, errno, "cannot write the list of what is missing");
  tpd_copy_stop (copy, error);
}

void
tpd_copy_print (TpdCopy *copy, const char *record)
{
  g_autofree char *line = NULL;

  if (!copy->options->json)
    return;
  line = g_strconcat (record, "\n", NULL);
  g_mutex_lock (&copy->out_lock);
  (void) tpd_output_write (line, strlen (line));
  g_mutex_unlock (&copy->out_lock);
}

static void
miss (TpdCopy *copy, const char *path, const char *tail, TpdLogLevel level, const char *reason, const char *message)
{
  g_autofree char *record = tpd_copy_record (path, NULL, tail);
  gboolean tell;

  g_mutex_lock (&copy->out_lock);
  write_missing (copy, record);
  tell = level == TPD_LOG_DEBUG || copy->n_told++ < MAX_TOLD;
  if (level != TPD_LOG_DEBUG && copy->n_told == MAX_TOLD + 1)
    tpd_progress_tell (copy->progress, TPD_LOG_WARNING, "more of these are only in the list MISSING.jsonl");
  g_mutex_unlock (&copy->out_lock);
  if (tell)
    tpd_progress_tell (copy->progress, level, "%s: %s: %s", path, reason, message != NULL ? message : "");
  tpd_copy_print (copy, record);
}

void
tpd_copy_miss_facts (TpdCopy *copy, const char *path, const TpdFileFacts *facts)
{
  const char *word = tpd_verdict_word (facts->verdict);
  g_auto (TpdJson) json = { 0 };
  g_autofree char *tail = NULL;

  begin_tail (&json);
  tpd_json_string (&json, "reason", word);
  put_facts (&json, facts);
  tail = end_tail (&json);
  miss (copy, path, tail, TPD_LOG_WARNING, word, facts->message);
  tpd_copy_count (copy, failed, 1);
}

void
tpd_copy_miss_other (TpdCopy *copy, TpdCopyTask *task, const TpdManifestRecord *record, const char *tail)
{
  g_auto (TpdJson) json = { 0 };
  g_autofree char *reason = NULL;
  g_autofree char *whole = NULL;

  if (!record->is_protected || record->decrypted || record->verdict == NULL)
    return;
  begin_tail (&json);
  tpd_json_string (&json, "reason", record->verdict);
  reason = end_tail (&json);
  whole = g_strconcat (reason, tail, NULL);
  miss (copy, task->path, whole, TPD_LOG_WARNING, record->verdict, record->message);
  tpd_copy_count (copy, failed, 1);
  task->missed = TRUE;
}

/* Whether the disk was full, once more: the next file will hardly have room either. */
static gboolean
is_no_news (TpdCopy *copy, const GError *error)
{
  const int code = tpd_error_get_errno (error);
  gboolean again;

  if (code != ENOSPC && code != EDQUOT)
    return FALSE;
  g_mutex_lock (&copy->out_lock);
  again = copy->n_no_room++ > 0;
  g_mutex_unlock (&copy->out_lock);
  return again;
}

void
tpd_copy_tell_no_room (TpdCopy *copy, gboolean listed)
{
  const guint more = copy->n_no_room > 0 ? copy->n_no_room - 1 : 0;

  if (more > 0)
    tpd_progress_tell (copy->progress, TPD_LOG_WARNING, "there was no room for %u more file%s%s", more,
                       more > 1 ? "s" : "", listed ? ", which the list MISSING.jsonl names" : "");
}

static void
miss_word (TpdCopy *copy, const char *path, TpdLogLevel level, const char *reason, const char *message)
{
  g_auto (TpdJson) json = { 0 };
  g_autofree char *tail = NULL;

  begin_tail (&json);
  tpd_json_string (&json, "reason", reason);
  tpd_json_uint (&json, "schema", TPD_REPORT_SCHEMA);
  tpd_json_string (&json, "message", message);
  tail = end_tail (&json);
  miss (copy, path, tail, level, reason, message);
}

void
tpd_copy_miss_error (TpdCopy *copy, const char *path, const GError *error)
{
  const char *word = tpd_verdict_word (tpd_verdict_from_error (error));

  miss_word (copy, path, is_no_news (copy, error) ? TPD_LOG_DEBUG : TPD_LOG_WARNING, word, error->message);
  tpd_copy_count (copy, failed, 1);
}

void
tpd_copy_miss_task (TpdCopy *copy, TpdCopyTask *task, const GError *error)
{
  if (task->missed)
    tpd_progress_tell (copy->progress, is_no_news (copy, error) ? TPD_LOG_DEBUG : TPD_LOG_WARNING,
                       "%s: not copied as it is either: %s", task->path, error->message);
  else
    tpd_copy_miss_error (copy, task->path, error);
  task->missed = TRUE;
}

void
tpd_copy_miss_reason (TpdCopy *copy, const char *path, const char *reason, const char *message)
{
  miss_word (copy, path, TPD_LOG_DEBUG, reason, message);
}
