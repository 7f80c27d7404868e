/* SPDX-License-Identifier: Apache-2.0 */
/* tpd scan: what a share holds, kept in an index. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "tools/common.h"
#include "tools/scan_command.h"
#include "tools/scan_report.h"

static const TpdCommandHelp help = {
  "DIR",
  "Finds out what every file in DIR is, and by whom it is protected, and keeps\n"
  "that in an index: the next scan opens only what has changed.",
};

typedef struct {
  TpdScanCommand scan;
  char *html, *cutoff;
  gboolean summary, all;
  TpdLateFile *page; /* opened before the process is confined */
} Arguments;

static void
arguments_clear (Arguments *arguments)
{
  tpd_scan_command_clear (&arguments->scan);
  g_clear_pointer (&arguments->page, tpd_late_file_free);
  g_free (arguments->html);
  g_free (arguments->cutoff);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Arguments, arguments_clear)

/* A day, month or year means its first minute. */
static char *
parse_cutoff (const char *text)
{
  static const char first_minute[] = "0000-01-01T00:00";
  gsize len = strlen (text);
  g_autofree char *full = NULL;

  if (len != 4 && len != 7 && len != 10 && len != 16)
    return NULL;
  full = g_strconcat (text, first_minute + len, NULL);
  if (full[10] == ' ')
    full[10] = 'T';
  return tpd_record_issued_is_time (full) ? g_steal_pointer (&full) : NULL;
}

static gboolean
check (Arguments *arguments, const TpdCommon *common, GError **error)
{
  if (!tpd_scan_command_check (&arguments->scan, common, error))
    return FALSE;
  if (arguments->scan.csv && arguments->summary)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "--csv and --summary exclude each other");
      return FALSE;
    }
  if (arguments->cutoff != NULL)
    {
      g_autofree char *given = g_steal_pointer (&arguments->cutoff);

      arguments->cutoff = parse_cutoff (given);
      if (arguments->cutoff == NULL)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                       "--cutoff wants a date like 2021-05-31 or 2021-05-31T18:00 (UTC), not '%s'", given);
          return FALSE;
        }
    }
  arguments->scan.options.cutoff = arguments->cutoff;
  return TRUE;
}

/* Without another wish the totals are told; beside a page only to somebody who
 * looks. */
static gboolean
wants_summary (const Arguments *arguments, const TpdCommon *common)
{
  if (arguments->summary)
    return TRUE;
  if (common->json || arguments->scan.csv || common->quiet)
    return FALSE;
  return arguments->html == NULL || isatty (STDOUT_FILENO);
}

static gboolean
report (const TpdScanReport *scan_report, const Arguments *arguments, const TpdCommon *common, GError **error)
{
  if (arguments->page != NULL && !tpd_scan_report_html (scan_report, arguments->page, error))
    return FALSE;
  if (wants_summary (arguments, common))
    {
      if (!common->json)
        return tpd_scan_report_text (scan_report, error);
      tpd_scan_report_totals_json (scan_report);
      return TRUE;
    }
  if (common->json)
    return tpd_scan_report_json (scan_report, arguments->all, error);
  return !arguments->scan.csv || tpd_scan_report_csv (scan_report, arguments->all, error);
}

static gboolean
open_outputs (TpdConfinement *reach, gpointer data, GError **error)
{
  Arguments *arguments = data;

  if (!tpd_scan_command_open (&arguments->scan, reach, error))
    return FALSE;
  if (arguments->html != NULL)
    arguments->page = tpd_late_file_open (arguments->html, error);
  return arguments->html == NULL || arguments->page != NULL;
}

static TpdExit
scan (const Arguments *arguments, const TpdCommon *common, const TpdSession *session)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdScan) result = NULL;
  TpdExit status;

  result = tpd_scan_command_run (&arguments->scan, "scan", common, session, &status);
  if (result == NULL)
    return status;
  if (!report (&(TpdScanReport){ &arguments->scan.options, result, session->keyring }, arguments, common, &error))
    {
      tpd_error ("%s", error->message);
      return TPD_EXIT_FAILED;
    }
  if (result->tally.failures + result->tally.failed_dirs > 0)
    return tpd_output_finish (TPD_EXIT_FAILED);
  return tpd_output_finish (TPD_EXIT_OK);
}

TpdExit
tpd_cmd_scan (int argc, char **argv)
{
  g_auto (TpdCommon) common = { 0 };
  g_auto (TpdSession) session = { 0 };
  g_auto (Arguments) arguments = { 0 };
  g_autoptr (GError) error = NULL;
  const GOptionEntry entries[] = {
    { "deep", 0, 0, G_OPTION_ARG_NONE, &arguments.scan.options.deep, "Also open every document whose key is held",
      NULL },
    TPD_SCAN_ENTRIES (arguments.scan, "Write CSV, one line a file"),
    { "summary", 0, 0, G_OPTION_ARG_NONE, &arguments.summary, "Tell totals (default); with --json as one object",
      NULL },
    { "all", 0, 0, G_OPTION_ARG_NONE, &arguments.all, "List plain files too", NULL },
    { "html", 0, 0, G_OPTION_ARG_FILENAME, &arguments.html, "Write a report for people to this file", "FILE" },
    { "cutoff", 0, 0, G_OPTION_ARG_STRING, &arguments.cutoff, "List licenses issued since then", "DATE" },
    { NULL },
  };
  const TpdCommonFlags flags = TPD_COMMON_KEYS | TPD_COMMON_JSON | TPD_COMMON_DIR | TPD_COMMON_JOBS;
  TpdExit status;

  if (!tpd_common_parse (&common, flags, &help, entries, argc, argv, &status))
    return status;
  if (!check (&arguments, &common, &error))
    {
      tpd_error ("%s; see tpd scan --help", error->message);
      return TPD_EXIT_USAGE;
    }
  common.reach = open_outputs;
  common.reach_data = &arguments;
  if (!tpd_session_start (&session, &common, TPD_AGENT_DEFAULT, &status))
    return status;
  return scan (&arguments, &common, &session);
}
