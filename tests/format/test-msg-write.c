/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing Outlook items: what is kept, what is replaced, and how items, objects
 * and names of one file come into another.
 */
#include <sys/resource.h>

#include "format/mail_content.h"
#include "msg-support.h"

/* --- Helpers ---------------------------------------------------------------- */

static TpdMailContent *
content_new (TpdBodyFormat format, guint code_page, const char *body, gsize len)
{
  TpdMailContent *content = tpd_mail_content_new ();

  content->body_format = format;
  content->code_page = code_page;
  if (body != NULL)
    content->body = g_bytes_new (body, len);
  return content;
}

static TpdMailAttachment *
content_add (TpdMailContent *content, TpdAttachMethod method, const char *name, TpdSource *source)
{
  TpdMailAttachment *attachment = tpd_mail_content_add (content, method);

  attachment->name = g_strdup (name);
  attachment->display_name = g_strdup (name);
  attachment->source = tpd_source_ref (source);
  attachment->nested = TPD_VERDICT_NOT_PROTECTED;
  return attachment;
}

/* A written item, opened again. */
typedef struct {
  TpdSource *source;
  TpdCfb *cfb;
  TpdMsgTable table;
} Written;

static void
written_clear (Written *self)
{
  tpd_msg_table_clear (&self->table);
  tpd_cfb_free (self->cfb);
  tpd_source_unref (self->source);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Written, written_clear)

static void
open_item (TpdSource *source, Written *out)
{
  g_autoptr (GError) error = NULL;

  out->source = tpd_source_ref (source);
  out->cfb = cfb_reopen (source);
  tpd_msg_table_read (&out->table, out->cfb, tpd_cfb_root (out->cfb), TRUE, &error);
  g_assert_no_error (error);
}

static void
write_item (const TpdMailContent *content, TpdSource *original, const TpdMailHeaders *headers, Written *out)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TpdSink) sink = tpd_sink_new (NULL, &error);
  g_autoptr (TpdSource) source = NULL;

  tpd_mail_write_msg (content, original, headers, sink, &error);
  g_assert_no_error (error);
  source = tpd_sink_to_source (g_steal_pointer (&sink), &error);
  open_item (source, out);
}

static const TpdCfbEntry *
find (const Written *item, const char *path)
{
  g_autoptr (GError) error = NULL;
  const TpdCfbEntry *entry;

  g_assert_true (tpd_cfb_find (item->cfb, NULL, path, &entry, &error));
  return entry;
}

static void
assert_bytes (const Written *item, const char *path, const void *data, gsize len)
{
  const TpdCfbEntry *entry = find (item, path);
  g_autoptr (GBytes) bytes = NULL;

  g_assert_nonnull (entry);
  bytes = tpd_cfb_stream_read (item->cfb, entry, G_MAXSIZE, NULL);
  g_assert_cmpmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), data, len);
}

static void
assert_value (const Written *item, guint32 tag, guint64 value)
{
  g_assert_nonnull (tpd_msg_table_find (&item->table, tag));
  g_assert_cmphex (tpd_msg_table_get (&item->table, tag, ~value), ==, value);
}

/* The table of an object below the root. */
static void
read_table (const Written *item, const char *path, gboolean is_item, TpdMsgTable *table)
{
  g_autoptr (GError) error = NULL;

  g_assert_nonnull (find (item, path));
  tpd_msg_table_read (table, item->cfb, find (item, path), is_item, &error);
  g_assert_no_error (error);
}

/* --- Bodies ------------------------------------------------------------------- */

/* Bodies in every form, which all have to go. */
static TpdSource *
original_new (gboolean unicode, guint code_page)
{
  MadeItem *made = item_new (unicode, code_page);

  item_text (&made->item, TPD_MSG_SUBJECT, "kept");
  item_text (&made->item, TPD_MSG_BODY, "placeholder");
  g_assert_true (tpd_msg_put_bytes (&made->item, TPD_MSG_HTML, "<p>placeholder", 14, NULL));
  g_assert_true (tpd_msg_put_bytes (&made->item, TPD_MSG_RTF_COMPRESSED, "placeholder", 11, NULL));
  item_value (&made->item, ITEM_TAG (NATIVE_BODY, LONG), 3);
  item_value (&made->item, ITEM_TAG (RTF_IN_SYNC, BOOLEAN), 1);
  item_value (&made->item, ITEM_TAG (FLAGS, LONG), 0x11);
  if (unicode)
    item_value (&made->item, ITEM_TAG (STORE_SUPPORT, LONG), 0x00040000);
  item_file (made, "placeholder.txt", "text/plain", "placeholder", 11);
  return item_finish (made);
}

