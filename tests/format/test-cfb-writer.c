/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compound files that we write: our reader, a walk over the raw structures and
 * libgsf find in them what was put in.
 */
#include <glib.h>
#include <glib/gstdio.h>
#ifdef HAVE_LIBGSF
#include <gsf/gsf.h>
#endif

#include "format/cfb_writer.h"
#include "support.h"

#define ROOT TPD_CFB_WRITER_ROOT

/* --- Helpers ------------------------------------------------------------ */

static void
add (TpdCfbWriter *writer, guint32 parent, const char *name, const void *data, gsize len)
{
  g_autoptr (GError) error = NULL;

  tpd_cfb_writer_add_bytes (writer, parent, name, data, len, &error);
  g_assert_no_error (error);
}

static guint32
add_storage (TpdCfbWriter *writer, guint32 parent, const char *name)
{
  g_autoptr (GError) error = NULL;
  guint32 storage = 0;

  tpd_cfb_writer_add_storage (writer, parent, name, &storage, &error);
  g_assert_no_error (error);
  return storage;
}

static TpdSource *
finish (TpdCfbWriter *writer)
{
  g_autoptr (GError) error = NULL;
  TpdSink *sink = tpd_sink_new (NULL, &error);
  TpdSource *source;

  g_assert_no_error (error);
  tpd_cfb_writer_finish (writer, sink, &error);
  g_assert_no_error (error);
  source = tpd_sink_to_source (sink, &error);
  g_assert_no_error (error);
  return source;
}

static TpdCfb *
reopen (TpdSource *source)
{
  g_autoptr (GError) error = NULL;
  TpdCfb *cfb = tpd_cfb_open (source, &error);

  g_assert_no_error (error);
  return cfb;
}

static GBytes *
source_bytes (TpdSource *source)
{
  g_autoptr (GError) error = NULL;
  GBytes *bytes = tpd_source_read_bytes (source, 0, source->size, &error);

  g_assert_no_error (error);
  return bytes;
}

static void
assert_stream (TpdCfb *cfb, const char *path, const void *data, gsize len)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  const TpdCfbEntry *entry = NULL;

  g_assert_true (tpd_cfb_find (cfb, NULL, path, &entry, &error));
  g_assert_nonnull (entry);
  g_assert_cmpint (entry->type, ==, TPD_CFB_STREAM);
  bytes = tpd_cfb_stream_read (cfb, entry, G_MAXSIZE, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), data, len);
}

/* --- The raw structures --------------------------------------------------- */

/* What [MS-CFB] asks of a file, checked on its bytes with no code of the reader. */
typedef struct {
  const guint8 *data;
  gsize size;
  guint shift;
  guint32 *fat;
  guint32 n_fat;   /* entries */
  guint8 *used;    /* by a chain */
  guint8 *visited; /* directory entries */
  guint32 *dir;    /* sectors of the directory */
  guint32 n_dir;
} Raw;

static guint32
get_u32 (const guint8 *at)
{
  return (guint32) at[0] | (guint32) at[1] << 8 | (guint32) at[2] << 16 | (guint32) at[3] << 24;
}

static const guint8 *
raw_sector (const Raw *raw, guint32 sector)
{
  gsize off = ((gsize) sector + 1) << raw->shift;

  g_assert_cmpuint (off + ((gsize) 1 << raw->shift), <=, raw->size);
  return raw->data + off;
}

/* Follows a chain, each of whose sectors belongs to it alone. */
static guint32
raw_chain (Raw *raw, guint32 sector, guint32 *list, guint32 max)
{
  guint32 n = 0;

  for (; sector != 0xfffffffe; sector = raw->fat[sector])
    {
      g_assert_cmpuint (sector, <, raw->n_fat);
      g_assert_cmpint (raw->used[sector], ==, 0);
      raw->used[sector] = 1;
      if (list != NULL)
        {
          g_assert_cmpuint (n, <, max);
          list[n] = sector;
        }
      n++;
    }
  return n;
}

