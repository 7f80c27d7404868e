/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking a decrypted mail apart ([MS-OXORMMS] 2.2.4.4; docs/formats.md, "Mail").
 * The bodies are streams; attachments are storages "MailAttachment N" that the
 * stream "Attachment Info" lists. What the list or a description gets wrong
 * costs a name or a position, with a warning, never the attachment: its bytes
 * do not depend on them.
 */
#include "format/mail_content.h"

#include <stdarg.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"

#define ATTACHMENT_PREFIX "MailAttachment "
/* Streams beside bodies and contents. */
#define DESCRIPTION_MAX (1024 * 1024)
/* A stored name, in characters. */
#define STORED_NAME_MAX 1024
#define ATTACH_BY_VALUE 1
#define ATTACH_EMBEDDED 5

void
tpd_mail_content_warn (TpdMailContent *content, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_ptr_array_add (content->warnings, g_strdup_vprintf (format, args));
  va_end (args);
}

static void
attachment_free (gpointer data)
{
  TpdMailAttachment *attachment = data;

  g_free (attachment->name);
  g_free (attachment->long_name);
  g_free (attachment->short_name);
  g_free (attachment->display_name);
  g_free (attachment->extension);
  g_free (attachment->content_id);
  g_free (attachment->content_location);
  tpd_source_unref (attachment->source);
  g_free (attachment);
}

TpdMailContent *
tpd_mail_content_new (void)
{
  TpdMailContent *content = g_new0 (TpdMailContent, 1);

  content->attachments = g_ptr_array_new_with_free_func (attachment_free);
  content->fallbacks = g_ptr_array_new_with_free_func (g_free);
  content->warnings = g_ptr_array_new_with_free_func (g_free);
  return content;
}

void
tpd_mail_content_free (TpdMailContent *content)
{
  if (content == NULL)
    return;
  g_clear_pointer (&content->body, g_bytes_unref);
  g_clear_pointer (&content->as_html, g_bytes_unref);
  g_clear_pointer (&content->rtf, g_bytes_unref);
  g_ptr_array_unref (content->attachments);
  g_ptr_array_unref (content->fallbacks);
  g_ptr_array_unref (content->warnings);
  g_free (content);
}

TpdMailAttachment *
tpd_mail_content_add (TpdMailContent *content, TpdAttachMethod method)
{
  TpdMailAttachment *attachment = g_new0 (TpdMailAttachment, 1);

  attachment->method = method;
  attachment->nested = TPD_VERDICT_NOT_PROTECTED;
  g_ptr_array_add (content->attachments, attachment);
  return attachment;
}

static gboolean
has_text (const GPtrArray *array, const char *text)
{
  for (guint i = 0; i < array->len; i++)
    if (strcmp (g_ptr_array_index (array, i), text) == 0)
      return TRUE;
  return FALSE;
}

void
tpd_mail_content_add_notes (TpdMailContent *content, const char *name, const TpdDocument *document)
{
  for (guint i = 0; document->fallbacks != NULL && document->fallbacks[i] != NULL; i++)
    if (!has_text (content->fallbacks, document->fallbacks[i]))
      g_ptr_array_add (content->fallbacks, g_strdup (document->fallbacks[i]));
  for (guint i = 0; document->warnings != NULL && document->warnings[i] != NULL; i++)
    if (name != NULL)
      tpd_mail_content_warn (content, "Attachment \"%s\": %s", name, document->warnings[i]);
    else
      g_ptr_array_add (content->warnings, g_strdup (document->warnings[i]));
  content->other_keys = content->other_keys || document->other_keys;
}

static char **
copy_strv (const GPtrArray *array)
{
  char **words;

  if (array->len == 0)
    return NULL;
  words = g_new0 (char *, array->len + 1);
  for (guint i = 0; i < array->len; i++)
    words[i] = g_strdup (g_ptr_array_index (array, i));
  return words;
}

TpdDocument *
tpd_mail_content_to_document (TpdMailContent *content, TpdKind kind, TpdSink *sink, GError **error)
{
  TpdDocument *document = tpd_sink_to_document (sink, kind, error);

  if (document == NULL)
    return NULL;
  document->cipher = content->cipher;
  document->proof = content->proof;
  document->fallbacks = copy_strv (content->fallbacks);
  document->warnings = copy_strv (content->warnings);
  document->other_keys = content->other_keys;
  return document;
}

