/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the index share: a folder with a source and an index. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "index/index.h"

typedef struct {
  char *folder, *root, *path;
} Fixture;

static inline void
fixture_set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("tpd-index-XXXXXX", NULL);
  g_assert_nonnull (f->folder);
  f->root = g_build_filename (f->folder, "source", NULL);
  f->path = g_build_filename (f->folder, "index.sqlite", NULL);
  g_assert_cmpint (g_mkdir (f->root, 0700), ==, 0);
  tpd_log_init ("test", TPD_LOG_ERROR);
}

static inline void
fixture_tear_down (Fixture *f, gconstpointer data)
{
  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", f->folder);

  g_assert_cmpint (system (command), ==, 0);
  g_free (f->folder);
  g_free (f->root);
  g_free (f->path);
}

static inline TpdIndex *
open_index (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  TpdIndex *index = tpd_index_open (f->path, f->root, &error);

  g_assert_no_error (error);
  g_assert_nonnull (index);
  return index;
}

/* A row whose numbers all differ. */
static inline TpdIndexRow
row_of (const char *name, guint64 n)
{
  return (TpdIndexRow){
    .name = name,
    .ino = n,
    .size = n + 1,
    .mtime_ns = (gint64) n + 2,
    .ctime_ns = (gint64) n + 3,
    .decoder = TPD_DECODER_VERSION,
    .kind = TPD_KIND_PFILE,
    .verdict = TPD_VERDICT_NO_KEY,
    .size_class = TPD_SIZE_NEEDS_KEY,
    .extension = ".txt",
  };
}

static inline TpdIndexDocument
document_of (guint8 key)
{
  TpdIndexDocument document = {
    .has_key = TRUE,
    .key = { .bits = 2048, .guid = "04f83314-0efd-4d98-b609-17c4b389b980", .tenant = "tenant", .url = "https://url" },
    .message = "sentence",
    .content_id = "content",
    .policy_id = "policy",
    .rms_owner = "owner",
    .author = "author",
    .issued = "2021-05-06T07:08",
    .template_id = "template",
    .template_name = "name",
    .cipher = "aes-128-ecb",
    .proof = "plausible",
    .double_key = TRUE,
    .asked_with = 0xfedcba9876543210,
    .json = "{\"proof\":null}",
  };

  memset (document.key.fingerprint.bytes, key, TPD_SHA256_SIZE);
  return document;
}

/* Writes one batch with a writer of its own. */
static inline void
write_batch (TpdIndex *index, TpdIndexBatch *batch, const TpdIndexFinish *finish)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdIndexWriter) writer = tpd_index_writer_start (index, &error);

  g_assert_no_error (error);
  g_assert_true (tpd_index_writer_submit (writer, batch));
  tpd_index_writer_finish (writer, finish, &error);
  g_assert_no_error (error);
}

static inline void
write_row (TpdIndex *index, const char *dir, const TpdIndexRow *row, const TpdIndexDocument *document)
{
  TpdIndexBatch *batch = tpd_index_batch_new (dir, 0);

  tpd_index_batch_put (batch, row, document, 0);
  write_batch (index, batch, NULL);
}

static inline TpdIndexReader *
read_index (TpdIndex *index)
{
  g_autoptr (GError) error = NULL;
  TpdIndexReader *reader = tpd_index_reader_new (index, &error);

  g_assert_no_error (error);
  return reader;
}

static inline const TpdIndexRow *
find_row (TpdIndexReader *reader, const char *dir, const char *name)
{
  g_autoptr (GError) error = NULL;
  const TpdIndexRow *row = NULL;

  tpd_index_reader_enter (reader, dir, &error);
  g_assert_no_error (error);
  tpd_index_reader_lookup (reader, name, &row, &error);
  g_assert_no_error (error);
  return row;
}

/* The number that a query by hand gives. */
static inline gint64
ask_number (const char *path, const char *sql)
{
  sqlite3 *db = NULL;
  sqlite3_stmt *statement = NULL;
  gint64 number;

  g_assert_cmpint (sqlite3_open_v2 (path, &db, SQLITE_OPEN_READWRITE, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_prepare_v2 (db, sql, -1, &statement, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_step (statement), ==, SQLITE_ROW);
  number = sqlite3_column_int64 (statement, 0);
  sqlite3_finalize (statement);
  sqlite3_close (db);
  return number;
}

static inline gboolean
never_gone (gpointer data, const char *dir)
{
  return FALSE;
}

static inline gboolean
always_gone (gpointer data, const char *dir)
{
  return TRUE;
}
