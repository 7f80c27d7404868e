/* SPDX-License-Identifier: Apache-2.0 */
/* What an intruder tries who has taken over the process that parses documents:
 * for test-confined.c. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * folder/source/{file,out -> ../secret,sub/}   what is mounted
 * folder/secret                                  beside it
 * folder/place/                                  where a tool writes
 */
static char *folder, *share, *place;
static struct sockaddr_un listener_name;
static int listener;
static pid_t victim;
static int source_fd; /* as the mount has it: O_PATH */

static char *
at (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

static int
result (long done)
{
  return done < 0 ? errno : 0;
}

static int
try_open (const char *name, int flags)
{
  g_autofree char *path = at (name);

  return result (open (path, flags | O_CLOEXEC, 0600));
}

/* --- What an intruder does: 0 when it worked, else an errno --------------- */

static int
read_system_file (void)
{
  return result (open ("/etc/passwd", O_RDONLY));
}

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

static int
read_by_openat2 (void)
{
  struct {
    guint64 flags, mode, resolve;
  } how = { O_RDONLY, 0, 0 };
  return result (syscall (SYS_openat2, source_fd, "../secret", &how, sizeof how));
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
take_connection (void)
{
  int fd = accept4 (listener, NULL, NULL, SOCK_NONBLOCK);

  /* Nobody waits: anything else is a refusal. */
  return fd < 0 && errno != EAGAIN ? errno : 0;
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
run_memory (void)
{
  int fd = memfd_create ("program", MFD_CLOEXEC), from = open ("/bin/true", O_RDONLY);
  char *const argv[] = { (char *) "true", NULL };
  char block[4096];
  gssize n;

  while (from >= 0 && (n = read (from, block, sizeof block)) > 0)
    if (write (fd, block, (gsize) n) != n)
      return EIO;
  return result (syscall (SYS_execveat, fd, "", argv, argv + 1, AT_EMPTY_PATH));
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
fork_off_anew (void)
{
  struct {
    guint64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
  } how = { .exit_signal = SIGCHLD };
  long pid = syscall (SYS_clone3, &how, sizeof how);

  if (pid == 0)
    _exit (0);
  return pid < 0 && errno == ENOSYS ? EPERM : result (pid);
}

static int
trace_other (void)
{
  return result (ptrace (PTRACE_ATTACH, victim, NULL, NULL));
}

static int
be_traced (void)
{
  return result (ptrace (PTRACE_TRACEME, 0, NULL, NULL));
}

static int
read_other (void)
{
  char here[8];
  struct iovec to = { here, sizeof here }, from = { &victim, sizeof victim };

  return result (process_vm_readv (victim, &to, 1, &from, 1, 0));
}

static int
write_other (void)
{
  struct iovec both = { &victim, sizeof victim };

  return result (process_vm_writev (victim, &both, 1, &both, 1, 0));
}

static int
signal_other (void)
{
  return result (kill (victim, 0));
}

static int
limit_other (void)
{
  const struct rlimit limit = { 16, 16 };

  return result (prlimit (victim, RLIMIT_NOFILE, &limit, NULL));
}

static int
take_handle (void)
{
  return result (syscall (SYS_pidfd_open, victim, 0));
}

static int
become_dumpable (void)
{
  return result (prctl (PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int
allow_cores (void)
{
  const struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY }, soft = { 0, 0 };

  return result (setrlimit (RLIMIT_CORE, &limit)) == 0 ? 0 : result (setrlimit (RLIMIT_CORE, &soft));
}

static int
new_code (void)
{
  return mmap (NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno
                                                                                                                 : 0;
}

static int
code_from_data (void)
{
  void *page = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  return page == MAP_FAILED ? 0 : result (mprotect (page, 4096, PROT_READ | PROT_EXEC));
}

static int
new_namespace (void)
{
  return result (unshare (CLONE_NEWUSER));
}

static int
mount_something (void)
{
  return result (mount ("none", place, "tmpfs", 0, NULL));
}

static int
unmount_something (void)
{
  int errnum = result (umount2 (place, MNT_DETACH));

  return errnum == EINVAL ? 0 : errnum; /* nothing is mounted there: it was tried */
}

static int
change_root (void)
{
  return result (chroot (share));
}

static int
kernel_keyring (void)
{
  return result (syscall (SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1, 0, 0));
}

static int
kernel_program (void)
{
  union bpf_attr how;

  memset (&how, 0, sizeof how);
  how.map_type = BPF_MAP_TYPE_ARRAY;
  how.key_size = 4;
  how.value_size = 4;
  how.max_entries = 1;
  return result (syscall (SYS_bpf, BPF_MAP_CREATE, &how, sizeof how));
}

static int
another_interface (void)
{
  guint8 parameters[120] = { 0 };

  return result (syscall (SYS_io_uring_setup, 1, parameters));
}

static int
page_faults (void)
{
  return result (syscall (SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */));
}

static int
type_on_the_terminal (void)
{
  /* Without a terminal the kernel says ENOTTY to those who may. */
  int errnum = result (ioctl (STDIN_FILENO, TIOCSTI, "x"));

  return errnum == ENOTTY || errnum == EIO || errnum == EBADF ? 0 : errnum;
}

static int
more_rights (void)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct data[2] = { { 0 } };

  if (syscall (SYS_capget, &header, data) != 0)
    return errno;
  data[0].permitted |= 1u << CAP_SYS_ADMIN;
  data[0].effective |= 1u << CAP_SYS_ADMIN;
  return result (syscall (SYS_capset, &header, data));
}

/* Which layers close it by themselves. IF_ROOT: needs rights that users lack.
 * NOT_SANITIZED: the sanitizers are allowed it. */
enum { PATHS = 1, CALLS = 2, IF_ROOT = 4, NOT_SANITIZED = 8 };

static const struct {
  const char *name;
  int (*attack) (void);
  guint closed_by;
} attacks[] = {
  { "read a file of the system", read_system_file, PATHS },
  { "read a file beside the source", read_beside, PATHS },
  { "read it through a link in the source", read_through_a_link, PATHS },
  { "read it by ..", read_by_dots, PATHS },
  { "read it by openat2", read_by_openat2, PATHS },
  { "list a directory", list_beside, PATHS },
  { "read its own environment", read_own_environment, PATHS | NOT_SANITIZED },
  { "read another's memory by /proc", read_other_memory, PATHS | IF_ROOT },
  { "write to a file of the source", write_to_source, PATHS },
  { "cut off a file of the source", truncate_in_source, PATHS | CALLS },
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
  { "internet socket", internet_socket, CALLS },
  { "unix socket", unix_socket, CALLS },
  { "take a connection", take_connection, CALLS },
  { "pair of sockets", more_sockets, CALLS },
  { "run a program", run_program, PATHS | CALLS },
  { "run a program in memory", run_memory, CALLS },
  { "fork", fork_off, CALLS },
  { "fork by clone3", fork_off_anew, CALLS },
  { "trace another process", trace_other, PATHS | CALLS | IF_ROOT | NOT_SANITIZED },
  { "be traced", be_traced, CALLS | NOT_SANITIZED },
  { "read another process", read_other, PATHS | CALLS | IF_ROOT },
  { "write to another process", write_other, PATHS | CALLS | IF_ROOT },
  { "signal another process", signal_other, CALLS },
  { "limit another process", limit_other, CALLS | IF_ROOT },
  { "take a handle of another process", take_handle, CALLS },
  { "become dumpable", become_dumpable, CALLS | NOT_SANITIZED },
  { "allow cores", allow_cores, CALLS },
  { "memory with new code", new_code, CALLS },
  { "code from data", code_from_data, CALLS },
  { "new user namespace", new_namespace, CALLS },
  { "mount", mount_something, CALLS | IF_ROOT },
  { "unmount", unmount_something, CALLS | IF_ROOT },
  { "change the root", change_root, CALLS | IF_ROOT },
  { "kernel keyring", kernel_keyring, CALLS },
  { "kernel program", kernel_program, CALLS | IF_ROOT },
  { "io_uring", another_interface, CALLS },
  { "userfaultfd", page_faults, CALLS },
  { "type on the terminal", type_on_the_terminal, CALLS },
  { "more rights", more_rights, CALLS | IF_ROOT },
};
