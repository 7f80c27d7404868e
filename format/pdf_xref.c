/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cross-reference sections of a PDF file (ISO 32000-2, 7.5.4, 7.5.8) and their
 * chain. Entries of all sections go into one list; the section number says
 * which is newer. A section that cannot be read ends the chain with an error,
 * upon which a file may be scanned for its objects instead (pdf_rebuild.c).
 */
#include <string.h>

#include "base/error.h"
#include "format/pdf_xref_private.h"

#define TAIL 4096
#define MAX_SECTIONS 1024
/* Objects that a file can have (ISO 32000-1, annex C). */
#define MAX_ENTRIES (8 * 1024 * 1024)
#define MAX_WIDTH 8
/* Of a table; and how many of them are worth skipping. */
#define ENTRY_SIZE 20
#define MIN_SKIPPED 1024

/* Order of the entries of one section with its hybrid stream, whose entries
 * count where the table says "free" (7.5.8.4). */
enum { RANK_TABLE, RANK_STREAM, RANK_FREE, RANKS };

/* --- Entries ------------------------------------------------------------ */

gboolean
tpd_pdf_file_add_entry (TpdPdfFile *file, guint64 num, TpdPdfEntryType type, guint64 off, guint64 index, guint section)
{
  TpdPdfEntry entry = { .off = off,
                        .num = (guint32) num,
                        .index = (guint32) MIN (index, (guint64) G_MAXUINT32),
                        .section = (guint16) section,
                        .type = (guint8) type };

  /* An entry of the list takes about as much memory as one in the file. */
  if (file->entries->len >= MIN ((guint64) MAX_ENTRIES, file->reader->source->size + 1024))
    return FALSE;
  /* Numbers beyond the limit of the format cannot be meant. */
  if (num > MAX_ENTRIES)
    return TRUE;
  g_array_append_val (file->entries, entry);
  file->sorted = FALSE;
  return TRUE;
}

static gboolean
too_many (GError **error)
{
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
               "The cross-reference of the PDF file names more objects than the file can hold.");
  return FALSE;
}

static gint
compare_entries (gconstpointer a, gconstpointer b)
{
  const TpdPdfEntry *x = a, *y = b;

  if (x->num != y->num)
    return x->num < y->num ? -1 : 1;
  if (x->section != y->section)
    return x->section < y->section ? -1 : 1;
  return x->off > y->off ? -1 : x->off < y->off;
}

void
tpd_pdf_file_sort (TpdPdfFile *file)
{
  g_array_sort (file->entries, compare_entries);
  file->sorted = TRUE;
}

/* --- Sections ----------------------------------------------------------- */

static gboolean
read_table_entry (TpdPdfFile *file, guint64 *first, guint64 i, guint section, GError **error)
{
  TpdPdfReader *reader = file->reader;
  guint64 off, generation;
  int c;

  if (!tpd_pdf_reader_take_number (reader, &off) || !tpd_pdf_reader_take_number (reader, &generation))
    return FALSE;
  tpd_pdf_reader_skip_space (reader);
  c = tpd_pdf_reader_get (reader);
  if (c != 'n' && c != 'f')
    return FALSE;
  /* A table that starts with object 1 but lists the head of the free list means 0. */
  if (i == 0 && *first == 1 && c == 'f' && off == 0 && generation == 65535)
    *first = 0;
  /* Offset 0 is never an object; some writers mean "free". */
  if (c == 'n' && off > 0)
    {
      if (!tpd_pdf_file_add_entry (file, *first + i, TPD_PDF_PLAIN, off, 0, section + RANK_TABLE))
        return too_many (error);
    }
  else if (!tpd_pdf_file_add_entry (file, *first + i, TPD_PDF_FREE, 0, 0, section + RANK_FREE))
    return too_many (error);
  return TRUE;
}

/* Whether a table entry of exactly 20 bytes, as all should be, stands at `off`. */
static gboolean
is_regular_entry (TpdPdfReader *reader, guint64 off)
{
  static const char pattern[] = "dddddddddd ddddd t";

  reader->pos = off;
  for (const char *p = pattern; *p != '\0'; p++)
    {
      int c = tpd_pdf_reader_get (reader);

      if (*p == 'd' ? !g_ascii_isdigit (c) : *p == 't' ? c != 'n' && c != 'f' : c != ' ')
        return FALSE;
    }
  return tpd_pdf_is_space (tpd_pdf_reader_get (reader)) && tpd_pdf_is_space (tpd_pdf_reader_get (reader));
}

