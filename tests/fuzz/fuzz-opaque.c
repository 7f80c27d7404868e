/* SPDX-License-Identifier: Apache-2.0 */
/* What a plain file may hide, and the checksums of all of a ZIP package. */
#include "format/opaque.h"
#include "format/package.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  g_autoptr (GError) error = NULL;
  TpdOpaque opaque;
  TpdCheck result;

  /* Memory can always be read: there is no error to have. */
  if (!tpd_opaque_look (source, probe, &opaque, &error) || !tpd_package_check_all (source, &result, &error))
    g_error ("%s", error->message);
  g_assert (opaque < TPD_N_OPAQUE);
  /* What the first bytes show. */
  const gsize len = MIN (size, (gsize) TPD_PROBE_FIRST);
  if (tpd_probe_starts_plain (data, len, size) && !tpd_opaque_starts (data, len))
    g_assert (opaque == TPD_OPAQUE_NONE && probe->kind == TPD_KIND_PLAIN && probe->warnings == NULL);
  return 0;
}
