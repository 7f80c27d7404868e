/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An archive written anew from another: members are copied byte by byte, left
 * out, or given another content, and perhaps another name. Everything else
 * stays: order, times, attributes, extra fields, comments. What is given is
 * stored, not compressed, so that the same bytes come out on every machine.
 */
#pragma once

#include "format/container.h"

/* Takes the bytes of the new archive in order. FALSE with error. */
typedef gboolean (*TpdZipSink) (gpointer data, const void *bytes, gsize len, GError **error);

typedef struct _TpdZipWriter TpdZipWriter;

/* `container` must outlive it; `block` of `block_len` bytes is for copying.
 * (transfer full) */
TpdZipWriter *tpd_zip_writer_new (TpdContainer *container, TpdZipSink sink, gpointer data, guint8 *block,
                                  gsize block_len);
void tpd_zip_writer_free (TpdZipWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdZipWriter, tpd_zip_writer_free)

/*
 * Members in container->in_order, each at most once; those that are left out
 * are not mentioned.
 */
gboolean tpd_zip_writer_copy (TpdZipWriter *writer, guint i, GError **error);
/* A new content for member `i`: `size` bytes with that checksum follow, by
 * tpd_zip_writer_data(). `name` NULL: it keeps its name. */
gboolean tpd_zip_writer_begin (TpdZipWriter *writer, guint i, const char *name, guint64 size, guint32 crc,
                               GError **error);
gboolean tpd_zip_writer_data (TpdZipWriter *writer, const void *bytes, gsize len, GError **error);
/* The directory and what stands behind it. `*size` is that of the archive. */
gboolean tpd_zip_writer_finish (TpdZipWriter *writer, guint64 *size, GError **error);

/* The CRC-32 of ZIP of more bytes; 0 to begin with. */
guint32 tpd_zip_crc (guint32 crc, const void *bytes, gsize len);
