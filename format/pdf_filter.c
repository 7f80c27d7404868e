/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The little of PDF stream filters that reading structure takes: Flate and
 * the PNG predictors (ISO 32000-2, 7.4.4).
 */
#include <string.h>
#include <zlib.h>

#include "base/error.h"
#include "format/pdf_xref.h"

#define PIECE (64 * 1024)
#define MAX_COLUMNS (1024 * 1024)

/* The one element of an array, or the value itself; 0: none, or several. */
static guint
only_element (const TpdPdfObject *object, guint index)
{
  if (index == 0 || tpd_pdf_token (object, index)->type != TPD_PDF_ARRAY)
    return index;
  if (tpd_pdf_token (object, index + 1)->type == TPD_PDF_CLOSE
      || tpd_pdf_skip (object, index + 1) != tpd_pdf_token (object, index)->match)
    return 0;
  return index + 1;
}

static gint64
parameter (const TpdPdfObject *object, const char *key, gint64 otherwise)
{
  guint params = only_element (object, tpd_pdf_dict_get (object, 0, "DecodeParms"));
  guint value = params > 0 ? tpd_pdf_dict_get (object, params, key) : 0;

  return value > 0 && tpd_pdf_token (object, value)->type == TPD_PDF_INTEGER ? tpd_pdf_token (object, value)->value
                                                                             : otherwise;
}

TpdPdfFilter
tpd_pdf_stream_filter (const TpdPdfObject *object, gboolean *predictor)
{
  guint value = tpd_pdf_dict_get (object, 0, "Filter");
  guint filter = only_element (object, value);
  const char *name;

  *predictor = parameter (object, "Predictor", 1) != 1;
  if (value == 0)
    return TPD_PDF_FILTER_NONE;
  if (filter == 0)
    return tpd_pdf_token (object, value + 1)->type == TPD_PDF_CLOSE ? TPD_PDF_FILTER_NONE : TPD_PDF_FILTER_OTHER;
  name = tpd_pdf_text (object, tpd_pdf_token (object, filter));
  return strcmp (name, "FlateDecode") == 0 || strcmp (name, "Fl") == 0 ? TPD_PDF_FILTER_FLATE : TPD_PDF_FILTER_OTHER;
}

/* Passes on what the `z` makes of its input. `*done`: the end of the zlib stream. */
static gboolean
inflate_piece (z_stream *z, guint8 *out, TpdPdfPieceFunc func, gpointer user_data, gboolean *done, GError **error)
{
  do
    {
      int status;

      z->next_out = out;
      z->avail_out = PIECE;
      status = inflate (z, Z_NO_FLUSH);
      if (status == Z_STREAM_END)
        *done = TRUE;
      else if (status != Z_OK && status != Z_BUF_ERROR)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "A compressed stream of the PDF file is damaged.");
          return FALSE;
        }
      if (z->avail_out < PIECE && !func (user_data, out, PIECE - z->avail_out, error))
        return FALSE;
  } while (z->avail_out == 0 && !*done);
  return TRUE;
}

gboolean
tpd_pdf_inflate (TpdSource *source, guint64 off, guint64 len, TpdPdfFilter filter, TpdPdfPieceFunc func,
                 gpointer user_data, gboolean *cut, GError **error)
{
  g_autofree guint8 *in = g_malloc (PIECE);
  g_autofree guint8 *out = g_malloc (PIECE);
  z_stream z = { 0 };
  gboolean ok = TRUE, done = filter != TPD_PDF_FILTER_FLATE;

  *cut = FALSE;
  if (filter == TPD_PDF_FILTER_FLATE && inflateInit (&z) != Z_OK)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE, "There is not enough memory to inflate.");
      return FALSE;
    }
  while (ok && len > 0 && (filter != TPD_PDF_FILTER_FLATE || !done))
    {
      gsize step = (gsize) MIN (len, (guint64) PIECE);

      ok = tpd_source_read_exact (source, in, step, off, error);
      if (ok && filter == TPD_PDF_FILTER_FLATE)
        {
          z.next_in = in;
          z.avail_in = (uInt) step;
          ok = inflate_piece (&z, out, func, user_data, &done, error);
        }
      else if (ok)
        ok = func (user_data, in, step, error);
      off += step;
      len -= step;
    }
  if (filter == TPD_PDF_FILTER_FLATE)
    inflateEnd (&z);
  *cut = ok && !done;
  return ok;
}

/* One row of a PNG predictor in place; `above` is the row before, decoded. */
static gboolean
unpredict_row (guint8 type, guint8 *row, const guint8 *above, gsize len, gsize pixel)
{
  for (gsize i = 0; i < len; i++)
    {
      int left = i >= pixel ? row[i - pixel] : 0;
      int up = above != NULL ? above[i] : 0;
      int corner = above != NULL && i >= pixel ? above[i - pixel] : 0;
      int guess;

      switch (type)
        {
        case 0:
          return TRUE;
        case 1:
          guess = left;
          break;
        case 2:
          guess = up;
          break;
        case 3:
          guess = (left + up) / 2;
          break;
          case 4: {
            int to_left = ABS (up - corner), to_up = ABS (left - corner), to_corner = ABS (left + up - 2 * corner);
            guess = to_left <= to_up && to_left <= to_corner ? left : to_up <= to_corner ? up : corner;
            break;
          }
        default:
          return FALSE;
        }
      row[i] = (guint8) (row[i] + guess);
    }
  return TRUE;
}

gboolean
tpd_pdf_unpredict (const TpdPdfObject *object, GByteArray *data, GError **error)
{
  gint64 predictor = parameter (object, "Predictor", 1);
  gint64 columns = parameter (object, "Columns", 1), colors = parameter (object, "Colors", 1),
         bits = parameter (object, "BitsPerComponent", 8);
  gsize row_len, pixel, rows, out = 0;

  if (predictor == 1)
    return TRUE;
  if (predictor < 10 || predictor > 15 || columns < 1 || columns > MAX_COLUMNS || colors < 1 || colors > 32 || bits < 1
      || bits > 16)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "A stream of the PDF file has an unknown predictor.");
      return FALSE;
    }
  row_len = (gsize) ((columns * colors * bits + 7) / 8);
  pixel = (gsize) ((colors * bits + 7) / 8);
  rows = data->len / (row_len + 1);
  for (gsize i = 0; i < rows; i++)
    {
      const guint8 *above = i > 0 ? data->data + out - row_len : NULL;
      guint8 type = data->data[i * (row_len + 1)];

      memmove (data->data + out, data->data + i * (row_len + 1) + 1, row_len);
      if (!unpredict_row (type, data->data + out, above, row_len, pixel))
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "A predicted stream of the PDF file is damaged.");
          return FALSE;
        }
      out += row_len;
    }
  g_byte_array_set_size (data, (guint) out);
  return TRUE;
}
