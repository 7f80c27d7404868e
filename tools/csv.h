/* SPDX-License-Identifier: Apache-2.0 */
/* CSV as RFC 4180 has it, harmless in spreadsheets. */
#pragma once

#include <glib.h>

/* Appends one cell, behind a comma unless it is the first; NULL is empty. A
 * cell that a spreadsheet would take for a formula gets an apostrophe in front:
 * then it is text. */
void tpd_csv_cell (GString *line, const char *value);
