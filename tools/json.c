/* SPDX-License-Identifier: Apache-2.0 */
/* JSON lines: see json.h. */
#include "tools/json.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "license/license.h"

/* Most objects fit. */
#define USUAL_SIZE 4000

void
tpd_json_init (TpdJson *json)
{
  json->text = g_string_sized_new (USUAL_SIZE);
}

void
tpd_json_clear (TpdJson *json)
{
  if (json->text != NULL)
    g_string_free (g_steal_pointer (&json->text), TRUE);
}

/* A comma unless this is the first of its object or array. */
static void
separate (TpdJson *json)
{
  char last = json->text->len > 0 ? json->text->str[json->text->len - 1] : '{';

  if (last != '{' && last != '[')
    g_string_append_c (json->text, ',');
}

/* Control characters, line separators, bidi controls and their like. */
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
append_escape (GString *out, gunichar c)
{
  static const char from[] = "\b\f\n\r\t", to[] = "bfnrt";
  const char *known = c > 0 && c < 0x20 ? strchr (from, (char) c) : NULL;

  if (known != NULL)
    g_string_append_printf (out, "\\%c", to[known - from]);
  else if (c < 0x10000)
    g_string_append_printf (out, "\\u%04x", c);
  else
    g_string_append_printf (out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
}

/* Printable ASCII that means nothing else in JSON. */
static gboolean
is_simple (guchar byte)
{
  return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static void
append_utf8 (GString *out, const char *value)
{
  const char *p = value, *plain = value;

  while (*p != '\0')
    {
      guchar byte = (guchar) *p;
      gunichar c;

      if (is_simple (byte))
        {
          p++;
          continue;
        }
      c = g_utf8_get_char (p);
      if (c >= 0x80 && !must_escape (c))
        {
          p = g_utf8_next_char (p);
          continue;
        }
      g_string_append_len (out, plain, p - plain);
      if (c == '"' || c == '\\')
        {
          g_string_append_c (out, '\\');
          g_string_append_c (out, (char) c);
        }
      else
        append_escape (out, c);
      p = g_utf8_next_char (p);
      plain = p;
    }
  g_string_append_len (out, plain, p - plain);
}

static void
append_text (TpdJson *json, const char *value)
{
  const char *end = value;

  while (is_simple ((guchar) *end))
    end++;
  g_string_append_c (json->text, '"');
  if (*end == '\0')
    g_string_append_len (json->text, value, end - value);
  else if (g_utf8_validate (value, -1, NULL))
    append_utf8 (json->text, value);
  else
    {
      g_autofree char *shown = tpd_display (value);
      append_utf8 (json->text, shown);
    }
  g_string_append_c (json->text, '"');
}

static void
begin_member (TpdJson *json, const char *name)
{
  separate (json);
  if (name == NULL)
    return;
  /* Names are ours. */
  g_string_append_c (json->text, '"');
  g_string_append (json->text, name);
  g_string_append (json->text, "\":");
}

void
tpd_json_begin_object (TpdJson *json, const char *name)
{
  begin_member (json, name);
  g_string_append_c (json->text, '{');
}

void
tpd_json_end_object (TpdJson *json)
{
  g_string_append_c (json->text, '}');
}

void
tpd_json_begin_array (TpdJson *json, const char *name)
{
  begin_member (json, name);
  g_string_append_c (json->text, '[');
}

void
tpd_json_end_array (TpdJson *json)
{
  g_string_append_c (json->text, ']');
}

void
tpd_json_string (TpdJson *json, const char *name, const char *value)
{
  if (value == NULL)
    {
      tpd_json_null (json, name);
      return;
    }
  begin_member (json, name);
  append_text (json, value);
}

void
tpd_json_uint (TpdJson *json, const char *name, guint64 value)
{
  begin_member (json, name);
  g_string_append_printf (json->text, "%" G_GUINT64_FORMAT, MIN (value, (guint64) G_MAXINT64));
}

void
tpd_json_uint_or_null (TpdJson *json, const char *name, guint64 value)
{
  if (value != 0)
    tpd_json_uint (json, name, value);
  else
    tpd_json_null (json, name);
}

void
tpd_json_boolean (TpdJson *json, const char *name, gboolean value)
{
  begin_member (json, name);
  g_string_append (json->text, value ? "true" : "false");
}

void
tpd_json_null (TpdJson *json, const char *name)
{
  begin_member (json, name);
  g_string_append (json->text, "null");
}

void
tpd_json_strings (TpdJson *json, const char *name, char *const *values)
{
  if (values == NULL)
    {
      tpd_json_null (json, name);
      return;
    }
  tpd_json_begin_array (json, name);
  for (gsize i = 0; values[i] != NULL; i++)
    tpd_json_string (json, NULL, values[i]);
  tpd_json_end_array (json);
}

void
tpd_json_string_array (TpdJson *json, const char *name, const GPtrArray *values)
{
  tpd_json_begin_array (json, name);
  for (guint i = 0; i < values->len; i++)
    tpd_json_string (json, NULL, g_ptr_array_index (values, i));
  tpd_json_end_array (json);
}

/* More languages than Windows has are not named. */
#define MAX_LANGUAGES 512

/* A language that is named twice: the first counts. */
static gboolean
is_repeated (const GPtrArray *names, guint at)
{
  const TpdDescriptorName *entry = g_ptr_array_index (names, at);

  for (guint i = 0; i < at; i++)
    {
      const TpdDescriptorName *earlier = g_ptr_array_index (names, i);
      if (earlier->lcid == entry->lcid)
        return TRUE;
    }
  return FALSE;
}

void
tpd_json_names (TpdJson *json, const char *name, const GPtrArray *names)
{
  tpd_json_begin_object (json, name);
  for (guint i = 0; names != NULL && i < MIN (names->len, MAX_LANGUAGES); i++)
    {
      const TpdDescriptorName *entry = g_ptr_array_index (names, i);
      char lcid[16];

      if (is_repeated (names, i))
        continue;
      g_snprintf (lcid, sizeof lcid, "%u", entry->lcid);
      tpd_json_string (json, lcid, entry->name);
    }
  tpd_json_end_object (json);
}

void
tpd_json_path (TpdJson *json, const char *path)
{
  tpd_json_string (json, "path", path);
  if (!g_utf8_validate (path, -1, NULL))
    {
      g_autofree char *base64 = g_base64_encode ((const guchar *) path, strlen (path));
      tpd_json_string (json, "path_b64", base64);
    }
}

void
tpd_json_print (TpdJson *json)
{
  g_string_append_c (json->text, '\n');
  fwrite (json->text->str, 1, json->text->len, stdout);
  fflush (stdout);
}
