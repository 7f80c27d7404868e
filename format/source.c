/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources: a file descriptor, memory, a part of another source, a document,
 * and any of them seen through a budget. All are immutable after they are
 * made, so that any number of threads may read without a lock; the file
 * behind a descriptor can change, which its stamp shows.
 */
#include "format/source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "format/document.h"

static void
source_init (TpdSource *source, const TpdSourceClass *klass, guint64 size)
{
  source->klass = klass;
  source->size = size;
  source->ref_count = 1;
}

/* How much of a read of `len` at `off` lies inside `size` bytes. */
static gsize
clamp_len (guint64 size, guint64 off, gsize len)
{
  if (off >= size)
    return 0;
  return (gsize) MIN ((guint64) MIN (len, (gsize) G_MAXSSIZE), size - off);
}

/* --- Stamps ----------------------------------------------------------- */

/* Wraps instead of overflowing: a file system may hold any number here. */
static gint64
nanoseconds (const struct timespec *time)
{
  return (gint64) ((guint64) time->tv_sec * G_GUINT64_CONSTANT (1000000000) + (guint64) time->tv_nsec);
}

void
tpd_stamp_from_stat (TpdStamp *stamp, const struct stat *st)
{
  *stamp = (TpdStamp){
    .dev = st->st_dev,
    .ino = st->st_ino,
    .size = (guint64) st->st_size,
    .mtime_ns = nanoseconds (&st->st_mtim),
    .ctime_ns = nanoseconds (&st->st_ctim),
    .mode = st->st_mode,
    .uid = st->st_uid,
    .gid = st->st_gid,
  };
}

gboolean
tpd_stamp_same_content (const TpdStamp *a, const TpdStamp *b)
{
  return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime_ns == b->mtime_ns
         && a->ctime_ns == b->ctime_ns;
}

gboolean
tpd_stamp_equal (const TpdStamp *a, const TpdStamp *b)
{
  return tpd_stamp_same_content (a, b) && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid;
}

/* --- File descriptor -------------------------------------------------- */

typedef struct {
  TpdSource base;
  int fd;
} FdSource;

static gssize
fd_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  FdSource *self = (FdSource *) source;
  gssize n;

  len = clamp_len (G_MAXINT64, off, len);
  n = tpd_pread_upto (self->fd, buf, len, off, source->size);
  if (n < 0)
    tpd_error_set_errno (error, errno, "Cannot read the file");
  return n;
}

static gboolean
fd_stamp (TpdSource *source, TpdStamp *stamp, GError **error)
{
  FdSource *self = (FdSource *) source;
  struct stat st;

  if (fstat (self->fd, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "Cannot look at the file");
      return FALSE;
    }
  tpd_stamp_from_stat (stamp, &st);
  return TRUE;
}

static void
fd_free (TpdSource *source)
{
  FdSource *self = (FdSource *) source;

  close (self->fd);
  g_free (self);
}

static const TpdSourceClass fd_class = { fd_pread, fd_stamp, fd_free };

TpdSource *
tpd_source_new_file (int fd, const struct stat *st)
{
  FdSource *self = g_new (FdSource, 1);

  source_init (&self->base, &fd_class, (guint64) st->st_size);
  self->fd = fd;
  return &self->base;
}

TpdSource *
tpd_source_new_fd (int fd, GError **error)
{
  struct stat st;

  if (fstat (fd, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "Cannot look at the file");
      close (fd);
      return NULL;
    }
  if (!S_ISREG (st.st_mode))
    {
      tpd_error_set_errno (error, S_ISDIR (st.st_mode) ? EISDIR : EINVAL, "Not a regular file");
      close (fd);
      return NULL;
    }
  return tpd_source_new_file (fd, &st);
}

/* --- Memory ----------------------------------------------------------- */

typedef struct {
  TpdSource base;
  GBytes *bytes;
} BytesSource;

static gssize
bytes_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  BytesSource *self = (BytesSource *) source;
  const guint8 *data = g_bytes_get_data (self->bytes, NULL);

  len = clamp_len (source->size, off, len);
  if (len > 0)
    memcpy (buf, data + off, len);
  return (gssize) len;
}

static void
bytes_free (TpdSource *source)
{
  BytesSource *self = (BytesSource *) source;

  g_bytes_unref (self->bytes);
  g_free (self);
}

static const guint8 *
bytes_memory (TpdSource *source)
{
  return g_bytes_get_data (((BytesSource *) source)->bytes, NULL);
}

static const TpdSourceClass bytes_class = { bytes_pread, NULL, bytes_free, bytes_memory };

TpdSource *
tpd_source_new_bytes (GBytes *bytes)
{
  BytesSource *self = g_new (BytesSource, 1);

  source_init (&self->base, &bytes_class, g_bytes_get_size (bytes));
  self->bytes = g_bytes_ref (bytes);
  return &self->base;
}

/* --- Part of another source ------------------------------------------- */

typedef struct {
  TpdSource base;
  TpdSource *parent;
  guint64 start;
} RangeSource;

static gssize
range_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  RangeSource *self = (RangeSource *) source;

  len = clamp_len (source->size, off, len);
  if (len == 0)
    return 0;
  return tpd_source_pread (self->parent, buf, len, self->start + off, error);
}

static gboolean
range_stamp (TpdSource *source, TpdStamp *stamp, GError **error)
{
  return tpd_source_stamp (((RangeSource *) source)->parent, stamp, error);
}

