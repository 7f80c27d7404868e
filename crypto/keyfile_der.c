/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys in DER: PKCS#1 (RFC 8017 A.1.2), PKCS#8 (RFC 5208) and
 * encrypted PKCS#8. The structures are small and fixed, so they are read here
 * and not by OpenSSL, whose decoders would copy the key through ordinary
 * memory; decryption is OpenSSL's.
 */
#include <string.h>

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/keyfile_pbe.h"
#include "crypto/keyfile_private.h"

#define TAG_SEQUENCE (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED)
#define PKCS12_VERSION 3

static const guint8 rsa_encryption[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01 };

G_DEFINE_AUTOPTR_CLEANUP_FUNC (X509_SIG, X509_SIG_free)

static gboolean
damaged (GError **error)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE,
                       "The key file is damaged or cut off: its DER encoding is broken");
  return FALSE;
}

/* One element with a definite length of at most four bytes. */
static gboolean
take_element (TpdBytes *b, guint8 *tag, TpdBytes *content)
{
  TpdBytes at = *b;
  guint8 first;
  const guint8 *data;
  guint64 len;

  if (!tpd_bytes_take_u8 (&at, tag) || !tpd_bytes_take_u8 (&at, &first))
    return FALSE;
  len = first & 0x7f;
  if ((first & 0x80) != 0)
    {
      if (len == 0 || len > 4 || !tpd_bytes_take (&at, len, &data))
        return FALSE;
      for (gsize i = 0, n = (gsize) len; i < n; i++)
        len = (i == 0 ? 0 : len << 8) | data[i];
    }
  if (!tpd_bytes_take (&at, len, &data))
    return FALSE;
  *content = tpd_bytes (data, (gsize) len);
  *b = at;
  return TRUE;
}

static gboolean
take_tagged (TpdBytes *b, guint8 tag, TpdBytes *content)
{
  TpdBytes at = *b;
  guint8 found;

  if (!take_element (&at, &found, content) || found != tag)
    return FALSE;
  *b = at;
  return TRUE;
}

static gboolean
take_number (TpdBytes *b, const guint8 **data, gsize *len)
{
  TpdBytes content;

  if (!take_tagged (b, V_ASN1_INTEGER, &content) || content.len == 0 || (content.data[0] & 0x80) != 0)
    return FALSE;
  *data = content.data;
  *len = content.len;
  return TRUE;
}

/* A version number: one byte. */
static gboolean
take_version (TpdBytes *b, guint8 *version)
{
  const guint8 *data;
  gsize len;

  if (!take_number (b, &data, &len) || len != 1)
    return FALSE;
  *version = data[0];
  return TRUE;
}

gboolean
tpd_key_read_pkcs1 (TpdKeyReader *reader, const guint8 *der, gsize len, const char *origin, GError **error)
{
  TpdBytes b = tpd_bytes (der, len), key;
  TpdPrivateKeyParts parts = { 0 };
  const guint8 *crt;
  gsize crt_len;
  guint8 version;

  if (!take_tagged (&b, TAG_SEQUENCE, &key) || tpd_bytes_left (&b) > 0 || !take_version (&key, &version))
    return damaged (error);
  if (version != 0)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
                           "This is an RSA key of more than two primes, which RMS does not use");
      return FALSE;
    }
  if (!take_number (&key, &parts.n, &parts.n_len) || !take_number (&key, &parts.e, &parts.e_len)
      || !take_number (&key, &parts.d, &parts.d_len) || !take_number (&key, &parts.p, &parts.p_len)
      || !take_number (&key, &parts.q, &parts.q_len) || !take_number (&key, &crt, &crt_len)
      || !take_number (&key, &crt, &crt_len) || !take_number (&key, &crt, &crt_len) || tpd_bytes_left (&key) > 0)
    return damaged (error);
  return tpd_key_reader_add_parts (reader, &parts, origin, error);
}

static gboolean
refuse_algorithm (const TpdBytes *oid, GError **error)
{
  guint8 der[64] = { V_ASN1_OBJECT, (guint8) oid->len };
  const guint8 *at = der;
  char name[80] = "unknown";
  ASN1_OBJECT *object;

  if (oid->len > 0 && oid->len <= sizeof der - 2)
    {
      memcpy (der + 2, oid->data, oid->len);
      object = d2i_ASN1_OBJECT (NULL, &at, (long) oid->len + 2);
      if (object != NULL)
        OBJ_obj2txt (name, sizeof name, object, 0);
      ASN1_OBJECT_free (object);
    }
  g_set_error (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
               "This is no RSA key (its algorithm is %s): the keys of RMS servers are RSA keys", name);
  return FALSE;
}

