/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The confinement of the key agent, broken from inside: what an intruder would
 * do is tried by a process that has confined itself with the agent's own
 * functions.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/agent.h"
#include "crypto/confine.h"
#include "sealed.h"
#include "tests/attacks.h"

static GPtrArray *samples;
static char *folder; /* where writing is possible */

/* --- What an intruder does: 0 when it worked, else an errno ------------------- */

static int
read_own_maps (void)
{
  return result (open ("/proc/self/maps", O_RDONLY));
}

static int
read_file_by_openat2 (void)
{
  struct {
    guint64 flags, mode, resolve;
  } how = { O_RDONLY, 0, 0 };
  return result (syscall (SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof how));
}

static int
write_file (void)
{
  g_autofree char *path = g_build_filename (folder, "leak", NULL);
  return result (open (path, O_WRONLY | O_CREAT, 0600));
}

static int
make_directory (void)
{
  g_autofree char *path = g_build_filename (folder, "directory", NULL);
  return result (mkdir (path, 0700));
}

static int
list_directory (void)
{
  return result (open ("/", O_RDONLY | O_DIRECTORY));
}

static int
remove_file (void)
{
  g_autofree char *path = g_build_filename (folder, "file", NULL);
  return result (unlink (path));
}

static int
raise_limits (void)
{
  const struct rlimit limit = { 16, 16 };
  return result (setrlimit (RLIMIT_NOFILE, &limit));
}

static int
memory_file (void)
{
  return result (memfd_create ("code", 0));
}

static int
take_descriptor (void)
{
  char byte;
  union {
    struct cmsghdr align;
    char space[64];
  } control;
  struct iovec part = { &byte, 1 };
  struct msghdr message = {
    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
  };
  long n = recvmsg (listener, &message, MSG_DONTWAIT);
  /* There is nothing to receive: anything else is a refusal. */
  return n < 0 && (errno == EINVAL || errno == EAGAIN || errno == ENOTCONN) ? 0 : errno;
}

static const Attack own_attacks[] = {
  { "read a file", read_system_file, PATHS | CALLS | LIMITS },
  { "read its own memory map", read_own_maps, PATHS | CALLS | LIMITS },
  { "read a file by openat2", read_file_by_openat2, PATHS | CALLS | LIMITS },
  { "write a file", write_file, PATHS | CALLS | LIMITS },
  { "make a directory", make_directory, PATHS | CALLS },
  { "list a directory", list_directory, PATHS | CALLS | LIMITS },
  { "remove a file", remove_file, PATHS | CALLS },
  { "take a descriptor", take_descriptor, CALLS },
  { "raise its limits", raise_limits, CALLS },
  { "memory file", memory_file, CALLS | LIMITS },
};

/* --- Trying it ------------------------------------------------------------- */

enum { WORKED = 40, REFUSED = 41, NOT_CONFINED = 42 };

static void
confine (guint layers)
{
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    _exit (NOT_CONFINED);
  if ((layers & PATHS) && !tpd_confine_files ())
    _exit (NOT_CONFINED);
  if (layers & LIMITS)
    tpd_confine_limits ();
  if ((layers & CALLS) && !tpd_confine_calls (NULL))
    _exit (NOT_CONFINED);
}

