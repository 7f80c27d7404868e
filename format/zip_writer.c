/* SPDX-License-Identifier: Apache-2.0 */
/* Archives written anew: see zip_writer.h. Section numbers are those of
 * APPNOTE.TXT 6.3. */
#include "format/zip_writer.h"

#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/error.h"

#define FULL32 G_GUINT64_CONSTANT (0xffffffff)
#define FULL16 0xffff
/* Extra fields: sizes of 64 bits, name in Unicode, and of encryption. */
#define TAG_ZIP64 0x0001
#define TAG_UNICODE_NAME 0x7075
#define TAG_STRONG 0x0017
#define TAG_AES 0x9901
#define FLAG_UTF8 0x0800
/* The version that first had sizes of 64 bits, and that of plain members. */
#define VERSION_ZIP64 45
#define VERSION_PLAIN 20

typedef struct {
  gboolean present, changed;
  guint64 header, size; /* size and crc: of a changed one */
  guint32 crc;
  char *name; /* NULL: as it was */
} Written;

struct _TpdZipWriter {
  TpdContainer *container;
  TpdZipSink sink;
  gpointer data;
  guint8 *block;
  gsize block_len;
  guint64 at;       /* bytes given to the sink */
  gboolean begun;   /* what stands before the first member is written */
  Written *written; /* of container->n */
  GByteArray *record;
};

guint32
tpd_zip_crc (guint32 crc, const void *bytes, gsize len)
{
  return (guint32) crc32_z (crc, bytes, len);
}

/* --- Numbers and bytes -------------------------------------------------- */

gboolean
tpd_zip_writer_data (TpdZipWriter *writer, const void *bytes, gsize len, GError **error)
{
  if (!writer->sink (writer->data, bytes, len, error))
    return FALSE;
  writer->at += len;
  return TRUE;
}

static gboolean
flush_record (TpdZipWriter *writer, GError **error)
{
  gboolean good = tpd_zip_writer_data (writer, writer->record->data, writer->record->len, error);

  g_byte_array_set_size (writer->record, 0);
  return good;
}

static gboolean
copy_range (TpdZipWriter *writer, guint64 from, guint64 to, GError **error)
{
  while (from < to)
    {
      gsize len = (gsize) MIN (to - from, (guint64) writer->block_len);

      if (!tpd_source_read_exact (writer->container->source, writer->block, len, from, error)
          || !tpd_zip_writer_data (writer, writer->block, len, error))
        return FALSE;
      from += len;
    }
  return TRUE;
}

TpdZipWriter *
tpd_zip_writer_new (TpdContainer *container, TpdZipSink sink, gpointer data, guint8 *block, gsize block_len)
{
  TpdZipWriter *writer = g_new0 (TpdZipWriter, 1);

  writer->container = container;
  writer->sink = sink;
  writer->data = data;
  writer->block = block;
  writer->block_len = block_len;
  writer->written = g_new0 (Written, MAX (container->n, 1));
  writer->record = g_byte_array_new ();
  return writer;
}

void
tpd_zip_writer_free (TpdZipWriter *writer)
{
  if (writer == NULL)
    return;
  for (guint i = 0; i < writer->container->n; i++)
    g_free (writer->written[i].name);
  g_free (writer->written);
  g_byte_array_unref (writer->record);
  g_free (writer);
}

/* --- Extra fields: 4.5 --------------------------------------------------- */

/* The name in Unicode goes with the other name: what was cut off or put on
 * there, at the end, is so here. FALSE: it does not fit, and is left out. */
static gboolean
put_unicode_name (GByteArray *out, TpdBytes field, const TpdZipMember *member, const char *name)
{
  gsize old_len = member->name_len, new_len = strlen (name), same = 0, cut, add;
  const guint8 *unicode;
  gsize unicode_len;

  /* A version and the checksum of the other name are in front: 4.6.9. */
  if (!tpd_bytes_seek (&field, 5) || !tpd_bytes_take (&field, tpd_bytes_left (&field), &unicode))
    return FALSE;
  unicode_len = field.len - 5;
  while (same < old_len && same < new_len && member->name[same] == (guint8) name[same])
    same++;
  cut = old_len - same;
  add = new_len - same;
  if (cut > unicode_len || memcmp (unicode + unicode_len - cut, member->name + same, cut) != 0
      || 5 + unicode_len - cut + add > FULL16)
    return FALSE;
  tpd_bytes_put_u16le (out, TAG_UNICODE_NAME);
  tpd_bytes_put_u16le (out, (guint) (5 + unicode_len - cut + add));
  g_byte_array_append (out, (const guint8 *) "\1", 1);
  tpd_bytes_put_u32le (out, tpd_zip_crc (0, name, new_len));
  g_byte_array_append (out, unicode, (guint) (unicode_len - cut));
  g_byte_array_append (out, (const guint8 *) name + same, (guint) add);
  return TRUE;
}

