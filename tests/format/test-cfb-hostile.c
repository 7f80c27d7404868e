/* SPDX-License-Identifier: Apache-2.0 */
/* Compound files made to hurt: each gives an error, within its limits. */
#include <glib.h>

#include "cfb-support.h"
#include "format/cfb_writer.h"
#include "format/dataspaces.h"

/* --- Hostile files ------------------------------------------------------ */

/* 40 000 entries in one line, which kills recursive readers. */
static void
test_sibling_line (gconstpointer to_the_left)
{
  enum { N = 40000 };
  g_autoptr (Image) image = image_new (3);
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (GError) error = NULL;
  const GPtrArray *children;

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  for (guint32 i = 1; i <= N; i++)
    {
      g_autofree char *name = g_strdup_printf ("entry %u", i);
      guint32 next = i < N ? i + 1 : NO_ENTRY;
      image_add_entry (image, name, 2, to_the_left ? next : NO_ENTRY, to_the_left ? NO_ENTRY : next, NO_ENTRY,
                       END_OF_CHAIN, 0);
    }
  cfb = open_good (image);
  children = tpd_cfb_children (cfb, tpd_cfb_root (cfb), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (children->len, ==, N);
  g_assert_cmpuint (find_good (cfb, "entry 40000")->id, ==, N);
}

static void
test_too_many_entries (void)
{
  g_autoptr (Image) image = image_new (4);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, NO_ENTRY, END_OF_CHAIN, 0);
  g_byte_array_set_size (image->directory, (TPD_CFB_MAX_ENTRIES + 1) * 128);
  bytes = image_finish (image);
  g_assert_null (open_bytes (bytes, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
}

static void
test_depth (void)
{
  g_autoptr (Image) image = image_new (3);
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (GError) error = NULL;
  const TpdCfbEntry *at;

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  for (guint32 i = 1; i < 200; i++)
    image_add_entry (image, "deeper", 1, NO_ENTRY, NO_ENTRY, i + 1, 0, 0);
  image_add_entry (image, "end", 1, NO_ENTRY, NO_ENTRY, NO_ENTRY, 0, 0);
  cfb = open_good (image);
  at = tpd_cfb_root (cfb);
  for (;;)
    {
      const GPtrArray *children = tpd_cfb_children (cfb, at, &error);
      if (children == NULL)
        break;
      g_assert_cmpuint (children->len, ==, 1);
      at = g_ptr_array_index (children, 0);
      g_assert_cmpuint (at->depth, <=, TPD_CFB_MAX_DEPTH);
    }
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
  g_assert_cmpuint (at->depth, ==, TPD_CFB_MAX_DEPTH);
}

/* Directories that lead nowhere or back. */
static void
test_directory_loops (void)
{
  static const struct {
    guint32 entry, field; /* offset in the entry */
    guint32 value;
  } cases[] = {
    { 1, 68, 1 },          /* own left sibling */
    { 1, 72, 1 },          /* own right sibling */
    { 2, 72, 1 },          /* back to the first */
    { 2, 68, 0 },          /* the root as sibling */
    { 1, 76, 1 },          /* own child */
    { 1, 76, 2 },          /* a sibling as child */
    { 1, 76, 0 },          /* the root as child */
    { 2, 72, 4 },          /* an unused entry */
    { 2, 72, 1000 },       /* behind the directory */
    { 2, 72, 0xfffffffe }, /* not the mark for none */
    { 0, 76, 0x7fffffff },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Image) image = image_new (3);
      g_autoptr (TpdCfb) cfb = NULL;
      g_autoptr (GError) error = NULL;
      const TpdCfbEntry *entry;

      image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
      image_add_entry (image, "storage", 1, NO_ENTRY, 2, 3, 0, 0);
      image_add_entry (image, "stream", 2, NO_ENTRY, NO_ENTRY, NO_ENTRY, END_OF_CHAIN, 0);
      image_add_entry (image, "inner", 2, NO_ENTRY, NO_ENTRY, NO_ENTRY, END_OF_CHAIN, 0);
      put_u32 (image_entry (image, cases[i].entry) + cases[i].field, cases[i].value);
      cfb = open_good (image);
      if (tpd_cfb_find (cfb, NULL, "storage/inner", &entry, &error))
        tpd_cfb_find (cfb, NULL, "storage/none", &entry, &error);
      assert_damaged (error);
    }
}

static void
test_bad_entries (void)
{
  static const struct {
    guint field;
    guint16 value;
  } cases[] = { { 64, 0 }, { 64, 3 }, { 64, 66 }, { 64, 0xfffe }, { 66, 0 }, { 66, 3 }, { 66, 5 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Image) image = image_new (3);
      g_autoptr (TpdCfb) cfb = NULL;
      g_autoptr (GError) error = NULL;

      image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
      image_add_entry (image, "stream", 2, NO_ENTRY, NO_ENTRY, NO_ENTRY, END_OF_CHAIN, 0);
      put_u16 (image_entry (image, 1) + cases[i].field, cases[i].value);
      cfb = open_good (image);
      g_assert_null (tpd_cfb_children (cfb, tpd_cfb_root (cfb), &error));
      assert_damaged (error);
    }
}

/* What may be done to the chains of two streams of 20 sectors each. */
typedef void (*Spoil) (Image *image, guint32 first);

static void
spoil_loop (Image *image, guint32 first)
{
  g_array_index (image->fat, guint32, first + 10) = first + 3;
}

static void
spoil_self (Image *image, guint32 first)
{
  g_array_index (image->fat, guint32, first) = first;
}

static void
spoil_short (Image *image, guint32 first)
{
  g_array_index (image->fat, guint32, first + 10) = END_OF_CHAIN;
}

static void
spoil_free (Image *image, guint32 first)
{
  g_array_index (image->fat, guint32, first + 10) = FREE_SECTOR;
}

static void
spoil_out_of_file (Image *image, guint32 first)
{
  g_array_index (image->fat, guint32, first + 10) = 0x10000000;
}

static void
spoil_into_table (Image *image, guint32 first)
{
  g_array_index (image->fat, guint32, first + 10) = FAT_SECTOR;
}

static void
spoil_start (Image *image, guint32 first)
{
  put_u32 (image_entry (image, 1) + 116, 0xfffffff0);
}

static void
spoil_start_end (Image *image, guint32 first)
{
  put_u32 (image_entry (image, 1) + 116, END_OF_CHAIN);
}

static void
spoil_size (Image *image, guint32 first)
{
  put_u32 (image_entry (image, 1) + 120, 0xffffffff);
}

static void
spoil_size_a_little (Image *image, guint32 first)
{
  put_u32 (image_entry (image, 1) + 120, 20 * 512 + 1);
}

static void
test_bad_chains (void)
{
  static const Spoil spoils[] = { spoil_loop,       spoil_self,  spoil_short, spoil_free,          spoil_out_of_file,
                                  spoil_into_table, spoil_start, spoil_size,  spoil_size_a_little, spoil_start_end };

  for (guint i = 0; i < G_N_ELEMENTS (spoils); i++)
    {
      g_autoptr (Image) image = image_new (3);
      g_autoptr (TpdCfb) cfb = NULL;
      g_autoptr (GError) error = NULL;
      g_autofree guint8 *data = make_noise (20 * 512, i);
      guint32 first = image_add (image, data, 20 * 512, 0);

      image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
      image_add_entry (image, "data", 2, NO_ENTRY, NO_ENTRY, NO_ENTRY, first, 20 * 512);
      spoils[i](image, first);
      cfb = open_good (image);
      g_assert_null (tpd_cfb_stream_new (cfb, find_good (cfb, "data"), &error));
      assert_damaged (error);
    }
}

static void
test_crossing_chains (void)
{
  g_autoptr (Image) image = image_new (3);
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) a = NULL;
  g_autoptr (TpdSource) again = NULL;
  g_autofree guint8 *data = make_noise (20 * 512, 1);
  guint32 first = image_add (image, data, 20 * 512, 0);
  guint32 second = image_add (image, data, 10 * 512, 0);

  g_array_index (image->fat, guint32, second + 9) = first + 10;
  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  image_add_entry (image, "a", 2, NO_ENTRY, 2, NO_ENTRY, first, 20 * 512);
  image_add_entry (image, "b", 2, NO_ENTRY, 3, NO_ENTRY, second, 20 * 512);
  image_add_entry (image, "c", 2, NO_ENTRY, NO_ENTRY, NO_ENTRY, first, 20 * 512);
  cfb = open_good (image);
  a = tpd_cfb_stream_new (cfb, find_good (cfb, "a"), &error);
  again = tpd_cfb_stream_new (cfb, find_good (cfb, "a"), &error);
  g_assert_no_error (error);
  g_assert_null (tpd_cfb_stream_new (cfb, find_good (cfb, "b"), &error));
  assert_damaged (error);
  g_clear_error (&error);
  g_assert_null (tpd_cfb_stream_new (cfb, find_good (cfb, "c"), &error));
  assert_damaged (error);
}

