/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The confinement of the process that parses documents, broken from inside:
 * what an intruder would do is tried by a process that has confined itself as
 * the mount does, or as a tool does that writes; and what they need must go on
 * working. By each layer alone, by all, as root and as an ordinary user.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "attacks.h"
#include "base/confine_private.h"
#include "base/error.h"
#include "base/log.h"
#include "fs/confined.h"

#define NOBODY 65534

static gboolean writes;

/* --- Trying it ------------------------------------------------------------ */

typedef enum { NONE, PATHS_ALONE, CALLS_ALONE, MOUNT, TOOL, OLD_KERNEL } Way;

enum { WORKED = 40, REFUSED = 41, NOT_CONFINED = 42 };

static TpdConfinement *
reach_of_tool (void)
{
  TpdConfinement *reach = tpd_confinement_new (TPD_CONFINE_READS);

  tpd_confinement_read (reach, share);
  tpd_confinement_write (reach, place);
  return reach;
}

static guint warnings;

static void
count_warnings (TpdLogLevel level, const char *line, gpointer data)
{
  if (level <= TPD_LOG_WARNING && strstr (line, "Landlock") != NULL)
    warnings++;
}

/* As if this kernel had no Landlock. */
static gboolean
lose_landlock (void)
{
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ALLOW);
  gboolean lost = seccomp_rule_add (filter, SCMP_ACT_ERRNO (ENOSYS), SCMP_SYS (landlock_create_ruleset), 0) == 0
                  && seccomp_load (filter) == 0;

  seccomp_release (filter);
  tpd_log_to_sink (count_warnings, NULL);
  return lost && tpd_landlock_abi () == 0;
}

static gboolean
confine (Way way)
{
  g_autoptr (TpdConfinement) reads = tpd_confinement_new (TPD_CONFINE_READS), reach = reach_of_tool ();
  const TpdFs fs = { .source = share };

  tpd_confinement_read (reads, share);
  switch (way)
    {
    case NONE:
      return TRUE;
    case PATHS_ALONE:
      return prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && tpd_confine_paths (reads, NULL);
    case CALLS_ALONE:
      return prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && tpd_confine_system_calls (TPD_CONFINE_READS, NULL);
    case MOUNT:
      return tpd_fs_confine (&fs, NULL);
    case TOOL:
      return tpd_confine (reach, NULL);
    case OLD_KERNEL:
      return lose_landlock () && tpd_fs_confine (&fs, NULL);
    }
  return FALSE;
}

static void
become (uid_t user)
{
  if (user != 0 && (setgroups (0, NULL) != 0 || setgid (user) != 0 || setuid (user) != 0))
    _exit (NOT_CONFINED);
}

