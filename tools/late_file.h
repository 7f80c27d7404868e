/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is written by a confined process (base/confine.h) and put in its
 * place when it is complete: opened before, under another name and 0600; a
 * small process of its own, made before too, renames it or removes it. So the
 * process that parses documents needs no right to make or rename anything in
 * the folder of the file, which may be somebody's home.
 */
#pragma once

#include <glib.h>

typedef struct _TpdLateFile TpdLateFile;

/* Before any thread exists. (transfer full) */
TpdLateFile *tpd_late_file_open (const char *path, GError **error);
/* Removes what was not committed. */
void tpd_late_file_free (TpdLateFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdLateFile, tpd_late_file_free)

/* To write to; stays the file's. */
int tpd_late_file_fd (const TpdLateFile *file);

/* Puts it in place of what was at the path. */
gboolean tpd_late_file_commit (TpdLateFile *file, GError **error);
