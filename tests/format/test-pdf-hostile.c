/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PDF files made to cost time or memory, or to confuse: each gives its verdict
 * within seconds, a probe within its reads, and no plain file is called
 * damaged.
 */
#include <glib.h>
#include <sys/resource.h>

#include "format/pdf_private.h"
#include "pdf-maker.h"

/* Processor time, because others work on the machine too. */
#define MAX_SECONDS 20

static double
cpu_seconds (void)
{
  struct rusage usage;

  getrusage (RUSAGE_SELF, &usage);
  return (double) usage.ru_utime.tv_sec + (double) usage.ru_utime.tv_usec / 1e6;
}

static const Spec spec = { .mode = TPD_CIPHER_CBC4K };

/* Probes, reads the license and opens, as far as it goes; the last word. */
static TpdVerdict
judge_bytes (GBytes *file)
{
  g_autoptr (TpdSource) source = tpd_source_new_bytes (file);
  FaultSource *counter = fault_source_new (source, FAULT_NONE, 0);
  g_autoptr (TpdProbe) probe = tpd_probe (&counter->base, NULL);
  g_autoptr (GBytes) license = NULL;
  g_autoptr (TpdDocument) document = NULL;
  g_autoptr (GError) error = NULL;
  TpdContentKey key = maker_content_key (&spec, TPD_MODE_WORD_CBC4K);
  TpdVerdict verdict = probe->verdict;
  double start = cpu_seconds ();

  g_assert_cmpint (counter->reads, <=, TPD_PROBE_MAX_READS);
  tpd_source_unref (&counter->base);
  if (verdict == TPD_VERDICT_OK)
    {
      license = tpd_probe_read_license (probe, source, NULL);
      document = tpd_document_new (source, probe, NULL, &key, NULL, NULL, &error);
      if (document == NULL)
        verdict = tpd_verdict_from_error (error);
      else if (probe->size_class == TPD_SIZE_EXACT)
        g_assert_cmpuint (document->plain_size, ==, probe->plain_size);
    }
  g_assert_cmpfloat (cpu_seconds () - start, <, MAX_SECONDS);
  tpd_secret_unref (key.key);
  return verdict;
}

static TpdVerdict
judge (const char *text)
{
  g_autoptr (GBytes) file = g_bytes_new (text, strlen (text));

  return judge_bytes (file);
}

/* A whole file around `body`, with `entries` as its table and `keys` in its trailer. */
static TpdVerdict
judge_body (const char *body, const char *entries, const char *keys)
{
  g_autoptr (GString) text = g_string_new ("%PDF-1.7\n");
  gsize place;

  g_string_append (text, body);
  place = text->len;
  g_string_append_printf (text, "\nxref\n%strailer\n<<%s>>\nstartxref\n%" G_GSIZE_FORMAT "\n%%%%EOF\n", entries, keys,
                          place + 1);
  return judge (text->str);
}

