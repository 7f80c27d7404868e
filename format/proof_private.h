/* SPDX-License-Identifier: Apache-2.0 */
/* The structures that proof.c can judge; see proof.h. */
#pragma once

#include "format/proof.h"

/* Bytes at the start of each segment but the first that are in doubt. */
#define PROOF_DOUBTFUL 16

/*
 * Where the two rules of CBC4K are the question, all segments of 4096 bytes differ under
 * them. With smaller segments the question is CBC4K or CBC512, of which the latter
 * agrees with one of those rules at the start of each 4096 bytes: what these show is
 * no evidence, and they are left out.
 */
#define PROOF_WHOLE_SEGMENT 4096

/* How many bytes of [off, off+len) are in doubt. */
guint64 proof_doubtful (gsize segment, guint64 off, guint64 len);
/* Whether bytes in doubt start at `off` > 0. */
gboolean proof_is_doubtful (gsize segment, guint64 off);

/*
 * Adds to `*bits` what speaks against noise in the bytes in doubt of [off, plain->size),
 * `off` being a multiple of `segment`: of places that `skip` (may be NULL) does not
 * leave out. Noise gets t bits with a chance below 2^(4-t).
 */
typedef gboolean (*ProofSkip) (gpointer data, guint64 off);
gboolean proof_judge_places (TpdSource *plain, gsize segment, ProofSkip skip, gpointer data, guint *bits,
                             GError **error);

/* So many bits of agreement chance does not give. */
#define PROOF_ENOUGH 32

/* `plain` starts like a ZIP package. */
gboolean proof_check_zip (TpdSource *plain, gsize segment, TpdCheck *result, GError **error);
/* `plain` starts like a compound file. */
gboolean proof_check_cfb (TpdSource *plain, gsize segment, TpdCheck *result, GError **error);
