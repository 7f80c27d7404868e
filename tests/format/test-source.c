/* SPDX-License-Identifier: Apache-2.0 */
/* Promises of sources, budgets and the body reader. */
#include <glib/gstdio.h>

#include "crypto/secret.h"
#include "format/body.h"
#include "support.h"

static const guint8 key[32] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 99 };

/* --- Descriptors ------------------------------------------------------ */

static int
temporary_file (const char *text, char **path)
{
  int fd = g_file_open_tmp ("tpd-source-XXXXXX", path, NULL);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, text, strlen (text)), ==, strlen (text));
  return fd;
}

static void
test_fd_reads (void)
{
  g_autofree char *path = NULL;
  int fd = temporary_file ("0123456789", &path);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) source = tpd_source_new_fd (fd, &error);
  char buf[16] = "";

  g_assert_no_error (error);
  g_assert_cmpuint (source->size, ==, 10);
  g_assert_cmpint (tpd_source_pread (source, buf, 4, 3, &error), ==, 4);
  g_assert_cmpmem (buf, 4, "3456", 4);
  g_assert_cmpint (tpd_source_pread (source, buf, sizeof buf, 8, &error), ==, 2);
  g_assert_cmpint (tpd_source_pread (source, buf, sizeof buf, 10, &error), ==, 0);
  g_assert_cmpint (tpd_source_pread (source, buf, sizeof buf, G_MAXUINT64, &error), ==, 0);
  g_assert_cmpint (tpd_source_pread (source, buf, sizeof buf, G_MAXINT64, &error), ==, 0);
  g_assert_no_error (error);
  g_assert_true (tpd_source_read_exact (source, buf, 10, 0, &error));
  g_assert_false (tpd_source_read_exact (source, buf, 11, 0, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
  g_unlink (path);
}

static void
test_fd_growth_is_seen (void)
{
  g_autofree char *path = NULL;
  int fd = temporary_file ("abc", &path);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) source = tpd_source_new_fd (fd, &error);
  TpdStamp before, after;
  char buf[8];

  g_assert_true (tpd_source_stamp (source, &before, &error));
  g_assert_cmpuint (before.size, ==, 3);
  g_assert_true (tpd_stamp_equal (&before, &before));
  g_assert_cmpint (pwrite (fd, "def", 3, 3), ==, 3);
  g_assert_cmpint (tpd_source_pread (source, buf, sizeof buf, 0, &error), ==, 6);
  g_assert_true (tpd_source_stamp (source, &after, &error));
  g_assert_false (tpd_stamp_same_content (&before, &after));
  g_assert_no_error (error);
  g_unlink (path);
}

static void
test_stamp_mode_is_no_content (void)
{
  TpdStamp a = { .dev = 1, .ino = 2, .size = 3, .mtime_ns = 4, .ctime_ns = 5, .mode = 0100644 };
  TpdStamp b = a;

  b.mode = 0100600;
  g_assert_true (tpd_stamp_same_content (&a, &b));
  g_assert_false (tpd_stamp_equal (&a, &b));
}

static void
test_stamp_hostile_times (void)
{
  struct stat st = { 0 };
  TpdStamp stamp;

  /* No overflow; the sanitizer build watches. */
  st.st_mtim.tv_sec = G_MAXINT64;
  st.st_ctim.tv_sec = G_MININT64;
  tpd_stamp_from_stat (&stamp, &st);
  g_assert_cmpint (stamp.mtime_ns, !=, stamp.ctime_ns + 1);
}

static void
test_fd_refuses_others (void)
{
  g_autoptr (GError) error = NULL;
  int fds[2];

  g_assert_null (tpd_source_new_fd (open ("/", O_RDONLY | O_CLOEXEC), &error));
  g_assert_cmpint (tpd_error_get_errno (error), ==, EISDIR);
  g_clear_error (&error);
  g_assert_cmpint (pipe (fds), ==, 0);
  g_assert_null (tpd_source_new_fd (fds[0], &error));
  g_assert_cmpint (tpd_error_get_errno (error), ==, EINVAL);
  /* It was closed all the same. */
  g_assert_cmpint (fcntl (fds[0], F_GETFD), ==, -1);
  close (fds[1]);
}

