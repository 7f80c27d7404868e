/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of JSON objects, the way all of `tpd` writes them.
 *
 * What is not known is null; a list that is known to be empty is []. Every
 * member of an object is always there, so that a reader needs no special case.
 */
#pragma once

#include <json-glib/json-glib.h>

/* Text that is not UTF-8 (file names) is shown escaped; NULL is null. */
void tpd_json_string (JsonBuilder *json, const char *name, const char *value);
void tpd_json_uint (JsonBuilder *json, const char *name, guint64 value);
/* 0 is null. */
void tpd_json_uint_or_null (JsonBuilder *json, const char *name, guint64 value);
void tpd_json_boolean (JsonBuilder *json, const char *name, gboolean value);
void tpd_json_null (JsonBuilder *json, const char *name);
/* NULL is null. */
void tpd_json_strings (JsonBuilder *json, const char *name, char *const *values);
/* The same of a GPtrArray of char *. */
void tpd_json_string_array (JsonBuilder *json, const char *name, const GPtrArray *values);
/* An object of TpdDescriptorName: {"1033": "Name", ...}. */
void tpd_json_names (JsonBuilder *json, const char *name, const GPtrArray *names);

/*
 * Writes what `json` built to standard output as one line and flushes it. No
 * control or format character is written as itself.
 */
void tpd_json_print (JsonBuilder *json);
