/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper of a mount: see fs/keeper.h. Messages on one pair of sockets,
 * whose first byte says what they are; questions are answered with one byte,
 * one at a time.
 */
#include "fs/keeper.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "crypto/process.h"

enum { LINE = 'l', DYING = 'd', UNMOUNT = 'u', YES = 'y', NO = 'n' };

#define LINE_MAX_LEN 8192
/* A log that hangs must not stop the mount; nor may a lazy unmount. */
#define SEND_TIMEOUT_S 2
#define ANSWER_TIMEOUT_S 20

struct _TpdKeeper {
  GMutex lock; /* one question at a time */
  int fd;
  pid_t pid;
  gboolean logs; /* the lines of this process go through it */
};

/* --- In the keeper ---------------------------------------------------------- */

static void
write_log (const guint8 *message, gsize len)
{
  static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

  if (len < 2 || message[1] >= G_N_ELEMENTS (priorities))
    return;
  g_autofree char *text = g_strndup ((const char *) message + 2, len - 2);
  g_autofree char *shown = tpd_display (text);
  syslog (priorities[message[1]], "%s", shown);
}

/* A deadly signal is turned into SIGKILL for each thread of its victim, which
 * is then pending (proc_pid_status(5)). */
static gboolean
is_dying (const guint8 *message, gsize len)
{
  gint32 thread;
  g_autofree char *path = NULL, *status = NULL;
  const char *pending;

  if (len != 1 + sizeof thread)
    return FALSE;
  memcpy (&thread, message + 1, sizeof thread);
  path = g_strdup_printf ("/proc/%d/status", (int) thread);
  if (thread <= 0 || !g_file_get_contents (path, &status, NULL, NULL))
    return FALSE;
  pending = strstr (status, "\nSigPnd:");
  return pending != NULL
         && (g_ascii_strtoull (pending + strlen ("\nSigPnd:"), NULL, 16) & (G_GUINT64_CONSTANT (1) << (SIGKILL - 1)))
                != 0;
}

