/* SPDX-License-Identifier: Apache-2.0 */
/* SOURCE and MOUNTPOINT: see fs/places.h. */
#include "fs/places.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

void
tpd_places_clear (TpdPlaces *places)
{
  g_clear_pointer (&places->source, g_free);
  g_clear_pointer (&places->mountpoint, g_free);
  if (places->root_fd >= 0)
    close (places->root_fd);
  places->root_fd = -1;
}

static char *
real_directory (const char *path, const char *what, struct stat *st, GError **error)
{
  char *resolved = realpath (path, NULL);
  char *result;

  if (resolved == NULL && errno == ENOTCONN)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                   "%s %s is a mount whose program has ended; unmount it first: fusermount3 -u %s", what, path, path);
      return NULL;
    }
  if (resolved == NULL || stat (resolved, st) != 0)
    {
      tpd_error_set_errno (error, errno, "%s %s", what, path);
      free (resolved);
      return NULL;
    }
  result = g_strdup (resolved);
  free (resolved);
  if (S_ISDIR (st->st_mode))
    return result;
  g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s %s is not a directory", what, path);
  g_free (result);
  return NULL;
}

/* Whether the directory `outer` is `path` or one above it, by whatever path it
 * is reached: bind mounts have the same device and inode. */
static gboolean
lies_in (const char *path, const struct stat *outer)
{
  g_autofree char *at = g_strdup (path);

  for (;;)
    {
      struct stat st;
      char *slash;

      if (stat (at, &st) == 0 && st.st_dev == outer->st_dev && st.st_ino == outer->st_ino)
        return TRUE;
      if (strcmp (at, "/") == 0)
        return FALSE;
      slash = strrchr (at, '/');
      slash[slash == at] = '\0';
    }
}

gboolean
tpd_places_find (TpdPlaces *places, const char *source, const char *mountpoint, GError **error)
{
  struct stat source_stat, mountpoint_stat;

  *places = (TpdPlaces){ NULL, NULL, -1 };
  places->source = real_directory (source, "source", &source_stat, error);
  if (places->source == NULL)
    return FALSE;
  places->mountpoint = real_directory (mountpoint, "mount point", &mountpoint_stat, error);
  if (places->mountpoint == NULL)
    return FALSE;
  if (lies_in (places->mountpoint, &source_stat))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                   "the mount point %s lies in the source %s; choose one outside of it", places->mountpoint,
                   places->source);
      return FALSE;
    }
  if (lies_in (places->source, &mountpoint_stat))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                   "the source %s lies in the mount point %s, which would hide it; choose another mount point",
                   places->source, places->mountpoint);
      return FALSE;
    }
  places->root_fd = open (places->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (places->root_fd < 0)
    {
      tpd_error_set_errno (error, errno, "cannot open the source %s", places->source);
      return FALSE;
    }
  return TRUE;
}
