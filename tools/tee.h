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
TpdSource *tpd_tee_new (TpdSource *source);

/* Reads what is left, with `block` of `len` bytes, and gives the digest; once.
 * FALSE with error when the source cannot be read or has become shorter. */
gboolean tpd_tee_finish (TpdSource *tee, void *block, gsize len, guint8 out[TPD_SHA256_SIZE], GError **error);
