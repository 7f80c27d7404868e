/* SPDX-License-Identifier: Apache-2.0 */
/*
 * However ENABLINGBITS are wrong, they cost the same work before they are
 * refused. The work is counted, not timed: the linker puts counters before the
 * functions that cost time (--wrap).
 */
#include <openssl/evp.h>

#include "crypto/padding.h"
#include "recipe.h"

/* The work of one unwrap. */
static struct {
  guint rsa, pkcs1, oaep_sha1, oaep_sha256, aes;
} work;

gboolean __real_tpd_private_key_raw (TpdPrivateKey *key, const guint8 *in, gsize len, guint8 *out);
gboolean __wrap_tpd_private_key_raw (TpdPrivateKey *key, const guint8 *in, gsize len, guint8 *out);
guint __real_tpd_private_key_raw_many (TpdPrivateKey *key, const guint8 *const *in, guint8 *const *out, guint n);
guint __wrap_tpd_private_key_raw_many (TpdPrivateKey *key, const guint8 *const *in, guint8 *const *out, guint n);
gboolean __real_tpd_unpad_pkcs1 (const guint8 *em, gsize em_len, guint8 *out, gsize *out_len);
gboolean __wrap_tpd_unpad_pkcs1 (const guint8 *em, gsize em_len, guint8 *out, gsize *out_len);
gboolean __real_tpd_unpad_oaep (const guint8 *em, gsize em_len, gboolean sha256, guint8 *out, gsize *out_len);
gboolean __wrap_tpd_unpad_oaep (const guint8 *em, gsize em_len, gboolean sha256, guint8 *out, gsize *out_len);
int __real_EVP_DecryptUpdate (EVP_CIPHER_CTX *context, guint8 *out, int *out_len, const guint8 *in, int len);
int __wrap_EVP_DecryptUpdate (EVP_CIPHER_CTX *context, guint8 *out, int *out_len, const guint8 *in, int len);

gboolean
__wrap_tpd_private_key_raw (TpdPrivateKey *key, const guint8 *in, gsize len, guint8 *out)
{
  gboolean ok = __real_tpd_private_key_raw (key, in, len, out);
  /* One that OpenSSL rejects at the door is no work. */
  work.rsa += ok;
  return ok;
}

guint
__wrap_tpd_private_key_raw_many (TpdPrivateKey *key, const guint8 *const *in, guint8 *const *out, guint n)
{
  guint done = __real_tpd_private_key_raw_many (key, in, out, n);

  for (guint i = 0; i < n; i++)
    work.rsa += done >> i & 1;
  return done;
}

gboolean
__wrap_tpd_unpad_pkcs1 (const guint8 *em, gsize em_len, guint8 *out, gsize *out_len)
{
  work.pkcs1++;
  return __real_tpd_unpad_pkcs1 (em, em_len, out, out_len);
}

gboolean
__wrap_tpd_unpad_oaep (const guint8 *em, gsize em_len, gboolean sha256, guint8 *out, gsize *out_len)
{
  if (sha256)
    work.oaep_sha256++;
  else
    work.oaep_sha1++;
  return __real_tpd_unpad_oaep (em, em_len, sha256, out, out_len);
}

int
__wrap_EVP_DecryptUpdate (EVP_CIPHER_CTX *context, guint8 *out, int *out_len, const guint8 *in, int len)
{
  work.aes++;
  return __real_EVP_DecryptUpdate (context, out, out_len, in, len);
}

static TpdUnwrapStatus
unwrap_bytes (const guint8 *sealed, gsize len, TpdSealType type)
{
  const TpdUnwrapRequest request = { .sealed = sealed, .sealed_len = len, .type = type, .principals = "" };
  g_auto (TpdUnwrapReply) reply;

  memset (&work, 0, sizeof work);
  tpd_enabling_bits_unwrap (own_key, &request, &reply);
  return reply.status;
}

static TpdUnwrapStatus
unwrap (const Recipe *r)
{
  guint8 sealed[128 + 4096 + 32];
  return unwrap_bytes (sealed, seal (r, sealed), r->type);
}

