/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Promises about protected mail as Internet messages: which files are taken
 * for one and at what cost, what comes out, and that the same comes out
 * everywhere.
 */
#include <locale.h>
#include <time.h>

#include "mail-support.h"

static Protector protector;

/* --- The sample share ------------------------------------------------- */

static TpdDocument *
open_source (TpdSource *source, const TpdOpenOptions *options, GError **error)
{
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);

  return tpd_document_open (source, probe, protector.keys.keyring, protector.keys.unwrapper, options, NULL, error);
}

/* Lets Python's email library judge. */
static void
check_with_python (TpdDocument *document, const char *path)
{
  g_autofree char *script = g_build_filename (g_getenv ("TPD_SOURCE_ROOT"), "tests/format/check-eml.py", NULL);
  g_autofree char *file = NULL;
  g_autofree char *complaint = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  const char *argv[] = { "python3", script, NULL, g_getenv ("TPD_FIXTURES"), path, NULL };
  int status;

  bytes = document_read_all (document, &error);
  g_assert_no_error (error);
  close (g_file_open_tmp ("tpdfs-XXXXXX.eml", &file, &error));
  g_assert_no_error (error);
  g_file_set_contents (file, g_bytes_get_data (bytes, NULL), (gssize) g_bytes_get_size (bytes), &error);
  g_assert_no_error (error);
  argv[2] = file;
  g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, &complaint, &status, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (complaint, ==, "");
  g_assert_cmpint (status, ==, 0);
  unlink (file);
}

static gboolean
is_ours (JsonObject *entry)
{
  const char *kind = json_word (entry, "kind");

  return strcmp (kind, "eml") == 0 || strcmp (kind, "rpmsg") == 0;
}

static void
test_share (void)
{
  JsonArray *files = fixture_files ();
  guint opened = 0, refused = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GError) error = NULL;

      if (!is_ours (entry))
        continue;
      g_test_message ("%s", json_word (entry, "path"));
      source = sample_source (json_word (entry, "path"));
      document = open_source (source, NULL, &error);
      if (json_object_get_boolean_member (entry, "open"))
        {
          g_assert_no_error (error);
          g_assert_cmpint (document->kind, ==,
                           strcmp (json_word (entry, "kind"), "eml") == 0 ? TPD_KIND_EML : TPD_KIND_RPMSG);
          g_assert_nonnull (document->license);
          check_with_python (document, json_word (entry, "path"));
          opened++;
        }
      else
        {
          g_assert_cmpstr (tpd_verdict_word (tpd_verdict_from_error (error)), ==, json_word (entry, "error"));
          refused++;
        }
    }
  g_assert_cmpuint (opened, ==, 8);
  g_assert_cmpuint (refused, ==, 3);
}

/* No plain file of the share is taken for mail. */
static void
test_plain (void)
{
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;

      if (strcmp (json_word (entry, "kind"), "plain") != 0)
        continue;
      source = sample_source (json_word (entry, "path"));
      probe = tpd_probe (source, NULL);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
    }
}

static void
test_deterministic (void)
{
  static const struct {
    const char *zone, *locale;
  } places[] = { { "UTC", "C" }, { "Asia/Tokyo", "C.UTF-8" }, { "America/St_Johns", "tr_TR.UTF-8" } };
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autofree char *first = NULL;

      if (!is_ours (entry) || !json_object_get_boolean_member (entry, "open"))
        continue;
      for (guint j = 0; j < G_N_ELEMENTS (places); j++)
        {
          g_autoptr (TpdSource) source = sample_source (json_word (entry, "path"));
          g_autoptr (TpdDocument) document = NULL;
          g_autoptr (GBytes) bytes = NULL;
          g_autofree char *sum = NULL;

          g_setenv ("TZ", places[j].zone, TRUE);
          tzset ();
          setlocale (LC_ALL, places[j].locale);
          document = open_source (source, NULL, NULL);
          bytes = document_read_all (document, NULL);
          sum = sha256_hex (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
          if (first == NULL)
            first = g_steal_pointer (&sum);
          else
            g_assert_cmpstr (sum, ==, first);
        }
    }
  setlocale (LC_ALL, "C.UTF-8");
  g_unsetenv ("TZ");
  tzset ();
}

