/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content ciphers against vectors, and against a reference that encrypts block
 * by block from the written rules, with nothing but AES on one block.
 */
#include "crypto/cipher.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <json-glib/json-glib.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/error.h"
#include "crypto/aes_wide.h"

static const guint8 test_key[32] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                     16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 };

typedef struct {
  TpdCipherMode mode;
  TpdIvRule rule;
  gsize segment; /* 0: ECB */
} Variant;

static const Variant variants[] = {
  { TPD_CIPHER_ECB, TPD_IV_INDEX, 0 },
  { TPD_CIPHER_CBC4K, TPD_IV_INDEX, 4096 },
  { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_INDEX, 4096 },
  { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_OFFSET, 4096 },
  { TPD_CIPHER_CBC512, TPD_IV_OFFSET, 512 },
};

/* How many blocks the processor's wide instructions decrypt; 0: OpenSSL does. */
static guint width;

/* What OpenSSL has allocated, seen through CRYPTO_set_mem_functions(). */
static atomic_long allocations, live;

static void *
count_malloc (size_t len, const char *file, int line)
{
  void *data = malloc (len);

  allocations++;
  live += data != NULL;
  return data;
}

static void *
count_realloc (void *data, size_t len, const char *file, int line)
{
  allocations++;
  live += data == NULL;
  return realloc (data, len);
}

static void
count_free (void *data, const char *file, int line)
{
  live -= data != NULL;
  free (data);
}

static void
from_hex (const char *text, guint8 *out, gsize len)
{
  g_assert_cmpuint (strlen (text), ==, 2 * len);
  for (gsize i = 0; i < len; i++)
    out[i] = (guint8) (g_ascii_xdigit_value (text[2 * i]) << 4 | g_ascii_xdigit_value (text[2 * i + 1]));
}

static void
assert_hex (const guint8 *bytes, gsize len, const char *expected)
{
  g_autofree guint8 *wanted = g_malloc0 (len);

  from_hex (expected, wanted, len);
  g_assert_cmpmem (bytes, len, wanted, len);
}

static guint8 *
plain_bytes (gsize len)
{
  guint8 *plain = g_malloc (len + 1);

  for (gsize i = 0; i < len; i++)
    plain[i] = (guint8) (7 * i + 3);
  return plain;
}

static void
aes_block (const guint8 *key, gsize key_len, const guint8 in[16], guint8 out[16])
{
  const EVP_CIPHER *aes = key_len == 16 ? EVP_aes_128_ecb () : key_len == 24 ? EVP_aes_192_ecb () : EVP_aes_256_ecb ();
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new ();
  int len = 0;

  g_assert_true (EVP_EncryptInit_ex (context, aes, NULL, key, NULL) == 1);
  g_assert_true (EVP_EncryptUpdate (context, out, &len, in, 16) == 1);
  g_assert_cmpint (len, ==, 16);
  EVP_CIPHER_CTX_free (context);
}

/* The IV of the segment that starts at `offset`. */
static void
reference_iv (const Variant *variant, const guint8 *key, gsize key_len, guint64 offset, guint8 iv[16])
{
  guint64 number = variant->rule == TPD_IV_OFFSET ? offset : offset / variant->segment;
  guint8 counter[16] = { 0 };

  for (guint i = 0; i < 8; i++)
    counter[i] = (guint8) (number >> (8 * i));
  aes_block (key, key_len, counter, iv);
}

/* Encrypts `len` bytes (a multiple of 16) that lie at `offset`, a segment's start. */
static void
reference_encrypt (const Variant *variant, const guint8 *key, gsize key_len, guint8 *data, gsize len, guint64 offset)
{
  guint8 chain[16] = { 0 };

  for (gsize i = 0; i < len; i += 16)
    {
      if (variant->segment != 0)
        {
          if (i % variant->segment == 0)
            reference_iv (variant, key, key_len, offset + i, chain);
          for (guint b = 0; b < 16; b++)
            data[i + b] ^= chain[b];
        }
      aes_block (key, key_len, data + i, data + i);
      memcpy (chain, data + i, 16);
    }
}

