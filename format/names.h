/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain names of protected files (docs/formats.md, "Names") and the collision
 * rule, shared by the mount and by materialize. Pure functions: names depend
 * on the directory's names and on probes, never on keys, verdicts or users.
 */
#pragma once

#include "format/document.h"

/* What names depend on besides the files; immutable. */
typedef struct {
  /* Extra p-prefixed extensions (`pext=dwg,cad` or `pext=*`): without dot,
   * lower case; "*" for all; NULL terminated; may be NULL. */
  char **words;
  TpdMailForm mail;
} TpdNameRules;

/* Whether the plain name of `name` may differ from it, so that the file must
 * be probed before it can be listed. Looks at the name only. */
gboolean tpd_name_is_candidate (const char *name, const TpdNameRules *rules);

/* Whether a protected file of `kind` is what the candidate `name` tells of: a
 * file that is something else keeps its name. */
gboolean tpd_name_fits (const char *name, TpdKind kind, const TpdNameRules *rules);

/*
 * The plain name of the protected file `name`, which tpd_name_fits(); its
 * header names `extension` (".txt", "" or NULL: none). Mail has the extension
 * of its form appended where that is another (`message.rpmsg.eml`). Same as
 * `name` if it is no candidate. (transfer full)
 */
char *tpd_name_plain (const char *name, const char *extension, const TpdNameRules *rules);

/* One entry of a directory for tpd_names_resolve(). */
typedef struct {
  const char *source;    /* name in the source directory */
  const char *plain;     /* tpd_name_plain(), or NULL when it keeps its name */
  const char *extension; /* true extension, for the collision name; may be NULL */
  char *shown;           /* filled: (transfer full) */
} TpdNameEntry;

/*
 * Gives every entry its shown name. Compared case-insensitively: an entry that
 * keeps its source name keeps it; a plain name that is taken, or claimed by
 * several, makes every claimant take its full source name + true extension;
 * if that exists or exceeds 255 bytes, the source name.
 */
void tpd_names_resolve (TpdNameEntry *entries, gsize n);
