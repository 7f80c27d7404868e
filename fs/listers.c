/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fs/listers.h. The caller works along and waits only for helpers that have
 * begun: one that comes later finds the job over, and lets go of it.
 */
#include "fs/listers.h"

/* Fewer are done sooner than another thread is awake. */
#define ITEMS_A_HELPER 12
#define MAX_HELPERS 8

/* Counted: by the caller and by each helper that was asked. */
typedef struct {
  TpdListersWork work;
  gpointer data;
  guint n;
  guint next; /* atomic: the first number nobody has */
  gint refs;  /* atomic */

  GMutex lock;
  GCond done;
  guint busy;    /* helpers at work, under lock */
  gboolean over; /* nobody may begin any more, under lock */
} Job;

static void
job_unref (Job *job)
{
  if (!g_atomic_int_dec_and_test (&job->refs))
    return;
  g_mutex_clear (&job->lock);
  g_cond_clear (&job->done);
  g_free (job);
}

static void
job_work (Job *job)
{
  for (;;)
    {
      guint number = __atomic_fetch_add (&job->next, 1, __ATOMIC_RELAXED);

      if (number >= job->n)
        break;
      job->work (job->data, number);
    }
}

static void
help (gpointer item, gpointer unused)
{
  Job *job = item;
  gboolean late;

  g_mutex_lock (&job->lock);
  late = job->over;
  job->busy += !late;
  g_mutex_unlock (&job->lock);
  if (!late)
    {
      job_work (job);
      g_mutex_lock (&job->lock);
      if (--job->busy == 0)
        g_cond_signal (&job->done);
      g_mutex_unlock (&job->lock);
    }
  job_unref (job);
}

GThreadPool *
tpd_listers_new (guint threads)
{
  return g_thread_pool_new (help, NULL, (gint) CLAMP (threads, 1, MAX_HELPERS), FALSE, NULL);
}

void
tpd_listers_run (GThreadPool *listers, TpdListersWork work, gpointer data, guint n)
{
  guint helpers = MIN (n / ITEMS_A_HELPER, (guint) g_thread_pool_get_max_threads (listers));
  Job *job = g_new0 (Job, 1);

  job->work = work;
  job->data = data;
  job->n = n;
  job->refs = 1 + (gint) helpers;
  g_mutex_init (&job->lock);
  g_cond_init (&job->done);
  for (guint i = 0; i < helpers; i++)
    if (!g_thread_pool_push (listers, job, NULL))
      job_unref (job);
  job_work (job);
  g_mutex_lock (&job->lock);
  job->over = TRUE;
  while (job->busy > 0)
    g_cond_wait (&job->done, &job->lock);
  g_mutex_unlock (&job->lock);
  job_unref (job);
}
