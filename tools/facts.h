/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TpdFileFacts: everything `tpd` can tell of one file, gathered once and rendered
 * as JSON, as text or as a trace. No rendering here, no gathering there.
 *
 * What is not known is NULL (0 for numbers); report.h says how that shows.
 */
#pragma once

#include "crypto/unwrapper.h"
#include "format/document.h"
#include "format/label.h"
#include "license/rights.h"
#include "tools/common.h"
#include "tools/input.h"
#include "tools/mounted.h"

typedef enum {
  TPD_FILE_FACTS_DEFAULT = 0,
  TPD_FILE_FACTS_HASH = 1 << 0,  /* SHA-256 of source and plaintext: reads it all */
  TPD_FILE_FACTS_TRACE = 1 << 1, /* ask the key agent for every step */
  TPD_FILE_FACTS_CHECK = 1 << 3, /* read all of the plaintext and judge it */
  TPD_FILE_FACTS_LAZY = 1 << 2,  /* leave a document closed (verdict key-held) whose size is in clear */
  TPD_FILE_FACTS_TERSE = 1 << 4, /* no message about a key that is not loaded: the caller has no use for it */
} TpdFileFactsFlags;

typedef struct {
  char *path; /* as given: any bytes */
  TpdVerdict verdict;
  char *message;       /* sentence with the remedy, NULL for good verdicts */
  GPtrArray *warnings; /* of char *: sentences */

  /* The file; `kind` is NULL when it could not be opened. */
  const char *kind;
  gboolean is_protected;
  gboolean through_mount; /* told by a tpdfs mount, see mounted.h */
  char *plain_name;
  gboolean plain_size_known;
  guint64 plain_size;
  guint64 source_size;
  char *version; /* of the container: "2.1" */
  char *source_sha256, *plain_sha256;

  /* The license and what it is sealed to; borrowed from the objects below. */
  const char *content_id, *policy_id, *rms_owner, *author, *issued, *issuer, *tenant, *original_name, *signature;
  char **urls;
  guint crypto_mode; /* 1, 2 */
  char *pl_sha256;
  char *key_guid, *key_fingerprint;
  guint key_bits;
  gboolean key_held;
  char *key_name;               /* of the loaded key */
  const GPtrArray *names;       /* of TpdDescriptorName */
  const char *template_name;    /* the one name a mount tells */
  const char *template_guid;    /* an official template */
  const char *expires, *cipher; /* cipher, proof: of the opened document */
  const char *proof;
  gboolean checked; /* all of the plaintext was read */
  char **fallbacks; /* words: less usual readings that opened it; NULL: none */
  TpdLabel *label;
  const char *label_name; /* the name, or the id, that a mount tells */

  /* Where they come from; each may be NULL. */
  TpdMounted *mounted;
  TpdSource *source;
  TpdStamp stamp;
  TpdProbe *probe;
  GBytes *license_bytes;
  TpdLicense *license;
  TpdContentKey *content_key;
  char *agent_trace; /* TPD_FILE_FACTS_TRACE */
  TpdRights *rights;
  TpdDocument *document;
  gboolean awaits_key; /* between tpd_file_facts_begin() and _end() */
} TpdFileFacts;

/*
 * Gathers the facts of `path`; never NULL. Reads no content beyond what
 * opening needs, unless TPD_FILE_FACTS_HASH. `session` must outlive the result.
 * (transfer full)
 */
TpdFileFacts *tpd_file_facts_gather (const char *path, const TpdSession *session, const TpdOpenOptions *options,
                                     TpdFileFactsFlags flags);
/*
 * The same of an open file that does not lie on a mount: takes over `probe`,
 * a reference of `source` and the name that `path` ends with.
 */
TpdFileFacts *tpd_file_facts_gather_source (const char *path, TpdSource *source, const TpdStamp *stamp, TpdProbe *probe,
                                            const TpdSession *session, const TpdOpenOptions *options,
                                            TpdFileFactsFlags flags);
/*
 * The same in two halves, for who asks for the keys of several files at once.
 * Between them facts->awaits_key tells whether the content key is wanted, and
 * `*request`, which lives as long as the facts, is how to ask for it. The reply
 * (else NULL) goes to the second half.
 */
TpdFileFacts *tpd_file_facts_begin (const char *path, TpdSource *source, const TpdStamp *stamp, TpdProbe *probe,
                                    const TpdSession *session, const TpdOpenOptions *options, TpdFileFactsFlags flags,
                                    TpdUnwrapRequest *request);
void tpd_file_facts_end (TpdFileFacts *facts, const TpdSession *session, const TpdOpenOptions *options,
                         TpdFileFactsFlags flags, const TpdUnwrapReply *reply);
/* The facts of a file that could not be opened. */
TpdFileFacts *tpd_file_facts_of_error (const char *path, const GError *error);
void tpd_file_facts_free (TpdFileFacts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdFileFacts, tpd_file_facts_free)
