/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inode table: see fs/inode.h.
 *
 * Who owns a node
 *
 * The kernel names files by node id and counts how often it was told of each
 * (LOOKUP and READDIRPLUS replies); FORGET gives counts back. It may name an
 * id at any time until its count is zero, also when the file has long gone
 * from the source. So a node lives as long as any of these refer to it:
 *
 *   - the kernel's count: one reference while `nlookup` is above zero;
 *   - each child node: its way to reopen the file leads through the parent,
 *     which the kernel may forget earlier (a file that is open and unlinked,
 *     a hard link whose directory was dropped from the dentry cache);
 *   - whoever is using it now, between tpd_inodes_get() or _intern() and
 *     tpd_node_unref();
 *   - each open file.
 *
 * The last to go takes the node out of both tables and frees it. Ids come
 * from a counter and are never used again for another file: an id that the
 * kernel still holds must not come to mean something else.
 *
 * A node is found by id for requests, and by (dev, ino) so that hard links
 * stay one inode. Source file systems use inode numbers again: when the type
 * of file differs from the node's, the old node is detached (found by id
 * only) and a new one takes its place; likewise when a file that is open
 * becomes one that must be read in another way (fs/open_file.c). When the type is the same, the stamp
 * shows the change; the old file cannot have been open through us, or its
 * number would not have been free.
 *
 * A node holds no descriptor: a mount with millions of known files would
 * need millions. It holds the way it was last seen: parent and name. The way
 * is a hint, verified by (dev, ino) whenever it is gone (fs/dirfd.c); ESTALE
 * makes the kernel look the path up anew, which sets the way right.
 *
 * Nodes and their names lie in slabs (fs/slab.h), so that the memory goes back
 * to the system when the kernel forgets. Directories, which stay known longer
 * than what is in them, have slabs of their own. The tables shrink as well.
 *
 * Locks
 *
 * file shard > id shard > node. Both tables are divided into shards, so that
 * requests for different files rarely meet. A node found in a shard under its
 * lock has at least one reference, because the last reference is given up
 * under both locks. Directories change their parent under `move_lock`, where
 * it is checked that no directory comes to lie beneath itself: renames in the
 * source, seen at different times, could otherwise close a circle.
 */
#include "fs/inode.h"

#include <string.h>

#include "base/hash.h"
#include "fs/slab.h"

#define N_SHARDS 64
#define MIN_BUCKETS 16
#define MAX_DEPTH 4096
/* Names lie in cells of these sizes: 16, 32, ... Longer ones are rare. */
#define NAME_STEP 16
#define N_NAME_SLABS 16

typedef enum { BY_ID, BY_FILE } Table;

typedef struct {
  GMutex lock;
  TpdNode **buckets; /* chained through next_id or next_file */
  guint n_buckets;   /* a power of two */
  guint n_nodes;
} Shard;

struct _TpdInodes {
  Shard shards[2][N_SHARDS];
  GMutex move_lock;
  guint64 next_id; /* atomic */
  guint64 count;   /* atomic */
  TpdNode *root;
  TpdSlabs files, directories; /* nodes */
  TpdSlabs names[N_NAME_SLABS];
};

static guint64
node_hash (Table table, const TpdNode *node)
{
  return table == BY_ID ? tpd_hash_mix (node->id) : tpd_hash_file (node->stamp.dev, node->stamp.ino);
}

static Shard *
shard_of (TpdInodes *inodes, Table table, guint64 hash)
{
  return &inodes->shards[table][hash % N_SHARDS];
}

static TpdNode **
bucket_of (const Shard *shard, guint64 hash)
{
  return &shard->buckets[hash / N_SHARDS & (shard->n_buckets - 1)];
}

static TpdNode **
next_of (Table table, TpdNode *node)
{
  return table == BY_ID ? &node->next_id : &node->next_file;
}

