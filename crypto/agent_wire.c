/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the key agent and its client: see crypto/agent_wire.h. */
#include "crypto/agent_wire.h"

#include <string.h>

#include "base/error.h"
#include "crypto/key_header.h"
#include "crypto/wire_writer.h"

void
tpd_wire_request_header (guint64 id, const TpdUnwrapRequest *request, guint8 out[TPD_WIRE_REQUEST_HEADER])
{
  TpdWireWriter w = { out, 0 };

  tpd_wire_put_number (&w, id, 8);
  tpd_wire_put_number (&w, request->type, 1);
  tpd_wire_put_number (&w, request->purpose, 1);
  tpd_wire_put_number (&w, 0, 2);
  tpd_wire_put (&w, request->key.bytes, sizeof request->key.bytes);
  tpd_wire_put_number (&w, request->sealed_len, 4);
  tpd_wire_put_number (&w, request->principals_len, 4);
  g_assert (w.len == TPD_WIRE_REQUEST_HEADER);
}

static gboolean
request_take (TpdBytes *bytes, guint64 *id, TpdUnwrapRequest *request)
{
  const guint8 *fingerprint, *principals;
  guint32 sealed_len, principals_len;
  guint16 zero;
  guint8 type, purpose;

  memset (request, 0, sizeof *request);
  if (!tpd_bytes_take_u64le (bytes, id) || !tpd_bytes_take_u8 (bytes, &type) || !tpd_bytes_take_u8 (bytes, &purpose)
      || !tpd_bytes_take_u16le (bytes, &zero) || !tpd_bytes_take (bytes, TPD_SHA256_SIZE, &fingerprint)
      || !tpd_bytes_take_u32le (bytes, &sealed_len) || !tpd_bytes_take_u32le (bytes, &principals_len)
      || type > TPD_SEAL_UNKNOWN || purpose > TPD_PURPOSE_TRACE || zero != 0 || sealed_len > TPD_SEALED_MAX
      || principals_len > TPD_PRINCIPALS_MAX || !tpd_bytes_take (bytes, sealed_len, &request->sealed)
      || !tpd_bytes_take (bytes, principals_len, &principals))
    return FALSE;
  request->sealed_len = sealed_len;
  request->type = (TpdSealType) type;
  request->purpose = (TpdPurpose) purpose;
  memcpy (request->key.bytes, fingerprint, sizeof request->key.bytes);
  request->principals = (const char *) principals;
  request->principals_len = principals_len;
  return TRUE;
}

guint
tpd_wire_requests_read (const guint8 *data, gsize len, TpdWireRequest requests[TPD_UNWRAP_MANY])
{
  TpdBytes bytes = tpd_bytes (data, len);
  gboolean traces = FALSE;
  guint n = 0;

  do
    {
      if (n == TPD_UNWRAP_MANY || !request_take (&bytes, &requests[n].id, &requests[n].request))
        return 0;
      traces = traces || requests[n].request.purpose == TPD_PURPOSE_TRACE;
      n++;
  } while (tpd_bytes_left (&bytes) > 0);
  return traces && n > 1 ? 0 : n;
}

/* How a content key was opened: one byte of a reply. */
enum {
  KEY_OAEP_SHA256 = 1,
  KEY_SECOND_SEAL = 2,
  KEY_PKCS1 = 4,
  KEY_REVERSED = 8,
  KEY_ALL = 15,
};

static guint
how_opened (const TpdContentKey *key)
{
  return (key->oaep_sha256 ? KEY_OAEP_SHA256 : 0) | (key->second_seal ? KEY_SECOND_SEAL : 0)
         | (key->pkcs1 ? KEY_PKCS1 : 0) | (key->reversed ? KEY_REVERSED : 0);
}

G_STATIC_ASSERT (TPD_UNWRAP_MANY *TPD_WIRE_BRIEF_MAX <= TPD_WIRE_REPLY_MAX);

