/* SPDX-License-Identifier: Apache-2.0 */
/* The messages between key agent and client, neither of which trusts the other. */
#include <string.h>

#include "crypto/agent_wire.h"
#include "fuzz.h"

static void
check_request (const uint8_t *data, size_t size)
{
  TpdUnwrapRequest request;
  guint8 header[TPD_WIRE_REQUEST_HEADER];
  guint64 id;

  if (!tpd_wire_request_read (data, size, &id, &request))
    return;
  g_assert (request.sealed_len <= TPD_SEALED_MAX && request.principals_len <= TPD_PRINCIPALS_MAX);
  g_assert (sizeof header + request.sealed_len + request.principals_len == size);
  tpd_wire_request_header (id, &request, header);
  g_assert (memcmp (header, data, sizeof header) == 0);
}

static void
check_reply (const uint8_t *data, size_t size)
{
  g_auto (TpdUnwrapReply) reply = { 0 };
  g_auto (TpdUnwrapReply) again = { 0 };
  g_autofree guint8 *out = g_malloc (TPD_WIRE_REPLY_MAX);
  guint64 id = 0;
  gsize len;

  if (size >= sizeof id)
    for (gsize i = 0; i < sizeof id; i++)
      id |= (guint64) data[i] << (8 * i);
  if (!tpd_wire_reply_read (data, size, id, &reply))
    return;
  g_assert ((reply.status == TPD_UNWRAP_OK) == (reply.key != NULL));
  len = tpd_wire_reply_write (id, &reply, out);
  g_assert (len <= TPD_WIRE_REPLY_MAX && tpd_wire_reply_read (out, len, id, &again));
  g_assert (again.status == reply.status && (again.key != NULL) == (reply.key != NULL));
  /* Bytes that are no text became longer, and may have been cut. */
  if (reply.trace != NULL && strlen (reply.trace) <= TPD_WIRE_TRACE_MAX)
    g_assert (g_strcmp0 (again.trace, reply.trace) == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  TpdWireControl control;

  check_request (data, size);
  check_reply (data, size);
  if (size >= TPD_WIRE_CONTROL_HEADER && tpd_wire_control_read (data, &control))
    g_assert (control.len <= MAX (TPD_WIRE_KEYRING_MAX, TPD_WIRE_MESSAGE_MAX));
  return 0;
}
