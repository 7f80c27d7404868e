/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision paper: what a scan found, seen as the question whether the
 * service may be switched off. One pass over the index learns whose the keys
 * are, a second one sorts the files into tables.
 */
#pragma once

#include "tools/accept.h"
#include "tools/own.h"
#include "tools/scan_report.h"

/* A file may stand in several. */
typedef enum {
  TPD_TABLE_NO_KEY,     /* the own tenant's, and its key is not held */
  TPD_TABLE_DOUBLE_KEY, /* needs a second key */
  TPD_TABLE_FOREIGN,    /* another organisation's */
  TPD_TABLE_DAMAGED,    /* damaged, ambiguous or too large to decode */
  TPD_TABLE_UNSUPPORTED,
  TPD_TABLE_UNREAD,     /* could not be read, or is offline */
  TPD_TABLE_OPAQUE,     /* may hide protected files, and is not accepted */
  TPD_TABLE_ACCEPTED,   /* opaque, double key or offline, and accepted */
  TPD_TABLE_CONTAINERS, /* archives with protected members, which stand in the other tables */
  TPD_TABLE_UNPROVEN,   /* opened; the plaintext is not proven to be right */
  TPD_TABLE_RIGHTS,     /* opens, but not under policy=rights */
  TPD_TABLE_ARCHIVES,   /* not looked into, and no reason to wait */
  TPD_TABLE_NAMES,      /* the name of a protected file, and not its content */
  TPD_N_TABLES,
} TpdTable;

/* "no-key", "double-key", ... */
const char *tpd_table_word (TpdTable table);
/* A heading. */
const char *tpd_table_title (TpdTable table);

/* Why policy=rights would refuse a file that opens. */
typedef enum {
  TPD_REFUSED_SIGNATURE,  /* none, bad, or not understood */
  TPD_REFUSED_CHAIN,      /* nothing leads from it to the server key */
  TPD_REFUSED_UNREADABLE, /* the rights cannot be decoded */
  TPD_REFUSED_EXPIRED,    /* but for owner and super users */
  TPD_REFUSED_N,
} TpdRefused;

const char *tpd_refused_word (TpdRefused refused);

/* A key that documents need, or that Get-AipServiceKeys lists. */
typedef struct {
  TpdIndexKey key; /* of `scan`'s tally; fingerprint zero and bits 0 if only listed */
  TpdOwnReason own;
  gboolean held, needed;
  const TpdAipKey *listed; /* NULL: not, or no list */
  TpdCount count;
} TpdPreflightKey;

/* A line of a table, as it is shown. */
typedef struct {
  char *path; /* below the directory */
  char *why;
  guint64 size;
} TpdPreflightLine;

/* The protected members of an archive. */
typedef struct {
  char *path; /* below the directory */
  guint64 n, shut;
  TpdVerdict why; /* of the first that does not open */
} TpdPreflightContainer;

/* Lines of each table that are kept for people. */
#define TPD_PREFLIGHT_LINES 20

/* One file in one table; `path` is whole. Return FALSE to stop. */
typedef gboolean (*TpdPreflightEach) (gpointer data, TpdTable table, const char *path, const TpdIndexEntry *entry,
                                      const char *why);

typedef struct {
  const TpdScanReport *report;
  const GPtrArray *listed; /* of TpdAipKey, may be NULL */
  TpdAccept *accept;       /* may be NULL */
  char *const *own, *const *foreign;
  gboolean deep;

  /* Filled by tpd_preflight_judge(): */
  GPtrArray *keys;    /* of TpdPreflightKey, most files first */
  GHashTable *needed; /* fingerprint -> one of these */
  TpdCount tables[TPD_N_TABLES];
  GPtrArray *lines[TPD_N_TABLES]; /* of TpdPreflightLine, the first ones */
  GHashTable *containers;         /* path -> TpdPreflightContainer */
  TpdCount shut;                  /* protected members that do not open */
  TpdCount opaque[TPD_N_OPAQUE];  /* accepted or not */
  TpdCount refused[TPD_REFUSED_N];
  TpdCount opens;    /* key held, nothing known against it */
  TpdCount unopened; /* of these, never tried: deep would */
  TpdCount proven;
  guint lacking; /* own keys that are not held */
  gboolean go;   /* nothing stands against switching off */
} TpdPreflight;

/* Sorts everything; `each` (may be NULL) is told of every line. */
gboolean tpd_preflight_judge (TpdPreflight *preflight, TpdPreflightEach each, gpointer data, GError **error);
void tpd_preflight_clear (TpdPreflight *preflight);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdPreflight, tpd_preflight_clear)

/* --- Telling it --------------------------------------------------------- */

/* What to do, in order; `expect` may be NULL. */
typedef struct {
  const char *command, *what, *expect;
} TpdPreflightStep;

extern const TpdPreflightStep tpd_preflight_steps[];
extern const gsize tpd_preflight_n_steps;

/* What no walk over files sees; sentences, NULL terminated. */
extern const char *const tpd_preflight_unseen[];
/* What is to be done before and after; likewise. */
extern const char *const tpd_preflight_before[];
extern const char *const tpd_preflight_after[];

/* The answer in one sentence. (transfer full) */
char *tpd_preflight_answer (const TpdPreflight *preflight);

void tpd_preflight_print_text (const TpdPreflight *preflight);
/* One object. */
void tpd_preflight_print_summary (const TpdPreflight *preflight);
/* For tpd_preflight_judge(): one object, or line of CSV, a file. `data` is not
 * used, but for CSV a TpdPreflight. */
gboolean tpd_preflight_print_json (gpointer data, TpdTable table, const char *path, const TpdIndexEntry *entry,
                                   const char *why);
gboolean tpd_preflight_print_csv (gpointer data, TpdTable table, const char *path, const TpdIndexEntry *entry,
                                  const char *why);
/* The line of names in front. */
gboolean tpd_preflight_print_csv_head (void);
