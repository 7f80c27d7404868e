/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises of the choice of the cipher mode where the license's word is right.
 * The bodies are made here, so that the right plaintext is known.
 */
#include "mode-try.h"

/* --- The size law ----------------------------------------------------- */

static void
test_size_law (void)
{
  g_assert_true (tpd_mode_size_fits (TPD_CIPHER_CBC4K, 0, 16));
  g_assert_false (tpd_mode_size_fits (TPD_CIPHER_CBC4K, 0, 0));
  g_assert_true (tpd_mode_size_fits (TPD_CIPHER_CBC4K, 4096, 4112));
  g_assert_false (tpd_mode_size_fits (TPD_CIPHER_CBC4K, 4096, 4096));
  g_assert_true (tpd_mode_size_fits (TPD_CIPHER_ECB, 0, 0));
  g_assert_true (tpd_mode_size_fits (TPD_CIPHER_ECB, 13010, 13024));
  g_assert_false (tpd_mode_size_fits (TPD_CIPHER_ECB, 13010, 16384));
  g_assert_true (tpd_mode_size_fits (TPD_CIPHER_CBC4K_NOPAD, 433664, 434176));
  g_assert_true (tpd_mode_size_fits (TPD_CIPHER_CBC4K_NOPAD, 433660, 433664));
  g_assert_false (tpd_mode_size_fits (TPD_CIPHER_CBC4K_NOPAD, 433664, 433680));
  g_assert_true (tpd_mode_size_fits (TPD_CIPHER_CBC512, 5000, 5008));
  g_assert_true (tpd_mode_size_fits (TPD_CIPHER_CBC512, 5000, 5120));
  for (int mode = TPD_CIPHER_ECB; mode <= TPD_CIPHER_CBC512; mode++)
    {
      g_assert_false (tpd_mode_size_fits (mode, 17, 16));
      g_assert_false (tpd_mode_size_fits (mode, G_MAXUINT64, 16));
      g_assert_false (tpd_mode_size_fits (mode, G_MAXUINT64, G_MAXUINT64));
      g_assert_false (tpd_mode_size_fits (mode, G_MAXUINT64 - 15, 0));
    }
}

/* --- The word is right ------------------------------------------------ */

static void
test_word_cbc4k (void)
{
  g_autofree guint8 *text = make_text (10001);
  g_autofree guint8 *noise = make_noise (10001, 1);

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (int kind = 0; kind < 4; kind++)
      check ((Try){ .plain = kind & 1 ? text : noise,
                    .len = sizes[i],
                    .mode = TPD_CIPHER_CBC4K,
                    .word = TPD_MODE_WORD_CBC4K,
                    .size_unknown = kind & 2,
                    .proof = TPD_PROOF_PLAUSIBLE });
}

static void
test_word_ecb_known_size (void)
{
  g_autofree guint8 *text = make_text (10001);

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    check ((Try){ .plain = text,
                  .len = sizes[i],
                  .mode = TPD_CIPHER_ECB,
                  .word = TPD_MODE_WORD_ECB,
                  /* A few bytes of noise may be text. */
                  .proof = sizes[i] >= 16 || sizes[i] == 0 ? TPD_PROOF_PLAUSIBLE : TPD_PROOF_NONE });
}

static void
test_word_ecb_unknown_size (void)
{
  g_autofree guint8 *text = make_text (1003);
  g_autofree guint8 *noise = make_noise (1003, 2);

  for (int i = 0; i < 2; i++)
    check ((Try){ .plain = i ? text : noise,
                  .len = 1003,
                  .mode = TPD_CIPHER_ECB,
                  .word = TPD_MODE_WORD_ECB,
                  .size_unknown = TRUE,
                  .tail = 15,
                  .proof = TPD_PROOF_NONE,
                  .warns = TRUE });
}

