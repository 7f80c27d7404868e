/* SPDX-License-Identifier: Apache-2.0 */
/* All bytes, in as many calls as it takes: see io.h. */
#include "base/io.h"

#include <errno.h>
#include <unistd.h>

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
