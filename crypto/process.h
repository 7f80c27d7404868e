/* SPDX-License-Identifier: Apache-2.0 */
/* What the processes that hold secrets do with what they inherited: the key
 * agent and the helper of a token. Single-threaded callers only. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Default actions for all signals that had a handler, none blocked. */
void tpd_process_reset_signals (void);

/* Closes all descriptors but the standard streams and those in `keep` (of
 * int), which is sorted. */
void tpd_process_close_all_but (GArray *keep);

/* Standard streams to /dev/null. */
gboolean tpd_process_mute (GError **error);

/*
 * Lets go of the world: muted, own session, directory /, no new privileges,
 * deaf to the signals that end a parent, and not to be ended by its death: a
 * process that holds keys ends when its sockets do.
 */
gboolean tpd_process_let_go (GError **error);

/* Waits a few seconds for a child that was told to end, then kills it. When
 * it is no child of this process (any more), does nothing. */
void tpd_process_reap (pid_t pid);
