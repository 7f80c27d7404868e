/* SPDX-License-Identifier: Apache-2.0 */
/* Beginning and end of a copy: see copy_finish.h. */
#include "tools/copy_finish.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "tools/copy_private.h"

/* What shapes a copy besides its source file. */
static guint64
hash_options (const TpdCopyOptions *options)
{
  g_autoptr (GString) text = g_string_new (NULL);
  guint8 digest[TPD_SHA256_SIZE];
  guint64 hash;

  g_string_printf (text, "%d %d %d %u", TPD_DECODER_VERSION, (int) options->open.iv, (int) options->open.mail,
                   options->open.nested);
  if (options->containers)
    g_string_append (text, " containers");
  tpd_sha256 (text->str, text->len, digest);
  memcpy (&hash, digest, sizeof hash);
  return GUINT64_FROM_BE (hash);
}

static char *
state_name (const TpdCopy *copy, const char *base, const char *extension)
{
  return tpd_manifest_name (base, copy->options->shard, copy->options->shards, extension);
}

gboolean
tpd_copy_begin_state (TpdCopy *copy, GError **error)
{
  g_autofree char *journal = NULL, *missing = NULL;

  copy->options_hash = hash_options (copy->options);
  if (copy->options->dry_run)
    return TRUE;
  journal = state_name (copy, "journal", ".jsonl");
  copy->journal = tpd_journal_open (copy->state_fd, journal, error);
  if (copy->journal == NULL)
    return FALSE;
  missing = state_name (copy, "MISSING", ".part");
  (void) unlinkat (copy->state_fd, missing, 0);
  copy->missing_fd = tpd_target_make_file (copy->state_fd, missing);
  if (copy->missing_fd >= 0)
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot write %s/%s", TPD_TARGET_STATE, missing);
  return FALSE;
}

/* --- Directories ------------------------------------------------------- */

static void
set_dir (TpdCopy *copy, const char *path, GPtrArray *lost)
{
  int source = tpd_walk_open_dir (copy->source_fd, path);
  int target = tpd_walk_open_dir (copy->target_fd, path);
  struct stat st, now;

  if (source >= 0 && target >= 0 && fstat (source, &st) == 0 && fstat (target, &now) == 0)
    tpd_target_set_attributes (target, &now, TRUE, source, &st, lost);
  else if (target < 0)
    g_ptr_array_add (lost, g_strdup ("all"));
  if (source >= 0)
    close (source);
  if (target >= 0)
    close (target);
}

/* The deepest first: their parents may not be passable for us afterwards. */
static gboolean
set_dirs (TpdCopy *copy, GError **error)
{
  g_autoptr (GError) wrong = NULL;
  char *path;

  while ((path = tpd_spill_pop (copy->dirs, &wrong)) != NULL)
    {
      g_autoptr (GPtrArray) lost = g_ptr_array_new_with_free_func (g_free);

      set_dir (copy, path, lost);
      if (lost->len > 0)
        {
          copy->counts.lost++;
          tpd_progress_tell (copy->progress, TPD_LOG_DEBUG, "%s: the directory lost its %s", path,
                             (const char *) g_ptr_array_index (lost, 0));
        }
      g_free (path);
    }
  if (wrong == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&wrong));
  return FALSE;
}

/* --- Lists ------------------------------------------------------------- */

/* A copy of an earlier run whose source was not seen in this one. */
static gboolean
is_there (gpointer data, const TpdJournalMark *mark, const char *text, gsize len)
{
  TpdCopy *copy = data;
  g_autoptr (TpdManifestRecord) record = tpd_manifest_record_parse (text, len, NULL);
  struct stat st;

  return record != NULL && record->copy != NULL
         && tpd_copy_stat_beneath (tpd_copy_root_of_copies (copy), record->copy, &st)
         && tpd_journal_mark_fits (mark, &st);
}

static gboolean
write_missing (TpdCopy *copy, GError **error)
{
  g_autofree char *name = state_name (copy, "MISSING", ".jsonl");
  g_autofree char *part = state_name (copy, "MISSING", ".part");

  if (!tpd_manifest_write_sorted (copy->state_fd, name, &copy->missing_fd, 1, NULL, NULL, NULL, NULL, error))
    return FALSE;
  (void) unlinkat (copy->state_fd, part, 0);
  return TRUE;
}

