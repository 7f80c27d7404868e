/* SPDX-License-Identifier: Apache-2.0 */
/* The cache in front of an unwrapper, with a backend that counts. */
#include <string.h>

#include "crypto/unwrapper.h"

#define N_THREADS 16

/* Answers as the first sealed byte says; waits while `gate` is shut. */
typedef struct {
  TpdUnwrapper base;
  GMutex lock;
  GCond changed;
  guint calls;
  gboolean shut;
  gboolean freed;
} Backend;

static void
backend_unwrap (TpdUnwrapper *self, const TpdUnwrapRequest *request, TpdUnwrapReply *reply)
{
  Backend *backend = (Backend *) self;

  g_mutex_lock (&backend->lock);
  backend->calls++;
  g_cond_broadcast (&backend->changed);
  while (backend->shut)
    g_cond_wait (&backend->changed, &backend->lock);
  g_mutex_unlock (&backend->lock);

  reply->status = (TpdUnwrapStatus) request->sealed[0];
  if (reply->status == TPD_UNWRAP_OK)
    {
      reply->key = g_new0 (TpdContentKey, 1);
      reply->key->ref_count = 1;
      reply->key->key = tpd_secret_new ("0123456789abcdef", 16);
      reply->key->mode_word = 0xfffd;
    }
  if (request->purpose == TPD_PURPOSE_TRACE)
    reply->trace = g_strdup ("step\n");
}

static void
backend_free (TpdUnwrapper *self)
{
  ((Backend *) self)->freed = TRUE;
}

static void
backend_init (Backend *backend)
{
  static const TpdUnwrapperClass klass = { .unwrap = backend_unwrap, .free = backend_free };
  memset (backend, 0, sizeof *backend);
  backend->base.klass = &klass;
  backend->base.ref_count = 1;
  g_mutex_init (&backend->lock);
  g_cond_init (&backend->changed);
}

static TpdUnwrapStatus
ask (TpdUnwrapper *cache, TpdUnwrapStatus status, guint8 number)
{
  const guint8 sealed[] = { (guint8) status, number };
  const TpdUnwrapRequest request = { .sealed = sealed, .sealed_len = sizeof sealed, .principals = "" };
  g_auto (TpdUnwrapReply) reply;

  tpd_unwrapper_unwrap (cache, &request, &reply);
  g_assert_true ((reply.status == TPD_UNWRAP_OK) == (reply.key != NULL));
  g_assert_null (reply.trace);
  if (reply.key)
    g_assert_cmpmem (reply.key->key->data, reply.key->key->len, "0123456789abcdef", 16);
  return reply.status;
}

static void
test_remembers (void)
{
  Backend backend;
  backend_init (&backend);
  TpdUnwrapper *cache = tpd_unwrap_cache_new (&backend.base, 10);

  for (guint i = 0; i < 3; i++)
    {
      g_assert_cmpint (ask (cache, TPD_UNWRAP_OK, 0), ==, TPD_UNWRAP_OK);
      g_assert_cmpint (ask (cache, TPD_UNWRAP_REFUSED, 0), ==, TPD_UNWRAP_REFUSED);
      g_assert_cmpint (ask (cache, TPD_UNWRAP_DOUBLE_KEY, 0), ==, TPD_UNWRAP_DOUBLE_KEY);
      g_assert_cmpint (ask (cache, TPD_UNWRAP_UNSUPPORTED, 0), ==, TPD_UNWRAP_UNSUPPORTED);
    }
  g_assert_cmpuint (backend.calls, ==, 4);
  tpd_unwrapper_unref (cache);
  g_assert_false (backend.freed);
  tpd_unwrapper_unref (&backend.base);
  g_assert_true (backend.freed);
}

static void
test_forgets_unavailable (void)
{
  Backend backend;
  backend_init (&backend);
  TpdUnwrapper *cache = tpd_unwrap_cache_new (&backend.base, 10);

  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (ask (cache, TPD_UNWRAP_UNAVAILABLE, 0), ==, TPD_UNWRAP_UNAVAILABLE);
  g_assert_cmpuint (backend.calls, ==, 3);
  tpd_unwrapper_unref (cache);
}

