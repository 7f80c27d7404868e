/* SPDX-License-Identifier: Apache-2.0 */
/* What an intruder tries who has taken over the process that parses documents,
 * for test-confined.c: with files, besides all that tests/attacks.h has. */
#pragma once

#include <sys/xattr.h>

#include "tests/attacks.h"

/*
 * folder/source/{file,out -> ../secret,sub/}   what is mounted
 * folder/secret                                  beside it
 * folder/place/file                              where a tool writes
 */
static char *folder, *share;
static int source_fd; /* as the mount has it: O_PATH */

static char *
at (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

static int
try_open (const char *name, int flags)
{
  g_autofree char *path = at (name);

  return result (open (path, flags | O_CLOEXEC, 0600));
}

/* --- What an intruder does: 0 when it worked, else an errno --------------- */

static int
read_beside (void)
{
  return try_open ("secret", O_RDONLY);
}

static int
read_through_a_link (void)
{
  return try_open ("source/out", O_RDONLY);
}

static int
read_by_dots (void)
{
  return result (openat (source_fd, "sub/../../secret", O_RDONLY));
}

/* Closed to all: libraries then do without. */
static int
open_by_openat2 (const char *name, int flags)
{
  struct {
    guint64 flags, mode, resolve;
  } how = { (guint64) flags, 0, 0 };
  int errnum = result (syscall (SYS_openat2, source_fd, name, &how, sizeof how));

  return errnum == ENOSYS ? EPERM : errnum;
}

static int
read_by_openat2 (void)
{
  return open_by_openat2 ("../secret", O_RDONLY);
}

static int
list_beside (void)
{
  return result (open (folder, O_RDONLY | O_DIRECTORY));
}

static int
read_own_environment (void)
{
  return result (open ("/proc/self/environ", O_RDONLY));
}

static int
read_other_memory (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/mem", (int) victim);

  return result (open (path, O_RDONLY));
}

static int
write_to_source (void)
{
  return try_open ("source/file", O_WRONLY);
}

static int
truncate_in_source (void)
{
  g_autofree char *path = at ("source/file");

  return result (truncate (path, 0));
}

/* What is opened to be read can be cut off in passing. */
static int
cut_by_open (void)
{
  g_autofree char *path = at ("source/file");

  return result (syscall (SYS_openat, AT_FDCWD, path, O_RDONLY | O_TRUNC));
}

/* The kernel looks at the lower half of the word. */
static int
cut_by_long_flags (void)
{
  return result (syscall (SYS_openat, source_fd, "file", (1L << 32) | O_RDONLY | O_TRUNC));
}

static int
cut_by_openat2 (void)
{
  return open_by_openat2 ("file", O_RDONLY | O_TRUNC);
}

static int
cut_to_write (void)
{
  return try_open ("source/file", O_WRONLY | O_TRUNC);
}

static int
cut_to_both (void)
{
  return result (openat (source_fd, "file", O_RDWR | O_CREAT | O_TRUNC, 0600));
}

static int
make_anew (void)
{
  g_autofree char *path = at ("source/file");

  return result (creat (path, 0600));
}

static int
cut_beside (void)
{
  g_autofree char *path = at ("secret");

  return result (truncate (path, 0));
}

/* Where a tool may write, too, nothing is cut off by its name. */
static int
cut_in_place (void)
{
  g_autofree char *path = at ("place/file");

  return result (truncate (path, 0));
}

static int
cut_in_place_by_open (void)
{
  return try_open ("place/file", O_RDONLY | O_TRUNC);
}

#ifdef __x86_64__
#define X32 0x40000000
enum { I386_OPEN = 5, I386_TRUNCATE = 92 };

static int
cut_as_x32 (void)
{
  g_autofree char *path = at ("source/file");

  return result (syscall (X32 + SYS_open, path, O_RDONLY | O_TRUNC));
}

/* What programs of 32 bits call; pointers are cut to that. */
static int
call_of_32_bits (int number, int flags)
{
  char *low = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  g_autofree char *path = at ("source/file");
  long done;

  if (low == MAP_FAILED || g_strlcpy (low, path, 4096) >= 4096)
    return EIO;
  __asm__ volatile("int $0x80" : "=a"(done) : "a"(number), "b"(low), "c"(flags), "d"(0) : "memory");
  return done < 0 ? (int) -done : 0;
}

static int
cut_by_open_of_32_bits (void)
{
  return call_of_32_bits (I386_OPEN, O_RDONLY | O_TRUNC);
}

static int
cut_by_truncate_of_32_bits (void)
{
  return call_of_32_bits (I386_TRUNCATE, 0);
}
#endif

static int
make_in_source (void)
{
  return try_open ("source/new", O_WRONLY | O_CREAT);
}

static int
remove_from_source (void)
{
  return result (unlinkat (source_fd, "sub/victim", 0));
}

static int
rename_in_source (void)
{
  return result (renameat (source_fd, "sub/victim", source_fd, "sub/renamed"));
}

static int
make_directory (void)
{
  return result (mkdirat (source_fd, "directory", 0700));
}

static int
make_link (void)
{
  return result (symlinkat ("/etc/passwd", source_fd, "link"));
}

static int
move_secret_in (void)
{
  g_autofree char *secret = at ("secret");

  return result (linkat (AT_FDCWD, secret, source_fd, "linked", 0));
}

static int
change_mode (void)
{
  return result (fchmodat (source_fd, "file", 0666, 0));
}

static int
change_times (void)
{
  return result (utimensat (source_fd, "file", NULL, 0));
}

static int
change_attribute (void)
{
  g_autofree char *path = at ("source/file");
  int errnum = result (setxattr (path, "user.intruder", "x", 1, 0));

  return errnum == EOPNOTSUPP ? 0 : errnum;
}

static int
make_beside (void)
{
  return try_open ("leak", O_WRONLY | O_CREAT);
}

static int
write_beside (void)
{
  return try_open ("secret", O_WRONLY);
}

static int
make_device (void)
{
  return result (mknodat (source_fd, "pipe", S_IFIFO | 0600, 0));
}

static const Attack file_attacks[] = {
  { "read a file of the system", read_system_file, PATHS },
  { "read a file beside the source", read_beside, PATHS },
  { "read it through a link in the source", read_through_a_link, PATHS },
  { "read it by ..", read_by_dots, PATHS },
  { "read it by openat2", read_by_openat2, PATHS | CALLS },
  { "list a directory", list_beside, PATHS },
  { "read its own environment", read_own_environment, PATHS | NOT_SANITIZED },
  { "read another's memory by /proc", read_other_memory, PATHS | IF_ROOT },
  { "write to a file of the source", write_to_source, PATHS },
  { "cut off a file of the source", truncate_in_source, CALLS },
  { "cut it off by opening it", cut_by_open, CALLS },
  { "cut it off by flags of 64 bits", cut_by_long_flags, CALLS },
  { "cut it off by openat2", cut_by_openat2, CALLS },
  { "cut it off to write to it", cut_to_write, PATHS | CALLS },
  { "cut it off to read and write", cut_to_both, PATHS | CALLS },
  { "make it anew", make_anew, PATHS | CALLS },
  { "cut off a file elsewhere", cut_beside, CALLS },
  { "cut off a file that was written", cut_in_place, CALLS },
  { "cut that off by opening it", cut_in_place_by_open, CALLS },
#ifdef __x86_64__
  { "cut it off as x32", cut_as_x32, CALLS | IF_KERNEL },
  { "cut it off by open of 32 bits", cut_by_open_of_32_bits, CALLS | IF_KERNEL },
  { "cut it off by truncate of 32 bits", cut_by_truncate_of_32_bits, CALLS | IF_KERNEL },
#endif
  { "make a file in the source", make_in_source, PATHS },
  { "remove a file of the source", remove_from_source, PATHS | CALLS },
  { "rename a file of the source", rename_in_source, PATHS | CALLS },
  { "make a directory in the source", make_directory, PATHS | CALLS },
  { "make a link in the source", make_link, PATHS | CALLS },
  { "link the secret into the source", move_secret_in, PATHS | CALLS },
  { "change a mode", change_mode, CALLS },
  { "change times", change_times, CALLS },
  { "change an attribute", change_attribute, CALLS },
  { "make a file elsewhere", make_beside, PATHS },
  { "write to a file elsewhere", write_beside, PATHS },
  { "make a pipe with a name", make_device, PATHS | CALLS },
};
