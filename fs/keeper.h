/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: a small process beside the mount, forked before the mount is
 * confined (base/confine.h), that does three things which the mount may not do
 * then, and nothing else:
 *
 *   write a line to the system log (a daemon's only: no socket can be made
 *   when the log daemon is started anew), tell whether a process is about to
 *   die (/proc), and take the mount point away at the end (which takes a
 *   privilege, or fusermount3).
 *
 * It believes nothing: lines are bounded and cleaned again, a process id is a
 * number, and what is unmounted was said before. It ends with the mount.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct _TpdKeeper TpdKeeper;

/* Before any thread exists. `log_name` NULL: the mount logs by itself. NULL on
 * failure, with `error`. (transfer full) */
TpdKeeper *tpd_keeper_start (const char *mountpoint, const char *log_name, GError **error);
void tpd_keeper_free (TpdKeeper *keeper);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdKeeper, tpd_keeper_free)

/* From now on lines go through the keeper, started with a `log_name`. */
void tpd_keeper_take_log (TpdKeeper *keeper);

/* Whether a deadly signal is pending for `thread`; FALSE also when it cannot be
 * told. */
gboolean tpd_keeper_is_dying (TpdKeeper *keeper, pid_t thread);

/* FALSE when the mount point could not be taken away. */
gboolean tpd_keeper_unmount (TpdKeeper *keeper);
