/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a node to a descriptor. Directories are kept open (O_PATH) in a small
 * LRU; everything else is opened beneath its directory, never through a
 * symbolic link, and verified by (dev, ino). What is found to be another file
 * than the node's is ESTALE, upon which the kernel looks the path up anew.
 */
#pragma once

#include <sys/stat.h>

#include "fs/inode.h"

typedef struct _TpdDirs TpdDirs;

/* A directory, open with O_PATH. Counted. */
typedef struct {
  int fd;
  int ref_count; /* atomic */
} TpdDirFd;

/* `root_fd` stays the caller's. At most `max` directories are kept open. */
TpdDirs *tpd_dirs_new (TpdInodes *inodes, int root_fd, guint max);
void tpd_dirs_free (TpdDirs *dirs);

/* The directory `node`. 0, or a positive errno. `*out` (transfer full). */
int tpd_dirs_get (TpdDirs *dirs, TpdNode *node, TpdDirFd **out);
void tpd_dirfd_unref (TpdDirFd *dir);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdDirFd, tpd_dirfd_unref)

/* The directory that `node` lies in, and its name there; see tpd_dirs_get().
 * EINVAL for the root. */
int tpd_dirs_get_parent (TpdDirs *dirs, TpdNode *node, TpdDirFd **out, char **name);

/* lstat of `node`, verified. 0 or errno. */
int tpd_dirs_stat (TpdDirs *dirs, TpdNode *node, struct stat *st);

/*
 * Opens `node` itself, verified. `flags` is O_PATH, O_RDONLY, or O_RDONLY |
 * O_DIRECTORY. Regular files and directories only, unless O_PATH. 0 or errno.
 */
int tpd_dirs_open (TpdDirs *dirs, TpdNode *node, int flags, int *fd, struct stat *st);

/* Opens the regular file `name` for reading without following a link, waking
 * a fifo or moving its access time. The descriptor or -errno; `*st` is its
 * fstat. Not a regular file: -ESTALE. */
int tpd_open_regular (int dirfd, const char *name, struct stat *st);
