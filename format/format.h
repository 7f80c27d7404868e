/* SPDX-License-Identifier: Apache-2.0 */
/* What a container format provides; private to format/. */
#pragma once

#include "format/document.h"

#define TPD_HEAD_SIZE 4096

struct _TpdFormat {
  const char *name;
  /* Stage 1: may this be ours? `head` is the first `len` bytes (at most
   * TPD_HEAD_SIZE) of a file of `size` bytes. No I/O. */
  gboolean (*candidate) (const guint8 *head, gsize len, guint64 size);
  /* The same of a head that is cut off after TPD_PROBE_FIRST bytes: FALSE, and
   * candidate() would say so of all of it. NULL: candidate() does for that. */
  gboolean (*may_become) (const guint8 *head, gsize len);
  /* Stage 2: fills `probe`; leaves kind PLAIN and NOT_PROTECTED, and nothing
   * else set but what is said of plain files, when it is not ours after all.
   * `source` counts against the budget and must not be kept. */
  void (*probe) (TpdSource *source, const guint8 *head, gsize len, TpdProbe *probe);
  GBytes *(*read_license) (const TpdProbe *probe, TpdSource *source, GError **error);
  /* `budget` is not NULL, and must not be kept. */
  TpdDocument *(*open) (TpdSource *source, const TpdProbe *probe, TpdContentKey *content_key,
                        const TpdOpenOptions *options, TpdBudget *budget, GError **error);
  void (*free_layout) (gpointer layout);
};

extern const TpdFormat tpd_format_pfile;
extern const TpdFormat tpd_format_office;
extern const TpdFormat tpd_format_rpmsg;
extern const TpdFormat tpd_format_eml;
extern const TpdFormat tpd_format_msg;
extern const TpdFormat tpd_format_pdf;

/* Sets a verdict with its sentence on a probe (takes nothing). */
void tpd_probe_fail (TpdProbe *probe, TpdVerdict verdict, const char *format, ...) G_GNUC_PRINTF (3, 4);
/* The same from an error of a source read or parser. */
void tpd_probe_fail_error (TpdProbe *probe, const GError *error);
/* Adds a sentence to what it warns of. */
void tpd_probe_warn (TpdProbe *probe, const char *sentence);
/* Says of a plain mail that a protected one lies in it: `sentence`, or the usual one if that is NULL. */
void tpd_probe_tell_carried (TpdProbe *probe, const char *sentence);
