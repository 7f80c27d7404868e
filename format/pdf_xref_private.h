/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of pdf_xref.h share among themselves. */
#pragma once

#include "base/bytes.h"
#include "format/pdf_xref.h"

/* An empty file object over `source`. */
TpdPdfFile *tpd_pdf_file_new (TpdSource *source, gsize max_inflate, TpdBudget *budget);
/* Reads "startxref" at the end. */
gboolean tpd_pdf_file_find_tail (TpdPdfFile *file, GError **error);
/* Reads the section that is next in the chain. */
gboolean tpd_pdf_file_read_next (TpdPdfFile *file, GError **error);
/* FALSE when there are too many entries. */
gboolean tpd_pdf_file_add_entry (TpdPdfFile *file, guint64 num, TpdPdfEntryType type, guint64 off, guint64 index,
                                 guint section);
/* Adds the entries of object `num` out of tables that were skipped, from table number `from` on. */
void tpd_pdf_file_read_skipped (TpdPdfFile *file, guint64 num, guint from);
void tpd_pdf_file_sort (TpdPdfFile *file);
/* Forgets the chain and scans the file for objects and trailers. */
gboolean tpd_pdf_file_rebuild (TpdPdfFile *file, GError **error);
