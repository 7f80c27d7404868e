/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain names of protected files and the collision rule: see names.h. The
 * extension inside the container is authoritative, the table of p-extensions
 * a fallback for containers that name none. Mail keeps its whole name, so that
 * it shows what it was made from.
 *
 * Every source name stays reserved, even one that is not shown: a lookup of
 * the source name always finds that file, so no other may be shown under it.
 */
#include "format/names.h"

#include <stdlib.h>
#include <string.h>

#define MAX_NAME 255

/* Protected extensions; without the "p" each is the plain one. */
static const char *const p_extensions[] = {
  "ptxt", "pxml",  "pjpg", "pjpeg", "ppng", "ptif", "ptiff", "ppdf", "pbmp",
  "pgif", "pgiff", "pjpe", "pjfif", "pjif", "pjfi", "pjt",   "pxla", "pxlam",
};

/* The last extension of `name` without its dot; NULL if it has none. A name
 * that only starts with a dot is hidden, not an extension. */
static const char *
last_extension (const char *name)
{
  const char *dot = strrchr (name, '.');

  return dot != NULL && dot != name && dot[1] != '\0' ? dot + 1 : NULL;
}

static gboolean
is_pfile_word (const char *extension)
{
  return g_ascii_strcasecmp (extension, "pfile") == 0;
}

static gboolean
is_p_extension (const char *extension, const TpdNameRules *rules)
{
  if ((extension[0] != 'p' && extension[0] != 'P') || extension[1] == '\0')
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (p_extensions); i++)
    if (g_ascii_strcasecmp (extension, p_extensions[i]) == 0)
      return TRUE;
  if (rules == NULL || rules->words == NULL)
    return FALSE;
  for (char **word = rules->words; *word != NULL; word++)
    if (strcmp (*word, "*") == 0 || g_ascii_strcasecmp (extension + 1, *word) == 0)
      return TRUE;
  return FALSE;
}

/* Mail as files name it, and what each form makes of it. */
static const struct {
  const char *word;
  TpdKind kind;
  const char *appended[TPD_MAIL_SOURCE + 1];
} mail_words[] = {
  { "rpmsg", TPD_KIND_RPMSG, { ".eml", ".eml", ".msg", NULL } },
  { "msg", TPD_KIND_MSG, { NULL, ".eml", NULL, NULL } },
  { "eml", TPD_KIND_EML, { NULL, NULL, ".msg", NULL } },
};

/* What is appended to a mail of that extension, with its kind; NULL: nothing. */
static const char *
mail_appended (const char *extension, const TpdNameRules *rules, TpdKind *kind)
{
  TpdMailForm form = rules != NULL ? rules->mail : TPD_MAIL_NATIVE;

  for (gsize i = 0; i < G_N_ELEMENTS (mail_words); i++)
    if (g_ascii_strcasecmp (extension, mail_words[i].word) == 0)
      {
        *kind = mail_words[i].kind;
        return mail_words[i].appended[form];
      }
  return NULL;
}

gboolean
tpd_name_is_candidate (const char *name, const TpdNameRules *rules)
{
  const char *extension = last_extension (name);
  TpdKind kind;

  return extension != NULL
         && (is_pfile_word (extension) || is_p_extension (extension, rules)
             || mail_appended (extension, rules, &kind) != NULL);
}

gboolean
tpd_name_fits (const char *name, TpdKind kind, const TpdNameRules *rules)
{
  const char *extension = last_extension (name);
  TpdKind mail;

  if (!tpd_name_is_candidate (name, rules))
    return FALSE;
  if (mail_appended (extension, rules, &mail) != NULL)
    return kind == mail;
  /* Some writers give protected PDF the name of a pfile. */
  return kind == TPD_KIND_PFILE || (kind == TPD_KIND_PDF && g_ascii_strcasecmp (extension, "ppdf") == 0);
}

/* "" for what cannot be an extension: the value came out of a file. */
static const char *
usable_extension (const char *extension)
{
  return extension != NULL && extension[0] == '.' && extension[1] != '\0' && strchr (extension, '/') == NULL ? extension
                                                                                                             : "";
}

static gboolean
has_suffix_nocase (const char *text, const char *suffix)
{
  gsize text_len = strlen (text), suffix_len = strlen (suffix);

  return text_len >= suffix_len && g_ascii_strcasecmp (text + text_len - suffix_len, suffix) == 0;
}

char *
tpd_name_plain (const char *name, const char *extension, const TpdNameRules *rules)
{
  const char *last = last_extension (name);
  const char *plain_extension = usable_extension (extension);
  g_autofree char *stem = NULL;
  g_autofree char *fallback = NULL;
  g_autofree char *plain = NULL;
  const char *appended;
  TpdKind kind;

  if (!tpd_name_is_candidate (name, rules))
    return g_strdup (name);
  appended = mail_appended (last, rules, &kind);
  if (appended != NULL)
    return g_strdup_printf ("%s%s", name, strlen (name) + strlen (appended) > MAX_NAME ? "" : appended);
  stem = g_strndup (name, (gsize) (last - 1 - name));
  if (is_pfile_word (last))
    {
      if (has_suffix_nocase (stem, plain_extension))
        plain_extension = "";
    }
  else if (plain_extension[0] == '\0')
    {
      g_autofree char *lower = g_ascii_strdown (last + 1, -1);

      fallback = g_strconcat (".", lower, NULL);
      plain_extension = fallback;
    }
  plain = g_strconcat (stem, plain_extension, NULL);
  if (strlen (plain) > MAX_NAME || strcmp (plain, ".") == 0 || strcmp (plain, "..") == 0)
    return g_strdup (name);
  return g_steal_pointer (&plain);
}

