/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacked bytes: see scratch.h. The beginning of a member, which mostly is all
 * that is asked for, takes no system call. More goes to a memory file, which is
 * in no core dump and takes no disk; large ones move to a file once, and stay
 * there.
 */
#include "format/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "crypto/secret.h"

#define SMALL (64 * 1024)
/* In memory by each scratch, if there is a file to go on with, and if not. */
#define MEMORY_MAX (G_GUINT64_CONSTANT (8) * 1024 * 1024)
#define MEMORY_ONLY_MAX (G_GUINT64_CONSTANT (64) * 1024 * 1024)
/* In a file. */
#define FILE_MAX (G_GUINT64_CONSTANT (64) * 1024 * 1024 * 1024)
#define MAX_PREPARED 256
#define MOVE_BLOCK (64 * 1024)

struct _TpdScratchPool {
  GMutex lock;
  GArray *free; /* of int: prepared files that nobody has, under lock */
  int dir_fd;   /* -1: none but the prepared ones */
};

struct _TpdScratch {
  TpdScratchPool *pool;
  guint8 *small; /* SMALL bytes, as long as `fd` is -1; may be NULL */
  int fd;
  gboolean on_disk; /* a file of the pool */
  guint64 size;
};

/* --- Pools -------------------------------------------------------------- */

static TpdScratchPool *
pool_new (int dir_fd)
{
  TpdScratchPool *pool = g_new0 (TpdScratchPool, 1);

  g_mutex_init (&pool->lock);
  pool->free = g_array_new (FALSE, FALSE, sizeof (int));
  pool->dir_fd = dir_fd;
  return pool;
}

