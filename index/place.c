/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an index lies, and that nobody else gets at it. It tells who protected
 * what for whom, so it is its owner's alone; and it never lies on the share it
 * describes, which is not ours to write to.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "index/private.h"

#define SYSTEM_FOLDER "/var/lib/tpdfs"
#define MAX_BAD 1000
/* Deeper than any path can be given. */
#define MAX_PARENTS 4096

/* Not in linux/magic.h of every release. */
#define CIFS_MAGIC 0xff534d42
#define SMB2_MAGIC 0xfe534d42

static gboolean
is_network (int fd)
{
  struct statfs fs;

  if (fstatfs (fd, &fs) != 0)
    return FALSE;
  switch ((guint32) fs.f_type)
    {
    case NFS_SUPER_MAGIC:
    case CIFS_MAGIC:
    case SMB2_MAGIC:
    case SMB_SUPER_MAGIC:
    case V9FS_MAGIC:
    case CEPH_SUPER_MAGIC:
    case AFS_FS_MAGIC:
      return TRUE;
    default:
      return FALSE;
    }
}

/* Whether the directory `fd` is `root` or lies in it, by whatever path. */
static gboolean
is_beneath (int fd, const struct stat *root, gboolean *beneath, GError **error)
{
  int at = fcntl (fd, F_DUPFD_CLOEXEC, 0);
  struct stat st, last = { 0 };

  *beneath = FALSE;
  for (guint i = 0; at >= 0 && i < MAX_PARENTS && fstat (at, &st) == 0; i++)
    {
      int up;

      *beneath = st.st_dev == root->st_dev && st.st_ino == root->st_ino;
      if (*beneath || (i > 0 && st.st_dev == last.st_dev && st.st_ino == last.st_ino))
        {
          close (at);
          return TRUE;
        }
      last = st;
      up = openat (at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
      close (at);
      at = up;
    }
  tpd_error_set_errno (error, errno, "cannot look at the folder of the index");
  if (at >= 0)
    close (at);
  return FALSE;
}

static char *
default_folder (gboolean make)
{
  if (geteuid () == 0 && make && g_mkdir_with_parents (SYSTEM_FOLDER, 0700) == 0)
    return g_strdup (SYSTEM_FOLDER);
  if (access (SYSTEM_FOLDER, W_OK | X_OK) == 0)
    return g_strdup (SYSTEM_FOLDER);
  return g_build_filename (g_get_user_cache_dir (), "tpdfs", NULL);
}

static char *
default_path (const char *source_id, gboolean make, GError **error)
{
  g_autofree char *folder = default_folder (make);
  g_autofree char *base = g_strconcat (source_id, ".sqlite", NULL);

  if (make && g_mkdir_with_parents (folder, 0700) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot make the folder %s for the index; name a file with --index", folder);
      return NULL;
    }
  return g_build_filename (folder, base, NULL);
}

/* `path` with the links of its folder resolved. */
static char *
real_path_of (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path), *base = g_path_get_basename (path);
  char *real = realpath (folder, NULL), *result = NULL;

  if (real == NULL)
    tpd_error_set_errno (error, errno, "cannot use the folder of the index, %s", folder);
  else if (base[0] == '/' || g_str_has_suffix (path, "/") || g_str_equal (base, ".") || g_str_equal (base, ".."))
    g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s is a folder, and the index is a file", path);
  else
    result = g_build_filename (real, base, NULL);
  free (real);
  return result;
}

char *
tpd_index_place (const char *path, const char *source_id, int root_fd, gboolean make, gboolean *network, GError **error)
{
  g_autofree char *wanted = path != NULL ? g_strdup (path) : default_path (source_id, make, error);
  g_autofree char *real = wanted != NULL ? real_path_of (wanted, error) : NULL;
  g_autofree char *folder = NULL;
  gboolean beneath = FALSE, good;
  struct stat root;
  int fd;

  if (real == NULL)
    return NULL;
  folder = g_path_get_dirname (real);
  fd = open (folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fstat (root_fd, &root) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot use the folder of the index, %s", folder);
      if (fd >= 0)
        close (fd);
      return NULL;
    }
  good = is_beneath (fd, &root, &beneath, error);
  *network = is_network (fd);
  close (fd);
  if (good && beneath)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                   "the index %s would lie on the share that it describes; name a file elsewhere with --index", real);
      good = FALSE;
    }
  return good ? g_steal_pointer (&real) : NULL;
}

