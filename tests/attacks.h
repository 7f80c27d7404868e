/* SPDX-License-Identifier: Apache-2.0 */
/* What an intruder tries in any process of ours that he has taken over: the key
 * agent (tests/crypto/test-confine.c), or what parses documents, which has files
 * besides (tests/fs/attacks.h). */
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
#include <unistd.h>

static char *place; /* a directory */
static struct sockaddr_un listener_name;
static int listener; /* does not block */
static pid_t victim; /* a process of ours */

static int
result (long done)
{
  return done < 0 ? errno : 0;
}

/* --- What an intruder does: 0 when it worked, else an errno --------------- */

static int
read_system_file (void)
{
  return result (open ("/etc/passwd", O_RDONLY));
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
  return result (chroot (place));
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

/* Which layers close it by themselves: Landlock, the filter of system calls,
 * limits. IF_ROOT: needs rights that users lack. NOT_SANITIZED: the sanitizers
 * are allowed it. IF_KERNEL: not every kernel has that. */
enum { PATHS = 1, CALLS = 2, LIMITS = 4, IF_ROOT = 8, NOT_SANITIZED = 16, IF_KERNEL = 32 };

typedef struct {
  const char *name;
  int (*attack) (void);
  guint closed_by;
} Attack;

static const Attack system_attacks[] = {
  { "internet socket", internet_socket, CALLS | LIMITS },
  { "unix socket", unix_socket, CALLS | LIMITS },
  { "take a connection", take_connection, CALLS },
  { "pair of sockets", more_sockets, CALLS | LIMITS },
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

/* All of them, those of the test behind the others; NULL at the end. */
static const Attack *
nth_attack (const Attack *own, gsize n_own, gsize n)
{
  if (n < G_N_ELEMENTS (system_attacks))
    return &system_attacks[n];
  n -= G_N_ELEMENTS (system_attacks);
  return n < n_own ? &own[n] : NULL;
}
