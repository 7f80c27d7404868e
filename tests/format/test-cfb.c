/* SPDX-License-Identifier: Apache-2.0 */
/* Compound files: sound ones give every byte, as libgsf sees it, and from any size. */
#include <glib.h>

#include "../license/helper.h"
#include "cfb-support.h"
#include "support.h"

/* --- Sound files -------------------------------------------------------- */

static void
test_sizes (gconstpointer version)
{
  static const gsize sizes[] = { 0, 1, 63, 64, 65, 511, 512, 4095, 4096, 4097, 8192, 100000 };
  g_autoptr (Image) image = image_new (GPOINTER_TO_UINT (version));
  g_autoptr (TpdCfb) cfb = NULL;

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *name = g_strdup_printf ("stream %u", i);
      g_autofree guint8 *data = make_noise (sizes[i], i);
      gboolean last = i + 1 == G_N_ELEMENTS (sizes);
      image_add_stream (image, name, NO_ENTRY, last ? NO_ENTRY : i + 2, data, sizes[i]);
    }
  cfb = open_good (image);
  g_assert_cmpuint (tpd_cfb_version (cfb), ==, GPOINTER_TO_UINT (version));
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *name = g_strdup_printf ("STREAM %u", i);
      g_autofree guint8 *expected = make_noise (sizes[i], i);
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) data = tpd_cfb_stream_read (cfb, find_good (cfb, name), 100000, &error);

      g_assert_no_error (error);
      g_assert_cmpmem (g_bytes_get_data (data, NULL), g_bytes_get_size (data), expected, sizes[i]);
    }
}

static void
test_random_access (void)
{
  gsize len = 100001;
  g_autofree guint8 *expected = make_noise (len, 7);
  g_autoptr (GRand) random = g_rand_new_with_seed (1);

  for (guint gap = 0; gap < 3; gap++)
    {
      g_autoptr (GBytes) bytes = fragmented_image (len, gap);
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdCfb) cfb = open_bytes (bytes, &error);
      g_autoptr (TpdSource) stream = NULL;

      g_assert_no_error (error);
      stream = tpd_cfb_stream_new (cfb, find_good (cfb, "data"), &error);
      g_assert_no_error (error);
      g_clear_pointer (&cfb, tpd_cfb_free); /* the stream stands alone */
      g_assert_cmpuint (stream->size, ==, len);
      for (guint i = 0; i < 2000; i++)
        {
          guint8 buf[5000];
          gsize off = (gsize) g_rand_int_range (random, 0, (gint32) len + 10);
          gsize n = (gsize) g_rand_int_range (random, 0, sizeof buf);
          gssize got = tpd_source_pread (stream, buf, n, off, &error);

          g_assert_no_error (error);
          g_assert_cmpint (got, ==, off >= len ? 0 : (gssize) MIN (n, len - off));
          if (got > 0)
            g_assert_cmpmem (buf, (gsize) got, expected + off, (gsize) got);
        }
    }
}

static void
test_contiguous_is_one_read (void)
{
  gsize len = 1024 * 1024;
  g_autoptr (GBytes) bytes = fragmented_image (len, 0);
  g_autoptr (TpdSource) memory = tpd_source_new_bytes (bytes);
  FaultSource *counter = fault_source_new (memory, FAULT_NONE, 0);
  g_autoptr (TpdSource) source = &counter->base;
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, &error);
  g_autoptr (TpdSource) stream = NULL;
  g_autofree guint8 *buf = g_malloc (len);

  g_assert_no_error (error);
  stream = tpd_cfb_stream_new (cfb, find_good (cfb, "data"), &error);
  g_assert_no_error (error);
  counter->reads = 0;
  g_assert_cmpint (tpd_source_pread (stream, buf, len, 0, &error), ==, len);
  g_assert_cmpint (counter->reads, ==, 1);
}

