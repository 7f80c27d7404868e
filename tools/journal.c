/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of a copy: see journal.h. Paths are known by 128 bits of their
 * hash, so that millions of them fit into memory. */
#include "tools/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "tools/manifest_private.h"
#include "tools/target.h"

#define KEY_SIZE 16
#define RECORD_OFFSET (sizeof TPD_JOURNAL_START - 1 + TPD_JOURNAL_MARK_LEN + sizeof TPD_JOURNAL_RECORD - 1)
#define RUN_START "{\"run\":\""
#define TOKEN_LEN 16

typedef struct {
  guint8 key[KEY_SIZE]; /* first: it is the key of the table */
  TpdJournalEntry entry;
  gboolean present;
} Known;

/* A file that got a name. */
typedef struct {
  guint8 key[KEY_SIZE]; /* first: of the name and the inode number */
  TpdJournalMark mark;
} Made;

struct _TpdJournal {
  int state_fd, fd;
  guint64 end; /* of the file */
  gboolean resumed;
  char token[TOKEN_LEN + 1];
  GHashTable *runs; /* set of tokens of earlier runs */

  GMutex lock;
  GHashTable *known; /* set of Known, under lock, as all below */
  GHashTable *made;  /* set of Made */
  GString *lines;
  GArray *added;     /* of Known: what `lines` tell */
  GArray *by_source; /* of BySource, sorted; NULL until it is asked for */
};

/* Found by the inode number of its source. */
typedef struct {
  guint64 ino;
  guint8 key[KEY_SIZE];
} BySource;

static guint
key_hash (gconstpointer data)
{
  guint hash;

  memcpy (&hash, data, sizeof hash);
  return hash;
}

static gboolean
key_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, KEY_SIZE) == 0;
}

static void
make_key (const char *text, gsize len, guint8 key[KEY_SIZE])
{
  guint8 digest[TPD_SHA256_SIZE];

  tpd_sha256 (text, len, digest);
  memcpy (key, digest, KEY_SIZE);
}

gboolean
tpd_journal_line_record (const char *line, gsize len, const char **record, gsize *record_len)
{
  const gsize start_len = sizeof TPD_JOURNAL_START - 1, middle_len = sizeof TPD_JOURNAL_RECORD - 1;

  *record = line;
  *record_len = len;
  if (len < start_len || memcmp (line, TPD_JOURNAL_START, start_len) != 0)
    return len >= 2 && line[0] == '{' && line[len - 1] == '}';
  if (len < RECORD_OFFSET + 3 || line[len - 1] != '}' || line[len - 2] != '}'
      || memcmp (line + start_len + TPD_JOURNAL_MARK_LEN, TPD_JOURNAL_RECORD, middle_len) != 0)
    return FALSE;
  *record = line + RECORD_OFFSET;
  *record_len = len - RECORD_OFFSET - 1;
  return TRUE;
}

static gboolean
fits (const TpdJournalMark *mark, const TpdStamp *now)
{
  /* NTFS and SMB, databases of some file servers, ext3, FAT. */
  static const gint64 grains[] = { 1, 100, 1000, 1000 * 1000, 1000 * 1000 * 1000, G_GINT64_CONSTANT (2000000000) };

  if (mark->copy_ino != now->ino || mark->copy_size != now->size)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (grains); i++)
    {
      gint64 over = mark->copy_mtime_ns % grains[i];

      if (now->mtime_ns == mark->copy_mtime_ns - (over < 0 ? over + grains[i] : over))
        return TRUE;
    }
  return FALSE;
}

gboolean
tpd_journal_mark_fits (const TpdJournalMark *mark, const struct stat *now)
{
  TpdStamp stamp;

  tpd_stamp_from_stat (&stamp, now);
  return fits (mark, &stamp);
}

/* The key of a copy with its inode number. */
static void
made_key (const char *copy_key, gsize len, guint64 ino, guint8 key[KEY_SIZE])
{
  g_autoptr (GString) text = g_string_new_len (copy_key, (gssize) len);

  g_string_append_printf (text, " %" G_GUINT64_FORMAT, ino);
  make_key (text->str, text->len, key);
}

static void
note_made (TpdJournal *journal, const char *record, gsize len, const TpdJournalMark *mark)
{
  gsize copy_len = 0;
  const char *copy = tpd_manifest_copy_key (record, len, &copy_len);
  Made *made;

  if (copy == NULL)
    return;
  made = g_new0 (Made, 1);
  made_key (copy, copy_len, mark->copy_ino, made->key);
  made->mark = *mark;
  g_hash_table_replace (journal->made, made, made);
}

