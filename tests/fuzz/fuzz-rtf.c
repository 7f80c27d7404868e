/* SPDX-License-Identifier: Apache-2.0 */
/* Compressed RTF: as it comes; with a header that fits, for no mutation finds
 * a checksum; and stored by ourselves. */
#include <string.h>

#include "base/bytes.h"
#include "format/mail.h"
#include "format/rtf.h"
#include "fuzz.h"

#define HEADER_SIZE 16
#define MAX_RTF (1024 * 1024)

static void
put_u32 (guint8 *out, guint32 value)
{
  for (int i = 0; i < 4; i++)
    out[i] = (guint8) (value >> 8 * i);
}

static void
check (const guint8 *data, gsize len)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) rtf = tpd_rtf_decompress (data, len, MAX_RTF, &error);

  g_assert ((rtf == NULL) == (error != NULL));
  if (rtf != NULL)
    g_assert (g_bytes_get_size (rtf) <= MAX_RTF);
}

static void
check_with_header (const uint8_t *data, size_t size)
{
  g_autofree guint8 *copy = NULL;

  if (size < HEADER_SIZE)
    return;
  copy = g_memdup2 (data, size);
  put_u32 (copy, (guint32) size - 4);
  memcpy (copy + 8, "LZFu", 4);
  put_u32 (copy + 12, tpd_rtf_crc (copy + HEADER_SIZE, size - HEADER_SIZE));
  check (copy, size);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) stored = NULL;
  g_autoptr (GBytes) again = NULL;

  if (size > MAX_RTF)
    return 0;
  check (data, size);
  check_with_header (data, size);
  stored = tpd_rtf_store (data, size);
  again = tpd_rtf_decompress (g_bytes_get_data (stored, NULL), g_bytes_get_size (stored), MAX_RTF, NULL);
  g_assert (again != NULL && g_bytes_get_size (again) == size);
  g_assert (size == 0 || memcmp (g_bytes_get_data (again, NULL), data, size) == 0);
  return 0;
}
