/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decoded protected mail, whatever its outer form ([MS-OXORMMS] 2.2), and
 * the two forms it can be written in. Private to format/.
 *
 *   carrier (.eml, .msg, bare rpmsg) -> bytes of message.rpmsg
 *   tpd_rpmsg_decode()               -> TpdMailContent, attachments opened
 *   tpd_mail_write_eml() / _msg()    -> the plain mail, in a sink
 *
 * Whatever is written is a pure function of what was decoded: no date of
 * today, nothing random, no locale, no time zone.
 */
#pragma once

#include "format/cfb.h"
#include "format/decoded.h"
#include "format/document.h"

#define TPD_MAIL_MAX_ATTACHMENTS 10000
/* A body in any form; larger is TPD_ERROR_TOO_LARGE. */
#define TPD_MAIL_MAX_BODY (64 * 1024 * 1024)
/* A header block; what lies behind is no mail. */
#define TPD_MAIL_MAX_HEADERS (1024 * 1024)
/* A sanitised attachment name, in bytes of UTF-8. */
#define TPD_MAIL_NAME_MAX 200
/* Protected mails and files inside each other. */
#define TPD_MAIL_MAX_DEPTH 4

/* OutlookBodyStreamInfo, [MS-OXORMMS] 2.2.4.4.1. */
typedef enum {
  TPD_BODY_PLAIN = 1,
  TPD_BODY_HTML = 2,
  TPD_BODY_RTF = 3,
} TpdBodyFormat;

typedef enum {
  TPD_ATTACH_FILE,    /* by value */
  TPD_ATTACH_MESSAGE, /* an Outlook item */
  TPD_ATTACH_OLE,     /* an OLE object */
} TpdAttachMethod;

typedef struct {
  TpdAttachMethod method;

  /* Fit for a file name, with extension; unique in the mail without regard to
   * letter case, at most TPD_MAIL_NAME_MAX bytes. Never NULL. */
  char *name;
  /* As stored, as valid UTF-8 without NUL, bounded; NULL if empty. */
  char *long_name, *short_name, *display_name, *extension;
  char *content_id;          /* without <> */
  char *content_location;    /* a URL, never followed */
  gboolean hidden;           /* inline or otherwise not listed */
  guint32 flags;             /* AttachFlags */
  guint64 created, modified; /* FILETIME, 0 unknown */

  /* Bodies in RTF only: where the attachment stands. */
  gboolean has_position;
  guint32 position, aspect, size_x, size_y;

  /* What a writer writes: FILE: the bytes; MESSAGE: a whole .msg; OLE: a whole
   * compound file, its root the object. Already decrypted when it was
   * protected and could be opened. Never NULL. */
  TpdSource *source;

  /* NOT_PROTECTED: `source` and `name` are as in the mail. OK: they are the
   * decrypted ones. Else the verdict for which the protection is still there. */
  TpdVerdict nested;
} TpdMailAttachment;

typedef struct {
  TpdBodyFormat body_format;
  guint code_page; /* Windows code page as stored */
  /* Each NULL if the mail has none. */
  GBytes *body;           /* BodyPT-HTML as stored: text, HTML, or the HTML rendering of RTF */
  GBytes *as_html;        /* BodyPTAsHTML as stored; PLAIN only */
  GBytes *rtf;            /* BodyRTF, decompressed; RTF only */
  GPtrArray *attachments; /* of TpdMailAttachment, in stored order */

  /* For the document that is made of it: see tpd_mail_content_to_document(). */
  const char *cipher;
  TpdProof proof;
  GPtrArray *fallbacks, *warnings; /* of char * */
  gboolean other_keys;
} TpdMailContent;

void tpd_mail_content_free (TpdMailContent *content);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdMailContent, tpd_mail_content_free)
/* Appends an attachment to be filled; names it with tpd_mail_name_attachments(). */
TpdMailAttachment *tpd_mail_content_add (TpdMailContent *content, TpdAttachMethod method);

/* Seals `sink`, which holds the written mail, and gives the document cipher,
 * proof, fallbacks and warnings of `content`. Takes `sink`, also on error.
 * (transfer full) */
TpdDocument *tpd_mail_content_to_document (TpdMailContent *content, TpdKind kind, TpdSink *sink, GError **error);

/* --- Text (mail_text.c) ----------------------------------------------- */

/* The MIME name of a Windows code page ("utf-8", "windows-1252"), or NULL if
 * it is not known. Static string. */
const char *tpd_mail_charset (guint code_page);

/*
 * `data` in `code_page` as valid UTF-8, NUL terminated, without NUL inside and
 * without a byte order mark; what cannot be converted becomes U+FFFD. An
 * unknown code page is read as UTF-8 if it is that, else as windows-1252.
 * Never NULL. (transfer full)
 */
char *tpd_mail_decode (const guint8 *data, gsize len, guint code_page);
/* The same for text that may be UTF-16LE in spite of its code page: bodies of
 * format PLAIN. */
char *tpd_mail_decode_plain (const guint8 *data, gsize len, guint code_page);

/* The text of a body of format PLAIN; NULL for other formats and if there is
 * none. (transfer full) */
char *tpd_mail_body_text (const TpdMailContent *content);
/* The HTML of a body: of HTML the body itself, of PLAIN and RTF the rendering
 * that was stored; NULL if there is none. As UTF-8: a charset that the HTML
 * names itself is no longer true. (transfer full) */
