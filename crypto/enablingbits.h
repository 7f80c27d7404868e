/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENABLINGBITS of a publishing license, [MS-RMPR] 2.2.9.1.13 and 3.1.4.7: the
 * arithmetic between the server's private key and the content key. Runs in
 * the key agent; the request is hostile.
 */
#pragma once

#include "crypto/key_header.h"
#include "crypto/private_key.h"
#include "crypto/unwrapper.h"

/* --- What it needs of a private key ----------------------------------- */

typedef enum {
  TPD_PADDING_OAEP_SHA1,
  TPD_PADDING_OAEP_SHA256,
  TPD_PADDING_PKCS1,
  TPD_N_PADDINGS,
} TpdPadding;

/* What one private operation made of a block, under each padding that was
 * tried; lives in secret memory. */
typedef struct {
  gboolean tried[TPD_N_PADDINGS];
  gboolean fits[TPD_N_PADDINGS];
  gboolean owes; /* less work was done than for a padding that does not fit */
  gsize len[TPD_N_PADDINGS];
  guint8 message[TPD_N_PADDINGS][TPD_RSA_MAX_BYTES];
} TpdOpened;

typedef struct _TpdPrivateOperation TpdPrivateOperation;

typedef struct {
  /* In how many attempts all paddings of `type` are tried; at least 1. */
  guint (*attempts) (TpdPrivateOperation *self, TpdSealType type);
  /* Fills the zeroed `opened` from `block`, which is as long as the modulus
   * and below it. A padding that does not fit is no error; that the key cannot
   * be used now is one (TPD_ERROR_AGENT, a sentence without its end), and that
   * there is no way to try the padding of this attempt (TPD_ERROR_UNSUPPORTED,
   * likewise): the others go on, but what none of them opens is not refused. */
  gboolean (*run) (TpdPrivateOperation *self, TpdSealType type, guint attempt, const guint8 *block, TpdOpened *opened,
                   GError **error);
  /* Does the work that `run` owes, once the block is refused. May be NULL. */
  void (*make_up) (TpdPrivateOperation *self, TpdSealType type, guint attempt);
} TpdPrivateOperationClass;

/* A private key wherever it is: here, or in a token. */
struct _TpdPrivateOperation {
  const TpdPrivateOperationClass *klass;
  const TpdPublicKey *public_key;
};

/* What a key made of the block that a request is tried with first; lives in
 * secret memory. */
typedef struct {
  gboolean done;
  guint8 block[TPD_RSA_MAX_BYTES];
  guint8 em[TPD_RSA_MAX_BYTES];
} TpdPreparedBlock;

/*
 * Does the private operation that each of `n` requests to `key`, at most
 * TPD_UNWRAP_MANY, begins with: all at once costs less. What was not done is left
 * to tpd_enabling_bits_unwrap_with().
 */
void tpd_enabling_bits_prepare (TpdPrivateKey *key, const TpdUnwrapRequest *const *requests, guint n,
                                TpdPreparedBlock *const *prepared);

/* A key of this process; no cleanup, `key` must outlive it. */
typedef struct {
  TpdPrivateOperation base;
  TpdPrivateKey *key;
  const TpdPreparedBlock *prepared; /* for the first attempt; may be NULL */
} TpdLocalOperation;

TpdPrivateOperation *tpd_local_operation_init (TpdLocalOperation *operation, TpdPrivateKey *key);

/* Whether `padding` may open what is sealed as `type`. */
gboolean tpd_padding_applies (TpdPadding padding, TpdSealType type);
/* Fills `opened` for `padding` from the raw RSA result `em`. */
void tpd_opened_unpad (TpdOpened *opened, TpdPadding padding, const guint8 *em, gsize em_len);

/* --- Opening ---------------------------------------------------------- */

/*
 * Opens `request` with the private key behind `operation`. Fills `*reply` as
 * tpd_unwrapper_unwrap() does. Every failure before the content key header
 * takes the same path: all attempts that the operation has for the type, each
 * with one AES pass, and all of it once more with the RSA block reversed.
 * When the key cannot be used, UNAVAILABLE and `error` says why; also when nothing
 * opens and a padding could not be tried, TPD_ERROR_UNSUPPORTED then.
 */
void tpd_enabling_bits_unwrap_with (TpdPrivateOperation *operation, const TpdUnwrapRequest *request,
                                    TpdUnwrapReply *reply, GError **error);

/* Likewise with a key of this process: one RSA operation for all paddings. */
void tpd_enabling_bits_unwrap (TpdPrivateKey *key, const TpdUnwrapRequest *request, TpdUnwrapReply *reply);

/*
 * The part behind the RSA operation, `em` being the raw result of `em_len`
 * bytes. For fuzzing and tests; tpd_enabling_bits_unwrap() is the door.
 */
void tpd_enabling_bits_open (const guint8 *em, gsize em_len, const TpdUnwrapRequest *request, TpdUnwrapReply *reply);

/* --- Double Key Encryption --------------------------------------------- */

/* What the tenant key laid bare of a double-key license: the content key,
 * still sealed to the key of the double key service. */
struct _TpdSecondSeal {
  guint8 data[TPD_KEY_HEADER_SIZE + TPD_RSA_MAX_BYTES]; /* an RSA block, big-endian, as such or behind a key header */
  gsize len;
  gboolean headed; /* it begins with a key header that tells its length */
  /* What is known of the outer seal. */
  TpdHashRule hash_rule;
  gboolean pkcs1, oaep_sha256;
  gsize session_key_len;
};

/*
 * Opens what reply->second holds, if the key behind `operation` fits it:
 * OAEP with SHA-256, as double key services do, over a KeyHeader and an AES
 * key and nothing else (docs/formats.md). TRUE: `*reply` is OK and has the
 * content key. Otherwise `*reply` stays as it is, but for lines of the trace;
 * with `error` the key could not be used now.
 */
gboolean tpd_second_seal_open (TpdPrivateOperation *operation, const char *name, TpdUnwrapReply *reply, GError **error);
