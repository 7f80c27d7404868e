/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who asks for attributes of what it lists. A listing can bring attributes
 * along, which saves a walk with stat(2) one request a file, and costs one that
 * only wants names a look into every file. The kernel does not say which it
 * is; but a process that has just looked up files one by one will do so again
 * in the next directory.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct _TpdWalkers TpdWalkers;

TpdWalkers *tpd_walkers_new (void);
void tpd_walkers_free (TpdWalkers *walkers);

/* The process (or thread) `pid` looked up a file in the directory `id`. */
void tpd_walkers_note_lookup (TpdWalkers *walkers, pid_t pid, guint64 id);

/* Whether attributes are worth their cost to `pid`, which lists `id`. */
gboolean tpd_walkers_want_attributes (TpdWalkers *walkers, pid_t pid, guint64 id);
