/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protected mail that lies deeper than a probe looks: see format/eml_head.h.
 * It is searched for by its signs alone, without taking the message apart.
 */
#include <string.h>

#include "base/error.h"
#include "format/eml_head.h"
#include "format/format.h"

#define PIECE (256 * 1024)
/* Longer than any sign of a protected mail, with what stands around it. */
#define OVERLAP 128
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
      *found = tpd_eml_mentions (data, kept + want);
      off += want;
      want += kept;
      kept = MIN (want, (gsize) OVERLAP);
      memmove (data, data + want - kept, kept);
    }
  *found = *found || end < source->size;
  return TRUE;
}

gboolean
tpd_eml_search_mbox (TpdSource *source, gboolean *is_mbox, gboolean *found, GError **error)
{
  g_autofree char *head = g_malloc (TPD_HEAD_SIZE);
  gsize len = (gsize) MIN ((guint64) TPD_HEAD_SIZE, source->size);
  TpdEmlLead lead;

  *is_mbox = *found = FALSE;
  if (!tpd_source_read_exact (source, head, len, 0, error))
    return FALSE;
  tpd_eml_lead (head, len, &lead);
  *is_mbox = lead.is_mbox && tpd_eml_has_fields (head, len);
  return !*is_mbox || tpd_eml_search (source, 0, found, error);
}
