/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and their collisions. Each line of the input is an entry: its name in
 * the source, and after a tab the extension that its header names. What is
 * shown must be one name for each entry, whatever order the directory is in.
 */
#include <string.h>

#include "format/names.h"
#include "fuzz.h"

#define MAX_ENTRIES 64

typedef struct {
  GPtrArray *lines; /* owns the texts below */
  GPtrArray *plains;
  TpdNameEntry entries[MAX_ENTRIES];
  gsize n;
} Directory;

/* As a real directory would have it: no two of a name, and no slash. */
static gboolean
fits (GHashTable *seen, const char *name)
{
  return name[0] != '\0' && strcmp (name, ".") != 0 && strcmp (name, "..") != 0 && strchr (name, '/') == NULL
         && strlen (name) <= 255 && g_hash_table_add (seen, g_strdup (name));
}

static void
fill (Directory *dir, const uint8_t *data, size_t size, const TpdNameRules *rules)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_auto (GStrv) lines = g_strsplit (text, "\n", 0);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  dir->lines = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);
  dir->plains = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; lines[i] != NULL && dir->n < MAX_ENTRIES; i++)
    {
      char **words = g_strsplit (lines[i], "\t", 2);
      TpdNameEntry *entry = &dir->entries[dir->n];

      g_ptr_array_add (dir->lines, words);
      if (words[0] == NULL || !fits (seen, words[0]))
        continue;
      entry->source = words[0];
      entry->extension = words[1];
      if (tpd_name_is_candidate (words[0], rules))
        {
          entry->plain = tpd_name_plain (words[0], words[1], rules);
          g_ptr_array_add (dir->plains, (gpointer) entry->plain);
          g_assert (entry->plain[0] != '\0' && strchr (entry->plain, '/') == NULL);
        }
      dir->n++;
    }
}

static void
check_shown (const Directory *dir)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (gsize i = 0; i < dir->n; i++)
    {
      const TpdNameEntry *entry = &dir->entries[i];

      g_assert (entry->shown != NULL && strchr (entry->shown, '/') == NULL && strlen (entry->shown) <= 255);
      g_assert (strcmp (entry->shown, ".") != 0 && strcmp (entry->shown, "..") != 0);
      if (entry->plain == NULL)
        g_assert (strcmp (entry->shown, entry->source) == 0);
      g_assert (g_hash_table_add (seen, entry->shown));
    }
}

static void
check_any_order (const Directory *dir)
{
  TpdNameEntry reversed[MAX_ENTRIES];

  for (gsize i = 0; i < dir->n; i++)
    reversed[i] = dir->entries[dir->n - 1 - i];
  tpd_names_resolve (reversed, dir->n);
  for (gsize i = 0; i < dir->n; i++)
    {
      g_assert (strcmp (reversed[i].shown, dir->entries[dir->n - 1 - i].shown) == 0);
      g_free (reversed[i].shown);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static char all[] = "*";
  static char *words[] = { all, NULL };
  const TpdNameRules rules = { words };
  Directory dir = { 0 };

  if (size == 0 || size > 16 * 1024 || memchr (data, 0, size) != NULL)
    return 0;
  fill (&dir, data, size, (data[0] & 1) != 0 ? &rules : NULL);
  tpd_names_resolve (dir.entries, dir.n);
  check_shown (&dir);
  check_any_order (&dir);
  for (gsize i = 0; i < dir.n; i++)
    g_free (dir.entries[i].shown);
  g_ptr_array_unref (dir.lines);
  g_ptr_array_unref (dir.plains);
  return 0;
}
