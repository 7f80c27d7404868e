/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cipher mode a body has. The license's mode word stands; it is left
 * only when size law or content speak against it and another mode shows at
 * least 32 bits of agreement that chance does not give: PKCS#7 bytes (8 bits
 * each), the magic of the file type, or text where noise would be. A reading
 * that shares its first bytes with the word's reading (the CBC modes do) gains
 * nothing from them. Servers up to Windows 2012 R2 write the ECB word whatever
 * the truth ([MS-RMPR] 2.2.9.1.13.1), so an ECB reading without any sign of
 * sense counts as one that the content speaks against.
 *
 * The words that an answer may carry, as JSON shows them:
 *
 *   pfile-v2-cbc4k    another word in a pfile of version 2: read as CBC4K
 *   mode-word-swapped the mode word was stored in the other byte order
 *   mode-cbc4k        the word was disproved or unknown, and this mode
 *   mode-cbc4k-nopad    proved from the content
 *   mode-ecb
 *   mode-cbc512
 *   iv-index          CBC4K without padding: this IV rule was proved from the
 *   iv-offset           content, because no public source says which it is
 */
#include "format/mode.h"

#include "base/error.h"
#include "crypto/secret.h"
#include "format/body.h"
#include "format/mode_private.h"

static void
add (GPtrArray *array, const char *text)
{
  g_ptr_array_add (array, g_strdup (text));
}

/* --- Taking a reading ------------------------------------------------- */

static void
take (Case *c, const Reading *reading, TpdProof proof)
{
  TpdModeAnswer *answer = c->answer;

  answer->cipher = tpd_content_cipher_ref (reading->cipher);
  answer->plain_size = reading->plain_size;
  answer->proof = proof;
  if (c->stored != TPD_SIZE_UNKNOWN || reading->mode == TPD_CIPHER_CBC4K || c->size == 0)
    return;
  answer->proof = TPD_PROOF_NONE;
  add (answer->warnings, reading->mode == TPD_CIPHER_ECB
                             ? "The exact size is not stored: up to 15 trailing bytes may be padding."
                             : "The exact size is not stored: trailing bytes up to a whole segment may be padding.");
}

/* The proof that an unpadded reading of known size has without a look at its structure. */
static TpdProof
plain_proof (const Case *c, const Reading *reading)
{
  gboolean odd = c->size == 0 || (reading->magic_missing && reading->head_bits == 0);

  return odd ? TPD_PROOF_NONE : TPD_PROOF_PLAUSIBLE;
}

static const char *
mode_word (TpdCipherMode mode)
{
  switch (mode)
    {
    case TPD_CIPHER_ECB:
      return "mode-ecb";
    case TPD_CIPHER_CBC4K:
      return "mode-cbc4k";
    case TPD_CIPHER_CBC4K_NOPAD:
      return "mode-cbc4k-nopad";
    case TPD_CIPHER_CBC512:
      break;
    }
  return "mode-cbc512";
}

static void
take_instead (Case *c, const Reading *reading, TpdProof proof)
{
  add (c->answer->fallbacks, mode_word (reading->mode));
  take (c, reading, proof);
}

/* --- CBC without padding: which one ----------------------------------- */

/*
 * Takes one of `readings`, which differ in the first 16 bytes of the segments
 * after the first and in nothing else: the only one whose structure proves it.
 */
static gboolean
take_proved (Case *c, const Reading *readings, guint n, gsize segment, const Reading **taken, GError **error)
{
  *taken = NULL;
  for (guint i = 0; i < n; i++)
    {
      TpdCheck check = TPD_CHECK_UNKNOWN;

      if (!reading_check_structure (c, &readings[i], segment, &check, error))
        return FALSE;
      if (check != TPD_CHECK_PROVED)
        continue;
      if (*taken != NULL)
        {
          *taken = NULL;
          break;
        }
      *taken = &readings[i];
    }
  if (*taken != NULL)
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_AMBIGUOUS,
               "The content is encrypted in segments without padding, for which two rules exist, and it does not show"
               " which one was used; name it with -o iv=index or -o iv=offset (tpd: --iv index, --iv offset) and check"
               " the result.");
  return FALSE;
}

