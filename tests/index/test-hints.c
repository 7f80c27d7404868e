/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the index of others: what is in it is found, nothing is written, and
 * what others could have written is not believed. */
#include "index/hints.h"

#include "support.h"

static TpdIndexHints *
open_hints (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  TpdIndexHints *hints = tpd_index_hints_open (f->path, f->root, NULL, 2, &error);

  g_assert_no_error (error);
  g_assert_nonnull (hints);
  return hints;
}

static TpdStamp
stamp_of (guint64 n)
{
  return (TpdStamp){ .dev = 7, .ino = n, .size = n + 1, .mtime_ns = (gint64) n + 2, .ctime_ns = (gint64) n + 3 };
}

static gint64
find_dir (TpdIndexHints *hints, const char *dir)
{
  g_autoptr (GError) error = NULL;
  gint64 id = -1;

  g_assert_true (tpd_index_hints_find_dir (hints, dir, &id, &error));
  g_assert_no_error (error);
  return id;
}

static TpdIndexPage *
read_page (TpdIndexHints *hints, gint64 id, guint max)
{
  g_autoptr (GError) error = NULL;
  TpdIndexPage *page = NULL;

  g_assert_true (tpd_index_hints_read (hints, id, max, &page, &error));
  g_assert_no_error (error);
  return page;
}

static void
write_rows (Fixture *f, const char *dir, guint n)
{
  g_autoptr (TpdIndex) index = open_index (f);
  TpdIndexBatch *batch = tpd_index_batch_new (dir, 0);

  for (guint i = 1; i <= n; i++)
    {
      g_autofree char *name = g_strdup_printf ("file %u", i);
      TpdIndexRow row = row_of (name, i * 10);
      TpdIndexDocument document = document_of ((guint8) i);

      row.exact = i % 2 == 0;
      row.plain_size = i * 1000;
      tpd_index_batch_put (batch, &row, &document, 0);
    }
  write_batch (index, batch, NULL);
}

static void
test_finds_by_validator (Fixture *f, gconstpointer data)
{
  write_rows (f, "a/b", 50);
  g_autoptr (TpdIndexHints) hints = open_hints (f);
  const gint64 id = find_dir (hints, "a/b");
  g_autoptr (TpdIndexPage) page = read_page (hints, id, 50);

  g_assert_cmpint (id, >, 0);
  g_assert_cmpint (find_dir (hints, "a"), ==, 0);
  g_assert_cmpuint (tpd_index_page_length (page), ==, 50);
  for (guint i = 1; i <= 50; i++)
    {
      TpdStamp stamp = stamp_of (i * 10);
      const TpdIndexHint *hint = tpd_index_page_find (page, &stamp);

      g_assert_nonnull (hint);
      g_assert_cmpuint (hint->kind, ==, TPD_KIND_PFILE);
      g_assert_cmpuint (hint->verdict, ==, TPD_VERDICT_NO_KEY);
      g_assert_cmpuint (hint->size_class, ==, TPD_SIZE_NEEDS_KEY);
      g_assert_cmpint (hint->exact, ==, i % 2 == 0);
      if (hint->exact)
        g_assert_cmpuint (hint->plain_size, ==, i * 1000);
      g_assert_cmpstr (hint->extension, ==, ".txt");
      g_assert_false (hint->held);
      stamp.size++;
      g_assert_null (tpd_index_page_find (page, &stamp));
      stamp.size--;
      stamp.mtime_ns++;
      g_assert_null (tpd_index_page_find (page, &stamp));
      stamp.mtime_ns--;
      stamp.ctime_ns--;
      g_assert_null (tpd_index_page_find (page, &stamp));
      stamp = stamp_of (i * 10 + 1);
      g_assert_null (tpd_index_page_find (page, &stamp));
    }
}

static void
test_no_more_than_asked_for (Fixture *f, gconstpointer data)
{
  write_rows (f, "", 50);
  g_autoptr (TpdIndexHints) hints = open_hints (f);
  const gint64 id = find_dir (hints, "");

  g_assert_null (read_page (hints, id, 49));
  g_autoptr (TpdIndexPage) none = read_page (hints, id + 1, 10);
  const TpdStamp stamp = stamp_of (10);
  g_assert_cmpuint (tpd_index_page_length (none), ==, 0);
  g_assert_null (tpd_index_page_find (none, &stamp));
}