/* All that is still true of a member with another content, or name. */
static void
filter_extra (GByteArray *out, TpdBytes extra, const TpdZipMember *member, const Written *written)
{
  guint16 tag, len;
  TpdBytes field;

  while (tpd_bytes_take_u16le (&extra, &tag) && tpd_bytes_take_u16le (&extra, &len)
         && tpd_bytes_slice (&extra, extra.pos, len, &field))
    {
      tpd_bytes_skip (&extra, len);
      if (tag == TAG_ZIP64 || (written->changed && (tag == TAG_STRONG || tag == TAG_AES)))
        continue;
      if (tag == TAG_UNICODE_NAME && written->name != NULL)
        {
          (void) put_unicode_name (out, field, member, written->name);
          continue;
        }
      tpd_bytes_put_u16le (out, tag);
      tpd_bytes_put_u16le (out, len);
      g_byte_array_append (out, field.data, len);
    }
}

/* With `number64` in front: 4.5.3. FALSE: it is too long. */
static gboolean
make_extra (GByteArray *out, const guint64 *number64, guint n, TpdBytes extra, const TpdZipMember *member,
            const Written *written)
{
  if (n > 0)
    {
      tpd_bytes_put_u16le (out, TAG_ZIP64);
      tpd_bytes_put_u16le (out, n * 8);
      for (guint i = 0; i < n; i++)
        tpd_bytes_put_u64le (out, number64[i]);
    }
  filter_extra (out, extra, member, written);
  return out->len <= FULL16;
}

static gboolean
set_too_long (GError **error)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                       "the extra fields of a member leave no room for what has to be added");
  return FALSE;
}

static void
put_name (GByteArray *out, const TpdZipMember *member, const Written *written)
{
  if (written->name != NULL)
    g_byte_array_append (out, (const guint8 *) written->name, (guint) strlen (written->name));
  else
    g_byte_array_append (out, member->name, member->name_len);
}

static guint
name_len (const TpdZipMember *member, const Written *written)
{
  return written->name != NULL ? (guint) strlen (written->name) : member->name_len;
}

/* --- Members ------------------------------------------------------------ */

static gboolean
begin (TpdZipWriter *writer, GError **error)
{
  const TpdContainer *container = writer->container;

  if (writer->begun)
    return TRUE;
  writer->begun = TRUE;
  if (container->n == 0)
    return copy_range (writer, 0, container->zip.directory, error);
  return copy_range (writer, 0, tpd_container_zip_member (container, container->in_order[0])->header, error);
}

gboolean
tpd_zip_writer_copy (TpdZipWriter *writer, guint i, GError **error)
{
  const TpdZipMember *member = tpd_container_zip_member (writer->container, i);

  if (!begin (writer, error))
    return FALSE;
  writer->written[i].present = TRUE;
  writer->written[i].header = writer->at;
  return copy_range (writer, member->header, writer->container->members[i].region_end, error);
}

/* The extra fields of the local header, which are others than those of the
 * directory. (transfer full) */
static GBytes *
read_local_extra (TpdZipWriter *writer, guint i, GError **error)
{
  guint64 start = tpd_container_zip_member (writer->container, i)->header, data;
  guint8 header[TPD_ZIP_LOCAL_SIZE];
  TpdBytes bytes = tpd_bytes (header, sizeof header);
  guint16 name = 0, extra = 0;

  if (!tpd_container_find_data (writer->container, i, &data, error)
      || !tpd_source_read_exact (writer->container->source, header, sizeof header, start, error))
    return NULL;
  (void) (tpd_bytes_seek (&bytes, 26) && tpd_bytes_take_u16le (&bytes, &name) && tpd_bytes_take_u16le (&bytes, &extra));
  return tpd_source_read_bytes (writer->container->source, data - extra, extra, error);
}

