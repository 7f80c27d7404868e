/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views: the names under which a directory's entries are shown
 * (format/names.h has the rule). A view keeps only the files whose names make
 * them candidates; all others are shown as they are.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

#include "format/names.h"
#include "format/source.h"
#include "fs/listing.h"

typedef struct _TpdViews TpdViews;
typedef struct _TpdView TpdView;

/*
 * Looks at the regular file `name` in the directory `dir` (tpd_views_get()): TRUE when it is to be shown under its
 * plain name; `*extension` (transfer full) is what its header names, may stay
 * NULL. `*st`, its lstat, is replaced by that of what was looked at.
 */
typedef gboolean (*TpdViewLook) (gpointer data, guint64 dir, int dirfd, const char *name, struct stat *st,
                                 char **extension);

/*
 * A cache of views. `rules` must outlive it. What was found is trusted for
 * `ttl_us`; then every candidate's stamp is compared.
 */
TpdViews *tpd_views_new (const TpdNameRules *rules, TpdViewLook look, gpointer data, gint64 ttl_us);
void tpd_views_free (TpdViews *views);

/*
 * The view of the directory `dirfd` (O_PATH will do), known as `id`. `listing`
 * saves reading the directory if the caller has just done so, may be NULL.
 * 0 or errno; `*out` (transfer full).
 */
int tpd_views_get (TpdViews *views, guint64 id, int dirfd, TpdListing *listing, TpdView **out);
/* Forgets what was found of directory `id`. */
void tpd_views_drop (TpdViews *views, guint64 id);

TpdView *tpd_view_ref (TpdView *view);
void tpd_view_unref (TpdView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdView, tpd_view_unref)

/* The name that the entry `source` is shown under; `source` itself if it
 * keeps its name. Valid as long as both the view and `source`. */
const char *tpd_view_shown (const TpdView *view, const char *source);

/* The entry that is shown under `shown` and is not called so in the source;
 * NULL if there is none. `*stamp` is what it was when looked at. */
const char *tpd_view_source (const TpdView *view, const char *shown, TpdStamp *stamp);
