/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generic container ".pfile", versions 2.0, 2.1 and 3.0 (docs/formats.md,
 * "pfile"; [MS-EFSR] 2.2.2.3 describes the same header). A text for people, a
 * small header with offsets counted from the start of the file, then the
 * plain extension, the license, label metadata and the encrypted content, which
 * runs to the end of the file. All integers are little-endian.
 *
 * The header's own length says which fields it has, not the version; files
 * with longer headers exist and their surplus is skipped.
 */
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/format.h"
#include "format/mode.h"
#include "license/text.h"

#define MAGIC ".pfile"
#define MAGIC_LEN 6
#define MIN_SIZE 14 /* magic and both version words */
#define REDIRECT_OFFSET 18
#define MAX_REDIRECT (1024 * 1024)
#define BASIC_HEADER 24
#define FULL_HEADER 40
#define MAX_EXTENSION 255 /* what a file name holds */
#define MAX_METADATA (64 * 1024)
#define MAX_GAP (64 * 1024)
#define AES_BLOCK 16

/* TpdProbe.layout */
typedef struct {
  guint64 license_off;
  guint32 license_len;
  guint64 content_off;
  guint64 content_len;
  guint64 stored_size; /* or TPD_SIZE_UNKNOWN */
} Layout;

/* The header as stored. */
typedef struct {
  guint64 off; /* of its length field */
  guint32 len;
  guint32 extension_off, extension_len;
  guint32 license_off, license_len;
  guint32 content_off;
  guint64 original_size; /* 0 and all ones: not known */
  guint32 metadata_off, metadata_len;
} Header;

/* A probe in progress. */
typedef struct {
  TpdSource *source;
  TpdBytes head;
  TpdProbe *probe;
  GPtrArray *warnings;
} Scan;

/* --- Helpers ---------------------------------------------------------- */

static void
warn (Scan *scan, const char *sentence)
{
  if (scan->warnings == NULL)
    scan->warnings = g_ptr_array_new_with_free_func (g_free);
  g_ptr_array_add (scan->warnings, g_strdup (sentence));
}

/* Bytes of the file, from the head when they are in it. FALSE: the probe has failed. */
static gboolean
fetch (Scan *scan, guint64 off, void *buf, gsize len)
{
  TpdBytes view;
  g_autoptr (GError) error = NULL;

  if (len == 0)
    return TRUE;
  if (tpd_bytes_slice (&scan->head, off, len, &view))
    {
      memcpy (buf, view.data, len);
      return TRUE;
    }
  if (tpd_source_read_exact (scan->source, buf, len, off, &error))
    return TRUE;
  tpd_probe_fail_error (scan->probe, error);
  return FALSE;
}

static gboolean
inside (guint64 off, guint64 len, guint64 size)
{
  return off <= size && len <= size - off;
}

/* --- The extension ---------------------------------------------------- */

/* Neither a path nor anything that shows as something else than it is. */
static gboolean
is_safe_extension (const char *text)
{
  if (strlen (text) > MAX_EXTENSION || strstr (text, "..") != NULL || strcmp (text, ".") == 0)
    return FALSE;
  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    {
      gunichar c = g_utf8_get_char (p);

      switch (g_unichar_type (c))
        {
        case G_UNICODE_CONTROL:
        case G_UNICODE_FORMAT:
        case G_UNICODE_SURROGATE:
        case G_UNICODE_LINE_SEPARATOR:
        case G_UNICODE_PARAGRAPH_SEPARATOR:
          return FALSE;
        default:
          if (c == '/' || c == '\\')
            return FALSE;
        }
    }
  return TRUE;
}

/*
 * The extension as ".txt"; "" for none; NULL when it is not fit for a file
 * name. Genuine files store 8-bit text; [MS-EFSR] says Unicode, so UTF-16LE
 * is understood too.
 */
static char *
decode_extension (const guint8 *data, gsize len)
{
  g_autofree char *text = NULL;

  if (len >= 2 && len % 2 == 0 && data[0] == '.' && data[1] == 0)
    {
      gunichar2 units[MAX_EXTENSION];
      glong n = 0;

      while (n < (glong) (len / 2) && (data[2 * n] != 0 || data[2 * n + 1] != 0))
        {
          units[n] = (gunichar2) (data[2 * n] | data[2 * n + 1] << 8);
          n++;
        }
      if (2 * (gsize) n == len || 2 * (gsize) n == len - 2)
        text = g_utf16_to_utf8 (units, n, NULL, NULL, NULL);
    }
  else
    {
      /* One NUL at the end is a C string that was stored whole. */
      if (len > 0 && data[len - 1] == 0)
        len--;
      if (g_utf8_validate_len ((const char *) data, len, NULL))
        text = g_strndup ((const char *) data, len);
    }
  if (text == NULL || !is_safe_extension (text))
    return NULL;
  if (text[0] != '\0' && text[0] != '.')
    return strlen (text) < MAX_EXTENSION ? g_strconcat (".", text, NULL) : NULL;
  return g_steal_pointer (&text);
}

