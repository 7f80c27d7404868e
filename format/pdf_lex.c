/* SPDX-License-Identifier: Apache-2.0 */
/* PDF syntax: see pdf_lex.h. */
#include "format/pdf_lex.h"

#include <string.h>

#include "base/error.h"

#define MAX_WORD 1024

/* --- Characters (ISO 32000-2, 7.2.3) ----------------------------------- */

gboolean
tpd_pdf_is_space (int c)
{
  return c == 0 || c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == ' ';
}

gboolean
tpd_pdf_is_regular (int c)
{
  return c >= 0 && !tpd_pdf_is_space (c) && strchr ("()<>[]{}/%", c) == NULL;
}

/* --- Reader ------------------------------------------------------------ */

TpdPdfReader *
tpd_pdf_reader_new (TpdSource *source)
{
  TpdPdfReader *reader = g_new0 (TpdPdfReader, 1);

  reader->source = tpd_source_ref (source);
  reader->window = &reader->windows[0];
  return reader;
}

void
tpd_pdf_reader_free (TpdPdfReader *reader)
{
  if (reader == NULL)
    return;
  for (guint i = 0; i < TPD_PDF_WINDOWS; i++)
    g_free (reader->windows[i].data);
  g_clear_error (&reader->error);
  tpd_source_unref (reader->source);
  g_free (reader);
}

/* Makes the window that holds `pos` the current one. */
static gboolean
load_window (TpdPdfReader *reader)
{
  TpdPdfWindow *window = &reader->windows[0];
  guint64 off = reader->pos / TPD_PDF_WINDOW * TPD_PDF_WINDOW;
  gsize len;

  if (reader->error != NULL || reader->pos >= reader->source->size)
    return FALSE;
  for (guint i = 0; i < TPD_PDF_WINDOWS; i++)
    {
      TpdPdfWindow *other = &reader->windows[i];

      if (other->len > 0 && other->off == off)
        {
          other->last_used = ++reader->clock;
          reader->window = other;
          return TRUE;
        }
      if (other->last_used < window->last_used)
        window = other;
    }
  len = (gsize) MIN (reader->source->size - off, (guint64) TPD_PDF_WINDOW);
  if (window->data == NULL)
    window->data = g_malloc (TPD_PDF_WINDOW);
  window->len = 0;
  if (!tpd_source_read_exact (reader->source, window->data, len, off, &reader->error))
    return FALSE;
  window->off = off;
  window->len = len;
  window->last_used = ++reader->clock;
  reader->window = window;
  return TRUE;
}

int
tpd_pdf_reader_peek (TpdPdfReader *reader)
{
  TpdPdfWindow *window = reader->window;

  if (reader->pos >= window->off && reader->pos - window->off < window->len)
    return window->data[reader->pos - window->off];
  if (!load_window (reader))
    return -1;
  return reader->window->data[reader->pos - reader->window->off];
}

int
tpd_pdf_reader_get (TpdPdfReader *reader)
{
  int c = tpd_pdf_reader_peek (reader);

  if (c >= 0)
    reader->pos++;
  return c;
}

void
tpd_pdf_reader_skip_space (TpdPdfReader *reader)
{
  int c;

  while ((c = tpd_pdf_reader_peek (reader)) >= 0)
    {
      if (c == '%')
        while ((c = tpd_pdf_reader_peek (reader)) >= 0 && c != '\n' && c != '\r')
          reader->pos++;
      else if (tpd_pdf_is_space (c))
        reader->pos++;
      else
        return;
    }
}

gboolean
tpd_pdf_reader_take_number (TpdPdfReader *reader, guint64 *value)
{
  guint digits = 0;
  int c;

  *value = 0;
  tpd_pdf_reader_skip_space (reader);
  while ((c = tpd_pdf_reader_peek (reader)) >= '0' && c <= '9')
    {
      if (++digits > 18)
        return FALSE;
      *value = *value * 10 + (guint64) (c - '0');
      reader->pos++;
    }
  return digits > 0;
}