/* --- Streams ---------------------------------------------------------- */

/* The mail while it is read. */
typedef struct {
  TpdMailContent *content;
  TpdCfb *cfb;
  TpdBudget *budget;
} Reader;

/* Finds a child of the given type; NULL without error if there is none. */
static gboolean
find (Reader *r, const TpdCfbEntry *from, const char *name, TpdCfbType type, const TpdCfbEntry **entry, GError **error)
{
  if (!tpd_cfb_find (r->cfb, from, name, entry, error))
    return FALSE;
  if (*entry != NULL && (*entry)->type != type)
    *entry = NULL;
  return TRUE;
}

/* The bytes of a stream, NULL in `*out` if there is none. */
static gboolean
read_stream (Reader *r, const TpdCfbEntry *from, const char *name, gsize max, GBytes **out, GError **error)
{
  const TpdCfbEntry *entry;

  *out = NULL;
  if (!find (r, from, name, TPD_CFB_STREAM, &entry, error))
    return FALSE;
  if (entry == NULL)
    return TRUE;
  if (!tpd_budget_charge (r->budget, MIN (entry->size, (guint64) max), error))
    return FALSE;
  *out = tpd_cfb_stream_read (r->cfb, entry, max, error);
  return *out != NULL;
}

/* --- Bodies ----------------------------------------------------------- */

static gboolean
read_body_info (Reader *r, GError **error)
{
  g_autoptr (GBytes) info = NULL;
  TpdBytes bytes;
  guint16 format;
  guint32 code_page;

  if (!read_stream (r, NULL, "OutlookBodyStreamInfo", DESCRIPTION_MAX, &info, error))
    return FALSE;
  bytes = tpd_bytes (NULL, 0);
  if (info != NULL)
    bytes = tpd_bytes (g_bytes_get_data (info, NULL), g_bytes_get_size (info));
  if (!tpd_bytes_take_u16le (&bytes, &format) || !tpd_bytes_take_u32le (&bytes, &code_page))
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "The protected message is damaged: what it decrypts to does not describe a mail.");
      return FALSE;
    }
  if (format < TPD_BODY_PLAIN || format > TPD_BODY_RTF)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                   "The protected message has a body of the unknown format %u; only plain text, HTML and RTF exist.",
                   format);
      return FALSE;
    }
  r->content->body_format = (TpdBodyFormat) format;
  r->content->code_page = code_page;
  return TRUE;
}

static gboolean
read_rtf (Reader *r, GError **error)
{
  g_autoptr (GBytes) stored = NULL;
  const guint8 *data;
  gsize len;

  if (!read_stream (r, NULL, "BodyRTF", TPD_MAIL_MAX_BODY, &stored, error))
    return FALSE;
  if (stored == NULL)
    return TRUE;
  data = g_bytes_get_data (stored, &len);
  r->content->rtf = tpd_rtf_decompress (data, len, TPD_MAIL_MAX_BODY, error);
  return r->content->rtf != NULL && tpd_budget_charge (r->budget, g_bytes_get_size (r->content->rtf), error);
}

static gboolean
read_bodies (Reader *r, GError **error)
{
  TpdMailContent *content = r->content;

  if (!read_body_info (r, error) || !read_stream (r, NULL, "BodyPT-HTML", TPD_MAIL_MAX_BODY, &content->body, error))
    return FALSE;
  if (content->body_format == TPD_BODY_PLAIN
      && !read_stream (r, NULL, "BodyPTAsHTML", TPD_MAIL_MAX_BODY, &content->as_html, error))
    return FALSE;
  if (content->body_format == TPD_BODY_RTF && !read_rtf (r, error))
    return FALSE;
  if (content->body == NULL && content->rtf == NULL)
    tpd_mail_content_warn (content, "The protected message has no body.");
  return TRUE;
}

/* --- The list of attachments ------------------------------------------ */

/* A string with its length before it: one byte, or 0xFF and two bytes. NULL in
 * `*text` if it is empty. */
