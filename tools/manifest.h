/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of JSON lines in the state directory of a copy (TPD_TARGET_STATE):
 * manifest.jsonl, MISSING.jsonl and the journal. Every line is an object whose
 * first member is `path` (followed by `path_b64` where that is not UTF-8); a
 * list that is complete is sorted by it, so that the same copies make the same
 * list, whatever the order in which they were made.
 */
#pragma once

#include "crypto/digest.h"
#include "tools/json.h"

/* "manifest" and ".jsonl" with the shard between, if there are several.
 * (transfer full) */
char *tpd_manifest_name (const char *base, guint shard, guint shards, const char *extension);

/* Opens the state directory in the directory `fd`; `make`: makes it. It must
 * belong to this user and to nobody else. -1 with error. */
int tpd_manifest_open_state (int fd, gboolean make, GError **error);

/* The members `path` and `path_b64`: in the open object `json`. */
void tpd_manifest_put_path (TpdJson *json, const char *path);
/* The same as `copy`, `copy_b64`. */
void tpd_manifest_put_copy (TpdJson *json, const char *copy);

/* The part of the object `line` that identifies the path; NULL if it is no such
 * object. Not terminated: `*len` bytes. */
const char *tpd_manifest_key (const char *line, gsize size, gsize *len);
/* The key of `path`, as it would stand in a line. (transfer full) */
char *tpd_manifest_key_of (const char *path);
/* The part that identifies the copy, and the same of a path, as above. */
const char *tpd_manifest_copy_key (const char *line, gsize size, gsize *len);
char *tpd_manifest_copy_key_of (const char *copy);
/* What follows `path` and `copy` in the object, with the comma before it. */
const char *tpd_manifest_rest (const char *line, gsize size, gsize *len);

/* --- Reading ---------------------------------------------------------- */

/* One file of a manifest. Strings are its own; NULL where there is none. */
typedef struct {
  char *path, *copy; /* relative to source and copy, any bytes */
  char *kind;        /* "symlink" besides the words of tpd_kind_word() */
  char *target;      /* of a symbolic link */
  gboolean is_protected;
  gboolean decrypted; /* the copy is plaintext of something protected */
  char *verdict, *message, *proof, *content_id, *rms_owner, *issued, *key_fingerprint;
  char *plain_sha256, *source_sha256;
  guint64 plain_size, source_size;
  gboolean archive; /* one that was written anew; what that depends on: */
  gboolean keep;    /* members that do not open are in it */
  char **pext;      /* may be NULL */
} TpdManifestRecord;

/* NULL with TPD_ERROR_DAMAGED when `line` is no record. (transfer full) */
TpdManifestRecord *tpd_manifest_record_parse (const char *line, gsize len, GError **error);
void tpd_manifest_record_free (TpdManifestRecord *record);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdManifestRecord, tpd_manifest_record_free)

/* Of an archive that was written anew: calls `each` for the object of every
 * member, in order, with its place in `line`. FALSE: `each` stopped it. */
typedef gboolean (*TpdManifestEachMember) (gpointer data, const char *member, gsize len, GError **error);
gboolean tpd_manifest_each_member (const char *line, gsize len, TpdManifestEachMember each, gpointer data,
                                   GError **error);

/* `len` bytes without the line feed, and their place. FALSE: stop. */
typedef gboolean (*TpdManifestEach) (gpointer data, const char *line, gsize len, guint64 offset, GError **error);

/* Calls `each` for every whole line of `fd`; a last line without its end is
 * left out. */
gboolean tpd_manifest_each (int fd, TpdManifestEach each, gpointer data, GError **error);

/* --- Writing ---------------------------------------------------------- */

/* Tells whether the line belongs into the list; `record` is the object. */
typedef gboolean (*TpdManifestWanted) (gpointer data, const char *record, gsize len, guint64 offset);

/*
 * Writes the objects of the lists `fds`, sorted, the last of each path only, to
 * the file `name` in `state_fd`, and puts it in place when it is on disk.
 * Journals have each object inside another, whose last member it is.
 * `wanted` may be NULL. `*count` and the digest of the file may be NULL.
 */
gboolean tpd_manifest_write_sorted (int state_fd, const char *name, const int *fds, guint n_fds,
                                    TpdManifestWanted wanted, gpointer data, guint64 *count,
                                    guint8 sha256[TPD_SHA256_SIZE], GError **error);

/* Writes `text` to `name` and puts it in place when it is on disk. */
gboolean tpd_manifest_write_text (int state_fd, const char *name, const char *text, GError **error);
