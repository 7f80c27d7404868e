/* SPDX-License-Identifier: Apache-2.0 */
/* Globs: see filter.h. The locale is "C", so that names are bytes. */
#include "tools/filter.h"

#include <fnmatch.h>
#include <string.h>

static gboolean
matches (const char *glob, const char *dir, const char *name, gboolean is_dir)
{
  g_autofree char *without_slash = NULL, *path = NULL;

  if (g_str_has_suffix (glob, "/"))
    {
      if (!is_dir)
        return FALSE;
      without_slash = g_strndup (glob, strlen (glob) - 1);
      glob = without_slash;
    }
  if (strchr (glob, '/') == NULL)
    return fnmatch (glob, name, FNM_CASEFOLD) == 0;
  if (glob[0] == '/')
    glob++;
  if (dir[0] != '\0')
    path = g_strconcat (dir, "/", name, NULL);
  return fnmatch (glob, path != NULL ? path : name, FNM_CASEFOLD) == 0;
}

static gboolean
matches_any (char *const *globs, const char *dir, const char *name, gboolean is_dir)
{
  for (gsize i = 0; globs != NULL && globs[i] != NULL; i++)
    {
      if (matches (globs[i], dir, name, is_dir))
        return TRUE;
    }
  return FALSE;
}

gboolean
tpd_filter_has_file (const TpdFilter *filter, const char *dir, const char *name)
{
  if (filter->include != NULL && !matches_any (filter->include, dir, name, FALSE))
    return FALSE;
  return !matches_any (filter->exclude, dir, name, FALSE);
}

gboolean
tpd_filter_has_dir (const TpdFilter *filter, const char *dir, const char *name)
{
  return !matches_any (filter->exclude, dir, name, TRUE);
}

void
tpd_filter_clear (TpdFilter *filter)
{
  g_clear_pointer (&filter->include, g_strfreev);
  g_clear_pointer (&filter->exclude, g_strfreev);
}
