/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judging a ZIP package (APPNOTE.TXT 6.3) of which only some bytes at the
 * start of each segment are in doubt.
 *
 * Best is a member whose data lie over such bytes: its CRC-32 decides, and the
 * smallest one costs least. Where no member does, or all are too large, the
 * package's own records decide: each member is described twice, in the central
 * directory and before its data, and the fields must agree. Only agreement in
 * doubtful bytes counts, everything else is the same under all hypotheses.
 */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/proof_private.h"

#define LOCAL_SIZE 30
#define CENTRAL_SIZE 46
#define END_SIZE 22
#define END64_SIZE 56
#define LOCATOR_SIZE 20
#define COMMENT_MAX 65535
#define DIRECTORY_MAX (4 * 1024 * 1024)
#define LOCAL_CHECKS_MAX 4096
#define PIECE 16384
/* A CRC over fewer doubtful bytes than this may hold by chance. */
#define ENOUGH_DOUBTFUL 4

#define FLAG_ENCRYPTED 0x0001
#define FLAG_DESCRIPTOR 0x0008

typedef struct {
  guint64 central; /* where its record starts */
  guint64 header, packed, size;
  guint32 crc;
  guint16 flags, method, time, date, name_len;
  const guint8 *name; /* in the directory */
  guint64 doubtful;   /* of its data, as far as known */
} Member;

typedef struct {
  TpdSource *plain;
  gsize segment;
  guint64 left; /* bytes that may still be read or inflated */
  guint64 end;  /* where the end record starts */
  guint64 directory, directory_size, n_members;
  GBytes *bytes; /* the directory */
  GArray *members;
} Judge;

static guint64
doubtful (const Judge *judge, guint64 off, guint64 len)
{
  return proof_doubtful (judge->segment, off, len);
}

/* A range that is inside the file and affordable. */
static gboolean
affordable (Judge *judge, guint64 off, guint64 len)
{
  if (off > judge->plain->size || len > judge->plain->size - off || len > judge->left)
    return FALSE;
  judge->left -= len;
  return TRUE;
}

/* --- Finding the directory ---------------------------------------------- */

