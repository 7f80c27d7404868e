/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises about whole files: every pfile of the sample share opens to the
 * bytes its manifest names or gives the verdict it names, and genuine files
 * are recognised for what they are.
 */
#include <json-glib/json-glib.h>

#include "crypto/agent.h"
#include "crypto/keyfile.h"
#include "support.h"

static TpdKeyring *keyring;
static TpdUnwrapper *unwrapper;
static JsonArray *files;

/* --- The share -------------------------------------------------------- */

static void
load_keys (void)
{
  static const char *const names[] = { "tpd-cloud", "tpd-cloud-archived", "tpd-onprem", "tpd-mode1-v1compatible",
                                       "tpd-hsm-keyless" };
  g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
  g_autofree char *pem = g_build_filename (g_getenv ("TPD_FIXTURES"), "keys", "tpd-hsm-key.pem", NULL);
  g_autoptr (GPtrArray) loaded = NULL;
  g_autoptr (GError) error = NULL;
  GPtrArray *infos = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_key_info_free);

  config->allow_insecure_files = TRUE;
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *file = g_strdup_printf ("%s/keys/%s.xml", g_getenv ("TPD_FIXTURES"), names[i]);
      g_autofree char *password = g_strdup_printf ("%s/keys/%s.password.txt", g_getenv ("TPD_FIXTURES"), names[i]);

      tpd_key_config_add_file (config, file);
      tpd_key_config_set_password_file (config, password, &error);
      g_assert_no_error (error);
    }
  tpd_key_config_add_file (config, pem);
  loaded = tpd_keys_load (config, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < loaded->len; i++)
    g_ptr_array_add (infos, g_steal_pointer (&((TpdLoadedKey *) g_ptr_array_index (loaded, i))->info));
  keyring = tpd_keyring_new (infos);
  unwrapper = tpd_unwrapper_new_in_process (loaded);
}

static const char *
word (JsonObject *object, const char *member)
{
  return object != NULL ? json_object_get_string_member_with_default (object, member, "") : "";
}

static JsonObject *
member (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

static TpdSource *
share_source (JsonObject *file)
{
  g_autofree char *path = g_build_filename (g_getenv ("TPD_FIXTURES"), "share", word (file, "path"), NULL);

  return source_open (path);
}

typedef void (*FileFunc) (JsonObject *file, TpdSource *source);

static guint
for_each (const char *kind, FileFunc func)
{
  guint n = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *file = json_array_get_object_element (files, i);
      g_autoptr (TpdSource) source = NULL;

      if (strcmp (word (file, "kind"), kind) != 0)
        continue;
      g_test_message ("%s", word (file, "path"));
      source = share_source (file);
      func (file, source);
      n++;
    }
  return n;
}

/* --- Probes ----------------------------------------------------------- */

static void
check_plain (JsonObject *file, TpdSource *source)
{
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);

  g_assert_cmpstr (tpd_verdict_word (probe->verdict), ==, "not-protected");
  g_assert_cmpint (probe->kind, ==, TPD_KIND_PLAIN);
}

static void
test_plain (void)
{
  g_assert_cmpuint (for_each ("plain", check_plain), >, 20);
}

/* The first bytes alone: never of a protected file, and of most plain ones. */
static void
test_first_bytes (void)
{
  guint n_plain = 0, n_protected = 0, n_shown = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *file = json_array_get_object_element (files, i);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (GError) error = NULL;
      guint8 head[TPD_PROBE_FIRST];
      gboolean plain, starts_plain;
      gsize len;

      if (strcmp (word (file, "kind"), "symlink") == 0)
        continue;
      g_test_message ("%s", word (file, "path"));
      source = share_source (file);
      len = (gsize) MIN (source->size, (guint64) sizeof head);
      g_assert_true (tpd_source_read_exact (source, head, len, 0, &error));
      starts_plain = tpd_probe_starts_plain (head, len, source->size);
      plain = strcmp (word (file, "kind"), "plain") == 0;
      if (json_object_get_boolean_member_with_default (file, "open", FALSE))
        g_assert_false (starts_plain && !plain);
      n_plain += plain;
      n_shown += plain && starts_plain;
      n_protected += !plain;
    }
  g_assert_cmpuint (n_protected, >, 100);
  g_assert_cmpuint (n_shown, >, n_plain / 2);
}

