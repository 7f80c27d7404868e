/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decoded mail as an Internet message (RFC 5322, 2045 to 2047, 2183, 2231).
 *
 * Written by hand, so that the same mail gives the same bytes whatever
 * libraries a machine has. Leaves are quoted-printable or base64; neither can
 * hold "=_", with which all boundaries start, so a boundary can never be met
 * inside, and a hash of the mail only makes them differ between mails.
 *
 *   mixed                    only with attachments or RTF
 *     related                only with parts that the HTML shows
 *       text | alternative { text, HTML } | HTML
 *       shown parts
 *     RTF, attachments
 */
#include <stdarg.h>
#include <string.h>

#include "crypto/secret.h"
#include "format/eml_mime.h"
#include "format/mail.h"

#define FLUSH_SIZE (64 * 1024)
/* Bytes in a line of base64: 76 characters. */
#define ROW 57
#define ROWS 512
#define QP_LINE 75
#define IDS_MAX 10000
#define ID_MAX 500

typedef struct {
  const TpdMailContent *content;
  TpdSink *sink;
  GString *out; /* not yet in the sink */
  char hash[25];
  char *html; /* the HTML of the body as bytes of `html_charset`, or NULL */
  gsize html_len;
  const char *html_charset;
  gboolean *shown; /* for each attachment: part of the HTML */
  guint n_shown;
} Writer;

static void
writer_clear (Writer *w)
{
  g_string_free (w->out, TRUE);
  g_free (w->html);
  g_free (w->shown);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Writer, writer_clear)

/* --- Output ----------------------------------------------------------- */

static gboolean
flush (Writer *w, GError **error)
{
  gboolean ok = tpd_sink_append (w->sink, w->out->str, w->out->len, error);

  tpd_wipe (w->out->str, w->out->len);
  g_string_truncate (w->out, 0);
  return ok;
}

static gboolean
flush_if_full (Writer *w, GError **error)
{
  return w->out->len < FLUSH_SIZE || flush (w, error);
}