static void
assert_only_body (const Written *item, guint32 tag)
{
  static const guint32 tags[] = { ITEM_TAG (BODY, UNICODE), ITEM_TAG (BODY, STRING8), ITEM_TAG (HTML, BINARY),
                                  ITEM_TAG (RTF_COMPRESSED, BINARY) };

  for (gsize i = 0; i < G_N_ELEMENTS (tags); i++)
    {
      char name[TPD_MSG_STREAM_NAME_SIZE];

      tpd_msg_stream_name (tags[i], name);
      g_assert_true ((find (item, name) != NULL) == (tags[i] == tag));
      g_assert_true ((tpd_msg_table_find (&item->table, tags[i]) != NULL) == (tags[i] == tag));
    }
  g_assert_null (find (item, TPD_MSG_ATTACH "00000000"));
  assert_value (item, ITEM_TAG (HAS_ATTACHMENTS, BOOLEAN), 0);
  assert_value (item, ITEM_TAG (FLAGS, LONG), 1);
}

static void
test_plain (void)
{
  g_autoptr (TpdSource) original = original_new (TRUE, 1252);
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_PLAIN, 1252, "gr\xfc\xdf", 4);
  g_auto (Written) item = { 0 };

  write_item (content, original, NULL, &item);
  assert_only_body (&item, ITEM_TAG (BODY, UNICODE));
  assert_bytes (&item, "__substg1.0_1000001F", "g\0r\0\xfc\0\xdf\0", 8);
  assert_value (&item, ITEM_TAG (BODY, UNICODE), 10);
  assert_value (&item, ITEM_TAG (NATIVE_BODY, LONG), 1);
  assert_bytes (&item, "__substg1.0_0037001F", "k\0e\0p\0t\0", 8);
}

static void
test_html (void)
{
  g_autoptr (TpdSource) original = original_new (TRUE, 1252);
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_HTML, 28591, "<p>gr\xfc\xdf", 7);
  g_auto (Written) item = { 0 };

  write_item (content, original, NULL, &item);
  assert_only_body (&item, ITEM_TAG (HTML, BINARY));
  assert_bytes (&item, "__substg1.0_10130102", "<p>gr\xfc\xdf", 7);
  assert_value (&item, ITEM_TAG (INTERNET_CODE_PAGE, LONG), 28591);
  assert_value (&item, ITEM_TAG (NATIVE_BODY, LONG), 3);
  g_assert_false (tpd_msg_table_has_id (&item.table, TPD_MSG_RTF_IN_SYNC));
}

/* A code page that an item cannot name, or that nobody knows: UTF-8. */
static void
test_html_code_pages (void)
{
  static const struct {
    guint code_page;
    const char *body;
    gsize len;
    const char *expected;
  } cases[] = {
    { 1200, "<\0p\0>\0\xfc\0", 8, "<p>\xc3\xbc" },
    { 99999, "<p>\xc3\xbc", 5, "<p>\xc3\xbc" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (TpdMailContent) content = content_new (TPD_BODY_HTML, cases[i].code_page, cases[i].body, cases[i].len);
      g_auto (Written) item = { 0 };

      write_item (content, NULL, NULL, &item);
      assert_bytes (&item, "__substg1.0_10130102", cases[i].expected, strlen (cases[i].expected));
      assert_value (&item, ITEM_TAG (INTERNET_CODE_PAGE, LONG), 65001);
    }
}

static void
test_rtf (void)
{
  static const char stored[] = "\x15\0\0\0\x09\0\0\0MELA\0\0\0\0{\\rtf1 x}";
  g_autoptr (TpdSource) original = original_new (TRUE, 1252);
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_RTF, 1252, "<p>rendering", 12);
  g_auto (Written) item = { 0 };

  content->rtf = g_bytes_new ("{\\rtf1 x}", 9);
  write_item (content, original, NULL, &item);
  assert_only_body (&item, ITEM_TAG (RTF_COMPRESSED, BINARY));
  assert_bytes (&item, "__substg1.0_10090102", stored, sizeof stored - 1);
  assert_value (&item, ITEM_TAG (NATIVE_BODY, LONG), 2);
  assert_value (&item, ITEM_TAG (RTF_IN_SYNC, BOOLEAN), 1);
}