/* --- Collisions ------------------------------------------------------- */

/* A name that some entry has or wants, in the form in which names are compared. */
typedef struct {
  char *folded;
  gsize entry;
  gboolean wanted; /* else it is the source name */
} Name;

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (((const Name *) a)->folded, ((const Name *) b)->folded);
}

static void
name_clear (gpointer data)
{
  g_free (((Name *) data)->folded);
}

static char *
fold (const char *name)
{
  g_autofree char *normal = NULL;
  g_autofree char *folded = NULL;
  char *result;

  if (g_str_is_ascii (name) || !g_utf8_validate (name, -1, NULL))
    return g_ascii_strdown (name, -1);
  normal = g_utf8_normalize (name, -1, G_NORMALIZE_DEFAULT);
  folded = g_utf8_casefold (normal, -1);
  result = g_utf8_normalize (folded, -1, G_NORMALIZE_DEFAULT);
  return result;
}

static void
add_name (GArray *names, const char *name, gsize entry, gboolean wanted)
{
  Name item = { fold (name), entry, wanted };

  g_array_append_val (names, item);
}

/* End of the run of equal names that starts at `start`. */
static guint
run_end (const GArray *names, guint start)
{
  guint end = start + 1;

  while (end < names->len
         && compare_names (&g_array_index (names, Name, start), &g_array_index (names, Name, end)) == 0)
    end++;
  return end;
}

/* Gives the wanted names that nobody else has or wants. */
static void
grant_wanted (const GArray *names, TpdNameEntry *entries)
{
  for (guint start = 0, end; start < names->len; start = end)
    {
      const Name *wish = NULL;
      guint wishes = 0, others = 0;

      end = run_end (names, start);
      for (guint i = start; i < end; i++)
        if (g_array_index (names, Name, i).wanted)
          {
            wish = &g_array_index (names, Name, i);
            wishes++;
          }
      if (wishes != 1)
        continue;
      for (guint i = start; i < end; i++)
        others += g_array_index (names, Name, i).entry != wish->entry;
      if (others == 0)
        entries[wish->entry].shown = g_strdup (entries[wish->entry].plain);
    }
}

static char *
collision_name (const TpdNameEntry *entry)
{
  return g_strconcat (entry->source, usable_extension (entry->extension), NULL);
}

/* Gives source name + true extension to those that lost, where that is free. */
static void
grant_long (const GArray *names, TpdNameEntry *entries, const GArray *losers)
{
  g_autoptr (GArray) wishes = g_array_new (FALSE, FALSE, sizeof (Name));

  g_array_set_clear_func (wishes, name_clear);
  for (guint i = 0; i < losers->len; i++)
    {
      gsize entry = g_array_index (losers, gsize, i);
      g_autofree char *name = collision_name (&entries[entry]);

      if (strlen (name) <= MAX_NAME)
        add_name (wishes, name, entry, TRUE);
    }
  g_array_sort (wishes, compare_names);
  for (guint start = 0, end; start < wishes->len; start = end)
    {
      const Name *wish = &g_array_index (wishes, Name, start);

      end = run_end (wishes, start);
      if (end - start == 1 && bsearch (wish, names->data, names->len, sizeof (Name), compare_names) == NULL)
        entries[wish->entry].shown = collision_name (&entries[wish->entry]);
    }
}

static gboolean
wants_other_name (const TpdNameEntry *entry)
{
  return entry->plain != NULL && strcmp (entry->plain, entry->source) != 0;
}

void
tpd_names_resolve (TpdNameEntry *entries, gsize n)
{
  g_autoptr (GArray) names = g_array_new (FALSE, FALSE, sizeof (Name));
  g_autoptr (GArray) losers = g_array_new (FALSE, FALSE, sizeof (gsize));
  gboolean any = FALSE;

  g_array_set_clear_func (names, name_clear);
  for (gsize i = 0; i < n; i++)
    {
      entries[i].shown = NULL;
      any = any || wants_other_name (&entries[i]);
    }
  for (gsize i = 0; any && i < n; i++)
    {
      add_name (names, entries[i].source, i, FALSE);
      if (wants_other_name (&entries[i]))
        add_name (names, entries[i].plain, i, TRUE);
    }
  g_array_sort (names, compare_names);
  grant_wanted (names, entries);
  for (gsize i = 0; any && i < n; i++)
    if (wants_other_name (&entries[i]) && entries[i].shown == NULL)
      g_array_append_val (losers, i);
  grant_long (names, entries, losers);
  for (gsize i = 0; i < n; i++)
    if (entries[i].shown == NULL)
      entries[i].shown = g_strdup (entries[i].source);
}
