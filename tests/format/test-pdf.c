/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protected PDF: every fixture gives its objects or its verdict, as qpdf and
 * pdftotext see them; real files are identified without a key.
 */
#include <glib.h>
#include <glib/gstdio.h>

#include "../license/helper.h"
#include "format/document.h"
#include "format/pdf_private.h"
#include "pdf-support.h"
#include "support.h"

static FixtureKeys keys;

static gboolean
is_ours (JsonObject *entry)
{
  return g_str_has_prefix (json_word (entry, "kind"), "pdf-");
}

static char *
share_path (JsonObject *entry)
{
  g_autofree char *share = fixture_path ("share");

  return g_build_filename (share, json_word (entry, "path"), NULL);
}

/* The size of the encrypted document, which a decrypted one keeps: told by the
 * test's own reading of the file. */
static guint64
encrypted_size (JsonObject *entry, GBytes *file)
{
  gsize len;
  const char *data = g_bytes_get_data (file, &len);
  const char *key;

  if (g_str_equal (json_word (entry, "kind"), "pdf-v2"))
    {
      g_autoptr (GBytes) payload = find_payload (file);
      return g_bytes_get_size (payload);
    }
  key = memmem (data, len, "/WrapperOffset ", strlen ("/WrapperOffset "));
  return key != NULL ? g_ascii_strtoull (key + strlen ("/WrapperOffset "), NULL, 10) : len;
}

static gboolean
is_expected_error (JsonObject *entry, const char *word)
{
  JsonNode *more = json_object_get_member (entry, "error_alt");

  if (g_str_equal (json_word (entry, "error"), word))
    return TRUE;
  if (more == NULL || !JSON_NODE_HOLDS_ARRAY (more))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (json_node_get_array (more)); i++)
    if (g_str_equal (json_array_get_string_element (json_node_get_array (more), i), word))
      return TRUE;
  return FALSE;
}

static const char *
cipher_of (JsonObject *entry)
{
  const char *word = json_word (entry, "cipher");
  gboolean large = json_object_get_int_member (entry, "key_bytes") == 32;

  if (g_str_equal (word, "ECB"))
    return large ? "aes-256-ecb" : "aes-128-ecb";
  if (g_str_equal (word, "CBC512-nopad"))
    return large ? "aes-256-cbc512" : "aes-128-cbc512";
  return large ? "aes-256-cbc4k" : "aes-128-cbc4k";
}

static void
check_fixture (JsonObject *entry, TpdDocument *document, const TpdProbe *probe)
{
  g_autofree char *plain_dir = fixture_path ("plain");
  g_autofree char *plain = g_build_filename (plain_dir, json_word (entry, "plain_path"), NULL);
  g_autofree char *path = share_path (entry);
  g_autoptr (GMappedFile) mapped = g_mapped_file_new (path, FALSE, NULL);
  g_autoptr (GBytes) file = g_mapped_file_get_bytes (mapped);
  g_autoptr (GBytes) bytes = document_read_all (document, NULL);
  gboolean v2 = g_str_equal (json_word (entry, "kind"), "pdf-v2");

  g_assert_cmpuint (document->plain_size, ==, encrypted_size (entry, file));
  g_assert_cmpint (probe->size_class, ==, TPD_SIZE_EXACT);
  g_assert_cmpuint (probe->plain_size, ==, document->plain_size);
  g_assert_cmpint (document->kind, ==, TPD_KIND_PDF);
  g_assert_cmpstr (document->cipher, ==, cipher_of (entry));
  g_assert_cmpint (document->proof, ==, v2 ? TPD_PROOF_PROVEN : TPD_PROOF_PLAUSIBLE);
  g_assert_cmpuint (probe->version_major, ==, g_str_equal (json_word (entry, "kind"), "pdf-v1") ? 1 : 2);
  g_assert_null (document->warnings);
  g_assert_null (document->fallbacks);
  g_assert_null (memmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), "XrML", 4));
  g_assert_null (memmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), "/Encrypt ", 9));
  compare_with_file (bytes, plain, FALSE);
}

