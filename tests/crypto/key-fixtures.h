/* SPDX-License-Identifier: Apache-2.0 */
/* The key files of the fixtures and what keys/README.json says of them, for
 * the tests of the key file readers. */
#pragma once

#include <json-glib/json-glib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "crypto/keyfile.h"

static inline char *
key_fixture_path (const char *name)
{
  return g_build_filename (g_getenv ("TPD_FIXTURES"), "keys", name, NULL);
}

static inline GBytes *
key_fixture (const char *name)
{
  g_autofree char *path = key_fixture_path (name);
  g_autoptr (GError) error = NULL;
  char *data;
  gsize len;

  g_file_get_contents (path, &data, &len, &error);
  g_assert_no_error (error);
  return g_bytes_new_take (data, len);
}

/* The array `list` of README.json: "tpds" or "keys". */
static inline JsonArray *
key_fixture_list (const char *list)
{
  g_autofree char *path = key_fixture_path ("README.json");
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autoptr (GError) error = NULL;

  json_parser_load_from_file (parser, path, &error);
  g_assert_no_error (error);
  return json_array_ref (json_object_get_array_member (json_node_get_object (json_parser_get_root (parser)), list));
}

/* A password that counts how often it is asked for. */
typedef struct {
  const char *text;
  guint asked;
} TestPassword;

static inline TpdSecret *
test_password (gpointer user_data, GError **error)
{
  TestPassword *password = user_data;

  password->asked++;
  return tpd_secret_new (password->text, strlen (password->text));
}

static inline const TpdLoadedKey *
key_at (GPtrArray *keys, guint i)
{
  g_assert_nonnull (keys);
  g_assert_cmpuint (i, <, keys->len);
  return g_ptr_array_index (keys, i);
}

static inline void
assert_fingerprint (const TpdPublicKey *key, const char *expected)
{
  g_autofree char *hex = tpd_hex (key->fingerprint.bytes, sizeof key->fingerprint.bytes);

  g_assert_cmpstr (hex, ==, expected);
}

/* A sentence for a person: it names the file and does not run on. */
static inline void
assert_sentence (const GError *error, const char *name)
{
  g_autofree char *prefix = g_strconcat (name, ": ", NULL);

  g_assert_nonnull (error);
  g_assert_true (g_str_has_prefix (error->message, prefix));
  g_assert_cmpuint (strlen (error->message), <, 600);
}
