/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CBC without padding: which of three readings it is, CBC4K under either of its
 * two rules or CBC512. They have the first 512 bytes in common, the two of CBC4K
 * the first 4096, so that what a document shows there speaks for none of them.
 * Beyond that they differ in the first 16 bytes of each segment: a reading is
 * proved by what the content shows in these places (format/proof.h), and disproved
 * when its structure is broken there or another reading is proved.
 *
 * Each question has its own places. CBC512 and the rule of the offset agree at
 * the start of each 4096 bytes, so these tell the rules apart and the others tell
 * CBC4K from CBC512; where the rule of the index is proved, CBC512 is out, too.
 */
#include "base/error.h"
#include "format/mode_private.h"

/* The readings in CBC4K without padding that size law and options leave. */
typedef struct {
  Reading readings[2];
  guint n;
  const Reading *taken; /* the one that is left or whose rule is proved; NULL: neither */
  gboolean rule_proved;
} Nopad;

static void
nopad_clear (Nopad *self)
{
  for (guint i = 0; i < self->n; i++)
    reading_clear (&self->readings[i]);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Nopad, nopad_clear)

/* --- CBC4K: which rule -------------------------------------------------- */

static gboolean
add_rule (Case *c, Nopad *self, TpdIvRule rule, GError **error)
{
  Reading *reading = &self->readings[self->n];

  if (!reading_make (c, TPD_CIPHER_CBC4K_NOPAD, rule, reading, error))
    return FALSE;
  if (!reading->size_broken)
    self->n++;
  else
    reading_clear (reading);
  return TRUE;
}

/* Makes the readings; under two rules the only one whose content proves it is taken. */
static gboolean
nopad_init (Case *c, Nopad *self, GError **error)
{
  const gsize segment = tpd_cipher_mode_segment (TPD_CIPHER_CBC4K_NOPAD);
  TpdIvChoice iv = c->question->iv;
  guint proved = 0;

  if ((iv != TPD_IV_FORCE_OFFSET || c->size <= segment) && !add_rule (c, self, TPD_IV_INDEX, error))
    return FALSE;
  if (iv != TPD_IV_FORCE_INDEX && c->size > segment && !add_rule (c, self, TPD_IV_OFFSET, error))
    return FALSE;
  if (self->n == 1 && c->size <= segment)
    {
      self->taken = &self->readings[0];
      return TRUE;
    }
  for (guint i = 0; i < self->n; i++)
    {
      TpdCheck check;

      if (!reading_check_structure (c, &self->readings[i], segment, &check, error))
        return FALSE;
      if (check != TPD_CHECK_PROVED)
        continue;
      self->taken = &self->readings[i];
      proved++;
    }
  self->rule_proved = proved == 1;
  if (!self->rule_proved)
    self->taken = self->n == 1 ? &self->readings[0] : NULL; /* by hand */
  return TRUE;
}

/* The rule was named by hand, and nothing shows that it is the right one. */
static gboolean
is_guess (const Case *c, const Nopad *self)
{
  return c->size > tpd_cipher_mode_segment (TPD_CIPHER_CBC4K_NOPAD) && !self->rule_proved;
}

static const char *
rule_word (const Reading *reading)
{
  return tpd_content_cipher_iv_rule (reading->cipher) == TPD_IV_INDEX ? "iv-index" : "iv-offset";
}

/* Takes the reading, with the word for a rule that was found out. */
static void
take_nopad (Case *c, const Nopad *self, gboolean instead, TpdProof proof)
{
  if (instead)
    mode_take_instead (c, self->taken, proof);
  else
    mode_take (c, self->taken, proof);
  if (self->n > 1)
    g_ptr_array_add (c->answer->fallbacks, g_strdup (rule_word (self->taken)));
}

/* --- CBC4K or CBC512 ---------------------------------------------------- */

static gboolean
size_fits_cbc512 (const Case *c)
{
  return c->stored == TPD_SIZE_UNKNOWN || tpd_mode_size_fits (TPD_CIPHER_CBC512, c->stored, c->size);
}

