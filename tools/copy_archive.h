/* SPDX-License-Identifier: Apache-2.0 */
/* Archives in a copy (copy_zip.h). */
#pragma once

#include "base/text.h"
#include "tools/copy_private.h"
#include "tools/copy_zip.h"

/* What would become of an archive's members. */
typedef struct {
  guint64 opening, shut;
} TpdCopyDryArchive;

/* Looks into the plain file of `task` (tpd_zip_copy_look()). When archives are to
 * be decrypted, and nothing is to be written, `dry` is filled, and members that
 * do not open are told. */
gboolean tpd_copy_archive_look (TpdCopy *copy, const TpdCopyTask *task, TpdSource *source, const TpdProbe *probe,
                                TpdContainerLook *look, TpdCopyDryArchive *dry, GError **error);

/* Writes the archive `source` of `task` anew to the empty file `fd`; members
 * that do not open are told like files. */
gboolean tpd_copy_archive (TpdCopyWorker *worker, const TpdCopyTask *task, TpdSource *source, int fd,
                           guint8 sha256[TPD_SHA256_SIZE], TpdZipCopyResult *result, GError **error);

/* What is said of one that is copied as it is; NULL: nothing. (transfer full) */
char *tpd_copy_archive_note (const TpdContainerLook *look);

/* Its record, see tpd_copy_tail_facts(). (transfer full) */
char *tpd_copy_archive_tail (const TpdCopy *copy, const TpdZipCopyResult *result, const TpdContainerLook *look,
                             guint64 source_size, const guint8 source[TPD_SHA256_SIZE],
                             const guint8 plain[TPD_SHA256_SIZE], const GPtrArray *lost);
