/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Safe XML. What libxml2 lets grow without a bound, or handles in quadratic
 * time in older releases (the attributes of one tag), is counted by a small
 * lexer before libxml2 sees the text. The lexer splits well-formed text the
 * way a parser does; where the text is not well-formed libxml2 stops.
 */
#include "license/xml.h"

#include <libxml/parser.h>
#include <libxml/xmlerror.h>
#include <string.h>

#include "base/error.h"
#include "license/scan.h"

/* The deepest genuine document has 12 levels. */
#define MAX_DEPTH 32
#define MAX_ATTRIBUTES 32
/* Elements, comments and the like: 120 bytes each in memory. The rights of
 * 7000 principals fit. */
#define MAX_NODES 500000
/* Of all tags together: 300 bytes each. Genuine documents have one per element. */
#define MAX_ALL_ATTRIBUTES 500000
/* libxml2's own bound for one text; beyond it XML_PARSE_HUGE is needed. */
#define LIBXML_TEXT_MAX 10000000

static gboolean
is_word_at (const char *text, gsize len, gsize at, const char *word)
{
  gsize n = strlen (word);
  return n <= len - at && g_ascii_strncasecmp (text + at, word, n) == 0;
}

gboolean
tpd_xml_has_doctype (const char *text, gsize len)
{
  for (gsize at = 0; tpd_scan_find (text, len, &at, "<!"); at++)
    if (is_word_at (text, len, at, "<!DOCTYPE") || is_word_at (text, len, at, "<!ENTITY"))
      return TRUE;
  return FALSE;
}

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
      const char *tag = memchr (text + at, '<', len - at);

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
          if (attributes > MAX_ATTRIBUTES)
            return "has a tag with too many attributes";
          all_attributes += attributes;
          if (all_attributes > MAX_ALL_ATTRIBUTES)
            return "has too many attributes";
          if (!closed && ++depth > MAX_DEPTH)
            return "is nested too deeply";
        }
    }
}

xmlDoc *
tpd_xml_parse (const char *text, gsize len, const char *what, GError **error)
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
  if (tpd_xml_root (doc) == NULL)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the %s is empty", what);
      return NULL;
    }
  return g_steal_pointer (&doc);
}

const xmlNode *
tpd_xml_root (const xmlDoc *doc)
{
  return xmlDocGetRootElement (doc);
}

/* Whether the local name is the `len` bytes at `name`. */
static gboolean
has_name (const xmlNode *node, const char *name, gsize len)
{
  const char *own = (const char *) node->name;

  return strncmp (own, name, len) == 0 && own[len] == '\0';
}

static const xmlNode *
first_element (const xmlNode *node, const char *name, gsize len)
{
  for (; node != NULL; node = node->next)
    if (node->type == XML_ELEMENT_NODE && (name == NULL || has_name (node, name, len)))
      return node;
  return NULL;
}

const xmlNode *
tpd_xml_child (const xmlNode *node, const char *name)
{
  return node == NULL ? NULL : first_element (node->children, name, name != NULL ? strlen (name) : 0);
}

const xmlNode *
tpd_xml_next (const xmlNode *node, const char *name)
{
  return node == NULL ? NULL : first_element (node->next, name, name != NULL ? strlen (name) : 0);
}

const xmlNode *
tpd_xml_path (const xmlNode *node, const char *path)
{
  while (node != NULL)
    {
      gsize len = strcspn (path, "/");

      node = first_element (node->children, path, len);
      if (path[len] == '\0')
        return node;
      path += len + 1;
    }
  return NULL;
}

/* Moves `*text` and `*len` past white space at both ends. */
static void
trim (const char **text, gsize *len)
{
  while (*len > 0 && tpd_is_space ((guchar) (*text)[0]))
    {
      (*text)++;
      (*len)--;
    }
  while (*len > 0 && tpd_is_space ((guchar) (*text)[*len - 1]))
    (*len)--;
}

/* A trimmed copy, NULL if nothing is left. */
static char *
dup_trimmed (const char *text, gsize len)
{
  trim (&text, &len);
  return len == 0 ? NULL : g_strndup (text, len);
}

/* The value of an attribute that is one piece of text, as nearly all are. */
static const char *
simple_value (const xmlNode *node, const char *name)
{
  const xmlAttr *attribute = xmlHasNsProp (node, (const xmlChar *) name, NULL);

  if (attribute == NULL || attribute->type != XML_ATTRIBUTE_NODE || attribute->children == NULL
      || attribute->children->next != NULL || attribute->children->type != XML_TEXT_NODE)
    return NULL;
  return (const char *) attribute->children->content;
}

char *
tpd_xml_attribute (const xmlNode *node, const char *name)
{
  xmlChar *value = node == NULL ? NULL : xmlGetNoNsProp (node, (const xmlChar *) name);
  char *copy;

  if (value == NULL)
    return NULL;
  copy = dup_trimmed ((const char *) value, strlen ((const char *) value));
  xmlFree (value);
  return copy;
}

gboolean
tpd_xml_attribute_is (const xmlNode *node, const char *name, const char *value)
{
  const char *simple = node != NULL ? simple_value (node, name) : NULL;
  g_autofree char *found = NULL;

  if (simple != NULL && value != NULL)
    {
      gsize len = strlen (simple);

      trim (&simple, &len);
      if (len > 0)
        return strlen (value) == len && memcmp (simple, value, len) == 0;
    }
  found = tpd_xml_attribute (node, name);
  return g_strcmp0 (found, value) == 0;
}

char *
tpd_xml_text (const xmlNode *node)
{
  const xmlNode *child;
  GString *all;
  char *copy;

  if (node == NULL || node->children == NULL)
    return NULL;
  child = node->children;
  if (child->next == NULL && child->type == XML_TEXT_NODE)
    return child->content == NULL ? NULL
                                  : dup_trimmed ((const char *) child->content, strlen ((const char *) child->content));

  all = g_string_new (NULL);
  for (; child != NULL; child = child->next)
    if ((child->type == XML_TEXT_NODE || child->type == XML_CDATA_SECTION_NODE) && child->content != NULL)
      g_string_append (all, (const char *) child->content);
  copy = dup_trimmed (all->str, all->len);
  g_string_free (all, TRUE);
  return copy;
}

char *
tpd_xml_path_text (const xmlNode *node, const char *path)
{
  return tpd_xml_text (tpd_xml_path (node, path));
}
