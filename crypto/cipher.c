/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content ciphers, see crypto/cipher.h.
 *
 * A cipher is immutable. What is not, the OpenSSL contexts, belongs to the
 * thread: each thread keeps those of the last few ciphers it used, found by
 * the cipher's serial, which is never used twice. So a dead cipher is never
 * taken for a new one at the same address, no lock is needed, and a call
 * allocates nothing once the thread has met the cipher. A context holds the
 * expanded key in OpenSSL's ordinary memory; OpenSSL wipes it when the context
 * is freed, on eviction and at the end of the thread.
 *
 * Segmented CBC is decrypted in one run over many segments, as if they were
 * one CBC chain: that chains the first block of each segment to the ciphertext
 * before it instead of the segment's own IV, which an XOR of 16 bytes mends.
 * OpenSSL is called twice a batch (the IVs, the data), not twice a segment.
 *
 * Where the processor has the instructions, crypto/aes_wide.h decrypts instead,
 * by an expanded key that belongs to the cipher.
 */
#include "crypto/cipher.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/error.h"
#include "crypto/aes_wide.h"
#include "crypto/provider.h"

#define BLOCK 16
#define BATCH_SEGMENTS 64
/* EVP counts in int; also keeps a run inside the processor's caches. */
#define ECB_BATCH (256 * 1024)
#define CACHE_ENTRIES 8

struct _TpdContentCipher {
  int ref_count; /* atomic */
  guint64 serial;
  TpdCipherMode mode;
  TpdIvRule iv_rule;
  TpdSecret *key;
  TpdSecret *wide; /* the key for crypto/aes_wide.h; NULL: OpenSSL decrypts */
};

typedef struct {
  guint64 serial; /* 0: free */
  guint64 last_used;
  EVP_CIPHER_CTX *iv;   /* ECB encryption; NULL in ECB mode */
  EVP_CIPHER_CTX *data; /* ECB or CBC decryption */
} CacheEntry;

typedef struct {
  guint64 clock;
  CacheEntry entries[CACHE_ENTRIES];
} ThreadCache;

/* By key length (16, 24, 32); fetched once, then read only. */
typedef struct {
  EVP_CIPHER *ecb[3];
  EVP_CIPHER *cbc[3];
} Algorithms;

static const Algorithms *
algorithms_get (void)
{
  static const Algorithms *algorithms;

  if (g_once_init_enter (&algorithms))
    {
      static const char *const ecb_names[] = { "AES-128-ECB", "AES-192-ECB", "AES-256-ECB" };
      static const char *const cbc_names[] = { "AES-128-CBC", "AES-192-CBC", "AES-256-CBC" };
      static Algorithms made;

      for (guint i = 0; i < 3; i++)
        {
          made.ecb[i] = EVP_CIPHER_fetch (tpd_openssl_context (), ecb_names[i], NULL);
          made.cbc[i] = EVP_CIPHER_fetch (tpd_openssl_context (), cbc_names[i], NULL);
          if (made.ecb[i] == NULL || made.cbc[i] == NULL)
            g_error ("OpenSSL has no %s", cbc_names[i]);
        }
      g_once_init_leave (&algorithms, &made);
    }
  return algorithms;
}

static void
cache_entry_clear (CacheEntry *entry)
{
  EVP_CIPHER_CTX_free (entry->iv);
  EVP_CIPHER_CTX_free (entry->data);
  memset (entry, 0, sizeof *entry);
}

static void
thread_cache_free (gpointer data)
{
  ThreadCache *cache = data;

  for (guint i = 0; i < CACHE_ENTRIES; i++)
    cache_entry_clear (&cache->entries[i]);
  g_free (cache);
}

