/* SPDX-License-Identifier: Apache-2.0 */
/* The index keeps what it is told, for the right file only. */
#include "support.h"

static void
check_row (const TpdIndexRow *row, guint64 n)
{
  g_assert_nonnull (row);
  g_assert_cmpuint (row->ino, ==, n);
  g_assert_cmpuint (row->size, ==, n + 1);
  g_assert_cmpint (row->mtime_ns, ==, (gint64) n + 2);
  g_assert_cmpint (row->ctime_ns, ==, (gint64) n + 3);
  g_assert_cmpuint (row->decoder, ==, TPD_DECODER_VERSION);
  g_assert_cmpint (row->kind, ==, TPD_KIND_PFILE);
  g_assert_cmpint (row->verdict, ==, TPD_VERDICT_NO_KEY);
  g_assert_cmpint (row->size_class, ==, TPD_SIZE_NEEDS_KEY);
  g_assert_cmpstr (row->extension, ==, ".txt");
}

static void
test_rows_come_back (Fixture *f, gconstpointer data)
{
  g_autoptr (TpdIndex) index = open_index (f);
  g_autoptr (TpdIndexReader) reader = NULL;
  TpdIndexRow first = row_of ("a", 10), second = row_of ("a", 20);
  const TpdIndexRow *row;

  second.exact = TRUE;
  second.plain_size = G_MAXINT64;
  second.opened = TRUE;
  second.extension = NULL;
  write_row (index, "", &first, NULL);
  write_row (index, "dir/sub", &second, NULL);
  reader = read_index (index);
  row = find_row (reader, "", "a");
  check_row (row, 10);
  g_assert_false (row->exact);
  g_assert_false (row->opened);
  g_assert_cmpint (row->document, ==, 0);
  row = find_row (reader, "dir/sub", "a");
  g_assert_cmpuint (row->ino, ==, 20);
  g_assert_true (row->exact && row->opened);
  g_assert_cmpuint (row->plain_size, ==, G_MAXINT64);
  g_assert_null (row->extension);
  g_assert_null (find_row (reader, "", "b"));
  g_assert_null (find_row (reader, "dir", "a"));
  g_assert_cmpint (tpd_index_reader_dir_id (reader), ==, 0);
}

static void
test_numbers_of_64_bits (Fixture *f, gconstpointer data)
{
  g_autoptr (TpdIndex) index = open_index (f);
  g_autoptr (TpdIndexReader) reader = NULL;
  TpdIndexRow row = row_of ("a", 0);
  TpdStamp stamp = { .ino = G_MAXUINT64, .size = 1, .mtime_ns = G_MININT64, .ctime_ns = -1 };

  tpd_index_row_set_stamp (&row, &stamp);
  write_row (index, "", &row, NULL);
  reader = read_index (index);
  g_assert_true (tpd_index_row_is_current (find_row (reader, "", "a"), &stamp));
}

static void
test_names_are_bytes (Fixture *f, gconstpointer data)
{
  static const char *const names[] = { "\xff\xfe",  "new\nline", "'; DROP TABLE probe; --",
                                       "A",         "a",         "\xc3\xa4",
                                       "a\xcc\x88", " ",         "%s" };
  g_autoptr (TpdIndex) index = open_index (f);
  g_autoptr (TpdIndexReader) reader = NULL;
  TpdIndexBatch *batch = tpd_index_batch_new ("\xff dir", 0);

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      TpdIndexRow row = row_of (names[i], i);
      tpd_index_batch_put (batch, &row, NULL, 0);
    }
  write_batch (index, batch, NULL);
  reader = read_index (index);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    check_row (find_row (reader, "\xff dir", names[i]), i);
}

