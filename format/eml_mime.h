/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the parts of an Internet message are (RFC 2045, 2046): a walk over its
 * lines, in constant memory and without recursion, that looks at boundaries
 * and Content- fields only. Messages inside the message are not entered.
 *
 * It is our own, because a general MIME library builds the whole tree, parses
 * every address on the way and follows nesting with recursion, which a hostile
 * message turns into a crash. Private to format/.
 */
#pragma once

#include "format/decoded.h"
#include "format/source.h"

typedef enum {
  TPD_MIME_IDENTITY, /* 7bit, 8bit, binary, none */
  TPD_MIME_BASE64,
  TPD_MIME_QUOTED, /* quoted-printable */
  TPD_MIME_OTHER,  /* not decoded here */
} TpdMimeEncoding;

#define TPD_MIME_WORD 24

typedef struct {
  guint64 content, end; /* offsets of the encoded content */
  TpdMimeEncoding encoding;
  char encoding_word[TPD_MIME_WORD]; /* OTHER: as stated, fit to be shown */
  gboolean is_rpmsg_type;            /* application/x-microsoft-rpmsg-message */
  gboolean is_rpmsg_named;           /* a name in its fields ends in .rpmsg */
  gboolean is_visible;               /* an attachment that people see as such, as far as its fields tell */
  gboolean is_file;                  /* that, or shown within the text: not a text of the mail itself */
  char *name;                        /* of the file; UTF-8, may be NULL. The message owns it */
} TpdMimePart;

typedef struct {
  guint64 headers_off, headers_len; /* the header block, without the empty line; offsets of begin and end */
  gboolean headers_whole;           /* its end was met */
  gboolean is_rpmsg_class;          /* Content-Class names a protected message */
  gboolean has_parts;               /* multipart/..., or message/... */
  gboolean is_followed;             /* by another message: a mailbox file (mbox). The walk ended there */
  gboolean too_many;                /* more than TPD_MIME_PARTS_MAX parts. The walk ended there */
  GArray *parts;                    /* of TpdMimePart: those that are not multipart */
} TpdMimeMessage;

#define TPD_MIME_PARTS_MAX 1000

/* Errors: those of the source. What is no sound message has fewer parts.
 * (transfer full) */
TpdMimeMessage *tpd_mime_scan (TpdSource *source, GError **error);
void tpd_mime_message_free (TpdMimeMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdMimeMessage, tpd_mime_message_free)

/* --- Fields (eml_fields.c) ---------------------------------------------- */

/* Whether `line` (with or without line end) is a header field: a name and a
 * colon; `*name_len` is the length of the name. */
gboolean tpd_mime_is_field (const char *line, gsize len, gsize *name_len);

/* The value of field `name` among `fields` (lines with "\n", continuations
 * folded) without comments, or NULL. (transfer full) */
char *tpd_mime_field_value (const char *fields, const char *name);

/* Whether `value` is the type `major`/`minor`..., or any of `major` if that is NULL. */
gboolean tpd_mime_is_type (const char *value, const char *major, const char *minor);

/* Parameter `wanted` (in lower case) of `field`, whole or in pieces (RFC 2231); NULL
 * if it is not there. (transfer full) */
char *tpd_mime_parameter (const char *field, const char *wanted);

typedef enum {
  TPD_MIME_NO_NAME,
  TPD_MIME_OTHER_NAME,
  TPD_MIME_RPMSG_NAME, /* ends in .rpmsg, in whatever way it is encoded */
} TpdMimeName;

/* Whether Content-Type or Content-Disposition in `field` names a file. */
TpdMimeName tpd_mime_name (const char *field);

/* The name of the file that Content-Type `type` and Content-Disposition
 * `disposition` (each may be NULL) give, as UTF-8; NULL if there is none. (transfer full) */
char *tpd_mime_file_name (const char *type, const char *disposition);

/* `value` with encoded words (RFC 2047) as UTF-8; may be NULL. (transfer full) */
char *tpd_mail_decode_words (const char *value);

/* --- Content (eml_decode.c) --------------------------------------------- */

/* Finds the part whose content is a message.rpmsg, by its magic; of several
 * one that also says so. A part that says so is tried in each encoding, and
 * `message` corrected. NULL in `*found` if there is none. */
gboolean tpd_mime_find_rpmsg (TpdSource *source, TpdMimeMessage *message, const TpdMimePart **found, GError **error);

/* The content of `part`, which is no secret (an encrypted message, or what stands in
 * clear beside one), decoded and charged to `budget`. TPD_ERROR_UNSUPPORTED for encodings that are not known.
 * (transfer full) */
TpdSource *tpd_mime_decode (TpdSource *source, const TpdMimePart *part, TpdBudget *budget, GError **error);
