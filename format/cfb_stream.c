/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streams of a compound file as sources. A large stream keeps the extents
 * of its chain and reads through them, one read of the file for each; a small
 * one, which lies in the mini stream, is read at once.
 */
#include <string.h>

#include "base/error.h"
#include "format/cfb_private.h"

/* Whether the file really has the `size` bytes of a chain: its last sector may be cut. */
static gboolean
check_tail (TpdCfb *cfb, const CfbChain *chain, guint64 size, GError **error)
{
  guint64 last_off = cfb_sector_offset (cfb, cfb->n_sectors - 1);
  guint64 available = cfb->source->size - last_off;

  for (guint i = 0; i < chain->n; i++)
    {
      const CfbExtent *extent = &chain->extents[i];
      guint32 end = i + 1 < chain->n ? extent[1].index : chain->n_sectors;
      guint64 tail = (guint64) (end - 1) << cfb->shift; /* where the extent's last sector is in the stream */

      if (extent->first + (end - extent->index) == cfb->n_sectors && tail < size && size - tail > available
          && available < (1u << cfb->shift))
        {
          cfb_damaged (error, "it ends before one of its streams does");
          return FALSE;
        }
    }
  return TRUE;
}

/* --- Streams ------------------------------------------------------------ */

typedef struct {
  TpdSource source;
  TpdSource *parent;
  guint shift;
  CfbChain chain;
} CfbStream;

static gssize
cfb_stream_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  CfbStream *self = (CfbStream *) source;
  const CfbChain *chain = &self->chain;
  guint8 *out = buf;
  gsize done = 0;
  guint low = 0, high = chain->n;

  if (off >= source->size)
    return 0;
  len = (gsize) MIN ((guint64) MIN (len, G_MAXSSIZE), source->size - off);

  while (high - low > 1)
    {
      guint middle = low + (high - low) / 2;
      if ((guint64) chain->extents[middle].index << self->shift <= off)
        low = middle;
      else
        high = middle;
    }
  for (; done < len; low++)
    {
      const CfbExtent *extent = &chain->extents[low];
      guint64 start = (guint64) extent->index << self->shift;
      guint64 end = (guint64) (low + 1 < chain->n ? extent[1].index : chain->n_sectors) << self->shift;
      guint64 pos = off + done;
      gsize piece = (gsize) MIN ((guint64) (len - done), end - pos);

      if (!tpd_source_read_exact (self->parent, out + done, piece,
                                  (((guint64) extent->first + 1) << self->shift) + (pos - start), error))
        return -1;
      done += piece;
    }
  return (gssize) done;
}

static gboolean
cfb_stream_stamp (TpdSource *source, TpdStamp *stamp, GError **error)
{
  return tpd_source_stamp (((CfbStream *) source)->parent, stamp, error);
}

static void
cfb_stream_free (TpdSource *source)
{
  CfbStream *self = (CfbStream *) source;
  tpd_source_unref (self->parent);
  g_free (self->chain.extents);
  g_free (self);
}

static const TpdSourceClass cfb_stream_class = { cfb_stream_pread, cfb_stream_stamp, cfb_stream_free };

static gboolean
load_mini (TpdCfb *cfb, GError **error)
{
  guint64 sectors = cfb_sectors_of (cfb, cfb->root->size);

  if (cfb->mini_loaded)
    return TRUE;
  if (sectors > cfb->n_sectors || cfb->n_minifat > cfb->n_sectors)
    {
      cfb_damaged (error, "its mini stream is larger than the file");
      return FALSE;
    }
  g_clear_pointer (&cfb->minifat.extents, g_free);
  g_clear_pointer (&cfb->ministream.extents, g_free);
  if (!cfb_chain_load (cfb, cfb->first_minifat, cfb->n_minifat, (guint64) cfb->n_minifat + CFB_CHAIN_SLACK,
                       CFB_OWNER_MINIFAT, &cfb->minifat, error)
      || !cfb_chain_load (cfb, cfb->root->start, sectors, sectors + CFB_CHAIN_SLACK, cfb->root->id, &cfb->ministream,
                          error))
    return FALSE;
  cfb->mini_loaded = TRUE;
  return TRUE;
}

/* The bytes of mini sector `mini`. */
static const guint8 *
peek_mini (TpdCfb *cfb, guint32 mini, gsize len, GError **error)
{
  guint64 off = (guint64) mini << CFB_MINI_SHIFT;
  guint32 sector;

  if (off >= cfb->root->size || (off >> cfb->shift) >= cfb->ministream.n_sectors)
    {
      cfb_damaged (error, "a small stream leads out of the mini stream");
      return NULL;
    }
  sector = cfb_chain_sector (&cfb->ministream, (guint32) (off >> cfb->shift));
  return cfb_peek (cfb, cfb_sector_offset (cfb, sector) + (off & ((1u << cfb->shift) - 1)), len, error);
}

