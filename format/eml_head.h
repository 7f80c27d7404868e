/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The beginning of an Internet message: telling by the first bytes whether a
 * file may be one that matters, and searching its text. Private to format/.
 */
#pragma once

#include "format/source.h"

/* How the text of a message is stored; all but the first can only be told. */
typedef enum {
  TPD_EML_BYTES,
  TPD_EML_UTF16, /* each character two bytes */
  TPD_EML_CR,    /* lines end in CR alone */
  TPD_EML_EMLX,  /* of Apple Mail: its length on a line in front, a list behind */
} TpdEmlForm;

/* What stands in front of the header fields. */
typedef struct {
  gsize len;        /* a byte order mark, empty lines, a line of those below */
  gboolean is_mbox; /* "From ", as in front of each message of a mailbox file */
  gboolean is_emlx; /* a number */
} TpdEmlLead;

/* `text`: the first `len` bytes of a file, some KiB at most. */
void tpd_eml_lead (const char *text, gsize len, TpdEmlLead *lead);

/* The same of how it is stored. */
TpdEmlForm tpd_eml_form (const guint8 *head, gsize len);
/* `data`, stored in `form`, as bytes with lines that end in LF; `out` has room
 * for `len` bytes. The number of bytes. */
gsize tpd_eml_view (TpdEmlForm form, const guint8 *data, gsize len, char *out);

/* Whether `text` begins with fields like those of a mail. */
gboolean tpd_eml_has_fields (const char *text, gsize len);

/* Whether the file that begins with `text` is a mailbox file (mbox). */
gboolean tpd_eml_is_mbox (const char *text, gsize len);
/* The same where `text` may be cut off. FALSE: it is none. */
gboolean tpd_eml_may_be_mbox (const char *text, gsize len);

/* See TpdFormat. */
gboolean tpd_eml_candidate (const guint8 *head, gsize len, guint64 size);
gboolean tpd_eml_may_become (const guint8 *head, gsize len);

/* Whether a part of the message in `text` may be a protected one. FALSE: none is. */
gboolean tpd_eml_hints (const char *text, gsize len);
/* Whether `text` has a line that looks like the field of a part: its type or encoding. */
gboolean tpd_eml_is_parted (const char *text, gsize len);
/* Whether `line` is "begin 644 message.rpmsg": uuencode, which needs no field to say so. */
gboolean tpd_eml_begins_uuencode (const char *line, gsize len);
/* Whether something in `text`, from `from` on, is, or is called, a protected message:
 * its type or its name in a field of a part or where uuencode begins, or its first
 * bytes in base64. However deep it is. Of what is before `from`, TPD_EML_BEFORE bytes count for that. */
gboolean tpd_eml_mentions (const char *text, gsize len, gsize from);

/* A field longer than that, up to the sign of a protected mail, is taken for one of a part. */
#define TPD_EML_BEFORE 2048

/* So much of a message is looked at by a probe. */
#define TPD_EML_WINDOW (256 * 1024)

#define TPD_EML_MAILBOX \
  "The file is a mailbox of several mails (mbox), with protected ones in it: take it apart into a file for each mail."

/* --- For who must know (eml_search.c) -------------------------------------- */

/* Whether a protected mail lies in `source` from `from` on, as tpd_eml_mentions()
 * tells, or it is too long to know. Reads 64 MiB at most. FALSE with error only
 * when it cannot be read. */
gboolean tpd_eml_search (TpdSource *source, guint64 from, gboolean *found, GError **error);
