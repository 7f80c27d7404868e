/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The BODY of a publishing license, [MS-RMPR] 2.2.9.7. Everything but the
 * server principal and what hangs on it is optional; order is not relied on.
 */
#include "license/parse_body.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "license/scan.h"
#include "license/xrml.h"

#define URLS_MAX 16

static gboolean
damaged (GError **error, const char *message)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, message);
  return FALSE;
}

static void
warn (GPtrArray *warnings, const char *sentence)
{
  g_ptr_array_add (warnings, g_strdup (sentence));
}

static gboolean
contains_nocase (const char *text, const char *word)
{
  return text != NULL && strcasestr (text, word) != NULL;
}

/* --- Identity --------------------------------------------------------- */

/* A file name for display: what stands behind the last separator. */
static char *
base_name (const char *name)
{
  const char *last = name;

  for (const char *p = name; *p != '\0'; p++)
    if (*p == '/' || *p == '\\')
      last = p + 1;
  return *last == '\0' ? NULL : g_strdup (last);
}

static void
parse_app_data (TpdLicense *license, const TpdXmlNode *body)
{
  license->app_data = tpd_xrml_app_data (body);
  for (guint i = 0; i < license->app_data->len; i++)
    {
      const TpdAppData *item = g_ptr_array_index (license->app_data, i);

      if (license->original_name == NULL && item->value != NULL && g_strcmp0 (item->id, "LICENSEMETADATA") == 0
          && g_strcmp0 (item->name, "MS.Content.Name") == 0)
        license->original_name = base_name (item->value);
    }
}

static void
parse_identity (TpdLicense *license, const TpdXmlNode *body)
{
  license->content_id = tpd_xrml_id (tpd_xml_path (body, "WORK/OBJECT/ID"));
  license->policy_id = tpd_xrml_id (tpd_xml_path (body, "DESCRIPTOR/OBJECT/ID"));
  license->issued = tpd_xml_path_text (body, "ISSUEDTIME");
  license->valid_from = tpd_xml_path_text (body, "VALIDITYTIME/FROM");
  license->valid_until = tpd_xml_path_text (body, "VALIDITYTIME/UNTIL");
  license->rms_owner = tpd_xml_path_text (body, "WORK/METADATA/OWNER/OBJECT/NAME");
  license->names = tpd_xrml_names (body);
}

/* --- Distribution points ---------------------------------------------- */

static void
add_urls (GPtrArray *urls, const TpdXmlNode *body, const char *type)
{
  for (const TpdXmlNode *point = tpd_xml_child (body, "DISTRIBUTIONPOINT"); point != NULL && urls->len < URLS_MAX;
       point = tpd_xml_next (point, "DISTRIBUTIONPOINT"))
    {
      const TpdXmlNode *object = tpd_xml_child (point, "OBJECT");
      g_autofree char *url = NULL;

      if (!tpd_xml_attribute_is (object, "type", type))
        continue;
      url = tpd_xml_path_text (object, "ADDRESS");
      if (url != NULL)
        g_ptr_array_add (urls, g_steal_pointer (&url));
    }
}

static void
parse_distribution_points (TpdLicense *license, const TpdXmlNode *body)
{
  g_autoptr (GPtrArray) urls = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) referrals = g_ptr_array_new_with_free_func (g_free);

  add_urls (urls, body, "License-Acquisition-URL");
  add_urls (urls, body, "Extranet-License-Acquisition-URL");
  g_ptr_array_add (urls, NULL);
  license->urls = (char **) g_ptr_array_steal (urls, NULL);

  add_urls (referrals, body, "Referral-Info");
  if (referrals->len > 0)
    license->referral = g_strdup (g_ptr_array_index (referrals, 0));
}

/* --- Principals ------------------------------------------------------- */

static void
parse_issuer (TpdLicense *license, const TpdXmlNode *body, GPtrArray *warnings)
{
  const TpdXmlNode *issuer = tpd_xml_child (body, "ISSUER");
  const TpdXmlNode *key = tpd_xml_child (issuer, "PUBLICKEY");
  const char *why;

  license->issuer_type = tpd_xml_attribute (tpd_xml_child (issuer, "OBJECT"), "type");
  license->author = tpd_xml_path_text (issuer, "OBJECT/NAME");
  if (key == NULL)
    return;
  license->has_issuer_key = tpd_xrml_public_key (key, &license->issuer_key, NULL, &why);
  if (!license->has_issuer_key)
    g_ptr_array_add (warnings, g_strdup_printf ("The key of the license's issuer is not usable: %s.", why));
}

static void
parse_security_levels (TpdLicense *license, const TpdXmlNode *principal)
{
  for (const TpdXmlNode *level = tpd_xml_child (principal, "SECURITYLEVEL"); level != NULL;
       level = tpd_xml_next (level, "SECURITYLEVEL"))
    {
      g_autofree char *name = tpd_xml_attribute (level, "name");

      if (license->server_version == NULL && g_strcmp0 (name, "Server-Version") == 0)
        license->server_version = tpd_xml_attribute (level, "value");
      else if (license->tenant_id == NULL && g_strcmp0 (name, "Tenant-ID") == 0)
        {
          char guid[TPD_GUID_SIZE];

          license->tenant_id = tpd_xml_attribute (level, "value");
          if (tpd_guid_parse (license->tenant_id, guid))
            {
              g_free (license->tenant_id);
              license->tenant_id = g_strdup (guid);
            }
        }
    }
}

