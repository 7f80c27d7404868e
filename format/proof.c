/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does plaintext make sense: which structure to judge by, and magic numbers.
 * The judges themselves are in proof_zip.c and proof_cfb.c.
 */
#include "format/proof.h"

#include <string.h>

#include "format/cfb.h"
#include "format/proof_private.h"

typedef struct {
  const char *bytes;
  guint len;
  const char *extensions; /* words between blanks that require it; NULL: none does */
} Magic;

/* A magic that several extensions share has one line; an extension may stand
 * in several lines, of which one is enough. Office files with a password are
 * compound files whatever their extension. Old Office extensions require
 * nothing: text, HTML and RTF are often saved under them. */
static const Magic magics[] = {
  { "PK\003\004", 4,
    " docx docm dotx dotm xlsx xlsm xltx xltm xlsb xlam pptx pptm potx potm ppsx ppsm ppam sldx vsdx vsdm vssx vstx"
    " xps oxps zip jar odt ods odp odg epub " },
  { "PK\005\006", 4, " zip jar " },
  { "PK00PK\003\004", 8, " zip " },
  { "PK\007\010PK\003\004", 8, " zip " },
  { "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 8,
    " docx docm dotx dotm xlsx xlsm xltx xltm xlsb xlam pptx pptm potx potm ppsx ppsm ppam sldx vsdx vsdm vssx vstx"
    " xps oxps msg msi " },
  { "%PDF-", 5, " pdf " },
  { "\x89PNG\r\n\x1a\n", 8, " png " },
  { "\xff\xd8\xff", 3, " jpg jpeg jpe jfif " },
  { "GIF87a", 6, " gif " },
  { "GIF89a", 6, " gif " },
  { "BM", 2, " bmp " },
  { "II*\0", 4, " tif tiff " },
  { "MM\0*", 4, " tif tiff " },
  { "II+\0", 4, " tif tiff " },
  { "{\\rtf", 5, NULL },
  { "\x1f\x8b\x08", 3, " gz tgz " },
  { "7z\xbc\xaf\x27\x1c", 6, " 7z " },
  { "Rar!\x1a\x07", 6, " rar " },
  { "<?xml ", 6, NULL },
  { "\xef\xbb\xbf", 3, NULL },
  { "AC10", 4, " dwg " },
};

/* Bytes before the magic that readers of PDF accept. */
#define PDF_SLACK 1024

/* How many of the bytes before `end` start a segment other than the first. */
static guint64
doubtful_before (gsize segment, guint64 end)
{
  return end / segment * PROOF_DOUBTFUL + MIN (end % segment, PROOF_DOUBTFUL) - MIN (end, PROOF_DOUBTFUL);
}

guint64
proof_doubtful (gsize segment, guint64 off, guint64 len)
{
  guint64 n = doubtful_before (segment, off + len) - doubtful_before (segment, off);

  if (segment == PROOF_WHOLE_SEGMENT)
    return n;
  return n - (doubtful_before (PROOF_WHOLE_SEGMENT, off + len) - doubtful_before (PROOF_WHOLE_SEGMENT, off));
}

gboolean
proof_is_doubtful (gsize segment, guint64 off)
{
  return off % segment == 0 && (segment == PROOF_WHOLE_SEGMENT || off % PROOF_WHOLE_SEGMENT != 0);
}

gboolean
tpd_check_segments (TpdSource *plain, gsize segment, TpdCheck *result, GError **error)
{
  guint8 head[8];
  guint bits = 0;

  g_return_val_if_fail (segment >= PROOF_DOUBTFUL, FALSE);
  *result = TPD_CHECK_UNKNOWN;
  if (plain->size <= segment)
    return TRUE;
  if (!tpd_source_read_exact (plain, head, sizeof head, 0, error))
    return FALSE;
  if (memcmp (head, "PK\003\004", 4) == 0)
    return proof_check_zip (plain, segment, result, error);
  if (tpd_cfb_magic (head, sizeof head))
    return proof_check_cfb (plain, segment, result, error);
  if (!proof_judge_places (plain, segment, NULL, NULL, &bits, error))
    return FALSE;
  if (bits >= PROOF_ENOUGH)
    *result = TPD_CHECK_PROVED;
  return TRUE;
}

/* Whether `magic` is there; a PDF may have bytes before it. */
static gboolean
has_magic (const Magic *magic, const guint8 *head, gsize len)
{
  gsize last = magic->bytes[0] == '%' ? PDF_SLACK : 0;

  for (gsize start = 0; start <= last && len >= magic->len && start <= len - magic->len; start++)
    if (memcmp (head + start, magic->bytes, magic->len) == 0)
      return TRUE;
  return FALSE;
}

TpdCheck
tpd_check_magic (const guint8 *head, gsize len, const char *extension, guint *bits)
{
  g_autofree char *lower = extension != NULL ? g_ascii_strdown (extension, -1) : NULL;
  g_autofree char *word = lower != NULL && lower[0] == '.' && lower[1] != '\0' && strchr (lower, ' ') == NULL
                              ? g_strconcat (" ", lower + 1, " ", NULL)
                              : NULL;
  gboolean required = FALSE, met = FALSE;
  guint best = 0;

  for (guint i = 0; i < G_N_ELEMENTS (magics); i++)
    {
      const Magic *magic = &magics[i];
      gboolean wanted = word != NULL && magic->extensions != NULL && strstr (magic->extensions, word) != NULL;

      required = required || wanted;
      if (!has_magic (magic, head, len))
        continue;
      met = met || wanted;
      best = MAX (best, 8 * magic->len);
    }
  if (bits != NULL)
    *bits = best;
  return required && !met ? TPD_CHECK_DISPROVED : TPD_CHECK_UNKNOWN;
}