/* The bytes say nothing: no size law and no content speaks against the word, nor for it. */
static void
test_word_stands_for_noise (void)
{
  g_autofree guint8 *noise = make_noise (10001, 3);

  for (gsize i = 1; i < G_N_ELEMENTS (sizes); i++)
    check ((Try){ .plain = noise,
                  .len = sizes[i],
                  .mode = TPD_CIPHER_ECB,
                  .word = TPD_MODE_WORD_ECB,
                  .extension = ".bin",
                  .proof = TPD_PROOF_NONE });
}

/* A wrong name alone never makes a document unreadable. */
static void
test_word_stands_under_wrong_extension (void)
{
  g_autofree guint8 *noise = make_noise (5000, 4);

  check ((Try){ .plain = noise,
                .len = 5000,
                .mode = TPD_CIPHER_ECB,
                .word = TPD_MODE_WORD_ECB,
                .extension = ".docx",
                .proof = TPD_PROOF_NONE });
  check ((Try){ .plain = noise,
                .len = 5000,
                .mode = TPD_CIPHER_CBC4K,
                .word = TPD_MODE_WORD_CBC4K,
                .extension = ".docx",
                .size_unknown = TRUE,
                .proof = TPD_PROOF_PLAUSIBLE });
  check ((Try){ .plain = noise,
                .len = 3000,
                .mode = TPD_CIPHER_CBC4K_NOPAD,
                .word = TPD_MODE_WORD_CBC4K_NOPAD,
                .extension = ".png",
                .proof = TPD_PROOF_NONE });
}

static void
test_word_cbc512 (void)
{
  g_autofree guint8 *noise = make_noise (10001, 5);

  for (gsize i = 1; i < G_N_ELEMENTS (sizes); i++)
    for (int whole = 0; whole < 2; whole++)
      check ((Try){ .plain = noise,
                    .len = sizes[i],
                    .mode = TPD_CIPHER_CBC512,
                    .rule = TPD_IV_OFFSET,
                    .whole = whole,
                    .word = TPD_MODE_WORD_CBC512,
                    /* Nothing speaks for it. */
                    .proof = TPD_PROOF_NONE });
}

static void
test_word_cbc512_and_content (void)
{
  g_autofree guint8 *text = make_text (9000);
  g_autoptr (GByteArray) zip = make_zip (9000);

  for (int kind = 0; kind < 4; kind++)
    check ((Try){ .plain = kind & 1 ? zip->data : text,
                  .len = kind & 1 ? zip->len : 9000,
                  .mode = TPD_CIPHER_CBC512,
                  .rule = TPD_IV_OFFSET,
                  .whole = kind & 2,
                  .word = TPD_MODE_WORD_CBC512,
                  .proof = TPD_PROOF_PLAUSIBLE });
}

static void
test_word_byte_order (void)
{
  g_autofree guint8 *text = make_text (5000);

  check ((Try){ .plain = text,
                .len = 5000,
                .mode = TPD_CIPHER_CBC4K,
                .word = 0xfdff,
                .proof = TPD_PROOF_PLAUSIBLE,
                .fallbacks = "mode-word-swapped" });
  check ((Try){ .plain = text,
                .len = 4000,
                .mode = TPD_CIPHER_CBC512,
                .rule = TPD_IV_OFFSET,
                .word = 0xfcff,
                .proof = TPD_PROOF_PLAUSIBLE,
                .fallbacks = "mode-word-swapped" });
}

/* --- CBC4K without padding -------------------------------------------- */

static void
test_nopad_one_segment (void)
{
  g_autofree guint8 *noise = make_noise (4096, 6);
  g_autofree guint8 *text = make_text (4096);

  for (gsize len = 1; len <= 4096; len += 455)
    for (int kind = 0; kind < 8; kind++)
      check ((Try){ .plain = kind & 4 ? text : noise,
                    .len = len,
                    .mode = TPD_CIPHER_CBC4K_NOPAD,
                    .rule = kind & 1 ? TPD_IV_OFFSET : TPD_IV_INDEX,
                    .whole = kind & 2,
                    .word = TPD_MODE_WORD_CBC4K_NOPAD,
                    .proof = (kind & 4) && len > 1 ? TPD_PROOF_PLAUSIBLE : TPD_PROOF_NONE });
}

