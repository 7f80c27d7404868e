/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hints from an index: see hints.h.
 *
 * SQLite keeps a log and shared memory beside a database that is written and
 * read at once; readers need both, and lock parts of the memory. All of it is
 * opened before the process is confined, and stays open: nothing is opened
 * later. Database and log are opened for reading only, so that no document that
 * took over the process could put rows into an index that others believe; of
 * the memory that is not possible.
 */
#include "index/hints.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "index/reader.h"

/* Who asks serves somebody who waits, and can look for himself. */
#define BUSY_MS 20
#define CACHE_KIB "-1024"
#define MAX_TRIES 10
/* Opening it is worth waiting for a scan that is ending. */
#define PATIENCE_US (2 * G_USEC_PER_SEC)
#define READ_ONLY_VFS "tpd-read-only"

typedef struct {
  sqlite3 *db;
  sqlite3_stmt *find_dir, *all, *one;
} Connection;

struct _TpdIndexHints {
  char *path;
  const TpdKeyring *keyring;
  guint64 held_mark; /* of the keyring */
  gint64 source;
  int shm_fd;    /* of the memory; -1: none */
  gint shm_size; /* the largest seen; atomic */

  GMutex lock;
  GCond given_back;
  GPtrArray *connections; /* of Connection, those that are free; under lock */
};

struct _TpdIndexPage {
  gint ref_count; /* atomic */
  GArray *hints;  /* of TpdIndexHint */
  guint *table;   /* hash table over `hints`: index + 1, 0: empty */
  guint mask;
  GStringChunk *strings;
};

/* --- Connections ------------------------------------------------------ */

static int (*open_any) (sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out);

/* The log is opened for writing even by those who only read. */
static int
open_read_only (sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
  if (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL))
    flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
  return open_any (vfs, name, file, flags, out);
}

static const char *
read_only_vfs (void)
{
  static gsize registered;
  static sqlite3_vfs vfs;

  if (g_once_init_enter (&registered))
    {
      sqlite3_vfs *unix_vfs;

      tpd_index_set_up_sqlite ();
      unix_vfs = sqlite3_vfs_find (NULL);
      vfs = *unix_vfs;
      vfs.pNext = NULL;
      vfs.zName = READ_ONLY_VFS;
      vfs.xOpen = open_read_only;
      open_any = unix_vfs->xOpen;
      sqlite3_vfs_register (&vfs, 0);
      g_once_init_leave (&registered, 1);
    }
  return READ_ONLY_VFS;
}

static void
connection_free (gpointer data)
{
  Connection *connection = data;

  sqlite3_finalize (connection->find_dir);
  sqlite3_finalize (connection->all);
  sqlite3_finalize (connection->one);
  sqlite3_close (connection->db);
  g_free (connection);
}

/* The columns of reader.c, of files alone, in no particular order; and the key. */
#define SELECT                                                                                                \
  "SELECT probe.name, ino, size, mtime_ns, ctime_ns, decoder, kind, verdict, size_class, opened, plain_size," \
  " extension, document, checked, opaque, container, members, fingerprint, asked_with FROM probe"             \
  " LEFT JOIN document ON document.id = probe.document LEFT JOIN key ON key.id = document.key"                \
  " WHERE dir = ? AND archive IS NULL"
#define FINGERPRINT 17
#define ASKED_WITH 18