/* RTF that is missing leaves its rendering. */
static void
test_rtf_missing (void)
{
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_RTF, 1252, "<p>rendering", 12);
  g_auto (Written) item = { 0 };

  write_item (content, NULL, NULL, &item);
  assert_bytes (&item, "__substg1.0_10130102", "<p>rendering", 12);
}

static void
test_no_body (void)
{
  g_autoptr (TpdSource) original = original_new (TRUE, 1252);
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_HTML, 1252, NULL, 0);
  g_auto (Written) item = { 0 };

  write_item (content, original, NULL, &item);
  assert_only_body (&item, 0);
}

/* --- 8-bit items --------------------------------------------------------------- */

static void
test_8bit (void)
{
  g_autoptr (TpdSource) original = original_new (FALSE, 1252);
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_PLAIN, 65001, "gr\xc3\xbc\xc3\x9f", 6);
  g_autoptr (TpdSource) data = source_from ("data", 4);
  g_auto (Written) item = { 0 };

  content_add (content, TPD_ATTACH_FILE, "größe.txt", data);
  content_add (content, TPD_ATTACH_FILE, "長い.txt", data);
  write_item (content, original, NULL, &item);
  assert_bytes (&item, "__substg1.0_1000001E", "gr\xfc\xdf", 4);
  assert_value (&item, ITEM_TAG (BODY, STRING8), 5);
  assert_bytes (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3707001E",
                "gr\xf6\xdf"
                "e.txt",
                9);
  /* What the code page has not is not lost. */
  g_assert_null (find (&item, TPD_MSG_ATTACH "00000001/__substg1.0_3707001E"));
  assert_bytes (&item, TPD_MSG_ATTACH "00000001/__substg1.0_3707001F", "\x77\x95\x44\x30.\0t\0x\0t\0", 12);
}

/* The code page of the texts is not that of the new HTML body. */
static void
test_8bit_code_page (void)
{
  MadeItem *made = item_new (FALSE, 1251);
  g_autoptr (TpdSource) original = NULL;
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_HTML, 65001, "<p>", 3);
  g_autofree char *subject = NULL;
  g_auto (Written) item = { 0 };

  item_value (&made->item, ITEM_TAG (INTERNET_CODE_PAGE, LONG), 1251);
  item_text (&made->item, TPD_MSG_SUBJECT, "договор");
  original = item_finish (made);
  write_item (content, original, NULL, &item);
  assert_value (&item, ITEM_TAG (INTERNET_CODE_PAGE, LONG), 65001);
  assert_value (&item, ITEM_TAG (MESSAGE_CODE_PAGE, LONG), 1251);
  g_assert_true (tpd_msg_read_text (item.cfb, tpd_cfb_root (item.cfb), TPD_MSG_SUBJECT, tpd_msg_code_page (&item.table),
                                    1000, &subject, NULL));
  g_assert_cmpstr (subject, ==, "договор");
}

/* --- Class --------------------------------------------------------------------- */

static void
test_voice_mail (void)
{
  MadeItem *made = item_new (TRUE, 1252);
  g_autoptr (TpdSource) original = NULL;
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_PLAIN, 65001, "x", 1);
  g_autofree char *class = NULL;
  g_auto (Written) item = { 0 };

  item_text (&made->item, TPD_MSG_MESSAGE_CLASS, "IPM.Note.rpmsg.Microsoft.Voicemail.UM.CA");
  original = item_finish (made);
  write_item (content, original, NULL, &item);
  g_assert_true (tpd_msg_read_text (item.cfb, tpd_cfb_root (item.cfb), TPD_MSG_MESSAGE_CLASS, 0, 1000, &class, NULL));
  g_assert_cmpstr (class, ==, "IPM.Note.Microsoft.Voicemail.UM.CA");
  assert_value (&item, ITEM_TAG (MESSAGE_CLASS, UNICODE), strlen (class) * 2 + 2);
}

