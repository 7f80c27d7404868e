/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loaded keys as the document process knows them: public parts only. The
 * key agent hands them over as one GVariant, which is read as untrusted: a
 * parser bug in the agent must not become one here.
 */
#include "crypto/keys.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"

/* state, modulus, exponent, guid, name, path, origin, kdf, licensor name,
 * tenant, urls, CSP, container, certificates, templates, warnings */
#define KEY_TYPE "(uayumssssumsmsasmsmsasasas)"
#define KEYRING_TYPE "a" KEY_TYPE

#define KEYS_MAX 4096
#define STRINGS_MAX 4096 /* in one list of a key */

void
tpd_key_info_free (TpdKeyInfo *info)
{
  if (!info)
    return;
  g_free (info->guid);
  g_free (info->name);
  g_free (info->path);
  g_free (info->origin);
  g_free (info->licensor_name);
  g_free (info->tenant_id);
  g_strfreev (info->urls);
  g_free (info->csp_name);
  g_free (info->key_container);
  g_strfreev (info->certificates);
  g_strfreev (info->templates);
  g_strfreev (info->warnings);
  g_free (info);
}

TpdKeyring *
tpd_keyring_new (GPtrArray *keys)
{
  TpdKeyring *keyring = g_new0 (TpdKeyring, 1);
  keyring->keys = keys;
  keyring->ref_count = 1;
  return keyring;
}

TpdKeyring *
tpd_keyring_ref (TpdKeyring *keyring)
{
  g_atomic_int_inc (&keyring->ref_count);
  return keyring;
}

void
tpd_keyring_unref (TpdKeyring *keyring)
{
  if (!keyring || !g_atomic_int_dec_and_test (&keyring->ref_count))
    return;
  g_ptr_array_unref (keyring->keys);
  g_free (keyring);
}

const TpdKeyInfo *
tpd_keyring_find (const TpdKeyring *keyring, const TpdFingerprint *fingerprint)
{
  for (guint i = 0; i < keyring->keys->len; i++)
    {
      const TpdKeyInfo *info = g_ptr_array_index (keyring->keys, i);
      if (tpd_fingerprint_equal (&info->public_key.fingerprint, fingerprint))
        return info;
    }
  return NULL;
}

const TpdKeyInfo *
tpd_keyring_find_guid (const TpdKeyring *keyring, const char *guid)
{
  for (guint i = 0; i < keyring->keys->len; i++)
    {
      const TpdKeyInfo *info = g_ptr_array_index (keyring->keys, i);
      if (g_strcmp0 (info->guid, guid) == 0)
        return info;
    }
  return NULL;
}

static int
compare_fingerprints (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, TPD_SHA256_SIZE);
}

guint64
tpd_keyring_held_mark (const TpdKeyring *keyring)
{
  g_autoptr (GArray) held = g_array_new (FALSE, FALSE, sizeof (TpdFingerprint));
  guint8 digest[TPD_SHA256_SIZE];
  guint64 mark;

  for (guint i = 0; i < keyring->keys->len; i++)
    {
      const TpdKeyInfo *info = g_ptr_array_index (keyring->keys, i);

      if (info->state == TPD_KEY_HELD)
        g_array_append_val (held, info->public_key.fingerprint);
    }
  g_array_sort (held, compare_fingerprints);
  tpd_sha256 (held->data, held->len * sizeof (TpdFingerprint), digest);
  memcpy (&mark, digest, sizeof mark);
  return MAX (GUINT64_FROM_BE (mark), 1);
}

/* Paths are bytes and GVariant strings are UTF-8. */
static GVariant *
text_variant (const char *text)
{
  return g_variant_new_take_string (g_utf8_make_valid (text ? text : "", -1));
}

static GVariant *
maybe_text_variant (const char *text)
{
  return g_variant_new_maybe (G_VARIANT_TYPE_STRING, text ? text_variant (text) : NULL);
}

static GVariant *
list_variant (char **list)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE_STRING_ARRAY);
  for (guint i = 0; list && list[i]; i++)
    g_variant_builder_add_value (&builder, text_variant (list[i]));
  return g_variant_builder_end (&builder);
}

static GVariant *
key_variant (const TpdKeyInfo *info)
{
  const TpdPublicKey *key = &info->public_key;
  GVariant *fields[] = {
    g_variant_new_uint32 (info->state),
    g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, key->modulus, key->len, 1),
    g_variant_new_uint32 (key->exponent),
    maybe_text_variant (info->guid),
    text_variant (info->name),
    text_variant (info->path),
    text_variant (info->origin),
    g_variant_new_uint32 (info->kdf),
    maybe_text_variant (info->licensor_name),
    maybe_text_variant (info->tenant_id),
    list_variant (info->urls),
    maybe_text_variant (info->csp_name),
    maybe_text_variant (info->key_container),
    list_variant (info->certificates),
    list_variant (info->templates),
    list_variant (info->warnings),
  };
  return g_variant_new_tuple (fields, G_N_ELEMENTS (fields));
}

