/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --accept FILE: what somebody has looked at and takes upon himself. One path a
 * line, below the directory or whole; one that ends with a slash means all that
 * lies in that directory. Empty lines and those that begin with # are comments.
 * Paths are bytes, and mean themselves: no globs.
 */
#pragma once

#include <glib.h>

#define TPD_ACCEPT_FILE_MAX (64 * 1024 * 1024)

typedef struct _TpdAccept TpdAccept;

/* `root`: the directory as the user named it. Errors: TPD_ERROR_USAGE for a
 * path that leads out of it. (transfer full) */
TpdAccept *tpd_accept_parse (const char *name, const char *root, const guint8 *data, gsize len, GError **error);
TpdAccept *tpd_accept_read (const char *path, const char *root, GError **error);
void tpd_accept_free (TpdAccept *accept);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdAccept, tpd_accept_free)

/* Whether the file `name` in `dir` (relative to the root) is accepted. `accept`
 * may be NULL. */
gboolean tpd_accept_has (TpdAccept *accept, const char *dir, const char *name);
/* Lines that accepted nothing so far, in the order of the bytes. (transfer
 * container) */
GPtrArray *tpd_accept_unused (const TpdAccept *accept);
