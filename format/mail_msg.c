/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail written as an Outlook item ([MS-OXMSG]).
 *
 * Over a .msg that carried the protected mail, everything stays as it is but
 * what stood in for the protected content: body, attachments and content
 * class. Without one, an item is made of the headers of an Internet message
 * (format/msg_new.c). Either way nothing is written that is not in the input:
 * no time of today, no random id.
 */
#include <string.h>

#include "base/error.h"
#include "format/mail.h"
#include "format/msg_item.h"
#include "format/msg_write.h"
#include "format/rtf.h"

/* [MS-OXBBODY] 2.1.4.1: PidTagNativeBody */
#define NATIVE_PLAIN 1
#define NATIVE_RTF 2
#define NATIVE_HTML 3

/* [MS-OXCMSG] 2.2.2.9 */
#define METHOD_BY_VALUE 1
#define METHOD_EMBEDDED 5
#define METHOD_OLE 6
/* What the table says of values that are storages, [MS-OXMSG] 2.4.2.2. */
#define OBJECT_EMBEDDED G_GUINT64_CONSTANT (0x1ffffffff)
#define OBJECT_OLE G_GUINT64_CONSTANT (0x4ffffffff)

#define FLAG_HAS_ATTACHMENTS 0x10
/* PidTagAttachFlags: shown in the body, not in a list. */
#define ATTACH_RENDERED 4
#define NOT_RENDERED 0xffffffffu
#define CODE_PAGE_UTF8 65001

/* Protected voice mail has a class of its own. */
#define PROTECTED_CLASS "IPM.Note.rpmsg."
#define PLAIN_CLASS "IPM.Note."

/* --- Body --------------------------------------------------------------- */

/* Bytes are kept where their code page is one that an item may name. */
static gboolean
put_html (TpdMsgObject *item, const TpdMailContent *content, GError **error)
{
  gsize len;
  const guint8 *data = g_bytes_get_data (content->body, &len);
  guint code_page = content->code_page;
  const char *charset = tpd_mail_charset (code_page);
  gboolean keep = charset != NULL && g_ascii_strncasecmp (charset, "utf-16", 6) != 0
                  && g_ascii_strncasecmp (charset, "utf-32", 6) != 0;
  g_autofree char *text = NULL;

  if (!keep)
    {
      text = tpd_mail_decode (data, len, code_page);
      data = (const guint8 *) text;
      len = strlen (text);
      code_page = CODE_PAGE_UTF8;
    }
  /* 8-bit texts may have been in this code page only because it was named. */
  if (!item->unicode)
    tpd_msg_table_set (&item->table, TPD_MSG_TAG (TPD_MSG_MESSAGE_CODE_PAGE, TPD_MSG_LONG), item->code_page);
  tpd_msg_table_set (&item->table, TPD_MSG_TAG (TPD_MSG_INTERNET_CODE_PAGE, TPD_MSG_LONG), code_page);
  tpd_msg_table_set (&item->table, TPD_MSG_TAG (TPD_MSG_NATIVE_BODY, TPD_MSG_LONG), NATIVE_HTML);
  return tpd_msg_put_bytes (item, TPD_MSG_HTML, data, len, error);
}

static gboolean
put_rtf (TpdMsgObject *item, GBytes *rtf, GError **error)
{
  gsize len;
  const guint8 *data = g_bytes_get_data (rtf, &len);
  g_autoptr (GBytes) stored = tpd_rtf_store (data, len);

  tpd_msg_table_set (&item->table, TPD_MSG_TAG (TPD_MSG_NATIVE_BODY, TPD_MSG_LONG), NATIVE_RTF);
  tpd_msg_table_set (&item->table, TPD_MSG_TAG (TPD_MSG_RTF_IN_SYNC, TPD_MSG_BOOLEAN), TRUE);
  data = g_bytes_get_data (stored, &len);
  return tpd_msg_put_bytes (item, TPD_MSG_RTF_COMPRESSED, data, len, error);
}

static gboolean
put_body (TpdMsgObject *item, const TpdMailContent *content, GError **error)
{
  g_autofree char *text = NULL;

  if (content->body_format == TPD_BODY_RTF && content->rtf != NULL)
    return put_rtf (item, content->rtf, error);
  if (content->body == NULL)
    return TRUE;
  if (content->body_format != TPD_BODY_PLAIN)
    return put_html (item, content, error);
  text = tpd_mail_body_text (content);
  tpd_msg_table_set (&item->table, TPD_MSG_TAG (TPD_MSG_NATIVE_BODY, TPD_MSG_LONG), NATIVE_PLAIN);
  return tpd_msg_put_text (item, TPD_MSG_BODY, text, error);
}

