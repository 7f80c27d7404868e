/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises about reading Internet messages: parts are where RFC 2046 puts
 * them, headers say what they say, and neither can be made to use up stack or
 * time.
 */
#include "format/eml_mime.h"
#include "format/mail.h"
#include "support.h"

static char *
fill (const char *line, gsize len)
{
  GString *text = g_string_new (NULL);

  while (text->len < len)
    g_string_append (text, line);
  return g_string_free (text, FALSE);
}

/* --- The walk over the parts -------------------------------------------- */

static void
test_mime_parts (void)
{
  static const char mail[] =
      "Content-Type: Multipart/Mixed;\r\n boundary=\"a;\\\"b\" ; x=y\r\n\r\npreamble\r\n--a;\"b  \r\n"
      "Content-Type: multipart/related; boundary=inner\r\n\r\n--inner\r\n\r\none\r\n--innermost\r\n"
      "--inner\nContent-Transfer-Encoding: BASE64\nContent-Disposition: attachment;"
      " filename=\"x.rpmsg\"\n\nAAAA\n--a;\"b\r\n\r\nthree--a;\"b\r\n--a;\"b--\r\nepilogue\r\n--inner\r\n"
      "\r\nnot a part\r\n";
  static const struct {
    const char *content;
    TpdMimeEncoding encoding;
  } parts[] = { { "one\r\n--innermost", TPD_MIME_IDENTITY },
                { "AAAA", TPD_MIME_BASE64 },
                { "three--a;\"b", TPD_MIME_IDENTITY } };
  g_autoptr (TpdSource) source = source_from (mail, sizeof mail - 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdMimeMessage) message = tpd_mime_scan (source, &error);

  g_assert_no_error (error);
  g_assert_true (message->has_parts);
  g_assert_cmpuint (message->parts->len, ==, G_N_ELEMENTS (parts));
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      const TpdMimePart *part = &g_array_index (message->parts, TpdMimePart, i);

      g_assert_cmpmem (mail + part->content, part->end - part->content, parts[i].content, strlen (parts[i].content));
      g_assert_cmpint (part->encoding, ==, parts[i].encoding);
      g_assert_cmpint (part->is_rpmsg_named, ==, i == 1);
      g_assert_cmpint (part->is_visible, ==, i == 1);
    }
}

static void
assert_same_parts (const TpdMimeMessage *a, const TpdMimeMessage *b)
{
  g_assert_cmpuint (a->parts->len, ==, b->parts->len);
  for (guint i = 0; i < a->parts->len; i++)
    {
      const TpdMimePart *p = &g_array_index (a->parts, TpdMimePart, i);
      const TpdMimePart *q = &g_array_index (b->parts, TpdMimePart, i);

      g_assert_cmpuint (p->content, ==, q->content);
      g_assert_cmpuint (p->end, ==, q->end);
      g_assert_cmpint (p->encoding, ==, q->encoding);
      g_assert_cmpint (p->is_rpmsg_named, ==, q->is_rpmsg_named);
    }
}

/* A part is found, and ends before the line end in front of its delimiter,
 * however long its lines and fields are, wherever it lies and whether the
 * message is in memory. */
static void
test_mime_long_lines (void)
{
  static const gsize lengths[] = { 4095, 4096, 32766, 32767, 32768, 65534, 65535, 65536, 98303, 98304, 200000 };
  static const gsize before[] = { 0, 1, 60000, 98200 };

  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    for (guint j = 0; j < G_N_ELEMENTS (before); j++)
      {
        g_autofree char *lead = g_strnfill (before[j], '\n');
        g_autofree char *blanks = g_strnfill (MIN (lengths[i], (gsize) 30000), ' ');
        g_autofree char *line = g_strnfill (lengths[i], 'x');
        g_autofree char *mail =
            g_strdup_printf ("Content-Type: multipart/mixed; boundary=b\r\n\r\n%s--b\r\nContent-Type: text/plain;%s"
                             "name=x.rpmsg\r\n\r\n%s\r\n--b--\r\n",
                             lead, blanks, line);
        g_autoptr (TpdSource) memory = source_from (mail, strlen (mail));
        g_autoptr (TpdSource) file = file_from (mail, strlen (mail));
        g_autoptr (TpdMimeMessage) a = tpd_mime_scan (memory, NULL);
        g_autoptr (TpdMimeMessage) b = tpd_mime_scan (file, NULL);
        const TpdMimePart *part;

        assert_same_parts (a, b);
        g_assert_cmpuint (a->parts->len, ==, 1);
        part = &g_array_index (a->parts, TpdMimePart, 0);
        g_assert_true (part->is_rpmsg_named);
        g_assert_cmpuint (part->end - part->content, ==, lengths[i]);
        g_assert_cmpmem (mail + part->content, lengths[i], line, lengths[i]);
      }
}

/* Depth, lines and numbers without end take time in step with their length,
 * and no stack. */
