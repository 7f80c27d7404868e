/* SPDX-License-Identifier: Apache-2.0 */
/* A file at hand, and the temporary file that is to be its copy. */
#pragma once

#include <sys/stat.h>

#include "tools/copy_private.h"

typedef struct _TpdCopyFile {
  TpdCopyWorker *worker;
  TpdCopy *copy;
  TpdCopyTask *task; /* NULL once it was handed on */
  TpdStamp stamp;
  struct stat st;
  int fd;      /* of the source, -1 for what is not opened */
  int temp_fd; /* -1: none is open */
  char *temp;
  gboolean is_first; /* of several names */
  gboolean proven;
  gboolean again;  /* the next run is to do it again: something was left out */
  guint64 members; /* decrypted in an archive */
  char *note;      /* what is to be said of a plain file */

  /* copy_file.c; each may be NULL */
  TpdSource *source; /* owns fd */
  TpdSource *tee;
  TpdFileFacts *facts;
  TpdUnwrapRequest request; /* while facts->awaits_key */
} TpdCopyFile;

/* Makes the temporary file beside the place of the copy. */
gboolean tpd_copy_make_temp (TpdCopyFile *file, GError **error);
/* Removes it, unless it was handed over. */
void tpd_copy_drop_temp (TpdCopyFile *file);
/*
 * It is complete: it gets its attributes, its size is what it should be, and it
 * is closed. What could not be kept is added to `lost`.
 */
gboolean tpd_copy_finish_temp (TpdCopyFile *file, guint64 size, GPtrArray *lost, struct stat *made, GError **error);
/* Whether the file is still what was opened (else TPD_ERROR_STALE). */
gboolean tpd_copy_is_unchanged (TpdCopyFile *file, GError **error);
/* Hands the finished temporary file over with its task, and with `tail`, which
 * is taken over. `sha256`: NULL where the copy has no bytes of its own. */
void tpd_copy_submit_file (TpdCopyFile *file, TpdCopyWhat what, char *tail, guint64 size, guint64 ino,
                           const guint8 *sha256);
/* There will be no copy of it, for this reason. */
void tpd_copy_miss_file (TpdCopyFile *file, const GError *error);

/* Copies the regular file of `task`, which is taken over (copy_file.c), or has it wait. */
void tpd_copy_regular (TpdCopyWorker *worker, TpdCopyTask *task, const struct stat *before, gboolean is_first);
