/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fs/hinted.h. Rows are made by tpd scan, which opens with the default
 * options: mail in its own form, no inner layers, chaining proved. What depends
 * on others cannot be told from a row. Each branch here has its counterpart in
 * fs/look.c, which is what would be done without the index.
 */
#include "fs/hinted.h"

#include <string.h>

/* More than decoding may give from a file (DESIGN: the budget of decoding). */
#define MAX_GROWTH 64
#define MAX_GROWTH_MORE (G_GUINT64_CONSTANT (64) << 20)

/* Its container is sound, as far as can be seen without opening it. */
static gboolean
is_sealed (const TpdIndexHint *hint)
{
  return hint->verdict == TPD_VERDICT_NO_KEY || hint->opened;
}

static gboolean
decodes (const TpdFsOptions *options, const TpdIndexHint *hint)
{
  return options->nested > 0 || hint->kind == TPD_KIND_PDF || tpd_kind_is_mail ((TpdKind) hint->kind);
}

/* It was opened as this mount would open it. */
static gboolean
is_opened_alike (const TpdFsOptions *options, const TpdIndexHint *hint)
{
  return hint->opened && options->iv == TPD_IV_AUTO && options->nested == 0
         && (!tpd_kind_is_mail ((TpdKind) hint->kind) || options->mail == TPD_MAIL_NATIVE);
}

static gboolean
size_makes_sense (const TpdIndexHint *hint)
{
  if (!hint->exact || hint->plain_size > G_MAXINT64)
    return FALSE;
  return hint->plain_size <= MAX_GROWTH_MORE || (hint->plain_size - MAX_GROWTH_MORE) / MAX_GROWTH <= hint->size;
}

/* Decoding holds about four copies, and may hold four times the budget: what
 * comes close to that has to be tried. */
static gboolean
fits_budget (const TpdFsOptions *options, const TpdIndexHint *hint)
{
  return hint->plain_size <= options->decode_budget / 4 && hint->size <= options->decode_budget / 4;
}

static gboolean
opens (TpdFacts *facts, TpdVerdict verdict, const TpdIndexHint *hint)
{
  facts->verdict = (guint8) verdict;
  facts->size = hint->plain_size;
  return size_makes_sense (hint);
}

/* What opening it gave. Of a failure only that of opening itself: a scan may
 * have read all of it, and found damage that opening does not see. */
static gboolean
facts_of_opening (const TpdFsOptions *options, const TpdIndexHint *hint, TpdFacts *facts)
{
  switch ((TpdVerdict) hint->verdict)
    {
    case TPD_VERDICT_OK:
      if (decodes (options, hint) && !fits_budget (options, hint))
        return FALSE;
      return opens (facts, TPD_VERDICT_OK, hint);
    case TPD_VERDICT_DAMAGED:
    case TPD_VERDICT_AMBIGUOUS:
    case TPD_VERDICT_UNSUPPORTED:
    case TPD_VERDICT_DOUBLE_KEY:
      facts->verdict = hint->verdict;
      return !hint->exact && !hint->checked;
    default:
      return FALSE;
    }
}

gboolean
tpd_hinted_facts (const TpdFsOptions *options, const TpdIndexHint *hint, const TpdStamp *stamp, TpdFacts *facts)
{
  const gboolean left = options->mail == TPD_MAIL_SOURCE && tpd_kind_is_mail ((TpdKind) hint->kind);

  *facts = (TpdFacts){
    .size = stamp->size,
    .known = TRUE,
    .hinted = TRUE,
    .kind = hint->kind,
    .verdict = hint->verdict,
  };
  if (hint->verdict == TPD_VERDICT_NOT_PROTECTED)
    {
      /* An archive with protected members is a plain file here. */
      if (hint->kind == TPD_KIND_ZIP)
        facts->kind = TPD_KIND_PLAIN;
      return !hint->opened;
    }
  if (hint->kind == TPD_KIND_ZIP)
    return FALSE;
  if (!is_sealed (hint))
    return hint->kind != TPD_KIND_PLAIN && hint->verdict != TPD_VERDICT_OK && !left;
  if (left)
    {
      facts->verdict = TPD_VERDICT_OK;
      return TRUE;
    }
  if (!hint->held)
    {
      facts->verdict = TPD_VERDICT_NO_KEY;
      return TRUE;
    }
  if (hint->other_keys)
    return FALSE;
  if (hint->size_class == TPD_SIZE_EXACT && options->nested == 0 && options->unreadable == TPD_UNREADABLE_DENY)
    return opens (facts, TPD_VERDICT_KEY_HELD, hint);
  return is_opened_alike (options, hint) && facts_of_opening (options, hint, facts);
}

gboolean
tpd_hinted_name (const TpdFsOptions *options, const TpdIndexHint *hint, const TpdStamp *stamp, const char *name,
                 gboolean *plain)
{
  TpdFacts facts;

  *plain = tpd_name_fits (name, (TpdKind) hint->kind, &options->name_rules);
  if (!*plain || options->unreadable == TPD_UNREADABLE_DENY)
    return TRUE;
  /* With unreadable=raw only what opens. */
  if (is_sealed (hint) && hint->held && hint->other_keys)
    return FALSE;
  if (!is_sealed (hint) || decodes (options, hint))
    {
      *plain = is_sealed (hint) && hint->held;
      return TRUE;
    }
  if (!tpd_hinted_facts (options, hint, stamp, &facts))
    return FALSE;
  *plain = facts.verdict == TPD_VERDICT_OK || facts.verdict == TPD_VERDICT_KEY_HELD;
  return TRUE;
}
