/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the messages between our processes: numbers are little-endian. */
#pragma once

#include <glib.h>
#include <string.h>

/* Fills a buffer whose size bounds what is put into it: the caller has
 * reckoned. */
typedef struct {
  guint8 *data;
  gsize len;
} TpdWireWriter;

static inline void
tpd_wire_put (TpdWireWriter *w, const void *data, gsize len)
{
  if (len > 0)
    memcpy (w->data + w->len, data, len);
  w->len += len;
}

static inline void
tpd_wire_put_number (TpdWireWriter *w, guint64 value, gsize size)
{
  for (gsize i = 0; i < size; i++)
    w->data[w->len++] = (guint8) (value >> (8 * i));
}
