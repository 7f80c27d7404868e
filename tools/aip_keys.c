/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what Get-AipServiceKeys told: see aip_keys.h. Every form names its
 * columns in English, so records are found by the name "KeyIdentifier"; what
 * else stands in the file is passed over.
 */
#include "tools/aip_keys.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "tools/input.h"

#define VALUE_MAX 256
#define COLUMNS_MAX 32

typedef enum { FIELD_GUID, FIELD_TYPE, FIELD_STATUS, FIELD_CREATED, N_FIELDS } Field;

static const char *const field_names[N_FIELDS] = { "KeyIdentifier", "KeyType", "Status", "CreationTime" };

/* A record on its way. */
typedef struct {
  GPtrArray *keys;
  char *fields[N_FIELDS];
  gboolean cut; /* a GUID that the console had cut off was met */
} Reader;

static void
key_free (gpointer data)
{
  TpdAipKey *key = data;

  g_free (key->guid);
  g_free (key->type);
  g_free (key->status);
  g_free (key->created);
  g_free (key);
}

const TpdAipKey *
tpd_aip_keys_find (const GPtrArray *keys, const char *guid)
{
  for (guint i = 0; keys != NULL && guid != NULL && i < keys->len; i++)
    {
      const TpdAipKey *key = g_ptr_array_index (keys, i);

      if (g_ascii_strcasecmp (key->guid, guid) == 0)
        return key;
    }
  return NULL;
}

/* --- Records ------------------------------------------------------------ */

/* The field of that name, N_FIELDS if it is none of ours. */
static guint
find_field (const char *name, gsize len)
{
  for (guint i = 0; i < N_FIELDS; i++)
    if (strlen (field_names[i]) == len && g_ascii_strncasecmp (field_names[i], name, len) == 0)
      return i;
  return N_FIELDS;
}

static void
set_field (Reader *reader, guint field, const char *value, gsize len)
{
  char *text;

  if (field >= N_FIELDS || reader->fields[field] != NULL)
    return;
  text = g_strstrip (g_strndup (value, MIN (len, (gsize) VALUE_MAX)));
  if (text[0] != '\0')
    reader->fields[field] = text;
  else
    g_free (text);
}

/* "04f83314-...": what a narrow window leaves of one. Else it is a line that
 * does not belong to the answer. */
static gboolean
begins_like_guid (const char *text)
{
  gsize digits = 0;

  text += *text == '{' ? 1 : 0;
  while (g_ascii_isxdigit (text[digits]))
    digits++;
  return digits >= 4 && (text[digits] == '-' || text[digits] == '.' || strstr (text, "\xe2\x80\xa6") != NULL);
}

static void
end_record (Reader *reader)
{
  char guid[TPD_GUID_SIZE];
  const char *given = reader->fields[FIELD_GUID];

  if (given != NULL && !tpd_guid_parse (given, guid))
    reader->cut = reader->cut || begins_like_guid (given);
  else if (given != NULL && reader->keys->len < TPD_AIP_KEYS_MAX && tpd_aip_keys_find (reader->keys, guid) == NULL)
    {
      TpdAipKey *key = g_new0 (TpdAipKey, 1);

      key->guid = g_strdup (guid);
      key->type = g_steal_pointer (&reader->fields[FIELD_TYPE]);
      key->status = g_steal_pointer (&reader->fields[FIELD_STATUS]);
      key->created = g_steal_pointer (&reader->fields[FIELD_CREATED]);
      g_ptr_array_add (reader->keys, key);
    }
  for (guint i = 0; i < N_FIELDS; i++)
    g_clear_pointer (&reader->fields[i], g_free);
}

/* --- JSON --------------------------------------------------------------- */

/* The string whose opening quote is at `p`; `*end` behind it. Escapes stay:
 * what we look for has none. */
static const char *
json_string (const char *p, gsize *len, const char **end)
{
  const char *start = ++p;

  while (*p != '\0' && *p != '"')
    p += *p == '\\' && p[1] != '\0' ? 2 : 1;
  *len = (gsize) (p - start);
  *end = *p == '"' ? p + 1 : p;
  return start;
}

static const char *
skip_space (const char *p)
{
  while (g_ascii_isspace (*p))
    p++;
  return p;
}

