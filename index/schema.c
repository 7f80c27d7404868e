/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables, and how a connection is set up. docs/index.md explains them to
 * people who query the file by hand; keep it true.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "index/private.h"

/* "TPDI" */
#define APPLICATION_ID 0x54504449
/* A scan commits in fractions of a second. */
#define BUSY_TIMEOUT_MS (60 * 1000)
#define AGAIN_US 10000
/* Of a new file. What is told of a protected file takes more than a KiB: four
 * times fewer pages are written, logged and folded back than of 4 KiB. */
#define PAGE_SIZE "16384"
/* Pages kept by each connection, in KiB (negative). */
#define CACHE_KIB "-4096"

#define TEXT_(x) #x
#define TEXT(x) TEXT_ (x)

static const char schema[] =
    "CREATE TABLE source ("
    " id INTEGER PRIMARY KEY,"
    " source_id TEXT NOT NULL UNIQUE,"
    " path BLOB NOT NULL,"
    " started INTEGER NOT NULL DEFAULT 0,"
    " finished INTEGER NOT NULL DEFAULT 0,"
    " complete INTEGER NOT NULL DEFAULT 0,"
    " files INTEGER NOT NULL DEFAULT 0,"
    " bytes INTEGER NOT NULL DEFAULT 0,"
    " tool_version TEXT);"

    "CREATE TABLE dir ("
    " id INTEGER PRIMARY KEY,"
    " source INTEGER NOT NULL REFERENCES source (id),"
    " path BLOB NOT NULL,"
    " error TEXT,"
    " UNIQUE (source, path));"

    "CREATE TABLE probe ("
    " dir INTEGER NOT NULL REFERENCES dir (id),"
    " name BLOB NOT NULL,"
    " ino INTEGER NOT NULL,"
    " size INTEGER NOT NULL,"
    " mtime_ns INTEGER NOT NULL,"
    " ctime_ns INTEGER NOT NULL,"
    " decoder INTEGER NOT NULL,"
    " kind INTEGER NOT NULL,"
    " verdict INTEGER NOT NULL,"
    " size_class INTEGER NOT NULL,"
    " opened INTEGER NOT NULL,"
    " plain_size INTEGER,"
    " extension TEXT,"
    " document INTEGER REFERENCES document (id),"
    " checked INTEGER NOT NULL,"
    " opaque INTEGER NOT NULL,"
    " container INTEGER NOT NULL,"
    " members INTEGER NOT NULL,"
    " archive BLOB,"
    " PRIMARY KEY (dir, name)) WITHOUT ROWID;"

    "CREATE INDEX probe_document ON probe (document) WHERE document IS NOT NULL;"

    "CREATE TABLE key ("
    " id INTEGER PRIMARY KEY,"
    " fingerprint BLOB NOT NULL UNIQUE,"
    " guid TEXT,"
    " bits INTEGER NOT NULL,"
    " tenant TEXT,"
    " url TEXT,"
    " held INTEGER NOT NULL DEFAULT 0);"

    "CREATE TABLE key_use ("
    " source INTEGER NOT NULL REFERENCES source (id),"
    " key INTEGER NOT NULL REFERENCES key (id),"
    " files INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL,"
    " PRIMARY KEY (source, key)) WITHOUT ROWID;"

    "CREATE TABLE document ("
    " id INTEGER PRIMARY KEY,"
    " key INTEGER REFERENCES key (id),"
    " message TEXT,"
    " content_id TEXT,"
    " policy_id TEXT,"
    " rms_owner TEXT,"
    " author TEXT,"
    " issued TEXT,"
    " template_id TEXT,"
    " template_name TEXT,"
    " cipher TEXT,"
    " proof TEXT,"
    " double_key INTEGER NOT NULL DEFAULT 0,"
    " asked_with INTEGER NOT NULL DEFAULT 0,"
    " signature TEXT,"
    " expires TEXT,"
    " linked INTEGER NOT NULL DEFAULT 0,"
    " rights INTEGER);"

    /* Apart, so that what is asked for often lies close together. */
    "CREATE TABLE detail (document INTEGER PRIMARY KEY REFERENCES document (id), json TEXT NOT NULL);"

    "CREATE TABLE word (what TEXT NOT NULL, code INTEGER NOT NULL, word TEXT NOT NULL, PRIMARY KEY (what, code))"
    " WITHOUT ROWID;"

    "CREATE VIEW keys_needed AS"
    " SELECT source.path AS source, lower(hex(fingerprint)) AS fingerprint, guid, bits, tenant, url, held,"
    " key_use.files AS files, key_use.bytes AS bytes"
    " FROM key_use JOIN key ON key.id = key_use.key JOIN source ON source.id = key_use.source;"

    /* The verdict as the scan that set `held` saw it. */
    "CREATE VIEW file AS"
    " SELECT CAST(source.path || '/' || CASE dir.path WHEN x'' THEN '' ELSE dir.path || '/' END || probe.name AS TEXT)"
    " AS path, kind.word AS kind,"
    " CASE WHEN key.held = 1 AND verdict.word = 'no-key' THEN 'key-held'"
    " WHEN key.held = 0 AND verdict.word IN ('ok', 'double-key') THEN 'no-key' ELSE verdict.word END AS verdict,"
    " probe.size AS size, probe.plain_size AS plain_size,"
    " datetime(probe.mtime_ns / 1000000000, 'unixepoch') AS modified, probe.opened AS opened,"
    " key.guid AS key_guid, lower(hex(key.fingerprint)) AS key_fingerprint, key.held AS key_held,"
    " document.message AS message, document.content_id AS content_id, document.policy_id AS policy_id,"
    " document.rms_owner AS rms_owner, document.author AS author, document.issued AS issued,"
    " document.template_id AS template_id, document.template_name AS template_name,"
    " document.cipher AS cipher, document.proof AS proof, document.double_key AS double_key,"
    " document.asked_with AS asked_with,"
    " document.signature AS signature, document.linked AS linked, document.expires AS expires,"
    " document.rights AS rights, probe.checked AS checked, NULLIF(opaque.word, 'none') AS opaque,"
    " NULLIF(container.word, 'none') AS container, probe.members AS members, probe.archive IS NOT NULL AS member,"
    " detail.json AS json"
    " FROM probe JOIN dir ON dir.id = probe.dir JOIN source ON source.id = dir.source"
    " JOIN word AS kind ON kind.what = 'kind' AND kind.code = probe.kind"
    " JOIN word AS verdict ON verdict.what = 'verdict' AND verdict.code = probe.verdict"
    " JOIN word AS opaque ON opaque.what = 'opaque' AND opaque.code = probe.opaque"
    " JOIN word AS container ON container.what = 'container' AND container.code = probe.container"
    " LEFT JOIN document ON document.id = probe.document LEFT JOIN key ON key.id = document.key"
    " LEFT JOIN detail ON detail.document = document.id;";

