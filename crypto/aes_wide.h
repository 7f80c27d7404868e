/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES with the processor's instructions for two or four blocks at once (x86,
 * VAES): twice to four times as fast as OpenSSL 3.0 where a document is
 * decrypted while it is read. For crypto/cipher.c only; everything else is OpenSSL's.
 */
#pragma once

#include <glib.h>

#include "crypto/secret.h"

/*
 * The expanded key, for AES of 16, 24 or 32 bytes; NULL when the processor or
 * its operating system has not what it takes. Takes the same time for all keys,
 * and may be used by any number of threads. (transfer full)
 */
TpdSecret *tpd_aes_wide_new (const guint8 *key, gsize key_len);

/* `len` is a multiple of 16; `data` need not be aligned. */
void tpd_aes_wide_ecb_decrypt (const TpdSecret *expanded, guint8 *data, gsize len);
void tpd_aes_wide_cbc_decrypt (const TpdSecret *expanded, guint8 *data, gsize len, const guint8 iv[16]);
void tpd_aes_wide_ecb_encrypt (const TpdSecret *expanded, guint8 *data, gsize len);

/* For tests: from now on tpd_aes_wide_new() takes this for what the processor has:
 * instructions for TPD_AES_WIDE_MAX blocks, for 2, or none: 0. Gives how many
 * it would use. */
#define TPD_AES_WIDE_MAX 4
guint tpd_aes_wide_set_limit (guint blocks);