static const guint8 *
raw_entry (const Raw *raw, guint32 id)
{
  guint per = (1u << raw->shift) / 128;

  g_assert_cmpuint (id / per, <, raw->n_dir);
  return raw_sector (raw, raw->dir[id / per]) + id % per * 128;
}

static int
raw_compare (const guint8 *a, const guint8 *b)
{
  guint n = a[64];

  if (a[64] != b[64])
    return a[64] < b[64] ? -1 : 1;
  for (guint i = 0; i + 2 < n; i += 2)
    {
      gunichar x = a[i] | (gunichar) a[i + 1] << 8, y = b[i] | (gunichar) b[i + 1] << 8;

      x = x >= 0xd800 && x < 0xe000 ? x : g_unichar_toupper (x);
      y = y >= 0xd800 && y < 0xe000 ? y : g_unichar_toupper (y);
      if (x != y)
        return x < y ? -1 : 1;
    }
  return 0;
}

/* Checks the sibling tree at `id`, all of it between `low` and `high` (NULL:
 * open); gives the black nodes on each path. The depth is that of the tree. */
static guint
raw_tree (Raw *raw, guint32 id, const guint8 *low, const guint8 *high, gboolean parent_red, guint depth)
{
  const guint8 *entry;
  gboolean red;
  guint left, right;

  if (id == 0xffffffff)
    return 1;
  g_assert_cmpuint (depth, <, 40);
  entry = raw_entry (raw, id);
  g_assert_cmpint (raw->visited[id], ==, 0);
  raw->visited[id] = 1;
  red = entry[67] == 0;
  g_assert_false (red && parent_red);
  g_assert_true (low == NULL || raw_compare (low, entry) < 0);
  g_assert_true (high == NULL || raw_compare (entry, high) < 0);
  left = raw_tree (raw, get_u32 (entry + 68), low, entry, red, depth + 1);
  right = raw_tree (raw, get_u32 (entry + 72), entry, high, red, depth + 1);
  g_assert_cmpuint (left, ==, right);
  return left + !red;
}

