/* SPDX-License-Identifier: Apache-2.0 */
/* READLINK, STATFS and the extended attributes. */
#include "fs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/call.h"
#include "fs/look.h"
#include "fs/status.h"

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

void
tpd_op_readlink (fuse_req_t req, fuse_ino_t ino)
{
  TpdFs *fs = tpd_fs_of (req);
  TpdNode *node = tpd_inodes_get (fs->inodes, ino);
  char target[PATH_MAX + 1];
  struct stat st;
  gssize len = -1;
  int fd, errnum = ESTALE;

  if (node != NULL)
    {
      errnum = tpd_dirs_open (fs->dirs, node, O_PATH, &fd, &st);
      if (errnum == 0)
        {
          len = readlinkat (fd, "", target, sizeof target - 1);
          errnum = len < 0 ? errno : 0;
          close (fd);
        }
      tpd_node_unref (fs->inodes, node);
    }
  if (errnum != 0)
    {
      fuse_reply_err (req, errnum);
      return;
    }
  target[len] = '\0';
  fuse_reply_readlink (req, target);
}

void
tpd_op_statfs (fuse_req_t req, fuse_ino_t ino)
{
  TpdFs *fs = tpd_fs_of (req);
  TpdNode *node = ino == 0 || tpd_status_is (ino) ? NULL : tpd_inodes_get (fs->inodes, ino);
  struct statvfs vfs;
  int errnum = 0, fd = -1;
  struct stat st;

  if (node != NULL)
    {
      errnum = tpd_dirs_open (fs->dirs, node, O_PATH, &fd, &st);
      tpd_node_unref (fs->inodes, node);
    }
  if (errnum == 0 && fstatvfs (fd >= 0 ? fd : fs->root_fd, &vfs) != 0)
    errnum = errno;
  if (fd >= 0)
    close (fd);
  if (errnum != 0)
    {
      fuse_reply_err (req, errnum);
      return;
    }
  vfs.f_flag |= ST_RDONLY;
  fuse_reply_statfs (req, &vfs);
}

/* Which attributes of the source are shown. Ours are not to be forged; ACLs
 * only where they are enforced; no security.* or trusted.*. */
static gboolean
is_passed (const TpdFs *fs, const char *name)
{
  if (g_str_has_prefix (name, TPD_XATTR_PREFIX))
    return FALSE;
  if (strcmp (name, ACL_ACCESS) == 0 || strcmp (name, ACL_DEFAULT) == 0)
    return fs->enforce_acls;
  return g_str_has_prefix (name, "user.");
}

/* What is to be said of one that is not there. That a whole namespace is not
 * supported, as of system.* without access lists, is remembered by programs:
 * ls(1) then asks once, and not for each file. */
static int
absent (const TpdFs *fs, const char *name)
{
  return g_str_has_prefix (name, "user.") || is_passed (fs, name) ? ENODATA : EOPNOTSUPP;
}

/* A descriptor that getxattr() can name without the file being opened, which
 * its permissions may forbid: O_PATH and its link in /proc. */
static int
open_link (TpdFs *fs, TpdNode *node, int *fd, char path[32])
{
  struct stat st;
  int errnum = tpd_dirs_open (fs->dirs, node, O_PATH, fd, &st);

  if (errnum == 0)
    g_snprintf (path, 32, "/proc/self/fd/%d", *fd);
  return errnum;
}

static gboolean
can_have_xattrs (const TpdNode *node)
{
  return node->type == S_IFREG >> 12 || node->type == S_IFDIR >> 12;
}

/* The value, NULL with `*errnum`. */
static GBytes *
get_source_xattr (TpdFs *fs, TpdNode *node, const char *name, int *errnum)
{
  g_autofree char *value = NULL;
  char path[32];
  gssize len;
  int fd;

  *errnum = absent (fs, name);
  if (!is_passed (fs, name) || !can_have_xattrs (node))
    return NULL;
  *errnum = open_link (fs, node, &fd, path);
  if (*errnum != 0)
    return NULL;
  value = g_malloc (XATTR_SIZE_MAX);
  len = getxattr (path, name, value, XATTR_SIZE_MAX);
  *errnum = len < 0 ? errno : 0;
  close (fd);
  return len < 0 ? NULL : g_bytes_new (value, (gsize) len);
}

