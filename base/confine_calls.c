/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp: which system calls may be made.
 *
 * The lists hold what libc, GLib, libfuse, SQLite, libxml2, GMime and OpenSSL
 * call when they read, calculate, wait and make threads. What is on none of
 * them is answered EPERM rather than by the end of the process: libraries try
 * things that they can do without, which ones differs between versions, and a
 * mount should not go away for that. Calls that no library makes by itself,
 * and an intruder makes first, end the process at once.
 *
 * Threads can be made, processes cannot. Code can come from files (iconv loads
 * its converters), but no memory can be written and run.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/confine_private.h"
#include "base/error.h"
#include "base/seccomp_rules.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
/* linux/fs.h and linux/fuse.h, without what else they bring. */
#define IOCTL_FICLONE 0x40049409
#define IOCTL_FICLONERANGE 0x4020940d
#define IOCTL_FS_GETFLAGS 0x80086601
#define IOCTL_FUSE_CLONE 0x8004e500

/* Names, because the numbers differ between machines and not every libseccomp
 * knows each of them. */
static const char *const reading[] = {
  /* files and directories */
  "access",
  "close",
  "close_range",
  "dup",
  "dup2",
  "dup3",
  "faccessat",
  "faccessat2",
  "fadvise64",
  "fadvise64_64",
  "fcntl",
  "fcntl64",
  "fgetxattr",
  "flistxattr",
  "flock",
  "fstat",
  "fstat64",
  "fstatat64",
  "fstatfs",
  "fstatfs64",
  "getcwd",
  "getdents",
  "getdents64",
  "getxattr",
  "lgetxattr",
  "listxattr",
  "llistxattr",
  "_llseek",
  "lseek",
  "lstat",
  "lstat64",
  "newfstatat",
  "pread64",
  "preadv",
  "preadv2",
  "read",
  "readahead",
  "readlink",
  "readlinkat",
  "readv",
  "stat",
  "stat64",
  "statfs",
  "statfs64",
  "statx",
  "umask",
  /* output, pipes, and memory files for what was decoded */
  "copy_file_range",
  "fallocate",
  "fdatasync",
  "fsync",
  "ftruncate",
  "ftruncate64",
  "memfd_create",
  "pipe",
  "pipe2",
  "pwrite64",
  "pwritev",
  "pwritev2",
  "sendfile",
  "sendfile64",
  "splice",
  "sync_file_range",
  "tee",
  "vmsplice",
  "write",
  "writev",
  /* the sockets that are there: to the key agent and to helpers */
  "getsockopt",
  "recvfrom",
  "recvmsg",
  "sendmsg",
  "sendto",
  "shutdown",
  /* waiting */
  "_newselect",
  "clock_nanosleep",
  "clock_nanosleep_time64",
  "epoll_create1",
  "epoll_ctl",
  "epoll_pwait",
  "epoll_wait",
  "eventfd2",
  "nanosleep",
  "poll",
  "ppoll",
  "ppoll_time64",
  "pselect6",
  "pselect6_time64",
  "select",
  "wait4",
  "waitid",
  /* memory; mmap and mprotect below */
  "brk",
  "madvise",
  "mincore",
  "mlock",
  "mlock2",
  "mremap",
  "msync",
  "munlock",
  "munmap",
  /* threads and signals; clone below */
  "exit",
  "exit_group",
  "futex",
  "futex_time64",
  "futex_waitv",
  "futex_wait",
  "futex_wake",
  "membarrier",
  "restart_syscall",
  "rseq",
  "rt_sigaction",
  "rt_sigpending",
  "rt_sigprocmask",
  "rt_sigreturn",
  "rt_sigsuspend",
  "rt_sigtimedwait",
  "rt_sigtimedwait_time64",
  "sched_get_priority_max",
  "sched_get_priority_min",
  "sched_getaffinity",
  "sched_getattr",
  "sched_getparam",
  "sched_getscheduler",
  "sched_setattr",
  "sched_yield",
  "set_robust_list",
  "set_tid_address",
  "sigaltstack",
  "sigreturn",
  /* time, chance and who am I */
  "clock_getres",
  "clock_gettime",
  "clock_gettime64",
  "getcpu",
  "getegid",
  "getegid32",
  "geteuid",
  "geteuid32",
  "getgid",
  "getgid32",
  "getgroups",
  "getgroups32",
  "getpgrp",
  "getpid",
  "getppid",
  "getrandom",
  "getrlimit",
  "getrusage",
  "gettid",
  "gettimeofday",
  "getuid",
  "getuid32",
  "sysinfo",
  "time",
  "times",
  "ugetrlimit",
  "uname",
};

