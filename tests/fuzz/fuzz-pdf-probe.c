/* SPDX-License-Identifier: Apache-2.0 */
/* The structure of PDF files: probing, the cross-reference in both ways of
 * reading it, every object and stream that it leads to. */
#include <string.h>

#include "format/pdf_private.h"
#include "fuzz.h"

#define MAX_OBJECTS 128
#define MAX_INFLATE (4 * 1024 * 1024)

static void
check_object (TpdPdfFile *file, guint64 num)
{
  g_autoptr (TpdPdfObject) object = tpd_pdf_file_get (file, num, NULL);
  GByteArray *data;
  gboolean predictor;
  guint64 start;

  if (object == NULL)
    return;
  for (guint i = 0; i < object->tokens->len && tpd_pdf_token (object, i)->type != TPD_PDF_CLOSE; i++)
    g_assert (tpd_pdf_skip (object, i) > i);
  if (tpd_pdf_object_stream (object, &start))
    {
      (void) tpd_pdf_stream_filter (object, &predictor);
      data = tpd_pdf_file_stream_read (file, object, NULL);
      if (data != NULL)
        g_byte_array_unref (data);
    }
}

static void
check_file (TpdPdfFile *file)
{
  g_auto (TpdPdfEncryption) encryption = { 0 };
  TpdPdfProtection protection;
  TpdPdfPayload payload;
  g_autofree char *metadata = NULL;

  for (guint i = 0; i < file->entries->len && i < MAX_OBJECTS; i++)
    check_object (file, g_array_index (file->entries, TpdPdfEntry, i).num);
  if (tpd_pdf_encryption_read (file, &encryption, &protection, NULL) && protection == TPD_PDF_RMS)
    {
      GBytes *license = tpd_pdf_encryption_license (file, &encryption, NULL);

      if (license != NULL)
        g_bytes_unref (license);
    }
  (void) tpd_pdf_wrapper_find (file, &payload, NULL);
  metadata = tpd_pdf_read_metadata (file);
  if (metadata != NULL)
    g_assert (g_utf8_validate (metadata, -1, NULL));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);
  TpdBudget budget;
  g_autoptr (TpdProbe) probe = NULL;
  g_autoptr (TpdPdfFile) newest = NULL;
  g_autoptr (TpdPdfFile) whole = NULL;

  if (size < 16 || memcmp (data, "%PDF-", 5) != 0)
    return 0;
  tpd_budget_init_probe (&budget);
  probe = tpd_probe (source, &budget);
  g_assert (budget.used_reads <= 2 * TPD_PROBE_MAX_READS);
  g_assert (probe->kind == TPD_KIND_PDF || probe->kind == TPD_KIND_PLAIN);
  newest = tpd_pdf_file_open (source, MAX_INFLATE, NULL, NULL);
  if (newest != NULL)
    check_file (newest);
  whole = tpd_pdf_file_open_whole (source, MAX_INFLATE, NULL, NULL);
  if (whole != NULL)
    check_file (whole);
  return 0;
}
