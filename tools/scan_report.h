/* SPDX-License-Identifier: Apache-2.0 */
/* What `tpd scan` tells of a scan: lists, totals, and one page for people. */
#pragma once

#include "tools/late_file.h"
#include "tools/record.h"
#include "tools/scan.h"

typedef struct {
  const TpdScanOptions *options;
  const TpdScan *scan;
  const TpdKeyring *keyring;
} TpdScanReport;

/* Return FALSE to stop. `path` is the whole path. */
typedef gboolean (*TpdScanEach) (gpointer data, const char *path, const TpdIndexEntry *entry);

/* Calls `each` for what the scan was meant for, as far as `which` says; in
 * order. */
gboolean tpd_scan_report_each (const TpdScanReport *report, TpdIndexWhich which, TpdScanEach each, gpointer data,
                               GError **error);
/* Whether a license was issued at or after the cutoff. FALSE without one. */
gboolean tpd_scan_report_is_late (const TpdScanReport *report, const TpdIndexEntry *entry);
gboolean tpd_scan_report_is_problem (const TpdScanReport *report, const TpdIndexEntry *entry);

/*
 * One line for each protected file and each problem, or for every file if
 * `all`; with a cutoff for each license issued after it. On standard output.
 */
gboolean tpd_scan_report_json (const TpdScanReport *report, gboolean all, GError **error);
gboolean tpd_scan_report_csv (const TpdScanReport *report, gboolean all, GError **error);

/* The totals on standard output, for a person or as one JSON object. */
gboolean tpd_scan_report_text (const TpdScanReport *report, GError **error);
void tpd_scan_report_totals_json (const TpdScanReport *report);

/* One self-contained page, put in its place when it is complete. */
gboolean tpd_scan_report_html (const TpdScanReport *report, TpdLateFile *file, GError **error);
