/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outlook items that carry a protected mail: every fixture gives the message
 * that the manifest names, as a second reader sees it; ordinary items are left
 * alone; damage is refused.
 */
#include "format/opaque.h"
#include "msg-support.h"

static Protector protector;

static char *
share_path (JsonObject *entry)
{
  g_autofree char *relative = g_build_filename ("share", json_word (entry, "path"), NULL);

  return fixture_path (relative);
}

static TpdDocument *
open_as (TpdSource *source, TpdMailForm form, TpdBudget *budget, GError **error)
{
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  TpdOpenOptions options = { .mail = form };

  return tpd_document_open (source, probe, protector.keys.keyring, protector.keys.unwrapper, &options, budget, error);
}

static TpdSource *
open_good (TpdSource *source, TpdMailForm form)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdDocument) document = open_as (source, form, NULL, &error);

  g_assert_no_error (error);
  return tpd_source_new_document (document);
}

/* Calls `check` for each fixture of the kinds that opens. */
static void
for_each (const char *kinds, void (*check) (JsonObject *entry, TpdSource *source), guint n)
{
  JsonArray *files = fixture_files ();
  g_auto (GStrv) words = g_strsplit (kinds, " ", -1);
  guint seen = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autofree char *path = NULL;
      g_autoptr (TpdSource) source = NULL;

      if (!g_strv_contains ((const char *const *) words, json_word (entry, "kind"))
          || !json_object_get_boolean_member (entry, "open"))
        continue;
      g_test_message ("%s", json_word (entry, "path"));
      path = share_path (entry);
      source = source_open (path);
      check (entry, source);
      seen++;
    }
  g_assert_cmpuint (seen, ==, n);
}

/* --- Fixtures ------------------------------------------------------------- */

static void
check_native (JsonObject *entry, TpdSource *source)
{
  g_autofree char *path = share_path (entry);
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL), again = NULL;
  g_autoptr (TpdDocument) document = NULL;
  g_autoptr (TpdSource) result = NULL, second = NULL;
  g_autoptr (GBytes) bytes = NULL, same = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (probe->kind, ==, TPD_KIND_MSG);
  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
  g_assert_cmpint (probe->size_class, ==, TPD_SIZE_NEEDS_DECODING);
  document = open_as (source, TPD_MAIL_NATIVE, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (document->kind, ==, TPD_KIND_MSG);
  g_assert_true (g_str_has_suffix (document->cipher, "ecb") == g_str_equal (json_word (entry, "cipher"), "ECB"));
  g_assert_cmpstr (document->license->content_id, ==, json_word (entry, "content_id"));
  result = tpd_source_new_document (document);
  second_reader (result, entry, path);

  /* The same again, on every machine; and it is plain now. */
  second = open_good (source, TPD_MAIL_NATIVE);
  bytes = source_read_all (result);
  same = source_read_all (second);
  g_assert_true (g_bytes_equal (bytes, same));
  again = tpd_probe (result, NULL);
  g_assert_cmpint (again->kind, ==, TPD_KIND_PLAIN);
  g_assert_cmpint (again->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
}

static void
test_share (void)
{
  for_each ("msg", check_native, 4);
}

static void
check_as_msg (JsonObject *entry, TpdSource *source)
{
  g_autoptr (TpdSource) result = open_good (source, TPD_MAIL_MSG);
  g_autoptr (TpdSource) second = open_good (source, TPD_MAIL_MSG);
  g_autoptr (GBytes) bytes = source_read_all (result), same = source_read_all (second);

  second_reader (result, entry, NULL);
  g_assert_true (g_bytes_equal (bytes, same));
}

static void
test_share_as_msg (void)
{
  for_each ("eml rpmsg", check_as_msg, 8);
}

/* The headers of the item, as the parser of Internet messages reads them. */
static void
check_headers (JsonObject *entry, TpdSource *source)
{
  JsonObject *message = json_object_get_object_member (entry, "message");
  JsonArray *to = json_object_get_array_member (message, "to");
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) block = tpd_msg_headers (source, &error);
  g_autoptr (TpdMailHeaders) headers = NULL;

  g_assert_no_error (error);
  headers = tpd_mail_headers_parse (block);
  g_assert_cmpstr (headers->subject, ==, json_word (message, "subject"));
  g_assert_cmpstr (headers->from->address, ==, json_word (message, "from"));
  g_assert_cmpuint (headers->to->len, ==, json_array_get_length (to));
  for (guint i = 0; i < headers->to->len; i++)
    g_assert_cmpstr (((TpdMailAddress *) g_ptr_array_index (headers->to, i))->address, ==,
                     json_array_get_string_element (to, i));
  g_assert_cmpuint (headers->date, !=, 0);
  g_assert_nonnull (headers->message_id);
}

