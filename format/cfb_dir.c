/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory of a compound file: entries, listing of storages, look-up.
 *
 * Siblings form a binary tree whose order and colours are not trusted. It is
 * walked with a stack of its own, each entry at most once in the life of the
 * TpdCfb, so that neither a loop nor a tree of any shape can hurt.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/cfb_private.h"

/* An entry while its siblings are walked. */
typedef struct {
  TpdCfbEntry *entry;
  guint32 right;
} Pending;

/* Name in UTF-16 ([MS-CFB] 2.6.1) to UTF-8; `out` holds TPD_CFB_NAME_SIZE bytes. */
static gboolean
parse_name (const guint8 *raw, guint16 name_bytes, char *out)
{
  TpdBytes bytes;
  guint n = name_bytes / 2;
  guint16 unit, low;
  gsize len = 0;

  if (name_bytes < 2 || name_bytes > 64 || name_bytes % 2 != 0)
    return FALSE;
  bytes = tpd_bytes (raw, (gsize) (n - 1) * 2);
  while (tpd_bytes_take_u16le (&bytes, &unit) && unit != 0)
    {
      gunichar c = unit;
      TpdBytes ahead = bytes;

      if (c >= 0xd800 && c < 0xdc00 && tpd_bytes_take_u16le (&ahead, &low) && low >= 0xdc00 && low < 0xe000)
        {
          c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00u);
          bytes = ahead;
        }
      else if (c >= 0xd800 && c < 0xe000)
        c = 0xfffd;
      len += (gsize) g_unichar_to_utf8 (c, out + len);
    }
  out[len] = '\0';
  return TRUE;
}

/* Reads entry `id` ([MS-CFB] 2.6). */
static TpdCfbEntry *
read_entry (TpdCfb *cfb, guint32 id, guint32 *left, guint32 *right, GError **error)
{
  guint per_sector_shift = cfb->shift - 7;
  guint32 sector = cfb_chain_sector (&cfb->directory, id >> per_sector_shift);
  const guint8 *data =
      cfb_peek (cfb, cfb_sector_offset (cfb, sector) + (guint64) (id & ((1u << per_sector_shift) - 1)) * CFB_ENTRY_SIZE,
                CFB_ENTRY_SIZE, error);
  g_autofree TpdCfbEntry *entry = NULL;
  TpdBytes bytes;
  const guint8 *name, *clsid;
  guint16 name_bytes;
  guint8 type, colour;

  if (data == NULL)
    return NULL;
  bytes = tpd_bytes (data, CFB_ENTRY_SIZE);
  entry = g_new0 (TpdCfbEntry, 1);
  entry->id = id;
  if (!tpd_bytes_take (&bytes, 64, &name) || !tpd_bytes_take_u16le (&bytes, &name_bytes)
      || !tpd_bytes_take_u8 (&bytes, &type) || !tpd_bytes_take_u8 (&bytes, &colour)
      || !tpd_bytes_take_u32le (&bytes, left) || !tpd_bytes_take_u32le (&bytes, right)
      || !tpd_bytes_take_u32le (&bytes, &entry->child) || !tpd_bytes_take (&bytes, 16, &clsid)
      || !tpd_bytes_take_u32le (&bytes, &entry->state) || !tpd_bytes_take_u64le (&bytes, &entry->created)
      || !tpd_bytes_take_u64le (&bytes, &entry->modified) || !tpd_bytes_take_u32le (&bytes, &entry->start)
      || !tpd_bytes_take_u64le (&bytes, &entry->size))
    return NULL; /* cannot be: 128 bytes are there */
  memcpy (entry->clsid, clsid, sizeof entry->clsid);
  /* The upper half is not initialised by some writers of version 3. */
  if (cfb->version == 3)
    entry->size &= 0xffffffffu;
  entry->type = type;
  if ((id == 0 ? type != TPD_CFB_ROOT : type != TPD_CFB_STORAGE && type != TPD_CFB_STREAM)
      || !parse_name (name, name_bytes, entry->name))
    {
      cfb_damaged (error, "directory entry %u is not valid", id);
      return NULL;
    }
  return g_steal_pointer (&entry);
}

/* Marks an entry that a sibling tree leads to. */
static gboolean
visit (TpdCfb *cfb, guint32 id, GError **error)
{
  if (id >= cfb->n_entries)
    {
      cfb_damaged (error, "its directory leads to entry %u, which it does not have", id);
      return FALSE;
    }
  if (cfb->visited[id / 8] & 1u << id % 8)
    {
      cfb_damaged (error, "its directory leads to entry %u twice", id);
      return FALSE;
    }
  cfb->visited[id / 8] |= (guint8) (1u << id % 8);
  return TRUE;
}