/* PKCS#7 where the mode has padding, else zeros. */
static guint8 *
pad (const Variant *variant, const guint8 *plain, gsize len, gsize *padded_len)
{
  guint8 fill = variant->mode == TPD_CIPHER_CBC4K ? (guint8) (16 - len % 16) : 0;
  guint8 *padded;

  *padded_len = variant->mode == TPD_CIPHER_CBC4K ? (len / 16 + 1) * 16 : (len + 15) / 16 * 16;
  padded = g_malloc (*padded_len + 1);
  memset (padded, fill, *padded_len);
  memcpy (padded, plain, len);
  return padded;
}

static TpdContentCipher *
cipher_new (const Variant *variant, const guint8 *key, gsize key_len)
{
  g_autoptr (GError) error = NULL;
  TpdContentCipher *cipher = tpd_content_cipher_new (key, key_len, variant->mode, variant->rule, &error);

  g_assert_no_error (error);
  g_assert_nonnull (cipher);
  return cipher;
}

static void
decrypt (TpdContentCipher *cipher, guint8 *data, gsize len, guint64 offset)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (tpd_content_cipher_decrypt (cipher, data, len, offset, &error));
  g_assert_no_error (error);
}

static JsonParser *
load_vectors (void)
{
  g_autofree char *path = g_build_filename (g_getenv ("TPD_FIXTURES"), "cipher-vectors.json", NULL);
  g_autoptr (GError) error = NULL;
  JsonParser *parser = json_parser_new ();

  json_parser_load_from_file (parser, path, &error);
  g_assert_no_error (error);
  return parser;
}

static void
check_vector (JsonObject *vector)
{
  const char *word = json_object_get_string_member (vector, "mode");
  gsize key_len = (gsize) json_object_get_int_member (vector, "keylen");
  gsize plain_len = (gsize) json_object_get_int_member (vector, "plainlen");
  gsize body_len = (gsize) json_object_get_int_member (vector, "cipherlen");
  const Variant *variant = &variants[g_str_equal (word, "ECB") ? 0 : g_str_equal (word, "CBC4K") ? 1 : 4];
  g_autoptr (TpdContentCipher) cipher = cipher_new (variant, test_key, key_len);
  g_autofree guint8 *plain = plain_bytes (plain_len);
  g_autofree guint8 *data = NULL, *padded = NULL;
  g_autofree char *sha256 = NULL;
  gsize padded_len;

  g_assert_cmpuint (tpd_cipher_mode_body_size (variant->mode, plain_len, FALSE), ==, body_len);
  padded = pad (variant, plain, plain_len, &padded_len);
  g_assert_cmpuint (padded_len, ==, body_len);
  data = g_memdup2 (padded, body_len + 1);
  reference_encrypt (variant, test_key, key_len, data, body_len, 0);
  sha256 = g_compute_checksum_for_data (G_CHECKSUM_SHA256, data, body_len);
  g_assert_cmpstr (sha256, ==, json_object_get_string_member (vector, "sha256"));
  if (body_len > 0)
    {
      assert_hex (data, 16, json_object_get_string_member (vector, "first16"));
      assert_hex (data + body_len - 16, 16, json_object_get_string_member (vector, "last16"));
    }

  decrypt (cipher, data, body_len, 0);
  g_assert_cmpmem (data, body_len, padded, body_len);
  if (variant->mode == TPD_CIPHER_CBC4K)
    g_assert_cmpuint (tpd_pkcs7_length (data + body_len - 16), ==, body_len - plain_len);
}

static void
vectors (void)
{
  g_autoptr (JsonParser) parser = load_vectors ();
  JsonArray *list = json_object_get_array_member (json_node_get_object (json_parser_get_root (parser)), "vectors");

  g_assert_cmpuint (json_array_get_length (list), ==, 135);
  for (guint i = 0; i < json_array_get_length (list); i++)
    check_vector (json_array_get_object_element (list, i));
}

/* Decrypted in segment n, the encryption of a zero block shows the IV of n. */
static void
assert_iv (const Variant *variant, gsize key_len, guint64 segment, const char *expected)
{
  g_autoptr (TpdContentCipher) cipher = cipher_new (variant, test_key, key_len);
  guint8 block[16] = { 0 };

  aes_block (test_key, key_len, block, block);
  decrypt (cipher, block, sizeof block, segment * variant->segment);
  assert_hex (block, sizeof block, expected);
}

