/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decrypting a PDF file into a copy of itself: every string and stream of every
 * object in every revision, each in its place (docs/formats.md, "PDF").
 *
 * Objects are visited in the order of the file, once each, and may not
 * overlap, so that the work is linear in the size of the file whatever its
 * cross-reference says. What the protection leaves in clear stays: strings in
 * object streams (the stream as a whole is encrypted), cross-reference
 * streams, signatures, metadata if so said, streams with an identity filter.
 */
#include <string.h>

#include "base/error.h"
#include "crypto/secret.h"
#include "format/pdf_private.h"

/* Enough to tell padding by, and where only a long one tells the mode. */
#define MAX_SAMPLES 64
#define MAX_SHORT_SAMPLES 4096
#define SHORT_SAMPLE 512 /* all modes without padding are the same so far */
#define LONG_SAMPLE 4096 /* behind that none are */
#define MAX_STRING (64 * 1024 * 1024)

/* Where an object starts. */
typedef struct {
  guint64 off, end; /* before which it has to end */
  guint64 num;
  gboolean current; /* not an older revision of one */
} Place;

typedef struct {
  TpdSource *source;
  TpdBudget *budget;
  TpdPdfFile *file;
  TpdPdfEncryption encryption;
  TpdContentCipher *cipher;
  TpdPdfPatch patch;
  GArray *places;    /* of Place, in the order of the file */
  GArray *samples;   /* of TpdPdfSample, until the cipher is known */
  gboolean has_long; /* one of them is long, and can be proved */
  GPtrArray *fallbacks, *warnings;
  guint sound, loose;
  guint left_strings, left_streams; /* that are not encrypted as they should be */
} Job;

