/* SPDX-License-Identifier: Apache-2.0 */
/* JSON objects of our own lists, read again. Somebody may have edited them. */
#pragma once

#include <json-glib/json-glib.h>

/* NULL: it is no object, or nested more deeply than any of ours: reading such
 * text would take as much stack as it likes. (transfer full) */
JsonObject *tpd_json_read_object (const char *text, gsize len);

/* NULL, 0 or FALSE if there is no such member of that type, or it is negative. */
const char *tpd_json_get_string (JsonObject *object, const char *name);
guint64 tpd_json_get_uint (JsonObject *object, const char *name);
gboolean tpd_json_get_boolean (JsonObject *object, const char *name);
JsonObject *tpd_json_get_object (JsonObject *object, const char *name);
