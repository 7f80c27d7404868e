/* SPDX-License-Identifier: Apache-2.0 */
/* What a finished copy left in its state directory, for those who read it. */
#pragma once

#include "tools/manifest.h"

typedef struct {
  int fd;                  /* of the state directory */
  char *dir;               /* that it lies in, real path */
  char *source, *copy;     /* real paths when the copy was made; NULL if not known */
  gboolean in_place;       /* the originals lie in `dir` */
  GPtrArray *names;        /* of the manifests: one, or those of the shards */
  guint shards, n_missing; /* shards in all, and those without a manifest */
} TpdState;

/* Opens the state in `dir`. NULL with error: TPD_ERROR_USAGE if there is none
 * or no manifest in it. `merge`: joins the manifests of shards first, and
 * fails if one is missing. (transfer full) */
TpdState *tpd_state_open (const char *dir, gboolean merge, GError **error);
void tpd_state_free (TpdState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdState, tpd_state_free)

/* The directory that the copies are relative to. */
const char *tpd_state_copies (const TpdState *state);
/* The directory that the protected originals are relative to; NULL if not
 * known. */
const char *tpd_state_originals (const TpdState *state);
/* How many names of the source have no plaintext copy, by the lists beside the
 * manifests; one of several parts may be told by each. */
gboolean tpd_state_count_missing (const TpdState *state, guint64 *n, GError **error);
/* Opens a manifest. -1 with error. */
int tpd_state_open_manifest (const TpdState *state, const char *name, GError **error);
