/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data spaces of a compound file. The map is followed (dataspaces_map.c), fixed
 * names decide nothing but the kind as long as it can be: files exist that spell
 * the usual names otherwise. What makes a transform ours is its identifier.
 *
 * Order of work: first the transforms, because they tell whether the file is
 * ours at all; from there on everything that is broken is damage.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/dataspaces_private.h"
#include "license/text.h"

#define DRM_GUID "C73DFACD-061F-43B0-8B64-0C620D2A8B50"
#define DRM_ID "{" DRM_GUID "}"
#define COMPRESSION_ID "{86DE7F2B-DDCE-486d-B016-405BBE82B8BC}"

#define MAX_TRANSFORM_STORAGES 64
#define MAX_STRING 512
/* TransformLength and the extensibility header are at most this; the .NET reader has the same limit. */
#define MAX_TRANSFORM_HEADER 4096
#define PRIMARY_USUAL 512
#define PRIMARY_MAX (4 * MAX_TRANSFORM_HEADER)

gboolean
dataspaces_damaged (GError **error, const char *what)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "The protected file is damaged: %s.", what);
  return FALSE;
}

/* --- Primitive encodings ------------------------------------------------ */

/* UNICODE-LP-P4 as UTF-8 ([MS-OFFCRYPTO] 2.1.2): bytes, then padding to 4. */
gboolean
dataspaces_take_utf16 (TpdBytes *bytes, char **out)
{
  guint32 len;
  const guint8 *data;
  TpdBytes units;
  guint16 unit;
  g_autoptr (GString) text = g_string_new (NULL);

  if (!tpd_bytes_take_u32le (bytes, &len) || len % 2 != 0 || len > MAX_STRING || !tpd_bytes_take (bytes, len, &data))
    return FALSE;
  /* The padding may be missing at the very end. */
  tpd_bytes_skip (bytes, MIN (-len & 3, tpd_bytes_left (bytes)));
  units = tpd_bytes (data, len);
  while (tpd_bytes_take_u16le (&units, &unit))
    {
      TpdBytes ahead = units;
      guint16 low;
      gunichar c = unit;

      if (c == 0)
        return FALSE;
      if (c >= 0xd800 && c < 0xdc00 && tpd_bytes_take_u16le (&ahead, &low) && low >= 0xdc00 && low < 0xe000)
        {
          c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00u);
          units = ahead;
        }
      g_string_append_unichar (text, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    }
  *out = g_string_free (g_steal_pointer (&text), FALSE);
  return TRUE;
}

gboolean
dataspaces_find (TpdCfb *cfb, const TpdCfbEntry *from, const char *name, TpdCfbType type, const TpdCfbEntry **entry,
                 GError **error)
{
  if (!tpd_cfb_find (cfb, from, name, entry, error))
    return FALSE;
  if (*entry != NULL && (*entry)->type != type)
    *entry = NULL;
  return TRUE;
}

/* --- Transforms --------------------------------------------------------- */

/* IRMDSTransformInfo ([MS-OFFCRYPTO] 2.2.6) up to the license. */
static gboolean
parse_primary (TpdBytes bytes, guint64 size, Transform *transform, GError **error)
{
  guint32 length, type, extension, license;
  guint16 version[6];
  g_autofree char *id = NULL;
  g_autofree char *name = NULL;

  if (!tpd_bytes_take_u32le (&bytes, &length) || !tpd_bytes_take_u32le (&bytes, &type)
      || !dataspaces_take_utf16 (&bytes, &id))
    return dataspaces_damaged (error, "the header of a transform is cut off");
  if (g_ascii_strcasecmp (id, DRM_ID) == 0)
    transform->type = TRANSFORM_DRM;
  else if (g_ascii_strcasecmp (id, COMPRESSION_ID) == 0)
    transform->type = TRANSFORM_COMPRESSION;
  if (transform->type != TRANSFORM_DRM)
    return TRUE;

  /* Bytes between the identifier and TransformLength are an unknown extension. */
  if (length < bytes.pos || length > MAX_TRANSFORM_HEADER || !tpd_bytes_seek (&bytes, length)
      || !dataspaces_take_utf16 (&bytes, &name))
    return dataspaces_damaged (error, "the header of its rights management transform is not valid");
  for (guint i = 0; i < G_N_ELEMENTS (version); i++)
    if (!tpd_bytes_take_u16le (&bytes, &version[i]))
      return dataspaces_damaged (error, "the header of its rights management transform is cut off");
  if (version[0] > 1)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                   "The rights management transform has version %u.%u; version 1 is understood.", version[0],
                   version[1]);
      return FALSE;
    }
  if (!tpd_bytes_take_u32le (&bytes, &extension) || extension < 4 || extension > MAX_TRANSFORM_HEADER
      || !tpd_bytes_skip (&bytes, extension - 4) || !tpd_bytes_take_u32le (&bytes, &license))
    return dataspaces_damaged (error, "the header of its rights management transform is not valid");
  if (license == 0)
    return dataspaces_damaged (error, "it holds no license");
  if (license > TPD_LICENSE_TEXT_MAX)
    return dataspaces_damaged (error, "its license is larger than any license can be");
  if (bytes.pos > size || license > size - bytes.pos)
    return dataspaces_damaged (error, "its license is cut off");
  transform->license_off = (guint32) bytes.pos;
  transform->license_len = license;
  return TRUE;
}

