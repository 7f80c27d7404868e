/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decrypting PDF files: behind the key, also where the license of a mutated
 * file is gone. The result has the length of the encrypted document, and what
 * was clear in it decrypts to the same bytes each time.
 */
#include <string.h>

#include "format/pdf_private.h"
#include "fuzz.h"

static TpdDocument *
decrypt (TpdSource *source, guint mode)
{
  static const guint16 words[] = { TPD_MODE_WORD_ECB, TPD_MODE_WORD_CBC4K_NOPAD, TPD_MODE_WORD_CBC4K,
                                   TPD_MODE_WORD_CBC512 };
  static const TpdOpenOptions options = { TPD_IV_AUTO };
  g_autoptr (TpdSecret) secret = tpd_secret_new (NULL, 16);
  TpdContentKey key = { .key = secret, .mode_word = words[mode & 3], .size_word = 16, .ref_count = 1 };
  TpdBudget budget;
  g_autoptr (GError) error = NULL;
  TpdDocument *document;

  tpd_budget_init_decode (&budget, source->size);
  document = tpd_pdf_decrypt (source, FALSE, &key, &options, &budget, &error);
  g_assert ((document == NULL) == (error != NULL));
  return document;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);
  g_autoptr (TpdDocument) first = NULL;
  g_autoptr (TpdDocument) second = NULL;

  if (size < 16 || memcmp (data, "%PDF-", 5) != 0)
    return 0;
  fuzz_check_document (source, 0);
  first = decrypt (source, data[size - 1]);
  second = decrypt (source, data[size - 1]);
  g_assert ((first == NULL) == (second == NULL));
  if (first != NULL)
    {
      g_autofree guint8 *one = g_malloc0 (size), *two = g_malloc0 (size);

      g_assert (first->plain_size == size && second->plain_size == size);
      if (tpd_document_pread (first, one, size, 0, NULL) == (gssize) size
          && tpd_document_pread (second, two, size, 0, NULL) == (gssize) size)
        g_assert (memcmp (one, two, size) == 0);
    }
  return 0;
}
