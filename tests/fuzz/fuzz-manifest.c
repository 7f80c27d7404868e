/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lists of a copy, which somebody may have edited: records, the journal that
 * a run resumes from, and the manifest that is made of it. Nothing in them leads
 * out of the directories that they belong to.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "tools/common.h"
#include "tools/journal.h"
#include "tools/json_read.h"

/* Called by what writes JSON to standard output, which nothing here does. */
gboolean
tpd_output_write (const char *data, gsize len)
{
  g_assert_not_reached ();
}

static void
check_path (const char *path)
{
  g_auto (GStrv) names = g_strsplit (path, "/", -1);

  for (char **name = names; *name != NULL; name++)
    g_assert (**name != '\0' && strcmp (*name, ".") != 0 && strcmp (*name, "..") != 0);
}

static gboolean
check_record (gpointer data, const char *line, gsize len, guint64 offset, GError **error)
{
  g_autoptr (GError) wrong = NULL;
  g_autoptr (TpdManifestRecord) record = tpd_manifest_record_parse (line, len, &wrong);
  gsize part = 0;
  const char *at;

  g_assert ((record == NULL) == (wrong != NULL));
  if (record != NULL)
    check_path (record->path);
  if (record != NULL && record->copy != NULL)
    check_path (record->copy);
  at = tpd_manifest_key (line, len, &part);
  g_assert (at == NULL || (at == line && part <= len));
  at = tpd_manifest_copy_key (line, len, &part);
  g_assert (at == NULL || (at >= line && at + part <= line + len));
  at = tpd_manifest_rest (line, len, &part);
  g_assert (at == NULL || at + part == line + len);
  return TRUE;
}

/* What is asked when a copy is resumed. */
static gboolean
ask_journal (gpointer data, const char *line, gsize len, guint64 offset, GError **error)
{
  g_autoptr (TpdManifestRecord) record = NULL;
  const char *start = strstr (line, "{\"path\":");
  TpdJournalEntry entry;

  if (start != NULL)
    record = tpd_manifest_record_parse (start, strlen (start), NULL);
  if (record == NULL && start != NULL && strlen (start) > 1)
    record = tpd_manifest_record_parse (start, strlen (start) - 1, NULL);
  if (record == NULL)
    return TRUE;
  if (tpd_journal_find (data, record->path, &entry))
    {
      g_autofree char *text = tpd_journal_read (data, &entry, NULL);
      const TpdStamp now = { .ino = entry.mark.copy_ino,
                             .size = entry.mark.copy_size,
                             .mtime_ns = entry.mark.copy_mtime_ns };

      g_assert (text != NULL && text[0] == '{' && text[entry.len - 1] == '}');
      (void) tpd_journal_has_made (data, record->path, &now);
      tpd_journal_set_present (data, record->path);
    }
  return TRUE;
}

static gboolean
is_wanted (gpointer data, const TpdJournalMark *mark, const char *record, gsize len)
{
  g_assert (len > 0 && record[0] == '{' && record[len - 1] == '}');
  return TRUE;
}

typedef struct {
  char *last;
  guint64 count;
} Sorted;

static gboolean
check_sorted (gpointer data, const char *line, gsize len, guint64 offset, GError **error)
{
  Sorted *sorted = data;
  gsize key_len = 0;
  const char *key = tpd_manifest_key (line, len, &key_len);

  g_assert (key != NULL);
  g_free (sorted->last);
  sorted->last = g_strndup (key, key_len);
  sorted->count++;
  return check_record (NULL, line, len, offset, error);
}

static void
resume (int dir, const uint8_t *data, size_t size)
{
  g_autoptr (TpdJournal) journal = tpd_journal_open (dir, "journal.jsonl", NULL);
  Sorted sorted = { NULL, 0 };
  guint8 digest[TPD_SHA256_SIZE];
  guint64 count = 0;
  int fd = openat (dir, "journal.jsonl", O_RDONLY | O_CLOEXEC);

  g_assert (journal != NULL && fd >= 0);
  g_assert (tpd_manifest_each (fd, ask_journal, journal, NULL));
  close (fd);
  g_assert (tpd_journal_write_manifest (journal, "manifest.jsonl", is_wanted, NULL, &count, digest, NULL));
  fd = openat (dir, "manifest.jsonl", O_RDONLY | O_CLOEXEC);
  g_assert (fd >= 0 && tpd_manifest_each (fd, check_sorted, &sorted, NULL));
  g_assert (sorted.count == count);
  close (fd);
  g_free (sorted.last);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (JsonObject) object = tpd_json_read_object ((const char *) data, size);
  /* In memory where there is such a place: the journal is synced. */
  char memory[] = "/dev/shm/fuzz-manifest-XXXXXX", disk[] = "/tmp/fuzz-manifest-XXXXXX";
  char *name = mkdtemp (memory);
  int dir, fd;

  if (object != NULL)
    (void) tpd_json_get_uint (object, "files");
  if (name == NULL)
    name = mkdtemp (disk);
  g_assert (name != NULL);
  dir = open (name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  fd = openat (dir, "journal.jsonl", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  g_assert (fd >= 0 && write (fd, data, size) == (gssize) size);
  g_assert (tpd_manifest_each (fd, check_record, NULL, NULL));
  close (fd);
  resume (dir, data, size);
  (void) unlinkat (dir, "journal.jsonl", 0);
  (void) unlinkat (dir, "manifest.jsonl", 0);
  close (dir);
  rmdir (name);
  return 0;
}
