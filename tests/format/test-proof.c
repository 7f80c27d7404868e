/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judging plaintext by its structure. A wrong IV turns the first 16 bytes of
 * each segment but the first into noise; that is what is done here to sound
 * files.
 */
#include <glib.h>
#include <zlib.h>

#include "../license/helper.h"
#include "cfb-image.h"
#include "format/cfb.h"
#include "format/proof.h"
#include "support.h"

#define SEGMENT 4096

/* Counts the bytes that are read. */
typedef struct {
  TpdSource base;
  const guint8 *data;
  guint64 bytes;
} Meter;

static gssize
meter_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  Meter *meter = (Meter *) source;

  if (off >= source->size)
    return 0;
  len = MIN (len, (gsize) (source->size - off));
  memcpy (buf, meter->data + off, len);
  meter->bytes += len;
  return (gssize) len;
}

static TpdCheck
check (const guint8 *data, gsize len)
{
  static const TpdSourceClass klass = { meter_pread, NULL, NULL };
  Meter meter = { { &klass, len, 1 }, data, 0 };
  g_autoptr (GError) error = NULL;
  TpdCheck result;

  g_assert_true (tpd_check_segments (&meter.base, SEGMENT, &result, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (meter.bytes, <=, TPD_CHECK_MAX_BYTES);
  return result;
}

/* The text as a wrong IV shows it. */
static guint8 *
spoiled (const guint8 *data, gsize len, guint32 seed)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);
  guint8 *copy = g_malloc (len + 1);

  memcpy (copy, data, len);
  for (gsize off = SEGMENT; off < len; off += SEGMENT)
    for (gsize i = off; i < MIN (off + 16, len); i++)
      copy[i] ^= (guint8) g_rand_int (random);
  return copy;
}

/* The right reading is proved, no wrong one is. */
static void
assert_decided (const guint8 *data, gsize len, guint rounds)
{
  g_assert_cmpint (check (data, len), ==, TPD_CHECK_PROVED);
  for (guint32 seed = 0; seed < rounds; seed++)
    {
      g_autofree guint8 *wrong = spoiled (data, len, seed);
      g_assert_cmpint (check (wrong, len), !=, TPD_CHECK_PROVED);
    }
}

/* --- Files of the fixtures ---------------------------------------------- */

/* Every package and compound document, whatever its cipher, must be decided. */
static void
test_fixtures (void)
{
  JsonArray *files = fixture_files ();
  g_autofree char *plain = fixture_path ("plain");
  guint packages = 0, compounds = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      const char *name = json_word (entry, "plain_path");
      g_autofree char *path = g_build_filename (plain, name, NULL);
      g_autofree guint8 *data = NULL;
      gsize len;
      gboolean zip;

      if (*name == '\0' || !g_file_test (path, G_FILE_TEST_IS_REGULAR)
          || !g_file_get_contents (path, (char **) &data, &len, NULL) || len <= SEGMENT)
        continue;
      zip = memcmp (data, "PK\003\004", 4) == 0;
      if ((!zip && !tpd_cfb_magic (data, len)) || g_str_equal (json_word (entry, "kind"), "symlink"))
        continue;
      g_test_message ("%s", name);
      /* What is still protected inside proves nothing of its ciphertext. */
      if (json_object_get_boolean_member (entry, "protected") || zip)
        assert_decided (data, len, 40);
      zip ? packages++ : compounds++;
    }
  g_test_message ("%u packages, %u compound files", packages, compounds);
  g_assert_cmpuint (packages, >, 30);
  g_assert_cmpuint (compounds, >, 8);
}

/* --- Packages made by hand ---------------------------------------------- */

typedef struct {
  GByteArray *data;
  GByteArray *directory;
  guint n;
} Zip;

static void
append_u16 (GByteArray *to, guint value)
{
  guint8 raw[2];
  put_u16 (raw, (guint16) value);
  g_byte_array_append (to, raw, 2);
}

static void
append_u32 (GByteArray *to, guint32 value)
{
  guint8 raw[4];
  put_u32 (raw, value);
  g_byte_array_append (to, raw, 4);
}

static void
append_u64 (GByteArray *to, guint64 value)
{
  append_u32 (to, (guint32) value);
  append_u32 (to, (guint32) (value >> 32));
}

