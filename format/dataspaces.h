/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data spaces ([MS-OFFCRYPTO] 2.1 and 2.2): which stream of a compound file is
 * protected by rights management, and where its license is. Office documents,
 * XPS packages and the inside of message.rpmsg share this.
 */
#pragma once

#include "format/cfb.h"
#include "format/document.h"

/* Name of the storage that makes a compound file a candidate. */
#define TPD_DATASPACES_STORAGE "\006DataSpaces"

/* What a label stream may hold. */
#define TPD_LABEL_INFO_MAX (64 * 1024)

typedef struct {
  TpdCfbEntry content; /* the protected stream */
  TpdCfbEntry primary; /* the stream that holds the license ... */
  guint32 license_off; /* ... from here */
  guint32 license_len; /* at most TPD_LICENSE_TEXT_MAX */
  gboolean compressed; /* behind the encryption lies a compression */
  TpdKind kind;        /* OOXML, OLE or XPS, by the names used */
  char *label_info;    /* UTF-8 XML of the clear label, or NULL */
  GPtrArray *warnings; /* of char *: sentences; NULL before they can be any */
} TpdDataSpaces;

void tpd_dataspaces_clear (TpdDataSpaces *spaces);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdDataSpaces, tpd_dataspaces_clear)

/*
 * Reads the data spaces of `cfb`. Errors: TPD_ERROR_NOT_PROTECTED (none, or
 * none with rights management: password encryption), TPD_ERROR_DAMAGED (rights
 * management, but the way to stream or license is broken or missing;
 * `spaces->kind` is set then), TPD_ERROR_UNSUPPORTED and those of the source.
 */
gboolean tpd_dataspaces_read (TpdCfb *cfb, TpdDataSpaces *spaces, GError **error);

/* Whether `data` holds the identifier of the rights management transform as
 * it is stored, anywhere. For files too damaged to be followed. */
gboolean tpd_dataspaces_contains_drm (const guint8 *data, gsize len);
