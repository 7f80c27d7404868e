/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENABLINGBITS: those of the fixtures against their manifest, and some that
 * OpenSSL seals here for a key of its own, for what the fixtures do not have.
 */
#include "crypto/agent.h"
#include "crypto/padding.h"
#include "crypto/seal_hash.h"
#include "recipe.h"
#include "sealed.h"

static GPtrArray *samples;
static GPtrArray *loaded;
static TpdUnwrapper *unwrapper;

/* --- The fixtures ------------------------------------------------------- */

static gboolean
is_held (const Sealed *sealed)
{
  static const char *const held[] = { "cloud", "archived", "onprem", "mode1", "hsm", NULL };
  return g_strv_contains (held, sealed_role (sealed));
}

static guint16
mode_word (const char *cipher)
{
  static const struct {
    const char *name;
    guint16 word;
  } words[] = { { "ECB", 0xffff }, { "CBC4K-nopad", 0xfffe }, { "CBC4K-pkcs7", 0xfffd }, { "CBC512-nopad", 0xfffc } };
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (strcmp (words[i].name, cipher) == 0)
      return words[i].word;
  g_error ("cipher %s", cipher);
}

static void
test_fixtures_open (void)
{
  guint opened = 0, rules = 0;

  for (guint i = 0; i < samples->len; i++)
    {
      const Sealed *sealed = g_ptr_array_index (samples, i);
      TpdUnwrapRequest tracing = sealed->request;
      g_auto (TpdUnwrapReply) reply, traced;
      if (!json_object_get_boolean_member (sealed->entry, "open") || !is_held (sealed))
        continue;
      tpd_unwrapper_unwrap (unwrapper, &sealed->request, &reply);
      tracing.purpose = TPD_PURPOSE_TRACE;
      tpd_unwrapper_unwrap (unwrapper, &tracing, &traced);
      g_test_message ("%s", sealed->path);
      g_assert_cmpint (reply.status, ==, TPD_UNWRAP_OK);
      g_assert_null (reply.trace);
      g_assert_cmpuint (reply.key->key->len, ==, (gsize) json_object_get_int_member (sealed->entry, "key_bytes"));
      g_assert_cmphex (reply.key->mode_word, ==, mode_word (json_object_get_string_member (sealed->entry, "cipher")));
      const char *rule = json_object_get_string_member (sealed->entry, "enabling_hash_rule");
      TpdHashRule expected =
          strcmp (rule, "random") == 0 ? TPD_HASH_RULE_NONE : (TpdHashRule) (TPD_HASH_RULE_A + (rule[0] - 'A'));
      g_assert_cmpint (traced.status, ==, TPD_UNWRAP_OK);
      g_assert_cmpint (traced.key->hash_rule, ==, expected);
      g_assert_cmpint (reply.key->hash_rule, ==, TPD_HASH_RULE_NONE);
      gboolean mode1 = json_object_get_int_member (sealed->entry, "crypto_mode") == 1;
      g_assert_cmpint (sealed->request.type, ==, mode1 ? TPD_SEAL_V1 : TPD_SEAL_V2);
      opened++;
      rules += expected != TPD_HASH_RULE_NONE;
    }
  g_assert_cmpuint (opened, >, 50);
  g_assert_cmpuint (rules, ==, opened - 1);
}

static void
unwrap_fixture (const char *name, TpdUnwrapReply *reply)
{
  const Sealed *sealed = sealed_find (samples, name);
  tpd_unwrapper_unwrap (unwrapper, &sealed->request, reply);
}

static void
test_fixture_oaep_sha256 (void)
{
  g_auto (TpdUnwrapReply) reply, usual;

  unwrap_fixture ("oaep sha256.txt.pfile", &reply);
  g_assert_cmpint (reply.status, ==, TPD_UNWRAP_OK);
  g_assert_true (reply.key->oaep_sha256);
  unwrap_fixture ("long session key.txt.pfile", &usual);
  g_assert_false (usual.key->oaep_sha256);
}

