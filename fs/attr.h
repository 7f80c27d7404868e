/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes as they are shown, and names on their way to the source. */
#pragma once

#include <sys/stat.h>

#include "fs/fs.h"

/*
 * Makes the attributes of `node` from `*st`, the lstat of `name` in `dirfd`,
 * looking into the file when its content is not known yet, and records them
 * as published. What takes decoding gives TPD_WAIT, or, unless `unsized` is
 * NULL, sets that: the size is then the source's. 0 or errno; ESTALE: the name
 * leads elsewhere by now.
 */
int tpd_attr_publish (TpdFs *fs, TpdNode *node, int dirfd, const char *name, struct stat *st, struct stat *attr,
                      gboolean *unsized, TpdWait *wait);

/* Whether tpd_attr_publish() would not have to look into the file. */
gboolean tpd_attr_is_known (TpdNode *node, const struct stat *st);

/*
 * GETATTR: as above by the way that `node` was last seen; a file that is open
 * and unlinked answers through its handle.
 */
int tpd_attr_get (TpdFs *fs, TpdNode *node, struct stat *attr, TpdWait *wait);

/*
 * LOOKUP: the entry `source` (its name in the source directory `dirfd`, lstat
 * `*st`) of `parent`: node and attributes. On success the kernel's count of the
 * node has gone up by one. 0 or errno.
 *
 * The kernel may hold a lock of the directory while it waits (libfuse does not
 * pass FUSE_CAP_PARALLEL_DIROPS on before 3.17), so this never takes decoding: a
 * size that only decoding tells is left open. The kernel is told that such
 * attributes are out of date already, so that it asks again before it uses
 * them; OPEN sees to it that it has.
 */
int tpd_attr_entry (TpdFs *fs, TpdNode *parent, int dirfd, const char *source, struct stat *st,
                    struct fuse_entry_param *entry);
/* READDIRPLUS: likewise, but TPD_WAIT for what takes decoding, which is begun
 * then; with `known`, EAGAIN also for what takes a look into the file. */
int tpd_attr_entry_sized (TpdFs *fs, TpdNode *parent, int dirfd, const char *source, struct stat *st, gboolean known,
                          struct fuse_entry_param *entry);

/* The same of a file that is open already: `fd`, which is taken, with its fstat
 * in `*st`. */
int tpd_attr_entry_opened (TpdFs *fs, TpdNode *parent, int dirfd, const char *source, int fd, struct stat *st,
                           struct fuse_entry_param *entry);

/*
 * Finds what `name` in the directory `parent` (open as `dirfd`) stands for: a
 * name of the source, or a shown one. `*source` (transfer full) is the name in
 * the source, `*st` its lstat. 0 or errno.
 */
int tpd_attr_resolve (TpdFs *fs, TpdNode *parent, int dirfd, const char *name, char **source, struct stat *st);

/* The name that a `.tpdfs` of the source's root is shown under, so that ours
 * is free. (transfer full) */
char *tpd_attr_shown_status_name (TpdFs *fs);

/* Whether entries of a directory on `dev` are out of bounds (one_file_system). */
gboolean tpd_attr_is_beyond (const TpdFs *fs, dev_t dev);
