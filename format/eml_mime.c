/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over the lines of a message: see eml_mime.h. */
#include "format/eml_mime.h"

#include <string.h>

#include "format/eml_head.h"
#include "format/mail.h"

#define PIECE (64 * 1024)
/* Longer lines come in pieces. */
#define LINE_KEPT FIELDS_MAX
#define BOUNDARY_MAX 250
#define DEPTH_MAX 16
#define FIELDS_MAX (32 * 1024)
/* In which the header block must begin. */
#define LEAD_MAX 4096

/* --- What a part is ----------------------------------------------------- */

static gboolean
starts_with_folded (const char *text, const char *start)
{
  return g_ascii_strncasecmp (text, start, strlen (start)) == 0;
}

static gboolean
is_rpmsg_class (const char *value)
{
  g_autofree char *folded = g_ascii_strdown (value, -1);

  return g_str_has_prefix (folded, "rpmsg.") || strstr (folded, ".rpmsg.") != NULL;
}

static void
take_encoding (const char *value, TpdMimePart *part)
{
  gsize n = 0;

  while (value != NULL && (*value == '"' || *value == ' '))
    value++;
  part->encoding = TPD_MIME_IDENTITY;
  if (value == NULL || *value == '\0' || starts_with_folded (value, "7bit") || starts_with_folded (value, "8bit")
      || starts_with_folded (value, "binary"))
    return;
  if (starts_with_folded (value, "base64"))
    part->encoding = TPD_MIME_BASE64;
  else if (starts_with_folded (value, "quoted-printable"))
    part->encoding = TPD_MIME_QUOTED;
  else
    part->encoding = TPD_MIME_OTHER;
  while (n + 1 < sizeof part->encoding_word && (g_ascii_isalnum (value[n]) || strchr ("-_.", value[n]) != NULL)
         && value[n] != '\0')
    {
      part->encoding_word[n] = value[n];
      n++;
    }
}

/* An attachment that is not part of the text: what HTML shows has an id or a
 * place. */
static gboolean
is_visible (const char *fields, const char *type, const char *disposition)
{
  g_autofree char *id = NULL, *location = NULL;

  if (disposition != NULL && starts_with_folded (disposition, "attachment"))
    return TRUE;
  if ((disposition != NULL && starts_with_folded (disposition, "inline")) || type == NULL
      || tpd_mime_is_type (type, "text", NULL))
    return FALSE;
  id = tpd_mime_field_value (fields, "Content-ID");
  location = tpd_mime_field_value (fields, "Content-Location");
  return id == NULL && location == NULL;
}

/* --- Lines ------------------------------------------------------------ */

typedef struct {
  TpdSource *source;
  guint64 next; /* offset behind what is at hand */
  char *buffer; /* NULL: all of the source is at hand */
  const char *at_hand;
  gsize len, pos;
  gboolean inside; /* the last piece did not end its line */
} Lines;

/* A line, or a piece of a long one. */
typedef struct {
  const char *text;
  gsize len; /* with the line end */
  gsize eol; /* length of the line end */
  guint64 off;
  gboolean starts; /* begins a line */
} Line;

/* FALSE at the end (no error) or with error. */
static gboolean
lines_next (Lines *lines, Line *line, GError **error)
{
  const char *end;

  if (lines->len - lines->pos < LINE_KEPT && lines->next < lines->source->size)
    {
      gsize want;

      lines->len -= lines->pos;
      memmove (lines->buffer, lines->buffer + lines->pos, lines->len);
      lines->pos = 0;
      want = (gsize) MIN ((guint64) PIECE, lines->source->size - lines->next);
      if (!tpd_source_read_exact (lines->source, lines->buffer + lines->len, want, lines->next, error))
        return FALSE;
      lines->next += want;
      lines->len += want;
    }
  if (lines->pos == lines->len)
    return FALSE;
  line->text = lines->at_hand + lines->pos;
  line->len = MIN (lines->len - lines->pos, (gsize) LINE_KEPT);
  line->off = lines->next - (lines->len - lines->pos);
  line->starts = !lines->inside;
  end = memchr (line->text, '\n', line->len);
  lines->inside = end == NULL;
  /* A line end stays in one piece. */
  if (end == NULL && line->len == LINE_KEPT && line->text[line->len - 1] == '\r')
    line->len--;
  line->eol = 0;
  if (end != NULL)
    {
      line->len = (gsize) (end - line->text) + 1;
      line->eol = line->len >= 2 && end[-1] == '\r' ? 2 : 1;
    }
  lines->pos += line->len;
  return TRUE;
}

/* --- The walk --------------------------------------------------------- */

