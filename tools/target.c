/* SPDX-License-Identifier: Apache-2.0 */
/* The tree that copies are written to: see target.h. */
#include "tools/target.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/posix_acl.h>
#include <string.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC 0xfe534d42
#endif
#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xff534d42
#endif

#define TPD_ACL "system.posix_acl_access"
#define MAX_XATTR_LIST (64 * 1024)
#define MAX_XATTR_VALUE (64 * 1024)

/* --- Directories ------------------------------------------------------- */

/* chmod() of what an O_PATH descriptor names. */
static void
make_usable (int fd)
{
  struct stat st;
  char link[64];

  if (fstat (fd, &st) != 0 || (st.st_mode & S_IRWXU) == S_IRWXU || st.st_uid != geteuid ())
    return;
  g_snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  /* If it fails, what is done in the directory fails and is told. */
  if (chmod (link, (st.st_mode & 07777) | S_IRWXU) != 0)
    return;
}

/* One name; made if it is missing. */
static int
step_into (int at, const char *name)
{
  const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  int fd = openat (at, name, flags);

  if (fd < 0 && errno == ENOENT && (mkdirat (at, name, 0700) == 0 || errno == EEXIST))
    fd = openat (at, name, flags);
  if (fd >= 0)
    make_usable (fd);
  return fd;
}