static gboolean
prepare (Connection *connection, const char *path, GError **error)
{
  const struct {
    sqlite3_stmt **statement;
    const char *sql;
  } all[] = {
    { &connection->find_dir, "SELECT id FROM dir WHERE source = ? AND path = ?" },
    { &connection->all, SELECT },
    { &connection->one, SELECT " AND name = ?" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    {
      *all[i].statement = tpd_index_prepare (connection->db, path, all[i].sql, error);
      if (*all[i].statement == NULL)
        return FALSE;
    }
  return TRUE;
}

static sqlite3 *
connect_read_only (const char *path, GError **error)
{
  return tpd_index_connect_as (path, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOFOLLOW, read_only_vfs (), BUSY_MS, error);
}

static gboolean
add_connection (TpdIndexHints *hints, GError **error)
{
  Connection *connection = g_new0 (Connection, 1);

  g_ptr_array_add (hints->connections, connection);
  connection->db = connect_read_only (hints->path, error);
  /* The check reads, which is what opens log and memory. */
  return connection->db != NULL
         && tpd_index_run (connection->db, hints->path, "PRAGMA cache_size = " CACHE_KIB ";", error)
         && tpd_index_check_schema (connection->db, hints->path, error) && prepare (connection, hints->path, error);
}

/* The memory is mapped: where somebody cuts the file, reading it would end the
 * process. Nobody who keeps to the rules does that while it is in use. */
static gboolean
is_whole (TpdIndexHints *hints)
{
  gint before = g_atomic_int_get (&hints->shm_size);
  struct stat st;

  if (hints->shm_fd < 0)
    return TRUE;
  if (fstat (hints->shm_fd, &st) != 0 || st.st_size < before)
    return FALSE;
  if (st.st_size > before && st.st_size <= G_MAXINT)
    g_atomic_int_compare_and_exchange (&hints->shm_size, before, (gint) st.st_size);
  return TRUE;
}

static gboolean
check_whole (TpdIndexHints *hints, GError **error)
{
  if (is_whole (hints))
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "%s-shm was cut while it was in use; mount anew", hints->path);
  return FALSE;
}

/* One that is free, waiting for it. */
static Connection *
take (TpdIndexHints *hints)
{
  Connection *connection;

  g_mutex_lock (&hints->lock);
  while (hints->connections->len == 0)
    g_cond_wait (&hints->given_back, &hints->lock);
  connection = g_ptr_array_steal_index_fast (hints->connections, hints->connections->len - 1);
  g_mutex_unlock (&hints->lock);
  return connection;
}

static void
give_back (TpdIndexHints *hints, Connection *connection)
{
  g_mutex_lock (&hints->lock);
  g_ptr_array_add (hints->connections, connection);
  g_cond_signal (&hints->given_back);
  g_mutex_unlock (&hints->lock);
}

/* --- Opening ---------------------------------------------------------- */

static gboolean
find_source (TpdIndexHints *hints, const char *real_root, GError **error)
{
  Connection *connection = g_ptr_array_index (hints->connections, 0);
  g_autofree char *source_id = tpd_index_source_id (real_root);
  sqlite3_stmt *statement =
      tpd_index_prepare (connection->db, hints->path, "SELECT id FROM source WHERE source_id = ?", error);
  int code;

  if (statement == NULL)
    return FALSE;
  sqlite3_bind_text (statement, 1, source_id, -1, SQLITE_STATIC);
  code = sqlite3_step (statement);
  if (code == SQLITE_ROW)
    hints->source = sqlite3_column_int64 (statement, 0);
  else if (code == SQLITE_DONE)
    g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "the index %s is not about %s: have tpd scan fill it", hints->path,
                 real_root);
  else
    tpd_index_set_sqlite_error (error, connection->db, code, hints->path);
  sqlite3_finalize (statement);
  return code == SQLITE_ROW;
}

/*
 * Who opens the log for reading only does not make it; an empty one says
 * nothing. Only where the database keeps one (SQLite's file format, offset 19),
 * and on no network file system, where it does not.
 */
