/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the tree, see license/xml.h; who made it makes no difference here. */
#include "license/xml.h"

#include <string.h>

#include "license/scan.h"
#include "license/xml_tree.h"

/* --- The tree ----------------------------------------------------------- */

void
tpd_xml_free (TpdXml *xml)
{
  if (xml == NULL)
    return;
  g_free (xml->nodes);
  g_clear_pointer (&xml->strings, g_string_chunk_free);
  g_free (xml);
}

void
tpd_xml_reserve (TpdXml *xml, guint n)
{
  if (xml->allocated - xml->n >= n)
    return;
  xml->allocated = MAX (xml->allocated * 2, xml->n + n);
  xml->nodes = g_renew (TpdXmlNode, xml->nodes, xml->allocated);
}

guint
tpd_xml_add (TpdXml *xml, gint64 parent, gint64 before)
{
  guint index = xml->n++;
  TpdXmlNode *node = &xml->nodes[index];

  memset (node, 0, sizeof *node);
  if (parent >= 0)
    {
      node->parent = index - (guint) parent;
      xml->nodes[parent].has_child = TRUE;
    }
  if (before >= 0)
    xml->nodes[before].next = index - (guint) before;
  return index;
}

TpdXml *
tpd_xml_parse (const char *text, gsize len, const char *what, GError **error)
{
  TpdXml *xml = tpd_xml_read_plain (text, len, NULL);

  return xml != NULL ? xml : tpd_xml_read_any (text, len, what, error);
}

static gboolean
is_word_at (const char *text, gsize len, gsize at, const char *word)
{
  gsize n = strlen (word);
  return n <= len - at && g_ascii_strncasecmp (text + at, word, n) == 0;
}

gboolean
tpd_xml_has_doctype (const char *text, gsize len)
{
  for (gsize at = 0; tpd_scan_markup (text, len, &at, '!'); at += 2)
    if (is_word_at (text, len, at, "<!DOCTYPE") || is_word_at (text, len, at, "<!ENTITY"))
      return TRUE;
  return FALSE;
}

/* --- Elements ----------------------------------------------------------- */

const TpdXmlNode *
tpd_xml_root (const TpdXml *xml)
{
  return &xml->nodes[0];
}

static gboolean
has_name (const TpdXmlNode *node, const char *name, gsize len)
{
  return node->name_len == len && node->name[0] == name[0] && memcmp (node->name, name, len) == 0;
}

static const TpdXmlNode *
next_sibling (const TpdXmlNode *node)
{
  return node->next != 0 ? node + node->next : NULL;
}

static const TpdXmlNode *
first_child (const TpdXmlNode *node)
{
  return node->has_child ? node + 1 + node->n_attributes : NULL;
}

/* `node` itself or a sibling behind it; NULL for `name` takes any. */
static const TpdXmlNode *
first_named (const TpdXmlNode *node, const char *name, gsize len)
{
  while (node != NULL && name != NULL && !has_name (node, name, len))
    node = next_sibling (node);
  return node;
}

const TpdXmlNode *
tpd_xml_child (const TpdXmlNode *node, const char *name)
{
  return node == NULL ? NULL : first_named (first_child (node), name, name != NULL ? strlen (name) : 0);
}

const TpdXmlNode *
tpd_xml_next (const TpdXmlNode *node, const char *name)
{
  return node == NULL ? NULL : first_named (next_sibling (node), name, name != NULL ? strlen (name) : 0);
}

const TpdXmlNode *
tpd_xml_path (const TpdXmlNode *node, const char *path)
{
  while (node != NULL)
    {
      const char *end = strchrnul (path, '/');

      node = first_named (first_child (node), path, (gsize) (end - path));
      if (*end == '\0')
        return node;
      path = end + 1;
    }
  return NULL;
}

const TpdXmlNode *
tpd_xml_parent (const TpdXmlNode *node)
{
  return node->parent != 0 ? node - node->parent : NULL;
}

char *
tpd_xml_name (const TpdXmlNode *node)
{
  return g_strndup (node->name, node->name_len);
}