gboolean
tpd_zip_writer_begin (TpdZipWriter *writer, guint i, const char *name, guint64 size, guint32 crc, GError **error)
{
  const TpdZipMember *member = tpd_container_zip_member (writer->container, i);
  Written *written = &writer->written[i];
  g_autoptr (GByteArray) extra = g_byte_array_new ();
  g_autoptr (GBytes) local = NULL;
  const guint64 sizes[] = { size, size };
  gboolean large = size >= FULL32;
  gsize len;
  const guint8 *old;

  if (!begin (writer, error))
    return FALSE;
  local = read_local_extra (writer, i, error);
  if (local == NULL)
    return FALSE;
  *written = (Written){ TRUE, TRUE, writer->at, size, crc, g_strdup (name) };
  old = g_bytes_get_data (local, &len);
  if (!make_extra (extra, sizes, large ? 2 : 0, tpd_bytes (old, len), member, written))
    return set_too_long (error);
  tpd_bytes_put_u32le (writer->record, 0x04034b50);
  tpd_bytes_put_u16le (writer->record, large ? VERSION_ZIP64 : VERSION_PLAIN);
  tpd_bytes_put_u16le (writer->record, member->flags & FLAG_UTF8);
  tpd_bytes_put_u16le (writer->record, 0);
  tpd_bytes_put_u16le (writer->record, member->time);
  tpd_bytes_put_u16le (writer->record, member->date);
  tpd_bytes_put_u32le (writer->record, crc);
  tpd_bytes_put_u32le (writer->record, large ? FULL32 : size);
  tpd_bytes_put_u32le (writer->record, large ? FULL32 : size);
  tpd_bytes_put_u16le (writer->record, name_len (member, written));
  tpd_bytes_put_u16le (writer->record, extra->len);
  put_name (writer->record, member, written);
  g_byte_array_append (writer->record, extra->data, extra->len);
  return flush_record (writer, error);
}

/* --- The directory ------------------------------------------------------ */

/* Only the place is another. */
static gboolean
is_patched (const TpdZipMember *member, const Written *written, const guint8 *old)
{
  guint32 offset = (guint32) old[42] | (guint32) old[43] << 8 | (guint32) old[44] << 16 | (guint32) old[45] << 24;

  return !written->changed && offset != FULL32 && written->header < FULL32;
}

static void
patch_central (TpdZipWriter *writer, const Written *written, const guint8 *old, gsize len)
{
  g_byte_array_append (writer->record, old, 42);
  tpd_bytes_put_u32le (writer->record, written->header);
  g_byte_array_append (writer->record, old + TPD_ZIP_CENTRAL_SIZE, (guint) (len - TPD_ZIP_CENTRAL_SIZE));
}

/* 4.3.12, with numbers of 64 bits where they are needed. */
static gboolean
make_central (TpdZipWriter *writer, const TpdZipMember *member, const Written *written, const guint8 *old,
              GError **error)
{
  guint64 size = written->changed ? written->size : member->size;
  guint64 packed = written->changed ? written->size : member->packed;
  g_autoptr (GByteArray) extra = g_byte_array_new ();
  guint64 numbers[3];
  guint n = 0, version;

  if (size >= FULL32)
    numbers[n++] = size;
  if (packed >= FULL32)
    numbers[n++] = packed;
  if (written->header >= FULL32)
    numbers[n++] = written->header;
  if (!make_extra (extra, numbers, n, tpd_bytes (member->name + member->name_len, member->extra_len), member, written))
    return set_too_long (error);
  version = (guint) old[6] | (guint) old[7] << 8;
  if (written->changed)
    version = VERSION_PLAIN;
  g_byte_array_append (writer->record, old, 6);
  tpd_bytes_put_u16le (writer->record, n > 0 ? MAX (version, VERSION_ZIP64) : version);
  tpd_bytes_put_u16le (writer->record, written->changed ? member->flags & FLAG_UTF8 : member->flags);
  tpd_bytes_put_u16le (writer->record, written->changed ? 0 : member->method);
  tpd_bytes_put_u16le (writer->record, member->time);
  tpd_bytes_put_u16le (writer->record, member->date);
  tpd_bytes_put_u32le (writer->record, written->changed ? written->crc : member->crc);
  tpd_bytes_put_u32le (writer->record, MIN (packed, FULL32));
  tpd_bytes_put_u32le (writer->record, MIN (size, FULL32));
  tpd_bytes_put_u16le (writer->record, name_len (member, written));
  tpd_bytes_put_u16le (writer->record, extra->len);
  tpd_bytes_put_u16le (writer->record, member->comment_len);
  g_byte_array_append (writer->record, old + 34, 8); /* disk, attributes */
  tpd_bytes_put_u32le (writer->record, MIN (written->header, FULL32));
  put_name (writer->record, member, written);
  g_byte_array_append (writer->record, extra->data, extra->len);
  g_byte_array_append (writer->record, member->name + member->name_len + member->extra_len, member->comment_len);
  return TRUE;
}

