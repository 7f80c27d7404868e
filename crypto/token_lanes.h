/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of a token key: the agent's end of the sockets to its
 * helper process. */
#pragma once

#include "crypto/pkcs11_wire.h"
#include "crypto/token_key.h"

TpdTokenHelper *tpd_token_helper_ref (TpdTokenHelper *helper);
int tpd_token_helper_pid (const TpdTokenHelper *helper);

/* The next control message into `message` of TPD_TOKEN_CONTROL_MAX bytes;
 * FALSE when the helper is gone or talks nonsense. */
gboolean tpd_token_helper_hear (TpdTokenHelper *helper, guint8 *message, TpdTokenControl *control);
gboolean tpd_token_helper_tell (TpdTokenHelper *helper, const guint8 *message, gsize len);
/* For tests: how long a decryption is waited for; before the key is opened. */
void tpd_token_helper_set_patience (TpdTokenHelper *helper, guint ms);

/* The key is open: nothing more is to be heard but the end. */
void tpd_token_helper_opened (TpdTokenHelper *helper);

/*
 * Lanes: one user at a time, who keeps it until he is done with a block, so
 * that "anew" in the next call means anew since his last one. Thread-safe;
 * taking one may wait.
 */
guint tpd_token_helper_lane_take (TpdTokenHelper *helper);
void tpd_token_helper_lane_give_back (TpdTokenHelper *helper, guint lane);

/*
 * One decryption by the helper. TRUE: `*rv` is the module's answer, and for 0
 * the message is in `out` (TPD_RSA_MAX_BYTES, secret memory) with its length.
 * FALSE: the helper is gone or does not answer; `*why` says so (static
 * string). Waits a minute at most.
 */
gboolean tpd_token_helper_decrypt (TpdTokenHelper *helper, guint lane, TpdTokenMechanism mechanism, gboolean reopen,
                                   const guint8 *block, gsize len, guint8 *out, gsize *out_len, guint32 *rv,
                                   const char **why);
