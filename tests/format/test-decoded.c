/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed memory for decoded plaintext: what it costs is charged, and nothing can change it. */
#include "format/decoded.h"

#include <sys/mman.h>

#include "support.h"

static TpdSink *
sink_with (const void *data, gsize len, TpdBudget *budget)
{
  g_autoptr (GError) error = NULL;
  TpdSink *sink = tpd_sink_new (budget, &error);

  g_assert_no_error (error);
  g_assert_true (tpd_sink_append (sink, data, len, &error));
  g_assert_no_error (error);
  return sink;
}

static void
test_round_trip (void)
{
  g_autofree guint8 *noise = make_noise (700000, 9);
  g_autoptr (TpdSource) source = source_from (noise, 700000);
  g_autoptr (TpdSink) sink = sink_with ("head", 4, NULL);
  g_autoptr (TpdDocument) document = NULL;
  g_autoptr (GBytes) all = NULL;
  guint8 buf[8];

  g_assert_true (tpd_sink_append_source (sink, source, NULL));
  g_assert_cmpuint (tpd_sink_size (sink), ==, 700004);
  g_assert_true (tpd_sink_pwrite (sink, "TAIL", 4, 700000, NULL));
  g_assert_true (tpd_sink_pread (sink, buf, 8, 699996, NULL));
  g_assert_cmpmem (buf + 4, 4, "TAIL", 4);
  memcpy (noise + 699996, "TAIL", 4);
  g_assert_cmpmem (buf, 8, noise + 699992, 8);
  document = tpd_sink_to_document (g_steal_pointer (&sink), TPD_KIND_PDF, NULL);
  g_assert_cmpint (document->kind, ==, TPD_KIND_PDF);
  g_assert_cmpuint (document->plain_size, ==, 700004);
  all = document_read_all (document, NULL);
  g_assert_cmpmem (g_bytes_get_data (all, NULL), 4, "head", 4);
  g_assert_cmpmem ((const guint8 *) g_bytes_get_data (all, NULL) + 4, 700000, noise, 700000);
}

static void
spoil_room (TpdSink *sink, gsize wanted)
{
  gsize len;
  guint8 *room = tpd_sink_room (sink, wanted, &len);

  memset (room, 0xff, len);
}

/* What is written into the room that a sink gives is what it then holds,
 * whether the room is large or small, used or not, and mixed with the rest. */
static void
test_room (void)
{
  static const gsize steps[] = { 1, 100, 5000, 70000, 300000 };

  for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      const gsize len = 700000;
      g_autofree guint8 *noise = make_noise (len, 7);
      TpdBudget budget = { .max_bytes = len };
      g_autoptr (TpdSink) sink = tpd_sink_new_public (&budget);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (GBytes) all = NULL;
      g_autoptr (GError) error = NULL;
      gsize unused;

      for (gsize at = 0, n; at < len; at += n)
        {
          guint8 *room = tpd_sink_room (sink, MIN (steps[i], len - at), &n);

          g_assert_cmpuint (n, >=, 1);
          g_assert_cmpuint (n, <=, MIN (steps[i], len - at));
          memcpy (room, noise + at, n);
          g_assert_true (tpd_sink_fill (sink, n, NULL));
          g_assert_cmpuint (budget.used_bytes, ==, at + n);
          spoil_room (sink, 400000);
          spoil_room (sink, 10);
          if (at + n < len)
            {
              g_assert_true (tpd_sink_append (sink, noise + at + n, 1, NULL));
              n++;
            }
        }
      *tpd_sink_room (sink, 1, &unused) = 0;
      g_assert_false (tpd_sink_fill (sink, 1, &error));
      g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
      source = tpd_sink_to_source (g_steal_pointer (&sink), NULL);
      all = tpd_source_read_bytes (source, 0, (gsize) source->size, NULL);
      g_assert_nonnull (all);
      g_assert_cmpmem (g_bytes_get_data (all, NULL), g_bytes_get_size (all), noise, len);
    }
}

