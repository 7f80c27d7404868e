/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the key agent. */
#pragma once

#include <sys/types.h>

#include "crypto/agent.h"
#include "crypto/enablingbits.h"
#include "crypto/keyfile.h"

#define TPD_AGENT_LANES_MAX 256

/* What the child gets from the process that forked it. */
typedef struct {
  const TpdKeyConfig *config;
  TpdAgentFlags flags;
  pid_t parent;
  int control;
  int report;
  int lanes[TPD_AGENT_LANES_MAX];
  guint n_lanes;
} TpdAgentSetup;

/* The life of the child; never returns. */
void tpd_agent_run (const TpdAgentSetup *setup) G_GNUC_NORETURN;

/* The index of the one of `keys` (TpdLoadedKey) that `fingerprint` names and
 * that is held, else -1. */
int tpd_loaded_keys_find (GPtrArray *keys, const TpdFingerprint *fingerprint);

/* Begins the work on `n` requests, at most TPD_UNWRAP_MANY, with those of `keys`
 * that are of this process; `prepared` has an element for each, all zeros. */
void tpd_loaded_keys_prepare (GPtrArray *keys, const TpdUnwrapRequest *const *requests, guint n,
                              TpdPreparedBlock *prepared);

/* Answers `request` with the key at `index`, which is held, and opens the
 * second seal of a double-key license with whichever other key fits. What
 * `prepared` (may be NULL) has of this request and key is used.
 * UNAVAILABLE sets `error`. */
void tpd_loaded_keys_unwrap (GPtrArray *keys, guint index, const TpdUnwrapRequest *request,
                             const TpdPreparedBlock *prepared, TpdUnwrapReply *reply, GError **error);
