/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises of the choice of the cipher mode where the license's word is wrong
 * or unknown: when it is left, for what, and when the file is refused.
 */
#include "mode-try.h"

/* --- pfile version 2 -------------------------------------------------- */

static void
test_v2_ecb_word_is_cbc4k (void)
{
  g_autofree guint8 *noise = make_noise (10001, 7);

  for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (int unknown = 0; unknown < 2; unknown++)
      check ((Try){ .plain = noise,
                    .len = sizes[i],
                    .mode = TPD_CIPHER_CBC4K,
                    .word = TPD_MODE_WORD_ECB,
                    .force_cbc4k = TRUE,
                    .size_unknown = unknown,
                    .proof = TPD_PROOF_PLAUSIBLE,
                    .fallbacks = "pfile-v2-cbc4k" });
}

static void
test_v2_ecb_only_when_proved (void)
{
  g_autofree guint8 *text = make_text (1000);
  g_autofree guint8 *noise = make_noise (1000, 8);

  check ((Try){ .plain = text,
                .len = 1000,
                .mode = TPD_CIPHER_ECB,
                .word = TPD_MODE_WORD_ECB,
                .force_cbc4k = TRUE,
                .size_unknown = TRUE,
                .tail = 15,
                .proof = TPD_PROOF_NONE,
                .warns = TRUE,
                .fallbacks = "pfile-v2-cbc4k mode-ecb" });
  check ((Try){ .plain = noise,
                .len = 1000,
                .mode = TPD_CIPHER_ECB,
                .word = TPD_MODE_WORD_ECB,
                .force_cbc4k = TRUE,
                .size_unknown = TRUE,
                .error = REFUSED (DAMAGED) });
}

/* --- The ECB word of old servers -------------------------------------- */

static void
test_ecb_word_disproved_by_size (void)
{
  g_autofree guint8 *noise = make_noise (4096, 9);

  /* One block more than ECB makes, and 16 bytes of padding: proof enough. */
  check ((Try){ .plain = noise,
                .len = 4096,
                .mode = TPD_CIPHER_CBC4K,
                .word = TPD_MODE_WORD_ECB,
                .proof = TPD_PROOF_PLAUSIBLE,
                .fallbacks = "mode-cbc4k" });
}

static void
test_ecb_word_disproved_by_magic (void)
{
  g_autoptr (GByteArray) zip = make_zip (3001);

  /* Any length of padding, size known or not. */
  for (gsize cut = 0; cut < 16; cut++)
    for (int unknown = 0; unknown < 2; unknown++)
      check ((Try){ .plain = zip->data,
                    .len = zip->len - cut,
                    .mode = TPD_CIPHER_CBC4K,
                    .word = TPD_MODE_WORD_ECB,
                    .extension = ".docx",
                    .size_unknown = unknown,
                    .proof = TPD_PROOF_PLAUSIBLE,
                    .fallbacks = "mode-cbc4k" });
}

static void
test_ecb_word_disproved_by_text (void)
{
  g_autofree guint8 *text = make_text (5000);

  for (gsize cut = 0; cut < 16; cut++)
    for (int unknown = 0; unknown < 2; unknown++)
      check ((Try){ .plain = text,
                    .len = 5000 - cut,
                    .mode = TPD_CIPHER_CBC4K,
                    .word = TPD_MODE_WORD_ECB,
                    .extension = ".txt",
                    .size_unknown = unknown,
                    .proof = TPD_PROOF_PLAUSIBLE,
                    .fallbacks = "mode-cbc4k" });
}

static void
test_ecb_word_left_for_long_padding_only (void)
{
  g_autofree guint8 *noise = make_noise (5000, 10);

  for (gsize padding = 1; padding <= 16; padding++)
    {
      gsize len = 4992 - padding;
      gboolean enough = padding >= 4;

      /* Under either reading it is noise: showing one of them could be wrong. */
      for (int known = 0; known < 2; known++)
        check ((Try){ .plain = noise,
                      .len = len,
                      .mode = TPD_CIPHER_CBC4K,
                      .word = TPD_MODE_WORD_ECB,
                      .extension = ".bin",
                      .size_unknown = !known,
                      .proof = TPD_PROOF_PLAUSIBLE,
                      .fallbacks = enough ? "mode-cbc4k" : NULL,
                      .error = enough ? 0 : REFUSED (AMBIGUOUS) });
    }
}

