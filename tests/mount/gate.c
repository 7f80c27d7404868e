/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into the daemon by gate.py, which says in TPD_TEST_GATED what the gate
 * is before:
 *
 * writes  of what is decoded: only the memory that documents are decoded into is
 *         written with pwrite(2). Each takes TPD_TEST_WRITE_MS milliseconds, too.
 * reads   of the source, which is as if it lay on a slow disk while the gate is
 *         shut: nothing is at hand, and who reads waits.
 * distant  the same, of a file system that cannot say what is at hand.
 * stats   of open files, as if their server did not answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The file TPD_TEST_GATE, which the test holds too. Memory needs no call that
 * the daemon has forbidden itself. */
static struct
{
  atomic_int shut;
  atomic_int held; /* calls that came to it when it was shut, ever */
} *gate;

__attribute__ ((constructor)) static void
find_gate (void)
{
  const char *path = getenv ("TPD_TEST_GATE");
  int fd = path != NULL ? open (path, O_RDWR | O_CLOEXEC) : -1;

  if (fd < 0)
    return;
  void *page = mmap (NULL, sizeof *gate, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  gate = page == MAP_FAILED ? NULL : page;
  close (fd);
}

static void
wait_ms (long ms)
{
  struct timespec delay = { ms / 1000, ms % 1000 * 1000000 };

  nanosleep (&delay, NULL);
}

static bool
is_shut (const char *what)
{
  const char *gated = getenv ("TPD_TEST_GATED");

  return gate != NULL && gate->shut && gated != NULL && strcmp (gated, what) == 0;
}

static void
pass (const char *what)
{
  if (!is_shut (what))
    return;
  gate->held++;
  while (gate->shut)
    wait_ms (2);
}

static void
pass_read (void)
{
  pass ("reads");
  pass ("distant");
}

/* Under the names that they have with 64-bit offsets. */
ssize_t slow_write (int fd, const void *data, size_t len, off_t off) __asm__ ("pwrite64");
ssize_t slow_read (int fd, void *data, size_t len, off_t off) __asm__ ("pread64");
ssize_t read_at_hand (int fd, const struct iovec *iov, int n, off_t off, int flags) __asm__ ("preadv64v2");
ssize_t slow_splice (int in, loff_t *off_in, int out, loff_t *off_out, size_t len, unsigned flags) __asm__ ("splice");
int slow_stat (int fd, struct stat *st) __asm__ ("fstat64");

__attribute__ ((visibility ("default"))) ssize_t
slow_write (int fd, const void *data, size_t len, off_t off)
{
  const char *text = getenv ("TPD_TEST_WRITE_MS");

  wait_ms (text != NULL ? atol (text) : 0);
  pass ("writes");
  return syscall (SYS_pwrite64, fd, data, len, off);
}

__attribute__ ((visibility ("default"))) ssize_t
slow_read (int fd, void *data, size_t len, off_t off)
{
  pass_read ();
  return syscall (SYS_pread64, fd, data, len, off);
}

__attribute__ ((visibility ("default"))) ssize_t
read_at_hand (int fd, const struct iovec *iov, int n, off_t off, int flags)
{
  if (is_shut ("reads") || is_shut ("distant"))
    {
      errno = is_shut ("reads") ? EAGAIN : EOPNOTSUPP;
      return -1;
    }
  return syscall (SYS_preadv2, fd, iov, n, off, 0L, flags);
}

/* From a pipe there is no place to begin at. */
__attribute__ ((visibility ("default"))) ssize_t
slow_splice (int in, loff_t *off_in, int out, loff_t *off_out, size_t len, unsigned flags)
{
  if (off_in != NULL)
    pass_read ();
  return syscall (SYS_splice, in, off_in, out, off_out, len, flags);
}

__attribute__ ((visibility ("default"))) int
slow_stat (int fd, struct stat *st)
{
  int result = fstatat (fd, "", st, AT_EMPTY_PATH);

  if (result == 0 && S_ISREG (st->st_mode))
    pass ("stats");
  return result;
}
