/* SPDX-License-Identifier: Apache-2.0 */
/* See hash.h. */
#include "base/hash.h"

#include <string.h>

guint64
tpd_hash64 (const void *data, gsize len)
{
  const guint8 *p = data;
  guint64 hash = len, word;

  for (; len >= sizeof word; p += sizeof word, len -= sizeof word)
    {
      memcpy (&word, p, sizeof word);
      hash = (hash ^ word) * TPD_HASH_FACTOR;
      hash ^= hash >> 29;
    }
  for (gsize i = 0; i < len; i++)
    hash = (hash ^ p[i]) * TPD_HASH_FACTOR;
  return hash ^ hash >> 32;
}

#define STEP 256
#define SAMPLE 32

guint64
tpd_hash64_sample (const void *data, gsize len)
{
  guint64 hash = len;

  for (gsize at = 0; at < len; at += STEP)
    hash = (hash << 7 | hash >> 57) ^ tpd_hash64 ((const guint8 *) data + at, MIN ((gsize) SAMPLE, len - at));
  return hash;
}
