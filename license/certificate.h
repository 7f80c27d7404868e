/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The certificates behind a publishing license. All documents of an author
 * carry the same ones, so what was read of the last some hundred is kept, by
 * their text. Private to license/.
 */
#pragma once

#include "license/license.h"
#include "license/text.h"
#include "license/xml.h"

/* Plain data but for `type`. */
typedef struct {
  char *type; /* "LICENSE (Client-Licensor-Certificate)"; NULL: damaged */
  /* A client licensor certificate whose signature verifies by the key of the
   * server that it names as its issuer: `issuer` lets `subject` publish.
   * Without the signature anybody could write such a certificate. */
  gboolean links;
  TpdFingerprint issuer, subject;
} TpdCertificate;

/* What the document `slice` of `text` is. Thread-safe; a pure function of the
 * characters of the slice. Free `out->type`. */
void tpd_certificate_read (const char *text, const TpdXrmlSlice *slice, TpdCertificate *out);

/* "LICENSE (Client-Licensor-Certificate)": BODY and descriptor type.
 * (transfer full) */
char *tpd_certificate_type (const TpdXml *doc);
