/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the confinement, base/confine*.c. */
#pragma once

#include "base/confine.h"

/* The sanitizers do more by themselves, and look into /proc/self. */
#if defined(__SANITIZE_ADDRESS__)
#define TPD_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TPD_SANITIZED 1
#endif
#endif
#ifndef TPD_SANITIZED
#define TPD_SANITIZED 0
#endif

typedef struct {
  char *path;
  gboolean write;
} TpdConfinedPath;

struct _TpdConfinement {
  TpdConfineFlags flags;
  GArray *paths; /* of TpdConfinedPath */
};

/* Each one layer, in the order in which they are to be called. */
/* Never without the second: it does not keep files from being cut off. FALSE
 * without an error: this kernel has none. */
gboolean tpd_confine_paths (const TpdConfinement *confinement, GError **error);
gboolean tpd_confine_system_calls (TpdConfineFlags flags, GError **error);