/* Nothing of this is protected, so nothing of it is our business. */
static void
test_plain_nonsense (void)
{
  g_autofree char *deep = g_strnfill (100000, '[');
  g_autofree char *deep_keys = g_strconcat ("/Root 1 0 R/X ", deep, NULL);
  static const char *const texts[] = {
    "%PDF-1.7",
    "%PDF-1.7\nstartxref",
    "%PDF-1.7\nstartxref\n9999999999999999999999\n%%EOF",
    "%PDF-1.7\nstartxref\n5\n%%EOF",
    "%PDF-1.7\nxref\n0 99999999999\n0000000000 65535 f \ntrailer<<>>\nstartxref\n9\n",
    "%PDF-1.7\nxref\n0 1\n0000000000 65535 f \ntrailer\n<</Prev 9/Root 1 0 R>>\nstartxref\n9\n%%EOF",
    "%PDF-1.7\nxref\n0 1\n0000000000 65535 f \ntrailer\n<</Encrypt 1 0 R/Prev 9>>\nstartxref\n9\n%%EOF",
    "%PDF-1.7\nxref\n0 0\ntrailer\n<</Encrypt",
    "%PDF-1.7\n1 0 obj\n<</Type/XRef/W[8 8 8]/Index[0 9999999999999]/Size 3/Length 0>>\nstream\n\nendstream\nendobj\n"
    "startxref\n9\n%%EOF",
    "%PDF-1.7\n1 0 obj\n<</Type/XRef/W[0 0 0]/Size 99999999/Length 0>>\nstream\n\nendstream\nstartxref\n9\n%%EOF",
    "%PDF-1.7\n1 0 obj\n<</Type/XRef/W[-1 99 1]/Size 1/Length 1 0 R>>\nstream\n\nendstream\nstartxref\n9\n%%EOF",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    g_assert_cmpint (judge (texts[i]), ==, TPD_VERDICT_NOT_PROTECTED);
  g_assert_cmpint (judge_body ("", "0 1\n0000000000 65535 f \n", deep_keys), ==, TPD_VERDICT_NOT_PROTECTED);
  /* References that lead in a circle. */
  g_assert_cmpint (judge_body ("1 0 obj\n2 0 R\nendobj\n2 0 obj\n1 0 R\nendobj\n",
                               "1 2\n0000000009 00000 n \n0000000030 00000 n \n", "/Root 1 0 R/Encrypt 2 0 R"),
                   ==, TPD_VERDICT_NOT_PROTECTED);
}

/* An object stream inside of itself, and one in another. */
static void
test_object_stream_loop (void)
{
  for (guint holder = 1; holder <= 3; holder++)
    {
      g_autoptr (GString) text = g_string_new ("%PDF-1.7\n");
      gsize place = text->len;

      g_string_append (text, "4 0 obj\n<</Type/XRef/W[1 2 1]/Size 4/Root 1 0 R/Length 16>>\nstream\n");
      for (guint i = 0; i < 4; i++)
        {
          const char row[4] = { 2, 0, (char) holder, 0 };
          g_string_append_len (text, row, 4);
        }
      g_string_append_printf (text, "\nendstream\nendobj\nstartxref\n%" G_GSIZE_FORMAT "\n%%%%EOF\n", place);
      {
        g_autoptr (GBytes) file = g_bytes_new (text->str, text->len);
        g_assert_cmpint (judge_bytes (file), ==, TPD_VERDICT_NOT_PROTECTED);
      }
    }
}

/* A cross-reference stream that inflates to a gigabyte. */
static void
test_xref_bomb (void)
{
  const gsize len = 256 * 1024 * 1024;
  g_autofree char *zeros = g_malloc0 (len);
  g_autoptr (GBytes) packed = deflate_bytes (zeros, len, 15);
  g_autoptr (GString) text = g_string_new ("%PDF-1.7\n");
  g_autoptr (GBytes) file = NULL;

  g_string_append_printf (text,
                          "1 0 obj\n<</Type/XRef/W[1 1 1]/Size 99999999/Root 1 0 R/Filter/FlateDecode/Length %u>>\n"
                          "stream\n",
                          (guint) g_bytes_get_size (packed));
  g_string_append_len (text, g_bytes_get_data (packed, NULL), (gssize) g_bytes_get_size (packed));
  g_string_append (text, "\nendstream\nendobj\nstartxref\n9\n%%EOF\n");
  file = g_bytes_new (text->str, text->len);
  g_assert_cmpint (judge_bytes (file), ==, TPD_VERDICT_NOT_PROTECTED);
}

/* A table of half a million entries: a probe finds what it needs in it all the same. */
static void
test_large_table (void)
{
  const guint n = 500000;
  g_autoptr (GString) text = g_string_new ("%PDF-1.7\n1 0 obj\n<</Filter/MicrosoftIRMServices"
                                           "/PublishingLicense(" MAKER_LICENSE ")>>\nendobj\n");
  g_autoptr (GBytes) file = NULL;
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdProbe) probe = NULL;
  FaultSource *counter;
  gsize place;
  /* Far from both ends, where no search looks. */
  g_autofree char *space = g_strnfill (3000000, '\n');

  g_string_insert (text, 9, space);
  g_string_append (text, space);
  place = text->len;
  g_string_append_printf (text, "xref\n0 %u\n0000000000 65535 f \n0003000009 00000 n \n", n);
  for (guint i = 2; i < n; i++)
    g_string_append (text, "0000000000 00000 f \n");
  g_string_append_printf (text, "trailer\n<</Size %u/Encrypt 1 0 R>>\nstartxref\n%" G_GSIZE_FORMAT "\n%%%%EOF\n", n,
                          place);
  file = g_bytes_new (text->str, text->len);
  source = tpd_source_new_bytes (file);
  counter = fault_source_new (source, FAULT_NONE, 0);
  probe = tpd_probe (&counter->base, NULL);
  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
  g_assert_cmpint (probe->kind, ==, TPD_KIND_PDF);
  g_assert_cmpint (counter->reads, <=, 8);
  tpd_source_unref (&counter->base);
}

