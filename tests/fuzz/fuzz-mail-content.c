/* SPDX-License-Identifier: Apache-2.0 */
/* The mail in a message.rpmsg, once decrypted: bodies, attachments, protected
 * ones among them, and what the two writers make of it. */
#include <string.h>

#include "format/mail_content.h"
#include "fuzz.h"

static void
check_attachment (const TpdMailAttachment *attachment)
{
  g_assert (attachment->name != NULL && attachment->source != NULL);
  g_assert (g_utf8_validate (attachment->name, -1, NULL) && strlen (attachment->name) <= TPD_MAIL_NAME_MAX);
  g_assert (attachment->name[0] != '\0' && strpbrk (attachment->name, "/\\\n\r") == NULL);
  g_assert (strcmp (attachment->name, ".") != 0 && strcmp (attachment->name, "..") != 0);
  if (attachment->long_name != NULL)
    g_assert (g_utf8_validate (attachment->long_name, -1, NULL));
  fuzz_check_source (attachment->source);
}

static GBytes *
write_mail (const TpdMailContent *content, gboolean msg, TpdBudget *budget)
{
  static const char fields[] = "From: A <a@contoso.example>\r\nTo: b@contoso.example\r\nSubject: x\r\n"
                               "Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nContent-Type: text/plain\r\n";
  g_autoptr (GBytes) block = g_bytes_new_static (fields, sizeof fields - 1);
  g_autoptr (TpdMailHeaders) headers = tpd_mail_headers_parse (block);
  g_autoptr (TpdSink) sink = tpd_sink_new (budget, NULL);
  g_autoptr (TpdSource) written = NULL;
  g_autoptr (GError) error = NULL;

  g_assert (sink != NULL);
  if (!(msg ? tpd_mail_write_msg (content, NULL, headers, sink, &error)
            : tpd_mail_write_eml (content, block, sink, &error)))
    {
      g_assert (error != NULL);
      return NULL;
    }
  written = tpd_sink_to_source (g_steal_pointer (&sink), NULL);
  g_assert (written != NULL);
  return tpd_source_read_bytes (written, 0, (gsize) written->size, NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);
  g_autoptr (TpdMailContent) content = tpd_mail_content_new ();
  g_autoptr (TpdSecret) secret = tpd_secret_new (NULL, 16);
  g_autoptr (GBytes) license = g_bytes_new_static ("", 0);
  TpdContentKey key = { .key = secret, .mode_word = TPD_MODE_WORD_ECB, .size_word = 16, .ref_count = 1 };
  TpdOpenOptions options = { TPD_IV_AUTO };
  TpdBudget budget;
  g_autoptr (GError) error = NULL;

  tpd_budget_init_decode (&budget, size);
  if (!tpd_mail_content_read (content, source, &budget, &error))
    {
      g_assert (error != NULL);
      return 0;
    }
  for (gboolean opened = FALSE;; opened = TRUE)
    {
      for (guint i = 0; i < content->attachments->len; i++)
        check_attachment (g_ptr_array_index (content->attachments, i));
      if (opened || !tpd_mail_open_nested (content, license, &key, &options, &budget, NULL))
        break;
    }
  for (int msg = 0; msg <= 1; msg++)
    {
      g_autoptr (GBytes) first = write_mail (content, msg, &budget);
      g_autoptr (GBytes) second = write_mail (content, msg, &budget);

      if (first != NULL && second != NULL)
        g_assert (g_bytes_equal (first, second));
    }
  return 0;
}
