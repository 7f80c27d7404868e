/* SPDX-License-Identifier: Apache-2.0 */
/* The request handlers, by file; assembled in ops.c. */
#pragma once

#include "fs/fs.h"

/* ops_dir.c */
void tpd_op_opendir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void tpd_op_readdir (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void tpd_op_readdirplus (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void tpd_op_releasedir (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
/* A directory that was prepared, and is not opened; for tpd_ahead_new(). */
void tpd_op_drop_directory (gpointer dir);

/* ops_file.c */
void tpd_op_open (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void tpd_op_read (fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void tpd_op_release (fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* ops_meta.c */
void tpd_op_readlink (fuse_req_t req, fuse_ino_t ino);
void tpd_op_statfs (fuse_req_t req, fuse_ino_t ino);
void tpd_op_getxattr (fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void tpd_op_listxattr (fuse_req_t req, fuse_ino_t ino, size_t size);
