/* SPDX-License-Identifier: Apache-2.0 */
/* Sensitivity labels: the texts of all forms, and the files that hold them. */
#include "format/label.h"
#include "format/property_set.h"
#include "format/zip.h"
#include "fuzz.h"
#include "license/label.h"

static void
check_label (TpdLabel *label)
{
  const char *texts[] = { label->id, label->name, label->site, label->method, label->set_date };

  g_assert_nonnull (label->id);
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_assert (texts[i] == NULL || (g_utf8_validate (texts[i], -1, NULL) && texts[i][0] != '\0'));
  tpd_label_free (label);
}

static void
check_members (TpdSource *source)
{
  g_auto (TpdZip) zip = { 0 };

  tpd_zip_init (&zip, source, 1024 * 1024);
  if (!tpd_zip_find_directory (&zip, NULL) || !tpd_zip_read_directory (&zip, NULL))
    return;
  for (guint i = 0; i < MIN (zip.members->len, 16); i++)
    {
      const TpdZipMember *member = &g_array_index (zip.members, TpdZipMember, i);
      g_autofree char *name = g_strndup ((const char *) member->name, member->name_len);
      g_autoptr (GBytes) content = tpd_zip_read_member (&zip, name, 64 * 1024, NULL);

      g_assert (content == NULL || g_bytes_get_size (content) <= 64 * 1024);
    }
}

static void
check_properties (const uint8_t *data, size_t size)
{
  g_autoptr (GPtrArray) found = tpd_property_set_custom (data, size, "");
  TpdLabel *label = tpd_label_of_properties (found);

  g_assert (found->len % 2 == 0);
  for (guint i = 0; i < found->len; i++)
    g_assert (g_utf8_validate (g_ptr_array_index (found, i), -1, NULL));
  if (label != NULL)
    check_label (label);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);
  TpdLabel *label = tpd_label_parse ((const char *) data, size);

  if (label != NULL)
    check_label (label);
  label = tpd_label_read (source);
  if (label != NULL)
    check_label (label);
  check_members (source);
  check_properties (data, size);
  return 0;
}
