/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which directory a process that walks the tree opens next. Most walks go down
 * into the first directory that a listing names, and then on in its order. A
 * process whose walk was foretold once has the next directory prepared while
 * it takes in the last one; one that goes by another order has not.
 *
 * All of it are guesses, and a wrong one costs time only.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "fs/inode.h"

typedef struct _TpdAhead TpdAhead;

/* `drop` is for what was prepared and is not asked for. */
TpdAhead *tpd_ahead_new (TpdInodes *inodes, GDestroyNotify drop);
void tpd_ahead_free (TpdAhead *ahead);

/* The listing of the directory `dir` names the directory `child` behind
 * `before`, which is 0 for the first one; `child` may be 0: no more so far. */
void tpd_ahead_note (TpdAhead *ahead, guint64 dir, guint64 before, guint64 child);
/* What a walk opens that has come to the end of the listing of `dir`; 0: it
 * cannot be told. */
guint64 tpd_ahead_guess (TpdAhead *ahead, guint64 dir);

/* Prepares the directory `id`: (transfer full), may be NULL. */
typedef gpointer (*TpdAheadPrepare) (gpointer data, guint64 id);

/* The process (or thread) `pid` is expected to open the directory `id` next:
 * calls `prepare` if it did as expected before. May take as long as that. */
void tpd_ahead_expect (TpdAhead *ahead, pid_t pid, guint64 id, TpdAheadPrepare prepare, gpointer data);
/* `pid` opens the directory `id`: what was prepared, or NULL. (transfer full) */
gpointer tpd_ahead_take (TpdAhead *ahead, pid_t pid, guint64 id);
