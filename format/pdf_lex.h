/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading PDF syntax (ISO 32000-2, 7.2 and 7.3): a buffered reader over a
 * source, and objects as flat lists of tokens with the byte range of each, so
 * that a file can be patched where it stands. Nothing here recurses, and what
 * one object may cost is bounded. Private to format/.
 */
#pragma once

#include "format/source.h"

/* An object may have no more tokens, and no deeper nesting. */
#define TPD_PDF_MAX_TOKENS (1024 * 1024)
#define TPD_PDF_MAX_DEPTH 256

/* --- Reader ------------------------------------------------------------ */

#define TPD_PDF_WINDOW (64 * 1024)
#define TPD_PDF_WINDOWS 4

/* Part of the source that is kept in memory. */
typedef struct {
  guint64 off;
  gsize len; /* 0: not used yet */
  guint64 last_used;
  guint8 *data;
} TpdPdfWindow;

/* Reads byte by byte from anywhere. One thread at a time. */
typedef struct {
  TpdSource *source;
  guint64 pos;   /* of the next byte */
  GError *error; /* set once the source could not be read; everything fails from then on */
  /*< private >*/
  TpdPdfWindow windows[TPD_PDF_WINDOWS];
  TpdPdfWindow *window; /* the last one used */
  guint64 clock;
} TpdPdfReader;

/* Takes a reference to `source`. (transfer full) */
TpdPdfReader *tpd_pdf_reader_new (TpdSource *source);
void tpd_pdf_reader_free (TpdPdfReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdPdfReader, tpd_pdf_reader_free)

/* All bytes from `pos` on that are in memory, which are more than none unless
 * it is the end or the source cannot be read: then NULL. Good until the reader
 * is used again. */
const guint8 *tpd_pdf_reader_run (TpdPdfReader *reader, gsize *len);

/* The byte at `pos`, -1 at the end or when the source cannot be read. */
static inline int
tpd_pdf_reader_peek (TpdPdfReader *reader)
{
  const TpdPdfWindow *window = reader->window;
  const guint8 *run;
  gsize len;

  if (reader->pos >= window->off && reader->pos - window->off < window->len)
    return window->data[reader->pos - window->off];
  run = tpd_pdf_reader_run (reader, &len);
  return run != NULL ? *run : -1;
}

/* The same, and moves on. */
static inline int
tpd_pdf_reader_get (TpdPdfReader *reader)
{
  int c = tpd_pdf_reader_peek (reader);

  if (c >= 0)
    reader->pos++;
  return c;
}

/* Moves on over white space and comments. */
void tpd_pdf_reader_skip_space (TpdPdfReader *reader);
/* Skips white space, then takes digits. FALSE: there are none, or too many. */
gboolean tpd_pdf_reader_take_number (TpdPdfReader *reader, guint64 *value);
/* Skips white space, then takes exactly `word`. FALSE leaves the position undefined. */
gboolean tpd_pdf_reader_take_word (TpdPdfReader *reader, const char *word);
/* Finds `text` at or after `pos` and before `limit`; moves `pos` to its start. */
gboolean tpd_pdf_reader_search (TpdPdfReader *reader, const char *text, guint64 limit);

/* An indirect object: its number, and the offset of that. */
typedef struct {
  guint64 num, off;
} TpdPdfPlace;

/* The objects that `text` stands in, as far as they were read and are still in
 * memory: the first `n_places` at most. Their number. No I/O. */
guint tpd_pdf_reader_recall (const TpdPdfReader *reader, const char *text, TpdPdfPlace *places, guint n_places);

