/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a PDF file byte by byte through a few windows: see pdf_lex.h. */
#include <string.h>

#include "base/error.h"
#include "format/pdf_lex.h"

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

const guint8 *
tpd_pdf_reader_run (TpdPdfReader *reader, gsize *len)
{
  const TpdPdfWindow *window = reader->window;

  if (reader->pos < window->off || reader->pos - window->off >= window->len)
    {
      if (!load_window (reader))
        return NULL;
      window = reader->window;
    }
  *len = window->len - (gsize) (reader->pos - window->off);
  return window->data + (reader->pos - window->off);
}

/* The object that the byte at `at` of the window stands in: where "N G obj" before
 * it begins. There is none that ends before `floor`. */
static gboolean
find_object (const TpdPdfWindow *window, gsize at, gsize floor, TpdPdfPlace *place)
{
  const char *data = (const char *) window->data;
  gsize start = at;
  guint64 power = 1;

  while (start >= 4 && start >= floor && memcmp (data + start - 4, " obj", 4) != 0)
    start--;
  if (start < 4 || start < floor)
    return FALSE;
  start -= 4;
  while (start > 0 && g_ascii_isdigit (data[start - 1]))
    start--;
  while (start > 0 && data[start - 1] == ' ')
    start--;
  place->num = 0;
  for (gsize n = 0; n < 10 && start > 0 && g_ascii_isdigit (data[start - 1]); n++, power *= 10)
    place->num += (guint64) (data[--start] - '0') * power;
  place->off = window->off + start;
  return power > 1;
}

guint
tpd_pdf_reader_recall (const TpdPdfReader *reader, const char *text, TpdPdfPlace *places, guint n_places)
{
  guint n = 0;

  for (guint i = 0; i < TPD_PDF_WINDOWS; i++)
    {
      const TpdPdfWindow *window = &reader->windows[i];
      const guint8 *at = window->data, *end = at != NULL ? at + window->len : NULL;
      gsize floor = 0;

      while (n < n_places && at < end && (at = memmem (at, (gsize) (end - at), text, strlen (text))) != NULL)
        {
          if (find_object (window, (gsize) (at - window->data), floor, &places[n]))
            n++;
          else
            floor = (gsize) (at - window->data);
          at += strlen (text);
        }
    }
  return n;
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
