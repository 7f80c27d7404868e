/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of a copy: what a run of `tpd materialize` leaves for the next.
 *
 * A line is written before a finished temporary file gets its final name, and
 * carries the identity of that file: inode number, size and modification time.
 * When the final name has that identity afterwards, the renaming took place,
 * and the line holds. So no second line is needed, and a crash between the two
 * is no special case. The number alone would not do: file systems give that of
 * a file that is gone to the next one, which may be somebody else's. The last
 * line of a path counts; one that was torn is ignored.
 *
 * One process has the journal at a time (flock). Thread-safe.
 */
#pragma once

#include "format/source.h"
#include "tools/manifest.h"

typedef struct {
  guint64 validator;           /* of the source file and what shapes the copy */
  guint64 copy_ino, copy_size; /* of the finished file */
  guint64 source_ino;
  gint64 copy_mtime_ns;
} TpdJournalMark;

typedef struct {
  TpdJournalMark mark;
  guint64 offset;
  guint32 len;
} TpdJournalEntry;

typedef struct _TpdJournal TpdJournal;

/* Opens or makes `name` in `state_fd` (borrowed). (transfer full) */
TpdJournal *tpd_journal_open (int state_fd, const char *name, GError **error);
void tpd_journal_free (TpdJournal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdJournal, tpd_journal_free)

/* Whether there was a run before. */
gboolean tpd_journal_is_resumed (const TpdJournal *journal);
/* Whether `now` is the copy that `mark` tells of, not written to since. File
 * systems that store times less precisely than they first show them are allowed
 * for. */
gboolean tpd_journal_mark_fits (const TpdJournalMark *mark, const struct stat *now);

/* 16 hex digits, for the names of this run's temporary files. */
const char *tpd_journal_token (const TpdJournal *journal);
/* Whether `name` is `prefix` with what an earlier run puts behind it. */
gboolean tpd_journal_is_stale (const TpdJournal *journal, const char *prefix, const char *name);

/* The last line of `path`, FALSE if there is none; and its record below. */
gboolean tpd_journal_find (TpdJournal *journal, const char *path, TpdJournalEntry *entry);
/* Calls `accept` for the last line of each path whose source was the file `ino`,
 * until it says TRUE. FALSE: it never did. */
typedef gboolean (*TpdJournalAccept) (gpointer data, const TpdJournalEntry *entry, const char *record);
gboolean tpd_journal_find_source (TpdJournal *journal, guint64 ino, TpdJournalAccept accept, gpointer data);
/* Whether some line says that the file `now` got the name `copy`. */
gboolean tpd_journal_has_made (TpdJournal *journal, const char *copy, const TpdStamp *now);
/* Whether the last line of some path tells of the file `now`. Takes its time. */
gboolean tpd_journal_knows_file (TpdJournal *journal, const struct stat *now);
/* (transfer full) */
char *tpd_journal_read (TpdJournal *journal, const TpdJournalEntry *entry, GError **error);
/* The copy of `path` is there: it belongs into the manifest. */
void tpd_journal_set_present (TpdJournal *journal, const char *path);

/* Lines to be written together. */
void tpd_journal_add (TpdJournal *journal, const TpdJournalMark *mark, const char *record);
/* Writes them; the caller syncs. On error none of them counts. */
gboolean tpd_journal_write (TpdJournal *journal, GError **error);
/* Writes the file to disk where syncing its file system does not. -1 with errno. */
int tpd_journal_sync (TpdJournal *journal);

/* Whether the copy that `record` tells of is still there. */
typedef gboolean (*TpdJournalCheck) (gpointer data, const TpdJournalMark *mark, const char *record, gsize len);

/* Makes the manifest `name` of all records whose copy is present, or that
 * `check` says is there. */
gboolean tpd_journal_write_manifest (TpdJournal *journal, const char *name, TpdJournalCheck check, gpointer data,
                                     guint64 *count, guint8 sha256[TPD_SHA256_SIZE], GError **error);
