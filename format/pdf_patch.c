/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patches to the copy of a PDF file. No byte moves, so every offset in the
 * file stays right. A plaintext string is shorter than its ciphertext; only
 * when it needs so many escapes that it is longer all the same, its object
 * moves to where the encryption dictionary was, in an object or in the trailer,
 * or its license: the largest thing that a decrypted file does not need. A small
 * cross-reference section next to it then says so, as an incremental update
 * would (ISO 32000-2, 7.5.6).
 */
#include <string.h>

#include "base/error.h"
#include "format/pdf_private.h"

#define MAX_MOVED (16 * 1024 * 1024)

static const char blanks[] = "                                                                ";

/* --- Edits ------------------------------------------------------------------ */

static void
edit_clear (gpointer data)
{
  g_clear_pointer (&((TpdPdfEdit *) data)->bytes, g_byte_array_unref);
}

GArray *
tpd_pdf_edits_new (void)
{
  GArray *edits = g_array_new (FALSE, FALSE, sizeof (TpdPdfEdit));

  g_array_set_clear_func (edits, edit_clear);
  return edits;
}

guint64
tpd_pdf_room_end (const TpdPdfObject *object, guint index)
{
  guint64 end = tpd_pdf_token (object, index)->end;

  if (index + 1 < object->tokens->len)
    return tpd_pdf_token (object, index + 1)->start;
  return object->terminator.end > 0 ? object->terminator.start : end;
}

void
tpd_pdf_edits_add (GArray *edits, const TpdPdfObject *object, guint first, guint last, GByteArray *bytes)
{
  TpdPdfEdit edit = { .start = tpd_pdf_token (object, first)->start,
                      .end = tpd_pdf_token (object, last)->end,
                      .room = tpd_pdf_room_end (object, last),
                      .bytes = bytes };

  g_array_append_val (edits, edit);
}

static void
moved_free (gpointer data)
{
  TpdPdfMoved *moved = data;

  g_byte_array_unref (moved->bytes);
  g_free (moved);
}

void
tpd_pdf_patch_clear (TpdPdfPatch *patch)
{
  g_clear_pointer (&patch->moved, g_ptr_array_unref);
  g_clear_pointer (&patch->lengths, g_array_unref);
}

/* --- In place ----------------------------------------------------------------- */

gboolean
tpd_pdf_patch_blank (TpdPdfPatch *patch, guint64 start, guint64 end, GError **error)
{
  while (start < end)
    {
      gsize len = (gsize) MIN (end - start, (guint64) sizeof blanks - 1);

      if (!tpd_sink_pwrite (patch->sink, blanks, len, start, error))
        return FALSE;
      start += len;
    }
  return TRUE;
}

static gboolean
write_and_blank (TpdPdfPatch *patch, const guint8 *data, gsize len, guint64 start, guint64 end, GError **error)
{
  return tpd_sink_pwrite (patch->sink, data, len, start, error) && tpd_pdf_patch_blank (patch, start + len, end, error);
}

static gboolean
edit_in_place (TpdPdfPatch *patch, const TpdPdfEdit *edit, GError **error)
{
  guint64 end = edit->bytes->len <= edit->end - edit->start ? edit->end : edit->room;

  return write_and_blank (patch, edit->bytes->data, edit->bytes->len, edit->start, end, error);
}

/* --- To another place ------------------------------------------------------------ */

static gboolean
append_source (TpdPdfPatch *patch, GByteArray *out, guint64 start, guint64 end, gboolean from_copy, GError **error)
{
  guint old = out->len;
  gsize len = (gsize) (end - start);

  g_byte_array_set_size (out, (guint) (old + len));
  return from_copy ? tpd_sink_pread (patch->sink, out->data + old, len, start, error)
                   : tpd_source_read_exact (patch->source, out->data + old, len, start, error);
}

static void
append_text (GByteArray *out, const char *text)
{
  g_byte_array_append (out, (const guint8 *) text, (guint) strlen (text));
}

gboolean
tpd_pdf_patch_too_tight (GError **error)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
               "The decrypted text of the PDF file needs more room than the encrypted one left for it.");
  return FALSE;
}

