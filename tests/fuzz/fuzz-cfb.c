/* SPDX-License-Identifier: Apache-2.0 */
/* Compound files: the whole tree, every way to a stream. */
#include <string.h>

#include "format/cfb.h"
#include "fuzz.h"

#define MAX_STREAMS 64

static void
check_stream (TpdCfb *cfb, const TpdCfbEntry *entry)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSource) source = tpd_cfb_stream_new (cfb, entry, &error);
  g_autoptr (GBytes) small = NULL;
  guint8 head[64], peeked[64];
  const gsize len = (gsize) MIN (entry->size, sizeof head);

  g_assert ((source == NULL) == (error != NULL));
  if (source == NULL)
    return;
  g_assert (source->size == entry->size);
  fuzz_check_source (source);
  if (tpd_source_read_exact (source, head, len, 0, NULL) && tpd_cfb_stream_peek (cfb, entry, peeked, len, NULL))
    g_assert (memcmp (head, peeked, len) == 0);
  small = tpd_cfb_stream_read (cfb, entry, 4096, NULL);
  if (small != NULL)
    g_assert (g_bytes_get_size (small) == entry->size);
}

static void
check_tree (TpdCfb *cfb)
{
  g_autoptr (GPtrArray) storages = g_ptr_array_new ();
  guint n = 1, n_streams = 0;

  g_ptr_array_add (storages, (gpointer) tpd_cfb_root (cfb));
  for (guint i = 0; i < storages->len; i++)
    {
      const TpdCfbEntry *storage = g_ptr_array_index (storages, i);
      const GPtrArray *children = tpd_cfb_children (cfb, storage, NULL);

      for (guint j = 0; children != NULL && j < children->len; j++)
        {
          const TpdCfbEntry *entry = g_ptr_array_index (children, j), *found = NULL;

          g_assert (++n <= TPD_CFB_MAX_ENTRIES && entry->depth == storage->depth + 1);
          g_assert (entry->depth <= TPD_CFB_MAX_DEPTH && g_utf8_validate (entry->name, -1, NULL));
          if (n <= 256 && entry->name[0] != '\0' && strchr (entry->name, '/') == NULL
              && tpd_cfb_find (cfb, storage, entry->name, &found, NULL))
            g_assert (found == NULL || tpd_cfb_name_equal (found->name, entry->name));
          if (entry->type == TPD_CFB_STORAGE)
            g_ptr_array_add (storages, (gpointer) entry);
          else if (n_streams++ < MAX_STREAMS)
            check_stream (cfb, entry);
        }
    }
}

/* The error's words, "" if it opens. */
static char *
check_source (TpdSource *source)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, &error);

  g_assert ((cfb == NULL) == (error != NULL));
  if (cfb == NULL)
    return g_strdup (error->message);
  g_assert (tpd_cfb_version (cfb) == 3 || tpd_cfb_version (cfb) == 4);
  check_tree (cfb);
  return g_strdup ("");
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) file = fuzz_source (data, size);
  g_autoptr (TpdSource) memory = fuzz_memory (data, size);
  g_autofree char *as_file = check_source (file);
  g_autofree char *in_memory = check_source (memory);

  g_assert (strcmp (as_file, in_memory) == 0);
  g_assert (*as_file != '\0' || tpd_cfb_magic (data, size));
  return 0;
}