static GBytes *
get_xattr (TpdFs *fs, TpdNode *node, const char *name, int *errnum)
{
  g_autoptr (GHashTable) ours = NULL;
  const char *value;

  if (!g_str_has_prefix (name, TPD_XATTR_PREFIX))
    return get_source_xattr (fs, node, name, errnum);
  ours = tpd_doc_xattrs_get (fs, node, errnum);
  if (ours == NULL)
    return NULL;
  value = g_hash_table_lookup (ours, name);
  *errnum = value != NULL ? 0 : ENODATA;
  return value != NULL ? g_bytes_new (value, MIN (strlen (value), XATTR_SIZE_MAX)) : NULL;
}

static void
append_name (GByteArray *list, const char *name)
{
  g_byte_array_append (list, (const guint8 *) name, (guint) strlen (name) + 1);
}

static GBytes *
list_xattrs (TpdFs *fs, TpdNode *node, int *errnum)
{
  g_autoptr (GByteArray) list = g_byte_array_new ();
  g_autoptr (GHashTable) ours = NULL;
  g_autofree char *names = NULL;
  GHashTableIter iter;
  gpointer name;
  char path[32];
  gssize len = 0;
  int fd;

  *errnum = 0;
  if (can_have_xattrs (node))
    {
      *errnum = open_link (fs, node, &fd, path);
      if (*errnum != 0)
        return NULL;
      names = g_malloc (XATTR_LIST_MAX);
      len = listxattr (path, names, XATTR_LIST_MAX);
      if (len < 0 && errno != ENOTSUP)
        *errnum = errno;
      close (fd);
      if (*errnum != 0)
        return NULL;
    }
  for (gssize at = 0; at < len; at += (gssize) strlen (names + at) + 1)
    if (is_passed (fs, names + at))
      append_name (list, names + at);
  ours = tpd_doc_xattrs_get (fs, node, errnum);
  if (ours == NULL)
    return NULL;
  g_hash_table_iter_init (&iter, ours);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    append_name (list, name);
  return g_byte_array_free_to_bytes (g_steal_pointer (&list));
}

static void
reply_xattr (fuse_req_t req, GBytes *value, int errnum, size_t size)
{
  gsize len;
  const char *data;

  if (value == NULL)
    {
      fuse_reply_err (req, errnum);
      return;
    }
  data = g_bytes_get_data (value, &len);
  if (size == 0)
    fuse_reply_xattr (req, len);
  else if (len > size)
    fuse_reply_err (req, ERANGE);
  else
    fuse_reply_buf (req, data, len);
}

/* The license of what has to be decoded costs time too. */
static gboolean
takes_long (TpdFs *fs, TpdNode *node)
{
  TpdStamp stamp;
  TpdFacts facts;

  if (node == NULL)
    return FALSE;
  tpd_node_get_published (node, &stamp, &facts);
  return facts.verdict != TPD_VERDICT_NOT_PROTECTED && tpd_facts_decodes (fs, &facts);
}

static int
run_getxattr (TpdFs *fs, TpdCall *call)
{
  TpdNode *node = tpd_status_is (call->ino) ? NULL : tpd_inodes_get (fs->inodes, call->ino);
  g_autoptr (GBytes) value = NULL;
  gboolean waits;
  int errnum = absent (fs, call->name);

  waits = !call->in_pool && g_str_has_prefix (call->name, TPD_XATTR_PREFIX) && takes_long (fs, node);
  if (node != NULL && !waits)
    value = get_xattr (fs, node, call->name, &errnum);
  tpd_node_unref (fs->inodes, node);
  if (waits)
    return TPD_WAIT;
  reply_xattr (call->req, value, errnum, call->size);
  return 0;
}

void
tpd_op_getxattr (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
  TpdCall call = { .req = req, .run = run_getxattr, .ino = ino, .name = (char *) name, .size = size };

  tpd_call_run (&call);
}

static int
run_listxattr (TpdFs *fs, TpdCall *call)
{
  TpdNode *node = tpd_status_is (call->ino) ? NULL : tpd_inodes_get (fs->inodes, call->ino);
  gboolean waits = !call->in_pool && takes_long (fs, node);
  g_autoptr (GBytes) value = NULL;
  int errnum = 0;

  if (node == NULL)
    value = g_bytes_new (NULL, 0);
  else if (!waits)
    value = list_xattrs (fs, node, &errnum);
  tpd_node_unref (fs->inodes, node);
  if (waits)
    return TPD_WAIT;
  reply_xattr (call->req, value, errnum, call->size);
  return 0;
}

void
tpd_op_listxattr (fuse_req_t req, fuse_ino_t ino, size_t size)
{
  TpdCall call = { .req = req, .run = run_listxattr, .ino = ino, .size = size };

  tpd_call_run (&call);
}
