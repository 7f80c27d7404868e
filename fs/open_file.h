/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files. A plain file has a descriptor for each open, or one for all when
 * it is registered with the kernel; all openers of the same version of a
 * protected file share one document.
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

/* The kernel is to read the file that is registered under this id; 0: it is
 * read through the mount. */
gint32 tpd_open_file_backing_id (const TpdOpenFile *file);

/* The descriptor of a plain file that is read through the mount; -1 for a
 * protected one. */
int tpd_open_file_fd (const TpdOpenFile *file);

/* How large a plain file was when it was opened. */
guint64 tpd_open_file_size (const TpdOpenFile *file);

/*
 * Whether `node` is open as something else than a plain file or, if `protected`,
 * than the version `stamp` of a protected one. What is found there now needs a
 * node of its own: tpd_inodes_detach().
 */
gboolean tpd_open_file_differs (TpdNode *node, gboolean protected, const TpdStamp *stamp);

/* Reads plaintext; like pread(2), -errno on failure. Protected files whose
 * source changed since they were opened fail with EIO. */
gssize tpd_open_file_read (TpdFs *fs, TpdOpenFile *file, void *buf, gsize len, guint64 off);

/*
 * Attributes of what is open of `node`, FALSE if nothing is: by fstat through
 * any handle, or as published last when there is no descriptor for it. Size and
 * times of a protected file are those of the version that is open.
 */
gboolean tpd_open_file_stat_any (TpdNode *node, struct stat *st);
