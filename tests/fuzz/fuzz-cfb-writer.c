/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing compound files: whatever our reader finds in the input is copied,
 * and must be found in the copy; the same input gives the same bytes.
 */
#include <string.h>

#include "format/cfb_writer.h"
#include "fuzz.h"

#define MAX_OUTPUT (16 * 1024 * 1024)
#define MAX_COMPARED 1024

static TpdSource *
copy (TpdSource *source)
{
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, NULL);
  g_autoptr (TpdCfbWriter) writer = NULL;
  g_autoptr (TpdSink) sink = NULL;
  g_autoptr (GError) error = NULL;
  TpdBudget budget = { .max_bytes = MAX_OUTPUT };

  if (cfb == NULL)
    return NULL;
  writer = tpd_cfb_writer_new (tpd_cfb_version (cfb));
  sink = tpd_sink_new (&budget, NULL);
  g_assert (sink != NULL);
  if (!tpd_cfb_writer_copy_storage (writer, TPD_CFB_WRITER_ROOT, cfb, tpd_cfb_root (cfb), &error)
      || !tpd_cfb_writer_finish (writer, sink, &error))
    {
      g_assert (error != NULL);
      return NULL;
    }
  return tpd_sink_to_source (g_steal_pointer (&sink), NULL);
}

static void
compare_streams (TpdCfb *a, const TpdCfbEntry *entry_a, TpdCfb *b, const TpdCfbEntry *entry_b)
{
  g_autoptr (GBytes) bytes_a = NULL;
  g_autoptr (GBytes) bytes_b = NULL;

  g_assert (entry_a->size == entry_b->size);
  bytes_a = tpd_cfb_stream_read (a, entry_a, MAX_OUTPUT, NULL);
  bytes_b = tpd_cfb_stream_read (b, entry_b, MAX_OUTPUT, NULL);
  g_assert (bytes_b != NULL);
  if (bytes_a != NULL)
    g_assert (g_bytes_equal (bytes_a, bytes_b));
}

static void
compare (TpdSource *original, TpdSource *written)
{
  g_autoptr (TpdCfb) a = tpd_cfb_open (original, NULL);
  g_autoptr (TpdCfb) b = tpd_cfb_open (written, NULL);
  g_autoptr (GPtrArray) pairs = g_ptr_array_new ();

  g_assert (a != NULL && b != NULL);
  g_ptr_array_add (pairs, (gpointer) tpd_cfb_root (a));
  g_ptr_array_add (pairs, (gpointer) tpd_cfb_root (b));
  for (guint i = 0; i < pairs->len && i < MAX_COMPARED; i += 2)
    {
      const TpdCfbEntry *storage = g_ptr_array_index (pairs, i + 1);
      const GPtrArray *children = tpd_cfb_children (a, g_ptr_array_index (pairs, i), NULL);
      const GPtrArray *copies = tpd_cfb_children (b, storage, NULL);

      g_assert (children != NULL && copies != NULL && children->len == copies->len);
      for (guint j = 0; j < children->len; j++)
        {
          const TpdCfbEntry *entry = g_ptr_array_index (children, j), *found = NULL;

          g_assert (tpd_cfb_find (b, storage, entry->name, &found, NULL) && found != NULL);
          g_assert (found->type == entry->type && strcmp (found->name, entry->name) == 0);
          if (entry->type == TPD_CFB_STREAM)
            compare_streams (a, entry, b, found);
          else
            {
              g_assert (memcmp (found->clsid, entry->clsid, sizeof found->clsid) == 0);
              g_ptr_array_add (pairs, (gpointer) entry);
              g_ptr_array_add (pairs, (gpointer) found);
            }
        }
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (TpdSource) source = fuzz_source (data, size);
  g_autoptr (TpdSource) first = copy (source);
  g_autoptr (TpdSource) second = NULL;
  g_autoptr (GBytes) one = NULL;
  g_autoptr (GBytes) two = NULL;

  if (first == NULL)
    return 0;
  compare (source, first);
  second = copy (source);
  g_assert (second != NULL && second->size == first->size);
  one = tpd_source_read_bytes (first, 0, (gsize) first->size, NULL);
  two = tpd_source_read_bytes (second, 0, (gsize) second->size, NULL);
  g_assert (one != NULL && two != NULL && g_bytes_equal (one, two));
  return 0;
}