static gboolean
move_object (TpdPdfPatch *patch, const TpdPdfObject *object, GArray *edits, guint64 data, guint64 data_len, guint64 end,
             GError **error)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  guint last = tpd_pdf_skip (object, 0) - 1;
  guint64 pos = object->start, body_end = tpd_pdf_token (object, last)->end;
  guint64 total = body_end - object->start + data_len;
  TpdPdfMoved *moved;

  for (guint i = 0; i < edits->len; i++)
    total += g_array_index (edits, TpdPdfEdit, i).bytes->len;
  if (total > MAX_MOVED - patch->moved_bytes || total > patch->hole_end - patch->hole)
    return tpd_pdf_patch_too_tight (error);
  for (guint i = 0; i < edits->len; i++)
    {
      const TpdPdfEdit *edit = &g_array_index (edits, TpdPdfEdit, i);

      if (!append_source (patch, out, pos, edit->start, FALSE, error))
        return FALSE;
      g_byte_array_append (out, edit->bytes->data, edit->bytes->len);
      append_text (out, " ");
      pos = edit->end;
    }
  if (!append_source (patch, out, pos, body_end, FALSE, error))
    return FALSE;
  if (data > 0)
    {
      append_text (out, "\nstream\n");
      if (!append_source (patch, out, data, data + data_len, TRUE, error))
        return FALSE;
      append_text (out, "\nendstream");
    }
  append_text (out, "\nendobj\n");
  moved = g_new (TpdPdfMoved, 1);
  moved->num = object->num;
  moved->gen = object->gen;
  moved->bytes = g_steal_pointer (&out);
  if (patch->moved == NULL)
    patch->moved = g_ptr_array_new_with_free_func (moved_free);
  g_ptr_array_add (patch->moved, moved);
  patch->moved_bytes += moved->bytes->len;
  return tpd_pdf_patch_blank (patch, object->start, end, error);
}

static gboolean
fits (const TpdPdfEdit *edit)
{
  return edit->bytes->len <= edit->room - edit->start;
}

gboolean
tpd_pdf_patch_object (TpdPdfPatch *patch, const TpdPdfObject *object, gboolean current, GArray *edits, guint64 data,
                      guint64 data_len, guint64 end, GError **error)
{
  for (guint i = 0; i < edits->len; i++)
    {
      TpdPdfEdit *edit = &g_array_index (edits, TpdPdfEdit, i);

      if (fits (edit))
        continue;
      if (current)
        return move_object (patch, object, edits, data, data_len, end, error);
      g_byte_array_set_size (edit->bytes, 0);
      append_text (edit->bytes, "()");
      patch->lost_strings++;
    }
  for (guint i = 0; i < edits->len; i++)
    if (fits (&g_array_index (edits, TpdPdfEdit, i))
        && !edit_in_place (patch, &g_array_index (edits, TpdPdfEdit, i), error))
      return FALSE;
  return TRUE;
}

/* --- Trailers ---------------------------------------------------------------------- */

/* Blanks the key /Encrypt with its value, wherever it is in the dictionary. */
static gboolean
blank_encrypt (TpdPdfPatch *patch, const TpdPdfObject *trailer, GError **error)
{
  guint end = tpd_pdf_token (trailer, 0)->match;

  if (tpd_pdf_token (trailer, 0)->type != TPD_PDF_DICT)
    return TRUE;
  for (guint i = 1; i + 1 < end; i = tpd_pdf_skip (trailer, i + 1))
    {
      const TpdPdfToken *key = tpd_pdf_token (trailer, i);
      guint last = tpd_pdf_skip (trailer, i + 1) - 1;

      if (key->type == TPD_PDF_NAME && strcmp (tpd_pdf_text (trailer, key), "Encrypt") == 0
          && !tpd_pdf_patch_blank (patch, key->start, tpd_pdf_token (trailer, last)->end, error))
        return FALSE;
    }
  return TRUE;
}

/* --- Lengths of streams ------------------------------------------------------------ */

