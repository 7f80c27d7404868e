/* SPDX-License-Identifier: Apache-2.0 */
/* What the PDF tests share: qpdf as the judge, and the payload of a wrapper
 * found without any code of format/. */
#pragma once

#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <zlib.h>

/* Runs pdf_compare.py, for which tests/format has qpdf and pdftotext. `broken`:
 * the source has a broken cross-reference, so has the result. */
static inline void
compare_files (const char *ours, const char *theirs, gboolean broken)
{
  g_autofree char *script = g_build_filename (g_getenv ("TPD_SOURCE_ROOT"), "tests", "format", "pdf_compare.py", NULL);
  const char *argv[] = { "python3", script, ours, theirs, NULL, NULL };
  g_autofree char *out = NULL, *err = NULL;
  g_autoptr (GError) error = NULL;
  int status = 0;

  if (broken)
    {
      argv[4] = theirs;
      argv[3] = ours;
      argv[2] = "--broken";
    }
  g_assert_true (
      g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, &error));
  g_assert_no_error (error);
  if (status != 0)
    g_test_message ("%s%s", out, err);
  g_assert_cmpint (status, ==, 0);
}

/* A scratch file with these bytes. (transfer full) */
static inline char *
scratch_file (const void *data, gsize len)
{
  g_autoptr (GError) error = NULL;
  char *path = NULL;
  int fd = g_file_open_tmp ("tpdfs-test-XXXXXX.pdf", &path, &error);

  g_assert_no_error (error);
  g_close (fd, NULL);
  g_file_set_contents (path, data, (gssize) len, &error);
  g_assert_no_error (error);
  return path;
}

static inline void
compare_with_file (GBytes *ours, const char *theirs, gboolean broken)
{
  g_autofree char *path = scratch_file (g_bytes_get_data (ours, NULL), g_bytes_get_size (ours));

  compare_files (path, theirs, broken);
  g_unlink (path);
}

static inline void
compare_bytes (GBytes *ours, GBytes *theirs, gboolean broken)
{
  g_autofree char *path = scratch_file (g_bytes_get_data (theirs, NULL), g_bytes_get_size (theirs));

  compare_with_file (ours, path, broken);
  g_unlink (path);
}

/* The first stream of a file that inflates to a PDF. (transfer full) */
static inline GBytes *
find_payload (GBytes *file)
{
  gsize len, max = 8 * 1024 * 1024;
  const char *data = g_bytes_get_data (file, &len), *p = data;

  while ((p = memmem (p, len - (gsize) (p - data), "stream\n", 7)) != NULL)
    {
      g_autofree guint8 *out = g_malloc (max);
      z_stream z = { 0 };
      int status;

      p += 7;
      z.next_in = (guint8 *) p;
      z.avail_in = (uInt) (len - (gsize) (p - data));
      z.next_out = out;
      z.avail_out = (uInt) max;
      g_assert_cmpint (inflateInit (&z), ==, Z_OK);
      status = inflate (&z, Z_FINISH);
      inflateEnd (&z);
      if (status == Z_STREAM_END && z.total_out > 5 && memcmp (out, "%PDF-", 5) == 0)
        return g_bytes_new (out, z.total_out);
    }
  g_assert_not_reached ();
}
