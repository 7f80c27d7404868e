/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of licenses and the link through the client licensor certificate.
 * The fixtures are signed by another implementation; genuine files, where they
 * are at hand ($TPD_REAL_FILES), by Microsoft's clients and servers.
 */
#include <string.h>

#include "helper.h"
#include "license/license.h"

/* A fixture's license as UTF-8 text. */
static char *
license_text (const char *part)
{
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autoptr (GBytes) bytes = NULL;
      const char *data;
      gsize len;

      if (strstr (json_word (entry, "path"), part) == NULL)
        continue;
      bytes = fixture_license (entry);
      g_assert_nonnull (bytes);
      data = g_bytes_get_data (bytes, &len);
      if (len > 2 && data[1] == '\0')
        return g_convert (data, (gssize) len, "UTF-8", "UTF-16LE", NULL, NULL, NULL);
      g_assert_cmpmem (data, 3, "\xef\xbb\xbf", 3);
      return g_strndup (data + 3, len - 3);
    }
  g_error ("no fixture named like %s", part);
}

/* The first `old` replaced. (transfer full) */
static char *
replaced (const char *text, const char *old, const char *new)
{
  const char *at = strstr (text, old);

  g_assert_nonnull (at);
  return g_strdup_printf ("%.*s%s%s", (int) (at - text), text, new, at + strlen (old));
}

/* Whatever the signature is, the digest of the license is its own; GLib has a
 * SHA-256 of its own. */
static void
assert_digest (const TpdLicense *license, const char *text)
{
  const char *start = strstr (text, "<XrML"), *end = strstr (text, "</XrML>") + strlen ("</XrML>");
  g_autofree char *expected = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guint8 *) start, end - start);

  for (guint i = 0; i < sizeof license->sha256; i++)
    g_assert_cmpint (license->sha256[i], ==,
                     g_ascii_xdigit_value (expected[2 * i]) << 4 | g_ascii_xdigit_value (expected[2 * i + 1]));
}

static TpdLicense *
parse (const char *text)
{
  g_autoptr (GError) error = NULL;
  TpdLicense *license = tpd_license_parse ((const guint8 *) text, strlen (text), &error);

  g_assert_no_error (error);
  assert_digest (license, text);
  return license;
}

static TpdSignatureState
state_of (const char *text)
{
  g_autoptr (TpdLicense) license = parse (text);
  return license->signature;
}

#define CLIENT "Legal/2016/Offer #12 287"
#define OTHER_AUTHOR "hostile extension"
#define WITH_CLC     \
  "Vertrag \xc3\xbc" \
  "ber Lieferung_231"

static void
test_changed_text_is_bad (void)
{
  g_autofree char *text = license_text (CLIENT);
  g_autofree char *owner = replaced (text, "<OWNER><OBJECT>", "<OWNER ><OBJECT>");
  g_autofree char *space = replaced (text, "</NAME>", " </NAME>");
  g_autofree char *digest =
      replaced (text, "<VALUE encoding=\"base64\" size=\"256\">", "<VALUE encoding=\"base64\" size=\"256\">AAAA");

  g_assert_cmpint (state_of (text), ==, TPD_SIGNATURE_GOOD);
  g_assert_cmpint (state_of (owner), ==, TPD_SIGNATURE_BAD);
  g_assert_cmpint (state_of (space), ==, TPD_SIGNATURE_BAD);
  g_assert_cmpint (state_of (digest), ==, TPD_SIGNATURE_BAD);
}

static void
test_encoding_of_the_file_does_not_matter (void)
{
  g_autofree char *text = license_text (CLIENT);
  g_autoptr (GError) error = NULL;
  g_autofree char *wide = NULL;
  g_autoptr (TpdLicense) license = NULL;
  gsize len;

  wide = g_convert (text, -1, "UTF-16LE", "UTF-8", NULL, &len, &error);
  g_assert_no_error (error);
  license = tpd_license_parse ((const guint8 *) wide, len, &error);
  g_assert_no_error (error);
  g_assert_cmpint (license->signature, ==, TPD_SIGNATURE_GOOD);
}

