/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the key agent and the helper of a token say to each other, for these
 * two only; all pairs are SOCK_SEQPACKET, numbers little-endian. The helper
 * runs foreign code: the agent checks whatever comes from it.
 *
 * Control pair, once, while the key is opened:
 *
 *   agent:  START
 *   helper: TOKEN, wants a PIN u8, label of the token    (or ERROR)
 *   agent:  OPEN, exponent u32, modulus length u16, modulus of the licensor
 *           (or none), PIN
 *   helper: KEY, exponent u32, modulus length u16, modulus, label of the key
 *           (or ERROR)
 *   ERROR:  code u32 (TpdError), sentence
 *
 * Then only its end matters: it tells the other side to end, too.
 *
 * Lanes carry one request and then its reply:
 *
 *   request: id u64, mechanism u8, reopen u8, block length u16, block
 *   reply:   id u64, return value of the module u32, length u16, message
 */
#pragma once

#include "crypto/digest.h"

#define TPD_TOKEN_PIN_MAX 1024
#define TPD_TOKEN_TEXT_MAX 4096
#define TPD_TOKEN_CONTROL_MAX 8192
#define TPD_TOKEN_REQUEST_HEADER 12
#define TPD_TOKEN_REQUEST_MAX (TPD_TOKEN_REQUEST_HEADER + TPD_RSA_MAX_BYTES)
#define TPD_TOKEN_REPLY_HEADER 14
#define TPD_TOKEN_REPLY_MAX (TPD_TOKEN_REPLY_HEADER + TPD_RSA_MAX_BYTES)

/* Ways of decryption; CKM_RSA_PKCS and its like. */
typedef enum {
  TPD_TOKEN_PKCS1,
  TPD_TOKEN_OAEP_SHA1,
  TPD_TOKEN_OAEP_SHA256,
  TPD_TOKEN_RAW,
  TPD_TOKEN_N_MECHANISMS,
} TpdTokenMechanism;

typedef enum {
  TPD_TOKEN_SAYS_START,
  TPD_TOKEN_SAYS_TOKEN,
  TPD_TOKEN_SAYS_OPEN,
  TPD_TOKEN_SAYS_KEY,
  TPD_TOKEN_SAYS_ERROR,
} TpdTokenMessage;

/* The key as the helper found it. */
typedef struct {
  TpdPublicKey public_key;
  char *label; /* UTF-8, may be NULL */
} TpdTokenDescription;

typedef struct {
  guint64 id;
  TpdTokenMechanism mechanism;
  gboolean reopen;
  const guint8 *block;
  gsize len;
} TpdTokenRequest;

typedef struct {
  guint64 id;
  guint32 rv;
  const guint8 *message;
  gsize len;
} TpdTokenReply;

gsize tpd_token_request_write (const TpdTokenRequest *request, guint8 out[TPD_TOKEN_REQUEST_MAX]);
/* FALSE if it is not well-formed; points into `data`. */
gboolean tpd_token_request_read (const guint8 *data, gsize len, TpdTokenRequest *request);
/* `out` is secret memory. */
gsize tpd_token_reply_write (const TpdTokenReply *reply, guint8 out[TPD_TOKEN_REPLY_MAX]);
gboolean tpd_token_reply_read (const guint8 *data, gsize len, TpdTokenReply *reply);

/* Control messages into `out` of TPD_TOKEN_CONTROL_MAX bytes; longer texts are
 * cut. */
gsize tpd_token_says_start (guint8 *out);
gsize tpd_token_says_token (gboolean wants_pin, const char *label, guint8 *out);
/* `licensor` and `pin` may be NULL; `out` is secret memory. */
gsize tpd_token_says_open (const TpdPublicKey *licensor, const guint8 *pin, gsize pin_len, guint8 *out);
gsize tpd_token_says_key (const TpdTokenDescription *description, guint8 *out);
gsize tpd_token_says_error (guint32 code, const char *sentence, guint8 *out);

/* What a control message holds; the fields of its kind are set. */
typedef struct {
  TpdTokenMessage kind;
  gboolean wants_pin;      /* TOKEN */
  guint32 code;            /* ERROR */
  gboolean has_public_key; /* OPEN; always with KEY */
  TpdPublicKey public_key;
  const guint8 *rest; /* label, PIN or sentence, in the message */
  gsize rest_len;
} TpdTokenControl;

/* FALSE if it is not well-formed; points into `data`. */
gboolean tpd_token_control_read (const guint8 *data, gsize len, TpdTokenControl *control);