static void
iv_constants (void)
{
  static const struct {
    gsize variant;
    guint64 segment;
    const char *iv;
  } constants[] = {
    { 2, 0, "f29000b62a499fd0a9f39a6add2e7780" }, { 2, 1, "c7b519846a11411cd6ac07cb03f801a8" },
    { 2, 2, "4ef4b88bebd54953c37ffaf66efaca7b" }, { 3, 0, "f29000b62a499fd0a9f39a6add2e7780" },
    { 3, 1, "15aa0a393a8a6099a58759e05e5ea4bd" }, { 3, 2, "ea095683ad7dae70d68f67c4c3e782ee" },
    { 4, 8, "15aa0a393a8a6099a58759e05e5ea4bd" }, { 4, 16, "ea095683ad7dae70d68f67c4c3e782ee" },
  };
  g_autoptr (JsonParser) parser = load_vectors ();
  JsonObject *ivs = json_object_get_object_member (json_node_get_object (json_parser_get_root (parser)), "ivs");
  g_autoptr (GList) names = json_object_get_members (ivs);

  g_assert_cmpuint (g_list_length (names), ==, 15);
  for (const GList *l = names; l != NULL; l = l->next)
    {
      g_auto (GStrv) parts = g_strsplit (l->data, "_", -1);

      g_assert_cmpuint (g_strv_length (parts), ==, 4);
      assert_iv (&variants[1], (gsize) g_ascii_strtoull (parts[2], NULL, 10), g_ascii_strtoull (parts[3], NULL, 10),
                 json_object_get_string_member (ivs, l->data));
    }
  for (guint i = 0; i < G_N_ELEMENTS (constants); i++)
    assert_iv (&variants[constants[i].variant], 32, constants[i].segment, constants[i].iv);
}

/* From the unit tests Microsoft published with its C++ SDK. */
static void
published_text (void)
{
  guint8 key[16], data[16];

  from_hex ("7bddca3c7ff9bdc8eea7a8eb63d01f11", key, sizeof key);
  from_hex ("ea21b48f530be23b6d654db9302dd1ff", data, sizeof data);
  g_autoptr (TpdContentCipher) cipher = cipher_new (&variants[1], key, sizeof key);
  decrypt (cipher, data, sizeof data, 0);
  g_assert_cmpuint (tpd_pkcs7_length (data), ==, 6);
  g_assert_cmpmem (data, 10, "Plain Text", 10);
}

static void
beyond_32_bit (void)
{
  static const guint64 segments[] = { G_MAXUINT32, (guint64) G_MAXUINT32 + 1, ((guint64) 1 << 51) - 1 };

  for (guint v = 0; v < G_N_ELEMENTS (variants); v++)
    for (guint s = 0; s < G_N_ELEMENTS (segments); s++)
      {
        gsize segment = MAX (variants[v].segment, 16), len = 3 * segment;
        guint64 offset = (segments[s] - 1) * segment;
        g_autoptr (TpdContentCipher) cipher = cipher_new (&variants[v], test_key, 32);
        g_autofree guint8 *plain = plain_bytes (len);
        g_autofree guint8 *data = g_memdup2 (plain, len);

        reference_encrypt (&variants[v], test_key, 32, data, len, offset);
        decrypt (cipher, data, len, offset);
        g_assert_cmpmem (data, len, plain, len);
      }
}

typedef struct {
  TpdContentCipher *cipher;
  gsize segment, len;
  guint8 *plain, *body;
} Sample;

/* Ends within a segment and needs several batches. */
static void
sample_init (Sample *sample, const Variant *variant, gsize key_len, guint8 salt)
{
  guint8 key[32];

  for (guint i = 0; i < sizeof key; i++)
    key[i] = test_key[i] ^ salt;
  sample->segment = MAX (variant->segment, 16);
  sample->len = 150 * sample->segment + (variant->segment != 0 ? 48 : 0);
  sample->plain = plain_bytes (sample->len);
  sample->body = g_memdup2 (sample->plain, sample->len);
  sample->cipher = cipher_new (variant, key, key_len);
  reference_encrypt (variant, key, key_len, sample->body, sample->len, 0);
}

static void
sample_clear (Sample *sample)
{
  tpd_content_cipher_unref (sample->cipher);
  g_free (sample->plain);
  g_free (sample->body);
}