static const char marks[] =
    "PRAGMA application_id = " TEXT (APPLICATION_ID) "; PRAGMA user_version = " TEXT (TPD_INDEX_SCHEMA) ";";

const char *
tpd_index_container_word (TpdIndexContainer container)
{
  static const char *const words[] = {
    [TPD_INDEX_CONTAINER_NONE] = "none",
    [TPD_INDEX_CONTAINER_CLOSED] = "closed",
    [TPD_INDEX_CONTAINER_LOOKED] = "looked",
    [TPD_INDEX_CONTAINER_PARTLY] = "partly",
  };

  g_return_val_if_fail ((guint) container < G_N_ELEMENTS (words), "none");
  return words[container];
}

/* '!' is followed by '/', or by a number and '/': ':' comes behind '9'. */
void
tpd_index_bind_members (sqlite3_stmt *statement, int at, const char *name)
{
  g_autofree char *from = g_strconcat (name, "!/", NULL), *to = g_strconcat (name, "!:", NULL);

  sqlite3_bind_blob64 (statement, at, from, strlen (from), SQLITE_TRANSIENT);
  sqlite3_bind_blob64 (statement, at + 1, to, strlen (to), SQLITE_TRANSIENT);
  sqlite3_bind_blob64 (statement, at + 2, name, strlen (name), SQLITE_STATIC);
}

