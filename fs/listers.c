/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fs/listers.h. Whoever ends a job works along and waits only for helpers
 * that have begun: one that comes later finds the job over, and lets go of it.
 *
 * Waking threads that find the processors busy costs more than they bring, so
 * there are no more of them than processors at first. Where items take long,
 * because the source is far, each asks for one more.
 *
 * Work on what is not asked for yet can keep a processor busy for milliseconds,
 * and a thread that was woken there, to answer what is asked now, waits behind it,
 * even if another processor is idle: the scheduler does not look again. So helpers
 * work in stints. In between nobody waits for them, and they let others go first.
 */
#include "fs/listers.h"

#include <sched.h>

/* Fewer are done sooner than another thread is awake. */
#define ITEMS_A_HELPER 12
#define MAX_HELPERS 8
/* Two items in a row that take longer were waited for, not worked on. */
#define SLOW_US 300
/* Items in a stint of a helper: less than a tenth of a millisecond. */
#define STINT 8

/* Counted: by the caller and by each helper that was asked. */
struct _TpdListersJob {
  GThreadPool *listers;
  TpdListersWork work;
  gpointer data;
  guint n;
  guint next;  /* atomic: the first number nobody has */
  guint asked; /* atomic: helpers */
  gint refs;   /* atomic */

  GMutex lock;
  GCond done;
  guint busy;    /* helpers at work, under lock */
  gboolean over; /* nobody may begin any more, under lock */
};

static void
job_unref (TpdListersJob *job)
{
  if (!g_atomic_int_dec_and_test (&job->refs))
    return;
  g_mutex_clear (&job->lock);
  g_cond_clear (&job->done);
  g_free (job);
}

static void
ask_for_help (TpdListersJob *job)
{
  guint asked = __atomic_load_n (&job->asked, __ATOMIC_RELAXED);

  if (asked >= (guint) g_thread_pool_get_max_threads (job->listers)
      || !__atomic_compare_exchange_n (&job->asked, &asked, asked + 1, FALSE, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    return;
  g_atomic_int_inc (&job->refs);
  /* Where no thread can be made, it waits for one that is there. */
  g_thread_pool_push (job->listers, job, NULL);
}

/* Does `max` items at most. FALSE: none is left. */
static gboolean
job_work (TpdListersJob *job, guint max)
{
  gint64 before = g_get_monotonic_time ();
  guint slow = 0;

  for (guint i = 0; i < max; i++)
    {
      guint number = __atomic_fetch_add (&job->next, 1, __ATOMIC_RELAXED);
      gint64 now;

      if (number >= job->n)
        return FALSE;
      job->work (job->data, number);
      now = g_get_monotonic_time ();
      slow = now - before > SLOW_US ? slow + 1 : 0;
      if (slow > 1 && job->n - number > ITEMS_A_HELPER)
        ask_for_help (job);
      before = now;
    }
  return TRUE;
}

/* FALSE: nothing is left to do. */
static gboolean
help_a_while (TpdListersJob *job)
{
  gboolean late, more;

  g_mutex_lock (&job->lock);
  late = job->over;
  job->busy += !late;
  g_mutex_unlock (&job->lock);
  if (late)
    return FALSE;
  more = job_work (job, STINT);
  g_mutex_lock (&job->lock);
  if (--job->busy == 0 && job->over)
    g_cond_signal (&job->done);
  g_mutex_unlock (&job->lock);
  return more;
}

static void
help (gpointer item, gpointer unused)
{
  TpdListersJob *job = item;

  while (help_a_while (job))
    sched_yield ();
  job_unref (job);
}

GThreadPool *
tpd_listers_new (guint threads)
{
  return g_thread_pool_new (help, NULL, (gint) CLAMP (threads, 1, MAX_HELPERS), FALSE, NULL);
}

/* Asking the system each time opens files. */
static guint
processors (void)
{
  static gsize known;

  if (g_once_init_enter (&known))
    g_once_init_leave (&known, g_get_num_processors ());
  return (guint) known;
}

TpdListersJob *
tpd_listers_begin (GThreadPool *listers, TpdListersWork work, gpointer data, guint n)
{
  TpdListersJob *job = g_new0 (TpdListersJob, 1);
  guint helpers = MIN (n / ITEMS_A_HELPER, MAX (processors (), 2) - 1);

  job->listers = listers;
  job->work = work;
  job->data = data;
  job->n = n;
  job->refs = 1;
  g_mutex_init (&job->lock);
  g_cond_init (&job->done);
  for (guint i = 0; i < helpers; i++)
    ask_for_help (job);
  return job;
}

static void
job_end (TpdListersJob *job)
{
  g_mutex_lock (&job->lock);
  job->over = TRUE;
  while (job->busy > 0)
    g_cond_wait (&job->done, &job->lock);
  g_mutex_unlock (&job->lock);
  job_unref (job);
}

void
tpd_listers_finish (TpdListersJob *job)
{
  job_work (job, G_MAXUINT);
  job_end (job);
}

void
tpd_listers_cancel (TpdListersJob *job)
{
  __atomic_store_n (&job->next, job->n, __ATOMIC_RELAXED);
  job_end (job);
}
