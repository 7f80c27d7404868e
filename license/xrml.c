/* SPDX-License-Identifier: Apache-2.0 */
/* Elements that several XrML documents share: see license/xrml.h. */
#include "license/xrml.h"

#include <string.h>

#include "base/text.h"

#define ID_MAX 1024
#define APP_VALUE_MAX (64 * 1024)

const TpdXmlNode *
tpd_xrml_body (const TpdXml *doc, const char *type)
{
  const TpdXmlNode *body = tpd_xml_child (tpd_xml_root (doc), "BODY");
  return body != NULL && tpd_xml_attribute_is (body, "type", type) ? body : NULL;
}

char *
tpd_xrml_id (const TpdXmlNode *id)
{
  g_autofree char *text = tpd_xml_text (id);
  char guid[TPD_GUID_SIZE];

  if (tpd_guid_parse (text, guid))
    return g_strdup (guid);
  return text != NULL && strlen (text) <= ID_MAX ? g_steal_pointer (&text) : NULL;
}

guint8 *
tpd_xrml_value (const TpdXmlNode *value, gsize max, gsize *len)
{
  g_autofree char *text = tpd_xml_text (value);
  return text == NULL ? NULL : tpd_base64_decode_bare (text, strlen (text), max, len);
}

gboolean
tpd_xrml_value_size_fits (const TpdXmlNode *value, gsize len)
{
  g_autofree char *size = tpd_xml_attribute (value, "size");
  guint64 bits;

  if (size == NULL)
    return TRUE;
  return tpd_number_parse (size, 10, 0, G_MAXUINT32, &bits) && bits == (guint64) len * 8;
}

gboolean
tpd_xrml_public_key (const TpdXmlNode *public_key, TpdPublicKey *out, gboolean *size_differs, const char **why)
{
  const TpdXmlNode *modulus_value = NULL, *parameter;
  g_autofree guint8 *modulus = NULL;
  g_autofree char *algorithm = tpd_xml_path_text (public_key, "ALGORITHM");
  g_autofree char *exponent_text = NULL;
  guint64 exponent = 65537;
  gsize len;

  for (parameter = tpd_xml_child (public_key, "PARAMETER"); parameter != NULL;
       parameter = tpd_xml_next (parameter, "PARAMETER"))
    {
      if (modulus_value == NULL && tpd_xml_attribute_is (parameter, "name", "modulus"))
        modulus_value = tpd_xml_child (parameter, "VALUE");
      else if (exponent_text == NULL && tpd_xml_attribute_is (parameter, "name", "public-exponent"))
        exponent_text = tpd_xml_path_text (parameter, "VALUE");
    }
  if (modulus_value == NULL)
    {
      *why = "it has no modulus";
      return FALSE;
    }
  if (algorithm != NULL && strcmp (algorithm, "RSA") != 0)
    {
      *why = "its algorithm is not RSA";
      return FALSE;
    }
  if (exponent_text != NULL && (!tpd_number_parse (exponent_text, 10, 3, G_MAXUINT32, &exponent) || exponent % 2 == 0))
    {
      *why = "its exponent is not an odd number above 1";
      return FALSE;
    }
  modulus = tpd_xrml_value (modulus_value, TPD_RSA_MAX_BYTES + 8, &len);
  /* Little-endian, unlike signatures and sealed keys: CryptoAPI heritage. */
  if (modulus == NULL || !tpd_public_key_from_le (out, modulus, len, (guint32) exponent))
    {
      *why = "its modulus is not an RSA modulus of 512 to 4096 bits in base64";
      return FALSE;
    }
  if (size_differs != NULL)
    *size_differs = !tpd_xrml_value_size_fits (modulus_value, len);
  return TRUE;
}

const TpdXmlNode *
tpd_xrml_first_principal (const TpdXmlNode *body)
{
  const TpdXmlNode *principals = tpd_xml_child (body, "ISSUEDPRINCIPALS");
  const TpdXmlNode *numbered = NULL, *bare = NULL;
  guint n_numbered = 0, n_all = 0;

  /* Two lists would let the reader and the hash mean different principals. */
  if (tpd_xml_next (principals, "ISSUEDPRINCIPALS") != NULL)
    return NULL;
  for (const TpdXmlNode *p = tpd_xml_child (principals, "PRINCIPAL"); p != NULL; p = tpd_xml_next (p, "PRINCIPAL"))
    {
      g_autofree char *number = tpd_xml_attribute (p, "internal-id");

      n_all++;
      if (number == NULL)
        bare = p;
      else if (strcmp (number, "1") == 0)
        {
          numbered = p;
          n_numbered++;
        }
    }
  if (n_numbered == 1)
    return numbered;
  return n_all == 1 ? bare : NULL;
}

