/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XML of a trusted publishing domain: what .NET's XmlSerializer writes for
 * an ArrayList, outside and, encrypted in it, inside (docs/formats.md, "TPD");
 * and the little of the licensor certificate that describes the key.
 *
 * Before libxml2 sees a text, it is UTF-8 whatever it declares, has no
 * DOCTYPE, and its tags are bounded in number and length. Elements are matched
 * by local name in any order, unknown ones are stepped over.
 */
#include <string.h>

#include <libxml/parser.h>
#include <libxml/tree.h>

#include "base/error.h"
#include "base/text.h"
#include "crypto/key_text.h"
#include "crypto/tpd_file_private.h"

#define ITEMS_MAX 64
#define CERTIFICATES_MAX 64
#define TEMPLATES_MAX 4096 /* what the key agent hands over */
#define URLS_MAX 64
#define XRML_MAX (1024 * 1024)

/* libxml2 compares the attributes of a tag pairwise, and a node costs many
 * times the bytes of its tag. */
#define TAG_MAX_LEN 2048
#define TAGS_MAX 100000
/* libxml2's own bound for one text, which XML_PARSE_HUGE lifts. */
#define TEXT_WITHOUT_HUGE 10000000

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)

static void
xml_text_free (xmlChar *text)
{
  xmlFree (text);
}

typedef xmlChar XmlText;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (XmlText, xml_text_free)

static void
refuse (GError **error, const char *what, const char *why)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE, "%s %s", what, why);
}

static gboolean
tags_are_bounded (const char *text, gsize len)
{
  const char *end = text + len, *at = text;
  guint tags = 0;

  while ((at = memchr (at, '<', (gsize) (end - at))) != NULL)
    {
      at++;
      if (++tags > TAGS_MAX)
        return FALSE;
      if (at < end && *at != '!' && *at != '?' && memchr (at, '>', MIN ((gsize) (end - at), TAG_MAX_LEN)) == NULL)
        return FALSE;
    }
  return TRUE;
}

/* Parses UTF-8 text; `what` begins the sentence of the error. */
static xmlDoc *
parse (const char *text, gsize len, const char *what, GError **error)
{
  int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_IGNORE_ENC | XML_PARSE_NOCDATA;
  g_autoptr (xmlDoc) doc = NULL;

  if (memmem (text, len, "<!DOCTYPE", strlen ("<!DOCTYPE")) != NULL)
    {
      refuse (error, what, "has a DOCTYPE, which no exporter writes: somebody has changed it");
      return NULL;
    }
  if (len > TPD_FILE_MAX || !tags_are_bounded (text, len))
    {
      refuse (error, what, "is not what an exporter writes: it has too many or too long tags, or is cut off");
      return NULL;
    }
  if (len > TEXT_WITHOUT_HUGE)
    options |= XML_PARSE_HUGE;
  doc = xmlReadMemory (text, (int) len, NULL, "UTF-8", options);
  if (doc == NULL || xmlDocGetRootElement (doc) == NULL)
    {
      refuse (error, what, "is damaged or cut off: it is not well-formed XML");
      return NULL;
    }
  if (doc->intSubset != NULL || doc->extSubset != NULL)
    {
      refuse (error, what, "has a DOCTYPE, which no exporter writes");
      return NULL;
    }
  return g_steal_pointer (&doc);
}

static gboolean
is_element (const xmlNode *node, const char *name)
{
  return node->type == XML_ELEMENT_NODE && strcmp ((const char *) node->name, name) == 0;
}

/* The first element of that name from `node` on, among its siblings. */
static xmlNode *
find_element (xmlNode *node, const char *name)
{
  while (node != NULL && !is_element (node, name))
    node = node->next;
  return node;
}

static xmlNode *
child (xmlNode *parent, const char *name)
{
  return parent != NULL ? find_element (parent->children, name) : NULL;
}

/* Text of an element without the white space around it; NULL if empty. */
static char *
text_of (xmlNode *node)
{
  g_autoptr (XmlText) content = node != NULL ? xmlNodeGetContent (node) : NULL;
  g_autofree char *text = content != NULL ? g_strstrip (g_strdup ((const char *) content)) : NULL;

  return text != NULL && *text != '\0' ? g_steal_pointer (&text) : NULL;
}