/* Whether the one that is left of `allowed` can be taken instead of the word's: the
 * content speaks for it, or the size law against CBC512, which has never been seen. */
static gboolean
is_only_one (Case *c, const Reading *left, guint allowed, GError **error)
{
  const guint all = 1u << TPD_CIPHER_CBC4K_NOPAD | 1u << TPD_CIPHER_CBC512;
  TpdCheck check = TPD_CHECK_UNKNOWN;

  if (c->size <= SHARED_HEAD)
    return TRUE;
  if (!reading_weigh (c, left, &check, error))
    return FALSE;
  if (check == TPD_CHECK_PROVED
      || (check == TPD_CHECK_UNKNOWN && allowed == all && left->mode == TPD_CIPHER_CBC4K_NOPAD))
    return TRUE;
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_AMBIGUOUS,
                       "The content makes no sense in the cipher mode that the license names, and does not speak for"
                       " another one with certainty.");
  return FALSE;
}

/*
 * Chooses among the unpadded CBC modes in `allowed` (bits of 1 << mode) whose
 * size law holds. `*found` stays FALSE when none is left. `instead` of the
 * license's word the content must not speak against the only one left, either.
 */
static gboolean
choose_unpadded (Case *c, guint allowed, gboolean instead, gboolean *found, GError **error)
{
  static const struct {
    TpdCipherMode mode;
    TpdIvRule rule;
  } known[] = {
    { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_INDEX },
    { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_OFFSET },
    { TPD_CIPHER_CBC512, TPD_IV_OFFSET },
  };
  TpdIvChoice iv = c->question->iv;
  Reading readings[G_N_ELEMENTS (known)] = { 0 };
  const Reading *taken = NULL;
  TpdProof proof = TPD_PROOF_PROVEN;
  gsize segment = 0;
  guint n = 0;
  gboolean ok = TRUE;

  for (guint i = 0; ok && i < G_N_ELEMENTS (known); i++)
    {
      gsize own_segment = tpd_cipher_mode_segment (known[i].mode);
      gboolean first_segment_only = c->size <= own_segment;

      if ((allowed & 1u << known[i].mode) == 0)
        continue;
      /* Readings that are the same bytes are one reading. */
      if (n > 0 && first_segment_only)
        continue;
      if (known[i].mode == TPD_CIPHER_CBC4K_NOPAD && !first_segment_only
          && iv == (known[i].rule == TPD_IV_INDEX ? TPD_IV_FORCE_OFFSET : TPD_IV_FORCE_INDEX))
        continue;
      ok = reading_make (c, known[i].mode, known[i].rule, &readings[n], error);
      if (ok && !readings[n].size_broken)
        {
          segment = own_segment;
          n++;
        }
      else
        reading_clear (&readings[n]);
    }
  if (ok && n == 1)
    {
      ok = (!instead || is_only_one (c, &readings[0], allowed, error))
           && reading_look (c, &readings[0], HEAD_MAX, error);
      taken = &readings[0];
      proof = plain_proof (c, taken);
    }
  else if (ok && n > 0)
    ok = take_proved (c, readings, n, segment, &taken, error);
  *found = ok && n > 0;
  if (*found)
    {
      if (instead)
        add (c->answer->fallbacks, mode_word (taken->mode));
      if (n > 1 && taken->mode == TPD_CIPHER_CBC4K_NOPAD)
        add (c->answer->fallbacks,
             tpd_content_cipher_iv_rule (taken->cipher) == TPD_IV_INDEX ? "iv-index" : "iv-offset");
      take (c, taken, proof);
    }
  for (guint i = 0; i < n; i++)
    reading_clear (&readings[i]);
  return ok;
}

/* --- Leaving the word ------------------------------------------------- */

/* Whether the ECB reading that the license names shows no sign of sense. */
static gboolean
is_noise_in_ecb (const Reading *own)
{
  return own != NULL && own->mode == TPD_CIPHER_ECB && own->head_bits == 0;
}

