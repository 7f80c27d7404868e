/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the compound file reader; for cfb*.c and proof_cfb.c only. */
#pragma once

#include "format/cfb.h"

#define CFB_HEADER_FAT_SECTORS 109
#define CFB_MAX_SECTOR 0xfffffffau
#define CFB_END 0xfffffffeu
#define CFB_FREE 0xffffffffu
#define CFB_NO_ENTRY 0xffffffffu
#define CFB_ENTRY_SIZE 128
#define CFB_MINI_SHIFT 6
#define CFB_MINI_CUTOFF 4096

/* Sectors [index, index of the next extent) of a stream are the sectors
 * first, first + 1, ... of the file. */
typedef struct {
  guint32 first, index;
} CfbExtent;

typedef struct {
  CfbExtent *extents;
  guint n;
  guint32 n_sectors;
} CfbChain;

#define CFB_N_WINDOWS 16

/* A piece of the file that holds structures; see cfb_peek(). */
typedef struct {
  guint8 *data;
  guint64 off;
  gsize len;
  guint64 used;
} CfbWindow;

struct _TpdCfb {
  TpdSource *source;
  const guint8 *memory; /* all of it, if it lies there; else NULL */
  guint version;
  guint shift; /* of the sector size: 9 or 12 */
  guint32 n_sectors;

  guint32 n_fat, n_difat;
  guint32 first_difat;
  guint32 fat_head[CFB_HEADER_FAT_SECTORS];
  GArray *difat; /* of guint32: DIFAT sectors met so far */

  CfbChain directory;
  CfbChain minifat;
  CfbChain ministream; /* loaded with the first small stream */
  gboolean mini_loaded;
  guint32 first_minifat, n_minifat;

  guint32 n_entries;
  guint8 *visited;      /* a bit for each entry */
  GPtrArray *entries;   /* of TpdCfbEntry: owns them */
  GHashTable *children; /* entry id -> GPtrArray */
  TpdCfbEntry *root;

  /* Two chains that share a sector end in the same sector: last sector -> 1 +
   * the entry it belongs to. */
  GHashTable *ends, *mini_ends;

  CfbWindow windows[CFB_N_WINDOWS];
  guint last_window;
  guint64 clock;
  guint n_reads;
};

void cfb_damaged (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

/*
 * `len` bytes of the file at `off`, which must lie in one sector. The pointer
 * is valid until the next call. NULL with error.
 */
const guint8 *cfb_peek (TpdCfb *cfb, guint64 off, gsize len, GError **error);

gboolean cfb_peek_u32 (TpdCfb *cfb, guint64 off, guint32 *value, GError **error);

/* Whether the file has `sector`; `what` led there. */
gboolean cfb_check_sector (TpdCfb *cfb, guint32 sector, const char *what, GError **error);

/* Sectors that `size` bytes take. */
guint64 cfb_sectors_of (const TpdCfb *cfb, guint64 size);

/* Where FAT sector number `index` lies. */
gboolean cfb_fat_sector (TpdCfb *cfb, guint32 index, guint32 *sector, GError **error);

/* Sectors that a chain may have beyond the size of its stream. */
#define CFB_CHAIN_SLACK 4096

/* Owners of chains that are no streams; streams own by their entry's number. */
#define CFB_OWNER_DIRECTORY 0xfffffff0u
#define CFB_OWNER_MINIFAT 0xfffffff1u

/* Follows the chain from `start` to its end: at least `min` sectors, at most
 * `max`; none of them may belong to another owner. `chain` is empty before. */
gboolean cfb_chain_load (TpdCfb *cfb, guint32 start, guint64 min, guint64 max, guint32 owner, CfbChain *chain,
                         GError **error);

/* Notes in `ends` that a chain of `owner` ends in `last`; it may be no other's end. */
gboolean cfb_claim_end (GHashTable *ends, guint32 last, guint32 owner, GError **error);

/* The file's sector that holds sector `index` (< n_sectors) of a chain. */
guint32 cfb_chain_sector (const CfbChain *chain, guint32 index);

static inline guint64
cfb_sector_offset (const TpdCfb *cfb, guint32 sector)
{
  return ((guint64) sector + 1) << cfb->shift;
}

/* Reads the root entry and prepares the listing; the chain of the directory is loaded. */
gboolean cfb_directory_open (TpdCfb *cfb, GError **error);
void cfb_directory_close (TpdCfb *cfb);
