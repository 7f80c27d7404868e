/* SPDX-License-Identifier: Apache-2.0 */
/* Promises of plain names and of the collision rule. */
#include <json-glib/json-glib.h>

#include "format/names.h"
#include "support.h"

static char dwg_word[] = "dwg", cad_word[] = "cad", star_word[] = "*";
static char *dwg_words[] = { dwg_word, cad_word, NULL };
static char *all_words[] = { star_word, NULL };
static const TpdNameRules dwg_rules = { dwg_words };
static const TpdNameRules all_rules = { all_words };

static void
test_candidates (void)
{
  static const char *const yes[] = { "x.pfile", "x.txt.pfile", "X.TXT.PFILE", "x.ptxt",  "x.PTXT",
                                     "x.ppdf",  "x.pgiff",     "x.pxlam",     "a.b.pjpg" };
  static const char *const no[] = { "x.txt", "x.pdf", "x.png", "pfile", ".pfile", ".ptxt",       "x.",       "x.p",
                                    "x",     "",      ".",     "..",    "x.pdwg", "x.pfile.bak", "x.pfile ", "x.ppt" };

  for (gsize i = 0; i < G_N_ELEMENTS (yes); i++)
    g_assert_true (tpd_name_is_candidate (yes[i], NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (no); i++)
    g_assert_false (tpd_name_is_candidate (no[i], NULL));
  g_assert_true (tpd_name_is_candidate ("x.pdwg", &dwg_rules));
  g_assert_true (tpd_name_is_candidate ("x.PCAD", &dwg_rules));
  g_assert_false (tpd_name_is_candidate ("x.pdwf", &dwg_rules));
  g_assert_true (tpd_name_is_candidate ("x.pdf", &all_rules));
  g_assert_false (tpd_name_is_candidate ("x.doc", &all_rules));
  g_assert_false (tpd_name_is_candidate ("x.p", &all_rules));
}

static void
test_plain_names (void)
{
  static const struct {
    const char *name, *extension, *plain;
    const TpdNameRules *rules;
  } cases[] = {
    { "x.txt.pfile", ".txt", "x.txt" },
    { "x.pfile", ".txt", "x.txt" },
    { "x.txt.pfile", ".log", "x.txt.log" },
    { "x.txt.pfile", "", "x.txt" },
    { "x.txt.pfile", NULL, "x.txt" },
    { "scan only.pfile", ".png", "scan only.png" },
    { "double.tar.gz.pfile", ".gz", "double.tar.gz" },
    { "UPPER CASE.TXT.PFILE", ".txt", "UPPER CASE.TXT" },
    { "x.ptxt", ".txt", "x.txt" },
    { "x.ptxt", ".log", "x.log" },
    { "x.ptxt", "", "x.txt" },
    { "X.PTXT", "", "X.txt" },
    { "x.pgiff", "", "x.giff" },
    { "name.with.dots.ptxt", ".txt", "name.with.dots.txt" },
    { "x.ptxt.pfile", ".ptxt", "x.ptxt" },
    /* Names without a sign of protection stay, whatever the content. */
    { "renamed picture.jpg", ".txt", "renamed picture.jpg" },
    { "x.pdwg", ".dwg", "x.pdwg" },
    { "x.pdwg", ".dwg", "x.dwg", &dwg_rules },
    { "x.pdwg", "", "x.dwg", &dwg_rules },
    { "x.pzzz", ".zzz", "x.zzz", &all_rules },
    { "x.pdf", ".pdf", "x.pdf", &all_rules },
    /* What is no extension is none, and no name becomes a path. */
    { "x.pfile", "/../../evil.sh", "x" },
    { "x.pfile", "txt", "x" },
    { "x.pfile", ".", "x" },
    { "..pfile", "", "..pfile" },
    { "...pfile", "", "...pfile" },
    { "...pfile", ".txt", "...txt" },
    { ".hidden.pfile", "", ".hidden" },
    { "\xff\xfe.txt.pfile", ".txt", "\xff\xfe.txt" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *plain = tpd_name_plain (cases[i].name, cases[i].extension, cases[i].rules);

      g_assert_cmpstr (plain, ==, cases[i].plain);
    }
}

/* Mail keeps its name and takes the extension of its form behind it. */
static void
test_mail (void)
{
  static const TpdNameRules native = { .mail = TPD_MAIL_NATIVE }, eml = { .mail = TPD_MAIL_EML },
                            msg = { .mail = TPD_MAIL_MSG }, source = { .mail = TPD_MAIL_SOURCE };
  static const struct {
    const char *name;
    const TpdNameRules *rules;
    const char *plain;
  } cases[] = {
    { "message.rpmsg", NULL, "message.rpmsg.eml" },
    { "message.rpmsg", &native, "message.rpmsg.eml" },
    { "message_v2.RPMSG", &native, "message_v2.RPMSG.eml" },
    { "message.rpmsg", &eml, "message.rpmsg.eml" },
    { "message.rpmsg", &msg, "message.rpmsg.msg" },
    { "message.rpmsg", &source, "message.rpmsg" },
    { "x.msg", &native, "x.msg" },
    { "x.msg", &eml, "x.msg.eml" },
    { "x.msg", &msg, "x.msg" },
    { "x.eml", &native, "x.eml" },
    { "x.eml", &msg, "x.eml.msg" },
    { "x.eml", &eml, "x.eml" },
    { "rpmsg", &native, "rpmsg" },
    { ".rpmsg", &native, ".rpmsg" },
  };
  g_autofree char *stem = g_strnfill (246, 'n');
  g_autofree char *name = g_strconcat (stem, ".rpmsg", NULL);
  g_autofree char *plain = tpd_name_plain (name, ".eml", &native);

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *shown = tpd_name_plain (cases[i].name, ".eml", cases[i].rules);

      g_assert_cmpstr (shown, ==, cases[i].plain);
      g_assert_true (tpd_name_is_candidate (cases[i].name, cases[i].rules) == (strcmp (cases[i].name, shown) != 0));
    }
  g_assert_cmpstr (plain, ==, name); /* would be too long */
}

/* A name changes only when the content is what the name tells of. */
static void
test_fits (void)
{
  static const TpdNameRules eml = { .mail = TPD_MAIL_EML };

  g_assert_true (tpd_name_fits ("x.pfile", TPD_KIND_PFILE, NULL));
  g_assert_true (tpd_name_fits ("x.ppdf", TPD_KIND_PFILE, NULL));
  g_assert_true (tpd_name_fits ("x.ppdf", TPD_KIND_PDF, NULL));
  g_assert_true (tpd_name_fits ("x.rpmsg", TPD_KIND_RPMSG, NULL));
  g_assert_true (tpd_name_fits ("x.msg", TPD_KIND_MSG, &eml));
  g_assert_false (tpd_name_fits ("x.msg", TPD_KIND_MSG, NULL));
  g_assert_false (tpd_name_fits ("x.msg", TPD_KIND_OLE, &eml));
  g_assert_false (tpd_name_fits ("x.ptxt", TPD_KIND_PDF, NULL));
  g_assert_false (tpd_name_fits ("x.pdf", TPD_KIND_PDF, &all_rules));
  g_assert_false (tpd_name_fits ("x.rpmsg", TPD_KIND_PFILE, NULL));
  g_assert_false (tpd_name_fits ("x.rpmsg", TPD_KIND_PLAIN, NULL));
  g_assert_false (tpd_name_fits ("x.pfile", TPD_KIND_RPMSG, NULL));
  g_assert_false (tpd_name_fits ("x.txt", TPD_KIND_PFILE, NULL));
}

static void
test_too_long_stays (void)
{
  g_autofree char *stem = g_strnfill (249, 'a');
  g_autofree char *name = g_strconcat (stem, ".pfile", NULL);
  g_autofree char *longer = tpd_name_plain (name, ".document", NULL);
  g_autofree char *fits = tpd_name_plain (name, ".jpeg6", NULL);

  g_assert_cmpuint (strlen (name), ==, 255);
  g_assert_cmpstr (longer, ==, name);
  g_assert_cmpuint (strlen (fits), ==, 255);
}

/* --- Collisions ------------------------------------------------------- */

typedef struct {
  const char *source, *extension, *shown; /* extension NULL: a plain entry */
} Expected;

/* Resolves in the given order, backwards and shuffled: always the same. */
static void
check_directory (const Expected *expected, gsize n)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  g_autofree gsize *order = g_new (gsize, n);

  for (gsize i = 0; i < n; i++)
    order[i] = i;
  for (int round = 0; round < 20; round++)
    {
      g_autofree TpdNameEntry *entries = g_new0 (TpdNameEntry, n);

      for (gsize i = 0; i < n; i++)
        {
          const Expected *e = &expected[order[i]];

          entries[i].source = e->source;
          entries[i].extension = e->extension;
          if (e->extension != NULL)
            entries[i].plain = tpd_name_plain (e->source, e->extension, NULL);
        }
      tpd_names_resolve (entries, n);
      for (gsize i = 0; i < n; i++)
        {
          g_assert_cmpstr (entries[i].shown, ==, expected[order[i]].shown);
          g_free ((char *) entries[i].plain);
          g_free (entries[i].shown);
        }
      for (gsize i = n; i > 1; i--)
        {
          gsize j = (gsize) g_rand_int_range (random, 0, (gint32) i), other = order[i - 1];

          order[i - 1] = order[j];
          order[j] = other;
        }
    }
}

