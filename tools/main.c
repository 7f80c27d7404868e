/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tpd: the command-line tool. Finds the subcommand and hands over; a new
 * command is one file cmd_NAME.c and one line of the table.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "format/document.h"
#include "tools/command.h"
#include "tools/common.h"

static const TpdCommand commands[] = {
  { "cat", "write the plaintext of files to standard output", tpd_cmd_cat },
  { "keys", "tell what the loaded keys are", tpd_cmd_keys },
  { "materialize", "write plaintext copies of a tree, with a manifest", tpd_cmd_materialize },
  { "origin", "tell what a plaintext copy was made of", tpd_cmd_origin },
  { "preflight", "tell whether the service may be switched off: keys needed and held, and what would be lost",
    tpd_cmd_preflight },
  { "registry", "write registry entries for Windows clients: redirection, no new protection", tpd_cmd_registry },
  { "scan", "find out what every file of a tree is, and keep that in an index", tpd_cmd_scan },
  { "show", "tell what files are, by whom they are protected and who may read them", tpd_cmd_show },
  { "verify", "compare plaintext copies with their manifest", tpd_cmd_verify },
};

#define MAX_NAME 32

static const TpdCommand *
find_command (const char *name)
{
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      if (strcmp (commands[i].name, name) == 0)
        return &commands[i];
    }
  return NULL;
}

/* Levenshtein distance, for names up to MAX_NAME characters. */
static guint
edit_distance (const char *a, const char *b)
{
  guint row[MAX_NAME + 1];
  gsize a_len = strlen (a), b_len = strlen (b);

  for (gsize j = 0; j <= b_len; j++)
    row[j] = (guint) j;
  for (gsize i = 1; i <= a_len; i++)
    {
      guint diagonal = row[0];
      row[0] = (guint) i;
      for (gsize j = 1; j <= b_len; j++)
        {
          guint replace = diagonal + (a[i - 1] != b[j - 1]);
          diagonal = row[j];
          row[j] = MIN (replace, MIN (row[j], row[j - 1]) + 1);
        }
    }
  return row[b_len];
}

static const TpdCommand *
nearest_command (const char *name)
{
  const TpdCommand *nearest = NULL;
  guint best = 3;

  if (strlen (name) > MAX_NAME)
    return NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      guint distance = edit_distance (name, commands[i].name);
      if (distance < best)
        {
          best = distance;
          nearest = &commands[i];
        }
    }
  return nearest;
}

static TpdExit
unknown_command (const char *name)
{
  const TpdCommand *nearest = nearest_command (name);

  if (name[0] == '-')
    tpd_error ("unknown option %s; options stand behind the command; see tpd --help", name);
  else if (nearest != NULL)
    tpd_error ("there is no command '%s'; did you mean 'tpd %s'?", name, nearest->name);
  else
    tpd_error ("there is no command '%s'; see tpd --help", name);
  return TPD_EXIT_USAGE;
}

static TpdExit
show_help (void)
{
  puts ("Usage:\n"
        "  tpd COMMAND [OPTION...] [FILE...]\n"
        "\n"
        "Reads documents protected by Microsoft RMS, offline, with the exported key of\n"
        "the organisation.\n"
        "\n"
        "Commands:");
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++)
    printf ("  %-12s %s\n", commands[i].name, commands[i].summary);
  puts ("\n"
        "Options:\n"
        "  -h, --help   Show this help; tpd COMMAND --help shows that of a command\n"
        "  --version    Show the version");
  return tpd_output_finish (TPD_EXIT_OK);
}

static TpdExit
show_version (void)
{
  printf ("tpd %s (decoder %d)\n", TPDFS_VERSION, TPD_DECODER_VERSION);
  return tpd_output_finish (TPD_EXIT_OK);
}

static TpdExit
run_command (const char *name, int argc, char **argv)
{
  const TpdCommand *command = find_command (name);
  g_autofree char *program = NULL;

  if (command == NULL)
    return unknown_command (name);
  program = g_strdup_printf ("tpd %s", name);
  argv[0] = program;
  return command->run (argc, argv);
}

static TpdExit
help_of_command (const char *name)
{
  char program[] = "tpd", option[] = "--help";
  char *argv[] = { program, option, NULL };

  return run_command (name, 2, argv);
}

int
main (int argc, char **argv)
{
  tpd_log_fill_descriptors ();
  /* What cannot be written is told where it was to be written. */
  signal (SIGPIPE, SIG_IGN);
  signal (SIGXFSZ, SIG_IGN);
  tpd_log_init ("tpd", TPD_LOG_INFO);
  if (argc < 2)
    {
      tpd_error ("no command was given; see tpd --help");
      return TPD_EXIT_USAGE;
    }
  if (strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0)
    return (int) show_help ();
  if (strcmp (argv[1], "--version") == 0)
    return (int) show_version ();
  if (strcmp (argv[1], "help") == 0)
    return (int) (argc > 2 ? help_of_command (argv[2]) : show_help ());
  return (int) run_command (argv[1], argc - 1, argv + 1);
}