/* The exit status, or minus the signal. */
static int
run_confined (Way way, uid_t user, int (*attack) (void))
{
  int status = 0;
  pid_t child = fork ();

  if (child == 0)
    {
      become (user);
      if (!confine (way))
        _exit (NOT_CONFINED);
      int errnum = attack ();
      _exit (errnum == 0 ? WORKED : errnum == EPERM || errnum == EACCES || errnum == EXDEV ? REFUSED : errnum);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  return WIFSIGNALED (status) ? -WTERMSIG (status) : WEXITSTATUS (status);
}

static void
make_file (const char *name)
{
  g_autofree char *path = at (name);

  g_assert_true (g_file_set_contents (path, "content", -1, NULL));
  g_assert_cmpint (chmod (path, 0666), ==, 0);
}

static void
make_files (void)
{
  static const char *const made[] = { "source/new",       "source/link", "source/linked",     "source/pipe",
                                      "source/directory", "leak",        "source/sub/renamed" };

  for (guint i = 0; i < G_N_ELEMENTS (made); i++)
    {
      g_autofree char *path = at (made[i]);
      g_remove (path);
    }
  make_file ("secret");
  make_file ("source/file");
  make_file ("source/sub/victim");
  make_file ("place/file");
}

static void
assert_whole (const char *name)
{
  g_autofree char *path = at (name), *content = NULL;

  g_assert_true (g_file_get_contents (path, &content, NULL, NULL));
  g_assert_cmpstr (content, ==, "content");
}

static void
assert_closed (Way way, uid_t user)
{
  const Attack *tried;
  const guint layers = way == PATHS_ALONE ? PATHS : way == CALLS_ALONE || way == OLD_KERNEL ? CALLS : PATHS | CALLS;

  for (gsize i = 0; (tried = nth_attack (file_attacks, G_N_ELEMENTS (file_attacks), i)) != NULL; i++)
    {
      if (!(tried->closed_by & layers) || (TPD_SANITIZED && (tried->closed_by & NOT_SANITIZED)))
        continue;
      int how = run_confined (way, user, tried->attack);

      g_test_message ("%s: %s (%d)", tried->name, how == -SIGSYS ? "killed" : how == REFUSED ? "refused" : "?", how);
      if (how != -SIGSYS && !((tried->closed_by & IF_KERNEL) && how == -SIGSEGV))
        g_assert_cmpint (how, ==, REFUSED);
    }
  assert_whole ("source/file");
  assert_whole ("source/sub/victim");
  assert_whole ("secret");
  assert_whole ("place/file");
}

/* As who the test is and, for root, also as an ordinary user. */
static void
assert_closed_for_all (Way way)
{
  if (tpd_landlock_abi () == 0 && way != CALLS_ALONE && way != OLD_KERNEL)
    {
      g_test_skip ("this kernel has no Landlock");
      return;
    }
  assert_closed (way, 0);
  if (geteuid () == 0)
    assert_closed (way, NOBODY);
}

/* Without confinement what is tried does work, or the test would be worth
 * nothing. Some need rights that a container does not give. */
static void
test_attacks_are_real (void)
{
  guint work = 0, expected = 0;
  const Attack *tried;

  for (gsize i = 0; (tried = nth_attack (file_attacks, G_N_ELEMENTS (file_attacks), i)) != NULL; i++)
    {
      if ((tried->closed_by & IF_ROOT) && geteuid () != 0)
        continue;
      int how = run_confined (NONE, 0, tried->attack);

      g_test_message ("%s: %d", tried->name, how);
      if (!(tried->closed_by & CALLS))
        g_assert_cmpint (how, ==, WORKED);
      if ((tried->closed_by & IF_KERNEL) && (how == -SIGSEGV || how == ENOSYS))
        continue;
      expected++;
      work += how == WORKED || how == 0;
      umount2 (place, MNT_DETACH);
      make_files ();
    }
  g_assert_cmpuint (work, >=, expected - 6);
}

static void
test_paths (void)
{
  assert_closed_for_all (PATHS_ALONE);
}

static void
test_calls (void)
{
  assert_closed_for_all (CALLS_ALONE);
}

static void
test_mount (void)
{
  assert_closed_for_all (MOUNT);
}

static void
test_tool (void)
{
  assert_closed_for_all (TOOL);
}

static int
was_warned_once (void)
{
  return warnings == 1 ? 0 : EINVAL;
}

static void
test_old_kernel (void)
{
  g_assert_cmpint (run_confined (OLD_KERNEL, 0, was_warned_once), ==, WORKED);
  assert_closed_for_all (OLD_KERNEL);
}

/* --- What must go on ------------------------------------------------------ */

static gpointer
other_thread (gpointer data)
{
  return read_system_file () == 0 ? NULL : data;
}

static void *
sleep_on (void *data)
{
  for (;;)
    pause ();
  return data;
}

#define MUST(what)                                              \
  do                                                            \
    if (!(what))                                                \
      {                                                         \
        g_printerr ("# failed: %s (errno %d)\n", #what, errno); \
        return EINVAL;                                          \
      }                                                         \
  while (0)

/* All that libraries do at times of their choice, and we. */
static int
serve (void)
{
  g_autofree char *text = NULL, *path = at ("source/file");
  g_autoptr (GThread) thread = NULL;
  char link[32], word[8];
  struct rlimit limit;
  pthread_t cancelled;
  guint8 *map;
  int ends[2], fd;

  MUST (g_file_get_contents (path, &text, NULL, NULL));
  MUST (openat (source_fd, "file", O_RDONLY | O_NOFOLLOW) >= 0);
  MUST (openat (source_fd, ".", O_RDONLY | O_DIRECTORY) >= 0);
  fd = openat (source_fd, "file", O_PATH);
  g_snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  MUST (listxattr (link, NULL, 0) >= 0);
  /* What is decoded. */
  fd = memfd_create ("plaintext", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  MUST (fd >= 0 && write (fd, "text", 4) == 4);
  MUST (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0);
  map = mmap (NULL, 4, PROT_READ, MAP_SHARED, fd, 0);
  MUST (map != MAP_FAILED && memcmp (map, "text", 4) == 0);
  MUST (mlock (map, 4) == 0 && madvise (map, 4, MADV_DONTDUMP) == 0);
  /* A converter is a library that is loaded now. */
  g_autofree char *japanese = g_convert ("\x1b$B;z\x1b(B", -1, "UTF-8", "ISO-2022-JP", NULL, NULL, NULL);
  MUST (japanese != NULL && strcmp (japanese, "\xe5\xad\x97") == 0);
  /* Threads, which are confined as well, and the end of one. */
  thread = g_thread_try_new ("worker", other_thread, &fd, NULL);
  MUST (thread != NULL && g_thread_join (g_steal_pointer (&thread)) == &fd);
  MUST (pthread_create (&cancelled, NULL, sleep_on, NULL) == 0);
  MUST (pthread_cancel (cancelled) == 0 && pthread_join (cancelled, NULL) == 0);
  MUST (getrlimit (RLIMIT_NOFILE, &limit) == 0 && pipe2 (ends, O_CLOEXEC) == 0);
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  MUST (now != NULL && open ("/dev/null", O_RDWR) >= 0);
  MUST (read (open ("/dev/urandom", O_RDONLY), word, sizeof word) == sizeof word);
  MUST (prctl (PR_GET_DUMPABLE) == 0 && getrlimit (RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0);
  if (!writes)
    return 0;
  g_autofree char *made = g_build_filename (place, "made", NULL), *moved = g_build_filename (place, "moved", NULL);
  MUST (g_file_set_contents (made, "text", -1, NULL));
  fd = open (made, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  MUST (fd >= 0 && ftruncate (fd, 1) == 0 && pread (fd, word, 2, 0) == 1);
  MUST (rename (made, moved) == 0 && unlink (moved) == 0);
  MUST (mkdir (made, 0700) == 0 && rmdir (made) == 0);
  return 0;
}

static void
test_goes_on (void)
{
  g_assert_cmpint (run_confined (MOUNT, 0, serve), ==, WORKED);
  writes = TRUE;
  g_assert_cmpint (run_confined (TOOL, 0, serve), ==, WORKED);
  if (geteuid () == 0)
    g_assert_cmpint (run_confined (TOOL, NOBODY, serve), ==, WORKED);
  writes = FALSE;
}

/* --- Rights --------------------------------------------------------------- */

static int
read_private (void)
{
  return try_open ("source/private", O_RDONLY);
}

/* Root's mount reads what is its users' alone, and has no other right. */
static void
test_root_reads_private_files (void)
{
  g_autofree char *path = at ("source/private");

  if (geteuid () != 0)
    {
      g_test_skip ("needs root");
      return;
    }
  make_file ("source/private");
  g_assert_cmpint (chown (path, NOBODY, NOBODY) | chmod (path, 0600), ==, 0);
  g_assert_cmpint (run_confined (MOUNT, 0, read_private), ==, WORKED);
  g_assert_cmpint (chown (path, 0, 0), ==, 0);
  g_assert_cmpint (run_confined (MOUNT, NOBODY, read_private), ==, REFUSED);
  g_unlink (path);
}

/* A thread that was there before would not be bound. */
static int
confine_late (void)
{
  g_autoptr (TpdConfinement) reach = reach_of_tool ();
  g_autoptr (GError) error = NULL;
  pthread_t thread;

  MUST (pthread_create (&thread, NULL, sleep_on, NULL) == 0);
  MUST (!tpd_confine (reach, &error) && g_error_matches (error, TPD_ERROR, TPD_ERROR_CONFINE));
  return 0;
}

static void
test_threads (void)
{
  g_assert_cmpint (run_confined (NONE, 0, confine_late), ==, WORKED);
}

static int
crash (void)
{
  const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

  (void) setrlimit (RLIMIT_CORE, &all);
  signal (SIGABRT, SIG_DFL);
  abort ();
}

static void
test_no_core (void)
{
  int status = 0;
  pid_t child = fork ();

  if (child == 0)
    {
      if (!confine (MOUNT))
        _exit (NOT_CONFINED);
      crash ();
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFSIGNALED (status));
  g_assert_false (WCOREDUMP (status));
}

/* --- The stage ------------------------------------------------------------ */

static void
make_targets (void)
{
  folder = g_dir_make_tmp ("tpd-confined-XXXXXX", NULL);
  share = at ("source");
  place = at ("place");
  g_autofree char *sub = at ("source/sub"), *socket_path = at ("socket"), *out = at ("source/out");

  g_assert_cmpint (g_mkdir (share, 0777) | g_mkdir (place, 0777) | g_mkdir (sub, 0777), ==, 0);
  /* Only the confinement is to be in the way. */
  g_assert_cmpint (chmod (folder, 0777) | chmod (share, 0777) | chmod (place, 0777) | chmod (sub, 0777), ==, 0);
  g_assert_cmpint (symlink ("../secret", out), ==, 0);
  make_files ();
  source_fd = open (share, O_PATH | O_DIRECTORY | O_CLOEXEC);
  g_assert_cmpint (source_fd, >=, 0);
  listener_name.sun_family = AF_UNIX;
  g_strlcpy (listener_name.sun_path, socket_path, sizeof listener_name.sun_path);
  listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint (bind (listener, (struct sockaddr *) &listener_name, sizeof listener_name), ==, 0);
  g_assert_cmpint (listen (listener, 200) | chmod (socket_path, 0777), ==, 0);
  g_assert_cmpint (fcntl (listener, F_SETFL, O_NONBLOCK), ==, 0);
  victim = fork ();
  if (victim == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
      for (;;)
        pause ();
    }
}

static void
remove_targets (void)
{
  static const char *const names[] = { "source/out", "source/file", "source/sub/victim",
                                       "source/sub", "source",      "place/file",
                                       "place",      "secret",      "socket" };

  kill (victim, SIGKILL);
  waitpid (victim, NULL, 0);
  make_files ();
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = at (names[i]);
      g_remove (path);
    }
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  make_targets ();
  g_test_add_func ("/confined/the-attacks-are-real", test_attacks_are_real);
  g_test_add_func ("/confined/landlock-alone", test_paths);
  g_test_add_func ("/confined/seccomp-alone", test_calls);
  g_test_add_func ("/confined/as-the-mount", test_mount);
  g_test_add_func ("/confined/as-a-tool-that-writes", test_tool);
  g_test_add_func ("/confined/without-landlock-one-warning-and-the-rest-holds", test_old_kernel);
  g_test_add_func ("/confined/what-is-needed-goes-on", test_goes_on);
  g_test_add_func ("/confined/root-reads-private-files", test_root_reads_private_files);
  g_test_add_func ("/confined/threads-that-were-there", test_threads);
  g_test_add_func ("/confined/leaves-no-core", test_no_core);
  int status = g_test_run ();
  remove_targets ();
  return status;
}