static void
test_bad_mini_chains (void)
{
  static const struct {
    guint index;
    guint32 value;
  } cases[] = { { 3, 3 }, { 3, 0 }, { 3, 0x100 }, { 3, 0xffffff00 }, { 3, END_OF_CHAIN }, { 3, FREE_SECTOR } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (Image) image = image_new (3);
      g_autoptr (TpdCfb) cfb = NULL;
      g_autoptr (GError) error = NULL;
      g_autofree guint8 *data = make_noise (1000, i);

      image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
      image_add_stream (image, "data", NO_ENTRY, NO_ENTRY, data, 1000);
      g_array_index (image->minifat, guint32, cases[i].index) = cases[i].value;
      cfb = open_good (image);
      g_assert_null (tpd_cfb_stream_new (cfb, find_good (cfb, "data"), &error));
      assert_damaged (error);
    }
}

/* A file so large that its allocation table needs DIFAT sectors. */
static GBytes *
difat_image (guint32 *n_difat)
{
  g_autoptr (Image) image = image_new (3);
  gsize len = 20 * 1024 * 1024;
  g_autofree guint8 *data = make_text (len);
  GBytes *bytes;

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  image_add_stream (image, "data", NO_ENTRY, NO_ENTRY, data, len);
  bytes = image_finish (image);
  *n_difat = ((const guint8 *) g_bytes_get_data (bytes, NULL))[72];
  return bytes;
}

