/* SPDX-License-Identifier: Apache-2.0 */
/* The structures that proof.c can judge; see proof.h. */
#pragma once

#include "format/proof.h"

/* Bytes at the start of each segment but the first that are in doubt. */
#define PROOF_DOUBTFUL 16

/* How many bytes of [off, off+len) are in doubt. */
guint64 proof_doubtful (gsize segment, guint64 off, guint64 len);

/* `plain` starts like a ZIP package. */
gboolean proof_check_zip (TpdSource *plain, gsize segment, TpdCheck *result, GError **error);
/* `plain` starts like a compound file. */
gboolean proof_check_cfb (TpdSource *plain, gsize segment, TpdCheck *result, GError **error);
