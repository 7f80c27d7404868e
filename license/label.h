/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sensitivity labels. A label says how its document is to be handled; it is no
 * encryption, and whoever can write the file can write any label. The forms
 * that are known (docs/formats.md, "Labels"):
 *
 *   LabelInfo       [MS-OFFCRYPTO] 2.6: root `labelList`, an element a label
 *   properties      names MSIP_Label_GUID_Name, _SiteId, _Method, _SetDate ...:
 *                   in docProps/custom.xml, as elements of XMP, and in the
 *                   property sets of binary Office files
 *   XMP             msip:labels, a list of msip-label:Id, :Name ...
 *   license         AUTHENTICATEDDATA of id LABEL
 */
#pragma once

#include <glib.h>

#include "license/license.h"

typedef struct {
  char *id;       /* 36 lower-case characters; never NULL */
  char *name;     /* the others may be NULL */
  char *site;     /* tenant, form of `id` */
  char *method;   /* "Standard", "Privileged", ... */
  char *set_date; /* as stored */
} TpdLabel;

void tpd_label_free (TpdLabel *label);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdLabel, tpd_label_free)

/* Larger texts are not looked at. */
#define TPD_LABEL_TEXT_MAX (256 * 1024)

/*
 * The label that `text` tells of, in any of the forms: of several the first
 * that is set and not the parent of another. NULL if it tells of none, or is
 * no such XML. `text` need not be valid. (transfer full)
 */
TpdLabel *tpd_label_parse (const char *text, gsize len);

/* What the names of properties begin with that tell of labels. */
#define TPD_LABEL_PREFIX "MSIP_Label_"

/* The same of properties read elsewhere: names and values by turns, valid UTF-8.
 * (transfer full) */
TpdLabel *tpd_label_of_properties (const GPtrArray *properties);

/* The label in the signed data of a license, NULL if there is none. (transfer full) */
TpdLabel *tpd_label_of_license (const TpdLicense *license);

/* Completes `*label` (may be NULL) by `other`: takes it if there is none, or
 * what is missing if it is the same label. Takes over `other` (may be NULL). */
void tpd_label_merge (TpdLabel **label, TpdLabel *other);