gboolean
tpd_pdf_reader_take_word (TpdPdfReader *reader, const char *word)
{
  tpd_pdf_reader_skip_space (reader);
  for (; *word != '\0'; word++)
    if (tpd_pdf_reader_get (reader) != *word)
      return FALSE;
  return TRUE;
}

gboolean
tpd_pdf_reader_search (TpdPdfReader *reader, const char *text, guint64 limit)
{
  const gsize len = strlen (text);

  limit = MIN (limit, reader->source->size);
  while (reader->pos < limit && limit - reader->pos >= len)
    {
      const TpdPdfWindow *window;
      guint64 here = reader->pos;
      const guint8 *data, *found;
      gsize left;

      if (tpd_pdf_reader_peek (reader) < 0)
        return FALSE;
      window = reader->window;
      data = window->data + (here - window->off);
      left = (gsize) MIN (window->len - (gsize) (here - window->off), limit - here);
      found = memmem (data, left, text, len);
      if (found != NULL)
        {
          reader->pos = here + (guint64) (found - data);
          return TRUE;
        }
      /* What may lie across the border of two windows goes byte by byte. */
      reader->pos = here + left - MIN (left, len - 1);
      while (reader->pos < here + left && limit - reader->pos >= len)
        {
          guint64 start = reader->pos;
          gsize i = 0;

          while (i < len && tpd_pdf_reader_get (reader) == (guint8) text[i])
            i++;
          reader->pos = start;
          if (i == len)
            return TRUE;
          reader->pos = start + 1;
        }
    }
  return FALSE;
}

void
tpd_pdf_reader_set_error (TpdPdfReader *reader, GError **error, const char *format, ...)
{
  g_autofree char *message = NULL;
  va_list args;

  if (reader->error != NULL)
    {
      if (error != NULL)
        *error = g_error_copy (reader->error);
      return;
    }
  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_DAMAGED, message);
}

/* --- Tokens ------------------------------------------------------------ */

static guint32
add_text (TpdPdfObject *object, const char *text, gsize len)
{
  guint32 off = object->text->len;
  const guint8 nul = 0;

  g_byte_array_append (object->text, (const guint8 *) text, (guint) len);
  g_byte_array_append (object->text, &nul, 1);
  return off;
}

/* Over "(...)" with its nesting and escapes. */
static gboolean
skip_literal (TpdPdfReader *reader)
{
  guint64 depth = 0;
  int c;

  while ((c = tpd_pdf_reader_get (reader)) >= 0)
    {
      if (c == '\\')
        tpd_pdf_reader_get (reader);
      else if (c == '(')
        depth++;
      else if (c == ')' && --depth == 0)
        return TRUE;
    }
  return FALSE;
}

static gboolean
skip_hex (TpdPdfReader *reader)
{
  int c;

  while ((c = tpd_pdf_reader_get (reader)) >= 0)
    {
      if (c == '>')
        return TRUE;
      if (!g_ascii_isxdigit (c) && !tpd_pdf_is_space (c))
        return FALSE;
    }
  return FALSE;
}

static void
read_name (TpdPdfReader *reader, TpdPdfObject *object, TpdPdfToken *token)
{
  char name[MAX_WORD];
  gsize len = 0;
  int c;

  token->type = TPD_PDF_NAME;
  while (tpd_pdf_is_regular (c = tpd_pdf_reader_peek (reader)))
    {
      reader->pos++;
      if (c == '#')
        {
          guint64 here = reader->pos;
          int high = tpd_pdf_reader_get (reader), low = tpd_pdf_reader_get (reader);

          if (high >= 0 && low >= 0 && g_ascii_isxdigit (high) && g_ascii_isxdigit (low))
            c = g_ascii_xdigit_value ((char) high) << 4 | g_ascii_xdigit_value ((char) low);
          else
            reader->pos = here;
        }
      if (len < sizeof name)
        name[len++] = (char) c;
    }
  token->text = add_text (object, name, len);
}

