/* SPDX-License-Identifier: Apache-2.0 */
/* PKCS#11 without a token: URIs, which modules may be loaded, the messages
 * between agent and helper. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "crypto/pkcs11_module.h"
#include "crypto/pkcs11_uri.h"
#include "crypto/pkcs11_wire.h"

/* --- URIs ---------------------------------------------------------------- */

static void
test_uri_attributes (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdPkcs11Uri) uri =
      tpd_pkcs11_uri_parse ("pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil;serial=42;"
                            "model=1.0;object=caf%c3%a9;type=private;id=%00%01%fF;slot-id=327;slot-description=a;"
                            "slot-manufacturer=b?module-path=/usr/lib/pkcs11/x.so&pin-source=file:/etc/pin",
                            &error);

  g_assert_no_error (error);
  g_assert_cmpstr (uri->token, ==, "The Software PKCS#11 Softtoken");
  g_assert_cmpstr (uri->manufacturer, ==, "Snake Oil");
  g_assert_cmpstr (uri->serial, ==, "42");
  g_assert_cmpstr (uri->model, ==, "1.0");
  g_assert_cmpstr (uri->object, ==, "caf\xc3\xa9");
  g_assert_cmpmem (g_bytes_get_data (uri->id, NULL), g_bytes_get_size (uri->id), "\x00\x01\xff", 3);
  g_assert_cmpint (uri->slot_id, ==, 327);
  g_assert_cmpstr (uri->slot_description, ==, "a");
  g_assert_cmpstr (uri->slot_manufacturer, ==, "b");
  g_assert_cmpstr (uri->module_path, ==, "/usr/lib/pkcs11/x.so");
  g_assert_cmpstr (uri->pin_file, ==, "/etc/pin");
}

static void
test_uri_little (void)
{
  static const char *const texts[] = { "pkcs11:", "PKCS11:", "pkcs11:?", "pkcs11:;" };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdPkcs11Uri) uri = tpd_pkcs11_uri_parse (texts[i], &error);
      g_assert_no_error (error);
      g_assert_null (uri->token);
      g_assert_null (uri->id);
      g_assert_cmpint (uri->slot_id, ==, -1);
    }
  g_autoptr (TpdPkcs11Uri) file = tpd_pkcs11_uri_parse ("pkcs11:?pin-source=file:///etc/pin", NULL);
  g_assert_cmpstr (file->pin_file, ==, "/etc/pin");
  g_autofree char *shown = tpd_pkcs11_uri_display ("pkcs11:token=rms;object=slc?module-path=/x&pin-source=/y");
  g_assert_cmpstr (shown, ==, "pkcs11:token=rms;object=slc");
}

