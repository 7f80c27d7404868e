/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a long command is: one line on standard error, drawn anew a few
 * times a second, when that is a terminal. Counting is thread-safe.
 */
#pragma once

#include <glib.h>
#include <stdatomic.h>

#include "base/log.h"

typedef struct {
  const char *what; /* "scan" */
  gboolean shown;   /* whether there is somebody to see it */
  guint64 expected; /* files, 0: not known */
  gint64 began;
  gint64 drawn;
  GMutex lock;      /* of the line on the terminal */
  gboolean on_line; /* it is there, under lock */
  _Atomic guint64 files, bytes;
} TpdProgress;

void tpd_progress_init (TpdProgress *progress, const char *what, gboolean quiet);
void tpd_progress_clear (TpdProgress *progress);

void tpd_progress_add (TpdProgress *progress, guint64 files, guint64 bytes);
/* Draws the line unless that was done a moment ago; from one thread. */
void tpd_progress_draw (TpdProgress *progress);
/* Takes the line away. */
void tpd_progress_hide (TpdProgress *progress);
/* tpd_log() without a collision. From any thread. */
void tpd_progress_tell (TpdProgress *progress, TpdLogLevel level, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* "12.3 MB", "100 bytes". (transfer full) */
char *tpd_progress_bytes (guint64 bytes);
/* With narrow groups of three: "1 234 567". (transfer full) */
char *tpd_progress_number (guint64 number);
