/* SPDX-License-Identifier: Apache-2.0 */
/* The header block of an Outlook item: its transport headers, completed by
 * what the properties say, and nothing that an attacker put between lines. */
#include "msg-support.h"

static char *
headers_of (MadeItem *made)
{
  g_autoptr (TpdSource) source = item_finish (made);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) block = tpd_msg_headers (source, &error);
  g_auto (GStrv) lines = NULL;
  char *text;

  g_assert_no_error (error);
  text = g_strndup (g_bytes_get_data (block, NULL), g_bytes_get_size (block));
  g_assert_null (strstr (text, "\r\n\r\n"));
  lines = g_strsplit (text, "\r\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      g_assert_cmpuint (strlen (*line), <, 998);
      g_assert_null (strpbrk (*line, "\r\n"));
    }
  return text;
}

static void
test_properties (void)
{
  MadeItem *made = item_new (TRUE, 1252);
  g_autofree char *text = NULL;

  item_text (&made->item, TPD_MSG_SUBJECT, "Offer #12");
  item_text (&made->item, TPD_MSG_SENDER_NAME, "Doe, \"Jane\"");
  item_text (&made->item, TPD_MSG_SENDER_TYPE, "SMTP");
  item_text (&made->item, TPD_MSG_SENDER_ADDRESS, "jane@contoso.example");
  item_text (&made->item, TPD_MSG_MESSAGE_ID, "<1@contoso.example>");
  item_value (&made->item, ITEM_TAG (DELIVERY_TIME, TIME), (G_GUINT64_CONSTANT (1520932980) + 11644473600) * 10000000);
  item_recipient (made, 1, "Anna", "SMTP", "anna@contoso.example");
  item_recipient (made, 2, "ben@contoso.example", "SMTP", "ben@contoso.example");
  item_recipient (made, 1, "Accounting", "EX", "/o=Contoso/ou=Exchange/cn=Recipients/cn=acc");
  item_recipient (made, 3, "Eve", "SMTP", "eve@contoso.example");
  text = headers_of (made);
  g_assert_cmpstr (text, ==,
                   "From: \"Doe, \\\"Jane\\\"\" <jane@contoso.example>\r\n"
                   "To: Anna <anna@contoso.example>, Accounting:;\r\n"
                   "Cc: ben@contoso.example\r\n"
                   "Bcc: Eve <eve@contoso.example>\r\n"
                   "Subject: Offer #12\r\n"
                   "Date: Tue, 13 Mar 2018 09:23:00 +0000\r\n"
                   "Message-ID: <1@contoso.example>\r\n");
}

static void
test_smtp_preferred (void)
{
  MadeItem *made = item_new (TRUE, 1252);
  g_autofree char *text = NULL;

  item_text (&made->item, TPD_MSG_REPRESENTING_NAME, "Jane");
  item_text (&made->item, TPD_MSG_REPRESENTING_TYPE, "EX");
  item_text (&made->item, TPD_MSG_REPRESENTING_ADDRESS, "/o=Contoso/cn=jane");
  item_text (&made->item, TPD_MSG_REPRESENTING_SMTP, "jane@contoso.example");
  text = headers_of (made);
  g_assert_cmpstr (text, ==, "From: Jane <jane@contoso.example>\r\n");
}

/* Any subject comes back as it was, from lines of bounded length. */
static void
test_subjects (void)
{
  g_autofree char *long_word = g_strnfill (3000, 'w');
  g_autoptr (GString) japanese = g_string_new (NULL);
  const char *subjects[] = { "plain", "größe", "会議の件 1", "=?utf-8?B?YQ==?=", "a\tb", NULL, NULL, NULL };
  g_autoptr (GString) words = g_string_new ("many");

  for (guint i = 0; i < 500; i++)
    {
      g_string_append (japanese, "長");
      g_string_append (words, " words");
    }
  subjects[5] = long_word;
  subjects[6] = japanese->str;
  subjects[7] = words->str;
  for (gsize i = 0; i < G_N_ELEMENTS (subjects); i++)
    {
      MadeItem *made = item_new (TRUE, 1252);
      g_autofree char *text = NULL;
      g_autoptr (GBytes) block = NULL;
      g_autoptr (TpdMailHeaders) headers = NULL;

      item_text (&made->item, TPD_MSG_SUBJECT, subjects[i]);
      text = headers_of (made);
      block = g_bytes_new (text, strlen (text));
      headers = tpd_mail_headers_parse (block);
      g_assert_cmpstr (headers->subject, ==, i == 4 ? "a b" : subjects[i]);
    }
}

