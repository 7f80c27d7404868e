/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compound files ([MS-CFB]): a bounded reader of hostile input.
 *
 * Opening reads the header and the chain of the directory; storages are listed
 * when they are asked for, and a stream's chain is followed once, when a
 * source is made of it. So a probe that looks at a few entries costs a few
 * reads, however large the file is.
 *
 * A TpdCfb belongs to one thread at a time. The sources made from it are
 * independent of it: immutable, without locks, readable from any thread.
 *
 * Errors of all functions: TPD_ERROR_DAMAGED (chains that loop, cross, leave
 * the file or end too early; broken entries), TPD_ERROR_TOO_LARGE (beyond the
 * limits below) and those of the source.
 */
#pragma once

#include "format/source.h"

#define TPD_CFB_MAX_ENTRIES (256 * 1024)
#define TPD_CFB_MAX_DEPTH 64
/* Pieces that one stream may lie in. */
#define TPD_CFB_MAX_EXTENTS (4 * 1024 * 1024)

/* 31 UTF-16 units as UTF-8, and a NUL. */
#define TPD_CFB_NAME_SIZE 96

typedef enum {
  TPD_CFB_STORAGE = 1,
  TPD_CFB_STREAM = 2,
  TPD_CFB_ROOT = 5,
} TpdCfbType;

/* A directory entry. May be copied by value and used later with another
 * TpdCfb of the same unchanged file. */
typedef struct {
  char name[TPD_CFB_NAME_SIZE]; /* UTF-8, may hold control characters; U+FFFD for lone surrogates */
  TpdCfbType type;
  guint8 clsid[16]; /* as stored: first three fields little-endian */
  guint32 state;
  guint64 created, modified; /* FILETIME, 0 if unknown */
  guint64 size;              /* of a stream, as stored */
  guint32 id;                /* number of the entry */
  guint32 start, child;      /* first sector; first entry of the sibling tree */
  guint depth;               /* 0: the root */
} TpdCfbEntry;

typedef struct _TpdCfb TpdCfb;

/* Whether `head` (the first `len` bytes of a file) is that of a compound file. */
gboolean tpd_cfb_magic (const guint8 *head, gsize len);

/* Takes a reference to `source`. (transfer full) */
TpdCfb *tpd_cfb_open (TpdSource *source, GError **error);
void tpd_cfb_free (TpdCfb *cfb);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdCfb, tpd_cfb_free)

/* 3 or 4. */
guint tpd_cfb_version (const TpdCfb *cfb);

/* The entries below live as long as `cfb`. */
const TpdCfbEntry *tpd_cfb_root (const TpdCfb *cfb);

/* The entries of a storage in the order of its tree: array of const
 * TpdCfbEntry *. (transfer none) */
const GPtrArray *tpd_cfb_children (TpdCfb *cfb, const TpdCfbEntry *storage, GError **error);

/*
 * Looks up `path`, names joined with '/', below `from` (NULL: the root).
 * Names are compared without case, and the order of the sibling tree is not
 * trusted. FALSE only on error; `*entry` is NULL when there is none.
 */
gboolean tpd_cfb_find (TpdCfb *cfb, const TpdCfbEntry *from, const char *path, const TpdCfbEntry **entry,
                       GError **error);

/* The bytes of a stream; holds no reference to `cfb`. (transfer full) */
TpdSource *tpd_cfb_stream_new (TpdCfb *cfb, const TpdCfbEntry *stream, GError **error);

/* All bytes of a small stream; TPD_ERROR_TOO_LARGE beyond `max`. (transfer full) */
GBytes *tpd_cfb_stream_read (TpdCfb *cfb, const TpdCfbEntry *stream, gsize max, GError **error);

/* The first `len` (at most 64) bytes of a stream that has so many, without
 * following its chain. */
gboolean tpd_cfb_stream_peek (TpdCfb *cfb, const TpdCfbEntry *stream, void *buf, gsize len, GError **error);

/* Same name by the rule of the format ([MS-CFB] 2.6.4): simple upper case. */
gboolean tpd_cfb_name_equal (const char *a, const char *b);
