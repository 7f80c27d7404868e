/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key in a token, through a helper process and a module that has the faults
 * that a test wants. What a real module does is in test_hsm.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "crypto/agent_private.h"
#include "crypto/keyfile.h"
#include "crypto/token_key.h"
#include "crypto/token_lanes.h"
#include "mock-pkcs11.h"
#include "recipe.h"

#define PIN 1234

static MockState *mock;
static char *folder;

static void
mock_reset (void)
{
  memset (mock, 0, sizeof *mock);
  mock->bad_data_rv = CKR_ENCRYPTED_DATA_INVALID;
  mock->token_flags = CKF_LOGIN_REQUIRED;
  mock->pin = PIN;
  mock->tries_left = 3;
}

static void
mock_make (void)
{
  folder = g_dir_make_tmp ("tpd-token-XXXXXX", NULL);
  g_autofree char *state = g_build_filename (folder, "state", NULL);
  g_autofree char *pem = g_build_filename (folder, "key.pem", NULL);
  int fd = open (state, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  BIO *bio = BIO_new_file (pem, "w");

  g_assert_cmpint (ftruncate (fd, sizeof *mock), ==, 0);
  mock = mmap (NULL, sizeof *mock, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  g_assert_true (mock != MAP_FAILED);
  close (fd);
  g_assert_true (PEM_write_bio_PrivateKey (bio, own, NULL, NULL, 0, NULL, NULL));
  BIO_free (bio);
  g_setenv ("MOCK_STATE", state, TRUE);
  g_setenv ("MOCK_KEY", pem, TRUE);
}

static void
mock_remove (void)
{
  for (guint i = 0; i < 2; i++)
    g_unlink (g_getenv (i ? "MOCK_STATE" : "MOCK_KEY"));
  g_rmdir (folder);
  g_free (folder);
  munmap (mock, sizeof *mock);
}

/* --- Opening ------------------------------------------------------------- */

typedef struct {
  const char *pin;
  guint asked;
} Pin;

static TpdSecret *
give_pin (gpointer user_data, GError **error)
{
  Pin *pin = user_data;

  pin->asked++;
  return tpd_secret_new (pin->pin, strlen (pin->pin));
}

static TpdTokenKey *
open_with (const char *uri_text, guint lanes, Pin *pin, const TpdPublicKey *licensor, GError **error)
{
  g_autofree char *module = g_build_filename (g_getenv ("TPD_BUILD_ROOT"), "tests", "crypto", "mock-pkcs11.so", NULL);
  g_autoptr (TpdPkcs11Uri) uri = tpd_pkcs11_uri_parse (uri_text, NULL);
  g_autoptr (TpdTokenHelper) helper = tpd_token_helper_start (module, uri, lanes, NULL);

  g_assert_nonnull (helper);
  return tpd_token_key_open (helper, give_pin, pin, licensor, error);
}

static TpdTokenKey *
open_lanes (guint lanes)
{
  Pin pin = { "1234", 0 };
  g_autoptr (GError) error = NULL;
  TpdTokenKey *key = open_with ("pkcs11:token=mock%20token;object=slc", lanes, &pin, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (pin.asked, ==, 1);
  return key;
}

static void
assert_no_open (const char *uri, const char *pin_text, const TpdPublicKey *licensor, int code, const char *words)
{
  Pin pin = { pin_text, 0 };
  g_autoptr (GError) error = NULL;

  g_assert_null (open_with (uri, 1, &pin, licensor, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, TPD_ERROR, code);
  g_assert_nonnull (strstr (error->message, words));
  /* The helper is gone, too. */
  g_assert_cmpint (waitpid (-1, NULL, WNOHANG), ==, -1);
  g_assert_cmpint (errno, ==, ECHILD);
}

static TpdUnwrapStatus
unwrap_words (TpdTokenKey *key, const Recipe *r, char **words)
{
  guint8 sealed[128 + 4096 + 32];
  const TpdUnwrapRequest request = {
    .sealed = sealed, .sealed_len = seal (r, sealed), .type = r->type, .principals = ""
  };
  g_auto (TpdUnwrapReply) reply;
  g_autoptr (GError) error = NULL;

  tpd_enabling_bits_unwrap_with (tpd_token_key_operation (key), &request, &reply, &error);
  g_assert_cmpint (reply.status == TPD_UNWRAP_UNAVAILABLE, ==, error != NULL);
  g_assert_cmpint (reply.status == TPD_UNWRAP_OK, ==, reply.key != NULL);
  if (reply.key)
    g_assert_cmpmem (reply.key->key->data, reply.key->key->len, content_key, 32);
  if (error)
    g_test_message ("%s", error->message);
  if (words)
    *words = error ? g_strdup (error->message) : NULL;
  return reply.status;
}

static TpdUnwrapStatus
unwrap (TpdTokenKey *key, const Recipe *r)
{
  return unwrap_words (key, r, NULL);
}

static Recipe
recipe_sha256 (void)
{
  Recipe r = recipe (2);
  r.sha256 = TRUE;
  return r;
}

static void
test_opens (void)
{
  mock_reset ();
  g_autoptr (TpdTokenKey) key = open_lanes (1);
  const Recipe v1 = recipe (1), v2 = recipe (2), sha256 = recipe_sha256 ();
  const TpdPublicKey *found = tpd_token_key_operation (key)->public_key;

  g_assert_true (tpd_fingerprint_equal (&found->fingerprint, &tpd_private_key_public (own_key)->fingerprint));
  g_assert_cmpstr (tpd_token_key_token_label (key), ==, MOCK_LABEL);
  g_assert_cmpstr (tpd_token_key_label (key), ==, MOCK_KEY_LABEL);
  g_assert_null (tpd_token_key_warning (key));
  g_assert_cmpint (unwrap (key, &v1), ==, TPD_UNWRAP_OK);
  g_assert_cmpint (unwrap (key, &v2), ==, TPD_UNWRAP_OK);
  g_assert_cmpint (unwrap (key, &sha256), ==, TPD_UNWRAP_OK);
  Recipe unknown = recipe (1);
  unknown.type = TPD_SEAL_UNKNOWN;
  g_assert_cmpint (unwrap (key, &unknown), ==, TPD_UNWRAP_OK);
  Recipe reversed = recipe (2);
  reversed.reversed = TRUE;
  g_assert_cmpint (unwrap (key, &reversed), ==, TPD_UNWRAP_OK);
  g_assert_cmpint (mock->n_initialize, ==, 1);
  g_assert_cmpint (mock->n_login, ==, 1);
}

/* Each way missing, and what then opens. */
static void
test_ways (void)
{
  static const struct {
    const char *missing; /* of PKCS#1, OAEP SHA-1, OAEP SHA-256, raw */
    TpdUnwrapStatus v1, v2, sha256;
    const char *warning;
  } cases[] = {
    { "x...", TPD_UNWRAP_OK, TPD_UNWRAP_OK, TPD_UNWRAP_OK, NULL },
    { ".x..", TPD_UNWRAP_OK, TPD_UNWRAP_OK, TPD_UNWRAP_OK, NULL },
    { "..x.", TPD_UNWRAP_OK, TPD_UNWRAP_OK, TPD_UNWRAP_OK, NULL },
    { "...x", TPD_UNWRAP_OK, TPD_UNWRAP_OK, TPD_UNWRAP_OK, NULL },
    { "xxx.", TPD_UNWRAP_OK, TPD_UNWRAP_OK, TPD_UNWRAP_OK, NULL },
    { "..xx", TPD_UNWRAP_OK, TPD_UNWRAP_OK, TPD_UNWRAP_UNAVAILABLE, NULL },
    { "x..x", TPD_UNWRAP_UNAVAILABLE, TPD_UNWRAP_OK, TPD_UNWRAP_OK, "mode 1" },
    { ".xxx", TPD_UNWRAP_OK, TPD_UNWRAP_UNAVAILABLE, TPD_UNWRAP_UNAVAILABLE, "mode 2" },
  };
  const Recipe v1 = recipe (1), v2 = recipe (2), sha256 = recipe_sha256 ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_test_message ("without %s", cases[i].missing);
      mock_reset ();
      for (guint way = 0; way < 4; way++)
        mock->refuse[way] = cases[i].missing[way] == 'x' ? (gint) CKR_MECHANISM_INVALID : 0;
      g_autoptr (TpdTokenKey) key = open_lanes (1);
      g_autofree char *words = NULL;
      g_assert_cmpint (unwrap_words (key, &v1, &words), ==, cases[i].v1);
      g_assert_cmpint (unwrap (key, &v2), ==, cases[i].v2);
      g_assert_cmpint (unwrap (key, &sha256), ==, cases[i].sha256);
      const char *warning = tpd_token_key_warning (key);
      g_assert_true ((warning != NULL) == (cases[i].warning != NULL));
      if (warning)
        g_assert_nonnull (strstr (warning, cases[i].warning));
      if (words)
        g_assert_nonnull (strstr (words, "does not offer this way"));
    }
}

static void
test_plain_words (void)
{
  static const struct {
    CK_RV rv;
    const char *words;
  } cases[] = {
    { CKR_MECHANISM_INVALID, "does not offer this way of RSA decryption" },
    { CKR_KEY_FUNCTION_NOT_PERMITTED, "may not be used to decrypt" },
    { CKR_FUNCTION_NOT_SUPPORTED, "cannot do this" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      mock_reset ();
      for (guint way = 0; way < 4; way++)
        mock->refuse[way] = (gint) cases[i].rv;
      assert_no_open ("pkcs11:", "1234", NULL, TPD_ERROR_KEY_UNUSABLE, cases[i].words);
    }
  mock_reset ();
  mock->no_decrypt = 1;
  assert_no_open ("pkcs11:", "1234", NULL, TPD_ERROR_KEY_UNUSABLE, "may not be used to decrypt");
  mock_reset ();
  assert_no_open ("pkcs11:token=other", "1234", NULL, TPD_ERROR_KEY_UNUSABLE, "there is \"" MOCK_LABEL "\"");
  assert_no_open ("pkcs11:slot-id=1", "1234", NULL, TPD_ERROR_KEY_UNUSABLE, "No token is there");
  assert_no_open ("pkcs11:object=other", "1234", NULL, TPD_ERROR_KEY_UNUSABLE, "it has \"" MOCK_KEY_LABEL "\"");
  assert_no_open ("pkcs11:id=%02", "1234", NULL, TPD_ERROR_KEY_UNUSABLE, "no private RSA key that is meant");
  mock->removed = 1;
  assert_no_open ("pkcs11:", "1234", NULL, TPD_ERROR_KEY_UNUSABLE, "is none at all");
  mock->removed = 0;
  mock->crash = 1;
  assert_no_open ("pkcs11:", "1234", NULL, TPD_ERROR_KEY_UNUSABLE, "helper process of the token ended");
}

static void
test_found_by (void)
{
  static const char *const uris[] = {
    "pkcs11:",          "pkcs11:token=mock%20token",  "pkcs11:serial=42;manufacturer=tests;model=mock",
    "pkcs11:slot-id=7", "pkcs11:id=%01;type=private", "pkcs11:object=slc;id=%01"
  };

  for (guint i = 0; i < G_N_ELEMENTS (uris); i++)
    {
      Pin pin = { "1234", 0 };
      g_autoptr (GError) error = NULL;
      mock_reset ();
      g_autoptr (TpdTokenKey) key = open_with (uris[i], 1, &pin, NULL, &error);
      g_assert_no_error (error);
    }
}

/* --- PINs ---------------------------------------------------------------- */

static void
test_wrong_pin (void)
{
  mock_reset ();
  assert_no_open ("pkcs11:", "9999", NULL, TPD_ERROR_PASSWORD, "the PIN is wrong");
  g_assert_cmpint (mock->n_login, ==, 1);
  assert_no_open ("pkcs11:", "9999", NULL, TPD_ERROR_PASSWORD, "the PIN is wrong");
  g_assert_cmpint (mock->tries_left, ==, 1);
  /* Whatever starts us again and again does not lock the token. */
  assert_no_open ("pkcs11:", "9999", NULL, TPD_ERROR_PASSWORD, "only one more wrong PIN");
  assert_no_open ("pkcs11:", "1234", NULL, TPD_ERROR_PASSWORD, "only one more wrong PIN");
  g_assert_cmpint (mock->n_login, ==, 2);
  mock->tries_left = 0;
  assert_no_open ("pkcs11:", "1234", NULL, TPD_ERROR_PASSWORD, "locked after too many wrong ones");
  mock_reset ();
  assert_no_open ("pkcs11:", "", NULL, TPD_ERROR_PASSWORD, "empty");
  g_assert_cmpint (mock->n_login, ==, 0);
}

static void
test_no_pin_wanted (void)
{
  static const CK_FLAGS flags[] = { 0, CKF_LOGIN_REQUIRED | CKF_PROTECTED_AUTHENTICATION_PATH };

  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    {
      Pin pin = { "1234", 0 };
      g_autoptr (GError) error = NULL;
      mock_reset ();
      mock->token_flags = (gint) flags[i];
      g_autoptr (TpdTokenKey) key = open_with ("pkcs11:", 1, &pin, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (pin.asked, ==, 0);
      g_assert_cmpint (mock->n_login, ==, flags[i] ? 1 : 0);
    }
}

static void
test_always_authenticate (void)
{
  const Recipe r = recipe (2);

  mock_reset ();
  mock->always_authenticate = 1;
  g_autoptr (TpdTokenKey) key = open_lanes (1);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_OK);
  g_assert_cmpint (mock->n_context_login, ==, mock->n_decrypt);
}

/* --- The token goes away ----------------------------------------------------- */

static void
wait_for_retry (void)
{
  g_usleep (G_USEC_PER_SEC * 11 / 10);
}

static void
test_removed (void)
{
  const Recipe r = recipe (2);
  g_autofree char *words = NULL;

  mock_reset ();
  g_autoptr (TpdTokenKey) key = open_lanes (2);
  g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_OK);
  mock->removed = 1;
  int before = mock->n_initialize;
  for (guint i = 0; i < 20; i++)
    g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_cmpint (mock->n_initialize - before, <=, 2);
  g_assert_cmpint (unwrap_words (key, &r, &words), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_nonnull (strstr (words, MOCK_LABEL));
  g_assert_nonnull (strstr (words, "is not there"));

  mock->removed = 0;
  wait_for_retry ();
  g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_OK);
  g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_OK);
}

static void
test_session_lost (void)
{
  const Recipe r = recipe (1);

  mock_reset ();
  g_autoptr (TpdTokenKey) key = open_lanes (1);
  g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_OK);
  /* All that is said is that something failed. */
  mock->faulty = 1;
  g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_OK);
  g_assert_cmpint (mock->n_initialize, ==, 2);
  g_assert_cmpint (mock->n_login, ==, 2);
}