/* Either form can be asked for; what comes out is protected no more. */
static void
test_forms (void)
{
  static const TpdMailForm forms[] = { TPD_MAIL_NATIVE, TPD_MAIL_EML, TPD_MAIL_MSG };
  JsonArray *files = fixture_files ();

  for (guint i = 0; i < json_array_get_length (files); i++)
    for (guint j = 0; j < G_N_ELEMENTS (forms); j++)
      {
        JsonObject *entry = json_array_get_object_element (files, i);
        g_autoptr (TpdSource) source = NULL;
        g_autoptr (TpdDocument) document = NULL;
        g_autoptr (TpdSource) plain = NULL;
        g_autoptr (TpdProbe) probe = NULL;
        g_autoptr (GError) error = NULL;
        guint8 head[8];

        if (!is_ours (entry) || !json_object_get_boolean_member (entry, "open"))
          continue;
        source = sample_source (json_word (entry, "path"));
        document = open_source (source, &(TpdOpenOptions){ .mail = forms[j] }, &error);
        g_assert_no_error (error);
        plain = tpd_source_new_document (document);
        g_assert_true (tpd_source_read_exact (plain, head, sizeof head, 0, &error));
        g_assert_cmpint (tpd_cfb_magic (head, sizeof head), ==, forms[j] == TPD_MAIL_MSG);
        probe = tpd_probe (plain, NULL);
        g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
      }
}

static gpointer
open_in_thread (gpointer path)
{
  g_autoptr (TpdSource) source = sample_source (path);
  g_autoptr (TpdDocument) document = open_source (source, NULL, NULL);
  g_autoptr (GBytes) bytes = document_read_all (document, NULL);

  return sha256_hex (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
}

static void
test_threads (void)
{
  const char *path = "Sales & Marketing/2023/Q3 report (final)-450.eml";
  g_autofree char *alone = open_in_thread ((gpointer) path);
  GThread *threads[8];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("open", open_in_thread, (gpointer) path);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      g_autofree char *sum = g_thread_join (threads[i]);
      g_assert_cmpstr (sum, ==, alone);
    }
}

/* --- What is taken for protected mail ----------------------------------- */

static GBytes *small_rpmsg;

static char *
base64_lines (GBytes *bytes)
{
  int state = 0, save = 0;
  gsize len = g_bytes_get_size (bytes);
  char *text = g_malloc (len * 2 + 100);
  gsize n = g_base64_encode_step (g_bytes_get_data (bytes, NULL), len, TRUE, text, &state, &save);

  n += g_base64_encode_close (TRUE, text + n, &state, &save);
  text[n] = '\0';
  return text;
}

/* A mail of the usual form; %s-free pieces are put in as they are. */
static char *
made_mail (const char *headers, const char *wrapper, const char *part_fields)
{
  g_autofree char *content = base64_lines (small_rpmsg);

  return g_strconcat ("From: a@contoso.example\r\nSubject: figures\r\n", headers, "MIME-Version: 1.0\r\n",
                      "Content-Type: multipart/mixed; boundary=\"b1\"\r\n\r\n--b1\r\n", wrapper, "\r\n--b1\r\n",
                      part_fields, "Content-Transfer-Encoding: base64\r\n\r\n", content, "\r\n--b1--\r\n", NULL);
}

#define WRAPPER "Content-Type: text/plain\r\n\r\nprotected\r\n"
#define TYPED "Content-Type: application/x-microsoft-rpmsg-message; name=message.rpmsg\r\n"
#define NAMED "Content-Type: application/octet-stream;\r\n\tname=\"message_v2.RPMSG\"\r\n"

