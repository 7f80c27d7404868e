/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling opaque files: see format/opaque.h. Magic numbers decide
 * (archive_magic.c has those of archives), but for zip and compound files, where
 * it depends on what is inside.
 */
#include "format/opaque.h"

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"
#include "format/archive_magic.h"
#include "format/cfb.h"
#include "format/eml_head.h"
#include "format/format.h"
#include "format/package.h"
#include "format/zip.h"

/* Beginning of a Word document, [MS-DOC] 2.5.2: wIdent, and fEncrypted. */
#define FIB_IDENT 0xa5ec
#define FIB_FLAGS_AT 10
#define FIB_ENCRYPTED 0x0100
/* Records of a workbook, [MS-XLS] 2.4: FilePass stands near the beginning. */
#define XLS_FILE_PASS 0x002f
#define XLS_RECORDS 4
/* CurrentUserAtom, [MS-PPT] 2.3.2: headerToken of an encrypted document. */
#define PPT_TOKEN_AT 12
#define PPT_TOKEN_ENCRYPTED 0xf3d1c4df

const char *
tpd_opaque_word (TpdOpaque opaque)
{
  static const char *const words[] = {
    [TPD_OPAQUE_NONE] = "none",
    [TPD_OPAQUE_PST] = "pst",
    [TPD_OPAQUE_OST] = "ost",
    [TPD_OPAQUE_7Z] = "7z",
    [TPD_OPAQUE_RAR] = "rar",
    [TPD_OPAQUE_ZIP] = "encrypted-zip",
    [TPD_OPAQUE_OFFICE] = "password-office",
    [TPD_OPAQUE_PDF] = "password-pdf",
    [TPD_OPAQUE_ARCHIVE] = "archive",
    [TPD_OPAQUE_MAIL] = "mail",
    [TPD_OPAQUE_MBOX] = "mbox",
  };

  g_return_val_if_fail ((guint) opaque < G_N_ELEMENTS (words), "none");
  return words[opaque];
}

typedef struct {
  const char *bytes;
  guint len;
  TpdOpaque opaque;
} Magic;

static const Magic magics[] = {
  { "7z\xbc\xaf\x27\x1c", 6, TPD_OPAQUE_7Z },
  { "Rar!\x1a\x07", 6, TPD_OPAQUE_RAR },
};

/* [MS-PST] 2.2.2.6: "!BDN", a checksum, "SM" or, of Exchange's copies, "SO". */
static gboolean
look_at_mailbox (TpdSource *source, TpdOpaque *opaque, GError **error)
{
  guint8 head[10];

  *opaque = TPD_OPAQUE_NONE;
  if (source->size < 512)
    return TRUE;
  if (!tpd_source_read_exact (source, head, sizeof head, 0, error))
    return FALSE;
  if (memcmp (head + 8, "SM", 2) == 0)
    *opaque = TPD_OPAQUE_PST;
  else if (memcmp (head + 8, "SO", 2) == 0)
    *opaque = TPD_OPAQUE_OST;
  return TRUE;
}

/* Images of compact discs have nothing in front of their first volume descriptor. */
static gboolean
look_at_zeros (TpdSource *source, TpdOpaque *opaque, GError **error)
{
  guint8 id[TPD_ARCHIVE_CD_LEN];

  if (source->size < TPD_ARCHIVE_CD_OFF + sizeof id)
    return TRUE;
  if (!tpd_source_read_exact (source, id, sizeof id, TPD_ARCHIVE_CD_OFF, error))
    return FALSE;
  if (tpd_archive_is_cd (id))
    *opaque = TPD_OPAQUE_ARCHIVE;
  return TRUE;
}

static gboolean
look_at_zip (TpdSource *source, TpdOpaque *opaque, GError **error)
{
  TpdPackageFacts facts;

  if (!tpd_package_look (source, &facts, error))
    return FALSE;
  *opaque = facts.encrypted ? TPD_OPAQUE_ZIP : facts.document ? TPD_OPAQUE_NONE : TPD_OPAQUE_ARCHIVE;
  return TRUE;
}

