/* SPDX-License-Identifier: Apache-2.0 */
/* The helper process of a token: the far side of crypto/token_key.h. */
#pragma once

#include <sys/types.h>

#include "crypto/pkcs11_uri.h"

/* One lane for each of the agent's. */
#define TPD_TOKEN_LANES_MAX 256

/* What the helper gets from the process that forked it. */
typedef struct {
  const char *module; /* path, checked */
  const TpdPkcs11Uri *uri;
  pid_t parent;
  int control;
  int lanes[TPD_TOKEN_LANES_MAX];
  guint n_lanes;
} TpdTokenHelperSetup;

/* The life of the helper; never returns. */
void tpd_token_helper_run (const TpdTokenHelperSetup *setup) G_GNUC_NORETURN;
