/* SPDX-License-Identifier: Apache-2.0 */
/* Keyring files, the command line's key options, and the keyring's way
 * through the agent's socket. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "crypto/keys.h"

typedef struct {
  char *folder;
  char *path;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("tpd-keys-XXXXXX", NULL);
  f->path = g_build_filename (f->folder, "keyring.conf", NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_unlink (f->path);
  g_rmdir (f->folder);
  g_free (f->path);
  g_free (f->folder);
}

static void
write_keyring (Fixture *f, const char *text)
{
  g_assert_true (g_file_set_contents_full (f->path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
}

static const TpdKeySpec *
spec_at (const TpdKeyConfig *config, guint index)
{
  g_assert_cmpuint (index, <, config->specs->len);
  return g_ptr_array_index (config->specs, index);
}

static void
test_keyring_words (Fixture *f, gconstpointer data)
{
  g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
  g_autoptr (GError) error = NULL;

  write_keyring (f, "\xef\xbb\xbf# all keys of Contoso\n"
                    "[contoso-2021]\n"
                    "file=/etc/tpdfs/ExportedTPD.xml\n"
                    "password-file = /etc/tpdfs/password.txt\n"
                    "\n"
                    "[contoso old]\n"
                    "file=old/key.pem\n"
                    "licensor=old/keyless.xml\n"
                    "password-fd=7\n"
                    "[asked]\r\n"
                    "file=a\\s#1.xml\r\n"
                    "[unit]\n"
                    "file=k.xml\n"
                    "credential=tpd.pass\n"
                    "[contoso-hsm]\n"
                    "uri=pkcs11:token=rms;object=slc\n"
                    "pin-file=pin\n"
                    "[fabrikam-hsm]\n"
                    "password-file=keyless.txt\n"
                    "licensor=keyless.xml\n"
                    "module=/usr/lib/pkcs11/x.so\n"
                    "uri=pkcs11:id=%01?pin-source=/etc/pin\n");
  g_assert_true (tpd_key_config_load (config, f->path, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (config->specs->len, ==, 6);
  g_assert_true (config->given);

  const TpdKeySpec *spec = spec_at (config, 0);
  g_assert_cmpstr (spec->name, ==, "contoso-2021");
  g_assert_cmpstr (spec->file, ==, "/etc/tpdfs/ExportedTPD.xml");
  g_assert_null (spec->uri);
  g_assert_cmpint (spec->password_kind, ==, TPD_PASSWORD_FILE);
  g_assert_cmpstr (spec->password_source, ==, "/etc/tpdfs/password.txt");

  g_autofree char *file = g_build_filename (f->folder, "old/key.pem", NULL);
  g_autofree char *licensor = g_build_filename (f->folder, "old/keyless.xml", NULL);
  spec = spec_at (config, 1);
  g_assert_cmpstr (spec->name, ==, "contoso old");
  g_assert_cmpstr (spec->file, ==, file);
  g_assert_cmpstr (spec->licensor, ==, licensor);
  g_assert_cmpint (spec->password_kind, ==, TPD_PASSWORD_FD);
  g_assert_cmpint (spec->password_fd, ==, 7);

  g_autofree char *odd = g_build_filename (f->folder, "a #1.xml", NULL);
  g_assert_cmpstr (spec_at (config, 2)->file, ==, odd);
  g_assert_cmpint (spec_at (config, 2)->password_kind, ==, TPD_PASSWORD_PROMPT);

  g_assert_cmpint (spec_at (config, 3)->password_kind, ==, TPD_PASSWORD_CREDENTIAL);
  g_assert_cmpstr (spec_at (config, 3)->password_source, ==, "tpd.pass");

  spec = spec_at (config, 4);
  g_assert_cmpstr (spec->uri, ==, "pkcs11:token=rms;object=slc");
  g_assert_null (spec->file);
  g_assert_null (spec->module);
  g_assert_cmpint (spec->password_kind, ==, TPD_PASSWORD_FILE);

  g_autofree char *keyless_password = g_build_filename (f->folder, "keyless.txt", NULL);
  spec = spec_at (config, 5);
  g_assert_cmpstr (spec->module, ==, "/usr/lib/pkcs11/x.so");
  g_assert_cmpstr (spec->licensor_password_file, ==, keyless_password);
  g_assert_cmpint (spec->password_kind, ==, TPD_PASSWORD_FILE);
  g_assert_cmpstr (spec->password_source, ==, "/etc/pin");
}

/* Each is refused as usage, in a message with these words. */
static const struct {
  const char *text;
  const char *words[3];
} mistakes[] = {
  { "[a]\nfile=x\npasword-file=y\n", { "[a]", "pasword-file", "known word" } },
  { "[a]\nfile=x\nuri=pkcs11:object=k\n", { "[a]", "uri", "exclude" } },
  { "[a]\nfile=x\npassword-file=y\ncredential=z\n", { "[a]", "credential", "second source" } },
  { "[a]\nfile=x\npassword-fd=5\npassword-file=z\n", { "[a]", "password-file", "second source" } },
  { "[a]\npassword-file=y\n", { "[a]", "file", "missing" } },
  { "[a]\n", { "[a]", "file", "missing" } },
  { "[a]\nfile=\n", { "[a]", "file", "no value" } },
  { "[a]\nfile=x\npassword-fd=five\n", { "[a]", "password-fd", "number" } },
  { "[a]\nfile=x\npassword-fd=-1\n", { "[a]", "password-fd", "number" } },
  { "[a]\nfile=x\npassword-fd=5\n[b]\nfile=y\npassword-fd=5\n", { "[b]", "password-fd", "another key" } },
  { "[a]\nfile=x\ncredential=../secret\n", { "[a]", "credential", "not a path" } },
  { "[a]\nfile=x\npin-file=y\n", { "[a]", "pin-file", "password-file" } },
  { "[a]\nuri=pkcs11:object=k\npassword-file=y\n", { "[a]", "password-file", "pin-file" } },
  { "[a]\nuri=file:x\n", { "[a]", "uri", "pkcs11:" } },
  { "[a]\nuri=pkcs11:object=k?pin-value=1\n", { "[a]", "uri", "holds a PIN" } },
  { "[a]\nuri=pkcs11:colour=blue\n", { "[a]", "uri", "colour=, which is not known" } },
  { "[a]\nuri=pkcs11:?pin-source=/p\npin-file=q\n", { "[a]", "pin-file", "second source" } },
  { "[a]\nfile=x\nmodule=/usr/lib/pkcs11/x.so\n", { "[a]", "module", "goes with" } },
  { "[a]\nfile=x\n[b]\nfile=y\n[a]\nfile=z\n", { "[a]", "line 5", "twice" } },
  { "[a]\nfile=x\nfile = y\n", { "[a]", "\"file\"", "twice" } },
  { "[a]\nfile=x   # the old one\n", { "[a]", "file", "comment" } },
  { "[a]\nfile[de]=x\n", { "[a]", "file[de]", "known word" } },
  { "[a]\nfile=x\nset\n", { "keyring.conf", "cannot be understood", "" } },
  { "file=x\n", { "keyring.conf", "cannot be understood", "" } },
};

