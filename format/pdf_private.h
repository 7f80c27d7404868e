/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the protected-PDF format (docs/formats.md, "PDF"):
 *
 *   pdf.c           probing and opening
 *   pdf_license.c   the encryption dictionary and its license
 *   pdf_wrapper.c   the clear document around an encrypted one (version 2)
 *   pdf_clear.c     what is not encrypted in an encrypted document
 *   pdf_item.c      encrypted strings and streams, and their cipher mode
 *   pdf_decrypt.c   the walk over all objects, patching in place
 *   pdf_patch.c     the patches
 *   pdf_hole.c      where those go that do not fit
 */
#pragma once

#include "crypto/unwrapper.h"
#include "format/decoded.h"
#include "format/pdf_xref.h"

#define TPD_PDF_HANDLER "MicrosoftIRMServices"

/* What may be inflated of a file's structure when it is opened. */
#define TPD_PDF_OPEN_INFLATE ((gsize) 256 * 1024 * 1024)

/* --- Encryption dictionary (pdf_license.c) ------------------------------ */

typedef enum {
  TPD_PDF_UNPROTECTED,
  TPD_PDF_OTHER_HANDLER, /* a password or certificates: not ours to open */
  TPD_PDF_FOREIGN,       /* rights management of another vendor */
  TPD_PDF_RMS,
} TpdPdfProtection;

typedef struct {
  TpdPdfObject *object;             /* that holds the dictionary */
  guint dict;                       /* its index in there */
  guint64 num;                      /* its object number; 0: it stands in the trailer */
  guint64 license_num;              /* likewise of the license */
  guint version;                    /* 1 or 2 */
  gboolean streams, strings, files; /* what is encrypted */
} TpdPdfEncryption;

void tpd_pdf_encryption_clear (TpdPdfEncryption *encryption);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdPdfEncryption, tpd_pdf_encryption_clear)

/* Fills `encryption` for TPD_PDF_RMS only. FALSE when the dictionary that the
 * trailer names cannot be read. */
gboolean tpd_pdf_encryption_read (TpdPdfFile *file, TpdPdfEncryption *encryption, TpdPdfProtection *protection,
                                  GError **error);
/* The license, unpacked. (transfer full) */
GBytes *tpd_pdf_encryption_license (TpdPdfFile *file, const TpdPdfEncryption *encryption, GError **error);

/* --- Wrapper (pdf_wrapper.c) -------------------------------------------- */

/* The embedded file of a wrapper. */
typedef struct {
  guint64 off, len; /* of its raw data */
  TpdPdfFilter filter;
  gboolean has_size, has_md5;
  guint64 size;
  guint8 md5[16];
} TpdPdfPayload;

typedef enum {
  TPD_PDF_WRAPPER_NONE,
  TPD_PDF_WRAPPER_HELD,    /* it is one, and here is its payload */
  TPD_PDF_WRAPPER_BROKEN,  /* with error: it is one, and its payload cannot be found */
  TPD_PDF_WRAPPER_FOREIGN, /* of Foxit's rights management */
  TPD_PDF_WRAPPER_OTHER,   /* of a handler that is not known */
  TPD_PDF_WRAPPER_UNCLEAR, /* what could make it one cannot be read */
} TpdPdfWrapper;

/* Fills `payload` for TPD_PDF_WRAPPER_HELD. */
TpdPdfWrapper tpd_pdf_wrapper_find (TpdPdfFile *file, TpdPdfPayload *payload, GError **error);
/* The payload's true size when it inflates to at most `max` bytes, else
 * `*known` is FALSE. Damage is an error. */
gboolean tpd_pdf_payload_measure (TpdSource *source, const TpdPdfPayload *payload, gsize max, gboolean *known,
                                  guint64 *size, GError **error);
/* The payload as sealed memory. `*intact`: it has a checksum, and that holds. (transfer full) */
TpdSource *tpd_pdf_payload_extract (TpdSource *source, const TpdPdfPayload *payload, TpdBudget *budget,
                                    gboolean *intact, GError **error);
/* The XMP packet of the catalog, if it is there in clear and small. (transfer full) */
char *tpd_pdf_read_metadata (TpdPdfFile *file);

/* --- What is in clear (pdf_clear.c) -------------------------------------- */

/* Index of the value of /Contents when the dictionary at `dict` is a signature, else 0. */
guint tpd_pdf_signature_contents (const TpdPdfObject *object, guint dict);
/* Whether the stream has a crypt filter of its own (7.4.10), and the index of
 * its /Name (0: the default, which is the identity). */
gboolean tpd_pdf_crypt_filter (const TpdPdfObject *object, guint *name);
/* Whether the stream `object`, with its data at `off`, is not encrypted. */
gboolean tpd_pdf_stream_is_clear (const TpdPdfEncryption *encryption, const TpdPdfObject *object, guint64 off);
/* Whether the data looks like what the stream's filter says, as it stands. */
gboolean tpd_pdf_stream_looks_clear (const TpdPdfObject *object, guint64 off, guint64 len);

/* --- Encrypted items (pdf_item.c) --------------------------------------- */

/* The ciphertext of one string or stream: in memory, or in the source. */
typedef struct {
  const guint8 *memory;
  TpdSource *source;
  guint64 off, len;
} TpdPdfItem;

typedef enum {
  TPD_PDF_ITEM_WRONG, /* not encrypted, damaged, or another mode */
  TPD_PDF_ITEM_LOOSE, /* the length makes sense, the padding does not */
  TPD_PDF_ITEM_SOUND,
} TpdPdfItemState;

