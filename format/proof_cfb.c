/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judging a compound file of which only some bytes at the start of each
 * segment are in doubt. Sectors are 512 or 4096 bytes long, so those bytes
 * start sectors.
 *
 * Against a hypothesis: a tree or chain that does not hold, numbers in the
 * allocation tables that no sector has, names that end in the middle. For it:
 * bits of agreement. Allocation tables and names give them by their rules;
 * other sectors when their first bytes are something that noise is not
 * (proof_places.c).
 */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/cfb_private.h"
#include "format/proof_private.h"

#define MAX_ENTRIES 16384
/* Beyond this, chains of streams are not followed: their table costs too much. */
#define MAX_CHAINED_BYTES (64 * 1024 * 1024)
#define MAX_TABLE_SECTORS 2048

typedef struct {
  TpdSource *plain;
  TpdCfb *cfb;
  gsize segment;
  GHashTable *judged; /* sectors that were judged by their role */
  guint bits;
} Judge;

/* Only such sectors are worth a look; the others start with bytes that are sure. */
static gboolean
is_doubtful (const Judge *judge, guint32 sector)
{
  return proof_is_doubtful (judge->segment, cfb_sector_offset (judge->cfb, sector));
}

static gboolean
contradiction (GError **error)
{
  cfb_damaged (error, "its structures do not agree");
  return FALSE;
}

/* --- The tree ----------------------------------------------------------- */

/* Lists every storage and follows every chain, within bounds. */
static gboolean
walk (TpdCfb *cfb, GError **error)
{
  g_autoptr (GPtrArray) queue = g_ptr_array_new ();
  guint64 chained = 0;

  g_ptr_array_add (queue, (gpointer) tpd_cfb_root (cfb));
  for (guint i = 0; i < queue->len && queue->len < MAX_ENTRIES; i++)
    {
      const TpdCfbEntry *entry = g_ptr_array_index (queue, i);

      if (entry->type != TPD_CFB_STREAM)
        {
          const GPtrArray *list = tpd_cfb_children (cfb, entry, error);
          if (list == NULL)
            return FALSE;
          for (guint j = 0; j < list->len; j++)
            g_ptr_array_add (queue, g_ptr_array_index (list, j));
        }
      else if (chained + entry->size <= MAX_CHAINED_BYTES || entry->size < CFB_MINI_CUTOFF)
        {
          TpdSource *stream = tpd_cfb_stream_new (cfb, entry, error);
          if (stream == NULL)
            return FALSE;
          tpd_source_unref (stream);
          chained += entry->size;
        }
    }
  return TRUE;
}

/* --- Sectors by their role ---------------------------------------------- */

/* The first four entries of a table whose values are below `limit` or marks. */
static gboolean
judge_table (Judge *judge, guint32 sector, guint64 limit, GError **error)
{
  const guint8 *data = cfb_peek (judge->cfb, cfb_sector_offset (judge->cfb, sector), PROOF_DOUBTFUL, error);
  guint bits_each = 32 - MIN (32, g_bit_storage (limit + 4));
  TpdBytes bytes;
  guint32 value;

  if (data == NULL)
    return FALSE;
  if (!g_hash_table_add (judge->judged, GUINT_TO_POINTER (sector)))
    return TRUE;
  bytes = tpd_bytes (data, PROOF_DOUBTFUL);
  while (tpd_bytes_take_u32le (&bytes, &value))
    {
      if (value >= limit && value < 0xfffffffc)
        return contradiction (error);
      judge->bits += bits_each;
    }
  return TRUE;
}

