/* SPDX-License-Identifier: Apache-2.0 */
/* pkcs11: URIs, RFC 7512: which key in which token is meant. */
#pragma once

#include <glib.h>

/* Attributes that were not given are NULL, or -1. Strings are UTF-8. */
typedef struct {
  char *token;
  char *serial;
  char *manufacturer;
  char *model;
  char *slot_description;
  char *slot_manufacturer;
  gint64 slot_id;
  char *object;
  GBytes *id;
  char *module_path;
  char *pin_file; /* path that pin-source names */
} TpdPkcs11Uri;

/*
 * Reads `text`. An attribute that is repeated, not known or not for a private
 * key is an error, not skipped: a key that was meant could be missed. So is
 * pin-value: a PIN does not belong where it is shown and logged. Errors:
 * TPD_ERROR_USAGE, a clause that goes after "the URI ". (transfer full)
 */
TpdPkcs11Uri *tpd_pkcs11_uri_parse (const char *text, GError **error);
void tpd_pkcs11_uri_free (TpdPkcs11Uri *uri);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdPkcs11Uri, tpd_pkcs11_uri_free)

/* `text` without its query, which is about modules and PINs: how messages and
 * reports name the key. (transfer full) */
char *tpd_pkcs11_uri_display (const char *text);
