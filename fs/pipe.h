/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of files on their way to the kernel, which are not copied. */
#pragma once

#include <glib.h>

/*
 * Puts `size` bytes of the file `fd` from `off` on, or as many as there are, into
 * a pipe that belongs to the calling thread; `*pipe` is where they come out, and
 * `*n` how many they are. FALSE: nothing is in it; read in another way, which also
 * tells what is wrong.
 */
gboolean tpd_pipe_fill (int fd, guint64 off, gsize size, int *pipe, gsize *n);

/* What is left in the thread's pipe goes. */
void tpd_pipe_drop (void);
