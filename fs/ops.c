/* SPDX-License-Identifier: Apache-2.0 */
/*
 * INIT, LOOKUP, FORGET, GETATTR, the refusals of everything that would write,
 * and the table of all handlers. No handler holds a lock while it replies:
 * the reply may make the kernel send a FORGET for the very node.
 */
#include "fs/ops.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "fs/attr.h"
#include "fs/call.h"
#include "fs/status.h"

/* The most that the kernel is to ask for at once. A pipe holds 1 MiB when others
 * than root make it: so much, and room for what goes with it. */
#define MAX_REQUEST (960 * 1024)

/* So many fewer than there were are worth the while. */
#define TRIM_INODES 512

/* The same for libfuse 3.14, which has no fuse_set_feature_flag(). Asking for
 * what the kernel does not offer would make it refuse the mount. */
static gboolean
want (struct fuse_conn_info *conn, guint64 flag)
{
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  return fuse_set_feature_flag (conn, flag);
#else
  if ((conn->capable & flag) == 0)
    return FALSE;
  conn->want |= (unsigned) flag;
  return TRUE;
#endif
}

static void
op_init (void *userdata, struct fuse_conn_info *conn)
{
  TpdFs *fs = userdata;

  want (conn, FUSE_CAP_ASYNC_READ);
  want (conn, FUSE_CAP_AUTO_INVAL_DATA);
  want (conn, FUSE_CAP_READDIRPLUS);
  /* Always READDIRPLUS: we know better than the kernel's guess when it is
   * worth the while (fs/walkers.h). */
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  fuse_unset_feature_flag (conn, FUSE_CAP_READDIRPLUS_AUTO);
#else
  conn->want &= ~(unsigned) FUSE_CAP_READDIRPLUS_AUTO;
#endif
  want (conn, FUSE_CAP_PARALLEL_DIROPS);
  want (conn, FUSE_CAP_CACHE_SYMLINKS);
  want (conn, FUSE_CAP_ASYNC_DIO);
  /* Taking pages from a pipe, not taking them away: they stay the source's. */
  fs->splices = want (conn, FUSE_CAP_SPLICE_WRITE);
  conn->max_write = MIN (conn->max_write, MAX_REQUEST); /* which says it for reads, too */
#ifdef FUSE_CAP_PASSTHROUGH
  if (tpd_passthrough_is_possible (fs->passthrough))
    {
      conn->max_backing_stack_depth = tpd_passthrough_depth (fs->passthrough);
      tpd_passthrough_set_offered (fs->passthrough, want (conn, FUSE_CAP_PASSTHROUGH));
    }
#endif
#ifdef FUSE_CAP_NO_EXPORT_SUPPORT
  want (conn, FUSE_CAP_NO_EXPORT_SUPPORT);
#endif
  if (fs->enforce_acls && !want (conn, FUSE_CAP_POSIX_ACL))
    {
      tpd_error ("the kernel cannot enforce the access lists of %s; give acl=ignore to go by mode bits", fs->source);
      fuse_session_exit (fs->session);
      return;
    }
  /* From here on the mount answers. */
  fs->ready = TRUE;
  if (fs->ready_fd >= 0)
    {
      if (write (fs->ready_fd, "", 1) != 1)
        tpd_debug ("the launcher did not wait");
      close (fs->ready_fd);
      fs->ready_fd = -1;
    }
}

static int
lookup (TpdFs *fs, TpdNode *parent, const char *name, struct fuse_entry_param *entry)
{
  g_autoptr (TpdDirFd) dir = NULL;
  g_autofree char *source = NULL;
  struct stat st;
  int errnum;

  if (tpd_attr_is_beyond (fs, parent->stamp.dev))
    return ENOENT;
  errnum = tpd_dirs_get (fs->dirs, parent, &dir);
  if (errnum == 0)
    errnum = tpd_attr_resolve (fs, parent, dir->fd, name, &source, &st);
  if (errnum == 0)
    errnum = tpd_attr_entry (fs, parent, dir->fd, source, &st, entry);
  return errnum;
}

static void
op_lookup (fuse_req_t req, fuse_ino_t parent_ino, const char *name)
{
  TpdFs *fs = tpd_fs_of (req);
  struct fuse_entry_param entry;
  TpdNode *parent;
  int errnum = ENOENT;

  tpd_fs_count (fs, TPD_COUNT_LOOKUPS, 1);
  if (tpd_status_lookup (fs, parent_ino, name, &entry))
    {
      fuse_reply_entry (req, &entry);
      return;
    }
  if (!tpd_status_is (parent_ino) && strcmp (name, ".") != 0 && strcmp (name, "..") != 0 && strchr (name, '/') == NULL)
    {
      parent = tpd_inodes_get (fs->inodes, parent_ino);
      errnum = parent != NULL ? lookup (fs, parent, name, &entry) : ESTALE;
      tpd_node_unref (fs->inodes, parent);
    }
  if (errnum == 0 && S_ISREG (entry.attr.st_mode))
    tpd_walkers_note_lookup (fs->walkers, fuse_req_ctx (req)->pid, parent_ino);
  if (errnum == ENOENT)
    {
      /* Node id 0: the kernel may remember that there is no such name. */
      memset (&entry, 0, sizeof entry);
      entry.entry_timeout = fs->timeout;
    }
  else if (errnum != 0)
    {
      fuse_reply_err (req, errnum);
      return;
    }
  /* The caller was interrupted: the kernel counted nothing. */
  if (fuse_reply_entry (req, &entry) != 0 && entry.ino != 0)
    tpd_inodes_forget (fs->inodes, entry.ino, 1);
}

