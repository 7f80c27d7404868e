/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the index of tpd scan knows of the files of the source, so that a walk
 * of a fresh mount need not look into them. All of it are hints
 * (fs/hinted.h): facts made of them carry the mark `hinted`, and OPEN looks
 * into the file before anything of it is read.
 */
#pragma once

#include <sys/stat.h>

#include "base/confine.h"
#include "fs/inode.h"

struct _TpdFs;
typedef struct _TpdKnown TpdKnown;

/* Opens the index as the options say; one that cannot be used is told of in
 * the log, and then nothing is known. Before the process is confined. */
TpdKnown *tpd_known_open (const struct _TpdFs *fs);
void tpd_known_free (TpdKnown *known);

/* `known` may be NULL in what follows. */
void tpd_known_reach (const TpdKnown *known, TpdConfinement *reach);

/* Whether anything may be known. */
gboolean tpd_known_is_on (const TpdKnown *known);

/* Facts of the regular file `name` in the directory `dir` (a node id), whose
 * lstat is `*st`. FALSE: not known. */
gboolean tpd_known_facts (struct _TpdFs *fs, guint64 dir, const char *name, const struct stat *st, TpdFacts *facts);

/* Whether it is to be shown under its plain name, and the extension for that
 * (transfer full), which may be NULL. FALSE: not known. */
gboolean tpd_known_name (struct _TpdFs *fs, guint64 dir, const char *name, const struct stat *st, gboolean *plain,
                         char **extension);

/* The file `node` turned out to be something else than the index says: nothing
 * is believed of its directory for a while. */
void tpd_known_is_wrong (struct _TpdFs *fs, TpdNode *node);

/* "on", "off" (asked for), "none" (there is no index) or "failed"; `*why` is a
 * sentence, `*path` the file in use, both may be NULL. (transfer full) */
const char *tpd_known_state (TpdKnown *known, char **path, char **why);
