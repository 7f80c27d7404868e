/* SPDX-License-Identifier: Apache-2.0 */
/* Rights of a license: the encrypted rights data, [MS-RMPR] 2.2.9.8. */
#pragma once

#include "license/license.h"

typedef struct {
  char *principal;      /* e-mail, SID text, "Owner" or "ANYONE" */
  char *principal_type; /* "Unspecified", "Windows", "Internal", ... may be NULL */
  char **rights;        /* upper-case words, NULL terminated */
  char *until;          /* end of validity as stored, or NULL */
} TpdRightsEntry;

typedef struct {
  GPtrArray *entries;  /* of TpdRightsEntry */
  char *owner;         /* OWNER of the rights data, may be NULL */
  char *expires;       /* content expiry as stored, the earliest of rights data and license, or NULL */
  char *template_guid; /* set when the data is a verbatim official template */
  GPtrArray *names;    /* of TpdDescriptorName */
  GPtrArray *app_data; /* of TpdAppData */
  const char *cipher;  /* which reading of the data worked: "ecb", "cbc", "cbc4k" */
  gboolean official;   /* 'Microsoft Official Rights Template': signed by the server */
} TpdRights;

/*
 * Decrypts and parses the rights data. AES-ECB first, then CBC with zero IV,
 * then CBC4K. Errors: TPD_ERROR_NOT_PROTECTED when the license has none,
 * TPD_ERROR_DAMAGED when none of the readings is XrML. (transfer full)
 */
TpdRights *tpd_rights_decode (const TpdLicense *license, const TpdContentKey *key, GError **error);
void tpd_rights_free (TpdRights *rights);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdRights, tpd_rights_free)

/* Whether `stored` (yyyy-MM-ddTHH:mm, UTC) lies before `now` (Unix seconds).
 * NULL does not pass; what is no such time counts as passed. */
gboolean tpd_time_passed (const char *stored, gint64 now);