/* Few bytes of noise pass for text; the padding behind them does not come by chance. */
static void
test_ecb_word_left_for_short_content (void)
{
  g_autofree guint8 *text = make_text (12);

  for (gsize len = 1; len <= 12; len++)
    check ((Try){ .plain = text,
                  .len = len,
                  .mode = TPD_CIPHER_CBC4K,
                  .word = TPD_MODE_WORD_ECB,
                  .extension = ".txt",
                  .size_unknown = TRUE,
                  .proof = TPD_PROOF_PLAUSIBLE,
                  .fallbacks = "mode-cbc4k" });
}

/* Text in a CBC mode, noise in ECB, no size: neither is to be shown. */
static void
test_ecb_word_against_cbc_of_unknown_size (void)
{
  static const TpdCipherMode modes[] = { TPD_CIPHER_CBC4K_NOPAD, TPD_CIPHER_CBC512 };
  g_autofree guint8 *text = make_text (5000);

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    check ((Try){ .plain = text,
                  .len = 5000,
                  .mode = modes[i],
                  .rule = TPD_IV_OFFSET,
                  .word = TPD_MODE_WORD_ECB,
                  .extension = ".txt",
                  .size_unknown = TRUE,
                  .error = REFUSED (AMBIGUOUS) });
}

static void
test_ecb_word_is_nopad (void)
{
  g_autoptr (GByteArray) zip = make_zip (9000);

  for (int offset = 0; offset < 2; offset++)
    check ((Try){ .plain = zip->data,
                  .len = zip->len,
                  .mode = TPD_CIPHER_CBC4K_NOPAD,
                  .rule = offset ? TPD_IV_OFFSET : TPD_IV_INDEX,
                  .whole = TRUE,
                  .word = TPD_MODE_WORD_ECB,
                  .extension = ".docx",
                  .proof = TPD_PROOF_PROVEN,
                  .fallbacks = offset ? "mode-cbc4k-nopad iv-offset" : "mode-cbc4k-nopad iv-index" });
}

static void
test_ecb_word_is_cbc512 (void)
{
  g_autoptr (GByteArray) zip = make_zip (3000);

  check ((Try){ .plain = zip->data,
                .len = zip->len,
                .mode = TPD_CIPHER_CBC512,
                .rule = TPD_IV_OFFSET,
                .word = TPD_MODE_WORD_ECB,
                .extension = ".zip",
                .proof = TPD_PROOF_PROVEN,
                .fallbacks = "mode-cbc512" });
}

/* Behind the end of the document there may be anything, but ECB of such a size is
 * told from CBC by its start only. */
static void
test_ecb_with_surplus (void)
{
  static const guint16 words[] = { TPD_MODE_WORD_ECB, TPD_MODE_WORD_CBC4K, TPD_MODE_WORD_CBC4K_NOPAD };
  g_autofree guint8 *text = make_text (8192);
  g_autofree guint8 *noise = make_noise (8192, 14);

  for (int i = 0; i < 2 * (int) G_N_ELEMENTS (words); i++)
    {
      Try t = { .plain = i & 1 ? noise : text,
                .len = 8192,
                .mode = TPD_CIPHER_ECB,
                .word = words[i / 2],
                .maybe_longer = TRUE,
                .proof = TPD_PROOF_PLAUSIBLE,
                .warns = TRUE,
                .fallbacks = i >= 2 ? "mode-ecb" : NULL };
      g_autoptr (GBytes) bytes = encrypt_try (&t);

      t.len = 5003;
      if (i & 1)
        t.error = i / 2 == 2 ? REFUSED (AMBIGUOUS) : REFUSED (DAMAGED);
      check_body (&t, bytes);
      t.maybe_longer = FALSE;
      t.error = i / 2 == 2 ? REFUSED (AMBIGUOUS) : REFUSED (DAMAGED);
      check_body (&t, bytes);
    }
}

/* --- The CBC4K word --------------------------------------------------- */

