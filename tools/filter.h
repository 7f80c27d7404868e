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

/* What of a tree is meant, as all commands that walk one let it be said. */
typedef struct {
  TpdFilter filter;
  gboolean one_file_system;
  gboolean snapshots; /* enter .snapshot and its like, too */
  gboolean recall;    /* read files whose content is elsewhere, too */
} TpdTreeOptions;

/* The options of a command for the TpdTreeOptions `tree`; `root` is what the
 * command calls its argument. */
/* clang-format off */
#define TPD_TREE_ENTRIES(tree, root) \
  { "include", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &(tree).filter.include, "Only files that match this glob", "GLOB" }, \
  { "exclude", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &(tree).filter.exclude, \
    "No files and directories that match this glob", "GLOB" }, \
  { "one-file-system", 'x', 0, G_OPTION_ARG_NONE, &(tree).one_file_system, "Stay on the file system of " root, NULL }, \
  { "snapshots", 0, 0, G_OPTION_ARG_NONE, &(tree).snapshots, "Also enter .snapshot, ~snapshot and .zfs", NULL }, \
  { "recall", 0, 0, G_OPTION_ARG_NONE, &(tree).recall, "Also read files whose content is offline", NULL }
/* clang-format on */

void tpd_filter_clear (TpdFilter *filter);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdFilter, tpd_filter_clear)

/* `dir` is relative to the root, "" for the root. */
gboolean tpd_filter_has_file (const TpdFilter *filter, const char *dir, const char *name);
gboolean tpd_filter_has_dir (const TpdFilter *filter, const char *dir, const char *name);
