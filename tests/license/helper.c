/* SPDX-License-Identifier: Apache-2.0 */
/* Licenses and keys of the fixtures: see helper.h. */
#include "helper.h"

#include "base/bytes.h"
#include "crypto/agent.h"

char *
fixture_path (const char *relative)
{
  const char *root = g_getenv ("TPD_FIXTURES");

  g_assert_nonnull (root);
  return g_build_filename (root, relative, NULL);
}

JsonArray *
fixture_files (void)
{
  static JsonParser *parser;
  g_autofree char *path = fixture_path ("manifest.json");
  g_autoptr (GError) error = NULL;

  if (parser == NULL)
    {
      parser = json_parser_new_immutable ();
      json_parser_load_from_file (parser, path, &error);
      g_assert_no_error (error);
    }
  return json_object_get_array_member (json_node_get_object (json_parser_get_root (parser)), "files");
}

const char *
json_word (JsonObject *object, const char *member)
{
  return json_object_get_string_member_with_default (object, member, "");
}

GBytes *
pfile_license (const char *path)
{
  g_autofree char *data = NULL;
  gsize len;
  guint32 redirect, header, offset, size;
  TpdBytes bytes;

  if (!g_file_get_contents (path, &data, &len, NULL))
    return NULL;
  bytes = tpd_bytes (data, len);
  if (len < 6 || memcmp (data, ".pfile", 6) != 0 || !tpd_bytes_seek (&bytes, 14)
      || !tpd_bytes_take_u32le (&bytes, &redirect) || !tpd_bytes_skip (&bytes, redirect)
      || !tpd_bytes_take_u32le (&bytes, &header) || !tpd_bytes_skip (&bytes, 8)
      || !tpd_bytes_take_u32le (&bytes, &offset) || !tpd_bytes_take_u32le (&bytes, &size) || offset > len)
    return NULL;
  return g_bytes_new (data + offset, MIN (size, len - offset));
}

GBytes *
fixture_license (JsonObject *entry)
{
  g_autofree char *share = fixture_path ("share");
  g_autofree char *path = g_build_filename (share, json_word (entry, "path"), NULL);

  return pfile_license (path);
}

TpdLicense *
parse_good (GBytes *bytes, const char *name)
{
  g_autoptr (GError) error = NULL;
  TpdLicense *license;

  g_assert_nonnull (bytes);
  license = tpd_license_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &error);
  if (license == NULL)
    g_error ("%s: %s", name, error->message);
  return license;
}

void
fixture_keys_load (FixtureKeys *keys)
{
  static const char *const names[] = { "tpd-cloud", "tpd-cloud-archived", "tpd-onprem", "tpd-mode1-v1compatible",
                                       "tpd-hsm-keyless" };
  TpdKeyConfig *config = tpd_key_config_new ();
  g_autofree char *pem = fixture_path ("keys/tpd-hsm-key.pem");
  g_autoptr (GPtrArray) loaded = NULL;
  g_autoptr (GError) error = NULL;
  GPtrArray *infos = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_key_info_free);

  config->allow_insecure_files = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *file = g_strdup_printf ("%s/keys/%s.xml", g_getenv ("TPD_FIXTURES"), names[i]);
      g_autofree char *password = g_strdup_printf ("%s/keys/%s.password.txt", g_getenv ("TPD_FIXTURES"), names[i]);

      tpd_key_config_add_file (config, file);
      tpd_key_config_set_password_file (config, password, &error);
      g_assert_no_error (error);
    }
  tpd_key_config_add_file (config, pem);
  loaded = tpd_keys_load (config, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < loaded->len; i++)
    {
      TpdLoadedKey *key = g_ptr_array_index (loaded, i);
      g_ptr_array_add (infos, g_steal_pointer (&key->info));
    }
  keys->keyring = tpd_keyring_new (infos);
  keys->unwrapper = tpd_unwrapper_new_in_process (loaded);
  tpd_key_config_free (config);
}

void
fixture_keys_clear (FixtureKeys *keys)
{
  g_clear_pointer (&keys->unwrapper, tpd_unwrapper_unref);
  g_clear_pointer (&keys->keyring, tpd_keyring_unref);
}
