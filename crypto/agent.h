/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key agent: a child process that reads the key files, asks for their
 * passwords, holds the private keys and answers unwrap requests over socket
 * pairs. The process that parses documents never holds a private key.
 */
#pragma once

#include "crypto/keys.h"
#include "crypto/unwrapper.h"

typedef enum {
  TPD_AGENT_DEFAULT = 0,
  TPD_AGENT_ALLOW_TRACE = 1 << 0, /* answer TPD_PURPOSE_TRACE with details */
} TpdAgentFlags;

/*
 * Forks the agent, which loads the keys of `config`; waits until they are
 * open. Call before any thread exists and before anything hostile is read.
 * `lanes` is the number of requests in flight at once (one socket each).
 *
 * On success `*keyring` describes the keys and the unwrapper is returned; with
 * no keys in `config` no process is made and every request is UNAVAILABLE.
 * Closing the unwrapper ends the agent. When the agent dies, requests answer
 * UNAVAILABLE and one line is logged. Errors: those of tpd_keys_load().
 * (transfer full)
 */
TpdUnwrapper *tpd_agent_start (const TpdKeyConfig *config, guint lanes, TpdAgentFlags flags, TpdKeyring **keyring,
                               GError **error);

/* Process id of the agent behind `unwrapper`, 0 if there is none. For tests
 * and status. */
int tpd_agent_pid (TpdUnwrapper *unwrapper);

/*
 * An unwrapper in this process, for unit tests; `keys` is an array of
 * TpdLoadedKey. (transfer full)
 */
TpdUnwrapper *tpd_unwrapper_new_in_process (GPtrArray *keys);
