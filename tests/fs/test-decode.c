/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder: one decode for all who want a file, what is kept and for how
 * long, and that everybody who waits is called. The work is a stand-in that
 * can be held up, and whose documents are as large as the file's number says.
 */
#include "base/error.h"
#include "fs/decode.h"

#define PATIENCE_US (30 * G_USEC_PER_SEC)

typedef struct {
  TpdDecoder *decoder;
  GMutex lock;
  GCond changed;
  gboolean held;             /* under lock: no work ends */
  guint begun, done, called; /* under lock */
  guint documents;           /* atomic: alive */
} Fixture;

typedef struct {
  TpdDocument base;
  Fixture *fixture;
} FakeDocument;

/* Who waits, and what was found when it was called. */
typedef struct {
  Fixture *fixture;
  TpdStamp stamp;
  TpdDecodeWant want;
  gboolean called, found;
  TpdDecoded decoded;
} Caller;

static gssize
fake_pread (TpdDocument *self, void *buf, gsize len, guint64 off, GError **error)
{
  return 0;
}

static void
fake_free (TpdDocument *self)
{
  FakeDocument *document = (FakeDocument *) self;

  g_atomic_int_add ((gint *) &document->fixture->documents, -1);
  g_free (document);
}

static TpdDocument *
fake_new (Fixture *f, guint64 size)
{
  static const TpdDocumentClass klass = { fake_pread, fake_free };
  FakeDocument *document = g_new0 (FakeDocument, 1);

  document->base.klass = &klass;
  document->base.ref_count = 1;
  document->base.plain_size = document->base.memory_size = size;
  document->fixture = f;
  g_atomic_int_add ((gint *) &f->documents, 1);
  return &document->base;
}

/* Files of device 1 are damaged, of device 2 cannot be read at the moment. */
static void
work (gpointer data, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want, TpdBudget *budget, TpdDecoded *out)
{
  Fixture *f = data;

  g_mutex_lock (&f->lock);
  f->begun++;
  g_cond_broadcast (&f->changed);
  while (f->held && !g_atomic_int_get (&budget->cancelled))
    g_cond_wait_until (&f->changed, &f->lock, g_get_monotonic_time () + 10000);
  f->done++;
  g_cond_broadcast (&f->changed);
  g_mutex_unlock (&f->lock);
  out->facts = (TpdFacts){ .size = stamp->ino, .known = TRUE, .verdict = TPD_VERDICT_OK };
  if (g_atomic_int_get (&budget->cancelled))
    {
      out->facts.known = FALSE;
      g_set_error_literal (&out->error, TPD_ERROR, TPD_ERROR_CANCELLED, "cancelled");
    }
  else if (stamp->dev == 1)
    g_set_error_literal (&out->error, TPD_ERROR, TPD_ERROR_DAMAGED, "damaged");
  else if (stamp->dev == 2)
    {
      out->facts.known = FALSE;
      g_set_error_literal (&out->error, TPD_ERROR, TPD_ERROR_AGENT, "busy");
    }
  else if (want > TPD_DECODE_VERDICT)
    out->document = fake_new (f, stamp->ino);
}

static void
on_result (gpointer data)
{
  Caller *caller = data;
  Fixture *f = caller->fixture;

  caller->found = tpd_decoder_find (f->decoder, &caller->stamp, caller->want, &caller->decoded);
  g_mutex_lock (&f->lock);
  g_assert_false (caller->called);
  caller->called = TRUE;
  f->called++;
  g_cond_broadcast (&f->changed);
  g_mutex_unlock (&f->lock);
}

static gboolean
ask (Fixture *f, Caller *caller, guint64 dev, guint64 size, TpdDecodeWant want)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static ("x", 1);
  g_autoptr (TpdSource) source = tpd_source_new_bytes (bytes);

  *caller = (Caller){ .fixture = f, .want = want };
  caller->stamp.dev = dev;
  caller->stamp.ino = size;
  return tpd_decoder_wait (f->decoder, source, &caller->stamp, want, on_result, caller);
}

/* Waits for `*counter` (of the fixture) to reach `n`. */
static void
await (Fixture *f, const guint *counter, guint n)
{
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;

  g_mutex_lock (&f->lock);
  while (*counter < n)
    g_assert_true (g_cond_wait_until (&f->changed, &f->lock, deadline));
  g_mutex_unlock (&f->lock);
}