/* Adds a member; `method` 0 or 8; with `zip64` its numbers are in the extra field. */
static void
zip_add (Zip *zip, const char *name, const guint8 *data, gsize len, guint method, gboolean zip64)
{
  g_autofree guint8 *packed = g_malloc (len + len / 100 + 100);
  gsize packed_len = len;
  guint32 crc = (guint32) crc32 (0, data, (uInt) len), header = zip->data->len;
  guint name_len = (guint) strlen (name);

  if (method == 8)
    {
      z_stream z = { 0 };
      g_assert_cmpint (deflateInit2 (&z, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), ==, Z_OK);
      z.next_in = (Bytef *) data;
      z.avail_in = (uInt) len;
      z.next_out = packed;
      z.avail_out = (uInt) (len + len / 100 + 100);
      g_assert_cmpint (deflate (&z, Z_FINISH), ==, Z_STREAM_END);
      packed_len = z.total_out;
      deflateEnd (&z);
    }
  else
    memcpy (packed, data, len);

  append_u32 (zip->data, 0x04034b50);
  append_u16 (zip->data, 20);
  append_u16 (zip->data, 0);
  append_u16 (zip->data, method);
  append_u32 (zip->data, 0x58210000);
  append_u32 (zip->data, crc);
  append_u32 (zip->data, (guint32) packed_len);
  append_u32 (zip->data, (guint32) len);
  append_u16 (zip->data, name_len);
  append_u16 (zip->data, 0);
  g_byte_array_append (zip->data, (const guint8 *) name, name_len);
  g_byte_array_append (zip->data, packed, (guint) packed_len);

  append_u32 (zip->directory, 0x02014b50);
  append_u32 (zip->directory, 20 | 20 << 16);
  append_u16 (zip->directory, 0);
  append_u16 (zip->directory, method);
  append_u32 (zip->directory, 0x58210000);
  append_u32 (zip->directory, crc);
  append_u32 (zip->directory, zip64 ? 0xffffffff : (guint32) packed_len);
  append_u32 (zip->directory, zip64 ? 0xffffffff : (guint32) len);
  append_u16 (zip->directory, name_len);
  append_u16 (zip->directory, zip64 ? 28 : 0);
  append_u32 (zip->directory, 0);
  append_u16 (zip->directory, 0);
  append_u32 (zip->directory, 0);
  append_u32 (zip->directory, zip64 ? 0xffffffff : header);
  g_byte_array_append (zip->directory, (const guint8 *) name, name_len);
  if (zip64)
    {
      append_u16 (zip->directory, 1);
      append_u16 (zip->directory, 24);
      append_u64 (zip->directory, len);
      append_u64 (zip->directory, packed_len);
      append_u64 (zip->directory, header);
    }
  zip->n++;
}

static Zip *
zip_new (void)
{
  Zip *zip = g_new0 (Zip, 1);

  zip->data = g_byte_array_new ();
  zip->directory = g_byte_array_new ();
  return zip;
}

/* Frees `zip` and gives the whole. */
static GByteArray *
zip_finish (Zip *zip, gboolean zip64)
{
  GByteArray *data = zip->data;
  guint32 at = data->len, size = zip->directory->len;

  g_byte_array_append (data, zip->directory->data, size);
  if (zip64)
    {
      guint64 end = data->len;

      append_u32 (data, 0x06064b50);
      append_u64 (data, 44);
      append_u32 (data, 45 | 45 << 16);
      append_u64 (data, 0);
      append_u64 (data, zip->n);
      append_u64 (data, zip->n);
      append_u64 (data, size);
      append_u64 (data, at);
      append_u32 (data, 0x07064b50);
      append_u32 (data, 0);
      append_u64 (data, end);
      append_u32 (data, 1);
    }
  append_u32 (data, 0x06054b50);
  append_u32 (data, 0);
  append_u16 (data, zip64 ? 0xffff : zip->n);
  append_u16 (data, zip64 ? 0xffff : zip->n);
  append_u32 (data, zip64 ? 0xffffffff : size);
  append_u32 (data, zip64 ? 0xffffffff : at);
  append_u16 (data, 0);
  g_byte_array_unref (zip->directory);
  g_free (zip);
  return data;
}

static void
test_members (gconstpointer method)
{
  for (guint zip64 = 0; zip64 < 2; zip64++)
    {
      Zip *zip = zip_new ();
      g_autofree guint8 *noise = make_noise (50000, 1);
      g_autofree guint8 *text = make_text (50000);
      g_autoptr (GByteArray) data = NULL;

      zip_add (zip, "[Content_Types].xml", text, 3000, GPOINTER_TO_UINT (method), FALSE);
      zip_add (zip, "large.bin", noise, 50000, GPOINTER_TO_UINT (method), zip64);
      zip_add (zip, "text", text, 50000, GPOINTER_TO_UINT (method), zip64);
      data = zip_finish (zip, zip64);
      assert_decided (data->data, data->len, 100);
    }
}

