/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of tpd that its commands cannot be made to show. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tools/filter.h"
#include "tools/progress.h"
#include "tools/spill.h"
#include "tools/walk.h"

static void
check_pops (TpdSpill *spill, guint from, guint to)
{
  g_autoptr (GError) error = NULL;

  for (guint i = to; i > from; i--)
    {
      g_autofree char *text = tpd_spill_pop (spill, &error), *expected = g_strdup_printf ("directory %u", i - 1);

      g_assert_no_error (error);
      g_assert_cmpstr (text, ==, expected);
    }
}

static void
push (TpdSpill *spill, guint from, guint to)
{
  for (guint i = from; i < to; i++)
    {
      g_autofree char *text = g_strdup_printf ("directory %u", i);
      tpd_spill_push (spill, text);
    }
}

static void
test_last_in_first_out (void)
{
  TpdSpill *spill = tpd_spill_new (1000);
  g_autoptr (GError) error = NULL;

  g_assert_null (tpd_spill_pop (spill, &error));
  push (spill, 0, 5000);
  check_pops (spill, 4000, 5000);
  push (spill, 4000, 9000);
  check_pops (spill, 0, 9000);
  g_assert_null (tpd_spill_pop (spill, &error));
  g_assert_no_error (error);
  push (spill, 0, 10);
  check_pops (spill, 0, 10);
  tpd_spill_free (spill);
}

static void
test_empty_and_long_texts (void)
{
  TpdSpill *spill = tpd_spill_new (100);
  g_autofree char *text = g_strnfill (5000, 'x');

  for (guint i = 0; i < 50; i++)
    {
      tpd_spill_push (spill, "");
      tpd_spill_push (spill, text);
    }
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *first = tpd_spill_pop (spill, NULL), *second = tpd_spill_pop (spill, NULL);

      g_assert_cmpstr (first, ==, text);
      g_assert_cmpstr (second, ==, "");
    }
  tpd_spill_free (spill);
}

static void
test_memory_stays_when_the_disk_is_full (void)
{
  const struct rlimit none = { 0, RLIM_INFINITY };
  struct rlimit before;
  TpdSpill *spill = tpd_spill_new (1000);

  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &before), ==, 0);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &none), ==, 0);
  push (spill, 0, 5000);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &before), ==, 0);
  check_pops (spill, 0, 5000);
  tpd_spill_free (spill);
}

/* --- Trails ----------------------------------------------------------- */

#define DEEP "a/b/c/d/e/f/g/h/i/j/k/l/m"

typedef struct {
  char *folder;
  int root_fd;
  TpdWalkTrail *trail;
} Tree;

static char *
in_tree (const Tree *tree, const char *path)
{
  return g_build_filename (tree->folder, path, NULL);
}

static void
make_tree (Tree *tree)
{
  static const char *const dirs[] = { DEEP "/one", DEEP "/two", "a/bc/x", "a/b/x" };

  tree->folder = g_dir_make_tmp ("tpd-trail-XXXXXX", NULL);
  for (guint i = 0; i < G_N_ELEMENTS (dirs); i++)
    {
      g_autofree char *path = in_tree (tree, dirs[i]);

      g_assert_cmpint (g_mkdir_with_parents (path, 0700), ==, 0);
    }
  g_autofree char *link = in_tree (tree, "a/link"), *file = in_tree (tree, "a/file");
  g_assert_cmpint (symlink ("b", link), ==, 0);
  g_assert_true (g_file_set_contents (file, "", 0, NULL));
  tree->root_fd = open (tree->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  g_assert_cmpint (tree->root_fd, >=, 0);
  tree->trail = tpd_walk_trail_new (tree->root_fd);
}

static void
remove_tree (Tree *tree)
{
  char *argv[] = { (char *) "rm", (char *) "-rf", tree->folder, NULL };

  tpd_walk_trail_free (tree->trail);
  close (tree->root_fd);
  g_assert_true (g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
  g_free (tree->folder);
}

/* Both ways of opening lead to what stat(2) sees. */
static void
check_opens (const Tree *tree, const char *path)
{
  g_autofree char *whole = in_tree (tree, path);
  const int fds[] = { tpd_walk_trail_open_dir (tree->trail, path), tpd_walk_open_dir (tree->root_fd, path) };
  struct stat expected, st;

  g_assert_cmpint (stat (whole, &expected), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      g_assert_cmpint (fds[i], >=, 0);
      g_assert_cmpint (fstat (fds[i], &st), ==, 0);
      g_assert_cmpuint (st.st_ino, ==, expected.st_ino);
      g_assert_cmpint (fcntl (fds[i], F_GETFL) & O_ACCMODE, ==, O_RDONLY);
      close (fds[i]);
    }
}

static void
check_fails (const Tree *tree, const char *path, int errnum)
{
  g_assert_cmpint (tpd_walk_trail_open_dir (tree->trail, path), <, 0);
  g_assert_cmpint (errno, ==, errnum);
  g_assert_cmpint (tpd_walk_open_dir (tree->root_fd, path), <, 0);
  g_assert_cmpint (errno, ==, errnum);
}

static void
test_trail_leads_where_the_path_does (void)
{
  static const char *const paths[] = { DEEP "/one", DEEP "/two", "a/b/x", "a/bc/x",    "a/b/x", "a", "a/b",
                                       "a/bc",      DEEP "/one", DEEP,    DEEP "/one", "",      "a" };
  Tree tree;

  make_tree (&tree);
  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    check_opens (&tree, paths[i]);
  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    for (guint k = 0; k < G_N_ELEMENTS (paths); k++)
      {
        check_opens (&tree, paths[i]);
        check_opens (&tree, paths[k]);
      }
  remove_tree (&tree);
}

static void
test_trail_follows_no_link_and_leads_nowhere_else (void)
{
  static const char *const good[] = { "", "a/b/x", DEEP "/one" };
  g_autofree char *long_name = g_strnfill (5000, 'x'), *long_path = g_strconcat ("a/", long_name, "/b", NULL);
  Tree tree;

  make_tree (&tree);
  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      check_opens (&tree, good[i]);
      check_fails (&tree, "a/link", ELOOP);
      check_fails (&tree, "a/link/x", ELOOP);
      check_fails (&tree, "a/file", ENOTDIR);
      check_fails (&tree, "a/file/x", ENOTDIR);
      check_fails (&tree, "a/none/x", ENOENT);
      check_fails (&tree, "..", EXDEV);
      check_fails (&tree, "a/../a", EXDEV);
      check_fails (&tree, "a/b/..", EXDEV);
      check_fails (&tree, "/etc", ENOENT);
      check_fails (&tree, "a//b", ENOENT);
      check_fails (&tree, long_path, ENAMETOOLONG);
      check_opens (&tree, good[i]);
    }
  remove_tree (&tree);
}

static guint
count_descriptors (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
test_trail_takes_few_descriptors_and_does_with_two (void)
{
  struct rlimit before, now;
  guint n;
  Tree tree;

  make_tree (&tree);
  n = count_descriptors ();
  check_opens (&tree, DEEP "/one");
  g_assert_cmpuint (count_descriptors (), <=, n + 8);
  tpd_walk_trail_free (tree.trail);
  g_assert_cmpuint (count_descriptors (), ==, n);
  tree.trail = tpd_walk_trail_new (tree.root_fd);
  /* The lowest that are free: two more can be had. */
  int first = dup (tree.root_fd), second = dup (tree.root_fd);
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &before), ==, 0);
  now = before;
  now.rlim_cur = (rlim_t) MAX (first, second) + 1;
  close (first);
  close (second);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &now), ==, 0);
  for (guint i = 0; i < 3; i++)
    {
      int fd = tpd_walk_trail_open_dir (tree.trail, i % 2 == 0 ? DEEP "/one" : DEEP "/two");

      g_assert_cmpint (fd, >=, 0);
      close (fd);
    }
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &before), ==, 0);
  remove_tree (&tree);
}

