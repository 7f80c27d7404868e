/* SPDX-License-Identifier: Apache-2.0 */
/* ZIP packages: see zip.h. Section numbers are those of APPNOTE.TXT 6.3. */
#include "format/zip.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/error.h"

#define END64_SIZE 56
#define LOCATOR_SIZE 20
#define COMMENT_MAX 65535
#define PIECE 16384

gboolean
tpd_zip_magic (const guint8 *head, gsize len)
{
  if (len >= 8 && (memcmp (head, "PK00", 4) == 0 || memcmp (head, "PK\007\010", 4) == 0))
    return memcmp (head + 4, "PK\003\004", 4) == 0;
  return len >= 4 && memcmp (head, "PK\003\004", 4) == 0;
}

void
tpd_zip_init (TpdZip *zip, TpdSource *source, guint64 max)
{
  *zip = (TpdZip){ .source = source, .left = max };
  zip->members = g_array_new (FALSE, FALSE, sizeof (TpdZipMember));
}

void
tpd_zip_clear (TpdZip *zip)
{
  g_clear_pointer (&zip->bytes, g_bytes_unref);
  g_clear_pointer (&zip->members, g_array_unref);
}

gboolean
tpd_zip_afford (TpdZip *zip, guint64 off, guint64 len)
{
  if (off > zip->source->size || len > zip->source->size - off || len > zip->left)
    return FALSE;
  zip->left -= len;
  return TRUE;
}

/* --- Finding the directory ---------------------------------------------- */

/* The end record at `at`: 4.3.16. */
static gboolean
parse_end (TpdZip *zip, TpdBytes bytes, guint64 at)
{
  guint32 magic, size, offset;
  guint16 disk, directory_disk, here, total, comment;

  if (!tpd_bytes_take_u32le (&bytes, &magic) || magic != 0x06054b50 || !tpd_bytes_take_u16le (&bytes, &disk)
      || !tpd_bytes_take_u16le (&bytes, &directory_disk) || !tpd_bytes_take_u16le (&bytes, &here)
      || !tpd_bytes_take_u16le (&bytes, &total) || !tpd_bytes_take_u32le (&bytes, &size)
      || !tpd_bytes_take_u32le (&bytes, &offset) || !tpd_bytes_take_u16le (&bytes, &comment))
    return FALSE;
  if (disk != 0 || directory_disk != 0 || here != total || at + TPD_ZIP_END_SIZE + comment != zip->source->size)
    return FALSE;
  zip->end = at;
  zip->directory = offset;
  zip->directory_size = size;
  zip->n_members = total;
  return TRUE;
}

static gboolean
take_number64 (TpdBytes *bytes, guint64 *number)
{
  guint32 low = 0, high = 0;

  if (!tpd_bytes_take_u32le (bytes, &low) || !tpd_bytes_take_u32le (bytes, &high))
    return FALSE;
  *number = (guint64) high << 32 | low;
  return TRUE;
}

/* ZIP64: 4.3.14, 4.3.15. FALSE: broken, or with error unreadable. */
static gboolean
parse_end64 (TpdZip *zip, GError **error)
{
  guint8 locator[LOCATOR_SIZE], record[END64_SIZE];
  TpdBytes bytes = tpd_bytes (locator, sizeof locator);
  guint32 magic;
  guint64 at;

  if (zip->end < LOCATOR_SIZE || !tpd_zip_afford (zip, zip->end - LOCATOR_SIZE, LOCATOR_SIZE)
      || !tpd_source_read_exact (zip->source, locator, sizeof locator, zip->end - LOCATOR_SIZE, error))
    return FALSE;
  if (!tpd_bytes_take_u32le (&bytes, &magic) || magic != 0x07064b50 || !tpd_bytes_skip (&bytes, 4)
      || !take_number64 (&bytes, &at) || !tpd_zip_afford (zip, at, END64_SIZE)
      || !tpd_source_read_exact (zip->source, record, sizeof record, at, error))
    return FALSE;
  bytes = tpd_bytes (record, sizeof record);
  return tpd_bytes_take_u32le (&bytes, &magic) && magic == 0x06064b50 && tpd_bytes_seek (&bytes, 32)
         && take_number64 (&bytes, &zip->n_members) && take_number64 (&bytes, &zip->directory_size)
         && take_number64 (&bytes, &zip->directory);
}

