/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key agent's own side: the child process that holds the private keys.
 *
 * Order of its life, and why:
 *
 * 1. It becomes undumpable and closes what it inherited, before it reads the
 *    first secret. Password descriptors stay until the keys are loaded.
 * 2. It sets up its own secret memory. Memory locks are not inherited over
 *    fork(): tpd_secret_init() locks anew what the parent may have set up.
 *    The usual order, agent first and the parent's secret memory afterwards,
 *    does not need that.
 * 3. It loads the keys and asks for passwords on the terminal. Until then the
 *    signals of the terminal do their usual work, and the death of the parent
 *    ends it (PR_SET_PDEATHSIG), so that no prompt is left behind.
 * 4. It lets go of the world: own session, directory /, standard streams to
 *    /dev/null (a caller that reads our output would wait for its end
 *    forever), no new privileges, deaf to the signals that end the parent.
 *    PR_SET_PDEATHSIG goes too: the parent may become a daemon by fork().
 * 5. It tells the parent that the keys are open, with their public parts, and
 *    answers one request after the other, one thread a lane, until the
 *    parent's ends of all lanes are closed: by tpd_unwrapper_unref() or by the
 *    parent's death, in whatever way.
 *
 * The key array is immutable while lanes are served, so threads share it
 * without a lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "crypto/agent_private.h"
#include "crypto/agent_wire.h"
#include "crypto/keyfile.h"

#define AGENT_SECRET_SIZE (1024 * 1024)

typedef struct {
  int fd;
  gboolean allow_trace;
  GPtrArray *keys;
} Lane;

