/* SPDX-License-Identifier: Apache-2.0 */
/* tpd origin: from a copy, or a file on a mount, back to what it was made of. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "tools/common.h"
#include "tools/copy_data.h"
#include "tools/mounted.h"
#include "tools/report.h"
#include "tools/state.h"
#include "tools/target.h"

static const TpdCommandHelp help = {
  "FILE|SHA256...",
  "Tells what a copy that tpd materialize wrote was made of. A file on a mount is\n"
  "traced, too, and a file that was moved or renamed is found by its SHA-256.",
};

typedef struct {
  char *dir; /* --manifest */
  char **asked;
  gboolean json;
} Arguments;

/* What is looked for in a manifest. */
typedef struct {
  const TpdState *state;
  const Arguments *arguments;
  const char *asked;
  char *copy_key; /* of the path, NULL: by digest */
  char *digest;   /* 64 hex digits, in quotes as they stand in a line */
  guint64 found;
} Search;

/* --- Output ------------------------------------------------------------ */

static void
print_json (const Search *search, const char *line, gsize len, const char *original)
{
  g_autoptr (GString) text = g_string_new ("{");
  g_auto (TpdJson) json = { 0 };

  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_json_string (&json, "asked", search->asked);
  tpd_json_string (&json, "original", original);
  g_string_assign (text, json.text->str);
  g_string_append_c (text, ',');
  g_string_append_len (text, line + 1, (gssize) len - 1);
  g_string_append_c (text, '\n');
  (void) tpd_output_write (text->str, text->len);
}

static void
print_line (const char *label, const char *value)
{
  if (value != NULL)
    tpd_report_line (label, "%s", value);
}

static void
print_text (const TpdManifestRecord *record, const char *original)
{
  print_line ("Original", original);
  print_line ("Copy", record->copy);
  print_line ("Kind", record->kind);
  print_line ("Verdict", record->verdict);
  print_line ("Proof", record->proof);
  print_line ("Owner", record->rms_owner);
  print_line ("Content id", record->content_id);
  print_line ("Issued", record->issued);
  print_line ("Key", record->key_fingerprint);
  print_line ("SHA-256 of original", record->source_sha256);
  print_line ("SHA-256 of copy", record->plain_sha256);
  puts ("");
}

/* --- Manifests --------------------------------------------------------- */

static gboolean
is_match (const Search *search, const char *line, gsize len)
{
  gsize copy_len = 0;
  const char *copy;

  if (search->copy_key == NULL)
    return memmem (line, len, search->digest, strlen (search->digest)) != NULL;
  copy = tpd_manifest_copy_key (line, len, &copy_len);
  return copy != NULL && strlen (search->copy_key) == copy_len && memcmp (copy, search->copy_key, copy_len) == 0;
}

/* The digest may be that of anything in the line: that of a license, say. */
static gboolean
is_right (const Search *search, const TpdManifestRecord *record)
{
  g_autofree char *plain = NULL;

  if (search->copy_key != NULL)
    return TRUE;
  plain = g_strdup_printf ("\"%s\"", record->plain_sha256 != NULL ? record->plain_sha256 : "");
  return strcmp (plain, search->digest) == 0;
}

static void
found (Search *search, const TpdManifestRecord *record, const char *line, gsize len)
{
  const char *originals = tpd_state_originals (search->state);
  g_autofree char *original =
      originals != NULL ? g_strconcat (originals, "/", record->path, NULL) : g_strdup (record->path);

  search->found++;
  if (search->arguments->json)
    print_json (search, line, len, original);
  else
    print_text (record, original);
}

/* A file that was taken out of an archive. Names that no file can have are
 * left out. */
static gboolean
look_at_member (gpointer data, const char *member, gsize len, GError **error)
{
  Search *search = data;
  g_autoptr (TpdManifestRecord) record = NULL;

  if (is_match (search, member, len))
    record = tpd_manifest_record_parse (member, len, NULL);
  if (record != NULL && record->copy != NULL && is_right (search, record))
    found (search, record, member, len);
  return TRUE;
}

