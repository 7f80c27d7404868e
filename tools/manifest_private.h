/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of journals, for manifest.c and journal.c. */
#pragma once

#include <glib.h>

/* {"journal":"VALIDATOR INO SIZE SOURCE-INO MTIME","record":{...}} */
#define TPD_JOURNAL_START "{\"journal\":\""
#define TPD_JOURNAL_RECORD "\",\"record\":"
#define TPD_JOURNAL_MARK_LEN (5 * 16 + 4)

/* The record in a line of a journal, or the line itself where it is a record.
 * FALSE: it is neither. */
gboolean tpd_journal_line_record (const char *line, gsize len, const char **record, gsize *record_len);
