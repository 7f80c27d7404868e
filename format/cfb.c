/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compound files: header, allocation tables and chains. The directory is in
 * cfb_dir.c, the streams are in cfb_stream.c.
 *
 * Structures are read through a few windows onto the file. While little has
 * been read, windows are large, so that a probe of an ordinary file is done in
 * a handful of reads; later they are pages, so that opening a large stream
 * whose allocation table is spread over the file does not read half the file,
 * unless a window goes on where another ends.
 *
 * Every chain is followed to its end, with Brent's cycle detection in constant
 * memory. Sectors in a row, which is what large streams are made of, are one
 * step: as far as one sector of the allocation table tells, so that the step
 * from a sector is always the same and a circle of sectors a circle of steps.
 *
 * In an allocation table two chains that meet run together to the same last
 * sector, so remembering the last sectors finds all cross links.
 */
#include "format/cfb.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/cfb_private.h"

#define HEADER_SIZE 512
#define WINDOW_LARGE 32768
#define WINDOW_SMALL 4096
#define LARGE_READS 48

/* In files above 2 GiB the sector under this offset is kept for locks and
 * never part of a chain ([MS-CFB] 2.7). */
#define RANGE_LOCK_OFFSET G_GUINT64_CONSTANT (0x7fffff00)

static const guint8 signature[8] = { 0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1 };

void
cfb_damaged (GError **error, const char *format, ...)
{
  va_list args;
  g_autofree char *text = NULL;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "The compound file is damaged: %s.", text);
}

/* --- Reading structures ------------------------------------------------ */

static gsize
window_size (const TpdCfb *cfb, guint64 off)
{
  guint64 page = off & ~(guint64) (WINDOW_SMALL - 1);

  if (cfb->n_reads < LARGE_READS)
    return WINDOW_LARGE;
  for (guint i = 0; i < CFB_N_WINDOWS; i++)
    if (cfb->windows[i].len > 0 && cfb->windows[i].off + cfb->windows[i].len == page)
      return WINDOW_LARGE;
  return WINDOW_SMALL;
}

const guint8 *
cfb_peek (TpdCfb *cfb, guint64 off, gsize len, GError **error)
{
  CfbWindow *window = &cfb->windows[cfb->last_window];
  gsize size;
  gssize got;

  if (cfb->memory != NULL && off <= cfb->source->size && len <= cfb->source->size - off)
    return cfb->memory + off;
  for (guint i = 0; i <= CFB_N_WINDOWS; i++)
    {
      if (off >= window->off && off - window->off <= window->len && len <= window->len - (off - window->off))
        {
          window->used = ++cfb->clock;
          cfb->last_window = (guint) (window - cfb->windows);
          return window->data + (off - window->off);
        }
      if (i < CFB_N_WINDOWS)
        window = &cfb->windows[i];
    }

  size = window_size (cfb, off);
  window = &cfb->windows[0];
  for (guint i = 1; i < CFB_N_WINDOWS; i++)
    if (cfb->windows[i].used < window->used)
      window = &cfb->windows[i];
  if (window->data == NULL)
    window->data = g_malloc (WINDOW_LARGE);
  window->off = off & ~(guint64) (size - 1);
  window->len = 0;
  cfb->n_reads++;
  got = tpd_source_pread (cfb->source, window->data, size, window->off, error);
  if (got < 0)
    return NULL;
  window->len = (gsize) got;
  window->used = ++cfb->clock;
  cfb->last_window = (guint) (window - cfb->windows);
  if (off - window->off > window->len || len > window->len - (off - window->off))
    {
      cfb_damaged (error, "it ends before its structures do");
      return NULL;
    }
  return window->data + (off - window->off);
}

gboolean
cfb_peek_u32 (TpdCfb *cfb, guint64 off, guint32 *value, GError **error)
{
  const guint8 *data = cfb_peek (cfb, off, 4, error);
  TpdBytes bytes;

  if (data == NULL)
    return FALSE;
  bytes = tpd_bytes (data, 4);
  return tpd_bytes_take_u32le (&bytes, value);
}

