/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoded kinds: containers without random access (mail, PDF) are decoded
 * whole, once, into sealed anonymous memory, and then read like any other
 * document. Private to format/.
 */
#pragma once

#include "format/document.h"

/*
 * A growing piece of anonymous memory (memfd, kept out of core dumps, locked
 * as far as the limit allows): what is in it is plaintext. Every byte is charged to the budget before it
 * is written; over it, TPD_ERROR_TOO_LARGE. One thread at a time.
 */
typedef struct _TpdSink TpdSink;

/* `budget` may be NULL (tests); must outlive the sink. (transfer full) */
TpdSink *tpd_sink_new (TpdBudget *budget, GError **error);
/* Likewise for what is no secret: ciphertext, and what lies around it. While it
 * is small it stays in ordinary memory, which costs no system calls. */
TpdSink *tpd_sink_new_public (TpdBudget *budget);
void tpd_sink_free (TpdSink *sink);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdSink, tpd_sink_free)

gboolean tpd_sink_append (TpdSink *sink, const void *data, gsize len, GError **error);
/*
 * Where the caller may write what comes next, so that it need not be copied:
 * `*len` bytes, at least one; `wanted` (not 0) of them if that is not much. It is
 * appended with tpd_sink_fill(), and valid until the next call. For sinks of what
 * is no secret.
 */
guint8 *tpd_sink_room (TpdSink *sink, gsize wanted, gsize *len);
/* Appends the first `len` bytes of what tpd_sink_room() gave. */
gboolean tpd_sink_fill (TpdSink *sink, gsize len, GError **error);
/* Overwrites inside what was appended. */
gboolean tpd_sink_pwrite (TpdSink *sink, const void *data, gsize len, guint64 off, GError **error);
gboolean tpd_sink_pread (TpdSink *sink, void *buf, gsize len, guint64 off, GError **error);
/* Appends all of `source`. */
gboolean tpd_sink_append_source (TpdSink *sink, TpdSource *source, GError **error);
guint64 tpd_sink_size (const TpdSink *sink);

/* Seals the memory against every change and gives it as a source or a
 * document; the sink is gone afterwards (also on error). (transfer full) */
TpdSource *tpd_sink_to_source (TpdSink *sink, GError **error);
TpdDocument *tpd_sink_to_document (TpdSink *sink, TpdKind kind, GError **error);

/* Charges `bytes` of decoded data; TPD_ERROR_TOO_LARGE or _CANCELLED. */
gboolean tpd_budget_charge (TpdBudget *budget, guint64 bytes, GError **error);
