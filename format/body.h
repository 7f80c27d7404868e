/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encrypted body of a seekable container: `source` holds exactly the
 * ciphertext, decrypted on read in whole segments. Private to format/; pfile
 * and Office documents are thin fronts over it.
 */
#pragma once

#include "crypto/cipher.h"
#include "format/document.h"

/*
 * Makes a document of kind `kind` over the ciphertext `body` (takes a
 * reference): plaintext byte i is ciphertext byte i decrypted, up to
 * `plain_size` <= body size. Fields proof, fallbacks, warnings and license are
 * for the caller to set before it is shared. (transfer full)
 */
TpdDocument *tpd_body_document_new (TpdKind kind, TpdSource *body, TpdContentCipher *cipher, guint64 plain_size);

/*
 * Decrypts plaintext [off, off+len) of `body` into `buf`: whole segments go
 * straight into `buf` and are decrypted there, ragged edges through a stack
 * buffer. `off`+`len` must lie inside the body. FALSE wipes `buf`.
 */
gboolean tpd_body_read (TpdSource *body, TpdContentCipher *cipher, void *buf, gsize len, guint64 off, GError **error);
