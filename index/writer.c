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
/* The log is folded back when it is as long: on the way, not at the end when
 * nothing else is left to do. */
#define LOG_BYTES (4 * 1024 * 1024)

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
      if (batch != NULL
              ? tpd_index_writer_put_batch (writer, batch, &writer->error) && commit_if_due (writer, &writer->error)
              : commit (writer, &writer->error))
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
  good = tpd_index_writer_ask (writer, statement, &cut_short, error);
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
  sqlite3_bind_text (statement, 1, TPDFS_VERSION, -1, SQLITE_STATIC);
  sqlite3_bind_int64 (statement, 2, writer->index->source);
  good = tpd_index_writer_step (writer, statement, error);
  sqlite3_finalize (statement);
  return good;
}

static gboolean
limit_log (TpdIndexWriter *writer, GError **error)
{
  sqlite3_stmt *statement = tpd_index_prepare (writer->db, writer->index->path, "PRAGMA page_size", error);
  gint64 size = 0;
  gboolean good = statement != NULL && tpd_index_writer_ask (writer, statement, &size, error);

  sqlite3_finalize (statement);
  if (good && size > 0)
    sqlite3_wal_autocheckpoint (writer->db, (int) (LOG_BYTES / size));
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
  writer->key_uses = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, g_free);
  writer->visited.bits = g_byte_array_new ();
  writer->db = tpd_index_connect (index->path, error);
  if (writer->db == NULL || !limit_log (writer, error) || !tpd_index_writer_prepare (writer, error)
      || !read_complete (writer, error) || !mark_started (writer, error)
      || !tpd_index_writer_ask (writer, writer->sql.version, &writer->version, error))
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
  g_hash_table_unref (writer->key_uses);
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
