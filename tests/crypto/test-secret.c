/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret memory. Each test runs in a child process, since the secure heap is
 * set up once in a process's life. munmap and mlock are replaced here, so that
 * memory is seen at the moment it is given back, and locking can be refused.
 */
#include "crypto/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/log.h"

#define HEAP (64 * 1024)

static gpointer watched;      /* look at this mapping when it is unmapped */
static guint watched_residue; /* bytes in it that were not wiped */
static guint watched_unmapped;
static gboolean refuse_lock;

int
munmap (void *address, size_t len)
{
  if (address == watched && address != NULL)
    {
      for (gsize i = 0; i < len; i++)
        watched_residue += ((const guint8 *) address)[i] != 0;
      watched_unmapped++;
      watched = NULL;
    }
  return (int) syscall (SYS_munmap, address, len);
}

int
mlock (const void *address, size_t len)
{
  if (refuse_lock)
    {
      errno = ENOMEM;
      return -1;
    }
  return (int) syscall (SYS_mlock, address, len);
}

static void
run_in_child (gconstpointer data)
{
  void (*test) (void) = (void (*) (void)) data;
  int status = -1;
  pid_t child = fork ();

  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      test ();
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

static guint
count_bytes (const guint8 *data, gsize len, guint8 byte)
{
  guint count = 0;

  for (gsize i = 0; i < len; i++)
    count += data[i] == byte;
  return count;
}

/* Whether the mapping of `address` has the flag (two letters of proc(5)). */
static gboolean
mapping_has (gpointer address, const char *flag)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  gboolean here = FALSE;

  g_assert_true (g_file_get_contents ("/proc/self/smaps", &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      guint64 start, end;

      if (sscanf (lines[i], "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x ", &start, &end) == 2)
        here = start <= (guintptr) address && (guintptr) address < end;
      else if (here && g_str_has_prefix (lines[i], "VmFlags:"))
        {
          g_autofree char *word = g_strdup_printf (" %s", flag);
          return strstr (lines[i], word) != NULL;
        }
    }
  g_assert_not_reached ();
}

static gboolean
locking_allowed (void)
{
  struct rlimit limit;

  return getrlimit (RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur >= 8 * HEAP;
}

static void
zero_filled (void)
{
  static const gsize sizes[] = { 1, 16, 33, 4096, 20000, 1024 * 1024 };

  for (guint pass = 0; pass < 2; pass++)
    {
      for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
        {
          guint8 *data = tpd_secret_alloc (sizes[i]);

          g_assert_nonnull (data);
          g_assert_cmpuint (count_bytes (data, sizes[i], 0), ==, sizes[i]);
          memset (data, 0x5a, sizes[i]);
          tpd_secret_free (data, sizes[i]);
        }
      tpd_secret_init (HEAP);
    }
  g_assert_null (tpd_secret_alloc (0));
  tpd_secret_free (NULL, 0);
  tpd_secret_free (NULL, 10);
}

static void
heap_then_pages (void)
{
  gpointer before = tpd_secret_alloc (100);
  GPtrArray *small = g_ptr_array_new ();
  gpointer large, openssl;
  guint in_heap = 0;

  g_assert_false (CRYPTO_secure_allocated (before));
  tpd_secret_init (HEAP);
  tpd_secret_init (HEAP);
  for (guint i = 0; i < 1000; i++)
    {
      gpointer data = tpd_secret_alloc (100);

      memset (data, (int) i, 100);
      in_heap += CRYPTO_secure_allocated (data) ? 1 : 0;
      g_ptr_array_add (small, data);
    }
  /* 128 bytes each, half of the heap left to OpenSSL. */
  g_assert_cmpuint (in_heap, ==, HEAP / 2 / 128);
  openssl = OPENSSL_secure_malloc (HEAP / 4);
  g_assert_nonnull (openssl);
  OPENSSL_secure_free (openssl);

  large = tpd_secret_alloc (16 * HEAP);
  memset (large, 0x5a, 16 * HEAP);
  g_assert_false (CRYPTO_secure_allocated (large));
  tpd_secret_free (large, 16 * HEAP);
  for (guint i = 0; i < small->len; i++)
    {
      g_assert_cmpuint (count_bytes (small->pdata[i], 100, (guint8) i), ==, 100);
      tpd_secret_free (small->pdata[i], 100);
    }
  g_assert_cmpuint (CRYPTO_secure_used (), ==, 0);
  tpd_secret_free (before, 100);
  g_ptr_array_unref (small);
}

static void
pages_wiped_and_unmapped (void)
{
  guint8 *data = tpd_secret_alloc (5000);

  memset (data, 0x5a, 5000);
  watched = data;
  tpd_secret_free (data, 5000);
  g_assert_cmpuint (watched_unmapped, ==, 1);
  g_assert_cmpuint (watched_residue, ==, 0);
}

static void
heap_wiped (void)
{
  guint8 *data;

  tpd_secret_init (HEAP);
  data = tpd_secret_alloc (5000);
  g_assert_true (CRYPTO_secure_allocated (data));
  memset (data, 0x5a, 5000);
  tpd_secret_free (data, 5000);
  /* The heap is still mapped; it keeps its own links in freed blocks. */
  g_assert_cmpuint (count_bytes (data, 5000, 0x5a), <, 16);
}

static void
kept_from_dumps (void)
{
  gpointer pages = tpd_secret_alloc (100), heap;

  tpd_secret_init (HEAP);
  heap = tpd_secret_alloc (100);
  g_assert_true (mapping_has (pages, "dd"));
  g_assert_true (mapping_has (heap, "dd"));
  if (locking_allowed ())
    {
      g_assert_true (mapping_has (pages, "lo"));
      g_assert_true (mapping_has (heap, "lo"));
    }
  tpd_secret_free (pages, 100);
  tpd_secret_free (heap, 100);
}

static void
child_part (gpointer heap)
{
  g_assert_cmpstr (heap, ==, "inherited");
  g_assert_false (mapping_has (heap, "lo"));
  tpd_secret_init (HEAP);
  g_assert_cmpstr (heap, ==, "inherited");
  if (locking_allowed ())
    g_assert_true (mapping_has (heap, "lo"));
  g_assert_true (mapping_has (heap, "dd"));
  tpd_secret_free (heap, 100);
}

static void
fork_inherits_and_locks_again (void)
{
  gpointer heap;
  int status = -1;
  pid_t child;

  tpd_secret_init (HEAP);
  heap = tpd_secret_alloc (100);
  g_strlcpy (heap, "inherited", 100);
  child = fork ();
  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      child_part (heap);
      _exit (0);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpint (status, ==, 0);
  tpd_secret_free (heap, 100);
}

static void
warns_once (void)
{
  g_autofree char *name = NULL, *text = NULL;
  g_auto (GStrv) lines = NULL;
  int fd = g_file_open_tmp ("tpd-secret-XXXXXX", &name, NULL);

  g_assert_cmpint (fd, >=, 0);
  tpd_log_to_file (fd);
  refuse_lock = TRUE;
  for (guint i = 0; i < 3; i++)
    {
      gpointer data = tpd_secret_alloc (10000);

      g_assert_nonnull (data);
      tpd_secret_free (data, 10000);
    }
  g_assert_true (g_file_get_contents (name, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 2);
  g_assert_nonnull (strstr (lines[0], "cannot be locked"));
  unlink (name);
}

static void
harden (void)
{
  struct rlimit limit;

  g_assert_cmpint (prctl (PR_GET_DUMPABLE), ==, 1);
  tpd_process_harden ();
  g_assert_cmpint (prctl (PR_GET_DUMPABLE), ==, 0);
  g_assert_cmpint (getrlimit (RLIMIT_CORE, &limit), ==, 0);
  g_assert_cmpuint (limit.rlim_cur, ==, 0);
  g_assert_cmpuint (limit.rlim_max, ==, 0);
}

static void
counted_strings (void)
{
  TpdSecret *secret, *again, *blank;

  tpd_secret_init (HEAP);
  secret = tpd_secret_new ("pass\0word", 9);
  g_assert_cmpmem (secret->data, secret->len, "pass\0word", 9);
  g_assert_cmpint (secret->data[9], ==, 0);
  g_assert_true (CRYPTO_secure_allocated (secret->data));
  again = tpd_secret_ref (secret);
  g_assert_true (again == secret);
  tpd_secret_unref (secret);
  g_assert_cmpmem (again->data, again->len, "pass\0word", 9);
  g_assert_cmpuint (CRYPTO_secure_used (), >, 0);
  tpd_secret_unref (again);
  g_assert_cmpuint (CRYPTO_secure_used (), ==, 0);

  blank = tpd_secret_new (NULL, 300);
  g_assert_cmpuint (count_bytes (blank->data, 301, 0), ==, 301);
  tpd_secret_unref (blank);
  blank = tpd_secret_new (NULL, 0);
  g_assert_cmpstr ((const char *) blank->data, ==, "");
  tpd_secret_unref (blank);
}

static void
wipe_and_compare (void)
{
  guint8 a[32], b[32];

  memset (a, 7, sizeof a);
  memset (b, 7, sizeof b);
  g_assert_true (tpd_secret_equal (a, b, sizeof a));
  for (guint i = 0; i < sizeof a; i++)
    {
      b[i] ^= 0x10;
      g_assert_false (tpd_secret_equal (a, b, sizeof a));
      b[i] ^= 0x10;
    }
  b[31] = 0;
  g_assert_true (tpd_secret_equal (a, b, 31));
  g_assert_true (tpd_secret_equal (NULL, NULL, 0));
  tpd_wipe (a, 31);
  g_assert_cmpuint (count_bytes (a, 31, 0), ==, 31);
  g_assert_cmpuint (a[31], ==, 7);
  tpd_wipe (NULL, 0);
}

static void
add (const char *path, void (*test) (void))
{
  g_test_add_data_func (path, (gconstpointer) test, run_in_child);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  add ("/secret/memory-is-zero-filled", zero_filled);
  add ("/secret/never-runs-out-and-leaves-openssl-its-half", heap_then_pages);
  add ("/secret/pages-are-wiped-and-unmapped", pages_wiped_and_unmapped);
  add ("/secret/heap-is-wiped", heap_wiped);
  add ("/secret/kept-from-dumps-and-swap", kept_from_dumps);
  add ("/secret/fork-inherits-and-locks-again", fork_inherits_and_locks_again);
  add ("/secret/warns-once-when-locking-fails", warns_once);
  add ("/secret/hardened-process-is-undumpable", harden);
  add ("/secret/strings-are-counted-and-terminated", counted_strings);
  add ("/secret/wipe-and-compare", wipe_and_compare);
  return g_test_run ();
}
