/* SPDX-License-Identifier: Apache-2.0 */
/* The totals of a scan, for a person and as a JSON object. */
#include <stdio.h>

#include "base/text.h"
#include "tools/report.h"
#include "tools/scan_report.h"

/* Lines of each table in the text form; the others have them all. */
#define TEXT_LINES 10
#define TEXT_PROBLEMS 20

static char *
time_text (gint64 seconds)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (seconds);

  return g_date_time_format (time, "%Y-%m-%dT%H:%M:%SZ");
}

/* --- Text --------------------------------------------------------------- */

static void
print_head (const char *title)
{
  printf ("\n%-15s %12s %12s\n", title, "Files", "Size");
}

static void
print_count (const char *label, TpdCount count)
{
  g_autofree char *files = tpd_progress_number (count.files), *bytes = tpd_progress_bytes (count.bytes);

  printf ("  %-13s %12s %12s\n", label, files, bytes);
}

/* With the number in front: the label may be long, and anything. */
static void
print_named (TpdCount count, const char *label)
{
  g_autofree char *files = tpd_progress_number (count.files), *bytes = tpd_progress_bytes (count.bytes);
  g_autofree char *shown = tpd_display (label);

  printf ("  %10s %12s  %s\n", files, bytes, shown);
}

static void
print_kinds (const TpdTally *tally)
{
  print_head ("Kind");
  for (guint i = 0; i < TPD_N_KINDS; i++)
    {
      TpdCount count = tpd_tally_kind (tally, (TpdKind) i);
      if (count.files > 0)
        print_count (tpd_kind_word ((TpdKind) i), count);
    }
  print_head ("Verdict");
  for (guint i = 0; i < TPD_N_VERDICTS; i++)
    {
      TpdCount count = tpd_tally_verdict (tally, (TpdVerdict) i);
      if (count.files > 0)
        print_count (tpd_verdict_word ((TpdVerdict) i), count);
    }
}

static void
print_keys (const TpdTally *tally)
{
  g_autoptr (GPtrArray) keys = tpd_tally_keys (tally);

  if (keys->len == 0)
    return;
  puts ("\nKeys needed");
  for (guint i = 0; i < keys->len; i++)
    {
      const TpdTallyKey *entry = g_ptr_array_index (keys, i);
      g_autofree char *fingerprint = tpd_hex (entry->key.fingerprint.bytes, 8);
      g_autofree char *label =
          g_strdup_printf ("%s  %s, %u bits, fingerprint %s..., %s", entry->held ? "held    " : "not held",
                           entry->key.guid != NULL ? entry->key.guid : "no GUID", entry->key.bits, fingerprint,
                           entry->key.url != NULL ? entry->key.url : "no URL");

      print_named (entry->count, label);
    }
}

static void
print_group (const TpdTally *tally, TpdTallyGroup group, const char *title, const char *none)
{
  g_autoptr (GPtrArray) names = tpd_tally_names (tally, group);

  if (names->len == 0)
    return;
  printf ("\n%s\n", title);
  for (guint i = 0; i < MIN (names->len, TEXT_LINES); i++)
    {
      const TpdTallyName *entry = g_ptr_array_index (names, i);
      print_named (entry->count, entry->name[0] != '\0' ? entry->name : none);
    }
  if (names->len > TEXT_LINES)
    printf ("  %10s %12s  and %u more\n", "", "", names->len - TEXT_LINES);
}

static void
print_years (const TpdTally *tally)
{
  gboolean first = TRUE;

  for (guint i = 0; i < TPD_TALLY_N_YEARS; i++)
    {
      g_autofree char *year = g_strdup_printf ("%u", TPD_TALLY_FIRST_YEAR + i);

      if (tally->years[i].files == 0)
        continue;
      if (first)
        puts ("\nYear of issue");
      first = FALSE;
      print_named (tally->years[i], year);
    }
  if (!first && tally->no_year.files > 0)
    print_named (tally->no_year, "not known");
}

typedef struct {
  const TpdScanReport *report;
  gboolean late; /* list what was issued after the cutoff, not problems */
  guint64 listed, left;
} Listing;

