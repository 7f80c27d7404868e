/* SPDX-License-Identifier: Apache-2.0 */
/* The messages between the key agent and its client. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "crypto/agent_wire.h"
#include "sealed.h"

static GPtrArray *samples;

#define GOOD "long session key.txt.pfile"

static gsize
request_message (const TpdUnwrapRequest *request, guint8 *out)
{
  tpd_wire_request_header (0x1122334455667788, request, out);
  memcpy (out + TPD_WIRE_REQUEST_HEADER, request->sealed, request->sealed_len);
  memcpy (out + TPD_WIRE_REQUEST_HEADER + request->sealed_len, request->principals, request->principals_len);
  return TPD_WIRE_REQUEST_HEADER + request->sealed_len + request->principals_len;
}

/* A message of one request, one reply. */
static gboolean
request_read (const guint8 *data, gsize len, guint64 *id, TpdUnwrapRequest *request)
{
  TpdWireRequest requests[TPD_UNWRAP_MANY];

  if (tpd_wire_requests_read (data, len, requests) != 1)
    return FALSE;
  *id = requests[0].id;
  *request = requests[0].request;
  return TRUE;
}

static gboolean
reply_read (const guint8 *data, gsize len, guint64 id, TpdUnwrapReply *reply)
{
  TpdBytes message = tpd_bytes (data, len);
  gboolean good = tpd_wire_reply_take (&message, id, reply);

  if (!good || tpd_bytes_left (&message) == 0)
    return good;
  tpd_unwrap_reply_clear (reply);
  return FALSE;
}

static void
test_wire_request (void)
{
  const TpdUnwrapRequest *request = &sealed_find (samples, GOOD)->request;
  g_autofree guint8 *message = g_malloc (TPD_WIRE_REQUEST_MAX);
  gsize len = request_message (request, message);
  TpdUnwrapRequest back;
  guint64 id;

  g_assert_true (request_read (message, len, &id, &back));
  g_assert_true (id == 0x1122334455667788);
  g_assert_cmpint (back.type, ==, request->type);
  g_assert_cmpmem (back.sealed, back.sealed_len, request->sealed, request->sealed_len);
  g_assert_cmpmem (back.principals, back.principals_len, request->principals, request->principals_len);
  g_assert_true (tpd_fingerprint_equal (&back.key, &request->key));

  for (gsize cut = 0; cut < len; cut++)
    {
      g_autofree guint8 *part = g_memdup2 (message, cut);
      g_assert_false (request_read (part, cut, &id, &back));
    }
  message[len] = 0;
  g_assert_false (request_read (message, len + 1, &id, &back));

  /* type, purpose, reserved, lengths that lie */
  static const gsize at[] = { 8, 9, 10, 11, 44, 47, 48, 51 };
  for (guint i = 0; i < G_N_ELEMENTS (at); i++)
    {
      guint8 byte = message[at[i]];
      message[at[i]] = 0xff;
      g_assert_false (request_read (message, len, &id, &back));
      message[at[i]] = byte;
    }
}

/* Several in a message: all well-formed, not too many, none for a trace. */
static void
test_wire_requests (void)
{
  TpdUnwrapRequest request = sealed_find (samples, GOOD)->request;
  TpdWireRequest back[TPD_UNWRAP_MANY];
  gsize ends[TPD_UNWRAP_MANY + 1], len = 0;
  g_autofree guint8 *message = g_malloc (TPD_WIRE_REQUEST_MAX);

  request.principals_len = 0;
  for (guint i = 0; i <= TPD_UNWRAP_MANY; i++)
    ends[i] = len += request_message (&request, message + len);
  g_assert_cmpuint (tpd_wire_requests_read (message, len, back), ==, 0);
  for (guint i = 0; i < TPD_UNWRAP_MANY; i++)
    {
      g_assert_cmpuint (tpd_wire_requests_read (message, ends[i], back), ==, i + 1);
      g_assert_cmpmem (back[i].request.sealed, back[i].request.sealed_len, request.sealed, request.sealed_len);
      g_assert_true (back[i].id == 0x1122334455667788);
      g_assert_cmpuint (tpd_wire_requests_read (message, ends[i] - 1, back), ==, 0);
      g_assert_cmpuint (tpd_wire_requests_read (message, ends[i] + 1, back), ==, 0);
    }
  g_assert_cmpuint (tpd_wire_requests_read (message, 0, back), ==, 0);
  message[9] = TPD_PURPOSE_TRACE;
  g_assert_cmpuint (tpd_wire_requests_read (message, ends[0], back), ==, 1);
  g_assert_cmpuint (tpd_wire_requests_read (message, ends[1], back), ==, 0);
}

