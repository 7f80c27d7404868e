/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header block of an Outlook item as an Internet message ([MS-OXCMAIL]
 * 2.1.3): the transport headers that the item keeps, and for each field that a
 * mail should have and they have not, what the properties say. Items that were
 * never sent over the Internet keep no transport headers at all.
 */
#include <string.h>

#include "base/error.h"
#include "format/eml_mime.h"
#include "format/mail.h"
#include "format/msg_props.h"

/* Of an encoded word: 75 characters with =?utf-8?B? and ?= (RFC 2047 2). */
#define WORD_BYTES 45
#define LINE_LENGTH 76
/* What one word may have, so that no line comes near 998 (RFC 5322 2.1.1). */
#define WORD_MAX 500
/* FILETIME counts from 1601 in units of 100 ns. */
#define FILETIME_UNIX G_GINT64_CONSTANT (11644473600)
#define FILETIME_SECOND 10000000

typedef struct {
  TpdCfb *cfb;
  TpdMsgTable table;
  guint code_page;
  GString *out;
  gsize column; /* in the line that is written */
} Headers;

static void
headers_clear (Headers *self)
{
  tpd_msg_table_clear (&self->table);
  if (self->out != NULL)
    g_string_free (self->out, TRUE);
  tpd_cfb_free (self->cfb);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Headers, headers_clear)

static gboolean
check_size (const Headers *self, GError **error)
{
  if (self->out->len <= TPD_MAIL_MAX_HEADERS)
    return TRUE;
  g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE, "The mail has more than %d KiB of headers.",
               TPD_MAIL_MAX_HEADERS / 1024);
  return FALSE;
}

static gboolean
read_text (Headers *self, const TpdCfbEntry *storage, guint16 id, char **text, GError **error)
{
  return tpd_msg_read_text (self->cfb, storage, id, self->code_page, TPD_MSG_MAX_TEXT, text, error);
}

/* --- Words and folding --------------------------------------------------- */

static void
start_field (Headers *self, const char *name)
{
  gsize before = self->out->len;

  g_string_append_printf (self->out, "%s:", name);
  self->column = self->out->len - before;
}

static void
end_field (Headers *self)
{
  g_string_append (self->out, "\r\n");
}

/* A word with a blank before it, in a new line where this one is full. */
static void
put_word (Headers *self, const char *word, gsize len)
{
  if (len > 0 && self->column + 1 + len > LINE_LENGTH)
    {
      g_string_append (self->out, "\r\n");
      self->column = 0;
    }
  g_string_append_c (self->out, ' ');
  g_string_append_len (self->out, word, (gssize) len);
  self->column += 1 + len;
}

static gboolean
needs_encoding (const char *text)
{
  gsize run = 0;

  for (const char *p = text; *p != '\0'; p++)
    {
      run = *p == ' ' ? 0 : run + 1;
      if ((guint8) *p >= 0x7f || (guint8) *p < ' ' || run > WORD_MAX)
        return TRUE;
    }
  /* What looks like an encoded word would be taken for one. */
  return strstr (text, "=?") != NULL;
}

/* RFC 2047: pieces of whole characters. Controls become blanks. */
static void
put_encoded (Headers *self, const char *text)
{
  while (*text != '\0')
    {
      char piece[WORD_BYTES + 8];
      gsize n = 0;
      g_autofree char *base64 = NULL, *word = NULL;

      while (*text != '\0')
        {
          gsize width = (gsize) (g_utf8_next_char (text) - text);

          if (n + width > WORD_BYTES)
            break;
          memcpy (piece + n, text, width);
          if ((guint8) piece[n] < ' ' || piece[n] == 0x7f)
            piece[n] = ' ';
          n += width;
          text += width;
        }
      base64 = g_base64_encode ((const guchar *) piece, n);
      word = g_strdup_printf ("=?utf-8?B?%s?=", base64);
      put_word (self, word, strlen (word));
    }
}

/* Unstructured text (RFC 5322 3.2.5). */
static void
put_text (Headers *self, const char *text)
{
  g_auto (GStrv) words = NULL;

  if (needs_encoding (text))
    {
      put_encoded (self, text);
      return;
    }
  words = g_strsplit (text, " ", -1);
  for (char **word = words; *word != NULL; word++)
    put_word (self, *word, strlen (*word));
}