static void
raw_check (TpdSource *source)
{
  g_autoptr (GBytes) bytes = source_bytes (source);
  Raw raw = { .data = g_bytes_get_data (bytes, NULL), .size = g_bytes_get_size (bytes) };
  guint32 per, n_sectors, n_fat_sectors, difat, at = 0, n_mini, free_count = 0;
  g_autofree guint32 *fat_sectors = NULL;

  g_assert_cmpmem (raw.data, 8, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8);
  raw.shift = raw.data[30];
  g_assert_cmpuint (raw.shift, ==, raw.data[26] == 3 ? 9 : 12);
  g_assert_cmpuint (raw.size % (1u << raw.shift), ==, 0);
  per = (1u << raw.shift) / 4;
  n_sectors = (guint32) (raw.size >> raw.shift) - 1;

  n_fat_sectors = get_u32 (raw.data + 44);
  raw.n_fat = n_fat_sectors * per;
  g_assert_cmpuint (raw.n_fat, >=, n_sectors);
  raw.fat = g_new0 (guint32, raw.n_fat);
  raw.used = g_malloc0 (raw.n_fat);
  fat_sectors = g_new0 (guint32, n_fat_sectors);
  for (guint i = 0; i < 109; i++)
    {
      guint32 sector = get_u32 (raw.data + 76 + 4 * i);

      if (i < n_fat_sectors)
        fat_sectors[at++] = sector;
      else
        g_assert_cmphex (sector, ==, 0xffffffff);
    }
  difat = get_u32 (raw.data + 68);
  for (guint32 i = 0; i < get_u32 (raw.data + 72); i++)
    {
      const guint8 *sector = raw_sector (&raw, difat);

      raw.used[difat] = 2;
      for (guint j = 0; j + 1 < per; j++)
        if (at < n_fat_sectors)
          fat_sectors[at++] = get_u32 (sector + 4 * j);
        else
          g_assert_cmphex (get_u32 (sector + 4 * j), ==, 0xffffffff);
      difat = get_u32 (sector + 4 * (per - 1));
    }
  g_assert_cmphex (difat, ==, 0xfffffffe);
  g_assert_cmpuint (at, ==, n_fat_sectors);
  for (guint32 i = 0; i < n_fat_sectors; i++)
    {
      const guint8 *sector = raw_sector (&raw, fat_sectors[i]);

      raw.used[fat_sectors[i]] = 3;
      for (guint j = 0; j < per; j++)
        raw.fat[i * per + j] = get_u32 (sector + 4 * j);
    }

  raw.dir = g_new0 (guint32, n_sectors);
  raw.n_dir = raw_chain (&raw, get_u32 (raw.data + 48), raw.dir, n_sectors);
  raw.visited = g_malloc0 ((gsize) raw.n_dir * per);
  n_mini = raw_chain (&raw, get_u32 (raw.data + 60), NULL, 0);
  g_assert_cmpuint (n_mini, ==, get_u32 (raw.data + 64));
  g_assert_cmpuint (get_u32 (raw.data + 40), ==, raw.shift == 9 ? 0 : raw.n_dir);
  raw.visited[0] = 1;
  for (guint32 id = 0; id < raw.n_dir * (per / 32); id++)
    {
      const guint8 *entry = raw_entry (&raw, id);
      guint64 size = get_u32 (entry + 120) | (guint64) get_u32 (entry + 124) << 32;

      for (guint i = 100; i < 116; i++)
        g_assert_cmpint (entry[i], ==, 0);
      if (entry[66] == 1 || entry[66] == 5)
        raw_tree (&raw, get_u32 (entry + 76), NULL, NULL, TRUE, 0);
      if (entry[66] == 5 || (entry[66] == 2 && size >= 4096))
        g_assert_cmpuint (raw_chain (&raw, get_u32 (entry + 116), NULL, 0), ==,
                          (size + (1u << raw.shift) - 1) >> raw.shift);
    }
  for (guint32 id = 0; id < raw.n_dir * (per / 32); id++)
    g_assert_cmpint (raw.visited[id], ==, raw_entry (&raw, id)[66] != 0);
  /* Every sector has its use, and the table says which. */
  for (guint32 i = 0; i < raw.n_fat; i++)
    {
      g_assert_true (raw.used[i] != 2 || raw.fat[i] == 0xfffffffc);
      g_assert_true (raw.used[i] != 3 || raw.fat[i] == 0xfffffffd);
      g_assert_true (raw.used[i] != 0 || raw.fat[i] == 0xffffffff);
      free_count += raw.used[i] == 0;
    }
  g_assert_cmpuint (raw.n_fat - free_count, ==, n_sectors);
  g_free (raw.fat);
  g_free (raw.used);
  g_free (raw.dir);
  g_free (raw.visited);
}

/* --- libgsf ---------------------------------------------------------------- */

#ifdef HAVE_LIBGSF
/* Compares a storage of ours with what libgsf sees. */
static void
gsf_compare (GsfInfile *infile, TpdCfb *cfb, const TpdCfbEntry *storage)
{
  g_autoptr (GError) error = NULL;
  const GPtrArray *list = tpd_cfb_children (cfb, storage, &error);

  g_assert_no_error (error);
  g_assert_cmpint (gsf_infile_num_children (infile), ==, (int) list->len);
  for (guint i = 0; i < list->len; i++)
    {
      const TpdCfbEntry *entry = g_ptr_array_index (list, i);
      GsfInput *child = gsf_infile_child_by_name (infile, entry->name);

      g_assert_nonnull (child);
      if (entry->type == TPD_CFB_STORAGE)
        gsf_compare (GSF_INFILE (child), cfb, entry);
      else
        {
          g_autoptr (GBytes) bytes = tpd_cfb_stream_read (cfb, entry, G_MAXSIZE, &error);
          gsize len = (gsize) gsf_input_size (child);

          g_assert_no_error (error);
          g_assert_cmpuint (len, ==, g_bytes_get_size (bytes));
          if (len > 0)
            g_assert_cmpmem (gsf_input_read (child, len, NULL), len, g_bytes_get_data (bytes, NULL), len);
        }
      g_object_unref (child);
    }
}
#endif

