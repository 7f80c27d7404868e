/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probing: what a file is, without a key. Most files of a share are plain, so
 * stage 1 is one read of the head onto the stack and a comparison of magics;
 * only candidates pay for stage 2, which runs under a budget.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "format/archive_magic.h"
#include "format/eml_head.h"
#include "format/format.h"
#include "format/package.h"

static const TpdFormat *const formats[] = {
  &tpd_format_pfile, &tpd_format_office, &tpd_format_rpmsg, &tpd_format_eml, &tpd_format_msg, &tpd_format_pdf,
};

const char *
tpd_kind_word (TpdKind kind)
{
  static const char *const words[] = {
    [TPD_KIND_PLAIN] = "plain", [TPD_KIND_PFILE] = "pfile", [TPD_KIND_OOXML] = "ooxml", [TPD_KIND_OLE] = "ole",
    [TPD_KIND_XPS] = "xps",     [TPD_KIND_RPMSG] = "rpmsg", [TPD_KIND_MSG] = "msg",     [TPD_KIND_EML] = "eml",
    [TPD_KIND_PDF] = "pdf",     [TPD_KIND_ZIP] = "zip",
  };

  g_return_val_if_fail ((guint) kind < G_N_ELEMENTS (words), "plain");
  return words[kind];
}

gboolean
tpd_kind_is_mail (TpdKind kind)
{
  return kind == TPD_KIND_RPMSG || kind == TPD_KIND_MSG || kind == TPD_KIND_EML;
}

TpdSizeClass
tpd_probe_size_class (const TpdProbe *probe, const TpdOpenOptions *options)
{
  if (probe->size_class == TPD_SIZE_EXACT && options != NULL && options->nested > 0)
    return TPD_SIZE_NEEDS_KEY;
  return probe->size_class;
}

gboolean
tpd_probe_decodes (const TpdProbe *probe, const TpdOpenOptions *options)
{
  /* PDF tells its size, but strings and streams lie all over the file. What
   * lies inside a protected file is known only when it is open. */
  return probe->size_class == TPD_SIZE_NEEDS_DECODING || probe->kind == TPD_KIND_PDF
         || (options != NULL && options->nested > 0);
}

const char *
tpd_proof_word (TpdProof proof)
{
  static const char *const words[] = {
    [TPD_PROOF_NONE] = "none",
    [TPD_PROOF_PLAUSIBLE] = "plausible",
    [TPD_PROOF_PROVEN] = "proven",
  };

  g_return_val_if_fail ((guint) proof < G_N_ELEMENTS (words), "none");
  return words[proof];
}

void
tpd_probe_fail (TpdProbe *probe, TpdVerdict verdict, const char *format, ...)
{
  va_list args;

  g_free (probe->message);
  va_start (args, format);
  probe->message = g_strdup_vprintf (format, args);
  va_end (args);
  probe->verdict = verdict;
}

void
tpd_probe_fail_error (TpdProbe *probe, const GError *error)
{
  tpd_probe_fail (probe, tpd_verdict_from_error (error), "%s", error->message);
  if (probe->verdict != TPD_VERDICT_IO_ERROR)
    return;
  if (g_error_matches (error, TPD_ERROR, TPD_ERROR_STALE))
    probe->io_errno = ESTALE;
  else if (g_error_matches (error, TPD_ERROR, TPD_ERROR_CANCELLED))
    probe->io_errno = EINTR;
  else
    probe->io_errno = tpd_error_get_errno (error);
}

void
tpd_probe_warn (TpdProbe *probe, const char *sentence)
{
  guint n = probe->warnings != NULL ? g_strv_length (probe->warnings) : 0;

  probe->warnings = g_renew (char *, probe->warnings, n + 2);
  probe->warnings[n] = g_strdup (sentence);
  probe->warnings[n + 1] = NULL;
}

void
tpd_probe_tell_carried (TpdProbe *probe, const char *sentence)
{
  probe->carries_mail = TRUE;
  tpd_probe_warn (probe, sentence != NULL ? sentence
                                          : "The mail is not protected itself, but one that is lies in it and stays as"
                                            " it is: save that (message.rpmsg) with a mail program, and open it by"
                                            " itself.");
}