static void
forget (TpdFs *fs, fuse_ino_t ino, guint64 n)
{
  if (!tpd_status_is (ino))
    tpd_inodes_forget (fs->inodes, ino, n);
}

static void
op_forget (fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
  forget (tpd_fs_of (req), ino, nlookup);
  fuse_reply_none (req);
}

/* The kernel forgets by the hundred thousand, when memory is short; malloc()
 * keeps what lies between its own blocks unless it is told. */
static void
give_back_memory (TpdFs *fs)
{
  guint64 now = tpd_inodes_count (fs->inodes), peak = __atomic_load_n (&fs->peak_inodes, __ATOMIC_RELAXED);

  if (now > peak)
    __atomic_store_n (&fs->peak_inodes, now, __ATOMIC_RELAXED);
  else if (peak - now > TRIM_INODES && now < peak / 2
           && __atomic_compare_exchange_n (&fs->peak_inodes, &peak, now, FALSE, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    malloc_trim (0);
}

static void
op_forget_multi (fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
  give_back_memory (tpd_fs_of (req));
  for (size_t i = 0; i < count; i++)
    forget (tpd_fs_of (req), forgets[i].ino, forgets[i].nlookup);
  give_back_memory (tpd_fs_of (req));
  fuse_reply_none (req);
}

static int
run_getattr (TpdFs *fs, TpdCall *call)
{
  TpdNode *node = tpd_inodes_get (fs->inodes, call->ino);
  int errnum = ESTALE;
  struct stat attr;

  if (node != NULL)
    errnum = tpd_attr_get (fs, node, &attr, &call->wait);
  tpd_node_unref (fs->inodes, node);
  if (errnum == TPD_WAIT)
    return TPD_WAIT;
  if (errnum != 0)
    fuse_reply_err (call->req, errnum);
  else
    fuse_reply_attr (call->req, &attr, fs->timeout);
  return 0;
}

static void
op_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  TpdFs *fs = tpd_fs_of (req);
  TpdCall call = { .req = req, .run = run_getattr, .ino = ino };
  struct stat attr;

  tpd_fs_count (fs, TPD_COUNT_STATS, 1);
  if (tpd_status_is (ino))
    {
      tpd_status_getattr (fs, ino, &attr);
      fuse_reply_attr (req, &attr, fs->timeout);
    }
  else
    tpd_call_run (&call);
}

/* The kernel refuses all of these on a read-only mount by itself; a remount
 * by root could let them through. */

static void
op_setattr (fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
  fuse_reply_err (req, EROFS);
}

static void
op_mknod (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
  fuse_reply_err (req, EROFS);
}

static void
op_mkdir (fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
  fuse_reply_err (req, EROFS);
}

static void
op_remove (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  fuse_reply_err (req, EROFS);
}

static void
op_symlink (fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
  fuse_reply_err (req, EROFS);
}

static void
op_rename (fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
           unsigned int flags)
{
  fuse_reply_err (req, EROFS);
}

static void
op_link (fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
  fuse_reply_err (req, EROFS);
}

static void
op_setxattr (fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
  fuse_reply_err (req, EROFS);
}

static void
op_removexattr (fuse_req_t req, fuse_ino_t ino, const char *name)
{
  fuse_reply_err (req, EROFS);
}

const struct fuse_lowlevel_ops tpd_fs_ops = {
  .init = op_init,
  .lookup = op_lookup,
  .forget = op_forget,
  .forget_multi = op_forget_multi,
  .getattr = op_getattr,
  .readlink = tpd_op_readlink,
  .open = tpd_op_open,
  .read = tpd_op_read,
  .release = tpd_op_release,
  .opendir = tpd_op_opendir,
  .readdir = tpd_op_readdir,
  .readdirplus = tpd_op_readdirplus,
  .releasedir = tpd_op_releasedir,
  .statfs = tpd_op_statfs,
  .getxattr = tpd_op_getxattr,
  .listxattr = tpd_op_listxattr,
  .setattr = op_setattr,
  .mknod = op_mknod,
  .mkdir = op_mkdir,
  .unlink = op_remove,
  .rmdir = op_remove,
  .symlink = op_symlink,
  .rename = op_rename,
  .link = op_link,
  .setxattr = op_setxattr,
  .removexattr = op_removexattr,
};