static gboolean
read_mark (const char *line, TpdJournalMark *mark)
{
  guint64 numbers[5] = { 0 };
  const char *p = line + sizeof TPD_JOURNAL_START - 1;

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++, p += 17)
    for (guint j = 0; j < 16; j++)
      {
        int digit = g_ascii_xdigit_value (p[j]);

        if (digit < 0)
          return FALSE;
        numbers[i] = numbers[i] << 4 | (guint64) digit;
      }
  *mark = (TpdJournalMark){ numbers[0], numbers[1], numbers[2], numbers[3], (gint64) numbers[4] };
  return TRUE;
}

/* A line that makes no sense was not completed before a crash. */
static gboolean
load_line (gpointer data, const char *line, gsize len, guint64 offset, GError **error)
{
  TpdJournal *journal = data;
  const gsize run_len = sizeof RUN_START - 1;
  const char *record;
  gsize record_len, key_len;
  Known *known;

  if (len == run_len + TOKEN_LEN + 2 && memcmp (line, RUN_START, run_len) == 0)
    {
      g_hash_table_add (journal->runs, g_strndup (line + run_len, TOKEN_LEN));
      return TRUE;
    }
  if (!tpd_journal_line_record (line, len, &record, &record_len) || record == line
      || tpd_manifest_key (record, record_len, &key_len) == NULL || record_len > G_MAXUINT32)
    return TRUE;
  known = g_new0 (Known, 1);
  make_key (record, key_len, known->key);
  known->entry.offset = offset + RECORD_OFFSET;
  known->entry.len = (guint32) record_len;
  if (read_mark (line, &known->entry.mark))
    {
      note_made (journal, record, record_len, &known->entry.mark);
      g_hash_table_replace (journal->known, known, known);
    }
  else
    g_free (known);
  return TRUE;
}

static gboolean
append (TpdJournal *journal, const char *data, gsize len, GError **error)
{
  if (!tpd_pwrite_all (journal->fd, data, len, journal->end))
    {
      tpd_error_set_errno (error, errno, "cannot write the journal");
      /* Whole lines of it, should they stay, tell of files that will not be
       * there. */
      if (ftruncate (journal->fd, (off_t) journal->end) != 0)
        g_prefix_error (error, "(and cannot shorten it) ");
      return FALSE;
    }
  journal->end += len;
  return TRUE;
}

/* Ends the file behind its last whole line, and names this run. */
static gboolean
begin_run (TpdJournal *journal, GError **error)
{
  struct stat st;
  char last = '\n';
  g_autofree char *line = NULL;

  if (fstat (journal->fd, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot read the journal");
      return FALSE;
    }
  journal->end = (guint64) st.st_size;
  if (st.st_size > 0 && pread (journal->fd, &last, 1, st.st_size - 1) != 1)
    {
      tpd_error_set_errno (error, EIO, "cannot read the journal");
      return FALSE;
    }
  g_snprintf (journal->token, sizeof journal->token, "%08x%08x", g_random_int (), g_random_int ());
  line = g_strdup_printf ("%s" RUN_START "%s\"}\n", last == '\n' ? "" : "\n", journal->token);
  if (!append (journal, line, strlen (line), error))
    return FALSE;
  if (fdatasync (journal->fd) == 0)
    return TRUE;
  tpd_error_set_errno (error, errno, "cannot write the journal");
  return FALSE;
}

TpdJournal *
tpd_journal_open (int state_fd, const char *name, GError **error)
{
  g_autoptr (TpdJournal) journal = g_new0 (TpdJournal, 1);
  struct stat st;

  g_mutex_init (&journal->lock);
  journal->state_fd = state_fd;
  journal->known = g_hash_table_new_full (key_hash, key_equal, NULL, g_free);
  journal->made = g_hash_table_new_full (key_hash, key_equal, NULL, g_free);
  journal->runs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  journal->lines = g_string_new (NULL);
  journal->added = g_array_new (FALSE, FALSE, sizeof (Known));
  journal->fd = openat (state_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
  if (journal->fd < 0 || fstat (journal->fd, &st) != 0)
    {
      tpd_error_set_errno (error, errno, "cannot open the journal %s/%s", TPD_TARGET_STATE, name);
      return NULL;
    }
  if (!S_ISREG (st.st_mode) || st.st_uid != geteuid () || (st.st_mode & 077) != 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_INSECURE_FILE, "%s/%s is not a file that only this user can read",
                   TPD_TARGET_STATE, name);
      return NULL;
    }
  if (flock (journal->fd, LOCK_EX | LOCK_NB) != 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                   "another tpd materialize is at work there; wait for its end, or give each its --shard");
      return NULL;
    }
  journal->resumed = st.st_size > 0;
  if (!tpd_manifest_each (journal->fd, load_line, journal, error) || !begin_run (journal, error))
    return NULL;
  return g_steal_pointer (&journal);
}

