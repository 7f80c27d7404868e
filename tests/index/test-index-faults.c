/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to the index when its file, its place or its writer fails. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "support.h"

/* --- The file ------------------------------------------------------------ */

static void
check_set_aside (Fixture *f, const char *content, gsize len)
{
  g_autofree char *bad = g_strconcat (f->path, ".bad-1", NULL), *kept = NULL;
  g_autoptr (TpdIndex) index = open_index (f);
  gsize kept_len;

  g_assert_true (g_file_get_contents (bad, &kept, &kept_len, NULL));
  if (content != NULL)
    g_assert_cmpmem (kept, kept_len, content, len);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM source"), ==, 1);
}

static void
test_foreign_file_is_set_aside (Fixture *f, gconstpointer data)
{
  static const char text[] = "A letter that somebody still wants, and which is long enough to be read as a header: "
                             "......................................................";

  g_assert_true (g_file_set_contents (f->path, text, -1, NULL));
  check_set_aside (f, text, strlen (text));
}

static void
run_sql (const char *path, const char *sql)
{
  sqlite3 *db = NULL;

  g_assert_cmpint (sqlite3_open (path, &db), ==, SQLITE_OK);
  g_assert_cmpint (sqlite3_exec (db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
  sqlite3_close (db);
}

static void
test_foreign_database_is_set_aside (Fixture *f, gconstpointer data)
{
  run_sql (f->path, "CREATE TABLE probe (x); PRAGMA user_version = 1");
  check_set_aside (f, NULL, 0);
}

static void
test_other_version_is_set_aside (Fixture *f, gconstpointer data)
{
  tpd_index_free (open_index (f));
  run_sql (f->path, "PRAGMA user_version = 9999");
  check_set_aside (f, NULL, 0);
}

static void
test_set_aside_never_overwrites (Fixture *f, gconstpointer data)
{
  g_autofree char *first = g_strconcat (f->path, ".bad-1", NULL), *second = g_strconcat (f->path, ".bad-2", NULL);
  g_autofree char *text = NULL;

  g_assert_true (g_file_set_contents (first, "older", -1, NULL));
  g_assert_true (g_file_set_contents (f->path, "newer", -1, NULL));
  tpd_index_free (open_index (f));
  g_assert_true (g_file_get_contents (first, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "older");
  g_assert_true (g_file_test (second, G_FILE_TEST_IS_REGULAR));
}

static void
test_empty_file_is_an_index_to_be (Fixture *f, gconstpointer data)
{
  g_autofree char *bad = g_strconcat (f->path, ".bad-1", NULL);

  g_assert_true (g_file_set_contents (f->path, "", 0, NULL));
  tpd_index_free (open_index (f));
  g_assert_false (g_file_test (bad, G_FILE_TEST_EXISTS));
}

static void
fill (TpdIndex *index, guint n)
{
  TpdIndexBatch *batch = tpd_index_batch_new ("d", 0);
  TpdIndexDocument document = document_of (1);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("name %u", i);
      TpdIndexRow row = row_of (name, i);

      tpd_index_batch_put (batch, &row, i % 3 == 0 ? &document : NULL, 0);
    }
  write_batch (index, batch, NULL);
}

/* Every page but the first is overwritten: whatever the reader asks, it is an
 * error or nothing, and never a crash. */
static void
test_corrupt_pages_are_an_error (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdIndex) index = open_index (f);
  g_autoptr (TpdIndex) again = NULL;
  g_autofree char *junk = g_malloc (4096), *bad = g_strconcat (f->path, ".bad-1", NULL);
  const TpdIndexRow *row = NULL;
  TpdIndexReader *reader;
  struct stat st;
  gboolean good;
  int fd;

  fill (index, 2000);
  memset (junk, 0xa5, 4096);
  fd = g_open (f->path, O_RDWR, 0);
  g_assert_cmpint (fstat (fd, &st), ==, 0);
  for (off_t at = 4096; at < st.st_size; at += 4096)
    g_assert_cmpint (pwrite (fd, junk, 4096, at), ==, 4096);
  close (fd);

  reader = tpd_index_reader_new (index, &error);
  good = reader != NULL && tpd_index_reader_enter (reader, "d", &error)
         && tpd_index_reader_lookup (reader, "name 7", &row, &error);
  g_assert_false (good);
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
  tpd_index_reader_free (reader);
  g_clear_error (&error);
  g_assert_true (tpd_index_set_aside (index, "test", &error));
  g_assert_true (g_file_test (bad, G_FILE_TEST_IS_REGULAR));
  again = open_index (f);
  fill (again, 10);
}

/* A database of a stranger's making: numbers out of range, wrong types. */
static void
test_rows_without_sense_are_left_out (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdIndex) index = open_index (f);
  g_autoptr (TpdIndexReader) reader = NULL;
  TpdIndexRow row = row_of ("good", 1);

  write_row (index, "d", &row, NULL);
  run_sql (f->path,
           "INSERT INTO probe VALUES (1, x'61', 1, 1, 1, 1, 1, 99, 0, 0, 0, NULL, NULL, NULL, 0, 0, 0, 0, NULL),"
           " (1, x'62', 1, 1, 1, 1, 1, 0, -1, 0, 0, NULL, NULL, NULL, 0, 0, 0, 0, NULL),"
           " (1, x'63', 1, 1, 1, 1, 1, 0, 0, 7, 0, NULL, NULL, NULL, 0, 0, 0, 0, NULL),"
           " (1, x'64', 'x', 'y', x'', 1, 1, 'pfile', 0, 0, 0, 'z', x'ff', 'doc', 'x', 'y', 'z', x'', 7),"
           " (1, x'', 1, 1, 1, 1, 1, 0, 2, 0, 0, NULL, NULL, 12345, 7, -3, 99, -1, 'text')");
  reader = read_index (index);
  g_assert_nonnull (find_row (reader, "d", "good"));
  g_assert_null (find_row (reader, "d", "a"));
  g_assert_null (find_row (reader, "d", "b"));
  g_assert_null (find_row (reader, "d", "c"));
  g_assert_no_error (error);
}

