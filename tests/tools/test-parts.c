/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of tpd that its commands cannot be made to show. */
#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "tools/filter.h"
#include "tools/progress.h"
#include "tools/spill.h"

static void
check_pops (TpdSpill *spill, guint from, guint to)
{
  g_autoptr (GError) error = NULL;

  for (guint i = to; i > from; i--)
    {
      g_autofree char *text = tpd_spill_pop (spill, &error), *expected = g_strdup_printf ("directory %u", i - 1);

      g_assert_no_error (error);
      g_assert_cmpstr (text, ==, expected);
    }
}

static void
push (TpdSpill *spill, guint from, guint to)
{
  for (guint i = from; i < to; i++)
    {
      g_autofree char *text = g_strdup_printf ("directory %u", i);
      tpd_spill_push (spill, text);
    }
}

static void
test_last_in_first_out (void)
{
  TpdSpill *spill = tpd_spill_new (1000);
  g_autoptr (GError) error = NULL;

  g_assert_null (tpd_spill_pop (spill, &error));
  push (spill, 0, 5000);
  check_pops (spill, 4000, 5000);
  push (spill, 4000, 9000);
  check_pops (spill, 0, 9000);
  g_assert_null (tpd_spill_pop (spill, &error));
  g_assert_no_error (error);
  push (spill, 0, 10);
  check_pops (spill, 0, 10);
  tpd_spill_free (spill);
}

static void
test_empty_and_long_texts (void)
{
  TpdSpill *spill = tpd_spill_new (100);
  g_autofree char *text = g_strnfill (5000, 'x');

  for (guint i = 0; i < 50; i++)
    {
      tpd_spill_push (spill, "");
      tpd_spill_push (spill, text);
    }
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *first = tpd_spill_pop (spill, NULL), *second = tpd_spill_pop (spill, NULL);

      g_assert_cmpstr (first, ==, text);
      g_assert_cmpstr (second, ==, "");
    }
  tpd_spill_free (spill);
}

static void
test_memory_stays_when_the_disk_is_full (void)
{
  const struct rlimit none = { 0, RLIM_INFINITY };
  struct rlimit before;
  TpdSpill *spill = tpd_spill_new (1000);

  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &before), ==, 0);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &none), ==, 0);
  push (spill, 0, 5000);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &before), ==, 0);
  check_pops (spill, 0, 5000);
  tpd_spill_free (spill);
}

static void
test_globs (void)
{
  char *include[] = { (char *) "*.docx", (char *) "Finance/*", NULL };
  char *exclude[] = { (char *) "~*", (char *) "tmp/", (char *) "/a/b", NULL };
  const TpdFilter none = { 0 }, some = { include, exclude };

  g_assert_true (tpd_filter_has_file (&none, "a", "\xff"));
  g_assert_true (tpd_filter_has_dir (&none, "", "tmp"));
  g_assert_true (tpd_filter_has_file (&some, "a", "X.DOCX"));
  g_assert_true (tpd_filter_has_file (&some, "finance/2012", "\xff"));
  g_assert_false (tpd_filter_has_file (&some, "a/Finance", "x"));
  g_assert_false (tpd_filter_has_file (&some, "a", "~x.docx"));
  g_assert_false (tpd_filter_has_dir (&some, "", "TMP"));
  g_assert_false (tpd_filter_has_dir (&some, "a", "b"));
  g_assert_true (tpd_filter_has_dir (&some, "a/a", "b"));
  g_assert_false (tpd_filter_has_file (&some, "", "tmp"));
}

static void
test_numbers_for_people (void)
{
  const struct {
    guint64 number;
    const char *grouped, *bytes;
  } cases[] = {
    { 0, "0", "0 bytes" },
    { 999, "999", "999 bytes" },
    { 1000, "1 000", "1.0 kB" },
    { 123456, "123 456", "123.5 kB" },
    { 999949, "999 949", "999.9 kB" },
    { 999950, "999 950", "1.0 MB" },
    { 1234567890, "1 234 567 890", "1.2 GB" },
    { G_MAXUINT64, "18 446 744 073 709 551 615", "18.4 EB" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *grouped = tpd_progress_number (cases[i].number), *bytes = tpd_progress_bytes (cases[i].number);

      g_assert_cmpstr (grouped, ==, cases[i].grouped);
      g_assert_cmpstr (bytes, ==, cases[i].bytes);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/spill/last-in-first-out", test_last_in_first_out);
  g_test_add_func ("/spill/empty-and-long-texts", test_empty_and_long_texts);
  g_test_add_func ("/spill/memory-stays-when-the-disk-is-full", test_memory_stays_when_the_disk_is_full);
  g_test_add_func ("/filter/globs", test_globs);
  g_test_add_func ("/progress/numbers-for-people", test_numbers_for_people);
  return g_test_run ();
}
