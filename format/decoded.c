/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoded plaintext in sealed anonymous memory: see format/decoded.h.
 *
 * A sink is written through its descriptor; once sealed, the memory is mapped
 * read-only and reads are copies from the mapping: no system call, no lock.
 * What is no secret begins in ordinary memory, and goes over when it grows.
 */
#include "format/decoded.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "base/log.h"

/* Up to this size making, sealing, mapping and locking costs more than decoding. */
#define SMALL_MAX (256 * 1024)
/* What tpd_sink_room() gives at once when it must be copied. */
#define PIECE (64 * 1024)

struct _TpdSink {
  int fd;           /* -1: all is in `small` */
  guint8 *small;    /* may be NULL */
  gsize small_room; /* bytes of it */
  guint8 *piece;    /* what tpd_sink_room() gives that is not in `small`; may be NULL */
  gboolean copied;  /* it gave that */
  guint64 size;
  TpdBudget *budget;
};

/* Sealed memory, shared by the source and the document made of it. */
typedef struct {
  int fd;
  guint8 *map; /* NULL when empty */
  gsize size;
} Sealed;

typedef struct {
  TpdSource base;
  Sealed sealed;
} MemorySource;

typedef struct {
  TpdDocument base;
  Sealed sealed;
} DecodedDocument;

void
tpd_budget_init_decode (TpdBudget *budget, guint64 source_size)
{
  const guint64 extra = 64 * 1024 * 1024;

  memset (budget, 0, sizeof *budget);
  budget->max_bytes = source_size > (G_MAXUINT64 - extra) / 64 ? G_MAXUINT64 : source_size * 64 + extra;
}

gboolean
tpd_budget_charge (TpdBudget *budget, guint64 bytes, GError **error)
{
  guint64 before;

  if (budget == NULL)
    return TRUE;
  if (g_atomic_int_get (&budget->cancelled))
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_CANCELLED, "decoding was cancelled");
      return FALSE;
    }
  before = __atomic_fetch_add (&budget->used_bytes, bytes, __ATOMIC_RELAXED);
  if (budget->max_bytes != 0 && (before > budget->max_bytes || bytes > budget->max_bytes - before))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                   "decoding would need more than %" G_GUINT64_FORMAT " MiB, the limit for a file of this size",
                   budget->max_bytes >> 20);
      return FALSE;
    }
  return TRUE;
}

