/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The baseline that the benchmarks compare with: a read-only pass-through file
 * system that copies, as fast as libfuse makes it and without any thought for
 * what a product needs: nothing is looked into, nothing verified, nothing
 * counted. READ is pread(2) into the thread's buffer and one write(2);
 * attributes are lstat(2). It knows files by their parent's descriptor and
 * name, so that large trees do not run out of descriptors.
 *
 *     copyfs SOURCE MOUNTPOINT [THREADS]
 */
#define FUSE_USE_VERSION 312
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define TIMEOUT 1.0

typedef struct _Node Node;

struct _Node {
  dev_t dev;
  ino_t ino;
  Node *parent; /* counted in its `count` */
  int fd;       /* O_PATH, of directories; -1 */
  guint64 count;
  char name[];
};

static GMutex lock;
static GHashTable *nodes; /* set of Node by (dev, ino), under lock, as are their counts */
static Node *root;

static guint
node_hash (gconstpointer key)
{
  const Node *node = key;

  return (guint) (node->ino * 2654435761u ^ node->dev);
}

static gboolean
node_equal (gconstpointer a, gconstpointer b)
{
  const Node *x = a, *y = b;

  return x->ino == y->ino && x->dev == y->dev;
}

static Node *
node_of (fuse_ino_t ino)
{
  return ino == FUSE_ROOT_ID ? root : (Node *) (guintptr) ino;
}

static Node *
node_new (Node *parent, const char *name, const struct stat *st, int fd)
{
  gsize len = strlen (name) + 1;
  Node *node = g_malloc0 (sizeof *node + len);

  node->dev = st->st_dev;
  node->ino = st->st_ino;
  node->parent = parent;
  node->fd = fd;
  memcpy (node->name, name, len);
  return node;
}

static void
node_release (Node *node, guint64 n)
{
  g_mutex_lock (&lock);
  while (node != NULL && node != root)
    {
      Node *parent = node->parent;

      node->count -= n;
      if (node->count > 0)
        break;
      g_hash_table_remove (nodes, node);
      if (node->fd >= 0)
        close (node->fd);
      g_free (node);
      node = parent;
      n = 1;
    }
  g_mutex_unlock (&lock);
}

static int
enter (Node *parent, const char *name, struct fuse_entry_param *entry)
{
  Node key, *node;

  memset (entry, 0, sizeof *entry);
  if (fstatat (parent->fd, name, &entry->attr, AT_SYMLINK_NOFOLLOW) != 0)
    return errno;
  key.dev = entry->attr.st_dev;
  key.ino = entry->attr.st_ino;
  g_mutex_lock (&lock);
  node = g_hash_table_lookup (nodes, &key);
  if (node == NULL)
    {
      int fd = S_ISDIR (entry->attr.st_mode) ? openat (parent->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;

      node = node_new (parent, name, &entry->attr, fd);
      parent->count++;
      g_hash_table_add (nodes, node);
    }
  node->count++;
  g_mutex_unlock (&lock);
  entry->ino = (guintptr) node;
  entry->attr_timeout = entry->entry_timeout = TIMEOUT;
  return 0;
}

static void
op_init (void *data, struct fuse_conn_info *conn)
{
  conn->want |= conn->capable
                & (FUSE_CAP_ASYNC_READ | FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_PARALLEL_DIROPS);
  conn->max_readahead = 1024 * 1024;
}

static void
op_lookup (fuse_req_t req, fuse_ino_t parent, const char *name)
{
  struct fuse_entry_param entry;
  int errnum = enter (node_of (parent), name, &entry);

  if (errnum != 0)
    fuse_reply_err (req, errnum);
  else
    fuse_reply_entry (req, &entry);
}

static void
op_forget (fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
  node_release (node_of (ino), n);
  fuse_reply_none (req);
}

static void
op_forget_multi (fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
  for (size_t i = 0; i < count; i++)
    node_release (node_of (forgets[i].ino), forgets[i].nlookup);
  fuse_reply_none (req);
}

static int
open_node (Node *node, int flags)
{
  if (node->fd >= 0)
    return openat (node->fd, ".", flags | O_CLOEXEC);
  return openat (node->parent->fd, node->name, flags | O_NOFOLLOW | O_CLOEXEC);
}

static void
op_getattr (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  Node *node = node_of (ino);
  struct stat st;
  int result = node->fd >= 0 ? fstat (node->fd, &st) : fstatat (node->parent->fd, node->name, &st, AT_SYMLINK_NOFOLLOW);

  if (result != 0)
    fuse_reply_err (req, errno);
  else
    fuse_reply_attr (req, &st, TIMEOUT);
}

static void
op_readlink (fuse_req_t req, fuse_ino_t ino)
{
  Node *node = node_of (ino);
  char target[PATH_MAX];
  ssize_t n = readlinkat (node->parent->fd, node->name, target, sizeof target - 1);

  if (n < 0)
    {
      fuse_reply_err (req, errno);
      return;
    }
  target[n] = '\0';
  fuse_reply_readlink (req, target);
}

static void
op_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  int fd = open_node (node_of (ino), O_RDONLY);

  if (fd < 0)
    {
      fuse_reply_err (req, errno);
      return;
    }
  fi->fh = (guint64) fd;
  fi->keep_cache = 1;
  fi->noflush = 1;
  if (fuse_reply_open (req, fi) != 0)
    close (fd);
}

