/* SPDX-License-Identifier: Apache-2.0 */
/* The status directory: see fs/status.h. */
#include "fs/status.h"

#include <json-glib/json-glib.h>
#include <string.h>

#include "base/text.h"

/* Node ids below TPD_NODE_FIRST. */
enum { DIRECTORY = 2, STATUS_JSON, UNREADABLE, VERSION, END };

/* No source has inode numbers up here: see fs/devices.h. */
#define INO_BASE (G_GUINT64_CONSTANT (0xffff) << 48)

static const char *const names[] = { "status.json", "unreadable.jsonl", "version" };

gboolean
tpd_status_is (fuse_ino_t ino)
{
  return ino >= DIRECTORY && ino < END;
}

void
tpd_status_getattr (TpdFs *fs, fuse_ino_t ino, struct stat *attr)
{
  memset (attr, 0, sizeof *attr);
  attr->st_ino = INO_BASE | ino;
  attr->st_mode = ino == DIRECTORY ? S_IFDIR | 0500 : S_IFREG | 0400;
  attr->st_nlink = ino == DIRECTORY ? 2 : 1;
  attr->st_uid = fs->mounter;
  attr->st_gid = getgid ();
  attr->st_mtime = attr->st_ctime = attr->st_atime = fs->started;
  attr->st_blksize = 4096;
}

gboolean
tpd_status_lookup (TpdFs *fs, fuse_ino_t parent, const char *name, struct fuse_entry_param *entry)
{
  fuse_ino_t ino = 0;

  if (parent == TPD_NODE_ROOT && strcmp (name, TPD_STATUS_NAME) == 0)
    ino = DIRECTORY;
  for (guint i = 0; parent == DIRECTORY && i < G_N_ELEMENTS (names); i++)
    if (strcmp (name, names[i]) == 0)
      ino = STATUS_JSON + i;
  if (ino == 0)
    return FALSE;
  memset (entry, 0, sizeof *entry);
  entry->ino = ino;
  entry->attr_timeout = entry->entry_timeout = fs->timeout;
  tpd_status_getattr (fs, ino, &entry->attr);
  return TRUE;
}

const char *
tpd_status_name (guint i, struct stat *attr)
{
  memset (attr, 0, sizeof *attr);
  if (i >= G_N_ELEMENTS (names))
    return NULL;
  attr->st_ino = INO_BASE | (STATUS_JSON + i);
  attr->st_mode = S_IFREG;
  return names[i];
}

static void
add_string (JsonBuilder *builder, const char *name, const char *value)
{
  g_autofree char *clean = value != NULL ? g_utf8_make_valid (value, -1) : NULL;

  json_builder_set_member_name (builder, name);
  if (clean != NULL)
    json_builder_add_string_value (builder, clean);
  else
    json_builder_add_null_value (builder);
}

static void
add_number (JsonBuilder *builder, const char *name, guint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, (gint64) MIN (value, G_MAXINT64));
}

static void
add_keys (TpdFs *fs, JsonBuilder *builder)
{
  json_builder_set_member_name (builder, "keys");
  json_builder_begin_array (builder);
  for (guint i = 0; fs->keyring != NULL && i < fs->keyring->keys->len; i++)
    {
      const TpdKeyInfo *key = fs->keyring->keys->pdata[i];
      const TpdFingerprint *print = &key->public_key.fingerprint;
      g_autofree char *fingerprint = tpd_hex (print->bytes, sizeof print->bytes);

      json_builder_begin_object (builder);
      add_string (builder, "name", key->name);
      add_string (builder, "guid", key->guid);
      add_number (builder, "bits", key->public_key.bits);
      add_string (builder, "fingerprint", fingerprint);
      add_string (builder, "state", key->state == TPD_KEY_HELD ? "held" : "keyless");
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
}

static void
add_decoder (TpdFs *fs, JsonBuilder *builder)
{
  TpdDecoderState state;

  tpd_decoder_get_state (fs->decoder, &state);
  json_builder_set_member_name (builder, "decoder");
  json_builder_begin_object (builder);
  add_number (builder, "threads", state.threads);
  add_number (builder, "budget", state.limit);
  add_number (builder, "bytes", state.used);
  add_number (builder, "documents", state.documents);
  add_number (builder, "waiting", state.waiting);
  json_builder_end_object (builder);
}

static void
add_passthrough (TpdFs *fs, JsonBuilder *builder)
{
  TpdPassthroughState state;

  tpd_passthrough_get_state (fs->passthrough, &state);
  json_builder_set_member_name (builder, "passthrough");
  json_builder_begin_object (builder);
  add_string (builder, "state", state.state);
  add_string (builder, "why", state.why);
  add_number (builder, "files", state.files);
  add_number (builder, "refused", state.refused);
  add_number (builder, "broker_pid", (guint64) state.broker_pid);
  json_builder_end_object (builder);
}

static void
add_index (TpdFs *fs, JsonBuilder *builder)
{
  g_autofree char *path = NULL, *why = NULL;
  const char *state = tpd_known_state (fs->known, &path, &why);

  json_builder_set_member_name (builder, "index");
  json_builder_begin_object (builder);
  add_string (builder, "state", state);
  add_string (builder, "why", why);
  add_string (builder, "path", path);
  json_builder_end_object (builder);
}

static char *
status_json (TpdFs *fs)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GDateTime) started = g_date_time_new_from_unix_utc (fs->started);
  g_autofree char *since = g_date_time_format (started, "%Y-%m-%dT%H:%M:%SZ");

  json_builder_begin_object (builder);
  add_string (builder, "version", TPDFS_VERSION);
  add_string (builder, "source", fs->source);
  add_string (builder, "mountpoint", fs->mountpoint);
  add_string (builder, "started", since);
  add_number (builder, "uptime_seconds", (guint64) MAX (g_get_real_time () / G_USEC_PER_SEC - fs->started, 0));
  add_number (builder, "pid", (guint64) getpid ());
  add_number (builder, "agent_pid", (guint64) fs->agent_pid);
  add_number (builder, "threads", fs->options->threads);
  add_keys (fs, builder);
  add_decoder (fs, builder);
  add_passthrough (fs, builder);
  add_index (fs, builder);
  json_builder_set_member_name (builder, "counters");
  json_builder_begin_object (builder);
  add_number (builder, "inodes", tpd_inodes_count (fs->inodes));
  for (guint i = 0; i < TPD_N_COUNTS; i++)
    add_number (builder, tpd_count_word ((TpdCount) i), tpd_fs_counted (fs, (TpdCount) i));
  json_builder_end_object (builder);
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  return json_to_string (root, TRUE);
}

GBytes *
tpd_status_content (TpdFs *fs, fuse_ino_t ino)
{
  g_autofree char *text = NULL;
  char *line;

  if (ino == UNREADABLE)
    return tpd_report_list (fs->report);
  text = ino == STATUS_JSON ? status_json (fs) : g_strdup (TPDFS_VERSION);
  line = g_strconcat (text, "\n", NULL);
  return g_bytes_new_take (line, strlen (line));
}
