/* SPDX-License-Identifier: Apache-2.0 */
/* tpd registry: what Windows clients need in their registry afterwards. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "tools/common.h"
#include "tools/late_file.h"
#include "tools/registry.h"

static const TpdCommandHelp help = {
  NULL,
  "Writes registry entries for Windows clients: redirection to an AD RMS that has\n"
  "the keys, and a stop for new protection.",
};

typedef struct {
  char *redirect_to, *reg;
  char **from;
  gboolean disable_creation;

  /* Opened before the process is confined. */
  TpdLateFile *file;
} Arguments;

static void
arguments_clear (Arguments *arguments)
{
  g_clear_pointer (&arguments->file, tpd_late_file_free);
  g_free (arguments->redirect_to);
  g_free (arguments->reg);
  g_strfreev (arguments->from);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Arguments, arguments_clear)

static gboolean
open_output (TpdConfinement *reach, gpointer data, GError **error)
{
  Arguments *arguments = data;

  if (arguments->reg != NULL)
    arguments->file = tpd_late_file_open (arguments->reg, error);
  return arguments->reg == NULL || arguments->file != NULL;
}

/* The addresses of the keys, and those named. */
static gboolean
collect (const Arguments *arguments, const TpdKeyring *keyring, TpdRegistry *registry, GError **error)
{
  for (char **url = arguments->from; url != NULL && *url != NULL; url++)
    if (!tpd_registry_redirect (registry, *url))
      {
        g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "--from wants an address like https://HOST/_wmcs/licensing");
        return FALSE;
      }
  for (guint i = 0; i < keyring->keys->len; i++)
    {
      const TpdKeyInfo *key = g_ptr_array_index (keyring->keys, i);

      for (char **url = key->urls; url != NULL && *url != NULL; url++)
        if (!tpd_registry_redirect (registry, *url))
          tpd_warning ("the key \"%s\" names an address that is none, and is left out", key->name);
    }
  return TRUE;
}

static gboolean
write_file (TpdLateFile *file, const TpdRegistry *registry, GError **error)
{
  g_autoptr (GByteArray) bytes = tpd_registry_reg (registry);

  if (!tpd_write_all (tpd_late_file_fd (file), bytes->data, bytes->len) || fsync (tpd_late_file_fd (file)) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot write the registry file");
      return FALSE;
    }
  return tpd_late_file_commit (file, error);
}

static TpdExit
make (const Arguments *arguments, const TpdCommon *common, const TpdKeyring *keyring, TpdRegistry *registry)
{
  g_autoptr (GError) error = NULL;

  if (arguments->redirect_to != NULL)
    {
      if (!collect (arguments, keyring, registry, &error))
        {
          tpd_error ("%s", error->message);
          return TPD_EXIT_USAGE;
        }
      if (tpd_registry_n_redirected (registry) == 0)
        {
          tpd_error ("no loaded key names an address to redirect: load the TPDs with --key or --keyring, or name the "
                     "addresses with --from");
          return TPD_EXIT_KEYS;
        }
    }
  if (arguments->disable_creation)
    tpd_registry_disable_creation (registry);
  if (arguments->file != NULL && !write_file (arguments->file, registry, &error))
    {
      tpd_error ("%s", error->message);
      return TPD_EXIT_FAILED;
    }
  if (common->json)
    tpd_registry_print_json (registry);
  else if (arguments->file == NULL)
    tpd_registry_print_text (registry);
  return tpd_output_finish (TPD_EXIT_OK);
}

TpdExit
tpd_cmd_registry (int argc, char **argv)
{
  g_auto (TpdCommon) common = { 0 };
  g_auto (TpdSession) session = { 0 };
  g_auto (Arguments) arguments = { 0 };
  g_autoptr (TpdRegistry) registry = NULL;
  const GOptionEntry entries[] = {
    { "redirect-to", 0, 0, G_OPTION_ARG_STRING, &arguments.redirect_to, "Send clients to this AD RMS", "URL" },
    { "from", 0, 0, G_OPTION_ARG_STRING_ARRAY, &arguments.from, "Redirect this licensing address too", "URL" },
    { "disable-creation", 0, 0, G_OPTION_ARG_NONE, &arguments.disable_creation,
      "Keep Office from protecting anything new", NULL },
    { "reg", 0, 0, G_OPTION_ARG_FILENAME, &arguments.reg, "Write a file for regedit", "FILE" },
    { NULL },
  };
  TpdExit status;

  if (!tpd_common_parse (&common, TPD_COMMON_KEYS | TPD_COMMON_JSON, &help, entries, argc, argv, &status))
    return status;
  if (arguments.redirect_to == NULL && !arguments.disable_creation)
    {
      tpd_error ("name --redirect-to URL, --disable-creation or both; see tpd registry --help");
      return TPD_EXIT_USAGE;
    }
  if (arguments.from != NULL && arguments.redirect_to == NULL)
    {
      tpd_error ("--from says what to redirect: it needs --redirect-to URL; see tpd registry --help");
      return TPD_EXIT_USAGE;
    }
  registry = tpd_registry_new (arguments.redirect_to);
  if (registry == NULL)
    {
      tpd_error ("--redirect-to wants an address like https://HOST or https://HOST/_wmcs/licensing; see tpd registry "
                 "--help");
      return TPD_EXIT_USAGE;
    }
  common.reach = open_output;
  common.reach_data = &arguments;
  if (!tpd_session_start (&session, &common, TPD_AGENT_DEFAULT, &status))
    return status;
  return make (&arguments, &common, session.keyring, registry);
}