static void
sample_check (const Sample *sample, gsize offset, gsize len, guint8 *buffer)
{
  len = MIN (len, sample->len - offset);
  memcpy (buffer, sample->body + offset, len);
  memset (buffer + len, 0xa5, 16);
  decrypt (sample->cipher, buffer, len, offset);
  g_assert_cmpmem (buffer, len, sample->plain + offset, len);
  for (guint i = 0; i < 16; i++)
    g_assert_cmpuint (buffer[len + i], ==, 0xa5);
}

static void
random_access (void)
{
  static const gsize key_lens[] = { 16, 24, 32 };

  for (guint v = 0; v < G_N_ELEMENTS (variants); v++)
    for (guint k = 0; k < G_N_ELEMENTS (key_lens); k++)
      {
        Sample sample;
        g_autofree guint8 *buffer = NULL;

        sample_init (&sample, &variants[v], key_lens[k], 0);
        buffer = g_malloc (sample.len + 16);
        for (gsize offset = 0; offset < sample.len; offset += sample.segment)
          {
            sample_check (&sample, offset, 16, buffer);
            sample_check (&sample, offset, sample.segment, buffer);
            sample_check (&sample, offset, sample.segment + 16, buffer);
            sample_check (&sample, offset, 64 * sample.segment, buffer);
            sample_check (&sample, offset, 65 * sample.segment, buffer);
            sample_check (&sample, offset, sample.len, buffer);
          }
        sample_clear (&sample);
      }
}

static void
long_runs (void)
{
  gsize len = 3 * 1024 * 1024 + 16;
  g_autofree guint8 *plain = g_malloc0 (len);
  g_autofree guint8 *data = g_malloc (len);
  g_autoptr (TpdContentCipher) cipher = cipher_new (&variants[0], test_key, 32);
  guint8 sealed[16] = { 0 };

  aes_block (test_key, 32, sealed, sealed);
  for (gsize i = 0; i < len; i += 16)
    memcpy (data + i, sealed, 16);
  decrypt (cipher, data, len, 0);
  g_assert_true (memcmp (data, plain, len) == 0);
}

/* What is decrypted together, and each number of blocks that is left over. */
static void
every_length (void)
{
  static const gsize key_lens[] = { 16, 24, 32 };
  const gsize max = 4096 + 1024;
  g_autoptr (GRand) random = g_rand_new_with_seed (1);
  g_autofree guint8 *plain = g_malloc (max);
  g_autofree guint8 *body = g_malloc (max);
  g_autofree guint8 *buffer = g_malloc (1 + max + 16);

  for (gsize i = 0; i < max; i++)
    plain[i] = (guint8) g_rand_int (random);
  for (guint v = 0; v < G_N_ELEMENTS (variants); v++)
    for (guint k = 0; k < G_N_ELEMENTS (key_lens); k++)
      {
        g_autoptr (TpdContentCipher) cipher = cipher_new (&variants[v], test_key, key_lens[k]);

        memcpy (body, plain, max);
        reference_encrypt (&variants[v], test_key, key_lens[k], body, max, 0);
        for (gsize len = 16; len <= max; len += 16)
          {
            guint8 *at = buffer + len / 16 % 2;

            memcpy (at, body, len);
            memset (at + len, 0xa5, 16);
            decrypt (cipher, at, len, 0);
            g_assert_cmpmem (at, len, plain, len);
            for (guint i = 0; i < 16; i++)
              g_assert_cmpuint (at[len + i], ==, 0xa5);
          }
      }
}

/* More ciphers than a thread keeps contexts for. */
#define SAMPLES 12
#define THREADS 8

typedef struct {
  const Sample *samples;
  guint32 seed;
} Reader;

static gpointer
reader_run (gpointer data)
{
  const Reader *reader = data;
  g_autoptr (GRand) random = g_rand_new_with_seed (reader->seed);
  g_autofree guint8 *buffer = g_malloc (151 * 4096 + 16);

  for (guint i = 0; i < 600; i++)
    {
      const Sample *sample = &reader->samples[g_rand_int_range (random, 0, SAMPLES)];
      gsize offset = (gsize) g_rand_int_range (random, 0, 150) * sample->segment;
      gsize len = (gsize) g_rand_int_range (random, 1, 100) * (i % 2 ? sample->segment : 16);

      sample_check (sample, offset, len, buffer);
    }
  return NULL;
}

