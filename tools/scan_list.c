/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of files: one JSON object, or one line of CSV, each. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "tools/csv.h"
#include "tools/scan_report.h"

/* --- What is listed ----------------------------------------------------- */

typedef struct {
  const TpdScanReport *report;
  TpdScanEach each;
  gpointer data;
} Selection;

static gboolean
select_entry (gpointer data, const TpdIndexEntry *entry)
{
  const Selection *selection = data;
  const TpdScanOptions *options = selection->report->options;
  g_autofree char *path = NULL;

  /* Members are chosen with their archive. */
  if (entry->row != NULL
      && !tpd_filter_has_file (&options->tree.filter, entry->dir,
                               entry->row->archive != NULL ? entry->row->archive : entry->row->name))
    return TRUE;
  path = tpd_record_path (options->root, entry->dir, entry->row != NULL ? entry->row->name : NULL);
  return selection->each (selection->data, path, entry);
}

gboolean
tpd_scan_report_each (const TpdScanReport *report, TpdIndexWhich which, TpdScanEach each, gpointer data, GError **error)
{
  Selection selection = { report, each, data };
  g_autoptr (TpdIndexReader) reader = tpd_index_reader_new (report->scan->index, error);

  if (reader == NULL)
    return FALSE;
  return tpd_index_reader_each (reader, tpd_index_writer_visited (report->scan->writer), which, select_entry,
                                &selection, error);
}

gboolean
tpd_scan_report_is_late (const TpdScanReport *report, const TpdIndexEntry *entry)
{
  const char *issued = entry->document != NULL ? entry->document->issued : NULL;

  return report->options->cutoff != NULL && tpd_record_issued_is_time (issued)
         && strcmp (issued, report->options->cutoff) >= 0;
}

gboolean
tpd_scan_report_is_problem (const TpdScanReport *report, const TpdIndexEntry *entry)
{
  if (entry->row == NULL)
    return TRUE;
  return tpd_record_is_problem (tpd_record_verdict (entry->row, entry->document, report->keyring),
                                entry->document != NULL, report->keyring);
}

static gboolean
is_listed (const TpdScanReport *report, const TpdIndexEntry *entry)
{
  return report->options->cutoff == NULL || tpd_scan_report_is_late (report, entry);
}

/* --- Output ------------------------------------------------------------- */

#define FLUSH_BYTES (64 * 1024)

/* Lines on their way to standard output. */
typedef struct {
  const TpdScanReport *report;
  GString *lines;
} Output;

/* FALSE: nobody reads any more. */
static gboolean
flush_output (Output *output, gsize keep)
{
  gboolean good = TRUE;

  if (output->lines->len > keep)
    {
      good = tpd_output_write (output->lines->str, output->lines->len);
      g_string_truncate (output->lines, 0);
    }
  return good;
}

static gboolean
list (const TpdScanReport *report, gboolean all, const char *head, TpdScanEach each, GError **error)
{
  Output output = { report, g_string_new (head) };
  gboolean good = tpd_scan_report_each (report, all ? TPD_INDEX_ALL : TPD_INDEX_DOCUMENTS, each, &output, error);

  flush_output (&output, 0);
  g_string_free (output.lines, TRUE);
  return good;
}

/* --- JSON --------------------------------------------------------------- */

static gboolean
print_json (gpointer data, const char *path, const TpdIndexEntry *entry)
{
  Output *output = data;
  TpdJson json;

  if (!is_listed (output->report, entry))
    return TRUE;
  tpd_json_init (&json);
  tpd_record_json (&json, path, entry, output->report->keyring);
  g_string_append_len (output->lines, json.text->str, (gssize) json.text->len);
  g_string_append_c (output->lines, '\n');
  tpd_json_clear (&json);
  return flush_output (output, FLUSH_BYTES);
}

gboolean
tpd_scan_report_json (const TpdScanReport *report, gboolean all, GError **error)
{
  return list (report, all, "", print_json, error);
}

/* --- CSV ---------------------------------------------------------------- */

