/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ENABLINGBITS, [MS-RMPR] 2.2.9.1.13: one RSA block that seals a session key,
 * then AES-ECB under it over a header, the content key and a hash.
 *
 *   RSA( key header | session key )
 *   AES( enabling header | key header | content key | hash | zeros )
 *
 * Only the arithmetic of the headers proves a key right (padding alone would
 * not do), so all of it is checked. An attacker who sends chosen bits learns
 * success or not: up to the content key header a failure is only noted, and
 * the work goes on with a key of zeros. The trace, which says more, is for
 * the owner of the key.
 */
#include "crypto/enablingbits.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/key_header.h"
#include "crypto/padding.h"
#include "crypto/provider.h"
#include "crypto/seal_hash.h"

#define ENABLING_HEADER_SIZE 16
#define BODY_MIN 48
#define BODY_MAX 4096
#define KEY_MAX 32

/* [MS-RMPR] 2.2.9.1.13 */
typedef struct {
  guint32 version;
  guint32 size; /* of what follows: key header, key and hash */
  guint32 reserved[2];
} EnablingHeader;

static const char *const padding_names[TPD_N_PADDINGS] = { "OAEP SHA-1", "OAEP SHA-256", "PKCS#1 v1.5" };
static const char *const seal_names[] = { "sealed-key", "sealed-key-v2", "unknown" };

/* All that is secret in one unwrap; lives in secret memory. */
typedef struct {
  guint8 session_key[KEY_MAX];
  gsize session_key_len;
  TpdPadding padding;
  guint8 body[BODY_MAX];
  gsize body_len;
} Work;

/* Adds a line to the trace, if one is wanted. */
static void G_GNUC_PRINTF (2, 3) say (GString *trace, const char *format, ...)
{
  if (!trace)
    return;
  va_list args;
  va_start (args, format);
  g_string_append_vprintf (trace, format, args);
  va_end (args);
  g_string_append_c (trace, '\n');
}

static void
say_key_header (GString *trace, const char *what, const TpdKeyHeader *header)
{
  g_autofree char *words = trace ? tpd_key_header_words (header) : NULL;

  say (trace, "%s key header: %s", what, words);
}

gboolean
tpd_padding_applies (TpdPadding padding, TpdSealType type)
{
  /* PKCS#1 v1.5 never opens a sealed-key-v2: that would be an oracle. */
  if (type == TPD_SEAL_V1)
    return padding == TPD_PADDING_PKCS1;
  return type == TPD_SEAL_UNKNOWN || padding != TPD_PADDING_PKCS1;
}

void
tpd_opened_unpad (TpdOpened *opened, TpdPadding padding, const guint8 *em, gsize em_len)
{
  opened->tried[padding] = TRUE;
  if (padding == TPD_PADDING_PKCS1)
    opened->fits[padding] = tpd_unpad_pkcs1 (em, em_len, opened->message[padding], &opened->len[padding]);
  else
    opened->fits[padding] = tpd_unpad_oaep (em, em_len, padding == TPD_PADDING_OAEP_SHA256, opened->message[padding],
                                            &opened->len[padding]);
}

/* 56 bits, with or without the bits of parity. */
static gboolean
is_des_key_len (gsize len)
{
  return len == 7 || len == 8;
}

/* The session key in an unpadded message. */
static gboolean
take_session_key (Work *work, const guint8 *data, gsize len, GString *trace)
{
  TpdBytes message = tpd_bytes (data, len);
  TpdKeyHeader header;

  if (!tpd_key_header_take (&message, &header))
    {
      say (trace, "session key header: message of %" G_GSIZE_FORMAT " bytes is too short", len);
      return FALSE;
    }
  say_key_header (trace, "session", &header);
  gsize key_len = header.blob_size >= TPD_KEY_HEADER_SIZE ? header.blob_size - TPD_KEY_HEADER_SIZE : 0;
  const guint8 *key;
  if (!tpd_is_aes_key_len (key_len) || !tpd_bytes_take (&message, key_len, &key))
    {
      say (trace, "session key header: no AES key fits it%s", is_des_key_len (key_len) ? ", but one of DES" : "");
      return FALSE;
    }
  if (tpd_bytes_left (&message) > 0)
    say (trace, "session key header: %" G_GSIZE_FORMAT " bytes behind the key ignored", tpd_bytes_left (&message));
  memcpy (work->session_key, key, key_len);
  work->session_key_len = key_len;
  return TRUE;
}