static void
shard_resize (Shard *shard, Table table, guint n_buckets)
{
  TpdNode **old = shard->buckets;
  guint n_old = shard->n_buckets;

  shard->n_buckets = n_buckets;
  shard->buckets = g_new0 (TpdNode *, n_buckets);
  for (guint i = 0; i < n_old; i++)
    {
      TpdNode *node = old[i];

      while (node != NULL)
        {
          TpdNode **next = next_of (table, node), *following = *next;
          TpdNode **bucket = bucket_of (shard, node_hash (table, node));

          *next = *bucket;
          *bucket = node;
          node = following;
        }
    }
  g_free (old);
}

static void
shard_insert (Shard *shard, Table table, TpdNode *node)
{
  TpdNode **bucket;

  if (shard->n_nodes >= shard->n_buckets)
    shard_resize (shard, table, shard->n_buckets * 2);
  bucket = bucket_of (shard, node_hash (table, node));
  *next_of (table, node) = *bucket;
  *bucket = node;
  shard->n_nodes++;
}

static void
shard_remove (Shard *shard, Table table, TpdNode *node)
{
  TpdNode **link = bucket_of (shard, node_hash (table, node));

  while (*link != node)
    link = next_of (table, *link);
  *link = *next_of (table, node);
  shard->n_nodes--;
  if (shard->n_buckets > MIN_BUCKETS && shard->n_nodes < shard->n_buckets / 8)
    shard_resize (shard, table, shard->n_buckets / 2);
}

static guint8
type_of (const TpdStamp *stamp)
{
  return (guint8) ((stamp->mode & S_IFMT) >> 12);
}

static TpdSlabs *
name_slabs (TpdInodes *inodes, gsize size)
{
  return size <= N_NAME_SLABS * NAME_STEP ? &inodes->names[(size - 1) / NAME_STEP] : NULL;
}

/* A copy, to be freed with name_free(). */
static char *
name_new (TpdInodes *inodes, const char *name)
{
  gsize size = strlen (name) + 1;
  TpdSlabs *slabs = name_slabs (inodes, size);

  return memcpy (slabs != NULL ? tpd_slabs_alloc (slabs) : g_malloc (size), name, size);
}

static void
name_free (TpdInodes *inodes, char *name)
{
  TpdSlabs *slabs = name != NULL ? name_slabs (inodes, strlen (name) + 1) : NULL;

  if (slabs != NULL)
    tpd_slabs_free (slabs, name);
  else
    g_free (name);
}

static TpdSlabs *
node_slabs (TpdInodes *inodes, guint8 type)
{
  return type == S_IFDIR >> 12 ? &inodes->directories : &inodes->files;
}

static TpdNode *
node_new (TpdInodes *inodes, guint64 id, TpdNode *parent, const char *name, const TpdStamp *stamp)
{
  TpdNode *node = tpd_slabs_alloc (node_slabs (inodes, type_of (stamp)));

  node->id = id;
  node->type = type_of (stamp);
  node->parent = parent != NULL ? tpd_node_ref (parent) : NULL;
  node->name = name != NULL ? name_new (inodes, name) : NULL;
  node->stamp = *stamp;
  node->refs = 1;
  __atomic_add_fetch (&inodes->count, 1, __ATOMIC_RELAXED);
  return node;
}

static void
node_free (TpdInodes *inodes, TpdNode *node)
{
  name_free (inodes, node->name);
  tpd_slabs_free (node_slabs (inodes, node->type), node);
}

