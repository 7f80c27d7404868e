/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Version 2 of protected PDF: a clear document for readers that know nothing
 * of the protection, with the encrypted one as its embedded file ("unencrypted
 * wrapper", ISO 32000-2, 7.6.7).
 */
#include <string.h>

#include "base/error.h"
#include "format/pdf_private.h"

/* What a probe looks at; opening is more thorough. */
#define MAX_FILES 32
#define MAX_NODES 64
#define THOROUGH 64
#define MAX_METADATA (64 * 1024)

/* --- Finding the payload -------------------------------------------------- */

typedef struct {
  TpdPdfFile *file;
  TpdPdfPayload *payload;
  guint files_left, nodes_left;
  TpdPdfWrapper result; /* NONE while nothing was found */
  gboolean unclear;     /* something on the way could not be read */
  GError *error;        /* of TPD_PDF_WRAPPER_BROKEN */
} Search;

/* The value of `key` in the dictionary at `*index`, through a reference; NULL if there is none. */
static const TpdPdfObject *
get (TpdPdfFile *file, const TpdPdfObject *object, guint *index, const char *key, TpdPdfObject **held)
{
  *held = NULL;
  *index = tpd_pdf_dict_get (object, *index, key);
  return *index > 0 ? tpd_pdf_file_follow (file, object, index, held) : NULL;
}

/* The same at `*index` itself. A reference to an object that is there and
 * cannot be read makes the search unclear; one to nothing means nothing. */
static const TpdPdfObject *
follow (Search *search, const TpdPdfObject *object, guint *index, TpdPdfObject **held)
{
  const TpdPdfToken *token = tpd_pdf_token (object, *index);
  guint64 num = token->type == TPD_PDF_REF ? (guint64) MAX (token->value, 0) : 0;
  const TpdPdfObject *value = tpd_pdf_file_follow (search->file, object, index, held);

  if (value == NULL && num > 0 && tpd_pdf_file_find (search->file, num) != NULL)
    search->unclear = TRUE;
  return value;
}

static const TpdPdfObject *
look_up (Search *search, const TpdPdfObject *object, guint *index, const char *key, TpdPdfObject **held)
{
  *held = NULL;
  *index = tpd_pdf_dict_get (object, *index, key);
  return *index > 0 ? follow (search, object, index, held) : NULL;
}

/* The name that is the value of `key`, "" for none. */
static const char *
name_of (Search *search, const TpdPdfObject *object, guint dict, const char *key, TpdPdfObject **held)
{
  const TpdPdfObject *value = look_up (search, object, &dict, key, held);

  return value != NULL ? tpd_pdf_text (value, tpd_pdf_token (value, dict)) : "";
}

/* Whether the file specification at `index` names an encrypted payload, and whose.
 * Without a word on the handler it may be ours: its own dictionary will tell. */
static TpdPdfWrapper
whose_payload (Search *search, const TpdPdfObject *spec, guint index)
{
  g_autoptr (TpdPdfObject) held = NULL, held_name = NULL, held_relation = NULL;
  guint dict = index;
  const TpdPdfObject *payload = look_up (search, spec, &dict, "EP", &held);
  const char *name = payload != NULL ? name_of (search, payload, dict, "Subtype", &held_name) : "";

  if (g_ascii_strcasecmp (name, TPD_PDF_HANDLER) == 0)
    return TPD_PDF_WRAPPER_HELD;
  if (g_ascii_strncasecmp (name, "Foxit", 5) == 0)
    return TPD_PDF_WRAPPER_FOREIGN;
  if (name[0] != '\0')
    return TPD_PDF_WRAPPER_OTHER;
  name = name_of (search, spec, index, "AFRelationship", &held_relation);
  return payload != NULL || strcmp (name, "EncryptedPayload") == 0 ? TPD_PDF_WRAPPER_HELD : TPD_PDF_WRAPPER_NONE;
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
  static const char *const keys[] = { "F", "UF", "Unix", "DOS", "Mac" };
  const TpdPdfObject *files = get (file, spec, &index, "EF", &held);
  guint value = 0;
  gboolean predictor;

  for (guint i = 0; files != NULL && value == 0 && i < G_N_ELEMENTS (keys); i++)
    value = tpd_pdf_dict_get (files, index, keys[i]);
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

/* The search ends with the first file specification that is ours; what others
 * hold counts as long as there is none. */
static gboolean
is_found (const Search *search)
{
  return search->result == TPD_PDF_WRAPPER_HELD || search->result == TPD_PDF_WRAPPER_BROKEN;
}

/* The file specification at `index`, or what it refers to. */
static void
try_spec (Search *search, const TpdPdfObject *object, guint index)
{
  g_autoptr (TpdPdfObject) held = NULL;
  const TpdPdfObject *spec = follow (search, object, &index, &held);
  TpdPdfWrapper whose = spec != NULL ? whose_payload (search, spec, index) : TPD_PDF_WRAPPER_NONE;

  if (whose == TPD_PDF_WRAPPER_HELD)
    search->result = read_payload (search->file, spec, index, search->payload, &search->error) ? TPD_PDF_WRAPPER_HELD
                                                                                               : TPD_PDF_WRAPPER_BROKEN;
  else if (search->result != TPD_PDF_WRAPPER_FOREIGN && whose != TPD_PDF_WRAPPER_NONE)
    search->result = whose;
}

/* Tries the references and dictionaries in the array at `index`, or the dictionary there. */
static void
try_array (Search *search, const TpdPdfObject *object, guint index)
{
  guint end = tpd_pdf_token (object, index)->match;

  if (tpd_pdf_token (object, index)->type == TPD_PDF_DICT)
    try_spec (search, object, index);
  if (tpd_pdf_token (object, index)->type != TPD_PDF_ARRAY)
    return;
  for (guint i = index + 1; i < end && !is_found (search); i = tpd_pdf_skip (object, i))
    {
      TpdPdfTokenType type = tpd_pdf_token (object, i)->type;

      if (type != TPD_PDF_REF && type != TPD_PDF_DICT)
        continue;
      if (search->files_left == 0)
        {
          search->unclear = TRUE;
          return;
        }
      search->files_left--;
      try_spec (search, object, i);
    }
}

/* One node of the name tree at `index`; the numbers of those below it go to `stack`. */
static void
try_node (Search *search, const TpdPdfObject *node, guint index, GArray *stack)
{
  g_autoptr (TpdPdfObject) held_names = NULL, held_kids = NULL;
  guint names = index, kids = index, first = stack->len;
  const TpdPdfObject *array = look_up (search, node, &names, "Names", &held_names);

  if (array != NULL && tpd_pdf_token (array, names)->type == TPD_PDF_ARRAY)
    try_array (search, array, names);
  array = look_up (search, node, &kids, "Kids", &held_kids);
  if (array == NULL || tpd_pdf_token (array, kids)->type != TPD_PDF_ARRAY)
    return;
  for (guint i = kids + 1; i < tpd_pdf_token (array, kids)->match; i = tpd_pdf_skip (array, i))
    {
      guint64 num = (guint64) MAX (tpd_pdf_token (array, i)->value, 0);

      if (tpd_pdf_token (array, i)->type != TPD_PDF_REF)
        continue;
      if (stack->len - first >= search->nodes_left)
        {
          search->unclear = TRUE;
          break;
        }
      g_array_append_val (stack, num);
    }
  /* The first is taken first. */
  for (guint low = first, high = stack->len; low + 1 < high; low++)
    {
      guint64 num = g_array_index (stack, guint64, low);

      high--;
      g_array_index (stack, guint64, low) = g_array_index (stack, guint64, high);
      g_array_index (stack, guint64, high) = num;
    }
}

/* The name tree of embedded files: a wrapper has one file, which may have been given company. */
static void
try_names (Search *search, const TpdPdfObject *root)
{
  g_autoptr (TpdPdfObject) held_names = NULL, held = NULL;
  g_autoptr (GArray) stack = g_array_new (FALSE, FALSE, sizeof (guint64));
  guint index = 0;
  const TpdPdfObject *node = look_up (search, root, &index, "Names", &held_names);

  if (node != NULL)
    node = look_up (search, node, &index, "EmbeddedFiles", &held);
  if (node != NULL)
    try_node (search, node, index, stack);
  while (!is_found (search) && stack->len > 0)
    {
      guint64 num = g_array_index (stack, guint64, stack->len - 1);
      g_autoptr (TpdPdfObject) kid = NULL;

      if (search->nodes_left == 0)
        {
          search->unclear = TRUE;
          return;
        }
      search->nodes_left--;
      g_array_set_size (stack, stack->len - 1);
      kid = tpd_pdf_file_get (search->file, num, NULL);
      if (kid != NULL)
        try_node (search, kid, 0, stack);
      else if (tpd_pdf_file_find (search->file, num) != NULL)
        search->unclear = TRUE;
    }
}

/* Without a catalog to start from: whatever object is a file specification. */
static void
try_all (Search *search)
{
  GArray *entries = search->file->entries;

  search->file->work = 0;
  for (guint i = 0; i < entries->len && !is_found (search); i++)
    {
      const TpdPdfEntry *entry = &g_array_index (entries, TpdPdfEntry, i);
      g_autoptr (TpdPdfObject) object = NULL;

      if (entry->type != TPD_PDF_PLAIN || (i > 0 && entry[-1].num == entry->num && entry[-1].off == entry->off))
        continue;
      object = tpd_pdf_object_read_indirect (search->file->reader, entry->off, NULL);
      if (!tpd_pdf_file_count_work (search->file, entry->off, NULL))
        return;
      if (object != NULL
          && (tpd_pdf_dict_get (object, 0, "EP") > 0
              || tpd_pdf_dict_has_name (object, 0, "AFRelationship", "EncryptedPayload")))
        try_spec (search, object, 0);
    }
}

TpdPdfWrapper
tpd_pdf_wrapper_find (TpdPdfFile *file, TpdPdfPayload *payload, GError **error)
{
  g_autoptr (TpdPdfObject) held_root = NULL, held = NULL;
  Search search = { file, payload, MAX_FILES, MAX_NODES, TPD_PDF_WRAPPER_NONE, FALSE, NULL };
  const TpdPdfObject *root = NULL, *array;
  guint index = 0;

  memset (payload, 0, sizeof *payload);
  if (!file->lazy)
    {
      search.files_left *= THOROUGH;
      search.nodes_left *= THOROUGH;
    }
  if (file->newest != NULL)
    root = look_up (&search, file->newest, &index, "Root", &held_root);
  if (root != NULL && tpd_pdf_token (root, index)->type == TPD_PDF_DICT)
    {
      guint files = index;

      array = look_up (&search, root, &files, "AF", &held);
      if (array != NULL)
        try_array (&search, array, files);
      if (!is_found (&search))
        try_names (&search, root);
    }
  else
    search.unclear = TRUE;
  if (!is_found (&search) && !file->lazy && (search.unclear || file->rebuilt))
    try_all (&search);
  if (search.error != NULL)
    g_propagate_error (error, search.error);
  return search.result == TPD_PDF_WRAPPER_NONE && search.unclear ? TPD_PDF_WRAPPER_UNCLEAR : search.result;
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
