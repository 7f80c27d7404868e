/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of compound files share. */
#pragma once

#include <glib.h>

#include "../license/helper.h"
#include "cfb-image.h"
#include "format/cfb.h"
#include "support.h"

#define assert_damaged(error) g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED)

/* As a file; in memory it must come to the same. */
static inline TpdCfb *
open_bytes (GBytes *bytes, GError **error)
{
  g_autoptr (TpdSource) memory = tpd_source_new_bytes (bytes);
  g_autoptr (TpdSource) file = &fault_source_new (memory, FAULT_NONE, 0)->base;
  g_autoptr (GError) own = NULL, other = NULL;
  TpdCfb *cfb = tpd_cfb_open (file, &own);
  g_autoptr (TpdCfb) same = tpd_cfb_open (memory, &other);

  g_assert_true ((cfb == NULL) == (same == NULL));
  g_assert_cmpstr (own != NULL ? own->message : NULL, ==, other != NULL ? other->message : NULL);
  if (own != NULL)
    g_propagate_error (error, g_steal_pointer (&own));
  return cfb;
}

static inline TpdCfb *
open_good (Image *image)
{
  g_autoptr (GBytes) bytes = image_finish (image);
  g_autoptr (GError) error = NULL;
  TpdCfb *cfb = open_bytes (bytes, &error);

  g_assert_no_error (error);
  return cfb;
}

static inline const TpdCfbEntry *
find_good (TpdCfb *cfb, const char *path)
{
  g_autoptr (GError) error = NULL;
  const TpdCfbEntry *entry;

  g_assert_true (tpd_cfb_find (cfb, NULL, path, &entry, &error));
  g_assert_no_error (error);
  g_assert_nonnull (entry);
  return entry;
}

/* A stream in many pieces. */
static inline GBytes *
fragmented_image (gsize len, guint gap)
{
  g_autoptr (Image) image = image_new (3);
  g_autofree guint8 *data = make_noise (len, 7);

  image_add_entry (image, "Root Entry", 5, NO_ENTRY, NO_ENTRY, 1, END_OF_CHAIN, 0);
  image_add_entry (image, "data", 2, NO_ENTRY, NO_ENTRY, NO_ENTRY, image_add (image, data, len, gap), len);
  return image_finish (image);
}

/* Reads every stream; NULL where one cannot be read. Path -> GBytes. */
static inline GHashTable *
read_tree (TpdCfb *cfb, GError **error)
{
  g_autoptr (GHashTable) tree = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  g_autoptr (GPtrArray) queue = g_ptr_array_new ();
  g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (queue, (gpointer) tpd_cfb_root (cfb));
  g_ptr_array_add (paths, g_strdup (""));
  for (guint i = 0; i < queue->len; i++)
    {
      const TpdCfbEntry *storage = g_ptr_array_index (queue, i);
      const GPtrArray *children = tpd_cfb_children (cfb, storage, error);

      if (children == NULL)
        return NULL;
      for (guint j = 0; j < children->len; j++)
        {
          const TpdCfbEntry *entry = g_ptr_array_index (children, j);
          char *path = g_strconcat (g_ptr_array_index (paths, i), "/", entry->name, NULL);
          GBytes *bytes;

          if (entry->type == TPD_CFB_STREAM)
            bytes = tpd_cfb_stream_read (cfb, entry, 1 << 24, error);
          else
            {
              g_ptr_array_add (queue, (gpointer) entry);
              g_ptr_array_add (paths, g_strdup (path));
              bytes = g_bytes_new (entry->clsid, 16);
            }
          if (bytes == NULL)
            {
              g_free (path);
              return NULL;
            }
          g_hash_table_insert (tree, path, bytes);
        }
    }
  return g_steal_pointer (&tree);
}

/* All compound files of the fixtures: protected ones, plain ones, decrypted ones. */
static inline GPtrArray *
compound_files (void)
{
  GPtrArray *files = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) folders = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (folders, fixture_path ("share"));
  g_ptr_array_add (folders, fixture_path ("plain"));
  for (guint i = 0; i < folders->len; i++)
    {
      const char *folder = g_ptr_array_index (folders, i);
      g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
      const char *name;

      while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *path = g_build_filename (folder, name, NULL);
          g_autofree char *data = NULL;
          gsize len;

          if (g_file_test (path, G_FILE_TEST_IS_SYMLINK))
            continue;
          if (g_file_test (path, G_FILE_TEST_IS_DIR))
            g_ptr_array_add (folders, g_steal_pointer (&path));
          else if (g_file_get_contents (path, &data, &len, NULL) && tpd_cfb_magic ((guint8 *) data, len))
            g_ptr_array_add (files, g_steal_pointer (&path));
        }
    }
  g_assert_cmpuint (files->len, >, 60);
  return files;
}