static void
test_keyring_mistakes (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < G_N_ELEMENTS (mistakes); i++)
    {
      g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
      g_autoptr (GError) error = NULL;

      write_keyring (f, mistakes[i].text);
      g_assert_false (tpd_key_config_load (config, f->path, &error));
      g_test_message ("%s", error->message);
      g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
      g_assert_nonnull (strstr (error->message, f->path));
      for (guint k = 0; k < G_N_ELEMENTS (mistakes[i].words); k++)
        g_assert_nonnull (strstr (error->message, mistakes[i].words[k]));
    }
}

static void
test_keyring_nul (Fixture *f, gconstpointer data)
{
  g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
  g_autoptr (GError) error = NULL;
  static const char text[] = "[a]\nfile=x\n\0[b]\nfile=y\n";

  g_assert_true (g_file_set_contents_full (f->path, text, sizeof text - 1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
  g_assert_false (tpd_key_config_load (config, f->path, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
}

static void
test_keyring_writable (Fixture *f, gconstpointer data)
{
  static const mode_t modes[] = { 0620, 0602, 0666 };

  write_keyring (f, "[a]\nfile=x\n");
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
      g_autoptr (GError) error = NULL;
      g_autofree char *remedy = g_strdup_printf ("chmod go-w '%s'", f->path);

      g_assert_cmpint (g_chmod (f->path, modes[i]), ==, 0);
      g_assert_false (tpd_key_config_load (config, f->path, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_INSECURE_FILE);
      g_assert_nonnull (strstr (error->message, remedy));

      g_clear_error (&error);
      config->allow_insecure_files = TRUE;
      g_assert_true (tpd_key_config_load (config, f->path, &error));
    }

  /* It holds no secret: reading is for everybody. */
  g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
  g_assert_cmpint (g_chmod (f->path, 0644), ==, 0);
  g_assert_true (tpd_key_config_load (config, f->path, NULL));
}

static void
test_keyring_absent (Fixture *f, gconstpointer data)
{
  g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (tpd_key_config_load (config, f->path, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
  g_assert_nonnull (strstr (error->message, f->path));
  g_assert_nonnull (strstr (error->message, g_strerror (ENOENT)));

  g_clear_error (&error);
  g_assert_false (tpd_key_config_load (config, f->folder, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
}

/* The user's own keyring comes before the system's; run in a process of its
 * own because GLib reads XDG_CONFIG_HOME once. */
static void
test_keyring_default (Fixture *f, gconstpointer data)
{
  if (g_test_subprocess ())
    {
      g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
      g_autoptr (GError) error = NULL;
      g_assert_true (tpd_key_config_load_default (config, &error));
      g_assert_false (config->given);
      g_assert_cmpuint (config->specs->len, ==, 1);
      g_assert_cmpstr (spec_at (config, 0)->name, ==, "mine");
      return;
    }
  g_autofree char *folder = g_build_filename (f->folder, "tpdfs", NULL);
  g_autofree char *path = g_build_filename (folder, "keyring.conf", NULL);
  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, "[mine]\nfile=x\n", -1, NULL));
  g_setenv ("XDG_CONFIG_HOME", f->folder, TRUE);
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  g_unsetenv ("XDG_CONFIG_HOME");
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_options (void)
{
  g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (config->given);
  g_assert_false (tpd_key_config_set_password_file (config, "p", &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
  g_clear_error (&error);

  tpd_key_config_add_file (config, "/a/one.xml");
  g_assert_true (config->given);
  g_assert_true (tpd_key_config_set_password_file (config, "p", NULL));
  tpd_key_config_add_file (config, "two.xml");
  g_assert_true (tpd_key_config_set_password_fd (config, 5, NULL));
  g_assert_false (tpd_key_config_set_password_file (config, "q", &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
  g_assert_nonnull (strstr (error->message, "two.xml"));
  g_clear_error (&error);

  tpd_key_config_add_file (config, "three.xml");
  g_assert_false (tpd_key_config_set_password_fd (config, 5, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
  g_clear_error (&error);
  g_assert_false (tpd_key_config_set_password_fd (config, -1, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);

  g_assert_cmpstr (spec_at (config, 0)->name, ==, "one.xml");
  g_assert_cmpstr (spec_at (config, 0)->file, ==, "/a/one.xml");
  g_assert_cmpstr (spec_at (config, 0)->password_source, ==, "p");
  g_assert_cmpint (spec_at (config, 1)->password_fd, ==, 5);
  g_assert_cmpint (spec_at (config, 2)->password_kind, ==, TPD_PASSWORD_PROMPT);
}

/* A password option never reaches over a --keyring to an earlier --key. */
static void
test_options_not_for_keyring (Fixture *f, gconstpointer data)
{
  g_autoptr (TpdKeyConfig) config = tpd_key_config_new ();
  g_autoptr (GError) error = NULL;

  write_keyring (f, "[a]\nfile=x\n");
  tpd_key_config_add_file (config, "one.xml");
  g_assert_true (tpd_key_config_load (config, f->path, NULL));
  g_assert_false (tpd_key_config_set_password_file (config, "p", &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
}

static char **
list (const char *first, const char *second)
{
  const char *const items[] = { first, second, NULL };
  return g_strdupv ((char **) items);
}

static TpdKeyInfo *
sample_key (guint8 seed)
{
  TpdKeyInfo *info = g_new0 (TpdKeyInfo, 1);
  guint8 modulus[256];

  memset (modulus, seed, sizeof modulus);
  modulus[255] |= 1;
  info->state = TPD_KEY_KEYLESS;
  g_assert_true (tpd_public_key_from_be (&info->public_key, modulus, sizeof modulus, 65537));
  info->guid = g_strdup_printf ("04f83314-0efd-4d98-b609-17c4b389b9%02x", seed);
  info->name = g_strdup ("contoso");
  info->path = g_strdup ("/etc/tpdfs/Schl\xc3\xbcssel.xml");
  info->origin = g_strdup ("tpd");
  info->kdf = 1;
  info->licensor_name = g_strdup ("Contoso Ltd");
  info->urls = list ("https://rms.contoso.example/_wmcs", "https://extern.contoso.example/_wmcs");
  info->csp_name = g_strdup ("nCipher Enhanced Cryptographic Provider");
  info->certificates = list ("<XrML>1</XrML>", "<XrML>2</XrML>");
  info->templates = list (NULL, NULL);
  info->warnings = list ("a warning", NULL);
  return info;
}

static TpdKeyring *
sample_keyring (void)
{
  GPtrArray *keys = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_key_info_free);
  g_ptr_array_add (keys, sample_key (0xa1));
  g_ptr_array_add (keys, sample_key (0xb3));
  TpdKeyInfo *bare = g_new0 (TpdKeyInfo, 1);
  guint8 modulus[128];
  memset (modulus, 0xc5, sizeof modulus);
  g_assert_true (tpd_public_key_from_be (&bare->public_key, modulus, sizeof modulus, 3));
  bare->name = g_strdup ("bare");
  bare->path = g_strdup ("k\xff.pem");
  bare->origin = g_strdup ("pem");
  g_ptr_array_add (keys, bare);
  return tpd_keyring_new (keys);
}

static void
test_serialize (void)
{
  g_autoptr (TpdKeyring) keyring = sample_keyring ();
  g_autoptr (GBytes) bytes = tpd_keyring_serialize (keyring);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdKeyring) copy = tpd_keyring_deserialize (bytes, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (copy->keys->len, ==, 3);
  const TpdKeyInfo *first = g_ptr_array_index (copy->keys, 0);
  const TpdKeyInfo *original = g_ptr_array_index (keyring->keys, 0);
  g_assert_cmpint (first->state, ==, TPD_KEY_KEYLESS);
  g_assert_cmpmem (&first->public_key, sizeof first->public_key, &original->public_key, sizeof first->public_key);
  g_assert_cmpstr (first->guid, ==, original->guid);
  g_assert_cmpstr (first->name, ==, "contoso");
  g_assert_cmpstr (first->path, ==, original->path);
  g_assert_cmpstr (first->origin, ==, "tpd");
  g_assert_cmpuint (first->kdf, ==, 1);
  g_assert_cmpstr (first->licensor_name, ==, "Contoso Ltd");
  g_assert_null (first->tenant_id);
  g_assert_cmpstrv (first->urls, original->urls);
  g_assert_cmpstr (first->csp_name, ==, original->csp_name);
  g_assert_null (first->key_container);
  g_assert_cmpstrv (first->certificates, original->certificates);
  g_assert_cmpuint (g_strv_length (first->templates), ==, 0);
  g_assert_cmpstrv (first->warnings, original->warnings);

  const TpdKeyInfo *bare = g_ptr_array_index (copy->keys, 2);
  g_assert_cmpint (bare->state, ==, TPD_KEY_HELD);
  g_assert_null (bare->guid);
  g_assert_nonnull (bare->urls);
  g_assert_cmpuint (bare->public_key.exponent, ==, 3);
  g_assert_true (g_utf8_validate (bare->path, -1, NULL));

  g_assert_true (tpd_keyring_find (copy, &original->public_key.fingerprint) == first);
  g_assert_true (tpd_keyring_find_guid (copy, original->guid) == first);
  g_assert_null (tpd_keyring_find_guid (copy, "00000000-0000-0000-0000-000000000000"));
  TpdFingerprint none = { { 0 } };
  g_assert_null (tpd_keyring_find (copy, &none));
}

static void
test_serialize_none (void)
{
  g_autoptr (TpdKeyring) keyring = tpd_keyring_new (g_ptr_array_new ());
  g_autoptr (GBytes) bytes = tpd_keyring_serialize (keyring);
  g_autoptr (TpdKeyring) copy = tpd_keyring_deserialize (bytes, NULL);

  g_assert_cmpuint (copy->keys->len, ==, 0);
}

/* The order does not matter, nor keys that are known only; which are held does. */
static void
test_held_mark (void)
{
  g_autoptr (TpdKeyring) keyring = sample_keyring ();
  g_autoptr (TpdKeyring) empty = tpd_keyring_new (g_ptr_array_new ());
  GPtrArray *keys = keyring->keys;
  const guint64 mark = tpd_keyring_held_mark (keyring);
  guint n_held = 0;

  g_assert_cmpuint (tpd_keyring_held_mark (empty), !=, 0);
  g_assert_cmphex (mark, !=, tpd_keyring_held_mark (empty));
  for (guint i = 0; i < keys->len; i++)
    {
      TpdKeyInfo *info = keys->pdata[i];
      const TpdKeyState state = info->state;

      info->state = TPD_KEY_KEYLESS;
      if (state == TPD_KEY_HELD)
        g_assert_cmphex (tpd_keyring_held_mark (keyring), !=, mark);
      else
        g_assert_cmphex (tpd_keyring_held_mark (keyring), ==, mark);
      n_held += state == TPD_KEY_HELD;
      info->state = state;
    }
  g_assert_cmpuint (n_held, >, 0);
  gpointer first = keys->pdata[0];
  keys->pdata[0] = keys->pdata[keys->len - 1];
  keys->pdata[keys->len - 1] = first;
  g_assert_cmphex (tpd_keyring_held_mark (keyring), ==, mark);
}

/* Every cut, and every byte changed: refused or a keyring whose keys are
 * consistent, never anything else. */
static void
test_deserialize_hostile (void)
{
  g_autoptr (TpdKeyring) keyring = sample_keyring ();
  g_autoptr (GBytes) bytes = tpd_keyring_serialize (keyring);
  gsize len;
  const guint8 *data = g_bytes_get_data (bytes, &len);

  for (gsize cut = 1; cut < len; cut++)
    {
      g_autoptr (GBytes) part = g_bytes_new (data, cut);
      g_autoptr (TpdKeyring) copy = tpd_keyring_deserialize (part, NULL);
      g_assert_true (copy == NULL || copy->keys->len < 3);
    }
  guint refused = 0;
  for (gsize at = 0; at < len; at++)
    {
      g_autofree guint8 *changed = g_memdup2 (data, len);
      changed[at] ^= 0x80;
      g_autoptr (GBytes) hostile = g_bytes_new_take (g_steal_pointer (&changed), len);
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdKeyring) copy = tpd_keyring_deserialize (hostile, &error);
      if (!copy)
        {
          g_assert_error (error, TPD_ERROR, TPD_ERROR_AGENT);
          refused++;
          continue;
        }
      for (guint i = 0; i < copy->keys->len; i++)
        {
          const TpdKeyInfo *info = g_ptr_array_index (copy->keys, i);
          TpdPublicKey again;
          g_assert_true (tpd_public_key_from_be (&again, info->public_key.modulus, info->public_key.len,
                                                 info->public_key.exponent));
          g_assert_true (tpd_fingerprint_equal (&again.fingerprint, &info->public_key.fingerprint));
          g_assert_nonnull (info->urls);
          g_assert_true (g_utf8_validate (info->name, -1, NULL));
        }
    }
  /* Text is most of it, and its bytes above 0x7f are no UTF-8. */
  g_assert_cmpuint (refused, >, len / 4);
}

/* What is well-formed GVariant and still wrong. */
static void
test_deserialize_nonsense (void)
{
  static const char *const wrong[] = {
    /* state, even modulus, short modulus, GUID in braces, derivation */
    "[(7, %s, 65537, nothing, 'n', 'p', 'tpd', 0, nothing, nothing, [], nothing, nothing, [], [], [])]",
    "[(0, [byte 1, 2], 65537, nothing, 'n', 'p', 'tpd', 0, nothing, nothing, [], nothing, nothing, [], [], [])]",
    "[(0, [], 65537, nothing, 'n', 'p', 'tpd', 0, nothing, nothing, [], nothing, nothing, [], [], [])]",
    "[(0, %s, 65537, '{04f83314-0efd-4d98-b609-17c4b389b980}', 'n', 'p', 'tpd', 0, nothing, nothing, [], nothing, "
    "nothing, [], [], [])]",
    "[(0, %s, 65537, nothing, 'n', 'p', 'tpd', 3, nothing, nothing, [], nothing, nothing, [], [], [])]",
  };
  GString *modulus = g_string_new ("[byte 0xc5");
  for (guint i = 1; i < 128; i++)
    g_string_append (modulus, ", 0xc5");
  g_string_append_c (modulus, ']');

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      g_auto (GStrv) halves = g_strsplit (wrong[i], "%s", 2);
      g_autofree char *text = g_strjoinv (modulus->str, halves);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) variant =
          g_variant_parse (G_VARIANT_TYPE ("a(uayumssssumsmsasmsmsasasas)"), text, NULL, NULL, &error);
      g_assert_no_error (error);
      g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (variant);
      g_autoptr (TpdKeyring) keyring = tpd_keyring_deserialize (bytes, &error);
      g_assert_null (keyring);
      g_assert_error (error, TPD_ERROR, TPD_ERROR_AGENT);
    }
  g_string_free (modulus, TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, test) g_test_add (path, Fixture, NULL, set_up, test, tear_down)
  ADD ("/keyring-file/all-words", test_keyring_words);
  ADD ("/keyring-file/mistakes-name-file-group-and-word", test_keyring_mistakes);
  ADD ("/keyring-file/nul-is-refused", test_keyring_nul);
  ADD ("/keyring-file/writable-by-others-is-refused-with-the-remedy", test_keyring_writable);
  ADD ("/keyring-file/named-one-must-exist", test_keyring_absent);
  ADD ("/keyring-file/default-is-the-users-own", test_keyring_default);
  g_test_add_func ("/key-options/password-applies-to-the-last-key", test_options);
  ADD ("/key-options/password-never-applies-across-a-keyring", test_options_not_for_keyring);
  g_test_add_func ("/keyring/serialize-round-trip", test_serialize);
  g_test_add_func ("/keyring/serialize-no-keys", test_serialize_none);
  g_test_add_func ("/keyring/held-mark", test_held_mark);
  g_test_add_func ("/keyring/deserialize-hostile-bytes", test_deserialize_hostile);
  g_test_add_func ("/keyring/deserialize-nonsense", test_deserialize_nonsense);
  return g_test_run ();
}
