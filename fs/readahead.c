/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's read-ahead: see fs/readahead.h. */
#include "fs/readahead.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* Two full requests (fs/ops.c), so that one is answered while the other is taken
 * in, and no small one between. docs/performance.md has what was measured. */
#define READ_AHEAD_KB 1920

/* The last mount there is the one that is seen. From the table, because a
 * stat(2) would wait for us. */
static gboolean
find_device (const char *mountpoint, unsigned *major, unsigned *minor)
{
  g_autofree char *table = NULL;
  g_auto (GStrv) lines = NULL;
  gboolean found = FALSE;

  if (!g_file_get_contents ("/proc/self/mountinfo", &table, NULL, NULL))
    return FALSE;
  lines = g_strsplit (table, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      g_auto (GStrv) fields = g_strsplit (*line, " ", 6);
      g_autofree char *place = g_strv_length (fields) > 5 ? g_strcompress (fields[4]) : NULL;

      if (place != NULL && strcmp (place, mountpoint) == 0 && sscanf (fields[2], "%u:%u", major, minor) == 2)
        found = TRUE;
    }
  return found;
}

int
tpd_read_ahead_open (const char *mountpoint)
{
  g_autofree char *path = NULL;
  unsigned major, minor;

  if (!find_device (mountpoint, &major, &minor))
    return -1;
  path = g_strdup_printf ("/sys/class/bdi/%u:%u/read_ahead_kb", major, minor);
  return open (path, O_WRONLY | O_CLOEXEC);
}

void
tpd_read_ahead_set (int *fd)
{
  int mine;
  char text[16];
  int len;

  if (__atomic_load_n (fd, __ATOMIC_RELAXED) < 0)
    return;
  mine = __atomic_exchange_n (fd, -1, __ATOMIC_RELAXED);
  if (mine < 0)
    return;
  len = g_snprintf (text, sizeof text, "%d", READ_AHEAD_KB);
  if (write (mine, text, (size_t) len) != len)
    tpd_debug ("the kernel keeps its own read-ahead");
  close (mine);
}