/* All readers agree on the file. */
static void
check (TpdSource *source)
{
  raw_check (source);
#ifdef HAVE_LIBGSF
  {
    g_autoptr (GBytes) bytes = source_bytes (source);
    g_autoptr (TpdCfb) cfb = reopen (source);
    GError *error = NULL;
    GsfInput *input =
        gsf_input_memory_new (g_bytes_get_data (bytes, NULL), (gsf_off_t) g_bytes_get_size (bytes), FALSE);
    GsfInfile *infile = gsf_infile_msole_new (input, &error);

    g_assert_no_error (error);
    gsf_compare (infile, cfb, tpd_cfb_root (cfb));
    g_object_unref (infile);
    g_object_unref (input);
  }
#endif
}

/* --- Tests ----------------------------------------------------------------- */

static void
test_empty (void)
{
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_autoptr (TpdSource) source = finish (writer);
  g_autoptr (TpdCfb) cfb = reopen (source);

  g_assert_cmpuint (source->size, ==, 3 * 512);
  g_assert_cmpuint (tpd_cfb_children (cfb, tpd_cfb_root (cfb), NULL)->len, ==, 0);
  check (source);
}

/* Every border of sectors, mini sectors and the cutoff between them. */
static void
test_sizes (gconstpointer version)
{
  static const gsize sizes[] = {
    0,    1,    63,   64,   65,   127,  128,  511,   512,   513,   4031,   4032,   4033,
    4095, 4096, 4097, 4608, 8191, 8192, 8193, 65535, 65536, 65537, 131072, 131073, 300000
  };
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (GPOINTER_TO_UINT (version));
  g_autofree guint8 *noise = make_noise (300000, 7);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdCfb) cfb = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *name = g_strdup_printf ("size %" G_GSIZE_FORMAT, sizes[i]);

      add (writer, ROOT, name, noise, sizes[i]);
    }
  source = finish (writer);
  cfb = reopen (source);
  g_assert_cmpuint (tpd_cfb_version (cfb), ==, GPOINTER_TO_UINT (version));
  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *name = g_strdup_printf ("size %" G_GSIZE_FORMAT, sizes[i]);

      assert_stream (cfb, name, noise, sizes[i]);
    }
  check (source);
}

/* Each size alone, so that mini stream and tables end in every way. */
static void
test_one_stream (void)
{
  static const gsize sizes[] = { 0, 1, 64, 512, 4095, 4096, 4097, 65000, 65536 };
  g_autofree guint8 *noise = make_noise (65536, 9);

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdCfb) cfb = NULL;

      add (writer, ROOT, "one", noise, sizes[i]);
      source = finish (writer);
      cfb = reopen (source);
      assert_stream (cfb, "one", noise, sizes[i]);
      check (source);
    }
}

/* Sibling trees of every size up to some levels. */
static void
test_balance (void)
{
  for (guint n = 1; n <= 70; n++)
    {
      g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
      g_autoptr (TpdSource) source = NULL;

      for (guint i = 0; i < n; i++)
        {
          g_autofree char *name = g_strdup_printf ("%s%u", i % 2 ? "b" : "A", i * 71 % n);

          add (writer, ROOT, name, "x", 1);
        }
      source = finish (writer);
      raw_check (source);
    }
}

/* Shorter names first, then by upper case: not the order of the bytes. */
static void
test_order (void)
{
  static const char *const expected[] = { "a", "B", "ä", "Ω", "aB", "AC", "ab_", "zzz", "_abc" };
  static const char *const added[] = { "zzz", "Ω", "_abc", "AC", "ab_", "B", "aB", "ä", "a" };
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdCfb) cfb = NULL;
  const GPtrArray *list;

  for (gsize i = 0; i < G_N_ELEMENTS (added); i++)
    add (writer, ROOT, added[i], added[i], strlen (added[i]));
  source = finish (writer);
  cfb = reopen (source);
  list = tpd_cfb_children (cfb, tpd_cfb_root (cfb), NULL);
  g_assert_cmpuint (list->len, ==, G_N_ELEMENTS (expected));
  for (guint i = 0; i < list->len; i++)
    g_assert_cmpstr (((const TpdCfbEntry *) g_ptr_array_index (list, i))->name, ==, expected[i]);
  check (source);
}

