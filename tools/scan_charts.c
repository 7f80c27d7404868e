/* SPDX-License-Identifier: Apache-2.0 */
/* The charts of the page: bars in SVG, which need no script and print well. */
#include "base/text.h"
#include "tools/scan_page.h"

#define MAX_BARS 12

const char *
tpd_scan_page_class (TpdVerdict verdict)
{
  switch (verdict)
    {
    case TPD_VERDICT_OK:
    case TPD_VERDICT_KEY_HELD:
      return "good";
    case TPD_VERDICT_NOT_PROTECTED:
      return "plain";
    case TPD_VERDICT_NO_KEY:
    case TPD_VERDICT_OFFLINE:
    case TPD_VERDICT_DOUBLE_KEY:
      return "warn";
    default:
      return "bad";
    }
}

static void
begin_bars (TpdScanPage *page, const char *class, const char *title, const char *note)
{
  tpd_html_parts (&page->html, "<section class=\"card ", class, "\">\n<h2>", title, "</h2>\n<p class=\"note\">", note,
                  "</p>\n<table class=\"bars\"><tbody>\n", NULL);
}

static void
end_bars (TpdScanPage *page)
{
  tpd_html_append (&page->html, "</tbody></table>\n</section>\n");
}

/* `detail` may be NULL. */
static void
write_bar (TpdScanPage *page, const char *label, const char *detail, const char *class, TpdCount count, guint64 most)
{
  g_autofree char *files = tpd_progress_number (count.files), *bytes = tpd_progress_bytes (count.bytes);
  /* A sliver at least: nothing is not the same as little. */
  guint width = most > 0 ? (guint) MAX ((double) count.files * 1000 / (double) most, 6) : 0;
  g_autofree char *width_text = g_strdup_printf ("%u", MIN (width, 1000));

  tpd_html_parts (&page->html, "<tr><td class=\"label\"><bdi>", label, "</bdi>", NULL);
  if (detail != NULL)
    tpd_html_parts (&page->html, " <span class=\"muted\">", detail, "</span>", NULL);
  tpd_html_parts (
      &page->html,
      "</td><td class=\"bar\"><svg viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" aria-hidden=\"true\">"
      "<rect class=\"track\" width=\"1000\" height=\"10\"/><rect class=\"fill ",
      class, "\" width=\"", width_text, "\" height=\"10\"/></svg></td><td class=\"number\">", files,
      "</td><td class=\"size\">", bytes, "</td></tr>\n", NULL);
}

static void
write_verdicts (TpdScanPage *page)
{
  const TpdTally *tally = &page->report->scan->tally;
  guint64 most = 0;

  for (guint i = 0; i < TPD_N_VERDICTS; i++)
    {
      if (i != TPD_VERDICT_NOT_PROTECTED)
        most = MAX (most, tpd_tally_verdict (tally, (TpdVerdict) i).files);
    }
  begin_bars (page, "", "Verdict", "Of everything that is not just a plain file.");
  for (guint i = 0; i < TPD_N_VERDICTS; i++)
    {
      TpdCount count = tpd_tally_verdict (tally, (TpdVerdict) i);

      if (count.files > 0 && i != TPD_VERDICT_NOT_PROTECTED)
        write_bar (page, tpd_verdict_word ((TpdVerdict) i), NULL, tpd_scan_page_class ((TpdVerdict) i), count, most);
    }
  end_bars (page);
}

static void
write_kinds (TpdScanPage *page)
{
  const TpdTally *tally = &page->report->scan->tally;
  TpdCount counts[TPD_N_KINDS] = { 0 };
  guint64 most = 0;

  for (guint i = TPD_KIND_PLAIN + 1; i < TPD_N_KINDS; i++)
    {
      for (guint j = 0; j < TPD_N_VERDICTS; j++)
        {
          if (j == TPD_VERDICT_NOT_PROTECTED)
            continue;
          counts[i].files += tally->cells[i][j].files;
          counts[i].bytes += tally->cells[i][j].bytes;
        }
      most = MAX (most, counts[i].files);
    }
  begin_bars (page, "", "Kind of protected file", "The container a document is wrapped in.");
  for (guint i = TPD_KIND_PLAIN + 1; i < TPD_N_KINDS; i++)
    {
      if (counts[i].files > 0)
        write_bar (page, tpd_kind_word ((TpdKind) i), NULL, "", counts[i], most);
    }
  end_bars (page);
}

