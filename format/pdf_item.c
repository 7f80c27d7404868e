/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encrypted strings and streams of a protected PDF (docs/formats.md, "PDF"):
 * each is BE32(length) and data, encrypted as if it were a file of its own.
 * The length has to agree with that of the ciphertext to within one block, which
 * chance gives once in 2^28: a few items prove the key and the cipher mode.
 */
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/error.h"
#include "crypto/secret.h"
#include "format/pdf_private.h"

#define AES_BLOCK 16
#define PREFIX 4
#define SEGMENT_MAX 4096
#define STEP (64 * 1024)
/* Above this, a known writer puts the length of its first chunk in front. */
#define CHUNKED ((guint64) 64 * 1024 * 1024)
#define MAX_INFLATE_SAMPLE (1024 * 1024)

/* --- One item -------------------------------------------------------------- */

static gboolean
read_item (const TpdPdfItem *item, guint64 off, guint8 *buf, gsize len, GError **error)
{
  if (item->memory == NULL)
    return tpd_source_read_exact (item->source, buf, len, item->off + off, error);
  memcpy (buf, item->memory + off, len);
  return TRUE;
}

static gboolean
decrypt_part (const TpdPdfItem *item, TpdContentCipher *cipher, guint64 off, guint8 *buf, gsize len, GError **error)
{
  return read_item (item, off, buf, len, error) && tpd_content_cipher_decrypt (cipher, buf, len, off, error);
}

/* Bytes of padding at the end of a padded item, 0 if they are wrong. */
static gboolean
measure_padding (const TpdPdfItem *item, TpdContentCipher *cipher, guint *padding, GError **error)
{
  guint8 segment[SEGMENT_MAX];
  guint64 start = (item->len - 1) / SEGMENT_MAX * SEGMENT_MAX;
  gsize len = (gsize) (item->len - start);

  if (!decrypt_part (item, cipher, start, segment, len, error))
    return FALSE;
  *padding = tpd_pkcs7_length (segment + len - AES_BLOCK);
  tpd_wipe (segment, sizeof segment);
  return TRUE;
}

gboolean
tpd_pdf_item_measure (const TpdPdfItem *item, TpdContentCipher *cipher, TpdPdfItemState *state, guint64 *plain_len,
                      GError **error)
{
  TpdCipherMode mode = tpd_content_cipher_mode (cipher);
  gsize segment = tpd_cipher_mode_segment (mode);
  guint8 block[AES_BLOCK];
  TpdBytes bytes = tpd_bytes (block, sizeof block);
  guint32 stored = 0;
  guint padding = 0;
  guint64 slack;

  *state = TPD_PDF_ITEM_WRONG;
  *plain_len = 0;
  if (item->len == 0 || item->len % AES_BLOCK != 0)
    return TRUE;
  if (!decrypt_part (item, cipher, 0, block, sizeof block, error))
    return FALSE;
  tpd_bytes_take_u32be (&bytes, &stored);
  tpd_wipe (block, sizeof block);
  *plain_len = stored;
  /* Wraps to a huge number when the stored length is larger than the item. */
  slack = item->len - PREFIX - stored;
  if (mode == TPD_CIPHER_CBC4K && (slack <= AES_BLOCK || item->len > CHUNKED))
    {
      if (!measure_padding (item, cipher, &padding, error))
        return FALSE;
      if (padding > 0 && padding == slack)
        *state = TPD_PDF_ITEM_SOUND;
      else if (padding > 0 && item->len > CHUNKED)
        {
          *plain_len = item->len - padding - PREFIX;
          *state = TPD_PDF_ITEM_LOOSE;
        }
      else if (slack <= AES_BLOCK)
        *state = TPD_PDF_ITEM_LOOSE;
    }
  else if (mode != TPD_CIPHER_CBC4K && slack < segment)
    *state = slack < AES_BLOCK || item->len % segment == 0 ? TPD_PDF_ITEM_SOUND : TPD_PDF_ITEM_LOOSE;
  return TRUE;
}

gboolean
tpd_pdf_item_decrypt (const TpdPdfItem *item, TpdContentCipher *cipher, guint64 plain_len, TpdPdfPieceFunc func,
                      gpointer user_data, GError **error)
{
  gsize size = (gsize) MIN (item->len, (guint64) STEP);
  guint8 *buf = g_malloc (size);
  guint64 end = plain_len + PREFIX;
  gboolean ok = end <= item->len;

  for (guint64 off = 0; ok && off < end; off += size)
    {
      gsize len = (gsize) MIN (item->len - off, (guint64) size);
      gsize first = off == 0 ? PREFIX : 0;
      gsize used = (gsize) MIN (end - off, (guint64) len);

      ok = decrypt_part (item, cipher, off, buf, len, error) && func (user_data, buf + first, used - first, error);
    }
  tpd_wipe (buf, size);
  g_free (buf);
  return ok;
}

