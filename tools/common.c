/* SPDX-License-Identifier: Apache-2.0 */
/* Common options and session of the subcommands: see common.h. */
#include "tools/common.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "crypto/secret.h"
#include "tools/spill.h"

/* For the content keys in the cache, and for what each thread has at hand; the
 * least is less than what anybody may lock. */
#define SECRET_MEMORY (32 * 1024)
#define SECRET_MEMORY_OF_JOB (32 * 1024)
#define UNWRAP_CACHE_ENTRIES 256
#define LICENSE_CACHE_ENTRIES 256
#define MAX_JOBS 256

/* --- Options ---------------------------------------------------------- */

typedef enum {
  STEP_KEY,
  STEP_KEYRING,
  STEP_PASSWORD_FILE,
  STEP_PASSWORD_FD,
} KeyStepKind;

/* One option that names a key or a password: --password-file belongs to the
 * --key before it, so their order is kept. */
typedef struct {
  KeyStepKind kind;
  char *value;
} KeyStep;

static void
key_step_clear (gpointer data)
{
  KeyStep *step = data;
  g_free (step->value);
}

static gboolean
option_key_step (const char *name, const char *value, gpointer data, GError **error)
{
  TpdCommon *common = data;
  KeyStep step = { STEP_KEY, NULL };

  if (strcmp (name, "--keyring") == 0)
    step.kind = STEP_KEYRING;
  else if (strcmp (name, "--password-file") == 0)
    step.kind = STEP_PASSWORD_FILE;
  else if (strcmp (name, "--password-fd") == 0)
    step.kind = STEP_PASSWORD_FD;
  step.value = g_strdup (value);
  g_array_append_val (common->key_steps, step);
  return TRUE;
}

static gboolean
option_iv (const char *name, const char *value, gpointer data, GError **error)
{
  TpdCommon *common = data;

  if (strcmp (value, "index") == 0)
    common->open.iv = TPD_IV_FORCE_INDEX;
  else if (strcmp (value, "offset") == 0)
    common->open.iv = TPD_IV_FORCE_OFFSET;
  else if (strcmp (value, "auto") == 0)
    common->open.iv = TPD_IV_AUTO;
  else
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--iv is auto, index or offset, not '%s'", value);
      return FALSE;
    }
  return TRUE;
}

static gboolean
option_mail (const char *name, const char *value, gpointer data, GError **error)
{
  static const char *const forms[] = {
    [TPD_MAIL_NATIVE] = "native",
    [TPD_MAIL_EML] = "eml",
    [TPD_MAIL_MSG] = "msg",
    [TPD_MAIL_SOURCE] = "source",
  };
  TpdCommon *common = data;

  for (gsize i = 0; i < G_N_ELEMENTS (forms); i++)
    if (strcmp (value, forms[i]) == 0)
      {
        common->open.mail = (TpdMailForm) i;
        return TRUE;
      }
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--mail is native, eml, msg or source, not '%s'",
               value);
  return FALSE;
}

static gboolean
option_nested (const char *name, const char *value, gpointer data, GError **error)
{
  TpdCommon *common = data;
  guint64 layers;

  if (!tpd_number_parse (value, 10, 0, TPD_MAX_NESTED, &layers))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--nested is a number up to %d, not '%s'",
                   TPD_MAX_NESTED, value);
      return FALSE;
    }
  common->open.nested = (guint) layers;
  return TRUE;
}

static gboolean
option_jobs (const char *name, const char *value, gpointer data, GError **error)
{
  TpdCommon *common = data;
  guint64 jobs;

  if (!tpd_number_parse (value, 10, 1, MAX_JOBS, &jobs))
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--jobs is a number from 1 to %d, not '%s'",
                   MAX_JOBS, value);
      return FALSE;
    }
  common->jobs = (guint) jobs;
  return TRUE;
}

static void
add_key_options (GOptionGroup *group, TpdCommon *common)
{
  const GOptionEntry entries[] = {
    { "key", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, option_key_step,
      "Load the key of this exported TPD or private key file", "FILE" },
    { "password-file", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, option_key_step,
      "Password of the --key before it, from a file", "FILE" },
    { "password-fd", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, option_key_step,
      "Password of the --key before it, from a file descriptor", "N" },
    { "keyring", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, option_key_step,
      "Load the keys that this keyring file names", "FILE" },
    { "allow-insecure-files", 0, 0, G_OPTION_ARG_NONE, &common->allow_insecure_files,
      "Accept key and password files that others can read", NULL },
    { NULL },
  };
  g_option_group_add_entries (group, entries);
}

static void
add_json_option (GOptionGroup *group, TpdCommon *common)
{
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &common->json, "Write JSON, one object a line", NULL },
    { NULL },
  };
  g_option_group_add_entries (group, entries);
}

