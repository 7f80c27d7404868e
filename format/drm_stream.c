/* SPDX-License-Identifier: Apache-2.0 */
/* The protected stream of Office documents and mail: see format/drm_stream.h. */
#include "format/drm_stream.h"

#include "base/bytes.h"
#include "base/error.h"
#include "format/mode.h"

#define AES_BLOCK 16

/* Bytes of ciphertext: behind the size, in whole blocks. */
static guint64
body_size (guint64 stream_size)
{
  return (stream_size - TPD_DRM_STREAM_PREFIX) / AES_BLOCK * AES_BLOCK;
}

gboolean
tpd_drm_stream_check_size (guint64 stream_size, guint64 plain_size, GError **error)
{
  guint64 body = body_size (stream_size);

  if (plain_size <= body)
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
               "The protected file is damaged: it says that it holds %" G_GUINT64_FORMAT
               " bytes, but only %" G_GUINT64_FORMAT " are there.",
               plain_size, body);
  return FALSE;
}

/* The ciphertext and the plain size. */
static TpdSource *
open_body (TpdSource *stream, guint64 *plain_size, GError **error)
{
  guint8 prefix[TPD_DRM_STREAM_PREFIX];
  TpdBytes bytes = tpd_bytes (prefix, sizeof prefix);

  *plain_size = 0;
  if (stream->size == 0)
    return tpd_source_ref (stream);
  if (!tpd_source_read_exact (stream, prefix, sizeof prefix, 0, error))
    return NULL;
  tpd_bytes_take_u64le (&bytes, plain_size);
  if (!tpd_drm_stream_check_size (stream->size, *plain_size, error))
    return NULL;
  return tpd_source_new_range (stream, TPD_DRM_STREAM_PREFIX, body_size (stream->size));
}

TpdDocument *
tpd_drm_stream_open (TpdSource *stream, TpdKind kind, TpdContentKey *key, const TpdOpenOptions *options,
                     TpdBudget *budget, GError **error)
{
  guint64 plain_size;
  g_autoptr (TpdSource) body = open_body (stream, &plain_size, error);
  g_autoptr (TpdSource) budgeted = NULL;
  g_auto (TpdModeAnswer) answer = { 0 };

  if (body == NULL)
    return NULL;
  /* The decision counts against the budget; the document outlives it. */
  budgeted = tpd_source_new_budgeted (body, budget);
  if (!tpd_mode_decide (
          &(TpdModeQuestion){ .body = budgeted, .stored_size = plain_size, .maybe_longer = TRUE, .iv = options->iv },
          key, &answer, error))
    return NULL;
  return tpd_mode_answer_to_document (&answer, kind, body);
}
