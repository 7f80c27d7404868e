/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 of two texts side by side. Each step of SHA-256 waits for the one
 * before, so that where the processor has instructions for it (x86, SHA
 * extensions) a second text costs a third of what it costs alone. Elsewhere both
 * are OpenSSL's, and cost what they cost.
 */
#pragma once

#include "crypto/digest.h"

typedef struct _TpdShaPair TpdShaPair;

TpdShaPair *tpd_sha_pair_new (void);
/* The next bytes of both; either may have none. Best in pieces of equal length,
 * a multiple of 64. */
void tpd_sha_pair_update (TpdShaPair *pair, const void *a, gsize a_len, const void *b, gsize b_len);
/* Writes both digests, wipes and frees `pair`. */
void tpd_sha_pair_finish (TpdShaPair *pair, guint8 a[TPD_SHA256_SIZE], guint8 b[TPD_SHA256_SIZE]);

/* For tests: FALSE makes all pairs that are begun from now on OpenSSL's. Says
 * whether they are by the processor's instructions. */
gboolean tpd_sha_pair_allow (gboolean wide);
