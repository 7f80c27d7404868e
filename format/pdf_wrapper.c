/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Version 2 of protected PDF: a clear document for readers that know nothing
 * of the protection, with the encrypted one as its embedded file ("unencrypted
 * wrapper", ISO 32000-2, 7.6.7).
 */
#include <string.h>

#include "base/error.h"
#include "format/pdf_private.h"

#define MAX_FILES 32
#define MAX_TREE_DEPTH 8
#define MAX_METADATA (64 * 1024)

/* --- Finding the payload -------------------------------------------------- */

/* The value of `key` in the dictionary at `*index`, through a reference; NULL if there is none. */
static const TpdPdfObject *
get (TpdPdfFile *file, const TpdPdfObject *object, guint *index, const char *key, TpdPdfObject **held)
{
  *held = NULL;
  *index = tpd_pdf_dict_get (object, *index, key);
  return *index > 0 ? tpd_pdf_file_follow (file, object, index, held) : NULL;
}

/* Whether the file specification at `index` names an encrypted payload, and whose. */
static gboolean
is_payload (TpdPdfFile *file, const TpdPdfObject *spec, guint index, gboolean *foreign)
{
  g_autoptr (TpdPdfObject) held = NULL;
  const TpdPdfObject *payload = get (file, spec, &index, "EP", &held);
  guint subtype;
  const char *name;

  if (payload == NULL || (subtype = tpd_pdf_dict_get (payload, index, "Subtype")) == 0)
    return FALSE;
  name = tpd_pdf_text (payload, tpd_pdf_token (payload, subtype));
  if (g_ascii_strcasecmp (name, TPD_PDF_HANDLER) == 0)
    return TRUE;
  *foreign = *foreign || g_ascii_strncasecmp (name, "Foxit", 5) == 0;
  return FALSE;
}

/* What the stream's /Params say of the payload: all optional, and indirect at will. */
static void
read_params (TpdPdfFile *file, const TpdPdfObject *stream, TpdPdfPayload *payload)
{
  g_autoptr (TpdPdfObject) held = NULL, held_size = NULL, held_sum = NULL;
  guint params = 0, size, sum;
  const TpdPdfObject *dict = get (file, stream, &params, "Params", &held), *value;

  if (dict == NULL)
    return;
  size = sum = params;
  value = get (file, dict, &size, "Size", &held_size);
  if (value != NULL && tpd_pdf_token (value, size)->type == TPD_PDF_INTEGER && tpd_pdf_token (value, size)->value > 0)
    {
      payload->has_size = TRUE;
      payload->size = (guint64) tpd_pdf_token (value, size)->value;
    }
  value = get (file, dict, &sum, "CheckSum", &held_sum);
  if (value != NULL
      && (tpd_pdf_token (value, sum)->type == TPD_PDF_LITERAL || tpd_pdf_token (value, sum)->type == TPD_PDF_HEX))
    {
      g_autoptr (GByteArray) bytes = tpd_pdf_string_read (value->reader, tpd_pdf_token (value, sum), 64);

      if (bytes != NULL && bytes->len == sizeof payload->md5)
        {
          payload->has_md5 = TRUE;
          memcpy (payload->md5, bytes->data, sizeof payload->md5);
        }
    }
}

static gboolean
read_payload (TpdPdfFile *file, const TpdPdfObject *spec, guint index, TpdPdfPayload *payload, GError **error)
{
  g_autoptr (TpdPdfObject) held = NULL, stream = NULL;
  const TpdPdfObject *files = get (file, spec, &index, "EF", &held);
  guint value = files != NULL ? tpd_pdf_dict_get (files, index, "F") : 0;
  gboolean predictor;

  if (files != NULL && value == 0)
    value = tpd_pdf_dict_get (files, index, "UF");
  if (value == 0 || tpd_pdf_token (files, value)->type != TPD_PDF_REF || tpd_pdf_token (files, value)->value < 0)
    {
      tpd_pdf_reader_set_error (file->reader, error,
                                "The PDF file says that it holds a protected document, but does not hold it.");
      return FALSE;
    }
  stream = tpd_pdf_file_get (file, (guint64) tpd_pdf_token (files, value)->value, error);
  if (stream == NULL)
    return FALSE;
  if (stream->own != NULL || !tpd_pdf_file_stream_range (file, stream, G_MAXUINT64, &payload->off, &payload->len))
    {
      tpd_pdf_reader_set_error (file->reader, error, "The protected document in the PDF file was cut off.");
      return FALSE;
    }
  payload->filter = tpd_pdf_stream_filter (stream, &predictor);
  if (payload->filter == TPD_PDF_FILTER_OTHER || predictor)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                   "The protected document in the PDF file is stored with a filter that is not handled.");
      return FALSE;
    }
  read_params (file, stream, payload);
  if (file->reader->error == NULL)
    return TRUE;
  tpd_pdf_reader_set_error (file->reader, error, "Cannot read the file.");
  return FALSE;
}

