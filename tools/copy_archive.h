/* SPDX-License-Identifier: Apache-2.0 */
/* Archives in a copy (copy_zip.h). */
#pragma once

#include "base/text.h"
#include "tools/copy_private.h"
#include "tools/copy_zip.h"

/* Writes the archive `source` of `task` anew to the empty file `fd`; members
 * that do not open are told like files. */
gboolean tpd_copy_archive (TpdCopyWorker *worker, const TpdCopyTask *task, TpdSource *source, int fd,
                           guint8 sha256[TPD_SHA256_SIZE], TpdZipCopyResult *result, GError **error);

/* What is said of one that is copied as it is. (transfer full) */
char *tpd_copy_archive_note (guint64 protected);

/* Its record, see tpd_copy_tail_facts(). (transfer full) */
char *tpd_copy_archive_tail (const TpdCopy *copy, const TpdZipCopyResult *result, guint64 source_size,
                             const guint8 source[TPD_SHA256_SIZE], const guint8 plain[TPD_SHA256_SIZE],
                             const GPtrArray *lost);