static gpointer
read_all_over (gpointer data)
{
  TpdSource *stream = data;
  g_autoptr (GRand) random = g_rand_new_with_seed (5);
  g_autofree guint8 *expected = make_noise (stream->size, 7);

  for (guint i = 0; i < 3000; i++)
    {
      guint8 buf[3000];
      gsize off = (gsize) g_rand_int_range (random, 0, (gint32) stream->size);
      gssize got = tpd_source_pread (stream, buf, sizeof buf, off, NULL);

      if (got <= 0 || memcmp (buf, expected + off, (gsize) got) != 0)
        return NULL;
    }
  return stream;
}

static void
test_threads (void)
{
  g_autoptr (GBytes) bytes = fragmented_image (200000, 1);
  g_autoptr (TpdCfb) cfb = open_bytes (bytes, NULL);
  g_autoptr (TpdSource) stream = tpd_cfb_stream_new (cfb, find_good (cfb, "data"), NULL);
  GThread *threads[4];

  for (guint i = 0; i < 4; i++)
    threads[i] = g_thread_new ("reader", read_all_over, stream);
  for (guint i = 0; i < 4; i++)
    g_assert_true (g_thread_join (threads[i]) == stream);
}

static void
test_names (void)
{
  g_autoptr (Image) image = image_new (3);
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (GError) error = NULL;
  const TpdCfbEntry *entry;

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  memset (image_entry (image, 0) + 80, 0x5a, 16);
  image_add_entry (image, "\006DataSpaces", 1, NO_ENTRY, 2, 3, 0, 0);
  /* The order of this tree is wrong, which must not matter. */
  image_add_entry (image, "ÄÖÜ straße 見", 2, 4, NO_ENTRY, NO_ENTRY, END_OF_CHAIN, 0);
  image_add_entry (image, "inner", 1, NO_ENTRY, NO_ENTRY, NO_ENTRY, 0, 0);
  image_add_entry (image, "1234567890123456789012345678901", 2, NO_ENTRY, NO_ENTRY, NO_ENTRY, END_OF_CHAIN, 0);
  cfb = open_good (image);

  g_assert_cmpmem (tpd_cfb_root (cfb)->clsid, 16, "ZZZZZZZZZZZZZZZZ", 16);
  g_assert_cmpuint (find_good (cfb, "\006dataspaces")->id, ==, 1);
  g_assert_cmpuint (find_good (cfb, "\006DATASPACES/INNER")->id, ==, 3);
  g_assert_cmpuint (find_good (cfb, "äöü STRAßE 見")->id, ==, 2);
  g_assert_cmpuint (find_good (cfb, "1234567890123456789012345678901")->id, ==, 4);
  for (guint i = 0; i < 3; i++)
    {
      static const char *const absent[] = { "inner", "\006DataSpaces/inner/x", "1234567890123456789012345678901/x" };
      g_assert_true (tpd_cfb_find (cfb, NULL, absent[i], &entry, &error));
      g_assert_no_error (error);
      g_assert_null (entry);
    }
}

/* Version 3 writers leave garbage in the upper half of sizes. */
static void
test_v3_size_is_32_bits (void)
{
  g_autoptr (Image) image = image_new (3);
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (GBytes) data = NULL;

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  image_add_stream (image, "data", NO_ENTRY, NO_ENTRY, (const guint8 *) "hello", 5);
  put_u32 (image_entry (image, 1) + 124, 0xdeadbeef);
  cfb = open_good (image);
  data = tpd_cfb_stream_read (cfb, find_good (cfb, "data"), 64, NULL);
  g_assert_cmpmem (g_bytes_get_data (data, NULL), g_bytes_get_size (data), "hello", 5);
}

/* --- Whole trees -------------------------------------------------------- */

#ifdef HAVE_LIBGSF
#include <gsf/gsf-infile-msole.h>
#include <gsf/gsf-infile.h>
#include <gsf/gsf-input-memory.h>