static void
test_mime_hostile (void)
{
  g_autoptr (GString) deep = g_string_new ("From: a@b\r\n");
  g_autoptr (GString) many = g_string_new ("From: a@b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
  g_autofree char *one_line = g_strnfill (5000000, 'x');
  g_autofree char *field =
      g_strconcat ("From: a@b\r\nContent-Type: multipart/mixed; boundary=", one_line, "\r\n\r\n--x\r\n", NULL);
  g_autofree char *open_comments = fill ("( ", 30000);
  g_autofree char *comments = g_strconcat ("\r\n--b\r\nContent-Type: x/y ", open_comments, "\r\n\r\n", NULL);
  g_autoptr (GString) unclosed = g_string_new ("From: a@b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n");
  const char *texts[5];

  for (guint i = 0; i < 50000; i++)
    g_string_append_printf (deep, "Content-Type: multipart/mixed; boundary=b%u\r\n\r\n--b%u\r\n", i, i);
  for (guint i = 0; i < 200000; i++)
    g_string_append (many, "--b\r\n\r\n");
  texts[0] = deep->str;
  texts[1] = many->str;
  texts[2] = one_line;
  texts[3] = field;
  for (guint i = 0; i < 500; i++)
    g_string_append (unclosed, comments);
  texts[4] = unclosed->str;
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (TpdSource) source = source_from (texts[i], strlen (texts[i]));
      g_autoptr (TpdMimeMessage) message = tpd_mime_scan (source, NULL);
      g_autoptr (TpdProbe) probe = NULL;

      g_assert_nonnull (message);
      g_assert_cmpuint (message->parts->len, <=, 1000);
      probe = tpd_probe (source, NULL);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
    }
}

/* --- Headers ------------------------------------------------------------ */

static void
test_headers_parsed (void)
{
  static const char block[] =
      "From: =?utf-8?B?R8O8bnRlcg==?= <guenter@contoso.example>\r\n"
      "To: \"Doe, Jane\" <jane@contoso.example>,\r\n\tteam: x@a.example, y@a.example;\r\n"
      "Cc: z@a.example\r\nSubject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n =?iso-8859-1?Q?_an_alle?=\r\n"
      "Date: Thu, 01 Jan 1970 01:00:01 +0100\r\nMessage-ID: <id@contoso.example>\r\n\r\nFrom: nobody\r\n";
  g_autoptr (GBytes) bytes = g_bytes_new_static (block, sizeof block - 1);
  g_autoptr (TpdMailHeaders) headers = tpd_mail_headers_parse (bytes);

  g_assert_cmpstr (headers->from->name, ==, "Günter");
  g_assert_cmpstr (headers->from->address, ==, "guenter@contoso.example");
  g_assert_cmpstr (headers->subject, ==, "Grüße an alle");
  g_assert_cmpstr (headers->message_id, ==, "id@contoso.example");
  g_assert_cmpuint (headers->date, ==, G_GUINT64_CONSTANT (116444736010000000));
  g_assert_cmpuint (headers->to->len, ==, 3);
  g_assert_cmpstr (((TpdMailAddress *) headers->to->pdata[0])->name, ==, "Doe, Jane");
  g_assert_cmpuint (headers->cc->len, ==, 1);
  g_assert_null (headers->sender);
}

/* A list that goes to the parser in pieces has all of its addresses. */
static void
test_long_list (void)
{
  const guint n = 150;
  g_autoptr (GString) block = g_string_new ("To: ");
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (TpdMailHeaders) headers = NULL;

  for (guint i = 0; i < n; i++)
    g_string_append_printf (block,
                            "\"Doe, \\\"J,%u\\\"\" <j%u@a.example>,\r\n (c, (d,)) k%u@b.example,"
                            " team %u: x%u@c.example, y%u@c.example;, ",
                            i, i, i, i, i, i);
  bytes = g_bytes_new (block->str, block->len);
  headers = tpd_mail_headers_parse (bytes);
  g_assert_cmpuint (headers->to->len, >=, 4 * n);
  for (guint i = 0; i < n; i++)
    for (guint k = 0; k < 4; k++)
      {
        static const char *const forms[] = { "j%u@a.example", "k%u@b.example", "x%u@c.example", "y%u@c.example" };
        gboolean found = FALSE;
        g_autofree char *wanted = NULL, *digits = g_strdup_printf ("%u", i);
        g_auto (GStrv) parts = g_strsplit (forms[k], "%u", 2);

        wanted = g_strconcat (parts[0], digits, parts[1], NULL);
        for (guint at = 0; at < headers->to->len && !found; at++)
          found = strcmp (((TpdMailAddress *) headers->to->pdata[at])->address, wanted) == 0;
        g_assert_true (found);
      }
}

/* A small stack, as threads have it, and values made to use it up. */
static gpointer
parse_hostile (gpointer unused)
{
  static const char *const pieces[] = { "a:",     "(",   "<",     "\"",       "=?utf-8?Q?", "@,",     "a@b,",
                                        "[",      "\\",  ";",     "\xff\xfe", "a,",         "a b,",   "a.b,",
                                        "\"@\",", "a(,", "\xe4,", "a\",",     ",a",         "=?a?b?c" };
  static const char *const names[] = { "From: ", "To: ", "Subject: ", "Date: ", "Message-ID: " };

  for (guint i = 0; i < G_N_ELEMENTS (pieces); i++)
    for (guint j = 0; j < G_N_ELEMENTS (names); j++)
      {
        g_autofree char *value = fill (pieces[i], 200000);
        g_autofree char *block = g_strconcat (names[j], value, "\r\n", NULL);
        g_autoptr (GBytes) bytes = g_bytes_new (block, strlen (block));
        g_autoptr (TpdMailHeaders) headers = tpd_mail_headers_parse (bytes);

        g_assert_cmpuint (headers->to->len, <=, 10000);
        g_assert_true (headers->subject == NULL || g_utf8_validate (headers->subject, -1, NULL));
      }
  return NULL;
}

static void
test_headers_hostile (void)
{
  g_thread_join (g_thread_new ("headers", parse_hostile, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/eml/mime/parts", test_mime_parts);
  g_test_add_func ("/eml/mime/long-lines", test_mime_long_lines);
  g_test_add_func ("/eml/mime/hostile", test_mime_hostile);
  g_test_add_func ("/eml/headers/parsed", test_headers_parsed);
  g_test_add_func ("/eml/headers/long-list", test_long_list);
  g_test_add_func ("/eml/headers/hostile", test_headers_hostile);
  return g_test_run ();
}