/* --- The place ----------------------------------------------------------- */

static void
check_refused (const char *path, const char *root, const char *word)
{
  g_autoptr (GError) error = NULL;
  TpdIndex *index = tpd_index_open (path, root, &error);

  g_assert_null (index);
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
  g_assert_nonnull (strstr (error->message, word));
}

static void
test_never_on_the_source (Fixture *f, gconstpointer data)
{
  g_autofree char *direct = g_build_filename (f->root, "i.sqlite", NULL);
  g_autofree char *sub = g_build_filename (f->root, "sub", NULL), *deep = g_build_filename (sub, "i.sqlite", NULL);
  g_autofree char *link = g_build_filename (f->folder, "link", NULL);
  g_autofree char *by_link = g_build_filename (link, "i.sqlite", NULL);

  g_assert_cmpint (g_mkdir (sub, 0700), ==, 0);
  g_assert_cmpint (symlink (sub, link), ==, 0);
  check_refused (direct, f->root, "--index");
  check_refused (deep, f->root, "--index");
  check_refused (by_link, f->root, "--index");
  g_assert_false (g_file_test (direct, G_FILE_TEST_EXISTS));
  g_assert_false (g_file_test (deep, G_FILE_TEST_EXISTS));
}

static void
test_links_and_folders_are_refused (Fixture *f, gconstpointer data)
{
  g_autofree char *target = g_build_filename (f->folder, "target", NULL);

  g_assert_cmpint (symlink (target, f->path), ==, 0);
  check_refused (f->path, f->root, "regular file");
  g_assert_false (g_file_test (target, G_FILE_TEST_EXISTS));
  check_refused (f->folder, f->root, "regular file");
}