static gboolean
attribute_is (xmlNode *node, const char *name, const char *value)
{
  g_autoptr (XmlText) found = xmlGetProp (node, (const xmlChar *) name);

  return found != NULL && strcmp ((const char *) found, value) == 0;
}

/* Whether xsi:type, a QName, has that local part. */
static gboolean
is_of_type (xmlNode *node, const char *type)
{
  g_autoptr (XmlText) found = xmlGetProp (node, (const xmlChar *) "type");
  const char *local = found != NULL ? strrchr ((const char *) found, ':') : NULL;

  return found != NULL && strcmp (local != NULL ? local + 1 : (const char *) found, type) == 0;
}

/* The first item of a serialised ArrayList from `node` on that has the type. */
static xmlNode *
find_item (xmlNode *node, const char *type)
{
  node = find_element (node, "anyType");
  while (node != NULL && !is_of_type (node, type))
    node = find_element (node->next, "anyType");
  return node;
}

static xmlNode *
first_item (xmlDoc *doc, const char *type)
{
  xmlNode *root = xmlDocGetRootElement (doc);

  return is_element (root, "ArrayOfAnyType") ? find_item (root->children, type) : NULL;
}

static void
item_free (TpdFileItem *item)
{
  g_free (item->info);
  g_free (item->key);
  g_free (item);
}

/* FALSE only if the text is there and is no base64. */
static gboolean
take_base64 (xmlNode *node, guint8 **data, gsize *len)
{
  g_autoptr (XmlText) content = node != NULL ? xmlNodeGetContent (node) : NULL;

  if (content == NULL)
    return TRUE;
  *data = tpd_base64_decode ((const char *) content, strlen ((const char *) content), TPD_FILE_MAX, len);
  if (*data != NULL && *len == 0)
    g_clear_pointer (data, g_free);
  else if (*data == NULL)
    return FALSE;
  return TRUE;
}

GPtrArray *
tpd_file_parse_outer (const guint8 *data, gsize len, GError **error)
{
  static const char what[] = "This trusted publishing domain";
  g_autoptr (GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) item_free);
  g_autofree char *text = NULL;
  g_autoptr (xmlDoc) doc = NULL;
  gsize text_len;

  if (len > TPD_FILE_MAX || !tpd_key_text_convert (data, len, NULL, &text_len))
    {
      refuse (error, what, "is damaged or cut off: its text is neither UTF-8 nor UTF-16, or it is larger than 64 MiB");
      return NULL;
    }
  text = g_malloc (text_len + 1);
  tpd_key_text_convert (data, len, (guint8 *) text, &text_len);
  doc = parse (text, text_len, what, error);
  if (doc == NULL)
    return NULL;

  for (xmlNode *node = first_item (doc, "EncryptedTrustedDocDomain"); node != NULL;
       node = find_item (node->next, "EncryptedTrustedDocDomain"))
    {
      TpdFileItem *item = g_new0 (TpdFileItem, 1);

      g_ptr_array_add (items, item);
      if (!take_base64 (child (node, "m_strTrustedDocDomainInfo"), &item->info, &item->info_len)
          || !take_base64 (child (node, "m_strKeyData"), &item->key, &item->key_len))
        {
          refuse (error, what, "is damaged: a field of it is not base64");
          return NULL;
        }
      if (item->info == NULL || item->info_len % 16 != 0 || items->len > ITEMS_MAX)
        {
          refuse (error, what, "is damaged: a field of it is missing or has an impossible length");
          return NULL;
        }
    }
  if (items->len == 0)
    {
      refuse (error, what, "is damaged: it contains no domain");
      return NULL;
    }
  return g_steal_pointer (&items);
}

/* Whether the tag that has a name ending at `at` begins there: "<" or "<p:". */
static gboolean
is_start_tag (const TpdSecret *text, gsize at)
{
  gsize i = at;

  if (i > 0 && text->data[i - 1] == ':')
    for (i--; i > 0 && (g_ascii_isalnum (text->data[i - 1]) || text->data[i - 1] == '_');)
      i--;
  return i > 0 && text->data[i - 1] == '<';
}

