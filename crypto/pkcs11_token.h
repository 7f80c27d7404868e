/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One private RSA key in one token, through a PKCS#11 module that is loaded:
 * finding it, logging in, decrypting, and finding it again after the token
 * was away. For the helper process only.
 */
#pragma once

#include "crypto/pkcs11_module.h"
#include "crypto/pkcs11_uri.h"
#include "crypto/pkcs11_wire.h"
#include "crypto/secret.h"

typedef struct _TpdPkcs11Token TpdPkcs11Token;

/* Initialises the module and finds the token that `uri` means; both are
 * borrowed. */
TpdPkcs11Token *tpd_pkcs11_token_new (CK_FUNCTION_LIST *functions, const TpdPkcs11Uri *uri, GError **error);

/* Waits for what is being decrypted, ends all sessions and the module. */
void tpd_pkcs11_token_free (TpdPkcs11Token *token);

const char *tpd_pkcs11_token_label (const TpdPkcs11Token *token);
/* Whether the token wants a PIN that we have to give. */
gboolean tpd_pkcs11_token_wants_pin (const TpdPkcs11Token *token);

/*
 * Logs in with `pin` (NULL when none is wanted), which is kept for later
 * logins, and finds the key. `licensor`, if not NULL, is the public key that
 * it must have. `description` is filled; its strings belong to the token.
 */
gboolean tpd_pkcs11_token_open (TpdPkcs11Token *token, TpdSecret *pin, const TpdPublicKey *licensor,
                                TpdTokenDescription *description, GError **error);

/* What one thread uses; a session of its own where the token has enough. */
typedef struct {
  TpdPkcs11Token *token;
  CK_SESSION_HANDLE session; /* 0: none yet, or the token's main session */
  gboolean open;
  guint generation; /* of the token, when the session was opened */
} TpdPkcs11Lane;

/*
 * Decrypts `block`. With `reopen` the token is opened anew first, unless
 * another lane has just done so. When the session, the login or the token is
 * gone, it is opened anew, once. `out` has room for TPD_RSA_MAX_BYTES and is
 * secret memory. Returns the PKCS#11 return value.
 */
CK_RV tpd_pkcs11_lane_decrypt (TpdPkcs11Lane *lane, TpdTokenMechanism mechanism, gboolean reopen, const guint8 *block,
                               gsize len, guint8 *out, gsize *out_len);
