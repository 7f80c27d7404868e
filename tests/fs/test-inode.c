/* SPDX-License-Identifier: Apache-2.0 */
/* The inode table: identity, lookup counts, hard links, renames, threads. */
#include <string.h>
#include <sys/stat.h>

#include "fs/inode.h"

static TpdStamp
stamp_of (guint64 ino, guint32 type)
{
  return (TpdStamp){ .dev = 1, .ino = ino, .size = 10, .mtime_ns = 5, .ctime_ns = 5, .mode = type | 0444 };
}

static TpdInodes *
new_table (void)
{
  const TpdStamp root = stamp_of (1, S_IFDIR);

  return tpd_inodes_new (&root);
}

static TpdNode *
intern (TpdInodes *inodes, TpdNode *parent, const char *name, guint64 ino, guint32 type)
{
  const TpdStamp stamp = stamp_of (ino, type);

  return tpd_inodes_intern (inodes, parent, name, &stamp);
}

static void
assert_path (TpdInodes *inodes, TpdNode *node, const char *expected)
{
  g_autofree char *path = tpd_node_path (inodes, node);

  g_assert_cmpstr (path, ==, expected);
}

static void
test_root (void)
{
  TpdInodes *inodes = new_table ();
  TpdNode *root = tpd_inodes_get (inodes, TPD_NODE_ROOT), *parent;
  char *name;

  g_assert_nonnull (root);
  g_assert_false (tpd_node_way (root, &parent, &name));
  assert_path (inodes, root, ".");
  /* The kernel forgets the root at unmount without having looked it up. */
  tpd_inodes_forget (inodes, TPD_NODE_ROOT, 1);
  tpd_node_unref (inodes, root);
  g_assert_cmpuint (tpd_inodes_count (inodes), ==, 1);
  tpd_inodes_free (inodes);
}

static void
test_forget_frees (void)
{
  TpdInodes *inodes = new_table ();
  TpdNode *root = tpd_inodes_get (inodes, TPD_NODE_ROOT);
  TpdNode *node = intern (inodes, root, "a", 7, S_IFREG);
  guint64 id = node->id;

  tpd_inodes_remember (node);
  tpd_inodes_remember (node);
  tpd_inodes_remember (node);
  tpd_node_unref (inodes, node);
  tpd_inodes_forget (inodes, id, 2);
  g_assert_cmpuint (tpd_inodes_count (inodes), ==, 2);
  tpd_inodes_forget (inodes, id, 1);
  g_assert_cmpuint (tpd_inodes_count (inodes), ==, 1);
  g_assert_null (tpd_inodes_get (inodes, id));
  /* More than was counted, and unknown ids, do no harm. */
  tpd_inodes_forget (inodes, id, 5);
  tpd_node_unref (inodes, root);
  tpd_inodes_free (inodes);
}

static void
test_ids_are_not_reused (void)
{
  TpdInodes *inodes = new_table ();
  TpdNode *root = tpd_inodes_get (inodes, TPD_NODE_ROOT);
  TpdNode *node = intern (inodes, root, "a", 7, S_IFREG);
  guint64 first = node->id;

  g_assert_cmpuint (first, >=, TPD_NODE_FIRST);
  tpd_node_unref (inodes, node);
  node = intern (inodes, root, "a", 7, S_IFREG);
  g_assert_cmpuint (node->id, >, first);
  tpd_node_unref (inodes, node);
  tpd_node_unref (inodes, root);
  tpd_inodes_free (inodes);
}

static void
test_hard_links (void)
{
  TpdInodes *inodes = new_table ();
  TpdNode *root = tpd_inodes_get (inodes, TPD_NODE_ROOT);
  TpdNode *dir = intern (inodes, root, "dir", 2, S_IFDIR);
  TpdNode *a = intern (inodes, root, "a", 7, S_IFREG);
  TpdNode *b = intern (inodes, dir, "b", 7, S_IFREG);

  g_assert_true (a == b);
  assert_path (inodes, b, "dir/b");
  tpd_node_unref (inodes, a);
  tpd_node_unref (inodes, dir);
  /* The way through dir keeps dir. */
  g_assert_cmpuint (tpd_inodes_count (inodes), ==, 3);
  tpd_node_unref (inodes, b);
  g_assert_cmpuint (tpd_inodes_count (inodes), ==, 1);
  tpd_node_unref (inodes, root);
  tpd_inodes_free (inodes);
}