/* --- Attachments -------------------------------------------------------- */

static void
put_long (TpdMsgObject *object, guint16 id, guint32 value)
{
  tpd_msg_table_set (&object->table, TPD_MSG_TAG (id, TPD_MSG_LONG), value);
}

static void
put_fixed (TpdMsgObject *part, const TpdMailAttachment *attachment, guint32 number)
{
  put_long (part, TPD_MSG_ATTACH_SIZE, (guint32) MIN (attachment->source->size, (guint64) G_MAXINT32));
  put_long (part, TPD_MSG_ATTACH_NUMBER, number);
  put_long (part, TPD_MSG_RENDERING_POSITION, attachment->has_position ? attachment->position : NOT_RENDERED);
  if (attachment->hidden)
    {
      put_long (part, TPD_MSG_ATTACH_FLAGS, ATTACH_RENDERED);
      tpd_msg_table_set (&part->table, TPD_MSG_TAG (TPD_MSG_ATTACH_HIDDEN, TPD_MSG_BOOLEAN), TRUE);
    }
  if (attachment->created != 0)
    tpd_msg_table_set (&part->table, TPD_MSG_TAG (TPD_MSG_CREATED, TPD_MSG_TIME), attachment->created);
  if (attachment->modified != 0)
    tpd_msg_table_set (&part->table, TPD_MSG_TAG (TPD_MSG_MODIFIED, TPD_MSG_TIME), attachment->modified);
}

/* Names: of files by the name that is fit for a file, of items by their title. */
static gboolean
put_names (TpdMsgObject *part, const TpdMailAttachment *attachment, GError **error)
{
  const char *name = attachment->name;
  gboolean renamed = attachment->nested == TPD_VERDICT_OK;
  const char *shown = attachment->display_name != NULL && !renamed ? attachment->display_name : name;

  if (attachment->method != TPD_ATTACH_FILE)
    return tpd_msg_put_text (part, TPD_MSG_DISPLAY_NAME, shown, error);
  return tpd_msg_put_text (part, TPD_MSG_DISPLAY_NAME, shown, error)
         && tpd_msg_put_text (part, TPD_MSG_ATTACH_LONG_NAME, name, error)
         && tpd_msg_put_text (part, TPD_MSG_ATTACH_EXTENSION, strrchr (name, '.'), error)
         && (renamed || tpd_msg_put_text (part, TPD_MSG_ATTACH_SHORT_NAME, attachment->short_name, error))
         && tpd_msg_put_text (part, TPD_MSG_ATTACH_CONTENT_ID, attachment->content_id, error)
         && tpd_msg_put_text (part, TPD_MSG_ATTACH_LOCATION, attachment->content_location, error);
}

static gboolean
put_ole (TpdCfbWriter *writer, guint32 storage, TpdSource *source, GError **error)
{
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, error);

  return cfb != NULL && tpd_cfb_writer_copy_storage (writer, storage, cfb, tpd_cfb_root (cfb), error);
}

static gboolean
put_data (TpdMsgObject *part, const TpdMailAttachment *attachment, TpdMsgNames *names, GError **error)
{
  const guint32 tag = TPD_MSG_TAG (TPD_MSG_ATTACH_DATA, TPD_MSG_OBJECT);
  gboolean is_item = attachment->method == TPD_ATTACH_MESSAGE;
  char name[TPD_MSG_STREAM_NAME_SIZE];
  guint32 storage;

  if (attachment->method == TPD_ATTACH_FILE)
    {
      put_long (part, TPD_MSG_ATTACH_METHOD, METHOD_BY_VALUE);
      return tpd_msg_put_source (part, TPD_MSG_ATTACH_DATA, attachment->source, error);
    }
  put_long (part, TPD_MSG_ATTACH_METHOD, is_item ? METHOD_EMBEDDED : METHOD_OLE);
  tpd_msg_table_set (&part->table, tag, is_item ? OBJECT_EMBEDDED : OBJECT_OLE);
  tpd_msg_stream_name (tag, name);
  if (!tpd_cfb_writer_add_storage (part->writer, part->storage, name, &storage, error))
    return FALSE;
  return is_item ? tpd_msg_embed (part->writer, storage, attachment->source, names, error)
                 : put_ole (part->writer, storage, attachment->source, error);
}