/* Blanks every strEncryptedPrivateKey in `text` and gives the first that is
 * not empty, or NULL. */
static TpdSecret *
cut_private_key (TpdSecret *text)
{
  static const char name[] = "strEncryptedPrivateKey";
  TpdSecret *key = NULL;
  gssize at = 0;

  while ((at = tpd_key_text_find (text, (gsize) at, name)) >= 0)
    {
      gssize begin, end;
      gboolean starts = is_start_tag (text, (gsize) at);

      at += (gssize) strlen (name);
      begin = starts ? tpd_key_text_find (text, (gsize) at, ">") : -1;
      if (starts && begin < 0)
        break;
      if (begin < 0 || text->data[begin - 1] == '/')
        continue;
      begin++;
      end = tpd_key_text_find (text, (gsize) begin, "</");
      if (end < 0)
        end = (gssize) text->len;
      for (gssize i = begin; i < end && key == NULL; i++)
        if (!g_ascii_isspace (text->data[i]))
          key = tpd_secret_new (text->data + i, (gsize) (end - i));
      memset (text->data + begin, ' ', (gsize) (end - begin));
      at = end;
    }
  return key;
}

/* The <string> children of `parent`, at most `max`. */
static char **
take_strings (xmlNode *parent, guint max, guint *left_out)
{
  g_autoptr (GPtrArray) strings = g_ptr_array_new ();

  *left_out = 0;
  for (xmlNode *node = child (parent, "string"); node != NULL; node = find_element (node->next, "string"))
    {
      char *text = text_of (node);

      if (text != NULL && strings->len < max)
        g_ptr_array_add (strings, text);
      else
        {
          *left_out += text != NULL;
          g_free (text);
        }
    }
  g_ptr_array_add (strings, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&strings), FALSE);
}

TpdFileInner *
tpd_file_parse_inner (const TpdSecret *plain, GError **error)
{
  static const char what[] = "The trusted publishing domain opens, but its description";
  g_autoptr (TpdSecret) text = tpd_key_text_new (plain->data, plain->len);
  g_autoptr (TpdFileInner) inner = NULL;
  g_autofree char *root = text != NULL ? tpd_key_text_xml_root ((const char *) text->data) : NULL;
  g_autoptr (xmlDoc) doc = NULL;
  xmlNode *item, *info;
  guint ignored;

  if (root == NULL)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_PASSWORD, "The decrypted bytes are no XML");
      return NULL;
    }
  inner = g_new0 (TpdFileInner, 1);
  inner->key_text = cut_private_key (text);
  doc = parse ((const char *) text->data, text->len, what, error);
  if (doc == NULL)
    return NULL;
  item = first_item (doc, "TrustedDocDomain");
  if (item == NULL)
    {
      refuse (error, what, "is damaged: it describes no domain");
      return NULL;
    }
  info = child (item, "m_ttdki");
  inner->id = text_of (child (info, "strID"));
  inner->csp_name = text_of (child (info, "strCSPName"));
  inner->key_container = text_of (child (info, "strKeyContainerName"));
  inner->certificates = take_strings (child (item, "m_strLicensorCertChain"), CERTIFICATES_MAX, &ignored);
  inner->templates = take_strings (child (item, "m_astrRightsTemplates"), TEMPLATES_MAX, &inner->templates_left_out);
  return g_steal_pointer (&inner);
}

void
tpd_file_inner_free (TpdFileInner *inner)
{
  if (inner == NULL)
    return;
  g_free (inner->id);
  g_free (inner->csp_name);
  g_free (inner->key_container);
  g_clear_pointer (&inner->key_text, tpd_secret_unref);
  g_strfreev (inner->certificates);
  g_strfreev (inner->templates);
  g_free (inner);
}

