/* SPDX-License-Identifier: Apache-2.0 */
/* What needs the content key: unwrapping through a license, and its rights. */
#include <glib/gstdio.h>
#include <string.h>

#include "base/error.h"
#include "helper.h"
#include "license/rights.h"

/* 2026-01-01T00:00Z: after the fixtures' expired content, before the rest. */
#define NOW 1767225600

static FixtureKeys keys;

static gboolean
is_sealed (JsonObject *entry)
{
  return strcmp (json_word (entry, "kind"), "pfile") == 0 && json_object_has_member (entry, "licence")
         && !json_object_get_null_member (entry, "licence") && strstr (json_word (entry, "path"), "doctype") == NULL;
}

static void
assert_rights (JsonArray *expected, GPtrArray *entries)
{
  g_assert_cmpuint (entries->len, ==, json_array_get_length (expected));
  for (guint i = 0; i < entries->len; i++)
    {
      const TpdRightsEntry *entry = g_ptr_array_index (entries, i);
      JsonObject *wanted = json_array_get_object_element (expected, i);
      JsonArray *words = json_object_get_array_member (wanted, "rights");

      g_assert_cmpstr (entry->principal, ==, json_word (wanted, "principal"));
      g_assert_cmpstr (entry->until, ==, json_object_get_string_member_with_default (wanted, "until", NULL));
      g_assert_cmpuint (g_strv_length (entry->rights), ==, json_array_get_length (words));
      for (guint k = 0; entry->rights[k] != NULL; k++)
        g_assert_cmpstr (entry->rights[k], ==, json_array_get_string_element (words, k));
    }
}

static void
assert_opens (JsonObject *entry, const TpdLicense *license)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdContentKey) key =
      tpd_license_unwrap (license, keys.keyring, keys.unwrapper, TPD_PURPOSE_READ, NULL, &error);
  g_autoptr (TpdRights) rights = NULL;
  gboolean from_template = json_object_get_boolean_member (entry, "from_template");

  g_assert_no_error (error);
  g_assert_cmpuint (key->key->len, ==, (gsize) json_object_get_int_member (entry, "key_bytes"));
  rights = tpd_rights_decode (license, key, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (rights->cipher, ==, "ecb");
  g_assert_cmpint (rights->official, ==, from_template);
  g_assert_cmpstr (rights->template_guid, ==, from_template ? json_word (entry, "policy_id") : NULL);
  if (!from_template)
    g_assert_cmpstr (rights->owner, ==, json_word (entry, "owner"));
  else
    g_assert_cmpuint (rights->names->len, ==, license->names->len);
  assert_rights (json_object_get_array_member (entry, "rights"), rights->entries);
  g_assert_cmpint (tpd_time_passed (rights->expires, NOW), ==, strcmp (json_word (entry, "warn"), "expired") == 0);
}

static void
assert_error_as_manifest (JsonObject *entry, const TpdLicense *license)
{
  const char *path = json_word (entry, "path");
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdContentKey) key =
      tpd_license_unwrap (license, keys.keyring, keys.unwrapper, TPD_PURPOSE_READ, NULL, &error);

  g_assert_null (key);
  if (strstr (path, "double key") != NULL)
    g_assert_error (error, TPD_ERROR, TPD_ERROR_DOUBLE_KEY);
  else if (strcmp (json_word (entry, "error"), "no-key") == 0)
    {
      g_assert_error (error, TPD_ERROR, TPD_ERROR_NO_KEY);
      g_assert_nonnull (strstr (error->message, json_word (entry, "key_guid")));
      g_assert_nonnull (strstr (error->message, json_word (entry, "key_fingerprint")));
      g_assert_cmpint (strstr (error->message, "same GUID") != NULL, ==,
                       strcmp (json_word (entry, "key_role"), "stray") == 0);
    }
  else
    {
      g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
      g_assert_nonnull (strstr (error->message, "does not open with key"));
      g_assert_nonnull (strstr (error->message, json_word (entry, "key_guid")));
    }
}

/* Damage of the container behind the license does not concern the license. */
static gboolean
is_sealed_key_damaged (JsonObject *entry)
{
  const char *path = json_word (entry, "path");
  return strstr (path, "sealed key damaged") != NULL || strstr (path, "enabling header damaged") != NULL;
}

static void
test_every_license_opens_as_the_manifest_says (void)
{
  JsonArray *files = fixture_files ();
  guint opened = 0, refused = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (TpdLicense) license = NULL;
      const char *class;

      if (!is_sealed (entry))
        continue;
      g_test_message ("%s", json_word (entry, "path"));
      bytes = fixture_license (entry);
      license = parse_good (bytes, json_word (entry, "path"));
      class = json_word (entry, "error");
      if (strcmp (class, "no-key") == 0 || is_sealed_key_damaged (entry)
          || strstr (json_word (entry, "path"), "double key") != NULL)
        {
          assert_error_as_manifest (entry, license);
          refused++;
        }
      else
        {
          assert_opens (entry, license);
          opened++;
        }
    }
  g_assert_cmpuint (opened, ==, 66);
  g_assert_cmpuint (refused, ==, 7);
}