static void
test_fixtures (void)
{
  JsonArray *files = fixture_files ();
  guint opened = 0, refused = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autofree char *path = NULL;
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GError) error = NULL;
      TpdVerdict verdict;

      if (!is_ours (entry))
        continue;
      path = share_path (entry);
      g_test_message ("%s", path);
      source = source_open (path);
      probe = tpd_probe (source, NULL);
      verdict = probe->verdict;
      if (verdict == TPD_VERDICT_OK)
        {
          document = tpd_document_open (source, probe, keys.keyring, keys.unwrapper, NULL, NULL, &error);
          if (document == NULL)
            verdict = tpd_verdict_from_error (error);
        }
      if (json_object_get_boolean_member (entry, "open"))
        {
          g_assert_no_error (error);
          g_assert_nonnull (document);
          g_assert_cmpstr (document->license->content_id, ==, json_word (entry, "content_id"));
          check_fixture (entry, document, probe);
          opened++;
        }
      else
        {
          g_assert_null (document);
          g_assert_true (is_expected_error (entry, tpd_verdict_word (verdict)));
          refused++;
        }
    }
  g_assert_cmpuint (opened, >=, 6);
  g_assert_cmpuint (refused, >=, 2);
}

/* Plain PDF files are common: they cost few reads and are not touched. */
static void
test_plain (void)
{
  g_autofree char *dir = fixture_path ("plain");
  JsonArray *files = fixture_files ();
  guint n = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      const char *name = json_word (json_array_get_object_element (files, i), "plain_path");
      g_autofree char *path = g_build_filename (dir, name, NULL);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;
      FaultSource *counter;

      if (!g_str_has_suffix (name, ".pdf"))
        continue;
      source = source_open (path);
      counter = fault_source_new (source, FAULT_NONE, 0);
      probe = tpd_probe (&counter->base, NULL);
      g_assert_cmpint (probe->kind, ==, TPD_KIND_PLAIN);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
      g_assert_null (probe->message);
      g_assert_cmpint (counter->reads, <=, 3);
      tpd_source_unref (&counter->base);
      n++;
    }
  g_assert_cmpuint (n, >=, 8);
}

static TpdDocument *
open_fixture (const char *kind, const char *form)
{
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autofree char *path = NULL;
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;
      TpdDocument *document;

      if (!g_str_equal (json_word (entry, "kind"), kind) || !json_object_get_boolean_member (entry, "open")
          || !g_str_equal (json_word (json_object_get_object_member (entry, "container"), "form"), form))
        continue;
      path = share_path (entry);
      source = source_open (path);
      probe = tpd_probe (source, NULL);
      document = tpd_document_open (source, probe, keys.keyring, keys.unwrapper, NULL, NULL, NULL);
      g_assert_nonnull (document);
      return document;
    }
  g_assert_not_reached ();
}

/* Reads of any size at any place give the same bytes; two openings too. */
static void
test_random_reads (void)
{
  g_autoptr (TpdDocument) document = open_fixture ("pdf-v2", "v2");
  g_autoptr (TpdDocument) again = open_fixture ("pdf-v2", "v2");
  g_autoptr (GBytes) all = document_read_all (document, NULL);
  g_autoptr (GBytes) other = document_read_all (again, NULL);
  g_autoptr (GRand) random = g_rand_new_with_seed (7);
  const guint8 *bytes = g_bytes_get_data (all, NULL);
  guint size = (guint) document->plain_size;

  g_assert_true (g_bytes_equal (all, other));
  for (guint i = 0; i < 2000; i++)
    {
      guint8 buf[5000];
      guint off = (guint) g_rand_int_range (random, 0, (gint32) size + 100);
      gsize len = (gsize) g_rand_int_range (random, 0, sizeof buf);
      gsize want = off >= size ? 0 : MIN (len, size - off);

      g_assert_cmpint (tpd_document_pread (document, buf, len, off, NULL), ==, (gssize) want);
      g_assert_cmpmem (buf, want, bytes + MIN (off, size), want);
    }
}