/* Sets `error` to what the reader met, or else to TPD_ERROR_DAMAGED with the sentence. */
void tpd_pdf_reader_set_error (TpdPdfReader *reader, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

gboolean tpd_pdf_is_space (int c);
/* Part of a number, name or word. */
gboolean tpd_pdf_is_regular (int c);

/* --- Objects ----------------------------------------------------------- */

typedef enum {
  TPD_PDF_INTEGER,
  TPD_PDF_REAL,
  TPD_PDF_NAME,
  TPD_PDF_LITERAL, /* (string) */
  TPD_PDF_HEX,     /* <string> */
  TPD_PDF_DICT,    /* << */
  TPD_PDF_ARRAY,   /* [ */
  TPD_PDF_CLOSE,   /* of either */
  TPD_PDF_REF,     /* n g R */
  TPD_PDF_WORD,    /* true, null, ... */
} TpdPdfTokenType;

typedef struct {
  TpdPdfTokenType type;
  guint match;        /* DICT, ARRAY: index of their CLOSE */
  guint64 start, end; /* bytes of the source */
  gint64 value;       /* INTEGER; REF: object number */
  guint32 text;       /* NAME, WORD: offset in the object's `text` */
} TpdPdfToken;

/* One direct object, with the word behind it. */
typedef struct {
  TpdPdfReader *reader;   /* that it was read from, borrowed */
  TpdPdfReader *own;      /* the same, when the object owns it; else NULL */
  GArray *tokens;         /* of TpdPdfToken; the first is the object */
  GByteArray *text;       /* names and words, NUL terminated, escapes decoded */
  TpdPdfToken terminator; /* first token behind the object, zero when there is none */
  guint64 num, gen;       /* of an indirect object */
  guint64 start, body;    /* of an indirect object: its number, its first token */
} TpdPdfObject;

/*
 * Reads the direct object at `off`. Errors: TPD_ERROR_DAMAGED, those of the
 * source. (transfer full)
 */
TpdPdfObject *tpd_pdf_object_read (TpdPdfReader *reader, guint64 off, GError **error);
/* Reads "n g obj" and the object behind it. (transfer full) */
TpdPdfObject *tpd_pdf_object_read_indirect (TpdPdfReader *reader, guint64 off, GError **error);
void tpd_pdf_object_free (TpdPdfObject *object);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdPdfObject, tpd_pdf_object_free)

/* "n g obj" at `off`; leaves the reader behind it. `gen` may be NULL. */
gboolean tpd_pdf_read_header (TpdPdfReader *reader, guint64 off, guint64 *num, guint64 *gen);

static inline const TpdPdfToken *
tpd_pdf_token (const TpdPdfObject *object, guint index)
{
  return &g_array_index (object->tokens, TpdPdfToken, index);
}

/* Text of a NAME or WORD, "" for others. */
const char *tpd_pdf_text (const TpdPdfObject *object, const TpdPdfToken *token);
/* Index of what follows the value at `index`. */
guint tpd_pdf_skip (const TpdPdfObject *object, guint index);
/* Index of the value of `key` in the dictionary at `dict`, the last if there
 * are several; 0 if `dict` is no dictionary or has no such key. */
guint tpd_pdf_dict_get (const TpdPdfObject *object, guint dict, const char *key);
/* Whether the value of `key` is the name `name`, compared without case. */
gboolean tpd_pdf_dict_has_name (const TpdPdfObject *object, guint dict, const char *key, const char *name);
/* Whether this is a stream's dictionary, and where the data starts. */
gboolean tpd_pdf_object_stream (const TpdPdfObject *object, guint64 *start);

/* Where the object ends, "endobj" included; `pos` is the end of its data when it is a `stream`. */
guint64 tpd_pdf_object_end (const TpdPdfObject *object, gboolean stream, guint64 pos);

/* The bytes of a string; NULL when there are more than `max`. (transfer full) */
GByteArray *tpd_pdf_string_read (TpdPdfReader *reader, const TpdPdfToken *token, gsize max);
/*
 * Bytes as a string token of at most `room` bytes: of the kind `type` if that
 * fits, else the other. NULL when neither fits. (transfer full)
 */
GByteArray *tpd_pdf_string_write (const guint8 *data, gsize len, TpdPdfTokenType type, guint64 room);
