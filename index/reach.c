/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a confined process needs of the disk for its index.
 *
 * SQLite keeps a log and shared memory beside the database, makes them when it
 * opens it and removes them when it closes it; and a damaged index is renamed.
 * In a folder of indexes, which the default is, all that may be allowed.
 * Elsewhere (a home directory) the right to make and rename files would be the
 * right to put anything in place of anybody's start-up files. There only the
 * files themselves are allowed, and a connection stays open meanwhile, so that
 * they are there. They stay behind, which does no harm.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "index/private.h"

/* What of a folder is looked at. */
#define MAX_ENTRIES 10000

static const char *const companions[] = { "-wal", "-shm", "-journal" };

/* Whether `name` is one that an index leaves in its folder: NAME, NAME-wal,
 * NAME.bad-1 ... of this index or of another, named by default. */
static gboolean
is_of_index (const char *name, const char *base)
{
  const char *rest = g_str_has_prefix (name, base) ? name + strlen (base) : strstr (name, ".sqlite");

  if (rest == NULL)
    return FALSE;
  if (g_str_has_prefix (rest, ".sqlite"))
    rest += strlen (".sqlite");
  if (g_str_has_prefix (rest, ".bad-"))
    {
      rest += strlen (".bad-");
      rest += strspn (rest, "0123456789");
    }
  for (guint i = 0; i < G_N_ELEMENTS (companions); i++)
    if (strcmp (rest, companions[i]) == 0)
      return TRUE;
  return *rest == '\0';
}

/* And ours: in another user's, root may make nothing once it is confined. */
static gboolean
is_folder_of_indexes (const char *folder, const char *base)
{
  GDir *dir = g_dir_open (folder, 0, NULL);
  struct stat st;
  const char *name;
  gboolean only = dir != NULL && stat (folder, &st) == 0 && st.st_uid == geteuid ();

  for (guint i = 0; only && (name = g_dir_read_name (dir)) != NULL; i++)
    only = i < MAX_ENTRIES && is_of_index (name, base);
  if (dir != NULL)
    g_dir_close (dir);
  return only;
}

/* A journal that is there, and empty, means nothing. */
static gboolean
make_journal (const char *path, GError **error)
{
  g_autofree char *journal = g_strconcat (path, "-journal", NULL);
  int fd = open (journal, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0)
    {
      tpd_error_set_errno (error, errno, "cannot make %s", journal);
      return FALSE;
    }
  close (fd);
  return TRUE;
}

gboolean
tpd_index_reach (TpdIndex *index, TpdConfinement *reach, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (index->path), *base = g_path_get_basename (index->path);

  if (is_folder_of_indexes (folder, base))
    {
      tpd_confinement_write (reach, folder);
      return TRUE;
    }
  index->pin = tpd_index_connect (index->path, error);
  if (index->pin == NULL || !tpd_index_run (index->pin, index->path, "SELECT count(*) FROM sqlite_schema", error)
      || (index->network && !make_journal (index->path, error)))
    return FALSE;
  tpd_confinement_write (reach, index->path);
  for (guint i = 0; i < G_N_ELEMENTS (companions); i++)
    {
      g_autofree char *path = g_strconcat (index->path, companions[i], NULL);

      tpd_confinement_write (reach, path);
    }
  return TRUE;
}
