/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's end of the sockets to the helper of a token: see
 * crypto/token_lanes.h.
 *
 * A module can take any time, for it may wait for a network or for a person.
 * The agent waits a minute, then gives up on that request, but the lane stays
 * busy: until its late answer comes, requests that get this lane fail at once.
 * Answers carry the number of their request, so that a late one is never taken
 * for another's.
 */
#include "crypto/token_lanes.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "crypto/pkcs11_module.h"
#include "crypto/process.h"
#include "crypto/token_helper.h"

/* Less than the client waits for the agent (crypto/agent_client.c). */
#define ANSWER_TIMEOUT_MS (60 * 1000)
/* Less than the client waits for the end of the agent. */
#define END_TIMEOUT_MS 3000

struct _TpdTokenHelper {
  int ref_count; /* atomic */
  pid_t pid;
  int control;
  int lanes[TPD_TOKEN_LANES_MAX];
  guint n_lanes;
  /* Each belongs to the one who has taken the lane. */
  guint64 last_id[TPD_TOKEN_LANES_MAX];
  gboolean owed[TPD_TOKEN_LANES_MAX]; /* the answer to last_id is still to come */
  GMutex lock;                        /* protects all below */
  GCond lane_free;
  guint free_lanes[TPD_TOKEN_LANES_MAX];
  guint n_free;
};

TpdTokenHelper *
tpd_token_helper_ref (TpdTokenHelper *helper)
{
  g_atomic_int_inc (&helper->ref_count);
  return helper;
}

void
tpd_token_helper_unref (TpdTokenHelper *helper)
{
  if (!helper || !g_atomic_int_dec_and_test (&helper->ref_count))
    return;
  for (guint i = 0; i < helper->n_lanes; i++)
    close (helper->lanes[i]);
  if (helper->control >= 0)
    close (helper->control);
  if (helper->pid > 0)
    tpd_process_reap (helper->pid);
  g_cond_clear (&helper->lane_free);
  g_mutex_clear (&helper->lock);
  g_free (helper);
}

int
tpd_token_helper_pid (const TpdTokenHelper *helper)
{
  return (int) helper->pid;
}

static gboolean
make_pair (int *ours, int *theirs, GError **error)
{
  int pair[2];

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    {
      tpd_error_set_errno (error, errno, "No socket can be made for the helper of a token");
      return FALSE;
    }
  *ours = pair[0];
  *theirs = pair[1];
  return TRUE;
}

static gboolean
make_lanes (TpdTokenHelper *helper, TpdTokenHelperSetup *setup, guint n, GError **error)
{
  for (guint i = 0; i < n; i++)
    {
      if (!make_pair (&helper->lanes[i], &setup->lanes[i], error))
        return FALSE;
      helper->free_lanes[helper->n_free++] = i;
      helper->n_lanes++;
      setup->n_lanes++;
    }
  return TRUE;
}

static void
set_timeout (int fd, guint ms)
{
  const struct timeval wait = { ms / 1000, (suseconds_t) (ms % 1000) * 1000 };

  if (setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) != 0)
    g_error ("SO_RCVTIMEO: %s", g_strerror (errno));
}

void
tpd_token_helper_set_patience (TpdTokenHelper *helper, guint ms)
{
  for (guint i = 0; i < helper->n_lanes; i++)
    set_timeout (helper->lanes[i], ms);
}

static gboolean
start_process (TpdTokenHelper *helper, TpdTokenHelperSetup *setup, guint lanes, GError **error)
{
  if (!make_pair (&helper->control, &setup->control, error) || !make_lanes (helper, setup, lanes, error))
    return FALSE;
  setup->parent = getpid ();
  helper->pid = fork ();
  if (helper->pid == 0)
    tpd_token_helper_run (setup);
  if (helper->pid > 0)
    return TRUE;
  tpd_error_set_errno (error, errno, "The helper of a token cannot be started");
  return FALSE;
}

TpdTokenHelper *
tpd_token_helper_start (const char *module, const TpdPkcs11Uri *uri, guint lanes, GError **error)
{
  TpdTokenHelperSetup setup = { .module = module, .uri = uri, .control = -1 };
  g_autoptr (TpdTokenHelper) helper = g_new0 (TpdTokenHelper, 1);

  helper->ref_count = 1;
  helper->control = -1;
  g_mutex_init (&helper->lock);
  g_cond_init (&helper->lane_free);
  gboolean started = start_process (helper, &setup, CLAMP (lanes, 1, TPD_TOKEN_LANES_MAX), error);
  for (guint i = 0; i < setup.n_lanes; i++)
    close (setup.lanes[i]);
  if (setup.control >= 0)
    close (setup.control);
  tpd_token_helper_set_patience (helper, ANSWER_TIMEOUT_MS);
  return started ? g_steal_pointer (&helper) : NULL;
}

static TpdTokenHelper *
start_for_spec (const TpdKeySpec *spec, guint lanes, GError **error)
{
  g_autoptr (TpdPkcs11Uri) uri = tpd_pkcs11_uri_parse (spec->uri, error);
  g_autofree char *module = NULL;
  TpdTokenHelper *helper = NULL;

  if (uri)
    module = tpd_pkcs11_module_find (spec->module ? spec->module : uri->module_path, error);
  /* The helper has a copy of `uri` from the fork on. */
  if (module)
    helper = tpd_token_helper_start (module, uri, lanes, error);
  if (!helper)
    g_prefix_error (error, "%s: ", spec->name);
  return helper;
}

