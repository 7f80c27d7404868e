/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker's process: see fs/broker.h.
 *
 * Straight-line code in one thread, without memory of its own: a message is
 * received, what came with it is checked, one ioctl is made. The kernel opens
 * a registered file again for each reader with the credentials that the broker
 * has: user and groups are therefore those of the mount, and of capabilities
 * there is only the one. For the same reason there is no Landlock here: it
 * would follow the registered file, whose readers would get EIO. That no file
 * is opened is seen to by the list of system calls.
 */
#include "fs/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/memfd.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/process.h"

/* From <linux/fuse.h> of Linux 6.9; older headers do not have it. */
struct backing_map {
  gint32 fd;
  guint32 flags;
  guint64 padding;
};
#define IOC_BACKING_OPEN _IOW (229, 1, struct backing_map)
#define IOC_BACKING_CLOSE _IOW (229, 2, guint32)

#define MAX_OPEN (256 * 1024) /* files registered at a time */
#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#define FUSE_DEVICE makedev (10, 229)

typedef struct {
  int sock;
  int fuse_fd; /* -1: not connected yet */
  GArray *devices;
  guint n_open;
} Broker;

/* --- Which file systems --------------------------------------------------- */

/* A read of their files is an act of the kernel rather than of a disk. */
static const char *const interfaces[] = {
  "autofs",     "binfmt_misc", "bpf",        "cgroup",  "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs",
  "efivarfs",   "fusectl",     "hugetlbfs",  "mqueue",  "nfsd",    "nsfs",     "proc",    "pstore", "resctrl",
  "rpc_pipefs", "selinuxfs",   "securityfs", "smackfs", "sysfs",   "tracefs",  "xenfs",
};

