/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret memory, see crypto/secret.h.
 *
 * First choice is OpenSSL's secure heap, because OpenSSL puts the numbers of
 * private keys there by itself. It has a fixed size and OpenSSL fails without
 * it, so we take at most half of it for ourselves; what does not fit, or comes
 * before tpd_secret_init(), gets anonymous pages of its own, locked if the
 * limit allows.
 *
 * Neither kind is wiped on fork: the key agent is a fork that goes on using
 * what it inherits. Locks are not inherited, hence tpd_secret_init() again in
 * the child locks the heap anew.
 *
 * The secure heap does not hold all of a private key. EVP_PKEY_fromdata() of
 * OpenSSL 3.0 makes ordinary numbers of its parameters, and the Montgomery
 * contexts of the primes are copies in the ordinary heap in every version.
 * So the process that holds keys locks more than the secure heap: all its memory
 * where it may, or else its malloc heap, which is made to be the only one and
 * large enough before it is locked. It runs nothing but the agent, is undumpable,
 * and dies with the mount.
 */
#include "crypto/secret.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "base/log.h"

/* In a sanitized build: LeakSanitizer does not look into the secure heap by
 * itself, although OpenSSL's random generator hangs on a pointer there. */
void __lsan_register_root_region (const void *begin, size_t size) __attribute__ ((weak));

/* What serving requests adds to the malloc heap: for each thread of OpenSSL's
 * some tens of kilobytes. Together with the secure heap it must fit the limit
 * that Debian gives every user, 8 MiB. */
#define MALLOC_RESERVE (2 * 1024 * 1024)

/* Smallest block of the secure heap: a content key of 32 bytes. */
#define MIN_BLOCK 32

/* The secure heap; written by tpd_secret_init() before threads start. */
static gpointer heap;
static gsize heap_size;
static pid_t heap_owner;

static void
warn_not_locked (void)
{
  static int warned; /* atomic */

  if (g_atomic_int_compare_and_exchange (&warned, 0, 1))
    tpd_warning ("memory for secrets cannot be locked and could reach the swap; raise the limit for locked memory "
                 "(ulimit -l, LimitMEMLOCK=)");
}

void
tpd_secret_init (gsize size)
{
  int status;

  if (heap_owner == getpid ())
    return;
  if (heap_owner != 0)
    {
      heap_owner = getpid ();
      if (mlock (heap, heap_size) != 0)
        warn_not_locked ();
      return;
    }
  ERR_set_mark ();
  status = CRYPTO_secure_malloc_init (size, MIN_BLOCK);
  if (status != 0)
    {
      /* A block of the whole size can only be the heap itself. */
      heap = OPENSSL_secure_malloc (size);
      OPENSSL_secure_free (heap);
      heap_owner = heap != NULL ? getpid () : 0;
      heap_size = heap != NULL ? size : 0;
      if (heap != NULL && __lsan_register_root_region != NULL)
        __lsan_register_root_region (heap, size);
    }
  ERR_pop_to_mark ();
  if (status != 1)
    warn_not_locked ();
}

