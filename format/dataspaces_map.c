/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From data spaces to the protected stream: the map names streams and their
 * data spaces, the definition of a data space its transforms ([MS-OFFCRYPTO]
 * 2.1.6, 2.1.7). A map may name more than there is; what leads to a stream
 * and to rights management counts.
 */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "format/dataspaces_private.h"

#define MAX_STREAM (64 * 1024)
#define MAX_MAP_ENTRIES 256
#define MAX_REFERENCES 16
#define MAX_TRANSFORMS 8

#define VIEWER_CONTENT "\tDRMViewerContent"

enum { RANK_USUAL, RANK_OTHER, RANK_VIEWER };

/* One entry of the map: a protected stream. */
typedef struct {
  GPtrArray *path; /* of char *: storages, then the stream */
  char *space;
} MapEntry;

static void
map_entry_free (MapEntry *entry)
{
  g_ptr_array_unref (entry->path);
  g_free (entry->space);
  g_free (entry);
}

static const Transform *
find_transform (GArray *transforms, const char *name)
{
  for (guint i = 0; i < transforms->len; i++)
    {
      const Transform *transform = &g_array_index (transforms, Transform, i);
      if (tpd_cfb_name_equal (transform->storage->name, name))
        return transform;
    }
  return NULL;
}

/* --- Map and definitions ------------------------------------------------ */

/* [MS-OFFCRYPTO] 2.1.6 */
static gboolean
parse_map (TpdBytes bytes, GPtrArray *map)
{
  guint32 header, count;

  if (!tpd_bytes_take_u32le (&bytes, &header) || !tpd_bytes_take_u32le (&bytes, &count) || header < 8
      || !tpd_bytes_seek (&bytes, header) || count > MAX_MAP_ENTRIES)
    return FALSE;
  for (guint32 i = 0; i < count; i++)
    {
      guint64 start = bytes.pos;
      guint32 length, references, type;
      MapEntry *entry = g_new0 (MapEntry, 1);

      entry->path = g_ptr_array_new_with_free_func (g_free);
      g_ptr_array_add (map, entry);
      if (!tpd_bytes_take_u32le (&bytes, &length) || !tpd_bytes_take_u32le (&bytes, &references) || references == 0
          || references > MAX_REFERENCES)
        return FALSE;
      for (guint32 j = 0; j < references; j++)
        {
          char *name;
          if (!tpd_bytes_take_u32le (&bytes, &type) || type != (j + 1 < references ? 1 : 0)
              || !dataspaces_take_utf16 (&bytes, &name))
            return FALSE;
          g_ptr_array_add (entry->path, name);
        }
      if (!dataspaces_take_utf16 (&bytes, &entry->space) || bytes.pos - start != length)
        return FALSE;
    }
  return TRUE;
}

/* The stream at `path`, which the messages call `what`. NULL with error. */
static GBytes *
read_small (TpdCfb *cfb, const TpdCfbEntry *storage, const char *path, const char *what, GError **error)
{
  const TpdCfbEntry *entry;

  if (!dataspaces_find (cfb, storage, path, TPD_CFB_STREAM, &entry, error))
    return NULL;
  if (entry == NULL || entry->size > MAX_STREAM)
    {
      g_autofree char *missing = g_strconcat (what, " is missing", NULL);

      dataspaces_damaged (error, missing);
      return NULL;
    }
  return tpd_cfb_stream_read (cfb, entry, MAX_STREAM, error);
}

/* Names of the transforms of a data space, the one next to the file first
 * ([MS-OFFCRYPTO] 2.1.7). NULL with error. */
static GPtrArray *
read_definition (TpdCfb *cfb, const TpdCfbEntry *storage, const char *space, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *path = g_strconcat ("DataSpaceInfo/", space, NULL);
  g_autoptr (GBytes) data = read_small (cfb, storage, path, "the definition of a data space", error);
  TpdBytes bytes;
  guint32 header, count;

  if (data == NULL)
    return NULL;
  bytes = tpd_bytes (g_bytes_get_data (data, NULL), g_bytes_get_size (data));
  if (!tpd_bytes_take_u32le (&bytes, &header) || !tpd_bytes_take_u32le (&bytes, &count) || header < 8
      || !tpd_bytes_seek (&bytes, header) || count > MAX_TRANSFORMS)
    {
      dataspaces_damaged (error, "the definition of a data space is not valid");
      return NULL;
    }
  for (guint32 i = 0; i < count; i++)
    {
      char *name;
      if (!dataspaces_take_utf16 (&bytes, &name))
        {
          dataspaces_damaged (error, "the definition of a data space is cut off");
          return NULL;
        }
      g_ptr_array_add (names, name);
    }
  return g_steal_pointer (&names);
}

