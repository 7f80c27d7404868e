/* SPDX-License-Identifier: Apache-2.0 */
/* Opening the index of a source: see index/index.h. */
#include "index/index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "index/private.h"

/* Half a SHA-256 is plenty to tell paths apart. */
#define SOURCE_ID_BYTES 16
/* 500 million directories; ids beyond are those of a damaged file. */
#define VISITED_MAX (64 * 1024 * 1024)

char *
tpd_index_source_id (const char *real_root)
{
  static const char prefix[] = "tpdfs source:";
  g_autofree char *text = g_strconcat (prefix, real_root, NULL);
  guint8 digest[TPD_SHA256_SIZE];

  tpd_sha256 (text, strlen (text), digest);
  return tpd_hex (digest, SOURCE_ID_BYTES);
}

/* The row of the source, made if there is none. */
static gboolean
find_source (TpdIndex *index, sqlite3 *db, GError **error)
{
  sqlite3_stmt *insert, *select;
  gboolean good = FALSE;

  insert = tpd_index_prepare (db, index->path, "INSERT OR IGNORE INTO source (source_id, path) VALUES (?, ?)", error);
  select =
      insert == NULL ? NULL : tpd_index_prepare (db, index->path, "SELECT id FROM source WHERE source_id = ?", error);
  if (select != NULL)
    {
      sqlite3_bind_text (insert, 1, index->source_id, -1, SQLITE_STATIC);
      sqlite3_bind_blob (insert, 2, index->real_root, (int) strlen (index->real_root), SQLITE_STATIC);
      sqlite3_bind_text (select, 1, index->source_id, -1, SQLITE_STATIC);
      good = tpd_index_step_done (db, index->path, insert, error);
    }
  if (good)
    {
      int code = sqlite3_step (select);

      good = code == SQLITE_ROW;
      if (good)
        index->source = sqlite3_column_int64 (select, 0);
      else
        tpd_index_set_sqlite_error (error, db, code, index->path);
    }
  sqlite3_finalize (insert);
  sqlite3_finalize (select);
  return good;
}

static gboolean
open_database (TpdIndex *index, GError **error)
{
  sqlite3 *db;
  gboolean good;

  if (!tpd_index_secure_file (index->path, error))
    return FALSE;
  db = tpd_index_connect (index->path, error);
  if (db == NULL)
    return FALSE;
  good = tpd_index_prepare_schema (db, index->path, index->network, error) && find_source (index, db, error);
  sqlite3_close (db);
  return good;
}

static gboolean
open_or_rebuild (TpdIndex *index, GError **error)
{
  g_autoptr (GError) wrong = NULL;

  if (open_database (index, &wrong))
    return TRUE;
  if (!g_error_matches (wrong, TPD_ERROR, TPD_ERROR_DAMAGED))
    {
      g_propagate_error (error, g_steal_pointer (&wrong));
      return FALSE;
    }
  return tpd_index_rename_bad (index->path, wrong->message, error) && open_database (index, error);
}

TpdIndex *
tpd_index_open (const char *path, const char *root, GError **error)
{
  g_autoptr (TpdIndex) index = g_new0 (TpdIndex, 1);
  char *real = realpath (root, NULL);
  int fd;

  if (real == NULL)
    {
      tpd_error_set_errno (error, errno, "cannot open %s", root);
      return NULL;
    }
  index->real_root = g_strdup (real);
  free (real);
  index->source_id = tpd_index_source_id (index->real_root);
  fd = open (index->real_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    {
      tpd_error_set_errno (error, errno, "cannot open %s", root);
      return NULL;
    }
  index->path = tpd_index_place (path, index->source_id, fd, TRUE, &index->network, error);
  close (fd);
  if (index->path == NULL || !open_or_rebuild (index, error))
    return NULL;
  return g_steal_pointer (&index);
}

void
tpd_index_free (TpdIndex *index)
{
  if (index == NULL)
    return;
  sqlite3_close (index->pin);
  g_free (index->path);
  g_free (index->real_root);
  g_free (index->source_id);
  g_free (index);
}

const char *
tpd_index_path (const TpdIndex *index)
{
  return index->path;
}

gboolean
tpd_index_set_aside (TpdIndex *index, const char *why, GError **error)
{
  return tpd_index_rename_bad (index->path, why, error);
}

void
tpd_index_row_set_stamp (TpdIndexRow *row, const TpdStamp *stamp)
{
  row->ino = stamp->ino;
  row->size = stamp->size;
  row->mtime_ns = stamp->mtime_ns;
  row->ctime_ns = stamp->ctime_ns;
  row->decoder = TPD_DECODER_VERSION;
}

gboolean
tpd_index_row_is_current (const TpdIndexRow *row, const TpdStamp *stamp)
{
  return row->decoder == TPD_DECODER_VERSION && row->ino == stamp->ino && row->size == stamp->size
         && row->mtime_ns == stamp->mtime_ns && row->ctime_ns == stamp->ctime_ns;
}

/* --- Visited directories ---------------------------------------------- */

void
tpd_index_visited_add (TpdIndexVisited *visited, gint64 id)
{
  gsize at = (gsize) id / 8;

  if (id < 0 || at >= VISITED_MAX)
    return;
  if (at >= visited->bits->len)
    {
      guint old = visited->bits->len;

      g_byte_array_set_size (visited->bits, (guint) MAX (at + 1, old * 2));
      memset (visited->bits->data + old, 0, visited->bits->len - old);
    }
  visited->bits->data[at] |= (guint8) (1u << (id % 8));
}

gboolean
tpd_index_visited_has (const TpdIndexVisited *visited, gint64 id)
{
  gsize at = (gsize) id / 8;

  if (id < 0 || at >= visited->bits->len)
    return FALSE;
  return (visited->bits->data[at] >> (id % 8) & 1) != 0;
}
