/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views of directories: which names are shown, and that they follow the
 * directory. The look into files is a stand-in that believes a file which
 * begins with "P" and names the extension in the rest of its first line.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/view.h"

typedef struct {
  char *path;
  int fd;
  TpdViews *views;
  guint looks;
} Fixture;

static const TpdNameRules rules = { 0 };

static gboolean
look (gpointer data, guint64 dir, int dirfd, const char *name, struct stat *st, char **extension)
{
  Fixture *f = data;
  char text[64] = "";
  int fd = openat (dirfd, name, O_RDONLY);

  g_atomic_int_inc ((gint *) &f->looks);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (read (fd, text, sizeof text - 1), >=, 0);
  g_assert_cmpint (fstat (fd, st), ==, 0);
  close (fd);
  if (text[0] == 'P')
    *extension = g_strdup (text + 1);
  return text[0] == 'P';
}

static void
set_up (Fixture *f, gconstpointer ttl)
{
  f->path = g_dir_make_tmp ("tpdfs-view-XXXXXX", NULL);
  f->fd = open (f->path, O_PATH | O_DIRECTORY);
  f->looks = 0;
  f->views = tpd_views_new (&rules, look, f, GPOINTER_TO_INT (ttl));
}

static void
tear_down (Fixture *f, gconstpointer ttl)
{
  GDir *dir = g_dir_open (f->path, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    unlinkat (f->fd, name, 0);
  g_dir_close (dir);
  g_rmdir (f->path);
  close (f->fd);
  tpd_views_free (f->views);
  g_free (f->path);
}

static void
put (Fixture *f, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (f->path, name, NULL);

  g_assert_true (g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_NONE, 0644, NULL));
}

static TpdView *
view_of (Fixture *f)
{
  TpdView *view = NULL;

  g_assert_cmpint (tpd_views_get (f->views, 1, f->fd, NULL, &view), ==, 0);
  return view;
}

/* `source` is shown as `shown`, and found back. */
static void
assert_shown (Fixture *f, const char *source, const char *shown)
{
  g_autoptr (TpdView) view = view_of (f);
  TpdStamp stamp;

  g_assert_cmpstr (tpd_view_shown (view, source), ==, shown);
  if (strcmp (source, shown) == 0)
    g_assert_null (tpd_view_source (view, shown, &stamp));
  else
    g_assert_cmpstr (tpd_view_source (view, shown, &stamp), ==, source);
}

static void
test_plain_names (Fixture *f, gconstpointer ttl)
{
  put (f, "letter.txt.pfile", "P.txt");
  put (f, "notes.ptxt", "P.txt");
  put (f, "liar.pfile", "not protected");
  put (f, "report.pdf", "P.pdf");
  assert_shown (f, "letter.txt.pfile", "letter.txt");
  assert_shown (f, "notes.ptxt", "notes.txt");
  assert_shown (f, "liar.pfile", "liar.pfile");
  assert_shown (f, "report.pdf", "report.pdf");
  assert_shown (f, "never seen", "never seen");
}

static void
test_only_candidates_are_looked_at (Fixture *f, gconstpointer ttl)
{
  put (f, "a.txt", "P.txt");
  put (f, "b.doc", "P.doc");
  put (f, "c.pfile", "P.txt");
  tpd_view_unref (view_of (f));
  g_assert_cmpuint (f->looks, ==, 1);
  tpd_view_unref (view_of (f));
  g_assert_cmpuint (f->looks, ==, 1);
}

static void
test_collision (Fixture *f, gconstpointer ttl)
{
  put (f, "x.txt.pfile", "P.txt");
  put (f, "x.ptxt", "P.txt");
  put (f, "Y.TXT", "plain");
  put (f, "y.txt.pfile", "P.txt");
  assert_shown (f, "x.txt.pfile", "x.txt.pfile.txt");
  assert_shown (f, "x.ptxt", "x.ptxt.txt");
  assert_shown (f, "Y.TXT", "Y.TXT");
  assert_shown (f, "y.txt.pfile", "y.txt.pfile.txt");
}