void
tpd_pdf_patch_add_length (TpdPdfPatch *patch, const TpdPdfObject *object, guint index, guint64 value)
{
  TpdPdfLength length = { (guint64) tpd_pdf_token (object, index)->value, value, tpd_pdf_token (object, index)->start,
                          tpd_pdf_room_end (object, index) };

  if (patch->lengths == NULL)
    patch->lengths = g_array_new (FALSE, FALSE, sizeof length);
  g_array_append_val (patch->lengths, length);
}

static gint
compare_lengths (gconstpointer a, gconstpointer b)
{
  const TpdPdfLength *x = a, *y = b;

  return x->num < y->num ? -1 : x->num > y->num;
}

static gboolean
write_number (TpdPdfPatch *patch, guint64 value, guint64 start, guint64 end, gboolean *fits, GError **error)
{
  g_autofree char *digits = g_strdup_printf ("%" G_GUINT64_FORMAT, value);
  gsize len = strlen (digits);

  *fits = len <= end - start;
  if (!*fits)
    return TRUE;
  return tpd_sink_pwrite (patch->sink, digits, len, start, error)
         && tpd_pdf_patch_blank (patch, start + len, end, error);
}

/* Writes `value` over the integer that is object `num`, if it is one with a place of its own. */
static gboolean
write_length_object (TpdPdfPatch *patch, guint64 num, guint64 value, gboolean *fits, GError **error)
{
  const TpdPdfEntry *entry = tpd_pdf_file_find (patch->file, num);
  TpdPdfReader *reader = patch->file->reader;
  guint64 found, old, start;

  *fits = FALSE;
  if (entry == NULL || entry->type != TPD_PDF_PLAIN || !tpd_pdf_read_header (reader, entry->off, &found, NULL)
      || found != num)
    return TRUE;
  tpd_pdf_reader_skip_space (reader);
  start = reader->pos;
  if (!tpd_pdf_reader_take_number (reader, &old))
    return TRUE;
  return write_number (patch, value, start, reader->pos, fits, error);
}

/* New values of the /Length objects; where streams that shared one differ now, each gets its own. */
static gboolean
write_lengths (TpdPdfPatch *patch, GError **error)
{
  if (patch->lengths == NULL)
    return TRUE;
  g_array_sort (patch->lengths, compare_lengths);
  for (guint i = 0, next; i < patch->lengths->len; i = next)
    {
      const TpdPdfLength *first = &g_array_index (patch->lengths, TpdPdfLength, i);
      gboolean same = TRUE, fits = FALSE;

      for (next = i; next < patch->lengths->len && g_array_index (patch->lengths, TpdPdfLength, next).num == first->num;
           next++)
        same = same && g_array_index (patch->lengths, TpdPdfLength, next).value == first->value;
      if (same && !write_length_object (patch, first->num, first->value, &fits, error))
        return FALSE;
      for (guint j = i; j < next && !fits; j++)
        {
          const TpdPdfLength *length = &g_array_index (patch->lengths, TpdPdfLength, j);
          gboolean direct;

          if (!write_number (patch, length->value, length->start, length->room, &direct, error))
            return FALSE;
          if (!direct)
            {
              g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                           "The length of a stream does not fit the place that the encrypted PDF file left for it.");
              return FALSE;
            }
        }
    }
  return TRUE;
}

/* --- The end ------------------------------------------------------------------------ */

gboolean
tpd_pdf_patch_finish (TpdPdfPatch *patch, GError **error)
{
  if (!write_lengths (patch, error))
    return FALSE;
  for (guint i = 0; i < patch->file->trailers->len; i++)
    {
      g_autoptr (TpdPdfObject) trailer =
          tpd_pdf_file_read_trailer (patch->file, &g_array_index (patch->file->trailers, TpdPdfTrailer, i), NULL);

      if (trailer != NULL && !blank_encrypt (patch, trailer, error))
        return FALSE;
    }
  if (patch->hole == patch->hole_end)
    return patch->moved == NULL || tpd_pdf_patch_too_tight (error);
  return tpd_pdf_patch_fill_hole (patch, error);
}
