/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes of a tpdfs mount: see mounted.h. */
#include "tools/mounted.h"

#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#define WORD_MAX 4096

static const char *const attributes[TPD_MOUNTED_N] = {
  [TPD_MOUNTED_KIND] = "user.tpdfs.kind",
  [TPD_MOUNTED_VERDICT] = "user.tpdfs.verdict",
  [TPD_MOUNTED_SOURCE_NAME] = "user.tpdfs.source_name",
  [TPD_MOUNTED_SOURCE_SIZE] = "user.tpdfs.source_size",
  [TPD_MOUNTED_CONTENT_ID] = "user.tpdfs.content_id",
  [TPD_MOUNTED_RMS_OWNER] = "user.tpdfs.rms_owner",
  [TPD_MOUNTED_KEY] = "user.tpdfs.key",
  [TPD_MOUNTED_TEMPLATE] = "user.tpdfs.template",
  [TPD_MOUNTED_ISSUED] = "user.tpdfs.issued",
  [TPD_MOUNTED_CIPHER] = "user.tpdfs.cipher",
  [TPD_MOUNTED_PROOF] = "user.tpdfs.proof",
  [TPD_MOUNTED_LABEL] = "user.tpdfs.label",
};

static char *
read_word (const char *path, const char *attribute)
{
  char value[WORD_MAX + 1];
  gssize len = getxattr (path, attribute, value, WORD_MAX);

  if (len <= 0 || memchr (value, '\0', (gsize) len) != NULL)
    return NULL;
  return g_utf8_make_valid (value, len);
}

TpdMounted *
tpd_mounted_read (const char *path)
{
  struct stat st;
  struct statfs fs;
  TpdMounted *mounted;
  char *kind;

  if (stat (path, &st) != 0 || !S_ISREG (st.st_mode) || statfs (path, &fs) != 0 || fs.f_type != FUSE_SUPER_MAGIC)
    return NULL;
  kind = read_word (path, attributes[TPD_MOUNTED_KIND]);
  if (kind == NULL)
    return NULL;
  mounted = g_new0 (TpdMounted, 1);
  mounted->size = (guint64) st.st_size;
  mounted->words[TPD_MOUNTED_KIND] = kind;
  for (guint i = TPD_MOUNTED_KIND + 1; i < TPD_MOUNTED_N; i++)
    mounted->words[i] = read_word (path, attributes[i]);
  return mounted;
}

void
tpd_mounted_free (TpdMounted *mounted)
{
  if (mounted == NULL)
    return;
  for (guint i = 0; i < TPD_MOUNTED_N; i++)
    g_free (mounted->words[i]);
  g_free (mounted);
}