/* A number or a word; overlong ones become a word that nothing knows. */
static void
read_regular (TpdPdfReader *reader, TpdPdfObject *object, TpdPdfToken *token)
{
  char word[32];
  gsize len = 0, digits = 0, dots = 0, others = 0;
  int c;

  while (tpd_pdf_is_regular (c = tpd_pdf_reader_peek (reader)))
    {
      reader->pos++;
      if (c >= '0' && c <= '9')
        digits++;
      else if (c == '.')
        dots++;
      else if ((c != '-' && c != '+') || len > 0)
        others++;
      if (len < sizeof word - 1)
        word[len++] = (char) c;
    }
  word[len] = '\0';
  if (others == 0 && digits > 0 && dots == 0 && len < 20)
    {
      token->type = TPD_PDF_INTEGER;
      token->value = g_ascii_strtoll (word, NULL, 10);
    }
  else if (others == 0 && digits + dots > 0)
    token->type = TPD_PDF_REAL;
  else
    {
      token->type = TPD_PDF_WORD;
      token->text = add_text (object, word, len);
    }
}

/* FALSE: the end, or no PDF syntax. */
static gboolean
read_token (TpdPdfReader *reader, TpdPdfObject *object, TpdPdfToken *token)
{
  int c;

  memset (token, 0, sizeof *token);
  tpd_pdf_reader_skip_space (reader);
  token->start = reader->pos;
  c = tpd_pdf_reader_peek (reader);
  if (c < 0)
    return FALSE;
  if (tpd_pdf_is_regular (c))
    {
      read_regular (reader, object, token);
      token->end = reader->pos;
      return TRUE;
    }
  switch (c)
    {
    case '/':
      reader->pos++;
      read_name (reader, object, token);
      break;
    case '(':
      token->type = TPD_PDF_LITERAL;
      if (!skip_literal (reader))
        return FALSE;
      break;
    case '<':
      reader->pos++;
      token->type = TPD_PDF_HEX;
      if (tpd_pdf_reader_peek (reader) == '<')
        {
          token->type = TPD_PDF_DICT;
          reader->pos++;
        }
      else if (!skip_hex (reader))
        return FALSE;
      break;
    case '>':
      reader->pos++;
      if (tpd_pdf_reader_get (reader) != '>')
        return FALSE;
      token->type = TPD_PDF_CLOSE;
      token->value = TPD_PDF_DICT;
      break;
    case '[':
      reader->pos++;
      token->type = TPD_PDF_ARRAY;
      break;
    case ']':
      reader->pos++;
      token->type = TPD_PDF_CLOSE;
      token->value = TPD_PDF_ARRAY;
      break;
    default:
      return FALSE;
    }
  token->end = reader->pos;
  return TRUE;
}

/* --- Objects ----------------------------------------------------------- */

static TpdPdfToken *
last_token (TpdPdfObject *object, guint back)
{
  return &g_array_index (object->tokens, TpdPdfToken, object->tokens->len - back);
}

/* Turns "n g" at the end of the list into a reference, `token` being "R". */
static gboolean
make_ref (TpdPdfObject *object, const TpdPdfToken *token)
{
  TpdPdfToken *num;

  if (object->tokens->len < 2 || last_token (object, 1)->type != TPD_PDF_INTEGER
      || last_token (object, 2)->type != TPD_PDF_INTEGER)
    return FALSE;
  num = last_token (object, 2);
  num->type = TPD_PDF_REF;
  num->end = token->end;
  g_array_set_size (object->tokens, object->tokens->len - 1);
  return TRUE;
}

