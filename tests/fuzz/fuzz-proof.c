/* SPDX-License-Identifier: Apache-2.0 */
/* Judging plaintext: ZIP packages and compound files that a wrong key, or
 * somebody hostile, may have made. */
#include "format/proof.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const gsize segments[] = { 512, 4096 };
  g_autoptr (TpdSource) source = fuzz_source (data, size);
  guint bits = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (segments); i++)
    {
      TpdCheck result;
      g_autoptr (GError) error = NULL;

      if (!tpd_check_segments (source, segments[i], &result, &error))
        g_error ("%s", error->message);
    }
  g_assert (tpd_check_magic (data, size, ".docx", &bits) != TPD_CHECK_PROVED);
  g_assert (tpd_check_magic (data, size, NULL, NULL) != TPD_CHECK_PROVED);
  return 0;
}
