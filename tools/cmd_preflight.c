/* SPDX-License-Identifier: Apache-2.0 */
/* tpd preflight: may the service be switched off? */
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "tools/common.h"
#include "tools/preflight.h"
#include "tools/scan_command.h"

static const TpdCommandHelp help = {
  "DIR",
  "Tells whether anything in DIR would be lost if the service were switched off:\n"
  "which keys are needed and held, what cannot be opened, what cannot be told.",
};

typedef struct {
  TpdScanCommand scan;
  char *accept_file, *aip_file;
  char **own, **foreign;

  /* Read before the process is confined. */
  TpdAccept *accept;
  GPtrArray *listed;
} Arguments;

static void
arguments_clear (Arguments *arguments)
{
  tpd_scan_command_clear (&arguments->scan);
  tpd_accept_free (arguments->accept);
  g_clear_pointer (&arguments->listed, g_ptr_array_unref);
  g_free (arguments->accept_file);
  g_free (arguments->aip_file);
  g_strfreev (arguments->own);
  g_strfreev (arguments->foreign);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Arguments, arguments_clear)

static gboolean
open_files (TpdConfinement *reach, gpointer data, GError **error)
{
  Arguments *arguments = data;

  if (arguments->accept_file != NULL)
    {
      arguments->accept = tpd_accept_read (arguments->accept_file, arguments->scan.options.root, error);
      if (arguments->accept == NULL)
        return FALSE;
    }
  if (arguments->aip_file != NULL)
    {
      arguments->listed = tpd_aip_keys_read (arguments->aip_file, error);
      if (arguments->listed == NULL)
        return FALSE;
    }
  return tpd_scan_command_open (&arguments->scan, reach, error);
}

static TpdExit
report (const Arguments *arguments, const TpdCommon *common, const TpdSession *session, const TpdScan *scan)
{
  const TpdScanReport scan_report = { &arguments->scan.options, scan, session->keyring };
  g_auto (TpdPreflight) preflight = {
    .report = &scan_report,
    .listed = arguments->listed,
    .accept = arguments->accept,
    .own = arguments->own,
    .foreign = arguments->foreign,
    .deep = arguments->scan.options.deep,
  };
  TpdPreflightEach each = common->json          ? tpd_preflight_print_json
                          : arguments->scan.csv ? tpd_preflight_print_csv
                                                : NULL;
  g_autoptr (GError) error = NULL;

  if (arguments->scan.csv)
    tpd_preflight_print_csv_head ();
  if (!tpd_preflight_judge (&preflight, each, &preflight, &error))
    {
      tpd_error ("%s", error->message);
      return TPD_EXIT_FAILED;
    }
  if (common->json)
    tpd_preflight_print_summary (&preflight);
  else if (!arguments->scan.csv && !common->quiet)
    tpd_preflight_print_text (&preflight);
  return tpd_output_finish (preflight.go ? TPD_EXIT_OK : TPD_EXIT_FAILED);
}

TpdExit
tpd_cmd_preflight (int argc, char **argv)
{
  g_auto (TpdCommon) common = { 0 };
  g_auto (TpdSession) session = { 0 };
  g_auto (Arguments) arguments = { 0 };
  g_autoptr (TpdScan) scan = NULL;
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = {
    { "deep", 0, 0, G_OPTION_ARG_NONE, &arguments.scan.options.deep,
      "Decrypt everything, and check what can be checked", NULL },
    { "accept", 0, 0, G_OPTION_ARG_FILENAME, &arguments.accept_file, "Files that somebody has looked at, one a line",
      "FILE" },
    { "aip-keys", 0, 0, G_OPTION_ARG_FILENAME, &arguments.aip_file, "Compare with the output of Get-AipServiceKeys",
      "FILE" },
    { "own", 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments.own,
      "Keys of this GUID, tenant, host or mail domain are yours", "WORD" },
    { "foreign", 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments.foreign, "Keys of this are not yours", "WORD" },
    TPD_SCAN_ENTRIES (arguments.scan, "Write CSV, one line a file and table"),
    { NULL },
  };
  const TpdCommonFlags flags = TPD_COMMON_KEYS | TPD_COMMON_JSON | TPD_COMMON_DIR | TPD_COMMON_JOBS;
  TpdExit status;

  if (!tpd_common_parse (&common, flags, &help, entries, argc, argv, &status))
    return status;
  if (!tpd_scan_command_check (&arguments.scan, &common, &error))
    {
      tpd_error ("%s; see tpd preflight --help", error->message);
      return TPD_EXIT_USAGE;
    }
  arguments.scan.options.check = arguments.scan.options.deep;
  common.reach = open_files;
  common.reach_data = &arguments;
  if (!tpd_session_start (&session, &common, TPD_AGENT_DEFAULT, &status))
    return status;
  scan = tpd_scan_command_run (&arguments.scan, "preflight", &common, &session, &status);
  return scan != NULL ? report (&arguments, &common, &session, scan) : status;
}
