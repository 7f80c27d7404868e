/* SPDX-License-Identifier: Apache-2.0 */
/* Totals: see tally.h. */
#include "tools/tally.h"

#include <string.h>

#include "base/text.h"
#include "tools/record.h"

/* Names come from the files: neither they nor their number are trusted. */
#define MAX_NAMES 20000
#define MAX_KEYS 20000
#define MAX_NAME_BYTES 256

void
tpd_count_to_json (TpdJson *json, const char *name, TpdCount count)
{
  tpd_json_begin_object (json, name);
  tpd_json_uint (json, "files", count.files);
  tpd_json_uint (json, "bytes", count.bytes);
  tpd_json_end_object (json);
}

static void
name_free (gpointer data)
{
  TpdTallyName *entry = data;

  g_free (entry->name);
  g_free (entry);
}

static void
key_free (gpointer data)
{
  TpdTallyKey *entry = data;

  g_free ((char *) entry->key.guid);
  g_free ((char *) entry->key.tenant);
  g_free ((char *) entry->key.url);
  g_free (entry);
}

void
tpd_tally_init (TpdTally *tally)
{
  memset (tally, 0, sizeof *tally);
  tally->keys = g_hash_table_new_full (tpd_fingerprint_hash, tpd_fingerprint_same, NULL, key_free);
  for (guint i = 0; i < TPD_TALLY_N_GROUPS; i++)
    tally->groups[i] = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, name_free);
}

void
tpd_tally_clear (TpdTally *tally)
{
  g_clear_pointer (&tally->keys, g_hash_table_unref);
  for (guint i = 0; i < TPD_TALLY_N_GROUPS; i++)
    g_clear_pointer (&tally->groups[i], g_hash_table_unref);
}

static void
count_add (TpdCount *into, TpdCount count)
{
  into->files += count.files;
  into->bytes += count.bytes;
}

static void
group_add (TpdTally *tally, TpdTallyGroup group, const char *name, TpdCount count)
{
  TpdTallyName *entry;
  char *cut = NULL;

  if (name == NULL)
    name = "";
  if (strlen (name) > MAX_NAME_BYTES)
    {
      const char *end = g_utf8_find_prev_char (name, name + MAX_NAME_BYTES);

      cut = g_strndup (name, end != NULL ? (gsize) (end - name) : MAX_NAME_BYTES);
      name = cut;
    }
  entry = g_hash_table_lookup (tally->groups[group], name);
  if (entry == NULL && g_hash_table_size (tally->groups[group]) < MAX_NAMES)
    {
      entry = g_new0 (TpdTallyName, 1);
      entry->name = g_strdup (name);
      g_hash_table_insert (tally->groups[group], entry->name, entry);
    }
  count_add (entry != NULL ? &entry->count : &tally->rest[group], count);
  g_free (cut);
}

static void
key_add (TpdTally *tally, const TpdIndexKey *key, gboolean held, TpdCount count)
{
  TpdTallyKey *entry = g_hash_table_lookup (tally->keys, &key->fingerprint);

  if (entry == NULL)
    {
      if (g_hash_table_size (tally->keys) >= MAX_KEYS)
        return;
      entry = g_new0 (TpdTallyKey, 1);
      entry->key = *key;
      entry->key.guid = g_strdup (key->guid);
      entry->key.tenant = g_strdup (key->tenant);
      entry->key.url = g_strdup (key->url);
      entry->held = held;
      g_hash_table_insert (tally->keys, &entry->key.fingerprint, entry);
    }
  count_add (&entry->count, count);
}

static void
add_time (TpdTally *tally, const char *issued, TpdCount count, const char *cutoff)
{
  guint64 year = 0;

  if (tpd_record_issued_is_time (issued))
    {
      g_autofree char *digits = g_strndup (issued, 4);

      (void) tpd_number_parse (digits, 10, 0, 9999, &year);
      if (cutoff != NULL && strcmp (issued, cutoff) >= 0)
        count_add (&tally->cutoff, count);
    }
  if (year >= TPD_TALLY_FIRST_YEAR && year < TPD_TALLY_FIRST_YEAR + TPD_TALLY_N_YEARS)
    count_add (&tally->years[year - TPD_TALLY_FIRST_YEAR], count);
  else
    count_add (&tally->no_year, count);
}