static void
test_fixture_long_session_key (void)
{
  g_auto (TpdUnwrapReply) reply, usual;

  unwrap_fixture ("long session key.txt.pfile", &reply);
  g_assert_cmpint (reply.status, ==, TPD_UNWRAP_OK);
  g_assert_cmpuint (reply.key->session_key_len, ==, 32);
  unwrap_fixture ("oaep sha256.txt.pfile", &usual);
  g_assert_cmpuint (usual.key->session_key_len, ==, 16);
}

static void
test_fixture_hash_differs (void)
{
  g_auto (TpdUnwrapReply) reply;
  TpdUnwrapRequest request = sealed_find (samples, "hash differs.txt.pfile")->request;

  request.purpose = TPD_PURPOSE_TRACE;
  tpd_unwrapper_unwrap (unwrapper, &request, &reply);
  g_assert_cmpint (reply.status, ==, TPD_UNWRAP_OK);
  g_assert_cmpint (reply.key->hash_rule, ==, TPD_HASH_RULE_NONE);
}

static void
test_fixture_damaged (void)
{
  static const char *const names[] = { "sealed key damaged.txt.pfile", "enabling header damaged.txt.pfile" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_auto (TpdUnwrapReply) reply;
      unwrap_fixture (names[i], &reply);
      g_assert_cmpint (reply.status, ==, TPD_UNWRAP_REFUSED);
      g_assert_null (reply.key);
      g_assert_null (reply.trace);
    }
}

static void
test_fixture_double_key (void)
{
  g_auto (TpdUnwrapReply) reply;

  unwrap_fixture ("double key.txt.pfile", &reply);
  g_assert_cmpint (reply.status, ==, TPD_UNWRAP_DOUBLE_KEY);
  g_assert_null (reply.key);
}

static void
test_fixture_no_key (void)
{
  static const char *const names[] = { "partner lost.txt.pfile", "same id other modulus.txt.pfile",
                                       "partner foreign.txt.pfile", "partner foreign1.txt.pfile" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_auto (TpdUnwrapReply) reply;
      unwrap_fixture (names[i], &reply);
      g_assert_cmpint (reply.status, ==, TPD_UNWRAP_UNAVAILABLE);
    }
}

static void
assert_no_secret (const char *trace, const TpdContentKey *key)
{
  g_autofree char *hex = tpd_hex (key->key->data, key->key->len);
  g_autofree char *start = g_strndup (hex, 8);
  g_autofree char *lower = g_ascii_strdown (trace, -1);
  g_assert_null (strstr (lower, start));
}

static void
test_fixture_trace (void)
{
  TpdUnwrapRequest request = sealed_find (samples, "oaep sha256.txt.pfile")->request;
  g_auto (TpdUnwrapReply) reply, refused;

  request.purpose = TPD_PURPOSE_TRACE;
  tpd_unwrapper_unwrap (unwrapper, &request, &reply);
  g_test_message ("%s", reply.trace);
  g_assert_cmpint (reply.status, ==, TPD_UNWRAP_OK);
  static const char *const lines[] = { "sealed: 352 bytes, type sealed-key-v2, RSA block of 256 bytes\n",
                                       "padding: OAEP SHA-1 does not fit\n",
                                       "padding: OAEP SHA-256 fits\n",
                                       "session key header: size 001c mode ffff key-size 0010 block 0010 flags 0000",
                                       "enabling header: version 00000002 size 0000004c reserved 00000000 00000000\n",
                                       "content key header: size 002c mode fffd key-size 0020 block 0010",
                                       "hash: 32 bytes, rule A over UTF-16LE\n",
                                       "tail: 4 bytes, zero\n",
                                       "content key: 32 bytes\n" };
  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    g_assert_nonnull (strstr (reply.trace, lines[i]));
  assert_no_secret (reply.trace, reply.key);

  request = sealed_find (samples, "sealed key damaged.txt.pfile")->request;
  request.purpose = TPD_PURPOSE_TRACE;
  tpd_unwrapper_unwrap (unwrapper, &request, &refused);
  g_test_message ("%s", refused.trace);
  g_assert_cmpint (refused.status, ==, TPD_UNWRAP_REFUSED);
  g_assert_nonnull (strstr (refused.trace, "OAEP SHA-256 does not fit"));
  g_assert_nonnull (strstr (refused.trace, "reversed"));
}

