/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacking one member: see unpack.h.
 *
 * libarchive sees no archive of anybody else: it gets one of a single member,
 * whose headers are written here from numbers that were checked, around the
 * compressed bytes of the member. So names, extra fields, attributes and
 * directories, which are where archives are most hostile, never reach it; only
 * its ZIP reader is switched on; and each member can be unpacked by itself.
 *
 * The lock guards everything behind it: readers take turns.
 */
#include "format/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/decoded.h"

#define METHOD_STORED 0
#define METHOD_DEFLATED 8
#define METHOD_BZIP2 12

/* Compressed bytes handed over at a time: few as long as only the beginning
 * was asked for, for all that they unpack to is kept. */
#define FIRST_BLOCK (4 * 1024)
#define BLOCK (64 * 1024)
#define EXTRA64_SIZE (4 + 3 * 8)
#define END64_SIZE 56
#define LOCATOR_SIZE 20

typedef struct {
  TpdSource base;
  TpdSource *archive;
  guint64 data, packed;
  TpdScratchPool *pool;
  TpdBudget *budget;
  GByteArray *front, *back; /* around the compressed bytes */

  GMutex lock;
  struct archive *reader; /* NULL: not begun, or all is unpacked */
  guint64 at;             /* where it reads in what it sees */
  guint8 *block;          /* BLOCK */
  TpdScratch *scratch;    /* as far as it was unpacked */
  GError *failed;         /* why there is no more */
} Unpacked;

gboolean
tpd_unpack_knows (guint16 method)
{
  return method == METHOD_STORED || method == METHOD_DEFLATED
         || (method == METHOD_BZIP2 && archive_bzlib_version () != NULL);
}

/* --- The archive that libarchive sees ----------------------------------- */

/* What local and central header have in common from "version needed" on:
 * 4.3.7, 4.3.12. The sizes are in the extra field: 4.5.3. */
static void
put_common (GByteArray *bytes, const TpdZipMember *member)
{
  tpd_bytes_put_u16le (bytes, 45);
  tpd_bytes_put_u16le (bytes, 0); /* flags */
  tpd_bytes_put_u16le (bytes, member->method);
  tpd_bytes_put_u32le (bytes, 0x00210000); /* the first of 1980 */
  tpd_bytes_put_u32le (bytes, member->crc);
  tpd_bytes_put_u32le (bytes, 0xffffffff);
  tpd_bytes_put_u32le (bytes, 0xffffffff);
  tpd_bytes_put_u16le (bytes, 1); /* bytes of the name */
}

static void
put_extra64 (GByteArray *bytes, const TpdZipMember *member, gboolean central)
{
  tpd_bytes_put_u16le (bytes, 1);
  tpd_bytes_put_u16le (bytes, central ? 24 : 16);
  tpd_bytes_put_u64le (bytes, member->size);
  tpd_bytes_put_u64le (bytes, member->packed);
  if (central)
    tpd_bytes_put_u64le (bytes, 0); /* where the local header is */
}

static GByteArray *
make_front (const TpdZipMember *member)
{
  GByteArray *bytes = g_byte_array_new ();

  tpd_bytes_put_u32le (bytes, 0x04034b50);
  put_common (bytes, member);
  tpd_bytes_put_u16le (bytes, EXTRA64_SIZE - 8);
  g_byte_array_append (bytes, (const guint8 *) "m", 1);
  put_extra64 (bytes, member, FALSE);
  return bytes;
}