void
tpd_journal_free (TpdJournal *journal)
{
  if (journal == NULL)
    return;
  if (journal->fd >= 0)
    close (journal->fd);
  g_hash_table_unref (journal->known);
  g_hash_table_unref (journal->made);
  g_hash_table_unref (journal->runs);
  g_string_free (journal->lines, TRUE);
  g_array_unref (journal->added);
  g_clear_pointer (&journal->by_source, g_array_unref);
  g_mutex_clear (&journal->lock);
  g_free (journal);
}

gboolean
tpd_journal_is_resumed (const TpdJournal *journal)
{
  return journal->resumed;
}

const char *
tpd_journal_token (const TpdJournal *journal)
{
  return journal->token;
}

gboolean
tpd_journal_is_stale (const TpdJournal *journal, const char *prefix, const char *name)
{
  const gsize len = strlen (prefix);
  g_autofree char *token = NULL;

  if (strncmp (name, prefix, len) != 0 || strlen (name) <= len + TOKEN_LEN)
    return FALSE;
  token = g_strndup (name + len, TOKEN_LEN);
  return g_hash_table_contains (journal->runs, token);
}

static Known *
lookup (TpdJournal *journal, const char *path)
{
  g_autofree char *text = tpd_manifest_key_of (path);
  guint8 key[KEY_SIZE];

  make_key (text, strlen (text), key);
  return g_hash_table_lookup (journal->known, key);
}

gboolean
tpd_journal_find (TpdJournal *journal, const char *path, TpdJournalEntry *entry)
{
  const Known *known;

  g_mutex_lock (&journal->lock);
  known = lookup (journal, path);
  if (known != NULL)
    *entry = known->entry;
  g_mutex_unlock (&journal->lock);
  return known != NULL;
}