static void
test_the_file_is_private (Fixture *f, gconstpointer data)
{
  g_autoptr (TpdIndex) index = NULL;
  g_autoptr (TpdIndexReader) reader = NULL;
  g_autofree char *log = g_strconcat (f->path, "-wal", NULL);
  mode_t old = umask (0);
  struct stat st;

  index = open_index (f);
  fill (index, 10);
  reader = read_index (index);
  g_assert_null (find_row (reader, "", "x"));
  umask (old);
  g_assert_cmpint (stat (f->path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 0777, ==, 0600);
  g_assert_cmpint (stat (log, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 0777, ==, 0600);
  g_assert_cmpint (chmod (f->path, 0644), ==, 0);
  tpd_index_free (open_index (f));
  g_assert_cmpint (stat (f->path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 0777, ==, 0600);
}

static void
test_files_of_others_are_refused (Fixture *f, gconstpointer data)
{
  if (geteuid () != 0)
    {
      g_test_skip ("needs root");
      return;
    }
  tpd_index_free (open_index (f));
  g_assert_cmpint (chown (f->path, 65534, 65534), ==, 0);
  check_refused (f->path, f->root, "another user");
}

/* --- The writer ---------------------------------------------------------- */

static void
test_full_disk_is_told_and_harmless (Fixture *f, gconstpointer data)
{
  pid_t child;
  int status;

  tpd_index_free (open_index (f));
  child = fork ();
  if (child == 0)
    {
      const struct rlimit limit = { 1024 * 1024, 1024 * 1024 };
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdIndex) index = open_index (f);
      g_autoptr (TpdIndexWriter) writer = tpd_index_writer_start (index, &error);
      gboolean good = TRUE;

      signal (SIGXFSZ, SIG_IGN);
      setrlimit (RLIMIT_FSIZE, &limit);
      for (guint i = 0; good && i < 400; i++)
        {
          TpdIndexBatch *batch = tpd_index_batch_new ("d", 0);

          for (guint j = 0; j < 100; j++)
            {
              g_autofree char *name = g_strdup_printf ("a name of some length, number %u.%u", i, j);
              TpdIndexRow row = row_of (name, j);

              tpd_index_batch_put (batch, &row, NULL, 0);
            }
          good = tpd_index_writer_submit (writer, batch);
        }
      /* It is told, and names the file. */
      good = tpd_index_writer_finish (writer, NULL, &error);
      _exit (!good && error != NULL && tpd_error_get_errno (error) != 0 && strstr (error->message, f->path) ? 0 : 1);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), ==,
                   1);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM probe"), <, 40000);
}

static void
test_killed_writer_loses_little (Fixture *f, gconstpointer data)
{
  g_autoptr (TpdIndex) index = NULL;
  int ready[2], status;
  pid_t child;
  char byte;

  tpd_index_free (open_index (f));
  g_assert_cmpint (pipe (ready), ==, 0);
  child = fork ();
  if (child == 0)
    {
      g_autoptr (TpdIndex) own = open_index (f);
      g_autoptr (TpdIndexWriter) writer = tpd_index_writer_start (own, NULL);

      for (guint i = 0;; i++)
        {
          g_autofree char *dir = g_strdup_printf ("dir %u", i);
          TpdIndexBatch *batch = tpd_index_batch_new (dir, 0);
          TpdIndexDocument document = document_of ((guint8) i);

          for (guint j = 0; j < 100; j++)
            {
              g_autofree char *name = g_strdup_printf ("%u", j);
              TpdIndexRow row = row_of (name, j);

              tpd_index_batch_put (batch, &row, &document, 0);
            }
          tpd_index_writer_submit (writer, batch);
          if (i == 400 && write (ready[1], "x", 1) != 1)
            _exit (1);
        }
    }
  g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
  g_usleep (50000);
  g_assert_cmpint (kill (child, SIGKILL), ==, 0);
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  close (ready[0]);
  close (ready[1]);
  index = open_index (f);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), ==,
                   1);
  /* 40 000 rows were handed over; a queue and a transaction may be lost. */
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM probe"), >, 8000);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM probe WHERE document NOT IN (SELECT id FROM document)"),
                   ==, 0);
  fill (index, 10);
}

typedef struct {
  TpdIndex *index;
  gint stop; /* atomic */
  guint reads;
} ReaderThread;

static gpointer
read_on (gpointer data)
{
  ReaderThread *thread = data;
  g_autoptr (TpdIndexReader) reader = read_index (thread->index);
  guint64 last = 0;

  while (g_atomic_int_get (&thread->stop) == 0)
    {
      g_autoptr (GError) error = NULL;
      const TpdIndexRow *row = find_row (reader, "", "none");
      guint64 count = 0;

      g_assert_null (row);
      g_assert_true (tpd_index_reader_enter (reader, "d", &error));
      g_assert_true (tpd_index_reader_count (reader, &count, &error));
      g_assert_no_error (error);
      /* What was once committed does not vanish. */
      g_assert_cmpuint (count, >=, last);
      last = count;
      thread->reads++;
    }
  return NULL;
}