/*
 * Looks for a mode other than that of `own` (NULL: the word is unknown) that
 * the content proves. Fails when the word's reading is noise and another one
 * shows sense, but too little to be taken: either could be wrong.
 */
static gboolean
find_other (Case *c, const Reading *own, gboolean *found, GError **error)
{
  /* Whether the start of a CBC reading can tell anything new. */
  gboolean cbc_head_counts = own == NULL || own->mode == TPD_CIPHER_ECB;
  g_auto (Reading) padded = { 0 };
  g_auto (Reading) ecb = { 0 };
  g_auto (Reading) start = { 0 };

  *found = FALSE;
  if (own == NULL || own->mode != TPD_CIPHER_CBC4K)
    {
      if (!reading_make (c, TPD_CIPHER_CBC4K, TPD_IV_INDEX, &padded, error))
        return FALSE;
      if (!reading_is_broken (&padded) && cbc_head_counts && !reading_look (c, &padded, HEAD_MAX, error))
        return FALSE;
      if (!reading_is_broken (&padded) && padded.padding_bits + padded.head_bits >= PROVED_BITS)
        {
          take_instead (c, &padded, TPD_PROOF_PLAUSIBLE);
          *found = TRUE;
          return TRUE;
        }
      if (padded.padding_bits > 0 && is_noise_in_ecb (own))
        {
          g_set_error_literal (error, TPD_ERROR, TPD_ERROR_AMBIGUOUS,
                               "The license names the cipher mode ECB, in which the content makes no sense; it ends"
                               " like padded CBC4K, but too little so to be certain.");
          return FALSE;
        }
    }
  if (own == NULL || own->mode != TPD_CIPHER_ECB)
    {
      if (!reading_make (c, TPD_CIPHER_ECB, TPD_IV_INDEX, &ecb, error))
        return FALSE;
      if (!ecb.size_broken && !reading_look (c, &ecb, HEAD_MAX, error))
        return FALSE;
      if (!ecb.size_broken && ecb.head_bits >= PROVED_BITS)
        {
          take_instead (c, &ecb, TPD_PROOF_PLAUSIBLE);
          *found = TRUE;
          return TRUE;
        }
    }
  /* Wrong padding alone is damage; and without a size, a body that lost its end would pass. */
  if (!cbc_head_counts && !own->size_broken)
    return TRUE;
  if (own != NULL && c->stored == TPD_SIZE_UNKNOWN && !is_noise_in_ecb (own))
    return TRUE;
  if (!reading_make (c, TPD_CIPHER_CBC512, TPD_IV_OFFSET, &start, error)
      || !reading_look (c, &start, SHARED_HEAD, error))
    return FALSE;
  if (start.head_bits < PROVED_BITS)
    return TRUE;
  if (own != NULL && c->stored == TPD_SIZE_UNKNOWN)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_AMBIGUOUS,
                           "The license names the cipher mode ECB, in which the content makes no sense; it begins as"
                           " in a CBC mode, but its size is not stored, so that nothing shows which one and whether the"
                           " end is missing.");
      return FALSE;
    }
  return choose_unpadded (c, 1u << TPD_CIPHER_CBC4K_NOPAD | 1u << TPD_CIPHER_CBC512, TRUE, found, error);
}

/* --- A word that says CBC512 ------------------------------------------- */

/* Whether structure speaks against CBC4K, too, under both of its rules. */
static gboolean
is_broken_anyway (Case *c, gboolean *broken, GError **error)
{
  static const TpdIvRule rules[] = { TPD_IV_INDEX, TPD_IV_OFFSET };

  *broken = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (rules) && *broken; i++)
    {
      g_auto (Reading) reading = { 0 };
      TpdCheck check;

      if (!reading_make (c, TPD_CIPHER_CBC4K_NOPAD, rules[i], &reading, error)
          || !reading_check_structure (c, &reading, SHARED_HEAD, &check, error))
        return FALSE;
      *broken = check == TPD_CHECK_DISPROVED;
    }
  return TRUE;
}

/*
 * No genuine file in CBC512 has been seen, and its first 512 bytes are those of
 * the other CBC modes: what they show does not speak for this one.
 */