/* --- Protected, and hostile ------------------------------------------------- */

/* The encryption dictionary as object 1, at byte 9. */
#define ENCRYPTION "1 0 obj\n<</Filter/MicrosoftIRMServices/PublishingLicense(" MAKER_LICENSE ")>>\nendobj\n"

/* A protected file with `more` in it and `startxref` broken, so that it is searched. */
static TpdVerdict
judge_search (GString *more)
{
  g_autoptr (GString) text = g_string_new ("%PDF-1.7\n" ENCRYPTION);

  g_string_append_len (text, more->str, (gssize) more->len);
  return judge (text->str);
}

static void
repeat (GString *out, const char *text, guint count)
{
  for (guint i = 0; i < count; i++)
    g_string_append (out, text);
}

static void
test_search_cost (void)
{
  static const char *const patterns[] = {
    "2 0 obj\n(",                     /* strings without an end, one in the other */
    "2 0 obj\n[",                     /* likewise arrays */
    "2 0 obj\n<</A",                  /* likewise dictionaries */
    "2 0 obj\n<</Length 9>>stream\n", /* streams without an end */
    "stream\n",
    "trailer\n<</A(",
    "2 0 obj\n%",
    "(((((((((",
    "2 0 obj<</Length 2 0 R>>stream\nabcdefghabcdefgh\nendstream endobj\n",
  };

  for (guint i = 0; i < G_N_ELEMENTS (patterns); i++)
    {
      g_autoptr (GString) more = g_string_new (NULL);

      repeat (more, patterns[i], 2000000 / (guint) strlen (patterns[i]));
      g_test_message ("%s", patterns[i]);
      g_assert_cmpint (judge_search (more), ==, TPD_VERDICT_DAMAGED);
    }
}

/* A table of entries that all lead to one stream, or into white space. */
static void
test_entries_cost (void)
{
  g_autofree char *space = g_strnfill (1000000, ' ');
  g_autofree guint8 *noise = make_noise (1000000, 3);
  g_autofree char *data = g_base64_encode (noise, 1000000);

  for (guint round = 0; round < 2; round++)
    {
      g_autoptr (GString) text = g_string_new ("%PDF-1.7\n" ENCRYPTION);
      gsize at = text->len, place;

      if (round == 0)
        g_string_append_printf (text, "2 0 obj\n<</Length %u>>stream\n%s\nendstream\nendobj\n", (guint) strlen (data),
                                data);
      else
        g_string_append (text, space);
      place = text->len;
      g_string_append (text, "xref\n0 50000\n0000000000 65535 f \n0000000009 00000 n \n");
      for (guint i = 2; i < 50000; i++)
        g_string_append_printf (text, "%010" G_GSIZE_FORMAT " 00000 n \n", round == 0 ? at : at + i);
      g_string_append_printf (text, "trailer\n<</Size 50000/Encrypt 1 0 R>>\nstartxref\n%" G_GSIZE_FORMAT "\n%%%%EOF\n",
                              place);
      g_assert_cmpint (judge (text->str), ==, TPD_VERDICT_DAMAGED);
    }
}

/* A chain of sections that overlap, and one that bites its tail. */
static void
test_chain_cost (void)
{
  g_autoptr (GString) text = g_string_new ("%PDF-1.7\n" ENCRYPTION);
  g_autofree char *padding = g_strnfill (500000, 'x');
  gsize previous = 0, place = 0;

  for (guint i = 0; i < 2000; i++)
    {
      place = text->len;
      g_string_append_printf (
          text, "xref\n1 1\n0000000009 00000 n \ntrailer\n<</Encrypt 1 0 R/Prev %" G_GSIZE_FORMAT "/A(", previous);
      previous = place;
    }
  g_string_append (text, padding);
  repeat (text, ")>>", 2000);
  g_string_append_printf (text, "startxref\n%" G_GSIZE_FORMAT "\n%%%%EOF\n", place);
  judge (text->str);
  g_assert_cmpint (judge_body (ENCRYPTION, "1 1\n0000000009 00000 n \n", "/Encrypt 1 0 R/Prev 122"), ==,
                   TPD_VERDICT_DAMAGED);
}

