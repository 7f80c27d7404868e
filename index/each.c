/* SPDX-License-Identifier: Apache-2.0 */
/* All of the index in order, for reports: see tpd_index_reader_each(). */
#include <string.h>

#include "index/reader.h"

static gboolean
prepare_report (TpdIndexReader *reader, GError **error)
{
  if (reader->dirs == NULL)
    reader->dirs = tpd_index_prepare (reader->db, reader->index->path,
                                      "SELECT id, path, error FROM dir WHERE source = ? ORDER BY path", error);
  if (reader->dirs == NULL)
    return FALSE;
  if (reader->full_document == NULL)
    reader->full_document = tpd_index_prepare (
        reader->db, reader->index->path,
        "SELECT key, message, content_id, policy_id, rms_owner, author, issued, template_id,"
        " template_name, cipher, proof, double_key, json, signature, expires, linked, rights, asked_with FROM document"
        " LEFT JOIN detail ON detail.document = document.id WHERE id = ?",
        error);
  return reader->full_document != NULL;
}

static TpdIndexRights
read_rights (sqlite3_stmt *statement, int column)
{
  if (sqlite3_column_type (statement, column) == SQLITE_NULL)
    return TPD_INDEX_RIGHTS_CLOSED;
  return sqlite3_column_int (statement, column) != 0 ? TPD_INDEX_RIGHTS_READ : TPD_INDEX_RIGHTS_UNREADABLE;
}

static gboolean
full_document (TpdIndexReader *reader, gint64 id, const TpdIndexDocument **document, GError **error)
{
  sqlite3_stmt *statement = reader->full_document;
  TpdIndexDocument *last = &reader->last;
  int code;

  *document = NULL;
  if (id == 0)
    return TRUE;
  sqlite3_bind_int64 (statement, 1, id);
  code = sqlite3_step (statement);
  if (code != SQLITE_ROW)
    {
      if (code != SQLITE_DONE)
        tpd_index_reader_fail (reader, code, error);
      sqlite3_reset (statement);
      return code == SQLITE_DONE;
    }
  g_string_chunk_clear (reader->last_strings);
  *last = (TpdIndexDocument){ .id = id };
  last->message = tpd_index_reader_keep (reader, statement, 1);
  last->content_id = tpd_index_reader_keep (reader, statement, 2);
  last->policy_id = tpd_index_reader_keep (reader, statement, 3);
  last->rms_owner = tpd_index_reader_keep (reader, statement, 4);
  last->author = tpd_index_reader_keep (reader, statement, 5);
  last->issued = tpd_index_reader_keep (reader, statement, 6);
  last->template_id = tpd_index_reader_keep (reader, statement, 7);
  last->template_name = tpd_index_reader_keep (reader, statement, 8);
  last->cipher = tpd_index_reader_keep (reader, statement, 9);
  last->proof = tpd_index_reader_keep (reader, statement, 10);
  last->double_key = sqlite3_column_int (statement, 11) != 0;
  last->json = tpd_index_reader_keep (reader, statement, 12);
  last->signature = tpd_index_reader_keep (reader, statement, 13);
  last->expires = tpd_index_reader_keep (reader, statement, 14);
  last->linked = sqlite3_column_int (statement, 15) != 0;
  last->rights = read_rights (statement, 16);
  last->asked_with = (guint64) sqlite3_column_int64 (statement, 17);
  if (!tpd_index_reader_finish_document (reader, statement, sqlite3_column_int64 (statement, 0), error))
    return FALSE;
  *document = last;
  return TRUE;
}

/* One row of a report; `*go_on` as the callback says. */
static gboolean
tell_row (TpdIndexReader *reader, const char *dir, TpdIndexWhich which, TpdIndexEach each, gpointer data,
          gboolean *go_on, GError **error)
{
  TpdIndexEntry entry = { .dir = dir };
  TpdIndexRow row = { 0 };
  const char *bytes, *extension;
  g_autofree char *name = NULL, *archive = NULL;
  gsize len;

  if (!tpd_index_read_row (reader->all_rows, &row))
    return TRUE;
  if (row.document == 0
      && (which == TPD_INDEX_DOCUMENTS
          || (which == TPD_INDEX_AND_OPAQUE && row.opaque == TPD_OPAQUE_NONE && row.members == 0)))
    return TRUE;
  if (!full_document (reader, row.document, &entry.document, error))
    return FALSE;
  bytes = tpd_index_column_name (reader->all_rows, 0, &len);
  name = g_strndup (bytes, len);
  extension = (const char *) sqlite3_column_text (reader->all_rows, 11);
  row.name = name;
  if (sqlite3_column_type (reader->all_rows, 17) == SQLITE_BLOB)
    {
      bytes = tpd_index_column_name (reader->all_rows, 17, &len);
      archive = g_strndup (bytes, len);
    }
  row.archive = archive;
  row.extension = extension;
  entry.row = &row;
  *go_on = each (data, &entry);
  return TRUE;
}

static gboolean
tell_dir (TpdIndexReader *reader, gint64 id, const char *dir, TpdIndexWhich which, TpdIndexEach each, gpointer data,
          gboolean *go_on, GError **error)
{
  int code = SQLITE_ROW;
  gboolean good = TRUE;

  sqlite3_bind_int64 (reader->all_rows, 1, id);
  while (good && *go_on && (code = sqlite3_step (reader->all_rows)) == SQLITE_ROW)
    good = tell_row (reader, dir, which, each, data, go_on, error);
  if (good && code != SQLITE_DONE && code != SQLITE_ROW)
    good = tpd_index_reader_fail (reader, code, error);
  sqlite3_reset (reader->all_rows);
  return good;
}

gboolean
tpd_index_reader_each (TpdIndexReader *reader, const TpdIndexVisited *visited, TpdIndexWhich which, TpdIndexEach each,
                       gpointer data, GError **error)
{
  gboolean good = TRUE, go_on = TRUE;
  int code = SQLITE_ROW;

  if (!prepare_report (reader, error))
    return FALSE;
  sqlite3_bind_int64 (reader->dirs, 1, reader->index->source);
  while (good && go_on && (code = sqlite3_step (reader->dirs)) == SQLITE_ROW)
    {
      gint64 id = sqlite3_column_int64 (reader->dirs, 0);
      gsize len;
      const char *bytes = tpd_index_column_name (reader->dirs, 1, &len);
      const char *why = (const char *) sqlite3_column_text (reader->dirs, 2);
      g_autofree char *dir = g_strndup (bytes, len);

      if (visited != NULL && !tpd_index_visited_has (visited, id))
        continue;
      /* What lay in it is from before, if at all. */
      if (why != NULL)
        go_on = each (data, &(TpdIndexEntry){ .dir = dir, .dir_error = why });
      else
        good = tell_dir (reader, id, dir, which, each, data, &go_on, error);
    }
  if (good && code != SQLITE_DONE && code != SQLITE_ROW)
    good = tpd_index_reader_fail (reader, code, error);
  sqlite3_reset (reader->dirs);
  return good;
}
