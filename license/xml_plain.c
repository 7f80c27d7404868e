/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents as servers write them, in one pass without a copy: see
 * license/xml_tree.h. The rule is that this gives what libxml2 would give, or
 * nothing. Whatever is rare in licenses is therefore not understood at all:
 * prefixes, namespaces, comments, CDATA sections, instructions, references by
 * number, white space in end tags, names that are not ASCII, ">" and control
 * characters in values, text beside elements. Where text is plain but not
 * well-formed, libxml2 says so.
 */
#include <string.h>

#include "license/scan.h"
#include "license/xml_tree.h"

/* Below all bounds of libxml2 for lengths and of xml_any.c for counts. Larger
 * documents are rights data of thousands of principals. */
#define MAX_TEXT (4 * 1024 * 1024)
#define MAX_NAME 1000
#define MAX_NODES 100000

/* What a character may be part of. Every loop over a class ends at ">": that
 * the text ends with one is checked once, instead of its end in every loop. */
#define NAME 1       /* of a name, without colon */
#define NAME_START 2 /* of a name at its beginning */
#define SPACE 4
#define VALUE 8 /* of a value in quotes, which end it; beside the quotes "&" */

static const guint8 classes[256] = {
  ['\t'] = SPACE,
  ['\n'] = SPACE,
  ['\r'] = SPACE,
  [' '] = SPACE | VALUE,
  ['!'] = VALUE,
  ['#'] = VALUE,
  ['$'] = VALUE,
  ['%'] = VALUE,
  ['(' ... ','] = VALUE,
  ['-'] = NAME | VALUE,
  ['.'] = NAME | VALUE,
  ['/'] = VALUE,
  ['0' ... '9'] = NAME | VALUE,
  [':'] = VALUE,
  [';'] = VALUE,
  ['='] = VALUE,
  ['?'] = VALUE,
  ['@'] = VALUE,
  ['A' ... 'Z'] = NAME | NAME_START | VALUE,
  ['[' ... '^'] = VALUE,
  ['_'] = NAME | NAME_START | VALUE,
  ['`'] = VALUE,
  ['a' ... 'z'] = NAME | NAME_START | VALUE,
  ['{' ... '~'] = VALUE,
  [0x80 ... 0xff] = VALUE,
};

typedef struct {
  const char *at, *end; /* `end[-1]` is ">" */
  TpdXml *xml;
  gboolean odd; /* the text holds "&" or CR */
  guint depth;
  struct {
    gint64 index; /* of the element */
    gint64 child; /* its last child so far, or -1 */
  } open[TPD_XML_DEPTH_MAX];
} Pass;

static gboolean
is (char c, guint8 kind)
{
  return (classes[(guchar) c] & kind) != 0;
}

/* --- Characters --------------------------------------------------------- */

/* Whether no control character is in it but those of white space, and none of
 * the two characters that are no text. */
static gboolean
is_text (const char *text, gsize len)
{
  const char *end = text + len;
  guint kinds = tpd_scan_kinds (text, len);

  if ((kinds & TPD_SCAN_CONTROL) != 0)
    return FALSE;
  if ((kinds & TPD_SCAN_HIGH) == 0)
    return TRUE;
  for (const char *p = text; (p = memchr (p, 0xef, (gsize) (end - p))) != NULL; p++)
    if (end - p >= 3 && (guchar) p[1] == 0xbf && (guchar) p[2] >= 0xbe)
      return FALSE; /* U+FFFE and U+FFFF */
  return TRUE;
}

static gboolean
is_blank (const char *text, gsize len)
{
  for (gsize i = 0; i < len; i++)
    if (!is (text[i], SPACE))
      return FALSE;
  return TRUE;
}

/* Whether every "&" begins one of the references that every XML knows. */
static gboolean
has_known_references (const char *text, gsize len)
{
  static const char *const known[] = { "&lt;", "&gt;", "&amp;", "&quot;", "&apos;" };
  const char *end = text + len;

  for (const char *p = text; (p = memchr (p, '&', (gsize) (end - p))) != NULL; p++)
    {
      gboolean found = FALSE;

      for (guint i = 0; i < G_N_ELEMENTS (known) && !found; i++)
        found = tpd_scan_at (p, (gsize) (end - p), 0, known[i]);
      if (!found)
        return FALSE;
    }
  return TRUE;
}

/* --- Tags --------------------------------------------------------------- */

static gboolean
take_name (Pass *pass, TpdXmlNode *node)
{
  const char *start = pass->at, *p = start;

  if (!is (*p, NAME_START))
    return FALSE;
  while (is (*p, NAME))
    p++;
  pass->at = p;
  node->name = start;
  node->name_len = (guint32) (p - start);
  return p - start <= MAX_NAME;
}

static void
skip_space (Pass *pass)
{
  while (is (*pass->at, SPACE))
    pass->at++;
}

/* `"value"`, with either quote. */
static gboolean
take_value (Pass *pass, TpdXmlNode *node)
{
  char quote = *pass->at, other = quote == '"' ? '\'' : '"';
  const char *start = pass->at + 1, *p = start;

  if (quote != '"' && quote != '\'')
    return FALSE;
  while (is (*p, VALUE) || *p == '&' || *p == other)
    {
      node->raw |= *p == '&';
      p++;
    }
  if (*p != quote)
    return FALSE;
  pass->at = p + 1;
  node->text = start;
  node->text_len = (guint32) (p - start);
  return !node->raw || has_known_references (start, node->text_len);
}

