/* SPDX-License-Identifier: Apache-2.0 */
/* Readings of a body, for mode.c, which decides between them. */
#pragma once

#include "format/mode.h"
#include "format/proof.h"

#define AES_BLOCK 16
#define HEAD_MAX 4096
/* CBC512 and CBC4K have the same ciphertext up to here. */
#define SHARED_HEAD 512
#define PROVED_BITS 32

/* The question while it is worked on. */
typedef struct {
  const TpdModeQuestion *question;
  TpdContentKey *key;
  TpdModeAnswer *answer;
  guint64 stored; /* plain size, or TPD_SIZE_UNKNOWN */
  guint64 size;   /* of the body */
} Case;

/* One hypothesis about the body, and what speaks for and against it. */
typedef struct {
  TpdCipherMode mode;
  TpdContentCipher *cipher;
  gboolean size_broken; /* the size law speaks against it */
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
/* What the content says of a CBC reading beyond the bytes that all CBC modes share. */
gboolean reading_weigh (Case *c, const Reading *own, TpdCheck *check, GError **error);