/* --- Office with a password --------------------------------------------- */

/* The first bytes of a stream of the root; FALSE: there is none of so many. */
static gboolean
peek (TpdCfb *cfb, const char *name, guint8 *buf, gsize len)
{
  const TpdCfbEntry *entry;

  return tpd_cfb_find (cfb, NULL, name, &entry, NULL) && entry != NULL && entry->type == TPD_CFB_STREAM
         && entry->size >= len && tpd_cfb_stream_peek (cfb, entry, buf, len, NULL);
}

static gboolean
has_stream (TpdCfb *cfb, const char *name)
{
  const TpdCfbEntry *entry;

  return tpd_cfb_find (cfb, NULL, name, &entry, NULL) && entry != NULL && entry->type == TPD_CFB_STREAM;
}

static gboolean
is_encrypted_word (TpdCfb *cfb)
{
  guint8 fib[12];
  TpdBytes bytes = tpd_bytes (fib, sizeof fib);
  guint16 ident, flags;

  return peek (cfb, "WordDocument", fib, sizeof fib) && tpd_bytes_take_u16le (&bytes, &ident) && ident == FIB_IDENT
         && tpd_bytes_seek (&bytes, FIB_FLAGS_AT) && tpd_bytes_take_u16le (&bytes, &flags)
         && (flags & FIB_ENCRYPTED) != 0;
}

static gboolean
is_encrypted_workbook (TpdCfb *cfb)
{
  guint8 records[64];
  TpdBytes bytes = tpd_bytes (records, sizeof records);
  guint16 type, len;

  if (!peek (cfb, "Workbook", records, sizeof records) && !peek (cfb, "Book", records, sizeof records))
    return FALSE;
  for (guint i = 0; i < XLS_RECORDS; i++)
    {
      if (!tpd_bytes_take_u16le (&bytes, &type) || !tpd_bytes_take_u16le (&bytes, &len))
        return FALSE;
      if (type == XLS_FILE_PASS)
        return TRUE;
      if (!tpd_bytes_skip (&bytes, len))
        return FALSE;
    }
  return FALSE;
}

static gboolean
is_encrypted_slides (TpdCfb *cfb)
{
  guint8 atom[16];
  TpdBytes bytes = tpd_bytes (atom, sizeof atom);
  guint32 token;

  return peek (cfb, "Current User", atom, sizeof atom) && tpd_bytes_seek (&bytes, PPT_TOKEN_AT)
         && tpd_bytes_take_u32le (&bytes, &token) && token == PPT_TOKEN_ENCRYPTED;
}

/* A file whose structure is broken is not for us to judge. */
static gboolean
look_at_compound (TpdSource *source, TpdOpaque *opaque, GError **error)
{
  g_autoptr (GError) problem = NULL;
  g_autoptr (TpdCfb) cfb = tpd_cfb_open (source, &problem);

  *opaque = TPD_OPAQUE_NONE;
  if (cfb == NULL && tpd_verdict_from_error (problem) == TPD_VERDICT_IO_ERROR)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (cfb == NULL)
    return TRUE;
  /* [MS-OFFCRYPTO] 2.3: of OOXML; rights management has no EncryptionInfo. */
  if ((has_stream (cfb, "EncryptedPackage") && has_stream (cfb, "EncryptionInfo")) || is_encrypted_word (cfb)
      || is_encrypted_workbook (cfb) || is_encrypted_slides (cfb))
    *opaque = TPD_OPAQUE_OFFICE;
  return TRUE;
}

/* --- Mail ---------------------------------------------------------------- */

static gboolean
look_at_mail (TpdSource *source, const TpdProbe *probe, TpdOpaque *opaque, GError **error)
{
  gboolean found = probe->carries_mail && !probe->mbox;

  if (!found && (probe->mbox || probe->mail_goes_on)
      && !tpd_eml_search (source, probe->mbox ? 0 : TPD_EML_WINDOW, &found, error))
    return FALSE;
  if (found)
    *opaque = probe->mbox ? TPD_OPAQUE_MBOX : TPD_OPAQUE_MAIL;
  return TRUE;
}

