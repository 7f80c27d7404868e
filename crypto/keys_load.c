/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads all keys of a configuration, in the key agent. The first file or token
 * that fails ends it: a mount that silently lacks a key would show documents as
 * unreadable that are not.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "crypto/keyfile.h"
#include "crypto/password.h"
#include "crypto/token_key.h"

/* Templates make some exports large. */
#define KEY_FILE_MAX (64 * 1024 * 1024)

/* How the warning of a keyless domain begins, which a private key that comes
 * later makes void. */
#define KEYLESS_WARNING "the domain holds no private key"

/* The password of one spec; a descriptor can be read only once. */
typedef struct {
  const TpdKeySpec *spec;
  gboolean allow_insecure;
  TpdSecret *password;
} PasswordSource;

static TpdSecret *
get_password (gpointer user_data, GError **error)
{
  PasswordSource *source = user_data;

  if (!source->password)
    source->password = tpd_password_get (source->spec, source->allow_insecure, error);
  return source->password ? tpd_secret_ref (source->password) : NULL;
}

static void G_GNUC_PRINTF (2, 3) warn (TpdKeyInfo *info, const char *format, ...)
{
  g_autoptr (GStrvBuilder) list = g_strv_builder_new ();
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  if (info->warnings)
    g_strv_builder_addv (list, (const char **) info->warnings);
  g_strv_builder_add (list, text);
  g_strfreev (info->warnings);
  info->warnings = g_strv_builder_end (list);
}

/* `from` keeps its own; `skip` is the start of those not wanted. */
static void
take_warnings (TpdKeyInfo *info, char **from, const char *skip)
{
  for (guint i = 0; from && from[i]; i++)
    if (!skip || !g_str_has_prefix (from[i], skip))
      warn (info, "%s", from[i]);
}

static gboolean
same_directory (const char *a, const char *b)
{
  g_autofree char *a_folder = g_path_get_dirname (a);
  g_autofree char *b_folder = g_path_get_dirname (b);
  char *a_real = realpath (a_folder, NULL), *b_real = realpath (b_folder, NULL);
  gboolean same = a_real && b_real && strcmp (a_real, b_real) == 0;

  free (a_real);
  free (b_real);
  return same;
}

static GPtrArray *
load_file (const TpdKeySpec *spec, const char *path, PasswordSource *source, GError **error)
{
  g_autoptr (TpdSecret) data = tpd_secret_file_read (path, KEY_FILE_MAX, source->allow_insecure, error);
  if (!data)
    return NULL;

  g_autoptr (GPtrArray) keys = tpd_key_file_read (path, data->data, data->len, get_password, source, error);
  for (guint i = 0; keys && i < keys->len; i++)
    {
      TpdKeyInfo *info = ((TpdLoadedKey *) g_ptr_array_index (keys, i))->info;
      g_free (info->name);
      info->name = g_strdup (spec->name);
      g_free (info->path);
      info->path = g_strdup (path);
      if (spec->password_kind == TPD_PASSWORD_FILE && source->password && same_directory (path, spec->password_source))
        warn (info, "the password file %s lies in the same directory as the key: whoever copies the directory has both",
              spec->password_source);
    }
  return g_steal_pointer (&keys);
}

static void
replace_text (char **text, const char *by)
{
  g_free (*text);
  *text = g_strdup (by);
}

/* A keyless domain gets the private key that another file or a token holds. */
static void
join (TpdLoadedKey *keyless, const TpdLoadedKey *bare)
{
  TpdKeyInfo *info = keyless->info;
  g_auto (GStrv) before = g_steal_pointer (&info->warnings);

  if (bare->key)
    keyless->key = tpd_private_key_ref (bare->key);
  if (bare->token)
    {
      keyless->token = tpd_token_key_ref (bare->token);
      replace_text (&info->name, bare->info->name);
      replace_text (&info->path, bare->info->path);
      replace_text (&info->origin, bare->info->origin);
      replace_text (&info->csp_name, bare->info->csp_name);
      replace_text (&info->key_container, bare->info->key_container);
    }
  info->state = TPD_KEY_HELD;
  info->public_key = *tpd_loaded_key_held (bare);
  take_warnings (info, before, KEYLESS_WARNING);
  take_warnings (info, bare->info->warnings, NULL);
}