static void
range_free (TpdSource *source)
{
  RangeSource *self = (RangeSource *) source;

  tpd_source_unref (self->parent);
  g_free (self);
}

static const guint8 *
range_memory (TpdSource *source)
{
  const RangeSource *self = (const RangeSource *) source;
  const guint8 *all = source->size > 0 ? tpd_source_memory (self->parent) : NULL;

  return all != NULL ? all + self->start : NULL;
}

static const TpdSourceClass range_class = { range_pread, range_stamp, range_free, range_memory };

TpdSource *
tpd_source_new_range (TpdSource *parent, guint64 off, guint64 len)
{
  RangeSource *self;

  g_return_val_if_fail (off <= parent->size && len <= parent->size - off, NULL);

  self = g_new (RangeSource, 1);
  source_init (&self->base, &range_class, len);
  self->parent = tpd_source_ref (parent);
  self->start = off;
  return &self->base;
}

/* --- Document --------------------------------------------------------- */

typedef struct {
  TpdSource base;
  TpdDocument *document;
} DocumentSource;

static gssize
document_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  return tpd_document_pread (((DocumentSource *) source)->document, buf, len, off, error);
}

static void
document_free (TpdSource *source)
{
  DocumentSource *self = (DocumentSource *) source;

  tpd_document_unref (self->document);
  g_free (self);
}

static const TpdSourceClass document_class = { document_pread, NULL, document_free };

TpdSource *
tpd_source_new_document (TpdDocument *document)
{
  DocumentSource *self = g_new (DocumentSource, 1);

  source_init (&self->base, &document_class, document->plain_size);
  self->document = tpd_document_ref (document);
  return &self->base;
}

/* --- Budget ----------------------------------------------------------- */

typedef struct {
  TpdSource base;
  TpdSource *parent;
  TpdBudget *budget;
} BudgetedSource;

static gssize
budgeted_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  BudgetedSource *self = (BudgetedSource *) source;
  TpdBudget *budget = self->budget;
  guint used;

  if (g_atomic_int_get (&budget->cancelled) != 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_CANCELLED, "The work was cancelled.");
      return -1;
    }
  used = (guint) g_atomic_int_add (&budget->used_reads, 1);
  if (budget->max_reads > 0 && used >= budget->max_reads)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "The structure of the file takes more than %u reads to follow, which no sound file does.",
                   budget->max_reads);
      return -1;
    }
  return tpd_source_pread (self->parent, buf, len, off, error);
}

static gboolean
budgeted_stamp (TpdSource *source, TpdStamp *stamp, GError **error)
{
  return tpd_source_stamp (((BudgetedSource *) source)->parent, stamp, error);
}

static void
budgeted_free (TpdSource *source)
{
  BudgetedSource *self = (BudgetedSource *) source;

  tpd_source_unref (self->parent);
  g_free (self);
}

static const TpdSourceClass budgeted_class = { budgeted_pread, budgeted_stamp, budgeted_free };

void
tpd_budget_init_probe (TpdBudget *budget)
{
  *budget = (TpdBudget){ .max_bytes = TPD_PROBE_MAX_BYTES, .max_reads = TPD_PROBE_MAX_READS };
}

TpdSource *
tpd_source_new_budgeted (TpdSource *source, TpdBudget *budget)
{
  BudgetedSource *self;

  if (budget == NULL)
    return tpd_source_ref (source);
  self = g_new (BudgetedSource, 1);
  source_init (&self->base, &budgeted_class, source->size);
  self->parent = tpd_source_ref (source);
  self->budget = budget;
  return &self->base;
}

/* --- Any source ------------------------------------------------------- */

TpdSource *
tpd_source_ref (TpdSource *source)
{
  g_atomic_int_inc (&source->ref_count);
  return source;
}

void
tpd_source_unref (TpdSource *source)
{
  if (source != NULL && g_atomic_int_dec_and_test (&source->ref_count))
    source->klass->free (source);
}

gboolean
tpd_source_read_exact (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  gssize n = tpd_source_pread (source, buf, len, off, error);

  if (n < 0)
    return FALSE;
  if ((gsize) n < len)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "The file ends at byte %" G_GUINT64_FORMAT ", before the end of something that is said to start at"
                   " byte %" G_GUINT64_FORMAT " and to be %" G_GSIZE_FORMAT " bytes long.",
                   off + (guint64) n, off, len);
      return FALSE;
    }
  return TRUE;
}

GBytes *
tpd_source_read_bytes (TpdSource *source, guint64 off, gsize len, GError **error)
{
  g_autofree guint8 *data = NULL;

  /* Before anything is allocated. */
  if (off > source->size || len > source->size - off)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "The file is %" G_GUINT64_FORMAT " bytes long; %" G_GSIZE_FORMAT " bytes at byte %" G_GUINT64_FORMAT
                   " are not in it.",
                   source->size, len, off);
      return NULL;
    }
  data = g_malloc (len);
  if (!tpd_source_read_exact (source, data, len, off, error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&data), len);
}

gboolean
tpd_source_stamp (TpdSource *source, TpdStamp *stamp, GError **error)
{
  if (source->klass->stamp != NULL)
    return source->klass->stamp (source, stamp, error);
  memset (stamp, 0, sizeof *stamp);
  return TRUE;
}