/* Reads behind the end give nothing, reads across it what there is. */
static void
test_end (void)
{
  g_autoptr (TpdDocument) document = tpd_sink_to_document (sink_with ("abcdef", 6, NULL), TPD_KIND_EML, NULL);
  g_autoptr (TpdSource) source = tpd_sink_to_source (sink_with ("abcdef", 6, NULL), NULL);
  guint8 buf[10];

  g_assert_cmpint (tpd_document_pread (document, buf, 10, 4, NULL), ==, 2);
  g_assert_cmpmem (buf, 2, "ef", 2);
  g_assert_cmpint (tpd_document_pread (document, buf, 10, 6, NULL), ==, 0);
  g_assert_cmpint (tpd_document_pread (document, buf, 10, G_MAXUINT64, NULL), ==, 0);
  g_assert_cmpint (tpd_document_pread (document, buf, 0, 0, NULL), ==, 0);
  g_assert_cmpuint (source->size, ==, 6);
  g_assert_cmpint (tpd_source_pread (source, buf, 10, 5, NULL), ==, 1);
  g_assert_cmpint (tpd_source_pread (source, buf, 10, 7, NULL), ==, 0);
}

static void
test_empty (void)
{
  g_autoptr (TpdSink) sink = tpd_sink_new (NULL, NULL);
  g_autoptr (TpdSink) other = tpd_sink_new (NULL, NULL);
  g_autoptr (TpdSource) nothing = source_from ("", 0);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdDocument) document = NULL;
  guint8 byte;

  g_assert_true (tpd_sink_append (sink, NULL, 0, NULL));
  g_assert_true (tpd_sink_append_source (sink, nothing, NULL));
  document = tpd_sink_to_document (g_steal_pointer (&sink), TPD_KIND_PDF, NULL);
  g_assert_cmpuint (document->plain_size, ==, 0);
  g_assert_cmpint (tpd_document_pread (document, &byte, 1, 0, NULL), ==, 0);
  source = tpd_sink_to_source (g_steal_pointer (&other), NULL);
  g_assert_cmpint (tpd_source_pread (source, &byte, 1, 0, NULL), ==, 0);
}