static void
write_key_bars (TpdScanPage *page)
{
  g_autoptr (GPtrArray) keys = tpd_tally_keys (&page->report->scan->tally);
  TpdCount rest = { 0 };

  begin_bars (page, "full", "Key", "What the documents are sealed to; green keys are held.");
  for (guint i = 0; i < keys->len; i++)
    {
      const TpdTallyKey *first = g_ptr_array_index (keys, 0), *entry = g_ptr_array_index (keys, i);
      g_autofree char *fingerprint = tpd_hex (entry->key.fingerprint.bytes, 4);

      if (i >= MAX_BARS)
        {
          rest.files += entry->count.files;
          rest.bytes += entry->count.bytes;
          continue;
        }
      write_bar (page, entry->key.guid != NULL ? entry->key.guid : fingerprint, entry->held ? "held" : "not held",
                 entry->held ? "good" : "warn", entry->count, first->count.files);
    }
  if (rest.files > 0)
    write_bar (page, "others", NULL, "plain", rest, ((const TpdTallyKey *) keys->pdata[0])->count.files);
  end_bars (page);
}

static void
write_group (TpdScanPage *page, TpdTallyGroup group, const char *title, const char *note, const char *none)
{
  const TpdTally *tally = &page->report->scan->tally;
  g_autoptr (GPtrArray) names = tpd_tally_names (tally, group);
  TpdCount rest = tally->rest[group];
  guint64 most = names->len > 0 ? ((const TpdTallyName *) names->pdata[0])->count.files : 0;

  begin_bars (page, "", title, note);
  for (guint i = 0; i < names->len; i++)
    {
      const TpdTallyName *entry = g_ptr_array_index (names, i);

      if (i < MAX_BARS)
        write_bar (page, entry->name[0] != '\0' ? entry->name : none, NULL, entry->name[0] != '\0' ? "" : "plain",
                   entry->count, most);
      else
        {
          rest.files += entry->count.files;
          rest.bytes += entry->count.bytes;
        }
    }
  if (rest.files > 0)
    {
      g_autofree char *label = g_strdup_printf ("%u others", names->len - MIN (names->len, MAX_BARS));
      write_bar (page, label, NULL, "plain", rest, most);
    }
  end_bars (page);
}

static void
write_year (TpdScanPage *page, guint at, guint n, guint year, TpdCount count, guint64 most)
{
  /* A field of 1000 by 200 units; the columns stand on line 170. */
  const double step = 1000.0 / n, middle = step * (at + 0.5), width = MIN (step * 0.7, 70);
  double height = most > 0 ? (double) count.files * 140 / (double) most : 0;
  g_autofree char *files = tpd_progress_number (count.files);

  if (count.files > 0)
    {
      height = MAX (height, 2);
      g_string_append_printf (page->html.out,
                              "<rect class=\"fill\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\">"
                              "<title>%u: %s files</title></rect><text x=\"%.1f\" y=\"%.1f\">%s</text>",
                              middle - width / 2, 170 - height, width, height, year, files, middle, 164 - height,
                              files);
    }
  g_string_append_printf (page->html.out, "<text x=\"%.1f\" y=\"190\">%u</text>\n", middle, year);
}

static void
write_years (TpdScanPage *page)
{
  const TpdTally *tally = &page->report->scan->tally;
  guint first = TPD_TALLY_N_YEARS, last = 0;
  guint64 most = 0;
  g_autofree char *unknown = tpd_progress_number (tally->no_year.files);
  g_autofree char *note = g_strdup_printf ("When the licenses were issued; of %s it is not known.", unknown);

  for (guint i = 0; i < TPD_TALLY_N_YEARS; i++)
    {
      if (tally->years[i].files == 0)
        continue;
      first = MIN (first, i);
      last = i;
      most = MAX (most, tally->years[i].files);
    }
  tpd_html_parts (&page->html, "<section class=\"card full\">\n<h2>Year of issue</h2>\n<p class=\"note\">",
                  tally->no_year.files > 0 ? note : "When the licenses were issued.", "</p>\n", NULL);
  if (most > 0)
    {
      tpd_html_append (&page->html,
                       "<svg class=\"years\" viewBox=\"0 0 1000 200\" role=\"img\" aria-label=\"Files by year of "
                       "issue\">\n<line class=\"axis\" x1=\"0\" y1=\"170\" x2=\"1000\" y2=\"170\"/>\n");
      for (guint i = first; i <= last; i++)
        write_year (page, i - first, MAX (last - first + 1, 8), TPD_TALLY_FIRST_YEAR + i, tally->years[i], most);
      tpd_html_append (&page->html, "</svg>\n");
    }
  tpd_html_append (&page->html, "</section>\n");
}

void
tpd_scan_page_charts (TpdScanPage *page)
{
  if (page->report->scan->tally.protected.files > 0)
    {
      write_verdicts (page);
      write_kinds (page);
      write_key_bars (page);
      write_group (page, TPD_TALLY_TEMPLATES, "Template or policy", "By the name that the licenses carry.", "no name");
      write_group (page, TPD_TALLY_OWNERS, "Owner", "In clear in the license, where it can be forged.", "not known");
      write_years (page);
    }
  tpd_html_append (&page->html, "</div>\n");
}