static void
test_cbc4k_word_truncation_is_damage (void)
{
  g_autofree guint8 *text = make_text (10001);
  g_autoptr (GByteArray) zip = make_zip (9000);

  /* Noise of unknown size ends like padding once in 256 cuts: nothing can show that. */
  for (int kind = 0; kind < 3; kind++)
    {
      Try t = { .plain = kind & 1 ? zip->data : text,
                .len = kind & 1 ? zip->len : 10001,
                .mode = TPD_CIPHER_CBC4K,
                .word = TPD_MODE_WORD_CBC4K,
                .extension = kind & 1 ? ".docx" : ".txt",
                .size_unknown = kind & 2,
                .error = REFUSED (DAMAGED) };
      g_autoptr (GBytes) whole = encrypt_try (&t);

      for (gsize len = 0; len < g_bytes_get_size (whole); len += 16)
        {
          g_autoptr (GBytes) cut = g_bytes_new_from_bytes (whole, 0, len);

          check_body (&t, cut);
        }
    }
}

static void
test_cbc4k_word_altered_end_is_damage (void)
{
  g_autofree guint8 *text = make_text (5000);
  Try t = {
    .plain = text, .len = 5000, .mode = TPD_CIPHER_CBC4K, .word = TPD_MODE_WORD_CBC4K, .error = REFUSED (DAMAGED)
  };
  g_autoptr (GBytes) bytes = encrypt_try (&t);
  gsize len = g_bytes_get_size (bytes);
  g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (bytes, NULL), len);

  for (gsize back = 1; back <= 16; back++)
    {
      g_autoptr (GBytes) altered = NULL;

      data[len - back] ^= 0x80;
      altered = g_bytes_new (data, len);
      data[len - back] ^= 0x80;
      check_body (&t, altered);
    }
}

static void
test_cbc4k_word_is_ecb (void)
{
  g_autofree guint8 *text = make_text (1003);

  check ((Try){ .plain = text,
                .len = 1003,
                .mode = TPD_CIPHER_ECB,
                .word = TPD_MODE_WORD_CBC4K,
                .size_unknown = TRUE,
                .tail = 15,
                .proof = TPD_PROOF_NONE,
                .warns = TRUE,
                .fallbacks = "mode-ecb" });
}

/* Noise ends like padding of one byte once in 256: text says more. */
static void
test_cbc4k_word_short_padding (void)
{
  g_autofree guint8 *text = make_text (1003);
  guint padded = 0;

  for (guint32 seed = 0; seed < 2000; seed++)
    {
      g_autofree guint8 *fill = make_noise (5, seed);
      g_autofree guint8 *plain = g_malloc (1008);
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (TpdContentCipher) cipher = NULL;
      g_autofree guint8 *last = g_malloc (1008);
      Try t = { .plain = plain,
                .len = 1003,
                .word = TPD_MODE_WORD_CBC4K,
                .size_unknown = TRUE,
                .force_cbc4k = seed & 1,
                .tail = 5,
                .proof = TPD_PROOF_NONE,
                .warns = TRUE,
                .fallbacks = "mode-ecb" };

      memcpy (plain, text, 1003);
      memcpy (plain + 1003, fill, 5);
      bytes = encrypt_body (key_bytes, 32, TPD_CIPHER_ECB, TPD_IV_INDEX, FALSE, plain, 1008);
      cipher = tpd_content_cipher_new (key_bytes, 32, TPD_CIPHER_CBC4K, TPD_IV_INDEX, NULL);
      memcpy (last, g_bytes_get_data (bytes, NULL), 1008);
      g_assert_true (tpd_content_cipher_decrypt (cipher, last, 1008, 0, NULL));
      padded += tpd_pkcs7_length (last + 992) > 0;
      check_body (&t, bytes);
    }
  g_assert_cmpuint (padded, >, 0);
}

