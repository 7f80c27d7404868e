/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hole in the copy of a PDF file: where the encryption dictionary or its
 * license was, and what goes there. See pdf_patch.c.
 */
#include <string.h>

#include "base/error.h"
#include "format/pdf_private.h"

static void
append_text (GByteArray *out, const char *text)
{
  g_byte_array_append (out, (const guint8 *) text, (guint) strlen (text));
}

static gboolean
append_copy (TpdPdfPatch *patch, GByteArray *out, guint64 start, guint64 end, GError **error)
{
  guint old = out->len;

  g_byte_array_set_size (out, (guint) (old + (end - start)));
  return tpd_sink_pread (patch->sink, out->data + old, (gsize) (end - start), start, error);
}

static gboolean
write_and_blank (TpdPdfPatch *patch, const void *data, gsize len, guint64 start, guint64 end, GError **error)
{
  return tpd_sink_pwrite (patch->sink, data, len, start, error) && tpd_pdf_patch_blank (patch, start + len, end, error);
}

/* --- Finding it ------------------------------------------------------------------ */

static guint64
body_end (const TpdPdfObject *object)
{
  return object->terminator.end > 0 ? object->terminator.start
                                    : tpd_pdf_token (object, tpd_pdf_skip (object, 0) - 1)->end;
}

void
tpd_pdf_patch_find_hole (TpdPdfPatch *patch, const TpdPdfEncryption *encryption)
{
  const TpdPdfObject *object = encryption->object, *trailer = patch->file->newest;
  g_autoptr (TpdPdfObject) license = NULL;
  guint index;

  if (encryption->license_num > 0)
    license = tpd_pdf_file_get (patch->file, encryption->license_num, NULL);
  if (license != NULL && license->own == NULL && tpd_pdf_token (license, 0)->type != TPD_PDF_REF)
    {
      patch->hole = license->body;
      patch->hole_end = body_end (license);
    }
  else if (encryption->num > 0 && object->own == NULL)
    {
      patch->hole = object->body;
      patch->hole_end = body_end (object);
    }
  else if (encryption->num == 0 && (index = tpd_pdf_dict_get (trailer, 0, "Encrypt")) > 0)
    {
      patch->in_trailer = TRUE;
      patch->hole = tpd_pdf_token (trailer, index)->start;
      patch->hole_end = tpd_pdf_token (trailer, tpd_pdf_skip (trailer, index) - 1)->end;
    }
}

gboolean
tpd_pdf_patch_remove (TpdPdfPatch *patch, const TpdPdfEncryption *encryption, GError **error)
{
  const TpdPdfObject *object = encryption->object;

  if (encryption->num == 0 || object->own != NULL || patch->hole == object->body)
    return TRUE;
  return body_end (object) - object->body < 4
         || write_and_blank (patch, "null", 4, object->body, body_end (object), error);
}

/* --- What goes there --------------------------------------------------------------- */

static gint
compare_moved (gconstpointer a, gconstpointer b)
{
  const TpdPdfMoved *x = *(const TpdPdfMoved *const *) a, *y = *(const TpdPdfMoved *const *) b;

  return x->num < y->num ? -1 : x->num > y->num;
}

/* The keys of the newest trailer but for those, as they are in the copy. */
static gboolean
append_trailer_keys (TpdPdfPatch *patch, GByteArray *out, const char *const *left_out, GError **error)
{
  const TpdPdfObject *trailer = patch->file->newest;
  guint end = tpd_pdf_token (trailer, 0)->match;

  for (guint i = 1; i + 1 < end; i = tpd_pdf_skip (trailer, i + 1))
    {
      const TpdPdfToken *key = tpd_pdf_token (trailer, i);
      guint last = tpd_pdf_skip (trailer, i + 1) - 1;

      if (key->type != TPD_PDF_NAME || g_strv_contains (left_out, tpd_pdf_text (trailer, key)))
        continue;
      append_text (out, "\n");
      if (!append_copy (patch, out, key->start, tpd_pdf_token (trailer, last)->end, error))
        return FALSE;
    }
  return TRUE;
}

static void
append_be (GByteArray *out, guint64 value, guint width)
{
  for (guint i = width; i > 0; i--)
    {
      guint8 byte = (guint8) (value >> (8 * (i - 1)));
      g_byte_array_append (out, &byte, 1);
    }
}

