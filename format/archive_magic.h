/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives, compressed files and disk images by their first bytes: what holds
 * other files, anybody can unpack, and is not looked into. ZIP is apart
 * (zip.h), and so is what needs a tool of its own or a password (opaque.h).
 * Private to format/.
 */
#pragma once

#include <glib.h>

/* What tpd_archive_starts() wants to see of a file that has as much. */
#define TPD_ARCHIVE_HEAD 1088

/* Whether a file that starts with `head` is such a one. No I/O. */
gboolean tpd_archive_starts (const guint8 *head, gsize len);

/* Whether it may be the image of a compact disc: those start with zeros, and
 * tell what they are by TPD_ARCHIVE_CD_LEN bytes at TPD_ARCHIVE_CD_OFF. */
#define TPD_ARCHIVE_CD_OFF 32769
#define TPD_ARCHIVE_CD_LEN 5
gboolean tpd_archive_may_be_cd (const guint8 *head, gsize len);
gboolean tpd_archive_is_cd (const guint8 id[TPD_ARCHIVE_CD_LEN]);
