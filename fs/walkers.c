/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fs/walkers.h. A table of fixed size without locks: each slot is one
 * number that holds the rest of a key's hash and when it was last seen. Keys
 * that fall together push each other out, and a wrong answer costs time only.
 */
#include "fs/walkers.h"

#include "base/hash.h"

#define N_SLOTS 4096
/* Seconds for which a habit is trusted. */
#define MEMORY 60
#define TIME_BITS 20
#define TIME_MASK ((G_GUINT64_CONSTANT (1) << TIME_BITS) - 1)

typedef enum { BY_PROCESS = 1, BY_DIRECTORY } Key;

struct _TpdWalkers {
  guint64 slots[N_SLOTS]; /* atomic: hash << TIME_BITS | seconds */
};

TpdWalkers *
tpd_walkers_new (void)
{
  return g_new0 (TpdWalkers, 1);
}

void
tpd_walkers_free (TpdWalkers *walkers)
{
  g_free (walkers);
}

static guint64
hash (Key kind, guint64 value)
{
  return tpd_hash_mix (value << 2 | kind);
}

static guint64
now (void)
{
  return (guint64) (g_get_monotonic_time () / G_USEC_PER_SEC);
}

static void
note (TpdWalkers *walkers, Key kind, guint64 value)
{
  guint64 x = hash (kind, value);

  __atomic_store_n (&walkers->slots[x % N_SLOTS], (x & ~TIME_MASK) | (now () & TIME_MASK), __ATOMIC_RELAXED);
}

static gboolean
is_noted (TpdWalkers *walkers, Key kind, guint64 value)
{
  guint64 x = hash (kind, value);
  guint64 slot = __atomic_load_n (&walkers->slots[x % N_SLOTS], __ATOMIC_RELAXED);

  return slot != 0 && ((slot ^ x) & ~TIME_MASK) == 0 && ((now () - slot) & TIME_MASK) < MEMORY;
}

void
tpd_walkers_note_lookup (TpdWalkers *walkers, pid_t pid, guint64 id)
{
  note (walkers, BY_PROCESS, (guint64) pid);
  note (walkers, BY_DIRECTORY, id);
}

gboolean
tpd_walkers_want_attributes (TpdWalkers *walkers, pid_t pid, guint64 id)
{
  return is_noted (walkers, BY_PROCESS, (guint64) pid) || is_noted (walkers, BY_DIRECTORY, id);
}
