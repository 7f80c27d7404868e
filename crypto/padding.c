/* SPDX-License-Identifier: Apache-2.0 */
/* RSA paddings: see crypto/padding.h. */
#include "crypto/padding.h"

#include <string.h>

#include "crypto/secret.h"

/* Masks: all ones for true, zero for false. */
static guint32
mask_is_zero (guint32 x)
{
  return (guint32) 0 - ((~x & (x - 1)) >> 31);
}

static guint32
mask_equal (guint32 a, guint32 b)
{
  return mask_is_zero (a ^ b);
}

/* For values below 2^31. */
static guint32
mask_less (guint32 a, guint32 b)
{
  return (guint32) 0 - ((a - b) >> 31);
}

/*
 * Moves what stands behind position `end` to `out`, if `good`. Byte i of the
 * message is found by moving the whole buffer by powers of two, so that the
 * accesses do not tell `end`. What moves in from behind are zeros.
 */
static gboolean
take_message (guint32 good, guint32 end, const guint8 *text, gsize len, guint8 *out, gsize *out_len)
{
  guint32 shift = (end + 1) & good;
  guint8 work[2 * TPD_RSA_MAX_BYTES];

  memcpy (work, text, len);
  memset (work + len, 0, len);
  for (gsize step = 1; step <= len; step <<= 1)
    {
      guint8 move = (guint8) ~mask_is_zero (shift & (guint32) step);
      for (gsize i = 0; i < len; i++)
        work[i] = (guint8) ((work[i] & ~move) | (work[i + step] & move));
    }
  memcpy (out, work, len);
  tpd_wipe (work, 2 * len);
  for (gsize i = 0; i < len; i++)
    out[i] &= (guint8) good;
  *out_len = (len - shift) & good;
  return good != 0;
}

gboolean
tpd_unpad_pkcs1 (const guint8 *em, gsize em_len, guint8 *out, gsize *out_len)
{
  *out_len = 0;
  if (em_len < 11 || em_len > TPD_RSA_MAX_BYTES)
    return FALSE;

  guint32 good = mask_equal (em[0], 0) & mask_equal (em[1], 2);
  guint32 found = 0, end = 0;
  for (guint32 i = 2; i < em_len; i++)
    {
      guint32 here = mask_equal (em[i], 0) & ~found;
      end |= i & here;
      found |= here;
    }
  good &= found & ~mask_less (end, 10);
  return take_message (good, end, em, em_len, out, out_len);
}

static void
digest (gboolean sha256, const void *data, gsize len, guint8 *out)
{
  if (sha256)
    tpd_sha256 (data, len, out);
  else
    tpd_sha1 (data, len, out);
}

/* RFC 8017 B.2.1: exclusive-ors MGF1 of `seed` into `data`. */
static void
mgf1_xor (gboolean sha256, const guint8 *seed, gsize seed_len, guint8 *data, gsize len)
{
  const gsize size = sha256 ? TPD_SHA256_SIZE : TPD_SHA1_SIZE;
  guint8 input[TPD_RSA_MAX_BYTES + 4], mask[TPD_SHA256_SIZE];

  memcpy (input, seed, seed_len);
  for (gsize done = 0, counter = 0; done < len; done += size, counter++)
    {
      /* 512 bytes take at most 26 rounds: three bytes of the counter stay 0. */
      memset (input + seed_len, 0, 4);
      input[seed_len + 3] = (guint8) counter;
      digest (sha256, input, seed_len + 4, mask);
      for (gsize i = 0; i < MIN (size, len - done); i++)
        data[done + i] ^= mask[i];
    }
  tpd_wipe (input, sizeof input);
  tpd_wipe (mask, sizeof mask);
}

gboolean
tpd_unpad_oaep (const guint8 *em, gsize em_len, gboolean sha256, guint8 *out, gsize *out_len)
{
  const gsize size = sha256 ? TPD_SHA256_SIZE : TPD_SHA1_SIZE;

  *out_len = 0;
  if (em_len < 2 * size + 2 || em_len > TPD_RSA_MAX_BYTES)
    return FALSE;

  guint8 seed[TPD_SHA256_SIZE], label[TPD_SHA256_SIZE], db[TPD_RSA_MAX_BYTES];
  const gsize db_len = em_len - size - 1;
  memcpy (seed, em + 1, size);
  memcpy (db, em + 1 + size, db_len);
  mgf1_xor (sha256, db, db_len, seed, size);
  mgf1_xor (sha256, seed, size, db, db_len);
  digest (sha256, "", 0, label);

  guint32 good = mask_is_zero (em[0]);
  for (gsize i = 0; i < size; i++)
    good &= mask_equal (db[i], label[i]);
  guint32 found = 0, end = 0;
  for (guint32 i = (guint32) size; i < db_len; i++)
    {
      guint32 here = mask_equal (db[i], 1) & ~found;
      good &= found | here | mask_is_zero (db[i]);
      end |= i & here;
      found |= here;
    }
  good &= found;
  gboolean ok = take_message (good, end, db, db_len, out, out_len);
  tpd_wipe (seed, sizeof seed);
  tpd_wipe (db, sizeof db);
  return ok;
}
