/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system for tests: shows a directory, and does what rules say wrong
 * (rules.h). What it writes to a file that is named `disk.img` is also logged,
 * write by write, with the flushes between: so that a test can tell what a
 * disk may hold when the power fails.
 *
 *   faultfs DIRECTORY MOUNTPOINT RULES LOG [FUSE options]
 */
#define FUSE_USE_VERSION 314

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "rules.h"

#define LOGGED "/disk.img"
/* Beside the descriptor: the kernel takes a short read for one, not for the end. */
#define DIRECT (UINT64_C (1) << 32)

static int root_fd, log_fd;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *
beneath (const char *path)
{
  return path[1] != '\0' ? path + 1 : ".";
}

static int
result (int value)
{
  return value < 0 ? -errno : value;
}

/* Calls that know no descriptor of a directory go through this. */
static void
real_path (const char *path, char *real, size_t size)
{
  snprintf (real, size, "/proc/self/fd/%d/%s", root_fd, beneath (path));
}

#define REFUSE(operation, path)                    \
  do                                               \
    {                                              \
      int refused = rules_errno (operation, path); \
                                                   \
      if (refused != 0)                            \
        return refused;                            \
  } while (0)

static void *
do_init (struct fuse_conn_info *conn, struct fuse_config *config)
{
  config->use_ino = 1;
  config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
  config->hard_remove = 1;
  return NULL;
}

static int
do_getattr (const char *path, struct stat *st, struct fuse_file_info *info)
{
  REFUSE ("getattr", path);
  if (info != NULL)
    return result (fstat ((int) (info->fh & INT32_MAX), st));
  return result (fstatat (root_fd, beneath (path), st, AT_SYMLINK_NOFOLLOW));
}

static int
do_readlink (const char *path, char *buf, size_t size)
{
  ssize_t n;

  REFUSE ("readlink", path);
  n = readlinkat (root_fd, beneath (path), buf, size - 1);
  if (n < 0)
    return -errno;
  buf[n] = '\0';
  return 0;
}

static int
do_mkdir (const char *path, mode_t mode)
{
  REFUSE ("mkdir", path);
  return result (mkdirat (root_fd, beneath (path), mode));
}

static int
do_unlink (const char *path)
{
  REFUSE ("unlink", path);
  return result (unlinkat (root_fd, beneath (path), 0));
}

static int
do_rmdir (const char *path)
{
  return result (unlinkat (root_fd, beneath (path), AT_REMOVEDIR));
}

static int
do_symlink (const char *target, const char *path)
{
  REFUSE ("symlink", path);
  return result (symlinkat (target, root_fd, beneath (path)));
}

/* Rules name what the file is renamed to. */
static int
do_rename (const char *from, const char *to, unsigned flags)
{
  Fault fault;

  if (rules_find ("rename", to, 0, 0, &fault) && (fault.errnum != 0 || flags != 0))
    return fault.errnum != 0 ? -fault.errnum : -EINVAL;
  if (rules_find ("rename-before", to, 0, 0, &fault) && strcmp (fault.action, "replace") == 0)
    {
      char other[4096];

      snprintf (other, sizeof other, "%s.new", beneath (to));
      if (renameat (root_fd, other, root_fd, beneath (to)) != 0)
        return -errno;
    }
  return result (renameat2 (root_fd, beneath (from), root_fd, beneath (to), flags));
}

static int
do_link (const char *from, const char *to)
{
  REFUSE ("link", to);
  return result (linkat (root_fd, beneath (from), root_fd, beneath (to), 0));
}

static int
do_chmod (const char *path, mode_t mode, struct fuse_file_info *info)
{
  REFUSE ("chmod", path);
  return result (fchmodat (root_fd, beneath (path), mode, 0));
}

