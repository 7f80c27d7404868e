/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks for a password on the terminal with echo off.
 *
 * The signals that end or stop a foreground program are blocked but while
 * ppoll() waits, so none can slip in between a check and the wait. The handler
 * notes the number only; the terminal is restored, then the signal is raised
 * again with its former disposition.
 */
#include "crypto/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"

/* The line discipline hands over at most 4096 bytes a line. */
#define LINE_MAX_BYTES 4096

static const int held_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };

static volatile sig_atomic_t caught;

typedef struct {
  struct termios terminal;
  sigset_t mask;
  struct sigaction actions[G_N_ELEMENTS (held_signals)];
} Saved;

static void
note_signal (int signo)
{
  caught = signo;
}

static void
hold_signals (Saved *saved, sigset_t *while_waiting)
{
  struct sigaction note = { .sa_handler = note_signal };
  sigset_t held;

  sigemptyset (&held);
  for (guint i = 0; i < G_N_ELEMENTS (held_signals); i++)
    sigaddset (&held, held_signals[i]);
  sigprocmask (SIG_BLOCK, &held, &saved->mask);

  *while_waiting = saved->mask;
  sigemptyset (&note.sa_mask);
  for (guint i = 0; i < G_N_ELEMENTS (held_signals); i++)
    {
      sigdelset (while_waiting, held_signals[i]);
      sigaction (held_signals[i], NULL, &saved->actions[i]);
      if (saved->actions[i].sa_handler != SIG_IGN)
        sigaction (held_signals[i], &note, NULL);
    }
  caught = 0;
}

static void
release_signals (const Saved *saved)
{
  for (guint i = 0; i < G_N_ELEMENTS (held_signals); i++)
    sigaction (held_signals[i], &saved->actions[i], NULL);
  sigprocmask (SIG_SETMASK, &saved->mask, NULL);
}

static gboolean
set_terminal (int tty, const struct termios *settings)
{
  int status;
  do
    status = tcsetattr (tty, TCSAFLUSH, settings);
  while (status != 0 && errno == EINTR && caught == 0);
  return status == 0;
}

static void
put (int tty, const char *text)
{
  gsize len = strlen (text), done = 0;
  while (done < len)
    {
      gssize n = write (tty, text + done, len - done);
      if (n <= 0)
        return;
      done += (gsize) n;
    }
}

/* Bytes before the line end, -1 when a signal, the end of input or an error
 * came first. */
static gssize
read_line (int tty, guint8 *line, const sigset_t *while_waiting)
{
  gsize len = 0;

  while (len < LINE_MAX_BYTES)
    {
      struct pollfd wait = { .fd = tty, .events = POLLIN };
      if (ppoll (&wait, 1, NULL, while_waiting) < 0)
        {
          if (errno == EINTR && caught == 0)
            continue;
          return -1;
        }
      gssize n = read (tty, line + len, LINE_MAX_BYTES - len);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return -1;
      len += (gsize) n;
      if (line[len - 1] == '\n')
        return (gssize) len - 1;
    }
  return -1;
}

/* One attempt. NULL with `*signo` set when a signal ended it. */
static TpdSecret *
ask (int tty, const char *text, int *signo, GError **error)
{
  g_autoptr (TpdSecret) line = tpd_secret_new (NULL, LINE_MAX_BYTES);
  Saved saved;
  sigset_t while_waiting;
  gssize len = -1;

  if (tcgetattr (tty, &saved.terminal) != 0)
    {
      tpd_error_set_errno (error, errno, "The terminal cannot be read");
      return NULL;
    }
  struct termios silent = saved.terminal;
  silent.c_lflag &= ~(tcflag_t) (ECHO | ECHONL);
  silent.c_lflag |= ICANON | ISIG;
  silent.c_iflag |= ICRNL;

  hold_signals (&saved, &while_waiting);
  if (set_terminal (tty, &silent))
    {
      put (tty, text);
      len = read_line (tty, line->data, &while_waiting);
      set_terminal (tty, &saved.terminal);
      put (tty, "\n");
    }
  *signo = caught;
  release_signals (&saved);

  if (*signo != 0)
    return NULL;
  if (len < 0)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_PASSWORD, "nothing was typed");
      return NULL;
    }
  return tpd_secret_new (line->data, (gsize) len);
}

TpdSecret *
tpd_password_prompt (const char *text, GError **error)
{
  int tty = open ("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  TpdSecret *password = NULL;
  int signo;

  if (tty < 0)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_PASSWORD, "there is no terminal to ask on");
      return NULL;
    }
  do
    {
      signo = 0;
      password = ask (tty, text, &signo, error);
      if (signo != 0)
        raise (signo);
  } while (signo == SIGTSTP);
  close (tty);
  if (signo != 0)
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_CANCELLED, "Interrupted while asking for a password");
  return password;
}
