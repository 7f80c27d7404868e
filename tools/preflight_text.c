/* SPDX-License-Identifier: Apache-2.0 */
/* The decision paper for a person. */
#include <stdio.h>

#include "base/text.h"
#include "tools/preflight.h"
#include "tools/progress.h"

#define WIDTH 78

/* " WHAT: 3." unless it is nothing. */
static void
append_number (GString *text, const char *what, guint64 number)
{
  g_autofree char *shown = tpd_progress_number (number);

  if (number > 0)
    g_string_append_printf (text, " %s: %s.", what, shown);
}

char *
tpd_preflight_answer (const TpdPreflight *preflight)
{
  const TpdTally *tally = &preflight->report->scan->tally;
  g_autofree char *all = tpd_progress_number (tally->protected.files);
  GString *answer;

  if (preflight->go && tally->protected.files == 0)
    return g_strdup ("No protected file was found: nothing here needs the service. Let it lapse.");
  if (preflight->go)
    return g_strdup_printf ("Nothing here stands against switching the service off: of %s protected files every one of "
                            "your own has its key held.",
                            all);
  answer = g_string_new ("Not yet.");
  append_number (answer, "Keys of your own that are not held", preflight->lacking);
  append_number (answer, "Files that need them", preflight->tables[TPD_TABLE_NO_KEY].files);
  append_number (answer, "Files that need a second key", preflight->tables[TPD_TABLE_DOUBLE_KEY].files);
  append_number (answer, "Opaque files that nobody has accepted", preflight->tables[TPD_TABLE_OPAQUE].files);
  append_number (answer, "Files and directories that were not read", preflight->tables[TPD_TABLE_UNREAD].files);
  return g_string_free (answer, FALSE);
}

/* --- Paragraphs --------------------------------------------------------- */

/* `text` in lines of WIDTH, the first behind `mark`, all indented. */
static void
print_wrapped (const char *mark, const char *text)
{
  g_autofree char *shown = tpd_display (text);
  g_auto (GStrv) words = g_strsplit (shown, " ", -1);
  gsize indent = strlen (mark), column = indent;

  fputs (mark, stdout);
  for (char **word = words; *word != NULL; word++)
    {
      gsize len = (gsize) g_utf8_strlen (*word, -1);

      if (column > indent && column + 1 + len > WIDTH)
        {
          printf ("\n%*s", (int) indent, "");
          column = indent;
        }
      else if (column > indent)
        {
          putchar (' ');
          column++;
        }
      fputs (*word, stdout);
      column += len;
    }
  putchar ('\n');
}

static void
print_list (const char *title, const char *const *sentences)
{
  printf ("\n%s\n", title);
  for (; *sentences != NULL; sentences++)
    print_wrapped ("  - ", *sentences);
}

static void
print_steps (void)
{
  puts ("\nSwitching it off (Windows PowerShell, module AIPService)");
  for (gsize i = 0; i < tpd_preflight_n_steps; i++)
    printf ("  %zu. %-22s %s; expect: %s\n", i + 1, tpd_preflight_steps[i].command, tpd_preflight_steps[i].what,
            tpd_preflight_steps[i].expect);
}

/* --- Numbers ------------------------------------------------------------ */

static void
print_count (TpdCount count, const char *label)
{
  g_autofree char *files = tpd_progress_number (count.files), *bytes = tpd_progress_bytes (count.bytes);
  g_autofree char *shown = tpd_display (label);

  printf ("  %10s %12s  %s\n", files, bytes, shown);
}

static void
print_head (const TpdPreflight *preflight)
{
  const TpdScanReport *report = preflight->report;
  const TpdTally *tally = &report->scan->tally;
  g_autofree char *root = tpd_display (report->options->root), *answer = tpd_preflight_answer (preflight);
  g_autofree char *unopened = tpd_progress_number (preflight->unopened.files);
  g_autofree char *left_out = tpd_scan_left_out (report->scan);

  printf ("Preflight of %s\n\n", root);
  print_wrapped ("", answer);
  puts ("\nFiles");
  print_count (tally->all, "in all");
  print_count (tally->protected, "protected");
  if (tally->members.files > 0)
    print_count (tally->members, "of these members of archives");
  if (preflight->shut.files > 0)
    print_count (preflight->shut, "members of archives that cannot be opened");
  print_count (preflight->opens, "protected, key held");
  if (preflight->opens.files > 0)
    print_count (preflight->proven, "opened, and proven to be right");
  if (preflight->unopened.files > 0 && !preflight->deep)
    printf ("  %s were not opened: --deep decrypts everything and checks what can be checked\n", unopened);
  if (left_out != NULL)
    {
      g_autofree char *sentence = g_strconcat ("Left out, so nothing here is about it: ", left_out, NULL);

      print_wrapped ("  ", sentence);
    }
}