/* No member lies over a border, only this record of the package does. */
static void
test_records (void)
{
  guint decided = 0;

  /* Moves the border through member header, directory and end record. */
  for (gsize first = 3700; first < 4080; first++)
    {
      Zip *zip = zip_new ();
      g_autofree guint8 *noise = make_noise (first, 1);
      g_autoptr (GByteArray) data = NULL;

      zip_add (zip, "first", noise, first - 35, 0, FALSE);
      zip_add (zip, "a member whose name is rather long, though not too long.xml", noise, 20, 0, FALSE);
      zip_add (zip, "c", noise, 0, 0, FALSE);
      data = zip_finish (zip, FALSE);
      g_assert_cmpuint (data->len, <, 2 * SEGMENT);
      if (data->len <= SEGMENT)
        continue;
      /* A byte of agreement may come by chance, more should not. */
      if (data->len >= SEGMENT + 4)
        assert_decided (data->data, data->len, 20);
      else
        g_assert_cmpint (check (data->data, data->len), ==, TPD_CHECK_PROVED);
      decided++;
    }
  g_assert_cmpuint (decided, >, 200);
}

/* The only member over a border is too large to be read: bounded, and no proof. */
static void
test_bounded (void)
{
  Zip *zip = zip_new ();
  gsize len = 20 * 1024 * 1024;
  g_autofree guint8 *noise = make_noise (len + 100, 1);
  g_autoptr (GByteArray) data = NULL;

  zip_add (zip, "movie.mp4", noise, len + 100, 0, FALSE);
  data = zip_finish (zip, FALSE);
  g_assert_cmpint (check (data->data, data->len), ==, TPD_CHECK_UNKNOWN);
}

/* It is large, but can be read: as it is stored, and as it is deflated. */
static void
test_large_member (void)
{
  const gsize len = 6 * 1024 * 1024;
  g_autofree guint8 *noise = make_noise (len, 1);
  g_autofree guint8 *text = make_text (3 * len);

  for (int kind = 0; kind < 3; kind++)
    {
      Zip *zip = zip_new ();
      g_autoptr (GByteArray) data = NULL;

      zip_add (zip, "large.bin", kind < 2 ? noise : text, kind < 2 ? len : 3 * len, kind == 0 ? 0 : 8, FALSE);
      data = zip_finish (zip, FALSE);
      g_assert_cmpuint (data->len, >, 3 * SEGMENT);
      g_assert_cmpint (check (data->data, data->len), ==, TPD_CHECK_PROVED);
      data->data[2 * SEGMENT + 3] ^= 0x40;
      g_assert_cmpint (check (data->data, data->len), ==, TPD_CHECK_DISPROVED);
    }
}

/* A small file that inflates to much more than is said. */
static void
test_bomb (void)
{
  Zip *zip = zip_new ();
  gsize len = 64 * 1024 * 1024;
  g_autofree guint8 *zeros = g_malloc0 (len);
  g_autoptr (GByteArray) data = NULL;
  guint8 *size;

  zip_add (zip, "bomb", zeros, len, 8, FALSE);
  size = zip->directory->data + 24;
  put_u32 (size, 100000);
  data = zip_finish (zip, FALSE);
  g_assert_cmpint (check (data->data, data->len), ==, TPD_CHECK_DISPROVED);
}

static void
test_zip_noise (void)
{
  Zip *zip = zip_new ();
  g_autofree guint8 *text = make_text (50000);
  g_autofree guint8 *noise = make_noise (9000, 4);
  g_autoptr (GByteArray) data = NULL;
  g_autoptr (GRand) random = g_rand_new_with_seed (9);

  zip_add (zip, "a", text, 50000, 8, TRUE);
  zip_add (zip, "b", noise, 9000, 8, FALSE);
  data = zip_finish (zip, TRUE);
  for (guint round = 0; round < 20000; round++)
    {
      g_autofree guint8 *copy = g_memdup2 (data->data, data->len);
      for (guint n = 0; n < 1 + round % 4; n++)
        {
          /* Mostly in the records at the end. */
          gint low = round % 3 == 0 ? 0 : (gint) data->len - 250;
          copy[g_rand_int_range (random, low, (gint32) data->len)] = (guint8) g_rand_int (random);
        }
      memcpy (copy, "PK\003\004", 4);
      check (copy, data->len); /* must end, within its bounds */
    }
}

