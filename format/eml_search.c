/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protected mail that lies deeper than a probe looks: see format/eml_head.h.
 * It is searched for by its signs alone, without taking the message apart.
 */
#include <string.h>

#include "format/eml_head.h"

#define PIECE (256 * 1024)
/* Longer than any sign of a protected mail, with what stands around it. */
#define SIGN_MAX 128
#define OVERLAP (TPD_EML_BEFORE + SIGN_MAX + 1)
#define SEARCH_MAX (64 * 1024 * 1024)

gboolean
tpd_eml_search (TpdSource *source, guint64 from, gboolean *found, GError **error)
{
  guint64 off = from > OVERLAP ? from - OVERLAP : 0;
  const guint64 end = MIN (source->size, off + SEARCH_MAX);
  g_autofree char *data = g_malloc (OVERLAP + PIECE);
  gsize kept = 0;

  *found = FALSE;
  while (off < end && !*found)
    {
      gsize want = (gsize) MIN ((guint64) PIECE, end - off);

      if (!tpd_source_read_exact (source, data + kept, want, off, error))
        return FALSE;
      *found = tpd_eml_mentions (data, kept + want, kept > SIGN_MAX ? kept - SIGN_MAX : 0);
      off += want;
      want += kept;
      kept = MIN (want, (gsize) OVERLAP);
      memmove (data, data + want - kept, kept);
    }
  *found = *found || end < source->size;
  return TRUE;
}