/* An entry of the new section. */
typedef struct {
  guint64 num, gen, off;
} Moved;

/* A cross-reference section with those entries; it will stand at `place`, and the one before it is at `previous`. */
static gboolean
append_section (TpdPdfPatch *patch, GByteArray *out, GArray *entries, guint64 place, guint64 previous, GError **error)
{
  static const char *const left_out[] = { "Encrypt", "Prev",   "Size",   "XRefStm",     "Type",       "W",
                                          "Index",   "Length", "Filter", "DecodeParms", "Linearized", NULL };
  g_autoptr (GString) text = g_string_new (NULL);
  guint size_index = tpd_pdf_dict_get (patch->file->newest, 0, "Size");
  gint64 size = size_index > 0 ? MAX (tpd_pdf_token (patch->file->newest, size_index)->value, 1) : 1;
  gboolean stream = g_array_index (patch->file->trailers, TpdPdfTrailer, 0).stream;

  if (stream)
    {
      /* The new stream gets the first number that no object has. */
      Moved own = { (guint64) size, 0, place };

      g_array_append_val (entries, own);
      g_string_append_printf (text, "%" G_GINT64_FORMAT " 0 obj\n<</Type /XRef /W [1 8 4] /Index [", size);
      for (guint i = 0; i < entries->len; i++)
        g_string_append_printf (text, "%" G_GUINT64_FORMAT " 1 ", g_array_index (entries, Moved, i).num);
      g_string_append_printf (text, "] /Length %u", entries->len * 13);
      size++;
    }
  else
    {
      g_string_append (text, "xref\n");
      for (guint i = 0; i < entries->len; i++)
        {
          const Moved *moved = &g_array_index (entries, Moved, i);
          g_string_append_printf (text,
                                  "%" G_GUINT64_FORMAT " 1\n%010" G_GUINT64_FORMAT " %05" G_GUINT64_FORMAT " n \n",
                                  moved->num, moved->off, moved->gen);
        }
      g_string_append (text, "trailer\n<<");
    }
  g_string_append_printf (text, " /Size %" G_GINT64_FORMAT " /Prev %" G_GUINT64_FORMAT, size, previous);
  append_text (out, text->str);
  if (!append_trailer_keys (patch, out, left_out, error))
    return FALSE;
  append_text (out, stream ? ">>\nstream\n" : ">>\n");
  if (stream)
    {
      for (guint i = 0; i < entries->len; i++)
        {
          const Moved *moved = &g_array_index (entries, Moved, i);

          append_be (out, TPD_PDF_PLAIN, 1);
          append_be (out, moved->off, 8);
          append_be (out, moved->gen, 4);
        }
      append_text (out, "\nendstream\nendobj\n");
    }
  return TRUE;
}

/* Makes the end of the file point to the new section. */
static gboolean
set_startxref (TpdPdfPatch *patch, guint64 place, GError **error)
{
  TpdPdfFile *file = patch->file;
  g_autofree char *digits = g_strdup_printf ("%" G_GUINT64_FORMAT, place);
  gsize len = strlen (digits);

  if (len > file->startxref_end - file->startxref_off)
    return tpd_pdf_patch_too_tight (error);
  return write_and_blank (patch, (const guint8 *) digits, len, file->startxref_off, file->startxref_end, error);
}

/* A linearised file that was updated is none any more: its /L must not be its size. */
static gboolean
end_linearization (TpdPdfPatch *patch, GError **error)
{
  TpdPdfReader *reader = patch->file->reader;
  g_autoptr (TpdPdfObject) object = NULL;
  guint length;

  reader->pos = 0;
  tpd_pdf_reader_skip_space (reader);
  object = tpd_pdf_object_read_indirect (reader, reader->pos, NULL);
  if (object == NULL || tpd_pdf_dict_get (object, 0, "Linearized") == 0
      || (length = tpd_pdf_dict_get (object, 0, "L")) == 0)
    return TRUE;
  return write_and_blank (patch, (const guint8 *) "0", 1, tpd_pdf_token (object, length)->start,
                          tpd_pdf_token (object, length)->end, error);
}

