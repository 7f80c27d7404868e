/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The confinement of the key agent, broken from inside: what an intruder would
 * do is tried by a process that has confined itself with the agent's own
 * functions.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/agent.h"
#include "crypto/confine.h"
#include "sealed.h"

static GPtrArray *samples;
static char *folder; /* where writing is possible */
static int listener; /* a socket to connect to */
static struct sockaddr_un listener_name;
static pid_t victim; /* a process of ours to be attacked */

/* --- What an intruder does: 0 when it worked, else an errno ------------------- */

static int
result (long done)
{
  return done < 0 ? errno : 0;
}

static int
read_file (void)
{
  return result (open ("/etc/passwd", O_RDONLY));
}

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
internet_socket (void)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons (9), .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  int fd = socket (AF_INET, SOCK_DGRAM, 0);
  return fd < 0 ? errno : result (connect (fd, (struct sockaddr *) &to, sizeof to));
}

static int
unix_socket (void)
{
  int fd = socket (AF_UNIX, SOCK_STREAM, 0);
  return fd < 0 ? errno : result (connect (fd, (struct sockaddr *) &listener_name, sizeof listener_name));
}

static int
more_sockets (void)
{
  int pair[2];
  return result (socketpair (AF_UNIX, SOCK_STREAM, 0, pair));
}

static int
run_program (void)
{
  char *const argv[] = { (char *) "/bin/true", NULL };
  return result (execve ("/bin/true", argv, argv + 1));
}

static int
fork_off (void)
{
  long pid = syscall (SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0)
    _exit (0);
  return result (pid);
}

static int
trace_other (void)
{
  return result (ptrace (PTRACE_ATTACH, victim, NULL, NULL));
}

static int
trace_me (void)
{
  return result (ptrace (PTRACE_TRACEME, 0, NULL, NULL));
}

static int
read_other (void)
{
  char here[8];
  struct iovec to = { here, sizeof here }, from = { here, sizeof here };
  return result (process_vm_readv (victim, &to, 1, &from, 1, 0));
}

static int
signal_other (void)
{
  return result (kill (victim, 0));
}

static int
new_code (void)
{
  return mmap (NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno
                                                                                                                 : 0;
}

static int
data_to_code (void)
{
  void *page = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return page == MAP_FAILED ? 0 : result (mprotect (page, 4096, PROT_READ | PROT_EXEC));
}

static int
become_dumpable (void)
{
  return result (prctl (PR_SET_DUMPABLE, 1, 0, 0, 0));
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
new_namespace (void)
{
  return result (unshare (CLONE_NEWUSER));
}

static int
kernel_keyring (void)
{
  return result (syscall (SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0, 0));
}

static int
another_interface (void)
{
  guint8 parameters[120] = { 0 };
  return result (syscall (SYS_io_uring_setup, 1, parameters));
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

/* Which layers close it by themselves. */
enum { FILES = 1, CALLS = 2, LIMITS = 4 };

static const struct {
  const char *name;
  int (*attack) (void);
  guint closed_by;
} attacks[] = {
  { "read a file", read_file, FILES | CALLS | LIMITS },
  { "read its own memory map", read_own_maps, FILES | CALLS | LIMITS },
  { "read a file by openat2", read_file_by_openat2, FILES | CALLS | LIMITS },
  { "write a file", write_file, FILES | CALLS | LIMITS },
  { "make a directory", make_directory, FILES | CALLS },
  { "list a directory", list_directory, FILES | CALLS | LIMITS },
  { "remove a file", remove_file, FILES | CALLS },
  { "internet socket", internet_socket, CALLS | LIMITS },
  { "unix socket", unix_socket, CALLS | LIMITS },
  { "pair of sockets", more_sockets, CALLS | LIMITS },
  { "take a descriptor", take_descriptor, CALLS },
  { "run a program", run_program, CALLS },
  { "fork", fork_off, CALLS },
  { "trace another process", trace_other, CALLS },
  { "be traced", trace_me, CALLS },
  { "read another process", read_other, CALLS },
  { "signal another process", signal_other, CALLS },
  { "memory with new code", new_code, CALLS },
  { "data to code", data_to_code, CALLS },
  { "become dumpable", become_dumpable, CALLS },
  { "raise its limits", raise_limits, CALLS },
  { "memory file", memory_file, CALLS | LIMITS },
  { "new user namespace", new_namespace, CALLS },
  { "kernel keyring", kernel_keyring, CALLS },
  { "io_uring", another_interface, CALLS },
};

/* --- Trying it ------------------------------------------------------------- */

enum { WORKED = 40, REFUSED = 41, NOT_CONFINED = 42 };

static void
confine (guint layers)
{
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    _exit (NOT_CONFINED);
  if ((layers & FILES) && !tpd_confine_files ())
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
  for (guint i = 0; i < G_N_ELEMENTS (attacks); i++)
    {
      if (!(attacks[i].closed_by & layers))
        continue;
      int how = run_confined (layers, attacks[i].attack);
      g_test_message ("%s: %s", attacks[i].name, how == -SIGSYS ? "killed" : how == REFUSED ? "refused" : "?");
      if (how != -SIGSYS)
        g_assert_cmpint (how, ==, REFUSED);
    }
}

/* Without confinement what is tried does work, or the test would be worth
 * nothing. Some need rights that a container does not give. */
static void
test_attacks_are_real (void)
{
  guint work = 0;

  for (guint i = 0; i < G_N_ELEMENTS (attacks); i++)
    {
      int how = run_confined (0, attacks[i].attack);
      g_test_message ("%s: %d", attacks[i].name, how);
      if (attacks[i].closed_by & (FILES | LIMITS))
        g_assert_cmpint (how, ==, WORKED);
      work += how == WORKED || how == 0;
      /* What an earlier one made is made again. */
      g_autofree char *path = g_build_filename (folder, "file", NULL);
      g_assert_true (g_file_set_contents (path, "x", 1, NULL));
      g_autofree char *made = g_build_filename (folder, "directory", NULL);
      g_rmdir (made);
    }
  g_assert_cmpuint (work, >=, G_N_ELEMENTS (attacks) - 6);
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
  if (run_confined (FILES, nothing) == NOT_CONFINED)
    g_test_skip ("this kernel has no Landlock");
  else
    assert_closed (FILES);
}

static void
test_all (void)
{
  guint layers = CALLS | LIMITS | (run_confined (FILES, nothing) == NOT_CONFINED ? 0 : FILES);
  assert_closed (layers);
}

/* Also threads that were there before are bound. */
static gpointer
attack_later (gpointer data)
{
  int *go = data;

  while (!g_atomic_int_get (go))
    sched_yield ();
  int errnum = read_file ();
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
  listener_name.sun_family = AF_UNIX;
  g_strlcpy (listener_name.sun_path, socket_path, sizeof listener_name.sun_path);
  listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint (bind (listener, (struct sockaddr *) &listener_name, sizeof listener_name), ==, 0);
  g_assert_cmpint (listen (listener, 64), ==, 0);
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
  g_rmdir (folder);
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