/* Decrypts what tells the length of the plaintext. FALSE: the source cannot be read. */
gboolean tpd_pdf_item_measure (const TpdPdfItem *item, TpdContentCipher *cipher, TpdPdfItemState *state,
                               guint64 *plain_len, GError **error);
/* The first `plain_len` bytes of plaintext, as measured, in pieces. */
gboolean tpd_pdf_item_decrypt (const TpdPdfItem *item, TpdContentCipher *cipher, guint64 plain_len,
                               TpdPdfPieceFunc func, gpointer user_data, GError **error);

/* Items to decide the cipher mode by. */
typedef struct {
  TpdPdfItem item;
  GByteArray *bytes; /* owns item.memory, NULL for streams */
  gboolean flate;    /* plaintext is a zlib stream */
} TpdPdfSample;

/*
 * The cipher of the document: the license's mode word stands unless every
 * sample disproves it and another mode is proved. `fallbacks` and `warnings`
 * get what there is to say. (transfer full)
 */
TpdContentCipher *tpd_pdf_decide_cipher (GArray *samples, TpdContentKey *key, TpdIvChoice iv, GPtrArray *fallbacks,
                                         GError **error);

/* --- Patches (pdf_patch.c) ----------------------------------------------- */

/* New bytes for a range of an object. */
typedef struct {
  guint64 start, end; /* of the old token */
  guint64 room;       /* where the next token starts */
  GByteArray *bytes;  /* not longer than the room, unless the object has to move */
} TpdPdfEdit;

typedef struct {
  guint64 num, gen;
  GByteArray *bytes; /* the whole object */
} TpdPdfMoved;

/* A stream whose /Length is an object of its own. */
typedef struct {
  guint64 num; /* of that object */
  guint64 value;
  guint64 start, room; /* of the reference */
} TpdPdfLength;

/* The document that is being made. */
typedef struct {
  TpdPdfFile *file;
  TpdSource *source; /* the encrypted document */
  TpdSink *sink;     /* its copy */
  GPtrArray *moved;  /* of TpdPdfMoved: objects for which their place is too small */
  gsize moved_bytes;
  guint lost_strings;     /* of older revisions, for which there was no room */
  GArray *lengths;        /* of TpdPdfLength, written at the end */
  guint64 hole, hole_end; /* where the encryption dictionary or the license was, equal when unknown */
  gboolean in_trailer;    /* the hole is part of the newest trailer */
} TpdPdfPatch;

void tpd_pdf_patch_clear (TpdPdfPatch *patch);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdPdfPatch, tpd_pdf_patch_clear)

GArray *tpd_pdf_edits_new (void); /* of TpdPdfEdit, in order. (transfer full) */
/* Takes `bytes`. */
void tpd_pdf_edits_add (GArray *edits, const TpdPdfObject *object, guint first, guint last, GByteArray *bytes);
/* Where the token behind the one at `index` starts. */
guint64 tpd_pdf_room_end (const TpdPdfObject *object, guint index);

/* Blanks [start, end) of the copy. */
gboolean tpd_pdf_patch_blank (TpdPdfPatch *patch, guint64 start, guint64 end, GError **error);
/*
 * Makes the edits of an object; `data_len` is the plaintext length of its
 * stream at `data`, already in the copy (0 and 0: no stream), `end` the end of
 * the object. An object for which its place is too small goes to the hole; one
 * of an older revision, which must not count again, loses the string instead.
 */
gboolean tpd_pdf_patch_object (TpdPdfPatch *patch, const TpdPdfObject *object, gboolean current, GArray *edits,
                               guint64 data, guint64 data_len, guint64 end, GError **error);
/* Remembers a new value for the /Length that the token at `index` refers to. */
void tpd_pdf_patch_add_length (TpdPdfPatch *patch, const TpdPdfObject *object, guint index, guint64 value);
/* Blanks every /Encrypt, writes the moved objects into the hole and what else is due at the end. */
gboolean tpd_pdf_patch_finish (TpdPdfPatch *patch, GError **error);
/* Sets the error of a file in which plaintext does not find a place. FALSE. */
gboolean tpd_pdf_patch_too_tight (GError **error);

/* --- The hole (pdf_hole.c) ------------------------------------------------ */

/* Finds the place of the encryption dictionary, or of its license if that is an
 * object of its own: it is the larger one. */
void tpd_pdf_patch_find_hole (TpdPdfPatch *patch, const TpdPdfEncryption *encryption);
/* The encryption dictionary goes in any case. */
gboolean tpd_pdf_patch_remove (TpdPdfPatch *patch, const TpdPdfEncryption *encryption, GError **error);
/* Writes the moved objects there, with a cross-reference section for them; for
 * tpd_pdf_patch_finish(), when trailers have no /Encrypt any more. */
gboolean tpd_pdf_patch_fill_hole (TpdPdfPatch *patch, GError **error);

/* --- Decrypting (pdf_decrypt.c) ------------------------------------------ */

/*
 * Decrypts `source`, an encrypted PDF file, into memory of the same size.
 * `intact`: a checksum of the encrypted file holds. (transfer full)
 */
TpdDocument *tpd_pdf_decrypt (TpdSource *source, gboolean intact, TpdContentKey *key, const TpdOpenOptions *options,
                              TpdBudget *budget, GError **error);
