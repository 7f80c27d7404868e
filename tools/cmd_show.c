/* SPDX-License-Identifier: Apache-2.0 */
/* tpd show: what files are, who protected them and who may read them. */
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "tools/common.h"
#include "tools/report.h"

static const TpdCommandHelp help = {
  "FILE...",
  "Tells what each FILE is: container, license, key, cipher and rights. Without\n"
  "a key tells what is in clear.",
};

typedef struct {
  gboolean hash;
  gboolean trace;
} ShowOptions;

/* Not having a key is a failure only for somebody who named keys. */
static gboolean
has_failed (TpdVerdict verdict, const TpdSession *session)
{
  switch (verdict)
    {
    case TPD_VERDICT_OK:
    case TPD_VERDICT_KEY_HELD:
    case TPD_VERDICT_NOT_PROTECTED:
    case TPD_VERDICT_OFFLINE:
      return FALSE;
    case TPD_VERDICT_NO_KEY:
      return session->keyring->keys->len > 0;
    default:
      return TRUE;
    }
}

static void
print_facts (const TpdFileFacts *facts, const TpdCommon *common, const ShowOptions *options, const TpdSession *session,
             gboolean first)
{
  if (common->json)
    {
      tpd_report_print_json (facts);
      return;
    }
  if (facts->kind == NULL)
    {
      tpd_error ("%s: %s: %s", facts->path, tpd_verdict_word (facts->verdict), facts->message);
      return;
    }
  if (!first)
    putchar ('\n');
  tpd_report_print_text (facts);
  if (options->trace)
    tpd_report_print_trace (facts, session->keyring);
}

static TpdExit
show_files (const TpdCommon *common, const ShowOptions *options, const TpdSession *session)
{
  TpdFileFactsFlags flags = TPD_FILE_FACTS_DEFAULT;
  TpdExit status = TPD_EXIT_OK;

  if (options->hash)
    flags |= TPD_FILE_FACTS_HASH;
  if (options->trace)
    flags |= TPD_FILE_FACTS_TRACE;
  for (char **file = common->files; *file != NULL && !tpd_output_failed (); file++)
    {
      g_autoptr (TpdFileFacts) facts = tpd_file_facts_gather (*file, session, &common->open, flags);
      if (has_failed (facts->verdict, session))
        status = TPD_EXIT_FAILED;
      print_facts (facts, common, options, session, file == common->files);
    }
  return tpd_output_finish (status);
}

TpdExit
tpd_cmd_show (int argc, char **argv)
{
  g_auto (TpdCommon) common = { 0 };
  g_auto (TpdSession) session = { 0 };
  ShowOptions options = { 0 };
  const GOptionEntry entries[] = {
    { "hash", 0, 0, G_OPTION_ARG_NONE, &options.hash, "Also the SHA-256 of the file and of its plaintext", NULL },
    { "trace", 0, 0, G_OPTION_ARG_NONE, &options.trace, "Also every step from bytes to content key, for a bug report",
      NULL },
    { NULL },
  };
  const TpdCommonFlags flags = TPD_COMMON_KEYS | TPD_COMMON_OPEN | TPD_COMMON_JSON | TPD_COMMON_FILES;
  TpdExit status;

  if (!tpd_common_parse (&common, flags, &help, entries, argc, argv, &status))
    return status;
  if (options.trace && common.json)
    {
      tpd_error ("--trace and --json exclude each other; see tpd show --help");
      return TPD_EXIT_USAGE;
    }
  if (!tpd_session_start (&session, &common, options.trace ? TPD_AGENT_ALLOW_TRACE : TPD_AGENT_DEFAULT, &status))
    return status;
  return show_files (&common, &options, &session);
}
