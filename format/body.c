/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The read path of seekable containers. Segments are independent, so a read
 * touches only the ciphertext it needs: whole segments land in the caller's
 * buffer and are decrypted there in one call; what does not start or end with
 * a segment goes through one buffer on the stack. Nothing is allocated.
 */
#include "format/body.h"

#include <string.h>

#include "base/error.h"
#include "crypto/secret.h"

#define AES_BLOCK 16
#define MAX_SEGMENT 4096
/* Whole segments that are decrypted while they still are in the processor's
 * cache, where the kernel has just put them. */
#define RUN (128 * 1024)

typedef struct {
  TpdDocument base;
  TpdSource *body;
  TpdContentCipher *cipher;
} BodyDocument;

/* Ciphertext [off, off+len) into `data`, decrypted there; `off` starts a segment. */
static gboolean
read_run (TpdSource *body, TpdContentCipher *cipher, guint8 *data, gsize len, guint64 off, GError **error)
{
  while (len > 0)
    {
      gsize run = MIN (len, RUN);

      if (!tpd_source_read_exact (body, data, run, off, error)
          || !tpd_content_cipher_decrypt (cipher, data, run, off, error))
        return FALSE;
      data += run;
      len -= run;
      off += run;
    }
  return TRUE;
}

/*
 * Plaintext [off, off+len) of a stretch that fits into the stack buffer when
 * widened to the start of its segment and the end of its last block.
 */
static gboolean
read_ragged (TpdSource *body, TpdContentCipher *cipher, guint8 *out, gsize len, guint64 off, gsize segment,
             GError **error)
{
  guint8 buf[MAX_SEGMENT];
  gsize skip = (gsize) (off % segment);
  gsize span = (skip + len + AES_BLOCK - 1) / AES_BLOCK * AES_BLOCK;
  gboolean ok = read_run (body, cipher, buf, span, off - skip, error);

  if (ok)
    memcpy (out, buf + skip, len);
  tpd_wipe (buf, sizeof buf);
  return ok;
}

static gboolean
read_plain (TpdSource *body, TpdContentCipher *cipher, guint8 *out, gsize len, guint64 off, GError **error)
{
  gsize segment = tpd_cipher_mode_segment (tpd_content_cipher_mode (cipher));
  gsize skip = (gsize) (off % segment);

  if (skip > 0 && skip + len > MAX_SEGMENT)
    {
      gsize n = segment - skip;

      if (!read_ragged (body, cipher, out, n, off, segment, error))
        return FALSE;
      out += n;
      len -= n;
      off += n;
      skip = 0;
    }
  if (skip == 0 && (len > MAX_SEGMENT || len % AES_BLOCK == 0))
    {
      /* A last segment may be shorter, but a block cannot be cut. */
      gsize run = len % AES_BLOCK == 0 ? len : len - len % segment;

      if (run > 0 && !read_run (body, cipher, out, run, off, error))
        return FALSE;
      out += run;
      len -= run;
      off += run;
    }
  return len == 0 || read_ragged (body, cipher, out, len, off, segment, error);
}

gboolean
tpd_body_read (TpdSource *body, TpdContentCipher *cipher, void *buf, gsize len, guint64 off, GError **error)
{
  if (len == 0)
    return TRUE;
  if (off > body->size || len > body->size - off)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "The encrypted content ends at byte %" G_GUINT64_FORMAT ", before byte %" G_GUINT64_FORMAT ".",
                   body->size, off > body->size ? off : off + len);
      tpd_wipe (buf, len);
      return FALSE;
    }
  if (!read_plain (body, cipher, buf, len, off, error))
    {
      tpd_wipe (buf, len);
      return FALSE;
    }
  return TRUE;
}

static gssize
body_document_pread (TpdDocument *document, void *buf, gsize len, guint64 off, GError **error)
{
  BodyDocument *self = (BodyDocument *) document;

  if (off >= document->plain_size)
    return 0;
  len = (gsize) MIN ((guint64) MIN (len, (gsize) G_MAXSSIZE), document->plain_size - off);
  if (!tpd_body_read (self->body, self->cipher, buf, len, off, error))
    return -1;
  return (gssize) len;
}

static void
body_document_free (TpdDocument *document)
{
  BodyDocument *self = (BodyDocument *) document;

  tpd_source_unref (self->body);
  tpd_content_cipher_unref (self->cipher);
  g_free (self);
}

static const TpdDocumentClass body_document_class = { body_document_pread, body_document_free };

TpdDocument *
tpd_body_document_new (TpdKind kind, TpdSource *body, TpdContentCipher *cipher, guint64 plain_size)
{
  BodyDocument *self;

  g_return_val_if_fail (plain_size <= body->size, NULL);

  self = g_new0 (BodyDocument, 1);
  self->base.klass = &body_document_class;
  self->base.ref_count = 1;
  self->base.kind = kind;
  self->base.plain_size = plain_size;
  self->base.cipher = tpd_cipher_name (tpd_content_cipher_mode (cipher), tpd_content_cipher_key_len (cipher));
  self->body = tpd_source_ref (body);
  self->cipher = tpd_content_cipher_ref (cipher);
  return &self->base;
}