static void
test_globs (void)
{
  char *include[] = { (char *) "*.docx", (char *) "Finance/*", NULL };
  char *exclude[] = { (char *) "~*", (char *) "tmp/", (char *) "/a/b", NULL };
  const TpdFilter none = { 0 }, some = { include, exclude };

  g_assert_true (tpd_filter_has_file (&none, "a", "\xff"));
  g_assert_true (tpd_filter_has_dir (&none, "", "tmp"));
  g_assert_true (tpd_filter_has_file (&some, "a", "X.DOCX"));
  g_assert_true (tpd_filter_has_file (&some, "finance/2012", "\xff"));
  g_assert_false (tpd_filter_has_file (&some, "a/Finance", "x"));
  g_assert_false (tpd_filter_has_file (&some, "a", "~x.docx"));
  g_assert_false (tpd_filter_has_dir (&some, "", "TMP"));
  g_assert_false (tpd_filter_has_dir (&some, "a", "b"));
  g_assert_true (tpd_filter_has_dir (&some, "a/a", "b"));
  g_assert_false (tpd_filter_has_file (&some, "", "tmp"));
}

static void
test_numbers_for_people (void)
{
  const struct {
    guint64 number;
    const char *grouped, *bytes;
  } cases[] = {
    { 0, "0", "0 bytes" },
    { 999, "999", "999 bytes" },
    { 1000, "1 000", "1.0 kB" },
    { 123456, "123 456", "123.5 kB" },
    { 999949, "999 949", "999.9 kB" },
    { 999950, "999 950", "1.0 MB" },
    { 1234567890, "1 234 567 890", "1.2 GB" },
    { G_MAXUINT64, "18 446 744 073 709 551 615", "18.4 EB" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *grouped = tpd_progress_number (cases[i].number), *bytes = tpd_progress_bytes (cases[i].number);

      g_assert_cmpstr (grouped, ==, cases[i].grouped);
      g_assert_cmpstr (bytes, ==, cases[i].bytes);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/spill/last-in-first-out", test_last_in_first_out);
  g_test_add_func ("/spill/empty-and-long-texts", test_empty_and_long_texts);
  g_test_add_func ("/spill/memory-stays-when-the-disk-is-full", test_memory_stays_when_the_disk_is_full);
  g_test_add_func ("/trail/leads-where-the-path-does", test_trail_leads_where_the_path_does);
  g_test_add_func ("/trail/follows-no-link-and-leads-nowhere-else", test_trail_follows_no_link_and_leads_nowhere_else);
  g_test_add_func ("/trail/takes-few-descriptors-and-does-with-two",
                   test_trail_takes_few_descriptors_and_does_with_two);
  g_test_add_func ("/filter/globs", test_globs);
  g_test_add_func ("/progress/numbers-for-people", test_numbers_for_people);
  return g_test_run ();
}