TpdInodes *
tpd_inodes_new (const TpdStamp *root)
{
  TpdInodes *inodes = g_new0 (TpdInodes, 1);

  tpd_slabs_init (&inodes->files, sizeof (TpdNode));
  tpd_slabs_init (&inodes->directories, sizeof (TpdNode));
  for (guint i = 0; i < N_NAME_SLABS; i++)
    tpd_slabs_init (&inodes->names[i], (i + 1) * NAME_STEP);
  for (guint table = 0; table < 2; table++)
    for (guint i = 0; i < N_SHARDS; i++)
      {
        Shard *shard = &inodes->shards[table][i];

        g_mutex_init (&shard->lock);
        shard->n_buckets = MIN_BUCKETS;
        shard->buckets = g_new0 (TpdNode *, MIN_BUCKETS);
      }
  g_mutex_init (&inodes->move_lock);
  inodes->next_id = TPD_NODE_FIRST;
  inodes->root = node_new (inodes, TPD_NODE_ROOT, NULL, NULL, root);
  shard_insert (shard_of (inodes, BY_ID, node_hash (BY_ID, inodes->root)), BY_ID, inodes->root);
  shard_insert (shard_of (inodes, BY_FILE, node_hash (BY_FILE, inodes->root)), BY_FILE, inodes->root);
  return inodes;
}

void
tpd_inodes_foreach (TpdInodes *inodes, void (*each) (TpdNode *node, gpointer data), gpointer data)
{
  for (guint i = 0; i < N_SHARDS; i++)
    {
      Shard *shard = &inodes->shards[BY_ID][i];

      for (guint j = 0; j < shard->n_buckets; j++)
        for (TpdNode *node = shard->buckets[j], *next; node != NULL; node = next)
          {
            next = node->next_id;
            each (node, data);
          }
    }
}

/* Of names, only those that are in no slab are left to free. */
static void
free_long_name (TpdNode *node, gpointer data)
{
  if (node->name != NULL && name_slabs (data, strlen (node->name) + 1) == NULL)
    g_free (node->name);
}

void
tpd_inodes_free (TpdInodes *inodes)
{
  tpd_inodes_foreach (inodes, free_long_name, inodes);
  tpd_slabs_clear (&inodes->files);
  tpd_slabs_clear (&inodes->directories);
  for (guint i = 0; i < N_NAME_SLABS; i++)
    tpd_slabs_clear (&inodes->names[i]);
  for (guint table = 0; table < 2; table++)
    for (guint i = 0; i < N_SHARDS; i++)
      {
        g_mutex_clear (&inodes->shards[table][i].lock);
        g_free (inodes->shards[table][i].buckets);
      }
  g_mutex_clear (&inodes->move_lock);
  g_free (inodes);
}

guint64
tpd_inodes_count (const TpdInodes *inodes)
{
  return __atomic_load_n (&inodes->count, __ATOMIC_RELAXED);
}

TpdNode *
tpd_node_ref (TpdNode *node)
{
  g_atomic_int_inc (&node->refs);
  return node;
}

/* Gives up one reference, and the node with it when it was the last: then its
 * parent is returned, one reference of which is now the caller's. */
static TpdNode *
node_unref_one (TpdInodes *inodes, TpdNode *node)
{
  Shard *by_file, *by_id;
  TpdNode *parent = NULL;
  gboolean last;
  gint refs;

  while ((refs = g_atomic_int_get (&node->refs)) > 1)
    if (g_atomic_int_compare_and_exchange (&node->refs, refs, refs - 1))
      return NULL;

  by_file = shard_of (inodes, BY_FILE, node_hash (BY_FILE, node));
  by_id = shard_of (inodes, BY_ID, node_hash (BY_ID, node));
  g_mutex_lock (&by_file->lock);
  g_mutex_lock (&by_id->lock);
  last = g_atomic_int_dec_and_test (&node->refs);
  if (last)
    {
      if (!node->detached)
        shard_remove (by_file, BY_FILE, node);
      shard_remove (by_id, BY_ID, node);
    }
  g_mutex_unlock (&by_id->lock);
  g_mutex_unlock (&by_file->lock);
  if (!last)
    return NULL;

  parent = node->parent;
  node_free (inodes, node);
  __atomic_sub_fetch (&inodes->count, 1, __ATOMIC_RELAXED);
  return parent;
}

void
tpd_node_unref (TpdInodes *inodes, TpdNode *node)
{
  while (node != NULL)
    node = node_unref_one (inodes, node);
}

