/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands of `tpd`: one entry point each, listed in main.c. A command
 * gets the arguments behind its name (argv[0] is "tpd NAME") and returns the
 * exit status.
 */
#pragma once

typedef enum {
  TPD_EXIT_OK = 0,
  TPD_EXIT_FAILED = 1,      /* some files failed, each told */
  TPD_EXIT_USAGE = 2,       /* wrong option, argument or configuration */
  TPD_EXIT_KEYS = 3,        /* no usable key, or a key file refused */
  TPD_EXIT_INTERRUPTED = 4, /* by a signal */
} TpdExit;

typedef struct {
  const char *name;
  const char *summary; /* one line, for `tpd --help` */
  TpdExit (*run) (int argc, char **argv);
} TpdCommand;

TpdExit tpd_cmd_cat (int argc, char **argv);
TpdExit tpd_cmd_keys (int argc, char **argv);
TpdExit tpd_cmd_materialize (int argc, char **argv);
TpdExit tpd_cmd_origin (int argc, char **argv);
TpdExit tpd_cmd_preflight (int argc, char **argv);
TpdExit tpd_cmd_registry (int argc, char **argv);
TpdExit tpd_cmd_scan (int argc, char **argv);
TpdExit tpd_cmd_show (int argc, char **argv);
TpdExit tpd_cmd_verify (int argc, char **argv);
