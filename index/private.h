/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of index/: connections, errors, the tables. */
#pragma once

#include <sqlite3.h>

#include "index/index.h"

struct _TpdIndex {
  char *path; /* absolute */
  char *real_root;
  char *source_id;
  gint64 source;    /* its row */
  gboolean network; /* on a file system without shared memory: no WAL */
  sqlite3 *pin;     /* kept open by tpd_index_reach(), may be NULL */
};

/* Says what SQLite found wrong, with the remedy. */
void tpd_index_set_sqlite_error (GError **error, sqlite3 *db, int code, const char *path);

/* Before anything else is asked of SQLite. */
void tpd_index_set_up_sqlite (void);

/* A connection for one thread, with limits and time-outs set. */
sqlite3 *tpd_index_connect (const char *path, GError **error);
/* Likewise with SQLite's `flags` and `vfs` (may be NULL), waiting for others no
 * longer than `busy_ms`. */
sqlite3 *tpd_index_connect_as (const char *path, int flags, const char *vfs, int busy_ms, GError **error);

/* NULL with error. */
sqlite3_stmt *tpd_index_prepare (sqlite3 *db, const char *path, const char *sql, GError **error);
gboolean tpd_index_run (sqlite3 *db, const char *path, const char *sql, GError **error);
/* Runs a prepared statement that gives no row, and resets it. */
gboolean tpd_index_step_done (sqlite3 *db, const char *path, sqlite3_stmt *statement, GError **error);

/* Makes the tables in an empty database; checks the marks of any other
 * (TPD_ERROR_DAMAGED: foreign, or of another version). */
gboolean tpd_index_prepare_schema (sqlite3 *db, const char *path, gboolean network, GError **error);
/* Checks the marks, and writes nothing. */
gboolean tpd_index_check_schema (sqlite3 *db, const char *path, GError **error);

/* The condition that picks the members of an archive, with three parameters in
 * this order; and what binds them from `at` on. */
#define TPD_INDEX_IS_MEMBER "name >= ? AND name < ? AND archive = ?"
void tpd_index_bind_members (sqlite3_stmt *statement, int at, const char *name);

/* --- Where it lies (place.c) ------------------------------------------ */

/* The absolute path for `path` (NULL: default), made sure not to lie beneath
 * `root_fd`; with `make` the folder is made if it is the default. (transfer full) */
char *tpd_index_place (const char *path, const char *source_id, int root_fd, gboolean make, gboolean *network,
                       GError **error);
/* Makes the file 0600, or checks the one that is there. */
gboolean tpd_index_secure_file (const char *path, GError **error);
/* Whether only this user can have written what is at `path` and beside it;
 * changes nothing. TPD_ERROR_ERRNO + ENOENT: there is nothing. */
gboolean tpd_index_trust_file (const char *path, GError **error);
/* Renames the database and its log. */
gboolean tpd_index_rename_bad (const char *path, const char *why, GError **error);

/* --- Batches, seen by the writer -------------------------------------- */

typedef enum { TPD_INDEX_PUT, TPD_INDEX_REMOVE, TPD_INDEX_REMOVE_MEMBERS } TpdIndexOperation;

typedef struct {
  TpdIndexOperation operation;
  TpdIndexRow row; /* but for PUT: name only */
  const TpdIndexDocument *document;
  guint64 link;
} TpdIndexItem;

struct _TpdIndexBatch {
  char *dir;
  gint64 id;
  GArray *items;         /* of TpdIndexItem */
  GStringChunk *strings; /* what they point to */
  GPtrArray *documents;  /* of TpdIndexDocument, likewise */
  gboolean has_error;    /* `error` is to be stored */
  char *error;
  gsize bytes; /* roughly, for the bound of the queue */
};

/* --- Visited directories ---------------------------------------------- */

/* Ids of directories are small and dense: a bit for each. */
struct _TpdIndexVisited {
  GByteArray *bits;
};

void tpd_index_visited_add (TpdIndexVisited *visited, gint64 id);
gboolean tpd_index_visited_has (const TpdIndexVisited *visited, gint64 id);
