/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that were unpacked and have to be read in any order: at first in
 * anonymous memory, from some size on in a temporary file that has no name, as
 * far as there is one. What is kept is bounded either way.
 */
#pragma once

#include <glib.h>

/* Where temporary files come from. Thread-safe. */
typedef struct _TpdScratchPool TpdScratchPool;

/*
 * For a process that will be confined (base/confine.h) and cannot open files
 * later: opens `n` files in the directory for temporary files now, of which
 * one scratch at a time has each. Where they cannot be had, memory must do.
 * (transfer full)
 */
TpdScratchPool *tpd_scratch_pool_new (guint n);
/* For one that may write to the directory `dir_fd` (borrowed): files are made
 * there as they are needed. (transfer full) */
TpdScratchPool *tpd_scratch_pool_new_in (int dir_fd);
void tpd_scratch_pool_free (TpdScratchPool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdScratchPool, tpd_scratch_pool_free)

/* One thread at a time. */
typedef struct _TpdScratch TpdScratch;

/* Empty. `pool` may be NULL: memory only. (transfer full) */
TpdScratch *tpd_scratch_new (TpdScratchPool *pool);
void tpd_scratch_free (TpdScratch *scratch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdScratch, tpd_scratch_free)

guint64 tpd_scratch_size (const TpdScratch *scratch);
/* TPD_ERROR_TOO_LARGE when it may not grow so much. */
gboolean tpd_scratch_append (TpdScratch *scratch, const void *data, gsize len, GError **error);
/* All of the `len` bytes, which must be there. */
gboolean tpd_scratch_pread (TpdScratch *scratch, void *buf, gsize len, guint64 off, GError **error);
