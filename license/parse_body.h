/* SPDX-License-Identifier: Apache-2.0 */
/* What the BODY of a publishing license says. Private to license/. */
#pragma once

#include "license/license.h"
#include "license/text.h"
#include "license/xml.h"

/*
 * Fills the fields of `license` that BODY and the surface text of `slice`
 * give; sentences about oddities go to `warnings` (of char *). Errors:
 * TPD_ERROR_DAMAGED when the server principal, its key or the sealed content
 * key is missing or unusable.
 */
gboolean tpd_parse_body (TpdLicense *license, const TpdXmlNode *body, const char *text, const TpdXrmlSlice *slice,
                         GPtrArray *warnings, GError **error);