gboolean
cfb_check_sector (TpdCfb *cfb, guint32 sector, const char *what, GError **error)
{
  if (sector > CFB_MAX_SECTOR || sector >= cfb->n_sectors)
    {
      cfb_damaged (error, "%s leads to sector 0x%08x, which it does not have", what, sector);
      return FALSE;
    }
  return TRUE;
}

/* --- Allocation table --------------------------------------------------- */

/* Makes DIFAT sector number `index` known. */
static gboolean
load_difat (TpdCfb *cfb, guint32 index, GError **error)
{
  while (cfb->difat->len <= index)
    {
      guint n = cfb->difat->len;
      guint32 sector = cfb->first_difat;

      if (n > 0
          && !cfb_peek_u32 (
              cfb, cfb_sector_offset (cfb, g_array_index (cfb->difat, guint32, n - 1)) + (1u << cfb->shift) - 4,
              &sector, error))
        return FALSE;
      if (!cfb_check_sector (cfb, sector, "the list of allocation sectors", error))
        return FALSE;
      if (n > 0 && sector == g_array_index (cfb->difat, guint32, n / 2))
        {
          cfb_damaged (error, "the list of allocation sectors leads in a circle");
          return FALSE;
        }
      g_array_append_val (cfb->difat, sector);
    }
  return TRUE;
}

gboolean
cfb_fat_sector (TpdCfb *cfb, guint32 index, guint32 *sector, GError **error)
{
  guint32 per_difat = (1u << cfb->shift) / 4 - 1;

  if (index >= cfb->n_fat)
    {
      cfb_damaged (error, "its allocation table is too short");
      return FALSE;
    }
  if (index < CFB_HEADER_FAT_SECTORS)
    *sector = cfb->fat_head[index];
  else
    {
      guint32 difat = (index - CFB_HEADER_FAT_SECTORS) / per_difat;
      guint32 slot = (index - CFB_HEADER_FAT_SECTORS) % per_difat;

      if (difat >= cfb->n_difat)
        {
          cfb_damaged (error, "the list of allocation sectors is too short");
          return FALSE;
        }
      if (!load_difat (cfb, difat, error)
          || !cfb_peek_u32 (cfb, cfb_sector_offset (cfb, g_array_index (cfb->difat, guint32, difat)) + slot * 4, sector,
                            error))
        return FALSE;
    }
  return cfb_check_sector (cfb, *sector, "the list of allocation sectors", error);
}

static guint32
entry_at (const guint8 *table, guint32 index)
{
  guint32 le;

  memcpy (&le, table + (gsize) index * 4, sizeof le);
  return GUINT32_FROM_LE (le);
}

/*
 * What follows `sector` in its chain. `*run`: how many sectors the step skips,
 * which follow `sector` in the file as in the chain; less than `max`, and none
 * of them is `wall`.
 */
static gboolean
next_sector (TpdCfb *cfb, guint32 sector, guint32 max, guint32 wall, guint32 *run, guint32 *next, GError **error)
{
  guint32 entry_shift = cfb->shift - 2;
  guint32 index = sector & ((1u << entry_shift) - 1);
  guint32 end = 1u << entry_shift;
  const guint8 *table;
  guint32 fat;

  *run = 0;
  if (!cfb_fat_sector (cfb, sector >> entry_shift, &fat, error))
    return FALSE;
  /* The last sector of a file may be cut; only so much is asked for as must be there. */
  if (fat == cfb->n_sectors - 1 || max <= 1)
    return cfb_peek_u32 (cfb, cfb_sector_offset (cfb, fat) + index * 4, next, error);
  table = cfb_peek (cfb, cfb_sector_offset (cfb, fat), (gsize) 1 << cfb->shift, error);
  if (table == NULL)
    return FALSE;
  end = index + MIN (end - index, max);
  *next = entry_at (table, index);
  while (++index < end && *next == sector + 1 && *next < cfb->n_sectors && *next != wall)
    {
      sector++;
      (*run)++;
      *next = entry_at (table, index);
    }
  return TRUE;
}

/* --- Chains ------------------------------------------------------------- */

