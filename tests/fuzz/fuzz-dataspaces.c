/* SPDX-License-Identifier: Apache-2.0 */
/* Data spaces of compound files: the way to content, license and label. */
#include "format/dataspaces.h"
#include "fuzz.h"
#include "license/text.h"

static void
check_spaces (TpdCfb *cfb, const TpdDataSpaces *spaces)
{
  g_autoptr (TpdSource) content = tpd_cfb_stream_new (cfb, &spaces->content, NULL);
  g_autoptr (TpdSource) primary = tpd_cfb_stream_new (cfb, &spaces->primary, NULL);
  g_autoptr (GBytes) license = NULL;

  g_assert (spaces->license_len <= TPD_LICENSE_TEXT_MAX);
  g_assert ((guint64) spaces->license_off + spaces->license_len <= spaces->primary.size);
  if (spaces->label_info != NULL)
    g_assert (g_utf8_validate (spaces->label_info, -1, NULL));
  if (content != NULL)
    fuzz_check_source (content);
  if (primary != NULL)
    license = tpd_source_read_bytes (primary, spaces->license_off, spaces->license_len, NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, NULL);
  g_auto (TpdDataSpaces) spaces = { 0 };
  g_autoptr (GError) error = NULL;

  (void) tpd_dataspaces_contains_drm (data, size);
  if (cfb == NULL)
    return 0;
  g_assert (tpd_dataspaces_read (cfb, &spaces, &error) == (error == NULL));
  if (error == NULL)
    check_spaces (cfb, &spaces);
  return 0;
}