static gboolean
scan_extension (Scan *scan, const Header *header)
{
  guint8 data[2 * MAX_EXTENSION];
  char *extension = NULL;

  if (header->extension_len <= sizeof data)
    {
      if (!fetch (scan, header->extension_off, data, header->extension_len))
        return FALSE;
      extension = decode_extension (data, header->extension_len);
    }
  if (extension == NULL)
    {
      warn (scan, "The container names a file extension that is not fit for a file name; it is ignored.");
      extension = g_strdup ("");
    }
  scan->probe->extension = extension;
  return TRUE;
}

/* --- Label metadata --------------------------------------------------- */

/*
 * An XMP packet with the properties of a sensitivity label, padded with NULs;
 * some writers leave the room empty. Of use for reports only, so trouble with
 * it is a warning.
 */
static gboolean
scan_metadata (Scan *scan, const Header *header)
{
  g_autofree char *data = NULL;
  const char *start;
  gsize len = header->metadata_len;

  if (len == 0)
    return TRUE;
  if (!inside (header->metadata_off, len, header->content_off))
    {
      warn (scan, "The label metadata is said to lie outside its place in the file; it is ignored.");
      return TRUE;
    }
  if (len > MAX_METADATA)
    {
      warn (scan, "The label metadata is larger than 64 KiB; it is ignored.");
      return TRUE;
    }
  data = g_malloc (len + 1);
  if (!fetch (scan, header->metadata_off, data, len))
    return FALSE;
  data[len] = '\0';
  len = strlen (data);
  start = data;
  if (g_str_has_prefix (start, "\xef\xbb\xbf"))
    start += 3;
  while (g_ascii_isspace (*start))
    start++;
  if (*start != '<')
    return TRUE;
  if (g_utf8_validate (start, -1, NULL))
    scan->probe->metadata = g_strdup (start);
  else
    warn (scan, "The label metadata is not valid text; it is ignored.");
  return TRUE;
}

/* --- The header ------------------------------------------------------- */

static gboolean
scan_header (Scan *scan, guint32 redirect_len, Header *header)
{
  guint64 size = scan->source->size;
  guint8 raw[FULL_HEADER] = { 0 };
  TpdBytes bytes;

  header->off = REDIRECT_OFFSET + (guint64) redirect_len;
  if (!inside (header->off, BASIC_HEADER, size))
    {
      tpd_probe_fail (scan->probe, TPD_VERDICT_DAMAGED, "The file was cut off inside its pfile header.");
      return FALSE;
    }
  if (redirect_len > MAX_REDIRECT)
    {
      tpd_probe_fail (scan->probe, TPD_VERDICT_UNSUPPORTED,
                      "The text in front of the pfile header is said to be %u bytes long; up to 1 MiB is supported.",
                      redirect_len);
      return FALSE;
    }
  if (!fetch (scan, header->off, raw, (gsize) MIN (size - header->off, (guint64) sizeof raw)))
    return FALSE;
  bytes = tpd_bytes (raw, sizeof raw);
  tpd_bytes_take_u32le (&bytes, &header->len);
  tpd_bytes_take_u32le (&bytes, &header->extension_off);
  tpd_bytes_take_u32le (&bytes, &header->extension_len);
  tpd_bytes_take_u32le (&bytes, &header->license_off);
  tpd_bytes_take_u32le (&bytes, &header->license_len);
  tpd_bytes_take_u32le (&bytes, &header->content_off);
  if (header->len < BASIC_HEADER || !inside (header->off, header->len, size))
    {
      tpd_probe_fail (scan->probe, TPD_VERDICT_DAMAGED,
                      "The pfile header is said to be %u bytes long: it is damaged or the file was cut off.",
                      header->len);
      return FALSE;
    }
  if (header->len >= FULL_HEADER)
    {
      tpd_bytes_take_u64le (&bytes, &header->original_size);
      tpd_bytes_take_u32le (&bytes, &header->metadata_off);
      tpd_bytes_take_u32le (&bytes, &header->metadata_len);
    }
  return TRUE;
}

