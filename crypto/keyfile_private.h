/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between crypto/keyfile.c, which recognises a key file, and the readers of
 * the wrappings. A reader adds what it finds to a TpdKeyReader; every key goes
 * through tpd_private_key_new() and so passes the same checks. Errors have no
 * file name: keyfile.c adds it.
 */
#pragma once

#include "crypto/keyfile.h"

/* Files other than trusted publishing domains are small. */
#define TPD_KEY_FILE_MAX (1024 * 1024)
/* Keys in one file. */
#define TPD_KEY_FILE_KEYS_MAX 64
/* How a backup of Azure Key Vault begins, in base64: "&AzureKeyVau". */
#define TPD_KEY_VAULT_BACKUP "JkF6dXJlS2V5VmF1"

typedef struct {
  const char *name;
  TpdPasswordFunc ask;
  gpointer user_data;
  TpdSecret *password; /* NULL until asked */
  guint64 pbe_spent;   /* work done to open it, see keyfile_pbe.h */
  GPtrArray *keys;     /* of TpdLoadedKey */
} TpdKeyReader;

/* The password of the file, asked for at the first call; owned by `reader`. */
const TpdSecret *tpd_key_reader_password (TpdKeyReader *reader, GError **error);
/* The key as `origin`, "pem", "pkcs12", ...; takes `key`, which may be NULL
 * after an error: then FALSE. */
gboolean tpd_key_reader_add (TpdKeyReader *reader, TpdPrivateKey *key, const char *origin, GError **error);
/* Makes and adds the key of `parts`. */
gboolean tpd_key_reader_add_parts (TpdKeyReader *reader, const TpdPrivateKeyParts *parts, const char *origin,
                                   GError **error);
/* Sets TPD_ERROR_KEY_UNUSABLE for a file of public keys or certificates. */
gboolean tpd_key_reader_public_only (GError **error);

/* keyfile_der.c: RFC 8017 A.1.2, RFC 5208. */
gboolean tpd_key_read_pkcs1 (TpdKeyReader *reader, const guint8 *der, gsize len, const char *origin, GError **error);
gboolean tpd_key_read_pkcs8 (TpdKeyReader *reader, const guint8 *der, gsize len, const char *origin, GError **error);
gboolean tpd_key_read_encrypted_pkcs8 (TpdKeyReader *reader, const guint8 *der, gsize len, const char *origin,
                                       GError **error);
/* Any DER file, PKCS#12 among them. */
gboolean tpd_key_read_der (TpdKeyReader *reader, const guint8 *der, gsize len, GError **error);

/* keyfile_pem.c; `text` is UTF-8. */
gboolean tpd_key_read_pem (TpdKeyReader *reader, const TpdSecret *text, GError **error);

/* keyfile_pkcs12.c: RFC 7292. */
gboolean tpd_key_read_pkcs12 (TpdKeyReader *reader, const guint8 *der, gsize len, GError **error);

/* keyfile_ms.c */
gboolean tpd_key_read_capi (TpdKeyReader *reader, const guint8 *data, gsize len, const char *origin, GError **error);
gboolean tpd_key_read_pvk (TpdKeyReader *reader, const guint8 *data, gsize len, GError **error);
gboolean tpd_key_read_bcrypt (TpdKeyReader *reader, const guint8 *data, gsize len, GError **error);

/* keyfile_text.c; `text` is UTF-8. */
gboolean tpd_key_read_rsakeyvalue (TpdKeyReader *reader, const TpdSecret *text, GError **error);
gboolean tpd_key_read_json (TpdKeyReader *reader, const TpdSecret *text, GError **error);
