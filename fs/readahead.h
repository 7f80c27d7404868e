/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far the kernel reads ahead. It asks for at most that much at once, and
 * every request costs the same, so the default of 128 KiB makes reading in
 * order two to three times slower than need be. Only root may change it.
 */
#pragma once

#include <glib.h>

/* Opens the setting of the file system mounted on `mountpoint`; -1 when this
 * process may not change it. To be done before confinement. */
int tpd_read_ahead_open (const char *mountpoint);

/* Sets it and closes `*fd`, once, whichever thread is first; only after the
 * kernel has answered INIT, which sets it back. Does nothing for -1. */
void tpd_read_ahead_set (int *fd);