/* --- Compound files made by hand ---------------------------------------- */

static void
test_compound (void)
{
  for (guint version = 3; version <= 4; version++)
    for (gsize len = 30000; len < 200000; len = len * 3 / 2)
      {
        g_autoptr (Image) image = image_new (version);
        g_autofree guint8 *noise = make_noise (len, 1);
        g_autofree guint8 *text = make_text (len);
        g_autoptr (GBytes) bytes = NULL;

        image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
        image_add_stream (image, "WordDocument", NO_ENTRY, 2, text, len);
        image_add_stream (image, "Pictures", NO_ENTRY, 3, noise, len);
        image_add_stream (image, "\005SummaryInformation", NO_ENTRY, NO_ENTRY, text, 400);
        bytes = image_finish (image);
        assert_decided (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), 40);
      }
}

/* Nothing but noise at the borders: no proof of either reading. */
static void
test_compound_of_noise (void)
{
  g_autoptr (Image) image = image_new (3);
  g_autofree guint8 *noise = make_noise (512 * 64 + 5000, 1);
  g_autoptr (GBytes) bytes = NULL;

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  image_add_stream (image, "Pictures", NO_ENTRY, NO_ENTRY, noise, 512 * 64 + 1000);
  bytes = image_finish (image);
  g_assert_cmpint (check (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes)), ==, TPD_CHECK_UNKNOWN);
}

/* --- Others ------------------------------------------------------------- */

static void
test_unknown (void)
{
  g_autofree guint8 *text = make_text (20000);
  g_autofree guint8 *noise = make_noise (20000, 1);

  g_assert_cmpint (check (text, 20000), ==, TPD_CHECK_PROVED);
  for (gsize at = SEGMENT; at < 20000; at += SEGMENT)
    memcpy (text + at, noise + at, 16);
  g_assert_cmpint (check (text, 20000), ==, TPD_CHECK_UNKNOWN);
  g_assert_cmpint (check (noise, 20000), ==, TPD_CHECK_UNKNOWN);
  memcpy (noise, "PK\003\004", 4);
  g_assert_cmpint (check (noise, 20000), ==, TPD_CHECK_DISPROVED);
  g_assert_cmpint (check (noise, SEGMENT), ==, TPD_CHECK_UNKNOWN);
  memcpy (noise, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8);
  g_assert_cmpint (check (noise, 20000), ==, TPD_CHECK_DISPROVED);
  g_assert_cmpint (check (noise, 0), ==, TPD_CHECK_UNKNOWN);
}

/* Text of all kinds, of which one place is in doubt: right it proves itself, and with
 * noise there it never does. */
static void
test_text_of_all_kinds (void)
{
  static const struct {
    const char *text, *charset;
  } kinds[] = {
    { "<p style=\"margin:0cm\"><span lang=\"EN-GB\">We meet on Tuesday at ten; bring the figures.</span></p>\r\n",
      "UTF-8" },
    { "<p>Уважаемые коллеги, просим подтвердить участие в совещании до пятницы. Спасибо!</p>\r\n", "UTF-8" },
    { "<p>Уважаемые коллеги, просим подтвердить участие в совещании до пятницы. Спасибо!</p>\r\n", "CP1251" },
    { "お疲れ様です。来週の会議の資料を添付しますので、ご確認をお願いいたします。\r\n", "UTF-16LE" },
    { "Können wir die Übergabe auf Dienstag verschieben? Grüße, Jürgen\r\n", "CP1252" },
    { "请在星期五之前确认您是否参加会议，谢谢大家的配合。\r\n", "GB18030" },
  };
  g_autoptr (GRand) chance = g_rand_new_with_seed (29);

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autoptr (GByteArray) data = g_byte_array_new ();
      gsize len;
      g_autofree char *line = g_convert (kinds[i].text, -1, kinds[i].charset, "UTF-8", NULL, &len, NULL);

      g_assert_nonnull (line);
      while (data->len < SEGMENT + 700)
        g_byte_array_append (data, (const guint8 *) line, (guint) len);
      g_assert_cmpint (check (data->data, data->len), ==, TPD_CHECK_PROVED);
      for (guint round = 0; round < 500; round++)
        {
          for (guint j = 0; j < 16; j++)
            data->data[SEGMENT + j] = (guint8) g_rand_int (chance);
          g_assert_cmpint (check (data->data, data->len), ==, TPD_CHECK_UNKNOWN);
        }
    }
}