static void
test_any_change_ends_belief (Fixture *f, gconstpointer data)
{
  const TpdStamp same = { .dev = 9, .ino = 1, .size = 2, .mtime_ns = 3, .ctime_ns = 4, .mode = 5, .uid = 6 };
  TpdIndexRow row = { 0 };
  TpdStamp other;

  tpd_index_row_set_stamp (&row, &same);
  g_assert_true (tpd_index_row_is_current (&row, &same));
  other = same;
  other.dev = 1; /* numbers of devices do not survive a reboot */
  g_assert_true (tpd_index_row_is_current (&row, &other));
  other = same;
  other.ino++;
  g_assert_false (tpd_index_row_is_current (&row, &other));
  other = same;
  other.size++;
  g_assert_false (tpd_index_row_is_current (&row, &other));
  other = same;
  other.mtime_ns++;
  g_assert_false (tpd_index_row_is_current (&row, &other));
  other = same;
  other.ctime_ns++;
  g_assert_false (tpd_index_row_is_current (&row, &other));
  row.decoder++;
  g_assert_false (tpd_index_row_is_current (&row, &same));
}

typedef struct {
  GString *text;
} Listing;

static gboolean
list_entry (gpointer data, const TpdIndexEntry *entry)
{
  GString *text = data;

  if (entry->row == NULL)
    g_string_append_printf (text, "[%s: %s]", entry->dir, entry->dir_error);
  else
    g_string_append_printf (text, "[%s/%s%s]", entry->dir, entry->row->name, entry->document != NULL ? "*" : "");
  return text->len < 1000;
}

static char *
list_all (TpdIndexReader *reader, const TpdIndexVisited *visited, gboolean plain)
{
  g_autoptr (GError) error = NULL;
  GString *text = g_string_new (NULL);

  tpd_index_reader_each (reader, visited, plain ? TPD_INDEX_ALL : TPD_INDEX_DOCUMENTS, list_entry, text, &error);
  g_assert_no_error (error);
  return g_string_free (text, FALSE);
}

static gboolean
check_document (gpointer data, const TpdIndexEntry *entry)
{
  const TpdIndexDocument expected = document_of (7), *found = entry->document;

  g_assert_nonnull (found);
  g_assert_true (found->has_key);
  g_assert_true (tpd_fingerprint_equal (&found->key.fingerprint, &expected.key.fingerprint));
  g_assert_cmpuint (found->key.bits, ==, 2048);
  g_assert_cmpstr (found->key.guid, ==, expected.key.guid);
  g_assert_cmpstr (found->key.tenant, ==, expected.key.tenant);
  g_assert_cmpstr (found->key.url, ==, expected.key.url);
  g_assert_cmpstr (found->message, ==, expected.message);
  g_assert_cmpstr (found->content_id, ==, expected.content_id);
  g_assert_cmpstr (found->policy_id, ==, expected.policy_id);
  g_assert_cmpstr (found->rms_owner, ==, expected.rms_owner);
  g_assert_cmpstr (found->author, ==, expected.author);
  g_assert_cmpstr (found->issued, ==, expected.issued);
  g_assert_cmpstr (found->template_id, ==, expected.template_id);
  g_assert_cmpstr (found->template_name, ==, expected.template_name);
  g_assert_cmpstr (found->cipher, ==, expected.cipher);
  g_assert_cmpstr (found->proof, ==, expected.proof);
  g_assert_true (found->double_key);
  g_assert_cmphex (found->asked_with, ==, expected.asked_with);
  g_assert_cmpstr (found->json, ==, expected.json);
  (*(guint *) data)++;
  return TRUE;
}

static void
test_documents_come_back (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdIndex) index = open_index (f);
  g_autoptr (TpdIndexReader) reader = NULL;
  TpdIndexRow row = row_of ("a", 1);
  TpdIndexDocument document = document_of (7);
  const TpdIndexDocument *found = NULL;
  guint n = 0;

  write_row (index, "", &row, &document);
  reader = read_index (index);
  tpd_index_reader_each (reader, NULL, TPD_INDEX_DOCUMENTS, check_document, &n, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n, ==, 1);
  tpd_index_reader_document (reader, find_row (reader, "", "a")->document, &found, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (found->issued, ==, "2021-05-06T07:08");
  g_assert_cmpstr (found->rms_owner, ==, "owner");
  g_assert_cmpstr (found->key.guid, ==, document.key.guid);
  tpd_index_reader_document (reader, 999, &found, &error);
  g_assert_no_error (error);
  g_assert_null (found);
}