/* The content runs to the end of the file, so everything else lies before it. */
static gboolean
check_places (Scan *scan, const Header *header)
{
  guint64 size = scan->source->size;
  const char *what = NULL;

  if (header->content_off > size)
    what = "encrypted content";
  else if (header->extension_len > 0 && !inside (header->extension_off, header->extension_len, header->content_off))
    what = "file extension";
  else if (!inside (header->license_off, header->license_len, header->content_off))
    what = "license";
  if (what != NULL)
    {
      tpd_probe_fail (scan->probe, TPD_VERDICT_DAMAGED,
                      "The %s is said to lie outside its place in the file: the pfile header is damaged or the file was"
                      " cut off.",
                      what);
      return FALSE;
    }
  if (header->off + header->len > header->content_off)
    {
      tpd_probe_fail (scan->probe, TPD_VERDICT_DAMAGED,
                      "The encrypted content is said to start inside the pfile header, which is damaged.");
      return FALSE;
    }
  if (header->license_len == 0)
    {
      tpd_probe_fail (scan->probe, TPD_VERDICT_DAMAGED, "The pfile header says that the file holds no license.");
      return FALSE;
    }
  if (header->license_len > TPD_LICENSE_TEXT_MAX)
    {
      tpd_probe_fail (scan->probe, TPD_VERDICT_DAMAGED,
                      "The license is said to be %u bytes long, more than any genuine license.", header->license_len);
      return FALSE;
    }
  return TRUE;
}

/* A JSON license is found by its first byte, here already, so that no key is asked for in vain. */
static gboolean
check_license_kind (Scan *scan, const Header *header)
{
  guint8 raw[4] = { 0 };
  TpdBytes bytes = tpd_bytes (raw, MIN (header->license_len, (guint32) sizeof raw));
  guint8 first = 0;

  if (!fetch (scan, header->license_off, raw, bytes.len))
    return FALSE;
  if (bytes.len >= 3 && memcmp (raw, "\xef\xbb\xbf", 3) == 0)
    tpd_bytes_skip (&bytes, 3);
  tpd_bytes_take_u8 (&bytes, &first);
  if (first != '{')
    return TRUE;
  tpd_probe_fail (scan->probe, TPD_VERDICT_UNSUPPORTED,
                  "The file carries a JSON license, which this version cannot open.");
  return FALSE;
}

/* --- The content ------------------------------------------------------ */

static gboolean
size_is_stored (const Header *header)
{
  /* Writers that did not know the size stored 0 or -1. */
  return header->original_size != 0 && header->original_size != G_MAXUINT64;
}

/*
 * Without a size only the end of the content is checked by its padding, and a
 * content offset that is wrong by whole blocks would show wrong bytes at the
 * start. No genuine file leaves a gap in front of the content; zeros may be
 * alignment, since no block of ciphertext is zeros.
 */
static gboolean
check_start (Scan *scan, const Header *header)
{
  guint64 end = MAX (header->off + header->len, (guint64) header->license_off + header->license_len);
  g_autofree guint8 *gap = NULL;
  guint8 any = 0;
  gsize len;

  if (size_is_stored (header))
    return TRUE;
  if (header->extension_len > 0)
    end = MAX (end, (guint64) header->extension_off + header->extension_len);
  if (header->metadata_len > 0)
    end = MAX (end, (guint64) header->metadata_off + header->metadata_len);
  if (end <= header->content_off && header->content_off - end < AES_BLOCK)
    return TRUE;
  if (end <= header->content_off && header->content_off - end <= MAX_GAP)
    {
      len = (gsize) (header->content_off - end);
      gap = g_malloc (len);
      if (!fetch (scan, end, gap, len))
        return FALSE;
      for (gsize i = 0; i < len; i++)
        any |= gap[i];
      if (any == 0)
        return TRUE;
    }
  if (end <= header->content_off)
    tpd_probe_fail (scan->probe, TPD_VERDICT_DAMAGED,
                    "The pfile header leaves %" G_GUINT64_FORMAT " bytes unexplained between the parts of the file that"
                    " it names, which end at byte %" G_GUINT64_FORMAT ", and the encrypted content. No size is stored"
                    " that would confirm where the content starts, so the header is taken for damaged.",
                    header->content_off - end, end);
  else
    tpd_probe_fail (scan->probe, TPD_VERDICT_DAMAGED,
                    "The encrypted content is said to start at byte %u, inside of another part of the file: the pfile"
                    " header is damaged.",
                    header->content_off);
  return FALSE;
}

