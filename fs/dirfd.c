/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory descriptors: see fs/dirfd.h.
 *
 * One mutex guards the map and the LRU list; it is never held across a system
 * call. An entry that falls out of the LRU is closed when its last user lets
 * go of it. Entries are keyed by node id, which is never used again, so an
 * entry can be old but never wrong.
 */
#include "fs/dirfd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MAX_DEPTH 4096
#define LEASE_TRIES 50
#define LEASE_WAIT_US 20000

typedef struct {
  guint64 id;
  TpdDirFd *dir;
  GList link; /* in TpdDirs.lru */
} Entry;

struct _TpdDirs {
  TpdInodes *inodes;
  TpdDirFd *root;
  guint max;

  GMutex lock;
  GHashTable *entries; /* &Entry.id -> Entry, under lock */
  GQueue lru;          /* most recent first, under lock */
};

static TpdDirFd *
dirfd_new (int fd)
{
  TpdDirFd *dir = g_new (TpdDirFd, 1);

  *dir = (TpdDirFd){ fd, 1 };
  return dir;
}

static TpdDirFd *
dirfd_ref (TpdDirFd *dir)
{
  g_atomic_int_inc (&dir->ref_count);
  return dir;
}

void
tpd_dirfd_unref (TpdDirFd *dir)
{
  if (!g_atomic_int_dec_and_test (&dir->ref_count))
    return;
  if (dir->fd >= 0)
    close (dir->fd);
  g_free (dir);
}

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  tpd_dirfd_unref (entry->dir);
  g_free (entry);
}

TpdDirs *
tpd_dirs_new (TpdInodes *inodes, int root_fd, guint max)
{
  TpdDirs *dirs = g_new0 (TpdDirs, 1);

  dirs->inodes = inodes;
  dirs->root = dirfd_new (root_fd);
  dirs->max = MAX (max, 1);
  g_mutex_init (&dirs->lock);
  g_queue_init (&dirs->lru);
  dirs->entries = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, entry_free);
  return dirs;
}

void
tpd_dirs_free (TpdDirs *dirs)
{
  g_hash_table_unref (dirs->entries);
  g_mutex_clear (&dirs->lock);
  g_free (dirs->root); /* the descriptor is the caller's */
  g_free (dirs);
}

static TpdDirFd *
cache_find (TpdDirs *dirs, guint64 id)
{
  Entry *entry;
  TpdDirFd *dir = NULL;

  g_mutex_lock (&dirs->lock);
  entry = g_hash_table_lookup (dirs->entries, &id);
  if (entry != NULL)
    {
      g_queue_unlink (&dirs->lru, &entry->link);
      g_queue_push_head_link (&dirs->lru, &entry->link);
      dir = dirfd_ref (entry->dir);
    }
  g_mutex_unlock (&dirs->lock);
  return dir;
}

/* Drops the oldest entries until at most `keep` are left; to be freed by the
 * caller outside the lock. */
static GSList *
cache_trim (TpdDirs *dirs, guint keep)
{
  GSList *out = NULL;

  while (dirs->lru.length > keep)
    {
      Entry *entry = g_queue_pop_tail_link (&dirs->lru)->data;

      g_hash_table_steal (dirs->entries, &entry->id);
      out = g_slist_prepend (out, entry);
    }
  return out;
}

static void
cache_insert (TpdDirs *dirs, guint64 id, TpdDirFd *dir)
{
  Entry *entry = g_new0 (Entry, 1);
  GSList *dropped = NULL;

  entry->id = id;
  entry->dir = dirfd_ref (dir);
  entry->link.data = entry;
  g_mutex_lock (&dirs->lock);
  if (g_hash_table_contains (dirs->entries, &id))
    dropped = g_slist_prepend (NULL, entry);
  else
    {
      g_hash_table_insert (dirs->entries, &entry->id, entry);
      g_queue_push_head_link (&dirs->lru, &entry->link);
      dropped = cache_trim (dirs, dirs->max);
    }
  g_mutex_unlock (&dirs->lock);
  g_slist_free_full (dropped, entry_free);
}