static void
test_document_stays_or_goes (Fixture *f, gconstpointer data)
{
  const TpdIndexFinish finish = { .is_gone = never_gone };
  g_autoptr (TpdIndex) index = open_index (f);
  TpdIndexRow row = row_of ("a", 1);
  TpdIndexDocument document = document_of (1);
  TpdIndexBatch *batch;

  write_row (index, "", &row, &document);
  row.document = TPD_INDEX_KEEP_DOCUMENT;
  row.plain_size = 5;
  row.exact = TRUE;
  write_row (index, "", &row, NULL);
  g_assert_cmpint (ask_number (f->path, "SELECT document IS NOT NULL AND plain_size = 5 FROM probe"), ==, 1);
  row.ino++; /* another file: its document is not this one's */
  write_row (index, "", &row, NULL);
  g_assert_cmpint (ask_number (f->path, "SELECT document IS NULL FROM probe"), ==, 1);

  row.document = 0;
  write_row (index, "", &row, &document);
  batch = tpd_index_batch_new ("", 1);
  tpd_index_batch_put (batch, &row, NULL, 0);
  write_batch (index, batch, &finish);
  g_assert_cmpint (ask_number (f->path, "SELECT document IS NULL FROM probe"), ==, 1);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM document"), ==, 0);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM detail"), ==, 0);
}

static void
test_links_share_a_document (Fixture *f, gconstpointer data)
{
  g_autoptr (TpdIndex) index = open_index (f);
  TpdIndexRow a = row_of ("a", 1), b = row_of ("b", 1), c = row_of ("c", 2);
  TpdIndexDocument document = document_of (1);
  TpdIndexBatch *batch = tpd_index_batch_new ("", 0);

  tpd_index_batch_put (batch, &a, &document, 4);
  tpd_index_batch_put (batch, &b, &document, 4);
  tpd_index_batch_put (batch, &c, &document, 5);
  write_batch (index, batch, NULL);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM document"), ==, 2);
  g_assert_cmpint (ask_number (f->path, "SELECT count(DISTINCT document) FROM probe WHERE name IN (x'61', x'62')"), ==,
                   1);
}

static void
test_keys_are_counted (Fixture *f, gconstpointer data)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_key_info_free);
  TpdKeyInfo *held = g_new0 (TpdKeyInfo, 1);
  g_autoptr (TpdKeyring) keyring = NULL;
  g_autoptr (TpdIndex) index = open_index (f);
  TpdIndexRow a = row_of ("a", 1), b = row_of ("b", 2), c = row_of ("c", 3);
  TpdIndexDocument first = document_of (1), second = document_of (2);
  TpdIndexBatch *batch = tpd_index_batch_new ("", 0);
  TpdIndexFinish finish = { .complete = TRUE, .files = 3, .bytes = 9, .is_gone = never_gone };

  memset (held->public_key.fingerprint.bytes, 2, TPD_SHA256_SIZE);
  g_ptr_array_add (keys, held);
  keyring = tpd_keyring_new (g_steal_pointer (&keys));
  finish.keyring = keyring;
  tpd_index_batch_put (batch, &a, &first, 0);
  tpd_index_batch_put (batch, &b, &second, 0);
  tpd_index_batch_put (batch, &c, &second, 0);
  write_batch (index, batch, &finish);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM keys_needed"), ==, 2);
  g_assert_cmpint (ask_number (f->path, "SELECT files * 1000 + bytes * 10 + held FROM keys_needed WHERE fingerprint"
                                        " LIKE '0101%'"),
                   ==, 1020);
  g_assert_cmpint (ask_number (f->path, "SELECT files * 1000 + bytes * 10 + held FROM keys_needed WHERE fingerprint"
                                        " LIKE '0202%'"),
                   ==, 2071);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM file WHERE verdict = 'key-held'"), ==, 2);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM file WHERE verdict = 'no-key' AND kind = 'pfile'"), ==,
                   1);

  batch = tpd_index_batch_new ("", 1);
  tpd_index_batch_remove (batch, "a");
  finish.keyring = NULL;
  write_batch (index, batch, &finish);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM key"), ==, 1);
  g_assert_cmpint (ask_number (f->path, "SELECT sum(held) FROM keys_needed"), ==, 0);
}

