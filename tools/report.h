/* SPDX-License-Identifier: Apache-2.0 */
/* The facts of one file, told to a program (JSON) or to a person (text). */
#pragma once

#include <stdio.h>

#include "tools/facts.h"
#include "tools/json.h"

/* Goes up when a member of the JSON object changes its meaning. */
#define TPD_REPORT_SCHEMA 1

/*
 * One JSON object on one line of standard output; members and rules in
 * tpd-show(1). What is not known is null, a list known to be empty is [].
 * `path_b64` alone is left out when `path` is UTF-8.
 */
void tpd_report_print_json (const TpdFileFacts *facts);

/* The members in front: what depends on the file's name, or on the keys that
 * are loaded now. `kind` is NULL when the file could not be opened. */
typedef struct {
  const char *path;
  const char *kind;
  gboolean is_protected;
  TpdVerdict verdict;
  const char *message;
  const char *plain_name;
  gboolean plain_size_known;
  guint64 plain_size;
  guint64 source_size;
} TpdReportHead;

void tpd_report_json_head (TpdJson *json, const TpdReportHead *head);
/* All members behind those: what an index can keep. */
void tpd_report_json_tail (TpdJson *json, const TpdFileFacts *facts);

/* Aligned "Label: value" lines on standard output, in the user's language as
 * far as the license has it. */
void tpd_report_print_text (const TpdFileFacts *facts);

/* Every step from bytes to content key on standard output, never a secret. */
void tpd_report_print_trace (const TpdFileFacts *facts, const TpdKeyring *keyring);

/* One "Label:   value" line; control characters in the value are escaped. For
 * the text forms of all commands. */
void tpd_report_line (const char *label, const char *format, ...) G_GNUC_PRINTF (2, 3);