static void
add_open_options (GOptionGroup *group, TpdCommon *common)
{
  const GOptionEntry entries[] = {
    { "iv", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, option_iv,
      "Rule of CBC4K without padding: auto (default), index, offset", "RULE" },
    { "mail", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, option_mail,
      "Protected mail as native (default), eml, msg, or source: left protected", "FORM" },
    { "nested", 0, G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, option_nested,
      "Remove up to N layers of protection below the first (default: 0)", "N" },
    { NULL },
  };
  g_option_group_add_entries (group, entries);
}

static void
add_jobs_option (GOptionGroup *group, TpdCommon *common)
{
  const GOptionEntry entries[] = {
    { "jobs", 'j', G_OPTION_FLAG_FILENAME, G_OPTION_ARG_CALLBACK, option_jobs,
      "Work on N files at a time (default: as many as there are processors)", "N" },
    { NULL },
  };
  g_option_group_add_entries (group, entries);
}

static void
add_always_options (GOptionGroup *group, TpdCommon *common)
{
  const GOptionEntry entries[] = {
    { "quiet", 'q', 0, G_OPTION_ARG_NONE, &common->quiet, "Only errors on standard error", NULL },
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &common->verbose, "More on standard error", NULL },
    { "log", 0, 0, G_OPTION_ARG_FILENAME, &common->log_file, "Append messages to this file too", "FILE" },
    { "help", 'h', 0, G_OPTION_ARG_NONE, &common->help, "Show this help", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &common->files, NULL, NULL },
    { NULL },
  };
  g_option_group_add_entries (group, entries);
}

static GOptionContext *
option_context_new (TpdCommon *common, TpdCommonFlags flags, const TpdCommandHelp *help, const GOptionEntry *own)
{
  GOptionContext *context = g_option_context_new (help->arguments);
  GOptionGroup *group = g_option_group_new ("tpd", "tpd", "tpd", common, NULL);

  g_option_context_set_main_group (context, group);
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_summary (context, help->summary);
  if (own != NULL)
    g_option_group_add_entries (group, own);
  if (flags & TPD_COMMON_KEYS)
    add_key_options (group, common);
  if (flags & TPD_COMMON_OPEN)
    add_open_options (group, common);
  if (flags & TPD_COMMON_JSON)
    add_json_option (group, common);
  if (flags & TPD_COMMON_JOBS)
    add_jobs_option (group, common);
  add_always_options (group, common);
  return context;
}

static gboolean
open_log (TpdCommon *common, GError **error)
{
  int fd;

  if (common->quiet && common->verbose)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_USAGE, "--quiet and --verbose exclude each other");
      return FALSE;
    }
  if (common->quiet)
    tpd_log_init ("tpd", TPD_LOG_ERROR);
  else if (common->verbose)
    tpd_log_init ("tpd", TPD_LOG_DEBUG);
  if (common->log_file == NULL)
    return TRUE;
  fd = open (common->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
  if (fd < 0)
    {
      tpd_error_set_errno (error, errno, "cannot open the log file %s", common->log_file);
      return FALSE;
    }
  tpd_log_to_file (fd);
  return TRUE;
}

static gboolean
check_files (const TpdCommon *common, TpdCommonFlags flags, GError **error)
{
  gboolean wanted = (flags & (TPD_COMMON_FILES | TPD_COMMON_DIR)) != 0;
  gboolean given = common->files != NULL && common->files[0] != NULL;

  if ((flags & TPD_COMMON_DIR) != 0 && (!given || common->files[1] != NULL))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "exactly one directory must be named");
      return FALSE;
    }
  if (wanted == given)
    return TRUE;
  if (wanted)
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_USAGE, "no file was named");
  else
    g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "takes no argument, but '%s' was given", common->files[0]);
  return FALSE;
}

gboolean
tpd_common_parse (TpdCommon *common, TpdCommonFlags flags, const TpdCommandHelp *help, const GOptionEntry *own,
                  int argc, char **argv, TpdExit *status)
{
  g_autoptr (GOptionContext) context = NULL;
  g_autoptr (GError) error = NULL;

  common->jobs = (flags & TPD_COMMON_JOBS) ? CLAMP (g_get_num_processors (), 1, MAX_JOBS) : 1;
  common->key_steps = g_array_new (FALSE, FALSE, sizeof (KeyStep));
  g_array_set_clear_func (common->key_steps, key_step_clear);
  g_set_prgname (argv[0]);
  context = option_context_new (common, flags, help, own);
  if (g_option_context_parse (context, &argc, &argv, &error) && common->help)
    {
      g_autofree char *text = g_option_context_get_help (context, TRUE, NULL);
      fputs (text, stdout);
      *status = tpd_output_finish (TPD_EXIT_OK);
      return FALSE;
    }
  if (error == NULL && check_files (common, flags, &error) && open_log (common, &error))
    return TRUE;
  tpd_error ("%s; see %s --help", error->message, g_get_prgname ());
  *status = TPD_EXIT_USAGE;
  return FALSE;
}

