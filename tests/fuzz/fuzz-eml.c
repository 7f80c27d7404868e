/* SPDX-License-Identifier: Apache-2.0 */
/* Internet messages: their parts, their header block, and the protected mail
 * that one may carry. */
#include <string.h>

#include "base/text.h"
#include "format/eml_head.h"
#include "format/eml_mime.h"
#include "format/format.h"
#include "format/mail.h"
#include "fuzz.h"

#define MAX_PARTS 32

/* What its first bytes tell is true, and so is what a search leaves out. */
static void
check_head (const uint8_t *data, size_t size)
{
  const gsize len = MIN (size, (gsize) TPD_HEAD_SIZE);
  const char *text = (const char *) data;
  g_autofree char *view = g_malloc (size + 1);
  gboolean hinted = tpd_eml_hints (text, size), word = FALSE;
  TpdEmlLead lead;

  if (size >= TPD_PROBE_FIRST && tpd_eml_candidate (data, len, size))
    g_assert (tpd_eml_may_become (data, TPD_PROBE_FIRST));
  for (gsize i = 0; i + 5 <= size && !word; i++)
    word = g_ascii_strncasecmp (text + i, "rpmsg", 5) == 0;
  g_assert (hinted || (!word && !tpd_eml_mentions (text, size, 0)));
  tpd_eml_lead (text, len, &lead);
  g_assert (lead.len <= len);
  for (TpdEmlForm form = TPD_EML_BYTES; form <= TPD_EML_EMLX; form++)
    g_assert (tpd_eml_view (form, data, size, view) <= size);
  (void) tpd_eml_form (data, len);
}

/* The search finds what is at hand in one piece. */
static void
check_search (TpdSource *source, const uint8_t *data, size_t size)
{
  gboolean found = FALSE;

  if (size < TPD_EML_WINDOW && tpd_eml_search (source, 0, &found, NULL))
    g_assert (found == tpd_eml_mentions ((const char *) data, size, 0));
}

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

/* Against another decoder, and in pieces. */
static void
check_base64 (const char *text, gsize len)
{
  const gsize room = len / 4 * 3 + 6;
  g_autofree guint8 *expected = g_malloc (room), *plain = g_malloc (room);
  int other = 0;
  guint save = 0;
  TpdBase64 state = { 0 };
  gsize n = g_base64_decode_step (text, len, expected, &other, &save), done = 0;

  for (gsize at = 0, step = 1; at < len; at += step, step = step % 97 + 1)
    {
      step = MIN (step, len - at);
      done += tpd_base64_step (&state, text + at, step, plain + done);
    }
  g_assert (n == done && memcmp (expected, plain, n) == 0);
  state = (TpdBase64){ 0 };
  g_assert (tpd_base64_step (&state, text, len, plain) == n && memcmp (expected, plain, n) == 0);
}

/* In memory they are where they are in a file. */
static void
check_same (const TpdMimeMessage *a, TpdSource *memory)
{
  g_autoptr (TpdMimeMessage) b = tpd_mime_scan (memory, NULL);

  g_assert (b != NULL && a->parts->len == b->parts->len && a->headers_len == b->headers_len);
  g_assert (a->headers_whole == b->headers_whole && a->is_rpmsg_class == b->is_rpmsg_class);
  for (guint i = 0; i < a->parts->len; i++)
    {
      const TpdMimePart *p = &g_array_index (a->parts, TpdMimePart, i);
      const TpdMimePart *q = &g_array_index (b->parts, TpdMimePart, i);

      g_assert (p->content == q->content && p->end == q->end && p->encoding == q->encoding);
      g_assert (p->is_rpmsg_type == q->is_rpmsg_type && p->is_rpmsg_named == q->is_rpmsg_named);
    }
}

static void
check_parts (TpdSource *source, TpdSource *memory)
{
  g_autoptr (TpdMimeMessage) message = tpd_mime_scan (source, NULL);
  const TpdMimePart *found = NULL;
  TpdBudget budget;

  if (message == NULL)
    return;
  check_same (message, memory);
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
  g_autoptr (TpdSource) memory = fuzz_memory (data, size);

  check_base64 ((const char *) data, size);
  check_headers (data, size);
  check_head (data, size);
  check_search (source, data, size);
  check_parts (source, memory);
  fuzz_check_document (source, 0);
  return 0;
}