static void
test_uri_refused (void)
{
  static const struct {
    const char *text, *words;
  } cases[] = {
    { "pkcs12:token=a", "must begin with pkcs11:" },
    { "pkcs11:token=a?pin-value=1234", "holds a PIN" },
    { "pkcs11:pin-value=1234", "pin-value=, which is not known" },
    { "pkcs11:token=a;token=b", "token= twice" },
    { "pkcs11:color=blue", "color=, which is not known" },
    { "pkcs11:library-version=3", "library-version=, which is not known" },
    { "pkcs11:?token=a", "token=, which is not known" },
    { "pkcs11:module-path=/x", "module-path=, which is not known" },
    { "pkcs11:token", "\"token\", which has no value" },
    { "pkcs11:token=", "token= without a value" },
    { "pkcs11:id=", "id= without a value" },
    { "pkcs11:token=%2", "wrongly encoded" },
    { "pkcs11:token=%", "wrongly encoded" },
    { "pkcs11:token=%g0", "wrongly encoded" },
    { "pkcs11:token=%ff", "not UTF-8" },
    { "pkcs11:token=a%00b", "not UTF-8" },
    { "pkcs11:type=public", "private key is needed" },
    { "pkcs11:type=privatekey", "private key is needed" },
    { "pkcs11:slot-id=x", "decimal number" },
    { "pkcs11:slot-id=-1", "decimal number" },
    { "pkcs11:slot-id=99999999999", "decimal number" },
    { "pkcs11:?pin-source=%7Ccat%20/etc/pin", "absolute path of a file" },
    { "pkcs11:?pin-source=pin", "absolute path of a file" },
    { "pkcs11:?pin-source=https://host/pin", "absolute path of a file" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_assert_null (tpd_pkcs11_uri_parse (cases[i].text, &error));
      g_test_message ("%s %s", cases[i].text, error->message);
      g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
      g_assert_nonnull (strstr (error->message, cases[i].words));
      /* No PIN in a message. */
      g_assert_null (strstr (error->message, "1234"));
    }
  for (gsize len = 1000; len < 6000; len += 4999 - 1000)
    {
      g_autofree char *value = g_strnfill (len, 'a');
      g_autofree char *text = g_strconcat ("pkcs11:token=", value, NULL);
      g_autoptr (TpdPkcs11Uri) uri = tpd_pkcs11_uri_parse (text, NULL);
      g_assert_true ((uri != NULL) == (len == 1000));
    }
}

/* --- Modules ------------------------------------------------------------- */

static void
test_module_folders (void)
{
  static const char *const good[] = { "/usr/lib/pkcs11",
                                      "/usr/lib64/pkcs11",
                                      "/usr/lib/x86_64-linux-gnu/pkcs11",
                                      "/usr/lib/softhsm",
                                      "/usr/lib/aarch64-linux-gnu/softhsm",
                                      "/usr/local/lib/pkcs11",
                                      "/usr/local/lib64/softhsm",
                                      "/opt/nfast/toolkits/pkcs11" };
  static const char *const bad[] = { "/usr/lib",
                                     "/usr/lib/x86_64-linux-gnu",
                                     "/tmp/pkcs11",
                                     "/usr/lib/a/b/pkcs11",
                                     "/home/x/usr/lib/pkcs11",
                                     "/usr/lib/pkcs11/sub",
                                     "/usr/share/pkcs11",
                                     "/opt/nfast/toolkits/pkcs11/x",
                                     "/opt/other/toolkits/pkcs11",
                                     "usr/lib/pkcs11",
                                     "" };

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_true (tpd_pkcs11_module_folder (good[i]));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (tpd_pkcs11_module_folder (bad[i]));
}

static void
test_module_refused (void)
{
  static const char *const paths[] = {
    "/tmp/own.so",
    "own.so",
    "/usr/lib/pkcs11/../../../tmp/own.so",
    "/usr/lib/../../tmp/pkcs11/own.so",
    "/usr/lib/pkcs11/./own.so",
    "/usr/lib//pkcs11/own.so",
    "/usr/lib/libc.so.6",
  };

  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    {
      g_autoptr (GError) error = NULL;
      g_assert_null (tpd_pkcs11_module_find (paths[i], &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
      g_assert_nonnull (strstr (error->message, paths[i]));
      g_assert_nonnull (strstr (error->message, "directories that modules are loaded from"));
    }
  g_autoptr (GError) error = NULL;
  g_assert_null (tpd_pkcs11_module_find ("/usr/lib/pkcs11/there-is-none.so", &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
  g_assert_nonnull (strstr (error->message, "No such file"));
}

/* In a directory for modules, but others can change it. */
static void
test_module_of_others (void)
{
  static const char folder[] = "/usr/local/lib/pkcs11";
  g_autofree char *path = g_strdup_printf ("%s/tpdfs-test-%d.so", folder, (int) getpid ());
  gboolean made = g_mkdir (folder, 0755) == 0;
  g_autoptr (GError) error = NULL;

  if (geteuid () != 0 || !g_file_set_contents (path, "x", 1, NULL))
    {
      g_test_skip ("only root can put a file there");
      return;
    }
  g_chmod (path, 0664);
  char *found = tpd_pkcs11_module_find (path, &error);
  g_chmod (path, 0644);
  g_autofree char *mended = tpd_pkcs11_module_find (path, NULL);
  g_assert_cmpint (chown (path, 65534, 0), ==, 0);
  char *owned = tpd_pkcs11_module_find (path, NULL);
  g_unlink (path);
  if (made)
    g_rmdir (folder);
  g_assert_null (found);
  g_assert_null (owned);
  g_assert_error (error, TPD_ERROR, TPD_ERROR_USAGE);
  g_assert_nonnull (strstr (error->message, "belong to root"));
  g_assert_cmpstr (mended, ==, path);
}

static void
test_module_that_is_none (void)
{
  g_autoptr (GError) absent = NULL, other = NULL;

  g_assert_null (tpd_pkcs11_module_load ("/usr/lib/pkcs11/there-is-none.so", &absent));
  g_assert_error (absent, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE);
  g_assert_null (tpd_pkcs11_module_load ("libc.so.6", &other));
  g_assert_error (other, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE);
  g_assert_nonnull (strstr (other->message, "no PKCS#11 module"));
}

static void
test_words (void)
{
  static const CK_RV pins[] = { CKR_PIN_INCORRECT, CKR_PIN_LOCKED, CKR_PIN_EXPIRED, CKR_USER_PIN_NOT_INITIALIZED };

  for (guint i = 0; i < G_N_ELEMENTS (pins); i++)
    g_assert_cmpint (tpd_pkcs11_error_code (pins[i]), ==, TPD_ERROR_PASSWORD);
  g_assert_cmpint (tpd_pkcs11_error_code (CKR_MECHANISM_INVALID), ==, TPD_ERROR_KEY_UNUSABLE);
  g_autofree char *unknown = tpd_pkcs11_words (0x80000123);
  g_assert_nonnull (strstr (unknown, "0x80000123"));
}

/* --- Messages -------------------------------------------------------------- */

static void
public_key (TpdPublicKey *out)
{
  guint8 modulus[256];

  memset (modulus, 0xc5, sizeof modulus);
  g_assert_true (tpd_public_key_from_be (out, modulus, sizeof modulus, 65537));
}

static void
test_wire_lanes (void)
{
  guint8 block[256], message[TPD_TOKEN_REQUEST_MAX + TPD_TOKEN_REPLY_MAX];
  const TpdTokenRequest request = { 0x1122334455667788, TPD_TOKEN_RAW, TRUE, block, sizeof block };
  TpdTokenRequest back;
  TpdTokenReply reply_back;

  memset (block, 0x42, sizeof block);
  gsize len = tpd_token_request_write (&request, message);
  g_assert_true (tpd_token_request_read (message, len, &back));
  g_assert_true (back.id == request.id && back.mechanism == TPD_TOKEN_RAW && back.reopen);
  g_assert_cmpmem (back.block, back.len, block, sizeof block);
  for (gsize cut = 0; cut < len; cut++)
    g_assert_false (tpd_token_request_read (message, cut, &back));
  g_assert_false (tpd_token_request_read (message, len + 1, &back));
  static const gsize at[] = { 8, 9, 10, 11 };
  for (guint i = 0; i < G_N_ELEMENTS (at); i++)
    {
      guint8 byte = message[at[i]];
      message[at[i]] = 0xff;
      g_assert_false (tpd_token_request_read (message, len, &back));
      message[at[i]] = byte;
    }

  const TpdTokenReply reply = { 7, (guint32) CKR_DEVICE_REMOVED, block, 20 };
  len = tpd_token_reply_write (&reply, message);
  g_assert_true (tpd_token_reply_read (message, len, &reply_back));
  g_assert_true (reply_back.id == 7 && reply_back.rv == CKR_DEVICE_REMOVED);
  g_assert_cmpmem (reply_back.message, reply_back.len, block, 20);
  for (gsize cut = 0; cut < len; cut++)
    g_assert_false (tpd_token_reply_read (message, cut, &reply_back));
  g_assert_false (tpd_token_reply_read (message, len + 1, &reply_back));
  message[13] = 0xff;
  g_assert_false (tpd_token_reply_read (message, sizeof message, &reply_back));
}

static void
test_wire_control (void)
{
  guint8 message[TPD_TOKEN_CONTROL_MAX + 1];
  g_autofree char *long_text = g_strnfill (3 * TPD_TOKEN_CONTROL_MAX, 'x');
  TpdTokenDescription description = { .label = (char *) "slc" };
  TpdTokenControl control;
  TpdPublicKey key;
  gsize len;

  public_key (&key);
  description.public_key = key;
  len = tpd_token_says_start (message);
  g_assert_true (tpd_token_control_read (message, len, &control) && control.kind == TPD_TOKEN_SAYS_START);
  len = tpd_token_says_token (TRUE, "rms", message);
  g_assert_true (tpd_token_control_read (message, len, &control) && control.kind == TPD_TOKEN_SAYS_TOKEN);
  g_assert_true (control.wants_pin);
  g_assert_cmpmem (control.rest, control.rest_len, "rms", 3);
  len = tpd_token_says_open (&key, (const guint8 *) "1234", 4, message);
  g_assert_true (tpd_token_control_read (message, len, &control) && control.kind == TPD_TOKEN_SAYS_OPEN);
  g_assert_true (control.has_public_key && tpd_fingerprint_equal (&control.public_key.fingerprint, &key.fingerprint));
  g_assert_cmpmem (control.rest, control.rest_len, "1234", 4);
  len = tpd_token_says_open (NULL, NULL, 0, message);
  g_assert_true (tpd_token_control_read (message, len, &control) && !control.has_public_key && control.rest_len == 0);
  len = tpd_token_says_error (TPD_ERROR_PASSWORD, long_text, message);
  g_assert_cmpuint (len, <=, TPD_TOKEN_CONTROL_MAX);
  g_assert_true (tpd_token_control_read (message, len, &control) && control.kind == TPD_TOKEN_SAYS_ERROR);
  g_assert_cmpuint (control.code, ==, TPD_ERROR_PASSWORD);
  len = tpd_token_says_error (TPD_ERROR_ERRNO, "x", message); /* the helper has no errno to tell */
  g_assert_false (tpd_token_control_read (message, len, &control));
  len = tpd_token_says_key (&description, message);
  g_assert_true (tpd_token_control_read (message, len, &control) && control.kind == TPD_TOKEN_SAYS_KEY);
  g_assert_cmpuint (control.public_key.exponent, ==, 65537);
  g_assert_cmpmem (control.rest, control.rest_len, "slc", 3);
  for (gsize cut = 0; cut < len - 3; cut++)
    g_assert_false (tpd_token_control_read (message, cut, &control));
  message[len - 4] &= 0xfe; /* an even modulus */
  g_assert_false (tpd_token_control_read (message, len, &control));
  message[0] = 0x77;
  g_assert_false (tpd_token_control_read (message, len, &control));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pkcs11-uri/attributes", test_uri_attributes);
  g_test_add_func ("/pkcs11-uri/little-is-enough", test_uri_little);
  g_test_add_func ("/pkcs11-uri/nothing-is-skipped", test_uri_refused);
  g_test_add_func ("/pkcs11-module/directories", test_module_folders);
  g_test_add_func ("/pkcs11-module/elsewhere-is-refused", test_module_refused);
  g_test_add_func ("/pkcs11-module/changed-by-others-is-refused", test_module_of_others);
  g_test_add_func ("/pkcs11-module/what-is-none", test_module_that_is_none);
  g_test_add_func ("/pkcs11-module/words", test_words);
  g_test_add_func ("/pkcs11-wire/lanes", test_wire_lanes);
  g_test_add_func ("/pkcs11-wire/control", test_wire_control);
  return g_test_run ();
}