static gboolean
keep_cbc512 (Case *c, const Reading *own, GError **error)
{
  TpdCheck check = TPD_CHECK_UNKNOWN;
  g_auto (Reading) padded = { 0 };
  gboolean found = FALSE, broken = FALSE;

  if (c->size <= SHARED_HEAD)
    return choose_unpadded (c, 1u << own->mode, FALSE, &found, error);
  if (!reading_weigh (c, own, &check, error) || !reading_make (c, TPD_CIPHER_CBC4K, TPD_IV_INDEX, &padded, error)
      || (check == TPD_CHECK_DISPROVED && !is_broken_anyway (c, &broken, error)))
    return FALSE;
  if (check == TPD_CHECK_PROVED)
    {
      take (c, own, TPD_PROOF_PLAUSIBLE);
      return TRUE;
    }
  /* What is broken under all readings tells nothing. */
  if ((check == TPD_CHECK_UNKNOWN || broken) && padded.padding_bits == 0)
    {
      take (c, own, TPD_PROOF_NONE);
      return TRUE;
    }
  if (check == TPD_CHECK_DISPROVED && padded.padding_bits >= PROVED_BITS)
    {
      take_instead (c, &padded, TPD_PROOF_PLAUSIBLE);
      return TRUE;
    }
  if (check == TPD_CHECK_DISPROVED && !choose_unpadded (c, 1u << TPD_CIPHER_CBC4K_NOPAD, TRUE, &found, error))
    return FALSE;
  if (found)
    return TRUE;
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_AMBIGUOUS,
                       "The license names the cipher mode CBC512; beyond the first 512 bytes the content speaks"
                       " against it, and for no other mode with certainty.");
  return FALSE;
}

static gboolean
set_broken_error (const Case *c, const Reading *own, GError **error)
{
  if (own->padding_broken)
    g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                 "The padding at the end of the content is wrong: the file was cut off or altered.");
  else if (c->size == 0)
    g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                 "The file holds no encrypted content, not even for an empty document: it was cut off.");
  else
    g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                 "The %" G_GUINT64_FORMAT " bytes of encrypted content do not fit a document of %" G_GUINT64_FORMAT
                 " bytes in cipher mode %s: the file was cut off or altered.",
                 c->size, c->stored, tpd_cipher_name (own->mode, c->key->key->len));
  return FALSE;
}

/* Whether the content gives reason to look for another mode: few bytes of noise
 * can pass for text. */
static gboolean
is_doubtful (const Reading *own)
{
  return own->mode != TPD_CIPHER_CBC4K && (own->magic_missing || own->head_bits < PROVED_BITS);
}

/* The word's reading stands. */
static gboolean
keep (Case *c, const Reading *own, GError **error)
{
  g_auto (Reading) padded = { 0 };
  gboolean found;

  switch (own->mode)
    {
    case TPD_CIPHER_CBC4K:
      take (c, own, TPD_PROOF_PLAUSIBLE);
      return TRUE;
    case TPD_CIPHER_ECB:
      take (c, own, plain_proof (c, own));
      return TRUE;
    case TPD_CIPHER_CBC512:
      return keep_cbc512 (c, own, error);
    default:
      break;
    }
  /* Padding that is there says which of the two rules it is: that of CBC4K with padding. */
  if (c->stored != TPD_SIZE_UNKNOWN && !reading_make (c, TPD_CIPHER_CBC4K, TPD_IV_INDEX, &padded, error))
    return FALSE;
  if (padded.padding_bits < PROVED_BITS)
    return choose_unpadded (c, 1u << own->mode, FALSE, &found, error);
  take_instead (c, &padded, TPD_PROOF_PLAUSIBLE);
  return TRUE;
}