static gboolean
take_string (TpdBytes *bytes, gboolean wide, guint code_page, char **text)
{
  guint8 small;
  guint16 n;
  const guint8 *data;

  if (!tpd_bytes_take_u8 (bytes, &small))
    return FALSE;
  n = small;
  if (small == 0xff && !tpd_bytes_take_u16le (bytes, &n))
    return FALSE;
  if (!tpd_bytes_take (bytes, wide ? (guint64) n * 2 : n, &data))
    return FALSE;
  *text = NULL;
  n = wide || n <= STORED_NAME_MAX ? n : STORED_NAME_MAX;
  if (n > 0)
    *text = tpd_mail_decode (data, wide ? (gsize) n * 2 : n, wide ? 1200 : code_page);
  if (*text != NULL && **text == '\0')
    g_clear_pointer (text, g_free);
  return TRUE;
}

/* The N of "MailAttachment N". */
static gboolean
attachment_number (const char *name, guint64 *number)
{
  gsize prefix = strlen (ATTACHMENT_PREFIX);

  return g_ascii_strncasecmp (name, ATTACHMENT_PREFIX, prefix) == 0
         && tpd_number_parse (name + prefix, 10, 0, G_MAXUINT32, number);
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  guint64 left = 0, right = 0;

  attachment_number ((*(TpdCfbEntry *const *) a)->name, &left);
  attachment_number ((*(TpdCfbEntry *const *) b)->name, &right);
  return left < right ? -1 : left > right;
}

/* The storages that hold attachments, by their numbers. */
static GPtrArray *
list_storages (Reader *r, const TpdCfbEntry *list, GError **error)
{
  const GPtrArray *children = tpd_cfb_children (r->cfb, list, error);
  g_autoptr (GPtrArray) storages = g_ptr_array_new ();

  if (children == NULL)
    return NULL;
  for (guint i = 0; i < children->len; i++)
    {
      TpdCfbEntry *child = g_ptr_array_index (children, i);
      guint64 number;

      if (child->type == TPD_CFB_STORAGE && attachment_number (child->name, &number))
        g_ptr_array_add (storages, child);
    }
  if (storages->len > TPD_MAIL_MAX_ATTACHMENTS)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE,
                   "The protected message has %u attachments; more than %u are not opened.", storages->len,
                   TPD_MAIL_MAX_ATTACHMENTS);
      return NULL;
    }
  g_ptr_array_sort (storages, compare_entries);
  return g_steal_pointer (&storages);
}

/* Where RTF has its attachments: as many records as there are names. */
typedef struct {
  guint32 position, flags, aspect, size_x, size_y;
} Place;

static gboolean
take_places (TpdBytes *bytes, GArray *places)
{
  guint32 count;

  if (!tpd_bytes_take_u32le (bytes, &count))
    return FALSE;
  for (guint32 i = 0; i < count && i < TPD_MAIL_MAX_ATTACHMENTS; i++)
    {
      Place place;

      if (!tpd_bytes_take_u32le (bytes, &place.position) || !tpd_bytes_take_u32le (bytes, &place.flags)
          || !tpd_bytes_take_u32le (bytes, &place.aspect) || !tpd_bytes_take_u32le (bytes, &place.size_x)
          || !tpd_bytes_take_u32le (bytes, &place.size_y))
        return FALSE;
      g_array_append_val (places, place);
    }
  return TRUE;
}

/* The names that the list gives, and the places if it has them. */
static gboolean
read_info (Reader *r, const TpdCfbEntry *list, char ***names, GArray *places, GError **error)
{
  g_autoptr (GBytes) info = NULL;
  g_autofree char *joined = NULL;
  TpdBytes bytes;
  guint32 count;
  gboolean whole;

  *names = NULL;
  if (!read_stream (r, list, "Attachment Info", DESCRIPTION_MAX, &info, error))
    return FALSE;
  if (info != NULL)
    {
      bytes = tpd_bytes (g_bytes_get_data (info, NULL), g_bytes_get_size (info));
      whole = tpd_bytes_take_u32le (&bytes, &count) && take_string (&bytes, TRUE, 0, &joined);
      if (whole && r->content->body_format == TPD_BODY_RTF && tpd_bytes_left (&bytes) > 0)
        whole = take_places (&bytes, places);
      if (!whole)
        tpd_mail_content_warn (r->content, "The list of attachments is damaged; all that are there were taken.");
    }
  *names = g_strsplit (joined != NULL ? joined : "", "|", -1);
  return TRUE;
}