/* The same tree as libgsf sees it; NULL where it gives up. */
static GHashTable *
gsf_tree (const char *data, gsize len)
{
  g_autoptr (GHashTable) tree = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  g_autoptr (GPtrArray) queue = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  GsfInput *memory = gsf_input_memory_new ((const guint8 *) data, (gsf_off_t) len, FALSE);
  GsfInfile *root = gsf_infile_msole_new (memory, NULL);

  g_object_unref (memory);
  if (root == NULL)
    return NULL;
  g_ptr_array_add (queue, root);
  g_ptr_array_add (paths, g_strdup (""));
  for (guint i = 0; i < queue->len; i++)
    {
      GsfInfile *storage = g_ptr_array_index (queue, i);

      for (int j = 0; j < gsf_infile_num_children (storage); j++)
        {
          GsfInput *child = gsf_infile_child_by_index (storage, j);
          char *path = g_strconcat (g_ptr_array_index (paths, i), "/", gsf_infile_name_by_index (storage, j), NULL);
          GBytes *bytes;

          g_assert_nonnull (child);
          if (GSF_IS_INFILE (child) && gsf_infile_num_children (GSF_INFILE (child)) >= 0)
            {
              guint8 clsid[16];
              gsf_infile_msole_get_class_id (GSF_INFILE_MSOLE (child), clsid);
              bytes = g_bytes_new (clsid, 16);
              g_ptr_array_add (queue, g_object_ref (child));
              g_ptr_array_add (paths, g_strdup (path));
            }
          else
            {
              gsize size = (gsize) gsf_input_size (child);
              guint8 *copy = g_malloc0 (size + 1);
              if (size > 0)
                g_assert_nonnull (gsf_input_read (child, size, copy));
              bytes = g_bytes_new_take (copy, size);
            }
          g_object_unref (child);
          g_hash_table_insert (tree, path, bytes);
        }
    }
  return g_steal_pointer (&tree);
}

static void
test_same_as_libgsf (void)
{
  g_autoptr (GPtrArray) files = compound_files ();
  guint compared = 0, streams = 0;

  for (guint i = 0; i < files->len; i++)
    {
      const char *path = g_ptr_array_index (files, i);
      g_autofree char *data = NULL;
      gsize len;
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdCfb) cfb = NULL;
      g_autoptr (GHashTable) ours = NULL;
      g_autoptr (GHashTable) theirs = NULL;
      g_autoptr (GError) error = NULL;
      GHashTableIter iter;
      gpointer key, value;

      /* Damaged on purpose: libgsf reads as far as it gets. */
      if (strstr (path, "cyclic chain") != NULL || strstr (path, "container cut") != NULL)
        continue;
      g_assert_true (g_file_get_contents (path, &data, &len, NULL));
      source = source_from (data, len);
      cfb = tpd_cfb_open (source, &error);
      g_assert_no_error (error);
      ours = read_tree (cfb, &error);
      g_assert_no_error (error);
      theirs = gsf_tree (data, len);
      g_assert_nonnull (theirs);
      g_assert_cmpuint (g_hash_table_size (ours), ==, g_hash_table_size (theirs));
      g_hash_table_iter_init (&iter, theirs);
      while (g_hash_table_iter_next (&iter, &key, &value))
        {
          GBytes *own = g_hash_table_lookup (ours, key);
          g_assert_nonnull (own);
          g_assert_true (g_bytes_equal (own, value));
          streams++;
        }
      compared++;
    }
  g_test_message ("%u files, %u entries", compared, streams);
  g_assert_cmpuint (compared, >, 60);
}
#else
static void
test_same_as_libgsf (void)
{
  g_test_skip ("libgsf is not there");
}
#endif

