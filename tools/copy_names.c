/* SPDX-License-Identifier: Apache-2.0 */
/* Names in a copy: see copy_names.h. The rule is that of format/names.h, which
 * the mount follows, too. */
#include "tools/copy_names.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int
tpd_copy_open_source (int dir_fd, const char *name)
{
  const int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW;
  int fd = openat (dir_fd, name, flags | O_NOATIME);

  if (fd < 0 && errno == EPERM)
    fd = openat (dir_fd, name, flags);
  return fd;
}

/* The plain name of what has a protected name and is protected; the others
 * keep theirs. */
static void
look (int dir_fd, TpdNameEntry *entry, const TpdNameRules *rules)
{
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdProbe) probe = NULL;
  struct stat st;
  int fd = tpd_copy_open_source (dir_fd, entry->source);

  if (fd < 0)
    return;
  if (fstat (fd, &st) != 0 || !S_ISREG (st.st_mode))
    {
      close (fd);
      return;
    }
  source = tpd_source_new_file (fd, &st);
  probe = tpd_probe (source, NULL);
  if (!tpd_name_fits (entry->source, probe->kind, rules))
    return;
  entry->plain = tpd_name_plain (entry->source, probe->extension, rules);
  entry->extension = g_strdup (probe->extension);
}

TpdNameEntry *
tpd_copy_names_new (const TpdWalkChunk *chunk, const TpdNameRules *rules)
{
  TpdNameEntry *entries = g_new0 (TpdNameEntry, MAX (chunk->n, 1));

  for (guint i = 0; i < chunk->n; i++)
    {
      entries[i].source = chunk->entries[i].name;
      if (chunk->entries[i].type == DT_REG && tpd_name_is_candidate (entries[i].source, rules))
        look (chunk->dir->fd, &entries[i], rules);
    }
  tpd_names_resolve (entries, chunk->n);
  return entries;
}

void
tpd_copy_names_free (TpdNameEntry *entries, gsize n)
{
  for (gsize i = 0; i < n; i++)
    {
      g_free ((char *) entries[i].plain);
      g_free ((char *) entries[i].extension);
      g_free (entries[i].shown);
    }
  g_free (entries);
}
