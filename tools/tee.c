/* SPDX-License-Identifier: Apache-2.0 */
/* A source that is hashed while it is read: see tee.h. */
#include "tools/tee.h"

#include <string.h>

#include "base/error.h"

/* Containers have small pieces between those that are read: these are read,
 * too, for they are in the cache or close by. */
#define MAX_GAP (256 * 1024)

typedef struct {
  TpdSource base;
  TpdSource *source;
  TpdDigest *sum;
  guint64 done; /* bytes hashed */
  guint8 *small;
  gboolean is_small;  /* it fits into `small` */
  gboolean is_loaded; /* and is there */
  gsize begun;        /* or so much of its beginning, before there is more */
} Tee;

/* All of a small file; FALSE: it is read bit by bit, and whatever is wrong with
 * that is told then. */
static gboolean
load (Tee *self)
{
  const gsize left = (gsize) self->base.size - self->begun;

  self->is_loaded =
      tpd_source_pread (self->source, self->small + self->begun, left, self->begun, NULL) == (gssize) left;
  self->is_small = self->is_loaded;
  return self->is_loaded;
}

static gboolean
hash_gap (Tee *self, guint64 end, GError **error)
{
  guint8 buffer[16 * 1024];

  while (self->done < end)
    {
      gsize len = (gsize) MIN (end - self->done, sizeof buffer);
      gssize n = tpd_source_pread (self->source, buffer, len, self->done, error);

      if (n <= 0)
        return n == 0;
      tpd_digest_update (self->sum, buffer, (gsize) n);
      self->done += (guint64) n;
    }
  return TRUE;
}

static gssize
tee_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  Tee *self = (Tee *) source;
  gssize n;

  /* The first look is at the beginning, and often the last. */
  if (self->is_loaded || (self->is_small && (off > 0 || self->begun > 0) && load (self)))
    {
      n = off < self->base.size ? (gssize) MIN (len, self->base.size - off) : 0;
      if (n > 0)
        memcpy (buf, self->small + off, (gsize) n);
      return n;
    }
  n = tpd_source_pread (self->source, buf, len, off, error);
  if (n <= 0)
    return n;
  if (self->is_small && (guint64) n <= self->base.size)
    {
      memcpy (self->small, buf, (gsize) n);
      self->begun = (gsize) n;
    }
  if (self->sum != NULL && off > self->done && off - self->done <= MAX_GAP && !hash_gap (self, off, error))
    return -1;
  if (self->sum != NULL && off <= self->done && off + (guint64) n > self->done)
    {
      gsize skip = (gsize) (self->done - off);

      tpd_digest_update (self->sum, (const guint8 *) buf + skip, (gsize) n - skip);
      self->done = off + (guint64) n;
    }
  return n;
}

static gboolean
tee_stamp (TpdSource *source, TpdStamp *stamp, GError **error)
{
  return tpd_source_stamp (((Tee *) source)->source, stamp, error);
}

static void
tee_free (TpdSource *source)
{
  Tee *self = (Tee *) source;

  tpd_source_unref (self->source);
  if (self->sum != NULL)
    {
      guint8 unused[TPD_SHA256_SIZE];

      tpd_digest_finish (self->sum, unused);
    }
  g_free (self);
}

static const TpdSourceClass tee_class = { tee_pread, tee_stamp, tee_free };

TpdSource *
tpd_tee_new (TpdSource *source, guint8 *small)
{
  Tee *self = g_new0 (Tee, 1);

  self->base.klass = &tee_class;
  self->base.size = source->size;
  self->base.ref_count = 1;
  self->source = tpd_source_ref (source);
  self->sum = tpd_digest_new (TPD_SHA256_SIZE);
  self->small = small;
  self->is_small = small != NULL && source->size > 0 && source->size <= TPD_TEE_SMALL;
  return &self->base;
}

gboolean
tpd_tee_finish (TpdSource *tee, void *block, gsize len, guint8 out[TPD_SHA256_SIZE], GError **error)
{
  Tee *self = (Tee *) tee;

  if (self->is_loaded)
    {
      tpd_digest_update (self->sum, self->small + self->done, (gsize) (self->base.size - self->done));
      self->done = self->base.size;
    }
  while (self->done < self->base.size)
    {
      gssize n = tpd_source_pread (self->source, block, len, self->done, error);

      if (n < 0)
        return FALSE;
      if (n == 0)
        {
          g_set_error_literal (error, TPD_ERROR, TPD_ERROR_STALE, "the file became shorter while it was read");
          return FALSE;
        }
      tpd_digest_update (self->sum, block, (gsize) n);
      self->done += (guint64) n;
    }
  tpd_digest_finish (g_steal_pointer (&self->sum), out);
  return TRUE;
}
