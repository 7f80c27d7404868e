/* SPDX-License-Identifier: Apache-2.0 */
/* Names of templates and policies come in several languages. */
#pragma once

#include "license/license.h"

/* Windows language id (LCID) of the user's language, from LANGUAGE, LC_ALL,
 * LC_MESSAGES and LANG; 1033 (English) when it is not known. */
guint tpd_language_lcid (void);

/* The entry of `names` (TpdDescriptorName) in the user's language, else in
 * English, else the first; NULL if there is none. */
const TpdDescriptorName *tpd_language_pick (const GPtrArray *names);