static void
test_share_headers (void)
{
  for_each ("msg", check_headers, 4);
}

static void
check_as_eml (JsonObject *entry, TpdSource *source)
{
  g_autoptr (TpdSource) result = open_good (source, TPD_MAIL_EML);
  g_autoptr (GBytes) bytes = source_read_all (result);
  g_autoptr (TpdMailHeaders) headers = tpd_mail_headers_parse (bytes);

  g_assert_cmpstr (headers->subject, ==, json_word (json_object_get_object_member (entry, "message"), "subject"));
}

static void
test_share_as_eml (void)
{
  for_each ("msg", check_as_eml, 4);
}

/* --- Probing ---------------------------------------------------------------- */

static void
assert_plain (TpdSource *source)
{
  FaultSource *counted = fault_source_new (source, FAULT_NONE, 0);
  g_autoptr (TpdProbe) probe = tpd_probe (&counted->base, NULL);

  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
  g_assert_cmpint (probe->kind, ==, TPD_KIND_PLAIN);
  g_assert_cmpint (counted->reads, <=, 2 * TPD_PROBE_MAX_READS);
  g_test_message ("%d reads", counted->reads);
  tpd_source_unref (&counted->base);
}

static TpdProbe *
probe_bounded (TpdSource *source)
{
  TpdBudget budget;
  TpdProbe *probe;

  tpd_budget_init_probe (&budget);
  probe = tpd_probe (source, &budget);
  g_assert_cmpuint (budget.used_reads, <=, TPD_PROBE_MAX_READS);
  g_test_message ("%u reads", budget.used_reads);
  return probe;
}

static void
check_probe (JsonObject *entry, TpdSource *source)
{
  g_autoptr (TpdProbe) probe = probe_bounded (source);

  g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
}

static void
test_probe_reads (void)
{
  for_each ("msg", check_probe, 4);
}

static void
test_ordinary_share (void)
{
  JsonArray *files = fixture_files ();
  guint n = 0;

  for (guint i = 0; i < json_array_get_length (files); i++)
    {
      JsonObject *entry = json_array_get_object_element (files, i);
      g_autofree char *path = NULL;
      g_autoptr (TpdSource) source = NULL;

      if (!g_str_equal (json_word (entry, "kind"), "plain") || !g_str_has_suffix (json_word (entry, "path"), ".msg"))
        continue;
      path = share_path (entry);
      source = source_open (path);
      assert_plain (source);
      n++;
    }
  g_assert_cmpuint (n, ==, 1);
}

static GBytes *
made_rpmsg (void)
{
  g_autoptr (GBytes) plain = mail_finish (mail_new (TPD_BODY_HTML, 65001, "<p>secret", 9), -1);

  return protect (&protector, plain);
}