static gboolean
write_central (TpdZipWriter *writer, guint i, GError **error)
{
  const TpdZip *zip = &writer->container->zip;
  const TpdZipMember *member = tpd_container_zip_member (writer->container, i);
  const Written *written = &writer->written[i];
  const guint8 *old = (const guint8 *) g_bytes_get_data (zip->bytes, NULL) + (member->central - zip->directory);

  if (is_patched (member, written, old))
    patch_central (writer, written, old,
                   TPD_ZIP_CENTRAL_SIZE + (gsize) member->name_len + member->extra_len + member->comment_len);
  else if (!make_central (writer, member, written, old, error))
    return FALSE;
  return flush_record (writer, error);
}

/* 4.3.14, 4.3.15. */
static void
put_end64 (TpdZipWriter *writer, guint64 n, guint64 directory, guint64 size)
{
  tpd_bytes_put_u32le (writer->record, 0x06064b50);
  tpd_bytes_put_u64le (writer->record, 44);
  tpd_bytes_put_u16le (writer->record, VERSION_ZIP64);
  tpd_bytes_put_u16le (writer->record, VERSION_ZIP64);
  tpd_bytes_put_u32le (writer->record, 0);
  tpd_bytes_put_u32le (writer->record, 0);
  tpd_bytes_put_u64le (writer->record, n);
  tpd_bytes_put_u64le (writer->record, n);
  tpd_bytes_put_u64le (writer->record, size);
  tpd_bytes_put_u64le (writer->record, directory);
  tpd_bytes_put_u32le (writer->record, 0x07064b50);
  tpd_bytes_put_u32le (writer->record, 0);
  tpd_bytes_put_u64le (writer->record, directory + size);
  tpd_bytes_put_u32le (writer->record, 1);
}

/* 4.3.16; the comment is copied. */
static gboolean
write_end (TpdZipWriter *writer, guint64 n, guint64 directory, GError **error)
{
  const TpdContainer *container = writer->container;
  guint64 size = writer->at - directory, comment = container->zip.end + TPD_ZIP_END_SIZE;

  if (n >= FULL16 || directory >= FULL32 || size >= FULL32)
    put_end64 (writer, n, directory, size);
  tpd_bytes_put_u32le (writer->record, 0x06054b50);
  tpd_bytes_put_u32le (writer->record, 0);
  tpd_bytes_put_u16le (writer->record, (guint) MIN (n, FULL16));
  tpd_bytes_put_u16le (writer->record, (guint) MIN (n, FULL16));
  tpd_bytes_put_u32le (writer->record, MIN (size, FULL32));
  tpd_bytes_put_u32le (writer->record, MIN (directory, FULL32));
  tpd_bytes_put_u16le (writer->record, (guint) (container->source->size - comment));
  return flush_record (writer, error) && copy_range (writer, comment, container->source->size, error);
}

gboolean
tpd_zip_writer_finish (TpdZipWriter *writer, guint64 *size, GError **error)
{
  guint64 directory, n = 0;

  if (!begin (writer, error))
    return FALSE;
  directory = writer->at;
  for (guint i = 0; i < writer->container->n; i++)
    {
      if (!writer->written[i].present)
        continue;
      n++;
      if (!write_central (writer, i, error))
        return FALSE;
    }
  if (!write_end (writer, n, directory, error))
    return FALSE;
  *size = writer->at;
  return TRUE;
}
