/* SPDX-License-Identifier: Apache-2.0 */
/* Hygiene of processes that hold secrets: see crypto/process.h. */
#include "crypto/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

/* After its sockets are closed a child needs milliseconds to end; one that
 * waits for a hardware module is given up. */
#define END_TIMEOUT_MS 5000
#define END_POLL_MS 5

void
tpd_process_reset_signals (void)
{
  sigset_t none;

  for (int signo = 1; signo < NSIG; signo++)
    {
      struct sigaction action;
      if (sigaction (signo, NULL, &action) == 0 && action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL)
        signal (signo, SIG_DFL);
    }
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

static int
compare_fds (gconstpointer a, gconstpointer b)
{
  return *(const int *) a - *(const int *) b;
}

static void
close_between (int first, int last)
{
  struct rlimit limit;

  if (first > last || close_range ((guint) first, (guint) last, 0) == 0)
    return;
  /* A kernel before 5.9, or a sandbox that does not know the call. */
  if (getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= G_MAXINT)
    last = MIN (last, (int) limit.rlim_cur);
  for (int fd = first; fd <= MIN (last, 65536); fd++)
    close (fd);
}

void
tpd_process_close_all_but (GArray *keep)
{
  int next = STDERR_FILENO + 1;

  g_array_sort (keep, compare_fds);
  for (guint i = 0; i < keep->len; i++)
    {
      int fd = g_array_index (keep, int, i);
      close_between (next, fd - 1);
      next = MAX (next, fd + 1);
    }
  close_between (next, G_MAXINT);
}

gboolean
tpd_process_mute (GError **error)
{
  int null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  if (null < 0 || dup2 (null, STDIN_FILENO) < 0 || dup2 (null, STDOUT_FILENO) < 0 || dup2 (null, STDERR_FILENO) < 0)
    {
      tpd_error_set_errno (error, errno, "This process cannot give up its standard streams for /dev/null");
      if (null > STDERR_FILENO)
        close (null);
      return FALSE;
    }
  if (null > STDERR_FILENO)
    close (null);
  return TRUE;
}

gboolean
tpd_process_let_go (GError **error)
{
  static const int deaf_to[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };

  if (!tpd_process_mute (error))
    return FALSE;
  if (chdir ("/") != 0 || prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    {
      tpd_error_set_errno (error, errno, "The key agent cannot give up its privileges");
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (deaf_to); i++)
    signal (deaf_to[i], SIG_IGN);
  /* Fails only for the leader of a group, and a forked child is none. */
  (void) setsid ();
  prctl (PR_SET_PDEATHSIG, 0, 0, 0, 0);
  return TRUE;
}

void
tpd_process_reap (pid_t pid)
{
  for (guint waited = 0; waited < END_TIMEOUT_MS; waited += END_POLL_MS)
    {
      pid_t ended = waitpid (pid, NULL, WNOHANG);
      if (ended == pid || (ended < 0 && errno != EINTR))
        return;
      g_usleep (END_POLL_MS * 1000);
    }
  /* A confined process may send no signal; then it ends by itself, later. */
  if (kill (pid, SIGKILL) != 0)
    return;
  while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
    ;
}
