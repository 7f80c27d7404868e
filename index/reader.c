/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the index: one connection, used by one thread.
 *
 * The rows of the directory entered are read with one range query and found
 * by a hash of their names: a walk asks for nearly all of them, in another
 * order than they lie in. A directory of more than MAX_LOADED rows is not
 * loaded, so that memory stays bounded; its rows are asked for one by one.
 * Statements are reset as soon as their rows are copied: a reader that holds
 * on to one would keep the writer's log from being folded back.
 */
#include <string.h>

#include "index/reader.h"

#define MAX_LOADED 16384
#define STRINGS_BLOCK (16 * 1024)
/* Keys are few; beyond that they are asked for again. */
#define MAX_KEYS 4096

static void
key_free (gpointer data)
{
  TpdIndexKey *key = data;

  g_free ((char *) key->guid);
  g_free ((char *) key->tenant);
  g_free ((char *) key->url);
  g_free (key);
}

gboolean
tpd_index_reader_fail (TpdIndexReader *reader, int code, GError **error)
{
  tpd_index_set_sqlite_error (error, reader->db, code, reader->index->path);
  return FALSE;
}

#define ROW_COLUMNS                                                                                                   \
  "name, ino, size, mtime_ns, ctime_ns, decoder, kind, verdict, size_class, opened, plain_size, extension, document," \
  " checked, opaque, container, members"

