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

static TpdDocument *
open_layer (TpdSource *source, const TpdProbe *probe, TpdLicense *license, TpdContentKey *content_key,
            const TpdOpenOptions *options, TpdBudget *budget, GError **error)
{
  TpdDocument *document;

  if (probe->verdict != TPD_VERDICT_OK || probe->format == NULL)
    {
      set_probe_error (probe, error);
      return NULL;
    }
  document = probe->format->open (source, probe, content_key, options, budget, error);
  if (document != NULL && license != NULL)
    document->license = tpd_license_ref (license);
  return document;
}

/* The license in the file and its content key; both (transfer full). */
static gboolean
read_key (TpdSource *source, const TpdProbe *probe, const TpdKeyring *keyring, TpdUnwrapper *unwrapper,
          TpdLicense **license, TpdContentKey **content_key, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;

  if (probe->verdict != TPD_VERDICT_OK || probe->format == NULL)
    {
      set_probe_error (probe, error);
      return FALSE;
    }
  bytes = tpd_probe_read_license (probe, source, error);
  if (bytes == NULL)
    return FALSE;
  *license = tpd_license_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
  if (*license == NULL)
    return FALSE;
  *content_key = tpd_license_unwrap (*license, keyring, unwrapper, TPD_PURPOSE_READ, NULL, error);
  return *content_key != NULL;
}

/* --- Protected inside protected --------------------------------------- */

static TpdDocument *
open_inner (TpdSource *source, const TpdProbe *probe, const TpdOpenOptions *options, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdLicense) license = NULL;
  g_autoptr (TpdContentKey) content_key = NULL;

  if (options->keyring == NULL || options->unwrapper == NULL)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_NO_KEY, "No keys are loaded.");
      return NULL;
    }
  if (!read_key (source, probe, options->keyring, options->unwrapper, &license, &content_key, error))
    return NULL;
  return open_layer (source, probe, license, content_key, options, budget, error);
}

/* What is not about the bytes of one layer ends the work on the whole file:
 * the next time the answer may be another. */
static gboolean
is_fatal (const GError *error, const TpdBudget *budget)
{
  if (g_error_matches (error, TPD_ERROR, TPD_ERROR_TOO_LARGE))
    return budget->max_bytes != 0 && budget->used_bytes > budget->max_bytes;
  return tpd_verdict_from_error (error) == TPD_VERDICT_IO_ERROR;
}

static void
append_words (GStrvBuilder *builder, char **words)
{
  if (words != NULL)
    g_strv_builder_addv (builder, (const char **) words);
}

static char **
join_words (char **first, char **second, const char *last)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  append_words (builder, first);
  append_words (builder, second);
  if (last != NULL)
    g_strv_builder_add (builder, last);
  return g_strv_builder_end (builder);
}

/* `inner` goes on in the place of `outer`, which it reads from. */
static void
take_over (TpdDocument *inner, const TpdDocument *outer)
{
  g_auto (GStrv) warnings = inner->warnings;
  g_auto (GStrv) fallbacks = inner->fallbacks;

  inner->warnings = join_words (outer->warnings, warnings, NULL);
  inner->fallbacks = join_words (outer->fallbacks, fallbacks, NULL);
  inner->kind = outer->kind;
  inner->cipher = outer->cipher;
  inner->proof = MIN (inner->proof, outer->proof);
  inner->memory_size += outer->memory_size;
  g_clear_pointer (&inner->license, tpd_license_unref);
  if (outer->license != NULL)
    inner->license = tpd_license_ref (outer->license);
}

static void
warn_layer (TpdDocument *document, const GError *why)
{
  g_auto (GStrv) before = document->warnings;
  g_autofree char *sentence = g_strdup_printf ("nested-%s: the plaintext is protected once more, and stays so: %s",
                                               tpd_verdict_word (tpd_verdict_from_error (why)), why->message);

  document->warnings = join_words (before, NULL, sentence);
}

/* Removes options->nested more layers; takes `document`. (transfer full) */
static TpdDocument *
remove_layers (TpdDocument *document, const TpdOpenOptions *options, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdDocument) outer = document;
  TpdOpenOptions inner_options = *options;

  inner_options.nested = 0;
  for (guint left = MIN (options->nested, TPD_MAX_NESTED); left > 0; left--)
    {
      g_autoptr (TpdSource) plain = tpd_source_new_document (outer);
      g_autoptr (TpdProbe) probe = tpd_probe (plain, NULL);
      g_autoptr (GError) why = NULL;
      TpdDocument *inner;

      if (probe->verdict == TPD_VERDICT_NOT_PROTECTED
          || (options->mail == TPD_MAIL_SOURCE && tpd_kind_is_mail (probe->kind)))
        break;
      inner = open_inner (plain, probe, &inner_options, budget, &why);
      if (inner == NULL && is_fatal (why, budget))
        {
          g_propagate_error (error, g_steal_pointer (&why));
          return NULL;
        }
      if (inner == NULL)
        {
          warn_layer (outer, why);
          break;
        }
      take_over (inner, outer);
      tpd_document_unref (outer);
      outer = inner;
    }
  return g_steal_pointer (&outer);
}

/* --- Opening ---------------------------------------------------------- */

TpdDocument *
tpd_document_new (TpdSource *source, const TpdProbe *probe, TpdLicense *license, TpdContentKey *content_key,
                  const TpdOpenOptions *options, TpdBudget *budget, GError **error)
{
  static const TpdOpenOptions defaults = { TPD_IV_AUTO };
  TpdBudget own;
  TpdDocument *document;

  if (options == NULL)
    options = &defaults;
  if (budget == NULL)
    {
      tpd_budget_init_decode (&own, source->size);
      budget = &own;
    }
  document = open_layer (source, probe, license, content_key, options, budget, error);
  /* The attachments of mail are peeled by the mail. */
  if (document == NULL || options->nested == 0 || options->depth > 0)
    return document;
  return remove_layers (document, options, budget, error);
}

TpdDocument *
tpd_document_open (TpdSource *source, const TpdProbe *probe, const TpdKeyring *keyring, TpdUnwrapper *unwrapper,
                   const TpdOpenOptions *options, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdLicense) license = NULL;
  g_autoptr (TpdContentKey) content_key = NULL;
  TpdOpenOptions inner = { TPD_IV_AUTO };

  if (!read_key (source, probe, keyring, unwrapper, &license, &content_key, error))
    return NULL;
  if (options != NULL)
    inner = *options;
  inner.keyring = keyring;
  inner.unwrapper = unwrapper;
  return tpd_document_new (source, probe, license, content_key, &inner, budget, error);
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
