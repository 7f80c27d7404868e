/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Licenses that were parsed before: see license_cache.h. The oldest entry makes
 * room, whether it was asked for again or not: copies lie together.
 *
 * Most licenses of a share are met once. Of these nothing is kept but a number, or
 * each would be read into memory that no processor has at hand: only what is met
 * again is kept, and need not be read when it is met for the third time.
 */
#include "tools/license_cache.h"

#include "base/hash.h"

/* Larger ones are rare, and would make the cache large. */
#define MAX_BYTES (64 * 1024)

/* Numbers of licenses that were met once; later ones take their places. */
#define MET 4096

typedef struct {
  guint64 hash; /* first: it is the key of the table */
  GBytes *bytes;
  TpdLicense *license;
} Entry;

struct _TpdLicenseCache {
  guint max;
  GMutex lock;
  GHashTable *entries; /* set of Entry, under lock */
  GQueue order;        /* the same, oldest first, under lock */
  guint64 met[MET];    /* under lock */
};

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  g_bytes_unref (entry->bytes);
  tpd_license_unref (entry->license);
  g_free (entry);
}

TpdLicenseCache *
tpd_license_cache_new (guint max)
{
  TpdLicenseCache *cache = g_new0 (TpdLicenseCache, 1);

  cache->max = max;
  g_mutex_init (&cache->lock);
  g_queue_init (&cache->order);
  cache->entries = g_hash_table_new_full (g_int64_hash, g_int64_equal, entry_free, NULL);
  return cache;
}

void
tpd_license_cache_free (TpdLicenseCache *cache)
{
  if (cache == NULL)
    return;
  g_queue_clear (&cache->order);
  g_hash_table_unref (cache->entries);
  g_mutex_clear (&cache->lock);
  g_free (cache);
}

/* `*again`: it was met before, and is not kept. */
static TpdLicense *
find (TpdLicenseCache *cache, guint64 hash, GBytes *bytes, gboolean *again)
{
  TpdLicense *license = NULL;
  g_autoptr (GBytes) known = NULL;
  guint64 *met = &cache->met[hash % MET];
  Entry *entry;

  g_mutex_lock (&cache->lock);
  entry = g_hash_table_lookup (cache->entries, &hash);
  *again = entry == NULL && *met == hash;
  if (entry == NULL)
    *met = hash;
  else
    {
      known = g_bytes_ref (entry->bytes);
      license = tpd_license_ref (entry->license);
    }
  g_mutex_unlock (&cache->lock);
  if (known == NULL || g_bytes_equal (known, bytes))
    return license;
  tpd_license_unref (license);
  return NULL;
}

static void
remember (TpdLicenseCache *cache, guint64 hash, GBytes *bytes, TpdLicense *license)
{
  Entry *entry = g_new (Entry, 1), *gone = NULL;

  *entry = (Entry){ hash, g_bytes_ref (bytes), tpd_license_ref (license) };
  g_mutex_lock (&cache->lock);
  if (g_hash_table_contains (cache->entries, &hash))
    gone = entry;
  else
    {
      if (g_hash_table_size (cache->entries) >= cache->max)
        {
          gone = g_queue_pop_head (&cache->order);
          g_hash_table_steal (cache->entries, gone);
        }
      g_hash_table_add (cache->entries, entry);
      g_queue_push_tail (&cache->order, entry);
    }
  g_mutex_unlock (&cache->lock);
  /* Not while others wait. */
  if (gone != NULL)
    entry_free (gone);
}

TpdLicense *
tpd_license_cache_parse (TpdLicenseCache *cache, GBytes *bytes, GError **error)
{
  TpdLicense *license;
  gsize len;
  const guint8 *data = g_bytes_get_data (bytes, &len);
  gboolean again;
  guint64 hash;

  if (cache == NULL || len > MAX_BYTES)
    return tpd_license_parse (data, len, error);
  /* Content key and signature are longer than what the sample leaves out, so that
   * licenses that differ differ there. Those that do not are told apart by all of
   * their bytes, and only one of them is kept. */
  hash = tpd_hash64_sample (data, len);
  license = find (cache, hash, bytes, &again);
  if (license == NULL)
    {
      license = tpd_license_parse (data, len, error);
      if (license != NULL && again)
        remember (cache, hash, bytes, license);
    }
  return license;
}