/* Looks at every padding that was tried, also when an earlier one fitted. */
static gboolean
find_session_key (Work *work, const TpdOpened *opened, GString *trace)
{
  gboolean found = FALSE;

  memset (work->session_key, 0, sizeof work->session_key);
  work->session_key_len = 16;
  for (TpdPadding padding = 0; padding < TPD_N_PADDINGS; padding++)
    {
      if (!opened->tried[padding] || found)
        continue;
      say (trace, "padding: %s %s", padding_names[padding], opened->fits[padding] ? "fits" : "does not fit");
      if (opened->fits[padding] && take_session_key (work, opened->message[padding], opened->len[padding], trace))
        {
          work->padding = padding;
          found = TRUE;
        }
    }
  return found;
}

/* The AES part into work->body; of a wrong size, zeros in its place. */
static gboolean
find_body (Work *work, gsize em_len, const TpdUnwrapRequest *request, GString *trace)
{
  TpdBytes sealed = tpd_bytes (request->sealed, request->sealed_len);
  const guint8 *body;
  gsize len;

  if (tpd_bytes_skip (&sealed, em_len) && (len = tpd_bytes_left (&sealed)) % 16 == 0 && len >= BODY_MIN
      && len <= BODY_MAX && tpd_bytes_take (&sealed, len, &body))
    {
      memcpy (work->body, body, len);
      work->body_len = len;
      return TRUE;
    }
  say (trace, "sealed: the size does not suit a key of %" G_GSIZE_FORMAT " bytes", em_len);
  work->body_len = BODY_MIN;
  return FALSE;
}

static gboolean
decrypt_body (Work *work)
{
  const char *name = work->session_key_len == 32   ? "AES-256-ECB"
                     : work->session_key_len == 24 ? "AES-192-ECB"
                                                   : "AES-128-ECB";
  EVP_CIPHER *cipher = EVP_CIPHER_fetch (tpd_openssl_context (), name, NULL);
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new ();
  int len = 0;
  gboolean ok = cipher && context && EVP_DecryptInit_ex2 (context, cipher, work->session_key, NULL, NULL)
                && EVP_CIPHER_CTX_set_padding (context, 0)
                && EVP_DecryptUpdate (context, work->body, &len, work->body, (int) work->body_len)
                && (gsize) len == work->body_len;

  EVP_CIPHER_CTX_free (context);
  EVP_CIPHER_free (cipher);
  return ok;
}

/* Bytes of the hash that goes with a version, 0 for no such version. */
static gsize
hash_size (guint32 version)
{
  return version == 1 ? TPD_SHA1_SIZE : version == 2 ? TPD_SHA256_SIZE : 0;
}

static gboolean
is_version_of (guint32 version, TpdSealType type)
{
  return type == TPD_SEAL_UNKNOWN || version == (type == TPD_SEAL_V1 ? 1u : 2u);
}

/* Bytes of the hash: by the version, or by what the lengths leave for it where
 * the version is not that of the type. */
static gsize
hash_size_of (const EnablingHeader *enabling, TpdSealType type, const TpdKeyHeader *header)
{
  const gsize left = enabling->size > header->blob_size ? enabling->size - header->blob_size : 0;

  if (!is_version_of (enabling->version, type) && (left == TPD_SHA1_SIZE || left == TPD_SHA256_SIZE))
    return left;
  return hash_size (enabling->version);
}