static void
job_clear (Job *job)
{
  tpd_pdf_patch_clear (&job->patch);
  tpd_pdf_encryption_clear (&job->encryption);
  g_clear_pointer (&job->cipher, tpd_content_cipher_unref);
  g_clear_pointer (&job->places, g_array_unref);
  g_clear_pointer (&job->samples, g_array_unref);
  g_clear_pointer (&job->fallbacks, g_ptr_array_unref);
  g_clear_pointer (&job->warnings, g_ptr_array_unref);
  g_clear_pointer (&job->file, tpd_pdf_file_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Job, job_clear)

static void
sample_clear (gpointer data)
{
  g_clear_pointer (&((TpdPdfSample *) data)->bytes, g_byte_array_unref);
}

static void warn (Job *job, const char *format, ...) G_GNUC_PRINTF (2, 3);
static void
warn (Job *job, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_ptr_array_add (job->warnings, g_strdup_vprintf (format, args));
  va_end (args);
}

/* --- The objects, in order ------------------------------------------------- */

static gint
compare_places (gconstpointer a, gconstpointer b)
{
  const Place *x = a, *y = b;

  if (x->off != y->off)
    return x->off < y->off ? -1 : 1;
  return (int) y->current - (int) x->current;
}

static void
collect_places (Job *job)
{
  GArray *entries = job->file->entries;
  guint64 limit = job->source->size;
  guint kept = 0;

  for (guint i = 0; i < entries->len; i++)
    {
      const TpdPdfEntry *entry = &g_array_index (entries, TpdPdfEntry, i);
      Place place = { .off = entry->off, .num = entry->num, .current = i == 0 || entry[-1].num != entry->num };

      if (entry->type == TPD_PDF_PLAIN)
        g_array_append_val (job->places, place);
    }
  g_array_sort (job->places, compare_places);
  for (guint i = 0; i < job->places->len; i++)
    {
      Place place = g_array_index (job->places, Place, i);

      if (kept == 0 || g_array_index (job->places, Place, kept - 1).off != place.off)
        g_array_index (job->places, Place, kept++) = place;
    }
  g_array_set_size (job->places, kept);
  for (guint i = kept; i > 0; i--)
    {
      Place *place = &g_array_index (job->places, Place, i - 1);

      /* Older revisions do not limit newer ones: their entries may be nonsense. */
      place->end = place->current || i == kept ? limit : place[1].off;
      if (place->current)
        limit = place->off;
    }
}

/* --- Strings ------------------------------------------------------------------ */

static gboolean
write_piece (gpointer user_data, const guint8 *data, gsize len, GError **error)
{
  g_byte_array_append (user_data, data, (guint) len);
  return TRUE;
}

/* The plaintext of a string, NULL without error when it is to stay. */
static GByteArray *
decrypt_string (Job *job, const GByteArray *bytes, gboolean current, GError **error)
{
  TpdPdfItem item = { .memory = bytes->data, .len = bytes->len };
  TpdPdfItemState state;
  guint64 plain_len;
  g_autoptr (GByteArray) plain = NULL;

  if (!tpd_pdf_item_measure (&item, job->cipher, &state, &plain_len, error))
    return NULL;
  if (current)
    {
      job->sound += state == TPD_PDF_ITEM_SOUND;
      job->loose += state == TPD_PDF_ITEM_LOOSE;
      job->left_strings += state == TPD_PDF_ITEM_WRONG;
    }
  if (state == TPD_PDF_ITEM_WRONG)
    return NULL;
  plain = g_byte_array_new ();
  if (!tpd_pdf_item_decrypt (&item, job->cipher, plain_len, write_piece, plain, error))
    return NULL;
  return g_steal_pointer (&plain);
}

static GByteArray *
fit_string (const TpdPdfObject *object, guint index, const GByteArray *plain)
{
  const TpdPdfToken *token = tpd_pdf_token (object, index);
  GByteArray *out = tpd_pdf_string_write (plain->data, plain->len, token->type, token->end - token->start);

  if (out == NULL)
    out = tpd_pdf_string_write (plain->data, plain->len, token->type, tpd_pdf_room_end (object, index) - token->start);
  return out != NULL ? out : tpd_pdf_string_write (plain->data, plain->len, token->type, G_MAXUINT64);
}

static gboolean
add_sample (Job *job, TpdPdfItem item, GByteArray *bytes, gboolean flate)
{
  TpdPdfSample sample = { item, bytes, flate };

  if (item.len == 0 || item.len % 16 != 0 || (item.len <= SHORT_SAMPLE && job->samples->len >= MAX_SHORT_SAMPLES))
    return TRUE;
  if (bytes != NULL)
    g_byte_array_ref (bytes);
  g_array_append_val (job->samples, sample);
  job->has_long = job->has_long || (flate && item.len > LONG_SAMPLE);
  return TRUE;
}

/* One string: a sample while there is no cipher, an edit afterwards. */
static gboolean
visit_string (Job *job, const TpdPdfObject *object, guint index, gboolean current, GArray *edits, GError **error)
{
  g_autoptr (GByteArray) bytes = tpd_pdf_string_read (object->reader, tpd_pdf_token (object, index), MAX_STRING);
  g_autoptr (GByteArray) plain = NULL;
  g_autoptr (GError) own = NULL;

  if (bytes == NULL)
    {
      tpd_pdf_reader_set_error (object->reader, error, "A string of the PDF file is larger than any sound file's.");
      return FALSE;
    }
  if (bytes->len == 0)
    return TRUE;
  if (job->cipher == NULL)
    return add_sample (job, (TpdPdfItem){ .memory = bytes->data, .len = bytes->len }, bytes, FALSE);
  plain = decrypt_string (job, bytes, current, &own);
  if (plain != NULL)
    tpd_pdf_edits_add (edits, object, index, index, fit_string (object, index, plain));
  else if (own != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&own));
      return FALSE;
    }
  return TRUE;
}

static gboolean
visit_strings (Job *job, const TpdPdfObject *object, gboolean current, GArray *edits, GError **error)
{
  g_autoptr (GHashTable) clear = g_hash_table_new (NULL, NULL);

  if (!job->encryption.strings)
    return TRUE;
  for (guint i = 0; i < object->tokens->len; i++)
    {
      const TpdPdfToken *token = tpd_pdf_token (object, i);

      if (token->type == TPD_PDF_DICT)
        {
          guint contents = tpd_pdf_signature_contents (object, i);
          if (contents > 0)
            g_hash_table_add (clear, GUINT_TO_POINTER (contents));
        }
      else if ((token->type == TPD_PDF_LITERAL || token->type == TPD_PDF_HEX)
               && !g_hash_table_contains (clear, GUINT_TO_POINTER (i))
               && !visit_string (job, object, i, current, edits, error))
        return FALSE;
    }
  return TRUE;
}

/* --- Streams ------------------------------------------------------------------- */

typedef struct {
  TpdSink *sink;
  guint64 off;
} Writer;

static gboolean
write_sink (gpointer user_data, const guint8 *data, gsize len, GError **error)
{
  Writer *writer = user_data;

  if (!tpd_sink_pwrite (writer->sink, data, len, writer->off, error))
    return FALSE;
  writer->off += len;
  return TRUE;
}