gboolean
tpd_zip_find_directory (TpdZip *zip, GError **error)
{
  guint64 size = zip->source->size;
  gsize len = (gsize) MIN (size, (guint64) (TPD_ZIP_END_SIZE + COMMENT_MAX));
  guint64 start = size - len;
  g_autofree guint8 *tail = NULL;
  TpdBytes bytes;

  if (len < TPD_ZIP_END_SIZE || !tpd_zip_afford (zip, start, len))
    return FALSE;
  tail = g_malloc (len);
  if (!tpd_source_read_exact (zip->source, tail, len, start, error))
    return FALSE;
  for (gsize at = len - TPD_ZIP_END_SIZE + 1; at-- > 0;)
    if (tail[at] == 'P' && tpd_bytes_slice (&(TpdBytes){ tail, len, 0 }, at, TPD_ZIP_END_SIZE, &bytes)
        && parse_end (zip, bytes, start + at))
      {
        if (zip->n_members == 0xffff || zip->directory == 0xffffffff || zip->directory_size == 0xffffffff)
          return parse_end64 (zip, error);
        return TRUE;
      }
  return FALSE;
}

/* --- The directory ------------------------------------------------------ */

/* ZIP64 numbers in the extra field stand in for those that are full: 4.5.3. */
static gboolean
parse_extra64 (TpdBytes extra, TpdZipMember *member)
{
  guint64 *const numbers[] = { &member->size, &member->packed, &member->header };
  guint16 tag, len;
  TpdBytes field;

  while (tpd_bytes_take_u16le (&extra, &tag) && tpd_bytes_take_u16le (&extra, &len))
    {
      if (!tpd_bytes_slice (&extra, extra.pos, len, &field))
        return FALSE;
      for (guint i = 0; tag == 1 && i < G_N_ELEMENTS (numbers); i++)
        if (*numbers[i] == 0xffffffff && !take_number64 (&field, numbers[i]))
          return FALSE;
      tpd_bytes_skip (&extra, len);
    }
  return TRUE;
}

/* One record of the directory: 4.3.12. */
static gboolean
parse_member (TpdZip *zip, TpdBytes *bytes, TpdZipMember *member)
{
  guint32 magic, packed, size, header;
  const guint8 *extra;

  member->central = zip->directory + bytes->pos;
  if (!tpd_bytes_take_u32le (bytes, &magic) || magic != 0x02014b50 || !tpd_bytes_take_u16le (bytes, &member->made)
      || !tpd_bytes_skip (bytes, 2) || !tpd_bytes_take_u16le (bytes, &member->flags)
      || !tpd_bytes_take_u16le (bytes, &member->method) || !tpd_bytes_take_u16le (bytes, &member->time)
      || !tpd_bytes_take_u16le (bytes, &member->date) || !tpd_bytes_take_u32le (bytes, &member->crc)
      || !tpd_bytes_take_u32le (bytes, &packed) || !tpd_bytes_take_u32le (bytes, &size)
      || !tpd_bytes_take_u16le (bytes, &member->name_len) || !tpd_bytes_take_u16le (bytes, &member->extra_len)
      || !tpd_bytes_take_u16le (bytes, &member->comment_len) || !tpd_bytes_skip (bytes, 4)
      || !tpd_bytes_take_u32le (bytes, &member->attributes) || !tpd_bytes_take_u32le (bytes, &header)
      || !tpd_bytes_take (bytes, member->name_len, &member->name) || !tpd_bytes_take (bytes, member->extra_len, &extra)
      || !tpd_bytes_skip (bytes, member->comment_len))
    return FALSE;
  member->packed = packed;
  member->size = size;
  member->header = header;
  if (!parse_extra64 (tpd_bytes (extra, member->extra_len), member))
    return FALSE;
  return member->header <= zip->directory && zip->directory - member->header >= TPD_ZIP_LOCAL_SIZE
         && member->packed <= zip->directory - member->header - TPD_ZIP_LOCAL_SIZE;
}

gboolean
tpd_zip_read_directory (TpdZip *zip, GError **error)
{
  TpdBytes bytes;

  if (zip->directory > zip->end || zip->directory_size > zip->end - zip->directory
      || zip->directory_size > TPD_ZIP_DIRECTORY_MAX || !tpd_zip_afford (zip, zip->directory, zip->directory_size)
      || zip->n_members > zip->directory_size / TPD_ZIP_CENTRAL_SIZE)
    return FALSE;
  zip->bytes = tpd_source_read_bytes (zip->source, zip->directory, (gsize) zip->directory_size, error);
  if (zip->bytes == NULL)
    return FALSE;
  bytes = tpd_bytes (g_bytes_get_data (zip->bytes, NULL), g_bytes_get_size (zip->bytes));
  for (guint64 i = 0; i < zip->n_members; i++)
    {
      TpdZipMember member = { 0 };
      if (!parse_member (zip, &bytes, &member))
        return FALSE;
      g_array_append_val (zip->members, member);
    }
  return tpd_bytes_left (&bytes) == 0;
}