void
tpd_common_clear (TpdCommon *common)
{
  g_clear_pointer (&common->key_steps, g_array_unref);
  g_clear_pointer (&common->log_file, g_free);
  g_clear_pointer (&common->files, g_strfreev);
}

/* --- Keys ------------------------------------------------------------- */

static gboolean
set_password_fd (TpdKeyConfig *config, const char *value, GError **error)
{
  guint64 fd;

  if (!tpd_number_parse (value, 10, 0, G_MAXINT, &fd))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "--password-fd wants the number of a file descriptor, not '%s'",
                   value);
      return FALSE;
    }
  return tpd_key_config_set_password_fd (config, (int) fd, error);
}

/* A keyring that is not there or makes no sense is no mistake of the command
 * line: what is missing is a key. */
static gboolean
check_keyring (gboolean loaded, GError **error)
{
  if (!loaded && g_error_matches (*error, TPD_ERROR, TPD_ERROR_USAGE))
    (*error)->code = TPD_ERROR_KEY_FILE;
  return loaded;
}

static gboolean
run_key_step (TpdKeyConfig *config, const KeyStep *step, GError **error)
{
  switch (step->kind)
    {
    case STEP_KEY:
      tpd_key_config_add_file (config, step->value);
      return TRUE;
    case STEP_KEYRING:
      return check_keyring (tpd_key_config_load (config, step->value, error), error);
    case STEP_PASSWORD_FILE:
      return tpd_key_config_set_password_file (config, step->value, error);
    case STEP_PASSWORD_FD:
      return set_password_fd (config, step->value, error);
    }
  g_return_val_if_reached (FALSE);
}

static TpdKeyConfig *
key_config (const TpdCommon *common, GError **error)
{
  g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();

  config->allow_insecure_files = common->allow_insecure_files;
  for (guint i = 0; i < common->key_steps->len; i++)
    {
      if (!run_key_step (config, &g_array_index (common->key_steps, KeyStep, i), error))
        return NULL;
    }
  if (!config->given && !common->no_default_keys && !check_keyring (tpd_key_config_load_default (config, error), error))
    return NULL;
  return g_steal_pointer (&config);
}

/* --- Session ---------------------------------------------------------- */

static gboolean
declare (const TpdCommon *common, TpdConfinement *reach, GError **error)
{
  tpd_spill_prepare ();
  for (char **file = common->files; file != NULL && *file != NULL; file++)
    tpd_confinement_read (reach, *file);
  return common->reach == NULL || common->reach (reach, common->reach_data, error);
}

gboolean
tpd_common_confine (const TpdCommon *common, TpdExit *status)
{
  g_autoptr (TpdConfinement) reach = tpd_confinement_new (TPD_CONFINE_READS);
  g_autoptr (GError) error = NULL;

  if (declare (common, reach, &error) && tpd_confine (reach, &error))
    return TRUE;
  tpd_error ("%s", error->message);
  *status = g_error_matches (error, TPD_ERROR, TPD_ERROR_USAGE) ? TPD_EXIT_USAGE : TPD_EXIT_FAILED;
  return FALSE;
}

static gsize
secret_memory (guint jobs)
{
  gsize size = SECRET_MEMORY;
  struct rlimit limit;

  if (getrlimit (RLIMIT_MEMLOCK, &limit) != 0)
    return size;
  /* It must be a power of two. */
  while (size < SECRET_MEMORY + jobs * SECRET_MEMORY_OF_JOB && size * 2 <= limit.rlim_cur / 2)
    size *= 2;
  return size;
}

gboolean
tpd_session_start (TpdSession *session, const TpdCommon *common, TpdAgentFlags flags, TpdExit *status)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdKeyConfig) config = NULL;
  g_autoptr (TpdUnwrapper) agent = NULL;

  tpd_process_harden ();
  tpd_interrupt_install ();
  config = key_config (common, &error);
  if (config != NULL)
    agent = tpd_agent_start (config, common->jobs, flags, &session->keyring, &error);
  if (agent == NULL)
    {
      tpd_error ("%s", error->message);
      *status = g_error_matches (error, TPD_ERROR, TPD_ERROR_USAGE) ? TPD_EXIT_USAGE : TPD_EXIT_KEYS;
      return FALSE;
    }
  /* After the fork: the agent sets up its own, and no keys need none. */
  if (config->specs->len > 0)
    tpd_secret_init (secret_memory (common->jobs));
  session->licenses = tpd_license_cache_new (LICENSE_CACHE_ENTRIES);
  session->unwrapper = tpd_unwrap_cache_new (agent, UNWRAP_CACHE_ENTRIES);
  return tpd_common_confine (common, status);
}

void
tpd_session_clear (TpdSession *session)
{
  g_clear_pointer (&session->licenses, tpd_license_cache_free);
  g_clear_pointer (&session->unwrapper, tpd_unwrapper_unref);
  g_clear_pointer (&session->keyring, tpd_keyring_unref);
}
