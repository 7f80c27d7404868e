/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The broker takes what a mount could read anyhow, and nothing else. Tested
 * against the process itself, without a mount: what it would register it hands
 * to the kernel, which answers EPERM for a FUSE descriptor without a mount, an
 * answer that the broker has for nothing of its own. (That it does register is
 * shown by tests/mount/test_passthrough.py.)
 */
#include "fs/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static char *folder;
static char *file; /* in `folder`, regular */

/* --- A broker, and raw messages to it ------------------------------------- */

typedef struct {
  int sock;
  pid_t pid;
} Process;

static dev_t
device_of (const char *path)
{
  struct stat st;

  g_assert_no_errno (stat (path, &st));
  return st.st_dev;
}

/* Only files on the file system of `folder` are its to take. */
static Process
start (void)
{
  Process process;
  int ends[2];

  g_assert_no_errno (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
  process.pid = fork ();
  g_assert_cmpint (process.pid, >=, 0);
  if (process.pid == 0)
    {
      GArray *devices = g_array_new (FALSE, FALSE, sizeof (dev_t));
      const dev_t device = device_of (folder);

      g_array_append_val (devices, device);
      close (ends[0]);
      tpd_broker_run (ends[1], devices);
    }
  close (ends[1]);
  process.sock = ends[0];
  return process;
}

static void
send_raw (const Process *process, const void *data, gsize len, const int *fds, guint n_fds)
{
  union {
    char space[CMSG_SPACE (4 * sizeof (int))];
    struct cmsghdr align;
  } control = { { 0 } };
  struct iovec part = { (gpointer) data, len };
  struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };

  if (n_fds > 0)
    {
      struct cmsghdr *item;

      header.msg_control = control.space;
      header.msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
      item = CMSG_FIRSTHDR (&header);
      item->cmsg_level = SOL_SOCKET;
      item->cmsg_type = SCM_RIGHTS;
      item->cmsg_len = CMSG_LEN (n_fds * sizeof (int));
      memcpy (CMSG_DATA (item), fds, n_fds * sizeof (int));
    }
  /* It may have ended before. */
  if (sendmsg (process->sock, &header, MSG_NOSIGNAL) < 0)
    g_assert_true (errno == EPIPE || errno == ECONNRESET);
}

/* FALSE: it has ended. */
static gboolean
receive (const Process *process, gint32 *answer)
{
  gssize n = recv (process->sock, answer, sizeof *answer, 0);

  if (n == 0 || (n < 0 && errno == ECONNRESET))
    return FALSE;
  g_assert_cmpint (n, ==, sizeof *answer);
  return TRUE;
}

static gint32
ask (const Process *process, guint32 what, int fd)
{
  const TpdBrokerMessage message = { what, 0 };
  gint32 answer;

  send_raw (process, &message, sizeof message, &fd, 1);
  g_assert_true (receive (process, &answer));
  return answer;
}

static void
connect_fuse (const Process *process)
{
  int fuse = open ("/dev/fuse", O_RDWR | O_CLOEXEC);

  g_assert_no_errno (fuse);
  g_assert_cmpint (ask (process, TPD_BROKER_CONNECT, fuse), ==, 0);
  close (fuse);
}

static int
wait_end (Process *process)
{
  int status;

  close (process->sock);
  g_assert_cmpint (waitpid (process->pid, &status, 0), ==, process->pid);
  return status;
}

/* Ended by itself, not by a signal: a message is never worth a crash. */
static void
assert_ended (Process *process)
{
  gint32 answer;
  int status;

  g_assert_false (receive (process, &answer));
  status = wait_end (process);
  g_assert_true (WIFEXITED (status));
}

static gboolean
cannot_run (void)
{
  if (geteuid () == 0 && prctl (PR_CAPBSET_READ, CAP_SYS_ADMIN) == 1 && access ("/dev/fuse", R_OK | W_OK) == 0)
    return FALSE;
  g_test_skip ("needs CAP_SYS_ADMIN and /dev/fuse");
  return TRUE;
}

/* --- Descriptors ---------------------------------------------------------- */

static int
open_file (int flags)
{
  int fd = open (file, flags | O_CLOEXEC);

  g_assert_no_errno (fd);
  return fd;
}