static gboolean
parse_sealed_key (TpdLicense *license, const TpdXmlNode *principal, GPtrArray *warnings, GError **error)
{
  const TpdXmlNode *bits = tpd_xml_child (principal, "ENABLINGBITS");
  const TpdXmlNode *value = tpd_xml_child (bits, "VALUE");

  if (value == NULL)
    return damaged (error, "the publishing license holds no sealed content key");
  license->sealed = tpd_xrml_value (value, TPD_SEALED_MAX, &license->sealed_len);
  if (license->sealed == NULL || license->sealed_len == 0)
    return damaged (error, "the sealed content key of the publishing license is not valid base64 or too long");
  if (!tpd_xrml_value_size_fits (value, license->sealed_len))
    warn (warnings, "The sealed content key has another length than the license says.");

  license->seal_type_name = tpd_xml_attribute (bits, "type");
  license->seal_type = g_strcmp0 (license->seal_type_name, "sealed-key") == 0      ? TPD_SEAL_V1
                       : g_strcmp0 (license->seal_type_name, "sealed-key-v2") == 0 ? TPD_SEAL_V2
                                                                                   : TPD_SEAL_UNKNOWN;
  if (license->seal_type == TPD_SEAL_UNKNOWN)
    warn (warnings, "The content key is sealed in a way that is not known; the known ways are tried.");
  return TRUE;
}

static gboolean
parse_server (TpdLicense *license, const TpdXmlNode *body, GPtrArray *warnings, GError **error)
{
  const TpdXmlNode *principal = tpd_xrml_first_principal (body);
  const TpdXmlNode *key = tpd_xml_child (principal, "PUBLICKEY");
  gboolean size_differs;
  const char *why;

  if (principal == NULL)
    return damaged (error, "the publishing license does not name exactly one server that its content key is sealed to");
  license->server_guid = tpd_xrml_id (tpd_xml_path (principal, "OBJECT/ID"));
  license->server_name = tpd_xml_path_text (principal, "OBJECT/NAME");
  license->server_url = tpd_xml_path_text (principal, "OBJECT/ADDRESS");
  parse_security_levels (license, principal);

  if (key == NULL)
    return damaged (error, "the publishing license does not hold the public key its content key is sealed to");
  if (!tpd_xrml_public_key (key, &license->server_key, &size_differs, &why))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the server key of the publishing license is not usable: %s",
                   why);
      return FALSE;
    }
  if (size_differs)
    warn (warnings, "The server key has another length than the license says.");
  if (license->server_key.bits != 1024 && license->server_key.bits != 2048)
    warn (warnings, "The server key has an unusual length.");
  return parse_sealed_key (license, principal, warnings, error);
}

/* The characters of ISSUEDPRINCIPALS as they stand: what the hash inside the
 * sealed key was made of cannot be told from a tree. */
static void
cut_principals (TpdLicense *license, const char *text, const TpdXrmlSlice *slice)
{
  static const char open[] = "<ISSUEDPRINCIPALS", close[] = "</ISSUEDPRINCIPALS>";
  gsize start = slice->body_start, body_end = slice->body_start + slice->body_len, end;

  if (!tpd_scan_find (text, body_end, &start, open))
    return;
  end = start;
  if (!tpd_scan_find (text, body_end, &end, close) || end + strlen (close) - start > TPD_PRINCIPALS_MAX)
    return;
  license->principals_len = end + strlen (close) - start;
  license->principals = g_strndup (text + start, license->principals_len);
}

/* --- Rights data and double keys -------------------------------------- */

static void
parse_rights_data (TpdLicense *license, const TpdXmlNode *body, GPtrArray *warnings)
{
  for (const TpdXmlNode *data = tpd_xml_child (body, "AUTHENTICATEDDATA"); data != NULL;
       data = tpd_xml_next (data, "AUTHENTICATEDDATA"))
    {
      if (!tpd_xml_attribute_is (data, "id", "Encrypted-Rights-Data"))
        continue;
      license->erd = tpd_xrml_value (data, TPD_LICENSE_TEXT_MAX, &license->erd_len);
      if (license->erd == NULL)
        warn (warnings, "The encrypted rights data are not valid base64.");
      return;
    }
}

/* An address that ends in "/decrypt", as those of key services do. */
static gboolean
has_decrypt_url (const char *value)
{
  static const char word[] = "/decrypt";
  const char *p = strcasestr (value, word);

  return p != NULL && !g_ascii_isalnum (p[strlen (word)]) && contains_nocase (value, "http");
}

/*
 * How a license tells of double key encryption is not public. Signed data name
 * the key service, and the sealed key holds another RSA block: 1024 bits of it
 * exceed any single key, of which the longest takes 96 bytes.
 */
static gboolean
has_double_key_signs (const TpdLicense *license)
{
  for (guint i = 0; i < license->app_data->len; i++)
    {
      const TpdAppData *item = g_ptr_array_index (license->app_data, i);

      /* These hold names that people chose. */
      if (g_strcmp0 (item->id, "LICENSEMETADATA") == 0 || g_strcmp0 (item->id, "LABEL") == 0)
        continue;
      if (contains_nocase (item->name, "DoubleKey") || contains_nocase (item->value, "DoubleKey"))
        return TRUE;
      if (g_strcmp0 (item->name, "kid") == 0)
        return TRUE;
      if (item->value != NULL && (strstr (item->value, "\"kid\"") != NULL || has_decrypt_url (item->value)))
        return TRUE;
    }
  return license->sealed_len >= license->server_key.len + 96 + 64;
}

gboolean
tpd_parse_body (TpdLicense *license, const TpdXmlNode *body, const char *text, const TpdXrmlSlice *slice,
                GPtrArray *warnings, GError **error)
{
  parse_identity (license, body);
  parse_app_data (license, body);
  parse_distribution_points (license, body);
  parse_issuer (license, body, warnings);
  if (!parse_server (license, body, warnings, error))
    return FALSE;
  cut_principals (license, text, slice);
  parse_rights_data (license, body, warnings);
  license->double_key = has_double_key_signs (license);
  return TRUE;
}
