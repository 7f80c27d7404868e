/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file as the index knows it, seen with the keys that are loaded now. The
 * index keeps what the file gave; whether that opens today is said here.
 */
#pragma once

#include "index/index.h"
#include "tools/facts.h"
#include "tools/json.h"

/* Fills `document` from `facts` as far as the index keeps them; its strings
 * belong to `facts` and to `json`, which is initialised and holds the stored
 * text. `keyring`: the keys it was opened with. */
void tpd_record_from_facts (TpdFileFacts *facts, TpdIndexRow *row, TpdIndexDocument *document, TpdJson *json,
                            const TpdKeyring *keyring);

/* Whether its key is loaded, with the private part. */
gboolean tpd_record_key_is_held (const TpdIndexDocument *document, const TpdKeyring *keyring);
/* `document` may be NULL. */
TpdVerdict tpd_record_verdict (const TpdIndexRow *row, const TpdIndexDocument *document, const TpdKeyring *keyring);
gboolean tpd_record_is_protected (const TpdIndexRow *row);
/* A sentence with the remedy, or NULL. (transfer full) */
char *tpd_record_message (const TpdIndexRow *row, const TpdIndexDocument *document, const TpdKeyring *keyring);

/* Whether a person should look at it: it does not open, or could not be looked
 * at, or has a protected name and no such content. Without any key loaded,
 * lacking one is no problem. */
gboolean tpd_record_is_problem (TpdVerdict verdict, gboolean has_document, const TpdKeyring *keyring);
/* Whether it makes the exit status 1. */
gboolean tpd_record_is_failure (TpdVerdict verdict, const TpdKeyring *keyring);

/* The name of its plaintext. (transfer full) */
char *tpd_record_plain_name (const TpdIndexRow *row);

/* The time a license was issued, if it is one: yyyy-MM-ddTHH:mm. */
gboolean tpd_record_issued_is_time (const char *issued);

/* The JSON object of an entry whose path is `path`. */
void tpd_record_json (TpdJson *json, const char *path, const TpdIndexEntry *entry, const TpdKeyring *keyring);
/* DIR as the user gave it ("" leaves it out), a directory in it, and a name (may
 * be NULL). (transfer full) */
char *tpd_record_path (const char *root, const char *dir, const char *name);