gboolean
tpd_xml_name_is (const TpdXmlNode *node, const char *name)
{
  return has_name (node, name, strlen (name));
}

/* --- Texts -------------------------------------------------------------- */

/* The character for a reference that xml_plain.c let through; `*used` is its
 * length. */
static char
referenced (const char *text, gsize len, gsize *used)
{
  const char *end = memchr (text, ';', len);

  *used = end != NULL ? (gsize) (end - text) + 1 : 1;
  switch (len > 2 ? text[1] : '\0')
    {
    case 'l':
      return '<';
    case 'g':
      return '>';
    case 'q':
      return '"';
    case 'a':
      return text[2] == 'm' ? '&' : '\'';
    default:
      return '&';
    }
}

/* Without references, and with LF for CR and for CR LF. */
static char *
resolve (const char *text, gsize len)
{
  char *out = g_malloc (len + 1);
  gsize n = 0;

  for (gsize at = 0; at < len;)
    {
      gsize used = 1;
      char c = text[at];

      if (c == '&')
        c = referenced (text + at, len - at, &used);
      else if (c == '\r')
        {
          used = tpd_scan_at (text, len, at, "\r\n") ? 2 : 1;
          c = '\n';
        }
      out[n++] = c;
      at += used;
    }
  out[n] = '\0';
  return out;
}

static char *
copy_text (const TpdXmlNode *node, const char *text, gsize len)
{
  char *copy;

  if (node->raw)
    return resolve (text, len);
  copy = g_malloc (len + 1);
  memcpy (copy, text, len);
  copy[len] = '\0';
  return copy;
}

/* What is left of the text of `node` without white space at both ends. No
 * reference stands for white space in a raw one. */
static const char *
trimmed (const TpdXmlNode *node, gsize *len)
{
  const char *text = node->text;

  *len = node->text_len;
  while (*len > 0 && tpd_is_space ((guchar) *text))
    {
      text++;
      (*len)--;
    }
  while (*len > 0 && tpd_is_space ((guchar) text[*len - 1]))
    (*len)--;
  return text;
}

static char *
copy_trimmed (const TpdXmlNode *node)
{
  gsize len;
  const char *text = trimmed (node, &len);

  return len == 0 ? NULL : copy_text (node, text, len);
}

static const TpdXmlNode *
find_attribute (const TpdXmlNode *node, const char *name)
{
  gsize len = strlen (name);

  for (guint i = 1; node != NULL && i <= node->n_attributes; i++)
    if (!node[i].prefixed && has_name (&node[i], name, len))
      return &node[i];
  return NULL;
}

char *
tpd_xml_attribute (const TpdXmlNode *node, const char *name)
{
  const TpdXmlNode *attribute = find_attribute (node, name);

  return attribute != NULL ? copy_trimmed (attribute) : NULL;
}

gboolean
tpd_xml_attribute_is (const TpdXmlNode *node, const char *name, const char *value)
{
  const TpdXmlNode *attribute = find_attribute (node, name);
  g_autofree char *found = NULL;

  if (attribute != NULL && value != NULL && !attribute->raw)
    {
      gsize len;
      const char *text = trimmed (attribute, &len);

      return len > 0 && strlen (value) == len && memcmp (text, value, len) == 0;
    }
  found = attribute != NULL ? copy_trimmed (attribute) : NULL;
  return g_strcmp0 (found, value) == 0;
}

gboolean
tpd_xml_attribute_at (const TpdXmlNode *node, guint i, char **name, char **value)
{
  if (i >= node->n_attributes)
    return FALSE;
  node += 1 + i;
  *name = g_strndup (node->name, node->name_len);
  *value = copy_text (node, node->text, node->text_len);
  return TRUE;
}

char *
tpd_xml_text (const TpdXmlNode *node)
{
  return node != NULL ? copy_trimmed (node) : NULL;
}

char *
tpd_xml_path_text (const TpdXmlNode *node, const char *path)
{
  return tpd_xml_text (tpd_xml_path (node, path));
}
