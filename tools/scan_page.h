/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the page of `tpd scan --html`. */
#pragma once

#include "tools/html.h"
#include "tools/scan_report.h"

typedef struct {
  TpdHtml html;
  const TpdScanReport *report;
} TpdScanPage;

/* "good", "warn", "bad" or "plain": the colour of a verdict. */
const char *tpd_scan_page_class (TpdVerdict verdict);

/* Bars by verdict, kind, key, template and owner, and columns by year. */
void tpd_scan_page_charts (TpdScanPage *page);
/* The keys needed, what was issued after the cutoff, and what is to be looked
 * at. */
gboolean tpd_scan_page_tables (TpdScanPage *page, GError **error);