/* `*found`: the file specification at `index`, or what it refers to, was it, and
 * the return value and error are those of reading it. */
static gboolean
try_spec (TpdPdfFile *file, const TpdPdfObject *object, guint index, TpdPdfPayload *payload, gboolean *found,
          gboolean *foreign, GError **error)
{
  g_autoptr (TpdPdfObject) held = NULL;
  const TpdPdfObject *spec = tpd_pdf_file_follow (file, object, &index, &held);

  *found = spec != NULL && is_payload (file, spec, index, foreign);
  return *found && read_payload (file, spec, index, payload, error);
}

/* Tries the references and dictionaries in the array at `index`. */
static gboolean
try_array (TpdPdfFile *file, const TpdPdfObject *object, guint index, TpdPdfPayload *payload, gboolean *found,
           gboolean *foreign, GError **error)
{
  guint end = tpd_pdf_token (object, index)->match;
  guint tried = 0;

  for (guint i = index + 1; i < end && !*found && tried < MAX_FILES; i = tpd_pdf_skip (object, i))
    {
      TpdPdfTokenType type = tpd_pdf_token (object, i)->type;

      if (type != TPD_PDF_REF && type != TPD_PDF_DICT)
        continue;
      tried++;
      if (try_spec (file, object, i, payload, found, foreign, error))
        return TRUE;
    }
  return FALSE;
}

/* The name tree of embedded files, leftmost branch only: a wrapper has one file. */
static gboolean
try_names (TpdPdfFile *file, const TpdPdfObject *root, TpdPdfPayload *payload, gboolean *found, gboolean *foreign,
           GError **error)
{
  g_autoptr (TpdPdfObject) held_names = NULL, held = NULL;
  guint index = 0;
  const TpdPdfObject *node = get (file, root, &index, "Names", &held_names);

  if (node != NULL)
    node = get (file, node, &index, "EmbeddedFiles", &held);
  for (guint depth = 0; node != NULL && depth < MAX_TREE_DEPTH; depth++)
    {
      g_autoptr (TpdPdfObject) held_array = NULL, held_kid = NULL;
      guint names = index;
      const TpdPdfObject *array = get (file, node, &names, "Names", &held_array);

      if (array != NULL && tpd_pdf_token (array, names)->type == TPD_PDF_ARRAY)
        return try_array (file, array, names, payload, found, foreign, error);
      g_clear_pointer (&held_array, tpd_pdf_object_free);
      names = index;
      array = get (file, node, &names, "Kids", &held_array);
      if (array == NULL || tpd_pdf_token (array, names)->type != TPD_PDF_ARRAY
          || tpd_pdf_token (array, names + 1)->type != TPD_PDF_REF)
        return FALSE;
      index = names + 1;
      node = tpd_pdf_file_follow (file, array, &index, &held_kid);
      tpd_pdf_object_free (held);
      held = g_steal_pointer (&held_kid);
    }
  return FALSE;
}

/* Without a catalog to start from: whatever object is a file specification. */
static gboolean
try_all (TpdPdfFile *file, TpdPdfPayload *payload, gboolean *found, gboolean *foreign, GError **error)
{
  for (guint i = 0; i < file->entries->len; i++)
    {
      g_autoptr (TpdPdfObject) object =
          tpd_pdf_object_read_indirect (file->reader, g_array_index (file->entries, TpdPdfEntry, i).off, NULL);

      if (object != NULL && tpd_pdf_dict_get (object, 0, "EP") > 0
          && try_spec (file, object, 0, payload, found, foreign, error))
        return TRUE;
      if (*found)
        return FALSE;
    }
  return FALSE;
}

gboolean
tpd_pdf_wrapper_find (TpdPdfFile *file, TpdPdfPayload *payload, gboolean *foreign, GError **error)
{
  g_autoptr (TpdPdfObject) held_root = NULL, held = NULL;
  const TpdPdfObject *root = NULL, *array;
  guint index = 0;
  gboolean found = FALSE;

  memset (payload, 0, sizeof *payload);
  *foreign = FALSE;
  if (file->newest != NULL)
    root = get (file, file->newest, &index, "Root", &held_root);
  if (root != NULL)
    {
      index = 0;
      array = get (file, root, &index, "AF", &held);
      if (array != NULL && tpd_pdf_token (array, index)->type == TPD_PDF_ARRAY
          && try_array (file, array, index, payload, &found, foreign, error))
        return TRUE;
      if (!found && try_names (file, root, payload, &found, foreign, error))
        return TRUE;
    }
  return !found && file->rebuilt && try_all (file, payload, &found, foreign, error);
}