/* FALSE when the nesting or the list is longer than any sound file's, or wrong. */
static gboolean
add_token (TpdPdfObject *object, guint *open, guint *depth, const TpdPdfToken *token)
{
  if (token->type == TPD_PDF_WORD && strcmp (tpd_pdf_text (object, token), "R") == 0)
    return make_ref (object, token);
  if (object->tokens->len >= TPD_PDF_MAX_TOKENS)
    return FALSE;
  g_array_append_val (object->tokens, *token);
  if (token->type == TPD_PDF_DICT || token->type == TPD_PDF_ARRAY)
    {
      if (*depth >= TPD_PDF_MAX_DEPTH)
        return FALSE;
      open[(*depth)++] = object->tokens->len - 1;
    }
  else if (token->type == TPD_PDF_CLOSE)
    {
      TpdPdfToken *opening;

      if (*depth == 0)
        return FALSE;
      opening = &g_array_index (object->tokens, TpdPdfToken, open[--(*depth)]);
      if ((gint64) opening->type != token->value)
        return FALSE;
      opening->match = object->tokens->len - 1;
    }
  return TRUE;
}

/* At the top level, "n g R" is told from "n" only by looking on. */
static void
finish_top_level (TpdPdfReader *reader, TpdPdfObject *object)
{
  TpdPdfToken tokens[3];
  guint64 start = reader->pos;

  if (!read_token (reader, object, &tokens[0]))
    return;
  if (tpd_pdf_token (object, 0)->type == TPD_PDF_INTEGER && tokens[0].type == TPD_PDF_INTEGER
      && read_token (reader, object, &tokens[1]) && tokens[1].type == TPD_PDF_WORD
      && strcmp (tpd_pdf_text (object, &tokens[1]), "R") == 0)
    {
      g_array_append_val (object->tokens, tokens[0]);
      make_ref (object, &tokens[1]);
      start = reader->pos;
      if (!read_token (reader, object, &tokens[0]))
        return;
    }
  object->terminator = tokens[0];
  reader->pos = start;
}

static gboolean
read_direct (TpdPdfReader *reader, TpdPdfObject *object, GError **error)
{
  guint open[TPD_PDF_MAX_DEPTH];
  guint depth = 0;

  tpd_pdf_reader_skip_space (reader);
  object->body = reader->pos;
  do
    {
      TpdPdfToken token;

      if (!read_token (reader, object, &token) || !add_token (object, open, &depth, &token))
        {
          tpd_pdf_reader_set_error (reader, error,
                                    "The PDF object at byte %" G_GUINT64_FORMAT
                                    " is damaged near byte %" G_GUINT64_FORMAT ", or the file was cut off there.",
                                    object->start, token.start);
          return FALSE;
        }
    }
  while (depth > 0);
  finish_top_level (reader, object);
  if (reader->error == NULL)
    return TRUE;
  tpd_pdf_reader_set_error (reader, error, "Cannot read the file.");
  return FALSE;
}

static TpdPdfObject *
object_new (TpdPdfReader *reader, guint64 start)
{
  TpdPdfObject *object = g_new0 (TpdPdfObject, 1);

  object->reader = reader;
  object->tokens = g_array_new (FALSE, FALSE, sizeof (TpdPdfToken));
  object->text = g_byte_array_new ();
  object->start = start;
  return object;
}

void
tpd_pdf_object_free (TpdPdfObject *object)
{
  if (object == NULL)
    return;
  g_array_unref (object->tokens);
  g_byte_array_unref (object->text);
  tpd_pdf_reader_free (object->own);
  g_free (object);
}

TpdPdfObject *
tpd_pdf_object_read (TpdPdfReader *reader, guint64 off, GError **error)
{
  g_autoptr (TpdPdfObject) object = object_new (reader, off);

  reader->pos = off;
  return read_direct (reader, object, error) ? g_steal_pointer (&object) : NULL;
}

gboolean
tpd_pdf_read_header (TpdPdfReader *reader, guint64 off, guint64 *num)
{
  guint64 gen;

  reader->pos = off;
  return tpd_pdf_reader_take_number (reader, num) && tpd_pdf_is_space (tpd_pdf_reader_peek (reader))
         && tpd_pdf_reader_take_number (reader, &gen) && tpd_pdf_reader_take_word (reader, "obj");
}

