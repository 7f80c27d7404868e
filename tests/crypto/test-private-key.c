/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA private keys: what is accepted, that every number of a key is checked,
 * and the raw operation. Keys come from the fixtures; the expectation of the
 * raw operation is the public one, done by OpenSSL's big numbers.
 */
#include "crypto/private_key.h"

#include <openssl/bn.h>

#include "base/bytes.h"
#include "key-fixtures.h"

#define ONPREM "758cc2dd6a10a77c06da2a3da5d63e22694daa355f7ec1e78de6b8e1a859197c"
#define MODE1 "67a01db17769c2b34bab87b2934e816419a7695fcd04f613ed7781acf8419b42"

static TpdPrivateKey *
key_from_capi (const char *name)
{
  g_autoptr (GBytes) blob = key_fixture (name);
  g_autoptr (GError) error = NULL;
  TpdPrivateKey *key = tpd_private_key_from_capi_blob (g_bytes_get_data (blob, NULL), g_bytes_get_size (blob), &error);

  g_assert_no_error (error);
  return key;
}

static void
test_capi_opens (void)
{
  static const struct {
    const char *file, *fingerprint;
    guint bits;
  } cases[] = {
    { "alt/onprem.capi-keyx.bin", ONPREM, 2048 },
    { "alt/onprem.capi-sign.bin", ONPREM, 2048 },
    { "alt/mode1.capi-sign.bin", MODE1, 1024 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TpdPrivateKey) key = key_from_capi (cases[i].file);
      assert_fingerprint (tpd_private_key_public (key), cases[i].fingerprint);
      g_assert_cmpuint (tpd_private_key_public (key)->bits, ==, cases[i].bits);
      g_assert_cmpuint (tpd_private_key_public (key)->exponent, ==, 65537);
    }
}

static void
test_capi_strong_name_prefix (void)
{
  static const guint8 prefix[12] = { 0, 0x24, 0, 0, 4, 0x80, 0, 0, 0x94, 0, 0, 0 };
  g_autoptr (GBytes) blob = key_fixture ("alt/mode1.capi-sign.bin");
  g_autoptr (GByteArray) long_blob = g_byte_array_new ();
  g_autoptr (TpdPrivateKey) key = NULL;
  g_autoptr (GError) error = NULL;

  g_byte_array_append (long_blob, prefix, sizeof prefix);
  g_byte_array_append (long_blob, g_bytes_get_data (blob, NULL), (guint) g_bytes_get_size (blob));
  key = tpd_private_key_from_capi_blob (long_blob->data, long_blob->len, &error);
  g_assert_no_error (error);
  assert_fingerprint (tpd_private_key_public (key), MODE1);
}

static void
test_capi_length_is_exact (void)
{
  g_autoptr (GBytes) blob = key_fixture ("alt/mode1.capi-sign.bin");
  gsize len = g_bytes_get_size (blob);
  g_autofree guint8 *data = g_malloc0 (len + 9);

  memcpy (data, g_bytes_get_data (blob, NULL), len);
  for (gsize n = 0; n < len + 9; n++)
    {
      g_autoptr (GError) error = NULL;

      if (n == len)
        continue;
      g_assert_null (tpd_private_key_from_capi_blob (data, n, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE);
    }
}

/* A flipped bit in any of the eight numbers is found, whichever it is. */
static void
test_capi_every_number_is_checked (void)
{
  g_autoptr (GBytes) blob = key_fixture ("alt/mode1.capi-sign.bin");
  gsize len = g_bytes_get_size (blob);
  g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (blob, NULL), len);

  for (gsize i = 16; i < len; i += i < 20 ? 1 : 13)
    {
      g_autoptr (GError) error = NULL;

      data[i] ^= 0x10;
      g_assert_null (tpd_private_key_from_capi_blob (data, len, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_KEY_DAMAGED);
      data[i] ^= 0x10;
    }
}

static void
test_capi_header_is_checked (void)
{
  g_autoptr (GBytes) blob = key_fixture ("alt/mode1.capi-sign.bin");
  gsize len = g_bytes_get_size (blob);
  static const gsize offsets[] = { 0, 4, 5, 8, 11, 12, 13, 15 };
  g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (blob, NULL), len);

  for (guint i = 0; i < G_N_ELEMENTS (offsets); i++)
    {
      g_autoptr (GError) error = NULL;

      data[offsets[i]] ^= 0x11;
      g_assert_null (tpd_private_key_from_capi_blob (data, len, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_KEY_FILE);
      data[offsets[i]] ^= 0x11;
    }
}

/* The parts of a BCRYPT_RSAFULLPRIVATE_BLOB, which point into `blob`. */
static TpdPrivateKeyParts
parts_of (GBytes *blob)
{
  TpdBytes b = tpd_bytes (g_bytes_get_data (blob, NULL), g_bytes_get_size (blob));
  TpdPrivateKeyParts parts = { .e_len = 3, .n_len = 256, .p_len = 128, .q_len = 128, .d_len = 256 };

  g_assert_true (tpd_bytes_seek (&b, 24) && tpd_bytes_take (&b, 3, &parts.e) && tpd_bytes_take (&b, 256, &parts.n)
                 && tpd_bytes_take (&b, 128, &parts.p) && tpd_bytes_take (&b, 128, &parts.q)
                 && tpd_bytes_skip (&b, 3 * 128) && tpd_bytes_take (&b, 256, &parts.d));
  return parts;
}

static void
test_parts_private_exponent_may_be_missing (void)
{
  g_autoptr (GBytes) blob = key_fixture ("alt/onprem.bcrypt-full.bin");
  TpdPrivateKeyParts parts = parts_of (blob);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdPrivateKey) with = tpd_private_key_new (&parts, &error);
  g_autoptr (TpdPrivateKey) without = NULL;

  g_assert_no_error (error);
  assert_fingerprint (tpd_private_key_public (with), ONPREM);
  parts.d = NULL;
  without = tpd_private_key_new (&parts, &error);
  g_assert_no_error (error);
  assert_fingerprint (tpd_private_key_public (without), ONPREM);
}

