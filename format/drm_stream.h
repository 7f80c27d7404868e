/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protected stream of a compound file with data spaces ([MS-OFFCRYPTO]
 * 2.2): the plain size in 8 bytes, then the ciphertext. Office documents, XPS
 * packages and the inside of message.rpmsg share this. Private to format/.
 */
#pragma once

#include "crypto/unwrapper.h"
#include "format/document.h"

#define TPD_DRM_STREAM_PREFIX 8

/* Whether a stream of `stream_size` >= TPD_DRM_STREAM_PREFIX bytes can hold the
 * ciphertext of `plain_size` bytes. Errors: TPD_ERROR_DAMAGED. */
gboolean tpd_drm_stream_check_size (guint64 stream_size, guint64 plain_size, GError **error);

/*
 * Opens the document in `stream`, decrypted as it is read. What `stream` holds
 * behind the end of the document is left out; an empty stream is an empty
 * document. Deciding on the cipher mode counts against `budget` (may be NULL).
 * Errors: those of tpd_mode_decide(). (transfer full)
 */
TpdDocument *tpd_drm_stream_open (TpdSource *stream, TpdKind kind, TpdContentKey *key, const TpdOpenOptions *options,
                                  TpdBudget *budget, GError **error);