char *tpd_mail_body_html (const TpdMailContent *content);

/*
 * A file name made of `stored` (any text, may be NULL): no directory part, no
 * control or bidi characters, no trailing dots or blanks, no "..", at most
 * TPD_MAIL_NAME_MAX bytes with the extension kept, never empty (then
 * `fallback`). (transfer full)
 */
char *tpd_mail_safe_name (const char *stored, const char *fallback);
/* Gives every attachment its unique name. */
void tpd_mail_name_attachments (TpdMailContent *content);

/* --- message.rpmsg (rpmsg.c) ------------------------------------------ */

#define TPD_RPMSG_MAGIC_SIZE 8
gboolean tpd_rpmsg_magic (const guint8 *head, gsize len);

/* Whether `rpmsg` starts as it must, for probes: magic and the first block.
 * At most one read of 64 KiB. TPD_ERROR_DAMAGED and those of the source. */
gboolean tpd_rpmsg_check (TpdSource *rpmsg, GError **error);

/* The compound file inside. Errors: TPD_ERROR_DAMAGED, TPD_ERROR_TOO_LARGE
 * and those of the source. (transfer full) */
TpdSource *tpd_rpmsg_inflate (TpdSource *rpmsg, TpdBudget *budget, GError **error);

/* The license as stored. `budget` may be NULL: one for decoding `rpmsg`.
 * (transfer full) */
GBytes *tpd_rpmsg_read_license (TpdSource *rpmsg, TpdBudget *budget, GError **error);

/*
 * Decrypts and takes apart the mail, and opens what is protected in it:
 * attachments under the same license with `key`, others through `options`. An
 * attachment that cannot be opened stays as it is, with a warning. `budget`
 * may be NULL. Errors: TPD_ERROR_DAMAGED, TPD_ERROR_AMBIGUOUS,
 * TPD_ERROR_TOO_LARGE, TPD_ERROR_UNSUPPORTED, TPD_ERROR_CANCELLED and those of
 * the source. (transfer full)
 */
TpdMailContent *tpd_rpmsg_decode (TpdSource *rpmsg, TpdContentKey *key, const TpdOpenOptions *options,
                                  TpdBudget *budget, GError **error);

/* --- Headers (eml_headers.c) ------------------------------------------ */

typedef struct {
  char *name;    /* UTF-8, may be NULL */
  char *address; /* UTF-8, never NULL */
} TpdMailAddress;

/* What the header block of an Internet message says, decoded to UTF-8. */
typedef struct {
  GBytes *block;              /* as stored */
  char *subject, *message_id; /* may be NULL; the id without <> */
  char *in_reply_to, *references;
  TpdMailAddress *from, *sender; /* may be NULL */
  GPtrArray *to, *cc, *bcc;      /* of TpdMailAddress; groups are flattened */
  guint64 date;                  /* FILETIME, 0 if there is none that can be read */
} TpdMailHeaders;

/* `block`: fields with any line ends, with or without the empty line. Bounded;
 * never fails: what makes no sense is left out. (transfer full) */
TpdMailHeaders *tpd_mail_headers_parse (GBytes *block);
void tpd_mail_headers_free (TpdMailHeaders *headers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdMailHeaders, tpd_mail_headers_free)

/* --- Writers ---------------------------------------------------------- */

/*
 * The mail as an Internet message (mail_eml.c). `headers`: the header block of
 * the original, any line ends, or NULL; kept as it is but for what describes
 * the protected body.
 */
gboolean tpd_mail_write_eml (const TpdMailContent *content, GBytes *headers, TpdSink *sink, GError **error);

/*
 * The mail as an Outlook item ([MS-OXMSG]; mail_msg.c). With `original`, a
 * .msg: everything of it is kept but body, attachments, content class and the
 * rpmsg. Without: made from `headers`, which may be NULL too.
 */
gboolean tpd_mail_write_msg (const TpdMailContent *content, TpdSource *original, const TpdMailHeaders *headers,
                             TpdSink *sink, GError **error);

/* --- Outlook items and compound files (msg.c, cfb_writer.c, rtf.c) ------ */

/* The header block of a .msg as an Internet message: the transport headers it
 * keeps, or what its properties give (Subject, From, To, Cc, Date,
 * Message-ID), encoded as RFC 2047 asks, CRLF line ends, no empty line. At
 * most TPD_MAIL_MAX_HEADERS. (transfer full) */
GBytes *tpd_msg_headers (TpdSource *msg, GError **error);

/* The item in `storage` (MAPIMessage of an attachment) as a whole .msg.
 * Charged to `budget`. (transfer full) */
TpdSource *tpd_msg_from_storage (TpdCfb *cfb, const TpdCfbEntry *storage, TpdBudget *budget, GError **error);

/* `storage` with all that is in it, and its CLSID, as a compound file of its
 * own. Deterministic. Charged to `budget`. (transfer full) */
TpdSource *tpd_cfb_from_storage (TpdCfb *cfb, const TpdCfbEntry *storage, TpdBudget *budget, GError **error);

/*
 * Compressed RTF ([MS-OXRTFCP]; LZFu and MELA) as RTF, at most `max` bytes
 * (TPD_ERROR_TOO_LARGE). Bytes that are RTF already come back as they are.
 * (transfer full)
 */
GBytes *tpd_rtf_decompress (const guint8 *data, gsize len, gsize max, GError **error);
