/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OpenSSL library context of the product, for crypto/ only.
 *
 * It holds the default provider and reads no openssl.cnf: decades-old
 * documents must open whatever the system's policy says of SHA-1 or of short
 * keys today, and no configured engine or provider ever sees a key.
 */
#pragma once

#include <openssl/types.h>

/* Made on first use, never freed; thread-safe; aborts without OpenSSL's
 * default provider, which is built into libcrypto. */
OSSL_LIB_CTX *tpd_openssl_context (void);
