/* SPDX-License-Identifier: Apache-2.0 */
/* Judging a document by all of its plaintext. */
#pragma once

#include "format/document.h"

/*
 * Reads all of `document` and compares it with what it says of itself: every
 * member of a ZIP package with its CRC-32, every chunk of a PNG likewise, the
 * magic with `extension` (".docx", may be NULL). `*proof` is at least what
 * opening found, or TPD_PROOF_NONE with a sentence in `*wrong` when something
 * does not hold: the plaintext is then as the key gives it, and may have been
 * so before it was protected. FALSE with error when it cannot be decrypted to
 * its end.
 */
gboolean tpd_document_check (TpdDocument *document, const char *extension, TpdProof *proof, char **wrong,
                             GError **error);
