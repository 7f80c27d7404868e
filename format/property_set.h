/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property sets ([MS-OLEPS]): what Office keeps of a document beside its text.
 * A bounded reader of hostile input; of the custom properties only, which have
 * names.
 */
#pragma once

#include <glib.h>

/* The stream that has them, below the root of a compound file ([MS-OSHARED] 2.3.3.2). */
#define TPD_PROPERTY_SET_CUSTOM "\005DocumentSummaryInformation"

/* Larger streams are not looked at. */
#define TPD_PROPERTY_SET_MAX (256 * 1024)

/*
 * The custom properties of the stream whose names begin with `prefix` (ASCII,
 * in either case) and whose values are text or yes and no: names and values
 * by turns, valid UTF-8 without NUL; "true" and "false". In the order of the
 * names in the stream. What makes no sense is left out: never NULL, and empty
 * for what is no property set. (transfer full)
 */
GPtrArray *tpd_property_set_custom (const guint8 *data, gsize len, const char *prefix);