GPtrArray *
tpd_xrml_names (const TpdXmlNode *body)
{
  g_autofree char *text = tpd_xml_path_text (body, "DESCRIPTOR/OBJECT/NAME");
  return tpd_descriptor_parse (text == NULL ? "" : text);
}

static void
app_data_free (gpointer data)
{
  TpdAppData *item = data;

  g_free (item->id);
  g_free (item->name);
  g_free (item->value);
  g_free (item);
}

/* Cuts `text` to at most `max` bytes, between characters. */
static void
truncate_utf8 (char *text, gsize max)
{
  if (text == NULL || strlen (text) <= max)
    return;
  while (max > 0 && ((guchar) text[max] & 0xc0) == 0x80)
    max--;
  text[max] = '\0';
}

GPtrArray *
tpd_xrml_app_data (const TpdXmlNode *body)
{
  GPtrArray *items = g_ptr_array_new_with_free_func (app_data_free);

  for (const TpdXmlNode *data = tpd_xml_child (body, "AUTHENTICATEDDATA");
       data != NULL && items->len < TPD_XRML_ITEMS_MAX; data = tpd_xml_next (data, "AUTHENTICATEDDATA"))
    {
      TpdAppData *item;

      if (tpd_xml_attribute_is (data, "id", "Encrypted-Rights-Data"))
        continue;
      item = g_new0 (TpdAppData, 1);
      item->id = tpd_xml_attribute (data, "id");
      item->name = tpd_xml_attribute (data, "name");
      item->value = tpd_xml_text (data);
      truncate_utf8 (item->id, APP_VALUE_MAX);
      truncate_utf8 (item->name, APP_VALUE_MAX);
      truncate_utf8 (item->value, APP_VALUE_MAX);
      g_ptr_array_add (items, item);
    }
  return items;
}

GDateTime *
tpd_xrml_time (const char *stored)
{
  static const char shape[] = "dddd-dd-ddTdd:dd";
  int part[6] = { 0 };
  guint n = 0, i;

  for (i = 0; shape[i] != '\0'; i++)
    {
      if (shape[i] != 'd')
        {
          if (stored[i] != shape[i])
            return NULL;
          n++;
        }
      else if (!g_ascii_isdigit (stored[i]))
        return NULL;
      else
        part[n] = part[n] * 10 + (stored[i] - '0');
    }
  if (stored[i] == ':' && g_ascii_isdigit (stored[i + 1]) && g_ascii_isdigit (stored[i + 2]))
    {
      part[5] = (stored[i + 1] - '0') * 10 + (stored[i + 2] - '0');
      i += 3;
    }
  if (stored[i] == 'Z')
    i++;
  if (stored[i] != '\0')
    return NULL;
  return g_date_time_new_utc (part[0], part[1], part[2], part[3], part[4], part[5]);
}

static gboolean
is_time (const char *stored)
{
  g_autoptr (GDateTime) time = tpd_xrml_time (stored);
  return time != NULL;
}

char *
tpd_xrml_earlier (char *a, char *b)
{
  gboolean keep_b;

  /* The format orders as text does. What cannot be read must not hide behind
   * what can: tpd_time_passed() takes it for passed. */
  if (a == NULL || b == NULL)
    keep_b = a == NULL;
  else if (!is_time (a) || !is_time (b))
    keep_b = is_time (a);
  else
    keep_b = strcmp (b, a) < 0;
  g_free (keep_b ? a : b);
  return keep_b ? b : a;
}

char *
tpd_xrml_until (const TpdXmlNode *node)
{
  char *earliest = NULL;

  for (const TpdXmlNode *time = tpd_xml_child (node, "TIME"); time != NULL; time = tpd_xml_next (time, "TIME"))
    for (const TpdXmlNode *range = tpd_xml_child (time, "RANGETIME"); range != NULL;
         range = tpd_xml_next (range, "RANGETIME"))
      earliest = tpd_xrml_earlier (earliest, tpd_xml_path_text (range, "UNTIL"));
  return earliest;
}