/*
 * Remembers where a long table is instead of reading it: a probe looks up a few
 * objects only. FALSE leaves the reader where it was.
 */
static gboolean
skip_table (TpdPdfFile *file, guint64 first, guint64 count, guint section, GError **error)
{
  TpdPdfReader *reader = file->reader;
  TpdPdfTable table = { .count = count, .section = section };
  guint64 start = reader->pos, size = reader->source->size;

  tpd_pdf_reader_skip_space (reader);
  table.off = reader->pos;
  if (count <= (size - table.off) / ENTRY_SIZE && file->tables->len < MAX_SECTIONS
      && is_regular_entry (reader, table.off) && is_regular_entry (reader, table.off + (count - 1) * ENTRY_SIZE))
    {
      reader->pos = table.off;
      if (read_table_entry (file, &first, 0, section, error))
        {
          table.first = first;
          g_array_append_val (file->tables, table);
          reader->pos = table.off + count * ENTRY_SIZE;
          return TRUE;
        }
    }
  reader->pos = start;
  return FALSE;
}

void
tpd_pdf_file_read_skipped (TpdPdfFile *file, guint64 num, guint from)
{
  for (guint i = from; i < file->tables->len; i++)
    {
      TpdPdfTable table = g_array_index (file->tables, TpdPdfTable, i);

      if (num < table.first || num - table.first >= table.count)
        continue;
      file->reader->pos = table.off + (num - table.first) * ENTRY_SIZE;
      read_table_entry (file, &table.first, num - table.first, table.section, NULL);
    }
}

static gboolean
read_table (TpdPdfFile *file, guint section, GError **error)
{
  TpdPdfReader *reader = file->reader;

  if (!tpd_pdf_reader_take_word (reader, "xref"))
    return FALSE;
  for (;;)
    {
      guint64 first, count;

      tpd_pdf_reader_skip_space (reader);
      if (!g_ascii_isdigit (tpd_pdf_reader_peek (reader)))
        break;
      if (!tpd_pdf_reader_take_number (reader, &first) || !tpd_pdf_reader_take_number (reader, &count))
        return FALSE;
      if (count >= MIN_SKIPPED && file->lazy && skip_table (file, first, count, section, error))
        continue;
      for (guint64 i = 0; i < count; i++)
        if (!read_table_entry (file, &first, i, section, error))
          return FALSE;
    }
  return tpd_pdf_reader_take_word (reader, "trailer");
}

/* `width` bytes of a row, most significant first; `otherwise` when there are none. */
static guint64
take_field (TpdBytes *row, guint width, guint64 otherwise)
{
  guint64 value = 0;
  guint8 byte;

  if (width == 0)
    return otherwise;
  for (guint i = 0; i < width && tpd_bytes_take_u8 (row, &byte); i++)
    value = value << 8 | byte;
  return value;
}

static gboolean
add_rows (TpdPdfFile *file, TpdBytes *rows, const guint widths[3], guint64 first, guint64 count, guint section,
          GError **error)
{
  for (guint64 i = 0; i < count && tpd_bytes_left (rows) >= widths[0] + widths[1] + widths[2]; i++)
    {
      guint64 type = take_field (rows, widths[0], TPD_PDF_PLAIN);
      guint64 off = take_field (rows, widths[1], 0), index = take_field (rows, widths[2], 0);

      if (type > TPD_PDF_IN_STREAM || (type == TPD_PDF_PLAIN && off == 0))
        type = TPD_PDF_FREE;
      if (!tpd_pdf_file_add_entry (file, first + i, (TpdPdfEntryType) type, off, index, section + RANK_STREAM))
        return too_many (error);
    }
  return TRUE;
}

static gboolean
read_widths (const TpdPdfObject *object, guint widths[3])
{
  guint array = tpd_pdf_dict_get (object, 0, "W");

  if (array == 0 || tpd_pdf_token (object, array)->type != TPD_PDF_ARRAY
      || tpd_pdf_token (object, array)->match < array + 4)
    return FALSE;
  for (guint i = 0; i < 3; i++)
    {
      const TpdPdfToken *token = tpd_pdf_token (object, array + 1 + i);

      if (token->type != TPD_PDF_INTEGER || token->value < 0 || token->value > MAX_WIDTH)
        return FALSE;
      widths[i] = (guint) token->value;
    }
  return widths[0] + widths[1] + widths[2] > 0;
}