/* --- Sealed here -------------------------------------------------------- */

static TpdUnwrapStatus
unwrap_full (const Recipe *r, TpdPurpose purpose, TpdUnwrapReply *reply)
{
  guint8 sealed[128 + 4096 + 32];
  const TpdUnwrapRequest request = { .sealed = sealed,
                                     .sealed_len = seal (r, sealed),
                                     .type = r->type,
                                     .principals = r->principals,
                                     .principals_len = strlen (r->principals),
                                     .purpose = purpose };
  tpd_enabling_bits_unwrap (own_key, &request, reply);
  return reply->status;
}

static TpdUnwrapStatus
unwrap (const Recipe *r)
{
  g_auto (TpdUnwrapReply) reply;

  unwrap_full (r, TPD_PURPOSE_READ, &reply);
  g_assert_null (reply.trace);
  g_assert_true ((reply.status == TPD_UNWRAP_OK) == (reply.key != NULL));
  if (reply.key)
    g_assert_cmpmem (reply.key->key->data, reply.key->key->len, content_key, reply.key->key->len);
  return reply.status;
}

static void
test_key_sizes (void)
{
  static const guint8 sizes[] = { 16, 24, 32 };

  for (guint8 version = 1; version <= 2; version++)
    for (guint i = 0; i < 3; i++)
      for (guint k = 0; k < 3; k++)
        {
          Recipe r = recipe (version);
          g_auto (TpdUnwrapReply) reply;
          r.message_len = put_key (r.message, session_key, sizes[i], 0xffff);
          put_body (&r, version, sizes[k], NULL);
          g_assert_cmpint (unwrap_full (&r, TPD_PURPOSE_READ, &reply), ==, TPD_UNWRAP_OK);
          g_assert_cmpmem (reply.key->key->data, reply.key->key->len, content_key, sizes[k]);
          g_assert_cmpuint (reply.key->session_key_len, ==, sizes[i]);
          g_assert_cmphex (reply.key->mode_word, ==, 0xfffd);
          g_assert_cmphex (reply.key->flags, ==, 0x1002);
        }
  Recipe r = recipe (1);
  r.message_len = put_key (r.message, session_key, 17, 0xffff);
  g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_REFUSED);
  r = recipe (1);
  put_body (&r, 1, 9, NULL);
  g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_REFUSED);
}

/* The type decides the padding; version 2 never opens PKCS#1 v1.5. */
static void
test_paddings (void)
{
  static const struct {
    TpdSealType type;
    int padding;
    gboolean sha256;
    TpdUnwrapStatus status;
  } cases[] = {
    { TPD_SEAL_V1, RSA_PKCS1_PADDING, FALSE, TPD_UNWRAP_OK },
    { TPD_SEAL_V1, RSA_PKCS1_OAEP_PADDING, FALSE, TPD_UNWRAP_REFUSED },
    { TPD_SEAL_V2, RSA_PKCS1_PADDING, FALSE, TPD_UNWRAP_REFUSED },
    { TPD_SEAL_V2, RSA_PKCS1_OAEP_PADDING, FALSE, TPD_UNWRAP_OK },
    { TPD_SEAL_V2, RSA_PKCS1_OAEP_PADDING, TRUE, TPD_UNWRAP_OK },
    { TPD_SEAL_UNKNOWN, RSA_PKCS1_PADDING, FALSE, TPD_UNWRAP_OK },
    { TPD_SEAL_UNKNOWN, RSA_PKCS1_OAEP_PADDING, FALSE, TPD_UNWRAP_OK },
    { TPD_SEAL_UNKNOWN, RSA_PKCS1_OAEP_PADDING, TRUE, TPD_UNWRAP_OK },
  };

  for (guint8 version = 1; version <= 2; version++)
    for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
      {
        Recipe r = recipe (version);
        r.type = cases[i].type;
        r.padding = cases[i].padding;
        r.sha256 = cases[i].sha256;
        g_assert_cmpint (unwrap (&r), ==, cases[i].status);
      }
}

