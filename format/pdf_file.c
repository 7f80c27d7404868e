/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up objects and stream data of a PDF file: see pdf_xref.h. */
#include <string.h>

#include "base/error.h"
#include "format/pdf_xref_private.h"

#define MAX_STREAM_OBJECTS (1024 * 1024)

/* --- Entries ------------------------------------------------------------ */

static const TpdPdfEntry *
find_sorted (TpdPdfFile *file, guint64 num)
{
  guint low = 0, high = file->entries->len;

  while (low < high)
    {
      guint middle = low + (high - low) / 2;

      if (g_array_index (file->entries, TpdPdfEntry, middle).num < num)
        low = middle + 1;
      else
        high = middle;
    }
  if (low < file->entries->len && g_array_index (file->entries, TpdPdfEntry, low).num == num)
    return &g_array_index (file->entries, TpdPdfEntry, low);
  return NULL;
}

/* Among the entries from number `from` on. */
static const TpdPdfEntry *
find_unsorted (TpdPdfFile *file, guint64 num, guint from)
{
  const TpdPdfEntry *found = NULL;

  /* A section is read for each of many lengths that are objects: that counts. */
  if (file->loading)
    file->work += file->entries->len - from;
  for (guint i = from; i < file->entries->len; i++)
    {
      const TpdPdfEntry *entry = &g_array_index (file->entries, TpdPdfEntry, i);

      if (entry->num == num && (found == NULL || entry->section < found->section))
        found = entry;
    }
  return found;
}

const TpdPdfEntry *
tpd_pdf_file_find (TpdPdfFile *file, guint64 num)
{
  /* What one more section adds is all that has not been searched. */
  for (guint tables = 0, entries = 0;;)
    {
      const TpdPdfEntry *entry;

      if (file->tables->len > tables)
        tpd_pdf_file_read_skipped (file, num, tables);
      entry = file->sorted ? find_sorted (file, num) : find_unsorted (file, num, entries);

      if (entry != NULL)
        return entry->type == TPD_PDF_FREE ? NULL : entry;
      tables = file->tables->len;
      entries = file->entries->len;
      if (file->next < 0 || file->loading || !tpd_pdf_file_read_next (file, NULL))
        return NULL;
    }
}

/* --- Streams ------------------------------------------------------------ */

/* The integer that is object `num`, without the cost of reading any other object. */
static gboolean
read_integer_object (TpdPdfFile *file, guint64 num, guint64 *value)
{
  TpdPdfReader *reader = file->reader;
  gpointer known = g_hash_table_lookup (file->lengths, GSIZE_TO_POINTER (num));
  const TpdPdfEntry *entry;
  guint64 found;

  if (known == NULL)
    {
      gsize result = 1;

      entry = tpd_pdf_file_find (file, num);
      if (entry != NULL && entry->type == TPD_PDF_PLAIN && tpd_pdf_read_header (reader, entry->off, &found, NULL)
          && found == num && tpd_pdf_reader_take_number (reader, value) && *value < G_MAXSIZE - 2)
        result = (gsize) *value + 2;
      known = GSIZE_TO_POINTER (result);
      g_hash_table_insert (file->lengths, GSIZE_TO_POINTER (num), known);
    }
  if (GPOINTER_TO_SIZE (known) < 2)
    return FALSE;
  *value = GPOINTER_TO_SIZE (known) - 2;
  return TRUE;
}

gboolean
tpd_pdf_file_integer (TpdPdfFile *file, const TpdPdfObject *object, guint index, guint64 *value)
{
  const TpdPdfToken *token = tpd_pdf_token (object, index);

  if (index == 0 || token->value < 0)
    return FALSE;
  if (token->type == TPD_PDF_REF)
    return read_integer_object (file, (guint64) token->value, value);
  *value = (guint64) token->value;
  return token->type == TPD_PDF_INTEGER;
}

/* Whether "endstream" stands at `off`, white space aside. */
static gboolean
is_endstream (TpdPdfReader *reader, guint64 off)
{
  reader->pos = off;
  for (guint i = 0; i < 256 && tpd_pdf_is_space (tpd_pdf_reader_peek (reader)); i++)
    reader->pos++;
  return tpd_pdf_reader_peek (reader) == 'e' && tpd_pdf_reader_take_word (reader, "endstream");
}

static int
byte_at (TpdPdfReader *reader, guint64 off)
{
  reader->pos = off;
  return tpd_pdf_reader_peek (reader);
}

