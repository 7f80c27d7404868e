/* SPDX-License-Identifier: Apache-2.0 */
/* Slabs: cells are zeroed and apart, memory goes back, threads do no harm. */
#include "fs/slab.h"

#include <string.h>

#define MANY 20000
#define THREADS 4

static guint8
pattern (gsize number)
{
  return (guint8) (number * 31 + 7);
}

static void
assert_all (const guint8 *cell, gsize size, guint8 value)
{
  for (gsize i = 0; i < size; i++)
    g_assert_cmpuint (cell[i], ==, value);
}

static void
check_size (gsize size)
{
  g_autofree guint8 **cells = g_new (guint8 *, MANY);
  TpdSlabs slabs;

  tpd_slabs_init (&slabs, size);
  for (guint round = 0; round < 3; round++)
    {
      for (guint i = 0; i < MANY; i++)
        {
          cells[i] = tpd_slabs_alloc (&slabs);
          g_assert_cmpuint ((guintptr) cells[i] % sizeof (gpointer), ==, 0);
          assert_all (cells[i], size, 0);
          memset (cells[i], pattern (i), size);
        }
      /* Not much more than what was asked for. */
      g_assert_cmpuint (tpd_slabs_count (&slabs), <=, 2 + MANY * (size + 16) / (TPD_SLAB_SIZE - 4200));
      for (guint i = 0; i < MANY; i++)
        assert_all (cells[i], size, pattern (i));
      for (guint i = 0; i < MANY; i += 2)
        tpd_slabs_free (&slabs, cells[i]);
      for (guint i = 1; i < MANY; i += 2)
        {
          assert_all (cells[i], size, pattern (i));
          tpd_slabs_free (&slabs, cells[i]);
        }
      g_assert_cmpuint (tpd_slabs_count (&slabs), <=, 1);
    }
  tpd_slabs_clear (&slabs);
}

static void
test_cells_are_zeroed_and_apart (void)
{
  static const gsize sizes[] = { 1, 16, 24, 144, 256, 4096 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    check_size (sizes[i]);
}

static void
test_holes_are_filled_first (void)
{
  g_autofree gpointer *cells = g_new (gpointer, MANY);
  TpdSlabs slabs;
  guint n;

  tpd_slabs_init (&slabs, 100);
  for (guint i = 0; i < MANY; i++)
    cells[i] = tpd_slabs_alloc (&slabs);
  n = tpd_slabs_count (&slabs);
  for (guint i = 0; i < MANY; i += 3)
    tpd_slabs_free (&slabs, cells[i]);
  for (guint i = 0; i < MANY; i += 3)
    cells[i] = tpd_slabs_alloc (&slabs);
  g_assert_cmpuint (tpd_slabs_count (&slabs), ==, n);
  /* In use, and cleared away with the rest. */
  tpd_slabs_clear (&slabs);
}

/* Each thread frees what its neighbour allocated. */
static gpointer queues[THREADS][MANY]; /* atomic */

typedef struct {
  TpdSlabs *slabs;
  guint number;
} Hand;

static gpointer
pass_on (gpointer data)
{
  const Hand *hand = data;
  guint next = (hand->number + 1) % THREADS;

  for (guint i = 0; i < MANY; i++)
    {
      guint64 *cell = tpd_slabs_alloc (hand->slabs), *other;

      g_assert_true (cell[0] == 0 && cell[1] == 0 && cell[2] == 0);
      cell[0] = cell[1] = cell[2] = (guint64) hand->number << 32 | i;
      __atomic_store_n (&queues[next][i], cell, __ATOMIC_RELEASE);
      other = __atomic_exchange_n (&queues[hand->number][i], NULL, __ATOMIC_ACQUIRE);
      if (other != NULL)
        {
          g_assert_true (other[0] == other[1] && other[1] == other[2]);
          tpd_slabs_free (hand->slabs, other);
        }
    }
  return NULL;
}

static void
test_threads (void)
{
  GThread *threads[THREADS];
  Hand hands[THREADS];
  TpdSlabs slabs;

  tpd_slabs_init (&slabs, 3 * sizeof (guint64));
  for (guint i = 0; i < THREADS; i++)
    {
      hands[i] = (Hand){ &slabs, i };
      threads[i] = g_thread_new ("slab", pass_on, &hands[i]);
    }
  for (guint i = 0; i < THREADS; i++)
    g_thread_join (threads[i]);
  for (guint i = 0; i < THREADS; i++)
    for (guint j = 0; j < MANY; j++)
      if (queues[i][j] != NULL)
        tpd_slabs_free (&slabs, queues[i][j]);
  g_assert_cmpuint (tpd_slabs_count (&slabs), <=, 1);
  tpd_slabs_clear (&slabs);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/slab/cells-are-zeroed-and-apart", test_cells_are_zeroed_and_apart);
  g_test_add_func ("/slab/holes-are-filled-first", test_holes_are_filled_first);
  g_test_add_func ("/slab/threads", test_threads);
  return g_test_run ();
}
