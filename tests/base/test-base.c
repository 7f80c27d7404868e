/* SPDX-License-Identifier: Apache-2.0 */
/* Promises of base/: bounded reads, strict base64, GUIDs, display text,
 * verdict words and errnos. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/text.h"
#include "base/verdict.h"

#define WAIT_SIZE (64 * 1024)

static void
test_bytes_never_leave_the_view (void)
{
  static const guint8 data[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
  TpdBytes b = tpd_bytes (data, sizeof data), part;
  guint8 u8;
  guint16 u16;
  guint32 u32;
  guint64 u64;
  const guint8 *p;

  g_assert_true (tpd_bytes_take_u8 (&b, &u8) && u8 == 1);
  g_assert_true (tpd_bytes_take_u16le (&b, &u16) && u16 == 0x0302);
  g_assert_true (tpd_bytes_take_u32be (&b, &u32) && u32 == 0x04050607);
  g_assert_false (tpd_bytes_take_u32le (&b, &u32));
  g_assert_false (tpd_bytes_take_u64le (&b, &u64));
  g_assert_false (tpd_bytes_take (&b, 3, &p));
  g_assert_false (tpd_bytes_skip (&b, G_MAXUINT64));
  g_assert_cmpuint (b.pos, ==, 7);
  g_assert_true (tpd_bytes_take (&b, 2, &p) && p[1] == 9);
  g_assert_false (tpd_bytes_take_u8 (&b, &u8));
  g_assert_true (tpd_bytes_seek (&b, 1) && tpd_bytes_take_u64le (&b, &u64));
  g_assert_cmphex (u64, ==, 0x0908070605040302);
  g_assert_false (tpd_bytes_seek (&b, 10));
  g_assert_true (tpd_bytes_slice (&b, 9, 0, &part) && part.len == 0);
  g_assert_false (tpd_bytes_slice (&b, 8, 2, &part));
  g_assert_false (tpd_bytes_slice (&b, G_MAXUINT64, 1, &part));
  g_assert_false (tpd_bytes_slice (&b, 1, G_MAXUINT64, &part));
}

typedef struct {
  const char *text, *plain;
} Encoded;

typedef guint8 *(*Decode) (const char *text, gsize text_len, gsize max, gsize *out_len);

static void
check_base64 (Decode decode, const Encoded *good, gsize n_good, const char *const *bad, gsize n_bad)
{
  gsize len;

  for (gsize i = 0; i < n_good; i++)
    {
      g_autofree guint8 *out = decode (good[i].text, strlen (good[i].text), 100, &len);
      g_assert_nonnull (out);
      g_assert_cmpmem (out, len, good[i].plain, strlen (good[i].plain));
    }
  for (gsize i = 0; i < n_bad; i++)
    {
      g_test_message ("%s", bad[i]);
      g_assert_null (decode (bad[i], strlen (bad[i]), 100, &len));
    }
}

static void
test_base64_is_strict (void)
{
  static const Encoded good[] = {
    /* RFC 4648 section 10 */
    { "", "" },
    { "Zg==", "f" },
    { "Zm8=", "fo" },
    { "Zm9v", "foo" },
    { "Zm9vYg==", "foob" },
    { "Zm9vYmE=", "fooba" },
    { "Zm9vYmFy", "foobar" },
    { " Zm\r\n9v\tYm Fy\n", "foobar" },
  };
  static const char *const bad[] = { "Z",    "Zg",   "Zg=",  "Zg===", "Zm9v=", "Zg==Zg==",
                                     "Zm9*", "Zh==", "Zm9=", "====",  "Zm-_" };
  gsize len;

  check_base64 (tpd_base64_decode, good, G_N_ELEMENTS (good), bad, G_N_ELEMENTS (bad));
  g_assert_null (tpd_base64_decode ("Zm9vYmFy", 8, 5, &len));
  g_autofree guint8 *exact = tpd_base64_decode ("Zm9vYmFy", 8, 6, &len);
  g_assert_nonnull (exact);
}

