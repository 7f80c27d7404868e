/* SPDX-License-Identifier: Apache-2.0 */
/* Internet messages: their parts, their header block, and the protected mail
 * that one may carry. */
#include "format/eml_mime.h"
#include "format/mail.h"
#include "fuzz.h"

#define MAX_PARTS 32

static void
check_headers (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) block = g_bytes_new (data, size);
  g_autoptr (TpdMailHeaders) headers = tpd_mail_headers_parse (block);
  const char *const texts[] = { headers->subject, headers->message_id, headers->in_reply_to, headers->references };

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_assert (texts[i] == NULL || g_utf8_validate (texts[i], -1, NULL));
  for (guint i = 0; i < headers->to->len; i++)
    {
      const TpdMailAddress *address = g_ptr_array_index (headers->to, i);

      g_assert (address->address != NULL && g_utf8_validate (address->address, -1, NULL));
    }
}

static void
check_parts (TpdSource *source)
{
  g_autoptr (TpdMimeMessage) message = tpd_mime_scan (source, NULL);
  const TpdMimePart *found = NULL;
  TpdBudget budget;

  if (message == NULL)
    return;
  g_assert (message->headers_len <= source->size);
  tpd_budget_init_decode (&budget, source->size);
  for (guint i = 0; i < message->parts->len; i++)
    {
      const TpdMimePart *part = &g_array_index (message->parts, TpdMimePart, i);
      g_autoptr (TpdSource) decoded = NULL;

      g_assert (part->content <= part->end && part->end <= source->size);
      if (i >= MAX_PARTS)
        continue;
      decoded = tpd_mime_decode (source, part, &budget, NULL);
      if (decoded != NULL)
        fuzz_check_source (decoded);
    }
  (void) tpd_mime_find_rpmsg (source, message, &found, NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);

  check_headers (data, size);
  check_parts (source);
  fuzz_check_document (source, 0);
  return 0;
}
