/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compound files: from a tree to bytes.
 *
 * The sectors are used in this order, each part in one piece:
 *
 *   DIFAT, FAT, directory, mini FAT, mini stream, large streams
 *
 * so that a reader has all structures at the start, and every chain follows
 * from lengths alone. Places are counted in "slots": sectors without the one
 * that covers the range lock, which only files above 2 GiB have ([MS-CFB] 2.7).
 */
#include <string.h>

#include "base/error.h"
#include "format/cfb_writer_private.h"

#define END_OF_CHAIN 0xfffffffeu
#define FREE_SECTOR 0xffffffffu
#define FAT_SECTOR 0xfffffffdu
#define DIFAT_SECTOR 0xfffffffcu
#define NO_ENTRY 0xffffffffu
#define MAX_SECTORS G_GUINT64_CONSTANT (0xfffffffa)
#define HEADER_FAT_SECTORS 109
#define ENTRY_SIZE 128
#define MINI_SIZE 64
#define MINI_CUTOFF 4096
/* What version 3 can be; above, the lock of version 4 begins. */
#define MAX_VERSION_3 G_GUINT64_CONSTANT (0x7fffff00)

#define OUTPUT_SIZE (64 * 1024)

/* Bytes on their way to the sink. */
typedef struct {
  TpdSink *sink;
  guint64 pos;
  gsize len;
  guint8 data[OUTPUT_SIZE];
  guint8 input[OUTPUT_SIZE]; /* what is read from a source */
} Output;

typedef struct {
  TpdCfbWriter *writer;
  guint version, shift;
  guint64 lock;                     /* slot before which the range lock lies */
  guint64 difat, fat, dir, minifat; /* sectors of each part ... */
  guint64 mini, mini_size;          /* ... and of the mini stream, and its bytes */
  guint64 slots;                    /* all */
  guint64 sectors;                  /* with the range lock */
} Layout;

/* --- Directory tree ---------------------------------------------------- */

static gunichar
upper (gunichar2 unit)
{
  gunichar c = unit >= 0xd800 && unit < 0xe000 ? unit : g_unichar_toupper (unit);

  return c < 0x10000 ? c : unit;
}

/* The order of siblings, [MS-CFB] 2.6.4. */
static int
compare_nodes (const CfbNode *a, const CfbNode *b)
{
  if (a->n_units != b->n_units)
    return a->n_units < b->n_units ? -1 : 1;
  for (guint i = 0; i < a->n_units; i++)
    {
      gunichar x = upper (a->name[i]), y = upper (b->name[i]);

      if (x != y)
        return x < y ? -1 : 1;
    }
  return 0;
}

static int
compare_ids (gconstpointer a, gconstpointer b, gpointer data)
{
  return compare_nodes (cfb_writer_node (data, *(const guint32 *) a), cfb_writer_node (data, *(const guint32 *) b));
}

/* Part of a sorted list of siblings, and where its middle is to be linked. */
typedef struct {
  guint32 from, to;
  guint level;
  guint32 *link;
} Span;

/*
 * Links the children of `storage` as a balanced tree. Halving gives a tree
 * whose levels are all full but the last; with that last level red and the
 * others black, every path has as many black nodes: a red-black tree.
 */
static gboolean
link_children (TpdCfbWriter *writer, CfbNode *storage, GError **error)
{
  GArray *list = storage->children;
  g_autoptr (GArray) stack = g_array_new (FALSE, FALSE, sizeof (Span));
  Span span = { 0, list->len, 0, &storage->child };
  guint full = 0; /* levels that are full */

  while ((G_GUINT64_CONSTANT (1) << (full + 1)) - 1 <= list->len)
    full++;
  g_array_sort_with_data (list, compare_ids, writer);
  for (guint32 i = 1; i < list->len; i++)
    if (compare_nodes (cfb_writer_node (writer, g_array_index (list, guint32, i - 1)),
                       cfb_writer_node (writer, g_array_index (list, guint32, i)))
        == 0)
      {
        g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "Two entries of a compound file have the same name.");
        return FALSE;
      }
  g_array_append_val (stack, span);
  while (stack->len > 0)
    {
      guint32 middle, id;
      CfbNode *node;
      Span half;

      span = g_array_index (stack, Span, stack->len - 1);
      g_array_set_size (stack, stack->len - 1);
      *span.link = NO_ENTRY;
      if (span.from == span.to)
        continue;
      middle = span.from + (span.to - span.from) / 2;
      id = g_array_index (list, guint32, middle);
      node = cfb_writer_node (writer, id);
      *span.link = id;
      node->red = span.level >= full;
      half = (Span){ span.from, middle, span.level + 1, &node->left };
      g_array_append_val (stack, half);
      half = (Span){ middle + 1, span.to, span.level + 1, &node->right };
      g_array_append_val (stack, half);
    }
  return TRUE;
}