static int
memory_file (int seals)
{
  int fd = memfd_create ("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_no_errno (fd);
  g_assert_cmpint (write (fd, "text", 4), ==, 4);
  if (seals != 0)
    g_assert_no_errno (fcntl (fd, F_ADD_SEALS, seals));
  return fd;
}

static void
assert_answer (const Process *process, int fd, int expected)
{
  g_assert_no_errno (fd);
  g_assert_cmpint (ask (process, TPD_BROKER_OPEN, fd), ==, -expected);
  close (fd);
}

static void
test_takes (void)
{
  if (cannot_run ())
    return;
  Process process = start ();

  connect_fuse (&process);
  assert_answer (&process, open_file (O_RDONLY), EPERM);
  assert_answer (&process, open_file (O_RDONLY | O_NOATIME | O_NONBLOCK), EPERM);
  assert_answer (&process, memory_file (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), EPERM);
  g_assert_true (WIFEXITED (wait_end (&process)));
}

static void
test_refuses (void)
{
  if (cannot_run ())
    return;
  Process process = start ();
  int unsealed = memory_file (0), pair[2];
  g_autofree char *again = g_strdup_printf ("/proc/self/fd/%d", unsealed);
  g_autofree char *fifo = g_build_filename (folder, "fifo", NULL);

  connect_fuse (&process);
  assert_answer (&process, open_file (O_RDWR), EACCES);
  assert_answer (&process, open_file (O_WRONLY), EACCES);
  assert_answer (&process, open_file (O_WRONLY | O_APPEND), EACCES);
  assert_answer (&process, open_file (O_PATH), EACCES);
  assert_answer (&process, open (folder, O_RDONLY | O_CLOEXEC), EISDIR);
  assert_answer (&process, open (folder, O_PATH | O_CLOEXEC), EISDIR);
  assert_answer (&process, open ("/dev/null", O_RDONLY | O_CLOEXEC), EINVAL);
  assert_answer (&process, open ("/dev/fuse", O_RDWR | O_CLOEXEC), EINVAL);
  g_assert_no_errno (mkfifo (fifo, 0600));
  assert_answer (&process, open (fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC), EINVAL);
  g_assert_no_errno (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  assert_answer (&process, pair[0], EINVAL);
  close (pair[1]);
  /* Another file system, and files that are none. */
  assert_answer (&process, open ("/proc/self/status", O_RDONLY | O_CLOEXEC), EXDEV);
  assert_answer (&process, open ("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC), EXDEV);
  /* Memory that could still change. */
  assert_answer (&process, open (again, O_RDONLY | O_CLOEXEC), EXDEV);
  assert_answer (&process, unsealed, EACCES);
  assert_answer (&process, memory_file (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), EACCES);
  assert_answer (&process, memory_file (F_SEAL_SEAL | F_SEAL_GROW | F_SEAL_WRITE), EACCES);
  assert_answer (&process, memory_file (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW), EACCES);
  /* It serves on. */
  assert_answer (&process, open_file (O_RDONLY), EPERM);
  g_assert_true (WIFEXITED (wait_end (&process)));
}

/* --- Messages that are none ----------------------------------------------- */

static void
try_garbage (gboolean connected, const void *data, gsize len, guint n_fds)
{
  Process process = start ();
  int fds[4];

  for (guint i = 0; i < n_fds; i++)
    fds[i] = open_file (O_RDONLY);
  if (connected)
    connect_fuse (&process);
  send_raw (&process, data, len, fds, n_fds);
  for (guint i = 0; i < n_fds; i++)
    close (fds[i]);
  assert_ended (&process);
}

static void
test_garbage (void)
{
  if (cannot_run ())
    return;
  const TpdBrokerMessage open_one = { TPD_BROKER_OPEN, 0 }, close_one = { TPD_BROKER_CLOSE, 1 };
  const TpdBrokerMessage connect_again = { TPD_BROKER_CONNECT, 0 }, unknown = { 4, 0 }, zero = { 0, 0 };
  const TpdBrokerMessage with_id = { TPD_BROKER_OPEN, 7 };
  guint8 longer[sizeof open_one + 1] = { TPD_BROKER_OPEN };

  try_garbage (TRUE, "", 0, 0);
  try_garbage (TRUE, &open_one, 1, 1);
  try_garbage (TRUE, &open_one, sizeof open_one - 1, 1);
  try_garbage (TRUE, longer, sizeof longer, 1);
  try_garbage (TRUE, &unknown, sizeof unknown, 1);
  try_garbage (TRUE, &zero, sizeof zero, 0);
  try_garbage (TRUE, &with_id, sizeof with_id, 1);
  try_garbage (TRUE, &open_one, sizeof open_one, 0);
  try_garbage (TRUE, &open_one, sizeof open_one, 2);
  try_garbage (TRUE, &open_one, sizeof open_one, 4);
  try_garbage (TRUE, &close_one, sizeof close_one, 1);
  try_garbage (TRUE, &connect_again, sizeof connect_again, 1);
  /* Before it is connected. */
  try_garbage (FALSE, &open_one, sizeof open_one, 1);
  try_garbage (FALSE, &close_one, sizeof close_one, 0);
}

static void
test_random_garbage (void)
{
  if (cannot_run ())
    return;
  for (guint i = 0; i < 50; i++)
    {
      Process process = start ();
      int status;

      connect_fuse (&process);
      for (guint n = 0; n < 8; n++)
        {
          guint32 data[4];
          int fd = open_file (O_RDONLY);

          for (guint j = 0; j < G_N_ELEMENTS (data); j++)
            data[j] =
                g_test_rand_int_range (0, 2) ? (guint32) g_test_rand_int_range (0, 5) : (guint32) g_test_rand_int ();
          send_raw (&process, data, (gsize) g_test_rand_int_range (0, sizeof data), &fd,
                    (guint) g_test_rand_int_range (0, 2));
          close (fd);
        }
      status = wait_end (&process);
      g_assert_true (WIFEXITED (status));
    }
}

static void
test_only_fuse_connects (void)
{
  if (cannot_run ())
    return;
  static const char *const others[] = { "/dev/null", "/dev/zero", "/proc/self/status" };

  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    {
      Process process = start ();
      int fd = open (others[i], O_RDONLY | O_CLOEXEC);

      g_assert_no_errno (fd);
      g_assert_cmpint (ask (&process, TPD_BROKER_CONNECT, fd), ==, -ENODEV);
      close (fd);
      assert_ended (&process);
    }
}

/* An id that was never given changes nothing, and is not answered. */
static void
test_unknown_id (void)
{
  if (cannot_run ())
    return;
  static const gint32 ids[] = { 0, 1, -1, G_MAXINT32, G_MININT32 };
  Process process = start ();

  connect_fuse (&process);
  for (guint i = 0; i < G_N_ELEMENTS (ids); i++)
    {
      const TpdBrokerMessage message = { TPD_BROKER_CLOSE, ids[i] };

      send_raw (&process, &message, sizeof message, NULL, 0);
    }
  assert_answer (&process, open_file (O_RDONLY), EPERM);
  g_assert_true (WIFEXITED (wait_end (&process)));
}

/* --- What it is left with ------------------------------------------------- */

static void
assert_status (const char *status, const char *line)
{
  g_autofree char *text = g_strconcat ("\n", line, "\n", NULL);

  if (strstr (status, text) == NULL)
    g_error ("no line '%s' in\n%s", line, status);
}

static void
test_has_one_capability_and_no_files (void)
{
  if (cannot_run ())
    return;
  Process process = start ();
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", (int) process.pid);
  g_autofree char *fds_path = g_strdup_printf ("/proc/%d/fd", (int) process.pid);
  g_autofree char *status = NULL;
  guint n_null = 0, n_fuse = 0, n_socket = 0, n_other = 0;
  const char *name;
  GDir *fds;

  connect_fuse (&process);
  g_assert_true (g_file_get_contents (path, &status, NULL, NULL));
  assert_status (status, "CapEff:\t0000000000200000");
  assert_status (status, "CapPrm:\t0000000000200000");
  assert_status (status, "CapInh:\t0000000000000000");
  assert_status (status, "NoNewPrivs:\t1");
  assert_status (status, "Seccomp:\t2");
  g_assert_true (g_str_has_prefix (status, "Name:\ttpd-broker\n"));
  fds = g_dir_open (fds_path, 0, NULL);
  g_assert_nonnull (fds);
  while ((name = g_dir_read_name (fds)) != NULL)
    {
      g_autofree char *link = g_build_filename (fds_path, name, NULL);
      g_autofree char *target = g_file_read_link (link, NULL);

      g_assert_nonnull (target);
      if (strcmp (target, "/dev/null") == 0)
        n_null++;
      else if (strcmp (target, "/dev/fuse") == 0)
        n_fuse++;
      else if (g_str_has_prefix (target, "socket:"))
        n_socket++;
      else
        n_other++;
    }
  g_dir_close (fds);
  g_assert_cmpuint (n_null, ==, 3);
  g_assert_cmpuint (n_fuse, ==, 1);
  g_assert_cmpuint (n_socket, ==, 1);
  g_assert_cmpuint (n_other, ==, 0);
  g_assert_true (WIFEXITED (wait_end (&process)));
}

static int fuse_fd, other_fuse_fd;

static void
try_open (void)
{
  (void) open ("/etc/passwd", O_RDONLY);
}

static void
try_socket (void)
{
  (void) socket (AF_INET, SOCK_STREAM, 0);
}

static void
try_exec (void)
{
  execl ("/bin/true", "true", NULL);
}

static void
try_fork (void)
{
  (void) syscall (SYS_clone, SIGCHLD, NULL);
}

static void
try_mount (void)
{
  (void) syscall (SYS_mount, "none", folder, "tmpfs", 0, NULL);
}

static void
try_ptrace (void)
{
  (void) syscall (SYS_ptrace, 16, getppid (), NULL, NULL);
}

static void
try_read (void)
{
  char byte;

  (void) syscall (SYS_read, fuse_fd, &byte, 1);
}

static void
try_other_ioctl (void)
{
  (void) ioctl (fuse_fd, _IOR (229, 0, guint32), &fuse_fd);
}

static void
try_other_fuse (void)
{
  guint32 id = 1;

  (void) ioctl (other_fuse_fd, _IOW (229, 2, guint32), &id);
}

static void
try_set_flags (void)
{
  (void) fcntl (fuse_fd, F_SETFL, O_NONBLOCK);
}

static void
try_executable_memory (void)
{
  (void) syscall (SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void
try_stat_path (void)
{
  struct stat st;

  (void) syscall (SYS_newfstatat, AT_FDCWD, "/etc/passwd", &st, 0);
}

static void
test_confinement_holds (void)
{
  if (cannot_run ())
    return;
  static void (*const attacks[]) (void) = {
    try_open,
    try_socket,
    try_exec,
    try_fork,
    try_mount,
    try_ptrace,
    try_read,
    try_other_ioctl,
    try_other_fuse,
    try_set_flags,
    try_executable_memory,
    try_stat_path,
  };

  fuse_fd = open ("/dev/fuse", O_RDWR | O_CLOEXEC);
  other_fuse_fd = open ("/dev/fuse", O_RDWR | O_CLOEXEC);
  g_assert_no_errno (fuse_fd);
  g_assert_no_errno (other_fuse_fd);
  for (guint i = 0; i <= G_N_ELEMENTS (attacks); i++)
    {
      pid_t pid = fork ();
      int status;

      if (pid == 0)
        {
          if (!tpd_broker_confine (fuse_fd))
            _exit (2);
          if (i < G_N_ELEMENTS (attacks))
            attacks[i]();
          syscall (SYS_exit_group, 0);
        }
      g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
      if (i < G_N_ELEMENTS (attacks))
        {
          g_test_message ("attack %u", i);
          g_assert_true (WIFSIGNALED (status));
          g_assert_cmpint (WTERMSIG (status), ==, SIGSYS);
        }
      else /* that it is alive without one */
        {
          g_assert_true (WIFEXITED (status));
          g_assert_cmpint (WEXITSTATUS (status), ==, 0);
        }
    }
  close (fuse_fd);
  close (other_fuse_fd);
}

/* --- The client ----------------------------------------------------------- */

static void
test_client (void)
{
  int root = open (folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  TpdBroker *broker = tpd_broker_start (root, folder, FALSE);
  int fd = open_file (O_RDONLY), writable = open_file (O_RDWR), fuse;
  gint32 id;

  if (geteuid () != 0)
    g_assert_null (broker);
  if (!cannot_run ())
    {
      fuse = open ("/dev/fuse", O_RDWR | O_CLOEXEC);
      g_assert_no_errno (fuse);
      g_assert_cmpint (tpd_broker_connect (broker, fuse), ==, 0);
      g_assert_cmpint (tpd_broker_open (broker, fd, &id), ==, EPERM);
      g_assert_cmpint (id, ==, 0);
      g_assert_cmpint (tpd_broker_open (broker, writable, &id), ==, EACCES);
      tpd_broker_close (broker, 5);
      g_assert_cmpint (tpd_broker_open (broker, fd, &id), ==, EPERM);
      /* It dies: nothing hangs, and it stays that way. */
      g_assert_no_errno (kill (tpd_broker_pid (broker), SIGKILL));
      for (guint i = 0; i < 3; i++)
        {
          g_assert_cmpint (tpd_broker_open (broker, fd, &id), ==, EPIPE);
          g_assert_cmpint (id, ==, 0);
          tpd_broker_close (broker, 5);
        }
      close (fuse);
    }
  g_clear_pointer (&broker, tpd_broker_free);
  /* What is not needed ends at once. */
  broker = tpd_broker_start (root, folder, FALSE);
  if (broker != NULL)
    {
      tpd_broker_end (broker);
      g_assert_cmpint (waitpid (tpd_broker_pid (broker), NULL, 0), ==, tpd_broker_pid (broker));
      g_assert_cmpint (tpd_broker_open (broker, fd, &id), ==, EPIPE);
      tpd_broker_free (broker);
    }
  close (fd);
  close (writable);
  close (root);
}

static void
test_mounts (void)
{
  static const char mountinfo[] =
      "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
      "23 22 0:21 / /proc rw shared:2 - proc proc rw\n"
      "30 22 8:1 / /srv/share ro,noatime shared:5 - xfs /dev/sda1 ro\n"
      "31 30 8:17 /sub /srv/share/a\\040b ro - ext4 /dev/sdb1 ro\n"
      "32 30 0:50 / /srv/share/net rw,relatime shared:7 master:3 - nfs4 server:/x rw,vers=4.2\n"
      "33 30 0:51 / /srv/share/proc rw - proc none rw\n"
      "34 22 8:33 / /srv/shared rw - ext4 /dev/sdc1 rw\n"
      "35 30 x:y / /srv/share/odd rw - ext4 /dev/sdd1 rw\n"
      "36 30 8:49 / /srv/share/short\n"
      "37 30 8:65 / /srv/share/cut rw -\n"
      "garbage\n\n";
  g_autoptr (GArray) devices = g_array_new (FALSE, FALSE, sizeof (dev_t));

  tpd_broker_add_mounts (mountinfo, "/srv/share", devices);
  g_assert_cmpuint (devices->len, ==, 2);
  g_assert_cmpuint (g_array_index (devices, dev_t, 0), ==, makedev (8, 17));
  g_assert_cmpuint (g_array_index (devices, dev_t, 1), ==, makedev (0, 50));
  g_array_set_size (devices, 0);
  tpd_broker_add_mounts (mountinfo, "/", devices);
  g_assert_cmpuint (devices->len, ==, 4);
  g_assert_cmpuint (g_array_index (devices, dev_t, 3), ==, makedev (8, 33));
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tpd-broker-XXXXXX", NULL);
  g_assert_nonnull (folder);
  file = g_build_filename (folder, "file", NULL);
  g_assert_true (g_file_set_contents (file, "text", 4, NULL));

  g_test_add_func ("/broker/takes-readable-files-and-sealed-memory", test_takes);
  g_test_add_func ("/broker/refuses-all-else", test_refuses);
  g_test_add_func ("/broker/ends-on-garbage", test_garbage);
  g_test_add_func ("/broker/survives-random-garbage", test_random_garbage);
  g_test_add_func ("/broker/connects-to-fuse-only", test_only_fuse_connects);
  g_test_add_func ("/broker/unknown-id-is-harmless", test_unknown_id);
  g_test_add_func ("/broker/has-one-capability-and-no-files", test_has_one_capability_and_no_files);
  g_test_add_func ("/broker/confinement-holds", test_confinement_holds);
  g_test_add_func ("/broker/client", test_client);
  g_test_add_func ("/broker/mounts-beneath-the-source", test_mounts);
  result = g_test_run ();

  g_autofree char *command = g_strdup_printf ("rm -rf '%s'", folder);
  g_assert_cmpint (system (command), ==, 0);
  return result;
}