static void
test_deep (void)
{
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_autoptr (GString) path = g_string_new (NULL);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (GError) error = NULL;
  guint32 at = ROOT;

  for (guint i = 0; i < TPD_CFB_MAX_DEPTH - 1; i++)
    {
      at = add_storage (writer, at, "down");
      g_string_append (path, "down/");
    }
  add (writer, at, "leaf", "deep", 4);
  g_string_append (path, "leaf");
  g_assert_false (tpd_cfb_writer_add_storage (writer, at, "too deep", &at, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
  source = finish (writer);
  cfb = reopen (source);
  assert_stream (cfb, path->str, "deep", 4);
  check (source);
}

static void
test_wide (void)
{
  enum { N = 100000 };
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdCfb) cfb = NULL;
  const GPtrArray *list;
  gint64 start = g_get_monotonic_time ();

  for (guint i = 0; i < N; i++)
    {
      g_autofree char *name = g_strdup_printf ("stream %u", i * 7919 % N);

      add (writer, ROOT, name, name, strlen (name));
    }
  source = finish (writer);
  cfb = reopen (source);
  list = tpd_cfb_children (cfb, tpd_cfb_root (cfb), NULL);
  g_assert_nonnull (list);
  g_assert_cmpuint (list->len, ==, N);
  g_test_message ("%d streams in %d ms", N, (int) ((g_get_monotonic_time () - start) / 1000));
  raw_check (source);
  for (guint i = 0; i < N; i += 9973)
    {
      const TpdCfbEntry *entry = g_ptr_array_index (list, i);

      assert_stream (cfb, entry->name, entry->name, strlen (entry->name));
    }
}

/* More FAT sectors than the header has room for, and just so many. */
static void
test_difat (void)
{
  /* 109 FAT sectors describe 13952 sectors; 109 of them are the FAT, one the directory. */
  const gsize full = (109 * 128 - 109 - 1) * 512;
  static const gssize more[] = { -512, 0, 1, 512, 64 * 1024, 10 * 1024 * 1024 };

  for (gsize i = 0; i < G_N_ELEMENTS (more); i++)
    {
      gsize size = full + (gsize) more[i];
      g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
      g_autofree guint8 *data = make_text (size);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdCfb) cfb = NULL;
      guint8 n_difat[4];

      add (writer, ROOT, "large", data, size);
      source = finish (writer);
      cfb = reopen (source);
      assert_stream (cfb, "large", data, size);
      check (source);
      g_assert_true (tpd_source_read_exact (source, n_difat, 4, 72, NULL));
      g_assert_cmpuint (get_u32 (n_difat), ==, more[i] <= 0 ? 0 : more[i] > 65536 ? 2 : 1);
    }
}

static void
test_copy (void)
{
  static const guint8 clsid[16] = { 0x31, 0xf0, 6, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46 };
  g_autoptr (TpdCfbWriter) first = tpd_cfb_writer_new (4), second = tpd_cfb_writer_new (3);
  g_autofree guint8 *noise = make_noise (20000, 3);
  g_autoptr (TpdSource) one = NULL, two = NULL;
  g_autoptr (TpdCfb) from = NULL, to = NULL;
  g_autoptr (GError) error = NULL;
  const TpdCfbEntry *entry;
  guint32 outer, inner, target;

  outer = add_storage (first, ROOT, "outer");
  inner = add_storage (first, outer, "\003inner");
  tpd_cfb_writer_set_clsid (first, outer, clsid);
  tpd_cfb_writer_set_clsid (first, inner, clsid);
  add (first, outer, "small", noise, 100);
  add (first, inner, "large", noise, 20000);
  add (first, inner, "empty", NULL, 0);
  add (first, ROOT, "not copied", "x", 1);
  one = finish (first);
  from = reopen (one);

  target = add_storage (second, ROOT, "copy");
  g_assert_true (tpd_cfb_find (from, NULL, "outer", &entry, &error));
  tpd_cfb_writer_copy_storage (second, target, from, entry, &error);
  g_assert_no_error (error);
  g_clear_pointer (&from, tpd_cfb_free);
  two = finish (second);
  to = reopen (two);
  check (two);
  assert_stream (to, "copy/small", noise, 100);
  assert_stream (to, "copy/\003inner/large", noise, 20000);
  assert_stream (to, "copy/\003inner/empty", NULL, 0);
  g_assert_true (tpd_cfb_find (to, NULL, "copy/\003inner", &entry, &error));
  g_assert_cmpmem (entry->clsid, 16, clsid, 16);
  g_assert_true (tpd_cfb_find (to, NULL, "copy", &entry, &error));
  g_assert_cmpmem (entry->clsid, 16, clsid, 16);
  g_assert_true (tpd_cfb_find (to, NULL, "not copied", &entry, &error));
  g_assert_null (entry);
}