static TpdVerdict
probe_text (const char *text, int *reads)
{
  const gsize size = strlen (text);
  g_autoptr (TpdSource) source = source_from (text, size);
  FaultSource *counted = fault_source_new (source, FAULT_NONE, 0);
  g_autoptr (TpdProbe) probe = tpd_probe (&counted->base, NULL);

  /* The first bytes must not say plain of what is not. */
  if (probe->verdict != TPD_VERDICT_NOT_PROTECTED)
    g_assert_false (tpd_probe_starts_plain ((const guint8 *) text, MIN (size, (gsize) TPD_PROBE_FIRST), size));
  if (reads != NULL)
    *reads = counted->reads;
  tpd_source_unref (&counted->base);
  return probe->verdict;
}

static char *
fill (const char *line, gsize len)
{
  GString *text = g_string_new (NULL);

  while (text->len < len)
    g_string_append (text, line);
  return g_string_free (text, FALSE);
}

static void
test_probe_found (void)
{
  g_autofree char *long_headers = fill ("Received: from there by here; some day\r\n", 20000);
  g_autofree char *long_wrapper = fill ("a line of the wrapper\r\n", 100000);
  g_autofree char *huge_wrapper = fill ("a line of the wrapper\r\n", 400000);
  g_autofree char *wrapper = g_strconcat ("Content-Type: text/html\r\n\r\n", long_wrapper, NULL);
  g_autofree char *wrapper2 = g_strconcat ("Content-Type: text/html\r\n\r\n", huge_wrapper, NULL);
  g_autofree char *nested = g_strconcat ("Content-Type: multipart/alternative; boundary=b2\r\n\r\n--b2\r\n\r\nx\r\n"
                                         "--b2\r\n\r\ny\r\n--b2--\r\n",
                                         NULL);
  g_autofree char *long_line = fill ("and on ", 3000);
  g_auto (GStrv) mails = g_new0 (char *, 13);
  guint n = 0;

  mails[n++] = made_mail ("Content-Class: rpmsg.message\r\n", WRAPPER, TYPED);
  mails[n++] = made_mail ("", WRAPPER, TYPED);
  mails[n++] = made_mail ("", WRAPPER, NAMED);
  mails[n++] = made_mail ("", WRAPPER, "Content-Type: application/octet-stream\r\n");
  mails[n++] = made_mail (long_headers, WRAPPER, NAMED);
  mails[n++] = made_mail ("", wrapper, NAMED);
  mails[n++] = made_mail ("Content-Class: IPM.Note.rpmsg.Microsoft.Voicemail.UM\r\n", wrapper2, NAMED);
  mails[n++] = made_mail ("", nested, NAMED);
  mails[n++] = g_strconcat ("From \r\n", mails[2], NULL);
  /* What counts lies behind the first bytes, or across their end. */
  mails[n++] = g_strconcat ("X-Note: ", long_line, "\r\n", mails[0], NULL);
  mails[n++] = g_strconcat ("X-Note: on\r\nX-Next: ", long_line, "\r\n", mails[0], NULL);
  mails[n++] = g_strconcat ("From ", long_line, "\r\n", mails[0], NULL);
  for (guint i = 0; mails[i] != NULL; i++)
    {
      g_autoptr (TpdSource) source = source_from (mails[i], strlen (mails[i]));
      g_autoptr (TpdDocument) document = NULL;
      g_autoptr (GError) error = NULL;

      g_test_message ("mail %u", i);
      g_assert_cmpint (probe_text (mails[i], NULL), ==, TPD_VERDICT_OK);
      document = open_source (source, NULL, &error);
      g_assert_no_error (error);
      /* Only what says that it is protected may lose its own text silently. */
      g_assert_cmpint (document->warnings != NULL, ==, i >= 2 && i != 6 && i < 9);
    }
}

