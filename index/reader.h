/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a TpdIndexReader, for reader.c and each.c. */
#pragma once

#include "index/private.h"

typedef struct {
  TpdIndexRow row;
  guint hash;
  gboolean seen;
} Slot;

struct _TpdIndexReader {
  TpdIndex *index;
  sqlite3 *db;
  sqlite3_stmt *find_dir, *rows, *row, *members, *all_rows, *document, *key;
  sqlite3_stmt *dirs, *full_document; /* prepared when a report asks */

  char *dir; /* NULL: none entered */
  gint64 dir_id;
  char *dir_error;
  gboolean huge;
  GArray *slots;         /* of Slot: the rows loaded */
  guint *table;          /* hash table over `slots`: index + 1, 0: empty */
  guint mask;            /* its size - 1 */
  GStringChunk *strings; /* of the rows loaded */

  TpdIndexRow single; /* the row last asked for alone, its strings: */
  GString *single_name, *single_extension;
  TpdIndexDocument last; /* the document last asked for, its strings: */
  GStringChunk *last_strings;
  GHashTable *keys; /* id -> TpdIndexKey with owned strings */
};

/* Sets `*error` from SQLite's `code`; FALSE. */
gboolean tpd_index_reader_fail (TpdIndexReader *reader, int code, GError **error);

/* The columns of ROW_COLUMNS but name and extension. FALSE: the row makes no
 * sense, and is treated as if it were not there. */
gboolean tpd_index_read_row (sqlite3_stmt *statement, TpdIndexRow *row);
/* A column of bytes; not NUL terminated. */
const char *tpd_index_column_name (sqlite3_stmt *statement, int column, gsize *len);

/* A column of text, kept as long as `reader->last`. */
const char *tpd_index_reader_keep (TpdIndexReader *reader, sqlite3_stmt *statement, int column);
/* Resets `statement`, and adds its key to `reader->last`. */
gboolean tpd_index_reader_finish_document (TpdIndexReader *reader, sqlite3_stmt *statement, gint64 key_id,
                                           GError **error);