GBytes *
tpd_keyring_serialize (const TpdKeyring *keyring)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE (KEYRING_TYPE));
  for (guint i = 0; i < keyring->keys->len; i++)
    g_variant_builder_add_value (&builder, key_variant (g_ptr_array_index (keyring->keys, i)));
  g_autoptr (GVariant) variant = g_variant_ref_sink (g_variant_builder_end (&builder));
  return g_variant_get_data_as_bytes (variant);
}

static char *
child_text (GVariant *key, gsize index)
{
  g_autoptr (GVariant) child = g_variant_get_child_value (key, index);
  return g_variant_dup_string (child, NULL);
}

static char *
child_maybe_text (GVariant *key, gsize index)
{
  g_autoptr (GVariant) child = g_variant_get_child_value (key, index);
  g_autoptr (GVariant) text = g_variant_get_maybe (child);
  return text ? g_variant_dup_string (text, NULL) : NULL;
}

static guint32
child_u32 (GVariant *key, gsize index)
{
  g_autoptr (GVariant) child = g_variant_get_child_value (key, index);
  return g_variant_get_uint32 (child);
}

/* NULL when the list is unreasonably long. */
static char **
child_list (GVariant *key, gsize index)
{
  g_autoptr (GVariant) child = g_variant_get_child_value (key, index);
  if (g_variant_n_children (child) > STRINGS_MAX)
    return NULL;
  return g_variant_dup_strv (child, NULL);
}

static gboolean
guid_is_canonical (const char *guid)
{
  char canonical[TPD_GUID_SIZE];
  return tpd_guid_parse (guid, canonical) && strcmp (guid, canonical) == 0;
}

static gboolean
public_key_from_child (GVariant *key, TpdPublicKey *out)
{
  g_autoptr (GVariant) child = g_variant_get_child_value (key, 1);
  gsize len = 0;
  const guint8 *modulus = g_variant_get_fixed_array (child, &len, 1);
  return len > 0 && len <= TPD_RSA_MAX_BYTES && tpd_public_key_from_be (out, modulus, len, child_u32 (key, 2));
}

static TpdKeyInfo *
key_info_from_variant (GVariant *key)
{
  g_autoptr (TpdKeyInfo) info = g_new0 (TpdKeyInfo, 1);
  guint32 state = child_u32 (key, 0);
  info->guid = child_maybe_text (key, 3);
  info->name = child_text (key, 4);
  info->path = child_text (key, 5);
  info->origin = child_text (key, 6);
  info->kdf = child_u32 (key, 7);
  info->licensor_name = child_maybe_text (key, 8);
  info->tenant_id = child_maybe_text (key, 9);
  info->urls = child_list (key, 10);
  info->csp_name = child_maybe_text (key, 11);
  info->key_container = child_maybe_text (key, 12);
  info->certificates = child_list (key, 13);
  info->templates = child_list (key, 14);
  info->warnings = child_list (key, 15);

  if ((state != TPD_KEY_HELD && state != TPD_KEY_KEYLESS) || info->kdf > 2
      || !public_key_from_child (key, &info->public_key) || (info->guid && !guid_is_canonical (info->guid))
      || !info->urls || !info->certificates || !info->templates || !info->warnings)
    return NULL;
  info->state = (TpdKeyState) state;
  return g_steal_pointer (&info);
}

TpdKeyring *
tpd_keyring_deserialize (GBytes *bytes, GError **error)
{
  g_autoptr (GVariant) variant =
      g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (KEYRING_TYPE), bytes, FALSE));
  if (!g_variant_is_normal_form (variant) || g_variant_n_children (variant) > KEYS_MAX)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_AGENT, "The key agent sent a list of keys that cannot be read");
      return NULL;
    }

  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_key_info_free);
  gsize n = g_variant_n_children (variant);
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (variant, i);
      TpdKeyInfo *info = key_info_from_variant (child);
      if (!info)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_AGENT,
                       "The key agent sent a description of key %" G_GSIZE_FORMAT " that makes no sense", i + 1);
          return NULL;
        }
      g_ptr_array_add (keys, info);
    }
  return tpd_keyring_new (g_steal_pointer (&keys));
}
