/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder: see fs/decode.h.
 *
 * There is one entry for each version of a file that somebody wants or whose
 * result is kept, found by the stamp. An entry is busy from the moment that it
 * is queued until everybody who waited has been called; meanwhile others join
 * its waiters. All that no thread is at are in a list, with the most recently
 * used first.
 *
 * Waiting costs no thread: who waits leaves a function, which is called when
 * the result is there and looks for it anew. So there is one way through the
 * callers' code, whether the result was there before, was made for them or was
 * made for somebody else; and what was evicted or has changed in the meantime
 * is simply waited for again.
 *
 * Memory. Documents count against the limit as long as anybody has them, in
 * use or not: one that nobody but its entry refers to, and no thread is at, is
 * given up when another needs the room, the least recently used first. (Also if
 * the entry is queued: those before it in the queue may need the room, and it
 * is decoded once more then.) When those in use
 * leave no room, a reader waits a while for them to be closed; then it is told
 * so, and the document is dropped. Who only wants its size is not concerned.
 * What is being decoded at that moment comes on top: at most one file for each
 * thread, each within its own budget.
 *
 * One lock guards everything; it is not held while the work is done, a waiter
 * called or a document freed.
 */
#include "fs/decode.h"

#include "base/error.h"

#define MAX_DOCUMENTS 256 /* some hold a descriptor */
#define MAX_ENTRIES 8192
#define ROOM_TIMEOUT_US (10 * G_USEC_PER_SEC)
/* Of what nobody waits for yet: so many at a time, each with a descriptor, and
 * none that somebody who does wait would long be behind. */
#define MAX_AHEAD 32
#define MAX_AHEAD_SIZE (256 * 1024)

typedef struct {
  TpdDecodeFunc func;
  gpointer data;
  TpdDecodeWant want;
} Waiter;

typedef struct {
  TpdStamp stamp;    /* first: it is the key */
  TpdSource *source; /* while busy */
  TpdBudget budget;
  gboolean busy;    /* queued or running */
  gboolean running; /* not in TpdDecoder.lru meanwhile */
  GSList *waiters;  /* of Waiter */

  gboolean done; /* `result` is there, of `depth` */
  TpdDecodeWant depth;
  /* The thread that calls those for whom there was no room: only they are to
   * hear of it, since others who come meanwhile may have more luck. */
  GThread *crowded;
  TpdDecoded result;
  guint64 cost;
  GList link; /* in TpdDecoder.lru, unless running */
} Entry;

/* Of the pool: one of both. */
typedef struct {
  Entry *entry;
  TpdDecodeFunc func;
  gpointer data;
} Task;

struct _TpdDecoder {
  TpdDecodeWork work;
  gpointer data;
  guint threads;
  guint64 limit;
  GThreadPool *pool;

  GMutex lock;
  GCond room;
  /* Under lock, as are the entries. */
  GHashTable *entries; /* TpdStamp of the entry -> Entry, owned */
  GHashTable *waiting; /* Waiter.data -> Entry */
  GQueue lru;          /* most recent first */
  guint64 used;
  guint documents;
  gboolean stopping;

  guint ahead; /* atomic: callers of tpd_decoder_ahead() in `waiting` */
};

void
tpd_decoded_clear (TpdDecoded *decoded)
{
  g_clear_pointer (&decoded->document, tpd_document_unref);
  g_clear_error (&decoded->error);
}

static guint
stamp_hash (gconstpointer key)
{
  const TpdStamp *stamp = key;

  return g_int64_hash (&stamp->ino) ^ g_int64_hash (&stamp->mtime_ns);
}

static gboolean
stamp_equal (gconstpointer a, gconstpointer b)
{
  return tpd_stamp_same_content (a, b);
}

/* --- Entries, under the lock ------------------------------------------ */

static Entry *
entry_get (TpdDecoder *decoder, const TpdStamp *stamp)
{
  Entry *entry = g_hash_table_lookup (decoder->entries, stamp);

  if (entry == NULL)
    {
      entry = g_new0 (Entry, 1);
      entry->stamp = *stamp;
      entry->link.data = entry;
      g_hash_table_add (decoder->entries, entry);
      g_queue_push_head_link (&decoder->lru, &entry->link);
    }
  return entry;
}

/* Takes the result out, to be cleared without the lock. */
static TpdDecoded
entry_take_result (TpdDecoder *decoder, Entry *entry)
{
  TpdDecoded result = entry->result;

  decoder->used -= entry->cost;
  decoder->documents -= result.document != NULL;
  entry->result = (TpdDecoded){ 0 };
  entry->cost = 0;
  entry->done = FALSE;
  return result;
}

