/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Office documents and XPS packages: compound files whose real content is one
 * encrypted stream ([MS-OFFCRYPTO] 2.2; docs/formats.md, "Office"). The stream
 * starts with the plain size (8 bytes, little-endian); what follows is the
 * ciphertext. Of binary Office files the content is again a whole compound
 * file, and the streams beside it are a placeholder that is ignored.
 *
 * The probe reads entries and the first bytes of streams; the chain of the
 * content is followed in full only when that is cheap, and always at open.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "format/cfb.h"
#include "format/dataspaces.h"
#include "format/drm_stream.h"
#include "format/format.h"

/* Content up to this size has its chain followed by the probe. */
#define PROBE_CHAIN_MAX (1024 * 1024)
/* How much of either end of a file whose directory is lost is searched for a
 * transform: a license may stand in front of the content or behind it. */
#define SEARCH_BYTES (4 * 1024 * 1024)
#define SEARCH_PIECE (256 * 1024)
#define SEARCH_OVERLAP 128

/* TpdProbe.layout: entries are valid for any TpdCfb of the same file. */
typedef struct {
  TpdCfbEntry content;
  TpdCfbEntry primary;
  guint32 license_off, license_len;
  guint64 plain_size;
} Layout;

static gboolean
office_candidate (const guint8 *head, gsize len, guint64 size)
{
  return tpd_cfb_magic (head, len);
}

/* Whether a file that cannot be followed shows that it was protected. Read
 * errors are left to whoever reads the file next. */
static gboolean
search_drm (TpdSource *source)
{
  g_autofree guint8 *data = g_malloc (SEARCH_PIECE);
  guint64 tail = source->size > SEARCH_BYTES ? source->size - SEARCH_BYTES : 0;

  for (guint64 off = 0; off < source->size; off += SEARCH_PIECE - SEARCH_OVERLAP)
    {
      gssize n;

      if (off >= SEARCH_BYTES)
        off = MAX (off, tail);
      n = tpd_source_pread (source, data, SEARCH_PIECE, off, NULL);
      if (n <= 0)
        return FALSE;
      if (tpd_dataspaces_contains_drm (data, (gsize) n))
        return TRUE;
    }
  return FALSE;
}

/*
 * The directory cannot be read. Other programs may mend or ignore that in a
 * plain file, so it is ours to refuse only with a sign of protection.
 */
static void
fail_unreadable (TpdSource *source, const GError *error, TpdProbe *probe)
{
  if (error->code >= TPD_ERROR_STALE)
    tpd_probe_fail_error (probe, error);
  else if (search_drm (source))
    {
      probe->kind = TPD_KIND_OOXML;
      tpd_probe_fail_error (probe, error);
    }
}

/* The stored plain size against the body. FALSE with the probe failed. */
static gboolean
probe_content (TpdCfb *cfb, const TpdCfbEntry *content, TpdProbe *probe, guint64 *plain_size)
{
  guint8 prefix[TPD_DRM_STREAM_PREFIX];
  TpdBytes bytes = tpd_bytes (prefix, sizeof prefix);
  g_autoptr (GError) error = NULL;

  *plain_size = 0;
  if (content->size == 0)
    return TRUE;
  if (content->size < TPD_DRM_STREAM_PREFIX)
    {
      tpd_probe_fail (probe, TPD_VERDICT_DAMAGED, "The protected file is damaged: its content is cut off.");
      return FALSE;
    }
  if (!tpd_cfb_stream_peek (cfb, content, prefix, sizeof prefix, &error))
    {
      tpd_probe_fail_error (probe, error);
      return FALSE;
    }
  if (content->size <= PROBE_CHAIN_MAX)
    {
      TpdSource *stream = tpd_cfb_stream_new (cfb, content, &error);
      if (stream == NULL)
        {
          tpd_probe_fail_error (probe, error);
          return FALSE;
        }
      tpd_source_unref (stream);
    }
  tpd_bytes_take_u64le (&bytes, plain_size);
  if (!tpd_drm_stream_check_size (content->size, *plain_size, &error))
    {
      tpd_probe_fail_error (probe, error);
      return FALSE;
    }
  return TRUE;
}

static void
probe_spaces (TpdCfb *cfb, TpdProbe *probe)
{
  g_auto (TpdDataSpaces) spaces = { 0 };
  g_autoptr (GError) error = NULL;
  Layout *layout;
  guint64 plain_size;

  if (!tpd_dataspaces_read (cfb, &spaces, &error))
    {
      if (g_error_matches (error, TPD_ERROR, TPD_ERROR_NOT_PROTECTED))
        return;
      probe->kind = spaces.kind;
      tpd_probe_fail_error (probe, error);
      return;
    }
  probe->kind = spaces.kind;
  probe->verdict = TPD_VERDICT_OK;
  probe->size_class = TPD_SIZE_EXACT;
  probe->metadata = g_steal_pointer (&spaces.label_info);
  if (spaces.warnings->len > 0)
    {
      g_ptr_array_add (spaces.warnings, NULL);
      probe->warnings = (char **) g_ptr_array_free (g_steal_pointer (&spaces.warnings), FALSE);
    }
  if (spaces.compressed)
    {
      tpd_probe_fail (probe, TPD_VERDICT_UNSUPPORTED,
                      "The file holds no document, only a compressed copy of it for a viewer, which is not supported.");
      return;
    }
  if (!probe_content (cfb, &spaces.content, probe, &plain_size))
    return;
  probe->plain_size = plain_size;
  layout = g_new0 (Layout, 1);
  layout->content = spaces.content;
  layout->primary = spaces.primary;
  layout->license_off = spaces.license_off;
  layout->license_len = spaces.license_len;
  layout->plain_size = plain_size;
  probe->layout = layout;
}

static void
office_probe (TpdSource *source, const guint8 *head, gsize len, TpdProbe *probe)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, &error);

  if (cfb == NULL || tpd_cfb_children (cfb, tpd_cfb_root (cfb), &error) == NULL)
    fail_unreadable (source, error, probe);
  else
    probe_spaces (cfb, probe);
}

static GBytes *
office_read_license (const TpdProbe *probe, TpdSource *source, GError **error)
{
  const Layout *layout = probe->layout;
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, error);
  g_autoptr (TpdSource) stream = NULL;

  if (cfb == NULL || (stream = tpd_cfb_stream_new (cfb, &layout->primary, error)) == NULL)
    return NULL;
  return tpd_source_read_bytes (stream, layout->license_off, layout->license_len, error);
}

static TpdDocument *
office_open (TpdSource *source, const TpdProbe *probe, TpdContentKey *content_key, const TpdOpenOptions *options,
             TpdBudget *budget, GError **error)
{
  const Layout *layout = probe->layout;
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, error);
  g_autoptr (TpdSource) stream = NULL;
  g_autoptr (TpdDocument) document = NULL;

  if (cfb == NULL || (stream = tpd_cfb_stream_new (cfb, &layout->content, error)) == NULL
      || (document = tpd_drm_stream_open (stream, probe->kind, content_key, options, budget, error)) == NULL)
    return NULL;
  if (document->plain_size == layout->plain_size)
    return g_steal_pointer (&document);
  g_set_error (error, TPD_ERROR, TPD_ERROR_STALE, "The file has changed since it was looked at.");
  return NULL;
}

const TpdFormat tpd_format_office = {
  .name = "office",
  .candidate = office_candidate,
  .probe = office_probe,
  .read_license = office_read_license,
  .open = office_open,
  .free_layout = g_free,
};