/* A display name: atoms, a quoted string, or encoded words. */
static void
put_phrase (Headers *self, const char *name)
{
  g_autoptr (GString) quoted = NULL;
  gboolean plain = TRUE;

  if (needs_encoding (name) || strlen (name) > WORD_MAX)
    {
      put_encoded (self, name);
      return;
    }
  for (const char *p = name; *p != '\0' && plain; p++)
    plain = g_ascii_isalnum (*p) || strchr (" !#$%&'*+-/=?^_`{|}~", *p) != NULL;
  if (plain)
    {
      put_text (self, name);
      return;
    }
  quoted = g_string_new ("\"");
  for (const char *p = name; *p != '\0'; p++)
    {
      if (*p == '"' || *p == '\\')
        g_string_append_c (quoted, '\\');
      g_string_append_c (quoted, *p);
    }
  g_string_append_c (quoted, '"');
  put_word (self, quoted->str, quoted->len);
}

/* --- Addresses ----------------------------------------------------------- */

/* Fit to stand between angle brackets as it is. */
static gboolean
is_address (const char *text)
{
  if (text == NULL || strchr (text, '@') == NULL)
    return FALSE;
  for (const char *p = text; *p != '\0'; p++)
    if (!g_ascii_isgraph (*p) || strchr ("<>,;:()[]\"\\", *p) != NULL)
      return FALSE;
  return TRUE;
}

/* `name` <`address`>; without an address that the Internet knows an empty group
 * of that name (RFC 5322 3.4), which every mail program shows. */
static void
put_address (Headers *self, const char *name, const char *address, gboolean more)
{
  if (is_address (address))
    {
      g_autofree char *word = NULL;

      if (name != NULL && g_ascii_strcasecmp (name, address) != 0)
        {
          put_phrase (self, name);
          word = g_strdup_printf ("<%s>%s", address, more ? "," : "");
        }
      else
        word = g_strdup_printf ("%s%s", address, more ? "," : "");
      put_word (self, word, strlen (word));
      return;
    }
  if (name == NULL)
    name = address;
  put_phrase (self, name);
  g_string_append (self->out, more ? ":;," : ":;");
  self->column += 3;
}

/* The first of `ids` that the object has. */
static gboolean
read_first (Headers *self, const TpdCfbEntry *storage, const guint16 *ids, gboolean address, char **text,
            GError **error)
{
  *text = NULL;
  for (; *ids != 0; ids++)
    {
      g_autofree char *found = NULL;

      if (!read_text (self, storage, *ids, &found, error))
        return FALSE;
      if (found != NULL && (!address || is_address (found)))
        {
          *text = g_steal_pointer (&found);
          return TRUE;
        }
    }
  return TRUE;
}

static gboolean
put_from (Headers *self, GError **error)
{
  static const guint16 names[] = { TPD_MSG_REPRESENTING_NAME, TPD_MSG_SENDER_NAME, 0 };
  static const guint16 addresses[] = { TPD_MSG_REPRESENTING_SMTP, TPD_MSG_REPRESENTING_ADDRESS, TPD_MSG_SENDER_SMTP,
                                       TPD_MSG_SENDER_ADDRESS, 0 };
  const TpdCfbEntry *root = tpd_cfb_root (self->cfb);
  g_autofree char *name = NULL, *address = NULL;

  if (!read_first (self, root, names, FALSE, &name, error)
      || !read_first (self, root, addresses, TRUE, &address, error))
    return FALSE;
  if (name == NULL && address == NULL)
    return TRUE;
  start_field (self, "From");
  put_address (self, name, address, FALSE);
  end_field (self);
  return TRUE;
}

typedef struct {
  guint32 type;
  char *name, *address;
} Recipient;

static void
recipient_free (gpointer data)
{
  Recipient *recipient = data;

  g_free (recipient->name);
  g_free (recipient->address);
  g_free (recipient);
}

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  return g_ascii_strcasecmp ((*(TpdCfbEntry *const *) a)->name, (*(TpdCfbEntry *const *) b)->name);
}