/* Characters of every length in UTF-8 wherever the text is cut into pieces. */
static void
test_any_characters_anywhere (void)
{
  static const char *const characters[] = { "a", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
  g_autofree char *text = license_text (CLIENT);
  const char *old = strstr (text, "</NAME>");

  for (guint i = 0; i < 200; i++)
    {
      g_autoptr (GString) longer = g_string_new_len (text, old - text);
      g_autoptr (TpdLicense) license = NULL;

      for (guint n = 0; n < i; n++)
        g_string_append_c (longer, 'x');
      for (guint n = 0; n < 2000; n++)
        g_string_append (longer, characters[n / 70 % 2 == 0 ? 0 : n % G_N_ELEMENTS (characters)]);
      g_string_append (longer, old);
      license = parse (longer->str);
      g_assert_cmpint (license->signature, ==, TPD_SIGNATURE_BAD);
    }
}

/* A digest of 20 bytes, which is not that of the text. */
static void
test_other_digests (void)
{
  g_autofree char *text = license_text (CLIENT);
  const char *digest = strstr (strstr (text, "<SIGNATURE>"), "<DIGEST"),
             *value = strstr (digest, "<VALUE encoding=\"base64\""), *end = strstr (value, "</VALUE>");
  g_autofree char *head = g_strndup (text, (gsize) (value - text));
  g_autofree char *stored = g_strdup_printf ("%s<VALUE>AAAAAAAAAAAAAAAAAAAAAAAAAAA=%s", head, end);
  g_autofree char *sha1 = replaced (stored, "SHA256", "SHA1");
  g_auto (GStrv) tags = g_strsplit (sha1, "><", -1);
  g_autofree char *pretty = g_strjoinv (">\n<", tags);

  g_assert_cmpint (state_of (stored), ==, TPD_SIGNATURE_BAD);
  g_assert_cmpint (state_of (sha1), ==, TPD_SIGNATURE_BAD);
  g_assert_cmpint (state_of (pretty), ==, TPD_SIGNATURE_BAD);
}

static void
test_pretty_printed_license_is_repaired (void)
{
  g_autofree char *text = license_text (CLIENT);
  g_auto (GStrv) tags = g_strsplit (text, "><", -1);
  g_autofree char *pretty = g_strjoinv (">\r\n\t <", tags);
  g_autoptr (TpdLicense) license = parse (pretty);

  g_assert_cmpint (license->signature, ==, TPD_SIGNATURE_REPAIRED);
  g_assert_cmpuint (g_strv_length (license->warnings), ==, 1);
  g_assert_nonnull (strstr (license->warnings[0], "white space"));
}

static void
test_unsigned_and_unknown (void)
{
  g_autofree char *text = license_text (CLIENT);
  g_autofree char *cut = g_strndup (text, (gsize) (strstr (text, "<SIGNATURE>") - text));
  g_autofree char *unsigned_text = g_strconcat (cut, "</XrML>", NULL);
  g_autofree char *hash = replaced (text, "SHA256", "SHA512");
  g_autofree char *algorithm = replaced (text, "RSA PKCS#1-V1.5", "RSA-PSS");
  g_autofree char *key = replaced (text, "<ISSUER><OBJECT", "<ISSUER><X/><PUBLICKEY/><OBJECT");

  g_assert_cmpint (state_of (unsigned_text), ==, TPD_SIGNATURE_NONE);
  g_assert_cmpint (state_of (hash), ==, TPD_SIGNATURE_UNKNOWN);
  g_assert_cmpint (state_of (algorithm), ==, TPD_SIGNATURE_UNKNOWN);
  g_assert_cmpint (state_of (key), ==, TPD_SIGNATURE_UNKNOWN);
}

/* A signed BODY carried along where no reader looks must not vouch for the
 * BODY that is read. */
static void
test_signature_does_not_cover_another_reading (void)
{
  g_autofree char *text = license_text (CLIENT);
  const char *body = strstr (text, "<BODY"), *end = strstr (text, "</BODY>") + 7;
  g_autofree char *signed_body = g_strndup (body, (gsize) (end - body));
  g_autofree char *forged = replaced (signed_body, "contoso.example", "evil.example");
  g_autofree char *head = g_strndup (text, (gsize) (body - text));
  g_autofree char *in_comment = g_strconcat (head, "<!--", signed_body, "-->", forged, end, NULL);
  g_autofree char *in_element = g_strconcat (head, "<X>", signed_body, "</X>", forged, end, NULL);
  g_autofree char *twice = g_strconcat (head, signed_body, forged, end, NULL);
  g_autofree char *in_cdata = g_strconcat (head, "<X><![CDATA[", signed_body, "]]></X>", forged, end, NULL);
  g_autofree char *instruction = g_strconcat (head, "<?a ", signed_body, "?>", forged, end, NULL);

  g_assert_cmpint (state_of (in_comment), ==, TPD_SIGNATURE_UNKNOWN);
  g_assert_cmpint (state_of (in_element), ==, TPD_SIGNATURE_UNKNOWN);
  g_assert_cmpint (state_of (twice), ==, TPD_SIGNATURE_UNKNOWN);
  g_assert_cmpint (state_of (in_cdata), ==, TPD_SIGNATURE_UNKNOWN);
  g_assert_cmpint (state_of (instruction), ==, TPD_SIGNATURE_UNKNOWN);
}

static void
test_certificate_links_issuer_to_server (void)
{
  g_autofree char *text = license_text (WITH_CLC);
  g_autoptr (TpdLicense) good = parse (text);
  char *clc = strstr (strstr (text, "</XrML>"), "<XrML");
  g_autofree char *alone = g_strndup (text, (gsize) (clc - text));
  g_autofree char *changed_clc = replaced (clc, "<ISSUEDTIME>2", "<ISSUEDTIME>3");
  g_autofree char *other_type = replaced (clc, "Client-Licensor-Certificate", "Content-License");
  g_autofree char *with_changed = g_strconcat (alone, changed_clc, NULL);
  g_autofree char *with_other_type = g_strconcat (alone, other_type, NULL);
  g_autofree char *with_broken = g_strconcat (alone, "<XrML><BODY></XrML>", NULL);
  g_autofree char *behind_broken = g_strconcat (alone, "<XrML><BODY></XrML>", clc, NULL);
  g_autofree char *stranger = license_text (OTHER_AUTHOR);
  g_autofree char *with_stranger = g_strconcat (stranger, clc, NULL);
  g_autoptr (TpdLicense) none = parse (alone), changed = parse (with_changed), typed = parse (with_other_type);
  g_autoptr (TpdLicense) broken = parse (with_broken), behind = parse (behind_broken), strange = parse (with_stranger);

  g_assert_true (good->chain_linked);
  g_assert_cmpuint (g_strv_length (good->warnings), ==, 0);
  g_assert_false (none->chain_linked);
  g_assert_cmpuint (g_strv_length (none->warnings), ==, 0);
  g_assert_false (changed->chain_linked);
  g_assert_cmpuint (g_strv_length (changed->warnings), ==, 1);
  g_assert_nonnull (strstr (changed->warnings[0], "do not lead to the server"));
  g_assert_false (typed->chain_linked);
  g_assert_false (broken->chain_linked);
  g_assert_nonnull (strstr (broken->warnings[0], "damaged"));
  g_assert_true (behind->chain_linked);
  g_assert_false (strange->chain_linked);
}

/* --- Genuine files ---------------------------------------------------- */

typedef void (*RealFunc) (const char *name, GBytes *bytes, gpointer data);

static guint
for_each_real (RealFunc func, gpointer data)
{
  const char *root = g_getenv ("TPD_REAL_FILES");
  g_autofree char *folder = g_build_filename (root == NULL ? "" : root, "pfile", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  guint n = 0;

  if (root == NULL || dir == NULL)
    return 0;
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (folder, name, NULL);
      g_autoptr (GBytes) bytes = pfile_license (path);

      if (bytes == NULL)
        continue;
      func (name, bytes, data);
      n++;
    }
  return n;
}

typedef struct {
  guint good, linked, chains;
} RealCount;

static void
check_real (const char *name, GBytes *bytes, gpointer data)
{
  RealCount *count = data;
  g_autoptr (TpdLicense) license = parse_good (bytes, name);

  g_test_message ("%s: %s, %u documents, signature %s, %s, issued %s, %s, %s, key %s, sealed %" G_GSIZE_FORMAT, name,
                  license->encoding, license->n_documents, tpd_signature_word (license->signature),
                  license->chain_linked ? "linked" : "not linked", license->issued, license->author,
                  tpd_license_name (license, 1033), license->server_guid, license->sealed_len);
  for (char **w = license->warnings; *w != NULL; w++)
    g_test_message ("  %s", *w);
  g_assert_cmpint (license->signature, ==, TPD_SIGNATURE_GOOD);
  g_assert_cmpuint (g_strv_length (license->warnings), ==, 0);
  g_assert_nonnull (license->content_id);
  g_assert_nonnull (license->server_guid);
  g_assert_nonnull (license->urls[0]);
  g_assert_nonnull (license->erd);
  /* An online license is signed by the server itself, of an offline one the
   * certificate is behind it. */
  g_assert_true (license->chain_linked);
  count->good++;
  count->linked += license->chain_linked;
  count->chains += license->n_documents > 1;
}

static void
test_genuine_licenses_verify (void)
{
  RealCount count = { 0 };
  guint n = for_each_real (check_real, &count);

  if (n == 0)
    {
      g_test_skip ("no genuine files: set TPD_REAL_FILES");
      return;
    }
  g_test_message ("%u of %u genuine licenses verify, %u are linked to their server, %u through a certificate",
                  count.good, n, count.linked, count.chains);
  g_assert_cmpuint (count.good, ==, n);
}

static void
time_real (const char *name, GBytes *bytes, gpointer data)
{
  gint64 start;

  if (g_bytes_get_size (bytes) < 35000 || g_bytes_get_size (bytes) > 45000)
    return;
  start = g_get_monotonic_time ();
  for (int i = 0; i < 200; i++)
    tpd_license_unref (parse_good (bytes, name));
  g_test_message ("%s: %" G_GSIZE_FORMAT " bytes parsed in %.0f microseconds", name, g_bytes_get_size (bytes),
                  (double) (g_get_monotonic_time () - start) / 200);
}

static void
test_time_of_genuine_licenses (void)
{
  if (!g_test_perf ())
    {
      g_test_skip ("a measurement: run with -m perf");
      return;
    }
  if (for_each_real (time_real, NULL) == 0)
    g_test_skip ("no genuine files: set TPD_REAL_FILES");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/signature/changed-text-is-bad", test_changed_text_is_bad);
  g_test_add_func ("/signature/encoding-of-the-file-does-not-matter", test_encoding_of_the_file_does_not_matter);
  g_test_add_func ("/signature/any-characters-anywhere", test_any_characters_anywhere);
  g_test_add_func ("/signature/other-digests", test_other_digests);
  g_test_add_func ("/signature/pretty-printed-license-is-repaired", test_pretty_printed_license_is_repaired);
  g_test_add_func ("/signature/unsigned-and-unknown", test_unsigned_and_unknown);
  g_test_add_func ("/signature/does-not-cover-another-reading", test_signature_does_not_cover_another_reading);
  g_test_add_func ("/signature/certificate-links-issuer-to-server", test_certificate_links_issuer_to_server);
  g_test_add_func ("/signature/genuine-licenses-verify", test_genuine_licenses_verify);
  g_test_add_func ("/signature/time-of-genuine-licenses", test_time_of_genuine_licenses);
  return g_test_run ();
}
