/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into files: what a file is, how large its plaintext, whether it opens. */
#pragma once

#include <sys/stat.h>

#include "fs/fs.h"

/*
 * Fills `facts` for the file `name` in `dirfd`, whose lstat is `*st`; `*st`
 * becomes the fstat of what was looked at. Files that are not regular are told
 * from `*st` alone, those that the index knows from that; `dir` is the id of
 * the directory. Work is bounded; no RSA operation unless the size needs it.
 * 0, or ESTALE when the name now leads to another file, or TPD_WAIT when it
 * takes decoding. What failed for a passing reason has facts->known FALSE and
 * the source's size.
 */
int tpd_look (TpdFs *fs, guint64 dir, int dirfd, const char *name, struct stat *st, TpdFacts *facts, TpdWait *wait);

/* The same of a file that is open already: `fd`, which is taken, with its fstat
 * in `*st`. 0 or TPD_WAIT. */
int tpd_look_opened (TpdFs *fs, int dirfd, const char *name, int fd, const struct stat *st, TpdFacts *facts,
                     TpdWait *wait);

/* TpdViewLook for `data` (TpdFs *): whose names tell of protection are shown
 * under their plain names. */
gboolean tpd_look_for_name (gpointer data, guint64 dir, int dirfd, const char *name, struct stat *st, char **extension);

/* Fills `facts` for `source`, of fstat `st`. 0 or TPD_WAIT. */
int tpd_look_at_source (TpdFs *fs, TpdSource *source, const struct stat *st, TpdFacts *facts, TpdWait *wait);
/* Whether it still is a file that is not protected. */
gboolean tpd_look_is_plain (TpdFs *fs, TpdSource *source, const struct stat *st);

/* Probes and opens `source`, which was `stamp` when it was opened, as far as
 * `want` asks for; fills the zeroed `*out`. `budget` may be NULL. */
void tpd_look_open (TpdFs *fs, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want, TpdBudget *budget,
                    TpdDecoded *out);
/* TpdDecodeWork for `data` (TpdFs *). */
void tpd_look_decode (gpointer data, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want, TpdBudget *budget,
                      TpdDecoded *out);

/* Whether these facts are out of date although the stamp is the same: a stub
 * whose content has come back. */
gboolean tpd_look_again (const TpdFacts *facts, const struct stat *st);

/* Notes in `facts` that opening failed with `error`. */
void tpd_facts_fail (TpdFacts *facts, const TpdStamp *stamp, const GError *error);
/* Notes in `facts` what the opened document is. */
void tpd_facts_opened (TpdFacts *facts, const TpdDocument *document);

/* Served as plaintext of a protected file. */
gboolean tpd_facts_decrypts (const TpdFacts *facts);
/* Mail that is to be left as it is. */
gboolean tpd_facts_is_left (const TpdFs *fs, const TpdFacts *facts);
/* Served byte for byte: plain, stubs, mail that is left, and with
 * unreadable=raw what cannot be opened. */
gboolean tpd_facts_passes (const TpdFs *fs, const TpdFacts *facts);
/* A protected file that the decoder opens. */
gboolean tpd_facts_decodes (const TpdFs *fs, const TpdFacts *facts);

/* The cipher's name behind TpdFacts.cipher, NULL for 0. */
const char *tpd_cipher_word_name (guint8 word);
