/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protected PDF (docs/formats.md, "PDF"): a PDF file encrypted with the handler
 * "MicrosoftIRMServices" as it is (version 1, or the payload of version 2 on
 * its own), the same with a clear cover appended, or embedded in a clear
 * wrapper (version 2).
 *
 * Most PDF files are plain, so the probe looks at the end of the file, the
 * newest cross-reference section and the catalog, and nothing else. Whatever
 * it cannot follow without a sign of protection is a plain file: it is not for
 * us to say that somebody's PDF is damaged.
 */
#include <string.h>

#include "base/error.h"
#include "format/format.h"
#include "format/opaque.h"
#include "format/pdf_private.h"
#include "license/scan.h"

#define HEADER "%PDF-"
#define HEADER_MAX 1024
/* Parts of a broken file that are searched for signs of protection. */
#define SEARCH_HEAD (256 * 1024)
#define SEARCH_TAIL (512 * 1024)
/* What the newest section of an encrypted file may inflate to in a probe: about two million objects. */
#define LARGE_INFLATE (16 * 1024 * 1024)
/* Deflate cannot do better (zlib technical details). */
#define MAX_RATIO 1032

typedef enum {
  FORM_BARE,    /* the encrypted document is [start, end) of the file */
  FORM_WRAPPER, /* it is embedded */
} Form;

/* TpdProbe.layout */
typedef struct {
  Form form;
  guint64 start, end;
} Layout;

/* --- Probing ----------------------------------------------------------------- */

/* Every plain file is asked for it, and few have a '%'. */
static const guint8 *
find_header (const guint8 *head, gsize len)
{
  gsize at = 0;

  len = MIN (len, (gsize) HEADER_MAX + strlen (HEADER));
  return tpd_scan_find ((const char *) head, len, &at, HEADER) ? head + at : NULL;
}

static gboolean
pdf_candidate (const guint8 *head, gsize len, guint64 size)
{
  const guint8 *header = find_header (head, len);

  /* An archive whose first member is a PDF that is stored as it is: the others would be lost. */
  return header != NULL && (header == head || !tpd_opaque_is_archive (head, len));
}

static void
set_layout (TpdProbe *probe, Form form, guint64 start, guint64 end, guint version)
{
  Layout *layout = g_new (Layout, 1);

  *layout = (Layout){ form, start, end };
  probe->layout = layout;
  probe->kind = TPD_KIND_PDF;
  probe->verdict = TPD_VERDICT_OK;
  probe->version_major = version;
  if (form != FORM_BARE)
    return;
  /* Nothing moves when it is decrypted. */
  probe->size_class = TPD_SIZE_EXACT;
  probe->plain_size = end - start;
}

static void
fail (TpdProbe *probe, TpdVerdict verdict, const char *message)
{
  probe->kind = TPD_KIND_PDF;
  tpd_probe_fail (probe, verdict, "%s", message);
}

static void
fail_foreign (TpdProbe *probe)
{
  fail (probe, TPD_VERDICT_UNSUPPORTED,
        "The PDF file is protected by the rights management of Foxit, which is not Microsoft's and cannot be opened.");
}

/* Whether this is about the file system, not about the bytes. */
static gboolean
is_io_error (const GError *error)
{
  return error != NULL
         && (tpd_error_get_errno (error) != 0 || g_error_matches (error, TPD_ERROR, TPD_ERROR_STALE)
             || g_error_matches (error, TPD_ERROR, TPD_ERROR_CANCELLED));
}

/* A file whose encryption dictionary is ours. */
static void
probe_encrypted (TpdProbe *probe, TpdPdfFile *file, const TpdPdfEncryption *encryption, guint64 start, guint64 end)
{
  if (tpd_pdf_dict_get (encryption->object, encryption->dict, "PublishingLicense") == 0)
    {
      fail (probe, TPD_VERDICT_DAMAGED, "The PDF file is encrypted, but its license is missing.");
      return;
    }
  set_layout (probe, FORM_BARE, start, end, encryption->version);
  if (probe->metadata == NULL)
    probe->metadata = tpd_pdf_read_metadata (file);
}

