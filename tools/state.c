/* SPDX-License-Identifier: Apache-2.0 */
/* The state of a finished copy, and joining that of shards: see state.h. */
#include "tools/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "tools/json_read.h"
#include "tools/target.h"

#define MAX_SHARDS 100000
#define MAX_SUMMARY (1024 * 1024)

/* --- Summaries --------------------------------------------------------- */

static JsonObject *
read_summary (int state_fd, const char *name)
{
  g_autofree char *text = g_malloc (MAX_SUMMARY);
  int fd = tpd_target_open_file (state_fd, name);
  gssize len = fd >= 0 ? read (fd, text, MAX_SUMMARY) : -1;

  if (fd >= 0)
    close (fd);
  return len > 0 ? tpd_json_read_object (text, (gsize) len) : NULL;
}

static void
load_summary (TpdState *state, guint shard)
{
  g_autofree char *name = tpd_manifest_name ("summary", shard, shard > 0 ? state->shards : 1, ".json");
  JsonObject *object = read_summary (state->fd, name);

  if (object == NULL)
    return;
  state->source = g_strdup (tpd_json_get_string (object, "source"));
  state->copy = g_strdup (tpd_json_get_string (object, "copy"));
  state->in_place = tpd_json_get_boolean (object, "in_place");
  json_object_unref (object);
}

/* --- Shards ------------------------------------------------------------ */

/* "manifest.2-of-4.jsonl". */
static gboolean
parse_shard (const char *name, guint *shard, guint *shards)
{
  g_autofree char *again = NULL;

  if (sscanf (name, "manifest.%u-of-%u.jsonl", shard, shards) != 2 || *shard < 1 || *shard > *shards
      || *shards > MAX_SHARDS)
    return FALSE;
  again = tpd_manifest_name ("manifest", *shard, *shards, ".jsonl");
  return strcmp (again, name) == 0;
}

static gboolean
list_shards (TpdState *state, GPtrArray *found, GError **error)
{
  int fd = openat (state->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;
  guint shard, shards;
  gboolean good = TRUE;

  if (stream == NULL)
    {
      tpd_error_set_errno (error, errno, "cannot read %s", TPD_TARGET_STATE);
      if (fd >= 0)
        close (fd);
      return FALSE;
    }
  while (good && (entry = readdir (stream)) != NULL)
    {
      if (!parse_shard (entry->d_name, &shard, &shards))
        continue;
      good = state->shards == 0 || state->shards == shards;
      if (!good)
        g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                     "%s has parts of %u and of %u: move the manifests of one kind away", TPD_TARGET_STATE,
                     state->shards, shards);
      state->shards = shards;
      g_ptr_array_add (found, g_strdup (entry->d_name));
    }
  closedir (stream);
  return good;
}

static gboolean
join_lists (TpdState *state, const char *base, GError **error)
{
  g_autofree int *fds = g_new (int, state->shards);
  g_autofree char *joined = g_strconcat (base, ".jsonl", NULL);
  gboolean good = TRUE;
  guint n = 0;

  for (; good && n < state->shards; n++)
    {
      g_autofree char *name = tpd_manifest_name (base, n + 1, state->shards, ".jsonl");

      fds[n] = tpd_target_open_file (state->fd, name);
      good = fds[n] >= 0;
      if (!good)
        tpd_error_set_errno (error, errno, "cannot read %s", name);
    }
  good = good && tpd_manifest_write_sorted (state->fd, joined, fds, n, NULL, NULL, NULL, NULL, error);
  for (guint i = 0; i < n; i++)
    if (fds[i] >= 0)
      close (fds[i]);
  return good;
}

static const char *const added[] = {
  /* See count_once(). */
  "missing",
  "failed",
  "files",
  "decrypted",
  "plain",
  "unreadable_copied",
  "symlinks",
  "hard_links",
  "bytes",
  "held",
  "special_files",
  "finished_before",
  "left_out",
  "attributes_lost",
  "originals_removed",
  "excluded_directories",
  "snapshot_directories",
  "foreign_directories",
};

/* How many lines a list of the state has; none if it is not there. */
static gboolean
count_line (gpointer data, const char *line, gsize len, guint64 offset, GError **error)
{
  (*(guint64 *) data)++;
  return TRUE;
}

static gboolean
count_lines (const TpdState *state, const char *name, guint64 *n, GError **error)
{
  int fd = tpd_target_open_file (state->fd, name);
  gboolean good = fd < 0 && errno == ENOENT;

  *n = 0;
  if (fd < 0 && !good)
    tpd_error_set_errno (error, errno, "cannot read %s", name);
  if (fd >= 0)
    {
      good = tpd_manifest_each (fd, count_line, n, error);
      close (fd);
    }
  return good;
}

/* What cannot be looked at, and directories that cannot be read, are told by
 * every part, for none can know whose they are; the joined list has them once. */
static gboolean
count_once (const TpdState *state, guint64 *missing, guint64 *failed, GError **error)
{
  guint64 listed;

  if (!count_lines (state, "MISSING.jsonl", &listed, error))
    return FALSE;
  *failed -= MIN (*missing - MIN (listed, *missing), *failed);
  *missing = listed;
  return TRUE;
}

