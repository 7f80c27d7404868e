/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confinement of the process that parses documents. What a hostile document
 * could make of it is bounded by what it may do, and that is decided once,
 * before the first document is read:
 *
 *   Landlock       files: only what was declared, to read or to write; no
 *                  program is run; no TCP; no signal to a process outside
 *   seccomp        calls: what reading (and writing, if declared) needs; no
 *                  socket, no process, no tracing, no mount, no new code; no
 *                  file is cut off by its name (O_TRUNC, truncate(2)), which
 *                  Landlock leaves to it; no openat2(2), which answers ENOSYS
 *   capabilities   none but CAP_DAC_READ_SEARCH, if the process has it
 *   the rest       not dumpable, no core, no new privileges
 *
 * The declaration is the one place that says what a program needs:
 *
 *   g_autoptr (TpdConfinement) reach = tpd_confinement_new (TPD_CONFINE_READS);
 *   tpd_confinement_read (reach, "/srv/share");
 *   if (!tpd_confine (reach, &error)) ...
 *
 * Descriptors that are open already keep what they were opened for: what can
 * be opened before, should be, and then needs no declaration. (The key agent
 * has its own, tighter confinement: crypto/confine.h.)
 */
#pragma once

#include <glib.h>

typedef enum {
  TPD_CONFINE_READS = 0,
  /* Makes, writes, renames and removes files beneath what may be written. */
  TPD_CONFINE_WRITES = 1 << 0,
  /* Sets owners, modes, times and attributes of files, too; as root keeps the
   * capabilities which that takes. seccomp cannot look at the paths of these
   * calls, and Landlock does not: only for programs whose purpose it is. */
  TPD_CONFINE_OWNERS = 1 << 1,
} TpdConfineFlags;

typedef struct _TpdConfinement TpdConfinement;

/* (transfer full) */
TpdConfinement *tpd_confinement_new (TpdConfineFlags flags);
void tpd_confinement_free (TpdConfinement *confinement);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdConfinement, tpd_confinement_free)

void tpd_confinement_add_flags (TpdConfinement *confinement, TpdConfineFlags flags);

/*
 * Lets the process read the file, or the directory and all beneath it, also in
 * file systems mounted there. Links are followed. What is not there when
 * tpd_confine() is called cannot be opened later.
 */
void tpd_confinement_read (TpdConfinement *confinement, const char *path);

/*
 * Lets it read and write the file, or all beneath the directory, and make,
 * rename and remove files there. Adds TPD_CONFINE_WRITES. A directory should
 * be one that holds nothing else: beneath it a hostile document could write,
 * too.
 */
void tpd_confinement_write (TpdConfinement *confinement, const char *path);

/*
 * Confines the process. Once, and before it has a second thread: Landlock and
 * capabilities bind the calling thread and those it makes later. Without
 * Landlock (a kernel before 5.13, or not switched on) warns and goes on with
 * what is left; without seccomp it fails, since Landlock alone is not enough.
 * Errors: TPD_ERROR_CONFINE, and then the process is not to read anything.
 */
gboolean tpd_confine (const TpdConfinement *confinement, GError **error);

/*
 * Gives up all capabilities of the calling thread but those of `kept` (bits
 * 1 << CAP_...), also for programs that it could run. Errors:
 * TPD_ERROR_CONFINE.
 */
gboolean tpd_capabilities_keep (guint64 kept, GError **error);

/* The version of Landlock that this kernel has, 0: none. */
guint tpd_landlock_abi (void);
