/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XML in license/: parses a single document that somebody hostile may have
 * written, and reads it by local names. Documents as servers write them are read
 * in one pass (xml_plain.c); all others by libxml2, behind the only door to it
 * (xml_any.c). Private to license/.
 */
#pragma once

#include <glib.h>

typedef struct _TpdXml TpdXml;
typedef struct _TpdXmlNode TpdXmlNode; /* an element; lives as long as its document */

void tpd_xml_free (TpdXml *xml);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdXml, tpd_xml_free)

/* Whether `text` holds a DOCTYPE or entity declaration, in any letter case. */
gboolean tpd_xml_has_doctype (const char *text, gsize len);

/*
 * Parses one document of valid UTF-8, which has to outlive what is returned. No
 * network, no DTD, no entities but the predefined; bounded in depth, elements
 * and attributes; silent. Anything else is TPD_ERROR_DAMAGED. `what` names the
 * document in the message ("publishing license"). The root element exists.
 * Thread-safe. (transfer full)
 */
TpdXml *tpd_xml_parse (const char *text, gsize len, const char *what, GError **error);

const TpdXmlNode *tpd_xml_root (const TpdXml *xml);

/* First child element, or next sibling element, of that local name; NULL for
 * `name` takes any element. `node` may be NULL. */
const TpdXmlNode *tpd_xml_child (const TpdXmlNode *node, const char *name);
const TpdXmlNode *tpd_xml_next (const TpdXmlNode *node, const char *name);
/* Follows first children along "A/B/C". */
const TpdXmlNode *tpd_xml_path (const TpdXmlNode *node, const char *path);
/* NULL for the root. */
const TpdXmlNode *tpd_xml_parent (const TpdXmlNode *node);

/* The local name. (transfer full) */
char *tpd_xml_name (const TpdXmlNode *node);
gboolean tpd_xml_name_is (const TpdXmlNode *node, const char *name);

/* Of an attribute without a prefix, trimmed; NULL if it is absent or empty.
 * (transfer full) */
char *tpd_xml_attribute (const TpdXmlNode *node, const char *name);
gboolean tpd_xml_attribute_is (const TpdXmlNode *node, const char *name, const char *value);
/* Local name and value, as it is, of the attribute `i` of those with and without
 * a prefix; FALSE if there is none. (both transfer full) */
gboolean tpd_xml_attribute_at (const TpdXmlNode *node, guint i, char **name, char **value);

/* The element's own text, trimmed; NULL if it is empty or `node` is NULL.
 * (transfer full) */
char *tpd_xml_text (const TpdXmlNode *node);
/* Same, at the end of a path. */
char *tpd_xml_path_text (const TpdXmlNode *node, const char *path);