guint32
cfb_chain_sector (const CfbChain *chain, guint32 index)
{
  guint low = 0, high = chain->n;

  while (high - low > 1)
    {
      guint middle = low + (high - low) / 2;
      if (chain->extents[middle].index <= index)
        low = middle;
      else
        high = middle;
    }
  return chain->extents[low].first + (index - chain->extents[low].index);
}

gboolean
cfb_claim_end (GHashTable *ends, guint32 last, guint32 owner, GError **error)
{
  gpointer known = g_hash_table_lookup (ends, GUINT_TO_POINTER (last));

  if (known != NULL && GPOINTER_TO_UINT (known) != owner + 1)
    {
      cfb_damaged (error, "two of its streams share a sector");
      return FALSE;
    }
  g_hash_table_insert (ends, GUINT_TO_POINTER (last), GUINT_TO_POINTER (owner + 1));
  return TRUE;
}

gboolean
cfb_chain_load (TpdCfb *cfb, guint32 start, guint64 min, guint64 max, guint32 owner, CfbChain *chain, GError **error)
{
  g_autoptr (GArray) extents = g_array_new (FALSE, FALSE, sizeof (CfbExtent));
  guint32 sector = start, last = start, tortoise = start, count = 0, run;
  guint64 power = 1, steps = 0;
  gboolean has_lock = cfb->version == 4 && cfb->source->size > RANGE_LOCK_OFFSET;
  guint32 lock = has_lock ? (guint32) (RANGE_LOCK_OFFSET >> cfb->shift) - 1 : CFB_FREE;

  if (min == 0)
    return TRUE;
  while (sector != CFB_END)
    {
      if (!cfb_check_sector (cfb, sector, "a chain", error))
        return FALSE;
      if (sector == lock)
        {
          cfb_damaged (error, "a chain uses the sector kept for locks");
          return FALSE;
        }
      if (count >= max)
        {
          if (owner == CFB_OWNER_DIRECTORY && max < cfb->n_sectors)
            g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE, "The compound file has more than %d directory entries.",
                         TPD_CFB_MAX_ENTRIES);
          else
            cfb_damaged (error, "a chain is longer than its stream");
          return FALSE;
        }
      if (count == 0 || sector != last + 1)
        {
          CfbExtent extent = { sector, count };
          if (extents->len >= TPD_CFB_MAX_EXTENTS)
            {
              g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                           "A stream of the compound file lies in more than %d pieces.", TPD_CFB_MAX_EXTENTS);
              return FALSE;
            }
          g_array_append_val (extents, extent);
        }
      count++;
      last = sector;
      if (!next_sector (cfb, sector, (guint32) MIN (max - count + 1, G_MAXUINT32), lock, &run, &sector, error))
        return FALSE;
      count += run;
      last += run;
      if (sector == tortoise)
        {
          cfb_damaged (error, "a chain leads in a circle");
          return FALSE;
        }
      if (++steps == power)
        {
          tortoise = sector;
          power *= 2;
          steps = 0;
        }
    }
  if (count < min)
    {
      cfb_damaged (error, "a chain ends before its stream does");
      return FALSE;
    }
  if (!cfb_claim_end (cfb->ends, last, owner, error))
    return FALSE;
  chain->n = extents->len;
  chain->n_sectors = count;
  chain->extents = (CfbExtent *) (void *) g_array_free (g_steal_pointer (&extents), FALSE);
  return TRUE;
}

guint64
cfb_sectors_of (const TpdCfb *cfb, guint64 size)
{
  return (size >> cfb->shift) + ((size & ((1u << cfb->shift) - 1)) != 0);
}

/* --- Opening ------------------------------------------------------------ */

gboolean
tpd_cfb_magic (const guint8 *head, gsize len)
{
  return len >= sizeof signature && memcmp (head, signature, sizeof signature) == 0;
}

guint
tpd_cfb_version (const TpdCfb *cfb)
{
  return cfb->version;
}

