/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page of `tpd scan --html`: one file, no network, for people who decide.
 *
 * It carries a policy that allows its own style and script, by their hashes,
 * and nothing beside: even if a name got out of its place, it would run
 * nothing and fetch nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "tools/report_assets.h"
#include "tools/scan_page.h"

static char *
sha256_base64 (const char *text)
{
  guint8 digest[TPD_SHA256_SIZE];

  tpd_sha256 (text, strlen (text), digest);
  return g_base64_encode (digest, sizeof digest);
}

static TpdCount
sum_verdicts (const TpdTally *tally, TpdVerdict a, TpdVerdict b)
{
  TpdCount first = tpd_tally_verdict (tally, a), second = tpd_tally_verdict (tally, b);

  return (TpdCount){ first.files + second.files, first.bytes + second.bytes };
}

/* --- Head --------------------------------------------------------------- */

static void
write_head (TpdScanPage *page)
{
  const TpdScan *scan = page->report->scan;
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (scan->finished);
  g_autofree char *when = g_date_time_format (time, "%-d %B %Y, %H:%M UTC");
  g_autofree char *style = sha256_base64 (report_css), *script = sha256_base64 (report_js);
  g_autofree char *policy =
      g_strdup_printf ("default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; base-uri 'none'; "
                       "form-action 'none'",
                       style, script);

  tpd_html_append (&page->html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
  tpd_html_parts (&page->html, "<meta http-equiv=\"Content-Security-Policy\" content=\"", policy, "\">\n", NULL);
  tpd_html_append (&page->html, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                                "<meta name=\"referrer\" content=\"no-referrer\">\n");
  tpd_html_parts (&page->html, "<title>Protected documents in ", page->report->options->root, "</title>\n<style>",
                  NULL);
  tpd_html_append (&page->html, report_css);
  tpd_html_parts (&page->html, "</style>\n</head>\n<body>\n<header>\n<h1>Protected documents in <bdi>",
                  page->report->options->root, "</bdi></h1>\n<p>Scanned ", when, " by tpd ", TPDFS_VERSION, "</p>\n",
                  NULL);
}

static void
write_tile (TpdScanPage *page, const char *class, const char *number, const char *label, const char *detail)
{
  tpd_html_parts (&page->html, "<div class=\"tile ", class, "\"><b>", number, "</b><span>", label, "</span><small>",
                  detail, "</small></div>\n", NULL);
}

static void
write_count_tile (TpdScanPage *page, const char *class, TpdCount count, const char *what)
{
  g_autofree char *files = tpd_progress_number (count.files), *bytes = tpd_progress_bytes (count.bytes);

  write_tile (page, class, files, what, bytes);
}

static guint
count_held (const GPtrArray *keys)
{
  guint held = 0;

  for (guint i = 0; i < keys->len; i++)
    held += ((const TpdTallyKey *) g_ptr_array_index (keys, i))->held ? 1 : 0;
  return held;
}

/* The answer in one sentence. */
static void
write_lead (TpdScanPage *page)
{
  const TpdTally *tally = &page->report->scan->tally;
  TpdCount opens = sum_verdicts (tally, TPD_VERDICT_OK, TPD_VERDICT_KEY_HELD);
  TpdCount no_key = tpd_tally_verdict (tally, TPD_VERDICT_NO_KEY);
  guint64 wrong = tally->protected.files - MIN (tally->protected.files, opens.files + no_key.files);
  g_autofree char *all = tpd_progress_number (tally->protected.files);
  g_autofree char *opening = tpd_progress_number (opens.files), *lacking = tpd_progress_number (no_key.files);
  g_autofree char *others = tpd_progress_number (wrong);

  if (tally->protected.files == 0)
    tpd_html_append (&page->html, "<p class=\"verdict-lead\">No protected file was found.</p>\n");
  else if (page->report->keyring->keys->len == 0)
    tpd_html_parts (&page->html, "<p class=\"verdict-lead warn\"><b>", all,
                    "</b> files are protected. No key was loaded, so this page tells which keys they need, not "
                    "whether they open.</p>\n",
                    NULL);
  else if (opens.files == tally->protected.files)
    tpd_html_parts (&page->html, "<p class=\"verdict-lead\">The loaded keys fit all <b>", all,
                    "</b> protected files.</p>\n", NULL);
  else
    tpd_html_parts (&page->html, "<p class=\"verdict-lead bad\">Of <b>", all,
                    "</b> protected files the loaded keys fit <b>", opening, "</b>; <b>", lacking,
                    "</b> need a key that is not loaded, and <b>", others, "</b> do not open for another reason.</p>\n",
                    NULL);
}

static void
write_tiles (TpdScanPage *page)
{
  const TpdTally *tally = &page->report->scan->tally;
  g_autoptr (GPtrArray) keys = tpd_tally_keys (tally);
  TpdCount opens = sum_verdicts (tally, TPD_VERDICT_OK, TPD_VERDICT_KEY_HELD);
  TpdCount no_key = tpd_tally_verdict (tally, TPD_VERDICT_NO_KEY);
  gboolean have_keys = page->report->keyring->keys->len > 0;
  guint held = count_held (keys);
  g_autofree char *held_text = g_strdup_printf ("%u of %u", held, keys->len);

  write_lead (page);
  tpd_html_append (&page->html, "<div class=\"tiles\">\n");
  write_count_tile (page, "", tally->all, "files in all");
  write_count_tile (page, "", tally->protected, "protected");
  if (have_keys)
    write_count_tile (page, opens.files > 0 ? "good" : "", opens, "fit a loaded key");
  write_count_tile (page, no_key.files > 0 ? "warn" : "", no_key, "lack their key");
  write_count_tile (page, tally->problems.files > 0 ? "bad" : "", tally->problems, "to look at");
  write_tile (page, held == keys->len ? "good" : "warn", held_text, "keys needed are held", "");
  tpd_html_append (&page->html, "</div>\n</header>\n<main>\n<div class=\"charts\">\n");
}

/* --- Foot --------------------------------------------------------------- */

static void
write_foot (TpdScanPage *page)
{
  static const char *const words[][2] = {
    { "ok", "was opened with its key" },
    { "key-held", "its key is loaded; it was not opened" },
    { "no-key", "sealed to a key that is not loaded" },
    { "double-key", "needs a second key, of Double Key Encryption" },
    { "damaged", "truncated or corrupted" },
    { "ambiguous", "two decryptions are possible, and neither can be proven" },
    { "too-large", "decoding it would take more memory than is allowed" },
    { "unsupported", "protected in a way that is not handled" },
    { "offline", "its content is elsewhere; it was not looked into" },
    { "io-error", "it could not be read" },
    { "not-protected", "a plain file with the name of a protected one" },
  };
  const TpdScan *scan = page->report->scan;
  g_autofree char *left = tpd_scan_left_out (scan);
  g_autofree char *left_out = g_strdup_printf ("Left out: %s. %" G_GUINT64_FORMAT " directories could not be read.",
                                               left != NULL ? left : "nothing", scan->tally.failed_dirs);

  tpd_html_append (&page->html, "</main>\n<footer>\n<dl>\n");
  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    tpd_html_parts (&page->html, "<dt>", words[i][0], "</dt><dd>", words[i][1], "</dd>\n", NULL);
  tpd_html_parts (&page->html, "</dl>\n<p>", left_out, " Index: <span class=\"path\">", tpd_index_path (scan->index),
                  "</span></p>\n</footer>\n<script>", NULL);
  tpd_html_append (&page->html, report_js);
  tpd_html_append (&page->html, "</script>\n</body>\n</html>\n");
}

/* --- The file ----------------------------------------------------------- */

static gboolean
write_page (TpdScanPage *page, GError **error)
{
  write_head (page);
  write_tiles (page);
  tpd_scan_page_charts (page);
  if (!tpd_scan_page_tables (page, error))
    return FALSE;
  write_foot (page);
  tpd_html_flush (&page->html, 0);
  if (!page->html.failed && fsync (page->html.fd) != 0)
    {
      page->html.failed = TRUE;
      page->html.errnum = errno;
    }
  if (page->html.failed)
    tpd_error_set_errno (error, page->html.errnum, "cannot write the report");
  return !page->html.failed;
}

gboolean
tpd_scan_report_html (const TpdScanReport *report, TpdLateFile *file, GError **error)
{
  TpdScanPage page = { .report = report, .html.out = g_string_new (NULL), .html.fd = tpd_late_file_fd (file) };
  gboolean good = write_page (&page, error) && tpd_late_file_commit (file, error);

  g_string_free (page.html.out, TRUE);
  return good;
}
