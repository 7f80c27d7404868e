/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Daemon and signals: see fs/daemon.h.
 *
 * All signals are taken by one thread with sigwait(), so that what they do is
 * ordinary code. Only SIGUSR2, by which the threads of the loop are woken at its
 * end (fs/loop.h), is a real one.
 */
#include "fs/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

#define POLL_MS 100

struct _TpdSignals {
  TpdFs *fs;
  pthread_t thread;
  gint stopping; /* atomic */
};

static int
exit_status_of (int status)
{
  if (WIFEXITED (status))
    return WEXITSTATUS (status);
  tpd_error ("the daemon was killed by signal %d while it started", WIFSIGNALED (status) ? WTERMSIG (status) : 0);
  return 1;
}

/* The pipe alone would not do: the key agent holds it too. */
static void G_GNUC_NORETURN
wait_for (pid_t child, int fd)
{
  for (;;)
    {
      struct pollfd poll_fd = { fd, POLLIN, 0 };
      int status;
      char byte;

      if (poll (&poll_fd, 1, POLL_MS) > 0 && read (fd, &byte, 1) == 1)
        _exit (0);
      if (waitpid (child, &status, WNOHANG) == child)
        _exit (exit_status_of (status));
      /* The pipe is closed and the child about to end. */
      if ((poll_fd.revents & POLLHUP) != 0)
        g_usleep (POLL_MS * 1000);
    }
}

int
tpd_daemon_launch (void)
{
  int ends[2];
  pid_t child;

  if (pipe2 (ends, O_CLOEXEC) != 0)
    return -1;
  child = fork ();
  if (child < 0)
    return -1;
  if (child > 0)
    {
      close (ends[1]);
      wait_for (child, ends[0]);
    }
  close (ends[0]);
  return ends[1];
}

void
tpd_daemon_detach (void)
{
  setsid ();
  if (chdir ("/") != 0)
    tpd_warning ("cannot change to /: %s", g_strerror (errno));
}

void
tpd_daemon_mute (void)
{
  int null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  if (null < 0)
    return;
  for (int fd = 0; fd <= 2; fd++)
    dup2 (null, fd);
  if (null > 2)
    close (null);
}

static void
wake_up (int number)
{
}

static void
our_signals (sigset_t *set)
{
  sigemptyset (set);
  sigaddset (set, SIGTERM);
  sigaddset (set, SIGINT);
  sigaddset (set, SIGHUP);
  sigaddset (set, SIGUSR1);
}

static void *
run (void *data)
{
  TpdSignals *signals = data;
  sigset_t set;

  our_signals (&set);
  sigaddset (&set, SIGUSR2);
  for (;;)
    {
      int number;

      if (sigwait (&set, &number) != 0)
        continue;
      if (g_atomic_int_get (&signals->stopping))
        return NULL;
      if (number == SIGUSR1)
        {
          g_autofree char *counters = tpd_fs_counters (signals->fs);

          tpd_info ("counters: %s", counters);
        }
      else if (number != SIGUSR2)
        {
          tpd_info ("ending on signal %d", number);
          tpd_loop_stop (signals->fs->loop);
          return NULL;
        }
    }
}

TpdSignals *
tpd_signals_start (TpdFs *fs)
{
  TpdSignals *signals = g_new0 (TpdSignals, 1);
  struct sigaction action = { .sa_handler = wake_up };
  sigset_t set, before;

  signals->fs = fs;
  sigaction (SIGUSR2, &action, NULL);
  action.sa_handler = SIG_IGN;
  sigaction (SIGPIPE, &action, NULL);
  our_signals (&set);
  sigaddset (&set, SIGUSR2);
  pthread_sigmask (SIG_BLOCK, &set, &before);
  if (pthread_create (&signals->thread, NULL, run, signals) != 0)
    g_error ("cannot create a thread");
  sigemptyset (&set);
  sigaddset (&set, SIGUSR2);
  pthread_sigmask (SIG_UNBLOCK, &set, NULL);
  return signals;
}

void
tpd_signals_stop (TpdSignals *signals)
{
  g_atomic_int_set (&signals->stopping, 1);
  pthread_kill (signals->thread, SIGUSR2);
  pthread_join (signals->thread, NULL);
  g_free (signals);
}
