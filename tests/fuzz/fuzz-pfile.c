/* SPDX-License-Identifier: Apache-2.0 */
/* Generic protected files: the header and what it points to. */
#include <string.h>

#include "fuzz.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);
  TpdBudget budget;
  g_autoptr (TpdProbe) probe = NULL;
  g_autoptr (GBytes) license = NULL;

  /* Other formats have targets of their own. */
  if (size < 6 || memcmp (data, ".pfile", 6) != 0)
    return 0;
  tpd_budget_init_probe (&budget);
  probe = tpd_probe (source, &budget);
  g_assert (budget.used_reads <= 2 * TPD_PROBE_MAX_READS);
  /* One of an impossible version is none, and may then be anything. */
  if (probe->kind != TPD_KIND_PFILE)
    return 0;
  if (probe->extension != NULL)
    g_assert (g_utf8_validate (probe->extension, -1, NULL) && strchr (probe->extension, '/') == NULL);
  if (probe->verdict != TPD_VERDICT_OK)
    return 0;
  g_assert (probe->size_class != TPD_SIZE_EXACT || probe->plain_size <= size);
  license = tpd_probe_read_license (probe, source, NULL);
  g_assert (license != NULL && g_bytes_get_size (license) <= size);
  return 0;
}