/* What is read of `file` by who opens it. */
static guint
count_reads (GBytes *file, TpdVerdict *verdict)
{
  g_autoptr (TpdSource) source = tpd_source_new_bytes (file);
  FaultSource *counter = fault_source_new (source, FAULT_NONE, 0);
  g_autoptr (TpdProbe) probe = tpd_probe (&counter->base, NULL);
  g_autoptr (TpdDocument) document = NULL;
  g_autoptr (GError) error = NULL;
  TpdContentKey key = maker_content_key (&spec, TPD_MODE_WORD_CBC4K);
  guint reads;

  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
  document = tpd_document_new (&counter->base, probe, NULL, &key, NULL, NULL, &error);
  *verdict = document != NULL ? TPD_VERDICT_OK : tpd_verdict_from_error (error);
  reads = (guint) counter->reads;
  tpd_secret_unref (key.key);
  tpd_source_unref (&counter->base);
  return reads;
}

/* The file of `text` with `table` behind it is damaged, and that is soon found. */
static void
check_cost (GString *text, const GString *table)
{
  g_autoptr (GBytes) file = NULL;
  TpdVerdict verdict;
  guint reads;

  g_string_append (text, table->str);
  file = g_bytes_new (text->str, text->len);
  reads = count_reads (file, &verdict);
  g_assert_cmpint (verdict, ==, TPD_VERDICT_DAMAGED);
  g_assert_cmpuint (reads, <, 2000);
}

/* A wrapper without a catalog, whose entries lead to one large object again and again, or
 * to strings that do not end. */
static void
test_wrapper_search_cost (void)
{
  const guint n = 5000;
  g_autofree char *padding = g_strnfill (1000000, 'x');

  for (guint round = 0; round < 2; round++)
    {
      g_autoptr (GString) text = g_string_new ("%PDF-1.7\n%/MicrosoftIRMServices/EncryptedPayload\n");
      g_autoptr (GString) table = g_string_new ("\nxref\n");

      for (guint i = 0; i < n; i++)
        {
          g_string_append_printf (table, "%u 1\n%010u 00000 n \n", round == 0 ? 5 : i + 5, (guint) text->len);
          if (round > 0)
            g_string_append_printf (text, "%u 0 obj(", i + 5);
        }
      if (round == 0)
        g_string_append_printf (text, "5 0 obj[(%s)]endobj\n", padding);
      else
        g_string_append (text, padding);
      g_string_append_printf (table, "trailer\n<</Size 9999>>\nstartxref\n%u\n%%%%EOF\n", (guint) text->len + 1);
      check_cost (text, table);
    }
}

/* Older revisions that begin, and do not end. */
static void
test_revisions_cost (void)
{
  const guint n = 5000;
  g_autoptr (GBytes) made = make_pdf (&spec, TRUE);
  g_autoptr (GString) text = g_string_new_len (g_bytes_get_data (made, NULL), (gssize) g_bytes_get_size (made));
  g_autoptr (GString) table = g_string_new ("\nxref\n");
  g_autofree char *padding = g_strnfill (1000000, 'x');
  g_autofree char *digits = NULL, *first = NULL;
  const char *start = (const char *) memmem (text->str, text->len, "startxref\n", 10) + 10;
  gsize keys = (gsize) ((char *) memmem (text->str, text->len, "trailer\n<<", 10) - text->str) + 10;

  first = g_strndup (start, strspn (start, "0123456789"));
  /* Nothing but the end is behind the trailer. */
  g_string_insert (text, (gssize) keys, "/Prev 0000000000");
  for (guint i = 0; i < n; i++)
    {
      g_string_append_printf (table, "11 1\n%010u 00000 n \n", (guint) text->len);
      g_string_append (text, "11 0 obj(");
    }
  g_string_append (text, padding);
  digits = g_strdup_printf ("%010u", (guint) text->len + 1);
  memcpy (text->str + keys + strlen ("/Prev "), digits, 10);
  g_string_append_printf (table, "trailer\n<</Size 16>>\nstartxref\n%s\n%%%%EOF\n", first);
  check_cost (text, table);
}