/* Of data that is compressed nothing is likely, right or wrong. */
static void
test_noise_proves_nothing (void)
{
  for (guint seed = 1; seed < 200; seed++)
    {
      g_autofree guint8 *noise = make_noise (20 * SEGMENT, seed);

      g_assert_cmpint (check (noise, 20 * SEGMENT), ==, TPD_CHECK_UNKNOWN);
    }
}

/* A source that cannot be read is no judgement. */
static void
test_read_errors (void)
{
  g_autofree char *path = fixture_path ("plain/Verträge/2012/budget v2-37.docx");
  g_autoptr (TpdSource) file = source_open (path);

  for (int at = 0;; at++)
    {
      FaultSource *faulty = fault_source_new (file, FAULT_EIO, at);
      g_autoptr (TpdSource) source = &faulty->base;
      g_autoptr (GError) error = NULL;
      TpdCheck result;

      if (tpd_check_segments (source, SEGMENT, &result, &error))
        {
          g_assert_cmpint (result, ==, TPD_CHECK_PROVED);
          g_assert_cmpint (at, >, 3);
          break;
        }
      g_assert_cmpint (tpd_error_get_errno (error), ==, EIO);
    }
}

static void
test_magic (void)
{
  static const struct {
    const char *head;
    gsize len;
    const char *extension;
    TpdCheck result;
    guint bits;
  } cases[] = {
    { "PK\003\004", 4, ".docx", TPD_CHECK_UNKNOWN, 32 },
    { "PK\003\004", 4, NULL, TPD_CHECK_UNKNOWN, 32 },
    { "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8, ".XLSX", TPD_CHECK_UNKNOWN, 64 },
    { "garbage!", 8, ".docx", TPD_CHECK_DISPROVED, 0 },
    { "garbage!", 8, ".doc", TPD_CHECK_UNKNOWN, 0 },
    { "garbage!", 8, ".txt", TPD_CHECK_UNKNOWN, 0 },
    { "garbage!", 8, "", TPD_CHECK_UNKNOWN, 0 },
    { "garbage!", 8, ".", TPD_CHECK_UNKNOWN, 0 },
    { "garbage!", 8, ".x docx y", TPD_CHECK_UNKNOWN, 0 },
    { "garbage!", 8, NULL, TPD_CHECK_UNKNOWN, 0 },
    { "PK\003\004", 4, ".png", TPD_CHECK_DISPROVED, 32 },
    { "\x89PNG\r\n\x1a\n", 8, ".png", TPD_CHECK_UNKNOWN, 64 },
    { "\n\n%PDF-1.7", 10, ".pdf", TPD_CHECK_UNKNOWN, 40 },
    { "%PDF", 4, ".pdf", TPD_CHECK_DISPROVED, 0 },
    { "", 0, ".jpg", TPD_CHECK_DISPROVED, 0 },
    { "{\\rtf1", 6, ".doc", TPD_CHECK_UNKNOWN, 40 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint bits = 99;
      g_assert_cmpint (tpd_check_magic ((const guint8 *) cases[i].head, cases[i].len, cases[i].extension, &bits), ==,
                       cases[i].result);
      g_assert_cmpuint (bits, ==, cases[i].bits);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/proof/fixtures/right-reading-only", test_fixtures);
  g_test_add_data_func ("/proof/zip/stored-members", GUINT_TO_POINTER (0), test_members);
  g_test_add_data_func ("/proof/zip/deflated-members", GUINT_TO_POINTER (8), test_members);
  g_test_add_func ("/proof/zip/records-at-the-border", test_records);
  g_test_add_func ("/proof/zip/bounded", test_bounded);
  g_test_add_func ("/proof/zip/large-member", test_large_member);
  g_test_add_func ("/proof/zip/bomb", test_bomb);
  g_test_add_func ("/proof/zip/noise", test_zip_noise);
  g_test_add_func ("/proof/cfb/structures-at-the-border", test_compound);
  g_test_add_func ("/proof/cfb/noise-proves-nothing", test_compound_of_noise);
  g_test_add_func ("/proof/unknown-content", test_unknown);
  g_test_add_func ("/proof/text-of-all-kinds", test_text_of_all_kinds);
  g_test_add_func ("/proof/noise-proves-nothing", test_noise_proves_nothing);
  g_test_add_func ("/proof/read-errors-come-through", test_read_errors);
  g_test_add_func ("/proof/magic", test_magic);
  return g_test_run ();
}
