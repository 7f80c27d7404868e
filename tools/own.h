/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the keys that documents need are the organisation's own.
 *
 * A license tells of its key a GUID, a tenant, an address and an owner, all in
 * clear. A key is own when one of them is known to be: known from the loaded
 * keys, from documents that are sealed to them, from Get-AipServiceKeys, or
 * named by the user. What nothing speaks for is another organisation's. Since
 * anybody may write these fields, only documents sealed to a loaded key extend
 * what is known; and a forged one can only make a key own that is not, which
 * is the error that loses nothing.
 */
#pragma once

#include "index/index.h"
#include "tools/aip_keys.h"

typedef enum {
  TPD_OWN_FOREIGN, /* nothing speaks for it, or the user said so */
  TPD_OWN_LOADED,
  TPD_OWN_NAMED,  /* by the user */
  TPD_OWN_LISTED, /* by Get-AipServiceKeys */
  TPD_OWN_GUID,   /* a loaded key has the same */
  TPD_OWN_TENANT,
  TPD_OWN_ADDRESS, /* the host of the licensing URL */
  TPD_OWN_OWNER,   /* the mail domain of an owner of such documents */
  TPD_OWN_NO_KEYS, /* no key is loaded: nothing to tell by */
} TpdOwnReason;

/* "foreign", "loaded", "named", "listed", "guid", "tenant", "address", "owner", "no-keys". */
const char *tpd_own_word (TpdOwnReason reason);
/* The end of a sentence "It is taken for the own tenant's, because ...". */
const char *tpd_own_because (TpdOwnReason reason);

typedef struct _TpdOwn TpdOwn;

/* `own` and `foreign`: words of the user, may be NULL: GUIDs of keys or
 * tenants, hosts, mail domains. `listed` may be NULL. All must outlive it. */
TpdOwn *tpd_own_new (const TpdKeyring *keyring, char *const *own, char *const *foreign, const GPtrArray *listed);
void tpd_own_free (TpdOwn *own);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdOwn, tpd_own_free)

/* Every document that needs a key, once, before the first question. */
void tpd_own_learn (TpdOwn *own, const TpdIndexDocument *document);
TpdOwnReason tpd_own_judge (const TpdOwn *own, const TpdIndexKey *key);
