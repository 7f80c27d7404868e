/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over the lines of a message: see eml_mime.h. */
#include "format/eml_mime.h"

#include <string.h>

#include "base/text.h"
#include "format/mail.h"

#define PIECE (64 * 1024)
/* Longer lines come in pieces. */
#define LINE_KEPT FIELDS_MAX
#define BOUNDARY_MAX 250
#define DEPTH_MAX 16
#define PARTS_MAX 1000
#define FIELDS_MAX (32 * 1024)

/* --- Fields ----------------------------------------------------------- */

gboolean
tpd_mime_is_field (const char *line, gsize len, gsize *name_len)
{
  gsize n = 0;

  while (n < len && line[n] > ' ' && line[n] < 0x7f && line[n] != ':')
    n++;
  *name_len = n;
  /* Blanks before the colon are obsolete but met. */
  while (n < len && (line[n] == ' ' || line[n] == '\t'))
    n++;
  return *name_len > 0 && n < len && line[n] == ':';
}

/* The value of field `name` among `fields` (lines with "\n", continuations
 * folded), or NULL. (transfer full) */
static char *
field_value (const char *fields, const char *name)
{
  gsize name_len = strlen (name);

  for (const char *line = fields; *line != '\0';)
    {
      const char *end = strchrnul (line, '\n');
      gsize n;

      if (tpd_mime_is_field (line, (gsize) (end - line), &n) && n == name_len
          && g_ascii_strncasecmp (line, name, n) == 0)
        {
          const char *colon = memchr (line, ':', (gsize) (end - line));
          return g_strstrip (g_strndup (colon + 1, (gsize) (end - colon - 1)));
        }
      line = *end == '\0' ? end : end + 1;
    }
  return NULL;
}

/* One parameter behind `*at`, which stands on a ';' or at the end; the value
 * without its quotes. FALSE at the end. */
static gboolean
next_parameter (const char **at, GString *name, GString *value)
{
  const char *p = *at;

  g_string_truncate (name, 0);
  g_string_truncate (value, 0);
  while (*p == ';' || g_ascii_isspace (*p))
    p++;
  if (*p == '\0')
    return FALSE;
  while (*p != '\0' && *p != '=' && *p != ';')
    g_string_append_c (name, g_ascii_tolower (*p++));
  if (*p == '=')
    p++;
  while (*p == ' ' || *p == '\t')
    p++;
  if (*p == '"')
    {
      for (p++; *p != '\0' && *p != '"'; p++)
        {
          if (*p == '\\' && p[1] != '\0')
            p++;
          g_string_append_c (value, *p);
        }
      while (*p != '\0' && *p != ';')
        p++;
    }
  else
    while (*p != '\0' && *p != ';')
      g_string_append_c (value, *p++);
  *at = p;
  g_strstrip (name->str);
  g_strchomp (value->str);
  value->len = strlen (value->str);
  return TRUE;
}

static char *
parameter (const char *field, const char *wanted)
{
  g_autoptr (GString) name = g_string_new (NULL);
  g_autoptr (GString) value = g_string_new (NULL);
  const char *at = strchrnul (field, ';');

  while (next_parameter (&at, name, value))
    if (strcmp (name->str, wanted) == 0)
      return g_strdup (value->str);
  return NULL;
}

/* Whether a parameter of `field`, quoted, plain or in pieces, ends in .rpmsg. */
static gboolean
names_rpmsg (const char *field)
{
  g_autoptr (GString) name = g_string_new (NULL);
  g_autoptr (GString) value = g_string_new (NULL);
  const char *at = strchrnul (field, ';');

  while (next_parameter (&at, name, value))
    if ((g_str_has_prefix (name->str, "name") || g_str_has_prefix (name->str, "filename")) && value->len >= 6
        && g_ascii_strcasecmp (value->str + value->len - 6, ".rpmsg") == 0)
      return TRUE;
  return FALSE;
}

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

