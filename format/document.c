/* SPDX-License-Identifier: Apache-2.0 */
/* Opening what a probe found, and the life of documents: see document.h. */
#include "format/document.h"

#include "base/error.h"
#include "format/format.h"

static void
set_probe_error (const TpdProbe *probe, GError **error)
{
  static const int codes[TPD_N_VERDICTS] = {
    [TPD_VERDICT_NOT_PROTECTED] = TPD_ERROR_NOT_PROTECTED, [TPD_VERDICT_DAMAGED] = TPD_ERROR_DAMAGED,
    [TPD_VERDICT_TOO_LARGE] = TPD_ERROR_TOO_LARGE,         [TPD_VERDICT_AMBIGUOUS] = TPD_ERROR_AMBIGUOUS,
    [TPD_VERDICT_UNSUPPORTED] = TPD_ERROR_UNSUPPORTED,     [TPD_VERDICT_OFFLINE] = TPD_ERROR_OFFLINE,
  };
  const char *message = probe->message;
  int code = codes[probe->verdict];

  if (probe->verdict == TPD_VERDICT_IO_ERROR)
    code = TPD_ERROR_ERRNO + tpd_verdict_errno (probe->verdict, probe->io_errno);
  if (message == NULL)
    message = probe->verdict == TPD_VERDICT_NOT_PROTECTED ? "The file is not protected."
                                                          : "The file cannot be opened as a protected document.";
  g_set_error_literal (error, TPD_ERROR, code, message);
}

TpdDocument *
tpd_document_new (TpdSource *source, const TpdProbe *probe, TpdLicense *license, TpdContentKey *content_key,
                  const TpdOpenOptions *options, TpdBudget *budget, GError **error)
{
  static const TpdOpenOptions defaults = { TPD_IV_AUTO };
  TpdDocument *document;

  if (probe->verdict != TPD_VERDICT_OK || probe->format == NULL)
    {
      set_probe_error (probe, error);
      return NULL;
    }
  document = probe->format->open (source, probe, content_key, options != NULL ? options : &defaults, budget, error);
  if (document != NULL && license != NULL)
    document->license = tpd_license_ref (license);
  return document;
}

TpdDocument *
tpd_document_open (TpdSource *source, const TpdProbe *probe, const TpdKeyring *keyring, TpdUnwrapper *unwrapper,
                   const TpdOpenOptions *options, TpdBudget *budget, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (TpdLicense) license = NULL;
  g_autoptr (TpdContentKey) content_key = NULL;

  if (probe->verdict != TPD_VERDICT_OK || probe->format == NULL)
    {
      set_probe_error (probe, error);
      return NULL;
    }
  bytes = tpd_probe_read_license (probe, source, error);
  if (bytes == NULL)
    return NULL;
  license = tpd_license_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
  if (license == NULL)
    return NULL;
  content_key = tpd_license_unwrap (license, keyring, unwrapper, TPD_PURPOSE_READ, NULL, error);
  if (content_key == NULL)
    return NULL;
  return tpd_document_new (source, probe, license, content_key, options, budget, error);
}

TpdDocument *
tpd_document_ref (TpdDocument *document)
{
  g_atomic_int_inc (&document->ref_count);
  return document;
}

void
tpd_document_unref (TpdDocument *document)
{
  if (document == NULL || !g_atomic_int_dec_and_test (&document->ref_count))
    return;
  g_clear_pointer (&document->license, tpd_license_unref);
  g_clear_pointer (&document->fallbacks, g_strfreev);
  g_clear_pointer (&document->warnings, g_strfreev);
  document->klass->free (document);
}
