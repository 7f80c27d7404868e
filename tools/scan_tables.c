/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of the page. They are sorted and searched by its script, and are
 * whole without it. */
#include "base/text.h"
#include "tools/scan_page.h"

/* More lines than that no browser shows with ease; the lists have them all. */
#define MAX_LISTED 5000

static void
write_keys (TpdScanPage *page)
{
  g_autoptr (GPtrArray) keys = tpd_tally_keys (&page->report->scan->tally);

  if (keys->len == 0)
    return;
  tpd_html_append (&page->html,
                   "<section class=\"card wide\" id=\"keys\">\n<h2>Keys needed</h2>\n<div class=\"scroll\">"
                   "<table class=\"data sortable\"><thead><tr><th>Key</th><th>State</th><th class=\"right\">Files</th>"
                   "<th class=\"right\">Size</th><th class=\"right\">Bits</th><th>Fingerprint</th><th>Tenant</th>"
                   "<th>Licensing URL</th></tr></thead>\n<tbody>\n");
  for (guint i = 0; i < keys->len; i++)
    {
      const TpdTallyKey *entry = g_ptr_array_index (keys, i);
      g_autofree char *files = g_strdup_printf ("%" G_GUINT64_FORMAT, entry->count.files);
      g_autofree char *bytes = g_strdup_printf ("%" G_GUINT64_FORMAT, entry->count.bytes);
      g_autofree char *shown_files = tpd_progress_number (entry->count.files);
      g_autofree char *shown_bytes = tpd_progress_bytes (entry->count.bytes);
      g_autofree char *bits = g_strdup_printf ("%u", entry->key.bits);
      g_autofree char *fingerprint = tpd_hex (entry->key.fingerprint.bytes, TPD_SHA256_SIZE);

      tpd_html_parts (&page->html, "<tr><td class=\"mono nowrap\">", entry->key.guid != NULL ? entry->key.guid : "none",
                      "</td><td><span class=\"chip ", entry->held ? "good" : "warn", "\">",
                      entry->held ? "held" : "not held", "</span></td><td class=\"right\" data-v=\"", files, "\">",
                      shown_files, "</td><td class=\"right\" data-v=\"", bytes, "\">", shown_bytes,
                      "</td><td class=\"right\">", bits, "</td><td class=\"mono\">", fingerprint,
                      "</td><td class=\"mono\">", entry->key.tenant != NULL ? entry->key.tenant : "",
                      "</td><td class=\"mono\">", entry->key.url != NULL ? entry->key.url : "", "</td></tr>\n", NULL);
    }
  tpd_html_append (&page->html, "</tbody></table></div>\n</section>\n");
}

/* A table of files being written. */
typedef struct {
  TpdScanPage *page;
  gboolean late; /* what was issued after the cutoff, not problems */
  guint64 listed, left_out;
} Table;

static void
begin_files (Table *table, const char *id, const char *title, TpdCount count, const char *last_column)
{
  g_autofree char *files = tpd_progress_number (count.files), *bytes = tpd_progress_bytes (count.bytes);

  table->listed = table->left_out = 0;
  tpd_html_parts (&table->page->html, "<section class=\"card wide\" id=\"", id, "\">\n<h2>", title,
                  "</h2>\n<p class=\"note\">", files, " files, ", bytes, "</p>\n", NULL);
  tpd_html_parts (
      &table->page->html,
      "<div class=\"tools\" hidden><input type=\"search\" placeholder=\"Search path, owner, key, reason\" "
      "aria-label=\"Search\"><select aria-label=\"Verdict\"><option value=\"\">All verdicts</option></select>"
      "<output class=\"muted\"></output></div>\n<div class=\"scroll\"><table class=\"data sortable\"><thead>"
      "<tr><th class=\"path\">Path</th><th>Verdict</th><th>Kind</th><th class=\"right\">Size</th>"
      "<th>Issued</th><th class=\"owner\">Owner</th><th>",
      last_column, "</th></tr></thead>\n<tbody>\n", NULL);
}

static void
end_files (Table *table)
{
  tpd_html_append (&table->page->html, "</tbody></table></div>\n");
  if (table->left_out > 0)
    {
      g_autofree char *more = tpd_progress_number (table->left_out);
      tpd_html_parts (&table->page->html, "<p class=\"muted\">", more,
                      " more are not shown here; tpd scan --csv and --json list them all.</p>\n", NULL);
    }
  tpd_html_append (&table->page->html, "</section>\n");
}

