/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of key files, for the key file readers only. What may hold a private
 * key stays in secret memory from the first byte to the last.
 */
#pragma once

#include <glib.h>

#include "crypto/secret.h"

/*
 * Text in UTF-8 (with or without mark) or UTF-16 (with a mark, or XML in
 * little-endian order without one) as UTF-8 without mark. Writes to `out`, or
 * only counts when that is NULL. FALSE if the text is invalid or has NULs.
 */
gboolean tpd_key_text_convert (const guint8 *data, gsize len, guint8 *out, gsize *out_len);
/* The same into secret memory; NULL if the text is invalid. (transfer full) */
TpdSecret *tpd_key_text_new (const guint8 *data, gsize len);

/* How far into a file its kind is looked for. */
#define TPD_KEY_PEEK (64 * 1024)

/* The first `n` bytes of a text that may be cut anywhere, ASCII characters
 * only and others as '?', for telling formats apart. (transfer full) */
TpdSecret *tpd_key_text_peek (const guint8 *data, gsize len, gsize n);

typedef enum {
  TPD_BASE64_STANDARD, /* RFC 4648 4: padding required, white space skipped */
  /* RFC 4648 5 as JOSE uses it, no white space; what others write for it, the
   * standard alphabet and padding, is no other number and taken too. */
  TPD_BASE64_URL,
} TpdBase64Kind;

/* Strict decoding into secret memory; NULL if it is no such text. (transfer full) */
TpdSecret *tpd_secret_from_base64 (const char *text, gsize len, TpdBase64Kind kind);

/* Finds `needle` (a C string) in `len` bytes of text from `from` on; the
 * offset, or -1. */
gssize tpd_key_text_find (const TpdSecret *text, gsize from, const char *needle);

/*
 * The local name of the root element of XML text, which a cut may end; NULL if
 * it is not XML. Declarations, comments and a DOCTYPE are stepped over.
 * (transfer full)
 */
char *tpd_key_text_xml_root (const char *text);
