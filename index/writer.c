/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one thread that writes. Batches come in through a queue that is bounded
 * by bytes, so that fast finders wait for a slow disk and memory does not
 * grow; they go out in transactions that are closed after some thousand rows
 * or a second, so that a killed scan loses no more than that.
 *
 * The lock guards the queue and nothing else. Everything marked "of the
 * thread" belongs to the writing thread until it has ended, which is when
 * tpd_index_writer_finish() uses it. After an error the thread goes on taking
 * batches and throws them away, so that nobody waits for ever.
 */
#include <string.h>

#include "base/error.h"
#include "index/writer.h"

#define QUEUE_BYTES (8 * 1024 * 1024)
#define TRANSACTION_ROWS 8192
#define TRANSACTION_US G_USEC_PER_SEC
#define MAX_REMEMBERED 65536

gboolean
tpd_index_writer_fail (TpdIndexWriter *writer, int code, GError **error)
{
  tpd_index_set_sqlite_error (error, writer->db, code, writer->index->path);
  return FALSE;
}

gboolean
tpd_index_writer_step (TpdIndexWriter *writer, sqlite3_stmt *statement, GError **error)
{
  return tpd_index_step_done (writer->db, writer->index->path, statement, error);
}

static gboolean
prepare (TpdIndexWriter *writer, GError **error)
{
  Statements *sql = &writer->sql;
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
    { &sql->put,
      "INSERT INTO probe (dir, name, ino, size, mtime_ns, ctime_ns, decoder, kind, verdict, size_class, opened,"
      " plain_size, extension, document, checked, opaque, container, members, archive)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
      " ON CONFLICT (dir, name) DO UPDATE SET document = CASE WHEN ?20"
      " AND ino = excluded.ino AND size = excluded.size AND mtime_ns = excluded.mtime_ns"
      " AND ctime_ns = excluded.ctime_ns THEN document ELSE excluded.document END,"
      " ino = excluded.ino, size = excluded.size, mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns,"
      " decoder = excluded.decoder, kind = excluded.kind, verdict = excluded.verdict,"
      " size_class = excluded.size_class, opened = excluded.opened, plain_size = excluded.plain_size,"
      " extension = excluded.extension, checked = excluded.checked, opaque = excluded.opaque,"
      " container = excluded.container, members = excluded.members, archive = excluded.archive" },
    { &sql->remove, "DELETE FROM probe WHERE dir = ? AND name = ?" },
    { &sql->remove_members, "DELETE FROM probe WHERE dir = ? AND " TPD_INDEX_IS_MEMBER },
    { &sql->find_key, "SELECT id FROM key WHERE fingerprint = ?" },
    { &sql->add_key, "INSERT INTO key (fingerprint, guid, bits, tenant, url) VALUES (?, ?, ?, ?, ?)" },
    { &sql->add_document,
      "INSERT INTO document (key, message, content_id, policy_id, rms_owner, author, issued, template_id,"
      " template_name, cipher, proof, double_key, signature, expires, linked, rights)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)" },
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

static void
finalize (TpdIndexWriter *writer)
{
  sqlite3_stmt *statement;

  while ((statement = sqlite3_next_stmt (writer->db, NULL)) != NULL)
    sqlite3_finalize (statement);
}

/* --- Transactions ----------------------------------------------------- */

gboolean
tpd_index_writer_begin (TpdIndexWriter *writer, GError **error)
{
  if (writer->in_transaction)
    return TRUE;
  if (!tpd_index_writer_step (writer, writer->sql.begin, error))
    return FALSE;
  writer->in_transaction = TRUE;
  writer->rows = 0;
  writer->began = g_get_monotonic_time ();
  return TRUE;
}

/* After an error SQLite may have done so already. */
static void
roll_back (TpdIndexWriter *writer)
{
  writer->in_transaction = FALSE;
  if (!sqlite3_get_autocommit (writer->db))
    sqlite3_step (writer->sql.rollback);
  sqlite3_reset (writer->sql.rollback);
}

static gboolean
commit (TpdIndexWriter *writer, GError **error)
{
  if (!writer->in_transaction)
    return TRUE;
  if (!tpd_index_writer_step (writer, writer->sql.commit, error))
    return FALSE;
  writer->in_transaction = FALSE;
  return TRUE;
}

static gboolean
commit_if_due (TpdIndexWriter *writer, GError **error)
{
  if (!writer->in_transaction
      || (writer->rows < TRANSACTION_ROWS && g_get_monotonic_time () - writer->began < TRANSACTION_US))
    return TRUE;
  return commit (writer, error);
}

/* --- Rows ------------------------------------------------------------- */

/* The id that `find` gives, 0 if none. */
static gboolean
ask_id (TpdIndexWriter *writer, sqlite3_stmt *find, gint64 *id, GError **error)
{
  int code = sqlite3_step (find);

  *id = code == SQLITE_ROW ? sqlite3_column_int64 (find, 0) : 0;
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
  if (!ask_id (writer, find, id, error))
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
  if (!ask_id (writer, find, id, error))
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

static gboolean
put (TpdIndexWriter *writer, gint64 dir, const TpdIndexItem *item, GError **error)
{
  sqlite3_stmt *statement = writer->sql.put;
  const TpdIndexRow *row = &item->row;
  gint64 document;

  if (!document_id (writer, item, &document, error))
    return FALSE;
  sqlite3_bind_int64 (statement, 1, dir);
  sqlite3_bind_blob64 (statement, 2, row->name, strlen (row->name), SQLITE_STATIC);
  sqlite3_bind_int64 (statement, 3, (gint64) row->ino);
  sqlite3_bind_int64 (statement, 4, (gint64) row->size);
  sqlite3_bind_int64 (statement, 5, row->mtime_ns);
  sqlite3_bind_int64 (statement, 6, row->ctime_ns);
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
  sqlite3_bind_int (statement, 20, document == 0 && row->document == TPD_INDEX_KEEP_DOCUMENT);
  return tpd_index_writer_step (writer, statement, error);
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

static gboolean
write_item (TpdIndexWriter *writer, gint64 dir, const TpdIndexItem *item, GError **error)
{
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

static gboolean
write_batch (TpdIndexWriter *writer, const TpdIndexBatch *batch, GError **error)
{
  gint64 id = batch->id;
  guint n = batch->items != NULL ? batch->items->len : 0;

  if (n > 0 || batch->has_error)
    {
      if (!tpd_index_writer_begin (writer, error) || !dir_id (writer, batch->dir, &id, error))
        return FALSE;
      if (batch->has_error && !store_error (writer, id, batch->error, error))
        return FALSE;
      writer->changed = TRUE;
      /* A directory that was known may have had the rows that are put. */
      if (batch->id != 0)
        writer->replaced = TRUE;
    }
  for (guint i = 0; i < n; i++)
    {
      const TpdIndexItem *item = &g_array_index (batch->items, TpdIndexItem, i);

      if (!write_item (writer, id, item, error))
        return FALSE;
      writer->rows++;
    }
  if (id != 0)
    tpd_index_visited_add (&writer->visited, id);
  return commit_if_due (writer, error);
}

/* --- The thread ------------------------------------------------------- */

/* The next batch; NULL: none within a second of the transaction's begin, or
 * none any more (`*ended`). */
static TpdIndexBatch *
next_batch (TpdIndexWriter *writer, gboolean *ended)
{
  TpdIndexBatch *batch;

  g_mutex_lock (&writer->lock);
  while (g_queue_is_empty (&writer->queue) && !writer->ending)
    {
      if (!writer->in_transaction)
        g_cond_wait (&writer->not_empty, &writer->lock);
      else if (!g_cond_wait_until (&writer->not_empty, &writer->lock, writer->began + TRANSACTION_US))
        break;
    }
  batch = g_queue_pop_head (&writer->queue);
  *ended = batch == NULL && writer->ending;
  if (batch != NULL)
    {
      writer->queued_bytes -= batch->bytes;
      g_cond_broadcast (&writer->not_full);
    }
  g_mutex_unlock (&writer->lock);
  return batch;
}

static gpointer
run (gpointer data)
{
  TpdIndexWriter *writer = data;
  gboolean ended = FALSE;

  while (!ended)
    {
      g_autoptr (TpdIndexBatch) batch = next_batch (writer, &ended);

      if (writer->error != NULL)
        continue;
      if (batch != NULL ? write_batch (writer, batch, &writer->error) : commit (writer, &writer->error))
        continue;
      roll_back (writer);
      g_atomic_int_set (&writer->failed, 1);
    }
  return NULL;
}

/* After a scan that was cut short, what is done at the end of one has to be
 * done whatever comes. */
static gboolean
read_complete (TpdIndexWriter *writer, GError **error)
{
  sqlite3_stmt *statement = tpd_index_prepare (writer->db, writer->index->path,
                                               "SELECT started <> 0 AND complete = 0 FROM source WHERE id = ?", error);
  gint64 cut_short = 0;
  gboolean good;

  if (statement == NULL)
    return FALSE;
  sqlite3_bind_int64 (statement, 1, writer->index->source);
  good = ask_id (writer, statement, &cut_short, error);
  sqlite3_finalize (statement);
  writer->changed = writer->replaced = cut_short != 0;
  return good;
}

/* The scan counts as incomplete until it is finished. */
static gboolean
mark_started (TpdIndexWriter *writer, GError **error)
{
  sqlite3_stmt *statement = tpd_index_prepare (
      writer->db, writer->index->path,
      "UPDATE source SET started = unixepoch (), complete = 0, tool_version = ? WHERE id = ?", error);
  gboolean good;

  if (statement == NULL)
    return FALSE;
  bind_text (statement, 1, TPDFS_VERSION);
  sqlite3_bind_int64 (statement, 2, writer->index->source);
  good = tpd_index_writer_step (writer, statement, error);
  sqlite3_finalize (statement);
  return good;
}

TpdIndexWriter *
tpd_index_writer_start (TpdIndex *index, GError **error)
{
  g_autoptr (TpdIndexWriter) writer = g_new0 (TpdIndexWriter, 1);

  writer->index = index;
  g_mutex_init (&writer->lock);
  g_cond_init (&writer->not_empty);
  g_cond_init (&writer->not_full);
  g_queue_init (&writer->queue);
  writer->keys = g_hash_table_new_full (g_bytes_hash, g_bytes_equal, (GDestroyNotify) g_bytes_unref, g_free);
  writer->links = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  writer->visited.bits = g_byte_array_new ();
  writer->db = tpd_index_connect (index->path, error);
  if (writer->db == NULL || !prepare (writer, error) || !read_complete (writer, error) || !mark_started (writer, error))
    return NULL;
  writer->thread = g_thread_new ("index-writer", run, writer);
  return g_steal_pointer (&writer);
}

gboolean
tpd_index_writer_submit (TpdIndexWriter *writer, TpdIndexBatch *batch)
{
  if (g_atomic_int_get (&writer->failed) != 0)
    {
      tpd_index_batch_free (batch);
      return FALSE;
    }
  g_mutex_lock (&writer->lock);
  while (writer->queued_bytes > QUEUE_BYTES)
    g_cond_wait (&writer->not_full, &writer->lock);
  writer->queued_bytes += batch->bytes;
  g_queue_push_tail (&writer->queue, batch);
  g_cond_signal (&writer->not_empty);
  g_mutex_unlock (&writer->lock);
  return TRUE;
}

static void
end_thread (TpdIndexWriter *writer)
{
  if (writer->thread == NULL)
    return;
  g_mutex_lock (&writer->lock);
  writer->ending = TRUE;
  g_cond_signal (&writer->not_empty);
  g_mutex_unlock (&writer->lock);
  g_thread_join (g_steal_pointer (&writer->thread));
}

void
tpd_index_writer_free (TpdIndexWriter *writer)
{
  if (writer == NULL)
    return;
  end_thread (writer);
  if (writer->db != NULL)
    finalize (writer);
  sqlite3_close (writer->db);
  g_clear_error (&writer->error);
  g_hash_table_unref (writer->keys);
  g_hash_table_unref (writer->links);
  g_byte_array_unref (writer->visited.bits);
  g_free (writer->last_dir);
  g_mutex_clear (&writer->lock);
  g_cond_clear (&writer->not_empty);
  g_cond_clear (&writer->not_full);
  g_free (writer);
}

const TpdIndexVisited *
tpd_index_writer_visited (const TpdIndexWriter *writer)
{
  return &writer->visited;
}

gboolean
tpd_index_writer_finish (TpdIndexWriter *writer, const TpdIndexFinish *finish, GError **error)
{
  end_thread (writer);
  if (writer->error == NULL && commit (writer, &writer->error) && finish != NULL
      && tpd_index_writer_tidy_up (writer, finish, &writer->error))
    commit (writer, &writer->error);
  if (writer->error == NULL)
    return TRUE;
  roll_back (writer);
  g_propagate_error (error, g_steal_pointer (&writer->error));
  return FALSE;
}