static void
reset_signals (void)
{
  sigset_t none;

  for (int signo = 1; signo < NSIG; signo++)
    {
      struct sigaction action;
      if (sigaction (signo, NULL, &action) == 0 && action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL)
        signal (signo, SIG_DFL);
    }
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

static int
compare_fds (gconstpointer a, gconstpointer b)
{
  return *(const int *) a - *(const int *) b;
}

static void
close_between (int first, int last)
{
  struct rlimit limit;

  if (first > last || close_range ((guint) first, (guint) last, 0) == 0)
    return;
  /* A kernel before 5.9, or a sandbox that does not know the call. */
  if (getrlimit (RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= G_MAXINT)
    last = MIN (last, (int) limit.rlim_cur);
  for (int fd = first; fd <= MIN (last, 65536); fd++)
    close (fd);
}

/* Closes all but the standard streams, our sockets and, while keys are being
 * loaded, the descriptors that passwords come from. */
static void
close_others (const TpdAgentSetup *setup, gboolean loading)
{
  g_autoptr (GArray) keep = g_array_new (FALSE, FALSE, sizeof (int));

  g_array_append_val (keep, setup->control);
  g_array_append_vals (keep, setup->lanes, setup->n_lanes);
  for (guint i = 0; loading && i < setup->config->specs->len; i++)
    {
      const TpdKeySpec *spec = g_ptr_array_index (setup->config->specs, i);
      if (spec->password_kind == TPD_PASSWORD_FD)
        g_array_append_val (keep, spec->password_fd);
    }
  g_array_sort (keep, compare_fds);

  int next = STDERR_FILENO + 1;
  for (guint i = 0; i < keep->len; i++)
    {
      int fd = g_array_index (keep, int, i);
      close_between (next, fd - 1);
      next = MAX (next, fd + 1);
    }
  close_between (next, G_MAXINT);
}

static gboolean
send_all (int fd, const guint8 *data, gsize len)
{
  while (len > 0)
    {
      gssize n = send (fd, data, len, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return FALSE;
      data += n;
      len -= (gsize) n;
    }
  return TRUE;
}

static gboolean
send_control (int fd, const TpdWireControl *control, const guint8 *payload)
{
  guint8 header[TPD_WIRE_CONTROL_HEADER];

  tpd_wire_control_write (control, header);
  return send_all (fd, header, sizeof header) && send_all (fd, payload, control->len);
}

static void G_GNUC_NORETURN
fail (const TpdAgentSetup *setup, const GError *error)
{
  const TpdWireControl control = {
    .result = TPD_WIRE_ERROR,
    .code = error->domain == TPD_ERROR ? (guint32) error->code : TPD_ERROR_AGENT,
    .len = (guint32) strnlen (error->message, TPD_WIRE_MESSAGE_MAX),
  };

  send_control (setup->control, &control, (const guint8 *) error->message);
  _exit (1);
}

static GBytes *
describe_keys (GPtrArray *keys)
{
  GPtrArray *infos = g_ptr_array_new ();

  for (guint i = 0; i < keys->len; i++)
    g_ptr_array_add (infos, ((TpdLoadedKey *) g_ptr_array_index (keys, i))->info);
  g_autoptr (TpdKeyring) keyring = tpd_keyring_new (infos);
  return tpd_keyring_serialize (keyring);
}

static gboolean
let_go (GError **error)
{
  static const int deaf_to[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
  int null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  if (null < 0 || dup2 (null, STDIN_FILENO) < 0 || dup2 (null, STDOUT_FILENO) < 0 || dup2 (null, STDERR_FILENO) < 0)
    {
      tpd_error_set_errno (error, errno, "The key agent cannot give up its standard streams");
      return FALSE;
    }
  if (null > STDERR_FILENO)
    close (null);
  if (chdir ("/") != 0 || prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    {
      tpd_error_set_errno (error, errno, "The key agent cannot give up its privileges");
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (deaf_to); i++)
    signal (deaf_to[i], SIG_IGN);
  /* Fails only for the leader of a group, and a forked child is none. */
  (void) setsid ();
  prctl (PR_SET_PDEATHSIG, 0, 0, 0, 0);
  return TRUE;
}

static void
answer (const Lane *lane, TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  if (!lane->allow_trace)
    request->purpose = TPD_PURPOSE_READ;
  tpd_loaded_keys_unwrap (lane->keys, request, reply);
}

/* Until the client closes its end. A message that is not well-formed ends the
 * lane: then the client is not what we forked from any more. */
static gpointer
serve (gpointer data)
{
  const Lane *lane = data;
  g_autofree guint8 *message = g_malloc (TPD_WIRE_REQUEST_MAX);
  guint8 *out = tpd_secret_alloc (TPD_WIRE_REPLY_MAX);

  for (;;)
    {
      TpdUnwrapRequest request;
      TpdUnwrapReply reply;
      guint64 id;
      gssize n = recv (lane->fd, message, TPD_WIRE_REQUEST_MAX, MSG_TRUNC);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0 || n > TPD_WIRE_REQUEST_MAX || !tpd_wire_request_read (message, (gsize) n, &id, &request))
        break;
      answer (lane, &request, &reply);
      gsize len = tpd_wire_reply_write (id, &reply, out);
      tpd_unwrap_reply_clear (&reply);
      gssize sent = send (lane->fd, out, len, MSG_NOSIGNAL);
      tpd_wipe (out, len);
      if (sent != (gssize) len)
        break;
    }
  tpd_secret_free (out, TPD_WIRE_REPLY_MAX);
  close (lane->fd);
  return NULL;
}

static void
serve_all (const TpdAgentSetup *setup, GPtrArray *keys, GBytes *description)
{
  g_autofree Lane *lanes = g_new0 (Lane, setup->n_lanes);
  g_autofree GThread **threads = g_new0 (GThread *, setup->n_lanes);

  for (guint i = 0; i < setup->n_lanes; i++)
    {
      g_autoptr (GError) error = NULL;
      lanes[i] = (Lane){ setup->lanes[i], (setup->flags & TPD_AGENT_ALLOW_TRACE) != 0, keys };
      threads[i] = g_thread_try_new ("lane", serve, &lanes[i], &error);
      if (!threads[i])
        fail (setup, error);
    }

  gsize len = 0;
  const guint8 *payload = g_bytes_get_data (description, &len);
  const TpdWireControl ready = { .result = TPD_WIRE_KEYRING, .len = (guint32) len };
  send_control (setup->control, &ready, payload);
  close (setup->control);

  for (guint i = 0; i < setup->n_lanes; i++)
    g_thread_join (threads[i]);
}

void
tpd_agent_run (const TpdAgentSetup *setup)
{
  g_autoptr (GError) error = NULL;

  prctl (PR_SET_NAME, "tpd-key-agent", 0, 0, 0);
  prctl (PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
  if (getppid () != setup->parent)
    _exit (1);
  reset_signals ();
  tpd_process_harden ();
  tpd_log_to_file (-1);
  closelog ();
  close_others (setup, TRUE);
  tpd_secret_init (AGENT_SECRET_SIZE);

  GPtrArray *keys = tpd_keys_load (setup->config, &error);
  if (!keys)
    fail (setup, error);
  close_others (setup, FALSE);
  g_autoptr (GBytes) description = describe_keys (keys);
  if (g_bytes_get_size (description) > TPD_WIRE_KEYRING_MAX)
    g_set_error_literal (&error, TPD_ERROR, TPD_ERROR_KEY_FILE, "The key files hold more templates than can be used");
  if (error || !let_go (&error))
    fail (setup, error);

  serve_all (setup, keys, description);
  g_ptr_array_unref (keys);
  _exit (0);
}
