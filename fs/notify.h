/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells the kernel to ask for attributes again. From a thread of its own:
 * a request handler that waits for the kernel, which waits for the handler,
 * would hang both.
 */
#pragma once

#include <glib.h>

struct fuse_session;
typedef struct _TpdNotifier TpdNotifier;

/* Starts the thread. */
TpdNotifier *tpd_notifier_new (struct fuse_session *session);
/* Ends the thread; what is still queued is dropped. */
void tpd_notifier_free (TpdNotifier *notifier);

/* The attributes that the kernel holds of node `id` no longer hold. Never
 * blocks; when too much is queued it is dropped, and timeouts do the work. */
void tpd_notifier_attributes (TpdNotifier *notifier, guint64 id);