static GPtrArray *
read_map (TpdCfb *cfb, const TpdCfbEntry *storage, GError **error)
{
  g_autoptr (GPtrArray) map = g_ptr_array_new_with_free_func ((GDestroyNotify) map_entry_free);
  g_autoptr (GBytes) data =
      read_small (cfb, storage, "DataSpaceMap", "the map that leads to the protected stream", error);

  if (data == NULL)
    return NULL;
  if (!parse_map (tpd_bytes (g_bytes_get_data (data, NULL), g_bytes_get_size (data)), map))
    {
      dataspaces_damaged (error, "the map that leads to the protected stream is not valid");
      return NULL;
    }
  return g_steal_pointer (&map);
}

/* The rights management transform of a data space, NULL if it has none. */
static gboolean
resolve (TpdCfb *cfb, const TpdCfbEntry *storage, const MapEntry *entry, GArray *transforms, const Transform **drm,
         gboolean *compressed, GError **error)
{
  g_autoptr (GPtrArray) names = read_definition (cfb, storage, entry->space, error);

  *drm = NULL;
  *compressed = FALSE;
  if (names == NULL)
    return FALSE;
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      const Transform *transform = find_transform (transforms, name);

      if (transform != NULL && transform->type == TRANSFORM_DRM && *drm == NULL)
        *drm = transform;
      else if (transform != NULL && transform->type == TRANSFORM_COMPRESSION && *drm != NULL)
        *compressed = TRUE;
      else
        {
          g_autofree char *shown = tpd_display (name);
          g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                       "The file is protected by rights management and a transform “%s” that is not known.", shown);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
find_content (TpdCfb *cfb, const MapEntry *entry, const TpdCfbEntry **content, GError **error)
{
  const TpdCfbEntry *at = NULL;

  for (guint i = 0; i < entry->path->len; i++)
    {
      TpdCfbType type = i + 1 < entry->path->len ? TPD_CFB_STORAGE : TPD_CFB_STREAM;
      if (!dataspaces_find (cfb, at, g_ptr_array_index (entry->path, i), type, &at, error))
        return FALSE;
      if (at == NULL)
        return dataspaces_damaged (error, "the protected stream is missing");
    }
  *content = at;
  return TRUE;
}

/* --- Choosing ----------------------------------------------------------- */

/* Names of protected content, the document itself first. */
static const struct {
  const char *name;
  TpdKind kind;
} usual[] = {
  { "EncryptedPackage", TPD_KIND_OOXML },
  { "\tDRMContent", TPD_KIND_OLE },
  { VIEWER_CONTENT, TPD_KIND_OLE },
};

gboolean
dataspaces_find_usual (TpdCfb *cfb, const TpdCfbEntry **content, TpdKind *kind, GError **error)
{
  *content = NULL;
  for (guint i = 0; i < G_N_ELEMENTS (usual) && *content == NULL; i++)
    {
      if (!dataspaces_find (cfb, NULL, usual[i].name, TPD_CFB_STREAM, content, error))
        return FALSE;
      *kind = usual[i].kind;
    }
  return TRUE;
}

static const char *
stream_name (const MapEntry *entry)
{
  return g_ptr_array_index (entry->path, entry->path->len - 1);
}

/* The less, the better: the document itself, another stream, a copy for viewers. */
static guint
rank_of (const MapEntry *entry)
{
  if (tpd_cfb_name_equal (stream_name (entry), VIEWER_CONTENT))
    return RANK_VIEWER;
  for (guint i = 0; i < G_N_ELEMENTS (usual); i++)
    if (entry->path->len == 1 && tpd_cfb_name_equal (stream_name (entry), usual[i].name))
      return RANK_USUAL;
  return RANK_OTHER;
}

/* FALSE with error when the entry leads to no stream under rights management. */
static gboolean
follow (TpdCfb *cfb, const TpdCfbEntry *storage, const MapEntry *entry, GArray *transforms, Chosen *chosen,
        GError **error)
{
  if (!resolve (cfb, storage, entry, transforms, &chosen->drm, &chosen->compressed, error))
    return FALSE;
  if (chosen->drm == NULL)
    return dataspaces_damaged (error, "no stream of it is mapped to its rights management transform");
  return find_content (cfb, entry, &chosen->content, error);
}

static void
warn_left_out (const TpdCfbEntry *entry, GPtrArray *warnings)
{
  g_autofree char *shown = tpd_display (entry->name);

  g_ptr_array_add (warnings,
                   g_strdup_printf ("The file holds another protected stream, “%s”, which is not shown.", shown));
}

/* FALSE with error; `chosen->content` is NULL when nothing was found. */
static gboolean
choose_mapped (TpdCfb *cfb, const TpdCfbEntry *storage, GPtrArray *map, GArray *transforms, Chosen *chosen,
               GPtrArray *warnings, GError **error)
{
  g_autoptr (GError) first = NULL;

  for (guint rank = RANK_USUAL; rank <= RANK_VIEWER; rank++)
    for (guint i = 0; i < map->len; i++)
      {
        const MapEntry *entry = g_ptr_array_index (map, i);
        Chosen one = { 0 };
        g_autoptr (GError) problem = NULL;

        if (rank_of (entry) != rank || (rank == RANK_VIEWER && chosen->content != NULL))
          continue;
        if (follow (cfb, storage, entry, transforms, &one, &problem))
          {
            if (chosen->content == NULL)
              {
                *chosen = one;
                chosen->viewer = rank == RANK_VIEWER;
                chosen->space = g_strdup (entry->space);
              }
            else if (one.content->id != chosen->content->id)
              warn_left_out (one.content, warnings);
          }
        else if (problem->code >= TPD_ERROR_STALE)
          {
            g_propagate_error (error, g_steal_pointer (&problem));
            return FALSE;
          }
        else if (first == NULL)
          first = g_steal_pointer (&problem);
      }
  if (chosen->content != NULL)
    return TRUE;
  if (first == NULL)
    return dataspaces_damaged (error, "no stream of it is mapped to its rights management transform");
  g_propagate_error (error, g_steal_pointer (&first));
  return FALSE;
}

/* Without a map: the usual name, and the only transform that can be meant. */
static gboolean
choose_usual (TpdCfb *cfb, GArray *transforms, Chosen *chosen, GPtrArray *warnings, GError **error)
{
  const Transform *drm = NULL;
  TpdKind kind;

  for (guint i = 0; i < transforms->len; i++)
    {
      const Transform *transform = &g_array_index (transforms, Transform, i);

      if (transform->type == TRANSFORM_DRM && drm != NULL)
        return TRUE;
      if (transform->type == TRANSFORM_DRM)
        drm = transform;
    }
  if (!dataspaces_find_usual (cfb, &chosen->content, &kind, error))
    return FALSE;
  if (chosen->content != NULL && tpd_cfb_name_equal (chosen->content->name, VIEWER_CONTENT))
    chosen->content = NULL;
  if (chosen->content == NULL)
    return TRUE;
  chosen->drm = drm;
  chosen->space = g_strdup ("");
  g_ptr_array_add (warnings,
                   g_strdup ("The map to the protected stream is damaged; the stream was found by its usual name."));
  return TRUE;
}

gboolean
dataspaces_choose (TpdCfb *cfb, const TpdCfbEntry *storage, GArray *transforms, Chosen *chosen, GPtrArray *warnings,
                   GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autoptr (GPtrArray) map = read_map (cfb, storage, &problem);

  *chosen = (Chosen){ 0 };
  if (map != NULL && choose_mapped (cfb, storage, map, transforms, chosen, warnings, &problem))
    return TRUE;
  if (g_error_matches (problem, TPD_ERROR, TPD_ERROR_DAMAGED))
    {
      if (!choose_usual (cfb, transforms, chosen, warnings, error))
        return FALSE;
      if (chosen->content != NULL)
        return TRUE;
    }
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}