/* --- Places ------------------------------------------------------------- */

static guint64
sectors_of (const Layout *layout, guint64 size)
{
  return (size >> layout->shift) + ((size & ((1u << layout->shift) - 1)) != 0);
}

static guint32
sector_at (const Layout *layout, guint64 slot)
{
  return (guint32) (slot < layout->lock ? slot : slot + 1);
}

/* Counts the parts for one version. FALSE if there are too many sectors. */
static gboolean
measure (Layout *layout, guint version)
{
  const GPtrArray *nodes = layout->writer->nodes;
  guint64 per, large = 0, mini_sectors = 0, rest;

  layout->version = version;
  layout->shift = version == 3 ? 9 : 12;
  layout->lock = version == 3 ? G_MAXUINT64 : (MAX_VERSION_3 >> layout->shift) - 1;
  per = (1u << layout->shift) / 4;
  for (guint i = 1; i < nodes->len; i++)
    {
      const CfbNode *node = g_ptr_array_index (nodes, i);

      if (node->size >= MINI_CUTOFF)
        large += sectors_of (layout, node->size);
      else
        mini_sectors += (node->size + MINI_SIZE - 1) / MINI_SIZE;
      if (large > MAX_SECTORS)
        return FALSE;
    }
  layout->mini_size = mini_sectors * MINI_SIZE;
  layout->mini = sectors_of (layout, layout->mini_size);
  layout->minifat = sectors_of (layout, mini_sectors * 4);
  layout->dir = sectors_of (layout, (guint64) nodes->len * ENTRY_SIZE);
  rest = layout->dir + layout->minifat + layout->mini + large;
  layout->fat = layout->difat = 0;
  for (;;)
    {
      layout->slots = rest + layout->fat + layout->difat;
      /* Only large streams know how to lie around the range lock. */
      if (layout->slots - large > layout->lock)
        return FALSE;
      layout->sectors = layout->slots + (layout->slots > layout->lock);
      if (layout->sectors <= layout->fat * per)
        return layout->sectors <= MAX_SECTORS;
      layout->fat = (layout->sectors + per - 1) / per;
      layout->difat = layout->fat > HEADER_FAT_SECTORS ? (layout->fat - HEADER_FAT_SECTORS + per - 2) / (per - 1) : 0;
    }
}

/* Gives every stream its first sector, or mini sector. */
static void
place (Layout *layout)
{
  const GPtrArray *nodes = layout->writer->nodes;
  CfbNode *root = g_ptr_array_index (nodes, 0);
  guint64 slot = layout->difat + layout->fat + layout->dir + layout->minifat;
  guint32 mini = 0;

  root->size = layout->mini_size;
  root->start = layout->mini > 0 ? sector_at (layout, slot) : END_OF_CHAIN;
  slot += layout->mini;
  for (guint i = 1; i < nodes->len; i++)
    {
      CfbNode *node = g_ptr_array_index (nodes, i);

      if (node->type == TPD_CFB_STORAGE)
        node->start = 0;
      else if (node->size == 0)
        node->start = END_OF_CHAIN;
      else if (node->size < MINI_CUTOFF)
        {
          node->start = mini;
          mini += (guint32) ((node->size + MINI_SIZE - 1) / MINI_SIZE);
        }
      else
        {
          node->start = sector_at (layout, slot);
          slot += sectors_of (layout, node->size);
        }
    }
}

/* --- Output ------------------------------------------------------------- */

static gboolean
flush (Output *out, GError **error)
{
  gsize len = out->len;

  out->len = 0;
  return tpd_sink_append (out->sink, out->data, len, error);
}

