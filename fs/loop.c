/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads that answer the kernel: see fs/loop.h.
 *
 * `waiting` is changed without the lock, since each request changes it twice. What
 * may not happen is that a thread is parked while nobody waits: who parks first
 * takes itself out of `waiting` and only stays if others are left in it; who takes
 * the last one out looks for parked ones under the lock, which the other still
 * holds until it counts as parked.
 *
 * A short read that leaves nobody waiting and has to wait itself without being
 * able to tell (for fstat(2), a pipe to be filled, a log, a file system that does
 * not know RWF_NOWAIT) would keep all others waiting. So as long as there are such
 * reads, the thread that runs the loop, which has nothing else to do, looks from
 * time to time whether one lasts.
 */
#include "fs/loop.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/io.h"

/* As many wait for the kernel while it mostly reads. */
#define WAITING_TO_READ 2
/* Requests of READ more than of others until that is so; until it is not, vice versa. */
#define MOSTLY 16
/* Requests in a row that left nobody waiting: there are several readers. */
#define CROWD 16
#define WATCH_US 5000
#define WAKE_US 10000

typedef struct {
  TpdLoop *loop;
  pthread_t thread;
  int receiving; /* atomic: in a call that a signal may end */
  gboolean ended;
} Worker;

struct _TpdLoop {
  struct fuse_session *session;
  guint max_workers;
  int waiting; /* atomic: threads that wait for the kernel, or are about to */
  int crowded; /* atomic, roughly: requests in a row that left nobody waiting */
  int reads;   /* atomic, roughly: READ more than others, 0 to MOSTLY */
  int reading; /* atomic: it mostly reads */
  int alone;   /* atomic: short reads, ever, that left nobody waiting and woke nobody */
  int watched; /* atomic: the main thread looks after them */
  int over;    /* atomic: all threads shall end */

  GMutex lock;
  GCond parked_cond, main_cond;
  guint parked, called; /* of those that wait for `parked_cond`; how many of them may go */
  guint running;
  int errnum;
  GPtrArray *workers; /* of Worker, also those that have ended */
};

static void *work (void *data);

/* Under the lock. */
static gboolean
start_worker (TpdLoop *loop)
{
  Worker *worker = g_new0 (Worker, 1);

  worker->loop = loop;
  if (pthread_create (&worker->thread, NULL, work, worker) != 0)
    {
      g_free (worker);
      return FALSE;
    }
  g_ptr_array_add (loop->workers, worker);
  loop->running++;
  return TRUE;
}

/* Under the lock. */
static void
call_another (TpdLoop *loop)
{
  if (g_atomic_int_get (&loop->over) || g_atomic_int_get (&loop->waiting) > 0)
    ;
  else if (loop->parked > loop->called)
    {
      loop->called++;
      g_cond_signal (&loop->parked_cond);
    }
  else if (loop->parked == 0 && loop->workers->len < loop->max_workers)
    start_worker (loop); /* if there is none to be had, it goes on with those that it has */
}

void
tpd_loop_busy (TpdLoop *loop)
{
  if (g_atomic_int_get (&loop->waiting) > 0)
    return;
  g_mutex_lock (&loop->lock);
  call_another (loop);
  g_mutex_unlock (&loop->lock);
}

/* Of a thread that leaves nobody waiting, for no longer than a short read takes. */
static void
leave_alone (TpdLoop *loop)
{
  g_atomic_int_inc (&loop->alone);
  if (g_atomic_int_get (&loop->watched))
    return;
  g_mutex_lock (&loop->lock);
  g_atomic_int_set (&loop->watched, TRUE);
  g_cond_signal (&loop->main_cond);
  g_mutex_unlock (&loop->lock);
}

/* Under the lock, of the main thread: when no more came meanwhile, the last has
 * been answered, or it lasts. */
static void
watch (TpdLoop *loop)
{
  const int before = g_atomic_int_get (&loop->alone);

  g_cond_wait_until (&loop->main_cond, &loop->lock, g_get_monotonic_time () + WATCH_US);
  if (g_atomic_int_get (&loop->alone) != before)
    return;
  g_atomic_int_set (&loop->watched, FALSE);
  call_another (loop);
  if (g_atomic_int_get (&loop->alone) != before) /* who came just now may have seen that it is watched */
    g_atomic_int_set (&loop->watched, TRUE);
}

/* Of a thread that has nothing to do: counts as waiting when it returns. */
static void
wait_for_turn (TpdLoop *loop)
{
  if (g_atomic_int_add (&loop->waiting, 1) < WAITING_TO_READ || !g_atomic_int_get (&loop->reading))
    return;
  g_mutex_lock (&loop->lock);
  if (g_atomic_int_add (&loop->waiting, -1) > WAITING_TO_READ && g_atomic_int_get (&loop->reading))
    {
      loop->parked++;
      while (loop->called == 0 && !g_atomic_int_get (&loop->over))
        g_cond_wait (&loop->parked_cond, &loop->lock);
      if (loop->called > 0)
        loop->called--;
      loop->parked--;
    }
  g_atomic_int_inc (&loop->waiting);
  g_mutex_unlock (&loop->lock);
}

static gboolean
is_read (const struct fuse_buf *request)
{
  const struct fuse_in_header *header = request->mem;

  return (request->flags & FUSE_BUF_IS_FD) == 0 && request->size >= sizeof *header && header->opcode == FUSE_READ;
}

