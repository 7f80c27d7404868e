/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a scan: what is gone is forgotten, and keys are counted. */
#include "index/writer.h"

/* Directories that were not visited and are no more. */
static gboolean
forget_gone (TpdIndexWriter *writer, const TpdIndexFinish *finish, GError **error)
{
  const char *path = writer->index->path;
  sqlite3_stmt *all = NULL, *rows = NULL, *dir = NULL;
  gboolean good;
  int code = SQLITE_DONE;

  all = tpd_index_prepare (writer->db, path, "SELECT id, path FROM dir WHERE source = ?", error);
  rows = all != NULL ? tpd_index_prepare (writer->db, path, "DELETE FROM probe WHERE dir = ?", error) : NULL;
  dir = rows != NULL ? tpd_index_prepare (writer->db, path, "DELETE FROM dir WHERE id = ?", error) : NULL;
  good = dir != NULL;
  if (good)
    sqlite3_bind_int64 (all, 1, writer->index->source);
  while (good && (code = sqlite3_step (all)) == SQLITE_ROW)
    {
      gint64 id = sqlite3_column_int64 (all, 0);
      const char *bytes = sqlite3_column_blob (all, 1);
      g_autofree char *name = g_strndup (bytes != NULL ? bytes : "", (gsize) sqlite3_column_bytes (all, 1));

      if (tpd_index_visited_has (&writer->visited, id) || !finish->is_gone (finish->data, name))
        continue;
      writer->changed = writer->replaced = TRUE;
      sqlite3_bind_int64 (rows, 1, id);
      sqlite3_bind_int64 (dir, 1, id);
      good = tpd_index_writer_step (writer, rows, error) && tpd_index_writer_step (writer, dir, error);
    }
  if (good && code != SQLITE_DONE)
    good = tpd_index_writer_fail (writer, code, error);
  sqlite3_finalize (all);
  sqlite3_finalize (rows);
  sqlite3_finalize (dir);
  return good;
}

static gboolean
run_sql (TpdIndexWriter *writer, const char *sql, GError **error)
{
  return tpd_index_run (writer->db, writer->index->path, sql, error);
}

static gboolean
count_keys (TpdIndexWriter *writer, GError **error)
{
  g_autofree char *sql = g_strdup_printf (
      "DELETE FROM key_use WHERE source = %" G_GINT64_FORMAT ";"
      "INSERT INTO key_use (source, key, files, bytes) SELECT dir.source, document.key, count(*), sum(probe.size)"
      " FROM document JOIN probe ON probe.document = document.id JOIN dir ON dir.id = probe.dir"
      " WHERE document.key IS NOT NULL AND dir.source = %" G_GINT64_FORMAT " GROUP BY document.key;"
      "DELETE FROM key WHERE id NOT IN (SELECT key FROM key_use)"
      " AND NOT EXISTS (SELECT 1 FROM document WHERE document.key = key.id);",
      writer->index->source, writer->index->source);

  return run_sql (writer, sql, error);
}

/* What was counted on the way holds if every row that came was a new one, and
 * nobody else wrote meanwhile. */
static gboolean
is_counted (TpdIndexWriter *writer, gboolean *counted, GError **error)
{
  gint64 version;

  *counted = FALSE;
  if (writer->replaced || writer->recount)
    return TRUE;
  if (!tpd_index_writer_ask (writer, writer->sql.version, &version, error))
    return FALSE;
  *counted = version == writer->version;
  return TRUE;
}

static gboolean
add_key_uses (TpdIndexWriter *writer, GError **error)
{
  GHashTableIter iter;
  gpointer value;
  gboolean good = TRUE;
  sqlite3_stmt *add = tpd_index_prepare (writer->db, writer->index->path,
                                         "INSERT INTO key_use (source, key, files, bytes) VALUES (?, ?, ?, ?)"
                                         " ON CONFLICT DO UPDATE SET files = files + excluded.files,"
                                         " bytes = bytes + excluded.bytes",
                                         error);

  if (add == NULL)
    return FALSE;
  g_hash_table_iter_init (&iter, writer->key_uses);
  while (good && g_hash_table_iter_next (&iter, NULL, &value))
    {
      const TpdIndexKeyUse *use = value;

      sqlite3_bind_int64 (add, 1, writer->index->source);
      sqlite3_bind_int64 (add, 2, use->key);
      sqlite3_bind_int64 (add, 3, (gint64) use->files);
      sqlite3_bind_int64 (add, 4, (gint64) use->bytes);
      good = tpd_index_writer_step (writer, add, error);
    }
  sqlite3_finalize (add);
  return good;
}

static gboolean
update_keys (TpdIndexWriter *writer, GError **error)
{
  gboolean counted;

  if (!is_counted (writer, &counted, error))
    return FALSE;
  return counted ? add_key_uses (writer, error) : count_keys (writer, error);
}

static gboolean
mark_held (TpdIndexWriter *writer, const TpdKeyring *keyring, GError **error)
{
  sqlite3_stmt *statement;
  gboolean good = run_sql (writer, "UPDATE key SET held = 0 WHERE held = 1", error);

  if (!good || keyring == NULL)
    return good;
  statement =
      tpd_index_prepare (writer->db, writer->index->path, "UPDATE key SET held = 1 WHERE fingerprint = ?", error);
  good = statement != NULL;
  for (guint i = 0; good && i < keyring->keys->len; i++)
    {
      const TpdKeyInfo *key = g_ptr_array_index (keyring->keys, i);

      if (key->state != TPD_KEY_HELD)
        continue;
      sqlite3_bind_blob (statement, 1, key->public_key.fingerprint.bytes, TPD_SHA256_SIZE, SQLITE_STATIC);
      good = tpd_index_writer_step (writer, statement, error);
    }
  sqlite3_finalize (statement);
  return good;
}

static gboolean
mark_finished (TpdIndexWriter *writer, const TpdIndexFinish *finish, GError **error)
{
  g_autofree char *sql = g_strdup_printf (
      "UPDATE source SET finished = unixepoch (), complete = 1, files = %" G_GUINT64_FORMAT
      ", bytes = %" G_GUINT64_FORMAT " WHERE id = %" G_GINT64_FORMAT,
      MIN (finish->files, (guint64) G_MAXINT64), MIN (finish->bytes, (guint64) G_MAXINT64), writer->index->source);

  return run_sql (writer, sql, error);
}

gboolean
tpd_index_writer_tidy_up (TpdIndexWriter *writer, const TpdIndexFinish *finish, GError **error)
{
  if (!tpd_index_writer_begin (writer, error))
    return FALSE;
  if (finish->complete && !forget_gone (writer, finish, error))
    return FALSE;
  if (writer->replaced
      && !run_sql (writer,
                   "DELETE FROM document WHERE NOT EXISTS (SELECT 1 FROM probe WHERE probe.document = document.id);"
                   "DELETE FROM detail WHERE NOT EXISTS (SELECT 1 FROM document WHERE document.id = detail.document);",
                   error))
    return FALSE;
  if (writer->changed && !update_keys (writer, error))
    return FALSE;
  return mark_held (writer, finish->keyring, error) && (!finish->complete || mark_finished (writer, finish, error));
}
