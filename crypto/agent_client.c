/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document process's side of the key agent.
 *
 * The agent is forked before this process has threads, has read anything
 * hostile or has made secrets of its own, and all key files and passwords are
 * read behind the fork: none was ever in this address space.
 *
 * A lane is a socket pair with one thread of the agent behind it. A request, or
 * several that go together, takes a free lane, or waits for one; while it has the
 * lane nobody else reads or writes it. When anything goes wrong on one lane (the agent is gone, does
 * not answer, answers nonsense), all are shut down: threads that wait on
 * others then see the end of their stream at once, and the agent, if it still
 * lives, ends as well. Descriptors are closed only when the last user is gone,
 * so that a number is never read that was given to another file meanwhile.
 *
 * Lines for the log come over the report pair. The agent sends them before the
 * answer that they are about, so they are read after each answer; nobody waits
 * for them.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "crypto/agent_private.h"
#include "crypto/agent_wire.h"
#include "crypto/process.h"

/* Far more than a busy machine needs for the largest RSA key. */
#define REPLY_TIMEOUT_S 120
/* Counting needs no time; but the agent may be stopped in a debugger. */
#define STATS_TIMEOUT_MS (10 * 1000)
/* Lines the agent may send before it is asked or has answered. */
#define LINES_MAX 64
#define SOCKET_BUFFER (256 * 1024)
/* So often lines of the agent are looked for while all goes well. */
#define LINES_EVERY_US (100 * 1000)

typedef struct {
  TpdUnwrapper base;
  pid_t pid; /* 0: no agent was needed */
  int lanes[TPD_AGENT_LANES_MAX];
  guint n_lanes;
  int report;         /* counts and lines, crypto/agent_wire.h */
  GMutex report_lock; /* one thread at a time reads `report`; not taken with `lock` */
  gint64 looked;      /* for lines, monotonic; under report_lock */
  GMutex lock;        /* protects all below */
  guint64 next_id;
  GCond lane_free;
  guint free_lanes[TPD_AGENT_LANES_MAX];
  guint n_free;
  guint waiting; /* threads that wait for a lane */
  gboolean dead;
} AgentClient;

/* With the lock held. */
static void
declare_dead (AgentClient *client, const char *why)
{
  if (client->dead)
    return;
  client->dead = TRUE;
  for (guint i = 0; i < client->n_lanes; i++)
    shutdown (client->lanes[i], SHUT_RDWR);
  shutdown (client->report, SHUT_RDWR);
  g_cond_broadcast (&client->lane_free);
  tpd_error ("the key agent (process %d) %s: no protected file can be opened until the keys are loaded again; "
             "unmount and mount again, or start the command again",
             (int) client->pid, why);
}

/* For `n` requests; `*id` is the number of the first. */
static gboolean
lane_take (AgentClient *client, guint n, guint *lane, guint64 *id)
{
  gboolean taken = FALSE;

  g_mutex_lock (&client->lock);
  client->waiting++;
  while (!client->dead && client->n_free == 0)
    g_cond_wait (&client->lane_free, &client->lock);
  client->waiting--;
  if (!client->dead)
    {
      *lane = client->free_lanes[--client->n_free];
      *id = client->next_id;
      client->next_id += n;
      taken = TRUE;
    }
  g_mutex_unlock (&client->lock);
  return taken;
}

static void
lane_give_back (AgentClient *client, guint lane, const char *failure)
{
  g_mutex_lock (&client->lock);
  if (failure)
    declare_dead (client, failure);
  client->free_lanes[client->n_free++] = lane;
  /* Each signal is a system call. */
  if (client->waiting > 0)
    g_cond_signal (&client->lane_free);
  g_mutex_unlock (&client->lock);
}

/* --- Reports -------------------------------------------------------------- */

/* With the report lock held: one message, or 0 when there is none within
 * `timeout_ms`; -1 at the end, or when it does not fit. */
static gssize
report_receive (AgentClient *client, guint8 *message, gsize size, int timeout_ms)
{
  struct pollfd wait = { .fd = client->report, .events = POLLIN };
  int ready;

  do
    ready = poll (&wait, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);
  if (ready <= 0)
    return ready;
  gssize n = recv (client->report, message, size, MSG_TRUNC | MSG_DONTWAIT);
  return n > 0 && n <= (gssize) size ? n : -1;
}

static gboolean
log_line (const guint8 *message, gsize len)
{
  TpdLogLevel level = TPD_LOG_DEBUG;
  g_autofree char *line = tpd_wire_line_read (message, len, &level);

  if (line)
    tpd_log (level, "%s", line);
  return line != NULL;
}