static gboolean
read_stream_rows (TpdPdfFile *file, const TpdPdfObject *object, guint section, GError **error)
{
  guint index = tpd_pdf_dict_get (object, 0, "Index"), size = tpd_pdf_dict_get (object, 0, "Size");
  g_autoptr (GByteArray) data = NULL;
  guint widths[3];
  TpdBytes rows;

  if (!tpd_pdf_dict_has_name (object, 0, "Type", "XRef") || !read_widths (object, widths))
    return FALSE;
  data = tpd_pdf_file_stream_read (file, object, error);
  if (data == NULL)
    return FALSE;
  rows = tpd_bytes (data->data, data->len);
  if (index == 0 || tpd_pdf_token (object, index)->type != TPD_PDF_ARRAY)
    return size > 0 && tpd_pdf_token (object, size)->value >= 0
           && add_rows (file, &rows, widths, 0, (guint64) tpd_pdf_token (object, size)->value, section, error);
  for (guint i = index + 1; i + 1 < tpd_pdf_token (object, index)->match; i += 2)
    {
      const TpdPdfToken *first = tpd_pdf_token (object, i), *count = tpd_pdf_token (object, i + 1);

      if (first->type != TPD_PDF_INTEGER || count->type != TPD_PDF_INTEGER || first->value < 0 || count->value < 0)
        return FALSE;
      if (!add_rows (file, &rows, widths, (guint64) first->value, (guint64) count->value, section, error))
        return FALSE;
    }
  return TRUE;
}

static gint64
trailer_integer (const TpdPdfObject *trailer, const char *key)
{
  guint i = tpd_pdf_dict_get (trailer, 0, key);

  return i > 0 && tpd_pdf_token (trailer, i)->type == TPD_PDF_INTEGER ? tpd_pdf_token (trailer, i)->value : -1;
}

/* A section that was read before is a loop: the chain ends. */
static gboolean
first_visit (TpdPdfFile *file, gint64 off)
{
  gint64 *key;

  if (g_hash_table_contains (file->visited, &off))
    return FALSE;
  key = g_new (gint64, 1);
  *key = off;
  return g_hash_table_add (file->visited, key);
}

static TpdPdfObject *
read_stream_section (TpdPdfFile *file, gint64 off, guint section, GError **error)
{
  TpdPdfTrailer place = { (guint64) off, TRUE };
  g_autoptr (TpdPdfObject) object = tpd_pdf_object_read_indirect (file->reader, (guint64) off, error);

  if (object == NULL || !read_stream_rows (file, object, section, error))
    return NULL;
  g_array_append_val (file->trailers, place);
  return g_steal_pointer (&object);
}

static TpdPdfObject *
read_table_section (TpdPdfFile *file, guint section, GError **error)
{
  TpdPdfTrailer place = { 0, FALSE };
  g_autoptr (TpdPdfObject) trailer = NULL;
  gint64 hybrid;

  if (!read_table (file, section, error))
    return NULL;
  place.off = file->reader->pos;
  trailer = tpd_pdf_object_read (file->reader, place.off, error);
  if (trailer == NULL || tpd_pdf_token (trailer, 0)->type != TPD_PDF_DICT)
    return NULL;
  g_array_append_val (file->trailers, place);
  hybrid = trailer_integer (trailer, "XRefStm");
  if (hybrid > 0 && first_visit (file, hybrid))
    {
      g_autoptr (TpdPdfObject) stream = read_stream_section (file, hybrid, section, error);

      if (stream == NULL)
        return NULL;
    }
  return g_steal_pointer (&trailer);
}

