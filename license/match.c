/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a license to its key: keys are matched by modulus, the GUID is a label
 * ([MS-RMPR] 3.5.4.1 compares both, RSA only needs the modulus). The content
 * key itself comes from the unwrapper.
 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "license/license.h"

/* A key of this modulus; one with its private key if there are several. */
static const TpdKeyInfo *
find_key (const TpdLicense *license, const TpdKeyring *keyring)
{
  const TpdFingerprint *wanted = &license->server_key.fingerprint;
  const TpdKeyInfo *found;

  if (keyring == NULL)
    return NULL;
  found = tpd_keyring_find (keyring, wanted);
  for (guint i = 0; found != NULL && found->state != TPD_KEY_HELD && i < keyring->keys->len; i++)
    {
      const TpdKeyInfo *key = g_ptr_array_index (keyring->keys, i);

      if (key->state == TPD_KEY_HELD && tpd_fingerprint_equal (&key->public_key.fingerprint, wanted))
        found = key;
    }
  return found;
}

static void
append_detail (GString *message, const char *word, const char *value)
{
  g_autofree char *shown = NULL;

  if (value == NULL)
    return;
  shown = tpd_display (value);
  g_string_append_printf (message, ", %s %s", word, shown);
}

/* "GUID g, n bits, fingerprint f, tenant t, URL u": text of the license is not
 * trusted, so it is escaped. */
static void
append_wanted_key (GString *message, const TpdLicense *license)
{
  g_autofree char *fingerprint = tpd_hex (license->server_key.fingerprint.bytes, TPD_SHA256_SIZE);
  g_autofree char *guid = tpd_display (license->server_guid == NULL ? "unknown" : license->server_guid);

  g_string_append_printf (message, "GUID %s, %u bits, fingerprint %s", guid, license->server_key.bits, fingerprint);
  append_detail (message, "tenant", license->tenant_id);
  append_detail (message, "URL", license->urls[0] != NULL ? license->urls[0] : license->server_url);
}

static void
append_keyless_hint (GString *message, const TpdKeyInfo *key)
{
  g_string_append_printf (message, "; the key file \"%s\" has its certificate but not the private key", key->name);
  if (key->csp_name != NULL)
    g_string_append_printf (message, ", which is said to be in \"%s\"", key->csp_name);
  if (key->key_container != NULL)
    g_string_append_printf (message, " (key container \"%s\")", key->key_container);
  g_string_append (message, ": load the private key as well");
}

static void
append_guid_hint (GString *message, const TpdKeyInfo *key)
{
  g_autofree char *fingerprint = tpd_hex (key->public_key.fingerprint.bytes, TPD_SHA256_SIZE);

  g_string_append_printf (message,
                          "; the loaded key \"%s\" has the same GUID but is another key (fingerprint %s) and cannot "
                          "open it",
                          key->name, fingerprint);
}

const TpdKeyInfo *
tpd_license_match_key (const TpdLicense *license, const TpdKeyring *keyring, GError **error)
{
  const TpdKeyInfo *key = find_key (license, keyring), *namesake = NULL;
  GString *message;

  if (key != NULL && key->state == TPD_KEY_HELD)
    return key;

  message = g_string_new (NULL);
  g_string_append_printf (message, "it is sealed to a key that is not %s: ", key == NULL ? "loaded" : "complete");
  append_wanted_key (message, license);
  if (key != NULL)
    append_keyless_hint (message, key);
  else if (keyring != NULL && license->server_guid != NULL)
    namesake = tpd_keyring_find_guid (keyring, license->server_guid);
  if (namesake != NULL)
    append_guid_hint (message, namesake);
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_NO_KEY, message->str);
  g_string_free (message, TRUE);
  return NULL;
}

static void
set_unwrap_error (const TpdLicense *license, const TpdKeyInfo *key, TpdUnwrapStatus status, GError **error)
{
  const char *name = key->guid != NULL ? key->guid : key->name;

  /* A layout that is not known is likelier than damage when the license says
   * that a second key is needed. */
  if (status == TPD_UNWRAP_REFUSED && license->double_key)
    status = TPD_UNWRAP_DOUBLE_KEY;
  switch (status)
    {
    case TPD_UNWRAP_REFUSED:
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "the sealed content key does not open with key %s: it is damaged", name);
      break;
    case TPD_UNWRAP_DOUBLE_KEY:
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DOUBLE_KEY,
                           "it is encrypted with two keys (Double Key Encryption): besides the tenant key it needs the "
                           "private key of the double key service: load that beside it, as a key file of its own");
      break;
    case TPD_UNWRAP_UNSUPPORTED:
      g_set_error_literal (
          error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
          "its content is encrypted with DES, as early clients of 2003 did, which is not supported: let "
          "a client of that kind save it without protection while its server is still there");
      break;
    case TPD_UNWRAP_OK:
    case TPD_UNWRAP_UNAVAILABLE:
      g_set_error (error, TPD_ERROR, TPD_ERROR_AGENT, "the key agent cannot use key %s now", name);
      break;
    }
}

gboolean
tpd_license_request (const TpdLicense *license, const TpdKeyring *keyring, TpdPurpose purpose,
                     TpdUnwrapRequest *request, GError **error)
{
  if (tpd_license_match_key (license, keyring, error) == NULL)
    return FALSE;
  *request = (TpdUnwrapRequest){
    .sealed = license->sealed,
    .sealed_len = license->sealed_len,
    .type = license->seal_type,
    .key = license->server_key.fingerprint,
    .principals = license->principals,
    .principals_len = license->principals_len,
    .purpose = purpose,
  };
  return TRUE;
}

TpdContentKey *
tpd_license_take_reply (const TpdLicense *license, const TpdKeyring *keyring, const TpdUnwrapReply *reply,
                        GError **error)
{
  const TpdKeyInfo *key;

  if (reply->status == TPD_UNWRAP_OK && reply->key != NULL)
    return tpd_content_key_ref (reply->key);
  key = tpd_license_match_key (license, keyring, error);
  if (key != NULL)
    set_unwrap_error (license, key, reply->status, error);
  return NULL;
}

TpdContentKey *
tpd_license_unwrap (const TpdLicense *license, const TpdKeyring *keyring, TpdUnwrapper *unwrapper, TpdPurpose purpose,
                    char **trace, GError **error)
{
  g_auto (TpdUnwrapReply) reply = { 0 };
  TpdUnwrapRequest request;

  if (trace != NULL)
    *trace = NULL;
  if (!tpd_license_request (license, keyring, purpose, &request, error))
    return NULL;
  tpd_unwrapper_unwrap (unwrapper, &request, &reply);
  if (trace != NULL)
    *trace = g_steal_pointer (&reply.trace);
  return tpd_license_take_reply (license, keyring, &reply, error);
}
