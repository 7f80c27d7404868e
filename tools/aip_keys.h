/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a tenant as Get-AipServiceKeys told them, in whatever form the
 * answer was kept: PowerShell's list or table, CSV, JSON; UTF-8 or UTF-16.
 */
#pragma once

#include <glib.h>

#define TPD_AIP_KEYS_MAX 1000
#define TPD_AIP_FILE_MAX (4 * 1024 * 1024)

/* Each but `guid` may be NULL. */
typedef struct {
  char *guid;    /* KeyIdentifier: 36 lower-case characters */
  char *type;    /* "Microsoft-managed", "Customer-managed" */
  char *status;  /* "Active", "Archived" */
  char *created; /* as it stands */
} TpdAipKey;

/* Array of TpdAipKey, each GUID once, at least one. `name` is for messages.
 * Errors: TPD_ERROR_USAGE, with what to do. (transfer full) */
GPtrArray *tpd_aip_keys_parse (const char *name, const guint8 *data, gsize len, GError **error);
/* The same of a file. */
GPtrArray *tpd_aip_keys_read (const char *path, GError **error);
/* NULL: not among them. */
const TpdAipKey *tpd_aip_keys_find (const GPtrArray *keys, const char *guid);