/* The header is short as a rule, and reading little matters in a stream that lies in many pieces. */
static gboolean
read_transform (TpdCfb *cfb, Transform *transform, GError **error)
{
  static const gsize heads[] = { PRIMARY_USUAL, PRIMARY_MAX };
  g_autoptr (TpdSource) source = NULL;

  if (!dataspaces_find (cfb, transform->storage, "\006Primary", TPD_CFB_STREAM, &transform->primary, error))
    return FALSE;
  if (transform->primary == NULL)
    return dataspaces_damaged (error, "the description of a transform is missing");
  source = tpd_cfb_stream_new (cfb, transform->primary, error);
  if (source == NULL)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (heads); i++)
    {
      gsize len = (gsize) MIN (source->size, (guint64) heads[i]);
      g_autoptr (GBytes) head = tpd_source_read_bytes (source, 0, len, error);
      gboolean last = len == source->size || i + 1 == G_N_ELEMENTS (heads);

      if (head == NULL)
        return FALSE;
      if (parse_primary (tpd_bytes (g_bytes_get_data (head, NULL), len), source->size, transform, last ? error : NULL))
        return TRUE;
      if (last)
        return FALSE;
    }
  g_return_val_if_reached (FALSE);
}

/* Names that only rights management uses, for transforms that cannot be read. */
static gboolean
is_drm_name (const char *name)
{
  return tpd_cfb_name_equal (name, "DRMEncryptedTransform") || tpd_cfb_name_equal (name, "\tDRMTransform")
         || tpd_cfb_name_equal (name, "EncryptionTransform");
}

static TpdKind
kind_of_transform (const char *name)
{
  if (tpd_cfb_name_equal (name, "EncryptionTransform"))
    return TPD_KIND_XPS;
  return name[0] == '\t' ? TPD_KIND_OLE : TPD_KIND_OOXML;
}

/*
 * All transforms of the file. `*broken` is the first rights management
 * transform that cannot be used; other transforms that are broken are left out.
 */
static gboolean
read_transforms (TpdCfb *cfb, const TpdCfbEntry *storage, GArray *transforms, TpdDataSpaces *spaces, GError **broken,
                 GError **error)
{
  const GPtrArray *list = tpd_cfb_children (cfb, storage, error);
  guint seen = 0;

  if (list == NULL)
    return FALSE;
  for (guint i = 0; i < list->len && seen < MAX_TRANSFORM_STORAGES; i++)
    {
      Transform transform = { .storage = g_ptr_array_index (list, i) };
      g_autoptr (GError) problem = NULL;

      if (transform.storage->type != TPD_CFB_STORAGE)
        continue;
      seen++;
      if (!read_transform (cfb, &transform, &problem))
        {
          if (problem->code >= TPD_ERROR_STALE)
            {
              g_propagate_error (error, g_steal_pointer (&problem));
              return FALSE;
            }
          if (*broken == NULL && (transform.type == TRANSFORM_DRM || is_drm_name (transform.storage->name)))
            {
              spaces->kind = kind_of_transform (transform.storage->name);
              *broken = g_steal_pointer (&problem);
            }
          continue;
        }
      g_array_append_val (transforms, transform);
    }
  return TRUE;
}

/* --- Putting it together ------------------------------------------------ */

static void
decide_kind (TpdDataSpaces *spaces, const Chosen *chosen)
{
  spaces->kind = kind_of_transform (chosen->drm->storage->name);
  if (tpd_cfb_name_equal (chosen->space, "RMEncryptionNoCompression"))
    spaces->kind = TPD_KIND_XPS;
  else if (spaces->kind != TPD_KIND_XPS && (chosen->space[0] == '\t' || spaces->content.name[0] == '\t'))
    spaces->kind = TPD_KIND_OLE;
}

