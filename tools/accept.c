/* SPDX-License-Identifier: Apache-2.0 */
/* Accepted paths: see accept.h. */
#include "tools/accept.h"

#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "tools/input.h"

struct _TpdAccept {
  GHashTable *paths; /* path -> GINT_TO_POINTER (times it was met); those of directories end with a slash */
};

void
tpd_accept_free (TpdAccept *accept)
{
  if (accept == NULL)
    return;
  g_hash_table_unref (accept->paths);
  g_free (accept);
}

/* Below the root, without "." and doubled slashes; NULL if it leads out. */
static char *
normalize (const char *path, const char *root)
{
  gsize root_len = strlen (root);
  gboolean is_dir = g_str_has_suffix (path, "/");
  g_auto (GStrv) parts = NULL;
  GString *clean;

  while (root_len > 1 && root[root_len - 1] == '/')
    root_len--;
  if (strncmp (path, root, root_len) == 0 && (path[root_len] == '/' || root[root_len - 1] == '/'))
    path += root_len;
  else if (path[0] == '/')
    return NULL;
  parts = g_strsplit (path, "/", -1);
  clean = g_string_new (NULL);
  for (char **part = parts; *part != NULL; part++)
    {
      if ((*part)[0] == '\0' || strcmp (*part, ".") == 0)
        continue;
      if (strcmp (*part, "..") == 0)
        {
          g_string_free (clean, TRUE);
          return NULL;
        }
      if (clean->len > 0)
        g_string_append_c (clean, '/');
      g_string_append (clean, *part);
    }
  if (is_dir)
    g_string_append_c (clean, '/');
  return g_string_free (clean, FALSE);
}

static gboolean
add_line (TpdAccept *accept, const char *name, guint number, const char *line, const char *root, GError **error)
{
  char *path;

  if (line[0] == '\0' || line[0] == '#')
    return TRUE;
  path = normalize (line, root);
  if (path == NULL)
    {
      g_autofree char *shown = tpd_display (line);

      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s, line %u: %.200s does not lie in %s", name, number, shown,
                   root);
      return FALSE;
    }
  g_hash_table_insert (accept->paths, path, GINT_TO_POINTER (0));
  return TRUE;
}

TpdAccept *
tpd_accept_parse (const char *name, const char *root, const guint8 *data, gsize len, GError **error)
{
  g_autoptr (TpdAccept) accept = g_new0 (TpdAccept, 1);
  const char *p = (const char *) data, *end = p + len;

  accept->paths = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  if (len >= 2 && (data[0] == 0xff || data[0] == 0xfe || memchr (data, 0, len) != NULL))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_USAGE, "%s is no list of paths: it holds NUL bytes, or is UTF-16", name);
      return NULL;
    }
  if (len >= 3 && memcmp (data, "\xef\xbb\xbf", 3) == 0)
    p += 3;
  for (guint number = 1; p < end; number++)
    {
      const char *newline = memchr (p, '\n', (gsize) (end - p));
      gsize line_len = (gsize) ((newline != NULL ? newline : end) - p);
      g_autofree char *line = g_strndup (p, line_len);

      if (line_len > 0 && line[line_len - 1] == '\r')
        line[line_len - 1] = '\0';
      if (!add_line (accept, name, number, line, root, error))
        return NULL;
      p += line_len + 1;
    }
  return g_steal_pointer (&accept);
}

TpdAccept *
tpd_accept_read (const char *path, const char *root, GError **error)
{
  g_autoptr (GBytes) bytes = tpd_input_read_small (path, TPD_ACCEPT_FILE_MAX, error);

  if (bytes == NULL)
    return NULL;
  return tpd_accept_parse (path, root, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
}

/* Whether `path` is a line; counts it. */
static gboolean
meet (TpdAccept *accept, const char *path)
{
  gpointer key;

  if (!g_hash_table_lookup_extended (accept->paths, path, &key, NULL))
    return FALSE;
  g_hash_table_replace (accept->paths, g_strdup (path), GINT_TO_POINTER (1));
  return TRUE;
}

gboolean
tpd_accept_has (TpdAccept *accept, const char *dir, const char *name)
{
  g_autofree char *path = NULL;

  if (accept == NULL)
    return FALSE;
  path = dir[0] != '\0' ? g_strconcat (dir, "/", name, NULL) : g_strdup (name);
  if (meet (accept, path))
    return TRUE;
  /* The directories above, and the root itself ("./"). */
  for (char *slash = strrchr (path, '/'); slash != NULL; slash = strrchr (path, '/'))
    {
      slash[1] = '\0';
      if (meet (accept, path))
        return TRUE;
      slash[0] = '\0';
    }
  return meet (accept, "/");
}

static gint
compare_paths (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *
tpd_accept_unused (const TpdAccept *accept)
{
  GPtrArray *unused = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer path, met;

  if (accept == NULL)
    return unused;
  g_hash_table_iter_init (&iter, accept->paths);
  while (g_hash_table_iter_next (&iter, &path, &met))
    if (GPOINTER_TO_INT (met) == 0)
      g_ptr_array_add (unused, path);
  g_ptr_array_sort (unused, compare_paths);
  return unused;
}
