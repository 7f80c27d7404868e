/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between the key agent and the helper of a token: see
 * crypto/pkcs11_wire.h. */
#include "crypto/pkcs11_wire.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/wire_writer.h"

static void
put_text (TpdWireWriter *w, const char *text)
{
  if (text)
    tpd_wire_put (w, text, strnlen (text, TPD_TOKEN_TEXT_MAX));
}

static void
put_public_key (TpdWireWriter *w, const TpdPublicKey *key)
{
  tpd_wire_put_number (w, key ? key->exponent : 0, 4);
  tpd_wire_put_number (w, key ? key->len : 0, 2);
  if (key)
    tpd_wire_put (w, key->modulus, key->len);
}

gsize
tpd_token_request_write (const TpdTokenRequest *request, guint8 out[TPD_TOKEN_REQUEST_MAX])
{
  TpdWireWriter w = { out, 0 };

  g_assert (request->len <= TPD_RSA_MAX_BYTES);
  tpd_wire_put_number (&w, request->id, 8);
  tpd_wire_put_number (&w, request->mechanism, 1);
  tpd_wire_put_number (&w, request->reopen ? 1 : 0, 1);
  tpd_wire_put_number (&w, request->len, 2);
  tpd_wire_put (&w, request->block, request->len);
  return w.len;
}

gboolean
tpd_token_request_read (const guint8 *data, gsize len, TpdTokenRequest *request)
{
  TpdBytes bytes = tpd_bytes (data, len);
  guint8 mechanism, reopen;
  guint16 block_len;

  if (!tpd_bytes_take_u64le (&bytes, &request->id) || !tpd_bytes_take_u8 (&bytes, &mechanism)
      || !tpd_bytes_take_u8 (&bytes, &reopen) || !tpd_bytes_take_u16le (&bytes, &block_len)
      || mechanism >= TPD_TOKEN_N_MECHANISMS || reopen > 1 || block_len == 0 || block_len > TPD_RSA_MAX_BYTES
      || !tpd_bytes_take (&bytes, block_len, &request->block) || tpd_bytes_left (&bytes) != 0)
    return FALSE;
  request->mechanism = (TpdTokenMechanism) mechanism;
  request->reopen = reopen;
  request->len = block_len;
  return TRUE;
}

gsize
tpd_token_reply_write (const TpdTokenReply *reply, guint8 out[TPD_TOKEN_REPLY_MAX])
{
  TpdWireWriter w = { out, 0 };

  g_assert (reply->len <= TPD_RSA_MAX_BYTES);
  tpd_wire_put_number (&w, reply->id, 8);
  tpd_wire_put_number (&w, reply->rv, 4);
  tpd_wire_put_number (&w, reply->len, 2);
  tpd_wire_put (&w, reply->message, reply->len);
  return w.len;
}

gboolean
tpd_token_reply_read (const guint8 *data, gsize len, TpdTokenReply *reply)
{
  TpdBytes bytes = tpd_bytes (data, len);
  guint16 message_len;

  if (!tpd_bytes_take_u64le (&bytes, &reply->id) || !tpd_bytes_take_u32le (&bytes, &reply->rv)
      || !tpd_bytes_take_u16le (&bytes, &message_len) || message_len > TPD_RSA_MAX_BYTES
      || !tpd_bytes_take (&bytes, message_len, &reply->message) || tpd_bytes_left (&bytes) != 0)
    return FALSE;
  reply->len = message_len;
  return TRUE;
}

gsize
tpd_token_says_start (guint8 *out)
{
  out[0] = TPD_TOKEN_SAYS_START;
  return 1;
}

gsize
tpd_token_says_token (gboolean wants_pin, const char *label, guint8 *out)
{
  TpdWireWriter w = { out, 0 };

  tpd_wire_put_number (&w, TPD_TOKEN_SAYS_TOKEN, 1);
  tpd_wire_put_number (&w, wants_pin ? 1 : 0, 1);
  put_text (&w, label);
  return w.len;
}

gsize
tpd_token_says_open (const TpdPublicKey *licensor, const guint8 *pin, gsize pin_len, guint8 *out)
{
  TpdWireWriter w = { out, 0 };

  g_assert (pin_len <= TPD_TOKEN_PIN_MAX);
  tpd_wire_put_number (&w, TPD_TOKEN_SAYS_OPEN, 1);
  put_public_key (&w, licensor);
  tpd_wire_put (&w, pin, pin_len);
  return w.len;
}

gsize
tpd_token_says_key (const TpdTokenDescription *description, guint8 *out)
{
  TpdWireWriter w = { out, 0 };

  tpd_wire_put_number (&w, TPD_TOKEN_SAYS_KEY, 1);
  put_public_key (&w, &description->public_key);
  put_text (&w, description->label);
  return w.len;
}

gsize
tpd_token_says_error (guint32 code, const char *sentence, guint8 *out)
{
  TpdWireWriter w = { out, 0 };

  tpd_wire_put_number (&w, TPD_TOKEN_SAYS_ERROR, 1);
  tpd_wire_put_number (&w, code, 4);
  put_text (&w, sentence);
  return w.len;
}

/* An empty modulus is none. */
static gboolean
take_public_key (TpdBytes *bytes, TpdTokenControl *control)
{
  const guint8 *modulus;
  guint32 exponent;
  guint16 len;

  if (!tpd_bytes_take_u32le (bytes, &exponent) || !tpd_bytes_take_u16le (bytes, &len)
      || !tpd_bytes_take (bytes, len, &modulus))
    return FALSE;
  control->has_public_key = len > 0;
  return len == 0 || tpd_public_key_from_be (&control->public_key, modulus, len, exponent);
}

gboolean
tpd_token_control_read (const guint8 *data, gsize len, TpdTokenControl *control)
{
  TpdBytes bytes = tpd_bytes (data, len);
  guint8 kind, wants_pin = 0;
  gboolean ok;

  *control = (TpdTokenControl){ 0 };
  if (!tpd_bytes_take_u8 (&bytes, &kind))
    return FALSE;
  control->kind = (TpdTokenMessage) kind;
  switch (kind)
    {
    case TPD_TOKEN_SAYS_START:
      ok = TRUE;
      break;
    case TPD_TOKEN_SAYS_TOKEN:
      ok = tpd_bytes_take_u8 (&bytes, &wants_pin) && wants_pin <= 1;
      break;
    case TPD_TOKEN_SAYS_OPEN:
      ok = take_public_key (&bytes, control) && tpd_bytes_left (&bytes) <= TPD_TOKEN_PIN_MAX;
      break;
    case TPD_TOKEN_SAYS_KEY:
      ok = take_public_key (&bytes, control) && control->has_public_key;
      break;
    case TPD_TOKEN_SAYS_ERROR:
      ok = tpd_bytes_take_u32le (&bytes, &control->code) && control->code <= TPD_ERROR_USAGE;
      break;
    default:
      return FALSE;
    }
  control->wants_pin = wants_pin;
  control->rest_len = tpd_bytes_left (&bytes);
  return ok && tpd_bytes_take (&bytes, control->rest_len, &control->rest);
}