static gboolean
prepare (TpdIndexReader *reader, GError **error)
{
  const struct {
    sqlite3_stmt **statement;
    const char *sql;
  } all[] = {
    { &reader->find_dir, "SELECT id, error FROM dir WHERE source = ? AND path = ?" },
    { &reader->rows, "SELECT " ROW_COLUMNS " FROM probe WHERE dir = ? AND archive IS NULL ORDER BY name" },
    { &reader->row, "SELECT " ROW_COLUMNS " FROM probe WHERE dir = ? AND name = ?" },
    { &reader->members, "SELECT " ROW_COLUMNS " FROM probe WHERE dir = ? AND " TPD_INDEX_IS_MEMBER " ORDER BY name" },
    { &reader->all_rows, "SELECT " ROW_COLUMNS ", archive FROM probe WHERE dir = ? ORDER BY name" },
    { &reader->document,
      "SELECT key, issued, rms_owner, template_name, double_key, asked_with FROM document WHERE id = ?" },
    { &reader->key, "SELECT fingerprint, bits, guid, tenant, url FROM key WHERE id = ?" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    {
      *all[i].statement = tpd_index_prepare (reader->db, reader->index->path, all[i].sql, error);
      if (*all[i].statement == NULL)
        return FALSE;
    }
  return TRUE;
}

TpdIndexReader *
tpd_index_reader_new (TpdIndex *index, GError **error)
{
  g_autoptr (TpdIndexReader) reader = g_new0 (TpdIndexReader, 1);

  reader->index = index;
  reader->slots = g_array_new (FALSE, FALSE, sizeof (Slot));
  reader->strings = g_string_chunk_new (STRINGS_BLOCK);
  reader->last_strings = g_string_chunk_new (STRINGS_BLOCK);
  reader->single_name = g_string_new (NULL);
  reader->single_extension = g_string_new (NULL);
  reader->keys = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, key_free);
  reader->db = tpd_index_connect (index->path, error);
  if (reader->db == NULL || !prepare (reader, error))
    return NULL;
  return g_steal_pointer (&reader);
}

void
tpd_index_reader_free (TpdIndexReader *reader)
{
  if (reader == NULL)
    return;
  sqlite3_finalize (reader->find_dir);
  sqlite3_finalize (reader->rows);
  sqlite3_finalize (reader->row);
  sqlite3_finalize (reader->members);
  sqlite3_finalize (reader->all_rows);
  sqlite3_finalize (reader->document);
  sqlite3_finalize (reader->key);
  sqlite3_finalize (reader->dirs);
  sqlite3_finalize (reader->full_document);
  sqlite3_close (reader->db);
  g_hash_table_unref (reader->keys);
  g_array_unref (reader->slots);
  g_free (reader->table);
  g_string_chunk_free (reader->strings);
  g_string_chunk_free (reader->last_strings);
  g_string_free (reader->single_name, TRUE);
  g_string_free (reader->single_extension, TRUE);
  g_free (reader->dir);
  g_free (reader->dir_error);
  g_free (reader);
}

gboolean
tpd_index_reader_scan (TpdIndexReader *reader, TpdIndexScan *scan, GError **error)
{
  sqlite3_stmt *statement =
      tpd_index_prepare (reader->db, reader->index->path,
                         "SELECT started, finished, complete, files, bytes FROM source WHERE id = ?", error);
  int code;

  memset (scan, 0, sizeof *scan);
  if (statement == NULL)
    return FALSE;
  sqlite3_bind_int64 (statement, 1, reader->index->source);
  code = sqlite3_step (statement);
  if (code == SQLITE_ROW)
    {
      scan->started = sqlite3_column_int64 (statement, 0);
      scan->finished = sqlite3_column_int64 (statement, 1);
      scan->complete = sqlite3_column_int (statement, 2) != 0;
      scan->files = (guint64) sqlite3_column_int64 (statement, 3);
      scan->bytes = (guint64) sqlite3_column_int64 (statement, 4);
    }
  else if (code != SQLITE_DONE)
    tpd_index_reader_fail (reader, code, error);
  sqlite3_finalize (statement);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

/* --- Rows ------------------------------------------------------------- */

/* Enums out of a file are checked before anybody indexes a table with them. */
static guint
column_enum (sqlite3_stmt *statement, int column, guint n)
{
  gint64 value = sqlite3_column_int64 (statement, column);

  return value >= 0 && value < (gint64) n ? (guint) value : n;
}

/* FALSE: the row makes no sense, and is treated as if it were not there. */
gboolean
tpd_index_read_row (sqlite3_stmt *statement, TpdIndexRow *row)
{
  guint kind = column_enum (statement, 6, TPD_KIND_ZIP + 1);
  guint verdict = column_enum (statement, 7, TPD_N_VERDICTS);
  guint size_class = column_enum (statement, 8, TPD_SIZE_NEEDS_DECODING + 1);
  guint opaque = column_enum (statement, 14, TPD_N_OPAQUE);
  guint container = column_enum (statement, 15, TPD_INDEX_N_CONTAINER);

  if (opaque >= TPD_N_OPAQUE || container >= TPD_INDEX_N_CONTAINER || kind > TPD_KIND_ZIP || verdict >= TPD_N_VERDICTS
      || size_class > TPD_SIZE_NEEDS_DECODING)
    return FALSE;
  row->ino = (guint64) sqlite3_column_int64 (statement, 1);
  row->size = (guint64) sqlite3_column_int64 (statement, 2);
  row->mtime_ns = sqlite3_column_int64 (statement, 3);
  row->ctime_ns = sqlite3_column_int64 (statement, 4);
  row->decoder = (guint) sqlite3_column_int (statement, 5);
  row->kind = (TpdKind) kind;
  row->verdict = (TpdVerdict) verdict;
  row->size_class = (TpdSizeClass) size_class;
  row->opened = sqlite3_column_int (statement, 9) != 0;
  row->exact = sqlite3_column_type (statement, 10) == SQLITE_INTEGER;
  row->plain_size = (guint64) sqlite3_column_int64 (statement, 10);
  row->document = sqlite3_column_int64 (statement, 12);
  row->checked = sqlite3_column_int (statement, 13) != 0;
  row->opaque = (TpdOpaque) opaque;
  row->container = (TpdIndexContainer) container;
  row->members = (guint64) MAX (sqlite3_column_int64 (statement, 16), 0);
  row->archive = NULL;
  return TRUE;
}

/* The name; not NUL terminated. */
const char *
tpd_index_column_name (sqlite3_stmt *statement, int column, gsize *len)
{
  const char *name = sqlite3_column_blob (statement, column);

  *len = (gsize) sqlite3_column_bytes (statement, column);
  return name != NULL ? name : "";
}

/* FNV-1a: names are short and the table is ours. */
static guint
hash_name (const char *name, gsize len)
{
  guint hash = 2166136261u;

  for (gsize i = 0; i < len; i++)
    hash = (hash ^ (guint8) name[i]) * 16777619u;
  return hash;
}

static void
build_table (TpdIndexReader *reader)
{
  guint size = 16;

  while (size < reader->slots->len * 2)
    size *= 2;
  if (reader->table == NULL || reader->mask + 1 < size)
    {
      g_free (reader->table);
      reader->table = g_new (guint, size);
      reader->mask = size - 1;
    }
  memset (reader->table, 0, ((gsize) reader->mask + 1) * sizeof *reader->table);
  for (guint i = 0; i < reader->slots->len; i++)
    {
      guint at = g_array_index (reader->slots, Slot, i).hash & reader->mask;

      while (reader->table[at] != 0)
        at = (at + 1) & reader->mask;
      reader->table[at] = i + 1;
    }
}

static void
append_row (TpdIndexReader *reader)
{
  Slot slot = { 0 };
  gsize len;
  const char *name = tpd_index_column_name (reader->rows, 0, &len);
  const char *extension = (const char *) sqlite3_column_text (reader->rows, 11);

  if (!tpd_index_read_row (reader->rows, &slot.row))
    return;
  slot.hash = hash_name (name, len);
  slot.row.name = g_string_chunk_insert_len (reader->strings, name, (gssize) len);
  /* Few different ones, many times. */
  if (extension != NULL)
    slot.row.extension = g_string_chunk_insert_const (reader->strings, extension);
  g_array_append_val (reader->slots, slot);
}

static gboolean
load_rows (TpdIndexReader *reader, GError **error)
{
  int code;

  sqlite3_bind_int64 (reader->rows, 1, reader->dir_id);
  while ((code = sqlite3_step (reader->rows)) == SQLITE_ROW)
    {
      if (reader->slots->len == MAX_LOADED)
        {
          reader->huge = TRUE;
          g_array_set_size (reader->slots, 0);
          break;
        }
      append_row (reader);
    }
  if (code != SQLITE_DONE && code != SQLITE_ROW)
    tpd_index_reader_fail (reader, code, error);
  sqlite3_reset (reader->rows);
  build_table (reader);
  return code == SQLITE_DONE || code == SQLITE_ROW;
}

static gboolean
find_dir (TpdIndexReader *reader, const char *dir, GError **error)
{
  int code;

  sqlite3_bind_int64 (reader->find_dir, 1, reader->index->source);
  sqlite3_bind_blob64 (reader->find_dir, 2, dir, strlen (dir), SQLITE_STATIC);
  code = sqlite3_step (reader->find_dir);
  if (code == SQLITE_ROW)
    {
      reader->dir_id = sqlite3_column_int64 (reader->find_dir, 0);
      reader->dir_error = g_strdup ((const char *) sqlite3_column_text (reader->find_dir, 1));
    }
  else if (code != SQLITE_DONE)
    tpd_index_reader_fail (reader, code, error);
  sqlite3_reset (reader->find_dir);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

gboolean
tpd_index_reader_enter (TpdIndexReader *reader, const char *dir, GError **error)
{
  if (reader->dir != NULL && g_str_equal (reader->dir, dir))
    return TRUE;
  g_clear_pointer (&reader->dir, g_free);
  g_clear_pointer (&reader->dir_error, g_free);
  g_array_set_size (reader->slots, 0);
  g_string_chunk_clear (reader->strings);
  reader->dir_id = 0;
  reader->huge = FALSE;
  if (!find_dir (reader, dir, error) || (reader->dir_id != 0 && !load_rows (reader, error)))
    return FALSE;
  reader->dir = g_strdup (dir);
  return TRUE;
}

gint64
tpd_index_reader_dir_id (const TpdIndexReader *reader)
{
  return reader->dir_id;
}

const char *
tpd_index_reader_dir_error (const TpdIndexReader *reader)
{
  return reader->dir_error;
}

gboolean
tpd_index_reader_count (TpdIndexReader *reader, guint64 *count, GError **error)
{
  sqlite3_stmt *statement;
  int code;

  *count = reader->slots->len;
  if (!reader->huge)
    return TRUE;
  statement = tpd_index_prepare (reader->db, reader->index->path,
                                 "SELECT count(*) FROM probe WHERE dir = ? AND archive IS NULL", error);
  if (statement == NULL)
    return FALSE;
  sqlite3_bind_int64 (statement, 1, reader->dir_id);
  code = sqlite3_step (statement);
  if (code == SQLITE_ROW)
    *count = (guint64) sqlite3_column_int64 (statement, 0);
  else
    tpd_index_reader_fail (reader, code, error);
  sqlite3_finalize (statement);
  return code == SQLITE_ROW;
}

static Slot *
find_slot (TpdIndexReader *reader, const char *name, gsize len)
{
  guint hash = hash_name (name, len);

  if (reader->slots->len == 0)
    return NULL;
  for (guint at = hash & reader->mask; reader->table[at] != 0; at = (at + 1) & reader->mask)
    {
      Slot *slot = &g_array_index (reader->slots, Slot, reader->table[at] - 1);

      if (slot->hash == hash && strcmp (slot->row.name, name) == 0)
        return slot;
    }
  return NULL;
}

static gboolean
ask_single (TpdIndexReader *reader, const char *name, gsize len, const TpdIndexRow **row, GError **error)
{
  const char *extension;
  int code;

  sqlite3_bind_int64 (reader->row, 1, reader->dir_id);
  sqlite3_bind_blob64 (reader->row, 2, name, len, SQLITE_STATIC);
  code = sqlite3_step (reader->row);
  if (code == SQLITE_ROW && tpd_index_read_row (reader->row, &reader->single))
    {
      extension = (const char *) sqlite3_column_text (reader->row, 11);
      g_string_assign (reader->single_name, name);
      g_string_assign (reader->single_extension, extension != NULL ? extension : "");
      reader->single.name = reader->single_name->str;
      reader->single.extension = extension != NULL ? reader->single_extension->str : NULL;
      *row = &reader->single;
    }
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    tpd_index_reader_fail (reader, code, error);
  sqlite3_reset (reader->row);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

gboolean
tpd_index_reader_lookup (TpdIndexReader *reader, const char *name, const TpdIndexRow **row, GError **error)
{
  gsize len = strlen (name);
  Slot *slot;

  *row = NULL;
  if (reader->huge)
    return ask_single (reader, name, len, row, error);
  slot = find_slot (reader, name, len);
  if (slot != NULL)
    {
      slot->seen = TRUE;
      *row = &slot->row;
    }
  return TRUE;
}

gboolean
tpd_index_reader_each_name (TpdIndexReader *reader, TpdIndexEachName each, gpointer data, GError **error)
{
  sqlite3_stmt *statement = tpd_index_prepare (reader->db, reader->index->path,
                                               "SELECT name FROM probe WHERE dir = ? AND archive IS NULL", error);
  int code;

  if (statement == NULL)
    return FALSE;
  sqlite3_bind_int64 (statement, 1, reader->dir_id);
  while ((code = sqlite3_step (statement)) == SQLITE_ROW)
    {
      gsize len;
      const char *bytes = tpd_index_column_name (statement, 0, &len);
      g_autofree char *name = g_strndup (bytes, len);

      each (data, name);
    }
  if (code != SQLITE_DONE)
    tpd_index_reader_fail (reader, code, error);
  sqlite3_finalize (statement);
  return code == SQLITE_DONE;
}

gboolean
tpd_index_reader_each_unseen (TpdIndexReader *reader, TpdIndexEachName each, gpointer data)
{
  if (reader->huge)
    return FALSE;
  for (guint i = 0; i < reader->slots->len; i++)
    {
      const Slot *slot = &g_array_index (reader->slots, Slot, i);

      if (!slot->seen)
        each (data, slot->row.name);
    }
  return TRUE;
}

/* --- Documents -------------------------------------------------------- */

static char *
dup_column (sqlite3_stmt *statement, int column)
{
  return g_strdup ((const char *) sqlite3_column_text (statement, column));
}

static gboolean
find_key (TpdIndexReader *reader, gint64 id, const TpdIndexKey **found, GError **error)
{
  TpdIndexKey *key;
  int code;

  *found = g_hash_table_lookup (reader->keys, &id);
  if (*found != NULL)
    return TRUE;
  sqlite3_bind_int64 (reader->key, 1, id);
  code = sqlite3_step (reader->key);
  if (code == SQLITE_ROW && sqlite3_column_bytes (reader->key, 0) == TPD_SHA256_SIZE)
    {
      key = g_new0 (TpdIndexKey, 1);
      memcpy (key->fingerprint.bytes, sqlite3_column_blob (reader->key, 0), TPD_SHA256_SIZE);
      key->bits = (guint) sqlite3_column_int (reader->key, 1);
      key->guid = dup_column (reader->key, 2);
      key->tenant = dup_column (reader->key, 3);
      key->url = dup_column (reader->key, 4);
      if (g_hash_table_size (reader->keys) >= MAX_KEYS)
        g_hash_table_remove_all (reader->keys);
      g_hash_table_insert (reader->keys, g_memdup2 (&id, sizeof id), key);
      *found = key;
    }
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    tpd_index_reader_fail (reader, code, error);
  sqlite3_reset (reader->key);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

const char *
tpd_index_reader_keep (TpdIndexReader *reader, sqlite3_stmt *statement, int column)
{
  const char *text = (const char *) sqlite3_column_text (statement, column);

  return text != NULL ? g_string_chunk_insert (reader->last_strings, text) : NULL;
}

/* Its key, and the statement done with. */
gboolean
tpd_index_reader_finish_document (TpdIndexReader *reader, sqlite3_stmt *statement, gint64 key_id, GError **error)
{
  const TpdIndexKey *key = NULL;

  sqlite3_reset (statement);
  if (key_id != 0 && !find_key (reader, key_id, &key, error))
    return FALSE;
  reader->last.has_key = key != NULL;
  if (key != NULL)
    reader->last.key = *key;
  return TRUE;
}

gboolean
tpd_index_reader_document (TpdIndexReader *reader, gint64 id, const TpdIndexDocument **document, GError **error)
{
  sqlite3_stmt *statement = reader->document;
  int code;

  *document = NULL;
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
  reader->last = (TpdIndexDocument){ .id = id };
  reader->last.issued = tpd_index_reader_keep (reader, statement, 1);
  reader->last.rms_owner = tpd_index_reader_keep (reader, statement, 2);
  reader->last.template_name = tpd_index_reader_keep (reader, statement, 3);
  reader->last.double_key = sqlite3_column_int (statement, 4) != 0;
  reader->last.asked_with = (guint64) sqlite3_column_int64 (statement, 5);
  if (!tpd_index_reader_finish_document (reader, statement, sqlite3_column_int64 (statement, 0), error))
    return FALSE;
  *document = &reader->last;
  return TRUE;
}

/* --- Members of archives ------------------------------------------------ */

static gboolean
tell_member (TpdIndexReader *reader, const char *archive, TpdIndexEachMember each, gpointer data, GError **error)
{
  const TpdIndexDocument *document = NULL;
  const char *bytes, *extension;
  g_autofree char *name = NULL;
  TpdIndexRow row = { 0 };
  gsize len;

  if (!tpd_index_read_row (reader->members, &row))
    return TRUE;
  if (row.document != 0 && !tpd_index_reader_document (reader, row.document, &document, error))
    return FALSE;
  bytes = tpd_index_column_name (reader->members, 0, &len);
  name = g_strndup (bytes, len);
  extension = (const char *) sqlite3_column_text (reader->members, 11);
  row.name = name;
  row.extension = extension;
  row.archive = archive;
  each (data, &row, document);
  return TRUE;
}

gboolean
tpd_index_reader_each_member (TpdIndexReader *reader, const char *name, TpdIndexEachMember each, gpointer data,
                              GError **error)
{
  int code = SQLITE_ROW;
  gboolean good = TRUE;

  sqlite3_bind_int64 (reader->members, 1, reader->dir_id);
  tpd_index_bind_members (reader->members, 2, name);
  while (good && (code = sqlite3_step (reader->members)) == SQLITE_ROW)
    good = tell_member (reader, name, each, data, error);
  if (good && code != SQLITE_DONE)
    good = tpd_index_reader_fail (reader, code, error);
  sqlite3_reset (reader->members);
  return good;
}
