/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel passthrough: reads that the kernel answers from the source itself, or
 * from decoded memory, without asking the mount.
 *
 * Whether there is any is found out step by step, and each step that fails
 * leaves a mount that works without: libfuse 3.17 when it was built, the right
 * to register files (fs/broker.h) when it started, the kernel's offer at INIT,
 * and the first registration. Which file is opened how is decided in
 * fs/open_file.c. All functions take NULL for a mount without.
 */
#pragma once

#include <glib.h>

#include "fs/options.h"

typedef struct _TpdPassthrough TpdPassthrough;

/* Forks the broker, if there is use for it: single-threaded callers only.
 * (transfer full) */
TpdPassthrough *tpd_passthrough_new (const TpdFsOptions *options, int root_fd, const char *source);
void tpd_passthrough_free (TpdPassthrough *passthrough);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdPassthrough, tpd_passthrough_free)

/* The mount is there, behind `fuse_fd`; before its first request. */
void tpd_passthrough_connect (TpdPassthrough *passthrough, int fuse_fd);

/* At INIT: whether to ask the kernel for it, on how many file systems that are
 * stacked on others its files may lie, and what the kernel said. */
gboolean tpd_passthrough_is_possible (const TpdPassthrough *passthrough);
guint tpd_passthrough_depth (const TpdPassthrough *passthrough);
void tpd_passthrough_set_offered (TpdPassthrough *passthrough, gboolean offered);

/* One decision about the inode `id` at a time. Taken before a node lock. */
void tpd_passthrough_lock (TpdPassthrough *passthrough, guint64 id);
void tpd_passthrough_unlock (TpdPassthrough *passthrough, guint64 id);

/* The backing id for a file of `size` bytes behind `fd`; 0: it is to be read
 * through the mount. */
gint32 tpd_passthrough_register (TpdPassthrough *passthrough, int fd, guint64 size);
/* Its last opener is gone. */
void tpd_passthrough_unregister (TpdPassthrough *passthrough, gint32 backing_id);

/* Registered files need no descriptor of ours, but are easier to look at with
 * one: TRUE when there is enough for one more, to be given back. */
gboolean tpd_passthrough_take_fd (TpdPassthrough *passthrough);
void tpd_passthrough_give_fd (TpdPassthrough *passthrough);

typedef struct {
  const char *state; /* "active", "off", "unavailable" */
  const char *why;   /* a sentence; NULL when it is active */
  guint files;       /* open through it now */
  guint64 refused;   /* that could not be registered */
  int broker_pid;    /* 0: none */
} TpdPassthroughState;

void tpd_passthrough_get_state (const TpdPassthrough *passthrough, TpdPassthroughState *state);
