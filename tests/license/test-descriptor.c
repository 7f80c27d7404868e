/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of policy names, [MS-RMPR] 2.2.9.1.4. */
#include <glib.h>
#include <string.h>

#include "base/error.h"
#include "license/license.h"

static void
assert_entry (GPtrArray *names, guint i, guint lcid, const char *name, const char *description)
{
  const TpdDescriptorName *entry;

  g_assert_cmpuint (i, <, names->len);
  entry = g_ptr_array_index (names, i);
  g_assert_cmpuint (entry->lcid, ==, lcid);
  g_assert_cmpstr (entry->name, ==, name);
  g_assert_cmpstr (entry->description, ==, description);
}

static void
test_one_entry_per_language (void)
{
  g_autoptr (GPtrArray) names =
      tpd_descriptor_parse ("\n LCID 1033:NAME Confidential:DESCRIPTION For employees.;\n"
                            "LCID 1031:NAME Vertraulich:DESCRIPTION F\xc3\xbcr Mitarbeiter.;LCID 1041:NAME "
                            "\xe7\xa4\xbe\xe5\xa4\x96\xe7\xa7\x98:DESCRIPTION ;\n  ");

  g_assert_cmpuint (names->len, ==, 3);
  assert_entry (names, 0, 1033, "Confidential", "For employees.");
  assert_entry (names, 1, 1031, "Vertraulich", "F\xc3\xbcr Mitarbeiter.");
  assert_entry (names, 2, 1041, "\xe7\xa4\xbe\xe5\xa4\x96\xe7\xa7\x98", "");
}

static void
test_names_may_hold_separators (void)
{
  g_autoptr (GPtrArray) names =
      tpd_descriptor_parse ("LCID 1033:NAME Board; Minutes: 2023:DESCRIPTION a; b: c; LCID x;\n;;\n"
                            "LCID 1049:NAME x:DESCRIPTIONS:DESCRIPTION LCID 7:NAME y;\n");

  g_assert_cmpuint (names->len, ==, 2);
  assert_entry (names, 0, 1033, "Board; Minutes: 2023", "a; b: c; LCID x;\n;");
  assert_entry (names, 1, 1049, "x:DESCRIPTIONS", "LCID 7:NAME y");
}

static void
test_incomplete_entries (void)
{
  g_autoptr (GPtrArray) no_end = tpd_descriptor_parse ("LCID 1:NAME a:DESCRIPTION b");
  g_autoptr (GPtrArray) no_description = tpd_descriptor_parse ("LCID 1:NAME a;LCID 2:NAME b:DESCRIPTION c;");
  g_autoptr (GPtrArray) stripped = tpd_descriptor_parse ("LCID 1:NAME a:DESCRIPTION");

  g_assert_cmpuint (no_end->len, ==, 1);
  assert_entry (no_end, 0, 1, "a", "b");
  g_assert_cmpuint (no_description->len, ==, 2);
  assert_entry (no_description, 0, 1, "a", NULL);
  assert_entry (no_description, 1, 2, "b", "c");
  g_assert_cmpuint (stripped->len, ==, 1);
  assert_entry (stripped, 0, 1, "a", "");
}

static void
test_other_text_gives_nothing (void)
{
  static const char *const texts[] = {
    "",     "  ", "DRM Server Cluster", "LCID :NAME a;", "LCID 1234567890:NAME a;", "LCID 1:NAME", "lcid 1:NAME a;",
    "LCID", ";;;"
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GPtrArray) names = tpd_descriptor_parse (texts[i]);
      g_assert_cmpuint (names->len, ==, 0);
    }
}

static void
test_hostile_text_is_linear_and_bounded (void)
{
  static const char *const words[] = { "; ",           ";",       "LCID 1:NAME ;",
                                       ":DESCRIPTION", ";LCID 1", "LCID 1:NAME :DESCRIPTIONx" };
  gint64 start = g_get_monotonic_time ();

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    {
      GString *text = g_string_new ("LCID 1:NAME ");
      g_autoptr (GPtrArray) names = NULL;

      while (text->len < 4 * 1024 * 1024)
        g_string_append (text, words[i]);
      names = tpd_descriptor_parse (text->str);
      g_assert_cmpuint (names->len, >=, 1);
      g_assert_cmpuint (names->len, <=, 256);
      g_string_free (text, TRUE);
    }
  g_assert_cmpint (g_get_monotonic_time () - start, <, 20 * G_USEC_PER_SEC);
}

#define TEMPLATE                                                                        \
  "<XrML xmlns=\"\" version=\"1.2\"><BODY type=\"Microsoft Official Rights Template\">" \
  "<ISSUEDTIME>2020-02-03T10:20</ISSUEDTIME><DESCRIPTOR><OBJECT>"                       \
  "<ID type=\"MS-GUID\">{7B61DDC8-05CA-4360-9392-9273AE3774D2}</ID>"                    \
  "<NAME>LCID 1033:NAME A &amp; B:DESCRIPTION d;\n</NAME></OBJECT></DESCRIPTOR></BODY></XrML>"

static void
test_template (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdTemplate) template = tpd_template_parse (TEMPLATE, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (template->guid, ==, "7b61ddc8-05ca-4360-9392-9273ae3774d2");
  g_assert_cmpstr (template->issued, ==, "2020-02-03T10:20");
  g_assert_cmpuint (template->names->len, ==, 1);
  assert_entry (template->names, 0, 1033, "A & B", "d");
}

static void
test_what_is_no_template_is_refused (void)
{
  static const char *const texts[] = { "",
                                       "<XrML></XrML>",
                                       "<XrML><BODY type=\"LICENSE\"></BODY></XrML>",
                                       "<!DOCTYPE a>" TEMPLATE,
                                       "<XrML><BODY type=\"Microsoft Official Rights Template\"></XrML>",
                                       "<XrML>\xff</XrML>" };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (tpd_template_parse (texts[i], &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/descriptor/one-entry-per-language", test_one_entry_per_language);
  g_test_add_func ("/descriptor/names-may-hold-separators", test_names_may_hold_separators);
  g_test_add_func ("/descriptor/incomplete-entries", test_incomplete_entries);
  g_test_add_func ("/descriptor/other-text-gives-nothing", test_other_text_gives_nothing);
  g_test_add_func ("/descriptor/hostile-text-is-linear-and-bounded", test_hostile_text_is_linear_and_bounded);
  g_test_add_func ("/template/id-and-names", test_template);
  g_test_add_func ("/template/what-is-none-is-refused", test_what_is_no_template_is_refused);
  return g_test_run ();
}
