/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any XML, by libxml2, whose tree becomes that of license/xml_tree.h. What
 * libxml2 lets grow without a bound, or handles in quadratic time in older
 * releases (the attributes of one tag), is counted by a small lexer before
 * libxml2 sees the text. The lexer splits well-formed text the way a parser
 * does; where the text is not well-formed libxml2 stops.
 */
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xmlerror.h>
#include <string.h>

#include "base/error.h"
#include "license/scan.h"
#include "license/xml_tree.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)

/* Elements, comments and the like: 120 bytes each in memory. The rights of
 * 7000 principals fit. */
#define MAX_NODES 500000
/* Of all tags together: 300 bytes each. Genuine documents have one per element. */
#define MAX_ALL_ATTRIBUTES 500000
/* libxml2's own bound for one text; beyond it XML_PARSE_HUGE is needed. */
#define LIBXML_TEXT_MAX 10000000

/* --- Bounds ------------------------------------------------------------- */

/* Moves `*at` behind the next `end`. */
static gboolean
skip_past (const char *text, gsize len, gsize *at, const char *end)
{
  if (!tpd_scan_find (text, len, at, end))
    return FALSE;
  *at += strlen (end);
  return TRUE;
}

/* Moves `*at` behind the `>` of a tag; `*attributes` counts the "=" outside of
 * quotes, `*closed` says whether it is an empty element. */
static gboolean
skip_tag (const char *text, gsize len, gsize *at, guint *attributes, gboolean *closed)
{
  char quote = '\0';

  *attributes = 0;
  for (gsize i = *at; i < len; i++)
    {
      char c = text[i];

      if (quote != '\0')
        {
          if (c == quote)
            quote = '\0';
        }
      else if (c == '"' || c == '\'')
        quote = c;
      else if (c == '=')
        (*attributes)++;
      else if (c == '>')
        {
          *closed = text[i - 1] == '/';
          *at = i + 1;
          return TRUE;
        }
    }
  return FALSE;
}

/* NULL if the text is within bounds, else what is wrong with it. */
static const char *
check_shape (const char *text, gsize len)
{
  gsize at = 0;
  guint depth = 0, nodes = 0, attributes, all_attributes = 0;
  gboolean closed;

  for (;;)
    {
      const char *tag = at < len ? memchr (text + at, '<', len - at) : NULL;

      if (tag == NULL)
        return NULL;
      at = (gsize) (tag - text);
      if (++nodes > MAX_NODES)
        return "has too many elements";
      if (tpd_scan_at (text, len, at, "<!--"))
        {
          at += 4;
          if (!skip_past (text, len, &at, "-->"))
            return "ends inside a comment";
        }
      else if (tpd_scan_at (text, len, at, "<![CDATA["))
        {
          if (!skip_past (text, len, &at, "]]>"))
            return "ends inside a CDATA section";
        }
      else if (tpd_scan_at (text, len, at, "<!"))
        return "carries a document type declaration, which no license has";
      else if (tpd_scan_at (text, len, at, "<?"))
        {
          if (!skip_past (text, len, &at, "?>"))
            return "ends inside a processing instruction";
        }
      else if (tpd_scan_at (text, len, at, "</"))
        {
          if (!skip_past (text, len, &at, ">"))
            return "ends inside a tag";
          if (depth > 0)
            depth--;
        }
      else
        {
          if (!skip_tag (text, len, &at, &attributes, &closed))
            return "ends inside a tag";
          if (attributes > TPD_XML_ATTRIBUTES_MAX)
            return "has a tag with too many attributes";
          all_attributes += attributes;
          if (all_attributes > MAX_ALL_ATTRIBUTES)
            return "has too many attributes";
          if (!closed && ++depth > TPD_XML_DEPTH_MAX)
            return "is nested too deeply";
        }
    }
}

/* --- libxml2 ------------------------------------------------------------ */

/* A document with a root. */
static xmlDoc *
parse (const char *text, gsize len, const char *what, GError **error)
{
  static gsize initialized;
  xmlParserCtxt *parser;
  g_autoptr (xmlDoc) doc = NULL;
  const char *wrong;
  int line = 0;

  if (g_once_init_enter (&initialized))
    {
      xmlInitParser ();
      g_once_init_leave (&initialized, 1);
    }

  wrong = len > G_MAXINT ? "is too long" : check_shape (text, len);
  if (wrong != NULL)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the %s %s", what, wrong);
      return NULL;
    }

  parser = xmlNewParserCtxt ();
  if (parser != NULL)
    {
      const xmlError *xml_error;

      doc = xmlCtxtReadMemory (parser, text, (int) len, NULL, "UTF-8",
                               XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA
                                   | (len > LIBXML_TEXT_MAX ? XML_PARSE_HUGE : 0));
      xml_error = xmlCtxtGetLastError (parser);
      if (xml_error != NULL)
        line = xml_error->line;
      xmlFreeParserCtxt (parser);
    }
  if (doc == NULL)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the %s is not well-formed XML (line %d)", what, line);
      return NULL;
    }
  if (doc->intSubset != NULL || doc->extSubset != NULL)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "the %s carries a document type declaration, which no license has", what);
      return NULL;
    }
  if (xmlDocGetRootElement (doc) == NULL)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the %s is empty", what);
      return NULL;
    }
  return g_steal_pointer (&doc);
}

