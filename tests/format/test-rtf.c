/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed RTF: the examples of [MS-OXRTFCP], and what is not to be trusted. */
#include <glib.h>
#include <string.h>

#include "base/error.h"
#include "format/mail.h"
#include "format/rtf.h"

#define LIMIT (1024 * 1024)

/* [MS-OXRTFCP] 4.1.1, "Simple compressed RTF" */
static const guint8 simple[] = {
  0x2d, 0x00, 0x00, 0x00, 0x2b, 0x00, 0x00, 0x00, 0x4c, 0x5a, 0x46, 0x75, 0xf1, 0xc5, 0xc7, 0xa7, 0x03,
  0x00, 0x0a, 0x00, 0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0a, 0xf3, 0x20, 0x68, 0x65,
  0x6c, 0x09, 0x00, 0x20, 0x62, 0x77, 0x05, 0xb0, 0x6c, 0x64, 0x7d, 0x0a, 0x80, 0x0f, 0xa0,
};
static const char simple_text[] = "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n";

/* [MS-OXRTFCP] 4.1.2, "Reading a token from the dictionary that crosses WritePosition" */
static const guint8 crossing[] = {
  0x1a, 0x00, 0x00, 0x00, 0x1c, 0x00, 0x00, 0x00, 0x4c, 0x5a, 0x46, 0x75, 0xe2, 0xd4, 0x4b,
  0x51, 0x41, 0x00, 0x04, 0x20, 0x57, 0x58, 0x59, 0x5a, 0x0d, 0x6e, 0x7d, 0x01, 0x0e, 0xb0,
};
static const char crossing_text[] = "{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}";

static void
assert_gives (const void *data, gsize len, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) rtf = tpd_rtf_decompress (data, len, LIMIT, &error);

  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (rtf, NULL), g_bytes_get_size (rtf), text, strlen (text));
}

static void
assert_fails (const void *data, gsize len, gsize max, int code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) rtf = tpd_rtf_decompress (data, len, max, &error);

  g_assert_error (error, TPD_ERROR, code);
  g_assert_null (rtf);
}

static void
test_published (void)
{
  assert_gives (simple, sizeof simple, simple_text);
  assert_gives (crossing, sizeof crossing, crossing_text);
  /* [MS-OXRTFCP] 4.3: the CRC of the first example. */
  g_assert_cmphex (tpd_rtf_crc (simple + 16, sizeof simple - 16), ==, 0xa7c7c5f1);
}

static void
test_plain (void)
{
  assert_gives ("{\\rtf1 x}", 9, "{\\rtf1 x}");
}

static void
test_stored (void)
{
  static const guint8 expected[] = {
    0x15, 0, 0, 0, 9, 0, 0, 0, 'M', 'E', 'L', 'A', 0, 0, 0, 0, '{', '\\', 'r', 't', 'f', '1', ' ', 'x', '}',
  };
  g_autoptr (GBytes) stored = tpd_rtf_store ((const guint8 *) "{\\rtf1 x}", 9);
  g_autoptr (GBytes) empty = tpd_rtf_store (NULL, 0);

  g_assert_cmpmem (g_bytes_get_data (stored, NULL), g_bytes_get_size (stored), expected, sizeof expected);
  assert_gives (expected, sizeof expected, "{\\rtf1 x}");
  g_assert_cmpuint (g_bytes_get_size (empty), ==, 16);
  assert_gives (g_bytes_get_data (empty, NULL), 16, "");
}

/* Bytes behind the compressed ones are padding of whoever stored it. */
static void
test_padding (void)
{
  guint8 data[sizeof simple + 3] = { 0 };

  memcpy (data, simple, sizeof simple);
  assert_gives (data, sizeof data, simple_text);
}

static void
test_truncated (void)
{
  for (gsize len = 0; len < sizeof simple; len++)
    assert_fails (simple, len, LIMIT, TPD_ERROR_DAMAGED);
}

