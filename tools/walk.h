/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a tree with several threads, in memory that does not depend on the
 * size of the tree, of a directory, or on its depth.
 *
 * Symbolic links are never followed, and everything is opened beneath the
 * root. Directories come in no particular order, their entries in chunks: a
 * large directory is read once, by one thread, and its chunks are worked on by
 * all.
 */
#pragma once

#include <dirent.h>
#include <glib.h>

#include "tools/filter.h"

/* A directory, open. Counted. */
typedef struct {
  int fd;     /* O_RDONLY */
  char *path; /* relative to the root, "" for the root */
  guint64 dev;
  /* For the callbacks, which must change it atomically. */
  gint64 user;
  /*< private >*/
  gint ref_count; /* atomic */
  gboolean whole;
} TpdWalkDir;

typedef struct {
  const char *name;
  guint8 type; /* DT_REG, DT_DIR, DT_LNK, ...: never DT_UNKNOWN */
} TpdWalkEntry;

typedef struct {
  TpdWalkDir *dir;
  const TpdWalkEntry *entries; /* without "." and ".." */
  guint n;
  gboolean whole; /* these are all entries of the directory */
} TpdWalkChunk;

/* The callbacks; all run in the walk's threads. */
typedef struct {
  /* What belongs to one thread; given to the others as `thread`. */
  gpointer (*thread_new) (gpointer data);
  void (*thread_free) (gpointer data, gpointer thread);
  /* For directories that come in several chunks: before the first, and after
   * the last is done. */
  void (*begin) (gpointer data, gpointer thread, TpdWalkDir *dir);
  void (*end) (gpointer data, gpointer thread, TpdWalkDir *dir);
  void (*chunk) (gpointer data, gpointer thread, const TpdWalkChunk *chunk);
  /* The directory cannot be opened or read (on). */
  void (*failed) (gpointer data, gpointer thread, const char *path, int errnum);
  /* The directory is on another file system, and so not entered; may be NULL. */
  void (*foreign) (gpointer data, gpointer thread, const char *path);
} TpdWalkClass;

typedef struct {
  guint jobs;
  gboolean one_file_system; /* stay on the root's */
  gboolean snapshots;       /* enter .snapshot, ~snapshot and .zfs */
  const TpdFilter *filter;  /* for directories; chunks hold every entry */
  guint chunk_entries;      /* at most so many in a chunk; 0: whole directories */
} TpdWalkOptions;

/* What was met; to be read when the walk has ended. */
typedef struct {
  guint64 dirs;
  guint64 excluded, snapshots, other_fs; /* directories that were not entered */
} TpdWalkStats;

typedef struct _TpdWalk TpdWalk;

/* `root_fd` (O_PATH will do), `klass` and `data` must outlive the walk. */
TpdWalk *tpd_walk_new (int root_fd, const TpdWalkOptions *options, const TpdWalkClass *klass, gpointer data);
/* Starts the threads. */
void tpd_walk_start (TpdWalk *walk);
/* Waits for at most `timeout_us`; TRUE when the walk has ended. */
gboolean tpd_walk_wait (TpdWalk *walk, gint64 timeout_us);
/* Threads end after the entry at hand. From any thread. */
void tpd_walk_cancel (TpdWalk *walk);
gboolean tpd_walk_is_cancelled (const TpdWalk *walk);
/* Waits for the threads and frees the walk; `*stats` may be NULL. FALSE with
 * error when it had to be given up. */
gboolean tpd_walk_finish (TpdWalk *walk, TpdWalkStats *stats, GError **error);

/* Opens the directory `path` beneath `root_fd` without following a link. -1
 * with errno: ELOOP for a link, EXDEV for a name "..". */
int tpd_walk_open_dir (int root_fd, const char *path);
/* Likewise the directory that `path` is in; `*name` points at its last part. */
int tpd_walk_open_parent (int root_fd, const char *path, const char **name);

/* Does the same for paths that are near each other: keeps the last few
 * directories on the way to the last one open. For one thread. */
typedef struct _TpdWalkTrail TpdWalkTrail;

/* `root_fd` must outlive it. */
TpdWalkTrail *tpd_walk_trail_new (int root_fd);
void tpd_walk_trail_free (TpdWalkTrail *trail);
int tpd_walk_trail_open_dir (TpdWalkTrail *trail, const char *path);
