/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENABLINGBITS of a publishing license, [MS-RMPR] 2.2.9.1.13 and 3.1.4.7: the
 * arithmetic between the server's private key and the content key. Runs in
 * the key agent; the request is hostile.
 */
#pragma once

#include "crypto/private_key.h"
#include "crypto/unwrapper.h"

/*
 * Opens `request` with `key`. Fills `*reply` as tpd_unwrapper_unwrap() does.
 * Every failure before the content key header takes the same path: one RSA
 * operation, both OAEP digests for v2, one AES pass, and all of it once more
 * with the RSA block reversed.
 */
void tpd_enabling_bits_unwrap (TpdPrivateKey *key, const TpdUnwrapRequest *request, TpdUnwrapReply *reply);

/*
 * The part behind the RSA operation, `em` being the raw result of `em_len`
 * bytes. For fuzzing and tests; tpd_enabling_bits_unwrap() is the door.
 */
void tpd_enabling_bits_open (const guint8 *em, gsize em_len, const TpdUnwrapRequest *request, TpdUnwrapReply *reply);
