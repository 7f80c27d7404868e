/* SPDX-License-Identifier: Apache-2.0 */
/* KeyHeader, [MS-RMPR] 2.2.9.1.13.1: in front of every AES key that is sealed;
 * docs/formats.md has what was really met. */
#pragma once

#include "base/bytes.h"

#define TPD_KEY_HEADER_SIZE 12

typedef struct {
  guint16 blob_size; /* header and key */
  guint16 mode_word;
  guint16 size_word; /* bytes, or bits */
  guint16 block_size;
  guint32 flags;
} TpdKeyHeader;

static inline gboolean
tpd_key_header_take (TpdBytes *bytes, TpdKeyHeader *out)
{
  return tpd_bytes_take_u16le (bytes, &out->blob_size) && tpd_bytes_take_u16le (bytes, &out->mode_word)
         && tpd_bytes_take_u16le (bytes, &out->size_word) && tpd_bytes_take_u16le (bytes, &out->block_size)
         && tpd_bytes_take_u32le (bytes, &out->flags);
}

/* "mode ffff ...", for the trace: nothing of it is secret. (transfer full) */
static inline char *
tpd_key_header_words (const TpdKeyHeader *header)
{
  return g_strdup_printf ("size %04x mode %04x key-size %04x block %04x flags %08x", header->blob_size,
                          header->mode_word, header->size_word, header->block_size, header->flags);
}

static inline gboolean
tpd_is_aes_key_len (gsize len)
{
  return len == 16 || len == 24 || len == 32;
}