/* The one word that gives a mail away is found wherever it stands. */
static void
test_probe_found_anywhere (void)
{
  static const char *const parts[] = { NAMED, "Content-Type: application/octet-stream\r\n" };
  static const struct {
    gsize from, to;
  } ranges[] = { { 0, 130 }, { 65536 - 500, 65536 + 20 }, { 131072 - 300, 131072 - 200 } };

  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    for (guint j = 0; j < G_N_ELEMENTS (ranges); j++)
      for (gsize len = ranges[j].from; len < ranges[j].to; len++)
        {
          g_autofree char *text = g_strnfill (len, 'r');
          g_autofree char *wrapper = g_strconcat ("Content-Type: text/plain\r\n\r\n", text, NULL);
          g_autofree char *mail = made_mail ("", wrapper, parts[i]);

          g_assert_cmpint (probe_text (mail, NULL), ==, TPD_VERDICT_OK);
        }
}

static void
test_probe_plain (void)
{
  g_autofree char *encoded = base64_lines (small_rpmsg);
  g_autofree char *forward = g_strconcat (
      "From: a@b\r\nTo: c@d\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\r\nsee below\r\n--o\r\n"
      "Content-Type: message/rfc822\r\n\r\nFrom: x@y\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n" TYPED
      "Content-Transfer-Encoding: base64\r\n\r\n",
      encoded, "\r\n--i--\r\n--o--\r\n", NULL);
  g_autofree char *quoted = g_strconcat ("From: a@b\r\nSubject: my message.rpmsg\r\n\r\n> it said\r\n", encoded, NULL);
  g_autofree char *big = fill ("a line of text that goes on\r\n", 1000000);
  g_autofree char *mixed =
      g_strconcat ("From: a@b\r\nTo: c@d\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n", "\r\n", big,
                   "--o--\r\n", NULL);
  g_autofree char *alternative =
      g_strconcat ("From: a@b\r\nTo: c@d\r\nContent-Type: multipart/alternative; boundary=o\r\n\r\n--o\r\n\r\n", big,
                   "--o--\r\n", NULL);
  struct {
    const char *text;
    int reads;
  } cases[] = {
    { "", 1 },
    { "Dear Sir,\r\nrpmsg is a format.\r\n", 1 },
    { "Note: this\r\nTodo: that\r\nmultipart/mixed rpmsg\r\n", 1 },
    { "From: a@b\r\nTo: c@d\r\nSubject: x\r\n\r\nplain mail\r\n", 1 },
    { "Content-Class: rpmsg.message\r\nSubject: stripped\r\n\r\nnothing else\r\n", 3 },
    { forward, 3 },
    { quoted, 3 },
    { big, 1 },
    { mixed, 3 },
    { alternative, 3 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      int reads;

      g_test_message ("text %u", i);
      g_assert_cmpint (probe_text (cases[i].text, &reads), ==, TPD_VERDICT_NOT_PROTECTED);
      g_assert_cmpint (reads, <=, cases[i].reads);
    }
  /* Most of what is plain shows it in its first bytes. */
  g_assert_true (tpd_probe_starts_plain ((const guint8 *) big, TPD_PROBE_FIRST, strlen (big)));
  for (guint i = 1; i <= 3; i++)
    {
      const gsize size = strlen (cases[i].text);

      g_assert_true (tpd_probe_starts_plain ((const guint8 *) cases[i].text, size, size));
    }
}

static void
test_probe_damaged (void)
{
  g_autofree char *mail = made_mail ("Content-Class: rpmsg.message\r\n", WRAPPER, TYPED);
  char *magic = strstr (mail, "dugEYMQR");

  g_assert_nonnull (magic);
  magic[0] = 'X';
  g_assert_cmpint (probe_text (mail, NULL), ==, TPD_VERDICT_DAMAGED);
}

/* A mail cut anywhere opens, is damaged, or is no protected mail any more. */
static void
test_cut (void)
{
  g_autofree char *mail = made_mail ("Content-Class: rpmsg.message\r\n", WRAPPER, TYPED);
  gsize len = strlen (mail), whole = len - strlen ("\r\n--b1--\r\n") - 1;

  for (gsize n = 0; n <= len; n += 61)
    {
      g_autoptr (TpdSource) source = source_from (mail, n);
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdDocument) document = open_source (source, NULL, &error);

      if (document != NULL)
        g_assert_cmpuint (n, >=, whole);
      else
        g_assert_true (g_error_matches (error, TPD_ERROR, TPD_ERROR_DAMAGED)
                       || g_error_matches (error, TPD_ERROR, TPD_ERROR_NOT_PROTECTED));
    }
}

