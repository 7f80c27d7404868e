/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the decision share: mode.c decides, mode_cbc.c among the CBC modes
 * without padding, on readings (mode_reading.c). */
#pragma once

#include "format/mode.h"
#include "format/proof.h"

#define AES_BLOCK 16
#define HEAD_MAX 4096
/* CBC512 and CBC4K have the same ciphertext up to here. */
#define SHARED_HEAD 512
#define PROVED_BITS 32
/* What a document must show at its start for the word of the license to be believed
 * so far as to call it plausible: chance does not give it 16 bits. */
#define PLAUSIBLE_BITS 16

/* The question while it is worked on. */
typedef struct {
  const TpdModeQuestion *question;
  TpdContentKey *key;
  TpdModeAnswer *answer;
  guint64 stored; /* plain size, or TPD_SIZE_UNKNOWN */
  guint64 size;   /* of the body, without what lies behind the end of the document */
} Case;

/* One hypothesis about the body, and what speaks for and against it. */
typedef struct {
  TpdCipherMode mode;
  TpdContentCipher *cipher;
  gboolean size_broken; /* the size law speaks against it */
  gboolean longer;      /* ... but only for bytes behind the end, which may be there: ECB */
  gboolean padding_broken;
  guint64 plain_size;
  guint padding_bits;
  guint head_bits;
  gboolean magic_missing;
} Reading;

void reading_clear (Reading *reading);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Reading, reading_clear)

/*
 * Makes the reading of the body in `mode` and holds it against the size law
 * and, where there is one, the padding. The IV rule matters for CBC4K_NOPAD
 * only, and there only from the second segment on.
 */
gboolean reading_make (Case *c, TpdCipherMode mode, TpdIvRule rule, Reading *reading, GError **error);
/* Whether size law or padding speak against it. */
gboolean reading_is_broken (const Reading *reading);
/* Looks at up to `max` bytes at the start of the plaintext: head_bits, magic_missing. */
gboolean reading_look (Case *c, Reading *reading, gsize max, GError **error);
/* Whether the structure of the content, read under `reading`, holds across segments. */
gboolean reading_check_structure (Case *c, const Reading *reading, gsize segment, TpdCheck *check, GError **error);
/* What the content says of a reading in CBC4K without padding or CBC512 where these
 * two differ whatever the rule of the former. */
gboolean reading_weigh (Case *c, const Reading *own, TpdCheck *check, GError **error);

/* --- mode.c --- */

/* The answer is this reading. */
void mode_take (Case *c, const Reading *reading, TpdProof proof);
/* The same, and it is not the mode that the license names. */
void mode_take_instead (Case *c, const Reading *reading, TpdProof proof);
/* The proof that a reading of known size has by its start, if no other can be meant. */
TpdProof mode_plain_proof (const Case *c, const Reading *reading);

/* --- mode_cbc.c --- */

/* The license names the mode of `own`, and nothing at the start speaks against it. */
gboolean mode_keep_nopad (Case *c, const Reading *own, GError **error);
gboolean mode_keep_cbc512 (Case *c, const Reading *own, GError **error);
/*
 * The license names another mode, but the content starts as in CBC: takes the CBC
 * mode without padding that the content or the size law leaves; CBC512 only where
 * `any`. `*found` stays FALSE when the size law leaves none.
 */
gboolean mode_choose_cbc (Case *c, gboolean any, gboolean *found, GError **error);
