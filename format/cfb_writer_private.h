/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the compound file writer; for cfb_writer.c and cfb_layout.c only. */
#pragma once

#include "format/cfb_writer.h"

#define CFB_NAME_UNITS 31

typedef struct {
  gunichar2 name[CFB_NAME_UNITS];
  guint8 n_units;
  guint8 type; /* TpdCfbType */
  guint8 depth;
  gboolean red;
  guint8 clsid[16];
  guint32 state;
  GArray *children;  /* of guint32: node numbers; NULL for streams */
  TpdSource *source; /* NULL for storages */

  /* Filled when the file is laid out. */
  guint32 left, right, child, start;
  guint64 size;
} CfbNode;

struct _TpdCfbWriter {
  guint version;
  GPtrArray *nodes; /* of CfbNode; a node's number is that of its directory entry */
};

static inline CfbNode *
cfb_writer_node (const TpdCfbWriter *writer, guint32 id)
{
  return g_ptr_array_index (writer->nodes, id);
}