/* The mode that the license states, as far as it is to be believed. */
static gboolean
stated_mode (Case *c, TpdCipherMode *mode, gboolean *known, GError **error)
{
  guint16 word = c->key->mode_word;

  *known = tpd_cipher_mode_from_word (word, mode);
  if (!*known)
    return TRUE;
  if ((word & 0xff) == 0xff && word != TPD_MODE_WORD_ECB)
    add (c->answer->fallbacks, "mode-word-swapped");
  if (!c->question->force_cbc4k || *mode == TPD_CIPHER_CBC4K)
    return TRUE;
  /* Another word than ECB may be meant: then its padding has to be there. */
  if (*mode != TPD_CIPHER_ECB)
    {
      g_auto (Reading) padded = { 0 };

      if (!reading_make (c, TPD_CIPHER_CBC4K, TPD_IV_INDEX, &padded, error))
        return FALSE;
      if (padded.padding_bits < (c->stored != TPD_SIZE_UNKNOWN ? 1 : PROVED_BITS))
        return TRUE;
    }
  add (c->answer->fallbacks, "pfile-v2-cbc4k");
  *mode = TPD_CIPHER_CBC4K;
  return TRUE;
}

static gboolean
decide (Case *c, GError **error)
{
  TpdCipherMode mode = TPD_CIPHER_ECB;
  gboolean known = FALSE, found = FALSE;
  g_auto (Reading) own = { 0 };

  if (c->size % AES_BLOCK != 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "The encrypted content is %" G_GUINT64_FORMAT
                   " bytes long, not a multiple of 16: the file was cut off or altered.",
                   c->size);
      return FALSE;
    }
  if (!stated_mode (c, &mode, &known, error) || !reading_make (c, mode, TPD_IV_INDEX, &own, error))
    return FALSE;
  /* Nothing that is said to be nothing is nothing, in whatever mode. */
  if (c->size == 0 && c->stored == 0)
    {
      take (c, &own, TPD_PROOF_PLAUSIBLE);
      return TRUE;
    }
  if (known)
    {
      if (c->size == 0)
        return reading_is_broken (&own) ? set_broken_error (c, &own, error) : keep (c, &own, error);
      if (!reading_is_broken (&own) && mode != TPD_CIPHER_CBC4K
          && !reading_look (c, &own, mode == TPD_CIPHER_ECB ? HEAD_MAX : SHARED_HEAD, error))
        return FALSE;
      if (!reading_is_broken (&own) && !is_doubtful (&own))
        return keep (c, &own, error);
    }
  if (!find_other (c, known ? &own : NULL, &found, error))
    return FALSE;
  if (found)
    return TRUE;
  if (!known)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                   "The license names the unknown cipher mode 0x%04x, and the content does not show which mode it is.",
                   c->key->mode_word);
      return FALSE;
    }
  return reading_is_broken (&own) ? set_broken_error (c, &own, error) : keep (c, &own, error);
}

gboolean
tpd_mode_decide (const TpdModeQuestion *question, TpdContentKey *key, TpdModeAnswer *answer, GError **error)
{
  Case c = { question, key, answer, question->stored_size, question->body->size };

  *answer = (TpdModeAnswer){ .fallbacks = g_ptr_array_new_with_free_func (g_free),
                             .warnings = g_ptr_array_new_with_free_func (g_free) };
  if (decide (&c, error))
    return TRUE;
  tpd_mode_answer_clear (answer);
  return FALSE;
}

/* --- The answer ------------------------------------------------------- */

static char **
steal_strv (GPtrArray **array)
{
  GPtrArray *stolen = g_steal_pointer (array);

  if (stolen->len == 0)
    {
      g_ptr_array_unref (stolen);
      return NULL;
    }
  g_ptr_array_add (stolen, NULL);
  return (char **) g_ptr_array_free (stolen, FALSE);
}

TpdDocument *
tpd_mode_answer_to_document (TpdModeAnswer *answer, TpdKind kind, TpdSource *body)
{
  TpdDocument *document = tpd_body_document_new (kind, body, answer->cipher, answer->plain_size);

  document->proof = answer->proof;
  document->fallbacks = steal_strv (&answer->fallbacks);
  document->warnings = steal_strv (&answer->warnings);
  return document;
}

void
tpd_mode_answer_clear (TpdModeAnswer *answer)
{
  g_clear_pointer (&answer->cipher, tpd_content_cipher_unref);
  g_clear_pointer (&answer->fallbacks, g_ptr_array_unref);
  g_clear_pointer (&answer->warnings, g_ptr_array_unref);
}
