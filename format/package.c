/* SPDX-License-Identifier: Apache-2.0 */
/* Packages as a whole: see format/package.h. */
#include "format/package.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/zip.h"

/* The directory is encrypted: 7.3.4. */
#define FLAG_MASKED 0x2000
/* Bytes of names and extra fields in front of a member's data. */
#define LOCAL_MAX (TPD_ZIP_LOCAL_SIZE + 2 * G_MAXUINT16)
/* What the first member's header is looked at for, with its name. */
#define MARK_SIZE 4
#define FIRST_SIZE (TPD_ZIP_LOCAL_SIZE + 32)

typedef enum { DIRECTORY_READ, DIRECTORY_LARGE, DIRECTORY_BROKEN } Directory;

/* FALSE only with error. */
static gboolean
open_directory (TpdZip *zip, TpdSource *source, Directory *directory, GError **error)
{
  g_autoptr (GError) problem = NULL;

  tpd_zip_init (zip, source, G_MAXUINT64);
  *directory = DIRECTORY_BROKEN;
  if (tpd_zip_find_directory (zip, &problem))
    {
      if (zip->directory_size > TPD_ZIP_DIRECTORY_MAX)
        *directory = DIRECTORY_LARGE;
      else if (tpd_zip_read_directory (zip, &problem))
        *directory = DIRECTORY_READ;
    }
  /* That something ends too early is the content's fault. */
  if (problem == NULL || g_error_matches (problem, TPD_ERROR, TPD_ERROR_DAMAGED))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&problem));
  return FALSE;
}

static gboolean
is_encrypted (guint16 flags)
{
  return (flags & (TPD_ZIP_FLAG_ENCRYPTED | FLAG_MASKED)) != 0;
}

/* Names that documents have, and archives do not. */
static gboolean
names_document (const guint8 *name, gsize len)
{
  static const char *const names[] = { "[Content_Types].xml", "_rels/.rels", "mimetype", "META-INF/MANIFEST.MF" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (len == strlen (names[i]) && memcmp (name, names[i], len) == 0)
      return TRUE;
  return FALSE;
}

/* The header in front; what cannot be told stays as it is. */
static void
parse_first (const guint8 *head, gsize len, TpdPackageFacts *facts)
{
  TpdBytes bytes = tpd_bytes (head, len);
  const guint8 *name;
  guint16 flags, name_len;

  if (tpd_bytes_seek (&bytes, 6) && tpd_bytes_take_u16le (&bytes, &flags))
    facts->encrypted = is_encrypted (flags);
  if (tpd_bytes_seek (&bytes, 26) && tpd_bytes_take_u16le (&bytes, &name_len)
      && tpd_bytes_seek (&bytes, TPD_ZIP_LOCAL_SIZE) && tpd_bytes_take (&bytes, name_len, &name))
    facts->document = names_document (name, name_len);
}

gboolean
tpd_package_starts (const guint8 *head, gsize len)
{
  TpdPackageFacts facts = { 0 };

  if (len < TPD_ZIP_LOCAL_SIZE || memcmp (head, "PK\003\004", 4) != 0)
    return FALSE;
  parse_first (head, len, &facts);
  return facts.document && !facts.encrypted;
}

/* When the directory is of no help. A mark may stand in front of the header. */
static gboolean
look_at_first (TpdSource *source, TpdPackageFacts *facts, GError **error)
{
  guint8 header[MARK_SIZE + FIRST_SIZE];
  gsize len = (gsize) MIN (source->size, (guint64) sizeof header), start;

  if (len < MARK_SIZE + TPD_ZIP_LOCAL_SIZE)
    return TRUE;
  if (!tpd_source_read_exact (source, header, len, 0, error))
    return FALSE;
  start = memcmp (header, "PK\003\004", 4) != 0 ? MARK_SIZE : 0;
  parse_first (header + start, len - start, facts);
  return TRUE;
}

gboolean
tpd_package_look (TpdSource *source, TpdPackageFacts *facts, GError **error)
{
  g_auto (TpdZip) zip = { 0 };
  Directory directory;

  memset (facts, 0, sizeof *facts);
  if (!open_directory (&zip, source, &directory, error))
    return FALSE;
  facts->directory = directory == DIRECTORY_READ;
  if (!facts->directory && !look_at_first (source, facts, error))
    return FALSE;
  for (guint i = 0; i < zip.members->len; i++)
    {
      const TpdZipMember *member = &g_array_index (zip.members, TpdZipMember, i);

      facts->encrypted = facts->encrypted || is_encrypted (member->flags);
      facts->document = facts->document || (facts->directory && names_document (member->name, member->name_len));
    }
  return TRUE;
}

/* FALSE only with error. */
static gboolean
check_member (TpdZip *zip, const TpdZipMember *member, TpdCheck *result, GError **error)
{
  g_autoptr (GError) problem = NULL;
  guint64 data;
  gboolean holds = FALSE;

  *result = TPD_CHECK_UNKNOWN;
  if (is_encrypted (member->flags) || (member->method != 0 && member->method != 8))
    return TRUE;
  *result = TPD_CHECK_DISPROVED;
  if (!tpd_zip_find_data (zip, member, &data, &problem) || !tpd_zip_afford (zip, data, member->packed)
      || !tpd_zip_check_data (zip, member, data, NULL, &holds, &problem))
    {
      if (problem == NULL)
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (holds)
    *result = TPD_CHECK_PROVED;
  return TRUE;
}

gboolean
tpd_package_check_all (TpdSource *plain, TpdCheck *result, GError **error)
{
  g_auto (TpdZip) zip = { 0 };
  Directory directory;
  TpdCheck one;

  *result = TPD_CHECK_DISPROVED;
  if (!open_directory (&zip, plain, &directory, error))
    return FALSE;
  if (directory != DIRECTORY_BROKEN)
    *result = directory == DIRECTORY_READ ? TPD_CHECK_PROVED : TPD_CHECK_UNKNOWN;
  /* Members that share their data could be inflated for ever: all of the file
   * once, and their headers. */
  zip.left = plain->size + (guint64) zip.members->len * LOCAL_MAX;
  for (guint i = 0; directory == DIRECTORY_READ && *result != TPD_CHECK_DISPROVED && i < zip.members->len; i++)
    {
      if (!check_member (&zip, &g_array_index (zip.members, TpdZipMember, i), &one, error))
        return FALSE;
      if (one != TPD_CHECK_PROVED)
        *result = one;
    }
  return TRUE;
}
