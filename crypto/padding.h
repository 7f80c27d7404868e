/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA encryption paddings, removed from the raw RSA result by own code:
 * OpenSSL from 3.2 on answers bad PKCS#1 v1.5 padding with invented bytes,
 * which would hide what went wrong.
 *
 * Neither function has a branch on a byte of `em`; each takes the same time
 * for every `em` of one length, whether it fails or not.
 */
#pragma once

#include "crypto/digest.h"

/*
 * RFC 8017 7.2.2. Writes the message to `out` (room for `em_len` bytes, at
 * most TPD_RSA_MAX_BYTES) and its length to `*out_len`; FALSE, length 0 and
 * zeros when the padding is wrong.
 */
gboolean tpd_unpad_pkcs1 (const guint8 *em, gsize em_len, guint8 *out, gsize *out_len);

/* Likewise RFC 8017 7.1.2, with an empty label and one digest for both uses:
 * SHA-1, or SHA-256 if `sha256`. */
gboolean tpd_unpad_oaep (const guint8 *em, gsize em_len, gboolean sha256, guint8 *out, gsize *out_len);