/* Ways to be wrong, from the outermost to the innermost. */
typedef enum {
  WRONG_PADDING,
  WRONG_PADDING_OTHER,
  SESSION_HEADER_SHORT,
  SESSION_HEADER_SIZE,
  SESSION_KEY_DES,
  ENABLING_VERSION,
  ENABLING_SIZE,
  ENABLING_RESERVED,
  CONTENT_HEADER_SIZE,
  CONTENT_KEY_SIZE,
  CONTENT_KEY_DES_DAMAGED,
  N_WAYS,
} Way;

static Recipe
wrong (guint8 version, TpdSealType type, Way way)
{
  Recipe r = recipe (version);

  r.type = type;
  switch (way)
    {
    case WRONG_PADDING:
      r.padding = RSA_NO_PADDING;
      memset (r.message, 0x11, 128);
      r.message_len = 128;
      break;
    case WRONG_PADDING_OTHER:
      r.padding = version == 1 ? RSA_PKCS1_OAEP_PADDING : RSA_PKCS1_PADDING;
      break;
    case SESSION_HEADER_SHORT:
      r.message_len = 5;
      break;
    case SESSION_HEADER_SIZE:
      r.message[0] ^= 1;
      break;
    case SESSION_KEY_DES:
      r.message[0] = 12 + 8;
      r.message_len = 12 + 8;
      break;
    case ENABLING_VERSION:
      r.body[0] = 3;
      break;
    case ENABLING_SIZE:
      r.body[5] = 0x70;
      break;
    case ENABLING_RESERVED:
      r.body[8] = 1;
      break;
    case CONTENT_HEADER_SIZE:
      r.body[16] ^= 1;
      break;
    case CONTENT_KEY_SIZE:
      put_body (&r, version, 9, NULL);
      break;
    case CONTENT_KEY_DES_DAMAGED:
      put_body (&r, version, 8, NULL);
      r.body[8] = 1;
      break;
    case N_WAYS:
      g_assert_not_reached ();
    }
  return r;
}

