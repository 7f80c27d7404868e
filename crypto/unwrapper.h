/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unwrapper: turns the ENABLINGBITS of a publishing license into the
 * content key. Who implements it, the key agent in its own process or the
 * in-process one of unit tests, cannot be told by the caller.
 *
 * It is no RSA oracle: it answers for whole ENABLINGBITS only, and every
 * failure up to the inner header does the same work and gives the same answer.
 */
#pragma once

#include <glib.h>

#include "crypto/digest.h"
#include "crypto/secret.h"

/* ENABLINGBITS/@type, [MS-RMPR] 2.2.9.1.13: decides the RSA padding. */
typedef enum {
  TPD_SEAL_V1,      /* "sealed-key": PKCS#1 v1.5, SHA-1 */
  TPD_SEAL_V2,      /* "sealed-key-v2": OAEP, SHA-256 */
  TPD_SEAL_UNKNOWN, /* tried as v2, then as v1 */
} TpdSealType;

typedef enum {
  TPD_PURPOSE_READ,  /* open a document */
  TPD_PURPOSE_TRACE, /* `tpd show --trace`: details of failures are wanted */
} TpdPurpose;

typedef enum {
  TPD_UNWRAP_OK,
  TPD_UNWRAP_REFUSED,     /* these bits do not open with that key */
  TPD_UNWRAP_DOUBLE_KEY,  /* sound up to the inner key, which is sealed again */
  TPD_UNWRAP_UNSUPPORTED, /* sound, but the key inside is one of DES */
  TPD_UNWRAP_UNAVAILABLE, /* key not held, agent gone, token removed */
} TpdUnwrapStatus;

/* Which text the hash inside ENABLINGBITS was made of (docs/formats.md): found
 * out for a trace only. */
typedef enum {
  TPD_HASH_RULE_NONE, /* no candidate matched: never an error; or none was tried */
  TPD_HASH_RULE_A,
  TPD_HASH_RULE_B,
  TPD_HASH_RULE_C,
  TPD_HASH_RULE_D,
} TpdHashRule;

#define TPD_SEALED_MAX (TPD_RSA_MAX_BYTES + 4096)
#define TPD_PRINCIPALS_MAX (64 * 1024)

typedef struct {
  const guint8 *sealed; /* decoded ENABLINGBITS/VALUE, at most TPD_SEALED_MAX bytes */
  gsize sealed_len;
  TpdSealType type;
  TpdFingerprint key; /* of the server key the license names */
  /* Surface text of ISSUEDPRINCIPALS as UTF-8, for the hash of a trace; may be empty. */
  const char *principals;
  gsize principals_len; /* at most TPD_PRINCIPALS_MAX, else pass none */
  TpdPurpose purpose;
} TpdUnwrapRequest;

/* A content key as the license gives it. Immutable, counted. */
typedef struct {
  TpdSecret *key;    /* 16, 24 or 32 bytes of AES key */
  guint16 mode_word; /* KeyHeader.Reserved, as found */
  guint16 size_word; /* KeyHeader key size as found: bytes or bits */
  guint32 flags;     /* KeyHeader.Flags: informative */
  TpdHashRule hash_rule;
  /* How the RSA block was opened, if not by OAEP with SHA-1 as it stands: */
  gboolean pkcs1;       /* by PKCS#1 v1.5 */
  gboolean oaep_sha256; /* by OAEP with SHA-256 */
  gboolean reversed;    /* with its bytes in the other order */
  gboolean second_seal; /* and then a second key opened it, of a double key service */
  gsize session_key_len;
  int ref_count; /* atomic */
} TpdContentKey;

TpdContentKey *tpd_content_key_ref (TpdContentKey *key);
void tpd_content_key_unref (TpdContentKey *key);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdContentKey, tpd_content_key_unref)

/* A content key that a double key service sealed once more; enablingbits.h. */
typedef struct _TpdSecondSeal TpdSecondSeal;

/* `*trace` (may be NULL) is filled for TPD_PURPOSE_TRACE only: lines of text
 * that say every step, never a secret. */
typedef struct {
  TpdUnwrapStatus status;
  TpdContentKey *key; /* TPD_UNWRAP_OK only */
  char *trace;
  TpdSecondSeal *second; /* between the keys only: callers never see one */
} TpdUnwrapReply;

void tpd_unwrap_reply_clear (TpdUnwrapReply *reply);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TpdUnwrapReply, tpd_unwrap_reply_clear)

typedef struct _TpdUnwrapper TpdUnwrapper;

/* What an implementation provides. `unwrap_many` may be NULL: one after the
 * other; it sees no request for a trace. */
typedef struct {
  void (*unwrap) (TpdUnwrapper *self, const TpdUnwrapRequest *request, TpdUnwrapReply *reply);
  void (*free) (TpdUnwrapper *self);
  void (*unwrap_many) (TpdUnwrapper *self, const TpdUnwrapRequest *requests, guint n, TpdUnwrapReply *replies);
} TpdUnwrapperClass;

struct _TpdUnwrapper {
  const TpdUnwrapperClass *klass;
  int ref_count; /* atomic */
};

TpdUnwrapper *tpd_unwrapper_ref (TpdUnwrapper *unwrapper);
void tpd_unwrapper_unref (TpdUnwrapper *unwrapper);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdUnwrapper, tpd_unwrapper_unref)

/*
 * Thread-safe; blocks for one RSA operation at most. Always fills `*reply`
 * (clear it with tpd_unwrap_reply_clear()).
 */
void tpd_unwrapper_unwrap (TpdUnwrapper *unwrapper, const TpdUnwrapRequest *request, TpdUnwrapReply *reply);

#define TPD_UNWRAP_MANY 16

/*
 * The same for `n` requests, at most TPD_UNWRAP_MANY: they go to whoever holds
 * the keys, and their replies come back, together. Blocks for n RSA operations.
 */
void tpd_unwrapper_unwrap_many (TpdUnwrapper *unwrapper, const TpdUnwrapRequest *requests, guint n,
                                TpdUnwrapReply *replies);

/*
 * An unwrapper in front of `backend` that remembers replies, failures too
 * (UNAVAILABLE is not remembered), by SHA-256 of the sealed bytes and key, and
 * makes concurrent requests for one license do one RSA operation. Holds at
 * most `max_entries`; requests for a trace pass through. (transfer full)
 */
TpdUnwrapper *tpd_unwrap_cache_new (TpdUnwrapper *backend, guint max_entries);
