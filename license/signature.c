/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "Surface coding" signatures (docs/formats.md): RSA PKCS#1 v1.5 over the
 * UTF-16LE form of the characters from "<BODY" through "</BODY>", exactly as
 * they stand, whatever the encoding of the file.
 *
 * The signature covers characters, the rest of license/ reads a tree. They are
 * taken to mean the same only when the text leaves no room for two readings:
 * one BODY, no comment, no CDATA section, no processing instruction.
 */
#include "license/signature.h"

#include <string.h>

#include "crypto/sha_wide.h"
#include "license/scan.h"
#include "license/xrml.h"

/* UTF-16LE on its way into a digest, or into one of a pair, whose other one is of
 * all of the document. */
typedef struct {
  TpdDigest *digest; /* or NULL */
  TpdShaPair *pair;  /* or NULL */
  const char *beside;
  gsize beside_len; /* left of it */
  gsize used;
  guint16 units[2048];
} Wide;

/* Units that make whole blocks of every digest. */
#define WHOLE 32

static void
wide_update (Wide *wide, gsize n)
{
  const gsize size = n * sizeof wide->units[0], beside = MIN (size, wide->beside_len);

  if (wide->digest != NULL)
    {
      tpd_digest_update (wide->digest, wide->units, size);
      return;
    }
  tpd_sha_pair_update (wide->pair, wide->beside, beside, wide->units, size);
  wide->beside += beside;
  wide->beside_len -= beside;
}

/* What makes no whole block waits for more. */
static void
wide_flush (Wide *wide)
{
  const gsize n = wide->used / WHOLE * WHOLE;

  wide_update (wide, n);
  wide->used -= n;
  memmove (wide->units, wide->units + n, wide->used * sizeof wide->units[0]);
}

/* Room for `n` units more. */
static void
wide_reserve (Wide *wide, gsize n)
{
  if (G_N_ELEMENTS (wide->units) - wide->used < n)
    wide_flush (wide);
}

/* One character. */
static void
wide_put (Wide *wide, gunichar c)
{
  wide_reserve (wide, 2);
  if (c >= 0x10000)
    {
      wide->units[wide->used++] = GUINT16_TO_LE ((guint16) (0xd800 + ((c - 0x10000) >> 10)));
      c = 0xdc00 + ((c - 0x10000) & 0x3ff);
    }
  wide->units[wide->used++] = GUINT16_TO_LE ((guint16) c);
}

/* Nearly all of a license is ASCII: the next piece, if all of it is. */
static gboolean
wide_put_ascii (Wide *wide, const char *p)
{
  guint16 *units;
  guint8 high = 0;

  for (gsize i = 0; i < TPD_SCAN_PIECE; i++)
    high |= (guint8) p[i];
  if (high >= 0x80)
    return FALSE;
  wide_reserve (wide, TPD_SCAN_PIECE);
  units = wide->units + wide->used;
  for (gsize i = 0; i < TPD_SCAN_PIECE; i++)
    units[i] = GUINT16_TO_LE ((guint16) (guchar) p[i]);
  wide->used += TPD_SCAN_PIECE;
  return TRUE;
}

/* All of the UTF-16LE of valid UTF-8, without what is only white space between
 * tags if `squeeze` is set: that is what pretty printers add. */
static void
wide_put_text (Wide *wide, const char *text, gsize len, gboolean squeeze)
{
  const char *p = text, *end = text + len;

  while (p < end)
    {
      if (!squeeze && end - p >= TPD_SCAN_PIECE && wide_put_ascii (wide, p))
        {
          p += TPD_SCAN_PIECE;
          continue;
        }
      if (squeeze && tpd_is_space ((guchar) *p) && p > text && p[-1] == '>')
        {
          const char *q = p;

          while (q < end && tpd_is_space ((guchar) *q))
            q++;
          if (q < end && *q == '<')
            {
              p = q;
              continue;
            }
        }
      wide_put (wide, g_utf8_get_char (p));
      p = g_utf8_next_char (p);
    }
  wide_update (wide, wide->used);
}

/* The digest of what is signed of the document of `slice`. */
static void
make_digest (const char *text, const TpdXrmlSlice *slice, gboolean squeeze, gsize digest_len,
             guint8 out[TPD_SHA256_SIZE])
{
  Wide wide;

  wide.digest = tpd_digest_new (digest_len);
  wide.used = 0;
  wide_put_text (&wide, text + slice->body_start, slice->body_len, squeeze);
  tpd_digest_finish (wide.digest, out);
}