/* Only the entry refers to the document: then nobody can come by another
 * reference without the lock. */
static gboolean
is_unused (const Entry *entry)
{
  return entry->result.document == NULL || g_atomic_int_get (&entry->result.document->ref_count) == 1;
}

/* The result goes, and with it an entry that is not busy. What was held is put
 * on `*dropped`. */
static void
entry_drop (TpdDecoder *decoder, Entry *entry, GSList **dropped)
{
  TpdDecoded result = entry_take_result (decoder, entry);

  *dropped = g_slist_prepend (*dropped, g_memdup2 (&result, sizeof result));
  if (entry->busy)
    return;
  g_queue_unlink (&decoder->lru, &entry->link);
  g_hash_table_remove (decoder->entries, &entry->stamp);
}

static void
free_dropped (gpointer data)
{
  tpd_decoded_clear (data);
  g_free (data);
}

static gboolean
fits (const TpdDecoder *decoder, guint64 cost)
{
  return decoder->used <= decoder->limit && cost <= decoder->limit - decoder->used
         && decoder->documents < MAX_DOCUMENTS;
}

/* Whether a document of that cost fits, once those are gone that nobody uses. */
static gboolean
make_room (TpdDecoder *decoder, guint64 cost, GSList **dropped)
{
  for (GList *link = decoder->lru.tail, *before; link != NULL && !fits (decoder, cost); link = before)
    {
      Entry *entry = link->data;

      before = link->prev;
      if (entry->result.document != NULL && is_unused (entry))
        entry_drop (decoder, entry, dropped);
    }
  return fits (decoder, cost);
}

static void
trim (TpdDecoder *decoder, GSList **dropped)
{
  for (GList *link = decoder->lru.tail, *before; link != NULL && decoder->lru.length > MAX_ENTRIES; link = before)
    {
      Entry *entry = link->data;

      before = link->prev;
      if (!entry->busy && is_unused (entry))
        entry_drop (decoder, entry, dropped);
    }
}

/* What the most demanding waiter wants. */
static TpdDecodeWant
entry_want (const Entry *entry)
{
  TpdDecodeWant want = TPD_DECODE_VERDICT;

  for (const GSList *link = entry->waiters; link != NULL; link = link->next)
    want = MAX (want, ((const Waiter *) link->data)->want);
  return want;
}

static gboolean
satisfies (const Entry *entry, TpdDecodeWant want)
{
  return entry->done && (entry->depth >= want || entry->crowded == g_thread_self ());
}

/* --- The work --------------------------------------------------------- */

/* Under the lock: keeps `*result`, but for a document that finds no room. */
static void
entry_store (TpdDecoder *decoder, Entry *entry, TpdDecodeWant want, TpdDecoded *result, GSList **dropped)
{
  const gint64 deadline = g_get_monotonic_time () + ROOM_TIMEOUT_US;
  TpdDecoded old = entry_take_result (decoder, entry);
  guint64 cost = result->document != NULL ? result->document->memory_size : 0;

  *dropped = g_slist_prepend (*dropped, g_memdup2 (&old, sizeof old));
  if (result->document != NULL)
    while (!make_room (decoder, cost, dropped))
      if (decoder->stopping || entry_want (entry) < TPD_DECODE_DOCUMENT
          || !g_cond_wait_until (&decoder->room, &decoder->lock, deadline))
        {
          TpdDecoded excess = { .document = g_steal_pointer (&result->document) };

          *dropped = g_slist_prepend (*dropped, g_memdup2 (&excess, sizeof excess));
          entry->crowded = g_thread_self ();
          break;
        }
  entry->result = *result;
  entry->done = TRUE;
  /* A failure is all that there is to know. */
  entry->depth = result->error != NULL || result->document != NULL ? TPD_DECODE_DOCUMENT : MIN (want, TPD_DECODE_SIZE);
  if (result->document != NULL)
    {
      entry->cost = cost;
      decoder->used += cost;
      decoder->documents++;
    }
  *result = (TpdDecoded){ 0 };
}

/* The lock is given up for the work and taken again. FALSE: it was cancelled;
 * somebody may have come since who wants it. */
static gboolean
entry_work (TpdDecoder *decoder, Entry *entry, GSList **dropped)
{
  TpdDecodeWant want = entry_want (entry);
  g_auto (TpdDecoded) result = { 0 };

  entry->budget = (TpdBudget){ .cancelled = decoder->stopping };
  g_mutex_unlock (&decoder->lock);
  decoder->work (decoder->data, entry->source, &entry->stamp, want, &entry->budget, &result);
  g_mutex_lock (&decoder->lock);
  if (g_error_matches (result.error, TPD_ERROR, TPD_ERROR_CANCELLED) && !decoder->stopping)
    return FALSE;
  entry_store (decoder, entry, want, &result, dropped);
  return TRUE;
}