static void
test_tolerated (void)
{
  Recipe r = recipe (2);
  r.message_len += 3; /* bytes behind the session key */
  g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_OK);

  r = recipe (2);
  memset (r.body + 16 + 76, 0xee, 4); /* fill that is not zero */
  g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_OK);

  static const guint16 words[] = { 32, 256, 0, 999 };
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    {
      g_auto (TpdUnwrapReply) reply;
      r = recipe (2);
      r.body[20] = words[i] & 0xff;
      r.body[21] = (guint8) (words[i] >> 8);
      g_assert_cmpint (unwrap_full (&r, TPD_PURPOSE_READ, &reply), ==, TPD_UNWRAP_OK);
      g_assert_cmpuint (reply.key->size_word, ==, words[i]);
      g_assert_cmpuint (reply.key->key->len, ==, 32);
    }

  r = recipe (2);
  r.body[18] = 0x34;
  r.body[19] = 0x12;
  g_auto (TpdUnwrapReply) reply;
  g_assert_cmpint (unwrap_full (&r, TPD_PURPOSE_READ, &reply), ==, TPD_UNWRAP_OK);
  g_assert_cmphex (reply.key->mode_word, ==, 0x1234);
}

static void
test_reversed (void)
{
  for (guint8 version = 1; version <= 2; version++)
    {
      Recipe r = recipe (version);
      g_auto (TpdUnwrapReply) reply;
      r.reversed = TRUE;
      g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_OK);
      g_assert_cmpint (unwrap_full (&r, TPD_PURPOSE_TRACE, &reply), ==, TPD_UNWRAP_OK);
      g_assert_nonnull (strstr (reply.trace, "bytes of the block reversed"));
    }
  /* Not for what is not proved by every header. */
  Recipe r = recipe (2);
  r.reversed = TRUE;
  r.body[12] = 1;
  g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_REFUSED);
}

/* Each bit that the arithmetic covers, in either header. */
static void
test_header_arithmetic (void)
{
  for (guint8 version = 1; version <= 2; version++)
    for (guint bit = 0; bit < 18 * 8; bit++)
      {
        Recipe r = recipe (version);
        r.body[bit / 8] ^= (guint8) (1 << bit % 8);
        g_test_message ("version %u byte %u bit %u", version, bit / 8, bit % 8);
        g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_REFUSED);
      }
  for (guint bit = 0; bit < 2 * 8; bit++)
    {
      Recipe r = recipe (2);
      r.message[bit / 8] ^= (guint8) (1 << bit % 8);
      g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_REFUSED);
    }
}

static void
test_double_key (void)
{
  static const guint payloads[] = { 12 + 32 + 16, 128, 12 + 128, 256, 12 + 256, 384, 12 + 384, 512, 12 + 512 };

  for (guint8 version = 1; version <= 2; version++)
    for (guint i = 0; i < G_N_ELEMENTS (payloads); i++)
      {
        Recipe r = recipe (version);
        const guint size = payloads[i] + (version == 1 ? 20 : 32);
        memset (r.body + 16, 0xa7, size); /* no key header at all */
        r.body[4] = size & 0xff;
        r.body[5] = (guint8) (size >> 8);
        r.body_len = (16 + size + 15) / 16 * 16;
        g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_DOUBLE_KEY);
        /* And nothing of the kind where the outer header is not sound. */
        r.body[8] = 1;
        g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_REFUSED);
      }
}