TpdNode *
tpd_inodes_get (TpdInodes *inodes, guint64 id)
{
  guint64 hash = tpd_hash_mix (id);
  Shard *shard = shard_of (inodes, BY_ID, hash);
  TpdNode *node;

  g_mutex_lock (&shard->lock);
  node = *bucket_of (shard, hash);
  while (node != NULL && node->id != id)
    node = node->next_id;
  if (node != NULL)
    tpd_node_ref (node);
  g_mutex_unlock (&shard->lock);
  return node;
}

void
tpd_node_lock (TpdNode *node)
{
  g_bit_lock (&node->lock, 0);
}

void
tpd_node_unlock (TpdNode *node)
{
  g_bit_unlock (&node->lock, 0);
}

/* Under move_lock, which keeps the parents of directories still. */
static gboolean
lies_beneath (TpdNode *node, TpdNode *ancestor)
{
  for (guint depth = 0; node != NULL && depth < MAX_DEPTH; depth++, node = node->parent)
    if (node == ancestor)
      return TRUE;
  return node != NULL;
}

/* Makes (parent, name) the way to a node that was already known. */
static void
node_move (TpdInodes *inodes, TpdNode *node, TpdNode *parent, const char *name)
{
  gboolean directory = node->type == S_IFDIR >> 12;
  gboolean same;
  TpdNode *old_parent = NULL;
  char *old_name = NULL;

  if (node->id == TPD_NODE_ROOT)
    return;
  tpd_node_lock (node);
  same = node->parent == parent && strcmp (node->name, name) == 0;
  tpd_node_unlock (node);
  if (same)
    return;

  char *new_name = name_new (inodes, name);
  if (directory)
    {
      g_mutex_lock (&inodes->move_lock);
      if (lies_beneath (parent, node))
        {
          g_mutex_unlock (&inodes->move_lock);
          name_free (inodes, new_name);
          return;
        }
    }
  tpd_node_lock (node);
  old_parent = node->parent;
  old_name = node->name;
  node->parent = tpd_node_ref (parent);
  node->name = new_name;
  tpd_node_unlock (node);
  if (directory)
    g_mutex_unlock (&inodes->move_lock);
  name_free (inodes, old_name);
  tpd_node_unref (inodes, old_parent);
}

static TpdNode *
find_file (const Shard *shard, guint64 hash, guint64 dev, guint64 ino)
{
  TpdNode *node = *bucket_of (shard, hash);

  while (node != NULL && (node->stamp.dev != dev || node->stamp.ino != ino))
    node = node->next_file;
  return node;
}

gboolean
tpd_inodes_knows (TpdInodes *inodes, guint64 dev, guint64 ino)
{
  guint64 hash = tpd_hash_file (dev, ino);
  Shard *shard = shard_of (inodes, BY_FILE, hash);
  gboolean known;

  g_mutex_lock (&shard->lock);
  known = find_file (shard, hash, dev, ino) != NULL;
  g_mutex_unlock (&shard->lock);
  return known;
}

TpdNode *
tpd_inodes_intern (TpdInodes *inodes, TpdNode *parent, const char *name, const TpdStamp *stamp)
{
  guint64 hash = tpd_hash_file (stamp->dev, stamp->ino);
  Shard *by_file = shard_of (inodes, BY_FILE, hash), *by_id;
  TpdNode *node;

  g_mutex_lock (&by_file->lock);
  node = find_file (by_file, hash, stamp->dev, stamp->ino);
  if (node != NULL && node->type != type_of (stamp))
    {
      shard_remove (by_file, BY_FILE, node);
      node->detached = TRUE;
      node = NULL;
    }
  if (node != NULL)
    {
      tpd_node_ref (node);
      g_mutex_unlock (&by_file->lock);
      node_move (inodes, node, parent, name);
      return node;
    }

  node = node_new (inodes, __atomic_fetch_add (&inodes->next_id, 1, __ATOMIC_RELAXED), parent, name, stamp);
  shard_insert (by_file, BY_FILE, node);
  by_id = shard_of (inodes, BY_ID, node_hash (BY_ID, node));
  g_mutex_lock (&by_id->lock);
  shard_insert (by_id, BY_ID, node);
  g_mutex_unlock (&by_id->lock);
  g_mutex_unlock (&by_file->lock);
  return node;
}