static void
hold (Fixture *f, gboolean held)
{
  g_mutex_lock (&f->lock);
  f->held = held;
  g_cond_broadcast (&f->changed);
  g_mutex_unlock (&f->lock);
}

/* Asks, waits and returns what was found; clear it. */
static Caller
fetch (Fixture *f, guint64 dev, guint64 size, TpdDecodeWant want)
{
  guint before = f->called;
  Caller caller;

  g_assert_true (ask (f, &caller, dev, size, want));
  await (f, &f->called, before + 1);
  return caller;
}

static gboolean
is_kept (Fixture *f, guint64 dev, guint64 size, TpdDecodeWant want)
{
  const TpdStamp stamp = { .dev = dev, .ino = size };
  g_auto (TpdDecoded) decoded = { 0 };

  return tpd_decoder_find (f->decoder, &stamp, want, &decoded);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_mutex_init (&f->lock);
  g_cond_init (&f->changed);
  f->decoder = tpd_decoder_new (2, 1000, work, f);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  tpd_decoder_free (f->decoder);
  g_assert_cmpuint (f->documents, ==, 0);
  g_cond_clear (&f->changed);
  g_mutex_clear (&f->lock);
}

static void
test_one_decode_for_all (Fixture *f, gconstpointer data)
{
  Caller callers[20];
  const TpdDocument *document;

  hold (f, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    g_assert_true (ask (f, &callers[i], 0, 100, i % 2 == 0 ? TPD_DECODE_SIZE : TPD_DECODE_DOCUMENT));
  await (f, &f->begun, 1);
  hold (f, FALSE);
  await (f, &f->called, G_N_ELEMENTS (callers));
  g_assert_cmpuint (f->begun, ==, 1);
  document = callers[0].decoded.document;
  g_assert_nonnull (document);
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    {
      g_assert_true (callers[i].found);
      g_assert_cmpuint (callers[i].decoded.facts.size, ==, 100);
      g_assert_true (callers[i].decoded.document == document);
      tpd_decoded_clear (&callers[i].decoded);
    }
  g_assert_true (is_kept (f, 0, 100, TPD_DECODE_DOCUMENT));
}

static void
test_waiting_takes_no_thread (Fixture *f, gconstpointer data)
{
  Caller slow[30], *other = &slow[29];

  hold (f, TRUE);
  for (guint i = 0; i < 29; i++)
    ask (f, &slow[i], 0, 7, TPD_DECODE_DOCUMENT);
  await (f, &f->begun, 1);
  /* The second thread is free for another file. */
  ask (f, other, 0, 8, TPD_DECODE_SIZE);
  await (f, &f->begun, 2);
  hold (f, FALSE);
  await (f, &f->called, 30);
  for (guint i = 0; i < 30; i++)
    tpd_decoded_clear (&slow[i].decoded);
}

static void
test_verdict_then_document (Fixture *f, gconstpointer data)
{
  Caller verdict = fetch (f, 0, 10, TPD_DECODE_VERDICT), document;

  g_assert_true (verdict.found);
  g_assert_null (verdict.decoded.document);
  g_assert_false (is_kept (f, 0, 10, TPD_DECODE_SIZE));
  document = fetch (f, 0, 10, TPD_DECODE_DOCUMENT);
  g_assert_nonnull (document.decoded.document);
  g_assert_cmpuint (f->begun, ==, 2);
  tpd_decoded_clear (&document.decoded);
}

static void
test_failures_are_kept_unless_passing (Fixture *f, gconstpointer data)
{
  Caller damaged = fetch (f, 1, 10, TPD_DECODE_SIZE), busy = fetch (f, 2, 10, TPD_DECODE_SIZE);

  g_assert_true (damaged.found && busy.found);
  g_assert_error (damaged.decoded.error, TPD_ERROR, TPD_ERROR_DAMAGED);
  g_assert_error (busy.decoded.error, TPD_ERROR, TPD_ERROR_AGENT);
  tpd_decoded_clear (&damaged.decoded);
  tpd_decoded_clear (&busy.decoded);
  /* One failure answers all questions. */
  g_assert_true (is_kept (f, 1, 10, TPD_DECODE_DOCUMENT));
  for (guint i = 0; i < 1000 && is_kept (f, 2, 10, TPD_DECODE_VERDICT); i++)
    g_usleep (1000);
  g_assert_false (is_kept (f, 2, 10, TPD_DECODE_VERDICT));
}

static void
test_the_least_recently_used_goes (Fixture *f, gconstpointer data)
{
  const guint64 sizes[] = { 400, 401, 402 };
  TpdDecoderState state;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      Caller caller;

      if (i == 2)
        g_assert_true (is_kept (f, 0, 400, TPD_DECODE_DOCUMENT)); /* and used */
      caller = fetch (f, 0, sizes[i], TPD_DECODE_DOCUMENT);
      g_assert_nonnull (caller.decoded.document);
      tpd_decoded_clear (&caller.decoded);
      /* Idle once its thread is done with it. */
      g_usleep (20000);
    }
  g_assert_true (is_kept (f, 0, 400, TPD_DECODE_DOCUMENT));
  g_assert_false (is_kept (f, 0, 401, TPD_DECODE_DOCUMENT));
  g_assert_true (is_kept (f, 0, 402, TPD_DECODE_DOCUMENT));
  tpd_decoder_get_state (f->decoder, &state);
  g_assert_cmpuint (state.used, ==, 802);
  g_assert_cmpuint (state.documents, ==, 2);
  g_assert_cmpuint (f->documents, ==, 2);
}