typedef struct {
  TpdMimeMessage *message;
  GPtrArray *boundaries; /* of char *: the multiparts we are in */
  GString *fields;       /* Content- fields of the part, one a line */
  gboolean keeping;      /* the field at hand is one of them */
  gboolean in_headers;
  gboolean in_top;  /* the headers are those of the message */
  gboolean in_part; /* `part` is open */
  TpdMimePart part;

  /* In a mailbox file: */
  gboolean is_mbox;
  gboolean was_empty;   /* the last line was */
  gboolean from_before; /* the last line was one that can begin a message */
  guint64 end_before;   /* of `part`, without that line */
} Walk;

/* Keeps a line of a header block if it belongs to a Content- field. */
static void
take_field_line (Walk *walk, const Line *line)
{
  gsize len = line->len - line->eol;
  gboolean continued = len > 0 && (line->text[0] == ' ' || line->text[0] == '\t');

  if (!line->starts || walk->fields->len + len > FIELDS_MAX || memchr (line->text, '\0', len) != NULL)
    {
      walk->keeping = FALSE;
      return;
    }
  if (!continued)
    {
      walk->keeping = len > 8 && g_ascii_strncasecmp (line->text, "Content-", 8) == 0;
      if (walk->keeping && walk->fields->len > 0)
        g_string_append_c (walk->fields, '\n');
    }
  if (walk->keeping)
    g_string_append_len (walk->fields, line->text, (gssize) len);
}

/* The headers of a part have ended; its content starts at `off`. */
static void
start_content (Walk *walk, guint64 off)
{
  const char *fields = walk->fields->str;
  g_autofree char *type = tpd_mime_field_value (fields, "Content-Type");
  g_autofree char *encoding = tpd_mime_field_value (fields, "Content-Transfer-Encoding");
  g_autofree char *disposition = tpd_mime_field_value (fields, "Content-Disposition");
  g_autofree char *boundary = NULL;

  walk->in_headers = FALSE;
  if (walk->in_top)
    {
      g_autofree char *class = tpd_mime_field_value (fields, "Content-Class");

      walk->message->is_rpmsg_class = class != NULL && is_rpmsg_class (class);
      walk->message->has_parts =
          type != NULL && (tpd_mime_is_type (type, "multipart", NULL) || tpd_mime_is_type (type, "message", NULL));
      walk->in_top = FALSE;
    }
  if (type != NULL && tpd_mime_is_type (type, "multipart", NULL))
    boundary = tpd_mime_parameter (type, "boundary");
  if (boundary != NULL && *boundary != '\0' && strlen (boundary) <= BOUNDARY_MAX && walk->boundaries->len < DEPTH_MAX)
    {
      g_ptr_array_add (walk->boundaries, g_steal_pointer (&boundary));
      return;
    }
  walk->in_part = TRUE;
  walk->part = (TpdMimePart){
    .content = off,
    .end = off,
    .is_rpmsg_type = type != NULL && tpd_mime_is_type (type, "application", "x-microsoft-rpmsg-message"),
    .is_rpmsg_named = (type != NULL && tpd_mime_name (type) == TPD_MIME_RPMSG_NAME)
                      || (disposition != NULL && tpd_mime_name (disposition) == TPD_MIME_RPMSG_NAME),
    .is_visible = is_visible (fields, type, disposition),
  };
  walk->part.name = tpd_mime_file_name (type, disposition);
  /* An image without a name belongs to the text. A multipart that is not entered may
   * hold anything. */
  walk->part.is_file =
      walk->part.is_visible || walk->part.name != NULL
      || (type != NULL && !tpd_mime_is_type (type, "text", NULL) && !tpd_mime_is_type (type, "image", NULL));
  take_encoding (encoding, &walk->part);
}

static void
part_clear (gpointer data)
{
  g_free (((TpdMimePart *) data)->name);
}

static void
end_part (Walk *walk)
{
  if (walk->in_part && walk->message->parts->len < TPD_MIME_PARTS_MAX)
    g_array_append_val (walk->message->parts, walk->part);
  else if (walk->in_part)
    {
      walk->message->too_many = TRUE;
      g_free (walk->part.name);
    }
  walk->in_part = FALSE;
}

static void
start_headers (Walk *walk)
{
  g_string_truncate (walk->fields, 0);
  walk->keeping = FALSE;
  walk->in_headers = TRUE;
}

/* Whether `line` delimits one of the multiparts we are in; the innermost
 * first. */
