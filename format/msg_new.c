/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new Outlook item from the headers of an Internet message: the properties
 * that [MS-OXCMAIL] 2.2.3 makes of header fields, without those that only a
 * mail server could tell.
 */
#include <string.h>

#include "base/error.h"
#include "format/msg_write.h"

#define CLASS "IPM.Note"
#define FLAG_READ 1
/* [MS-OXOMSG] 2.2.3.1 */
#define TYPE_TO 1
#define TYPE_CC 2
#define TYPE_BCC 3
/* PidTagObjectType of a recipient */
#define OBJECT_MAIL_USER 6
#define CODE_PAGE_UTF8 65001

static void
put_long (TpdMsgObject *object, guint16 id, guint32 value)
{
  tpd_msg_table_set (&object->table, TPD_MSG_TAG (id, TPD_MSG_LONG), value);
}

static const char *
shown_name (const TpdMailAddress *address)
{
  return address->name != NULL ? address->name : address->address;
}

/* Properties are ids of name, type, address and SMTP address. */
static gboolean
put_address (TpdMsgObject *object, const TpdMailAddress *address, const guint16 ids[4], GError **error)
{
  return tpd_msg_put_text (object, ids[0], shown_name (address), error)
         && tpd_msg_put_text (object, ids[1], "SMTP", error)
         && tpd_msg_put_text (object, ids[2], address->address, error)
         && tpd_msg_put_text (object, ids[3], address->address, error);
}

static gboolean
put_recipient (TpdMsgObject *item, const TpdMailAddress *address, guint32 type, guint32 number, GError **error)
{
  static const guint16 ids[4] = { TPD_MSG_DISPLAY_NAME, TPD_MSG_ADDRESS_TYPE, TPD_MSG_ADDRESS, TPD_MSG_SMTP_ADDRESS };
  g_autofree char *name = g_strdup_printf (TPD_MSG_RECIP "%08X", number);
  TpdMsgObject part = *item;
  gboolean ok;

  if (!tpd_cfb_writer_add_storage (item->writer, item->storage, name, &part.storage, error))
    return FALSE;
  tpd_msg_table_init (&part.table);
  put_long (&part, TPD_MSG_RECIPIENT_TYPE, type);
  put_long (&part, TPD_MSG_OBJECT_TYPE, OBJECT_MAIL_USER);
  put_long (&part, TPD_MSG_ROW_ID, number);
  ok = put_address (&part, address, ids, error)
       && tpd_msg_table_write (&part.table, TPD_MSG_HEADER_PART, item->writer, part.storage, error);
  tpd_msg_table_clear (&part.table);
  return ok;
}

/* Recipients of one field, and the list of their names. */
static gboolean
put_recipients (TpdMsgObject *item, const GPtrArray *list, guint32 type, guint16 id, guint32 *number, GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (guint i = 0; i < list->len; i++)
    {
      const TpdMailAddress *address = g_ptr_array_index (list, i);

      if (*number >= TPD_MSG_MAX_OBJECTS)
        {
          g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE, "The mail has more than %d recipients.",
                       TPD_MSG_MAX_OBJECTS);
          return FALSE;
        }
      if (!put_recipient (item, address, type, (*number)++, error))
        return FALSE;
      g_string_append_printf (names, "%s%s", i > 0 ? "; " : "", shown_name (address));
    }
  return tpd_msg_put_text (item, id, names->str, error);
}

/* [MS-OXCMSG] 2.2.1.9: up to three characters, a colon and a blank. */
static gboolean
put_subject (TpdMsgObject *item, const char *subject, GError **error)
{
  const char *colon = strstr (subject, ": ");
  g_autofree char *prefix = NULL;
  gboolean has_prefix = colon != NULL && g_utf8_strlen (subject, colon - subject) <= 3;

  for (const char *p = subject; has_prefix && p < colon; p = g_utf8_next_char (p))
    has_prefix = g_unichar_isalpha (g_utf8_get_char (p));
  has_prefix = has_prefix && colon > subject;
  prefix = has_prefix ? g_strndup (subject, (gsize) (colon + 2 - subject)) : g_strdup ("");
  return tpd_msg_put_text (item, TPD_MSG_SUBJECT, subject, error)
         && tpd_msg_put_text (item, TPD_MSG_SUBJECT_PREFIX, prefix, error)
         && tpd_msg_put_text (item, TPD_MSG_NORMALIZED_SUBJECT, has_prefix ? colon + 2 : subject, error);
}

