/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree behind license/xml.h and its two makers: one array, in the order of
 * the document, each element followed by its attributes and then by what is in
 * it. Nothing is copied out of the document by the first maker; nothing of
 * libxml2 stays with the second. Private to xml*.c and their tests.
 */
#pragma once

#include "license/xml.h"

/* The deepest genuine document has 12 levels. */
#define TPD_XML_DEPTH_MAX 32
#define TPD_XML_ATTRIBUTES_MAX 32 /* of one tag */

struct _TpdXmlNode {
  const char *name, *text; /* neither is terminated; `text` of an attribute is its value */
  guint32 name_len, text_len;
  guint32 next;         /* how far on the next sibling is; 0: there is none */
  guint32 parent;       /* how far back the parent is; 0: this is the root */
  guint16 n_attributes; /* of an element */
  guint8 has_child;     /* of an element: right behind its attributes */
  guint8 raw;           /* `text` holds references or CR, as they stand in the document */
  guint8 prefixed;      /* of an attribute: it is in a namespace */
};

struct _TpdXml {
  TpdXmlNode *nodes; /* the first is the root */
  guint n, allocated;
  GStringChunk *strings; /* of names and texts; NULL: they stand in the document */
};

/* Room for `n` more nodes: pointers to nodes are void. */
void tpd_xml_reserve (TpdXml *xml, guint n);

/* Adds an element (room was reserved) below the node `parent`, behind its child
 * `before`; either may be -1 for none. Returns its index. */
guint tpd_xml_add (TpdXml *xml, gint64 parent, gint64 before);

/*
 * Reads valid UTF-8 of the plain form that servers write, in one pass: elements,
 * attributes and text of one root, the five references by name, nothing else of
 * XML. NULL: it is not of that form, or not well-formed; the other maker has to
 * say. Whatever this one returns is what the other would have returned.
 *
 * `*used` is the length of the document, behind which anything may follow; if
 * `used` is NULL only white space may. `text` has to outlive the tree.
 */
TpdXml *tpd_xml_read_plain (const char *text, gsize len, gsize *used);

/* As tpd_xml_parse(), by libxml2 alone. */
TpdXml *tpd_xml_read_any (const char *text, gsize len, const char *what, GError **error);
