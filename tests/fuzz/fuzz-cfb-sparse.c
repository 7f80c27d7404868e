/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large compound files: lists of allocation sectors, offsets above 2 GiB. The
 * input says how large the file is and what is not zero in it:
 *
 *   size u64, then pieces: offset u64, length u16, bytes
 */
#include <string.h>

#include "base/bytes.h"
#include "format/dataspaces.h"
#include "fuzz.h"

#define MAX_PIECES 64
#define MAX_STREAMS 16
#define MAX_STORAGES 64

typedef struct {
  guint64 off;
  const guint8 *data;
  gsize len;
} Piece;

typedef struct {
  TpdSource base;
  Piece pieces[MAX_PIECES];
  gsize n;
} SparseSource;

static gssize
sparse_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  SparseSource *self = (SparseSource *) source;

  if (off >= source->size)
    return 0;
  len = (gsize) MIN (len, source->size - off);
  memset (buf, 0, len);
  for (gsize i = 0; i < self->n; i++)
    {
      const Piece *piece = &self->pieces[i];
      const guint64 start = MAX (piece->off, off), end = MIN (piece->off + piece->len, off + len);

      if (start < end)
        memcpy ((guint8 *) buf + (start - off), piece->data + (start - piece->off), (gsize) (end - start));
    }
  return (gssize) len;
}

static void
sparse_free (TpdSource *source)
{
  g_free (source);
}

static TpdSource *
sparse_source (const uint8_t *data, size_t size)
{
  static const TpdSourceClass klass = { sparse_pread, NULL, sparse_free };
  SparseSource *self = g_new0 (SparseSource, 1);
  TpdBytes input = tpd_bytes (data, size);
  guint16 len;

  self->base.klass = &klass;
  self->base.ref_count = 1;
  if (!tpd_bytes_take_u64le (&input, &self->base.size))
    return &self->base;
  /* 16 TiB, as large as files get. */
  self->base.size %= (guint64) 1 << 44;
  while (self->n < MAX_PIECES)
    {
      Piece *piece = &self->pieces[self->n];

      if (!tpd_bytes_take_u64le (&input, &piece->off) || !tpd_bytes_take_u16le (&input, &len)
          || !tpd_bytes_take (&input, MIN (len, tpd_bytes_left (&input)), &piece->data))
        break;
      piece->off %= (guint64) 1 << 44;
      piece->len = (gsize) (input.data + input.pos - piece->data);
      self->n++;
    }
  return &self->base;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = sparse_source (data, size);
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, NULL);
  g_auto (TpdDataSpaces) spaces = { 0 };
  g_autoptr (GPtrArray) storages = g_ptr_array_new ();
  guint n_streams = 0;

  if (cfb == NULL)
    return 0;
  g_ptr_array_add (storages, (gpointer) tpd_cfb_root (cfb));
  for (guint i = 0; i < storages->len && i < MAX_STORAGES; i++)
    {
      const GPtrArray *children = tpd_cfb_children (cfb, g_ptr_array_index (storages, i), NULL);

      for (guint j = 0; children != NULL && j < children->len; j++)
        {
          const TpdCfbEntry *entry = g_ptr_array_index (children, j);
          g_autoptr (TpdSource) stream = NULL;

          if (entry->type == TPD_CFB_STORAGE)
            g_ptr_array_add (storages, (gpointer) entry);
          else if (n_streams++ < MAX_STREAMS)
            stream = tpd_cfb_stream_new (cfb, entry, NULL);
          if (stream != NULL)
            fuzz_check_source (stream);
        }
    }
  (void) tpd_dataspaces_read (cfb, &spaces, NULL);
  return 0;
}