/* --- Its tree ----------------------------------------------------------- */

static void
put_name (TpdXml *xml, TpdXmlNode *node, const xmlChar *name)
{
  node->name_len = (guint32) strlen ((const char *) name);
  node->name = g_string_chunk_insert_len (xml->strings, (const char *) name, node->name_len);
}

static void
put_text (TpdXml *xml, TpdXmlNode *node, const char *text, gsize len)
{
  node->text_len = (guint32) len;
  node->text = g_string_chunk_insert_len (xml->strings, text, (gssize) len);
}

/* The pieces between the children of an element, as one. */
static void
put_own_text (TpdXml *xml, TpdXmlNode *node, const xmlNode *element, GString *all)
{
  g_string_truncate (all, 0);
  for (const xmlNode *child = element->children; child != NULL; child = child->next)
    if ((child->type == XML_TEXT_NODE || child->type == XML_CDATA_SECTION_NODE) && child->content != NULL)
      g_string_append (all, (const char *) child->content);
  put_text (xml, node, all->str, all->len);
}

static void
put_value (TpdXml *xml, TpdXmlNode *node, const xmlAttr *attribute)
{
  const xmlNode *value = attribute->children;
  xmlChar *whole;

  if (value != NULL && value->next == NULL && value->type == XML_TEXT_NODE && value->content != NULL)
    {
      put_text (xml, node, (const char *) value->content, strlen ((const char *) value->content));
      return;
    }
  whole = xmlNodeListGetString (attribute->doc, attribute->children, 1);
  put_text (xml, node, whole != NULL ? (const char *) whole : "", whole != NULL ? strlen ((const char *) whole) : 0);
  xmlFree (whole);
}

/* Returns its index. */
static guint
convert_element (TpdXml *xml, const xmlNode *element, gint64 parent, gint64 before, GString *scratch)
{
  guint n = 0, index;

  for (const xmlAttr *attribute = element->properties; attribute != NULL; attribute = attribute->next)
    n++;
  tpd_xml_reserve (xml, n + 1);
  index = tpd_xml_add (xml, parent, before);
  xml->nodes[index].n_attributes = (guint16) n;
  put_name (xml, &xml->nodes[index], element->name);
  put_own_text (xml, &xml->nodes[index], element, scratch);
  for (const xmlAttr *attribute = element->properties; attribute != NULL; attribute = attribute->next)
    {
      TpdXmlNode *node = &xml->nodes[tpd_xml_add (xml, -1, -1)];

      node->prefixed = attribute->ns != NULL;
      put_name (xml, node, attribute->name);
      put_value (xml, node, attribute);
    }
  return index;
}

static const xmlNode *
element_from (const xmlNode *node)
{
  while (node != NULL && node->type != XML_ELEMENT_NODE)
    node = node->next;
  return node;
}

static TpdXml *
convert (const xmlDoc *doc)
{
  TpdXml *xml = g_new0 (TpdXml, 1);
  GString *scratch = g_string_new (NULL);
  const xmlNode *element = xmlDocGetRootElement (doc), *next;
  gint64 parent = -1, before = -1, index;

  xml->strings = g_string_chunk_new (4096);
  while (element != NULL)
    {
      index = convert_element (xml, element, parent, before, scratch);
      next = element_from (element->children);
      if (next != NULL)
        {
          parent = index;
          before = -1;
          element = next;
          continue;
        }
      before = index;
      while ((next = element_from (element->next)) == NULL && parent >= 0)
        {
          before = parent;
          parent = xml->nodes[parent].parent != 0 ? parent - xml->nodes[parent].parent : -1;
          element = element->parent;
        }
      element = next;
    }
  g_string_free (scratch, TRUE);
  return xml;
}

TpdXml *
tpd_xml_read_any (const char *text, gsize len, const char *what, GError **error)
{
  g_autoptr (xmlDoc) doc = parse (text, len, what, error);

  return doc != NULL ? convert (doc) : NULL;
}
