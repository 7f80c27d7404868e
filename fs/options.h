/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of tpdfs: words of -o, the same words as long options, and
 * the two positional arguments in any place among them.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "crypto/keys.h"
#include "format/document.h"
#include "format/names.h"

typedef enum { TPD_CACHE_AUTO, TPD_CACHE_ALWAYS, TPD_CACHE_NEVER } TpdCacheChoice;
typedef enum { TPD_PROBE_AUTO, TPD_PROBE_ALWAYS, TPD_PROBE_NEVER } TpdProbeChoice;
typedef enum { TPD_NAMES_PLAIN, TPD_NAMES_SOURCE } TpdNamesChoice;
typedef enum { TPD_UNREADABLE_DENY, TPD_UNREADABLE_RAW } TpdUnreadableChoice;
typedef enum { TPD_PASSTHROUGH_AUTO, TPD_PASSTHROUGH_ALWAYS, TPD_PASSTHROUGH_OFF } TpdPassthroughChoice;
typedef enum { TPD_ERRORS_VERDICT, TPD_ERRORS_EACCES } TpdErrorsChoice;

#define TPD_NO_MASK G_MAXUINT

typedef struct {
  char *source, *mountpoint; /* as given */

  gboolean help, version;
  gboolean foreground, debug, verbose;
  guint threads;

  TpdKeyConfig *keys;  /* of --key; keyring files are not loaded yet */
  GPtrArray *keyrings; /* of char *: --keyring */

  /* The enums above, TpdIvChoice, TpdMailForm. */
  int names, cache, probe, unreadable, errors, passthrough, iv, mail;
  char *index;             /* of tpd scan, absolute; NULL: where it is by default */
  gboolean no_index;       /* is to be used */
  GPtrArray *pext;         /* of char *, NULL terminated once parsed */
  TpdNameRules name_rules; /* points into `pext` */
  guint nested;
  guint64 decode_budget; /* bytes */

  gboolean has_uid, has_gid;
  uid_t uid;
  gid_t gid;
  guint fmask, dmask; /* TPD_NO_MASK: the source's modes */
  gboolean one_file_system, allow_other, acl_ignore, snapshots;
  gboolean noexec;   /* mount(8) words that the kernel is to be told */
  gboolean asked_rw; /* deserves a note */
} TpdFsOptions;

/* Errors: TPD_ERROR_USAGE, a sentence that names the word. (transfer full) */
TpdFsOptions *tpd_fs_options_parse (int argc, char **argv, GError **error);
void tpd_fs_options_free (TpdFsOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdFsOptions, tpd_fs_options_free)

/* How many threads decode documents: fewer than answer requests. */
guint tpd_fs_options_decoders (const TpdFsOptions *options);

/* The text of --help. (transfer full) */
char *tpd_fs_options_help (void);
