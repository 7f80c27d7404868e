/* SPDX-License-Identifier: Apache-2.0 */
/* Files that come into being at the end: see late_file.h. */
#include "tools/late_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "crypto/process.h"

struct _TpdLateFile {
  char *path;
  int fd;
  int helper; /* socket */
  pid_t pid;
};

/* One byte asks for the file to be put in its place, and is answered with the
 * errno. The end of the stream without it means that the file is not wanted. */
static void G_GNUC_NORETURN
run_helper (int fd, const char *temporary, const char *path)
{
  static const int deaf_to[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
  g_autoptr (GArray) keep = g_array_new (FALSE, FALSE, sizeof (int));
  char asked;
  int answer = 0;
  gssize n;

  prctl (PR_SET_NAME, "tpd-late-file", 0, 0, 0);
  prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  tpd_process_reset_signals ();
  for (guint i = 0; i < G_N_ELEMENTS (deaf_to); i++)
    signal (deaf_to[i], SIG_IGN);
  g_array_append_val (keep, fd);
  tpd_process_close_all_but (keep);
  (void) tpd_process_mute (NULL);
  do
    n = recv (fd, &asked, 1, 0);
  while (n < 0 && errno == EINTR);
  if (n == 1 && rename (temporary, path) == 0)
    temporary = NULL;
  else
    answer = errno;
  if (temporary != NULL)
    unlink (temporary);
  if (n == 1)
    (void) send (fd, &answer, sizeof answer, MSG_NOSIGNAL);
  _exit (0);
}

TpdLateFile *
tpd_late_file_open (const char *path, GError **error)
{
  g_autoptr (TpdLateFile) file = g_new0 (TpdLateFile, 1);
  g_autofree char *temporary = g_strconcat (path, ".XXXXXX", NULL);
  int pair[2] = { -1, -1 };

  file->path = g_strdup (path);
  file->helper = -1;
  file->fd = mkostemp (temporary, O_CLOEXEC);
  if (file->fd < 0 || socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 || (file->pid = fork ()) < 0)
    {
      tpd_error_set_errno (error, errno, "cannot write %s", path);
      if (file->fd >= 0)
        unlink (temporary);
      if (pair[0] >= 0)
        {
          close (pair[0]);
          close (pair[1]);
        }
      return NULL;
    }
  if (file->pid == 0)
    run_helper (pair[1], temporary, path);
  close (pair[1]);
  file->helper = pair[0];
  return g_steal_pointer (&file);
}

void
tpd_late_file_free (TpdLateFile *file)
{
  if (file->fd >= 0)
    close (file->fd);
  if (file->helper >= 0)
    close (file->helper);
  if (file->pid > 0)
    tpd_process_reap (file->pid);
  g_free (file->path);
  g_free (file);
}

int
tpd_late_file_fd (const TpdLateFile *file)
{
  return file->fd;
}

gboolean
tpd_late_file_commit (TpdLateFile *file, GError **error)
{
  int errnum = EPIPE;
  gssize n = -1;

  if (send (file->helper, "c", 1, MSG_NOSIGNAL) == 1)
    do
      n = recv (file->helper, &errnum, sizeof errnum, 0);
    while (n < 0 && errno == EINTR);
  if (n == sizeof errnum && errnum == 0)
    return TRUE;
  tpd_error_set_errno (error, n == sizeof errnum ? errnum : EPIPE, "cannot write %s", file->path);
  return FALSE;
}
