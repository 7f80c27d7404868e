/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ZIP packages (APPNOTE.TXT 6.3): a bounded reader of hostile input. It finds
 * the directory, ZIP64 too, and reads single members, stored or deflated. All
 * that is read or inflated counts against one limit.
 */
#pragma once

#include "format/source.h"

#define TPD_ZIP_LOCAL_SIZE 30
#define TPD_ZIP_CENTRAL_SIZE 46
#define TPD_ZIP_END_SIZE 22
/* Larger directories are not read. */
#define TPD_ZIP_DIRECTORY_MAX (4 * 1024 * 1024)

#define TPD_ZIP_FLAG_ENCRYPTED 0x0001
#define TPD_ZIP_FLAG_DESCRIPTOR 0x0008

/* A record of the directory. Its numbers are what the file says, but header
 * and data begin, and by `packed` end, before the directory. */
typedef struct {
  guint64 central; /* where the record starts */
  guint64 header, packed, size;
  guint32 crc;
  guint16 made, flags, method, time, date, name_len;
  guint32 attributes;
  const guint8 *name;             /* in the directory: any bytes; behind it: */
  guint16 extra_len, comment_len; /* extra fields and comment */
  guint64 doubtful;               /* for proof_zip.c */
} TpdZipMember;

/* Whether a file that starts with `head` is an archive, or the first part of
 * one: a mark of 4 bytes may stand in front (8.5.3, 8.5.4). */
gboolean tpd_zip_magic (const guint8 *head, gsize len);

typedef struct {
  TpdSource *source; /* borrowed */
  guint64 left;      /* bytes that may still be read or inflated */
  guint64 end;       /* where the end record starts */
  guint64 directory, directory_size, n_members;
  GBytes *bytes;   /* the directory, once it is read */
  GArray *members; /* of TpdZipMember */
} TpdZip;

/* Does not read. `source` must outlive `zip`; `max` bytes are affordable. */
void tpd_zip_init (TpdZip *zip, TpdSource *source, guint64 max);
void tpd_zip_clear (TpdZip *zip);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdZip, tpd_zip_clear)

/* FALSE without error: no sound package, or too large to look at. Errors: of
 * the source. */
gboolean tpd_zip_find_directory (TpdZip *zip, GError **error);
/* After tpd_zip_find_directory(). Likewise. */
gboolean tpd_zip_read_directory (TpdZip *zip, GError **error);

/* Whether `len` bytes at `off` lie in the file and are affordable: then they
 * are paid for. */
gboolean tpd_zip_afford (TpdZip *zip, guint64 off, guint64 len);

/* Where the data of `member` start, which lie before the directory by all of
 * `packed`. FALSE: broken, or with error unreadable. */
gboolean tpd_zip_find_data (TpdZip *zip, const TpdZipMember *member, guint64 *data, GError **error);

/*
 * Runs through the data of `member`, which start at `data`: inflates them and
 * compares size and CRC. `out` (may be NULL) gets the content, and is of no use
 * when `*holds` is FALSE. Never more than member->size + 16 KiB come out. The
 * caller has paid. FALSE only with error.
 */
gboolean tpd_zip_check_data (const TpdZip *zip, const TpdZipMember *member, guint64 data, GByteArray *out,
                             gboolean *holds, GError **error);

/*
 * The content of the member `name` (ASCII letter case does not count), after
 * tpd_zip_read_directory(). NULL without error: there is none, it is larger
 * than `max`, encrypted, compressed in another way, or it does not hold its
 * CRC. (transfer full)
 */
GBytes *tpd_zip_read_member (TpdZip *zip, const char *name, gsize max, GError **error);