static gboolean
look_at (gpointer data, const char *line, gsize len, guint64 offset, GError **error)
{
  Search *search = data;
  g_autoptr (TpdManifestRecord) record = NULL;

  if (!is_match (search, line, len))
    return TRUE;
  record = tpd_manifest_record_parse (line, len, error);
  if (record == NULL)
    return FALSE;
  if (is_right (search, record))
    found (search, record, line, len);
  else if (record->archive)
    return tpd_manifest_each_member (line, len, look_at_member, search, error);
  return TRUE;
}

static gboolean
search_all (Search *search, GError **error)
{
  for (guint i = 0; i < search->state->names->len; i++)
    {
      int fd = tpd_state_open_manifest (search->state, g_ptr_array_index (search->state->names, i), error);
      gboolean good = fd >= 0 && tpd_manifest_each (fd, look_at, search, error);

      if (fd >= 0)
        close (fd);
      if (!good)
        return FALSE;
    }
  return TRUE;
}

/* The nearest directory at or above `path` with the state of a copy. */
static char *
find_state (const char *path)
{
  g_autofree char *dir = g_strdup (path);

  for (;;)
    {
      g_autofree char *state = g_build_filename (dir, TPD_TARGET_STATE, NULL);
      char *up;

      if (g_file_test (state, G_FILE_TEST_IS_DIR))
        return g_steal_pointer (&dir);
      up = g_path_get_dirname (dir);
      if (strcmp (up, dir) == 0)
        {
          g_free (up);
          return NULL;
        }
      g_free (dir);
      dir = up;
    }
}

/* --- What is asked ----------------------------------------------------- */

static gboolean
is_digest (const char *text)
{
  return strlen (text) == 2 * TPD_SHA256_SIZE && strspn (text, "0123456789abcdefABCDEF") == 2 * TPD_SHA256_SIZE;
}

/* NULL: there is none. (transfer full) */
static char *
find_manifest (const Arguments *arguments, const char *asked)
{
  g_autofree char *start = is_digest (asked) ? g_strdup (".") : g_path_get_dirname (asked);
  char *real, *dir;

  if (arguments->dir != NULL)
    return g_strdup (arguments->dir);
  real = realpath (start, NULL);
  dir = real != NULL ? find_state (real) : NULL;
  free (real);
  return dir;
}

static gboolean
hash_file (const char *path, char **digest, GError **error)
{
  g_autofree guint8 *block = g_malloc (TPD_COPY_BLOCK);
  guint8 bytes[TPD_SHA256_SIZE];
  g_autofree char *hex = NULL;
  guint64 size;
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  gboolean good = fd >= 0;

  if (!good)
    tpd_error_set_errno (error, errno, "cannot open the file");
  good = good && tpd_copy_hash (fd, block, &size, bytes, error);
  if (fd >= 0)
    close (fd);
  if (!good)
    return FALSE;
  hex = tpd_hex (bytes, sizeof bytes);
  *digest = g_strdup_printf ("\"%s\"", hex);
  return TRUE;
}

/* By its place in the copy, and else by what is in it. */
static gboolean
search_file (Search *search, const char *path, GError **error)
{
  const char *copies = tpd_state_copies (search->state);
  gsize len = strlen (copies);
  g_autofree char *dir = g_path_get_dirname (path), *name = g_path_get_basename (path);
  char *real_dir = realpath (dir, NULL);
  g_autofree char *whole = g_strconcat (real_dir != NULL ? real_dir : dir, "/", name, NULL);

  free (real_dir);
  if (strncmp (whole, copies, len) == 0 && whole[len] == '/')
    {
      search->copy_key = tpd_manifest_copy_key_of (whole + len + 1);
      if (!search_all (search, error))
        return FALSE;
      g_clear_pointer (&search->copy_key, g_free);
    }
  if (search->found > 0)
    return TRUE;
  return hash_file (path, &search->digest, error) && search_all (search, error);
}

static gboolean
search_manifest (const Arguments *arguments, const char *asked, gboolean by_digest, GError **error)
{
  g_autofree char *dir = find_manifest (arguments, asked);
  g_autoptr (TpdState) state = NULL;
  Search search = { .arguments = arguments, .asked = asked };
  gboolean good;

  if (dir == NULL)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_USAGE,
                           "no directory above has a manifest; name that of the copies with --manifest DIR");
      return FALSE;
    }
  state = tpd_state_open (dir, FALSE, error);
  if (state == NULL)
    return FALSE;
  search.state = state;
  if (by_digest)
    {
      g_autofree char *lower = g_ascii_strdown (asked, -1);

      search.digest = g_strdup_printf ("\"%s\"", lower);
      good = search_all (&search, error);
    }
  else
    good = search_file (&search, asked, error);
  g_free (search.copy_key);
  g_free (search.digest);
  if (good && search.found == 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + ENOENT, "the manifest in %s does not know it", dir);
      return FALSE;
    }
  return good;
}