static void
test_cbc4k_word_is_nopad_by_size_law (void)
{
  g_autofree guint8 *text = make_text (512);
  g_autoptr (GByteArray) zip = make_zip (9000);

  check ((Try){ .plain = text,
                .len = 512,
                .mode = TPD_CIPHER_CBC4K_NOPAD,
                .word = TPD_MODE_WORD_CBC4K,
                .proof = TPD_PROOF_PLAUSIBLE,
                .fallbacks = "mode-cbc4k-nopad" });
  check ((Try){ .plain = zip->data,
                .len = zip->len,
                .mode = TPD_CIPHER_CBC4K_NOPAD,
                .whole = TRUE,
                .word = TPD_MODE_WORD_CBC4K,
                .proof = TPD_PROOF_PROVEN,
                .fallbacks = "mode-cbc4k-nopad iv-index" });
}

static void
test_nopad_word_is_cbc4k (void)
{
  g_autofree guint8 *noise = make_noise (8192, 12);

  check ((Try){ .plain = noise,
                .len = 8192,
                .mode = TPD_CIPHER_CBC4K,
                .word = TPD_MODE_WORD_CBC4K_NOPAD,
                .proof = TPD_PROOF_PLAUSIBLE,
                .fallbacks = "mode-cbc4k" });
  /* Eleven bytes of padding, and nothing else to tell the rules apart. */
  check ((Try){ .plain = noise,
                .len = 8181,
                .mode = TPD_CIPHER_CBC4K,
                .word = TPD_MODE_WORD_CBC4K_NOPAD,
                .proof = TPD_PROOF_PLAUSIBLE,
                .fallbacks = "mode-cbc4k" });
}

/* --- Unknown words ---------------------------------------------------- */

static void
test_unknown_word (void)
{
  g_autofree guint8 *text = make_text (5000);
  g_autofree guint8 *noise = make_noise (5000, 13);
  g_autoptr (GByteArray) zip = make_zip (9000);

  check ((Try){ .plain = noise,
                .len = 5000,
                .mode = TPD_CIPHER_CBC4K,
                .word = 0x1234,
                .proof = TPD_PROOF_PLAUSIBLE,
                .fallbacks = "mode-cbc4k" });
  check ((Try){ .plain = text,
                .len = 5000,
                .mode = TPD_CIPHER_ECB,
                .word = 0x1234,
                .proof = TPD_PROOF_PLAUSIBLE,
                .fallbacks = "mode-ecb" });
  check ((Try){ .plain = zip->data,
                .len = zip->len,
                .mode = TPD_CIPHER_CBC4K_NOPAD,
                .rule = TPD_IV_OFFSET,
                .whole = TRUE,
                .word = 0x1234,
                .proof = TPD_PROOF_PROVEN,
                .fallbacks = "mode-cbc4k-nopad iv-offset" });
  check ((Try){ .plain = noise, .len = 5000, .mode = TPD_CIPHER_ECB, .word = 0x1234, .error = REFUSED (UNSUPPORTED) });
}

/* Whatever read fails: the same answer as without, or an error. */
static void
test_failing_reads (void)
{
  g_autoptr (GByteArray) zip = make_zip (9000);
  g_autoptr (TpdContentKey) key = content_key (TPD_MODE_WORD_ECB, 32);
  g_autoptr (GBytes) bytes =
      encrypt_body (key_bytes, 32, TPD_CIPHER_CBC4K_NOPAD, TPD_IV_OFFSET, TRUE, zip->data, zip->len);
  g_autoptr (TpdSource) memory = tpd_source_new_bytes (bytes);

  for (int fault = FAULT_EIO; fault <= FAULT_SHORT; fault++)
    for (int at = 0;; at++)
      {
        FaultSource *failing = fault_source_new (memory, fault, at);
        g_autoptr (TpdSource) body = &failing->base;
        g_auto (TpdModeAnswer) answer = { 0 };
        g_autoptr (GError) error = NULL;
        TpdModeQuestion question = { .body = body, .stored_size = zip->len, .extension = ".docx" };

        if (tpd_mode_decide (&question, key, &answer, &error))
          {
            g_assert_cmpint (failing->reads, <=, at);
            g_assert_cmpint (at, >, 3);
            g_assert_cmpint (tpd_content_cipher_iv_rule (answer.cipher), ==, TPD_IV_OFFSET);
            break;
          }
        if (fault == FAULT_EIO)
          g_assert_cmpint (tpd_error_get_errno (error), ==, EIO);
        else
          g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
      }
}