/* A chain of sections with long tables, none of which has what is looked for. */
static void
test_find_cost (void)
{
  const guint sections = 200, entries = 1024;
  g_autoptr (GString) text = g_string_new ("%PDF-1.7\n");
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (TpdPdfFile) pdf = NULL;
  FaultSource *counter;
  gsize place = 0, previous;

  for (guint i = 0; i < sections; i++)
    {
      previous = place;
      place = text->len;
      g_string_append_printf (text, "xref\n0 %u\n", entries);
      /* What is skipped is looked at by its ends. */
      for (guint j = 0; j < entries; j++)
        g_string_append (text, j == 0 || j + 1 == entries ? "0000000000 00000 f \n" : "................... ");
      g_string_append_printf (text, "trailer\n<</Size %u", entries);
      if (i > 0)
        g_string_append_printf (text, "/Prev %" G_GSIZE_FORMAT, previous);
      g_string_append (text, ">>\n");
    }
  g_string_append_printf (text, "startxref\n%" G_GSIZE_FORMAT "\n%%%%EOF\n", place);
  source = source_from (text->str, text->len);
  counter = fault_source_new (source, FAULT_NONE, 0);
  pdf = tpd_pdf_file_open (&counter->base, TPD_PDF_OPEN_INFLATE, NULL, NULL);
  g_assert_nonnull (pdf);
  g_assert_null (tpd_pdf_file_find (pdf, entries / 2));
  g_assert_cmpuint (counter->reads, <, 4 * sections);
  tpd_source_unref (&counter->base);
}

/* One object inside of another: patched twice, it would be nonsense. */
static void
test_overlap (void)
{
  g_autoptr (GBytes) made = make_pdf (&spec, TRUE);
  gsize len = g_bytes_get_size (made);
  g_autofree char *data = g_memdup2 (g_bytes_get_data (made, NULL), len);
  g_autoptr (GBytes) file = NULL;
  /* A header inside of the license leads into the encryption dictionary only;
   * one inside of a stream's data is what matters. */
  char *stream = memmem (data, len, "11 0 obj", 8), *entry;
  gsize inside;
  char digits[11];

  inside = (gsize) (stream - data) + 1000;
  memcpy (data + inside, " 15 0 obj (0123456789abcdef) endobj ", 36);
  entry = (char *) memmem (data, len, "xref\n0 16\n", 10) + 10 + 15 * 20;
  g_snprintf (digits, sizeof digits, "%010u", (guint) inside + 1);
  memcpy (entry, digits, 10);
  entry[17] = 'n';
  file = g_bytes_new (data, len);
  g_assert_cmpint (judge_bytes (file), ==, TPD_VERDICT_DAMAGED);
}

/* What a file says of lengths is believed only where it is true. */
static void
test_lengths (void)
{
  static const char *const lengths[] = { "0", "99999999999", "-5", "4 0 R", "7 0 R", "99 0 R", "(x)", "1.5" };

  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    {
      g_autoptr (GBytes) made = make_pdf (&spec, TRUE);
      gsize len = g_bytes_get_size (made);
      g_autoptr (GString) text = g_string_new_len (g_bytes_get_data (made, NULL), (gssize) len);
      g_autoptr (GBytes) file = NULL;
      char *start = memmem (text->str, text->len, "/Length 5 0 R", 13);
      gsize at = (gsize) (start - text->str) + 8;

      /* Offsets behind this move, which makes the file one that is searched. */
      g_string_erase (text, (gssize) at, 5);
      g_string_insert (text, (gssize) at, lengths[i]);
      file = g_bytes_new (text->str, text->len);
      judge_bytes (file);
    }
}

/* A file cut off anywhere: damaged or plain, or its objects were all there. */
static void
test_truncated (void)
{
  g_autoptr (GBytes) made = make_pdf (&spec, TRUE);
  gsize len = g_bytes_get_size (made);

  for (gsize keep = 0; keep < len; keep += 97)
    {
      g_autoptr (GBytes) part = g_bytes_new_from_bytes (made, 0, keep);
      TpdVerdict verdict = judge_bytes (part);

      g_assert_true (verdict == TPD_VERDICT_DAMAGED || verdict == TPD_VERDICT_NOT_PROTECTED
                     || verdict == TPD_VERDICT_OK);
    }
}

/* --- Syntax ------------------------------------------------------------------ */

static void
check_string (const char *token, const char *expected, gsize len)
{
  g_autoptr (TpdSource) source = source_from (token, strlen (token));
  g_autoptr (TpdPdfReader) reader = tpd_pdf_reader_new (source);
  g_autoptr (TpdPdfObject) object = tpd_pdf_object_read (reader, 0, NULL);
  g_autoptr (GByteArray) bytes = NULL;

  if (expected == NULL)
    {
      g_assert_null (object);
      return;
    }
  g_assert_nonnull (object);
  bytes = tpd_pdf_string_read (reader, tpd_pdf_token (object, 0), 100);
  g_assert_cmpmem (bytes->data, bytes->len, expected, len);
}

