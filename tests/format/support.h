/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the format tests share: files of the fixtures as sources, sources that
 * count or fail, and an encryptor that has nothing to do with the product's
 * cipher: single AES blocks, chained by hand.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/error.h"
#include "crypto/cipher.h"
#include "format/document.h"

/* --- Files ------------------------------------------------------------ */

static inline TpdSource *
source_open (const char *path)
{
  g_autoptr (GError) error = NULL;
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  TpdSource *source;

  g_assert_cmpint (fd, >=, 0);
  source = tpd_source_new_fd (fd, &error);
  g_assert_no_error (error);
  return source;
}

static inline TpdSource *
source_from (const void *data, gsize len)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, len);

  return tpd_source_new_bytes (bytes);
}

/* The whole plaintext; NULL with error. */
static inline GBytes *
document_read_all (TpdDocument *document, GError **error)
{
  g_autofree guint8 *data = g_malloc (document->plain_size + 1);
  gssize n = tpd_document_pread (document, data, document->plain_size, 0, error);

  if (n < 0)
    return NULL;
  g_assert_cmpuint ((gsize) n, ==, document->plain_size);
  return g_bytes_new_take (g_steal_pointer (&data), document->plain_size);
}

/* --- A source that counts its reads and fails one of them -------------- */

typedef enum {
  FAULT_NONE,
  FAULT_EIO,   /* read number `at` fails */
  FAULT_SHORT, /* read number `at` gives half of what was asked for */
} Fault;

typedef struct {
  TpdSource base;
  TpdSource *parent;
  Fault fault;
  int at;
  int reads;
  gsize longest;
} FaultSource;

static gssize
fault_pread (TpdSource *source, void *buf, gsize len, guint64 off, GError **error)
{
  FaultSource *self = (FaultSource *) source;
  gboolean hit = self->fault != FAULT_NONE && self->reads == self->at;

  self->reads++;
  self->longest = MAX (self->longest, len);
  if (hit && self->fault == FAULT_EIO)
    {
      tpd_error_set_errno (error, EIO, "Injected");
      return -1;
    }
  return tpd_source_pread (self->parent, buf, hit ? len / 2 : len, off, error);
}

static void
fault_free (TpdSource *source)
{
  FaultSource *self = (FaultSource *) source;

  tpd_source_unref (self->parent);
  g_free (self);
}

/* Takes a reference of `parent`. */
static inline FaultSource *
fault_source_new (TpdSource *parent, Fault fault, int at)
{
  static const TpdSourceClass klass = { fault_pread, NULL, fault_free };
  FaultSource *self = g_new0 (FaultSource, 1);

  self->base.klass = &klass;
  self->base.size = parent->size;
  self->base.ref_count = 1;
  self->parent = tpd_source_ref (parent);
  self->fault = fault;
  self->at = at;
  return self;
}

/* Bytes that are read as those of a file are, not where they lie. */
static inline TpdSource *
file_from (const void *data, gsize len)
{
  g_autoptr (TpdSource) memory = source_from (data, len);

  return &fault_source_new (memory, FAULT_NONE, 0)->base;
}

/* --- Encryptor -------------------------------------------------------- */

static inline void
aes_block (const guint8 *key, gsize key_len, const guint8 in[16], guint8 out[16])
{
  EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new ();
  const EVP_CIPHER *aes = key_len == 16 ? EVP_aes_128_ecb () : key_len == 24 ? EVP_aes_192_ecb () : EVP_aes_256_ecb ();
  int n = 0;

  g_assert_cmpint (EVP_EncryptInit_ex (ctx, aes, NULL, key, NULL), ==, 1);
  g_assert_cmpint (EVP_CIPHER_CTX_set_padding (ctx, 0), ==, 1);
  g_assert_cmpint (EVP_EncryptUpdate (ctx, out, &n, in, 16), ==, 1);
  g_assert_cmpint (n, ==, 16);
  EVP_CIPHER_CTX_free (ctx);
}

/* AES-CBC in segments of `segment` bytes, or ECB when that is 16. `len` is a
 * multiple of 16. */
static inline void
encrypt_segments (const guint8 *key, gsize key_len, guint8 *data, gsize len, gsize segment, TpdIvRule rule)
{
  guint8 chain[16] = { 0 };

  for (gsize off = 0; off < len; off += 16)
    {
      if (segment > 16 && off % segment == 0)
        {
          guint64 number = rule == TPD_IV_INDEX ? off / segment : off;
          guint8 counter[16] = { 0 };

          for (int i = 0; i < 8; i++)
            counter[i] = (guint8) (number >> 8 * i);
          aes_block (key, key_len, counter, chain);
        }
      if (segment > 16)
        for (int i = 0; i < 16; i++)
          data[off + i] ^= chain[i];
      aes_block (key, key_len, data + off, data + off);
      memcpy (chain, data + off, 16);
    }
}

/* How an unpadded body is filled up. */
#define FILL_BYTE 0xa5

/*
 * A body as writers make it; `whole` fills the last segment of the modes
 * without padding.
 */
static inline GBytes *
encrypt_body (const guint8 *key, gsize key_len, TpdCipherMode mode, TpdIvRule rule, gboolean whole, const void *plain,
              gsize plain_len)
{
  gsize segment = mode == TPD_CIPHER_ECB ? 16 : mode == TPD_CIPHER_CBC512 ? 512 : 4096;
  gsize unit = whole ? segment : 16;
  gsize len = mode == TPD_CIPHER_CBC4K ? (plain_len / 16 + 1) * 16 : (plain_len + unit - 1) / unit * unit;
  guint8 *data = g_malloc (len + 1);

  memset (data, mode == TPD_CIPHER_CBC4K ? (int) (len - plain_len) : FILL_BYTE, len);
  if (plain_len > 0)
    memcpy (data, plain, plain_len);
  encrypt_segments (key, key_len, data, len, segment, rule);
  return g_bytes_new_take (data, len);
}

/* --- Plaintext -------------------------------------------------------- */

/* Bytes without meaning, the same in each run. */
static inline guint8 *
make_noise (gsize len, guint32 seed)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (seed);
  guint8 *data = g_malloc (len + 1);

  for (gsize i = 0; i < len; i++)
    data[i] = (guint8) g_rand_int_range (random, 0, 256);
  return data;
}

static inline guint8 *
make_text (gsize len)
{
  static const char line[] = "The quick brown fox jumps over the lazy dog; größer als zuvor.\n";
  guint8 *data = g_malloc (len + 1);

  for (gsize i = 0; i < len; i++)
    data[i] = (guint8) line[i % (sizeof line - 1)];
  return data;
}