/* --- Members ------------------------------------------------------------ */

gboolean
tpd_zip_check_data (const TpdZip *zip, const TpdZipMember *member, guint64 data, GByteArray *out, gboolean *holds,
                    GError **error)
{
  g_autofree guint8 *in = g_malloc (PIECE);
  g_autofree guint8 *piece = g_malloc (PIECE);
  z_stream z = { 0 };
  uLong crc = crc32 (0, NULL, 0);
  guint64 done = 0, produced = 0;
  int status = Z_OK;
  gboolean ok = TRUE;

  *holds = FALSE;
  if (member->method != 0 && inflateInit2 (&z, -15) != Z_OK)
    {
      tpd_error_set_errno (error, ENOMEM, "Cannot check the content");
      return FALSE;
    }
  while (ok && status == Z_OK && done < member->packed && produced <= member->size)
    {
      gsize len = (gsize) MIN (member->packed - done, (guint64) PIECE);

      ok = tpd_source_read_exact (zip->source, in, len, data + done, error);
      if (!ok)
        break;
      done += len;
      if (member->method == 0)
        {
          crc = crc32 (crc, in, (uInt) len);
          produced += len;
          if (out != NULL)
            g_byte_array_append (out, in, (guint) len);
          continue;
        }
      z.next_in = in;
      z.avail_in = (uInt) len;
      do
        {
          z.next_out = piece;
          z.avail_out = PIECE;
          status = inflate (&z, Z_NO_FLUSH);
          crc = crc32 (crc, piece, PIECE - z.avail_out);
          produced += PIECE - z.avail_out;
          if (out != NULL)
            g_byte_array_append (out, piece, PIECE - z.avail_out);
      } while (status == Z_OK && z.avail_out == 0 && produced <= member->size);
      if (status == Z_BUF_ERROR)
        status = Z_OK; /* wants more input */
    }
  *holds = ok && done == member->packed && produced == member->size && crc == member->crc
           && (member->method == 0 || (status == Z_STREAM_END && z.avail_in == 0));
  if (member->method != 0)
    inflateEnd (&z);
  return ok;
}

static const TpdZipMember *
find_member (const TpdZip *zip, const char *name)
{
  gsize len = strlen (name);

  for (guint i = 0; i < zip->members->len; i++)
    {
      const TpdZipMember *member = &g_array_index (zip->members, TpdZipMember, i);

      if (member->name_len == len && g_ascii_strncasecmp ((const char *) member->name, name, len) == 0)
        return member;
    }
  return NULL;
}

/* Behind its own header: 4.3.7. */
gboolean
tpd_zip_find_data (TpdZip *zip, const TpdZipMember *member, guint64 *data, GError **error)
{
  guint8 header[TPD_ZIP_LOCAL_SIZE];
  TpdBytes bytes = tpd_bytes (header, sizeof header);
  guint32 magic;
  guint16 name_len, extra_len;

  if (!tpd_zip_afford (zip, member->header, sizeof header)
      || !tpd_source_read_exact (zip->source, header, sizeof header, member->header, error))
    return FALSE;
  if (!tpd_bytes_take_u32le (&bytes, &magic) || magic != 0x04034b50 || !tpd_bytes_seek (&bytes, 26)
      || !tpd_bytes_take_u16le (&bytes, &name_len) || !tpd_bytes_take_u16le (&bytes, &extra_len))
    return FALSE;
  *data = member->header + TPD_ZIP_LOCAL_SIZE + name_len + extra_len;
  return *data <= zip->directory && member->packed <= zip->directory - *data;
}

GBytes *
tpd_zip_read_member (TpdZip *zip, const char *name, gsize max, GError **error)
{
  const TpdZipMember *member = find_member (zip, name);
  g_autoptr (GByteArray) out = NULL;
  guint64 data;
  gboolean holds;

  if (member == NULL || (member->method != 0 && member->method != 8) || (member->flags & TPD_ZIP_FLAG_ENCRYPTED) != 0
      || member->size > max || member->size > zip->left || !tpd_zip_find_data (zip, member, &data, error)
      || !tpd_zip_afford (zip, data, member->packed) || member->size > zip->left)
    return NULL;
  zip->left -= member->size;
  out = g_byte_array_new ();
  if (!tpd_zip_check_data (zip, member, data, out, &holds, error) || !holds)
    return NULL;
  return g_byte_array_free_to_bytes (g_steal_pointer (&out));
}