static void
test_one_by_name (Fixture *f, gconstpointer data)
{
  write_rows (f, "a", 20);
  g_autoptr (TpdIndexHints) hints = open_hints (f);
  g_autoptr (TpdIndexPage) page = NULL, none = NULL;
  g_autoptr (GError) error = NULL;
  TpdStamp stamp = stamp_of (70);

  g_assert_true (tpd_index_hints_read_one (hints, find_dir (hints, "a"), "file 7", &page, &error));
  g_assert_nonnull (tpd_index_page_find (page, &stamp));
  stamp = stamp_of (80);
  g_assert_null (tpd_index_page_find (page, &stamp));
  g_assert_true (tpd_index_hints_read_one (hints, find_dir (hints, "a"), "file", &none, &error));
  g_assert_cmpuint (tpd_index_page_length (none), ==, 0);
}

/* Rows of another decoder, of failures to read, and of stubs say nothing. */
static void
test_rows_left_out (Fixture *f, gconstpointer data)
{
  {
    g_autoptr (TpdIndex) index = open_index (f);
    TpdIndexRow row = row_of ("old", 10);

    row.decoder++;
    write_row (index, "", &row, NULL);
    row = row_of ("failed", 20);
    row.verdict = TPD_VERDICT_IO_ERROR;
    write_row (index, "", &row, NULL);
    row = row_of ("stub", 30);
    row.verdict = TPD_VERDICT_OFFLINE;
    write_row (index, "", &row, NULL);
  }
  g_autoptr (TpdIndexHints) hints = open_hints (f);
  g_autoptr (TpdIndexPage) page = read_page (hints, find_dir (hints, ""), 10);

  g_assert_cmpuint (tpd_index_page_length (page), ==, 0);
}

static void
test_the_key_that_is_held (Fixture *f, gconstpointer data)
{
  TpdKeyInfo held = { .state = TPD_KEY_HELD }, keyless = { .state = TPD_KEY_KEYLESS };
  g_autoptr (GPtrArray) keys = g_ptr_array_new ();
  const TpdKeyring keyring = { .keys = keys };
  g_autoptr (GError) error = NULL;

  memset (held.public_key.fingerprint.bytes, 1, TPD_SHA256_SIZE);
  memset (keyless.public_key.fingerprint.bytes, 2, TPD_SHA256_SIZE);
  g_ptr_array_add (keys, &held);
  g_ptr_array_add (keys, &keyless);
  write_rows (f, "", 3);
  g_autoptr (TpdIndexHints) hints = tpd_index_hints_open (f->path, f->root, &keyring, 1, &error);
  g_assert_no_error (error);
  g_autoptr (TpdIndexPage) page = read_page (hints, find_dir (hints, ""), 10);
  for (guint i = 1; i <= 3; i++)
    {
      const TpdStamp stamp = stamp_of (i * 10);

      g_assert_cmpint (tpd_index_page_find (page, &stamp)->held, ==, i == 1);
    }
}

/* A scan that comes later is seen; it neither waits nor is in the way. */
static void
test_beside_a_writer (Fixture *f, gconstpointer data)
{
  write_rows (f, "a", 1);
  g_autoptr (TpdIndexHints) hints = open_hints (f);

  for (guint n = 2; n < 30; n++)
    {
      write_rows (f, "a", n);
      g_autoptr (TpdIndexPage) page = read_page (hints, find_dir (hints, "a"), 100);
      g_assert_cmpuint (tpd_index_page_length (page), ==, n);
    }
}

static gpointer
unlock_soon (gpointer db)
{
  g_usleep (300 * 1000);
  g_assert_cmpint (sqlite3_close (db), ==, SQLITE_OK);
  return NULL;
}

/* As by a scan that ends, and tidies up. */
static void
test_locked_for_a_moment (Fixture *f, gconstpointer data)
{
  write_rows (f, "a", 3);
  sqlite3 *db = NULL;
  GThread *thread;

  g_assert_cmpint (sqlite3_open_v2 (f->path, &db, SQLITE_OPEN_READWRITE, NULL), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT", NULL, NULL, NULL), ==,
                   SQLITE_OK);
  thread = g_thread_new ("unlock", unlock_soon, db);
  g_autoptr (TpdIndexHints) hints = open_hints (f);
  g_thread_join (thread);
  g_assert_cmpint (find_dir (hints, "a"), >, 0);
}

