/* SPDX-License-Identifier: Apache-2.0 */
/* Becoming a daemon whose exit status told the truth, and signals. */
#pragma once

#include "fs/fs.h"

/*
 * Forks. The launcher stays until the daemon is ready or has died, and ends
 * with the status that is true; it does not return. In the daemon: the
 * descriptor to write one byte to when ready, -1 with `errno` on failure.
 * Call before any thread exists.
 */
int tpd_daemon_launch (void);

/* Leaves terminal, session and directory behind. */
void tpd_daemon_detach (void);
/* And the standard streams. */
void tpd_daemon_mute (void);

typedef struct _TpdSignals TpdSignals;

/*
 * Starts the signal thread, before any other: SIGTERM, SIGINT and SIGHUP end
 * the session's loop, which the calling thread is to run; SIGUSR1 logs the
 * counters.
 */
TpdSignals *tpd_signals_start (TpdFs *fs);
void tpd_signals_stop (TpdSignals *signals);