/* The table of keys tells all about the key; here its GUID will do. */
static char *
missing_key (const TpdIndexDocument *document, const TpdKeyring *keyring)
{
  g_autofree char *fingerprint = NULL;

  if (document == NULL || !document->has_key)
    return NULL;
  fingerprint = tpd_hex (document->key.fingerprint.bytes, 8);
  if (document->key.guid == NULL)
    return g_strdup_printf ("Needs the key with fingerprint %s..., which is not loaded.", fingerprint);
  if (tpd_keyring_find_guid (keyring, document->key.guid) != NULL)
    return g_strdup_printf ("Needs the key %s with fingerprint %s...; the loaded key of that GUID is another one, or "
                            "lacks its private part.",
                            document->key.guid, fingerprint);
  return g_strdup_printf ("Needs the key %s, which is not loaded.", document->key.guid);
}

static char *
reason (const Table *table, const TpdIndexEntry *entry, TpdVerdict verdict)
{
  if (entry->row == NULL)
    return g_strdup (entry->dir_error);
  if (table->late)
    return g_strdup (entry->document->has_key ? entry->document->key.guid : NULL);
  if (verdict == TPD_VERDICT_NO_KEY)
    return missing_key (entry->document, table->page->report->keyring);
  if (verdict == TPD_VERDICT_NOT_PROTECTED)
    return g_strdup (entry->row->size == 0
                         ? "Has the name of a protected file, but is empty: its content is lost."
                         : "Has the name of a protected file, but its content is not: it may have been overwritten.");
  return tpd_record_message (entry->row, entry->document, table->page->report->keyring);
}

/* "2021-05-31 18:00", or what the license says instead. */
static char *
issued (const TpdIndexDocument *document)
{
  char *text = g_strdup (document != NULL && document->issued != NULL ? document->issued : "");

  if (tpd_record_issued_is_time (text))
    text[10] = ' ';
  return text;
}

static gboolean
write_file (gpointer data, const char *path, const TpdIndexEntry *entry)
{
  Table *table = data;
  const TpdScanReport *report = table->page->report;
  const TpdIndexDocument *document = entry->document;
  TpdVerdict verdict = TPD_VERDICT_IO_ERROR;
  g_autofree char *why = NULL, *size = NULL, *shown_size = NULL, *when = issued (document), *shown = NULL;

  if (table->late ? !tpd_scan_report_is_late (report, entry) : !tpd_scan_report_is_problem (report, entry))
    return TRUE;
  if (table->listed == MAX_LISTED)
    {
      table->left_out++;
      return TRUE;
    }
  table->listed++;
  if (entry->row != NULL)
    verdict = tpd_record_verdict (entry->row, document, report->keyring);
  why = reason (table, entry, verdict);
  /* The root is in the title. */
  shown = tpd_record_path ("", entry->dir[0] != '\0' || entry->row != NULL ? entry->dir : ".",
                           entry->row != NULL ? entry->row->name : NULL);
  size = g_strdup_printf ("%" G_GUINT64_FORMAT, entry->row != NULL ? entry->row->size : 0);
  shown_size = entry->row != NULL ? tpd_progress_bytes (entry->row->size) : g_strdup ("");
  tpd_html_parts (
      &table->page->html, "<tr data-verdict=\"", tpd_verdict_word (verdict), "\"><td class=\"path\"><bdi>", shown,
      "</bdi></td><td><span class=\"chip ", tpd_scan_page_class (verdict), "\">", tpd_verdict_word (verdict),
      "</span></td><td>", entry->row != NULL ? tpd_kind_word (entry->row->kind) : "directory",
      "</td><td class=\"right\" data-v=\"", size, "\">", shown_size, "</td><td class=\"nowrap\">", when,
      "</td><td class=\"owner\"><bdi>", document != NULL && document->rms_owner != NULL ? document->rms_owner : "",
      "</bdi></td><td class=\"", table->late ? "mono" : "reason", "\">", why != NULL ? why : "", "</td></tr>\n", NULL);
  return !table->page->html.failed;
}

gboolean
tpd_scan_page_tables (TpdScanPage *page, GError **error)
{
  const TpdScanReport *report = page->report;
  const TpdTally *tally = &report->scan->tally;
  Table table = { .page = page };

  write_keys (page);
  if (report->options->cutoff != NULL)
    {
      g_autofree char *title = g_strdup_printf ("Issued since %s UTC", report->options->cutoff);

      table.late = TRUE;
      begin_files (&table, "cutoff", title, tally->cutoff, "Key");
      if (!tpd_scan_report_each (report, TPD_INDEX_DOCUMENTS, write_file, &table, error))
        return FALSE;
      end_files (&table);
      table.late = FALSE;
    }
  begin_files (&table, "problems", "To look at", tally->problems, "Reason");
  if (!tpd_scan_report_each (report, TPD_INDEX_DOCUMENTS, write_file, &table, error))
    return FALSE;
  end_files (&table);
  return TRUE;
}
