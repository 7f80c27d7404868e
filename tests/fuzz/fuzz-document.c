/* SPDX-License-Identifier: Apache-2.0 */
/* Everything at once: any file, probed, opened behind its key and read, two
 * layers deep. */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);

  fuzz_check_document (source, 1);
  return 0;
}
