/* SPDX-License-Identifier: Apache-2.0 */
/* Loading all keys of a configuration: which become one, and what is said. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "sealed.h"

static char *
key_path (const char *name)
{
  return g_build_filename (g_getenv ("TPD_FIXTURES"), "keys", name, NULL);
}

static void
add (TpdKeyConfig *config, const char *name, const char *password)
{
  g_autofree char *path = key_path (name);
  tpd_key_config_add_file (config, path);
  if (password)
    {
      g_autofree char *password_path = key_path (password);
      g_assert_true (tpd_key_config_set_password_file (config, password_path, NULL));
    }
}

static TpdKeyConfig *
config_new (void)
{
  TpdKeyConfig *config = tpd_key_config_new ();
  config->allow_insecure_files = TRUE;
  return config;
}

static GPtrArray *
load (const TpdKeyConfig *config)
{
  g_autoptr (GError) error = NULL;
  GPtrArray *keys = tpd_keys_load (config, &error);
  g_assert_no_error (error);
  return keys;
}

static const TpdLoadedKey *
loaded_at (GPtrArray *keys, guint index)
{
  g_assert_cmpuint (index, <, keys->len);
  return g_ptr_array_index (keys, index);
}

static gboolean
warns (const TpdKeyInfo *info, const char *words)
{
  for (guint i = 0; info->warnings && info->warnings[i]; i++)
    if (strstr (info->warnings[i], words))
      return TRUE;
  return FALSE;
}

#define HSM_GUID "2246dcb9-f2fa-4891-98f5-d667ae063d0e"

static void
assert_joined (const TpdLoadedKey *key)
{
  TpdFingerprint expected;

  sealed_fingerprint ("b32c1e4ef92d7dedad270730bdcf30217d50ca232091e4e7d18884de410ab73d", &expected);
  g_assert_nonnull (key->key);
  g_assert_cmpint (key->info->state, ==, TPD_KEY_HELD);
  g_assert_cmpstr (key->info->guid, ==, HSM_GUID);
  g_assert_cmpstr (key->info->licensor_name, ==, "Contoso Ltd HSM");
  g_assert_true (tpd_fingerprint_equal (&key->info->public_key.fingerprint, &expected));
  g_assert_true (tpd_fingerprint_equal (&tpd_private_key_public (key->key)->fingerprint, &expected));
  g_assert_false (warns (key->info, "no private key"));
}

static void
test_join (void)
{
  for (guint order = 0; order < 2; order++)
    {
      g_autoptr (TpdKeyConfig) config = config_new ();
      if (order == 0)
        add (config, "tpd-hsm-key.pem", NULL);
      add (config, "tpd-hsm-keyless.xml", "tpd-hsm-keyless.password.txt");
      if (order == 1)
        add (config, "tpd-hsm-key.pem", NULL);
      g_autoptr (GPtrArray) keys = load (config);
      g_assert_cmpuint (keys->len, ==, 1);
      assert_joined (loaded_at (keys, 0));
    }
}

static TpdKeyConfig *
config_from_text (const char *text)
{
  TpdKeyConfig *config = config_new ();
  g_autofree char *folder = g_dir_make_tmp ("tpd-keys-load-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "keyring.conf", NULL);
  g_auto (GStrv) halves = g_strsplit (text, "@", -1);
  g_autofree char *fixtures = g_build_filename (g_getenv ("TPD_FIXTURES"), "keys", NULL);
  g_autofree char *full = g_strjoinv (fixtures, halves);
  g_autoptr (GError) error = NULL;

  g_assert_true (g_file_set_contents_full (path, full, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
  tpd_key_config_load (config, path, &error);
  g_assert_no_error (error);
  g_unlink (path);
  g_rmdir (folder);
  return config;
}

static void
test_licensor (void)
{
  g_autoptr (TpdKeyConfig) config = config_from_text ("[hsm]\nfile=@/tpd-hsm-key.pem\nlicensor=@/tpd-hsm-keyless.xml\n"
                                                      "password-file=@/tpd-hsm-keyless.password.txt\n");
  g_autoptr (GPtrArray) keys = load (config);
  g_assert_cmpuint (keys->len, ==, 1);
  assert_joined (loaded_at (keys, 0));
  g_assert_cmpstr (loaded_at (keys, 0)->info->name, ==, "hsm");

  g_autoptr (TpdKeyConfig) other = config_from_text ("[hsm]\nfile=@/tpd-hsm-key.pem\nlicensor=@/tpd-onprem.xml\n"
                                                     "password-file=@/tpd-onprem.password.txt\n");
  g_autoptr (GError) error = NULL;
  g_assert_null (tpd_keys_load (other, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_KEY_MISMATCH);
  g_assert_nonnull (strstr (error->message, "tpd-onprem.xml"));
}

static void
test_keyless (void)
{
  g_autoptr (TpdKeyConfig) config = config_new ();
  add (config, "tpd-hsm-keyless.xml", "tpd-hsm-keyless.password.txt");
  add (config, "tpd-hsm-keyless.xml", "tpd-hsm-keyless.password.txt");
  g_autoptr (GPtrArray) keys = load (config);

  g_assert_cmpuint (keys->len, ==, 1);
  g_assert_null (loaded_at (keys, 0)->key);
  g_assert_cmpint (loaded_at (keys, 0)->info->state, ==, TPD_KEY_KEYLESS);
  g_assert_true (warns (loaded_at (keys, 0)->info, "no private key"));
}

static void
test_duplicate (void)
{
  g_autoptr (TpdKeyConfig) config = config_new ();
  add (config, "tpd-cloud.xml", "tpd-cloud.password.txt");
  add (config, "tpd-onprem.xml", "tpd-onprem.password.txt");
  add (config, "tpd-cloud.xml", "tpd-cloud.password.txt");
  g_autoptr (GPtrArray) keys = load (config);

  g_assert_cmpuint (keys->len, ==, 2);
  g_assert_true (warns (loaded_at (keys, 0)->info, "the same key is also in"));
  g_assert_false (warns (loaded_at (keys, 1)->info, "the same key is also in"));
}

static void
test_same_directory (void)
{
  g_autoptr (TpdKeyConfig) config = config_new ();
  add (config, "tpd-cloud.xml", "tpd-cloud.password.txt");
  g_autoptr (GPtrArray) keys = load (config);
  g_assert_true (warns (loaded_at (keys, 0)->info, "lies in the same directory"));
  g_assert_cmpstr (loaded_at (keys, 0)->info->name, ==, "tpd-cloud.xml");
  g_assert_true (g_str_has_suffix (loaded_at (keys, 0)->info->path, "keys/tpd-cloud.xml"));

  int ends[2];
  g_assert_cmpint (pipe (ends), ==, 0);
  g_assert_cmpint (write (ends[1], "Correct-Horse-7", 15), ==, 15);
  close (ends[1]);
  g_autoptr (TpdKeyConfig) apart = config_new ();
  add (apart, "tpd-cloud.xml", NULL);
  g_assert_true (tpd_key_config_set_password_fd (apart, ends[0], NULL));
  g_autoptr (GPtrArray) again = load (apart);
  g_assert_false (warns (loaded_at (again, 0)->info, "lies in the same directory"));
}

static void
test_errors (void)
{
  static const struct {
    const char *key, *password;
    int code;
    const char *words[2];
  } cases[] = {
    { "tpd-cloud.xml", "tpd-onprem.password.txt", TPD_ERROR_PASSWORD, { "tpd-cloud.xml", "password" } },
    { "absent.xml", "tpd-onprem.password.txt", TPD_ERROR_ERRNO + ENOENT, { "absent.xml", "No such file" } },
    { "tpd-cloud.xml", "absent.txt", TPD_ERROR_ERRNO + ENOENT, { "tpd-cloud.xml", "absent.txt" } },
    { "README.json", NULL, TPD_ERROR_KEY_FILE, { "README.json", "" } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TpdKeyConfig) config = config_new ();
      g_autoptr (GError) error = NULL;
      add (config, "tpd-onprem.xml", "tpd-onprem.password.txt");
      add (config, cases[i].key, cases[i].password);
      g_assert_null (tpd_keys_load (config, &error));
      g_test_message ("%s", error->message);
      g_assert_error (error, TPD_ERROR, cases[i].code);
      g_assert_nonnull (strstr (error->message, cases[i].words[0]));
      g_assert_nonnull (strstr (error->message, cases[i].words[1]));
    }

  g_autoptr (TpdKeyConfig) token = config_from_text ("[hsm]\nuri=pkcs11:object=slc\nmodule=/tmp/own.so\n");
  g_autoptr (GError) error = NULL;
  g_assert_null (tpd_keys_load (token, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
  g_assert_nonnull (strstr (error->message, "hsm: The PKCS#11 module /tmp/own.so is in none of the directories"));
}

/* A key file that others can read, without leave to use it. */
static void
test_insecure (void)
{
  g_autoptr (TpdKeyConfig) config = config_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("tpd-keys-load-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "key.pem", NULL);
  g_autofree char *from = key_path ("tpd-hsm-key.pem");
  g_autofree char *data = NULL;
  gsize len;

  g_assert_true (g_file_get_contents (from, &data, &len, NULL));
  g_assert_true (g_file_set_contents (path, data, (gssize) len, NULL));
  config->allow_insecure_files = FALSE;
  tpd_key_config_add_file (config, path);

  g_chmod (path, 0644);
  g_assert_null (tpd_keys_load (config, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_INSECURE_FILE);
  g_chmod (path, 0600);
  g_autoptr (GPtrArray) keys = load (config);
  g_assert_cmpuint (keys->len, ==, 1);
  g_unlink (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/keys-load/keyless-domain-and-private-key-become-one", test_join);
  g_test_add_func ("/keys-load/licensor-gives-the-certificate", test_licensor);
  g_test_add_func ("/keys-load/keyless-stays-keyless", test_keyless);
  g_test_add_func ("/keys-load/duplicate-is-kept-once-with-a-warning", test_duplicate);
  g_test_add_func ("/keys-load/password-beside-the-key-is-a-warning", test_same_directory);
  g_test_add_func ("/keys-load/errors-name-the-file", test_errors);
  g_test_add_func ("/keys-load/open-to-others-is-refused", test_insecure);
  return g_test_run ();
}