/* What content and size law say of CBC4K against CBC512. */
static gboolean
weigh_nopad (Case *c, const Nopad *self, TpdCheck *check, GError **error)
{
  *check = TPD_CHECK_PROVED;
  if (self->rule_proved && (!size_fits_cbc512 (c) || tpd_content_cipher_iv_rule (self->taken->cipher) == TPD_IV_INDEX))
    return TRUE;
  return reading_weigh (c, self->taken, check, error);
}

/* Whether CBC512 is possible by its size law and proved by the content. */
static gboolean
weigh_cbc512 (Case *c, Reading *reading, TpdCheck *check, GError **error)
{
  *check = TPD_CHECK_DISPROVED;
  if (!reading_make (c, TPD_CIPHER_CBC512, TPD_IV_OFFSET, reading, error))
    return FALSE;
  return reading->size_broken || reading_weigh (c, reading, check, error);
}

static gboolean
set_two_rules_error (GError **error)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_AMBIGUOUS,
               "The content is encrypted in segments without padding, for which two rules exist, and it does not show"
               " which one was used; name it with -o iv=index or -o iv=offset (tpd: --iv index, --iv offset) and check"
               " the result.");
  return FALSE;
}

static gboolean
set_no_sense_error (GError **error)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_AMBIGUOUS,
                       "The content makes no sense in the cipher mode that the license names, and does not speak for"
                       " another one with certainty.");
  return FALSE;
}

/* --- The word stands for CBC4K without padding ---------------------------- */

/* The proof of the only reading, which the content does not speak against. */
static gboolean
prove_only (Case *c, Nopad *self, TpdCheck check, TpdProof *proof, GError **error)
{
  Reading *only = &self->readings[0];

  *proof = check == TPD_CHECK_PROVED && !is_guess (c, self) ? TPD_PROOF_PLAUSIBLE : TPD_PROOF_NONE;
  if (*proof != TPD_PROOF_NONE || is_guess (c, self) || (c->size > SHARED_HEAD && size_fits_cbc512 (c)))
    return TRUE;
  if (!reading_look (c, only, HEAD_MAX, error))
    return FALSE;
  *proof = mode_plain_proof (c, only);
  return TRUE;
}

gboolean
mode_keep_nopad (Case *c, const Reading *own, GError **error)
{
  g_auto (Nopad) nopad = { 0 };
  g_auto (Reading) cbc512 = { 0 };
  g_auto (Reading) padded = { 0 };
  TpdCheck check = TPD_CHECK_UNKNOWN, rival = TPD_CHECK_UNKNOWN;
  TpdProof proof = TPD_PROOF_PROVEN;

  /* Padding that is there says which of the two rules it is: that of CBC4K with padding. */
  if (c->stored != TPD_SIZE_UNKNOWN && !reading_make (c, TPD_CIPHER_CBC4K, TPD_IV_INDEX, &padded, error))
    return FALSE;
  if (padded.padding_bits >= PROVED_BITS)
    {
      mode_take_instead (c, &padded, TPD_PROOF_PLAUSIBLE);
      return TRUE;
    }
  if (!nopad_init (c, &nopad, error) || (nopad.taken != NULL && !weigh_nopad (c, &nopad, &check, error))
      || ((nopad.taken == NULL || check == TPD_CHECK_DISPROVED) && !weigh_cbc512 (c, &cbc512, &rival, error)))
    return FALSE;
  if (rival == TPD_CHECK_PROVED)
    {
      mode_take_instead (c, &cbc512, TPD_PROOF_PLAUSIBLE);
      return TRUE;
    }
  if (nopad.taken == NULL)
    return set_two_rules_error (error);
  /* What is broken under all readings tells nothing. */
  if (check == TPD_CHECK_DISPROVED && rival == TPD_CHECK_UNKNOWN)
    return set_no_sense_error (error);
  if (nopad.n == 1 && !prove_only (c, &nopad, check, &proof, error))
    return FALSE;
  take_nopad (c, &nopad, FALSE, nopad.n == 1 || check == TPD_CHECK_PROVED ? proof : TPD_PROOF_NONE);
  return TRUE;
}

/* --- Another mode than the word's ----------------------------------------- */