/* "name": value, of any object; a record ends where its object does. */
static void
read_json (Reader *reader, const char *p)
{
  while (*p != '\0')
    {
      gsize name_len, len;
      const char *name, *value, *after;

      if (*p == '}')
        end_record (reader);
      if (*p != '"')
        {
          p++;
          continue;
        }
      name = json_string (p, &name_len, &p);
      after = skip_space (p);
      if (*after != ':')
        continue;
      value = skip_space (after + 1);
      p = value;
      if (*value == '"')
        value = json_string (value, &len, &p);
      else
        {
          len = strcspn (value, ",}]{[\r\n");
          if (*value == '{' || *value == '[')
            len = 0;
          p = value + len;
        }
      set_field (reader, find_field (name, name_len), value, len);
    }
}

/* --- CSV ---------------------------------------------------------------- */

/* One cell, RFC 4180; `*p` ends behind the separator, or at the end of line. */
static char *
csv_cell (const char **p, char separator, gboolean *last)
{
  GString *cell = g_string_new (NULL);
  gboolean quoted = FALSE;

  for (; **p != '\0'; (*p)++)
    {
      char c = **p;

      if (c == '"' && quoted && (*p)[1] == '"')
        {
          g_string_append_c (cell, '"');
          (*p)++;
        }
      else if (c == '"')
        quoted = !quoted;
      else if (!quoted && (c == separator || c == '\n'))
        break;
      else
        g_string_append_c (cell, c);
    }
  *last = **p != separator;
  if (**p != '\0')
    (*p)++;
  return g_strstrip (g_string_free (cell, FALSE));
}

static void
read_csv (Reader *reader, const char *p, char separator)
{
  guint columns[COLUMNS_MAX];
  guint n = 0;
  gboolean last = FALSE;

  while (!last)
    {
      g_autofree char *name = csv_cell (&p, separator, &last);

      if (n < COLUMNS_MAX)
        columns[n++] = find_field (name, strlen (name));
    }
  while (*p != '\0')
    {
      last = FALSE;
      for (guint i = 0; !last; i++)
        {
          g_autofree char *value = csv_cell (&p, separator, &last);

          if (i < n)
            set_field (reader, columns[i], value, strlen (value));
        }
      end_record (reader);
    }
}

/* --- The console's list and table --------------------------------------- */

typedef struct {
  guint field;
  gsize at;
} Column;

/* "Name : value": FALSE if the line is no such thing. */
static gboolean
read_list_line (Reader *reader, const char *line)
{
  const char *name = skip_space (line), *colon = strchr (name, ':');
  gsize len;
  guint field;

  if (colon == NULL)
    return FALSE;
  len = (gsize) (colon - name);
  while (len > 0 && g_ascii_isspace (name[len - 1]))
    len--;
  field = find_field (name, len);
  if (field == N_FIELDS)
    return FALSE;
  /* Records need not be apart. */
  if (reader->fields[field] != NULL)
    end_record (reader);
  set_field (reader, field, colon + 1, strlen (colon + 1));
  return TRUE;
}

/* The places of the columns, from the line with their names. */
static guint
read_table_head (const char *line, Column columns[COLUMNS_MAX])
{
  guint n = 0;

  for (const char *p = line; n < COLUMNS_MAX && *(p += strspn (p, " \t")) != '\0';)
    {
      gsize len = strcspn (p, " \t");

      columns[n++] = (Column){ find_field (p, len), (gsize) (p - line) };
      p += len;
    }
  for (guint i = 0; i < n; i++)
    if (columns[i].field == FIELD_GUID)
      return n;
  return 0;
}

/* A value starts in its column; numbers and times may be aligned to the right
 * and are then not told. */
static void
read_table_line (Reader *reader, const char *line, const Column *columns, guint n)
{
  gsize len = strlen (line);

  for (guint i = 0; i < n; i++)
    {
      gsize end = i + 1 < n ? columns[i + 1].at : len;

      if (columns[i].at < len)
        set_field (reader, columns[i].field, line + columns[i].at, MIN (end, len) - columns[i].at);
    }
  end_record (reader);
}