static void
test_injection (void)
{
  MadeItem *made = item_new (TRUE, 1252);
  g_autofree char *text = NULL;

  item_text (&made->item, TPD_MSG_SUBJECT, "a\r\nBcc: x@evil.example\r\n\r\nbody");
  item_text (&made->item, TPD_MSG_SENDER_NAME, "n\nX-Evil: 1");
  item_text (&made->item, TPD_MSG_SENDER_ADDRESS, "a@b>\r\nX-Evil: 2");
  item_text (&made->item, TPD_MSG_MESSAGE_ID, "<1@x>\r\nX-Evil: 3");
  item_recipient (made, 1, "t\rX-Evil: 4", "SMTP", "t@x,y@z");
  text = headers_of (made);
  g_assert_null (strstr (text, "\nX-Evil"));
  g_assert_null (strstr (text, "\nBcc"));
  g_assert_null (strstr (text, "y@z"));
}

static void
test_transport (void)
{
  MadeItem *made = item_new (TRUE, 1252);
  g_autofree char *text = NULL;

  item_text (&made->item, TPD_MSG_TRANSPORT_HEADERS,
             "Microsoft Mail Internet Headers Version 2.0\r\n"
             "Received: from a\r\n\tby b;\n Tue\r\n \r\n"
             "From: real@contoso.example\r\nTo: real-to@contoso.example\r\n"
             "subject: from the transport\r\nX-Odd: a\rb\r\n\r\nnot: a header\r\n");
  item_text (&made->item, TPD_MSG_SUBJECT, "from the item");
  item_text (&made->item, TPD_MSG_SENDER_ADDRESS, "other@contoso.example");
  item_text (&made->item, TPD_MSG_MESSAGE_ID, "<1@contoso.example>");
  item_recipient (made, 3, "Blind", "SMTP", "blind@contoso.example");
  text = headers_of (made);
  g_assert_cmpstr (text, ==,
                   "Received: from a\r\n\tby b;\r\n Tue\r\n"
                   "From: real@contoso.example\r\nTo: real-to@contoso.example\r\n"
                   "subject: from the transport\r\nX-Odd: a b\r\n"
                   "Message-ID: <1@contoso.example>\r\n");
}

static void
test_8bit (void)
{
  MadeItem *made = item_new (FALSE, 1251);
  g_autofree char *text = NULL;
  g_autoptr (GBytes) block = NULL;
  g_autoptr (TpdMailHeaders) headers = NULL;

  item_value (&made->item, ITEM_TAG (MESSAGE_CODE_PAGE, LONG), 1251);
  item_text (&made->item, TPD_MSG_SUBJECT, "договор");
  item_text (&made->item, TPD_MSG_SENDER_NAME, "Иван");
  item_text (&made->item, TPD_MSG_SENDER_ADDRESS, "ivan@contoso.example");
  text = headers_of (made);
  block = g_bytes_new (text, strlen (text));
  headers = tpd_mail_headers_parse (block);
  g_assert_cmpstr (headers->subject, ==, "договор");
  g_assert_cmpstr (headers->from->name, ==, "Иван");
}

static void
test_too_large (void)
{
  MadeItem *made = item_new (TRUE, 1252);
  g_autoptr (TpdSource) source = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) block = NULL;

  for (guint i = 0; i < TPD_MSG_MAX_OBJECTS; i++)
    {
      g_autofree char *name = g_strdup_printf ("A long name of a recipient that nobody has ever seen %u", i);
      g_autofree char *address = g_strdup_printf ("a.long.name.of.a.recipient.that.nobody.has.seen.%u@x.example", i);

      item_recipient (made, 1, name, "SMTP", address);
    }
  source = item_finish (made);
  block = tpd_msg_headers (source, &error);
  g_assert_null (block);
  g_assert_error (error, TPD_ERROR, TPD_ERROR_TOO_LARGE);
}

static void
test_dates (void)
{
  static const guint64 times[] = { 1, G_MAXINT64, G_MAXUINT64 };

  for (gsize i = 0; i < G_N_ELEMENTS (times); i++)
    {
      MadeItem *made = item_new (TRUE, 1252);
      g_autofree char *text = NULL;

      item_value (&made->item, ITEM_TAG (SUBMIT_TIME, TIME), times[i]);
      text = headers_of (made);
      g_assert_cmpstr (text, ==, i == 0 ? "Date: Mon, 01 Jan 1601 00:00:00 +0000\r\n" : "");
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/msg-headers/properties", test_properties);
  g_test_add_func ("/msg-headers/smtp-preferred", test_smtp_preferred);
  g_test_add_func ("/msg-headers/subjects", test_subjects);
  g_test_add_func ("/msg-headers/no-injection", test_injection);
  g_test_add_func ("/msg-headers/transport-first", test_transport);
  g_test_add_func ("/msg-headers/8bit", test_8bit);
  g_test_add_func ("/msg-headers/too-large", test_too_large);
  g_test_add_func ("/msg-headers/dates", test_dates);
  return g_test_run ();
}