/* Key 2, after any of the ways in which its use is counted. */
static gint64
use_of_two (Fixture *f)
{
  return ask_number (f->path, "SELECT files * 1000 + bytes FROM keys_needed WHERE fingerprint LIKE '0202%'");
}

static void
put_one (TpdIndexBatch *batch, const char *name, guint64 size, guint8 key, guint64 link)
{
  TpdIndexRow row = row_of (name, 1);
  TpdIndexDocument document = document_of (key);

  row.size = size;
  tpd_index_batch_put (batch, &row, key != 0 ? &document : NULL, link);
}

static void
test_use_of_keys_is_exact (Fixture *f, gconstpointer data)
{
  const TpdIndexFinish finish = { .complete = TRUE, .is_gone = never_gone };
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdIndex) index = open_index (f), other = open_index (f);
  TpdIndexBatch *batch = tpd_index_batch_new ("", 0);
  TpdIndexWriter *writer;

  /* New ones, two names of one file, one name twice. */
  put_one (batch, "a", 10, 2, 0);
  put_one (batch, "b", 20, 2, 7);
  put_one (batch, "c", 20, 2, 7);
  put_one (batch, "d", 30, 1, 0);
  put_one (batch, "e", 40, 0, 0);
  write_batch (index, batch, &finish);
  g_assert_cmpint (use_of_two (f), ==, 3050);

  /* More, in a directory that is known; then one that takes another key. */
  batch = tpd_index_batch_new ("", 1);
  put_one (batch, "f", 50, 2, 0);
  write_batch (index, batch, &finish);
  g_assert_cmpint (use_of_two (f), ==, 4100);
  batch = tpd_index_batch_new ("", 1);
  put_one (batch, "g", 60, 2, 0);
  put_one (batch, "f", 51, 1, 0);
  write_batch (index, batch, &finish);
  g_assert_cmpint (use_of_two (f), ==, 4110);

  /* A protected file that has become a plain one, and the reverse. */
  batch = tpd_index_batch_new ("", 1);
  put_one (batch, "a", 11, 0, 0);
  put_one (batch, "e", 41, 2, 0);
  write_batch (index, batch, &finish);
  g_assert_cmpint (use_of_two (f), ==, 4141);

  /* The same name twice in a directory that is new. */
  batch = tpd_index_batch_new ("twice", 0);
  put_one (batch, "a", 100, 2, 0);
  put_one (batch, "a", 100, 2, 0);
  put_one (batch, "b", 100, 2, 0);
  put_one (batch, "b", 100, 0, 0);
  write_batch (index, batch, &finish);
  g_assert_cmpint (use_of_two (f), ==, 5241);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM document WHERE NOT EXISTS"
                                        " (SELECT 1 FROM probe WHERE document = document.id)"),
                   ==, 0);

  /* One that was cut short: its rows are there, and were not counted. */
  batch = tpd_index_batch_new ("short", 0);
  put_one (batch, "a", 200, 2, 0);
  write_batch (index, batch, NULL);
  batch = tpd_index_batch_new ("more", 0);
  put_one (batch, "a", 300, 2, 0);
  write_batch (index, batch, &finish);
  g_assert_cmpint (use_of_two (f), ==, 7741);

  /* Another process that scans from beginning to end meanwhile, and counts
   * what was committed here. */
  writer = tpd_index_writer_start (index, &error);
  g_assert_no_error (error);
  batch = tpd_index_batch_new ("mine", 0);
  put_one (batch, "a", 2, 2, 0);
  g_assert_true (tpd_index_writer_submit (writer, batch));
  for (guint i = 0; i < 1000 && ask_number (f->path, "SELECT count(*) FROM dir WHERE path = x'6d696e65'") == 0; i++)
    g_usleep (10000);
  batch = tpd_index_batch_new ("other", 0);
  put_one (batch, "a", 1, 2, 0);
  write_batch (other, batch, &finish);
  g_assert_cmpint (use_of_two (f), ==, 9744);
  g_assert_true (tpd_index_writer_finish (writer, &finish, &error));
  tpd_index_writer_free (writer);
  g_assert_cmpint (use_of_two (f), ==, 9744);
}

