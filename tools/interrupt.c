/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that end a command: see interrupt.h. */
#include "tools/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include "tools/command.h"

static pid_t main_pid;
static volatile sig_atomic_t deferred, interrupted;

/*
 * Most commands change nothing that must be undone, so a signal ends them on
 * the spot; the others wind up first. The key agent inherits the handler across
 * its fork and must die of the signal as it would without.
 */
static void
on_signal (int signum)
{
  static const char text[] = "tpd: interrupted\n";

  if (getpid () != main_pid)
    {
      signal (signum, SIG_DFL);
      raise (signum);
      return;
    }
  if (deferred && !interrupted)
    {
      interrupted = 1;
      return;
    }
  if (write (STDERR_FILENO, text, sizeof text - 1) < 0)
    _exit (TPD_EXIT_INTERRUPTED);
  _exit (TPD_EXIT_INTERRUPTED);
}

void
tpd_interrupt_install (void)
{
  static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
  struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
  struct sigaction old;

  main_pid = getpid ();
  sigemptyset (&action.sa_mask);
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    {
      /* nohup(1) and background jobs of a shell ignore some of them. */
      if (sigaction (signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction (signals[i], &action, NULL);
    }
}

void
tpd_interrupt_defer (void)
{
  deferred = 1;
}

gboolean
tpd_interrupted (void)
{
  return interrupted != 0;
}