/*
 * The length of data between `off` and `end`, where "endstream" stands. The
 * end of line before that word is not data; ciphertext comes in blocks of 16,
 * which decides when its last bytes look like an end of line.
 */
static guint64
trim_end (TpdPdfReader *reader, guint64 off, guint64 end)
{
  guint64 len = end - off, usual = len;

  if (len > 0 && byte_at (reader, end - 1) == '\n')
    usual -= len > 1 && byte_at (reader, end - 2) == '\r' ? 2 : 1;
  else if (len > 0 && byte_at (reader, end - 1) == '\r')
    usual--;
  if (usual % 16 != 0)
    for (guint64 other = usual + 1; other <= len; other++)
      if (other % 16 == 0)
        return other;
  return usual;
}

gboolean
tpd_pdf_file_stream_range (TpdPdfFile *file, const TpdPdfObject *object, guint64 limit, guint64 *off, guint64 *len)
{
  TpdPdfReader *reader = object->reader;
  guint length = tpd_pdf_dict_get (object, 0, "Length");

  limit = MIN (limit, reader->source->size);
  if (!tpd_pdf_object_stream (object, off) || *off > limit)
    return FALSE;
  if (tpd_pdf_file_integer (file, object, length, len) && *len <= limit - *off && is_endstream (reader, *off + *len))
    return TRUE;
  reader->pos = *off;
  if (!tpd_pdf_reader_search (reader, "endstream", limit))
    return FALSE;
  *len = trim_end (reader, *off, reader->pos);
  return TRUE;
}

typedef struct {
  TpdPdfFile *file;
  GByteArray *data;
} Collector;

static gboolean
collect (gpointer user_data, const guint8 *data, gsize len, GError **error)
{
  Collector *collector = user_data;

  if (len > collector->file->max_inflate)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                   "The structure of the PDF file is larger than any sound file's.");
      return FALSE;
    }
  if (!tpd_budget_charge (collector->file->budget, len, error))
    return FALSE;
  collector->file->max_inflate -= len;
  g_byte_array_append (collector->data, data, (guint) len);
  return TRUE;
}

GByteArray *
tpd_pdf_file_stream_read (TpdPdfFile *file, const TpdPdfObject *object, GError **error)
{
  g_autoptr (GByteArray) data = g_byte_array_new ();
  Collector collector = { file, data };
  gboolean predictor, cut;
  TpdPdfFilter filter = tpd_pdf_stream_filter (object, &predictor);
  guint64 off, len;

  if (filter == TPD_PDF_FILTER_OTHER)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                   "A stream of the PDF file has a filter that is not handled.");
      return NULL;
    }
  if (!tpd_pdf_file_stream_range (file, object, G_MAXUINT64, &off, &len))
    {
      tpd_pdf_reader_set_error (object->reader, error, "A stream of the PDF file has no end.");
      return NULL;
    }
  if (!tpd_pdf_inflate (object->reader->source, off, len, filter, collect, &collector, &cut, error)
      || !tpd_pdf_unpredict (object, data, error))
    return NULL;
  return g_steal_pointer (&data);
}

/* --- Objects ------------------------------------------------------------ */

gboolean
tpd_pdf_file_count_work (TpdPdfFile *file, guint64 start, GError **error)
{
  TpdPdfReader *reader = file->reader;

  file->work += reader->pos > start ? reader->pos - start : 0;
  if (reader->error == NULL && file->work / 16 <= reader->source->size + 4096)
    return TRUE;
  tpd_pdf_reader_set_error (reader, error, "The objects of the PDF file overlap: it is damaged.");
  return FALSE;
}

