/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree that copies are written to. Everything is reached from the root's
 * descriptor, one name at a time and never through a symbolic link: whoever
 * may change the tree meanwhile cannot lead a write out of it.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

/* The directory of the state: journal, manifest, lists. */
#define TPD_TARGET_STATE ".tpdfs-manifest"
/* What names of unfinished files begin with. */
#define TPD_TARGET_TEMP ".tpdfs-tmp-"

/* Opens the directory `path` beneath `root_fd` to be written to, and makes it
 * and its parents (0700) where they are missing. A directory of our own that
 * we may not write to is made writable; its mode is set at the end. -1 with
 * errno. */
int tpd_target_make_dir (int root_fd, const char *path);

/* Makes the new file `name`, 0600. -1 with errno. */
int tpd_target_make_file (int dir_fd, const char *name);

/* Opens the regular file `name` for reading. -1 with errno. */
int tpd_target_open_file (int dir_fd, const char *name);

/*
 * Gives the file or directory `fd`, whose status is `now`, owner,
 * extended attributes with access control lists, mode and times of `source_fd`,
 * whose status is `st`. What could not be kept is added to `lost` as words
 * ("owner", "acl", ...), but for the attributes that name a tpdfs mount.
 * `may_have_acl`: of a new file, whether its directory may have given it a list.
 */
void tpd_target_set_attributes (int fd, const struct stat *now, gboolean may_have_acl, int source_fd,
                                const struct stat *st, GPtrArray *lost);
/* Whether new files in the directory may get an access control list. */
gboolean tpd_target_has_default_acl (int dir_fd);
/* The same of a symbolic link `name`: owner and times. */
void tpd_target_set_link_attributes (int dir_fd, const char *name, const struct stat *st, GPtrArray *lost);
