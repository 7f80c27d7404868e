/* SPDX-License-Identifier: Apache-2.0 */
/* message.rpmsg from outside: the blocks, what is inflated from them, its
 * license, and decoding with a key that need not be the right one. */
#include "format/mail.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);
  g_autoptr (TpdSource) memory = fuzz_memory (data, size);
  g_autoptr (TpdSource) inner = NULL, same = NULL;
  g_autoptr (GBytes) license = NULL;
  g_autoptr (TpdMailContent) content = NULL;
  g_autoptr (TpdSecret) secret = tpd_secret_new (NULL, 16);
  TpdContentKey key = { .key = secret, .mode_word = TPD_MODE_WORD_ECB, .size_word = 16, .ref_count = 1 };
  TpdOpenOptions options = { TPD_IV_AUTO };
  TpdBudget budget, other;

  if (!tpd_rpmsg_magic (data, size))
    return 0;
  (void) tpd_rpmsg_check (source, NULL);
  tpd_budget_init_decode (&budget, size);
  inner = tpd_rpmsg_inflate (source, &budget, NULL);
  tpd_budget_init_decode (&other, size);
  same = tpd_rpmsg_inflate (memory, &other, NULL);
  g_assert ((inner == NULL) == (same == NULL) && budget.used_bytes == other.used_bytes);
  if (inner != NULL)
    {
      fuzz_check_source (inner);
      fuzz_check_same (inner, same);
    }
  license = tpd_rpmsg_read_license (source, NULL, NULL);
  content = tpd_rpmsg_decode (source, &key, &options, NULL, NULL);
  fuzz_check_document (source, 0);
  return 0;
}
