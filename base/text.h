/* SPDX-License-Identifier: Apache-2.0 */
/* Small text forms that several layers share: base64, GUIDs, hex, display. */
#pragma once

#include <glib.h>

/* 36 characters and a NUL. */
#define TPD_GUID_SIZE 37

/*
 * Strict base64 (RFC 4648 §4): standard alphabet, `=` padding required, space,
 * tab, CR and LF skipped anywhere, everything else refused. Returns NULL on
 * bad input, or when the result would be larger than `max` bytes.
 * (transfer full); `*out_len` is the length in bytes.
 */
guint8 *tpd_base64_decode (const char *text, gsize text_len, gsize max, gsize *out_len);
/* Likewise, but the padding may be missing altogether: the digits say as much. */
guint8 *tpd_base64_decode_bare (const char *text, gsize text_len, gsize max, gsize *out_len);

/* What one piece leaves for the next; all zero before the first. */
typedef struct {
  guint32 group;
  guint8 digits;
  gchar last[2];
} TpdBase64;

/*
 * Lenient base64 as mail has it (RFC 2045 6.8), a piece at a time: standard
 * alphabet, everything else skipped; `=` counts as a digit that stands for no
 * byte, and more may follow it; a group that is not whole gives nothing.
 * `out` has room for (len + 3) / 4 * 3 bytes, all of which may be written to, and
 * is apart from `text`. The number of bytes that count.
 */
gsize tpd_base64_step (TpdBase64 *state, const char *text, gsize len, guint8 *out);

/*
 * Writes the GUID in `text` (braces and surrounding white space optional) as
 * 36 lower-case characters without braces. FALSE if it is not a GUID.
 */
gboolean tpd_guid_parse (const char *text, char out[TPD_GUID_SIZE]);

/*
 * The unsigned number that all of `text` is, digits of `base` (2 to 16) without
 * sign or prefix, from `min` to `max`. Else FALSE, and `*out` is as it was.
 * g_ascii_string_to_unsigned() goes by errno, which the first calls of several
 * threads at a time leave set: it then takes a number for none.
 */
gboolean tpd_number_parse (const char *text, guint base, guint64 min, guint64 max, guint64 *out);

/* Lower-case hex of `len` bytes. (transfer full) */
char *tpd_hex (const guint8 *data, gsize len);

/*
 * `text` made fit for a terminal or a log line: valid UTF-8 stays, control
 * characters, line separators, bidi controls and invalid bytes become \xNN or
 * \u{NNNN}. (transfer full)
 */
char *tpd_display (const char *text);