/* Only what opens has its container described by the manifest. */
static void
check_probe (JsonObject *file, TpdSource *source)
{
  JsonObject *container = member (file, "container");
  const char *extension = word (container, "extension");
  const char *original_size = word (container, "original_size");
  guint64 plain_size = (guint64) json_object_get_int_member_with_default (file, "plain_size", 0);
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  g_autofree char *version = g_strdup_printf ("%u.%u", probe->version_major, probe->version_minor);
  gboolean hostile = strchr (extension, '/') != NULL;

  if (!json_object_get_boolean_member (file, "open"))
    return;
  g_assert_cmpstr (tpd_verdict_word (probe->verdict), ==, "ok");
  g_assert_cmpint (probe->kind, ==, TPD_KIND_PFILE);
  g_assert_cmpstr (version, ==, word (container, "version"));
  g_assert_cmpstr (probe->extension, ==, hostile ? "" : extension);
  g_assert_cmpint (probe->warnings != NULL, ==, hostile);
  if (probe->size_class == TPD_SIZE_EXACT)
    g_assert_cmpuint (probe->plain_size, ==, plain_size);
  else
    g_assert_cmpint (probe->size_class, ==, TPD_SIZE_NEEDS_KEY);
  if (strcmp (original_size, "true") == 0 && plain_size > 0)
    g_assert_cmpint (probe->size_class, ==, TPD_SIZE_EXACT);
  if (strcmp (original_size, "unknown") == 0 || strcmp (original_size, "zero") == 0)
    g_assert_cmpint (probe->size_class, ==, TPD_SIZE_NEEDS_KEY);
}

static void
test_probes (void)
{
  g_assert_cmpuint (for_each ("pfile", check_probe), >, 70);
}

/* --- Opening ---------------------------------------------------------- */

/* One way of reading for probe, license and content, as the mount does it. */
static TpdDocument *
open_source (TpdSource *source, TpdVerdict *verdict, GError **error)
{
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  g_autoptr (GError) failure = NULL;
  TpdDocument *document = tpd_document_open (source, probe, keyring, unwrapper, NULL, NULL, &failure);

  *verdict = document != NULL ? TPD_VERDICT_OK : tpd_verdict_from_error (failure);
  if (failure != NULL)
    g_propagate_error (error, g_steal_pointer (&failure));
  return document;
}

static char *
sha256_hex (const guint8 *data, gsize len)
{
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, data, len);
}

static void
check_content (JsonObject *file, TpdDocument *document, GBytes *bytes)
{
  gsize plain_size = (gsize) json_object_get_int_member (file, "plain_size");
  gboolean padded = strcmp (word (file, "compare"), "padded") == 0;
  g_autofree char *sum = NULL;

  g_assert_cmpuint (document->plain_size, >=, plain_size);
  g_assert_cmpuint (document->plain_size, <=, plain_size + (padded ? 15 : 0));
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, document->plain_size);
  if (padded)
    g_assert_cmpint (document->proof, ==, TPD_PROOF_NONE);
  sum = sha256_hex (g_bytes_get_data (bytes, NULL), plain_size);
  g_assert_cmpstr (sum, ==, word (file, "plain_sha256"));
}

static const char *
cipher_word (const char *manifest)
{
  return strcmp (manifest, "ECB") == 0            ? "ecb"
         : strcmp (manifest, "CBC4K-pkcs7") == 0  ? "cbc4k"
         : strcmp (manifest, "CBC4K-nopad") == 0  ? "cbc4k-nopad"
         : strcmp (manifest, "CBC512-nopad") == 0 ? "cbc512"
                                                  : "?";
}

static void
check_cipher (JsonObject *file, TpdDocument *document)
{
  const char *mode = word (file, "content_cipher");

  if (mode[0] == '\0')
    mode = word (file, "cipher");
  g_assert_true (g_str_has_prefix (document->cipher, "aes-"));
  g_assert_cmpstr (document->cipher + strlen ("aes-256-"), ==, cipher_word (mode));
  if (strcmp (word (file, "cipher"), mode) != 0)
    g_assert_cmpstr (document->fallbacks[0], ==, "pfile-v2-cbc4k");
  else
    g_assert_null (document->fallbacks);
}

static gboolean
verdict_is_expected (JsonObject *file, const char *verdict)
{
  JsonNode *alternatives = json_object_get_member (file, "error_alt");

  if (strstr (word (file, "notes"), "double key") != NULL)
    return strcmp (verdict, "double-key") == 0;
  if (strcmp (verdict, word (file, "error")) == 0)
    return TRUE;
  if (alternatives == NULL || !JSON_NODE_HOLDS_ARRAY (alternatives))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (json_node_get_array (alternatives)); i++)
    if (strcmp (verdict, json_array_get_string_element (json_node_get_array (alternatives), i)) == 0)
      return TRUE;
  return FALSE;
}

static void
check_open (JsonObject *file, TpdSource *source)
{
  g_autoptr (GError) error = NULL;
  TpdVerdict verdict;
  g_autoptr (TpdDocument) document = open_source (source, &verdict, &error);
  g_autoptr (GBytes) bytes = NULL;

  if (!json_object_get_boolean_member (file, "open"))
    {
      g_assert_null (document);
      g_test_message ("%s: %s", tpd_verdict_word (verdict), error->message);
      g_assert_true (verdict_is_expected (file, tpd_verdict_word (verdict)));
      return;
    }
  g_assert_no_error (error);
  g_assert_nonnull (document->license);
  g_assert_cmpstr (document->license->content_id, ==, word (file, "content_id"));
  bytes = document_read_all (document, &error);
  g_assert_no_error (error);
  check_content (file, document, bytes);
  check_cipher (file, document);
}

