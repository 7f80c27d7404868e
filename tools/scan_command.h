/* SPDX-License-Identifier: Apache-2.0 */
/* A command that scans a tree into its index and tells of it: what tpd scan and
 * tpd preflight have in common. */
#pragma once

#include "tools/scan.h"

typedef struct {
  TpdScanOptions options;
  char *index;      /* --index */
  gboolean csv;     /* --csv */
  TpdIndex *opened; /* before the process is confined */
} TpdScanCommand;

/* The options of both; `csv_help` tells what is a line of --csv. */
/* clang-format off */
#define TPD_SCAN_ENTRIES(command, csv_help) \
  { "index", 0, 0, G_OPTION_ARG_FILENAME, &(command).index, "Keep the index in this file", "FILE" }, \
  TPD_TREE_ENTRIES ((command).options.tree, "DIR"), \
  { "no-containers", 0, 0, G_OPTION_ARG_NONE, &(command).options.no_containers, "Do not look into zip archives", NULL }, \
  { "csv", 0, 0, G_OPTION_ARG_NONE, &(command).csv, csv_help, NULL }
/* clang-format on */

void tpd_scan_command_clear (TpdScanCommand *command);

/* Takes over what the common options say. FALSE: they contradict each other. */
gboolean tpd_scan_command_check (TpdScanCommand *command, const TpdCommon *common, GError **error);

/* Opens the index, and declares what it needs (TpdReachFunc). */
gboolean tpd_scan_command_open (TpdScanCommand *command, TpdConfinement *reach, GError **error);

/* Runs the scan; `name` is that of the command. NULL: there is nothing to report,
 * and that was told; `*status` is the exit status. (transfer full) */
TpdScan *tpd_scan_command_run (const TpdScanCommand *command, const char *name, const TpdCommon *common,
                               const TpdSession *session, TpdExit *status);
