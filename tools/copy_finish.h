/* SPDX-License-Identifier: Apache-2.0 */
/* Beginning and end of a copy: what lies in its state directory. */
#pragma once

#include "tools/copy.h"

/* Opens the journal and the list of what is missing; nothing in a dry run. */
gboolean tpd_copy_begin_state (TpdCopy *copy, GError **error);

/* Attributes of directories, the manifest, the list of what is missing and the
 * summary. FALSE with the error that the copy was stopped for, too. */
gboolean tpd_copy_finish (TpdCopy *copy, TpdCopyResult *result, GError **error);
