/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the reader of trusted publishing domains: encryption
 * (tpd_file_seal.c) and XML (tpd_file_xml.c). For crypto/tpd_file.c and tests.
 */
#pragma once

#include <glib.h>

#include "crypto/digest.h"
#include "crypto/secret.h"

#define TPD_FILE_MAX (64 * 1024 * 1024)

/* --- Encryption of both fields: docs/formats.md, "TPD" ---------------- */

#define TPD_FILE_KEY_SIZE 16

/*
 * The AES key of a password (UTF-8). `kdf` is 2 (AD RMS 2008 and later) or 1
 * (RMS 1.0 compatible). NULL if the password is not UTF-8. (transfer full)
 */
TpdSecret *tpd_file_derive_key (guint kdf, const TpdSecret *password);
/* AES-128-CBC with the fixed IV; NULL unless the padding is right, which for
 * a wrong key it is once in 256 times. (transfer full) */
TpdSecret *tpd_file_unseal (const TpdSecret *key, const guint8 *data, gsize len);

/* --- XML --------------------------------------------------------------- */

/* One item of the outer document. Fields are ciphertext, decoded; NULL when
 * the element is missing or empty. */
typedef struct {
  guint8 *info;
  gsize info_len;
  guint8 *key;
  gsize key_len;
} TpdFileItem;

/* Reads the outer document: an array of TpdFileItem, at least one, each with
 * `info`. TPD_ERROR_KEY_FILE. (transfer full) */
GPtrArray *tpd_file_parse_outer (const guint8 *data, gsize len, GError **error);

/* The inner document. Strings may be NULL, lists are not. */
typedef struct {
  char *id;
  char *csp_name;
  char *key_container;
  TpdSecret *key_text; /* strEncryptedPrivateKey as found; NULL if empty */
  char **certificates; /* leaf first */
  char **templates;
  guint templates_left_out; /* beyond the limit of templates in one list */
} TpdFileInner;

void tpd_file_inner_free (TpdFileInner *inner);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdFileInner, tpd_file_inner_free)

/*
 * Reads the inner document from the bytes of an opened info field. A private
 * key in them is cut out before the XML parser sees them. Errors:
 * TPD_ERROR_PASSWORD when the bytes are no text, as after a wrong password;
 * TPD_ERROR_KEY_FILE when they are but not that document. (transfer full)
 */
TpdFileInner *tpd_file_parse_inner (const TpdSecret *plain, GError **error);

/* What the leaf server licensor certificate says of its principal,
 * [MS-RMPR] 2.2.9.3. Strings may be NULL, `urls` is not. */
typedef struct {
  TpdPublicKey public_key;
  char *guid; /* 36 characters */
  char *name;
  char *tenant_id;
  char **urls;
} TpdLicensor;

void tpd_licensor_free (TpdLicensor *licensor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdLicensor, tpd_licensor_free)

/* TPD_ERROR_KEY_FILE when it is no certificate with an RSA key. (transfer full) */
TpdLicensor *tpd_licensor_parse (const char *xrml, GError **error);