static gboolean
make_memory (TpdSink *sink, GError **error)
{
  sink->fd = memfd_create ("tpdfs-plaintext", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (sink->fd < 0)
    tpd_error_set_errno (error, errno, "cannot get memory to decode into");
  return sink->fd >= 0;
}

TpdSink *
tpd_sink_new (TpdBudget *budget, GError **error)
{
  g_autoptr (TpdSink) sink = g_new0 (TpdSink, 1);

  sink->budget = budget;
  return make_memory (sink, error) ? g_steal_pointer (&sink) : NULL;
}

TpdSink *
tpd_sink_new_public (TpdBudget *budget)
{
  TpdSink *sink = g_new0 (TpdSink, 1);

  sink->fd = -1;
  sink->budget = budget;
  return sink;
}

void
tpd_sink_free (TpdSink *sink)
{
  if (sink->fd >= 0)
    close (sink->fd);
  g_free (sink->small);
  g_free (sink->piece);
  g_free (sink);
}

static gboolean
write_at (TpdSink *sink, const void *data, gsize len, guint64 off, GError **error)
{
  if (sink->fd < 0)
    {
      if (len > 0)
        memcpy (sink->small + off, data, len);
      return TRUE;
    }
  if (tpd_pwrite_all (sink->fd, data, len, off))
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot keep decoded data in memory");
  return FALSE;
}

/* What is in ordinary memory goes over. */
static gboolean
leave_small (TpdSink *sink, GError **error)
{
  if (sink->fd >= 0)
    return TRUE;
  if (!make_memory (sink, error) || !write_at (sink, sink->small, (gsize) sink->size, 0, error))
    return FALSE;
  g_clear_pointer (&sink->small, g_free);
  return TRUE;
}

/* Makes room in ordinary memory for `len` bytes more, if they may lie there. */
static gboolean
grow_small (TpdSink *sink, gsize len)
{
  gsize size = (gsize) sink->size;

  if (sink->fd >= 0 || len > SMALL_MAX - size)
    return FALSE;
  if (len > sink->small_room - size)
    {
      sink->small_room = MIN (MAX (size + len, 2 * sink->small_room), (gsize) SMALL_MAX);
      sink->small = g_realloc (sink->small, sink->small_room);
    }
  return TRUE;
}

gboolean
tpd_sink_append (TpdSink *sink, const void *data, gsize len, GError **error)
{
  if (!tpd_budget_charge (sink->budget, len, error))
    return FALSE;
  if (len == 0)
    return TRUE;
  if (grow_small (sink, len))
    memcpy (sink->small + sink->size, data, len);
  else if (!leave_small (sink, error) || !write_at (sink, data, len, sink->size, error))
    return FALSE;
  sink->size += len;
  return TRUE;
}

guint8 *
tpd_sink_room (TpdSink *sink, gsize wanted, gsize *len)
{
  sink->copied = !grow_small (sink, wanted);
  if (!sink->copied)
    {
      *len = wanted;
      return sink->small + sink->size;
    }
  if (sink->piece == NULL)
    sink->piece = g_malloc (PIECE);
  *len = MIN (wanted, (gsize) PIECE);
  return sink->piece;
}

gboolean
tpd_sink_fill (TpdSink *sink, gsize len, GError **error)
{
  if (sink->copied)
    return tpd_sink_append (sink, sink->piece, len, error);
  g_return_val_if_fail (len <= sink->small_room - sink->size, FALSE);
  if (!tpd_budget_charge (sink->budget, len, error))
    return FALSE;
  sink->size += len;
  return TRUE;
}

gboolean
tpd_sink_pwrite (TpdSink *sink, const void *data, gsize len, guint64 off, GError **error)
{
  g_return_val_if_fail (off <= sink->size && len <= sink->size - off, FALSE);
  return write_at (sink, data, len, off, error);
}

gboolean
tpd_sink_pread (TpdSink *sink, void *buf, gsize len, guint64 off, GError **error)
{
  g_return_val_if_fail (off <= sink->size && len <= sink->size - off, FALSE);
  if (sink->fd < 0)
    {
      if (len > 0)
        memcpy (buf, sink->small + off, len);
      return TRUE;
    }
  if (tpd_pread_all (sink->fd, buf, len, off))
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot read decoded data back");
  return FALSE;
}

gboolean
tpd_sink_append_source (TpdSink *sink, TpdSource *source, GError **error)
{
  const gsize step = 256 * 1024;
  g_autofree guint8 *buf = g_malloc (step);
  guint64 off = 0;

  while (off < source->size)
    {
      gsize want = (gsize) MIN (step, source->size - off);
      if (!tpd_source_read_exact (source, buf, want, off, error) || !tpd_sink_append (sink, buf, want, error))
        return FALSE;
      off += want;
    }
  return TRUE;
}

guint64
tpd_sink_size (const TpdSink *sink)
{
  return sink->size;
}

static void
warn_unlocked (void)
{
  static int warned;

  if (g_atomic_int_compare_and_exchange (&warned, 0, 1))
    tpd_warning ("decoded documents cannot all be locked in memory and may reach swap; "
                 "raise the memlock limit (LimitMEMLOCK=) or encrypt swap");
}

/* Takes the descriptor out of `sink` and frees it. */
static gboolean
seal (TpdSink *sink, Sealed *sealed, GError **error)
{
  g_autoptr (TpdSink) owned = sink;

  if (!leave_small (owned, error))
    return FALSE;
  if (fcntl (owned->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
    {
      tpd_error_set_errno (error, errno, "cannot seal decoded data");
      return FALSE;
    }
  sealed->size = (gsize) owned->size;
  sealed->map = NULL;
  if (sealed->size > 0)
    {
      void *map = mmap (NULL, sealed->size, PROT_READ, MAP_SHARED, owned->fd, 0);
      if (map == MAP_FAILED)
        {
          tpd_error_set_errno (error, errno, "cannot map decoded data");
          return FALSE;
        }
      sealed->map = map;
      madvise (map, sealed->size, MADV_DONTDUMP);
      if (mlock (map, sealed->size) < 0)
        warn_unlocked ();
    }
  sealed->fd = owned->fd;
  owned->fd = -1;
  return TRUE;
}

static void
sealed_clear (Sealed *sealed)
{
  if (sealed->map != NULL)
    munmap (sealed->map, sealed->size);
  close (sealed->fd);
}

static gssize
sealed_read (const Sealed *sealed, void *buf, gsize len, guint64 off)
{
  gsize n;

  if (off >= sealed->size)
    return 0;
  n = (gsize) MIN ((guint64) len, sealed->size - off);
  memcpy (buf, sealed->map + off, n);
  return (gssize) n;
}

static gssize
memory_source_pread (TpdSource *self, void *buf, gsize len, guint64 off, GError **error)
{
  return sealed_read (&((MemorySource *) self)->sealed, buf, len, off);
}

static void
memory_source_free (TpdSource *self)
{
  sealed_clear (&((MemorySource *) self)->sealed);
  g_free (self);
}

static const guint8 *
memory_source_memory (TpdSource *self)
{
  return ((MemorySource *) self)->sealed.map;
}

TpdSource *
tpd_sink_to_source (TpdSink *sink, GError **error)
{
  static const TpdSourceClass klass = { memory_source_pread, NULL, memory_source_free, memory_source_memory };
  MemorySource *self;

  if (sink->fd < 0)
    {
      g_autoptr (GBytes) bytes = g_bytes_new_take (g_steal_pointer (&sink->small), (gsize) sink->size);

      tpd_sink_free (sink);
      return tpd_source_new_bytes (bytes);
    }
  self = g_new0 (MemorySource, 1);
  if (!seal (sink, &self->sealed, error))
    {
      g_free (self);
      return NULL;
    }
  self->base.klass = &klass;
  self->base.size = self->sealed.size;
  self->base.ref_count = 1;
  return &self->base;
}

static gssize
decoded_pread (TpdDocument *self, void *buf, gsize len, guint64 off, GError **error)
{
  return sealed_read (&((DecodedDocument *) self)->sealed, buf, len, off);
}

static void
decoded_free (TpdDocument *self)
{
  sealed_clear (&((DecodedDocument *) self)->sealed);
  g_free (self);
}

static const TpdDocumentClass decoded_class = { decoded_pread, decoded_free };

TpdDocument *
tpd_sink_to_document (TpdSink *sink, TpdKind kind, GError **error)
{
  DecodedDocument *self = g_new0 (DecodedDocument, 1);

  if (!seal (sink, &self->sealed, error))
    {
      g_free (self);
      return NULL;
    }
  self->base.klass = &decoded_class;
  self->base.kind = kind;
  self->base.plain_size = self->sealed.size;
  self->base.memory_size = self->sealed.size;
  self->base.ref_count = 1;
  return &self->base;
}

int
tpd_document_memory_fd (TpdDocument *document)
{
  return document->klass == &decoded_class ? ((DecodedDocument *) document)->sealed.fd : -1;
}
