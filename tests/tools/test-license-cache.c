/* SPDX-License-Identifier: Apache-2.0 */
/* Licenses that were read before: tools/license_cache.h. */
#include <string.h>

#include "../license/helper.h"
#include "tools/license_cache.h"

/* All licenses of the fixtures that can be read, each once. (transfer full) */
static GPtrArray *
all_licenses (void)
{
  GPtrArray *licenses = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      g_autoptr (GBytes) bytes = fixture_license (json_array_get_object_element (files, i));
      g_autoptr (TpdLicense) license = NULL;
      gboolean known = FALSE;

      if (bytes == NULL)
        continue;
      for (guint n = 0; n < licenses->len && !known; n++)
        known = g_bytes_equal (bytes, g_ptr_array_index (licenses, n));
      license = tpd_license_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), NULL);
      if (license != NULL && !known)
        g_ptr_array_add (licenses, g_steal_pointer (&bytes));
    }
  g_assert_cmpuint (licenses->len, >, 20);
  return licenses;
}

static TpdLicense *
read_license (TpdLicenseCache *cache, GBytes *bytes)
{
  g_autoptr (TpdLicense) expected = parse_good (bytes, "fixture");
  TpdLicense *license = tpd_license_cache_parse (cache, bytes, NULL);

  g_assert_nonnull (license);
  g_assert_cmpmem (license->sha256, sizeof license->sha256, expected->sha256, sizeof expected->sha256);
  g_assert_cmpstr (license->content_id, ==, expected->content_id);
  return license;
}

/* Of what is met again and again one object is left. */
static void
test_copies_are_read_twice (void)
{
  g_autoptr (GPtrArray) all = all_licenses ();
  g_autoptr (TpdLicenseCache) cache = tpd_license_cache_new (all->len);

  for (guint i = 0; i < all->len; i++)
    {
      GBytes *bytes = g_ptr_array_index (all, i);
      g_autoptr (GBytes) copy = g_bytes_new (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
      g_autoptr (TpdLicense) first = read_license (cache, bytes), second = read_license (cache, copy);
      g_autoptr (TpdLicense) third = read_license (cache, bytes), fourth = read_license (cache, copy);

      g_assert_true (first != second);
      g_assert_true (third == second && fourth == second);
    }
}

/* One that differs in a single byte is another, wherever the byte is. */
static void
test_others_are_others (void)
{
  g_autoptr (GPtrArray) all = all_licenses ();
  g_autoptr (TpdLicenseCache) cache = tpd_license_cache_new (4);
  GBytes *bytes = g_ptr_array_index (all, 0);
  g_autoptr (TpdLicense) first = read_license (cache, bytes), kept = read_license (cache, bytes);
  gsize len;
  const guint8 *data = g_bytes_get_data (bytes, &len);

  for (gsize at = 0; at < len; at++)
    {
      g_autofree guint8 *changed = g_memdup2 (data, len);
      g_autoptr (GBytes) other = NULL;
      g_autoptr (TpdLicense) license = NULL, again = NULL;

      changed[at] ^= 1;
      other = g_bytes_new (changed, len);
      license = tpd_license_cache_parse (cache, other, NULL);
      again = tpd_license_cache_parse (cache, other, NULL);
      g_assert_true ((license != NULL) == (again != NULL));
      g_assert_true (license != kept && again != kept);
    }
}

/* No more than it may hold; the oldest goes. */
static void
test_the_oldest_makes_room (void)
{
  g_autoptr (GPtrArray) all = all_licenses ();
  g_autoptr (TpdLicenseCache) cache = tpd_license_cache_new (3);
  TpdLicense *kept[4];

  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    {
      tpd_license_unref (read_license (cache, g_ptr_array_index (all, i)));
      kept[i] = read_license (cache, g_ptr_array_index (all, i));
    }
  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    {
      /* The first is met again, and takes the place of the second. */
      const guint n = G_N_ELEMENTS (kept) - 1 - i;
      g_autoptr (TpdLicense) license = read_license (cache, g_ptr_array_index (all, n));

      g_assert_true ((license == kept[n]) == (n > 0));
    }
  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    tpd_license_unref (kept[i]);
}

static void
test_without_a_cache (void)
{
  g_autoptr (GPtrArray) all = all_licenses ();

  tpd_license_unref (read_license (NULL, g_ptr_array_index (all, 0)));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/license-cache/copies-are-read-twice", test_copies_are_read_twice);
  g_test_add_func ("/license-cache/others-are-others", test_others_are_others);
  g_test_add_func ("/license-cache/the-oldest-makes-room", test_the_oldest_makes_room);
  g_test_add_func ("/license-cache/without-a-cache", test_without_a_cache);
  return g_test_run ();
}
