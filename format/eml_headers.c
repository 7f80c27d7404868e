/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the header block of an Internet message says: subject, people, date.
 * The one door to GMime, which knows what is met in the wild in encoded words,
 * addresses and dates. It gets single values of bounded length, and none with
 * so many groups that its recursion could matter: see MAX_COLONS.
 */
#include <gmime/gmime.h>
#include <string.h>

#include "format/eml_mime.h"
#include "format/mail.h"

/* One unfolded value. */
#define VALUE_MAX (256 * 1024)
/* GMime parses a group inside a group by recursion, one level a colon. */
#define MAX_COLONS 200
#define MAX_ADDRESSES 10000
/* Addresses without a domain cost GMime the square of their number, and encoded words
 * that are none nearly so: lists go to it in pieces of about so many bytes, one address
 * or group of more than LARGE_ADDRESS is left out, and longer text stays as it is. */
#define PIECE_OF_LIST 2048
#define LARGE_ADDRESS 8192
#define LARGE_TEXT (64 * 1024)
/* 1601-01-01 to 1970-01-01 in units of 100 ns. */
#define FILETIME_EPOCH G_GUINT64_CONSTANT (116444736000000000)
#define FILETIME_SECOND 10000000

static void
address_free (gpointer data)
{
  TpdMailAddress *address = data;

  if (address == NULL)
    return;
  g_free (address->name);
  g_free (address->address);
  g_free (address);
}

/* Set up once; shared and only read afterwards. The fallbacks replace those of
 * the locale. */
static GMimeParserOptions *
parser_options (void)
{
  static GMimeParserOptions *options;

  if (g_once_init_enter (&options))
    {
      static const char *charsets[] = { "utf-8", "windows-1252", NULL };
      GMimeParserOptions *fresh;

      g_mime_init ();
      fresh = g_mime_parser_options_new ();
      g_mime_parser_options_set_fallback_charsets (fresh, charsets);
      g_once_init_leave (&options, fresh);
    }
  return options;
}

/* --- Values ----------------------------------------------------------- */

static char *
decode_text (const char *value)
{
  g_autofree char *text =
      strlen (value) <= LARGE_TEXT ? g_mime_utils_header_decode_text (parser_options (), value) : g_strdup (value);

  if (text == NULL || *text == '\0')
    return NULL;
  return g_utf8_make_valid (text, -1);
}

char *
tpd_mail_decode_words (const char *value)
{
  return decode_text (value);
}

static TpdMailAddress *
address_new (InternetAddress *from)
{
  const char *name = internet_address_get_name (from);
  const char *mailbox = internet_address_mailbox_get_addr (INTERNET_ADDRESS_MAILBOX (from));
  TpdMailAddress *address;

  if (mailbox == NULL || *mailbox == '\0')
    return NULL;
  address = g_new0 (TpdMailAddress, 1);
  address->address = g_utf8_make_valid (mailbox, -1);
  if (name != NULL && *name != '\0')
    address->name = g_utf8_make_valid (name, -1);
  return address;
}

static void
collect (InternetAddressList *list, GPtrArray *out)
{
  g_autoptr (GPtrArray) waiting = g_ptr_array_new ();

  g_ptr_array_add (waiting, list);
  while (waiting->len > 0)
    {
      InternetAddressList *at = g_ptr_array_steal_index (waiting, waiting->len - 1);
      int n = internet_address_list_length (at);

      for (int i = 0; i < n && out->len < MAX_ADDRESSES; i++)
        {
          InternetAddress *item = internet_address_list_get_address (at, i);
          TpdMailAddress *address;

          if (INTERNET_ADDRESS_IS_GROUP (item))
            g_ptr_array_add (waiting, internet_address_group_get_members (INTERNET_ADDRESS_GROUP (item)));
          else if ((address = address_new (item)) != NULL)
            g_ptr_array_add (out, address);
        }
    }
}

/* Where a list is read, as far as it matters for where addresses end (RFC 5322 3.4). */
typedef struct {
  gboolean quoted, escaped, angle, group;
  guint comment;
} Place;

/* Takes a character. Whether an address of the list ends with it. */
static gboolean
ends_address (Place *place, char c)
{
  if (place->escaped)
    place->escaped = FALSE;
  else if (c == '\\' && (place->quoted || place->comment > 0))
    place->escaped = TRUE;
  else if (place->quoted)
    place->quoted = c != '"';
  else if (c == '(')
    place->comment++;
  else if (place->comment > 0)
    place->comment -= c == ')';
  else if (c == '"')
    place->quoted = TRUE;
  else if (place->angle || c == '<')
    place->angle = c != '>';
  else if (c == ':')
    place->group = TRUE;
  else if (c == ';')
    place->group = FALSE;
  else
    return c == ',' && !place->group;
  return FALSE;
}

static void
decode_piece (const char *start, gsize len, GPtrArray *out)
{
  g_autofree char *piece = NULL;
  InternetAddressList *list;

  if (len > LARGE_ADDRESS)
    return;
  piece = g_strndup (start, len);
  list = internet_address_list_parse (parser_options (), piece);
  if (list == NULL)
    return;
  collect (list, out);
  g_object_unref (list);
}