/* Directory and both end records: 4.3.12, 4.3.14, 4.3.15, 4.3.16. */
static GByteArray *
make_back (const TpdZipMember *member, guint64 directory)
{
  GByteArray *bytes = g_byte_array_new ();
  guint64 size;

  tpd_bytes_put_u32le (bytes, 0x02014b50);
  tpd_bytes_put_u16le (bytes, 45);
  put_common (bytes, member);
  tpd_bytes_put_u16le (bytes, EXTRA64_SIZE);
  tpd_bytes_put_u16le (bytes, 0); /* comment */
  tpd_bytes_put_u16le (bytes, 0); /* disk */
  tpd_bytes_put_u16le (bytes, 0); /* attributes */
  tpd_bytes_put_u32le (bytes, 0);
  tpd_bytes_put_u32le (bytes, 0xffffffff);
  g_byte_array_append (bytes, (const guint8 *) "m", 1);
  put_extra64 (bytes, member, TRUE);
  size = bytes->len;

  tpd_bytes_put_u32le (bytes, 0x06064b50);
  tpd_bytes_put_u64le (bytes, END64_SIZE - 12);
  tpd_bytes_put_u16le (bytes, 45);
  tpd_bytes_put_u16le (bytes, 45);
  tpd_bytes_put_u32le (bytes, 0);
  tpd_bytes_put_u32le (bytes, 0);
  tpd_bytes_put_u64le (bytes, 1);
  tpd_bytes_put_u64le (bytes, 1);
  tpd_bytes_put_u64le (bytes, size);
  tpd_bytes_put_u64le (bytes, directory);

  tpd_bytes_put_u32le (bytes, 0x07064b50);
  tpd_bytes_put_u32le (bytes, 0);
  tpd_bytes_put_u64le (bytes, directory + size);
  tpd_bytes_put_u32le (bytes, 1);

  tpd_bytes_put_u32le (bytes, 0x06054b50);
  tpd_bytes_put_u16le (bytes, 0);
  tpd_bytes_put_u16le (bytes, 0);
  tpd_bytes_put_u16le (bytes, 1);
  tpd_bytes_put_u16le (bytes, 1);
  tpd_bytes_put_u32le (bytes, size);
  tpd_bytes_put_u32le (bytes, 0xffffffff);
  tpd_bytes_put_u16le (bytes, 0);
  return bytes;
}

static guint64
seen_size (const Unpacked *self)
{
  return self->front->len + self->packed + self->back->len;
}

static la_ssize_t
read_seen (struct archive *reader, void *data, const void **buffer)
{
  Unpacked *self = data;
  guint64 front = self->front->len, back = front + self->packed;
  gsize want = tpd_scratch_size (self->scratch) < BLOCK ? FIRST_BLOCK : BLOCK, len;

  *buffer = self->block;
  if (self->at >= seen_size (self))
    return 0;
  if (self->at < front)
    {
      len = (gsize) (front - self->at);
      memcpy (self->block, self->front->data + self->at, len);
    }
  else if (self->at < back)
    {
      gssize n;

      len = (gsize) MIN (back - self->at, (guint64) want);
      n = tpd_source_pread (self->archive, self->block, len, self->data + (self->at - front), &self->failed);
      if (n < 0)
        {
          archive_set_error (reader, EIO, "cannot read");
          return ARCHIVE_FATAL;
        }
      len = (gsize) n;
    }
  else
    {
      len = (gsize) (seen_size (self) - self->at);
      memcpy (self->block, self->back->data + (self->at - back), len);
    }
  self->at += len;
  return (la_ssize_t) len;
}

static la_int64_t
seek_seen (struct archive *reader, void *data, la_int64_t offset, int whence)
{
  Unpacked *self = data;
  guint64 size = seen_size (self), from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? self->at : size;

  if (offset < 0 ? (guint64) -offset > from : (guint64) offset > size || from > size - (guint64) offset)
    return ARCHIVE_FATAL;
  self->at = offset < 0 ? from - (guint64) -offset : from + (guint64) offset;
  return (la_int64_t) self->at;
}

/* --- Unpacking ---------------------------------------------------------- */

static void
set_damaged (Unpacked *self)
{
  if (self->failed == NULL)
    g_set_error_literal (&self->failed, TPD_ERROR, TPD_ERROR_DAMAGED,
                         "the archive is damaged here: the member cannot be unpacked");
}

/* FALSE: `failed` says why. */
static gboolean
begin (Unpacked *self)
{
  struct archive_entry *entry;

  self->block = g_malloc (BLOCK);
  self->scratch = tpd_scratch_new (self->pool);
  self->reader = archive_read_new ();
  if (self->reader == NULL)
    {
      tpd_error_set_errno (&self->failed, ENOMEM, "cannot unpack the member");
      return FALSE;
    }
  if (archive_read_support_format_zip_seekable (self->reader) == ARCHIVE_OK
      && archive_read_set_read_callback (self->reader, read_seen) == ARCHIVE_OK
      && archive_read_set_seek_callback (self->reader, seek_seen) == ARCHIVE_OK
      && archive_read_set_callback_data (self->reader, self) == ARCHIVE_OK
      && archive_read_open1 (self->reader) == ARCHIVE_OK
      && archive_read_next_header (self->reader, &entry) == ARCHIVE_OK)
    return TRUE;
  set_damaged (self);
  return FALSE;
}

