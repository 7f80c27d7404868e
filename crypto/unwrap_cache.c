/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remembers replies of an unwrapper and makes concurrent requests for one
 * license do one RSA operation.
 *
 * An entry is in the table from the moment its request starts. Whoever finds
 * it unfinished waits on the condition; so the first thread works and the
 * others get its reply. An unfinished entry is never evicted (there are at
 * most TPD_UNWRAP_MANY for each thread), so the table can exceed its bound by
 * that number for a moment. A reply UNAVAILABLE goes to all who waited and is then
 * forgotten: the next request tries again.
 *
 * One mutex is enough: it is held for a table look-up, against a millisecond
 * for the RSA operation that it saves.
 */
#include <string.h>

#include "crypto/unwrapper.h"

/* What decides the reply to a request that wants no trace. */
typedef struct {
  guint8 digest[TPD_SHA256_SIZE];
} CacheKey;

typedef struct {
  CacheKey key;
  TpdUnwrapReply reply;
  gboolean done;
  guint users; /* the table, the worker, and each one waiting */
  GList link;  /* in TpdUnwrapCache.recent once done; its data is this entry */
} CacheEntry;

typedef struct {
  TpdUnwrapper base;
  TpdUnwrapper *backend;
  guint max_entries;
  GMutex lock; /* protects all below and the entries */
  GCond finished;
  GHashTable *entries; /* CacheEntry by its key */
  GQueue recent;       /* finished entries, last used first */
} TpdUnwrapCache;

static guint
cache_key_hash (gconstpointer data)
{
  guint hash;
  memcpy (&hash, data, sizeof hash);
  return hash;
}

static gboolean
cache_key_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (CacheKey)) == 0;
}

static CacheKey
cache_key (const TpdUnwrapRequest *request)
{
  struct {
    guint8 sealed[TPD_SHA256_SIZE];
    guint8 fingerprint[TPD_SHA256_SIZE];
    guint8 type;
  } parts;
  CacheKey key;

  memset (&parts, 0, sizeof parts);
  tpd_sha256 (request->sealed, request->sealed_len, parts.sealed);
  memcpy (parts.fingerprint, request->key.bytes, sizeof parts.fingerprint);
  parts.type = (guint8) request->type;
  tpd_sha256 (&parts, sizeof parts, key.digest);
  return key;
}

static void
entry_release (CacheEntry *entry)
{
  if (--entry->users > 0)
    return;
  tpd_unwrap_reply_clear (&entry->reply);
  g_free (entry);
}

static void
copy_reply (const TpdUnwrapReply *from, TpdUnwrapReply *to)
{
  to->status = from->status;
  to->key = from->key ? tpd_content_key_ref (from->key) : NULL;
}

static void
forget (TpdUnwrapCache *cache, CacheEntry *entry)
{
  g_hash_table_remove (cache->entries, &entry->key);
  entry_release (entry);
}

static void
evict (TpdUnwrapCache *cache)
{
  while (cache->recent.length > cache->max_entries)
    {
      CacheEntry *oldest = g_queue_peek_tail (&cache->recent);
      g_queue_unlink (&cache->recent, &oldest->link);
      forget (cache, oldest);
    }
}

/* With the lock held: `entry`, at work in this thread, has its reply, which is
 * taken over. */
static void
finish (TpdUnwrapCache *cache, CacheEntry *entry, const TpdUnwrapReply *reply)
{
  /* By more than the table and this thread? A broadcast is a system call. */
  const gboolean is_awaited = entry->users > 2;

  entry->reply = *reply;
  entry->done = TRUE;
  if (reply->status == TPD_UNWRAP_UNAVAILABLE)
    forget (cache, entry);
  else
    {
      g_queue_push_head_link (&cache->recent, &entry->link);
      evict (cache);
    }
  if (is_awaited)
    g_cond_broadcast (&cache->finished);
}

static CacheEntry *
entry_add (TpdUnwrapCache *cache, const CacheKey *key)
{
  CacheEntry *entry = g_new0 (CacheEntry, 1);
  entry->key = *key;
  entry->users = 1;
  entry->link.data = entry;
  g_hash_table_insert (cache->entries, &entry->key, entry);
  return entry;
}