/* The version of the other type, and the hash of either. */
static void
test_version_of_another_type (void)
{
  static const guint8 sizes[] = { 16, 24, 32 };

  for (guint8 version = 1; version <= 2; version++)
    for (guint8 hash_of = 1; hash_of <= 2; hash_of++)
      for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
        {
          Recipe r = recipe (version);
          g_auto (TpdUnwrapReply) reply;
          put_body (&r, hash_of, sizes[i], NULL);
          r.body[0] = 3 - version;
          g_test_message ("type %u hash %u key %u", version, hash_of, sizes[i]);
          g_assert_cmpint (unwrap_full (&r, TPD_PURPOSE_READ, &reply), ==, TPD_UNWRAP_OK);
          g_assert_cmpmem (reply.key->key->data, reply.key->key->len, content_key, sizes[i]);
          r.body[16] ^= 1;
          g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_REFUSED);
          r.body[16] ^= 1;
          r.body[4]++;
          g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_REFUSED);
        }
}

/* A content key of DES is told where all the headers are sound, and nowhere else. */
static void
test_des (void)
{
  static const struct {
    guint at;
    guint8 flip;
  } wrong[] = { { 0, 4 }, { 4, 1 }, { 5, 1 }, { 8, 1 }, { 15, 1 }, { 16, 2 }, { 17, 1 } };

  for (guint8 version = 1; version <= 2; version++)
    for (guint8 key_len = 6; key_len <= 9; key_len++)
      {
        const gboolean is_des = key_len == 7 || key_len == 8;
        Recipe r = recipe (version);
        put_body (&r, version, key_len, NULL);
        g_assert_cmpint (unwrap (&r), ==, is_des ? TPD_UNWRAP_UNSUPPORTED : TPD_UNWRAP_REFUSED);
        for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
          {
            r.body[wrong[i].at] ^= wrong[i].flip;
            g_test_message ("version %u key %u byte %u", version, key_len, wrong[i].at);
            g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_REFUSED);
            r.body[wrong[i].at] ^= wrong[i].flip;
          }
        /* Servers refuse session keys of DES; so do we, as any other damage. */
        r.message[0] = 12 + key_len;
        r.message_len = 12u + key_len;
        g_assert_cmpint (unwrap (&r), ==, TPD_UNWRAP_REFUSED);
      }
}

static char *
trace_of (const Recipe *r)
{
  guint8 sealed[128 + 4096 + 32];
  const TpdUnwrapRequest request = {
    .sealed = sealed, .sealed_len = seal (r, sealed), .type = r->type, .principals = "", .purpose = TPD_PURPOSE_TRACE
  };
  g_auto (TpdUnwrapReply) reply;

  tpd_enabling_bits_unwrap (own_key, &request, &reply);
  return g_steal_pointer (&reply.trace);
}

static void
test_trace_names_des (void)
{
  Recipe content = recipe (2), session = recipe (2);
  put_body (&content, 2, 8, NULL);
  session.message[0] = session.message_len = 12 + 7;
  g_autofree char *of_content = trace_of (&content), *of_session = trace_of (&session);

  g_assert_nonnull (strstr (of_content, "content key: 8 bytes, a key of DES"));
  g_assert_nonnull (strstr (of_session, "session key header: no AES key fits it, but one of DES"));
}