static void
eight_threads (void)
{
  Sample samples[SAMPLES];
  Reader readers[THREADS];
  GThread *threads[THREADS];
  long live_before;

  for (guint i = 0; i < SAMPLES; i++)
    sample_init (&samples[i], &variants[i % G_N_ELEMENTS (variants)], i % 3 * 8 + 16, (guint8) i);
  /* What is made once in the process's life is made here. */
  readers[0] = (Reader){ samples, 0 };
  g_thread_join (g_thread_new ("first", reader_run, &readers[0]));
  live_before = live;
  for (guint i = 0; i < THREADS; i++)
    {
      readers[i] = (Reader){ samples, i + 1 };
      threads[i] = g_thread_new ("reader", reader_run, &readers[i]);
    }
  for (guint i = 0; i < THREADS; i++)
    g_thread_join (threads[i]);
  /* The threads took their contexts with them. */
  g_assert_cmpint (live, ==, live_before);
  for (guint i = 0; i < SAMPLES; i++)
    sample_clear (&samples[i]);
}

static void
allocates_nothing (void)
{
  for (guint v = 0; v < G_N_ELEMENTS (variants); v++)
    {
      g_autoptr (TpdContentCipher) cipher = cipher_new (&variants[v], test_key, 32);
      g_autofree guint8 *data = g_malloc0 (300000 / 16 * 16);
      long before = allocations;

      decrypt (cipher, data, 16, 0);
      if (width == 0)
        g_assert_cmpint (allocations, >, before);
      before = allocations;
      for (guint i = 0; i < 20; i++)
        decrypt (cipher, data, 300000 / 16 * 16, i * 4096);
      g_assert_cmpint (allocations, ==, before);
    }
}

static void
successor_at_the_same_address (void)
{
  for (guint i = 0; i < 100; i++)
    {
      const Variant *variant = &variants[i % G_N_ELEMENTS (variants)];
      guint8 key[16] = { (guint8) i }, data[32] = { 1, 2, 3 }, plain[32] = { 1, 2, 3 };
      TpdContentCipher *cipher = cipher_new (variant, key, sizeof key);

      reference_encrypt (variant, key, sizeof key, data, sizeof data, 0);
      decrypt (cipher, data, sizeof data, 0);
      g_assert_cmpmem (data, sizeof data, plain, sizeof plain);
      tpd_content_cipher_unref (cipher);
    }
}

static void
refusals (void)
{
  static const gsize key_lens[] = { 0, 8, 15, 17, 31, 33, 64 };
  static const struct {
    gsize variant, len;
    guint64 offset;
  } calls[] = {
    { 0, 15, 0 },    { 0, 16, 8 },    { 0, 32, G_MAXUINT64 - 15 },    { 1, 16, 16 },
    { 1, 4095, 0 },  { 2, 16, 2048 }, { 3, 32, G_MAXUINT64 - 4080 },  { 4, 16, 256 },
    { 4, 513, 512 }, { 4, 1, 0 },     { 4, 1024, G_MAXUINT64 - 511 }, { 3, 4096 + 16, G_MAXUINT64 - 4095 },
  };
  guint8 key[64] = { 0 }, data[4112], zeros[4112] = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (key_lens); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (tpd_content_cipher_new (key, key_lens[i], TPD_CIPHER_ECB, TPD_IV_INDEX, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED);
    }
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    {
      g_autoptr (TpdContentCipher) cipher = cipher_new (&variants[calls[i].variant], key, 16);
      g_autoptr (GError) error = NULL;

      memset (data, 0x5a, sizeof data);
      g_assert_false (tpd_content_cipher_decrypt (cipher, data, calls[i].len, calls[i].offset, &error));
      g_assert_cmpint (tpd_error_get_errno (error), ==, EINVAL);
      g_assert_cmpmem (data, calls[i].len, zeros, calls[i].len);
    }
  g_autoptr (TpdContentCipher) cipher = cipher_new (&variants[1], key, 16);
  g_assert_true (tpd_content_cipher_decrypt (cipher, NULL, 0, 4096, NULL));
}

