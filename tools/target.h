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
/* And of those that are about to change places with an original. */
#define TPD_TARGET_SWAP ".tpdfs-swap-"

/* Opens the directory `path` beneath `root_fd` to be written to, and makes it
 * and its parents (0700) where they are missing. A directory of our own that
 * we may not write to is made writable; its mode is set at the end. -1 with
 * errno. */
int tpd_target_make_dir (int root_fd, const char *path);

/* Makes the new file `name`, 0600. -1 with errno. */
int tpd_target_make_file (int dir_fd, const char *name);

/* Opens the regular file `name` for reading. -1 with errno. */
int tpd_target_open_file (int dir_fd, const char *name);

/* Whether syncfs() does not reach those who store the file system of `fd`. */
gboolean tpd_target_lacks_syncfs (int fd);
/* Writes to disk what lies on the file system of the directory `dir_fd`; where
 * syncfs() does not, only the directory itself. -1 with errno. */
int tpd_target_sync (int dir_fd);
/* Ends writing to the file `fd`, which is closed in any case: there, and then,
 * file systems that `lacks_syncfs` is true of tell what went wrong. -1 with errno. */
int tpd_target_close_file (int fd, gboolean lacks_syncfs);

/*
 * Gives the file or directory `fd`, whose status is `now`, owner,
 * extended attributes with access control lists, mode and times of `source_fd`,
 * whose status is `st`. What could not be kept is added to `lost` as words
 * ("owner", "acl", ...), but for the attributes that name a tpdfs mount. Nobody
 * may do more with it than before: what an access control list that is lost
 * refused, the mode refuses.
 * `may_have_acl`: of a new file, whether its directory may have given it a list.
 */
void tpd_target_set_attributes (int fd, const struct stat *now, gboolean may_have_acl, int source_fd,
                                const struct stat *st, GPtrArray *lost);
/* Whether new files in the directory may get an access control list. */
gboolean tpd_target_has_default_acl (int dir_fd);
/* The same of a symbolic link `name`: owner and times. */
void tpd_target_set_link_attributes (int dir_fd, const char *name, const struct stat *st, GPtrArray *lost);