/* A PIN that was changed meanwhile is tried once, not until it locks. */
static void
test_pin_changed (void)
{
  const Recipe r = recipe (1);
  g_autofree char *words = NULL;

  mock_reset ();
  mock->tries_left = 10;
  g_autoptr (TpdTokenKey) key = open_lanes (1);
  mock->pin = 4321;
  mock->faulty = 1;
  for (guint i = 0; i < 3; i++)
    {
      g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_UNAVAILABLE);
      wait_for_retry ();
    }
  g_assert_cmpint (unwrap_words (key, &r, &words), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_nonnull (strstr (words, "the PIN is wrong"));
  g_assert_cmpint (mock->tries_left, ==, 9);
}

static void
test_helper_killed (void)
{
  const Recipe r = recipe (1);
  g_autofree char *words = NULL;

  mock_reset ();
  g_autoptr (TpdTokenKey) key = open_lanes (2);
  g_assert_cmpint (kill (tpd_token_key_helper_pid (key), SIGKILL), ==, 0);
  gint64 begin = g_get_monotonic_time ();
  g_assert_cmpint (unwrap_words (key, &r, &words), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, 5 * G_USEC_PER_SEC);
  g_assert_nonnull (strstr (words, "has died"));
}

static void
test_hangs (void)
{
  const Recipe r = recipe (1);
  g_autofree char *words = NULL, *again = NULL;

  mock_reset ();
  g_autofree char *module = g_build_filename (g_getenv ("TPD_BUILD_ROOT"), "tests", "crypto", "mock-pkcs11.so", NULL);
  g_autoptr (TpdPkcs11Uri) uri = tpd_pkcs11_uri_parse ("pkcs11:", NULL);
  g_autoptr (TpdTokenHelper) helper = tpd_token_helper_start (module, uri, 1, NULL);
  Pin pin = { "1234", 0 };
  tpd_token_helper_set_patience (helper, 300);
  g_autoptr (TpdTokenKey) key = tpd_token_key_open (helper, give_pin, &pin, NULL, NULL);
  g_assert_nonnull (key);

  mock->hang_ms = 2000;
  g_assert_cmpint (unwrap_words (key, &r, &words), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_nonnull (strstr (words, "does not answer"));
  mock->hang_ms = 0;
  gint64 begin = g_get_monotonic_time ();
  g_assert_cmpint (unwrap_words (key, &r, &again), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_cmpint (g_get_monotonic_time () - begin, <, G_USEC_PER_SEC / 4);
  g_assert_cmpstr (words, ==, again);
  /* Its late answer is not taken for that of another request. */
  g_usleep (5 * G_USEC_PER_SEC / 2);
  g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_OK);
}

/* --- Threads ----------------------------------------------------------------- */

static gpointer
unwrap_often (gpointer key)
{
  const Recipe r = recipe (2);

  for (guint i = 0; i < 10; i++)
    g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_OK);
  return NULL;
}

