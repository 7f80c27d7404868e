/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/contents.h"

#include <dirent.h>
#include <string.h>

#include "fs/attr.h"
#include "fs/status.h"

void
tpd_contents_unref (TpdContents *contents)
{
  if (!g_atomic_int_dec_and_test (&contents->ref_count))
    return;
  g_clear_pointer (&contents->view, tpd_view_unref);
  g_clear_pointer (&contents->listing, tpd_listing_unref);
  g_free (contents->status_name);
  g_free (contents);
}

int
tpd_contents_read (TpdFs *fs, const TpdNode *node, int fd, TpdContents **out)
{
  g_autoptr (TpdContents) contents = g_new0 (TpdContents, 1);
  int errnum;

  contents->ref_count = 1;
  tpd_fs_count (fs, TPD_COUNT_LISTINGS, 1);
  errnum = tpd_listing_read (fd, &contents->listing);
  if (errnum == 0 && fs->views != NULL && !tpd_attr_is_beyond (fs, node->stamp.dev))
    errnum = tpd_views_get (fs->views, node->id, fd, contents->listing, &contents->view);
  if (errnum != 0)
    return errnum;
  if (node->id == TPD_NODE_ROOT)
    contents->status_name = tpd_attr_shown_status_name (fs);
  *out = g_steal_pointer (&contents);
  return 0;
}

gboolean
tpd_is_dots (const char *name)
{
  return strcmp (name, ".") == 0 || strcmp (name, "..") == 0;
}

/* Snapshots show the whole tree once more for each of them. */
static gboolean
is_snapshot_directory (const TpdListingEntry *entry)
{
  static const char *const names[] = { ".snapshot", "~snapshot", ".zfs" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (entry->name, names[i]) == 0)
      return entry->type == DT_DIR || entry->type == DT_UNKNOWN;
  return FALSE;
}

const char *
tpd_contents_shown (TpdFs *fs, const TpdNode *node, const TpdContents *contents, const TpdListingEntry *entry)
{
  if (tpd_is_dots (entry->name))
    return entry->name;
  if (tpd_attr_is_beyond (fs, node->stamp.dev))
    return NULL;
  if (!fs->options->snapshots && is_snapshot_directory (entry))
    return NULL;
  if (contents->status_name != NULL && strcmp (entry->name, TPD_STATUS_NAME) == 0)
    return contents->status_name;
  return contents->view != NULL ? tpd_view_shown (contents->view, entry->name) : entry->name;
}