/* Calls those who wait; the lock is given up meanwhile. */
static void
entry_call_waiters (TpdDecoder *decoder, Entry *entry)
{
  GSList *waiters = g_slist_reverse (g_steal_pointer (&entry->waiters));

  for (const GSList *link = waiters; link != NULL; link = link->next)
    g_hash_table_remove (decoder->waiting, ((const Waiter *) link->data)->data);
  g_mutex_unlock (&decoder->lock);
  for (const GSList *link = waiters; link != NULL; link = link->next)
    {
      const Waiter *waiter = link->data;

      waiter->func (waiter->data);
    }
  g_slist_free_full (waiters, g_free);
  g_mutex_lock (&decoder->lock);
  entry->crowded = NULL;
}

static void
run_entry (TpdDecoder *decoder, Entry *entry)
{
  GSList *dropped = NULL;
  TpdSource *source;

  g_mutex_lock (&decoder->lock);
  entry->running = TRUE;
  g_queue_unlink (&decoder->lru, &entry->link);
  while (entry->waiters != NULL)
    if (satisfies (entry, entry_want (entry)) || entry_work (decoder, entry, &dropped))
      entry_call_waiters (decoder, entry);
  source = g_steal_pointer (&entry->source);
  entry->busy = entry->running = FALSE;
  g_queue_push_head_link (&decoder->lru, &entry->link);
  if (!entry->done || !entry->result.facts.known)
    entry_drop (decoder, entry, &dropped);
  trim (decoder, &dropped);
  g_cond_broadcast (&decoder->room);
  g_mutex_unlock (&decoder->lock);
  tpd_source_unref (source);
  g_slist_free_full (dropped, free_dropped);
}

static void
run_task (gpointer data, gpointer user_data)
{
  g_autofree Task *task = data;

  if (task->entry != NULL)
    run_entry (user_data, task->entry);
  else
    task->func (task->data);
}

static void
push (TpdDecoder *decoder, Entry *entry, TpdDecodeFunc func, gpointer data)
{
  Task task = { entry, func, data };

  g_thread_pool_push (decoder->pool, g_memdup2 (&task, sizeof task), NULL);
}

/* --- For callers ------------------------------------------------------ */

TpdDecoder *
tpd_decoder_new (guint threads, guint64 limit, TpdDecodeWork work, gpointer data)
{
  TpdDecoder *decoder = g_new0 (TpdDecoder, 1);

  decoder->work = work;
  decoder->data = data;
  decoder->threads = threads;
  decoder->limit = limit;
  decoder->pool = g_thread_pool_new (run_task, decoder, (gint) threads, FALSE, NULL);
  g_mutex_init (&decoder->lock);
  g_cond_init (&decoder->room);
  decoder->entries = g_hash_table_new_full (stamp_hash, stamp_equal, g_free, NULL);
  decoder->waiting = g_hash_table_new (NULL, NULL);
  g_queue_init (&decoder->lru);
  return decoder;
}

void
tpd_decoder_stop (TpdDecoder *decoder)
{
  GHashTableIter iter;
  gpointer entry;

  g_mutex_lock (&decoder->lock);
  if (decoder->stopping)
    {
      g_mutex_unlock (&decoder->lock);
      return;
    }
  decoder->stopping = TRUE;
  g_hash_table_iter_init (&iter, decoder->entries);
  while (g_hash_table_iter_next (&iter, &entry, NULL))
    g_atomic_int_set (&((Entry *) entry)->budget.cancelled, 1);
  g_cond_broadcast (&decoder->room);
  g_mutex_unlock (&decoder->lock);
  /* What is queued is still run, which takes no time any more. */
  g_thread_pool_free (decoder->pool, FALSE, TRUE);
  decoder->pool = NULL;
}

void
tpd_decoder_free (TpdDecoder *decoder)
{
  GSList *dropped = NULL;

  tpd_decoder_stop (decoder);
  while (decoder->lru.tail != NULL)
    entry_drop (decoder, decoder->lru.tail->data, &dropped);
  g_slist_free_full (dropped, free_dropped);
  g_hash_table_unref (decoder->waiting);
  g_hash_table_unref (decoder->entries);
  g_cond_clear (&decoder->room);
  g_mutex_clear (&decoder->lock);
  g_free (decoder);
}

