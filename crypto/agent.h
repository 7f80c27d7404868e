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
 * UNAVAILABLE and one line is logged. What the agent itself has to say, of a
 * token that was removed or of a key it refused often, goes to the log of this
 * process too. Errors: those of tpd_keys_load().
 * (transfer full)
 */
TpdUnwrapper *tpd_agent_start (const TpdKeyConfig *config, guint lanes, TpdAgentFlags flags, TpdKeyring **keyring,
                               GError **error);

/* Process id of the agent behind `unwrapper`, 0 if there is none. For tests
 * and status. */
int tpd_agent_pid (TpdUnwrapper *unwrapper);

/* What the agent answered with one key. */
typedef struct {
  guint64 opened;
  guint64 refused; /* also where a token could not try every padding */
  guint64 double_key;
  guint64 unsupported; /* content keys of DES */
  guint64 unavailable; /* held, but its token could not be used */
} TpdAgentCount;

typedef struct {
  guint64 unknown_key;  /* requests for keys that are not held */
  guint n_keys;         /* as in the keyring, and in its order */
  TpdAgentCount keys[]; /* n_keys of them */
} TpdAgentStats;

/*
 * What the agent has counted since it started; free with g_free(). NULL with
 * TPD_ERROR_AGENT when it is dead, and for an unwrapper that is none
 * (tpd_unwrap_cache_new() does not pass this on). (transfer full)
 */
TpdAgentStats *tpd_agent_stats (TpdUnwrapper *unwrapper, GError **error);

/*
 * An unwrapper in this process, for unit tests; takes a reference to `keys`, an
 * array of TpdLoadedKey. (transfer full)
 */
TpdUnwrapper *tpd_unwrapper_new_in_process (GPtrArray *keys);