static void
test_scans_are_remembered (Fixture *f, gconstpointer data)
{
  const TpdIndexFinish finish = { .complete = TRUE, .files = 3, .bytes = 9, .is_gone = never_gone };
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdIndex) index = open_index (f);
  g_autoptr (TpdIndexReader) reader = read_index (index);
  TpdIndexScan scan;

  g_assert_true (tpd_index_reader_scan (reader, &scan, &error));
  g_assert_false (scan.complete);
  g_assert_cmpint (scan.started, ==, 0);
  write_batch (index, tpd_index_batch_new ("", 0), &finish);
  g_assert_true (tpd_index_reader_scan (reader, &scan, &error));
  g_assert_true (scan.complete);
  g_assert_cmpuint (scan.files, ==, 3);
  g_assert_cmpuint (scan.bytes, ==, 9);
  g_assert_cmpint (scan.finished, >=, scan.started);
  write_batch (index, tpd_index_batch_new ("", 0), NULL);
  g_assert_true (tpd_index_reader_scan (reader, &scan, &error));
  g_assert_false (scan.complete);
  g_assert_cmpuint (scan.files, ==, 3);
}

static void
collect_name (gpointer data, const char *name)
{
  g_string_append_printf (data, "[%s]", name);
}

static void
test_unseen_names_are_told (Fixture *f, gconstpointer data)
{
  g_autoptr (GString) names = g_string_new (NULL);
  g_autoptr (TpdIndex) index = open_index (f);
  g_autoptr (TpdIndexReader) reader = NULL;
  TpdIndexRow a = row_of ("a", 1), b = row_of ("b", 2), c = row_of ("c", 3);
  TpdIndexBatch *batch = tpd_index_batch_new ("d", 0);

  tpd_index_batch_put (batch, &a, NULL, 0);
  tpd_index_batch_put (batch, &b, NULL, 0);
  tpd_index_batch_put (batch, &c, NULL, 0);
  write_batch (index, batch, NULL);
  reader = read_index (index);
  g_assert_nonnull (find_row (reader, "d", "b"));
  g_assert_true (tpd_index_reader_each_unseen (reader, collect_name, names));
  g_assert_cmpstr (names->str, ==, "[a][c]");
}

static void
test_huge_directories_are_asked_by_name (Fixture *f, gconstpointer data)
{
  const guint n = 20000;
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) names = g_string_new (NULL);
  g_autoptr (TpdIndex) index = open_index (f);
  g_autoptr (TpdIndexReader) reader = NULL;
  TpdIndexBatch *batch = tpd_index_batch_new ("d", 0);
  TpdIndexRow row = row_of ("z", 7);
  guint64 count;

  write_row (index, "e", &row, NULL);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);

      row = row_of (name, i);
      tpd_index_batch_put (batch, &row, NULL, 0);
    }
  write_batch (index, batch, NULL);
  reader = read_index (index);
  check_row (find_row (reader, "d", "0"), 0);
  check_row (find_row (reader, "d", "19999"), 19999);
  g_assert_null (find_row (reader, "d", "20000"));
  g_assert_true (tpd_index_reader_count (reader, &count, &error));
  g_assert_cmpuint (count, ==, n);
  g_assert_false (tpd_index_reader_each_unseen (reader, collect_name, names));
  g_assert_true (tpd_index_reader_each_name (reader, collect_name, names, &error));
  g_assert_cmpuint (names->len, >, n * 3);
  check_row (find_row (reader, "e", "z"), 7);
  g_assert_null (find_row (reader, "e", "0"));
}

static TpdIndexRow
plain_row (const char *name, guint64 n)
{
  TpdIndexRow row = row_of (name, n);

  row.kind = TPD_KIND_PLAIN;
  row.verdict = TPD_VERDICT_NOT_PROTECTED;
  row.size_class = TPD_SIZE_EXACT;
  row.extension = NULL;
  return row;
}

/* Plain files are added many at a time: `from` to `to` - 1, among them every tenth
 * protected, later every hundredth removed first, and one that is told twice. */
