/* SPDX-License-Identifier: Apache-2.0 */
/* The names that a directory's entries have in a decrypted copy. */
#pragma once

#include "format/names.h"
#include "tools/walk.h"

/*
 * One entry for each of the whole directory `chunk`, in its order; `shown` is
 * filled, `source` is the chunk's. Files whose names may change are probed.
 * (transfer full)
 */
TpdNameEntry *tpd_copy_names_new (const TpdWalkChunk *chunk, const TpdNameRules *rules);
/* Opens the file `name` for reading, without following a link, waiting for a
 * pipe, or touching the access time. -1 with errno. */
int tpd_copy_open_source (int dir_fd, const char *name);

void tpd_copy_names_free (TpdNameEntry *entries, gsize n);
