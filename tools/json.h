/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON the way all of `tpd` writes it: text put together member by member.
 *
 * What is not known is null; a list that is known to be empty is []. Every
 * member of an object is always there, so that a reader needs no special case.
 * No control or format character is written as itself, and text that is not
 * UTF-8 (file names) is shown escaped.
 *
 * A NULL `name` is right inside arrays only.
 */
#pragma once

#include <glib.h>

typedef struct {
  GString *text;
} TpdJson;

void tpd_json_init (TpdJson *json);
void tpd_json_clear (TpdJson *json);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdJson, tpd_json_clear)

void tpd_json_begin_object (TpdJson *json, const char *name);
void tpd_json_end_object (TpdJson *json);
void tpd_json_begin_array (TpdJson *json, const char *name);
void tpd_json_end_array (TpdJson *json);

/* NULL is null. */
void tpd_json_string (TpdJson *json, const char *name, const char *value);
void tpd_json_uint (TpdJson *json, const char *name, guint64 value);
/* 0 is null. */
void tpd_json_uint_or_null (TpdJson *json, const char *name, guint64 value);
void tpd_json_boolean (TpdJson *json, const char *name, gboolean value);
void tpd_json_null (TpdJson *json, const char *name);
/* NULL is null. */
void tpd_json_strings (TpdJson *json, const char *name, char *const *values);
/* The same of a GPtrArray of char *. */
void tpd_json_string_array (TpdJson *json, const char *name, const GPtrArray *values);
/* An object of TpdDescriptorName: {"1033": "Name", ...}. */
void tpd_json_names (TpdJson *json, const char *name, const GPtrArray *names);
/* The path of a file, and its bytes if it is not UTF-8: `path`, `path_b64`. */
void tpd_json_path (TpdJson *json, const char *path);

/* Writes it to standard output as one line and flushes that. */
void tpd_json_print (TpdJson *json);