/* An item with the marks and attachments asked for. */
static TpdSource *
make_item (gboolean marked, const char *name, const char *mime, const char *other, guint recipients)
{
  static const MadeName content_class = { guid_headers, "content-class", 0 };
  g_autoptr (GBytes) rpmsg = made_rpmsg ();
  MadeItem *made = item_new (TRUE, 1252);

  g_clear_pointer (&made->names, tpd_msg_names_free);
  item_names (made->writer, 0, &content_class, 1);
  item_text (&made->item, TPD_MSG_SUBJECT, "made");
  if (marked)
    item_text (&made->item, TPD_MSG_FIRST_NAMED, "rpmsg.message");
  if (other != NULL)
    item_file (made, other, "text/plain", "visible", 7);
  if (name != NULL)
    item_file (made, name, mime, g_bytes_get_data (rpmsg, NULL), g_bytes_get_size (rpmsg));
  for (guint i = 0; i < recipients; i++)
    {
      g_autofree char *address = g_strdup_printf ("recipient-%u@contoso.example", i);

      item_recipient (made, 1, address, "SMTP", address);
    }
  return item_finish (made);
}

static void
test_marks (void)
{
  static const struct {
    gboolean marked;
    const char *name, *mime, *other;
    TpdVerdict verdict;
  } cases[] = {
    { TRUE, "message.rpmsg", "application/x-microsoft-rpmsg-message", NULL, TPD_VERDICT_OK },
    { TRUE, "renamed.bin", "application/octet-stream", NULL, TPD_VERDICT_OK },
    { TRUE, "message.rpmsg", "", "also.txt", TPD_VERDICT_OK },
    { TRUE, NULL, NULL, "only.txt", TPD_VERDICT_NOT_PROTECTED },
    { FALSE, "message_v4.rpmsg", "application/octet-stream", NULL, TPD_VERDICT_OK },
    { FALSE, "MESSAGE.RPMSG", "", NULL, TPD_VERDICT_OK },
    { FALSE, "x.bin", "application/x-microsoft-rpmsg-message", NULL, TPD_VERDICT_OK },
    /* Somebody attached the mail of somebody else. */
    { FALSE, "message.rpmsg", "application/x-microsoft-rpmsg-message", "also.txt", TPD_VERDICT_NOT_PROTECTED },
    { FALSE, "x.bin", "application/octet-stream", NULL, TPD_VERDICT_NOT_PROTECTED },
    { FALSE, NULL, NULL, NULL, TPD_VERDICT_NOT_PROTECTED },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TpdSource) source = make_item (cases[i].marked, cases[i].name, cases[i].mime, cases[i].other, 1);
      g_autoptr (TpdProbe) probe = probe_bounded (source);

      g_test_message ("case %" G_GSIZE_FORMAT, i);
      g_assert_cmpstr (tpd_verdict_word (probe->verdict), ==, tpd_verdict_word (cases[i].verdict));
      /* Such a mail is told. */
      g_assert_cmpint (probe->carries_mail, ==, i == 7);
      g_assert_cmpint (probe->warnings != NULL, ==, i == 7);
      if (cases[i].verdict == TPD_VERDICT_OK)
        {
          g_autoptr (TpdSource) result = open_good (source, TPD_MAIL_NATIVE);

          assert_plain (result);
        }
    }
}

static void
assert_stream (TpdSource *item, const char *path, const char *expected)
{
  g_autoptr (TpdCfb) cfb = cfb_reopen (item);
  const TpdCfbEntry *entry = NULL;
  g_autoptr (TpdSource) stream = NULL;
  g_autoptr (GBytes) bytes = NULL;

  g_assert_true (tpd_cfb_find (cfb, NULL, path, &entry, NULL));
  g_assert_nonnull (entry);
  stream = tpd_cfb_stream_new (cfb, entry, NULL);
  bytes = source_read_all (stream);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), expected, strlen (expected));
}

/* What stands beside the protected mail is not lost. */
static void
test_others_are_kept (void)
{
  g_autoptr (TpdSource) source = make_item (TRUE, "message.rpmsg", "", "also.txt", 1);
  g_autoptr (TpdSource) item = open_good (source, TPD_MAIL_NATIVE);
  g_autoptr (TpdSource) mail = open_good (source, TPD_MAIL_EML);
  g_autoptr (GBytes) bytes = source_read_all (mail);
  g_autofree char *text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));

  assert_stream (item, TPD_MSG_ATTACH "00000000/__substg1.0_37010102", "visible");
  g_assert_nonnull (strstr (text, "filename=\"also.txt\""));
  g_assert_nonnull (strstr (text, "\r\n\r\ndmlzaWJsZQ=="));
}

