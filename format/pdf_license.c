/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encryption dictionary of a protected PDF (docs/formats.md, "PDF"; ISO
 * 32000-2, 7.6.2) and its license: version 2 stores it as it is, version 1
 * deflated and in base64.
 */
#include <string.h>
#include <zlib.h>

#include "base/error.h"
#include "base/text.h"
#include "format/pdf_private.h"
#include "license/text.h"

void
tpd_pdf_encryption_clear (TpdPdfEncryption *encryption)
{
  g_clear_pointer (&encryption->object, tpd_pdf_object_free);
}

/* --- The dictionary ------------------------------------------------------ */

static TpdPdfProtection
classify (TpdPdfFile *file, const TpdPdfObject *object, guint dict)
{
  guint i = tpd_pdf_dict_get (object, dict, "Filter");
  g_autoptr (TpdPdfObject) held = NULL;
  const char *name;

  if (i > 0)
    object = tpd_pdf_file_follow (file, object, &i, &held);
  if (i == 0 && held == NULL)
    return TPD_PDF_OTHER_HANDLER;
  name = tpd_pdf_text (object, tpd_pdf_token (object, i));
  if (g_ascii_strcasecmp (name, TPD_PDF_HANDLER) == 0)
    return TPD_PDF_RMS;
  if (g_ascii_strncasecmp (name, "FoxitIRM", 8) == 0 || g_ascii_strncasecmp (name, "FoxitRMS", 8) == 0)
    return TPD_PDF_FOREIGN;
  return TPD_PDF_OTHER_HANDLER;
}

/* A crypt filter is the identity only when it is named so (7.6.6): writers
 * before version 4 of the algorithm name none and encrypt all. */
static gboolean
encrypts (const TpdPdfEncryption *encryption, const char *key, gboolean otherwise)
{
  if (tpd_pdf_dict_get (encryption->object, encryption->dict, key) == 0)
    return otherwise;
  return !tpd_pdf_dict_has_name (encryption->object, encryption->dict, key, "Identity");
}

static void
fill (TpdPdfEncryption *encryption)
{
  const TpdPdfObject *object = encryption->object;
  guint version = tpd_pdf_dict_get (object, encryption->dict, "MicrosoftIRMVersion");
  guint license = tpd_pdf_dict_get (object, encryption->dict, "PublishingLicense");

  encryption->version = version > 0 && tpd_pdf_token (object, version)->value == 2 ? 2 : 1;
  encryption->streams = encrypts (encryption, "StmF", TRUE);
  encryption->strings = encrypts (encryption, "StrF", TRUE);
  encryption->files = encrypts (encryption, "EFF", encryption->streams);
  if (license > 0 && tpd_pdf_token (object, license)->type == TPD_PDF_REF)
    encryption->license_num = (guint64) MAX (tpd_pdf_token (object, license)->value, 0);
}

gboolean
tpd_pdf_encryption_read (TpdPdfFile *file, TpdPdfEncryption *encryption, TpdPdfProtection *protection, GError **error)
{
  guint i = file->newest != NULL ? tpd_pdf_dict_get (file->newest, 0, "Encrypt") : 0;
  const TpdPdfToken *value = i > 0 ? tpd_pdf_token (file->newest, i) : NULL;

  memset (encryption, 0, sizeof *encryption);
  *protection = TPD_PDF_UNPROTECTED;
  if (value != NULL && value->type == TPD_PDF_REF)
    encryption->num = (guint64) MAX (value->value, 0);
  else if (value == NULL || value->type != TPD_PDF_DICT)
    encryption->num = file->encryption;
  if (encryption->num > 0)
    encryption->object = tpd_pdf_file_get (file, encryption->num, error);
  else if (value == NULL || value->type != TPD_PDF_DICT)
    return TRUE;
  else
    encryption->object = tpd_pdf_object_read (file->reader, value->start, error);
  if (encryption->object == NULL)
    return FALSE;
  *protection = classify (file, encryption->object, encryption->dict);
  if (*protection == TPD_PDF_RMS)
    fill (encryption);
  else
    tpd_pdf_encryption_clear (encryption);
  return TRUE;
}