gboolean
mode_choose_cbc (Case *c, gboolean any, gboolean *found, GError **error)
{
  g_auto (Nopad) nopad = { 0 };
  g_auto (Reading) cbc512 = { 0 };
  TpdCheck check = TPD_CHECK_UNKNOWN, rival = TPD_CHECK_DISPROVED;
  gboolean possible;

  *found = FALSE;
  if (!nopad_init (c, &nopad, error))
    return FALSE;
  possible = any && size_fits_cbc512 (c);
  if (nopad.n == 0 && !possible)
    return TRUE;
  if (c->size <= SHARED_HEAD)
    {
      if (nopad.n == 0 && !weigh_cbc512 (c, &cbc512, &rival, error))
        return FALSE;
      nopad.taken = nopad.n > 0 ? &nopad.readings[0] : &cbc512;
      if (!reading_look (c, nopad.n > 0 ? &nopad.readings[0] : &cbc512, HEAD_MAX, error))
        return FALSE;
      take_nopad (c, &nopad, TRUE, mode_plain_proof (c, nopad.taken));
      *found = TRUE;
      return TRUE;
    }
  if ((nopad.taken != NULL && !weigh_nopad (c, &nopad, &check, error))
      || (possible && !weigh_cbc512 (c, &cbc512, &rival, error)))
    return FALSE;
  if (rival == TPD_CHECK_PROVED && check != TPD_CHECK_PROVED)
    {
      mode_take_instead (c, &cbc512, nopad.n > 0 ? TPD_PROOF_PROVEN : TPD_PROOF_PLAUSIBLE);
      *found = TRUE;
    }
  /* The size law alone speaks against CBC512, which has never been seen, not for it. */
  else if (nopad.taken != NULL && rival != TPD_CHECK_PROVED
           && (check == TPD_CHECK_PROVED || (check == TPD_CHECK_UNKNOWN && any && !possible && nopad.n == 1)))
    {
      take_nopad (c, &nopad, TRUE,
                  is_guess (c, &nopad)      ? TPD_PROOF_NONE
                  : nopad.n > 1 || possible ? TPD_PROOF_PROVEN
                                            : TPD_PROOF_PLAUSIBLE);
      *found = TRUE;
    }
  if (*found)
    return TRUE;
  return nopad.n > 1 && nopad.taken == NULL ? set_two_rules_error (error) : set_no_sense_error (error);
}

/* --- The word stands for CBC512 -------------------------------------------- */

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

/* No genuine file in CBC512 has been seen. */
gboolean
mode_keep_cbc512 (Case *c, const Reading *own, GError **error)
{
  TpdCheck check = TPD_CHECK_UNKNOWN;
  g_auto (Reading) padded = { 0 };
  gboolean found = FALSE, broken = FALSE;

  if (c->size <= SHARED_HEAD)
    {
      mode_take (c, own, mode_plain_proof (c, own));
      return TRUE;
    }
  if (!reading_weigh (c, own, &check, error) || !reading_make (c, TPD_CIPHER_CBC4K, TPD_IV_INDEX, &padded, error)
      || (check == TPD_CHECK_DISPROVED && !is_broken_anyway (c, &broken, error)))
    return FALSE;
  if (check == TPD_CHECK_PROVED)
    {
      mode_take (c, own, TPD_PROOF_PLAUSIBLE);
      return TRUE;
    }
  /* What is broken under all readings tells nothing. */
  if ((check == TPD_CHECK_UNKNOWN || broken) && padded.padding_bits == 0)
    {
      mode_take (c, own, TPD_PROOF_NONE);
      return TRUE;
    }
  if (check == TPD_CHECK_DISPROVED && padded.padding_bits >= PROVED_BITS)
    {
      mode_take_instead (c, &padded, TPD_PROOF_PLAUSIBLE);
      return TRUE;
    }
  if (check == TPD_CHECK_DISPROVED && !mode_choose_cbc (c, FALSE, &found, error))
    return FALSE;
  if (found)
    return TRUE;
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_AMBIGUOUS,
                       "The license names the cipher mode CBC512; beyond the first 512 bytes the content speaks"
                       " against it, and for no other mode with certainty.");
  return FALSE;
}