static gboolean
is_interface (const char *type)
{
  for (guint i = 0; i < G_N_ELEMENTS (interfaces); i++)
    if (strcmp (type, interfaces[i]) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
lies_beneath (const char *path, const char *source)
{
  gsize len = strlen (source);

  if (len == 1) /* the root directory */
    return path[0] == '/' && path[1] != '\0';
  return strncmp (path, source, len) == 0 && path[len] == '/';
}

void
tpd_broker_add_mounts (const char *mountinfo, const char *source, GArray *devices)
{
  g_auto (GStrv) lines = g_strsplit (mountinfo, "\n", -1);

  /* ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG]... - TYPE ... */
  for (char **line = lines; *line != NULL; line++)
    {
      g_auto (GStrv) words = g_strsplit (*line, " ", -1);
      guint n = g_strv_length (words), dash = 6;
      char *minor_text;
      guint64 major_number, minor_number;

      while (dash < n && strcmp (words[dash], "-") != 0)
        dash++;
      if (dash + 1 >= n || is_interface (words[dash + 1]))
        continue;
      g_autofree char *point = g_strcompress (words[4]); /* \040 is a blank */
      if (!lies_beneath (point, source))
        continue;
      major_number = g_ascii_strtoull (words[2], &minor_text, 10);
      if (*minor_text != ':')
        continue;
      minor_number = g_ascii_strtoull (minor_text + 1, NULL, 10);
      const dev_t device = makedev ((guint) major_number, (guint) minor_number);
      g_array_append_val (devices, device);
    }
}

/* --- Checks --------------------------------------------------------------- */

/* 0, or why the file behind `fd` is not to be registered. */
static int
check (const Broker *broker, int fd)
{
  int flags = fcntl (fd, F_GETFL), seals;
  struct stat st;

  if (flags < 0 || fstat (fd, &st) != 0)
    return EBADF;
  if (!S_ISREG (st.st_mode))
    return S_ISDIR (st.st_mode) ? EISDIR : EINVAL;
  if ((flags & O_PATH) != 0)
    return EACCES;
  /* Only files in memory have seals; of the others the call fails. */
  seals = fcntl (fd, F_GET_SEALS);
  if (seals >= 0 && (seals & ALL_SEALS) == ALL_SEALS)
    return 0;
  if ((flags & O_ACCMODE) != O_RDONLY)
    return EACCES;
  for (guint i = 0; i < broker->devices->len; i++)
    if (g_array_index (broker->devices, dev_t, i) == st.st_dev)
      return 0;
  return EXDEV;
}

/* --- Confinement ---------------------------------------------------------- */

static gboolean
keep_one_capability (void)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct data[2] = { { 0 } };

  data[0].permitted = data[0].effective = 1u << CAP_SYS_ADMIN;
  return syscall (SYS_capset, &header, data) == 0;
}

typedef struct {
  const char *name; /* names, because the numbers differ between machines */
  guint n_arguments;
  struct scmp_arg_cmp arguments[2];
} Rule;

/* Nothing but these calls; whatever else is called ends the process. */
static gboolean
limit_calls (int fuse_fd)
{
  const struct scmp_arg_cmp on_fuse = SCMP_A0 (SCMP_CMP_EQ, (scmp_datum_t) fuse_fd);
  const struct scmp_arg_cmp get_flags = SCMP_A1_32 (SCMP_CMP_EQ, F_GETFL);
  const struct scmp_arg_cmp get_seals = SCMP_A1_32 (SCMP_CMP_EQ, F_GET_SEALS);
  /* What fstat() is to libc nowadays. */
  const struct scmp_arg_cmp of_descriptor = SCMP_A3_32 (SCMP_CMP_EQ, AT_EMPTY_PATH);
  const Rule rules[] = {
    { "recvmsg", 0, { { 0 } } },
    { "sendto", 0, { { 0 } } },
    { "close", 0, { { 0 } } },
    { "exit_group", 0, { { 0 } } },
    { "rt_sigreturn", 0, { { 0 } } },
    { "restart_syscall", 0, { { 0 } } },
    { "fstat", 0, { { 0 } } },
    { "fstat64", 0, { { 0 } } },
    { "newfstatat", 1, { of_descriptor } },
    { "fstatat64", 1, { of_descriptor } },
    { "fcntl", 1, { get_flags } },
    { "fcntl", 1, { get_seals } },
    { "fcntl64", 1, { get_flags } },
    { "fcntl64", 1, { get_seals } },
    { "ioctl", 2, { on_fuse, SCMP_A1_32 (SCMP_CMP_EQ, IOC_BACKING_OPEN) } },
    { "ioctl", 2, { on_fuse, SCMP_A1_32 (SCMP_CMP_EQ, IOC_BACKING_CLOSE) } },
  };
  scmp_filter_ctx filter = seccomp_init (SCMP_ACT_KILL_PROCESS);
  int failed = filter != NULL ? 0 : -ENOMEM;

  for (guint i = 0; i < G_N_ELEMENTS (rules) && failed == 0; i++)
    {
      int number = seccomp_syscall_resolve_name (rules[i].name);

      /* Negative: this machine has no such call. */
      if (number >= 0)
        failed = seccomp_rule_add_array (filter, SCMP_ACT_ALLOW, number, rules[i].n_arguments, rules[i].arguments);
    }
  if (failed == 0)
    failed = seccomp_load (filter);
  seccomp_release (filter);
  return failed == 0;
}

gboolean
tpd_broker_confine (int fuse_fd)
{
  static const __rlimit_resource_t none[] = { RLIMIT_CORE, RLIMIT_FSIZE, RLIMIT_NPROC, RLIMIT_MSGQUEUE };
  const struct rlimit zero = { 0, 0 };

  for (guint i = 0; i < G_N_ELEMENTS (none); i++)
    if (setrlimit (none[i], &zero) != 0)
      return FALSE;
  return limit_calls (fuse_fd);
}

/* --- Messages ------------------------------------------------------------- */

/* One message with at most one descriptor. FALSE at the end, and for what is
 * no message. */
static gboolean
receive (int sock, TpdBrokerMessage *message, int *fd)
{
  union {
    char space[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control;
  struct iovec part = { message, sizeof *message };
  struct msghdr header = {
    .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space
  };
  const struct cmsghdr *item;
  gssize n;

  *fd = -1;
  do
    n = recvmsg (sock, &header, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n <= 0)
    return FALSE;
  item = CMSG_FIRSTHDR (&header);
  if (item != NULL && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS
      && item->cmsg_len == CMSG_LEN (sizeof (int)))
    memcpy (fd, CMSG_DATA (item), sizeof (int));
  return n == sizeof *message && (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0
         && (message->what == TPD_BROKER_CLOSE) == (*fd < 0);
}

static gboolean
reply (int sock, gint32 answer)
{
  return send (sock, &answer, sizeof answer, MSG_NOSIGNAL) == sizeof answer;
}

static gint32
connect_session (Broker *broker, int fd)
{
  struct stat st;

  if (fstat (fd, &st) != 0 || !S_ISCHR (st.st_mode) || st.st_rdev != FUSE_DEVICE)
    return -ENODEV;
  if (!tpd_broker_confine (fd))
    return -EPERM;
  broker->fuse_fd = fd;
  return 0;
}

static gint32
open_backing (Broker *broker, int fd)
{
  struct backing_map map = { .fd = fd };
  int refused = check (broker, fd), id;

  if (refused != 0)
    return -refused;
  if (broker->n_open >= MAX_OPEN)
    return -ENFILE;
  id = ioctl (broker->fuse_fd, IOC_BACKING_OPEN, &map);
  if (id <= 0)
    return id < 0 ? -errno : -EPROTO;
  broker->n_open++;
  return id;
}

static void
close_backing (Broker *broker, gint32 id)
{
  guint32 number = (guint32) id;

  if (ioctl (broker->fuse_fd, IOC_BACKING_CLOSE, &number) == 0 && broker->n_open > 0)
    broker->n_open--;
}

/* FALSE: the other side is not what we were forked from any more. */
static gboolean
serve (Broker *broker, const TpdBrokerMessage *message, int fd)
{
  gboolean connected = broker->fuse_fd >= 0, fine;
  gint32 answer;

  switch (message->what)
    {
    case TPD_BROKER_CONNECT:
      if (connected || message->id != 0)
        return FALSE;
      answer = connect_session (broker, fd);
      return reply (broker->sock, answer) && answer == 0;
    case TPD_BROKER_OPEN:
      if (!connected || message->id != 0)
        return FALSE;
      fine = reply (broker->sock, open_backing (broker, fd));
      close (fd);
      return fine;
    case TPD_BROKER_CLOSE:
      if (connected)
        close_backing (broker, message->id);
      return connected;
    default:
      return FALSE;
    }
}

void
tpd_broker_run (int sock, GArray *devices)
{
  g_autoptr (GArray) keep = g_array_new (FALSE, FALSE, sizeof (int));
  Broker broker = { .sock = sock, .fuse_fd = -1, .devices = devices };
  TpdBrokerMessage message;
  int fd;

  prctl (PR_SET_NAME, "tpd-broker", 0, 0, 0);
  tpd_process_reset_signals ();
  tpd_log_to_file (-1);
  closelog ();
  g_array_append_val (keep, sock);
  tpd_process_close_all_but (keep);
  if (!tpd_process_let_go (NULL) || !keep_one_capability ())
    _exit (1);
  /* Giving up capabilities may have made it dumpable again. */
  prctl (PR_SET_DUMPABLE, 0, 0, 0, 0);
  while (receive (sock, &message, &fd) && serve (&broker, &message, fd))
    ;
  /* Not _exit(): a sanitizer that looks for leaks there makes other calls. */
  for (;;)
    syscall (SYS_exit_group, 0);
}
