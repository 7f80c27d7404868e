/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash inside ENABLINGBITS. [MS-RMPR] 2.2.9.1.13 says that it covers
 * ISSUEDPRINCIPALS, in which the ENABLINGBITS themselves stand; it does not
 * say what is cut out. docs/formats.md has the four candidates.
 */
#pragma once

#include "crypto/unwrapper.h"

/*
 * Which candidate text of `principals` (hostile) has `hash`: SHA-1 of 20 or
 * SHA-256 of 32 bytes. `*utf16` says in which encoding. Linear in `len`.
 */
TpdHashRule tpd_seal_hash_match (const char *principals, gsize len, const guint8 *hash, gsize hash_len,
                                 gboolean *utf16);