/* A body of a whole number of 512-byte segments by chance: CBC512 is the only
 * mode whose size law holds, and shares the first 512 bytes with the truth. */
static void
test_size_law_alone_proves_nothing (void)
{
  static const guint16 words[] = { TPD_MODE_WORD_CBC4K_NOPAD, TPD_MODE_WORD_CBC4K };
  g_autofree guint8 *text = make_text (1024);
  g_autoptr (GBytes) body = encrypt_body (key_bytes, 32, TPD_CIPHER_CBC4K_NOPAD, TPD_IV_INDEX, FALSE, text, 1024);

  for (gsize i = 0; i < G_N_ELEMENTS (words); i++)
    check_body (&(Try){ .plain = text, .len = 1003, .word = words[i], .error = REFUSED (AMBIGUOUS) }, body);
}

/* One segment of CBC4K, filled to 4096 bytes: no other mode has that size, and old
 * servers write the ECB word whatever the truth. */
static void
test_one_filled_segment (void)
{
  static const guint16 words[] = { TPD_MODE_WORD_ECB, 0x1234 };
  g_autoptr (GByteArray) zip = make_zip (1500);
  g_autofree guint8 *text = make_text (1561);

  for (int kind = 0; kind < 4; kind++)
    check ((Try){ .plain = kind & 1 ? zip->data : text,
                  .len = kind & 1 ? zip->len : 1561,
                  .mode = TPD_CIPHER_CBC4K_NOPAD,
                  .whole = TRUE,
                  .word = words[kind / 2],
                  .extension = kind & 1 ? ".docx" : ".txt",
                  .proof = TPD_PROOF_PLAUSIBLE,
                  .fallbacks = "mode-cbc4k-nopad" });
}

/* --- CBC512, which is not what it is ---------------------------------- */

/* Its first 512 bytes are those of the other CBC modes, and show nothing. */
static void
test_cbc512_word_is_wrong (void)
{
  g_autofree guint8 *text = make_text (9003);
  g_autofree guint8 *noise = make_noise (9008, 21);
  g_autoptr (GByteArray) zip = make_zip (9000);

  for (int offset = 0; offset < 2; offset++)
    check ((Try){ .plain = zip->data,
                  .len = zip->len,
                  .mode = TPD_CIPHER_CBC4K_NOPAD,
                  .rule = offset ? TPD_IV_OFFSET : TPD_IV_INDEX,
                  .word = TPD_MODE_WORD_CBC512,
                  .extension = ".docx",
                  .proof = TPD_PROOF_PROVEN,
                  .fallbacks = offset ? "mode-cbc4k-nopad iv-offset" : "mode-cbc4k-nopad iv-index" });
  /* Thirteen bytes of padding. */
  check ((Try){ .plain = text,
                .len = 8995,
                .mode = TPD_CIPHER_CBC4K,
                .word = TPD_MODE_WORD_CBC512,
                .proof = TPD_PROOF_PLAUSIBLE,
                .fallbacks = "mode-cbc4k" });
  /* None: text shows which. */
  for (int offset = 0; offset < 2; offset++)
    check ((Try){ .plain = text,
                  .len = 8999,
                  .mode = TPD_CIPHER_CBC4K_NOPAD,
                  .rule = offset ? TPD_IV_OFFSET : TPD_IV_INDEX,
                  .word = TPD_MODE_WORD_CBC512,
                  .proof = TPD_PROOF_PROVEN,
                  .fallbacks = offset ? "mode-cbc4k-nopad iv-offset" : "mode-cbc4k-nopad iv-index" });
  /* As much as there is of it decides: four bytes are no chance, fewer may be. */
  for (gsize len = 8992; len < 9008; len++)
    if (len % 16 <= 12)
      check ((Try){ .plain = noise,
                    .len = len,
                    .mode = TPD_CIPHER_CBC4K,
                    .word = TPD_MODE_WORD_CBC512,
                    .size_unknown = TRUE,
                    .proof = TPD_PROOF_PLAUSIBLE,
                    .fallbacks = "mode-cbc4k" });
    else
      check ((Try){ .plain = noise,
                    .len = len,
                    .mode = TPD_CIPHER_CBC4K,
                    .word = TPD_MODE_WORD_CBC512,
                    .size_unknown = len & 1,
                    .error = REFUSED (AMBIGUOUS) });
}