TpdPdfObject *
tpd_pdf_object_read_indirect (TpdPdfReader *reader, guint64 off, GError **error)
{
  g_autoptr (TpdPdfObject) object = object_new (reader, off);

  if (!tpd_pdf_read_header (reader, off, &object->num))
    {
      tpd_pdf_reader_set_error (reader, error, "There is no PDF object at byte %" G_GUINT64_FORMAT ".", off);
      return NULL;
    }
  return read_direct (reader, object, error) ? g_steal_pointer (&object) : NULL;
}

const char *
tpd_pdf_text (const TpdPdfObject *object, const TpdPdfToken *token)
{
  if (token->type != TPD_PDF_NAME && token->type != TPD_PDF_WORD)
    return "";
  return (const char *) object->text->data + token->text;
}

guint
tpd_pdf_skip (const TpdPdfObject *object, guint index)
{
  const TpdPdfToken *token = tpd_pdf_token (object, index);

  return (token->type == TPD_PDF_DICT || token->type == TPD_PDF_ARRAY ? token->match : index) + 1;
}

guint
tpd_pdf_dict_get (const TpdPdfObject *object, guint dict, const char *key)
{
  const TpdPdfToken *token = tpd_pdf_token (object, dict);
  guint end = token->match, found = 0;

  if (token->type != TPD_PDF_DICT)
    return 0;
  for (guint i = dict + 1; i + 1 < end; i = tpd_pdf_skip (object, i + 1))
    {
      const TpdPdfToken *name = tpd_pdf_token (object, i);

      if (name->type == TPD_PDF_NAME && strcmp (tpd_pdf_text (object, name), key) == 0)
        found = i + 1;
    }
  return found;
}

gboolean
tpd_pdf_dict_has_name (const TpdPdfObject *object, guint dict, const char *key, const char *name)
{
  guint i = tpd_pdf_dict_get (object, dict, key);

  return i > 0 && tpd_pdf_token (object, i)->type == TPD_PDF_NAME
         && g_ascii_strcasecmp (tpd_pdf_text (object, tpd_pdf_token (object, i)), name) == 0;
}

gboolean
tpd_pdf_object_stream (const TpdPdfObject *object, guint64 *start)
{
  TpdPdfReader *reader = object->reader;

  if (tpd_pdf_token (object, 0)->type != TPD_PDF_DICT || object->terminator.type != TPD_PDF_WORD
      || strcmp (tpd_pdf_text (object, &object->terminator), "stream") != 0)
    return FALSE;
  /* The data starts behind CR LF or LF; a CR alone is wrong but met. */
  reader->pos = object->terminator.end;
  while (tpd_pdf_reader_peek (reader) == ' ')
    reader->pos++;
  if (tpd_pdf_reader_peek (reader) == '\r')
    reader->pos++;
  if (tpd_pdf_reader_peek (reader) == '\n')
    reader->pos++;
  *start = reader->pos;
  return TRUE;
}

/* --- Strings (7.3.4) ---------------------------------------------------- */

/* What the escape behind a backslash stands for; -1: nothing. */
static int
read_escape (TpdPdfReader *reader)
{
  static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
  int c = tpd_pdf_reader_get (reader);
  const char *p;

  if (c >= '0' && c <= '7')
    {
      int value = c - '0';

      for (guint i = 0; i < 2 && (c = tpd_pdf_reader_peek (reader)) >= '0' && c <= '7'; i++)
        {
          value = value * 8 + (c - '0');
          reader->pos++;
        }
      return value & 0xff;
    }
  if (c == '\r' && tpd_pdf_reader_peek (reader) == '\n')
    reader->pos++;
  if (c == '\r' || c == '\n' || c < 0)
    return -1;
  p = strchr (from, c);
  return p != NULL && *p != '\0' ? to[p - from] : c;
}

/* The next byte of a literal string; -1 for nothing. */
static int
read_literal_byte (TpdPdfReader *reader)
{
  int c = tpd_pdf_reader_get (reader);

  if (c == '\\')
    return read_escape (reader);
  if (c != '\r')
    return c;
  if (tpd_pdf_reader_peek (reader) == '\n')
    reader->pos++;
  return '\n';
}

