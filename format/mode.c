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

/* The bytes that a document of the stored size needs in ECB; all modes need them. */
static guint64
needed (const Case *c)
{
  return tpd_cipher_mode_body_size (TPD_CIPHER_ECB, c->stored, FALSE);
}

void
mode_take (Case *c, const Reading *reading, TpdProof proof)
{
  TpdModeAnswer *answer = c->answer;

  answer->cipher = tpd_content_cipher_ref (reading->cipher);
  answer->plain_size = reading->plain_size;
  answer->proof = proof;
  if (reading->longer
      || (c->size < c->question->body->size && !tpd_mode_size_fits (reading->mode, c->stored, c->question->body->size)))
    g_ptr_array_add (answer->warnings, g_strdup_printf ("The content is %" G_GUINT64_FORMAT
                                                        " bytes longer than its size needs; they are left out.",
                                                        c->question->body->size - needed (c)));
  if (c->stored != TPD_SIZE_UNKNOWN || reading->mode == TPD_CIPHER_CBC4K || c->size == 0)
    return;
  answer->proof = TPD_PROOF_NONE;
  add (answer->warnings, reading->mode == TPD_CIPHER_ECB
                             ? "The exact size is not stored: up to 15 trailing bytes may be padding."
                             : "The exact size is not stored: trailing bytes up to a whole segment may be padding.");
}

TpdProof
mode_plain_proof (const Case *c, const Reading *reading)
{
  if (c->size == 0)
    return TPD_PROOF_NONE;
  return reading->plain_size == 0 || reading->head_bits >= PLAUSIBLE_BITS ? TPD_PROOF_PLAUSIBLE : TPD_PROOF_NONE;
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

void
mode_take_instead (Case *c, const Reading *reading, TpdProof proof)
{
  add (c->answer->fallbacks, mode_word (reading->mode));
  mode_take (c, reading, proof);
}

/* --- Leaving the word ------------------------------------------------- */

/* Whether the ECB reading that the license names shows no sign of sense. */
static gboolean
is_noise_in_ecb (const Reading *own)
{
  return own != NULL && own->mode == TPD_CIPHER_ECB && own->head_bits < PLAUSIBLE_BITS;
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
          mode_take_instead (c, &padded, TPD_PROOF_PLAUSIBLE);
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
      if ((!ecb.size_broken || ecb.longer) && !reading_look (c, &ecb, HEAD_MAX, error))
        return FALSE;
      if (ecb.head_bits >= PROVED_BITS)
        {
          mode_take_instead (c, &ecb, TPD_PROOF_PLAUSIBLE);
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
  return mode_choose_cbc (c, TRUE, found, error);
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
 * can pass for text, and one for padding. */
static gboolean
is_doubtful (const Reading *own)
{
  if (own->mode == TPD_CIPHER_CBC4K)
    return own->padding_bits + own->head_bits < PROVED_BITS;
  return own->magic_missing || own->head_bits < PROVED_BITS;
}

/* The word's reading stands. */
static gboolean
keep (Case *c, const Reading *own, GError **error)
{
  switch (own->mode)
    {
    case TPD_CIPHER_CBC4K:
      mode_take (c, own, TPD_PROOF_PLAUSIBLE);
      return TRUE;
    case TPD_CIPHER_ECB:
      mode_take (c, own, mode_plain_proof (c, own));
      return TRUE;
    case TPD_CIPHER_CBC512:
      return mode_keep_cbc512 (c, own, error);
    case TPD_CIPHER_CBC4K_NOPAD:
      break;
    }
  return mode_keep_nopad (c, own, error);
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
      mode_take (c, &own, TPD_PROOF_PLAUSIBLE);
      return TRUE;
    }
  if (known)
    {
      if (c->size == 0)
        return reading_is_broken (&own) ? set_broken_error (c, &own, error) : keep (c, &own, error);
      if ((!reading_is_broken (&own) || own.longer) && own.padding_bits < PROVED_BITS
          && !reading_look (c, &own, mode == TPD_CIPHER_ECB ? HEAD_MAX : SHARED_HEAD, error))
        return FALSE;
      /* Blocks of ECB stand for themselves, and the stored size says where the document ends. */
      if ((!reading_is_broken (&own) || own.longer) && !is_doubtful (&own))
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

/* Whether the body has a size that a mode needs all of; CBC512 need not be filled up,
 * and has never been seen. */
static gboolean
is_usual (const Case *c)
{
  return tpd_mode_size_fits (TPD_CIPHER_ECB, c->stored, c->size)
         || tpd_mode_size_fits (TPD_CIPHER_CBC4K, c->stored, c->size)
         || tpd_mode_size_fits (TPD_CIPHER_CBC4K_NOPAD, c->stored, c->size);
}

gboolean
tpd_mode_decide (const TpdModeQuestion *question, TpdContentKey *key, TpdModeAnswer *answer, GError **error)
{
  Case c = { question, key, answer, question->stored_size, question->body->size };

  if (question->maybe_longer && c.stored <= c.size && (c.stored == 0 || !is_usual (&c)))
    c.size = needed (&c);
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