static void
test_open (void)
{
  g_assert_cmpuint (for_each ("pfile", check_open), >, 70);
}

static void
check_random_access (JsonObject *file, TpdSource *source)
{
  static GRand *random;
  TpdVerdict verdict;
  g_autoptr (TpdDocument) document = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autofree guint8 *buf = NULL;
  const guint8 *plain;

  if (!json_object_get_boolean_member (file, "open"))
    return;
  if (random == NULL)
    random = g_rand_new_with_seed (21);
  document = open_source (source, &verdict, NULL);
  g_assert_nonnull (document);
  bytes = document_read_all (document, NULL);
  plain = g_bytes_get_data (bytes, NULL);
  buf = g_malloc (document->plain_size + 64);
  for (int round = 0; round < 200; round++)
    {
      gsize off = (gsize) g_rand_int_range (random, 0, (gint32) document->plain_size + 32);
      gsize len = (gsize) g_rand_int_range (random, 0, (gint32) document->plain_size + 32);
      gsize expected = off >= document->plain_size ? 0 : MIN (len, document->plain_size - off);

      g_assert_cmpint (tpd_document_pread (document, buf, len, off, NULL), ==, (gssize) expected);
      if (expected > 0)
        g_assert_cmpmem (buf, expected, plain + off, expected);
    }
}

static void
test_random_access (void)
{
  g_assert_cmpuint (for_each ("pfile", check_random_access), >, 70);
}

/* The key is not held: that verdict, with the key's id in the sentence. */
static void
check_without_keys (JsonObject *file, TpdSource *source)
{
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  g_autoptr (GError) error = NULL;

  if (!json_object_get_boolean_member (file, "open"))
    return;
  g_assert_null (tpd_document_open (source, probe, NULL, NULL, NULL, NULL, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_NO_KEY);
  g_assert_nonnull (strstr (error->message, word (file, "key_guid")));
}

static void
test_without_keys (void)
{
  g_assert_cmpuint (for_each ("pfile", check_without_keys), >, 70);
}

/* --- Faults ----------------------------------------------------------- */

/* TRUE when the fault was met; the plaintext is right or there is none. */
static gboolean
check_fault (JsonObject *file, TpdSource *sound, Fault fault, int at)
{
  FaultSource *failing = fault_source_new (sound, fault, at);
  g_autoptr (TpdSource) source = &failing->base;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  TpdVerdict verdict;
  g_autoptr (TpdDocument) document = open_source (source, &verdict, &error);

  if (document != NULL)
    bytes = document_read_all (document, &error);
  if (bytes != NULL)
    {
      check_content (file, document, bytes);
      return failing->reads > at;
    }
  g_assert_cmpint (failing->reads, >, at);
  verdict = tpd_verdict_from_error (error);
  if (fault == FAULT_EIO)
    {
      g_assert_cmpint (verdict, ==, TPD_VERDICT_IO_ERROR);
      g_assert_cmpint (tpd_error_get_errno (error), ==, EIO);
    }
  else
    g_assert_true (verdict == TPD_VERDICT_IO_ERROR || verdict == TPD_VERDICT_DAMAGED);
  return TRUE;
}

static void
check_faults (JsonObject *file, TpdSource *source)
{
  if (!json_object_get_boolean_member (file, "open"))
    return;
  for (int fault = FAULT_EIO; fault <= FAULT_SHORT; fault++)
    for (int at = 0; check_fault (file, source, fault, at); at++)
      g_assert_cmpint (at, <, 100);
}

static void
test_faults (void)
{
  g_assert_cmpuint (for_each ("pfile", check_faults), >, 70);
}

/*
 * A few bytes of header and license are altered: nobody crashes, a published
 * size is kept, and what opens can be read to its end.
 */
static void
check_mutations (JsonObject *file, TpdSource *source)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (5);
  g_autofree guint8 *data = g_malloc (source->size);

  for (int round = 0; source->size > 0 && round < 60; round++)
    {
      g_autoptr (TpdSource) altered = NULL;
      g_autoptr (TpdProbe) probe = NULL;
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (GError) error = NULL;

      g_assert_true (tpd_source_read_exact (source, data, source->size, 0, NULL));
      for (int i = 0; i <= round % 3; i++)
        {
          gint32 end = (gint32) MIN (source->size, round % 2 ? 480 : source->size);
          data[g_rand_int_range (random, round % 2 ? MIN (6, end - 1) : 0, end)] ^= 1
                                                                                    << g_rand_int_range (random, 0, 8);
        }
      altered = source_from (data, source->size);
      probe = tpd_probe (altered, NULL);
      document = tpd_document_open (altered, probe, keyring, unwrapper, NULL, NULL, &error);
      g_assert_true ((document == NULL) == (error != NULL));
      if (document == NULL)
        continue;
      if (probe->size_class == TPD_SIZE_EXACT)
        g_assert_cmpuint (document->plain_size, ==, probe->plain_size);
      bytes = document_read_all (document, &error);
      g_assert_no_error (error);
    }
}