GByteArray *
tpd_pdf_string_read (TpdPdfReader *reader, const TpdPdfToken *token, gsize max)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  int high = -1;

  reader->pos = token->start + 1;
  while (reader->pos < token->end - 1 && reader->error == NULL)
    {
      int c = token->type == TPD_PDF_LITERAL ? read_literal_byte (reader) : tpd_pdf_reader_get (reader);
      guint8 byte = (guint8) c;

      if (token->type == TPD_PDF_HEX)
        {
          int digit = c < 0 ? -1 : g_ascii_xdigit_value ((char) c);

          if (digit >= 0 && high < 0)
            high = digit;
          else if (digit >= 0)
            {
              byte = (guint8) (high << 4 | digit);
              high = -1;
              g_byte_array_append (bytes, &byte, 1);
            }
        }
      else if (c >= 0)
        g_byte_array_append (bytes, &byte, 1);
      if (bytes->len > max)
        return NULL;
    }
  if (high >= 0)
    {
      guint8 byte = (guint8) (high << 4);
      g_byte_array_append (bytes, &byte, 1);
    }
  return reader->error == NULL ? g_steal_pointer (&bytes) : NULL;
}

/*
 * As "(...)". With `tight`, parentheses that have a partner stay as they are:
 * shorter, and as valid.
 */
static GByteArray *
write_literal (const guint8 *data, gsize len, gboolean tight)
{
  GByteArray *out = g_byte_array_sized_new ((guint) MIN (len + 64, (gsize) G_MAXINT));
  g_autofree guint8 *partner = NULL;

  if (tight)
    {
      g_autoptr (GArray) open = g_array_new (FALSE, FALSE, sizeof (gsize));

      partner = g_malloc0 (len + 1);
      for (gsize i = 0; i < len; i++)
        if (data[i] == '(')
          g_array_append_val (open, i);
        else if (data[i] == ')' && open->len > 0)
          {
            partner[i] = partner[g_array_index (open, gsize, open->len - 1)] = 1;
            g_array_set_size (open, open->len - 1);
          }
    }
  g_byte_array_append (out, (const guint8 *) "(", 1);
  for (gsize i = 0; i < len; i++)
    {
      if (data[i] == '\r')
        g_byte_array_append (out, (const guint8 *) "\\r", 2);
      else
        {
          if (data[i] == '\\' || ((data[i] == '(' || data[i] == ')') && (partner == NULL || partner[i] == 0)))
            g_byte_array_append (out, (const guint8 *) "\\", 1);
          g_byte_array_append (out, &data[i], 1);
        }
    }
  g_byte_array_append (out, (const guint8 *) ")", 1);
  return out;
}

static GByteArray *
write_hex (const guint8 *data, gsize len)
{
  static const char digits[] = "0123456789ABCDEF";
  GByteArray *out = g_byte_array_sized_new ((guint) MIN (2 * len + 2, (gsize) G_MAXINT));

  g_byte_array_append (out, (const guint8 *) "<", 1);
  for (gsize i = 0; i < len; i++)
    {
      const guint8 pair[2] = { (guint8) digits[data[i] >> 4], (guint8) digits[data[i] & 15] };
      g_byte_array_append (out, pair, 2);
    }
  g_byte_array_append (out, (const guint8 *) ">", 1);
  return out;
}

GByteArray *
tpd_pdf_string_write (const guint8 *data, gsize len, TpdPdfTokenType type, guint64 room)
{
  GByteArray *out;

  if (type == TPD_PDF_HEX && 2 * (guint64) len + 2 <= room)
    return write_hex (data, len);
  if ((guint64) len + 2 <= room)
    {
      out = write_literal (data, len, FALSE);
      if (out->len <= room)
        return out;
      g_byte_array_unref (out);
      out = write_literal (data, len, TRUE);
      if (out->len <= room)
        return out;
      g_byte_array_unref (out);
    }
  return 2 * (guint64) len + 2 <= room ? write_hex (data, len) : NULL;
}