static gboolean
take_enabling_header (TpdBytes *body, TpdSealType type, EnablingHeader *out, GString *trace)
{
  gboolean all = tpd_bytes_take_u32le (body, &out->version) && tpd_bytes_take_u32le (body, &out->size)
                 && tpd_bytes_take_u32le (body, &out->reserved[0]) && tpd_bytes_take_u32le (body, &out->reserved[1]);
  gsize left = tpd_bytes_left (body), hash = hash_size (out->version);

  say (trace, "enabling header: version %08x size %08x reserved %08x %08x", out->version, out->size, out->reserved[0],
       out->reserved[1]);
  if (!all || hash == 0 || out->reserved[0] != 0 || out->reserved[1] != 0 || out->size > left || left - out->size >= 16
      || out->size <= hash + TPD_KEY_HEADER_SIZE)
    {
      say (trace, "enabling header: the numbers do not fit %" G_GSIZE_FORMAT " bytes", left);
      return FALSE;
    }
  if (!is_version_of (out->version, type))
    say (trace, "enabling header: version differs from the type %s (no harm)", seal_names[type]);
  return TRUE;
}

static void
say_tail (GString *trace, TpdBytes tail)
{
  guint8 any = 0, byte;
  gsize len = tpd_bytes_left (&tail);

  while (tpd_bytes_take_u8 (&tail, &byte))
    any |= byte;
  say (trace, "tail: %" G_GSIZE_FORMAT " bytes%s", len, len == 0 ? "" : any ? ", not zero" : ", zero");
}

static TpdHashRule
check_hash (const TpdUnwrapRequest *request, const guint8 *hash, gsize hash_len, GString *trace)
{
  gboolean utf16 = FALSE;
  TpdHashRule rule;

  /* It decides nothing and takes as long as all the rest but RSA. */
  if (!trace)
    return TPD_HASH_RULE_NONE;
  rule = tpd_seal_hash_match (request->principals, request->principals_len, hash, hash_len, &utf16);
  if (rule == TPD_HASH_RULE_NONE)
    say (trace, "hash: %" G_GSIZE_FORMAT " bytes, no known rule gives it (no harm)", hash_len);
  else
    say (trace, "hash: %" G_GSIZE_FORMAT " bytes, rule %c over %s", hash_len, 'A' + (int) (rule - TPD_HASH_RULE_A),
         utf16 ? "UTF-16LE" : "UTF-8");
  return rule;
}

/* What is left for a second key to open: `payload` bytes with the header, which
 * was read already. */
static void
take_second_seal (const Work *work, TpdBytes *body, const TpdKeyHeader *header, gsize payload, gsize hash_len,
                  const TpdUnwrapRequest *request, GString *trace, TpdUnwrapReply *reply)
{
  TpdBytes data, hash;
  const gsize start = body->pos - TPD_KEY_HEADER_SIZE;

  if (payload > sizeof reply->second->data || !tpd_bytes_slice (body, start, payload, &data)
      || !tpd_bytes_slice (body, start + payload, hash_len, &hash))
    return;
  reply->second = g_new0 (TpdSecondSeal, 1);
  memcpy (reply->second->data, data.data, payload);
  reply->second->len = payload;
  reply->second->headed = header->blob_size == payload;
  reply->second->hash_rule = check_hash (request, hash.data, hash_len, trace);
  reply->second->pkcs1 = work->padding == TPD_PADDING_PKCS1;
  reply->second->oaep_sha256 = work->padding == TPD_PADDING_OAEP_SHA256;
  reply->second->session_key_len = work->session_key_len;
}

static gboolean
size_word_fits (guint16 word, gsize key_len)
{
  return word == key_len || word == key_len * 8;
}

/*
 * What follows a sound enabling header: from here on answers may differ. A
 * payload larger than any AES key is a content key that was sealed a second
 * time, by a double key service; what its header says is not public
 * (docs/formats.md). Up to 15 bytes more than a key can also be a size that was
 * damaged, which the fill would hide.
 */
