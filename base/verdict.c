/* SPDX-License-Identifier: Apache-2.0 */
/* Verdict words and errnos: see base/verdict.h. */
#include "base/verdict.h"

#include <errno.h>

#include "base/error.h"

static const struct {
  const char *word;
  int errnum;
} verdicts[TPD_N_VERDICTS] = {
  [TPD_VERDICT_OK] = { "ok", 0 },
  [TPD_VERDICT_KEY_HELD] = { "key-held", 0 },
  [TPD_VERDICT_NOT_PROTECTED] = { "not-protected", 0 },
  [TPD_VERDICT_NO_KEY] = { "no-key", ENOKEY },
  [TPD_VERDICT_DOUBLE_KEY] = { "double-key", ENOKEY },
  [TPD_VERDICT_DENIED] = { "denied", EACCES },
  [TPD_VERDICT_DAMAGED] = { "damaged", EBADMSG },
  [TPD_VERDICT_TOO_LARGE] = { "too-large", EFBIG },
  [TPD_VERDICT_AMBIGUOUS] = { "ambiguous", EBADMSG },
  [TPD_VERDICT_UNSUPPORTED] = { "unsupported", EOPNOTSUPP },
  [TPD_VERDICT_OFFLINE] = { "offline", 0 },
  [TPD_VERDICT_IO_ERROR] = { "io-error", EIO },
};

const char *
tpd_verdict_word (TpdVerdict verdict)
{
  g_return_val_if_fail ((guint) verdict < TPD_N_VERDICTS, "io-error");
  return verdicts[verdict].word;
}

int
tpd_verdict_errno (TpdVerdict verdict, int io_errno)
{
  g_return_val_if_fail ((guint) verdict < TPD_N_VERDICTS, EIO);
  if (verdict == TPD_VERDICT_IO_ERROR && io_errno > 0)
    return io_errno;
  return verdicts[verdict].errnum;
}

TpdVerdict
tpd_verdict_from_error (const GError *error)
{
  if (error == NULL || error->domain != TPD_ERROR)
    return TPD_VERDICT_IO_ERROR;
  switch ((TpdError) error->code)
    {
    case TPD_ERROR_NOT_PROTECTED:
      return TPD_VERDICT_NOT_PROTECTED;
    case TPD_ERROR_NO_KEY:
      return TPD_VERDICT_NO_KEY;
    case TPD_ERROR_DOUBLE_KEY:
      return TPD_VERDICT_DOUBLE_KEY;
    case TPD_ERROR_DENIED:
      return TPD_VERDICT_DENIED;
    case TPD_ERROR_DAMAGED:
      return TPD_VERDICT_DAMAGED;
    case TPD_ERROR_TOO_LARGE:
      return TPD_VERDICT_TOO_LARGE;
    case TPD_ERROR_AMBIGUOUS:
      return TPD_VERDICT_AMBIGUOUS;
    case TPD_ERROR_UNSUPPORTED:
      return TPD_VERDICT_UNSUPPORTED;
    case TPD_ERROR_OFFLINE:
      return TPD_VERDICT_OFFLINE;
    default:
      return TPD_VERDICT_IO_ERROR;
    }
}