static void
assert_refused (Fixture *f, int code)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (tpd_index_hints_open (f->path, f->root, NULL, 2, &error));
  g_assert_error (error, TPD_ERROR, code);
}

static void
test_nothing_is_made (Fixture *f, gconstpointer data)
{
  assert_refused (f, TPD_ERROR_ERRNO + ENOENT);
  g_assert_false (g_file_test (f->path, G_FILE_TEST_EXISTS));
}

static void
test_what_others_can_write (Fixture *f, gconstpointer data)
{
  g_autofree char *log = g_strconcat (f->path, "-wal", NULL), *other = g_strconcat (f->path, ".other", NULL);

  write_rows (f, "", 1);
  g_assert_cmpint (chmod (f->path, 0620), ==, 0);
  assert_refused (f, TPD_ERROR_USAGE);
  g_assert_cmpint (chmod (f->path, 0602), ==, 0);
  assert_refused (f, TPD_ERROR_USAGE);
  g_assert_cmpint (chmod (f->path, 0600), ==, 0);

  g_assert_cmpint (chmod (f->folder, 0770), ==, 0);
  assert_refused (f, TPD_ERROR_USAGE);
  g_assert_cmpint (chmod (f->folder, 01777), ==, 0);
  assert_refused (f, TPD_ERROR_USAGE);
  g_assert_cmpint (chmod (f->folder, 0755), ==, 0);

  g_assert_true (g_file_set_contents (log, "", 0, NULL));
  g_assert_cmpint (chmod (log, 0666), ==, 0);
  assert_refused (f, TPD_ERROR_USAGE);
  g_assert_cmpint (unlink (log), ==, 0);

  if (geteuid () == 0)
    {
      g_assert_cmpint (chown (f->path, 65534, 65534), ==, 0);
      assert_refused (f, TPD_ERROR_USAGE);
      g_assert_cmpint (chown (f->path, 0, 0), ==, 0);
    }
  g_autoptr (TpdIndexHints) hints = open_hints (f);
  g_assert_nonnull (hints);

  g_assert_cmpint (rename (f->path, other), ==, 0);
  g_assert_cmpint (symlink (other, f->path), ==, 0);
  assert_refused (f, TPD_ERROR_USAGE);
}

static void
test_what_is_no_index (Fixture *f, gconstpointer data)
{
  sqlite3 *db = NULL;

  g_assert_true (g_file_set_contents (f->path, "not a database, whatever else it is", -1, NULL));
  g_assert_cmpint (chmod (f->path, 0600), ==, 0);
  assert_refused (f, TPD_ERROR_DAMAGED);
  g_assert_cmpint (unlink (f->path), ==, 0);

  write_rows (f, "", 1);
  g_assert_cmpint (sqlite3_open (f->path, &db), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (db, "PRAGMA user_version = 77", NULL, NULL, NULL), ==, SQLITE_OK);
  sqlite3_close (db);
  assert_refused (f, TPD_ERROR_DAMAGED);
  g_assert_true (g_file_test (f->path, G_FILE_TEST_EXISTS));
}

static void
test_of_another_source (Fixture *f, gconstpointer data)
{
  write_rows (f, "", 1);
  g_free (f->root);
  f->root = g_build_filename (f->folder, "other", NULL);
  g_assert_cmpint (g_mkdir (f->root, 0700), ==, 0);
  assert_refused (f, TPD_ERROR_USAGE);
}

#define ADD(name, function) g_test_add ("/hints/" name, Fixture, NULL, fixture_set_up, function, fixture_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("finds by validator", test_finds_by_validator);
  ADD ("no more than asked for", test_no_more_than_asked_for);
  ADD ("one by name", test_one_by_name);
  ADD ("rows left out", test_rows_left_out);
  ADD ("the key that is held", test_the_key_that_is_held);
  ADD ("beside a writer", test_beside_a_writer);
  ADD ("locked for a moment", test_locked_for_a_moment);
  ADD ("nothing is made", test_nothing_is_made);
  ADD ("what others can write", test_what_others_can_write);
  ADD ("what is no index", test_what_is_no_index);
  ADD ("of another source", test_of_another_source);
  return g_test_run ();
}
