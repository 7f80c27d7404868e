/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does plaintext make sense? Checks of content that the cipher cannot give,
 * for choosing between readings of a body and for proof. Private to format/.
 */
#pragma once

#include "format/source.h"

typedef enum {
  TPD_CHECK_UNKNOWN,   /* nothing to judge by */
  TPD_CHECK_DISPROVED, /* has a known structure, and it is broken */
  TPD_CHECK_PROVED,    /* a checksum or structure that crosses a border of `segment` bytes holds */
} TpdCheck;

/* Bytes read by one check at most; of a ZIP member four times as many are inflated. */
#define TPD_CHECK_MAX_BYTES (8 * 1024 * 1024)

/*
 * Judges `plain`, the body decrypted under one hypothesis, where only the
 * first 16 bytes of segments 1, 2, ... of `segment` bytes are in doubt: ZIP
 * packages by CRC-32 of the smallest member whose data crosses a border,
 * compound files by their structures at the borders, and they and all else by
 * bytes that fit their surroundings. With segments smaller than 4096 bytes,
 * borders that are such of 4096, too, are taken for sure. Bounded by
 * TPD_CHECK_MAX_BYTES, never fails for bad content (that is DISPROVED); FALSE
 * only when the source cannot be read.
 */
gboolean tpd_check_segments (TpdSource *plain, gsize segment, TpdCheck *result, GError **error);

/*
 * Whether the first bytes of a document look like a file of `extension`
 * (".docx", may be NULL): PROVED never, DISPROVED when a well-known magic is
 * required and missing, UNKNOWN otherwise; `*bits` (may be NULL) is how many
 * bits of agreement were seen (magic bytes), 0 if none.
 */
TpdCheck tpd_check_magic (const guint8 *head, gsize len, const char *extension, guint *bits);
