/* SPDX-License-Identifier: Apache-2.0 */
/* What the mount may do once it serves: see base/confine.h. */
#pragma once

#include "fs/fs.h"

/* Before the first thread. Errors: TPD_ERROR_CONFINE. */
gboolean tpd_fs_confine (const TpdFs *fs, GError **error);