/* The checksum finds every changed bit of what it covers. */
static void
test_changed (void)
{
  for (gsize bit = 16 * 8; bit < sizeof simple * 8; bit++)
    {
      guint8 data[sizeof simple];

      memcpy (data, simple, sizeof data);
      data[bit / 8] ^= (guint8) (1u << bit % 8);
      assert_fails (data, sizeof data, LIMIT, TPD_ERROR_DAMAGED);
    }
}

static void
test_wrong_sizes (void)
{
  guint8 data[sizeof simple];

  memcpy (data, simple, sizeof data);
  data[4] = 0x2a;
  assert_fails (data, sizeof data, LIMIT, TPD_ERROR_DAMAGED);
  data[4] = 0x2c;
  assert_fails (data, sizeof data, LIMIT, TPD_ERROR_DAMAGED);
  /* No such size can come out of so few bytes: nothing is allocated for it. */
  memcpy (data + 4, "\xff\xff\xff\x7f", 4);
  assert_fails (data, sizeof data, G_MAXSIZE, TPD_ERROR_DAMAGED);
  assert_fails (data, sizeof data, LIMIT, TPD_ERROR_TOO_LARGE);
  memcpy (data, "\xff\xff\xff\xff", 4);
  assert_fails (data, sizeof data, G_MAXSIZE, TPD_ERROR_DAMAGED);
  memcpy (data, "\x0b\0\0\0", 4);
  assert_fails (data, sizeof data, G_MAXSIZE, TPD_ERROR_DAMAGED);
}

static void
test_limit (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) rtf = tpd_rtf_decompress (simple, sizeof simple, strlen (simple_text), &error);

  g_assert_no_error (error);
  assert_fails (simple, sizeof simple, strlen (simple_text) - 1, TPD_ERROR_TOO_LARGE);
  assert_fails ("{\\rtf1 x}", 9, 8, TPD_ERROR_TOO_LARGE);
}

static void
test_not_rtf (void)
{
  assert_fails ("<html><body>x</body></html>", 27, LIMIT, TPD_ERROR_DAMAGED);
  assert_fails ("", 0, LIMIT, TPD_ERROR_DAMAGED);
}

/* Any bytes, with a checksum that holds, give an answer and no crash. */
static void
test_noise (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (20240501);

  for (guint round = 0; round < 20000; round++)
    {
      guint8 data[16 + 64];
      gsize len = (gsize) g_rand_int_range (random, 0, 65);
      guint32 crc, size = (guint32) len + 12, raw = (guint32) g_rand_int_range (random, 0, 600);
      g_autoptr (GBytes) rtf = NULL;

      for (gsize i = 0; i < len; i++)
        data[16 + i] = (guint8) g_rand_int_range (random, 0, 256);
      crc = tpd_rtf_crc (data + 16, len);
      for (guint i = 0; i < 4; i++)
        {
          data[i] = (guint8) (size >> 8 * i);
          data[4 + i] = (guint8) (raw >> 8 * i);
          data[12 + i] = (guint8) (crc >> 8 * i);
        }
      memcpy (data + 8, "LZFu", 4);
      rtf = tpd_rtf_decompress (data, 16 + len, LIMIT, NULL);
      g_assert_true (rtf == NULL || g_bytes_get_size (rtf) == raw);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/rtf/published-examples", test_published);
  g_test_add_func ("/rtf/plain-is-kept", test_plain);
  g_test_add_func ("/rtf/stored-form", test_stored);
  g_test_add_func ("/rtf/padding-ignored", test_padding);
  g_test_add_func ("/rtf/truncated-damaged", test_truncated);
  g_test_add_func ("/rtf/changed-bit-damaged", test_changed);
  g_test_add_func ("/rtf/wrong-sizes", test_wrong_sizes);
  g_test_add_func ("/rtf/limit", test_limit);
  g_test_add_func ("/rtf/not-rtf", test_not_rtf);
  g_test_add_func ("/rtf/noise", test_noise);
  return g_test_run ();
}