static void
test_templates_of_the_keys (void)
{
  const TpdKeyInfo *cloud = tpd_keyring_find_guid (keys.keyring, "04f83314-0efd-4d98-b609-17c4b389b980");
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdTemplate) template = NULL;
  const TpdDescriptorName *name;

  /* As keys/README.json lists them. */
  g_assert_cmpuint (g_strv_length (cloud->templates), ==, 3);
  template = tpd_template_parse (cloud->templates[2], &error);
  g_assert_no_error (error);
  g_assert_cmpstr (template->guid, ==, "e2956fed-2b88-4fda-bcc8-f358b4b88251");
  g_assert_cmpuint (template->names->len, ==, 2);
  name = g_ptr_array_index (template->names, 0);
  g_assert_cmpuint (name->lcid, ==, 1033);
  g_assert_cmpstr (name->name, ==, "Board; Minutes: 2023");
}

static void
test_trace_is_handed_on (void)
{
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (TpdLicense) license = NULL;
      g_autoptr (TpdContentKey) key = NULL;
      g_autoptr (GError) error = NULL;
      g_autofree char *trace = NULL;

      if (strstr (json_word (entry, "path"), "sealed key damaged") == NULL)
        continue;
      bytes = fixture_license (entry);
      license = parse_good (bytes, "sealed key damaged");
      key = tpd_license_unwrap (license, keys.keyring, keys.unwrapper, TPD_PURPOSE_TRACE, &trace, &error);
      g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
      g_assert_nonnull (trace);
      return;
    }
  g_assert_not_reached ();
}

static void
stub_unwrap (TpdUnwrapper *self, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  reply->status = TPD_UNWRAP_UNAVAILABLE;
}

static void
stub_free (TpdUnwrapper *self)
{
  g_free (self);
}