static void
probe_wrapper (TpdProbe *probe, TpdSource *source, TpdPdfFile *file, const TpdPdfPayload *payload)
{
  g_autoptr (GError) error = NULL;
  gboolean known;
  guint64 size;

  set_layout (probe, FORM_WRAPPER, 0, source->size, 2);
  probe->size_class = TPD_SIZE_NEEDS_DECODING;
  if (!tpd_pdf_payload_measure (source, payload, TPD_PROBE_MAX_BYTES, &known, &size, &error))
    {
      g_clear_pointer (&probe->layout, g_free);
      probe->kind = TPD_KIND_PDF;
      tpd_probe_fail_error (probe, error);
      return;
    }
  if (known && payload->has_size && payload->size != size)
    tpd_probe_warn (probe, "The PDF file states a wrong size for the protected document in it.");
  /* A stated size that is possible is checked when the file is opened. */
  if (!known && payload->has_size && payload->size > TPD_PROBE_MAX_BYTES && payload->size / MAX_RATIO <= payload->len
      && payload->len <= payload->size + payload->size / 64 + 64)
    {
      known = TRUE;
      size = payload->size;
    }
  if (known)
    {
      probe->size_class = TPD_SIZE_EXACT;
      probe->plain_size = size;
    }
  probe->metadata = tpd_pdf_read_metadata (file);
}

/* Whether an object of the file begins before `off`. */
static gboolean
has_object_before (const TpdPdfFile *file, guint64 off)
{
  for (guint i = 0; i < file->entries->len; i++)
    {
      const TpdPdfEntry *entry = &g_array_index (file->entries, TpdPdfEntry, i);

      if (entry->type == TPD_PDF_PLAIN && entry->off < off)
        return TRUE;
    }
  /* Which those that were not read are, is not known. */
  return file->tables->len > 0;
}

/* Whether an object of this file, or of one in front of all that is its own, names the
 * handler; one attached to it does not count. What is in memory is looked at. */
static gboolean
has_dictionary (TpdPdfFile *file)
{
  TpdPdfPlace places[8];
  guint n = tpd_pdf_reader_recall (file->reader, "/PublishingLicense", places, 1);

  if (n > 0)
    n = tpd_pdf_reader_recall (file->reader, "/" TPD_PDF_HANDLER, places, G_N_ELEMENTS (places));
  for (guint i = 0; i < n; i++)
    {
      const TpdPdfEntry *entry = tpd_pdf_file_find (file, places[i].num);

      if (entry != NULL && entry->type == TPD_PDF_PLAIN && entry->off == places[i].off)
        return TRUE;
      if (!has_object_before (file, places[i].off))
        return TRUE;
    }
  return FALSE;
}

/* FALSE: look for signs another way. */
static gboolean
probe_embedded (TpdProbe *probe, TpdSource *source, TpdPdfFile *file)
{
  TpdPdfPayload payload;
  g_autoptr (GError) error = NULL;

  switch (tpd_pdf_wrapper_find (file, &payload, &error))
    {
    case TPD_PDF_WRAPPER_HELD:
      probe_wrapper (probe, source, file, &payload);
      break;
    case TPD_PDF_WRAPPER_BROKEN:
      if (g_error_matches (error, TPD_ERROR, TPD_ERROR_DAMAGED))
        {
          /* All of the file may lead to what the newest section does not. */
          set_layout (probe, FORM_WRAPPER, 0, source->size, 2);
          probe->size_class = TPD_SIZE_NEEDS_DECODING;
          break;
        }
      probe->kind = TPD_KIND_PDF;
      tpd_probe_fail_error (probe, error);
      break;
    case TPD_PDF_WRAPPER_FOREIGN:
      fail_foreign (probe);
      break;
    case TPD_PDF_WRAPPER_OTHER:
      probe->other_crypt = TRUE;
      break;
    case TPD_PDF_WRAPPER_UNCLEAR:
      return FALSE;
    case TPD_PDF_WRAPPER_NONE:
      /* A trailer that was damaged, or written by who knew nothing of it. */
      if (has_dictionary (file))
        fail (probe, TPD_VERDICT_DAMAGED, "The PDF file holds a license, but nothing says any more what it protects.");
      break;
    }
  return TRUE;
}

