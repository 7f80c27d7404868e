/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads that answer the kernel.
 *
 * The kernel gives a request to the thread that has waited longest, so that threads
 * with nothing to do take turns. One reader has one request at a time, and of many
 * threads each would be woken for it with cold caches, often on another processor,
 * which takes longer than the answer. Therefore no more than two wait for the kernel
 * while it mostly reads, and the rest is parked; who takes a request and leaves nobody
 * waiting wakes one of them. (For requests that the kernel itself waits for, as all
 * others are, many threads that wait are better: docs/performance.md.) Threads are
 * started only when they are needed.
 *
 * Short reads are so quick, as long as the source lies in the page cache, that
 * waking another thread takes longer: they do so only when they have to wait for
 * storage, or when many come at once. Who waits without having said so is found
 * out some milliseconds later.
 */
#pragma once

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>
#include <glib.h>

typedef struct _TpdLoop TpdLoop;

/* Of at most `threads` (1 at least) that serve `session`, which has to outlive it.
 * (transfer full) */
TpdLoop *tpd_loop_new (struct fuse_session *session, guint threads);
void tpd_loop_free (TpdLoop *loop);

/*
 * Serves until the file system is unmounted, the session has been ended by a
 * handler, or tpd_loop_stop() was called; requests that have been begun are
 * answered then. Once for each loop. SIGUSR2 must have a handler that does
 * nothing, not restarting calls, and not be blocked. Returns 0, or the positive
 * errno of what broke.
 */
int tpd_loop_run (TpdLoop *loop);

/* From any thread. */
void tpd_loop_stop (TpdLoop *loop);

/* A handler of READ is going to take longer than waking a thread does: nobody has
 * to wait until that is found out. Others than READ need not tell. */
void tpd_loop_busy (TpdLoop *loop);
