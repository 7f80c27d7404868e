/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index: what is known of the files of a source, in one SQLite file
 * (docs/index.md describes its tables).
 *
 * It is a cache. Every row carries the validator of the file it was made from
 * (inode, size, times); a row whose validator, or decoder version, is not the
 * present one means nothing. Deleting the file loses nothing but time.
 *
 *   TpdIndex         the file of one source; any number of threads
 *   TpdIndexReader   one connection, one thread: what is known of a directory
 *   TpdIndexBatch    news of one directory, made by one thread, handed to
 *   TpdIndexWriter   the one thread that writes, in large transactions
 *
 * Readers see what is committed and are never kept waiting by the writer; two
 * processes that write take turns. Names are bytes.
 *
 * Errors: TPD_ERROR_DAMAGED when the file is not sound (set it aside, open it
 * again), TPD_ERROR_ERRNO+ENOSPC and its like from the system,
 * TPD_ERROR_ERRNO+EBUSY when another process keeps it locked, TPD_ERROR_USAGE.
 */
#pragma once

#include <glib.h>

#include "base/confine.h"
#include "format/document.h"
#include "format/opaque.h"

/* Goes up when the tables change: files of another version are set aside. */
#define TPD_INDEX_SCHEMA 5

typedef struct _TpdIndex TpdIndex;

/* How a source is called in its index: hash of its real path. (transfer full) */
char *tpd_index_source_id (const char *real_root);

/*
 * Opens, or makes, the index of the directory `root`. `path` NULL means the
 * default: SOURCE-ID.sqlite in /var/lib/tpdfs if that can be written, else in
 * $XDG_CACHE_HOME/tpdfs. The file is 0600. Refused (TPD_ERROR_USAGE): a path
 * beneath `root`, a symbolic link, somebody else's file. A file that is
 * damaged or no index is set aside first, see tpd_index_set_aside().
 * (transfer full)
 */
TpdIndex *tpd_index_open (const char *path, const char *root, GError **error);
void tpd_index_free (TpdIndex *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdIndex, tpd_index_free)

const char *tpd_index_path (const TpdIndex *index);

/*
 * Declares what readers and writers of the file will need once this process is
 * confined, for this `index` and others opened later for the same path. In a
 * folder that holds anything but indexes, damage found later cannot be set
 * aside then. `index` must live as long as they are used.
 */
gboolean tpd_index_reach (TpdIndex *index, TpdConfinement *reach, GError **error);

/*
 * Renames the file, found to be damaged, to PATH.bad-N and tells so with
 * `why`. Readers and writers of `index` must be gone; after it only
 * tpd_index_free() may follow.
 */
gboolean tpd_index_set_aside (TpdIndex *index, const char *why, GError **error);

/* What was said of the source when it was last scanned. */
typedef struct {
  gint64 started, finished; /* Unix seconds; 0: never */
  gboolean complete;        /* the scan that started last went through */
  guint64 files, bytes;     /* found by the last complete scan */
} TpdIndexScan;

/* --- Rows ------------------------------------------------------------- */

/* The key that a document needs; strings as the license says, may be NULL. */
typedef struct {
  TpdFingerprint fingerprint;
  guint bits;
  const char *guid, *tenant, *url;
} TpdIndexKey;

/* Whether the encrypted rights of a document could be read. */
typedef enum {
  TPD_INDEX_RIGHTS_CLOSED, /* it was not opened */
  TPD_INDEX_RIGHTS_READ,
  TPD_INDEX_RIGHTS_UNREADABLE,
} TpdIndexRights;

/*
 * What is told of a protected file, or of one with something amiss. Text is
 * UTF-8 and may be NULL. `json` is the tail of the file's JSON object, which
 * tools/report.h describes; readers leave it, `message` and what else only
 * reports ask for NULL unless asked.
 */
typedef struct {
  gint64 id; /* set by readers */
  gboolean has_key;
  TpdIndexKey key;
  const char *message;
  const char *content_id, *policy_id, *rms_owner, *author, *issued;
  const char *template_id, *template_name;
  const char *cipher, *proof;
  gboolean double_key; /* the license shows signs of a second key, or it takes one */
  /* 0: `key` alone decides whether it opens, and what comes out. Else the row is
   * right for the keys it was asked with, whose tpd_keyring_held_mark() this is. */
  guint64 asked_with;
  /* What policy=rights asks for: the word of the signature, whether the
   * certificates lead from it to the server key, when the content expires. */
  const char *signature, *expires;
  gboolean linked;
  TpdIndexRights rights;
  const char *json;
} TpdIndexDocument;