/* The new /Length: in the dictionary, or later in the object it refers to. */
static void
edit_length (Job *job, const TpdPdfObject *object, guint64 value, GArray *edits)
{
  guint index = tpd_pdf_dict_get (object, 0, "Length");
  const TpdPdfToken *token;

  if (index == 0)
    return;
  token = tpd_pdf_token (object, index);
  if (token->type == TPD_PDF_REF)
    tpd_pdf_patch_add_length (&job->patch, object, index, value);
  else
    {
      g_autofree char *digits = g_strdup_printf ("%" G_GUINT64_FORMAT, value);
      GByteArray *bytes = g_byte_array_new ();

      g_byte_array_append (bytes, (const guint8 *) digits, (guint) strlen (digits));
      tpd_pdf_edits_add (edits, object, index, index, bytes);
    }
}

/* A crypt filter of our handler means nothing without /Encrypt. */
static void
edit_crypt_filter (const TpdPdfObject *object, GArray *edits)
{
  guint name;

  if (tpd_pdf_crypt_filter (object, &name) && name > 0)
    {
      GByteArray *bytes = g_byte_array_new ();

      g_byte_array_append (bytes, (const guint8 *) "/Identity", 9);
      tpd_pdf_edits_add (edits, object, name, name, bytes);
    }
}

/* A stream that is not encrypted as it should be. */
static gboolean
keep_stream (Job *job, const TpdPdfObject *object, guint64 off, guint64 len, gboolean current, GError **error)
{
  if (!current || tpd_pdf_dict_has_name (object, 0, "Type", "Metadata"))
    return TRUE;
  job->left_streams++;
  if (len % 16 != 0 || tpd_pdf_stream_looks_clear (object, off, len))
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
               "The stream of PDF object %" G_GUINT64_FORMAT " is damaged: it cannot be decrypted.", object->num);
  return FALSE;
}

/* The stream of `object`: its data is decrypted at once, the edits of its dictionary are added. */
static gboolean
visit_stream (Job *job, const TpdPdfObject *object, const Place *place, guint64 off, guint64 len, guint64 *plain_len,
              GArray *edits, GError **error)
{
  TpdPdfItem item = { .source = job->source, .off = off, .len = len };
  Writer writer = { job->patch.sink, off };
  TpdPdfItemState state;
  gboolean predictor;

  *plain_len = len;
  if (len == 0 || tpd_pdf_stream_is_clear (&job->encryption, object, off))
    return TRUE;
  if (job->cipher == NULL)
    return add_sample (job, item, NULL, tpd_pdf_stream_filter (object, &predictor) == TPD_PDF_FILTER_FLATE);
  if (!tpd_pdf_item_measure (&item, job->cipher, &state, plain_len, error))
    return FALSE;
  if (state == TPD_PDF_ITEM_WRONG)
    {
      *plain_len = len;
      return keep_stream (job, object, off, len, place->current, error);
    }
  if (place->current)
    {
      job->sound += state == TPD_PDF_ITEM_SOUND;
      job->loose += state == TPD_PDF_ITEM_LOOSE;
    }
  if (!tpd_pdf_item_decrypt (&item, job->cipher, *plain_len, write_sink, &writer, error))
    return FALSE;
  /* An end of line stands between data and "endstream". */
  if (!tpd_sink_pwrite (job->patch.sink, "\n", 1, writer.off, error)
      || !tpd_pdf_patch_blank (&job->patch, writer.off + 1, off + len, error))
    return FALSE;
  edit_length (job, object, *plain_len, edits);
  edit_crypt_filter (object, edits);
  return TRUE;
}

static gint
compare_edits (gconstpointer a, gconstpointer b)
{
  const TpdPdfEdit *x = a, *y = b;

  return x->start < y->start ? -1 : x->start > y->start;
}

/* --- Objects -------------------------------------------------------------------- */

static gboolean
visit_object (Job *job, const Place *place, const TpdPdfObject *object, guint64 *end, GError **error)
{
  g_autoptr (GArray) edits = tpd_pdf_edits_new ();
  guint64 data = 0, len = 0, plain_len = 0;
  gboolean stream = tpd_pdf_object_stream (object, &data);

  if (stream && !tpd_pdf_file_stream_range (job->file, object, place->end, &data, &len))
    {
      if (!place->current)
        return TRUE;
      tpd_pdf_reader_set_error (object->reader, error,
                                "The stream of PDF object %" G_GUINT64_FORMAT " has no end: the file was cut off.",
                                object->num);
      return FALSE;
    }
  *end = tpd_pdf_object_end (object, stream, data + len);
  if (stream && tpd_pdf_dict_has_name (object, 0, "Type", "XRef"))
    return TRUE;
  if (!visit_strings (job, object, place->current, edits, error)
      || (stream && !visit_stream (job, object, place, data, len, &plain_len, edits, error)))
    return FALSE;
  g_array_sort (edits, compare_edits);
  return job->cipher == NULL || edits->len == 0
         || tpd_pdf_patch_object (&job->patch, object, place->current, edits, stream ? data : 0, plain_len, *end,
                                  error);
}

