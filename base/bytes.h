/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TpdBytes: the bounded reader that every parser of binary input uses.
 *
 * A view of bytes owned by somebody else, with a read position. Each take
 * returns FALSE, and changes nothing, when the bytes are not there; no
 * arithmetic on input can leave the view.
 */
#pragma once

#include <glib.h>
#include <string.h>

typedef struct {
  const guint8 *data;
  gsize len;
  gsize pos; /* <= len */
} TpdBytes;

static inline TpdBytes
tpd_bytes (const void *data, gsize len)
{
  return (TpdBytes){ data, len, 0 };
}

static inline gsize
tpd_bytes_left (const TpdBytes *b)
{
  return b->len - b->pos;
}

/* Moves the read position to `pos`, counted from the start of the view. */
static inline gboolean
tpd_bytes_seek (TpdBytes *b, guint64 pos)
{
  if (pos > b->len)
    return FALSE;
  b->pos = (gsize) pos;
  return TRUE;
}

static inline gboolean
tpd_bytes_skip (TpdBytes *b, guint64 n)
{
  if (n > tpd_bytes_left (b))
    return FALSE;
  b->pos += (gsize) n;
  return TRUE;
}

/* Points `*out` at the next `n` bytes, inside the view. */
static inline gboolean
tpd_bytes_take (TpdBytes *b, guint64 n, const guint8 **out)
{
  if (n > tpd_bytes_left (b))
    return FALSE;
  *out = b->data + b->pos;
  b->pos += (gsize) n;
  return TRUE;
}

/* A view of `n` bytes at `off` of this view; the read position stays. */
static inline gboolean
tpd_bytes_slice (const TpdBytes *b, guint64 off, guint64 n, TpdBytes *out)
{
  if (off > b->len || n > b->len - off)
    return FALSE;
  *out = tpd_bytes (b->data + off, (gsize) n);
  return TRUE;
}

static inline gboolean
tpd_bytes_take_u8 (TpdBytes *b, guint8 *out)
{
  const guint8 *p;
  if (!tpd_bytes_take (b, 1, &p))
    return FALSE;
  *out = p[0];
  return TRUE;
}

static inline gboolean
tpd_bytes_take_u16le (TpdBytes *b, guint16 *out)
{
  const guint8 *p;
  if (!tpd_bytes_take (b, 2, &p))
    return FALSE;
  *out = (guint16) (p[0] | p[1] << 8);
  return TRUE;
}

static inline gboolean
tpd_bytes_take_u32le (TpdBytes *b, guint32 *out)
{
  const guint8 *p;
  if (!tpd_bytes_take (b, 4, &p))
    return FALSE;
  *out = (guint32) p[0] | (guint32) p[1] << 8 | (guint32) p[2] << 16 | (guint32) p[3] << 24;
  return TRUE;
}

static inline gboolean
tpd_bytes_take_u32be (TpdBytes *b, guint32 *out)
{
  const guint8 *p;
  if (!tpd_bytes_take (b, 4, &p))
    return FALSE;
  *out = (guint32) p[3] | (guint32) p[2] << 8 | (guint32) p[1] << 16 | (guint32) p[0] << 24;
  return TRUE;
}

static inline gboolean
tpd_bytes_take_u64le (TpdBytes *b, guint64 *out)
{
  guint32 lo = 0, hi = 0;
  if (tpd_bytes_left (b) < 8)
    return FALSE;
  tpd_bytes_take_u32le (b, &lo);
  tpd_bytes_take_u32le (b, &hi);
  *out = (guint64) hi << 32 | lo;
  return TRUE;
}

/* For writers: the number at the end of `bytes`, of which the low bits count. */
static inline void
tpd_bytes_put_u16le (GByteArray *bytes, guint number)
{
  const guint8 raw[] = { (guint8) number, (guint8) (number >> 8) };

  g_byte_array_append (bytes, raw, sizeof raw);
}

static inline void
tpd_bytes_put_u32le (GByteArray *bytes, guint64 number)
{
  tpd_bytes_put_u16le (bytes, (guint) (number & 0xffff));
  tpd_bytes_put_u16le (bytes, (guint) (number >> 16 & 0xffff));
}

static inline void
tpd_bytes_put_u64le (GByteArray *bytes, guint64 number)
{
  tpd_bytes_put_u32le (bytes, number);
  tpd_bytes_put_u32le (bytes, number >> 32);
}
