/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OPEN, READ and RELEASE.
 *
 * Of plain files the kernel takes the pages out of its cache itself, by way of
 * a pipe, when it asks for many: nothing is copied through this process. For a
 * few pages that takes more calls than it saves.
 *
 * Protected content is decrypted into a buffer that each worker thread keeps,
 * in one huge page where the kernel has them: to touch a page for the first time
 * costs more than to decrypt it. The buffer is wiped when the thread ends.
 * (The kernel's page cache holds the plaintext anyway, until it is reclaimed.)
 */
#include "fs/ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "crypto/secret.h"
#include "fs/call.h"
#include "fs/open_file.h"
#include "fs/pipe.h"
#include "fs/readahead.h"
#include "fs/status.h"

/* More than any kernel asks for at once; a larger request gets a short read. */
#define MAX_READ (4 * 1024 * 1024)
#define HUGE_PAGE (2 * 1024 * 1024)
/* A thread that is asked for less has a small buffer: clearing a huge page takes
 * as long as twenty random reads. */
#define SMALL_READ (64 * 1024)
/* docs/performance.md has what was measured. */
#define MIN_SPLICE (2 * 4096)

typedef struct {
  void *data;
  gsize size;
} Buffer;

static void
buffer_free (gpointer data)
{
  Buffer *buffer = data;

  tpd_wipe (buffer->data, buffer->size);
  free (buffer->data);
  g_free (buffer);
}

static GPrivate thread_buffer = G_PRIVATE_INIT (buffer_free);

/* The thread's buffer, of at least `size` bytes; NULL: out of memory. */
static void *
get_buffer (gsize size)
{
  Buffer *buffer = g_private_get (&thread_buffer);
  gsize unit;
  void *data;

  if (buffer != NULL && buffer->size >= size)
    return buffer->data;
  unit = size > SMALL_READ ? HUGE_PAGE : SMALL_READ;
  size = (size + unit - 1) / unit * unit;
  if (posix_memalign (&data, unit, size) != 0)
    return NULL;
  if (unit == HUGE_PAGE)
    madvise (data, size, MADV_HUGEPAGE);
  buffer = g_new (Buffer, 1);
  *buffer = (Buffer){ data, size };
  g_private_replace (&thread_buffer, buffer);
  return data;
}

static TpdOpenFile *
file_of (const struct fuse_file_info *fi)
{
  return (TpdOpenFile *) (guintptr) fi->fh;
}

static GBytes *
status_of (const struct fuse_file_info *fi)
{
  return (GBytes *) (guintptr) fi->fh;
}

static int
run_open (TpdFs *fs, TpdCall *call)
{
  TpdNode *node = tpd_inodes_get (fs->inodes, call->ino);
  TpdOpenFile *file = NULL;
  gboolean keep_cache = FALSE;
  int errnum = ESTALE;

  if (node != NULL)
    errnum = tpd_open_file (fs, node, &file, &keep_cache, &call->wait);
  tpd_node_unref (fs->inodes, node);
  if (errnum == TPD_WAIT)
    return TPD_WAIT;
  if (errnum != 0)
    {
      fuse_reply_err (call->req, errnum);
      return 0;
    }
  call->fi.keep_cache = keep_cache && fs->options->cache != TPD_CACHE_NEVER;
#ifdef FUSE_CAP_PASSTHROUGH
  call->fi.backing_id = tpd_open_file_backing_id (file);
#endif
  call->fi.fh = (guintptr) file;
  /* The caller was interrupted: there will be no RELEASE. */
  if (fuse_reply_open (call->req, &call->fi) != 0)
    tpd_open_file_close (fs, file);
  return 0;
}

void
tpd_op_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  TpdFs *fs = tpd_fs_of (req);
  TpdCall call = { .req = req, .run = run_open, .ino = ino };

  if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC) != 0)
    {
      fuse_reply_err (req, EROFS);
      return;
    }
  fi->noflush = 1;
  tpd_read_ahead_set (&fs->read_ahead_fd);
  if (tpd_status_is (ino))
    {
      GBytes *content = tpd_status_content (fs, ino);

      fi->direct_io = 1;
      fi->fh = (guintptr) content;
      if (fuse_reply_open (req, fi) != 0)
        g_bytes_unref (content);
      return;
    }
  call.fi = *fi;
  tpd_call_run (&call);
}

static void
read_status (fuse_req_t req, GBytes *opened, size_t size, off_t off)
{
  /* RELEASE may come as soon as the kernel has the reply. */
  g_autoptr (GBytes) content = g_bytes_ref (opened);
  gsize len;
  const char *data = g_bytes_get_data (content, &len);

  if ((guint64) off >= len)
    fuse_reply_buf (req, NULL, 0);
  else
    fuse_reply_buf (req, data + off, MIN (size, len - (gsize) off));
}

/* A file that has grown since it was opened is read as it is, by copying. */
static gboolean
can_splice (const TpdFs *fs, const TpdOpenFile *file, size_t size, off_t off)
{
  guint64 known = tpd_open_file_size (file);

  return fs->splices && tpd_open_file_fd (file) >= 0 && (guint64) off < known
         && MIN (size, known - (guint64) off) >= MIN_SPLICE;
}

/* FALSE: it has to be copied. */
static gboolean
reply_by_pipe (fuse_req_t req, const TpdOpenFile *file, size_t size, off_t off)
{
  struct fuse_bufvec answer = FUSE_BUFVEC_INIT (0);
  TpdFs *fs = tpd_fs_of (req);
  gsize n;

  if (!tpd_pipe_fill (tpd_open_file_fd (file), (guint64) off, size, &answer.buf[0].fd, &n))
    return FALSE;
  answer.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_RETRY;
  answer.buf[0].size = n;
  tpd_fs_count (fs, TPD_COUNT_READS, 1);
  tpd_fs_count (fs, TPD_COUNT_BYTES_PLAIN, n);
  fuse_reply_data (req, &answer, 0);
  /* Nothing of this may get into another answer. */
  if (n > 0 && answer.idx < answer.count)
    tpd_pipe_drop ();
  return TRUE;
}

void
tpd_op_read (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
  TpdFs *fs = tpd_fs_of (req);
  gboolean protected;
  void *buffer;
  gssize n;

  if (tpd_status_is (ino))
    {
      read_status (req, status_of (fi), size, off);
      return;
    }
  size = MIN (size, MAX_READ);
  if (size > SMALL_READ)
    tpd_loop_busy (fs->loop);
  if (can_splice (fs, file_of (fi), size, off) && reply_by_pipe (req, file_of (fi), size, off))
    return;
  buffer = get_buffer (size);
  if (buffer == NULL)
    {
      fuse_reply_err (req, ENOMEM);
      return;
    }
  protected = tpd_open_file_fd (file_of (fi)) < 0;
  n = tpd_open_file_read (fs, file_of (fi), buffer, size, (guint64) off);
  tpd_fs_count (fs, TPD_COUNT_READS, 1);
  if (n < 0)
    {
      fuse_reply_err (req, (int) -n);
      return;
    }
  tpd_fs_count (fs, protected ? TPD_COUNT_BYTES_DECRYPTED : TPD_COUNT_BYTES_PLAIN, (guint64) n);
  fuse_reply_buf (req, buffer, (gsize) n);
}

void
tpd_op_release (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  if (tpd_status_is (ino))
    g_bytes_unref (status_of (fi));
  else
    tpd_open_file_close (tpd_fs_of (req), file_of (fi));
  fuse_reply_err (req, 0);
}