/* [MS-OFFCRYPTO] 2.6: clear label metadata. Nothing depends on it. */
static gboolean
read_label (TpdCfb *cfb, const TpdCfbEntry *transforms, TpdDataSpaces *spaces, GError **error)
{
  const TpdCfbEntry *entry;
  g_autoptr (GBytes) data = NULL;
  g_autoptr (GError) problem = NULL;
  g_autofree char *text = NULL;
  const char *start;

  if (!dataspaces_find (cfb, transforms, "LabelInfo", TPD_CFB_STREAM, &entry, error))
    return FALSE;
  if (entry == NULL)
    return TRUE;
  data = tpd_cfb_stream_read (cfb, entry, TPD_LABEL_INFO_MAX, &problem);
  if (data == NULL)
    {
      if (problem->code >= TPD_ERROR_STALE)
        {
          g_propagate_error (error, g_steal_pointer (&problem));
          return FALSE;
        }
      g_ptr_array_add (spaces->warnings, g_strdup ("The label information of the file cannot be read."));
      return TRUE;
    }
  if (g_bytes_get_size (data) == 0)
    return TRUE;
  text = g_strndup (g_bytes_get_data (data, NULL), g_bytes_get_size (data));
  start = g_str_has_prefix (text, "\357\273\277") ? text + 3 : text;
  spaces->label_info = g_utf8_make_valid (start, -1);
  return TRUE;
}

void
tpd_dataspaces_clear (TpdDataSpaces *spaces)
{
  g_clear_pointer (&spaces->label_info, g_free);
  g_clear_pointer (&spaces->warnings, g_ptr_array_unref);
}

/* Whether a password protects the file, as far as its names tell ([MS-OFFCRYPTO] 2.3.4). */
static gboolean
has_password (TpdCfb *cfb, const TpdCfbEntry *info, gboolean *password, GError **error)
{
  const TpdCfbEntry *entry;

  if (!dataspaces_find (cfb, NULL, "EncryptionInfo", TPD_CFB_STREAM, &entry, error)
      || (entry == NULL && info != NULL
          && !dataspaces_find (cfb, info, "StrongEncryptionTransform", TPD_CFB_STORAGE, &entry, error)))
    return FALSE;
  *password = entry != NULL;
  return TRUE;
}

/*
 * No rights management was found. A stream that nothing else would call so
 * shows all the same that it was there: such a file must not pass for plain.
 */
static void
explain_nothing (TpdCfb *cfb, const TpdCfbEntry *info, TpdDataSpaces *spaces, GError **error)
{
  const TpdCfbEntry *content;
  gboolean password = FALSE;
  TpdKind kind;

  if (!dataspaces_find_usual (cfb, &content, &kind, error)
      || (content != NULL && !has_password (cfb, info, &password, error)))
    return;
  if (content == NULL || password)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_NOT_PROTECTED, "The file is not protected by rights management.");
      return;
    }
  spaces->kind = kind;
  dataspaces_damaged (error, "it has protected content, but what should tell of its license is missing");
}

gboolean
tpd_dataspaces_read (TpdCfb *cfb, TpdDataSpaces *spaces, GError **error)
{
  g_autoptr (GArray) transforms = g_array_new (FALSE, FALSE, sizeof (Transform));
  g_autoptr (GError) broken = NULL;
  g_autofree char *space = NULL;
  const TpdCfbEntry *storage, *info = NULL;
  gboolean has_drm = FALSE;
  Chosen chosen;

  *spaces = (TpdDataSpaces){ .kind = TPD_KIND_OOXML };
  if (!dataspaces_find (cfb, NULL, TPD_DATASPACES_STORAGE, TPD_CFB_STORAGE, &storage, error)
      || (storage != NULL && !dataspaces_find (cfb, storage, "TransformInfo", TPD_CFB_STORAGE, &info, error))
      || (info != NULL && !read_transforms (cfb, info, transforms, spaces, &broken, error)))
    return FALSE;
  for (guint i = 0; i < transforms->len; i++)
    {
      const Transform *transform = &g_array_index (transforms, Transform, i);
      if (transform->type == TRANSFORM_DRM && !has_drm)
        {
          has_drm = TRUE;
          spaces->kind = kind_of_transform (transform->storage->name);
        }
    }
  if (!has_drm && broken != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&broken));
      return FALSE;
    }
  if (!has_drm)
    {
      explain_nothing (cfb, info, spaces, error);
      return FALSE;
    }

  spaces->warnings = g_ptr_array_new_with_free_func (g_free);
  if (!dataspaces_choose (cfb, storage, transforms, &chosen, spaces->warnings, error))
    return FALSE;
  space = chosen.space;
  if (!read_label (cfb, info, spaces, error))
    return FALSE;
  spaces->content = *chosen.content;
  spaces->primary = *chosen.drm->primary;
  spaces->license_off = chosen.drm->license_off;
  spaces->license_len = chosen.drm->license_len;
  spaces->compressed = chosen.compressed || chosen.viewer;
  decide_kind (spaces, &chosen);
  return TRUE;
}

gboolean
tpd_dataspaces_contains_drm (const guint8 *data, gsize len)
{
  static const char id[] = DRM_GUID;
  const gsize n = sizeof id - 1;

  for (gsize start = 0; len >= 2 * n && start <= len - 2 * n; start++)
    {
      gsize i = 0;

      while (i < n && g_ascii_toupper ((char) data[start + 2 * i]) == id[i] && data[start + 2 * i + 1] == 0)
        i++;
      if (i == n)
        return TRUE;
    }
  return FALSE;
}