static gboolean
next_mini (TpdCfb *cfb, guint32 mini, guint32 *next, GError **error)
{
  guint32 entry_shift = cfb->shift - 2;
  guint32 index = mini >> entry_shift;

  if (index >= cfb->minifat.n_sectors)
    {
      cfb_damaged (error, "a small stream leads out of its allocation table");
      return FALSE;
    }
  return cfb_peek_u32 (
      cfb, cfb_sector_offset (cfb, cfb_chain_sector (&cfb->minifat, index)) + (mini & ((1u << entry_shift) - 1)) * 4,
      next, error);
}

/* A stream below the cutoff is at most 64 mini sectors: read at once. */
static TpdSource *
small_stream_new (TpdCfb *cfb, const TpdCfbEntry *stream, GError **error)
{
  gsize size = (gsize) stream->size, done = 0;
  guint32 mini = stream->start, last = mini;
  g_autofree guint8 *data = g_malloc (size);
  g_autoptr (GBytes) bytes = NULL;

  if (!load_mini (cfb, error))
    return NULL;
  for (guint i = 0; mini != CFB_END; i++)
    {
      gsize piece = MIN (size - done, (gsize) 1 << CFB_MINI_SHIFT);
      const guint8 *from;

      if (i >= 2 * (CFB_MINI_CUTOFF >> CFB_MINI_SHIFT))
        {
          cfb_damaged (error, "the chain of a small stream does not end");
          return NULL;
        }
      if (piece > 0)
        {
          if ((from = peek_mini (cfb, mini, piece, error)) == NULL)
            return NULL;
          memcpy (data + done, from, piece);
          done += piece;
        }
      last = mini;
      if (!next_mini (cfb, mini, &mini, error))
        return NULL;
    }
  if (done < size)
    {
      cfb_damaged (error, "the chain of a small stream ends before the stream does");
      return NULL;
    }
  if (!cfb_claim_end (cfb->mini_ends, last, stream->id, error))
    return NULL;
  bytes = g_bytes_new_take (g_steal_pointer (&data), size);
  return tpd_source_new_bytes (bytes);
}

static gboolean
check_stream (TpdCfb *cfb, const TpdCfbEntry *stream, GError **error)
{
  g_return_val_if_fail (stream->type == TPD_CFB_STREAM, FALSE);
  if (cfb_sectors_of (cfb, stream->size) > cfb->n_sectors)
    {
      cfb_damaged (error, "a stream is larger than the file");
      return FALSE;
    }
  return TRUE;
}

TpdSource *
tpd_cfb_stream_new (TpdCfb *cfb, const TpdCfbEntry *stream, GError **error)
{
  CfbChain chain = { 0 };
  guint64 sectors = cfb_sectors_of (cfb, stream->size);
  CfbStream *self;

  if (!check_stream (cfb, stream, error))
    return NULL;
  if (stream->size == 0)
    {
      g_autoptr (GBytes) empty = g_bytes_new (NULL, 0);
      return tpd_source_new_bytes (empty);
    }
  if (stream->size < CFB_MINI_CUTOFF)
    return small_stream_new (cfb, stream, error);

  if (!cfb_chain_load (cfb, stream->start, sectors, sectors + CFB_CHAIN_SLACK, stream->id, &chain, error))
    return NULL;
  if (!check_tail (cfb, &chain, stream->size, error))
    {
      g_free (chain.extents);
      return NULL;
    }
  self = g_new0 (CfbStream, 1);
  self->source = (TpdSource){ &cfb_stream_class, stream->size, 1 };
  self->parent = tpd_source_ref (cfb->source);
  self->shift = cfb->shift;
  self->chain = chain;
  return &self->source;
}

GBytes *
tpd_cfb_stream_read (TpdCfb *cfb, const TpdCfbEntry *stream, gsize max, GError **error)
{
  g_autoptr (TpdSource) source = NULL;

  if (stream->size > max)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                   "A stream of the compound file has %" G_GUINT64_FORMAT " bytes where at most %" G_GSIZE_FORMAT
                   " make sense.",
                   stream->size, max);
      return NULL;
    }
  source = tpd_cfb_stream_new (cfb, stream, error);
  if (source == NULL)
    return NULL;
  return tpd_source_read_bytes (source, 0, (gsize) stream->size, error);
}

gboolean
tpd_cfb_stream_peek (TpdCfb *cfb, const TpdCfbEntry *stream, void *buf, gsize len, GError **error)
{
  const guint8 *data;

  g_return_val_if_fail (len <= 64 && len <= stream->size, FALSE);
  if (!check_stream (cfb, stream, error))
    return FALSE;
  if (stream->size < CFB_MINI_CUTOFF)
    {
      if (!load_mini (cfb, error))
        return FALSE;
      data = peek_mini (cfb, stream->start, len, error);
    }
  else
    {
      if (!cfb_check_sector (cfb, stream->start, "a stream", error))
        return FALSE;
      data = cfb_peek (cfb, cfb_sector_offset (cfb, stream->start), len, error);
    }
  if (data == NULL)
    return FALSE;
  memcpy (buf, data, len);
  return TRUE;
}
