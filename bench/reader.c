/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads in the manners that the benchmarks measure, and tells in one line of
 * JSON how long it took, how much it was, and the XOR of all 64-bit words, so
 * that a fast but wrong answer shows.
 *
 *     reader seq FILE...          each from start to end, 1 MiB at a time
 *     reader rand COUNT FILE...   COUNT pages of 4 KiB of each, each at most once
 *     reader par FILE THREADS     each thread its part, 1 MiB at a time
 *     reader mmap FILE            every page of a mapping
 *     reader tree DIR             every regular file beneath
 *     reader stat DIR             lstat of every entry, as ls -l does
 *
 * Of several files some of one is read, some of the next, and so on; a line for each.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK (1024 * 1024)
#define PAGE 4096
/* Of one file in one go, some milliseconds: the machine is no faster for one file
 * than for the next then. In order it is more, since the kernel has read ahead when
 * the next turn comes. */
#define RANDOM_TURN 250
#define TURN_IN_ORDER 64

static guint64 n_bytes, n_operations, digest; /* atomic */

static void G_GNUC_NORETURN
fail (const char *what)
{
  fprintf (stderr, "%s: %s\n", what, strerror (errno));
  exit (1);
}

static void
account (const void *data, gsize len)
{
  const guint64 *words = data;
  guint64 sum = 0, last = 0;

  for (gsize i = 0; i < len / 8; i++)
    sum ^= words[i];
  memcpy (&last, (const char *) data + len / 8 * 8, len % 8);
  __atomic_fetch_xor (&digest, sum ^ last, __ATOMIC_RELAXED);
  __atomic_fetch_add (&n_bytes, len, __ATOMIC_RELAXED);
  __atomic_fetch_add (&n_operations, 1, __ATOMIC_RELAXED);
}

static void *
new_buffer (gsize size)
{
  void *buffer;

  if (posix_memalign (&buffer, PAGE, size) != 0)
    abort ();
  return buffer;
}

static int
open_file (const char *path, off_t *size)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  struct stat st;

  if (fd < 0 || fstat (fd, &st) != 0)
    fail (path);
  *size = st.st_size;
  return fd;
}

typedef struct {
  int fd;
  off_t from, to;
} Part;

static gpointer
read_part (gpointer data)
{
  const Part *part = data;
  void *buffer = new_buffer (BLOCK);

  for (off_t at = part->from; at < part->to;)
    {
      ssize_t n = pread (part->fd, buffer, (size_t) MIN (BLOCK, part->to - at), at);

      if (n <= 0)
        fail ("read");
      account (buffer, (gsize) n);
      at += n;
    }
  free (buffer);
  return NULL;
}

static void
run_parallel (const char *path, guint n)
{
  g_autofree GThread **threads = g_new (GThread *, n);
  g_autofree Part *parts = g_new (Part, n);
  off_t size;

  for (guint i = 0; i < n; i++)
    {
      off_t step;
      int fd = open_file (path, &size);

      step = (size / n + BLOCK - 1) / BLOCK * BLOCK;
      parts[i] = (Part){ fd, MIN (size, i * step), i + 1 == n ? size : MIN (size, (i + 1) * step) };
      threads[i] = g_thread_new ("reader", read_part, &parts[i]);
    }
  for (guint i = 0; i < n; i++)
    g_thread_join (threads[i]);
}

static void
tell (gint64 microseconds, guint64 bytes, guint64 operations, guint64 xor)
{
  printf ("{\"seconds\": %.6f, \"bytes\": %" G_GUINT64_FORMAT ", \"operations\": %" G_GUINT64_FORMAT
          ", \"xor\": \"%016" G_GINT64_MODIFIER "x\"}\n",
          (double) microseconds / 1e6, bytes, operations, xor);
}

typedef struct _File File;

struct _File {
  const char *path;
  int fd;
  off_t size;
  guint64 range, at, left;
  gint64 microseconds;
  guint64 n_bytes, n_operations, digest;
};

static void
read_block (File *file, void *buffer, size_t size, off_t at)
{
  ssize_t n = pread (file->fd, buffer, size, at);

  if (n <= 0)
    fail (file->path);
  account (buffer, (gsize) n);
}

static void
random_turn (File *file, void *buffer)
{
  for (guint i = 0; i < RANDOM_TURN && file->left > 0; i++, file->left--)
    {
      file->at = (file->at * 5 + 12345) % file->range;
      read_block (file, buffer, PAGE, (off_t) (file->at * PAGE));
    }
}

static void
turn_in_order (File *file, void *buffer)
{
  for (guint i = 0; i < TURN_IN_ORDER && file->left > 0; i++, file->left--, file->at++)
    read_block (file, buffer, BLOCK, (off_t) (file->at * BLOCK));
}

