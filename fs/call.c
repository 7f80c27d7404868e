/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parked requests: see fs/call.h.
 *
 * A parked call belongs to the decoder until its function is called or it is
 * withdrawn; whichever happens first decides who replies and frees it.
 *
 * When the caller gets a signal, the kernel sends INTERRUPT, once, and goes on
 * waiting. Most signals do not end the caller, and programs do not expect EINTR
 * of stat(2), so only a caller that is about to die is let go.
 */
#include "fs/call.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* The file may change while it is decoded, or the result be evicted. */
#define MAX_TRIES 5

static void
call_free (TpdCall *call)
{
  tpd_source_unref (call->wait.source);
  g_free (call->name);
  g_free (call);
}

static void
call_fail (TpdCall *call, int errnum)
{
  fuse_reply_err (call->req, errnum);
  call_free (call);
}

static void
on_interrupt (fuse_req_t req, void *data)
{
  TpdCall *call = data;
  TpdFs *fs = tpd_fs_of (req);

  if (tpd_keeper_is_dying (fs->keeper, fuse_req_ctx (req)->pid) && tpd_decoder_withdraw (fs->decoder, call))
    call_fail (call, EINTR);
}

/* Gives `call` to the decoder, to be continued by `again`. */
static void
park (TpdCall *call, TpdDecodeFunc again)
{
  TpdFs *fs = tpd_fs_of (call->req);
  g_autoptr (TpdSource) source = g_steal_pointer (&call->wait.source);
  gboolean parked;

  if (++call->tries > MAX_TRIES)
    {
      call_fail (call, ESTALE);
      return;
    }
  /* Once it is parked it may be answered and gone. */
  if (source == NULL)
    {
      call->in_pool = TRUE;
      parked = tpd_decoder_later (fs->decoder, again, call);
    }
  else
    {
      fuse_req_interrupt_func (call->req, on_interrupt, call);
      parked = tpd_decoder_wait (fs->decoder, source, &call->wait.stamp, call->wait.want, again, call);
    }
  if (!parked)
    {
      fuse_req_interrupt_func (call->req, NULL, NULL);
      call_fail (call, EIO);
    }
}

static void
call_again (gpointer data)
{
  TpdCall *call = data;

  /* Does not return while on_interrupt() runs, which finds nothing to do. */
  fuse_req_interrupt_func (call->req, NULL, NULL);
  if (call->run (tpd_fs_of (call->req), call) == TPD_WAIT)
    park (call, call_again);
  else
    call_free (call);
}

void
tpd_call_run (TpdCall *call)
{
  TpdCall *parked;

  if (call->run (tpd_fs_of (call->req), call) != TPD_WAIT)
    {
      g_clear_pointer (&call->wait.source, tpd_source_unref);
      return;
    }
  parked = g_memdup2 (call, sizeof *call);
  parked->name = g_strdup (call->name);
  park (parked, call_again);
}