/* An attachment of the wrapper that has no bytes: a link to a file. */
static void
item_link (MadeItem *made, const char *name)
{
  TpdMsgObject part = item_part (made, TPD_MSG_ATTACH, made->n_attachments++);

  item_text (&part, TPD_MSG_ATTACH_LONG_NAME, name);
  item_value (&part, ITEM_TAG (ATTACH_METHOD, LONG), 7);
  item_end_part (&part);
}

/* Its name is kept when it is long; one without content is told. */
static void
test_others_are_told (void)
{
  g_autoptr (GBytes) rpmsg = made_rpmsg ();
  MadeItem *made = item_new (TRUE, 1252);
  g_autofree char *stem = g_strnfill (150, 'n');
  g_autofree char *name = g_strconcat (stem, ".txt", NULL);
  g_autofree char *kept = NULL;
  g_autoptr (TpdSource) source = NULL, result = NULL;
  g_autoptr (TpdDocument) document = NULL;
  g_autoptr (TpdCfb) cfb = NULL;
  g_autoptr (GError) error = NULL;
  const TpdCfbEntry *first = NULL;

  item_text (&made->item, TPD_MSG_MESSAGE_CLASS, "IPM.Note.rpmsg.Microsoft.Voicemail");
  item_file (made, name, "text/plain", "visible", 7);
  item_link (made, "link.docx");
  item_file (made, "message.rpmsg", "", g_bytes_get_data (rpmsg, NULL), g_bytes_get_size (rpmsg));
  source = item_finish (made);
  document = open_as (source, TPD_MAIL_NATIVE, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (document->warnings);
  g_assert_true (g_strv_contains ((const char *const *) document->warnings,
                                  "Attachments of the wrapper were left out because they have no content (links to"
                                  " files, perhaps): 1."));
  result = open_good (source, TPD_MAIL_NATIVE);
  cfb = cfb_reopen (result);
  g_assert_true (tpd_cfb_find (cfb, NULL, TPD_MSG_ATTACH "00000000", &first, NULL));
  g_assert_true (tpd_msg_read_text (cfb, first, TPD_MSG_ATTACH_LONG_NAME, 1252, 4096, &kept, NULL));
  g_assert_cmpstr (kept, ==, name);
}

/* An ordinary item that has the protected mail behind so many others. */
static TpdSource *
make_crowd (guint others, gboolean protected)
{
  g_autoptr (GBytes) rpmsg = made_rpmsg ();
  MadeItem *made = item_new (TRUE, 1252);

  for (guint i = 0; i < others; i++)
    {
      g_autofree char *name = g_strdup_printf ("%u.txt", i);

      item_file (made, name, "text/plain", "visible", 7);
    }
  if (protected)
    item_file (made, "message.rpmsg", "", g_bytes_get_data (rpmsg, NULL), g_bytes_get_size (rpmsg));
  return item_finish (made);
}

/* However many attachments stand before it. */
static void
test_carried_behind_many (void)
{
  static const struct {
    guint others;
    gboolean protected, told;
  } cases[] = {
    { 31, TRUE, TRUE },
    { 32, TRUE, TRUE },
    { 60, TRUE, TRUE },
    { 200, TRUE, TRUE },
    { 31, FALSE, FALSE },
    { 60, FALSE, FALSE },
    { 200, FALSE, FALSE },
    /* Nobody looks at so many. */
    { 1200, TRUE, TRUE },
    { 1200, FALSE, TRUE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TpdSource) source = make_crowd (cases[i].others, cases[i].protected);
      g_autoptr (TpdProbe) probe = probe_bounded (source);

      g_test_message ("case %" G_GSIZE_FORMAT, i);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
      g_assert_cmpint (probe->carries_mail, ==, cases[i].told);
      g_assert_cmpint (probe->warnings != NULL, ==, cases[i].told);
    }
}

/* Nor however many items, one of which has it. */
static void
test_carried_in_one_of_many (void)
{
  for (guint protected = 0; protected < 2; protected ++)
    {
      g_autoptr (TpdSource) plain = make_crowd (1, FALSE), last = make_crowd (1, protected);
      g_autoptr (TpdMailContent) content = tpd_mail_content_new ();
      g_autoptr (TpdSink) sink = tpd_sink_new (NULL, NULL);
      g_autoptr (TpdSource) outer = NULL;
      g_autoptr (TpdProbe) probe = NULL;

      content->body_format = TPD_BODY_PLAIN;
      content->code_page = 65001;
      content->body = g_bytes_new_static ("see below", 9);
      for (guint i = 0; i < 50; i++)
        tpd_mail_content_add (content, TPD_ATTACH_MESSAGE)->source = tpd_source_ref (i == 49 ? last : plain);
      tpd_mail_name_attachments (content);
      g_assert_true (tpd_mail_write_msg (content, NULL, NULL, sink, NULL));
      outer = tpd_sink_to_source (g_steal_pointer (&sink), NULL);
      probe = probe_bounded (outer);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
      g_assert_cmpint (probe->carries_mail, ==, protected);
    }
}

/* An ordinary item with `inner` attached, as one of its own kind. */
static TpdSource *
wrap_item (TpdSource *inner)
{
  g_autoptr (TpdMailContent) content = tpd_mail_content_new ();
  TpdMailAttachment *attachment = tpd_mail_content_add (content, TPD_ATTACH_MESSAGE);
  g_autoptr (TpdSink) sink = tpd_sink_new (NULL, NULL);
  g_autoptr (GError) error = NULL;

  content->body_format = TPD_BODY_PLAIN;
  content->code_page = 65001;
  content->body = g_bytes_new_static ("see below", 9);
  attachment->long_name = g_strdup ("below.msg");
  attachment->source = tpd_source_ref (inner);
  tpd_mail_name_attachments (content);
  g_assert_true (tpd_mail_write_msg (content, NULL, NULL, sink, &error));
  g_assert_no_error (error);
  return tpd_sink_to_source (g_steal_pointer (&sink), NULL);
}

/* A protected mail inside an ordinary one is told, however deep it is. */
static void
test_carried (void)
{
  for (guint protected = 0; protected < 2; protected ++)
    {
      g_autoptr (TpdSource) source = make_item (protected, protected ? "message.rpmsg" : NULL, "", "also.txt", 1);

      for (guint depth = 1; depth <= 4; depth++)
        {
          g_autoptr (TpdSource) outer = wrap_item (source);
          g_autoptr (TpdProbe) probe = probe_bounded (outer);
          TpdOpaque opaque = TPD_OPAQUE_NONE;

          g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_NOT_PROTECTED);
          g_assert_cmpint (probe->carries_mail, ==, protected);
          g_assert_cmpint (probe->warnings != NULL, ==, protected);
          g_assert_true (tpd_opaque_look (outer, probe, &opaque, NULL));
          g_assert_cmpint (opaque, ==, protected ? TPD_OPAQUE_MAIL : TPD_OPAQUE_NONE);
          tpd_source_unref (source);
          source = g_steal_pointer (&outer);
        }
    }
}