static gboolean
put (Output *out, const void *data, gsize len, GError **error)
{
  const guint8 *from = data;

  out->pos += len;
  while (len > 0)
    {
      gsize piece = MIN (len, sizeof out->data - out->len);

      memcpy (out->data + out->len, from, piece);
      out->len += piece;
      from += piece;
      len -= piece;
      if (out->len == sizeof out->data && !flush (out, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
put_u32 (Output *out, guint32 value, GError **error)
{
  guint8 raw[4] = { (guint8) value, (guint8) (value >> 8), (guint8) (value >> 16), (guint8) (value >> 24) };

  return put (out, raw, sizeof raw, error);
}

/* Fills up with `byte` to a multiple of `unit`. */
static gboolean
put_fill (Output *out, guint8 byte, gsize unit, GError **error)
{
  guint8 fill[MINI_SIZE];

  memset (fill, byte, sizeof fill);
  while (out->pos % unit != 0)
    if (!put (out, fill, MIN (sizeof fill, unit - (gsize) (out->pos % unit)), error))
      return FALSE;
  return TRUE;
}

/* The bytes of a stream, around the range lock. */
static gboolean
put_source (Output *out, const Layout *layout, TpdSource *source, GError **error)
{
  guint64 lock = layout->sectors > layout->slots ? (layout->lock + 1) << layout->shift : G_MAXUINT64;
  gsize len;

  for (guint64 off = 0; off < source->size; off += len)
    {
      if (out->pos == lock && (!put_u32 (out, 0, error) || !put_fill (out, 0, (gsize) 1 << layout->shift, error)))
        return FALSE;
      len = (gsize) MIN (source->size - off, (guint64) sizeof out->input);
      if (out->pos < lock)
        len = (gsize) MIN ((guint64) len, lock - out->pos);
      if (!tpd_source_read_exact (source, out->input, len, off, error) || !put (out, out->input, len, error))
        return FALSE;
    }
  return TRUE;
}

/* [MS-CFB] 2.2 */
static gboolean
put_header (Output *out, const Layout *layout, GError **error)
{
  static const guint8 start[24] = { 0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1 };
  guint8 fixed[16] = { 0x3e, 0, (guint8) layout->version, 0, 0xfe, 0xff, (guint8) layout->shift, 0, 6, 0 };
  guint64 dir = layout->difat + layout->fat;
  guint32 minifat = layout->minifat > 0 ? sector_at (layout, dir + layout->dir) : END_OF_CHAIN;

  if (!put (out, start, sizeof start, error) || !put (out, fixed, sizeof fixed, error)
      || !put_u32 (out, layout->version == 3 ? 0 : (guint32) layout->dir, error)
      || !put_u32 (out, (guint32) layout->fat, error) || !put_u32 (out, sector_at (layout, dir), error)
      || !put_u32 (out, 0, error) || !put_u32 (out, MINI_CUTOFF, error) || !put_u32 (out, minifat, error)
      || !put_u32 (out, (guint32) layout->minifat, error) || !put_u32 (out, layout->difat > 0 ? 0 : END_OF_CHAIN, error)
      || !put_u32 (out, (guint32) layout->difat, error))
    return FALSE;
  for (guint64 i = 0; i < HEADER_FAT_SECTORS; i++)
    if (!put_u32 (out, i < layout->fat ? sector_at (layout, layout->difat + i) : FREE_SECTOR, error))
      return FALSE;
  return put_fill (out, 0, (gsize) 1 << layout->shift, error);
}

static gboolean
put_difat (Output *out, const Layout *layout, GError **error)
{
  guint64 per = (1u << layout->shift) / 4 - 1, fat = HEADER_FAT_SECTORS;

  for (guint64 i = 0; i < layout->difat; i++)
    {
      for (guint64 j = 0; j < per; j++, fat++)
        if (!put_u32 (out, fat < layout->fat ? sector_at (layout, layout->difat + fat) : FREE_SECTOR, error))
          return FALSE;
      if (!put_u32 (out, i + 1 < layout->difat ? sector_at (layout, i + 1) : END_OF_CHAIN, error))
        return FALSE;
    }
  return TRUE;
}

/* `n` table entries of a part that begins at `*slot`. */
static gboolean
put_chain (Output *out, const Layout *layout, guint64 *slot, guint64 n, GError **error)
{
  for (guint64 i = 0; i < n; i++, ++*slot)
    {
      if (*slot == layout->lock && !put_u32 (out, END_OF_CHAIN, error))
        return FALSE;
      if (!put_u32 (out, i + 1 < n ? sector_at (layout, *slot + 1) : END_OF_CHAIN, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
put_fat (Output *out, const Layout *layout, GError **error)
{
  const GPtrArray *nodes = layout->writer->nodes;
  guint64 slot = layout->difat + layout->fat;

  for (guint64 i = 0; i < layout->difat; i++)
    if (!put_u32 (out, DIFAT_SECTOR, error))
      return FALSE;
  for (guint64 i = 0; i < layout->fat; i++)
    if (!put_u32 (out, FAT_SECTOR, error))
      return FALSE;
  if (!put_chain (out, layout, &slot, layout->dir, error) || !put_chain (out, layout, &slot, layout->minifat, error)
      || !put_chain (out, layout, &slot, layout->mini, error))
    return FALSE;
  for (guint i = 1; i < nodes->len; i++)
    {
      const CfbNode *node = g_ptr_array_index (nodes, i);

      if (node->size >= MINI_CUTOFF && !put_chain (out, layout, &slot, sectors_of (layout, node->size), error))
        return FALSE;
    }
  return put_fill (out, 0xff, (gsize) 1 << layout->shift, error);
}

/* [MS-CFB] 2.6 */
static gboolean
put_directory (Output *out, const Layout *layout, GError **error)
{
  const GPtrArray *nodes = layout->writer->nodes;
  static const guint8 times[16] = { 0 };
  guint8 unused[ENTRY_SIZE] = { 0 };

  for (guint i = 0; i < nodes->len; i++)
    {
      const CfbNode *node = g_ptr_array_index (nodes, i);
      guint8 head[68] = { 0 };

      for (guint j = 0; j < node->n_units; j++)
        {
          head[2 * j] = (guint8) node->name[j];
          head[2 * j + 1] = (guint8) (node->name[j] >> 8);
        }
      head[64] = (guint8) (2 * node->n_units + 2);
      head[66] = node->type;
      head[67] = node->red ? 0 : 1;
      if (!put (out, head, sizeof head, error) || !put_u32 (out, node->left, error)
          || !put_u32 (out, node->right, error) || !put_u32 (out, node->child, error)
          || !put (out, node->clsid, sizeof node->clsid, error) || !put_u32 (out, node->state, error)
          || !put (out, times, sizeof times, error) || !put_u32 (out, node->start, error)
          || !put_u32 (out, (guint32) node->size, error) || !put_u32 (out, (guint32) (node->size >> 32), error))
        return FALSE;
    }
  memset (unused + 68, 0xff, 12);
  while (out->pos & ((1u << layout->shift) - 1))
    if (!put (out, unused, sizeof unused, error))
      return FALSE;
  return TRUE;
}

static gboolean
put_minifat (Output *out, const Layout *layout, GError **error)
{
  const GPtrArray *nodes = layout->writer->nodes;
  guint32 mini = 0;

  for (guint i = 1; i < nodes->len; i++)
    {
      const CfbNode *node = g_ptr_array_index (nodes, i);
      guint32 n = node->size < MINI_CUTOFF ? (guint32) ((node->size + MINI_SIZE - 1) / MINI_SIZE) : 0;

      for (guint32 j = 0; j < n; j++)
        if (!put_u32 (out, j + 1 < n ? mini + j + 1 : END_OF_CHAIN, error))
          return FALSE;
      mini += n;
    }
  return put_fill (out, 0xff, (gsize) 1 << layout->shift, error);
}

static gboolean
put_streams (Output *out, const Layout *layout, GError **error)
{
  const GPtrArray *nodes = layout->writer->nodes;
  gsize sector = (gsize) 1 << layout->shift;

  for (guint i = 1; i < nodes->len; i++)
    {
      const CfbNode *node = g_ptr_array_index (nodes, i);

      if (node->size > 0 && node->size < MINI_CUTOFF
          && (!put_source (out, layout, node->source, error) || !put_fill (out, 0, MINI_SIZE, error)))
        return FALSE;
    }
  if (!put_fill (out, 0, sector, error))
    return FALSE;
  for (guint i = 1; i < nodes->len; i++)
    {
      const CfbNode *node = g_ptr_array_index (nodes, i);

      if (node->size >= MINI_CUTOFF
          && (!put_source (out, layout, node->source, error) || !put_fill (out, 0, sector, error)))
        return FALSE;
    }
  return TRUE;
}

gboolean
tpd_cfb_writer_finish (TpdCfbWriter *writer, TpdSink *sink, GError **error)
{
  const GPtrArray *nodes = writer->nodes;
  Layout layout = { .writer = writer };
  g_autofree Output *out = NULL;

  g_return_val_if_fail (tpd_sink_size (sink) == 0, FALSE);
  for (guint i = 0; i < nodes->len; i++)
    {
      CfbNode *node = g_ptr_array_index (nodes, i);

      node->size = node->source != NULL ? node->source->size : 0;
      if (i == 0)
        node->left = node->right = NO_ENTRY;
      node->child = NO_ENTRY;
      if (node->children != NULL && !link_children (writer, node, error))
        return FALSE;
    }
  if (!measure (&layout, writer->version)
      || (layout.version == 3 && (layout.sectors + 1) << layout.shift > MAX_VERSION_3 && !measure (&layout, 4)))
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_TOO_LARGE, "The content is too large for a compound file.");
      return FALSE;
    }
  place (&layout);
  out = g_new0 (Output, 1);
  out->sink = sink;
  return put_header (out, &layout, error) && put_difat (out, &layout, error) && put_fat (out, &layout, error)
         && put_directory (out, &layout, error) && put_minifat (out, &layout, error)
         && put_streams (out, &layout, error) && flush (out, error);
}