/* The storages in the order of the list, those that it forgets behind. Holds
 * the place of each, or -1, in `order`. */
static GPtrArray *
order_storages (Reader *r, GPtrArray *storages, char **names, GArray *order)
{
  GPtrArray *ordered = g_ptr_array_new ();
  g_autoptr (GHashTable) waiting = g_hash_table_new (g_int64_hash, g_int64_equal);
  g_autofree guint64 *numbers = g_new0 (guint64, storages->len + 1);
  int place = -1;

  for (guint i = 0; i < storages->len; i++)
    {
      attachment_number (((TpdCfbEntry *) g_ptr_array_index (storages, i))->name, &numbers[i]);
      g_hash_table_insert (waiting, &numbers[i], g_ptr_array_index (storages, i));
    }
  for (guint i = 0; names[i] != NULL; i++)
    {
      guint64 number;
      TpdCfbEntry *entry = NULL;

      if (*names[i] == '\0')
        continue;
      place++;
      if (attachment_number (names[i], &number) && (entry = g_hash_table_lookup (waiting, &number)) != NULL)
        {
          g_hash_table_remove (waiting, &number);
          g_ptr_array_add (ordered, entry);
          g_array_append_val (order, place);
        }
      else
        tpd_mail_content_warn (r->content, "Attachment %d of the list is not in the message.", place + 1);
    }
  place = -1;
  for (guint i = 0; i < storages->len; i++)
    if (g_hash_table_lookup (waiting, &numbers[i]) == g_ptr_array_index (storages, i))
      {
        g_ptr_array_add (ordered, g_ptr_array_index (storages, i));
        g_array_append_val (order, place);
      }
  return ordered;
}

/* --- One attachment --------------------------------------------------- */

/* A string of AttachDesc: kept in `*slot` unless that has one already. */
static gboolean
take_into (TpdBytes *bytes, gboolean wide, guint code_page, char **slot)
{
  g_autofree char *text = NULL;

  if (!take_string (bytes, wide, code_page, &text))
    return FALSE;
  if (slot != NULL && text != NULL)
    {
      g_free (*slot);
      *slot = g_utf8_substring (text, 0, MIN (g_utf8_strlen (text, -1), STORED_NAME_MAX));
    }
  return TRUE;
}

/* The Unicode strings come second and win. */
static gboolean
take_description (TpdBytes *bytes, TpdMailAttachment *a, guint code_page, guint32 *method)
{
  char **const ansi[] = { NULL, NULL, &a->display_name, &a->long_name, &a->short_name, &a->extension };
  char **const wide[] = { &a->content_id,
                          &a->content_location,
                          NULL,
                          NULL,
                          &a->display_name,
                          &a->long_name,
                          &a->short_name,
                          &a->extension,
                          NULL,
                          NULL,
                          NULL };
  guint16 version;
  guint32 hidden;

  if (!tpd_bytes_take_u16le (bytes, &version))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (ansi); i++)
    if (!take_into (bytes, FALSE, code_page, ansi[i]))
      return FALSE;
  if (!tpd_bytes_take_u64le (bytes, &a->created) || !tpd_bytes_take_u64le (bytes, &a->modified)
      || !tpd_bytes_take_u32le (bytes, method))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (wide); i++)
    if (!take_into (bytes, TRUE, code_page, wide[i]))
      return FALSE;
  if (!tpd_bytes_take_u32le (bytes, &hidden))
    return FALSE;
  a->hidden = hidden != 0;
  return tpd_bytes_take_u32le (bytes, &a->flags);
}

static gboolean
read_description (Reader *r, const TpdCfbEntry *storage, TpdMailAttachment *attachment, guint32 *method, GError **error)
{
  g_autoptr (GBytes) stored = NULL;
  TpdBytes bytes;

  *method = 0;
  if (!read_stream (r, storage, "AttachDesc", DESCRIPTION_MAX, &stored, error))
    return FALSE;
  if (stored == NULL)
    return TRUE;
  bytes = tpd_bytes (g_bytes_get_data (stored, NULL), g_bytes_get_size (stored));
  if (!take_description (&bytes, attachment, r->content->code_page, method))
    tpd_mail_content_warn (r->content, "The description of attachment %u is damaged: its name may be missing.",
                           r->content->attachments->len);
  return TRUE;
}