static TpdMimeEncoding
encoding_of (const char *value)
{
  if (value == NULL || *value == '\0' || starts_with_folded (value, "7bit") || starts_with_folded (value, "8bit")
      || starts_with_folded (value, "binary"))
    return TPD_MIME_IDENTITY;
  return starts_with_folded (value, "base64") ? TPD_MIME_BASE64 : TPD_MIME_OTHER;
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
  g_autofree char *type = field_value (walk->fields->str, "Content-Type");
  g_autofree char *encoding = field_value (walk->fields->str, "Content-Transfer-Encoding");
  g_autofree char *disposition = field_value (walk->fields->str, "Content-Disposition");
  g_autofree char *boundary = NULL;

  walk->in_headers = FALSE;
  if (walk->in_top)
    {
      g_autofree char *class = field_value (walk->fields->str, "Content-Class");

      walk->message->is_rpmsg_class = class != NULL && is_rpmsg_class (class);
      walk->message->is_mixed = type != NULL && starts_with_folded (type, "multipart/")
                                && !starts_with_folded (type, "multipart/alternative");
      walk->in_top = FALSE;
    }
  if (type != NULL && starts_with_folded (type, "multipart/"))
    boundary = parameter (type, "boundary");
  if (boundary != NULL && *boundary != '\0' && strlen (boundary) <= BOUNDARY_MAX && walk->boundaries->len < DEPTH_MAX)
    {
      g_ptr_array_add (walk->boundaries, g_steal_pointer (&boundary));
      return;
    }
  walk->in_part = TRUE;
  walk->part = (TpdMimePart){
    .content = off,
    .end = off,
    .encoding = encoding_of (encoding),
    .is_rpmsg_type = type != NULL && starts_with_folded (type, "application/x-microsoft-rpmsg-message"),
    .is_rpmsg_named = (type != NULL && names_rpmsg (type)) || (disposition != NULL && names_rpmsg (disposition)),
    .is_attachment = disposition != NULL && starts_with_folded (disposition, "attachment"),
  };
}

static void
end_part (Walk *walk)
{
  if (walk->in_part && walk->message->parts->len < PARTS_MAX)
    g_array_append_val (walk->message->parts, walk->part);
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
  Line line;

  if (lines.at_hand != NULL)
    lines.next = lines.len = (gsize) source->size;
  else
    lines.at_hand = lines.buffer = buffer = g_malloc ((gsize) MIN ((guint64) (PIECE + LINE_KEPT), source->size));
  message->parts = g_array_new (FALSE, FALSE, sizeof (TpdMimePart));
  while (lines_next (&lines, &line, &own))
    {
      walk_line (&walk, &line);
      if (walk.in_top && message->headers_len > TPD_MAIL_MAX_HEADERS)
        break;
    }
  if (own != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&own));
      return NULL;
    }
  end_part (&walk);
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

/* --- Content ---------------------------------------------------------- */

/* Whether the content of `part` starts with the magic of a message.rpmsg. */
static gboolean
has_magic (TpdSource *source, const TpdMimePart *part, gboolean *result, GError **error)
{
  guint8 raw[64], plain[64];
  gsize len = (gsize) MIN ((guint64) sizeof raw, part->end - part->content);
  TpdBase64 state = { 0 };

  *result = FALSE;
  if (part->encoding == TPD_MIME_OTHER || len < TPD_RPMSG_MAGIC_SIZE)
    return TRUE;
  if (!tpd_source_read_exact (source, raw, len, part->content, error))
    return FALSE;
  if (part->encoding == TPD_MIME_IDENTITY)
    *result = tpd_rpmsg_magic (raw, len);
  else
    *result = tpd_rpmsg_magic (plain, tpd_base64_step (&state, (const char *) raw, len, plain));
  return TRUE;
}

gboolean
tpd_mime_find_rpmsg (TpdSource *source, const TpdMimeMessage *message, const TpdMimePart **found, GError **error)
{
  *found = NULL;
  for (guint i = 0; i < message->parts->len; i++)
    {
      const TpdMimePart *part = &g_array_index (message->parts, TpdMimePart, i);
      gboolean is_rpmsg;

      if (!has_magic (source, part, &is_rpmsg, error))
        return FALSE;
      if (is_rpmsg && (*found == NULL || part->is_rpmsg_type))
        *found = part;
      if (*found != NULL && (*found)->is_rpmsg_type)
        break;
    }
  return TRUE;
}

TpdSource *
tpd_mime_decode (TpdSource *source, const TpdMimePart *part, TpdBudget *budget, GError **error)
{
  g_autofree char *raw = NULL;
  g_autoptr (TpdSink) sink = NULL;
  gsize piece;
  TpdBase64 state = { 0 };

  if (part->encoding != TPD_MIME_BASE64)
    return tpd_source_new_range (source, part->content, part->end - part->content);
  sink = tpd_sink_new_public (budget);
  piece = (gsize) MIN ((guint64) PIECE, part->end - part->content);
  raw = g_malloc (piece);
  for (guint64 off = part->content; off < part->end;)
    {
      gsize want = (gsize) MIN ((guint64) piece, part->end - off);
      gsize n;
      guint8 *plain = tpd_sink_room (sink, (want + 3) / 4 * 3, &n);

      /* No more than there is room for. */
      want = MIN (want, n / 3 * 4);
      if (!tpd_source_read_exact (source, raw, want, off, error)
          || !tpd_sink_fill (sink, tpd_base64_step (&state, raw, want, plain), error))
        return NULL;
      off += want;
    }
  return tpd_sink_to_source (g_steal_pointer (&sink), error);
}
