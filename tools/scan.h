/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scan: walks a tree, looks into what the index does not know yet, and tells
 * the index. Every thread reads the index with a connection of its own; one
 * thread writes.
 */
#pragma once

#include "format/scratch.h"
#include "index/index.h"
#include "tools/common.h"
#include "tools/filter.h"
#include "tools/progress.h"
#include "tools/tally.h"
#include "tools/walk.h"

typedef struct {
  const char *root;       /* as the user named it */
  const char *index_path; /* NULL: default */
  TpdTreeOptions tree;
  gboolean deep;  /* open every document whose key is held */
  gboolean check; /* and read all of it; with deep */
  guint jobs;
  gboolean no_containers;  /* do not look into archives */
  TpdScratchPool *scratch; /* for what is unpacked, may be NULL */
  const char *cutoff;      /* yyyy-MM-ddTHH:mm, or NULL */
} TpdScanOptions;

typedef struct {
  TpdIndex *index;
  TpdIndexWriter *writer; /* ended; knows what was visited */
  TpdTally tally;
  TpdWalkStats walked;
  gint64 started, finished; /* Unix seconds */
  gboolean interrupted;     /* state is kept, nothing is to be reported */
} TpdScan;

/*
 * Runs the scan; NULL with error when it could not be done. Single files and
 * directories that cannot be read are not errors: they are in the index and
 * counted. `session` and `progress` must outlive the call only.
 * (transfer full)
 */
TpdScan *tpd_scan_run (const TpdScanOptions *options, const TpdSession *session, TpdProgress *progress, GError **error);
void tpd_scan_free (TpdScan *scan);

/* "2 symbolic links, 1 snapshot directory": what of the tree was not looked at,
 * on purpose or because it holds nothing; NULL for nothing. (transfer full) */
char *tpd_scan_left_out (const TpdScan *scan);
/* The same as members of an object. */
void tpd_scan_left_out_to_json (const TpdScan *scan, TpdJson *json);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdScan, tpd_scan_free)