gsize
tpd_wire_reply_write (guint64 id, const TpdUnwrapReply *reply, guint8 *out)
{
  static const TpdContentKey none;
  const TpdContentKey *key = reply->key ? reply->key : &none;
  const gsize key_len = key->key ? key->key->len : 0;
  const gsize trace_len = reply->trace ? strnlen (reply->trace, TPD_WIRE_TRACE_MAX) : 0;
  TpdWireWriter w = { out, 0 };

  g_assert (key_len <= TPD_WIRE_KEY_MAX);
  tpd_wire_put_number (&w, id, 8);
  tpd_wire_put_number (&w, reply->status, 1);
  tpd_wire_put_number (&w, key->hash_rule, 1);
  tpd_wire_put_number (&w, how_opened (key), 1);
  tpd_wire_put_number (&w, key_len, 1);
  tpd_wire_put_number (&w, key->mode_word, 2);
  tpd_wire_put_number (&w, key->size_word, 2);
  tpd_wire_put_number (&w, key->flags, 4);
  tpd_wire_put_number (&w, key->session_key_len, 4);
  tpd_wire_put_number (&w, trace_len, 4);
  g_assert (w.len == TPD_WIRE_REPLY_HEADER);
  tpd_wire_put (&w, key_len > 0 ? key->key->data : NULL, key_len);
  tpd_wire_put (&w, reply->trace, trace_len);
  return w.len;
}

static gboolean
take_key_words (TpdBytes *bytes, TpdContentKey *key, guint32 *session_key_len)
{
  return tpd_bytes_take_u16le (bytes, &key->mode_word) && tpd_bytes_take_u16le (bytes, &key->size_word)
         && tpd_bytes_take_u32le (bytes, &key->flags) && tpd_bytes_take_u32le (bytes, session_key_len);
}

gboolean
tpd_wire_reply_take (TpdBytes *message, guint64 id, TpdUnwrapReply *reply)
{
  TpdContentKey key = { .ref_count = 1 };
  const guint8 *secret, *trace;
  guint64 found;
  guint32 session_key_len, trace_len;
  guint8 status, rule, how, key_len;

  *reply = (TpdUnwrapReply){ .status = TPD_UNWRAP_UNAVAILABLE };
  if (!tpd_bytes_take_u64le (message, &found) || !tpd_bytes_take_u8 (message, &status)
      || !tpd_bytes_take_u8 (message, &rule) || !tpd_bytes_take_u8 (message, &how)
      || !tpd_bytes_take_u8 (message, &key_len) || !take_key_words (message, &key, &session_key_len)
      || !tpd_bytes_take_u32le (message, &trace_len) || !tpd_bytes_take (message, key_len, &secret)
      || !tpd_bytes_take (message, trace_len, &trace))
    return FALSE;
  if (found != id || status > TPD_UNWRAP_UNAVAILABLE || rule > TPD_HASH_RULE_D || (how & ~KEY_ALL) != 0
      || trace_len > TPD_WIRE_TRACE_MAX || (status == TPD_UNWRAP_OK ? !tpd_is_aes_key_len (key_len) : key_len != 0)
      || (key_len > 0 && !tpd_is_aes_key_len (session_key_len)))
    return FALSE;

  reply->status = (TpdUnwrapStatus) status;
  if (key_len > 0)
    {
      key.key = tpd_secret_new (secret, key_len);
      key.hash_rule = (TpdHashRule) rule;
      key.oaep_sha256 = (how & KEY_OAEP_SHA256) != 0;
      key.second_seal = (how & KEY_SECOND_SEAL) != 0;
      key.pkcs1 = (how & KEY_PKCS1) != 0;
      key.reversed = (how & KEY_REVERSED) != 0;
      key.session_key_len = session_key_len;
      reply->key = g_new (TpdContentKey, 1);
      *reply->key = key;
    }
  if (trace_len > 0)
    reply->trace = g_utf8_make_valid ((const char *) trace, (gssize) trace_len);
  return TRUE;
}

void
tpd_wire_control_write (const TpdWireControl *control, guint8 out[TPD_WIRE_CONTROL_HEADER])
{
  TpdWireWriter w = { out, 0 };

  tpd_wire_put_number (&w, control->result, 4);
  tpd_wire_put_number (&w, control->code, 4);
  tpd_wire_put_number (&w, control->len, 4);
}

/* A code that the agent can mean: one of base/error.h, or an errno. */
static gboolean
is_error_code (guint32 code)
{
  return code <= TPD_ERROR_USAGE || (code > TPD_ERROR_ERRNO && code < TPD_ERROR_ERRNO + 4096);
}