static void
test_missing_agent_is_told_apart_from_damage (void)
{
  static const TpdUnwrapperClass klass = { .unwrap = stub_unwrap, .free = stub_free };
  g_autoptr (TpdUnwrapper) stub = g_new0 (TpdUnwrapper, 1);
  g_autoptr (GBytes) bytes = fixture_license (json_array_get_object_element (fixture_files (), 7));
  g_autoptr (TpdLicense) license = parse_good (bytes, "first pfile");
  g_autoptr (GError) error = NULL;

  stub->klass = &klass;
  stub->ref_count = 1;
  g_assert_null (tpd_license_unwrap (license, keys.keyring, stub, TPD_PURPOSE_READ, NULL, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_AGENT);
}

/* --- Rights data of other forms --------------------------------------- */

static const guint8 test_key[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

#define POLICY(inside)                                                                                              \
  "<XrML><BODY type=\"Microsoft Rights Template\"><WORK><METADATA><OWNER><OBJECT><NAME>o@x</NAME></OBJECT></OWNER>" \
  "</METADATA>" inside "</WORK></BODY></XrML>"
#define GROUP(inside) "<RIGHTSGROUP><RIGHTSLIST>" inside "</RIGHTSLIST></RIGHTSGROUP>"
#define USER(name) \
  "<ACCESS><PRINCIPAL><OBJECT><ID type=\"Unspecified\"/><NAME>" name "</NAME></OBJECT></PRINCIPAL></ACCESS>"
#define UNTIL(time) "<TIME><RANGETIME><UNTIL>" time "</UNTIL></RANGETIME></TIME>"

typedef enum {
  FORM_ECB,
  FORM_CBC,
  FORM_CBC4K,
} ErdForm;

/* Encrypts with the openssl tool, an implementation that is not ours. */
static guint8 *
openssl_encrypt (const guint8 *plain, gsize len, const char *cipher, const char *iv, gsize *out_len)
{
  g_autofree char *folder = g_dir_make_tmp ("test-rights-XXXXXX", NULL);
  g_autofree char *in = g_build_filename (folder, "in", NULL), *out = g_build_filename (folder, "out", NULL);
  const char *argv[] = { "openssl", "enc",  cipher, "-K",     "000102030405060708090a0b0c0d0e0f", "-in",
                         in,        "-out", out,    "-nopad", iv == NULL ? NULL : "-iv",          iv,
                         NULL };
  g_autoptr (GError) error = NULL;
  char *data;
  int status;

  g_file_set_contents (in, (const char *) plain, (gssize) len, &error);
  g_assert_no_error (error);
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, 0);
  g_file_get_contents (out, &data, out_len, &error);
  g_assert_no_error (error);
  g_unlink (in);
  g_unlink (out);
  g_rmdir (folder);
  return (guint8 *) data;
}

static TpdRights *
decode (const char *policy, ErdForm form, GError **error)
{
  TpdLicense license = { 0 };
  g_autoptr (TpdContentKey) key = g_new0 (TpdContentKey, 1);
  g_autofree guint8 *wide = NULL;
  TpdRights *rights;
  gsize len, padded;

  wide = (guint8 *) g_convert (policy, -1, "UTF-16LE", "UTF-8", NULL, &len, NULL);
  padded = form == FORM_ECB ? (len + 15) / 16 * 16 : (len / 16 + 1) * 16;
  wide = g_realloc (wide, padded);
  memset (wide + len, form == FORM_ECB ? 0 : (int) (padded - len), padded - len);
  /* IV of segment 0: AES-ECB (key, 0), from the table of published values. */
  license.erd = openssl_encrypt (wide, padded, form == FORM_ECB ? "-aes-128-ecb" : "-aes-128-cbc",
                                 form == FORM_ECB   ? NULL
                                 : form == FORM_CBC ? "00000000000000000000000000000000"
                                                    : "c6a13b37878f5b826f4f8162a1c8d879",
                                 &license.erd_len);
  key->key = tpd_secret_new (test_key, sizeof test_key);
  key->ref_count = 1;
  rights = tpd_rights_decode (&license, key, error);
  g_free (license.erd);
  return rights;
}

static TpdRights *
decode_ok (const char *policy, ErdForm form)
{
  g_autoptr (GError) error = NULL;
  TpdRights *rights = decode (policy, form, &error);

  g_assert_no_error (error);
  return rights;
}

static void
test_cbc_is_tried_after_ecb (void)
{
  static const struct {
    ErdForm form;
    const char *cipher;
  } cases[] = { { FORM_ECB, "ecb" }, { FORM_CBC, "cbc" }, { FORM_CBC4K, "cbc4k" } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TpdRights) rights = decode_ok (POLICY (GROUP ("<VIEW>" USER ("a@x") "</VIEW>")), cases[i].form);

      g_assert_cmpstr (rights->cipher, ==, cases[i].cipher);
      g_assert_cmpuint (rights->entries->len, ==, 1);
      g_assert_cmpstr (rights->owner, ==, "o@x");
    }
}

static const TpdRightsEntry *
entry_at (const TpdRights *rights, guint i, const char *principal, const char *until, const char *words)
{
  const TpdRightsEntry *entry;
  g_autofree char *joined = NULL;

  g_assert_cmpuint (i, <, rights->entries->len);
  entry = g_ptr_array_index (rights->entries, i);
  joined = g_strjoinv (" ", entry->rights);
  g_assert_cmpstr (entry->principal, ==, principal);
  g_assert_cmpstr (entry->until, ==, until);
  g_assert_cmpstr (joined, ==, words);
  return entry;
}

static void
test_rights_are_grouped_by_principal (void)
{
  g_autoptr (TpdRights) rights = decode_ok (
      POLICY (GROUP (
          "<RIGHT name = \"owner\"><CONDITIONLIST><ACCESS><PRINCIPAL><OBJECT><ID type=\"Internal\">Owner</ID>"
          "<NAME>forged@x</NAME></OBJECT></PRINCIPAL></ACCESS></CONDITIONLIST></RIGHT>"
          "<VIEW><CONDITIONLIST>" USER ("a@x")
              USER ("b@x") "</CONDITIONLIST></VIEW>"
                           "<VIEW><CONDITIONLIST>" USER (
                               "a@x") "</CONDITIONLIST></VIEW>"
                                      "<PRINT><CONDITIONLIST>" UNTIL ("2031-01-01T00:00") UNTIL ("2030-01-01T00:00")
                                          USER ("a@x") "</CONDITIONLIST></PRINT>"
                                                       "<EDIT>" USER ("a@x") "</EDIT><EXTRACT/><COPY><OTHER>" USER (
                                                           "c@x") "</OTHER></COPY>"
                                                                  "<VIEW><ACCESS><PRINCIPAL><OBJECT><ID "
                                                                  "type=\"Windows\">S-1-5-32</ID></OBJECT></"
                                                                  "PRINCIPAL></ACCESS></VIEW>"
                                                                  "<RIGHT>" USER ("d@x") "</RIGHT>")),
      FORM_ECB);
  const TpdRightsEntry *entry;

  entry = entry_at (rights, 0, "Owner", NULL, "OWNER");
  g_assert_cmpstr (entry->principal_type, ==, "Internal");
  entry = entry_at (rights, 1, "a@x", NULL, "VIEW EDIT");
  g_assert_cmpstr (entry->principal_type, ==, "Unspecified");
  entry_at (rights, 2, "b@x", NULL, "VIEW");
  entry_at (rights, 3, "a@x", "2030-01-01T00:00", "PRINT");
  entry_at (rights, 4, "S-1-5-32", NULL, "VIEW");
  g_assert_cmpuint (rights->entries->len, ==, 5);
}

