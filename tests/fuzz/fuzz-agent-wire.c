/* SPDX-License-Identifier: Apache-2.0 */
/* The messages between key agent and client, neither of which trusts the other. */
#include <string.h>

#include "crypto/agent_wire.h"
#include "fuzz.h"

static void
check_requests (const uint8_t *data, size_t size)
{
  TpdWireRequest requests[TPD_UNWRAP_MANY];
  guint8 header[TPD_WIRE_REQUEST_HEADER];
  guint n = tpd_wire_requests_read (data, size, requests);
  gsize at = 0;

  for (guint i = 0; i < n; i++)
    {
      const TpdUnwrapRequest *request = &requests[i].request;

      g_assert (request->sealed_len <= TPD_SEALED_MAX && request->principals_len <= TPD_PRINCIPALS_MAX);
      g_assert (n == 1 || request->purpose == TPD_PURPOSE_READ);
      tpd_wire_request_header (requests[i].id, request, header);
      g_assert (memcmp (header, data + at, sizeof header) == 0);
      g_assert (request->sealed == data + at + sizeof header);
      at += sizeof header + request->sealed_len + request->principals_len;
    }
  g_assert (n == 0 || at == size);
}

static void
check_reply (const uint8_t *data, size_t size)
{
  g_auto (TpdUnwrapReply) reply = { 0 };
  g_auto (TpdUnwrapReply) again = { 0 };
  g_autofree guint8 *out = g_malloc (TPD_WIRE_REPLY_MAX);
  TpdBytes message = tpd_bytes (data, size), copied;
  guint64 id = 0;
  gsize len;

  if (size >= sizeof id)
    for (gsize i = 0; i < sizeof id; i++)
      id |= (guint64) data[i] << (8 * i);
  if (!tpd_wire_reply_take (&message, id, &reply))
    return;
  g_assert ((reply.status == TPD_UNWRAP_OK) == (reply.key != NULL));
  len = tpd_wire_reply_write (id, &reply, out);
  g_assert (len <= (reply.trace != NULL ? TPD_WIRE_REPLY_MAX : TPD_WIRE_BRIEF_MAX));
  copied = tpd_bytes (out, len);
  g_assert (tpd_wire_reply_take (&copied, id, &again) && tpd_bytes_left (&copied) == 0);
  g_assert (again.status == reply.status && (again.key != NULL) == (reply.key != NULL));
  /* Bytes that are no text became longer, and may have been cut. */
  if (reply.trace != NULL && strlen (reply.trace) <= TPD_WIRE_TRACE_MAX)
    g_assert (g_strcmp0 (again.trace, reply.trace) == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  TpdWireControl control;

  check_requests (data, size);
  check_reply (data, size);
  if (size >= TPD_WIRE_CONTROL_HEADER && tpd_wire_control_read (data, &control))
    g_assert (control.len <= MAX (TPD_WIRE_KEYRING_MAX, TPD_WIRE_MESSAGE_MAX));
  return 0;
}