gboolean
tpd_wire_control_read (const guint8 data[TPD_WIRE_CONTROL_HEADER], TpdWireControl *control)
{
  TpdBytes bytes = tpd_bytes (data, TPD_WIRE_CONTROL_HEADER);
  guint32 result;

  if (!tpd_bytes_take_u32le (&bytes, &result) || !tpd_bytes_take_u32le (&bytes, &control->code)
      || !tpd_bytes_take_u32le (&bytes, &control->len) || result > TPD_WIRE_ERROR)
    return FALSE;
  control->result = (TpdWireResult) result;
  if (control->result == TPD_WIRE_KEYRING)
    return control->len <= TPD_WIRE_KEYRING_MAX;
  return control->len <= TPD_WIRE_MESSAGE_MAX && is_error_code (control->code);
}

enum { REPORT_STATS, REPORT_LINE };

void
tpd_wire_stats_write (const TpdAgentStats *stats, guint8 *out)
{
  TpdWireWriter w = { out, 0 };

  tpd_wire_put_number (&w, REPORT_STATS, 8);
  tpd_wire_put_number (&w, stats->unknown_key, 8);
  for (guint i = 0; i < stats->n_keys; i++)
    {
      tpd_wire_put_number (&w, stats->keys[i].opened, 8);
      tpd_wire_put_number (&w, stats->keys[i].refused, 8);
      tpd_wire_put_number (&w, stats->keys[i].double_key, 8);
      tpd_wire_put_number (&w, stats->keys[i].unsupported, 8);
      tpd_wire_put_number (&w, stats->keys[i].unavailable, 8);
    }
  g_assert (w.len == TPD_WIRE_STATS_SIZE (stats->n_keys));
}

static gboolean
take_count (TpdBytes *bytes, TpdAgentCount *count)
{
  return tpd_bytes_take_u64le (bytes, &count->opened) && tpd_bytes_take_u64le (bytes, &count->refused)
         && tpd_bytes_take_u64le (bytes, &count->double_key) && tpd_bytes_take_u64le (bytes, &count->unsupported)
         && tpd_bytes_take_u64le (bytes, &count->unavailable);
}

TpdAgentStats *
tpd_wire_stats_read (const guint8 *data, gsize len)
{
  const gsize n = len >= TPD_WIRE_STATS_SIZE (0) ? (len - TPD_WIRE_STATS_SIZE (0)) / TPD_WIRE_COUNT_SIZE : 0;
  TpdBytes bytes = tpd_bytes (data, len);
  guint64 kind, unknown_key;

  if (n > TPD_WIRE_STATS_KEYS_MAX || len != TPD_WIRE_STATS_SIZE (n) || !tpd_bytes_take_u64le (&bytes, &kind)
      || kind != REPORT_STATS || !tpd_bytes_take_u64le (&bytes, &unknown_key))
    return NULL;
  g_autofree TpdAgentStats *stats = g_malloc0 (sizeof *stats + n * sizeof stats->keys[0]);
  stats->unknown_key = unknown_key;
  stats->n_keys = (guint) n;
  for (gsize i = 0; i < n; i++)
    if (!take_count (&bytes, &stats->keys[i]))
      return NULL;
  return g_steal_pointer (&stats);
}

gsize
tpd_wire_line_write (TpdLogLevel level, const char *text, guint8 out[TPD_WIRE_LINE_MAX])
{
  TpdWireWriter w = { out, 0 };

  tpd_wire_put_number (&w, REPORT_LINE, 1);
  tpd_wire_put_number (&w, level, 1);
  tpd_wire_put (&w, text, strnlen (text, TPD_WIRE_LINE_MAX - w.len));
  return w.len;
}

char *
tpd_wire_line_read (const guint8 *data, gsize len, TpdLogLevel *level)
{
  TpdBytes bytes = tpd_bytes (data, len);
  const gsize text_len = len >= 2 ? len - 2 : 0;
  const guint8 *text;
  guint8 kind, found;

  if (len > TPD_WIRE_LINE_MAX || !tpd_bytes_take_u8 (&bytes, &kind) || kind != REPORT_LINE
      || !tpd_bytes_take_u8 (&bytes, &found) || found > TPD_LOG_DEBUG || !tpd_bytes_take (&bytes, text_len, &text))
    return NULL;
  *level = (TpdLogLevel) found;
  return g_utf8_make_valid ((const char *) text, (gssize) text_len);
}