/* An integer of the trailer; 0 if it has none. */
static guint64
trailer_number (const TpdPdfFile *file, const char *key)
{
  guint i = tpd_pdf_dict_get (file->newest, 0, key);

  return i > 0 && tpd_pdf_token (file->newest, i)->type == TPD_PDF_INTEGER
             ? (guint64) MAX (tpd_pdf_token (file->newest, i)->value, 0)
             : 0;
}

/* Version 1 with a cover: the trailer says where the cover starts, and nothing leads from it to what is before. */
static gboolean
probe_cover (TpdProbe *probe, TpdSource *source, TpdPdfFile *file, guint64 start)
{
  guint index = tpd_pdf_dict_get (file->newest, 0, "Wrapper");
  g_autoptr (TpdPdfObject) held = NULL;
  g_autoptr (TpdSource) part = NULL;
  g_autoptr (TpdPdfFile) inner = NULL;
  g_auto (TpdPdfEncryption) encryption = { 0 };
  const TpdPdfObject *wrapper;
  guint64 offset = trailer_number (file, "WrapperOffset");
  TpdPdfProtection protection = TPD_PDF_UNPROTECTED;
  const char *type;
  guint name;

  if (index == 0 || (wrapper = tpd_pdf_file_follow (file, file->newest, &index, &held)) == NULL)
    return FALSE;
  name = tpd_pdf_dict_get (wrapper, index, "Type");
  type = name > 0 ? tpd_pdf_text (wrapper, tpd_pdf_token (wrapper, name)) : "";
  if (g_ascii_strncasecmp (type, "Foxit", 5) == 0)
    {
      fail_foreign (probe);
      return TRUE;
    }
  if (g_ascii_strcasecmp (type, TPD_PDF_HANDLER) != 0)
    return FALSE;
  if (offset == 0 || offset > source->size)
    {
      fail (probe, TPD_VERDICT_DAMAGED, "The cover of the PDF file does not say where the protected document ends.");
      return TRUE;
    }
  part = tpd_source_new_range (source, 0, offset);
  inner = tpd_pdf_file_open (part, TPD_PROBE_MAX_BYTES, NULL, NULL);
  if (inner == NULL || !tpd_pdf_encryption_read (inner, &encryption, &protection, NULL))
    /* Only its license counts, which opening will look for. */
    set_layout (probe, FORM_BARE, start, start + offset, 1);
  else if (protection == TPD_PDF_RMS)
    probe_encrypted (probe, inner, &encryption, start, start + offset);
  else if (protection == TPD_PDF_FOREIGN)
    fail_foreign (probe);
  else
    fail (probe, TPD_VERDICT_DAMAGED, "The PDF file is the cover of a protected document, but that is not protected.");
  return TRUE;
}

/* `start`: where `source` starts in the file. FALSE: look for signs another way. */
static gboolean
probe_structure (TpdProbe *probe, TpdSource *source, TpdPdfFile *file, guint64 start)
{
  g_auto (TpdPdfEncryption) encryption = { 0 };
  TpdPdfProtection protection;

  if (!tpd_pdf_encryption_read (file, &encryption, &protection, NULL))
    return FALSE;
  switch (protection)
    {
    case TPD_PDF_RMS:
      probe_encrypted (probe, file, &encryption, start, start + source->size);
      return TRUE;
    case TPD_PDF_FOREIGN:
      fail_foreign (probe);
      return TRUE;
    case TPD_PDF_OTHER_HANDLER:
      probe->other_crypt = TRUE;
      return TRUE;
    case TPD_PDF_UNPROTECTED:
      break;
    }
  return probe_cover (probe, source, file, start) || probe_embedded (probe, source, file);
}

/* --- Broken files -------------------------------------------------------------- */

/* Finds `text` where broken files are searched; the reader then stands at it. */
static gboolean
search_ends (TpdPdfReader *reader, const char *text)
{
  guint64 size = reader->source->size;

  reader->pos = 0;
  if (tpd_pdf_reader_search (reader, text, SEARCH_HEAD))
    return TRUE;
  reader->pos = MAX (size > SEARCH_TAIL ? size - SEARCH_TAIL : 0, MIN (size, (guint64) SEARCH_HEAD - 64));
  return tpd_pdf_reader_search (reader, text, size);
}

/*
 * The cross-reference leads nowhere. Unless the words of the protection are in
 * the file, that is not our business.
 */
