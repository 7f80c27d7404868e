/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that help the one that fills a reply: looking into a file is mostly
 * waiting, for the disk or the network, and the caller waits meanwhile.
 */
#pragma once

#include <glib.h>

/* At most `threads` of them, started when first needed. Free it with
 * g_thread_pool_free(). */
GThreadPool *tpd_listers_new (guint threads);

/* Does item `number`. */
typedef void (*TpdListersWork) (gpointer data, guint number);

/* Calls `work` once for each number below `n`, here and in other threads, and
 * returns when all of that is done. */
void tpd_listers_run (GThreadPool *listers, TpdListersWork work, gpointer data, guint n);