/* But for the principals, which only a trace looks at. */
static void
test_all_of_the_request_counts (void)
{
  Backend backend;
  backend_init (&backend);
  TpdUnwrapper *cache = tpd_unwrap_cache_new (&backend.base, 10);
  const guint8 sealed[] = { TPD_UNWRAP_REFUSED, 1, 2 };
  TpdUnwrapRequest requests[5];

  for (guint i = 0; i < G_N_ELEMENTS (requests); i++)
    requests[i] = (TpdUnwrapRequest){ .sealed = sealed, .sealed_len = 3, .principals = "ab", .principals_len = 1 };
  requests[1].sealed_len = 2;
  requests[2].type = TPD_SEAL_V2;
  requests[3].key.bytes[31] = 1;
  requests[4].principals_len = 2;
  for (guint round = 0; round < 2; round++)
    for (guint i = 0; i < G_N_ELEMENTS (requests); i++)
      {
        g_auto (TpdUnwrapReply) reply;
        tpd_unwrapper_unwrap (cache, &requests[i], &reply);
        g_assert_cmpint (reply.status, ==, TPD_UNWRAP_REFUSED);
      }
  g_assert_cmpuint (backend.calls, ==, G_N_ELEMENTS (requests) - 1);
  tpd_unwrapper_unref (cache);
}

/* The one not asked for longest goes. */
static void
test_bound (void)
{
  Backend backend;
  backend_init (&backend);
  TpdUnwrapper *cache = tpd_unwrap_cache_new (&backend.base, 2);

  ask (cache, TPD_UNWRAP_OK, 'a');
  ask (cache, TPD_UNWRAP_OK, 'b');
  ask (cache, TPD_UNWRAP_OK, 'a');
  g_assert_cmpuint (backend.calls, ==, 2);
  ask (cache, TPD_UNWRAP_OK, 'c'); /* b goes */
  ask (cache, TPD_UNWRAP_OK, 'a');
  g_assert_cmpuint (backend.calls, ==, 3);
  ask (cache, TPD_UNWRAP_OK, 'b');
  g_assert_cmpuint (backend.calls, ==, 4);
  tpd_unwrapper_unref (cache);
}

static void
test_trace_passes (void)
{
  Backend backend;
  backend_init (&backend);
  TpdUnwrapper *cache = tpd_unwrap_cache_new (&backend.base, 2);
  const guint8 sealed[] = { TPD_UNWRAP_OK, 't' };
  const TpdUnwrapRequest request = {
    .sealed = sealed, .sealed_len = sizeof sealed, .principals = "", .purpose = TPD_PURPOSE_TRACE
  };

  ask (cache, TPD_UNWRAP_OK, 't');
  for (guint i = 0; i < 2; i++)
    {
      g_auto (TpdUnwrapReply) reply;
      tpd_unwrapper_unwrap (cache, &request, &reply);
      g_assert_cmpstr (reply.trace, ==, "step\n");
    }
  g_assert_cmpuint (backend.calls, ==, 3);
  tpd_unwrapper_unref (cache);
}

/* Some known, some new, some twice: each new one is asked for once. */
static void
test_many (void)
{
  Backend backend;
  backend_init (&backend);
  TpdUnwrapper *cache = tpd_unwrap_cache_new (&backend.base, 3);
  static const guint8 sealed[][2] = { { TPD_UNWRAP_OK, 'a' },      { TPD_UNWRAP_REFUSED, 'b' },
                                      { TPD_UNWRAP_OK, 'c' },      { TPD_UNWRAP_OK, 'c' },
                                      { TPD_UNWRAP_OK, 'a' },      { TPD_UNWRAP_UNAVAILABLE, 'd' },
                                      { TPD_UNWRAP_REFUSED, 'e' }, { TPD_UNWRAP_UNAVAILABLE, 'd' } };
  TpdUnwrapRequest requests[G_N_ELEMENTS (sealed)];
  TpdUnwrapReply replies[G_N_ELEMENTS (sealed)];

  for (guint i = 0; i < G_N_ELEMENTS (sealed); i++)
    requests[i] = (TpdUnwrapRequest){ .sealed = sealed[i], .sealed_len = 2, .principals = "" };
  ask (cache, TPD_UNWRAP_OK, 'a');
  tpd_unwrapper_unwrap_many (cache, requests, G_N_ELEMENTS (sealed), replies);
  g_assert_cmpuint (backend.calls, ==, 5);
  for (guint i = 0; i < G_N_ELEMENTS (sealed); i++)
    {
      g_assert_cmpint (replies[i].status, ==, (TpdUnwrapStatus) sealed[i][0]);
      g_assert_true ((replies[i].status == TPD_UNWRAP_OK) == (replies[i].key != NULL));
      tpd_unwrap_reply_clear (&replies[i]);
    }
  ask (cache, TPD_UNWRAP_REFUSED, 'e');
  g_assert_cmpuint (backend.calls, ==, 5);
  ask (cache, TPD_UNWRAP_UNAVAILABLE, 'd');
  g_assert_cmpuint (backend.calls, ==, 6);
  tpd_unwrapper_unref (cache);
}

typedef struct {
  TpdUnwrapper *cache;
  gboolean reversed;
} Crosser;

