/* SPDX-License-Identifier: Apache-2.0 */
/* Rights templates as a trusted publishing domain carries them. */
#include <string.h>

#include "base/error.h"
#include "license/xrml.h"

void
tpd_template_free (TpdTemplate *template)
{
  if (template == NULL)
    return;
  g_free (template->guid);
  g_free (template->issued);
  g_clear_pointer (&template->names, g_ptr_array_unref);
  g_free (template);
}

TpdTemplate *
tpd_template_parse (const char *xrml, GError **error)
{
  g_autoptr (TpdTemplate) template = g_new0 (TpdTemplate, 1);
  g_autoptr (GArray) slices = NULL;
  g_autoptr (TpdXml) doc = NULL;
  const TpdXrmlSlice *slice;
  const TpdXmlNode *body;
  gsize len = strlen (xrml);

  if (len > TPD_LICENSE_TEXT_MAX || !g_utf8_validate (xrml, -1, NULL) || tpd_xml_has_doctype (xrml, len))
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the rights template is not acceptable XrML");
      return NULL;
    }
  slices = tpd_license_split (xrml, len);
  if (slices->len == 0)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the rights template holds no XrML document");
      return NULL;
    }
  slice = &g_array_index (slices, TpdXrmlSlice, 0);
  doc = tpd_xml_parse (xrml + slice->start, slice->len, "rights template", error);
  if (doc == NULL)
    return NULL;
  body = tpd_xrml_body (doc, TPD_XRML_TEMPLATE);
  if (body == NULL)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the document is not an official rights template");
      return NULL;
    }
  template->guid = tpd_xrml_id (tpd_xml_path (body, "DESCRIPTOR/OBJECT/ID"));
  template->issued = tpd_xml_path_text (body, "ISSUEDTIME");
  template->names = tpd_xrml_names (body);
  return g_steal_pointer (&template);
}
