/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status directory `.tpdfs` at the root: not listed there, for the
 * mounting user and root. Its files are made when they are opened.
 */
#pragma once

#include "fs/fs.h"

#define TPD_STATUS_NAME ".tpdfs"

/* Whether node id `ino` is one of the status directory's. */
gboolean tpd_status_is (fuse_ino_t ino);

/* The directory itself has the entry of its name at the root. */
gboolean tpd_status_lookup (TpdFs *fs, fuse_ino_t parent, const char *name, struct fuse_entry_param *entry);
void tpd_status_getattr (TpdFs *fs, fuse_ino_t ino, struct stat *attr);
/* The `i`-th name in the directory, NULL behind the last. */
const char *tpd_status_name (guint i, struct stat *attr);
/* The content of a file. (transfer full) */
GBytes *tpd_status_content (TpdFs *fs, fuse_ino_t ino);
