/* SPDX-License-Identifier: Apache-2.0 */
/* tpd preflight: may the service be switched off? */
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "tools/common.h"
#include "tools/preflight.h"

static const TpdCommandHelp help = {
  "DIR",
  "Tells whether anything in DIR would be lost if the service were switched off:\n"
  "which keys are needed and held, what cannot be opened, what cannot be told.",
};

typedef struct {
  TpdScanOptions scan;
  char *index, *accept_file, *aip_file;
  char **own, **foreign;
  gboolean csv;

  /* Opened before the process is confined. */
  TpdIndex *opened;
  TpdAccept *accept;
  GPtrArray *listed;
} Arguments;

static void
arguments_clear (Arguments *arguments)
{
  tpd_filter_clear (&arguments->scan.filter);
  g_clear_pointer (&arguments->opened, tpd_index_free);
  g_clear_pointer (&arguments->scan.scratch, tpd_scratch_pool_free);
  tpd_accept_free (arguments->accept);
  g_clear_pointer (&arguments->listed, g_ptr_array_unref);
  g_free (arguments->index);
  g_free (arguments->accept_file);
  g_free (arguments->aip_file);
  g_strfreev (arguments->own);
  g_strfreev (arguments->foreign);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Arguments, arguments_clear)

static gboolean
check (Arguments *arguments, const TpdCommon *common, GError **error)
{
  if (common->json && arguments->csv)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "--json and --csv exclude each other");
      return FALSE;
    }
  arguments->scan.root = common->files[0];
  arguments->scan.index_path = arguments->index;
  arguments->scan.jobs = common->jobs;
  arguments->scan.check = arguments->scan.deep;
  return TRUE;
}

static gboolean
open_files (TpdConfinement *reach, gpointer data, GError **error)
{
  Arguments *arguments = data;

  if (arguments->accept_file != NULL)
    {
      arguments->accept = tpd_accept_read (arguments->accept_file, arguments->scan.root, error);
      if (arguments->accept == NULL)
        return FALSE;
    }
  if (arguments->aip_file != NULL)
    {
      arguments->listed = tpd_aip_keys_read (arguments->aip_file, error);
      if (arguments->listed == NULL)
        return FALSE;
    }
  if (!arguments->scan.no_containers)
    arguments->scan.scratch = tpd_scratch_pool_new (2 * arguments->scan.jobs);
  arguments->opened = tpd_index_open (arguments->index, arguments->scan.root, error);
  return arguments->opened != NULL && tpd_index_reach (arguments->opened, reach, error);
}

static TpdExit
report (const Arguments *arguments, const TpdCommon *common, const TpdSession *session, const TpdScan *scan)
{
  const TpdScanReport scan_report = { &arguments->scan, scan, session->keyring };
  g_auto (TpdPreflight) preflight = {
    .report = &scan_report,
    .listed = arguments->listed,
    .accept = arguments->accept,
    .own = arguments->own,
    .foreign = arguments->foreign,
    .deep = arguments->scan.deep,
  };
  TpdPreflightEach each = common->json ? tpd_preflight_print_json : arguments->csv ? tpd_preflight_print_csv : NULL;
  g_autoptr (GError) error = NULL;

  if (arguments->csv)
    tpd_preflight_print_csv_head ();
  if (!tpd_preflight_judge (&preflight, each, &preflight, &error))
    {
      tpd_error ("%s", error->message);
      return TPD_EXIT_FAILED;
    }
  if (common->json)
    tpd_preflight_print_summary (&preflight);
  else if (!arguments->csv && !common->quiet)
    tpd_preflight_print_text (&preflight);
  return tpd_output_finish (preflight.go ? TPD_EXIT_OK : TPD_EXIT_FAILED);
}

static TpdExit
preflight (const Arguments *arguments, const TpdCommon *common, const TpdSession *session)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdScan) scan = NULL;
  TpdProgress progress;

  tpd_progress_init (&progress, "preflight", common->quiet);
  tpd_interrupt_defer ();
  scan = tpd_scan_run (&arguments->scan, session, &progress, &error);
  tpd_progress_clear (&progress);
  if (scan == NULL)
    {
      tpd_error ("%s", error->message);
      return g_error_matches (error, TPD_ERROR, TPD_ERROR_USAGE) ? TPD_EXIT_USAGE : TPD_EXIT_FAILED;
    }
  if (scan->interrupted)
    {
      tpd_info ("interrupted; what was found is in the index, and the same command goes on from there");
      return TPD_EXIT_INTERRUPTED;
    }
  return report (arguments, common, session, scan);
}

TpdExit
tpd_cmd_preflight (int argc, char **argv)
{
  g_auto (TpdCommon) common = { 0 };
  g_auto (TpdSession) session = { 0 };
  g_auto (Arguments) arguments = { 0 };
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = {
    { "deep", 0, 0, G_OPTION_ARG_NONE, &arguments.scan.deep, "Decrypt everything, and check what can be checked",
      NULL },
    { "accept", 0, 0, G_OPTION_ARG_FILENAME, &arguments.accept_file, "Files that somebody has looked at, one a line",
      "FILE" },
    { "aip-keys", 0, 0, G_OPTION_ARG_FILENAME, &arguments.aip_file, "Compare with the output of Get-AipServiceKeys",
      "FILE" },
    { "own", 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments.own,
      "Keys of this GUID, tenant, host or mail domain are yours", "WORD" },
    { "foreign", 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments.foreign, "Keys of this are not yours", "WORD" },
    { "index", 0, 0, G_OPTION_ARG_FILENAME, &arguments.index, "Keep the index in this file", "FILE" },
    { "include", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments.scan.filter.include, "Only files that match this glob",
      "GLOB" },
    { "exclude", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments.scan.filter.exclude,
      "No files and directories that match this glob", "GLOB" },
    { "one-file-system", 'x', 0, G_OPTION_ARG_NONE, &arguments.scan.one_file_system, "Stay on the file system of DIR",
      NULL },
    { "snapshots", 0, 0, G_OPTION_ARG_NONE, &arguments.scan.snapshots, "Also enter .snapshot, ~snapshot and .zfs",
      NULL },
    { "no-containers", 0, 0, G_OPTION_ARG_NONE, &arguments.scan.no_containers, "Do not look into zip archives", NULL },
    { "recall", 0, 0, G_OPTION_ARG_NONE, &arguments.scan.recall, "Also read files whose content is offline", NULL },
    { "csv", 0, 0, G_OPTION_ARG_NONE, &arguments.csv, "Write CSV, one line a file and table", NULL },
    { NULL },
  };
  const TpdCommonFlags flags = TPD_COMMON_KEYS | TPD_COMMON_JSON | TPD_COMMON_DIR | TPD_COMMON_JOBS;
  TpdExit status;

  if (!tpd_common_parse (&common, flags, &help, entries, argc, argv, &status))
    return status;
  if (!check (&arguments, &common, &error))
    {
      tpd_error ("%s; see tpd preflight --help", error->message);
      return TPD_EXIT_USAGE;
    }
  common.reach = open_files;
  common.reach_data = &arguments;
  if (!tpd_session_start (&session, &common, TPD_AGENT_DEFAULT, &status))
    return status;
  return preflight (&arguments, &common, &session);
}