static gboolean
scan_content (Scan *scan, const Header *header)
{
  guint64 body_size = scan->source->size - header->content_off;
  guint64 stored = header->original_size;
  Layout *layout;

  if (body_size % 16 != 0)
    {
      tpd_probe_fail (scan->probe, TPD_VERDICT_DAMAGED,
                      "The encrypted content is %" G_GUINT64_FORMAT
                      " bytes long, not a multiple of 16: the file was cut off or altered.",
                      body_size);
      return FALSE;
    }
  if (!size_is_stored (header))
    {
      stored = TPD_SIZE_UNKNOWN;
      scan->probe->size_class = TPD_SIZE_NEEDS_KEY;
    }
  else if (tpd_mode_size_fits_any (stored, body_size))
    {
      scan->probe->size_class = TPD_SIZE_EXACT;
      scan->probe->plain_size = stored;
    }
  else
    {
      tpd_probe_fail (scan->probe, TPD_VERDICT_DAMAGED,
                      "The header says that the plain file has %" G_GUINT64_FORMAT
                      " bytes, which no cipher mode turns into the %" G_GUINT64_FORMAT
                      " bytes of encrypted content found: the file was cut off or altered.",
                      stored, body_size);
      return FALSE;
    }
  layout = g_new0 (Layout, 1);
  layout->license_off = header->license_off;
  layout->license_len = header->license_len;
  layout->content_off = header->content_off;
  layout->content_len = body_size;
  layout->stored_size = stored;
  scan->probe->layout = layout;
  return TRUE;
}

/* --- The format ------------------------------------------------------- */

static gboolean
pfile_candidate (const guint8 *head, gsize len, guint64 size)
{
  return len >= MIN_SIZE && memcmp (head, MAGIC, MAGIC_LEN) == 0;
}

static void
scan_file (Scan *scan)
{
  TpdProbe *probe = scan->probe;
  Header header = { 0 };
  guint32 major = 0, minor = 0, redirect_len = 0;

  tpd_bytes_skip (&scan->head, MAGIC_LEN);
  tpd_bytes_take_u32le (&scan->head, &major);
  tpd_bytes_take_u32le (&scan->head, &minor);
  /* Microsoft's reader takes such a file for none of its own. */
  if (major >= 256 || minor >= 256)
    return;

  probe->kind = TPD_KIND_PFILE;
  probe->verdict = TPD_VERDICT_OK;
  probe->size_class = TPD_SIZE_NEEDS_KEY;
  probe->version_major = major;
  probe->version_minor = minor;
  if (major < 2 || major > 3)
    {
      tpd_probe_fail (probe, TPD_VERDICT_UNSUPPORTED,
                      "The file is a pfile of version %u.%u; versions 2 and 3 are understood.", major, minor);
      return;
    }
  if (!tpd_bytes_take_u32le (&scan->head, &redirect_len))
    {
      tpd_probe_fail (probe, TPD_VERDICT_DAMAGED, "The file was cut off inside its pfile header.");
      return;
    }
  (void) (scan_header (scan, redirect_len, &header) && check_places (scan, &header) && scan_extension (scan, &header)
          && check_license_kind (scan, &header) && check_start (scan, &header) && scan_metadata (scan, &header)
          && scan_content (scan, &header));
}

static void
pfile_probe (TpdSource *source, const guint8 *head, gsize len, TpdProbe *probe)
{
  Scan scan = { source, tpd_bytes (head, len), probe, NULL };

  scan_file (&scan);
  if (scan.warnings == NULL)
    return;
  g_ptr_array_add (scan.warnings, NULL);
  probe->warnings = (char **) g_ptr_array_free (scan.warnings, FALSE);
}

static GBytes *
pfile_read_license (const TpdProbe *probe, TpdSource *source, GError **error)
{
  const Layout *layout = probe->layout;

  return tpd_source_read_bytes (source, layout->license_off, layout->license_len, error);
}

static TpdDocument *
pfile_open (TpdSource *source, const TpdProbe *probe, TpdContentKey *content_key, const TpdOpenOptions *options,
            TpdBudget *budget, GError **error)
{
  const Layout *layout = probe->layout;
  g_autoptr (TpdSource) body = NULL;
  g_autoptr (TpdSource) budgeted = NULL;
  g_auto (TpdModeAnswer) answer = { 0 };

  if (!inside (layout->content_off, layout->content_len, source->size)
      || layout->content_off + layout->content_len != source->size)
    {
      g_set_error (error, TPD_ERROR, TPD_ERROR_STALE, "The file has changed its size since it was looked at.");
      return NULL;
    }
  body = tpd_source_new_range (source, layout->content_off, layout->content_len);
  /* The decision counts against the budget; the document outlives it. */
  budgeted = tpd_source_new_budgeted (body, budget);
  if (!tpd_mode_decide (&(TpdModeQuestion){ .body = budgeted,
                                            .stored_size = layout->stored_size,
                                            .force_cbc4k = probe->version_major <= 2,
                                            .extension = probe->extension,
                                            .iv = options->iv },
                        content_key, &answer, error))
    return NULL;
  return tpd_mode_answer_to_document (&answer, TPD_KIND_PFILE, body);
}

const TpdFormat tpd_format_pfile = {
  .name = "pfile",
  .candidate = pfile_candidate,
  .probe = pfile_probe,
  .read_license = pfile_read_license,
  .open = pfile_open,
  .free_layout = g_free,
};
