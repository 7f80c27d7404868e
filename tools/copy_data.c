/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of files into new files: see copy_data.h. What is written is what was
 * hashed: the same bytes in memory, or, where blocks are shared, the new file.
 */
#include "tools/copy_data.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"

/* From this size room is asked for at once: a full disk shows early, and the
 * file lies together. */
#define RESERVE_FROM (4 * 1024 * 1024)
/* Written back while the rest is still made, so that syncing is short. */
#define FLUSH_EVERY (16 * 1024 * 1024)

static gboolean
write_all (int fd, const guint8 *data, gsize len, guint64 off, GError **error)
{
  if (tpd_pwrite_all (fd, data, len, off))
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot write the copy");
  return FALSE;
}

static void
start_flush (int fd, guint64 end)
{
  if (end % FLUSH_EVERY == 0 && end > 0)
    (void) sync_file_range (fd, (off_t) (end - FLUSH_EVERY), FLUSH_EVERY, SYNC_FILE_RANGE_WRITE);
}

static gboolean
reserve (int fd, guint64 size, GError **error)
{
  if (size < RESERVE_FROM || fallocate (fd, FALLOC_FL_KEEP_SIZE, 0, (off_t) size) == 0)
    return TRUE;
  if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG)
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot write the copy");
  return FALSE;
}

gboolean
tpd_copy_document (TpdDocument *document, int fd, guint8 *block, guint8 sha256[TPD_SHA256_SIZE], GError **error)
{
  TpdDigest *sum = tpd_digest_new (TPD_SHA256_SIZE);
  guint64 off = 0;
  gboolean good = reserve (fd, document->plain_size, error);
  gssize n = 0;

  while (good && (n = tpd_document_pread (document, block, TPD_COPY_BLOCK, off, error)) > 0)
    {
      tpd_digest_update (sum, block, (gsize) n);
      good = write_all (fd, block, (gsize) n, off, error);
      off += (guint64) n;
      start_flush (fd, off);
    }
  tpd_digest_finish (sum, sha256);
  if (!good || n < 0)
    return FALSE;
  if (off == document->plain_size)
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
               "the content ends at byte %" G_GUINT64_FORMAT ", not at byte %" G_GUINT64_FORMAT, off,
               document->plain_size);
  return FALSE;
}

gboolean
tpd_copy_write (int fd, const void *data, gsize len, guint64 off, GError **error)
{
  if (!write_all (fd, data, len, off, error))
    return FALSE;
  if (off / FLUSH_EVERY != (off + len) / FLUSH_EVERY)
    start_flush (fd, (off + len) / FLUSH_EVERY * FLUSH_EVERY);
  return TRUE;
}

/* --- Plain files ------------------------------------------------------- */

static gboolean
set_shorter (GError **error)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_STALE, "the file became shorter while it was read");
  return FALSE;
}

static gboolean
copy_range (int source_fd, guint64 from, guint64 to, int fd, guint8 *block, TpdDigest *sum, GError **error)
{
  while (from < to)
    {
      gssize n = pread (source_fd, block, (gsize) MIN (to - from, TPD_COPY_BLOCK), (off_t) from);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          tpd_error_set_errno (error, errno, "cannot read the file");
          return FALSE;
        }
      if (n == 0)
        return set_shorter (error);
      tpd_digest_update (sum, block, (gsize) n);
      if (!write_all (fd, block, (gsize) n, from, error))
        return FALSE;
      from += (guint64) n;
      start_flush (fd, from);
    }
  return TRUE;
}

static void
hash_hole (guint8 *block, guint64 len, TpdDigest *sum)
{
  memset (block, 0, (gsize) MIN (len, TPD_COPY_BLOCK));
  while (len > 0)
    {
      gsize n = (gsize) MIN (len, TPD_COPY_BLOCK);

      tpd_digest_update (sum, block, n);
      len -= n;
    }
}

/* Where the data at or behind `at` is; a file system without holes says that
 * all is data. */
static void
next_data (int fd, guint64 at, guint64 size, guint64 *start, guint64 *end)
{
  off_t found = lseek (fd, (off_t) at, SEEK_DATA);

  if (found < 0)
    {
      *start = errno == ENXIO ? size : at;
      *end = size;
      return;
    }
  *start = MIN ((guint64) found, size);
  found = lseek (fd, found, SEEK_HOLE);
  *end = found < 0 ? size : MIN ((guint64) found, size);
}

static gboolean
copy_sparse (int source_fd, guint64 size, int fd, guint8 *block, TpdDigest *sum, GError **error)
{
  guint64 at = 0;

  while (at < size)
    {
      guint64 start, end;

      next_data (source_fd, at, size, &start, &end);
      hash_hole (block, start - at, sum);
      if (!copy_range (source_fd, start, end, fd, block, sum, error))
        return FALSE;
      at = MAX (end, start);
    }
  if (ftruncate (fd, (off_t) size) == 0)
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot write the copy");
  return FALSE;
}

gboolean
tpd_copy_hash (int fd, guint8 *block, guint64 *size, guint8 sha256[TPD_SHA256_SIZE], GError **error)
{
  TpdDigest *sum = tpd_digest_new (TPD_SHA256_SIZE);
  guint64 off = 0;
  gssize n;

  (void) posix_fadvise (fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  for (;;)
    {
      n = pread (fd, block, TPD_COPY_BLOCK, (off_t) off);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        break;
      tpd_digest_update (sum, block, (gsize) n);
      off += (guint64) n;
    }
  if (n < 0)
    tpd_error_set_errno (error, errno, "cannot read the copy");
  tpd_digest_finish (sum, sha256);
  *size = off;
  return n == 0;
}

gboolean
tpd_copy_plain (int source_fd, guint64 size, int fd, guint8 *block, guint8 sha256[TPD_SHA256_SIZE], GError **error)
{
  TpdDigest *sum;
  gboolean good;
  guint64 cloned;

  if (size > 0 && ioctl (fd, FICLONE, source_fd) == 0)
    {
      if (!tpd_copy_hash (fd, block, &cloned, sha256, error))
        return FALSE;
      return cloned == size || set_shorter (error);
    }
  (void) posix_fadvise (source_fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  sum = tpd_digest_new (TPD_SHA256_SIZE);
  good = copy_sparse (source_fd, size, fd, block, sum, error);
  tpd_digest_finish (sum, sha256);
  return good;
}
