/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source that makes the SHA-256 of a whole file out of what others read of
 * it: bytes that come in order are hashed on the way, and what was left out is
 * read at the end. One thread at a time.
 */
#pragma once

#include "crypto/digest.h"
#include "format/source.h"

/* Takes a reference of `source`. (transfer full) */
/* Of a file that fits into TPD_TEE_SMALL bytes all is read at once, to `small`
 * (as many bytes, which must outlive it and serve one tee at a time, or NULL), as soon as
 * it is more than the beginning that is asked for. */
#define TPD_TEE_SMALL (64 * 1024)
TpdSource *tpd_tee_new (TpdSource *source, guint8 *small);

/* Reads what is left, with `block` of `len` bytes, and gives the digest; once.
 * FALSE with error when the source cannot be read or has become shorter. */
gboolean tpd_tee_finish (TpdSource *tee, void *block, gsize len, guint8 out[TPD_SHA256_SIZE], GError **error);