/* The name alone does not make a protected mail; marked, it is a damaged one. */
static void
test_no_magic (void)
{
  static const MadeName content_class = { guid_headers, "Content-Class", 0 };

  for (gboolean marked = FALSE; marked <= TRUE; marked++)
    {
      MadeItem *made = item_new (TRUE, 1252);
      g_autoptr (TpdSource) source = NULL;
      g_autoptr (TpdProbe) probe = NULL;

      g_clear_pointer (&made->names, tpd_msg_names_free);
      item_names (made->writer, 0, &content_class, 1);
      if (marked)
        item_text (&made->item, TPD_MSG_FIRST_NAMED, "RPMSG.message");
      item_file (made, "message.rpmsg", "", "this is some other text", 23);
      source = item_finish (made);
      probe = probe_bounded (source);
      g_assert_cmpint (probe->verdict, ==, marked ? TPD_VERDICT_DAMAGED : TPD_VERDICT_NOT_PROTECTED);
      g_assert_cmpint (probe->carries_mail, ==, !marked);
    }
}

static void
test_many_recipients (void)
{
  for (gboolean marked = FALSE; marked <= TRUE; marked++)
    {
      g_autoptr (TpdSource) source =
          make_item (marked, marked ? "message.rpmsg" : NULL, "", marked ? NULL : "a.txt", TPD_MSG_MAX_OBJECTS);
      g_autoptr (TpdProbe) probe = NULL;
      g_autoptr (TpdSource) result = NULL;
      g_autoptr (TpdCfb) cfb = NULL;
      const TpdCfbEntry *last = NULL;

      if (!marked)
        {
          assert_plain (source);
          continue;
        }
      probe = tpd_probe (source, NULL);
      g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_OK);
      result = open_good (source, TPD_MAIL_NATIVE);
      cfb = cfb_reopen (result);
      g_assert_true (tpd_cfb_find (cfb, NULL, TPD_MSG_RECIP "0000270F/" TPD_MSG_PROPERTIES, &last, NULL));
      g_assert_nonnull (last);
    }
}

