/* SPDX-License-Identifier: Apache-2.0 */
/* Compound files: sound ones give every byte, hostile ones an error. */
#include <glib.h>

#include "../license/helper.h"
#include "cfb-image.h"
#include "format/cfb.h"
#include "support.h"

#define assert_damaged(error) g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED)

static TpdCfb *
open_bytes (GBytes *bytes, GError **error)
{
  g_autoptr (TpdSource) source = tpd_source_new_bytes (bytes);

  return tpd_cfb_open (source, error);
}

static TpdCfb *
open_good (Image *image)
{
  g_autoptr (GBytes) bytes = image_finish (image);
  g_autoptr (GError) error = NULL;
  TpdCfb *cfb = open_bytes (bytes, &error);

  g_assert_no_error (error);
  return cfb;
}

static const TpdCfbEntry *
find_good (TpdCfb *cfb, const char *path)
{
  g_autoptr (GError) error = NULL;
  const TpdCfbEntry *entry;

  g_assert_true (tpd_cfb_find (cfb, NULL, path, &entry, &error));
  g_assert_no_error (error);
  g_assert_nonnull (entry);
  return entry;
}

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

/* A stream in many pieces. */
static GBytes *
fragmented_image (gsize len, guint gap)
{
  g_autoptr (Image) image = image_new (3);
  g_autofree guint8 *data = make_noise (len, 7);

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  image_add_entry (image, "data", 2, NO_ENTRY, NO_ENTRY, NO_ENTRY, image_add (image, data, len, gap), len);
  return image_finish (image);
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

/* --- Whole trees -------------------------------------------------------- */

/* Reads every stream; NULL where one cannot be read. Path -> GBytes. */
static GHashTable *
read_tree (TpdCfb *cfb, GError **error)
{
  g_autoptr (GHashTable) tree = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  g_autoptr (GPtrArray) queue = g_ptr_array_new ();
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (queue, (gpointer) tpd_cfb_root (cfb));
  g_ptr_array_add (paths, g_strdup (""));
  for (guint i = 0; i < queue->len; i++)
    {
      const TpdCfbEntry *storage = g_ptr_array_index (queue, i);
      const GPtrArray *children = tpd_cfb_children (cfb, storage, error);

      if (children == NULL)
        return NULL;
      for (guint j = 0; j < children->len; j++)
        {
          const TpdCfbEntry *entry = g_ptr_array_index (children, j);
          char *path = g_strconcat (g_ptr_array_index (paths, i), "/", entry->name, NULL);
          GBytes *bytes;

          if (entry->type == TPD_CFB_STREAM)
            bytes = tpd_cfb_stream_read (cfb, entry, 1 << 24, error);
          else
            {
              g_ptr_array_add (queue, (gpointer) entry);
              g_ptr_array_add (paths, g_strdup (path));
              bytes = g_bytes_new (entry->clsid, 16);
            }
          if (bytes == NULL)
            {
              g_free (path);
              return NULL;
            }
          g_hash_table_insert (tree, path, bytes);
        }
    }
  return g_steal_pointer (&tree);
}

/* All compound files of the fixtures: protected ones, plain ones, decrypted ones. */
static GPtrArray *
compound_files (void)
{
  GPtrArray *files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) folders = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (folders, fixture_path ("share"));
  g_ptr_array_add (folders, fixture_path ("plain"));
  for (guint i = 0; i < folders->len; i++)
    {
      const char *folder = g_ptr_array_index (folders, i);
      g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
      const char *name;

      while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *path = g_build_filename (folder, name, NULL);
          g_autofree char *data = NULL;
          gsize len;

          if (g_file_test (path, G_FILE_TEST_IS_SYMLINK))
            continue;
          if (g_file_test (path, G_FILE_TEST_IS_DIR))
            g_ptr_array_add (folders, g_steal_pointer (&path));
          else if (g_file_get_contents (path, &data, &len, NULL) && tpd_cfb_magic ((guint8 *) data, len))
            g_ptr_array_add (files, g_steal_pointer (&path));
        }
    }
  g_assert_cmpuint (files->len, >, 60);
  return files;
}

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
  g_test_add_func ("/cfb/read-errors-come-through", test_read_errors);
  g_test_add_func ("/cfb/v4/above-4-gib", test_above_4_gib);
  g_test_add_func ("/cfb/v4/lock-sector-is-refused", test_lock_sector);
  return g_test_run ();
}