static void
test_difat (void)
{
  guint32 n_difat;
  g_autoptr (GBytes) bytes = difat_image (&n_difat);
  gsize len;
  g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (bytes, &len), g_bytes_get_size (bytes));
  guint8 *last = data + len - 512; /* the last DIFAT sector */
  g_autofree guint8 *expected = make_text (20 * 1024 * 1024);
  struct {
    guint8 *at;
    guint32 value;
  } cases[] = {
    { data + 68, 0x1000000 },                            /* out of the file */
    { data + 68, END_OF_CHAIN },                         /* none */
    { data + 72, 1 },                                    /* fewer than needed */
    { data + 44, 120 },                                  /* fewer FAT sectors than needed */
    { data + 76 + 4 * 50, 0x1000000 },                   /* FAT sector out of the file */
    { last - 512 + 508, (guint32) (len / 512) - 2 - 1 }, /* first DIFAT sector is its own successor */
    { last, 0x1000000 },                                 /* FAT sector out of the file */
  };

  g_assert_cmpuint (n_difat, ==, 2);
  for (guint i = 0; i <= G_N_ELEMENTS (cases); i++)
    {
      guint8 saved[4];
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdCfb) cfb = NULL;
      g_autoptr (TpdSource) stream = NULL;
      g_autoptr (GError) error = NULL;

      if (i < G_N_ELEMENTS (cases))
        {
          memcpy (saved, cases[i].at, 4);
          put_u32 (cases[i].at, cases[i].value);
        }
      source = source_from (data, len);
      cfb = tpd_cfb_open (source, &error);
      if (cfb != NULL)
        stream = tpd_cfb_stream_new (cfb, find_good (cfb, "data"), &error);
      if (i < G_N_ELEMENTS (cases))
        {
          assert_damaged (error);
          memcpy (cases[i].at, saved, 4);
          continue;
        }
      g_assert_no_error (error);
      g_assert_nonnull (stream);
      g_assert_true (tpd_source_read_exact (stream, data, stream->size, 0, &error));
      g_assert_true (memcmp (data, expected, stream->size) == 0);
    }
}

/* A DIFAT list that goes in a circle, with a count that allows it. */
static void
test_difat_loop (void)
{
  g_autofree guint8 *data = g_malloc0 (40 * 512);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (GError) error = NULL;

  /* Sector 0 is the only FAT sector, 1 the directory, 2 and 3 are the circle; the
   * chain of the directory needs an entry far behind. */
  put_header (data, 3, 0xffffff, 10 * 1000 * 1000, END_OF_CHAIN, 0, 2, 0xffffff);
  memset (data + 76, 0, 109 * 4);
  put_u32 (data + 3 * 512 + 508, 3);
  put_u32 (data + 4 * 512 + 508, 2);
  source = source_from (data, 40 * 512);
  cfb = tpd_cfb_open (source, &error);
  g_assert_null (cfb);
  assert_damaged (error);
}

