/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content ciphers of rights-managed documents: AES in ECB or in segmented CBC,
 * with random access (docs/formats.md).
 *
 * A TpdContentCipher is immutable and shared by all readers without a lock.
 * OpenSSL contexts are kept per thread, so that a call allocates nothing once
 * a thread has met the cipher.
 */
#pragma once

#include <glib.h>

#include "crypto/secret.h"

/* KeyHeader word at offset 2, [MS-RMPR] 2.2.9.1.13.1. */
#define TPD_MODE_WORD_ECB 0xffff
#define TPD_MODE_WORD_CBC4K_NOPAD 0xfffe
#define TPD_MODE_WORD_CBC4K 0xfffd
#define TPD_MODE_WORD_CBC512 0xfffc

typedef enum {
  TPD_CIPHER_ECB,         /* caller knows the length */
  TPD_CIPHER_CBC4K,       /* 4096-byte segments, PKCS#7 in the last */
  TPD_CIPHER_CBC4K_NOPAD, /* 4096-byte segments, caller knows the length */
  TPD_CIPHER_CBC512,      /* 512-byte segments, caller knows the length */
} TpdCipherMode;

/* IV of segment n: AES-ECB of LE64(n), or of LE64(n x segment size), then zeros.
 * CBC4K always uses the index and CBC512 always the offset; the rule matters
 * for CBC4K_NOPAD only, where no public source says which it is. */
typedef enum {
  TPD_IV_INDEX,
  TPD_IV_OFFSET,
} TpdIvRule;

typedef struct _TpdContentCipher TpdContentCipher;

/* `key_len` is 16, 24 or 32. (transfer full) */
TpdContentCipher *tpd_content_cipher_new (const guint8 *key, gsize key_len, TpdCipherMode mode, TpdIvRule iv_rule,
                                          GError **error);
TpdContentCipher *tpd_content_cipher_ref (TpdContentCipher *cipher);
void tpd_content_cipher_unref (TpdContentCipher *cipher);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdContentCipher, tpd_content_cipher_unref)

TpdCipherMode tpd_content_cipher_mode (const TpdContentCipher *cipher);
TpdIvRule tpd_content_cipher_iv_rule (const TpdContentCipher *cipher);
gsize tpd_content_cipher_key_len (const TpdContentCipher *cipher);

/* Bytes that can be decrypted on their own: 16, 512 or 4096. */
gsize tpd_cipher_mode_segment (TpdCipherMode mode);

/* The mode a KeyHeader word stands for, either byte order; FALSE if unknown. */
gboolean tpd_cipher_mode_from_word (guint16 word, TpdCipherMode *mode);

/* "aes-256-cbc4k-nopad", ...: the word of JSON. Static string. */
const char *tpd_cipher_name (TpdCipherMode mode, gsize key_len);

/*
 * Decrypts `len` bytes in place. `offset` is that of data[0] in the ciphertext,
 * a multiple of the segment size; `len` a multiple of 16. Padding stays in the
 * data: see tpd_pkcs7_length(). Thread-safe. FALSE only if OpenSSL fails or
 * the arguments break the rules; the data is then wiped.
 */
gboolean tpd_content_cipher_decrypt (TpdContentCipher *cipher, guint8 *data, gsize len, guint64 offset, GError **error);

/* Bytes of PKCS#7 padding (1..16) in a last plaintext block, 0 if invalid. */
guint tpd_pkcs7_length (const guint8 block[16]);

/*
 * Length of the ciphertext of `plain_size` bytes: the exact law of the mode.
 * CBC4K_NOPAD and CBC512 are also met rounded up to a whole segment, for which
 * `whole_segments` asks.
 */
guint64 tpd_cipher_mode_body_size (TpdCipherMode mode, guint64 plain_size, gboolean whole_segments);
