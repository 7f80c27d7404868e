/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding the objects of a PDF file whose cross-reference is broken, as all
 * readers do (ISO 32000-2, annex I.2 allows it): by their headers, in the order of
 * the file, the last one of a number being the valid one.
 */
#include <string.h>

#include "base/error.h"
#include "format/pdf_xref_private.h"

static gboolean
add_object (TpdPdfFile *file, guint64 num, guint64 off, GError **error)
{
  if (tpd_pdf_file_add_entry (file, num, TPD_PDF_PLAIN, off, 0, 0))
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "The PDF file holds more objects than a sound one can.");
  return FALSE;
}

/* One word of the file, its first byte being at `start`; at most `max` - 1 bytes are kept. */
static void
read_word (TpdPdfReader *reader, char *word, gsize max)
{
  gsize len = 0;
  int c;

  while (tpd_pdf_is_regular (c = tpd_pdf_reader_peek (reader)))
    {
      reader->pos++;
      if (len < max - 1)
        word[len++] = (char) c;
    }
  word[len] = '\0';
}

static gboolean
all_digits (const char *word)
{
  gsize len = strspn (word, "0123456789");

  return len > 0 && len <= 10 && word[len] == '\0';
}

static gboolean
scan (TpdPdfFile *file, GError **error)
{
  TpdPdfReader *reader = file->reader;
  guint64 nums[2] = { 0, 0 }, offs[2] = { 0, 0 };
  guint count = 0;
  gboolean ends = TRUE;

  reader->pos = 0;
  for (;;)
    {
      char word[24];
      guint64 start;
      int c = tpd_pdf_reader_peek (reader);

      if (c < 0)
        break;
      if (!tpd_pdf_is_regular (c))
        {
          reader->pos++;
          if (!tpd_pdf_is_space (c))
            count = 0;
          continue;
        }
      start = reader->pos;
      read_word (reader, word, sizeof word);
      if (all_digits (word))
        {
          nums[0] = nums[1];
          offs[0] = offs[1];
          nums[1] = g_ascii_strtoull (word, NULL, 10);
          offs[1] = start;
          count++;
          continue;
        }
      if (g_str_has_prefix (word, "obj") && count >= 2)
        {
          if (!add_object (file, nums[0], offs[0], error))
            return FALSE;
          reader->pos = start + 3;
        }
      else if (strcmp (word, "trailer") == 0)
        {
          TpdPdfTrailer trailer = { reader->pos, FALSE };

          if (file->trailers->len < 4096)
            g_array_append_val (file->trailers, trailer);
        }
      else if (strcmp (word, "stream") == 0 && ends)
        {
          /* What looks like an object inside of data is none. */
          guint64 data = reader->pos;

          ends = tpd_pdf_reader_search (reader, "endstream", G_MAXUINT64);
          reader->pos = ends ? reader->pos + strlen ("endstream") : data;
        }
      count = 0;
    }
  return reader->error == NULL;
}

/* Whether this may be the dictionary of an encrypted file's /Encrypt. */
static gboolean
is_encryption (const TpdPdfObject *object)
{
  return tpd_pdf_dict_has_name (object, 0, "Filter", "MicrosoftIRMServices")
         && tpd_pdf_dict_get (object, 0, "PublishingLicense") > 0;
}

/* Looks at every object for trailers in streams and for the encryption dictionary. */
static gboolean
look_at_objects (TpdPdfFile *file, GError **error)
{
  for (guint i = 0; i < file->entries->len; i++)
    {
      const TpdPdfEntry *entry = &g_array_index (file->entries, TpdPdfEntry, i);
      g_autoptr (TpdPdfObject) object = tpd_pdf_object_read_indirect (file->reader, entry->off, NULL);
      TpdPdfTrailer trailer = { entry->off, TRUE };

      if (!tpd_pdf_file_count_work (file, entry->off, error))
        return FALSE;
      if (object == NULL)
        continue;
      if (tpd_pdf_dict_has_name (object, 0, "Type", "XRef") && file->trailers->len < 4096)
        g_array_append_val (file->trailers, trailer);
      else if (is_encryption (object))
        file->encryption = object->num;
    }
  return TRUE;
}

static gint
compare_trailers (gconstpointer a, gconstpointer b)
{
  const TpdPdfTrailer *x = a, *y = b;

  return x->off > y->off ? -1 : x->off < y->off;
}

/* Keeps the trailers that can be read; the newest that leads to a catalog counts. */
static gboolean
look_at_trailers (TpdPdfFile *file, GError **error)
{
  guint kept = 0;

  for (guint i = 0; i < file->trailers->len; i++)
    {
      TpdPdfTrailer place = g_array_index (file->trailers, TpdPdfTrailer, i);
      g_autoptr (TpdPdfObject) trailer = tpd_pdf_file_read_trailer (file, &place, NULL);

      if (!tpd_pdf_file_count_work (file, place.off, error))
        return FALSE;
      if (trailer == NULL)
        continue;
      g_array_index (file->trailers, TpdPdfTrailer, kept++) = place;
      if (file->newest == NULL && tpd_pdf_dict_get (trailer, 0, "Root") > 0)
        file->newest = g_steal_pointer (&trailer);
    }
  g_array_set_size (file->trailers, kept);
  return TRUE;
}

gboolean
tpd_pdf_file_rebuild (TpdPdfFile *file, GError **error)
{
  GError *own = NULL;

  g_array_set_size (file->entries, 0);
  g_array_set_size (file->trailers, 0);
  g_clear_pointer (&file->newest, tpd_pdf_object_free);
  g_hash_table_remove_all (file->lengths);
  file->next = -1;
  file->work = 0;
  file->rebuilt = TRUE;
  if (!scan (file, &own) || !look_at_objects (file, &own))
    {
      if (own != NULL)
        g_propagate_error (error, own);
      else
        tpd_pdf_reader_set_error (file->reader, error, "Cannot read the file.");
      return FALSE;
    }
  tpd_pdf_file_sort (file);
  g_array_sort (file->trailers, compare_trailers);
  return look_at_trailers (file, error);
}
