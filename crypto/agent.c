/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key agent's own side: the child process that holds the private keys.
 *
 * Order of its life, and why:
 *
 * 1. It becomes undumpable and closes what it inherited, before it reads the
 *    first secret. Password descriptors stay until the keys are loaded.
 * 2. It forks the helpers of tokens (crypto/token_key.h), while there is no
 *    secret that they could inherit: they run foreign code.
 * 3. It sets up its own secret memory. Memory locks are not inherited over
 *    fork(): tpd_secret_init() locks anew what the parent may have set up.
 *    The usual order, agent first and the parent's secret memory afterwards,
 *    does not need that.
 * 4. It loads the keys and asks for passwords on the terminal. Until then the
 *    signals of the terminal do their usual work, and the death of the parent
 *    ends it (PR_SET_PDEATHSIG), so that no prompt is left behind.
 * 5. It locks its memory and lets go of the world: own session, directory /,
 *    standard streams to /dev/null (a caller that reads our output would wait
 *    for its end forever), no new privileges, no capabilities, deaf to the
 *    signals that end the parent. PR_SET_PDEATHSIG goes too: the parent may become a daemon by
 *    fork().
 * 6. It makes its threads, one a lane, and confines itself (crypto/confine.h):
 *    from then on it can answer on the sockets it has, and calculate.
 * 7. It tells the parent that the keys are open, with their public parts, and
 *    answers one message of requests after the other. The first thread answers on the
 *    report socket meanwhile; when the parent's end of that is closed, by
 *    tpd_unwrapper_unref() or by the parent's death, in whatever way, all ends.
 *
 * The key array is immutable while lanes are served, so threads share it
 * without a lock. It counts what it answered; what a person should know it
 * sends as lines over the report socket, for it has no log of its own.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/error.h"
#include "base/log.h"
#include "crypto/agent_private.h"
#include "crypto/agent_wire.h"
#include "crypto/confine.h"
#include "crypto/keyfile.h"
#include "crypto/process.h"
#include "crypto/token_key.h"

#define AGENT_SECRET_SIZE (1024 * 1024)

/* The first number of refusals of one key that is worth a line; then each
 * tenfold. A tree of damaged files comes to this, and so does a hostile one
 * that would use the agent as an oracle. */
#define MANY_REFUSED 100

typedef struct {
  const char *name; /* of the key, for lines */
  guint64 next_refused;
  char *trouble; /* the last line about its token, NULL when it works */
  gboolean told_untried;
} KeyState;

typedef struct {
  GPtrArray *keys;
  GPtrArray *helpers; /* of tokens, kept for their sockets */
  gboolean allow_trace;
  int report;
  GMutex lock; /* protects all below, and sending on `report` */
  GCond started;
  guint n_started;
  TpdAgentStats *stats;
  KeyState *states; /* one for each key */
} Agent;

typedef struct {
  Agent *agent;
  int fd;
} Lane;

/* Closes all but the standard streams, our sockets and, while keys are being
 * loaded, the descriptors that passwords come from. */
