/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fs/slab.h. A slab is TPD_SLAB_SIZE bytes of anonymous memory, aligned to
 * that, so that a cell's address leads to it. Its head counts the cells in
 * use; those that were given back form a list through their own first bytes,
 * those never used lie behind `fresh`, and their pages are not there yet.
 *
 * The head of a slab that is full is in no list; the clearing of a TpdSlabs
 * with cells in use finds all of them through `all_next`.
 */
#include "fs/slab.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(addr, size) ((void) (addr), (void) (size))
#define ASAN_UNPOISON_MEMORY_REGION(addr, size) ((void) (addr), (void) (size))
#endif

#define ALIGNMENT 16

typedef struct _TpdSlab TpdSlab;

typedef struct _Free {
  struct _Free *next;
} Free;

struct _TpdSlab {
  TpdSlab *next, *prev;         /* among those with room */
  TpdSlab *all_next, *all_prev; /* among all, from TpdSlabs.all on */
  Free *free;
  guint fresh, used, n_cells; /* cells: never used from `fresh` on; in use; in all */
  gboolean listed;
};

#define HEAD ((sizeof (TpdSlab) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

static TpdSlab *
slab_map (void)
{
  const gsize size = TPD_SLAB_SIZE;
  guint8 *area = mmap (NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  gsize before;

  if (area == MAP_FAILED)
    g_error ("no memory for another %" G_GSIZE_FORMAT " bytes: %s", 2 * size, g_strerror (errno));
  before = (size - (guintptr) area % size) % size;
  if (before > 0)
    munmap (area, before);
  munmap (area + before + size, size - before);
  return (TpdSlab *) (void *) (area + before);
}

static void
slab_unmap (TpdSlab *slab)
{
  ASAN_UNPOISON_MEMORY_REGION (slab, TPD_SLAB_SIZE);
  munmap (slab, TPD_SLAB_SIZE);
}

static TpdSlab *
slab_of (gconstpointer cell)
{
  return (TpdSlab *) ((guintptr) cell & ~((guintptr) TPD_SLAB_SIZE - 1));
}

static gpointer
cell_at (const TpdSlabs *slabs, TpdSlab *slab, guint i)
{
  return (guint8 *) slab + HEAD + i * slabs->cell;
}

static void
list_add (TpdSlabs *slabs, TpdSlab *slab)
{
  slab->prev = NULL;
  slab->next = slabs->partly;
  if (slab->next != NULL)
    slab->next->prev = slab;
  slabs->partly = slab;
  slab->listed = TRUE;
}

static void
list_remove (TpdSlabs *slabs, TpdSlab *slab)
{
  if (slab->prev != NULL)
    slab->prev->next = slab->next;
  else
    slabs->partly = slab->next;
  if (slab->next != NULL)
    slab->next->prev = slab->prev;
  slab->listed = FALSE;
}

void
tpd_slabs_init (TpdSlabs *slabs, gsize size)
{
  g_return_if_fail (size > 0 && size <= 4096);

  memset (slabs, 0, sizeof *slabs);
  g_mutex_init (&slabs->lock);
  slabs->cell = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void
slab_give_back (TpdSlabs *slabs, TpdSlab *slab)
{
  if (slab->all_prev != NULL)
    slab->all_prev->all_next = slab->all_next;
  else
    slabs->all = slab->all_next;
  if (slab->all_next != NULL)
    slab->all_next->all_prev = slab->all_prev;
  slabs->n_slabs--;
  slab_unmap (slab);
}

void
tpd_slabs_clear (TpdSlabs *slabs)
{
  while (slabs->all != NULL)
    slab_give_back (slabs, slabs->all);
  slabs->partly = slabs->empty = NULL;
  g_mutex_clear (&slabs->lock);
}

/* Under the lock: a slab with room, which is listed. */
static TpdSlab *
slab_with_room (TpdSlabs *slabs)
{
  TpdSlab *slab = slabs->partly;

  if (slab != NULL)
    return slab;
  slab = g_steal_pointer (&slabs->empty);
  if (slab == NULL)
    {
      slab = slab_map ();
      slab->n_cells = (guint) ((TPD_SLAB_SIZE - HEAD) / slabs->cell);
      slab->all_next = slabs->all;
      if (slab->all_next != NULL)
        slab->all_next->all_prev = slab;
      slabs->all = slab;
      slabs->n_slabs++;
    }
  list_add (slabs, slab);
  return slab;
}

gpointer
tpd_slabs_alloc (TpdSlabs *slabs)
{
  TpdSlab *slab;
  gpointer cell;
  gboolean fresh;

  g_mutex_lock (&slabs->lock);
  slab = slab_with_room (slabs);
  fresh = slab->free == NULL;
  if (fresh)
    cell = cell_at (slabs, slab, slab->fresh++);
  else
    {
      cell = slab->free;
      ASAN_UNPOISON_MEMORY_REGION (cell, slabs->cell);
      slab->free = ((Free *) cell)->next;
    }
  if (++slab->used == slab->n_cells)
    list_remove (slabs, slab);
  g_mutex_unlock (&slabs->lock);
  /* What was never used is zero, being new from the system. */
  if (!fresh)
    memset (cell, 0, slabs->cell);
  return cell;
}

void
tpd_slabs_free (TpdSlabs *slabs, gpointer cell)
{
  TpdSlab *slab = slab_of (cell), *gone = NULL;
  Free *item = cell;

  g_mutex_lock (&slabs->lock);
  item->next = slab->free;
  slab->free = item;
  ASAN_POISON_MEMORY_REGION (cell, slabs->cell);
  if (!slab->listed)
    list_add (slabs, slab);
  if (--slab->used == 0)
    {
      list_remove (slabs, slab);
      gone = slabs->empty;
      slabs->empty = slab;
    }
  if (gone != NULL)
    slab_give_back (slabs, gone);
  g_mutex_unlock (&slabs->lock);
}

guint
tpd_slabs_count (TpdSlabs *slabs)
{
  guint n;

  g_mutex_lock (&slabs->lock);
  n = slabs->n_slabs;
  g_mutex_unlock (&slabs->lock);
  return n;
}
