/* SPDX-License-Identifier: Apache-2.0 */
/* From the bytes a container stores to single XrML documents. */
#pragma once

#include <glib.h>

/* Decoded license text may not be longer than this. */
#define TPD_LICENSE_TEXT_MAX (16 * 1024 * 1024)
/* Documents in one chain beyond this are ignored. */
#define TPD_LICENSE_DOCUMENTS_MAX 64

/* Static string that names how the text was stored: "utf-8", "utf-8-bom",
 * "utf-16le", "utf-16le-bom", "utf-16be", each possibly through "base64". */
typedef struct {
  char *text; /* UTF-8, NUL terminated, no NUL inside */
  gsize len;
  const char *encoding;
  gboolean base64;
} TpdLicenseText;

void tpd_license_text_free (TpdLicenseText *text);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdLicenseText, tpd_license_text_free)

/*
 * Detects the encoding (never by length alone) and gives the text as UTF-8,
 * without trailing NULs and white space. A JSON license is
 * TPD_ERROR_UNSUPPORTED; anything else that is no license, invalid encoding
 * or too long is TPD_ERROR_DAMAGED. (transfer full)
 */
TpdLicenseText *tpd_license_text_decode (const guint8 *data, gsize len, GError **error);

/* One `<XrML ...>...</XrML>` document: offsets into the decoded text. */
typedef struct {
  gsize start, len;           /* the document */
  gsize body_start, body_len; /* from "<BODY" through "</BODY>", what the signature covers; 0 if absent */
  guint n_bodies;             /* how often "<BODY" stands in it */
  gboolean has_markup;        /* "<!" or "<?" stands in it */
} TpdXrmlSlice;

/* Splits a chain, which is no well-formed XML as a whole. Array of
 * TpdXrmlSlice, possibly empty; never recursive. (transfer full) */
GArray *tpd_license_split (const char *text, gsize len);
