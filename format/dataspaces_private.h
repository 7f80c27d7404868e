/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of dataspaces.h share among themselves. */
#pragma once

#include "base/bytes.h"
#include "format/dataspaces.h"

typedef enum {
  TRANSFORM_OTHER,
  TRANSFORM_DRM,
  TRANSFORM_COMPRESSION,
} TransformType;

/* A transform whose \x06Primary was read. */
typedef struct {
  const TpdCfbEntry *storage;
  const TpdCfbEntry *primary;
  TransformType type;
  guint32 license_off, license_len; /* TRANSFORM_DRM only */
} Transform;

/* A protected stream, and what protects it. */
typedef struct {
  const TpdCfbEntry *content;
  const Transform *drm;
  gboolean compressed;
  gboolean viewer; /* a copy for viewers, not the document itself */
  char *space;     /* name of the data space, owned; "" when names led to the stream */
} Chosen;

/* Sets TPD_ERROR_DAMAGED and gives FALSE. */
gboolean dataspaces_damaged (GError **error, const char *what);
/* UNICODE-LP-P4 as UTF-8 ([MS-OFFCRYPTO] 2.1.2): bytes, then padding to 4. */
gboolean dataspaces_take_utf16 (TpdBytes *bytes, char **out);
/* The entry at that path, NULL if there is none of that type. FALSE with error. */
gboolean dataspaces_find (TpdCfb *cfb, const TpdCfbEntry *from, const char *name, TpdCfbType type,
                          const TpdCfbEntry **entry, GError **error);

/*
 * Follows the map of `storage` to the protected stream; where that leads
 * nowhere, its usual name does, with a warning. `transforms`: of Transform.
 */
gboolean dataspaces_choose (TpdCfb *cfb, const TpdCfbEntry *storage, GArray *transforms, Chosen *chosen,
                            GPtrArray *warnings, GError **error);
/* The stream of the root that has the name of protected content, with the kind
 * of file that has it; NULL if there is none. FALSE with error. */
gboolean dataspaces_find_usual (TpdCfb *cfb, const TpdCfbEntry **content, TpdKind *kind, GError **error);