static void
set_reading (TpdLoop *loop, gboolean reading)
{
  g_mutex_lock (&loop->lock);
  g_atomic_int_set (&loop->reading, reading);
  if (!reading)
    {
      loop->called = loop->parked;
      g_cond_broadcast (&loop->parked_cond);
    }
  g_mutex_unlock (&loop->lock);
}

/* Nobody minds if a request is counted twice, or not at all. */
static void
note_kind (TpdLoop *loop, gboolean read)
{
  int reads = g_atomic_int_get (&loop->reads), changed = CLAMP (reads + (read ? 1 : -1), 0, MOSTLY);

  if (changed == reads)
    return;
  g_atomic_int_set (&loop->reads, changed);
  if (changed == (read ? MOSTLY : 0) && g_atomic_int_get (&loop->reading) != read)
    set_reading (loop, read);
}

static void
before_waiting (gpointer data)
{
  tpd_loop_busy (data);
}

static void
process (TpdLoop *loop, struct fuse_buf *request, gboolean alone)
{
  gboolean read = is_read (request), quick = FALSE;

  note_kind (loop, read);
  if (alone)
    quick = g_atomic_int_add (&loop->crowded, 1) < CROWD && read;
  else if (g_atomic_int_get (&loop->crowded) > 0)
    g_atomic_int_set (&loop->crowded, 0);
  if (alone && quick)
    leave_alone (loop);
  else if (alone)
    tpd_loop_busy (loop);
  if (quick)
    tpd_io_set_before_waiting (before_waiting, loop);
  fuse_session_process_buf (loop->session, request);
  if (quick)
    tpd_io_set_before_waiting (NULL, NULL);
}

static void
end (TpdLoop *loop, int errnum)
{
  g_mutex_lock (&loop->lock);
  if (loop->errnum == 0)
    loop->errnum = errnum;
  g_atomic_int_set (&loop->over, TRUE);
  g_cond_broadcast (&loop->main_cond);
  g_cond_broadcast (&loop->parked_cond);
  g_mutex_unlock (&loop->lock);
}

static void *
work (void *data)
{
  Worker *worker = data;
  TpdLoop *loop = worker->loop;
  struct fuse_buf request = { 0 };
  int errnum = 0;

  while (!g_atomic_int_get (&loop->over) && !fuse_session_exited (loop->session))
    {
      gboolean alone;
      int n;

      wait_for_turn (loop);
      g_atomic_int_set (&worker->receiving, TRUE);
      n = g_atomic_int_get (&loop->over) ? 0 : fuse_session_receive_buf (loop->session, &request);
      g_atomic_int_set (&worker->receiving, FALSE);
      alone = g_atomic_int_add (&loop->waiting, -1) == 1;
      if (n > 0)
        process (loop, &request, alone);
      else if (n != -EINTR && n != -EAGAIN)
        {
          errnum = n == -ENODEV ? 0 : -n;
          break;
        }
    }
  free (request.mem);
  end (loop, errnum);
  g_mutex_lock (&loop->lock);
  worker->ended = TRUE;
  loop->running--;
  g_cond_broadcast (&loop->main_cond);
  g_mutex_unlock (&loop->lock);
  return NULL;
}

TpdLoop *
tpd_loop_new (struct fuse_session *session, guint threads)
{
  TpdLoop *loop = g_new0 (TpdLoop, 1);

  loop->session = session;
  loop->max_workers = MAX (1, threads);
  g_mutex_init (&loop->lock);
  g_cond_init (&loop->parked_cond);
  g_cond_init (&loop->main_cond);
  loop->workers = g_ptr_array_new_with_free_func (g_free);
  return loop;
}

void
tpd_loop_free (TpdLoop *loop)
{
  if (loop == NULL)
    return;
  g_ptr_array_unref (loop->workers);
  g_cond_clear (&loop->main_cond);
  g_cond_clear (&loop->parked_cond);
  g_mutex_clear (&loop->lock);
  g_free (loop);
}

void
tpd_loop_stop (TpdLoop *loop)
{
  end (loop, 0);
}

/* FALSE: there are none, nor will there be. A signal that comes just before a
 * thread begins to wait is lost: again, then. */
static gboolean
wake_receivers (TpdLoop *loop)
{
  gboolean any = FALSE;

  for (guint i = 0; i < loop->workers->len; i++)
    {
      Worker *worker = loop->workers->pdata[i];

      if (!worker->ended && g_atomic_int_get (&worker->receiving))
        {
          pthread_kill (worker->thread, SIGUSR2);
          any = TRUE;
        }
    }
  return any;
}

int
tpd_loop_run (TpdLoop *loop)
{
  g_mutex_lock (&loop->lock);
  if (!start_worker (loop))
    {
      g_mutex_unlock (&loop->lock);
      return EAGAIN;
    }
  while (!g_atomic_int_get (&loop->over))
    if (g_atomic_int_get (&loop->watched))
      watch (loop);
    else
      g_cond_wait (&loop->main_cond, &loop->lock);
  fuse_session_exit (loop->session);
  while (loop->running > 0)
    if (wake_receivers (loop))
      g_cond_wait_until (&loop->main_cond, &loop->lock, g_get_monotonic_time () + WAKE_US);
    else
      g_cond_wait (&loop->main_cond, &loop->lock);
  g_mutex_unlock (&loop->lock);
  for (guint i = 0; i < loop->workers->len; i++)
    pthread_join (((Worker *) loop->workers->pdata[i])->thread, NULL);
  return loop->errnum;
}
