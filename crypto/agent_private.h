/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the key agent. */
#pragma once

#include <sys/types.h>

#include "crypto/agent.h"
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

/* Answers `request` with the key at `index`, which is held, and opens the
 * second seal of a double-key license with whichever other key fits.
 * UNAVAILABLE sets `error`. */
void tpd_loaded_keys_unwrap (GPtrArray *keys, guint index, const TpdUnwrapRequest *request, TpdUnwrapReply *reply,
                             GError **error);