static void
test_sizes (void)
{
  guint8 sealed[128 + 4096 + 32] = { 0 };
  Recipe r = recipe (1);
  gsize good = seal (&r, sealed);

  for (gsize len = 0; len < 400; len++)
    {
      const TpdUnwrapRequest request = {
        .sealed = len > 0 ? sealed : NULL, .sealed_len = len, .type = TPD_SEAL_V1, .principals = ""
      };
      g_auto (TpdUnwrapReply) reply;
      if (len == good)
        continue;
      tpd_enabling_bits_unwrap (own_key, &request, &reply);
      g_assert_cmpint (reply.status, ==, TPD_UNWRAP_REFUSED);
    }
  /* The largest that may be, and one block more. */
  for (gsize body = 4096; body <= 4096 + 16; body += 16)
    {
      r = recipe (1);
      r.body_len = body;
      gsize size = body - 16;
      r.body[4] = size & 0xff;
      r.body[5] = (guint8) (size >> 8);
      g_assert_cmpint (unwrap (&r), ==, body == 4096 ? TPD_UNWRAP_DOUBLE_KEY : TPD_UNWRAP_REFUSED);
    }
}

/* A block that is not below the modulus. */
static void
test_block_too_large (void)
{
  guint8 sealed[128 + 64];
  const TpdUnwrapRequest request = {
    .sealed = sealed, .sealed_len = sizeof sealed, .type = TPD_SEAL_V1, .principals = ""
  };
  g_auto (TpdUnwrapReply) reply;

  memset (sealed, 0xff, sizeof sealed);
  tpd_enabling_bits_unwrap (own_key, &request, &reply);
  g_assert_cmpint (reply.status, ==, TPD_UNWRAP_REFUSED);
}

/* --- Paddings ----------------------------------------------------------- */

static void
test_pkcs1_rules (void)
{
  guint8 em[128], out[TPD_RSA_MAX_BYTES];
  gsize len;

  memset (em, 0x77, sizeof em);
  em[0] = 0;
  em[1] = 2;
  g_assert_false (tpd_unpad_pkcs1 (em, sizeof em, out, &len)); /* no end of the padding */
  for (guint end = 2; end < sizeof em; end++)
    {
      memset (em + 2, 0x77, sizeof em - 2);
      em[end] = 0;
      for (guint i = end + 1; i < sizeof em; i++)
        em[i] = (guint8) (i % 5); /* with zeros */
      gboolean ok = tpd_unpad_pkcs1 (em, sizeof em, out, &len);
      g_assert_cmpint (ok, ==, end >= 10); /* eight bytes at least */
      if (ok)
        g_assert_cmpmem (out, len, em + end + 1, sizeof em - end - 1);
      else
        g_assert_cmpuint (len, ==, 0);
    }
  em[1] = 1;
  g_assert_false (tpd_unpad_pkcs1 (em, sizeof em, out, &len));
  em[1] = 2;
  em[0] = 1;
  g_assert_false (tpd_unpad_pkcs1 (em, sizeof em, out, &len));
  for (gsize size = 0; size < 11; size++)
    g_assert_false (tpd_unpad_pkcs1 (em, size, out, &len));
}

