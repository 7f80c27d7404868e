/* SPDX-License-Identifier: Apache-2.0 */
/* The own tenant: see own.h. */
#include "tools/own.h"

#include <string.h>

#include "base/text.h"

/* What a share can make us keep. */
#define MAX_WORDS 10000
#define MAX_DOMAINS_OF_KEY 200
#define MAX_WORD 255

struct _TpdOwn {
  const TpdKeyring *keyring;
  char *const *own, *const *foreign;
  const GPtrArray *listed;
  GHashTable *tenants, *hosts, *domains; /* sets, lower case: of loaded keys, and what is sealed to them */
  GHashTable *owners;                    /* fingerprint of another key -> set of its owners' domains */
};

const char *
tpd_own_word (TpdOwnReason reason)
{
  static const char *const words[] = {
    [TPD_OWN_FOREIGN] = "foreign", [TPD_OWN_LOADED] = "loaded", [TPD_OWN_NAMED] = "named",
    [TPD_OWN_LISTED] = "listed",   [TPD_OWN_GUID] = "guid",     [TPD_OWN_TENANT] = "tenant",
    [TPD_OWN_ADDRESS] = "address", [TPD_OWN_OWNER] = "owner",   [TPD_OWN_NO_KEYS] = "no-keys",
  };

  return words[reason];
}

const char *
tpd_own_because (TpdOwnReason reason)
{
  static const char *const sentences[] = {
    [TPD_OWN_FOREIGN] = "nothing speaks for it",
    [TPD_OWN_LOADED] = "it is loaded",
    [TPD_OWN_NAMED] = "--own names it",
    [TPD_OWN_LISTED] = "Get-AipServiceKeys lists it",
    [TPD_OWN_GUID] = "a loaded key has the same GUID",
    [TPD_OWN_TENANT] = "a loaded key is of the same tenant",
    [TPD_OWN_ADDRESS] = "a loaded key has the same address",
    [TPD_OWN_OWNER] = "owners of its documents have mail addresses like those of yours",
    [TPD_OWN_NO_KEYS] = "no key is loaded to tell by",
  };

  return sentences[reason];
}

/* --- Words -------------------------------------------------------------- */

static void
add_word (GHashTable *set, char *word)
{
  if (word != NULL && word[0] != '\0' && strlen (word) <= MAX_WORD && g_hash_table_size (set) < MAX_WORDS)
    g_hash_table_add (set, word);
  else
    g_free (word);
}

/* Lower case, and without braces if it is a GUID. (transfer full) */
static char *
fold (const char *text)
{
  char guid[TPD_GUID_SIZE];

  if (text == NULL)
    return NULL;
  return tpd_guid_parse (text, guid) ? g_strdup (guid) : g_ascii_strdown (text, -1);
}

/* The host of a URL, lower case; NULL if it has none. (transfer full) */
static char *
host_of (const char *url)
{
  const char *start = url != NULL ? strstr (url, "://") : NULL, *at;
  gsize len;

  if (start == NULL)
    return NULL;
  start += 3;
  len = strcspn (start, "/?#\\");
  at = memrchr (start, '@', len);
  if (at != NULL)
    {
      len -= (gsize) (at + 1 - start);
      start = at + 1;
    }
  if (start[0] != '[')
    len = MIN (len, strcspn (start, ":"));
  return len > 0 ? g_ascii_strdown (start, (gssize) len) : NULL;
}

/* The domain of a mail address. (transfer full) */
static char *
domain_of (const char *address)
{
  const char *at = address != NULL ? strrchr (address, '@') : NULL;

  return at != NULL && at[1] != '\0' ? g_ascii_strdown (at + 1, -1) : NULL;
}

/* --- What is known ------------------------------------------------------ */

static GHashTable *
set_new (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
}

TpdOwn *
tpd_own_new (const TpdKeyring *keyring, char *const *own_words, char *const *foreign, const GPtrArray *listed)
{
  TpdOwn *own = g_new0 (TpdOwn, 1);

  own->keyring = keyring;
  own->own = own_words;
  own->foreign = foreign;
  own->listed = listed;
  own->tenants = set_new ();
  own->hosts = set_new ();
  own->domains = set_new ();
  own->owners =
      g_hash_table_new_full (tpd_fingerprint_hash, tpd_fingerprint_same, g_free, (GDestroyNotify) g_hash_table_unref);
  for (guint i = 0; i < keyring->keys->len; i++)
    {
      const TpdKeyInfo *key = g_ptr_array_index (keyring->keys, i);

      add_word (own->tenants, fold (key->tenant_id));
      for (char **url = key->urls; url != NULL && *url != NULL; url++)
        add_word (own->hosts, host_of (*url));
    }
  return own;
}