/* Object `num` out of the object stream `entry` points to (7.5.7). */
static TpdPdfObject *
get_from_stream (TpdPdfFile *file, const TpdPdfEntry *entry, guint64 num, GError **error)
{
  const TpdPdfEntry *holder = tpd_pdf_file_find (file, entry->off);
  g_autoptr (TpdPdfObject) stream = NULL;
  g_autoptr (GByteArray) data = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdPdfReader) reader = NULL;
  TpdPdfObject *object;
  guint64 n, first, off = 0;

  /* An object stream inside an object stream is not allowed, and a loop. */
  if (holder != NULL && holder->type == TPD_PDF_PLAIN)
    stream = tpd_pdf_object_read_indirect (file->reader, holder->off, error);
  else
    g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                 "The object stream of PDF object %" G_GUINT64_FORMAT " is missing.", num);
  if (stream == NULL)
    return NULL;
  if (!tpd_pdf_file_integer (file, stream, tpd_pdf_dict_get (stream, 0, "N"), &n)
      || !tpd_pdf_file_integer (file, stream, tpd_pdf_dict_get (stream, 0, "First"), &first) || n > MAX_STREAM_OBJECTS)
    {
      tpd_pdf_reader_set_error (file->reader, error, "An object stream of the PDF file is damaged.");
      return NULL;
    }
  data = tpd_pdf_file_stream_read (file, stream, error);
  if (data == NULL)
    return NULL;
  bytes = g_byte_array_free_to_bytes (g_steal_pointer (&data));
  source = tpd_source_new_bytes (bytes);
  reader = tpd_pdf_reader_new (source);
  for (guint64 i = 0; i < n && off == 0; i++)
    {
      guint64 this_num, this_off;

      if (!tpd_pdf_reader_take_number (reader, &this_num) || !tpd_pdf_reader_take_number (reader, &this_off))
        break;
      if (this_num == num && this_off <= source->size)
        off = first + this_off;
    }
  if (off == 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "PDF object %" G_GUINT64_FORMAT " is not where it should be.",
                   num);
      return NULL;
    }
  object = tpd_pdf_object_read (reader, off, error);
  if (object != NULL)
    {
      object->own = g_steal_pointer (&reader);
      object->num = num;
    }
  return object;
}

TpdPdfObject *
tpd_pdf_file_get (TpdPdfFile *file, guint64 num, GError **error)
{
  const TpdPdfEntry *entry = tpd_pdf_file_find (file, num);
  TpdPdfObject *object;

  if (entry == NULL)
    {
      tpd_pdf_reader_set_error (file->reader, error, "PDF object %" G_GUINT64_FORMAT " is missing.", num);
      return NULL;
    }
  if (entry->type == TPD_PDF_IN_STREAM)
    {
      TpdPdfEntry copy = *entry;
      return get_from_stream (file, &copy, num, error);
    }
  object = tpd_pdf_object_read_indirect (file->reader, entry->off, error);
  if (object == NULL || object->num == num)
    return object;
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "PDF object %" G_GUINT64_FORMAT " is not where it should be.", num);
  tpd_pdf_object_free (object);
  return NULL;
}

const TpdPdfObject *
tpd_pdf_file_follow (TpdPdfFile *file, const TpdPdfObject *object, guint *index, TpdPdfObject **held)
{
  const TpdPdfToken *token = tpd_pdf_token (object, *index);

  *held = NULL;
  if (token->type != TPD_PDF_REF)
    return object;
  *index = 0;
  if (token->value < 0)
    return NULL;
  *held = tpd_pdf_file_get (file, (guint64) token->value, NULL);
  /* A reference to a reference is not allowed, and a loop. */
  if (*held != NULL && tpd_pdf_token (*held, 0)->type == TPD_PDF_REF)
    g_clear_pointer (held, tpd_pdf_object_free);
  return *held;
}

/* --- Opening with all that helps ---------------------------------------- */

/* Whether each object in use starts where its entry says. */
static gboolean
entries_hold (TpdPdfFile *file)
{
  for (guint i = 0; i < file->entries->len; i++)
    {
      const TpdPdfEntry *entry = &g_array_index (file->entries, TpdPdfEntry, i);
      gboolean newest = i == 0 || entry[-1].num != entry->num;
      guint64 num;

      if (newest && entry->type == TPD_PDF_PLAIN
          && (!tpd_pdf_read_header (file->reader, entry->off, &num, NULL) || num != entry->num))
        return FALSE;
    }
  return TRUE;
}

TpdPdfFile *
tpd_pdf_file_open_whole (TpdSource *source, gsize max_inflate, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdPdfFile) file = tpd_pdf_file_new (source, max_inflate, budget);
  g_autoptr (GError) own = NULL;
  gboolean ok = tpd_pdf_file_find_tail (file, &own);

  while (ok && file->next >= 0)
    ok = tpd_pdf_file_read_next (file, &own);
  if (ok)
    {
      tpd_pdf_file_sort (file);
      ok = entries_hold (file);
    }
  if (!ok)
    {
      if (file->reader->error != NULL || g_error_matches (own, TPD_ERROR, TPD_ERROR_CANCELLED))
        {
          g_propagate_error (error, own != NULL ? g_steal_pointer (&own) : g_error_copy (file->reader->error));
          return NULL;
        }
      if (!tpd_pdf_file_rebuild (file, error))
        return NULL;
    }
  return g_steal_pointer (&file);
}
