/* SPDX-License-Identifier: Apache-2.0 */
/* Files named on the command line: see input.h. */
#include "tools/input.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"

/* O_NOATIME is for the owner of the file and root; O_NONBLOCK keeps a FIFO
 * from blocking us, and means nothing for regular files. */
static int
open_quietly (const char *path)
{
  const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  int fd = open (path, flags | O_NOATIME);

  if (fd < 0 && errno == EPERM)
    fd = open (path, flags);
  return fd;
}

static const char *
file_type (mode_t mode)
{
  if (S_ISDIR (mode))
    return "a directory";
  if (S_ISFIFO (mode))
    return "a named pipe";
  if (S_ISSOCK (mode))
    return "a socket";
  return "a device";
}

TpdSource *
tpd_input_open (const char *path, TpdStamp *stamp, GError **error)
{
  struct stat st;
  int fd = open_quietly (path);

  if (fd < 0)
    {
      tpd_error_set_errno (error, errno, "cannot open the file");
      return NULL;
    }
  if (fstat (fd, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot look at the file");
      close (fd);
      return NULL;
    }
  if (!S_ISREG (st.st_mode))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED, "this is %s; only regular files are read",
                   file_type (st.st_mode));
      close (fd);
      return NULL;
    }
  tpd_stamp_from_stat (stamp, &st);
  return tpd_source_new_fd (fd, error);
}

gboolean
tpd_input_check_unchanged (TpdSource *source, const TpdStamp *stamp, GError **error)
{
  TpdStamp now;

  if (!tpd_source_stamp (source, &now, error))
    return FALSE;
  if (tpd_stamp_same_content (stamp, &now))
    return TRUE;
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_STALE, "the file was changed while it was read; read it again");
  return FALSE;
}

GBytes *
tpd_input_read_small (const char *path, gsize max, GError **error)
{
  TpdStamp stamp;
  g_autoptr (TpdSource) source = tpd_input_open (path, &stamp, error);
  GBytes *bytes = NULL;

  if (source != NULL && source->size > max)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s is larger than %zu MiB: it is not what is meant here", path,
                   max / (1024 * 1024));
      return NULL;
    }
  if (source != NULL)
    bytes = tpd_source_read_bytes (source, 0, (gsize) source->size, error);
  if (bytes == NULL)
    g_prefix_error (error, "%s: ", path);
  return bytes;
}