static gboolean
cache_entry_fill (CacheEntry *entry, const TpdContentCipher *cipher)
{
  const Algorithms *algorithms = algorithms_get ();
  guint size = (guint) cipher->key->len / 8 - 2;
  gboolean ecb = cipher->mode == TPD_CIPHER_ECB;

  entry->data = EVP_CIPHER_CTX_new ();
  if (entry->data == NULL
      || EVP_DecryptInit_ex2 (entry->data, ecb ? algorithms->ecb[size] : algorithms->cbc[size], cipher->key->data, NULL,
                              NULL)
             != 1
      || EVP_CIPHER_CTX_set_padding (entry->data, 0) != 1)
    return FALSE;
  if (!ecb)
    {
      entry->iv = EVP_CIPHER_CTX_new ();
      if (entry->iv == NULL
          || EVP_EncryptInit_ex2 (entry->iv, algorithms->ecb[size], cipher->key->data, NULL, NULL) != 1
          || EVP_CIPHER_CTX_set_padding (entry->iv, 0) != 1)
        return FALSE;
    }
  entry->serial = cipher->serial;
  return TRUE;
}

/* The calling thread's contexts for `cipher`; NULL if OpenSSL fails. */
static CacheEntry *
cache_entry_get (const TpdContentCipher *cipher)
{
  static GPrivate thread_cache = G_PRIVATE_INIT (thread_cache_free);
  ThreadCache *cache = g_private_get (&thread_cache);
  CacheEntry *entry;

  if (cache == NULL)
    {
      cache = g_new0 (ThreadCache, 1);
      g_private_set (&thread_cache, cache);
    }
  entry = &cache->entries[0];
  for (guint i = 0; i < CACHE_ENTRIES; i++)
    {
      if (cache->entries[i].serial == cipher->serial)
        {
          entry = &cache->entries[i];
          break;
        }
      if (cache->entries[i].last_used < entry->last_used)
        entry = &cache->entries[i];
    }
  if (entry->serial != cipher->serial)
    {
      cache_entry_clear (entry);
      if (!cache_entry_fill (entry, cipher))
        {
          cache_entry_clear (entry);
          return NULL;
        }
    }
  entry->last_used = ++cache->clock;
  return entry;
}

TpdContentCipher *
tpd_content_cipher_new (const guint8 *key, gsize key_len, TpdCipherMode mode, TpdIvRule iv_rule, GError **error)
{
  static _Atomic guint64 last_serial;
  TpdContentCipher *cipher;

  if (key_len != 16 && key_len != 24 && key_len != 32)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_UNSUPPORTED, "A content key of %" G_GSIZE_FORMAT " bytes is no AES key",
                   key_len);
      return NULL;
    }
  cipher = g_new0 (TpdContentCipher, 1);
  cipher->ref_count = 1;
  cipher->serial = atomic_fetch_add (&last_serial, 1) + 1;
  cipher->mode = mode;
  cipher->iv_rule = mode == TPD_CIPHER_CBC4K ? TPD_IV_INDEX : mode == TPD_CIPHER_CBC512 ? TPD_IV_OFFSET : iv_rule;
  cipher->key = tpd_secret_new (key, key_len);
  cipher->wide = tpd_aes_wide_new (key, key_len);
  return cipher;
}

TpdContentCipher *
tpd_content_cipher_ref (TpdContentCipher *cipher)
{
  g_atomic_int_inc (&cipher->ref_count);
  return cipher;
}

void
tpd_content_cipher_unref (TpdContentCipher *cipher)
{
  if (!g_atomic_int_dec_and_test (&cipher->ref_count))
    return;
  tpd_secret_unref (cipher->key);
  g_clear_pointer (&cipher->wide, tpd_secret_unref);
  g_free (cipher);
}

TpdCipherMode
tpd_content_cipher_mode (const TpdContentCipher *cipher)
{
  return cipher->mode;
}

TpdIvRule
tpd_content_cipher_iv_rule (const TpdContentCipher *cipher)
{
  return cipher->iv_rule;
}

gsize
tpd_content_cipher_key_len (const TpdContentCipher *cipher)
{
  return cipher->key->len;
}

gsize
tpd_cipher_mode_segment (TpdCipherMode mode)
{
  switch (mode)
    {
    case TPD_CIPHER_CBC4K:
    case TPD_CIPHER_CBC4K_NOPAD:
      return 4096;
    case TPD_CIPHER_CBC512:
      return 512;
    case TPD_CIPHER_ECB:
    default:
      return BLOCK;
    }
}