/* The SHA-256 of that, and that of all of the document as it stands. */
static void
make_both (const char *text, const TpdXrmlSlice *slice, guint8 out[TPD_SHA256_SIZE], guint8 all[TPD_SHA256_SIZE])
{
  Wide wide;

  wide.digest = NULL;
  wide.pair = tpd_sha_pair_new ();
  wide.beside = text + slice->start;
  wide.beside_len = slice->len;
  wide.used = 0;
  wide_put_text (&wide, text + slice->body_start, slice->body_len, FALSE);
  tpd_sha_pair_update (wide.pair, wide.beside, wide.beside_len, NULL, 0);
  tpd_sha_pair_finish (wide.pair, all, out);
}

/* Whether there is white space between tags: else squeezing changes nothing. */
static gboolean
has_space_between_tags (const char *text, gsize len)
{
  const char *p = text, *end = text + len;

  while ((p = memchr (p, '>', (gsize) (end - p))) != NULL)
    {
      const char *q = ++p;

      while (q < end && tpd_is_space ((guchar) *q))
        q++;
      if (q > p && q < end && *q == '<')
        return TRUE;
    }
  return FALSE;
}

/* Length of the digest an ALGORITHM names, 0 if it is not known. */
static gsize
digest_length (const TpdXmlNode *digest)
{
  g_autofree char *name = tpd_xml_path_text (digest, "ALGORITHM");

  if (g_strcmp0 (name, "SHA1") == 0 || g_strcmp0 (name, "SHA-1") == 0)
    return TPD_SHA1_SIZE;
  if (g_strcmp0 (name, "SHA256") == 0 || g_strcmp0 (name, "SHA-256") == 0)
    return TPD_SHA256_SIZE;
  return 0;
}

static gboolean
has_one_reading (const TpdXrmlSlice *slice, const TpdXml *doc)
{
  const TpdXmlNode *body = tpd_xml_child (tpd_xml_root (doc), "BODY");

  return body != NULL && tpd_xml_next (body, "BODY") == NULL && slice->n_bodies == 1 && !slice->has_markup;
}

/* As tpd_signature_check(). `*hashed`: `sha256`, which is not NULL then, was made. */
static TpdSignatureState
check (const char *text, const TpdXrmlSlice *slice, const TpdXml *doc, const TpdPublicKey *key, guint8 *sha256,
       gboolean *hashed)
{
  const TpdXmlNode *signature = tpd_xml_child (tpd_xml_root (doc), "SIGNATURE");
  const TpdXmlNode *digest_node = tpd_xml_child (signature, "DIGEST");
  g_autofree char *algorithm = tpd_xml_path_text (signature, "ALGORITHM");
  g_autofree guint8 *stored = NULL, *value = NULL;
  guint8 digest[TPD_SHA256_SIZE];
  gsize digest_len, stored_len = 0, value_len = 0;

  if (signature == NULL)
    return TPD_SIGNATURE_NONE;
  digest_len = digest_length (digest_node);
  if (key == NULL || slice->body_len == 0 || digest_len == 0 || g_strcmp0 (algorithm, "RSA PKCS#1-V1.5") != 0
      || !has_one_reading (slice, doc))
    return TPD_SIGNATURE_UNKNOWN;

  /* The digest VALUE is inside DIGEST, that of the signature a direct child. */
  stored = tpd_xrml_value (tpd_xml_child (digest_node, "VALUE"), TPD_SHA256_SIZE, &stored_len);
  value = tpd_xrml_value (tpd_xml_child (signature, "VALUE"), TPD_RSA_MAX_BYTES, &value_len);
  if (value == NULL || stored == NULL || stored_len != digest_len)
    return TPD_SIGNATURE_BAD;

  for (int squeeze = 0; squeeze <= 1; squeeze++)
    {
      if (squeeze && !has_space_between_tags (text + slice->body_start, slice->body_len))
        break;
      *hashed |= sha256 != NULL && digest_len == TPD_SHA256_SIZE;
      if (*hashed && !squeeze)
        make_both (text, slice, digest, sha256);
      else
        make_digest (text, slice, squeeze, digest_len, digest);
      if (memcmp (digest, stored, digest_len) == 0 && tpd_public_key_verify (key, digest, digest_len, value, value_len))
        return squeeze ? TPD_SIGNATURE_REPAIRED : TPD_SIGNATURE_GOOD;
    }
  return TPD_SIGNATURE_BAD;
}

TpdSignatureState
tpd_signature_check (const char *text, const TpdXrmlSlice *slice, const TpdXml *doc, const TpdPublicKey *key,
                     guint8 sha256[TPD_SHA256_SIZE])
{
  gboolean hashed = FALSE;
  TpdSignatureState state = check (text, slice, doc, key, sha256, &hashed);

  if (sha256 != NULL && !hashed)
    tpd_sha256 (text + slice->start, slice->len, sha256);
  return state;
}
