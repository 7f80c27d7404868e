/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the mount may do once it serves: see fs/confined.h.
 *
 * It reads its source, the index, and nothing else; the descriptor of /dev/fuse,
 * the sockets to the key agent and the keeper are open already. Whatever else a
 * mount is to open has its line here.
 */
#include "fs/confined.h"

#include "base/confine.h"

gboolean
tpd_fs_confine (const TpdFs *fs, GError **error)
{
  g_autoptr (TpdConfinement) reach = tpd_confinement_new (TPD_CONFINE_READS);

  tpd_confinement_read (reach, fs->source);
  tpd_known_reach (fs->known, reach);
  return tpd_confine (reach, error);
}
