/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a directory of a tree, and none that a link in it leads to: see walk.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/walk.h"

/* One openat2() takes less than PATH_MAX; deeper trees go in several steps. */
#define STEP_MAX 3800

/* Without openat2() one name at a time, which cannot lead anywhere else. */
static int
open_step (int at, const char *path, gsize len, int flags)
{
  static gint lacks_openat2; /* atomic */
  struct open_how how = { .flags = (guint64) flags, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
  g_autofree char *step = g_strndup (path, len);
  int fd;

  if (g_atomic_int_get (&lacks_openat2) == 0)
    {
      fd = (int) syscall (SYS_openat2, at, step, &how, sizeof how);
      if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return fd;
      /* EPERM may be O_NOATIME refused, or openat2() forbidden to this process. */
      if (errno == EPERM && (flags & O_NOATIME) != 0)
        return -1;
      g_atomic_int_set (&lacks_openat2, 1);
    }
  if (strchr (step, '/') != NULL)
    {
      errno = ENOSYS;
      return -1;
    }
  return openat (at, step, flags | O_NOFOLLOW);
}

/* How much of `path` the next step takes. */
static gsize
step_length (const char *path, gboolean single)
{
  gsize len = strlen (path);
  const char *slash;

  if (!single && len <= STEP_MAX)
    return len;
  slash = single ? strchr (path, '/') : memrchr (path, '/', STEP_MAX);
  return slash != NULL ? (gsize) (slash - path) : len;
}

static int
open_beneath (int root_fd, const char *path, int flags, gboolean single)
{
  int at = root_fd;

  if (path[0] == '\0')
    return openat (root_fd, ".", flags);
  while (path[0] != '\0')
    {
      gsize len = step_length (path, single);
      gboolean last = path[len] == '\0';
      int fd = open_step (at, path, len, last ? flags : O_PATH | O_DIRECTORY | O_CLOEXEC);
      int errnum = errno;

      if (at != root_fd)
        close (at);
      errno = errnum;
      if (fd < 0)
        return -1;
      at = fd;
      path += last ? len : len + 1;
    }
  return at;
}

int
tpd_walk_open_dir (int root_fd, const char *path)
{
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK;
  int fd = open_beneath (root_fd, path, flags | O_NOATIME, FALSE);

  if (fd < 0 && errno == EPERM)
    fd = open_beneath (root_fd, path, flags, FALSE);
  if (fd < 0 && errno == ENOSYS)
    fd = open_beneath (root_fd, path, flags, TRUE);
  return fd;
}

int
tpd_walk_open_parent (int root_fd, const char *path, const char **name)
{
  const char *slash = strrchr (path, '/');
  g_autofree char *dir = slash != NULL ? g_strndup (path, (gsize) (slash - path)) : g_strdup ("");

  *name = slash != NULL ? slash + 1 : path;
  return tpd_walk_open_dir (root_fd, dir);
}