static void
test_fd_closed_with_last_reference (void)
{
  g_autofree char *path = NULL;
  int fd = temporary_file ("x", &path);
  TpdSource *source = tpd_source_new_fd (fd, NULL);
  TpdSource *range = tpd_source_new_range (source, 0, 1);

  tpd_source_unref (source);
  g_assert_cmpint (fcntl (fd, F_GETFD), !=, -1);
  tpd_source_unref (range);
  g_assert_cmpint (fcntl (fd, F_GETFD), ==, -1);
  g_unlink (path);
}

/* --- Memory and parts ------------------------------------------------- */

static void
test_range_is_bounded (void)
{
  g_autoptr (TpdSource) source = source_from ("0123456789", 10);
  g_autoptr (TpdSource) range = tpd_source_new_range (source, 2, 5);
  g_autoptr (TpdSource) inner = tpd_source_new_range (range, 3, 2);
  g_autoptr (TpdSource) nothing = tpd_source_new_range (source, 10, 0);
  TpdStamp stamp;
  char buf[16];

  g_assert_cmpint (tpd_source_pread (range, buf, sizeof buf, 0, NULL), ==, 5);
  g_assert_cmpmem (buf, 5, "23456", 5);
  g_assert_cmpint (tpd_source_pread (range, buf, sizeof buf, 4, NULL), ==, 1);
  g_assert_cmpint (tpd_source_pread (range, buf, sizeof buf, 5, NULL), ==, 0);
  g_assert_cmpint (tpd_source_pread (range, buf, sizeof buf, G_MAXUINT64, NULL), ==, 0);
  g_assert_cmpint (tpd_source_pread (inner, buf, sizeof buf, 0, NULL), ==, 2);
  g_assert_cmpmem (buf, 2, "56", 2);
  g_assert_cmpint (tpd_source_pread (nothing, buf, sizeof buf, 0, NULL), ==, 0);
  g_assert_true (tpd_source_stamp (range, &stamp, NULL));
  g_assert_cmpuint (stamp.ino, ==, 0);
}

