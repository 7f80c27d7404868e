/* SPDX-License-Identifier: Apache-2.0 */
/* Outlook items: their properties as headers, as a copy, as the original that
 * a decrypted mail is put into; and the protected mail that one may carry. */
#include <string.h>

#include "format/mail_content.h"
#include "fuzz.h"

static void
check_written (TpdSource *original)
{
  g_autoptr (TpdMailContent) content = tpd_mail_content_new ();
  TpdBudget budget;
  g_autoptr (TpdSink) sink = NULL;
  g_autoptr (TpdSource) written = NULL;
  g_autoptr (GBytes) headers = NULL;
  g_autoptr (GError) error = NULL;

  tpd_budget_init_decode (&budget, original->size);
  sink = tpd_sink_new (&budget, NULL);
  content->body_format = TPD_BODY_PLAIN;
  content->code_page = 65001;
  content->body = g_bytes_new_static ("text", 4);
  g_assert (tpd_mail_write_msg (content, original, NULL, sink, &error) == (error == NULL));
  if (error != NULL)
    return;
  written = tpd_sink_to_source (g_steal_pointer (&sink), NULL);
  g_assert (written != NULL);
  headers = tpd_msg_headers (written, NULL);
  g_assert (headers != NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, NULL);
  g_autoptr (GBytes) headers = NULL;
  g_autoptr (TpdSource) item = NULL;
  TpdBudget budget;

  if (cfb == NULL)
    return 0;
  headers = tpd_msg_headers (source, NULL);
  if (headers != NULL)
    g_assert (g_bytes_get_size (headers) <= TPD_MAIL_MAX_HEADERS
              && memchr (g_bytes_get_data (headers, NULL), 0, g_bytes_get_size (headers)) == NULL);
  tpd_budget_init_decode (&budget, size);
  item = tpd_msg_from_storage (cfb, tpd_cfb_root (cfb), &budget, NULL);
  if (item != NULL)
    fuzz_check_source (item);
  check_written (source);
  fuzz_check_document (source, 0);
  return 0;
}