static gboolean
create_file (const char *path, GError **error)
{
  int fd = open (path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd >= 0)
    {
      close (fd);
      return TRUE;
    }
  /* Another process was quicker; what it made is looked at as any other. */
  if (errno == EEXIST)
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot make the index %s", path);
  return FALSE;
}

gboolean
tpd_index_secure_file (const char *path, GError **error)
{
  struct stat st;

  if (lstat (path, &st) != 0)
    {
      if (errno == ENOENT)
        return create_file (path, error);
      tpd_error_set_errno (error, errno, "cannot look at the index %s", path);
      return FALSE;
    }
  if (!S_ISREG (st.st_mode))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s is not a regular file, and an index is one", path);
      return FALSE;
    }
  if (st.st_uid != geteuid ())
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                   "the index %s belongs to another user, who could put anything into it; name a file of your own with"
                   " --index",
                   path);
      return FALSE;
    }
  if ((st.st_mode & 077) != 0 && chmod (path, 0600) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot make the index %s private", path);
      return FALSE;
    }
  return TRUE;
}

/* Whether only this user, or root, can write it. */
static gboolean
is_private (const struct stat *st)
{
  return (st->st_uid == geteuid () || (S_ISDIR (st->st_mode) && st->st_uid == 0)) && (st->st_mode & 022) == 0;
}

/*
 * SQLite takes what lies beside the file under certain names for a part of it,
 * so all of them count; and the folder, where others could put them.
 */
gboolean
tpd_index_trust_file (const char *path, GError **error)
{
  static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
  g_autofree char *folder = g_path_get_dirname (path);
  struct stat st;

  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *file = g_strconcat (path, suffixes[i], NULL);

      if (lstat (file, &st) != 0)
        {
          if (errno == ENOENT && i > 0)
            continue;
          tpd_error_set_errno (error, errno, "cannot look at the index %s", file);
          return FALSE;
        }
      if (!S_ISREG (st.st_mode) || !is_private (&st))
        {
          g_set_error (
              error, TPD_ERROR, TPD_ERROR_USAGE,
              "%s is not a file of this user that nobody else can write, and could tell anything; have tpd scan"
              " make one of your own",
              file);
          return FALSE;
        }
    }
  if (stat (folder, &st) == 0 && is_private (&st))
    return TRUE;
  g_set_error (
      error, TPD_ERROR, TPD_ERROR_USAGE,
      "the folder %s of the index can be written by others, who could put anything in its place; keep it in one"
      " of your own",
      folder);
  return FALSE;
}

/* Never over another file, as far as the file system can promise that. */
static int
rename_new (const char *from, const char *to)
{
  if (renameat2 (AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
    return 0;
  if (errno != EINVAL && errno != ENOSYS)
    return -1;
  if (access (to, F_OK) == 0)
    {
      errno = EEXIST;
      return -1;
    }
  return rename (from, to);
}

gboolean
tpd_index_rename_bad (const char *path, const char *why, GError **error)
{
  g_autofree char *log = g_strconcat (path, "-wal", NULL), *memory = g_strconcat (path, "-shm", NULL);

  for (guint i = 1; i < MAX_BAD; i++)
    {
      g_autofree char *aside = g_strdup_printf ("%s.bad-%u", path, i);
      g_autofree char *aside_log = g_strconcat (aside, "-wal", NULL);

      if (rename_new (path, aside) == 0)
        {
          /* The log belongs to the old file; the new one must not see it. */
          rename (log, aside_log);
          unlink (memory);
          tpd_warning ("the index %s cannot be used: %s; it was set aside as %s, and a new one is made", path, why,
                       aside);
          return TRUE;
        }
      if (errno != EEXIST)
        {
          tpd_error_set_errno (error, errno, "the index %s cannot be used (%s) nor be set aside; remove it", path, why);
          return FALSE;
        }
    }
  g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "the index %s cannot be used (%s); remove it and its %s.bad-* files",
               path, why, path);
  return FALSE;
}