static void put (Writer *w, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
put (Writer *w, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_string_append_vprintf (w->out, format, args);
  va_end (args);
}

/* --- Headers of the original -------------------------------------------- */

/* What describes the protected body, or is written anew. */
static gboolean
is_replaced (const char *name, gsize len)
{
  static const char *const names[] = {
    "Content-Class",   "Content-Type",         "Content-Transfer-Encoding", "Content-Disposition", "Content-Length",
    "Content-MD5",     "Content-ID",           "Content-Location",          "MIME-Version",        "Lines",
    "X-MS-Has-Attach", "X-MS-TNEF-Correlator",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    if (strlen (names[i]) == len && g_ascii_strncasecmp (name, names[i], len) == 0)
      return TRUE;
  return FALSE;
}

/* Keeps order, folding and spelling of the fields; every line ends in CRLF. */
static gboolean
write_headers (Writer *w, GBytes *block, GError **error)
{
  const char *data = block != NULL ? g_bytes_get_data (block, NULL) : NULL;
  gsize len = block != NULL ? g_bytes_get_size (block) : 0;
  gboolean keep = FALSE;

  for (gsize at = 0; at < len;)
    {
      const char *line = data + at;
      const char *end = memchr (line, '\n', len - at);
      gsize n = end != NULL ? (gsize) (end - line) : len - at;
      gsize name_len;

      at += n + 1;
      if (n > 0 && line[n - 1] == '\r')
        n--;
      if (n == 0)
        break;
      if (line[0] != ' ' && line[0] != '\t')
        keep = tpd_mime_is_field (line, n, &name_len) && !is_replaced (line, name_len);
      if (!keep)
        continue;
      g_string_append_len (w->out, line, (gssize) n);
      put (w, "\r\n");
      if (!flush_if_full (w, error))
        return FALSE;
    }
  put (w, "MIME-Version: 1.0\r\n");
  return TRUE;
}

/* --- Encodings -------------------------------------------------------- */

static gboolean
is_plain_character (guint8 c)
{
  return (c > ' ' && c < 0x7f && c != '=') || c == ' ' || c == '\t';
}

/* Whether quoted-printable is the shorter and more legible choice. */
static gboolean
is_mostly_ascii (const guint8 *data, gsize len)
{
  gsize odd = 0;

  for (gsize i = 0; i < len; i++)
    odd += !is_plain_character (data[i]) && data[i] != '\r' && data[i] != '\n';
  return odd <= len / 6;
}

/* CRLF becomes a line end, so that decoding gives the same bytes back; a lone
 * CR or LF is encoded. */
static gboolean
write_quoted (Writer *w, const guint8 *data, gsize len, GError **error)
{
  gsize column = 0;

  for (gsize i = 0; i < len; i++)
    {
      gboolean ends = i + 1 == len || (data[i + 1] == '\r' && i + 2 < len && data[i + 2] == '\n');
      gboolean plain = is_plain_character (data[i]) && !(ends && (data[i] == ' ' || data[i] == '\t'));
      gsize width = plain ? 1 : 3;

      if (data[i] == '\r' && i + 1 < len && data[i + 1] == '\n')
        {
          put (w, "\r\n");
          column = 0;
          i++;
          continue;
        }
      if (column + width > QP_LINE)
        {
          put (w, "=\r\n");
          column = 0;
        }
      if (plain)
        g_string_append_c (w->out, (char) data[i]);
      else
        put (w, "=%02X", data[i]);
      column += width;
      if (!flush_if_full (w, error))
        return FALSE;
    }
  return TRUE;
}

/* Lines of 76 characters; no line end behind the last. */
static void
put_base64 (Writer *w, const guint8 *data, gsize len, gboolean first)
{
  for (gsize off = 0; off < len; off += ROW)
    {
      char row[ROW / 3 * 4 + 8];
      int state = 0, save = 0;
      gsize n = g_base64_encode_step (data + off, MIN ((gsize) ROW, len - off), FALSE, row, &state, &save);

      n += g_base64_encode_close (FALSE, row + n, &state, &save);
      if (!first)
        put (w, "\r\n");
      first = FALSE;
      g_string_append_len (w->out, row, (gssize) n);
    }
}

static gboolean
write_base64 (Writer *w, TpdSource *source, GError **error)
{
  g_autofree guint8 *data = g_malloc (ROW * ROWS);

  for (guint64 off = 0; off < source->size; off += ROW * ROWS)
    {
      gsize n = (gsize) MIN ((guint64) (ROW * ROWS), source->size - off);

      if (!tpd_source_read_exact (source, data, n, off, error))
        return FALSE;
      put_base64 (w, data, n, off == 0);
      tpd_wipe (data, n);
      if (!flush_if_full (w, error))
        return FALSE;
    }
  return TRUE;
}

/* --- Leaves ----------------------------------------------------------- */

/* A text entity: its fields and its content. */
static gboolean
write_text (Writer *w, const char *type, const char *charset, const void *data, gsize len, GError **error)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (TpdSource) source = NULL;

  put (w, "Content-Type: %s; charset=%s\r\n", type, charset);
  if (is_mostly_ascii (data, len))
    {
      put (w, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
      return write_quoted (w, data, len, error);
    }
  put (w, "Content-Transfer-Encoding: base64\r\n\r\n");
  bytes = g_bytes_new_static (data, len);
  source = tpd_source_new_bytes (bytes);
  return write_base64 (w, source, error);
}

/* From a table of our own: that of the machine may be another tomorrow. */
static const char *
type_of (const char *name)
{
  static const struct {
    const char *ending, *type;
  } types[] = {
    { ".bmp", "image/bmp" },
    { ".doc", "application/msword" },
    { ".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
    { ".gif", "image/gif" },
    { ".jpeg", "image/jpeg" },
    { ".jpg", "image/jpeg" },
    { ".msg", "application/vnd.ms-outlook" },
    { ".pdf", "application/pdf" },
    { ".png", "image/png" },
    { ".ppt", "application/vnd.ms-powerpoint" },
    { ".pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation" },
    { ".rtf", "application/rtf" },
    { ".svg", "image/svg+xml" },
    { ".tif", "image/tiff" },
    { ".tiff", "image/tiff" },
    { ".webp", "image/webp" },
    { ".xls", "application/vnd.ms-excel" },
    { ".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
    { ".zip", "application/zip" },
  };
  const char *dot = strrchr (name, '.');

  for (gsize i = 0; dot != NULL && i < G_N_ELEMENTS (types); i++)
    if (g_ascii_strcasecmp (dot, types[i].ending) == 0)
      return types[i].type;
  return "application/octet-stream";
}

static void
put_file_name (Writer *w, const char *name)
{
  static const char hex[] = "0123456789ABCDEF";

  if (g_str_is_ascii (name))
    {
      put (w, ";\r\n filename=\"");
      for (const char *p = name; *p != '\0'; p++)
        {
          if (*p == '"' || *p == '\\')
            g_string_append_c (w->out, '\\');
          g_string_append_c (w->out, *p);
        }
      put (w, "\"\r\n");
      return;
    }
  put (w, ";\r\n filename*=utf-8''");
  for (const char *p = name; *p != '\0'; p++)
    {
      guint8 c = (guint8) *p;

      if (g_ascii_isalnum (c) || strchr ("._-", c) != NULL)
        g_string_append_c (w->out, *p);
      else
        {
          g_string_append_c (w->out, '%');
          g_string_append_c (w->out, hex[c >> 4]);
          g_string_append_c (w->out, hex[c & 15]);
        }
    }
  put (w, "\r\n");
}

/* What of `stored` may stand in a header: printable ASCII without blanks and
 * angle brackets; NULL if that is nothing or too long. (transfer full) */
static char *
clean_id (const char *stored)
{
  g_autoptr (GString) id = g_string_new (NULL);

  for (const char *p = stored != NULL ? stored : ""; *p != '\0'; p++)
    if (*p > ' ' && *p < 0x7f && *p != '<' && *p != '>')
      g_string_append_c (id, *p);
  if (id->len == 0 || id->len > ID_MAX)
    return NULL;
  return g_string_free (g_steal_pointer (&id), FALSE);
}

static gboolean
write_file (Writer *w, const char *name, const char *disposition, const TpdMailAttachment *attachment,
            TpdSource *source, GError **error)
{
  g_autofree char *id = attachment != NULL ? clean_id (attachment->content_id) : NULL;
  g_autofree char *location = attachment != NULL ? clean_id (attachment->content_location) : NULL;

  put (w, "Content-Type: %s\r\nContent-Transfer-Encoding: base64\r\n", type_of (name));
  if (id != NULL)
    put (w, "Content-ID: <%s>\r\n", id);
  if (location != NULL)
    put (w, "Content-Location: %s\r\n", location);
  put (w, "Content-Disposition: %s", disposition);
  put_file_name (w, name);
  put (w, "\r\n");
  return write_base64 (w, source, error);
}

/* --- Multiparts ------------------------------------------------------- */

/* `type`: "mixed", "related" or "alternative"; each is used once at most. */
static void
open_multipart (Writer *w, const char *type, const char *parameters)
{
  put (w, "Content-Type: multipart/%s%s;\r\n boundary=\"=_%s_%s\"\r\n\r\n", type, parameters, type, w->hash);
  put (w, "--=_%s_%s\r\n", type, w->hash);
}

static void
next_part (Writer *w, const char *type)
{
  put (w, "\r\n--=_%s_%s\r\n", type, w->hash);
}

static void
close_multipart (Writer *w, const char *type)
{
  put (w, "\r\n--=_%s_%s--\r\n", type, w->hash);
}

/* --- The body --------------------------------------------------------- */

/* UTF-16 and UTF-7 are no charsets for a text part. */
static gboolean
must_convert (guint code_page, const guint8 *html, gsize len)
{
  return tpd_mail_charset (code_page) == NULL || code_page == 1200 || code_page == 1201 || code_page == 65000
         || (len >= 2 && html[0] == 0xff && html[1] == 0xfe);
}

static void
prepare_html (Writer *w)
{
  const TpdMailContent *content = w->content;
  GBytes *stored = content->body_format == TPD_BODY_PLAIN ? content->as_html : content->body;
  const guint8 *data;

  if (stored == NULL)
    return;
  data = g_bytes_get_data (stored, &w->html_len);
  if (content->body_format == TPD_BODY_PLAIN || must_convert (content->code_page, data, w->html_len))
    {
      w->html = tpd_mail_body_html (content);
      w->html_len = strlen (w->html);
      w->html_charset = "utf-8";
    }
  else
    {
      w->html = g_memdup2 (data, w->html_len);
      w->html_charset = tpd_mail_charset (content->code_page);
      if (w->html == NULL)
        w->html = g_strdup ("");
    }
}

/* The ids that the HTML shows as "cid:ID", unescaped. */
static GHashTable *
collect_ids (const char *html, gsize len)
{
  GHashTable *ids = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (gsize i = 0; i + 4 < len && g_hash_table_size (ids) < IDS_MAX; i++)
    {
      gsize start = i + 4, n = 0;
      g_autofree char *raw = NULL;
      char *plain;

      if (g_ascii_strncasecmp (html + i, "cid:", 4) != 0)
        continue;
      while (start + n < len && n < ID_MAX && html[start + n] > ' ' && strchr ("\"'<>)&;", html[start + n]) == NULL)
        n++;
      raw = g_strndup (html + start, n);
      plain = g_uri_unescape_string (raw, NULL);
      if (plain != NULL)
        g_hash_table_add (ids, plain);
      g_hash_table_add (ids, g_steal_pointer (&raw));
      /* What looks like an id inside of one is none. */
      i = start + n - 1;
    }
  return ids;
}

/* Which attachments are parts of the HTML. */
static void
find_shown (Writer *w)
{
  const GPtrArray *all = w->content->attachments;
  g_autoptr (GHashTable) ids = NULL;

  w->shown = g_new0 (gboolean, all->len + 1);
  if (w->html == NULL)
    return;
  ids = collect_ids (w->html, w->html_len);
  for (guint i = 0; i < all->len; i++)
    {
      const TpdMailAttachment *attachment = g_ptr_array_index (all, i);

      if (attachment->method != TPD_ATTACH_FILE)
        continue;
      w->shown[i] = (attachment->content_id != NULL && g_hash_table_contains (ids, attachment->content_id))
                    || (attachment->hidden && (attachment->content_id != NULL || attachment->content_location != NULL));
      w->n_shown += w->shown[i];
    }
}

static gboolean
write_plain (Writer *w, GError **error)
{
  g_autofree char *text = tpd_mail_body_text (w->content);

  return write_text (w, "text/plain", "utf-8", text != NULL ? text : "", text != NULL ? strlen (text) : 0, error);
}

static gboolean
write_html (Writer *w, GError **error)
{
  return write_text (w, "text/html", w->html_charset, w->html, w->html_len, error);
}

static gboolean
write_core (Writer *w, GError **error)
{
  if (w->html == NULL)
    return write_plain (w, error);
  if (w->content->body_format != TPD_BODY_PLAIN)
    return write_html (w, error);
  open_multipart (w, "alternative", "");
  if (!write_plain (w, error))
    return FALSE;
  next_part (w, "alternative");
  if (!write_html (w, error))
    return FALSE;
  close_multipart (w, "alternative");
  return TRUE;
}

/* Attachments that are `shown` in the HTML, or those that are not. */
static gboolean
write_files (Writer *w, gboolean shown, const char *multipart, GError **error)
{
  const GPtrArray *all = w->content->attachments;

  for (guint i = 0; i < all->len; i++)
    {
      const TpdMailAttachment *attachment = g_ptr_array_index (all, i);

      if (w->shown[i] != shown)
        continue;
      next_part (w, multipart);
      if (!write_file (w, attachment->name, shown ? "inline" : "attachment", attachment, attachment->source, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
write_body (Writer *w, GError **error)
{
  gboolean alternative = w->html != NULL && w->content->body_format == TPD_BODY_PLAIN;

  if (w->n_shown == 0)
    return write_core (w, error);
  open_multipart (w, "related", alternative ? "; type=\"multipart/alternative\"" : "; type=\"text/html\"");
  if (!write_core (w, error) || !write_files (w, TRUE, "related", error))
    return FALSE;
  close_multipart (w, "related");
  return TRUE;
}

/* --- All of it -------------------------------------------------------- */

static gboolean
write_rtf (Writer *w, GError **error)
{
  g_autoptr (TpdSource) source = tpd_source_new_bytes (w->content->rtf);
  g_autoptr (GHashTable) taken = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *name = g_strdup ("message.rtf");

  for (guint i = 0; i < w->content->attachments->len; i++)
    {
      const TpdMailAttachment *attachment = g_ptr_array_index (w->content->attachments, i);
      g_hash_table_add (taken, g_utf8_casefold (attachment->name, -1));
    }
  for (guint number = 2; g_hash_table_contains (taken, name); number++)
    {
      g_free (name);
      name = g_strdup_printf ("message (%u).rtf", number);
    }
  next_part (w, "mixed");
  return write_file (w, name, "attachment", NULL, source, error);
}

static void
hash_bytes (GChecksum *sum, GBytes *bytes)
{
  gsize len = 0;
  const guint8 *data = bytes != NULL ? g_bytes_get_data (bytes, &len) : NULL;
  guint64 size = GUINT64_TO_LE (len);

  g_checksum_update (sum, (const guint8 *) &size, sizeof size);
  if (len > 0)
    g_checksum_update (sum, data, (gssize) len);
}

static void
make_hash (Writer *w, GBytes *headers)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);

  hash_bytes (sum, headers);
  hash_bytes (sum, w->content->body);
  hash_bytes (sum, w->content->as_html);
  hash_bytes (sum, w->content->rtf);
  for (guint i = 0; i < w->content->attachments->len; i++)
    {
      const TpdMailAttachment *attachment = g_ptr_array_index (w->content->attachments, i);
      guint64 size = GUINT64_TO_LE (attachment->source->size);

      g_checksum_update (sum, (const guint8 *) attachment->name, -1);
      g_checksum_update (sum, (const guint8 *) &size, sizeof size);
    }
  g_strlcpy (w->hash, g_checksum_get_string (sum), sizeof w->hash);
}

gboolean
tpd_mail_write_eml (const TpdMailContent *content, GBytes *headers, TpdSink *sink, GError **error)
{
  g_auto (Writer) w = { .content = content, .sink = sink, .out = g_string_new (NULL) };
  gboolean mixed;

  make_hash (&w, headers);
  prepare_html (&w);
  find_shown (&w);
  mixed = content->rtf != NULL || content->attachments->len > w.n_shown;
  if (!write_headers (&w, headers, error))
    return FALSE;
  if (mixed)
    open_multipart (&w, "mixed", "");
  if (!write_body (&w, error))
    return FALSE;
  if (mixed)
    {
      if (content->rtf != NULL && !write_rtf (&w, error))
        return FALSE;
      if (!write_files (&w, FALSE, "mixed", error))
        return FALSE;
      close_multipart (&w, "mixed");
    }
  return flush (&w, error);
}