static void
test_too_many_recipients (void)
{
  g_autoptr (TpdSource) source = make_item (TRUE, "message.rpmsg", "", NULL, TPD_MSG_MAX_OBJECTS + 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdDocument) document = open_as (source, TPD_MAIL_NATIVE, NULL, &error);

  g_assert_null (document);
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
}

/* --- Refusals ----------------------------------------------------------------- */

static void
test_no_key (void)
{
  g_autoptr (TpdSource) source = make_item (TRUE, "message.rpmsg", "", NULL, 1);
  g_autoptr (TpdProbe) probe = tpd_probe (source, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdDocument) document =
      tpd_document_open (source, probe, NULL, protector.keys.unwrapper, NULL, NULL, &error);

  g_assert_null (document);
  g_assert_error (error, TPD_ERROR, TPD_ERROR_NO_KEY);
}

static void
test_budget (void)
{
  g_autoptr (TpdSource) source = make_item (TRUE, "message.rpmsg", "", NULL, 1);
  TpdBudget budget = { .max_bytes = 20000 };
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdDocument) document = open_as (source, TPD_MAIL_NATIVE, &budget, &error);

  g_assert_null (document);
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
}

/* A changed file is plain, refused, or the whole mail; never part of it. */
static void
try_changed (GBytes *changed, GBytes *whole)
{
  g_autoptr (TpdSource) source = tpd_source_new_bytes (changed);
  g_autoptr (TpdProbe) probe = probe_bounded (source);
  g_autoptr (TpdDocument) document = NULL;
  g_autoptr (GBytes) plain = NULL;

  if (probe->verdict != TPD_VERDICT_OK)
    return;
  document = tpd_document_open (source, probe, protector.keys.keyring, protector.keys.unwrapper, NULL, NULL, NULL);
  if (document == NULL || whole == NULL)
    return;
  plain = document_read_all (document, NULL);
  g_assert_true (g_bytes_equal (plain, whole));
}

static void
test_truncated (void)
{
  g_autoptr (TpdSource) source = make_item (TRUE, "message.rpmsg", "", NULL, 3);
  g_autoptr (TpdSource) result = open_good (source, TPD_MAIL_NATIVE);
  g_autoptr (GBytes) bytes = source_read_all (source), whole = source_read_all (result);

  for (gsize len = 0; len < g_bytes_get_size (bytes); len += 256)
    {
      g_autoptr (GBytes) cut = g_bytes_new_from_bytes (bytes, 0, len);

      try_changed (cut, whole);
    }
}

