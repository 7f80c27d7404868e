/* SPDX-License-Identifier: Apache-2.0 */
/* One hypothesis about a body, and what speaks for and against it: see format/mode_private.h. */
#include "format/mode_private.h"

#include <string.h>

#include "base/error.h"
#include "crypto/secret.h"
#include "format/body.h"

void
reading_clear (Reading *reading)
{
  g_clear_pointer (&reading->cipher, tpd_content_cipher_unref);
}

/* --- Size, padding, head ---------------------------------------------- */

gboolean
tpd_mode_size_fits (TpdCipherMode mode, guint64 stored_size, guint64 body_size)
{
  /* Also keeps the laws' arithmetic from overflowing. */
  if (stored_size > body_size || body_size > G_MAXINT64)
    return FALSE;
  if (tpd_cipher_mode_body_size (mode, stored_size, FALSE) == body_size)
    return TRUE;
  return (mode == TPD_CIPHER_CBC4K_NOPAD || mode == TPD_CIPHER_CBC512)
         && tpd_cipher_mode_body_size (mode, stored_size, TRUE) == body_size;
}

gboolean
tpd_mode_size_fits_any (guint64 stored_size, guint64 body_size)
{
  return tpd_mode_size_fits (TPD_CIPHER_CBC4K, stored_size, body_size)
         || tpd_mode_size_fits (TPD_CIPHER_ECB, stored_size, body_size)
         || tpd_mode_size_fits (TPD_CIPHER_CBC4K_NOPAD, stored_size, body_size)
         || tpd_mode_size_fits (TPD_CIPHER_CBC512, stored_size, body_size);
}

static gboolean
is_text_control (gunichar c)
{
  return c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == 0x1a;
}

/*
 * UTF-16 of which the high bytes are mostly zeros: noise has k of n there with a
 * chance below 2^(n-8k).
 */
static guint
utf16_bits (const guint8 *head, gsize len, gboolean big_endian)
{
  gsize n = len / 2, k = 0;

  for (gsize i = 0; i < n; i++)
    {
      guint8 high = head[2 * i + (big_endian ? 0 : 1)], low = head[2 * i + (big_endian ? 1 : 0)];

      if (high != 0)
        continue;
      if ((low < 0x20 && !is_text_control (low)) || low == 0x7f)
        return 0;
      k++;
    }
  return 8 * k > n ? (guint) (8 * k - n) : 0;
}

/* Of text in other encodings. Blocks that repeat the one before them tell nothing new:
 * blocks of zeros in ECB are blocks of the same noise in CBC. */
static guint
legacy_bits (const guint8 *head, gsize len)
{
  gsize n = len;

  for (gsize at = AES_BLOCK; at + AES_BLOCK <= len; at += AES_BLOCK)
    if (memcmp (head + at, head + at - AES_BLOCK, AES_BLOCK) == 0)
      n -= AES_BLOCK;
  return (guint) (n / 8);
}

/*
 * How unlikely it is that noise looks like this text. A byte of noise is a control
 * character with a chance of 1 in 9, and valid UTF-8 far more rarely.
 */
static guint
text_bits (const guint8 *head, gsize len)
{
  const char *end;

  if (len >= 4 && head[0] == 0xff && head[1] == 0xfe)
    return 16 + utf16_bits (head + 2, len - 2, FALSE);
  if (len >= 4 && head[0] == 0xfe && head[1] == 0xff)
    return 16 + utf16_bits (head + 2, len - 2, TRUE);
  for (gsize i = 0; i < len; i++)
    if ((head[i] < 0x20 && !is_text_control (head[i])) || head[i] == 0x7f)
      return MAX (utf16_bits (head, len, FALSE), utf16_bits (head, len, TRUE));
  /* The last character may be cut in two. */
  if (g_utf8_validate_len ((const char *) head, len, &end) || (gsize) ((const char *) head + len - end) < 4)
    return (guint) len;
  return legacy_bits (head, len);
}

/*
 * How much likelier these bytes are from a source with favourites than from noise:
 * counts with half a one more for each value (Krichevsky and Trofimov). Noise reaches
 * t bits with a chance of 2^-t. For ECB only, which any other mode makes noise of;
 * equal blocks of ECB are equal blocks in a wrong reading, too.
 */
static guint
favourite_bits (const guint8 *head, gsize len)
{
  guint16 counts[256] = { 0 };
  double ratio = 1;
  int bits = 0;

  for (gsize i = 0; i < len; i++)
    {
      ratio *= 256.0 * (2 * counts[head[i]]++ + 1) / (double) (2 * i + 256);
      for (; ratio >= 2; ratio /= 2)
        bits++;
      for (; ratio < 1; ratio *= 2)
        bits--;
    }
  return bits >= 8 ? (guint) bits : 0;
}

