/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hard links: a file that has several names is looked into once, and the
 * others take what was found. Thread-safe. Memory is bounded: of many such
 * files the oldest are forgotten, and would be looked into again.
 */
#pragma once

#include "index/index.h"

typedef struct _TpdLinks TpdLinks;

/* What was found, for all names. */
typedef struct {
  guint64 number;             /* for tpd_index_batch_put() */
  TpdIndexRow row;            /* without name */
  TpdIndexDocument *document; /* may be NULL */
  /*< private >*/
  gint ref_count; /* atomic */
  char *extension;
} TpdLink;

TpdLinks *tpd_links_new (void);
void tpd_links_free (TpdLinks *links);

/* What was found in the file of `stamp`, waiting for a thread that is at it;
 * NULL: the caller is the first, and must call tpd_links_put() in any case.
 * (transfer full) */
TpdLink *tpd_links_take (TpdLinks *links, const TpdStamp *stamp);
/* `row` NULL: nothing was found out. Returns the number of the link. */
guint64 tpd_links_put (TpdLinks *links, const TpdStamp *stamp, const TpdIndexRow *row,
                       const TpdIndexDocument *document);
void tpd_link_unref (TpdLink *link);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdLink, tpd_link_unref)