static void
properties (void)
{
  g_autoptr (TpdContentCipher) index = cipher_new (&variants[2], test_key, 24);
  g_autoptr (TpdContentCipher) offset = cipher_new (&variants[3], test_key, 32);
  g_autoptr (TpdContentCipher) other = tpd_content_cipher_ref (index);

  g_assert_true (other == index);
  g_assert_cmpint (tpd_content_cipher_mode (index), ==, TPD_CIPHER_CBC4K_NOPAD);
  g_assert_cmpint (tpd_content_cipher_iv_rule (index), ==, TPD_IV_INDEX);
  g_assert_cmpint (tpd_content_cipher_iv_rule (offset), ==, TPD_IV_OFFSET);
  g_assert_cmpuint (tpd_content_cipher_key_len (index), ==, 24);
  g_assert_cmpuint (tpd_content_cipher_key_len (offset), ==, 32);
}

/* The rule given to a mode that has only one is of no account. */
static void
fixed_rules (void)
{
  static const Variant wrong[] = { { TPD_CIPHER_CBC4K, TPD_IV_OFFSET, 4096 },
                                   { TPD_CIPHER_CBC512, TPD_IV_INDEX, 512 } };

  assert_iv (&wrong[0], 32, 1, "c7b519846a11411cd6ac07cb03f801a8");
  assert_iv (&wrong[1], 32, 8, "15aa0a393a8a6099a58759e05e5ea4bd");
}

static void
names (void)
{
  g_assert_cmpstr (tpd_cipher_name (TPD_CIPHER_ECB, 16), ==, "aes-128-ecb");
  g_assert_cmpstr (tpd_cipher_name (TPD_CIPHER_ECB, 24), ==, "aes-192-ecb");
  g_assert_cmpstr (tpd_cipher_name (TPD_CIPHER_CBC4K, 32), ==, "aes-256-cbc4k");
  g_assert_cmpstr (tpd_cipher_name (TPD_CIPHER_CBC4K_NOPAD, 32), ==, "aes-256-cbc4k-nopad");
  g_assert_cmpstr (tpd_cipher_name (TPD_CIPHER_CBC512, 16), ==, "aes-128-cbc512");
  g_assert_cmpstr (tpd_cipher_name (TPD_CIPHER_CBC512, 32), ==, "aes-256-cbc512");
  g_assert_cmpstr (tpd_cipher_name (TPD_CIPHER_ECB, 8), ==, "unknown");
}

static void
mode_words (void)
{
  static const struct {
    guint16 word;
    TpdCipherMode mode;
  } words[] = {
    { 0xffff, TPD_CIPHER_ECB },    { 0xfffe, TPD_CIPHER_CBC4K_NOPAD }, { 0xfeff, TPD_CIPHER_CBC4K_NOPAD },
    { 0xfffd, TPD_CIPHER_CBC4K },  { 0xfdff, TPD_CIPHER_CBC4K },       { 0xfffc, TPD_CIPHER_CBC512 },
    { 0xfcff, TPD_CIPHER_CBC512 },
  };
  guint known = 0;

  for (guint word = 0; word <= 0xffff; word++)
    {
      TpdCipherMode mode;

      if (!tpd_cipher_mode_from_word ((guint16) word, &mode))
        continue;
      known++;
      for (guint i = 0; i < G_N_ELEMENTS (words); i++)
        if (words[i].word == word)
          g_assert_cmpint (mode, ==, words[i].mode);
    }
  g_assert_cmpuint (known, ==, G_N_ELEMENTS (words));
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    {
      TpdCipherMode mode;

      g_assert_true (tpd_cipher_mode_from_word (words[i].word, &mode));
    }
}