void
tpd_tally_add (TpdTally *tally, const TpdIndexRow *row, const TpdIndexDocument *document, const TpdKeyring *keyring,
               const char *cutoff)
{
  TpdCount count = { 1, row->size };
  TpdVerdict verdict = tpd_record_verdict (row, document, keyring);

  count_add (row->archive != NULL ? &tally->members : &tally->all, count);
  if (row->members > 0)
    count_add (&tally->containers, count);
  count_add (&tally->cells[row->kind][verdict], count);
  if (tpd_record_is_problem (verdict, document != NULL, keyring))
    count_add (&tally->problems, count);
  if (tpd_record_is_failure (verdict, keyring))
    tally->failures++;
  if (!tpd_record_is_protected (row))
    return;
  count_add (&tally->protected, count);
  if (document == NULL || !document->has_key)
    return;
  key_add (tally, &document->key, tpd_record_key_is_held (document, keyring), count);
  add_time (tally, document->issued, count, cutoff);
  group_add (tally, TPD_TALLY_TEMPLATES, document->template_name, count);
  group_add (tally, TPD_TALLY_OWNERS, document->rms_owner, count);
}

static void
merge_group (TpdTally *into, const TpdTally *from, TpdTallyGroup group)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, from->groups[group]);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const TpdTallyName *entry = value;
      group_add (into, group, entry->name, entry->count);
    }
  count_add (&into->rest[group], from->rest[group]);
}

static void
merge_keys (TpdTally *into, const TpdTally *from)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, from->keys);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const TpdTallyKey *entry = value;
      key_add (into, &entry->key, entry->held, entry->count);
    }
}

void
tpd_tally_merge (TpdTally *into, const TpdTally *from)
{
  count_add (&into->all, from->all);
  for (guint i = 0; i < TPD_N_KINDS; i++)
    for (guint j = 0; j < TPD_N_VERDICTS; j++)
      count_add (&into->cells[i][j], from->cells[i][j]);
  count_add (&into->protected, from->protected);
  count_add (&into->problems, from->problems);
  count_add (&into->containers, from->containers);
  count_add (&into->members, from->members);
  count_add (&into->cutoff, from->cutoff);
  for (guint i = 0; i < TPD_TALLY_N_YEARS; i++)
    count_add (&into->years[i], from->years[i]);
  count_add (&into->no_year, from->no_year);
  merge_keys (into, from);
  for (guint i = 0; i < TPD_TALLY_N_GROUPS; i++)
    merge_group (into, from, (TpdTallyGroup) i);
  into->failures += from->failures;
  into->failed_dirs += from->failed_dirs;
  into->links += from->links;
  into->symlinks += from->symlinks;
  into->others += from->others;
  into->excluded += from->excluded;
  into->foreign += from->foreign;
  into->opened += from->opened;
  into->known += from->known;
}

guint
tpd_tally_n_names (const TpdTally *tally)
{
  guint n = g_hash_table_size (tally->keys);

  for (guint i = 0; i < TPD_TALLY_N_GROUPS; i++)
    n += g_hash_table_size (tally->groups[i]);
  return n;
}

TpdCount
tpd_tally_kind (const TpdTally *tally, TpdKind kind)
{
  TpdCount count = { 0 };

  for (guint i = 0; i < TPD_N_VERDICTS; i++)
    count_add (&count, tally->cells[kind][i]);
  return count;
}

TpdCount
tpd_tally_verdict (const TpdTally *tally, TpdVerdict verdict)
{
  TpdCount count = { 0 };

  for (guint i = 0; i < TPD_N_KINDS; i++)
    count_add (&count, tally->cells[i][verdict]);
  return count;
}

static gint
compare_counts (TpdCount a, TpdCount b)
{
  if (a.files != b.files)
    return a.files > b.files ? -1 : 1;
  return a.bytes == b.bytes ? 0 : a.bytes > b.bytes ? -1 : 1;
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  const TpdTallyName *first = *(const TpdTallyName *const *) a, *second = *(const TpdTallyName *const *) b;
  gint order = compare_counts (first->count, second->count);

  return order != 0 ? order : strcmp (first->name, second->name);
}

static gint
compare_keys (gconstpointer a, gconstpointer b)
{
  const TpdTallyKey *first = *(const TpdTallyKey *const *) a, *second = *(const TpdTallyKey *const *) b;
  gint order = compare_counts (first->count, second->count);

  return order != 0 ? order : memcmp (&first->key.fingerprint, &second->key.fingerprint, TPD_SHA256_SIZE);
}

static GPtrArray *
sorted_values (GHashTable *table, GCompareFunc compare)
{
  GPtrArray *values = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, table);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    g_ptr_array_add (values, value);
  g_ptr_array_sort (values, compare);
  return values;
}

GPtrArray *
tpd_tally_keys (const TpdTally *tally)
{
  return sorted_values (tally->keys, compare_keys);
}

GPtrArray *
tpd_tally_names (const TpdTally *tally, TpdTallyGroup group)
{
  return sorted_values (tally->groups[group], compare_names);
}
