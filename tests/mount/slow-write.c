/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into the daemon by test_decoded.py: makes decoding slow. Only the
 * memory that documents are decoded into is written with pwrite(2); each write
 * takes TPD_TEST_WRITE_MS milliseconds, and as long as the gate is shut.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* The file TPD_TEST_GATE, which the test holds too. Memory needs no call that
 * the daemon has forbidden itself. */
static struct
{
  atomic_int shut;
  atomic_int held; /* writes before the gate, ever */
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

/* Under the name that pwrite() has with 64-bit offsets. */
__attribute__ ((visibility ("default"))) ssize_t slow_write (int fd, const void *data, size_t len,
                                                             off_t off) __asm__("pwrite64");

ssize_t
slow_write (int fd, const void *data, size_t len, off_t off)
{
  const char *text = getenv ("TPD_TEST_WRITE_MS");

  wait_ms (text != NULL ? atol (text) : 0);
  if (gate != NULL && gate->shut)
    {
      gate->held++;
      while (gate->shut)
        wait_ms (2);
    }
  return syscall (SYS_pwrite64, fd, data, len, off);
}
