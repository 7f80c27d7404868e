/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of policies and templates in all languages, [MS-RMPR] 2.2.9.1.4: one
 * string of "LCID n:NAME a:DESCRIPTION b;" entries, in which names and
 * descriptions hold ':' and ';' unescaped. An entry therefore ends only at a
 * ';' that the next entry, or the end of the text, follows.
 */
#include <string.h>

#include "license/license.h"
#include "license/scan.h"

#define ENTRIES_MAX 256
#define DESCRIPTION ":DESCRIPTION"

static void
descriptor_name_free (gpointer data)
{
  TpdDescriptorName *name = data;

  g_free (name->name);
  g_free (name->description);
  g_free (name);
}

static const char *
skip_space (const char *p)
{
  while (tpd_is_space ((guchar) *p))
    p++;
  return p;
}

/* Behind "LCID n:NAME " at `p`, or NULL if that does not stand there. Not by
 * g_str_has_prefix(), which since GLib 2.76 measures all of the text first. */
static const char *
read_head (const char *p, guint *lcid)
{
  guint value = 0, digits = 0;

  if (strncmp (p, "LCID ", 5) != 0)
    return NULL;
  for (p += 5; g_ascii_isdigit (*p) && digits < 9; p++, digits++)
    value = value * 10 + (guint) (*p - '0');
  if (digits == 0 || strncmp (p, ":NAME ", 6) != 0)
    return NULL;
  *lcid = value;
  return p + 6;
}

/* The end of the entry whose texts begin at `p`: its last ';', or the NUL. */
static const char *
find_end (const char *p)
{
  guint lcid;

  for (p = strchrnul (p, ';'); *p != '\0'; p = strchrnul (p + 1, ';'))
    {
      const char *next = skip_space (p + 1);
      if (*next == '\0' || read_head (next, &lcid) != NULL)
        return p;
    }
  return p;
}

/* The first ":DESCRIPTION " between `p` and `end`, or NULL. The space behind it
 * is gone where the end of the text was trimmed. */
static const char *
find_description (const char *p, const char *end)
{
  gsize len = (gsize) (end - p), at = 0;

  for (; tpd_scan_find (p, len, &at, DESCRIPTION); at++)
    {
      gsize behind = at + strlen (DESCRIPTION);
      if (behind == len || p[behind] == ' ')
        return p + at;
    }
  return NULL;
}

GPtrArray *
tpd_descriptor_parse (const char *text)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (descriptor_name_free);
  const char *p, *head = skip_space (text);
  guint lcid;

  while (names->len < ENTRIES_MAX && (p = read_head (head, &lcid)) != NULL)
    {
      const char *end = find_end (p);
      const char *description = find_description (p, end);
      TpdDescriptorName *entry = g_new0 (TpdDescriptorName, 1);

      entry->lcid = lcid;
      entry->name = g_strstrip (g_strndup (p, (gsize) ((description == NULL ? end : description) - p)));
      if (description != NULL)
        {
          description += strlen (DESCRIPTION);
          entry->description = g_strstrip (g_strndup (description, (gsize) (end - description)));
        }
      g_ptr_array_add (names, entry);
      if (*end == '\0')
        break;
      head = skip_space (end + 1);
    }
  return names;
}