static void
test_deterministic (void)
{
  GBytes *bytes[2];

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
      g_autofree guint8 *noise = make_noise (9000, 1);
      g_autoptr (TpdSource) source = NULL;

      add (writer, add_storage (writer, ROOT, "s"), "a", noise, 9000);
      add (writer, ROOT, "b", noise, 77);
      source = finish (writer);
      bytes[i] = source_bytes (source);
    }
  g_assert_true (g_bytes_equal (bytes[0], bytes[1]));
  g_bytes_unref (bytes[0]);
  g_bytes_unref (bytes[1]);
}

static void
test_names (void)
{
  static const char *const bad[] = { "", "a/b", "a\\b", "a:b", "a!b", "12345678901234567890123456789012" };
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_autoptr (TpdSink) sink = tpd_sink_new (NULL, NULL);
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_false (tpd_cfb_writer_add_bytes (writer, ROOT, bad[i], "x", 1, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
      g_clear_error (&error);
    }
  add (writer, ROOT, "1234567890123456789012345678901", "x", 1);
  add (writer, ROOT, "größe", "x", 1);
  add (writer, ROOT, "GRÖßE", "x", 1);
  g_assert_false (tpd_cfb_writer_finish (writer, sink, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
}

static void
test_budget (void)
{
  TpdBudget budget = { .max_bytes = 10000 };
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_autoptr (TpdSink) sink = tpd_sink_new (&budget, NULL);
  g_autofree guint8 *noise = make_noise (20000, 1);
  g_autoptr (GError) error = NULL;

  add (writer, ROOT, "a", noise, 20000);
  g_assert_false (tpd_cfb_writer_finish (writer, sink, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
}

static void
test_entries (void)
{
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_autoptr (GError) error = NULL;
  guint i;

  for (i = 0; error == NULL; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u", i);

      tpd_cfb_writer_add_bytes (writer, ROOT, name, NULL, 0, &error);
    }
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
  g_assert_cmpuint (i, ==, TPD_CFB_MAX_ENTRIES);
}

/* A source that fails while it is copied fails the file. */
static void
test_source_fails (void)
{
  g_autofree guint8 *noise = make_noise (200000, 1);
  g_autoptr (TpdSource) source = source_from (noise, 200000);

  for (int at = 0; at < 4; at++)
    {
      FaultSource *fault = fault_source_new (source, FAULT_EIO, at);
      g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
      g_autoptr (TpdSink) sink = tpd_sink_new (NULL, NULL);
      g_autoptr (GError) error = NULL;

      g_assert_true (tpd_cfb_writer_add_stream (writer, ROOT, "a", &fault->base, &error));
      g_assert_false (tpd_cfb_writer_finish (writer, sink, &error));
      g_assert_cmpint (tpd_error_get_errno (error), ==, EIO);
      tpd_source_unref (&fault->base);
    }
}

/* --- Above 2 GiB ------------------------------------------------------------ */

/* Bytes that tell where they are, without being anywhere. */
typedef struct {
  TpdSource base;
} Counting;

static gssize
counting_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  guint8 *out = buf;

  if (off >= source->size)
    return 0;
  len = (gsize) MIN ((guint64) len, source->size - off);
  for (gsize i = 0; i < len; i++)
    out[i] = (guint8) ((off + i) >> 12) ^ (guint8) ((off + i) >> 20);
  return (gssize) len;
}

static void
counting_free (TpdSource *source)
{
  g_free (source);
}

/* A file above 2 GiB is of version 4 and has the range lock. Slow, and needs
 * as much memory: run with -m slow. */
static void
test_range_lock (void)
{
  static const TpdSourceClass klass = { counting_pread, NULL, counting_free };
  static const guint64 sizes[2] = { 0x7ff00000, 0x00400001 };
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdCfb) cfb = NULL;
  g_autofree guint8 *got = g_malloc (1 << 20), *wanted = g_malloc (1 << 20);
  g_autoptr (GError) error = NULL;

  if (!g_test_slow ())
    {
      g_test_skip ("needs 2 GiB of memory; run with -m slow");
      return;
    }
  for (guint i = 0; i < 2; i++)
    {
      Counting *counting = g_new0 (Counting, 1);

      counting->base = (TpdSource){ &klass, sizes[i], 1 };
      g_assert_true (tpd_cfb_writer_add_stream (writer, ROOT, i == 0 ? "a" : "b", &counting->base, &error));
      tpd_source_unref (&counting->base);
    }
  source = finish (writer);
  g_assert_cmpuint (source->size, >, G_GUINT64_CONSTANT (0x80000000));
  g_assert_true (tpd_source_read_exact (source, got, 256, 0x7fffff00, &error));
  memset (wanted, 0, 256);
  g_assert_cmpmem (got, 256, wanted, 256);
  cfb = reopen (source);
  g_assert_cmpuint (tpd_cfb_version (cfb), ==, 4);
  for (guint i = 0; i < 2; i++)
    {
      Counting like = { { &klass, sizes[i], 1 } };
      g_autoptr (TpdSource) stream = NULL;
      const TpdCfbEntry *entry;

      g_assert_true (tpd_cfb_find (cfb, NULL, i == 0 ? "a" : "b", &entry, &error));
      stream = tpd_cfb_stream_new (cfb, entry, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (stream->size, ==, sizes[i]);
      for (guint64 off = 0; off < sizes[i]; off += 1 << 20)
        {
          gsize n = (gsize) MIN (sizes[i] - off, (guint64) 1 << 20);

          g_assert_true (tpd_source_read_exact (stream, got, n, off, &error));
          counting_pread (&like.base, wanted, n, off, NULL);
          g_assert_true (memcmp (got, wanted, n) == 0);
        }
    }
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
#ifdef HAVE_LIBGSF
  gsf_init ();
#endif
  g_test_add_func ("/cfb-writer/empty", test_empty);
  g_test_add_data_func ("/cfb-writer/sizes/version-3", GUINT_TO_POINTER (3), test_sizes);
  g_test_add_data_func ("/cfb-writer/sizes/version-4", GUINT_TO_POINTER (4), test_sizes);
  g_test_add_func ("/cfb-writer/one-stream", test_one_stream);
  g_test_add_func ("/cfb-writer/tree-is-red-black", test_balance);
  g_test_add_func ("/cfb-writer/tree-order", test_order);
  g_test_add_func ("/cfb-writer/deep", test_deep);
  g_test_add_func ("/cfb-writer/100000-streams", test_wide);
  g_test_add_func ("/cfb-writer/difat", test_difat);
  g_test_add_func ("/cfb-writer/copy-storage", test_copy);
  g_test_add_func ("/cfb-writer/deterministic", test_deterministic);
  g_test_add_func ("/cfb-writer/names-checked", test_names);
  g_test_add_func ("/cfb-writer/budget", test_budget);
  g_test_add_func ("/cfb-writer/entries-bounded", test_entries);
  g_test_add_func ("/cfb-writer/source-fails", test_source_fails);
  g_test_add_func ("/cfb-writer/range-lock", test_range_lock);
  result = g_test_run ();
#ifdef HAVE_LIBGSF
  gsf_shutdown ();
#endif
  return result;
}