static gboolean
is_delimiter (const Walk *walk, const Line *line, guint *level, gboolean *closes)
{
  if (!line->starts || line->len < 2 || line->text[0] != '-' || line->text[1] != '-')
    return FALSE;
  for (guint i = walk->boundaries->len; i-- > 0;)
    {
      const char *boundary = g_ptr_array_index (walk->boundaries, i);
      gsize n = strlen (boundary) + 2;
      gsize at = n;

      if (line->len < n || memcmp (line->text + 2, boundary, n - 2) != 0)
        continue;
      *closes = line->len >= n + 2 && line->text[n] == '-' && line->text[n + 1] == '-';
      if (*closes)
        at += 2;
      while (at < line->len && g_ascii_isspace (line->text[at]))
        at++;
      if (at < line->len)
        continue;
      *level = i;
      return TRUE;
    }
  return FALSE;
}

/* Whether another message has begun. Text may have such a line too, but no field
 * behind it. */
static gboolean
is_next_message (Walk *walk, const Line *line)
{
  gsize name_len;

  if (walk->from_before && line->starts && tpd_mime_is_field (line->text, line->len, &name_len))
    {
      walk->part.end = walk->end_before;
      return TRUE;
    }
  walk->from_before = line->starts && walk->was_empty && line->len > 5 && memcmp (line->text, "From ", 5) == 0;
  walk->was_empty = line->starts && line->len == line->eol;
  walk->end_before = walk->part.end;
  return FALSE;
}

static void
walk_line (Walk *walk, const Line *line)
{
  gboolean closes;
  guint level;

  if (is_delimiter (walk, line, &level, &closes))
    {
      end_part (walk);
      g_ptr_array_set_size (walk->boundaries, (gint) (closes ? level : level + 1));
      walk->in_headers = FALSE;
      if (!closes)
        start_headers (walk);
      return;
    }
  if (walk->in_part)
    {
      if (line->starts && tpd_eml_begins_uuencode (line->text, line->len))
        {
          walk->part.is_rpmsg_named = TRUE;
          walk->part.encoding = TPD_MIME_OTHER;
          g_strlcpy (walk->part.encoding_word, "uuencode", sizeof walk->part.encoding_word);
        }
      /* The line end before a delimiter belongs to that. */
      walk->part.end = line->off + line->len - line->eol;
      return;
    }
  if (!walk->in_headers)
    return;
  if (line->starts && line->len == line->eol)
    {
      walk->message->headers_whole |= walk->in_top;
      start_content (walk, line->off + line->len);
    }
  else
    {
      take_field_line (walk, line);
      if (walk->in_top)
        walk->message->headers_len = line->off + line->len;
    }
}

/* Where the header block begins. */
static gboolean
read_lead (TpdSource *source, const char *memory, TpdEmlLead *lead, GError **error)
{
  gsize len = (gsize) MIN ((guint64) LEAD_MAX, source->size);
  char head[LEAD_MAX];

  if (memory == NULL && !tpd_source_read_exact (source, head, len, 0, error))
    return FALSE;
  tpd_eml_lead (memory != NULL ? memory : head, len, lead);
  return TRUE;
}

TpdMimeMessage *
tpd_mime_scan (TpdSource *source, GError **error)
{
  g_autoptr (TpdMimeMessage) message = g_new0 (TpdMimeMessage, 1);
  g_autoptr (GPtrArray) boundaries = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GString) fields = g_string_new (NULL);
  g_autofree char *buffer = NULL;
  g_autoptr (GError) own = NULL;
  Lines lines = { .source = source, .at_hand = (const char *) tpd_source_memory (source) };
  Walk walk = { .message = message, .boundaries = boundaries, .fields = fields, .in_headers = TRUE, .in_top = TRUE };
  TpdEmlLead lead;
  Line line;

  if (!read_lead (source, lines.at_hand, &lead, error))
    return NULL;
  walk.is_mbox = lead.is_mbox;
  message->headers_off = message->headers_len = lead.len;
  if (lines.at_hand != NULL)
    {
      lines.next = lines.len = (gsize) source->size;
      lines.pos = lead.len;
    }
  else
    {
      lines.next = lead.len;
      lines.at_hand = lines.buffer = buffer = g_malloc ((gsize) MIN ((guint64) (PIECE + LINE_KEPT), source->size));
    }
  message->parts = g_array_new (FALSE, FALSE, sizeof (TpdMimePart));
  g_array_set_clear_func (message->parts, part_clear);
  while (!message->is_followed && !message->too_many && lines_next (&lines, &line, &own))
    {
      message->is_followed = walk.is_mbox && is_next_message (&walk, &line);
      if (!message->is_followed)
        walk_line (&walk, &line);
      if (walk.in_top && message->headers_len > TPD_MAIL_MAX_HEADERS)
        break;
    }
  end_part (&walk);
  if (own != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&own));
      return NULL;
    }
  return g_steal_pointer (&message);
}

void
tpd_mime_message_free (TpdMimeMessage *message)
{
  if (message == NULL)
    return;
  if (message->parts != NULL)
    g_array_unref (message->parts);
  g_free (message);
}