static void
test_number_used_again (void)
{
  TpdInodes *inodes = new_table ();
  TpdNode *root = tpd_inodes_get (inodes, TPD_NODE_ROOT);
  TpdNode *file = intern (inodes, root, "x", 7, S_IFREG);
  TpdNode *dir = intern (inodes, root, "x", 7, S_IFDIR), *again;

  g_assert_true (file != dir);
  again = tpd_inodes_get (inodes, file->id);
  g_assert_true (again == file);
  tpd_node_unref (inodes, again);
  again = intern (inodes, root, "x", 7, S_IFDIR);
  g_assert_true (again == dir);
  tpd_node_unref (inodes, again);
  tpd_node_unref (inodes, file);
  tpd_node_unref (inodes, dir);
  g_assert_cmpuint (tpd_inodes_count (inodes), ==, 1);
  tpd_node_unref (inodes, root);
  tpd_inodes_free (inodes);
}

/* The source swaps a/b to b/a between two looks; a stale entry must not make
 * a directory its own ancestor. */
/* The same file, which has become something else. */
static void
test_detached (void)
{
  TpdInodes *inodes = new_table ();
  TpdNode *root = tpd_inodes_get (inodes, TPD_NODE_ROOT);
  TpdNode *old = intern (inodes, root, "a", 7, S_IFREG), *new, *found;

  tpd_inodes_remember (old);
  tpd_inodes_detach (inodes, old);
  tpd_inodes_detach (inodes, old);
  new = intern (inodes, root, "a", 7, S_IFREG);
  g_assert_true (new != old);
  g_assert_cmpuint (new->id, !=, old->id);
  found = tpd_inodes_get (inodes, old->id);
  g_assert_true (found == old);
  tpd_node_unref (inodes, found);
  /* The new one is what its hard links find. */
  found = intern (inodes, root, "b", 7, S_IFREG);
  g_assert_true (found == new);
  tpd_node_unref (inodes, found);
  /* They go one without the other, in either order. */
  tpd_inodes_forget (inodes, old->id, 1);
  tpd_node_unref (inodes, old);
  found = intern (inodes, root, "a", 7, S_IFREG);
  g_assert_true (found == new);
  tpd_node_unref (inodes, found);
  tpd_node_unref (inodes, new);
  g_assert_cmpuint (tpd_inodes_count (inodes), ==, 1);
  /* The root has no other. */
  tpd_inodes_detach (inodes, root);
  found = intern (inodes, root, ".", 1, S_IFDIR);
  g_assert_true (found == root);
  tpd_node_unref (inodes, found);
  tpd_node_unref (inodes, root);
  tpd_inodes_free (inodes);
}

static void
test_no_circles (void)
{
  TpdInodes *inodes = new_table ();
  TpdNode *root = tpd_inodes_get (inodes, TPD_NODE_ROOT);
  TpdNode *a = intern (inodes, root, "a", 2, S_IFDIR);
  TpdNode *b = intern (inodes, a, "b", 3, S_IFDIR), *moved;

  moved = intern (inodes, b, "a", 2, S_IFDIR);
  g_assert_true (moved == a);
  assert_path (inodes, a, "a");
  tpd_node_unref (inodes, moved);
  moved = intern (inodes, a, "a", 2, S_IFDIR);
  assert_path (inodes, a, "a");
  tpd_node_unref (inodes, moved);
  /* Once b is seen at its new place, a can follow. */
  moved = intern (inodes, root, "b", 3, S_IFDIR);
  tpd_node_unref (inodes, moved);
  moved = intern (inodes, b, "a", 2, S_IFDIR);
  assert_path (inodes, a, "b/a");
  tpd_node_unref (inodes, moved);
  /* And the root never moves, however it is reached. */
  moved = intern (inodes, a, "loop", 1, S_IFDIR);
  g_assert_true (moved == root);
  assert_path (inodes, root, ".");
  tpd_node_unref (inodes, moved);
  tpd_node_unref (inodes, a);
  tpd_node_unref (inodes, b);
  g_assert_cmpuint (tpd_inodes_count (inodes), ==, 1);
  tpd_node_unref (inodes, root);
  tpd_inodes_free (inodes);
}

/* A chain as deep as no stack would bear goes without recursion. */
static void
test_deep_chain (void)
{
  TpdInodes *inodes = new_table ();
  TpdNode *node = tpd_inodes_get (inodes, TPD_NODE_ROOT);

  for (guint i = 0; i < 200000; i++)
    {
      TpdNode *child = intern (inodes, node, "d", 10 + i, S_IFDIR);

      tpd_node_unref (inodes, node);
      node = child;
    }
  g_assert_cmpuint (tpd_inodes_count (inodes), ==, 200001);
  tpd_node_unref (inodes, node);
  g_assert_cmpuint (tpd_inodes_count (inodes), ==, 1);
  tpd_inodes_free (inodes);
}

