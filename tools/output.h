/* SPDX-License-Identifier: Apache-2.0 */
/* Standard output, and whether it could be written. */
#pragma once

#include <glib.h>

#include "tools/command.h"

/*
 * Flushes standard output. When it could not be written says so, but for a
 * closed pipe, of which the reader knows. Returns `status`, or
 * TPD_EXIT_FAILED.
 */
TpdExit tpd_output_finish (TpdExit status);
/* Writes to standard output, past what stdio holds back. FALSE when that has
 * failed, now or before. */
gboolean tpd_output_write (const char *data, gsize len);
/* Whether standard output has failed, so that going on is in vain. */
gboolean tpd_output_failed (void);
