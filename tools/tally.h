/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Totals of a scan: by kind and verdict, key, template, owner and year. Every
 * thread counts for itself; the results are added up at the end.
 */
#pragma once

#include "index/index.h"
#include "tools/json.h"

#define TPD_N_KINDS (TPD_KIND_ZIP + 1)
#define TPD_TALLY_FIRST_YEAR 1990
#define TPD_TALLY_N_YEARS 110

typedef struct {
  guint64 files, bytes;
} TpdCount;

/* An object of both. */
void tpd_count_to_json (TpdJson *json, const char *name, TpdCount count);

typedef enum {
  TPD_TALLY_TEMPLATES, /* by name; "": none */
  TPD_TALLY_OWNERS,    /* by the owner in clear; "": none */
  TPD_TALLY_N_GROUPS,
} TpdTallyGroup;

typedef struct {
  TpdIndexKey key; /* strings are its own */
  gboolean held;
  TpdCount count;
} TpdTallyKey;

typedef struct {
  char *name;
  TpdCount count;
} TpdTallyName;

/* Protected members of archives count like protected files, but are no files
 * of their own: `all` leaves them out. */
typedef struct {
  TpdCount all;
  TpdCount cells[TPD_N_KINDS][TPD_N_VERDICTS];
  TpdCount protected, problems;
  TpdCount containers, members;           /* archives with protected members, and these */
  TpdCount cutoff;                        /* licenses issued at or after the cutoff */
  TpdCount years[TPD_TALLY_N_YEARS];      /* of issue */
  TpdCount no_year;                       /* protected, and not known when */
  GHashTable *keys;                       /* fingerprint -> TpdTallyKey */
  GHashTable *groups[TPD_TALLY_N_GROUPS]; /* name -> TpdTallyName */
  TpdCount rest[TPD_TALLY_N_GROUPS];      /* names beyond what is told apart */
  guint64 failures;                       /* files that make the exit status 1 */
  guint64 failed_dirs;
  guint64 links; /* names of files that have several */
  guint64 symlinks;
  guint64 others;        /* devices, sockets, named pipes */
  guint64 excluded;      /* files that the user's globs leave out */
  guint64 foreign;       /* files on another file system than their directory's, if these are left out */
  guint64 opened, known; /* looked into, and told by the index */
} TpdTally;

void tpd_tally_init (TpdTally *tally);
void tpd_tally_clear (TpdTally *tally);

/* Counts one name, or member. `document` may be NULL; `cutoff` too. */
void tpd_tally_add (TpdTally *tally, const TpdIndexRow *row, const TpdIndexDocument *document,
                    const TpdKeyring *keyring, const char *cutoff);
void tpd_tally_merge (TpdTally *into, const TpdTally *from);

/* Names of owners and templates, and keys, held in memory. */
guint tpd_tally_n_names (const TpdTally *tally);
TpdCount tpd_tally_kind (const TpdTally *tally, TpdKind kind);
TpdCount tpd_tally_verdict (const TpdTally *tally, TpdVerdict verdict);
/* Most files first; of TpdTallyKey and TpdTallyName, which stay the tally's.
 * (transfer container) */
GPtrArray *tpd_tally_keys (const TpdTally *tally);
GPtrArray *tpd_tally_names (const TpdTally *tally, TpdTallyGroup group);