static void
close_others (const TpdAgentSetup *setup, GPtrArray *helpers, gboolean loading)
{
  g_autoptr (GArray) keep = g_array_new (FALSE, FALSE, sizeof (int));

  g_array_append_val (keep, setup->control);
  g_array_append_val (keep, setup->report);
  g_array_append_vals (keep, setup->lanes, setup->n_lanes);
  tpd_token_helpers_add_fds (helpers, keep);
  for (guint i = 0; loading && i < setup->config->specs->len; i++)
    {
      const TpdKeySpec *spec = g_ptr_array_index (setup->config->specs, i);
      if (spec->password_kind == TPD_PASSWORD_FD)
        g_array_append_val (keep, spec->password_fd);
    }
  tpd_process_close_all_but (keep);
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
fail (const TpdAgentSetup *setup, GPtrArray *helpers, const GError *error)
{
  const TpdWireControl control = {
    .result = TPD_WIRE_ERROR,
    .code = error->domain == TPD_ERROR ? (guint32) error->code : TPD_ERROR_AGENT,
    .len = (guint32) strnlen (error->message, TPD_WIRE_MESSAGE_MAX),
  };

  send_control (setup->control, &control, (const guint8 *) error->message);
  /* Ends them. */
  if (helpers)
    g_ptr_array_unref (helpers);
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

/* --- What it says besides answers --------------------------------------- */

/* With the lock held. A parent that does not read loses lines, not answers. */
static void G_GNUC_PRINTF (3, 4) say (Agent *agent, TpdLogLevel level, const char *format, ...)
{
  guint8 message[TPD_WIRE_LINE_MAX];
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  gsize len = tpd_wire_line_write (level, text, message);
  (void) send (agent->report, message, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* That a padding could not be tried, of a second seal too: the token works, but
 * never in that way. */
static gboolean
is_untried (const GError *error)
{
  return g_error_matches (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED)
         || g_error_matches (error, TPD_ERROR, TPD_ERROR_DOUBLE_KEY);
}

/* With the lock held: one line when a token fails, one when it works again. */
static void
note_token (Agent *agent, KeyState *state, const GError *error)
{
  if (is_untried (error))
    {
      if (!state->told_untried)
        say (agent, TPD_LOG_WARNING, "key %s: %s; files that need one of them cannot be opened", state->name,
             error->message);
      state->told_untried = TRUE;
      return;
    }
  if (error && g_strcmp0 (state->trouble, error->message) != 0)
    say (agent, TPD_LOG_ERROR, "key %s: %s; files sealed to it cannot be opened meanwhile", state->name,
         error->message);
  else if (!error && state->trouble)
    say (agent, TPD_LOG_INFO, "key %s: its token works again", state->name);
  g_free (state->trouble);
  state->trouble = error ? g_strdup (error->message) : NULL;
}

/* With the lock held. */
static void
note_refusal (Agent *agent, KeyState *state, guint64 refused)
{
  if (refused < state->next_refused)
    return;
  say (agent, TPD_LOG_WARNING,
       "key %s: %" G_GUINT64_FORMAT " sealed keys did not open with it; if there are not as many damaged files, "
       "somebody makes files to find out about the key",
       state->name, refused);
  state->next_refused *= 10;
}

static void
note (Agent *agent, int index, TpdUnwrapStatus status, const GError *error)
{
  g_mutex_lock (&agent->lock);
  if (index < 0)
    agent->stats->unknown_key++;
  else
    {
      TpdAgentCount *count = &agent->stats->keys[index];
      KeyState *state = &agent->states[index];
      switch (status)
        {
        case TPD_UNWRAP_OK:
          count->opened++;
          break;
        case TPD_UNWRAP_REFUSED:
          note_refusal (agent, state, ++count->refused);
          break;
        case TPD_UNWRAP_DOUBLE_KEY:
          count->double_key++;
          break;
        case TPD_UNWRAP_UNSUPPORTED:
          count->unsupported++;
          break;
        case TPD_UNWRAP_UNAVAILABLE:
          /* For all we know the bits are bad. */
          if (is_untried (error) && error->code == TPD_ERROR_UNSUPPORTED)
            note_refusal (agent, state, ++count->refused);
          else
            count->unavailable++;
          break;
        }
      note_token (agent, state, error);
    }
  g_mutex_unlock (&agent->lock);
}

/* The first thread, until the client closes its end. */
static void
serve_report (Agent *agent)
{
  const gsize size = TPD_WIRE_STATS_SIZE (agent->stats->n_keys);
  g_autofree guint8 *message = g_malloc (size);
  guint8 asked;

  for (;;)
    {
      gssize n = recv (agent->report, &asked, 1, 0);
      if (n < 0 && errno == EINTR)
        continue;
      if (n != 1 || asked != TPD_WIRE_ASK)
        return;
      g_mutex_lock (&agent->lock);
      tpd_wire_stats_write (agent->stats, message);
      gssize sent = send (agent->report, message, size, MSG_NOSIGNAL);
      g_mutex_unlock (&agent->lock);
      if (sent != (gssize) size)
        return;
    }
}

/* --- Answers ------------------------------------------------------------ */

static void
answer (Agent *agent, TpdUnwrapRequest *request, const TpdPreparedBlock *prepared, TpdUnwrapReply *reply)
{
  g_autoptr (GError) error = NULL;
  int index = tpd_loaded_keys_find (agent->keys, &request->key);

  if (!agent->allow_trace)
    request->purpose = TPD_PURPOSE_READ;
  *reply = (TpdUnwrapReply){ .status = TPD_UNWRAP_UNAVAILABLE };
  if (index >= 0)
    tpd_loaded_keys_unwrap (agent->keys, (guint) index, request, prepared, reply, &error);
  note (agent, index, reply->status, error);
}

/* Whether an answer with this key can take as long as the client waits: then no
 * other may have to wait with it. */
static gboolean
is_slow (const Agent *agent, const TpdUnwrapRequest *request)
{
  int index = tpd_loaded_keys_find (agent->keys, &request->key);

  return index >= 0 && ((const TpdLoadedKey *) g_ptr_array_index (agent->keys, (guint) index))->token != NULL;
}

/* `prepared` has an element for each request, `out` is secret memory for
 * TPD_WIRE_REPLY_MAX bytes. */
static gboolean
answer_all (Agent *agent, int fd, TpdWireRequest *requests, guint n, TpdPreparedBlock *prepared, guint8 *out)
{
  const TpdUnwrapRequest *asked[TPD_UNWRAP_MANY];
  gsize len = 0;

  for (guint i = 0; i < n; i++)
    asked[i] = &requests[i].request;
  tpd_loaded_keys_prepare (agent->keys, asked, n, prepared);
  for (guint i = 0; i < n; i++)
    {
      const gboolean last = i + 1 == n;
      TpdUnwrapReply reply;

      answer (agent, &requests[i].request, &prepared[i], &reply);
      len += tpd_wire_reply_write (requests[i].id, &reply, out + len);
      tpd_unwrap_reply_clear (&reply);
      if (!last && !is_slow (agent, &requests[i].request) && !is_slow (agent, &requests[i + 1].request))
        continue;
      gssize sent = send (fd, out, len, MSG_NOSIGNAL);
      tpd_wipe (out, len);
      if (sent != (gssize) len)
        return FALSE;
      len = 0;
    }
  return TRUE;
}

/* Until the client closes its end. A message that is not well-formed ends the
 * lane: then the client is not what we forked from any more. */
static gpointer
serve (gpointer data)
{
  const Lane *lane = data;
  g_autofree guint8 *message = g_malloc (TPD_WIRE_REQUEST_MAX);
  guint8 *out = tpd_secret_alloc (TPD_WIRE_REPLY_MAX);

  g_mutex_lock (&lane->agent->lock);
  lane->agent->n_started++;
  g_cond_signal (&lane->agent->started);
  g_mutex_unlock (&lane->agent->lock);
  for (;;)
    {
      TpdWireRequest requests[TPD_UNWRAP_MANY];
      guint n_requests;
      gssize n = recv (lane->fd, message, TPD_WIRE_REQUEST_MAX, MSG_TRUNC);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0 || n > TPD_WIRE_REQUEST_MAX
          || (n_requests = tpd_wire_requests_read (message, (gsize) n, requests)) == 0)
        break;
      TpdPreparedBlock *prepared = tpd_secret_alloc (n_requests * sizeof *prepared);
      gboolean answered = answer_all (lane->agent, lane->fd, requests, n_requests, prepared, out);
      tpd_secret_free (prepared, n_requests * sizeof *prepared);
      if (!answered)
        break;
    }
  tpd_secret_free (out, TPD_WIRE_REPLY_MAX);
  close (lane->fd);
  return NULL;
}

static void
confine (Agent *agent, gboolean files_confined)
{
  g_autoptr (GError) error = NULL;

  tpd_confine_limits ();
  if (tpd_confine_calls (&error))
    return;
  g_mutex_lock (&agent->lock);
  say (agent, TPD_LOG_WARNING, "the key agent is confined less than it should be: %s%s", error->message,
       files_confined ? "" : ", and there is no Landlock");
  g_mutex_unlock (&agent->lock);
}

static void G_GNUC_NORETURN
serve_all (const TpdAgentSetup *setup, Agent *agent, GBytes *description)
{
  Lane *lanes = g_new0 (Lane, setup->n_lanes);
  gboolean files_confined = tpd_confine_files ();

  for (guint i = 0; i < setup->n_lanes; i++)
    {
      g_autoptr (GError) error = NULL;
      lanes[i] = (Lane){ agent, setup->lanes[i] };
      GThread *thread = g_thread_try_new ("lane", serve, &lanes[i], &error);
      if (!thread)
        fail (setup, NULL, error);
      g_thread_unref (thread);
    }
  /* A thread does more by itself when it starts than it may do later. */
  g_mutex_lock (&agent->lock);
  while (agent->n_started < setup->n_lanes)
    g_cond_wait (&agent->started, &agent->lock);
  g_mutex_unlock (&agent->lock);
  confine (agent, files_confined);

  gsize len = 0;
  const guint8 *payload = g_bytes_get_data (description, &len);
  const TpdWireControl ready = { .result = TPD_WIRE_KEYRING, .len = (guint32) len };
  send_control (setup->control, &ready, payload);
  close (setup->control);

  /* Closed together with the lanes, and in whatever way: nobody is left who
   * waits for an answer, not even for one that a token still works on. */
  serve_report (agent);
  tpd_token_helpers_end (agent->helpers);
  _exit (0);
}

static void
agent_init (Agent *agent, const TpdAgentSetup *setup, GPtrArray *keys, GPtrArray *helpers)
{
  *agent = (Agent){ .keys = keys,
                    .helpers = helpers,
                    .allow_trace = (setup->flags & TPD_AGENT_ALLOW_TRACE) != 0,
                    .report = setup->report,
                    .stats = g_malloc0 (sizeof *agent->stats + keys->len * sizeof agent->stats->keys[0]),
                    .states = g_new0 (KeyState, keys->len) };
  g_mutex_init (&agent->lock);
  g_cond_init (&agent->started);
  agent->stats->n_keys = keys->len;
  for (guint i = 0; i < keys->len; i++)
    {
      agent->states[i].name = ((TpdLoadedKey *) g_ptr_array_index (keys, i))->info->name;
      agent->states[i].next_refused = MANY_REFUSED;
    }
}

void
tpd_agent_run (const TpdAgentSetup *setup)
{
  g_autoptr (GError) error = NULL;
  GPtrArray *helpers, *keys = NULL;
  Agent agent;

  prctl (PR_SET_NAME, "tpd-key-agent", 0, 0, 0);
  prctl (PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
  if (getppid () != setup->parent)
    _exit (1);
  tpd_process_reset_signals ();
  tpd_process_harden ();
  tpd_log_to_file (-1);
  closelog ();
  close_others (setup, NULL, TRUE);
  helpers = tpd_token_helpers_start (setup->config, setup->n_lanes, &error);
  if (!helpers)
    fail (setup, NULL, error);
  tpd_secret_init (AGENT_SECRET_SIZE);

  keys = tpd_keys_load_with (setup->config, helpers, &error);
  if (!keys)
    fail (setup, helpers, error);
  close_others (setup, helpers, FALSE);
  tpd_process_lock ();
  g_autoptr (GBytes) description = describe_keys (keys);
  if (g_bytes_get_size (description) > TPD_WIRE_KEYRING_MAX || keys->len > TPD_WIRE_STATS_KEYS_MAX)
    g_set_error_literal (&error, TPD_ERROR, TPD_ERROR_KEY_FILE,
                         "The key files hold more keys or templates than can be used");
  if (error || !tpd_process_let_go (&error) || !tpd_capabilities_keep (0, &error))
    fail (setup, helpers, error);

  agent_init (&agent, setup, keys, helpers);
  serve_all (setup, &agent, description);
}
