/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fs/pipe.h. libfuse would fill a pipe itself, but takes an error in the
 * middle for the end of the file, and the kernel then shows zeros, or a shorter
 * file, to whoever reads. From our pipe to libfuse's the pages cost next to
 * nothing.
 */
#include "fs/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PAGE 4096

typedef struct {
  int ends[2]; /* -1: none */
  gsize size;
  gboolean fixed; /* it cannot become larger */
} Pipe;

static void
pipe_close (Pipe *pipe)
{
  for (guint i = 0; i < 2; i++)
    {
      if (pipe->ends[i] >= 0)
        close (pipe->ends[i]);
      pipe->ends[i] = -1;
    }
  pipe->size = 0;
}

static void
pipe_free (gpointer data)
{
  pipe_close (data);
  g_free (data);
}

static GPrivate thread_pipe = G_PRIVATE_INIT (pipe_free);

/* The thread's pipe, empty, with room for `size` bytes; NULL: there is none. An
 * ordinary user may not have many large ones. */
static Pipe *
get_pipe (gsize size)
{
  Pipe *pipe = g_private_get (&thread_pipe);
  int got;

  if (pipe == NULL)
    {
      pipe = g_new (Pipe, 1);
      *pipe = (Pipe){ .ends = { -1, -1 } };
      g_private_set (&thread_pipe, pipe);
    }
  if (pipe->ends[0] < 0)
    {
      if (pipe2 (pipe->ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return NULL;
      got = fcntl (pipe->ends[1], F_GETPIPE_SZ);
      pipe->size = got > 0 ? (gsize) got : 0;
    }
  if (pipe->size < size && !pipe->fixed)
    {
      got = fcntl (pipe->ends[1], F_SETPIPE_SZ, (int) size);
      pipe->fixed = got < 0;
      if (got > 0)
        pipe->size = (gsize) got;
    }
  return pipe->size >= size ? pipe : NULL;
}

gboolean
tpd_pipe_fill (int fd, guint64 off, gsize size, int *out, gsize *n)
{
  /* A piece that begins within a page takes one more. */
  Pipe *pipe = size <= G_MAXINT - PAGE ? get_pipe (size + PAGE) : NULL;
  loff_t at = (loff_t) off;
  ssize_t moved = 1;

  if (pipe == NULL)
    return FALSE;
  *n = 0;
  while (*n < size && moved != 0)
    {
      moved = splice (fd, &at, pipe->ends[1], NULL, size - *n, SPLICE_F_NONBLOCK);
      if (moved < 0 && errno == EINTR)
        continue;
      if (moved < 0)
        {
          pipe_close (pipe);
          return FALSE;
        }
      *n += (gsize) moved;
    }
  *out = pipe->ends[0];
  return TRUE;
}

void
tpd_pipe_drop (void)
{
  Pipe *pipe = g_private_get (&thread_pipe);

  if (pipe != NULL)
    pipe_close (pipe);
}
