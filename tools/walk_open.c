/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a directory of a tree, and none that a link in it leads to: see walk.h.
 *
 * A name at a time, which cannot lead anywhere else. openat2() takes a whole path
 * in one step, but is closed to a confined process, because its flags are out of
 * seccomp's sight; a trail makes up for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/walk.h"

#define TRAIL_STEPS 8

/* A directory on the way, open with O_PATH. */
typedef struct {
  gsize len; /* of its path */
  int fd;
} Step;

struct _TpdWalkTrail {
  int root_fd;
  char *path; /* all steps lie on the way to it */
  guint n, max;
  Step steps[TRAIL_STEPS]; /* the upper ones first, which may be missing */
};

static void
forget_steps (TpdWalkTrail *trail)
{
  while (trail->n > 0)
    close (trail->steps[--trail->n].fd);
}

static void
add_step (TpdWalkTrail *trail, int fd, gsize len)
{
  if (trail->n == trail->max)
    {
      close (trail->steps[0].fd);
      memmove (trail->steps, trail->steps + 1, --trail->n * sizeof (Step));
    }
  trail->steps[trail->n++] = (Step){ len, fd };
}

/* Goes back to where the ways to `path` and to the last one part. */
static void
go_back (TpdWalkTrail *trail, const char *path)
{
  gsize common = 0;

  while (trail->path != NULL && path[common] != '\0' && path[common] == trail->path[common])
    common++;
  while (trail->n > 0)
    {
      const Step *last = &trail->steps[trail->n - 1];

      if (last->len <= common && path[last->len] == '/')
        break;
      close (last->fd);
      trail->n--;
    }
}

static gboolean
is_link (int at, const char *name)
{
  struct stat st;

  return fstatat (at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK (st.st_mode);
}

static int
open_name (int at, const char *name, gsize len, int flags)
{
  char one[PATH_MAX];
  int fd;

  if (len >= sizeof one || (len == 2 && name[0] == '.' && name[1] == '.'))
    {
      errno = len >= sizeof one ? ENAMETOOLONG : EXDEV;
      return -1;
    }
  memcpy (one, name, len);
  one[len] = '\0';
  fd = openat (at, one, flags | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno == EPERM && (flags & O_NOATIME) != 0)
    fd = openat (at, one, (flags & ~O_NOATIME) | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno == ENOTDIR)
    errno = is_link (at, one) ? ELOOP : ENOTDIR;
  return fd;
}

static int
descend (TpdWalkTrail *trail, const char *path)
{
  const int flags = O_RDONLY | O_NONBLOCK | O_NOATIME;
  const Step *last = trail->n > 0 ? &trail->steps[trail->n - 1] : NULL;
  int at = last != NULL ? last->fd : trail->root_fd;
  gsize done = last != NULL ? last->len + 1 : 0;

  if (path[0] == '\0')
    return open_name (at, ".", 1, flags);
  for (;;)
    {
      const char *name = path + done, *slash = strchr (name, '/');

      if (slash == NULL)
        return open_name (at, name, strlen (name), flags);
      at = open_name (at, name, (gsize) (slash - name), O_PATH);
      if (at < 0)
        return -1;
      add_step (trail, at, (gsize) (slash - path));
      done = (gsize) (slash - path) + 1;
    }
}

TpdWalkTrail *
tpd_walk_trail_new (int root_fd)
{
  TpdWalkTrail *trail = g_new0 (TpdWalkTrail, 1);

  trail->root_fd = root_fd;
  trail->max = TRAIL_STEPS;
  return trail;
}

void
tpd_walk_trail_free (TpdWalkTrail *trail)
{
  forget_steps (trail);
  g_free (trail->path);
  g_free (trail);
}

int
tpd_walk_trail_open_dir (TpdWalkTrail *trail, const char *path)
{
  int fd;

  go_back (trail, path);
  fd = descend (trail, path);
  g_free (trail->path);
  trail->path = g_strdup (path);
  if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
    return fd;
  forget_steps (trail);
  return tpd_walk_open_dir (trail->root_fd, path);
}

int
tpd_walk_open_dir (int root_fd, const char *path)
{
  TpdWalkTrail trail = { .root_fd = root_fd, .max = 1 };
  int fd = descend (&trail, path), errnum = errno;

  forget_steps (&trail);
  errno = errnum;
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
