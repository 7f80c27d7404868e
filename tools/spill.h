/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stack of texts that does not fill the memory: what lies deep in it goes to
 * a temporary file without a name. One thread at a time.
 */
#pragma once

#include <glib.h>

typedef struct _TpdSpill TpdSpill;

/* Opens a few files, for a process that will be confined (base/confine.h) and
 * cannot open them when they are needed. */
void tpd_spill_prepare (void);

/* Keeps about `max` bytes in memory. When the file cannot be written, memory
 * is used after all. */
TpdSpill *tpd_spill_new (gsize max);
void tpd_spill_free (TpdSpill *spill);

void tpd_spill_push (TpdSpill *spill, const char *text);
/* The text pushed last; NULL if there is none, or when the file cannot be read
 * again (`*error`). (transfer full) */
char *tpd_spill_pop (TpdSpill *spill, GError **error);
