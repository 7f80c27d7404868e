/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock: which files may be opened.
 *
 * Besides what was declared, libraries need some of the system at times that
 * they choose: libc the converters of iconv, libgcc_s when a thread is
 * cancelled, zones and catalogues. These are the same for everybody and on
 * every system; nothing in them is secret.
 *
 * Looking at names and attributes (stat, readlink, O_PATH) is not within
 * Landlock's reach.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/confine_private.h"
#include "base/error.h"

/* As in linux/landlock.h of Linux 6.12; older headers have less of it, and
 * older kernels are given less. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define RULESET_VERSION 1
#define RULE_PATH_BENEATH 1

enum {
  WRITE_FILE = 1 << 1,
  READ_FILE = 1 << 2,
  READ_DIR = 1 << 3,
  REMOVE_DIR = 1 << 4,
  REMOVE_FILE = 1 << 5,
  MAKE_DIR = 1 << 7,
  MAKE_REG = 1 << 8,
  MAKE_SYM = 1 << 12,
  REFER = 1 << 13,    /* ABI 2 */
  TRUNCATE = 1 << 14, /* ABI 3; left to seccomp */
};

#define READING (READ_FILE | READ_DIR)
/* Not: devices, sockets and pipes. */
#define WRITING (READING | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER)
/* What of it makes sense for something that is no directory. */
#define OF_FILES (READ_FILE | WRITE_FILE)

typedef struct {
  guint64 files;
  guint64 net;
  guint64 scoped;
} Ruleset;

typedef struct {
  guint64 allowed;
  gint32 parent;
} __attribute__ ((packed)) PathBeneath;

static const char *const libraries[] = {
  "/usr/lib",         "/usr/lib32",        "/usr/lib64",          "/lib",           "/lib64",
  "/etc/ld.so.cache", "/usr/share/locale", "/usr/share/zoneinfo", "/etc/localtime", "/dev/urandom",
};

guint
tpd_landlock_abi (void)
{
  long abi = syscall (SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);

  return abi > 0 ? (guint) abi : 0;
}

/*
 * 13 rights in the first version; refer, truncate and device ioctls came with
 * 2, 3 and 5.
 *
 * All are asked for but TRUNCATE. The kernel looks for that one whenever a file
 * is opened, to read it, too, and where it is not granted goes up to the root of
 * the system to find that out, instead of to the source: a tenth of what a file
 * costs in a walk. Nothing that was not opened for writing is cut off but by
 * O_TRUNC and truncate(2), and those seccomp refuses, without which no process
 * goes on (base/confine_calls.c).
 */
static guint64
rights_of (guint abi)
{
  const guint n = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;

  return ((G_GUINT64_CONSTANT (1) << n) - 1) & ~(guint64) TRUNCATE;
}

static int
make_ruleset (guint abi)
{
  const Ruleset all = {
    .files = rights_of (abi),
    .net = abi >= 4 ? 3 : 0,    /* bind and connect of TCP */
    .scoped = abi >= 6 ? 3 : 0, /* abstract sockets and signals */
  };
  const gsize size = abi >= 6 ? sizeof all : abi >= 4 ? 2 * sizeof (guint64) : sizeof (guint64);

  return (int) syscall (SYS_landlock_create_ruleset, &all, size, 0);
}

/* What is not there, or is no file (a pipe in /proc/self/fd), needs no rule. */
static gboolean
add_path (int ruleset, guint abi, const char *path, guint64 rights)
{
  PathBeneath rule = { rights & rights_of (abi), open (path, O_PATH | O_CLOEXEC) };
  struct stat st;
  gboolean done = TRUE;

  if (rule.parent < 0)
    return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
  if (fstat (rule.parent, &st) == 0 && !S_ISDIR (st.st_mode))
    rule.allowed &= OF_FILES;
  if (syscall (SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) != 0)
    done = errno == EBADFD;
  int errnum = errno;
  close (rule.parent);
  errno = errnum;
  return done;
}

static gboolean
add_all (int ruleset, guint abi, const TpdConfinement *confinement, const char **failed)
{
  gboolean good = TRUE;

  for (guint i = 0; good && i < G_N_ELEMENTS (libraries); i++)
    good = add_path (ruleset, abi, *failed = libraries[i], READING);
  if (good)
    good = add_path (ruleset, abi, *failed = "/dev/null", READ_FILE | WRITE_FILE);
  /* For the search of leaks. Not /proc/self: a rule is about an inode, and those of
   * a process come anew when the caches are dropped. */
  if (good && TPD_SANITIZED)
    good = add_path (ruleset, abi, *failed = "/proc", READING);
  for (guint i = 0; good && i < confinement->paths->len; i++)
    {
      const TpdConfinedPath *entry = &g_array_index (confinement->paths, TpdConfinedPath, i);

      good = add_path (ruleset, abi, *failed = entry->path, entry->write ? WRITING : READING);
    }
  return good;
}

gboolean
tpd_confine_paths (const TpdConfinement *confinement, GError **error)
{
  const guint abi = tpd_landlock_abi ();
  const char *failed = "this process";
  int fd = abi > 0 ? make_ruleset (abi) : -1;

  if (fd < 0)
    return FALSE;
  gboolean done = add_all (fd, abi, confinement, &failed);
  if (done)
    {
      failed = "this process";
      done = syscall (SYS_landlock_restrict_self, fd, 0) == 0;
    }
  int errnum = errno;
  close (fd);
  if (!done)
    g_set_error (error, TPD_ERROR, TPD_ERROR_CONFINE, "%s cannot be put under Landlock: %s", failed,
                 g_strerror (errnum));
  return done;
}