static void
put_counts (TpdJson *json, const TpdCopyCounts *counts)
{
  tpd_json_uint (json, "decrypted", counts->decrypted);
  tpd_json_uint (json, "plain", counts->plain);
  tpd_json_uint (json, "unreadable_copied", counts->raw);
  tpd_json_uint (json, "symlinks", counts->symlinks);
  tpd_json_uint (json, "hard_links", counts->links);
  tpd_json_uint (json, "archives", counts->archives);
  tpd_json_uint (json, "archive_members", counts->members);
  tpd_json_uint (json, "archives_left_protected", counts->shut_archives);
  tpd_json_uint (json, "archive_members_left_protected", counts->shut_members);
  tpd_json_uint (json, "archives_partly_looked_into", counts->partly);
  tpd_json_uint (json, "bytes", counts->bytes);
  tpd_json_uint (json, "finished_before", counts->finished);
  tpd_json_uint (json, "left_out", counts->left);
  tpd_json_uint (json, "held", counts->held);
  tpd_json_uint (json, "special_files", counts->special);
  tpd_json_uint (json, "failed", counts->failed);
  tpd_json_uint (json, "failed_directories", counts->failed_dirs);
  tpd_json_uint (json, "excluded_directories", counts->excluded_dirs);
  tpd_json_uint (json, "snapshot_directories", counts->snapshot_dirs);
  tpd_json_uint (json, "foreign_directories", counts->foreign_dirs);
  tpd_json_uint (json, "attributes_lost", counts->lost);
  tpd_json_uint (json, "originals_removed", counts->removed);
}

static gboolean
write_summary (TpdCopy *copy, const TpdCopyResult *result, GError **error)
{
  const TpdCopyOptions *options = copy->options;
  g_autofree char *name = state_name (copy, "summary", ".json");
  g_autofree char *list = state_name (copy, "manifest", ".jsonl");
  g_auto (TpdJson) json = { 0 };

  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_json_uint (&json, "schema", 1);
  tpd_json_string (&json, "tool_version", TPDFS_VERSION);
  tpd_json_uint (&json, "decoder_version", TPD_DECODER_VERSION);
  tpd_json_string (&json, "source", copy->source_path);
  tpd_json_string (&json, "copy", copy->in_place ? copy->source_path : copy->target_path);
  tpd_json_boolean (&json, "in_place", copy->in_place);
  tpd_json_uint (&json, "shard", options->shard);
  tpd_json_uint (&json, "shards", options->shards);
  tpd_json_uint (&json, "started", (guint64) copy->started);
  tpd_json_uint (&json, "finished", (guint64) (g_get_real_time () / G_USEC_PER_SEC));
  tpd_json_string (&json, "manifest", list);
  tpd_json_string (&json, "manifest_sha256", result->sha256);
  tpd_json_uint (&json, "files", result->in_manifest);
  tpd_json_uint (&json, "missing", copy->n_missing);
  put_counts (&json, &copy->counts);
  tpd_json_end_object (&json);
  return tpd_manifest_write_text (copy->state_fd, name, json.text->str, error);
}

static gboolean
write_lists (TpdCopy *copy, TpdCopyResult *result, GError **error)
{
  g_autofree char *name = state_name (copy, "manifest", ".jsonl");
  guint8 digest[TPD_SHA256_SIZE];

  if (!tpd_journal_write_manifest (copy->journal, name, is_there, copy, &result->in_manifest, digest, error)
      || !write_missing (copy, error))
    return FALSE;
  result->sha256 = tpd_hex (digest, sizeof digest);
  result->manifest = g_strdup_printf ("%s/" TPD_TARGET_STATE "/%s", copy->target_path, name);
  return write_summary (copy, result, error);
}

gboolean
tpd_copy_finish (TpdCopy *copy, TpdCopyResult *result, GError **error)
{
  if (copy->error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&copy->error));
      return FALSE;
    }
  if (copy->options->dry_run)
    return TRUE;
  if (!set_dirs (copy, error) || !write_lists (copy, result, error))
    return FALSE;
  if (syncfs (copy->state_fd) == 0)
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot write to disk");
  return FALSE;
}

void
tpd_copy_result_clear (TpdCopyResult *result)
{
  g_clear_pointer (&result->manifest, g_free);
  g_clear_pointer (&result->sha256, g_free);
}
