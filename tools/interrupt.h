/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that end a command. */
#pragma once

#include <glib.h>

/* From now on SIGINT, SIGTERM and SIGHUP, unless they are ignored, end the
 * process with TPD_EXIT_INTERRUPTED, and say so. */
void tpd_interrupt_install (void);

/*
 * From now on SIGINT, SIGTERM and SIGHUP do not end the process but are told
 * by tpd_interrupted(), so that work can be wound up; a second one ends it.
 */
void tpd_interrupt_defer (void);
gboolean tpd_interrupted (void);