static void
test_follows_directory (Fixture *f, gconstpointer ttl)
{
  put (f, "x.txt.pfile", "P.txt");
  assert_shown (f, "x.txt.pfile", "x.txt");
  put (f, "x.txt", "plain");
  assert_shown (f, "x.txt.pfile", "x.txt.pfile.txt");
  unlinkat (f->fd, "x.txt", 0);
  assert_shown (f, "x.txt.pfile", "x.txt");
}

/* Written in place: the directory's own stamp stays. */
static void
test_follows_content (Fixture *f, gconstpointer ttl)
{
  int fd;

  put (f, "x.txt.pfile", "P.txt");
  assert_shown (f, "x.txt.pfile", "x.txt");
  fd = openat (f->fd, "x.txt.pfile", O_WRONLY | O_TRUNC);
  g_assert_cmpint (write (fd, "plain now", 9), ==, 9);
  close (fd);
  assert_shown (f, "x.txt.pfile", "x.txt.pfile");
}

static void
test_not_regular (Fixture *f, gconstpointer ttl)
{
  g_assert_cmpint (mkdirat (f->fd, "d.pfile", 0755), ==, 0);
  g_assert_cmpint (symlinkat ("/dev/zero", f->fd, "l.pfile"), ==, 0);
  g_assert_cmpint (mkfifoat (f->fd, "f.pfile", 0644), ==, 0);
  assert_shown (f, "d.pfile", "d.pfile");
  assert_shown (f, "l.pfile", "l.pfile");
  assert_shown (f, "f.pfile", "f.pfile");
  g_assert_cmpuint (f->looks, ==, 0);
  unlinkat (f->fd, "d.pfile", AT_REMOVEDIR);
}

static gpointer
get_again (gpointer data)
{
  for (guint i = 0; i < 200; i++)
    tpd_view_unref (view_of (data));
  return NULL;
}

/* Threads that want the same view have it built once. */
static void
test_threads (Fixture *f, gconstpointer ttl)
{
  GThread *threads[8];

  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *name = g_strdup_printf ("file%u.txt.pfile", i);

      put (f, name, "P.txt");
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("get", get_again, f);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (f->looks, ==, 100);
}

static void
test_cache_is_bounded (Fixture *f, gconstpointer ttl)
{
  put (f, "x.txt.pfile", "P.txt");
  for (guint64 id = 10; id < 60000; id++)
    {
      TpdView *view;

      g_assert_cmpint (tpd_views_get (f->views, id, f->fd, NULL, &view), ==, 0);
      tpd_view_unref (view);
    }
  /* The first is long gone and is looked at anew, the last is not. */
  guint before = f->looks;
  TpdView *view;
  g_assert_cmpint (tpd_views_get (f->views, 59999, f->fd, NULL, &view), ==, 0);
  tpd_view_unref (view);
  g_assert_cmpuint (f->looks, ==, before);
  g_assert_cmpint (tpd_views_get (f->views, 10, f->fd, NULL, &view), ==, 0);
  tpd_view_unref (view);
  g_assert_cmpuint (f->looks, ==, before + 1);
}

static void
add (const char *path, int ttl_us, void (*test) (Fixture *, gconstpointer))
{
  g_test_add (path, Fixture, GINT_TO_POINTER (ttl_us), set_up, test, tear_down);
}

int
main (int argc, char **argv)
{
  const int forever = G_MAXINT, never = 0;

  g_test_init (&argc, &argv, NULL);
  add ("/view/plain-names-of-pfiles", forever, test_plain_names);
  add ("/view/only-candidates-are-looked-at", forever, test_only_candidates_are_looked_at);
  add ("/view/collisions-take-the-full-name", forever, test_collision);
  add ("/view/follows-the-directory", never, test_follows_directory);
  add ("/view/follows-content-written-in-place", never, test_follows_content);
  add ("/view/only-regular-files", forever, test_not_regular);
  add ("/view/threads-build-once", forever, test_threads);
  add ("/view/cache-is-bounded", forever, test_cache_is_bounded);
  return g_test_run ();
}
