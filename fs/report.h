/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What could not be read: one log line for each file and verdict, not for
 * each attempt, and a bounded list for the status directory.
 */
#pragma once

#include <glib.h>

#include "base/verdict.h"
#include "format/source.h"

typedef struct _TpdReport TpdReport;

TpdReport *tpd_report_new (void);
void tpd_report_free (TpdReport *report);

/* Whether this (file, verdict) has not been reported yet: if so it now counts
 * as reported and the caller goes on with tpd_report_unreadable(). */
gboolean tpd_report_is_new (TpdReport *report, const TpdStamp *stamp, TpdVerdict verdict);

/* Logs and lists that `path` (below the source) cannot be read; `message` is
 * a sentence, `kind` the word of its kind. */
void tpd_report_unreadable (TpdReport *report, const char *path, const char *kind, TpdVerdict verdict,
                            const char *message);

/* The list as JSON lines, oldest first. (transfer full) */
GBytes *tpd_report_list (TpdReport *report);
