/* SPDX-License-Identifier: Apache-2.0 */
/* Sensitivity labels of files: where each container keeps them. The forms are
 * those of license/label.h. */
#pragma once

#include "format/document.h"
#include "license/label.h"

/*
 * The label in the clear part of a file: Office packages
 * (docMetadata/LabelInfo.xml, docProps/custom.xml), compound files (LabelInfo,
 * and the custom properties of binary Office files; also of protected ones) and
 * PDF documents (XMP). Reads no more than the
 * budget of a probe allows, and inflates no more than 4 MiB. NULL if there is
 * none that can be found so: a label is no reason for an error. (transfer full)
 */
TpdLabel *tpd_label_read (TpdSource *source);

/* What the probe and the license (either may be NULL) tell of the label,
 * without reading. (transfer full) */
TpdLabel *tpd_label_known (const TpdProbe *probe, const TpdLicense *license);