/* Such pfiles are always CBC4K; another word is left where the padding says so. */
static void
test_v2_any_word_is_cbc4k (void)
{
  static const guint16 words[] = { TPD_MODE_WORD_CBC512, TPD_MODE_WORD_CBC4K_NOPAD };
  g_autofree guint8 *text = make_text (10001);
  g_autofree guint8 *noise = make_noise (10001, 22);

  for (int kind = 0; kind < 8; kind++)
    for (gsize len = 9990; len < 10001; len += 5)
      check ((Try){ .plain = kind & 1 ? noise : text,
                    .len = len,
                    .mode = TPD_CIPHER_CBC4K,
                    .word = words[kind & 2 ? 1 : 0],
                    .size_unknown = (kind & 4) && len % 16 <= 12,
                    .force_cbc4k = TRUE,
                    .proof = TPD_PROOF_PLAUSIBLE,
                    .fallbacks = "pfile-v2-cbc4k" });
  check ((Try){ .plain = text,
                .len = 9990,
                .mode = TPD_CIPHER_CBC512,
                .rule = TPD_IV_OFFSET,
                .word = TPD_MODE_WORD_CBC512,
                .force_cbc4k = TRUE,
                .proof = TPD_PROOF_PLAUSIBLE });
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  tpd_secret_init (65536);
  g_test_add_func ("/mode/one-filled-segment", test_one_filled_segment);
  g_test_add_func ("/mode/cbc512-word-is-wrong", test_cbc512_word_is_wrong);
  g_test_add_func ("/mode/v2/any-word-is-cbc4k", test_v2_any_word_is_cbc4k);
  g_test_add_func ("/mode/v2/ecb-word-is-cbc4k", test_v2_ecb_word_is_cbc4k);
  g_test_add_func ("/mode/v2/ecb-only-when-proved", test_v2_ecb_only_when_proved);
  g_test_add_func ("/mode/ecb-word/disproved-by-size", test_ecb_word_disproved_by_size);
  g_test_add_func ("/mode/ecb-word/disproved-by-magic", test_ecb_word_disproved_by_magic);
  g_test_add_func ("/mode/ecb-word/disproved-by-text", test_ecb_word_disproved_by_text);
  g_test_add_func ("/mode/ecb-word/left-for-long-padding-only", test_ecb_word_left_for_long_padding_only);
  g_test_add_func ("/mode/ecb-word/left-for-short-content", test_ecb_word_left_for_short_content);
  g_test_add_func ("/mode/ecb-word/against-cbc-of-unknown-size", test_ecb_word_against_cbc_of_unknown_size);
  g_test_add_func ("/mode/ecb-word/is-nopad", test_ecb_word_is_nopad);
  g_test_add_func ("/mode/ecb-word/is-cbc512", test_ecb_word_is_cbc512);
  g_test_add_func ("/mode/ecb-word/with-surplus", test_ecb_with_surplus);
  g_test_add_func ("/mode/cbc4k-word/short-padding-by-chance", test_cbc4k_word_short_padding);
  g_test_add_func ("/mode/cbc4k-word/truncation-is-damage", test_cbc4k_word_truncation_is_damage);
  g_test_add_func ("/mode/cbc4k-word/altered-end-is-damage", test_cbc4k_word_altered_end_is_damage);
  g_test_add_func ("/mode/cbc4k-word/is-ecb", test_cbc4k_word_is_ecb);
  g_test_add_func ("/mode/cbc4k-word/is-nopad-by-size-law", test_cbc4k_word_is_nopad_by_size_law);
  g_test_add_func ("/mode/nopad-word/is-cbc4k", test_nopad_word_is_cbc4k);
  g_test_add_func ("/mode/unknown-word", test_unknown_word);
  g_test_add_func ("/mode/failing-reads", test_failing_reads);
  g_test_add_func ("/mode/left/size-law-alone-proves-nothing", test_size_law_alone_proves_nothing);
  return g_test_run ();
}
