/* SPDX-License-Identifier: Apache-2.0 */
/* PDF strings (ISO 32000-2, 7.3.4): their bytes, and tokens for bytes. */
#include <string.h>

#include "format/pdf_lex.h"

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

/* The bytes before `end` that stand for themselves, at most `max` + 1 of them. */
static void
append_run (TpdPdfReader *reader, guint64 end, gsize max, GByteArray *bytes)
{
  gsize len, n = 0;
  const guint8 *run = tpd_pdf_reader_run (reader, &len);

  if (run == NULL)
    return;
  len = (gsize) MIN ((guint64) len, end - reader->pos);
  len = MIN (len, max + 1 - bytes->len);
  while (n < len && run[n] != '\\' && run[n] != '\r')
    n++;
  g_byte_array_append (bytes, run, (guint) n);
  reader->pos += n;
}

static gboolean
read_literal (TpdPdfReader *reader, guint64 end, gsize max, GByteArray *bytes)
{
  while (bytes->len <= max)
    {
      guint8 byte;
      int c;

      append_run (reader, end, max, bytes);
      if (reader->pos >= end || reader->error != NULL)
        break;
      c = read_literal_byte (reader);
      byte = (guint8) c;
      if (c >= 0 && bytes->len <= max)
        g_byte_array_append (bytes, &byte, 1);
    }
  return bytes->len <= max;
}

static gboolean
read_hex (TpdPdfReader *reader, guint64 end, gsize max, GByteArray *bytes)
{
  guint8 block[256];
  guint n = 0;
  int high = -1;

  while (reader->pos < end && reader->error == NULL && bytes->len <= max)
    {
      int c = tpd_pdf_reader_get (reader);
      int digit = c < 0 ? -1 : g_ascii_xdigit_value ((char) c);

      if (digit >= 0 && high < 0)
        high = digit;
      else if (digit >= 0)
        {
          block[n++] = (guint8) (high << 4 | digit);
          high = -1;
        }
      if (n == sizeof block)
        {
          g_byte_array_append (bytes, block, n);
          n = 0;
        }
    }
  /* The last digit may be missing: it is 0. */
  if (high >= 0)
    block[n++] = (guint8) (high << 4);
  g_byte_array_append (bytes, block, n);
  return bytes->len <= max;
}

GByteArray *
tpd_pdf_string_read (TpdPdfReader *reader, const TpdPdfToken *token, gsize max)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  guint64 end = token->end - 1;

  reader->pos = token->start + 1;
  if (!(token->type == TPD_PDF_LITERAL ? read_literal : read_hex) (reader, end, max, bytes))
    return NULL;
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