static TpdLoadedKey *
find_same (GPtrArray *keys, const TpdLoadedKey *loaded, guint *index)
{
  for (guint i = 0; i < keys->len; i++)
    {
      TpdLoadedKey *key = g_ptr_array_index (keys, i);
      if (tpd_fingerprint_equal (&key->info->public_key.fingerprint, &loaded->info->public_key.fingerprint))
        {
          *index = i;
          return key;
        }
    }
  return NULL;
}

static void
replace (GPtrArray *keys, guint index, TpdLoadedKey *by)
{
  tpd_loaded_key_free (g_ptr_array_index (keys, index));
  g_ptr_array_index (keys, index) = by;
}

/* Adds `loaded` (transfer full) so that each modulus stands there once. */
static void
absorb (GPtrArray *keys, TpdLoadedKey *loaded)
{
  guint index = 0;
  TpdLoadedKey *same = find_same (keys, loaded, &index);

  if (!same)
    g_ptr_array_add (keys, loaded);
  else if (!tpd_loaded_key_held (same) && tpd_loaded_key_held (loaded))
    {
      join (same, loaded);
      tpd_loaded_key_free (loaded);
    }
  else if (tpd_loaded_key_held (same) && !tpd_loaded_key_held (loaded))
    {
      join (loaded, same);
      replace (keys, index, loaded);
    }
  else if (!same->info->guid && loaded->info->guid)
    {
      warn (loaded->info, "the same key is also in %s; the one with its certificate is used", same->info->path);
      replace (keys, index, loaded);
    }
  else
    {
      warn (same->info, "the same key is also in %s; one of them is enough", loaded->info->path);
      tpd_loaded_key_free (loaded);
    }
}

static void
absorb_all (GPtrArray *keys, GPtrArray *from)
{
  g_ptr_array_set_free_func (from, NULL);
  for (guint i = 0; i < from->len; i++)
    absorb (keys, g_ptr_array_index (from, i));
}

/* `licensor=` must be about the key it stands next to. */
static gboolean
check_licensor (const TpdKeySpec *spec, GPtrArray *keys, GPtrArray *licensors, GError **error)
{
  guint index;

  for (guint i = 0; i < licensors->len; i++)
    if (find_same (keys, g_ptr_array_index (licensors, i), &index))
      return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_MISMATCH,
               "%s: the certificate in %s, given as its licensor, is that of another key",
               spec->file ? spec->file : spec->name, spec->licensor);
  return FALSE;
}

/* The keyless domain next to the key of `spec`; `source` is for that key. */
static GPtrArray *
load_licensor (const TpdKeySpec *spec, PasswordSource *source, GError **error)
{
  TpdKeySpec other = *spec;
  PasswordSource own = { &other, source->allow_insecure, NULL };
  PasswordSource *used = source;

  other.file = spec->licensor;
  if (spec->uri)
    {
      /* What the other words name is the PIN of the token. */
      other.uri = NULL;
      other.password_kind = spec->licensor_password_file ? TPD_PASSWORD_FILE : TPD_PASSWORD_PROMPT;
      other.password_source = spec->licensor_password_file;
    }
  /* Typed passwords are asked for each file, others serve both. */
  if (other.password_kind == TPD_PASSWORD_PROMPT || spec->uri)
    used = &own;
  GPtrArray *licensors = load_file (&other, spec->licensor, used, error);
  g_clear_pointer (&own.password, tpd_secret_unref);
  return licensors;
}