/* "not held  GUID, 2048 bits, fingerprint ..., URL (own: because)" */
static void
print_key (const TpdPreflightKey *key)
{
  GString *text = g_string_new (key->held ? "held      " : "NOT HELD  ");

  if (!key->held && key->own == TPD_OWN_FOREIGN)
    g_string_assign (text, "foreign   ");
  g_string_append (text, key->key.guid != NULL ? key->key.guid : "(no GUID)");
  if (key->needed)
    {
      g_autofree char *fingerprint = tpd_hex (key->key.fingerprint.bytes, 8);
      g_string_append_printf (text, ", %u bits, %s...", key->key.bits, fingerprint);
    }
  if (key->key.url != NULL)
    g_string_append_printf (text, ", %s", key->key.url);
  if (key->listed != NULL)
    g_string_append_printf (text, ", %s, %s", key->listed->type != NULL ? key->listed->type : "type not told",
                            key->listed->status != NULL ? key->listed->status : "status not told");
  if (!key->held && key->own != TPD_OWN_FOREIGN)
    g_string_append_printf (text, " (own: %s)", tpd_own_because (key->own));
  print_count (key->count, text->str);
  g_string_free (text, TRUE);
}

static void
print_keys (const TpdPreflight *preflight)
{
  gboolean foreign = FALSE;

  puts ("\nKeys needed, by files");
  for (guint i = 0; i < preflight->keys->len; i++)
    {
      const TpdPreflightKey *key = g_ptr_array_index (preflight->keys, i);

      foreign = foreign || key->own == TPD_OWN_FOREIGN;
      print_key (key);
    }
  if (preflight->keys->len == 0)
    puts ("  none");
  if (foreign)
    print_wrapped ("  ", "Is one of the foreign keys yours? Then say so with --own and its GUID, tenant, host or mail "
                         "domain: the answer may change.");
}

/* Loaded keys that the list does not have: of an AD RMS, or of before. */
static void
print_unlisted (const TpdPreflight *preflight)
{
  const GPtrArray *loaded = preflight->report->keyring->keys;

  if (preflight->listed == NULL)
    return;
  puts ("\nCompared with Get-AipServiceKeys");
  for (guint i = 0; i < preflight->listed->len; i++)
    {
      const TpdAipKey *listed = g_ptr_array_index (preflight->listed, i);
      const TpdKeyInfo *key = tpd_keyring_find_guid (preflight->report->keyring, listed->guid);
      g_autofree char *created = tpd_display (listed->created != NULL ? listed->created : "");

      printf ("  %s  %s%s%s\n", listed->guid,
              key == NULL                     ? "NOT LOADED"
              : key->state == TPD_KEY_KEYLESS ? "loaded without its private key"
                                              : "held",
              created[0] != '\0' ? ", created " : "", created);
    }
  for (guint i = 0; i < loaded->len; i++)
    {
      const TpdKeyInfo *key = g_ptr_array_index (loaded, i);
      g_autofree char *name = tpd_display (key->name);

      if (tpd_aip_keys_find (preflight->listed, key->guid) == NULL)
        printf ("  %s  loaded as \"%s\", and not listed: of an AD RMS, or of another tenant\n",
                key->guid != NULL ? key->guid : "(no GUID)                           ", name);
    }
}

static void
print_table (const TpdPreflight *preflight, TpdTable table)
{
  TpdCount count = preflight->tables[table];
  g_autofree char *files = tpd_progress_number (count.files), *bytes = tpd_progress_bytes (count.bytes);

  if (count.files == 0)
    return;
  printf ("\n%s: %s files, %s\n", tpd_table_title (table), files, bytes);
  if (table == TPD_TABLE_OPAQUE)
    for (guint i = 1; i < TPD_N_OPAQUE; i++)
      if (i != TPD_OPAQUE_ARCHIVE && i != TPD_OPAQUE_PDF && preflight->opaque[i].files > 0)
        print_count (preflight->opaque[i], tpd_opaque_word ((TpdOpaque) i));
  if (table == TPD_TABLE_RIGHTS)
    for (guint i = 0; i < TPD_REFUSED_N; i++)
      if (preflight->refused[i].files > 0)
        print_count (preflight->refused[i], tpd_refused_word ((TpdRefused) i));
  for (guint i = 0; i < preflight->lines[table]->len; i++)
    {
      const TpdPreflightLine *line = g_ptr_array_index (preflight->lines[table], i);
      g_autofree char *path = tpd_display (line->path), *why = tpd_display (line->why != NULL ? line->why : "");

      printf ("  %s: %s\n", path, why);
    }
  if (count.files > preflight->lines[table]->len)
    puts ("  ... --json and --csv list all of them");
}

static void
print_unused (const TpdPreflight *preflight)
{
  g_autoptr (GPtrArray) unused = NULL;

  if (preflight->accept == NULL)
    return;
  unused = tpd_accept_unused (preflight->accept);
  if (unused->len == 0)
    return;
  printf ("\nLines of --accept that accept nothing: %u\n", unused->len);
  for (guint i = 0; i < MIN (unused->len, (guint) TPD_PREFLIGHT_LINES); i++)
    {
      g_autofree char *shown = tpd_display (g_ptr_array_index (unused, i));
      printf ("  %s\n", shown);
    }
}

void
tpd_preflight_print_text (const TpdPreflight *preflight)
{
  print_head (preflight);
  print_keys (preflight);
  print_unlisted (preflight);
  for (guint i = 0; i < TPD_N_TABLES; i++)
    print_table (preflight, (TpdTable) i);
  print_unused (preflight);
  print_list ("What this cannot see", tpd_preflight_unseen);
  print_list ("Before the service is switched off", tpd_preflight_before);
  print_steps ();
  print_list ("After", tpd_preflight_after);
}
