/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --include and --exclude: which files of a tree are meant.
 *
 * A glob without a slash is compared with names, one with a slash with paths
 * relative to the root; * matches slashes too; ASCII letters match in either
 * case, as on the systems such shares are made for. A glob that ends with a
 * slash is meant for directories.
 */
#pragma once

#include <glib.h>

typedef struct {
  char **include; /* a file must match one of these; NULL: every file does */
  char **exclude; /* no file, and no directory above it, may match one of these */
} TpdFilter;

void tpd_filter_clear (TpdFilter *filter);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdFilter, tpd_filter_clear)

/* `dir` is relative to the root, "" for the root. */
gboolean tpd_filter_has_file (const TpdFilter *filter, const char *dir, const char *name);
gboolean tpd_filter_has_dir (const TpdFilter *filter, const char *dir, const char *name);