/* Names of files: Landlock says where. */
static const char *const writing[] = {
  "link",  "linkat",  "mkdir",     "mkdirat", "rename", "renameat", "renameat2",
  "rmdir", "symlink", "symlinkat", "sync",    "syncfs", "unlink",   "unlinkat",
};

static const char *const owners[] = {
  "chmod",       "fchmod",       "fchown",    "fchown32",  "chown",  "chown32",          "fchmodat",  "fchmodat2",
  "fchownat",    "fremovexattr", "fsetxattr", "futimesat", "lchown", "lchown32",         "lsetxattr", "lremovexattr",
  "removexattr", "setxattr",     "utime",     "utimensat", "utimes", "utimensat_time64",
};

static const char *const fatal[] = {
  "acct",
  "add_key",
  "bpf",
  "chroot",
  "delete_module",
  "execve",
  "execveat",
  "finit_module",
  "fsconfig",
  "fsmount",
  "fsopen",
  "fspick",
  "init_module",
  "io_uring_enter",
  "io_uring_register",
  "io_uring_setup",
  "ioperm",
  "iopl",
  "kcmp",
  "kexec_file_load",
  "kexec_load",
  "keyctl",
  "mount",
  "mount_setattr",
  "move_mount",
  "open_by_handle_at",
  "open_tree",
  "perf_event_open",
  "pidfd_getfd",
  "pidfd_open",
  "pidfd_send_signal",
  "pivot_root",
  "process_madvise",
  "process_vm_readv",
  "process_vm_writev",
  "reboot",
  "request_key",
  "setns",
  "swapoff",
  "swapon",
  "unshare",
  "userfaultfd",
};

/* LeakSanitizer stops the threads of the process at its end: it traces them from
 * a process that shares their memory. */
static const char *const tracing[] = {
  "ptrace",
};

#define ADD_ALL(filter, action, names) tpd_seccomp_add_all (filter, action, names, G_N_ELEMENTS (names))

/* Allows `name` where all of `n` comparisons hold. */
static int
allow_if (scmp_filter_ctx filter, const char *name, guint n, const struct scmp_arg_cmp *comparisons)
{
  int number = seccomp_syscall_resolve_name (name);

  return number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add_array (filter, SCMP_ACT_ALLOW, number, n, comparisons);
}

/*
 * Nobody cuts off a file by its name, neither by truncate(2) nor with O_TRUNC,
 * which works for files that are opened to be read: Landlock does not look for
 * that (base/confine_paths.c). Descriptors that can be written are another matter.
 */
static int
add_open_rules (scmp_filter_ctx filter)
{
  int openat2 = seccomp_syscall_resolve_name ("openat2");
  int failed = allow_if (filter, "open", 1, &SCMP_A1 (SCMP_CMP_MASKED_EQ, O_TRUNC, 0));

  if (failed == 0)
    failed = allow_if (filter, "openat", 1, &SCMP_A2 (SCMP_CMP_MASKED_EQ, O_TRUNC, 0));
  /* Its flags are in memory, out of sight. */
  if (failed == 0 && openat2 != __NR_SCMP_ERROR)
    failed = seccomp_rule_add (filter, SCMP_ACT_ERRNO (ENOSYS), openat2, 0);
  return failed;
}

