/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key that a license is sealed to, and nothing else of it: a mount asks that
 * of every protected file that is listed. Only a license of plain form that is
 * the first document is looked at; it is read as tpd_license_parse() reads it,
 * to which all others are left.
 */
#include <string.h>

#include "license/license.h"
#include "license/scan.h"
#include "license/text.h"
#include "license/xml_tree.h"
#include "license/xrml.h"

/* Moves `*at` to the first document: there may be an XML declaration before it. */
static gboolean
find_document (const TpdLicenseText *text, gsize *at)
{
  while (*at < text->len && tpd_is_space ((guchar) text->text[*at]))
    (*at)++;
  if (tpd_scan_at (text->text, text->len, *at, "<?xml "))
    {
      gsize start = *at + 1;

      /* One that does not end before the document hides the document. */
      if (!tpd_scan_find (text->text, text->len, at, "?>") || memchr (text->text + start, '<', *at - start) != NULL)
        return FALSE;
      *at += 2;
      while (*at < text->len && tpd_is_space ((guchar) text->text[*at]))
        (*at)++;
    }
  return tpd_scan_at (text->text, text->len, *at, "<XrML");
}

gboolean
tpd_license_peek_key (const guint8 *data, gsize len, TpdPublicKey *out)
{
  g_autoptr (TpdLicenseText) text = tpd_license_text_decode (data, len, NULL);
  g_autoptr (TpdXml) xml = NULL;
  g_autofree guint8 *sealed = NULL;
  const TpdXmlNode *principal;
  const char *why;
  gsize at = 0, used, sealed_len = 0;

  if (text == NULL || !find_document (text, &at))
    return FALSE;
  xml = tpd_xml_read_plain (text->text + at, text->len - at, &used);
  if (xml == NULL || !tpd_xml_name_is (tpd_xml_root (xml), "XrML"))
    return FALSE;
  principal = tpd_xrml_first_principal (tpd_xrml_body (xml, TPD_XRML_LABEL));
  if (!tpd_xrml_public_key (tpd_xml_child (principal, "PUBLICKEY"), out, NULL, &why))
    return FALSE;
  sealed = tpd_xrml_value (tpd_xml_path (principal, "ENABLINGBITS/VALUE"), TPD_SEALED_MAX, &sealed_len);
  return sealed != NULL && sealed_len > 0;
}