/* The agent's lines that are waiting go to the log, unless another thread is
 * at it. `hurry`: also when it was done a moment ago. */
static void
log_lines (AgentClient *client, gboolean hurry)
{
  guint8 message[TPD_WIRE_LINE_MAX];
  gint64 now = g_get_monotonic_time ();
  gssize n;

  if (!g_mutex_trylock (&client->report_lock))
    return;
  if (!hurry && now - client->looked < LINES_EVERY_US)
    {
      g_mutex_unlock (&client->report_lock);
      return;
    }
  client->looked = now;
  for (guint i = 0; i < LINES_MAX && (n = report_receive (client, message, sizeof message, 0)) > 0; i++)
    if (!log_line (message, (gsize) n))
      break;
  g_mutex_unlock (&client->report_lock);
}

static TpdAgentStats *
ask_stats (AgentClient *client)
{
  static const guint8 ask = TPD_WIRE_ASK;
  g_autofree guint8 *message = g_malloc (TPD_WIRE_REPORT_MAX);
  gssize n;

  if (send (client->report, &ask, 1, MSG_NOSIGNAL) != 1)
    return NULL;
  for (guint i = 0; i < LINES_MAX && (n = report_receive (client, message, TPD_WIRE_REPORT_MAX, STATS_TIMEOUT_MS)) > 0;
       i++)
    if (!log_line (message, (gsize) n))
      return tpd_wire_stats_read (message, (gsize) n);
  return NULL;
}

/* --- Requests ------------------------------------------------------------- */

