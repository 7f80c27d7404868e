/* SPDX-License-Identifier: Apache-2.0 */
/* The mount's side of the broker: see fs/broker.h. One request at a time; each
 * takes the broker a few microseconds. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/log.h"
#include "crypto/process.h"
#include "fs/broker.h"

/* Far more than it needs; it may have been stopped in a debugger. */
#define REPLY_TIMEOUT_S 10

struct _TpdBroker {
  GMutex lock; /* guards all below */
  int sock;
  pid_t pid;
  gboolean dead;
};

static gboolean
may_register (void)
{
  struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
  struct __user_cap_data_struct data[2] = { { 0 } };

  return syscall (SYS_capget, &header, data) == 0 && (data[0].effective & 1u << CAP_SYS_ADMIN) != 0;
}

/* (transfer full) */
static GArray *
find_devices (int root_fd, const char *source, gboolean one_file_system)
{
  GArray *devices = g_array_new (FALSE, FALSE, sizeof (dev_t));
  g_autofree char *mountinfo = NULL;
  struct stat st;

  if (fstat (root_fd, &st) == 0)
    g_array_append_val (devices, st.st_dev);
  if (!one_file_system && g_file_get_contents ("/proc/self/mountinfo", &mountinfo, NULL, NULL))
    tpd_broker_add_mounts (mountinfo, source, devices);
  return devices;
}

TpdBroker *
tpd_broker_start (int root_fd, const char *source, gboolean one_file_system)
{
  const struct timeval timeout = { REPLY_TIMEOUT_S, 0 };
  g_autoptr (GArray) devices = NULL;
  TpdBroker *broker;
  int ends[2];
  pid_t pid;

  if (!may_register () || socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return NULL;
  devices = find_devices (root_fd, source, one_file_system);
  pid = fork ();
  if (pid == 0)
    tpd_broker_run (ends[1], devices);
  close (ends[1]);
  if (pid < 0)
    {
      close (ends[0]);
      return NULL;
    }
  setsockopt (ends[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  broker = g_new0 (TpdBroker, 1);
  g_mutex_init (&broker->lock);
  broker->sock = ends[0];
  broker->pid = pid;
  return broker;
}

/* Under the lock. An answer that came late would be taken for the next one's. */
static void
give_up (TpdBroker *broker)
{
  broker->dead = TRUE;
  shutdown (broker->sock, SHUT_RDWR);
}

void
tpd_broker_end (TpdBroker *broker)
{
  g_mutex_lock (&broker->lock);
  give_up (broker);
  g_mutex_unlock (&broker->lock);
}

void
tpd_broker_free (TpdBroker *broker)
{
  close (broker->sock);
  tpd_process_reap (broker->pid);
  g_mutex_clear (&broker->lock);
  g_free (broker);
}

pid_t
tpd_broker_pid (const TpdBroker *broker)
{
  return broker->pid;
}

/* Under the lock. */
static gboolean
send_message (TpdBroker *broker, guint32 what, gint32 id, int fd)
{
  TpdBrokerMessage message = { what, id };
  union {
    char space[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control = { { 0 } };
  struct iovec part = { &message, sizeof message };
  struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
  gssize n;

  if (fd >= 0)
    {
      struct cmsghdr *item;

      header.msg_control = control.space;
      header.msg_controllen = sizeof control.space;
      item = CMSG_FIRSTHDR (&header);
      item->cmsg_level = SOL_SOCKET;
      item->cmsg_type = SCM_RIGHTS;
      item->cmsg_len = CMSG_LEN (sizeof (int));
      memcpy (CMSG_DATA (item), &fd, sizeof fd);
    }
  do
    n = sendmsg (broker->sock, &header, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n == sizeof message;
}

static gboolean
receive_answer (TpdBroker *broker, gint32 *answer)
{
  gssize n;

  do
    n = recv (broker->sock, answer, sizeof *answer, MSG_TRUNC);
  while (n < 0 && errno == EINTR);
  return n == sizeof *answer;
}

/* The id if it is positive, else 0 or a negative errno. */
static gint32
ask (TpdBroker *broker, guint32 what, int fd)
{
  gint32 answer = -EPIPE;

  g_mutex_lock (&broker->lock);
  if (!broker->dead && !(send_message (broker, what, 0, fd) && receive_answer (broker, &answer)))
    {
      give_up (broker);
      answer = -EPIPE;
    }
  g_mutex_unlock (&broker->lock);
  return answer;
}

int
tpd_broker_connect (TpdBroker *broker, int fuse_fd)
{
  return -ask (broker, TPD_BROKER_CONNECT, fuse_fd);
}

int
tpd_broker_open (TpdBroker *broker, int fd, gint32 *backing_id)
{
  gint32 answer = ask (broker, TPD_BROKER_OPEN, fd);

  *backing_id = MAX (answer, 0);
  return answer > 0 ? 0 : answer == 0 ? EPROTO : -answer;
}

void
tpd_broker_close (TpdBroker *broker, gint32 backing_id)
{
  g_mutex_lock (&broker->lock);
  if (!broker->dead && !send_message (broker, TPD_BROKER_CLOSE, backing_id, -1))
    give_up (broker);
  g_mutex_unlock (&broker->lock);
}