/* All recipients in the order of their numbers. (transfer full) */
static GPtrArray *
read_recipients (Headers *self, GError **error)
{
  static const guint16 names[] = { TPD_MSG_DISPLAY_NAME, 0 };
  static const guint16 addresses[] = { TPD_MSG_SMTP_ADDRESS, TPD_MSG_ADDRESS, 0 };
  g_autoptr (GPtrArray) list = g_ptr_array_new_with_free_func (recipient_free);
  g_autoptr (GPtrArray) storages = g_ptr_array_new ();
  const GPtrArray *children = tpd_cfb_children (self->cfb, tpd_cfb_root (self->cfb), error);

  if (children == NULL)
    return NULL;
  for (guint i = 0; i < children->len; i++)
    {
      TpdCfbEntry *entry = g_ptr_array_index (children, i);

      if (entry->type == TPD_CFB_STORAGE
          && g_ascii_strncasecmp (entry->name, TPD_MSG_RECIP, strlen (TPD_MSG_RECIP)) == 0)
        g_ptr_array_add (storages, entry);
    }
  if (storages->len > TPD_MSG_MAX_OBJECTS)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE, "The mail has more than %d recipients.", TPD_MSG_MAX_OBJECTS);
      return NULL;
    }
  g_ptr_array_sort (storages, compare_entries);
  for (guint i = 0; i < storages->len; i++)
    {
      const TpdCfbEntry *storage = g_ptr_array_index (storages, i);
      g_auto (TpdMsgTable) table = { 0 };
      Recipient *recipient = g_new0 (Recipient, 1);

      g_ptr_array_add (list, recipient);
      if (!tpd_msg_table_read (&table, self->cfb, storage, FALSE, error)
          || !read_first (self, storage, names, FALSE, &recipient->name, error)
          || !read_first (self, storage, addresses, TRUE, &recipient->address, error))
        return NULL;
      recipient->type = (guint32) tpd_msg_table_get (&table, TPD_MSG_TAG (TPD_MSG_RECIPIENT_TYPE, TPD_MSG_LONG), 1);
    }
  return g_steal_pointer (&list);
}

/* The low byte is the type, [MS-OXOMSG] 2.2.3.1; others are flags. */
static gboolean
is_recipient (const Recipient *recipient, guint32 type)
{
  return (recipient->type & 0xff) == type && (recipient->name != NULL || recipient->address != NULL);
}

static gboolean
put_recipients (Headers *self, const GPtrArray *list, const char *field, guint32 type, GError **error)
{
  guint left = 0;

  for (guint i = 0; i < list->len; i++)
    left += is_recipient (g_ptr_array_index (list, i), type);
  if (left == 0)
    return TRUE;
  start_field (self, field);
  for (guint i = 0; i < list->len; i++)
    {
      const Recipient *recipient = g_ptr_array_index (list, i);

      if (!is_recipient (recipient, type))
        continue;
      put_address (self, recipient->name, recipient->address, --left > 0);
      if (!check_size (self, error))
        return FALSE;
    }
  end_field (self);
  return TRUE;
}

/* --- Other fields ---------------------------------------------------------- */

static gboolean
put_property (Headers *self, const char *field, guint16 id, GError **error)
{
  g_autofree char *text = NULL;

  if (!read_text (self, tpd_cfb_root (self->cfb), id, &text, error))
    return FALSE;
  if (text == NULL)
    return TRUE;
  start_field (self, field);
  put_text (self, text);
  end_field (self);
  return check_size (self, error);
}

/* RFC 5322 3.3, in UTC, with no names of a locale. */
static void
put_date (Headers *self)
{
  static const char days[][4] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
  static const char months[][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
  };
  guint64 delivered = tpd_msg_table_get (&self->table, TPD_MSG_TAG (TPD_MSG_DELIVERY_TIME, TPD_MSG_TIME), 0);
  guint64 time = tpd_msg_table_get (&self->table, TPD_MSG_TAG (TPD_MSG_SUBMIT_TIME, TPD_MSG_TIME), delivered);
  g_autoptr (GDateTime) date = NULL;

  if (time == 0)
    return;
  date = g_date_time_new_from_unix_utc ((gint64) (time / FILETIME_SECOND) - FILETIME_UNIX);
  /* Beyond the year 9999 there is none. */
  if (date == NULL)
    return;
  g_string_append_printf (self->out, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\r\n",
                          days[g_date_time_get_day_of_week (date) - 1], g_date_time_get_day_of_month (date),
                          months[g_date_time_get_month (date) - 1], g_date_time_get_year (date),
                          g_date_time_get_hour (date), g_date_time_get_minute (date), g_date_time_get_second (date));
}

