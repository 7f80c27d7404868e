/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The notifier thread: see fs/notify.h. Only attributes are invalidated, no
 * pages: the kernel waits for pages that are being read, which at unmount
 * nobody would answer any more. It drops the pages itself as soon as it sees
 * the new attributes (FUSE_CAP_AUTO_INVAL_DATA).
 */
#include "fs/notify.h"

#include "fs/fs.h"

#define MAX_QUEUED 10000

struct _TpdNotifier {
  struct fuse_session *session;
  GThread *thread;
  GAsyncQueue *queue; /* of guint64 *; 0 ends the thread */
  gint stopping;      /* atomic */
};

static gpointer
run (gpointer data)
{
  TpdNotifier *notifier = data;

  for (;;)
    {
      g_autofree guint64 *id = g_async_queue_pop (notifier->queue);

      if (*id == 0)
        return NULL;
      if (!g_atomic_int_get (&notifier->stopping))
        fuse_lowlevel_notify_inval_inode (notifier->session, *id, -1, 0);
    }
}

static void
push (TpdNotifier *notifier, guint64 id)
{
  guint64 *item = g_new (guint64, 1);

  *item = id;
  g_async_queue_push (notifier->queue, item);
}

TpdNotifier *
tpd_notifier_new (struct fuse_session *session)
{
  TpdNotifier *notifier = g_new0 (TpdNotifier, 1);

  notifier->session = session;
  notifier->queue = g_async_queue_new_full (g_free);
  notifier->thread = g_thread_new ("notify", run, notifier);
  return notifier;
}

void
tpd_notifier_free (TpdNotifier *notifier)
{
  g_atomic_int_set (&notifier->stopping, 1);
  push (notifier, 0);
  g_thread_join (notifier->thread);
  g_async_queue_unref (notifier->queue);
  g_free (notifier);
}

void
tpd_notifier_attributes (TpdNotifier *notifier, guint64 id)
{
  if (g_async_queue_length (notifier->queue) < MAX_QUEUED)
    push (notifier, id);
}
