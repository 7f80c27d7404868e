/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents: probing a file and opening it as plaintext.
 *
 *   probe    what the file is, without a key       TpdProbe
 *   license  parse the license it carries          license/license.h
 *   unwrap   content key, through the key agent    license/license.h
 *   open     an immutable, seekable plaintext      TpdDocument
 *
 * tpd_document_open() does the last three. A document holds no lock and no
 * seek position; its pread decrypts straight into the caller's buffer and may
 * run in any number of threads.
 */
#pragma once

#include <glib.h>

#include "base/verdict.h"
#include "crypto/cipher.h"
#include "format/source.h"
#include "license/license.h"

/* Goes up whenever the plaintext or the size of some file may come out
 * differently than before: indexes then ask again. */
#define TPD_DECODER_VERSION 3

typedef enum {
  TPD_KIND_PLAIN,
  TPD_KIND_PFILE,
  TPD_KIND_OOXML,
  TPD_KIND_OLE,
  TPD_KIND_XPS,
  TPD_KIND_RPMSG,
  TPD_KIND_MSG,
  TPD_KIND_EML,
  TPD_KIND_PDF,
  TPD_KIND_ZIP,
} TpdKind;

/* "pfile", "ooxml", ...: the word of JSON. */
const char *tpd_kind_word (TpdKind kind);

/* .eml, .msg and message.rpmsg. */
gboolean tpd_kind_is_mail (TpdKind kind);

/* How the plain size can be known. */
typedef enum {
  TPD_SIZE_EXACT,         /* in clear in the container */
  TPD_SIZE_NEEDS_KEY,     /* the last block must be decrypted */
  TPD_SIZE_NEEDS_DECODING /* the whole must be decoded */
} TpdSizeClass;

/* How sure we are of the plaintext; the formats have no MAC. */
typedef enum {
  TPD_PROOF_NONE,
  TPD_PROOF_PLAUSIBLE, /* padding, size law or magic */
  TPD_PROOF_PROVEN     /* checksum or full structure checked */
} TpdProof;

const char *tpd_proof_word (TpdProof proof);

typedef struct _TpdFormat TpdFormat;

/* What a probe found. Immutable; own it with tpd_probe_free(). */
typedef struct {
  TpdKind kind;
  /* OK: a protected container, sound as far as it can be seen without a key.
   * Else NOT_PROTECTED, DAMAGED, UNSUPPORTED, OFFLINE or IO_ERROR. */
  TpdVerdict verdict;
  char *message; /* sentence, when the verdict is not OK or NOT_PROTECTED */
  int io_errno;  /* IO_ERROR only */

  guint version_major, version_minor; /* of the container; 0.0 if it has none */
  char *extension;                    /* plain extension the container names (".txt"), "" for
                                         none named, NULL if the format names none; safe to use
                                         in a file name */
  TpdSizeClass size_class;
  guint64 plain_size; /* EXACT only */
  char *metadata;     /* clear label metadata (XMP, LabelInfo), may be NULL */
  char **warnings;    /* sentences, may be NULL */

  guint8 head[8];       /* the first bytes of the file */
  gboolean other_crypt; /* a plain file that is encrypted in another way (PDF) */
  gboolean archive;     /* holds other files, by its first bytes (format/archive_magic.h) */
  gboolean mbox;        /* a mailbox file, by its first bytes (format/eml_head.h) */
  /* Of a plain mail: a protected one lies in it; or it is too long to know that
   * from its beginning. See format/opaque.h. */
  gboolean carries_mail, mail_goes_on;
  gboolean package; /* OOXML and its like, by the first member (format/package.h) */

  const TpdFormat *format; /* NULL unless a protected container was recognised */
  gpointer layout;         /* the format's own: where things are */
} TpdProbe;

/*
 * Stage 1 reads the first 4 KiB and tells plain files at once; stage 2 runs on
 * candidates under `budget` (NULL: the default probe budget). Never NULL,
 * needs no key, never allocates from an untrusted length. (transfer full)
 */
TpdProbe *tpd_probe (TpdSource *source, TpdBudget *budget);

/* So many bytes tell of nearly all plain files that they are. */
#define TPD_PROBE_FIRST 1088
/*
 * Stage 1 alone, for who has the first `len` bytes of a file of `size` bytes
 * already: all there are, or TPD_PROBE_FIRST. TRUE: tpd_probe() would tell it
 * plain. FALSE: it may tell anything.
 */
gboolean tpd_probe_starts_plain (const guint8 *head, gsize len, guint64 size);
/* The same of an open file, which is read so far: `*len` bytes of `head`. FALSE
 * also when that fails. */
gboolean tpd_probe_starts_plain_fd (int fd, guint64 size, guint8 head[TPD_PROBE_FIRST], gsize *len);
void tpd_probe_free (TpdProbe *probe);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdProbe, tpd_probe_free)