static void
test_read_bytes_checks_before_allocating (void)
{
  g_autoptr (TpdSource) source = source_from ("0123456789", 10);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = tpd_source_read_bytes (source, 4, 6, &error);

  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), "456789", 6);
  g_assert_null (tpd_source_read_bytes (source, 4, G_MAXSIZE, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
  g_clear_error (&error);
  g_assert_null (tpd_source_read_bytes (source, 11, 0, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
}

/* --- Budget ----------------------------------------------------------- */

static void
test_budget_ends_reads (void)
{
  g_autoptr (TpdSource) source = source_from ("0123456789", 10);
  g_autoptr (GError) error = NULL;
  TpdBudget budget;
  g_autoptr (TpdSource) budgeted = NULL;
  char c;

  tpd_budget_init_probe (&budget);
  g_assert_cmpuint (budget.max_reads, ==, TPD_PROBE_MAX_READS);
  g_assert_cmpuint (budget.max_bytes, ==, TPD_PROBE_MAX_BYTES);
  budgeted = tpd_source_new_budgeted (source, &budget);
  for (int i = 0; i < TPD_PROBE_MAX_READS; i++)
    g_assert_cmpint (tpd_source_pread (budgeted, &c, 1, 0, &error), ==, 1);
  g_assert_cmpint (tpd_source_pread (budgeted, &c, 1, 0, &error), ==, -1);
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
}

static void
test_budget_cancel (void)
{
  g_autoptr (TpdSource) source = source_from ("0123456789", 10);
  g_autoptr (GError) error = NULL;
  TpdBudget budget = { 0 };
  g_autoptr (TpdSource) budgeted = tpd_source_new_budgeted (source, &budget);
  g_autoptr (TpdSource) same = tpd_source_new_budgeted (source, NULL);
  char c;

  for (int i = 0; i < 1000; i++)
    g_assert_cmpint (tpd_source_pread (budgeted, &c, 1, 0, &error), ==, 1);
  g_assert_cmpuint (budget.used_reads, ==, 1000);
  g_atomic_int_set (&budget.cancelled, 1);
  g_assert_cmpint (tpd_source_pread (budgeted, &c, 1, 0, &error), ==, -1);
  g_assert_error (error, TPD_ERROR, TPD_ERROR_CANCELLED);
  g_assert_true (same == source);
}

/* --- The body reader -------------------------------------------------- */

typedef struct {
  const char *name;
  TpdCipherMode mode;
  TpdIvRule rule;
} BodyCase;

static const BodyCase body_cases[] = {
  { "ecb", TPD_CIPHER_ECB, TPD_IV_INDEX },
  { "cbc4k", TPD_CIPHER_CBC4K, TPD_IV_INDEX },
  { "cbc4k-nopad-index", TPD_CIPHER_CBC4K_NOPAD, TPD_IV_INDEX },
  { "cbc4k-nopad-offset", TPD_CIPHER_CBC4K_NOPAD, TPD_IV_OFFSET },
  { "cbc512", TPD_CIPHER_CBC512, TPD_IV_OFFSET },
};

static TpdDocument *
body_document (const BodyCase *c, const guint8 *plain, gsize len)
{
  g_autoptr (GBytes) bytes = encrypt_body (key, sizeof key, c->mode, c->rule, FALSE, plain, len);
  g_autoptr (TpdSource) body = tpd_source_new_bytes (bytes);
  g_autoptr (TpdContentCipher) cipher = tpd_content_cipher_new (key, sizeof key, c->mode, c->rule, NULL);

  return tpd_body_document_new (TPD_KIND_PFILE, body, cipher, len);
}

static void
check_read (TpdDocument *document, const guint8 *plain, gsize size, gsize len, guint64 off)
{
  g_autofree guint8 *buf = g_malloc (len + 2);
  g_autoptr (GError) error = NULL;
  gsize expected = off >= size ? 0 : MIN (len, size - off);

  buf[0] = buf[len + 1] = 0x5a;
  g_assert_cmpint (tpd_document_pread (document, buf + 1, len, off, &error), ==, (gssize) expected);
  g_assert_no_error (error);
  g_assert_cmpmem (buf + 1, expected, plain + MIN (off, size), expected);
  /* Nothing beside the buffer was touched. */
  g_assert_cmpint (buf[0], ==, 0x5a);
  g_assert_cmpint (buf[len + 1], ==, 0x5a);
}

static void
test_body_random_access (gconstpointer data)
{
  static const gsize sizes[] = { 0, 1, 15, 16, 17, 511, 512, 4095, 4096, 4097, 8192, 20011 };
  const BodyCase *c = data;
  g_autoptr (GRand) random = g_rand_new_with_seed (7);
  g_autofree guint8 *plain = make_noise (20011, 3);

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      gsize size = sizes[i];
      g_autoptr (TpdDocument) document = body_document (c, plain, size);

      check_read (document, plain, size, size, 0);
      check_read (document, plain, size, size + 100, 0);
      check_read (document, plain, size, 1, size);
      check_read (document, plain, size, 10, G_MAXUINT64);
      for (int round = 0; round < 300; round++)
        {
          guint64 off = (guint64) g_rand_int_range (random, 0, (gint32) size + 40);
          gsize len = (gsize) g_rand_int_range (random, 0, round % 2 ? 200 : (gint32) size + 40);

          check_read (document, plain, size, len, off);
        }
    }
}

static void
test_body_reads_only_what_it_needs (void)
{
  g_autofree guint8 *plain = make_noise (65536, 5);
  g_autoptr (GBytes) bytes = encrypt_body (key, 32, TPD_CIPHER_CBC4K, TPD_IV_INDEX, FALSE, plain, 65536);
  g_autoptr (TpdSource) memory = tpd_source_new_bytes (bytes);
  FaultSource *counted = fault_source_new (memory, FAULT_NONE, 0);
  g_autoptr (TpdSource) body = &counted->base;
  g_autoptr (TpdContentCipher) cipher = tpd_content_cipher_new (key, 32, TPD_CIPHER_CBC4K, TPD_IV_INDEX, NULL);
  g_autofree guint8 *buf = g_malloc (65536);

  /* Whole segments: one read, however many. */
  g_assert_true (tpd_body_read (body, cipher, buf, 32768, 8192, NULL));
  g_assert_cmpint (counted->reads, ==, 1);
  g_assert_cmpuint (counted->longest, ==, 32768);
  /* A few bytes: one read of part of one segment. */
  counted->reads = 0;
  counted->longest = 0;
  g_assert_true (tpd_body_read (body, cipher, buf, 10, 4096 + 100, NULL));
  g_assert_cmpint (counted->reads, ==, 1);
  g_assert_cmpuint (counted->longest, ==, 112);
  /* Ragged at both ends: three. */
  counted->reads = 0;
  g_assert_true (tpd_body_read (body, cipher, buf, 20000, 100, NULL));
  g_assert_cmpint (counted->reads, ==, 3);
}

static gboolean
is_zero (const guint8 *data, gsize len)
{
  for (gsize i = 0; i < len; i++)
    if (data[i] != 0)
      return FALSE;
  return TRUE;
}

static void
test_body_failure_leaves_no_plaintext (gconstpointer data)
{
  const BodyCase *c = data;
  g_autofree guint8 *plain = make_text (20011);
  g_autoptr (GBytes) bytes = encrypt_body (key, 32, c->mode, c->rule, FALSE, plain, 20011);
  g_autoptr (TpdSource) memory = tpd_source_new_bytes (bytes);
  g_autoptr (TpdContentCipher) cipher = tpd_content_cipher_new (key, 32, c->mode, c->rule, NULL);
  guint8 buf[15000];

  for (int fault = FAULT_EIO; fault <= FAULT_SHORT; fault++)
    for (int at = 0; at < 3; at++)
      {
        FaultSource *failing = fault_source_new (memory, fault, at);
        g_autoptr (TpdSource) body = &failing->base;
        g_autoptr (TpdDocument) document = tpd_body_document_new (TPD_KIND_PFILE, body, cipher, 20011);
        g_autoptr (GError) error = NULL;

        memset (buf, 0x77, sizeof buf);
        g_assert_cmpint (tpd_document_pread (document, buf, sizeof buf, 101, &error), ==, -1);
        g_assert_true (is_zero (buf, sizeof buf));
        if (fault == FAULT_EIO)
          g_assert_cmpint (tpd_error_get_errno (error), ==, EIO);
        else
          g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
      }
}

static void
test_body_bounds (void)
{
  g_autofree guint8 *plain = make_text (100);
  g_autoptr (GBytes) bytes = encrypt_body (key, 32, TPD_CIPHER_ECB, TPD_IV_INDEX, FALSE, plain, 100);
  g_autoptr (TpdSource) body = tpd_source_new_bytes (bytes);
  g_autoptr (TpdContentCipher) cipher = tpd_content_cipher_new (key, 32, TPD_CIPHER_ECB, TPD_IV_INDEX, NULL);
  g_autoptr (GError) error = NULL;
  guint8 buf[64];

  g_assert_true (tpd_body_read (body, cipher, buf, 0, G_MAXUINT64, &error));
  g_assert_false (tpd_body_read (body, cipher, buf, 64, 60, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
  g_clear_error (&error);
  g_assert_false (tpd_body_read (body, cipher, buf, 64, G_MAXUINT64 - 10, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
}

/* A document is a source: an encrypted body inside an encrypted body. */
static void
test_document_as_source (void)
{
  static const guint8 other_key[16] = { 42 };
  g_autofree guint8 *plain = make_noise (9000, 9);
  g_autoptr (GBytes) inner = encrypt_body (other_key, 16, TPD_CIPHER_ECB, TPD_IV_INDEX, FALSE, plain, 9000);
  g_autoptr (TpdDocument) outer =
      body_document (&body_cases[1], g_bytes_get_data (inner, NULL), g_bytes_get_size (inner));
  g_autoptr (TpdSource) source = tpd_source_new_document (outer);
  g_autoptr (TpdContentCipher) cipher = tpd_content_cipher_new (other_key, 16, TPD_CIPHER_ECB, TPD_IV_INDEX, NULL);
  g_autoptr (TpdDocument) document = tpd_body_document_new (TPD_KIND_PFILE, source, cipher, 9000);

  g_assert_cmpuint (source->size, ==, 9008);
  g_assert_cmpstr (document->cipher, ==, "aes-128-ecb");
  g_assert_cmpstr (outer->cipher, ==, "aes-256-cbc4k");
  check_read (document, plain, 9000, 9000, 0);
  check_read (document, plain, 9000, 5000, 3333);
}

static gpointer
read_in_thread (gpointer data)
{
  gpointer *args = data;
  TpdDocument *document = args[0];
  const guint8 *plain = args[1];

  for (int round = 0; round < 200; round++)
    check_read (document, plain, 50000, 9000, (guint64) round * 211);
  return NULL;
}

static void
test_body_threads (void)
{
  g_autofree guint8 *plain = make_noise (50000, 11);
  g_autoptr (TpdDocument) document = body_document (&body_cases[1], plain, 50000);
  gpointer args[] = { document, plain };
  GThread *threads[8];

  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("reader", read_in_thread, args);
  for (gsize i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  tpd_secret_init (65536);
  g_test_add_func ("/source/fd/reads-and-ends", test_fd_reads);
  g_test_add_func ("/source/fd/growth-is-seen", test_fd_growth_is_seen);
  g_test_add_func ("/source/fd/refuses-what-is-no-file", test_fd_refuses_others);
  g_test_add_func ("/source/fd/closed-with-last-reference", test_fd_closed_with_last_reference);
  g_test_add_func ("/source/stamp/mode-is-no-content", test_stamp_mode_is_no_content);
  g_test_add_func ("/source/stamp/hostile-times", test_stamp_hostile_times);
  g_test_add_func ("/source/range/bounded", test_range_is_bounded);
  g_test_add_func ("/source/read-bytes/checks-before-allocating", test_read_bytes_checks_before_allocating);
  g_test_add_func ("/source/budget/ends-reads", test_budget_ends_reads);
  g_test_add_func ("/source/budget/cancel", test_budget_cancel);
  for (gsize i = 0; i < G_N_ELEMENTS (body_cases); i++)
    {
      g_autofree char *access = g_strconcat ("/body/random-access/", body_cases[i].name, NULL);
      g_autofree char *failure = g_strconcat ("/body/failure-leaves-no-plaintext/", body_cases[i].name, NULL);

      g_test_add_data_func (access, &body_cases[i], test_body_random_access);
      g_test_add_data_func (failure, &body_cases[i], test_body_failure_leaves_no_plaintext);
    }
  g_test_add_func ("/body/reads-only-what-it-needs", test_body_reads_only_what_it_needs);
  g_test_add_func ("/body/bounds", test_body_bounds);
  g_test_add_func ("/body/threads", test_body_threads);
  g_test_add_func ("/source/document/nested", test_document_as_source);
  return g_test_run ();
}