/* Each read in turn fails: the error comes through, it is not taken for damage. */
static void
test_read_errors (void)
{
  g_autofree char *path = fixture_path ("plain/営業部/2024 Q1/Q3 report (final) 4.doc");
  g_autoptr (TpdSource) file = source_open (path);
  gboolean finished = FALSE;

  for (int at = 0; !finished; at++)
    {
      FaultSource *faulty = fault_source_new (file, FAULT_EIO, at);
      g_autoptr (TpdSource) source = &faulty->base;
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, &error);
      g_autoptr (GHashTable) tree = cfb != NULL ? read_tree (cfb, &error) : NULL;

      finished = tree != NULL;
      if (finished)
        g_assert_cmpint (faulty->reads, <=, at);
      else
        g_assert_cmpint (tpd_error_get_errno (error), ==, EIO);
    }
}

/* --- Large files -------------------------------------------------------- */

#define LOCK_SECTOR 0x7fffeu

/* A sparse version 4 file with one stream of `size` bytes, and its first
 * sector. Each sector that has a number divisible by 4099 starts with it. */
static TpdSource *
sparse_file (guint64 size, gboolean use_lock, guint32 *first)
{
  guint32 n = (guint32) (size / 4096), per = 1024;
  guint32 skip = !use_lock && n > LOCK_SECTOR ? 1 : 0;
  guint32 n_fat, n_difat = 0, sector;
  g_autofree char *path = g_strdup ("tpd-cfb-XXXXXX");
  g_autofree char *full = g_build_filename (g_get_tmp_dir (), path, NULL);
  int fd = g_mkstemp (full);
  g_autofree guint8 *fat = NULL;
  guint8 header[512], entries[256], buf[4096];
  g_autoptr (GError) error = NULL;
  TpdSource *source;

  g_assert_cmpint (fd, >=, 0);
  unlink (full);
  for (n_fat = 1; n_fat * per < n + skip + 1 + n_fat + n_difat; n_fat++)
    n_difat = n_fat + 1 > 109 ? (n_fat + 1 - 109 + per - 2) / (per - 1) : 0;
  /* FAT, DIFAT, directory, stream. */
  *first = n_fat + n_difat + 1;
  fat = g_malloc (n_fat * per * 4);
  memset (fat, 0xff, n_fat * per * 4);
  for (guint32 i = 0; i < n_fat; i++)
    put_u32 (fat + 4 * i, FAT_SECTOR);
  for (guint32 i = 0; i < n_difat; i++)
    put_u32 (fat + 4 * (n_fat + i), DIFAT_SECTOR);
  put_u32 (fat + 4 * (n_fat + n_difat), END_OF_CHAIN);
  sector = *first;
  for (guint32 i = 0; i < n; i++)
    {
      guint32 next = sector + 1;

      if (!use_lock && next == LOCK_SECTOR)
        {
          put_u32 (fat + 4 * (gsize) next, END_OF_CHAIN);
          next++;
        }
      put_u32 (fat + 4 * (gsize) sector, i + 1 < n ? next : END_OF_CHAIN);
      if (i % 4099 == 0)
        {
          put_u32 (buf, i);
          g_assert_cmpint (pwrite (fd, buf, 4, ((off_t) sector + 1) << 12), ==, 4);
        }
      sector = next;
    }
  put_header (header, 4, n_fat, n_fat + n_difat, END_OF_CHAIN, 0, n_difat > 0 ? n_fat : END_OF_CHAIN, n_difat);
  for (guint32 i = 0; i < MIN (n_fat, 109); i++)
    put_u32 (header + 76 + 4 * i, i);
  g_assert_cmpint (pwrite (fd, header, 512, 0), ==, 512);
  g_assert_cmpint (pwrite (fd, fat, (gsize) n_fat * 4096, 4096), ==, (gssize) n_fat * 4096);
  for (guint32 i = 0; i < n_difat; i++)
    {
      for (guint32 j = 0; j < per - 1; j++)
        {
          guint32 k = 109 + i * (per - 1) + j;
          put_u32 (buf + 4 * j, k < n_fat ? k : FREE_SECTOR);
        }
      put_u32 (buf + 4092, i + 1 < n_difat ? n_fat + i + 1 : END_OF_CHAIN);
      g_assert_cmpint (pwrite (fd, buf, 4096, ((off_t) n_fat + i + 1) << 12), ==, 4096);
    }
  put_entry (entries, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  put_entry (entries + 128, "data", 2, NO_ENTRY, NO_ENTRY, NO_ENTRY, *first, size);
  g_assert_cmpint (pwrite (fd, entries, 256, ((off_t) n_fat + n_difat + 1) << 12), ==, 256);
  g_assert_cmpint (ftruncate (fd, ((off_t) sector + 1) << 12), ==, 0);
  source = tpd_source_new_fd (fd, &error);
  g_assert_no_error (error);
  return source;
}

static void
check_sparse (guint64 size)
{
  guint32 first;
  g_autoptr (TpdSource) file = sparse_file (size, FALSE, &first);
  FaultSource *counter = fault_source_new (file, FAULT_NONE, 0);
  g_autoptr (TpdSource) source = &counter->base;
  g_autoptr (GError) error = NULL;
  gint64 start = g_get_monotonic_time ();
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, &error);
  g_autoptr (TpdSource) stream = NULL;
  guint8 buf[4096], expected[4];

  g_assert_no_error (error);
  g_assert_nonnull (find_good (cfb, "data"));
  g_assert_cmpint (counter->reads, <=, 4); /* listing does not depend on the size */
  stream = tpd_cfb_stream_new (cfb, find_good (cfb, "data"), &error);
  g_assert_no_error (error);
  g_test_message ("%" G_GUINT64_FORMAT " MiB: %" G_GINT64_FORMAT " us, %d reads", size >> 20,
                  g_get_monotonic_time () - start, counter->reads);
  for (guint32 i = 0; i < size / 4096; i += 4099)
    {
      put_u32 (expected, i);
      g_assert_true (tpd_source_read_exact (stream, buf, 4, (guint64) i << 12, &error));
      g_assert_cmpmem (buf, 4, expected, 4);
    }
  /* Over the sector kept for locks. */
  if (size > G_GUINT64_CONSTANT (0x80000000))
    {
      counter->reads = 0;
      g_assert_true (tpd_source_read_exact (stream, buf, 4096, ((guint64) (LOCK_SECTOR - first) << 12) - 2048, &error));
      g_assert_cmpint (counter->reads, ==, 2);
    }
  g_assert_cmpint (tpd_source_pread (stream, buf, 10, size - 3, &error), ==, 3);
}

