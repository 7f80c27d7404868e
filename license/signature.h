/* SPDX-License-Identifier: Apache-2.0 */
/* The signature of one XrML document. Private to license/. */
#pragma once

#include "license/license.h"
#include "license/text.h"
#include "license/xml.h"

/*
 * Checks the signature of `slice` of `text` against `key` (NULL if the
 * document names no usable key); `doc` is that slice, parsed. Never an error:
 * what a broken signature means is for the caller to say. `sha256` gets the
 * digest of the slice, which costs little along with that of the signature; it
 * may be NULL.
 */
TpdSignatureState tpd_signature_check (const char *text, const TpdXrmlSlice *slice, const TpdXml *doc,
                                       const TpdPublicKey *key, guint8 sha256[TPD_SHA256_SIZE]);