/* The exit status, or minus the signal. */
static int
run_confined (guint layers, int (*attack) (void))
{
  int status = 0;
  pid_t child = fork ();

  if (child == 0)
    {
      confine (layers);
      int errnum = attack ();
      _exit (errnum == 0 ? WORKED : errnum == EPERM || errnum == EACCES || errnum == EMFILE ? REFUSED : errnum);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  return WIFSIGNALED (status) ? -WTERMSIG (status) : WEXITSTATUS (status);
}

static void
assert_closed (guint layers)
{
  const Attack *tried;

  for (gsize i = 0; (tried = nth_attack (own_attacks, G_N_ELEMENTS (own_attacks), i)) != NULL; i++)
    {
      if (!(tried->closed_by & layers))
        continue;
      int how = run_confined (layers, tried->attack);
      g_test_message ("%s: %s", tried->name, how == -SIGSYS ? "killed" : how == REFUSED ? "refused" : "?");
      if (how != -SIGSYS)
        g_assert_cmpint (how, ==, REFUSED);
    }
}

/* Without confinement what is tried does work, or the test would be worth
 * nothing. Some need rights that a container does not give. */
static void
test_attacks_are_real (void)
{
  guint work = 0, expected = 0;
  const Attack *tried;

  for (gsize i = 0; (tried = nth_attack (own_attacks, G_N_ELEMENTS (own_attacks), i)) != NULL; i++)
    {
      if ((tried->closed_by & IF_ROOT) && geteuid () != 0)
        continue;
      int how = run_confined (0, tried->attack);
      g_test_message ("%s: %d", tried->name, how);
      if ((tried->closed_by & (PATHS | LIMITS)) && !(tried->closed_by & IF_ROOT))
        g_assert_true (how == WORKED || how == 0);
      expected++;
      work += how == WORKED || how == 0;
      umount2 (place, MNT_DETACH);
      /* What an earlier one made is made again. */
      g_autofree char *path = g_build_filename (folder, "file", NULL);
      g_assert_true (g_file_set_contents (path, "x", 1, NULL));
      g_autofree char *made = g_build_filename (folder, "directory", NULL);
      g_rmdir (made);
    }
  g_assert_cmpuint (work, >=, expected - 6);
}

static void
test_calls (void)
{
  assert_closed (CALLS);
}

static void
test_limits (void)
{
  assert_closed (LIMITS);
}

static int
nothing (void)
{
  return 0;
}

static void
test_files (void)
{
  if (run_confined (PATHS, nothing) == NOT_CONFINED)
    g_test_skip ("this kernel has no Landlock");
  else
    assert_closed (PATHS);
}

static void
test_all (void)
{
  guint layers = CALLS | LIMITS | (run_confined (PATHS, nothing) == NOT_CONFINED ? 0 : PATHS);
  assert_closed (layers);
}

/* Also threads that were there before are bound. */
static gpointer
attack_later (gpointer data)
{
  int *go = data;

  while (!g_atomic_int_get (go))
    sched_yield ();
  int errnum = read_system_file ();
  _exit (errnum == EPERM ? REFUSED : WORKED);
}

static void
test_threads (void)
{
  int status = 0;
  pid_t child = fork ();

  if (child == 0)
    {
      static int go;
      g_thread_new ("intruder", attack_later, &go);
      confine (CALLS);
      g_atomic_int_set (&go, 1);
      for (;;)
        sched_yield ();
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, REFUSED);
}

/* What the agent is there for works all the same, with all kinds of keys. */
static int
answer_all (void)
{
  g_autoptr (TpdKeyConfig) config = sealed_key_config ();
  GPtrArray *keys = tpd_keys_load (config, NULL);
  TpdUnwrapper *unwrapper = keys ? tpd_unwrapper_new_in_process (keys) : NULL;
  guint wrong = 0;

  if (!unwrapper)
    return ENOKEY;
  confine (CALLS | LIMITS);
  for (guint round = 0; round < 3; round++)
    for (guint i = 0; i < samples->len; i++)
      {
        const Sealed *sealed = g_ptr_array_index (samples, i);
        g_auto (TpdUnwrapReply) reply;
        tpd_unwrapper_unwrap (unwrapper, &sealed->request, &reply);
        if (json_object_get_boolean_member (sealed->entry, "open") && reply.status != TPD_UNWRAP_OK)
          wrong++;
        /* More than the secure heap has: pages of their own, locked. */
        gpointer much = tpd_secret_alloc (4 * 1024 * 1024);
        tpd_secret_free (much, 4 * 1024 * 1024);
        g_free (g_malloc (1024 * 1024));
      }
  return wrong > 0 ? EINVAL : 0;
}

static void
test_still_works (void)
{
  g_assert_cmpint (run_confined (0, answer_all), ==, WORKED);
}

static void
make_targets (void)
{
  folder = g_dir_make_tmp ("tpd-confine-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "file", NULL);
  g_autofree char *socket_path = g_build_filename (folder, "socket", NULL);

  g_assert_true (g_file_set_contents (path, "x", 1, NULL));
  place = g_build_filename (folder, "place", NULL);
  g_assert_cmpint (g_mkdir (place, 0700), ==, 0);
  listener_name.sun_family = AF_UNIX;
  g_strlcpy (listener_name.sun_path, socket_path, sizeof listener_name.sun_path);
  listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint (bind (listener, (struct sockaddr *) &listener_name, sizeof listener_name), ==, 0);
  g_assert_cmpint (listen (listener, 200), ==, 0);
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
  static const char *const names[] = { "file", "leak", "socket", NULL };

  kill (victim, SIGKILL);
  waitpid (victim, NULL, 0);
  close (listener);
  for (guint i = 0; names[i]; i++)
    {
      g_autofree char *path = g_build_filename (folder, names[i], NULL);
      g_unlink (path);
    }
  g_rmdir (place);
  g_rmdir (folder);
  g_free (place);
  g_free (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  samples = sealed_load_all ();
  make_targets ();
  g_test_add_func ("/confine/the-attacks-are-real", test_attacks_are_real);
  g_test_add_func ("/confine/seccomp-alone", test_calls);
  g_test_add_func ("/confine/landlock-alone", test_files);
  g_test_add_func ("/confine/limits-alone", test_limits);
  g_test_add_func ("/confine/all", test_all);
  g_test_add_func ("/confine/threads-that-were-there", test_threads);
  g_test_add_func ("/confine/answers-all-the-same", test_still_works);
  int status = g_test_run ();
  remove_targets ();
  g_ptr_array_unref (samples);
  return status;
}