/* OAEP made by OpenSSL, for every length that fits; then each byte changed. */
static void
test_oaep_rules (void)
{
  for (guint sha256 = 0; sha256 <= 1; sha256++)
    {
      const gsize most = 128 - 2 * (sha256 ? 32 : 20) - 2;
      guint8 em[128], out[TPD_RSA_MAX_BYTES];
      gsize len;
      for (gsize n = 0; n <= most; n++)
        {
          Recipe r = { .padding = RSA_PKCS1_OAEP_PADDING, .sha256 = (gboolean) sha256 };
          guint8 sealed[128 + 4096 + 32];
          guint8 text[128];
          gsize sealed_len = sizeof sealed;
          EVP_PKEY_CTX *context = EVP_PKEY_CTX_new (own, NULL);
          const EVP_MD *md = sha256 ? EVP_sha256 () : EVP_sha1 ();
          memset (text, (int) n, sizeof text);
          g_assert_cmpint (EVP_PKEY_encrypt_init (context), ==, 1);
          EVP_PKEY_CTX_set_rsa_padding (context, r.padding);
          EVP_PKEY_CTX_set_rsa_oaep_md (context, md);
          g_assert_cmpint (EVP_PKEY_encrypt (context, sealed, &sealed_len, text, n), ==, 1);
          EVP_PKEY_CTX_free (context);
          g_assert_true (tpd_private_key_raw (own_key, sealed, 128, em));
          g_assert_true (tpd_unpad_oaep (em, sizeof em, (gboolean) sha256, out, &len));
          g_assert_cmpmem (out, len, text, n);
          g_assert_false (tpd_unpad_oaep (em, sizeof em, !sha256, out, &len));
        }
      for (gsize i = 0; i < sizeof em; i++)
        {
          em[i] ^= 1;
          /* The very last byte is message, when nothing else moves. */
          gboolean ok = tpd_unpad_oaep (em, sizeof em, (gboolean) sha256, out, &len);
          g_assert_false (ok && len == 0);
          if (i < 21)
            g_assert_false (ok);
          em[i] ^= 1;
        }
      for (gsize size = 0; size < 42; size++)
        g_assert_false (tpd_unpad_oaep (em, size, (gboolean) sha256, out, &len));
    }
}

/* --- The hash ----------------------------------------------------------- */

#define OBJECT "<OBJECT type=\"MS-DRM-Server\"><NAME>Caf\xc3\xa9 \xf0\x9f\x94\x91</NAME></OBJECT>"
#define KEY "<PUBLICKEY><ALGORITHM>RSA</ALGORITHM></PUBLICKEY>"
#define LEVELS "<SECURITYLEVEL name=\"a\" value=\"1\" /><SECURITYLEVEL name=\"b\" value=\"2\"></SECURITYLEVEL>"
#define BITS "<ENABLINGBITS type=\"sealed-key-v2\"><VALUE>AAAA</VALUE></ENABLINGBITS>"
#define OPEN "<ISSUEDPRINCIPALS><PRINCIPAL internal-id=\"1\">"
#define CLOSE "</PRINCIPAL></ISSUEDPRINCIPALS>"

