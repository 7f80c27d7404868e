/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder: work on files that takes long, and what it gave.
 *
 * Mail and PDF are decoded whole. That runs in a pool of its own, once for all
 * who want it at the same time, and a decoded document is kept as long as the
 * memory for decoded documents allows. Knows nothing of FUSE requests and
 * nothing of formats, so that it is tested without a mount; how locks and
 * waiting work is told in decode.c.
 */
#pragma once

#include "fs/inode.h"

typedef struct _TpdDecoder TpdDecoder;

/* What is wanted; each gives all that is above it. */
typedef enum {
  TPD_DECODE_VERDICT,  /* whether it can be opened; the size was in clear */
  TPD_DECODE_SIZE,     /* its plain size, which only decoding tells */
  TPD_DECODE_DOCUMENT, /* the document itself */
} TpdDecodeWant;

/* What the work gave. With `error` nothing else was to be had. */
typedef struct {
  TpdFacts facts;
  TpdDocument *document; /* NULL: not wanted, failed, or no room for it */
  GError *error;
} TpdDecoded;

void tpd_decoded_clear (TpdDecoded *decoded);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdDecoded, tpd_decoded_clear)

/*
 * Does the work on the file behind `source`, which was `stamp` when it was
 * opened; fills the zeroed `*out`. `budget` comes empty, its limits are for the
 * work to set; `budget->cancelled` may be set at any time. Facts that are not
 * known are of a passing failure and not kept.
 */
typedef void (*TpdDecodeWork) (gpointer data, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want,
                               TpdBudget *budget, TpdDecoded *out);

typedef void (*TpdDecodeFunc) (gpointer data);

/* Threads start when they are needed. `limit`: bytes of decoded documents. */
TpdDecoder *tpd_decoder_new (guint threads, guint64 limit, TpdDecodeWork work, gpointer data);
/* Cancels what is running and ends the threads. Whoever waits is called. */
void tpd_decoder_stop (TpdDecoder *decoder);
/* Stops it too. */
void tpd_decoder_free (TpdDecoder *decoder);

/*
 * What is there already of the file `stamp`; FALSE: tpd_decoder_wait() for it.
 * Of TPD_DECODE_DOCUMENT there is either a document or an error; neither: it
 * was decoded, but there is no room, because of documents that are in use.
 * Clear `*out` with tpd_decoded_clear().
 */
gboolean tpd_decoder_find (TpdDecoder *decoder, const TpdStamp *stamp, TpdDecodeWant want, TpdDecoded *out);

/*
 * Has the work done, if nobody else has it done already, and calls `func` with
 * `data`, which must be unique, once in a thread of the pool; until that
 * returns tpd_decoder_find() finds the result. FALSE: the decoder was stopped,
 * and `func` is not called.
 */
gboolean tpd_decoder_wait (TpdDecoder *decoder, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want,
                           TpdDecodeFunc func, gpointer data);

/* The same for somebody who is likely to ask soon, if there is not much of that
 * already and the file is small. */
void tpd_decoder_ahead (TpdDecoder *decoder, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want);

/* `data` waits no longer: TRUE when its function will not be called any more.
 * Work that nobody waits for is cancelled. */
gboolean tpd_decoder_withdraw (TpdDecoder *decoder, gpointer data);

/* Calls `func` in a thread of the pool. FALSE: the decoder was stopped. */
gboolean tpd_decoder_later (TpdDecoder *decoder, TpdDecodeFunc func, gpointer data);

/* What somebody has to wait for who needs something that is not there yet.
 * Functions that give 0 or an errno give TPD_WAIT then. */
typedef struct {
  TpdSource *source; /* counted reference */
  TpdStamp stamp;
  TpdDecodeWant want;
} TpdWait;

#define TPD_WAIT (-1)

/* Fills `wait`, which may be NULL: for somebody who cannot wait. TPD_WAIT. */
int tpd_wait_for (TpdWait *wait, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want);

/* A document that was found is no longer in use. */
void tpd_decoder_released (TpdDecoder *decoder);

typedef struct {
  guint threads;
  guint64 limit, used; /* bytes */
  guint documents;     /* kept, in use or not */
  guint waiting;       /* callers */
} TpdDecoderState;

void tpd_decoder_get_state (TpdDecoder *decoder, TpdDecoderState *state);