static gpointer
ask_crossing (gpointer data)
{
  const Crosser *crosser = data;
  guint8 sealed[TPD_UNWRAP_MANY][2];
  TpdUnwrapRequest requests[TPD_UNWRAP_MANY];
  TpdUnwrapReply replies[TPD_UNWRAP_MANY];

  for (guint round = 0; round < 200; round++)
    {
      for (guint i = 0; i < TPD_UNWRAP_MANY; i++)
        {
          sealed[i][0] = TPD_UNWRAP_OK;
          sealed[i][1] = (guint8) (round + (crosser->reversed ? TPD_UNWRAP_MANY - i : i));
          requests[i] = (TpdUnwrapRequest){ .sealed = sealed[i], .sealed_len = 2, .principals = "" };
        }
      tpd_unwrapper_unwrap_many (crosser->cache, requests, TPD_UNWRAP_MANY, replies);
      for (guint i = 0; i < TPD_UNWRAP_MANY; i++)
        {
          g_assert_cmpint (replies[i].status, ==, TPD_UNWRAP_OK);
          tpd_unwrap_reply_clear (&replies[i]);
        }
    }
  return NULL;
}

/* Threads that want the same in opposite order do not wait for each other. */
static void
test_many_crossing (void)
{
  Backend backend;
  GThread *threads[N_THREADS];
  Crosser crossers[2];
  backend_init (&backend);
  TpdUnwrapper *cache = tpd_unwrap_cache_new (&backend.base, 2);

  for (guint i = 0; i < G_N_ELEMENTS (crossers); i++)
    crossers[i] = (Crosser){ cache, i > 0 };
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("asker", ask_crossing, &crossers[i % 2]);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  tpd_unwrapper_unref (cache);
}

typedef struct {
  TpdUnwrapper *cache;
  TpdUnwrapStatus status;
} Asker;

static gpointer
ask_in_thread (gpointer data)
{
  const Asker *asker = data;
  return GINT_TO_POINTER (ask (asker->cache, asker->status, 'x'));
}

/* All ask while the first is still being answered: one call. */
static void
single_flight (TpdUnwrapStatus status)
{
  Backend backend;
  GThread *threads[N_THREADS];
  backend_init (&backend);
  Asker asker = { tpd_unwrap_cache_new (&backend.base, 1), status };

  backend.shut = TRUE;
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("asker", ask_in_thread, &asker);
  g_mutex_lock (&backend.lock);
  while (backend.calls == 0)
    g_cond_wait (&backend.changed, &backend.lock);
  g_mutex_unlock (&backend.lock);
  g_usleep (G_USEC_PER_SEC / 10);

  g_mutex_lock (&backend.lock);
  g_assert_cmpuint (backend.calls, ==, 1);
  backend.shut = FALSE;
  g_cond_broadcast (&backend.changed);
  g_mutex_unlock (&backend.lock);
  for (guint i = 0; i < N_THREADS; i++)
    g_assert_cmpint (GPOINTER_TO_INT (g_thread_join (threads[i])), ==, status);
  if (status != TPD_UNWRAP_UNAVAILABLE)
    g_assert_cmpuint (backend.calls, ==, 1);
  tpd_unwrapper_unref (asker.cache);
}

static void
test_single_flight (void)
{
  single_flight (TPD_UNWRAP_OK);
  single_flight (TPD_UNWRAP_REFUSED);
  single_flight (TPD_UNWRAP_UNAVAILABLE);
}

static gpointer
ask_many (gpointer data)
{
  for (guint i = 0; i < 3000; i++)
    {
      TpdUnwrapStatus status = (TpdUnwrapStatus) (i % 4);
      g_assert_cmpint (ask (data, status, (guint8) (i % 11)), ==, status);
    }
  return NULL;
}

/* Small enough that entries are evicted while others wait for them. */
static void
test_many_threads (void)
{
  Backend backend;
  GThread *threads[N_THREADS];
  backend_init (&backend);
  TpdUnwrapper *cache = tpd_unwrap_cache_new (&backend.base, 3);

  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("asker", ask_many, cache);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  tpd_unwrapper_unref (cache);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/unwrap-cache/many-at-once", test_many);
  g_test_add_func ("/unwrap-cache/many-at-once-that-cross", test_many_crossing);
  g_test_add_func ("/unwrap-cache/remembers-failures-too", test_remembers);
  g_test_add_func ("/unwrap-cache/unavailable-is-not-remembered", test_forgets_unavailable);
  g_test_add_func ("/unwrap-cache/all-of-the-request-counts", test_all_of_the_request_counts);
  g_test_add_func ("/unwrap-cache/bounded-least-recently-used", test_bound);
  g_test_add_func ("/unwrap-cache/trace-passes-through", test_trace_passes);
  g_test_add_func ("/unwrap-cache/concurrent-requests-do-one-operation", test_single_flight);
  g_test_add_func ("/unwrap-cache/many-threads", test_many_threads);
  return g_test_run ();
}