static void
probe_broken (TpdProbe *probe, TpdSource *source)
{
  g_autoptr (TpdPdfReader) reader = tpd_pdf_reader_new (source);
  g_autoptr (TpdPdfObject) license = NULL;

  if (!search_ends (reader, "/" TPD_PDF_HANDLER))
    return;
  /* A payload that is not compressed shows its license in the wrapper. */
  if (search_ends (reader, "/EncryptedPayload"))
    {
      set_layout (probe, FORM_WRAPPER, 0, source->size, 2);
      probe->size_class = TPD_SIZE_NEEDS_DECODING;
    }
  else if (search_ends (reader, "/PublishingLicense"))
    {
      license = tpd_pdf_object_read (reader, reader->pos + strlen ("/PublishingLicense"), NULL);
      if (license == NULL)
        fail (probe, TPD_VERDICT_DAMAGED, "The protected PDF file was cut off inside its license.");
      else
        set_layout (probe, FORM_BARE, 0, source->size, 1);
    }
}

/* Encrypted files may have a section larger than that of most. */
static TpdPdfFile *
open_part (TpdSource *source, GError **error)
{
  g_autoptr (GError) own = NULL;
  TpdPdfFile *file = tpd_pdf_file_open (source, TPD_PROBE_MAX_BYTES, NULL, &own);

  if (file == NULL && g_error_matches (own, TPD_ERROR, TPD_ERROR_TOO_LARGE)
      && tpd_pdf_file_stream_has (source, "Encrypt"))
    {
      g_clear_error (&own);
      file = tpd_pdf_file_open (source, LARGE_INFLATE, NULL, &own);
    }
  if (file == NULL)
    g_propagate_error (error, g_steal_pointer (&own));
  return file;
}

/* The trailer names an encryption dictionary that cannot be read. */
static void
probe_lost_dictionary (TpdProbe *probe, TpdSource *source)
{
  g_autoptr (TpdPdfReader) reader = tpd_pdf_reader_new (source);

  if (search_ends (reader, "/PublishingLicense") || search_ends (reader, "<XrML"))
    fail (probe, TPD_VERDICT_DAMAGED, "The PDF file is encrypted under a license, but what tells how is damaged.");
  else
    probe->other_crypt = TRUE;
}

static void
pdf_probe (TpdSource *source, const guint8 *head, gsize len, TpdProbe *probe)
{
  const guint8 *header = find_header (head, len);
  guint64 start = (guint64) (header - head);
  g_autoptr (TpdSource) part = NULL;
  g_autoptr (TpdPdfFile) file = NULL;
  g_autoptr (GError) error = NULL;

  if (header == NULL)
    return;
  file = open_part (source, &error);
  if (file != NULL)
    start = 0;
  else if (start > 0 && !is_io_error (error))
    {
      /* Behind something that is no PDF, offsets may count from the header. */
      g_clear_error (&error);
      part = tpd_source_new_range (source, start, source->size - start);
      file = open_part (part, &error);
    }
  if (is_io_error (error))
    {
      tpd_probe_fail_error (probe, error);
      return;
    }
  if (file == NULL || !probe_structure (probe, part != NULL ? part : source, file, start))
    probe_broken (probe, source);
  if (file != NULL && probe->kind == TPD_KIND_PLAIN && !probe->other_crypt
      && tpd_pdf_dict_get (file->newest, 0, "Encrypt") > 0)
    probe_lost_dictionary (probe, source);
  if (probe->layout != NULL && ((const Layout *) probe->layout)->start > 0)
    tpd_probe_warn (probe, "What stands in front of the header of the PDF file is left out.");
  if (file != NULL && is_io_error (file->reader->error) && probe->kind == TPD_KIND_PLAIN)
    tpd_probe_fail_error (probe, file->reader->error);
}

/* --- Opening --------------------------------------------------------------------- */