/* A mount tells the name; the folder is the same on both sides. */
static void
tell_mounted (const Arguments *arguments, const char *asked, const TpdMounted *mounted)
{
  const char *name = mounted->words[TPD_MOUNTED_SOURCE_NAME];
  g_auto (TpdJson) json = { 0 };

  if (!arguments->json)
    {
      print_line ("Original name", name);
      print_line ("Kind", mounted->words[TPD_MOUNTED_KIND]);
      print_line ("Verdict", mounted->words[TPD_MOUNTED_VERDICT]);
      print_line ("Owner", mounted->words[TPD_MOUNTED_RMS_OWNER]);
      print_line ("Content id", mounted->words[TPD_MOUNTED_CONTENT_ID]);
      puts ("");
      return;
    }
  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_json_string (&json, "asked", asked);
  tpd_json_null (&json, "original");
  tpd_json_string (&json, "source_name", name);
  tpd_json_string (&json, "kind", mounted->words[TPD_MOUNTED_KIND]);
  tpd_json_string (&json, "verdict", mounted->words[TPD_MOUNTED_VERDICT]);
  tpd_json_string (&json, "rms_owner", mounted->words[TPD_MOUNTED_RMS_OWNER]);
  tpd_json_string (&json, "content_id", mounted->words[TPD_MOUNTED_CONTENT_ID]);
  tpd_json_end_object (&json);
  tpd_json_print (&json);
}

static gboolean
trace (const Arguments *arguments, const char *asked, GError **error)
{
  TpdMounted *mounted;
  struct stat st;

  if (is_digest (asked) && lstat (asked, &st) != 0)
    return search_manifest (arguments, asked, TRUE, error);
  mounted = tpd_mounted_read (asked);
  if (mounted == NULL)
    return search_manifest (arguments, asked, FALSE, error);
  tell_mounted (arguments, asked, mounted);
  tpd_mounted_free (mounted);
  return TRUE;
}

/* Each of the files has a manifest, or all have one. */
static gboolean
declare_manifests (TpdConfinement *reach, gpointer data, GError **error)
{
  const Arguments *arguments = data;

  for (char **asked = arguments->asked; *asked != NULL; asked++)
    {
      g_autofree char *dir = find_manifest (arguments, *asked);

      if (dir != NULL)
        tpd_confinement_read (reach, dir);
    }
  return TRUE;
}

TpdExit
tpd_cmd_origin (int argc, char **argv)
{
  g_auto (TpdCommon) common = { 0 };
  Arguments arguments = { 0 };
  g_autofree char *dir = NULL;
  const GOptionEntry entries[] = {
    { "manifest", 0, 0, G_OPTION_ARG_FILENAME, &dir, "Where the manifest is: DST, or the directory of originals",
      "DIR" },
    { NULL },
  };
  TpdExit status;

  if (!tpd_common_parse (&common, TPD_COMMON_JSON | TPD_COMMON_FILES, &help, entries, argc, argv, &status))
    return status;
  arguments.dir = dir;
  arguments.json = common.json;
  arguments.asked = common.files;
  common.reach = declare_manifests;
  common.reach_data = &arguments;
  if (!tpd_common_confine (&common, &status))
    return status;
  status = TPD_EXIT_OK;
  for (char **asked = common.files; *asked != NULL; asked++)
    {
      g_autoptr (GError) error = NULL;

      if (trace (&arguments, *asked, &error))
        continue;
      tpd_error ("%s: %s", *asked, error->message);
      if (status != TPD_EXIT_FAILED)
        status = g_error_matches (error, TPD_ERROR, TPD_ERROR_USAGE) ? TPD_EXIT_USAGE : TPD_EXIT_FAILED;
    }
  return tpd_output_finish (status);
}