/* The examples of ISO 32000-1, 7.3.4, and the corners next to them. */
static void
test_strings (void)
{
  check_string ("(This is a string)", "This is a string", 16);
  check_string ("(a\\\nb\\\r\nc)", "abc", 3);
  check_string ("(a\r\nb\rc\nd)", "a\nb\nc\nd", 7);
  check_string ("(balanced (parentheses) ())", "balanced (parentheses) ()", 25);
  check_string ("(\\0053 \\053 \\53 \\5)", "\0053 + + \5", 8);
  check_string ("(\\n\\r\\t\\b\\f\\(\\)\\\\\\q)", "\n\r\t\b\f()\\q", 9);
  check_string ("(\\777)", "\xff", 1);
  check_string ("<901FA3>", "\x90\x1f\xa3", 3);
  check_string ("<901FA>", "\x90\x1f\xa0", 3);
  check_string ("< 9 0\n1f >", "\x90\x1f", 2);
  check_string ("()", "", 0);
  check_string ("<>", "", 0);
  check_string ("(unfinished (", NULL, 0);
  check_string ("(\\)", NULL, 0);
  check_string ("<12x4>", NULL, 0);
}

/* Whatever bytes are written as a string are read back, in no more room than allowed. */
static void
test_string_round_trip (void)
{
  g_autoptr (GRand) random = g_rand_new_with_seed (5);
  static const char nasty[] = "()\\\r\n\0a<>%";

  for (guint i = 0; i < 3000; i++)
    {
      guint8 data[40];
      gsize len = (gsize) g_rand_int_range (random, 0, sizeof data);
      guint room = (guint) g_rand_int_range (random, 0, 100);
      TpdPdfTokenType type = i % 2 == 0 ? TPD_PDF_LITERAL : TPD_PDF_HEX;
      g_autoptr (GByteArray) token = NULL;
      g_autofree char *text = NULL;

      for (gsize k = 0; k < len; k++)
        data[k] = (guint8) nasty[g_rand_int_range (random, 0, sizeof nasty - 1)];
      token = tpd_pdf_string_write (data, len, type, room);
      if (token == NULL)
        {
          g_assert_cmpuint (room, <, 2 * len + 2);
          continue;
        }
      g_assert_cmpuint (token->len, <=, room);
      {
        g_autoptr (TpdSource) source = source_from (token->data, token->len);
        g_autoptr (TpdPdfReader) reader = tpd_pdf_reader_new (source);
        g_autoptr (TpdPdfObject) object = tpd_pdf_object_read (reader, 0, NULL);
        g_autoptr (GByteArray) bytes = tpd_pdf_string_read (reader, tpd_pdf_token (object, 0), 100);

        g_assert_cmpuint (tpd_pdf_token (object, 0)->end, ==, token->len);
        g_assert_cmpmem (bytes->data, bytes->len, data, len);
      }
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pdf/hostile/plain-nonsense-is-plain", test_plain_nonsense);
  g_test_add_func ("/pdf/hostile/object-stream-loop", test_object_stream_loop);
  g_test_add_func ("/pdf/hostile/xref-bomb", test_xref_bomb);
  g_test_add_func ("/pdf/probe/large-table-costs-few-reads", test_large_table);
  g_test_add_func ("/pdf/hostile/search-is-linear", test_search_cost);
  g_test_add_func ("/pdf/hostile/entries-to-one-place", test_entries_cost);
  g_test_add_func ("/pdf/hostile/overlapping-sections", test_chain_cost);
  g_test_add_func ("/pdf/hostile/overlapping-objects", test_overlap);
  g_test_add_func ("/pdf/hostile/search-of-a-wrapper", test_wrapper_search_cost);
  g_test_add_func ("/pdf/hostile/revisions-without-end", test_revisions_cost);
  g_test_add_func ("/pdf/hostile/chain-of-long-tables", test_find_cost);
  g_test_add_func ("/pdf/hostile/lying-lengths", test_lengths);
  g_test_add_func ("/pdf/hostile/truncated-anywhere", test_truncated);
  g_test_add_func ("/pdf/syntax/strings-are-read", test_strings);
  g_test_add_func ("/pdf/syntax/strings-are-written", test_string_round_trip);
  return g_test_run ();
}