/* The encrypted document as a source of its own. (transfer full) */
static TpdSource *
get_document (const Layout *layout, TpdSource *source, TpdBudget *budget, gboolean *intact, char **warning,
              GError **error)
{
  g_autoptr (TpdPdfFile) file = NULL;
  g_autoptr (TpdSource) document = NULL;
  TpdPdfPayload payload;
  g_autoptr (GError) own = NULL;

  *intact = FALSE;
  if (layout->end > source->size)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_STALE, "The file became shorter while it was read.");
      return NULL;
    }
  if (layout->form == FORM_BARE)
    return tpd_source_new_range (source, layout->start, layout->end - layout->start);
  file = tpd_pdf_file_open_whole (source, TPD_PDF_OPEN_INFLATE, budget, error);
  if (file == NULL)
    return NULL;
  if (tpd_pdf_wrapper_find (file, &payload, &own) != TPD_PDF_WRAPPER_HELD)
    {
      if (own != NULL)
        g_propagate_error (error, g_steal_pointer (&own));
      else
        tpd_pdf_reader_set_error (file->reader, error, "The protected document in the PDF file is missing.");
      return NULL;
    }
  document = tpd_pdf_payload_extract (source, &payload, budget, intact, error);
  if (document != NULL && payload.has_md5 && !*intact && warning != NULL)
    *warning = g_strdup ("The protected document is not the one that the wrapper has the checksum of: it was altered.");
  return g_steal_pointer (&document);
}

static GBytes *
pdf_read_license (const TpdProbe *probe, TpdSource *source, GError **error)
{
  TpdBudget budget;
  g_autoptr (TpdSource) document = NULL;
  g_autoptr (TpdPdfFile) file = NULL;
  g_auto (TpdPdfEncryption) encryption = { 0 };
  TpdPdfProtection protection;
  g_autoptr (GError) own = NULL;
  gboolean intact;

  tpd_budget_init_decode (&budget, source->size);
  document = get_document (probe->layout, source, &budget, &intact, NULL, error);
  if (document == NULL)
    return NULL;
  file = tpd_pdf_file_open (document, TPD_PDF_OPEN_INFLATE, &budget, &own);
  if (file == NULL || !tpd_pdf_encryption_read (file, &encryption, &protection, &own) || protection != TPD_PDF_RMS)
    {
      if (is_io_error (own))
        {
          g_propagate_error (error, g_steal_pointer (&own));
          return NULL;
        }
      /* The newest section does not lead to the license: all there is may. */
      tpd_pdf_encryption_clear (&encryption);
      g_clear_pointer (&file, tpd_pdf_file_free);
      file = tpd_pdf_file_open_whole (document, TPD_PDF_OPEN_INFLATE, &budget, error);
      if (file == NULL || !tpd_pdf_encryption_read (file, &encryption, &protection, error))
        return NULL;
    }
  if (protection == TPD_PDF_RMS)
    return tpd_pdf_encryption_license (file, &encryption, error);
  g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED, "The protected PDF document is damaged: it names no license.");
  return NULL;
}

static void
prepend_warning (TpdDocument *document, const char *sentence)
{
  g_auto (GStrv) old = g_steal_pointer (&document->warnings);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  g_strv_builder_add (builder, sentence);
  if (old != NULL)
    g_strv_builder_addv (builder, (const char **) old);
  document->warnings = g_strv_builder_end (builder);
}

static TpdDocument *
pdf_open (TpdSource *source, const TpdProbe *probe, TpdContentKey *content_key, const TpdOpenOptions *options,
          TpdBudget *budget, GError **error)
{
  g_autoptr (TpdSource) encrypted = NULL;
  g_autoptr (TpdDocument) document = NULL;
  g_autofree char *warning = NULL;
  gboolean intact;

  encrypted = get_document (probe->layout, source, budget, &intact, &warning, error);
  if (encrypted == NULL)
    return NULL;
  /* The kernel was told this size: anything else cannot be served. */
  if (probe->size_class == TPD_SIZE_EXACT && encrypted->size != probe->plain_size)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_DAMAGED,
                   "The PDF file states %" G_GUINT64_FORMAT
                   " bytes for the protected document in it, which has %" G_GUINT64_FORMAT ".",
                   probe->plain_size, encrypted->size);
      return NULL;
    }
  document = tpd_pdf_decrypt (encrypted, intact, content_key, options, budget, error);
  if (document != NULL && warning != NULL)
    prepend_warning (document, warning);
  return g_steal_pointer (&document);
}

const TpdFormat tpd_format_pdf = {
  .name = "pdf",
  .candidate = pdf_candidate,
  .probe = pdf_probe,
  .read_license = pdf_read_license,
  .open = pdf_open,
  .free_layout = g_free,
};
