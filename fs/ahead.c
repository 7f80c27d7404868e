/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fs/ahead.h. Two tables of fixed size: of what comes behind a directory,
 * and of processes. Keys that fall together push each other out.
 *
 * The lock of a process's slot is held while a directory is prepared for it, so
 * that its OPENDIR waits for that instead of doing the same. Nobody else ever
 * waits for it.
 */
#include "fs/ahead.h"

#include "base/hash.h"

#define N_WAYS 8192
#define N_WALKS 16
#define MAX_DEPTH 64

typedef enum { FIRST_IN = 1, BEHIND } Key;

typedef struct {
  guint64 key, id;
} Way;

/* Of one process. */
typedef struct {
  GMutex lock;
  gint pid;          /* atomic; changed under lock */
  guint64 expected;  /* atomic; changed under lock; 0: nothing */
  gboolean trusted;  /* the last guess was right, under lock */
  gpointer prepared; /* for `expected`, under lock; may be NULL */
} Walk;

struct _TpdAhead {
  TpdInodes *inodes;
  GDestroyNotify drop;
  Walk walks[N_WALKS];
  GMutex lock;
  Way ways[N_WAYS]; /* under lock */
};

TpdAhead *
tpd_ahead_new (TpdInodes *inodes, GDestroyNotify drop)
{
  TpdAhead *ahead = g_new0 (TpdAhead, 1);

  ahead->inodes = inodes;
  ahead->drop = drop;
  g_mutex_init (&ahead->lock);
  for (guint i = 0; i < N_WALKS; i++)
    g_mutex_init (&ahead->walks[i].lock);
  return ahead;
}

void
tpd_ahead_free (TpdAhead *ahead)
{
  for (guint i = 0; i < N_WALKS; i++)
    {
      g_clear_pointer (&ahead->walks[i].prepared, ahead->drop);
      g_mutex_clear (&ahead->walks[i].lock);
    }
  g_mutex_clear (&ahead->lock);
  g_free (ahead);
}

/* --- Ways ------------------------------------------------------------- */

static Way *
way_of (TpdAhead *ahead, Key kind, guint64 id, guint64 *key)
{
  *key = id << 2 | kind;
  return &ahead->ways[tpd_hash_mix (*key) % N_WAYS];
}

void
tpd_ahead_note (TpdAhead *ahead, guint64 dir, guint64 before, guint64 child)
{
  guint64 key;
  Way *way = before != 0 ? way_of (ahead, BEHIND, before, &key) : way_of (ahead, FIRST_IN, dir, &key);

  g_mutex_lock (&ahead->lock);
  way->key = key;
  way->id = child;
  g_mutex_unlock (&ahead->lock);
}

static guint64
follow (TpdAhead *ahead, Key kind, guint64 id)
{
  guint64 key, found;
  const Way *way = way_of (ahead, kind, id, &key);

  g_mutex_lock (&ahead->lock);
  found = way->key == key ? way->id : 0;
  g_mutex_unlock (&ahead->lock);
  return found;
}

static guint64
parent_of (TpdAhead *ahead, guint64 id)
{
  TpdNode *node = tpd_inodes_get (ahead->inodes, id);
  guint64 parent;

  if (node == NULL)
    return 0;
  parent = tpd_node_parent_id (node);
  tpd_node_unref (ahead->inodes, node);
  return parent;
}

guint64
tpd_ahead_guess (TpdAhead *ahead, guint64 dir)
{
  guint64 found = follow (ahead, FIRST_IN, dir);

  for (guint depth = 0; found == 0 && dir != 0 && depth < MAX_DEPTH; depth++)
    {
      found = follow (ahead, BEHIND, dir);
      dir = parent_of (ahead, dir);
    }
  return found;
}

/* --- Walks ------------------------------------------------------------ */

static Walk *
walk_of (TpdAhead *ahead, pid_t pid)
{
  return &ahead->walks[(guint) pid % N_WALKS];
}

void
tpd_ahead_expect (TpdAhead *ahead, pid_t pid, guint64 id, TpdAheadPrepare prepare, gpointer data)
{
  Walk *walk = walk_of (ahead, pid);
  gpointer old = NULL;

  if (!g_mutex_trylock (&walk->lock))
    return;
  if (walk->pid != pid)
    walk->trusted = FALSE;
  if (walk->pid != pid || walk->expected != id)
    {
      old = g_steal_pointer (&walk->prepared);
      g_atomic_int_set (&walk->pid, pid);
      __atomic_store_n (&walk->expected, id, __ATOMIC_RELAXED);
      if (walk->trusted && id != 0)
        walk->prepared = prepare (data, id);
    }
  g_mutex_unlock (&walk->lock);
  if (old != NULL)
    ahead->drop (old);
}

gpointer
tpd_ahead_take (TpdAhead *ahead, pid_t pid, guint64 id)
{
  Walk *walk = walk_of (ahead, pid);
  gpointer prepared = NULL;
  gboolean right;

  if (g_atomic_int_get (&walk->pid) != pid)
    return NULL;
  right = __atomic_load_n (&walk->expected, __ATOMIC_RELAXED) == id;
  if (right)
    g_mutex_lock (&walk->lock);
  else if (!g_mutex_trylock (&walk->lock))
    return NULL;
  if (walk->pid == pid)
    {
      right = walk->expected == id;
      walk->trusted = right;
      prepared = g_steal_pointer (&walk->prepared);
      __atomic_store_n (&walk->expected, 0, __ATOMIC_RELAXED);
    }
  g_mutex_unlock (&walk->lock);
  if (prepared != NULL && !right)
    g_clear_pointer (&prepared, ahead->drop);
  return prepared;
}