static void
op_release (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  close ((int) fi->fh);
  fuse_reply_err (req, 0);
}

static void
op_read (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  static GPrivate buffer = G_PRIVATE_INIT (free);
  void *data = g_private_get (&buffer);
  ssize_t n;

  if (data == NULL)
    {
      if (posix_memalign (&data, 4096, 4 * 1024 * 1024) != 0)
        abort ();
      g_private_set (&buffer, data);
    }
  n = pread ((int) fi->fh, data, MIN (size, 4 * 1024 * 1024), off);
  if (n < 0)
    fuse_reply_err (req, errno);
  else
    fuse_reply_buf (req, data, (size_t) n);
}

typedef struct {
  DIR *dir;
  struct dirent *next; /* read, but did not fit */
  off_t offset;
} Listing;

static void
op_opendir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  int fd = open_node (node_of (ino), O_RDONLY | O_DIRECTORY);
  Listing *listing;

  if (fd < 0)
    {
      fuse_reply_err (req, errno);
      return;
    }
  listing = g_new0 (Listing, 1);
  listing->dir = fdopendir (fd);
  fi->fh = (guintptr) listing;
  fuse_reply_open (req, fi);
}

static void
op_releasedir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  Listing *listing = (Listing *) (guintptr) fi->fh;

  closedir (listing->dir);
  g_free (listing);
  fuse_reply_err (req, 0);
}

/* One reader a handle, as in all examples of libfuse. */
static void
list (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi, gboolean plus)
{
  Listing *listing = (Listing *) (guintptr) fi->fh;
  g_autofree char *buffer = g_malloc (size);
  size_t used = 0;

  if (off != listing->offset)
    {
      seekdir (listing->dir, off);
      listing->next = NULL;
      listing->offset = off;
    }
  for (;;)
    {
      struct fuse_entry_param entry = { 0 };
      struct dirent *next = listing->next != NULL ? listing->next : readdir (listing->dir);
      gboolean dots;
      size_t len;

      if (next == NULL)
        break;
      dots = strcmp (next->d_name, ".") == 0 || strcmp (next->d_name, "..") == 0;
      entry.attr.st_ino = next->d_ino;
      entry.attr.st_mode = (mode_t) DTTOIF (next->d_type);
      if (plus && !dots && enter (node_of (ino), next->d_name, &entry) != 0)
        entry.ino = 0;
      if (plus)
        len = fuse_add_direntry_plus (req, buffer + used, size - used, next->d_name, &entry, next->d_off);
      else
        len = fuse_add_direntry (req, buffer + used, size - used, next->d_name, &entry.attr, next->d_off);
      if (len > size - used)
        {
          if (entry.ino != 0)
            node_release (node_of (entry.ino), 1);
          listing->next = next;
          break;
        }
      used += len;
      listing->offset = next->d_off;
      listing->next = NULL;
    }
  fuse_reply_buf (req, buffer, used);
}

static void
op_readdir (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  list (req, ino, size, off, fi, FALSE);
}

static void
op_readdirplus (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  list (req, ino, size, off, fi, TRUE);
}

static const struct fuse_lowlevel_ops ops = {
  .init = op_init,
  .lookup = op_lookup,
  .forget = op_forget,
  .forget_multi = op_forget_multi,
  .getattr = op_getattr,
  .readlink = op_readlink,
  .open = op_open,
  .read = op_read,
  .release = op_release,
  .opendir = op_opendir,
  .readdir = op_readdir,
  .readdirplus = op_readdirplus,
  .releasedir = op_releasedir,
};

int
main (int argc, char **argv)
{
  const char *words[] = { "copyfs", "-o", "ro,default_permissions,fsname=copyfs,subtype=copyfs" };
  struct fuse_args args = FUSE_ARGS_INIT (G_N_ELEMENTS (words), (char **) words);
  struct fuse_loop_config *loop = fuse_loop_cfg_create ();
  struct fuse_session *session;
  struct rlimit limit;
  struct stat st;
  int fd, result = 1;

  if (argc < 3)
    {
      fprintf (stderr, "usage: copyfs SOURCE MOUNTPOINT [THREADS]\n");
      return 2;
    }
  if (getrlimit (RLIMIT_NOFILE, &limit) == 0)
    {
      limit.rlim_cur = limit.rlim_max;
      setrlimit (RLIMIT_NOFILE, &limit);
    }
  fd = open (argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fstat (fd, &st) != 0)
    {
      perror (argv[1]);
      return 1;
    }
  nodes = g_hash_table_new (node_hash, node_equal);
  root = node_new (NULL, "", &st, fd);
  g_hash_table_add (nodes, root);
  fuse_loop_cfg_set_max_threads (loop, argc > 3 ? (unsigned) atoi (argv[3]) : 2 * g_get_num_processors ());
  session = fuse_session_new (&args, &ops, sizeof ops, NULL);
  if (session != NULL && fuse_set_signal_handlers (session) == 0 && fuse_session_mount (session, argv[2]) == 0)
    {
      result = fuse_session_loop_mt (session, loop) != 0;
      fuse_session_unmount (session);
    }
  fuse_loop_cfg_destroy (loop);
  return result;
}