/* With the lock held: the entry for `key`, with one user more. TRUE: it is new,
 * and this thread is to fill it. */
static gboolean
entry_take (TpdUnwrapCache *cache, const CacheKey *key, CacheEntry **entry)
{
  gboolean is_new;

  *entry = g_hash_table_lookup (cache->entries, key);
  is_new = *entry == NULL;
  if (is_new)
    *entry = entry_add (cache, key);
  else if ((*entry)->done)
    {
      g_queue_unlink (&cache->recent, &(*entry)->link);
      g_queue_push_head_link (&cache->recent, &(*entry)->link);
    }
  (*entry)->users++;
  return is_new;
}

/* With the lock held, which is given up while the backend works. Nothing is
 * waited for before all that this thread has to fill is filled: so no two wait
 * for each other. */
static void
fill (TpdUnwrapCache *cache, CacheEntry **entries, const TpdUnwrapRequest *requests, guint n)
{
  TpdUnwrapReply replies[TPD_UNWRAP_MANY];

  if (n == 0)
    return;
  g_mutex_unlock (&cache->lock);
  tpd_unwrapper_unwrap_many (cache->backend, requests, n, replies);
  g_mutex_lock (&cache->lock);
  for (guint i = 0; i < n; i++)
    finish (cache, entries[i], &replies[i]);
}

static void
cache_unwrap_many (TpdUnwrapper *self, const TpdUnwrapRequest *requests, guint n, TpdUnwrapReply *replies)
{
  TpdUnwrapCache *cache = (TpdUnwrapCache *) self;
  CacheKey keys[TPD_UNWRAP_MANY];
  CacheEntry *entries[TPD_UNWRAP_MANY], *new_entries[TPD_UNWRAP_MANY];
  TpdUnwrapRequest new_requests[TPD_UNWRAP_MANY];
  guint n_new = 0;

  for (guint i = 0; i < n; i++)
    keys[i] = cache_key (&requests[i]);
  g_mutex_lock (&cache->lock);
  for (guint i = 0; i < n; i++)
    if (entry_take (cache, &keys[i], &entries[i]))
      {
        new_entries[n_new] = entries[i];
        new_requests[n_new++] = requests[i];
      }
  fill (cache, new_entries, new_requests, n_new);
  for (guint i = 0; i < n; i++)
    {
      while (!entries[i]->done)
        g_cond_wait (&cache->finished, &cache->lock);
      copy_reply (&entries[i]->reply, &replies[i]);
      entry_release (entries[i]);
    }
  g_mutex_unlock (&cache->lock);
}

static void
cache_unwrap (TpdUnwrapper *self, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  if (request->purpose == TPD_PURPOSE_TRACE)
    tpd_unwrapper_unwrap (((TpdUnwrapCache *) self)->backend, request, reply);
  else
    cache_unwrap_many (self, request, 1, reply);
}

static void
cache_free (TpdUnwrapper *self)
{
  TpdUnwrapCache *cache = (TpdUnwrapCache *) self;

  cache->max_entries = 0;
  evict (cache);
  g_hash_table_unref (cache->entries);
  g_cond_clear (&cache->finished);
  g_mutex_clear (&cache->lock);
  tpd_unwrapper_unref (cache->backend);
  g_free (cache);
}

TpdUnwrapper *
tpd_unwrap_cache_new (TpdUnwrapper *backend, guint max_entries)
{
  static const TpdUnwrapperClass klass = { cache_unwrap, cache_free, cache_unwrap_many };
  TpdUnwrapCache *cache = g_new0 (TpdUnwrapCache, 1);

  cache->base.klass = &klass;
  cache->base.ref_count = 1;
  cache->backend = tpd_unwrapper_ref (backend);
  cache->max_entries = MAX (max_entries, 1);
  cache->entries = g_hash_table_new (cache_key_hash, cache_key_equal);
  g_mutex_init (&cache->lock);
  g_cond_init (&cache->finished);
  g_queue_init (&cache->recent);
  return &cache->base;
}