static void
test_publish (void)
{
  TpdInodes *inodes = new_table ();
  TpdNode *root = tpd_inodes_get (inodes, TPD_NODE_ROOT);
  TpdNode *node = intern (inodes, root, "a", 7, S_IFREG);
  TpdStamp stamp = stamp_of (7, S_IFREG), seen;
  TpdFacts facts = { .size = 8, .known = TRUE, .verdict = TPD_VERDICT_KEY_HELD }, got;

  tpd_node_publish (node, &stamp, &facts);
  node->cached = TRUE;
  tpd_node_publish (node, &stamp, &facts);
  g_assert_true (node->cached);
  stamp.uid = 1000;
  tpd_node_publish (node, &stamp, &facts);
  g_assert_true (node->cached);
  stamp.ctime_ns++;
  tpd_node_publish (node, &stamp, &facts);
  g_assert_false (node->cached);
  tpd_node_get_published (node, &seen, &got);
  g_assert_true (tpd_stamp_equal (&seen, &stamp));
  g_assert_cmpuint (got.size, ==, 8);
  node->cached = TRUE;
  facts.size = 9;
  tpd_node_publish (node, &stamp, &facts);
  g_assert_false (node->cached);

  tpd_node_unref (inodes, node);
  tpd_node_unref (inodes, root);
  tpd_inodes_free (inodes);
}

/* --- Threads ---------------------------------------------------------- */

#define N_THREADS 8
#define N_ROUNDS 30000
#define N_FILES 64

typedef struct {
  TpdInodes *inodes;
  guint32 seed;
} Work;

/* What the kernel does to a few files under two directories, at random: look
 * up, use by id, forget. Hard links and moves between the directories come by
 * themselves. */
static gpointer
hammer (gpointer data)
{
  const Work *work = data;
  GRand *rand = g_rand_new_with_seed (work->seed);
  TpdNode *root = tpd_inodes_get (work->inodes, TPD_NODE_ROOT);

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      guint ino = (guint) g_rand_int_range (rand, 100, 100 + N_FILES);
      TpdNode *dir = intern (work->inodes, root, "dir", 2 + ino % 2 + i % 2, S_IFDIR);
      TpdNode *node = intern (work->inodes, dir, ino % 3 ? "name" : "other", ino, ino % 5 ? S_IFREG : S_IFDIR);
      guint64 id = node->id;
      TpdNode *again;
      g_autofree char *path = NULL;

      tpd_inodes_remember (node);
      tpd_node_unref (work->inodes, dir);
      tpd_node_unref (work->inodes, node);
      /* Counted, so it must still be there. */
      again = tpd_inodes_get (work->inodes, id);
      g_assert_nonnull (again);
      g_assert_cmpuint (again->stamp.ino, ==, ino);
      path = tpd_node_path (work->inodes, again);
      g_assert_true (g_str_has_prefix (path, "dir/"));
      tpd_node_unref (work->inodes, again);
      tpd_inodes_forget (work->inodes, id, 1);
    }
  tpd_node_unref (work->inodes, root);
  g_rand_free (rand);
  return NULL;
}

static void
test_threads (void)
{
  TpdInodes *inodes = new_table ();
  GThread *threads[N_THREADS];
  Work works[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    {
      works[i] = (Work){ inodes, i };
      threads[i] = g_thread_new ("hammer", hammer, &works[i]);
    }
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (tpd_inodes_count (inodes), ==, 1);
  tpd_inodes_free (inodes);
}

/* What a million known files cost. */
static void
test_size (void)
{
  g_assert_cmpuint (sizeof (TpdNode), <=, 160);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/inode/root-stays", test_root);
  g_test_add_func ("/inode/last-forget-frees", test_forget_frees);
  g_test_add_func ("/inode/ids-are-not-reused", test_ids_are_not_reused);
  g_test_add_func ("/inode/hard-links-are-one-node", test_hard_links);
  g_test_add_func ("/inode/number-used-again-for-another-type", test_number_used_again);
  g_test_add_func ("/inode/detached-file-gets-another-node", test_detached);
  g_test_add_func ("/inode/renames-close-no-circle", test_no_circles);
  g_test_add_func ("/inode/deep-chain-is-freed", test_deep_chain);
  g_test_add_func ("/inode/publishing-new-content-drops-the-cache-mark", test_publish);
  g_test_add_func ("/inode/threads", test_threads);
  g_test_add_func ("/inode/node-is-small", test_size);
  return g_test_run ();
}