gboolean
tpd_decoder_find (TpdDecoder *decoder, const TpdStamp *stamp, TpdDecodeWant want, TpdDecoded *out)
{
  gboolean found;
  Entry *entry;

  *out = (TpdDecoded){ 0 };
  g_mutex_lock (&decoder->lock);
  entry = g_hash_table_lookup (decoder->entries, stamp);
  found = entry != NULL && satisfies (entry, want);
  if (found)
    {
      out->facts = entry->result.facts;
      if (entry->result.document != NULL)
        out->document = tpd_document_ref (entry->result.document);
      if (entry->result.error != NULL)
        out->error = g_error_copy (entry->result.error);
      if (!entry->running)
        {
          g_queue_unlink (&decoder->lru, &entry->link);
          g_queue_push_head_link (&decoder->lru, &entry->link);
        }
    }
  g_mutex_unlock (&decoder->lock);
  return found;
}

gboolean
tpd_decoder_wait (TpdDecoder *decoder, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want, TpdDecodeFunc func,
                  gpointer data)
{
  Waiter waiter = { func, data, want };
  gboolean running;
  Entry *entry;

  g_mutex_lock (&decoder->lock);
  running = !decoder->stopping;
  if (running)
    {
      entry = entry_get (decoder, stamp);
      entry->waiters = g_slist_prepend (entry->waiters, g_memdup2 (&waiter, sizeof waiter));
      g_hash_table_insert (decoder->waiting, data, entry);
      if (!entry->busy)
        {
          entry->busy = TRUE;
          entry->source = tpd_source_ref (source);
          push (decoder, entry, NULL, NULL);
        }
    }
  g_mutex_unlock (&decoder->lock);
  return running;
}

/* TpdDecodeFunc of who does not wait; `data` is a TpdDecoder ** of its own. */
static void
ahead_done (gpointer data)
{
  g_autofree TpdDecoder **decoder = data;

  __atomic_sub_fetch (&(*decoder)->ahead, 1, __ATOMIC_RELAXED);
}

void
tpd_decoder_ahead (TpdDecoder *decoder, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want)
{
  TpdDecoder **data;

  if (source->size > MAX_AHEAD_SIZE)
    return;
  data = g_new (TpdDecoder *, 1);
  *data = decoder;
  if (__atomic_add_fetch (&decoder->ahead, 1, __ATOMIC_RELAXED) > MAX_AHEAD
      || !tpd_decoder_wait (decoder, source, stamp, want, ahead_done, data))
    ahead_done (data);
}

gboolean
tpd_decoder_withdraw (TpdDecoder *decoder, gpointer data)
{
  Entry *entry;

  g_mutex_lock (&decoder->lock);
  entry = g_hash_table_lookup (decoder->waiting, data);
  if (entry != NULL)
    {
      g_hash_table_remove (decoder->waiting, data);
      for (GSList *link = entry->waiters; link != NULL; link = link->next)
        if (((Waiter *) link->data)->data == data)
          {
            g_free (link->data);
            entry->waiters = g_slist_delete_link (entry->waiters, link);
            break;
          }
      if (entry->waiters == NULL)
        g_atomic_int_set (&entry->budget.cancelled, 1);
      g_cond_broadcast (&decoder->room);
    }
  g_mutex_unlock (&decoder->lock);
  return entry != NULL;
}

gboolean
tpd_decoder_later (TpdDecoder *decoder, TpdDecodeFunc func, gpointer data)
{
  gboolean running;

  g_mutex_lock (&decoder->lock);
  running = !decoder->stopping;
  if (running)
    push (decoder, NULL, func, data);
  g_mutex_unlock (&decoder->lock);
  return running;
}

int
tpd_wait_for (TpdWait *wait, TpdSource *source, const TpdStamp *stamp, TpdDecodeWant want)
{
  if (wait != NULL)
    {
      tpd_source_unref (wait->source);
      *wait = (TpdWait){ tpd_source_ref (source), *stamp, want };
    }
  return TPD_WAIT;
}

void
tpd_decoder_released (TpdDecoder *decoder)
{
  g_mutex_lock (&decoder->lock);
  g_cond_broadcast (&decoder->room);
  g_mutex_unlock (&decoder->lock);
}

void
tpd_decoder_get_state (TpdDecoder *decoder, TpdDecoderState *state)
{
  guint waiting, ahead = __atomic_load_n (&decoder->ahead, __ATOMIC_RELAXED);

  g_mutex_lock (&decoder->lock);
  waiting = g_hash_table_size (decoder->waiting);
  *state = (TpdDecoderState){
    .threads = decoder->threads,
    .limit = decoder->limit,
    .used = decoder->used,
    .documents = decoder->documents,
    .waiting = waiting > ahead ? waiting - ahead : 0,
  };
  g_mutex_unlock (&decoder->lock);
}
