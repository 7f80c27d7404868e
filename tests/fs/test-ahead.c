/* SPDX-License-Identifier: Apache-2.0 */
/* Which directory is opened next, and for whom it is prepared. */
#include <sys/stat.h>

#include "fs/ahead.h"

/*
 * root: a (aa (aaa), ab), b, c
 */
typedef struct {
  TpdInodes *inodes;
  TpdAhead *ahead;
  guint64 a, aa, aaa, ab, b, c;
} Tree;

static char word[] = "word";
static guint prepared, dropped;

static void
drop (gpointer data)
{
  dropped++;
  g_free (data);
}

static gpointer
prepare (gpointer data, guint64 id)
{
  g_assert_cmpstr (data, ==, word);
  prepared++;
  return g_memdup2 (&id, sizeof id);
}

static guint64
make (Tree *tree, guint64 parent_id, const char *name, guint64 ino)
{
  const TpdStamp stamp = { .dev = 1, .ino = ino, .mode = S_IFDIR | 0555 };
  TpdNode *parent = tpd_inodes_get (tree->inodes, parent_id);
  TpdNode *node = tpd_inodes_intern (tree->inodes, parent, name, &stamp);
  guint64 id = node->id;

  tpd_inodes_remember (node);
  tpd_node_unref (tree->inodes, node);
  tpd_node_unref (tree->inodes, parent);
  return id;
}

/* As a listing of `dir` tells it. */
static void
list (Tree *tree, guint64 dir, const guint64 *children, guint n)
{
  guint64 before = 0;

  tpd_ahead_note (tree->ahead, dir, 0, 0);
  for (guint i = 0; i < n; i++)
    {
      tpd_ahead_note (tree->ahead, dir, before, children[i]);
      before = children[i];
    }
  if (before != 0)
    tpd_ahead_note (tree->ahead, dir, before, 0);
}

static void
set_up (Tree *tree)
{
  const TpdStamp root = { .dev = 1, .ino = 1, .mode = S_IFDIR | 0555 };

  prepared = dropped = 0;
  tree->inodes = tpd_inodes_new (&root);
  tree->ahead = tpd_ahead_new (tree->inodes, drop);
  tree->a = make (tree, TPD_NODE_ROOT, "a", 2);
  tree->b = make (tree, TPD_NODE_ROOT, "b", 3);
  tree->c = make (tree, TPD_NODE_ROOT, "c", 4);
  tree->aa = make (tree, tree->a, "aa", 5);
  tree->ab = make (tree, tree->a, "ab", 6);
  tree->aaa = make (tree, tree->aa, "aaa", 7);
}

static void
tear_down (Tree *tree)
{
  tpd_ahead_free (tree->ahead);
  tpd_inodes_free (tree->inodes);
  g_assert_cmpuint (dropped, <=, prepared);
}

static void
test_goes_down_and_then_on (void)
{
  Tree tree;

  set_up (&tree);
  g_assert_cmpuint (tpd_ahead_guess (tree.ahead, TPD_NODE_ROOT), ==, 0);
  list (&tree, TPD_NODE_ROOT, (guint64[]){ tree.a, tree.b, tree.c }, 3);
  g_assert_cmpuint (tpd_ahead_guess (tree.ahead, TPD_NODE_ROOT), ==, tree.a);
  /* Not listed yet: nothing is known below. */
  g_assert_cmpuint (tpd_ahead_guess (tree.ahead, tree.a), ==, tree.b);
  list (&tree, tree.a, (guint64[]){ tree.aa, tree.ab }, 2);
  g_assert_cmpuint (tpd_ahead_guess (tree.ahead, tree.a), ==, tree.aa);
  list (&tree, tree.aa, (guint64[]){ tree.aaa }, 1);
  g_assert_cmpuint (tpd_ahead_guess (tree.ahead, tree.aa), ==, tree.aaa);
  list (&tree, tree.aaa, NULL, 0);
  g_assert_cmpuint (tpd_ahead_guess (tree.ahead, tree.aaa), ==, tree.ab);
  list (&tree, tree.ab, NULL, 0);
  g_assert_cmpuint (tpd_ahead_guess (tree.ahead, tree.ab), ==, tree.b);
  list (&tree, tree.c, NULL, 0);
  g_assert_cmpuint (tpd_ahead_guess (tree.ahead, tree.c), ==, 0);
  /* Listed again, and gone. */
  list (&tree, tree.a, NULL, 0);
  g_assert_cmpuint (tpd_ahead_guess (tree.ahead, tree.a), ==, tree.b);
  g_assert_cmpuint (tpd_ahead_guess (tree.ahead, 4711), ==, 0);
  tear_down (&tree);
}