static int
do_chown (const char *path, uid_t uid, gid_t gid, struct fuse_file_info *info)
{
  REFUSE ("chown", path);
  return result (fchownat (root_fd, beneath (path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int
do_utimens (const char *path, const struct timespec times[2], struct fuse_file_info *info)
{
  REFUSE ("utimens", path);
  return result (utimensat (root_fd, beneath (path), times, AT_SYMLINK_NOFOLLOW));
}

static int
do_truncate (const char *path, off_t size, struct fuse_file_info *info)
{
  char real[4200];

  REFUSE ("truncate", path);
  if (info != NULL)
    return result (ftruncate ((int) (info->fh & INT32_MAX), size));
  real_path (path, real, sizeof real);
  return result (truncate (real, size));
}

static int
do_open (const char *path, struct fuse_file_info *info)
{
  Fault fault;
  int fd;

  if (rules_find ("open", path, 0, 0, &fault))
    {
      if (fault.errnum != 0)
        return -fault.errnum;
      info->direct_io = strcmp (fault.action, "direct") == 0;
    }
  fd = openat (root_fd, beneath (path), (info->flags & ~(O_NOFOLLOW | O_CREAT | O_EXCL)) | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  info->fh = (uint64_t) fd | (info->direct_io ? DIRECT : 0);
  return 0;
}

static int
do_create (const char *path, mode_t mode, struct fuse_file_info *info)
{
  int fd;

  REFUSE ("create", path);
  fd = openat (root_fd, beneath (path), info->flags | O_CREAT | O_CLOEXEC, mode);
  if (fd < 0)
    return -errno;
  info->fh = (uint64_t) fd;
  return 0;
}

/* --- Reading ----------------------------------------------------------- */

/* PATH becomes what PATH.new holds, in place. */
static void
rewrite (const char *path, bool keep_mtime)
{
  char other[4200], block[65536];
  struct stat st;
  int from, to;
  ssize_t n;
  off_t off = 0;

  snprintf (other, sizeof other, "%s.new", beneath (path));
  from = openat (root_fd, other, O_RDONLY | O_CLOEXEC);
  to = openat (root_fd, beneath (path), O_WRONLY | O_CLOEXEC);
  if (from < 0 || to < 0 || fstat (to, &st) != 0)
    abort ();
  for (; (n = read (from, block, sizeof block)) > 0; off += n)
    if (pwrite (to, block, (size_t) n, off) != n)
      abort ();
  if (ftruncate (to, off) != 0)
    abort ();
  if (keep_mtime)
    {
      const struct timespec times[2] = { st.st_atim, st.st_mtim };

      futimens (to, times);
    }
  close (from);
  close (to);
}

static void
append (const char *path)
{
  int fd = openat (root_fd, beneath (path), O_WRONLY | O_APPEND | O_CLOEXEC);

  if (fd < 0 || write (fd, "more", 4) != 4)
    abort ();
  close (fd);
}

static void
replace (const char *path)
{
  char other[4200];

  snprintf (other, sizeof other, "%s.new", beneath (path));
  if (renameat (root_fd, other, root_fd, beneath (path)) != 0)
    abort ();
}

static void
change (const char *path, const Fault *fault)
{
  char real[4200];

  if (strcmp (fault->action, "rewrite") == 0)
    rewrite (path, false);
  else if (strcmp (fault->action, "rewrite-quietly") == 0)
    rewrite (path, true);
  else if (strcmp (fault->action, "append") == 0)
    append (path);
  else if (strcmp (fault->action, "replace") == 0)
    replace (path);
  else if (strcmp (fault->action, "truncate") == 0)
    {
      real_path (path, real, sizeof real);
      if (truncate (real, fault->from) != 0)
        abort ();
    }
}

static int
do_read (const char *path, char *buf, size_t size, off_t off, struct fuse_file_info *info)
{
  Fault fault;

  if (rules_find ("read", path, off, off + (off_t) size, &fault))
    {
      if (fault.errnum != 0 && (off >= fault.from || (info->fh & DIRECT) == 0))
        return -fault.errnum;
      if (fault.errnum != 0)
        size = (size_t) (fault.from - off);
      else if (strcmp (fault.action, "short") == 0)
        size = size > 1000 ? 1000 : size;
      else
        change (path, &fault);
    }
  return result ((int) pread ((int) (info->fh & INT32_MAX), buf, size, off));
}

/* --- Writing ----------------------------------------------------------- */

/* A length of zero is a flush. */
static void
log_write (const char *path, const char *data, uint64_t off, uint64_t len)
{
  uint64_t head[2] = { off, len };

  if (path == NULL || strcmp (path, LOGGED) != 0)
    return;
  pthread_mutex_lock (&log_lock);
  if (write (log_fd, head, sizeof head) != sizeof head || write (log_fd, data, len) != (ssize_t) len)
    abort ();
  pthread_mutex_unlock (&log_lock);
}

static int
do_write (const char *path, const char *buf, size_t size, off_t off, struct fuse_file_info *info)
{
  Fault fault;
  ssize_t n;

  if (rules_find ("write", path, off, off + (off_t) size, &fault))
    {
      if (strcmp (fault.action, "nothing") == 0)
        return 0;
      if (off >= fault.from)
        return -fault.errnum;
      size = (size_t) (fault.from - off);
    }
  n = pwrite ((int) (info->fh & INT32_MAX), buf, size, off);
  if (n > 0)
    log_write (path, buf, (uint64_t) off, (uint64_t) n);
  return result ((int) n);
}

static int
do_flush (const char *path, struct fuse_file_info *info)
{
  return rules_errno ("flush", path);
}

static int
do_release (const char *path, struct fuse_file_info *info)
{
  close ((int) (info->fh & INT32_MAX));
  return 0;
}

static int
do_fsync (const char *path, int data_only, struct fuse_file_info *info)
{
  REFUSE ("fsync", path);
  log_write (path, "", 0, 0);
  return 0;
}

static int
do_fsyncdir (const char *path, int data_only, struct fuse_file_info *info)
{
  return rules_errno ("fsyncdir", path);
}

static int
do_fallocate (const char *path, int mode, off_t off, off_t len, struct fuse_file_info *info)
{
  REFUSE ("fallocate", path);
  return result (fallocate ((int) (info->fh & INT32_MAX), mode, off, len));
}

/* --- Directories ------------------------------------------------------- */

static int
do_opendir (const char *path, struct fuse_file_info *info)
{
  REFUSE ("opendir", path);
  return 0;
}

/* With `from`, so many entries are told before it fails. */
static int
do_readdir (const char *path, void *buf, fuse_fill_dir_t fill, off_t off, struct fuse_file_info *info,
            enum fuse_readdir_flags flags)
{
  int fd = openat (root_fd, beneath (path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = fd >= 0 ? fdopendir (fd) : NULL;
  struct dirent *entry;
  off_t at = 0;
  Fault fault;
  int wrong = 0;

  if (stream == NULL)
    return -errno;
  while ((entry = readdir (stream)) != NULL)
    {
      struct stat st = { .st_ino = entry->d_ino, .st_mode = (mode_t) DTTOIF (entry->d_type) };

      if (at++ < off)
        continue;
      if (rules_find ("readdir", path, at - 1, at, &fault))
        {
          wrong = at - 1 == off ? -fault.errnum : 0;
          break;
        }
      if (fill (buf, entry->d_name, &st, at, 0) != 0)
        break;
    }
  closedir (stream);
  return wrong;
}

/* --- Attributes -------------------------------------------------------- */

static int
do_getxattr (const char *path, const char *name, char *value, size_t size)
{
  char real[4200];

  REFUSE ("getxattr", path);
  real_path (path, real, sizeof real);
  return result ((int) lgetxattr (real, name, value, size));
}

static int
do_listxattr (const char *path, char *list, size_t size)
{
  char real[4200];

  REFUSE ("listxattr", path);
  real_path (path, real, sizeof real);
  return result ((int) llistxattr (real, list, size));
}

static int
do_setxattr (const char *path, const char *name, const char *value, size_t size, int flags)
{
  char real[4200];

  REFUSE ("setxattr", path);
  real_path (path, real, sizeof real);
  return result (lsetxattr (real, name, value, size, flags));
}

static int
do_removexattr (const char *path, const char *name)
{
  char real[4200];

  real_path (path, real, sizeof real);
  return result (lremovexattr (real, name));
}

static int
do_statfs (const char *path, struct statvfs *st)
{
  return result (fstatvfs (root_fd, st));
}

static const struct fuse_operations operations = {
  .init = do_init,
  .getattr = do_getattr,
  .readlink = do_readlink,
  .mkdir = do_mkdir,
  .unlink = do_unlink,
  .rmdir = do_rmdir,
  .symlink = do_symlink,
  .rename = do_rename,
  .link = do_link,
  .chmod = do_chmod,
  .chown = do_chown,
  .utimens = do_utimens,
  .truncate = do_truncate,
  .open = do_open,
  .create = do_create,
  .read = do_read,
  .write = do_write,
  .flush = do_flush,
  .release = do_release,
  .fsync = do_fsync,
  .fsyncdir = do_fsyncdir,
  .fallocate = do_fallocate,
  .opendir = do_opendir,
  .readdir = do_readdir,
  .getxattr = do_getxattr,
  .listxattr = do_listxattr,
  .setxattr = do_setxattr,
  .removexattr = do_removexattr,
  .statfs = do_statfs,
};

int
main (int argc, char **argv)
{
  char *words[64] = { argv[0] };
  int n = 1;

  if (argc < 5 || argc > 60)
    return 2;
  root_fd = open (argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
  log_fd = open (argv[4], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (root_fd < 0 || log_fd < 0)
    return 1;
  rules_init (argv[3]);
  umask (0);
  words[n++] = argv[2];
  for (int i = 5; i < argc; i++)
    words[n++] = argv[i];
  return fuse_main (n, words, &operations, NULL);
}
