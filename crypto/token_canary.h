/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks whose message we know: how a token is asked whether it works, and in
 * which ways, when what it says of another block is not clear.
 */
#pragma once

#include "crypto/enablingbits.h"

#define TPD_CANARY_LEN 16

typedef struct {
  guint8 message[TPD_CANARY_LEN];
  guint8 blocks[TPD_N_PADDINGS][TPD_RSA_MAX_BYTES]; /* as long as the modulus */
  gboolean made[TPD_N_PADDINGS];                    /* FALSE: the key is too short for the padding */
} TpdCanary;

void tpd_canary_make (TpdCanary *canary, const TpdPublicKey *key);
/* Whether a message that was decrypted is the canary's. */
gboolean tpd_canary_is (const TpdCanary *canary, const guint8 *message, gsize len);
