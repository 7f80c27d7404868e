/* SPDX-License-Identifier: Apache-2.0 */
/* All bytes, in as many calls as it takes: see io.h. */
#include "base/io.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

static __thread struct {
  void (*func) (gpointer data);
  gpointer data;
} before_waiting;

/* What the call that gave `n` has done of it. FALSE: it ends here. */
static gboolean
advance (gssize n, gsize *done)
{
  if (n < 0 && errno == EINTR)
    return TRUE;
  if (n == 0)
    errno = EIO;
  if (n <= 0)
    return FALSE;
  *done += (gsize) n;
  return TRUE;
}

gboolean
tpd_write_all (int fd, const void *data, gsize len)
{
  const guint8 *bytes = data;

  for (gsize done = 0; done < len;)
    if (!advance (write (fd, bytes + done, len - done), &done))
      return FALSE;
  return TRUE;
}

gboolean
tpd_pwrite_all (int fd, const void *data, gsize len, guint64 off)
{
  const guint8 *bytes = data;

  for (gsize done = 0; done < len;)
    if (!advance (pwrite (fd, bytes + done, len - done, (off_t) (off + done)), &done))
      return FALSE;
  return TRUE;
}

gboolean
tpd_pread_all (int fd, void *buf, gsize len, guint64 off)
{
  guint8 *bytes = buf;

  for (gsize done = 0; done < len;)
    if (!advance (pread (fd, bytes + done, len - done, (off_t) (off + done)), &done))
      return FALSE;
  return TRUE;
}

/* What is in memory of it. `*known` becomes FALSE if the file system does not say. */
static gsize
pread_at_hand (int fd, void *buf, gsize len, guint64 off, gboolean *known)
{
  struct iovec all = { buf, len };
  gssize n = preadv2 (fd, &all, 1, (off_t) off, RWF_NOWAIT);

  *known = n >= 0 || errno != EOPNOTSUPP;
  return n > 0 ? (gsize) n : 0;
}

gssize
tpd_pread_upto (int fd, void *buf, gsize len, guint64 off, guint64 size)
{
  guint8 *bytes = buf;
  gsize done = 0;

  if (before_waiting.func != NULL)
    {
      gboolean known;

      done = pread_at_hand (fd, buf, len, off, &known);
      if (known && done < len && off + done < size)
        {
          before_waiting.func (before_waiting.data);
          before_waiting.func = NULL;
        }
    }
  while (done < len && (done == 0 || off + done < size))
    {
      gssize n = pread (fd, bytes + done, len - done, (off_t) (off + done));

      if (n == 0)
        break;
      if (!advance (n, &done))
        return -1;
    }
  return (gssize) done;
}

void
tpd_io_set_before_waiting (void (*func) (gpointer data), gpointer data)
{
  before_waiting.func = func;
  before_waiting.data = data;
}