gboolean
tpd_opaque_searches (const TpdProbe *probe)
{
  return probe->carries_mail || probe->mail_goes_on || probe->mbox;
}

void
tpd_opaque_warn (TpdProbe *probe, TpdOpaque opaque)
{
  if (probe->warnings != NULL || (opaque != TPD_OPAQUE_MAIL && opaque != TPD_OPAQUE_MBOX))
    return;
  tpd_probe_warn (probe, opaque == TPD_OPAQUE_MBOX
                             ? "The file is a mailbox of several mails (mbox), with protected ones in it, or it"
                               " is too long to know: take it apart into a file for each mail."
                             : "A protected mail lies far behind the beginning of this one, or it is too long"
                               " to know: save message.rpmsg with a mail program, and open it by itself.");
}

/* --- All ----------------------------------------------------------------- */

/* What the first eight bytes alone tell; padded with zeros. */
static TpdOpaque
opaque_of_magic (const guint8 *head)
{
  for (guint i = 0; i < G_N_ELEMENTS (magics); i++)
    if (memcmp (head, magics[i].bytes, magics[i].len) == 0)
      return magics[i].opaque;
  return TPD_OPAQUE_NONE;
}

G_STATIC_ASSERT (TPD_ARCHIVE_HEAD <= TPD_PROBE_FIRST);

gboolean
tpd_opaque_is_archive (const guint8 *head, gsize len)
{
  guint8 first[sizeof ((TpdProbe *) NULL)->head] = { 0 };

  memcpy (first, head, MIN (len, sizeof first));
  return opaque_of_magic (first) != TPD_OPAQUE_NONE || tpd_zip_magic (head, len) || tpd_archive_starts (head, len);
}

static gboolean
is_mailbox (const guint8 *head)
{
  return memcmp (head, "!BDN", 4) == 0;
}

gboolean
tpd_opaque_starts (const guint8 *head, gsize len)
{
  guint8 first[sizeof ((TpdProbe *) NULL)->head] = { 0 };

  memcpy (first, head, MIN (len, sizeof first));
  return opaque_of_magic (first) != TPD_OPAQUE_NONE || is_mailbox (first)
         || tpd_eml_may_be_mbox ((const char *) head, len) || tpd_zip_magic (first, sizeof first)
         || tpd_cfb_magic (first, sizeof first) || tpd_archive_may_be_cd (head, len) || tpd_archive_starts (head, len);
}

gboolean
tpd_opaque_look (TpdSource *source, const TpdProbe *probe, TpdOpaque *opaque, GError **error)
{
  TpdBudget budget;
  g_autoptr (TpdSource) budgeted = NULL;

  *opaque = probe->other_crypt ? TPD_OPAQUE_PDF : opaque_of_magic (probe->head);
  if (*opaque != TPD_OPAQUE_NONE)
    return TRUE;
  if (probe->archive)
    {
      *opaque = TPD_OPAQUE_ARCHIVE;
      return TRUE;
    }
  if (tpd_archive_may_be_cd (probe->head, sizeof probe->head))
    return look_at_zeros (source, opaque, error);
  if (is_mailbox (probe->head))
    return look_at_mailbox (source, opaque, error);
  if (tpd_opaque_searches (probe))
    return look_at_mail (source, probe, opaque, error);
  if (probe->package)
    return TRUE;
  if (tpd_zip_magic (probe->head, sizeof probe->head))
    return look_at_zip (source, opaque, error);
  if (!tpd_cfb_magic (probe->head, sizeof probe->head))
    return TRUE;
  tpd_budget_init_probe (&budget);
  budgeted = tpd_source_new_budgeted (source, &budget);
  return look_at_compound (budgeted, opaque, error);
}
