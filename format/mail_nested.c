/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protected attachments of a protected mail. Outlook and Exchange protect them
 * under the license of the mail, so that its content key opens them without
 * another unwrap; others have their own license and go the whole way.
 *
 * Whatever is wrong with one attachment is a warning: the attachment then
 * stays as it is, and the mail is still of use.
 */
#include "base/error.h"
#include "format/mail_content.h"
#include "format/names.h"

/* What ends the work on the whole mail. */
static gboolean
is_fatal (const GError *error, const TpdBudget *budget)
{
  if (error->domain != TPD_ERROR)
    return TRUE;
  if (error->code == TPD_ERROR_TOO_LARGE)
    return budget != NULL && budget->max_bytes != 0 && budget->used_bytes > budget->max_bytes;
  /* The agent may be back at the next open, and then the answer is another. */
  return error->code == TPD_ERROR_STALE || error->code == TPD_ERROR_CANCELLED || error->code == TPD_ERROR_AGENT
         || error->code >= TPD_ERROR_ERRNO;
}

static TpdContentKey *
unwrap (GBytes *stored, const TpdOpenOptions *options, GError **error)
{
  g_autoptr (TpdLicense) license =
      tpd_license_parse (g_bytes_get_data (stored, NULL), g_bytes_get_size (stored), error);

  if (license == NULL || tpd_license_match_key (license, options->keyring, error) == NULL)
    return NULL;
  if (options->unwrapper == NULL)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_NO_KEY, "No key agent is there to unwrap a second content key.");
      return NULL;
    }
  return tpd_license_unwrap (license, options->keyring, options->unwrapper, TPD_PURPOSE_READ, NULL, error);
}

static TpdDocument *
open_one (TpdMailContent *content, TpdSource *source, const TpdProbe *probe, GBytes *license, TpdContentKey *key,
          const TpdOpenOptions *options, guint depth, TpdBudget *budget, GError **error)
{
  TpdOpenOptions inner = *options;
  g_autoptr (TpdContentKey) inner_key = NULL;
  g_autoptr (GBytes) stored = NULL;

  /* The form asked for is that of the mail itself, not of its attachments. */
  inner.mail = TPD_MAIL_NATIVE;
  inner.depth = depth;
  if (probe->verdict == TPD_VERDICT_OK)
    {
      stored = tpd_probe_read_license (probe, source, error);
      if (stored == NULL || !tpd_budget_charge (budget, g_bytes_get_size (stored), error))
        return NULL;
      if (g_bytes_equal (stored, license))
        inner_key = tpd_content_key_ref (key);
      else
        {
          content->other_keys = TRUE;
          inner_key = unwrap (stored, options, error);
        }
      if (inner_key == NULL)
        return NULL;
    }
  /* Also gives the error of a probe that found damage. */
  return tpd_document_new (source, probe, NULL, inner_key, &inner, budget, error);
}

/* The name that fits the plaintext. */
static void
rename_plain (TpdMailAttachment *attachment, const TpdProbe *probe)
{
  g_autofree char *old = g_steal_pointer (&attachment->name);

  /* As in a directory: a file whose name tells of no pfile keeps it. */
  if (probe->kind == TPD_KIND_PFILE && tpd_name_fits (old, probe->kind, NULL))
    {
      g_autofree char *name = tpd_name_plain (old, probe->extension, NULL);

      attachment->name = tpd_mail_safe_name (name, "attachment");
    }
  else if (probe->kind == TPD_KIND_RPMSG)
    {
      g_autofree char *name = g_strconcat (old, ".eml", NULL);

      attachment->name = tpd_mail_safe_name (name, "message.eml");
    }
  else
    attachment->name = g_steal_pointer (&old);
}

static void
replace (TpdMailContent *content, TpdMailAttachment *attachment, const TpdProbe *probe, TpdDocument *document)
{
  tpd_mail_content_add_notes (content, attachment->name, document);
  content->proof = MIN (content->proof, document->proof);
  tpd_source_unref (attachment->source);
  attachment->source = tpd_source_new_document (document);
  attachment->nested = TPD_VERDICT_OK;
  rename_plain (attachment, probe);
}

/* A layer that does not open: the attachment stays as it is. */
static void
keep_layer (TpdMailContent *content, TpdMailAttachment *attachment, const GError *why)
{
  attachment->nested = tpd_verdict_from_error (why);
  tpd_mail_content_warn (content, "nested-%s: attachment \"%s\" stays protected: %s",
                         tpd_verdict_word (attachment->nested), attachment->name, why->message);
}

/* Takes protection off until there is none, as deep as is allowed. */
static gboolean
open_attachment (TpdMailContent *content, TpdMailAttachment *attachment, GBytes *license, TpdContentKey *key,
                 const TpdOpenOptions *options, TpdBudget *budget, GError **error)
{
  for (guint depth = options->depth + 1;; depth++)
    {
      g_autoptr (TpdProbe) probe = tpd_probe (attachment->source, NULL);
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GError) own = NULL;

      if (probe->verdict == TPD_VERDICT_NOT_PROTECTED)
        return TRUE;
      if (depth > TPD_MAIL_MAX_DEPTH)
        {
          attachment->nested = TPD_VERDICT_UNSUPPORTED;
          tpd_mail_content_warn (content,
                                 "nested-too-deep: attachment \"%s\" stays protected: it lies more than %d"
                                 " layers deep.",
                                 attachment->name, TPD_MAIL_MAX_DEPTH);
          return TRUE;
        }
      document = open_one (content, attachment->source, probe, license, key, options, depth, budget, &own);
      if (document != NULL)
        {
          replace (content, attachment, probe, document);
          continue;
        }
      if (!is_fatal (own, budget))
        {
          keep_layer (content, attachment, own);
          return TRUE;
        }
      g_propagate_error (error, g_steal_pointer (&own));
      return FALSE;
    }
}

gboolean
tpd_mail_open_nested (TpdMailContent *content, GBytes *license, TpdContentKey *key, const TpdOpenOptions *options,
                      TpdBudget *budget, GError **error)
{
  for (guint i = 0; i < content->attachments->len; i++)
    if (!open_attachment (content, g_ptr_array_index (content->attachments, i), license, key, options, budget, error))
      return FALSE;
  tpd_mail_name_attachments (content);
  return TRUE;
}
