/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers for the elements that publishing licenses, certificates, rights data
 * and templates share ([MS-RMPR] 2.2.9.1). Private to license/.
 */
#pragma once

#include "crypto/digest.h"
#include "license/license.h"
#include "license/text.h"
#include "license/xml.h"

#define TPD_XRML_LABEL "Microsoft Rights Label"
#define TPD_XRML_RIGHTS "Microsoft Rights Template"
#define TPD_XRML_TEMPLATE "Microsoft Official Rights Template"

/* Entries of one kind beyond this are ignored. */
#define TPD_XRML_ITEMS_MAX 256

/* The BODY if its type is `type`, else NULL. */
const TpdXmlNode *tpd_xrml_body (const TpdXml *doc, const char *type);

/* An ID: 36 lower-case characters if it is a GUID, else the text as it is if
 * that is at most 1024 bytes; NULL if there is none. (transfer full) */
char *tpd_xrml_id (const TpdXmlNode *id);

/* Fills `out` from a PUBLICKEY; FALSE and `*why` (static words) if there is no
 * usable key. `*size_differs` (may be NULL) tells of a wrong size attribute. */
gboolean tpd_xrml_public_key (const TpdXmlNode *public_key, TpdPublicKey *out, gboolean *size_differs,
                              const char **why);

/* The bytes of a VALUE, strict base64 with or without its padding, or NULL.
 * (transfer full) */
guint8 *tpd_xrml_value (const TpdXmlNode *value, gsize max, gsize *len);
/* FALSE if there is a size attribute and it is not 8 x `len`. */
gboolean tpd_xrml_value_size_fits (const TpdXmlNode *value, gsize len);

/* The only PRINCIPAL of ISSUEDPRINCIPALS that is number 1 (or, without
 * numbers, the only one at all); NULL if there is none or several. */
const TpdXmlNode *tpd_xrml_first_principal (const TpdXmlNode *body);

/* DESCRIPTOR/OBJECT/NAME. Never NULL. (transfer full) */
GPtrArray *tpd_xrml_names (const TpdXmlNode *body);

/* AUTHENTICATEDDATA other than the rights. Never NULL. (transfer full) */
GPtrArray *tpd_xrml_app_data (const TpdXmlNode *body);

/* The earlier of two stored times, which may be NULL: takes both, returns one. */
char *tpd_xrml_earlier (char *a, char *b);
/* TIME/RANGETIME/UNTIL below `node`, the earliest. (transfer full) */
char *tpd_xrml_until (const TpdXmlNode *node);
/* Reads yyyy-MM-ddTHH:mm (UTC, seconds tolerated); NULL if it is no such time. */
GDateTime *tpd_xrml_time (const char *stored);
