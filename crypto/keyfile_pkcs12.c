/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys in PKCS#12 files (RFC 7292). OpenSSL parses and decrypts; we
 * walk the bags ourselves, because what is wanted is every key and no
 * certificate: an old file whose certificates need a cipher that is not there
 * still gives its key.
 */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>

#include "base/error.h"
#include "crypto/keyfile_pbe.h"
#include "crypto/keyfile_private.h"

typedef STACK_OF (PKCS12_SAFEBAG) Bags;
typedef STACK_OF (PKCS7) Safes;

static void
bags_free (Bags *bags)
{
  sk_PKCS12_SAFEBAG_pop_free (bags, PKCS12_SAFEBAG_free);
}

static void
safes_free (Safes *safes)
{
  sk_PKCS7_pop_free (safes, PKCS7_free);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Bags, bags_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Safes, safes_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PKCS12, PKCS12_free)

static gboolean
damaged (GError **error)
{
  g_set_error_literal (error, TPD_ERROR, TPD_ERROR_KEY_FILE, "The PKCS#12 file is damaged or cut off");
  return FALSE;
}

static gboolean
mac_fits (PKCS12 *p12, const TpdSecret *password)
{
  return PKCS12_verify_mac (p12, password != NULL ? (const char *) password->data : NULL,
                            password != NULL ? (int) password->len : 0)
         == 1;
}

/*
 * Finds the password. Files that were exported without one are sealed with
 * either none or the empty one. `*password` is NULL for none.
 */
static gboolean
find_password (TpdKeyReader *reader, PKCS12 *p12, TpdSecret **password, GError **error)
{
  g_autoptr (TpdSecret) empty = tpd_secret_new (NULL, 0);
  const ASN1_INTEGER *rounds = NULL;
  const TpdSecret *given;
  int64_t n = 1;

  *password = NULL;
  if (PKCS12_mac_present (p12) == 1)
    {
      PKCS12_get0_mac (NULL, NULL, NULL, &rounds, p12);
      /* It is checked with up to three passwords. */
      if (rounds != NULL
          && (ASN1_INTEGER_get_int64 (&n, rounds) != 1 || n < 1 || n > TPD_PBE_COST_MAX
              || !tpd_pbe_spend (&reader->pbe_spent, 3 * (guint64) n)))
        return damaged (error);
      if (mac_fits (p12, NULL))
        return TRUE;
      if (mac_fits (p12, empty))
        {
          *password = g_steal_pointer (&empty);
          return TRUE;
        }
    }
  given = tpd_key_reader_password (reader, error);
  if (given == NULL)
    return FALSE;
  if (PKCS12_mac_present (p12) == 1 && !mac_fits (p12, given))
    {
      g_set_error_literal (error, TPD_ERROR, TPD_ERROR_PASSWORD,
                           "The password does not open this PKCS#12 file, or the file is damaged: check that the "
                           "password belongs to this file; in PowerShell \"$\" in double quotes is replaced");
      return FALSE;
    }
  *password = tpd_secret_new (given->data, given->len);
  return TRUE;
}

static gboolean
read_plain_bag (TpdKeyReader *reader, const PKCS12_SAFEBAG *bag, GError **error)
{
  unsigned char *der = NULL;
  int len = i2d_PKCS8_PRIV_KEY_INFO (PKCS12_SAFEBAG_get0_p8inf (bag), &der);
  gboolean ok;

  if (len <= 0)
    return damaged (error);
  ok = tpd_key_read_pkcs8 (reader, der, (gsize) len, "pkcs12", error);
  OPENSSL_clear_free (der, (size_t) len);
  return ok;
}

static gboolean
read_sealed_bag (TpdKeyReader *reader, const PKCS12_SAFEBAG *bag, const TpdSecret *password, GError **error)
{
  g_autoptr (TpdSecret) plain = NULL;
  const X509_ALGOR *algorithm;
  const ASN1_OCTET_STRING *data;

  X509_SIG_get0 (PKCS12_SAFEBAG_get0_pkcs8 (bag), &algorithm, &data);
  plain = tpd_pbe_open (algorithm, ASN1_STRING_get0_data (data), (gsize) ASN1_STRING_length (data), password,
                        &reader->pbe_spent, error);
  return plain != NULL && tpd_key_read_pkcs8 (reader, plain->data, plain->len, "pkcs12", error);
}