static void
test_base64_without_padding (void)
{
  static const Encoded good[] = { { "", "" },        { "Zg", "f" },        { "Zm8", "fo" },
                                  { "Zm9v", "foo" }, { " Z\r\ng\n", "f" }, { "Zg==", "f" },
                                  { "Zm8=", "fo" },  { "Zm9vYg", "foob" }, { "Zm9vYmE", "fooba" } };
  static const char *const bad[] = {
    "Z", "Zg=", "Zm9vY", "Zh", "Zm9", "Zg===", "Zm9v=", "ZgZg==Zg", "Zm-_", "Zm8*", "="
  };
  gsize len;

  check_base64 (tpd_base64_decode_bare, good, G_N_ELEMENTS (good), bad, G_N_ELEMENTS (bad));
  g_assert_null (tpd_base64_decode_bare ("Zm9vYg", 6, 3, &len));
}

/* What mail holds: between, before and behind the digits stands anything, and
 * `=` need not be the end. */
static void
test_base64_of_mail (void)
{
  static const struct {
    const char *text, *plain;
  } texts[] = {
    /* RFC 4648 section 10 */
    { "", "" },
    { "Zg==", "f" },
    { "Zm8=", "fo" },
    { "Zm9v", "foo" },
    { "Zm9vYg==", "foob" },
    { "Zm9vYmE=", "fooba" },
    { "Zm9vYmFy", "foobar" },
    /* RFC 2045 section 6.8: what is not of the alphabet is ignored */
    { " Zm\r\n9v\tYm Fy\n", "foobar" },
    { "*Zm9v-_Ym\xff"
      "Fy!",
      "foobar" },
    { "Z", "" },
    { "Zm9vYm", "foo" },
    { "Zm9vYmF", "foo" },
    { "Zg==Zm8=\r\nZm9v", "ffofoo" },
    { "Zh==", "f" },
    { "Zm9vZg=\r\n=Zm9v", "fooffoo" },
    { "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9v\r\nYmFyZm9v\r\n",
      "foobarfoobarfoobarfoobarfoobarfoobarfoobarfoobarfoobarfoobarfoo" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    for (gsize step = 1; step <= strlen (texts[i].text) + 1; step++)
      {
        const char *text = texts[i].text;
        const gsize len = strlen (text);
        TpdBase64 state = { 0 };
        guint8 out[120];
        gsize n = 0;

        for (gsize at = 0; at < len; at += step)
          n += tpd_base64_step (&state, text + at, MIN (step, len - at), out + n);
        g_assert_cmpmem (out, n, texts[i].plain, strlen (texts[i].plain));
      }
}

/* Every byte, at every place of what is decoded many digits at a time: against
 * another decoder. */
static void
test_base64_of_all_bytes (void)
{
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char text[112];

  for (guint byte = 0; byte < 256; byte++)
    for (gsize at = 0; at < 50; at++)
      {
        TpdBase64 state = { 0 };
        int other = 0;
        guint save = 0;
        guint8 expected[84], out[84];
        gsize n, len;
        g_autofree guint8 *strict = NULL;

        for (gsize i = 0; i < sizeof text; i++)
          text[i] = digits[(i * 37 + at) % 64];
        text[at] = (char) byte;
        n = g_base64_decode_step (text, sizeof text, expected, &other, &save);
        g_assert_cmpmem (out, tpd_base64_step (&state, text, sizeof text, out), expected, n);
        strict = tpd_base64_decode (text, sizeof text, sizeof expected, &len);
        g_assert_true ((strict != NULL) == (byte != 0 && strchr (digits, (int) byte) != NULL));
        if (strict != NULL)
          g_assert_cmpmem (strict, len, expected, n);
      }
}

static void
test_guid_forms (void)
{
  char guid[TPD_GUID_SIZE];

  g_assert_true (tpd_guid_parse (" {04F83314-0EFD-4D98-B609-17C4B389B980}\n", guid));
  g_assert_cmpstr (guid, ==, "04f83314-0efd-4d98-b609-17c4b389b980");
  g_assert_true (tpd_guid_parse ("04f83314-0efd-4d98-b609-17c4b389b980", guid));
  g_assert_false (tpd_guid_parse (NULL, guid));
  g_assert_false (tpd_guid_parse ("", guid));
  g_assert_false (tpd_guid_parse ("{04f83314-0efd-4d98-b609-17c4b389b980", guid));
  g_assert_false (tpd_guid_parse ("04f83314-0efd-4d98-b609-17c4b389b980}", guid));
  g_assert_false (tpd_guid_parse ("04f83314-0efd-4d98-b609-17c4b389b98g", guid));
  g_assert_false (tpd_guid_parse ("04f8331400efd-4d98-b609-17c4b389b980", guid));
}

static void
test_display_cannot_forge_a_line (void)
{
  static const struct {
    const char *raw, *shown;
  } cases[] = {
    { "Verträge/見積書", "Verträge/見積書" }, { "a\nb\033[2J", "a\\x0ab\\x1b[2J" },   { "x\xff\xc3", "x\\xff\\xc3" },
    { "exe\u202etxt", "exe\\u{202e}txt" },    { "\u2028\xc2\x85", "\\u{2028}\\x85" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *shown = tpd_display (cases[i].raw);
      g_assert_cmpstr (shown, ==, cases[i].shown);
    }
}

static void
test_verdicts_are_the_published_words (void)
{
  static const struct {
    TpdVerdict verdict;
    const char *word;
    int errnum;
  } cases[] = {
    { TPD_VERDICT_OK, "ok", 0 },
    { TPD_VERDICT_KEY_HELD, "key-held", 0 },
    { TPD_VERDICT_NOT_PROTECTED, "not-protected", 0 },
    { TPD_VERDICT_NO_KEY, "no-key", ENOKEY },
    { TPD_VERDICT_DOUBLE_KEY, "double-key", ENOKEY },
    { TPD_VERDICT_DENIED, "denied", EACCES },
    { TPD_VERDICT_DAMAGED, "damaged", EBADMSG },
    { TPD_VERDICT_TOO_LARGE, "too-large", EFBIG },
    { TPD_VERDICT_AMBIGUOUS, "ambiguous", EBADMSG },
    { TPD_VERDICT_UNSUPPORTED, "unsupported", EOPNOTSUPP },
    { TPD_VERDICT_OFFLINE, "offline", 0 },
    { TPD_VERDICT_IO_ERROR, "io-error", EIO },
  };
  g_autoptr (GError) error = NULL;

  g_assert_cmpuint (G_N_ELEMENTS (cases), ==, TPD_N_VERDICTS);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_assert_cmpstr (tpd_verdict_word (cases[i].verdict), ==, cases[i].word);
      g_assert_cmpint (tpd_verdict_errno (cases[i].verdict, 0), ==, cases[i].errnum);
    }
  tpd_error_set_errno (&error, ESTALE, "cannot read '%s'", "x");
  g_assert_cmpint (tpd_error_get_errno (error), ==, ESTALE);
  g_assert_cmpint (tpd_verdict_from_error (error), ==, TPD_VERDICT_IO_ERROR);
  g_assert_cmpint (tpd_verdict_errno (TPD_VERDICT_IO_ERROR, tpd_error_get_errno (error)), ==, ESTALE);
  g_assert_true (g_str_has_prefix (error->message, "cannot read 'x': "));
}

/* --- Whole reads and writes -------------------------------------------- */

static void
on_alarm (int signum)
{
}

#define MUCH (4 * 1024 * 1024)

/* Reads in small bites, now and then late. */
static gpointer
read_slowly (gpointer data)
{
  int fd = GPOINTER_TO_INT (data);
  GByteArray *got = g_byte_array_new ();
  guint8 bite[4099];
  gssize n;
  sigset_t alarm;

  sigemptyset (&alarm);
  sigaddset (&alarm, SIGALRM);
  pthread_sigmask (SIG_BLOCK, &alarm, NULL);
  while ((n = read (fd, bite, sizeof bite)) > 0)
    {
      g_byte_array_append (got, bite, (guint) n);
      if (got->len % 64 == 0)
        g_usleep (100);
    }
  return got;
}

static void
test_write_goes_on_after_signals (void)
{
  struct sigaction action = { .sa_handler = on_alarm }, old;
  const struct itimerval often = { { 0, 200 }, { 0, 200 } }, never = { { 0, 0 }, { 0, 0 } };
  g_autofree guint8 *data = g_malloc (MUCH);
  GByteArray *got;
  GThread *reader;
  int ends[2];

  for (gsize i = 0; i < MUCH; i++)
    data[i] = (guint8) (i * 7 + i / 251);
  g_assert_cmpint (pipe (ends), ==, 0);
  reader = g_thread_new ("reader", read_slowly, GINT_TO_POINTER (ends[0]));
  sigaction (SIGALRM, &action, &old);
  setitimer (ITIMER_REAL, &often, NULL);
  g_assert_true (tpd_write_all (ends[1], data, MUCH));
  setitimer (ITIMER_REAL, &never, NULL);
  sigaction (SIGALRM, &old, NULL);
  close (ends[1]);
  got = g_thread_join (reader);
  close (ends[0]);
  g_assert_cmpmem (got->data, got->len, data, MUCH);
  g_byte_array_unref (got);
}

static void
test_numbers_are_digits_only (void)
{
  static const char *const bad[] = {
    "", " 1", "1 ", "+1", "-1", "0x10", "1.", "a", "18446744073709551616", "99999999999999999999999"
  };
  guint64 number = 7;

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (tpd_number_parse (bad[i], 10, 0, G_MAXUINT64, &number));
  g_assert_false (tpd_number_parse ("2", 10, 3, 9, &number));
  g_assert_false (tpd_number_parse ("10", 10, 3, 9, &number));
  g_assert_false (tpd_number_parse ("8", 8, 0, 9, &number));
  g_assert_cmpuint (number, ==, 7);
  g_assert_true (tpd_number_parse ("18446744073709551615", 10, 0, G_MAXUINT64, &number));
  g_assert_cmpuint (number, ==, G_MAXUINT64);
  g_assert_true (tpd_number_parse ("0003", 10, 3, 3, &number) && number == 3);
  g_assert_true (tpd_number_parse ("fFfFfFfFfFfFfFfF", 16, 0, G_MAXUINT64, &number) && number == G_MAXUINT64);
  g_assert_true (tpd_number_parse ("0755", 8, 0, 0777, &number) && number == 0755);
  /* Whatever errno is. */
  errno = EAGAIN;
  g_assert_true (tpd_number_parse ("65537", 10, 3, G_MAXUINT32, &number) && number == 65537);
}

static void
count_call (gpointer data)
{
  ++*(int *) data;
}

/* Whatever the file system is, and whether it has let go of the pages or not. */
static void
check_wait (int fd, const char *expected)
{
  static char back[WAIT_SIZE];
  struct iovec all = { back, sizeof back };
  gssize at_hand = preadv2 (fd, &all, 1, 0, RWF_NOWAIT);
  const int expected_calls = at_hand != WAIT_SIZE && (at_hand >= 0 || errno != EOPNOTSUPP);
  int calls = 0;

  tpd_io_set_before_waiting (count_call, &calls);
  memset (back, 0, sizeof back);
  g_assert_cmpint (tpd_pread_upto (fd, back, sizeof back, 0, WAIT_SIZE), ==, WAIT_SIZE);
  g_assert_cmpint (calls, ==, expected_calls);
  g_assert_cmpmem (back, sizeof back, expected, sizeof back);
  /* Once is enough. */
  g_assert_cmpint (tpd_pread_upto (fd, back, sizeof back, 1, WAIT_SIZE), ==, WAIT_SIZE - 1);
  g_assert_cmpint (calls, ==, expected_calls);
  tpd_io_set_before_waiting (NULL, NULL);
}

static void
test_io_tells_before_it_waits (void)
{
  g_autofree char *name = g_strdup ("tpd-wait-XXXXXX"), *expected = g_malloc (WAIT_SIZE);
  int memory = memfd_create ("io", MFD_CLOEXEC), fd = g_mkstemp (name);

  for (gsize i = 0; i < WAIT_SIZE; i++)
    expected[i] = (char) (i * 7 + i / 4096);
  g_assert_cmpint (fd, >=, 0);
  unlink (name);
  g_assert_true (tpd_write_all (fd, expected, WAIT_SIZE) && tpd_write_all (memory, expected, WAIT_SIZE));
  check_wait (fd, expected);
  fdatasync (fd);
  posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED);
  check_wait (fd, expected);
  check_wait (fd, expected);
  check_wait (memory, expected);
  close (fd);
  close (memory);
}

static void
test_io_tells_why_it_ended (void)
{
  static const char text[] = "0123456789";
  char back[16];
  int full = open ("/dev/full", O_WRONLY), fd = memfd_create ("io", MFD_CLOEXEC);

  g_assert_cmpint (full, >=, 0);
  g_assert_false (tpd_write_all (full, text, 10));
  g_assert_cmpint (errno, ==, ENOSPC);
  close (full);
  g_assert_true (tpd_pwrite_all (fd, text, 10, 5));
  g_assert_true (tpd_pread_all (fd, back, 10, 5));
  g_assert_cmpmem (back, 10, text, 10);
  g_assert_true (tpd_pread_all (fd, back, 0, 100));
  /* Its end comes first. */
  g_assert_false (tpd_pread_all (fd, back, 11, 5));
  g_assert_cmpint (errno, ==, EIO);
  /* Who does not know how many there are gets what is there. */
  g_assert_cmpint (tpd_pread_upto (fd, back, 16, 5, G_MAXUINT64), ==, 10);
  g_assert_cmpmem (back, 10, text, 10);
  g_assert_cmpint (tpd_pread_upto (fd, back, 4, 8, 15), ==, 4);
  g_assert_cmpmem (back, 4, text + 3, 4);
  g_assert_cmpint (tpd_pread_upto (fd, back, 16, 15, 15), ==, 0);
  close (fd);
  g_assert_cmpint (tpd_pread_upto (-1, back, 1, 0, G_MAXUINT64), ==, -1);
  g_assert_cmpint (errno, ==, EBADF);
  g_assert_false (tpd_pwrite_all (-1, text, 10, 0));
  g_assert_cmpint (errno, ==, EBADF);
  g_assert_true (tpd_write_all (-1, NULL, 0));
}

/* Numbers of files come in rows and at strides; none of that may show. */
static void
test_hashes_of_rows_spread (void)
{
  enum { N = 4096, BUCKETS = 1024 };
  const guint64 strides[] = { 1, 2, 8, 256, 1024, 4096, 1 << 20, G_GUINT64_CONSTANT (1) << 32 };

  for (gsize i = 0; i < G_N_ELEMENTS (strides); i++)
    {
      guint low[BUCKETS] = { 0 }, high[BUCKETS] = { 0 }, most = 0;

      for (guint64 n = 1; n <= N; n++)
        {
          guint64 hash = tpd_hash_file (64768, n * strides[i]);
          guint more = MAX (++low[hash % BUCKETS], ++high[(hash >> 32) % BUCKETS]);

          most = MAX (most, more);
        }
      g_assert_cmpuint (most, <, 32); /* 4 if they were dealt out */
    }
  g_assert_cmpuint (tpd_hash_file (1, 2), !=, tpd_hash_file (2, 1));
}

/* Numbers in a row that differ in their last byte, or in length, only. */
static void
test_hashes_of_bytes_differ (void)
{
  guint8 data[32] = { 0 };
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  guint n = 0;

  for (gsize len = 0; len <= sizeof data; len++, n++)
    {
      guint64 hash = tpd_hash64 (data, len);

      g_hash_table_add (seen, g_memdup2 (&hash, sizeof hash));
    }
  for (guint last = 1; last < 256; last++, n++)
    {
      data[sizeof data - 1] = (guint8) last;
      guint64 hash = tpd_hash64 (data, sizeof data);

      g_hash_table_add (seen, g_memdup2 (&hash, sizeof hash));
    }
  g_assert_cmpuint (g_hash_table_size (seen), ==, n);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/base/bytes/never-leave-the-view", test_bytes_never_leave_the_view);
  g_test_add_func ("/base/io/writing-goes-on-after-signals", test_write_goes_on_after_signals);
  g_test_add_func ("/base/io/tells-before-it-waits", test_io_tells_before_it_waits);
  g_test_add_func ("/base/io/tells-why-it-ended", test_io_tells_why_it_ended);
  g_test_add_func ("/base/hash/rows-spread", test_hashes_of_rows_spread);
  g_test_add_func ("/base/hash/bytes-differ", test_hashes_of_bytes_differ);
  g_test_add_func ("/base/number/digits-only", test_numbers_are_digits_only);
  g_test_add_func ("/base/base64/is-strict", test_base64_is_strict);
  g_test_add_func ("/base/base64/without-padding", test_base64_without_padding);
  g_test_add_func ("/base/base64/of-mail", test_base64_of_mail);
  g_test_add_func ("/base/base64/of-all-bytes", test_base64_of_all_bytes);
  g_test_add_func ("/base/guid/forms", test_guid_forms);
  g_test_add_func ("/base/display/cannot-forge-a-line", test_display_cannot_forge_a_line);
  g_test_add_func ("/base/verdict/published-words", test_verdicts_are_the_published_words);
  return g_test_run ();
}