static void
append_number (GString *line, gboolean known, guint64 number)
{
  g_autofree char *text = known ? g_strdup_printf ("%" G_GUINT64_FORMAT, number) : NULL;

  tpd_csv_cell (line, text);
}

static void
append_key (GString *line, const TpdIndexDocument *document, const TpdKeyring *keyring)
{
  g_autofree char *fingerprint = NULL;

  if (document == NULL || !document->has_key)
    {
      for (guint i = 0; i < 6; i++)
        tpd_csv_cell (line, NULL);
      return;
    }
  fingerprint = tpd_hex (document->key.fingerprint.bytes, TPD_SHA256_SIZE);
  tpd_csv_cell (line, document->key.guid);
  append_number (line, TRUE, document->key.bits);
  tpd_csv_cell (line, fingerprint);
  tpd_csv_cell (line, tpd_record_key_is_held (document, keyring) ? "yes" : "no");
  tpd_csv_cell (line, document->key.tenant);
  tpd_csv_cell (line, document->key.url);
}

static void
append_document (GString *line, const TpdIndexDocument *document)
{
  static const TpdIndexDocument none;
  const TpdIndexDocument *d = document != NULL ? document : &none;

  tpd_csv_cell (line, d->content_id);
  tpd_csv_cell (line, d->policy_id);
  tpd_csv_cell (line, d->template_name);
  tpd_csv_cell (line, d->rms_owner);
  tpd_csv_cell (line, d->author);
  tpd_csv_cell (line, d->issued);
  tpd_csv_cell (line, d->cipher);
  tpd_csv_cell (line, d->proof);
}

static void
append_file (GString *line, const TpdIndexEntry *entry, const TpdKeyring *keyring)
{
  const TpdIndexRow *row = entry->row;
  TpdVerdict verdict = tpd_record_verdict (row, entry->document, keyring);
  g_autofree char *message = tpd_record_message (row, entry->document, keyring);
  g_autofree char *plain_name = tpd_record_plain_name (row);
  gboolean looked = verdict != TPD_VERDICT_IO_ERROR;

  tpd_csv_cell (line, looked ? tpd_kind_word (row->kind) : NULL);
  tpd_csv_cell (line, tpd_verdict_word (verdict));
  tpd_csv_cell (line, message);
  tpd_csv_cell (line, looked ? plain_name : NULL);
  append_number (line, looked && (row->exact || verdict == TPD_VERDICT_NOT_PROTECTED),
                 row->exact ? row->plain_size : row->size);
  append_number (line, looked, row->size);
}

static const char csv_header[] =
    "path,kind,verdict,message,plain_name,plain_size,source_size,key_guid,key_bits,key_fingerprint,key_held,tenant,url,"
    "content_id,policy_id,template,rms_owner,author,issued,cipher,proof\r\n";

static gboolean
print_csv (gpointer data, const char *path, const TpdIndexEntry *entry)
{
  Output *output = data;
  const TpdKeyring *keyring = output->report->keyring;
  g_autoptr (GString) line = NULL;

  if (!is_listed (output->report, entry))
    return TRUE;
  line = g_string_new (NULL);
  tpd_csv_cell (line, path);
  if (entry->row != NULL)
    append_file (line, entry, keyring);
  else
    {
      tpd_csv_cell (line, NULL);
      tpd_csv_cell (line, tpd_verdict_word (TPD_VERDICT_IO_ERROR));
      tpd_csv_cell (line, entry->dir_error);
      for (guint i = 0; i < 3; i++)
        tpd_csv_cell (line, NULL);
    }
  append_key (line, entry->document, keyring);
  append_document (line, entry->document);
  g_string_append_len (output->lines, line->str, (gssize) line->len);
  g_string_append (output->lines, "\r\n");
  return flush_output (output, FLUSH_BYTES);
}

gboolean
tpd_scan_report_csv (const TpdScanReport *report, gboolean all, GError **error)
{
  return list (report, all, csv_header, print_csv, error);
}
