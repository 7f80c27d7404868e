/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a TpdIndexWriter, for writer.c, writer_rows.c and tidy.c. */
#pragma once

#include "index/private.h"

typedef struct {
  sqlite3_stmt *begin, *commit, *rollback;
  sqlite3_stmt *version; /* changes when another connection has written */
  sqlite3_stmt *find_dir, *add_dir, *set_error;
  sqlite3_stmt *add_plain, *add_plains, *add, *replace, *remove, *remove_members;
  sqlite3_stmt *find_key, *add_key, *add_document, *add_detail;
} Statements;

/* How many files, of how many bytes, need a key. */
typedef struct {
  gint64 key; /* first: it is the key of the table */
  guint64 files, bytes;
} TpdIndexKeyUse;

struct _TpdIndexWriter {
  TpdIndex *index;
  GThread *thread; /* NULL once joined */

  GMutex lock;
  GCond not_empty, not_full;
  GQueue queue;       /* of TpdIndexBatch, under lock */
  gsize queued_bytes; /* under lock */
  gboolean ending;    /* under lock */
  gint failed;        /* atomic */

  /* Of the thread: */
  sqlite3 *db;
  Statements sql;
  GError *error;
  gboolean in_transaction;
  guint rows; /* in this transaction */
  gint64 began;
  gboolean changed;  /* rows came or went: counts are to be made anew */
  gboolean replaced; /* rows were replaced or removed: documents may have lost their last */
  char *last_dir;    /* the directory last written, and its id */
  gint64 last_dir_id;
  GHashTable *keys;     /* fingerprint (hex) -> id */
  GHashTable *links;    /* link number -> id of document */
  GHashTable *key_uses; /* set of TpdIndexKeyUse: of the rows that were added */
  gboolean recount;     /* there were too many for that */
  gint64 version;       /* what `sql.version` gave at the beginning */
  TpdIndexVisited visited;
};

/* Sets `*error` from SQLite's `code`; FALSE. */
gboolean tpd_index_writer_fail (TpdIndexWriter *writer, int code, GError **error);
/* Runs a statement that gives no row. */
gboolean tpd_index_writer_step (TpdIndexWriter *writer, sqlite3_stmt *statement, GError **error);
/* The number that `find` gives, 0 if none. */
gboolean tpd_index_writer_ask (TpdIndexWriter *writer, sqlite3_stmt *find, gint64 *number, GError **error);
/* Begins a transaction unless there is one. */
gboolean tpd_index_writer_begin (TpdIndexWriter *writer, GError **error);

/* Makes `sql`. */
gboolean tpd_index_writer_prepare (TpdIndexWriter *writer, GError **error);
/* Writes the rows of `batch`, in a transaction that stays open. */
gboolean tpd_index_writer_put_batch (TpdIndexWriter *writer, const TpdIndexBatch *batch, GError **error);

/* What tpd_index_writer_finish() does besides committing; the thread has
 * ended. */
gboolean tpd_index_writer_tidy_up (TpdIndexWriter *writer, const TpdIndexFinish *finish, GError **error);