static void
test_expiry (void)
{
  static const struct {
    const char *policy, *expires;
  } cases[] = {
    { POLICY (""), NULL },
    { POLICY ("<PRECONDITIONLIST>" UNTIL ("2025-05-05T05:05") "</PRECONDITIONLIST>"), "2025-05-05T05:05" },
    /* The life of a use license, not of the content. */
    { POLICY ("<PRECONDITIONLIST><TIME><INTERVALTIME days=\"2\"/></TIME></PRECONDITIONLIST>"), NULL },
    { POLICY ("<PRECONDITIONLIST>" UNTIL ("2025-05-05T05:05") "</PRECONDITIONLIST><PRECONDITIONLIST>" UNTIL (
          "never") "</PRECONDITIONLIST>"),
      "never" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TpdRights) rights = decode_ok (cases[i].policy, FORM_ECB);
      g_assert_cmpstr (rights->expires, ==, cases[i].expires);
    }
}

static void
test_stored_times (void)
{
  /* 2026-01-01T00:00Z is NOW. */
  g_assert_false (tpd_time_passed (NULL, NOW));
  g_assert_false (tpd_time_passed ("2026-01-01T00:00", NOW));
  g_assert_true (tpd_time_passed ("2025-12-31T23:59", NOW));
  g_assert_false (tpd_time_passed ("2026-01-01T00:01", NOW));
  g_assert_true (tpd_time_passed ("2025-12-31T23:59:59Z", NOW));
  g_assert_false (tpd_time_passed ("2258-03-03T21:33", NOW));
  /* What cannot be read counts as passed. */
  g_assert_true (tpd_time_passed ("", NOW));
  g_assert_true (tpd_time_passed ("2027-02-30T00:00", NOW));
  g_assert_true (tpd_time_passed ("2027-01-01", NOW));
  g_assert_true (tpd_time_passed ("2027-01-01T00:00+09", NOW));
}

static void
test_no_rights_data (void)
{
  static guint8 noise[48] = { 1, 2, 3 };
  TpdLicense license = { 0 };
  g_autoptr (TpdContentKey) key = g_new0 (TpdContentKey, 1);
  g_autoptr (GError) error = NULL;

  key->key = tpd_secret_new (test_key, sizeof test_key);
  key->ref_count = 1;
  g_assert_null (tpd_rights_decode (&license, key, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_NOT_PROTECTED);
  g_clear_error (&error);
  license.erd = noise;
  license.erd_len = 48;
  g_assert_null (tpd_rights_decode (&license, key, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
  g_clear_error (&error);
  license.erd_len = 40;
  g_assert_null (tpd_rights_decode (&license, key, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
}

static void
test_what_is_no_policy_is_damaged (void)
{
  static const char *const texts[] = { "<XrML><BODY type=\"LICENSE\"></BODY></XrML>", "<!DOCTYPE a>" POLICY (""),
                                       "<a/>", POLICY ("<WORK>") };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (decode (texts[i], FORM_ECB, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
    }
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  tpd_secret_init (64 * 1024);
  fixture_keys_load (&keys);
  g_test_add_func ("/rights/every-license-opens-as-the-manifest-says", test_every_license_opens_as_the_manifest_says);
  g_test_add_func ("/rights/templates-of-the-keys", test_templates_of_the_keys);
  g_test_add_func ("/rights/trace-is-handed-on", test_trace_is_handed_on);
  g_test_add_func ("/rights/missing-agent-is-told-apart-from-damage", test_missing_agent_is_told_apart_from_damage);
  g_test_add_func ("/rights/cbc-is-tried-after-ecb", test_cbc_is_tried_after_ecb);
  g_test_add_func ("/rights/are-grouped-by-principal", test_rights_are_grouped_by_principal);
  g_test_add_func ("/rights/expiry", test_expiry);
  g_test_add_func ("/rights/stored-times", test_stored_times);
  g_test_add_func ("/rights/no-rights-data", test_no_rights_data);
  g_test_add_func ("/rights/what-is-no-policy-is-damaged", test_what_is_no_policy_is_damaged);
  status = g_test_run ();
  fixture_keys_clear (&keys);
  return status;
}