void
tpd_index_set_sqlite_error (GError **error, sqlite3 *db, int code, const char *path)
{
  const char *why = db != NULL ? sqlite3_errmsg (db) : sqlite3_errstr (code);
  int errnum;

  switch (code & 0xff)
    {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_MISMATCH:
    case SQLITE_SCHEMA:
    case SQLITE_ERROR: /* a table that is not there, or is another */
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the index %s is not sound: %s", path, why);
      return;
    case SQLITE_FULL:
      g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + ENOSPC,
                   "the index %s cannot be written: no space is left there; free some, or name another file with"
                   " --index",
                   path);
      return;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + EBUSY,
                   "the index %s is in use by another process that does not let go of it; try again later", path);
      return;
    case SQLITE_NOMEM:
      g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + ENOMEM, "no memory is left for the index %s", path);
      return;
    default:
      errnum = db != NULL ? sqlite3_system_errno (db) : 0;
      if (errnum == 0)
        errnum = EIO;
      g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + errnum, "the index %s cannot be used: %s (%s)", path, why,
                   g_strerror (errnum));
    }
}

gboolean
tpd_index_run (sqlite3 *db, const char *path, const char *sql, GError **error)
{
  int code = sqlite3_exec (db, sql, NULL, NULL, NULL);

  if (code != SQLITE_OK)
    tpd_index_set_sqlite_error (error, db, code, path);
  return code == SQLITE_OK;
}

sqlite3_stmt *
tpd_index_prepare (sqlite3 *db, const char *path, const char *sql, GError **error)
{
  sqlite3_stmt *statement = NULL;
  int code = sqlite3_prepare_v3 (db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);

  if (code != SQLITE_OK)
    tpd_index_set_sqlite_error (error, db, code, path);
  return statement;
}

gboolean
tpd_index_step_done (sqlite3 *db, const char *path, sqlite3_stmt *statement, GError **error)
{
  int code = sqlite3_step (statement);

  if (code != SQLITE_DONE)
    tpd_index_set_sqlite_error (error, db, code, path);
  sqlite3_reset (statement);
  return code == SQLITE_DONE;
}

void
tpd_index_set_up_sqlite (void)
{
  static gsize configured;

  /* Statistics of memory cost a lock at each allocation. */
  if (g_once_init_enter (&configured))
    {
      sqlite3_config (SQLITE_CONFIG_MEMSTATUS, 0);
      g_once_init_leave (&configured, 1);
    }
}

