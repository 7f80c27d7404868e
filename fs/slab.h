/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for very many small things of one size, which comes and goes by the
 * hundred thousand. malloc() keeps what lies between its other blocks; a slab
 * goes back to the system as soon as it is empty. Thread-safe.
 */
#pragma once

#include <glib.h>

typedef struct {
  GMutex lock;
  gsize cell;              /* bytes, rounded up */
  struct _TpdSlab *partly; /* slabs with room, under lock, as is all below */
  struct _TpdSlab *all;    /* every slab */
  struct _TpdSlab *empty;  /* one is kept, against going back and forth */
  guint n_slabs;
} TpdSlabs;

#define TPD_SLAB_SIZE (256 * 1024)

/* For things of `size` bytes, at most 4096. */
void tpd_slabs_init (TpdSlabs *slabs, gsize size);
/* Everything goes, whatever is still in use. */
void tpd_slabs_clear (TpdSlabs *slabs);

/* Zeroed, aligned for pointers; never NULL: ends the program as g_malloc()
 * does. */
gpointer tpd_slabs_alloc (TpdSlabs *slabs);
void tpd_slabs_free (TpdSlabs *slabs, gpointer cell);

/* What is taken from the system at present, in slabs. */
guint tpd_slabs_count (TpdSlabs *slabs);