/* --- The cipher mode ------------------------------------------------------- */

/* How the samples look in one mode. */
typedef struct {
  TpdContentCipher *cipher;
  guint sound, loose;
} Trial;

static void
trial_clear (Trial *trial)
{
  g_clear_pointer (&trial->cipher, tpd_content_cipher_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Trial, trial_clear)

static gboolean
try_mode (GArray *samples, TpdContentKey *key, TpdCipherMode mode, TpdIvRule rule, Trial *trial, GError **error)
{
  trial->cipher = tpd_content_cipher_new (key->key->data, key->key->len, mode, rule, error);
  if (trial->cipher == NULL)
    return FALSE;
  for (guint i = 0; i < samples->len; i++)
    {
      TpdPdfItemState state;
      guint64 plain_len;

      if (!tpd_pdf_item_measure (&g_array_index (samples, TpdPdfSample, i).item, trial->cipher, &state, &plain_len,
                                 error))
        return FALSE;
      trial->sound += state == TPD_PDF_ITEM_SOUND;
      trial->loose += state == TPD_PDF_ITEM_LOOSE;
    }
  return TRUE;
}

typedef struct {
  z_stream z;
  guint8 out[4096];
  int status;
} Inflation;

static gboolean
inflate_plain (gpointer user_data, const guint8 *data, gsize len, GError **error)
{
  Inflation *inflation = user_data;

  inflation->z.next_in = (guint8 *) data;
  inflation->z.avail_in = (uInt) len;
  while (inflation->status == Z_OK && inflation->z.avail_in > 0)
    {
      inflation->z.next_out = inflation->out;
      inflation->z.avail_out = sizeof inflation->out;
      inflation->status = inflate (&inflation->z, Z_NO_FLUSH);
    }
  return TRUE;
}

/* Whether a sample's plaintext is a whole zlib stream, checksum included. */
static gboolean
inflates (const TpdPdfSample *sample, TpdContentCipher *cipher, gboolean *yes, GError **error)
{
  g_autofree Inflation *inflation = g_new0 (Inflation, 1);
  TpdPdfItemState state;
  guint64 plain_len;
  gboolean ok;

  *yes = FALSE;
  if (!tpd_pdf_item_measure (&sample->item, cipher, &state, &plain_len, error))
    return FALSE;
  if (state == TPD_PDF_ITEM_WRONG || inflateInit (&inflation->z) != Z_OK)
    return TRUE;
  ok = tpd_pdf_item_decrypt (&sample->item, cipher, plain_len, inflate_plain, inflation, error);
  *yes = inflation->status == Z_STREAM_END;
  inflateEnd (&inflation->z);
  tpd_wipe (inflation, sizeof *inflation);
  return ok;
}

/* Whether samples longer than `len` exist, and whether one of them proves `cipher`. */
static gboolean
check_long (GArray *samples, gsize len, TpdContentCipher *cipher, gboolean *any, gboolean *proved, GError **error)
{
  *any = *proved = FALSE;
  for (guint i = 0; i < samples->len && !*proved; i++)
    {
      const TpdPdfSample *sample = &g_array_index (samples, TpdPdfSample, i);

      if (sample->item.len <= len)
        continue;
      *any = TRUE;
      if (sample->flate && sample->item.len <= MAX_INFLATE_SAMPLE && !inflates (sample, cipher, proved, error))
        return FALSE;
    }
  return TRUE;
}

/*
 * The CBC modes without padding are the same in their first segment: which one
 * it is, only a longer stream shows. `modes` is a set of 1 << mode.
 */
static TpdContentCipher *
choose_unpadded (GArray *samples, TpdContentKey *key, guint modes, TpdIvChoice iv, GPtrArray *fallbacks, GError **error)
{
  static const struct {
    TpdCipherMode mode;
    TpdIvRule rule;
    const char *word;
  } known[] = {
    { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_INDEX, "iv-index" },
    { TPD_CIPHER_CBC4K_NOPAD, TPD_IV_OFFSET, "iv-offset" },
    { TPD_CIPHER_CBC512, TPD_IV_OFFSET, NULL },
  };
  gsize shared = (modes & 1u << TPD_CIPHER_CBC512) != 0 ? 512 : SEGMENT_MAX;

  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    {
      g_autoptr (TpdContentCipher) cipher = NULL;
      gboolean any, proved, forced;

      if ((modes & 1u << known[i].mode) == 0)
        continue;
      forced = known[i].word != NULL && iv != TPD_IV_AUTO;
      if (forced && iv != (known[i].rule == TPD_IV_INDEX ? TPD_IV_FORCE_INDEX : TPD_IV_FORCE_OFFSET))
        continue;
      cipher = tpd_content_cipher_new (key->key->data, key->key->len, known[i].mode, known[i].rule, error);
      if (cipher == NULL || !check_long (samples, shared, cipher, &any, &proved, error))
        return NULL;
      if (any && !proved && !forced)
        continue;
      if (any && proved && known[i].word != NULL)
        g_ptr_array_add (fallbacks, g_strdup (known[i].word));
      return g_steal_pointer (&cipher);
    }
  g_set_error (error, TPD_ERROR, TPD_ERROR_AMBIGUOUS,
               "The content is encrypted in segments without padding, for which several rules exist, and it does not"
               " show which one was used; name it with -o iv=index or -o iv=offset (tpd: --iv index, --iv offset) and"
               " check the result.");
  return NULL;
}

/* A mode other than the license's, proved by the samples; NULL without error: none. */
static TpdContentCipher *
choose_other (GArray *samples, TpdContentKey *key, TpdIvChoice iv, GPtrArray *fallbacks, GError **error)
{
  static const struct {
    TpdCipherMode mode;
    const char *word;
  } others[] = {
    { TPD_CIPHER_CBC4K, "mode-cbc4k" },
    { TPD_CIPHER_ECB, "mode-ecb" },
    { TPD_CIPHER_CBC512, "mode-cbc512" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    {
      g_auto (Trial) trial = { 0 };
      TpdContentCipher *cipher;

      if (!try_mode (samples, key, others[i].mode, TPD_IV_INDEX, &trial, error))
        return NULL;
      if (trial.sound == 0)
        continue;
      if (others[i].mode != TPD_CIPHER_CBC512)
        {
          g_ptr_array_add (fallbacks, g_strdup (others[i].word));
          return g_steal_pointer (&trial.cipher);
        }
      cipher =
          choose_unpadded (samples, key, 1u << TPD_CIPHER_CBC512 | 1u << TPD_CIPHER_CBC4K_NOPAD, iv, fallbacks, error);
      if (cipher != NULL)
        g_ptr_array_add (
            fallbacks,
            g_strdup (tpd_content_cipher_mode (cipher) == TPD_CIPHER_CBC512 ? "mode-cbc512" : "mode-cbc4k-nopad"));
      return cipher;
    }
  return NULL;
}

TpdContentCipher *
tpd_pdf_decide_cipher (GArray *samples, TpdContentKey *key, TpdIvChoice iv, GPtrArray *fallbacks, GError **error)
{
  TpdCipherMode mode = TPD_CIPHER_CBC4K;
  gboolean known = tpd_cipher_mode_from_word (key->mode_word, &mode);
  g_auto (Trial) own = { 0 };
  g_autoptr (GError) other_error = NULL;
  TpdContentCipher *other;

  if (known && (key->mode_word & 0xff) == 0xff && key->mode_word != TPD_MODE_WORD_ECB)
    g_ptr_array_add (fallbacks, g_strdup ("mode-word-swapped"));
  if (known && !try_mode (samples, key, mode, TPD_IV_INDEX, &own, error))
    return NULL;
  if (known && (own.sound > 0 || samples->len == 0))
    return mode == TPD_CIPHER_CBC4K_NOPAD ? choose_unpadded (samples, key, 1u << mode, iv, fallbacks, error)
                                          : g_steal_pointer (&own.cipher);
  other = choose_other (samples, key, iv, fallbacks, &other_error);
  if (other != NULL)
    return other;
  if (other_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&other_error));
      return NULL;
    }
  if (known && own.loose > 0)
    return g_steal_pointer (&own.cipher);
  if (known)
    g_set_error (
        error, TPD_ERROR, TPD_ERROR_DAMAGED,
        "No part of the PDF file can be decrypted in cipher mode %s or any other: it is damaged, or its license"
        " belongs to another document.",
        tpd_cipher_name (mode, key->key->len));
  else
    g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED,
                 "The license names the unknown cipher mode 0x%04x, and the content does not show which mode it is.",
                 key->mode_word);
  return NULL;
}
