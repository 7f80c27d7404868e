/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key files, recognised by content, never by name: trusted publishing domains
 * (crypto/tpd_file.c) and private keys in other wrappings. Runs in the key
 * agent; the files are treated as hostile.
 */
#pragma once

#include "crypto/keys.h"
#include "crypto/private_key.h"

/* A private key in a PKCS#11 token, crypto/token_key.h. */
typedef struct _TpdTokenKey TpdTokenKey;

/* What one key file or token gave: `info`, and the private key or the way to
 * it unless keyless. */
typedef struct {
  TpdKeyInfo *info;
  TpdPrivateKey *key; /* NULL: keyless, or in a token */
  TpdTokenKey *token; /* NULL: keyless, or in a file */
} TpdLoadedKey;

/* The public part of the private key, NULL for a keyless one. */
const TpdPublicKey *tpd_loaded_key_held (const TpdLoadedKey *loaded);

void tpd_loaded_key_free (TpdLoadedKey *loaded);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdLoadedKey, tpd_loaded_key_free)

/* Called when the file turns out to need a password; at most once per file. */
typedef TpdSecret *(*TpdPasswordFunc) (gpointer user_data, GError **error);

/*
 * Reads the keys in `data`. `name` is for messages and for TpdKeyInfo.name.
 * Returns an array of TpdLoadedKey, at least one. (transfer full)
 *
 * Errors, each a sentence with the remedy: TPD_ERROR_PASSWORD (wrong password
 * or damaged), TPD_ERROR_KEY_FILE (not a key file, truncated, DOCTYPE),
 * TPD_ERROR_KEY_DAMAGED, TPD_ERROR_KEY_MISMATCH, TPD_ERROR_KEY_UNUSABLE
 * (.byok, TUD, Azure transport package, Key Vault backup).
 */
GPtrArray *tpd_key_file_read (const char *name, const guint8 *data, gsize len, TpdPasswordFunc password,
                              gpointer user_data, GError **error);

/* The TPD reader alone (crypto/tpd_file.c). */
gboolean tpd_tpd_file_detect (const guint8 *data, gsize len);
GPtrArray *tpd_tpd_file_read (const char *name, const guint8 *data, gsize len, TpdPasswordFunc password,
                              gpointer user_data, GError **error);

/*
 * Loads every key of `config`, in the order given; a keyless TPD and a private
 * key of the same modulus become one. The first file or token that fails ends
 * it. `helpers` are those of tpd_token_helpers_start() for this `config`;
 * tpd_keys_load() starts them itself. Returns an array of TpdLoadedKey,
 * possibly empty. (transfer full)
 */
GPtrArray *tpd_keys_load_with (const TpdKeyConfig *config, GPtrArray *helpers, GError **error);
GPtrArray *tpd_keys_load (const TpdKeyConfig *config, GError **error);
