/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cipher mode a body really has. The license's word stands; it is left
 * only when the size law or the content disproves it and another mode is
 * proved (docs/formats.md, "Cipher mode").
 */
#pragma once

#include "crypto/cipher.h"
#include "crypto/unwrapper.h"
#include "format/document.h"

#define TPD_SIZE_UNKNOWN G_MAXUINT64

typedef struct {
  TpdSource *body;       /* ciphertext only */
  guint64 stored_size;   /* plain size in clear, or TPD_SIZE_UNKNOWN */
  gboolean maybe_longer; /* what lies behind the end of the document is no damage */
  gboolean force_cbc4k;  /* pfile version 2: CBC4K whatever an ECB word says */
  const char *extension; /* ".txt": which magic to expect, may be NULL */
  TpdIvChoice iv;
} TpdModeQuestion;

typedef struct {
  TpdContentCipher *cipher;
  guint64 plain_size;
  TpdProof proof;
  GPtrArray *fallbacks; /* of char *: words for JSON */
  GPtrArray *warnings;  /* of char *: sentences */
} TpdModeAnswer;

void tpd_mode_answer_clear (TpdModeAnswer *answer);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdModeAnswer, tpd_mode_answer_clear)

/* Whether a body of `body_size` bytes can hold `stored_size` bytes of plaintext
 * in `mode`: the size law. Any numbers are allowed. */
gboolean tpd_mode_size_fits (TpdCipherMode mode, guint64 stored_size, guint64 body_size);
/* The same for any mode. */
gboolean tpd_mode_size_fits_any (guint64 stored_size, guint64 body_size);

/* The document that `answer` stands for, over the body it was asked about;
 * takes the words and sentences out of `answer`. (transfer full) */
TpdDocument *tpd_mode_answer_to_document (TpdModeAnswer *answer, TpdKind kind, TpdSource *body);

/* Bounded work. Errors: TPD_ERROR_DAMAGED, TPD_ERROR_AMBIGUOUS,
 * TPD_ERROR_UNSUPPORTED, TPD_ERROR_ERRNO+. */
gboolean tpd_mode_decide (const TpdModeQuestion *question, TpdContentKey *key, TpdModeAnswer *answer, GError **error);