/* A copy of its own. (transfer full) */
TpdIndexDocument *tpd_index_document_copy (const TpdIndexDocument *document);
void tpd_index_document_free (TpdIndexDocument *document);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdIndexDocument, tpd_index_document_free)

/* Whether a file that is an archive was looked into. */
typedef enum {
  TPD_INDEX_CONTAINER_NONE,   /* it is none, or of a kind that is not looked into */
  TPD_INDEX_CONTAINER_CLOSED, /* not, as it was asked for */
  TPD_INDEX_CONTAINER_LOOKED, /* all of it */
  TPD_INDEX_CONTAINER_PARTLY, /* some of it could not be */
} TpdIndexContainer;

#define TPD_INDEX_N_CONTAINER (TPD_INDEX_CONTAINER_PARTLY + 1)

/* "none", "closed", "looked", "partly". */
const char *tpd_index_container_word (TpdIndexContainer container);

/*
 * One name of a regular file, or a protected member of an archive: its name
 * is that of the archive with "!/" and the member's name behind (the second of
 * a name: "!2/"), which no file can have. Its size is the member's; inode and
 * times are the archive's, with whose row it comes and goes.
 */
typedef struct {
  const char *name;
  guint64 ino, size; /* the validator: */
  gint64 mtime_ns, ctime_ns;
  guint decoder; /* TPD_DECODER_VERSION it was asked with */

  TpdKind kind;
  /* What the file itself gave. NO_KEY: sealed, and not opened so far; whether
   * the key is held is for the reader to say. */
  TpdVerdict verdict;
  TpdSizeClass size_class;
  gboolean opened;  /* with its key: verdict and size are final */
  gboolean checked; /* and all of its plaintext was read and judged */
  TpdOpaque opaque; /* what a plain file may hide */
  TpdIndexContainer container;
  guint64 members;     /* protected ones, in an archive */
  const char *archive; /* of a member: the name of the archive; NULL for files */
  gboolean exact;      /* plain_size is known */
  guint64 plain_size;
  const char *extension; /* TpdProbe.extension */
  gint64 document;       /* id, 0: none; set by readers */
} TpdIndexRow;

/* Takes over the validator, and `decoder` as now. */
void tpd_index_row_set_stamp (TpdIndexRow *row, const TpdStamp *stamp);
/* Whether what the row says still holds. */
gboolean tpd_index_row_is_current (const TpdIndexRow *row, const TpdStamp *stamp);

/* --- Reading ---------------------------------------------------------- */

typedef struct _TpdIndexReader TpdIndexReader;

TpdIndexReader *tpd_index_reader_new (TpdIndex *index, GError **error);
void tpd_index_reader_free (TpdIndexReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdIndexReader, tpd_index_reader_free)

gboolean tpd_index_reader_scan (TpdIndexReader *reader, TpdIndexScan *scan, GError **error);

/*
 * Goes to the directory `dir` (relative to the root, "" for the root) and
 * reads its rows with one query; rows of a huge directory are asked for one by
 * one later. Entering the present directory again does nothing.
 */
gboolean tpd_index_reader_enter (TpdIndexReader *reader, const char *dir, GError **error);
/* 0 if the index does not know the directory. */
gint64 tpd_index_reader_dir_id (const TpdIndexReader *reader);
/* Why it could not be read when last tried, NULL if it could. */
const char *tpd_index_reader_dir_error (const TpdIndexReader *reader);
/* How many names the index knows in it. */
gboolean tpd_index_reader_count (TpdIndexReader *reader, guint64 *count, GError **error);

/* The row of `name` in the directory entered; `*row` is NULL if there is none.
 * Valid until the next directory, or the next lookup in a huge one. */
gboolean tpd_index_reader_lookup (TpdIndexReader *reader, const char *name, const TpdIndexRow **row, GError **error);
/* The document `id`, without what only reports ask for. Valid until the next
 * call. `*document` is NULL if it is gone. */
gboolean tpd_index_reader_document (TpdIndexReader *reader, gint64 id, const TpdIndexDocument **document,
                                    GError **error);

/* Calls `each` for the members of the archive `name` in the directory entered,
 * in the order of their names; `document` is as above, and may be NULL. `each`
 * must not use the reader. */
typedef void (*TpdIndexEachMember) (gpointer data, const TpdIndexRow *row, const TpdIndexDocument *document);
gboolean tpd_index_reader_each_member (TpdIndexReader *reader, const char *name, TpdIndexEachMember each, gpointer data,
                                       GError **error);

