/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compound files made by hand, sound and unsound ones. An image is a list of
 * sectors and their allocation table; the caller lays out streams and the
 * directory, image_finish() adds table and header.
 */
#pragma once

#include <glib.h>
#include <string.h>

#define FREE_SECTOR 0xffffffffu
#define END_OF_CHAIN 0xfffffffeu
#define FAT_SECTOR 0xfffffffdu
#define DIFAT_SECTOR 0xfffffffcu
#define NO_ENTRY 0xffffffffu

typedef struct {
  guint version;
  gsize sector_size;
  GByteArray *data; /* header and sectors */
  GArray *fat;      /* of guint32, one a sector */
  GByteArray *mini; /* the mini stream */
  GArray *minifat;
  GByteArray *directory;
} Image;

static inline void
put_u16 (guint8 *at, guint16 value)
{
  at[0] = (guint8) value;
  at[1] = (guint8) (value >> 8);
}

static inline void
put_u32 (guint8 *at, guint32 value)
{
  put_u16 (at, (guint16) value);
  put_u16 (at + 2, (guint16) (value >> 16));
}

static inline void
put_u64 (guint8 *at, guint64 value)
{
  put_u32 (at, (guint32) value);
  put_u32 (at + 4, (guint32) (value >> 32));
}

/* The header of a compound file; the list of FAT sectors is empty. */
static inline void
put_header (guint8 header[512], guint version, guint32 n_fat, guint32 directory, guint32 minifat, guint32 n_minifat,
            guint32 difat, guint32 n_difat)
{
  memset (header, 0, 512);
  memcpy (header, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8);
  put_u16 (header + 24, 0x3e);
  put_u16 (header + 26, (guint16) version);
  put_u16 (header + 28, 0xfffe);
  put_u16 (header + 30, version == 3 ? 9 : 12);
  put_u16 (header + 32, 6);
  put_u32 (header + 44, n_fat);
  put_u32 (header + 48, directory);
  put_u32 (header + 56, 4096);
  put_u32 (header + 60, minifat);
  put_u32 (header + 64, n_minifat);
  put_u32 (header + 68, difat);
  put_u32 (header + 72, n_difat);
  memset (header + 76, 0xff, 436);
}

static inline void
put_entry (guint8 entry[128], const char *name, guint8 type, guint32 left, guint32 right, guint32 child, guint32 start,
           guint64 size)
{
  glong units = 0;
  g_autofree gunichar2 *utf16 = g_utf8_to_utf16 (name, -1, NULL, &units, NULL);

  memset (entry, 0, 128);
  g_assert_cmpint (units, <=, 31);
  for (glong i = 0; i < units; i++)
    put_u16 (entry + 2 * i, utf16[i]);
  put_u16 (entry + 64, (guint16) (2 * units + 2));
  entry[66] = type;
  entry[67] = 1;
  put_u32 (entry + 68, left);
  put_u32 (entry + 72, right);
  put_u32 (entry + 76, child);
  put_u32 (entry + 116, start);
  put_u64 (entry + 120, size);
}

static inline Image *
image_new (guint version)
{
  Image *image = g_new0 (Image, 1);

  image->version = version;
  image->sector_size = version == 3 ? 512 : 4096;
  image->data = g_byte_array_new ();
  g_byte_array_set_size (image->data, (guint) image->sector_size);
  memset (image->data->data, 0, image->sector_size);
  image->fat = g_array_new (FALSE, FALSE, sizeof (guint32));
  image->mini = g_byte_array_new ();
  image->minifat = g_array_new (FALSE, FALSE, sizeof (guint32));
  image->directory = g_byte_array_new ();
  return image;
}

static inline void
image_free (Image *image)
{
  g_byte_array_unref (image->data);
  g_array_unref (image->fat);
  g_byte_array_unref (image->mini);
  g_array_unref (image->minifat);
  g_byte_array_unref (image->directory);
  g_free (image);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Image, image_free)

/* One sector with up to sector_size bytes, not yet in a chain. */
static inline guint32
image_add_sector (Image *image, const void *data, gsize len)
{
  guint32 sector = image->fat->len, free = FREE_SECTOR;
  guint at = image->data->len;

  g_byte_array_set_size (image->data, at + (guint) image->sector_size);
  memset (image->data->data + at, 0, image->sector_size);
  if (len > 0)
    memcpy (image->data->data + at, data, len);
  g_array_append_val (image->fat, free);
  return sector;
}

/* A chain that holds `data`. `gap` unused sectors lie between its sectors. */
static inline guint32
image_add (Image *image, const guint8 *data, gsize len, guint gap)
{
  guint32 first = END_OF_CHAIN, last = END_OF_CHAIN;

  for (gsize off = 0; off < len; off += image->sector_size)
    {
      guint32 sector = image_add_sector (image, data + off, MIN (len - off, image->sector_size));

      g_array_index (image->fat, guint32, sector) = END_OF_CHAIN;
      if (first == END_OF_CHAIN)
        first = sector;
      else
        g_array_index (image->fat, guint32, last) = sector;
      last = sector;
      for (guint i = 0; i < gap; i++)
        image_add_sector (image, "unused", 6);
    }
  return first;
}