/* [MS-CFB] 2.2 */
static gboolean
parse_header (TpdCfb *cfb, guint32 *first_directory, GError **error)
{
  const guint8 *data = cfb_peek (cfb, 0, HEADER_SIZE, error);
  TpdBytes bytes;
  guint16 major, byte_order, shift, mini_shift;
  guint32 cutoff;
  guint64 sectors;

  if (data == NULL)
    return FALSE;
  bytes = tpd_bytes (data, HEADER_SIZE);
  if (!tpd_cfb_magic (data, HEADER_SIZE))
    {
      cfb_damaged (error, "it does not begin like one");
      return FALSE;
    }
  if (!tpd_bytes_seek (&bytes, 26) || !tpd_bytes_take_u16le (&bytes, &major)
      || !tpd_bytes_take_u16le (&bytes, &byte_order) || !tpd_bytes_take_u16le (&bytes, &shift)
      || !tpd_bytes_take_u16le (&bytes, &mini_shift) || !tpd_bytes_seek (&bytes, 44)
      || !tpd_bytes_take_u32le (&bytes, &cfb->n_fat) || !tpd_bytes_take_u32le (&bytes, first_directory)
      || !tpd_bytes_skip (&bytes, 4) || !tpd_bytes_take_u32le (&bytes, &cutoff)
      || !tpd_bytes_take_u32le (&bytes, &cfb->first_minifat) || !tpd_bytes_take_u32le (&bytes, &cfb->n_minifat)
      || !tpd_bytes_take_u32le (&bytes, &cfb->first_difat) || !tpd_bytes_take_u32le (&bytes, &cfb->n_difat))
    return FALSE; /* cannot be: 512 bytes are there */
  for (guint i = 0; i < CFB_HEADER_FAT_SECTORS; i++)
    if (!tpd_bytes_take_u32le (&bytes, &cfb->fat_head[i]))
      return FALSE;

  if (byte_order != 0xfffe || !((major == 3 && shift == 9) || (major == 4 && shift == 12))
      || mini_shift != CFB_MINI_SHIFT || cutoff != CFB_MINI_CUTOFF)
    {
      cfb_damaged (error, "its header is not valid");
      return FALSE;
    }
  cfb->version = major;
  cfb->shift = shift;
  sectors = cfb_sectors_of (cfb, cfb->source->size);
  if (sectors < 2)
    {
      cfb_damaged (error, "it ends behind its header");
      return FALSE;
    }
  cfb->n_sectors = (guint32) MIN (sectors - 1, (guint64) CFB_MAX_SECTOR + 1);
  return TRUE;
}

TpdCfb *
tpd_cfb_open (TpdSource *source, GError **error)
{
  g_autoptr (TpdCfb) cfb = g_new0 (TpdCfb, 1);
  guint32 first_directory = 0;
  guint64 max;

  cfb->source = tpd_source_ref (source);
  cfb->memory = tpd_source_memory (source);
  cfb->difat = g_array_new (FALSE, FALSE, sizeof (guint32));
  cfb->ends = g_hash_table_new (NULL, NULL);
  cfb->mini_ends = g_hash_table_new (NULL, NULL);
  if (!parse_header (cfb, &first_directory, error))
    return NULL;
  max = MIN ((guint64) cfb->n_sectors, (guint64) TPD_CFB_MAX_ENTRIES * CFB_ENTRY_SIZE >> cfb->shift);
  if (!cfb_chain_load (cfb, first_directory, 1, max, CFB_OWNER_DIRECTORY, &cfb->directory, error)
      || !cfb_directory_open (cfb, error))
    return NULL;
  return g_steal_pointer (&cfb);
}

void
tpd_cfb_free (TpdCfb *cfb)
{
  if (cfb == NULL)
    return;
  cfb_directory_close (cfb);
  for (guint i = 0; i < CFB_N_WINDOWS; i++)
    g_free (cfb->windows[i].data);
  g_free (cfb->directory.extents);
  g_free (cfb->minifat.extents);
  g_free (cfb->ministream.extents);
  g_array_unref (cfb->difat);
  g_hash_table_unref (cfb->ends);
  g_hash_table_unref (cfb->mini_ends);
  tpd_source_unref (cfb->source);
  g_free (cfb);
}
