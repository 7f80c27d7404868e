/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows that a TpdIndexWriter writes.
 *
 * Most rows of a first scan are those of plain files, and none is there yet:
 * a row is tried to be added, those of plain files with no more than what tells
 * them apart; only the one that is there already is replaced. Since that is
 * told, the use of keys can be counted on the way as long as nothing was
 * replaced (tidy.c). And as long as nothing was, rows of plain files are added
 * many at a time: beginning and ending a statement costs as much as a row.
 */
#include <string.h>

#include "index/writer.h"

#define MAX_REMEMBERED 65536
/* Rows of plain files that one statement adds. */
#define PLAINS 16
#define FILE_PARAMETERS 6 /* of bind_file() */

#define COLUMNS                                                                                                  \
  "dir, name, ino, size, mtime_ns, ctime_ns, decoder, kind, verdict, size_class, opened, plain_size, extension," \
  " document, checked, opaque, container, members, archive"

/* Of a plain file, of which there is nothing else to tell. */
static gboolean
is_plain (const TpdIndexItem *item)
{
  const TpdIndexRow *row = &item->row;

  return item->document == NULL && item->link == 0 && row->document == 0 && row->decoder == TPD_DECODER_VERSION
         && row->kind == TPD_KIND_PLAIN && row->verdict == TPD_VERDICT_NOT_PROTECTED
         && row->size_class == TPD_SIZE_EXACT && !row->opened && !row->exact && row->extension == NULL && !row->checked
         && row->opaque == TPD_OPAQUE_NONE && row->container == TPD_INDEX_CONTAINER_NONE && row->members == 0
         && row->archive == NULL;
}

/* Adds `n` rows of plain files. (transfer full) */
static char *
add_plains (guint n)
{
  GString *sql = g_string_new ("INSERT OR FAIL INTO probe (" COLUMNS ") VALUES ");

  for (guint i = 0; i < n; i++)
    g_string_append_printf (sql, "%s(?, ?, ?, ?, ?, ?, %u, %d, %d, %d, 0, NULL, NULL, NULL, 0, %d, %d, 0, NULL)",
                            i > 0 ? ", " : "", TPD_DECODER_VERSION, TPD_KIND_PLAIN, TPD_VERDICT_NOT_PROTECTED,
                            TPD_SIZE_EXACT, TPD_OPAQUE_NONE, TPD_INDEX_CONTAINER_NONE);
  /* OR FAIL: for what may be undone by halves SQLite would keep every page that
   * is changed. After an error all of the transaction is. */
  g_string_append (sql, " ON CONFLICT DO NOTHING");
  return g_string_free (sql, FALSE);
}