/* A chain of mini sectors. */
static inline guint32
image_add_mini (Image *image, const guint8 *data, gsize len)
{
  guint32 first = image->minifat->len;

  for (gsize off = 0; off < len; off += 64)
    {
      guint32 next = off + 64 < len ? image->minifat->len + 1 : END_OF_CHAIN;
      guint at = image->mini->len;

      g_byte_array_set_size (image->mini, at + 64);
      memset (image->mini->data + at, 0xcc, 64);
      memcpy (image->mini->data + at, data + off, MIN (len - off, 64));
      g_array_append_val (image->minifat, next);
    }
  return len > 0 ? first : END_OF_CHAIN;
}

/* Adds a directory entry; entry 0 is the root, whose stream image_finish() fills in. */
static inline guint32
image_add_entry (Image *image, const char *name, guint8 type, guint32 left, guint32 right, guint32 child, guint32 start,
                 guint64 size)
{
  guint8 entry[128];

  put_entry (entry, name, type, left, right, child, start, size);
  g_byte_array_append (image->directory, entry, sizeof entry);
  return image->directory->len / 128 - 1;
}

/* A stream with its bytes, in the mini stream when it is small. */
static inline guint32
image_add_stream (Image *image, const char *name, guint32 left, guint32 right, const guint8 *data, gsize len)
{
  guint32 start = len < 4096 ? image_add_mini (image, data, len) : image_add (image, data, len, 0);

  return image_add_entry (image, name, 2, left, right, NO_ENTRY, start, len);
}

static inline guint8 *
image_entry (Image *image, guint32 id)
{
  return image->directory->data + (gsize) id * 128;
}

/* Writes mini stream, directory, FAT (with DIFAT sectors where needed) and header. */
static inline GBytes *
image_finish (Image *image)
{
  guint32 per = (guint32) image->sector_size / 4;
  guint32 minifat = END_OF_CHAIN, difat = END_OF_CHAIN, directory, n_minifat, n_fat, n_difat = 0;
  g_autoptr (GArray) fat_sectors = g_array_new (FALSE, FALSE, sizeof (guint32));
  g_autoptr (GArray) difat_sectors = g_array_new (FALSE, FALSE, sizeof (guint32));
  guint8 *header;

  while (image->minifat->len % per != 0)
    {
      guint32 free = FREE_SECTOR;
      g_array_append_val (image->minifat, free);
    }
  n_minifat = image->minifat->len / per;
  if (n_minifat > 0)
    {
      g_autofree guint8 *raw = g_malloc (image->minifat->len * 4);

      for (guint i = 0; i < image->minifat->len; i++)
        put_u32 (raw + 4 * i, g_array_index (image->minifat, guint32, i));
      minifat = image_add (image, raw, image->minifat->len * 4, 0);
      put_u32 (image_entry (image, 0) + 116, image_add (image, image->mini->data, image->mini->len, 0));
      put_u64 (image_entry (image, 0) + 120, image->mini->len);
    }
  directory = image_add (image, image->directory->data, image->directory->len, 0);

  for (n_fat = 0; (guint64) n_fat * per < image->fat->len + n_fat + n_difat; n_fat++)
    n_difat = n_fat + 1 > 109 ? (n_fat + 1 - 109 + per - 2) / (per - 1) : 0;
  for (guint32 i = 0; i < n_fat + n_difat; i++)
    {
      guint32 sector = image_add_sector (image, NULL, 0);

      g_array_index (image->fat, guint32, sector) = i < n_fat ? FAT_SECTOR : DIFAT_SECTOR;
      g_array_append_val (i < n_fat ? fat_sectors : difat_sectors, sector);
    }
  for (guint32 i = 0; i < n_fat * per; i++)
    put_u32 (image->data->data + (g_array_index (fat_sectors, guint32, i / per) + 1) * image->sector_size + i % per * 4,
             i < image->fat->len ? g_array_index (image->fat, guint32, i) : FREE_SECTOR);
  for (guint32 i = 0; i < n_difat; i++)
    {
      guint8 *at = image->data->data + (g_array_index (difat_sectors, guint32, i) + 1) * image->sector_size;

      for (guint32 j = 0; j < per - 1; j++)
        {
          guint32 k = 109 + i * (per - 1) + j;
          put_u32 (at + 4 * j, k < n_fat ? g_array_index (fat_sectors, guint32, k) : FREE_SECTOR);
        }
      put_u32 (at + 4 * (per - 1), i + 1 < n_difat ? g_array_index (difat_sectors, guint32, i + 1) : END_OF_CHAIN);
    }
  if (n_difat > 0)
    difat = g_array_index (difat_sectors, guint32, 0);

  header = image->data->data;
  put_header (header, image->version, n_fat, directory, minifat, n_minifat, difat, n_difat);
  for (guint32 i = 0; i < MIN (n_fat, 109); i++)
    put_u32 (header + 76 + 4 * i, g_array_index (fat_sectors, guint32, i));
  return g_bytes_new (image->data->data, image->data->len);
}
