/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsed licenses by their bytes. Copies and versions of a document carry the
 * same license, and reading one costs many times what comparing costs. What was
 * met once is not kept yet. Thread-safe.
 */
#pragma once

#include "license/license.h"

typedef struct _TpdLicenseCache TpdLicenseCache;

/* Holds at most `max` licenses. */
TpdLicenseCache *tpd_license_cache_new (guint max);
void tpd_license_cache_free (TpdLicenseCache *cache);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdLicenseCache, tpd_license_cache_free)

/* tpd_license_parse(), or what it gave before. `cache` may be NULL. (transfer full) */
TpdLicense *tpd_license_cache_parse (TpdLicenseCache *cache, GBytes *bytes, GError **error);