static void
take_content_key (const Work *work, TpdBytes *body, const EnablingHeader *enabling, const TpdUnwrapRequest *request,
                  GString *trace, TpdUnwrapReply *reply)
{
  const guint8 *key, *hash;
  TpdKeyHeader header;

  if (!tpd_key_header_take (body, &header))
    return;
  say_key_header (trace, "content", &header);
  const gsize hash_len = hash_size_of (enabling, request->type, &header);
  const gsize payload = enabling->size - hash_len;
  if (payload > TPD_KEY_HEADER_SIZE + KEY_MAX + 15)
    {
      say (trace, "content key: %" G_GSIZE_FORMAT " bytes, more than a key: sealed with a second key",
           payload - TPD_KEY_HEADER_SIZE);
      reply->status = TPD_UNWRAP_DOUBLE_KEY;
      take_second_seal (work, body, &header, payload, hash_len, request, trace, reply);
      return;
    }
  gsize key_len = payload - TPD_KEY_HEADER_SIZE;
  if (header.blob_size == payload && is_des_key_len (key_len))
    {
      say (trace, "content key: %" G_GSIZE_FORMAT " bytes, a key of DES, which is not supported", key_len);
      reply->status = TPD_UNWRAP_UNSUPPORTED;
      return;
    }
  if (header.blob_size != payload || !tpd_is_aes_key_len (key_len) || !tpd_bytes_take (body, key_len, &key)
      || !tpd_bytes_take (body, hash_len, &hash))
    {
      say (trace, "content key header: no AES key of %" G_GSIZE_FORMAT " bytes fits it", key_len);
      return;
    }
  if (!size_word_fits (header.size_word, key_len))
    say (trace, "content key header: key size is neither the bytes nor the bits of the key (no harm)");

  reply->status = TPD_UNWRAP_OK;
  reply->key = g_new0 (TpdContentKey, 1);
  reply->key->ref_count = 1;
  reply->key->key = tpd_secret_new (key, key_len);
  reply->key->mode_word = header.mode_word;
  reply->key->size_word = header.size_word;
  reply->key->flags = header.flags;
  reply->key->hash_rule = check_hash (request, hash, hash_len, trace);
  reply->key->pkcs1 = work->padding == TPD_PADDING_PKCS1;
  reply->key->oaep_sha256 = work->padding == TPD_PADDING_OAEP_SHA256;
  reply->key->session_key_len = work->session_key_len;
  say_tail (trace, *body);
  say (trace, "content key: %" G_GSIZE_FORMAT " bytes", key_len);
}

/* `em_len` is the length of the modulus; `trace` may be NULL. */
static void
open_opened (const TpdOpened *opened, gsize em_len, const TpdUnwrapRequest *request, GString *trace,
             TpdUnwrapReply *reply)
{
  Work *work = tpd_secret_alloc (sizeof *work);

  *reply = (TpdUnwrapReply){ .status = TPD_UNWRAP_REFUSED };
  gboolean sized = find_body (work, em_len, request, trace);
  gboolean keyed = find_session_key (work, opened, trace);
  gboolean decrypted = decrypt_body (work);
  if (sized && keyed && decrypted)
    {
      TpdBytes body = tpd_bytes (work->body, work->body_len);
      EnablingHeader enabling = { 0 };
      if (take_enabling_header (&body, request->type, &enabling, trace))
        take_content_key (work, &body, &enabling, request, trace, reply);
    }
  tpd_secret_free (work, sizeof *work);
}

static GString *
trace_new (const TpdUnwrapRequest *request)
{
  return request->purpose == TPD_PURPOSE_TRACE ? g_string_new (NULL) : NULL;
}

