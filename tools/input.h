/* SPDX-License-Identifier: Apache-2.0 */
/* Files named on the command line, opened for reading. */
#pragma once

#include "format/source.h"

/* Bytes read at a time by what reads whole files. */
#define TPD_INPUT_BLOCK (1024 * 1024)

/*
 * Opens `path`: symbolic links are followed, anything but a regular file is
 * refused without waiting for it (TPD_ERROR_UNSUPPORTED), the access time is
 * left alone where that is allowed. Fills `*stamp`. Messages do not name the
 * file. (transfer full)
 */
TpdSource *tpd_input_open (const char *path, TpdStamp *stamp, GError **error);

/* TPD_ERROR_STALE when `source` is no longer what `stamp` says. */
gboolean tpd_input_check_unchanged (TpdSource *source, const TpdStamp *stamp, GError **error);

/* All of a small file that a person wrote, as it stands. Errors name the file:
 * TPD_ERROR_USAGE when it is larger than `max`. (transfer full) */
GBytes *tpd_input_read_small (const char *path, gsize max, GError **error);
