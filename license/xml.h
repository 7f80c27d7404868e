/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door to libxml2 in license/: parses a single document that somebody
 * hostile may have written, and reads it by local names. Private to license/.
 */
#pragma once

#include <glib.h>
#include <libxml/tree.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)

/* Whether `text` holds a DOCTYPE or entity declaration, in any letter case. */
gboolean tpd_xml_has_doctype (const char *text, gsize len);

/*
 * Parses one document of valid UTF-8. No network, no DTD, no entities but the
 * predefined; bounded in depth, elements and attributes; silent. Anything else
 * is TPD_ERROR_DAMAGED. `what` names the document in the message ("publishing
 * license"). The root element exists. Thread-safe. (transfer full)
 */
xmlDoc *tpd_xml_parse (const char *text, gsize len, const char *what, GError **error);

const xmlNode *tpd_xml_root (const xmlDoc *doc);

/* First child element, or next sibling element, of that local name; NULL for
 * `name` takes any element. `node` may be NULL. */
const xmlNode *tpd_xml_child (const xmlNode *node, const char *name);
const xmlNode *tpd_xml_next (const xmlNode *node, const char *name);
/* Follows first children along "A/B/C". */
const xmlNode *tpd_xml_path (const xmlNode *node, const char *path);

/* Trimmed; NULL if the attribute is absent or empty. (transfer full) */
char *tpd_xml_attribute (const xmlNode *node, const char *name);
gboolean tpd_xml_attribute_is (const xmlNode *node, const char *name, const char *value);

/* The element's own text, trimmed; NULL if it is empty or `node` is NULL.
 * (transfer full) */
char *tpd_xml_text (const xmlNode *node);
/* Same, at the end of a path. */
char *tpd_xml_path_text (const xmlNode *node, const char *path);
