/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the protection of a PDF file leaves in clear (ISO 32000-2, 7.6;
 * docs/formats.md, "PDF").
 */
#include <string.h>

#include "format/pdf_private.h"

guint
tpd_pdf_signature_contents (const TpdPdfObject *object, guint dict)
{
  guint contents = tpd_pdf_dict_get (object, dict, "Contents");

  if (contents == 0)
    return 0;
  return tpd_pdf_dict_get (object, dict, "ByteRange") > 0 || tpd_pdf_dict_has_name (object, dict, "Type", "Sig")
                 || tpd_pdf_dict_has_name (object, dict, "Type", "DocTimeStamp")
             ? contents
             : 0;
}

gboolean
tpd_pdf_crypt_filter (const TpdPdfObject *object, guint *name)
{
  guint filter = tpd_pdf_dict_get (object, 0, "Filter"), params = tpd_pdf_dict_get (object, 0, "DecodeParms");

  *name = 0;
  if (filter > 0 && tpd_pdf_token (object, filter)->type == TPD_PDF_ARRAY)
    {
      filter++;
      if (params > 0 && tpd_pdf_token (object, params)->type == TPD_PDF_ARRAY)
        params++;
    }
  if (filter == 0 || strcmp (tpd_pdf_text (object, tpd_pdf_token (object, filter)), "Crypt") != 0)
    return FALSE;
  if (params > 0)
    *name = tpd_pdf_dict_get (object, params, "Name");
  return TRUE;
}

/* XMP in clear is known by its first bytes. */
static gboolean
looks_like_xmp (const TpdPdfObject *object, guint64 off)
{
  static const char *const starts[] = { "<?xpacket", "<x:xmp", "\xef\xbb\xbf", "\xfe\xff", "\xff\xfe", "<?xml" };

  for (guint i = 0; i < G_N_ELEMENTS (starts); i++)
    {
      const char *p = starts[i];

      object->reader->pos = off;
      while (*p != '\0' && tpd_pdf_reader_get (object->reader) == (guint8) *p)
        p++;
      if (*p == '\0')
        return TRUE;
    }
  return FALSE;
}

gboolean
tpd_pdf_stream_is_clear (const TpdPdfEncryption *encryption, const TpdPdfObject *object, guint64 off)
{
  guint name;

  if (tpd_pdf_dict_has_name (object, 0, "Type", "XRef"))
    return TRUE;
  if (tpd_pdf_crypt_filter (object, &name))
    return name == 0 || strcmp (tpd_pdf_text (object, tpd_pdf_token (object, name)), "Identity") == 0;
  if (tpd_pdf_dict_has_name (object, 0, "Type", "Metadata"))
    return !encryption->streams || looks_like_xmp (object, off);
  return tpd_pdf_dict_has_name (object, 0, "Type", "EmbeddedFile") ? !encryption->files : !encryption->streams;
}

gboolean
tpd_pdf_stream_looks_clear (const TpdPdfObject *object, guint64 off, guint64 len)
{
  int c, d;
  gboolean predictor;

  if (tpd_pdf_stream_filter (object, &predictor) != TPD_PDF_FILTER_FLATE || len < 8)
    return FALSE;
  object->reader->pos = off;
  c = tpd_pdf_reader_get (object->reader);
  d = tpd_pdf_reader_get (object->reader);
  return c == 0x78 && d >= 0 && (c << 8 | d) % 31 == 0;
}