/* --- What is written ---------------------------------------------------- */

static char *
write_mail (const TpdMailContent *content, const char *headers)
{
  g_autoptr (TpdSink) sink = tpd_sink_new (NULL, NULL);
  g_autoptr (GBytes) block = headers != NULL ? g_bytes_new_static (headers, strlen (headers)) : NULL;
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (tpd_mail_write_eml (content, block, sink, &error));
  g_assert_no_error (error);
  source = tpd_sink_to_source (g_steal_pointer (&sink), NULL);
  bytes = source_read_all (source);
  return g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
}

static void
test_written_headers (void)
{
  g_autoptr (TpdMailContent) content = tpd_mail_content_new ();
  g_autofree char *mail = NULL;

  content->body_format = TPD_BODY_HTML;
  content->code_page = 65001;
  content->body = g_bytes_new_static ("<p>x", 4);
  mail = write_mail (content,
                     "From a@b Mon\nX-B: 2\n  folded\ncontent-CLASS: rpmsg.message\n folded too\nno field\n"
                     "X-A : 1\r\nX-MS-Has-Attach: yes\r\nmime-version: 1.0\r\nContent-Language: de\n\nX-C: body\n");
  g_assert_cmpstr (mail, ==,
                   "X-B: 2\r\n  folded\r\nX-A : 1\r\nContent-Language: de\r\nMIME-Version: 1.0\r\n"
                   "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>x");
}

static void
test_written_exactly (void)
{
  static const char html[] =
      "<p> \r\na=b\tc \nd\re\xfc\r\n\r\n.\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
      "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx ";
  g_autoptr (TpdMailContent) content = tpd_mail_content_new ();
  g_autofree char *mail = NULL;

  content->body_format = TPD_BODY_HTML;
  content->code_page = 1252;
  content->body = g_bytes_new_static (html, sizeof html - 1);
  mail = write_mail (content, NULL);
  g_assert_cmpstr (mail, ==,
                   "MIME-Version: 1.0\r\nContent-Type: text/html; charset=windows-1252\r\n"
                   "Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>=20\r\na=3Db\tc =0Ad=0De=FC\r\n\r\n.\r\n"
                   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=\r\n"
                   "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx=20");
}

static void
add_file (TpdMailContent *content, const char *name, const char *id, gboolean hidden)
{
  TpdMailAttachment *attachment = tpd_mail_content_add (content, TPD_ATTACH_FILE);

  attachment->long_name = g_strdup (name);
  attachment->content_id = g_strdup (id);
  attachment->hidden = hidden;
  attachment->source = source_from (name, strlen (name));
}

/* What the HTML shows stays with it; nothing of an id or name gets out of its
 * header. */