static void
test_hash_rules (void)
{
  static const char text[] = OPEN OBJECT KEY LEVELS BITS CLOSE;
  static const struct {
    const char *hashed;
    TpdHashRule rule;
  } cases[] = {
    { OPEN OBJECT KEY LEVELS CLOSE, TPD_HASH_RULE_A },
    { OPEN OBJECT KEY CLOSE, TPD_HASH_RULE_B },
    { OBJECT KEY LEVELS, TPD_HASH_RULE_C },
    { OBJECT KEY, TPD_HASH_RULE_D },
    { OPEN OBJECT KEY LEVELS BITS CLOSE, TPD_HASH_RULE_NONE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint wide = 0; wide <= 1; wide++)
      for (guint sha256 = 0; sha256 <= 1; sha256++)
        {
          gsize len = strlen (cases[i].hashed), hash_len = sha256 ? 32 : 20;
          g_autofree char *bytes = wide ? g_convert (cases[i].hashed, -1, "UTF-16LE", "UTF-8", NULL, &len, NULL)
                                        : g_strdup (cases[i].hashed);
          guint8 hash[32];
          g_autoptr (GChecksum) sum = g_checksum_new (sha256 ? G_CHECKSUM_SHA256 : G_CHECKSUM_SHA1);
          gboolean utf16 = FALSE;
          g_checksum_update (sum, (const guchar *) bytes, (gssize) len);
          g_checksum_get_digest (sum, hash, &hash_len);
          g_assert_cmpint (tpd_seal_hash_match (text, strlen (text), hash, hash_len, &utf16), ==, cases[i].rule);
          if (cases[i].rule != TPD_HASH_RULE_NONE)
            g_assert_cmpint (utf16, ==, (int) wide);
        }
}

/* Time is linear also in text made to hurt; whatever comes, no rule. */
static void
test_hash_hostile (void)
{
  static const char *const units[] = {
    "<SECURITYLEVEL>", "<SECURITYLEVEL", "<ENABLINGBITS><", "<PRINCIPAL>", "<OBJECT/><PUBLICKEY/>", "<", "\xff"
  };
  guint8 hash[32] = { 0 };
  gboolean utf16;

  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    {
      GString *text = g_string_new (NULL);
      while (text->len + strlen (units[i]) <= TPD_PRINCIPALS_MAX)
        g_string_append (text, units[i]);
      gint64 start = g_get_monotonic_time ();
      g_assert_cmpint (tpd_seal_hash_match (text->str, text->len, hash, 32, &utf16), ==, TPD_HASH_RULE_NONE);
      g_assert_cmpint (g_get_monotonic_time () - start, <, 2 * G_USEC_PER_SEC);
      g_string_free (text, TRUE);
    }
  g_assert_cmpint (tpd_seal_hash_match (NULL, 0, hash, 32, &utf16), ==, TPD_HASH_RULE_NONE);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdKeyConfig) config = NULL;

  g_test_init (&argc, &argv, NULL);
  samples = sealed_load_all ();
  config = sealed_key_config ();
  loaded = tpd_keys_load (config, &error);
  g_assert_no_error (error);
  unwrapper = tpd_unwrapper_new_in_process (loaded);
  make_own_key ();

  g_test_add_func ("/enabling-bits/fixtures-open-as-their-manifest-says", test_fixtures_open);
  g_test_add_func ("/enabling-bits/fixtures/oaep-sha256", test_fixture_oaep_sha256);
  g_test_add_func ("/enabling-bits/fixtures/long-session-key", test_fixture_long_session_key);
  g_test_add_func ("/enabling-bits/fixtures/hash-that-differs-opens", test_fixture_hash_differs);
  g_test_add_func ("/enabling-bits/fixtures/damaged-is-refused", test_fixture_damaged);
  g_test_add_func ("/enabling-bits/fixtures/double-key", test_fixture_double_key);
  g_test_add_func ("/enabling-bits/fixtures/key-not-held-is-unavailable", test_fixture_no_key);
  g_test_add_func ("/enabling-bits/fixtures/trace-tells-steps-not-secrets", test_fixture_trace);
  g_test_add_func ("/enabling-bits/all-key-sizes", test_key_sizes);
  g_test_add_func ("/enabling-bits/type-decides-the-padding", test_paddings);
  g_test_add_func ("/enabling-bits/uncertain-words-are-kept-not-judged", test_tolerated);
  g_test_add_func ("/enabling-bits/reversed-block-needs-all-headers", test_reversed);
  g_test_add_func ("/enabling-bits/header-arithmetic-covers-each-bit", test_header_arithmetic);
  g_test_add_func ("/enabling-bits/double-key-is-told-by-size", test_double_key);
  g_test_add_func ("/enabling-bits/version-of-another-type", test_version_of_another_type);
  g_test_add_func ("/enabling-bits/des-is-told", test_des);
  g_test_add_func ("/enabling-bits/trace-names-des", test_trace_names_des);
  g_test_add_func ("/enabling-bits/wrong-sizes-are-refused", test_sizes);
  g_test_add_func ("/enabling-bits/block-above-modulus-is-refused", test_block_too_large);
  g_test_add_func ("/padding/pkcs1", test_pkcs1_rules);
  g_test_add_func ("/padding/oaep", test_oaep_rules);
  g_test_add_func ("/seal-hash/rules-and-encodings", test_hash_rules);
  g_test_add_func ("/seal-hash/hostile-text-takes-linear-time", test_hash_hostile);
  int status = g_test_run ();

  tpd_private_key_unref (own_key);
  EVP_PKEY_free (own);
  tpd_unwrapper_unref (unwrapper);
  g_ptr_array_unref (loaded);
  g_ptr_array_unref (samples);
  return status;
}
