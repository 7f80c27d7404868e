/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that may have to wait until a file is decoded: GETATTR and OPEN, and
 * the attributes that tell of licenses. The worker thread of FUSE does not
 * wait: the request is parked and answered by a thread of the decoder. (LOOKUP
 * and READDIRPLUS never wait; see tpd_attr_entry().)
 *
 * A handler is a function that answers the request, or finds out that it needs
 * something decoded, says what in call->wait and returns TPD_WAIT. It is then
 * called again, from the start, when that is there.
 */
#pragma once

#include "fs/fs.h"

typedef struct _TpdCall TpdCall;

struct _TpdCall {
  fuse_req_t req;
  /* Replies and returns 0, or returns TPD_WAIT. */
  int (*run) (TpdFs *fs, TpdCall *call);

  /* Of the request, as far as it has them. */
  fuse_ino_t ino;
  char *name; /* of the attribute */
  gsize size;
  struct fuse_file_info fi;

  TpdWait wait;     /* source NULL: only another thread is wanted */
  gboolean in_pool; /* in a thread where it may take long */
  guint tries;
};

/* Runs `call`, now or again later. `call` and its name are the caller's and
 * copied if need be. */
void tpd_call_run (TpdCall *call);