static void
sizes (void)
{
  static const struct {
    TpdCipherMode mode;
    guint64 plain, exact, whole;
  } laws[] = {
    { TPD_CIPHER_ECB, 0, 0, 0 },
    { TPD_CIPHER_ECB, 17, 32, 32 },
    { TPD_CIPHER_CBC4K, 0, 16, 16 },
    { TPD_CIPHER_CBC4K, 4095, 4096, 4096 },
    { TPD_CIPHER_CBC4K, 4096, 4112, 4112 },
    { TPD_CIPHER_CBC4K_NOPAD, 0, 0, 0 },
    { TPD_CIPHER_CBC4K_NOPAD, 1, 16, 4096 },
    { TPD_CIPHER_CBC4K_NOPAD, 4096, 4096, 4096 },
    { TPD_CIPHER_CBC4K_NOPAD, 4097, 4112, 8192 },
    { TPD_CIPHER_CBC512, 512, 512, 512 },
    { TPD_CIPHER_CBC512, 513, 528, 1024 },
    { TPD_CIPHER_CBC512, (guint64) 5 << 32 | 1, ((guint64) 5 << 32) + 16, ((guint64) 5 << 32) + 512 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (laws); i++)
    {
      g_assert_cmpuint (tpd_cipher_mode_body_size (laws[i].mode, laws[i].plain, FALSE), ==, laws[i].exact);
      g_assert_cmpuint (tpd_cipher_mode_body_size (laws[i].mode, laws[i].plain, TRUE), ==, laws[i].whole);
      /* A hostile size must not wrap round to a small one. */
      for (guint64 less = 0; less < 5000; less += 100)
        g_assert_cmpuint (tpd_cipher_mode_body_size (laws[i].mode, G_MAXUINT64 - less, i % 2), >, G_MAXUINT64 / 2);
    }
  g_assert_cmpuint (tpd_cipher_mode_segment (TPD_CIPHER_ECB), ==, 16);
  g_assert_cmpuint (tpd_cipher_mode_segment (TPD_CIPHER_CBC4K), ==, 4096);
  g_assert_cmpuint (tpd_cipher_mode_segment (TPD_CIPHER_CBC4K_NOPAD), ==, 4096);
  g_assert_cmpuint (tpd_cipher_mode_segment (TPD_CIPHER_CBC512), ==, 512);
}

static void
padding (void)
{
  guint8 block[16];

  for (guint count = 1; count <= 16; count++)
    {
      memset (block, 0x77, sizeof block);
      memset (block + 16 - count, (int) count, count);
      g_assert_cmpuint (tpd_pkcs7_length (block), ==, count);
      for (guint i = 16 - count; i < 15; i++)
        {
          block[i] ^= 0x20;
          g_assert_cmpuint (tpd_pkcs7_length (block), ==, 0);
          block[i] ^= 0x20;
        }
    }
  for (guint last = 0; last < 256; last++)
    {
      memset (block, (int) last, sizeof block);
      g_assert_cmpuint (tpd_pkcs7_length (block), ==, last >= 1 && last <= 16 ? last : 0);
    }
}

typedef struct {
  const char *name;
  void (*run) (void);
} Test;

static const Test tests[] = {
  { "every-vector", vectors },
  { "iv-constants", iv_constants },
  { "modes-with-one-iv-rule-keep-it", fixed_rules },
  { "text-published-by-microsoft", published_text },
  { "segments-beyond-32-bit", beyond_32_bit },
  { "random-access-at-every-segment", random_access },
  { "long-runs", long_runs },
  { "every-length-at-any-address", every_length },
  { "eight-threads-share-twelve-ciphers", eight_threads },
  { "allocates-nothing-once-met", allocates_nothing },
  { "successor-at-the-same-address", successor_at_the_same_address },
  { "refusals-wipe-the-data", refusals },
  { "properties", properties },
};

static void
run_by (gconstpointer data, guint blocks)
{
  width = tpd_aes_wide_set_limit (blocks);
  if (width == blocks)
    ((const Test *) data)->run ();
  else
    g_test_skip ("this processor does not decrypt so many blocks at once");
}

static void
run_by_fours (gconstpointer data)
{
  run_by (data, 4);
}

static void
run_by_twos (gconstpointer data)
{
  run_by (data, 2);
}

static void
run_by_openssl (gconstpointer data)
{
  run_by (data, 0);
}

int
main (int argc, char **argv)
{
  g_assert_true (CRYPTO_set_mem_functions (count_malloc, count_realloc, count_free) == 1);
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *fours = g_strconcat ("/cipher/by-fours/", tests[i].name, NULL);
      g_autofree char *twos = g_strconcat ("/cipher/by-twos/", tests[i].name, NULL);
      g_autofree char *openssl = g_strconcat ("/cipher/by-openssl/", tests[i].name, NULL);

      g_test_add_data_func (fours, &tests[i], run_by_fours);
      g_test_add_data_func (twos, &tests[i], run_by_twos);
      g_test_add_data_func (openssl, &tests[i], run_by_openssl);
    }
  g_test_add_func ("/cipher/names", names);
  g_test_add_func ("/cipher/mode-words-in-either-byte-order", mode_words);
  g_test_add_func ("/cipher/body-sizes", sizes);
  g_test_add_func ("/cipher/pkcs7", padding);
  return g_test_run ();
}