static void
run_threads (TpdTokenKey *key)
{
  GThread *threads[8];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("reader", unwrap_often, key);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
}

static void
test_sessions (void)
{
  static const struct {
    int sessions_max, cant_lock;
    gboolean one_at_a_time;
  } cases[] = { { 0, 0, FALSE }, { 1, 0, TRUE }, { 2, 0, FALSE }, { 0, 1, TRUE } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      mock_reset ();
      mock->sessions_max = cases[i].sessions_max;
      mock->cant_lock = cases[i].cant_lock;
      g_autoptr (TpdTokenKey) key = open_lanes (4);
      mock->hang_ms = 2;
      run_threads (key);
      if (cases[i].one_at_a_time)
        g_assert_cmpint (mock->most_inside, ==, 1);
      else
        g_assert_cmpint (mock->most_inside, >=, 2);
      g_assert_cmpint (mock->n_initialize, ==, 1);
    }
}

/* Many lanes find at once that the token was away; it is opened anew once. */
static void
test_threads_reopen_once (void)
{
  mock_reset ();
  g_autoptr (TpdTokenKey) key = open_lanes (4);
  run_threads (key);
  mock->faulty = 1;
  run_threads (key);
  g_assert_cmpint (mock->n_initialize, ==, 2);
}

/* --- The licensor ------------------------------------------------------------ */

