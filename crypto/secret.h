/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for secrets: locked, kept out of core dumps, wiped when freed. The
 * only home of passwords, private keys and content keys.
 */
#pragma once

#include <glib.h>

/*
 * Sets up the secret memory of this process (`size` bytes, a power of two).
 * Once per process, before any secret; a second call is harmless. When memory
 * cannot be locked, warns once and goes on.
 */
void tpd_secret_init (gsize size);

/* Makes this process undumpable: no core file, no ptrace by the same user. */
void tpd_process_harden (void);

/*
 * Locks what this process has in memory, not only its secret memory: for the
 * process that holds private keys, which OpenSSL copies elsewhere. Best
 * effort; warns once when nothing could be locked. Call when the keys are
 * loaded, before threads exist.
 */
void tpd_process_lock (void);

/* Never NULL for len > 0; zero filled. */
gpointer tpd_secret_alloc (gsize len);
/* Wipes and frees; NULL is allowed. */
void tpd_secret_free (gpointer data, gsize len);
/* Wipes memory that is not ours to free; not removed by the optimiser. */
void tpd_wipe (gpointer data, gsize len);
/* Comparison in time that depends on `len` only. */
gboolean tpd_secret_equal (const void *a, const void *b, gsize len);

/* A counted secret byte string; `data` is NUL terminated beyond `len`. */
typedef struct {
  guint8 *data;
  gsize len;
  /*< private >*/
  gsize capacity;
  int ref_count; /* atomic */
} TpdSecret;

TpdSecret *tpd_secret_new (const void *data, gsize len); /* copies; data may be NULL */
TpdSecret *tpd_secret_ref (TpdSecret *secret);
void tpd_secret_unref (TpdSecret *secret);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TpdSecret, tpd_secret_unref)