gboolean
tpd_cipher_mode_from_word (guint16 word, TpdCipherMode *mode)
{
  static const struct {
    guint16 word;
    TpdCipherMode mode;
  } words[] = {
    { TPD_MODE_WORD_ECB, TPD_CIPHER_ECB },
    { TPD_MODE_WORD_CBC4K_NOPAD, TPD_CIPHER_CBC4K_NOPAD },
    { TPD_MODE_WORD_CBC4K, TPD_CIPHER_CBC4K },
    { TPD_MODE_WORD_CBC512, TPD_CIPHER_CBC512 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (word == words[i].word || word == GUINT16_SWAP_LE_BE (words[i].word))
      {
        *mode = words[i].mode;
        return TRUE;
      }
  return FALSE;
}

const char *
tpd_cipher_name (TpdCipherMode mode, gsize key_len)
{
  static const char *const names[][3] = {
    [TPD_CIPHER_ECB] = { "aes-128-ecb", "aes-192-ecb", "aes-256-ecb" },
    [TPD_CIPHER_CBC4K] = { "aes-128-cbc4k", "aes-192-cbc4k", "aes-256-cbc4k" },
    [TPD_CIPHER_CBC4K_NOPAD] = { "aes-128-cbc4k-nopad", "aes-192-cbc4k-nopad", "aes-256-cbc4k-nopad" },
    [TPD_CIPHER_CBC512] = { "aes-128-cbc512", "aes-192-cbc512", "aes-256-cbc512" },
  };

  if ((guint) mode >= G_N_ELEMENTS (names) || (key_len != 16 && key_len != 24 && key_len != 32))
    return "unknown";
  return names[mode][key_len / 8 - 2];
}

static gboolean
ecb_decrypt (CacheEntry *contexts, guint8 *data, gsize len)
{
  while (len > 0)
    {
      int run = (int) MIN (len, (gsize) ECB_BATCH);
      int done = 0;

      if (EVP_DecryptUpdate (contexts->data, data, &done, data, run) != 1 || done != run)
        return FALSE;
      data += run;
      len -= (gsize) run;
    }
  return TRUE;
}

static void
xor_block (guint8 *block, const guint8 *other)
{
  for (guint i = 0; i < BLOCK; i++)
    block[i] ^= other[i];
}

/* What is encrypted to the IVs of `count` segments from `segment` on. */
static void
put_counters (const TpdContentCipher *cipher, guint64 segment, guint count, guint8 *ivs)
{
  guint64 factor = cipher->iv_rule == TPD_IV_OFFSET ? tpd_cipher_mode_segment (cipher->mode) : 1;

  memset (ivs, 0, (gsize) count * BLOCK);
  for (guint i = 0; i < count; i++)
    {
      guint64 le = GUINT64_TO_LE ((segment + i) * factor);
      memcpy (ivs + (gsize) i * BLOCK, &le, sizeof le);
    }
}

/* The IVs of `count` segments from `segment` on. */
static gboolean
compute_ivs (const TpdContentCipher *cipher, CacheEntry *contexts, guint64 segment, guint count, guint8 *ivs)
{
  int len = (int) count * BLOCK, done = 0;

  put_counters (cipher, segment, count, ivs);
  return EVP_EncryptUpdate (contexts->iv, ivs, &done, ivs, len) == 1 && done == len;
}

static gboolean
cbc_decrypt (const TpdContentCipher *cipher, CacheEntry *contexts, guint8 *data, gsize len, guint64 offset)
{
  gsize size = tpd_cipher_mode_segment (cipher->mode);
  guint64 segment = offset / size;

  while (len > 0)
    {
      guint8 ivs[BATCH_SEGMENTS * BLOCK];
      gsize run = MIN (len, BATCH_SEGMENTS * size);
      guint count = (guint) ((run + size - 1) / size);
      int done = 0;

      if (!compute_ivs (cipher, contexts, segment, count, ivs)
          || EVP_DecryptInit_ex2 (contexts->data, NULL, NULL, ivs, NULL) != 1)
        return FALSE;
      /* From here ivs[i] is what mends the first block of segment i > 0. */
      for (guint i = 1; i < count; i++)
        xor_block (ivs + (gsize) i * BLOCK, data + i * size - BLOCK);
      if (EVP_DecryptUpdate (contexts->data, data, &done, data, (int) run) != 1 || (gsize) done != run)
        return FALSE;
      for (guint i = 1; i < count; i++)
        xor_block (data + i * size, ivs + (gsize) i * BLOCK);
      data += run;
      len -= run;
      segment += count;
    }
  return TRUE;
}

static void
wide_decrypt (const TpdContentCipher *cipher, guint8 *data, gsize len, guint64 offset)
{
  gsize size = tpd_cipher_mode_segment (cipher->mode);
  guint64 segment = offset / size;

  if (cipher->mode == TPD_CIPHER_ECB)
    {
      tpd_aes_wide_ecb_decrypt (cipher->wide, data, len);
      return;
    }
  while (len > 0)
    {
      guint8 ivs[BATCH_SEGMENTS * BLOCK];
      guint count = (guint) MIN ((len + size - 1) / size, (gsize) BATCH_SEGMENTS);

      put_counters (cipher, segment, count, ivs);
      tpd_aes_wide_ecb_encrypt (cipher->wide, ivs, (gsize) count * BLOCK);
      segment += count;
      for (guint i = 0; i < count; i++)
        {
          gsize run = MIN (len, size);

          tpd_aes_wide_cbc_decrypt (cipher->wide, data, run, ivs + (gsize) i * BLOCK);
          data += run;
          len -= run;
        }
    }
}

gboolean
tpd_content_cipher_decrypt (TpdContentCipher *cipher, guint8 *data, gsize len, guint64 offset, GError **error)
{
  CacheEntry *contexts;
  gboolean ok;

  if (offset % tpd_cipher_mode_segment (cipher->mode) != 0 || len % BLOCK != 0 || len > G_MAXUINT64 - offset)
    {
      tpd_wipe (data, len);
      tpd_error_set_errno (error, EINVAL, "Cannot decrypt %" G_GSIZE_FORMAT " bytes at offset %" G_GUINT64_FORMAT, len,
                           offset);
      return FALSE;
    }
  if (len == 0)
    return TRUE;
  if (cipher->wide != NULL)
    {
      wide_decrypt (cipher, data, len, offset);
      return TRUE;
    }

  ERR_set_mark ();
  contexts = cache_entry_get (cipher);
  ok = contexts != NULL
       && (cipher->mode == TPD_CIPHER_ECB ? ecb_decrypt (contexts, data, len)
                                          : cbc_decrypt (cipher, contexts, data, len, offset));
  ERR_pop_to_mark ();
  if (!ok)
    {
      if (contexts != NULL)
        cache_entry_clear (contexts);
      tpd_wipe (data, len);
      tpd_error_set_errno (error, EIO, "OpenSSL failed to decrypt %s",
                           tpd_cipher_name (cipher->mode, cipher->key->len));
    }
  return ok;
}

guint
tpd_pkcs7_length (const guint8 block[16])
{
  guint count = block[BLOCK - 1];

  if (count == 0 || count > BLOCK)
    return 0;
  for (guint i = BLOCK - count; i < BLOCK; i++)
    if (block[i] != count)
      return 0;
  return count;
}

guint64
tpd_cipher_mode_body_size (TpdCipherMode mode, guint64 plain_size, gboolean whole_segments)
{
  gboolean bare = mode == TPD_CIPHER_CBC4K_NOPAD || mode == TPD_CIPHER_CBC512;
  guint64 unit = whole_segments && bare ? tpd_cipher_mode_segment (mode) : BLOCK;

  /* No body is that long, so no body matches. */
  if (plain_size > G_MAXUINT64 - 4096)
    return G_MAXUINT64;
  if (mode == TPD_CIPHER_CBC4K)
    return (plain_size / BLOCK + 1) * BLOCK;
  return (plain_size + unit - 1) / unit * unit;
}