static void
test_bad_headers (void)
{
  static const struct {
    guint at;
    guint16 value;
  } cases[] = {
    { 0, 0 },   { 26, 2 }, { 26, 4 },  { 26, 5 },   { 28, 0xfeff }, { 30, 8 }, { 30, 12 },
    { 30, 31 }, { 32, 5 }, { 32, 31 }, { 56, 512 }, { 48, 0xff00 }, { 44, 0 },
  };
  g_autoptr (GBytes) good = fragmented_image (10000, 0);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (good, NULL), g_bytes_get_size (good));
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (GError) error = NULL;

      put_u16 (data + cases[i].at, cases[i].value);
      source = source_from (data, g_bytes_get_size (good));
      g_assert_null (tpd_cfb_open (source, &error));
      assert_damaged (error);
    }
}

/* --- Damaged fixtures --------------------------------------------------- */

/* A file that lost its end gives the true bytes of a stream, or none of it. */
static void
test_truncated (void)
{
  g_autoptr (GPtrArray) files = compound_files ();
  guint tried = 0;

  for (guint i = 0; i < files->len && tried < 12; i++)
    {
      g_autofree char *data = NULL;
      gsize len;
      g_autoptr (TpdSource) whole_source = NULL;
      g_autoptr (TpdCfb) whole_cfb = NULL;
      g_autoptr (GHashTable) whole = NULL;

      g_assert_true (g_file_get_contents (g_ptr_array_index (files, i), &data, &len, NULL));
      whole_source = source_from (data, len);
      whole_cfb = tpd_cfb_open (whole_source, NULL);
      whole = whole_cfb != NULL ? read_tree (whole_cfb, NULL) : NULL;
      if (whole == NULL)
        continue;
      tried++;
      for (gsize cut = 0; cut < len; cut += 512)
        {
          g_autofree guint8 *copy = g_memdup2 (data, cut); /* exact size, for the sanitizer */
          g_autoptr (TpdSource) source = source_from (copy, cut);
          g_autoptr (GError) error = NULL;
          g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, &error);
          g_autoptr (GHashTable) tree = cfb != NULL ? read_tree (cfb, &error) : NULL;
          GHashTableIter iter;
          gpointer key, value;

          if (tree == NULL)
            {
              assert_damaged (error);
              continue;
            }
          g_hash_table_iter_init (&iter, tree);
          while (g_hash_table_iter_next (&iter, &key, &value))
            g_assert_true (g_bytes_equal (value, g_hash_table_lookup (whole, key)));
        }
    }
  g_assert_cmpuint (tried, ==, 12);
}

/* Bytes turned at random: anything but a crash, a loop or a wrong error code. */
static void
test_noise (void)
{
  g_autoptr (GPtrArray) files = compound_files ();
  g_autoptr (GRand) random = g_rand_new_with_seed (11);

  for (guint i = 0; i < files->len; i++)
    {
      g_autofree char *data = NULL;
      gsize len;

      g_assert_true (g_file_get_contents (g_ptr_array_index (files, i), &data, &len, NULL));
      for (guint round = 0; round < 40; round++)
        {
          g_autofree char *copy = g_memdup2 (data, len);
          g_autoptr (TpdSource) source = NULL;
          g_autoptr (TpdCfb) cfb = NULL;
          g_autoptr (GHashTable) tree = NULL;
          g_autoptr (GError) error = NULL;

          for (guint n = 0; n < 1 + round; n++)
            copy[g_rand_int_range (random, 0, (gint32) len)] = (char) g_rand_int (random);
          source = source_from (copy, len);
          cfb = tpd_cfb_open (source, &error);
          if (cfb != NULL)
            tree = read_tree (cfb, &error);
          if (tree == NULL)
            g_assert_true (error != NULL && error->domain == TPD_ERROR && error->code < TPD_ERROR_STALE);
        }
    }
}

