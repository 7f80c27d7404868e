/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A publishing license from its stored bytes: decode, split, choose, read,
 * check the signature and the certificate behind it.
 */
#include "license/license.h"

#include <string.h>

#include "base/error.h"
#include "license/certificate.h"
#include "license/parse_body.h"
#include "license/signature.h"
#include "license/text.h"
#include "license/xrml.h"

/* --- Lifetime --------------------------------------------------------- */

TpdLicense *
tpd_license_ref (TpdLicense *license)
{
  g_atomic_int_inc (&license->ref_count);
  return license;
}

void
tpd_license_unref (TpdLicense *license)
{
  if (license == NULL || !g_atomic_int_dec_and_test (&license->ref_count))
    return;
  g_strfreev (license->document_types);
  g_free (license->content_id);
  g_free (license->policy_id);
  g_free (license->issued);
  g_free (license->valid_from);
  g_free (license->valid_until);
  g_free (license->rms_owner);
  g_free (license->author);
  g_free (license->issuer_type);
  g_free (license->original_name);
  g_clear_pointer (&license->names, g_ptr_array_unref);
  g_strfreev (license->urls);
  g_free (license->referral);
  g_clear_pointer (&license->app_data, g_ptr_array_unref);
  g_free (license->server_guid);
  g_free (license->server_name);
  g_free (license->server_url);
  g_free (license->server_version);
  g_free (license->tenant_id);
  g_free (license->seal_type_name);
  g_free (license->sealed);
  g_free (license->principals);
  g_free (license->erd);
  g_strfreev (license->warnings);
  g_free (license);
}

/* --- The documents of the chain --------------------------------------- */

static void
warn_about_signature (TpdSignatureState state, GPtrArray *warnings)
{
  static const char *const sentences[] = {
    [TPD_SIGNATURE_NONE] = "The license is not signed.",
    [TPD_SIGNATURE_GOOD] = NULL,
    [TPD_SIGNATURE_REPAIRED] = "The license was re-formatted: its signature is good once white space between tags is "
                               "removed.",
    [TPD_SIGNATURE_BAD] = "The signature of the license does not verify: it was changed after it was signed.",
    [TPD_SIGNATURE_UNKNOWN] = "The signature of the license cannot be checked: its form is not understood.",
  };

  if (sentences[state] != NULL)
    g_ptr_array_add (warnings, g_strdup (sentences[state]));
}

/* Whether `certificate` lets the issuer of `license` publish for its server. */
static gboolean
links_to_server (const TpdLicense *license, const TpdCertificate *certificate)
{
  return license->has_issuer_key && certificate->links
         && tpd_fingerprint_equal (&certificate->issuer, &license->server_key.fingerprint)
         && tpd_fingerprint_equal (&certificate->subject, &license->issuer_key.fingerprint);
}

/* The certificates behind the license at `index`: its types, and the link. */
static void
read_documents_behind (TpdLicense *license, const char *text, GArray *slices, guint index, GPtrArray *types,
                       GPtrArray *warnings)
{
  gboolean has_certificate = FALSE;

  license->chain_linked = license->has_issuer_key
                          && tpd_fingerprint_equal (&license->issuer_key.fingerprint, &license->server_key.fingerprint);
  for (guint i = index + 1; i < slices->len; i++)
    {
      TpdCertificate certificate;

      tpd_certificate_read (text, &g_array_index (slices, TpdXrmlSlice, i), &certificate);
      if (certificate.type == NULL)
        {
          g_ptr_array_add (types, g_strdup ("damaged"));
          g_ptr_array_add (warnings, g_strdup ("A certificate behind the license is damaged."));
          continue;
        }
      g_ptr_array_add (types, certificate.type);
      has_certificate = TRUE;
      license->chain_linked = license->chain_linked || links_to_server (license, &certificate);
    }
  if (has_certificate && !license->chain_linked)
    g_ptr_array_add (warnings, g_strdup ("The certificates behind the license do not lead to the server it names."));
}

static TpdLicense *
parse (const guint8 *data, gsize len, gboolean brief, GError **error)
{
  g_autoptr (TpdLicense) license = g_new0 (TpdLicense, 1);
  g_autoptr (TpdLicenseText) text = tpd_license_text_decode (data, len, error);
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) types = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GArray) slices = NULL;
  g_autoptr (TpdXml) doc = NULL;
  const TpdXrmlSlice *slice = NULL;
  const TpdXmlNode *body = NULL;
  guint i;

  license->ref_count = 1;
  if (text == NULL)
    return NULL;
  /* Not only inside a document: a DOCTYPE stands in front of it. */
  if (tpd_xml_has_doctype (text->text, text->len))
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                           "the publishing license carries a document type declaration, which no license has");
      return NULL;
    }
  slices = tpd_license_split (text->text, text->len);
  for (i = 0; i < slices->len && body == NULL; i++)
    {
      slice = &g_array_index (slices, TpdXrmlSlice, i);
      g_clear_pointer (&doc, tpd_xml_free);
      /* One that cannot be read may be the license: none behind it is taken. */
      doc = tpd_xml_parse (text->text + slice->start, slice->len, "publishing license", error);
      if (doc == NULL)
        return NULL;
      g_ptr_array_add (types, tpd_certificate_type (doc));
      body = tpd_xrml_body (doc, TPD_XRML_LABEL);
    }
  if (body == NULL)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                           slices->len == 0 ? "the publishing license holds no complete XrML document"
                                            : "none of the XrML documents is a publishing license");
      return NULL;
    }

  license->encoding = text->encoding;
  license->n_documents = slices->len;
  if (!tpd_parse_body (license, body, text->text, slice, warnings, error))
    return NULL;
  license->signature = TPD_SIGNATURE_UNKNOWN;
  if (!brief)
    {
      license->signature = tpd_signature_check (text->text, slice, doc,
                                                license->has_issuer_key ? &license->issuer_key : NULL, license->sha256);
      warn_about_signature (license->signature, warnings);
      read_documents_behind (license, text->text, slices, i - 1, types, warnings);
    }

  g_ptr_array_add (types, NULL);
  license->document_types = (char **) g_ptr_array_steal (types, NULL);
  g_ptr_array_add (warnings, NULL);
  license->warnings = (char **) g_ptr_array_steal (warnings, NULL);
  return g_steal_pointer (&license);
}

TpdLicense *
tpd_license_parse (const guint8 *data, gsize len, GError **error)
{
  return parse (data, len, FALSE, error);
}

TpdLicense *
tpd_license_parse_brief (const guint8 *data, gsize len, GError **error)
{
  return parse (data, len, TRUE, error);
}

const char *
tpd_license_name (const TpdLicense *license, guint lcid)
{
  const TpdDescriptorName *best = NULL;

  for (guint i = 0; i < license->names->len; i++)
    {
      const TpdDescriptorName *name = g_ptr_array_index (license->names, i);

      if (name->lcid == lcid)
        return name->name;
      if (best == NULL || (name->lcid == 1033 && best->lcid != 1033))
        best = name;
    }
  return best == NULL ? NULL : best->name;
}

const char *
tpd_signature_word (TpdSignatureState state)
{
  static const char *const words[] = {
    [TPD_SIGNATURE_NONE] = "none", [TPD_SIGNATURE_GOOD] = "good",       [TPD_SIGNATURE_REPAIRED] = "repaired",
    [TPD_SIGNATURE_BAD] = "bad",   [TPD_SIGNATURE_UNKNOWN] = "unknown",
  };

  return words[state];
}