static void
test_nothing_before_a_guess_was_right (void)
{
  Tree tree;
  guint64 *got;

  set_up (&tree);
  tpd_ahead_expect (tree.ahead, 100, tree.a, prepare, word);
  g_assert_cmpuint (prepared, ==, 0);
  g_assert_null (tpd_ahead_take (tree.ahead, 100, tree.a));
  tpd_ahead_expect (tree.ahead, 100, tree.b, prepare, word);
  g_assert_cmpuint (prepared, ==, 1);
  /* Said again at the end of the listing. */
  tpd_ahead_expect (tree.ahead, 100, tree.b, prepare, word);
  g_assert_cmpuint (prepared, ==, 1);
  got = tpd_ahead_take (tree.ahead, 100, tree.b);
  g_assert_nonnull (got);
  g_assert_cmpuint (*got, ==, tree.b);
  g_free (got);
  /* Handed out once. */
  g_assert_null (tpd_ahead_take (tree.ahead, 100, tree.b));
  tear_down (&tree);
  g_assert_cmpuint (dropped, ==, 0);
}

static void
test_not_for_who_goes_by_another_order (void)
{
  Tree tree;

  set_up (&tree);
  tpd_ahead_expect (tree.ahead, 100, tree.a, prepare, word);
  g_assert_null (tpd_ahead_take (tree.ahead, 100, tree.a));
  tpd_ahead_expect (tree.ahead, 100, tree.b, prepare, word);
  g_assert_cmpuint (prepared, ==, 1);
  g_assert_null (tpd_ahead_take (tree.ahead, 100, tree.c));
  g_assert_cmpuint (dropped, ==, 1);
  tpd_ahead_expect (tree.ahead, 100, tree.a, prepare, word);
  g_assert_cmpuint (prepared, ==, 1);
  tear_down (&tree);
}

static void
test_each_process_by_itself (void)
{
  Tree tree;
  guint64 *got;

  set_up (&tree);
  for (pid_t pid = 100; pid < 102; pid++)
    {
      tpd_ahead_expect (tree.ahead, pid, tree.a, prepare, word);
      g_assert_null (tpd_ahead_take (tree.ahead, pid, tree.a));
      tpd_ahead_expect (tree.ahead, pid, tree.b, prepare, word);
    }
  g_assert_cmpuint (prepared, ==, 2);
  /* Nobody else gets it, and it stays. */
  g_assert_null (tpd_ahead_take (tree.ahead, 102, tree.b));
  got = tpd_ahead_take (tree.ahead, 101, tree.b);
  g_assert_nonnull (got);
  g_free (got);
  /* However many there are, what is not asked for goes. */
  for (pid_t pid = 102; pid < 400; pid++)
    tpd_ahead_expect (tree.ahead, pid, tree.c, prepare, word);
  g_assert_cmpuint (prepared, ==, 2);
  g_assert_cmpuint (dropped, ==, 1);
  tear_down (&tree);
}

static void
test_what_is_left_goes_with_it (void)
{
  Tree tree;

  set_up (&tree);
  tpd_ahead_expect (tree.ahead, 100, tree.a, prepare, word);
  g_assert_null (tpd_ahead_take (tree.ahead, 100, tree.a));
  tpd_ahead_expect (tree.ahead, 100, tree.b, prepare, word);
  tear_down (&tree);
  g_assert_cmpuint (dropped, ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ahead/goes-down-and-then-on", test_goes_down_and_then_on);
  g_test_add_func ("/ahead/nothing-before-a-guess-was-right", test_nothing_before_a_guess_was_right);
  g_test_add_func ("/ahead/not-for-who-goes-by-another-order", test_not_for_who_goes_by_another_order);
  g_test_add_func ("/ahead/each-process-by-itself", test_each_process_by_itself);
  g_test_add_func ("/ahead/what-is-left-goes-with-it", test_what_is_left_goes_with_it);
  return g_test_run ();
}
