/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of files into new files, hashed on the way. */
#pragma once

#include "crypto/digest.h"
#include "format/document.h"

#define TPD_COPY_BLOCK (1024 * 1024)

/* Writes the whole plaintext of `document` to the empty file `fd`. `block` is
 * of TPD_COPY_BLOCK bytes. */
gboolean tpd_copy_document (TpdDocument *document, int fd, guint8 *block, guint8 sha256[TPD_SHA256_SIZE],
                            GError **error);

/*
 * Copies the `size` bytes of the regular file `source_fd` to the empty file
 * `fd`: shares the blocks where the file system can, keeps holes otherwise.
 * TPD_ERROR_STALE if it turns out to be shorter.
 */
gboolean tpd_copy_plain (int source_fd, guint64 size, int fd, guint8 *block, guint8 sha256[TPD_SHA256_SIZE],
                         GError **error);

/* Writes all of it; lets the disk begin with what lies behind. */
gboolean tpd_copy_write (int fd, const void *data, gsize len, guint64 off, GError **error);

/* Hashes what is in `fd`; `*size` is how much that was. */
gboolean tpd_copy_hash (int fd, guint8 *block, guint64 *size, guint8 sha256[TPD_SHA256_SIZE], GError **error);