GPtrArray *
tpd_token_helpers_start (const TpdKeyConfig *config, guint lanes, GError **error)
{
  g_autoptr (GPtrArray) helpers = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_token_helper_unref);

  for (guint i = 0; i < config->specs->len; i++)
    {
      const TpdKeySpec *spec = g_ptr_array_index (config->specs, i);
      TpdTokenHelper *helper = NULL;
      if (spec->uri && !(helper = start_for_spec (spec, lanes, error)))
        return NULL;
      g_ptr_array_add (helpers, helper);
    }
  return g_steal_pointer (&helpers);
}

void
tpd_token_helpers_add_fds (GPtrArray *helpers, GArray *fds)
{
  for (guint i = 0; helpers && i < helpers->len; i++)
    {
      const TpdTokenHelper *helper = g_ptr_array_index (helpers, i);
      if (!helper)
        continue;
      g_array_append_val (fds, helper->control);
      g_array_append_vals (fds, helper->lanes, helper->n_lanes);
    }
}

void
tpd_token_helpers_end (GPtrArray *helpers)
{
  for (guint i = 0; i < helpers->len; i++)
    {
      const TpdTokenHelper *helper = g_ptr_array_index (helpers, i);
      if (helper)
        shutdown (helper->control, SHUT_WR);
    }
  for (guint i = 0; i < helpers->len; i++)
    {
      const TpdTokenHelper *helper = g_ptr_array_index (helpers, i);
      guint8 byte;
      /* Its end is closed when it exits; without that it is left alone. */
      if (helper && recv (helper->control, &byte, 1, 0) == 0)
        waitpid (helper->pid, NULL, 0);
    }
}

void
tpd_token_helper_opened (TpdTokenHelper *helper)
{
  set_timeout (helper->control, END_TIMEOUT_MS);
}

gboolean
tpd_token_helper_hear (TpdTokenHelper *helper, guint8 *message, TpdTokenControl *control)
{
  gssize n;

  do
    n = recv (helper->control, message, TPD_TOKEN_CONTROL_MAX, MSG_TRUNC);
  while (n < 0 && errno == EINTR);
  return n > 0 && n <= TPD_TOKEN_CONTROL_MAX && tpd_token_control_read (message, (gsize) n, control);
}

gboolean
tpd_token_helper_tell (TpdTokenHelper *helper, const guint8 *message, gsize len)
{
  return send (helper->control, message, len, MSG_NOSIGNAL) == (gssize) len;
}

guint
tpd_token_helper_lane_take (TpdTokenHelper *helper)
{
  g_mutex_lock (&helper->lock);
  while (helper->n_free == 0)
    g_cond_wait (&helper->lane_free, &helper->lock);
  guint lane = helper->free_lanes[--helper->n_free];
  g_mutex_unlock (&helper->lock);
  return lane;
}

void
tpd_token_helper_lane_give_back (TpdTokenHelper *helper, guint lane)
{
  g_mutex_lock (&helper->lock);
  helper->free_lanes[helper->n_free++] = lane;
  g_cond_signal (&helper->lane_free);
  g_mutex_unlock (&helper->lock);
}

/* The answer to `id`, or with MSG_DONTWAIT whatever is there. */
static gboolean
receive (int fd, guint64 id, int flags, guint8 *in, TpdTokenReply *reply, const char **why)
{
  for (;;)
    {
      gssize n = recv (fd, in, TPD_TOKEN_REPLY_MAX, MSG_TRUNC | flags);
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        {
          *why = "the token does not answer";
          return FALSE;
        }
      if (n <= 0 || n > TPD_TOKEN_REPLY_MAX || !tpd_token_reply_read (in, (gsize) n, reply) || reply->id > id)
        {
          *why = "the helper process of the token has died; mount again, or start the command again";
          return FALSE;
        }
      if (reply->id == id)
        return TRUE;
    }
}

/* Whether the lane is free of late answers. */
static gboolean
settle (TpdTokenHelper *helper, guint lane, guint8 *in, const char **why)
{
  TpdTokenReply late;

  if (!helper->owed[lane])
    return TRUE;
  if (!receive (helper->lanes[lane], helper->last_id[lane], MSG_DONTWAIT, in, &late, why))
    return FALSE;
  helper->owed[lane] = FALSE;
  return TRUE;
}

static gboolean
call (TpdTokenHelper *helper, guint lane, TpdTokenRequest *request, guint8 *in, TpdTokenReply *reply, const char **why)
{
  guint8 message[TPD_TOKEN_REQUEST_MAX];

  if (!settle (helper, lane, in, why))
    return FALSE;
  request->id = ++helper->last_id[lane];
  gsize len = tpd_token_request_write (request, message);
  if (send (helper->lanes[lane], message, len, MSG_NOSIGNAL) != (gssize) len)
    {
      *why = "the helper process of the token has died; mount again, or start the command again";
      return FALSE;
    }
  helper->owed[lane] = TRUE;
  if (!receive (helper->lanes[lane], request->id, 0, in, reply, why))
    return FALSE;
  helper->owed[lane] = FALSE;
  return TRUE;
}

gboolean
tpd_token_helper_decrypt (TpdTokenHelper *helper, guint lane, TpdTokenMechanism mechanism, gboolean reopen,
                          const guint8 *block, gsize len, guint8 *out, gsize *out_len, guint32 *rv, const char **why)
{
  guint8 *in = tpd_secret_alloc (TPD_TOKEN_REPLY_MAX);
  TpdTokenRequest request = { .mechanism = mechanism, .reopen = reopen, .block = block, .len = len };
  TpdTokenReply reply;
  gboolean answered = call (helper, lane, &request, in, &reply, why);

  *out_len = 0;
  if (answered)
    {
      *rv = reply.rv;
      *out_len = reply.rv == CKR_OK ? reply.len : 0;
      if (*out_len > 0)
        memcpy (out, reply.message, *out_len);
    }
  tpd_secret_free (in, TPD_TOKEN_REPLY_MAX);
  return answered;
}
