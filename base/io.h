/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All bytes, in as many calls as it takes. An interrupted call is made again; a
 * call that does nothing and gives no reason, or finds the end of a file that
 * has more, is EIO. FALSE: errno says why, and some of it may be done.
 */
#pragma once

#include <glib.h>

gboolean tpd_write_all (int fd, const void *data, gsize len);
gboolean tpd_pwrite_all (int fd, const void *data, gsize len, guint64 off);
gboolean tpd_pread_all (int fd, void *buf, gsize len, guint64 off);