static int
add_memory_rules (scmp_filter_ctx filter)
{
  static const char *const maps[] = { "mmap", "mmap2", "mprotect", "pkey_mprotect" };
  const struct scmp_arg_cmp no_code = SCMP_A2 (SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
  /* A library: not writable, and of a file. */
  const struct scmp_arg_cmp code_of_file[] = {
    SCMP_A2 (SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC),
    SCMP_A3 (SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0),
  };
  int failed = 0;

  for (guint i = 0; i < G_N_ELEMENTS (maps) && failed == 0; i++)
    failed = allow_if (filter, maps[i], 1, &no_code);
  for (guint i = 0; i < 2 && failed == 0; i++)
    failed = allow_if (filter, maps[i], G_N_ELEMENTS (code_of_file), code_of_file);
  return failed;
}

static int
add_thread_rules (scmp_filter_ctx filter)
{
#ifdef __s390__
  const struct scmp_arg_cmp thread = SCMP_A1 (SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
#else
  const struct scmp_arg_cmp thread = SCMP_A0 (SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
#endif
  const struct scmp_arg_cmp myself = SCMP_A0 (SCMP_CMP_EQ, (scmp_datum_t) getpid ());
  const struct scmp_arg_cmp only_asks = SCMP_A2 (SCMP_CMP_EQ, 0);
  static const guint harmless[] = { PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_GET_DUMPABLE };
  int clone3 = seccomp_syscall_resolve_name ("clone3");
  int failed = allow_if (filter, "clone", 1, &thread);

  /* Its flags are in memory, out of sight: libc takes clone instead. */
  if (failed == 0 && clone3 != __NR_SCMP_ERROR)
    failed = seccomp_rule_add (filter, SCMP_ACT_ERRNO (ENOSYS), clone3, 0);
  if (failed == 0)
    failed = allow_if (filter, "tgkill", 1, &myself);
  if (failed == 0)
    failed = allow_if (filter, "prlimit64", 1, &only_asks);
  for (guint i = 0; i < G_N_ELEMENTS (harmless) && failed == 0; i++)
    failed = allow_if (filter, "prctl", 1, &SCMP_A0 (SCMP_CMP_EQ, harmless[i]));
  if (!TPD_SANITIZED)
    return failed;

  static const guint for_tracing[] = { PR_SET_DUMPABLE, PR_SET_PTRACER, PR_SET_PDEATHSIG };
  if (failed == 0)
    failed = allow_if (filter, "clone", 1, &SCMP_A0 (SCMP_CMP_MASKED_EQ, CLONE_VM, CLONE_VM));
  for (guint i = 0; i < G_N_ELEMENTS (for_tracing) && failed == 0; i++)
    failed = allow_if (filter, "prctl", 1, &SCMP_A0 (SCMP_CMP_EQ, for_tracing[i]));
  return failed;
}

/* Nothing that puts characters into a terminal. */
static int
add_ioctl_rules (scmp_filter_ctx filter, TpdConfineFlags flags)
{
  static const guint reading_ones[] = { TCGETS, TIOCGWINSZ, FIONREAD, IOCTL_FS_GETFLAGS, IOCTL_FUSE_CLONE };
  static const guint writing_ones[] = { IOCTL_FICLONE, IOCTL_FICLONERANGE };
  int failed = 0;

  for (guint i = 0; i < G_N_ELEMENTS (reading_ones) && failed == 0; i++)
    failed = allow_if (filter, "ioctl", 1, &SCMP_A1 (SCMP_CMP_EQ, reading_ones[i]));
  for (guint i = 0; (flags & TPD_CONFINE_WRITES) && i < G_N_ELEMENTS (writing_ones) && failed == 0; i++)
    failed = allow_if (filter, "ioctl", 1, &SCMP_A1 (SCMP_CMP_EQ, writing_ones[i]));
  return failed;
}

static int
add_rules (scmp_filter_ctx filter, TpdConfineFlags flags)
{
  int failed = seccomp_attr_set (filter, SCMP_FLTATR_CTL_TSYNC, 1);

  if (failed == 0)
    failed = seccomp_attr_set (filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  /* By a tree instead of one after the other: every read pays for it. An old
   * libseccomp does not know it. */
  (void) seccomp_attr_set (filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (failed == 0)
    failed = ADD_ALL (filter, SCMP_ACT_ALLOW, reading);
  if (failed == 0 && (flags & TPD_CONFINE_WRITES))
    failed = ADD_ALL (filter, SCMP_ACT_ALLOW, writing);
  if (failed == 0 && (flags & TPD_CONFINE_OWNERS))
    failed = ADD_ALL (filter, SCMP_ACT_ALLOW, owners);
  if (failed == 0)
    failed = ADD_ALL (filter, SCMP_ACT_KILL_PROCESS, fatal);
  if (failed == 0)
    failed = ADD_ALL (filter, TPD_SANITIZED ? SCMP_ACT_ALLOW : SCMP_ACT_KILL_PROCESS, tracing);
  if (failed == 0)
    failed = add_open_rules (filter);
  if (failed == 0)
    failed = add_memory_rules (filter);
  if (failed == 0)
    failed = add_thread_rules (filter);
  if (failed == 0)
    failed = add_ioctl_rules (filter, flags);
  return failed;
}

gboolean
tpd_confine_system_calls (TpdConfineFlags flags, GError **error)
{
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ERRNO (EPERM));
  int failed = filter ? add_rules (filter, flags) : -ENOMEM;

  if (failed == 0)
    failed = seccomp_load (filter);
  seccomp_release (filter);
  if (failed != 0)
    g_set_error (error, TPD_ERROR, TPD_ERROR_CONFINE, "This process cannot limit its system calls: %s",
                 g_strerror (-failed));
  return failed == 0;
}