/* The file in `own`, with the keyless domain next to it in `licensors`. */
static gboolean
load_file_spec (const TpdKeySpec *spec, gboolean allow_insecure, GPtrArray **own, GPtrArray **licensors, GError **error)
{
  PasswordSource source = { spec, allow_insecure, NULL };
  gboolean ok;

  *own = load_file (spec, spec->file, &source, error);
  ok = *own != NULL;
  if (ok && spec->licensor)
    {
      *licensors = load_licensor (spec, &source, error);
      ok = *licensors && check_licensor (spec, *own, *licensors, error);
    }
  g_clear_pointer (&source.password, tpd_secret_unref);
  return ok;
}

/* Takes `token`. */
static TpdLoadedKey *
loaded_from_token (const TpdKeySpec *spec, TpdTokenKey *token)
{
  TpdLoadedKey *loaded = g_new0 (TpdLoadedKey, 1);
  TpdKeyInfo *info = g_new0 (TpdKeyInfo, 1);

  info->state = TPD_KEY_HELD;
  info->public_key = *tpd_token_key_operation (token)->public_key;
  info->name = g_strdup (spec->name);
  info->path = tpd_pkcs11_uri_display (spec->uri);
  info->origin = g_strdup ("pkcs11");
  info->csp_name = g_strdup (tpd_token_key_token_label (token));
  info->key_container = g_strdup (tpd_token_key_label (token));
  if (tpd_token_key_warning (token))
    warn (info, "%s", tpd_token_key_warning (token));
  loaded->info = info;
  loaded->token = token;
  return loaded;
}

/* The token likewise. A domain of one key says by its modulus which key of the
 * token is meant. */
static gboolean
load_token_spec (const TpdKeySpec *spec, TpdTokenHelper *helper, gboolean allow_insecure, GPtrArray **own,
                 GPtrArray **licensors, GError **error)
{
  PasswordSource source = { spec, allow_insecure, NULL };
  const TpdPublicKey *wanted = NULL;

  if (spec->licensor)
    {
      *licensors = load_licensor (spec, &source, error);
      if (!*licensors)
        return FALSE;
      if ((*licensors)->len == 1)
        wanted = &((TpdLoadedKey *) g_ptr_array_index (*licensors, 0))->info->public_key;
    }
  TpdTokenKey *token = tpd_token_key_open (helper, get_password, &source, wanted, error);
  g_clear_pointer (&source.password, tpd_secret_unref);
  if (!token)
    {
      g_prefix_error (error, "%s: ", spec->name);
      return FALSE;
    }
  *own = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_loaded_key_free);
  g_ptr_array_add (*own, loaded_from_token (spec, token));
  return !*licensors || check_licensor (spec, *own, *licensors, error);
}

static gboolean
load_spec (const TpdKeySpec *spec, TpdTokenHelper *helper, gboolean allow_insecure, GPtrArray *keys, GError **error)
{
  g_autoptr (GPtrArray) own = NULL, licensors = NULL;

  if (!(spec->uri ? load_token_spec (spec, helper, allow_insecure, &own, &licensors, error)
                  : load_file_spec (spec, allow_insecure, &own, &licensors, error)))
    return FALSE;
  absorb_all (keys, own);
  if (licensors)
    absorb_all (keys, licensors);
  return TRUE;
}

GPtrArray *
tpd_keys_load_with (const TpdKeyConfig *config, GPtrArray *helpers, GError **error)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_loaded_key_free);

  for (guint i = 0; i < config->specs->len; i++)
    if (!load_spec (g_ptr_array_index (config->specs, i), g_ptr_array_index (helpers, i), config->allow_insecure_files,
                    keys, error))
      return NULL;
  return g_steal_pointer (&keys);
}

GPtrArray *
tpd_keys_load (const TpdKeyConfig *config, GError **error)
{
  g_autoptr (GPtrArray) helpers = tpd_token_helpers_start (config, 1, error);

  return helpers ? tpd_keys_load_with (config, helpers, error) : NULL;
}
