/* SPDX-License-Identifier: Apache-2.0 */
/* HTML, piece by piece: see html.h. */
#include "tools/html.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

#include "base/io.h"
#include "base/text.h"

#define FLUSH_BYTES (64 * 1024)

void
tpd_html_flush (TpdHtml *html, gsize keep)
{
  if (html->out->len <= keep)
    return;
  if (!html->failed && !tpd_write_all (html->fd, html->out->str, html->out->len))
    {
      html->failed = TRUE;
      html->errnum = errno;
    }
  g_string_truncate (html->out, 0);
}

/* Markup of our own. */
void
tpd_html_append (TpdHtml *html, const char *markup)
{
  g_string_append (html->out, markup);
  tpd_html_flush (html, FLUSH_BYTES);
}

/* Text of others. */
void
tpd_html_text (TpdHtml *html, const char *text)
{
  g_autofree char *shown = tpd_display (text != NULL ? text : "");

  for (const char *p = shown; *p != '\0'; p++)
    {
      switch (*p)
        {
        case '&':
          g_string_append (html->out, "&amp;");
          break;
        case '<':
          g_string_append (html->out, "&lt;");
          break;
        case '>':
          g_string_append (html->out, "&gt;");
          break;
        case '"':
          g_string_append (html->out, "&quot;");
          break;
        case '\'':
          g_string_append (html->out, "&#39;");
          break;
        default:
          g_string_append_c (html->out, *p);
          break;
        }
    }
  tpd_html_flush (html, FLUSH_BYTES);
}

void
tpd_html_parts (TpdHtml *html, const char *markup, ...)
{
  va_list args;

  va_start (args, markup);
  for (const char *part = markup; part != NULL; part = va_arg (args, const char *))
    {
      const char *text;

      tpd_html_append (html, part);
      text = va_arg (args, const char *);
      if (text == NULL)
        break;
      tpd_html_text (html, text);
    }
  va_end (args);
}
