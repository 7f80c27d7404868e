/* SPDX-License-Identifier: Apache-2.0 */
/* JSON lines: see json.h. */
#include "tools/json.h"

#include <stdio.h>

#include "base/text.h"
#include "license/license.h"

static void
add_text (JsonBuilder *json, const char *value)
{
  g_autofree char *shown = NULL;

  if (g_utf8_validate (value, -1, NULL))
    {
      json_builder_add_string_value (json, value);
      return;
    }
  shown = tpd_display (value);
  json_builder_add_string_value (json, shown);
}

void
tpd_json_string (JsonBuilder *json, const char *name, const char *value)
{
  json_builder_set_member_name (json, name);
  if (value != NULL)
    add_text (json, value);
  else
    json_builder_add_null_value (json);
}

void
tpd_json_uint (JsonBuilder *json, const char *name, guint64 value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_int_value (json, (gint64) MIN (value, G_MAXINT64));
}

void
tpd_json_uint_or_null (JsonBuilder *json, const char *name, guint64 value)
{
  if (value != 0)
    tpd_json_uint (json, name, value);
  else
    tpd_json_null (json, name);
}

void
tpd_json_boolean (JsonBuilder *json, const char *name, gboolean value)
{
  json_builder_set_member_name (json, name);
  json_builder_add_boolean_value (json, value);
}

void
tpd_json_null (JsonBuilder *json, const char *name)
{
  json_builder_set_member_name (json, name);
  json_builder_add_null_value (json);
}

void
tpd_json_strings (JsonBuilder *json, const char *name, char *const *values)
{
  if (values == NULL)
    {
      tpd_json_null (json, name);
      return;
    }
  json_builder_set_member_name (json, name);
  json_builder_begin_array (json);
  for (gsize i = 0; values[i] != NULL; i++)
    add_text (json, values[i]);
  json_builder_end_array (json);
}

void
tpd_json_string_array (JsonBuilder *json, const char *name, const GPtrArray *values)
{
  json_builder_set_member_name (json, name);
  json_builder_begin_array (json);
  for (guint i = 0; i < values->len; i++)
    add_text (json, g_ptr_array_index (values, i));
  json_builder_end_array (json);
}

void
tpd_json_names (JsonBuilder *json, const char *name, const GPtrArray *names)
{
  json_builder_set_member_name (json, name);
  json_builder_begin_object (json);
  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      const TpdDescriptorName *entry = g_ptr_array_index (names, i);
      g_autofree char *lcid = g_strdup_printf ("%u", entry->lcid);
      tpd_json_string (json, lcid, entry->name);
    }
  json_builder_end_object (json);
}

/* The generator leaves DEL, C1 controls, line separators, bidi controls and
 * their like as they are; they stand inside strings only. */
static gboolean
must_escape (gunichar c)
{
  switch (g_unichar_type (c))
    {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
      return TRUE;
    default:
      return FALSE;
    }
}

static void
append_escaped (GString *out, gunichar c)
{
  if (c < 0x10000)
    g_string_append_printf (out, "\\u%04x", c);
  else
    g_string_append_printf (out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
}

void
tpd_json_print (JsonBuilder *json)
{
  g_autoptr (JsonNode) root = json_builder_get_root (json);
  g_autofree char *text = json_to_string (root, FALSE);
  g_autoptr (GString) line = g_string_new (NULL);

  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);
      if (must_escape (c))
        append_escaped (line, c);
      else
        g_string_append_unichar (line, c);
    }
  g_string_append_c (line, '\n');
  fwrite (line->str, 1, line->len, stdout);
  fflush (stdout);
}