static void
test_refusals (void)
{
  static const struct {
    guint8 version;
    TpdSealType type;
    guint rsa, pkcs1, oaep_sha1, oaep_sha256, aes;
  } cases[] = {
    { 1, TPD_SEAL_V1, 2, 2, 0, 0, 2 },
    { 2, TPD_SEAL_V2, 2, 0, 2, 2, 2 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (Way way = 0; way < N_WAYS; way++)
      {
        const Recipe r = wrong (cases[i].version, cases[i].type, way);
        g_test_message ("version %u, way %d", cases[i].version, way);
        g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_REFUSED);
        g_assert_cmpuint (work.rsa, ==, cases[i].rsa);
        g_assert_cmpuint (work.pkcs1, ==, cases[i].pkcs1);
        g_assert_cmpuint (work.oaep_sha1, ==, cases[i].oaep_sha1);
        g_assert_cmpuint (work.oaep_sha256, ==, cases[i].oaep_sha256);
        g_assert_cmpuint (work.aes, ==, cases[i].aes);
      }
}

/* Also what is wrong on the outside. */
static void
test_refusals_of_bytes (void)
{
  static const gsize sizes[] = { 0, 1, 127, 128, 129, 160, 175, 176, 192, 400, 128 + 4096, 128 + 4096 + 16 };
  guint8 sealed[128 + 4096 + 32];

  for (guint fill = 0; fill <= 2; fill++)
    for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
      for (TpdSealType type = TPD_SEAL_V1; type <= TPD_SEAL_V2; type++)
        {
          /* 0xff: not below the modulus, in either order of its bytes. */
          memset (sealed, fill == 0 ? 0x00 : fill == 1 ? 0x5a : 0xff, sizeof sealed);
          g_assert_cmpint (unwrap_bytes (sealed, sizes[i], type), ==, TPD_UNWRAP_REFUSED);
          g_assert_cmpuint (work.rsa, ==, 2);
          g_assert_cmpuint (work.aes, ==, 2);
          g_assert_cmpuint (work.pkcs1 + work.oaep_sha1, ==, 2);
        }
}

/* Of several requests at once, what their first operation made of each is used:
 * one that is refused costs the second, as ever. */
static void
test_together (void)
{
  enum { GOOD = N_WAYS, HIGH, ALL };
  guint8 sealed[ALL][128 + 4096 + 32];
  TpdUnwrapRequest requests[ALL];
  const TpdUnwrapRequest *asked[ALL];
  TpdPreparedBlock blocks[ALL] = { { 0 } }, *prepared[ALL];

  for (guint i = 0; i < ALL; i++)
    {
      const Recipe r = i < N_WAYS ? wrong (2, TPD_SEAL_V2, (Way) i) : recipe (2);
      requests[i] = (TpdUnwrapRequest){
        .sealed = sealed[i], .sealed_len = seal (&r, sealed[i]), .type = TPD_SEAL_V2, .principals = ""
      };
      /* Not below the modulus, in either order of its bytes. */
      if (i == HIGH)
        memset (sealed[i], 0xff, 128);
      asked[i] = &requests[i];
      prepared[i] = &blocks[i];
    }
  memset (&work, 0, sizeof work);
  tpd_enabling_bits_prepare (own_key, asked, ALL, prepared);
  g_assert_cmpuint (work.rsa, ==, ALL);
  for (guint i = 0; i < ALL; i++)
    {
      TpdLocalOperation local;
      TpdPrivateOperation *operation = tpd_local_operation_init (&local, own_key);
      g_auto (TpdUnwrapReply) reply = { 0 };

      local.prepared = prepared[i];
      memset (&work, 0, sizeof work);
      tpd_enabling_bits_unwrap_with (operation, &requests[i], &reply, NULL);
      g_assert_cmpint (reply.status, ==, i != GOOD ? TPD_UNWRAP_REFUSED : TPD_UNWRAP_OK);
      g_assert_cmpuint (work.rsa, ==, i != GOOD ? 1 : 0);
      g_assert_cmpuint (work.aes, ==, i != GOOD ? 2 : 1);
      g_assert_cmpuint (work.oaep_sha1, ==, i != GOOD ? 2 : 1);
      g_assert_cmpuint (work.oaep_sha256, ==, i != GOOD ? 2 : 1);
    }
}

/* What was prepared of another request is not used. */
static void
test_prepared_of_another (void)
{
  guint8 sealed[2][128 + 4096 + 32];
  const Recipe good = recipe (2), bad = wrong (2, TPD_SEAL_V2, ENABLING_VERSION);
  const TpdUnwrapRequest requests[2] = {
    { .sealed = sealed[0], .sealed_len = seal (&good, sealed[0]), .type = TPD_SEAL_V2, .principals = "" },
    { .sealed = sealed[1], .sealed_len = seal (&bad, sealed[1]), .type = TPD_SEAL_V2, .principals = "" },
  };
  const TpdUnwrapRequest *asked[2] = { &requests[0], &requests[1] };
  TpdPreparedBlock blocks[2] = { { 0 } }, *prepared[2] = { &blocks[0], &blocks[1] };

  tpd_enabling_bits_prepare (own_key, asked, 2, prepared);
  for (guint i = 0; i < 2; i++)
    {
      TpdLocalOperation local;
      TpdPrivateOperation *operation = tpd_local_operation_init (&local, own_key);
      g_auto (TpdUnwrapReply) reply = { 0 };

      local.prepared = prepared[1 - i];
      tpd_enabling_bits_unwrap_with (operation, &requests[i], &reply, NULL);
      g_assert_cmpint (reply.status, ==, i == 0 ? TPD_UNWRAP_OK : TPD_UNWRAP_REFUSED);
    }
}

/* What opens costs one operation. */
static void
test_success (void)
{
  for (guint8 version = 1; version <= 2; version++)
    {
      const Recipe r = recipe (version);
      g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_OK);
      g_assert_cmpuint (work.rsa, ==, 1);
      g_assert_cmpuint (work.aes, ==, 1);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  make_own_key ();
  g_test_add_func ("/uniform/every-refusal-costs-the-same", test_refusals);
  g_test_add_func ("/uniform/wrong-sizes-and-blocks-too", test_refusals_of_bytes);
  g_test_add_func ("/uniform/requests-together-too", test_together);
  g_test_add_func ("/uniform/what-was-prepared-of-another-is-not-used", test_prepared_of_another);
  g_test_add_func ("/uniform/success-costs-one-operation", test_success);
  int status = g_test_run ();
  tpd_private_key_unref (own_key);
  EVP_PKEY_free (own);
  return status;
}
