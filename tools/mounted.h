/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a tpdfs mount tells of a file in its extended attributes
 * (user.tpdfs.*, tpdfs(8)). Reading them never opens the file, so it works for
 * files that cannot be opened.
 */
#pragma once

#include <glib.h>

typedef enum {
  TPD_MOUNTED_KIND,
  TPD_MOUNTED_VERDICT,
  TPD_MOUNTED_SOURCE_NAME,
  TPD_MOUNTED_SOURCE_SIZE,
  TPD_MOUNTED_CONTENT_ID,
  TPD_MOUNTED_RMS_OWNER,
  TPD_MOUNTED_KEY,
  TPD_MOUNTED_TEMPLATE,
  TPD_MOUNTED_ISSUED,
  TPD_MOUNTED_CIPHER,
  TPD_MOUNTED_PROOF,
  TPD_MOUNTED_LABEL,
  TPD_MOUNTED_N,
} TpdMountedWord;

typedef struct {
  guint64 size;               /* of the file as shown */
  char *words[TPD_MOUNTED_N]; /* UTF-8, NULL where there is none */
} TpdMounted;

/*
 * NULL unless `path` is a protected file seen through a FUSE mount that gives
 * it a user.tpdfs.kind: copies on other file systems may carry the attributes
 * along, where they mean nothing. (transfer full)
 */
TpdMounted *tpd_mounted_read (const char *path);
void tpd_mounted_free (TpdMounted *mounted);