static gboolean
send_requests (int fd, guint64 id, const TpdUnwrapRequest *const *requests, guint n_requests)
{
  guint8 headers[TPD_UNWRAP_MANY][TPD_WIRE_REQUEST_HEADER];
  struct iovec parts[3 * TPD_UNWRAP_MANY];
  struct msghdr message = { .msg_iov = parts };
  gsize all = 0;
  gssize n;

  for (guint i = 0; i < n_requests; i++)
    {
      struct iovec *part = &parts[message.msg_iovlen];

      tpd_wire_request_header (id + i, requests[i], headers[i]);
      part[0] = (struct iovec){ headers[i], sizeof headers[i] };
      part[1] = (struct iovec){ (gpointer) requests[i]->sealed, requests[i]->sealed_len };
      part[2] = (struct iovec){ (gpointer) requests[i]->principals, requests[i]->principals_len };
      message.msg_iovlen += 3;
      all += part[0].iov_len + part[1].iov_len + part[2].iov_len;
    }
  do
    n = sendmsg (fd, &message, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  return n == (gssize) all;
}

/* The replies of one message, the first of them to `id`: how many, 0 if any of
 * it makes no sense. */
static guint
take_replies (const guint8 *data, gsize len, guint64 id, TpdUnwrapReply *const *replies, guint n_replies)
{
  TpdBytes message = tpd_bytes (data, len);
  guint n = 0;

  do
    {
      if (n == n_replies || !tpd_wire_reply_take (&message, id + n, replies[n]))
        return 0;
      n++;
  } while (tpd_bytes_left (&message) > 0);
  return n;
}

/* NULL, or what is wrong with the agent. `in` is secret memory. The answer is
 * waited for by recv() itself, which the socket ends after REPLY_TIMEOUT_S. */
static const char *
receive_replies (int fd, guint64 id, guint8 *in, TpdUnwrapReply *const *replies, guint n_replies)
{
  for (guint done = 0, taken; done < n_replies; done += taken)
    {
      gssize n;

      do
        n = recv (fd, in, TPD_WIRE_REPLY_MAX, MSG_TRUNC);
      while (n < 0 && errno == EINTR);
      if (n < 0 && errno == EAGAIN)
        return "does not answer";
      if (n <= 0)
        return "has died";
      taken = n > TPD_WIRE_REPLY_MAX ? 0 : take_replies (in, (gsize) n, id + done, replies + done, n_replies - done);
      if (taken == 0)
        return "gave an answer that makes no sense and was stopped";
    }
  return NULL;
}

/* Requests that fit one message. What has no answer when the agent dies stays
 * UNAVAILABLE. */
static void
ask (AgentClient *client, const TpdUnwrapRequest *const *requests, guint n, TpdUnwrapReply *const *replies)
{
  const char *failure = "has died";
  gboolean all_opened = TRUE;
  guint64 id;
  guint lane;

  if (!lane_take (client, n, &lane, &id))
    return;
  guint8 *in = tpd_secret_alloc (TPD_WIRE_REPLY_MAX);
  if (send_requests (client->lanes[lane], id, requests, n))
    failure = receive_replies (client->lanes[lane], id, in, replies, n);
  tpd_secret_free (in, TPD_WIRE_REPLY_MAX);
  lane_give_back (client, lane, failure);
  for (guint i = 0; i < n; i++)
    all_opened = all_opened && replies[i]->status == TPD_UNWRAP_OK;
  if (!failure)
    log_lines (client, !all_opened);
}

static void
agent_unwrap_many (TpdUnwrapper *self, const TpdUnwrapRequest *requests, guint n, TpdUnwrapReply *replies)
{
  TpdUnwrapRequest bounded[TPD_UNWRAP_MANY];
  const TpdUnwrapRequest *asked[TPD_UNWRAP_MANY];
  TpdUnwrapReply *answers[TPD_UNWRAP_MANY];
  gsize len = 0;
  guint n_asked = 0;

  for (guint i = 0; i < n; i++)
    {
      bounded[i] = requests[i];
      if (bounded[i].sealed_len > TPD_SEALED_MAX)
        {
          replies[i].status = TPD_UNWRAP_REFUSED;
          continue;
        }
      /* Nothing but a trace looks at them. */
      if (bounded[i].purpose != TPD_PURPOSE_TRACE || bounded[i].principals_len > TPD_PRINCIPALS_MAX)
        bounded[i].principals_len = 0;
      gsize more = TPD_WIRE_REQUEST_HEADER + bounded[i].sealed_len + bounded[i].principals_len;
      if (len + more > TPD_WIRE_REQUEST_MAX)
        {
          ask ((AgentClient *) self, asked, n_asked, answers);
          len = 0;
          n_asked = 0;
        }
      len += more;
      asked[n_asked] = &bounded[i];
      answers[n_asked++] = &replies[i];
    }
  if (n_asked > 0)
    ask ((AgentClient *) self, asked, n_asked, answers);
}

static void
agent_unwrap (TpdUnwrapper *self, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  agent_unwrap_many (self, request, 1, reply);
}

static void
agent_free (TpdUnwrapper *self)
{
  AgentClient *client = (AgentClient *) self;

  if (client->report >= 0 && !client->dead)
    log_lines (client, TRUE);
  for (guint i = 0; i < client->n_lanes; i++)
    close (client->lanes[i]);
  if (client->report >= 0)
    close (client->report);
  /* After this process became a daemon the agent is its child no more. */
  if (client->pid > 0)
    tpd_process_reap (client->pid);
  g_cond_clear (&client->lane_free);
  g_mutex_clear (&client->report_lock);
  g_mutex_clear (&client->lock);
  g_free (client);
}

static const TpdUnwrapperClass agent_class = { agent_unwrap, agent_free, agent_unwrap_many };

static AgentClient *
client_new (void)
{
  AgentClient *client = g_new0 (AgentClient, 1);

  client->base.klass = &agent_class;
  client->base.ref_count = 1;
  client->next_id = 1;
  client->report = -1;
  g_mutex_init (&client->report_lock);
  g_mutex_init (&client->lock);
  g_cond_init (&client->lane_free);
  return client;
}

static gboolean
read_all (int fd, guint8 *data, gsize len)
{
  while (len > 0)
    {
      gssize n = read (fd, data, len);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return FALSE;
      data += n;
      len -= (gsize) n;
    }
  return TRUE;
}

/* Waits until the agent has its keys open, or says why not. */
static TpdKeyring *
await_keys (int control, GError **error)
{
  guint8 header[TPD_WIRE_CONTROL_HEADER];
  TpdWireControl message;

  if (read_all (control, header, sizeof header) && tpd_wire_control_read (header, &message))
    {
      g_autofree guint8 *payload = g_malloc0 ((gsize) message.len + 1);
      if (read_all (control, payload, message.len))
        {
          if (message.result == TPD_WIRE_KEYRING)
            {
              g_autoptr (GBytes) bytes = g_bytes_new_take (g_steal_pointer (&payload), message.len);
              return tpd_keyring_deserialize (bytes, error);
            }
          g_autofree char *text = g_utf8_make_valid ((const char *) payload, (gssize) message.len);
          g_set_error_literal (error, TPD_ERROR, (int) message.code, text);
          return NULL;
        }
    }
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_AGENT,
                       "The key agent ended before the keys were open; the system log may say why");
  return NULL;
}

