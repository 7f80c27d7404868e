/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ZIP packages as a whole: what their directory says of them, and whether all
 * members are sound. No member is kept.
 */
#pragma once

#include "format/proof.h"

typedef struct {
  gboolean directory; /* it could be read; else only the first member is known */
  gboolean encrypted; /* a member is encrypted, or the directory is */
  gboolean document;  /* OOXML, XPS, OpenDocument, EPUB and their like: no archive */
} TpdPackageFacts;

/* Whether a file that starts with the `len` bytes `head` is a document, by its
 * first member: FALSE says nothing. */
gboolean tpd_package_starts (const guint8 *head, gsize len);

/* `source` starts like a ZIP. FALSE only when it cannot be read. */
gboolean tpd_package_look (TpdSource *source, TpdPackageFacts *facts, GError **error);

/*
 * Inflates every member and compares its CRC-32. PROVED: all of them hold.
 * UNKNOWN: some cannot be judged (encrypted, another method, a directory of
 * more than 4 MiB) and the others hold. DISPROVED: one does not, or there is
 * no directory. FALSE only when the source cannot be read.
 */
gboolean tpd_package_check_all (TpdSource *plain, TpdCheck *result, GError **error);