static void
unpad_all (TpdOpened *opened, TpdSealType type, const guint8 *em, gsize em_len)
{
  for (TpdPadding padding = 0; padding < TPD_N_PADDINGS; padding++)
    if (tpd_padding_applies (padding, type))
      tpd_opened_unpad (opened, padding, em, em_len);
}

void
tpd_enabling_bits_open (const guint8 *em, gsize em_len, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  TpdOpened *opened = tpd_secret_alloc (sizeof *opened);
  GString *trace = trace_new (request);

  unpad_all (opened, request->type, em, em_len);
  open_opened (opened, em_len, request, trace, reply);
  tpd_secret_free (opened, sizeof *opened);
  if (trace)
    reply->trace = g_string_free (trace, FALSE);
}

/* --- A key of this process -------------------------------------------- */

static guint
local_attempts (TpdPrivateOperation *self, TpdSealType type)
{
  return 1;
}

static gboolean
local_run (TpdPrivateOperation *self, TpdSealType type, guint attempt, const guint8 *block, TpdOpened *opened,
           GError **error)
{
  TpdLocalOperation *local = (TpdLocalOperation *) self;
  const TpdPreparedBlock *prepared = g_steal_pointer (&local->prepared);
  const gsize len = self->public_key->len;
  guint8 *em = tpd_secret_alloc (len);

  /* Fails only when memory is out, and leaves zeros, which fit no padding. */
  if (prepared != NULL && prepared->done && memcmp (prepared->block, block, len) == 0)
    memcpy (em, prepared->em, len);
  else
    (void) tpd_private_key_raw (local->key, block, len, em);
  unpad_all (opened, type, em, len);
  tpd_secret_free (em, len);
  return TRUE;
}

TpdPrivateOperation *
tpd_local_operation_init (TpdLocalOperation *operation, TpdPrivateKey *key)
{
  static const TpdPrivateOperationClass klass = { local_attempts, local_run, NULL };

  *operation = (TpdLocalOperation){ { &klass, tpd_private_key_public (key) }, key, NULL };
  return &operation->base;
}

/* --- The whole --------------------------------------------------------- */

/*
 * The first bytes of the sealed ones, zeros where they are too few. A block that
 * is not below the modulus is damaged, FALSE: it is made one that is, for the
 * operation to be done all the same, so that the time is the same.
 */
static gboolean
copy_block (const TpdUnwrapRequest *request, gboolean reversed, const TpdPublicKey *key, guint8 *block)
{
  const gsize len = key->len;

  memset (block, 0, len);
  if (request->sealed_len > 0)
    memcpy (block, request->sealed, MIN (len, request->sealed_len));
  for (gsize i = 0; reversed && i < len / 2; i++)
    {
      guint8 byte = block[i];
      block[i] = block[len - 1 - i];
      block[len - 1 - i] = byte;
    }
  if (memcmp (block, key->modulus, len) < 0)
    return TRUE;
  block[0] = 0;
  return FALSE;
}

void
tpd_enabling_bits_prepare (TpdPrivateKey *key, const TpdUnwrapRequest *const *requests, guint n,
                           TpdPreparedBlock *const *prepared)
{
  const guint8 *in[TPD_UNWRAP_MANY];
  guint8 *out[TPD_UNWRAP_MANY];
  guint done;

  g_assert (n > 0 && n <= TPD_UNWRAP_MANY);
  for (guint i = 0; i < n; i++)
    {
      (void) copy_block (requests[i], FALSE, tpd_private_key_public (key), prepared[i]->block);
      in[i] = prepared[i]->block;
      out[i] = prepared[i]->em;
    }
  done = tpd_private_key_raw_many (key, in, out, n);
  for (guint i = 0; i < n; i++)
    prepared[i]->done = (done >> i & 1) != 0;
}

/* One attempt. What is made of a damaged block is thrown away. TRUE with an error:
 * its padding could not be tried, and opened nothing. */