static void
test_licensor (void)
{
  Pin pin = { "1234", 0 };
  g_autoptr (GError) error = NULL;
  const TpdPublicKey *right = tpd_private_key_public (own_key);
  guint8 modulus[TPD_RSA_MAX_BYTES];
  TpdPublicKey other;

  memcpy (modulus, right->modulus, right->len);
  modulus[20] ^= 1;
  g_assert_true (tpd_public_key_from_be (&other, modulus, right->len, right->exponent));
  mock_reset ();
  assert_no_open ("pkcs11:", "1234", &other, TPD_ERROR_KEY_UNUSABLE, "with the modulus of the licensor");
  /* A token that does not tell its modulus. */
  mock->hide_modulus = 1;
  assert_no_open ("pkcs11:", "1234", NULL, TPD_ERROR_KEY_UNUSABLE, "licensor=");
  assert_no_open ("pkcs11:", "1234", &other, TPD_ERROR_KEY_MISMATCH, "another key");
  g_autoptr (TpdTokenKey) key = open_with ("pkcs11:", 1, &pin, right, &error);
  g_assert_no_error (error);
  const Recipe r = recipe (2);
  g_assert_cmpint (unwrap (key, &r), ==, TPD_UNWRAP_OK);
}

/* --- No oracle ----------------------------------------------------------------- */

