/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies behind the RSA operation of a sealed content key. The input gives
 * either that result as it is, or the message in it and the text behind it,
 * which are then padded and encrypted here, for no mutation could do that.
 *
 *   flags u8 (type: 1+2, trace: 4, as it is: 8, long key: 16), message length
 *   u8, principals length u16, principals, message or RSA result, body
 */
#include <openssl/evp.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/enablingbits.h"
#include "fuzz.h"

#define FLAG_TRACE 4
#define FLAG_RAW 8
#define FLAG_LONG 16
#define MAX_BODY 4200
#define KEY_HEADER_SIZE 12

/* RFC 8017 7.2.1, with a fixed fill. */
static void
pad (const guint8 *message, gsize len, guint8 *em, gsize em_len)
{
  memset (em, 0xff, em_len);
  em[0] = 0;
  em[1] = 2;
  em[em_len - len - 1] = 0;
  memcpy (em + em_len - len, message, len);
}

/* With the session key as the message holds it. */
static void
encrypt (const guint8 *message, gsize message_len, guint8 *body, gsize len)
{
  const gsize key_len = message_len > KEY_HEADER_SIZE ? message_len - KEY_HEADER_SIZE : 0;
  const EVP_CIPHER *cipher = key_len == 32   ? EVP_aes_256_ecb ()
                             : key_len == 24 ? EVP_aes_192_ecb ()
                             : key_len == 16 ? EVP_aes_128_ecb ()
                                             : NULL;
  EVP_CIPHER_CTX *context;
  int n = 0;

  if (cipher == NULL || len == 0 || len % 16 != 0)
    return;
  context = EVP_CIPHER_CTX_new ();
  g_assert (EVP_EncryptInit_ex (context, cipher, NULL, message + KEY_HEADER_SIZE, NULL) == 1);
  g_assert (EVP_CIPHER_CTX_set_padding (context, 0) == 1);
  g_assert (EVP_EncryptUpdate (context, body, &n, body, (int) len) == 1 && (gsize) n == len);
  EVP_CIPHER_CTX_free (context);
}

static void
check_reply (const TpdUnwrapReply *reply, gboolean trace)
{
  g_assert ((reply->status == TPD_UNWRAP_OK) == (reply->key != NULL));
  g_assert (reply->status != TPD_UNWRAP_UNAVAILABLE);
  g_assert ((reply->trace != NULL) == trace);
  if (reply->key != NULL)
    g_assert (reply->key->key->len == 16 || reply->key->key->len == 24 || reply->key->key->len == 32);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  TpdBytes input = tpd_bytes (data, size);
  guint8 flags, message_len;
  guint16 principals_len;
  const guint8 *principals, *message, *body = NULL;
  TpdUnwrapRequest request = { 0 };
  g_auto (TpdUnwrapReply) reply = { 0 };

  if (!tpd_bytes_take_u8 (&input, &flags) || !tpd_bytes_take_u8 (&input, &message_len)
      || !tpd_bytes_take_u16le (&input, &principals_len) || !tpd_bytes_take (&input, principals_len, &principals))
    return 0;
  const gsize em_len = (flags & FLAG_LONG) != 0 ? 256 : 128;
  g_autofree guint8 *em = g_malloc (em_len);
  const gboolean raw = (flags & FLAG_RAW) != 0;
  const gsize wanted = raw ? em_len : MIN (message_len, em_len - 11);
  if (!tpd_bytes_take (&input, wanted, &message))
    return 0;
  const gsize body_len = MIN (tpd_bytes_left (&input), MAX_BODY);
  g_autofree guint8 *sealed = g_malloc0 (em_len + body_len);
  if (tpd_bytes_take (&input, body_len, &body) && body_len > 0)
    memcpy (sealed + em_len, body, body_len);
  if (raw)
    memcpy (em, message, em_len);
  else
    {
      pad (message, wanted, em, em_len);
      encrypt (message, wanted, sealed + em_len, body_len);
    }

  request.sealed = sealed;
  request.sealed_len = em_len + body_len;
  request.type = (TpdSealType) ((flags & 3) % 3);
  request.principals = (const char *) principals;
  request.principals_len = principals_len;
  request.purpose = (flags & FLAG_TRACE) != 0 ? TPD_PURPOSE_TRACE : TPD_PURPOSE_READ;
  tpd_enabling_bits_open (em, em_len, &request, &reply);
  check_reply (&reply, request.purpose == TPD_PURPOSE_TRACE);
  return 0;
}
