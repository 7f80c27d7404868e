/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a scan, for scan.c (walking) and scan_look.c (files). */
#pragma once

#include <sys/stat.h>

#include "tools/links.h"
#include "tools/record.h"
#include "tools/scan.h"

/* What the threads share. */
typedef struct {
  const TpdScanOptions *options;
  const TpdSession *session;
  TpdProgress *progress;
  int root_fd;
  guint64 root_dev;
  TpdIndex *index;
  TpdIndexWriter *writer;
  TpdLinks *links;
  TpdWalk *walk;

  GMutex lock;
  TpdTally *tally; /* of all threads but for what they still keep, under lock */
  GError *error;   /* the first, under lock */
} TpdScanShared;

/* One thread. */
typedef struct {
  TpdScanShared *shared;
  TpdIndexReader *reader; /* NULL: it could not be had */
  TpdTally tally;

  guint64 files, bytes; /* that the progress does not know of yet */

  /* The chunk at hand: */
  const TpdWalkDir *dir;
  TpdIndexBatch *batch;
  guint64 matched; /* rows that the index had */
  guint64 dev;     /* the device last asked about, and the answer */
  gboolean blocks_tell;
  guint64 local_dev; /* the same of this one */
  gboolean is_local;

  /* The file at hand, if it was opened before anything was asked about it; -1: it was not. */
  int fd;
  struct stat st; /* of it */
} TpdScanWorker;

/* Opens the file `name` of the directory at hand, without following a link or
 * waiting for a pipe. -1 with errno. */
int tpd_scan_open (const TpdScanWorker *worker, const char *name);
/* Ends the walk with `error`, which is taken over; the first counts. */
void tpd_scan_stop (TpdScanShared *shared, GError *error);

/* The regular file `name` of the directory at hand: believes `known`, the row
 * of the index (may be NULL), or looks into the file and tells the index. */
void tpd_scan_look (TpdScanWorker *worker, const char *name, const struct stat *st, const TpdIndexRow *known);
/* Tells the index of a row, whose document may be NULL. `link`: see
 * tpd_links_put(), may be NULL. */
void tpd_scan_put (TpdScanWorker *worker, const TpdIndexRow *row, const TpdIndexDocument *document,
                   const TpdStamp *link);
/* How a document is to be looked into. */
TpdFileFactsFlags tpd_scan_facts_flags (const TpdScanOptions *options);
/* Whether a key that is held could tell what the index does not know. */
gboolean tpd_scan_is_worth_opening (const TpdScanWorker *worker, const TpdIndexRow *row,
                                    const TpdIndexDocument *document);

/* --- scan_container.c -------------------------------------------------- */

/* The plain file of `row`, which may be an archive: looks into it, and tells
 * the index of its members. FALSE with error when it cannot be read. */
gboolean tpd_scan_container (TpdScanWorker *worker, TpdIndexRow *row, TpdSource *source, const TpdProbe *probe,
                             GError **error);
/* The archive of `known`, which the index knows: counts its members. FALSE
 * when it must be looked into again. */
gboolean tpd_scan_container_known (TpdScanWorker *worker, const TpdIndexRow *known);

/* The file of `row` could not be looked at. `link`: see tpd_links_put(), may
 * be NULL. */
void tpd_scan_put_errno (TpdScanWorker *worker, TpdIndexRow *row, int errnum, const TpdStamp *link);
