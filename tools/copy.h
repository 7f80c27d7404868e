/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The work of `tpd materialize`: a tree of plaintext made of a tree that has
 * protected files in it, or, in place, plaintext put where they were.
 *
 *   walk (tools/walk.h)       directories; names of a whole one at a time
 *   workers (copy_entry.c)    each file into a finished temporary file (copy_file.c)
 *   commit (copy_commit.c)    many at a time: sync, final names, sync
 *   journal (tools/journal.h) what is finished, for the next run
 */
#pragma once

#include "format/names.h"
#include "tools/common.h"
#include "tools/filter.h"
#include "tools/progress.h"

typedef struct {
  const char *source;    /* as the user named it */
  const char *target;    /* NULL: in place */
  const char *originals; /* in place: where the originals go */
  gboolean dry_run;
  gboolean only_protected;   /* plain files are left out */
  gboolean link_plain;       /* plain files become hard links */
  gboolean containers;       /* archives are written anew with plaintext in them */
  gboolean copy_unreadable;  /* protected files that do not open are copied as they are */
  gboolean remove_originals; /* in place: do not keep those whose plaintext is proven */
  gboolean check;            /* read copies again before they get their names */
  gboolean json;             /* a line on standard output for each file */
  TpdTreeOptions tree;
  GHashTable *hold; /* set of paths relative to the source */
  guint shard, shards;
  TpdNameRules names;
  TpdOpenOptions open;
  guint jobs;
} TpdCopyOptions;

typedef struct {
  guint64 decrypted, plain, raw, symlinks, links; /* written now */
  guint64 archives, members;                      /* written anew, and decrypted in them */
  guint64 shut_archives, shut_members;            /* copied or left as they are, and protected in them */
  guint64 partly;                                 /* archives of which not all could be looked into */
  guint64 bytes;                                  /* of them */
  guint64 finished;                               /* by an earlier run */
  guint64 held, special, left;                    /* left out on purpose */
  guint64 failed;                                 /* protected files that do not open, and errors */
  guint64 failed_dirs;
  guint64 excluded_dirs, snapshot_dirs, foreign_dirs; /* not entered; counted by the first part only */
  guint64 lost;                                       /* files that lost an attribute */
  guint64 dirs;                                       /* seen */
  guint64 removed;                                    /* originals */
} TpdCopyCounts;

typedef struct {
  TpdCopyCounts counts;
  gboolean interrupted; /* state is kept, there is no manifest */
  char *manifest;       /* its path as the user can open it; NULL: none was made */
  guint64 in_manifest;
  char *sha256;    /* of the manifest */
  guint64 missing; /* lines in MISSING.jsonl */
} TpdCopyResult;

void tpd_copy_result_clear (TpdCopyResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdCopyResult, tpd_copy_result_clear)

typedef struct _TpdCopy TpdCopy;

/* Opens source and target, which is made if it is missing, and declares what
 * the process must reach. TPD_ERROR_USAGE if they do not fit together.
 * `options` must outlive it. (transfer full) */
TpdCopy *tpd_copy_open (const TpdCopyOptions *options, TpdConfinement *reach, GError **error);
void tpd_copy_free (TpdCopy *copy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdCopy, tpd_copy_free)

/* Runs it; FALSE with error when it could not be done. Single files that fail
 * are no error. */
gboolean tpd_copy_run (TpdCopy *copy, const TpdSession *session, TpdProgress *progress, TpdCopyResult *result,
                       GError **error);

/* Paths from a file, one a line; absolute ones beneath `source` become
 * relative. (transfer full) */
GHashTable *tpd_copy_read_hold (const char *file, const char *source, GError **error);
