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
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/proof_private.h"
#include "format/zip.h"

#define LOCAL_SIZE TPD_ZIP_LOCAL_SIZE
#define CENTRAL_SIZE TPD_ZIP_CENTRAL_SIZE
#define END_SIZE TPD_ZIP_END_SIZE
#define LOCAL_CHECKS_MAX 4096
/* A CRC over fewer doubtful bytes than this may hold by chance. */
#define ENOUGH_DOUBTFUL 4

/* What a member may be inflated to: nothing of it is kept. */
#define INFLATED_MAX (32 * 1024 * 1024)

typedef struct {
  TpdZip zip;
  gsize segment;
} Judge;

static guint64
doubtful (const Judge *judge, guint64 off, guint64 len)
{
  return proof_doubtful (judge->segment, off, len);
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
check_local (Judge *judge, const TpdZipMember *member, guint64 *data, guint64 *agreed, GError **error)
{
  guint64 at = member->header, record = member->central;
  g_autoptr (GBytes) header = NULL;
  TpdBytes bytes;
  const guint8 *name = NULL;
  guint32 magic, crc, packed, size;
  guint16 flags, method, time, date, name_len, extra_len;
  gsize len = (gsize) MIN ((guint64) LOCAL_SIZE + member->name_len, judge->zip.directory - at);

  *data = G_MAXUINT64;
  if (!tpd_zip_afford (&judge->zip, at, len))
    return TRUE;
  header = tpd_source_read_bytes (judge->zip.source, at, len, error);
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
  if ((member->flags & TPD_ZIP_FLAG_DESCRIPTOR) == 0 && packed != 0xffffffff && size != 0xffffffff
      && (!compare (judge, crc == member->crc, at + 14, record + 16, 4, agreed)
          || !compare (judge, packed == member->packed, at + 18, record + 20, 4, agreed)
          || !compare (judge, size == member->size, at + 22, record + 24, 4, agreed)))
    return FALSE;
  *data = at + LOCAL_SIZE + name_len + extra_len;
  return TRUE;
}

/* --- Judgement ---------------------------------------------------------- */

/* Members with enough doubtful data first, then the smallest. */
static int
by_cost (gconstpointer a, gconstpointer b)
{
  const TpdZipMember *x = a, *y = b;
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
  for (guint i = 0; i < judge->zip.members->len; i++)
    {
      TpdZipMember *member = &g_array_index (judge->zip.members, TpdZipMember, i);
      /* The local extra field is not known yet; it is seldom long. */
      member->doubtful = doubtful (judge, member->header + LOCAL_SIZE + member->name_len, member->packed);
    }
  g_array_sort (judge->zip.members, by_cost);
  for (guint i = 0; i < judge->zip.members->len; i++)
    {
      const TpdZipMember *member = &g_array_index (judge->zip.members, TpdZipMember, i);
      guint64 data, agreed = 0;
      gboolean holds;

      if (member->doubtful == 0 || (member->method != 0 && member->method != 8)
          || (member->flags & TPD_ZIP_FLAG_ENCRYPTED) != 0 || member->packed > judge->zip.left
          || member->size > INFLATED_MAX)
        continue;
      if (!check_local (judge, member, &data, &agreed, error))
        {
          *result = TPD_CHECK_DISPROVED;
          return error == NULL || *error == NULL;
        }
      if (data > judge->zip.directory || member->packed > judge->zip.directory - data
          || doubtful (judge, data, member->packed) == 0)
        continue;
      judge->zip.left -= member->packed;
      if (!tpd_zip_check_data (&judge->zip, member, data, NULL, &holds, error))
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
  guint64 agreed = doubtful (judge, judge->zip.end, END_SIZE);
  guint checks = 0;

  for (guint i = 0; i < judge->zip.members->len && checks < LOCAL_CHECKS_MAX; i++)
    {
      const TpdZipMember *member = &g_array_index (judge->zip.members, TpdZipMember, i);
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
  Judge judge = { .segment = segment };
  g_autoptr (GError) problem = NULL;
  gboolean ok = TRUE;

  tpd_zip_init (&judge.zip, plain, TPD_CHECK_MAX_BYTES);
  *result = TPD_CHECK_DISPROVED;
  if (tpd_zip_find_directory (&judge.zip, &problem))
    {
      if (judge.zip.directory_size > TPD_ZIP_DIRECTORY_MAX)
        *result = TPD_CHECK_UNKNOWN;
      else if (tpd_zip_read_directory (&judge.zip, &problem))
        {
          *result = TPD_CHECK_UNKNOWN;
          ok = judge_members (&judge, result, &problem)
               && (*result != TPD_CHECK_UNKNOWN || judge_records (&judge, result, &problem));
        }
    }
  tpd_zip_clear (&judge.zip);
  if (ok && problem == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}
