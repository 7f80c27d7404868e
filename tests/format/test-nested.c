/* SPDX-License-Identifier: Apache-2.0 */
/* Protected files inside protected files: how many layers are removed, and
 * what becomes of one that cannot be. */
#include "../license/helper.h"
#include "support.h"

static FixtureKeys keys;

typedef struct {
  TpdSource *source;
  TpdProbe *probe;
} Fixture;

/* The pfile around a protected Office document. */
static void
set_up (Fixture *f, gconstpointer data)
{
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);

      if (strstr (json_word (entry, "notes"), "itself a protected document") != NULL)
        {
          g_autofree char *relative = g_build_filename ("share", json_word (entry, "path"), NULL);
          g_autofree char *path = fixture_path (relative);

          f->source = source_open (path);
        }
    }
  g_assert_nonnull (f->source);
  f->probe = tpd_probe (f->source, NULL);
  g_assert_cmpint (f->probe->verdict, ==, TPD_VERDICT_OK);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  tpd_probe_free (f->probe);
  tpd_source_unref (f->source);
}

static TpdDocument *
open_layers (Fixture *f, const TpdOpenOptions *options, TpdBudget *budget)
{
  g_autoptr (GError) error = NULL;
  TpdDocument *document =
      tpd_document_open (f->source, f->probe, keys.keyring, keys.unwrapper, options, budget, &error);

  g_assert_no_error (error);
  return document;
}

static TpdKind
kind_of (TpdDocument *document)
{
  g_autoptr (TpdSource) plain = tpd_source_new_document (document);
  g_autoptr (TpdProbe) probe = tpd_probe (plain, NULL);

  return probe->kind;
}

static void
test_one_layer_by_default (Fixture *f, gconstpointer data)
{
  g_autoptr (TpdDocument) document = open_layers (f, NULL, NULL);

  g_assert_cmpint (kind_of (document), ==, TPD_KIND_OOXML);
}

static void
test_layers_are_removed (Fixture *f, gconstpointer data)
{
  for (guint nested = 1; nested <= 3; nested++)
    {
      const TpdOpenOptions options = { .nested = nested };
      g_autoptr (TpdDocument) outer = open_layers (f, NULL, NULL);
      g_autoptr (TpdSource) between = tpd_source_new_document (outer);
      g_autoptr (TpdProbe) probe = tpd_probe (between, NULL);
      g_autoptr (TpdDocument) inner =
          tpd_document_open (between, probe, keys.keyring, keys.unwrapper, NULL, NULL, NULL);
      g_autoptr (TpdDocument) document = open_layers (f, &options, NULL);
      g_autoptr (GBytes) expected = document_read_all (inner, NULL);
      g_autoptr (GBytes) found = document_read_all (document, NULL);

      g_assert_true (g_bytes_equal (found, expected));
      g_assert_cmpint (kind_of (document), ==, TPD_KIND_PLAIN);
      /* It goes by its outermost layer. */
      g_assert_cmpint (document->kind, ==, TPD_KIND_PFILE);
      g_assert_cmpstr (document->license->content_id, ==, outer->license->content_id);
      g_assert_cmpstr (document->cipher, ==, outer->cipher);
      g_assert_cmpint (document->proof, ==, MIN (outer->proof, inner->proof));
    }
}

static void
test_a_layer_that_does_not_open_stays (Fixture *f, gconstpointer data)
{
  const TpdOpenOptions options = { .nested = 1 }; /* and no keys for what lies inside */
  g_autoptr (GBytes) bytes = tpd_probe_read_license (f->probe, f->source, NULL);
  g_autoptr (TpdLicense) license = tpd_license_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), NULL);
  g_autoptr (TpdContentKey) key =
      tpd_license_unwrap (license, keys.keyring, keys.unwrapper, TPD_PURPOSE_READ, NULL, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdDocument) document = tpd_document_new (f->source, f->probe, license, key, &options, NULL, &error);
  g_autoptr (TpdDocument) outer = open_layers (f, NULL, NULL);
  g_autoptr (GBytes) expected = document_read_all (outer, NULL);
  g_autoptr (GBytes) found = NULL;

  g_assert_no_error (error);
  found = document_read_all (document, NULL);
  g_assert_true (g_bytes_equal (found, expected));
  g_assert_nonnull (document->warnings);
  g_assert_true (g_str_has_prefix (document->warnings[g_strv_length (document->warnings) - 1], "nested-no-key: "));
}

static void
test_cancelling_ends_all_layers (Fixture *f, gconstpointer data)
{
  const TpdOpenOptions options = { .nested = 1 };
  TpdBudget budget = { .cancelled = 1 };
  g_autoptr (GError) error = NULL;

  g_assert_null (tpd_document_open (f->source, f->probe, keys.keyring, keys.unwrapper, &options, &budget, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_CANCELLED);
}

static void
test_sizes_are_not_in_clear (Fixture *f, gconstpointer data)
{
  const TpdOpenOptions one = { 0 }, more = { .nested = 1 };
  const TpdProbe clear = { .kind = TPD_KIND_PFILE, .size_class = TPD_SIZE_EXACT };
  const TpdProbe mail = { .kind = TPD_KIND_EML, .size_class = TPD_SIZE_NEEDS_DECODING };
  const TpdProbe pdf = { .kind = TPD_KIND_PDF, .size_class = TPD_SIZE_EXACT };

  g_assert_cmpint (tpd_probe_size_class (&clear, NULL), ==, TPD_SIZE_EXACT);
  g_assert_cmpint (tpd_probe_size_class (&clear, &one), ==, TPD_SIZE_EXACT);
  g_assert_cmpint (tpd_probe_size_class (&clear, &more), ==, TPD_SIZE_NEEDS_KEY);
  g_assert_cmpint (tpd_probe_size_class (&mail, &more), ==, TPD_SIZE_NEEDS_DECODING);
  g_assert_false (tpd_probe_decodes (&clear, &one));
  g_assert_true (tpd_probe_decodes (&clear, &more));
  g_assert_true (tpd_probe_decodes (&mail, &one));
  g_assert_true (tpd_probe_decodes (&pdf, NULL));
}

int
main (int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*test) (Fixture *f, gconstpointer data);
  } tests[] = {
    { "/nested/one-layer-by-default", test_one_layer_by_default },
    { "/nested/layers-are-removed", test_layers_are_removed },
    { "/nested/a-layer-that-does-not-open-stays", test_a_layer_that_does_not_open_stays },
    { "/nested/cancelling-ends-all", test_cancelling_ends_all_layers },
    { "/nested/sizes-are-not-in-clear", test_sizes_are_not_in_clear },
  };
  int result;

  g_test_init (&argc, &argv, NULL);
  fixture_keys_load (&keys);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  result = g_test_run ();
  fixture_keys_clear (&keys);
  return result;
}
