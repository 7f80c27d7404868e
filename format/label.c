/* SPDX-License-Identifier: Apache-2.0 */
/* Where files keep their sensitivity labels: see label.h. */
#include "format/label.h"

#include <string.h>

#include "format/cfb.h"
#include "format/dataspaces.h"
#include "format/pdf_private.h"
#include "format/property_set.h"
#include "format/zip.h"

#define ZIP_MAX_BYTES (8 * 1024 * 1024)

/* --- Office packages ---------------------------------------------------- */

static TpdLabel *
read_package (TpdSource *source)
{
  /* The first wins: it is what Office itself trusts. */
  static const char *const parts[] = { "docMetadata/LabelInfo.xml", "docProps/custom.xml" };
  g_auto (TpdZip) zip = { 0 };
  g_autoptr (TpdLabel) label = NULL;

  tpd_zip_init (&zip, source, ZIP_MAX_BYTES);
  if (!tpd_zip_find_directory (&zip, NULL) || !tpd_zip_read_directory (&zip, NULL))
    return NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      g_autoptr (GBytes) part = tpd_zip_read_member (&zip, parts[i], TPD_LABEL_TEXT_MAX, NULL);

      if (part != NULL)
        tpd_label_merge (&label, tpd_label_parse (g_bytes_get_data (part, NULL), g_bytes_get_size (part)));
    }
  return g_steal_pointer (&label);
}

/* --- Compound files ----------------------------------------------------- */

/* NULL: there is none that could be read. (transfer full) */
static GBytes *
read_stream (TpdCfb *cfb, const char *path, gsize max)
{
  const TpdCfbEntry *entry = NULL;

  if (!tpd_cfb_find (cfb, NULL, path, &entry, NULL) || entry == NULL || entry->type != TPD_CFB_STREAM)
    return NULL;
  return tpd_cfb_stream_read (cfb, entry, max, NULL);
}

static TpdLabel *
read_compound (TpdSource *source)
{
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, NULL);
  g_autoptr (GBytes) text = NULL, set = NULL;
  g_autoptr (TpdLabel) label = NULL;

  if (cfb == NULL)
    return NULL;
  text = read_stream (cfb, TPD_DATASPACES_STORAGE "/TransformInfo/LabelInfo", TPD_LABEL_INFO_MAX);
  if (text != NULL)
    label = tpd_label_parse (g_bytes_get_data (text, NULL), g_bytes_get_size (text));
  set = read_stream (cfb, TPD_PROPERTY_SET_CUSTOM, TPD_PROPERTY_SET_MAX);
  if (set != NULL)
    {
      g_autoptr (GPtrArray) properties =
          tpd_property_set_custom (g_bytes_get_data (set, NULL), g_bytes_get_size (set), TPD_LABEL_PREFIX);

      tpd_label_merge (&label, tpd_label_of_properties (properties));
    }
  return g_steal_pointer (&label);
}

/* --- PDF ---------------------------------------------------------------- */

static TpdLabel *
read_pdf (TpdSource *source)
{
  g_autoptr (TpdPdfFile) file = tpd_pdf_file_open (source, TPD_PROBE_MAX_BYTES, NULL, NULL);
  g_autofree char *xmp = file != NULL ? tpd_pdf_read_metadata (file) : NULL;

  return xmp != NULL ? tpd_label_parse (xmp, strlen (xmp)) : NULL;
}

/* --- The whole ---------------------------------------------------------- */

TpdLabel *
tpd_label_read (TpdSource *source)
{
  TpdBudget budget;
  g_autoptr (TpdSource) budgeted = NULL;
  guint8 head[8];

  tpd_budget_init_probe (&budget);
  budgeted = tpd_source_new_budgeted (source, &budget);
  if (source->size < sizeof head || !tpd_source_read_exact (budgeted, head, sizeof head, 0, NULL))
    return NULL;
  if (memcmp (head, "PK\3\4", 4) == 0)
    return read_package (budgeted);
  if (tpd_cfb_magic (head, sizeof head))
    return read_compound (budgeted);
  if (memcmp (head, "%PDF-", 5) == 0)
    return read_pdf (budgeted);
  return NULL;
}

TpdLabel *
tpd_label_known (const TpdProbe *probe, const TpdLicense *license)
{
  TpdLabel *label = NULL;

  if (probe != NULL && probe->metadata != NULL)
    label = tpd_label_parse (probe->metadata, strlen (probe->metadata));
  if (license != NULL)
    tpd_label_merge (&label, tpd_label_of_license (license));
  return label;
}