static TpdIndexBatch *
mixed_batch (guint from, guint to, guint64 add)
{
  TpdIndexBatch *batch = tpd_index_batch_new ("d", 0);

  for (guint i = from; i < to; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);
      TpdIndexRow row = i % 10 == 0 ? row_of (name, i + add) : plain_row (name, i + add);

      if (i % 100 == 0 && i >= from + 300)
        tpd_index_batch_remove (batch, name);
      if (i == from + 1)
        {
          TpdIndexRow before = plain_row (name, 0);

          tpd_index_batch_put (batch, &before, NULL, 0);
        }
      tpd_index_batch_put (batch, &row, NULL, 0);
    }
  return batch;
}

static void
check_mixed (TpdIndex *index, guint from, guint to, guint64 add)
{
  g_autoptr (TpdIndexReader) reader = read_index (index);

  for (guint i = from; i < to; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);
      const TpdIndexRow *row = find_row (reader, "d", name);

      g_assert_nonnull (row);
      g_assert_cmpuint (row->ino, ==, i + add);
      g_assert_cmpuint (row->size, ==, i + add + 1);
      g_assert_cmpint (row->mtime_ns, ==, (gint64) (i + add) + 2);
      g_assert_cmpint (row->ctime_ns, ==, (gint64) (i + add) + 3);
      g_assert_cmpint (row->kind, ==, i % 10 == 0 ? TPD_KIND_PFILE : TPD_KIND_PLAIN);
      g_assert_cmpint (row->verdict, ==, i % 10 == 0 ? TPD_VERDICT_NO_KEY : TPD_VERDICT_NOT_PROTECTED);
    }
}

static void
test_plain_rows_among_others (Fixture *f, gconstpointer data)
{
  g_autoptr (TpdIndex) index = open_index (f);
  TpdIndexBatch *only = tpd_index_batch_new ("p", 0);

  write_batch (index, mixed_batch (0, 1000, 0), NULL);
  check_mixed (index, 0, 1000, 0);
  /* New ones, and some that are there. */
  write_batch (index, mixed_batch (505, 1555, 7), NULL);
  check_mixed (index, 0, 505, 0);
  check_mixed (index, 505, 1555, 7);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM probe"), ==, 1555);
  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i % 99);
      TpdIndexRow row = plain_row (name, i);

      tpd_index_batch_put (only, &row, NULL, 0);
    }
  write_batch (index, only, NULL);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM probe"), ==, 1555 + 99);
  /* Of the two of one name the later one counts. */
  g_assert_cmpint (ask_number (f->path, "SELECT sum (probe.ino) FROM probe JOIN dir ON dir.id = probe.dir"
                                        " WHERE dir.path = x'70' AND probe.mtime_ns - probe.size = 1"),
                   ==, 4950);
}

static void
test_reports_are_in_order (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdIndex) index = open_index (f);
  g_autoptr (TpdIndexReader) reader = NULL;
  g_autoptr (TpdIndexWriter) writer = NULL;
  g_autofree char *all = NULL, *some = NULL, *visited = NULL;
  TpdIndexRow b = row_of ("b", 1), a = row_of ("a", 2);
  TpdIndexDocument document = document_of (1);
  TpdIndexBatch *batch;

  write_row (index, "z", &b, &document);
  write_row (index, "z", &a, NULL);
  write_row (index, "", &a, &document);
  writer = tpd_index_writer_start (index, &error);
  batch = tpd_index_batch_new ("m", 0);
  tpd_index_batch_set_error (batch, "closed");
  tpd_index_writer_submit (writer, batch);
  batch = tpd_index_batch_new ("m2", 0);
  tpd_index_batch_set_error (batch, "closed");
  tpd_index_batch_set_error (batch, NULL);
  tpd_index_writer_submit (writer, batch);
  g_assert_true (tpd_index_writer_finish (writer, NULL, &error));
  reader = read_index (index);
  all = list_all (reader, NULL, TRUE);
  g_assert_cmpstr (all, ==, "[/a*][m: closed][z/a][z/b*]");
  some = list_all (reader, NULL, FALSE);
  g_assert_cmpstr (some, ==, "[/a*][m: closed][z/b*]");
  visited = list_all (reader, tpd_index_writer_visited (writer), TRUE);
  g_assert_cmpstr (visited, ==, "[m: closed]");
}