/* The end record at `at`: 4.3.16. */
static gboolean
parse_end (Judge *judge, TpdBytes bytes, guint64 at)
{
  guint32 magic, size, offset;
  guint16 disk, directory_disk, here, total, comment;

  if (!tpd_bytes_take_u32le (&bytes, &magic) || magic != 0x06054b50 || !tpd_bytes_take_u16le (&bytes, &disk)
      || !tpd_bytes_take_u16le (&bytes, &directory_disk) || !tpd_bytes_take_u16le (&bytes, &here)
      || !tpd_bytes_take_u16le (&bytes, &total) || !tpd_bytes_take_u32le (&bytes, &size)
      || !tpd_bytes_take_u32le (&bytes, &offset) || !tpd_bytes_take_u16le (&bytes, &comment))
    return FALSE;
  if (disk != 0 || directory_disk != 0 || here != total || at + END_SIZE + comment != judge->plain->size)
    return FALSE;
  judge->end = at;
  judge->directory = offset;
  judge->directory_size = size;
  judge->n_members = total;
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
parse_end64 (Judge *judge, GError **error)
{
  guint8 locator[LOCATOR_SIZE], record[END64_SIZE];
  TpdBytes bytes = tpd_bytes (locator, sizeof locator);
  guint32 magic;
  guint64 at;

  if (judge->end < LOCATOR_SIZE || !affordable (judge, judge->end - LOCATOR_SIZE, LOCATOR_SIZE)
      || !tpd_source_read_exact (judge->plain, locator, sizeof locator, judge->end - LOCATOR_SIZE, error))
    return FALSE;
  if (!tpd_bytes_take_u32le (&bytes, &magic) || magic != 0x07064b50 || !tpd_bytes_skip (&bytes, 4)
      || !take_number64 (&bytes, &at) || !affordable (judge, at, END64_SIZE)
      || !tpd_source_read_exact (judge->plain, record, sizeof record, at, error))
    return FALSE;
  bytes = tpd_bytes (record, sizeof record);
  return tpd_bytes_take_u32le (&bytes, &magic) && magic == 0x06064b50 && tpd_bytes_seek (&bytes, 32)
         && take_number64 (&bytes, &judge->n_members) && take_number64 (&bytes, &judge->directory_size)
         && take_number64 (&bytes, &judge->directory);
}

static gboolean
find_end (Judge *judge, GError **error)
{
  guint64 size = judge->plain->size;
  gsize len = (gsize) MIN (size, (guint64) (END_SIZE + COMMENT_MAX));
  guint64 start = size - len;
  g_autofree guint8 *tail = NULL;
  TpdBytes bytes;

  if (len < END_SIZE || !affordable (judge, start, len))
    return FALSE;
  tail = g_malloc (len);
  if (!tpd_source_read_exact (judge->plain, tail, len, start, error))
    return FALSE;
  for (gsize at = len - END_SIZE + 1; at-- > 0;)
    if (tail[at] == 'P' && tpd_bytes_slice (&(TpdBytes){ tail, len, 0 }, at, END_SIZE, &bytes)
        && parse_end (judge, bytes, start + at))
      {
        if (judge->n_members == 0xffff || judge->directory == 0xffffffff || judge->directory_size == 0xffffffff)
          return parse_end64 (judge, error);
        return TRUE;
      }
  return FALSE;
}

/* --- The directory ------------------------------------------------------ */

/* ZIP64 numbers in the extra field stand in for those that are full: 4.5.3. */
static gboolean
parse_extra64 (TpdBytes extra, Member *member)
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
parse_member (Judge *judge, TpdBytes *bytes, Member *member)
{
  guint32 magic, packed, size, header;
  guint16 extra_len, comment_len;
  const guint8 *extra;

  member->central = judge->directory + bytes->pos;
  if (!tpd_bytes_take_u32le (bytes, &magic) || magic != 0x02014b50 || !tpd_bytes_skip (bytes, 4)
      || !tpd_bytes_take_u16le (bytes, &member->flags) || !tpd_bytes_take_u16le (bytes, &member->method)
      || !tpd_bytes_take_u16le (bytes, &member->time) || !tpd_bytes_take_u16le (bytes, &member->date)
      || !tpd_bytes_take_u32le (bytes, &member->crc) || !tpd_bytes_take_u32le (bytes, &packed)
      || !tpd_bytes_take_u32le (bytes, &size) || !tpd_bytes_take_u16le (bytes, &member->name_len)
      || !tpd_bytes_take_u16le (bytes, &extra_len) || !tpd_bytes_take_u16le (bytes, &comment_len)
      || !tpd_bytes_skip (bytes, 8) || !tpd_bytes_take_u32le (bytes, &header)
      || !tpd_bytes_take (bytes, member->name_len, &member->name) || !tpd_bytes_take (bytes, extra_len, &extra)
      || !tpd_bytes_skip (bytes, comment_len))
    return FALSE;
  member->packed = packed;
  member->size = size;
  member->header = header;
  if (!parse_extra64 (tpd_bytes (extra, extra_len), member))
    return FALSE;
  return member->header <= judge->directory && judge->directory - member->header >= LOCAL_SIZE
         && member->packed <= judge->directory - member->header - LOCAL_SIZE;
}

/* FALSE: broken, or with error unreadable. */
static gboolean
read_directory (Judge *judge, GError **error)
{
  TpdBytes bytes;

  if (judge->directory > judge->end || judge->directory_size > judge->end - judge->directory
      || judge->n_members > judge->directory_size / CENTRAL_SIZE)
    return FALSE;
  judge->bytes = tpd_source_read_bytes (judge->plain, judge->directory, (gsize) judge->directory_size, error);
  if (judge->bytes == NULL)
    return FALSE;
  judge->left -= judge->directory_size;
  bytes = tpd_bytes (g_bytes_get_data (judge->bytes, NULL), g_bytes_get_size (judge->bytes));
  for (guint64 i = 0; i < judge->n_members; i++)
    {
      Member member = { 0 };
      if (!parse_member (judge, &bytes, &member))
        return FALSE;
      g_array_append_val (judge->members, member);
    }
  return tpd_bytes_left (&bytes) == 0;
}

/* --- One member --------------------------------------------------------- */

/* Counts agreement in doubtful bytes. FALSE: a field disagrees, and it may be for doubtful bytes. */
static gboolean
compare (const Judge *judge, gboolean equal, guint64 a, guint64 b, guint64 len, guint64 *agreed)
{
  guint64 n = doubtful (judge, a, len) + doubtful (judge, b, len);

  if (n == 0)
    return TRUE;
  if (equal)
    *agreed += n;
  return equal;
}

/*
 * Reads the local header (4.3.7) and holds it against the directory. The
 * data's place comes out. FALSE: they disagree, or with error unreadable.
 */
static gboolean
check_local (Judge *judge, const Member *member, guint64 *data, guint64 *agreed, GError **error)
{
  guint64 at = member->header, record = member->central;
  g_autoptr (GBytes) header = NULL;
  TpdBytes bytes;
  const guint8 *name = NULL;
  guint32 magic, crc, packed, size;
  guint16 flags, method, time, date, name_len, extra_len;
  gsize len = (gsize) MIN ((guint64) LOCAL_SIZE + member->name_len, judge->directory - at);

  *data = G_MAXUINT64;
  if (!affordable (judge, at, len))
    return TRUE;
  header = tpd_source_read_bytes (judge->plain, at, len, error);
  if (header == NULL)
    return FALSE;
  bytes = tpd_bytes (g_bytes_get_data (header, NULL), len);
  if (!tpd_bytes_take_u32le (&bytes, &magic) || !tpd_bytes_skip (&bytes, 2) || !tpd_bytes_take_u16le (&bytes, &flags)
      || !tpd_bytes_take_u16le (&bytes, &method) || !tpd_bytes_take_u16le (&bytes, &time)
      || !tpd_bytes_take_u16le (&bytes, &date) || !tpd_bytes_take_u32le (&bytes, &crc)
      || !tpd_bytes_take_u32le (&bytes, &packed) || !tpd_bytes_take_u32le (&bytes, &size)
      || !tpd_bytes_take_u16le (&bytes, &name_len) || !tpd_bytes_take_u16le (&bytes, &extra_len))
    return FALSE;
  if (name_len == member->name_len)
    tpd_bytes_take (&bytes, name_len, &name);
  if (magic != 0x04034b50)
    return FALSE;
  /* Both magics, and the pointer that led here. */
  *agreed += doubtful (judge, at, 4) + doubtful (judge, record, 4) + doubtful (judge, record + 42, 4);
  if (!compare (judge, method == member->method, at + 8, record + 10, 2, agreed)
      || !compare (judge, time == member->time, at + 10, record + 12, 2, agreed)
      || !compare (judge, date == member->date, at + 12, record + 14, 2, agreed)
      || !compare (judge, name_len == member->name_len, at + 26, record + 28, 2, agreed)
      || !compare (judge, name != NULL && memcmp (name, member->name, name_len) == 0, at + LOCAL_SIZE,
                   record + CENTRAL_SIZE, member->name_len, agreed))
    return FALSE;
  /* Behind a data descriptor, and in ZIP64, the local numbers are others. */
  if ((member->flags & FLAG_DESCRIPTOR) == 0 && packed != 0xffffffff && size != 0xffffffff
      && (!compare (judge, crc == member->crc, at + 14, record + 16, 4, agreed)
          || !compare (judge, packed == member->packed, at + 18, record + 20, 4, agreed)
          || !compare (judge, size == member->size, at + 22, record + 24, 4, agreed)))
    return FALSE;
  *data = at + LOCAL_SIZE + name_len + extra_len;
  return TRUE;
}

/* Inflates a member and checks its CRC. FALSE only with error. */
static gboolean
check_data (Judge *judge, const Member *member, guint64 data, gboolean *holds, GError **error)
{
  g_autofree guint8 *in = g_malloc (PIECE);
  g_autofree guint8 *out = g_malloc (PIECE);
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
  while (ok && status == Z_OK && done < member->packed)
    {
      gsize len = (gsize) MIN (member->packed - done, (guint64) PIECE);

      ok = tpd_source_read_exact (judge->plain, in, len, data + done, error);
      if (!ok)
        break;
      done += len;
      if (member->method == 0)
        {
          crc = crc32 (crc, in, (uInt) len);
          produced += len;
          continue;
        }
      z.next_in = in;
      z.avail_in = (uInt) len;
      do
        {
          z.next_out = out;
          z.avail_out = PIECE;
          status = inflate (&z, Z_NO_FLUSH);
          crc = crc32 (crc, out, PIECE - z.avail_out);
          produced += PIECE - z.avail_out;
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

/* --- Judgement ---------------------------------------------------------- */

/* Members with enough doubtful data first, then the smallest. */
static int
by_cost (gconstpointer a, gconstpointer b)
{
  const Member *x = a, *y = b;
  gboolean x_enough = x->doubtful >= ENOUGH_DOUBTFUL, y_enough = y->doubtful >= ENOUGH_DOUBTFUL;

  if (x_enough != y_enough)
    return x_enough ? -1 : 1;
  if (x->packed != y->packed)
    return x->packed < y->packed ? -1 : 1;
  return x->header < y->header ? -1 : x->header > y->header;
}

/* Tries members whose data lie over doubtful bytes. */
static gboolean
judge_members (Judge *judge, TpdCheck *result, GError **error)
{
  for (guint i = 0; i < judge->members->len; i++)
    {
      Member *member = &g_array_index (judge->members, Member, i);
      /* The local extra field is not known yet; it is seldom long. */
      member->doubtful = doubtful (judge, member->header + LOCAL_SIZE + member->name_len, member->packed);
    }
  g_array_sort (judge->members, by_cost);
  for (guint i = 0; i < judge->members->len; i++)
    {
      const Member *member = &g_array_index (judge->members, Member, i);
      guint64 data, agreed = 0;
      gboolean holds;

      if (member->doubtful == 0 || (member->method != 0 && member->method != 8) || (member->flags & FLAG_ENCRYPTED) != 0
          || member->packed > judge->left || member->size > judge->left - member->packed)
        continue;
      if (!check_local (judge, member, &data, &agreed, error))
        {
          *result = TPD_CHECK_DISPROVED;
          return error == NULL || *error == NULL;
        }
      if (data > judge->directory || member->packed > judge->directory - data
          || doubtful (judge, data, member->packed) == 0)
        continue;
      judge->left -= MIN (judge->left, member->packed + member->size);
      if (!check_data (judge, member, data, &holds, error))
        return FALSE;
      *result = holds ? TPD_CHECK_PROVED : TPD_CHECK_DISPROVED;
      return TRUE;
    }
  return TRUE;
}

/* Tries the records themselves. */
static gboolean
judge_records (Judge *judge, TpdCheck *result, GError **error)
{
  /* That the end record was found, fits and leads to the directory counts. */
  guint64 agreed = doubtful (judge, judge->end, END_SIZE);
  guint checks = 0;

  for (guint i = 0; i < judge->members->len && checks < LOCAL_CHECKS_MAX; i++)
    {
      const Member *member = &g_array_index (judge->members, Member, i);
      guint64 data;

      if (doubtful (judge, member->central, CENTRAL_SIZE + member->name_len) == 0
          && doubtful (judge, member->header, LOCAL_SIZE + member->name_len) == 0)
        continue;
      checks++;
      if (!check_local (judge, member, &data, &agreed, error))
        {
          *result = TPD_CHECK_DISPROVED;
          return error == NULL || *error == NULL;
        }
    }
  if (agreed > 0)
    *result = TPD_CHECK_PROVED;
  return TRUE;
}

gboolean
proof_check_zip (TpdSource *plain, gsize segment, TpdCheck *result, GError **error)
{
  Judge judge = { .plain = plain, .segment = segment, .left = TPD_CHECK_MAX_BYTES };
  g_autoptr (GError) problem = NULL;
  gboolean ok = TRUE;

  judge.members = g_array_new (FALSE, FALSE, sizeof (Member));
  *result = TPD_CHECK_DISPROVED;
  if (find_end (&judge, &problem))
    {
      if (judge.directory_size > DIRECTORY_MAX)
        *result = TPD_CHECK_UNKNOWN;
      else if (read_directory (&judge, &problem))
        {
          *result = TPD_CHECK_UNKNOWN;
          ok = judge_members (&judge, result, &problem)
               && (*result != TPD_CHECK_UNKNOWN || judge_records (&judge, result, &problem));
        }
    }
  g_clear_pointer (&judge.bytes, g_bytes_unref);
  g_array_unref (judge.members);
  if (ok && problem == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}