int
tpd_target_make_dir (int root_fd, const char *path)
{
  g_auto (GStrv) names = g_strsplit (path, "/", -1);
  int at = root_fd, fd, errnum;

  for (char **name = names; *name != NULL && **name != '\0'; name++)
    {
      fd = step_into (at, *name);
      errnum = errno;
      if (at != root_fd)
        close (at);
      errno = errnum;
      if (fd < 0)
        return -1;
      at = fd;
    }
  fd = openat (at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  errnum = errno;
  if (at != root_fd)
    close (at);
  errno = errnum;
  return fd;
}

/* --- Files ------------------------------------------------------------- */

int
tpd_target_make_file (int dir_fd, const char *name)
{
  return openat (dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int
tpd_target_open_file (int dir_fd, const char *name)
{
  int fd = openat (dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  struct stat st;

  if (fd >= 0 && (fstat (fd, &st) != 0 || !S_ISREG (st.st_mode)))
    {
      close (fd);
      errno = EINVAL;
      return -1;
    }
  return fd;
}

/* --- Disk -------------------------------------------------------------- */

/* What syncfs() hands to the server of these stays in its hands, or is not
 * handed over at all. */
gboolean
tpd_target_lacks_syncfs (int fd)
{
  static const guint32 magics[] = { FUSE_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, V9FS_MAGIC };
  struct statfs fs;

  if (fstatfs (fd, &fs) != 0)
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (magics); i++)
    if ((guint32) fs.f_type == magics[i])
      return TRUE;
  return FALSE;
}

int
tpd_target_sync (int dir_fd)
{
  if (syncfs (dir_fd) != 0)
    return -1;
  if (!tpd_target_lacks_syncfs (dir_fd) || fsync (dir_fd) == 0)
    return 0;
  /* There are file systems that know nothing of the kind. */
  return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1;
}

int
tpd_target_close_file (int fd, gboolean lacks_syncfs)
{
  int synced = lacks_syncfs ? fsync (fd) : 0, errnum = errno;
  int closed = close (fd);

  if (synced == 0)
    return closed;
  errno = errnum;
  return -1;
}

/* --- Attributes -------------------------------------------------------- */

static gboolean
has_lost (const GPtrArray *lost, const char *what)
{
  for (guint i = 0; i < lost->len; i++)
    if (strcmp (g_ptr_array_index (lost, i), what) == 0)
      return TRUE;
  return FALSE;
}

static void
lose (GPtrArray *lost, const char *what)
{
  if (!has_lost (lost, what))
    g_ptr_array_add (lost, g_strdup (what));
}

/* Not those that the system, or a mount of ours, gives by itself. */
static gboolean
is_kept (const char *name)
{
  return (g_str_has_prefix (name, "user.") && !g_str_has_prefix (name, "user.tpdfs."))
         || g_str_has_prefix (name, "system.posix_acl_") || g_str_has_prefix (name, "trusted.");
}

static gboolean
is_acl (const char *name)
{
  return g_str_has_prefix (name, "system.posix_acl_");
}

/*
 * What of `mode` nobody had been refused by the list that is lost: who is named
 * in it counts as one of the group, or of the others, from now on.
 */
static mode_t
mode_without_acl (mode_t mode, int source_fd)
{
  guint8 list[MAX_XATTR_VALUE];
  gssize len = fgetxattr (source_fd, TPD_ACL, list, sizeof list);
  mode_t mask = S_IRWXO, group = 0, all = S_IRWXO;

  if (len < 0 && (errno == ENODATA || errno == ENOTSUP))
    return mode;
  if (len < 4 || len % 8 != 4)
    return mode & (mode_t) ~(S_IRWXG | S_IRWXO);
  for (gssize at = 4; at < len; at += 8)
    if (list[at] == ACL_MASK)
      mask = list[at + 2] & S_IRWXO;
  for (gssize at = 4; at < len; at += 8)
    {
      mode_t bits = list[at + 2] & mask;

      if (list[at] == ACL_GROUP_OBJ)
        group = bits;
      if (list[at] == ACL_GROUP_OBJ || list[at] == ACL_USER || list[at] == ACL_GROUP)
        all &= bits;
    }
  return (mode & (mode_t) ~(S_IRWXG | S_IRWXO)) | (group & all) << 3 | (mode & all & S_IRWXO);
}

static void
copy_xattr (int fd, int source_fd, const char *name, GPtrArray *lost)
{
  g_autofree char *value = g_malloc (MAX_XATTR_VALUE);
  gssize len = fgetxattr (source_fd, name, value, MAX_XATTR_VALUE);

  if (len < 0 && errno == ENODATA)
    return;
  if (len < 0 || fsetxattr (fd, name, value, (gsize) len, 0) != 0)
    lose (lost, is_acl (name) ? "acl" : "xattr");
}

/* Those of trusted.* that we cannot see are not listed either. */
static void
copy_xattrs (int fd, gboolean may_have_acl, int source_fd, GPtrArray *lost)
{
  g_autofree char *names = NULL;
  gssize len = flistxattr (source_fd, NULL, 0);
  gboolean has_acl = FALSE;

  if (len > 0)
    {
      names = g_malloc (MAX_XATTR_LIST);
      len = flistxattr (source_fd, names, MAX_XATTR_LIST);
    }
  if (len < 0 && errno != ENOTSUP)
    lose (lost, "xattr");
  for (gssize at = 0; at < len; at += (gssize) strlen (names + at) + 1)
    {
      if (!is_kept (names + at))
        continue;
      has_acl = has_acl || strcmp (names + at, TPD_ACL) == 0;
      copy_xattr (fd, source_fd, names + at, lost);
    }
  /* What the directory's default list may have given it. */
  if (may_have_acl && !has_acl && fremovexattr (fd, TPD_ACL) != 0 && errno != ENODATA && errno != ENOTSUP)
    lose (lost, "acl");
}

gboolean
tpd_target_has_default_acl (int dir_fd)
{
  return fgetxattr (dir_fd, "system.posix_acl_default", NULL, 0) >= 0 || (errno != ENODATA && errno != ENOTSUP);
}

void
tpd_target_set_attributes (int fd, const struct stat *now, gboolean may_have_acl, int source_fd, const struct stat *st,
                           GPtrArray *lost)
{
  const struct timespec times[2] = { st->st_atim, st->st_mtim };
  mode_t mode = st->st_mode & 07777;

  if ((now->st_uid != st->st_uid || now->st_gid != st->st_gid) && fchown (fd, st->st_uid, st->st_gid) != 0)
    {
      lose (lost, "owner");
      /* Not for another user than it was meant for. */
      mode &= (mode_t) ~(S_ISUID | S_ISGID);
      if (fchown (fd, (uid_t) -1, st->st_gid) != 0)
        mode &= (mode_t) ~(S_IRWXG);
    }
  copy_xattrs (fd, may_have_acl, source_fd, lost);
  if (has_lost (lost, "acl") || has_lost (lost, "xattr"))
    mode &= mode_without_acl (mode, source_fd);
  if (fchmod (fd, mode) != 0)
    lose (lost, "mode");
  if (futimens (fd, times) != 0)
    lose (lost, "times");
}

void
tpd_target_set_link_attributes (int dir_fd, const char *name, const struct stat *st, GPtrArray *lost)
{
  const struct timespec times[2] = { st->st_atim, st->st_mtim };

  if ((st->st_uid != geteuid () || st->st_gid != getegid ())
      && fchownat (dir_fd, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) != 0)
    lose (lost, "owner");
  if (utimensat (dir_fd, name, times, AT_SYMLINK_NOFOLLOW) != 0)
    lose (lost, "times");
}
