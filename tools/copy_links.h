/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files with several names: copied once, the other copies become links to the
 * first, when it has its name. Until then they wait; so a copy has rounds. In a
 * round one name of each file is copied, and the names behind it wait for the
 * next. Names that wait are kept as text, on disk if they are many; what is
 * known of a file takes as much memory as the journal takes for it. Thread-safe.
 */
#pragma once

#include <glib.h>

#include "format/source.h"
#include "tools/journal.h"

typedef struct _TpdCopyLinks TpdCopyLinks;

typedef enum {
  TPD_COPY_LINK_FIRST, /* nobody has it: it is the caller's to copy */
  TPD_COPY_LINK_LATER, /* another has it: this name waits for the next round */
  TPD_COPY_LINK_DONE,  /* there is a copy to link to */
} TpdCopyLinkState;

TpdCopyLinks *tpd_copy_links_new (void);
void tpd_copy_links_free (TpdCopyLinks *links);

/* One of several names; `done` is filled for TPD_COPY_LINK_DONE. When the first
 * of a round comes to nothing the next round has another; after a few of these
 * every name is copied for itself, and what is wrong told for each. */
TpdCopyLinkState tpd_copy_links_take (TpdCopyLinks *links, const TpdStamp *stamp, TpdJournalEntry *done);
/* There is a copy, the one that `done` tells of. */
void tpd_copy_links_finish (TpdCopyLinks *links, const TpdStamp *stamp, const TpdJournalEntry *done);

/* Keeps a name for the next round: its path, and what it is called in the copy. */
void tpd_copy_links_defer (TpdCopyLinks *links, const char *path, const char *shown);
/* Begins the next round; FALSE: nothing waits. */
gboolean tpd_copy_links_next_round (TpdCopyLinks *links);
/* A name of this round; FALSE: there are no more, or `*error`. (transfer full) */
gboolean tpd_copy_links_pop (TpdCopyLinks *links, char **path, char **shown, GError **error);
