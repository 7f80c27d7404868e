/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing compound files ([MS-CFB]). A tree of storages and streams is built
 * in memory, names and sources only, and written in one go: all sizes are
 * known by then, so every stream lies in one piece and nothing is written
 * twice. No times, nothing random: the same tree gives the same bytes.
 *
 * One thread at a time. Sources are read when the file is written.
 */
#pragma once

#include "format/cfb.h"
#include "format/decoded.h"

#define TPD_CFB_WRITER_ROOT 0

typedef struct _TpdCfbWriter TpdCfbWriter;

/* `version` 3 (512-byte sectors) or 4; a file of more than 2 GiB becomes
 * version 4 in any case. (transfer full) */
TpdCfbWriter *tpd_cfb_writer_new (guint version);
void tpd_cfb_writer_free (TpdCfbWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdCfbWriter, tpd_cfb_writer_free)

/*
 * The functions below name a storage by its number: TPD_CFB_WRITER_ROOT or
 * what `*storage` got. Names are 1 to 31 units of UTF-16 without / \ : !
 * and differ from their siblings' in more than letter case. Errors:
 * TPD_ERROR_DAMAGED (names), TPD_ERROR_TOO_LARGE (more than the reader's
 * TPD_CFB_MAX_ENTRIES or TPD_CFB_MAX_DEPTH) and those of sources.
 */

/* As stored, see TpdCfbEntry. */
void tpd_cfb_writer_set_clsid (TpdCfbWriter *writer, guint32 storage, const guint8 clsid[16]);
gboolean tpd_cfb_writer_add_storage (TpdCfbWriter *writer, guint32 parent, const char *name, guint32 *storage,
                                     GError **error);
/* Takes a reference to `source`. */
gboolean tpd_cfb_writer_add_stream (TpdCfbWriter *writer, guint32 parent, const char *name, TpdSource *source,
                                    GError **error);
gboolean tpd_cfb_writer_add_bytes (TpdCfbWriter *writer, guint32 parent, const char *name, const void *data, gsize len,
                                   GError **error);
/* The stream `entry` of `cfb` under its own name. */
gboolean tpd_cfb_writer_copy_stream (TpdCfbWriter *writer, guint32 parent, TpdCfb *cfb, const TpdCfbEntry *entry,
                                     GError **error);
/* All that is in the storage `from` of `cfb`, and its CLSID, into `storage`.
 * `cfb` is not needed afterwards. */
gboolean tpd_cfb_writer_copy_storage (TpdCfbWriter *writer, guint32 storage, TpdCfb *cfb, const TpdCfbEntry *from,
                                      GError **error);

/* Writes the file to `sink`, which must be empty. Once. */
gboolean tpd_cfb_writer_finish (TpdCfbWriter *writer, TpdSink *sink, GError **error);