/* Makes the pair and keeps our end; the other goes to `*theirs`. */
static gboolean
make_pair (int type, int *ours, int *theirs, GError **error)
{
  const int size = SOCKET_BUFFER;
  int pair[2];

  if (socketpair (AF_UNIX, type | SOCK_CLOEXEC, 0, pair) != 0)
    {
      tpd_error_set_errno (error, errno, "No socket can be made for the key agent");
      return FALSE;
    }
  /* A request must fit; without success the system's default has to do. */
  for (guint i = 0; i < G_N_ELEMENTS (pair); i++)
    (void) setsockopt (pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  *ours = pair[0];
  *theirs = pair[1];
  return TRUE;
}

static gboolean
make_lanes (AgentClient *client, TpdAgentSetup *setup, guint n, GError **error)
{
  const struct timeval timeout = { .tv_sec = REPLY_TIMEOUT_S };

  for (guint i = 0; i < n; i++)
    {
      if (!make_pair (SOCK_SEQPACKET, &client->lanes[i], &setup->lanes[i], error))
        return FALSE;
      if (setsockopt (client->lanes[i], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0)
        {
          tpd_error_set_errno (error, errno, "No socket can be made for the key agent");
          return FALSE;
        }
      client->free_lanes[client->n_free++] = i;
      client->n_lanes++;
      setup->n_lanes++;
    }
  return TRUE;
}

/* In the parent: what only the child may have from now on. */
static void
close_childs (const TpdAgentSetup *setup)
{
  for (guint i = 0; i < setup->n_lanes; i++)
    close (setup->lanes[i]);
  if (setup->control >= 0)
    close (setup->control);
  if (setup->report >= 0)
    close (setup->report);
}

static void
close_password_fds (const TpdKeyConfig *config)
{
  for (guint i = 0; i < config->specs->len; i++)
    {
      const TpdKeySpec *spec = g_ptr_array_index (config->specs, i);
      if (spec->password_kind == TPD_PASSWORD_FD && spec->password_fd > STDERR_FILENO)
        close (spec->password_fd);
    }
}

static gboolean
start_process (AgentClient *client, TpdAgentSetup *setup, guint lanes, int *control, GError **error)
{
  if (!make_pair (SOCK_STREAM, control, &setup->control, error)
      || !make_pair (SOCK_SEQPACKET, &client->report, &setup->report, error)
      || !make_lanes (client, setup, lanes, error))
    return FALSE;
  setup->parent = getpid ();
  client->pid = fork ();
  if (client->pid == 0)
    tpd_agent_run (setup);
  if (client->pid < 0)
    {
      tpd_error_set_errno (error, errno, "The key agent cannot be started");
      client->pid = 0;
      return FALSE;
    }
  return TRUE;
}

TpdUnwrapper *
tpd_agent_start (const TpdKeyConfig *config, guint lanes, TpdAgentFlags flags, TpdKeyring **keyring, GError **error)
{
  TpdAgentSetup setup = { .config = config, .flags = flags, .control = -1, .report = -1 };
  g_autoptr (TpdUnwrapper) unwrapper = NULL;
  AgentClient *client = client_new ();
  int control = -1;

  unwrapper = &client->base;
  if (config->specs->len == 0)
    {
      client->dead = TRUE;
      *keyring = tpd_keyring_new (g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_key_info_free));
      return g_steal_pointer (&unwrapper);
    }

  gboolean started = start_process (client, &setup, CLAMP (lanes, 1, TPD_AGENT_LANES_MAX), &control, error);
  close_childs (&setup);
  close_password_fds (config);
  TpdKeyring *keys = started ? await_keys (control, error) : NULL;
  if (control >= 0)
    close (control);
  if (!keys)
    return NULL;
  *keyring = keys;
  log_lines (client, TRUE);
  return g_steal_pointer (&unwrapper);
}

int
tpd_agent_pid (TpdUnwrapper *unwrapper)
{
  return unwrapper->klass == &agent_class ? (int) ((AgentClient *) unwrapper)->pid : 0;
}

TpdAgentStats *
tpd_agent_stats (TpdUnwrapper *unwrapper, GError **error)
{
  TpdAgentStats *stats = NULL;

  if (tpd_agent_pid (unwrapper) > 0)
    {
      AgentClient *client = (AgentClient *) unwrapper;
      g_mutex_lock (&client->report_lock);
      stats = ask_stats (client);
      g_mutex_unlock (&client->report_lock);
    }
  if (!stats)
    g_set_error_literal (error, TPD_ERROR, TPD_ERROR_AGENT, "There is no key agent that could say what it did");
  return stats;
}