static void
test_sizes_need_no_room (Fixture *f, gconstpointer data)
{
  Caller used = fetch (f, 0, 900, TPD_DECODE_DOCUMENT), size = fetch (f, 0, 200, TPD_DECODE_SIZE);

  g_assert_true (size.found);
  g_assert_cmpuint (size.decoded.facts.size, ==, 200);
  g_assert_null (size.decoded.document);
  g_assert_true (is_kept (f, 0, 200, TPD_DECODE_SIZE));
  tpd_decoded_clear (&used.decoded);
}

static void
test_readers_wait_for_room (Fixture *f, gconstpointer data)
{
  Caller used = fetch (f, 0, 900, TPD_DECODE_DOCUMENT), next;

  ask (f, &next, 0, 200, TPD_DECODE_DOCUMENT);
  await (f, &f->done, 2);
  g_usleep (50000);
  g_assert_false (next.called);
  tpd_decoded_clear (&used.decoded);
  tpd_decoder_released (f->decoder);
  await (f, &f->called, 2);
  g_assert_true (next.found);
  g_assert_nonnull (next.decoded.document);
  tpd_decoded_clear (&next.decoded);
}

static void
test_work_that_nobody_waits_for_is_cancelled (Fixture *f, gconstpointer data)
{
  Caller one, two;

  hold (f, TRUE);
  ask (f, &one, 0, 10, TPD_DECODE_SIZE);
  ask (f, &two, 0, 10, TPD_DECODE_SIZE);
  await (f, &f->begun, 1);
  g_assert_true (tpd_decoder_withdraw (f->decoder, &one));
  g_assert_false (tpd_decoder_withdraw (f->decoder, &one));
  g_usleep (50000);
  g_assert_cmpuint (f->done, ==, 0);
  g_assert_true (tpd_decoder_withdraw (f->decoder, &two));
  await (f, &f->done, 1);
  g_assert_cmpuint (f->called, ==, 0);
  g_assert_false (is_kept (f, 0, 10, TPD_DECODE_VERDICT));
  /* It is done anew for who comes then, even while the other is winding up. */
  ask (f, &one, 0, 10, TPD_DECODE_SIZE);
  hold (f, FALSE);
  await (f, &f->called, 1);
  g_assert_true (one.found);
  g_assert_no_error (one.decoded.error);
  tpd_decoded_clear (&one.decoded);
}