gboolean
tpd_pdf_file_read_next (TpdPdfFile *file, GError **error)
{
  TpdPdfReader *reader = file->reader;
  gint64 off = file->next;
  guint64 size = reader->source->size;
  guint section = g_hash_table_size (file->visited) * RANKS;
  g_autoptr (TpdPdfObject) trailer = NULL;
  g_autoptr (GError) own = NULL;

  file->next = -1;
  if (!first_visit (file, off))
    return TRUE;
  if ((guint64) off < size && g_hash_table_size (file->visited) <= MAX_SECTIONS)
    {
      reader->pos = (guint64) off;
      tpd_pdf_reader_skip_space (reader);
      file->loading = TRUE;
      if (tpd_pdf_reader_peek (reader) == 'x')
        trailer = read_table_section (file, section, &own);
      else
        trailer = read_stream_section (file, off, section, &own);
      file->loading = FALSE;
    }
  /* Sections that overlap could make a small file cost without limit. */
  file->work += reader->pos > (guint64) off ? reader->pos - (guint64) off : 0;
  if (file->work / 8 > size + 4096)
    g_clear_pointer (&trailer, tpd_pdf_object_free);
  if (trailer == NULL)
    {
      if (own != NULL && reader->error == NULL)
        g_propagate_error (error, g_steal_pointer (&own));
      else
        tpd_pdf_reader_set_error (
            reader, error, "There is no sound cross-reference section at byte %" G_GINT64_FORMAT " of the PDF file.",
            off);
      return FALSE;
    }
  file->next = trailer_integer (trailer, "Prev");
  if (file->newest == NULL)
    file->newest = g_steal_pointer (&trailer);
  return TRUE;
}

/* --- The end of the file ------------------------------------------------ */

TpdPdfFile *
tpd_pdf_file_new (TpdSource *source, gsize max_inflate, TpdBudget *budget)
{
  TpdPdfFile *file = g_new0 (TpdPdfFile, 1);

  file->reader = tpd_pdf_reader_new (source);
  file->budget = budget;
  file->max_inflate = max_inflate;
  file->entries = g_array_new (FALSE, FALSE, sizeof (TpdPdfEntry));
  file->trailers = g_array_new (FALSE, FALSE, sizeof (TpdPdfTrailer));
  file->tables = g_array_new (FALSE, FALSE, sizeof (TpdPdfTable));
  file->visited = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  file->lengths = g_hash_table_new (NULL, NULL);
  file->next = -1;
  return file;
}

void
tpd_pdf_file_free (TpdPdfFile *file)
{
  if (file == NULL)
    return;
  tpd_pdf_object_free (file->newest);
  g_array_unref (file->entries);
  g_array_unref (file->trailers);
  g_array_unref (file->tables);
  g_hash_table_unref (file->visited);
  g_hash_table_unref (file->lengths);
  tpd_pdf_reader_free (file->reader);
  g_free (file);
}

gboolean
tpd_pdf_file_find_tail (TpdPdfFile *file, GError **error)
{
  TpdPdfReader *reader = file->reader;
  guint64 size = reader->source->size;
  guint64 found = 0, value;

  reader->pos = size > TAIL ? size - TAIL : 0;
  while (tpd_pdf_reader_search (reader, "startxref", size))
    found = ++reader->pos;
  if (found > 0)
    {
      reader->pos = found + strlen ("startxref") - 1;
      tpd_pdf_reader_skip_space (reader);
      file->startxref_off = reader->pos;
      if (tpd_pdf_reader_take_number (reader, &value))
        {
          file->startxref = value;
          file->startxref_end = reader->pos;
          file->next = (gint64) value;
          return TRUE;
        }
      file->startxref_end = file->startxref_off;
    }
  tpd_pdf_reader_set_error (reader, error, "The end of the PDF file is missing: it was cut off.");
  return FALSE;
}

TpdPdfFile *
tpd_pdf_file_open (TpdSource *source, gsize max_inflate, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdPdfFile) file = tpd_pdf_file_new (source, max_inflate, budget);

  file->lazy = TRUE;
  if (!tpd_pdf_file_find_tail (file, error) || !tpd_pdf_file_read_next (file, error))
    return NULL;
  return g_steal_pointer (&file);
}

gboolean
tpd_pdf_file_stream_has (TpdSource *source, const char *key)
{
  g_autoptr (TpdPdfFile) file = tpd_pdf_file_new (source, 0, NULL);
  g_autoptr (TpdPdfObject) object = NULL;

  if (!tpd_pdf_file_find_tail (file, NULL))
    return FALSE;
  object = tpd_pdf_object_read_indirect (file->reader, file->startxref, NULL);
  return object != NULL && tpd_pdf_dict_get (object, 0, key) > 0;
}

TpdPdfObject *
tpd_pdf_file_read_trailer (TpdPdfFile *file, const TpdPdfTrailer *trailer, GError **error)
{
  return trailer->stream ? tpd_pdf_object_read_indirect (file->reader, trailer->off, error)
                         : tpd_pdf_object_read (file->reader, trailer->off, error);
}