static void
test_wire_reply (void)
{
  TpdContentKey key = { .key = tpd_secret_new ("0123456789abcdef", 16),
                        .mode_word = 0xfffd,
                        .size_word = 128,
                        .flags = 0x2002,
                        .hash_rule = TPD_HASH_RULE_C,
                        .oaep_sha256 = TRUE,
                        .second_seal = TRUE,
                        .reversed = TRUE,
                        .session_key_len = 24,
                        .ref_count = 1 };
  const TpdUnwrapReply reply = { TPD_UNWRAP_OK, &key, (char *) "line\n" };
  guint8 message[TPD_WIRE_REPLY_MAX + 1];
  gsize len = tpd_wire_reply_write (7, &reply, message);
  g_auto (TpdUnwrapReply) back = { 0 };

  g_assert_true (reply_read (message, len, 7, &back));
  g_assert_cmpint (back.status, ==, TPD_UNWRAP_OK);
  g_assert_cmpmem (back.key->key->data, back.key->key->len, key.key->data, 16);
  g_assert_cmphex (back.key->mode_word, ==, 0xfffd);
  g_assert_cmpuint (back.key->size_word, ==, 128);
  g_assert_cmphex (back.key->flags, ==, 0x2002);
  g_assert_cmpint (back.key->hash_rule, ==, TPD_HASH_RULE_C);
  g_assert_true (back.key->oaep_sha256);
  g_assert_true (back.key->second_seal);
  g_assert_true (back.key->reversed);
  g_assert_false (back.key->pkcs1);
  g_assert_cmpuint (back.key->session_key_len, ==, 24);
  g_assert_cmpstr (back.trace, ==, "line\n");

  TpdUnwrapReply bad;
  g_assert_false (reply_read (message, len, 8, &bad)); /* not to this request */
  for (gsize cut = 0; cut < len; cut++)
    g_assert_false (reply_read (message, cut, 7, &bad));
  message[len] = 0;
  g_assert_false (reply_read (message, len + 1, 7, &bad));
  static const gsize at[] = { 8, 9, 10, 11, 20, 24, 27 };
  for (guint i = 0; i < G_N_ELEMENTS (at); i++)
    {
      guint8 byte = message[at[i]];
      message[at[i]] = 0xee;
      g_assert_false (reply_read (message, len, 7, &bad));
      g_assert_null (bad.key);
      message[at[i]] = byte;
    }
  /* a key without success, success without a key */
  message[8] = TPD_UNWRAP_REFUSED;
  g_assert_false (reply_read (message, len, 7, &bad));
  const TpdUnwrapReply refused = { TPD_UNWRAP_REFUSED, NULL, NULL };
  len = tpd_wire_reply_write (7, &refused, message);
  g_assert_true (reply_read (message, len, 7, &bad));
  g_assert_cmpint (bad.status, ==, TPD_UNWRAP_REFUSED);
  message[8] = TPD_UNWRAP_OK;
  g_assert_false (reply_read (message, len, 7, &bad));
  tpd_secret_unref (key.key);
}

static void
test_wire_control (void)
{
  guint8 header[TPD_WIRE_CONTROL_HEADER];
  TpdWireControl back;
  static const struct {
    TpdWireControl control;
    gboolean good;
  } cases[] = {
    { { TPD_WIRE_KEYRING, 0, 1000 }, TRUE },
    { { TPD_WIRE_KEYRING, 0, TPD_WIRE_KEYRING_MAX + 1 }, FALSE },
    { { TPD_WIRE_ERROR, TPD_ERROR_PASSWORD, 10 }, TRUE },
    { { TPD_WIRE_ERROR, TPD_ERROR_ERRNO + ENOENT, 10 }, TRUE },
    { { TPD_WIRE_ERROR, TPD_ERROR_PASSWORD, TPD_WIRE_MESSAGE_MAX + 1 }, FALSE },
    { { TPD_WIRE_ERROR, 500, 10 }, FALSE },
    { { (TpdWireResult) 2, 0, 10 }, FALSE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      tpd_wire_control_write (&cases[i].control, header);
      g_assert_cmpint (tpd_wire_control_read (header, &back), ==, cases[i].good);
    }
}

static void
test_wire_report (void)
{
  const gsize n = 3, size = TPD_WIRE_STATS_SIZE (n);
  g_autofree TpdAgentStats *stats = g_malloc0 (sizeof *stats + n * sizeof stats->keys[0]);
  guint8 message[TPD_WIRE_LINE_MAX + 1];
  TpdLogLevel level;

  stats->unknown_key = 0x1122334455667788;
  stats->n_keys = (guint) n;
  stats->keys[2] = (TpdAgentCount){ 1, 2, 3, 4, G_MAXUINT64 };
  tpd_wire_stats_write (stats, message);
  g_autofree TpdAgentStats *back = tpd_wire_stats_read (message, size);
  g_assert_nonnull (back);
  g_assert_cmpmem (back, sizeof *back + n * sizeof back->keys[0], stats, sizeof *stats + n * sizeof stats->keys[0]);
  for (gsize cut = 0; cut <= size + 1; cut++)
    {
      g_autofree TpdAgentStats *part = tpd_wire_stats_read (message, cut);
      /* Fewer keys are a message, too. */
      g_assert_true ((part != NULL) == (cut >= 16 && (cut - 16) % 40 == 0));
    }
  message[0] = 1;
  g_assert_null (tpd_wire_stats_read (message, size));

  gsize len = tpd_wire_line_write (TPD_LOG_WARNING, "words", message);
  g_autofree char *line = tpd_wire_line_read (message, len, &level);
  g_assert_cmpstr (line, ==, "words");
  g_assert_cmpint (level, ==, TPD_LOG_WARNING);
  g_assert_null (tpd_wire_stats_read (message, len));
  g_assert_null (tpd_wire_line_read (message, 1, &level));
  message[1] = 9;
  g_assert_null (tpd_wire_line_read (message, len, &level));
  g_autofree char *text = g_strnfill (5000, 'x');
  g_assert_cmpuint (tpd_wire_line_write (TPD_LOG_ERROR, text, message), ==, TPD_WIRE_LINE_MAX);
  g_assert_null (tpd_wire_line_read (message, TPD_WIRE_LINE_MAX + 1, &level));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  samples = sealed_load_all ();
  g_test_add_func ("/agent-wire/request", test_wire_request);
  g_test_add_func ("/agent-wire/several-requests", test_wire_requests);
  g_test_add_func ("/agent-wire/reply", test_wire_reply);
  g_test_add_func ("/agent-wire/control", test_wire_control);
  g_test_add_func ("/agent-wire/report", test_wire_report);
  int status = g_test_run ();
  g_ptr_array_unref (samples);
  return status;
}