/* Where things go in the hole. */
typedef struct {
  guint64 start, end;
  GByteArray *trailer; /* the newest one without /Encrypt, or NULL */
  guint64 trailer_at;
  gboolean stream;  /* it is that of a cross-reference stream, which begins there */
  guint64 previous; /* the newest section, then */
} Hole;

static void
hole_clear (Hole *hole)
{
  g_clear_pointer (&hole->trailer, g_byte_array_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Hole, hole_clear)

/*
 * Makes room where /Encrypt is in the newest trailer. A plain dictionary ends
 * earlier, the hole lies behind it; the object of a stream starts later, since
 * its data has to follow, and the hole lies in front.
 */
static gboolean
find_room (TpdPdfPatch *patch, Hole *hole, GError **error)
{
  static const char *const left_out[] = { "Encrypt", NULL };
  const TpdPdfObject *trailer = patch->file->newest;
  guint64 data, start, end = tpd_pdf_token (trailer, tpd_pdf_token (trailer, 0)->match)->end;

  *hole = (Hole){ patch->hole, patch->hole_end, NULL, 0, FALSE, patch->file->startxref };
  if (!patch->in_trailer)
    return TRUE;
  hole->trailer = g_byte_array_new ();
  hole->stream = tpd_pdf_object_stream (trailer, &data);
  start = hole->stream ? trailer->start : tpd_pdf_token (trailer, 0)->start;
  if (hole->stream)
    {
      g_autofree char *header =
          g_strdup_printf ("%" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT " obj\n", trailer->num, trailer->gen);
      append_text (hole->trailer, header);
    }
  append_text (hole->trailer, "<<");
  if (!append_trailer_keys (patch, hole->trailer, left_out, error))
    return FALSE;
  append_text (hole->trailer, ">>");
  if (hole->trailer->len > end - start)
    return tpd_pdf_patch_too_tight (error);
  hole->trailer_at = hole->stream ? end - hole->trailer->len : start;
  hole->start = hole->stream ? start : start + hole->trailer->len;
  hole->end = hole->stream ? hole->trailer_at : end;
  if (hole->stream)
    hole->previous = hole->trailer_at;
  return TRUE;
}

/* The moved objects and a section for them. */
static gboolean
append_moved (TpdPdfPatch *patch, const Hole *hole, GByteArray *out, GError **error)
{
  g_autoptr (GArray) entries = g_array_new (FALSE, FALSE, sizeof (Moved));
  guint64 place;

  g_ptr_array_sort (patch->moved, compare_moved);
  for (guint i = 0; i < patch->moved->len; i++)
    {
      const TpdPdfMoved *object = patch->moved->pdata[i];
      Moved moved = { object->num, object->gen, hole->start + out->len };

      g_array_append_val (entries, moved);
      g_byte_array_append (out, object->bytes->data, object->bytes->len);
    }
  if (hole->stream)
    {
      Moved moved = { patch->file->newest->num, patch->file->newest->gen, hole->trailer_at };
      g_array_append_val (entries, moved);
    }
  place = hole->start + out->len;
  /* Where readers look for objects themselves, they need no section. */
  return patch->file->rebuilt
         || (append_section (patch, out, entries, place, hole->previous, error) && set_startxref (patch, place, error)
             && end_linearization (patch, error));
}

gboolean
tpd_pdf_patch_fill_hole (TpdPdfPatch *patch, GError **error)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  g_auto (Hole) hole = { 0 };

  if (patch->in_trailer && patch->moved == NULL)
    return TRUE;
  if (!find_room (patch, &hole, error))
    return FALSE;
  append_text (out, patch->in_trailer ? "\n" : "null");
  if (patch->moved != NULL)
    {
      if (!patch->in_trailer)
        append_text (out, "\nendobj\n");
      if (!append_moved (patch, &hole, out, error))
        return FALSE;
      /* The word that ended the old object ends nothing now. */
      if (!patch->in_trailer)
        append_text (out, "%");
    }
  if (out->len > hole.end - hole.start)
    return tpd_pdf_patch_too_tight (error);
  return write_and_blank (patch, out->data, out->len, hole.start, hole.end, error)
         && (hole.trailer == NULL
             || tpd_sink_pwrite (patch->sink, hole.trailer->data, hole.trailer->len, hole.trailer_at, error));
}