#define CHECK_DIRECTORY(...)                               \
  G_STMT_START                                             \
  {                                                        \
    static const Expected directory[] = { __VA_ARGS__ };   \
    check_directory (directory, G_N_ELEMENTS (directory)); \
  }                                                        \
  G_STMT_END

static void
test_no_collision (void)
{
  CHECK_DIRECTORY ({ "a.ptxt", ".txt", "a.txt" }, { "b.txt", NULL, "b.txt" }, { "dir", NULL, "dir" },
                   { "c.pfile", "", "c" }, { "d.jpg", ".txt", "d.jpg" });
  check_directory (NULL, 0);
}

static void
test_source_entry_keeps_its_name (void)
{
  CHECK_DIRECTORY ({ "report.txt", NULL, "report.txt" }, { "report.ptxt", ".txt", "report.ptxt.txt" },
                   { "report.txt.pfile", ".txt", "report.txt.pfile.txt" });
}

static void
test_several_claim_it (void)
{
  CHECK_DIRECTORY ({ "report.ptxt", ".txt", "report.ptxt.txt" }, { "report.txt.pfile", ".txt", "report.txt.pfile.txt" },
                   { "other.ptxt", ".txt", "other.txt" });
}

static void
test_case_is_ignored (void)
{
  CHECK_DIRECTORY ({ "REPORT.TXT", NULL, "REPORT.TXT" }, { "report.ptxt", ".txt", "report.ptxt.txt" });
  CHECK_DIRECTORY ({ "STRA\xc3\x9f"
                     "E.ptxt",
                     ".txt",
                     "STRA\xc3\x9f"
                     "E.ptxt.txt" },
                   { "strasse.txt", NULL, "strasse.txt" });
  CHECK_DIRECTORY ({ "\xc3\x84.ptxt", ".txt", "\xc3\x84.ptxt.txt" }, { "a\xcc\x88.txt", NULL, "a\xcc\x88.txt" });
  /* Two plain files that differ in case are nobody's business. */
  CHECK_DIRECTORY ({ "a", NULL, "a" }, { "A", NULL, "A" }, { "b.ptxt", ".txt", "b.txt" });
}

