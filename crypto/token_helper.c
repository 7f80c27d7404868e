/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The helper process of a token. PKCS#11 modules are foreign code that wants
 * files, network and daemons of its own, all that the key agent gives up. So
 * each token gets a process that has one module, one key and nothing else of
 * value: it is forked before the agent reads a secret, and talks to nobody but
 * the agent, whose sockets the process that parses documents never had.
 *
 * It cannot be confined as the agent is, for nobody knows what a module needs.
 * It sees the PIN and, one after the other, what it decrypts. So it is
 * undumpable, cannot gain privileges, and ends with the agent: the first
 * thread waits for the end of the control socket, then ends the module
 * properly, since devices count sessions, but not for long.
 */
#include "crypto/token_helper.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "crypto/pkcs11_token.h"
#include "crypto/process.h"

#define END_TIMEOUT_S 10

typedef struct {
  TpdPkcs11Lane lane;
  int fd;
} Worker;

static gssize
receive (int fd, guint8 *message, gsize size)
{
  gssize n;

  do
    n = recv (fd, message, size, MSG_TRUNC);
  while (n < 0 && errno == EINTR);
  return n <= (gssize) size ? n : -1;
}

static gboolean
tell (int fd, const guint8 *message, gsize len)
{
  return send (fd, message, len, MSG_NOSIGNAL) == (gssize) len;
}

static void G_GNUC_NORETURN
fail (const TpdTokenHelperSetup *setup, const GError *error)
{
  guint8 message[TPD_TOKEN_CONTROL_MAX];
  const guint32 code = error->domain == TPD_ERROR && error->code <= TPD_ERROR_USAGE ? (guint32) error->code
                                                                                    : (guint32) TPD_ERROR_KEY_UNUSABLE;

  tell (setup->control, message, tpd_token_says_error (code, error->message, message));
  _exit (1);
}

static gpointer
work (gpointer data)
{
  Worker *worker = data;
  guint8 message[TPD_TOKEN_REQUEST_MAX];
  guint8 *plain = tpd_secret_alloc (TPD_RSA_MAX_BYTES);
  guint8 *out = tpd_secret_alloc (TPD_TOKEN_REPLY_MAX);

  for (;;)
    {
      TpdTokenRequest request;
      TpdTokenReply reply = { .message = plain };
      gssize n = receive (worker->fd, message, sizeof message);
      if (n <= 0 || !tpd_token_request_read (message, (gsize) n, &request))
        break;
      reply.id = request.id;
      reply.rv = (guint32) tpd_pkcs11_lane_decrypt (&worker->lane, request.mechanism, request.reopen, request.block,
                                                    request.len, plain, &reply.len);
      gsize len = tpd_token_reply_write (&reply, out);
      tpd_wipe (plain, TPD_RSA_MAX_BYTES);
      gboolean told = tell (worker->fd, out, len);
      tpd_wipe (out, len);
      if (!told)
        break;
    }
  tpd_secret_free (plain, TPD_RSA_MAX_BYTES);
  tpd_secret_free (out, TPD_TOKEN_REPLY_MAX);
  return NULL;
}

/* Asks the agent for the PIN, if one is wanted, and opens the key. */
static void
open_key (const TpdTokenHelperSetup *setup, TpdPkcs11Token *token)
{
  g_autoptr (GError) error = NULL;
  guint8 *message = tpd_secret_alloc (TPD_TOKEN_CONTROL_MAX);
  TpdTokenDescription description = { 0 };
  TpdTokenControl control;
  g_autoptr (TpdSecret) pin = NULL;
  gsize len = tpd_token_says_token (tpd_pkcs11_token_wants_pin (token), tpd_pkcs11_token_label (token), message);
  gssize n = tell (setup->control, message, len) ? receive (setup->control, message, TPD_TOKEN_CONTROL_MAX) : 0;

  /* The agent has given up. */
  if (n <= 0 || !tpd_token_control_read (message, (gsize) n, &control) || control.kind != TPD_TOKEN_SAYS_OPEN)
    {
      tpd_pkcs11_token_free (token);
      _exit (0);
    }
  if (tpd_pkcs11_token_wants_pin (token))
    pin = tpd_secret_new (control.rest, control.rest_len);
  tpd_wipe (message, (gsize) n);
  if (!tpd_pkcs11_token_open (token, pin, control.has_public_key ? &control.public_key : NULL, &description, &error))
    {
      tpd_pkcs11_token_free (token);
      fail (setup, error);
    }
  tell (setup->control, message, tpd_token_says_key (&description, message));
  tpd_secret_free (message, TPD_TOKEN_CONTROL_MAX);
}

/* Until it is this key's turn: modules of one kind that start while another
 * one logs in disturb each other. */
static void
await_start (const TpdTokenHelperSetup *setup)
{
  guint8 message[TPD_TOKEN_CONTROL_MAX];
  TpdTokenControl control;
  gssize n = receive (setup->control, message, sizeof message);

  if (n <= 0 || !tpd_token_control_read (message, (gsize) n, &control) || control.kind != TPD_TOKEN_SAYS_START)
    _exit (0);
}

static void
close_others (const TpdTokenHelperSetup *setup)
{
  g_autoptr (GArray) keep = g_array_new (FALSE, FALSE, sizeof (int));

  g_array_append_val (keep, setup->control);
  g_array_append_vals (keep, setup->lanes, setup->n_lanes);
  tpd_process_close_all_but (keep);
}

static void
serve (const TpdTokenHelperSetup *setup, TpdPkcs11Token *token)
{
  Worker *workers = g_new0 (Worker, setup->n_lanes);
  guint8 byte;

  for (guint i = 0; i < setup->n_lanes; i++)
    {
      workers[i].lane.token = token;
      workers[i].fd = setup->lanes[i];
      g_thread_unref (g_thread_new ("token-lane", work, &workers[i]));
    }
  while (receive (setup->control, &byte, 1) > 0)
    ;
}

void
tpd_token_helper_run (const TpdTokenHelperSetup *setup)
{
  g_autoptr (GError) error = NULL;
  CK_FUNCTION_LIST *module;
  TpdPkcs11Token *token = NULL;

  prctl (PR_SET_NAME, "tpd-token", 0, 0, 0);
  prctl (PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
  if (getppid () != setup->parent)
    _exit (1);
  tpd_process_reset_signals ();
  tpd_process_harden ();
  prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  close_others (setup);
  /* Modules write to the standard streams whatever comes to their mind. */
  if (!tpd_process_mute (&error))
    fail (setup, error);

  await_start (setup);
  module = tpd_pkcs11_module_load (setup->module, &error);
  if (module)
    token = tpd_pkcs11_token_new (module, setup->uri, &error);
  if (!token)
    fail (setup, error);
  open_key (setup, token);
  if (!tpd_process_let_go (&error))
    fail (setup, error);

  serve (setup, token);
  signal (SIGALRM, SIG_DFL);
  alarm (END_TIMEOUT_S);
  tpd_pkcs11_token_free (token);
  _exit (0);
}
