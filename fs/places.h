/* SPDX-License-Identifier: Apache-2.0 */
/* SOURCE and MOUNTPOINT: checked and made absolute before anything starts. */
#pragma once

#include <glib.h>

typedef struct {
  char *source, *mountpoint; /* real paths */
  int root_fd;               /* O_PATH of the source */
} TpdPlaces;

void tpd_places_clear (TpdPlaces *places);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdPlaces, tpd_places_clear)

/*
 * Fills `places` (clear it with tpd_places_clear() in any case). Both must be
 * directories, and neither may lie in the other: reading the mount would then
 * read itself. Errors: TPD_ERROR_USAGE, TPD_ERROR_ERRNO+.
 */
gboolean tpd_places_find (TpdPlaces *places, const char *source, const char *mountpoint, GError **error);
