/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of one member of a ZIP as a source that can be read in any
 * order. A stored member is a part of the archive; what is compressed is
 * unpacked as far as it is asked for, by libarchive, and kept in a scratch.
 */
#pragma once

#include "format/scratch.h"
#include "format/zip.h"

/* Whether members compressed by that method can be read. */
gboolean tpd_unpack_knows (guint16 method);

/*
 * `member` of `archive`, whose data start at `data` and lie in it by all of
 * `packed`; not encrypted, and its method known. What is unpacked is charged
 * to `budget`; it and `pool` must outlive the result. Reading fails with
 * TPD_ERROR_DAMAGED where the data cannot be unpacked to the size that is
 * claimed, TPD_ERROR_TOO_LARGE where that is not affordable. (transfer full)
 */
TpdSource *tpd_unpack_new (TpdSource *archive, const TpdZipMember *member, guint64 data, TpdScratchPool *pool,
                           TpdBudget *budget);
