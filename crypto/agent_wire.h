/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the key agent and its client say to each other, for these two only.
 * Numbers are little-endian. Both sides check every length; neither trusts
 * the other.
 *
 * Lanes, one SOCK_SEQPACKET pair each, carry a message of one request or of
 * several that want no trace, and then their replies, in order and in as many
 * messages as the agent likes:
 *
 *   request: id u64, type u8, purpose u8, zero u16, fingerprint 32 bytes,
 *            sealed length u32, principals length u32, sealed, principals
 *   reply:   id u64, status u8, hash rule u8, OAEP SHA-256 u8, key length u8,
 *            mode word u16, size word u16, flags u32, session key length u32,
 *            trace length u32, key, trace
 *
 * The report pair (SOCK_SEQPACKET) carries what the agent counts and has to
 * say. The client asks with the byte TPD_WIRE_ASK; the agent sends, lines
 * also unasked:
 *
 *   stats: 0 u8, zero 7 bytes, unknown key u64, then for each key opened,
 *          refused, double key, unsupported, unavailable u64
 *   line:  1 u8, log level u8, text
 *
 * The control pair (SOCK_STREAM) carries one message from the agent when its
 * keys are loaded or not:
 *
 *   result u32 (0: keyring follows, 1: error), error code u32, length u32,
 *   serialised keyring or error message
 */
#pragma once

#include "base/bytes.h"
#include "base/log.h"
#include "crypto/agent.h"

#define TPD_WIRE_REQUEST_HEADER 52
#define TPD_WIRE_REQUEST_MAX (TPD_WIRE_REQUEST_HEADER + TPD_SEALED_MAX + TPD_PRINCIPALS_MAX)
#define TPD_WIRE_REPLY_HEADER 28
#define TPD_WIRE_KEY_MAX 32
#define TPD_WIRE_TRACE_MAX 8192
#define TPD_WIRE_BRIEF_MAX (TPD_WIRE_REPLY_HEADER + TPD_WIRE_KEY_MAX)
#define TPD_WIRE_REPLY_MAX (TPD_WIRE_BRIEF_MAX + TPD_WIRE_TRACE_MAX) /* and room for TPD_UNWRAP_MANY brief ones */
#define TPD_WIRE_CONTROL_HEADER 12
#define TPD_WIRE_KEYRING_MAX (256 * 1024 * 1024)
#define TPD_WIRE_MESSAGE_MAX (16 * 1024)

#define TPD_WIRE_ASK 'S'
#define TPD_WIRE_COUNT_SIZE 40
#define TPD_WIRE_STATS_SIZE(n_keys) (16 + (gsize) (n_keys) *TPD_WIRE_COUNT_SIZE)
#define TPD_WIRE_STATS_KEYS_MAX 4096
#define TPD_WIRE_LINE_MAX 1024
#define TPD_WIRE_REPORT_MAX TPD_WIRE_STATS_SIZE (TPD_WIRE_STATS_KEYS_MAX)

typedef enum {
  TPD_WIRE_KEYRING,
  TPD_WIRE_ERROR,
} TpdWireResult;

typedef struct {
  TpdWireResult result;
  guint32 code; /* TpdError */
  guint32 len;
} TpdWireControl;

/* The fixed part of a request; `sealed` and `principals` follow it. */
void tpd_wire_request_header (guint64 id, const TpdUnwrapRequest *request, guint8 out[TPD_WIRE_REQUEST_HEADER]);

typedef struct {
  guint64 id;
  TpdUnwrapRequest request;
} TpdWireRequest;

/* How many requests the message holds, 0 if it is not well-formed. They point
 * into `data`. */
guint tpd_wire_requests_read (const guint8 *data, gsize len, TpdWireRequest requests[TPD_UNWRAP_MANY]);

/* Writes the reply into `out` (secret memory: it may hold a key) and returns
 * its length. A trace that is too long is cut; without one the reply is no
 * longer than TPD_WIRE_BRIEF_MAX. */
gsize tpd_wire_reply_write (guint64 id, const TpdUnwrapReply *reply, guint8 *out);

/* Takes the first reply of a message. FALSE if it is not well-formed, or not
 * that to `id`. */
gboolean tpd_wire_reply_take (TpdBytes *message, guint64 id, TpdUnwrapReply *reply);

void tpd_wire_control_write (const TpdWireControl *control, guint8 out[TPD_WIRE_CONTROL_HEADER]);
gboolean tpd_wire_control_read (const guint8 data[TPD_WIRE_CONTROL_HEADER], TpdWireControl *control);

/* `out` has room for TPD_WIRE_STATS_SIZE (stats->n_keys). */
void tpd_wire_stats_write (const TpdAgentStats *stats, guint8 *out);
/* NULL if it is no well-formed message of the kind. (transfer full) */
TpdAgentStats *tpd_wire_stats_read (const guint8 *data, gsize len);

/* Returns the length of the message; a longer text is cut. */
gsize tpd_wire_line_write (TpdLogLevel level, const char *text, guint8 out[TPD_WIRE_LINE_MAX]);
/* The text, or NULL if it is no well-formed message of the kind.
 * (transfer full) */
char *tpd_wire_line_read (const guint8 *data, gsize len, TpdLogLevel *level);