static int
count_status (TpdTokenKey *key, const Recipe *r, TpdUnwrapStatus status)
{
  int before = mock->n_decrypt;

  g_assert_cmpint (unwrap (key, r), ==, status);
  return mock->n_decrypt - before;
}

static int
count_refused (TpdTokenKey *key, const Recipe *r)
{
  return count_status (key, r, TPD_UNWRAP_REFUSED);
}

/* Where OAEP with SHA-256 cannot be tried, nothing that is sealed by the rules it
 * belongs to is refused: the token gets no less work, and whatever is wrong has one
 * answer. */
static void
test_padding_that_cannot_be_tried (void)
{
  mock_reset ();
  mock->refuse[TPD_TOKEN_OAEP_SHA256] = mock->refuse[TPD_TOKEN_RAW] = (gint) CKR_MECHANISM_INVALID;
  g_autoptr (TpdTokenKey) key = open_lanes (1);
  const Recipe good = recipe (2), v1 = recipe (1);
  Recipe sha256 = recipe_sha256 (), padding = good, session = good, body = good, content = good, v1_body = v1;
  g_autofree char *words = NULL;

  g_assert_cmpint (unwrap_words (key, &sha256, &words), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_cmpstr (words, ==, "The token \"" MOCK_LABEL "\" offers neither RSA-OAEP with SHA-256 nor raw RSA");
  padding.padding = RSA_PKCS1_PADDING;
  session.message[0] ^= 0x55;
  body.body[12] ^= 1;
  content.body[16] ^= 1;
  int expected = count_status (key, &sha256, TPD_UNWRAP_UNAVAILABLE);
  g_assert_cmpint (expected, >, 1);
  g_assert_cmpint (count_status (key, &padding, TPD_UNWRAP_UNAVAILABLE), ==, expected);
  g_assert_cmpint (count_status (key, &session, TPD_UNWRAP_UNAVAILABLE), ==, expected);
  g_assert_cmpint (count_status (key, &body, TPD_UNWRAP_UNAVAILABLE), ==, expected);
  g_assert_cmpint (count_status (key, &content, TPD_UNWRAP_UNAVAILABLE), ==, expected);
  /* What opens does, and what has nothing to do with it is refused as ever. */
  g_assert_cmpint (unwrap (key, &good), ==, TPD_UNWRAP_OK);
  g_assert_cmpint (unwrap (key, &v1), ==, TPD_UNWRAP_OK);
  v1_body.body[12] ^= 1;
  g_assert_cmpint (unwrap (key, &v1_body), ==, TPD_UNWRAP_REFUSED);
}

/* A tenant key in a file, the key of a double key service in the token. */
static void
test_second_key_that_cannot_be_tried (void)
{
  Recipe inner = recipe_sha256 (), r = recipe (2);
  guint8 sealed[128 + 4096 + 32], block[128 + 4096 + 32];
  const gsize payload = 128;

  inner.message_len = put_key (inner.message, content_key, 32, 0xfffd);
  (void) seal (&inner, block);
  memcpy (r.body + 16, block, payload);
  r.body[4] = payload + 32;
  r.body_len = (16 + payload + 32 + 15) / 16 * 16;
  for (guint missing = 0; missing <= 1; missing++)
    {
      mock_reset ();
      if (missing)
        mock->refuse[TPD_TOKEN_OAEP_SHA256] = mock->refuse[TPD_TOKEN_RAW] = (gint) CKR_MECHANISM_INVALID;
      g_autoptr (TpdTokenKey) token = open_lanes (1);
      TpdLoadedKey tenant = { .key = own_key }, second = { .token = token };
      g_autoptr (GPtrArray) keys = g_ptr_array_new ();
      const TpdUnwrapRequest request = {
        .sealed = sealed, .sealed_len = seal (&r, sealed), .type = TPD_SEAL_V2, .principals = ""
      };
      g_auto (TpdUnwrapReply) reply = { 0 };
      g_autoptr (GError) error = NULL;

      g_ptr_array_add (keys, &tenant);
      g_ptr_array_add (keys, &second);
      tpd_loaded_keys_unwrap (keys, 0, &request, NULL, &reply, &error);
      g_assert_cmpint (reply.status, ==, missing ? TPD_UNWRAP_UNAVAILABLE : TPD_UNWRAP_OK);
      if (missing)
        g_assert_nonnull (strstr (error->message, "offers neither RSA-OAEP with SHA-256 nor raw RSA"));
      else
        g_assert_cmpmem (reply.key->key->data, reply.key->key->len, content_key, 32);
    }
}

/* However a block is wrong, the token is asked as often. */
static void
test_uniform (void)
{
  static const CK_RV says[] = { CKR_ENCRYPTED_DATA_INVALID, CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_ARGUMENTS_BAD,
                                CKR_VENDOR_DEFINED };

  for (guint i = 0; i < G_N_ELEMENTS (says); i++)
    for (guint8 version = 1; version <= 2; version++)
      {
        mock_reset ();
        mock->bad_data_rv = (gint) says[i];
        g_autoptr (TpdTokenKey) key = open_lanes (1);
        const Recipe good = recipe (version), sha256 = recipe_sha256 ();
        /* Which ways there are is found out once. */
        g_assert_cmpint (unwrap (key, &good), ==, TPD_UNWRAP_OK);
        g_assert_cmpint (unwrap (key, &sha256), ==, TPD_UNWRAP_OK);

        Recipe padding = good, session = good, body = good, wrong_sha256 = sha256;
        padding.padding = version == 1 ? RSA_PKCS1_OAEP_PADDING : RSA_PKCS1_PADDING;
        session.message[0] ^= 0x55;
        body.body[12] ^= 1;
        wrong_sha256.body[12] ^= 1;
        int expected = count_refused (key, &padding);
        g_assert_cmpint (expected, >, 2);
        g_assert_cmpint (count_refused (key, &session), ==, expected);
        g_assert_cmpint (count_refused (key, &body), ==, expected);
        if (version == 2)
          g_assert_cmpint (count_refused (key, &wrong_sha256), ==, expected);
        /* And no block has turned off a way. */
        int before = mock->n_decrypt;
        g_assert_cmpint (unwrap (key, &good), ==, TPD_UNWRAP_OK);
        g_assert_cmpint (mock->n_decrypt - before, ==, 1);
        g_assert_cmpint (mock->n_initialize, ==, 1);
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  make_own_key ();
  mock_make ();
  g_test_add_func ("/token/opens-every-padding", test_opens);
  g_test_add_func ("/token/found-by-whatever-the-uri-says", test_found_by);
  g_test_add_func ("/token/ways-it-does-not-offer", test_ways);
  g_test_add_func ("/token/plain-words", test_plain_words);
  g_test_add_func ("/token/wrong-pin-never-locks-it", test_wrong_pin);
  g_test_add_func ("/token/no-pin-wanted-none-asked", test_no_pin_wanted);
  g_test_add_func ("/token/always-authenticate", test_always_authenticate);
  g_test_add_func ("/token/removed-and-back", test_removed);
  g_test_add_func ("/token/session-lost-is-mended-at-once", test_session_lost);
  g_test_add_func ("/token/pin-changed-is-tried-once", test_pin_changed);
  g_test_add_func ("/token/licensor-names-the-key", test_licensor);
  g_test_add_func ("/token/refusals-cost-the-same", test_uniform);
  g_test_add_func ("/token/padding-that-cannot-be-tried", test_padding_that_cannot_be_tried);
  g_test_add_func ("/token/second-key-that-cannot-be-tried", test_second_key_that_cannot_be_tried);
  g_test_add_func ("/token/sessions", test_sessions);
  g_test_add_func ("/token/lanes-reopen-it-once", test_threads_reopen_once);
  g_test_add_func ("/token/helper-killed", test_helper_killed);
  g_test_add_func ("/token/module-that-hangs", test_hangs);
  int status = g_test_run ();
  mock_remove ();
  tpd_private_key_unref (own_key);
  EVP_PKEY_free (own);
  return status;
}
