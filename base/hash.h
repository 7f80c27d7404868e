/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and bytes spread over 64 bits, for hash tables. Who may choose what
 * is put into a table can make it slow, not wrong: bound what it takes. */
#pragma once

#include <glib.h>

/* Odd, and its bits are without a pattern: 2^64 by the golden ratio. */
#define TPD_HASH_FACTOR G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)

/* All bits of the result, the low ones too, depend on many of `x`; different
 * numbers have different ones. */
static inline guint64
tpd_hash_mix (guint64 x)
{
  x ^= x >> 31;
  x *= TPD_HASH_FACTOR;
  return x ^ x >> 29;
}

/* Of a file: its number, and that of its device. */
static inline guint64
tpd_hash_file (guint64 dev, guint64 ino)
{
  return tpd_hash_mix (ino + tpd_hash_mix (dev));
}

/* A hash for finding equal bytes quickly; compare them after: it is easy to
 * make two that have the same. */
guint64 tpd_hash64 (const void *data, gsize len);

/* The same of a long text, of which it looks at a sample: an eighth, spread over
 * all of it, 32 bytes in each 256. Texts that differ nowhere else have the same. */
guint64 tpd_hash64_sample (const void *data, gsize len);