/* --- The license --------------------------------------------------------- */

/* Whether text starts like a license that is not packed. */
static gboolean
is_unpacked (const guint8 *data, gsize len)
{
  if (len >= 2 && ((data[0] == 0xff && data[1] == 0xfe) || (data[0] == 0xfe && data[1] == 0xff)))
    return TRUE;
  if (len >= 3 && memcmp (data, "\xef\xbb\xbf", 3) == 0)
    return TRUE;
  while (len > 0 && (g_ascii_isspace (*data) || *data == 0))
    {
      data++;
      len--;
    }
  return len > 0 && (*data == '<' || *data == '{');
}

/* `window_bits` tells zlib (15) from raw deflate (-15). NULL: it is not that, or too large. */
static GBytes *
unpack (const guint8 *data, gsize len, int window_bits)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  g_autofree guint8 *piece = g_malloc (64 * 1024);
  z_stream z = { 0 };
  int status = Z_OK;

  if (inflateInit2 (&z, window_bits) != Z_OK)
    return NULL;
  z.next_in = (guint8 *) data;
  z.avail_in = (uInt) len;
  while (status == Z_OK && out->len <= TPD_LICENSE_TEXT_MAX)
    {
      z.next_out = piece;
      z.avail_out = 64 * 1024;
      status = inflate (&z, Z_NO_FLUSH);
      g_byte_array_append (out, piece, 64 * 1024 - z.avail_out);
    }
  inflateEnd (&z);
  if (status != Z_STREAM_END || out->len > TPD_LICENSE_TEXT_MAX)
    return NULL;
  return g_byte_array_free_to_bytes (g_steal_pointer (&out));
}

static GBytes *
decode_license (GByteArray *text, GError **error)
{
  g_autofree guint8 *packed = NULL;
  gsize len = 0;
  GBytes *license;

  if (is_unpacked (text->data, text->len))
    return g_bytes_new (text->data, text->len);
  packed = tpd_base64_decode ((const char *) text->data, text->len, TPD_LICENSE_TEXT_MAX, &len);
  license = packed != NULL ? unpack (packed, len, 15) : NULL;
  if (license == NULL && packed != NULL)
    license = unpack (packed, len, -15);
  /* Last, because raw deflate may start with any byte. */
  if (license == NULL && packed != NULL && is_unpacked (packed, len))
    license = g_bytes_new (packed, len);
  if (license == NULL)
    g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "The license in the PDF file is damaged: it cannot be unpacked.");
  return license;
}

GBytes *
tpd_pdf_encryption_license (TpdPdfFile *file, const TpdPdfEncryption *encryption, GError **error)
{
  guint index = tpd_pdf_dict_get (encryption->object, encryption->dict, "PublishingLicense");
  const TpdPdfObject *object = NULL;
  g_autoptr (TpdPdfObject) held = NULL;
  g_autoptr (GByteArray) text = NULL;

  if (index > 0)
    object = tpd_pdf_file_follow (file, encryption->object, &index, &held);
  if (object == NULL
      || (tpd_pdf_token (object, index)->type != TPD_PDF_LITERAL && tpd_pdf_token (object, index)->type != TPD_PDF_HEX))
    {
      tpd_pdf_reader_set_error (file->reader, error, "The PDF file is encrypted, but its license is missing.");
      return NULL;
    }
  text = tpd_pdf_string_read (object->reader, tpd_pdf_token (object, index), 2 * TPD_LICENSE_TEXT_MAX);
  if (text == NULL)
    {
      tpd_pdf_reader_set_error (object->reader, error,
                                "The license in the PDF file is larger than any genuine license.");
      return NULL;
    }
  return decode_license (text, error);
}
