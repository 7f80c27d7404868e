/* SPDX-License-Identifier: Apache-2.0 */
/* What a scan did not look at: see scan.h. */
#include "tools/scan.h"

static void
add (GString *text, guint64 count, const char *one, const char *several)
{
  if (count > 0)
    g_string_append_printf (text, "%s%" G_GUINT64_FORMAT " %s", text->len > 0 ? ", " : "", count,
                            count == 1 ? one : several);
}

char *
tpd_scan_left_out (const TpdScan *scan)
{
  const TpdTally *tally = &scan->tally;
  const TpdWalkStats *walked = &scan->walked;
  g_autoptr (GString) text = g_string_new (NULL);

  add (text, tally->symlinks, "symbolic link", "symbolic links");
  add (text, tally->others, "special file", "special files");
  add (text, tally->excluded, "excluded file", "excluded files");
  add (text, walked->excluded, "excluded directory", "excluded directories");
  add (text, walked->snapshots, "snapshot directory", "snapshot directories");
  add (text, tally->foreign, "file of another file system", "files of other file systems");
  add (text, walked->other_fs, "directory of another file system", "directories of other file systems");
  return text->len > 0 ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
}

void
tpd_scan_left_out_to_json (const TpdScan *scan, TpdJson *json)
{
  tpd_json_uint (json, "symlinks", scan->tally.symlinks);
  tpd_json_uint (json, "special_files", scan->tally.others);
  tpd_json_uint (json, "excluded_files", scan->tally.excluded);
  tpd_json_uint (json, "excluded_directories", scan->walked.excluded);
  tpd_json_uint (json, "snapshot_directories", scan->walked.snapshots);
  tpd_json_uint (json, "foreign_files", scan->tally.foreign);
  tpd_json_uint (json, "foreign_directories", scan->walked.other_fs);
}