static void
test_mutations (void)
{
  g_assert_cmpuint (for_each ("pfile", check_mutations), >, 70);
}

/* The file changes its length between probe and open. */
static void
test_changed_between_probe_and_open (void)
{
  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *file = json_array_get_object_element (files, i);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdSource) shorter = NULL;
      g_autoptr (TpdProbe) probe = NULL;
      g_autoptr (GError) error = NULL;

      if (strcmp (word (file, "kind"), "pfile") != 0 || !json_object_get_boolean_member (file, "open"))
        continue;
      source = share_source (file);
      probe = tpd_probe (source, NULL);
      shorter = tpd_source_new_range (source, 0, source->size - 16);
      g_assert_null (tpd_document_open (shorter, probe, keyring, unwrapper, NULL, NULL, &error));
      g_assert_true (g_error_matches (error, TPD_ERROR, TPD_ERROR_STALE)
                     || g_error_matches (error, TPD_ERROR, TPD_ERROR_DAMAGED));
    }
}

/* --- Genuine files ---------------------------------------------------- */

static void
check_genuine (const char *path)
{
  g_autoptr (TpdSource) source = source_open (path);
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (TpdLicense) license = NULL;
  g_autoptr (GError) error = NULL;

  g_test_message ("%s", path);
  if (source->size == 0)
    {
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
      return;
    }
  g_assert_cmpstr (tpd_verdict_word (probe->verdict), ==, "ok");
  g_assert_cmpint (probe->kind, ==, TPD_KIND_PFILE);
  g_assert_true (g_str_has_prefix (probe->extension, "."));
  g_assert_null (probe->warnings);
  bytes = tpd_probe_read_license (probe, source, &error);
  g_assert_no_error (error);
  license = tpd_license_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &error);
  g_assert_no_error (error);
  g_assert_nonnull (license->content_id);
  g_assert_cmpuint (strlen (license->server_guid), ==, 36);
  g_assert_true (license->urls != NULL && g_str_has_prefix (license->urls[0], "http"));
  g_assert_null (tpd_document_open (source, probe, keyring, unwrapper, NULL, NULL, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_NO_KEY);
  g_test_message ("%u.%u %s content %s key %s url %s metadata %s", probe->version_major, probe->version_minor,
                  probe->extension, license->content_id, license->server_guid, license->urls[0],
                  probe->metadata != NULL ? "yes" : "no");
}

static void
test_genuine (void)
{
  const char *root = g_getenv ("TPD_REAL_FILES");
  g_autofree char *path = root != NULL ? g_build_filename (root, "pfile", NULL) : NULL;
  g_autoptr (GDir) dir = path != NULL ? g_dir_open (path, 0, NULL) : NULL;
  const char *name;

  if (dir == NULL)
    {
      g_test_skip ("TPD_REAL_FILES is not set");
      return;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);
      check_genuine (file);
    }
}

int
main (int argc, char **argv)
{
  g_autoptr (JsonParser) parser = json_parser_new ();
  g_autofree char *manifest = g_build_filename (g_getenv ("TPD_FIXTURES"), "manifest.json", NULL);
  int status;

  g_test_init (&argc, &argv, NULL);
  g_assert_true (json_parser_load_from_file (parser, manifest, NULL));
  files = json_object_get_array_member (json_node_get_object (json_parser_get_root (parser)), "files");
  load_keys ();
  g_test_add_func ("/share/plain-files-are-plain", test_plain);
  g_test_add_func ("/share/first-bytes", test_first_bytes);
  g_test_add_func ("/share/pfile/probe", test_probes);
  g_test_add_func ("/share/pfile/bytes-or-verdict", test_open);
  g_test_add_func ("/share/pfile/random-access", test_random_access);
  g_test_add_func ("/share/pfile/without-keys", test_without_keys);
  g_test_add_func ("/share/pfile/faults", test_faults);
  g_test_add_func ("/share/pfile/mutations", test_mutations);
  g_test_add_func ("/share/pfile/changed-between-probe-and-open", test_changed_between_probe_and_open);
  g_test_add_func ("/share/genuine-files", test_genuine);
  status = g_test_run ();
  tpd_unwrapper_unref (unwrapper);
  tpd_keyring_unref (keyring);
  return status;
}
