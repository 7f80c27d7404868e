/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files. A plain file has a descriptor for each open; all openers of the
 * same version of a protected file share one document.
 */
#pragma once

#include "fs/fs.h"

/*
 * Opens `node` for reading. `*keep_cache`: the kernel's pages of it are those
 * of this version. 0, or the errno for the caller; ESTALE: it is not what the
 * kernel was told, look it up again; or TPD_WAIT. `*out` to be closed with
 * tpd_open_file_close().
 */
int tpd_open_file (TpdFs *fs, TpdNode *node, TpdOpenFile **out, gboolean *keep_cache, TpdWait *wait);
void tpd_open_file_close (TpdFs *fs, TpdOpenFile *file);
/* Closes what is still open of `node` when the mount ends: TpdInodes each. */
void tpd_open_file_close_all (TpdNode *node, gpointer data);

/* The descriptor of a plain file, -1 for a protected one. */
int tpd_open_file_fd (const TpdOpenFile *file);

/* Reads plaintext; like pread(2), -errno on failure. Protected files whose
 * source changed since they were opened fail with EIO. */
gssize tpd_open_file_read (TpdFs *fs, TpdOpenFile *file, void *buf, gsize len, guint64 off);

/* fstat through any open handle of `node`; FALSE if it is not open. */
gboolean tpd_open_file_stat_any (TpdNode *node, struct stat *st);