static gboolean
try_once (TpdPrivateOperation *operation, const TpdUnwrapRequest *request, gboolean reversed, guint attempt,
          GString *trace, TpdUnwrapReply *reply, GError **error)
{
  const TpdPublicKey *key = operation->public_key;
  g_autoptr (GError) failed = NULL;
  TpdOpened *opened = tpd_secret_alloc (sizeof *opened);
  guint8 block[TPD_RSA_MAX_BYTES];

  gboolean below = copy_block (request, reversed, key, block);
  if (!below)
    say (trace, "RSA: the block is not below the modulus");
  gboolean ran = operation->klass->run (operation, request->type, attempt, block, opened, &failed)
                 || g_error_matches (failed, TPD_ERROR, TPD_ERROR_UNSUPPORTED);
  if (!below)
    memset (opened->fits, 0, sizeof opened->fits);
  if (ran)
    open_opened (opened, key->len, request, trace, reply);
  if (ran && opened->owes && reply->status == TPD_UNWRAP_REFUSED)
    operation->klass->make_up (operation, request->type, attempt);
  tpd_secret_free (opened, sizeof *opened);
  if (failed != NULL)
    g_propagate_error (error, g_steal_pointer (&failed));
  return ran;
}

/*
 * All attempts, until one opens. Every genuine block seen is big-endian.
 * CryptoAPI works in little-endian, so that order gets a try before the answer
 * is no; headers that all fit cannot come by chance. Nor is it no while there is a
 * padding that could not be tried, whatever is wrong with the bits.
 */
static gboolean
try_all (TpdPrivateOperation *operation, const TpdUnwrapRequest *request, GString *trace, TpdUnwrapReply *reply,
         GError **error)
{
  const guint attempts = operation->klass->attempts (operation, request->type);
  g_autoptr (GError) untried = NULL;

  reply->status = TPD_UNWRAP_REFUSED;
  for (guint i = 0; i < 2 * attempts && reply->status == TPD_UNWRAP_REFUSED; i++)
    {
      const gboolean reversed = i >= attempts;
      TpdUnwrapReply one = { 0 };
      if (i == attempts)
        say (trace, "RSA: once more with the bytes of the block reversed");
      g_autoptr (GError) failed = NULL;
      if (!try_once (operation, request, reversed, i % attempts, trace, &one, &failed))
        {
          g_propagate_error (error, g_steal_pointer (&failed));
          return FALSE;
        }
      if (untried == NULL)
        untried = g_steal_pointer (&failed);
      if (one.key != NULL)
        one.key->reversed = reversed;
      if (one.status == TPD_UNWRAP_OK || !reversed)
        *reply = one;
      else
        tpd_unwrap_reply_clear (&one);
    }
  if (reply->status != TPD_UNWRAP_REFUSED || untried == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&untried));
  return FALSE;
}

void
tpd_enabling_bits_unwrap_with (TpdPrivateOperation *operation, const TpdUnwrapRequest *request, TpdUnwrapReply *reply,
                               GError **error)
{
  GString *trace = trace_new (request);
  g_autoptr (GError) failed = NULL;

  *reply = (TpdUnwrapReply){ 0 };
  say (trace, "sealed: %" G_GSIZE_FORMAT " bytes, type %s, RSA block of %u bytes", request->sealed_len,
       seal_names[request->type], operation->public_key->len);
  if (!try_all (operation, request, trace, reply, &failed))
    {
      say (trace, "RSA: %s", failed->message);
      *reply = (TpdUnwrapReply){ .status = TPD_UNWRAP_UNAVAILABLE };
      g_propagate_error (error, g_steal_pointer (&failed));
    }
  if (trace)
    reply->trace = g_string_free (trace, FALSE);
}

void
tpd_enabling_bits_unwrap (TpdPrivateKey *key, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  TpdLocalOperation operation;

  tpd_enabling_bits_unwrap_with (tpd_local_operation_init (&operation, key), request, reply, NULL);
}