/*
 * Makes the reading of the body in `mode` and holds it against the size law
 * and, where there is one, the padding. The IV rule matters for CBC4K_NOPAD
 * only, and there only from the second segment on.
 */
gboolean
reading_make (Case *c, TpdCipherMode mode, TpdIvRule rule, Reading *reading, GError **error)
{
  guint8 block[AES_BLOCK];
  guint padding;

  *reading = (Reading){ .mode = mode };
  reading->cipher = tpd_content_cipher_new (c->key->key->data, c->key->key->len, mode, rule, error);
  if (reading->cipher == NULL)
    return FALSE;
  reading->plain_size = c->stored != TPD_SIZE_UNKNOWN ? c->stored : c->size;
  if (c->stored != TPD_SIZE_UNKNOWN)
    {
      reading->size_broken = !tpd_mode_size_fits (mode, c->stored, c->size);
      reading->longer =
          reading->size_broken && c->question->maybe_longer && mode == TPD_CIPHER_ECB && c->size > c->stored;
    }
  if (mode != TPD_CIPHER_CBC4K || reading->size_broken)
    return TRUE;
  if (c->size == 0)
    {
      reading->size_broken = TRUE;
      return TRUE;
    }
  if (!tpd_body_read (c->question->body, reading->cipher, block, sizeof block, c->size - sizeof block, error))
    return FALSE;
  padding = tpd_pkcs7_length (block);
  tpd_wipe (block, sizeof block);
  reading->padding_broken = padding == 0 || (c->stored != TPD_SIZE_UNKNOWN && (guint64) padding != c->size - c->stored);
  if (reading->padding_broken)
    return TRUE;
  reading->plain_size = c->size - padding;
  reading->padding_bits = 8 * padding;
  return TRUE;
}

gboolean
reading_is_broken (const Reading *reading)
{
  return reading->size_broken || reading->padding_broken;
}

/* Looks at up to `max` bytes at the start of the plaintext. */
gboolean
reading_look (Case *c, Reading *reading, gsize max, GError **error)
{
  guint8 head[HEAD_MAX];
  guint64 certain = reading->plain_size;
  gsize len;
  guint bits = 0;

  /* The last block of an unpadded body of unknown size ends in anything. */
  if (c->stored == TPD_SIZE_UNKNOWN && reading->mode != TPD_CIPHER_CBC4K)
    certain = certain > AES_BLOCK ? certain - (AES_BLOCK - 1) : MIN (certain, 1);
  len = (gsize) MIN (certain, (guint64) MIN (max, sizeof head));
  if (len == 0)
    return TRUE;
  if (!tpd_body_read (c->question->body, reading->cipher, head, len, 0, error))
    return FALSE;
  reading->magic_missing = tpd_check_magic (head, len, c->question->extension, &bits) == TPD_CHECK_DISPROVED;
  reading->head_bits = MAX (bits, text_bits (head, len));
  if (reading->mode == TPD_CIPHER_ECB && reading->head_bits < PROVED_BITS)
    reading->head_bits = MAX (reading->head_bits, favourite_bits (head, len));
  tpd_wipe (head, sizeof head);
  return TRUE;
}

/* --- Beyond the head --------------------------------------------------- */

/* Whether the structure of the content, read under `reading`, holds across segments. */
gboolean
reading_check_structure (Case *c, const Reading *reading, gsize segment, TpdCheck *check, GError **error)
{
  g_autoptr (TpdDocument) document =
      tpd_body_document_new (TPD_KIND_PLAIN, c->question->body, reading->cipher, reading->plain_size);
  g_autoptr (TpdSource) source = tpd_source_new_document (document);

  return tpd_check_segments (source, segment, check, error);
}

gboolean
reading_weigh (Case *c, const Reading *own, TpdCheck *check, GError **error)
{
  TpdCipherMode rival = own->mode == TPD_CIPHER_CBC512 ? TPD_CIPHER_CBC4K_NOPAD : TPD_CIPHER_CBC512;
  g_auto (Reading) other = { 0 };
  TpdCheck against;

  if (!reading_check_structure (c, own, SHARED_HEAD, check, error))
    return FALSE;
  if (*check != TPD_CHECK_UNKNOWN)
    return TRUE;
  if (!reading_make (c, rival, TPD_IV_INDEX, &other, error)
      || !reading_check_structure (c, &other, SHARED_HEAD, &against, error))
    return FALSE;
  if (against == TPD_CHECK_PROVED)
    *check = TPD_CHECK_DISPROVED;
  return TRUE;
}