static void
test_parts_leading_zeros (void)
{
  g_autoptr (GBytes) blob = key_fixture ("alt/onprem.bcrypt-full.bin");
  TpdPrivateKeyParts parts = parts_of (blob);
  g_autofree guint8 *n = g_malloc0 (300);
  g_autofree guint8 *p = g_malloc0 (129);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdPrivateKey) key = NULL;

  memcpy (n + 300 - 256, parts.n, 256);
  memcpy (p + 1, parts.p, 128);
  parts.n = n;
  parts.n_len = 300;
  parts.p = p;
  parts.p_len = 129;
  key = tpd_private_key_new (&parts, &error);
  g_assert_no_error (error);
  assert_fingerprint (tpd_private_key_public (key), ONPREM);
}

static void
assert_refused (const TpdPrivateKeyParts *parts)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (tpd_private_key_new (parts, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_KEY_DAMAGED);
}

static void
test_parts_sizes (void)
{
  g_autoptr (GBytes) blob = key_fixture ("alt/onprem.bcrypt-full.bin");
  TpdPrivateKeyParts parts = parts_of (blob);
  g_autofree guint8 *n = g_malloc (5000);

  memset (n, 0xff, 5000);
  parts.n = n;
  for (parts.n_len = 0; parts.n_len < 5000; parts.n_len += parts.n_len == 0 ? 127 : 193)
    assert_refused (&parts);
}

static void
test_parts_exponents (void)
{
  static const guint8 bad[][5] = { { 0, 0, 0, 0, 1 }, { 0, 0, 1, 0, 0 }, { 0, 0, 0, 0, 3 }, { 1, 0, 1, 0, 1 }, { 0 } };
  g_autoptr (GBytes) blob = key_fixture ("alt/onprem.bcrypt-full.bin");
  TpdPrivateKeyParts parts = parts_of (blob);

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      parts.e = bad[i];
      parts.e_len = 5;
      assert_refused (&parts);
    }
}

static void
test_parts_primes (void)
{
  g_autoptr (GBytes) blob = key_fixture ("alt/onprem.bcrypt-full.bin");
  TpdPrivateKeyParts parts = parts_of (blob), changed;

  changed = parts;
  changed.q = parts.p;
  assert_refused (&changed);
  /* n = n * 1. */
  changed = parts;
  changed.p = parts.n;
  changed.p_len = parts.n_len;
  changed.q = (const guint8 *) "\1";
  changed.q_len = 1;
  assert_refused (&changed);
}

/* Every equation holds, yet one "prime" is none. */
static void
test_parts_composite_prime (void)
{
  g_autoptr (GBytes) blob = key_fixture ("alt/onprem.bcrypt-full.bin");
  TpdPrivateKeyParts parts = parts_of (blob);
  BIGNUM *n = BN_bin2bn (parts.n, 256, NULL), *p = BN_bin2bn (parts.p, 128, NULL);
  guint8 new_n[257], new_p[129];

  g_assert_true (BN_mul_word (n, 7) && BN_mul_word (p, 7));
  g_assert_cmpint (BN_bn2binpad (n, new_n, sizeof new_n), ==, sizeof new_n);
  g_assert_cmpint (BN_bn2binpad (p, new_p, sizeof new_p), ==, sizeof new_p);
  BN_free (n);
  BN_free (p);
  parts.n = new_n;
  parts.n_len = sizeof new_n;
  parts.p = new_p;
  parts.p_len = sizeof new_p;
  parts.d = NULL;
  assert_refused (&parts);
}

