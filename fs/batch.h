/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of one reply to READDIR or READDIRPLUS: which they are, and what
 * can be found out about them in time, by several threads (fs/listers.h). A
 * batch may be begun before it is asked for.
 */
#pragma once

#include "fs/contents.h"
#include "fs/listers.h"
#include "fs/ops.h"

/* What was found out ahead is not sent when it is older. */
#define TPD_BATCH_MAX_AGE_US 100000

/* A directory that is open. Outlives its batches. */
typedef struct {
  TpdFs *fs;
  TpdNode *node; /* counted reference */
  int fd;        /* not O_PATH */
  TpdDevice device;
} TpdBatchDir;

/* A reply that is being made. */
typedef struct {
  fuse_req_t req; /* NULL: only the rest counts */
  char *buffer;
  gsize size, used;
  gboolean plus;
} TpdBatchReply;

typedef struct {
  const char *name, *source;
  guint64 ino; /* in the source */
  off_t next;
  gboolean sized; /* attributes are wanted */
  gboolean fresh; /* a regular file that may be new to us: opened first */
  gboolean gone;  /* from the source, meanwhile */
  struct fuse_entry_param param;
} TpdBatchItem;

/* The kernel's count of each node among the items has gone up, as if it was
 * sent. */
typedef struct {
  TpdBatchDir *dir;
  TpdContents *contents; /* counted reference */
  GArray *items;         /* of TpdBatchItem; not before tpd_batch_finish() */
  off_t start, end;      /* offsets: of the reply, and of what comes after it */
  gsize size;            /* of the reply */
  gboolean all;          /* attributes of all entries are wanted */
  /*< private >*/
  gboolean indexed; /* the index may know what is in a file */
  gboolean early;   /* begun before it was asked for */
  gint64 made;
  gint64 begun; /* atomic: work on it; 0: not yet */
  gint64 asked; /* atomic: for it; 0: not yet */
  TpdListersJob *job;
} TpdBatch;

/* Begins to work on the entries from `start` on, as many as fit into a reply like
 * `reply`. Takes `contents`. `early`: nobody asked for them yet. */
TpdBatch *tpd_batch_begin (TpdBatchDir *dir, TpdContents *contents, const TpdBatchReply *reply, gboolean all,
                           off_t start, gboolean early);
/* Works along until all is done, or so much time has passed since `asked` that
 * the rest has to do without attributes. */
void tpd_batch_finish (TpdBatch *batch, gint64 asked);
/* Adds what there still is to `reply`. */
void tpd_batch_add (TpdBatch *batch, TpdBatchReply *reply);
/* After it was sent, and if it is not sent. */
void tpd_batch_free (TpdBatch *batch);
void tpd_batch_drop (TpdBatch *batch);

/* Whether nothing comes after it. */
gboolean tpd_batch_is_last (const TpdBatch *batch);
/* Whether it is young enough to be sent for an early one. */
gboolean tpd_batch_is_recent (const TpdBatch *batch);

/* Adds an entry; FALSE when it does not fit. */
gboolean tpd_batch_add_entry (TpdBatchReply *reply, const char *name, const struct fuse_entry_param *entry, off_t next);
