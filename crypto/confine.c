/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confinement of the key agent: see crypto/confine.h.
 *
 * The list of calls is what OpenSSL, GLib and libc need to calculate, to take
 * memory and to wait for each other, and recvfrom() and sendto() on sockets
 * that are there. It has no recvmsg(), so no descriptor can be handed in; no
 * memory can become executable; no thread or process can be made.
 *
 * A call that is not on the list gets EPERM rather than the end of the
 * process: libraries try things they can do without (a message catalogue, the
 * system log), and which ones differs between versions; the tenant's key
 * should not go away for that. Calls that no library makes by itself, and an
 * intruder makes first, end the process at once.
 */
#include "crypto/confine.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/seccomp_rules.h"

/* The sanitizers do more by themselves: stacks for signals, which they free
 * with each thread, and asking who they are. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Names, because the numbers differ between machines and not every libseccomp
 * knows each of them. */
static const char *const allowed[] = {
  /* messages */
  "recvfrom",
  "sendto",
  "shutdown",
  "close",
  /* memory, not executable: mmap and mprotect below */
  "brk",
  "madvise",
  "mlock",
  "mlock2",
  "mremap",
  "munlock",
  "munmap",
  /* threads that are there already */
  "exit",
  "exit_group",
  "futex",
  "futex_time64",
  "futex_waitv",
  "restart_syscall",
  "rseq",
  "rt_sigaction",
  "rt_sigprocmask",
  "rt_sigreturn",
  "sched_getaffinity",
  "sched_yield",
  "set_robust_list",
  /* helpers that were made before */
  "wait4",
  /* time, chance and who am I */
  "clock_gettime",
  "clock_gettime64",
  "clock_nanosleep",
  "clock_nanosleep_time64",
  "getpid",
  "getrandom",
  "gettid",
  "gettimeofday",
  "nanosleep",
  "time",
};

static const char *const allowed_sanitized[] = {
  "sigaltstack",
  "write",
  "getrusage",
  "getppid",
};

static const char *const fatal[] = {
  "add_key",
  "bpf",
  "chroot",
  "clone",
  "clone3",
  "execve",
  "execveat",
  "fork",
  "init_module",
  "finit_module",
  "io_uring_setup",
  "kcmp",
  "kexec_load",
  "keyctl",
  "memfd_create",
  "mount",
  "name_to_handle_at",
  "open_by_handle_at",
  "perf_event_open",
  "pidfd_getfd",
  "pidfd_open",
  "process_madvise",
  "process_vm_readv",
  "process_vm_writev",
  "ptrace",
  "request_key",
  "setns",
  "unshare",
  "userfaultfd",
  "vfork",
};

/* struct landlock_ruleset_attr of Linux 6.12; older headers have less of it,
 * and older kernels are given less. */
struct ruleset {
  guint64 files;
  guint64 net;
  guint64 scoped;
};

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif
#define RULESET_VERSION 1

gboolean
tpd_confine_files (void)
{
  long abi = syscall (SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);

  if (abi < 1)
    return FALSE;
  /* 13 rights in the first version; refer, truncate and device ioctls came
   * with 2, 3 and 5. */
  const guint n_rights = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
  const struct ruleset all = {
    .files = (G_GUINT64_CONSTANT (1) << n_rights) - 1,
    .net = abi >= 4 ? 3 : 0,    /* bind and connect of TCP */
    .scoped = abi >= 6 ? 3 : 0, /* abstract sockets and signals */
  };
  const gsize size = abi >= 6 ? sizeof all : abi >= 4 ? 2 * sizeof (guint64) : sizeof (guint64);
  int fd = (int) syscall (SYS_landlock_create_ruleset, &all, size, 0);

  if (fd < 0)
    return FALSE;
  gboolean done = syscall (SYS_landlock_restrict_self, fd, 0) == 0;
  close (fd);
  return done;
}

void
tpd_confine_limits (void)
{
  static const __rlimit_resource_t none[] = { RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_MSGQUEUE };
  const struct rlimit zero = { 0, 0 };

  for (guint i = 0; i < G_N_ELEMENTS (none); i++)
    (void) setrlimit (none[i], &zero);
}

static int
add_rules (scmp_filter_ctx filter)
{
  const struct scmp_arg_cmp not_executable = SCMP_A2 (SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
  const struct scmp_arg_cmp myself = SCMP_A0 (SCMP_CMP_EQ, (scmp_datum_t) getpid ());
  int failed = seccomp_attr_set (filter, SCMP_FLTATR_CTL_TSYNC, 1);

  if (failed == 0)
    failed = seccomp_attr_set (filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (failed == 0)
    failed = tpd_seccomp_add_all (filter, SCMP_ACT_ALLOW, allowed, G_N_ELEMENTS (allowed));
  if (failed == 0 && SANITIZED)
    failed = tpd_seccomp_add_all (filter, SCMP_ACT_ALLOW, allowed_sanitized, G_N_ELEMENTS (allowed_sanitized));
  if (failed == 0)
    failed = tpd_seccomp_add_all (filter, SCMP_ACT_KILL_PROCESS, fatal, G_N_ELEMENTS (fatal));
  if (failed == 0)
    failed = seccomp_rule_add_array (filter, SCMP_ACT_ALLOW, SCMP_SYS (mmap), 1, &not_executable);
  if (failed == 0)
    failed = seccomp_rule_add_array (filter, SCMP_ACT_ALLOW, SCMP_SYS (mmap2), 1, &not_executable);
  if (failed == 0)
    failed = seccomp_rule_add_array (filter, SCMP_ACT_ALLOW, SCMP_SYS (mprotect), 1, &not_executable);
  /* abort() */
  if (failed == 0)
    failed = seccomp_rule_add_array (filter, SCMP_ACT_ALLOW, SCMP_SYS (tgkill), 1, &myself);
  return failed;
}

gboolean
tpd_confine_calls (GError **error)
{
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_ERRNO (EPERM));
  int failed = filter ? add_rules (filter) : -ENOMEM;

  if (failed == 0)
    failed = seccomp_load (filter);
  seccomp_release (filter);
  if (failed != 0)
    g_set_error (error, TPD_ERROR, TPD_ERROR_AGENT, "This system does not let a process limit its own system calls: %s",
                 g_strerror (-failed));
  return failed == 0;
}
