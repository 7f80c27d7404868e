/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory's entries, read in one pass and then immutable: an open
 * directory answers from it at any position, in any order and in any thread.
 */
#pragma once

#include <glib.h>

#include "format/source.h"

/* A directory that was changed less than this before it was read may have been
 * changed once more without its times showing it. The coarsest clock of a file
 * system: FAT's two seconds. */
#define TPD_RACY_US (2 * G_USEC_PER_SEC)

typedef struct {
  guint64 ino;
  const char *name; /* inside the listing */
  guint8 type;      /* DT_REG, ... as the source says it; may be DT_UNKNOWN */
} TpdListingEntry;

typedef struct _TpdListing TpdListing;

/*
 * Reads the directory `fd` (not O_PATH) from its start; "." and ".." are
 * entries like others. 0 or errno; `*out` (transfer full).
 */
int tpd_listing_read (int fd, TpdListing **out);
TpdListing *tpd_listing_ref (TpdListing *listing);
void tpd_listing_unref (TpdListing *listing);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdListing, tpd_listing_unref)

/* The directory's stamp from before it was read. */
const TpdStamp *tpd_listing_stamp (const TpdListing *listing);
guint tpd_listing_length (const TpdListing *listing);
/* `i` must be below the length. */
void tpd_listing_get (const TpdListing *listing, guint i, TpdListingEntry *entry);