static void
test_stopping_calls_everybody (Fixture *f, gconstpointer data)
{
  Caller callers[10];

  hold (f, TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    ask (f, &callers[i], 0, i, TPD_DECODE_SIZE);
  await (f, &f->begun, 2);
  tpd_decoder_stop (f->decoder);
  g_assert_cmpuint (f->called, ==, G_N_ELEMENTS (callers));
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    {
      g_assert_error (callers[i].decoded.error, TPD_ERROR, TPD_ERROR_CANCELLED);
      tpd_decoded_clear (&callers[i].decoded);
    }
  g_assert_false (ask (f, &callers[0], 0, 1, TPD_DECODE_SIZE));
  g_assert_false (tpd_decoder_later (f->decoder, on_result, &callers[0]));
}

static void
begin_ahead (Fixture *f, guint64 number, gsize len)
{
  g_autofree char *text = g_malloc0 (len);
  g_autoptr (GBytes) bytes = g_bytes_new (text, len);
  g_autoptr (TpdSource) source = tpd_source_new_bytes (bytes);
  const TpdStamp stamp = { .ino = number };

  tpd_decoder_ahead (f->decoder, source, &stamp, TPD_DECODE_SIZE);
}

/* It is found by who asks later, it is not much at a time, and it is none of
 * what takes long. */
static void
test_ahead (Fixture *f, gconstpointer data)
{
  const TpdStamp first = { .ino = 1 }, large = { .ino = 2 };
  g_auto (TpdDecoded) decoded = { 0 }, other = { 0 };
  TpdDecoderState state;
  Caller caller;

  begin_ahead (f, large.ino, 10 << 20);
  begin_ahead (f, first.ino, 1);
  await (f, &f->done, 1);
  while (!tpd_decoder_find (f->decoder, &first, TPD_DECODE_SIZE, &decoded))
    g_usleep (1000);
  g_assert_cmpuint (decoded.facts.size, ==, 1);
  g_assert_false (tpd_decoder_find (f->decoder, &large, TPD_DECODE_VERDICT, &other));

  hold (f, TRUE);
  for (guint i = 0; i < 1000; i++)
    begin_ahead (f, 10 + i, 1);
  tpd_decoder_get_state (f->decoder, &state);
  g_assert_cmpuint (state.waiting, ==, 0);
  /* Who waits for one of them is called as always. */
  g_assert_true (ask (f, &caller, 0, 11, TPD_DECODE_SIZE));
  hold (f, FALSE);
  await (f, &f->called, 1);
  g_assert_true (caller.found);
  g_assert_cmpuint (caller.decoded.facts.size, ==, 11);
  tpd_decoded_clear (&caller.decoded);
  tpd_decoder_stop (f->decoder);
  g_assert_cmpuint (f->done, <, 100);
  g_assert_cmpuint (f->done, >, 2);
}

static gpointer
hammer (gpointer data)
{
  Fixture *f = data;
  GRand *rand = g_rand_new_with_seed (7);

  for (guint i = 0; i < 2000; i++)
    {
      const TpdStamp stamp = { .ino = (guint64) g_rand_int_range (rand, 1, 600) };
      g_auto (TpdDecoded) decoded = { 0 };
      Caller *caller;

      if (tpd_decoder_find (f->decoder, &stamp, TPD_DECODE_DOCUMENT, &decoded))
        {
          tpd_decoded_clear (&decoded);
          tpd_decoder_released (f->decoder);
          continue;
        }
      caller = g_new (Caller, 1);
      ask (f, caller, 0, stamp.ino, TPD_DECODE_DOCUMENT);
      if (i % 7 != 0 || !tpd_decoder_withdraw (f->decoder, caller))
        for (gboolean called = FALSE; !called; g_thread_yield ())
          {
            g_mutex_lock (&f->lock);
            called = caller->called;
            g_mutex_unlock (&f->lock);
          }
      else
        caller->decoded = (TpdDecoded){ 0 };
      tpd_decoded_clear (&caller->decoded);
      tpd_decoder_released (f->decoder);
      g_free (caller);
    }
  g_rand_free (rand);
  return NULL;
}

static void
test_many_threads (Fixture *f, gconstpointer data)
{
  GThread *threads[8];
  TpdDecoderState state;

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new (NULL, hammer, f);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  tpd_decoder_stop (f->decoder);
  tpd_decoder_get_state (f->decoder, &state);
  g_assert_cmpuint (state.waiting, ==, 0);
  g_assert_cmpuint (state.used, <=, 1000);
  g_assert_cmpuint (state.documents, ==, f->documents);
}

int
main (int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*test) (Fixture *f, gconstpointer data);
  } tests[] = {
    { "/decoder/one-decode-for-all", test_one_decode_for_all },
    { "/decoder/waiting-takes-no-thread", test_waiting_takes_no_thread },
    { "/decoder/verdict-then-document", test_verdict_then_document },
    { "/decoder/failures-are-kept-unless-passing", test_failures_are_kept_unless_passing },
    { "/decoder/least-recently-used-goes", test_the_least_recently_used_goes },
    { "/decoder/sizes-need-no-room", test_sizes_need_no_room },
    { "/decoder/readers-wait-for-room", test_readers_wait_for_room },
    { "/decoder/cancelled-when-nobody-waits", test_work_that_nobody_waits_for_is_cancelled },
    { "/decoder/stopping-calls-everybody", test_stopping_calls_everybody },
    { "/decoder/ahead", test_ahead },
    { "/decoder/many-threads", test_many_threads },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
  return g_test_run ();
}