sqlite3 *
tpd_index_connect_as (const char *path, int flags, const char *vfs, int busy_ms, GError **error)
{
  sqlite3 *db = NULL;
  int code;

  tpd_index_set_up_sqlite ();
  code = sqlite3_open_v2 (path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, vfs);

  if (code != SQLITE_OK)
    {
      tpd_index_set_sqlite_error (error, db, code, path);
      sqlite3_close (db);
      return NULL;
    }
  sqlite3_extended_result_codes (db, 1);
  sqlite3_busy_timeout (db, busy_ms);
  /* The file is ours alone, but it may have been damaged on purpose. */
  sqlite3_db_config (db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
  sqlite3_db_config (db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  sqlite3_db_config (db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
  /* Power may fail without harm to the file; the last second may be lost. */
  if (!tpd_index_run (db, path,
                      "PRAGMA cell_size_check = ON; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;"
                      "PRAGMA cache_size = " CACHE_KIB ";",
                      error))
    {
      sqlite3_close (db);
      return NULL;
    }
  return db;
}

sqlite3 *
tpd_index_connect (const char *path, GError **error)
{
  return tpd_index_connect_as (path, SQLITE_OPEN_READWRITE, NULL, BUSY_TIMEOUT_MS, error);
}

static gboolean
read_number (sqlite3 *db, const char *path, const char *sql, gint64 *number, GError **error)
{
  sqlite3_stmt *statement = tpd_index_prepare (db, path, sql, error);
  int code;

  if (statement == NULL)
    return FALSE;
  code = sqlite3_step (statement);
  if (code == SQLITE_ROW)
    *number = sqlite3_column_int64 (statement, 0);
  else
    tpd_index_set_sqlite_error (error, db, code, path);
  sqlite3_finalize (statement);
  return code == SQLITE_ROW;
}

static gboolean
add_word (sqlite3 *db, const char *path, sqlite3_stmt *statement, const char *what, guint code, const char *word,
          GError **error)
{
  sqlite3_bind_text (statement, 1, what, -1, SQLITE_STATIC);
  sqlite3_bind_int (statement, 2, (int) code);
  sqlite3_bind_text (statement, 3, word, -1, SQLITE_STATIC);
  return tpd_index_step_done (db, path, statement, error);
}

/* Numbers of the product's enums, for those who read the tables by hand. */
static gboolean
add_words (sqlite3 *db, const char *path, GError **error)
{
  sqlite3_stmt *statement = tpd_index_prepare (db, path, "INSERT INTO word VALUES (?, ?, ?)", error);
  gboolean good = statement != NULL;

  for (guint i = 0; good && i <= TPD_KIND_ZIP; i++)
    good = add_word (db, path, statement, "kind", i, tpd_kind_word ((TpdKind) i), error);
  for (guint i = 0; good && i < TPD_N_VERDICTS; i++)
    good = add_word (db, path, statement, "verdict", i, tpd_verdict_word ((TpdVerdict) i), error);
  for (guint i = 0; good && i < TPD_N_OPAQUE; i++)
    good = add_word (db, path, statement, "opaque", i, tpd_opaque_word ((TpdOpaque) i), error);
  for (guint i = 0; good && i < TPD_INDEX_N_CONTAINER; i++)
    good = add_word (db, path, statement, "container", i, tpd_index_container_word ((TpdIndexContainer) i), error);
  sqlite3_finalize (statement);
  return good;
}

static gboolean
create (sqlite3 *db, const char *path, GError **error)
{
  return tpd_index_run (db, path, schema, error) && add_words (db, path, error)
         && tpd_index_run (db, path, marks, error);
}

static gboolean
check_marks (sqlite3 *db, const char *path, gint64 application, GError **error)
{
  gint64 version = 0;

  if (!read_number (db, path, "PRAGMA user_version", &version, error))
    return FALSE;
  if (application == APPLICATION_ID && version == TPD_INDEX_SCHEMA)
    return TRUE;
  if (application == APPLICATION_ID)
    g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "it was made by another version of tpd (schema %d, not %d)",
                 (int) version, TPD_INDEX_SCHEMA);
  else
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "it is no index of tpd");
  return FALSE;
}

gboolean
tpd_index_check_schema (sqlite3 *db, const char *path, GError **error)
{
  gint64 application = 0;

  return read_number (db, path, "PRAGMA application_id", &application, error)
         && check_marks (db, path, application, error);
}

/*
 * Readers then never wait for the writer. WAL needs memory that all processes
 * share, which no network file system has. SQLite does not wait when two change
 * the mode of a new database at once, but tells one of them to come again.
 */
static gboolean
set_journal_mode (sqlite3 *db, const char *path, gboolean network, GError **error)
{
  const char *sql = network ? "PRAGMA journal_mode = TRUNCATE" : "PRAGMA journal_mode = WAL";
  const gint64 end = g_get_monotonic_time () + BUSY_TIMEOUT_MS * G_GINT64_CONSTANT (1000);
  int code;

  while (((code = sqlite3_exec (db, sql, NULL, NULL, NULL)) & 0xff) == SQLITE_BUSY && g_get_monotonic_time () < end)
    g_usleep (AGAIN_US);
  if (code != SQLITE_OK)
    tpd_index_set_sqlite_error (error, db, code, path);
  return code == SQLITE_OK;
}

gboolean
tpd_index_prepare_schema (sqlite3 *db, const char *path, gboolean network, GError **error)
{
  gint64 application = 0, tables = 0;
  gboolean good;

  /* Changes nothing in a file that has tables. */
  if (!tpd_index_run (db, path, "PRAGMA page_size = " PAGE_SIZE, error) || !set_journal_mode (db, path, network, error)
      || !tpd_index_run (db, path, "BEGIN IMMEDIATE", error))
    return FALSE;
  /* Inside the transaction: two processes may be about to make the tables. */
  good = read_number (db, path, "PRAGMA application_id", &application, error)
         && read_number (db, path, "SELECT count(*) FROM sqlite_schema", &tables, error);
  if (good && application == 0 && tables == 0)
    good = create (db, path, error);
  else if (good)
    good = check_marks (db, path, application, error);
  if (good)
    return tpd_index_run (db, path, "COMMIT", error);
  sqlite3_exec (db, "ROLLBACK", NULL, NULL, NULL);
  return FALSE;
}
