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
  TPD_MIME_OTHER,
} TpdMimeEncoding;

typedef struct {
  guint64 content, end; /* offsets of the encoded content */
  TpdMimeEncoding encoding;
  gboolean is_rpmsg_type;  /* application/x-microsoft-rpmsg-message */
  gboolean is_rpmsg_named; /* a name in its fields ends in .rpmsg */
  gboolean is_attachment;  /* Content-Disposition says so */
} TpdMimePart;

typedef struct {
  guint64 headers_len;     /* of the header block, without the empty line */
  gboolean headers_whole;  /* its end was met */
  gboolean is_rpmsg_class; /* Content-Class names a protected message */
  gboolean is_mixed;       /* multipart/..., but not alternative */
  GArray *parts;           /* of TpdMimePart: those that are not multipart */
} TpdMimeMessage;

/* Errors: those of the source. What is no sound message has fewer parts.
 * (transfer full) */
TpdMimeMessage *tpd_mime_scan (TpdSource *source, GError **error);
void tpd_mime_message_free (TpdMimeMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdMimeMessage, tpd_mime_message_free)

/* Whether `line` (with or without line end) is a header field: a name and a
 * colon; `*name_len` is the length of the name. */
gboolean tpd_mime_is_field (const char *line, gsize len, gsize *name_len);

/* Finds the part whose content is a message.rpmsg, by its magic; of several
 * one that also says so. NULL in `*found` if there is none. */
gboolean tpd_mime_find_rpmsg (TpdSource *source, const TpdMimeMessage *message, const TpdMimePart **found,
                              GError **error);

/* The content of `part`, which is no secret (an encrypted message), decoded and
 * charged to `budget`. (transfer full) */
TpdSource *tpd_mime_decode (TpdSource *source, const TpdMimePart *part, TpdBudget *budget, GError **error);