static void
end (Unpacked *self)
{
  if (self->reader != NULL)
    archive_read_free (self->reader);
  self->reader = NULL;
  g_clear_pointer (&self->block, g_free);
}

/* One more piece. FALSE: `failed` says why. */
static gboolean
unpack_piece (Unpacked *self)
{
  guint64 have = tpd_scratch_size (self->scratch);
  const void *piece = NULL;
  size_t len = 0;
  la_int64_t off = 0;
  int status = archive_read_data_block (self->reader, &piece, &len, &off);

  /* At the end it compares size and checksum, and warns. */
  if (status != ARCHIVE_OK || off < 0 || (guint64) off != have || len > self->base.size - have)
    {
      set_damaged (self);
      return FALSE;
    }
  return tpd_budget_charge (self->budget, len, &self->failed)
         && tpd_scratch_append (self->scratch, piece, len, &self->failed);
}

/* What comes behind the last byte must be nothing, and the checksum right. */
static gboolean
check_end (Unpacked *self)
{
  const void *piece;
  size_t len = 0;
  la_int64_t off;

  if (archive_read_data_block (self->reader, &piece, &len, &off) == ARCHIVE_EOF && len == 0)
    return TRUE;
  set_damaged (self);
  return FALSE;
}

/* With the lock held. */
static gboolean
unpack_to (Unpacked *self, guint64 wanted, GError **error)
{
  guint empty = 0;

  if (self->scratch == NULL && !begin (self))
    end (self);
  while (self->failed == NULL && tpd_scratch_size (self->scratch) < wanted)
    {
      guint64 before = tpd_scratch_size (self->scratch);

      if (!unpack_piece (self))
        end (self);
      else if (tpd_scratch_size (self->scratch) > before)
        empty = 0;
      /* Compressed bytes that unpack to nothing: there is an end to them. */
      else if (++empty > self->packed / FIRST_BLOCK + 16)
        {
          set_damaged (self);
          end (self);
        }
    }
  if (self->failed == NULL && self->reader != NULL && tpd_scratch_size (self->scratch) == self->base.size)
    {
      (void) check_end (self);
      end (self);
    }
  if (self->failed == NULL)
    return TRUE;
  g_propagate_error (error, g_error_copy (self->failed));
  return FALSE;
}

static gssize
unpacked_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  Unpacked *self = (Unpacked *) source;
  gboolean good;

  if (off >= source->size)
    return 0;
  len = (gsize) MIN ((guint64) MIN (len, (gsize) G_MAXSSIZE), source->size - off);
  g_mutex_lock (&self->lock);
  good = unpack_to (self, off + len, error) && tpd_scratch_pread (self->scratch, buf, len, off, error);
  g_mutex_unlock (&self->lock);
  return good ? (gssize) len : -1;
}

static gboolean
unpacked_stamp (TpdSource *source, TpdStamp *stamp, GError **error)
{
  return tpd_source_stamp (((Unpacked *) source)->archive, stamp, error);
}

static void
unpacked_free (TpdSource *source)
{
  Unpacked *self = (Unpacked *) source;

  end (self);
  tpd_scratch_free (self->scratch);
  g_clear_error (&self->failed);
  tpd_source_unref (self->archive);
  g_byte_array_unref (self->front);
  g_byte_array_unref (self->back);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static const TpdSourceClass unpacked_class = { unpacked_pread, unpacked_stamp, unpacked_free };

TpdSource *
tpd_unpack_new (TpdSource *archive, const TpdZipMember *member, guint64 data, TpdScratchPool *pool, TpdBudget *budget)
{
  Unpacked *self;

  if (member->method == METHOD_STORED && member->packed == member->size)
    return tpd_source_new_range (archive, data, member->size);
  self = g_new0 (Unpacked, 1);
  self->base = (TpdSource){ &unpacked_class, member->size, 1 };
  self->archive = tpd_source_ref (archive);
  self->data = data;
  self->packed = member->packed;
  self->pool = pool;
  self->budget = budget;
  self->front = make_front (member);
  self->back = make_back (member, self->front->len + member->packed);
  g_mutex_init (&self->lock);
  return &self->base;
}
