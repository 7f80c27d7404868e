/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user.tpdfs.* attributes of a protected file: what can be told of it
 * without a key. Reading them never unwraps anything.
 */
#pragma once

#include <glib.h>

#include "fs/inode.h"

#define TPD_XATTR_PREFIX "user.tpdfs."

struct _TpdFs;
typedef struct _TpdDocXattrs TpdDocXattrs;

/* A small cache of what files were asked for last. */
TpdDocXattrs *tpd_doc_xattrs_new (void);
void tpd_doc_xattrs_free (TpdDocXattrs *xattrs);

/*
 * All attributes of `node`: full name -> value, both char *. Empty when it is
 * not a protected file; NULL with errno in `*errnum`. (transfer full)
 */
GHashTable *tpd_doc_xattrs_get (struct _TpdFs *fs, TpdNode *node, int *errnum);