static gboolean
has_same_name (const TpdXmlNode *a, const TpdXmlNode *b)
{
  return a->name_len == b->name_len && memcmp (a->name, b->name, a->name_len) == 0;
}

/* The attributes of the element `index`, for which there is room, up to the end
 * of its tag. */
static gboolean
take_attributes (Pass *pass, guint index)
{
  TpdXmlNode *element = &pass->xml->nodes[index], *attribute;
  gboolean declared = FALSE;

  for (;;)
    {
      const char *before = pass->at;

      skip_space (pass);
      if (*pass->at == '>' || *pass->at == '/')
        return TRUE;
      if (pass->at == before || element->n_attributes + (declared ? 1 : 0) == TPD_XML_ATTRIBUTES_MAX)
        return FALSE;
      attribute = &pass->xml->nodes[tpd_xml_add (pass->xml, -1, -1)];
      if (!take_name (pass, attribute))
        return FALSE;
      /* Rights data are written with spaces around it. */
      skip_space (pass);
      if (*pass->at != '=')
        return FALSE;
      pass->at++;
      skip_space (pass);
      if (!take_value (pass, attribute))
        return FALSE;
      for (const TpdXmlNode *other = element + 1; other < attribute; other++)
        if (has_same_name (other, attribute))
          return FALSE;
      if (attribute->name_len == strlen ("xmlns") && memcmp (attribute->name, "xmlns", strlen ("xmlns")) == 0)
        {
          /* No attribute: that there is no namespace, unless it has a value. */
          if (declared || attribute->text_len != 0)
            return FALSE;
          declared = TRUE;
          pass->xml->n--;
          continue;
        }
      element->n_attributes++;
    }
}

/* Behind the "<" of a start tag. */
static gboolean
take_start (Pass *pass)
{
  gint64 parent = pass->depth > 0 ? pass->open[pass->depth - 1].index : -1;
  gint64 before = pass->depth > 0 ? pass->open[pass->depth - 1].child : -1;
  guint index;

  if (pass->xml->n > MAX_NODES)
    return FALSE;
  tpd_xml_reserve (pass->xml, 2 + TPD_XML_ATTRIBUTES_MAX);
  index = tpd_xml_add (pass->xml, parent, before);
  if (!take_name (pass, &pass->xml->nodes[index]) || !take_attributes (pass, index))
    return FALSE;
  if (pass->depth > 0)
    pass->open[pass->depth - 1].child = index;
  if (*pass->at == '/')
    {
      pass->at++;
      if (*pass->at != '>' || pass->depth == 0)
        return FALSE;
      pass->at++;
      return TRUE;
    }
  pass->at++;
  if (pass->depth == TPD_XML_DEPTH_MAX)
    return FALSE;
  pass->open[pass->depth].index = index;
  pass->open[pass->depth].child = -1;
  pass->depth++;
  return TRUE;
}

/* Behind the "</" of an end tag; what is between it and the tag before is
 * `text`. */
static gboolean
take_end (Pass *pass, const char *text, gsize len)
{
  TpdXmlNode *element = &pass->xml->nodes[pass->open[pass->depth - 1].index];

  if ((gsize) (pass->end - pass->at) <= element->name_len || memcmp (pass->at, element->name, element->name_len) != 0
      || pass->at[element->name_len] != '>')
    return FALSE;
  pass->at += element->name_len + 1;
  pass->depth--;
  if (element->has_child)
    return is_blank (text, len);
  element->text = text;
  element->text_len = (guint32) len;
  if (!pass->odd)
    return TRUE;
  element->raw = memchr (text, '&', len) != NULL || memchr (text, '\r', len) != NULL;
  return has_known_references (text, len);
}

/* From the "<" of the root to behind its end. */
static gboolean
take_root (Pass *pass)
{
  pass->at++;
  if (!take_start (pass))
    return FALSE;
  while (pass->depth > 0)
    {
      const char *text = pass->at, *tag = memchr (text, '<', (gsize) (pass->end - text));
      gsize len;

      if (tag == NULL)
        return FALSE;
      len = (gsize) (tag - text);
      pass->at = tag + 1; /* at most the ">" at the end */
      if (*pass->at == '/')
        {
          pass->at++;
          if (!take_end (pass, text, len))
            return FALSE;
        }
      else if (!is_blank (text, len) || !take_start (pass))
        return FALSE;
    }
  return TRUE;
}

TpdXml *
tpd_xml_read_plain (const char *text, gsize len, gsize *used)
{
  g_autoptr (TpdXml) xml = NULL;
  Pass pass = { 0 };
  gsize at = 0;

  while (len > 0 && is (text[len - 1], SPACE))
    len--;
  if (len < strlen ("<a></a>") || len > MAX_TEXT || text[0] != '<' || text[len - 1] != '>' || !is_text (text, len))
    return NULL;
  /* It may not stand in text, and hardly ever stands elsewhere. */
  if (tpd_scan_find (text, len, &at, "]]>"))
    return NULL;
  xml = g_new0 (TpdXml, 1);
  tpd_xml_reserve (xml, 256);
  pass.at = text;
  pass.end = text + len;
  pass.xml = xml;
  pass.odd = memchr (text, '&', len) != NULL || memchr (text, '\r', len) != NULL;
  if (!take_root (&pass) || (used == NULL && pass.at != pass.end))
    return NULL;
  if (used != NULL)
    *used = (gsize) (pass.at - text);
  return g_steal_pointer (&xml);
}
