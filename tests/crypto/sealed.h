/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENABLINGBITS cut out of the licenses of the fixtures' pfiles with plain
 * string search (reading licenses is for license/ to do), and the fixtures'
 * keys.
 */
#pragma once

#include <json-glib/json-glib.h>
#include <string.h>

#include "base/text.h"
#include "crypto/keyfile.h"
#include "crypto/unwrapper.h"

typedef struct {
  const char *path;
  JsonObject *entry; /* of manifest.json */
  guint8 *bits;
  char *principals;
  TpdUnwrapRequest request; /* points to the two above */
} Sealed;

static inline void
sealed_free (Sealed *sealed)
{
  g_free (sealed->bits);
  g_free (sealed->principals);
  json_object_unref (sealed->entry);
  g_free (sealed);
}

/* The text of the first license in a file, as UTF-8; NULL if there is none. */
static inline char *
sealed_license_text (const char *data, gsize len)
{
  static const char wide[] = { '<', 0, 'X', 0, 'r', 0, 'M', 0, 'L', 0 };
  const char *narrow = memmem (data, len, "<XrML", 5);
  if (narrow)
    return g_strndup (narrow, len - (gsize) (narrow - data));
  const char *at = memmem (data, len, wide, sizeof wide);
  static const char wide_end[] = { '<', 0, '/', 0, 'X', 0, 'r', 0, 'M', 0, 'L', 0, '>', 0 };
  const char *end = at ? memmem (at, len - (gsize) (at - data), wide_end, sizeof wide_end) : NULL;
  return end ? g_convert (at, end - at, "UTF-8", "UTF-16LE", NULL, NULL, NULL) : NULL;
}

static inline char *
sealed_between (const char *text, const char *from, const char *to, gboolean inclusive)
{
  const char *start = text ? strstr (text, from) : NULL;
  const char *end = start ? strstr (start + strlen (from), to) : NULL;
  if (!end)
    return NULL;
  if (inclusive)
    end += strlen (to);
  else
    start += strlen (from);
  return g_strndup (start, (gsize) (end - start));
}

static inline void
sealed_fingerprint (const char *hex, TpdFingerprint *out)
{
  g_assert_cmpuint (strlen (hex), ==, 2 * sizeof out->bytes);
  for (gsize i = 0; i < sizeof out->bytes; i++)
    out->bytes[i] = (guint8) (g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]));
}

static inline Sealed *
sealed_from_entry (const char *fixtures, JsonObject *entry)
{
  g_autofree char *path = g_build_filename (fixtures, "share", json_object_get_string_member (entry, "path"), NULL);
  g_autofree char *data = NULL;
  gsize len;
  g_assert_true (g_file_get_contents (path, &data, &len, NULL));
  g_autofree char *text = sealed_license_text (data, len);
  g_autofree char *principals = sealed_between (text, "<ISSUEDPRINCIPALS>", "</ISSUEDPRINCIPALS>", TRUE);
  g_autofree char *element = sealed_between (principals, "<ENABLINGBITS", "</ENABLINGBITS>", TRUE);
  g_autofree char *value = sealed_between (element, "<VALUE", "</VALUE>", TRUE);
  if (!value)
    return NULL;
  g_autofree char *base64 = sealed_between (value, ">", "<", FALSE);

  Sealed *sealed = g_new0 (Sealed, 1);
  sealed->path = json_object_get_string_member (entry, "path");
  sealed->entry = json_object_ref (entry);
  sealed->bits = tpd_base64_decode (base64, strlen (base64), TPD_SEALED_MAX, &sealed->request.sealed_len);
  g_assert_nonnull (sealed->bits);
  sealed->principals = g_steal_pointer (&principals);
  sealed->request.sealed = sealed->bits;
  sealed->request.type = strstr (element, "sealed-key-v2") ? TPD_SEAL_V2 : TPD_SEAL_V1;
  sealed->request.principals = sealed->principals;
  sealed->request.principals_len = strlen (sealed->principals);
  sealed_fingerprint (json_object_get_string_member (entry, "key_fingerprint"), &sealed->request.key);
  return sealed;
}

/* Of all pfiles of the share whose license can be cut. */
static inline GPtrArray *
sealed_load_all (void)
{
  const char *fixtures = g_getenv ("TPD_FIXTURES");
  g_assert_nonnull (fixtures);
  g_autofree char *manifest = g_build_filename (fixtures, "manifest.json", NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;
  json_parser_load_from_file (parser, manifest, &error);
  g_assert_no_error (error);
  JsonArray *files = json_object_get_array_member (json_node_get_object (json_parser_get_root (parser)), "files");

  GPtrArray *all = g_ptr_array_new_with_free_func ((GDestroyNotify) sealed_free);
  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      if (strcmp (json_object_get_string_member (entry, "kind"), "pfile") != 0
          || !json_object_has_member (entry, "key_fingerprint")
          || json_object_get_null_member (entry, "key_fingerprint"))
        continue;
      Sealed *sealed = sealed_from_entry (fixtures, entry);
      if (sealed)
        g_ptr_array_add (all, sealed);
    }
  return all;
}

static inline Sealed *
sealed_find (GPtrArray *all, const char *name)
{
  for (guint i = 0; i < all->len; i++)
    {
      Sealed *sealed = g_ptr_array_index (all, i);
      g_autofree char *base = g_path_get_basename (sealed->path);
      if (strcmp (base, name) == 0)
        return sealed;
    }
  g_error ("no fixture %s", name);
}

/* The role of the key that a fixture is sealed to: "cloud", "lost", ... */
static inline const char *
sealed_role (const Sealed *sealed)
{
  return json_object_get_string_member (sealed->entry, "key_role");
}

/* All keys of the set to load. The archive keeps no tight modes. */
static inline TpdKeyConfig *
sealed_key_config (void)
{
  static const char *const names[] = { "tpd-cloud", "tpd-cloud-archived", "tpd-onprem", "tpd-mode1-v1compatible",
                                       "tpd-hsm-keyless" };
  const char *fixtures = g_getenv ("TPD_FIXTURES");
  TpdKeyConfig *config = tpd_key_config_new ();

  g_assert_nonnull (fixtures);
  config->allow_insecure_files = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *file = g_strdup_printf ("%s/keys/%s.xml", fixtures, names[i]);
      g_autofree char *password = g_strdup_printf ("%s/keys/%s.password.txt", fixtures, names[i]);
      tpd_key_config_add_file (config, file);
      g_assert_true (tpd_key_config_set_password_file (config, password, NULL));
    }
  g_autofree char *pem = g_strdup_printf ("%s/keys/tpd-hsm-key.pem", fixtures);
  tpd_key_config_add_file (config, pem);
  return config;
}
