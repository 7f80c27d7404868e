/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the key agent. */
#pragma once

#include <sys/types.h>

#include "crypto/agent.h"

#define TPD_AGENT_LANES_MAX 256

/* What the child gets from the process that forked it. */
typedef struct {
  const TpdKeyConfig *config;
  TpdAgentFlags flags;
  pid_t parent;
  int control;
  int lanes[TPD_AGENT_LANES_MAX];
  guint n_lanes;
} TpdAgentSetup;

/* The life of the child; never returns. */
void tpd_agent_run (const TpdAgentSetup *setup) G_GNUC_NORETURN;

/* Answers `request` with the one of `keys` (TpdLoadedKey) it names. */
void tpd_loaded_keys_unwrap (GPtrArray *keys, const TpdUnwrapRequest *request, TpdUnwrapReply *reply);