/* PUBLICKEY of XrML: modulus in base64, little-endian; exponent in decimal. */
static gboolean
take_public_key (xmlNode *node, TpdPublicKey *key)
{
  g_autofree guint8 *modulus = NULL;
  gsize modulus_len = 0;
  guint64 exponent = 65537; /* where none is named, as in licenses */

  for (xmlNode *p = child (node, "PARAMETER"); p != NULL; p = find_element (p->next, "PARAMETER"))
    {
      g_autofree char *value = text_of (child (p, "VALUE"));

      if (value == NULL)
        continue;
      if (modulus == NULL && attribute_is (p, "name", "modulus"))
        modulus = tpd_base64_decode (value, strlen (value), 2 * TPD_RSA_MAX_BYTES, &modulus_len);
      else if (attribute_is (p, "name", "public-exponent") && !tpd_number_parse (value, 10, 3, G_MAXUINT32, &exponent))
        return FALSE;
    }
  return modulus != NULL && tpd_public_key_from_le (key, modulus, modulus_len, (guint32) exponent);
}

static void
take_urls (xmlNode *object, GPtrArray *urls)
{
  for (xmlNode *node = child (object, "ADDRESS"); node != NULL; node = find_element (node->next, "ADDRESS"))
    {
      g_autofree char *url = text_of (node);

      if (url != NULL && urls->len < URLS_MAX && !g_ptr_array_find_with_equal_func (urls, url, g_str_equal, NULL))
        g_ptr_array_add (urls, g_steal_pointer (&url));
    }
}

static char *
take_tenant (xmlNode *principal)
{
  for (xmlNode *node = child (principal, "SECURITYLEVEL"); node != NULL;
       node = find_element (node->next, "SECURITYLEVEL"))
    if (attribute_is (node, "name", "Tenant-ID"))
      {
        g_autoptr (XmlText) value = xmlGetProp (node, (const xmlChar *) "value");
        char guid[TPD_GUID_SIZE];

        if (value != NULL)
          return g_strdup (tpd_guid_parse ((const char *) value, guid) ? guid : (const char *) value);
      }
  return NULL;
}

TpdLicensor *
tpd_licensor_parse (const char *xrml, GError **error)
{
  static const char what[] = "The licensor certificate in the trusted publishing domain";
  g_autoptr (TpdLicensor) licensor = g_new0 (TpdLicensor, 1);
  g_autoptr (GPtrArray) urls = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (xmlDoc) doc = NULL;
  g_autofree char *id = NULL;
  xmlNode *body, *principal, *object;
  char guid[TPD_GUID_SIZE];

  if (strlen (xrml) > XRML_MAX)
    {
      refuse (error, what, "is larger than 1 MiB");
      return NULL;
    }
  doc = parse (xrml, strlen (xrml), what, error);
  if (doc == NULL)
    return NULL;
  body = child (xmlDocGetRootElement (doc), "BODY");
  principal = child (child (body, "ISSUEDPRINCIPALS"), "PRINCIPAL");
  object = child (principal, "OBJECT");
  if (!is_element (xmlDocGetRootElement (doc), "XrML")
      || !take_public_key (child (principal, "PUBLICKEY"), &licensor->public_key))
    {
      refuse (error, what, "is damaged: it names no RSA key");
      return NULL;
    }
  id = text_of (child (object, "ID"));
  licensor->guid = id != NULL && tpd_guid_parse (id, guid) ? g_strdup (guid) : NULL;
  licensor->name = text_of (child (object, "NAME"));
  licensor->tenant_id = take_tenant (principal);
  take_urls (object, urls);
  for (xmlNode *point = child (body, "DISTRIBUTIONPOINT"); point != NULL;
       point = find_element (point->next, "DISTRIBUTIONPOINT"))
    take_urls (child (point, "OBJECT"), urls);
  g_ptr_array_set_free_func (urls, NULL);
  g_ptr_array_add (urls, NULL);
  licensor->urls = (char **) g_ptr_array_free (g_steal_pointer (&urls), FALSE);
  return g_steal_pointer (&licensor);
}

void
tpd_licensor_free (TpdLicensor *licensor)
{
  if (licensor == NULL)
    return;
  g_free (licensor->guid);
  g_free (licensor->name);
  g_free (licensor->tenant_id);
  g_strfreev (licensor->urls);
  g_free (licensor);
}
