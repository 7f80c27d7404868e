/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a TpdIndexWriter, for writer.c and tidy.c. */
#pragma once

#include "index/private.h"

typedef struct {
  sqlite3_stmt *begin, *commit, *rollback;
  sqlite3_stmt *find_dir, *add_dir, *set_error;
  sqlite3_stmt *put, *remove, *remove_members;
  sqlite3_stmt *find_key, *add_key, *add_document, *add_detail;
} Statements;

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
  gboolean replaced; /* documents may have lost their last row */
  char *last_dir;    /* the directory last written, and its id */
  gint64 last_dir_id;
  GHashTable *keys;  /* fingerprint (hex) -> id */
  GHashTable *links; /* link number -> id of document */
  TpdIndexVisited visited;
};

/* Sets `*error` from SQLite's `code`; FALSE. */
gboolean tpd_index_writer_fail (TpdIndexWriter *writer, int code, GError **error);
/* Runs a statement that gives no row. */
gboolean tpd_index_writer_step (TpdIndexWriter *writer, sqlite3_stmt *statement, GError **error);
/* Begins a transaction unless there is one. */
gboolean tpd_index_writer_begin (TpdIndexWriter *writer, GError **error);

/* What tpd_index_writer_finish() does besides committing; the thread has
 * ended. */
gboolean tpd_index_writer_tidy_up (TpdIndexWriter *writer, const TpdIndexFinish *finish, GError **error);
