/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that help the one that fills a reply: looking into a file is mostly
 * waiting, for the disk or the network, and the caller waits meanwhile. They
 * also work on what will be asked for next.
 */
#pragma once

#include <glib.h>

/* At most `threads` of them, started when first needed. Free it with
 * g_thread_pool_free(). */
GThreadPool *tpd_listers_new (guint threads);

/* Does item `number`. */
typedef void (*TpdListersWork) (gpointer data, guint number);

typedef struct _TpdListersJob TpdListersJob;

/* Begins to call `work` once for each number below `n`, in other threads. */
TpdListersJob *tpd_listers_begin (GThreadPool *listers, TpdListersWork work, gpointer data, guint n);
/* Works along and returns when all of it is done; frees `job`. */
void tpd_listers_finish (TpdListersJob *job);
/* Returns when what has begun is done, and leaves the rest; frees `job`. */
void tpd_listers_cancel (TpdListersJob *job);
