/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target over files and directories of inputs, as an ordinary
 * test; over standard input when there are no arguments, which is how AFL++
 * drives it, in persistent mode if its compiler built this.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fuzz.h"

#define MAX_SECONDS 10 /* an input; libFuzzer gets the same limit */
#define MAX_MEMORY ((rlim_t) 2048 * 1024 * 1024)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef __AFL_FUZZ_TESTCASE_LEN
__AFL_FUZZ_INIT ();
#endif

static const char *current = "";

static void
on_alarm (int signal_number)
{
  static const char words[] = ": takes too long\n";

  if (write (STDERR_FILENO, current, strlen (current)) < 0 || write (STDERR_FILENO, words, sizeof words - 1) < 0)
    _exit (1);
  abort ();
}

/* A sanitizer's shadow memory is larger than any limit, and it has its own. */
static void
limit_memory (void)
{
#ifndef SANITIZED
  const struct rlimit limit = { MAX_MEMORY, MAX_MEMORY };

  if (setrlimit (RLIMIT_AS, &limit) != 0)
    perror ("setrlimit");
#endif
}

static guint
run_file (const char *path)
{
  g_autofree char *data = NULL;
  g_autoptr (GError) error = NULL;
  gsize len;

  if (!g_file_get_contents (path, &data, &len, &error))
    g_error ("%s", error->message);
  current = path;
  alarm (MAX_SECONDS);
  LLVMFuzzerTestOneInput ((const uint8_t *) data, len);
  alarm (0);
  return 1;
}

static int
by_name (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

static guint
run_directory (const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const char *name;
  guint n = 0;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (names, g_build_filename (path, name, NULL));
  g_ptr_array_sort (names, by_name);
  for (guint i = 0; i < names->len; i++)
    if (g_file_test (g_ptr_array_index (names, i), G_FILE_TEST_IS_REGULAR))
      n += run_file (g_ptr_array_index (names, i));
  return n;
}

static void
run_stdin (void)
{
#ifdef __AFL_FUZZ_TESTCASE_LEN
  unsigned char *data;

  __AFL_INIT ();
  data = __AFL_FUZZ_TESTCASE_BUF;
  while (__AFL_LOOP (10000))
    LLVMFuzzerTestOneInput (data, (size_t) __AFL_FUZZ_TESTCASE_LEN);
#else
  g_autoptr (GByteArray) data = g_byte_array_new ();
  guint8 piece[4096];
  gssize n;

  while ((n = read (STDIN_FILENO, piece, sizeof piece)) > 0)
    g_byte_array_append (data, piece, (guint) n);
  LLVMFuzzerTestOneInput (data->data, data->len);
#endif
}

int
main (int argc, char **argv)
{
  guint n = 0;

  LLVMFuzzerInitialize (&argc, &argv);
  if (argc == 1)
    {
      run_stdin ();
      return 0;
    }
  limit_memory ();
  signal (SIGALRM, on_alarm);
  for (int i = 1; i < argc; i++)
    n += g_file_test (argv[i], G_FILE_TEST_IS_DIR) ? run_directory (argv[i]) : run_file (argv[i]);
  printf ("%u inputs\n", n);
  /* A corpus that was lost must not pass for a good one. */
  return n > 0 ? 0 : 1;
}