/* Calls `each` with every name in the directory entered, members left out. */
typedef void (*TpdIndexEachName) (gpointer data, const char *name);
gboolean tpd_index_reader_each_name (TpdIndexReader *reader, TpdIndexEachName each, gpointer data, GError **error);
/* Likewise, names that were not looked up. Calls none in a huge directory:
 * FALSE is then returned without error being set. */
gboolean tpd_index_reader_each_unseen (TpdIndexReader *reader, TpdIndexEachName each, gpointer data);

/* --- Writing ---------------------------------------------------------- */

typedef struct _TpdIndexBatch TpdIndexBatch;

/* `id`: tpd_index_reader_dir_id(), 0 when not known. */
TpdIndexBatch *tpd_index_batch_new (const char *dir, gint64 id);
void tpd_index_batch_free (TpdIndexBatch *batch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdIndexBatch, tpd_index_batch_free)

/*
 * Copies all it is given. When `row->document` is TPD_INDEX_KEEP_DOCUMENT and
 * `document` NULL, the document that is there stays as long as the validator
 * is the same. `link` not 0 (hard links): rows of one `link` number share one
 * document, the first.
 */
#define TPD_INDEX_KEEP_DOCUMENT G_GINT64_CONSTANT (-1)
void tpd_index_batch_put (TpdIndexBatch *batch, const TpdIndexRow *row, const TpdIndexDocument *document, guint64 link);
/* With its members, if it is an archive. */
void tpd_index_batch_remove (TpdIndexBatch *batch, const char *name);
/* The members of the archive `name` alone: before others are put. */
void tpd_index_batch_remove_members (TpdIndexBatch *batch, const char *name);
/* The directory could not be read: `message`; NULL takes that back. */
void tpd_index_batch_set_error (TpdIndexBatch *batch, const char *message);

typedef struct _TpdIndexWriter TpdIndexWriter;
typedef struct _TpdIndexVisited TpdIndexVisited;

/* Starts the writing thread. One writer an index and process. */
TpdIndexWriter *tpd_index_writer_start (TpdIndex *index, GError **error);
/*
 * Takes `batch`; waits while too much is queued. Its directory counts as
 * visited. Transactions are closed after some thousand rows or a second. FALSE
 * once writing has failed: tpd_index_writer_finish() tells why.
 */
gboolean tpd_index_writer_submit (TpdIndexWriter *writer, TpdIndexBatch *batch);

typedef struct {
  gboolean complete;    /* the whole source was walked: forget what is gone */
  guint64 files, bytes; /* to be remembered */
  /* Whether directory `dir`, which was not visited, is no more. */
  gboolean (*is_gone) (gpointer data, const char *dir);
  gpointer data;
  const TpdKeyring *keyring; /* which of the keys needed are held, may be NULL */
} TpdIndexFinish;

/* Waits until all is written, tidies up as `finish` (may be NULL: only commits)
 * says, and ends the thread. FALSE with error when something was not written;
 * what had been committed stays. */
gboolean tpd_index_writer_finish (TpdIndexWriter *writer, const TpdIndexFinish *finish, GError **error);
/* The directories visited. Valid until the writer is freed. */
const TpdIndexVisited *tpd_index_writer_visited (const TpdIndexWriter *writer);
void tpd_index_writer_free (TpdIndexWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdIndexWriter, tpd_index_writer_free)

/* --- Reports ---------------------------------------------------------- */

/* One entry of a report: a file; or a directory that could not be read, then
 * `row` and `document` are NULL. */
typedef struct {
  const char *dir;
  const char *dir_error;
  const TpdIndexRow *row;
  const TpdIndexDocument *document; /* complete; NULL: nothing to tell */
} TpdIndexEntry;

/* Return FALSE to stop. */
typedef gboolean (*TpdIndexEach) (gpointer data, const TpdIndexEntry *entry);

typedef enum {
  TPD_INDEX_DOCUMENTS,  /* rows with a document */
  TPD_INDEX_AND_OPAQUE, /* and plain files that may hide something, or have protected members */
  TPD_INDEX_ALL,        /* all rows */
} TpdIndexWhich;

/*
 * Calls `each` for the rows that `which` says, of the directories in `visited`
 * (NULL: of all), directories and names sorted by bytes.
 */
gboolean tpd_index_reader_each (TpdIndexReader *reader, const TpdIndexVisited *visited, TpdIndexWhich which,
                                TpdIndexEach each, gpointer data, GError **error);