static void
test_nopad_zip_proves_the_rule (void)
{
  g_autoptr (GByteArray) zip = make_zip (9000);

  for (int kind = 0; kind < 4; kind++)
    check ((Try){ .plain = zip->data,
                  .len = zip->len,
                  .mode = TPD_CIPHER_CBC4K_NOPAD,
                  .rule = kind & 1 ? TPD_IV_OFFSET : TPD_IV_INDEX,
                  .whole = kind & 2,
                  .word = TPD_MODE_WORD_CBC4K_NOPAD,
                  .extension = ".docx",
                  .proof = TPD_PROOF_PROVEN,
                  .fallbacks = kind & 1 ? "iv-offset" : "iv-index" });
}

static void
test_nopad_without_structure_is_ambiguous (void)
{
  g_autofree guint8 *noise = make_noise (9000, 7);

  check ((Try){ .plain = noise,
                .len = 9000,
                .mode = TPD_CIPHER_CBC4K_NOPAD,
                .word = TPD_MODE_WORD_CBC4K_NOPAD,
                .error = REFUSED (AMBIGUOUS) });
}

static void
test_nopad_text_proves_the_rule (void)
{
  g_autofree guint8 *text = make_text (9000);

  for (int offset = 0; offset < 2; offset++)
    check ((Try){ .plain = text,
                  .len = 9000,
                  .mode = TPD_CIPHER_CBC4K_NOPAD,
                  .rule = offset ? TPD_IV_OFFSET : TPD_IV_INDEX,
                  .word = TPD_MODE_WORD_CBC4K_NOPAD,
                  .proof = TPD_PROOF_PROVEN,
                  .fallbacks = offset ? "iv-offset" : "iv-index" });
}

static void
test_nopad_forced_rule (void)
{
  g_autofree guint8 *text = make_text (9000);

  for (int offset = 0; offset < 2; offset++)
    check ((Try){ .plain = text,
                  .len = 9000,
                  .mode = TPD_CIPHER_CBC4K_NOPAD,
                  .rule = offset ? TPD_IV_OFFSET : TPD_IV_INDEX,
                  .word = TPD_MODE_WORD_CBC4K_NOPAD,
                  .iv = offset ? TPD_IV_FORCE_OFFSET : TPD_IV_FORCE_INDEX,
                  .proof = TPD_PROOF_PLAUSIBLE });
}

static void
test_nopad_unknown_size_keeps_all (void)
{
  g_autofree guint8 *text = make_text (2000);

  check ((Try){ .plain = text,
                .len = 2000,
                .mode = TPD_CIPHER_CBC4K_NOPAD,
                .whole = TRUE,
                .word = TPD_MODE_WORD_CBC4K_NOPAD,
                .size_unknown = TRUE,
                .tail = 2096,
                .proof = TPD_PROOF_NONE,
                .warns = TRUE });
}

/* --- Odd bodies ------------------------------------------------------- */

static void
test_empty_body (void)
{
  g_autoptr (GBytes) nothing = g_bytes_new (NULL, 0);
  static const guint16 bare[] = { TPD_MODE_WORD_ECB, TPD_MODE_WORD_CBC4K_NOPAD, TPD_MODE_WORD_CBC512 };

  for (gsize i = 0; i < G_N_ELEMENTS (bare); i++)
    check_body (&(Try){ .word = bare[i], .size_unknown = TRUE, .proof = TPD_PROOF_NONE }, nothing);
  check_body (&(Try){ .word = TPD_MODE_WORD_CBC4K, .size_unknown = TRUE, .error = REFUSED (DAMAGED) }, nothing);
  check_body (
      &(Try){ .word = TPD_MODE_WORD_ECB, .force_cbc4k = TRUE, .size_unknown = TRUE, .error = REFUSED (DAMAGED) },
      nothing);
  check_body (&(Try){ .word = TPD_MODE_WORD_CBC4K, .proof = TPD_PROOF_PLAUSIBLE }, nothing);
  check_body (&(Try){ .word = TPD_MODE_WORD_CBC4K, .len = 5, .error = REFUSED (DAMAGED) }, nothing);
}

