/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests against published vectors, signatures against rsa-vectors.h. The
 * whole test runs under a policy that bars SHA-1 from everybody who asks
 * OpenSSL for it in the ordinary way.
 */
#include "crypto/digest.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "crypto/sha_wide.h"
#include "rsa-vectors.h"

static guint8 *
unhex (const char *text, gsize *len)
{
  guint8 *bytes;

  *len = strlen (text) / 2;
  bytes = g_malloc (*len + 1);
  for (gsize i = 0; i < *len; i++)
    bytes[i] = (guint8) (g_ascii_xdigit_value (text[2 * i]) << 4 | g_ascii_xdigit_value (text[2 * i + 1]));
  return bytes;
}

static void
assert_hex (const guint8 *bytes, gsize len, const char *expected)
{
  gsize expected_len;
  g_autofree guint8 *wanted = unhex (expected, &expected_len);

  g_assert_cmpmem (bytes, len, wanted, expected_len);
}

static void
public_key (TpdPublicKey *key, const char *modulus, guint32 exponent)
{
  gsize len;
  g_autofree guint8 *bytes = unhex (modulus, &len);

  g_assert_true (tpd_public_key_from_be (key, bytes, len, exponent));
}

static gboolean
verify (const TpdPublicKey *key, const char *digest, const char *signature)
{
  gsize digest_len, signature_len;
  g_autofree guint8 *digest_bytes = unhex (digest, &digest_len);
  g_autofree guint8 *signature_bytes = unhex (signature, &signature_len);

  return tpd_public_key_verify (key, digest_bytes, digest_len, signature_bytes, signature_len);
}

