/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads key and password files into secret memory, after making sure that
 * nobody else can: a tenant key whose file others can read is no secret. All
 * checks are on the open descriptor, so that the file cannot be swapped in
 * between.
 */
#include "crypto/password.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

/*
 * systemd gives a service of another user his credentials through an ACL,
 * whose mask stat shows in the group bits. The directory is private to the
 * service.
 */
static gboolean
in_credentials_directory (const char *path)
{
  const char *configured = g_getenv ("CREDENTIALS_DIRECTORY");
  g_autofree char *folder = g_path_get_dirname (path);
  char real_configured[PATH_MAX], real_folder[PATH_MAX];

  return configured && g_path_is_absolute (configured) && realpath (configured, real_configured)
         && realpath (folder, real_folder) && strcmp (real_configured, real_folder) == 0;
}

static gboolean
check_access (const char *path, const struct stat *st, GError **error)
{
  const gboolean credential = in_credentials_directory (path);
  const mode_t forbidden = credential ? S_IRWXO : S_IRWXG | S_IRWXO;
  g_autofree char *quoted = g_shell_quote (path);

  if (st->st_uid != 0 && st->st_uid != geteuid ())
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_INSECURE_FILE,
                   "The file %s belongs to another user (uid %lu), who can read and change it; use a copy of your "
                   "own: install -m 600 %s DIRECTORY",
                   path, (gulong) st->st_uid, quoted);
      return FALSE;
    }
  if (st->st_mode & forbidden)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_INSECURE_FILE,
                   "The file %s is open to other users (mode %04o); mend it with: chmod 600 %s, or where modes cannot "
                   "be changed use a private copy: install -m 600 %s DIRECTORY",
                   path, (guint) (st->st_mode & 07777), quoted, quoted);
      return FALSE;
    }
  return TRUE;
}

static TpdSecret *
read_all (int fd, gsize size, const char *path, GError **error)
{
  g_autoptr (TpdSecret) secret = tpd_secret_new (NULL, size);
  gsize done = 0;

  while (done < size)
    {
      gssize n = read (fd, secret->data + done, size - done);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          tpd_error_set_errno (error, errno, "The file %s cannot be read", path);
          return NULL;
        }
      if (n == 0)
        break;
      done += (gsize) n;
    }
  secret->len = done;
  return g_steal_pointer (&secret);
}

static TpdSecret *
read_checked (int fd, const char *path, gsize max, gboolean allow_insecure, GError **error)
{
  struct stat st;

  if (fstat (fd, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "The file %s cannot be read", path);
      return NULL;
    }
  if (!S_ISREG (st.st_mode))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE,
                   "%s is not a regular file; a password from a pipe is given with --password-fd", path);
      return NULL;
    }
  if (!allow_insecure && !check_access (path, &st, error))
    return NULL;
  if ((guint64) st.st_size > max)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE,
                   "The file %s is too large (%" G_GINT64_FORMAT " bytes) for what it is said to be", path,
                   (gint64) st.st_size);
      return NULL;
    }
  return read_all (fd, (gsize) st.st_size, path, error);
}

TpdSecret *
tpd_secret_file_read (const char *path, gsize max, gboolean allow_insecure, GError **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

  if (fd < 0)
    {
      tpd_error_set_errno (error, errno, "The file %s cannot be opened", path);
      return NULL;
    }
  TpdSecret *secret = read_checked (fd, path, max, allow_insecure, error);
  close (fd);
  return secret;
}