static void
decode_addresses (const char *value, GPtrArray *out)
{
  const char *start = value, *cut = value, *p;
  Place place = { 0 };
  guint colons = 0;

  for (p = value; *p != '\0'; p++)
    colons += *p == ':';
  if (colons > MAX_COLONS)
    return;
  for (p = value; *p != '\0' && out->len < MAX_ADDRESSES; p++)
    {
      if (ends_address (&place, *p))
        cut = p + 1;
      if (p - start < PIECE_OF_LIST || cut == start)
        continue;
      decode_piece (start, (gsize) (cut - start), out);
      start = cut;
    }
  decode_piece (start, (gsize) (p - start), out);
}

static void
decode_address (const char *value, TpdMailAddress **out)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func (address_free);

  if (*out != NULL)
    return;
  decode_addresses (value, all);
  if (all->len > 0)
    *out = g_ptr_array_steal_index (all, 0);
}

/* The id between < and >. */
static char *
decode_id (const char *value)
{
  const char *start = strchr (value, '<');
  const char *end = start != NULL ? strchr (start, '>') : NULL;

  if (end == NULL)
    return *value == '\0' ? NULL : g_utf8_make_valid (value, -1);
  return g_utf8_make_valid (start + 1, end - start - 1);
}

static guint64
decode_date (const char *value)
{
  g_autoptr (GDateTime) date = g_mime_utils_header_decode_date (value);
  gint64 seconds = date != NULL ? g_date_time_to_unix (date) : -1;

  if (seconds < 0 || seconds > G_MAXUINT32 * G_GINT64_CONSTANT (8))
    return 0;
  return FILETIME_EPOCH + (guint64) seconds * FILETIME_SECOND;
}

/* --- Fields ----------------------------------------------------------- */

static void
take_field (TpdMailHeaders *headers, const char *name, const char *value)
{
  if (g_ascii_strcasecmp (name, "Subject") == 0 && headers->subject == NULL)
    headers->subject = decode_text (value);
  else if (g_ascii_strcasecmp (name, "Message-ID") == 0 && headers->message_id == NULL)
    headers->message_id = decode_id (value);
  else if (g_ascii_strcasecmp (name, "In-Reply-To") == 0 && headers->in_reply_to == NULL)
    headers->in_reply_to = g_utf8_make_valid (value, -1);
  else if (g_ascii_strcasecmp (name, "References") == 0 && headers->references == NULL)
    headers->references = g_utf8_make_valid (value, -1);
  else if (g_ascii_strcasecmp (name, "From") == 0)
    decode_address (value, &headers->from);
  else if (g_ascii_strcasecmp (name, "Sender") == 0)
    decode_address (value, &headers->sender);
  else if (g_ascii_strcasecmp (name, "To") == 0)
    decode_addresses (value, headers->to);
  else if (g_ascii_strcasecmp (name, "Cc") == 0)
    decode_addresses (value, headers->cc);
  else if (g_ascii_strcasecmp (name, "Bcc") == 0)
    decode_addresses (value, headers->bcc);
  else if (g_ascii_strcasecmp (name, "Date") == 0 && headers->date == 0)
    headers->date = decode_date (value);
}

/* `field`: a whole field, unfolded, without line end. */
static void
split_field (TpdMailHeaders *headers, GString *field)
{
  char *colon;
  gsize name_len;

  if (field->len == 0 || !tpd_mime_is_field (field->str, field->len, &name_len))
    return;
  colon = strchr (field->str, ':');
  field->str[name_len] = '\0';
  take_field (headers, field->str, g_strstrip (colon + 1));
}

TpdMailHeaders *
tpd_mail_headers_parse (GBytes *block)
{
  TpdMailHeaders *headers = g_new0 (TpdMailHeaders, 1);
  g_autoptr (GString) field = g_string_new (NULL);
  const char *data = g_bytes_get_data (block, NULL);
  gsize len = MIN (g_bytes_get_size (block), TPD_MAIL_MAX_HEADERS);

  headers->block = g_bytes_ref (block);
  headers->to = g_ptr_array_new_with_free_func (address_free);
  headers->cc = g_ptr_array_new_with_free_func (address_free);
  headers->bcc = g_ptr_array_new_with_free_func (address_free);
  for (gsize at = 0; at < len;)
    {
      const char *line = data + at;
      const char *end = memchr (line, '\n', len - at);
      gsize n = end != NULL ? (gsize) (end - line) : len - at;

      at += n + 1;
      if (n > 0 && line[n - 1] == '\r')
        n--;
      if (n == 0)
        break;
      if (line[0] != ' ' && line[0] != '\t')
        {
          split_field (headers, field);
          g_string_truncate (field, 0);
        }
      /* A NUL ends the line for all that follows. */
      if (field->len + n <= VALUE_MAX)
        g_string_append_len (field, line, (gssize) strnlen (line, n));
    }
  split_field (headers, field);
  return headers;
}

void
tpd_mail_headers_free (TpdMailHeaders *headers)
{
  if (headers == NULL)
    return;
  g_bytes_unref (headers->block);
  g_free (headers->subject);
  g_free (headers->message_id);
  g_free (headers->in_reply_to);
  g_free (headers->references);
  address_free (headers->from);
  address_free (headers->sender);
  g_ptr_array_unref (headers->to);
  g_ptr_array_unref (headers->cc);
  g_ptr_array_unref (headers->bcc);
  g_free (headers);
}