static gboolean
make_log (const char *path, GError **error)
{
  g_autofree char *log = g_strconcat (path, "-wal", NULL);
  guint8 head[20] = { 0 };
  int fd = open (path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  gboolean has_log = fd >= 0 && pread (fd, head, sizeof head, 0) == sizeof head && head[19] == 2;

  if (fd >= 0)
    close (fd);
  if (!has_log)
    return TRUE;
  fd = open (log, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    {
      tpd_error_set_errno (error, errno, "cannot make %s beside the index", log);
      return FALSE;
    }
  close (fd);
  return TRUE;
}

static gboolean
try_connections (TpdIndexHints *hints, guint n, gboolean network, GError **error)
{
  gboolean good = network || make_log (hints->path, error);

  g_ptr_array_set_size (hints->connections, 0);
  for (guint i = 0; good && i < n; i++)
    good = add_connection (hints, error);
  return good;
}

/* The last scan that closes the database removes the log, until one of these
 * has it open; while it does that, the database is locked. */
static gboolean
open_connections (TpdIndexHints *hints, guint n, gboolean network, GError **error)
{
  g_autoptr (GError) failed = NULL;
  const gint64 end = g_get_monotonic_time () + PATIENCE_US;
  guint tries = 0;

  for (;;)
    {
      g_clear_error (&failed);
      if (try_connections (hints, n, network, &failed))
        return TRUE;
      if (tpd_error_get_errno (failed) == EBUSY && g_get_monotonic_time () < end)
        g_usleep (BUSY_MS * 1000);
      else if (tpd_error_get_errno (failed) != ENOENT || ++tries >= MAX_TRIES)
        break;
    }
  g_propagate_error (error, g_steal_pointer (&failed));
  return FALSE;
}

static gboolean
same_file (const char *path, const struct stat *before)
{
  struct stat st;

  return lstat (path, &st) == 0 && st.st_dev == before->st_dev && st.st_ino == before->st_ino;
}

static void
open_memory (TpdIndexHints *hints)
{
  g_autofree char *path = g_strconcat (hints->path, "-shm", NULL);

  hints->shm_fd = open (path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  (void) is_whole (hints);
}

static gboolean
open_place (TpdIndexHints *hints, const char *path, const char *real_root, guint connections, GError **error)
{
  g_autofree char *source_id = tpd_index_source_id (real_root);
  int fd = open (real_root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  gboolean network = FALSE;
  struct stat st;

  if (fd < 0)
    {
      tpd_error_set_errno (error, errno, "cannot open %s", real_root);
      return FALSE;
    }
  hints->path = tpd_index_place (path, source_id, fd, FALSE, &network, error);
  close (fd);
  if (hints->path == NULL || !tpd_index_trust_file (hints->path, error))
    return FALSE;
  if (lstat (hints->path, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot look at the index %s", hints->path);
      return FALSE;
    }
  if (!open_connections (hints, connections, network, error))
    return FALSE;
  /* What was opened is what was looked at, and so is what lies beside it. */
  if (!same_file (hints->path, &st))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_STALE, "the index %s was replaced while it was opened", hints->path);
      return FALSE;
    }
  open_memory (hints);
  return tpd_index_trust_file (hints->path, error) && find_source (hints, real_root, error);
}

TpdIndexHints *
tpd_index_hints_open (const char *path, const char *root, const TpdKeyring *keyring, guint connections, GError **error)
{
  g_autoptr (TpdIndexHints) hints = g_new0 (TpdIndexHints, 1);
  char *real = realpath (root, NULL);
  gboolean good;

  hints->keyring = keyring;
  hints->held_mark = keyring != NULL ? tpd_keyring_held_mark (keyring) : 0;
  hints->shm_fd = -1;
  hints->connections = g_ptr_array_new_with_free_func (connection_free);
  g_mutex_init (&hints->lock);
  g_cond_init (&hints->given_back);
  if (real == NULL)
    {
      tpd_error_set_errno (error, errno, "cannot open %s", root);
      return NULL;
    }
  good = open_place (hints, path, real, connections, error);
  free (real);
  return good ? g_steal_pointer (&hints) : NULL;
}

void
tpd_index_hints_free (TpdIndexHints *hints)
{
  if (hints == NULL)
    return;
  /* Closing reads the memory. The locks on it end with its descriptor. */
  if (is_whole (hints))
    g_ptr_array_unref (hints->connections);
  if (hints->shm_fd >= 0)
    close (hints->shm_fd);
  g_mutex_clear (&hints->lock);
  g_cond_clear (&hints->given_back);
  g_free (hints->path);
  g_free (hints);
}

const char *
tpd_index_hints_path (const TpdIndexHints *hints)
{
  return hints->path;
}

void
tpd_index_hints_reach (const TpdIndexHints *hints, TpdConfinement *reach)
{
  static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };

  for (guint i = 0; i < G_N_ELEMENTS (suffixes); i++)
    {
      g_autofree char *path = g_strconcat (hints->path, suffixes[i], NULL);

      tpd_confinement_read (reach, path);
    }
}

/* --- Pages ------------------------------------------------------------ */

static TpdIndexPage *
page_new (void)
{
  TpdIndexPage *page = g_new0 (TpdIndexPage, 1);

  page->ref_count = 1;
  page->hints = g_array_new (FALSE, FALSE, sizeof (TpdIndexHint));
  return page;
}

TpdIndexPage *
tpd_index_page_ref (TpdIndexPage *page)
{
  g_atomic_int_inc (&page->ref_count);
  return page;
}

void
tpd_index_page_unref (TpdIndexPage *page)
{
  if (!g_atomic_int_dec_and_test (&page->ref_count))
    return;
  g_array_unref (page->hints);
  g_free (page->table);
  if (page->strings != NULL)
    g_string_chunk_free (page->strings);
  g_free (page);
}

guint
tpd_index_page_length (const TpdIndexPage *page)
{
  return page->hints->len;
}

static void
page_finish (TpdIndexPage *page)
{
  guint size = 2;

  while (size < page->hints->len * 2)
    size *= 2;
  page->mask = size - 1;
  page->table = g_new0 (guint, size);
  for (guint i = 0; i < page->hints->len; i++)
    {
      guint at = (guint) tpd_hash_mix (g_array_index (page->hints, TpdIndexHint, i).ino) & page->mask;

      while (page->table[at] != 0)
        at = (at + 1) & page->mask;
      page->table[at] = i + 1;
    }
}

const TpdIndexHint *
tpd_index_page_find (const TpdIndexPage *page, const TpdStamp *stamp)
{
  for (guint at = (guint) tpd_hash_mix (stamp->ino) & page->mask; page->table[at] != 0; at = (at + 1) & page->mask)
    {
      const TpdIndexHint *hint = &g_array_index (page->hints, TpdIndexHint, page->table[at] - 1);

      if (hint->ino == stamp->ino && hint->size == stamp->size && hint->mtime_ns == stamp->mtime_ns
          && hint->ctime_ns == stamp->ctime_ns)
        return hint;
    }
  return NULL;
}

/* --- Reading ---------------------------------------------------------- */

static gboolean
key_is_held (const TpdIndexHints *hints, sqlite3_stmt *statement, int column)
{
  const TpdKeyInfo *key;
  TpdFingerprint fingerprint;

  if (hints->keyring == NULL || sqlite3_column_bytes (statement, column) != TPD_SHA256_SIZE)
    return FALSE;
  memcpy (fingerprint.bytes, sqlite3_column_blob (statement, column), TPD_SHA256_SIZE);
  key = tpd_keyring_find (hints->keyring, &fingerprint);
  return key != NULL && key->state == TPD_KEY_HELD;
}

static void
append (const TpdIndexHints *hints, TpdIndexPage *page, sqlite3_stmt *statement)
{
  TpdIndexHint hint = { 0 };
  guint64 asked_with;
  TpdIndexRow row;
  const char *extension;

  if (!tpd_index_read_row (statement, &row) || row.decoder != TPD_DECODER_VERSION || row.verdict == TPD_VERDICT_IO_ERROR
      || row.verdict == TPD_VERDICT_OFFLINE)
    return;
  hint.ino = row.ino;
  hint.size = row.size;
  hint.mtime_ns = row.mtime_ns;
  hint.ctime_ns = row.ctime_ns;
  hint.plain_size = row.plain_size;
  hint.kind = (guint8) row.kind;
  hint.verdict = (guint8) row.verdict;
  hint.size_class = (guint8) row.size_class;
  hint.opened = row.opened;
  hint.checked = row.checked;
  hint.exact = row.exact;
  hint.held = key_is_held (hints, statement, FINGERPRINT);
  asked_with = (guint64) sqlite3_column_int64 (statement, ASKED_WITH);
  hint.other_keys = asked_with != 0 && asked_with != hints->held_mark;
  extension = (const char *) sqlite3_column_text (statement, 11);
  if (extension != NULL)
    {
      if (page->strings == NULL)
        page->strings = g_string_chunk_new (256);
      hint.extension = g_string_chunk_insert_const (page->strings, extension);
    }
  g_array_append_val (page->hints, hint);
}

/* Runs `statement` to its end, or until there are more than `max` rows. */
static gboolean
collect (TpdIndexHints *hints, Connection *connection, sqlite3_stmt *statement, guint max, TpdIndexPage **out,
         GError **error)
{
  g_autoptr (TpdIndexPage) page = page_new ();
  guint n = 0;
  int code;

  *out = NULL;
  while ((code = sqlite3_step (statement)) == SQLITE_ROW && n++ < max)
    append (hints, page, statement);
  if (code != SQLITE_ROW && code != SQLITE_DONE)
    tpd_index_set_sqlite_error (error, connection->db, code, hints->path);
  sqlite3_reset (statement);
  sqlite3_clear_bindings (statement);
  if (code == SQLITE_DONE)
    {
      page_finish (page);
      *out = g_steal_pointer (&page);
    }
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

gboolean
tpd_index_hints_find_dir (TpdIndexHints *hints, const char *dir, gint64 *id, GError **error)
{
  Connection *connection;
  int code;

  *id = 0;
  if (!check_whole (hints, error))
    return FALSE;
  connection = take (hints);
  sqlite3_bind_int64 (connection->find_dir, 1, hints->source);
  sqlite3_bind_blob64 (connection->find_dir, 2, dir, strlen (dir), SQLITE_STATIC);
  code = sqlite3_step (connection->find_dir);
  if (code == SQLITE_ROW)
    *id = sqlite3_column_int64 (connection->find_dir, 0);
  else if (code != SQLITE_DONE)
    tpd_index_set_sqlite_error (error, connection->db, code, hints->path);
  sqlite3_reset (connection->find_dir);
  sqlite3_clear_bindings (connection->find_dir);
  give_back (hints, connection);
  return code == SQLITE_ROW || code == SQLITE_DONE;
}

/* The rows of the directory; only that of `name` unless it is NULL. */
static gboolean
read_rows (TpdIndexHints *hints, gint64 id, const char *name, guint max, TpdIndexPage **page, GError **error)
{
  Connection *connection;
  sqlite3_stmt *statement;
  gboolean good;

  if (!check_whole (hints, error))
    return FALSE;
  connection = take (hints);
  statement = name == NULL ? connection->all : connection->one;
  sqlite3_bind_int64 (statement, 1, id);
  if (name != NULL)
    sqlite3_bind_blob64 (statement, 2, name, strlen (name), SQLITE_STATIC);
  good = collect (hints, connection, statement, max, page, error);
  give_back (hints, connection);
  return good;
}

gboolean
tpd_index_hints_read (TpdIndexHints *hints, gint64 id, guint max, TpdIndexPage **page, GError **error)
{
  return read_rows (hints, id, NULL, max, page, error);
}

gboolean
tpd_index_hints_read_one (TpdIndexHints *hints, gint64 id, const char *name, TpdIndexPage **page, GError **error)
{
  return read_rows (hints, id, name, 1, page, error);
}