static void
test_what_is_gone_is_forgotten (Fixture *f, gconstpointer data)
{
  const TpdIndexFinish keep = { .complete = TRUE, .is_gone = never_gone };
  const TpdIndexFinish forget = { .complete = TRUE, .is_gone = always_gone };
  const TpdIndexFinish partial = { .is_gone = always_gone };
  g_autoptr (TpdIndex) index = open_index (f);
  TpdIndexRow row = row_of ("a", 1);
  TpdIndexDocument document = document_of (1);

  write_row (index, "gone", &row, &document);
  write_row (index, "here", &row, &document);
  write_batch (index, tpd_index_batch_new ("here", 2), &keep);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM dir"), ==, 2);
  write_batch (index, tpd_index_batch_new ("here", 2), &partial);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM dir"), ==, 2);
  write_batch (index, tpd_index_batch_new ("here", 2), &forget);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM dir"), ==, 1);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM probe"), ==, 1);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM document"), ==, 1);
}

static void
test_sources_share_a_file (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *other_root = g_build_filename (f->folder, "other", NULL);
  g_autoptr (TpdIndex) first = open_index (f);
  g_autoptr (TpdIndex) second = NULL;
  g_autoptr (TpdIndexReader) reader = NULL;
  const TpdIndexFinish forget = { .complete = TRUE, .is_gone = always_gone };
  TpdIndexRow one = row_of ("a", 1), two = row_of ("a", 2);

  g_assert_cmpint (g_mkdir (other_root, 0700), ==, 0);
  second = tpd_index_open (f->path, other_root, &error);
  g_assert_no_error (error);
  write_row (first, "", &one, NULL);
  write_row (second, "", &two, NULL);
  write_batch (second, tpd_index_batch_new ("x", 0), &forget);
  reader = read_index (first);
  check_row (find_row (reader, "", "a"), 1);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM probe"), ==, 1);
}

static void
test_source_ids_are_of_real_paths (Fixture *f, gconstpointer data)
{
  g_autofree char *a = tpd_index_source_id ("/srv/a"), *b = tpd_index_source_id ("/srv/b");
  g_autofree char *again = tpd_index_source_id ("/srv/a");

  g_assert_cmpstr (a, ==, again);
  g_assert_cmpstr (a, !=, b);
  g_assert_cmpuint (strlen (a), ==, 32);
}

int
main (int argc, char **argv)
{
  const struct {
    const char *path;
    void (*test) (Fixture *, gconstpointer);
  } tests[] = {
    { "/index/rows-come-back", test_rows_come_back },
    { "/index/numbers-of-64-bits", test_numbers_of_64_bits },
    { "/index/names-are-bytes", test_names_are_bytes },
    { "/index/any-change-ends-belief", test_any_change_ends_belief },
    { "/index/documents-come-back", test_documents_come_back },
    { "/index/document-stays-or-goes", test_document_stays_or_goes },
    { "/index/links-share-a-document", test_links_share_a_document },
    { "/index/use-of-keys-is-exact", test_use_of_keys_is_exact },
    { "/index/keys-are-counted", test_keys_are_counted },
    { "/index/scans-are-remembered", test_scans_are_remembered },
    { "/index/unseen-names-are-told", test_unseen_names_are_told },
    { "/index/plain-rows-among-others", test_plain_rows_among_others },
    { "/index/huge-directories-are-asked-by-name", test_huge_directories_are_asked_by_name },
    { "/index/reports-are-in-order", test_reports_are_in_order },
    { "/index/what-is-gone-is-forgotten", test_what_is_gone_is_forgotten },
    { "/index/sources-share-a-file", test_sources_share_a_file },
    { "/index/source-ids-are-of-real-paths", test_source_ids_are_of_real_paths },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, fixture_set_up, tests[i].test, fixture_tear_down);
  return g_test_run ();
}