static void
test_above_4_gib (void)
{
  check_sparse ((guint64) 1 << 30);
  check_sparse ((guint64) 5 << 30);
}

static void
test_lock_sector (void)
{
  guint32 first;
  g_autoptr (TpdSource) source = sparse_file ((guint64) 3 << 30, TRUE, &first);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, &error);

  g_assert_no_error (error);
  g_assert_null (tpd_cfb_stream_new (cfb, find_good (cfb, "data"), &error));
  assert_damaged (error);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/cfb/v3/every-size-reads-back", GUINT_TO_POINTER (3), test_sizes);
  g_test_add_data_func ("/cfb/v4/every-size-reads-back", GUINT_TO_POINTER (4), test_sizes);
  g_test_add_func ("/cfb/random-access-is-exact", test_random_access);
  g_test_add_func ("/cfb/contiguous-stream-is-one-read", test_contiguous_is_one_read);
  g_test_add_func ("/cfb/streams-are-read-by-threads", test_threads);
  g_test_add_func ("/cfb/names-without-case-or-order", test_names);
  g_test_add_func ("/cfb/v3/size-is-32-bits", test_v3_size_is_32_bits);
  g_test_add_func ("/cfb/same-as-libgsf", test_same_as_libgsf);
  g_test_add_func ("/cfb/read-errors-come-through", test_read_errors);
  g_test_add_func ("/cfb/v4/above-4-gib", test_above_4_gib);
  g_test_add_func ("/cfb/v4/lock-sector-is-refused", test_lock_sector);
  return g_test_run ();
}