static void
read_console (Reader *reader, char *text)
{
  Column columns[COLUMNS_MAX];
  guint n = 0;
  char *next;

  for (char *line = text; line != NULL; line = next)
    {
      const char *start;

      next = strchr (line, '\n');
      if (next != NULL)
        *next++ = '\0';
      start = skip_space (line);
      if (*start == '\0')
        {
          end_record (reader);
          /* The table's names stay for what follows an empty line. */
          continue;
        }
      if (read_list_line (reader, line))
        continue;
      if (g_str_has_prefix (start, "--"))
        continue;
      if (strcasestr (line, field_names[FIELD_GUID]) != NULL)
        n = read_table_head (line, columns);
      else if (n > 0)
        read_table_line (reader, line, columns, n);
    }
  end_record (reader);
}

/* --- The text ----------------------------------------------------------- */

/* As UTF-8 with bare newlines; NULL if it is no text. */
static char *
decode (const guint8 *data, gsize len)
{
  g_autofree char *text = NULL;
  char *out;

  if (len >= 2 && ((data[0] == 0xff && data[1] == 0xfe) || data[1] == 0))
    text = g_convert ((const char *) data, (gssize) (len & ~(gsize) 1), "UTF-8", "UTF-16LE", NULL, NULL, NULL);
  else if (len >= 2 && data[0] == 0xfe && data[1] == 0xff)
    text = g_convert ((const char *) data, (gssize) (len & ~(gsize) 1), "UTF-8", "UTF-16BE", NULL, NULL, NULL);
  else if (memchr (data, 0, len) == NULL)
    text = g_utf8_make_valid ((const char *) data, (gssize) len);
  if (text == NULL)
    return NULL;
  out = text;
  for (const char *p = g_str_has_prefix (text, "\xef\xbb\xbf") ? text + 3 : text; *p != '\0'; p++)
    if (*p != '\r')
      *out++ = *p;
  *out = '\0';
  return g_steal_pointer (&text);
}

/* The separator of a CSV whose first line that is none of "#TYPE" is at `*p`;
 * 0 if it is no CSV. */
static char
find_separator (const char **p)
{
  g_autofree char *line = NULL;
  const char *name;

  while (**p == '#' || **p == '\n' || **p == ' ')
    {
      *p = strchrnul (*p, '\n');
      *p += **p == '\n' ? 1 : 0;
    }
  line = g_strndup (*p, strcspn (*p, "\n"));
  name = strcasestr (line, field_names[FIELD_GUID]);
  if (name == NULL)
    return '\0';
  for (const char *c = ",;\t"; *c != '\0'; c++)
    if (strchr (line, *c) != NULL)
      return *c;
  /* A CSV of one column. */
  return line[0] == '"' && line[strlen (line) - 1] == '"' ? ',' : '\0';
}

GPtrArray *
tpd_aip_keys_parse (const char *name, const guint8 *data, gsize len, GError **error)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (key_free);
  g_autofree char *text = len > 0 && len <= TPD_AIP_FILE_MAX ? decode (data, len) : NULL;
  Reader reader = { .keys = keys };
  const char *start = text;
  char separator;

  if (text == NULL)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
                   "%s is no text of Get-AipServiceKeys: keep its output with Get-AipServiceKeys | Out-File FILE",
                   name);
      return NULL;
    }
  start = skip_space (text);
  if (*start == '[' || *start == '{')
    read_json (&reader, start);
  else if ((separator = find_separator (&start)) != '\0')
    read_csv (&reader, start, separator);
  else
    read_console (&reader, text);
  end_record (&reader);
  if (keys->len > 0 && !reader.cut)
    return g_steal_pointer (&keys);
  g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE,
               reader.cut ? "%s holds a KeyIdentifier that is no GUID, or was cut off by a narrow window: write it "
                            "again with Get-AipServiceKeys | Format-List | Out-File FILE"
                          : "%s names no KeyIdentifier: write it with Get-AipServiceKeys | Format-List | Out-File FILE",
               name);
  return NULL;
}

GPtrArray *
tpd_aip_keys_read (const char *path, GError **error)
{
  g_autoptr (GBytes) bytes = tpd_input_read_small (path, TPD_AIP_FILE_MAX, error);

  if (bytes == NULL)
    return NULL;
  return tpd_aip_keys_parse (path, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
}
