/* SPDX-License-Identifier: Apache-2.0 */
/* Judging all of a plaintext: see format/whole.h. */
#include "format/whole.h"

#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/secret.h"
#include "format/package.h"
#include "format/proof.h"

#define BLOCK (256 * 1024)
#define HEAD 2048
#define PNG_MAGIC "\x89PNG\r\n\x1a\n"

/* Everything that decrypting can find wrong, padding at the end too. */
static gboolean
read_all (TpdSource *plain, guint8 *block, GError **error)
{
  guint64 off = 0;

  while (off < plain->size)
    {
      gssize n = tpd_source_pread (plain, block, BLOCK, off, error);

      if (n < 0)
        return FALSE;
      if (n == 0)
        {
          g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, "the content ends before its size");
          return FALSE;
        }
      off += (guint64) n;
    }
  return TRUE;
}

static gboolean
read_u32be (TpdSource *plain, guint64 off, guint32 *number, GError **error)
{
  guint32 raw;

  if (!tpd_source_read_exact (plain, &raw, sizeof raw, off, error))
    return FALSE;
  *number = GUINT32_FROM_BE (raw);
  return TRUE;
}

/* One chunk, [PNG] 5.3: length, type, data, CRC of type and data. */
static gboolean
check_chunk (TpdSource *plain, guint8 *block, guint64 *at, gboolean *holds, gboolean *last, GError **error)
{
  guint32 len, stored;
  guint64 off = *at + 4, end;
  uLong crc = crc32 (0, NULL, 0);

  *holds = FALSE;
  if (plain->size - *at < 12 || !read_u32be (plain, *at, &len, error) || len > plain->size - *at - 12)
    return *error == NULL;
  end = off + 4 + len;
  while (off < end)
    {
      gsize piece = (gsize) MIN (end - off, (guint64) BLOCK);

      if (!tpd_source_read_exact (plain, block, piece, off, error))
        return FALSE;
      if (off == *at + 4)
        *last = memcmp (block, "IEND", 4) == 0;
      crc = crc32 (crc, block, (uInt) piece);
      off += piece;
    }
  if (!read_u32be (plain, end, &stored, error))
    return FALSE;
  *holds = crc == stored;
  *at = end + 4;
  return TRUE;
}

static gboolean
check_png (TpdSource *plain, guint8 *block, TpdCheck *result, GError **error)
{
  guint64 at = strlen (PNG_MAGIC);
  gboolean holds = TRUE, last = FALSE;

  while (holds && !last)
    if (!check_chunk (plain, block, &at, &holds, &last, error))
      return FALSE;
  *result = holds ? TPD_CHECK_PROVED : TPD_CHECK_DISPROVED;
  return TRUE;
}

/* By the structure that the first bytes announce; UNKNOWN for most kinds. */
static gboolean
check_structure (TpdSource *plain, const guint8 *head, gsize len, guint8 *block, TpdCheck *result, GError **error)
{
  g_autoptr (GError) own = NULL;
  gboolean good = TRUE;

  *result = TPD_CHECK_UNKNOWN;
  if (len >= 4 && memcmp (head, "PK\003\004", 4) == 0)
    good = tpd_package_check_all (plain, result, &own);
  else if (len >= strlen (PNG_MAGIC) && memcmp (head, PNG_MAGIC, strlen (PNG_MAGIC)) == 0)
    good = check_png (plain, block, result, &own);
  if (!good)
    g_propagate_error (error, g_steal_pointer (&own));
  return good;
}

static gboolean
check (TpdSource *plain, const char *extension, guint8 *block, TpdProof *proof, char **wrong, GError **error)
{
  guint8 head[HEAD];
  gsize len = (gsize) MIN (plain->size, (guint64) sizeof head);
  guint bits = 0;
  TpdCheck structure = TPD_CHECK_UNKNOWN, magic;
  gboolean good;

  if (!read_all (plain, block, error))
    return FALSE;
  good = len == 0 || tpd_source_read_exact (plain, head, len, 0, error);
  if (good)
    good = check_structure (plain, head, len, block, &structure, error);
  magic = good ? tpd_check_magic (head, len, extension, &bits) : TPD_CHECK_UNKNOWN;
  tpd_wipe (head, sizeof head);
  if (structure == TPD_CHECK_PROVED)
    *proof = TPD_PROOF_PROVEN;
  else if (structure == TPD_CHECK_DISPROVED)
    *wrong = g_strdup ("it decrypts, but what comes out does not agree with the checksums inside it");
  else if (magic == TPD_CHECK_DISPROVED && len > 0)
    *wrong = g_strdup_printf ("it decrypts, but what comes out does not begin like a %s file", extension);
  else if (bits >= 24)
    *proof = MAX (*proof, TPD_PROOF_PLAUSIBLE);
  if (*wrong != NULL)
    *proof = TPD_PROOF_NONE;
  return good;
}

gboolean
tpd_document_check (TpdDocument *document, const char *extension, TpdProof *proof, char **wrong, GError **error)
{
  g_autoptr (TpdSource) plain = tpd_source_new_document (document);
  guint8 *block = g_malloc (BLOCK);
  gboolean good;

  *proof = document->proof;
  *wrong = NULL;
  good = check (plain, extension, block, proof, wrong, error);
  tpd_wipe (block, BLOCK);
  g_free (block);
  return good;
}
