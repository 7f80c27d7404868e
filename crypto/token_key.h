/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private key in a PKCS#11 token, as the key agent sees it: a helper process
 * (crypto/token_helper.c) has the module, the agent asks it to decrypt single
 * blocks. All that makes of a block an answer, or refuses it, is done in the
 * agent as for its own keys.
 */
#pragma once

#include "crypto/enablingbits.h"
#include "crypto/keyfile.h"
#include "crypto/pkcs11_uri.h"

typedef struct _TpdTokenHelper TpdTokenHelper;

/*
 * Forks a helper that loads `module` (a path that was checked) and looks for
 * the token of `uri` (borrowed until the key is open). Before threads, and
 * before there are secrets that it could inherit. (transfer full)
 */
TpdTokenHelper *tpd_token_helper_start (const char *module, const TpdPkcs11Uri *uri, guint lanes, GError **error);
/* Ends the helper, when no key uses it; NULL is allowed. */
void tpd_token_helper_unref (TpdTokenHelper *helper);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdTokenHelper, tpd_token_helper_unref)

/*
 * A helper for each spec of `config` that has a `uri`: element i belongs to
 * spec i and is NULL for a key file. Errors: TPD_ERROR_USAGE for a module that
 * may not be loaded. (transfer full)
 */
GPtrArray *tpd_token_helpers_start (const TpdKeyConfig *config, guint lanes, GError **error);
/* Appends the descriptors of `helpers` (may be NULL) to `fds`, of int. */
void tpd_token_helpers_add_fds (GPtrArray *helpers, GArray *fds);
/* Tells all `helpers` to end and waits a few seconds for it. Also for a
 * confined process; the last thing that is done with them. */
void tpd_token_helpers_end (GPtrArray *helpers);

/*
 * Opens the key: asks `pin` for the PIN if the token wants one. `licensor` is
 * the public key that it must have, or NULL. Checks that it decrypts what its
 * public part encrypts, and in which ways. Errors, each a sentence:
 * TPD_ERROR_PASSWORD, TPD_ERROR_KEY_UNUSABLE, TPD_ERROR_KEY_MISMATCH.
 * (transfer full)
 */
TpdTokenKey *tpd_token_key_open (TpdTokenHelper *helper, TpdPasswordFunc pin, gpointer user_data,
                                 const TpdPublicKey *licensor, GError **error);
TpdTokenKey *tpd_token_key_ref (TpdTokenKey *key);
void tpd_token_key_unref (TpdTokenKey *key);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdTokenKey, tpd_token_key_unref)

/* Borrowed; thread-safe. */
TpdPrivateOperation *tpd_token_key_operation (TpdTokenKey *key);

/* Labels of token and key, UTF-8; the latter may be NULL. */
const char *tpd_token_key_token_label (const TpdTokenKey *key);
const char *tpd_token_key_label (const TpdTokenKey *key);
/* What the token does not offer, as a sentence for the person, or NULL. */
const char *tpd_token_key_warning (const TpdTokenKey *key);

/* For tests: the process id of the helper. */
int tpd_token_key_helper_pid (const TpdTokenKey *key);