static void
cache_drop (TpdDirs *dirs, guint64 id)
{
  Entry *entry;

  g_mutex_lock (&dirs->lock);
  entry = g_hash_table_lookup (dirs->entries, &id);
  if (entry != NULL)
    {
      g_queue_unlink (&dirs->lru, &entry->link);
      g_hash_table_steal (dirs->entries, &entry->id);
    }
  g_mutex_unlock (&dirs->lock);
  if (entry != NULL)
    entry_free (entry);
}

/* Out of descriptors: half of ours go, so that one more try may do. */
static gboolean
make_room (TpdDirs *dirs, int errnum)
{
  GSList *dropped;

  if (errnum != EMFILE && errnum != ENFILE)
    return FALSE;
  g_mutex_lock (&dirs->lock);
  dropped = cache_trim (dirs, dirs->lru.length / 2);
  g_mutex_unlock (&dirs->lock);
  gboolean any = dropped != NULL;
  g_slist_free_full (dropped, entry_free);
  return any;
}

/* Name by name, none of which is "..", this cannot lead anywhere else. (openat2()
 * takes them in one step, but is closed to a confined process: its flags are out
 * of seccomp's sight.) */
static int
open_directory (int dirfd, const char *name)
{
  return openat (dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int
stale_if_gone (int errnum)
{
  return errnum == ENOENT || errnum == ENOTDIR || errnum == ELOOP ? ESTALE : errnum;
}

/* Names from the nearest open ancestor (`*base`) down to `node`. */
static int
collect_way (TpdDirs *dirs, TpdNode *node, GPtrArray *names, TpdDirFd **base)
{
  TpdNode *at = tpd_node_ref (node);
  int errnum = ESTALE;

  for (guint depth = 0; depth < MAX_DEPTH; depth++)
    {
      TpdNode *parent;
      char *name;
      TpdDirFd *dir = at == node ? NULL : cache_find (dirs, at->id);

      if (dir == NULL && !tpd_node_way (at, &parent, &name))
        dir = dirfd_ref (dirs->root);
      if (dir != NULL)
        {
          *base = dir;
          errnum = 0;
          break;
        }
      g_ptr_array_add (names, name);
      tpd_node_unref (dirs->inodes, at);
      at = parent;
    }
  tpd_node_unref (dirs->inodes, at);
  return errnum;
}

static int
resolve (TpdDirs *dirs, TpdNode *node, TpdDirFd **out)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (TpdDirFd) dir = NULL;
  struct stat st;
  int errnum = collect_way (dirs, node, names, &dir);

  if (errnum != 0)
    return errnum;
  for (guint left = names->len; left > 0; left--)
    {
      const char *name = names->pdata[left - 1];
      int fd = open_directory (dir->fd, name);

      if (fd < 0 && make_room (dirs, errno))
        fd = open_directory (dir->fd, name);
      if (fd < 0)
        return stale_if_gone (errno);
      tpd_dirfd_unref (dir);
      dir = dirfd_new (fd);
    }
  if (fstat (dir->fd, &st) != 0)
    return errno;
  if (st.st_dev != node->stamp.dev || st.st_ino != node->stamp.ino)
    return ESTALE;
  cache_insert (dirs, node->id, dir);
  *out = g_steal_pointer (&dir);
  return 0;
}

int
tpd_dirs_get (TpdDirs *dirs, TpdNode *node, TpdDirFd **out)
{
  if (node->id == TPD_NODE_ROOT)
    {
      *out = dirfd_ref (dirs->root);
      return 0;
    }
  *out = cache_find (dirs, node->id);
  return *out != NULL ? 0 : resolve (dirs, node, out);
}

int
tpd_dirs_get_parent (TpdDirs *dirs, TpdNode *node, TpdDirFd **out, char **name)
{
  TpdNode *parent;
  int errnum;

  if (!tpd_node_way (node, &parent, name))
    return EINVAL;
  errnum = tpd_dirs_get (dirs, parent, out);
  tpd_node_unref (dirs->inodes, parent);
  if (errnum != 0)
    g_clear_pointer (name, g_free);
  return errnum;
}

/* A cached directory of a network file system may have gone stale itself;
 * the way is then resolved anew, once. */
static void
forget_parent (TpdDirs *dirs, TpdNode *node)
{
  TpdNode *parent;
  g_autofree char *name = NULL;

  if (!tpd_node_way (node, &parent, &name))
    return;
  cache_drop (dirs, parent->id);
  tpd_node_unref (dirs->inodes, parent);
}

static gboolean
is_node (const TpdNode *node, const struct stat *st)
{
  return st->st_dev == node->stamp.dev && st->st_ino == node->stamp.ino && (st->st_mode & S_IFMT) >> 12 == node->type;
}

int
tpd_dirs_stat (TpdDirs *dirs, TpdNode *node, struct stat *st)
{
  if (node->id == TPD_NODE_ROOT)
    return fstat (dirs->root->fd, st) == 0 ? 0 : errno;
  for (guint tries = 0;; tries++)
    {
      g_autoptr (TpdDirFd) dir = NULL;
      g_autofree char *name = NULL;
      int errnum = tpd_dirs_get_parent (dirs, node, &dir, &name);

      if (errnum == 0 && fstatat (dir->fd, name, st, AT_SYMLINK_NOFOLLOW) == 0)
        return is_node (node, st) ? 0 : ESTALE;
      if (errnum == 0)
        errnum = errno;
      if (errnum != ESTALE || tries > 0)
        return stale_if_gone (errnum);
      forget_parent (dirs, node);
    }
}

/* Another program holds a lease (Samba's kernel oplocks): the first try asked
 * it to give way, which takes it a moment. Waiting without O_NONBLOCK could
 * hang on what has become a fifo. */
static int
open_leased (int dirfd, const char *name)
{
  for (guint tries = 0; tries < LEASE_TRIES; tries++)
    {
      int fd = openat (dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

      if (fd >= 0 || errno != EWOULDBLOCK)
        return fd;
      g_usleep (LEASE_WAIT_US);
    }
  errno = EAGAIN;
  return -1;
}

int
tpd_open_regular (int dirfd, const char *name, struct stat *st)
{
  const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  int fd = openat (dirfd, name, flags | O_NOATIME);

  if (fd < 0 && errno == EPERM)
    fd = openat (dirfd, name, flags);
  if (fd < 0 && errno == EWOULDBLOCK)
    fd = open_leased (dirfd, name);
  if (fd < 0)
    return errno == ENXIO ? -ESTALE : -stale_if_gone (errno);
  if (fstat (fd, st) != 0 || !S_ISREG (st->st_mode))
    {
      close (fd);
      return -ESTALE;
    }
  return fd;
}

static int
open_at (int dirfd, const char *name, int flags, struct stat *st)
{
  int fd;

  if (flags == O_RDONLY)
    return tpd_open_regular (dirfd, name, st);
  flags |= O_NOFOLLOW | O_CLOEXEC;
  if ((flags & O_PATH) == 0)
    {
      fd = openat (dirfd, name, flags | O_NOATIME);
      if (fd < 0 && errno == EPERM)
        fd = openat (dirfd, name, flags);
    }
  else
    fd = openat (dirfd, name, flags);
  if (fd < 0)
    return -stale_if_gone (errno);
  if (fstat (fd, st) != 0)
    {
      int errnum = errno;

      close (fd);
      return -errnum;
    }
  return fd;
}

int
tpd_dirs_open (TpdDirs *dirs, TpdNode *node, int flags, int *fd, struct stat *st)
{
  for (guint tries = 0;; tries++)
    {
      g_autoptr (TpdDirFd) dir = NULL;
      g_autofree char *name = NULL;
      int errnum;

      /* A directory is opened as "." of itself, which needs no verifying. */
      if (node->type == S_IFDIR >> 12)
        {
          errnum = tpd_dirs_get (dirs, node, &dir);
          name = g_strdup (".");
        }
      else
        errnum = tpd_dirs_get_parent (dirs, node, &dir, &name);
      if (errnum == 0)
        {
          int opened = open_at (dir->fd, name, flags, st);

          if (opened < 0 && make_room (dirs, -opened))
            opened = open_at (dir->fd, name, flags, st);
          if (opened >= 0 && !is_node (node, st))
            {
              close (opened);
              opened = -ESTALE;
            }
          if (opened >= 0)
            {
              *fd = opened;
              return 0;
            }
          errnum = -opened;
        }
      if (errnum != ESTALE || tries > 0)
        return errnum;
      if (node->type == S_IFDIR >> 12)
        cache_drop (dirs, node->id);
      forget_parent (dirs, node);
    }
}