static gboolean
join_summaries (TpdState *state, GError **error)
{
  guint64 sums[G_N_ELEMENTS (added)] = { 0 }, failed_directories = 0;
  g_auto (TpdJson) json = { 0 };

  for (guint shard = 1; shard <= state->shards; shard++)
    {
      g_autofree char *name = tpd_manifest_name ("summary", shard, state->shards, ".json");
      JsonObject *object = read_summary (state->fd, name);

      for (gsize i = 0; object != NULL && i < G_N_ELEMENTS (added); i++)
        sums[i] += tpd_json_get_uint (object, added[i]);
      if (object != NULL)
        {
          failed_directories = MAX (failed_directories, tpd_json_get_uint (object, "failed_directories"));
          json_object_unref (object);
        }
    }
  if (!count_once (state, &sums[0], &sums[1], error))
    return FALSE;
  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_json_uint (&json, "schema", 1);
  tpd_json_string (&json, "tool_version", TPDFS_VERSION);
  tpd_json_string (&json, "source", state->source);
  tpd_json_string (&json, "copy", state->copy);
  tpd_json_boolean (&json, "in_place", state->in_place);
  tpd_json_uint (&json, "shard", 1);
  tpd_json_uint (&json, "shards", 1);
  tpd_json_string (&json, "manifest", "manifest.jsonl");
  for (gsize i = 0; i < G_N_ELEMENTS (added); i++)
    tpd_json_uint (&json, added[i], sums[i]);
  tpd_json_uint (&json, "failed_directories", failed_directories);
  tpd_json_end_object (&json);
  return tpd_manifest_write_text (state->fd, "summary.json", json.text->str, error);
}

static gboolean
join (TpdState *state, GError **error)
{
  if (state->n_missing > 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                   "%u of %u parts have no manifest: run tpd materialize --shard for them first", state->n_missing,
                   state->shards);
      return FALSE;
    }
  if (!join_lists (state, "manifest", error) || !join_lists (state, "MISSING", error) || !join_summaries (state, error))
    return FALSE;
  g_ptr_array_set_size (state->names, 0);
  g_ptr_array_add (state->names, g_strdup ("manifest.jsonl"));
  return TRUE;
}

/* --- Opening ----------------------------------------------------------- */

static gboolean
find_manifests (TpdState *state, gboolean merge, GError **error)
{
  g_autoptr (GPtrArray) parts = g_ptr_array_new_with_free_func (g_free);
  struct stat st;

  if (!merge && fstatat (state->fd, "manifest.jsonl", &st, AT_SYMLINK_NOFOLLOW) == 0)
    {
      g_ptr_array_add (state->names, g_strdup ("manifest.jsonl"));
      load_summary (state, 0);
      return TRUE;
    }
  if (!list_shards (state, parts, error))
    return FALSE;
  if (parts->len == 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s: there is no manifest%s", state->dir,
                   merge ? " of a part" : ": tpd materialize has not ended there yet");
      return FALSE;
    }
  state->n_missing = state->shards - parts->len;
  for (guint i = 0; i < parts->len; i++)
    g_ptr_array_add (state->names, g_strdup (g_ptr_array_index (parts, i)));
  for (guint shard = 1; shard <= state->shards && state->copy == NULL; shard++)
    load_summary (state, shard);
  return !merge || join (state, error);
}

TpdState *
tpd_state_open (const char *dir, gboolean merge, GError **error)
{
  g_autoptr (TpdState) state = g_new0 (TpdState, 1);
  char *real = realpath (dir, NULL);
  int fd = real != NULL ? open (real, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

  state->fd = -1;
  state->dir = g_strdup (real);
  state->names = g_ptr_array_new_with_free_func (g_free);
  free (real);
  if (fd < 0)
    {
      tpd_error_set_errno (error, errno, "cannot open %s", dir);
      return NULL;
    }
  state->fd = tpd_manifest_open_state (fd, FALSE, error);
  close (fd);
  if (state->fd < 0)
    {
      g_prefix_error (error, "%s: ", dir);
      return NULL;
    }
  return find_manifests (state, merge, error) ? g_steal_pointer (&state) : NULL;
}

void
tpd_state_free (TpdState *state)
{
  if (state == NULL)
    return;
  if (state->fd >= 0)
    close (state->fd);
  g_ptr_array_unref (state->names);
  g_free (state->dir);
  g_free (state->source);
  g_free (state->copy);
  g_free (state);
}

/* A copy may have been moved as a whole. */
const char *
tpd_state_copies (const TpdState *state)
{
  return state->in_place && state->copy != NULL ? state->copy : state->dir;
}

const char *
tpd_state_originals (const TpdState *state)
{
  return state->in_place ? state->dir : state->source;
}

gboolean
tpd_state_count_missing (const TpdState *state, guint64 *n, GError **error)
{
  const gsize base_len = strlen ("manifest");

  *n = 0;
  for (guint i = 0; i < state->names->len; i++)
    {
      g_autofree char *name = g_strconcat ("MISSING", (const char *) state->names->pdata[i] + base_len, NULL);
      guint64 lines;

      if (!count_lines (state, name, &lines, error))
        return FALSE;
      *n += lines;
    }
  return TRUE;
}

int
tpd_state_open_manifest (const TpdState *state, const char *name, GError **error)
{
  int fd = tpd_target_open_file (state->fd, name);

  if (fd < 0)
    tpd_error_set_errno (error, errno, "cannot read %s/%s", TPD_TARGET_STATE, name);
  return fd;
}