static void
test_cut_block_is_damage (void)
{
  static const guint16 words[] = { TPD_MODE_WORD_ECB, TPD_MODE_WORD_CBC4K_NOPAD, TPD_MODE_WORD_CBC4K,
                                   TPD_MODE_WORD_CBC512, 0x1234 };
  g_autofree guint8 *noise = make_noise (100, 14);
  g_autoptr (GBytes) bytes = g_bytes_new (noise, 100);

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    for (int unknown = 0; unknown < 2; unknown++)
      check_body (&(Try){ .word = words[i], .len = 100, .size_unknown = unknown, .error = REFUSED (DAMAGED) }, bytes);
}

static void
test_key_length (void)
{
  g_autofree guint8 *text = make_text (5000);
  static const gsize lens[] = { 16, 24, 32 };

  for (gsize i = 0; i < G_N_ELEMENTS (lens); i++)
    {
      g_autoptr (GBytes) bytes = encrypt_body (key_bytes, lens[i], TPD_CIPHER_CBC4K, TPD_IV_INDEX, FALSE, text, 5000);
      g_autoptr (TpdSource) body = tpd_source_new_bytes (bytes);
      g_autoptr (TpdContentKey) key = content_key (TPD_MODE_WORD_CBC4K, lens[i]);
      g_autoptr (TpdContentKey) bad = content_key (TPD_MODE_WORD_CBC4K, lens[i] - 3);
      g_autoptr (GError) error = NULL;
      g_auto (TpdModeAnswer) answer = { 0 };
      g_auto (TpdModeAnswer) none = { 0 };
      TpdModeQuestion question = { .body = body, .stored_size = 5000 };

      g_assert_true (tpd_mode_decide (&question, key, &answer, &error));
      check_answer (&(Try){ .plain = text, .len = 5000, .proof = TPD_PROOF_PLAUSIBLE }, &answer, body);
      g_assert_false (tpd_mode_decide (&question, bad, &none, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  tpd_secret_init (65536);
  g_test_add_func ("/mode/size-law", test_size_law);
  g_test_add_func ("/mode/word/cbc4k", test_word_cbc4k);
  g_test_add_func ("/mode/word/ecb-known-size", test_word_ecb_known_size);
  g_test_add_func ("/mode/word/ecb-unknown-size-keeps-tail", test_word_ecb_unknown_size);
  g_test_add_func ("/mode/word/stands-for-noise", test_word_stands_for_noise);
  g_test_add_func ("/mode/word/stands-under-wrong-extension", test_word_stands_under_wrong_extension);
  g_test_add_func ("/mode/word/cbc512", test_word_cbc512);
  g_test_add_func ("/mode/word/cbc512-and-content", test_word_cbc512_and_content);
  g_test_add_func ("/mode/word/either-byte-order", test_word_byte_order);
  g_test_add_func ("/mode/nopad/one-segment", test_nopad_one_segment);
  g_test_add_func ("/mode/nopad/zip-proves-the-rule", test_nopad_zip_proves_the_rule);
  g_test_add_func ("/mode/nopad/no-structure-is-ambiguous", test_nopad_without_structure_is_ambiguous);
  g_test_add_func ("/mode/nopad/text-proves-the-rule", test_nopad_text_proves_the_rule);
  g_test_add_func ("/mode/nopad/forced-rule", test_nopad_forced_rule);
  g_test_add_func ("/mode/nopad/unknown-size-keeps-all", test_nopad_unknown_size_keeps_all);
  g_test_add_func ("/mode/body/empty", test_empty_body);
  g_test_add_func ("/mode/body/cut-block-is-damage", test_cut_block_is_damage);
  g_test_add_func ("/mode/key-length", test_key_length);
  return g_test_run ();
}
