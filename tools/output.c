/* SPDX-License-Identifier: Apache-2.0 */
/* Standard output: see output.h. */
#include "tools/output.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"

static int output_errno;

gboolean
tpd_output_failed (void)
{
  errno = EIO;
  if (output_errno == 0 && (fflush (stdout) != 0 || ferror (stdout)))
    output_errno = errno;
  return output_errno != 0;
}

gboolean
tpd_output_write (const char *data, gsize len)
{
  if (tpd_output_failed ())
    return FALSE;
  if (fwrite (data, 1, len, stdout) < len)
    output_errno = errno;
  return !tpd_output_failed ();
}

TpdExit
tpd_output_finish (TpdExit status)
{
  if (!tpd_output_failed ())
    return status;
  if (output_errno != EPIPE)
    tpd_error ("cannot write standard output: %s", g_strerror (output_errno));
  return TPD_EXIT_FAILED;
}