static int
compare_sources (gconstpointer a, gconstpointer b)
{
  const BySource *x = a, *y = b;

  return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* With the lock held. */
static void
sort_by_source (TpdJournal *journal)
{
  GHashTableIter iter;
  gpointer key;

  journal->by_source = g_array_new (FALSE, FALSE, sizeof (BySource));
  g_hash_table_iter_init (&iter, journal->known);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    {
      const Known *known = key;
      BySource entry = { .ino = known->entry.mark.source_ino };

      memcpy (entry.key, known->key, KEY_SIZE);
      g_array_append_val (journal->by_source, entry);
    }
  g_array_sort (journal->by_source, compare_sources);
}

/* With the lock held: the first whose number is `ino` or more. */
static guint
first_of_source (const TpdJournal *journal, guint64 ino)
{
  guint low = 0, high = journal->by_source->len;

  while (low < high)
    {
      guint middle = low + (high - low) / 2;

      if (g_array_index (journal->by_source, BySource, middle).ino < ino)
        low = middle + 1;
      else
        high = middle;
    }
  return low;
}

/* With the lock held: the line at `at`, if it is still that of `ino`. */
static const Known *
known_of_source (const TpdJournal *journal, guint at, guint64 ino, gboolean *more)
{
  const BySource *entry = at < journal->by_source->len ? &g_array_index (journal->by_source, BySource, at) : NULL;
  const Known *known;

  *more = entry != NULL && entry->ino == ino;
  known = *more ? g_hash_table_lookup (journal->known, entry->key) : NULL;
  return known != NULL && known->entry.mark.source_ino == ino ? known : NULL;
}

gboolean
tpd_journal_find_source (TpdJournal *journal, guint64 ino, TpdJournalAccept accept, gpointer data)
{
  gboolean more = TRUE, found = FALSE;
  guint at;

  g_mutex_lock (&journal->lock);
  if (journal->by_source == NULL)
    sort_by_source (journal);
  at = first_of_source (journal, ino);
  g_mutex_unlock (&journal->lock);
  while (more && !found)
    {
      g_autofree char *record = NULL;
      const Known *known;
      TpdJournalEntry entry;

      g_mutex_lock (&journal->lock);
      known = known_of_source (journal, at++, ino, &more);
      if (known != NULL)
        entry = known->entry;
      g_mutex_unlock (&journal->lock);
      if (known != NULL)
        record = tpd_journal_read (journal, &entry, NULL);
      found = record != NULL && accept (data, &entry, record);
    }
  return found;
}

gboolean
tpd_journal_has_made (TpdJournal *journal, const char *copy, const TpdStamp *now)
{
  g_autofree char *text = tpd_manifest_copy_key_of (copy);
  guint8 key[KEY_SIZE];
  const Made *made;
  gboolean found;

  made_key (text, strlen (text), now->ino, key);
  g_mutex_lock (&journal->lock);
  made = g_hash_table_lookup (journal->made, key);
  found = made != NULL && fits (&made->mark, now);
  g_mutex_unlock (&journal->lock);
  return found;
}

gboolean
tpd_journal_knows_file (TpdJournal *journal, const struct stat *now)
{
  gboolean found = FALSE;
  GHashTableIter iter;
  gpointer key;

  g_mutex_lock (&journal->lock);
  g_hash_table_iter_init (&iter, journal->known);
  while (!found && g_hash_table_iter_next (&iter, &key, NULL))
    found = tpd_journal_mark_fits (&((const Known *) key)->entry.mark, now);
  g_mutex_unlock (&journal->lock);
  return found;
}

char *
tpd_journal_read (TpdJournal *journal, const TpdJournalEntry *entry, GError **error)
{
  g_autofree char *record = g_malloc0 ((gsize) entry->len + 1);

  if (pread (journal->fd, record, entry->len, (off_t) entry->offset) == (gssize) entry->len)
    return g_steal_pointer (&record);
  tpd_error_set_errno (error, EIO, "cannot read the journal");
  return NULL;
}

void
tpd_journal_set_present (TpdJournal *journal, const char *path)
{
  Known *known;

  g_mutex_lock (&journal->lock);
  known = lookup (journal, path);
  if (known != NULL)
    known->present = TRUE;
  g_mutex_unlock (&journal->lock);
}

void
tpd_journal_add (TpdJournal *journal, const TpdJournalMark *mark, const char *record)
{
  gsize len = strlen (record), key_len = 0;
  Known known = { .entry = { .mark = *mark, .len = (guint32) len } };

  g_return_if_fail (tpd_manifest_key (record, len, &key_len) != NULL);
  make_key (record, key_len, known.key);
  g_mutex_lock (&journal->lock);
  known.entry.offset = journal->lines->len + RECORD_OFFSET;
  g_string_append_printf (
      journal->lines,
      TPD_JOURNAL_START "%016" G_GINT64_MODIFIER "x %016" G_GINT64_MODIFIER "x %016" G_GINT64_MODIFIER
                        "x %016" G_GINT64_MODIFIER "x %016" G_GINT64_MODIFIER "x" TPD_JOURNAL_RECORD,
      mark->validator, mark->copy_ino, mark->copy_size, mark->source_ino, (guint64) mark->copy_mtime_ns);
  g_string_append_len (journal->lines, record, (gssize) len);
  g_string_append (journal->lines, "}\n");
  g_array_append_val (journal->added, known);
  note_made (journal, record, len, mark);
  g_mutex_unlock (&journal->lock);
}

gboolean
tpd_journal_write (TpdJournal *journal, GError **error)
{
  gboolean good;
  guint64 base;

  g_mutex_lock (&journal->lock);
  base = journal->end;
  good = append (journal, journal->lines->str, journal->lines->len, error);
  for (guint i = 0; good && i < journal->added->len; i++)
    {
      Known *known = g_memdup2 (&g_array_index (journal->added, Known, i), sizeof *known);

      known->entry.offset += base;
      g_hash_table_replace (journal->known, known, known);
    }
  g_array_set_size (journal->added, 0);
  g_string_truncate (journal->lines, 0);
  g_mutex_unlock (&journal->lock);
  return good;
}

int
tpd_journal_sync (TpdJournal *journal)
{
  return tpd_target_lacks_syncfs (journal->fd) ? fdatasync (journal->fd) : 0;
}

/* --- The manifest ------------------------------------------------------ */

typedef struct {
  TpdJournal *journal;
  TpdJournalCheck check;
  gpointer data;
} Wanted;

static gboolean
is_wanted (gpointer data, const char *record, gsize len, guint64 offset)
{
  const Wanted *wanted = data;
  guint8 key[KEY_SIZE];
  gsize key_len = 0;
  const Known *known;

  tpd_manifest_key (record, len, &key_len);
  make_key (record, key_len, key);
  known = g_hash_table_lookup (wanted->journal->known, key);
  if (known == NULL || known->entry.offset != offset + RECORD_OFFSET)
    return FALSE;
  return known->present || wanted->check (wanted->data, &known->entry.mark, record, len);
}

gboolean
tpd_journal_write_manifest (TpdJournal *journal, const char *name, TpdJournalCheck check, gpointer data, guint64 *count,
                            guint8 sha256[TPD_SHA256_SIZE], GError **error)
{
  Wanted wanted = { journal, check, data };

  return tpd_manifest_write_sorted (journal->state_fd, name, &journal->fd, 1, is_wanted, &wanted, count, sha256, error);
}
