/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain files that may hide protected ones, or that nobody can look into:
 * mailboxes, archives, files with a password. A probe calls them plain; who
 * wants to know what a share needs must know of them too.
 */
#pragma once

#include "format/document.h"

typedef enum {
  TPD_OPAQUE_NONE,
  TPD_OPAQUE_PST,
  TPD_OPAQUE_OST,
  TPD_OPAQUE_7Z,
  TPD_OPAQUE_RAR,
  TPD_OPAQUE_ZIP,    /* with a password, on at least one member */
  TPD_OPAQUE_OFFICE, /* likewise */
  TPD_OPAQUE_PDF,    /* encrypted with passwords, of which the one for reading may be empty */
  /* Can be unpacked by anybody, but was not looked into: zip, tar and others,
   * compressed files, disk images (archive_magic.h). */
  TPD_OPAQUE_ARCHIVE,
  TPD_OPAQUE_MAIL, /* a plain mail with a protected one in it, or too long to know */
  TPD_OPAQUE_MBOX, /* a mailbox file, likewise */
} TpdOpaque;

#define TPD_N_OPAQUE (TPD_OPAQUE_MBOX + 1)

/* "none", "pst", "ost", "7z", "rar", "encrypted-zip", "password-office",
 * "password-pdf", "archive", "mail", "mbox". */
const char *tpd_opaque_word (TpdOpaque opaque);

/*
 * What the plain file that `probe` was made of may hide. At most 64 reads and
 * some MiB of a zip's directory, or 64 MiB of a mail that is longer than a probe
 * looks, or of a mailbox file; what it cannot follow is judged by its first bytes. FALSE with error only when the
 * source cannot be read.
 */
gboolean tpd_opaque_look (TpdSource *source, const TpdProbe *probe, TpdOpaque *opaque, GError **error);

/* Whether tpd_opaque_look() would search the plain file for protected mail. */
gboolean tpd_opaque_searches (const TpdProbe *probe);
/* Adds the warning that a file of that kind deserves (mail, mbox) to a probe that
 * has none. */
void tpd_opaque_warn (TpdProbe *probe, TpdOpaque opaque);

/*
 * For who has the first `len` bytes of a file already, which
 * tpd_probe_starts_plain() calls plain. FALSE: tpd_opaque_look() would say that it
 * hides nothing. TRUE: it has to look.
 */
gboolean tpd_opaque_starts (const guint8 *head, gsize len);

/* Whether a file that starts with `head` is an archive of any kind, whatever its
 * members look like. No I/O. */
gboolean tpd_opaque_is_archive (const guint8 *head, gsize len);