gboolean
cfb_directory_open (TpdCfb *cfb, GError **error)
{
  guint32 left, right;

  cfb->n_entries = cfb->directory.n_sectors << (cfb->shift - 7);
  cfb->visited = g_malloc0 (cfb->n_entries / 8 + 1);
  cfb->entries = g_ptr_array_new_with_free_func (g_free);
  cfb->children = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_ptr_array_unref);
  cfb->root = read_entry (cfb, 0, &left, &right, error);
  if (cfb->root == NULL)
    return FALSE;
  g_ptr_array_add (cfb->entries, cfb->root);
  return visit (cfb, 0, error);
}

void
cfb_directory_close (TpdCfb *cfb)
{
  g_free (cfb->visited);
  g_clear_pointer (&cfb->children, g_hash_table_unref);
  g_clear_pointer (&cfb->entries, g_ptr_array_unref);
}

const TpdCfbEntry *
tpd_cfb_root (const TpdCfb *cfb)
{
  return cfb->root;
}

static gboolean
walk_siblings (TpdCfb *cfb, const TpdCfbEntry *storage, GPtrArray *list, GError **error)
{
  g_autoptr (GArray) stack = g_array_new (FALSE, FALSE, sizeof (Pending));
  guint32 id = storage->child;

  while (id != CFB_NO_ENTRY || stack->len > 0)
    {
      Pending pending;

      while (id != CFB_NO_ENTRY)
        {
          guint32 left;

          if (!visit (cfb, id, error))
            return FALSE;
          pending.entry = read_entry (cfb, id, &left, &pending.right, error);
          if (pending.entry == NULL)
            return FALSE;
          pending.entry->depth = storage->depth + 1;
          g_ptr_array_add (cfb->entries, pending.entry);
          g_array_append_val (stack, pending);
          id = left;
        }
      pending = g_array_index (stack, Pending, stack->len - 1);
      g_array_set_size (stack, stack->len - 1);
      g_ptr_array_add (list, pending.entry);
      id = pending.right;
    }
  return TRUE;
}

const GPtrArray *
tpd_cfb_children (TpdCfb *cfb, const TpdCfbEntry *storage, GError **error)
{
  GPtrArray *known = g_hash_table_lookup (cfb->children, GUINT_TO_POINTER (storage->id));
  g_autoptr (GPtrArray) list = NULL;

  g_return_val_if_fail (storage->type != TPD_CFB_STREAM, NULL);
  if (known != NULL)
    return known;
  if (storage->depth >= TPD_CFB_MAX_DEPTH)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                   "The storages of the compound file are nested more than %d deep.", TPD_CFB_MAX_DEPTH);
      return NULL;
    }
  list = g_ptr_array_new ();
  if (!walk_siblings (cfb, storage, list, error))
    return NULL;
  known = g_steal_pointer (&list);
  g_hash_table_insert (cfb->children, GUINT_TO_POINTER (storage->id), known);
  return known;
}

static gunichar
upper (gunichar c)
{
  return c < 0x10000 ? g_unichar_toupper (c) : c;
}

gboolean
tpd_cfb_name_equal (const char *a, const char *b)
{
  for (; *a != '\0' && *b != '\0'; a = g_utf8_next_char (a), b = g_utf8_next_char (b))
    if (upper (g_utf8_get_char (a)) != upper (g_utf8_get_char (b)))
      return FALSE;
  return *a == *b;
}

gboolean
tpd_cfb_find (TpdCfb *cfb, const TpdCfbEntry *from, const char *path, const TpdCfbEntry **entry, GError **error)
{
  g_auto (GStrv) names = g_strsplit (path, "/", TPD_CFB_MAX_DEPTH + 1);
  const TpdCfbEntry *at = from != NULL ? from : cfb->root;

  *entry = NULL;
  for (char **name = names; *name != NULL; name++)
    {
      const GPtrArray *list;
      const TpdCfbEntry *found = NULL;

      if (at->type == TPD_CFB_STREAM)
        return TRUE;
      list = tpd_cfb_children (cfb, at, error);
      if (list == NULL)
        return FALSE;
      for (guint i = 0; i < list->len && found == NULL; i++)
        if (tpd_cfb_name_equal (((const TpdCfbEntry *) g_ptr_array_index (list, i))->name, *name))
          found = g_ptr_array_index (list, i);
      if (found == NULL)
        return TRUE;
      at = found;
    }
  *entry = at;
  return TRUE;
}