void
tpd_process_harden (void)
{
  const struct rlimit no_core = { 0, 0 };

  if (prctl (PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit (RLIMIT_CORE, &no_core) != 0)
    tpd_warning ("this process cannot be kept from being dumped: %s", g_strerror (errno));
}

/* A sanitizer's malloc is not libc's, and its shadow memory is not to be
 * locked. */
static gboolean
is_sanitized (void)
{
  return __lsan_register_root_region != NULL;
}

static gboolean
lock_all (void)
{
  const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

  /* Pages to come are locked only without a limit: with one, memory would run
   * out when it is reached. */
  if (setrlimit (RLIMIT_MEMLOCK, &unlimited) == 0 && mlockall (MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0)
    return TRUE;
  return mlockall (MCL_CURRENT | MCL_ONFAULT) == 0;
}

static gboolean
lock_malloc_heap (void)
{
  FILE *maps = fopen ("/proc/self/maps", "re");
  char line[512];
  gboolean locked = FALSE;

  while (maps != NULL && fgets (line, sizeof line, maps) != NULL)
    {
      gulong start, end;
      if (strstr (line, "[heap]") != NULL && sscanf (line, "%lx-%lx", &start, &end) == 2)
        {
          locked = mlock ((const void *) start, end - start) == 0;
          (void) madvise ((void *) start, end - start, MADV_DONTDUMP);
        }
    }
  if (maps != NULL)
    fclose (maps);
  return locked;
}

void
tpd_process_lock (void)
{
  gpointer reserve;

  if (is_sanitized ())
    return;
  /* One heap, that of brk(), which is never given back and grows first by
   * what is needed later: what is added after the lock is not locked. */
  mallopt (M_ARENA_MAX, 1);
  mallopt (M_MMAP_THRESHOLD, 2 * MALLOC_RESERVE);
  mallopt (M_TRIM_THRESHOLD, G_MAXINT);
  reserve = malloc (MALLOC_RESERVE);
  tpd_wipe (reserve, reserve != NULL ? MALLOC_RESERVE : 0);
  free (reserve);
  if (!lock_all () && !lock_malloc_heap ())
    warn_not_locked ();
}

static gsize
page_round (gsize len)
{
  gsize page = (gsize) sysconf (_SC_PAGESIZE);

  if (len > G_MAXSSIZE - page)
    g_error ("secret of %" G_GSIZE_FORMAT " bytes", len);
  return (len + page - 1) / page * page;
}

static gpointer
pages_alloc (gsize len)
{
  gsize size = page_round (len);
  gpointer pages = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (pages == MAP_FAILED)
    g_error ("no memory for a secret of %" G_GSIZE_FORMAT " bytes", len);
  if (mlock (pages, size) != 0)
    warn_not_locked ();
  (void) madvise (pages, size, MADV_DONTDUMP);
  return pages;
}

gpointer
tpd_secret_alloc (gsize len)
{
  gpointer data = NULL;

  if (len == 0)
    return NULL;
  if (len <= heap_size / 2 && CRYPTO_secure_used () <= heap_size / 2 - len)
    {
      ERR_set_mark ();
      data = OPENSSL_secure_zalloc (len);
      ERR_pop_to_mark ();
    }
  return data != NULL ? data : pages_alloc (len);
}

void
tpd_secret_free (gpointer data, gsize len)
{
  if (data == NULL)
    return;
  if (CRYPTO_secure_allocated (data))
    {
      OPENSSL_secure_clear_free (data, len);
      return;
    }
  OPENSSL_cleanse (data, len);
  if (munmap (data, page_round (len)) != 0)
    g_error ("freeing a secret: %s", g_strerror (errno));
}

void
tpd_wipe (gpointer data, gsize len)
{
  if (len > 0)
    OPENSSL_cleanse (data, len);
}

gboolean
tpd_secret_equal (const void *a, const void *b, gsize len)
{
  return len == 0 || CRYPTO_memcmp (a, b, len) == 0;
}

TpdSecret *
tpd_secret_new (const void *data, gsize len)
{
  TpdSecret *secret;

  if (len > G_MAXSSIZE - 1)
    g_error ("secret of %" G_GSIZE_FORMAT " bytes", len);
  secret = g_new0 (TpdSecret, 1);
  secret->ref_count = 1;
  secret->len = len;
  secret->capacity = len + 1;
  secret->data = tpd_secret_alloc (secret->capacity);
  if (data != NULL && len > 0)
    memcpy (secret->data, data, len);
  return secret;
}

TpdSecret *
tpd_secret_ref (TpdSecret *secret)
{
  g_atomic_int_inc (&secret->ref_count);
  return secret;
}

void
tpd_secret_unref (TpdSecret *secret)
{
  if (!g_atomic_int_dec_and_test (&secret->ref_count))
    return;
  tpd_secret_free (secret->data, secret->capacity);
  g_free (secret);
}
