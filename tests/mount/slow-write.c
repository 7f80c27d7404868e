/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into the daemon by test_decoded.py: makes decoding slow. Only the
 * memory that documents are decoded into is written with pwrite(2); each write
 * takes TPD_TEST_WRITE_MS milliseconds.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Under the name that pwrite() has with 64-bit offsets. */
__attribute__ ((visibility ("default"))) ssize_t slow_write (int fd, const void *data, size_t len,
                                                             off_t off) __asm__("pwrite64");

ssize_t
slow_write (int fd, const void *data, size_t len, off_t off)
{
  const char *text = getenv ("TPD_TEST_WRITE_MS");
  long ms = text != NULL ? atol (text) : 0;
  struct timespec delay = { ms / 1000, ms % 1000 * 1000000 };

  nanosleep (&delay, NULL);
  return syscall (SYS_pwrite64, fd, data, len, off);
}