/* The first bytes of the file: all there are, or TPD_HEAD_SIZE. */
static gboolean
read_head (TpdSource *source, TpdBudget *budget, guint8 head[TPD_HEAD_SIZE], gsize *len, GError **error)
{
  gsize wanted = (gsize) MIN (source->size, (guint64) TPD_HEAD_SIZE);
  gssize n = 0;

  if (budget != NULL)
    {
      if (g_atomic_int_get (&budget->cancelled) != 0)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_CANCELLED, "The work was cancelled.");
          return FALSE;
        }
      g_atomic_int_inc (&budget->used_reads);
    }
  if (wanted > 0)
    n = tpd_source_pread (source, head, wanted, 0, error);
  if (n < 0)
    return FALSE;
  /* A head that is cut short could hide a magic: never call that plain. */
  if ((gsize) n < wanted)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_STALE,
                   "The file became shorter while it was read; look again when nobody writes to it.");
      return FALSE;
    }
  *len = wanted;
  return TRUE;
}

gboolean
tpd_probe_starts_plain (const guint8 *head, gsize len, guint64 size)
{
  const gboolean cut = len < MIN (size, (guint64) TPD_HEAD_SIZE);

  g_return_val_if_fail (!cut || len >= TPD_PROBE_FIRST, FALSE);

  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      const TpdFormat *format = formats[i];

      if (cut && format->may_become != NULL ? format->may_become (head, len) : format->candidate (head, len, size))
        return FALSE;
    }
  return TRUE;
}

gboolean
tpd_probe_starts_plain_fd (int fd, guint64 size, guint8 head[TPD_PROBE_FIRST], gsize *len)
{
  *len = (gsize) MIN (size, (guint64) TPD_PROBE_FIRST);
  return pread (fd, head, *len, 0) == (gssize) *len && tpd_probe_starts_plain (head, *len, size);
}

static void
probe_candidate (const TpdFormat *format, TpdSource *source, TpdBudget *budget, const guint8 *head, gsize len,
                 TpdProbe *probe)
{
  TpdBudget own;
  g_autoptr (TpdSource) budgeted = NULL;

  if (budget == NULL)
    {
      tpd_budget_init_probe (&own);
      own.used_reads = 1;
      budget = &own;
    }
  budgeted = tpd_source_new_budgeted (source, budget);
  format->probe (budgeted, head, len, probe);
  if (probe->kind != TPD_KIND_PLAIN)
    probe->format = format;
}

TpdProbe *
tpd_probe (TpdSource *source, TpdBudget *budget)
{
  guint8 head[TPD_HEAD_SIZE];
  gsize len = 0;
  TpdProbe *probe = g_new0 (TpdProbe, 1);
  g_autoptr (GError) error = NULL;

  probe->kind = TPD_KIND_PLAIN;
  probe->verdict = TPD_VERDICT_NOT_PROTECTED;
  if (!read_head (source, budget, head, &len, &error))
    {
      tpd_probe_fail_error (probe, error);
      return probe;
    }
  memcpy (probe->head, head, MIN (len, sizeof probe->head));
  probe->package = tpd_package_starts (head, len);
  probe->archive = tpd_archive_starts (head, len);
  probe->mbox = tpd_eml_is_mbox ((const char *) head, len);
  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      if (!formats[i]->candidate (head, len, source->size))
        continue;
      probe_candidate (formats[i], source, budget, head, len, probe);
      if (probe->kind != TPD_KIND_PLAIN || probe->verdict != TPD_VERDICT_NOT_PROTECTED)
        break;
    }
  return probe;
}

void
tpd_probe_free (TpdProbe *probe)
{
  if (probe == NULL)
    return;
  if (probe->layout != NULL && probe->format != NULL)
    probe->format->free_layout (probe->layout);
  g_free (probe->message);
  g_free (probe->extension);
  g_free (probe->metadata);
  g_strfreev (probe->warnings);
  g_free (probe);
}

GBytes *
tpd_probe_read_license (const TpdProbe *probe, TpdSource *source, GError **error)
{
  g_return_val_if_fail (probe->verdict == TPD_VERDICT_OK && probe->format != NULL, NULL);

  return probe->format->read_license (probe, source, error);
}