/* The first eight characters of the name of a directory sector's first entry. */
static gboolean
judge_name (Judge *judge, guint32 sector, GError **error)
{
  const guint8 *data = cfb_peek (judge->cfb, cfb_sector_offset (judge->cfb, sector), CFB_ENTRY_SIZE, error);
  TpdBytes bytes;
  guint16 units[PROOF_DOUBTFUL / 2] = { 0 };
  guint16 name_bytes;
  guint8 type;
  guint n;

  if (data == NULL)
    return FALSE;
  bytes = tpd_bytes (data, CFB_ENTRY_SIZE);
  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    if (!tpd_bytes_take_u16le (&bytes, &units[i]))
      return FALSE;
  if (!tpd_bytes_seek (&bytes, 64) || !tpd_bytes_take_u16le (&bytes, &name_bytes) || !tpd_bytes_take_u8 (&bytes, &type))
    return FALSE;
  if (type == 0 || name_bytes < 2)
    return TRUE; /* not in use: looked at like any sector */
  n = name_bytes / 2 - 1u;
  for (guint i = 0; i < MIN (n, G_N_ELEMENTS (units)); i++)
    {
      if (units[i] == 0)
        return contradiction (error);
      /* Most names are Latin: a chance of 1 in 256, less 2 bits for those that are not. */
      if (units[i] < 0x100)
        judge->bits += 6;
    }
  if (n < G_N_ELEMENTS (units))
    {
      if (units[n] != 0)
        return contradiction (error);
      judge->bits += 16;
    }
  g_hash_table_add (judge->judged, GUINT_TO_POINTER (sector));
  return TRUE;
}

static gboolean
judge_roles (Judge *judge, GError **error)
{
  TpdCfb *cfb = judge->cfb;
  guint64 n_mini = tpd_cfb_root (cfb)->size >> CFB_MINI_SHIFT;

  for (guint32 i = 0; i < MIN (cfb->n_fat, MAX_TABLE_SECTORS); i++)
    {
      guint32 sector;
      if (!cfb_fat_sector (cfb, i, &sector, error))
        return FALSE;
      if (is_doubtful (judge, sector) && !judge_table (judge, sector, cfb->n_sectors, error))
        return FALSE;
    }
  for (guint32 i = 0; i < MIN (cfb->difat->len, MAX_TABLE_SECTORS); i++)
    {
      guint32 sector = g_array_index (cfb->difat, guint32, i);
      if (is_doubtful (judge, sector) && !judge_table (judge, sector, cfb->n_sectors, error))
        return FALSE;
    }
  for (guint32 i = 0; i < MIN (cfb->minifat.n_sectors, MAX_TABLE_SECTORS); i++)
    {
      guint32 sector = cfb_chain_sector (&cfb->minifat, i);
      if (is_doubtful (judge, sector) && !judge_table (judge, sector, n_mini + 1, error))
        return FALSE;
    }
  for (guint32 i = 0; i < MIN (cfb->directory.n_sectors, MAX_TABLE_SECTORS); i++)
    {
      guint32 sector = cfb_chain_sector (&cfb->directory, i);
      if (is_doubtful (judge, sector) && !judge_name (judge, sector, error))
        return FALSE;
    }
  return TRUE;
}

/* A sector that was judged by its role. */
static gboolean
was_judged (gpointer data, guint64 off)
{
  const Judge *judge = data;

  return off % (1u << judge->cfb->shift) == 0
         && g_hash_table_contains (judge->judged, GUINT_TO_POINTER ((guint32) (off >> judge->cfb->shift) - 1));
}

gboolean
proof_check_cfb (TpdSource *plain, gsize segment, TpdCheck *result, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (plain, &problem);
  Judge judge = { plain, cfb, segment, NULL, 0 };
  gboolean holds;

  *result = TPD_CHECK_UNKNOWN;
  judge.judged = g_hash_table_new (NULL, NULL);
  holds = cfb != NULL && walk (cfb, &problem) && judge_roles (&judge, &problem)
          && proof_judge_places (plain, segment, was_judged, &judge, &judge.bits, &problem);
  g_hash_table_unref (judge.judged);
  if (holds)
    {
      if (judge.bits >= PROOF_ENOUGH)
        *result = TPD_CHECK_PROVED;
      return TRUE;
    }
  if (problem->code >= TPD_ERROR_STALE)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (problem->code == TPD_ERROR_DAMAGED)
    *result = TPD_CHECK_DISPROVED;
  return TRUE;
}