/* Lazily, as libfuse does it. Ordinary users have fusermount3. */
static gboolean
take_away (const char *mountpoint)
{
  int status = -1;
  pid_t child;

  if (umount2 (mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
    return TRUE;
  child = fork ();
  if (child == 0)
    {
      execlp ("fusermount3", "fusermount3", "-u", "-q", "-z", "--", mountpoint, NULL);
      _exit (127);
    }
  while (child > 0 && waitpid (child, &status, 0) < 0 && errno == EINTR)
    ;
  return child > 0 && WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

static void G_GNUC_NORETURN
serve (int fd, const char *mountpoint)
{
  static guint8 message[LINE_MAX_LEN];

  for (;;)
    {
      gssize n = recv (fd, message, sizeof message, 0);
      guint8 answer;

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        _exit (0);
      switch (message[0])
        {
        case LINE:
          write_log (message, (gsize) n);
          continue;
        case DYING:
          answer = is_dying (message, (gsize) n) ? YES : NO;
          break;
        case UNMOUNT:
          answer = take_away (mountpoint) ? YES : NO;
          break;
        default:
          _exit (1);
        }
      if (send (fd, &answer, 1, MSG_NOSIGNAL) != 1)
        _exit (1);
    }
}

/* Root's keeper unmounts and looks at paths, and is not to do more. */
#define KEPT (G_GUINT64_CONSTANT (1) << CAP_SYS_ADMIN | G_GUINT64_CONSTANT (1) << CAP_DAC_READ_SEARCH)

static void G_GNUC_NORETURN
run (int fd, const char *mountpoint, const char *log_name, pid_t mount)
{
  static const int deaf_to[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2 };
  g_autoptr (GArray) keep = g_array_new (FALSE, FALSE, sizeof (int));
  g_autofree char *ident = g_strdup_printf ("%s[%d]", log_name != NULL ? log_name : "", (int) mount);

  prctl (PR_SET_NAME, "tpdfs-keeper", 0, 0, 0);
  tpd_process_reset_signals ();
  for (guint i = 0; i < G_N_ELEMENTS (deaf_to); i++)
    signal (deaf_to[i], SIG_IGN);
  g_array_append_val (keep, fd);
  tpd_process_close_all_but (keep);
  if (!tpd_process_mute (NULL) || chdir ("/") != 0)
    _exit (1);
  (void) setsid ();
  /* For root nothing is run that would need more; fusermount3 does. */
  if (geteuid () == 0)
    {
      prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      if (!tpd_capabilities_keep (KEPT, NULL))
        _exit (1);
    }
  prctl (PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (log_name != NULL)
    openlog (ident, 0, LOG_DAEMON);
  serve (fd, mountpoint);
}

/* --- In the mount ----------------------------------------------------------- */

TpdKeeper *
tpd_keeper_start (const char *mountpoint, const char *log_name, GError **error)
{
  const struct timeval send_timeout = { SEND_TIMEOUT_S, 0 }, answer_timeout = { ANSWER_TIMEOUT_S, 0 };
  g_autoptr (TpdKeeper) keeper = g_new0 (TpdKeeper, 1);
  const pid_t self = getpid ();
  int pair[2];

  keeper->fd = -1;
  g_mutex_init (&keeper->lock);
  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    {
      tpd_error_set_errno (error, errno, "no socket can be made for the keeper of the mount");
      return NULL;
    }
  keeper->fd = pair[0];
  keeper->pid = fork ();
  if (keeper->pid == 0)
    run (pair[1], mountpoint, log_name, self);
  close (pair[1]);
  if (keeper->pid < 0)
    {
      tpd_error_set_errno (error, errno, "the keeper of the mount cannot be started");
      return NULL;
    }
  setsockopt (keeper->fd, SOL_SOCKET, SO_SNDTIMEO, &send_timeout, sizeof send_timeout);
  setsockopt (keeper->fd, SOL_SOCKET, SO_RCVTIMEO, &answer_timeout, sizeof answer_timeout);
  return g_steal_pointer (&keeper);
}

void
tpd_keeper_free (TpdKeeper *keeper)
{
  if (keeper->logs)
    tpd_log_to_sink (NULL, NULL);
  if (keeper->fd >= 0)
    close (keeper->fd);
  if (keeper->pid > 0)
    tpd_process_reap (keeper->pid);
  g_mutex_clear (&keeper->lock);
  g_free (keeper);
}

static void
log_line (TpdLogLevel level, const char *line, gpointer data)
{
  const TpdKeeper *keeper = data;
  const gsize len = MIN (strlen (line), LINE_MAX_LEN - 2);
  g_autofree guint8 *message = g_malloc (len + 2);

  message[0] = LINE;
  message[1] = (guint8) level;
  memcpy (message + 2, line, len);
  /* Without a keeper there is nobody left to tell. */
  (void) send (keeper->fd, message, len + 2, MSG_NOSIGNAL);
}

void
tpd_keeper_take_log (TpdKeeper *keeper)
{
  keeper->logs = TRUE;
  tpd_log_to_sink (log_line, keeper);
}

static gboolean
ask (TpdKeeper *keeper, const guint8 *message, gsize len)
{
  guint8 answer = NO, late;
  gssize n = -1;

  g_mutex_lock (&keeper->lock);
  /* To a question that was given up. */
  while (recv (keeper->fd, &late, 1, MSG_DONTWAIT) > 0)
    ;
  if (send (keeper->fd, message, len, MSG_NOSIGNAL) == (gssize) len)
    do
      n = recv (keeper->fd, &answer, 1, 0);
    while (n < 0 && errno == EINTR);
  g_mutex_unlock (&keeper->lock);
  return n == 1 && answer == YES;
}

gboolean
tpd_keeper_is_dying (TpdKeeper *keeper, pid_t thread)
{
  const gint32 number = thread;
  guint8 message[1 + sizeof number] = { DYING };

  memcpy (message + 1, &number, sizeof number);
  return ask (keeper, message, sizeof message);
}

gboolean
tpd_keeper_unmount (TpdKeeper *keeper)
{
  static const guint8 message = UNMOUNT;

  return ask (keeper, &message, 1);
}
