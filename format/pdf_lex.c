/* SPDX-License-Identifier: Apache-2.0 */
/* PDF tokens and objects: see pdf_lex.h. */
#include "format/pdf_lex.h"

#include <string.h>

#define MAX_WORD 1024

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
  const guint8 *run;
  guint64 depth = 0;
  gsize len;

  while ((run = tpd_pdf_reader_run (reader, &len)) != NULL)
    {
      gsize i = 0;

      while (i < len && run[i] != '\\' && run[i] != '(' && run[i] != ')')
        i++;
      reader->pos += i;
      if (i == len)
        continue;
      reader->pos++;
      if (run[i] == '\\')
        tpd_pdf_reader_get (reader);
      else if (run[i] == '(')
        depth++;
      else if (--depth == 0)
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

/* Words that stand between objects, never in one: where they do, its end is missing. */
static gboolean
is_structure (const char *word)
{
  static const char *const words[] = { "obj", "endobj", "stream", "endstream", "xref", "trailer", "startxref", NULL };

  return g_strv_contains (words, word);
}

/* FALSE when the nesting or the list is longer than any sound file's, or wrong. */
static gboolean
add_token (TpdPdfObject *object, guint *open, guint *depth, const TpdPdfToken *token)
{
  if (token->type == TPD_PDF_WORD && strcmp (tpd_pdf_text (object, token), "R") == 0)
    return make_ref (object, token);
  if (object->tokens->len >= TPD_PDF_MAX_TOKENS
      || (token->type == TPD_PDF_WORD && is_structure (tpd_pdf_text (object, token))))
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
  } while (depth > 0);
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

/* A header looked for in the wrong place must not cost more than a few bytes. */
static void
skip_little_space (TpdPdfReader *reader)
{
  for (guint i = 0; i < 32 && tpd_pdf_is_space (tpd_pdf_reader_peek (reader)); i++)
    reader->pos++;
}

gboolean
tpd_pdf_read_header (TpdPdfReader *reader, guint64 off, guint64 *num, guint64 *gen)
{
  guint64 generation;

  if (gen == NULL)
    gen = &generation;
  reader->pos = off;
  skip_little_space (reader);
  if (!g_ascii_isdigit (tpd_pdf_reader_peek (reader)) || !tpd_pdf_reader_take_number (reader, num))
    return FALSE;
  skip_little_space (reader);
  if (!g_ascii_isdigit (tpd_pdf_reader_peek (reader)) || !tpd_pdf_reader_take_number (reader, gen))
    return FALSE;
  skip_little_space (reader);
  return tpd_pdf_reader_peek (reader) == 'o' && tpd_pdf_reader_take_word (reader, "obj");
}

TpdPdfObject *
tpd_pdf_object_read_indirect (TpdPdfReader *reader, guint64 off, GError **error)
{
  g_autoptr (TpdPdfObject) object = object_new (reader, off);

  if (!tpd_pdf_read_header (reader, off, &object->num, &object->gen))
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

guint64
tpd_pdf_object_end (const TpdPdfObject *object, gboolean stream, guint64 pos)
{
  TpdPdfReader *reader = object->reader;

  if (!stream)
    return object->terminator.type == TPD_PDF_WORD && strcmp (tpd_pdf_text (object, &object->terminator), "endobj") == 0
               ? object->terminator.end
               : tpd_pdf_token (object, tpd_pdf_skip (object, 0) - 1)->end;
  reader->pos = pos;
  if (!tpd_pdf_reader_take_word (reader, "endstream"))
    return pos;
  pos = reader->pos;
  return tpd_pdf_reader_take_word (reader, "endobj") ? reader->pos : pos;
}