/* --- Reading the payload -------------------------------------------------- */

typedef struct {
  guint64 size, max;
  gboolean over;
  TpdSink *sink;
  GChecksum *md5;
} Receiver;

static gboolean
receive (gpointer user_data, const guint8 *data, gsize len, GError **error)
{
  Receiver *receiver = user_data;

  receiver->size += len;
  if (receiver->size > receiver->max)
    {
      receiver->over = TRUE;
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE, "The protected document is larger than expected.");
      return FALSE;
    }
  if (receiver->sink == NULL)
    return TRUE;
  g_checksum_update (receiver->md5, data, (gssize) len);
  return tpd_sink_append (receiver->sink, data, len, error);
}

static gboolean
run (TpdSource *source, const TpdPdfPayload *payload, Receiver *receiver, GError **error)
{
  gboolean cut;

  if (!tpd_pdf_inflate (source, payload->off, payload->len, payload->filter, receive, receiver, &cut, error))
    return FALSE;
  if (!cut && receiver->size > 0)
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "The protected document in the PDF file was cut off.");
  return FALSE;
}

gboolean
tpd_pdf_payload_measure (TpdSource *source, const TpdPdfPayload *payload, gsize max, gboolean *known, guint64 *size,
                         GError **error)
{
  Receiver receiver = { .max = max };
  g_autoptr (GError) own = NULL;

  *known = FALSE;
  if (payload->filter == TPD_PDF_FILTER_NONE)
    {
      *known = TRUE;
      *size = payload->len;
      return TRUE;
    }
  /* Ciphertext does not get smaller: do not begin what cannot end. */
  if (payload->len > max)
    return TRUE;
  if (run (source, payload, &receiver, &own))
    {
      *known = TRUE;
      *size = receiver.size;
      return TRUE;
    }
  if (receiver.over)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&own));
  return FALSE;
}

TpdSource *
tpd_pdf_payload_extract (TpdSource *source, const TpdPdfPayload *payload, TpdBudget *budget, gboolean *intact,
                         GError **error)
{
  g_autoptr (TpdSink) sink = tpd_sink_new (budget, error);
  g_autoptr (GChecksum) md5 = g_checksum_new (G_CHECKSUM_MD5);
  Receiver receiver = { .max = G_MAXUINT64, .sink = sink, .md5 = md5 };
  guint8 digest[16];
  gsize len = sizeof digest;

  *intact = FALSE;
  if (sink == NULL || !run (source, payload, &receiver, error))
    return NULL;
  g_checksum_get_digest (md5, digest, &len);
  *intact = payload->has_md5 && len == sizeof digest && memcmp (digest, payload->md5, len) == 0;
  return tpd_sink_to_source (g_steal_pointer (&sink), error);
}

/* --- Label metadata -------------------------------------------------------- */

char *
tpd_pdf_read_metadata (TpdPdfFile *file)
{
  g_autoptr (TpdPdfObject) held_root = NULL, held = NULL;
  g_autoptr (GByteArray) data = NULL;
  const TpdPdfObject *root, *stream = NULL;
  guint index = 0;
  guint64 off, len;
  const char *text;
  gsize size;

  if (file->newest == NULL || (root = get (file, file->newest, &index, "Root", &held_root)) == NULL)
    return NULL;
  stream = get (file, root, &index, "Metadata", &held);
  if (stream == NULL || stream->own != NULL || !tpd_pdf_file_stream_range (file, stream, G_MAXUINT64, &off, &len)
      || len > MAX_METADATA)
    return NULL;
  data = tpd_pdf_file_stream_read (file, stream, NULL);
  if (data == NULL || data->len > MAX_METADATA)
    return NULL;
  text = (const char *) data->data;
  size = data->len;
  if (size >= 3 && memcmp (text, "\xef\xbb\xbf", 3) == 0)
    {
      text += 3;
      size -= 3;
    }
  while (size > 0 && g_ascii_isspace (*text))
    {
      text++;
      size--;
    }
  while (size > 0 && text[size - 1] == '\0')
    size--;
  return size > 0 && *text == '<' && g_utf8_validate_len (text, size, NULL) ? g_strndup (text, size) : NULL;
}