static void
test_written_inline (void)
{
  static const char html[] = "<img src=\"cid:one@x\"><img src=CID:tw%6f>";
  g_autoptr (TpdMailContent) content = tpd_mail_content_new ();
  g_autofree char *mail = NULL;
  const char *related, *end;

  content->body_format = TPD_BODY_HTML;
  content->code_page = 65001;
  content->body = g_bytes_new_static (html, sizeof html - 1);
  add_file (content, "a.png", "one@x", FALSE);
  add_file (content, "b.png", "two", FALSE);
  add_file (content, "c.png", "three>\r\nX-Evil: 1\r\n <", TRUE);
  add_file (content, "d\"\r\nX-Evil: 2.png", NULL, TRUE);
  add_file (content, "Übersicht.xlsx", NULL, FALSE);
  tpd_mail_name_attachments (content);
  mail = write_mail (content, NULL);
  related = strstr (mail, "multipart/related");
  end = strstr (mail, "--=_related_");
  g_assert_nonnull (related);
  g_assert_nonnull (end);
  g_assert_nonnull (strstr (mail, "Content-ID: <one@x>\r\n"));
  g_assert_nonnull (strstr (mail, "Content-ID: <threeX-Evil:1>\r\nContent-Disposition: inline;\r\n"));
  g_assert_nonnull (strstr (mail, "Content-Disposition: attachment;\r\n filename=\"d\\\"__X-Evil: 2.png\"\r\n"));
  g_assert_nonnull (strstr (mail, "attachment;\r\n filename*=utf-8''%C3%9Cbersicht.xlsx\r\n"));
  g_assert_null (strstr (mail, "\nX-Evil"));
}

/* What looks like an id inside of another is none, however often it does. */
static void
test_ids_inside_ids (void)
{
  g_autoptr (TpdMailContent) content = tpd_mail_content_new ();
  g_autoptr (GString) html = g_string_new ("<img src=\"cid:acid:b\"> <p>");
  g_autofree char *mail = NULL;

  for (guint i = 0; i < 100000; i++)
    g_string_append (html, "cid:");
  content->body_format = TPD_BODY_HTML;
  content->code_page = 65001;
  content->body = g_bytes_new_static (html->str, html->len);
  add_file (content, "whole.png", "acid:b", FALSE);
  add_file (content, "end.png", "b", FALSE);
  tpd_mail_name_attachments (content);
  mail = write_mail (content, NULL);
  g_assert_nonnull (strstr (mail, "Content-Disposition: inline;\r\n filename=\"whole.png\""));
  g_assert_nonnull (strstr (mail, "Content-Disposition: attachment;\r\n filename=\"end.png\""));
}

int
main (int argc, char **argv)
{
  MadeMail *mail = mail_new (TPD_BODY_HTML, 65001, "<p>core</p>", 11);
  g_autoptr (GBytes) plain = NULL;
  int result;

  setlocale (LC_ALL, "C.UTF-8");
  g_test_init (&argc, &argv, NULL);
  protector_init (&protector);
  plain = mail_finish (mail, -1);
  small_rpmsg = protect (&protector, plain);
  g_test_add_func ("/eml/share/as-the-manifest-says", test_share);
  g_test_add_func ("/eml/share/plain-files-are-left-alone", test_plain);
  g_test_add_func ("/eml/same-bytes-everywhere", test_deterministic);
  g_test_add_func ("/eml/same-bytes-in-threads", test_threads);
  g_test_add_func ("/eml/forms", test_forms);
  g_test_add_func ("/eml/probe/found", test_probe_found);
  g_test_add_func ("/eml/probe/found-anywhere", test_probe_found_anywhere);
  g_test_add_func ("/eml/probe/ordinary-mail-is-cheap", test_probe_plain);
  g_test_add_func ("/eml/probe/damaged-part", test_probe_damaged);
  g_test_add_func ("/eml/cut-anywhere", test_cut);
  g_test_add_func ("/eml/written/headers", test_written_headers);
  g_test_add_func ("/eml/written/quoted-printable-is-exact", test_written_exactly);
  g_test_add_func ("/eml/written/shown-parts", test_written_inline);
  g_test_add_func ("/eml/written/ids-inside-ids", test_ids_inside_ids);
  result = g_test_run ();
  g_bytes_unref (small_rpmsg);
  protector_clear (&protector);
  return result;
}