/* `count` pages at random, 0: all in order. Opening is a part of reading in order. */
static void
file_open (File *file, const char *path, guint count)
{
  gint64 start = g_get_monotonic_time ();

  *file = (File){ .path = path, .range = 1 };
  file->fd = open_file (path, &file->size);
  if (count == 0)
    {
      file->left = ((guint64) file->size + BLOCK - 1) / BLOCK;
      file->microseconds = g_get_monotonic_time () - start;
      return;
    }
  posix_fadvise (file->fd, 0, 0, POSIX_FADV_RANDOM);
  /* The step of random_turn() visits every page of a power of two once. */
  while (file->range * 2 <= (guint64) file->size / PAGE)
    file->range *= 2;
  file->left = MIN (count, file->range);
}

static void
take_turn (File *file, void (*turn) (File *file, void *buffer), void *buffer)
{
  gint64 start = g_get_monotonic_time ();

  n_bytes = n_operations = digest = 0;
  turn (file, buffer);
  file->microseconds += g_get_monotonic_time () - start;
  file->n_bytes += n_bytes;
  file->n_operations += n_operations;
  file->digest ^= digest;
}

/* Who comes after whom changes all the time: some file systems are still busy for
 * a while when they have answered. */
static void
shuffle (File **order, guint n, GRand *dice)
{
  for (guint i = n - 1; i > 0; i--)
    {
      guint with = (guint) g_rand_int_range (dice, 0, (gint32) i + 1);
      File *other = order[with];

      order[with] = order[i];
      order[i] = other;
    }
}

static void
run_turns (char **paths, guint n, guint count)
{
  g_autoptr (GRand) dice = g_rand_new ();
  g_autofree File *files = g_new (File, n);
  g_autofree File **order = g_new (File *, n);
  void *buffer = new_buffer (BLOCK);
  gboolean left = TRUE;

  for (guint i = 0; i < n; i++)
    {
      file_open (&files[i], paths[i], count);
      order[i] = &files[i];
    }
  while (left)
    {
      left = FALSE;
      shuffle (order, n, dice);
      for (guint i = 0; i < n; i++)
        {
          take_turn (order[i], count > 0 ? random_turn : turn_in_order, buffer);
          left = left || order[i]->left > 0;
        }
    }
  for (guint i = 0; i < n; i++)
    tell (files[i].microseconds, files[i].n_bytes, files[i].n_operations, files[i].digest);
  free (buffer);
}

static void
run_mmap (const char *path)
{
  off_t size;
  int fd = open_file (path, &size);
  char *map = mmap (NULL, (size_t) size, PROT_READ, MAP_SHARED, fd, 0);

  if (map == MAP_FAILED)
    fail (path);
  madvise (map, (size_t) size, MADV_SEQUENTIAL);
  for (off_t at = 0; at < size; at += BLOCK)
    account (map + at, (gsize) MIN (BLOCK, size - at));
}

static void
read_small (int dirfd, const char *name, void *buffer)
{
  int fd = openat (dirfd, name, O_RDONLY | O_CLOEXEC);
  ssize_t n;

  if (fd < 0)
    fail (name);
  while ((n = read (fd, buffer, BLOCK)) > 0)
    account (buffer, (gsize) n);
  if (n < 0)
    fail (name);
  close (fd);
}

static void
walk (const char *path, gboolean contents)
{
  g_autoptr (GPtrArray) todo = g_ptr_array_new ();
  void *buffer = new_buffer (BLOCK);

  g_ptr_array_add (todo, g_strdup (path));
  while (todo->len > 0)
    {
      g_autofree char *at = g_ptr_array_steal_index_fast (todo, todo->len - 1);
      DIR *dir = opendir (at);
      struct dirent *entry;

      if (dir == NULL)
        fail (at);
      while ((entry = readdir (dir)) != NULL)
        {
          struct stat st;

          if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
            continue;
          if (entry->d_type == DT_DIR)
            g_ptr_array_add (todo, g_build_filename (at, entry->d_name, NULL));
          if (!contents && fstatat (dirfd (dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            fail (entry->d_name);
          if (!contents)
            n_operations++;
          else if (entry->d_type == DT_REG)
            read_small (dirfd (dir), entry->d_name, buffer);
        }
      closedir (dir);
    }
  free (buffer);
}

int
main (int argc, char **argv)
{
  const char *what = argc > 2 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
  guint number = argc > 3 ? (guint) atoi (argv[3]) : 8;
  gint64 start = g_get_monotonic_time ();

  if (strcmp (what, "seq") == 0)
    {
      run_turns (argv + 2, (guint) argc - 2, 0);
      return 0;
    }
  if (strcmp (what, "rand") == 0 && argc > 3 && atoi (path) > 0)
    {
      run_turns (argv + 3, (guint) argc - 3, (guint) atoi (path));
      return 0;
    }
  if (strcmp (what, "par") == 0)
    run_parallel (path, MAX (1, number));
  else if (strcmp (what, "mmap") == 0)
    run_mmap (path);
  else if (strcmp (what, "tree") == 0 || strcmp (what, "stat") == 0)
    walk (path, what[0] == 't');
  else
    {
      fprintf (stderr, "usage: reader seq PATH...\n       reader rand NUMBER PATH...\n       reader par|mmap|tree|stat PATH [NUMBER]\n");
      return 2;
    }
  tell (g_get_monotonic_time () - start, n_bytes, n_operations, digest);
  return 0;
}
