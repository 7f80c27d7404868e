/* SPDX-License-Identifier: Apache-2.0 */
/* Files with several names: copied once, the other copies become links to the
 * first. Thread-safe. */
#pragma once

#include <glib.h>

#include "format/source.h"

typedef struct _TpdCopyLinks TpdCopyLinks;

typedef enum {
  TPD_COPY_LINK_FIRST, /* nobody has it: it is the caller's to copy */
  TPD_COPY_LINK_LATER, /* another has it; kept for tpd_copy_links_pop() */
} TpdCopyLinkState;

typedef struct {
  char *copy; /* path of the first copy */
  char *tail; /* of its record */
  guint64 copy_ino, copy_size;
} TpdCopyLinkInfo;

void tpd_copy_link_info_clear (TpdCopyLinkInfo *info);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdCopyLinkInfo, tpd_copy_link_info_clear)

TpdCopyLinks *tpd_copy_links_new (GDestroyNotify free_task);
void tpd_copy_links_free (TpdCopyLinks *links);

/* One of several names: TPD_COPY_LINK_LATER takes over `task`. */
TpdCopyLinkState tpd_copy_links_take (TpdCopyLinks *links, const TpdStamp *stamp, gpointer task);
/* The first copy has its name. */
void tpd_copy_links_finish (TpdCopyLinks *links, const TpdStamp *stamp, const TpdCopyLinkInfo *info);
/* What became of the first copy; FALSE: there is none. (transfer full) */
gboolean tpd_copy_links_get (TpdCopyLinks *links, const TpdStamp *stamp, TpdCopyLinkInfo *info);
/* A task that waited, NULL when there are none. (transfer full) */
gpointer tpd_copy_links_pop (TpdCopyLinks *links);
