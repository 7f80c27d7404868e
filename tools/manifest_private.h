/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of journals, for manifest.c and journal.c. */
#pragma once

#include <glib.h>

/* {"journal":"VALIDATOR INO SIZE SOURCE-INO","record":{...}} */
#define TPD_JOURNAL_START "{\"journal\":\""
#define TPD_JOURNAL_RECORD "\",\"record\":"
#define TPD_JOURNAL_MARK_LEN (4 * 16 + 3)

/* The record in a line of a journal, or the line itself where it is a record.
 * FALSE: it is neither. */
gboolean tpd_journal_line_record (const char *line, gsize len, const char **record, gsize *record_len);
