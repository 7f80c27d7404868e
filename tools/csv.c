/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of CSV: see csv.h. */
#include "tools/csv.h"

#include <string.h>

#include "base/text.h"

void
tpd_csv_cell (GString *line, const char *value)
{
  g_autofree char *shown = tpd_display (value != NULL ? value : "");
  const char *raw = value != NULL ? value : "";
  gboolean formula = raw[0] != '\0' && strchr ("=+-@\t\r", raw[0]) != NULL;

  if (line->len > 0)
    g_string_append_c (line, ',');
  if (!formula && strpbrk (shown, ",\"") == NULL && shown[0] != ' ')
    {
      g_string_append (line, shown);
      return;
    }
  g_string_append (line, formula ? "\"'" : "\"");
  for (const char *p = shown; *p != '\0'; p++)
    {
      if (*p == '"')
        g_string_append_c (line, '"');
      g_string_append_c (line, *p);
    }
  g_string_append_c (line, '"');
}
