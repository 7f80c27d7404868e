/* SPDX-License-Identifier: Apache-2.0 */
/* Finding a private key among the objects of a token, in a session that is
 * logged in. For crypto/pkcs11_token.c. */
#pragma once

#include "crypto/digest.h"
#include "crypto/pkcs11_module.h"
#include "crypto/pkcs11_uri.h"

typedef struct {
  CK_OBJECT_HANDLE handle;
  char *label; /* UTF-8, may be NULL */
  TpdPublicKey public_key;
  gboolean always_authenticate; /* the PIN is wanted for each operation */
} TpdPkcs11Key;

/*
 * The one private RSA key that `uri` means, with the modulus of `wanted` if
 * that is not NULL. Fills `key`, whose old label is freed. Errors:
 * TPD_ERROR_KEY_UNUSABLE, a sentence that names what is there instead.
 */
CK_RV tpd_pkcs11_key_find (CK_FUNCTION_LIST *module, CK_SESSION_HANDLE session, const char *token_label,
                           const TpdPkcs11Uri *uri, const TpdPublicKey *wanted, TpdPkcs11Key *key, GError **error);
