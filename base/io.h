/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All bytes, in as many calls as it takes. An interrupted call is made again; a
 * call that does nothing and gives no reason, or finds the end of a file that
 * has more, is EIO. FALSE: errno says why, and some of it may be done.
 *
 * tpd_pread_upto() is the other one: as many as the file has.
 */
#pragma once

#include <glib.h>

gboolean tpd_write_all (int fd, const void *data, gsize len);
gboolean tpd_pwrite_all (int fd, const void *data, gsize len, guint64 off);
gboolean tpd_pread_all (int fd, void *buf, gsize len, guint64 off);

/* Up to `len` bytes, fewer only at the end of the file; what was read up to
 * its known `size` is not asked for more (G_MAXUINT64: unknown). -1: errno says why. */
gssize tpd_pread_upto (int fd, void *buf, gsize len, guint64 off, guint64 size);
/*
 * In this thread tpd_pread_upto() calls `func (data)`, once, before it waits for
 * bytes that are not in memory; not where the file system cannot say, as tmpfs,
 * overlays and those of networks cannot. NULL: not any more.
 */
void tpd_io_set_before_waiting (void (*func) (gpointer data), gpointer data);