static gboolean
print_listed (gpointer data, const char *path, const TpdIndexEntry *entry)
{
  Listing *listing = data;
  const TpdScanReport *report = listing->report;
  g_autofree char *shown = NULL, *message = NULL, *text = NULL;
  TpdVerdict verdict = TPD_VERDICT_IO_ERROR;

  if (listing->late ? !tpd_scan_report_is_late (report, entry) : !tpd_scan_report_is_problem (report, entry))
    return TRUE;
  if (++listing->listed > TEXT_PROBLEMS)
    return FALSE;
  if (entry->row != NULL)
    verdict = tpd_record_verdict (entry->row, entry->document, report->keyring);
  if (listing->late)
    message = g_strdup_printf ("issued %s", entry->document->issued);
  else if (entry->row == NULL)
    message = g_strdup (entry->dir_error);
  else if (verdict == TPD_VERDICT_NOT_PROTECTED)
    message = g_strdup ("has the name of a protected file, but not its content");
  else
    message = tpd_record_message (entry->row, entry->document, report->keyring);
  text = g_strdup_printf ("%s: %s: %s", path, tpd_verdict_word (verdict), message != NULL ? message : "");
  shown = tpd_display (text);
  printf ("  %s\n", shown);
  return TRUE;
}

static gboolean
print_list (const TpdScanReport *report, gboolean late, TpdCount count, GError **error)
{
  Listing listing = { .report = report, .late = late };
  g_autofree char *files = tpd_progress_number (count.files), *bytes = tpd_progress_bytes (count.bytes);

  if (late)
    printf ("\nIssued since %s: %s files, %s\n", report->options->cutoff, files, bytes);
  else
    printf ("\nProblems: %s files, %s\n", files, bytes);
  if (!tpd_scan_report_each (report, TPD_INDEX_DOCUMENTS, print_listed, &listing, error))
    return FALSE;
  if (listing.listed > TEXT_PROBLEMS)
    puts ("  ... all are listed by --html FILE, --csv and --json");
  return TRUE;
}

static void
print_scan (const TpdScanReport *report)
{
  const TpdScan *scan = report->scan;
  const TpdTally *tally = &scan->tally;
  g_autofree char *files = tpd_progress_number (tally->all.files), *bytes = tpd_progress_bytes (tally->all.bytes);
  g_autofree char *dirs = tpd_progress_number (scan->walked.dirs), *opened = tpd_progress_number (tally->opened);
  g_autofree char *known = tpd_progress_number (tally->known), *root = tpd_display (report->options->root);
  g_autofree char *index = tpd_display (tpd_index_path (scan->index)), *left_out = tpd_scan_left_out (scan);

  printf ("%s: %s files, %s, in %s directories\n", root, files, bytes, dirs);
  printf ("Looked into %s files; %s were known from the index %s\n", opened, known, index);
  if (left_out != NULL)
    printf ("Left out: %s\n", left_out);
  if (tally->containers.files > 0)
    printf ("%" G_GUINT64_FORMAT " archives have %" G_GUINT64_FORMAT
            " protected members, which are counted below like files\n",
            tally->containers.files, tally->members.files);
  if (tally->failed_dirs > 0)
    printf ("%" G_GUINT64_FORMAT " directories could not be read: what lies in them is not counted\n",
            tally->failed_dirs);
}

gboolean
tpd_scan_report_text (const TpdScanReport *report, GError **error)
{
  const TpdTally *tally = &report->scan->tally;

  print_scan (report);
  print_kinds (tally);
  print_keys (tally);
  print_group (tally, TPD_TALLY_TEMPLATES, "Templates and policies", "(no name)");
  print_group (tally, TPD_TALLY_OWNERS, "Owners", "(not known)");
  print_years (tally);
  if (report->options->cutoff != NULL && !print_list (report, TRUE, tally->cutoff, error))
    return FALSE;
  if (tally->problems.files + tally->failed_dirs > 0)
    return print_list (report, FALSE, tally->problems, error);
  return TRUE;
}

/* --- JSON --------------------------------------------------------------- */

static void
add_cells (TpdJson *json, const TpdTally *tally)
{
  tpd_json_begin_object (json, "kinds");
  for (guint i = 0; i < TPD_N_KINDS; i++)
    {
      TpdCount count = tpd_tally_kind (tally, (TpdKind) i);
      if (count.files > 0)
        tpd_count_to_json (json, tpd_kind_word ((TpdKind) i), count);
    }
  tpd_json_end_object (json);
  tpd_json_begin_object (json, "verdicts");
  for (guint i = 0; i < TPD_N_VERDICTS; i++)
    {
      TpdCount count = tpd_tally_verdict (tally, (TpdVerdict) i);
      if (count.files > 0)
        tpd_count_to_json (json, tpd_verdict_word ((TpdVerdict) i), count);
    }
  tpd_json_end_object (json);
}

