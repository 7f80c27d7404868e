/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of decrypted members: the rule of directories, applied to each of the
 * directories that the names of members make up. A member whose name is not
 * the only one of its kind, or has a NUL in it, keeps it.
 */
#include <string.h>

#include "tools/copy_zip.h"

#define NOBODY G_MAXUINT

/* A directory of the archive. */
typedef struct {
  GArray *entries; /* of TpdNameEntry */
  GArray *members; /* of guint: whose entry it is, NOBODY: a directory's */
  gboolean wanted; /* some name may change */
} Directory;

static void
directory_free (gpointer data)
{
  Directory *directory = data;

  for (guint i = 0; i < directory->entries->len; i++)
    {
      TpdNameEntry *entry = &g_array_index (directory->entries, TpdNameEntry, i);

      g_free ((char *) entry->source);
      g_free ((char *) entry->plain);
      g_free (entry->shown);
    }
  g_array_unref (directory->entries);
  g_array_unref (directory->members);
  g_free (directory);
}

static TpdNameEntry *
add_entry (Directory *directory, const char *name, guint member)
{
  const TpdNameEntry entry = { .source = g_strdup (name) };

  g_array_append_val (directory->entries, entry);
  g_array_append_val (directory->members, member);
  return &g_array_index (directory->entries, TpdNameEntry, directory->entries->len - 1);
}

static Directory *
get_directory (GHashTable *directories, const char *path, gboolean *is_new)
{
  Directory *directory = g_hash_table_lookup (directories, path);

  *is_new = directory == NULL;
  if (directory != NULL)
    return directory;
  directory = g_new0 (Directory, 1);
  directory->entries = g_array_new (FALSE, FALSE, sizeof (TpdNameEntry));
  directory->members = g_array_new (FALSE, FALSE, sizeof (guint));
  g_hash_table_insert (directories, g_strdup (path), directory);
  return directory;
}

/* The directory `path` ("", or with a slash at its end), which has its name in
 * the one above, whether that is a member or not. */
static Directory *
find_directory (GHashTable *directories, const char *path)
{
  gboolean is_new;
  Directory *directory = get_directory (directories, path, &is_new);
  gsize len = strlen (path);

  if (is_new && len > 1)
    {
      g_autofree char *above = g_strndup (path, len - 1);
      char *slash = strrchr (above, '/'), *base = slash != NULL ? slash + 1 : above;
      g_autofree char *name = g_strdup (base);

      *base = '\0';
      add_entry (get_directory (directories, above, &is_new), name, NOBODY);
    }
  return directory;
}

static void
add_member (GHashTable *directories, const TpdContainer *container, guint i, const TpdZipCopyPlan *plan,
            const TpdNameRules *rules)
{
  const TpdZipMember *member = tpd_container_zip_member (container, i);
  g_autofree char *full = g_strndup ((const char *) member->name, member->name_len);
  g_autofree char *dir = NULL;
  const char *slash = strrchr (full, '/'), *base = slash != NULL ? slash + 1 : full;
  Directory *directory;
  TpdNameEntry *entry;

  if (strlen (full) != member->name_len || base[0] == '\0')
    return;
  dir = g_strndup (full, (gsize) (base - full));
  directory = find_directory (directories, dir);
  entry = add_entry (directory, base, i);
  if (plan->action != TPD_ZIP_COPY_PROTECTED || container->members[i].namesakes != 1
      || !tpd_name_is_candidate (base, rules) || !tpd_name_fits (base, plan->kind, rules))
    return;
  entry->plain = tpd_name_plain (base, plan->extension, rules);
  entry->extension = plan->extension;
  directory->wanted = TRUE;
}

static void
take_names (const char *dir, Directory *directory, TpdZipCopyPlan *plans)
{
  if (!directory->wanted)
    return;
  tpd_names_resolve ((TpdNameEntry *) (gpointer) directory->entries->data, directory->entries->len);
  for (guint at = 0; at < directory->entries->len; at++)
    {
      const TpdNameEntry *entry = &g_array_index (directory->entries, TpdNameEntry, at);
      guint i = g_array_index (directory->members, guint, at);

      if (i != NOBODY && strcmp (entry->shown, entry->source) != 0)
        plans[i].name = g_strconcat (dir, entry->shown, NULL);
    }
}

void
tpd_zip_copy_names (const TpdContainer *container, TpdZipCopyPlan *plans, const TpdNameRules *rules)
{
  g_autoptr (GHashTable) directories = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, directory_free);
  GHashTableIter iter;
  gpointer key, value;

  for (guint i = 0; i < container->n; i++)
    add_member (directories, container, i, &plans[i], rules);
  g_hash_table_iter_init (&iter, directories);
  while (g_hash_table_iter_next (&iter, &key, &value))
    take_names (key, value, plans);
}
