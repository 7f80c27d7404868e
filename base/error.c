/* SPDX-License-Identifier: Apache-2.0 */
/* The GError domain: see base/error.h. */
#include "base/error.h"

GQuark
tpd_error_quark (void)
{
  return g_quark_from_static_string ("tpd-error");
}

void
tpd_error_set_errno (GError **error, int errnum, const char *format, ...)
{
  va_list args;
  g_autofree char *text = NULL;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TPD_ERROR, TPD_ERROR_ERRNO + errnum, "%s: %s", text, g_strerror (errnum));
}

int
tpd_error_get_errno (const GError *error)
{
  if (error == NULL || error->domain != TPD_ERROR || error->code <= TPD_ERROR_ERRNO)
    return 0;
  return error->code - TPD_ERROR_ERRNO;
}
