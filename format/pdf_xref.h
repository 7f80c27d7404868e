/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of a PDF file: cross-reference tables and streams with their
 * chain (ISO 32000-2, 7.5.4 to 7.5.8), object streams, and a scan for objects
 * when the chain is broken. Sections are read one by one, newest first, only
 * as far as a look-up needs them. Private to format/.
 */
#pragma once

#include "format/decoded.h"
#include "format/pdf_lex.h"

typedef enum {
  TPD_PDF_FREE,
  TPD_PDF_PLAIN,     /* at `off` */
  TPD_PDF_IN_STREAM, /* number `index` in the object stream `off` */
} TpdPdfEntryType;

typedef struct {
  guint64 off;
  guint32 num;
  guint32 index;
  guint16 section; /* 0 is the newest */
  guint8 type;
} TpdPdfEntry;

/* A part of a cross-reference table that was not read, of 20 bytes an entry. */
typedef struct {
  guint64 first, count, off;
  guint section;
} TpdPdfTable;

/* Where a trailer's keys are: a dictionary, or the one of a cross-reference stream. */
typedef struct {
  guint64 off;
  gboolean stream; /* `off` is that of an indirect object */
} TpdPdfTrailer;

typedef struct {
  TpdPdfReader *reader;
  TpdBudget *budget;                    /* charged for what is inflated, may be NULL */
  gsize max_inflate;                    /* bytes that may still be inflated */
  GArray *entries;                      /* of TpdPdfEntry; sorted by number, then section, once `sorted` */
  GArray *trailers;                     /* of TpdPdfTrailer, newest first */
  TpdPdfObject *newest;                 /* the newest trailer; NULL only when rebuilt */
  guint64 startxref;                    /* as stored */
  guint64 startxref_off, startxref_end; /* the digits of it; equal when there are none */
  guint64 encryption;                   /* rebuilt: number of an encryption dictionary, 0: none was found */
  gboolean rebuilt;                     /* the chain is broken, entries come from a scan */
  /*< private >*/
  GArray *tables;      /* of TpdPdfTable: what was skipped */
  gboolean lazy;       /* long tables are skipped */
  GHashTable *visited; /* offsets of sections, gint64 */
  GHashTable *lengths; /* object number to its integer + 2, 1: not one */
  gint64 next;         /* section to read next, -1: none */
  guint64 work;        /* bytes read for structure that may overlap */
  gboolean loading;    /* inside a section: look-ups go no further */
  gboolean sorted;
} TpdPdfFile;

/*
 * Finds the end of the file and reads the newest section. Errors:
 * TPD_ERROR_DAMAGED when there is none to be found, those of the source.
 * (transfer full)
 */
TpdPdfFile *tpd_pdf_file_open (TpdSource *source, gsize max_inflate, TpdBudget *budget, GError **error);
/*
 * The same with every section read, and with a scan of the whole file where
 * the chain is broken or does not lead to the objects. (transfer full)
 */
TpdPdfFile *tpd_pdf_file_open_whole (TpdSource *source, gsize max_inflate, TpdBudget *budget, GError **error);
void tpd_pdf_file_free (TpdPdfFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdPdfFile, tpd_pdf_file_free)

/*
 * Counts what the reader took from `start` on, of structure that may overlap. FALSE
 * with error: the file could not be read, or the same bytes are read again and again
 * since `work` was 0.
 */
gboolean tpd_pdf_file_count_work (TpdPdfFile *file, guint64 start, GError **error);

/* The newest entry of object `num`; NULL if it has none or is free. */
const TpdPdfEntry *tpd_pdf_file_find (TpdPdfFile *file, guint64 num);
/* Object `num`, out of an object stream if need be. NULL with error. (transfer full) */
TpdPdfObject *tpd_pdf_file_get (TpdPdfFile *file, guint64 num, GError **error);
/*
 * The value at `index` of `object`, through a reference if it is one: then
 * `*held` is the new owner of what is returned, and `*index` becomes 0. NULL
 * if there is nothing.
 */
const TpdPdfObject *tpd_pdf_file_follow (TpdPdfFile *file, const TpdPdfObject *object, guint *index,
                                         TpdPdfObject **held);
/* A reference's or direct integer at `index`; FALSE for anything else. */
gboolean tpd_pdf_file_integer (TpdPdfFile *file, const TpdPdfObject *object, guint index, guint64 *value);

/* Whether the newest section is a stream whose dictionary has that key; its rows are not read. */
gboolean tpd_pdf_file_stream_has (TpdSource *source, const char *key);
/* A trailer by its place. (transfer full) */
TpdPdfObject *tpd_pdf_file_read_trailer (TpdPdfFile *file, const TpdPdfTrailer *trailer, GError **error);

/*
 * The raw data of the stream `object`, which ends before `limit`: by its
 * /Length when "endstream" stands behind it, else up to that word. FALSE when
 * it is no stream or has no end.
 */
gboolean tpd_pdf_file_stream_range (TpdPdfFile *file, const TpdPdfObject *object, guint64 limit, guint64 *off,
                                    guint64 *len);
/* The data of a stream, inflated and with its predictor undone. NULL with error. (transfer full) */
GByteArray *tpd_pdf_file_stream_read (TpdPdfFile *file, const TpdPdfObject *object, GError **error);

/* --- Inflating (pdf_filter.c) ------------------------------------------ */

typedef enum {
  TPD_PDF_FILTER_NONE,
  TPD_PDF_FILTER_FLATE,
  TPD_PDF_FILTER_OTHER,
} TpdPdfFilter;

/* What the filters of the stream `object` come to, and whether there is a predictor. */
TpdPdfFilter tpd_pdf_stream_filter (const TpdPdfObject *object, gboolean *predictor);

/* Gets inflated data piece by piece. */
typedef gboolean (*TpdPdfPieceFunc) (gpointer user_data, const guint8 *data, gsize len, GError **error);

/* `len` bytes at `off` of `source` through zlib, or as they are. `*cut`: the
 * data ends before the compressed stream does, what there was has been passed
 * on. Errors: TPD_ERROR_DAMAGED, those of source and `func`. */
gboolean tpd_pdf_inflate (TpdSource *source, guint64 off, guint64 len, TpdPdfFilter filter, TpdPdfPieceFunc func,
                          gpointer user_data, gboolean *cut, GError **error);
/* Undoes the predictor that the stream's /DecodeParms name, in place. */
gboolean tpd_pdf_unpredict (const TpdPdfObject *object, GByteArray *data, GError **error);