gboolean
tpd_key_read_pkcs8 (TpdKeyReader *reader, const guint8 *der, gsize len, const char *origin, GError **error)
{
  TpdBytes b = tpd_bytes (der, len), info, algorithm, oid, key;
  guint8 version;

  if (!take_tagged (&b, TAG_SEQUENCE, &info) || tpd_bytes_left (&b) > 0 || !take_version (&info, &version)
      || version > 1 || !take_tagged (&info, TAG_SEQUENCE, &algorithm) || !take_tagged (&algorithm, V_ASN1_OBJECT, &oid)
      || !take_tagged (&info, V_ASN1_OCTET_STRING, &key))
    return damaged (error);
  if (oid.len != sizeof rsa_encryption || memcmp (oid.data, rsa_encryption, oid.len) != 0)
    return refuse_algorithm (&oid, error);
  return tpd_key_read_pkcs1 (reader, key.data, key.len, origin, error);
}

gboolean
tpd_key_read_encrypted_pkcs8 (TpdKeyReader *reader, const guint8 *der, gsize len, const char *origin, GError **error)
{
  const unsigned char *at = der;
  g_autoptr (X509_SIG) sealed = NULL;
  g_autoptr (TpdSecret) plain = NULL;
  const X509_ALGOR *algorithm;
  const ASN1_OCTET_STRING *data;
  const TpdSecret *password;

  ERR_set_mark ();
  sealed = d2i_X509_SIG (NULL, &at, (long) len);
  ERR_pop_to_mark ();
  if (sealed == NULL || at != der + len)
    return damaged (error);
  password = tpd_key_reader_password (reader, error);
  if (password == NULL)
    return FALSE;
  X509_SIG_get0 (sealed, &algorithm, &data);
  plain = tpd_pbe_open (algorithm, ASN1_STRING_get0_data (data), (gsize) ASN1_STRING_length (data), password,
                        &reader->pbe_spent, error);
  return plain != NULL && tpd_key_read_pkcs8 (reader, plain->data, plain->len, origin, error);
}

gboolean
tpd_key_read_der (TpdKeyReader *reader, const guint8 *der, gsize len, GError **error)
{
  TpdBytes b = tpd_bytes (der, len), outer, content;
  guint8 first, second, version = 0;

  /* PKCS#12 may come in BER with indefinite lengths. */
  if (len >= 5 && memcmp (der, "\x30\x80\x02\x01\x03", 5) == 0)
    return tpd_key_read_pkcs12 (reader, der, len, error);
  if (!take_tagged (&b, TAG_SEQUENCE, &outer) || !take_element (&outer, &first, &content))
    return damaged (error);
  if (first == V_ASN1_INTEGER && content.len == 1)
    version = content.data[0];
  if (first == V_ASN1_INTEGER && content.len == 1 && version == PKCS12_VERSION)
    return tpd_key_read_pkcs12 (reader, der, len, error);
  if (!take_element (&outer, &second, &content))
    return damaged (error);
  if (first == V_ASN1_INTEGER && version == 1 && second == V_ASN1_OCTET_STRING)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_UNUSABLE,
                           "This is no RSA key but one of elliptic curves: the keys of RMS servers are RSA keys");
      return FALSE;
    }
  if (first == V_ASN1_INTEGER && second == TAG_SEQUENCE)
    return tpd_key_read_pkcs8 (reader, der, len, "der", error);
  /* RSAPublicKey is two INTEGERs and no version. */
  if (first == V_ASN1_INTEGER && second == V_ASN1_INTEGER && tpd_bytes_left (&outer) > 0)
    return tpd_key_read_pkcs1 (reader, der, len, "der", error);
  if (first == TAG_SEQUENCE && second == V_ASN1_OCTET_STRING)
    return tpd_key_read_encrypted_pkcs8 (reader, der, len, "der", error);
  if (first == V_ASN1_INTEGER || first == TAG_SEQUENCE || first == V_ASN1_OBJECT)
    return tpd_key_reader_public_only (error);
  return damaged (error);
}
