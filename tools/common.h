/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all subcommands share: the common options (named keys, output, log),
 * and the session: a hardened process, the key agent and what it knows.
 */
#pragma once

#include <glib.h>

#include "base/confine.h"
#include "crypto/agent.h"
#include "format/document.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/license_cache.h"
#include "tools/output.h"

/* Which of the common options a command takes; all take --quiet, --verbose,
 * --log and --help. */
typedef enum {
  TPD_COMMON_KEYS = 1 << 0,  /* --key, --keyring, --password-file, --password-fd, --allow-insecure-files */
  TPD_COMMON_JSON = 1 << 1,  /* --json */
  TPD_COMMON_OPEN = 1 << 2,  /* --iv, --mail, --nested */
  TPD_COMMON_FILES = 1 << 3, /* FILE arguments, at least one */
  TPD_COMMON_DIR = 1 << 4,   /* exactly one DIR argument */
  TPD_COMMON_JOBS = 1 << 5,  /* --jobs */
} TpdCommonFlags;

/*
 * Opens what a command writes, between the start of the key agent and the
 * confinement of this process, and declares in `reach` what it opens later:
 * the FILE and DIR arguments are declared already, to be read. Errors end the
 * command (TPD_ERROR_USAGE as wrong usage).
 */
typedef gboolean (*TpdReachFunc) (TpdConfinement *reach, gpointer data, GError **error);

/* The common options as parsed; clear with tpd_common_clear(). */
typedef struct {
  GArray *key_steps; /* --key and its relatives in the order given; private */
  gboolean allow_insecure_files;
  gboolean json;
  gboolean quiet;
  gboolean verbose;
  gboolean help;
  gboolean no_default_keys; /* set by a command that needs no key unless one is named */
  guint jobs;               /* threads that work, at least 1 */
  char *log_file;
  TpdOpenOptions open;
  char **files; /* raw bytes, NULL terminated, may be NULL */

  /* Set by the command before tpd_session_start(), may be NULL. */
  TpdReachFunc reach;
  gpointer reach_data;
} TpdCommon;

void tpd_common_clear (TpdCommon *common);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdCommon, tpd_common_clear)

/* What `tpd NAME --help` says besides the options. */
typedef struct {
  const char *arguments; /* "FILE..." */
  const char *summary;   /* paragraph above the options */
} TpdCommandHelp;

/*
 * Parses the arguments of a command into the zeroed `common`, and `own` (the
 * command's options, NULL terminated, may be NULL) as they ask. FALSE when the
 * command is done already: help was shown, or the usage was wrong and told;
 * `*status` is then the exit status.
 */
gboolean tpd_common_parse (TpdCommon *common, TpdCommonFlags flags, const TpdCommandHelp *help, const GOptionEntry *own,
                           int argc, char **argv, TpdExit *status);

/* The loaded keys and the way to them. */
typedef struct {
  TpdKeyring *keyring;     /* public parts; empty when there are no keys */
  TpdUnwrapper *unwrapper; /* the key agent behind a cache */
  TpdLicenseCache *licenses;
} TpdSession;

void tpd_session_clear (TpdSession *session);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdSession, tpd_session_clear)

/*
 * Hardens this process, starts the key agent with the named keys, or those of
 * the default keyring, with a lane for each job, installs the signal handlers,
 * and confines the process (base/confine.h): from then on it opens its
 * arguments, for reading, and what `common->reach` declared. Call before any
 * file argument is opened and any thread is made. FALSE: told on stderr,
 * `*status` is the exit status.
 */
gboolean tpd_session_start (TpdSession *session, const TpdCommon *common, TpdAgentFlags flags, TpdExit *status);

/*
 * Confines the process likewise, for a command that needs no keys. FALSE: told
 * on stderr, `*status` is the exit status.
 */
gboolean tpd_common_confine (const TpdCommon *common, TpdExit *status);