static void
test_noise (void)
{
  g_autoptr (TpdSource) source = make_item (TRUE, "message.rpmsg", "", "other.txt", 3);
  g_autoptr (GBytes) bytes = source_read_all (source);
  g_autoptr (GRand) random = g_rand_new_with_seed (4711);
  gsize len = g_bytes_get_size (bytes);

  for (guint round = 0; round < 400; round++)
    {
      g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (bytes, NULL), len);
      g_autoptr (GBytes) changed = NULL;

      /* The structures are at the start of what our writer wrote. */
      for (guint i = 0; i < 1 + round % 5; i++)
        data[g_rand_int_range (random, 24, (gint32) (round % 2 ? len : MIN (len, 8192)))] =
            (guint8) g_rand_int_range (random, 0, 256);
      changed = g_bytes_new (data, len);
      try_changed (changed, NULL);
    }
}

/* A read that fails is an I/O error, at whatever step; never a plain file. */
static void
test_read_errors (void)
{
  g_autoptr (TpdSource) source = make_item (TRUE, "message.rpmsg", "", NULL, 3);

  for (int at = 0;; at++)
    {
      FaultSource *fault = fault_source_new (source, FAULT_EIO, at);
      g_autoptr (TpdSource) faulty = &fault->base;
      g_autoptr (TpdProbe) probe = tpd_probe (faulty, NULL);
      g_autoptr (GError) error = NULL;
      g_autoptr (TpdDocument) document = NULL;

      if (fault->reads > at)
        {
          g_assert_cmpint (probe->verdict, ==, TPD_VERDICT_IO_ERROR);
          g_assert_cmpint (probe->io_errno, ==, EIO);
          continue;
        }
      document =
          tpd_document_open (faulty, probe, protector.keys.keyring, protector.keys.unwrapper, NULL, NULL, &error);
      if (fault->reads <= at)
        {
          g_assert_no_error (error);
          break;
        }
      g_assert_null (document);
      g_assert_cmpint (tpd_error_get_errno (error), ==, EIO);
    }
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  protector_init (&protector);
  g_test_add_func ("/msg/share/native", test_share);
  g_test_add_func ("/msg/share/headers", test_share_headers);
  g_test_add_func ("/msg/share/as-eml", test_share_as_eml);
  g_test_add_func ("/msg/share/others-as-msg", test_share_as_msg);
  g_test_add_func ("/msg/probe/bounded", test_probe_reads);
  g_test_add_func ("/msg/probe/ordinary-is-plain", test_ordinary_share);
  g_test_add_func ("/msg/probe/marks", test_marks);
  g_test_add_func ("/msg/probe/others-are-kept", test_others_are_kept);
  g_test_add_func ("/msg/probe/others-are-told", test_others_are_told);
  g_test_add_func ("/msg/probe/carried", test_carried);
  g_test_add_func ("/msg/probe/carried-behind-many", test_carried_behind_many);
  g_test_add_func ("/msg/probe/carried-in-one-of-many", test_carried_in_one_of_many);
  g_test_add_func ("/msg/probe/name-without-magic", test_no_magic);
  g_test_add_func ("/msg/probe/many-recipients", test_many_recipients);
  g_test_add_func ("/msg/refused/too-many-recipients", test_too_many_recipients);
  g_test_add_func ("/msg/refused/no-key", test_no_key);
  g_test_add_func ("/msg/refused/budget", test_budget);
  g_test_add_func ("/msg/refused/truncated", test_truncated);
  g_test_add_func ("/msg/refused/noise", test_noise);
  g_test_add_func ("/msg/refused/read-errors", test_read_errors);
  result = g_test_run ();
  protector_clear (&protector);
  return result;
}