/* A cancelled or exhausted budget stops the work; so does each failing read. */
static void
test_faults (void)
{
  JsonArray *files = fixture_files ();
  guint tried = 0;

  for (guint i = 0; i < json_array_get_length (files) && tried < 3; i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autofree char *path = NULL;
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;
      TpdBudget budget;

      if (!is_ours (entry) || !json_object_get_boolean_member (entry, "open"))
        continue;
      tried++;
      path = share_path (entry);
      source = source_open (path);
      probe = tpd_probe (source, NULL);
      for (int at = 0; at < 30; at++)
        {
          FaultSource *bad = fault_source_new (source, FAULT_EIO, at);
          g_autoptr (TpdProbe) bad_probe = tpd_probe (&bad->base, NULL);
          g_autoptr (TpdDocument) document = NULL;
          g_autoptr (GError) error = NULL;

          if (bad->reads > at)
            {
              g_assert_cmpint (bad_probe->verdict, !=, TPD_VERDICT_NOT_PROTECTED);
              if (bad_probe->verdict == TPD_VERDICT_IO_ERROR)
                g_assert_cmpint (bad_probe->io_errno, ==, EIO);
            }
          bad->reads = 0;
          document = tpd_document_open (&bad->base, probe, keys.keyring, keys.unwrapper, NULL, NULL, &error);
          if (bad->reads > at)
            {
              g_assert_null (document);
              g_assert_cmpint (tpd_error_get_errno (error), ==, EIO);
            }
          tpd_source_unref (&bad->base);
        }
      memset (&budget, 0, sizeof budget);
      budget.max_bytes = 1000;
      {
        g_autoptr (GError) error = NULL;
        g_assert_null (tpd_document_open (source, probe, keys.keyring, keys.unwrapper, NULL, &budget, &error));
        g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
      }
      memset (&budget, 0, sizeof budget);
      budget.cancelled = 1;
      {
        g_autoptr (GError) error = NULL;
        g_assert_null (tpd_document_open (source, probe, keys.keyring, keys.unwrapper, NULL, &budget, &error));
        g_assert_error (error, TPD_ERROR, TPD_ERROR_CANCELLED);
      }
    }
  g_assert_cmpuint (tried, ==, 3);
}

/* Whatever bytes change: a verdict or a document, in time, and no crash. */
static void
test_damage (void)
{
  JsonArray *files = fixture_files ();
  g_autoptr (GRand) random = g_rand_new_with_seed (99);

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autofree char *path = NULL, *data = NULL;
      gsize len;

      if (!is_ours (entry))
        continue;
      path = share_path (entry);
      g_assert_true (g_file_get_contents (path, &data, &len, NULL));
      for (guint round = 0; round < 60; round++)
        {
          g_autofree char *bad = g_memdup2 (data, len);
          gsize bad_len = round % 10 == 0 ? (gsize) g_rand_int_range (random, 1, (gint32) len) : len;
          g_autoptr (TpdSource) source = NULL;
          g_autoptr (TpdProbe) probe = NULL;
          g_autoptr (TpdDocument) document = NULL;

          for (guint k = 0; k < 1 + round % 7; k++)
            bad[g_rand_int_range (random, 0, (gint32) bad_len)] = (char) g_rand_int_range (random, 0, 256);
          source = source_from (bad, bad_len);
          probe = tpd_probe (source, NULL);
          if (probe->verdict == TPD_VERDICT_OK)
            document = tpd_document_open (source, probe, keys.keyring, keys.unwrapper, NULL, NULL, NULL);
          if (document != NULL && probe->size_class == TPD_SIZE_EXACT)
            g_assert_cmpuint (document->plain_size, ==, probe->plain_size);
        }
    }
}

