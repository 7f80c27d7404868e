/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hint of the index is worth under the options of this mount: the same
 * that a look into the file would tell now, or nothing. So the index never
 * changes what is shown, only what it costs.
 */
#pragma once

#include "fs/inode.h"
#include "fs/options.h"
#include "index/hints.h"

/* Fills `facts` for a file that is `stamp`. FALSE: it has to be looked at. */
gboolean tpd_hinted_facts (const TpdFsOptions *options, const TpdIndexHint *hint, const TpdStamp *stamp,
                           TpdFacts *facts);

/* Whether the file `name` is to be shown under its plain name. FALSE: it has to
 * be looked at. */
gboolean tpd_hinted_name (const TpdFsOptions *options, const TpdIndexHint *hint, const TpdStamp *stamp,
                          const char *name, gboolean *plain);