static void
add_keys (TpdJson *json, const TpdTally *tally)
{
  g_autoptr (GPtrArray) keys = tpd_tally_keys (tally);

  tpd_json_begin_array (json, "keys");
  for (guint i = 0; i < keys->len; i++)
    {
      const TpdTallyKey *entry = g_ptr_array_index (keys, i);
      g_autofree char *fingerprint = tpd_hex (entry->key.fingerprint.bytes, TPD_SHA256_SIZE);

      tpd_json_begin_object (json, NULL);
      tpd_json_string (json, "guid", entry->key.guid);
      tpd_json_uint (json, "bits", entry->key.bits);
      tpd_json_string (json, "fingerprint", fingerprint);
      tpd_json_boolean (json, "held", entry->held);
      tpd_json_string (json, "tenant", entry->key.tenant);
      tpd_json_string (json, "url", entry->key.url);
      tpd_json_uint (json, "files", entry->count.files);
      tpd_json_uint (json, "bytes", entry->count.bytes);
      tpd_json_end_object (json);
    }
  tpd_json_end_array (json);
}

static void
add_group (TpdJson *json, const TpdTally *tally, TpdTallyGroup group, const char *name)
{
  g_autoptr (GPtrArray) names = tpd_tally_names (tally, group);

  tpd_json_begin_array (json, name);
  for (guint i = 0; i < names->len; i++)
    {
      const TpdTallyName *entry = g_ptr_array_index (names, i);

      tpd_json_begin_object (json, NULL);
      tpd_json_string (json, "name", entry->name[0] != '\0' ? entry->name : NULL);
      tpd_json_uint (json, "files", entry->count.files);
      tpd_json_uint (json, "bytes", entry->count.bytes);
      tpd_json_end_object (json);
    }
  tpd_json_end_array (json);
}

static void
add_years (TpdJson *json, const TpdTally *tally)
{
  tpd_json_begin_object (json, "years");
  for (guint i = 0; i < TPD_TALLY_N_YEARS; i++)
    {
      g_autofree char *year = g_strdup_printf ("%u", TPD_TALLY_FIRST_YEAR + i);
      if (tally->years[i].files > 0)
        tpd_count_to_json (json, year, tally->years[i]);
    }
  if (tally->no_year.files > 0)
    tpd_count_to_json (json, "unknown", tally->no_year);
  tpd_json_end_object (json);
}

static void
add_cutoff (TpdJson *json, const TpdScanReport *report)
{
  if (report->options->cutoff == NULL)
    {
      tpd_json_null (json, "cutoff");
      return;
    }
  tpd_json_begin_object (json, "cutoff");
  tpd_json_string (json, "date", report->options->cutoff);
  tpd_json_uint (json, "files", report->scan->tally.cutoff.files);
  tpd_json_uint (json, "bytes", report->scan->tally.cutoff.bytes);
  tpd_json_end_object (json);
}

void
tpd_scan_report_totals_json (const TpdScanReport *report)
{
  const TpdScan *scan = report->scan;
  const TpdTally *tally = &scan->tally;
  g_auto (TpdJson) json = { 0 };
  g_autofree char *started = time_text (scan->started), *finished = time_text (scan->finished);

  tpd_json_init (&json);
  tpd_json_begin_object (&json, NULL);
  tpd_json_uint (&json, "schema", TPD_REPORT_SCHEMA);
  tpd_json_string (&json, "tool_version", TPDFS_VERSION);
  tpd_json_uint (&json, "decoder_version", TPD_DECODER_VERSION);
  tpd_json_path (&json, report->options->root);
  tpd_json_string (&json, "index", tpd_index_path (scan->index));
  tpd_json_string (&json, "started", started);
  tpd_json_string (&json, "finished", finished);
  tpd_json_uint (&json, "files", tally->all.files);
  tpd_json_uint (&json, "bytes", tally->all.bytes);
  tpd_json_uint (&json, "directories", scan->walked.dirs);
  tpd_json_uint (&json, "opened", tally->opened);
  tpd_json_uint (&json, "known", tally->known);
  tpd_count_to_json (&json, "protected", tally->protected);
  tpd_count_to_json (&json, "problems", tally->problems);
  tpd_count_to_json (&json, "containers", tally->containers);
  tpd_count_to_json (&json, "members", tally->members);
  tpd_json_uint (&json, "failed_directories", tally->failed_dirs);
  tpd_json_uint (&json, "hard_links", tally->links);
  tpd_scan_left_out_to_json (scan, &json);
  add_cells (&json, tally);
  add_keys (&json, tally);
  add_group (&json, tally, TPD_TALLY_TEMPLATES, "templates");
  add_group (&json, tally, TPD_TALLY_OWNERS, "owners");
  add_years (&json, tally);
  add_cutoff (&json, report);
  tpd_json_end_object (&json);
  tpd_json_print (&json);
}