static gboolean
put_attachment (TpdMsgObject *item, const TpdMailAttachment *attachment, guint32 number, TpdMsgNames *names,
                GError **error)
{
  g_autofree char *name = g_strdup_printf (TPD_MSG_ATTACH "%08X", number);
  TpdMsgObject part = *item;
  gboolean ok;

  if (!tpd_cfb_writer_add_storage (item->writer, item->storage, name, &part.storage, error))
    return FALSE;
  tpd_msg_table_init (&part.table);
  put_fixed (&part, attachment, number);
  ok = put_names (&part, attachment, error) && put_data (&part, attachment, names, error)
       && tpd_msg_table_write (&part.table, TPD_MSG_HEADER_PART, item->writer, part.storage, error);
  tpd_msg_table_clear (&part.table);
  return ok;
}

/* --- The original ------------------------------------------------------- */

/* What described the placeholder: all forms of the body and how they agree. */
static gboolean
is_replaced (guint16 id, guint16 content_class)
{
  static const guint16 ids[] = { TPD_MSG_BODY,
                                 TPD_MSG_RTF_COMPRESSED,
                                 TPD_MSG_HTML,
                                 TPD_MSG_NATIVE_BODY,
                                 TPD_MSG_RTF_IN_SYNC,
                                 0x1006, /* RtfSyncBody... */
                                 0x1007,
                                 0x1008,
                                 0x1010,
                                 0x1011,
                                 0x1014, /* BodyContentLocation */
                                 0x1015 /* BodyContentId */ };

  if (id == 0)
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (ids); i++)
    if (id == ids[i])
      return TRUE;
  return id == content_class;
}

/* The class of the plain item, NULL to keep what there is. (transfer full) */
static gboolean
plain_class (TpdCfb *cfb, guint code_page, char **class, GError **error)
{
  g_autofree char *old = NULL;

  *class = NULL;
  if (!tpd_msg_read_text (cfb, tpd_cfb_root (cfb), TPD_MSG_MESSAGE_CLASS, code_page, TPD_MSG_MAX_TEXT, &old, error))
    return FALSE;
  if (old != NULL && g_ascii_strncasecmp (old, PROTECTED_CLASS, strlen (PROTECTED_CLASS)) == 0)
    *class = g_strconcat (PLAIN_CLASS, old + strlen (PROTECTED_CLASS), NULL);
  return TRUE;
}

typedef struct {
  TpdCfb *cfb;
  guint16 content_class; /* id, 0 if it has none */
  gboolean new_class;    /* the message class is replaced too */
  guint32 n_recipients;
  const TpdCfbEntry *names; /* map of named properties, NULL if there is none */
} Original;

static gboolean
copy_storage (TpdMsgObject *item, Original *original, const TpdCfbEntry *entry, GError **error)
{
  guint32 storage;

  if (g_ascii_strncasecmp (entry->name, TPD_MSG_ATTACH, strlen (TPD_MSG_ATTACH)) == 0)
    return TRUE;
  /* Written last, when all names are known. */
  if (tpd_cfb_name_equal (entry->name, TPD_MSG_NAMEID))
    {
      original->names = entry;
      return TRUE;
    }
  if (g_ascii_strncasecmp (entry->name, TPD_MSG_RECIP, strlen (TPD_MSG_RECIP)) == 0
      && ++original->n_recipients > TPD_MSG_MAX_OBJECTS)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE, "The mail has more than %d recipients.", TPD_MSG_MAX_OBJECTS);
      return FALSE;
    }
  return tpd_cfb_writer_add_storage (item->writer, item->storage, entry->name, &storage, error)
         && tpd_cfb_writer_copy_storage (item->writer, storage, original->cfb, entry, error);
}

static gboolean
copy_original (TpdMsgObject *item, Original *original, GError **error)
{
  const GPtrArray *list = tpd_cfb_children (original->cfb, tpd_cfb_root (original->cfb), error);
  guint kept = 0;

  if (list == NULL)
    return FALSE;
  for (guint i = 0; i < list->len; i++)
    {
      const TpdCfbEntry *entry = g_ptr_array_index (list, i);
      guint16 id;

      if (entry->type == TPD_CFB_STORAGE)
        {
          if (!copy_storage (item, original, entry, error))
            return FALSE;
          continue;
        }
      id = tpd_msg_stream_id (entry->name);
      if (is_replaced (id, original->content_class) || (id == TPD_MSG_MESSAGE_CLASS && original->new_class)
          || tpd_cfb_name_equal (entry->name, TPD_MSG_PROPERTIES))
        continue;
      if (!tpd_cfb_writer_copy_stream (item->writer, item->storage, original->cfb, entry, error))
        return FALSE;
    }
  for (guint i = 0; i < item->table.list->len; i++)
    {
      TpdMsgProperty property = g_array_index (item->table.list, TpdMsgProperty, i);

      if (!is_replaced (TPD_MSG_ID (property.tag), original->content_class))
        g_array_index (item->table.list, TpdMsgProperty, kept++) = property;
    }
  g_array_set_size (item->table.list, kept);
  return TRUE;
}

