/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing HTML. Markup of ours goes out as it stands; text of others (names of
 * files, what licenses say) is escaped for element content and for quoted
 * attributes, and goes nowhere else.
 */
#pragma once

#include <glib.h>

typedef struct {
  int fd; /* where it goes */
  GString *out;
  gboolean failed; /* nothing is written any more */
  int errnum;      /* why */
} TpdHtml;

/* Markup. */
void tpd_html_append (TpdHtml *html, const char *markup);
/* Text; NULL is nothing. */
void tpd_html_text (TpdHtml *html, const char *text);
/* Markup and text in turn; NULL instead of a piece of markup, or behind it,
 * ends. So text must not be NULL here. */
void tpd_html_parts (TpdHtml *html, const char *markup, ...) G_GNUC_NULL_TERMINATED;
/* Writes what is waiting, if that is more than `keep` bytes. */
void tpd_html_flush (TpdHtml *html, gsize keep);