static void
test_readers_go_on_while_it_is_written (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdIndex) index = open_index (f);
  g_autoptr (TpdIndexWriter) writer = tpd_index_writer_start (index, &error);
  ReaderThread readers[2] = { { .index = index }, { .index = index } };
  GThread *threads[2];

  for (guint i = 0; i < 2; i++)
    threads[i] = g_thread_new ("reader", read_on, &readers[i]);
  for (guint i = 0; i < 600; i++)
    {
      TpdIndexBatch *batch = tpd_index_batch_new ("d", 0);

      for (guint j = 0; j < 100; j++)
        {
          g_autofree char *name = g_strdup_printf ("%u.%u", i, j);
          TpdIndexRow row = row_of (name, j);

          tpd_index_batch_put (batch, &row, NULL, 0);
        }
      g_assert_true (tpd_index_writer_submit (writer, batch));
    }
  g_assert_true (tpd_index_writer_finish (writer, NULL, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < 2; i++)
    {
      g_atomic_int_set (&readers[i].stop, 1);
      g_thread_join (threads[i]);
      g_assert_cmpuint (readers[i].reads, >, 0);
    }
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM probe"), ==, 60000);
}

static void
test_two_writers_take_turns (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdIndex) first = open_index (f), second = open_index (f);
  g_autoptr (TpdIndexWriter) a = tpd_index_writer_start (first, &error), b = tpd_index_writer_start (second, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < 200; i++)
    {
      g_autofree char *dir = g_strdup_printf ("%u", i);
      TpdIndexRow one = row_of ("one", i), two = row_of ("two", i);
      TpdIndexDocument document = document_of ((guint8) (i % 5));
      TpdIndexBatch *batch = tpd_index_batch_new (dir, 0);

      tpd_index_batch_put (batch, &one, &document, 0);
      tpd_index_writer_submit (a, batch);
      batch = tpd_index_batch_new (dir, 0);
      tpd_index_batch_put (batch, &two, &document, 0);
      tpd_index_writer_submit (b, batch);
    }
  tpd_index_writer_finish (a, NULL, &error);
  g_assert_no_error (error);
  tpd_index_writer_finish (b, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM probe"), ==, 400);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM dir"), ==, 200);
  g_assert_cmpint (ask_number (f->path, "SELECT count(*) FROM key"), ==, 5);
}

int
main (int argc, char **argv)
{
  const struct {
    const char *path;
    void (*test) (Fixture *, gconstpointer);
  } tests[] = {
    { "/index/file/foreign-is-set-aside", test_foreign_file_is_set_aside },
    { "/index/file/foreign-database-is-set-aside", test_foreign_database_is_set_aside },
    { "/index/file/other-version-is-set-aside", test_other_version_is_set_aside },
    { "/index/file/set-aside-never-overwrites", test_set_aside_never_overwrites },
    { "/index/file/empty-is-an-index-to-be", test_empty_file_is_an_index_to_be },
    { "/index/file/corrupt-pages-are-an-error", test_corrupt_pages_are_an_error },
    { "/index/file/rows-without-sense-are-left-out", test_rows_without_sense_are_left_out },
    { "/index/place/never-on-the-source", test_never_on_the_source },
    { "/index/place/links-and-folders-are-refused", test_links_and_folders_are_refused },
    { "/index/place/the-file-is-private", test_the_file_is_private },
    { "/index/place/files-of-others-are-refused", test_files_of_others_are_refused },
    { "/index/writer/full-disk-is-told-and-harmless", test_full_disk_is_told_and_harmless },
    { "/index/writer/killed-loses-little", test_killed_writer_loses_little },
    { "/index/writer/readers-go-on", test_readers_go_on_while_it_is_written },
    { "/index/writer/two-take-turns", test_two_writers_take_turns },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, fixture_set_up, tests[i].test, fixture_tear_down);
  return g_test_run ();
}
