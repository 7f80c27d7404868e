/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys as Windows dumps them: CAPI PRIVATEKEYBLOB, PVK files around
 * such a blob, and the BCRYPT_RSAKEY_BLOB of CNG (bcrypt.h). docs/formats.md,
 * "Other key files".
 */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/keyfile_private.h"

#define CAPI_PUBLIC 0x06
#define CAPI_BLOBHEADER_LEN 8

#define PVK_MAGIC 0xb0b5f11e
#define PVK_SALT_MAX 1024
#define PVK_STRONG_KEY_LEN 16
#define PVK_WEAK_KEY_LEN 5 /* of 16, the others are zeros: the export grade of its time */

#define BCRYPT_RSA1 0x31415352 /* public */
#define BCRYPT_RSA2 0x32415352
#define BCRYPT_RSA3 0x33415352

gboolean
tpd_key_read_capi (TpdKeyReader *reader, const guint8 *data, gsize len, const char *origin, GError **error)
{
  if (len > 0 && data[0] == CAPI_PUBLIC)
    return tpd_key_reader_public_only (error);
  return tpd_key_reader_add (reader, tpd_private_key_from_capi_blob (data, len, error), origin, error);
}

/* RC4 without OpenSSL, which has it in its legacy provider only; in place. */
static void
rc4 (const guint8 *key, gsize key_len, guint8 *data, gsize len)
{
  guint8 *s = tpd_secret_alloc (256);
  guint8 i = 0, j = 0;

  for (guint k = 0; k < 256; k++)
    s[k] = (guint8) k;
  for (guint k = 0; k < 256; k++)
    {
      guint8 swap = s[k];
      j = (guint8) (j + swap + key[k % key_len]);
      s[k] = s[j];
      s[j] = swap;
    }
  j = 0;
  for (gsize k = 0; k < len; k++)
    {
      guint8 swap;
      i++;
      swap = s[i];
      j = (guint8) (j + swap);
      s[i] = s[j];
      s[j] = swap;
      data[k] ^= s[(guint8) (s[i] + s[j])];
    }
  tpd_secret_free (s, 256);
}

/* The blob of an encrypted PVK opened with `key_len` bytes of the digest; the
 * BLOBHEADER is in clear. NULL if that is not it. */
static TpdSecret *
open_pvk (const TpdBytes *blob, const TpdSecret *digest, gsize key_len)
{
  g_autoptr (TpdSecret) plain = tpd_secret_new (blob->data, blob->len);
  g_autoptr (TpdSecret) key = tpd_secret_new (NULL, PVK_STRONG_KEY_LEN);

  memcpy (key->data, digest->data, key_len);
  rc4 (key->data, key->len, plain->data + CAPI_BLOBHEADER_LEN, plain->len - CAPI_BLOBHEADER_LEN);
  return memcmp (plain->data + CAPI_BLOBHEADER_LEN, "RSA2", 4) == 0 ? g_steal_pointer (&plain) : NULL;
}

static gboolean
read_encrypted_pvk (TpdKeyReader *reader, const TpdBytes *salt, const TpdBytes *blob, GError **error)
{
  const TpdSecret *password = tpd_key_reader_password (reader, error);
  g_autoptr (TpdSecret) salted = NULL;
  g_autoptr (TpdSecret) digest = NULL;
  g_autoptr (TpdSecret) plain = NULL;

  if (password == NULL)
    return FALSE;
  /* Without a salt, which some tools write, the key is that of the password alone. */
  salted = tpd_secret_new (NULL, salt->len + password->len);
  memcpy (salted->data, salt->data, salt->len);
  memcpy (salted->data + salt->len, password->data, password->len);
  digest = tpd_secret_new (NULL, TPD_SHA1_SIZE);
  tpd_sha1 (salted->data, salted->len, digest->data);
  plain = open_pvk (blob, digest, PVK_STRONG_KEY_LEN);
  if (plain == NULL)
    plain = open_pvk (blob, digest, PVK_WEAK_KEY_LEN);
  if (plain == NULL)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_PASSWORD,
                           "The password does not open this PVK file, or the file is damaged: check that the password "
                           "belongs to this file");
      return FALSE;
    }
  return tpd_key_read_capi (reader, plain->data, plain->len, "pvk", error);
}

gboolean
tpd_key_read_pvk (TpdKeyReader *reader, const guint8 *data, gsize len, GError **error)
{
  TpdBytes b = tpd_bytes (data, len), salt, blob;
  guint32 magic, reserved, key_type, encrypted, salt_len, blob_len;

  if (!tpd_bytes_take_u32le (&b, &magic) || !tpd_bytes_take_u32le (&b, &reserved)
      || !tpd_bytes_take_u32le (&b, &key_type) || !tpd_bytes_take_u32le (&b, &encrypted)
      || !tpd_bytes_take_u32le (&b, &salt_len) || !tpd_bytes_take_u32le (&b, &blob_len) || magic != PVK_MAGIC
      || salt_len > PVK_SALT_MAX || !tpd_bytes_slice (&b, b.pos, salt_len, &salt) || !tpd_bytes_skip (&b, salt_len)
      || tpd_bytes_left (&b) != blob_len || blob_len <= CAPI_BLOBHEADER_LEN + 4
      || !tpd_bytes_slice (&b, b.pos, blob_len, &blob))
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE, "The PVK file is damaged or cut off");
      return FALSE;
    }
  if (encrypted != 0)
    return read_encrypted_pvk (reader, &salt, &blob, error);
  return tpd_key_read_capi (reader, blob.data, blob.len, "pvk", error);
}

gboolean
tpd_key_read_bcrypt (TpdKeyReader *reader, const guint8 *data, gsize len, GError **error)
{
  TpdBytes b = tpd_bytes (data, len);
  TpdPrivateKeyParts parts = { 0 };
  guint32 magic = 0, bits, e_len, n_len, p_len, q_len;
  gboolean ok;

  ok = tpd_bytes_take_u32le (&b, &magic) && tpd_bytes_take_u32le (&b, &bits) && tpd_bytes_take_u32le (&b, &e_len)
       && tpd_bytes_take_u32le (&b, &n_len) && tpd_bytes_take_u32le (&b, &p_len) && tpd_bytes_take_u32le (&b, &q_len);
  if (ok && magic == BCRYPT_RSA1)
    return tpd_key_reader_public_only (error);
  /* A take of too many bytes fails: lengths need no other bound. */
  ok = ok && tpd_bytes_take (&b, e_len, &parts.e) && tpd_bytes_take (&b, n_len, &parts.n)
       && tpd_bytes_take (&b, p_len, &parts.p) && tpd_bytes_take (&b, q_len, &parts.q);
  if (ok && magic == BCRYPT_RSA3)
    {
      /* dp, dq and the coefficient stand before d. */
      ok = tpd_bytes_skip (&b, (guint64) p_len + q_len + p_len) && tpd_bytes_take (&b, n_len, &parts.d);
      parts.d_len = n_len;
    }
  if (!ok || (magic != BCRYPT_RSA2 && magic != BCRYPT_RSA3) || tpd_bytes_left (&b) > 0)
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE, "The BCRYPT key blob is damaged or cut off");
      return FALSE;
    }
  parts.e_len = e_len;
  parts.n_len = n_len;
  parts.p_len = p_len;
  parts.q_len = q_len;
  return tpd_key_reader_add_parts (reader, &parts, "bcrypt", error);
}