static gboolean
read_bags (TpdKeyReader *reader, const Bags *bags, const TpdSecret *password, GError **error)
{
  for (int i = 0; i < sk_PKCS12_SAFEBAG_num (bags); i++)
    {
      const PKCS12_SAFEBAG *bag = sk_PKCS12_SAFEBAG_value (bags, i);
      int kind = PKCS12_SAFEBAG_get_nid (bag);

      if (kind == NID_keyBag && !read_plain_bag (reader, bag, error))
        return FALSE;
      if (kind == NID_pkcs8ShroudedKeyBag && !read_sealed_bag (reader, bag, password, error))
        return FALSE;
    }
  return TRUE;
}

/* The bags of an encrypted safe, which holds certificates as a rule. */
static Bags *
open_safe (TpdKeyReader *reader, const PKCS7 *safe, const TpdSecret *password, GError **error)
{
  const PKCS7_ENC_CONTENT *content = safe->d.encrypted != NULL ? safe->d.encrypted->enc_data : NULL;
  g_autoptr (TpdSecret) plain = NULL;
  const unsigned char *at;
  Bags *bags;

  if (content == NULL || content->algorithm == NULL || content->enc_data == NULL)
    {
      damaged (error);
      return NULL;
    }
  plain = tpd_pbe_open (content->algorithm, ASN1_STRING_get0_data (content->enc_data),
                        (gsize) ASN1_STRING_length (content->enc_data), password, &reader->pbe_spent, error);
  if (plain == NULL)
    return NULL;
  at = plain->data;
  bags = (Bags *) ASN1_item_d2i (NULL, &at, (long) plain->len, ASN1_ITEM_rptr (PKCS12_SAFEBAGS));
  if (bags == NULL)
    damaged (error);
  return bags;
}

static gboolean
read_safes (TpdKeyReader *reader, PKCS12 *p12, const TpdSecret *password, GError **error)
{
  g_autoptr (Safes) safes = PKCS12_unpack_authsafes (p12);
  g_autoptr (GError) skipped = NULL;

  if (safes == NULL)
    return damaged (error);
  for (int i = 0; i < sk_PKCS7_num (safes); i++)
    {
      PKCS7 *safe = sk_PKCS7_value (safes, i);
      g_autoptr (Bags) bags = NULL;

      if (PKCS7_type_is_data (safe))
        {
          bags = PKCS12_unpack_p7data (safe);
          if (bags == NULL)
            return damaged (error);
        }
      else if (PKCS7_type_is_encrypted (safe))
        {
          g_clear_error (&skipped);
          bags = open_safe (reader, safe, password, &skipped);
        }
      if (bags != NULL && !read_bags (reader, bags, password, error))
        return FALSE;
    }
  if (reader->keys->len > 0)
    return TRUE;
  if (skipped == NULL)
    return tpd_key_reader_public_only (error);
  g_propagate_error (error, g_steal_pointer (&skipped));
  return FALSE;
}

gboolean
tpd_key_read_pkcs12 (TpdKeyReader *reader, const guint8 *der, gsize len, GError **error)
{
  g_autoptr (PKCS12) p12 = PKCS12_init_ex (NID_pkcs7_data, tpd_pbe_context (), NULL);
  g_autoptr (TpdSecret) password = NULL;
  const unsigned char *at = der;
  gboolean ok = FALSE;

  ERR_set_mark ();
  if (p12 == NULL || d2i_PKCS12 (&p12, &at, (long) len) == NULL || at != der + len)
    damaged (error);
  else if (find_password (reader, p12, &password, error))
    ok = read_safes (reader, p12, password, error);
  ERR_pop_to_mark ();
  return ok;
}