/* --- Transport headers ------------------------------------------------------ */

/* The fields of `block`, each line ended by CRLF; lines that are no fields are
 * left out, such as the first line that some servers write. */
static void
copy_fields (Headers *self, const char *block)
{
  gboolean keep = FALSE;

  for (const char *line = block; *line != '\0';)
    {
      gsize n = strcspn (line, "\n"), len = n, name_len;

      while (len > 0 && line[len - 1] == '\r')
        len--;
      if (len == 0)
        return;
      if (line[0] != ' ' && line[0] != '\t')
        keep = tpd_mime_is_field (line, len, &name_len);
      /* A line of blanks only would be taken for the end. */
      if (keep && strspn (line, " \t") < len)
        {
          gsize at = self->out->len;

          g_string_append_len (self->out, line, (gssize) len);
          for (; at < self->out->len; at++)
            if (self->out->str[at] == '\r')
              self->out->str[at] = ' ';
          g_string_append (self->out, "\r\n");
        }
      line += line[n] == '\n' ? n + 1 : n;
    }
}

static gboolean
has_field (const Headers *self, const char *name)
{
  gsize len = strlen (name);

  for (const char *line = self->out->str; *line != '\0';)
    {
      const char *end = strchr (line, '\n');

      if (g_ascii_strncasecmp (line, name, len) == 0 && (line[len] == ':' || line[len] == ' ' || line[len] == '\t'))
        return TRUE;
      if (end == NULL)
        break;
      line = end + 1;
    }
  return FALSE;
}

/* Only where the transport headers name no recipient at all: a copy for a
 * blind recipient names the others, and must not name him. */
static gboolean
put_all_recipients (Headers *self, GError **error)
{
  g_autoptr (GPtrArray) list = NULL;

  if (has_field (self, "To") || has_field (self, "Cc") || has_field (self, "Bcc"))
    return TRUE;
  list = read_recipients (self, error);
  return list != NULL && put_recipients (self, list, "To", 1, error) && put_recipients (self, list, "Cc", 2, error)
         && put_recipients (self, list, "Bcc", 3, error);
}

GBytes *
tpd_msg_headers (TpdSource *msg, GError **error)
{
  g_auto (Headers) self = { .cfb = tpd_cfb_open (msg, error) };
  g_autofree char *block = NULL;
  const TpdCfbEntry *root;

  if (self.cfb == NULL)
    return NULL;
  root = tpd_cfb_root (self.cfb);
  self.out = g_string_new (NULL);
  if (!tpd_msg_table_read (&self.table, self.cfb, root, TRUE, error))
    return NULL;
  self.code_page = tpd_msg_code_page (&self.table);
  if (!tpd_msg_read_text (self.cfb, root, TPD_MSG_TRANSPORT_HEADERS, self.code_page, 2 * TPD_MAIL_MAX_HEADERS, &block,
                          error))
    return NULL;
  if (block != NULL)
    copy_fields (&self, block);
  if (!check_size (&self, error) || (!has_field (&self, "From") && !put_from (&self, error))
      || !put_all_recipients (&self, error)
      || (!has_field (&self, "Subject") && !put_property (&self, "Subject", TPD_MSG_SUBJECT, error)))
    return NULL;
  if (!has_field (&self, "Date"))
    put_date (&self);
  if ((!has_field (&self, "Message-ID") && !put_property (&self, "Message-ID", TPD_MSG_MESSAGE_ID, error))
      || (!has_field (&self, "In-Reply-To") && !put_property (&self, "In-Reply-To", TPD_MSG_IN_REPLY_TO, error))
      || (!has_field (&self, "References") && !put_property (&self, "References", TPD_MSG_REFERENCES, error))
      || !check_size (&self, error))
    return NULL;
  return g_string_free_to_bytes (g_steal_pointer (&self.out));
}
