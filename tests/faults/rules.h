/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What faultfs does wrong, and when. The rules stand in a file, one a line, and
 * hold from the moment it is put in place:
 *
 *   OPERATION GLOB ACTION [from=OFFSET] [skip=N] [times=N]
 *
 * GLOB is held against the path from the root of the mount, which begins with
 * a slash; an asterisk also stands for slashes. ACTION is the name of an errno,
 * or a word that the operation knows. Reads and writes fail at OFFSET and
 * behind it. The first N times are skipped; afterwards it happens N times, or
 * always.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

typedef struct {
  int errnum;      /* > 0: to be returned */
  char action[32]; /* the word, if it is no errno */
  off_t from;
} Fault;

void rules_init (const char *path);

/* Whether something is to go wrong now with `operation` on `path`, at the bytes
 * `off` to `end`. */
bool rules_find (const char *operation, const char *path, off_t off, off_t end, Fault *fault);

/* -errno of what is to go wrong, or 0. */
int rules_errno (const char *operation, const char *path);