/* --- Writing ------------------------------------------------------------ */

static gboolean
write_names (TpdMsgObject *item, const Original *original, const TpdMsgNames *names, GError **error)
{
  guint32 storage;

  if (original->names == NULL || tpd_msg_names_changed (names))
    return tpd_msg_names_write (names, item->writer, item->storage, error);
  return tpd_cfb_writer_add_storage (item->writer, item->storage, TPD_MSG_NAMEID, &storage, error)
         && tpd_cfb_writer_copy_storage (item->writer, storage, original->cfb, original->names, error);
}

static gboolean
write_content (TpdMsgObject *item, const TpdMailContent *content, const Original *original, TpdMsgNames *names,
               TpdSink *sink, GError **error)
{
  const guint32 flags_tag = TPD_MSG_TAG (TPD_MSG_FLAGS, TPD_MSG_LONG);
  guint32 n = content->attachments->len;
  guint32 flags = (guint32) tpd_msg_table_get (&item->table, flags_tag, 0) & ~(guint32) FLAG_HAS_ATTACHMENTS;

  if (!put_body (item, content, error))
    return FALSE;
  for (guint32 i = 0; i < n; i++)
    if (!put_attachment (item, g_ptr_array_index (content->attachments, i), i, names, error))
      return FALSE;
  tpd_msg_table_set (&item->table, flags_tag, n > 0 ? flags | FLAG_HAS_ATTACHMENTS : flags);
  tpd_msg_table_set (&item->table, TPD_MSG_TAG (TPD_MSG_HAS_ATTACHMENTS, TPD_MSG_BOOLEAN), n > 0);
  tpd_msg_table_set_counts (&item->table, original->n_recipients, n);
  return write_names (item, original, names, error)
         && tpd_msg_table_write (&item->table, TPD_MSG_HEADER_ITEM, item->writer, item->storage, error)
         && tpd_cfb_writer_finish (item->writer, sink, error);
}

static gboolean
write_over (TpdMsgObject *item, const TpdMailContent *content, TpdCfb *cfb, TpdSink *sink, GError **error)
{
  const TpdCfbEntry *root = tpd_cfb_root (cfb);
  Original original = { .cfb = cfb };
  g_autoptr (TpdMsgNames) names = NULL;
  g_autofree char *class = NULL;

  if (!tpd_msg_table_read (&item->table, cfb, root, TRUE, error))
    return FALSE;
  item->unicode = tpd_msg_is_unicode (&item->table);
  item->code_page = tpd_msg_code_page (&item->table);
  names = tpd_msg_names_read (cfb, root, error);
  if (names == NULL || !plain_class (cfb, item->code_page, &class, error))
    return FALSE;
  original.content_class = tpd_msg_names_content_class (names);
  original.new_class = class != NULL;
  tpd_cfb_writer_set_clsid (item->writer, item->storage, root->clsid);
  return copy_original (item, &original, error) && tpd_msg_put_text (item, TPD_MSG_MESSAGE_CLASS, class, error)
         && write_content (item, content, &original, names, sink, error);
}

static gboolean
write_new (TpdMsgObject *item, const TpdMailContent *content, const TpdMailHeaders *headers, TpdSink *sink,
           GError **error)
{
  Original original = { 0 };
  g_autoptr (TpdMsgNames) names = tpd_msg_names_new ();

  item->unicode = TRUE;
  tpd_cfb_writer_set_clsid (item->writer, item->storage, tpd_msg_clsid);
  return tpd_msg_put_headers (item, headers, &original.n_recipients, error)
         && write_content (item, content, &original, names, sink, error);
}

gboolean
tpd_mail_write_msg (const TpdMailContent *content, TpdSource *original, const TpdMailHeaders *headers, TpdSink *sink,
                    GError **error)
{
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (TpdCfbWriter) writer = NULL;
  TpdMsgObject item = { .storage = TPD_CFB_WRITER_ROOT };
  gboolean ok;

  if (original != NULL && (cfb = tpd_cfb_open (original, error)) == NULL)
    return FALSE;
  writer = tpd_cfb_writer_new (cfb != NULL ? tpd_cfb_version (cfb) : 3);
  item.writer = writer;
  tpd_msg_table_init (&item.table);
  ok = cfb != NULL ? write_over (&item, content, cfb, sink, error) : write_new (&item, content, headers, sink, error);
  tpd_msg_table_clear (&item.table);
  return ok;
}