static void
test_invalid_utf8_is_compared_bytewise (void)
{
  CHECK_DIRECTORY ({ "\xff.ptxt", ".txt", "\xff.ptxt.txt" }, { "\xff.TXT", NULL, "\xff.TXT" },
                   { "\xfe.ptxt", ".txt", "\xfe.txt" });
}

static void
test_long_name_taken_too (void)
{
  CHECK_DIRECTORY ({ "x.txt", NULL, "x.txt" }, { "x.ptxt", ".txt", "x.ptxt" }, { "X.PTXT.TXT", NULL, "X.PTXT.TXT" });
  /* Two losers whose long names differ in case only. */
  CHECK_DIRECTORY ({ "x.txt", NULL, "x.txt" }, { "x.ptxt", ".txt", "x.ptxt" }, { "X.ptxt", ".txt", "X.ptxt" });
  /* The long name is what another one wants: neither plain nor long is given twice. */
  CHECK_DIRECTORY ({ "x.txt", NULL, "x.txt" }, { "x.ptxt", ".txt", "x.ptxt" },
                   { "x.ptxt.txt.pfile", ".txt", "x.ptxt.txt" });
}

static void
test_long_name_too_long (void)
{
  g_autofree char *stem = g_strnfill (248, 'a');
  g_autofree char *plain = g_strconcat (stem, ".txt", NULL);
  g_autofree char *protected = g_strconcat (stem, ".ptxt", NULL);
  Expected directory[] = { { plain, NULL, plain }, { protected, ".txt", protected } };

  check_directory (directory, G_N_ELEMENTS (directory));
}