static void
test_real (void)
{
  const char *real = g_getenv ("TPD_REAL_FILES");
  g_autofree char *path = real != NULL ? g_build_filename (real, "pdf", "testMicrosoftIRMServices.pdf", NULL) : NULL;
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdProbe) probe = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (TpdLicense) license = NULL;
  g_autoptr (GError) error = NULL;

  if (path == NULL || !g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_test_skip ("TPD_REAL_FILES is not set");
      return;
    }
  source = source_open (path);
  probe = tpd_probe (source, NULL);
  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
  g_assert_cmpint (probe->kind, ==, TPD_KIND_PDF);
  g_assert_cmpuint (probe->version_major, ==, 2);
  g_assert_cmpint (probe->size_class, ==, TPD_SIZE_EXACT);
  g_assert_cmpuint (probe->plain_size, ==, 266308);
  g_assert_nonnull (probe->metadata);
  g_assert_nonnull (strstr (probe->metadata, "MSIP_Label_9fbde396-1a24-4c79-8edf-9254a0f35055_Name"));
  bytes = tpd_probe_read_license (probe, source, &error);
  g_assert_no_error (error);
  license = tpd_license_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (license->content_id, ==, "5c9ae2fc-f419-4673-9312-f290d5297a91");
  g_assert_cmpstr (license->server_guid, ==, "18dd1efa-6323-45a0-bdd9-4bd582bd1dfc");
  g_assert_cmpstr (license->urls[0], ==,
                   "https://48fc04bd-c84b-44ac-91b7-a4c5eefd5ac1.rms.na.aadrm.com/_wmcs/licensing");
}

/* The checksum of a real payload holds, and its cross-reference is followed. */
static void
test_real_payload (void)
{
  const char *real = g_getenv ("TPD_REAL_FILES");
  g_autofree char *path = real != NULL ? g_build_filename (real, "pdf", "testMicrosoftIRMServices.pdf", NULL) : NULL;
  g_autoptr (TpdSource) source = NULL, inner = NULL;
  g_autoptr (TpdPdfFile) file = NULL, inner_file = NULL;
  g_auto (TpdPdfEncryption) encryption = { 0 };
  TpdPdfProtection protection;
  TpdPdfPayload payload;
  gboolean intact;

  if (path == NULL || !g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_test_skip ("TPD_REAL_FILES is not set");
      return;
    }
  source = source_open (path);
  file = tpd_pdf_file_open_whole (source, TPD_PDF_OPEN_INFLATE, NULL, NULL);
  g_assert_nonnull (file);
  g_assert_false (file->rebuilt);
  g_assert_cmpint (tpd_pdf_wrapper_find (file, &payload, NULL), ==, TPD_PDF_WRAPPER_HELD);
  inner = tpd_pdf_payload_extract (source, &payload, NULL, &intact, NULL);
  g_assert_nonnull (inner);
  g_assert_true (intact);
  inner_file = tpd_pdf_file_open_whole (inner, TPD_PDF_OPEN_INFLATE, NULL, NULL);
  g_assert_false (inner_file->rebuilt);
  g_assert_cmpuint (inner_file->entries->len, ==, 477);
  g_assert_true (tpd_pdf_encryption_read (inner_file, &encryption, &protection, NULL));
  g_assert_cmpint (protection, ==, TPD_PDF_RMS);
  g_assert_cmpuint (encryption.num, ==, 475);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  fixture_keys_load (&keys);
  g_test_add_func ("/pdf/fixtures/objects-or-verdict", test_fixtures);
  g_test_add_func ("/pdf/probe/plain-files-cost-little", test_plain);
  g_test_add_func ("/pdf/read/any-piece-is-the-same", test_random_reads);
  g_test_add_func ("/pdf/read/faults-and-budgets-are-told", test_faults);
  g_test_add_func ("/pdf/hostile/damaged-fixtures", test_damage);
  g_test_add_func ("/pdf/real/identified-without-key", test_real);
  g_test_add_func ("/pdf/real/payload-is-followed", test_real_payload);
  status = g_test_run ();
  fixture_keys_clear (&keys);
  return status;
}