static gboolean
put_senders (TpdMsgObject *item, const TpdMailHeaders *headers, GError **error)
{
  static const guint16 from_ids[4] = { TPD_MSG_REPRESENTING_NAME, TPD_MSG_REPRESENTING_TYPE,
                                       TPD_MSG_REPRESENTING_ADDRESS, TPD_MSG_REPRESENTING_SMTP };
  static const guint16 sender_ids[4] = { TPD_MSG_SENDER_NAME, TPD_MSG_SENDER_TYPE, TPD_MSG_SENDER_ADDRESS,
                                         TPD_MSG_SENDER_SMTP };
  const TpdMailAddress *from = headers->from != NULL ? headers->from : headers->sender;
  const TpdMailAddress *sender = headers->sender != NULL ? headers->sender : headers->from;

  return from == NULL || (put_address (item, from, from_ids, error) && put_address (item, sender, sender_ids, error));
}

/* Ids of messages are kept in angle brackets, as in the header. */
static gboolean
put_id (TpdMsgObject *item, guint16 id, const char *text, GError **error)
{
  g_autofree char *bracketed = NULL;

  if (text != NULL)
    bracketed = *text == '<' ? g_strdup (text) : g_strdup_printf ("<%s>", text);
  return tpd_msg_put_text (item, id, bracketed, error);
}

static gboolean
put_transport_headers (TpdMsgObject *item, GBytes *block, GError **error)
{
  gsize len;
  const guint8 *data;
  g_autofree char *text = NULL;

  if (block == NULL)
    return TRUE;
  data = g_bytes_get_data (block, &len);
  text = tpd_mail_decode (data, len, CODE_PAGE_UTF8);
  return tpd_msg_put_text (item, TPD_MSG_TRANSPORT_HEADERS, text, error);
}

gboolean
tpd_msg_put_headers (TpdMsgObject *item, const TpdMailHeaders *headers, guint32 *n_recipients, GError **error)
{
  put_long (item, TPD_MSG_STORE_SUPPORT, TPD_MSG_STORE_UNICODE);
  put_long (item, TPD_MSG_FLAGS, FLAG_READ);
  if (!tpd_msg_put_text (item, TPD_MSG_MESSAGE_CLASS, CLASS, error))
    return FALSE;
  if (headers == NULL)
    return TRUE;
  if (headers->date != 0)
    {
      tpd_msg_table_set (&item->table, TPD_MSG_TAG (TPD_MSG_SUBMIT_TIME, TPD_MSG_TIME), headers->date);
      tpd_msg_table_set (&item->table, TPD_MSG_TAG (TPD_MSG_DELIVERY_TIME, TPD_MSG_TIME), headers->date);
    }
  return (headers->subject == NULL || put_subject (item, headers->subject, error)) && put_senders (item, headers, error)
         && put_recipients (item, headers->to, TYPE_TO, TPD_MSG_DISPLAY_TO, n_recipients, error)
         && put_recipients (item, headers->cc, TYPE_CC, TPD_MSG_DISPLAY_CC, n_recipients, error)
         && put_recipients (item, headers->bcc, TYPE_BCC, TPD_MSG_DISPLAY_BCC, n_recipients, error)
         && put_id (item, TPD_MSG_MESSAGE_ID, headers->message_id, error)
         && put_id (item, TPD_MSG_IN_REPLY_TO, headers->in_reply_to, error)
         && put_id (item, TPD_MSG_REFERENCES, headers->references, error)
         && put_transport_headers (item, headers->block, error);
}
