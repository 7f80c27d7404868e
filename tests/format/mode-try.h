/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries of the mode decision: what a writer did, what the license says of it,
 * and what must come out. Shared by the tests of the word and of leaving it.
 */
#pragma once

#include <zlib.h>

#include "crypto/secret.h"
#include "format/body.h"
#include "format/mode.h"
#include "support.h"

static const guint8 key_bytes[32] = { 0x10, 0x21, 0x32, 0x43, 0x54, 0x65, 0x76, 0x87, 0x98, 0xa9, 0xba };

/* What a writer did, what the license says of it, and what must come out. */
typedef struct {
  const guint8 *plain;
  gsize len;
  TpdCipherMode mode; /* of the writer */
  TpdIvRule rule;
  gboolean whole;

  guint16 word;
  gboolean size_unknown;
  gboolean maybe_longer;
  gboolean force_cbc4k;
  const char *extension;
  TpdIvChoice iv;

  gsize tail; /* bytes more than `len` that may come out */
  TpdProof proof;
  const char *fallbacks; /* joined with blanks; NULL: none */
  gboolean warns;
  int error; /* a TpdError + 1; 0: it opens */
} Try;

#define REFUSED(code) (TPD_ERROR_##code + 1)

static inline TpdContentKey *
content_key (guint16 word, gsize len)
{
  TpdContentKey *key = g_new0 (TpdContentKey, 1);

  key->ref_count = 1;
  key->key = tpd_secret_new (key_bytes, len);
  key->mode_word = word;
  return key;
}

static inline void
check_answer (const Try *t, TpdModeAnswer *answer, TpdSource *body)
{
  g_autoptr (TpdDocument) document = tpd_mode_answer_to_document (answer, TPD_KIND_PFILE, body);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *fallbacks = document->fallbacks != NULL ? g_strjoinv (" ", document->fallbacks) : NULL;

  g_assert_cmpuint (document->plain_size, >=, t->len);
  g_assert_cmpuint (document->plain_size, <=, t->len + t->tail);
  if (!t->size_unknown)
    g_assert_cmpuint (document->plain_size, ==, t->len);
  bytes = document_read_all (document, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), t->len, t->plain, t->len);
  g_assert_cmpint (document->proof, ==, t->proof);
  g_assert_cmpstr (fallbacks, ==, t->fallbacks);
  g_assert_cmpint (document->warnings != NULL, ==, t->warns);
}

static inline void
check_body (const Try *t, GBytes *bytes)
{
  g_autoptr (TpdSource) body = tpd_source_new_bytes (bytes);
  g_autoptr (TpdContentKey) key = content_key (t->word, 32);
  g_autoptr (GError) error = NULL;
  g_auto (TpdModeAnswer) answer = { 0 };
  TpdModeQuestion question = {
    .body = body,
    .stored_size = t->size_unknown ? TPD_SIZE_UNKNOWN : t->len,
    .maybe_longer = t->maybe_longer,
    .force_cbc4k = t->force_cbc4k,
    .extension = t->extension,
    .iv = t->iv,
  };

  if (t->error == 0)
    {
      g_assert_true (tpd_mode_decide (&question, key, &answer, &error));
      g_assert_no_error (error);
      check_answer (t, &answer, body);
      return;
    }
  g_assert_false (tpd_mode_decide (&question, key, &answer, &error));
  g_assert_error (error, TPD_ERROR, t->error - 1);
  g_assert_null (answer.cipher);
}

static inline GBytes *
encrypt_try (const Try *t)
{
  return encrypt_body (key_bytes, 32, t->mode, t->rule, t->whole, t->plain, t->len);
}

static inline void
check (Try t)
{
  g_autoptr (GBytes) bytes = encrypt_try (&t);

  check_body (&t, bytes);
}

/* --- Plaintext with structure ----------------------------------------- */

static inline void
put_le (GByteArray *out, guint32 value, guint bytes)
{
  for (guint i = 0; i < bytes; i++)
    {
      guint8 byte = (guint8) (value >> 8 * i);
      g_byte_array_append (out, &byte, 1);
    }
}

/* The header of a stored member without date, in front of it or in the directory. */
static inline void
put_zip_header (GByteArray *out, gboolean central, const char *name, guint32 crc, guint32 size, guint32 header)
{
  put_le (out, central ? 0x02014b50 : 0x04034b50, 4);
  if (central)
    put_le (out, 20, 2);
  put_le (out, 20, 2);
  put_le (out, 0, 2);
  put_le (out, 0, 2);
  put_le (out, 0, 4);
  put_le (out, crc, 4);
  put_le (out, size, 4);
  put_le (out, size, 4);
  put_le (out, (guint32) strlen (name), 2);
  put_le (out, 0, 2);
  if (central)
    {
      put_le (out, 0, 2); /* comment */
      put_le (out, 0, 2); /* disk */
      put_le (out, 0, 2); /* attributes */
      put_le (out, 0, 4);
      put_le (out, header, 4);
    }
  g_byte_array_append (out, (const guint8 *) name, (guint) strlen (name));
}

/* Behind a directory of `n` members that begins at `start` and ends here. */
static inline void
put_zip_end (GByteArray *out, guint n, guint32 start)
{
  const guint32 size = out->len - start;

  put_le (out, 0x06054b50, 4);
  put_le (out, 0, 4);
  put_le (out, n, 2);
  put_le (out, n, 2);
  put_le (out, size, 4);
  put_le (out, start, 4);
  put_le (out, 0, 2);
}

/* A ZIP package of one stored member, larger than `len` bytes by its headers. */
static inline GByteArray *
make_zip (gsize len)
{
  GByteArray *out = g_byte_array_new ();
  g_autofree guint8 *data = make_noise (len, 77);
  guint32 crc = (guint32) crc32 (0, data, (uInt) len);
  guint32 directory;

  put_zip_header (out, FALSE, "data.bin", crc, (guint32) len, 0);
  g_byte_array_append (out, data, (guint) len);
  directory = out->len;
  put_zip_header (out, TRUE, "data.bin", crc, (guint32) len, 0);
  put_zip_end (out, 1, directory);
  return out;
}

/* Around every border there is. */
static const gsize sizes[] = { 0, 1, 15, 16, 17, 511, 512, 4079, 4080, 4095, 4096, 4097, 8191, 8192, 10001 };
