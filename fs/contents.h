/* SPDX-License-Identifier: Apache-2.0 */
/* What an open directory has read: its names, and what they are shown as. */
#pragma once

#include "fs/fs.h"
#include "fs/listing.h"

/* Counted; shared by the requests that are answered from it, and immutable. */
typedef struct {
  int ref_count; /* atomic */
  TpdListing *listing;
  TpdView *view;     /* NULL: names as in the source */
  char *status_name; /* the root only: what a `.tpdfs` of the source is shown as */
} TpdContents;

/* Reads the directory `node`, open as `fd`. 0 or errno; `*out` (transfer full). */
int tpd_contents_read (TpdFs *fs, const TpdNode *node, int fd, TpdContents **out);
void tpd_contents_unref (TpdContents *contents);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdContents, tpd_contents_unref)

/* The name to list the entry under, NULL to leave it out. */
const char *tpd_contents_shown (TpdFs *fs, const TpdNode *node, const TpdContents *contents,
                                const TpdListingEntry *entry);

gboolean tpd_is_dots (const char *name);