/* A source name always finds its own file, so nobody else is shown under it. */
static void
test_hidden_source_names_stay_reserved (void)
{
  CHECK_DIRECTORY ({ "y.ptxt.pfile", ".ptxt", "y.ptxt.pfile.ptxt" }, { "y.ptxt", ".txt", "y.txt" });
}

static void
test_without_extension (void)
{
  CHECK_DIRECTORY ({ "x", NULL, "x" }, { "x.pfile", "", "x.pfile" });
}

static void
test_large_directory (void)
{
  enum { N = 100000 };
  g_autofree TpdNameEntry *entries = g_new0 (TpdNameEntry, N);
  g_autoptr (GTimer) timer = g_timer_new ();

  for (int i = 0; i < N; i++)
    {
      entries[i].source = g_strdup_printf (i % 3 ? "file-%d.ptxt" : "file-%d.txt", i / 2);
      entries[i].extension = ".txt";
      entries[i].plain = i % 3 ? g_strdup_printf ("file-%d.txt", i / 2) : NULL;
    }
  tpd_names_resolve (entries, N);
  /* Quadratic work would take minutes. */
  g_assert_cmpfloat (g_timer_elapsed (timer, NULL), <, 20);
  for (int i = 0; i < N; i++)
    {
      g_free ((char *) entries[i].source);
      g_free ((char *) entries[i].plain);
      g_free (entries[i].shown);
    }
}

/* --- The sample share ------------------------------------------------- */

static void
test_share (void)
{
  g_autofree char *path = g_build_filename (g_getenv ("TPD_FIXTURES"), "manifest.json", NULL);
  g_autoptr (JsonParser) parser = json_parser_new ();
  JsonArray *files;
  guint compared = 0;

  g_assert_true (json_parser_load_from_file (parser, path, NULL));
  files = json_object_get_array_member (json_node_get_object (json_parser_get_root (parser)), "files");
  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *file = json_array_get_object_element (files, i);
      const char *plain_name = json_object_get_string_member_with_default (file, "plain_name", NULL);
      JsonObject *container;
      g_autofree char *name = NULL;
      g_autofree char *expected = NULL;
      g_autofree char *plain = NULL;
      const char *extension;

      if (strcmp (json_object_get_string_member (file, "kind"), "pfile") != 0 || plain_name == NULL)
        continue;
      container = json_object_get_object_member (file, "container");
      extension = json_object_get_string_member (container, "extension");
      name = g_path_get_basename (json_object_get_string_member (file, "path"));
      /* The mount looks at names that tell of protection only. */
      expected = g_path_get_basename (tpd_name_is_candidate (name, NULL) ? plain_name : name);
      plain = tpd_name_plain (name, extension, NULL);
      g_assert_cmpstr (plain, ==, expected);
      compared++;
    }
  g_assert_cmpuint (compared, >, 50);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/names/candidates", test_candidates);
  g_test_add_func ("/names/plain", test_plain_names);
  g_test_add_func ("/names/mail", test_mail);
  g_test_add_func ("/names/fits-the-content", test_fits);
  g_test_add_func ("/names/too-long-stays", test_too_long_stays);
  g_test_add_func ("/names/sample-share", test_share);
  g_test_add_func ("/names/resolve/no-collision", test_no_collision);
  g_test_add_func ("/names/resolve/source-entry-keeps-its-name", test_source_entry_keeps_its_name);
  g_test_add_func ("/names/resolve/several-claim-it", test_several_claim_it);
  g_test_add_func ("/names/resolve/case-is-ignored", test_case_is_ignored);
  g_test_add_func ("/names/resolve/invalid-utf8-bytewise", test_invalid_utf8_is_compared_bytewise);
  g_test_add_func ("/names/resolve/long-name-taken-too", test_long_name_taken_too);
  g_test_add_func ("/names/resolve/long-name-too-long", test_long_name_too_long);
  g_test_add_func ("/names/resolve/hidden-source-names-stay-reserved", test_hidden_source_names_stay_reserved);
  g_test_add_func ("/names/resolve/without-extension", test_without_extension);
  g_test_add_func ("/names/resolve/large-directory", test_large_directory);
  return g_test_run ();
}
