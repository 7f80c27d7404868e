/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An archive with protected members, written anew with plaintext in their
 * place: a pure function of the archive, the keys and these options, for
 * copying and for comparing copies.
 */
#pragma once

#include "format/names.h"
#include "format/zip_writer.h"
#include "tools/facts.h"

/* Protected members of one archive that are written down. */
#define TPD_ZIP_COPY_MAX 20000

typedef struct {
  const TpdSession *session;
  const TpdOpenOptions *open;
  const TpdNameRules *names;
  TpdScratchPool *scratch;
  gboolean keep;    /* members that do not open are copied as they are, else left out */
  const char *path; /* of the archive, in front of "!/" */
  guint8 *block;    /* TPD_COPY_BLOCK */

  /* Told of each member that does not open; may be NULL. */
  void (*miss) (gpointer data, const char *path, const TpdFileFacts *facts);
  gpointer miss_data;
} TpdZipCopyOptions;

typedef struct {
  guint64 size;            /* of the new archive */
  guint64 decrypted, shut; /* members that were, and that do not open */
  gboolean proven;         /* each plaintext is */
  GString *members;        /* the objects of protected members, with commas between */
} TpdZipCopyResult;

void tpd_zip_copy_result_clear (TpdZipCopyResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdZipCopyResult, tpd_zip_copy_result_clear)

/* What is found in the plain file that `probe` was made of, nothing unless it is
 * an archive to look into; `each` may be NULL (tpd_container_look()). FALSE with
 * error when it cannot be read. */
gboolean tpd_zip_copy_look (TpdSource *source, const TpdProbe *probe, TpdScratchPool *scratch, TpdContainerEach each,
                            gpointer data, TpdContainerLook *look, GError **error);

/* Writes the archive `source` to `sink`. FALSE with error when it cannot be
 * read or written as a whole. */
gboolean tpd_zip_copy (TpdSource *source, const TpdZipCopyOptions *options, TpdZipSink sink, gpointer data,
                       TpdZipCopyResult *result, GError **error);

/* --- copy_zip_names.c --------------------------------------------------- */

/* What is known of a member before it is copied. */
typedef enum {
  TPD_ZIP_COPY_RAW,       /* as it is */
  TPD_ZIP_COPY_NESTED,    /* an archive with protected members itself */
  TPD_ZIP_COPY_PROTECTED, /* a protected document */
} TpdZipCopyAction;

typedef struct {
  TpdZipCopyAction action;
  TpdKind kind;    /* PROTECTED only */
  char *extension; /* likewise; may be NULL */
  char *name;      /* the new one, NULL: it keeps its own */
} TpdZipCopyPlan;

/* Fills the names of `plans`, one for each member: those of files in a
 * directory of the archive follow the rule of format/names.h. */
void tpd_zip_copy_names (const TpdContainer *container, TpdZipCopyPlan *plans, const TpdNameRules *rules);