/* Whoever gets the descriptor can neither write, grow, shrink nor unseal it. */
static void
test_sealed (void)
{
  g_autoptr (TpdDocument) document = tpd_sink_to_document (sink_with ("secret", 6, NULL), TPD_KIND_PDF, NULL);
  int fd = tpd_document_memory_fd (document);
  guint8 buf[6];

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (pwrite (fd, "x", 1, 0), ==, -1);
  g_assert_cmpint (errno, ==, EPERM);
  g_assert_cmpint (pwrite (fd, "x", 1, 6), ==, -1);
  g_assert_cmpint (ftruncate (fd, 0), ==, -1);
  g_assert_cmpint (errno, ==, EPERM);
  g_assert_cmpint (ftruncate (fd, 100), ==, -1);
  g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_WRITE), ==, -1);
  g_assert_true (mmap (NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  g_assert_cmpint (fcntl (fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
  g_assert_cmpint (tpd_document_pread (document, buf, 6, 0, NULL), ==, 6);
  g_assert_cmpmem (buf, 6, "secret", 6);
}

/* Every byte is charged before it is written; one too many is too many. */
static void
test_budget (void)
{
  TpdBudget budget = { .max_bytes = 10 };
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSink) sink = sink_with ("12345", 5, &budget);
  g_autoptr (TpdSink) other = tpd_sink_new (&budget, NULL);

  g_assert_cmpuint (budget.used_bytes, ==, 5);
  g_assert_true (tpd_sink_append (other, "12345", 5, NULL));
  g_assert_false (tpd_sink_append (sink, "1", 1, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
  g_assert_cmpuint (tpd_sink_size (sink), ==, 5);
  g_clear_error (&error);
  budget.max_bytes = 0;
  g_assert_true (tpd_sink_append (sink, "123", 3, NULL));
  budget.cancelled = 1;
  g_assert_false (tpd_sink_append (sink, "1", 1, &error));
  g_assert_error (error, TPD_ERROR, TPD_ERROR_CANCELLED);
}

static void
test_decode_budget (void)
{
  TpdBudget budget;

  tpd_budget_init_decode (&budget, 1000);
  g_assert_cmpuint (budget.max_bytes, ==, 64000 + 64 * 1024 * 1024);
  g_assert_cmpuint (budget.used_bytes, ==, 0);
  g_assert_cmpuint (budget.max_reads, ==, 0);
  tpd_budget_init_decode (&budget, G_MAXUINT64);
  g_assert_cmpuint (budget.max_bytes, ==, G_MAXUINT64);
  g_assert_true (tpd_budget_charge (&budget, G_MAXUINT64, NULL));
  g_assert_false (tpd_budget_charge (&budget, 1, NULL));
  g_assert_true (tpd_budget_charge (NULL, G_MAXUINT64, NULL));
}

/* What is no secret, below and above the size where it changes its place. */
static void
test_public (void)
{
  const gsize sizes[] = { 0, 5, 256 * 1024, 256 * 1024 + 1, 900000 };
  g_autofree guint8 *noise = make_noise (900000, 3), *out = g_malloc (900000);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (gsize step = 4096; step <= 300000; step += 295904)
      {
        TpdBudget budget = { .max_bytes = sizes[i] };
        g_autoptr (TpdSink) sink = tpd_sink_new_public (&budget);
        g_autoptr (TpdSource) source = NULL;
        g_autoptr (GError) error = NULL;
        gsize size = sizes[i];

        for (gsize off = 0; off < size; off += step)
          g_assert_true (tpd_sink_append (sink, noise + off, MIN (step, size - off), NULL));
        if (size > 0)
          {
            g_assert_false (tpd_sink_append (sink, "1", 1, &error));
            g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
          }
        g_assert_cmpuint (tpd_sink_size (sink), ==, size);
        if (size >= 5)
          {
            g_assert_true (tpd_sink_pwrite (sink, "TAIL", 4, size - 4, NULL));
            g_assert_true (tpd_sink_pread (sink, out, 5, size - 5, NULL));
            g_assert_cmpmem (out + 1, 4, "TAIL", 4);
            g_assert_cmpuint (out[0], ==, noise[size - 5]);
          }
        source = tpd_sink_to_source (g_steal_pointer (&sink), NULL);
        g_assert_cmpuint (source->size, ==, size);
        g_assert_cmpint (tpd_source_pread (source, out, 900000, 0, NULL), ==, (gssize) size);
        if (size >= 5)
          g_assert_cmpmem (out, size - 4, noise, size - 4);
      }
}

/* A document made of it is sealed memory like any other. */
static void
test_public_document (void)
{
  g_autoptr (TpdSink) sink = tpd_sink_new_public (NULL);
  g_autoptr (TpdDocument) document = NULL;
  char buf[6];

  g_assert_true (tpd_sink_append (sink, "letter", 6, NULL));
  document = tpd_sink_to_document (g_steal_pointer (&sink), TPD_KIND_EML, NULL);
  g_assert_nonnull (document);
  g_assert_cmpint (tpd_document_pread (document, buf, 6, 0, NULL), ==, 6);
  g_assert_cmpmem (buf, 6, "letter", 6);
  g_assert_cmpint (fcntl (tpd_document_memory_fd (document), F_GET_SEALS) & F_SEAL_WRITE, ==, F_SEAL_WRITE);
}

/* A source that fails leaves what came before, and its own error. */
static void
test_failing_source (void)
{
  g_autofree guint8 *noise = make_noise (600000, 2);
  g_autoptr (TpdSource) source = source_from (noise, 600000);
  FaultSource *bad = fault_source_new (source, FAULT_EIO, 1), *cut = fault_source_new (source, FAULT_SHORT, 2);
  g_autoptr (TpdSink) sink = tpd_sink_new (NULL, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_false (tpd_sink_append_source (sink, &bad->base, &error));
  g_assert_cmpint (tpd_error_get_errno (error), ==, EIO);
  g_clear_error (&error);
  g_assert_false (tpd_sink_append_source (sink, &cut->base, &error));
  g_assert_nonnull (error);
  tpd_source_unref (&bad->base);
  tpd_source_unref (&cut->base);
}

static void
test_other_documents (void)
{
  static const TpdDocumentClass klass = { NULL, NULL };
  TpdDocument document = { .klass = &klass, .ref_count = 1 };

  g_assert_cmpint (tpd_document_memory_fd (&document), ==, -1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/decoded/room", test_room);
  g_test_add_func ("/decoded/bytes-come-back", test_round_trip);
  g_test_add_func ("/decoded/reads-stop-at-the-end", test_end);
  g_test_add_func ("/decoded/empty", test_empty);
  g_test_add_func ("/decoded/sealed-for-good", test_sealed);
  g_test_add_func ("/decoded/budget-is-charged-first", test_budget);
  g_test_add_func ("/decoded/budget-of-a-decode", test_decode_budget);
  g_test_add_func ("/decoded/public", test_public);
  g_test_add_func ("/decoded/public-document", test_public_document);
  g_test_add_func ("/decoded/failing-source", test_failing_source);
  g_test_add_func ("/decoded/no-descriptor-for-others", test_other_documents);
  return g_test_run ();
}
