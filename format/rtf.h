/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rich text as MAPI stores it ([MS-OXRTFCP]). Private to format/;
 * tpd_rtf_decompress() is in format/mail.h.
 */
#pragma once

#include <glib.h>

/* RTF as the value of PidTagRtfCompressed, in the form that is not compressed.
 * `len` below 2 GiB. (transfer full) */
GBytes *tpd_rtf_store (const guint8 *rtf, gsize len);

/* The CRC of [MS-OXRTFCP] 2.1.3.2, which [MS-OXMSG] uses for names too. */
guint32 tpd_rtf_crc (const guint8 *data, gsize len);