void
tpd_own_free (TpdOwn *own)
{
  if (own == NULL)
    return;
  g_hash_table_unref (own->tenants);
  g_hash_table_unref (own->hosts);
  g_hash_table_unref (own->domains);
  g_hash_table_unref (own->owners);
  g_free (own);
}

static void
learn_owner (TpdOwn *own, const TpdIndexDocument *document)
{
  GHashTable *domains = g_hash_table_lookup (own->owners, &document->key.fingerprint);

  if (domains == NULL && g_hash_table_size (own->owners) < MAX_WORDS)
    {
      domains = set_new ();
      g_hash_table_insert (own->owners, g_memdup2 (&document->key.fingerprint, sizeof document->key.fingerprint),
                           domains);
    }
  if (domains != NULL && g_hash_table_size (domains) < MAX_DOMAINS_OF_KEY)
    add_word (domains, domain_of (document->rms_owner));
}

void
tpd_own_learn (TpdOwn *own, const TpdIndexDocument *document)
{
  if (tpd_keyring_find (own->keyring, &document->key.fingerprint) == NULL)
    {
      learn_owner (own, document);
      return;
    }
  add_word (own->tenants, fold (document->key.tenant));
  add_word (own->hosts, host_of (document->key.url));
  add_word (own->domains, domain_of (document->rms_owner));
}

/* --- Judgement ---------------------------------------------------------- */

/* Whether `word`, folded, is `value`, which may be NULL. */
static gboolean
is_word (const char *word, const char *value)
{
  g_autofree char *folded = fold (value);

  return folded != NULL && strcmp (word, folded) == 0;
}

static gboolean
is_named (const TpdOwn *own, char *const *words, const TpdIndexKey *key)
{
  GHashTable *owners = g_hash_table_lookup (own->owners, &key->fingerprint);
  g_autofree char *host = host_of (key->url), *fingerprint = tpd_hex (key->fingerprint.bytes, TPD_SHA256_SIZE);

  for (; words != NULL && *words != NULL; words++)
    {
      g_autofree char *word = fold (*words);

      if (is_word (word, key->guid) || is_word (word, key->tenant) || is_word (word, host)
          || strcmp (word, fingerprint) == 0 || (owners != NULL && g_hash_table_contains (owners, word)))
        return TRUE;
    }
  return FALSE;
}

static gboolean
has_own_owner (const TpdOwn *own, const TpdIndexKey *key)
{
  GHashTable *owners = g_hash_table_lookup (own->owners, &key->fingerprint);
  GHashTableIter iter;
  gpointer domain;

  if (owners == NULL)
    return FALSE;
  g_hash_table_iter_init (&iter, owners);
  while (g_hash_table_iter_next (&iter, &domain, NULL))
    if (g_hash_table_contains (own->domains, domain))
      return TRUE;
  return FALSE;
}

TpdOwnReason
tpd_own_judge (const TpdOwn *own, const TpdIndexKey *key)
{
  g_autofree char *tenant = fold (key->tenant), *host = host_of (key->url);

  if (tpd_keyring_find (own->keyring, &key->fingerprint) != NULL)
    return TPD_OWN_LOADED;
  if (is_named (own, own->own, key))
    return TPD_OWN_NAMED;
  if (is_named (own, own->foreign, key))
    return TPD_OWN_FOREIGN;
  if (tpd_aip_keys_find (own->listed, key->guid) != NULL)
    return TPD_OWN_LISTED;
  if (own->keyring->keys->len == 0)
    return TPD_OWN_NO_KEYS;
  if (key->guid != NULL && tpd_keyring_find_guid (own->keyring, key->guid) != NULL)
    return TPD_OWN_GUID;
  if (tenant != NULL && g_hash_table_contains (own->tenants, tenant))
    return TPD_OWN_TENANT;
  if (host != NULL && g_hash_table_contains (own->hosts, host))
    return TPD_OWN_ADDRESS;
  return has_own_owner (own, key) ? TPD_OWN_OWNER : TPD_OWN_FOREIGN;
}