/* {0006F031-...-46}: a file; {00020D09-...-46}: an Outlook item. */
static TpdAttachMethod
attach_method (const TpdCfbEntry *storage, guint32 method, gboolean has_contents, gboolean has_message)
{
  static const guint8 file[16] = { 0x31, 0xf0, 0x06, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46 };
  static const guint8 message[16] = { 0x09, 0x0d, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46 };

  if (has_message && (memcmp (storage->clsid, message, 16) == 0 || method == ATTACH_EMBEDDED || !has_contents))
    return TPD_ATTACH_MESSAGE;
  if (has_contents || memcmp (storage->clsid, file, 16) == 0 || method == ATTACH_BY_VALUE)
    return TPD_ATTACH_FILE;
  return TPD_ATTACH_OLE;
}

static gboolean
read_attachment (Reader *r, const TpdCfbEntry *storage, const Place *place, GError **error)
{
  TpdMailAttachment *attachment = tpd_mail_content_add (r->content, TPD_ATTACH_FILE);
  const TpdCfbEntry *contents, *message;
  guint32 method;

  if (!read_description (r, storage, attachment, &method, error)
      || !find (r, storage, "AttachContents", TPD_CFB_STREAM, &contents, error)
      || !find (r, storage, "MAPIMessage", TPD_CFB_STORAGE, &message, error))
    return FALSE;
  if (place != NULL)
    {
      attachment->has_position = TRUE;
      attachment->position = place->position;
      attachment->aspect = place->aspect;
      attachment->size_x = place->size_x;
      attachment->size_y = place->size_y;
    }
  attachment->method = attach_method (storage, method, contents != NULL, message != NULL);
  if (attachment->method == TPD_ATTACH_MESSAGE)
    attachment->source = tpd_msg_from_storage (r->cfb, message, r->budget, error);
  else if (attachment->method == TPD_ATTACH_OLE)
    attachment->source = tpd_cfb_from_storage (r->cfb, storage, r->budget, error);
  else if (contents != NULL)
    attachment->source = tpd_cfb_stream_new (r->cfb, contents, error);
  else
    {
      g_autoptr (GBytes) nothing = g_bytes_new (NULL, 0);

      tpd_mail_content_warn (r->content, "Attachment %u has no content in the message, only a description.",
                             r->content->attachments->len);
      attachment->source = tpd_source_new_bytes (nothing);
    }
  return attachment->source != NULL;
}

static gboolean
read_attachments (Reader *r, GError **error)
{
  const TpdCfbEntry *list;
  g_autoptr (GPtrArray) storages = NULL;
  g_autoptr (GPtrArray) ordered = NULL;
  g_autoptr (GArray) places = g_array_new (FALSE, FALSE, sizeof (Place));
  g_autoptr (GArray) order = g_array_new (FALSE, FALSE, sizeof (int));
  g_auto (GStrv) names = NULL;

  if (!find (r, NULL, "Attachment List", TPD_CFB_STORAGE, &list, error))
    return FALSE;
  if (list == NULL)
    return TRUE;
  storages = list_storages (r, list, error);
  if (storages == NULL || !read_info (r, list, &names, places, error))
    return FALSE;
  ordered = order_storages (r, storages, names, order);
  for (guint i = 0; i < ordered->len; i++)
    {
      int at = g_array_index (order, int, i);
      const Place *place = at >= 0 && (guint) at < places->len ? &g_array_index (places, Place, at) : NULL;

      if (!read_attachment (r, g_ptr_array_index (ordered, i), place, error))
        return FALSE;
    }
  tpd_mail_name_attachments (r->content);
  return TRUE;
}

gboolean
tpd_mail_content_read (TpdMailContent *content, TpdSource *plain, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (plain, error);
  Reader reader = { content, cfb, budget };

  if (cfb == NULL || !read_bodies (&reader, error) || !read_attachments (&reader, error))
    return FALSE;
  /* All of its structure was followed. */
  content->proof = MAX (content->proof, TPD_PROOF_PLAUSIBLE);
  return TRUE;
}