TpdScratchPool *
tpd_scratch_pool_new (guint n)
{
  TpdScratchPool *pool = pool_new (-1);

  for (guint i = 0; i < MIN (n, MAX_PREPARED); i++)
    {
      int fd = open (g_get_tmp_dir (), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

      if (fd < 0)
        break;
      g_array_append_val (pool->free, fd);
    }
  return pool;
}

TpdScratchPool *
tpd_scratch_pool_new_in (int dir_fd)
{
  return pool_new (dir_fd);
}

void
tpd_scratch_pool_free (TpdScratchPool *pool)
{
  if (pool == NULL)
    return;
  for (guint i = 0; i < pool->free->len; i++)
    close (g_array_index (pool->free, int, i));
  g_array_unref (pool->free);
  g_mutex_clear (&pool->lock);
  g_free (pool);
}

/* Not every file system has files without a name. */
static int
make_in (int dir_fd)
{
  static gint number;
  g_autofree char *name = NULL;
  int fd = openat (dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

  if (fd >= 0)
    return fd;
  name = g_strdup_printf ("scratch-%d-%d", (int) getpid (), g_atomic_int_add (&number, 1));
  (void) unlinkat (dir_fd, name, 0);
  fd = openat (dir_fd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd >= 0)
    (void) unlinkat (dir_fd, name, 0);
  return fd;
}

/* -1: there is none. */
static int
pool_take (TpdScratchPool *pool)
{
  int fd = -1;

  if (pool == NULL)
    return -1;
  if (pool->dir_fd >= 0)
    return make_in (pool->dir_fd);
  g_mutex_lock (&pool->lock);
  if (pool->free->len > 0)
    {
      fd = g_array_index (pool->free, int, pool->free->len - 1);
      g_array_set_size (pool->free, pool->free->len - 1);
    }
  g_mutex_unlock (&pool->lock);
  return fd;
}

static void
pool_give (TpdScratchPool *pool, int fd)
{
  if (pool->dir_fd >= 0 || ftruncate (fd, 0) != 0)
    {
      close (fd);
      return;
    }
  g_mutex_lock (&pool->lock);
  g_array_append_val (pool->free, fd);
  g_mutex_unlock (&pool->lock);
}

/* --- A scratch ---------------------------------------------------------- */

TpdScratch *
tpd_scratch_new (TpdScratchPool *pool)
{
  TpdScratch *scratch = g_new0 (TpdScratch, 1);

  scratch->pool = pool;
  scratch->fd = -1;
  return scratch;
}

static void
free_small (TpdScratch *scratch)
{
  if (scratch->small != NULL)
    tpd_wipe (scratch->small, (gsize) MIN (scratch->size, (guint64) SMALL));
  g_clear_pointer (&scratch->small, g_free);
}

void
tpd_scratch_free (TpdScratch *scratch)
{
  if (scratch == NULL)
    return;
  if (scratch->on_disk)
    pool_give (scratch->pool, scratch->fd);
  else if (scratch->fd >= 0)
    close (scratch->fd);
  free_small (scratch);
  g_free (scratch);
}

guint64
tpd_scratch_size (const TpdScratch *scratch)
{
  return scratch->size;
}

static gboolean
write_at (int fd, const void *data, gsize len, guint64 off, GError **error)
{
  if (tpd_pwrite_all (fd, data, len, off))
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot write what is unpacked to a temporary file");
  return FALSE;
}

static gboolean
read_at (int fd, void *buf, gsize len, guint64 off, GError **error)
{
  if (tpd_pread_all (fd, buf, len, off))
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot read what was unpacked to a temporary file");
  return FALSE;
}

static gboolean
move_to (TpdScratch *scratch, int fd, GError **error)
{
  g_autofree guint8 *block = g_malloc (MOVE_BLOCK);

  for (guint64 off = 0; off < scratch->size;)
    {
      gsize len = (gsize) MIN (scratch->size - off, MOVE_BLOCK);

      if (!tpd_scratch_pread (scratch, block, len, off, error) || !write_at (fd, block, len, off, error))
        return FALSE;
      off += len;
    }
  if (scratch->fd >= 0)
    close (scratch->fd);
  free_small (scratch);
  scratch->fd = fd;
  scratch->on_disk = TRUE;
  return TRUE;
}

/* FALSE without error: there is no file. */
static gboolean
move_to_disk (TpdScratch *scratch, GError **error)
{
  int fd = pool_take (scratch->pool);

  if (fd < 0)
    return FALSE;
  if (move_to (scratch, fd, error))
    return TRUE;
  pool_give (scratch->pool, fd);
  return FALSE;
}

static gboolean
leave_small (TpdScratch *scratch, GError **error)
{
  scratch->fd = memfd_create ("tpdfs-unpacked", MFD_CLOEXEC);
  if (scratch->fd < 0)
    {
      tpd_error_set_errno (error, errno, "cannot get memory for what is unpacked");
      return FALSE;
    }
  if (scratch->small != NULL && !write_at (scratch->fd, scratch->small, (gsize) scratch->size, 0, error))
    return FALSE;
  free_small (scratch);
  return TRUE;
}

static gboolean
make_room (TpdScratch *scratch, guint64 size, GError **error)
{
  g_autoptr (GError) problem = NULL;
  guint64 max = FILE_MAX;

  if (!scratch->on_disk && size > MEMORY_MAX && !move_to_disk (scratch, &problem))
    {
      if (problem != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&problem));
          return FALSE;
        }
      max = MEMORY_ONLY_MAX;
    }
  if (size > max)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                   "unpacked it would take more than %" G_GUINT64_FORMAT " MiB%s", max >> 20,
                   scratch->on_disk ? "" : ", and there is no temporary file for it");
      return FALSE;
    }
  if (scratch->fd >= 0)
    return TRUE;
  if (size <= SMALL)
    {
      if (scratch->small == NULL)
        scratch->small = g_malloc (SMALL);
      return TRUE;
    }
  return leave_small (scratch, error);
}

gboolean
tpd_scratch_append (TpdScratch *scratch, const void *data, gsize len, GError **error)
{
  if (len > G_MAXINT64 - scratch->size || !make_room (scratch, scratch->size + len, error))
    return FALSE;
  if (scratch->fd < 0)
    memcpy (scratch->small + scratch->size, data, len);
  else if (!write_at (scratch->fd, data, len, scratch->size, error))
    return FALSE;
  scratch->size += len;
  return TRUE;
}

gboolean
tpd_scratch_pread (TpdScratch *scratch, void *buf, gsize len, guint64 off, GError **error)
{
  g_return_val_if_fail (off <= scratch->size && len <= scratch->size - off, FALSE);

  if (scratch->fd < 0)
    {
      if (len > 0)
        memcpy (buf, scratch->small + off, len);
      return TRUE;
    }
  return len == 0 || read_at (scratch->fd, buf, len, off, error);
}