/* Holes read as zeros: a table of them leads in a circle at once, whatever the size claims. */
static void
test_huge_claims (void)
{
  g_autofree char *full = g_build_filename (g_get_tmp_dir (), "tpd-cfb-XXXXXX", NULL);
  int fd = g_mkstemp (full);
  guint8 header[512], entries[256], end[4];
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (fd, >=, 0);
  unlink (full);
  put_header (header, 4, 0x3fffff, 1, END_OF_CHAIN, 0, 0, 0x1000);
  memset (header + 76, 0, 109 * 4);
  g_assert_cmpint (pwrite (fd, header, 512, 0), ==, 512);
  put_entry (entries, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  put_entry (entries + 128, "data", 2, NO_ENTRY, NO_ENTRY, NO_ENTRY, 2, (guint64) 1 << 43);
  put_u32 (end, END_OF_CHAIN);
  g_assert_cmpint (pwrite (fd, end, 4, 4096 + 4), ==, 4);
  g_assert_cmpint (pwrite (fd, entries, 256, 8192), ==, 256);
  if (ftruncate (fd, ((off_t) 1 << 43) + (1 << 20)) != 0)
    {
      close (fd);
      g_test_skip ("the file system has no files of 8 TiB");
      return;
    }
  source = tpd_source_new_fd (fd, &error);
  cfb = tpd_cfb_open (source, &error);
  g_assert_no_error (error);
  g_assert_null (tpd_cfb_stream_new (cfb, find_good (cfb, "data"), &error));
  assert_damaged (error);
}

/* Hundreds of transforms that cannot be read cost no more than the few that files have. */
static void
test_many_transforms (void)
{
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_autoptr (TpdSink) sink = tpd_sink_new (NULL, NULL);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *noise = make_noise (5000, 7);
  TpdDataSpaces spaces = { 0 };
  FaultSource *counter;
  guint32 root, info;

  g_assert_true (tpd_cfb_writer_add_storage (writer, TPD_CFB_WRITER_ROOT, TPD_DATASPACES_STORAGE, &root, NULL));
  g_assert_true (tpd_cfb_writer_add_storage (writer, root, "TransformInfo", &info, NULL));
  for (guint i = 0; i < 500; i++)
    {
      g_autofree char *name = g_strdup_printf ("T%u", i);
      guint32 storage;

      g_assert_true (tpd_cfb_writer_add_storage (writer, info, name, &storage, NULL));
      g_assert_true (tpd_cfb_writer_add_bytes (writer, storage, "\006Primary", noise, 5000, NULL));
    }
  g_assert_true (tpd_cfb_writer_finish (writer, sink, NULL));
  source = tpd_sink_to_source (g_steal_pointer (&sink), NULL);
  counter = fault_source_new (source, FAULT_NONE, 0);
  cfb = tpd_cfb_open (&counter->base, NULL);
  g_assert_nonnull (cfb);
  g_assert_false (tpd_dataspaces_read (cfb, &spaces, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_NOT_PROTECTED);
  g_assert_cmpint (counter->reads, <, 250);
  tpd_dataspaces_clear (&spaces);
  tpd_source_unref (&counter->base);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/cfb/hostile/40000-right-siblings", GUINT_TO_POINTER (0), test_sibling_line);
  g_test_add_data_func ("/cfb/hostile/40000-left-siblings", GUINT_TO_POINTER (1), test_sibling_line);
  g_test_add_func ("/cfb/hostile/too-many-entries", test_too_many_entries);
  g_test_add_func ("/cfb/hostile/too-deep", test_depth);
  g_test_add_func ("/cfb/hostile/directory-loops", test_directory_loops);
  g_test_add_func ("/cfb/hostile/bad-entries", test_bad_entries);
  g_test_add_func ("/cfb/hostile/bad-chains", test_bad_chains);
  g_test_add_func ("/cfb/hostile/crossing-chains", test_crossing_chains);
  g_test_add_func ("/cfb/hostile/bad-mini-chains", test_bad_mini_chains);
  g_test_add_func ("/cfb/hostile/difat", test_difat);
  g_test_add_func ("/cfb/hostile/difat-loop", test_difat_loop);
  g_test_add_func ("/cfb/hostile/bad-headers", test_bad_headers);
  g_test_add_func ("/cfb/hostile/truncated-at-every-sector", test_truncated);
  g_test_add_func ("/cfb/hostile/noise", test_noise);
  g_test_add_func ("/cfb/hostile/huge-claims", test_huge_claims);
  g_test_add_func ("/cfb/hostile/many-transforms", test_many_transforms);
  return g_test_run ();
}
