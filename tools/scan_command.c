/* SPDX-License-Identifier: Apache-2.0 */
/* What tpd scan and tpd preflight have in common: see scan_command.h. */
#include "tools/scan_command.h"

#include "base/error.h"
#include "base/log.h"

void
tpd_scan_command_clear (TpdScanCommand *command)
{
  tpd_filter_clear (&command->options.tree.filter);
  g_clear_pointer (&command->opened, tpd_index_free);
  g_clear_pointer (&command->options.scratch, tpd_scratch_pool_free);
  g_clear_pointer (&command->index, g_free);
}

gboolean
tpd_scan_command_check (TpdScanCommand *command, const TpdCommon *common, GError **error)
{
  if (common->json && command->csv)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "--json and --csv exclude each other");
      return FALSE;
    }
  command->options.root = common->files[0];
  command->options.index_path = command->index;
  command->options.jobs = common->jobs;
  return TRUE;
}

gboolean
tpd_scan_command_open (TpdScanCommand *command, TpdConfinement *reach, GError **error)
{
  if (!command->options.no_containers)
    command->options.scratch = tpd_scratch_pool_new (2 * command->options.jobs);
  command->opened = tpd_index_open (command->index, command->options.root, error);
  return command->opened != NULL && tpd_index_reach (command->opened, reach, error);
}

TpdScan *
tpd_scan_command_run (const TpdScanCommand *command, const char *name, const TpdCommon *common,
                      const TpdSession *session, TpdExit *status)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdScan) scan = NULL;
  TpdProgress progress;

  tpd_progress_init (&progress, name, common->quiet);
  tpd_interrupt_defer ();
  scan = tpd_scan_run (&command->options, session, &progress, &error);
  tpd_progress_clear (&progress);
  if (scan == NULL)
    {
      tpd_error ("%s", error->message);
      *status = g_error_matches (error, TPD_ERROR, TPD_ERROR_USAGE) ? TPD_EXIT_USAGE : TPD_EXIT_FAILED;
      return NULL;
    }
  if (!scan->interrupted)
    return g_steal_pointer (&scan);
  tpd_info ("interrupted; what was found is in the index, and the same command goes on from there");
  *status = TPD_EXIT_INTERRUPTED;
  return NULL;
}
