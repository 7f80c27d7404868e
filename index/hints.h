/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index as the mount sees it: a file that others write, and that may be
 * old, missing or wrong. It is only read, nothing is made, renamed or repaired,
 * and once it is open no caller waits for a writer. What it says are hints: whoever serves
 * content looks for himself.
 *
 *   TpdIndexHints   an index, open for reading; any number of threads
 *   TpdIndexPage    the hints of one directory; immutable
 */
#pragma once

#include "index/index.h"

typedef struct {
  guint64 ino, size; /* the validator, as in TpdIndexRow */
  gint64 mtime_ns, ctime_ns;
  guint64 plain_size;    /* if `exact` */
  const char *extension; /* TpdProbe.extension; its page's */
  guint8 kind, verdict, size_class;
  guint8 opened, checked, exact; /* as in TpdIndexRow */
  guint8 held;                   /* the key that it is sealed to is held */
  guint8 other_keys;             /* it takes others, too, and was asked with others than are held */
} TpdIndexHint;

typedef struct _TpdIndexHints TpdIndexHints;
typedef struct _TpdIndexPage TpdIndexPage;

/*
 * Opens the index of `root` at `path`, NULL: where tpd_index_open() has it. At
 * most `connections` threads read it at a time. `keyring` (may be NULL) must
 * outlive it. Errors: TPD_ERROR_ERRNO + ENOENT when there is none;
 * TPD_ERROR_USAGE when it is not to be trusted, because others can write it;
 * else as for tpd_index_open(). Waits up to two seconds for a scan that has it
 * locked because it is ending. A thread may be confined once it is open; a
 * file that is renamed or removed then stays the index. (transfer full)
 */
TpdIndexHints *tpd_index_hints_open (const char *path, const char *root, const TpdKeyring *keyring, guint connections,
                                     GError **error);
void tpd_index_hints_free (TpdIndexHints *hints);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdIndexHints, tpd_index_hints_free)

const char *tpd_index_hints_path (const TpdIndexHints *hints);
/* What a confined process has to be able to read. */
void tpd_index_hints_reach (const TpdIndexHints *hints, TpdConfinement *reach);

/* The number of the directory `dir` (relative to the root, "" for the root);
 * `*id` is 0 when the index does not know it. */
gboolean tpd_index_hints_find_dir (TpdIndexHints *hints, const char *dir, gint64 *id, GError **error);

/* All hints of the directory `id`, with one query; `*page` (transfer full) is
 * NULL when there are more than `max`. */
gboolean tpd_index_hints_read (TpdIndexHints *hints, gint64 id, guint max, TpdIndexPage **page, GError **error);
/* The one of `name`, as a page of its own, or none. */
gboolean tpd_index_hints_read_one (TpdIndexHints *hints, gint64 id, const char *name, TpdIndexPage **page,
                                   GError **error);

TpdIndexPage *tpd_index_page_ref (TpdIndexPage *page);
void tpd_index_page_unref (TpdIndexPage *page);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdIndexPage, tpd_index_page_unref)

guint tpd_index_page_length (const TpdIndexPage *page);
/* The hint for the file that is `stamp` now, NULL: none. */
const TpdIndexHint *tpd_index_page_find (const TpdIndexPage *page, const TpdStamp *stamp);