/* `out` = `in`^e mod n. */
static void
encrypt (const TpdPublicKey *key, const guint8 *in, guint8 *out)
{
  BN_CTX *context = BN_CTX_new ();
  BIGNUM *n = BN_bin2bn (key->modulus, (int) key->len, NULL), *m = BN_bin2bn (in, (int) key->len, NULL);
  BIGNUM *e = BN_new ();

  g_assert_true (BN_set_word (e, key->exponent) && BN_mod_exp (m, m, e, n, context));
  g_assert_cmpint (BN_bn2binpad (m, out, (int) key->len), ==, (int) key->len);
  BN_free (n);
  BN_free (m);
  BN_free (e);
  BN_CTX_free (context);
}

static void
test_raw_inverts_encryption (void)
{
  static const char *const files[] = { "alt/onprem.capi-keyx.bin", "alt/mode1.capi-sign.bin" };

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autoptr (TpdPrivateKey) key = key_from_capi (files[i]);
      const TpdPublicKey *public_key = tpd_private_key_public (key);
      guint8 message[TPD_RSA_MAX_BYTES], sealed[TPD_RSA_MAX_BYTES], out[TPD_RSA_MAX_BYTES];

      for (gsize k = 0; k < public_key->len; k++)
        message[k] = (guint8) (k * 37);
      encrypt (public_key, message, sealed);
      g_assert_true (tpd_private_key_raw (key, sealed, public_key->len, out));
      g_assert_cmpmem (out, public_key->len, message, public_key->len);
    }
}

static void
test_raw_refuses (void)
{
  g_autoptr (TpdPrivateKey) key = key_from_capi ("alt/mode1.capi-sign.bin");
  guint8 in[TPD_RSA_MAX_BYTES], out[TPD_RSA_MAX_BYTES], zeros[TPD_RSA_MAX_BYTES] = { 0 };

  memset (in, 0xff, sizeof in);
  memset (out, 0xaa, sizeof out);
  g_assert_false (tpd_private_key_raw (key, in, 128, out));
  g_assert_cmpmem (out, 128, zeros, 128);
  g_assert_false (tpd_private_key_raw (key, tpd_private_key_public (key)->modulus, 128, out));
  g_assert_false (tpd_private_key_raw (key, zeros, 127, out));
  g_assert_false (tpd_private_key_raw (key, zeros, 129, out));
  g_assert_false (tpd_private_key_raw (key, zeros, 0, out));
}

static gpointer
raw_often (gpointer data)
{
  TpdPrivateKey *key = data;
  const TpdPublicKey *public_key = tpd_private_key_public (key);
  guint8 message[TPD_RSA_MAX_BYTES] = { 0 }, sealed[TPD_RSA_MAX_BYTES], out[TPD_RSA_MAX_BYTES];

  for (guint i = 0; i < 100; i++)
    {
      message[public_key->len - 1] = (guint8) (i + 2);
      encrypt (public_key, message, sealed);
      if (!tpd_private_key_raw (key, sealed, public_key->len, out) || memcmp (out, message, public_key->len) != 0)
        return GINT_TO_POINTER (1);
    }
  return NULL;
}

static void
test_raw_from_many_threads (void)
{
  g_autoptr (TpdPrivateKey) key = key_from_capi ("alt/mode1.capi-sign.bin");
  GThread *threads[8];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("raw", raw_often, key);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_assert_null (g_thread_join (threads[i]));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  tpd_secret_init (64 * 1024);
  g_test_add_func ("/private-key/capi/opens", test_capi_opens);
  g_test_add_func ("/private-key/capi/strong-name-prefix-is-tolerated", test_capi_strong_name_prefix);
  g_test_add_func ("/private-key/capi/length-is-exact", test_capi_length_is_exact);
  g_test_add_func ("/private-key/capi/every-number-is-checked", test_capi_every_number_is_checked);
  g_test_add_func ("/private-key/capi/header-is-checked", test_capi_header_is_checked);
  g_test_add_func ("/private-key/parts/private-exponent-may-be-missing", test_parts_private_exponent_may_be_missing);
  g_test_add_func ("/private-key/parts/leading-zeros-are-allowed", test_parts_leading_zeros);
  g_test_add_func ("/private-key/parts/impossible-sizes-are-refused", test_parts_sizes);
  g_test_add_func ("/private-key/parts/wrong-exponents-are-refused", test_parts_exponents);
  g_test_add_func ("/private-key/parts/wrong-primes-are-refused", test_parts_primes);
  g_test_add_func ("/private-key/parts/composite-prime-is-refused", test_parts_composite_prime);
  g_test_add_func ("/private-key/raw/inverts-encryption", test_raw_inverts_encryption);
  g_test_add_func ("/private-key/raw/refuses-wrong-sizes-and-numbers", test_raw_refuses);
  g_test_add_func ("/private-key/raw/many-threads-share-a-key", test_raw_from_many_threads);
  return g_test_run ();
}