void
tpd_inodes_detach (TpdInodes *inodes, TpdNode *node)
{
  Shard *by_file = shard_of (inodes, BY_FILE, node_hash (BY_FILE, node));

  if (node->id == TPD_NODE_ROOT)
    return;
  g_mutex_lock (&by_file->lock);
  if (!node->detached)
    {
      shard_remove (by_file, BY_FILE, node);
      node->detached = TRUE;
    }
  g_mutex_unlock (&by_file->lock);
}

void
tpd_inodes_remember (TpdNode *node)
{
  if (__atomic_fetch_add (&node->nlookup, 1, __ATOMIC_ACQ_REL) == 0)
    tpd_node_ref (node);
}

void
tpd_inodes_forget (TpdInodes *inodes, guint64 id, guint64 n)
{
  TpdNode *node = tpd_inodes_get (inodes, id);
  guint64 old, left;

  if (node == NULL)
    return;
  /* The root has no count: the kernel forgets it at unmount all the same. */
  old = __atomic_load_n (&node->nlookup, __ATOMIC_ACQUIRE);
  do
    left = old > n ? old - n : 0;
  while (!__atomic_compare_exchange_n (&node->nlookup, &old, left, FALSE, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
  if (old > 0 && left == 0)
    tpd_node_unref (inodes, node);
  tpd_node_unref (inodes, node);
}

gboolean
tpd_node_way (TpdNode *node, TpdNode **parent, char **name)
{
  if (node->id == TPD_NODE_ROOT)
    return FALSE;
  tpd_node_lock (node);
  *parent = tpd_node_ref (node->parent);
  *name = g_strdup (node->name);
  tpd_node_unlock (node);
  return TRUE;
}

guint64
tpd_node_parent_id (TpdNode *node)
{
  guint64 id;

  tpd_node_lock (node);
  id = node->parent != NULL ? node->parent->id : 0;
  tpd_node_unlock (node);
  return id;
}

char *
tpd_node_path (TpdInodes *inodes, TpdNode *node)
{
  g_autoptr (GString) path = g_string_new (NULL);
  TpdNode *at = tpd_node_ref (node), *parent;

  for (guint depth = 0; depth < MAX_DEPTH; depth++)
    {
      g_autofree char *name = NULL;

      if (!tpd_node_way (at, &parent, &name))
        break;
      if (path->len > 0)
        g_string_prepend_c (path, '/');
      g_string_prepend (path, name);
      tpd_node_unref (inodes, at);
      at = parent;
    }
  tpd_node_unref (inodes, at);
  if (path->len == 0)
    g_string_append_c (path, '.');
  return g_string_free (g_steal_pointer (&path), FALSE);
}

void
tpd_node_get_published (TpdNode *node, TpdStamp *stamp, TpdFacts *facts)
{
  tpd_node_lock (node);
  *stamp = node->stamp;
  *facts = node->facts;
  tpd_node_unlock (node);
}

void
tpd_node_publish (TpdNode *node, const TpdStamp *stamp, const TpdFacts *facts)
{
  tpd_node_lock (node);
  if (!tpd_stamp_same_content (&node->stamp, stamp) || node->facts.size != facts->size)
    node->cached = FALSE;
  node->stamp.size = stamp->size;
  node->stamp.mtime_ns = stamp->mtime_ns;
  node->stamp.ctime_ns = stamp->ctime_ns;
  node->stamp.mode = stamp->mode;
  node->stamp.uid = stamp->uid;
  node->stamp.gid = stamp->gid;
  node->facts = *facts;
  tpd_node_unlock (node);
}