/* Whether there is enough to decide the cipher mode by. */
static gboolean
enough_samples (const Job *job, gboolean want_long)
{
  return job->cipher == NULL && job->samples->len >= MAX_SAMPLES && (job->has_long || !want_long);
}

/* Visits every object: for samples first, and once more with the cipher. */
static gboolean
visit_all (Job *job, gboolean want_long, GError **error)
{
  guint64 end = 0;

  job->file->work = 0;
  for (guint i = 0; i < job->places->len && !enough_samples (job, want_long); i++)
    {
      const Place *place = &g_array_index (job->places, Place, i);
      g_autoptr (TpdPdfObject) object = NULL;
      g_autoptr (GError) own = NULL;

      if (place->num == job->encryption.num || (place->num == job->encryption.license_num && place->num > 0))
        continue;
      if (place->off < end && !place->current)
        continue;
      if (place->off < end)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                       "PDF object %" G_GUINT64_FORMAT " lies inside of another: the file is damaged.", place->num);
          return FALSE;
        }
      /* Shows a cancellation. */
      if (!tpd_budget_charge (job->budget, 0, error))
        return FALSE;
      object = tpd_pdf_object_read_indirect (job->file->reader, place->off, &own);
      end = object != NULL ? job->file->reader->pos : MIN (job->file->reader->pos, place->end);
      /* What was left of older revisions may run on through all that follows. */
      if (!place->current && !tpd_pdf_file_count_work (job->file, place->off, error))
        return FALSE;
      if (object == NULL && (place->current || job->file->reader->error != NULL))
        {
          g_propagate_error (error, g_steal_pointer (&own));
          return FALSE;
        }
      if (object != NULL && object->num == place->num && !visit_object (job, place, object, &end, error))
        return FALSE;
    }
  return TRUE;
}

/* --- Loose ends ------------------------------------------------------------------- */

/* Items of a trailer's /ID are in clear, or encrypted like any string. */
static gboolean
decrypt_id (Job *job, const TpdPdfObject *trailer, GError **error)
{
  g_autoptr (GArray) edits = tpd_pdf_edits_new ();
  guint id = tpd_pdf_dict_get (trailer, 0, "ID");

  if (id == 0 || tpd_pdf_token (trailer, id)->type != TPD_PDF_ARRAY)
    return TRUE;
  for (guint i = id + 1; i < tpd_pdf_token (trailer, id)->match; i = tpd_pdf_skip (trailer, i))
    {
      const TpdPdfToken *token = tpd_pdf_token (trailer, i);
      g_autoptr (GByteArray) bytes = NULL, plain = NULL;

      if (token->type != TPD_PDF_LITERAL && token->type != TPD_PDF_HEX)
        continue;
      bytes = tpd_pdf_string_read (trailer->reader, token, 64);
      if (bytes == NULL || bytes->len != 32)
        continue;
      plain = decrypt_string (job, bytes, FALSE, error);
      if (plain != NULL && plain->len == 16)
        tpd_pdf_edits_add (edits, trailer, i, i, fit_string (trailer, i, plain));
    }
  for (guint i = 0; i < edits->len; i++)
    if (g_array_index (edits, TpdPdfEdit, i).bytes->len
        > g_array_index (edits, TpdPdfEdit, i).room - g_array_index (edits, TpdPdfEdit, i).start)
      return TRUE;
  return tpd_pdf_patch_object (&job->patch, trailer, TRUE, edits, 0, 0, 0, error);
}

static gboolean
decrypt_ids (Job *job, GError **error)
{
  for (guint i = 0; i < job->file->trailers->len; i++)
    {
      g_autoptr (GError) own = NULL;
      g_autoptr (TpdPdfObject) trailer =
          tpd_pdf_file_read_trailer (job->file, &g_array_index (job->file->trailers, TpdPdfTrailer, i), NULL);

      if (trailer == NULL || tpd_pdf_token (trailer, 0)->type != TPD_PDF_DICT)
        continue;
      if (!decrypt_id (job, trailer, &own) || own != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&own));
          return FALSE;
        }
    }
  return TRUE;
}