/* The license bytes as stored; probe->verdict must be OK. (transfer full) */
GBytes *tpd_probe_read_license (const TpdProbe *probe, TpdSource *source, GError **error);

typedef enum {
  TPD_IV_AUTO, /* decide from the content, refuse when it cannot be proven */
  TPD_IV_FORCE_INDEX,
  TPD_IV_FORCE_OFFSET,
} TpdIvChoice;

/* The form in which protected mail comes out. */
typedef enum {
  TPD_MAIL_NATIVE, /* .eml and .msg stay what they are, a bare rpmsg becomes .eml */
  TPD_MAIL_EML,
  TPD_MAIL_MSG,
  TPD_MAIL_SOURCE, /* for callers: protected mail is not opened at all */
} TpdMailForm;

typedef struct {
  TpdIvChoice iv;
  TpdMailForm mail;

  /* For what lies protected inside the document (attachments of mail).
   * tpd_document_open() fills in its own keyring and unwrapper; borrowed for
   * the call. Either may be NULL: then the inner layer stays as it is. */
  const TpdKeyring *keyring;
  TpdUnwrapper *unwrapper;
  guint depth; /* how many protected mails lie around this one */

  /* How many more layers to remove where the plaintext is protected itself, at
   * most TPD_MAX_NESTED. One that does not open stays, with a warning. */
  guint nested;
} TpdOpenOptions;

#define TPD_MAX_NESTED 8

/* How the size can be known of what tpd_document_open() gives: with
 * options->nested never in clear. `options` may be NULL. */
TpdSizeClass tpd_probe_size_class (const TpdProbe *probe, const TpdOpenOptions *options);
/* Whether opening may decode the whole file, which takes time and memory. */
gboolean tpd_probe_decodes (const TpdProbe *probe, const TpdOpenOptions *options);

typedef struct _TpdDocument TpdDocument;

typedef struct {
  gssize (*pread) (TpdDocument *self, void *buf, gsize len, guint64 off, GError **error);
  /* Frees what the format added, and `self`; the members of TpdDocument itself
   * are released by tpd_document_unref() before. */
  void (*free) (TpdDocument *self);
} TpdDocumentClass;

/* Formats embed this as their first member. */
struct _TpdDocument {
  const TpdDocumentClass *klass;
  int ref_count; /* atomic */

  TpdKind kind;
  guint64 plain_size;
  guint64 memory_size; /* decoded plaintext that it keeps in memory; 0: none */
  TpdLicense *license;
  const char *cipher; /* tpd_cipher_name() of what was really used */
  TpdProof proof;
  char **fallbacks; /* words: which inferred branch was taken, NULL terminated, may be NULL */
  char **warnings;  /* sentences, may be NULL */
  /* Something in it is sealed to a key of its own license: whether that key is
   * held decides what comes out. */
  gboolean other_keys;
};

/*
 * Opens what `probe` found. `content_key` comes from tpd_license_unwrap(). With
 * options->nested, kind, license and cipher are those of the outermost layer.
 * Errors: TPD_ERROR_DAMAGED, TPD_ERROR_AMBIGUOUS, TPD_ERROR_TOO_LARGE,
 * TPD_ERROR_UNSUPPORTED, TPD_ERROR_ERRNO+. (transfer full)
 */
TpdDocument *tpd_document_new (TpdSource *source, const TpdProbe *probe, TpdLicense *license,
                               TpdContentKey *content_key, const TpdOpenOptions *options, TpdBudget *budget,
                               GError **error);

/* License, unwrap and tpd_document_new() in one. `options` and `budget` may
 * be NULL. Errors: those of each step. (transfer full) */
TpdDocument *tpd_document_open (TpdSource *source, const TpdProbe *probe, const TpdKeyring *keyring,
                                TpdUnwrapper *unwrapper, const TpdOpenOptions *options, TpdBudget *budget,
                                GError **error);

TpdDocument *tpd_document_ref (TpdDocument *document);
void tpd_document_unref (TpdDocument *document);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdDocument, tpd_document_unref)

/*
 * Up to `len` plaintext bytes at `off`; fewer only at the end of the document,
 * 0 behind it; -1 with error, and then `buf` holds no plaintext.
 */
static inline gssize
tpd_document_pread (TpdDocument *document, void *buf, gsize len, guint64 off, GError **error)
{
  return document->klass->pread (document, buf, len, off, error);
}

/* The sealed memory file that holds all of a decoded document's plaintext, -1
 * for others; owned by the document. */
int tpd_document_memory_fd (TpdDocument *document);

/* The plaintext of `document` as a source (nesting). (transfer full) */
TpdSource *tpd_source_new_document (TpdDocument *document);
