/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the key agent is confined once its keys are open: it may answer on the
 * sockets it has, and calculate. Three layers, each of which holds alone.
 */
#pragma once

#include <glib.h>

/*
 * Landlock: no file, no TCP, no signal to a process outside. Binds the calling
 * thread and those it makes later, hence before threads. Needs no_new_privs.
 * FALSE when this kernel does not have it.
 */
gboolean tpd_confine_files (void);

/* No new descriptor, process or file content, by resource limits. After all
 * threads are made. */
void tpd_confine_limits (void);

/*
 * seccomp, for all threads of the process: what is not on the list of calls is
 * answered EPERM, and what only an intruder would call ends the process.
 * After all threads are made. Errors: TPD_ERROR_AGENT.
 */
gboolean tpd_confine_calls (GError **error);