/* --- The whole ------------------------------------------------------------------------ */

static gboolean
prepare (Job *job, GError **error)
{
  TpdPdfProtection protection;

  job->file = tpd_pdf_file_open_whole (job->source, TPD_PDF_OPEN_INFLATE, job->budget, error);
  if (job->file == NULL || !tpd_pdf_encryption_read (job->file, &job->encryption, &protection, error))
    return FALSE;
  if (protection != TPD_PDF_RMS)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "The protected PDF document is damaged: it names no license.");
      return FALSE;
    }
  if (job->file->newest == NULL || tpd_pdf_dict_get (job->file->newest, 0, "Root") == 0)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "The protected PDF document is damaged: its trailer is missing, it was probably cut off.");
      return FALSE;
    }
  job->places = g_array_new (FALSE, FALSE, sizeof (Place));
  job->samples = g_array_new (FALSE, FALSE, sizeof (TpdPdfSample));
  g_array_set_clear_func (job->samples, sample_clear);
  job->fallbacks = g_ptr_array_new_with_free_func (g_free);
  job->warnings = g_ptr_array_new_with_free_func (g_free);
  collect_places (job);
  return TRUE;
}

static char **
steal_strv (GPtrArray **array)
{
  GPtrArray *stolen = g_steal_pointer (array);

  if (stolen->len == 0)
    {
      g_ptr_array_unref (stolen);
      return NULL;
    }
  g_ptr_array_add (stolen, NULL);
  return (char **) g_ptr_array_free (stolen, FALSE);
}

static void
say_what_was_odd (Job *job)
{
  if (job->file->rebuilt)
    warn (job, "The cross-reference of the PDF file is damaged; its objects were found by searching for them.");
  if (job->left_strings > 0)
    warn (job, "%u strings of the PDF file are not encrypted as they should be; they were left as they are.",
          job->left_strings);
  if (job->left_streams > 0)
    warn (job, "%u streams of the PDF file are not encrypted as they should be; they were left as they are.",
          job->left_streams);
  if (job->patch.lost_strings > 0)
    warn (job,
          "%u strings of older versions in the PDF file, which readers do not show, have no room and are left out.",
          job->patch.lost_strings);
  if (job->loose > 0)
    warn (job, "%u strings or streams of the PDF file have a wrong padding; their stored length was used.", job->loose);
}

static TpdProof
proof_of (const Job *job, gboolean intact)
{
  if (job->sound == 0)
    return TPD_PROOF_NONE;
  return intact && job->loose + job->left_strings + job->left_streams == 0 ? TPD_PROOF_PROVEN : TPD_PROOF_PLAUSIBLE;
}

TpdDocument *
tpd_pdf_decrypt (TpdSource *source, gboolean intact, TpdContentKey *key, const TpdOpenOptions *options,
                 TpdBudget *budget, GError **error)
{
  g_auto (Job) job = { .source = source, .budget = budget };
  g_autoptr (TpdSink) sink = NULL;
  TpdDocument *document;
  TpdCipherMode mode;
  gboolean want_long;

  if (!prepare (&job, error))
    return NULL;
  /* The modes without padding differ in long items only. */
  want_long = !tpd_cipher_mode_from_word (key->mode_word, &mode) || mode != TPD_CIPHER_CBC4K;
  if (!visit_all (&job, want_long, error))
    return NULL;
  job.cipher = tpd_pdf_decide_cipher (job.samples, key, options->iv, job.fallbacks, error);
  if (job.cipher == NULL)
    return NULL;
  sink = tpd_sink_new (budget, error);
  job.patch.sink = sink;
  job.patch.file = job.file;
  job.patch.source = source;
  tpd_pdf_patch_find_hole (&job.patch, &job.encryption);
  if (sink == NULL || !tpd_sink_append_source (sink, source, error) || !visit_all (&job, FALSE, error)
      || !decrypt_ids (&job, error) || !tpd_pdf_patch_remove (&job.patch, &job.encryption, error)
      || !tpd_pdf_patch_finish (&job.patch, error))
    return NULL;
  say_what_was_odd (&job);
  document = tpd_sink_to_document (g_steal_pointer (&sink), TPD_KIND_PDF, error);
  if (document == NULL)
    return NULL;
  document->cipher = tpd_cipher_name (tpd_content_cipher_mode (job.cipher), tpd_content_cipher_key_len (job.cipher));
  document->proof = proof_of (&job, intact);
  document->fallbacks = steal_strv (&job.fallbacks);
  document->warnings = steal_strv (&job.warnings);
  return document;
}