/* FIPS 180-2, appendices A and B. */
static void
published_digests (void)
{
  static const struct {
    const char *text, *sha1, *sha256;
  } vectors[] = {
    { "", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    { "abc", "a9993e364706816aba3e25717850c26c9cd0d89d",
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
  };
  g_autofree char *million = g_strnfill (1000000, 'a');
  guint8 sha1[TPD_SHA1_SIZE], sha256[TPD_SHA256_SIZE];

  for (guint i = 0; i < G_N_ELEMENTS (vectors); i++)
    {
      tpd_sha1 (vectors[i].text, strlen (vectors[i].text), sha1);
      assert_hex (sha1, sizeof sha1, vectors[i].sha1);
      tpd_sha256 (vectors[i].text, strlen (vectors[i].text), sha256);
      assert_hex (sha256, sizeof sha256, vectors[i].sha256);
    }
  tpd_sha1 (million, 1000000, sha1);
  assert_hex (sha1, sizeof sha1, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
  tpd_sha256 (million, 1000000, sha256);
  assert_hex (sha256, sizeof sha256, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  tpd_sha1 (NULL, 0, sha1);
  assert_hex (sha1, sizeof sha1, vectors[0].sha1);
}

/* --- Two at once --------------------------------------------------------- */

/* FIPS 180-2, B.1 to B.3, and the empty text. */
static void
published_pairs (void)
{
  static const struct {
    const char *text, *sha256;
  } vectors[] = {
    { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    { NULL, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
  };
  g_autofree char *million = g_strnfill (1000000, 'a');

  for (guint i = 0; i < 2 * G_N_ELEMENTS (vectors) * G_N_ELEMENTS (vectors); i++)
    {
      const guint a = i / 2 % G_N_ELEMENTS (vectors), b = i / 2 / G_N_ELEMENTS (vectors);
      const char *a_text = vectors[a].text != NULL ? vectors[a].text : million;
      const char *b_text = vectors[b].text != NULL ? vectors[b].text : million;
      guint8 a_digest[TPD_SHA256_SIZE], b_digest[TPD_SHA256_SIZE];
      TpdShaPair *pair;

      tpd_sha_pair_allow (i % 2 != 0);
      pair = tpd_sha_pair_new ();
      tpd_sha_pair_update (pair, a_text, strlen (a_text), b_text, strlen (b_text));
      tpd_sha_pair_finish (pair, a_digest, b_digest);
      assert_hex (a_digest, sizeof a_digest, vectors[a].sha256);
      assert_hex (b_digest, sizeof b_digest, vectors[b].sha256);
    }
}

/* GLib has a SHA-256 of its own. */
static void
assert_sha256 (const guint8 *digest, const guint8 *data, gsize len)
{
  g_autofree char *expected = g_compute_checksum_for_data (G_CHECKSUM_SHA256, data, len);

  assert_hex (digest, TPD_SHA256_SIZE, expected);
}

/* Of every length around the ends of blocks, not aligned, in pieces of any length. */
static void
pairs_in_pieces (void)
{
  guint8 data[2000], a_digest[TPD_SHA256_SIZE], b_digest[TPD_SHA256_SIZE];

  for (gsize i = 0; i < sizeof data; i++)
    data[i] = (guint8) g_test_rand_int ();
  for (guint round = 0; round < 4000; round++)
    {
      const gsize a_len = round % 400, b_len = (gsize) g_test_rand_int_range (0, 1500);
      const guint8 *a = data + g_test_rand_int_range (0, 400), *b = data + g_test_rand_int_range (0, 400);
      gsize a_done = 0, b_done = 0;
      TpdShaPair *pair;

      tpd_sha_pair_allow (round % 8 != 0);
      pair = tpd_sha_pair_new ();
      while (a_done < a_len || b_done < b_len)
        {
          /* Both by whole blocks, or not. */
          const gsize piece = round % 3 == 0 ? 64 * (gsize) g_test_rand_int_range (1, 5) : 0;
          const gsize a_piece = piece != 0 ? piece : (gsize) g_test_rand_int_range (0, 200);
          const gsize b_piece = piece != 0 ? piece : (gsize) g_test_rand_int_range (0, 200);
          const gsize a_n = MIN (a_len - a_done, a_piece), b_n = MIN (b_len - b_done, b_piece);

          tpd_sha_pair_update (pair, a_n > 0 ? a + a_done : NULL, a_n, b_n > 0 ? b + b_done : NULL, b_n);
          a_done += a_n;
          b_done += b_n;
        }
      tpd_sha_pair_finish (pair, a_digest, b_digest);
      assert_sha256 (a_digest, a, a_len);
      assert_sha256 (b_digest, b, b_len);
    }
  g_test_message ("by the processor's instructions: %d", tpd_sha_pair_allow (TRUE));
}

static void
policy_is_no_obstacle (void)
{
  guint8 sha1[TPD_SHA1_SIZE];
  TpdPublicKey key;

  g_assert_null (EVP_MD_fetch (NULL, "SHA1", NULL));
  ERR_clear_error ();
  tpd_sha1 ("abc", 3, sha1);
  assert_hex (sha1, sizeof sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
  public_key (&key, MODULUS_C, 65537);
  g_assert_true (verify (&key, MESSAGE_SHA1, SHA1_C));
}

static void
fingerprints (void)
{
  TpdPublicKey a, b, again;

  public_key (&a, MODULUS_A, 3);
  public_key (&b, MODULUS_B, 65537);
  public_key (&again, MODULUS_A, 65537);
  assert_hex (a.fingerprint.bytes, TPD_SHA256_SIZE, FINGERPRINT_A);
  assert_hex (b.fingerprint.bytes, TPD_SHA256_SIZE, FINGERPRINT_B);
  g_assert_true (tpd_fingerprint_equal (&a.fingerprint, &again.fingerprint));
  g_assert_false (tpd_fingerprint_equal (&a.fingerprint, &b.fingerprint));
  g_assert_cmpuint (a.bits, ==, 2048);
  g_assert_cmpuint (a.len, ==, 256);
  g_assert_cmpuint (b.bits, ==, 1024);
  g_assert_cmpuint (b.exponent, ==, 65537);
}

static void
byte_order_and_zeros (void)
{
  TpdPublicKey be, le;
  gsize len;
  g_autofree guint8 *modulus = unhex (MODULUS_B, &len);
  guint8 padded[140] = { 0 }, reversed[140] = { 0 };

  g_assert_cmpuint (len, ==, 128);
  memcpy (padded + 12, modulus, len);
  for (gsize i = 0; i < len; i++)
    reversed[i] = modulus[len - 1 - i];
  g_assert_true (tpd_public_key_from_be (&be, padded, sizeof padded, 65537));
  g_assert_true (tpd_public_key_from_le (&le, reversed, sizeof reversed, 65537));
  g_assert_cmpmem (&be, sizeof be, &le, sizeof le);
  assert_hex (be.modulus, be.len, MODULUS_B);
  assert_hex (be.fingerprint.bytes, TPD_SHA256_SIZE, FINGERPRINT_B);
}

static void
bounds (void)
{
  static guint8 modulus[4096];
  TpdPublicKey key;

  g_assert_false (tpd_public_key_from_be (&key, NULL, 0, 3));
  g_assert_false (tpd_public_key_from_le (&key, NULL, 0, 3));
  g_assert_false (tpd_public_key_from_be (&key, modulus, sizeof modulus, 3));
  g_assert_false (tpd_public_key_from_le (&key, modulus, sizeof modulus, 3));

  memset (modulus, 0xff, sizeof modulus);
  g_assert_false (tpd_public_key_from_be (&key, modulus, sizeof modulus, 3));
  g_assert_false (tpd_public_key_from_be (&key, modulus, 513, 3));
  g_assert_false (tpd_public_key_from_le (&key, modulus, 513, 3));
  g_assert_true (tpd_public_key_from_be (&key, modulus, 512, 3));
  g_assert_cmpuint (key.bits, ==, 4096);
  g_assert_true (tpd_public_key_from_be (&key, modulus, 64, 3));
  g_assert_cmpuint (key.bits, ==, 512);

  modulus[0] = 0x7f;
  g_assert_false (tpd_public_key_from_be (&key, modulus, 64, 3));
  g_assert_true (tpd_public_key_from_be (&key, modulus, 65, 3));
  g_assert_cmpuint (key.bits, ==, 519);

  modulus[63] = 0xfe;
  modulus[0] = 0xff;
  g_assert_false (tpd_public_key_from_be (&key, modulus, 64, 3));
  modulus[0] = 0xfe;
  g_assert_false (tpd_public_key_from_le (&key, modulus, 64, 3));
}

static void
genuine_signatures (void)
{
  TpdPublicKey a, b, c;
  guint8 sha1[TPD_SHA1_SIZE];

  tpd_sha1 (MESSAGE, strlen (MESSAGE), sha1);
  assert_hex (sha1, sizeof sha1, MESSAGE_SHA1);
  public_key (&a, MODULUS_A, 3);
  public_key (&b, MODULUS_B, 65537);
  public_key (&c, MODULUS_C, 65537);
  g_assert_true (verify (&a, MESSAGE_SHA1, SHA1_A));
  g_assert_true (verify (&a, MESSAGE_SHA256, SHA256_A));
  g_assert_true (verify (&b, MESSAGE_SHA1, SHA1_B));
  g_assert_true (verify (&b, MESSAGE_SHA256, SHA256_B));
  g_assert_true (verify (&c, MESSAGE_SHA1, SHA1_C));
  g_assert_true (verify (&c, MESSAGE_SHA256, SHA256_C));
}

static void
altered_signatures (void)
{
  TpdPublicKey b, wrong_exponent;
  gsize len;
  g_autofree guint8 *signature = unhex (SHA1_B, &len);
  g_autofree guint8 *longer = g_malloc0 (len + 1);
  guint8 sha1[TPD_SHA1_SIZE];

  public_key (&b, MODULUS_B, 65537);
  public_key (&wrong_exponent, MODULUS_B, 3);
  tpd_sha1 (MESSAGE, strlen (MESSAGE), sha1);
  g_assert_true (tpd_public_key_verify (&b, sha1, sizeof sha1, signature, len));
  g_assert_false (tpd_public_key_verify (&wrong_exponent, sha1, sizeof sha1, signature, len));
  for (gsize i = 0; i < len; i++)
    {
      signature[i] ^= 1;
      g_assert_false (tpd_public_key_verify (&b, sha1, sizeof sha1, signature, len));
      signature[i] ^= 1;
    }
  for (gsize i = 0; i < sizeof sha1; i++)
    {
      sha1[i] ^= 0x80;
      g_assert_false (tpd_public_key_verify (&b, sha1, sizeof sha1, signature, len));
      sha1[i] ^= 0x80;
    }

  memcpy (longer + 1, signature, len);
  g_assert_false (tpd_public_key_verify (&b, sha1, sizeof sha1, longer, len + 1));
  g_assert_false (tpd_public_key_verify (&b, sha1, sizeof sha1, signature, len - 1));
  g_assert_false (tpd_public_key_verify (&b, sha1, sizeof sha1, signature, 0));
  g_assert_false (tpd_public_key_verify (&b, sha1, sizeof sha1 - 1, signature, len));
}

static void
mixed_up_keys_and_digests (void)
{
  TpdPublicKey a, b;

  public_key (&a, MODULUS_A, 3);
  public_key (&b, MODULUS_B, 65537);
  g_assert_false (verify (&a, MESSAGE_SHA1, SHA1_B));
  g_assert_false (verify (&b, MESSAGE_SHA1, SHA1_A));
  g_assert_false (verify (&b, MESSAGE_SHA256, SHA1_B));
  g_assert_false (verify (&b, MESSAGE_SHA1, SHA256_B));
}

static void
forgeries (void)
{
  TpdPublicKey a, b, identity;
  g_autofree char *filler = g_strnfill (2 * (128 - 3 - 15 - 20), 'f');
  g_autofree char *encoding = g_strconcat ("0001", filler, "003021300906052b0e03021a05000414" MESSAGE_SHA1, NULL);

  public_key (&a, MODULUS_A, 3);
  public_key (&b, MODULUS_B, 65537);
  g_assert_false (verify (&a, MESSAGE_SHA1, FORGED_A));
  g_assert_false (verify (&a, MESSAGE_SHA1, OVER_A));
  g_assert_false (verify (&b, MESSAGE_SHA1, NO_NULL_B));

  public_key (&identity, MODULUS_B, 1);
  g_assert_false (verify (&identity, MESSAGE_SHA1, encoding));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  EVP_set_default_properties (NULL, "fips=yes");
  g_test_add_func ("/digest/published-vectors", published_digests);
  g_test_add_func ("/digest/two-at-once-published-vectors", published_pairs);
  g_test_add_func ("/digest/two-at-once-in-pieces", pairs_in_pieces);
  g_test_add_func ("/digest/system-policy-is-no-obstacle", policy_is_no_obstacle);
  g_test_add_func ("/public-key/fingerprint-is-sha256-of-modulus", fingerprints);
  g_test_add_func ("/public-key/either-byte-order-zeros-stripped", byte_order_and_zeros);
  g_test_add_func ("/public-key/refuses-sizes-out-of-bounds-and-even-moduli", bounds);
  g_test_add_func ("/signature/genuine-ones-verify", genuine_signatures);
  g_test_add_func ("/signature/any-altered-byte-or-length-fails", altered_signatures);
  g_test_add_func ("/signature/other-key-or-digest-fails", mixed_up_keys_and_digests);
  g_test_add_func ("/signature/forgeries-fail", forgeries);
  return g_test_run ();
}