/* --- Attachments ---------------------------------------------------------------- */

static void
test_file (void)
{
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_HTML, 65001, "<img src=\"cid:a@b\">", 19);
  g_autofree guint8 *noise = make_noise (5000, 5);
  g_autoptr (TpdSource) data = source_from (noise, 5000);
  g_auto (TpdMsgTable) table = { 0 };
  g_auto (Written) item = { 0 };
  TpdMailAttachment *attachment = content_add (content, TPD_ATTACH_FILE, "logo.png", data);

  attachment->content_id = g_strdup ("a@b");
  attachment->short_name = g_strdup ("LOGO.PNG");
  attachment->hidden = TRUE;
  attachment->has_position = TRUE;
  attachment->position = 42;
  attachment->created = G_GUINT64_CONSTANT (0x01d30095d6d97cee);
  write_item (content, NULL, NULL, &item);
  read_table (&item, TPD_MSG_ATTACH "00000000", FALSE, &table);
  g_assert_cmpuint (tpd_msg_table_get (&table, ITEM_TAG (ATTACH_METHOD, LONG), 0), ==, 1);
  g_assert_cmpuint (tpd_msg_table_get (&table, ITEM_TAG (RENDERING_POSITION, LONG), 0), ==, 42);
  g_assert_cmpuint (tpd_msg_table_get (&table, ITEM_TAG (ATTACH_HIDDEN, BOOLEAN), 0), ==, 1);
  g_assert_cmpuint (tpd_msg_table_get (&table, ITEM_TAG (CREATED, TIME), 0), ==, attachment->created);
  g_assert_cmpuint (tpd_msg_table_get (&table, ITEM_TAG (ATTACH_DATA, BINARY), 0), ==, 5000);
  g_assert_null (tpd_msg_table_find (&table, ITEM_TAG (MODIFIED, TIME)));
  assert_bytes (&item, TPD_MSG_ATTACH "00000000/__substg1.0_37010102", noise, 5000);
  assert_bytes (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3712001F", "a\0@\0b\0", 6);
  assert_bytes (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3703001F", ".\0p\0n\0g\0", 8);
  assert_bytes (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3704001F", "L\0O\0G\0O\0.\0P\0N\0G\0", 16);
}

/* What was decrypted goes by its new name only. */
static void
test_file_decrypted (void)
{
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_HTML, 65001, "<p>", 3);
  g_autoptr (TpdSource) data = source_from ("plain", 5);
  g_auto (Written) item = { 0 };
  TpdMailAttachment *attachment = content_add (content, TPD_ATTACH_FILE, "notes.txt.pfile", data);

  attachment->short_name = g_strdup ("NOTES~1.PFI");
  attachment->nested = TPD_VERDICT_OK;
  g_free (attachment->name);
  attachment->name = g_strdup ("notes.txt");
  write_item (content, NULL, NULL, &item);
  assert_bytes (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3707001F", "n\0o\0t\0e\0s\0.\0t\0x\0t\0", 18);
  assert_bytes (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3001001F", "n\0o\0t\0e\0s\0.\0t\0x\0t\0", 18);
  g_assert_null (find (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3704001F"));
}

static void
test_ole (void)
{
  static const guint8 clsid[16] = { 0x20, 8, 2, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46 };
  g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_HTML, 65001, "<p>", 3);
  g_autofree guint8 *noise = make_noise (5000, 5);
  g_autoptr (TpdSource) object = NULL;
  g_auto (TpdMsgTable) table = { 0 };
  g_auto (Written) item = { 0 };
  guint32 inner;

  tpd_cfb_writer_set_clsid (writer, 0, clsid);
  g_assert_true (tpd_cfb_writer_add_bytes (writer, 0, "\001Ole10Native", noise, 5000, NULL));
  g_assert_true (tpd_cfb_writer_add_storage (writer, 0, "inner", &inner, NULL));
  g_assert_true (tpd_cfb_writer_add_bytes (writer, inner, TPD_MSG_PROPERTIES, "not a table", 11, NULL));
  object = writer_finish (writer);
  content_add (content, TPD_ATTACH_OLE, "Sheet", object);
  write_item (content, NULL, NULL, &item);
  read_table (&item, TPD_MSG_ATTACH "00000000", FALSE, &table);
  g_assert_cmpuint (tpd_msg_table_get (&table, ITEM_TAG (ATTACH_METHOD, LONG), 0), ==, 6);
  g_assert_cmphex (tpd_msg_table_get (&table, ITEM_TAG (ATTACH_DATA, OBJECT), 0), ==, G_GUINT64_CONSTANT (0x4ffffffff));
  assert_bytes (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3701000D/\001Ole10Native", noise, 5000);
  assert_bytes (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3701000D/inner/" TPD_MSG_PROPERTIES, "not a table", 11);
  g_assert_cmpmem (find (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3701000D")->clsid, 16, clsid, 16);
}

/* --- Items in items --------------------------------------------------------------- */

#define COMMON_A 0x8503
#define COMMON_B 0x8514

/* An item with two named properties of its own, one of which an attachment has
 * too, and one that no map explains. */
static TpdSource *
inner_item (const MadeName *names, guint n)
{
  MadeItem *made = item_new (TRUE, 1252);
  TpdMsgObject part;

  g_clear_pointer (&made->names, tpd_msg_names_free);
  item_names (made->writer, 0, names, n);
  item_text (&made->item, TPD_MSG_SUBJECT, "inner");
  item_value (&made->item, TPD_MSG_TAG (0x8000, TPD_MSG_BOOLEAN), 1);
  item_text (&made->item, 0x8001, "text");
  item_text (&made->item, 0x8044, "nameless");
  part = item_part (made, TPD_MSG_ATTACH, made->n_attachments++);
  item_text (&part, TPD_MSG_ATTACH_LONG_NAME, "inside.txt");
  item_text (&part, 0x8001, "of the attachment");
  item_end_part (&part);
  return item_finish (made);
}

static void
test_embedded_names (void)
{
  static const MadeName outer_names[] = { { guid_headers, "content-class", 0 },
                                          { guid_common, NULL, COMMON_A },
                                          { guid_common, NULL, COMMON_B } };
  static const MadeName inner_names[] = { { guid_common, NULL, COMMON_B }, { guid_headers, "x-custom", 0 } };
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_HTML, 65001, "<p>", 3);
  g_autoptr (TpdSource) inner = inner_item (inner_names, 2);
  g_autoptr (TpdSource) original = NULL;
  g_autoptr (TpdMsgNames) names = NULL;
  g_auto (TpdMsgTable) table = { 0 };
  g_auto (Written) item = { 0 };
  g_autofree char *subject = NULL;
  MadeItem *made = item_new (TRUE, 1252);
  const char *at = TPD_MSG_ATTACH "00000000/__substg1.0_3701000D";

  g_clear_pointer (&made->names, tpd_msg_names_free);
  item_names (made->writer, 0, outer_names, 3);
  item_text (&made->item, 0x8000, "rpmsg.message");
  item_value (&made->item, TPD_MSG_TAG (0x8001, TPD_MSG_LONG), 77);
  original = item_finish (made);
  content_add (content, TPD_ATTACH_MESSAGE, "inner", inner);
  write_item (content, original, NULL, &item);

  /* The outer item keeps its ids, less the content class. */
  assert_value (&item, TPD_MSG_TAG (0x8001, TPD_MSG_LONG), 77);
  g_assert_false (tpd_msg_table_has_id (&item.table, 0x8000));
  g_assert_null (find (&item, "__substg1.0_8000001F"));
  names = tpd_msg_names_read (item.cfb, tpd_cfb_root (item.cfb), NULL);
  g_assert_cmphex (tpd_msg_names_content_class (names), ==, 0x8000);

  /* The inner one uses the ids of the outer: B is 0x8002, the custom one new. */
  read_table (&item, at, TRUE, &table);
  g_assert_cmpuint (tpd_msg_table_get (&table, TPD_MSG_TAG (0x8002, TPD_MSG_BOOLEAN), 0), ==, 1);
  g_assert_nonnull (tpd_msg_table_find (&table, TPD_MSG_TAG (0x8003, TPD_MSG_UNICODE)));
  g_assert_false (tpd_msg_table_has_id (&table, 0x8000));
  g_assert_false (tpd_msg_table_has_id (&table, 0x8001));
  g_assert_false (tpd_msg_table_has_id (&table, 0x8044));
  g_assert_cmpuint (find (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3701000D/" TPD_MSG_PROPERTIES)->size % 16, ==,
                    24 % 16);
  assert_bytes (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3701000D/__substg1.0_8003001F", "t\0e\0x\0t\0", 8);
  g_assert_null (find (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3701000D/__substg1.0_8044001F"));
  g_assert_null (find (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3701000D/" TPD_MSG_NAMEID));
  g_assert_nonnull (
      find (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3701000D/" TPD_MSG_ATTACH "00000000/__substg1.0_8003001F"));
  /* "x-custom" in PS_INTERNET_HEADERS: entry {offset of its text, kind, 3}. */
  assert_bytes (&item, TPD_MSG_NAMEID "/__substg1.0_00030102",
                "\0\0\0\0\x07\0\0\0"
                "\x03\x85\0\0\x08\0\x01\0"
                "\x14\x85\0\0\x08\0\x02\0"
                "\x20\0\0\0\x07\0\x03\0",
                32);
  g_assert_true (tpd_msg_read_text (item.cfb, find (&item, at), TPD_MSG_SUBJECT, 0, 100, &subject, NULL));
  g_assert_cmpstr (subject, ==, "inner");
}

/* An item in an item in an item, whose own maps differ. */
static void
test_embedded_deep (void)
{
  static const MadeName first[] = { { guid_common, NULL, COMMON_A }, { guid_common, NULL, COMMON_B } };
  static const MadeName second[] = { { guid_common, NULL, COMMON_B }, { guid_common, NULL, COMMON_A } };
  const char *path = TPD_MSG_ATTACH "00000000/__substg1.0_3701000D/" TPD_MSG_ATTACH "00000000/__substg1.0_3701000D";
  g_autoptr (TpdMailContent) middle_content = content_new (TPD_BODY_HTML, 65001, "<p>", 3);
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_HTML, 65001, "<p>", 3);
  g_autoptr (TpdSource) inner = inner_item (first, 2), over = inner_item (second, 2);
  g_auto (Written) middle = { 0 }, item = { 0 };
  g_auto (TpdMsgTable) outer_table = { 0 }, table = { 0 };

  /* In the middle A is 0x8001, so the inner item's ids are exchanged ... */
  content_add (middle_content, TPD_ATTACH_MESSAGE, "inner", inner);
  write_item (middle_content, over, NULL, &middle);
  read_table (&middle, TPD_MSG_ATTACH "00000000/__substg1.0_3701000D", TRUE, &table);
  g_assert_nonnull (tpd_msg_table_find (&table, TPD_MSG_TAG (0x8001, TPD_MSG_BOOLEAN)));
  g_assert_nonnull (tpd_msg_table_find (&table, TPD_MSG_TAG (0x8000, TPD_MSG_UNICODE)));
  /* ... and stay so in a file that takes the middle's ids as they are. */
  content_add (content, TPD_ATTACH_MESSAGE, "middle", middle.source);
  write_item (content, NULL, NULL, &item);
  read_table (&item, TPD_MSG_ATTACH "00000000/__substg1.0_3701000D", TRUE, &outer_table);
  g_assert_nonnull (tpd_msg_table_find (&outer_table, TPD_MSG_TAG (0x8000, TPD_MSG_BOOLEAN)));
  read_table (&item, path, TRUE, &table);
  g_assert_nonnull (tpd_msg_table_find (&table, TPD_MSG_TAG (0x8001, TPD_MSG_BOOLEAN)));
  g_assert_nonnull (tpd_msg_table_find (&table, TPD_MSG_TAG (0x8000, TPD_MSG_UNICODE)));
}

static void
test_from_storage (void)
{
  for (gsize header = TPD_MSG_HEADER_EMBEDDED; header <= TPD_MSG_HEADER_ITEM; header += 8)
    {
      g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
      TpdMsgObject object = { .writer = writer, .unicode = TRUE };
      g_autoptr (TpdSource) source = NULL, msg = NULL;
      g_autoptr (TpdCfb) cfb = NULL;
      g_auto (Written) item = { 0 };
      g_autoptr (GError) error = NULL;
      const TpdCfbEntry *entry;

      g_assert_true (tpd_cfb_writer_add_storage (writer, 0, "MAPIMessage", &object.storage, NULL));
      tpd_msg_table_init (&object.table);
      item_text (&object, TPD_MSG_SUBJECT, "embedded");
      g_assert_true (tpd_msg_table_write (&object.table, header, writer, object.storage, NULL));
      tpd_msg_table_clear (&object.table);
      source = writer_finish (writer);
      cfb = cfb_reopen (source);
      g_assert_true (tpd_cfb_find (cfb, NULL, "MAPIMessage", &entry, NULL));
      msg = tpd_msg_from_storage (cfb, entry, NULL, &error);
      g_assert_no_error (error);
      open_item (msg, &item);
      g_assert_cmpmem (tpd_cfb_root (item.cfb)->clsid, 16, tpd_msg_clsid, 16);
      g_assert_cmpuint (find (&item, TPD_MSG_PROPERTIES)->size, ==, 32 + 16);
      assert_bytes (&item, TPD_MSG_NAMEID "/__substg1.0_00030102", NULL, 0);
      assert_bytes (&item, "__substg1.0_0037001F", "e\0m\0b\0e\0d\0d\0e\0d\0", 16);
    }
}

/* Each is a file of its own, but none costs a descriptor. */
static void
test_from_many_storages (void)
{
  g_autoptr (TpdSource) source = inner_item (NULL, 0);
  g_autoptr (GPtrArray) all = g_ptr_array_new_with_free_func ((GDestroyNotify) tpd_source_unref);
  g_autoptr (TpdCfb) cfb = cfb_reopen (source);
  struct rlimit limit, few;

  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &limit), ==, 0);
  few = limit;
  few.rlim_cur = MIN (limit.rlim_cur, (rlim_t) 64);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &few), ==, 0);
  for (guint i = 0; i < 3000; i++)
    {
      g_autoptr (GError) error = NULL;
      TpdSource *msg = i % 2 ? tpd_msg_from_storage (cfb, tpd_cfb_root (cfb), NULL, &error)
                             : tpd_cfb_from_storage (cfb, tpd_cfb_root (cfb), NULL, &error);

      g_assert_no_error (error);
      g_ptr_array_add (all, msg);
    }
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &limit), ==, 0);
}

static void
test_from_bad_storage (void)
{
  static const struct {
    const char *name;
    gsize len;
  } tables[] = { { TPD_MSG_PROPERTIES, 0 }, { TPD_MSG_PROPERTIES, 23 }, { TPD_MSG_PROPERTIES, 31 }, { "other", 32 } };

  for (gsize i = 0; i < G_N_ELEMENTS (tables); i++)
    {
      static const guint8 zeros[32];
      g_autoptr (TpdCfbWriter) writer = tpd_cfb_writer_new (3);
      g_autoptr (TpdSource) source = NULL, msg = NULL;
      g_autoptr (TpdCfb) cfb = NULL;
      g_autoptr (GError) error = NULL;

      g_assert_true (tpd_cfb_writer_add_bytes (writer, 0, tables[i].name, zeros, tables[i].len, NULL));
      source = writer_finish (writer);
      cfb = cfb_reopen (source);
      msg = tpd_msg_from_storage (cfb, tpd_cfb_root (cfb), NULL, &error);
      g_assert_null (msg);
      g_assert_error (error, TPD_ERROR, TPD_ERROR_DAMAGED);
    }
}

/* --- New items --------------------------------------------------------------------- */

static void
test_new (void)
{
  static const char block[] = "From: \"Jos\xc3\xa9\" <jose@contoso.example>\r\n"
                              "To: a@contoso.example, Bea <b@contoso.example>\r\n"
                              "Cc: c@contoso.example\r\nBcc: d@contoso.example\r\n"
                              "Subject: AW: figures\r\nDate: Tue, 13 Mar 2018 10:23:00 +0100\r\n"
                              "Message-ID: <1@contoso.example>\r\n";
  g_autoptr (GBytes) bytes = g_bytes_new_static (block, sizeof block - 1);
  g_autoptr (TpdMailHeaders) headers = tpd_mail_headers_parse (bytes);
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_PLAIN, 65001, "x", 1);
  g_auto (Written) item = { 0 };
  static const guint types[] = { 1, 1, 2, 3 };

  write_item (content, NULL, headers, &item);
  assert_bytes (&item, "__substg1.0_0037001F", "A\0W\0:\0 \0f\0i\0g\0u\0r\0e\0s\0", 22);
  assert_bytes (&item, "__substg1.0_003D001F", "A\0W\0:\0 \0", 8);
  assert_bytes (&item, "__substg1.0_0E1D001F", "f\0i\0g\0u\0r\0e\0s\0", 14);
  assert_bytes (&item, "__substg1.0_0E03001F", "c\0@\0c\0o\0n\0t\0o\0s\0o\0.\0e\0x\0a\0m\0p\0l\0e\0", 34);
  assert_bytes (&item, "__substg1.0_1035001F",
                "<\0"
                "1\0@\0c\0o\0n\0t\0o\0s\0o\0.\0e\0x\0a\0m\0p\0l\0e\0>\0",
                38);
  /* 2018-03-13 09:23:00 UTC is 1520932980 after 1970. */
  assert_value (&item, ITEM_TAG (SUBMIT_TIME, TIME), (G_GUINT64_CONSTANT (1520932980) + 11644473600) * 10000000);
  for (guint i = 0; i < 4; i++)
    {
      g_autofree char *path = g_strdup_printf (TPD_MSG_RECIP "%08X", i);
      g_auto (TpdMsgTable) table = { 0 };

      read_table (&item, path, FALSE, &table);
      g_assert_cmpuint (tpd_msg_table_get (&table, ITEM_TAG (RECIPIENT_TYPE, LONG), 0), ==, types[i]);
    }
  g_assert_null (find (&item, TPD_MSG_RECIP "00000004"));
}

static void
test_new_empty (void)
{
  g_autoptr (TpdMailContent) content = content_new (TPD_BODY_PLAIN, 65001, "x", 1);
  g_auto (Written) item = { 0 };

  write_item (content, NULL, NULL, &item);
  assert_bytes (&item, "__substg1.0_001A001F", "I\0P\0M\0.\0N\0o\0t\0e\0", 16);
  g_assert_null (find (&item, "__substg1.0_0037001F"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/msg-write/body/plain", test_plain);
  g_test_add_func ("/msg-write/body/html", test_html);
  g_test_add_func ("/msg-write/body/html-code-pages", test_html_code_pages);
  g_test_add_func ("/msg-write/body/rtf", test_rtf);
  g_test_add_func ("/msg-write/body/rtf-missing", test_rtf_missing);
  g_test_add_func ("/msg-write/body/none", test_no_body);
  g_test_add_func ("/msg-write/8bit/code-page-or-unicode", test_8bit);
  g_test_add_func ("/msg-write/8bit/code-page-kept", test_8bit_code_page);
  g_test_add_func ("/msg-write/class/voice-mail", test_voice_mail);
  g_test_add_func ("/msg-write/attachment/file", test_file);
  g_test_add_func ("/msg-write/attachment/decrypted", test_file_decrypted);
  g_test_add_func ("/msg-write/attachment/ole", test_ole);
  g_test_add_func ("/msg-write/embedded/names-merged", test_embedded_names);
  g_test_add_func ("/msg-write/embedded/deep", test_embedded_deep);
  g_test_add_func ("/msg-write/from-storage/both-headers", test_from_storage);
  g_test_add_func ("/msg-write/from-storage/many", test_from_many_storages);
  g_test_add_func ("/msg-write/from-storage/damaged", test_from_bad_storage);
  g_test_add_func ("/msg-write/new/headers", test_new);
  g_test_add_func ("/msg-write/new/none", test_new_empty);
  return g_test_run ();
}