gboolean
tpd_index_writer_prepare (TpdIndexWriter *writer, GError **error)
{
  Statements *sql = &writer->sql;
  g_autofree char *plain = add_plains (1), *plains = add_plains (PLAINS);
  const struct {
    sqlite3_stmt **statement;
    const char *text;
  } all[] = {
    { &sql->begin, "BEGIN IMMEDIATE" },
    { &sql->commit, "COMMIT" },
    { &sql->rollback, "ROLLBACK" },
    { &sql->find_dir, "SELECT id FROM dir WHERE source = ? AND path = ?" },
    { &sql->add_dir, "INSERT INTO dir (source, path) VALUES (?, ?)" },
    { &sql->set_error, "UPDATE dir SET error = ? WHERE id = ?" },
    { &sql->version, "PRAGMA data_version" },
    { &sql->add_plain, plain },
    { &sql->add_plains, plains },
    { &sql->add, "INSERT INTO probe (" COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                 " ON CONFLICT DO NOTHING" },
    { &sql->replace,
      "UPDATE probe SET document = CASE WHEN ?20 AND ino = ?3 AND size = ?4 AND mtime_ns = ?5 AND ctime_ns = ?6"
      " THEN document ELSE ?14 END, ino = ?3, size = ?4, mtime_ns = ?5, ctime_ns = ?6, decoder = ?7, kind = ?8,"
      " verdict = ?9, size_class = ?10, opened = ?11, plain_size = ?12, extension = ?13, checked = ?15, opaque = ?16,"
      " container = ?17, members = ?18, archive = ?19 WHERE dir = ?1 AND name = ?2" },
    { &sql->remove, "DELETE FROM probe WHERE dir = ? AND name = ?" },
    { &sql->remove_members, "DELETE FROM probe WHERE dir = ? AND " TPD_INDEX_IS_MEMBER },
    { &sql->find_key, "SELECT id FROM key WHERE fingerprint = ?" },
    { &sql->add_key, "INSERT INTO key (fingerprint, guid, bits, tenant, url) VALUES (?, ?, ?, ?, ?)" },
    { &sql->add_document,
      "INSERT INTO document (key, message, content_id, policy_id, rms_owner, author, issued, template_id,"
      " template_name, cipher, proof, double_key, signature, expires, linked, rights, asked_with)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" },
    { &sql->add_detail, "INSERT OR REPLACE INTO detail (document, json) VALUES (?, ?)" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    {
      *all[i].statement = tpd_index_prepare (writer->db, writer->index->path, all[i].text, error);
      if (*all[i].statement == NULL)
        return FALSE;
    }
  return TRUE;
}

/* --- Rows ------------------------------------------------------------- */

gboolean
tpd_index_writer_ask (TpdIndexWriter *writer, sqlite3_stmt *find, gint64 *number, GError **error)
{
  int code = sqlite3_step (find);

  *number = code == SQLITE_ROW ? sqlite3_column_int64 (find, 0) : 0;
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    tpd_index_writer_fail (writer, code, error);
  sqlite3_reset (find);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

static gboolean
dir_id (TpdIndexWriter *writer, const char *dir, gint64 *id, GError **error)
{
  sqlite3_stmt *add = writer->sql.add_dir, *find = writer->sql.find_dir;

  if (writer->last_dir != NULL && g_str_equal (writer->last_dir, dir))
    {
      *id = writer->last_dir_id;
      return TRUE;
    }
  sqlite3_bind_int64 (find, 1, writer->index->source);
  sqlite3_bind_blob64 (find, 2, dir, strlen (dir), SQLITE_STATIC);
  if (!tpd_index_writer_ask (writer, find, id, error))
    return FALSE;
  if (*id == 0)
    {
      sqlite3_bind_int64 (add, 1, writer->index->source);
      sqlite3_bind_blob64 (add, 2, dir, strlen (dir), SQLITE_STATIC);
      if (!tpd_index_writer_step (writer, add, error))
        return FALSE;
      *id = sqlite3_last_insert_rowid (writer->db);
    }
  g_free (writer->last_dir);
  writer->last_dir = g_strdup (dir);
  writer->last_dir_id = *id;
  return TRUE;
}

static void
bind_text (sqlite3_stmt *statement, int at, const char *text)
{
  if (text != NULL)
    sqlite3_bind_text (statement, at, text, -1, SQLITE_STATIC);
  else
    sqlite3_bind_null (statement, at);
}

static gboolean
key_id (TpdIndexWriter *writer, const TpdIndexKey *key, gint64 *id, GError **error)
{
  sqlite3_stmt *add = writer->sql.add_key, *find = writer->sql.find_key;
  g_autoptr (GBytes) fingerprint = g_bytes_new (key->fingerprint.bytes, TPD_SHA256_SIZE);
  const gint64 *known = g_hash_table_lookup (writer->keys, fingerprint);

  if (known != NULL)
    {
      *id = *known;
      return TRUE;
    }
  sqlite3_bind_blob (find, 1, key->fingerprint.bytes, TPD_SHA256_SIZE, SQLITE_STATIC);
  if (!tpd_index_writer_ask (writer, find, id, error))
    return FALSE;
  if (*id == 0)
    {
      sqlite3_bind_blob (add, 1, key->fingerprint.bytes, TPD_SHA256_SIZE, SQLITE_STATIC);
      bind_text (add, 2, key->guid);
      sqlite3_bind_int64 (add, 3, key->bits);
      bind_text (add, 4, key->tenant);
      bind_text (add, 5, key->url);
      if (!tpd_index_writer_step (writer, add, error))
        return FALSE;
      *id = sqlite3_last_insert_rowid (writer->db);
    }
  if (g_hash_table_size (writer->keys) >= MAX_REMEMBERED)
    g_hash_table_remove_all (writer->keys);
  g_hash_table_insert (writer->keys, g_steal_pointer (&fingerprint), g_memdup2 (id, sizeof *id));
  return TRUE;
}

static gboolean
add_document (TpdIndexWriter *writer, const TpdIndexDocument *document, gint64 *id, GError **error)
{
  sqlite3_stmt *add = writer->sql.add_document, *detail = writer->sql.add_detail;
  gint64 key = 0;

  if (document->has_key && !key_id (writer, &document->key, &key, error))
    return FALSE;
  if (key != 0)
    sqlite3_bind_int64 (add, 1, key);
  else
    sqlite3_bind_null (add, 1);
  bind_text (add, 2, document->message);
  bind_text (add, 3, document->content_id);
  bind_text (add, 4, document->policy_id);
  bind_text (add, 5, document->rms_owner);
  bind_text (add, 6, document->author);
  bind_text (add, 7, document->issued);
  bind_text (add, 8, document->template_id);
  bind_text (add, 9, document->template_name);
  bind_text (add, 10, document->cipher);
  bind_text (add, 11, document->proof);
  sqlite3_bind_int (add, 12, document->double_key);
  bind_text (add, 13, document->signature);
  bind_text (add, 14, document->expires);
  sqlite3_bind_int (add, 15, document->linked);
  if (document->rights == TPD_INDEX_RIGHTS_CLOSED)
    sqlite3_bind_null (add, 16);
  else
    sqlite3_bind_int (add, 16, document->rights == TPD_INDEX_RIGHTS_READ);
  sqlite3_bind_int64 (add, 17, (gint64) document->asked_with);
  if (!tpd_index_writer_step (writer, add, error))
    return FALSE;
  *id = sqlite3_last_insert_rowid (writer->db);
  if (document->json == NULL)
    return TRUE;
  sqlite3_bind_int64 (detail, 1, *id);
  bind_text (detail, 2, document->json);
  return tpd_index_writer_step (writer, detail, error);
}

static gboolean
document_id (TpdIndexWriter *writer, const TpdIndexItem *item, gint64 *id, GError **error)
{
  const gint64 *known = item->link != 0 ? g_hash_table_lookup (writer->links, &item->link) : NULL;

  *id = known != NULL ? *known : 0;
  if (*id != 0 || item->document == NULL)
    return TRUE;
  if (!add_document (writer, item->document, id, error))
    return FALSE;
  if (item->link != 0)
    {
      if (g_hash_table_size (writer->links) >= MAX_REMEMBERED)
        g_hash_table_remove_all (writer->links);
      g_hash_table_insert (writer->links, g_memdup2 (&item->link, sizeof item->link), g_memdup2 (id, sizeof *id));
    }
  return TRUE;
}

/* What every row has, behind the parameter `before`. */
static void
bind_file (sqlite3_stmt *statement, int before, gint64 dir, const TpdIndexRow *row)
{
  sqlite3_bind_int64 (statement, before + 1, dir);
  sqlite3_bind_blob64 (statement, before + 2, row->name, strlen (row->name), SQLITE_STATIC);
  sqlite3_bind_int64 (statement, before + 3, (gint64) row->ino);
  sqlite3_bind_int64 (statement, before + 4, (gint64) row->size);
  sqlite3_bind_int64 (statement, before + 5, row->mtime_ns);
  sqlite3_bind_int64 (statement, before + 6, row->ctime_ns);
}

static void
bind_row (sqlite3_stmt *statement, gint64 dir, const TpdIndexRow *row, gint64 document)
{
  bind_file (statement, 0, dir, row);
  sqlite3_bind_int64 (statement, 7, row->decoder);
  sqlite3_bind_int64 (statement, 8, (gint64) row->kind);
  sqlite3_bind_int64 (statement, 9, (gint64) row->verdict);
  sqlite3_bind_int64 (statement, 10, (gint64) row->size_class);
  sqlite3_bind_int64 (statement, 11, row->opened);
  if (row->exact)
    sqlite3_bind_int64 (statement, 12, (gint64) row->plain_size);
  else
    sqlite3_bind_null (statement, 12);
  bind_text (statement, 13, row->extension);
  if (document != 0)
    sqlite3_bind_int64 (statement, 14, document);
  else
    sqlite3_bind_null (statement, 14);
  sqlite3_bind_int (statement, 15, row->checked);
  sqlite3_bind_int64 (statement, 16, (gint64) row->opaque);
  sqlite3_bind_int64 (statement, 17, (gint64) row->container);
  sqlite3_bind_int64 (statement, 18, (gint64) MIN (row->members, (guint64) G_MAXINT64));
  if (row->archive != NULL)
    sqlite3_bind_blob64 (statement, 19, row->archive, strlen (row->archive), SQLITE_STATIC);
  else
    sqlite3_bind_null (statement, 19);
}

static gboolean
count_key (TpdIndexWriter *writer, const TpdIndexItem *item, GError **error)
{
  TpdIndexKeyUse *use;
  gint64 key;

  if (item->document == NULL)
    writer->recount = TRUE; /* the key of another link's document */
  if (writer->recount || !item->document->has_key)
    return TRUE;
  if (!key_id (writer, &item->document->key, &key, error))
    return FALSE;
  use = g_hash_table_lookup (writer->key_uses, &key);
  if (use == NULL)
    {
      use = g_new0 (TpdIndexKeyUse, 1);
      use->key = key;
      g_hash_table_add (writer->key_uses, use);
    }
  use->files++;
  use->bytes += item->row.size;
  /* Then SQLite counts, and refuses what is too large for it. */
  if (g_hash_table_size (writer->key_uses) > MAX_REMEMBERED || use->bytes > G_MAXINT64 || use->bytes < item->row.size)
    writer->recount = TRUE;
  return TRUE;
}

/* Adds the row, or replaces the one that is there. */
static gboolean
put (TpdIndexWriter *writer, gint64 dir, const TpdIndexItem *item, GError **error)
{
  sqlite3_stmt *statement = writer->sql.add_plain;
  const TpdIndexRow *row = &item->row;
  gint64 document = 0;

  if (is_plain (item))
    bind_file (statement, 0, dir, row);
  else
    {
      if (!document_id (writer, item, &document, error))
        return FALSE;
      statement = writer->sql.add;
      bind_row (statement, dir, row, document);
    }
  if (!tpd_index_writer_step (writer, statement, error))
    return FALSE;
  if (sqlite3_changes (writer->db) > 0)
    return document == 0 || count_key (writer, item, error);
  writer->replaced = TRUE;
  statement = writer->sql.replace;
  bind_row (statement, dir, row, document);
  sqlite3_bind_int (statement, 20, document == 0 && row->document == TPD_INDEX_KEEP_DOCUMENT);
  return tpd_index_writer_step (writer, statement, error);
}

/* Rows of plain files that are not written yet. */
typedef struct {
  const TpdIndexItem *items[PLAINS];
  guint n;
} Waiting;

static gboolean
put_waiting (TpdIndexWriter *writer, gint64 dir, Waiting *waiting, GError **error)
{
  sqlite3_stmt *statement = writer->sql.add_plains;
  const guint n = waiting->n;

  waiting->n = 0;
  if (n == PLAINS && !writer->replaced)
    {
      for (guint i = 0; i < n; i++)
        bind_file (statement, (int) (i * FILE_PARAMETERS), dir, &waiting->items[i]->row);
      if (!tpd_index_writer_step (writer, statement, error))
        return FALSE;
      if (sqlite3_changes (writer->db) == PLAINS)
        return TRUE;
    }
  /* Those that were added just now are replaced by themselves. */
  for (guint i = 0; i < n; i++)
    if (!put (writer, dir, waiting->items[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
remove_members (TpdIndexWriter *writer, gint64 dir, const char *name, GError **error)
{
  sqlite3_stmt *statement = writer->sql.remove_members;

  writer->replaced = TRUE;
  sqlite3_bind_int64 (statement, 1, dir);
  tpd_index_bind_members (statement, 2, name);
  return tpd_index_writer_step (writer, statement, error);
}

static gboolean
remove_row (TpdIndexWriter *writer, gint64 dir, const char *name, GError **error)
{
  sqlite3_stmt *statement = writer->sql.remove;

  if (!remove_members (writer, dir, name, error))
    return FALSE;
  sqlite3_bind_int64 (statement, 1, dir);
  sqlite3_bind_blob64 (statement, 2, name, strlen (name), SQLITE_STATIC);
  return tpd_index_writer_step (writer, statement, error);
}

static gboolean
store_error (TpdIndexWriter *writer, gint64 dir, const char *message, GError **error)
{
  bind_text (writer->sql.set_error, 1, message);
  sqlite3_bind_int64 (writer->sql.set_error, 2, dir);
  return tpd_index_writer_step (writer, writer->sql.set_error, error);
}

/* Rows of plain files wait for more; others of the same batch have other names. */
static gboolean
write_item (TpdIndexWriter *writer, gint64 dir, const TpdIndexItem *item, Waiting *waiting, GError **error)
{
  if (item->operation == TPD_INDEX_PUT && is_plain (item))
    {
      waiting->items[waiting->n++] = item;
      return waiting->n < PLAINS || put_waiting (writer, dir, waiting, error);
    }
  if (item->operation != TPD_INDEX_PUT && !put_waiting (writer, dir, waiting, error))
    return FALSE;
  switch (item->operation)
    {
    case TPD_INDEX_REMOVE:
      return remove_row (writer, dir, item->row.name, error);
    case TPD_INDEX_REMOVE_MEMBERS:
      return remove_members (writer, dir, item->row.name, error);
    default:
      return put (writer, dir, item, error);
    }
}

gboolean
tpd_index_writer_put_batch (TpdIndexWriter *writer, const TpdIndexBatch *batch, GError **error)
{
  gint64 id = batch->id;
  guint n = batch->items != NULL ? batch->items->len : 0;
  Waiting waiting = { .n = 0 };

  if (n > 0 || batch->has_error)
    {
      if (!tpd_index_writer_begin (writer, error) || !dir_id (writer, batch->dir, &id, error))
        return FALSE;
      if (batch->has_error && !store_error (writer, id, batch->error, error))
        return FALSE;
      writer->changed = TRUE;
    }
  for (guint i = 0; i < n; i++)
    {
      const TpdIndexItem *item = &g_array_index (batch->items, TpdIndexItem, i);

      if (!write_item (writer, id, item, &waiting, error))
        return FALSE;
      writer->rows++;
    }
  if (!put_waiting (writer, id, &waiting, error))
    return FALSE;
  if (id != 0)
    tpd_index_visited_add (&writer->visited, id);
  return TRUE;
}
